check_PROGRAMS += tests/unit/test_route
TESTS += tests/unit/test_route
tests_unit_test_route_SOURCES = \
    tests/unit/route/random.h \
    tests/unit/route/test_cohort.c \
    tests/unit/route/test_digest.c \
    tests/unit/route/test_families.c \
    tests/unit/route/test_identity.c \
    tests/unit/route/test_keyspace.c \
    tests/unit/route/test_misses.c \
    tests/unit/route/test_placement.c \
    tests/unit/route/test_rules.c \
    tests/unit/route/test_suggest.c \
    tests/unit/route/test_token.c \
    tests/unit/route/test_value_format.c \
    tests/unit/route/test_verifier.c
tests_unit_test_route_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_route_LDADD = $(UNIT_LIBS_route) $(CRITERION_LIBS) -lm
