noinst_LIBRARIES += libroute.a
libroute_a_SOURCES = \
    include/crossfade/route/cohort.h \
    include/crossfade/route/digest.h \
    include/crossfade/route/families.h \
    include/crossfade/route/identity.h \
    include/crossfade/route/keyspace.h \
    include/crossfade/route/misses.h \
    include/crossfade/route/placement.h \
    include/crossfade/route/rules.h \
    include/crossfade/route/suggest.h \
    include/crossfade/route/token.h \
    include/crossfade/route/verifier.h \
    include/crossfade/route/value_format.h \
    src/route/cohort.c \
    src/route/digest.c \
    src/route/families.c \
    src/route/identity.c \
    src/route/keyspace.c \
    src/route/misses.c \
    src/route/misses.h \
    src/route/misses_file.c \
    src/route/placement.c \
    src/route/rules.c \
    src/route/suggest.c \
    src/route/token.c \
    src/route/value_format.c \
    src/route/verifier.c
