check_PROGRAMS += tests/unit/test_route
TESTS += tests/unit/test_route
tests_unit_test_route_SOURCES = \
    tests/unit/route/test_cohort.c \
    tests/unit/route/test_digest.c
tests_unit_test_route_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_route_LDADD = $(UNIT_LIBS_route) $(CRITERION_LIBS) -lm
