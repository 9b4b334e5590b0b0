/* What `show suggest` prints is a part of a configuration that loads. */
#include "desk.h"

#include "crossfade/conf/load.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static void see(struct families *families, const char *key, enum family_event event, unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        families_add(families, &(struct family_seen){ .key = slice_string(key),
                                                      .event = event,
                                                      .has_value = event == FAMILY_FILL,
                                                      .format = VALUE_INTEGER,
                                                      .weight = 2 });
}

static struct config *load(const char *rules)
{
    struct config_faults faults = { NULL, 0 };
    char *text = calloc(1, strlen(rules) + 1024);
    struct config *config;

    (void)sprintf(text,
                  "arms: [ { name: a } ]\n"
                  "cache:\n"
                  "  listen: [ { address: \"h:1\", arm: a } ]\n"
                  "  servers: [ \"h:2\" ]\n%s",
                  rules);
    config = config_load_text("suggested.yaml", text, strlen(text), &faults);
    cr_assert_not_null(config, "%s\n%s", faults.count > 0 ? faults.faults[0].text : "", text);
    config_faults_free(&faults);
    free(text);
    return config;
}

/* The YAML below the reply's first line, moved in to be below `cache:`. */
static char *below(const char *reply)
{
    char *out = calloc(1, 3 * strlen(reply) + 1);
    const char *line = strchr(reply, '\n') + 1;

    while (*line != '\0' && *line != '\n') {
        size_t len = strcspn(line, "\n") + 1;
        strcat(out, "  ");
        strncat(out, line, len);
        line += len;
    }
    return out;
}

Test(suggest, text_is_rules_that_load_and_hold)
{
    struct families *families = calloc(1, sizeof(*families));
    struct desk desk;
    struct config *config;
    char *reply;
    char *yaml;

    see(families, "ratelimit:10.0.0.1", FAMILY_COUNT, 5);
    see(families, "a\"b\\c:1", FAMILY_COUNT, 5);
    see(families, "J\xc3\xbcrgen:1", FAMILY_COUNT, 5);
    see(families, "hits", FAMILY_COUNT, 5);
    see(families, "mutex:1", FAMILY_ADD, 5);
    see(families, "mutex:1", FAMILY_DELETE, 5);
    see(families, "mutex:names:1", FAMILY_READ, 5);
    see(families, "mutex:names:one", FAMILY_COUNT, 5);
    see(families, "twice:1:a", FAMILY_COUNT, 5);
    see(families, "twice:1:b", FAMILY_COUNT, 5);
    see(families, "through:1", FAMILY_WRITE, 50);
    see(families, "number:1", FAMILY_FILL, 50);
    see(families, "u:1:a", FAMILY_COUNT, 5);
    see(families, "u:1:b", FAMILY_READ, 5);
    see(families, "evil\xff\n: [:1", FAMILY_COUNT, 5);
    desk_make(&desk, false);
    desk.seen = families;
    reply = desk_say(&desk, CONTROL_READ, "show suggest");
    cr_assert_eq(strncmp(reply, "OK\n# Learnt from ", 17), 0, "%s", reply);
    cr_assert_eq(strstr(reply, "\n\n"), reply + strlen(reply) - 2, "%s", reply);
    yaml = below(reply);
    config = load(yaml);
    static const struct {
        const char *match;
        bool prefix;
        enum config_scope scope;
        enum config_writes writes;
    } wanted[] = {
        { "mutex:names:one", false, SCOPE_SHARED, WRITES_AUTO },
        { "hits", false, SCOPE_SHARED, WRITES_AUTO },
        { "mutex:names:", true, SCOPE_ISOLATED, WRITES_AUTO },
        { "ratelimit:", true, SCOPE_SHARED, WRITES_AUTO },
        { "J\xc3\xbcrgen:", true, SCOPE_SHARED, WRITES_AUTO },
        { "through:", true, SCOPE_ISOLATED, WRITES_MUTATE },
        { "twice:", true, SCOPE_SHARED, WRITES_AUTO },
        { "a\"b\\c:", true, SCOPE_SHARED, WRITES_AUTO },
        { "mutex:", true, SCOPE_SHARED, WRITES_AUTO },
    };
    cr_assert_eq(config->cache.rule_count, sizeof(wanted) / sizeof(wanted[0]), "%s", yaml);
    for (size_t i = 0; i < config->cache.rule_count; i++) {
        const struct config_rule *rule = &config->cache.rules[i];
        bool found = false;
        for (size_t j = 0; j < sizeof(wanted) / sizeof(wanted[0]); j++)
            found |= strcmp(rule->match, wanted[j].match) == 0 &&
                     rule->prefix == wanted[j].prefix && rule->scope == wanted[j].scope &&
                     rule->writes == wanted[j].writes;
        cr_assert(found, "%s\n%s", rule->match, yaml);
    }
    cr_assert_not_null(strstr(yaml, "# - { match: \"number:*\", scope: shared }"), "%s", yaml);
    cr_assert_not_null(strstr(yaml, "no rule can tell them from \"u:*:b\""), "%s", yaml);
    cr_assert_not_null(strstr(yaml, "\"evil\\xff\\x0a: [:*\""), "%s", yaml);
    config_free(config);
    free(yaml);
    free(reply);

    reply = desk_say(&desk, CONTROL_READ, "show suggest --json");
    json_t *document = json_loads(reply + strlen("OK\n"), 0, NULL);
    cr_assert_eq(json_integer_value(json_object_get(document, "commands")),
                 (json_int_t)families->weight);
    cr_assert_eq(json_array_size(json_object_get(document, "families")), families->count);
    json_decref(document);
    free(reply);
    desk_end(&desk);
    free(families);
}

Test(suggest, nothing_seen_is_no_rule)
{
    struct desk desk;
    char *reply;
    char *yaml;

    desk_make(&desk, false);
    reply = desk_say(&desk, CONTROL_READ, "show suggest");
    yaml = below(reply);
    config_free(load(yaml));
    cr_assert_not_null(strstr(reply, "keys: []"), "%s", reply);
    free(yaml);
    free(reply);
    desk.blind = true;
    (void)desk_expect(&desk, CONTROL_READ, "show suggest", "ERR timeout a worker did not tell");
    desk_end(&desk);
}
