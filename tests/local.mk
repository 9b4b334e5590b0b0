# Each floor's unit tests are one program that links its own floor and those below it, nothing above.
UNIT_LIBS_base = libbase.a
UNIT_LIBS_proto = libproto.a libbase.a
UNIT_LIBS_conf = libconf.a libbase.a $(YAML_LIBS)
UNIT_LIBS_route = libroute.a libconf.a libproto.a libbase.a $(OPENSSL_LIBS) $(LIBMEMCACHED_LIBS) $(YAML_LIBS)
UNIT_LIBS_rollout = librollout.a libroute.a libconf.a libbase.a $(OPENSSL_LIBS) $(LIBMEMCACHED_LIBS) $(YAML_LIBS) $(JANSSON_LIBS)
UNIT_LIBS_net = libnet.a libconf.a libbase.a $(LIBEVENT_LIBS) $(OPENSSL_LIBS) $(YAML_LIBS)
UNIT_LIBS_relay = librelay.a libnet.a libroute.a libconf.a libproto.a libbase.a $(LIBEVENT_LIBS) $(OPENSSL_LIBS) $(LIBMEMCACHED_LIBS) $(YAML_LIBS)
UNIT_LIBS_control = libcontrol.a librelay.a libnet.a librollout.a libroute.a libconf.a libproto.a libbase.a \
    $(LIBEVENT_LIBS) $(OPENSSL_LIBS) $(LIBMEMCACHED_LIBS) $(YAML_LIBS) $(JANSSON_LIBS)

UNIT_CFLAGS = $(AM_CFLAGS) $(CRITERION_CFLAGS)

dist_check_SCRIPTS += tests/floors
TESTS += tests/floors

if HAVE_CRITERION
include tests/unit/base/local.mk
include tests/unit/proto/local.mk
include tests/unit/conf/local.mk
include tests/unit/route/local.mk
include tests/unit/rollout/local.mk
include tests/unit/net/local.mk
include tests/unit/relay/local.mk
include tests/unit/control/local.mk
endif

include tests/fuzz/local.mk
include tests/integration/local.mk
include tests/conformance/local.mk
include tests/bench/local.mk
include tests/model/local.mk
