/*
 * Reads of epoch mode in the text protocol. One operation stands for the epoch item and the value:
 *
 *   sent       get cf~:e:a cf~py3.0:a cf~:e:b cf~py3.0:b      (operations a, b)
 *   received   VALUE cf~:e:a 2 32 ...                         a's token
 *              VALUE cf~py3.0:a 0 25 <stamp>hello             the same in its stamp: a is answered
 *              VALUE cf~:e:b 1 32 ...
 *              END                                            b is a miss
 *
 * A value comes with its stamp, which the client does not get: behind the stamp the bytes received
 * are what it wants, so its line is written over the end of that, in front of them.
 *
 *   received   VALUE cf~py3.0:a 0 25\r\n....................hello\r\n
 *   passed on                              VALUE a 0 5\r\nhello\r\n
 */
#include "crossfade/relay/mc_epoch.h"
#include "crossfade/relay/mc_pairing.h"
#include "crossfade/relay/mc_pools.h"
#include "crossfade/relay/mc_text.h"

static bool wants_cas(const struct mc_op *op)
{
    return op->verb == MC_GETS || op->verb == MC_GATS;
}

static enum mc_pair doubt_cas(const struct mc_reply *reply, struct mc_pairing *pairing)
{
    return mc_pair_doubt(pairing, "a cas number where none was asked for, or none", reply->line);
}

static enum mc_pair doubt_length(const struct mc_reply *reply, struct mc_pairing *pairing)
{
    return mc_pair_doubt(pairing, "a value is longer than announced", reply->line);
}

bool mc_text_epoch_hit(struct mc_connection *connection, struct mc_op *op, struct slice *bytes)
{
    static const char middle[] = " 32\r\n"; /* behind the one digit of the flags */
    struct slice wire = mc_text_epoch_wire(op);
    const char *at = bytes->data;
    size_t head = 6 + wire.len + 2 + sizeof(middle) - 1;
    size_t total = head + EPOCH_LENGTH + 2;

    if (bytes->len < total || memcmp(at, "VALUE ", 6) != 0 ||
        memcmp(at + 6, wire.data, wire.len) != 0 || at[6 + wire.len] != ' ' ||
        memcmp(at + 6 + wire.len + 2, middle, sizeof(middle) - 1) != 0 ||
        (unsigned char)(at[6 + wire.len + 1] - '0') > 9 || memcmp(at + total - 2, "\r\n", 2) != 0)
        return false;
    mc_epoch_seen(op, slice_of(at + head, EPOCH_LENGTH));
    op->flags |= MC_OP_PAST;
    input_consume(&connection->input, total);
    *bytes = slice_of(at + total, bytes->len - total);
    return true;
}
_Static_assert(EPOCH_LENGTH == 32, "as the line says");

enum mc_pair mc_text_take_epoch(struct mc_connection *connection, struct mc_op *op,
                                const struct mc_reply *reply, struct mc_pairing *pairing)
{
    uint64_t total = reply->line_len + reply->value_len + 2;
    const char *value = pairing->bytes.data + reply->line_len;
    bool alone = mc_text_epoch_comes_alone(op);

    if (reply->with_cas != (op->verb == MC_GETS))
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
static char *write_tail(const struct mc_reply *reply, const char *from, char *payload)
{
    const char *end = reply->line.data + reply->line.len;
    uint64_t len = reply->value_len - STAMP_LENGTH;
    char *at = payload;

    *--at = '\n';
    *--at = '\r';
    if (reply->with_cas) {
        const char *space = end;
        while (*--space != ' ')
            ;
        at -= end - space;
        memmove(at, space, (size_t)(end - space));
        end = space;
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
        from = write_tail(reply, key + reply->key.len, payload);
        ok = buffer_append_copy(sink, pool, "VALUE ", 6) &&
             buffer_append_copy(sink, pool, op->original->data, op->original->used);
    } else {
        from = write_tail(reply, key + op->prefix_len, payload) - 6;
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
    uint32_t flags;
    uint64_t cas = 0;

    if (reply->with_cas != wants_cas(op))
        return doubt_cas(reply, pairing);
    if (mc_text_epoch_comes_alone(op))
        return mc_pair_doubt(pairing, "a value for a key that was not asked for", reply->key);
    if (!whole && (total <= MC_ITEM_WHOLE || bytes.len < reply->line_len + STAMP_LENGTH)) {
        pairing->need = total <= MC_ITEM_WHOLE ? (size_t)total : reply->line_len + STAMP_LENGTH;
        return MC_PAIR_MORE;
    }
    if (whole && memcmp(value + reply->value_len, "\r\n", 2) != 0)
        return doubt_length(reply, pairing);
    if (op->keep != 0 && reply->with_cas)
        mc_reply_numbers(reply, &flags, &cas);
    if (!mc_epoch_is_current(op,
                             slice_of(value, reply->value_len < STAMP_LENGTH
                                                 ? (size_t)reply->value_len
                                                 : STAMP_LENGTH),
                             cas)) {
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
