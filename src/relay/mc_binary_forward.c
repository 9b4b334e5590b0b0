/*
 * What becomes of a binary request that is about a key: one operation, whose header, extras and key
 * are composed anew for the key's server; a value behind them is passed on as it came.
 */
#include "crossfade/relay/mc_binary.h"
#include "crossfade/relay/mc_coherence.h"
#include "crossfade/relay/mc_epoch.h"
#include "crossfade/relay/mc_journal.h"
#include "crossfade/relay/mc_lookup.h"
#include "crossfade/relay/mc_observe.h"

#include <endian.h>

static const struct slice reserved = SLICE_INIT(
    "this key has the form of a namespace prefix and could name another version's entry");

/* A request without its value. Returns the place of its key. */
static char *put_request(char *at, const struct mc_binary_request *request,
                         const struct key_place *place, uint32_t value_len, uint32_t number)
{
    size_t extras_len = request->extras.len;

    mc_binary_request_write(at, request->loud, place->wire_len, extras_len,
                            (uint32_t)(extras_len + place->wire_len) + value_len, number,
                            request->cas);
    at += MC_BINARY_HEADER;
    if (extras_len > 0)
        memcpy(at, request->extras.data, extras_len);
    at += extras_len;
    keyspace_compose(place, request->key, at);
    return at;
}

bool mc_binary_compose(struct mc_connection *connection, struct mc_op *op,
                       const struct key_place *place, const struct mc_binary_request *request,
                       uint32_t value_len, const struct key_place *epoch)
{
    const struct mc_binary_request epoch_get = { .loud = MC_BINARY_GET, .key = request->key };
    struct buffer_pool *pool = &op->plane->worker->buffers;
    size_t epoch_len = epoch != NULL ? MC_BINARY_HEADER + epoch->wire_len : 0;
    size_t len = epoch_len + MC_BINARY_HEADER + request->extras.len + place->wire_len;
    struct chunk *chunk = buffer_pool_append_chunk(pool, len);
    char *begin;

    if (chunk == NULL || !mc_op_keep_key(op, place, request->key))
        return false;
    begin = chunk->data + chunk->used;
    if (epoch != NULL)
        (void)put_request(begin, &epoch_get, epoch, 0, ++connection->composed);
    op->wire = put_request(begin + epoch_len, request, place, value_len, connection->composed + 1);
    if (!buffer_append_ref(&connection->output, pool, chunk, begin, len)) {
        connection->composed -= epoch != NULL;
        return false;
    }
    chunk->used += len;
    connection->composed++;
    op->wire_len = (uint8_t)place->wire_len;
    op->prefix_len = (uint8_t)place->prefix.len;
    op->wire_chunk = chunk_ref(chunk);
    op->loud = request->loud;
    mc_connection_enqueue(connection, op);
    return true;
}

struct mc_op *mc_binary_op(struct mc_client *client, const struct mc_binary_request *request)
{
    struct mc_op *op = mc_client_op(client, request->verb);

    if (op == NULL)
        return NULL;
    op->opcode = request->opcode;
    op->loud = request->loud;
    op->opaque = request->opaque;
    if (request->quiet)
        op->flags |= MC_OP_QUIET;
    if (mc_verb_is_get(request->verb))
        op->flags |= MC_OP_LAST;
    return op;
}

/* Only now does the key point to what the client sent, for a miss to name. */
void mc_binary_fail_here(struct mc_op *op, const struct mc_server *server, struct slice key)
{
    op->wire = key.data;
    op->wire_len = (uint8_t)key.len;
    mc_op_fail_here(op, server);
}

static enum mc_step refuse(struct mc_client *client, const struct mc_binary_request *request,
                           uint16_t status, struct slice text)
{
    counter_add(&client->cell->refused, 1);
    return mc_binary_answer(client, request, status, text) ? MC_STEP_ON : MC_STEP_CLOSE;
}

static enum mc_step refuse_key(struct mc_client *client, const struct mc_binary_request *request,
                               enum key_verdict verdict)
{
    if (verdict == KEY_RESERVED)
        return refuse(client, request, MC_BINARY_INVALID, reserved);
    if (verdict == KEY_LOOKUP)
        return refuse(client, request, MC_BINARY_INVALID, SLICE(MC_LOOKUP_REFUSED));
    /* memcached closes the connection on a key that is too long. */
    client->closing = true;
    (void)refuse(client, request, MC_BINARY_INVALID, mc_binary_status_text(MC_BINARY_INVALID));
    return MC_STEP_STOP;
}

/* A key that is answered here, in its place among the others. */
static enum mc_step answer_lookup(struct mc_client *client, const struct mc_binary_request *request)
{
    char out[MC_BINARY_HEADER + 4 + KEY_MAX + MC_LOOKUP_MAX];
    struct mc_lookup lookup = { .len = 0, .cas = 0 };
    bool found = mc_lookup(client, request->key, &lookup);
    size_t key_len = request->with_key ? request->key.len : 0;
    size_t extras_len = found ? 4 : 0;
    struct mc_binary_reply reply = { .opcode = request->opcode,
                                     .extras_len = (uint8_t)extras_len,
                                     .key_len = (uint16_t)key_len,
                                     .body_len = (uint32_t)(extras_len + key_len + lookup.len),
                                     .opaque = request->opaque,
                                     .cas = lookup.cas };

    if (!found && request->quiet)
        return MC_STEP_ON;
    if (!found && !request->with_key)
        return mc_binary_answer(client, request, MC_BINARY_NOT_FOUND,
                                mc_binary_status_text(MC_BINARY_NOT_FOUND))
                   ? MC_STEP_ON
                   : MC_STEP_CLOSE;
    reply.status = found ? MC_BINARY_DONE : MC_BINARY_NOT_FOUND;
    reply.cas = found ? htobe64(lookup.cas) : 0;
    mc_binary_reply_write(out, &reply);
    memset(out + MC_BINARY_HEADER, 0, extras_len);
    if (key_len > 0)
        memcpy(out + MC_BINARY_HEADER + extras_len, request->key.data, key_len);
    if (found)
        memcpy(out + MC_BINARY_HEADER + extras_len + key_len, lookup.value, lookup.len);
    return mc_client_answer(client, slice_of(out, MC_BINARY_HEADER + reply.body_len))
               ? MC_STEP_ON
               : MC_STEP_CLOSE;
}

static enum mc_step forward_get(struct mc_client *client, const struct mc_binary_request *request,
                                const struct key_place *place, struct mc_server *server)
{
    struct mc_connection *connection =
        mc_journal_reader(server, &mc_binary, client->affinity, place);
    struct mc_op *op = mc_binary_op(client, request);
    bool has_epoch = mc_is_epoch(place);
    struct key_place epoch;

    if (op == NULL)
        return MC_STEP_CLOSE;
    if (has_epoch) {
        op->flags |= MC_OP_EPOCH | MC_OP_TRACK;
        keyspace_epoch(mc_client_plan(client)->keyspace, request->key, &epoch);
    } else if (request->verb == MC_GET && mc_tracks_misses(client, place)) {
        op->flags |= MC_OP_TRACK;
    }
    counter_add(&client->cell->gets, 1);
    if (request->verb == MC_GAT)
        counter_add(&client->cell->touches, 1);
    mc_client_expect(client, op);
    if (connection == NULL ||
        !mc_binary_compose(connection, op, place, request, 0, has_epoch ? &epoch : NULL))
        mc_binary_fail_here(op, server, request->key);
    else
        mc_client_hold_back(client, connection);
    return MC_STEP_ON;
}

/* Composes the request, the value if it is here, and the companions. */
static enum mc_step send_write(struct mc_client *client, struct mc_connection *connection,
                               struct mc_op *op, const struct mc_binary_request *request,
                               const struct key_place *place, struct slice value)
{
    if (!mc_binary_compose(connection, op, place, request, request->value_len, NULL)) {
        mc_binary_fail_here(op, connection->server, request->key);
        return MC_STEP_CLOSE;
    }
    if (value.len > 0 && !mc_connection_value(connection, client->input.chunk, value)) {
        /* Half a request is composed: the connection cannot be used any more. */
        mc_connection_fail(connection, "out of memory", false);
        return MC_STEP_CLOSE;
    }
    mc_client_hold_back(client, connection);
    mc_invalidate_others(client, connection, op, place, request->verb, request->key);
    return MC_STEP_ON;
}

/*
 * All requests but gets. A value that is too large is swallowed; a set of one also removes the old
 * value, as memcached does it: what goes to the server is the delete.
 */
static enum mc_step forward_write(struct mc_client *client,
                                  const struct mc_binary_request *original,
                                  const struct key_place *place, struct mc_server *server,
                                  struct slice value)
{
    struct mc_binary_request request = *original;
    bool upload = request.value_len > 0 && value.len == 0;
    bool too_large = request.value_len > mc_view_config(client->view)->max_value;
    struct mc_connection *connection;
    struct mc_op *op;

    if (request.cas != 0 && mc_verb_is_storage(request.verb) && request.verb <= MC_REPLACE)
        request.verb = MC_CAS;
    if (too_large) {
        request.verb = MC_DELETE;
        request.loud = MC_BINARY_DELETE;
        request.extras.len = 0;
        request.value_len = 0;
        request.cas = 0;
        upload = false;
        counter_add(&client->cell->refused, 1);
    }
    connection = mc_journal_writer(server, client, place, request.verb, upload);
    op = mc_binary_op(client, &request);
    if (op == NULL)
        return MC_STEP_CLOSE;
    if (too_large)
        op->flags |= MC_OP_TOO_LARGE;
    mc_client_expect(client, op);
    if (connection == NULL) {
        mc_journal_unsent(client, server, place, request.verb, request.key);
        mc_binary_fail_here(op, server, request.key);
        return MC_STEP_ON;
    }
    if (upload) {
        client->upload_left = request.value_len;
        client->swallow = 0;
    }
    return send_write(client, connection, op, &request, place, value);
}

/* The value, as far as it is here: of one that streams, VALUE_GUARD_BYTES at least
 * (mc_binary_forward). */
static struct slice value_here(const struct mc_client *client,
                               const struct mc_binary_request *request)
{
    size_t here = input_bytes(&client->input).len - request->head_len;

    return slice_of(request->key.data + request->key.len,
                    here < request->value_len ? here : request->value_len);
}

/* A number of the extras; 0 where there are none of that length. */
static uint32_t extra_at(const struct mc_binary_request *request, size_t at)
{
    uint32_t number = 0;

    if (request->extras.len >= at + sizeof(number))
        memcpy(&number, request->extras.data + at, sizeof(number));
    return be32toh(number);
}

static bool is_guarded(struct mc_client *client, const struct mc_binary_request *request,
                       const struct key_place *place)
{
    if (!place->guard || !mc_verb_is_storage(request->verb) ||
        request->value_len > mc_view_config(client->view)->max_value)
        return false;
    return mc_is_guarded(client, place, request->verb, extra_at(request, 0),
                         value_here(client, request));
}

static void observe(struct mc_client *client, const struct mc_binary_request *request)
{
    struct mc_written written = { .verb = request->verb };

    if (mc_verb_is_get(request->verb)) {
        mc_observe_read(client, request->key);
        return;
    }
    if (mc_verb_is_storage(request->verb)) {
        written.flags = extra_at(request, 0);
        written.exptime = extra_at(request, 4);
        written.value = value_here(client, request);
        written.whole = written.value.len == request->value_len;
        if (request->cas != 0)
            written.verb = MC_CAS;
    }
    mc_observe_write(client, request->key, &written);
}

/* The head, and the value if all of it is here, are to be consumed by the caller. */
static enum mc_step forward(struct mc_client *client, const struct mc_binary_request *request,
                            struct slice value)
{
    const struct plan *plan = mc_client_plan(client);
    struct key_place place;
    enum key_verdict verdict = keyspace_place(plan->keyspace, client->arm, request->key, &place);
    bool get = mc_verb_is_get(request->verb);
    struct mc_server *server;

    if (value.len == 0)
        client->swallow = request->value_len;
    mc_count_command(client->cell, request->verb);
    if (verdict == KEY_LOOKUP && get)
        return answer_lookup(client, request);
    if (verdict != KEY_OK)
        return refuse_key(client, request, verdict);
    if (request->value_len > plan->config->cache.max_value && request->loud != MC_BINARY_SET)
        return refuse(client, request, MC_BINARY_TOO_LARGE,
                      mc_binary_status_text(MC_BINARY_TOO_LARGE));
    if (is_guarded(client, request, &place))
        return mc_binary_answer(client, request, MC_BINARY_INVALID, SLICE(MC_GUARDED))
                   ? MC_STEP_ON
                   : MC_STEP_CLOSE;
    if (mc_observe_due(client->plane))
        observe(client, request);
    server = client->view->servers[placement_server(plan->placement, request->key)];
    if (!get && mc_is_epoch(&place))
        return mc_binary_forward_epoch(client, request, &place, server, value);
    return get ? forward_get(client, request, &place, server)
               : forward_write(client, request, &place, server, value);
}

/* In epoch mode the value decides together with what is stored, or the request may come to be such
 * a one: then all of it is gathered, of any length. */
static bool is_gathered(const struct mc_client *client, const struct mc_binary_request *request)
{
    struct key_place place;

    return keyspace_place(mc_client_plan(client)->keyspace, client->arm, request->key, &place) ==
               KEY_OK &&
           mc_is_epoch(&place) &&
           (request->verb != MC_SET || request->cas != 0 || place.writes == WRITES_FILL);
}

static enum mc_step refuse_value(struct mc_client *client, const struct mc_binary_request *request)
{
    enum mc_step step =
        refuse(client, request, MC_BINARY_NO_MEMORY, mc_binary_status_text(MC_BINARY_NO_MEMORY));

    client->swallow = request->value_len;
    input_consume(&client->input, request->head_len);
    return step;
}

enum mc_step mc_binary_forward(struct mc_client *client, const struct mc_binary_request *request,
                               struct slice bytes)
{
    size_t done = request->head_len;
    struct slice value = slice_of(NULL, 0);
    enum mc_step step;

    if (request->value_len > 0 && request->value_len <= mc_view_config(client->view)->max_value) {
        bool large = request->value_len > MC_GATHER_MAX;
        bool gathered = !large || is_gathered(client, request);
        size_t need = done + (gathered ? request->value_len : VALUE_GUARD_BYTES);
        if (bytes.len < need) {
            if (large && gathered &&
                buffer_pool_size(&client->plane->worker->buffers) > MC_MEMORY_SPARE)
                return refuse_value(client, request);
            client->need = need;
            return MC_STEP_MORE;
        }
        if (gathered) {
            value = slice_of(bytes.data + done, request->value_len);
            done = need;
        } else if (mc_upload_waits(client, request->key)) {
            /* It goes another way than what came before and must not overtake it. */
            return MC_STEP_STOP;
        }
    }
    step = forward(client, request, value);
    if (!client->closed)
        input_consume(&client->input, done);
    return step;
}
