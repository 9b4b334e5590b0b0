/*
 * The binary protocol on the client's side: takes one request after the other out of its input.
 * What reads or writes keys goes on to a server (relay/mc_binary_forward.c), the rest is answered
 * here.
 */
#include "crossfade/relay/mc_binary.h"

#include "crossfade/relay/mc_flush.h"
#include "crossfade/relay/mc_login.h"
#include "crossfade/relay/mc_pools.h"
#include "crossfade/relay/mc_stats.h"

/* Longer reasons are cut. */
#define REASON_MAX 300u

/* What a client hears when a server failed: clients treat it as "not done, try again". */
#define FAILURE MC_BINARY_TEMPORARY

static size_t write_reply(char *out, uint8_t opcode, uint32_t opaque, uint16_t status,
                          struct slice text)
{
    const struct mc_binary_reply reply = {
        .opcode = opcode, .status = status, .body_len = (uint32_t)text.len, .opaque = opaque
    };

    ensure(text.len <= REASON_MAX);
    mc_binary_reply_write(out, &reply);
    if (text.len > 0)
        memcpy(out + MC_BINARY_HEADER, text.data, text.len);
    return MC_BINARY_HEADER + text.len;
}

bool mc_binary_answer(struct mc_client *client, const struct mc_binary_request *request,
                      uint16_t status, struct slice text)
{
    char out[MC_BINARY_HEADER + REASON_MAX];

    if (request->quiet && status == MC_BINARY_DONE)
        return true;
    return mc_client_answer(
        client, slice_of(out, write_reply(out, request->opcode, request->opaque, status, text)));
}

void mc_binary_set_reply(struct mc_op *op, uint16_t status, struct slice text)
{
    char out[MC_BINARY_HEADER + REASON_MAX];

    if (text.len > REASON_MAX)
        text.len = REASON_MAX;
    mc_op_set_reply(op, slice_of(out, write_reply(out, op->opcode, op->opaque, status, text)));
}

/* -- Answered here ----------------------------------------------------------------------------- */

struct stats_reply {
    const struct mc_binary_request *request;
    char bytes[MC_STATS_MAX];
    size_t len;
};

static void add_stat(void *context, struct slice name, struct slice value)
{
    struct stats_reply *stats = context;
    const struct mc_binary_reply reply = { .opcode = stats->request->opcode,
                                           .key_len = (uint16_t)name.len,
                                           .body_len = (uint32_t)(name.len + value.len),
                                           .opaque = stats->request->opaque };
    char *at = stats->bytes + stats->len;

    stats->len += MC_BINARY_HEADER + name.len + value.len;
    ensure(stats->len <= sizeof(stats->bytes));
    mc_binary_reply_write(at, &reply);
    at += MC_BINARY_HEADER;
    if (name.len > 0)
        memcpy(at, name.data, name.len);
    if (value.len > 0)
        memcpy(at + name.len, value.data, value.len);
}

static bool answer_stats(struct mc_client *client, const struct mc_binary_request *request)
{
    struct stats_reply stats;

    stats.request = request;
    stats.len = 0;
    switch (mc_stats(client, request->key, add_stat, &stats)) {
    case MC_STATS_UNKNOWN:
        return mc_binary_answer(client, request, MC_BINARY_NOT_FOUND,
                                mc_binary_status_text(MC_BINARY_NOT_FOUND));
    case MC_STATS_REFUSED: /* as memcached refuses a flush that it is not to do */
        return mc_binary_answer(client, request, MC_BINARY_AUTH_ERROR, SLICE(MC_STATS_REFUSAL));
    case MC_STATS_OK:
        break;
    }
    add_stat(&stats, slice_of(NULL, 0), slice_of(NULL, 0));
    return mc_client_answer(client, slice_of(stats.bytes, stats.len));
}

static bool begin_flush(struct mc_client *client, const struct mc_binary_request *request)
{
    const unsigned char *extras = (const unsigned char *)request->extras.data;
    struct mc_op *op = mc_client_op(client, MC_FLUSH_ALL);
    uint64_t delay = 0;

    if (op == NULL)
        return false;
    for (size_t i = 0; i < request->extras.len; i++)
        delay = delay << 8 | extras[i];
    op->opcode = request->opcode;
    op->opaque = request->opaque;
    if (request->quiet)
        op->flags |= MC_OP_QUIET;
    mc_flush_begin(client, op, delay);
    return !client->closed;
}

static void binary_flushed(struct mc_op *op, enum mc_flush_result result)
{
    static const uint16_t statuses[] = { [MC_FLUSH_DONE] = MC_BINARY_DONE,
                                         [MC_FLUSH_NOT_DURABLE] = FAILURE,
                                         [MC_FLUSH_BUSY] = FAILURE,
                                         [MC_FLUSH_REFUSED] = MC_BINARY_AUTH_ERROR,
                                         [MC_FLUSH_UNPREFIXED] = MC_BINARY_AUTH_ERROR };

    if (result != MC_FLUSH_DONE || (op->flags & MC_OP_QUIET) == 0)
        mc_binary_set_reply(op, statuses[result], slice_string(mc_flush_reason(result)));
    mc_op_part_done(op, slice_of(NULL, 0));
}

static enum mc_step answer_here(struct mc_client *client, const struct mc_binary_request *request,
                                struct slice bytes)
{
    static const struct slice nothing = { NULL, 0 };
    bool ok = false;

    switch (request->loud) {
    case MC_BINARY_NOOP:
        ok = mc_binary_answer(client, request, MC_BINARY_DONE, nothing);
        break;
    case MC_BINARY_VERSION:
        ok = mc_binary_answer(client, request, MC_BINARY_DONE, SLICE(MC_VERSION_TEXT));
        break;
    case MC_BINARY_STAT:
        ok = answer_stats(client, request);
        break;
    case MC_BINARY_FLUSH:
        ok = begin_flush(client, request);
        break;
    case MC_BINARY_QUIT:
        ok = mc_binary_answer(client, request, MC_BINARY_DONE, nothing);
        client->closing = true;
        break;
    default:
        return mc_sasl_step(client, request, bytes);
    }
    input_consume(&client->input, request->head_len);
    if (!ok)
        return MC_STEP_CLOSE;
    return client->closing ? MC_STEP_STOP : MC_STEP_ON;
}

static bool refuse(struct mc_client *client, const struct mc_binary_request *request)
{
    counter_add(&client->cell->refused, 1);
    counter_add(&client->cell->commands, 1);
    return mc_binary_answer(client, request, request->status,
                            mc_binary_status_text(request->status));
}

static enum mc_step binary_step(struct mc_client *client, struct slice bytes)
{
    struct mc_binary_request request;
    enum mc_step step;

    switch (mc_binary_request_parse(bytes, &request)) {
    case MC_BINARY_MORE:
        client->need = request.head_len;
        return MC_STEP_MORE;
    case MC_BINARY_REFUSED:
        client->swallow = request.value_len;
        input_consume(&client->input, request.head_len);
        return refuse(client, &request) ? MC_STEP_ON : MC_STEP_CLOSE;
    case MC_BINARY_FATAL:
        client->closing = true;
        return refuse(client, &request) ? MC_STEP_STOP : MC_STEP_CLOSE;
    case MC_BINARY_CLOSE:
        client->closing = true;
        return MC_STEP_STOP;
    case MC_BINARY_OK:
        break;
    }
    step = request.keyed ? mc_binary_forward(client, &request, bytes)
                         : answer_here(client, &request, bytes);
    if (step == MC_STEP_ON)
        counter_add(&client->cell->commands, 1);
    return step;
}

/* -- The other hooks -----------------------------------------------------------------------------
 */

/* A get's reply is complete: MC_OP_LAST is there for the counters. */
static bool binary_end_get(struct mc_client *client)
{
    client->get_failed = false;
    return true;
}

static void binary_fail(struct mc_op *op, struct slice text)
{
    mc_binary_set_reply(op, FAILURE, text);
}

static void binary_fail_get(struct mc_op *op)
{
    op->flags |= MC_OP_STARTED; /* what it gets now is not counted as parked */
    if (op->flags & MC_OP_FAILED)
        mc_binary_set_reply(op, FAILURE, SLICE("a memcached server did not answer"));
    else
        mc_binary_set_miss(op);
}

static bool binary_delete(struct mc_connection *connection, struct mc_op *op,
                          const struct key_place *place, struct slice key)
{
    const struct mc_binary_request request = { .loud = MC_BINARY_DELETE, .key = key };

    return mc_binary_compose(connection, op, place, &request, 0, NULL);
}

/* VERSION; its opaque, 0, is that of no other request (mc_binary_compose). */
static const char probe[MC_BINARY_HEADER] = { '\x80', MC_BINARY_VERSION };

const struct mc_dialect mc_binary = {
    .index = 1,
    .suffix = " for the binary protocol",
    .value_tail = 0,
    .probe = { .data = probe, .len = sizeof(probe) },
    .step = binary_step,
    .pair = mc_binary_pair,
    .end_get = binary_end_get,
    .fail = binary_fail,
    .fail_get = binary_fail_get,
    .flushed = binary_flushed,
    .compose_delete = binary_delete,
    .compose_errand = mc_binary_compose_errand,
    .missed = mc_binary_missed,
    .changed = mc_binary_changed,
};
