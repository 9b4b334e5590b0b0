/*
 * Composing commands for a server: into the worker's append chunk, in one piece each, so that the
 * commands of many clients leave in one vector. The key in the composed bytes is also the one that the
 * reply is held against: the operation keeps a reference, and the chunk stays until it is answered.
 */
#include "crossfade/relay/mc_pools.h"
#include "crossfade/relay/mc_text.h"

/* Keys in one get, and bytes of its line: memcached reads lines up to 16 KiB without a new buffer. */
#define BATCH_KEYS 100u
#define BATCH_BYTES 12000u
/* A gat line has to arrive whole within memcached's limit for lines that are no get. */
#define BATCH_BYTES_GAT 1800u

static struct worker *worker_of(const struct mc_connection *connection)
{
    return connection->server->plane->worker;
}

void mc_connection_close_batch(struct mc_connection *connection)
{
    if (connection->batch_last == NULL)
        return;
    connection->batch_last->flags |= MC_OP_BATCH_END;
    connection->batch_last = NULL;
    /* The chunk has room: mc_connection_get left it. */
    if (!buffer_append_copy(&connection->output, &worker_of(connection)->buffers, "\r\n", 2))
        mc_connection_fail(connection, "out of memory", false);
}

/*
 * Composes "<head> <wire key><tail>" in the append chunk, in one piece, and leaves the operation's key
 * pointing into it.
 */
static bool compose(struct mc_connection *connection, struct mc_op *op, struct slice head,
                    const struct key_place *place, struct slice key, struct slice tail)
{
    struct buffer_pool *pool = &worker_of(connection)->buffers;
    size_t len = head.len + 1 + place->wire_len + tail.len;
    struct chunk *chunk = buffer_pool_append_chunk(pool, len + 2);
    char *begin;
    char *at;

    if (chunk == NULL || !mc_op_keep_key(op, place, key))
        return false;
    at = begin = chunk->data + chunk->used;
    if (head.len > 0)
        memcpy(at, head.data, head.len);
    at += head.len;
    *at++ = ' ';
    keyspace_compose(place, key, at);
    op->wire = at;
    op->wire_len = (uint8_t)place->wire_len;
    op->prefix_len = (uint8_t)place->prefix.len;
    at += place->wire_len;
    if (tail.len > 0)
        memcpy(at, tail.data, tail.len);
    if (!buffer_append_ref(&connection->output, pool, chunk, begin, len))
        return false;
    chunk->used += len;
    op->wire_chunk = chunk_ref(chunk);
    return true;
}

bool mc_connection_get(struct mc_connection *connection, struct mc_op *op,
                       const struct key_place *place, struct slice key, uint64_t batch_id,
                       struct slice exptime)
{
    size_t limit = exptime.len > 0 ? BATCH_BYTES_GAT : BATCH_BYTES;
    char head[64];
    size_t head_len = 0;

    if (connection->batch_last != NULL &&
        (connection->batch_id != batch_id || connection->batch_keys >= BATCH_KEYS ||
         connection->batch_bytes + place->wire_len + 3 > limit))
        mc_connection_close_batch(connection);
    if (connection->batch_last == NULL) {
        const char *verb = mc_verb_name(op->verb);
        head_len = strlen(verb);
        memcpy(head, verb, head_len);
        if (exptime.len > 0) {
            ensure(exptime.len < sizeof(head) - 8);
            head[head_len++] = ' ';
            memcpy(head + head_len, exptime.data, exptime.len);
            head_len += exptime.len;
        }
    }
    if (!compose(connection, op, slice_of(head, head_len), place, key, slice_of(NULL, 0)))
        return false;
    if (head_len > 0) {
        connection->batch_id = batch_id;
        connection->batch_keys = 0;
        connection->batch_bytes = head_len;
    } else {
        counter_add(&connection->server->cell->batched_keys, 1);
    }
    connection->batch_last = op;
    connection->batch_keys++;
    connection->batch_bytes += place->wire_len + 1;
    mc_connection_enqueue(connection, op);
    return true;
}

bool mc_connection_line(struct mc_connection *connection, struct mc_op *op,
                        const struct key_place *place, struct slice key, struct slice tail)
{
    mc_connection_close_batch(connection);
    if (!compose(connection, op, slice_string(mc_verb_name(op->verb)), place, key, tail))
        return false;
    mc_connection_enqueue(connection, op);
    return true;
}
