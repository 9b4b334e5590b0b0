#include "crossfade/route/rules.h"

#include <limits.h>
#include <stdint.h>
#include <stdlib.h>

/*
 * The patterns "ab", "abcd*" and "abce*":
 *
 *     node 0 "ab", exact: rule 0 --c--> node 1 "" --d--> node 2 "", prefix: rule 1
 *                                                 --e--> node 3 "", prefix: rule 2
 *
 * The children of a node lie side by side in `nodes`, the bytes that lead to them side by side at
 * the same places in `heads`. A node's label is what follows its head byte; it is a part of the
 * pattern that the node was made from, kept in `text`.
 */
#define NO_RULE INT_MAX

struct node {
    uint32_t label;    /* offset in text */
    uint32_t children; /* index of the first */
    uint16_t label_len;
    uint16_t child_count;
    int exact;  /* the first rule for just the key that ends here */
    int prefix; /* the first rule for all keys that go on from here */
};

struct rules {
    struct node *nodes;
    char *heads;
    char *text;
    uint32_t entry[256]; /* the root's children by their heads, or 0: most keys match nothing */
};

/* A pattern while the tree is made. */
struct pattern {
    const char *text;
    size_t len;
    size_t offset; /* in rules->text */
    int rule;
    bool prefix;
};

/* The patterns [from, to) of the sorted list have their first `depth` bytes in common. */
struct range {
    size_t from;
    size_t to;
    size_t depth;
};

static int compare_patterns(const void *left, const void *right)
{
    const struct pattern *a = left;
    const struct pattern *b = right;
    int order = memcmp(a->text, b->text, a->len < b->len ? a->len : b->len);

    if (order != 0)
        return order;
    if (a->len != b->len)
        return a->len < b->len ? -1 : 1;
    return a->rule < b->rule ? -1 : 1;
}

static size_t common_length(const struct pattern *a, const struct pattern *b, size_t from)
{
    size_t end = a->len < b->len ? a->len : b->len;

    while (from < end && a->text[from] == b->text[from])
        from++;
    return from;
}

static void first_rule(int *slot, int rule)
{
    if (rule < *slot)
        *slot = rule;
}

/*
 * Makes node `at` from its range and appends its children, with theirs still to be made, to the
 * lists. Returns the new number of nodes.
 */
static size_t make_node(struct rules *rules, struct range *ranges, const struct pattern *patterns,
                        size_t at, size_t count)
{
    struct node *node = &rules->nodes[at];
    struct range range = ranges[at];
    const struct pattern *first = &patterns[range.from];
    /* They are sorted: what the first and the last have in common, all have. */
    size_t depth = common_length(first, &patterns[range.to - 1], range.depth);
    size_t i = range.from;

    *node = (struct node){ .label = (uint32_t)(first->offset + range.depth),
                           .label_len = (uint16_t)(depth - range.depth),
                           .children = (uint32_t)count,
                           .exact = NO_RULE,
                           .prefix = NO_RULE };
    for (; i < range.to && patterns[i].len == depth; i++)
        first_rule(patterns[i].prefix ? &node->prefix : &node->exact, patterns[i].rule);
    while (i < range.to) {
        char head = patterns[i].text[depth];
        ranges[count] = (struct range){ .from = i, .depth = depth + 1 };
        while (i < range.to && patterns[i].text[depth] == head)
            i++;
        ranges[count].to = i;
        rules->heads[count++] = head;
        node->child_count++;
    }
    return count;
}

static bool build(struct rules *rules, const struct config_rule *config, size_t count)
{
    size_t most = 2 * count + 1; /* a node ends a pattern or has two children, but for the root */
    struct pattern *patterns = calloc(count, sizeof(*patterns));
    struct range *ranges = calloc(most, sizeof(*ranges));
    size_t text_len = 0;
    size_t nodes = 1;
    bool ok;

    for (size_t i = 0; i < count; i++)
        text_len += strlen(config[i].match);
    rules->nodes = calloc(most, sizeof(*rules->nodes));
    rules->heads = calloc(most, 1);
    rules->text = malloc(text_len + 1);
    ok = patterns != NULL && ranges != NULL && rules->nodes != NULL && rules->heads != NULL &&
         rules->text != NULL;
    if (ok) {
        text_len = 0;
        for (size_t i = 0; i < count; i++) {
            size_t len = strlen(config[i].match);
            memcpy(rules->text + text_len, config[i].match, len);
            patterns[i] = (struct pattern){ .text = rules->text + text_len,
                                            .len = len,
                                            .offset = text_len,
                                            .rule = (int)i,
                                            .prefix = config[i].prefix };
            text_len += len;
        }
        qsort(patterns, count, sizeof(*patterns), compare_patterns);
        ranges[0] = (struct range){ .from = 0, .to = count };
        for (size_t at = 0; at < nodes; at++)
            nodes = make_node(rules, ranges, patterns, at, nodes);
        for (uint32_t i = 0; i < rules->nodes[0].child_count; i++) {
            uint32_t child = rules->nodes[0].children + i;
            rules->entry[(unsigned char)rules->heads[child]] = child;
        }
    }
    free(patterns);
    free(ranges);
    return ok;
}

struct rules *rules_create(const struct config_rule *config, size_t count)
{
    struct rules *rules = calloc(1, sizeof(*rules));

    if (rules == NULL)
        return NULL;
    if (count == 0) {
        rules->nodes = calloc(1, sizeof(*rules->nodes));
        if (rules->nodes != NULL)
            rules->nodes[0].exact = rules->nodes[0].prefix = NO_RULE;
    }
    if (count == 0 ? rules->nodes == NULL : !build(rules, config, count)) {
        rules_destroy(rules);
        return NULL;
    }
    return rules;
}

void rules_destroy(struct rules *rules)
{
    free(rules->nodes);
    free(rules->heads);
    free(rules->text);
    free(rules);
}

/* The child that the byte leads to, or 0. */
static uint32_t child_of(const struct rules *rules, const struct node *node, char head)
{
    const char *heads = rules->heads + node->children;
    const char *found = node->child_count > 0 ? memchr(heads, head, node->child_count) : NULL;

    return found != NULL ? node->children + (uint32_t)(found - heads) : 0;
}

int rules_match(const struct rules *rules, struct slice key)
{
    const struct node *node = &rules->nodes[0];
    int found = NO_RULE;

    for (;;) {
        uint32_t child;

        if (node->label_len > 0 &&
            (key.len < node->label_len ||
             memcmp(key.data, rules->text + node->label, node->label_len) != 0))
            break;
        key.data += node->label_len;
        key.len -= node->label_len;
        first_rule(&found, node->prefix);
        if (key.len == 0) {
            first_rule(&found, node->exact);
            break;
        }
        child = node == rules->nodes ? rules->entry[(unsigned char)key.data[0]]
                                     : child_of(rules, node, key.data[0]);
        if (child == 0)
            break;
        node = &rules->nodes[child];
        key.data++;
        key.len--;
    }
    return found == NO_RULE ? -1 : found;
}
