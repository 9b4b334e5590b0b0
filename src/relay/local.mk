noinst_LIBRARIES += librelay.a
librelay_a_SOURCES = \
    include/crossfade/relay/http_plane.h \
    include/crossfade/relay/mc_plane.h \
    include/crossfade/relay/snapshot.h \
    include/crossfade/relay/telemetry.h \
    include/crossfade/relay/worker.h \
    src/relay/snapshot.c \
    src/relay/telemetry.c \
    src/relay/worker.c
