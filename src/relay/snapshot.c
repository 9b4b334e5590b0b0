#include "crossfade/relay/snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void misses_box_unref(struct misses_box *box)
{
    if (box == NULL || atomic_fetch_sub(&box->refs, 1) != 1)
        return;
    misses_destroy(box->misses);
    free(box);
}

/* The memory of misses outlives a reload: a fill under way must still find its miss. */
static struct misses_box *misses_box_for(const struct config *config, const struct plan *previous)
{
    struct misses_box *box = previous != NULL ? previous->misses : NULL;
    struct misses *fresh = misses_create(config->cache.recent_misses);

    if (fresh == NULL)
        return NULL;
    if (box != NULL && misses_entries(box->misses) == misses_entries(fresh)) {
        misses_destroy(fresh);
        atomic_fetch_add(&box->refs, 1);
        return box;
    }
    box = malloc(sizeof(*box));
    if (box == NULL) {
        misses_destroy(fresh);
        return NULL;
    }
    atomic_init(&box->refs, 1);
    box->misses = fresh;
    return box;
}

static bool fill_backends(struct plan_backend **out, const struct config_backend *configs,
                          size_t count, struct cells *cells, const char *arm, char *error,
                          size_t error_size)
{
    struct plan_backend *backends = calloc(count > 0 ? count : 1, sizeof(*backends));

    *out = backends;
    if (backends == NULL) {
        (void)snprintf(error, error_size, "out of memory");
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        char name[512];
        int cell;

        (void)snprintf(name, sizeof(name), "%s%s%s", arm != NULL ? arm : "", arm != NULL ? " " : "",
                       configs[i].endpoint.text);
        cell = cells_index(cells, name);
        if (cell < 0) {
            (void)snprintf(error, error_size,
                           "%s: too many different addresses since the start; restart the daemon",
                           configs[i].endpoint.text);
            return false;
        }
        backends[i].config = &configs[i];
        backends[i].cell = (unsigned)cell;
        if (!address_resolve(&configs[i].endpoint, &backends[i].address, error, error_size))
            return false;
    }
    return true;
}

static bool fill_plan(struct plan *plan, const uint64_t *generations, const struct plan *previous,
                      struct telemetry *telemetry, char *error, size_t error_size)
{
    const struct config *config = plan->config;

    (void)snprintf(error, error_size, "out of memory");
    plan->arms = calloc(config->arm_count > 0 ? config->arm_count : 1, sizeof(*plan->arms));
    if (plan->arms == NULL)
        return false;
    for (size_t i = 0; i < config->arm_count; i++) {
        struct plan_arm *arm = &plan->arms[i];
        int cache_cell = cells_index(telemetry->mc_arms, config->arms[i].name);
        int web_cell = cells_index(telemetry->http_arms, config->arms[i].name);

        if (cache_cell < 0 || web_cell < 0) {
            (void)snprintf(error, error_size,
                           "too many different arms since the start; restart the daemon");
            return false;
        }
        arm->config = &config->arms[i];
        arm->cache_cell = (unsigned)cache_cell;
        arm->web_cell = (unsigned)web_cell;
        arm->backend_count = config->arms[i].backend_count;
        if (!fill_backends(&arm->backends, config->arms[i].backends, arm->backend_count,
                           telemetry->http_backends, config->arms[i].name, error, error_size))
            return false;
    }
    if (config->cache.present) {
        if (!fill_backends(&plan->servers, config->cache.servers, config->cache.server_count,
                           telemetry->mc_servers, NULL, error, error_size))
            return false;
        plan->keyspace = keyspace_create(config, generations);
        plan->placement = placement_create(config);
        plan->misses = misses_box_for(config, previous);
        if (plan->placement == NULL) {
            (void)snprintf(error, error_size,
                           "libmemcached refuses this distribution, hash or list of servers");
            return false;
        }
        if (plan->keyspace == NULL || plan->misses == NULL)
            return false;
    }
    if (config->rollout.present) {
        plan->cohort = cohort_create(config);
        if (plan->cohort == NULL)
            return false;
    }
    error[0] = '\0';
    return true;
}

static void plan_free(struct plan *plan)
{
    if (plan->base != NULL) {
        keyspace_destroy(plan->keyspace);
        plan_unref(plan->base);
        free(plan);
        return;
    }
    for (size_t i = 0; plan->arms != NULL && i < plan->config->arm_count; i++)
        free(plan->arms[i].backends);
    free(plan->arms);
    free(plan->servers);
    if (plan->keyspace != NULL)
        keyspace_destroy(plan->keyspace);
    if (plan->placement != NULL)
        placement_destroy(plan->placement);
    misses_box_unref(plan->misses);
    if (plan->cohort != NULL)
        cohort_destroy(plan->cohort);
    config_free(plan->config);
    free(plan);
}

struct plan *plan_create(struct config *config, const uint64_t *generations,
                         const struct plan *previous, struct telemetry *telemetry, char *error,
                         size_t error_size)
{
    struct plan *plan = calloc(1, sizeof(*plan));

    if (plan == NULL) {
        config_free(config);
        (void)snprintf(error, error_size, "out of memory");
        return NULL;
    }
    atomic_init(&plan->refs, 1);
    plan->config = config;
    if (!fill_plan(plan, generations, previous, telemetry, error, error_size)) {
        plan_free(plan);
        return NULL;
    }
    return plan;
}

struct plan *plan_regenerate(struct plan *plan, const uint64_t *generations)
{
    struct plan *base = plan->base != NULL ? plan->base : plan;
    struct plan *fresh = malloc(sizeof(*fresh));

    if (fresh == NULL)
        return NULL;
    atomic_init(&fresh->refs, 1);
    fresh->config = base->config;
    fresh->arms = base->arms;
    fresh->servers = base->servers;
    fresh->placement = base->placement;
    fresh->misses = base->misses;
    fresh->cohort = base->cohort;
    fresh->keyspace = keyspace_create(base->config, generations);
    if (fresh->keyspace == NULL) {
        free(fresh);
        return NULL;
    }
    fresh->base = plan_ref(base);
    return fresh;
}

struct plan *plan_ref(struct plan *plan)
{
    atomic_fetch_add(&plan->refs, 1);
    return plan;
}

void plan_unref(struct plan *plan)
{
    if (plan != NULL && atomic_fetch_sub(&plan->refs, 1) == 1)
        plan_free(plan);
}

struct snapshot *snapshot_create(struct plan *plan, struct cohort_position position,
                                 uint64_t generation)
{
    struct snapshot *snapshot = malloc(sizeof(*snapshot));

    if (snapshot == NULL)
        return NULL;
    atomic_init(&snapshot->refs, 1);
    snapshot->generation = generation;
    snapshot->plan = plan_ref(plan);
    snapshot->position = position;
    return snapshot;
}

struct snapshot *snapshot_ref(struct snapshot *snapshot)
{
    atomic_fetch_add(&snapshot->refs, 1);
    return snapshot;
}

void snapshot_unref(struct snapshot *snapshot)
{
    if (snapshot == NULL || atomic_fetch_sub(&snapshot->refs, 1) != 1)
        return;
    plan_unref(snapshot->plan);
    free(snapshot);
}
