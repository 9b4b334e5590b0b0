/*
 * Meta commands in epoch mode (relay/mc_epoch.h), on the client's side:
 *
 *   mg                     relay/mc_meta_epoch_get.c
 *   ms, mode S             what mc_epoch_judge_set says
 *   ms C, after a win (W)  a fill under that condition, stamped with the token of the win
 *   md; I too              the epoch item, and the own value away: who has asked for stale values
 *                          (X) to be served meanwhile gets none
 *   me                     of the stored value, whatever its stamp
 *   all else               a change (relay/mc_change.h)
 */
#include "crossfade/relay/mc_change.h"
#include "crossfade/relay/mc_coherence.h"
#include "crossfade/relay/mc_epoch.h"
#include "crossfade/relay/mc_journal.h"
#include "crossfade/relay/mc_meta.h"
#include "crossfade/relay/mc_pools.h"

/* The cas number that the client wants to find; 0: any. C0 is none that an item has, but for ma. */
static uint64_t condition_of(const struct mc_meta_command *command)
{
    const struct mc_meta *meta = &command->meta;

    if (!meta->has_cas || meta->cas != 0)
        return meta->cas;
    return command->request->verb == MC_META_ARITHMETIC ? 0 : UINT64_MAX;
}

static bool is_plain_set(const struct mc_meta_command *command)
{
    char mode = command->meta.mode;

    return command->request->verb == MC_META_SET && (mode == '\0' || mode == 'S') &&
           !command->meta.has_cas;
}

bool mc_meta_gathers(const struct mc_meta_command *command)
{
    return mc_is_epoch(&command->place) &&
           (!is_plain_set(command) || command->place.writes == WRITES_FILL);
}

static enum mc_step step_of(const struct mc_client *client)
{
    return client->closed ? MC_STEP_CLOSE : MC_STEP_ON;
}

/* The operation cannot be composed. */
static enum mc_step no_memory(struct mc_op *op)
{
    mc_op_part_failed(op, "out of memory");
    return MC_STEP_CLOSE;
}

/* -- mg, me ------------------------------------------------------------------------------------ */

static enum mc_step forward_get(struct mc_client *client, struct mc_meta_command *command,
                                struct mc_server *server, struct mc_connection *connection)
{
    struct mc_meta *meta = &command->meta;
    struct slice fault = slice_of(NULL, 0);
    char line[MC_META_LINE_MAX];
    struct mc_op *op;
    size_t len;

    /* The value, and perhaps its cas number, tells whether it counts. */
    if (!mc_meta_add(meta, slice_of(meta->wants_cas ? " v" : " c v",
                                    (meta->wants_cas ? 0u : 2u) + (meta->wants_value ? 0u : 2u))))
        fault = SLICE("CLIENT_ERROR options flags are too long\r\n");
    if (fault.len > 0 || meta->overlong) {
        struct slice own = mc_meta_fault(MC_META_GET, meta);
        return mc_meta_refuse(client, own.len > 0 ? own : fault);
    }
    op = mc_meta_expect(client, command, MC_META_GET);
    if (op == NULL)
        return MC_STEP_CLOSE;
    op->flags |= MC_OP_EPOCH;
    if (connection == NULL) {
        mc_op_fail_here(op, server);
        return step_of(client);
    }
    len = mc_meta_write(MC_META_GET, meta, mc_op_wire(op), command->base64,
                        mc_meta_note_of(op)->mark, line);
    if (!mc_meta_compose_epoch_get(connection, op, slice_of(line, len)))
        return no_memory(op);
    mc_client_hold_back(client, connection);
    return step_of(client);
}

static enum mc_step forward_debug(struct mc_client *client, const struct mc_meta_command *command,
                                  struct mc_server *server, struct mc_connection *connection)
{
    struct mc_op *op = mc_meta_expect(client, command, MC_META_DEBUG);
    char line[MC_META_LINE_MAX];
    size_t len;

    if (op == NULL)
        return MC_STEP_CLOSE;
    if (connection == NULL) {
        mc_op_fail_here(op, server);
        return step_of(client);
    }
    len = mc_meta_write(MC_META_DEBUG, &command->meta, mc_op_wire(op), command->base64,
                        mc_meta_note_of(op)->mark, line);
    if (!mc_meta_compose(connection, op, slice_of(line, len)))
        return no_memory(op);
    mc_client_hold_back(client, connection);
    return step_of(client);
}

/* -- ms, md ------------------------------------------------------------------------------------ */

/* The own value goes away: of an md, or in the place of a set. */
static enum mc_step send_delete(struct mc_client *client, struct mc_meta_command *command,
                                struct mc_op *op, struct mc_connection *connection)
{
    char line[MC_META_LINE_MAX];
    size_t len;

    if (command->request->verb == MC_META_DELETE) {
        command->meta.left_out = SLICE("IT");
        len = mc_meta_write(MC_META_DELETE, &command->meta, mc_op_wire(op), command->base64,
                            mc_meta_note_of(op)->mark, line);
    } else {
        len = mc_meta_write_delete(op, command->base64, line);
    }
    if (!mc_meta_compose(connection, op, slice_of(line, len)))
        return no_memory(op);
    mc_client_hold_back(client, connection);
    return step_of(client);
}

static enum mc_step forward_delete(struct mc_client *client, struct mc_meta_command *command,
                                   struct mc_server *server, struct mc_connection *connection)
{
    struct mc_op *op = mc_meta_expect(client, command, MC_META_DELETE);
    struct token token;

    if (op == NULL)
        return MC_STEP_CLOSE;
    if (connection == NULL) {
        mc_journal_epoch(server, &mc_text, client, command->key);
        mc_op_fail_here(op, server);
        return step_of(client);
    }
    token = token_next(&client->plane->worker->tokens);
    mc_epoch_invalidate(connection, op, command->key, &token, EPOCH_DELETED);
    if (connection->state == MC_CLOSED)
        return no_memory(op);
    return send_delete(client, command, op, connection);
}

/* The ms with its stamp, and the value if it is here. */
static enum mc_step send_set(struct mc_client *client, struct mc_meta_command *command,
                             struct mc_op *op, struct mc_connection *connection)
{
    char line[MC_META_LINE_MAX + STAMP_LENGTH];
    size_t len;

    /* A condition that does not hold is no reason to store a value that is stale. */
    command->meta.left_out = SLICE("I");
    len = mc_meta_write(MC_META_SET, &command->meta, mc_op_wire(op), command->base64,
                        mc_meta_note_of(op)->mark, line);
    stamp_write(&op->token, stamp_expiry(command->meta.exptime, mc_epoch_clock()), line + len);
    if (!mc_meta_compose(connection, op, slice_of(line, len + STAMP_LENGTH)))
        return no_memory(op);
    if (command->value.len > 0 &&
        !mc_connection_value(connection, client->input.chunk, command->value)) {
        /* Half a command is composed: the connection cannot be used any more. */
        mc_connection_fail(connection, "out of memory", false);
        return MC_STEP_CLOSE;
    }
    mc_client_hold_back(client, connection);
    return step_of(client);
}

static enum mc_step forward_set(struct mc_client *client, struct mc_meta_command *command,
                                struct mc_server *server, enum mc_epoch_write write,
                                const struct token *token, struct mc_connection *connection,
                                bool upload)
{
    bool kept = write == MC_EPOCH_FILL || write == MC_EPOCH_MUTATE;
    bool invalidates = write == MC_EPOCH_MUTATE || write == MC_EPOCH_DOUBT;
    struct mc_op *op = mc_meta_expect(client, command, kept ? MC_META_SET : MC_META_DELETE);

    if (op == NULL)
        return MC_STEP_CLOSE;
    (void)mc_epoch_mark_set(op, write, token);
    if (connection == NULL) {
        if (invalidates)
            mc_journal_epoch(server, &mc_text, client, command->key);
        mc_op_fail_here(op, server);
        return step_of(client);
    }
    if (upload) {
        client->upload_left = command->meta.value_len + 2;
        if (invalidates)
            op->flags |= MC_OP_TELL;
    } else if (invalidates) {
        mc_epoch_invalidate(connection, op, command->key, token, EPOCH_CHANGED);
        if (connection->state == MC_CLOSED)
            return no_memory(op);
    }
    if (!kept)
        return send_delete(client, command, op, connection);
    return send_set(client, command, op, connection);
}

/* -- Changes ----------------------------------------------------------------------------------- */

static struct mc_change_request request_of(const struct mc_client *client,
                                           const struct mc_meta_command *command)
{
    const struct mc_meta *meta = &command->meta;
    enum mc_verb verb = mc_meta_classic_verb(command);
    bool set = command->request->verb == MC_META_SET;
    bool arithmetic = command->request->verb == MC_META_ARITHMETIC;
    struct mc_change_request request = { .verb = verb,
                                         .key = command->key,
                                         .flags = meta->client_flags,
                                         .exptime = meta->exptime,
                                         .initial_exptime = arithmetic && meta->touches
                                                                ? meta->exptime
                                                                : meta->vivify_exptime,
                                         .touches = meta->touches,
                                         .cas = condition_of(command),
                                         .delta = meta->delta,
                                         .initial = meta->initial,
                                         .wants_ttl = meta->wants_ttl,
                                         .wants_cas = meta->wants_cas };

    if (verb == MC_INCR && (meta->mode == 'D' || meta->mode == '-'))
        request.verb = MC_DECR;
    if (verb == MC_INCR || verb == MC_APPEND || verb == MC_PREPEND)
        request.has_initial = meta->vivifies;
    if (set) {
        request.value = slice_of(command->value.data, command->value.len - 2);
        request.chunk = client->input.chunk;
    }
    return request;
}

static enum mc_step forward_change(struct mc_client *client, struct mc_meta_command *command,
                                   struct mc_server *server)
{
    struct mc_op *op = mc_meta_expect(client, command, command->request->verb);
    struct mc_change_request request = request_of(client, command);

    if (op == NULL)
        return MC_STEP_CLOSE;
    if (!mc_change_start(op, &command->place, &request, server))
        return no_memory(op);
    return step_of(client);
}

/* An ms C after a win is what the winner was to store. The win stands in the memory of misses as a
 * miss, too (relay/mc_meta_epoch_get.c). */
static bool answers_win(struct mc_client *client, const struct mc_meta_command *command,
                        struct token *token)
{
    struct token ignored;

    if (mc_meta_classic_verb(command) != MC_CAS && !is_plain_set(command))
        return false;
    if (command->place.writes == WRITES_MUTATE ||
        mc_miss_take(client, MC_MISS_WIN, command->key, token) != MISS_FILL)
        return false;
    if (!is_plain_set(command))
        (void)(mc_miss_take(client, MC_MISS_READ, command->key, &ignored) == MISS_FILL);
    return true;
}

/* -- All --------------------------------------------------------------------------------------- */

enum mc_step mc_meta_forward_epoch(struct mc_client *client, struct mc_meta_command *command,
                                   struct mc_server *server, struct mc_connection *connection,
                                   bool upload)
{
    bool plain = is_plain_set(command);
    enum mc_verb verb = command->request->verb;
    enum mc_epoch_write write;
    struct token token;

    if (verb == MC_META_GET)
        return forward_get(client, command, server, connection);
    if (verb == MC_META_DEBUG)
        return forward_debug(client, command, server, connection);
    /* Refused here, before anything is invalidated for it. Flags that this does not know could
     * choose a value's cas number, on which changes rely. */
    if (!command->too_large && mc_meta_fault(verb, &command->meta).len > 0) {
        if (upload && connection != NULL)
            mc_server_upload_done(connection, false);
        return mc_meta_refuse(client, mc_meta_fault(verb, &command->meta));
    }
    if (command->too_large || (verb == MC_META_DELETE && !command->meta.has_cas))
        return forward_delete(client, command, server, connection);
    if (verb == MC_META_SET && answers_win(client, command, &token) && !plain)
        return forward_set(client, command, server, MC_EPOCH_FILL, &token, connection, upload);
    write =
        plain ? mc_epoch_judge_set(client, &command->place, command->key, &token) : MC_EPOCH_CHANGE;
    if (write != MC_EPOCH_CHANGE) {
        bool dropped =
            upload && connection != NULL && (write == MC_EPOCH_REFUSE || write == MC_EPOCH_DOUBT);
        if (dropped) {
            mc_server_upload_done(connection, false);
            connection = mc_server_shared(server, &mc_text, client->affinity);
        }
        return forward_set(client, command, server, write, &token, connection, upload && !dropped);
    }
    return forward_change(client, command, server);
}
