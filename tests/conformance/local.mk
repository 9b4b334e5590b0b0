# The same bytes to the real thing and through the daemon, or against the daemon with a peer that is
# scripted; run like the integration tests (tests/integration/harness.py says how).
EXTRA_DIST += \
    tests/conformance/binary_cases.py \
    tests/conformance/cases.py \
    tests/conformance/compare.py \
    tests/conformance/meta_cases.py \
    tests/conformance/meta_epoch_cases.py \
    tests/conformance/speakers.py \
    tests/conformance/test_binary_wire.py \
    tests/conformance/test_classic.py \
    tests/conformance/test_meta_wire.py \
    tests/conformance/test_protocols.py \
    tests/conformance/test_suites.py \
    tests/conformance/test_web_framing.py
