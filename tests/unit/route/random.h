/* Numbers that are the same in every run, so that a failure can be seen again. */
#ifndef CROSSFADE_TESTS_ROUTE_RANDOM_H
#define CROSSFADE_TESTS_ROUTE_RANDOM_H

#include "crossfade/base/hash.h"

#include <stdint.h>

static inline uint64_t next_random(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u;
    return hash_mix(*state);
}

static inline unsigned random_below(uint64_t *state, unsigned limit)
{
    return (unsigned)(next_random(state) % limit);
}

#endif
