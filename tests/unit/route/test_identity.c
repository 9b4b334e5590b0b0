#include "crossfade/route/identity.h"

#include "random.h"

#include <criterion/criterion.h>

static bool match(const char *pattern, const char *text)
{
    return identity_match(slice_string(pattern), slice_string(text));
}

Test(identity, a_star_stands_for_any_bytes)
{
    cr_assert(match("web3", "web3"));
    cr_assert_not(match("web3", "web"));
    cr_assert_not(match("web3", "web33"));
    cr_assert_not(match("web3", "WEB3"));
    cr_assert(match("*", ""));
    cr_assert(match("*", "anything/at all"));
    cr_assert(match("**", "x"));
    cr_assert(match("", ""));
    cr_assert_not(match("", "x"));
    cr_assert(match("web3-*", "web3-"));
    cr_assert(match("web3-*", "web3-17"));
    cr_assert_not(match("web3-*", "web3"));
    cr_assert(match("*.py3.example", "a.b.py3.example"));
    cr_assert_not(match("*.py3.example", "a.py3.example.net"));
    cr_assert_not(match("*.py3.example", "py3.example"));
    cr_assert(match("/usr/*/python3*", "/usr/local/bin/python3.11"));
    cr_assert(match("a*b*c", "aXbXbXc"));
    cr_assert_not(match("a*b*c", "aXbXbX"));
    cr_assert(match("*aab", "aaaaaaab"));
    cr_assert_not(match("a?c", "abc"));
}

/* The obvious way, which may take for ever. */
static bool slow_match(struct slice pattern, struct slice text)
{
    if (pattern.len == 0)
        return text.len == 0;
    if (pattern.data[0] != '*')
        return text.len > 0 && text.data[0] == pattern.data[0] &&
               slow_match(slice_of(pattern.data + 1, pattern.len - 1),
                          slice_of(text.data + 1, text.len - 1));
    for (size_t i = 0; i <= text.len; i++)
        if (slow_match(slice_of(pattern.data + 1, pattern.len - 1),
                       slice_of(text.data + i, text.len - i)))
            return true;
    return false;
}

Test(identity, random_patterns_match_as_the_slow_way_says)
{
    uint64_t seed = 17;
    unsigned matched = 0;

    for (int round = 0; round < 200000; round++) {
        char pattern[8];
        char text[12];
        size_t pattern_len = random_below(&seed, sizeof(pattern));
        size_t text_len = random_below(&seed, sizeof(text));
        for (size_t i = 0; i < pattern_len; i++)
            pattern[i] = "ab*"[random_below(&seed, 3)];
        for (size_t i = 0; i < text_len; i++)
            text[i] = "ab"[random_below(&seed, 2)];
        bool expected = slow_match(slice_of(pattern, pattern_len), slice_of(text, text_len));
        matched += expected;
        cr_assert_eq(identity_match(slice_of(pattern, pattern_len), slice_of(text, text_len)),
                     expected, "%.*s and %.*s", (int)pattern_len, pattern, (int)text_len, text);
    }
    cr_assert_gt(matched, 1000);
}

Test(identity, a_hostile_name_takes_no_time)
{
    static char text[4096];
    char pattern[] = "*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b";

    memset(text, 'a', sizeof(text));
    cr_assert_not(identity_match(slice_string(pattern), slice_of(text, sizeof(text))));
}

static struct config_client clients[] = {
    { .test = CLIENT_USER, .user = (char *)"web3-*", .uid = -1, .arm = 1 },
    { .test = CLIENT_CERTIFICATE, .certificate = (char *)"*.py3.example", .uid = -1, .arm = 2 },
    { .test = CLIENT_UID, .uid = 1003, .arm = 3 },
    { .test = CLIENT_EXECUTABLE, .executable = (char *)"/usr/bin/python3*", .uid = -1, .arm = 4 },
    { .test = CLIENT_USER, .user = (char *)"*", .uid = -1, .arm = 5 },
};

static const struct config_listener listener = { .arm = 0, .clients = clients, .client_count = 5 };

static unsigned arm_of(const struct config_listener *where, const struct identity *who)
{
    return identity_arm(where, identity_entry(where, who));
}

static bool has_name(const void *certificate, struct slice pattern)
{
    return identity_match(pattern, slice_string(certificate));
}

Test(identity, the_first_entry_that_matches_says_the_arm)
{
    struct identity who = IDENTITY_UNKNOWN;

    cr_assert_eq(arm_of(&listener, &who), 0, "nothing is known of it");
    who.executable = SLICE("/usr/bin/python3.11");
    cr_assert_eq(arm_of(&listener, &who), 4);
    who.uid = 1003;
    cr_assert_eq(arm_of(&listener, &who), 3);
    who.has_name = has_name;
    who.certificate = "a.py3.example";
    cr_assert_eq(arm_of(&listener, &who), 2);
    who.user = SLICE("web3-1");
    cr_assert_eq(arm_of(&listener, &who), 1);
    who = (struct identity){ .user = SLICE("web2-1"), .uid = 0 };
    cr_assert_eq(arm_of(&listener, &who), 5);
}

Test(identity, whom_nothing_matches_has_the_listeners_arm_or_none)
{
    struct config_listener strict = listener;
    struct identity who = { .uid = 1004, .executable = SLICE("/bin/sh") };

    cr_assert_eq(arm_of(&strict, &who), 0);
    strict.arm = CONFIG_NO_ARM;
    cr_assert_eq(arm_of(&strict, &who), CONFIG_NO_ARM);
}

Test(identity, what_nobody_asks_for_is_known)
{
    struct config_listener short_list = listener;

    cr_assert(identity_asks(&listener, CLIENT_EXECUTABLE));
    short_list.client_count = 2;
    cr_assert_not(identity_asks(&short_list, CLIENT_EXECUTABLE));
    cr_assert_not(identity_asks(&short_list, CLIENT_UID));
    cr_assert(identity_asks(&short_list, CLIENT_CERTIFICATE));
}
