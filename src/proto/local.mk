noinst_LIBRARIES += libproto.a
libproto_a_SOURCES = \
    include/crossfade/proto/control_commands.h \
    include/crossfade/proto/control_line.h \
    include/crossfade/proto/http1_chunked.h \
    include/crossfade/proto/http1_fields.h \
    include/crossfade/proto/http1_request.h \
    include/crossfade/proto/http1_response.h \
    include/crossfade/proto/http1_write.h \
    include/crossfade/proto/mc_auth.h \
    include/crossfade/proto/mc_binary.h \
    include/crossfade/proto/mc_meta.h \
    include/crossfade/proto/mc_meta_reply.h \
    include/crossfade/proto/mc_reply.h \
    include/crossfade/proto/mc_request.h \
    src/proto/http1_chunked.c \
    src/proto/http1_fields.c \
    src/proto/http1_request.c \
    src/proto/http1_response.c \
    src/proto/http1_write.c \
    src/proto/mc_auth.c \
    src/proto/mc_binary.c \
    src/proto/mc_meta.c \
    src/proto/mc_meta_reply.c \
    src/proto/mc_reply.c \
    src/proto/mc_request.c \
    src/proto/control_commands.c \
    src/proto/control_line.c
