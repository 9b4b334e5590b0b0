/*
 * Meta commands on their way to a server: what an operation keeps of its request, and lines into
 * the connection's output.
 */
#include "crossfade/relay/mc_coherence.h"
#include "crossfade/relay/mc_epoch.h"
#include "crossfade/relay/mc_meta.h"
#include "crossfade/relay/mc_pools.h"
#include "crossfade/relay/mc_text.h"

bool mc_meta_take_note(struct mc_op *op, const struct key_place *place, struct slice key,
                       const struct mc_meta *meta)
{
    struct slice opaque = meta->overlong ? slice_of(NULL, 0) : meta->opaque;
    bool get = op->verb == MC_META_GET;
    bool stamped = meta->stamp > 0;
    bool again = get && stamped && meta->vivifies;
    size_t most = sizeof(struct mc_meta_note) + place->wire_len + opaque.len + MC_META_FLAGS_MAX +
                  (again ? MC_META_LINE_MAX : 0);
    struct chunk *chunk = buffer_pool_append_chunk(&op->plane->worker->buffers, most);
    struct mc_meta_note *note;
    char *at;

    if (chunk == NULL || !mc_op_keep_key(op, place, key))
        return false;
    note = (struct mc_meta_note *)(void *)(chunk->data + chunk->used);
    *note = (struct mc_meta_note){ .opaque_len = (uint8_t)opaque.len,
                                   .marked = meta->marked,
                                   .base64 = meta->base64,
                                   .quiet = meta->quiet,
                                   .overlong = meta->overlong,
                                   .with_value =
                                       (meta->wants_value || (get && stamped)) && !meta->overlong,
                                   .with_cas = meta->has_cas,
                                   .touches = meta->touches,
                                   .decrements = meta->mode == 'D' || meta->mode == '-',
                                   .stamped = stamped,
                                   .bare = get && stamped && !meta->wants_value,
                                   .hides_cas = get && stamped && !meta->wants_cas,
                                   .vivifies = again };
    mc_meta_mark(op->plane->next_mark++, note->mark);
    keyspace_compose(place, key, note->bytes);
    at = note->bytes + place->wire_len;
    if (opaque.len > 0)
        memcpy(at, opaque.data, opaque.len);
    at += opaque.len;
    note->letters_len = (uint8_t)mc_meta_letters(meta, at);
    op->wire = note->bytes;
    op->wire_len = (uint8_t)place->wire_len;
    op->prefix_len = (uint8_t)place->prefix.len;
    op->wire_chunk = chunk_ref(chunk);
    chunk->used = (size_t)(at + note->letters_len - chunk->data);
    return true;
}
_Static_assert(_Alignof(struct mc_meta_note) == 1, "it is put where there is room");

bool mc_meta_compose(struct mc_connection *connection, struct mc_op *op, struct slice line)
{
    if (!mc_connection_close_batch(connection) ||
        !buffer_append_copy(&connection->output, &connection->server->plane->worker->buffers,
                            line.data, line.len))
        return false;
    mc_connection_enqueue(connection, op);
    return true;
}

size_t mc_meta_write_delete(const struct mc_op *op, bool base64, char *line)
{
    struct mc_meta meta = { .marked = true, .flags = { SLICE("b") }, .flag_count = base64 };

    return mc_meta_write(MC_META_DELETE, &meta, mc_op_wire(op), base64, mc_meta_note_of(op)->mark,
                         line);
}

bool mc_meta_compose_delete(struct mc_connection *connection, struct mc_op *op,
                            const struct key_place *place, struct slice key)
{
    static const struct mc_meta deletion = { .marked = true };
    char line[MC_META_LINE_MAX];
    /* A key that does not fit in base64 came in a text line, and goes as it is. */
    bool base64 = !place->hashed && BASE64_ENCODED(place->wire_len) <= KEY_MAX;

    op->verb = MC_META_DELETE;
    if (!mc_meta_take_note(op, place, key, &deletion))
        return false;
    return mc_meta_compose(connection, op, slice_of(line, mc_meta_write_delete(op, base64, line)));
}

struct mc_op *mc_meta_expect(struct mc_client *client, const struct mc_meta_command *command,
                             enum mc_verb verb)
{
    struct mc_op *op = mc_client_op(client, verb);

    if (op == NULL)
        return NULL;
    if (!mc_meta_take_note(op, &command->place, command->key, &command->meta)) {
        mc_op_free(op);
        return NULL;
    }
    /* The md in the place of an ms has few flags, and always room. */
    if (verb != command->request->verb)
        mc_meta_own_note(op)->marked = true;
    if (command->too_large) {
        op->flags |= MC_OP_TOO_LARGE;
        counter_add(&client->cell->refused, 1);
    }
    if (verb == MC_META_GET && mc_tracks_misses(client, &command->place))
        op->flags |= MC_OP_TRACK;
    mc_client_expect(client, op);
    return op;
}
