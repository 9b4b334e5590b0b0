/*
 * Replies of a server in the text protocol. Requests that are answered by one line take one
 * operation off the queue each. A get of several keys is answered by the values that exist, in the
 * order asked, and END; each value names its key, so the keys before it are misses:
 *
 *   sent       get p:a p:b p:c       (operations a, b, c; c carries BATCH_END)
 *   received   VALUE p:b 0 5 ...     a is a miss; b is answered
 *              END                   c is a miss; the next reply belongs to the operation behind c
 *
 * The key of every value is held against the keys asked for.
 */
#include "crossfade/proto/mc_reply.h"
#include "crossfade/relay/mc_coherence.h"
#include "crossfade/relay/mc_epoch.h"
#include "crossfade/relay/mc_journal.h"
#include "crossfade/relay/mc_meta.h"
#include "crossfade/relay/mc_pairing.h"
#include "crossfade/relay/mc_pools.h"
#include "crossfade/relay/mc_text.h"

static const struct slice too_large = SLICE_INIT("SERVER_ERROR object too large for cache\r\n");

#define KIND(kind) (1u << (kind))
#define ERRORS (KIND(MC_REPLY_SERVER_ERROR) | KIND(MC_REPLY_CLIENT_ERROR) | KIND(MC_REPLY_ERROR))

/*
 * What may answer each verb. A storage command is never answered by CLIENT_ERROR or ERROR as long
 * as the server has understood the line; if it has not, it takes the value for commands.
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

void mc_text_missed(struct mc_op *op)
{
    counter_add(&op->cell->misses, 1);
    if (op->verb >= MC_GAT)
        counter_add(&op->cell->touch_misses, 1);
    mc_op_part_done(op, slice_of(NULL, 0));
}

static void miss(struct mc_connection *connection)
{
    struct mc_op *op = mc_pair_take(connection);

    if (op->flags & MC_OP_EPOCH) {
        if (mc_epoch_missed(connection, op))
            mc_text_missed(op);
        return;
    }
    counter_add(&op->cell->misses, 1);
    if (op->verb >= MC_GAT)
        counter_add(&op->cell->touch_misses, 1);
    mc_remember_miss(op, MC_MISS_READ);
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
    mc_pair_passed(connection, op, sink, sink->len - before, ok);
}

/* The value is that of the first operation. */
static enum mc_pair take_value(struct mc_connection *connection, struct mc_op *op,
                               const struct mc_reply *reply, struct mc_pairing *pairing)
{
    uint64_t total = reply->line_len + reply->value_len + 2;
    struct slice bytes = pairing->bytes;
    bool whole = bytes.len >= total;

    if (op->flags & MC_OP_EPOCH)
        return mc_text_take_stamped(connection, op, reply, pairing);
    if (reply->with_cas != (op->verb == MC_GETS || op->verb == MC_GATS))
        return mc_pair_doubt(pairing, "a cas number where none was asked for, or none",
                             reply->line);
    if (!whole && total <= MC_ITEM_WHOLE) {
        pairing->need = (size_t)total;
        return MC_PAIR_MORE;
    }
    if (whole && memcmp(bytes.data + total - 2, "\r\n", 2) != 0)
        return mc_pair_doubt(pairing, "a value is longer than announced", reply->line);
    counter_add(&op->cell->hits, 1);
    if (op->verb >= MC_GAT)
        counter_add(&op->cell->touch_hits, 1);
    if (whole) {
        pass_item(connection, op, reply, (size_t)total);
        input_consume(&connection->input, (size_t)total);
        mc_pair_value_done(connection);
    } else {
        mc_pair_body(connection, op, reply->value_len + 2, total);
        pass_item(connection, op, reply, reply->line_len);
        input_consume(&connection->input, reply->line_len);
    }
    return MC_PAIR_ON;
}

static enum mc_pair pair_value(struct mc_connection *connection, const struct mc_reply *reply,
                               struct mc_pairing *pairing)
{
    struct mc_op *op = STAILQ_FIRST(&connection->ops);

    while (!slice_equal(mc_op_wire(op), reply->key)) {
        if ((op->flags & (MC_OP_EPOCH | MC_OP_PAST)) == MC_OP_EPOCH &&
            slice_equal(mc_text_epoch_wire(op), reply->key))
            return mc_text_take_epoch(connection, op, reply, pairing);
        if (op->flags & MC_OP_BATCH_END)
            return mc_pair_doubt(pairing, "a value for a key that was not asked for", reply->key);
        miss(connection);
        op = STAILQ_FIRST(&connection->ops);
    }
    return take_value(connection, op, reply, pairing);
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
            mc_op_part_failed(mc_pair_take(connection), "a memcached server refused the command");
    } while (!last);
}

static enum mc_pair pair_get(struct mc_connection *connection, const struct mc_reply *reply,
                             struct mc_pairing *pairing)
{
    if (reply->kind == MC_REPLY_VALUE)
        return pair_value(connection, reply, pairing);
    if (reply->kind != MC_REPLY_END && (KIND(reply->kind) & ERRORS) == 0)
        return mc_pair_doubt(pairing, "an answer that does not fit a get", reply->line);
    input_consume(&connection->input, reply->line_len);
    if (mc_text_epoch_comes_alone(STAILQ_FIRST(&connection->ops)))
        STAILQ_FIRST(&connection->ops)->flags |= MC_OP_PAST;
    else
        end_batch(connection, reply);
    return MC_PAIR_ON;
}

static void count_line(const struct mc_op *op, enum mc_reply_kind kind)
{
    struct mc_arm_cell *cell = op->cell;

    if (op->primary != NULL || cell == NULL || (op->flags & (MC_OP_TOO_LARGE | MC_OP_DROP)))
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
    struct mc_op *op = STAILQ_FIRST(&connection->ops);
    struct slice line = slice_of(reply->line.data, reply->line_len);
    bool refused = (KIND(reply->kind) & ERRORS) != 0;

    /* A value that did not end where it had to: nothing has changed, nobody is to be told. */
    if (reply->kind == MC_REPLY_CLIENT_ERROR)
        op->flags &= ~(uint32_t)MC_OP_TELL;
    (void)mc_pair_take(connection);
    input_consume(&connection->input, reply->line_len);
    count_line(op, reply->kind);
    if (op->flags & MC_OP_PROBE) {
        mc_op_free(op);
        return;
    }
    if (op->primary != NULL && refused) {
        mc_op_part_failed(op, "a memcached server refused the delete");
        return;
    }
    if (refused) {
        if (reply->kind == MC_REPLY_SERVER_ERROR)
            mc_journal_refused(op);
        mc_op_put_back(op);
    } else if (op->flags & MC_OP_DROP) {
        line = SLICE("STORED\r\n");
    }
    mc_op_part_done(op, op->flags & MC_OP_TOO_LARGE ? too_large : line);
}

enum mc_pair mc_text_pair(struct mc_connection *connection, struct mc_pairing *pairing)
{
    struct mc_op *op = mc_pair_first(connection);
    struct slice bytes = pairing->bytes;
    struct mc_reply reply;

    if (op == NULL && !connection->expect_end)
        return mc_pair_doubt(pairing, "bytes that no request asked for", bytes);
    if (!connection->expect_end && mc_verb_is_meta(op->verb))
        return mc_meta_pair(connection, op, pairing);
    if (!connection->expect_end && mc_verb_is_get(op->verb)) {
        if (op->flags & MC_OP_EPOCH) {
            if (mc_text_epoch_hit(connection, op, pairing, &reply))
                return mc_text_take_stamped(connection, op, &reply, pairing);
            bytes = pairing->bytes;
        } else if (mc_reply_hit(bytes, mc_op_wire(op), &reply)) {
            return take_value(connection, op, &reply, pairing);
        }
    }
    if (!connection->expect_end && op->verb == MC_ERRAND)
        return mc_text_pair_errand(connection, op, pairing);
    switch (mc_reply_parse(bytes, &reply)) {
    case MC_REPLY_MORE:
        return MC_PAIR_MORE;
    case MC_REPLY_BAD:
        return mc_pair_doubt(pairing, "no line of the protocol", bytes);
    case MC_REPLY_OK:
        break;
    }
    if (connection->expect_end) {
        if (reply.kind != MC_REPLY_END)
            return mc_pair_doubt(pairing, "more than was asked for", reply.line);
        connection->expect_end = false;
        input_consume(&connection->input, reply.line_len);
        return MC_PAIR_ON;
    }
    if (mc_verb_is_get(op->verb))
        return pair_get(connection, &reply, pairing);
    if (((allowed[op->verb] & KIND(reply.kind)) == 0 &&
         !(connection->dedicated && reply.kind == MC_REPLY_CLIENT_ERROR)) ||
        ((KIND(reply.kind) & ERRORS) == 0 && mc_pair_is_early(connection)))
        return mc_pair_doubt(pairing, "an answer that does not fit the request", reply.line);
    pair_line(connection, &reply);
    return MC_PAIR_ON;
}
