/* What the tests of the loader share. Each fails the running test when things are not as it says.
 */
#ifndef CROSSFADE_TESTS_UNIT_CONF_LOADING_H
#define CROSSFADE_TESTS_UNIT_CONF_LOADING_H

#include "crossfade/conf/load.h"

/* Two arms, a cache plane and a web plane, no rollout; its lines are numbered in loading.c. */
extern const char base_text[];
/* The same with a rollout, without stages: the text of the stages' entries is to follow. */
extern const char rollout_text[];

/* base text + more, which has to load. The caller frees it. */
struct config *load_good(const char *base, const char *more);

/* The text has exactly this one fault: its place, and a part of its sentence. */
void expect_fault(const char *text, unsigned line, unsigned column, const char *part);
/* Some fault of the text is at that line and has that part. */
void expect_fault_among(const char *text, unsigned line, const char *part);

#endif
