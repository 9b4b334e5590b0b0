/*
 * Composing commands for a server: into the worker's append chunk, in one piece each, so that the
 * commands of many clients leave in one vector. The key in the composed bytes is also the one that
 * the reply is held against: the operation keeps a reference, and the chunk stays until it is
 * answered.
 */
#include "crossfade/relay/mc_pools.h"
#include "crossfade/relay/mc_text.h"

/* Keys in one get, and bytes of its line: memcached reads lines up to 16 KiB without a new buffer.
 */
#define BATCH_KEYS 100u
#define BATCH_BYTES 12000u
/* A gat line has to arrive whole within memcached's limit for lines that are no get. */
#define BATCH_BYTES_GAT 1800u
/* For the keys of one server among those of others. */
#define ROOM 512u

static struct worker *worker_of(const struct mc_connection *connection)
{
    return connection->server->plane->worker;
}

bool mc_connection_close_batch(struct mc_connection *connection)
{
    struct buffer_pool *pool = &worker_of(connection)->buffers;
    bool ok;

    if (connection->batch_last == NULL)
        return true;
    connection->batch_last->flags |= MC_OP_BATCH_END;
    connection->batch_last = NULL;
    if (connection->room_left >= 2) {
        memcpy(connection->room, "\r\n", 2);
        ok = buffer_append_ref(&connection->output, pool, connection->room_chunk, connection->room,
                               2);
    } else {
        ok = buffer_append_copy(&connection->output, pool, "\r\n", 2);
    }
    if (!ok)
        mc_connection_fail(connection, "out of memory", false);
    return ok;
}

/*
 * A get of many keys goes to several servers key by key, so each one's next key would be a piece of
 * its own in the append chunk. Whose keys are found apart gets room there for several at once; its
 * operations hold the chunk. False without memory.
 */
static bool make_room(struct mc_connection *connection, size_t needed)
{
    struct buffer_pool *pool = &worker_of(connection)->buffers;
    const struct segment *last = connection->output.last;
    struct chunk *chunk = pool->append;

    if (connection->room_left >= needed ||
        (last != NULL && last->chunk == chunk && last->at + last->len == chunk->data + chunk->used))
        return true;
    chunk = buffer_pool_append_chunk(pool, ROOM);
    if (chunk == NULL)
        return false;
    connection->room_chunk = chunk;
    connection->room = chunk->data + chunk->used;
    connection->room_left = ROOM;
    chunk->used += ROOM;
    return true;
}

/* Writes the key at `at`, in `chunk`, where the operation then finds it; returns where it ends. */
static char *put_key(struct mc_op *op, const struct key_place *place, struct slice key,
                     struct chunk *chunk, char *at)
{
    keyspace_compose(place, key, at);
    op->wire = at;
    op->wire_len = (uint8_t)place->wire_len;
    op->prefix_len = (uint8_t)place->prefix.len;
    op->wire_chunk = chunk_ref(chunk);
    return at + place->wire_len;
}

/* Writes the epoch item's key and a space, in front of the value's; returns where they end. */
static char *put_epoch(struct mc_op *op, const struct key_place *epoch, struct slice key, char *at)
{
    keyspace_compose(epoch, key, at);
    op->epoch_len = (uint8_t)epoch->wire_len;
    at[epoch->wire_len] = ' ';
    return at + epoch->wire_len + 1;
}

/* "get" or "gat <exptime>", of a command that begins; returns where it ends. */
static char *put_head(struct mc_connection *connection, enum mc_verb verb, uint64_t batch_id,
                      struct slice exptime, char *at)
{
    struct slice name = mc_verb_name(verb);

    memcpy(at, name.data, name.len);
    at += name.len;
    if (exptime.len > 0) {
        *at++ = ' ';
        memcpy(at, exptime.data, exptime.len);
        at += exptime.len;
    }
    connection->batch_id = batch_id;
    connection->batch_keys = 0;
    connection->batch_bytes = name.len;
    connection->room_left = 0;
    return at;
}

#define HEAD_MAX 64u

bool mc_connection_get(struct mc_connection *connection, struct mc_op *op,
                       const struct key_place *place, const struct key_place *epoch,
                       struct slice key, uint64_t batch_id, struct slice exptime)
{
    struct buffer_pool *pool = &worker_of(connection)->buffers;
    size_t limit = exptime.len > 0 ? BATCH_BYTES_GAT : BATCH_BYTES;
    unsigned keys = epoch != NULL ? 2 : 1;
    size_t keys_len = place->wire_len + (epoch != NULL ? epoch->wire_len + 1 : 0);
    size_t needed = 1 + keys_len + 2;
    struct chunk *chunk;
    bool in_room;
    char *begin;
    char *at;

    if (connection->batch_last != NULL &&
        (connection->batch_id != batch_id || connection->batch_keys + keys > BATCH_KEYS ||
         connection->batch_bytes + keys_len + 3 > limit) &&
        !mc_connection_close_batch(connection))
        return false;
    ensure(exptime.len + 8 < HEAD_MAX);
    if (connection->batch_last != NULL && !make_room(connection, needed))
        return false;
    in_room = connection->batch_last != NULL && connection->room_left >= needed;
    chunk = in_room ? connection->room_chunk : buffer_pool_append_chunk(pool, HEAD_MAX + needed);
    if (chunk == NULL || !mc_op_keep_key(op, place, key))
        return false;
    at = begin = in_room ? connection->room : chunk->data + chunk->used;
    if (connection->batch_last == NULL)
        at = put_head(connection, epoch != NULL ? MC_GETS : op->verb, batch_id, exptime, at);
    else
        counter_add(&connection->server->cell->batched_keys, 1);
    *at++ = ' ';
    if (epoch != NULL)
        at = put_epoch(op, epoch, key, at);
    at = put_key(op, place, key, chunk, at);
    if (!buffer_append_ref(&connection->output, pool, chunk, begin, (size_t)(at - begin)))
        return false;
    if (in_room) {
        connection->room = at;
        connection->room_left -= (size_t)(at - begin);
    } else {
        chunk->used += (size_t)(at - begin);
    }
    connection->batch_last = op;
    connection->batch_keys += keys;
    connection->batch_bytes += keys_len + 1;
    mc_connection_enqueue(connection, op);
    return true;
}

bool mc_connection_gat(struct mc_connection *connection, struct mc_op *op,
                       const struct key_place *place, const struct key_place *epoch,
                       struct slice key, struct slice exptime)
{
    struct buffer_pool *pool = &worker_of(connection)->buffers;
    struct slice verb = SLICE("gats");
    size_t len = 4 + epoch->wire_len + 2 + verb.len + 1 + exptime.len + 1 + place->wire_len + 2;
    struct chunk *chunk;
    char *begin;
    char *at;

    if (!mc_connection_close_batch(connection))
        return false;
    chunk = buffer_pool_append_chunk(pool, len);
    if (chunk == NULL || !mc_op_keep_key(op, place, key))
        return false;
    at = begin = chunk->data + chunk->used;
    memcpy(at, "get ", 4);
    at = put_epoch(op, epoch, key, at + 4);
    memcpy(at - 1, "\r\n", 2);
    at++;
    memcpy(at, verb.data, verb.len);
    at += verb.len;
    *at++ = ' ';
    memcpy(at, exptime.data, exptime.len);
    at += exptime.len;
    *at++ = ' ';
    at = put_key(op, place, key, chunk, at);
    memcpy(at, "\r\n", 2);
    if (!buffer_append_ref(&connection->output, pool, chunk, begin, len))
        return false;
    chunk->used += len;
    op->flags |= MC_OP_BATCH_END;
    mc_connection_enqueue(connection, op);
    return true;
}

struct slice mc_text_epoch_wire(const struct mc_op *op)
{
    const char *end = op->wire - 1;

    /* Of a gat, the line before. */
    if (op->verb >= MC_GAT)
        while (*end != '\r')
            end--;
    return slice_of(end - op->epoch_len, op->epoch_len);
}

bool mc_text_keep_wire(struct mc_op *op, const struct key_place *place, struct slice key)
{
    struct chunk *chunk = buffer_pool_append_chunk(&op->plane->worker->buffers, place->wire_len);

    if (chunk == NULL || !mc_op_keep_key(op, place, key))
        return false;
    (void)put_key(op, place, key, chunk, chunk->data + chunk->used);
    chunk->used += place->wire_len;
    return true;
}

bool mc_connection_line(struct mc_connection *connection, struct mc_op *op,
                        const struct key_place *place, struct slice key, struct slice tail)
{
    struct buffer_pool *pool = &worker_of(connection)->buffers;
    struct slice verb = mc_verb_name(op->verb);
    size_t len = verb.len + 1 + place->wire_len + tail.len;
    struct chunk *chunk;
    char *begin;
    char *at;

    if (!mc_connection_close_batch(connection))
        return false;
    chunk = buffer_pool_append_chunk(pool, len);
    if (chunk == NULL || !mc_op_keep_key(op, place, key))
        return false;
    at = begin = chunk->data + chunk->used;
    memcpy(at, verb.data, verb.len);
    at += verb.len;
    *at++ = ' ';
    at = put_key(op, place, key, chunk, at);
    memcpy(at, tail.data, tail.len);
    if (!buffer_append_ref(&connection->output, pool, chunk, begin, len))
        return false;
    chunk->used += len;
    mc_connection_enqueue(connection, op);
    return true;
}
