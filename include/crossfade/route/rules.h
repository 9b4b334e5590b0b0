/*
 * The rules of `cache.keys` compiled: which of them is the first, in the file's order, that a key
 * matches, exact and prefix rules alike. A tree over the bytes of the patterns with runs of bytes
 * pressed into one node, so that a match costs a walk along the key and not one comparison per
 * rule. Never changed after it was made.
 */
#ifndef CROSSFADE_ROUTE_RULES_H
#define CROSSFADE_ROUTE_RULES_H

#include "crossfade/base/slice.h"
#include "crossfade/conf/config.h"

#include <stddef.h>

struct rules;

/* The configured rules are read and not kept. NULL without memory. */
struct rules *rules_create(const struct config_rule *rules, size_t count);
void rules_destroy(struct rules *rules);

/* Index of the first rule that matches, or -1. */
int rules_match(const struct rules *rules, struct slice key);

#endif
