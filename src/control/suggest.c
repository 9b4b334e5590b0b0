/*
 * `show suggest`: what the traffic says about `cache.keys`, as rules to paste, each below its
 * evidence.
 */
#include "crossfade/route/suggest.h"
#include "crossfade/control/commands.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Families without a suggestion that are shown to people; --json has all. */
#define OTHERS_SHOWN 20u

struct findings {
    const struct config_cache *config;
    const struct telemetry *telemetry;
    struct families families;
    struct suggestion all[FAMILIES_MAX];
    unsigned count;
};

static unsigned percent(uint64_t part, uint64_t whole)
{
    return whole > 0 ? (unsigned)(100 * part / whole) : 0;
}

static bool is_shared(enum suggest_kind kind)
{
    return kind == SUGGEST_COUNTER || kind == SUGGEST_LOCK || kind == SUGGEST_MAY_SHARE;
}

static bool has_rule(const struct suggestion *one)
{
    return one->exception || (one->kind != SUGGEST_NOTHING && !one->settled && one->mixed == NULL);
}

/* Two families of one rule: it is printed once. */
static bool is_repeated(const struct findings *findings, unsigned at)
{
    const struct suggestion *one = &findings->all[at];

    for (unsigned i = 0; i < at; i++) {
        const struct suggestion *earlier = &findings->all[i];
        if (has_rule(earlier) && earlier->prefix == one->prefix &&
            (earlier->kind == SUGGEST_MAY_SHARE) == (one->kind == SUGGEST_MAY_SHARE) &&
            slice_equal(earlier->match, one->match))
            return true;
    }
    return false;
}

/* -- Evidence, in words -- */

static void write_formats(FILE *out, const struct family *family)
{
    uint64_t values = family_values(family);
    const char *between = "; values: ";

    for (unsigned i = 0; i < VALUE_FORMATS; i++)
        if (family->formats[i] > 0) {
            (void)fprintf(out, "%s%u %% %s", between, percent(family->formats[i], values),
                          value_format_name((enum value_format)i));
            between = ", ";
        }
}

static void write_reason(FILE *out, const struct suggestion *one)
{
    const uint64_t *events = one->family->events;
    uint64_t sets = events[FAMILY_FILL] + events[FAMILY_WRITE];

    switch (one->kind) {
    case SUGGEST_COUNTER:
        (void)fprintf(out, "counted: %" PRIu64 " incr and decr", events[FAMILY_COUNT]);
        break;
    case SUGGEST_LOCK:
        (void)fprintf(out,
                      "a lock: %" PRIu64 " add, %" PRIu64 " delete, %" PRIu64
                      " get; %u %% of the adds expire within an hour",
                      events[FAMILY_ADD], events[FAMILY_DELETE], events[FAMILY_READ],
                      percent(one->family->short_adds, events[FAMILY_ADD]));
        break;
    case SUGGEST_MUTATE:
        (void)fprintf(out, "write-through: %" PRIu64 " of %" PRIu64 " sets answer no miss",
                      events[FAMILY_WRITE], sets);
        break;
    case SUGGEST_MAY_SHARE:
        (void)fprintf(out, "readable by any version");
        break;
    case SUGGEST_NOTHING:
        (void)fprintf(out,
                      "%" PRIu64 " get, %" PRIu64 " set (%" PRIu64 " answer a miss), %" PRIu64
                      " add, %" PRIu64 " delete",
                      events[FAMILY_READ], sets, events[FAMILY_FILL], events[FAMILY_ADD],
                      events[FAMILY_DELETE]);
        break;
    }
}

static void write_arms(FILE *out, const struct findings *findings, const struct family *family)
{
    const char *between = "; by ";

    for (unsigned i = 0; i < 32 && i < cells_count(findings->telemetry->mc_arms); i++)
        if (family->arms & UINT32_C(1) << i) {
            (void)fprintf(out, "%s%s", between, cells_name(findings->telemetry->mc_arms, i));
            between = ", ";
        }
}

static void write_escaped(FILE *out, struct slice text)
{
    char shown[4 * FAMILY_TEXT + 1];

    (void)fprintf(out, "\"%s\"", slice_escape(text, shown, sizeof(shown)));
}

static void write_evidence(FILE *out, const struct findings *findings, const struct suggestion *one)
{
    const struct family *family = one->family;

    (void)fprintf(out, "  # ");
    write_escaped(out, slice_of(family->text, family->text_len));
    (void)fprintf(out,
                  ", %u %% of all commands: ", percent(family->weight, findings->families.weight));
    write_reason(out, one);
    write_formats(out, family);
    write_arms(out, findings, family);
    (void)fprintf(out, "; such as ");
    write_escaped(out, slice_of(family->example, family->example_len));
    (void)fprintf(out, "\n");
}

/* A YAML string in double quotes: characters as they are. */
static void write_pattern(FILE *out, const struct suggestion *one)
{
    (void)fputc('"', out);
    for (size_t i = 0; i < one->match.len; i++) {
        if (one->match.data[i] == '"' || one->match.data[i] == '\\')
            (void)fputc('\\', out);
        (void)fputc(one->match.data[i], out);
    }
    (void)fprintf(out, "%s\"", one->prefix ? "*" : "");
}

static const char *treatment_of(const struct suggestion *one)
{
    return is_shared(one->kind)          ? "scope: shared"
           : one->kind == SUGGEST_MUTATE ? "writes: mutate"
                                         : "scope: isolated";
}

static void write_rule(FILE *out, const struct findings *findings, unsigned at, const char *before)
{
    const struct suggestion *one = &findings->all[at];

    if (one->rule >= 0)
        (void)fprintf(out, "  # above the rule %s%s, which is the first that they match now:\n",
                      findings->config->rules[one->rule].match,
                      findings->config->rules[one->rule].prefix ? "*" : "");
    if (is_repeated(findings, at)) {
        (void)fprintf(out, "  # by the rule above\n");
        return;
    }
    (void)fprintf(out, "  %s- { match: ", before);
    write_pattern(out, one);
    (void)fprintf(out, ", %s }\n", treatment_of(one));
}

static void write_mixed(FILE *out, const struct findings *findings, const struct suggestion *one)
{
    write_evidence(out, findings, one);
    if (one->mixed == one->family) {
        (void)fprintf(out, "  # no rule can name them: they have no beginning of their own, or not "
                           "one that can be written\n");
        return;
    }
    (void)fprintf(out, "  # no rule can tell them from ");
    write_escaped(out, slice_of(one->mixed->text, one->mixed->text_len));
    (void)fprintf(out, ", which is used otherwise\n");
}

/* -- All of it -- */

static const char *state_of(const struct suggestion *one)
{
    return one->mixed != NULL                                ? "no rule can say it"
           : one->settled                                    ? "settled"
           : one->kind == SUGGEST_NOTHING && !one->exception ? "none"
           : one->kind == SUGGEST_NOTHING                    ? "exception"
                                                             : "suggested";
}

/* The families of one kind of paragraph, below its heading. */
static void write_paragraph(FILE *out, const struct findings *findings, const char *heading,
                            bool (*belongs)(const struct suggestion *one),
                            void (*write)(FILE *out, const struct findings *findings, unsigned at),
                            unsigned most)
{
    for (unsigned i = 0; i < findings->count && most > 0; i++) {
        if (!belongs(&findings->all[i]))
            continue;
        if (heading != NULL)
            (void)fprintf(out, "  # -- %s\n", heading);
        heading = NULL;
        write(out, findings, i);
        most--;
    }
}

static bool is_rule(const struct suggestion *one)
{
    return has_rule(one) && one->kind != SUGGEST_MAY_SHARE;
}

static bool is_sharable(const struct suggestion *one)
{
    return has_rule(one) && one->kind == SUGGEST_MAY_SHARE;
}

static bool is_mixed(const struct suggestion *one)
{
    return one->mixed != NULL;
}

static bool is_settled(const struct suggestion *one)
{
    return one->settled && one->mixed == NULL;
}

static bool is_other(const struct suggestion *one)
{
    return one->kind == SUGGEST_NOTHING && !one->exception;
}

static void write_with_rule(FILE *out, const struct findings *findings, unsigned at)
{
    write_evidence(out, findings, &findings->all[at]);
    write_rule(out, findings, at, is_sharable(&findings->all[at]) ? "# " : "");
}

static void write_without_rule(FILE *out, const struct findings *findings, unsigned at)
{
    write_evidence(out, findings, &findings->all[at]);
}

static void write_unnamed(FILE *out, const struct findings *findings, unsigned at)
{
    write_mixed(out, findings, &findings->all[at]);
}

static char *make_text(const struct findings *findings)
{
    char *text = NULL;
    size_t size = 0;
    unsigned rules = 0;
    FILE *out = open_memstream(&text, &size);

    if (out == NULL)
        return NULL;
    for (unsigned i = 0; i < findings->count; i++)
        rules += is_rule(&findings->all[i]);
    (void)fprintf(out,
                  "# Learnt from %" PRIu64 " commands, of which %" PRIu64
                  " were looked at; %u families of keys.\n",
                  findings->families.weight, findings->families.samples, findings->families.count);
    if (findings->config->observe == 0)
        (void)fprintf(out, "# cache.observe is 0: no more is learnt.\n");
    if (findings->config->client_profile == PROFILE_NONE)
        (void)fprintf(out, "# cache.client_profile is none: what their flags say of values is not "
                           "known.\n");
    (void)fprintf(out, "%s\n", rules > 0 ? "keys:" : "keys: []");
    write_paragraph(out, findings, NULL, is_rule, write_with_rule, FAMILIES_MAX);
    write_paragraph(out, findings,
                    "may be shared, if all versions mean the same by them:", is_sharable,
                    write_with_rule, FAMILIES_MAX);
    write_paragraph(out, findings, "would need a rule that cannot be written:", is_mixed,
                    write_unnamed, FAMILIES_MAX);
    write_paragraph(out, findings, "the rules that there are say it already:", is_settled,
                    write_without_rule, FAMILIES_MAX);
    write_paragraph(out, findings, "stay isolated:", is_other, write_without_rule, OTHERS_SHOWN);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}

static json_t *formats_json(const struct family *family)
{
    json_t *formats = json_object();

    for (unsigned i = 0; i < VALUE_FORMATS; i++)
        if (family->formats[i] > 0)
            (void)json_object_set_new(formats, value_format_name((enum value_format)i),
                                      json_integer((json_int_t)family->formats[i]));
    return formats;
}

static json_t *events_json(const struct family *family)
{
    static const char *const names[FAMILY_EVENTS] = {
        [FAMILY_READ] = "get",      [FAMILY_FILL] = "set_after_miss", [FAMILY_WRITE] = "set",
        [FAMILY_ADD] = "add",       [FAMILY_CHANGE] = "change",       [FAMILY_COUNT] = "incr_decr",
        [FAMILY_DELETE] = "delete", [FAMILY_TOUCH] = "touch",
    };
    json_t *events = json_object();

    for (unsigned i = 0; i < FAMILY_EVENTS; i++)
        (void)json_object_set_new(events, names[i], json_integer((json_int_t)family->events[i]));
    return events;
}

static json_t *one_json(const struct findings *findings, unsigned at)
{
    const struct suggestion *one = &findings->all[at];
    const struct family *family = one->family;
    json_t *row = json_object();
    json_t *arms = json_array();
    struct slice text = slice_of(family->text, family->text_len);

    (void)json_object_set_new(row, "family", reply_text(text));
    (void)json_object_set_new(row, "kind", json_string(suggest_kind_name(one->kind)));
    (void)json_object_set_new(row, "state", json_string(state_of(one)));
    if (has_rule(one)) {
        (void)json_object_set_new(
            row, "match",
            json_sprintf("%.*s%s", (int)one->match.len, one->match.data, one->prefix ? "*" : ""));
        (void)json_object_set_new(row, one->kind == SUGGEST_MUTATE ? "writes" : "scope",
                                  json_string(strchr(treatment_of(one), ' ') + 1));
    }
    if (one->mixed != NULL)
        (void)json_object_set_new(row, "not_told_from",
                                  reply_text(slice_of(one->mixed->text, one->mixed->text_len)));
    (void)json_object_set_new(
        row, "rule",
        one->rule < 0 ? json_null()
                      : json_sprintf("%s%s", findings->config->rules[one->rule].match,
                                     findings->config->rules[one->rule].prefix ? "*" : ""));
    (void)json_object_set_new(row, "commands", json_integer((json_int_t)family->weight));
    (void)json_object_set_new(row, "perhaps_of_others", json_integer((json_int_t)family->error));
    (void)json_object_set_new(row, "looked_at", json_integer((json_int_t)family->samples));
    (void)json_object_set_new(row, "by_command", events_json(family));
    (void)json_object_set_new(row, "adds_within_an_hour",
                              json_integer((json_int_t)family->short_adds));
    (void)json_object_set_new(row, "values", formats_json(family));
    for (unsigned i = 0; i < 32 && i < cells_count(findings->telemetry->mc_arms); i++)
        if (family->arms & UINT32_C(1) << i)
            (void)json_array_append_new(arms,
                                        json_string(cells_name(findings->telemetry->mc_arms, i)));
    (void)json_object_set_new(row, "arms", arms);
    (void)json_object_set_new(row, "example",
                              reply_text(slice_of(family->example, family->example_len)));
    return row;
}

static json_t *make_json(const struct findings *findings)
{
    json_t *data = json_object();
    json_t *rows = json_array();

    (void)json_object_set_new(data, "commands",
                              json_integer((json_int_t)findings->families.weight));
    (void)json_object_set_new(data, "looked_at",
                              json_integer((json_int_t)findings->families.samples));
    for (unsigned i = 0; i < findings->count; i++)
        (void)json_array_append_new(rows, one_json(findings, i));
    (void)json_object_set_new(data, "families", rows);
    return data;
}

void command_show_suggest(struct control_call *call, struct control_reply *reply)
{
    const struct control_host *host = call->host;
    const struct config_cache *config = &host->plan(host->context)->config->cache;
    struct findings *findings;

    if (!config->present) {
        control_reply_error(reply, CONTROL_REFUSED,
                            "there is no cache plane: the configuration has no cache section");
        return;
    }
    findings = calloc(1, sizeof(*findings));
    if (findings == NULL || !host->seen(host->context, &findings->families)) {
        control_reply_error(reply, CONTROL_TIMEOUT,
                            "a worker did not tell in time what it has seen; try again");
        free(findings);
        return;
    }
    findings->config = config;
    findings->telemetry = host->telemetry(host->context);
    findings->count = suggest(&findings->families, config, findings->all);
    reply->data = make_json(findings);
    reply->text = make_text(findings);
    free(findings);
}
