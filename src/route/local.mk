noinst_LIBRARIES += libroute.a
libroute_a_SOURCES = \
    include/crossfade/route/digest.h \
    src/route/digest.c
