check_PROGRAMS += tests/unit/test_relay
TESTS += tests/unit/test_relay
tests_unit_test_relay_SOURCES = \
    tests/unit/net/identity.c \
    tests/unit/net/identity.h \
    tests/unit/relay/change_rig.c \
    tests/unit/relay/change_rig.h \
    tests/unit/relay/epoch_rig.c \
    tests/unit/relay/epoch_rig.h \
    tests/unit/relay/test_greeting.c \
    tests/unit/relay/http_rig.c \
    tests/unit/relay/http_rig.h \
    tests/unit/relay/test_http_failures.c \
    tests/unit/relay/test_http_plane.c \
    tests/unit/relay/test_http_random.c \
    tests/unit/relay/test_mc_change.c \
    tests/unit/relay/test_mc_journal.c \
    tests/unit/relay/test_mc_change_races.c \
    tests/unit/relay/test_mc_epoch.c \
    tests/unit/relay/test_mc_login.c
tests_unit_test_relay_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_relay_LDADD = $(UNIT_LIBS_relay) $(CRITERION_LIBS)
tests_unit_test_relay_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=malloc -Wl,--wrap=calloc -Wl,--wrap=realloc \
    -Wl,--wrap=slab_get_paged
