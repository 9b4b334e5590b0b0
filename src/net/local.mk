noinst_LIBRARIES += libnet.a
libnet_a_SOURCES = \
    include/crossfade/net/address.h \
    include/crossfade/net/listener.h \
    include/crossfade/net/loop.h \
    include/crossfade/net/peer.h \
    include/crossfade/net/stream.h \
    include/crossfade/net/tls.h \
    include/crossfade/net/watch.h \
    src/net/address.c \
    src/net/listener.c \
    src/net/peer.c \
    src/net/stream.c \
    src/net/tls.h \
    src/net/tls_context.c \
    src/net/tls_files.c \
    src/net/tls_stream.c \
    src/net/tls_tickets.c \
    src/net/watch.c
