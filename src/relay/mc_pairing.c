/*
 * Pairing replies with operations.
 *
 * A server answers in the order of the requests. Requests that are answered by one line take one
 * operation off the queue each. A get of several keys is answered by the values that exist, in the order
 * asked, and END; each value names its key, so the keys before it are misses:
 *
 *   sent       get p:a p:b p:c       (operations a, b, c; c carries BATCH_END)
 *   received   VALUE p:b 0 5 ...     a is a miss; b is answered
 *              END                   c is a miss; the next reply belongs to the operation behind c
 *
 * The key of every value is held against the keys asked for. A reply that fits no operation is doubt:
 * the connection is closed and nothing on it is believed.
 */
#include "crossfade/proto/mc_reply.h"
#include "crossfade/relay/mc_pools.h"

#include <stdio.h>

/* Items up to this length, with their line, are waited for in the input; longer ones are taken as they
 * come. */
#define ITEM_WHOLE 3072u

#define KIND(kind) (1u << (kind))
#define ERRORS (KIND(MC_REPLY_SERVER_ERROR) | KIND(MC_REPLY_CLIENT_ERROR) | KIND(MC_REPLY_ERROR))

/*
 * What may answer each verb. A storage command is never answered by CLIENT_ERROR or ERROR as long as the
 * server has understood the line; if it has not, it takes the value for commands.
 */
static const unsigned allowed[] = {
    [MC_SET] = KIND(MC_REPLY_STORED) | KIND(MC_REPLY_NOT_STORED) | KIND(MC_REPLY_SERVER_ERROR),
    [MC_ADD] = KIND(MC_REPLY_STORED) | KIND(MC_REPLY_NOT_STORED) | KIND(MC_REPLY_SERVER_ERROR),
    [MC_REPLACE] = KIND(MC_REPLY_STORED) | KIND(MC_REPLY_NOT_STORED) | KIND(MC_REPLY_SERVER_ERROR),
    [MC_APPEND] = KIND(MC_REPLY_STORED) | KIND(MC_REPLY_NOT_STORED) | KIND(MC_REPLY_SERVER_ERROR),
    [MC_PREPEND] = KIND(MC_REPLY_STORED) | KIND(MC_REPLY_NOT_STORED) | KIND(MC_REPLY_SERVER_ERROR),
    [MC_CAS] = KIND(MC_REPLY_STORED) | KIND(MC_REPLY_EXISTS) | KIND(MC_REPLY_NOT_FOUND) |
               KIND(MC_REPLY_NOT_STORED) | KIND(MC_REPLY_SERVER_ERROR),
    [MC_DELETE] = KIND(MC_REPLY_DELETED) | KIND(MC_REPLY_NOT_FOUND) | ERRORS,
    [MC_INCR] = KIND(MC_REPLY_NUMBER) | KIND(MC_REPLY_NOT_FOUND) | ERRORS,
    [MC_DECR] = KIND(MC_REPLY_NUMBER) | KIND(MC_REPLY_NOT_FOUND) | ERRORS,
    [MC_TOUCH] = KIND(MC_REPLY_TOUCHED) | KIND(MC_REPLY_NOT_FOUND) | ERRORS,
    [MC_VERSION] = KIND(MC_REPLY_VERSION),
};

static bool doubt(char *why, size_t size, const char *sentence, struct slice line)
{
    char shown[64];

    (void)snprintf(why, size, "%s: \"%s\"", sentence, slice_escape(line, shown, sizeof(shown)));
    return false;
}

static struct mc_op *take_first(struct mc_connection *connection)
{
    struct mc_op *op = STAILQ_FIRST(&connection->ops);

    STAILQ_REMOVE_HEAD(&connection->ops, in_connection);
    counter_sub(&connection->server->cell->waiting, 1);
    return op;
}

static void miss(struct mc_connection *connection)
{
    struct mc_op *op = take_first(connection);

    counter_add(&op->cell->misses, 1);
    if (op->verb >= MC_GAT)
        counter_add(&op->cell->touch_misses, 1);
    if ((op->flags & MC_OP_TRACK) && op->client != NULL)
        misses_record(op->client->view->pin->snapshot->plan->misses->misses, mc_op_wire(op),
                      worker_now(op->plane->worker));
    mc_op_part_done(op, slice_of(NULL, 0));
}

static void hit_done(struct mc_connection *connection)
{
    struct mc_op *op = take_first(connection);

    if (op->flags & MC_OP_BATCH_END)
        connection->expect_end = true;
    mc_op_part_done(op, slice_of(NULL, 0));
}

/*
 * The line as the client is to see it: with its own key. Behind the prefix the bytes received are
 * already what the client wants, so "VALUE " is written over the end of the prefix:
 *
 *   received   VALUE py3.0:user:1 0 5\r\n....      (the chunk is ours, the bytes are nobody else's)
 *   passed on        VALUE user:1 0 5\r\n....
 *
 * Returns where the line begins now.
 */
static const char *strip_prefix(const struct mc_op *op, const struct mc_reply *reply)
{
    char *at = (char *)(uintptr_t)reply->key.data + op->prefix_len - 6;

    if (op->prefix_len > 0)
        memcpy(at, "VALUE ", 6);
    return at;
}

/*
 * Bytes went to the operation's sink. Is that more than the client takes? What it is owed next piles up
 * in its output; what it is owed later, and a value of moderate size until all of it is here, is parked
 * with the operations. A value that was parked last adds to the output without having been passed to
 * it: so the output is looked at whatever the sink is.
 */
static void passed(struct mc_connection *connection, struct mc_op *op, const struct buffer *sink,
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
    if (client->output.len > MC_HIGH_WATER)
        mc_connection_stall(connection, client, false);
    else if (client->parked > MC_PARKED_MAX)
        mc_connection_stall(connection, client, true);
}

/* Passes on the first `len` bytes of an item, its line included. */
static void pass_item(struct mc_connection *connection, struct mc_op *op,
                      const struct mc_reply *reply, size_t len)
{
    struct buffer *sink = mc_op_sink(op);
    struct buffer_pool *pool = &op->plane->worker->buffers;
    struct chunk *chunk = connection->input.chunk;
    const char *begin = reply->line.data;
    size_t before;
    bool ok;

    if (sink == NULL)
        return;
    before = sink->len;
    if (op->original != NULL) {
        const char *rest = reply->key.data + reply->key.len;
        ok = buffer_append_copy(sink, pool, "VALUE ", 6) &&
             buffer_append_copy(sink, pool, op->original->data, op->original->used) &&
             buffer_append(sink, pool, chunk, rest, len - (size_t)(rest - begin));
    } else {
        const char *from = strip_prefix(op, reply);
        ok = buffer_append(sink, pool, chunk, from, len - (size_t)(from - begin));
    }
    passed(connection, op, sink, sink->len - before, ok);
}

static void pass_body(struct mc_connection *connection, struct mc_op *op, struct slice part)
{
    struct buffer *sink = mc_op_sink(op);

    if (sink != NULL)
        passed(connection, op, sink, part.len,
               buffer_append(sink, &op->plane->worker->buffers, connection->input.chunk, part.data,
                             part.len));
}

/* The part of a streaming value that is here. */
static bool pair_body(struct mc_connection *connection, char *why, size_t size)
{
    struct mc_op *op = STAILQ_FIRST(&connection->ops);
    struct slice bytes = input_bytes(&connection->input);
    struct slice part = slice_of(
        bytes.data, bytes.len < connection->body_left ? bytes.len : (size_t)connection->body_left);
    char last = part.data[part.len - 1];

    connection->body_left -= part.len;
    if (connection->body_left == 1) {
        connection->body_tail = last;
    } else if (connection->body_left == 0) {
        char before = part.len > 1 ? part.data[part.len - 2] : connection->body_tail;
        if (before != '\r' || last != '\n')
            return doubt(why, size, "a value is longer than announced", mc_op_wire(op));
    }
    pass_body(connection, op, part);
    input_consume(&connection->input, part.len);
    if (connection->body_left == 0)
        hit_done(connection);
    return true;
}

enum step { STEP_ON, STEP_MORE, STEP_DOUBT };

static enum step pair_value(struct mc_connection *connection, struct slice bytes,
                            const struct mc_reply *reply, size_t *need, char *why, size_t size)
{
    struct mc_op *op = STAILQ_FIRST(&connection->ops);
    uint64_t total = reply->line_len + reply->value_len + 2;
    bool whole = bytes.len >= total;

    while (!slice_equal(mc_op_wire(op), reply->key)) {
        if (op->flags & MC_OP_BATCH_END) {
            (void)doubt(why, size, "a value for a key that was not asked for", reply->key);
            return STEP_DOUBT;
        }
        miss(connection);
        op = STAILQ_FIRST(&connection->ops);
    }
    if (reply->with_cas != (op->verb == MC_GETS || op->verb == MC_GATS)) {
        (void)doubt(why, size, "a cas number where none was asked for, or none", reply->line);
        return STEP_DOUBT;
    }
    if (!whole && total <= ITEM_WHOLE) {
        *need = (size_t)total;
        return STEP_MORE;
    }
    if (whole && memcmp(bytes.data + total - 2, "\r\n", 2) != 0) {
        (void)doubt(why, size, "a value is longer than announced", reply->line);
        return STEP_DOUBT;
    }
    counter_add(&op->cell->hits, 1);
    if (op->verb >= MC_GAT)
        counter_add(&op->cell->touch_hits, 1);
    if (whole) {
        pass_item(connection, op, reply, (size_t)total);
        input_consume(&connection->input, (size_t)total);
        hit_done(connection);
    } else {
        connection->body_left = reply->value_len + 2;
        if (total <= MC_HIGH_WATER)
            op->flags |= MC_OP_WHOLE;
        pass_item(connection, op, reply, reply->line_len);
        input_consume(&connection->input, reply->line_len);
    }
    return STEP_ON;
}

/* END or an error: it answers every key of the batch that has no answer yet. */
static void end_batch(struct mc_connection *connection, const struct mc_reply *reply)
{
    bool last;

    do {
        last = (STAILQ_FIRST(&connection->ops)->flags & MC_OP_BATCH_END) != 0;
        if (reply->kind == MC_REPLY_END)
            miss(connection);
        else
            mc_op_part_failed(take_first(connection), "a memcached server refused the command");
    } while (!last);
}

static enum step pair_get(struct mc_connection *connection, struct slice bytes,
                          const struct mc_reply *reply, size_t *need, char *why, size_t size)
{
    if (reply->kind == MC_REPLY_VALUE)
        return pair_value(connection, bytes, reply, need, why, size);
    if (reply->kind != MC_REPLY_END && (KIND(reply->kind) & ERRORS) == 0) {
        (void)doubt(why, size, "an answer that does not fit a get", reply->line);
        return STEP_DOUBT;
    }
    input_consume(&connection->input, reply->line_len);
    end_batch(connection, reply);
    return STEP_ON;
}

static void count_line(const struct mc_op *op, enum mc_reply_kind kind)
{
    struct mc_arm_cell *cell = op->cell;

    if (op->primary != NULL || cell == NULL || (op->flags & MC_OP_TOO_LARGE))
        return;
    switch (op->verb) {
    case MC_DELETE:
        counter_add(kind == MC_REPLY_DELETED ? &cell->delete_hits : &cell->delete_misses, 1);
        break;
    case MC_INCR:
        counter_add(kind == MC_REPLY_NOT_FOUND ? &cell->incr_misses : &cell->incr_hits, 1);
        break;
    case MC_DECR:
        counter_add(kind == MC_REPLY_NOT_FOUND ? &cell->decr_misses : &cell->decr_hits, 1);
        break;
    case MC_TOUCH:
        counter_add(kind == MC_REPLY_TOUCHED ? &cell->touch_hits : &cell->touch_misses, 1);
        break;
    case MC_CAS:
        counter_add(kind == MC_REPLY_STORED      ? &cell->cas_hits
                    : kind == MC_REPLY_NOT_FOUND ? &cell->cas_misses
                                                 : &cell->cas_badval,
                    1);
        break;
    default:
        break;
    }
}

static void pair_line(struct mc_connection *connection, const struct mc_reply *reply)
{
    struct mc_op *op = take_first(connection);
    struct slice line = slice_of(reply->line.data, reply->line_len);

    input_consume(&connection->input, reply->line_len);
    count_line(op, reply->kind);
    if (op->flags & MC_OP_PROBE) {
        mc_op_free(op);
        return;
    }
    if (op->primary != NULL && (KIND(reply->kind) & ERRORS) != 0)
        mc_op_part_failed(op, "a memcached server refused the delete");
    else
        mc_op_part_done(op, line);
}

/* The server cannot have stored what it has not been sent: only errors may come early. */
static bool is_early(const struct mc_connection *connection)
{
    return connection->uploader != NULL &&
           (connection->uploader->upload_left > 0 || connection->output.len > 0);
}

static enum step pair_one(struct mc_connection *connection, struct slice bytes, size_t *need,
                          char *why, size_t size)
{
    struct mc_op *op = STAILQ_FIRST(&connection->ops);
    struct mc_reply reply;

    /* What is composed but not sent yet cannot be answered. */
    if ((op == NULL || op == connection->unsent) && !connection->expect_end) {
        (void)doubt(why, size, "bytes that no request asked for", bytes);
        return STEP_DOUBT;
    }
    switch (mc_reply_parse(bytes, &reply)) {
    case MC_REPLY_MORE:
        return STEP_MORE;
    case MC_REPLY_BAD:
        (void)doubt(why, size, "no line of the protocol", bytes);
        return STEP_DOUBT;
    case MC_REPLY_OK:
        break;
    }
    if (connection->expect_end) {
        if (reply.kind != MC_REPLY_END) {
            (void)doubt(why, size, "more than was asked for", reply.line);
            return STEP_DOUBT;
        }
        connection->expect_end = false;
        input_consume(&connection->input, reply.line_len);
        return STEP_ON;
    }
    if (mc_verb_is_get(op->verb))
        return pair_get(connection, bytes, &reply, need, why, size);
    if (((allowed[op->verb] & KIND(reply.kind)) == 0 &&
         !(connection->dedicated && reply.kind == MC_REPLY_CLIENT_ERROR)) ||
        ((KIND(reply.kind) & ERRORS) == 0 && is_early(connection))) {
        (void)doubt(why, size, "an answer that does not fit the request", reply.line);
        return STEP_DOUBT;
    }
    pair_line(connection, &reply);
    return STEP_ON;
}

bool mc_connection_pair(struct mc_connection *connection, char *why, size_t why_size)
{
    struct buffer_pool *pool = &connection->server->plane->worker->buffers;
    enum step step = STEP_ON;
    size_t need = 0;

    while (step == STEP_ON && connection->stalled_by == NULL) {
        struct slice bytes = input_bytes(&connection->input);
        if (bytes.len == 0)
            break;
        if (connection->body_left > 0)
            step = pair_body(connection, why, why_size) ? STEP_ON : STEP_DOUBT;
        else
            step = pair_one(connection, bytes, &need, why, why_size);
    }
    if (step == STEP_DOUBT)
        return false;
    if (!input_keep(&connection->input, pool, need)) {
        (void)snprintf(why, why_size, "out of memory");
        return false;
    }
    return true;
}
