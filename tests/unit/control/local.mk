check_PROGRAMS += tests/unit/test_control
TESTS += tests/unit/test_control
tests_unit_test_control_SOURCES = \
    tests/unit/control/desk.c \
    tests/unit/control/desk.h \
    tests/unit/control/test_dispatch.c \
    tests/unit/control/test_reply.c \
    tests/unit/control/test_suggest.c
tests_unit_test_control_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_control_LDADD = $(UNIT_LIBS_control) $(CRITERION_LIBS)
