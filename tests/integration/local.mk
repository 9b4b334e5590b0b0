# Python tests of the real daemon with real servers and clients: harness.py says how they are run.
EXTRA_DIST += \
    tests/run \
    tests/integration/control_talk.py \
    tests/integration/harness.py \
    tests/integration/prometheus.py \
    tests/integration/test_control.py \
    tests/integration/test_control_process.py \
    tests/integration/test_flush.py \
    tests/integration/test_harness.py \
    tests/integration/test_metrics.py \
    tests/integration/test_web_load.py
