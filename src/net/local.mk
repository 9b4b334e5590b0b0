noinst_LIBRARIES += libnet.a
libnet_a_SOURCES = \
    include/crossfade/net/address.h \
    include/crossfade/net/listener.h \
    include/crossfade/net/stream.h \
    include/crossfade/net/watch.h \
    src/net/address.c \
    src/net/listener.c \
    src/net/stream.c \
    src/net/watch.c
