#include "loading.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void write_line(void *context, const char *path, const char *value, const char *standard,
                       unsigned line, bool restart)
{
    fprintf(context, "%s|%s|%s|%u|%s\n", path, value, standard, line, restart ? "restart" : "");
}

static char *describe(const struct config *config)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    config_describe(config, write_line, out);
    fclose(out);
    return text;
}

static void expect_line(const char *text, const char *line)
{
    cr_expect_not_null(strstr(text, line), "%s is not in\n%s", line, text);
}

Test(describe, gives_value_default_line_and_restart)
{
    struct config *config = load_good(base_text, "  timeouts: { request: 1500ms }\n"
                                                 "process: { workers: 2 }\n");
    char *text = describe(config);

    expect_line(text, "\narms[0].namespace|\"\"|the arm's name|2|\n");
    expect_line(text, "\narms[1].namespace|py3|the arm's name|0|\n");
    expect_line(text, "\narms[1].backends[0].address|127.0.0.1:8003||3|\n");
    expect_line(text, "\ncache.listen[0].arm|py2|none|5|\n");
    expect_line(text, "\ncache.timeouts.request|1500ms|1s|7|\n");
    expect_line(text, "\ncache.timeouts.connect|250ms|250ms|0|\n");
    expect_line(text, "\ncache.keys|[]|[]|0|\n");
    expect_line(text, "\nprocess.workers|2|auto|8|restart\n");
    expect_line(text, "\nprocess.log.level|info|info|0|\n");
    cr_expect_null(strstr(text, "\nweb."), "a plane that is off has no values");
    cr_expect_null(strstr(text, "\nfleet"), "nor has what is not available");
    free(text);
    config_free(config);
}

Test(describe, shows_lists_in_one_line)
{
    struct config *config = load_good(
        rollout_text, "    - name: a\n"
                      "      allow: [ employees, { cookie: \"x=1\", from: [ \"::1\" ] } ]\n");
    char *text = describe(config);

    expect_line(text, "\nrollout.identity|[ cookie:uid ]|[]|10|\n");
    expect_line(text, "\nrollout.deny|[]|[]|0|\n");
    expect_line(text, "\nrollout.stages[0].allow[0]|{ header: X-Employee: 1 }|[]|14|\n");
    expect_line(text, "\nrollout.stages[0].allow[2]|{ cookie: x=1, from: [ ::1/128 ] }|[]|14|\n");
    free(text);
    config_free(config);
}

Test(plan, names_who_is_let_in)
{
    static const char source[] = "arms: [ { name: a }, { name: b } ]\n"
                                 "cache:\n"
                                 "  servers: [ \"h:2\" ]\n"
                                 "  listen:\n"
                                 "    - address: \"unix:/s\"\n"
                                 "      sasl: /users\n"
                                 "      arms:\n"
                                 "        - { user: \"web3-*\", arm: b }\n"
                                 "        - { uid: 0, arm: a }\n"
                                 "        - { executable: /usr/bin/x, arm: b }\n";
    struct config_faults faults;
    struct config *config = config_load_text("t", source, strlen(source), &faults);
    char *text = describe(config);
    char *plan;
    size_t size;
    FILE *out = open_memstream(&plan, &size);

    config_faults_free(&faults);
    expect_line(text, "\ncache.listen[0].arm|none|none|0|\n");
    expect_line(text, "\ncache.listen[0].arms[0].user|web3-*|any|8|\n");
    expect_line(text, "\ncache.listen[0].arms[0].uid|any|any|0|\n");
    expect_line(text, "\ncache.listen[0].arms[1].user|any|any|0|\n");
    expect_line(text, "\ncache.listen[0].arms[1].uid|0|any|9|\n");
    config_print_plan(config, out);
    fclose(out);
    expect_line(plan, "  listen    unix:/s, arm by client, first match wins\n"
                      "    user web3-*: b\n"
                      "    uid 0: a\n"
                      "    executable /usr/bin/x: b\n"
                      "    all others: refused\n");
    free(plan);
    free(text);
    config_free(config);
}

Test(plan, says_how_keys_are_treated)
{
    static const char *const choices[] = { "keep", "hash", "refuse" };
    static const char *const said[] = { "kept, but for the arms' own namespaces", "hashed",
                                        "refused" };

    for (size_t i = 0; i < 3; i++) {
        struct config_faults faults;
        struct config *config;
        char source[512];
        char line[128];
        char *plan;
        size_t size;
        FILE *out = open_memstream(&plan, &size);

        (void)snprintf(source, sizeof(source),
                       "arms: [ { name: a }, { name: b } ]\n"
                       "cache:\n"
                       "  servers: [ \"h:2\" ]\n"
                       "  listen: [ { address: \"h:1\", arm: a } ]\n"
                       "  client_profile: python\n"
                       "  reserved_keys: %s\n"
                       "  keys:\n"
                       "    - { match: \"j:*\", scope: shared, guard: true }\n"
                       "    - { match: \"l:*\", scope: shared }\n"
                       "    - { match: \"w:*\", writes: mutate }\n",
                       choices[i]);
        config = config_load_text("t", source, strlen(source), &faults);
        cr_assert_not_null(config, "%s", faults.faults[0].text);
        config_faults_free(&faults);
        config_print_plan(config, out);
        fclose(out);
        (void)snprintf(line, sizeof(line),
                       "\n  reserved  keys without a prefix that look like they had one: %s\n",
                       said[i]);
        expect_line(plan, line);
        expect_line(plan, "shared    -          guarded\n");
        expect_line(plan, "shared    -          -\n");
        expect_line(plan, "isolated  fanout     mutate\n");
        free(plan);
        config_free(config);
    }
}

Test(plan, names_what_will_happen)
{
    struct config *config =
        load_good(rollout_text, "    - { name: dev, allow: [ employees ], bake: 30m }\n"
                                "    - { name: canary, percent: 0.1, bake: 2h }\n"
                                "    - { name: all, percent: 100, bake: 1d, on_fail: hold }\n");
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    config_print_plan(config, out);
    fclose(out);
    expect_line(text, "cache plane: off");
    expect_line(text, "py2           stable     (no prefix)");
    expect_line(text, "py3           candidate  py3.<generation>:");
    expect_line(text, "listen    127.0.0.1:8080");
    expect_line(
        text,
        "   1. dev                 0 %        2       30m         30m  manual   rolls back\n");
    expect_line(
        text,
        "   2. canary            0.1 %        2        2h      2h 30m  manual   rolls back\n");
    expect_line(text,
                "   3. all               100 %        2        1d       1d 2h  manual   holds\n");
    free(text);
    config_free(config);
}
