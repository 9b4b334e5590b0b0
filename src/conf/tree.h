/*
 * A YAML document as a tree of nodes that know their line and column. What a configuration has no
 * use for is refused with its place: anchors, aliases, merge keys, tags, a second document, deep
 * nesting, keys that are no plain text, keys given twice.
 */
#ifndef CROSSFADE_CONF_TREE_H
#define CROSSFADE_CONF_TREE_H

#include "crossfade/base/slice.h"
#include "crossfade/conf/load.h"

#include "arena.h"

#include <stdbool.h>

#define TREE_DEPTH_MAX 12u
#define TREE_KEYS_MAX 256u /* of one map */

enum node_kind {
    NODE_SCALAR,
    NODE_LIST,
    NODE_MAP,
    NODE_REFUSED /* a fault is noted already */
};

struct position {
    unsigned line; /* from 1; 0: the file as a whole */
    unsigned column;
};

struct node {
    enum node_kind kind;
    bool plain; /* a scalar without quotes */
    struct position at;
    struct slice text; /* of a scalar; terminated as well */
    /* As a child of a map. */
    struct slice name;
    struct position name_at;
    /* Children of a list or map, in the order of the file. */
    struct node *first;
    struct node *last;
    struct node *next;
    size_t count;
};

/*
 * The root, or NULL when the text is no YAML or empty. Faults go to `faults` in either case. The
 * tree lives in `arena`; without memory the arena's jump is taken, after libyaml's parser was
 * freed.
 */
struct node *tree_read(const char *text, size_t len, struct arena *arena,
                       struct config_faults *faults);

/* The map's child of that name, or NULL. */
const struct node *node_child(const struct node *map, struct slice name);
/* Nothing after the colon, ~ or null. */
bool node_is_null(const struct node *node);

#endif
