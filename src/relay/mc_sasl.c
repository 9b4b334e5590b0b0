/*
 * Logging in by the binary protocol: SASL PLAIN in the opcodes 0x20 (list), 0x21 (auth) and 0x22
 * (step), as memcached 1.6.18 does with -S. Before it only `version` is answered; anything else
 * gets an error and the end of the connection. A second login on a connection replaces the first.
 */
#include "crossfade/proto/mc_auth.h"
#include "crossfade/relay/mc_binary.h"
#include "crossfade/relay/mc_pools.h"
#include "crossfade/relay/mc_strangers.h"

#define MECHANISM_MAX 32u

bool mc_sasl_answer(struct mc_client *client, bool granted)
{
    const struct mc_binary_request request = { .opcode = client->login_opcode,
                                               .opaque = client->login_opaque };

    return granted ? mc_binary_answer(client, &request, MC_BINARY_DONE, SLICE("Authenticated"))
                   : mc_binary_answer(client, &request, MC_BINARY_AUTH_ERROR,
                                      mc_binary_status_text(MC_BINARY_AUTH_ERROR));
}

/* Answers, and takes the request with its value out of the input; the value may be still to come.
 */
static enum mc_step reply(struct mc_client *client, const struct mc_binary_request *request,
                          uint16_t status, struct slice text)
{
    input_consume(&client->input, request->head_len);
    client->swallow = request->value_len;
    return mc_binary_answer(client, request, status, text) ? MC_STEP_ON : MC_STEP_CLOSE;
}

static enum mc_step reply_and_close(struct mc_client *client,
                                    const struct mc_binary_request *request, uint16_t status)
{
    client->closing = true;
    input_clear(&client->input);
    return mc_binary_answer(client, request, status, mc_binary_status_text(status)) ? MC_STEP_STOP
                                                                                    : MC_STEP_CLOSE;
}

/* A login of which all is here: `len` bytes, the last of them the message. */
static enum mc_step login(struct mc_client *client, const struct mc_binary_request *request,
                          struct slice message, size_t len)
{
    bool is_step = request->loud == MC_BINARY_SASL_STEP;
    bool started = client->sasl_started;
    struct slice user;
    struct slice password;

    client->sasl_started = false;
    if (!slice_equal_nocase(request->key, SLICE("PLAIN")) || (is_step && !started))
        return mc_login_fail(client, len);
    if (!is_step && message.len == 0) {
        client->sasl_started = true;
        return reply(client, request, MC_BINARY_AUTH_CONTINUE, SLICE(""));
    }
    if (!mc_auth_plain_parse(message, &user, &password))
        return mc_login_fail(client, len);
    (void)mc_login_begin(client, user, password, len);
    client->sasl_started = started && client->login_later; /* it is tried again */
    return MC_STEP_STOP;
}

static enum mc_step request_login(struct mc_client *client, const struct mc_binary_request *request,
                                  struct slice bytes)
{
    size_t len = request->head_len + request->value_len;

    if (request->key.len > MECHANISM_MAX)
        return reply(client, request, MC_BINARY_INVALID, mc_binary_status_text(MC_BINARY_INVALID));
    if (request->value_len <= MC_AUTH_VALUE_MAX && bytes.len < len) {
        client->need = len;
        return MC_STEP_MORE;
    }
    if (client->op_count > 0 || client->upload != NULL)
        return MC_STEP_STOP; /* what is under way is the old user's */
    if (!client->is_stranger)
        mc_client_begin_again(client);
    client->login_opcode = request->opcode;
    client->login_opaque = request->opaque;
    if (request->value_len > MC_AUTH_VALUE_MAX) {
        client->swallow = request->value_len;
        return mc_login_fail(client, request->head_len);
    }
    return login(client, request, slice_of(bytes.data + request->head_len, request->value_len),
                 len);
}

enum mc_step mc_sasl_step(struct mc_client *client, const struct mc_binary_request *request,
                          struct slice bytes)
{
    counter_add(&client->cell->commands, 1);
    if (client->listener == MC_NO_LISTENER || mc_client_listener(client)->sasl == NULL)
        return reply(client, request, MC_BINARY_UNKNOWN, mc_binary_status_text(MC_BINARY_UNKNOWN));
    if (request->loud == MC_BINARY_SASL_LIST)
        return reply(client, request, MC_BINARY_DONE, SLICE("PLAIN"));
    return request_login(client, request, bytes);
}

static bool is_for_strangers(const struct mc_binary_request *request)
{
    return request->loud == MC_BINARY_VERSION || request->loud == MC_BINARY_SASL_LIST ||
           request->loud == MC_BINARY_SASL_AUTH || request->loud == MC_BINARY_SASL_STEP;
}

enum mc_step mc_sasl_stranger(struct mc_client *client, struct slice bytes)
{
    struct mc_binary_request request;
    enum mc_binary_verdict verdict = mc_binary_request_parse(bytes, &request);

    if (verdict == MC_BINARY_MORE) {
        client->need = request.head_len;
        return MC_STEP_MORE;
    }
    if (verdict == MC_BINARY_CLOSE) {
        client->closing = true;
        return MC_STEP_STOP;
    }
    if (client->stage == MC_STAGE_REFUSED || !is_for_strangers(&request))
        return reply_and_close(client, &request, MC_BINARY_AUTH_ERROR);
    if (verdict == MC_BINARY_FATAL)
        return reply_and_close(client, &request, request.status);
    if (verdict == MC_BINARY_REFUSED)
        return reply(client, &request, request.status, mc_binary_status_text(request.status));
    if (request.loud == MC_BINARY_VERSION)
        return reply(client, &request, MC_BINARY_DONE, SLICE(MC_VERSION_TEXT));
    return mc_sasl_step(client, &request, bytes);
}
