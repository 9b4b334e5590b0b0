#include "crossfade/route/misses.h"

#include "crossfade/base/hash.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/random.h>

/*
 * A set is one cache line; a key belongs to one set and may lie in any of its entries. An entry is
 * one word, so that a reader sees tag and time of one miss:
 *
 *     63                        20 19            0
 *     | tag: 44 bits of the hash  | time, 2^20 us |     0: empty
 *
 * The index is made from the hash's low bits. A wrong match (some 2^-44 for each entry looked at)
 * would make a mutation a fill, so the tag has all the bits that the time leaves; the time comes
 * round in 12 days, when an entry that nothing has overwritten looks young again for a minute.
 */
#define CACHE_LINE 64u
#define TIME_BITS 20u
#define TIME_MASK ((UINT64_C(1) << TIME_BITS) - 1)
#define TIME_UNIT_BITS 20u
/* Rounded down, and one less, since the recorded time was rounded too. */
#define WINDOW_UNITS ((MISSES_WINDOW >> TIME_UNIT_BITS) - 1)

struct entry {
    _Atomic uint64_t mark;
};

#define WAYS (CACHE_LINE / sizeof(struct entry))

struct set {
    _Alignas(CACHE_LINE) struct entry entries[WAYS];
};

struct misses {
    struct set *sets;
    unsigned set_count; /* a power of two */
    uint64_t seed;
};

struct misses *misses_create(unsigned entries)
{
    struct misses *misses = calloc(1, sizeof(*misses));

    if (misses == NULL)
        return NULL;
    misses->set_count = 64 / WAYS;
    while (misses->set_count * WAYS < entries && misses->set_count < 1u << 28)
        misses->set_count *= 2;
    misses->sets = aligned_alloc(CACHE_LINE, misses->set_count * sizeof(struct set));
    if (misses->sets == NULL ||
        getrandom(&misses->seed, sizeof(misses->seed), 0) != (ssize_t)sizeof(misses->seed)) {
        misses_destroy(misses);
        return NULL;
    }
    for (unsigned i = 0; i < misses->set_count; i++)
        for (unsigned j = 0; j < WAYS; j++)
            atomic_init(&misses->sets[i].entries[j].mark, 0);
    return misses;
}

void misses_destroy(struct misses *misses)
{
    free(misses->sets);
    free(misses);
}

unsigned misses_entries(const struct misses *misses)
{
    return misses->set_count * (unsigned)WAYS;
}

static uint64_t units(uint64_t now)
{
    return (now >> TIME_UNIT_BITS) & TIME_MASK;
}

/* In units; 0 also for a mark by a worker whose clock was read a moment later than ours. */
static uint64_t age_of(uint64_t mark, uint64_t now)
{
    uint64_t age = (units(now) - mark) & TIME_MASK;
    return age == TIME_MASK ? 0 : age;
}

struct place {
    struct set *set;
    uint64_t tag; /* in its place in the mark, never 0 */
};

static struct place place_of(const struct misses *misses, struct slice key)
{
    uint64_t hash = hash_bytes(misses->seed, key.data, key.len);
    uint64_t tag = hash & ~TIME_MASK;

    return (struct place){ .set = &misses->sets[hash & (misses->set_count - 1)],
                           .tag = tag != 0 ? tag : UINT64_C(1) << TIME_BITS };
}

/*
 * Only the marks are shared and each stands for itself: relaxed order is enough. When two threads
 * meet in one entry, one of the two misses is lost.
 */
void misses_record(struct misses *misses, struct slice wire_key, uint64_t now)
{
    struct place place = place_of(misses, wire_key);
    struct entry *victim = NULL;
    uint64_t victim_age = 0;

    for (unsigned i = 0; i < WAYS; i++) {
        struct entry *entry = &place.set->entries[i];
        uint64_t mark = atomic_load_explicit(&entry->mark, memory_order_relaxed);
        uint64_t age = mark == 0 ? UINT64_MAX : age_of(mark, now);

        if ((mark & ~TIME_MASK) == place.tag) {
            victim = entry;
            break;
        }
        if (victim == NULL || age > victim_age) {
            victim = entry;
            victim_age = age;
        }
    }
    atomic_store_explicit(&victim->mark, place.tag | units(now), memory_order_relaxed);
}

bool misses_knows(const struct misses *misses, struct slice wire_key, uint64_t now)
{
    struct place place = place_of(misses, wire_key);

    for (unsigned i = 0; i < WAYS; i++) {
        uint64_t mark = atomic_load_explicit(&place.set->entries[i].mark, memory_order_relaxed);
        if ((mark & ~TIME_MASK) == place.tag && age_of(mark, now) <= WINDOW_UNITS)
            return true;
    }
    return false;
}

bool misses_take(struct misses *misses, struct slice wire_key, uint64_t now)
{
    struct place place = place_of(misses, wire_key);
    bool taken = false;

    for (unsigned i = 0; i < WAYS && !taken; i++) {
        struct entry *entry = &place.set->entries[i];
        uint64_t mark = atomic_load_explicit(&entry->mark, memory_order_relaxed);

        if ((mark & ~TIME_MASK) != place.tag)
            continue;
        taken = atomic_compare_exchange_strong_explicit(
                    &entry->mark, &mark, 0, memory_order_relaxed, memory_order_relaxed) &&
                age_of(mark, now) <= WINDOW_UNITS;
    }
    return taken;
}
