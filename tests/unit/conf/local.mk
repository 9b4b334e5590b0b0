check_PROGRAMS += tests/unit/test_conf
TESTS += tests/unit/test_conf
tests_unit_test_conf_SOURCES = \
    tests/unit/conf/loading.c \
    tests/unit/conf/loading.h \
    tests/unit/conf/test_checks.c \
    tests/unit/conf/test_describe.c \
    tests/unit/conf/test_load.c \
    tests/unit/conf/test_manual.c \
    tests/unit/conf/test_sample.c \
    tests/unit/conf/test_users.c \
    tests/unit/conf/test_values.c
# The sample is held against the loader's own tree, so that its keys are seen as the loader sees them.
tests_unit_test_conf_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/src/conf \
    -DSAMPLES=\"$(top_srcdir)/conf\" -DMANUALS=\"$(top_srcdir)/doc\"
tests_unit_test_conf_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_conf_LDADD = $(UNIT_LIBS_conf) $(CRITERION_LIBS)
