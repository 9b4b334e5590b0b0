#include "crossfade/base/counter.h"

#include "crossfade/base/ensure.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_LINE 64u

struct cells *cells_create(unsigned workers, size_t block_size)
{
    struct cells *cells = calloc(1, sizeof(*cells));
    if (cells == NULL)
        return NULL;
    cells->block_size = (block_size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    cells->workers = workers;
    return cells;
}

void cells_destroy(struct cells *cells)
{
    if (cells == NULL)
        return;
    for (unsigned i = 0; i < cells_count(cells); i++) {
        free(cells->names[i]);
        free(atomic_load(&cells->blocks[i]));
    }
    free(cells);
}

int cells_index(struct cells *cells, const char *name)
{
    unsigned count = cells_count(cells);
    size_t size = cells->block_size * cells->workers;
    char *blocks;

    for (unsigned i = 0; i < count; i++)
        if (strcmp(cells->names[i], name) == 0)
            return (int)i;
    if (count == CELLS_MAX)
        return -1;
    blocks = aligned_alloc(CACHE_LINE, size);
    cells->names[count] = strdup(name);
    if (blocks == NULL || cells->names[count] == NULL) {
        free(blocks);
        free(cells->names[count]);
        return -1;
    }
    memset(blocks, 0, size);
    atomic_store_explicit(&cells->blocks[count], blocks, memory_order_release);
    atomic_store_explicit(&cells->count, count + 1, memory_order_release);
    return (int)count;
}

void *cells_get(const struct cells *cells, unsigned index, unsigned worker)
{
    ensure(index < cells_count(cells) && worker < cells->workers);
    return atomic_load_explicit(&cells->blocks[index], memory_order_acquire) +
           cells->block_size * worker;
}

unsigned cells_count(const struct cells *cells)
{
    return atomic_load_explicit(&cells->count, memory_order_acquire);
}

const char *cells_name(const struct cells *cells, unsigned index)
{
    return cells->names[index];
}

uint64_t cells_sum(const struct cells *cells, unsigned index, size_t offset)
{
    uint64_t sum = 0;
    for (unsigned w = 0; w < cells->workers; w++)
        sum += counter_get(
            (const counter *)(const void *)((char *)cells_get(cells, index, w) + offset));
    return sum;
}
