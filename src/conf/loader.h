/*
 * What the steps of loading share, in their order:
 *
 *   tree.c    bytes -> nodes with places
 *   fill.c    nodes + schema -> struct config, each value by kinds_parse.c, defaults for the rest
 *   check.c   defaults that depend on other values, then what spans keys
 *   secrets.c the files of users and passwords that it names
 *
 * Each step notes its faults and goes on, so a later one has to live with what an earlier one
 * refused: such a field is zero.
 */
#ifndef CROSSFADE_CONF_LOADER_H
#define CROSSFADE_CONF_LOADER_H

#include "crossfade/conf/config.h"
#include "crossfade/conf/load.h"
#include "crossfade/conf/schema.h"
#include "crossfade/conf/values.h"

#include "arena.h"
#include "tree.h"

#include <stdbool.h>
#include <stdio.h>

#define LOADER_PATH_MAX 512u

/* Where the value of a path was given. */
struct place {
    const char *path;
    struct position at;
};

/* config->source */
struct source {
    struct arena arena; /* all that the configuration points to */
    struct place *places;
    size_t place_count;
    size_t place_room;
};

/* A list of rollout.lists. Whoever names it gets copies of its entries, which share their texts. */
struct named_list {
    struct slice name;
    char *elements;
    size_t count;
};

struct loader {
    struct config *config;
    struct source *source;
    struct config_faults *faults;
    struct named_list *lists;
    size_t list_count;
    unsigned absent; /* above 0: in a section that is not there; nothing is required */
    char path[LOADER_PATH_MAX];
    size_t path_len;
};

/* fill.c: the whole file. */
void fill_config(struct loader *loader, const struct node *root);

/* check.c: after places_sort. */
void check_config(struct loader *loader);

/* check_clients.c: whom the cache listeners let in; called by check_config. */
void check_clients(struct loader *loader);

/* secrets.c: what stands in files beside the configuration; after all checks, and on the heap. */
void secrets_load(struct loader *loader);
void secrets_free(struct config *config);

/* places.c */
void places_add(struct loader *loader, struct position at);
void places_sort(struct source *source);
/* NULL when nothing was given there. After places_sort. */
const struct place *places_find(const struct source *source, const char *path);
/* A fault of the value at that path, or of the nearest one above it that was given. */
void places_fault(struct loader *loader, const char *path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* kinds_parse.c: a scalar of the file into its field; false with the reason. */
bool kind_parse(struct loader *loader, const struct schema_row *row, enum schema_kind kind,
                struct slice text, void *field, struct why *why) MUST_CHECK;
/* kinds_print.c: back to text, as it would be written. */
void kind_print(const struct config *config, const struct schema_row *row, enum schema_kind kind,
                const void *field, FILE *out);

/* nearest.c: which of the offered names was likely meant. */
struct nearest {
    struct slice wanted;
    struct slice best;
    size_t distance;
};

void nearest_begin(struct nearest *nearest, struct slice wanted);
void nearest_offer(struct nearest *nearest, struct slice name);
/* "; did you mean NAME?" or "", in out. */
const char *nearest_hint(const struct nearest *nearest, char *out, size_t size);

#endif
