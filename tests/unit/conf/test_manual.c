/* Keeps doc/crossfade.yaml.5 and the schema equal: each key of the one is in the other, with its
 * default. */
#include "crossfade/conf/schema.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ITEM "\n.It Cm "
#define ROWS_MAX 512

struct manual {
    char *text;
    const struct schema_row *rows[ROWS_MAX]; /* those that have been looked at */
    size_t count;
    size_t items;    /* that the page has to have */
    char later[256]; /* the last path that is of a later version; what is in it needs no item */
};

static char *read_page(const char *name)
{
    char path[1024];
    char *text = calloc(1, 1 << 16);
    FILE *in;

    (void)snprintf(path, sizeof(path), "%s/%s", MANUALS, name);
    in = fopen(path, "r");
    cr_assert_not_null(in, "%s", path);
    cr_assert_lt(fread(text, 1, (1 << 16) - 1, in), (1 << 16) - 1);
    fclose(in);
    return text;
}

/* What stands in parentheses behind a key: what holds when it is left out. */
static const char *left_out(const struct schema_row *row)
{
    if (row->flags & SCHEMA_REQUIRED)
        return "required";
    if (row->note != NULL)
        return row->note;
    if (row->standard == NULL)
        return NULL;
    if (row->standard[0] == '\0')
        return "\\(dq\\(dq";
    return strcmp(row->standard, "[]") == 0 || strcmp(row->standard, "{}") == 0 ? "none"
                                                                                : row->standard;
}

static void look(void *context, const char *path, const struct schema_row *row)
{
    struct manual *manual = context;
    const char *standard = row->flags & SCHEMA_LATER ? NULL : left_out(row);
    size_t later = strlen(manual->later);
    char item[512];
    const char *at;

    for (size_t i = 0; i < manual->count; i++)
        if (manual->rows[i] == row)
            return; /* a table that several sections share, such as those of matches */
    cr_assert_lt(manual->count, ROWS_MAX);
    manual->rows[manual->count++] = row;
    if (later > 0 && strncmp(path, manual->later, later) == 0 &&
        (path[later] == '.' || path[later] == '['))
        return;
    if (row->flags & SCHEMA_LATER)
        (void)snprintf(manual->later, sizeof(manual->later), "%s", path);
    else if (row->kind == SCHEMA_SECTION)
        return; /* its keys say what it is in */
    (void)snprintf(item, sizeof(item), ITEM "%s%s%s\n", path, standard != NULL ? " Pq " : "",
                   standard != NULL ? standard : "");
    at = strstr(manual->text, item);
    cr_expect_not_null(at, "the manual page does not have the line \"%s\"", item + 1);
    if (at != NULL && (row->flags & SCHEMA_LATER))
        cr_expect_lt(strstr(manual->text, ".Sh KEYS OF LATER VERSIONS"), at, "%s", path);
    manual->items++;
}

Test(manual, has_every_key_of_the_schema_with_its_default_and_no_other)
{
    struct manual manual = { .text = read_page("crossfade.yaml.5") };
    size_t items = 0;

    schema_walk(look, &manual);
    for (const char *at = strstr(manual.text, ITEM); at != NULL; at = strstr(at + 1, ITEM))
        items++;
    cr_expect_eq(items, manual.items, "the manual page has %zu keys, the schema %zu", items,
                 manual.items);
    cr_expect_gt(items, 50);
    free(manual.text);
}
