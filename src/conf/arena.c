#include "arena.h"

#include <stdalign.h>
#include <stdlib.h>

#define BLOCK_ROOM ((size_t)16 * 1024)

struct arena_block {
    struct arena_block *next;
    size_t used;
    size_t room;
    alignas(max_align_t) char data[];
};

void *arena_alloc(struct arena *arena, size_t size)
{
    struct arena_block *block = arena->blocks;
    size_t need = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);

    if (block == NULL || block->room - block->used < need) {
        size_t room = need > BLOCK_ROOM ? need : BLOCK_ROOM;
        block = calloc(1, sizeof(*block) + room);
        if (block == NULL)
            longjmp(*arena->no_memory, 1);
        block->room = room;
        block->next = arena->blocks;
        arena->blocks = block;
    }
    block->used += need;
    return block->data + block->used - need;
}

char *arena_dup(struct arena *arena, struct slice text)
{
    char *copy = arena_alloc(arena, text.len + 1);
    if (text.len > 0)
        memcpy(copy, text.data, text.len);
    return copy;
}

void arena_deinit(struct arena *arena)
{
    while (arena->blocks != NULL) {
        struct arena_block *next = arena->blocks->next;
        free(arena->blocks);
        arena->blocks = next;
    }
}
