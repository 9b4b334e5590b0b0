check_PROGRAMS += tests/unit/test_rollout
TESTS += tests/unit/test_rollout
tests_unit_test_rollout_SOURCES = \
    tests/unit/rollout/rollout_helpers.c \
    tests/unit/rollout/rollout_helpers.h \
    tests/unit/rollout/test_durable.c \
    tests/unit/rollout/test_generations.c \
    tests/unit/rollout/test_kill.c \
    tests/unit/rollout/test_machine.c \
    tests/unit/rollout/test_match.c
tests_unit_test_rollout_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_rollout_LDADD = $(UNIT_LIBS_rollout) $(CRITERION_LIBS)
