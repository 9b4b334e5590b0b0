#include "tree.h"

#include "faults.h"

#include <yaml.h>

struct reader {
    yaml_parser_t parser;
    yaml_event_t event;
    bool held; /* there is an event to delete */
    const char *text;
    size_t len;
    struct arena *arena;
    struct config_faults *faults;
};

static struct position position_of(const yaml_mark_t *mark)
{
    return (struct position){ (unsigned)mark->line + 1, (unsigned)mark->column + 1 };
}

/* libyaml gives the place of a byte that is no UTF-8 as an offset only. */
static struct position position_at(const struct reader *reader, size_t offset)
{
    struct position at = { 1, 1 };

    for (size_t i = 0; i < offset && i < reader->len; i++) {
        at.column++;
        if (reader->text[i] == '\n') {
            at.line++;
            at.column = 1;
        }
    }
    return at;
}

static void fault_of_parser(struct reader *reader)
{
    const yaml_parser_t *parser = &reader->parser;

    switch (parser->error) {
    case YAML_MEMORY_ERROR:
        longjmp(*reader->arena->no_memory, 1);
    case YAML_READER_ERROR:
        faults_add(reader->faults, position_at(reader, parser->problem_offset),
                   "this is not UTF-8 text: %s", parser->problem);
        break;
    default:
        if (parser->context != NULL)
            faults_add(reader->faults, position_of(&parser->problem_mark),
                       "this is not YAML: %s (%s that begins on line %zu)", parser->problem,
                       parser->context, parser->context_mark.line + 1);
        else
            faults_add(reader->faults, position_of(&parser->problem_mark), "this is not YAML: %s",
                       parser->problem);
        break;
    }
}

static bool next_event(struct reader *reader)
{
    if (reader->held)
        yaml_event_delete(&reader->event);
    reader->held = yaml_parser_parse(&reader->parser, &reader->event) != 0;
    if (!reader->held)
        fault_of_parser(reader);
    return reader->held;
}

static void refuse_extras(struct reader *reader, const yaml_char_t *anchor, const yaml_char_t *tag)
{
    struct position at = position_of(&reader->event.start_mark);

    if (anchor != NULL)
        faults_add(reader->faults, at, "anchors (&%s) are not supported; write the value out",
                   (const char *)anchor);
    if (tag != NULL)
        faults_add(reader->faults, at, "tags (%s) are not supported; take it out",
                   (const char *)tag);
}

static struct node *make_node(struct reader *reader, enum node_kind kind)
{
    struct node *node = arena_alloc(reader->arena, sizeof(*node));

    node->kind = kind;
    node->at = position_of(&reader->event.start_mark);
    node->text = SLICE("");
    return node;
}

static struct node *make_scalar(struct reader *reader)
{
    struct node *node = make_node(reader, NODE_SCALAR);
    struct slice text =
        slice_of((const char *)reader->event.data.scalar.value, reader->event.data.scalar.length);

    node->text = slice_of(arena_dup(reader->arena, text), text.len);
    node->plain = reader->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return node;
}

static void append(struct node *parent, struct node *child)
{
    if (parent->first == NULL)
        parent->first = child;
    else
        parent->last->next = child;
    parent->last = child;
    parent->count++;
}

static struct node *read_node(struct reader *reader, unsigned depth);

static bool read_list(struct reader *reader, struct node *list, unsigned depth)
{
    for (;;) {
        struct node *child;
        if (!next_event(reader))
            return false;
        if (reader->event.type == YAML_SEQUENCE_END_EVENT)
            return true;
        child = read_node(reader, depth + 1);
        if (child == NULL)
            return false;
        append(list, child);
    }
}

/* The key of a map's next entry is the current event. False: stop reading. */
static bool read_entry(struct reader *reader, struct node *map, unsigned depth)
{
    struct position at = position_of(&reader->event.start_mark);
    const struct node *earlier;
    struct node *key;
    struct node *child;

    if (reader->event.type == YAML_ALIAS_EVENT) {
        faults_add(reader->faults, at, "an alias cannot be a key; write the key out");
        return false;
    }
    if (reader->event.type != YAML_SCALAR_EVENT) {
        faults_add(reader->faults, at, "a key has to be plain text");
        return false;
    }
    refuse_extras(reader, reader->event.data.scalar.anchor, reader->event.data.scalar.tag);
    key = make_scalar(reader);
    if (key->plain && slice_equal(key->text, SLICE("<<")))
        faults_add(reader->faults, at, "merge keys (<<) are not supported; write the keys out");
    if (!next_event(reader))
        return false;
    child = read_node(reader, depth + 1);
    if (child == NULL)
        return false;
    earlier = node_child(map, key->text);
    if (earlier != NULL) {
        char name[64];
        faults_add(reader->faults, at, "%s is given twice, first on line %u; keep one of the two",
                   slice_escape(key->text, name, sizeof(name)), earlier->name_at.line);
        return true;
    }
    if (map->count == TREE_KEYS_MAX) {
        faults_add(reader->faults, at, "there are more than %u keys in one place", TREE_KEYS_MAX);
        return false;
    }
    child->name = key->text;
    child->name_at = at;
    append(map, child);
    return true;
}

static bool read_map(struct reader *reader, struct node *map, unsigned depth)
{
    for (;;) {
        if (!next_event(reader))
            return false;
        if (reader->event.type == YAML_MAPPING_END_EVENT)
            return true;
        if (!read_entry(reader, map, depth))
            return false;
    }
}

/* The node whose first event is the current one. NULL: stop reading, a fault is noted. */
static struct node *read_node(struct reader *reader, unsigned depth)
{
    const yaml_event_t *event = &reader->event;
    struct node *node;

    if (depth > TREE_DEPTH_MAX) {
        faults_add(reader->faults, position_of(&event->start_mark),
                   "this is nested more than %u levels deep; nothing here needs that",
                   TREE_DEPTH_MAX);
        return NULL;
    }
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        refuse_extras(reader, event->data.scalar.anchor, event->data.scalar.tag);
        return make_scalar(reader);
    case YAML_SEQUENCE_START_EVENT:
        refuse_extras(reader, event->data.sequence_start.anchor, event->data.sequence_start.tag);
        node = make_node(reader, NODE_LIST);
        return read_list(reader, node, depth) ? node : NULL;
    case YAML_MAPPING_START_EVENT:
        refuse_extras(reader, event->data.mapping_start.anchor, event->data.mapping_start.tag);
        node = make_node(reader, NODE_MAP);
        return read_map(reader, node, depth) ? node : NULL;
    case YAML_ALIAS_EVENT:
        faults_add(reader->faults, position_of(&event->start_mark),
                   "aliases (*%s) are not supported; write the value out",
                   (const char *)event->data.alias.anchor);
        return make_node(reader, NODE_REFUSED);
    default:
        faults_add(reader->faults, position_of(&event->start_mark), "a value is missing here");
        return NULL;
    }
}

static struct node *read_document(struct reader *reader)
{
    struct node *root;

    if (!next_event(reader) || !next_event(reader)) /* the stream's start, then the document's */
        return NULL;
    if (reader->event.type == YAML_STREAM_END_EVENT) {
        faults_add(reader->faults, (struct position){ 0, 0 }, "the file is empty");
        return NULL;
    }
    if (!next_event(reader))
        return NULL;
    root = read_node(reader, 0);
    if (root == NULL || !next_event(reader) || !next_event(reader)) /* the document's end, next */
        return NULL;
    if (reader->event.type != YAML_STREAM_END_EVENT)
        faults_add(reader->faults, position_of(&reader->event.start_mark),
                   "a second document begins here; a configuration is one document");
    return root;
}

static void reader_deinit(struct reader *reader)
{
    if (reader->held)
        yaml_event_delete(&reader->event);
    yaml_parser_delete(&reader->parser);
}

struct node *tree_read(const char *text, size_t len, struct arena *arena,
                       struct config_faults *faults)
{
    jmp_buf *outer = arena->no_memory;
    jmp_buf here;
    struct reader *reader = arena_alloc(arena, sizeof(*reader));
    struct node *root;

    *reader = (struct reader){ .text = text, .len = len, .arena = arena, .faults = faults };
    if (!yaml_parser_initialize(&reader->parser))
        longjmp(*outer, 1);
    arena->no_memory = &here;
    if (setjmp(here) != 0) {
        arena->no_memory = outer;
        reader_deinit(reader);
        longjmp(*outer, 1);
    }
    yaml_parser_set_encoding(&reader->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader->parser, (const unsigned char *)text, len);
    root = read_document(reader);
    arena->no_memory = outer;
    reader_deinit(reader);
    return root;
}

const struct node *node_child(const struct node *map, struct slice name)
{
    for (const struct node *child = map->first; child != NULL; child = child->next)
        if (slice_equal(child->name, name))
            return child;
    return NULL;
}

bool node_is_null(const struct node *node)
{
    return node->kind == NODE_SCALAR && node->plain &&
           (node->text.len == 0 || slice_equal(node->text, SLICE("~")) ||
            slice_equal(node->text, SLICE("null")));
}
