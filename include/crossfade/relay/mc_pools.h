/*
 * The inside of struct mc_plane, for its own modules.
 */
#ifndef CROSSFADE_RELAY_MC_POOLS_H
#define CROSSFADE_RELAY_MC_POOLS_H

#include "config.h"
#include "crossfade/base/slab.h"
#include "crossfade/relay/greeting.h"
#include "crossfade/relay/mc_client.h"
#include "crossfade/relay/mc_journal.h"

struct mc_change;
struct families;

struct mc_plane {
    struct worker *worker;
    uint32_t observe_in;       /* commands until one is looked at (relay/mc_observe.h) */
    uint32_t observe_weight;   /* how many it stands for */
    uint32_t observe_interval; /* one in so many, on average */
    uint32_t observe_taken;    /* looked at since the last tick, or since the interval grew */
    uint64_t observe_dice;
    struct families *families; /* what was seen */
    struct slab clients;
    struct slab ops;
    struct slab epoch_parts;             /* relay/mc_epoch.c */
    struct slab changes;                 /* relay/mc_change.c */
    LIST_HEAD(, mc_change) parked;       /* of these: those that wait for another's */
    TAILQ_HEAD(, mc_client) client_list; /* with an idle timeout: longest idle first */
    LIST_HEAD(, mc_client) owed;         /* those that do not read as fast as they are answered */
    size_t client_count;
    struct greetings greetings;        /* clients on their way through a TLS handshake */
    TAILQ_HEAD(, mc_client) strangers; /* have no arm yet; oldest first */
    struct mc_arm_cell nobody;         /* what they count for: shown nowhere */
    uint64_t log_again;                /* lines about them: when the next may be written... */
    unsigned logged;
    unsigned log_left_out;          /* ...and how many were not */
    uint64_t misses_lost;           /* of all workers, that were told in the log (worker 0)... */
    uint64_t misses_again;          /* ...and when the next may be */
    LIST_HEAD(, mc_server) servers; /* named by a view, or still owing replies */
    struct mc_owed unowed;          /* to servers, where there is no journal: nothing */
    struct mc_view *view;           /* of the current plan; NULL: it has no cache plane */
    uint64_t command;               /* one more with each that is taken from a client */
    unsigned crowded;               /* servers that take no more commands (cache.max_waiting) */
    uint64_t next_batch;            /* for gat, whose keys share a command only with their own */
    uint32_t next_mark;             /* for the requests of the meta protocol */
    uint16_t next_affinity;
    struct mc_op_queue flushing; /* flush_all, waiting for the main thread, in order */
    uint64_t flushes_collected;  /* verdicts handed out */
};

#define MC_VERSION_TEXT "1.6.18-crossfade-" PACKAGE_VERSION

struct mc_view *mc_view_ref(struct mc_view *view);
void mc_view_unref(struct mc_plane *plane, struct mc_view *view);
static inline const struct plan *mc_client_plan(const struct mc_client *client)
{
    return client->view->pin->snapshot->plan;
}
static inline const struct config_cache *mc_view_config(const struct mc_view *view)
{
    return &view->pin->snapshot->plan->config->cache;
}

#endif
