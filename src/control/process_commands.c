#include "config.h"

#include "crossfade/base/clock.h"
#include "crossfade/base/log.h"
#include "crossfade/control/commands.h"

#include <string.h>
#include <unistd.h>

void command_help(struct control_call *call, struct control_reply *reply)
{
    static const struct table_column columns[] = {
        { "command", "COMMAND" }, { "level", "LEVEL" }, { "help", "WHAT IT DOES" }, { NULL, NULL }
    };
    json_t *rows = json_array();
    char asked[64] = "";

    if (call->count > 0)
        (void)snprintf(asked, sizeof(asked), "%s%s%s", call->arguments[0],
                       call->count > 1 ? " " : "", call->count > 1 ? call->arguments[1] : "");
    for (int i = 0; i < VERB_COUNT; i++) {
        const struct control_command *row = &control_commands[i];
        char name[64];
        if (strncmp(row->name, asked, strlen(asked)) != 0)
            continue;
        (void)snprintf(name, sizeof(name), "%s%s%s", row->name,
                       row->arguments[0] != '\0' ? " " : "", row->arguments);
        (void)json_array_append_new(rows,
                                    json_pack("{s:s, s:s, s:s}", "command", name, "level",
                                              control_level_name(row->level), "help", row->help));
    }
    if (json_array_size(rows) == 0) {
        json_decref(rows);
        control_reply_error(reply, CONTROL_USAGE, "there is no such command; help lists them");
        return;
    }
    reply->data = rows;
    reply->columns = columns;
}

void command_version(struct control_call *call, struct control_reply *reply)
{
    char started[CLOCK_TEXT];
    uint64_t since = call->host->started(call->host->context);

    clock_format(since, started);
    reply->data = json_pack("{s:s, s:I, s:s, s:I}", "version", PACKAGE_VERSION, "pid",
                            (json_int_t)getpid(), "started", started, "uptime_seconds",
                            (json_int_t)((clock_wall() - since) / 1000000u));
}

void command_flush(struct control_call *call, struct control_reply *reply)
{
    char text[512];

    if (call->host->flush(call->host->context, call->by, call->arguments[0], text, sizeof(text)))
        control_reply_ok(reply, "%s", text);
    else
        control_reply_error(reply, CONTROL_REFUSED, "%s", text);
}

static void drain_server(struct control_call *call, struct control_reply *reply, bool drain)
{
    char text[512];

    if (call->host->drain(call->host->context, call->by, call->arguments[0], drain, text,
                          sizeof(text)))
        control_reply_ok(reply, "%s", text);
    else
        control_reply_error(reply, CONTROL_REFUSED, "%s", text);
}

void command_drain_server(struct control_call *call, struct control_reply *reply)
{
    drain_server(call, reply, true);
}

void command_enable_server(struct control_call *call, struct control_reply *reply)
{
    drain_server(call, reply, false);
}

void command_forget_lost(struct control_call *call, struct control_reply *reply)
{
    char text[512];

    if (call->host->forget_lost(call->host->context, call->by, call->arguments[0], text,
                                sizeof(text)))
        control_reply_ok(reply, "%s", text);
    else
        control_reply_error(reply, CONTROL_REFUSED, "%s", text);
}

void command_reload(struct control_call *call, struct control_reply *reply)
{
    char text[sizeof(reply->sentence)];
    bool ok = call->check ? call->host->check(call->host->context, text, sizeof(text))
                          : call->host->reload(call->host->context, text, sizeof(text));

    if (ok)
        control_reply_ok(reply, "%s", text);
    else
        control_reply_error(reply, CONTROL_FAILED, "%s", text);
}

void command_log(struct control_call *call, struct control_reply *reply)
{
    enum log_level level;

    if (call->count == 0) {
        control_reply_ok(reply, "the log level is %s", log_level_name(log_get_level()));
        return;
    }
    if (!log_level_parse(call->arguments[0], &level)) {
        control_reply_error(reply, CONTROL_USAGE, "a log level is error, warn, info or debug");
        return;
    }
    log_set_level(level);
    control_reply_ok(reply,
                     "the log level is %s, until it is set again or the configuration is "
                     "reloaded",
                     log_level_name(level));
}

void command_shutdown(struct control_call *call, struct control_reply *reply)
{
    if (!call->drain_given)
        call->drain = call->host->plan(call->host->context)->config->process.drain_timeout;
    call->shutdown = true;
    control_reply_ok(reply, "stopping, at most %.1f s for what is under way",
                     (double)call->drain / 1e6);
}
