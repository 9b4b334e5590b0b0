#include "crossfade/base/clock.h"
#include "crossfade/conf/values.h"
#include "crossfade/control/commands.h"
#include "crossfade/rollout/audit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVENTS_DEFAULT 20u
#define EVENTS_MAX 200u
/* How much of the end of the audit log is looked at. */
#define EVENTS_BYTES (256 * 1024)

static struct rollout *rollout_of(struct control_call *call, struct control_reply *reply)
{
    struct rollout *rollout = call->host->rollout(call->host->context);

    if (rollout == NULL)
        control_reply_error(reply, CONTROL_REFUSED,
                            "there is no rollout: the configuration has no rollout section");
    return rollout;
}

static const struct config *config_of(const struct control_call *call)
{
    return call->host->plan(call->host->context)->config;
}

static json_t *percent_value(uint32_t percent)
{
    return json_real((double)percent / PERCENT_ONE);
}

/* What a percentage is in words for the people who asked, exact. */
static json_t *percent_text(uint32_t percent)
{
    char text[VALUE_TEXT];
    return json_sprintf("%s %%", value_format_percent(percent, text));
}

void command_show_rollout(struct control_call *call, struct control_reply *reply)
{
    struct rollout *rollout = rollout_of(call, reply);
    const struct config *config = config_of(call);
    const struct rollout_status *status;
    char since[CLOCK_TEXT] = "";
    char changed[CLOCK_TEXT] = "";
    json_t *data;

    if (rollout == NULL)
        return;
    status = rollout_status(rollout);
    if (status->stage_since != 0)
        clock_format(status->stage_since, since);
    if (status->changed != 0)
        clock_format(status->changed, changed);
    data = json_object();
    (void)json_object_set_new(data, "rollout", json_string(config->rollout.name));
    (void)json_object_set_new(data, "state", json_string(rollout_state_name(status->state)));
    (void)json_object_set_new(data, "stable", json_string(config->arms[config->rollout.from].name));
    (void)json_object_set_new(data, "candidate",
                              json_string(config->arms[config->rollout.to].name));
    (void)json_object_set_new(data, "stage", json_string(status->stage_name));
    (void)json_object_set_new(
        data, "stage_number",
        json_sprintf("%d of %zu", status->stage + 1, config->rollout.stage_count));
    (void)json_object_set_new(data, "percent",
                              call->json ? percent_value(status->percent)
                                         : percent_text(status->percent));
    (void)json_object_set_new(data, "stage_since", json_string(since));
    (void)json_object_set_new(data, "changed", json_string(changed));
    (void)json_object_set_new(data, "by", reply_text(slice_string(status->by)));
    (void)json_object_set_new(data, "reason", reply_text(slice_string(status->reason)));
    (void)json_object_set_new(data, "generation", json_integer((json_int_t)status->generation));
    (void)json_object_set_new(data, "activation", json_integer((json_int_t)status->activation));
    if (status->disagreement[0] != '\0')
        (void)json_object_set_new(data, "disagreement", json_string(status->disagreement));
    if (status->unsaved)
        (void)json_object_set_new(data, "unsaved", json_string(status->unsaved_why));
    reply->data = data;
}

void command_show_stages(struct control_call *call, struct control_reply *reply)
{
    static const struct table_column columns[] = {
        { "number", "#" },        { "name", "STAGE" },      { "position", "" },
        { "percent", "SHARE" },   { "allow", "ALLOWED" },   { "bake", "BAKE" },
        { "advance", "ADVANCE" }, { "on_fail", "ON FAIL" }, { NULL, NULL }
    };
    struct rollout *rollout = rollout_of(call, reply);
    const struct config_rollout *config = &config_of(call)->rollout;
    struct cohort_position position;
    json_t *rows;

    if (rollout == NULL)
        return;
    position = rollout_position(rollout);
    rows = json_array();
    for (size_t i = 0; i < config->stage_count; i++) {
        const struct config_stage *stage = &config->stages[i];
        const char *where = position.everyone                             ? "done"
                            : !position.active || (int)i > position.stage ? "ahead"
                            : (int)i == position.stage                    ? "here"
                                                                          : "done";
        char bake[VALUE_TEXT];
        json_t *row =
            json_pack("{s:i, s:s, s:s, s:s, s:s, s:s}", "number", (int)i + 1, "name", stage->name,
                      "position", where, "bake", value_format_duration(stage->bake, bake),
                      "advance", stage->advance_auto ? "auto" : "manual", "on_fail",
                      stage->on_fail_hold ? "hold" : "rollback");
        (void)json_object_set_new(row, "percent",
                                  call->json ? percent_value(stage->percent)
                                             : percent_text(stage->percent));
        (void)json_object_set_new(row, "allow", json_sprintf("%zu", stage->allow_count));
        (void)json_array_append_new(rows, row);
    }
    reply->data = rows;
    reply->columns = columns;
}

/* One line of the audit log, flat enough for a table. */
static json_t *event_row(const char *line, size_t len)
{
    json_t *event = json_loadb(line, len, 0, NULL);
    const json_t *to = json_object_get(event, "to");

    if (event == NULL || !json_is_object(event)) {
        json_decref(event);
        return NULL;
    }
    if (json_is_object(to)) {
        const json_t *state = json_object_get(to, "state");
        const json_t *stage = json_object_get(to, "stage");
        (void)json_object_set_new(
            event, "now",
            json_sprintf("%s%s%s", json_is_string(state) ? json_string_value(state) : "",
                         json_is_string(stage) ? " " : "",
                         json_is_string(stage) ? json_string_value(stage) : ""));
    } else if (json_object_get(event, "of") != NULL) {
        (void)json_object_set(event, "now", json_object_get(event, "of"));
    }
    return event;
}

static char *read_end(const char *path, size_t *len)
{
    FILE *file = fopen(path, "re");
    char *text = NULL;
    long size;

    if (file == NULL)
        return NULL;
    if (fseek(file, 0, SEEK_END) == 0 && (size = ftell(file)) >= 0) {
        long from = size > EVENTS_BYTES ? size - EVENTS_BYTES : 0;
        text = malloc((size_t)(size - from) + 1);
        if (text != NULL && fseek(file, from, SEEK_SET) == 0)
            *len = fread(text, 1, (size_t)(size - from), file);
    }
    (void)fclose(file);
    return text;
}

void command_show_events(struct control_call *call, struct control_reply *reply)
{
    static const struct table_column columns[] = {
        { "time", "TIME" }, { "verb", "CHANGE" },   { "now", "STATE AFTER IT, OR OF" },
        { "by", "BY" },     { "reason", "REASON" }, { NULL, NULL }
    };
    const struct rollout *rollout = rollout_of(call, reply);
    uint64_t wanted = EVENTS_DEFAULT;
    char path[4096];
    char *text;
    size_t len = 0;
    json_t *rows;

    if (rollout == NULL)
        return;
    if (call->count > 0 && (!slice_to_u64(slice_string(call->arguments[0]), &wanted) ||
                            wanted == 0 || wanted > EVENTS_MAX)) {
        control_reply_error(reply, CONTROL_USAGE, "COUNT is a number from 1 to %u", EVENTS_MAX);
        return;
    }
    (void)snprintf(path, sizeof(path), "%s/" AUDIT_FILE, rollout_folder(rollout));
    text = read_end(path, &len);
    rows = json_array();
    /* From the last line to the first, as many as are wanted. */
    while (len > 0 && json_array_size(rows) < wanted) {
        size_t begin = len;
        json_t *row;
        while (begin > 0 && text[begin - 1] != '\n')
            begin--;
        row = event_row(text + begin, len - begin);
        if (row != NULL)
            (void)json_array_insert_new(rows, 0, row);
        len = begin > 0 ? begin - 1 : 0;
    }
    free(text);
    reply->data = rows;
    reply->columns = columns;
}

static void change_done(struct control_call *call, struct control_reply *reply,
                        enum rollout_verdict verdict, enum rollout_verb verb, const char *text)
{
    /* Only when every worker decides by the new state is it true. */
    bool published = call->host->publish(call->host->context);

    if (verdict == ROLLOUT_NO_DISK)
        control_reply_error(reply, verb == ROLLOUT_ABORT ? CONTROL_DEGRADED : CONTROL_FAILED, "%s",
                            text);
    else if (!published)
        control_reply_error(reply, CONTROL_TIMEOUT,
                            "%s But a worker has not taken it yet; it will at its next turn.",
                            text);
    else
        control_reply_ok(reply, "%s", text);
}

void command_rollout_change(struct control_call *call, struct control_reply *reply,
                            enum rollout_verb verb)
{
    struct rollout *rollout = rollout_of(call, reply);
    struct rollout_request request = { .verb = verb,
                                       .by = call->by,
                                       .reason = call->reason,
                                       .generation_given = call->generation_given,
                                       .if_generation = call->if_generation,
                                       .activate = call->host->activate,
                                       .activate_context = call->host->context };
    enum rollout_verdict verdict;
    char text[1024];
    struct why why;

    if (rollout == NULL)
        return;
    if (verb == ROLLOUT_PERCENT &&
        !value_parse_percent(slice_string(call->arguments[0]), &request.percent, &why)) {
        control_reply_error(reply, CONTROL_USAGE, "the percentage %s", why.text);
        return;
    }
    verdict = rollout_apply(rollout, &request, text, sizeof(text));
    switch (verdict) {
    case ROLLOUT_DONE:
    case ROLLOUT_NO_DISK:
        change_done(call, reply, verdict, verb, text);
        break;
    case ROLLOUT_REFUSED:
        control_reply_error(reply, CONTROL_REFUSED, "%s", text);
        break;
    case ROLLOUT_BAD:
        control_reply_error(reply, CONTROL_USAGE, "%s", text);
        break;
    }
}
