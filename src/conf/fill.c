#include "loader.h"

#include "faults.h"

#include <inttypes.h>
#include <stdarg.h>

static void fill_section(struct loader *loader, const struct schema_row *rows,
                         const struct node *node, char *base);

static void fault(struct loader *loader, struct position at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A fault at the current path. */
static void fault(struct loader *loader, struct position at, const char *format, ...)
{
    char text[768];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    faults_add(loader->faults, at, "%s %s", loader->path_len > 0 ? loader->path : "the file", text);
}

static size_t push(struct loader *loader, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Names in a path come from the schema, or were checked for their length: it always fits. */
static size_t push(struct loader *loader, const char *format, ...)
{
    size_t before = loader->path_len;
    va_list arguments;
    int len;

    va_start(arguments, format);
    len = vsnprintf(loader->path + before, sizeof(loader->path) - before, format, arguments);
    va_end(arguments);
    ensure(len >= 0 && before + (size_t)len < sizeof(loader->path));
    loader->path_len += (size_t)len;
    return before;
}

static void pop(struct loader *loader, size_t before)
{
    loader->path_len = before;
    loader->path[before] = '\0';
}

static size_t push_name(struct loader *loader, const char *name)
{
    return push(loader, "%s%s", loader->path_len > 0 ? "." : "", name);
}

static void fault_missing(struct loader *loader, struct position at, const struct schema_row *row)
{
    if (loader->absent == 0)
        fault(loader, at, "is missing; it is needed (%s)", row->help);
}

static void parse_value(struct loader *loader, const struct schema_row *row, enum schema_kind kind,
                        const struct node *node, void *field)
{
    struct why why;
    char text[96];

    if (node->kind == NODE_REFUSED)
        return;
    if (node->kind != NODE_SCALAR) {
        fault(loader, node->at, "is a single value, not a %s",
              node->kind == NODE_LIST ? "list" : "section");
        return;
    }
    if (!kind_parse(loader, row, kind, node->text, field, &why))
        fault(loader, node->at, "\"%s\" %s", slice_escape(node->text, text, sizeof(text)),
              why.text);
}

/* A mode or user that is not given and an arm that does not exist are no valid value of theirs. */
static void fill_unset(const struct schema_row *row, void *field)
{
    static const int unset = -1;
    static const int64_t nobody = -1;

    if (row->kind == SCHEMA_UID)
        memcpy(field, &nobody, sizeof(nobody));
    if (row->kind == SCHEMA_MODE || row->kind == SCHEMA_ARM)
        memcpy(field, &unset, sizeof(unset));
}

static void fill_value(struct loader *loader, const struct schema_row *row, const struct node *node,
                       struct position around, void *field)
{
    struct why why;

    fill_unset(row, field);
    if (node != NULL)
        parse_value(loader, row, row->kind, node, field);
    else if (row->standard != NULL)
        ensure(kind_parse(loader, row, row->kind, slice_string(row->standard), field, &why));
    else if (row->flags & SCHEMA_REQUIRED)
        fault_missing(loader, around, row);
}

static const struct schema_row *find_row(const struct schema_row *rows, const char *name)
{
    while (strcmp(rows->name, name) != 0)
        rows++;
    return rows;
}

/* The list that a scalar names, or NULL after a fault. */
static const struct named_list *find_list(struct loader *loader, const struct node *name)
{
    struct nearest nearest;
    char text[96];
    char hint[96];

    nearest_begin(&nearest, name->text);
    for (size_t i = 0; i < loader->list_count; i++) {
        if (slice_equal(loader->lists[i].name, name->text))
            return &loader->lists[i];
        nearest_offer(&nearest, loader->lists[i].name);
    }
    fault(loader, name->at, "\"%s\" is no list under rollout.lists%s",
          slice_escape(name->text, text, sizeof(text)), nearest_hint(&nearest, hint, sizeof(hint)));
    return NULL;
}

static void fill_element(struct loader *loader, const struct schema_row *row,
                         const struct node *node, char *element)
{
    size_t before;

    if (node->kind == NODE_REFUSED)
        return;
    if (row->rows == NULL) {
        /* The row's own offset is that of the list; kind_parse takes it for the value's. */
        struct schema_row value = *row;
        value.offset = 0;
        parse_value(loader, &value, row->element, node, element);
    } else if (node->kind == NODE_MAP) {
        if (node->count == 0 && row->shorthand == NULL)
            fault(loader, node->at, "is empty; say what it is for");
        fill_section(loader, row->rows, node, element);
    } else if (node->kind == NODE_SCALAR && row->shorthand != NULL) {
        const struct schema_row *only = find_row(row->rows, row->shorthand);
        loader->absent++;
        fill_section(loader, row->rows, NULL, element);
        loader->absent--;
        before = push_name(loader, only->name);
        places_add(loader, node->at);
        pop(loader, before);
        parse_value(loader, only, only->kind, node, element + only->offset);
    } else {
        fault(loader, node->at, "has to be a section of keys, such as { %s: ... }",
              row->shorthand != NULL ? row->shorthand : row->rows->name);
    }
}

struct list {
    const struct schema_row *row;
    char *elements;
    size_t count;
    size_t room;
    bool too_long;
};

/* Room for one more, or NULL after a fault. */
static char *add_element(struct loader *loader, struct list *list, struct position at)
{
    size_t before;

    if (list->count == list->room) {
        if (!list->too_long)
            fault(loader, at, "has too many entries; at most %zu are allowed", list->room);
        list->too_long = true;
        return NULL;
    }
    before = push(loader, "[%zu]", list->count);
    places_add(loader, at);
    pop(loader, before);
    return list->elements + list->count++ * list->row->element_size;
}

static void add_node(struct loader *loader, struct list *list, const struct node *node)
{
    char *element = add_element(loader, list, node->at);
    size_t before;

    if (element == NULL)
        return;
    before = push(loader, "[%zu]", list->count - 1);
    fill_element(loader, list->row, node, element);
    pop(loader, before);
}

static void add_named(struct loader *loader, struct list *list, const struct node *name)
{
    const struct named_list *named = find_list(loader, name);

    if (named == NULL)
        return;
    for (size_t i = 0; i < named->count; i++) {
        char *element = add_element(loader, list, name->at);
        if (element == NULL)
            return;
        memcpy(element, named->elements + i * list->row->element_size, list->row->element_size);
    }
}

static bool names_a_list(const struct schema_row *row, const struct node *node)
{
    return row->kind == SCHEMA_MATCHES && node->kind == NODE_SCALAR;
}

/* An upper bound, and never more than the row allows. */
static size_t count_entries(const struct loader *loader, const struct schema_row *row,
                            const struct node *node)
{
    size_t count = 0;

    for (const struct node *child = node->first; child != NULL; child = child->next) {
        count++;
        for (size_t i = 0; names_a_list(row, child) && i < loader->list_count; i++)
            if (slice_equal(loader->lists[i].name, child->text))
                count += loader->lists[i].count;
        if (row->high > 0 && count > row->high)
            return (size_t)row->high;
    }
    return count;
}

static void fill_list(struct loader *loader, const struct schema_row *row, const struct node *node,
                      struct position around, char *base)
{
    struct list list = { .row = row };

    if (node == NULL) {
        if (row->flags & SCHEMA_REQUIRED)
            fault_missing(loader, around, row);
        return;
    }
    if (node->kind != NODE_LIST) {
        if (node->kind != NODE_REFUSED)
            fault(loader, node->at,
                  "is a list; write [ ... ] around it, or - in front of each entry");
        return;
    }
    if (node->count < row->low) {
        fault(loader, node->at, "needs at least %" PRIu64 " entr%s (%s)", row->low,
              row->low == 1 ? "y" : "ies", row->help);
        return;
    }
    list.room = count_entries(loader, row, node);
    if (list.room == 0)
        return;
    list.elements = arena_alloc(&loader->source->arena, list.room * row->element_size);
    for (const struct node *child = node->first; child != NULL; child = child->next) {
        if (names_a_list(row, child))
            add_named(loader, &list, child);
        else
            add_node(loader, &list, child);
    }
    memcpy(base + row->offset, &list.elements, sizeof(list.elements));
    memcpy(base + row->count_offset, &list.count, sizeof(list.count));
}

/* Where a named list's elements go, laid out as a section's structure. */
struct named_target {
    char *elements;
    size_t count;
};

static void fill_named_list(struct loader *loader, const struct schema_row *row,
                            const struct node *node)
{
    struct schema_row list = *row;
    struct named_target target = { NULL, 0 };
    char name[72];
    size_t before;

    if (node->name.len == 0 || node->name.len > 64 || !value_is_word(node->name)) {
        fault(loader, node->name_at,
              "\"%s\" is no name for a list; use up to 64 letters, digits, _ and -",
              slice_escape(node->name, name, sizeof(name)));
        return;
    }
    list.kind = SCHEMA_LIST;
    list.offset = offsetof(struct named_target, elements);
    list.count_offset = offsetof(struct named_target, count);
    before = push_name(loader, slice_escape(node->name, name, sizeof(name)));
    fill_list(loader, &list, node, node->at, (char *)&target);
    pop(loader, before);
    loader->lists[loader->list_count++] =
        (struct named_list){ node->name, target.elements, target.count };
}

/* The lists that others name. */
static void fill_named(struct loader *loader, const struct schema_row *row, const struct node *node)
{
    if (node == NULL || node->kind == NODE_REFUSED)
        return;
    if (node->kind != NODE_MAP) {
        fault(loader, node->at, "is a section; write NAME: [ ... ] for each list");
        return;
    }
    if (node->count > 0)
        loader->lists = arena_alloc(&loader->source->arena, node->count * sizeof(*loader->lists));
    for (const struct node *child = node->first; child != NULL; child = child->next)
        fill_named_list(loader, row, child);
}

static bool refuse_later(struct loader *loader, const struct schema_row *row,
                         const struct node *node)
{
    if (!(row->flags & SCHEMA_LATER))
        return false;
    if (node != NULL && !(node->kind == NODE_LIST && node->count == 0))
        fault(loader, node->name_at, "is not available in this version; take it out");
    return true;
}

static void fill_subsection(struct loader *loader, const struct schema_row *row,
                            const struct node *node, char *base)
{
    bool usable = node != NULL && node->kind == NODE_MAP;

    if (node != NULL && node->kind != NODE_MAP && node->kind != NODE_REFUSED)
        fault(loader, node->at, "is a section; put its keys below it, further to the right");
    if (row->flags & SCHEMA_OPTIONAL) {
        bool present = usable;
        memcpy(base + row->offset + row->present_offset, &present, sizeof(present));
    }
    /* Keys are missing from a section only if it is there, or has to be. */
    if (!usable)
        loader->absent++;
    fill_section(loader, row->rows, usable ? node : NULL, base + row->offset);
    if (!usable)
        loader->absent--;
}

static void fill_row(struct loader *loader, const struct schema_row *row, const struct node *node,
                     struct position around, char *base)
{
    if (refuse_later(loader, row, node))
        return;
    if (node != NULL)
        places_add(loader, node->at);
    if (node != NULL && node_is_null(node)) {
        fault(loader, node->name_at, "has no value; give it one, or take the line out");
        loader->absent++;
        fill_row(loader, row, NULL, around, base);
        loader->absent--;
        return;
    }
    switch (row->kind) {
    case SCHEMA_SECTION:
        fill_subsection(loader, row, node, base);
        break;
    case SCHEMA_LIST:
    case SCHEMA_MATCHES:
        fill_list(loader, row, node, around, base);
        break;
    case SCHEMA_NAMED:
        fill_named(loader, row, node);
        break;
    default:
        fill_value(loader, row, node, around, base + row->offset);
        break;
    }
}

struct elsewhere {
    struct slice name;
    char path[128];
};

/* Somebody who writes `coherence` at the top most likely means cache.coherence. */
static void look_elsewhere(void *context, const char *path, const struct schema_row *row)
{
    struct elsewhere *elsewhere = context;

    if (elsewhere->path[0] == '\0' && slice_equal(slice_string(row->name), elsewhere->name))
        (void)snprintf(elsewhere->path, sizeof(elsewhere->path), "%s", path);
}

static void fault_unknown(struct loader *loader, const struct schema_row *rows,
                          const struct node *node)
{
    struct elsewhere elsewhere = { .name = node->name };
    struct nearest nearest;
    char name[96];
    char known[512] = "";
    char hint[96];
    size_t at = 0;

    slice_escape(node->name, name, sizeof(name));
    nearest_begin(&nearest, node->name);
    for (const struct schema_row *row = rows; row->name != NULL; row++) {
        nearest_offer(&nearest, slice_string(row->name));
        if (at < sizeof(known))
            at += (size_t)snprintf(known + at, sizeof(known) - at, "%s%s", at > 0 ? ", " : "",
                                   row->name);
    }
    schema_walk(look_elsewhere, &elsewhere);
    if (nearest.best.data != NULL)
        fault(loader, node->name_at, "has no key %s%s", name,
              nearest_hint(&nearest, hint, sizeof(hint)));
    else if (elsewhere.path[0] != '\0')
        fault(loader, node->name_at, "has no key %s; did you mean %s?", name, elsewhere.path);
    else
        fault(loader, node->name_at, "has no key %s; the keys here are %s", name, known);
}

static void fill_section(struct loader *loader, const struct schema_row *rows,
                         const struct node *node, char *base)
{
    static const struct position whole = { 1, 1 };

    for (const struct schema_row *row = rows; row->name != NULL; row++) {
        const struct node *child = node != NULL ? node_child(node, slice_string(row->name)) : NULL;
        size_t before = push_name(loader, row->name);
        fill_row(loader, row, child, node != NULL ? node->at : whole, base);
        pop(loader, before);
    }
    if (node == NULL)
        return;
    for (const struct node *child = node->first; child != NULL; child = child->next) {
        const struct schema_row *row = rows;
        while (row->name != NULL && !slice_equal(child->name, slice_string(row->name)))
            row++;
        if (row->name == NULL)
            fault_unknown(loader, rows, child);
    }
}

void fill_config(struct loader *loader, const struct node *root)
{
    if (root->kind != NODE_MAP) {
        if (root->kind != NODE_REFUSED)
            faults_add(loader->faults, root->at,
                       "this is no configuration; it has keys such as arms: and cache:");
        return;
    }
    fill_section(loader, schema_root(), root, (char *)loader->config);
}
