#include "crossfade/route/rules.h"
#include "random.h"

#include <criterion/criterion.h>
#include <stdio.h>

static int match(const struct rules *rules, const char *key)
{
    return rules_match(rules, slice_string(key));
}

static struct config_rule rule(const char *match, bool prefix)
{
    return (struct config_rule){ .match = (char *)(uintptr_t)match, .prefix = prefix };
}

Test(rules, none_matches_nothing)
{
    struct rules *rules = rules_create(NULL, 0);
    cr_assert_eq(match(rules, "a"), -1);
    rules_destroy(rules);
}

Test(rules, the_first_in_the_file_wins_among_exact_and_prefix)
{
    const struct config_rule list[] = {
        rule("lock:", true),        /* 0 */
        rule("lock:a", false),      /* 1: never reached */
        rule("session:me", false),  /* 2 */
        rule("session:", true),     /* 3 */
        rule("session:me:x", true), /* 4: never reached */
        rule("s", false),           /* 5 */
        rule("se", false),          /* 6 */
        rule("\xff\x80", true),     /* 7 */
        rule("counter", false),     /* 8 */
        rule("counter", true),      /* 9 */
    };
    struct rules *rules = rules_create(list, sizeof(list) / sizeof(list[0]));
    static const struct {
        const char *key;
        int rule;
    } table[] = {
        { "lock:a", 0 },    { "lock:", 0 },        { "lock", -1 },
        { "lock:b", 0 },    { "session:me", 2 },   { "session:m", 3 },
        { "session:", 3 },  { "session:me:x", 3 }, { "session", -1 },
        { "s", 5 },         { "se", 6 },           { "ses", -1 },
        { "S", -1 },        { "\xff\x80\x01", 7 }, { "\xff", -1 },
        { "\xff\x81", -1 }, { "counter", 8 },      { "counters", 9 },
        { "counte", -1 },   { "x", -1 },           { "xlock:a", -1 },
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        cr_assert_eq(match(rules, table[i].key), table[i].rule, "%s: %d", table[i].key,
                     match(rules, table[i].key));
    rules_destroy(rules);
}

Test(rules, a_star_alone_takes_every_key_that_nothing_before_it_took)
{
    const struct config_rule list[] = { rule("a", false), rule("", true), rule("b", true) };
    struct rules *rules = rules_create(list, 3);
    cr_assert_eq(match(rules, "a"), 0);
    cr_assert_eq(match(rules, "ab"), 1);
    cr_assert_eq(match(rules, "b"), 1);
    rules_destroy(rules);
}

Test(rules, keys_may_hold_any_byte)
{
    const struct config_rule list[] = { rule("a", true) };
    struct rules *rules = rules_create(list, 1);
    cr_assert_eq(rules_match(rules, slice_of("a\0b", 3)), 0);
    cr_assert_eq(rules_match(rules, slice_of("\0a", 2)), -1);
    rules_destroy(rules);
}

/* One by one in the file's order: what the tree has to agree with. */
static int naive(const struct config_rule *list, size_t count, struct slice key)
{
    for (size_t i = 0; i < count; i++) {
        struct slice pattern = slice_string(list[i].match);
        if (list[i].prefix ? slice_starts(key, pattern) : slice_equal(key, pattern))
            return (int)i;
    }
    return -1;
}

Test(rules, a_thousand_are_as_a_search_one_by_one)
{
    enum { COUNT = 1000, LONGEST = 10 };
    static char texts[COUNT][LONGEST + 1];
    static struct config_rule list[COUNT];
    uint64_t state = 1;

    for (unsigned alphabet = 1; alphabet <= 26; alphabet += 5) {
        struct rules *rules;
        unsigned hits = 0;
        for (unsigned i = 0; i < COUNT; i++) {
            unsigned len = 1 + random_below(&state, LONGEST);
            for (unsigned j = 0; j < len; j++)
                texts[i][j] = (char)('a' + random_below(&state, alphabet));
            texts[i][len] = '\0';
            list[i] = rule(texts[i], random_below(&state, 2) == 0);
        }
        rules = rules_create(list, COUNT);
        for (unsigned i = 0; i < 20000; i++) {
            char key[LONGEST + 6];
            unsigned len = 1 + random_below(&state, LONGEST + 5);
            int wanted;
            for (unsigned j = 0; j < len; j++)
                key[j] = (char)('a' + random_below(&state, alphabet));
            if (i % 2 == 0) { /* near a pattern */
                const char *text = texts[random_below(&state, COUNT)];
                len = (unsigned)strlen(text) + random_below(&state, 3);
                memcpy(key, text, strlen(text));
            }
            wanted = naive(list, COUNT, slice_of(key, len));
            hits += wanted >= 0;
            cr_assert_eq(rules_match(rules, slice_of(key, len)), wanted);
        }
        cr_assert_gt(hits, 100);
        rules_destroy(rules);
    }
}
