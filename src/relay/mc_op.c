#include "crossfade/relay/mc_op.h"

#include "crossfade/relay/mc_epoch.h"
#include "crossfade/relay/mc_errand.h"
#include "crossfade/relay/mc_journal.h"
#include "crossfade/relay/mc_pools.h"

#include <stdio.h>

struct mc_op *mc_op_create(struct mc_plane *plane, enum mc_verb verb, struct mc_arm_cell *cell,
                           uint64_t now)
{
    struct mc_op *op = slab_get(&plane->ops);

    if (op == NULL)
        return NULL;
    op->plane = plane;
    op->client = NULL;
    op->server = NULL;
    op->primary = NULL;
    op->cell = cell;
    op->wire = NULL;
    op->wire_chunk = NULL;
    op->original = NULL;
    buffer_init(&op->reply);
    op->started = now;
    op->verb = verb;
    op->flags = 0;
    op->pending = 1;
    op->wire_len = 0;
    op->prefix_len = 0;
    op->opcode = 0;
    op->loud = 0;
    op->opaque = 0;
    op->dialect = 0;
    op->epoch_len = 0;
    op->token = (struct token){ { 0, 0 } };
    op->keep = 0;
    op->errand = NULL;
    return op;
}

void mc_op_free(struct mc_op *op)
{
    struct mc_plane *plane = op->plane;

    if (op->wire_chunk != NULL)
        chunk_unref(op->wire_chunk);
    if (op->original != NULL)
        chunk_unref(op->original);
    buffer_clear(&op->reply, &plane->worker->buffers);
    slab_put(&plane->ops, op);
}

bool mc_op_keep_key(struct mc_op *op, const struct key_place *place, struct slice key)
{
    if (!place->hashed)
        return true;
    op->original = chunk_create(&op->plane->worker->buffers, key.len);
    if (op->original == NULL)
        return false;
    memcpy(op->original->data, key.data, key.len);
    op->original->used = key.len;
    return true;
}

static bool is_first(const struct mc_op *op)
{
    return op->client != NULL && TAILQ_FIRST(&op->client->ops) == op;
}

struct buffer *mc_op_sink(struct mc_op *op)
{
    if (op->client == NULL)
        return NULL;
    if (!is_first(op) || (op->flags & MC_OP_WHOLE))
        return &op->reply;
    op->flags |= MC_OP_STARTED;
    return &op->client->output;
}

/* All parts are answered. */
static void finish(struct mc_op *op)
{
    /* A command counts once, by its last key. */
    if (op->cell != NULL &&
        (!mc_verb_is_get(op->verb) || (op->flags & MC_OP_LAST) || op->verb == MC_META_GET))
        histogram_add(&op->cell->latency, worker_now(op->plane->worker) - op->started);
    if (op->client == NULL) {
        mc_op_free(op);
        return;
    }
    if (op->flags & MC_OP_SILENT) {
        mc_client_forget(op->client, op);
        mc_op_free(op);
        return;
    }
    op->flags |= MC_OP_DONE;
    if (is_first(op))
        mc_client_advance(op->client);
}

void mc_op_part_over(struct mc_op *op)
{
    ensure(op->pending > 0);
    if (--op->pending == 0)
        finish(op);
}

void mc_op_set_reply(struct mc_op *op, struct slice line)
{
    struct buffer_pool *pool = &op->plane->worker->buffers;

    if (op->client == NULL || (op->flags & MC_OP_SILENT))
        return;
    buffer_clear(&op->reply, pool);
    if (!buffer_append_copy(&op->reply, pool, line.data, line.len))
        mc_client_close(op->client, "out of memory");
}

void mc_op_part_done(struct mc_op *op, struct slice line)
{
    struct mc_op *primary = op->primary;

    if (primary != NULL) {
        mc_op_free(op);
        mc_op_part_over(primary);
        return;
    }
    if (line.len > 0 && (op->flags & MC_OP_FAILED) == 0)
        mc_op_set_reply(op, line);
    mc_op_part_over(op);
}

void mc_op_put_back(struct mc_op *op)
{
    if ((op->flags & MC_OP_FILL) == 0)
        return;
    op->flags &= ~(uint32_t)MC_OP_FILL;
    if (op->client != NULL)
        mc_epoch_put_back(op->client, mc_op_key(op), &op->token);
}

/* The client hears of it, whatever else is still to come. */
static void fail_line(struct mc_op *op, const char *about, const char *reason)
{
    char text[300];
    int len;

    if (op->flags & MC_OP_FAILED)
        return;
    op->flags |= MC_OP_FAILED;
    mc_op_put_back(op);
    counter_add(&op->cell->failed, 1);
    if (op->flags & MC_OP_SILENT) {
        counter_add(&op->cell->noreply_failed, 1);
        return;
    }
    if (op->client == NULL)
        return;
    len = snprintf(text, sizeof(text), "%s%s", about, reason);
    ensure(len > 0 && (size_t)len < sizeof(text));
    op->client->dialect->fail(op, slice_of(text, (size_t)len));
}

static void fail_get(struct mc_op *op)
{
    counter_add(&op->cell->failed, 1);
    if (op->client == NULL)
        return;
    if (op->flags & MC_OP_STARTED) {
        /* Half a value is on its way: nothing that could follow would be taken for what it is. */
        mc_client_close(op->client, "a server broke off in the middle of a value");
        return;
    }
    if (op->flags & MC_OP_EPOCH)
        mc_epoch_unknown(op);
    op->client->parked -= op->reply.len;
    buffer_clear(&op->reply, &op->plane->worker->buffers);
    if (mc_view_config(op->client->view)->on_failure == ON_FAILURE_ERROR)
        op->flags |= MC_OP_FAILED;
    if (op->client->dialect->fail_get != NULL)
        op->client->dialect->fail_get(op);
}

void mc_op_untold(struct mc_op *op, const char *reason)
{
    counter_add(&op->cell->companions_failed, 1);
    fail_line(op, "another version may still hold the old value: ", reason);
}

void mc_op_part_failed(struct mc_op *op, const char *reason)
{
    struct mc_op *primary = op->primary;

    if (op->flags & (MC_OP_INVALIDATES | MC_OP_TELL))
        mc_journal_op(op); /* before anybody hears of it */
    if (op->flags & MC_OP_PROBE) {
        mc_op_free(op);
        return;
    }
    if (op->errand != NULL) {
        struct mc_answer answer = { .kind = MC_ANSWER_LOST, .text = slice_string(reason) };
        mc_errand_answered(op, &answer);
        return;
    }
    if (primary != NULL) {
        mc_op_free(op);
        mc_op_untold(primary, reason);
        mc_op_part_over(primary);
        return;
    }
    if (mc_verb_is_get(op->verb))
        fail_get(op);
    else
        fail_line(op, "", reason);
    mc_op_part_over(op);
}

void mc_op_fail_here(struct mc_op *op, const struct mc_server *server)
{
    char reason[200] = "";

    /* The client is gone if the connection failed in the middle of a value of its. */
    if (op->client != NULL)
        (void)mc_server_refusal(server, op->client->dialect, reason, sizeof(reason));
    mc_op_part_failed(op, reason);
}

void mc_op_orphan(struct mc_op *op)
{
    /* Who did not wait for the answer of a fill may send it again. */
    if ((op->flags & (MC_OP_DONE | MC_OP_SILENT)) == 0 && op->wire != NULL)
        mc_op_put_back(op);
    op->client = NULL;
    if (op->flags & MC_OP_DONE)
        mc_op_free(op);
    else
        buffer_clear(&op->reply, &op->plane->worker->buffers);
}
