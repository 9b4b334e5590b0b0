/* Between misses.c and misses_file.c. */
#ifndef CROSSFADE_ROUTE_MISSES_INSIDE_H
#define CROSSFADE_ROUTE_MISSES_INSIDE_H

#include "crossfade/route/misses.h"

#include <stdatomic.h>
#include <stddef.h>

#define MISSES_WAYS 4u
#define MISSES_LINE 64u

/* All but marks, lost and owner is touched by the owner only. */
struct misses_set {
    _Alignas(2 * MISSES_LINE) _Atomic uint64_t marks[MISSES_WAYS];
    uint16_t counts[MISSES_WAYS];
    uint16_t mixed[MISSES_WAYS]; /* when the last miss of an older token was recorded */
    _Atomic uint32_t lost[2];
    _Atomic uint32_t owner;
    uint32_t unused;
    struct token tokens[MISSES_WAYS];
};
_Static_assert(sizeof(struct misses_set) == 2 * MISSES_LINE, "it is a part of the file's format");
_Static_assert(offsetof(struct misses_set, tokens) == MISSES_LINE, "fan-out needs one cache line");

#define MISSES_HEADER 4096u
#define MISSES_MAGIC "CFmiss1"
#define MISSES_BOOT_ID 40u

struct misses_header {
    char magic[8];
    uint32_t set_size;
    uint32_t set_count;
    uint64_t seed;
    char boot_id[MISSES_BOOT_ID];
    _Atomic uint64_t window;
    _Atomic uint64_t doubt_until;
    _Atomic uint64_t ticked;
};
_Static_assert(sizeof(struct misses_header) <= MISSES_HEADER, "the sets come behind it");

struct misses {
    struct misses_header *header; /* begins what is mapped */
    struct misses_set *sets;
    size_t size;
    unsigned set_count; /* a power of two */
    unsigned scrubbed;  /* the last set that the tick looked at */
};

static inline size_t misses_size(unsigned set_count)
{
    return MISSES_HEADER + set_count * sizeof(struct misses_set);
}

unsigned misses_sets_for(unsigned entries);
/* What is mapped is all zero: makes it an empty memory. False: no random bytes. */
bool misses_begin(struct misses *misses, unsigned set_count, uint64_t window,
                  uint64_t now) MUST_CHECK;
/* Every set is in doubt until then at least. */
void misses_doubt_until(struct misses *misses, uint64_t until);
/* Misses with these bits of their tags (all: UINT32_MAX >> 8) were lost now. */
void misses_lose(struct misses *misses, struct misses_set *set, uint32_t bits, uint64_t now);

#endif
