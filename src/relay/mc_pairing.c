#include "crossfade/relay/mc_pairing.h"

#include "crossfade/relay/mc_coherence.h"
#include "crossfade/relay/mc_epoch.h"
#include "crossfade/relay/mc_errand.h"
#include "crossfade/relay/mc_meta.h"
#include "crossfade/relay/mc_pools.h"

#include <stdio.h>

enum mc_pair mc_pair_doubt(struct mc_pairing *pairing, const char *sentence, struct slice about)
{
    char shown[64];

    (void)snprintf(pairing->why, sizeof(pairing->why), "%s: \"%s\"", sentence,
                   slice_escape(about, shown, sizeof(shown)));
    return MC_PAIR_DOUBT;
}

struct mc_op *mc_pair_first(const struct mc_connection *connection)
{
    struct mc_op *op = STAILQ_FIRST(&connection->ops);

    /* What is composed but not sent yet cannot be answered. */
    return op == connection->unsent ? NULL : op;
}

struct mc_op *mc_pair_take(struct mc_connection *connection)
{
    struct mc_op *op = mc_connection_take(connection);

    if (op->flags & MC_OP_TELL)
        mc_tell_others(connection, op);
    return op;
}

void mc_pair_value_done(struct mc_connection *connection)
{
    struct mc_op *op = mc_pair_take(connection);

    if (op->flags & MC_OP_BATCH_END)
        connection->expect_end = true;
    mc_op_part_done(op, slice_of(NULL, 0));
}

/*
 * What a client is owed next piles up in its output; what it is owed later, and a value of moderate
 * size until all of it is here, is parked with the operations. A value that was parked last adds to
 * the output without having been passed to it: so the output is looked at whatever the sink is.
 */
void mc_pair_passed(struct mc_connection *connection, struct mc_op *op, const struct buffer *sink,
                    size_t len, bool ok)
{
    struct mc_client *client = op->client;
    bool parked = sink != &client->output;

    if (!ok) {
        mc_client_close(client, "out of memory");
        return;
    }
    if (parked)
        client->parked += len;
    else
        mc_client_wake(client);
    if (client->output.len > MC_HIGH_WATER && mc_client_owes(client))
        mc_connection_stall(connection, client, false);
    else if (client->parked > MC_PARKED_MAX)
        mc_connection_stall(connection, client, true);
}

void mc_pair_body(struct mc_connection *connection, struct mc_op *op, uint64_t len, uint64_t whole)
{
    connection->body_left = len;
    mc_connection_pace_begin(connection);
    if (whole <= MC_HIGH_WATER)
        op->flags |= MC_OP_WHOLE;
}

void mc_pair_skip(struct mc_connection *connection, struct mc_op *op, uint64_t len)
{
    op->flags |= MC_OP_SKIP;
    connection->body_left = len;
    mc_connection_pace_begin(connection);
}

void mc_pair_missed(struct mc_connection *connection)
{
    struct mc_op *op = mc_pair_take(connection);

    if (op->flags & MC_OP_BATCH_END)
        connection->expect_end = true;
    if (mc_epoch_missed(connection, op))
        connection->dialect->missed(op);
}

static void skipped(struct mc_connection *connection, struct mc_op *op)
{
    op->flags &= ~(uint32_t)MC_OP_SKIP;
    if ((op->flags & MC_OP_PAST) == 0)
        op->flags |= MC_OP_PAST;
    else if (op->verb == MC_META_GET)
        mc_meta_skipped(connection, op);
    else
        mc_pair_missed(connection);
}

/* The value of an errand is here. */
static void fetched(struct mc_connection *connection)
{
    struct mc_op *op = mc_pair_take(connection);
    struct mc_errand *errand = op->errand;
    struct mc_answer answer = {
        .kind = MC_ANSWER_DONE, .flags = errand->flags, .cas = errand->cas, .ttl = errand->exptime
    };

    if (op->flags & MC_OP_BATCH_END)
        connection->expect_end = true;
    if (op->flags & MC_OP_FAILED)
        answer = (struct mc_answer){ .kind = MC_ANSWER_REFUSED, .text = SLICE("out of memory") };
    mc_errand_answered(op, &answer);
}

void mc_pair_fetch(struct mc_connection *connection, struct mc_op *op, uint64_t len)
{
    struct mc_plane *plane = op->plane;
    uint64_t most =
        plane->view != NULL ? mc_view_config(plane->view)->max_value + STAMP_LENGTH : MC_GATHER_MAX;

    if (len > most || (len > MC_GATHER_MAX &&
                       buffer_pool_size(&plane->worker->buffers) + len > MC_MEMORY_SPARE + most))
        op->flags |= MC_OP_FAILED;
    connection->body_left = len + connection->dialect->value_tail;
    mc_connection_pace_begin(connection);
    if (connection->body_left == 0)
        fetched(connection);
}

/* A part of what an errand fetches, without the value's line end. */
static void collect(struct mc_connection *connection, struct mc_op *op, struct slice part)
{
    struct buffer_pool *pool = &op->plane->worker->buffers;
    size_t tail = connection->dialect->value_tail;
    size_t none = connection->body_left < tail ? tail - (size_t)connection->body_left : 0;

    if (none >= part.len || (op->flags & MC_OP_FAILED))
        return;
    if (!buffer_append(&op->errand->value, pool, connection->input.chunk, part.data,
                       part.len - none)) {
        buffer_clear(&op->errand->value, pool);
        op->flags |= MC_OP_FAILED;
    }
}

static void pass_body(struct mc_connection *connection, struct mc_op *op, struct slice part)
{
    struct buffer *sink;

    if (op->errand != NULL)
        collect(connection, op, part);
    if (op->errand != NULL || (op->flags & MC_OP_SKIP))
        return;
    sink = mc_op_sink(op);
    if (sink != NULL)
        mc_pair_passed(connection, op, sink, part.len,
                       buffer_append(sink, &op->plane->worker->buffers, connection->input.chunk,
                                     part.data, part.len));
}

/* Does the value end as it has to? `part` holds its last bytes that are here. */
static bool ends_well(struct mc_connection *connection, struct slice part)
{
    char last = part.data[part.len - 1];
    char before = part.len > 1 ? part.data[part.len - 2] : connection->body_tail;

    if (connection->dialect->value_tail == 0 || connection->body_left > 1)
        return true;
    connection->body_tail = last;
    return connection->body_left == 1 || (before == '\r' && last == '\n');
}

/* The part of a streaming value that is here. */
static enum mc_pair pair_body(struct mc_connection *connection, struct mc_pairing *pairing)
{
    struct mc_op *op = STAILQ_FIRST(&connection->ops);
    struct slice bytes = pairing->bytes;
    struct slice part = slice_of(
        bytes.data, bytes.len < connection->body_left ? bytes.len : (size_t)connection->body_left);

    connection->body_left -= part.len;
    if (!ends_well(connection, part))
        return mc_pair_doubt(pairing, "a value is longer than announced", mc_op_wire(op));
    pass_body(connection, op, part);
    input_consume(&connection->input, part.len);
    if (connection->body_left == 0) {
        /* What stands behind a large value could not come any sooner. */
        connection->resumed = worker_now(connection->server->plane->worker);
        if (op->errand != NULL)
            fetched(connection);
        else if (op->flags & MC_OP_SKIP)
            skipped(connection, op);
        else
            mc_pair_value_done(connection);
    }
    return MC_PAIR_ON;
}

bool mc_pair_is_early(const struct mc_connection *connection)
{
    return connection->uploader != NULL &&
           (connection->uploader->upload_left > 0 || connection->output.len > 0);
}

bool mc_connection_pair(struct mc_connection *connection, struct mc_pairing *pairing)
{
    enum mc_pair verdict = MC_PAIR_ON;

    pairing->need = 0;
    while (verdict == MC_PAIR_ON && connection->stalled_by == NULL) {
        pairing->bytes = input_bytes(&connection->input);
        if (pairing->bytes.len == 0)
            break;
        verdict = connection->body_left > 0 ? pair_body(connection, pairing)
                                            : connection->dialect->pair(connection, pairing);
    }
    if (verdict == MC_PAIR_DOUBT)
        return false;
    if (!input_keep(&connection->input, &connection->server->plane->worker->buffers,
                    pairing->need)) {
        (void)snprintf(pairing->why, sizeof(pairing->why), "out of memory");
        return false;
    }
    return true;
}
