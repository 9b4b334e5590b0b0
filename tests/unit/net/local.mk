check_PROGRAMS += tests/unit/test_net
TESTS += tests/unit/test_net
tests_unit_test_net_SOURCES = \
    tests/unit/net/identity.c \
    tests/unit/net/identity.h \
    tests/unit/net/test_address.c \
    tests/unit/net/test_listener.c \
    tests/unit/net/test_loop.c \
    tests/unit/net/test_peer.c \
    tests/unit/net/test_tls.c
tests_unit_test_net_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_net_LDADD = $(UNIT_LIBS_net) $(CRITERION_LIBS)
