#include "crossfade/relay/snapshot.h"

#include "crossfade/base/clock.h"
#include "crossfade/base/log.h"

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

/*
 * The memory of misses outlives a reload: a fill under way must still find its miss. For the same
 * reason its size stays as it is until a restart.
 */
static struct misses_box *misses_box_for(const struct config *config, const struct plan *previous)
{
    struct misses_box *box = previous != NULL ? previous->misses : NULL;
    uint64_t now = clock_now();

    if (box != NULL) {
        atomic_fetch_add(&box->refs, 1);
        return box;
    }
    box = malloc(sizeof(*box));
    if (box == NULL)
        return NULL;
    atomic_init(&box->refs, 1);
    /* Before the start state_dir may be somebody else's: plan_keep_misses. */
    box->misses = previous != NULL
                      ? misses_open(previous->config->process.state_dir,
                                    config->cache.recent_misses, config->cache.fill_window, now)
                      : misses_create(config->cache.recent_misses, config->cache.fill_window, now);
    if (box->misses == NULL) {
        free(box);
        return NULL;
    }
    return box;
}

bool plan_keep_misses(struct plan *plan, const char *folder)
{
    const struct config_cache *cache = &plan->config->cache;
    struct misses *kept;

    if (plan->misses == NULL)
        return true;
    kept = misses_open(folder, cache->recent_misses, cache->fill_window, clock_now());
    if (kept == NULL)
        return false;
    misses_destroy(plan->misses->misses);
    plan->misses->misses = kept;
    return true;
}

const struct addresses *plan_addresses(const struct plan *plan, const char *name)
{
    const struct plan_backend *server = plan_server(plan, name);

    if (server != NULL)
        return &server->addresses;
    for (size_t a = 0; a < plan->config->arm_count; a++)
        for (size_t i = 0; i < plan->arms[a].backend_count; i++)
            if (strcmp(plan->arms[a].backends[i].config->endpoint.text, name) == 0)
                return &plan->arms[a].backends[i].addresses;
    return NULL;
}

struct plan_backend *plan_server(const struct plan *plan, const char *name)
{
    for (size_t i = 0; plan->config->cache.present && i < plan->config->cache.server_count; i++)
        if (strcmp(plan->servers[i].config->endpoint.text, name) == 0)
            return &plan->servers[i];
    return NULL;
}

void plan_place(struct plan *plan, const char *name, const struct addresses *addresses)
{
    struct plan_backend *server = plan_server(plan, name);

    if (server != NULL)
        server->addresses = *addresses;
    for (size_t a = 0; a < plan->config->arm_count; a++)
        for (size_t i = 0; i < plan->arms[a].backend_count; i++)
            if (strcmp(plan->arms[a].backends[i].config->endpoint.text, name) == 0)
                plan->arms[a].backends[i].addresses = *addresses;
}

/*
 * A name that was resolved before keeps its addresses: it is looked up again in the background
 * (app/resolver), and a name server that fails must not fail a reload.
 */
static bool place_backend(struct plan_backend *backend, const struct config *config,
                          const struct plan *previous, char *error, size_t error_size)
{
    const struct config_endpoint *endpoint = &backend->config->endpoint;
    const struct addresses *known =
        previous != NULL ? plan_addresses(previous, endpoint->text) : NULL;

    if (known != NULL && known->count > 0) {
        backend->addresses = *known;
        return true;
    }
    if (addresses_resolve(endpoint, &backend->addresses, error, error_size))
        return true;
    if (!config->process.resolve_optional || !address_is_name(endpoint))
        return false;
    log_warn("%s; going on without it", error);
    return true;
}

static bool fill_backends(struct plan_backend **out, const struct config_backend *configs,
                          size_t count, struct cells *cells, const char *arm,
                          const struct config *config, const struct plan *previous, char *error,
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
        if (!place_backend(&backends[i], config, previous, error, error_size))
            return false;
    }
    return true;
}

static bool fill_servers(struct plan *plan, const struct plan *previous,
                         struct telemetry *telemetry, char *error, size_t error_size)
{
    const struct config *config = plan->config;

    if (!fill_backends(&plan->servers, config->cache.servers, config->cache.server_count,
                       telemetry->mc_servers, NULL, config, previous, error, error_size))
        return false;
    for (size_t i = 0; previous != NULL && i < config->cache.server_count; i++) {
        const struct plan_backend *before =
            plan_server(previous, config->cache.servers[i].endpoint.text);
        plan->servers[i].drained = before != NULL && before->drained;
    }
    return true;
}

struct tls_faults {
    const struct config *config;
    char *error; /* the first fault */
    size_t size;
    bool any;
};

static void report_tls(void *context, bool fault, unsigned line, unsigned column, const char *path,
                       const char *text)
{
    struct tls_faults *faults = context;

    if (!fault)
        log_warn("%s:%u:%u: %s %s", faults->config->file, line, column, path, text);
    else if (!faults->any)
        (void)snprintf(faults->error, faults->size, "%s:%u:%u: %s %s", faults->config->file, line,
                       column, path, text);
    faults->any = faults->any || fault;
}

static bool fill_tls(struct plan *plan, const struct plan *previous, struct telemetry *telemetry,
                     char *error, size_t error_size)
{
    const struct config_cache *cache = &plan->config->cache;
    struct tls_faults faults = { plan->config, error, error_size, false };

    plan->tls =
        tls_set_create(plan->config, previous != NULL ? previous->tls : NULL, report_tls, &faults);
    if (plan->tls == NULL)
        return false;
    plan->tls_cells = calloc(plan->tls->listener_count + 1, sizeof(*plan->tls_cells));
    if (plan->tls_cells == NULL)
        return false;
    for (size_t i = 0; i < plan->tls->listener_count; i++) {
        int cell;

        if (plan->tls->listeners[i] == NULL)
            continue;
        cell = cells_index(telemetry->tls, cache->listeners[i].endpoint.text);
        if (cell < 0) {
            (void)snprintf(error, error_size,
                           "%s: too many different addresses since the start; restart the daemon",
                           cache->listeners[i].endpoint.text);
            return false;
        }
        plan->tls_cells[i] = (unsigned)cell;
    }
    return true;
}

/* NULL with a sentence in error[]. */
static unsigned *find_listener_cells(const struct config *config, struct telemetry *telemetry,
                                     char *error, size_t error_size)
{
    size_t count = config->cache.listener_count;
    unsigned *found = calloc(count > 0 ? count : 1, sizeof(*found));

    for (size_t i = 0; found != NULL && i < count; i++) {
        int cell = cells_index(telemetry->mc_listeners, config->cache.listeners[i].endpoint.text);
        if (cell < 0) {
            (void)snprintf(error, error_size,
                           "too many different listeners since the start; restart the daemon");
            free(found);
            return NULL;
        }
        found[i] = (unsigned)cell;
    }
    return found;
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
                           telemetry->http_backends, config->arms[i].name, config, previous, error,
                           error_size))
            return false;
    }
    if (!fill_tls(plan, previous, telemetry, error, error_size))
        return false;
    (void)snprintf(error, error_size, "out of memory");
    if (config->cache.present) {
        plan->listener_cells = find_listener_cells(config, telemetry, error, error_size);
        if (plan->listener_cells == NULL)
            return false;
        if (!fill_servers(plan, previous, telemetry, error, error_size))
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
    for (size_t i = 0; plan->arms != NULL && i < plan->config->arm_count; i++)
        free(plan->arms[i].backends);
    free(plan->arms);
    free(plan->servers);
    if (plan->keyspace != NULL)
        keyspace_destroy(plan->keyspace);
    if (plan->base != NULL) {
        plan_unref(plan->base);
        free(plan);
        return;
    }
    tls_set_destroy(plan->tls);
    free(plan->tls_cells);
    free(plan->listener_cells);
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

/* NULL without memory. */
static struct plan_backend *copy_backends(const struct plan_backend *backends, size_t count)
{
    struct plan_backend *copy = calloc(count > 0 ? count : 1, sizeof(*copy));

    if (copy != NULL && count > 0)
        memcpy(copy, backends, count * sizeof(*copy));
    return copy;
}

static bool copy_arms(struct plan *to, const struct plan *from)
{
    size_t count = from->config->arm_count;

    to->arms = calloc(count > 0 ? count : 1, sizeof(*to->arms));
    for (size_t i = 0; to->arms != NULL && i < count; i++) {
        to->arms[i] = from->arms[i];
        to->arms[i].backends = copy_backends(from->arms[i].backends, from->arms[i].backend_count);
    }
    for (size_t i = 0; to->arms != NULL && i < count; i++)
        if (to->arms[i].backends == NULL)
            return false;
    return to->arms != NULL;
}

struct plan *plan_copy(struct plan *plan, const uint64_t *generations)
{
    const struct config_cache *cache = &plan->config->cache;
    struct plan *copy = calloc(1, sizeof(*copy));
    bool ok;

    if (copy == NULL)
        return NULL;
    atomic_init(&copy->refs, 1);
    copy->base = plan_ref(plan->base != NULL ? plan->base : plan);
    copy->config = plan->config;
    copy->placement = plan->placement;
    copy->misses = plan->misses;
    copy->listener_cells = plan->listener_cells;
    copy->cohort = plan->cohort;
    copy->tls = plan->tls;
    copy->tls_cells = plan->tls_cells;
    ok = copy_arms(copy, plan);
    if (cache->present) {
        copy->keyspace = keyspace_create(plan->config, generations);
        copy->servers = copy_backends(plan->servers, cache->server_count);
        ok = ok && copy->keyspace != NULL && copy->servers != NULL;
    }
    if (ok)
        return copy;
    plan_free(copy);
    return NULL;
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
