/*
 * What a request is decided by. A plan is made from one configuration and holds all that follows
 * from it; a snapshot is a plan and the rollout's position. Both are immutable and
 * reference-counted; the main thread builds and publishes, a worker takes the newest at the start
 * of a loop turn, and each request pins (worker_pin) the snapshot that it began with, so that no
 * request sees two.
 */
#ifndef CROSSFADE_RELAY_SNAPSHOT_H
#define CROSSFADE_RELAY_SNAPSHOT_H

#include "crossfade/conf/config.h"
#include "crossfade/net/address.h"
#include "crossfade/relay/telemetry.h"
#include "crossfade/relay/tls_set.h"
#include "crossfade/route/cohort.h"
#include "crossfade/route/keyspace.h"
#include "crossfade/route/misses.h"
#include "crossfade/route/placement.h"

#include <stdatomic.h>

struct plan_backend {
    const struct config_backend *config;
    struct addresses addresses; /* none: its name has not been resolved yet */
    unsigned cell;              /* in telemetry->http_backends, or mc_servers */
    bool drained;               /* memcached servers: by the operator; no request goes there */
};

struct plan_arm {
    const struct config_arm *config;
    unsigned cache_cell;
    unsigned web_cell;
    struct plan_backend *backends;
    size_t backend_count;
};

struct misses_box { /* kept over reloads; shared by plans */
    _Atomic unsigned refs;
    struct misses *misses;
};

struct plan {
    _Atomic unsigned refs;
    struct plan *base;     /* of a copy: owns what all copies share, which is marked by (s) */
    struct config *config; /* (s) */
    struct plan_arm *arms; /* as config->arms */
    struct plan_backend *servers; /* as config->cache.servers */
    struct tls_set *tls;          /* (s) of listeners and servers */
    unsigned *tls_cells;          /* (s) in telemetry->tls, as config->cache.listeners */
    unsigned *listener_cells;     /* (s) in telemetry->mc_listeners, as config->cache.listeners */
    struct keyspace *keyspace;    /* NULL without a cache plane */
    struct placement *placement;  /* (s) NULL without a cache plane */
    struct misses_box *misses;    /* (s) NULL without a cache plane */
    struct cohort *cohort;        /* (s) NULL without a rollout */
};

struct snapshot {
    _Atomic unsigned refs;
    uint64_t generation; /* one more with each publication */
    struct plan *plan;
    struct cohort_position position;
};

/*
 * Takes over `config` (freed on failure too). generations: one for each of its arms. Resolves
 * names, makes cells. `previous` may be NULL; what goes on of it: the memory of misses, the
 * addresses of the names that it knows, and which servers are drained. NULL with a sentence in
 * error[].
 */
struct plan *plan_create(struct config *config, const uint64_t *generations,
                         const struct plan *previous, struct telemetry *telemetry, char *error,
                         size_t error_size);
/* At the start, before a worker has the plan: the memory of misses is the one that is kept in that
 * folder. False without memory. */
bool plan_keep_misses(struct plan *plan, const char *folder) MUST_CHECK;
/*
 * A copy with these generations of the arms' namespaces, whose servers and backends may be changed
 * before it is published. NULL without memory.
 */
struct plan *plan_copy(struct plan *plan, const uint64_t *generations);
/* Before publication: that name has these addresses now, wherever the plan uses it. */
void plan_place(struct plan *plan, const char *name, const struct addresses *addresses);
/* The addresses of that name; NULL: the plan has no such server or backend. */
const struct addresses *plan_addresses(const struct plan *plan, const char *name);
/* The memcached server that is configured by that name, or NULL. */
struct plan_backend *plan_server(const struct plan *plan, const char *name);
struct plan *plan_ref(struct plan *plan);
void plan_unref(struct plan *plan);

/* A snapshot with one reference; takes a reference of its own on the plan. NULL without memory. */
struct snapshot *snapshot_create(struct plan *plan, struct cohort_position position,
                                 uint64_t generation);
struct snapshot *snapshot_ref(struct snapshot *snapshot);
void snapshot_unref(struct snapshot *snapshot);

#endif
