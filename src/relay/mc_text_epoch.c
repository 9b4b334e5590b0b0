/*
 * Writes of epoch mode in the text protocol: what relay/mc_epoch.h makes of a set, and the commands
 * for it.
 *
 *   fill              set V <stamp + value>
 *   mutation          set E <token>         set V <stamp + value>
 *   a large one       set V <stamp + value as it comes>, over its own connection; then E as above
 *   delete, too large replace E <token>     delete V
 *   refused           delete V, and the client hears STORED
 *   in doubt          set E <token>         delete V, and the client hears STORED
 *   others            relay/mc_change.h
 */
#include "crossfade/relay/mc_change.h"
#include "crossfade/relay/mc_epoch.h"
#include "crossfade/relay/mc_journal.h"
#include "crossfade/relay/mc_pools.h"
#include "crossfade/relay/mc_text.h"

#include <inttypes.h>
#include <stdio.h>

/* One command on its way. */
struct write {
    struct mc_client *client;
    const struct mc_request *request;
    const struct key_place *place;
    struct slice value; /* with its line end, if all of it is here */
    struct mc_server *server;
    struct mc_op *op;
};

/* The operation takes its place. NULL: its server takes no request, and it has failed.
 * `invalidates`: the epoch item was to be told. */
static struct mc_connection *begin(const struct write *write, bool upload, bool invalidates)
{
    struct mc_client *client = write->client;
    struct mc_op *op = write->op;
    struct mc_connection *connection =
        upload ? mc_server_upload(write->server, client)
               : mc_server_connection(write->server, &mc_text, client->affinity);

    if (write->request->noreply)
        op->flags |= MC_OP_SILENT;
    mc_client_expect(client, op);
    if (connection == NULL) {
        if (invalidates)
            mc_journal_epoch(write->server, &mc_text, client, write->request->keys);
        /* A miss that goes back needs the key. */
        if ((op->flags & MC_OP_FILL) && !mc_text_keep_wire(op, write->place, write->request->keys))
            op->flags &= ~(uint32_t)MC_OP_FILL;
        mc_op_fail_here(op, write->server);
    }
    return connection;
}

static enum mc_forward_verdict failed(const struct write *write)
{
    mc_op_part_failed(write->op, "out of memory");
    return MC_FORWARD_NO_MEMORY;
}

/* The epoch item's command, before the value's. False: the connection is closed. */
static bool invalidate(const struct write *write, struct mc_connection *connection,
                       const struct token *token, enum epoch_kind kind)
{
    mc_epoch_invalidate(connection, write->op, write->request->keys, token, kind);
    return connection->state != MC_CLOSED;
}

/* The value's own command. `mutates`: the epoch item gets the operation's token, too. */
static enum mc_forward_verdict store(const struct write *write, bool mutates)
{
    struct mc_client *client = write->client;
    struct mc_request request = *write->request;
    struct mc_op *op = write->op;
    bool upload = write->value.len == 0;
    struct mc_connection *connection = begin(write, upload, mutates);
    char tail[MC_STORAGE_TAIL_MAX + STAMP_LENGTH];
    size_t len;

    if (connection == NULL)
        return MC_FORWARD_OK;
    if (upload) {
        client->upload_left = request.value_len + 2;
        client->swallow = 0;
        if (mutates)
            op->flags |= MC_OP_TELL;
    } else if (mutates && !invalidate(write, connection, &op->token, EPOCH_CHANGED)) {
        return failed(write);
    }
    request.value_len += STAMP_LENGTH;
    len = mc_request_storage_tail(&request, tail);
    stamp_write(&op->token, stamp_expiry(request.exptime, mc_epoch_clock()), tail + len);
    if (!mc_connection_line(connection, op, write->place, request.keys,
                            slice_of(tail, len + STAMP_LENGTH)))
        return failed(write);
    if (!upload && !mc_connection_value(connection, client->input.chunk, write->value)) {
        /* Half a command is composed: the connection cannot be used any more. */
        mc_connection_fail(connection, "out of memory", false);
        return MC_FORWARD_NO_MEMORY;
    }
    mc_client_hold_back(client, connection);
    return MC_FORWARD_OK;
}

/* The value's delete; `token`: of the epoch item before that, or NULL. */
static enum mc_forward_verdict discard(const struct write *write, const struct token *token,
                                       enum epoch_kind kind)
{
    struct mc_client *client = write->client;
    struct mc_op *op = write->op;
    struct mc_connection *connection;

    op->verb = MC_DELETE;
    connection = begin(write, false, token != NULL);
    if (connection == NULL)
        return MC_FORWARD_OK;
    if ((token != NULL && !invalidate(write, connection, token, kind)) ||
        !mc_connection_line(connection, op, write->place, write->request->keys, SLICE("\r\n")))
        return failed(write);
    mc_client_hold_back(client, connection);
    return MC_FORWARD_OK;
}

static uint64_t magnitude(struct slice number)
{
    uint64_t n = 0;

    if (number.len > 0 && number.data[0] == '-')
        number = slice_of(number.data + 1, number.len - 1);
    (void)slice_to_u64(number, &n); /* the parser has found it good */
    return n;
}

static enum mc_forward_verdict change(const struct write *write)
{
    const struct mc_request *request = write->request;
    struct mc_op *op = write->op;
    uint64_t number = magnitude(request->number);
    struct mc_change_request wanted = {
        .verb = request->verb,
        .key = request->keys,
        .flags = request->flags,
        .exptime = request->exptime,
        .cas = request->cas,
        .delta = number,
        .value = slice_of(write->value.data, write->value.len > 0 ? write->value.len - 2 : 0),
        .chunk = write->value.len > 0 ? write->client->input.chunk : NULL
    };

    if (request->verb == MC_TOUCH)
        wanted.exptime = request->number.data[0] == '-' ? (int64_t)(0 - number) : (int64_t)number;
    if (request->noreply)
        op->flags |= MC_OP_SILENT;
    mc_client_expect(write->client, op);
    if (!mc_change_start(op, write->place, &wanted, write->server))
        return failed(write);
    return MC_FORWARD_OK;
}

static enum mc_forward_verdict set(const struct write *write)
{
    struct token token;
    enum mc_epoch_write kind =
        mc_epoch_judge_set(write->client, write->place, write->request->keys, &token);

    if (kind == MC_EPOCH_CHANGE)
        return change(write);
    if (mc_epoch_mark_set(write->op, kind, &token))
        return store(write, kind == MC_EPOCH_MUTATE);
    return discard(write, kind == MC_EPOCH_DOUBT ? &token : NULL, EPOCH_CHANGED);
}

enum mc_forward_verdict mc_text_forward_epoch(struct mc_client *client,
                                              const struct mc_request *request,
                                              const struct key_place *place, struct slice value,
                                              bool too_large)
{
    struct write write = {
        .client = client,
        .request = request,
        .place = place,
        .value = value,
        .server = client->view
                      ->servers[placement_server(mc_client_plan(client)->placement, request->keys)],
        .op = mc_client_op(client, request->verb),
    };

    if (write.op == NULL)
        return MC_FORWARD_NO_MEMORY;
    if (request->verb == MC_DELETE || too_large) {
        struct token token = token_next(&client->plane->worker->tokens);
        if (too_large) {
            write.op->flags |= MC_OP_TOO_LARGE;
            counter_add(&client->cell->refused, 1);
        }
        return discard(&write, &token, EPOCH_DELETED);
    }
    return request->verb == MC_SET ? set(&write) : change(&write);
}

/* -- The answers of changes -------------------------------------------------------------------- */

void mc_text_changed(struct mc_op *op, const struct mc_changed *result)
{
    static const struct slice lines[] = {
        [MC_CHANGED] = SLICE_INIT("STORED\r\n"),
        [MC_CHANGE_NOT_FOUND] = SLICE_INIT("NOT_FOUND\r\n"),
        [MC_CHANGE_NOT_STORED] = SLICE_INIT("NOT_STORED\r\n"),
        [MC_CHANGE_EXISTS] = SLICE_INIT("EXISTS\r\n"),
        [MC_CHANGE_NO_NUMBER] =
            SLICE_INIT("CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"),
        [MC_CHANGE_TOO_LARGE] = SLICE_INIT("SERVER_ERROR object too large for cache\r\n"),
    };
    char text[32];
    int len;

    if (result->kind == MC_CHANGED && op->verb == MC_TOUCH) {
        mc_op_part_done(op, SLICE("TOUCHED\r\n"));
        return;
    }
    if (result->kind == MC_CHANGED && (op->verb == MC_INCR || op->verb == MC_DECR)) {
        len = snprintf(text, sizeof(text), "%" PRIu64 "\r\n", result->number);
        ensure(len > 0);
        mc_op_part_done(op, slice_of(text, (size_t)len));
        return;
    }
    mc_op_part_done(op, lines[result->kind]);
}
