/*
 * From key families (route/families.h) to rules for `cache.keys`: what should be shared, and which
 * writes always invalidate. Pure.
 *
 *   counter    incremented: two copies would both count, and allow twice a limit
 *   lock       taken by add, given back by delete or by expiry, hardly read: both versions would
 *              hold it
 *   mutate     its sets answer no miss: write-through, which a miss remembered by chance would hide
 *   may_share  holds only integers or only JSON: any version can read it; whether both mean the same
 *              by it, the traffic does not tell
 *
 * A rule matches a key or a beginning of keys; so a family's rule is what stands in front of its
 * first changing part, and covers every other family that begins so. Where such a one is to be
 * treated otherwise, a rule of its own comes first (`exception`); where it begins exactly alike, no
 * rule can tell them apart (`mixed`).
 */
#ifndef CROSSFADE_ROUTE_SUGGEST_H
#define CROSSFADE_ROUTE_SUGGEST_H

#include "crossfade/route/families.h"

enum suggest_kind {
    SUGGEST_NOTHING, /* isolated, as the default is */
    SUGGEST_COUNTER,
    SUGGEST_LOCK,
    SUGGEST_MUTATE,
    SUGGEST_MAY_SHARE
};

struct suggestion {
    const struct family *family;
    enum suggest_kind kind;
    struct slice match; /* of the rule, in family->text; without the '*' */
    bool prefix;        /* there is a '*' behind it */
    bool exception;     /* SUGGEST_NOTHING: keeps it out of a wider suggested rule */
    int rule;           /* of the configuration: the one its keys match, or -1 */
    bool settled;       /* and that one says what is suggested */
    const struct family
        *mixed; /* cannot be told from that one; itself: no rule can name it; or NULL */
};

/* The kind's name: "counter". */
const char *suggest_kind_name(enum suggest_kind kind);

/*
 * One for each family that was seen often enough to judge it, in the order in which rules have to
 * stand: a longer match before a shorter one. Returns how many. They borrow from `families`.
 */
unsigned suggest(const struct families *families, const struct config_cache *config,
                 struct suggestion out[FAMILIES_MAX]);

/* Storage commands of a family. */
uint64_t family_stores(const struct family *family);
/* Values of it that were looked at. */
uint64_t family_values(const struct family *family);

#endif
