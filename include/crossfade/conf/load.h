/*
 * From the YAML file to a struct config: parse with libyaml, hold each key against the schema table
 * (conf/schema.h), then check what spans keys (names of arms, stages in order, ...). All faults are
 * collected, each with its place, so that one run shows them all.
 */
#ifndef CROSSFADE_CONF_LOAD_H
#define CROSSFADE_CONF_LOAD_H

#include "crossfade/conf/config.h"

#include <stdio.h>

struct config_fault {
    unsigned line;   /* from 1; 0: the file as a whole */
    unsigned column; /* from 1 */
    char *text;      /* what is wrong and what to do, one sentence */
};

struct config_faults {
    struct config_fault *faults;
    size_t count;
};

/*
 * NULL when there is any fault. `faults` is filled in either case and freed by config_faults_free;
 * it is empty with NULL only when there was no memory even for a fault.
 */
struct config *config_load_file(const char *path, struct config_faults *faults);
/* The same from memory; `name` stands for the path in messages. */
struct config *config_load_text(const char *name, const char *text, size_t len,
                                struct config_faults *faults);
void config_faults_free(struct config_faults *faults);
/* One line a fault: FILE:LINE:COLUMN: text */
void config_faults_print(const struct config_faults *faults, const char *path, FILE *out);

/* The plan, for `crossfade --check`: planes, listeners, arms, rules, stages as a table. */
void config_print_plan(const struct config *config, FILE *out);

/*
 * Calls `each` for every key of the schema that applies, in the schema's order: its dotted path
 * ("cache.timeouts.connect"), the value in force and the default as text, the line it was given on
 * (0: default), and whether a change of it needs a restart.
 */
typedef void (*config_each)(void *context, const char *path, const char *value,
                            const char *standard, unsigned line, bool restart);
void config_describe(const struct config *config, config_each each, void *context);

/*
 * Where the value at that path ("cache.listen[0].tls.key") was given, or the nearest section above
 * it: for faults that show only when the value is used, such as those of a file that it names.
 */
void config_place(const struct config *config, const char *path, unsigned *line, unsigned *column);

#endif
