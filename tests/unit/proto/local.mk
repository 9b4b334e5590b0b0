check_PROGRAMS += tests/unit/test_proto
TESTS += tests/unit/test_proto
tests_unit_test_proto_SOURCES = \
    tests/unit/proto/http1_helpers.h \
    tests/unit/proto/test_control_commands.c \
    tests/unit/proto/test_control_line.c \
    tests/unit/proto/test_http1_chunked.c \
    tests/unit/proto/test_http1_request.c \
    tests/unit/proto/test_http1_response.c \
    tests/unit/proto/test_http1_write.c \
    tests/unit/proto/test_manual.c \
    tests/unit/proto/test_mc_auth.c \
    tests/unit/proto/test_mc_binary.c \
    tests/unit/proto/test_mc_meta.c \
    tests/unit/proto/test_mc_meta_reply.c \
    tests/unit/proto/test_mc_reply.c \
    tests/unit/proto/test_mc_request.c
tests_unit_test_proto_CPPFLAGS = $(AM_CPPFLAGS) -DMANUALS=\"$(top_srcdir)/doc\"
tests_unit_test_proto_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_proto_LDADD = $(UNIT_LIBS_proto) $(CRITERION_LIBS)
