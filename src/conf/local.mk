noinst_LIBRARIES += libconf.a
libconf_a_SOURCES = \
    include/crossfade/conf/config.h \
    include/crossfade/conf/credentials.h \
    include/crossfade/conf/load.h \
    include/crossfade/conf/schema.h \
    include/crossfade/conf/users.h \
    include/crossfade/conf/values.h \
    src/conf/arena.c \
    src/conf/arena.h \
    src/conf/check.c \
    src/conf/check_clients.c \
    src/conf/credentials.c \
    src/conf/describe.c \
    src/conf/faults.c \
    src/conf/faults.h \
    src/conf/file.c \
    src/conf/file.h \
    src/conf/fill.c \
    src/conf/kinds_parse.c \
    src/conf/kinds_print.c \
    src/conf/load.c \
    src/conf/loader.h \
    src/conf/nearest.c \
    src/conf/password_hash.c \
    src/conf/places.c \
    src/conf/plan.c \
    src/conf/schema.c \
    src/conf/secrets.c \
    src/conf/tree.c \
    src/conf/tree.h \
    src/conf/users.c \
    src/conf/values.c
