/*
 * What a request is decided by. A plan is made from one configuration and holds all that follows from
 * it; a snapshot is a plan and the rollout's position. Both are immutable and reference-counted; the
 * main thread builds and publishes, a worker takes the newest at the start of a loop turn, and each
 * request pins (worker_pin) the snapshot that it began with, so that no request sees two.
 */
#ifndef CROSSFADE_RELAY_SNAPSHOT_H
#define CROSSFADE_RELAY_SNAPSHOT_H

#include "crossfade/conf/config.h"
#include "crossfade/net/address.h"
#include "crossfade/relay/telemetry.h"
#include "crossfade/route/cohort.h"
#include "crossfade/route/keyspace.h"
#include "crossfade/route/misses.h"
#include "crossfade/route/placement.h"

#include <stdatomic.h>

struct plan_backend {
    const struct config_backend *config;
    struct address address;
    unsigned cell; /* in telemetry->http_backends, or mc_servers */
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
    struct plan *base;           /* of a plan that differs in its generations only: owns all else */
    struct config *config; /* owned */
    struct plan_arm *arms; /* as config->arms */
    struct plan_backend *servers; /* as config->cache.servers */
    struct keyspace *keyspace;   /* NULL without a cache plane */
    struct placement *placement; /* NULL without a cache plane */
    struct misses_box *misses;   /* NULL without a cache plane */
    struct cohort *cohort;       /* NULL without a rollout */
};

struct snapshot {
    _Atomic unsigned refs;
    uint64_t generation; /* one more with each publication */
    struct plan *plan;
    struct cohort_position position;
};

/*
 * Takes over `config` (freed on failure too). generations: one for each of its arms. Resolves names, makes cells. `previous` may be NULL; its
 * memory of misses goes on if the size is the same. NULL with a sentence in error[].
 */
struct plan *plan_create(struct config *config, const uint64_t *generations,
                         const struct plan *previous, struct telemetry *telemetry, char *error,
                         size_t error_size);
/* The same with other generations of the arms' namespaces. NULL without memory. */
struct plan *plan_regenerate(struct plan *plan, const uint64_t *generations);
struct plan *plan_ref(struct plan *plan);
void plan_unref(struct plan *plan);

/* A snapshot with one reference; takes a reference of its own on the plan. NULL without memory. */
struct snapshot *snapshot_create(struct plan *plan, struct cohort_position position,
                                 uint64_t generation);
struct snapshot *snapshot_ref(struct snapshot *snapshot);
void snapshot_unref(struct snapshot *snapshot);

#endif
