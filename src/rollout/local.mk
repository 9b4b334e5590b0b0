noinst_LIBRARIES += librollout.a
librollout_a_SOURCES = \
    include/crossfade/rollout/audit.h \
    include/crossfade/rollout/generations.h \
    include/crossfade/rollout/rollout.h \
    include/crossfade/rollout/state_file.h \
    src/rollout/audit.c \
    src/rollout/file.c \
    src/rollout/file.h \
    src/rollout/generations.c \
    src/rollout/machine.c \
    src/rollout/machine.h \
    src/rollout/match.c \
    src/rollout/rollout.c \
    src/rollout/state_file.c \
    src/rollout/text.c \
    src/rollout/text.h
