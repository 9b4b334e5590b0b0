sbin_PROGRAMS += crossfade
crossfade_SOURCES = \
    src/app/main.c
crossfade_LDADD = libcontrol.a librelay.a libnet.a librollout.a libroute.a libconf.a libproto.a libbase.a \
    $(LIBEVENT_LIBS) $(OPENSSL_LIBS) $(LIBMEMCACHED_LIBS) $(YAML_LIBS) $(JANSSON_LIBS)
