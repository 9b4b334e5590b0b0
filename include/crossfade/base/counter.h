/*
 * Counters written by one thread and read by any: relaxed atomics, no locked instruction. And
 * cells: named blocks of counters, one block for each worker, that live as long as the process. A
 * name gets its index once, on the main thread, before a snapshot that uses it is published; so a
 * worker finds its block by index without a lock, and a reader may sum the blocks at any time.
 *
 * The fields of a block are described by a table beside the module that counts; the tables make
 * /metrics, `show stats` and the documentation.
 */
#ifndef CROSSFADE_BASE_COUNTER_H
#define CROSSFADE_BASE_COUNTER_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

typedef _Atomic uint64_t counter;

static inline void counter_add(counter *c, uint64_t n)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n,
                          memory_order_relaxed);
}
static inline void counter_sub(counter *c, uint64_t n)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) - n,
                          memory_order_relaxed);
}
static inline void counter_set(counter *c, uint64_t n)
{
    atomic_store_explicit(c, n, memory_order_relaxed);
}
static inline uint64_t counter_get(const counter *c)
{
    return atomic_load_explicit((counter *)(uintptr_t)c, memory_order_relaxed);
}

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE };

/* One field of a block: its name in /metrics (without the prefix crossfade_), help, offset. */
struct metric {
    const char *name;
    const char *help;
    enum metric_kind kind;
    size_t offset;
};

#define CELLS_MAX 1024u

struct cells {
    size_t block_size; /* of one worker's block, rounded up to a cache line */
    unsigned workers;
    _Atomic unsigned count;
    char *names[CELLS_MAX];
    char *_Atomic blocks[CELLS_MAX];
};

/* `metrics` ends with a row whose name is NULL. */
struct cells *cells_create(unsigned workers, size_t block_size);
void cells_destroy(struct cells *cells);
/* Main thread. The index of `name`, made if it is new; -1 when CELLS_MAX names are in use. */
int cells_index(struct cells *cells, const char *name);
/* The block of one worker; zeroed at first. */
void *cells_get(const struct cells *cells, unsigned index, unsigned worker);
unsigned cells_count(const struct cells *cells);
const char *cells_name(const struct cells *cells, unsigned index);
/* The field at `offset`, summed over the workers. */
uint64_t cells_sum(const struct cells *cells, unsigned index, size_t offset);

#endif
