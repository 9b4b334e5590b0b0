#include "crossfade/relay/mc_errand.h"

#include "crossfade/relay/mc_pools.h"

bool mc_errand_send(struct mc_connection *connection, struct mc_errand *errand,
                    struct mc_arm_cell *cell)
{
    struct mc_plane *plane = connection->server->plane;
    /* Which verb it is, says the dialect. */
    struct mc_op *op = mc_op_create(plane, MC_ERRAND, cell, worker_now(plane->worker));

    if (op == NULL) {
        mc_errand_clear(errand, &plane->worker->buffers);
        return false;
    }
    op->errand = errand;
    if (connection->dialect->compose_errand(connection, op, errand))
        return true;
    mc_errand_clear(errand, &plane->worker->buffers);
    mc_op_free(op);
    return false;
}

void mc_errand_answered(struct mc_op *op, const struct mc_answer *answer)
{
    struct mc_errand *errand = op->errand;

    /* A part of what was fetched is nothing. */
    if (answer->kind != MC_ANSWER_DONE)
        mc_errand_clear(errand, &op->plane->worker->buffers);
    mc_op_free(op);
    errand->answered(errand, answer);
}

void mc_errand_clear(struct mc_errand *errand, struct buffer_pool *pool)
{
    buffer_clear(&errand->value, pool);
}
