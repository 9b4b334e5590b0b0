/*
 * Replies of a server in the binary protocol. Each request has one; its opaque is the request's
 * number on this connection, its opcode the one that was sent, and a key in it the one that was
 * asked for: what is otherwise is doubt.
 */
#include "crossfade/relay/mc_binary.h"
#include "crossfade/relay/mc_coherence.h"
#include "crossfade/relay/mc_epoch.h"
#include "crossfade/relay/mc_journal.h"
#include "crossfade/relay/mc_pairing.h"
#include "crossfade/relay/mc_pools.h"

#include <endian.h>

static bool returns_key(const struct mc_op *op)
{
    return op->loud == MC_BINARY_GETK || op->loud == MC_BINARY_GATK;
}

/* The key as the client named it. */
static struct slice own_key(const struct mc_op *op)
{
    if (op->original != NULL)
        return slice_of(op->original->data, op->original->used);
    return slice_of(op->wire + op->prefix_len, (size_t)op->wire_len - op->prefix_len);
}

void mc_binary_set_miss(struct mc_op *op)
{
    struct mc_binary_reply reply = { .opcode = op->opcode,
                                     .status = MC_BINARY_NOT_FOUND,
                                     .opaque = op->opaque };
    char out[MC_BINARY_HEADER + KEY_MAX];
    struct slice key;

    if (op->client == NULL || (op->flags & MC_OP_QUIET))
        return;
    if (!returns_key(op)) {
        mc_binary_set_reply(op, MC_BINARY_NOT_FOUND, mc_binary_status_text(MC_BINARY_NOT_FOUND));
        return;
    }
    key = own_key(op);
    reply.key_len = (uint16_t)key.len;
    reply.body_len = reply.key_len;
    mc_binary_reply_write(out, &reply);
    memcpy(out + MC_BINARY_HEADER, key.data, key.len);
    mc_op_set_reply(op, slice_of(out, MC_BINARY_HEADER + key.len));
}

void mc_binary_missed(struct mc_op *op)
{
    counter_add(&op->cell->misses, 1);
    if (op->verb == MC_GAT)
        counter_add(&op->cell->touch_misses, 1);
    op->flags |= MC_OP_STARTED; /* what it gets is not counted as parked */
    mc_binary_set_miss(op);
    mc_op_part_done(op, slice_of(NULL, 0));
}

static void miss(struct mc_connection *connection)
{
    struct mc_op *op;

    if (STAILQ_FIRST(&connection->ops)->flags & MC_OP_EPOCH) {
        mc_pair_missed(connection);
        return;
    }
    op = mc_pair_take(connection);
    mc_remember_miss(op, MC_MISS_READ);
    mc_binary_missed(op);
}

/*
 * The beginning of a value, `len` bytes from its header on, as the client is to see it. Without a
 * key, or with one that has no prefix, the header is changed where it stands. A prefix and a stamp
 * are written over:
 *
 *   received   | header | flags | py3.1:user 1 | value ....   (bytes that nobody else has)
 *   passed on        | header | flags | user 1 | value ....
 *
 *   received   | header | flags | cf~py3.1:user 1 | stamp | value ....
 *   passed on                    | header | flags | user 1 | value ....
 */
static void pass_value(struct mc_connection *connection, struct mc_op *op,
                       const struct mc_binary_reply *reply, size_t len)
{
    struct buffer *sink = mc_op_sink(op);
    struct buffer_pool *pool = &op->plane->worker->buffers;
    struct chunk *chunk = connection->input.chunk;
    char *head = chunk->data + connection->input.begin;
    size_t prefix_len = returns_key(op) ? op->prefix_len : 0;
    size_t stamp_len = op->flags & MC_OP_EPOCH ? STAMP_LENGTH : 0;
    size_t before;
    bool ok;

    if (sink == NULL)
        return;
    before = sink->len;
    if (returns_key(op) && op->original != NULL) {
        struct slice key = own_key(op);
        size_t skip = MC_BINARY_VALUE_HEAD + reply->key_len + stamp_len;
        mc_binary_reply_rewrite(head, reply, op->opcode, op->opaque, key.len, stamp_len);
        ok = buffer_append_copy(sink, pool, head, MC_BINARY_VALUE_HEAD) &&
             buffer_append_copy(sink, pool, key.data, key.len) &&
             (len == skip || buffer_append(sink, pool, chunk, head + skip, len - skip));
    } else {
        size_t key_len = reply->key_len - prefix_len;
        char *key = head + MC_BINARY_VALUE_HEAD + prefix_len;
        if (stamp_len > 0 && key_len > 0)
            memmove(key + stamp_len, key, key_len);
        if (prefix_len + stamp_len > 0)
            memmove(head + prefix_len + stamp_len, head, MC_BINARY_VALUE_HEAD);
        head += prefix_len + stamp_len;
        mc_binary_reply_rewrite(head, reply, op->opcode, op->opaque, key_len, stamp_len);
        ok = buffer_append(sink, pool, chunk, head, len - prefix_len - stamp_len);
    }
    mc_pair_passed(connection, op, sink, sink->len - before, ok);
}

/* How much of the reply has to be here before it is dealt with; its head, and the stamp. */
static bool is_here(struct mc_pairing *pairing, uint64_t total, size_t head_len)
{
    size_t need = total <= MC_ITEM_WHOLE ? (size_t)total : head_len;

    if (pairing->bytes.len >= total || (total > MC_ITEM_WHOLE && pairing->bytes.len >= head_len))
        return true;
    pairing->need = need;
    return false;
}

/* The value is not what it was when its epoch item was written. Its head is `head_len` bytes. */
static void drop_value(struct mc_connection *connection, struct mc_op *op, uint64_t total,
                       size_t head_len, bool whole)
{
    if (whole) {
        input_consume(&connection->input, (size_t)total);
        mc_pair_missed(connection);
    } else {
        input_consume(&connection->input, head_len);
        mc_pair_skip(connection, op, total - head_len);
    }
}

static enum mc_pair pair_value(struct mc_connection *connection,
                               const struct mc_binary_reply *reply, struct mc_pairing *pairing)
{
    struct mc_op *op = STAILQ_FIRST(&connection->ops);
    uint64_t total = MC_BINARY_HEADER + (uint64_t)reply->body_len;
    size_t key_end = MC_BINARY_VALUE_HEAD + reply->key_len;
    size_t head_len = key_end + (op->flags & MC_OP_EPOCH ? STAMP_LENGTH : 0);
    struct slice bytes = pairing->bytes;
    bool whole = bytes.len >= total;
    struct slice key;

    if (!is_here(pairing, total, head_len))
        return MC_PAIR_MORE;
    key = slice_of(bytes.data + MC_BINARY_VALUE_HEAD, reply->key_len);
    if (returns_key(op) && !slice_equal(key, mc_op_wire(op)))
        return mc_pair_doubt(pairing, "a value for a key that was not asked for", key);
    connection->answered++;
    if ((op->flags & MC_OP_EPOCH) &&
        !mc_epoch_is_current(op,
                             slice_of(bytes.data + key_end,
                                      (size_t)(total < head_len ? total - key_end : STAMP_LENGTH)),
                             be64toh(reply->cas))) {
        drop_value(connection, op, total, key_end, whole);
        return MC_PAIR_ON;
    }
    counter_add(&op->cell->hits, 1);
    if (op->verb == MC_GAT)
        counter_add(&op->cell->touch_hits, 1);
    if (whole) {
        pass_value(connection, op, reply, (size_t)total);
        input_consume(&connection->input, (size_t)total);
        mc_pair_value_done(connection);
    } else {
        mc_pair_body(connection, op, total - head_len, total);
        pass_value(connection, op, reply, head_len);
        input_consume(&connection->input, head_len);
    }
    return MC_PAIR_ON;
}

/* The epoch item comes before the value. A server that refuses to read it, or has something else in
 * its place, has none. */
static enum mc_pair pair_epoch(struct mc_connection *connection,
                               const struct mc_binary_reply *reply, struct mc_pairing *pairing)
{
    struct mc_op *op = STAILQ_FIRST(&connection->ops);
    uint64_t total = MC_BINARY_HEADER + (uint64_t)reply->body_len;
    struct slice bytes = pairing->bytes;
    bool found = reply->status == MC_BINARY_DONE;

    if (!is_here(pairing, total, MC_BINARY_VALUE_HEAD))
        return MC_PAIR_MORE;
    connection->answered++;
    if (bytes.len < total) {
        mc_epoch_seen(op, slice_of(NULL, 0));
        input_consume(&connection->input, MC_BINARY_VALUE_HEAD);
        mc_pair_skip(connection, op, total - MC_BINARY_VALUE_HEAD);
        return MC_PAIR_ON;
    }
    if (found)
        mc_epoch_seen(
            op, slice_of(bytes.data + MC_BINARY_VALUE_HEAD, (size_t)total - MC_BINARY_VALUE_HEAD));
    op->flags |= MC_OP_PAST;
    input_consume(&connection->input, (size_t)total);
    return MC_PAIR_ON;
}

static void count_status(const struct mc_op *op, uint16_t status)
{
    struct mc_arm_cell *cell = op->cell;
    bool missed = status == MC_BINARY_NOT_FOUND;

    if (op->primary != NULL || cell == NULL || (op->flags & (MC_OP_TOO_LARGE | MC_OP_DROP)))
        return;
    switch (op->verb) {
    case MC_DELETE:
        counter_add(status == MC_BINARY_DONE ? &cell->delete_hits : &cell->delete_misses, 1);
        break;
    case MC_INCR:
        counter_add(missed ? &cell->incr_misses : &cell->incr_hits, 1);
        break;
    case MC_DECR:
        counter_add(missed ? &cell->decr_misses : &cell->decr_hits, 1);
        break;
    case MC_TOUCH:
        counter_add(status == MC_BINARY_DONE ? &cell->touch_hits : &cell->touch_misses, 1);
        break;
    case MC_CAS:
        counter_add(status == MC_BINARY_DONE ? &cell->cas_hits
                    : missed                 ? &cell->cas_misses
                                             : &cell->cas_badval,
                    1);
        break;
    default:
        break;
    }
}

/* The reply to anything but a get, all of which is here. */
static void answer(struct mc_op *op, const struct mc_binary_reply *reply, struct slice packet)
{
    char out[MC_BINARY_HEADER + MC_BINARY_TEXT_MAX];

    if (op->primary != NULL && reply->status != MC_BINARY_DONE &&
        reply->status != MC_BINARY_NOT_FOUND) {
        mc_op_part_failed(op, "a memcached server refused the delete");
        return;
    }
    if (op->primary != NULL || op->client == NULL ||
        ((op->flags & MC_OP_QUIET) && reply->status == MC_BINARY_DONE)) {
        mc_op_part_done(op, slice_of(NULL, 0));
        return;
    }
    memcpy(out, packet.data, packet.len);
    mc_binary_reply_rewrite(out, reply, op->opcode, op->opaque, reply->key_len, 0);
    mc_op_part_done(op, slice_of(out, packet.len));
}

static void pair_status(struct mc_connection *connection, const struct mc_binary_reply *reply,
                        struct slice packet)
{
    struct mc_op *op = mc_pair_take(connection);

    bool gone = reply->status == MC_BINARY_DONE ||
                (reply->status == MC_BINARY_NOT_FOUND && op->verb == MC_DELETE);

    count_status(op, reply->status);
    if (!gone)
        mc_op_put_back(op);
    if (!gone && op->primary == NULL && reply->status >= MC_BINARY_NO_MEMORY)
        mc_journal_refused(op);
    if ((op->flags & MC_OP_DROP) && gone) {
        if ((op->flags & MC_OP_FAILED) == 0)
            mc_binary_set_kept(op);
        mc_op_part_done(op, slice_of(NULL, 0));
    } else if (op->flags & MC_OP_TOO_LARGE) {
        if ((op->flags & MC_OP_FAILED) == 0)
            mc_binary_set_reply(op, MC_BINARY_TOO_LARGE,
                                mc_binary_status_text(MC_BINARY_TOO_LARGE));
        mc_op_part_done(op, slice_of(NULL, 0));
    } else {
        answer(op, reply, packet);
    }
}

enum mc_pair mc_binary_pair(struct mc_connection *connection, struct mc_pairing *pairing)
{
    struct mc_op *op = mc_pair_first(connection);
    struct slice bytes = pairing->bytes;
    struct mc_binary_reply reply;
    uint8_t opcode;
    bool probe;
    bool epoch;
    size_t total;

    if (op == NULL)
        return mc_pair_doubt(pairing, "bytes that no request asked for", bytes);
    switch (mc_binary_reply_parse(bytes, &reply)) {
    case MC_BINARY_MORE:
        pairing->need = MC_BINARY_HEADER;
        return MC_PAIR_MORE;
    case MC_BINARY_OK:
        break;
    default:
        return mc_pair_doubt(pairing, "no reply of the protocol", bytes);
    }
    probe = (op->flags & MC_OP_PROBE) != 0;
    epoch = (op->flags & (MC_OP_EPOCH | MC_OP_PAST)) == MC_OP_EPOCH;
    opcode = probe ? MC_BINARY_VERSION : epoch ? MC_BINARY_GET : op->loud;
    if (reply.opaque != (probe ? 0 : connection->answered + 1))
        return mc_pair_doubt(pairing, "a reply to another request", bytes);
    if (!mc_binary_reply_fits(&reply, opcode) ||
        (reply.status == MC_BINARY_DONE && mc_pair_is_early(connection)))
        return mc_pair_doubt(pairing, "a reply that does not fit the request", bytes);
    if (reply.status == MC_BINARY_AUTH_ERROR)
        return mc_pair_doubt(pairing, "it wants its clients to log in", slice_of("", 0));
    if (epoch)
        return pair_epoch(connection, &reply, pairing);
    if (op->errand != NULL)
        return mc_binary_pair_errand(connection, op, &reply, pairing);
    if (!probe && mc_verb_is_get(op->verb) && reply.status == MC_BINARY_DONE)
        return pair_value(connection, &reply, pairing);
    total = MC_BINARY_HEADER + reply.body_len;
    if (bytes.len < total) {
        pairing->need = total;
        return MC_PAIR_MORE;
    }
    if (reply.key_len > 0 &&
        !slice_equal(slice_of(bytes.data + MC_BINARY_HEADER, reply.key_len), mc_op_wire(op)))
        return mc_pair_doubt(pairing, "a miss of a key that was not asked for", bytes);
    input_consume(&connection->input, total);
    if (probe) {
        mc_op_free(mc_pair_take(connection));
        return MC_PAIR_ON;
    }
    connection->answered++;
    if (!mc_verb_is_get(op->verb))
        pair_status(connection, &reply, slice_of(bytes.data, total));
    else if (reply.status == MC_BINARY_NOT_FOUND)
        miss(connection);
    else
        mc_op_part_failed(mc_pair_take(connection), "a memcached server refused the command");
    return MC_PAIR_ON;
}
