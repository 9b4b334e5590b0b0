#include "misses.h"

#include "crossfade/base/hash.h"

#include <stdlib.h>
#include <sys/mman.h>

/*
 * A key belongs to one set and may lie in any of its entries. Fan-out mode needs the first cache
 * line of it, epoch mode both:
 *
 *     | marks 4 x 8 | counts, mixed 4 x 4 | lost 2 x 4 | owner 4 | 4 |     | tokens 4 x 16 |
 *
 *     a mark     63                        20 19      4 3      0
 *                | tag: 44 bits of the hash  | time 2^16 us | flags |      0: empty
 *
 * Who works in a set owns it meanwhile, for some dozen instructions: `owner` is set by
 * compare-and-swap. Nobody waits for an owner for longer than SPINS looks; a miss that could not be
 * recorded then is one that was lost, a set is in doubt. The index is made from the hash's low bits
 * and the tag from the others, so that a wrong match (some 2^-44 for each entry looked at) is none
 * to think of.
 *
 * What was lost: each of the two words has a window's number and a bit for each 24th of the tags.
 * The words of this window and of the one before are asked: a loss is known for one window at
 * least.
 *
 * Times are short, and old entries would look young when the time comes round (71 minutes): so
 * misses_tick walks through all sets within a minute. If it was not called for long, all is in
 * doubt until it is.
 */
#define TIME_BITS 16u
#define TIME_MASK ((UINT64_C(1) << TIME_BITS) - 1)
#define TIME_SHIFT 4u
#define TIME_UNIT_BITS 16u
#define TAG_MASK (~UINT64_C(0) << (TIME_BITS + TIME_SHIFT))
#define FLAG_EPOCH UINT64_C(1) /* recorded in epoch mode: it has a token, perhaps all zero */
#define FLAG_MIXED UINT64_C(2) /* misses of older tokens are among them, the last at `mixed` */

#define SPINS 400u
#define LOST_BITS 24u
#define COUNT_MAX UINT16_MAX
#define SCRUB_TICKS 600u
/* Longer than that without a tick, and times cannot be trusted. */
#define TICK_LATE (10u * 60u * 1000000ull)

static uint64_t units(uint64_t now)
{
    return (now >> TIME_UNIT_BITS) & TIME_MASK;
}

/* The units that surely cover so many microseconds, with what two roundings may take away. */
static uint64_t units_over(uint64_t duration)
{
    return (duration >> TIME_UNIT_BITS) + 2;
}

/* In units; 0 also for a time by a worker whose clock was read a moment later than ours. */
static uint64_t age_of(uint64_t time, uint64_t now)
{
    uint64_t age = (units(now) - time) & TIME_MASK;

    return age > TIME_MASK / 2 ? 0 : age;
}

static uint64_t mark_get(const struct misses_set *set, unsigned way)
{
    return atomic_load_explicit(&set->marks[way], memory_order_relaxed);
}

static void mark_set(struct misses_set *set, unsigned way, uint64_t mark)
{
    atomic_store_explicit(&set->marks[way], mark, memory_order_relaxed);
}

static uint64_t mark_time(uint64_t mark)
{
    return (mark >> TIME_SHIFT) & TIME_MASK;
}

static uint64_t window_of(const struct misses *misses)
{
    return atomic_load_explicit(&misses->header->window, memory_order_relaxed);
}

/* After so many units nothing is known of an entry any more. */
static uint64_t forgotten_after(const struct misses *misses, uint64_t mark)
{
    return (mark & FLAG_EPOCH) ? 2 * units_over(window_of(misses)) : units_over(MISSES_WINDOW);
}

/* -- What was lost ------------------------------------------------------------------------------
 */

static uint32_t period_of(const struct misses *misses, uint64_t now)
{
    return (uint32_t)(now / window_of(misses)) & UINT8_MAX;
}

static uint32_t lost_bit(uint64_t tag)
{
    return UINT32_C(1) << (tag >> 32) % LOST_BITS;
}

void misses_lose(struct misses *misses, struct misses_set *set, uint32_t bits, uint64_t now)
{
    uint32_t period = period_of(misses, now);
    _Atomic uint32_t *word = &set->lost[period & 1];
    uint32_t before = atomic_load(word);
    uint32_t after;

    do
        after = (before >> LOST_BITS == period ? before : period << LOST_BITS) | bits;
    while (!atomic_compare_exchange_weak(word, &before, after));
}

static bool was_lost(const struct misses *misses, const struct misses_set *set, uint64_t tag,
                     uint64_t now)
{
    uint32_t period = period_of(misses, now);

    for (unsigned i = 0; i < 2; i++) {
        uint32_t wanted = (period - i) & UINT8_MAX;
        uint32_t word = atomic_load(&set->lost[wanted & 1]);
        if (word >> LOST_BITS == wanted && (word & lost_bit(tag)))
            return true;
    }
    return false;
}

/* -- Making --------------------------------------------------------------------------------------
 */

unsigned misses_sets_for(unsigned entries)
{
    unsigned count = 64 / MISSES_WAYS;

    while (count * MISSES_WAYS < entries && count < 1u << 28)
        count *= 2;
    return count;
}

struct misses *misses_create(unsigned entries, uint64_t window, uint64_t now)
{
    struct misses *misses = calloc(1, sizeof(*misses));
    unsigned sets = misses_sets_for(entries);

    if (misses == NULL)
        return NULL;
    misses->size = misses_size(sets);
    misses->header =
        mmap(NULL, misses->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (misses->header == MAP_FAILED || !misses_begin(misses, sets, window, now)) {
        misses_destroy(misses);
        return NULL;
    }
    return misses;
}

void misses_destroy(struct misses *misses)
{
    if (misses->header != MAP_FAILED)
        (void)munmap(misses->header, misses->size);
    free(misses);
}

unsigned misses_entries(const struct misses *misses)
{
    return misses->set_count * MISSES_WAYS;
}

void misses_doubt_until(struct misses *misses, uint64_t until)
{
    uint64_t before = atomic_load(&misses->header->doubt_until);

    while (before < until &&
           !atomic_compare_exchange_weak(&misses->header->doubt_until, &before, until))
        continue;
}

void misses_set_window(struct misses *misses, uint64_t window, uint64_t now)
{
    uint64_t before = atomic_load(&misses->header->window);

    if (before == window ||
        !atomic_compare_exchange_strong(&misses->header->window, &before, window))
        return;
    /* What was lost is noted by the number of a window, and what was let go by its length. */
    misses_doubt_until(misses, now + (window > before ? window : before));
}

/* -- Using ---------------------------------------------------------------------------------------
 */

struct place {
    struct misses_set *set;
    uint64_t tag; /* in its place in the mark, never 0 */
};

static struct place place_of(const struct misses *misses, const struct miss *miss)
{
    uint64_t hash =
        hash_bytes(hash_mix(misses->header->seed ^ miss->salt), miss->key.data, miss->key.len);
    uint64_t tag = hash & TAG_MASK;

    return (struct place){ .set = &misses->sets[hash & (misses->set_count - 1)],
                           .tag = tag != 0 ? tag : UINT64_C(1) << 63 };
}

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static bool try_own(struct misses_set *set)
{
    uint32_t free = 0;

    return atomic_compare_exchange_strong_explicit(&set->owner, &free, 1, memory_order_acquire,
                                                   memory_order_relaxed);
}

static bool own(struct misses_set *set)
{
    for (unsigned i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(&set->owner, memory_order_relaxed) == 0 && try_own(set))
            return true;
        relax();
    }
    return false;
}

static void disown(struct misses_set *set)
{
    atomic_store_explicit(&set->owner, 0, memory_order_release);
}

/* -1: it is not there. */
static int find(const struct misses_set *set, uint64_t tag)
{
    for (unsigned i = 0; i < MISSES_WAYS; i++)
        if ((mark_get(set, i) & TAG_MASK) == tag)
            return (int)i;
    return -1;
}

static void forget(struct misses_set *set, unsigned way)
{
    mark_set(set, way, 0);
}

/* An entry that is free, or is made so: the one that was heard of longest ago. */
static unsigned make_room(struct misses *misses, struct misses_counts *counts,
                          struct misses_set *set, uint64_t now)
{
    unsigned oldest = 0;
    uint64_t oldest_age = 0;
    uint64_t mark;

    for (unsigned i = 0; i < MISSES_WAYS; i++) {
        uint64_t age;

        mark = mark_get(set, i);
        age = mark == 0 ? UINT64_MAX : age_of(mark_time(mark), now);
        if (mark != 0 && age > forgotten_after(misses, mark))
            age = UINT64_MAX - 1;
        if (i == 0 || age > oldest_age) {
            oldest = i;
            oldest_age = age;
        }
    }
    mark = mark_get(set, oldest);
    if (mark != 0 && oldest_age <= ((mark & FLAG_EPOCH) ? units_over(window_of(misses))
                                                        : units_over(MISSES_WINDOW))) {
        misses_lose(misses, set, lost_bit(mark & TAG_MASK), now);
        counter_add(&counts->lost, 1);
    }
    return oldest;
}

/*
 * When the last miss with the older token was. Those of an unknown token are of a server that was
 * down: all keys have them when it is back, and then nothing could be filled for a whole window. So
 * they are taken for older than they are.
 */
static uint16_t mixed_since(const struct misses *misses, uint64_t mark, const struct token *older)
{
    uint64_t window = units_over(window_of(misses));
    uint64_t unknown = units_over(MISSES_UNKNOWN_WINDOW);

    return (uint16_t)(mark_time(mark) -
                      ((mark & FLAG_EPOCH) && token_is_none(older) && window > unknown
                           ? window - unknown
                           : 0));
}

/* One more miss of an entry that is there. Returns the flags. */
static uint64_t add(const struct misses *misses, struct misses_set *set, unsigned way,
                    const struct token *token, uint64_t now)
{
    uint64_t mark = mark_get(set, way);
    uint64_t window = units_over(window_of(misses));
    bool old =
        age_of(mark_time(mark), now) > ((mark & FLAG_EPOCH) ? window : units_over(MISSES_WINDOW));
    uint64_t flags = FLAG_EPOCH;

    if (token == NULL || old || set->counts[way] == 0) {
        set->counts[way] = 1;
        set->tokens[way] = token != NULL ? *token : (struct token){ { 0, 0 } };
        return token != NULL ? FLAG_EPOCH : 0;
    }
    if (set->counts[way] < COUNT_MAX)
        set->counts[way]++;
    if ((mark & FLAG_MIXED) && age_of(set->mixed[way], now) <= window)
        flags |= FLAG_MIXED;
    if (!(mark & FLAG_EPOCH) || !token_equal(&set->tokens[way], token)) {
        flags |= FLAG_MIXED;
        set->mixed[way] = mixed_since(misses, mark, &set->tokens[way]);
        set->tokens[way] = *token;
    }
    return flags;
}

void misses_record(struct misses *misses, struct misses_counts *counts, const struct miss *miss,
                   const struct token *token, uint64_t now)
{
    struct place place = place_of(misses, miss);
    uint64_t flags;
    int found;

    counter_add(&counts->recorded, 1);
    if (!own(place.set)) {
        misses_lose(misses, place.set, lost_bit(place.tag), now);
        counter_add(&counts->lost, 1);
        return;
    }
    found = find(place.set, place.tag);
    if (found < 0) {
        found = (int)make_room(misses, counts, place.set, now);
        place.set->counts[found] = 0;
    }
    flags = add(misses, place.set, (unsigned)found, token, now);
    mark_set(place.set, (unsigned)found, place.tag | units(now) << TIME_SHIFT | flags);
    disown(place.set);
}

/* Is everything in doubt? */
static bool is_doubtful(const struct misses *misses, uint64_t now)
{
    uint64_t ticked = atomic_load_explicit(&misses->header->ticked, memory_order_relaxed);

    return now < atomic_load_explicit(&misses->header->doubt_until, memory_order_relaxed) ||
           (now > ticked && now - ticked > TICK_LATE);
}

/* What the entry says, from which one miss is taken. */
static enum miss_verdict take_from(const struct misses *misses, struct misses_set *set,
                                   unsigned way, uint64_t now, struct token *token)
{
    uint64_t mark = mark_get(set, way);
    uint64_t window = units_over(window_of(misses));
    uint64_t age = age_of(mark_time(mark), now);

    if (age > forgotten_after(misses, mark)) {
        forget(set, way);
        return MISS_NONE;
    }
    *token = set->tokens[way];
    /* All of them are older than the window, or nothing is known of how many there were. */
    if (!(mark & FLAG_EPOCH) || age > window) {
        forget(set, way);
        return MISS_DOUBT;
    }
    if (set->counts[way] < COUNT_MAX && --set->counts[way] == 0)
        forget(set, way);
    if (token_is_none(token) || ((mark & FLAG_MIXED) && age_of(set->mixed[way], now) <= window))
        return MISS_MIXED;
    return MISS_FILL;
}

enum miss_verdict misses_take(struct misses *misses, struct misses_counts *counts,
                              const struct miss *miss, uint64_t now, struct token *token)
{
    struct place place = place_of(misses, miss);
    enum miss_verdict verdict = MISS_NONE;
    int found;

    *token = (struct token){ { 0, 0 } };
    if (own(place.set)) {
        found = find(place.set, place.tag);
        if (found >= 0)
            verdict = take_from(misses, place.set, (unsigned)found, now, token);
        if (was_lost(misses, place.set, place.tag, now) || is_doubtful(misses, now))
            verdict = MISS_DOUBT;
        disown(place.set);
    } else {
        verdict = MISS_DOUBT;
    }
    counter_add(verdict == MISS_FILL    ? &counts->fills
                : verdict == MISS_NONE  ? &counts->none
                : verdict == MISS_MIXED ? &counts->mixed
                                        : &counts->doubt,
                1);
    return verdict;
}

bool misses_take_recent(struct misses *misses, struct misses_counts *counts,
                        const struct miss *miss, uint64_t now)
{
    struct place place = place_of(misses, miss);
    bool taken = false;

    if (own(place.set)) {
        int found = find(place.set, place.tag);
        if (found >= 0) {
            uint64_t mark = mark_get(place.set, (unsigned)found);
            forget(place.set, (unsigned)found);
            /* The window rounded down, and one less, since the recorded time was rounded too. */
            taken = !(mark & FLAG_EPOCH) && !is_doubtful(misses, now) &&
                    age_of(mark_time(mark), now) < MISSES_WINDOW >> TIME_UNIT_BITS;
        }
        disown(place.set);
    }
    counter_add(taken ? &counts->fills : &counts->none, 1);
    return taken;
}

bool misses_knows(const struct misses *misses, const struct miss *miss, uint64_t now)
{
    struct place place = place_of(misses, miss);
    int found = find(place.set, place.tag);

    return found >= 0 && age_of(mark_time(mark_get(place.set, (unsigned)found)), now) <
                             MISSES_WINDOW >> TIME_UNIT_BITS;
}

/* -- Letting go ----------------------------------------------------------------------------------
 */

static void scrub(struct misses *misses, struct misses_set *set, bool all, uint64_t now)
{
    if (!try_own(set))
        return;
    for (unsigned i = 0; i < MISSES_WAYS; i++) {
        uint64_t mark = mark_get(set, i);
        if (mark == 0)
            continue;
        if (all || age_of(mark_time(mark), now) > forgotten_after(misses, mark))
            forget(set, i);
        else if ((mark & FLAG_MIXED) && age_of(set->mixed[i], now) > units_over(window_of(misses)))
            mark_set(set, i, mark & ~FLAG_MIXED);
    }
    disown(set);
}

void misses_tick(struct misses *misses, uint64_t now)
{
    uint64_t ticked = atomic_load(&misses->header->ticked);
    bool late = now > ticked && now - ticked > TICK_LATE;
    unsigned count = late ? misses->set_count : misses->set_count / SCRUB_TICKS + 1;

    for (unsigned i = 0; i < count; i++) {
        misses->scrubbed = (misses->scrubbed + 1) & (misses->set_count - 1);
        scrub(misses, &misses->sets[misses->scrubbed], late, now);
    }
    if (now > ticked)
        atomic_store(&misses->header->ticked, now);
}
