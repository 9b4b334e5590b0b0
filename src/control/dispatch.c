/*
 * From the words of a command to its handler. The level, the arguments and the options are checked
 * here, for every command in the same way, and nowhere else.
 */
#include "crossfade/control/commands.h"

#include "crossfade/base/log.h"
#include "crossfade/conf/values.h"

#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void call_start(struct control_call *call, struct control_reply *reply)
{
    command_rollout_change(call, reply, ROLLOUT_START);
}

static void call_advance(struct control_call *call, struct control_reply *reply)
{
    command_rollout_change(call, reply, ROLLOUT_ADVANCE);
}

static void call_percent(struct control_call *call, struct control_reply *reply)
{
    command_rollout_change(call, reply, ROLLOUT_PERCENT);
}

static void call_pause(struct control_call *call, struct control_reply *reply)
{
    command_rollout_change(call, reply, ROLLOUT_PAUSE);
}

static void call_resume(struct control_call *call, struct control_reply *reply)
{
    command_rollout_change(call, reply, ROLLOUT_RESUME);
}

static void call_hold(struct control_call *call, struct control_reply *reply)
{
    command_rollout_change(call, reply, ROLLOUT_HOLD);
}

static void call_abort(struct control_call *call, struct control_reply *reply)
{
    command_rollout_change(call, reply, ROLLOUT_ABORT);
}

static void call_retry(struct control_call *call, struct control_reply *reply)
{
    command_rollout_change(call, reply, ROLLOUT_RETRY);
}

static void call_promote(struct control_call *call, struct control_reply *reply)
{
    command_rollout_change(call, reply, ROLLOUT_PROMOTE);
}

static void call_reset(struct control_call *call, struct control_reply *reply)
{
    command_rollout_change(call, reply, ROLLOUT_RESET);
}

static const control_handler handlers[VERB_COUNT] = {
    [VERB_HELP] = command_help,
    [VERB_VERSION] = command_version,
    [VERB_SHOW_ROLLOUT] = command_show_rollout,
    [VERB_SHOW_ARMS] = command_show_arms,
    [VERB_SHOW_STAGES] = command_show_stages,
    [VERB_SHOW_CACHE] = command_show_cache,
    [VERB_SHOW_SERVERS] = command_show_servers,
    [VERB_SHOW_BACKENDS] = command_show_backends,
    [VERB_SHOW_STATS] = command_show_stats,
    [VERB_SHOW_CONFIG] = command_show_config,
    [VERB_SHOW_EVENTS] = command_show_events,
    [VERB_SHOW_SUGGEST] = command_show_suggest,
    [VERB_SHOW_CLIENTS] = command_show_clients,
    [VERB_WHY] = command_why,
    [VERB_EXPLAIN] = command_explain,
    [VERB_START] = call_start,
    [VERB_ADVANCE] = call_advance,
    [VERB_PERCENT] = call_percent,
    [VERB_PAUSE] = call_pause,
    [VERB_RESUME] = call_resume,
    [VERB_HOLD] = call_hold,
    [VERB_ABORT] = call_abort,
    [VERB_RETRY] = call_retry,
    [VERB_PROMOTE] = call_promote,
    [VERB_RESET] = call_reset,
    [VERB_FLUSH] = command_flush,
    [VERB_DRAIN_SERVER] = command_drain_server,
    [VERB_ENABLE_SERVER] = command_enable_server,
    [VERB_FORGET_LOST] = command_forget_lost,
    [VERB_RELOAD] = command_reload,
    [VERB_LOG] = command_log,
    [VERB_SHUTDOWN] = command_shutdown,
};

/* The value behind "name=", or NULL when the word is another option. */
static const char *option_value(const char *word, const char *name)
{
    size_t len = strlen(name);
    return strncmp(word, name, len) == 0 && word[len] == '=' ? word + len + 1 : NULL;
}

/* 0: the word is no option. */
static unsigned option_of(const char *word)
{
    if (strcmp(word, "--json") == 0)
        return OPTION_JSON;
    if (strcmp(word, "--check") == 0)
        return OPTION_CHECK;
    if (strcmp(word, "--base64") == 0)
        return OPTION_BASE64;
    if (option_value(word, "reason") != NULL)
        return OPTION_REASON;
    if (option_value(word, "if-generation") != NULL)
        return OPTION_IF_GENERATION;
    if (option_value(word, "drain") != NULL)
        return OPTION_DRAIN;
    return 0;
}

static bool take_option(struct control_call *call, unsigned option, const char *word,
                        struct control_reply *reply)
{
    struct why why;

    switch ((enum control_option)option) {
    case OPTION_JSON:
        call->json = true;
        break;
    case OPTION_CHECK:
        call->check = true;
        break;
    case OPTION_BASE64:
        call->base64 = true;
        break;
    case OPTION_REASON:
        call->reason = option_value(word, "reason");
        break;
    case OPTION_IF_GENERATION:
        call->generation_given = true;
        if (!slice_to_u64(slice_string(option_value(word, "if-generation")),
                          &call->if_generation)) {
            control_reply_error(reply, CONTROL_USAGE, "if-generation takes a whole number");
            return false;
        }
        break;
    case OPTION_DRAIN:
        call->drain_given = true;
        if (!value_parse_duration(slice_string(option_value(word, "drain")), &call->drain, &why)) {
            control_reply_error(reply, CONTROL_USAGE, "drain %s", why.text);
            return false;
        }
        break;
    }
    return true;
}

static void usage(const struct control_command *row, struct control_reply *reply)
{
    control_reply_error(reply, CONTROL_USAGE, "usage: %s%s%s%s%s%s%s%s", row->name,
                        row->arguments[0] != '\0' ? " " : "", row->arguments,
                        row->options & OPTION_REASON ? " [reason=\"TEXT\"] [if-generation=N]" : "",
                        row->options & OPTION_CHECK ? " [--check]" : "",
                        row->options & OPTION_BASE64 ? " [--base64]" : "",
                        row->options & OPTION_DRAIN ? " [drain=DURATION]" : "",
                        row->options & OPTION_JSON ? " [--json]" : "");
}

/* Arguments and options of the call; false: the reply says what is wrong. */
static bool take_arguments(struct control_call *call, const struct control_command *row,
                           const struct control_words *words, unsigned first, char **arguments,
                           struct control_reply *reply)
{
    for (unsigned i = first; i < words->count; i++) {
        unsigned option = option_of(words->word[i]);
        if (option == 0 || (row->options & option) == 0)
            arguments[call->count++] = words->word[i];
        else if (!take_option(call, option, words->word[i], reply))
            return false;
    }
    if (call->count >= row->least && call->count <= row->most)
        return true;
    usage(row, reply);
    return false;
}

/* What somebody wanted to change, and the first line of what came of it. */
static void log_call(const struct control_command *row, const struct control_peer *peer,
                     const struct control_reply *reply)
{
    size_t len = strcspn(reply->sentence, "\n");

    log_info("control: %s by %s: %s%s%.*s", row->name, peer->by,
             reply->ok ? "" : control_code_name(reply->code), reply->ok ? "" : ": ",
             len < 400 ? (int)len : 400, reply->sentence);
}

static void on_looked(void *context, const struct mc_look *look)
{
    struct control_pending *pending = context;

    pending->complete(&pending->reply, pending->json, look);
    if (pending->context != NULL)
        pending->answered(pending);
    else
        control_pending_write(pending, NULL);
}

void control_pending_write(struct control_pending *pending, struct evbuffer *out)
{
    struct evbuffer *nowhere = out == NULL ? evbuffer_new() : NULL;

    if (out != NULL || nowhere != NULL)
        control_reply_write(&pending->reply, pending->json, out != NULL ? out : nowhere);
    if (nowhere != NULL)
        evbuffer_free(nowhere);
    free(pending);
}

/* The reply waits for the look that the call has asked for. False: it is whole as it is. */
static bool wait_for_look(struct control_call *call, struct control_reply *reply,
                          struct control_pending **out)
{
    struct control_pending *pending;

    if (call->look == NULL)
        return false;
    pending = calloc(1, sizeof(*pending));
    if (pending == NULL) {
        free(call->look);
        call->complete(reply, call->json, NULL);
        return false;
    }
    pending->json = call->json;
    pending->complete = call->complete;
    pending->reply = *reply;
    if (!call->host->look(call->host->context, call->look, on_looked, pending)) {
        free(pending);
        call->complete(reply, call->json, NULL);
        return false;
    }
    *out = pending;
    return true;
}

bool control_dispatch(const struct control_host *host, const struct control_peer *peer,
                      const struct control_words *words, struct evbuffer *out, uint64_t *drain,
                      struct control_pending **pending)
{
    char *arguments[CONTROL_WORDS_MAX];
    struct control_call call = { .host = host, .by = peer->by, .arguments = arguments };
    struct control_reply reply;
    const struct control_command *row;
    const char *nearest;
    unsigned words_used;
    int verb = control_command_find(words->word, words->count, &words_used, &nearest);

    control_reply_init(&reply);
    row = verb >= 0 ? &control_commands[verb] : NULL;
    if (row == NULL) {
        char sentence[320];
        control_command_unknown(words->word, words->count, nearest, sentence, sizeof(sentence));
        control_reply_error(&reply, CONTROL_UNKNOWN, "%s", sentence);
    } else if (row->level > peer->level) {
        control_reply_error(&reply, CONTROL_DENIED,
                            "%s needs a socket of level %s, and this one is of level %s", row->name,
                            control_level_name(row->level), control_level_name(peer->level));
    } else if (take_arguments(&call, row, words, words_used, arguments, &reply)) {
        handlers[verb](&call, &reply);
        if (row->level > CONTROL_READ)
            log_call(row, peer, &reply);
    }
    if (!wait_for_look(&call, &reply, pending))
        control_reply_write(&reply, call.json, out);
    *drain = call.drain;
    return call.shutdown;
}
