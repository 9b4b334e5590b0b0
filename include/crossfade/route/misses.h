/*
 * The memory of recent misses, one for the process: a client misses on one connection and fills on
 * another, perhaps on another worker. Fixed size, lock-free, set-associative; an entry may get lost
 * (overwritten or too old), which errs to the safe side: the set then counts as a mutation.
 */
#ifndef CROSSFADE_ROUTE_MISSES_H
#define CROSSFADE_ROUTE_MISSES_H

#include "crossfade/base/slice.h"

#include <stdbool.h>
#include <stdint.h>

/* How long a miss stands for the fill that answers it, microseconds. */
#define MISSES_WINDOW (60u * 1000000ull)

struct misses;

/* entries: rounded up to a power of two, at least 64. NULL without memory. */
struct misses *misses_create(unsigned entries);
void misses_destroy(struct misses *misses);
unsigned misses_entries(const struct misses *misses);

/* Wire keys (prefix included), so that the arms are apart. `now`: monotonic microseconds. */
void misses_record(struct misses *misses, struct slice wire_key, uint64_t now);
/* Is a recent miss of that key remembered? It stays so. */
bool misses_knows(const struct misses *misses, struct slice wire_key, uint64_t now);
/* True when a recent miss of that key was remembered; it is forgotten with this. */
bool misses_take(struct misses *misses, struct slice wire_key, uint64_t now);

#endif
