#include "crossfade/proto/control_commands.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

static int find(const char *first, const char *second, unsigned *used, const char **nearest)
{
    char one[64];
    char two[64];
    char *words[] = { one, two };

    (void)strncpy(one, first, sizeof(one) - 1);
    one[sizeof(one) - 1] = '\0';
    (void)strncpy(two, second != NULL ? second : "", sizeof(two) - 1);
    two[sizeof(two) - 1] = '\0';
    return control_command_find(words, second != NULL ? 2 : 1, used, nearest);
}

Test(control_commands, every_row_is_whole_and_found_by_its_name)
{
    for (int i = 0; i < VERB_COUNT; i++) {
        const struct control_command *row = &control_commands[i];
        char name[64];
        char *space;
        unsigned used = 0;
        const char *nearest;

        cr_assert_not_null(row->name, "row %d", i);
        cr_expect_not_null(row->group);
        cr_expect_gt(strlen(row->help), 0);
        cr_expect_leq(row->least, row->most);
        cr_expect_eq(row->most == 0, row->arguments[0] == '\0', "%s", row->name);
        (void)strcpy(name, row->name);
        space = strchr(name, ' ');
        if (space != NULL)
            *space = '\0';
        cr_expect_eq(find(name, space != NULL ? space + 1 : NULL, &used, &nearest), i, "%s",
                     row->name);
        cr_expect_eq(used, space != NULL ? 2 : 1);
    }
}

Test(control_commands, who_may_do_what)
{
    /* What only shows is for everybody; what changes users' arms or the process is not. */
    for (int i = 0; i < VERB_COUNT; i++) {
        const struct control_command *row = &control_commands[i];
        bool changes = strcmp(row->group, "see") != 0;
        cr_expect_eq(row->level > CONTROL_READ, changes, "%s", row->name);
        cr_expect_eq((row->options & OPTION_REASON) != 0, strcmp(row->group, "rollout") == 0, "%s",
                     row->name);
    }
    cr_expect_eq(control_commands[VERB_RELOAD].level, CONTROL_ADMIN);
    cr_expect_eq(control_commands[VERB_SHUTDOWN].level, CONTROL_ADMIN);
    cr_expect_not(control_commands[VERB_ABORT].confirm, "nobody is asked in an emergency");
    cr_expect(control_commands[VERB_PROMOTE].confirm);
    cr_expect(control_commands[VERB_PERCENT].confirm);
    cr_expect(control_commands[VERB_ADVANCE].confirm);
}

static void expect_nearest(const char *first, const char *second, const char *wanted)
{
    unsigned used;
    const char *nearest = "";

    cr_assert_eq(find(first, second, &used, &nearest), -1, "%s", first);
    if (wanted == NULL)
        cr_expect_null(nearest, "%s: %s", first, nearest);
    else
        cr_expect(nearest != NULL && strcmp(nearest, wanted) == 0, "%s: %s, not %s", first,
                  nearest != NULL ? nearest : "nothing", wanted);
}

Test(control_commands, the_name_that_was_likely_meant)
{
    expect_nearest("show", "rolout", "show rollout");
    expect_nearest("shwo", "servers", "show servers");
    expect_nearest("promte", NULL, "promote");
    expect_nearest("abrot", "now", "abort");
    expect_nearest("", NULL, NULL);
    expect_nearest("show", NULL, NULL);
    expect_nearest("wow", NULL, NULL);
    expect_nearest("frobnicate", NULL, NULL);
    expect_nearest("0123456789012345678901234567890123456789", NULL, NULL);
}

static void expect_sentence(const char *first, const char *second, const char *nearest,
                            const char *wanted)
{
    char *words[] = { (char *)(uintptr_t)first, (char *)(uintptr_t)second };
    char out[320];

    control_command_unknown(words, second != NULL ? 2 : 1, nearest, out, sizeof(out));
    cr_expect_str_eq(out, wanted, "%s", out);
}

Test(control_commands, the_sentence_for_a_command_that_there_is_not)
{
    expect_sentence("promte", "x", "promote",
                    "there is no command \"promte\"; did you mean \"promote\"?");
    expect_sentence("show", "rolout", "show rollout",
                    "there is no command \"show rolout\"; did you mean \"show rollout\"?");
    expect_sentence("f\x9b", NULL, NULL, "there is no command \"f\\x9b\"; see help");
    expect_sentence("show", NULL, NULL,
                    "show takes one of rollout, arms, stages, cache, servers, backends, stats, "
                    "config, events, suggest, clients");
}
