check_PROGRAMS += tests/unit/test_base
TESTS += tests/unit/test_base
tests_unit_test_base_SOURCES = \
    tests/unit/base/test_base64.c \
    tests/unit/base/test_buffer.c \
    tests/unit/base/test_counter.c \
    tests/unit/base/test_note.c \
    tests/unit/base/test_slice.c
tests_unit_test_base_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_base_LDADD = $(UNIT_LIBS_base) $(CRITERION_LIBS)
