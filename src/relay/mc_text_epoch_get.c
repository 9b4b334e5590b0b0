/*
 * Reads of epoch mode in the text protocol. One operation stands for the epoch item and the value:
 *
 *   sent       gets cf~:e:a cf~py3.0:a cf~:e:b cf~py3.0:b     (operations a, b)
 *   received   VALUE cf~:e:a 2 32 17 ...                      a's token
 *              VALUE cf~py3.0:a 0 25 18 <stamp>hello          the same in its stamp: a is answered
 *              VALUE cf~:e:b 1 32 9 ...
 *              END                                            b is a miss
 *
 * A value comes with its stamp, which the client does not get: behind the stamp the bytes received
 * are what it wants, so its line is written over the end of that, in front of them.
 *
 *   received   VALUE cf~py3.0:a 0 25 18\r\n....................hello\r\n
 *   passed on                                 VALUE a 0 5\r\nhello\r\n
 */
#include "crossfade/relay/mc_epoch.h"
#include "crossfade/relay/mc_pairing.h"
#include "crossfade/relay/mc_pools.h"
#include "crossfade/relay/mc_text.h"

/* The value's line has a cas number always; the client wants to see it only here. */
static bool wants_cas(const struct mc_op *op)
{
    return op->verb == MC_GETS || op->verb == MC_GATS;
}

static uint64_t cas_of(const struct mc_reply *reply)
{
    uint32_t flags;
    uint64_t cas;

    mc_reply_numbers(reply, &flags, &cas);
    return cas;
}

static enum mc_pair doubt_cas(const struct mc_reply *reply, struct mc_pairing *pairing)
{
    return mc_pair_doubt(pairing, "a cas number where none was asked for, or none", reply->line);
}

static enum mc_pair doubt_length(const struct mc_reply *reply, struct mc_pairing *pairing)
{
    return mc_pair_doubt(pairing, "a value is longer than announced", reply->line);
}

/* The whole epoch item, as gets answers it all the time: its length, 0 if that is not here. */
static size_t epoch_item(const struct mc_op *op, struct slice bytes)
{
    static const char middle[] = " 32 "; /* behind the one digit of the flags */
    struct slice wire = mc_text_epoch_wire(op);
    const char *limit; /* of the line's numbers */
    const char *at = bytes.data + 6 + wire.len;

    if (bytes.len < 6 + wire.len + 2 + sizeof(middle) + EPOCH_LENGTH + 4 ||
        memcmp(bytes.data, "VALUE ", 6) != 0 || memcmp(bytes.data + 6, wire.data, wire.len) != 0 ||
        at[0] != ' ' || (unsigned)(unsigned char)at[1] - '0' > 9 ||
        memcmp(at + 2, middle, sizeof(middle) - 1) != 0)
        return 0;
    at += 2 + sizeof(middle) - 1;
    limit = bytes.data + bytes.len - (EPOCH_LENGTH + 4);
    while (at < limit && (unsigned)(unsigned char)*at - '0' <= 9)
        at++;
    if (at > limit || memcmp(at, "\r\n", 2) != 0 || memcmp(at + 2 + EPOCH_LENGTH, "\r\n", 2) != 0)
        return 0;
    return (size_t)(at - bytes.data) + EPOCH_LENGTH + 4;
}
_Static_assert(EPOCH_LENGTH == 32, "as the line says");

bool mc_text_epoch_hit(struct mc_connection *connection, struct mc_op *op,
                       struct mc_pairing *pairing, struct mc_reply *reply)
{
    struct slice bytes = pairing->bytes;
    size_t len;

    if ((op->flags & MC_OP_PAST) == 0 && op->verb <= MC_GETS && (len = epoch_item(op, bytes)) > 0) {
        mc_epoch_seen(op, slice_of(bytes.data + len - EPOCH_LENGTH - 2, EPOCH_LENGTH));
        op->flags |= MC_OP_PAST;
        input_consume(&connection->input, len);
        pairing->bytes = bytes = slice_of(bytes.data + len, bytes.len - len);
    }
    return mc_reply_hit_cas(bytes, mc_op_wire(op), reply);
}

enum mc_pair mc_text_take_epoch(struct mc_connection *connection, struct mc_op *op,
                                const struct mc_reply *reply, struct mc_pairing *pairing)
{
    uint64_t total = reply->line_len + reply->value_len + 2;
    const char *value = pairing->bytes.data + reply->line_len;
    bool alone = mc_text_epoch_comes_alone(op);

    if (reply->with_cas == alone)
        return doubt_cas(reply, pairing);
    if (pairing->bytes.len < total) {
        if (total <= MC_ITEM_WHOLE) {
            pairing->need = (size_t)total;
            return MC_PAIR_MORE;
        }
        /* Whatever this is. */
        mc_epoch_seen(op, slice_of(NULL, 0));
        mc_pair_skip(connection, op, reply->value_len + 2);
        total = reply->line_len;
    } else if (memcmp(value + reply->value_len, "\r\n", 2) != 0) {
        return doubt_length(reply, pairing);
    } else {
        mc_epoch_seen(op, slice_of(value, (size_t)reply->value_len));
        op->flags |= MC_OP_PAST;
    }
    connection->expect_end = alone;
    input_consume(&connection->input, (size_t)total);
    return MC_PAIR_ON;
}

/* "<key> <flags> " of the reply begins at `from`; the line that the client gets ends at `payload`,
 * without what comes before them. Returns where it begins. */
static char *write_tail(const struct mc_op *op, const struct mc_reply *reply, const char *from,
                        char *payload)
{
    const char *end = reply->behind_length;
    size_t cas_len = (size_t)(reply->line.data + reply->line.len - end);
    uint64_t len = reply->value_len - STAMP_LENGTH;
    char *at = payload;

    *--at = '\n';
    *--at = '\r';
    if (wants_cas(op)) {
        at -= cas_len;
        memmove(at, end, cas_len);
    }
    do {
        *--at = (char)('0' + len % 10);
        len /= 10;
    } while (len > 0);
    while (end[-1] != ' ')
        end--;
    at -= end - from;
    return memmove(at, from, (size_t)(end - from));
}

/* Passes on the line, rewritten, and the first `len` bytes behind the stamp. */
static void pass(struct mc_connection *connection, struct mc_op *op, const struct mc_reply *reply,
                 size_t len)
{
    struct buffer *sink = mc_op_sink(op);
    struct buffer_pool *pool = &op->plane->worker->buffers;
    struct chunk *chunk = connection->input.chunk;
    /* The chunk is ours, the bytes are nobody else's. */
    char *payload = (char *)(uintptr_t)reply->line.data + reply->line_len + STAMP_LENGTH;
    const char *key = reply->key.data;
    size_t before;
    char *from;
    bool ok;

    if (sink == NULL)
        return;
    before = sink->len;
    if (op->original != NULL) {
        from = write_tail(op, reply, key + reply->key.len, payload);
        ok = buffer_append_copy(sink, pool, "VALUE ", 6) &&
             buffer_append_copy(sink, pool, op->original->data, op->original->used);
    } else {
        from = write_tail(op, reply, key + op->prefix_len, payload) - 6;
        memcpy(from, "VALUE ", 6);
        ok = true;
    }
    ok = ok && buffer_append(sink, pool, chunk, from, (size_t)(payload - from) + len);
    mc_pair_passed(connection, op, sink, sink->len - before, ok);
}

enum mc_pair mc_text_take_stamped(struct mc_connection *connection, struct mc_op *op,
                                  const struct mc_reply *reply, struct mc_pairing *pairing)
{
    uint64_t total = reply->line_len + reply->value_len + 2;
    struct slice bytes = pairing->bytes;
    bool whole = bytes.len >= total;
    const char *value = bytes.data + reply->line_len;
    struct slice head;

    if (!reply->with_cas)
        return doubt_cas(reply, pairing);
    if (mc_text_epoch_comes_alone(op))
        return mc_pair_doubt(pairing, "a value for a key that was not asked for", reply->key);
    if (!whole && (total <= MC_ITEM_WHOLE || bytes.len < reply->line_len + STAMP_LENGTH)) {
        pairing->need = total <= MC_ITEM_WHOLE ? (size_t)total : reply->line_len + STAMP_LENGTH;
        return MC_PAIR_MORE;
    }
    if (whole && memcmp(value + reply->value_len, "\r\n", 2) != 0)
        return doubt_length(reply, pairing);
    head =
        slice_of(value, reply->value_len < STAMP_LENGTH ? (size_t)reply->value_len : STAMP_LENGTH);
    if (!mc_epoch_is_current(op, head, op->keep != 0 ? cas_of(reply) : 0)) {
        if (whole) {
            input_consume(&connection->input, (size_t)total);
            op->flags |= MC_OP_PAST;
            mc_pair_missed(connection);
        } else {
            input_consume(&connection->input, reply->line_len);
            op->flags |= MC_OP_PAST;
            mc_pair_skip(connection, op, reply->value_len + 2);
        }
        return MC_PAIR_ON;
    }
    counter_add(&op->cell->hits, 1);
    if (op->verb >= MC_GAT)
        counter_add(&op->cell->touch_hits, 1);
    if (whole) {
        pass(connection, op, reply, (size_t)(reply->value_len - STAMP_LENGTH) + 2);
        input_consume(&connection->input, (size_t)total);
        mc_pair_value_done(connection);
    } else {
        mc_pair_body(connection, op, reply->value_len - STAMP_LENGTH + 2, total - STAMP_LENGTH);
        pass(connection, op, reply, 0);
        input_consume(&connection->input, reply->line_len + STAMP_LENGTH);
    }
    return MC_PAIR_ON;
}
