#include "loader.h"

#include <stdarg.h>
#include <stdlib.h>

struct describe {
    const struct config *config;
    config_each each;
    void *context;
    char path[LOADER_PATH_MAX];
    /* The value's text: rewound for each. */
    FILE *out;
    char *text;
    size_t size;
};

static unsigned line_of(const struct describe *describe)
{
    const struct place *place = places_find(describe->config->source, describe->path);
    return place != NULL ? place->at.line : 0;
}

static const char *standard_of(const struct schema_row *row)
{
    if (row->standard != NULL)
        return row->standard[0] != '\0' ? row->standard : "\"\"";
    return row->note != NULL ? row->note : "";
}

/* What was printed to `out` is the value at the path. */
static void give(struct describe *describe, const struct schema_row *row)
{
    fputc('\0', describe->out);
    if (fflush(describe->out) == 0 && !ferror(describe->out))
        describe->each(describe->context, describe->path, describe->text, standard_of(row),
                       line_of(describe), (row->flags & SCHEMA_RESTART) != 0);
    rewind(describe->out);
}

static size_t extend(struct describe *describe, size_t len, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static size_t extend(struct describe *describe, size_t len, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    len += (size_t)vsnprintf(describe->path + len, sizeof(describe->path) - len, format, arguments);
    va_end(arguments);
    ensure(len < sizeof(describe->path));
    return len;
}

static void print_values(struct describe *describe, const struct schema_row *row,
                         const char *elements, size_t count)
{
    struct schema_row value = *row;

    value.offset = 0;
    fputs(count > 0 ? "[ " : "[", describe->out);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            fputs(", ", describe->out);
        kind_print(describe->config, &value, row->element, elements + i * row->element_size,
                   describe->out);
    }
    fputs(count > 0 ? " ]" : "]", describe->out);
}

static void take_list(const struct schema_row *row, const char *base, const char **elements,
                      size_t *count)
{
    memcpy(elements, base + row->offset, sizeof(*elements));
    memcpy(count, base + row->count_offset, sizeof(*count));
}

/* One entry of an allow or deny list, in one line. */
static void print_match(struct describe *describe, const struct schema_row *rows, const char *base)
{
    const struct config_match *match = (const void *)base;
    const char *separator = "{ ";

    for (const struct schema_row *row = rows; row->name != NULL; row++) {
        bool given = (row->kind == SCHEMA_HEADER && match->header != NULL) ||
                     (row->kind == SCHEMA_COOKIE && match->cookie != NULL) ||
                     (row->kind == SCHEMA_LIST && match->from_count > 0);
        if (!given || (row->flags & SCHEMA_LATER))
            continue;
        fprintf(describe->out, "%s%s: ", separator, row->name);
        separator = ", ";
        if (row->kind == SCHEMA_LIST)
            print_values(describe, row, (const char *)match->from, match->from_count);
        else
            kind_print(describe->config, row, row->kind, base + row->offset, describe->out);
    }
    fputs(" }", describe->out);
}

static void describe_rows(struct describe *describe, const struct schema_row *rows,
                          const char *base, size_t len);

static void describe_list(struct describe *describe, const struct schema_row *row, const char *base,
                          size_t len)
{
    const char *elements;
    size_t count;

    take_list(row, base, &elements, &count);
    if (row->rows == NULL || count == 0) {
        print_values(describe, row, elements, row->rows == NULL ? count : 0);
        give(describe, row);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        size_t end = extend(describe, len, "[%zu]", i);
        const char *element = elements + i * row->element_size;
        if (row->kind == SCHEMA_MATCHES) {
            print_match(describe, row->rows, element);
            give(describe, row);
        } else {
            describe_rows(describe, row->rows, element, end);
        }
    }
}

static void describe_row(struct describe *describe, const struct schema_row *row, const char *base,
                         size_t len)
{
    bool present = true;

    switch (row->kind) {
    case SCHEMA_SECTION:
        base += row->offset;
        if (row->flags & SCHEMA_OPTIONAL)
            memcpy(&present, base + row->present_offset, sizeof(present));
        if (present)
            describe_rows(describe, row->rows, base, len);
        break;
    case SCHEMA_LIST:
    case SCHEMA_MATCHES:
        describe_list(describe, row, base, len);
        break;
    case SCHEMA_NAMED: /* shown where it is named */
        break;
    default:
        /* Where nothing is kept there is one choice only, the default. */
        if (row->width == 0)
            fputs(standard_of(row), describe->out);
        else
            kind_print(describe->config, row, row->kind, base + row->offset, describe->out);
        give(describe, row);
        break;
    }
}

static void describe_rows(struct describe *describe, const struct schema_row *rows,
                          const char *base, size_t len)
{
    for (const struct schema_row *row = rows; row->name != NULL; row++) {
        if (row->flags & SCHEMA_LATER)
            continue;
        describe_row(describe, row, base,
                     extend(describe, len, "%s%s", len > 0 ? "." : "", row->name));
    }
}

void config_describe(const struct config *config, config_each each, void *context)
{
    struct describe describe = { .config = config, .each = each, .context = context };

    describe.out = open_memstream(&describe.text, &describe.size);
    if (describe.out == NULL)
        return;
    describe_rows(&describe, schema_root(), (const char *)config, 0);
    fclose(describe.out);
    free(describe.text);
}
