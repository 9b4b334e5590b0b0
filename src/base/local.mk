noinst_LIBRARIES += libbase.a
libbase_a_SOURCES = \
    include/crossfade/base/base64.h \
    include/crossfade/base/buffer.h \
    include/crossfade/base/clock.h \
    include/crossfade/base/counter.h \
    include/crossfade/base/ensure.h \
    include/crossfade/base/hash.h \
    include/crossfade/base/histogram.h \
    include/crossfade/base/log.h \
    include/crossfade/base/note.h \
    include/crossfade/base/slab.h \
    include/crossfade/base/slice.h \
    src/base/base64.c \
    src/base/buffer.c \
    src/base/clock.c \
    src/base/counter.c \
    src/base/ensure.c \
    src/base/hash.c \
    src/base/histogram.c \
    src/base/input.c \
    src/base/log.c \
    src/base/note.c \
    src/base/slab.c \
    src/base/slice.c
