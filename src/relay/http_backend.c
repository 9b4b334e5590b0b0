#include "crossfade/relay/http_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* After a failure to connect: 100 ms, doubled each time up to about a second, so that an
 * application server that restarts is found again soon. */
#define BACK_OFF_FIRST MILLISECONDS(100)
#define BACK_OFF_DOUBLINGS 3u

static void close_idle(struct http_backend *backend, const char *why)
{
    struct http_server *server;

    while ((server = TAILQ_FIRST(&backend->idle)) != NULL)
        http_server_close(server, why);
}

/* True: new connections go where they went before. */
static bool take_addresses(struct http_backend *backend, const struct addresses *addresses)
{
    int same = -1;

    if (backend->addresses.count > 0)
        same = addresses_find(addresses, &backend->addresses.all[backend->way]);
    backend->addresses = *addresses;
    backend->way = same >= 0 ? (unsigned)same : 0;
    backend->untried = addresses->count > 0 ? addresses->count - 1 : 0;
    if (same < 0)
        backend->retry_at = 0; /* whatever is wrong with the old address says nothing of this one */
    return same >= 0;
}

struct http_backend *http_backend_adopt(struct http_plane *plane, const struct plan_backend *place)
{
    struct http_backend *backend = plane->by_cell[place->cell];

    if (backend == NULL) {
        backend = calloc(1, sizeof(*backend));
        if (backend == NULL)
            return NULL;
        backend->name = strdup(place->config->endpoint.text);
        if (backend->name == NULL) {
            free(backend);
            return NULL;
        }
        backend->plane = plane;
        backend->index = place->cell;
        backend->cell =
            cells_get(plane->worker->telemetry->http_backends, place->cell, plane->worker->index);
        take_addresses(backend, &place->addresses);
        TAILQ_INIT(&backend->idle);
        LIST_INSERT_HEAD(&plane->backends, backend, link);
        plane->by_cell[place->cell] = backend;
    } else if (!addresses_same(&backend->addresses, &place->addresses)) {
        /* The name may mean another machine now. */
        if (!take_addresses(backend, &place->addresses))
            close_idle(backend, "the backend's address changed");
    }
    backend->gone = false;
    return backend;
}

void http_backend_drain(struct http_backend *backend)
{
    backend->gone = true;
    close_idle(backend, "the backend is not configured any more");
}

void http_backend_destroy(struct http_backend *backend)
{
    ensure(backend->connections == 0);
    counter_set(&backend->cell->down, 0);
    reach_ok(&backend->cell->reach);
    LIST_REMOVE(backend, link);
    backend->plane->by_cell[backend->index] = NULL;
    free(backend->name);
    free(backend);
}

void http_backend_failed(struct http_backend *backend, unsigned way, const char *reason)
{
    struct worker *worker = backend->plane->worker;
    unsigned doublings =
        backend->failures < BACK_OFF_DOUBLINGS ? backend->failures : BACK_OFF_DOUBLINGS;

    counter_add(&backend->cell->connect_failures, 1);
    if (way != backend->way)
        return; /* another request has found that out before */
    if (backend->addresses.count > 0)
        backend->way = (way + 1) % backend->addresses.count;
    if (backend->untried > 0) {
        backend->untried--;
        return;
    }
    if (backend->failures == 0)
        log_warn("web backend %s: %s; holding it for down", backend->name, reason);
    backend->failures++;
    backend->retry_at = worker_now(worker) + (BACK_OFF_FIRST << doublings);
    (void)snprintf(backend->reason, sizeof(backend->reason), "%s", reason);
    counter_set(&backend->cell->down, 1);
    reach_failed(&backend->cell->reach, backend->failures, backend->retry_at, reason);
    worker->ask_main(worker); /* its name may have another address by now */
}

/* Up, or still there for the connections that it has, or its back-off is over and nobody is trying.
 */
static bool may_try(const struct http_backend *backend, uint64_t now)
{
    return backend->failures == 0 || !TAILQ_EMPTY(&backend->idle) ||
           (now >= backend->retry_at && !backend->probing);
}

static uint64_t weight_of(const struct plan_backend *place)
{
    return place->config->weight > 0 ? place->config->weight : 1;
}

static struct http_backend *least_pending(struct http_plane *plane, const struct plan_arm *arm,
                                          uint64_t now)
{
    struct http_backend *best = NULL;
    uint64_t best_weight = 1;
    size_t from = plane->turn_of++ % arm->backend_count;

    for (size_t i = 0; i < arm->backend_count; i++) {
        const struct plan_backend *place = &arm->backends[(from + i) % arm->backend_count];
        struct http_backend *backend = plane->by_cell[place->cell];
        uint64_t weight = weight_of(place);

        if (backend == NULL || !may_try(backend, now))
            continue;
        if (best == NULL || (backend->active + 1) * best_weight < (best->active + 1) * weight) {
            best = backend;
            best_weight = weight;
        }
    }
    return best;
}

/* Smooth: each round everyone earns its weight, the richest is taken and pays for the round. */
static struct http_backend *round_robin(struct http_plane *plane, const struct plan_arm *arm,
                                        uint64_t now)
{
    struct http_backend *best = NULL;
    int64_t total = 0;

    for (size_t i = 0; i < arm->backend_count; i++) {
        const struct plan_backend *place = &arm->backends[i];
        struct http_backend *backend = plane->by_cell[place->cell];

        if (backend == NULL || !may_try(backend, now))
            continue;
        backend->credit += (int64_t)weight_of(place);
        total += (int64_t)weight_of(place);
        if (best == NULL || backend->credit > best->credit)
            best = backend;
    }
    if (best != NULL)
        best->credit -= total;
    return best;
}

struct http_backend *http_backend_choose(struct http_plane *plane, const struct plan_arm *arm,
                                         enum config_balance balance, char *reason,
                                         size_t reason_size)
{
    uint64_t now = worker_now(plane->worker);
    struct http_backend *chosen = NULL;

    if (arm->backend_count == 0) {
        (void)snprintf(reason, reason_size, "it has no backends");
        return NULL;
    }
    if (arm->backend_count == 1) {
        struct http_backend *only = plane->by_cell[arm->backends[0].cell];
        if (only != NULL && may_try(only, now))
            chosen = only;
    } else {
        chosen = balance == BALANCE_ROUND_ROBIN ? round_robin(plane, arm, now)
                                                : least_pending(plane, arm, now);
    }
    if (chosen == NULL) {
        struct http_backend *first = plane->by_cell[arm->backends[0].cell];
        if (first != NULL && first->failures > 0)
            (void)snprintf(reason, reason_size, "backend %s is down: %s", first->name,
                           first->reason);
        else
            (void)snprintf(reason, reason_size, "none of its backends can be reached");
    }
    return chosen;
}
