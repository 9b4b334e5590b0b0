/*
 * The memory of recent misses, one for the process: a client misses on one connection and fills on
 * another, perhaps on another worker. Fixed size, nobody waits for anybody; an entry may get lost
 * (pushed out, or a set of entries that was busy), which errs to the safe side.
 *
 * What it tells, when a set comes, is whose fill that may be. In fan-out mode: does it answer a
 * recent miss? In epoch mode: the token that was in force when its reader missed. Several readers
 * may have missed; as long as the epoch had one token for all of them, they are counted and each
 * set takes one. Did it change in between, nobody can say which of them comes first: the key is
 * mixed until the misses with older tokens are older than the window.
 *
 * It lies in a file of state_dir, `misses`, which is mapped: so it survives the process, however
 * that ends, and a daemon that follows another one shares it with the one that still drains. What
 * was recorded before the machine started is not believed.
 */
#ifndef CROSSFADE_ROUTE_MISSES_H
#define CROSSFADE_ROUTE_MISSES_H

#include "crossfade/base/counter.h"
#include "crossfade/base/ensure.h"
#include "crossfade/base/slice.h"
#include "crossfade/route/token.h"

#include <stdbool.h>
#include <stdint.h>

/* Fan-out: how long a miss stands for the fill that answers it, microseconds. */
#define MISSES_WINDOW (60u * 1000000ull)
/* Epoch mode: how long a miss of which no token is known keeps younger fills away. */
#define MISSES_UNKNOWN_WINDOW (5u * 1000000ull)
#define MISSES_FILE "misses"

struct misses;

/* Of one worker. */
struct misses_counts {
    counter recorded;
    counter fills; /* sets that answered a miss */
    counter none;  /* sets of which no miss was known */
    counter mixed; /* sets that may answer one of several misses, with different tokens */
    counter doubt; /* sets of which nothing is sure */
    counter lost;  /* misses that were forgotten within their window */
};

/* Whose miss of what. */
struct miss {
    uint64_t salt;    /* of the arm's namespace (keyspace_salt), and of what kind of miss it is */
    struct slice key; /* as the client names it: the same in every generation */
};

enum miss_verdict {
    MISS_NONE,  /* no miss is known: the set is a mutation */
    MISS_FILL,  /* it answers a miss with that token */
    MISS_MIXED, /* it answers one of several, of different tokens, or one whose token is not known */
    MISS_DOUBT  /* it may answer a miss, or be a mutation */
};

/* entries: rounded up to a power of two, at least 64. window: of epoch mode, at most 10 minutes.
 * All times are monotonic microseconds. NULL without memory. */
struct misses *misses_create(unsigned entries, uint64_t window, uint64_t now);
/*
 * The one in that folder's file. Without a file one is made. Where it is of another size, of
 * another window or damaged, where it cannot be used at all, the memory begins empty and all sets
 * are in doubt for one window. That is logged. NULL without memory.
 */
struct misses *misses_open(const char *folder, unsigned entries, uint64_t window, uint64_t now);
void misses_destroy(struct misses *misses);
unsigned misses_entries(const struct misses *misses);
/* Epoch mode's window from now on. */
void misses_set_window(struct misses *misses, uint64_t window, uint64_t now);
/* Every 100 ms, on one thread: lets go of what is old. */
void misses_tick(struct misses *misses, uint64_t now);

/* token: of the epoch at that miss, all zero if it is not known; NULL: in fan-out mode. */
void misses_record(struct misses *misses, struct misses_counts *counts, const struct miss *miss,
                   const struct token *token, uint64_t now);
/* Epoch mode: what a set of that key is. One miss is forgotten with this. MISS_FILL: *token. */
enum miss_verdict misses_take(struct misses *misses, struct misses_counts *counts,
                              const struct miss *miss, uint64_t now,
                              struct token *token) MUST_CHECK;
/* Fan-out: is a recent miss of that key remembered? It is forgotten with this. */
bool misses_take_recent(struct misses *misses, struct misses_counts *counts,
                        const struct miss *miss, uint64_t now) MUST_CHECK;
/* Is a miss of that key remembered, and recent for fan-out mode? It stays so. A guess. */
bool misses_knows(const struct misses *misses, const struct miss *miss, uint64_t now);

#endif
