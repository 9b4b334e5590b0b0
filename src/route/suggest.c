#include "crossfade/route/suggest.h"

#include <stdlib.h>

/* Fewer commands that were looked at say nothing. */
#define SAMPLES_MIN 3u
/* Fewer values, or sets, say nothing about all of them. */
#define VALUES_MIN 10u
#define WRITES_MIN 10u

const char *suggest_kind_name(enum suggest_kind kind)
{
    static const char *const names[] = { "none", "counter", "lock", "mutate", "may_share" };
    return names[kind];
}

uint64_t family_stores(const struct family *family)
{
    return family->events[FAMILY_FILL] + family->events[FAMILY_WRITE] + family->events[FAMILY_ADD] +
           family->events[FAMILY_CHANGE];
}

uint64_t family_values(const struct family *family)
{
    uint64_t values = 0;

    for (unsigned i = 0; i < VALUE_FORMATS; i++)
        values += family->formats[i];
    return values;
}

/* -- What a family is
 * ------------------------------------------------------------------------------ */

static bool is_lock(const struct family *family)
{
    uint64_t adds = family->events[FAMILY_ADD];

    /* Who fills a cache by add reads it, at least as often. */
    return adds > 0 && adds * 10 >= family_stores(family) * 8 &&
           family->events[FAMILY_READ] <= adds / 2 &&
           (family->events[FAMILY_DELETE] * 4 >= adds || family->short_adds * 10 >= adds * 8);
}

static bool is_write_through(const struct family *family)
{
    uint64_t sets = family->events[FAMILY_FILL] + family->events[FAMILY_WRITE];

    return sets >= WRITES_MIN && family->events[FAMILY_WRITE] * 10 >= sets * 9;
}

static bool holds_only(const struct family *family, enum value_format format)
{
    uint64_t values = family_values(family);

    return values >= VALUES_MIN && family->formats[format] == values;
}

static enum suggest_kind kind_of(const struct family *family)
{
    if (family->events[FAMILY_COUNT] > 0)
        return SUGGEST_COUNTER;
    if (is_lock(family))
        return SUGGEST_LOCK;
    if (holds_only(family, VALUE_INTEGER) || holds_only(family, VALUE_JSON))
        return SUGGEST_MAY_SHARE;
    return is_write_through(family) ? SUGGEST_MUTATE : SUGGEST_NOTHING;
}

/* -- Its rule
 * -------------------------------------------------------------------------------------- */

static bool is_nameable(const struct suggestion *one)
{
    if (one->match.len == 0)
        return false;
    /* YAML knows characters and no other bytes, and a rule's pattern no spaces. */
    for (struct slice rest = one->match; rest.len > 0;) {
        size_t len = slice_character(rest);
        if (len == 0 || rest.data[0] == ' ')
            return false;
        rest = slice_of(rest.data + len, rest.len - len);
    }
    return true;
}

static bool rule_matches(const struct config_rule *rule, struct slice key)
{
    struct slice match = slice_string(rule->match);

    return rule->prefix ? slice_starts(key, match) : slice_equal(key, match);
}

static void find_rule(struct suggestion *one, const struct config_cache *config)
{
    const struct family *family = one->family;
    struct slice example = slice_of(family->example, family->example_len);
    const struct config_rule *rule;

    one->rule = -1;
    for (size_t i = 0; i < config->rule_count && one->rule < 0; i++)
        if (rule_matches(&config->rules[i], example))
            one->rule = (int)i;
    if (one->rule < 0)
        return;
    rule = &config->rules[one->rule];
    one->settled = rule->scope == SCOPE_SHARED
                       ? one->kind != SUGGEST_NOTHING
                       : one->kind == SUGGEST_MUTATE && rule->writes == WRITES_MUTATE;
}

/* Do two families get the same rule? */
static bool treated_alike(enum suggest_kind a, enum suggest_kind b)
{
    bool a_shared = a == SUGGEST_COUNTER || a == SUGGEST_LOCK;
    bool b_shared = b == SUGGEST_COUNTER || b == SUGGEST_LOCK;

    return a == b || (a_shared && b_shared);
}

/* Would the rule of `wide` catch keys of `other`? */
static bool covers(const struct suggestion *wide, const struct suggestion *other)
{
    return wide->prefix && slice_starts(other->match, wide->match);
}

/* What one's rule would catch of the others. */
static void compare(struct suggestion *one, struct suggestion *all, unsigned count)
{
    if (one->kind == SUGGEST_NOTHING || one->settled)
        return;
    if (!is_nameable(one)) {
        one->mixed = one->family;
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        struct suggestion *other = &all[i];
        if (other == one || !covers(one, other) || treated_alike(one->kind, other->kind))
            continue;
        if (other->prefix && other->match.len == one->match.len) {
            one->mixed = other->family;
            return;
        }
    }
}

static void make_exceptions(const struct suggestion *one, struct suggestion *all, unsigned count)
{
    if (one->kind == SUGGEST_NOTHING || one->settled || one->mixed != NULL)
        return;
    for (unsigned i = 0; i < count; i++) {
        struct suggestion *other = &all[i];
        bool has_rule = other->kind != SUGGEST_NOTHING && other->kind != SUGGEST_MAY_SHARE &&
                        other->mixed == NULL;
        if (other != one && !has_rule && covers(one, other) &&
            !treated_alike(one->kind, other->kind) && one->kind != SUGGEST_MAY_SHARE)
            other->exception = is_nameable(other);
    }
}

static int compare_order(const void *left, const void *right)
{
    const struct suggestion *a = left;
    const struct suggestion *b = right;

    if (a->prefix != b->prefix)
        return a->prefix ? 1 : -1;
    if (a->match.len != b->match.len)
        return a->match.len > b->match.len ? -1 : 1;
    if (a->family->weight != b->family->weight)
        return a->family->weight > b->family->weight ? -1 : 1;
    return memcmp(a->match.data, b->match.data, a->match.len);
}

unsigned suggest(const struct families *families, const struct config_cache *config,
                 struct suggestion out[FAMILIES_MAX])
{
    unsigned count = 0;

    for (unsigned i = 0; i < families->count; i++) {
        const struct family *family = &families->entries[i];
        struct slice text = slice_of(family->text, family->text_len);
        struct suggestion one = { .family = family, .kind = kind_of(family) };

        /* Of one whose place was another's a while ago, what is known may be the other's. */
        if (family->samples < SAMPLES_MIN || family->error > family->weight / 2)
            continue;
        one.match = slice_of(text.data, slice_find(text, '*'));
        one.prefix = one.match.len < text.len;
        find_rule(&one, config);
        out[count++] = one;
    }
    for (unsigned i = 0; i < count; i++)
        compare(&out[i], out, count);
    for (unsigned i = 0; i < count; i++)
        make_exceptions(&out[i], out, count);
    qsort(out, count, sizeof(*out), compare_order);
    return count;
}
