sbin_PROGRAMS += crossfade
crossfade_SOURCES = \
    include/crossfade/app/app.h \
    include/crossfade/app/listeners.h \
    include/crossfade/app/login_thread.h \
    include/crossfade/app/privileges.h \
    include/crossfade/app/resolver.h \
    include/crossfade/app/serving.h \
    include/crossfade/app/worker_thread.h \
    src/app/app.c \
    src/app/listeners.c \
    src/app/login_thread.c \
    src/app/main.c \
    src/app/privileges.c \
    src/app/resolver.c \
    src/app/serving.c \
    src/app/serving_look.c \
    src/app/serving_servers.c \
    src/app/worker_thread.c
crossfade_LDADD = libcontrol.a librelay.a libnet.a librollout.a libroute.a libconf.a libproto.a libbase.a \
    $(LIBEVENT_LIBS) $(OPENSSL_LIBS) $(LIBMEMCACHED_LIBS) $(YAML_LIBS) $(JANSSON_LIBS)
