# The epoch protocol in small (explore), and random histories against the daemon: tests/run model.
check_PROGRAMS += tests/model/explore
tests_model_explore_SOURCES = tests/model/explore.c
EXTRA_DIST += tests/model/test_protocol.py
