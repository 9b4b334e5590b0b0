/* A configuration by hand, a state folder of one's own, and short ways to ask the machine. */
#ifndef CROSSFADE_TESTS_ROLLOUT_HELPERS_H
#define CROSSFADE_TESTS_ROLLOUT_HELPERS_H

#include "crossfade/rollout/rollout.h"

#include <jansson.h>
#include <stddef.h>

#define STAGES 5 /* developers 0, employees 0, canary 0.1, early 20 (bakes 2h), everyone 100 */

struct bed {
    char folder[64]; /* of the test */
    char state_dir[96];
    struct config_arm arms[3]; /* py2, py3, py4 */
    struct config_stage stages[STAGES];
    struct config config;
    struct rollout *rollout;
    char text[1024]; /* of the last answer, or error of open */
};

void bed_make(struct bed *bed);
/* The same configuration again, apart, so that a test may change it and reload. */
void bed_configure(struct bed *bed);
void bed_open(struct bed *bed);   /* asserts that it opens */
void bed_reopen(struct bed *bed); /* closes first */
void bed_remove(struct bed *bed); /* closes, and removes the folder */

enum rollout_verdict bed_do(struct bed *bed, enum rollout_verb verb, const char *reason);
enum rollout_verdict bed_percent(struct bed *bed, uint32_t percent);
/* From idle to the state, at canary where there is a choice. */
void bed_bring(struct bed *bed, enum rollout_state state);

/* The path of a file in the state folder, in static memory. */
const char *bed_path(const struct bed *bed, const char *name);
void bed_write(const struct bed *bed, const char *name, const char *text);
/* The whole file as a heap string. */
char *bed_read(const struct bed *bed, const char *name);
/* The audit log as a JSON array; asserts that each line is an object and the last one is ended. */
json_t *bed_audit(const struct bed *bed);
const char *line_text(const json_t *line, const char *name);

#endif
