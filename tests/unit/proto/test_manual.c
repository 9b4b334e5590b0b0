/* Keeps doc/crossfadectl.1 and the command table equal: each command with its arguments, level and
 * help. */
#include "crossfade/proto/control_commands.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_MAX (1 << 16)
#define ITEM "\n.It Ic "

static char *read_page(const char *name)
{
    char path[1024];
    char *text = calloc(1, PAGE_MAX);
    FILE *in;

    (void)snprintf(path, sizeof(path), "%s/%s", MANUALS, name);
    in = fopen(path, "r");
    cr_assert_not_null(in, "%s", path);
    cr_assert_lt(fread(text, 1, PAGE_MAX - 1, in), PAGE_MAX - 1);
    fclose(in);
    return text;
}

/* "[ARM] KEY" as the page marks it up. */
static void mark_up(const char *arguments, char *out, size_t size)
{
    out[0] = '\0';
    while (arguments[0] != '\0') {
        int len = (int)strcspn(arguments, " ");
        size_t at = strlen(out);
        if (arguments[0] == '[')
            (void)snprintf(out + at, size - at, " Oo Ar %.*s Oc", len - 2, arguments + 1);
        else
            (void)snprintf(out + at, size - at, " Ar %.*s", len, arguments);
        arguments += len;
        arguments += strspn(arguments, " ");
    }
}

Test(manual, has_every_command_with_its_level_and_no_other)
{
    char *text = read_page("crossfadectl.1");
    size_t items = 0;

    for (int i = 0; i < VERB_COUNT; i++) {
        const struct control_command *row = &control_commands[i];
        char arguments[128];
        char item[512];
        mark_up(row->arguments, arguments, sizeof(arguments));
        (void)snprintf(item, sizeof(item), ITEM "%s%s Pq %s\n%c%s.\n", row->name, arguments,
                       control_level_name(row->level), toupper((unsigned char)row->help[0]),
                       row->help + 1);
        cr_expect_not_null(strstr(text, item), "the manual page does not have: %s", item + 1);
    }
    for (const char *at = strstr(text, ITEM); at != NULL; at = strstr(at + 1, ITEM))
        items++;
    cr_expect_eq(items, VERB_COUNT);
    free(text);
}
