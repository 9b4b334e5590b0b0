/*
 * Meta commands on the client's side: what becomes of each, and the line for the server. What a
 * command means for the other arms is said by a classic verb:
 *
 *   ms              set; with C a cas, unless it answers a win (W) of its own arm: then a fill
 *   ms ME MA MP MR  add, append, prepend, replace
 *   md, ma          delete, incr; a delete too where md only marks an item as stale (I): what the
 *                   other arms have is older than that
 */
#include "crossfade/proto/mc_meta_reply.h"
#include "crossfade/relay/mc_coherence.h"
#include "crossfade/relay/mc_epoch.h"
#include "crossfade/relay/mc_journal.h"
#include "crossfade/relay/mc_lookup.h"
#include "crossfade/relay/mc_meta.h"
#include "crossfade/relay/mc_observe.h"
#include "crossfade/relay/mc_text.h"

#include <stdio.h>

static const struct slice bad_chunk = SLICE_INIT("CLIENT_ERROR bad data chunk\r\n");
static const struct slice no_memory = SLICE_INIT("SERVER_ERROR out of memory storing object\r\n");

/* -- Answers from here ------------------------------------------------------------------------- */

enum mc_step mc_meta_refuse(struct mc_client *client, struct slice answer)
{
    counter_add(&client->cell->refused, 1);
    return mc_client_answer(client, answer) ? MC_STEP_ON : MC_STEP_CLOSE;
}

/* A key that only this daemon knows. */
static enum mc_step answer_lookup(struct mc_client *client, const struct mc_meta_command *command)
{
    char letters[MC_META_FLAGS_MAX];
    struct mc_meta_echo echo = { .key = command->key,
                                 .opaque = command->meta.opaque,
                                 .letters =
                                     slice_of(letters, mc_meta_letters(&command->meta, letters)),
                                 .base64 = command->meta.base64,
                                 .quiet = command->meta.quiet };
    char text[MC_META_HEAD_MAX + MC_LOOKUP_MAX + 2];
    struct mc_lookup lookup;
    size_t len;

    if (command->request->verb == MC_META_DEBUG)
        return mc_client_answer(client, SLICE("EN\r\n")) ? MC_STEP_ON : MC_STEP_CLOSE;
    if (command->request->verb != MC_META_GET)
        return mc_meta_refuse(client, mc_text_key_refusal(KEY_LOOKUP));
    if (command->meta.overlong)
        return mc_meta_refuse(client, SLICE(MC_META_OVERLONG));
    if (!mc_lookup(client, command->key, &lookup)) {
        if (echo.quiet)
            return MC_STEP_ON;
        len = mc_meta_miss_write(&echo, text);
    } else {
        len = mc_meta_hit_write(&command->meta, &echo, lookup.len, lookup.cas, text);
        if (command->meta.wants_value) {
            memcpy(text + len, lookup.value, lookup.len);
            memcpy(text + len + lookup.len, "\r\n", 2);
            len += lookup.len + 2;
        }
    }
    return mc_client_answer(client, slice_of(text, len)) ? MC_STEP_ON : MC_STEP_CLOSE;
}

static enum mc_step refuse_key(struct mc_client *client, const struct mc_meta_command *command,
                               enum key_verdict verdict)
{
    if (verdict == KEY_LOOKUP)
        return answer_lookup(client, command);
    return mc_meta_refuse(client, mc_text_key_refusal(verdict));
}

static enum mc_step refuse_server(struct mc_client *client, const struct mc_server *server)
{
    char text[200];
    int len = snprintf(text, sizeof(text),
                       "SERVER_ERROR memcached server %.64s does not speak the meta protocol\r\n",
                       server->name);

    ensure(len > 0 && (size_t)len < sizeof(text));
    counter_add(&client->cell->failed, 1);
    return mc_client_answer(client, slice_of(text, (size_t)len)) ? MC_STEP_ON : MC_STEP_CLOSE;
}

/* -- To a server ------------------------------------------------------------------------------- */

enum mc_verb mc_meta_classic_verb(const struct mc_meta_command *command)
{
    if (command->request->verb == MC_META_ARITHMETIC)
        return MC_INCR;
    if (command->request->verb == MC_META_DELETE || command->too_large)
        return MC_DELETE;
    switch (command->meta.mode) {
    case '\0':
    case 'S':
        return command->meta.has_cas ? MC_CAS : MC_SET;
    case 'E':
        return MC_ADD;
    case 'A':
        return MC_APPEND;
    case 'P':
        return MC_PREPEND;
    default:
        return MC_REPLACE;
    }
}

/* What it means for the other arms. A win stands in the memory of misses twice: as a miss, and as
 * what a cas may answer, too. */
static enum mc_verb effect_of(struct mc_client *client, const struct mc_meta_command *command)
{
    enum mc_verb verb = mc_meta_classic_verb(command);

    if ((verb == MC_SET || verb == MC_CAS) && mc_has_others(client, &command->place) &&
        mc_miss_take_recent(client, MC_MISS_WIN, command->key))
        return MC_SET;
    return verb;
}

/* For what is learnt from the traffic. */
static void observe(struct mc_client *client, const struct mc_meta_command *command)
{
    const struct mc_meta *meta = &command->meta;
    struct slice bytes = input_bytes(&client->input);
    size_t line_len = command->request->line_len;
    struct mc_written written = { .verb = mc_meta_classic_verb(command),
                                  .flags = meta->client_flags,
                                  .exptime = meta->exptime,
                                  .whole = command->value.len > 0 };

    if (command->request->verb == MC_META_GET) {
        mc_observe_read(client, command->key);
        return;
    }
    if (written.whole)
        written.value = slice_of(command->value.data, command->value.len - 2);
    else if (command->request->verb == MC_META_SET)
        written.value = slice_of(bytes.data + line_len, bytes.len - line_len);
    mc_observe_write(client, command->key, &written);
}

static void count(struct mc_client *client, const struct mc_meta_command *command)
{
    struct mc_arm_cell *cell = client->cell;

    switch (command->request->verb) {
    case MC_META_GET:
        counter_add(&cell->gets, 1);
        if (command->meta.touches)
            counter_add(&cell->touches, 1);
        break;
    case MC_META_SET:
        mc_count_command(cell, MC_SET);
        break;
    case MC_META_DELETE:
        mc_count_command(cell, MC_DELETE);
        break;
    default:
        break;
    }
}

/* The line, the value if it is here, and what the other arms have to hear. */
static enum mc_step dispatch(struct mc_client *client, struct mc_connection *connection,
                             struct mc_op *op, const struct mc_meta_command *command,
                             struct slice line)
{
    enum mc_verb verb = command->request->verb;

    if (!mc_meta_compose(connection, op, line)) {
        mc_op_part_failed(op, "out of memory");
        return MC_STEP_CLOSE;
    }
    if (command->value.len > 0 && !command->too_large &&
        !mc_connection_value(connection, client->input.chunk, command->value)) {
        /* Half a command is composed: the connection cannot be used any more. */
        mc_connection_fail(connection, "out of memory", false);
        return MC_STEP_CLOSE;
    }
    mc_client_hold_back(client, connection);
    if (verb != MC_META_GET && verb != MC_META_DEBUG)
        mc_invalidate_others(client, connection, op, &command->place, effect_of(client, command),
                             command->key);
    return client->closed ? MC_STEP_CLOSE : MC_STEP_ON;
}

/* The command is well-formed and may be sent. `upload`: its value streams. */
static enum mc_step forward(struct mc_client *client, struct mc_meta_command *command, bool upload)
{
    struct mc_server *server =
        client->view->servers[placement_server(mc_client_plan(client)->placement, command->key)];
    bool get = command->request->verb == MC_META_GET;
    bool debug = command->request->verb == MC_META_DEBUG;
    struct mc_connection *connection =
        get     ? mc_journal_reader(server, &mc_text, client->affinity, &command->place)
        : debug ? mc_server_connection(server, &mc_text, client->affinity)
                : mc_journal_writer(server, client, &command->place, mc_meta_classic_verb(command),
                                    upload);
    char line[MC_META_LINE_MAX];
    struct mc_op *op;
    size_t len;

    if (connection != NULL) {
        switch (mc_meta_ask(client, connection)) {
        case MC_META_UNKNOWN:
        case MC_META_ASKED:
            return MC_STEP_STOP;
        case MC_META_NOT_SPOKEN:
            if (upload)
                mc_server_upload_done(connection, false);
            return refuse_server(client, server);
        case MC_META_SPOKEN:
            break;
        }
    }
    if (!debug && mc_observe_due(client->plane))
        observe(client, command);
    count(client, command);
    if (command->meta.stamp > 0)
        return mc_meta_forward_epoch(client, command, server, connection, upload);
    op = mc_meta_expect(client, command,
                        command->too_large ? MC_META_DELETE : command->request->verb);
    if (op == NULL)
        return MC_STEP_CLOSE;
    if (connection == NULL) {
        if (!get && !debug)
            mc_journal_unsent(client, server, &command->place, effect_of(client, command),
                              command->key);
        mc_op_fail_here(op, server);
        return client->closed ? MC_STEP_CLOSE : MC_STEP_ON;
    }
    len = command->too_large ? mc_meta_write_delete(op, command->base64, line)
                             : mc_meta_write(command->request->verb, &command->meta, mc_op_wire(op),
                                             command->base64, mc_meta_note_of(op)->mark, line);
    if (upload)
        client->upload_left = command->meta.value_len + 2;
    return dispatch(client, connection, op, command, slice_of(line, len));
}

/* A value that streams is judged by its first bytes: are they here? */
static bool beginning_of(struct mc_client *client, const struct mc_meta_command *command,
                         struct slice *beginning)
{
    struct slice bytes = input_bytes(&client->input);
    size_t line_len = command->request->line_len;

    if (command->value.len > 0) {
        *beginning = slice_of(command->value.data, command->value.len - 2);
        return true;
    }
    *beginning = slice_of(bytes.data + line_len, bytes.len - line_len);
    if (beginning->len >= VALUE_GUARD_BYTES)
        return true;
    client->need = line_len + VALUE_GUARD_BYTES;
    return false;
}

static bool is_guarded(struct mc_client *client, const struct mc_meta_command *command,
                       struct slice beginning)
{
    char mode = command->meta.mode;
    enum mc_verb verb = mode == 'A' ? MC_APPEND : mode == 'P' ? MC_PREPEND : MC_SET;

    return mc_is_guarded(client, &command->place, verb, command->meta.client_flags, beginning);
}

/* The key decides; MC_STEP_ON: the line, and the value if it is here, are done with. */
static enum mc_step judge(struct mc_client *client, struct mc_meta_command *command)
{
    struct mc_meta *meta = &command->meta;
    bool set = command->request->verb == MC_META_SET;
    struct slice beginning = slice_of(NULL, 0);
    enum key_verdict verdict;
    bool upload;

    command->key = mc_meta_key(meta, command->decoded);
    verdict = keyspace_place(mc_client_plan(client)->keyspace, client->arm, command->key,
                             &command->place);
    if (verdict != KEY_OK)
        return refuse_key(client, command, verdict);
    /* A key that does not fit in base64 is text, or a digest. */
    command->base64 = meta->base64 && !command->place.hashed &&
                      BASE64_ENCODED(command->place.wire_len) <= KEY_MAX;
    ensure(command->base64 || !meta->base64 || command->place.hashed ||
           keyspace_is_text(command->key));
    meta->stamp = mc_is_epoch(&command->place) ? STAMP_LENGTH : 0;
    command->too_large = set && meta->value_len > mc_view_config(client->view)->max_value;
    upload = set && !command->too_large && command->value.len == 0;
    /* It goes another way than what came before and must not overtake it. */
    if (upload && mc_upload_waits(client, command->key))
        return MC_STEP_STOP;
    if (set && command->place.guard && !command->too_large) {
        if (!beginning_of(client, command, &beginning))
            return MC_STEP_MORE;
        if (is_guarded(client, command, beginning))
            return mc_client_answer(client, SLICE(MC_TEXT_GUARDED)) ? MC_STEP_ON : MC_STEP_CLOSE;
    }
    return forward(client, command, upload);
}

/* Is the value taken when all of it is here? */
static bool is_gathered(struct mc_client *client, struct mc_meta_command *command)
{
    if (command->meta.value_len <= MC_GATHER_MAX)
        return true;
    command->key = mc_meta_key(&command->meta, command->decoded);
    return keyspace_place(mc_client_plan(client)->keyspace, client->arm, command->key,
                          &command->place) == KEY_OK &&
           mc_meta_gathers(command);
}

/* The value is here, with its line end. */
static enum mc_meta_verdict judge_value(const struct mc_meta_command *command, struct slice *answer)
{
    struct slice fault;

    if (memcmp(command->value.data + command->value.len - 2, "\r\n", 2) == 0)
        return MC_META_OK;
    /* memcached has looked at the flags before. */
    fault = mc_meta_fault(command->request->verb, &command->meta);
    *answer = fault.len > 0 ? fault : bad_chunk;
    return MC_META_SWALLOW;
}

enum mc_step mc_meta_step(struct mc_client *client, const struct mc_request *request,
                          struct slice bytes)
{
    struct mc_meta_command command;
    enum mc_meta_verdict verdict;
    struct slice answer;
    enum mc_step step;
    size_t len = 0; /* of the value and its line end */

    if (request->verb == MC_META_NOOP) {
        input_consume(&client->input, request->line_len);
        return mc_client_answer(client, SLICE("MN\r\n")) ? MC_STEP_ON : MC_STEP_CLOSE;
    }
    command.request = request;
    command.value = slice_of(NULL, 0);
    verdict = mc_meta_parse(request->verb, request->keys, &command.meta, &answer);
    if (request->verb == MC_META_SET && verdict != MC_META_REFUSED)
        len = (size_t)command.meta.value_len + 2;
    if (verdict == MC_META_OK && len > 0 && len - 2 <= mc_view_config(client->view)->max_value &&
        is_gathered(client, &command)) {
        size_t spare = len - 2 > MC_GATHER_MAX ? MC_MEMORY_SPARE : SIZE_MAX;
        if (buffer_pool_size(&client->plane->worker->buffers) > spare) {
            verdict = MC_META_SWALLOW;
            answer = no_memory;
        } else if (bytes.len < request->line_len + len) {
            client->need = request->line_len + len;
            return MC_STEP_MORE;
        } else {
            command.value = slice_of(bytes.data + request->line_len, len);
            verdict = judge_value(&command, &answer);
        }
    }
    step = verdict == MC_META_OK ? judge(client, &command) : mc_meta_refuse(client, answer);
    if (step != MC_STEP_ON)
        return step;
    input_consume(&client->input, request->line_len);
    if (client->upload_left == 0)
        client->swallow = len;
    return MC_STEP_ON;
}
