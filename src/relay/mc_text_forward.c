/*
 * What becomes of a classic command of one key: one operation, whose line, and value if it has one,
 * go to the key's server. The gets are in relay/mc_text_get.c.
 */
#include "crossfade/relay/mc_coherence.h"
#include "crossfade/relay/mc_epoch.h"
#include "crossfade/relay/mc_journal.h"
#include "crossfade/relay/mc_lookup.h"
#include "crossfade/relay/mc_observe.h"
#include "crossfade/relay/mc_pools.h"
#include "crossfade/relay/mc_text.h"

#include <inttypes.h>
#include <stdio.h>

static const struct slice bad_format = SLICE_INIT("CLIENT_ERROR bad command line format\r\n");
static const struct slice reserved = SLICE_INIT(
    "CLIENT_ERROR this key has the form of a namespace prefix and could name another version's "
    "entry\r\n");

static const struct slice lookup_refused = SLICE_INIT("CLIENT_ERROR " MC_LOOKUP_REFUSED "\r\n");

struct slice mc_text_key_refusal(enum key_verdict verdict)
{
    return verdict == KEY_RESERVED ? reserved : verdict == KEY_LOOKUP ? lookup_refused : bad_format;
}

enum mc_forward_verdict mc_refuse_key(struct mc_client *client, const struct mc_request *request,
                                      enum key_verdict verdict)
{
    counter_add(&client->cell->refused, 1);
    if (request->noreply)
        return MC_FORWARD_OK;
    return mc_client_answer(client, mc_text_key_refusal(verdict)) ? MC_FORWARD_OK
                                                                  : MC_FORWARD_NO_MEMORY;
}

static size_t line_tail(const struct mc_request *request, char *out)
{
    if (mc_verb_is_storage(request->verb))
        return mc_request_storage_tail(request, out);
    if (request->number.len > 0) {
        out[0] = ' ';
        memcpy(out + 1, request->number.data, request->number.len);
        memcpy(out + 1 + request->number.len, "\r\n", 2);
        return request->number.len + 3;
    }
    memcpy(out, "\r\n", 2);
    return 2;
}

/*
 * A value that is too large is swallowed. A `set` also removes the old value, as memcached does it:
 * what goes to the server is the delete; the other storage commands leave the old one alone.
 */
static enum mc_forward_verdict refuse_size(struct mc_client *client,
                                           const struct mc_request *request)
{
    counter_add(&client->cell->refused, 1);
    return request->noreply ||
                   mc_client_answer(client, SLICE("SERVER_ERROR object too large for cache\r\n"))
               ? MC_FORWARD_OK
               : MC_FORWARD_NO_MEMORY;
}

/* A value that streams is judged by its first bytes: are they here? */
static bool beginning_of(struct mc_client *client, const struct mc_request *request,
                         struct slice value, struct slice *beginning)
{
    struct slice bytes = input_bytes(&client->input);

    if (value.len > 0) {
        *beginning = slice_of(value.data, value.len - 2);
        return true;
    }
    *beginning = slice_of(bytes.data + request->line_len, bytes.len - request->line_len);
    if (beginning->len >= VALUE_GUARD_BYTES)
        return true;
    client->need = request->line_len + VALUE_GUARD_BYTES;
    return false;
}

static void observe(struct mc_client *client, const struct mc_request *request, struct slice value)
{
    struct slice bytes = input_bytes(&client->input);
    struct mc_written written = { .verb = request->verb,
                                  .flags = request->flags,
                                  .exptime = request->exptime,
                                  .whole = value.len > 0 };

    if (written.whole)
        written.value = slice_of(value.data, value.len - 2);
    else if (mc_verb_is_storage(request->verb))
        written.value = slice_of(bytes.data + request->line_len, bytes.len - request->line_len);
    mc_observe_write(client, request->keys, &written);
}

static void make_delete(struct mc_request *request)
{
    request->verb = MC_DELETE;
    request->number = slice_of(NULL, 0);
}

/* Composes the line, the value if it is here, and the companions. */
static enum mc_forward_verdict send_line(struct mc_client *client, struct mc_connection *connection,
                                         struct mc_op *op, const struct mc_request *request,
                                         const struct key_place *place, struct slice value)
{
    char tail[MC_STORAGE_TAIL_MAX];
    size_t tail_len = line_tail(request, tail);

    if (!mc_connection_line(connection, op, place, request->keys, slice_of(tail, tail_len))) {
        mc_op_part_failed(op, "out of memory");
        return MC_FORWARD_NO_MEMORY;
    }
    if (value.len > 0 && !mc_connection_value(connection, client->input.chunk, value)) {
        /* Half a command is composed: the connection cannot be used any more. */
        mc_connection_fail(connection, "out of memory", false);
        return MC_FORWARD_NO_MEMORY;
    }
    mc_client_hold_back(client, connection);
    mc_invalidate_others(client, connection, op, place, request->verb, request->keys);
    return MC_FORWARD_OK;
}

/* In epoch mode the value decides together with what is stored, or the command may come to be such
 * a one: then all of it is gathered, of any length. */
static bool is_gathered(const struct mc_request *request, const struct key_place *place)
{
    return mc_is_epoch(place) && (request->verb != MC_SET || place->writes == WRITES_FILL);
}

/* Is all of the value here? It stays in the input, to be swallowed. If not, client->need says what
 * is waited for; 0: there is no memory to spare for so much. */
static bool gather(struct mc_client *client, const struct mc_request *request, struct slice *value)
{
    struct slice bytes = input_bytes(&client->input);
    size_t total = request->line_len + (size_t)request->value_len + 2;

    if (bytes.len >= total) {
        *value = slice_of(bytes.data + request->line_len, (size_t)request->value_len + 2);
        return true;
    }
    if (buffer_pool_size(&client->plane->worker->buffers) <= MC_MEMORY_SPARE)
        client->need = total;
    return false;
}

static enum mc_forward_verdict refuse_value(struct mc_client *client,
                                            const struct mc_request *request, struct slice answer)
{
    counter_add(&client->cell->refused, 1);
    client->swallow = request->value_len + 2;
    return request->noreply || mc_client_answer(client, answer) ? MC_FORWARD_OK
                                                                : MC_FORWARD_NO_MEMORY;
}

/* All commands of one key and one reply line. */
enum mc_forward_verdict mc_forward(struct mc_client *client, const struct mc_request *original,
                                   struct slice value)
{
    struct mc_request request = *original;
    const struct config_cache *config = mc_view_config(client->view);
    bool storage = mc_verb_is_storage(request.verb);
    bool too_large = storage && request.value_len > config->max_value;
    bool in_input = storage && value.len == 0; /* the value, or what is here of it */
    bool upload = in_input && !too_large;
    struct mc_server *server;
    struct mc_connection *connection;
    struct key_place place;
    enum key_verdict verdict;
    struct slice beginning = slice_of(NULL, 0);
    struct mc_op *op;

    verdict = keyspace_place(mc_client_plan(client)->keyspace, client->arm, request.keys, &place);
    if (upload && verdict == KEY_OK && is_gathered(&request, &place)) {
        if (!gather(client, original, &value)) {
            if (client->need > 0)
                return MC_FORWARD_MORE;
            return refuse_value(client, original,
                                SLICE("SERVER_ERROR out of memory storing object\r\n"));
        }
        if (memcmp(value.data + request.value_len, "\r\n", 2) != 0)
            return refuse_value(client, original, SLICE("CLIENT_ERROR bad data chunk\r\n"));
        upload = false;
    }
    /* It goes another way than what came before, also without a reply, and must not overtake it. */
    if (upload && mc_upload_waits(client, request.keys))
        return MC_FORWARD_WAIT;
    if (storage && verdict == KEY_OK && place.guard && !too_large &&
        !beginning_of(client, original, value, &beginning))
        return MC_FORWARD_MORE;
    mc_count_command(client->cell, request.verb);
    if (in_input)
        client->swallow = request.value_len + 2;
    if (verdict != KEY_OK)
        return mc_refuse_key(client, original, verdict);
    if (too_large && request.verb != MC_SET)
        return refuse_size(client, original);
    if (storage && !too_large &&
        mc_is_guarded(client, &place, request.verb, request.flags, beginning))
        return request.noreply || mc_client_answer(client, SLICE(MC_TEXT_GUARDED))
                   ? MC_FORWARD_OK
                   : MC_FORWARD_NO_MEMORY;
    if (mc_observe_due(client->plane))
        observe(client, original, value);
    if (mc_is_epoch(&place))
        return mc_text_forward_epoch(client, original, &place, value, too_large);
    if (too_large)
        make_delete(&request);
    server =
        client->view->servers[placement_server(mc_client_plan(client)->placement, request.keys)];
    connection = mc_journal_writer(server, client, &place, request.verb, upload);
    op = mc_client_op(client, request.verb);
    if (op == NULL)
        return MC_FORWARD_NO_MEMORY;
    if (too_large) {
        op->flags |= MC_OP_TOO_LARGE;
        counter_add(&client->cell->refused, 1);
    }
    if (request.noreply)
        op->flags |= MC_OP_SILENT;
    mc_client_expect(client, op);
    if (connection == NULL) {
        mc_journal_unsent(client, server, &place, request.verb, request.keys);
        mc_op_fail_here(op, server);
        return MC_FORWARD_OK;
    }
    if (upload) {
        client->upload_left = request.value_len + 2;
        client->swallow = 0;
    }
    return send_line(client, connection, op, &request, &place, value);
}
