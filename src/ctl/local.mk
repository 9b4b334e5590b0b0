bin_PROGRAMS += crossfadectl
crossfadectl_SOURCES = \
    include/crossfade/ctl/talk.h \
    src/ctl/main.c \
    src/ctl/talk.c
crossfadectl_LDADD = libproto.a libbase.a
