#include "crossfade/relay/mc_flush.h"

#include "crossfade/relay/mc_pools.h"

#include <stdio.h>

const char *mc_flush_reason(enum mc_flush_result result)
{
    switch (result) {
    case MC_FLUSH_DONE:
        break;
    case MC_FLUSH_NOT_DURABLE:
        return "the flush could not be made durable; see the daemon's log";
    case MC_FLUSH_BUSY:
        return "too many flushes are under way; try again";
    case MC_FLUSH_REFUSED:
        return "flush_all is refused here: it would empty the cache of every version";
    case MC_FLUSH_UNPREFIXED:
        return "flush_all is refused here: this version's keys have no prefix, so it would empty "
               "the cache of every version";
    }
    return "";
}

static void refuse(struct mc_op *op, enum mc_flush_result result)
{
    counter_add(&op->cell->refused, 1);
    op->client->dialect->flushed(op, result);
}

void mc_flush_begin(struct mc_client *client, struct mc_op *op, uint64_t delay)
{
    struct mc_plane *plane = client->plane;
    struct worker *worker = plane->worker;
    struct mc_flush_queue *queue = worker->flushes;
    const struct plan *plan = client->view->pin->snapshot->plan;
    uint64_t asked = atomic_load_explicit(&queue->asked, memory_order_relaxed);
    struct mc_flush_wish *wish = &queue->wishes[asked % MC_FLUSH_QUEUE];

    op->flags |= MC_OP_LOCAL;
    mc_client_expect(client, op);
    if (plan->config->cache.flush_all == FLUSH_REFUSE) {
        refuse(op, MC_FLUSH_REFUSED);
        return;
    }
    if (plan->config->arms[client->arm].namespace[0] == '\0') {
        refuse(op, MC_FLUSH_UNPREFIXED);
        return;
    }
    if (asked - plane->flushes_collected >= MC_FLUSH_QUEUE) {
        refuse(op, MC_FLUSH_BUSY);
        return;
    }
    STAILQ_INSERT_TAIL(&plane->flushing, op, in_connection);
    (void)snprintf(wish->arm, sizeof(wish->arm), "%s", plan->config->arms[client->arm].name);
    wish->delay = delay;
    atomic_store(&queue->asked, asked + 1);
    client->flushing = true;
    counter_add(&client->cell->flushes, 1);
    worker->ask_main(worker);
}

void mc_flush_collect(struct mc_plane *plane)
{
    struct mc_flush_queue *queue = plane->worker->flushes;
    uint64_t answered = atomic_load(&queue->answered);

    while (plane->flushes_collected < answered) {
        const struct mc_flush_wish *wish =
            &queue->wishes[plane->flushes_collected % MC_FLUSH_QUEUE];
        struct mc_op *op = STAILQ_FIRST(&plane->flushing);

        STAILQ_REMOVE_HEAD(&plane->flushing, in_connection);
        plane->flushes_collected++;
        if (op->client == NULL) {
            mc_op_part_done(op, slice_of(NULL, 0));
            continue;
        }
        op->client->flushing = false;
        op->client->dialect->flushed(op, wish->granted ? MC_FLUSH_DONE : MC_FLUSH_NOT_DURABLE);
    }
}

bool mc_flush_take(struct worker *worker, struct mc_flush_wish *wish)
{
    struct mc_flush_queue *queue = worker->flushes;

    if (queue->taken == atomic_load(&queue->asked))
        return false;
    *wish = queue->wishes[queue->taken % MC_FLUSH_QUEUE];
    queue->taken++;
    return true;
}

void mc_flush_answer(struct worker *worker, bool granted)
{
    struct mc_flush_queue *queue = worker->flushes;
    uint64_t answered = atomic_load_explicit(&queue->answered, memory_order_relaxed);

    queue->wishes[answered % MC_FLUSH_QUEUE].granted = granted;
    atomic_store(&queue->answered, answered + 1);
}
