#include "crossfade/route/families.h"

#include "random.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static struct slice family_text(const char *key, char out[FAMILY_TEXT])
{
    return slice_of(out, family_of(slice_string(key), out));
}

Test(families, what_changes_is_taken_out)
{
    static const struct {
        const char *key, *family;
    } rows[] = {
        { "hits", "hits" },
        { "user:4711", "user:*" },
        { "user:4711:name", "user:*:name" },
        { "7", "*" },
        { "user:550e8400-e29b-41d4-a716-446655440000:x", "user:*:x" },
        { "550E8400-e29b-41d4-a716-446655440000", "*" },
        { "550e8400-e29b-41d4-a716-4466554400001", "*-e29b-41d4-a*-*" },
        { "page:d41d8cd98f00b204e9800998ecf8427e", "page:*" },
        { "page:deadbeef", "page:deadbeef" }, /* a word, for all we know */
        { "page:dead1eef", "page:*" },
        { "v2:user:1", "v2:user:*" },
        { "user1234", "user*" },
        { "user12", "user12" },
        { "sess_AbC123xYz456QwErTy_x", "sess_*_x" },
        { "session.abcdefghijklmnopqrstuvwxyz", "session.abcdefghijklmnopqrstuvwxyz" },
        { ":1:django.cache", ":*:django.cache" },
        { "2026-11-25", "*-*-*" },
        { "rl:10.0.0.1:/login", "rl:*.*.*.*:/login" },
        { "J\xc3\xbcrgen:1", "J\xc3\xbcrgen:*" },
        { "a*b:1", "a*b:*" },
        { "::", "::" },
    };
    char out[FAMILY_TEXT];

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct slice text = family_text(rows[i].key, out);
        cr_expect(slice_equal(text, slice_string(rows[i].family)), "%s: %.*s", rows[i].key,
                  (int)text.len, text.data);
    }
}

Test(families, a_long_one_ends_in_a_mark)
{
    char key[251];
    char out[FAMILY_TEXT];

    for (size_t len = 60; len <= 250; len++) {
        memset(key, 'k', len);
        key[len] = '\0';
        cr_assert_eq(family_text(key, out).len, len < FAMILY_TEXT ? len : FAMILY_TEXT);
        cr_assert_eq(out[len < FAMILY_TEXT ? len - 1 : FAMILY_TEXT - 1],
                     len > FAMILY_TEXT ? '*' : 'k', "%zu", len);
    }
}

Test(families, any_bytes_have_one)
{
    uint64_t state = 5;
    char key[250];
    char out[FAMILY_TEXT + 1];

    for (unsigned round = 0; round < 100000; round++) {
        size_t len = 1 + (size_t)(next_random(&state) % sizeof(key));
        bool tame = next_random(&state) % 2 == 0;
        size_t family;
        for (size_t i = 0; i < len; i++)
            key[i] = tame ? "ab0f-:*9"[random_below(&state, 8)] : (char)random_below(&state, 256);
        out[FAMILY_TEXT] = 0x7f;
        family = family_of(slice_of(key, len), out);
        cr_assert(family >= 1 && family <= FAMILY_TEXT && family <= len);
        cr_assert_eq(out[FAMILY_TEXT], 0x7f);
    }
}

static void see(struct families *families, const char *key, enum family_event event,
                uint32_t weight)
{
    struct family_seen seen = { .key = slice_string(key), .event = event, .weight = weight };
    families_add(families, &seen);
}

static const struct family *find(const struct families *families, const char *text)
{
    for (unsigned i = 0; i < families->count; i++)
        if (slice_equal(slice_of(families->entries[i].text, families->entries[i].text_len),
                        slice_string(text)))
            return &families->entries[i];
    return NULL;
}

Test(families, what_is_done_is_counted_by_weight)
{
    struct families *families = calloc(1, sizeof(*families));
    const struct family *family;

    see(families, "user:1", FAMILY_READ, 10);
    see(families, "user:2", FAMILY_READ, 1);
    see(families, "user:3", FAMILY_COUNT, 5);
    families_add(families, &(struct family_seen){ .key = SLICE("user:4"),
                                                  .event = FAMILY_ADD,
                                                  .has_value = true,
                                                  .format = VALUE_INTEGER,
                                                  .expiry = 60,
                                                  .weight = 7,
                                                  .arm = 3 });
    families_add(families, &(struct family_seen){ .key = SLICE("user:5"),
                                                  .event = FAMILY_ADD,
                                                  .expiry = FAMILY_SHORT_EXPIRY + 1,
                                                  .weight = 1,
                                                  .arm = 40 });
    see(families, "other", FAMILY_DELETE, 2);
    cr_assert_eq(families->count, 2);
    cr_assert_eq(families->samples, 6);
    cr_assert_eq(families->weight, 26);
    family = find(families, "user:*");
    cr_assert_eq(family->samples, 5);
    cr_assert_eq(family->weight, 24);
    cr_assert_eq(family->error, 0);
    cr_assert_eq(family->events[FAMILY_READ], 11);
    cr_assert_eq(family->events[FAMILY_COUNT], 5);
    cr_assert_eq(family->events[FAMILY_ADD], 8);
    cr_assert_eq(family->short_adds, 7);
    cr_assert_eq(family->formats[VALUE_INTEGER], 7);
    cr_assert_eq(family->arms, 1u << 3 | 1u);
    cr_assert(slice_equal(slice_of(family->example, family->example_len), SLICE("user:1")));
    free(families);
}

/* However many kinds of keys there are, the frequent ones are kept, with their counts. */
Test(families, the_frequent_ones_survive_a_flood_of_rare_ones)
{
    struct families *families = calloc(1, sizeof(*families));
    uint64_t state = 1;
    char key[64];

    for (unsigned round = 0; round < 200000; round++) {
        if (round % 20 == 0)
            see(families, round % 40 == 0 ? "lock:1" : "hits", FAMILY_ADD, 1);
        (void)snprintf(key, sizeof(key), "%c%c%c%c", (int)('g' + random_below(&state, 20)),
                       (int)('g' + random_below(&state, 20)), (int)('g' + random_below(&state, 20)),
                       (int)('g' + random_below(&state, 20)));
        see(families, key, FAMILY_READ, 1);
        cr_assert_leq(families->count, FAMILIES_MAX);
    }
    cr_assert_not_null(find(families, "lock:*"));
    cr_assert_eq(find(families, "lock:*")->events[FAMILY_ADD], 5000);
    cr_assert_eq(find(families, "hits")->events[FAMILY_ADD], 5000);
    cr_assert_eq(families->weight, 210000);
    free(families);
}

/* User names are neither numbers nor hexadecimal: they are found out by how many there are. */
Test(families, a_word_that_changes_is_found_out)
{
    struct families *families = calloc(1, sizeof(*families));
    const struct family *family;
    uint64_t state = 2;
    char key[80];

    for (unsigned round = 0; round < 20000; round++) {
        char name[8] = "";
        for (unsigned i = 0; i < 6; i++)
            name[i] = (char)('g' + random_below(&state, 20));
        (void)snprintf(key, sizeof(key), "user:%s:cart", name);
        see(families, key, FAMILY_READ, 1);
        (void)snprintf(key, sizeof(key), "lock:%s", name);
        see(families, key, FAMILY_ADD, 1);
        (void)snprintf(key, sizeof(key), "post:%s:by:%.2sa", name + 3, name);
        see(families, key, FAMILY_DELETE, 1);
    }
    family = find(families, "user:*:cart");
    cr_assert_not_null(family);
    cr_assert(family->merged);
    cr_assert_geq(family->events[FAMILY_READ], 19000);
    cr_assert_eq(family->events[FAMILY_ADD] + family->events[FAMILY_DELETE], 0);
    cr_assert_not_null(find(families, "lock:*"));
    cr_assert_geq(find(families, "lock:*")->events[FAMILY_ADD], 19000);
    cr_assert_not_null(find(families, "post:*:*:*"));
    cr_assert_eq(find(families, "post:*:*:*")->events[FAMILY_READ], 0);
    free(families);
}

/* What begins the keys is what tells them apart, unless there is no end of such beginnings. */
Test(families, a_name_in_front_is_found_out_and_kinds_are_not_mixed_up)
{
    struct families *families = calloc(1, sizeof(*families));
    uint64_t state = 3;
    char key[80];

    for (unsigned i = 0; i < 60; i++) { /* many kinds with a number behind them, each seen once */
        (void)snprintf(key, sizeof(key), "kind%c%c:%u", (int)('g' + i % 10), (int)('g' + i / 10),
                       i);
        see(families, key, FAMILY_READ, 1);
    }
    for (unsigned i = 0; i < 3000; i++) {
        char name[8] = "";
        for (unsigned j = 0; j < 6; j++)
            name[j] = (char)('g' + random_below(&state, 20));
        (void)snprintf(key, sizeof(key), "%s:cart", name);
        see(families, key, FAMILY_DELETE, 1);
    }
    cr_assert_not_null(find(families, "*:cart"));
    cr_assert_eq(find(families, "*:cart")->events[FAMILY_READ], 0);
    cr_assert_not_null(find(families, "kindgg:*"));
    cr_assert_eq(find(families, "kindgg:*")->events[FAMILY_READ], 1);
    cr_assert_eq(find(families, "kindpl:*")->events[FAMILY_READ], 1);
    free(families);
}

Test(families, workers_are_added_up)
{
    struct families *both = calloc(1, sizeof(*both));
    struct families *one = calloc(1, sizeof(*one));
    struct families *two = calloc(1, sizeof(*two));
    char key[64];

    see(one, "user:1", FAMILY_READ, 3);
    see(one, "lock:1", FAMILY_ADD, 4);
    see(two, "user:2", FAMILY_DELETE, 5);
    for (unsigned i = 0; i < 1000; i++) {
        (void)snprintf(key, sizeof(key), "name:x%cy%cz%c", (int)('g' + i % 10),
                       (int)('g' + i / 10 % 10), (int)('g' + i / 100));
        see(two, key, FAMILY_COUNT, 1);
    }
    see(one, "name:abc", FAMILY_COUNT, 1);
    families_merge(both, two);
    families_merge(both, one);
    cr_assert_eq(both->weight, one->weight + two->weight);
    cr_assert_eq(both->samples, one->samples + two->samples);
    cr_assert_eq(find(both, "user:*")->events[FAMILY_READ], 3);
    cr_assert_eq(find(both, "user:*")->events[FAMILY_DELETE], 5);
    cr_assert_eq(find(both, "lock:*")->weight, 4);
    cr_assert_eq(find(both, "name:*")->events[FAMILY_COUNT], 1001);
    cr_assert_null(find(both, "name:abc"));
    free(both);
    free(one);
    free(two);
}
