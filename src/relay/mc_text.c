/*
 * The text protocol on the client's side: takes one command after the other out of its input. What
 * reads or writes keys goes on to a server (relay/mc_text_forward.c), the rest is answered here.
 */
#include "crossfade/relay/mc_flush.h"
#include "crossfade/relay/mc_meta.h"
#include "crossfade/relay/mc_pools.h"
#include "crossfade/relay/mc_stats.h"
#include "crossfade/relay/mc_text.h"

#include <stdio.h>

static const struct slice end_line = SLICE_INIT("END\r\n");
static const struct slice get_failed_line =
    SLICE_INIT("SERVER_ERROR a memcached server did not answer\r\n");
static const struct slice bad_chunk = SLICE_INIT("CLIENT_ERROR bad data chunk\r\n");

static enum mc_step refuse(struct mc_client *client, const struct mc_request *request,
                           struct slice answer)
{
    counter_add(&client->cell->refused, 1);
    input_consume(&client->input, request->line_len);
    return request->noreply || mc_client_answer(client, answer) ? MC_STEP_ON : MC_STEP_CLOSE;
}

/* A storage command whose value fits: it is forwarded when all of it is here. */
static enum mc_step storage(struct mc_client *client, const struct mc_request *request,
                            struct slice bytes)
{
    size_t total = request->line_len + (size_t)request->value_len + 2;
    struct slice value;

    if (bytes.len < total) {
        client->need = total;
        return MC_STEP_MORE;
    }
    value = slice_of(bytes.data + request->line_len, total - request->line_len);
    if (memcmp(value.data + request->value_len, "\r\n", 2) != 0) {
        counter_add(&client->cell->refused, 1);
        input_consume(&client->input, total);
        return request->noreply || mc_client_answer(client, bad_chunk) ? MC_STEP_ON : MC_STEP_CLOSE;
    }
    if (mc_forward(client, request, value) == MC_FORWARD_NO_MEMORY)
        return MC_STEP_CLOSE;
    input_consume(&client->input, total);
    return MC_STEP_ON;
}

struct stats_reply {
    char text[MC_STATS_MAX];
    size_t len;
};

static void add_stat(void *context, struct slice name, struct slice value)
{
    struct stats_reply *reply = context;
    int len = snprintf(reply->text + reply->len, sizeof(reply->text) - reply->len,
                       "STAT %.*s %.*s\r\n", (int)name.len, name.data, (int)value.len, value.data);

    ensure(len > 0 && reply->len + (size_t)len + end_line.len < sizeof(reply->text));
    reply->len += (size_t)len;
}

static bool text_stats(struct mc_client *client, struct slice arguments)
{
    struct stats_reply reply;

    reply.len = 0;
    switch (mc_stats(client, arguments, add_stat, &reply)) {
    case MC_STATS_UNKNOWN:
        return mc_client_answer(client, SLICE("ERROR\r\n"));
    case MC_STATS_REFUSED:
        return mc_client_answer(client, SLICE("CLIENT_ERROR " MC_STATS_REFUSAL "\r\n"));
    case MC_STATS_OK:
        break;
    }
    memcpy(reply.text + reply.len, end_line.data, end_line.len);
    return mc_client_answer(client, slice_of(reply.text, reply.len + end_line.len));
}

static enum mc_step text_flush(struct mc_client *client, const struct mc_request *request)
{
    struct mc_op *op = mc_client_op(client, MC_FLUSH_ALL);

    input_consume(&client->input, request->line_len);
    if (op == NULL)
        return MC_STEP_CLOSE;
    if (request->noreply)
        op->flags |= MC_OP_SILENT;
    mc_flush_begin(client, op, request->exptime > 0 ? (uint64_t)request->exptime : 0);
    return client->closed ? MC_STEP_CLOSE : MC_STEP_ON;
}

static void text_flushed(struct mc_op *op, enum mc_flush_result result)
{
    bool refused = result == MC_FLUSH_REFUSED || result == MC_FLUSH_UNPREFIXED;
    char line[200] = "OK\r\n";

    if (result != MC_FLUSH_DONE)
        (void)snprintf(line, sizeof(line), "%s %s\r\n", refused ? "CLIENT_ERROR" : "SERVER_ERROR",
                       mc_flush_reason(result));
    mc_op_part_done(op, slice_string(line));
}

/* What needs no more than its line. */
static enum mc_step forward(struct mc_client *client, const struct mc_request *request)
{
    enum mc_forward_verdict verdict = mc_verb_is_classic_get(request->verb)
                                          ? mc_forward_get(client, request)
                                          : mc_forward(client, request, slice_of(NULL, 0));

    switch (verdict) {
    case MC_FORWARD_MORE:
        return MC_STEP_MORE;
    case MC_FORWARD_WAIT:
        return MC_STEP_STOP;
    case MC_FORWARD_NO_MEMORY:
        return MC_STEP_CLOSE;
    case MC_FORWARD_OK:
        break;
    }
    input_consume(&client->input, request->line_len);
    return MC_STEP_ON;
}

static enum mc_step dispatch(struct mc_client *client, const struct mc_request *request,
                             struct slice bytes, struct slice answer)
{
    switch (request->verb) {
    case MC_QUIT:
        input_consume(&client->input, request->line_len);
        client->closing = true;
        return MC_STEP_STOP;
    case MC_VERSION:
        input_consume(&client->input, request->line_len);
        return mc_client_answer(client, SLICE("VERSION " MC_VERSION_TEXT "\r\n")) ? MC_STEP_ON
                                                                                  : MC_STEP_CLOSE;
    case MC_VERBOSITY:
        input_consume(&client->input, request->line_len);
        return request->noreply || mc_client_answer(client, SLICE("OK\r\n")) ? MC_STEP_ON
                                                                             : MC_STEP_CLOSE;
    case MC_STATS: {
        bool ok = text_stats(client, request->keys);
        input_consume(&client->input, request->line_len);
        return ok ? MC_STEP_ON : MC_STEP_CLOSE;
    }
    case MC_FLUSH_ALL:
        return text_flush(client, request);
    case MC_REFUSED: {
        enum mc_step step;
        client->swallow = request->value_len;
        step = refuse(client, request, answer);
        /* Who asks for a dump (memcached-tool) reads on until its END, whatever comes before. */
        if (step != MC_STEP_ON || (!slice_starts(request->keys, SLICE("metadump")) &&
                                   !slice_starts(request->keys, SLICE("mgdump"))))
            return step;
        client->closing = true;
        return MC_STEP_STOP;
    }
    default:
        break;
    }
    if (mc_verb_is_meta(request->verb))
        return mc_meta_step(client, request, bytes);
    if (mc_verb_is_storage(request->verb) && request->value_len <= MC_GATHER_MAX &&
        request->value_len <= mc_view_config(client->view)->max_value)
        return storage(client, request, bytes);
    return forward(client, request);
}

static enum mc_step text_step(struct mc_client *client, struct slice bytes)
{
    struct mc_request request;
    struct slice answer;

    switch (mc_request_parse(bytes, &client->scanned, &request, &answer)) {
    case MC_REQUEST_OK: {
        enum mc_step step = mc_verb_is_classic_get(request.verb)
                                ? forward(client, &request)
                                : dispatch(client, &request, bytes, answer);
        if (step == MC_STEP_ON)
            counter_add(&client->cell->commands, 1);
        return step;
    }
    case MC_REQUEST_ERROR:
        counter_add(&client->cell->commands, 1);
        client->swallow = request.value_len;
        return refuse(client, &request, answer);
    case MC_REQUEST_CLOSE:
        client->closing = true;
        return MC_STEP_STOP;
    case MC_REQUEST_MORE:
        break;
    }
    return MC_STEP_MORE;
}

static bool text_end_get(struct mc_client *client)
{
    struct slice line = client->get_failed ? get_failed_line : end_line;

    client->get_failed = false;
    return buffer_append_copy(&client->output, &client->plane->worker->buffers, line.data,
                              line.len);
}

static void text_fail(struct mc_op *op, struct slice text)
{
    char line[320];
    int len = snprintf(line, sizeof(line), "SERVER_ERROR %.*s\r\n", (int)text.len, text.data);

    ensure(len > 0 && (size_t)len < sizeof(line));
    mc_op_set_reply(op, slice_of(line, (size_t)len));
}

static void text_fail_get(struct mc_op *op)
{
    if (op->verb == MC_META_GET)
        mc_meta_fail_get(op);
}

static void text_missed(struct mc_op *op)
{
    if (op->verb == MC_META_GET)
        mc_meta_missed(op);
    else
        mc_text_missed(op);
}

static void text_changed(struct mc_op *op, const struct mc_changed *result)
{
    if (mc_verb_is_meta(op->verb))
        mc_meta_changed(op, result);
    else
        mc_text_changed(op, result);
}

static bool text_delete(struct mc_connection *connection, struct mc_op *op,
                        const struct key_place *place, struct slice key)
{
    if (mc_verb_is_meta(op->primary->verb) && !keyspace_is_text(key))
        return mc_meta_compose_delete(connection, op, place, key);
    return mc_connection_line(connection, op, place, key, SLICE("\r\n"));
}

const struct mc_dialect mc_text = {
    .index = 0,
    .suffix = "",
    .value_tail = 2,
    .probe = SLICE_INIT("version\r\n"),
    .step = text_step,
    .pair = mc_text_pair,
    .end_get = text_end_get,
    .fail = text_fail,
    .fail_get = text_fail_get,
    .flushed = text_flushed,
    .compose_delete = text_delete,
    .compose_errand = mc_text_compose_errand,
    .missed = text_missed,
    .changed = text_changed,
};
