# A fuzz target is fuzz_<what>.c with LLVMFuzzerTestOneInput (fuzz.h) and a seed corpus in
# corpus/<what>/. With --enable-fuzzing it is linked with libFuzzer, otherwise with replay.c.
# To add one: the four lines below with its name and the libraries of its floor.
if FUZZING
FUZZ_MAIN = tests/fuzz/fuzz.h
else
FUZZ_MAIN = tests/fuzz/fuzz.h tests/fuzz/replay.c
endif
FUZZ_LINK = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)

EXTRA_DIST += tests/fuzz/corpus tests/fuzz/fuzz.h tests/fuzz/replay.c
dist_check_SCRIPTS += tests/fuzz/replay-corpora
TESTS += tests/fuzz/replay-corpora

check_PROGRAMS += tests/fuzz/fuzz_slice
tests_fuzz_fuzz_slice_SOURCES = tests/fuzz/fuzz_slice.c $(FUZZ_MAIN)
tests_fuzz_fuzz_slice_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_slice_LDADD = $(UNIT_LIBS_base)

check_PROGRAMS += tests/fuzz/fuzz_http_request
tests_fuzz_fuzz_http_request_SOURCES = tests/fuzz/fuzz_http_request.c $(FUZZ_MAIN)
tests_fuzz_fuzz_http_request_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_http_request_LDADD = $(UNIT_LIBS_proto)

check_PROGRAMS += tests/fuzz/fuzz_http_response
tests_fuzz_fuzz_http_response_SOURCES = tests/fuzz/fuzz_http_response.c $(FUZZ_MAIN)
tests_fuzz_fuzz_http_response_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_http_response_LDADD = $(UNIT_LIBS_proto)

check_PROGRAMS += tests/fuzz/fuzz_http_chunked
tests_fuzz_fuzz_http_chunked_SOURCES = tests/fuzz/fuzz_http_chunked.c $(FUZZ_MAIN)
tests_fuzz_fuzz_http_chunked_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_http_chunked_LDADD = $(UNIT_LIBS_proto)

check_PROGRAMS += tests/fuzz/fuzz_config
tests_fuzz_fuzz_config_SOURCES = tests/fuzz/fuzz_config.c $(FUZZ_MAIN)
tests_fuzz_fuzz_config_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_config_LDADD = $(UNIT_LIBS_conf)

check_PROGRAMS += tests/fuzz/fuzz_mc_request
tests_fuzz_fuzz_mc_request_SOURCES = tests/fuzz/fuzz_mc_request.c $(FUZZ_MAIN)
tests_fuzz_fuzz_mc_request_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_mc_request_LDADD = $(UNIT_LIBS_proto)

check_PROGRAMS += tests/fuzz/fuzz_mc_reply
tests_fuzz_fuzz_mc_reply_SOURCES = tests/fuzz/fuzz_mc_reply.c $(FUZZ_MAIN)
tests_fuzz_fuzz_mc_reply_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_mc_reply_LDADD = $(UNIT_LIBS_proto)

check_PROGRAMS += tests/fuzz/fuzz_mc_binary
tests_fuzz_fuzz_mc_binary_SOURCES = tests/fuzz/fuzz_mc_binary.c $(FUZZ_MAIN)
tests_fuzz_fuzz_mc_binary_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_mc_binary_LDADD = $(UNIT_LIBS_proto)

check_PROGRAMS += tests/fuzz/fuzz_mc_meta
tests_fuzz_fuzz_mc_meta_SOURCES = tests/fuzz/fuzz_mc_meta.c $(FUZZ_MAIN)
tests_fuzz_fuzz_mc_meta_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_mc_meta_LDADD = $(UNIT_LIBS_proto)

check_PROGRAMS += tests/fuzz/fuzz_keyspace
tests_fuzz_fuzz_keyspace_SOURCES = tests/fuzz/fuzz_keyspace.c $(FUZZ_MAIN)
tests_fuzz_fuzz_keyspace_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_keyspace_LDADD = $(UNIT_LIBS_route)

check_PROGRAMS += tests/fuzz/fuzz_state
tests_fuzz_fuzz_state_SOURCES = tests/fuzz/fuzz_state.c $(FUZZ_MAIN)
tests_fuzz_fuzz_state_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_state_LDADD = $(UNIT_LIBS_rollout)

check_PROGRAMS += tests/fuzz/fuzz_generations
tests_fuzz_fuzz_generations_SOURCES = tests/fuzz/fuzz_generations.c $(FUZZ_MAIN)
tests_fuzz_fuzz_generations_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_generations_LDADD = $(UNIT_LIBS_rollout)

check_PROGRAMS += tests/fuzz/fuzz_control_line
tests_fuzz_fuzz_control_line_SOURCES = tests/fuzz/fuzz_control_line.c $(FUZZ_MAIN)
tests_fuzz_fuzz_control_line_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_control_line_LDADD = $(UNIT_LIBS_proto)

check_PROGRAMS += tests/fuzz/fuzz_users
tests_fuzz_fuzz_users_SOURCES = tests/fuzz/fuzz_users.c $(FUZZ_MAIN)
tests_fuzz_fuzz_users_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_users_LDADD = $(UNIT_LIBS_conf)

check_PROGRAMS += tests/fuzz/fuzz_families
tests_fuzz_fuzz_families_SOURCES = tests/fuzz/fuzz_families.c $(FUZZ_MAIN)
tests_fuzz_fuzz_families_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_families_LDADD = $(UNIT_LIBS_route)

check_PROGRAMS += tests/fuzz/fuzz_mc_auth
tests_fuzz_fuzz_mc_auth_SOURCES = tests/fuzz/fuzz_mc_auth.c $(FUZZ_MAIN)
tests_fuzz_fuzz_mc_auth_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_mc_auth_LDADD = $(UNIT_LIBS_proto)

check_PROGRAMS += tests/fuzz/fuzz_journal
tests_fuzz_fuzz_journal_SOURCES = tests/fuzz/fuzz_journal.c $(FUZZ_MAIN)
tests_fuzz_fuzz_journal_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_journal_LDADD = $(UNIT_LIBS_relay)
