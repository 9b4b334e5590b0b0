/*
 * A look at what a key's server holds, for people (`crossfadectl explain`): the main thread asks
 * one worker, which sends errands (relay/mc_errand.h) and says so when all are answered.
 *
 *   main thread                                 worker
 *   mc_look_ask --- worker->looks, wake ------> mc_look_take: errands, in the order of the items
 *   mc_look_is_done <-- look->done, ask_main -- the last of them is answered
 *
 * The main thread owns it, and may not touch it between the two. Each item is looked at for itself:
 * what a client does in between is seen by some and not by others.
 */
#ifndef CROSSFADE_RELAY_MC_LOOK_H
#define CROSSFADE_RELAY_MC_LOOK_H

#include "crossfade/conf/config.h"
#include "crossfade/relay/mc_errand.h"

#include <stdatomic.h>

struct worker;

#define MC_LOOK_ITEMS (CONFIG_ARMS_MAX + 2u) /* each arm's, the epoch item, the unprefixed one */

enum mc_look_result {
    MC_LOOK_FOUND,
    MC_LOOK_ABSENT,
    MC_LOOK_UNKNOWN /* item->why is a sentence */
};

struct mc_look;

struct mc_look_item {
    char wire[KEY_MAX]; /* to look for */
    size_t wire_len;
    enum mc_look_result result;
    char why[256];
    size_t length; /* of the value on the server */
    uint32_t flags;
    uint64_t cas;
    int64_t ttl;             /* seconds left, or MC_TTL_... */
    char head[EPOCH_LENGTH]; /* its first bytes */
    size_t head_len;
    bool forgotten; /* if it is an epoch item: it is older than what its server was not told */
    struct mc_errand errand; /* the worker's */
    struct mc_look *look;
};

struct mc_look {
    char key[KEY_MAX]; /* the client's: it chooses the server */
    size_t key_len;
    size_t count;
    struct mc_look_item items[MC_LOOK_ITEMS];
    uint64_t gate; /* mc_owed of the server: are reads held back? */
    const struct mc_owed *owed;
    struct mc_plane *plane; /* the worker's */
    size_t pending;         /* the worker's */
    struct mc_look *next;   /* of those that wait for the worker */
    _Atomic bool done;
};

/* NULL without memory. `key` has at most KEY_MAX bytes. */
struct mc_look *mc_look_create(struct slice key);
/* The key at that place is to be looked for; returns its item. */
struct mc_look_item *mc_look_add(struct mc_look *look, const struct key_place *place,
                                 struct slice key);

/* Main thread. The worker has to be woken. */
void mc_look_ask(struct worker *worker, struct mc_look *look);
static inline bool mc_look_is_done(const struct mc_look *look)
{
    return atomic_load_explicit(&look->done, memory_order_acquire);
}

/* Worker: begins all that it was asked for. */
void mc_look_take(struct worker *worker);

#endif
