/* What the dispatcher lets through, for every row of the command table. */
#include "desk.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A command of the table with as many arguments as it takes at least. */
static void compose(const struct control_command *row, char *out, size_t size)
{
    (void)snprintf(out, size, "%s%s", row->name,
                   row->least == 0                     ? ""
                   : strcmp(row->name, "percent") == 0 ? " 0.1"
                                                       : " some");
}

static bool begins(const char *text, const char *begin)
{
    return strncmp(text, begin, strlen(begin)) == 0;
}

Test(dispatch, a_lower_level_is_denied_and_nothing_happens)
{
    struct desk desk;

    desk_make(&desk, true);
    for (int i = 0; i < VERB_COUNT; i++)
        for (int level = CONTROL_READ; level < (int)control_commands[i].level; level++) {
            char line[128];
            compose(&control_commands[i], line, sizeof(line));
            cr_expect_not(desk_expect(&desk, (enum control_level)level, line, "ERR denied "));
        }
    cr_expect_eq(desk.published + desk.reloads + desk.checks + desk.shutdowns, 0);
    cr_expect_eq(rollout_status(desk.rollout)->generation, 0);
    desk_end(&desk);
}

Test(dispatch, the_level_of_the_row_is_enough)
{
    for (int i = 0; i < VERB_COUNT; i++) {
        const struct control_command *row = &control_commands[i];
        struct desk desk;
        char line[128];
        char *reply;
        desk_make(&desk, true);
        compose(row, line, sizeof(line));
        reply = desk_say(&desk, row->level, line);
        cr_expect_not(begins(reply, "ERR denied"), "%s: %s", line, reply);
        cr_expect_not(begins(reply, "ERR usage"), "%s: %s", line, reply);
        cr_expect_not(begins(reply, "ERR unknown"), "%s: %s", line, reply);
        free(reply);
        desk_end(&desk);
    }
}

Test(dispatch, arguments_are_counted_and_options_are_the_rows_own)
{
    struct desk desk;

    desk_make(&desk, true);
    for (int i = 0; i < VERB_COUNT; i++) {
        const struct control_command *row = &control_commands[i];
        char line[256];
        size_t len;
        (void)snprintf(line, sizeof(line), "%s", row->name);
        for (unsigned n = 0; n <= row->most; n++) {
            len = strlen(line);
            (void)snprintf(line + len, sizeof(line) - len, " 1");
        }
        (void)desk_expect(&desk, CONTROL_ADMIN, line, "ERR usage usage: ");
        if (row->least > 0)
            (void)desk_expect(&desk, CONTROL_ADMIN, row->name, "ERR usage usage: ");
        /* As many arguments as there may be, and then an option of other commands. */
        len = strlen(line) - 2;
        if ((row->options & OPTION_DRAIN) == 0) {
            (void)snprintf(line + len, sizeof(line) - len, " drain=1s");
            (void)desk_expect(&desk, CONTROL_ADMIN, line, "ERR usage usage: ");
        }
        if ((row->options & OPTION_REASON) == 0) {
            (void)snprintf(line + len, sizeof(line) - len, " reason=x");
            (void)desk_expect(&desk, CONTROL_ADMIN, line, "ERR usage usage: ");
        }
    }
    cr_expect_eq(desk.published + desk.reloads + desk.checks + desk.shutdowns, 0);
    desk_end(&desk);
}

Test(dispatch, unknown_commands)
{
    struct desk desk;

    desk_make(&desk, true);
    (void)desk_expect(&desk, CONTROL_READ, "promte",
                      "ERR unknown there is no command \"promte\"; did you mean \"promote\"?");
    (void)desk_expect(&desk, CONTROL_READ, "show", "ERR unknown show takes one of ");
    (void)desk_expect(&desk, CONTROL_READ, "\"\"",
                      "ERR unknown there is no command \"\"; see help");
    (void)desk_expect(&desk, CONTROL_READ, "\x9b\x9b",
                      "ERR unknown there is no command \"\\x9b\\x9b\"");
    desk_end(&desk);
}

Test(dispatch, what_shows_is_one_json_document)
{
    struct desk desk;

    desk_make(&desk, true);
    for (int i = 0; i < VERB_COUNT; i++) {
        const struct control_command *row = &control_commands[i];
        char line[128];
        char *reply;
        json_t *document;
        if ((row->options & OPTION_JSON) == 0)
            continue;
        compose(row, line, sizeof(line));
        (void)desk_expect(&desk, CONTROL_READ, line, "OK\n");
        (void)strcat(line, " --json");
        (void)desk_expect(&desk, CONTROL_READ, line, "OK\n");
        reply = desk_say(&desk, CONTROL_READ, line);
        document = json_loads(reply + strlen("OK\n"), 0, NULL);
        cr_expect_not_null(document, "%s: %s", line, reply);
        json_decref(document);
        free(reply);
    }
    desk_end(&desk);
}

Test(dispatch, shows_who_is_connected)
{
    static struct mc_census census = { .total = 7, .count = 2 };
    struct desk desk;
    char *reply;
    json_t *rows;

    census.rows[0] = (struct mc_census_row){ .who = "user alice",
                                             .arm = "py2",
                                             .listener = "127.0.0.1:1",
                                             .peer = "127.0.0.1:2",
                                             .protocol = "binary",
                                             .stage = "served",
                                             .tls = true,
                                             .since = 3661000000 };
    census.rows[1] = (struct mc_census_row){ .protocol = "", .stage = "has to log in" };
    desk_make(&desk, true);
    desk.census = &census;
    reply = desk_say(&desk, CONTROL_READ, "show clients");
    cr_expect_not_null(strstr(reply, "2 of 7 clients"), "%s", reply);
    cr_expect_not_null(strstr(reply, "1 h 1 m"), "%s", reply);
    free(reply);
    reply = desk_say(&desk, CONTROL_READ, "show clients 1 --json");
    rows = json_loads(strchr(reply, '\n'), 0, NULL);
    cr_assert_eq(json_array_size(rows), 1, "%s", reply);
    cr_expect_str_eq(json_string_value(json_object_get(json_array_get(rows, 0), "who")),
                     "user alice");
    json_decref(rows);
    free(reply);
    (void)desk_expect(&desk, CONTROL_READ, "show clients 0", "ERR usage COUNT is a number");
    (void)desk_expect(&desk, CONTROL_READ, "show clients x", "ERR usage COUNT is a number");
    desk.blind = true;
    (void)desk_expect(&desk, CONTROL_READ, "show clients", "ERR timeout a worker did not tell");
    desk_end(&desk);
}

Test(dispatch, without_a_rollout)
{
    static const char *const lines[] = { "show rollout", "show stages", "show events", "why x",
                                         "start",        "abort",       "reset" };
    struct desk desk;

    desk_make(&desk, false);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        (void)desk_expect(&desk, CONTROL_ADMIN, lines[i], "ERR refused there is no rollout: ");
    cr_expect_eq(desk.published, 0);
    desk_end(&desk);
}

Test(dispatch, a_change_is_published_before_its_reply)
{
    struct desk desk;

    desk_make(&desk, true);
    (void)desk_expect(&desk, CONTROL_OPERATE, "start reason=\"the \\\"release\\\"; at last\"",
                      "OK ");
    cr_expect_eq(desk.published, 1);
    cr_expect_eq(desk.generation_published, rollout_status(desk.rollout)->generation);
    cr_expect_str_eq(rollout_status(desk.rollout)->reason, "the \"release\"; at last");
    cr_expect_str_eq(rollout_status(desk.rollout)->by, "alice (uid 1000, pid 7)");
    (void)desk_expect(&desk, CONTROL_OPERATE, "start", "ERR refused ");
    cr_expect_eq(desk.published, 1, "what was refused is not published");
    (void)desk_expect(&desk, CONTROL_OPERATE, "advance if-generation=99", "ERR refused ");
    (void)desk_expect(&desk, CONTROL_OPERATE, "advance if-generation=-1",
                      "ERR usage if-generation");
    (void)desk_expect(&desk, CONTROL_OPERATE, "percent 101", "ERR usage the percentage ");
    (void)desk_expect(&desk, CONTROL_OPERATE, "percent 0.00001", "ERR usage the percentage ");
    (void)desk_expect(&desk, CONTROL_OPERATE, "percent", "ERR usage usage: percent P");
    cr_expect_eq(desk.published, 1);
    (void)desk_expect(&desk, CONTROL_OPERATE, "advance if-generation=1", "OK ");
    cr_expect_eq(rollout_status(desk.rollout)->percent, 20 * PERCENT_ONE);
    desk_end(&desk);
}

Test(dispatch, a_change_that_a_worker_has_not_taken_is_no_success)
{
    struct desk desk;

    desk_make(&desk, true);
    desk.publish_fails = true;
    (void)desk_expect(&desk, CONTROL_OPERATE, "start", "ERR timeout ");
    cr_expect_eq(rollout_status(desk.rollout)->state, ROLLOUT_RUNNING);
    desk_end(&desk);
}

Test(dispatch, reload_and_its_check)
{
    struct desk desk;

    desk_make(&desk, true);
    (void)desk_expect(&desk, CONTROL_ADMIN, "reload --check", "OK no fault\n");
    cr_expect(desk.checks == 1 && desk.reloads == 0);
    (void)desk_expect(&desk, CONTROL_ADMIN, "reload", "OK reloaded\n");
    desk.reload_fails = true;
    (void)desk_expect(&desk, CONTROL_ADMIN, "reload", "ERR failed two faults\n \nfile:1:2: bad\n");
    cr_expect_eq(desk.reloads, 2);
    desk_end(&desk);
}

Test(dispatch, shutdown_comes_after_the_reply_and_ends_the_batch)
{
    struct desk desk;
    char *reply;
    const char *stopping;

    desk_make(&desk, true);
    cr_expect_not(desk_expect(&desk, CONTROL_ADMIN, "shutdown drain=1", "ERR usage drain "));
    cr_expect(
        desk_expect(&desk, CONTROL_ADMIN, "shutdown drain=250ms", "OK stopping, at most 0.2"));
    cr_expect(desk_expect(&desk, CONTROL_ADMIN, "shutdown", "OK stopping, at most 30.0 s"));
    cr_expect_eq(desk.shutdowns, 0, "the one who writes the reply out stops the daemon");
    reply = desk_say(&desk, CONTROL_ADMIN, "pause; shutdown; start");
    stopping = strstr(reply, "OK stopping");
    cr_assert_not_null(stopping, "%s", reply);
    cr_expect_str_eq(strstr(stopping, "\n\n"), "\n\n", "nothing is done behind it");
    free(reply);
    desk_end(&desk);
}

Test(dispatch, explain_is_answered_when_its_server_is)
{
    struct desk desk;
    char *reply;

    desk_make(&desk, true);
    desk.looks = false;
    reply = desk_say(&desk, CONTROL_READ, "explain k --json");
    cr_expect_not_null(strstr(reply, "\"value\":\"unknown\""), "%s", reply);
    cr_expect_null(strstr(reply, "\"item\""), "%s", reply);
    free(reply);
    desk.looks = true;
    reply = desk_say(&desk, CONTROL_READ, "explain k --json");
    cr_expect_not_null(strstr(reply, "\"value\":\"none\""), "%s", reply);
    free(reply);
    desk.slow = true;
    reply = desk_say(&desk, CONTROL_READ, "explain k");
    cr_expect_eq(strncmp(reply, "OK What is there is not known: ", 31), 0, "%s", reply);
    free(reply);
    desk.gone = true;
    reply = desk_say(&desk, CONTROL_READ, "explain k");
    cr_expect_str_empty(reply);
    free(reply);
    desk_end(&desk);
}

Test(dispatch, bytes_of_a_peer_are_shown_escaped)
{
    struct desk desk;
    char *reply;
    json_t *document;

    desk_make(&desk, true);
    reply = desk_say(&desk, CONTROL_READ, "explain \"a\x9b z\"");
    cr_expect_null(strchr(reply, '\x9b'), "%s", reply);
    cr_expect_not_null(strstr(reply, "a\\x9b z"), "%s", reply);
    free(reply);
    /* JSON is UTF-8 whatever the bytes were, and says which they were. */
    reply = desk_say(&desk, CONTROL_READ, "why \"a\x9b\" --json");
    document = json_loads(reply + strlen("OK\n"), 0, NULL);
    cr_expect_str_eq(json_string_value(json_object_get(document, "identity")), "a\\x9b");
    json_decref(document);
    free(reply);
    free(desk_say(&desk, CONTROL_OPERATE, "start reason=\"caf\xe9\""));
    reply = desk_say(&desk, CONTROL_READ, "show rollout --json");
    document = json_loads(reply + strlen("OK\n"), 0, NULL);
    cr_expect(json_is_string(json_object_get(document, "reason")), "%s", reply);
    json_decref(document);
    free(reply);
    desk_end(&desk);
}
