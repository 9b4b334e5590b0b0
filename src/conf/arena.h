/*
 * Memory that is freed all at once: everything a configuration consists of, and the tree it is read
 * from. Blocks are zeroed. Without memory the arena jumps to where its owner set `no_memory`, so
 * that a hundred allocations need one answer; the owner must have set it before the first one.
 */
#ifndef CROSSFADE_CONF_ARENA_H
#define CROSSFADE_CONF_ARENA_H

#include "crossfade/base/slice.h"

#include <setjmp.h>
#include <stddef.h>

struct arena_block;

struct arena {
    struct arena_block *blocks;
    jmp_buf *no_memory;
};

/* Zeroed, aligned for any type; never NULL. */
void *arena_alloc(struct arena *arena, size_t size);
/* A terminated copy. */
char *arena_dup(struct arena *arena, struct slice text);
void arena_deinit(struct arena *arena);

#endif
