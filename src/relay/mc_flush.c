#include "crossfade/relay/mc_flush.h"

#include "crossfade/relay/mc_pools.h"

#include <stdio.h>

static const struct slice ok_line = SLICE_INIT("OK\r\n");
static const struct slice failed_line =
    SLICE_INIT("SERVER_ERROR the flush could not be made durable; see the daemon's log\r\n");
static const struct slice busy_line =
    SLICE_INIT("SERVER_ERROR too many flushes are under way; try again\r\n");
static const struct slice refused_line = SLICE_INIT(
    "CLIENT_ERROR flush_all is refused here: it would empty the cache of every version\r\n");
static const struct slice unprefixed_line = SLICE_INIT(
    "CLIENT_ERROR flush_all is refused here: this version's keys have no prefix, so it would empty "
    "the cache of every version\r\n");

static bool refuse(struct mc_client *client, struct slice line, bool noreply)
{
    counter_add(&client->cell->refused, 1);
    return noreply || mc_client_answer(client, line);
}

/* A place in the line for the answer; empty for noreply, and waited for all the same. */
static struct mc_op *add_op(struct mc_client *client, bool noreply)
{
    struct mc_plane *plane = client->plane;
    struct mc_op *op = mc_op_create(plane, MC_FLUSH_ALL, client->cell, worker_now(plane->worker));

    if (op == NULL)
        return NULL;
    op->flags = (uint16_t)(MC_OP_LOCAL | (noreply ? MC_OP_SILENT : 0));
    mc_client_expect(client, op);
    STAILQ_INSERT_TAIL(&plane->flushing, op, in_connection);
    return op;
}

bool mc_flush_begin(struct mc_client *client, uint64_t delay, bool noreply)
{
    struct mc_plane *plane = client->plane;
    struct worker *worker = plane->worker;
    struct mc_flush_queue *queue = worker->flushes;
    const struct plan *plan = client->view->pin->snapshot->plan;
    uint64_t asked = atomic_load_explicit(&queue->asked, memory_order_relaxed);
    struct mc_flush_wish *wish = &queue->wishes[asked % MC_FLUSH_QUEUE];

    if (plan->config->cache.flush_all == FLUSH_REFUSE)
        return refuse(client, refused_line, noreply);
    if (plan->config->arms[client->arm].namespace[0] == '\0')
        return refuse(client, unprefixed_line, noreply);
    if (asked - plane->flushes_collected >= MC_FLUSH_QUEUE)
        return refuse(client, busy_line, noreply);
    if (add_op(client, noreply) == NULL)
        return false;
    (void)snprintf(wish->arm, sizeof(wish->arm), "%s", plan->config->arms[client->arm].name);
    wish->delay = delay;
    atomic_store(&queue->asked, asked + 1);
    client->flushing = true;
    counter_add(&client->cell->flushes, 1);
    worker->ask_main(worker);
    return true;
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
        if (op->client != NULL)
            op->client->flushing = false;
        mc_op_part_done(op, op->flags & MC_OP_SILENT ? slice_of(NULL, 0)
                            : wish->granted          ? ok_line
                                                     : failed_line);
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
