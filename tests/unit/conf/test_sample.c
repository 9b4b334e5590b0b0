/* Keeps conf/crossfade.yaml and the schema equal: each key of the one is in the other. */
#include "crossfade/conf/schema.h"

#include "faults.h"
#include "loading.h"
#include "tree.h"

#include <criterion/criterion.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#define LATER "#later "
#define ROWS_MAX 512

struct rows {
    const struct schema_row *rows[ROWS_MAX];
    bool seen[ROWS_MAX];
    char *paths[ROWS_MAX];
    size_t count;
};

static char *read_sample(const char *name)
{
    char path[1024];
    FILE *in;
    char *text = calloc(1, 1 << 16);

    (void)snprintf(path, sizeof(path), "%s/%s", SAMPLES, name);
    in = fopen(path, "r");
    cr_assert_not_null(in, "%s", path);
    cr_assert_lt(fread(text, 1, (1 << 16) - 1, in), (1 << 16) - 1);
    fclose(in);
    return text;
}

/* Turns the lines of later features into what they will be. */
static void uncomment(char *text)
{
    char *at = text;
    while ((at = strstr(at, LATER)) != NULL)
        if (at == text || at[-1] == '\n')
            memmove(at, at + strlen(LATER), strlen(at + strlen(LATER)) + 1);
        else
            at++;
}

static void collect(void *context, const char *path, const struct schema_row *row)
{
    struct rows *rows = context;
    for (size_t i = 0; i < rows->count; i++)
        if (rows->rows[i] == row)
            return; /* a table that several sections share, such as tls */
    cr_assert_lt(rows->count, ROWS_MAX);
    rows->rows[rows->count] = row;
    rows->paths[rows->count++] = strdup(path);
}

static void mark_map(struct rows *rows, const struct schema_row *table, const struct node *map);

static void mark(struct rows *rows, const struct schema_row *row, const struct node *node)
{
    for (size_t i = 0; i < rows->count; i++)
        if (rows->rows[i] == row)
            rows->seen[i] = true;
    if (row->kind == SCHEMA_NAMED) {
        for (const struct node *list = node->first; list != NULL; list = list->next)
            for (const struct node *entry = list->first; entry != NULL; entry = entry->next)
                mark_map(rows, row->rows, entry);
    } else if (row->kind == SCHEMA_SECTION) {
        mark_map(rows, row->rows, node);
    } else if (row->rows != NULL) {
        for (const struct node *entry = node->first; entry != NULL; entry = entry->next)
            if (entry->kind == NODE_MAP)
                mark_map(rows, row->rows, entry);
    }
}

static void mark_map(struct rows *rows, const struct schema_row *table, const struct node *map)
{
    for (const struct node *node = map->first; node != NULL; node = node->next) {
        const struct schema_row *row = table;
        while (row->name != NULL && !slice_equal(node->name, slice_string(row->name)))
            row++;
        cr_expect_not_null(row->name, "line %u: the schema has no key %s", node->name_at.line,
                           node->name.data);
        if (row->name != NULL)
            mark(rows, row, node);
    }
}

Test(sample, has_every_key_of_the_schema_and_no_other)
{
    struct rows *rows = calloc(1, sizeof(*rows));
    char *text = read_sample("crossfade.yaml");
    jmp_buf no_memory;
    struct arena arena = { NULL, &no_memory };
    struct config_faults faults;
    const struct node *root;

    uncomment(text);
    cr_assert(faults_begin(&faults));
    root = tree_read(text, strlen(text), &arena, &faults);
    cr_assert_not_null(root);
    cr_assert_eq(faults.count, 0);
    schema_walk(collect, rows);
    mark_map(rows, schema_root(), root);
    for (size_t i = 0; i < rows->count; i++) {
        cr_expect(rows->seen[i], "the sample does not show %s", rows->paths[i]);
        free(rows->paths[i]);
    }
    faults_end(&faults);
    config_faults_free(&faults);
    arena_deinit(&arena);
    free(rows);
    free(text);
}

Test(sample, samples_load)
{
    static const char *const names[] = { "crossfade.yaml", "sidecar.yaml" };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char *text = read_sample(names[i]);
        config_free(load_good(text, ""));
        free(text);
    }
}

Test(sample, what_is_marked_as_later_is_refused_and_nothing_else)
{
    char *text = read_sample("crossfade.yaml");
    struct config_faults faults;

    uncomment(text);
    cr_assert_null(config_load_text("crossfade.yaml", text, strlen(text), &faults));
    cr_expect_gt(faults.count, 10);
    for (size_t i = 0; i < faults.count; i++)
        cr_expect_not_null(strstr(faults.faults[i].text, "is not available in this version"), "%s",
                           faults.faults[i].text);
    config_faults_free(&faults);
    free(text);
}

struct lines {
    const char *start[1024]; /* of line i + 1 */
};

static const char *line_end(const char *line)
{
    return strchr(line, '\n');
}

static bool has(const char *line, const char *word)
{
    return memmem(line, (size_t)(line_end(line) - line), word, strlen(word)) != NULL;
}

/* A value on a line of its own is the default, or that line or the comment above it says so. */
static void check_default(void *context, const char *path, const char *value, const char *standard,
                          unsigned line, bool restart)
{
    const struct lines *lines = context;
    const char *key = strrchr(path, '.') != NULL ? strrchr(path, '.') + 1 : path;
    const char *at;
    bool said;

    (void)restart;
    if (line == 0 || standard[0] == '\0' || strcmp(value, standard) == 0)
        return;
    at = lines->start[line - 1];
    said = has(at, "default");
    for (unsigned above = line - 1; above > 0; above--) {
        const char *comment = lines->start[above - 1];
        if (comment[strspn(comment, " ")] != '#')
            break;
        said |= has(comment, "efault");
    }
    at += strspn(at, " ");
    if (strncmp(at, key, strlen(key)) != 0)
        return;
    /* 60s is shown as 1m. */
    at += strlen(key) + strspn(at + strlen(key), ": \"");
    cr_expect(said || strncmp(at, standard, strlen(standard)) == 0,
              "line %u: %s is %s, the default is %s", line, path, value, standard);
}

Test(sample, a_value_that_is_not_the_default_says_so)
{
    char *text = read_sample("crossfade.yaml");
    struct config *config = load_good(text, "");
    struct lines lines = { { NULL } };
    size_t count = 0;

    for (const char *at = text; *at != '\0'; at = line_end(at) + 1)
        lines.start[count++] = at;
    config_describe(config, check_default, &lines);
    config_free(config);
    free(text);
}
