#include "crossfade/route/suggest.h"

#include <criterion/criterion.h>
#include <stdlib.h>

/* -- Traffic by hand
 * ------------------------------------------------------------------------------- */

struct stage {
    struct families families;
    struct suggestion all[FAMILIES_MAX];
    unsigned count;
    struct config_rule rules[4];
    struct config_cache config;
};

static void see_value(struct stage *stage, const char *key, enum family_event event, unsigned times,
                      enum value_format format, uint32_t expiry)
{
    for (unsigned i = 0; i < times; i++)
        families_add(&stage->families, &(struct family_seen){ .key = slice_string(key),
                                                              .event = event,
                                                              .has_value = event >= FAMILY_FILL &&
                                                                           event <= FAMILY_CHANGE,
                                                              .format = format,
                                                              .expiry = expiry,
                                                              .weight = 1 });
}

static void see(struct stage *stage, const char *key, enum family_event event, unsigned times)
{
    see_value(stage, key, event, times, VALUE_OTHER, 0);
}

static const struct suggestion *of(struct stage *stage, const char *family)
{
    stage->config.rules = stage->rules;
    stage->count = suggest(&stage->families, &stage->config, stage->all);
    for (unsigned i = 0; i < stage->count; i++)
        if (slice_equal(slice_of(stage->all[i].family->text, stage->all[i].family->text_len),
                        slice_string(family)))
            return &stage->all[i];
    return NULL;
}

static struct stage *make(void)
{
    return calloc(1, sizeof(struct stage));
}

Test(suggest, counters_are_what_is_incremented)
{
    struct stage *stage = make();
    const struct suggestion *one;

    see(stage, "hits:1", FAMILY_READ, 50);
    see(stage, "hits:2", FAMILY_COUNT, 1);
    see(stage, "user:2", FAMILY_READ, 50);
    one = of(stage, "hits:*");
    cr_assert_eq(one->kind, SUGGEST_COUNTER);
    cr_assert(slice_equal(one->match, SLICE("hits:")) && one->prefix);
    cr_assert(one->rule == -1 && !one->settled && one->mixed == NULL);
    cr_assert_eq(of(stage, "user:*")->kind, SUGGEST_NOTHING);
    free(stage);
}

Test(suggest, locks_are_added_and_given_back_and_not_read)
{
    static const struct {
        unsigned adds, deletes, reads, sets;
        uint32_t expiry;
        enum suggest_kind kind;
    } rows[] = {
        { 10, 9, 0, 0, 0, SUGGEST_LOCK },       { 10, 0, 0, 0, 30, SUGGEST_LOCK },
        { 10, 0, 4, 0, 3600, SUGGEST_LOCK },    { 10, 9, 5, 2, 30, SUGGEST_LOCK },
        { 10, 9, 5, 3, 30, SUGGEST_NOTHING }, /* it is set as well */
        { 10, 0, 0, 0, 3601, SUGGEST_NOTHING }, { 10, 0, 0, 0, 0, SUGGEST_NOTHING },
        { 10, 9, 6, 0, 30, SUGGEST_NOTHING }, /* get_or_set: read, added, read */
        { 0, 9, 0, 0, 0, SUGGEST_NOTHING },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct stage *stage = make();
        see_value(stage, "l:1", FAMILY_ADD, rows[i].adds, VALUE_OTHER, rows[i].expiry);
        see(stage, "l:1", FAMILY_DELETE, rows[i].deletes);
        see(stage, "l:1", FAMILY_READ, rows[i].reads);
        see(stage, "l:1", FAMILY_FILL, rows[i].sets);
        cr_expect_eq(of(stage, "l:*")->kind, rows[i].kind, "row %zu", i);
        free(stage);
    }
}

Test(suggest, write_through_is_sets_that_answer_no_miss)
{
    struct stage *stage = make();

    see(stage, "a:1", FAMILY_WRITE, 90);
    see(stage, "a:1", FAMILY_FILL, 10);
    see(stage, "b:1", FAMILY_WRITE, 89);
    see(stage, "b:1", FAMILY_FILL, 11);
    see(stage, "c:1", FAMILY_WRITE, 9);
    cr_assert_eq(of(stage, "a:*")->kind, SUGGEST_MUTATE);
    cr_assert_eq(of(stage, "b:*")->kind, SUGGEST_NOTHING);
    cr_assert_eq(of(stage, "c:*")->kind, SUGGEST_NOTHING, "too few to tell");
    free(stage);
}

Test(suggest, what_holds_only_integers_or_json_may_be_shared)
{
    struct stage *stage = make();

    see_value(stage, "n:1", FAMILY_FILL, 10, VALUE_INTEGER, 0);
    see_value(stage, "j:1", FAMILY_FILL, 10, VALUE_JSON, 0);
    see_value(stage, "few:1", FAMILY_FILL, 9, VALUE_INTEGER, 0);
    see_value(stage, "mix:1", FAMILY_FILL, 10, VALUE_INTEGER, 0);
    see_value(stage, "mix:1", FAMILY_FILL, 1, VALUE_PICKLE_2, 0);
    see_value(stage, "both:1", FAMILY_FILL, 10, VALUE_INTEGER, 0);
    see_value(stage, "both:1", FAMILY_FILL, 10, VALUE_JSON, 0);
    cr_assert_eq(of(stage, "n:*")->kind, SUGGEST_MAY_SHARE);
    cr_assert_eq(of(stage, "j:*")->kind, SUGGEST_MAY_SHARE);
    cr_assert_eq(of(stage, "few:*")->kind, SUGGEST_NOTHING);
    cr_assert_eq(of(stage, "mix:*")->kind, SUGGEST_NOTHING);
    cr_assert_eq(of(stage, "both:*")->kind, SUGGEST_NOTHING);
    free(stage);
}

Test(suggest, what_a_wide_rule_would_catch_gets_one_of_its_own_before_it)
{
    struct stage *stage = make();

    see(stage, "u:1", FAMILY_COUNT, 5);
    see(stage, "u:names:1", FAMILY_READ, 5);
    see(stage, "u:all", FAMILY_READ, 5);
    see(stage, "u:locks:1", FAMILY_COUNT, 5);
    see(stage, "unlike", FAMILY_READ, 5);
    cr_assert(of(stage, "u:names:*")->exception);
    cr_assert(of(stage, "u:all")->exception);
    cr_assert_not(of(stage, "u:locks:*")->exception);
    cr_assert_not(of(stage, "unlike")->exception);
    cr_assert_null(of(stage, "u:*")->mixed);
    /* In the order of rules: the wide one last. */
    cr_assert_not(stage->all[0].prefix);
    for (unsigned i = 1; i < stage->count; i++)
        cr_assert(!stage->all[i].prefix || !stage->all[i - 1].prefix ||
                  stage->all[i].match.len <= stage->all[i - 1].match.len);
    free(stage);
}

Test(suggest, what_no_rule_can_tell_apart_is_said_so)
{
    struct stage *stage = make();

    see(stage, "u:1:hits", FAMILY_COUNT, 5);
    see(stage, "u:1:name", FAMILY_READ, 5);
    see(stage, "v:1:hits", FAMILY_COUNT, 5);
    see(stage, "v:1:lock", FAMILY_ADD, 5);
    see(stage, "v:1:lock", FAMILY_DELETE, 5);
    see(stage, "17", FAMILY_COUNT, 5);
    see(stage, "a b:1", FAMILY_COUNT, 5);
    see(stage, "a\xff:1", FAMILY_COUNT, 5);
    cr_assert_eq(of(stage, "u:*:hits")->mixed, of(stage, "u:*:name")->family);
    cr_assert_not(of(stage, "u:*:name")->exception);
    cr_assert_null(of(stage, "v:*:hits")->mixed, "both are shared");
    cr_assert_null(of(stage, "v:*:lock")->mixed);
    cr_assert_eq(of(stage, "*")->mixed, of(stage, "*")->family);
    cr_assert_not_null(of(stage, "a b:*")->mixed, "a pattern has no spaces");
    cr_assert_not_null(of(stage, "a\xff:*")->mixed, "YAML has characters only");
    free(stage);
}

Test(suggest, rules_that_there_are_are_known)
{
    struct stage *stage = make();

    stage->rules[0] =
        (struct config_rule){ .match = (char[]){ "x:" }, .prefix = true, .scope = SCOPE_SHARED };
    stage->rules[1] = (struct config_rule){ .match = (char[]){ "y:" }, .prefix = true };
    stage->rules[2] =
        (struct config_rule){ .match = (char[]){ "z:" }, .prefix = true, .writes = WRITES_MUTATE };
    stage->rules[3] = (struct config_rule){ .match = (char[]){ "one" } };
    stage->config.rule_count = 4;
    see(stage, "x:1", FAMILY_COUNT, 5);
    see(stage, "y:1", FAMILY_COUNT, 5);
    see(stage, "z:1", FAMILY_WRITE, 50);
    see(stage, "one", FAMILY_COUNT, 5);
    see(stage, "ones", FAMILY_COUNT, 5);
    cr_assert(of(stage, "x:*")->rule == 0 && of(stage, "x:*")->settled);
    cr_assert(of(stage, "y:*")->rule == 1 && !of(stage, "y:*")->settled);
    cr_assert(of(stage, "z:*")->rule == 2 && of(stage, "z:*")->settled);
    cr_assert(of(stage, "one")->rule == 3 && !of(stage, "one")->settled);
    cr_assert_eq(of(stage, "ones")->rule, -1);
    free(stage);
}

Test(suggest, what_was_seen_too_seldom_or_took_another_s_place_is_left_out)
{
    struct stage *stage = make();

    see(stage, "seldom:1", FAMILY_COUNT, 2);
    see(stage, "often:1", FAMILY_COUNT, 3);
    cr_assert_null(of(stage, "seldom:*"));
    cr_assert_not_null(of(stage, "often:*"));
    stage->families.entries[1].error = 2;
    cr_assert_null(of(stage, "often:*"));
    free(stage);
}
