/*
 * A stable 64-bit hash for tables inside one process (miss memory, name tables). Seeded per process
 * against chosen collisions. Not for anything that leaves the process and not cryptographic:
 * buckets of the rollout use SHA-256 (route/cohort), servers are chosen by libmemcached
 * (route/placement).
 */
#ifndef CROSSFADE_BASE_HASH_H
#define CROSSFADE_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* FNV-1a folded by words with a final mix (Stafford's variant 13 of the MurmurHash3 finaliser). */
uint64_t hash_bytes(uint64_t seed, const void *data, size_t len);

/* A bijective mix of 64 bits. */
static inline uint64_t hash_mix(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

#endif
