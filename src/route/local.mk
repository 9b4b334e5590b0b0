noinst_LIBRARIES += libroute.a
libroute_a_SOURCES = \
    include/crossfade/route/cohort.h \
    include/crossfade/route/digest.h \
    src/route/cohort.c \
    src/route/digest.c
