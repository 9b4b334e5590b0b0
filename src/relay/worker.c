#include "crossfade/relay/worker.h"

#include "crossfade/base/ensure.h"
#include "crossfade/net/loop.h"
#include "crossfade/relay/http_plane.h"
#include "crossfade/relay/mc_flush.h"
#include "crossfade/relay/mc_login.h"
#include "crossfade/relay/mc_plane.h"

#include <stdlib.h>

static void ask_nobody(struct worker *worker)
{
    (void)worker;
}

bool worker_init(struct worker *worker, unsigned index, struct telemetry *telemetry)
{
    int cell = cells_index(telemetry->workers, "worker");
    uint64_t start;

    *worker = (struct worker){ .index = index, .telemetry = telemetry, .ask_main = ask_nobody };
    STAILQ_INIT(&worker->tasks);
    STAILQ_INIT(&worker->graves);
    if (cell < 0 || !token_start(&start))
        return false;
    token_source_init(&worker->tokens, start, index);
    worker->cell = cells_get(telemetry->workers, (unsigned)cell, index);
    worker->base = loop_create();
    worker->flushes = calloc(1, sizeof(*worker->flushes));
    worker->logins = calloc(1, sizeof(*worker->logins));
    if (worker->base == NULL || worker->flushes == NULL || worker->logins == NULL) {
        if (worker->base != NULL)
            loop_destroy(worker->base);
        free(worker->flushes);
        free(worker->logins);
        return false;
    }
    buffer_pool_init(&worker->buffers);
    return true;
}

void worker_deinit(struct worker *worker)
{
    ensure(worker->mc == NULL && worker->http == NULL);
    worker_end_turn(worker);
    if (worker->current != NULL)
        worker_unpin(worker, worker->current);
    worker->current = NULL;
    buffer_pool_deinit(&worker->buffers);
    loop_destroy(worker->base);
    free(worker->flushes);
    free(worker->logins);
}

void worker_end_turn(struct worker *worker)
{
    struct turn_task *task;

    while ((task = STAILQ_FIRST(&worker->tasks)) != NULL) {
        STAILQ_REMOVE_HEAD(&worker->tasks, next);
        task->queued = false;
        task->run(task);
    }
    while ((task = STAILQ_FIRST(&worker->graves)) != NULL) {
        STAILQ_REMOVE_HEAD(&worker->graves, next);
        task->run(task);
    }
    counter_add(&worker->cell->turns, 1);
    worker->now_valid = false;
}

void worker_unpin(struct worker *worker, struct snapshot_pin *pin)
{
    (void)worker;
    ensure(pin->pins > 0);
    if (--pin->pins > 0)
        return;
    snapshot_unref(pin->snapshot);
    free(pin);
}

bool worker_adopt(struct worker *worker, struct snapshot *snapshot)
{
    const struct config *config = snapshot->plan->config;
    struct snapshot_pin *pin = malloc(sizeof(*pin));
    struct snapshot_pin *before = worker->current;

    if (pin == NULL)
        return false;
    pin->snapshot = snapshot;
    pin->pins = 1;
    worker->current = pin;
    if ((config->cache.present && worker->mc == NULL &&
         (worker->mc = mc_plane_create(worker)) == NULL) ||
        (config->web.present && worker->http == NULL &&
         (worker->http = http_plane_create(worker)) == NULL) ||
        (worker->mc != NULL && !mc_plane_adopt(worker->mc)) ||
        (worker->http != NULL && !http_plane_adopt(worker->http))) {
        worker->current = before;
        if (--pin->pins == 0)
            free(pin);
        else
            (void)snapshot_ref(snapshot); /* the one plane has it, and goes on with it */
        return false;
    }
    if (before != NULL)
        worker_unpin(worker, before);
    counter_set(&worker->cell->snapshot_generation, snapshot->generation);
    return true;
}

void worker_tick(struct worker *worker)
{
    uint64_t now = worker_now(worker);

    if (worker->mc != NULL)
        mc_plane_tick(worker->mc, now);
    if (worker->http != NULL)
        http_plane_tick(worker->http, now);
    buffer_pool_trim(&worker->buffers);
    counter_set(&worker->cell->memory_buffers, buffer_pool_size(&worker->buffers));
}
