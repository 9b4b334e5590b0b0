noinst_LIBRARIES += librelay.a
librelay_a_SOURCES = \
    include/crossfade/relay/http_client.h \
    include/crossfade/relay/http_forward.h \
    include/crossfade/relay/http_plane.h \
    include/crossfade/relay/mc_client.h \
    include/crossfade/relay/mc_flush.h \
    include/crossfade/relay/mc_op.h \
    include/crossfade/relay/http_pools.h \
    include/crossfade/relay/http_server.h \
    include/crossfade/relay/mc_plane.h \
    include/crossfade/relay/mc_pools.h \
    include/crossfade/relay/mc_server.h \
    include/crossfade/relay/snapshot.h \
    include/crossfade/relay/telemetry.h \
    include/crossfade/relay/worker.h \
    src/relay/mc_client.c \
    src/relay/mc_compose.c \
    src/relay/mc_flush.c \
    src/relay/mc_forward.c \
    src/relay/mc_op.c \
    src/relay/mc_pairing.c \
    src/relay/mc_plane.c \
    src/relay/mc_server.c \
    src/relay/mc_stats.c \
    src/relay/http_answer.c \
    src/relay/http_backend.c \
    src/relay/http_client.c \
    src/relay/http_forward.c \
    src/relay/http_plane.c \
    src/relay/http_server.c \
    src/relay/snapshot.c \
    src/relay/telemetry.c \
    src/relay/worker.c
