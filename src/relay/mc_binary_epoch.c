/*
 * Writes of epoch mode in the binary protocol: what relay/mc_epoch.h makes of a set, and the
 * requests for it.
 *
 *   fill               SET V <stamp + value>
 *   mutation           SET E <token>, SET V <stamp + value>
 *   a large one        SET V <stamp + value as it comes>, over its own connection; then E
 *                      (mc_tell_others)
 *   delete, too large  REPLACE E <token>, DELETE V
 *   not kept           (SET E <token>,) DELETE V, and the client hears that it is stored
 *   all others         relay/mc_change.h; also what has a cas number
 */
#include "crossfade/relay/mc_binary.h"
#include "crossfade/relay/mc_change.h"
#include "crossfade/relay/mc_epoch.h"
#include "crossfade/relay/mc_journal.h"
#include "crossfade/relay/mc_pools.h"

#include <endian.h>

/* The exptime of an increment that makes nothing. */
#define NO_INITIAL UINT32_MAX
/* Of what is not stored, or not known: no item has it, while 0 would make the client's next set
 * with it one without a cas number. */
#define NO_CAS UINT64_MAX

/* One request on its way. */
struct write {
    struct mc_client *client;
    struct mc_binary_request request;
    const struct key_place *place;
    struct slice value; /* if all of it is here */
    struct mc_server *server;
    struct mc_op *op;
};

/* The operation takes its place. NULL: its server takes no request, and it has failed.
 * `invalidates`: the epoch item was to be told. */
static struct mc_connection *begin(const struct write *write, bool upload, bool invalidates)
{
    struct mc_client *client = write->client;
    struct mc_connection *connection =
        upload ? mc_server_upload(write->server, client)
               : mc_server_connection(write->server, &mc_binary, client->affinity);

    mc_client_expect(client, write->op);
    if (connection == NULL && invalidates)
        mc_journal_epoch(write->server, &mc_binary, client, write->request.key);
    if (connection == NULL)
        mc_binary_fail_here(write->op, write->server, write->request.key);
    return connection;
}

static enum mc_step failed(const struct write *write)
{
    mc_op_part_failed(write->op, "out of memory");
    return MC_STEP_CLOSE;
}

/* The epoch item's request, before the value's. False: the connection is closed. */
static bool invalidate(const struct write *write, struct mc_connection *connection,
                       const struct token *token, enum epoch_kind kind)
{
    mc_epoch_invalidate(connection, write->op, write->request.key, token, kind);
    return connection->state != MC_CLOSED;
}

static uint32_t get32(struct slice extras, size_t at)
{
    uint32_t number = 0;

    ensure(extras.len >= at + sizeof(number));
    memcpy(&number, extras.data + at, sizeof(number));
    return be32toh(number);
}

static uint64_t get64(struct slice extras, size_t at)
{
    return (uint64_t)get32(extras, at) << 32 | get32(extras, at + 4);
}

/* The value's own request. `mutates`: the epoch item gets the operation's token, too. */
static enum mc_step store(const struct write *write, bool mutates)
{
    struct mc_client *client = write->client;
    const struct mc_binary_request *request = &write->request;
    struct mc_op *op = write->op;
    bool upload = write->value.len < request->value_len;
    struct mc_connection *connection = begin(write, upload, mutates);
    char stamp[STAMP_LENGTH];

    if (connection == NULL)
        return MC_STEP_ON;
    if (upload) {
        client->upload_left = request->value_len;
        client->swallow = 0;
        if (mutates)
            op->flags |= MC_OP_TELL;
    } else if (mutates && !invalidate(write, connection, &op->token, EPOCH_CHANGED)) {
        return failed(write);
    }
    if (!mc_binary_compose(connection, op, write->place, request, request->value_len + STAMP_LENGTH,
                           NULL))
        return failed(write);
    stamp_write(&op->token, stamp_expiry(get32(request->extras, 4), mc_epoch_clock()), stamp);
    if (!buffer_append_copy(&connection->output, &client->plane->worker->buffers, stamp,
                            sizeof(stamp)) ||
        (write->value.len > 0 &&
         !mc_connection_value(connection, client->input.chunk, write->value))) {
        /* Half a request is composed: the connection cannot be used any more. */
        mc_connection_fail(connection, "out of memory", false);
        return MC_STEP_CLOSE;
    }
    mc_client_hold_back(client, connection);
    return MC_STEP_ON;
}

/* The value's delete; `token`: of the epoch item before that, or NULL. */
static enum mc_step discard(const struct write *write, const struct token *token,
                            enum epoch_kind kind)
{
    const struct mc_binary_request request = { .loud = MC_BINARY_DELETE,
                                               .key = write->request.key };
    struct mc_connection *connection;

    write->op->verb = MC_DELETE;
    connection = begin(write, false, token != NULL);
    if (connection == NULL)
        return MC_STEP_ON;
    if ((token != NULL && !invalidate(write, connection, token, kind)) ||
        !mc_binary_compose(connection, write->op, write->place, &request, 0, NULL))
        return failed(write);
    mc_client_hold_back(write->client, connection);
    return MC_STEP_ON;
}

static enum mc_step change(const struct write *write)
{
    const struct mc_binary_request *request = &write->request;
    struct mc_change_request wanted = { .verb = request->verb,
                                        .key = request->key,
                                        .cas = be64toh(request->cas),
                                        .value = write->value,
                                        .chunk = write->value.len > 0 ? write->client->input.chunk
                                                                      : NULL };

    if (request->verb == MC_INCR || request->verb == MC_DECR) {
        uint32_t exptime = get32(request->extras, 16);
        wanted.delta = get64(request->extras, 0);
        wanted.initial = get64(request->extras, 8);
        wanted.has_initial = exptime != NO_INITIAL;
        wanted.initial_exptime = exptime;
    } else if (request->verb == MC_TOUCH) {
        wanted.exptime = get32(request->extras, 0);
    } else if (request->extras.len > 0) {
        wanted.flags = get32(request->extras, 0);
        wanted.exptime = get32(request->extras, 4);
    }
    mc_client_expect(write->client, write->op);
    return mc_change_start(write->op, write->place, &wanted, write->server) ? MC_STEP_ON
                                                                            : failed(write);
}

static enum mc_step set(const struct write *write)
{
    struct token token;
    enum mc_epoch_write kind =
        mc_epoch_judge_set(write->client, write->place, write->request.key, &token);

    if (kind == MC_EPOCH_CHANGE)
        return change(write);
    if (mc_epoch_mark_set(write->op, kind, &token))
        return store(write, kind == MC_EPOCH_MUTATE);
    return discard(write, kind == MC_EPOCH_DOUBT ? &token : NULL, EPOCH_CHANGED);
}

enum mc_step mc_binary_forward_epoch(struct mc_client *client,
                                     const struct mc_binary_request *original,
                                     const struct key_place *place, struct mc_server *server,
                                     struct slice value)
{
    struct write write = {
        .client = client, .request = *original, .place = place, .value = value, .server = server
    };
    struct mc_binary_request *request = &write.request;
    bool too_large = request->value_len > mc_view_config(client->view)->max_value;

    if (request->cas != 0 && request->verb >= MC_SET && request->verb <= MC_REPLACE)
        request->verb = MC_CAS;
    write.op = mc_binary_op(client, request);
    if (write.op == NULL)
        return MC_STEP_CLOSE;
    if (too_large) {
        write.op->flags |= MC_OP_TOO_LARGE;
        counter_add(&client->cell->refused, 1);
    }
    if (too_large || (request->verb == MC_DELETE && request->cas == 0)) {
        struct token token = token_next(&client->plane->worker->tokens);
        return discard(&write, &token, EPOCH_DELETED);
    }
    return request->verb == MC_SET ? set(&write) : change(&write);
}

/* -- Replies ----------------------------------------------------------------------------------- */

/* What its client gets of a request that is done; nothing if it is a quiet one. */
static void set_done(struct mc_op *op, uint64_t cas, struct slice extras, struct slice value)
{
    const struct mc_binary_reply reply = { .opcode = op->opcode,
                                           .extras_len = (uint8_t)extras.len,
                                           .body_len = (uint32_t)(extras.len + value.len),
                                           .opaque = op->opaque,
                                           .cas = htobe64(cas) };
    char out[MC_BINARY_HEADER + 4 + 8];

    if (op->flags & MC_OP_QUIET)
        return;
    ensure(MC_BINARY_HEADER + reply.body_len <= sizeof(out));
    mc_binary_reply_write(out, &reply);
    if (extras.len > 0)
        memcpy(out + MC_BINARY_HEADER, extras.data, extras.len);
    if (value.len > 0)
        memcpy(out + MC_BINARY_HEADER + extras.len, value.data, value.len);
    mc_op_set_reply(op, slice_of(out, MC_BINARY_HEADER + reply.body_len));
}

void mc_binary_set_kept(struct mc_op *op)
{
    set_done(op, NO_CAS, slice_of(NULL, 0), slice_of(NULL, 0));
}

static void set_changed(struct mc_op *op, const struct mc_changed *result)
{
    const uint64_t number = htobe64(result->number);
    const uint32_t flags = htobe32(result->flags);
    struct slice extras = slice_of(NULL, 0);
    struct slice value = slice_of(NULL, 0);

    if (op->verb == MC_INCR || op->verb == MC_DECR)
        value = slice_of((const char *)&number, sizeof(number));
    else if (op->verb == MC_TOUCH)
        extras = slice_of((const char *)&flags, sizeof(flags));
    if (op->verb == MC_DELETE)
        set_done(op, 0, extras, value);
    else
        set_done(op, result->cas != 0 ? result->cas : NO_CAS, extras, value);
}

/* What memcached says where text has one word for it. */
static uint16_t status_of(const struct mc_op *op, enum mc_changed_kind kind)
{
    switch (kind) {
    case MC_CHANGE_NOT_FOUND:
        return MC_BINARY_NOT_FOUND;
    case MC_CHANGE_NOT_STORED:
        return op->verb == MC_ADD       ? MC_BINARY_EXISTS
               : op->verb == MC_REPLACE ? MC_BINARY_NOT_FOUND
                                        : MC_BINARY_NOT_STORED;
    case MC_CHANGE_EXISTS:
        return MC_BINARY_EXISTS;
    case MC_CHANGE_NO_NUMBER:
        return MC_BINARY_NOT_NUMERIC;
    default:
        return MC_BINARY_TOO_LARGE;
    }
}

void mc_binary_changed(struct mc_op *op, const struct mc_changed *result)
{
    if (op->client != NULL && (op->flags & MC_OP_FAILED) == 0) {
        if (result->kind == MC_CHANGED) {
            set_changed(op, result);
        } else {
            uint16_t status = status_of(op, result->kind);
            mc_binary_set_reply(op, status, mc_binary_status_text(status));
        }
    }
    mc_op_part_done(op, slice_of(NULL, 0));
}
