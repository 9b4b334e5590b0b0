noinst_LIBRARIES += libcontrol.a
libcontrol_a_SOURCES = \
    include/crossfade/control/admin_http.h \
    include/crossfade/control/commands.h \
    include/crossfade/control/control.h \
    include/crossfade/control/reply.h \
    include/crossfade/control/sockets.h \
    src/control/admin_http.c \
    src/control/control.c \
    src/control/dispatch.c \
    src/control/explain.c \
    src/control/metrics.c \
    src/control/process_commands.c \
    src/control/reply.c \
    src/control/rollout_commands.c \
    src/control/show.c \
    src/control/show_clients.c \
    src/control/show_servers.c \
    src/control/sockets.c \
    src/control/suggest.c
