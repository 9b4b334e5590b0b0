#include "crossfade/route/keyspace.h"
#include "random.h"

#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <stdio.h>

#define ARMS 5u

static char *const names[ARMS] = { "", "py3", "p", "py", "web-4f2c1e_" };
static struct config_arm arms[ARMS];
static struct config_rule rules[] = {
    { .match = (char[]){ "lock:" },
      .prefix = true,
      .scope = SCOPE_SHARED,
      .guard = true,
      .coherence = COHERENCE_FANOUT },
    { .match = (char[]){ "json:" },
      .prefix = true,
      .scope = SCOPE_ISOLATED,
      .coherence = COHERENCE_NONE,
      .writes = WRITES_MUTATE },
};

static struct config make_config(size_t rule_count, enum config_long_keys long_keys)
{
    for (unsigned i = 0; i < ARMS; i++)
        arms[i] = (struct config_arm){ .name = names[i], .namespace = names[i] };
    return (struct config){ .arms = arms,
                            .arm_count = ARMS,
                            .cache = { .present = true,
                                       .long_keys = long_keys,
                                       .coherence = COHERENCE_FANOUT,
                                       .rules = rules,
                                       .rule_count = rule_count } };
}

static const uint64_t ones[ARMS] = { 1, 1, 1, 1, 1 };

struct wire {
    enum key_verdict verdict;
    struct key_place place;
    char data[KEY_MAX + 1];
};

static struct wire wire_of(const struct keyspace *keyspace, unsigned arm, struct slice key)
{
    struct wire wire = { 0 };
    wire.verdict = keyspace_place(keyspace, arm, key, &wire.place);
    if (wire.verdict != KEY_OK)
        return wire;
    cr_assert_leq(wire.place.wire_len, KEY_MAX);
    memset(wire.data, 0x7f, sizeof(wire.data));
    keyspace_compose(&wire.place, key, wire.data);
    cr_assert_eq(wire.data[wire.place.wire_len], 0x7f, "more was written than wire_len");
    return wire;
}

static struct slice bytes_of(const struct wire *wire)
{
    return slice_of(wire->data, wire->place.wire_len);
}

Test(keyspace, a_prefix_is_namespace_and_generation_padded_to_threes)
{
    struct config config = make_config(0, LONG_KEYS_HASH);
    const uint64_t generations[ARMS] = { 7, 1, 12, 123, UINT64_MAX };
    struct keyspace *keyspace = keyspace_create(&config, generations);
    cr_assert_eq(keyspace_prefix(keyspace, 0).len, 0);
    cr_assert(slice_equal(keyspace_prefix(keyspace, 1), SLICE("py3.1:")));
    cr_assert(slice_equal(keyspace_prefix(keyspace, 2), SLICE("p.012:")));
    cr_assert(slice_equal(keyspace_prefix(keyspace, 3), SLICE("py.00123:")));
    for (unsigned i = 1; i < ARMS; i++) {
        struct slice prefix = keyspace_prefix(keyspace, i);
        cr_assert_eq(prefix.len % 3, 0);
        cr_assert(slice_starts(prefix, slice_string(names[i])));
        cr_assert_eq(prefix.data[prefix.len - 1], ':');
    }
    keyspace_destroy(keyspace);
}

Test(keyspace, every_padding_is_a_multiple_of_three)
{
    char name[65];
    struct config config = make_config(0, LONG_KEYS_HASH);

    for (unsigned len = 1; len <= 64; len++) {
        for (uint64_t generation = 1; generation < 2000000000; generation *= 10) {
            const uint64_t generations[ARMS] = { 1, generation, 1, 1, 1 };
            struct keyspace *keyspace;
            struct slice prefix;
            uint64_t back;
            memset(name, 'n', len);
            name[len] = '\0';
            arms[1].namespace = name;
            keyspace = keyspace_create(&config, generations);
            prefix = keyspace_prefix(keyspace, 1);
            cr_assert_eq(prefix.len % 3, 0);
            cr_assert_leq(prefix.len, len + 2 + 10 + 2);
            cr_assert(slice_to_u64(slice_of(prefix.data + len + 1, prefix.len - len - 2), &back));
            cr_assert_eq(back, generation);
            keyspace_destroy(keyspace);
        }
    }
}

Test(keyspace, a_prefix_is_added_even_if_it_is_there_already)
{
    struct config config = make_config(0, LONG_KEYS_HASH);
    struct keyspace *keyspace = keyspace_create(&config, ones);
    struct wire wire = wire_of(keyspace, 1, SLICE("py3.1:a"));
    cr_assert_eq(wire.verdict, KEY_OK);
    cr_assert(slice_equal(bytes_of(&wire), SLICE("py3.1:py3.1:a")));
    keyspace_destroy(keyspace);
}

static void digest_of(struct slice key, char out[45])
{
    unsigned char hash[32];
    unsigned char text[48];
    cr_assert_eq(EVP_Digest(key.data, key.len, hash, NULL, EVP_sha256(), NULL), 1);
    cr_assert_eq(EVP_EncodeBlock(text, hash, sizeof(hash)), 44);
    out[0] = '#';
    for (unsigned i = 0; i < 43; i++)
        out[1 + i] = text[i] == '+' ? '-' : text[i] == '/' ? '_' : (char)text[i];
    out[44] = '\0';
}

Test(keyspace, no_key_passes_250_bytes_with_its_prefix)
{
    for (unsigned prefix_digits = 1; prefix_digits <= 18; prefix_digits++) {
        uint64_t generations[ARMS] = { 1, 1, 1, 1, 1 };
        for (unsigned i = 1; i < prefix_digits; i++)
            generations[1] *= 10;
        for (int refuse = 0; refuse <= 1; refuse++) {
            struct config config = make_config(0, refuse ? LONG_KEYS_REFUSE : LONG_KEYS_HASH);
            struct keyspace *keyspace = keyspace_create(&config, generations);
            size_t prefix_len = keyspace_prefix(keyspace, 1).len;
            char key[KEY_MAX + 2];
            memset(key, 'k', sizeof(key));
            for (size_t len = 1; len <= KEY_MAX + 1; len++) {
                struct slice client = slice_of(key, len);
                struct wire bare = wire_of(keyspace, 0, client);
                struct wire wire = wire_of(keyspace, 1, client);
                char form[45];
                cr_assert_eq(bare.verdict, len > KEY_MAX ? KEY_TOO_LONG : KEY_OK);
                if (len <= KEY_MAX)
                    cr_assert(slice_equal(bytes_of(&bare), client));
                if (len > KEY_MAX || (refuse && prefix_len + len > KEY_MAX)) {
                    cr_assert_eq(wire.verdict, KEY_TOO_LONG);
                    continue;
                }
                cr_assert_eq(wire.verdict, KEY_OK);
                cr_assert(slice_starts(bytes_of(&wire), keyspace_prefix(keyspace, 1)));
                cr_assert_eq(wire.place.hashed, prefix_len + len > KEY_MAX);
                digest_of(client, form);
                cr_assert(
                    slice_equal(slice_of(wire.data + prefix_len, wire.place.wire_len - prefix_len),
                                wire.place.hashed ? slice_string(form) : client));
            }
            keyspace_destroy(keyspace);
        }
    }
}

/* 186 bytes make 248 characters in base64, which is how the meta protocol names what no line can
 * hold. */
Test(keyspace, a_key_that_only_base64_can_name_fits_in_base64_with_its_prefix)
{
    for (int refuse = 0; refuse <= 1; refuse++) {
        struct config config = make_config(0, refuse ? LONG_KEYS_REFUSE : LONG_KEYS_HASH);
        struct keyspace *keyspace = keyspace_create(&config, ones);
        size_t prefix_len = keyspace_prefix(keyspace, 1).len;
        char key[KEY_MAX];

        for (size_t len = 1; len <= KEY_MAX; len++) {
            for (unsigned kind = 0; kind < 4; kind++) {
                static const char bytes[] = { 'k', ' ', '\n', '\x7f' };
                struct slice client = slice_of(key, len);
                struct wire bare;
                struct wire wire;
                bool beyond = bytes[kind] != 'k' && len <= KEY_BASE64_MAX &&
                              prefix_len + len > KEY_BASE64_MAX;

                memset(key, 'k', sizeof(key));
                key[len / 2] = bytes[kind];
                cr_assert_eq(keyspace_is_text(client), kind == 0);
                bare = wire_of(keyspace, 0, client);
                cr_assert(bare.verdict == KEY_OK && slice_equal(bytes_of(&bare), client));
                wire = wire_of(keyspace, 1, client);
                if (prefix_len + len > KEY_MAX)
                    beyond = true;
                cr_assert_eq(wire.verdict, beyond && refuse ? KEY_TOO_LONG : KEY_OK);
                cr_assert(wire.verdict != KEY_OK || wire.place.hashed == beyond, "%zu %u", len,
                          kind);
            }
        }
        keyspace_destroy(keyspace);
    }
}

Test(keyspace, a_key_in_the_form_of_a_digest_is_a_digest_of_itself)
{
    for (int refuse = 0; refuse <= 1; refuse++) {
        struct config config = make_config(1, refuse ? LONG_KEYS_REFUSE : LONG_KEYS_HASH);
        struct keyspace *keyspace = keyspace_create(&config, ones);
        char form[45], of_form[45];
        digest_of(SLICE("some long key"), form);
        digest_of(slice_of(form, 44), of_form);
        for (unsigned arm = 0; arm < ARMS; arm++) {
            struct wire wire = wire_of(keyspace, arm, slice_of(form, 44));
            size_t prefix = keyspace_prefix(keyspace, arm).len;
            cr_assert(wire.place.hashed);
            cr_assert(slice_equal(slice_of(wire.data + prefix, wire.place.wire_len - prefix),
                                  slice_of(of_form, 44)));
            cr_assert(!wire_of(keyspace, arm, slice_of(form, 43)).place.hashed);
            form[44] = 'A';
            cr_assert(!wire_of(keyspace, arm, slice_of(form, 45)).place.hashed);
            form[20] ^= (char)0x80;
            cr_assert(!wire_of(keyspace, arm, slice_of(form, 44)).place.hashed);
            form[20] ^= (char)0x80;
        }
        keyspace_destroy(keyspace);
    }
}

static const struct {
    const char *key;
    bool form;  /* of a prefix */
    bool named; /* and its word is a namespace of this configuration */
} reserved[] = {
    { "a.1:", true, false },
    { "a.1:x", true, false },
    { "py3.1:k", true, true },
    { "A-_9.007:k", true, false },
    { "-.0:", true, false },
    { "a.18446744073709551616:", true, false },
    { "py3.000:", true, true },
    { "p.1:k", true, true },
    { "web-4f2c1e_.22:k", true, true },
    { "py31.1:k", true, false },
    { "py2.1:k", true, false },
    { "PY3.1:k", true, false },
    { "a.1", false, false },
    { "a.:", false, false },
    { "a.:x", false, false },
    { ".1:", false, false },
    { "a.1x:", false, false },
    { "a.1;", false, false },
    { "a..1:", false, false },
    { "a.1.2:", false, false },
    { "a b.1:", false, false },
    { "a:b.1:", false, false },
    { "a", false, false },
    { ".", false, false },
    { ":", false, false },
    { "a.", false, false },
    { "\xc3\xa4.1:", false, false },
    { "a. 1:", false, false },
    { "a.-1:", false, false },
    { "py3.+1:", false, false },
    { "aa.11:bb.22:", true, false },
};

static void check_reserved(enum config_reserved_keys choice)
{
    struct config config = make_config(2, LONG_KEYS_HASH);
    struct keyspace *keyspace;

    config.cache.reserved_keys = choice;
    keyspace = keyspace_create(&config, ones);
    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
        struct slice key = slice_string(reserved[i].key);
        struct wire plain = wire_of(keyspace, 0, key);
        struct wire prefixed = wire_of(keyspace, 1, key);
        bool touched = choice == RESERVED_KEYS_KEEP ? reserved[i].named : reserved[i].form;
        char digest[45];

        cr_assert_eq(prefixed.verdict, KEY_OK, "%s", reserved[i].key);
        cr_assert_eq(prefixed.place.wire_len, prefixed.place.prefix.len + key.len);
        if (touched && choice == RESERVED_KEYS_REFUSE) {
            cr_assert_eq(plain.verdict, KEY_RESERVED, "%s", reserved[i].key);
            continue;
        }
        cr_assert_eq(plain.verdict, KEY_OK, "%s", reserved[i].key);
        cr_assert_eq(plain.place.hashed, touched, "%s", reserved[i].key);
        digest_of(key, digest);
        cr_assert(slice_equal(bytes_of(&plain), touched ? slice_of(digest, 44) : key), "%s",
                  reserved[i].key);
    }
    keyspace_destroy(keyspace);
}

Test(keyspace, the_reserved_form_is_kept_but_for_the_arms_own_namespaces)
{
    check_reserved(RESERVED_KEYS_KEEP);
}

Test(keyspace, the_reserved_form_is_hashed_without_a_prefix_only)
{
    check_reserved(RESERVED_KEYS_HASH);
}

Test(keyspace, the_reserved_form_is_refused_without_a_prefix_only)
{
    check_reserved(RESERVED_KEYS_REFUSE);
}

/* A rule can make a key shared that looks like an arm's entry; it must not reach that entry. */
Test(keyspace, the_reserved_form_does_not_reach_an_arm_from_shared_scope)
{
    struct config_rule shared[] = {
        { .match = (char[]){ "" }, .prefix = true, .scope = SCOPE_SHARED }
    };
    struct config config = make_config(0, LONG_KEYS_HASH);
    struct keyspace *keyspace;

    config.cache.rules = shared;
    config.cache.rule_count = 1;
    for (int choice = RESERVED_KEYS_KEEP; choice <= RESERVED_KEYS_REFUSE; choice++) {
        config.cache.reserved_keys = (enum config_reserved_keys)choice;
        keyspace = keyspace_create(&config, ones);
        for (unsigned arm = 0; arm < ARMS; arm++) {
            struct wire wire = wire_of(keyspace, arm, SLICE("py3.1:k"));
            if (choice == RESERVED_KEYS_REFUSE)
                cr_assert_eq(wire.verdict, KEY_RESERVED);
            else
                cr_assert(wire.verdict == KEY_OK && wire.place.hashed);
            cr_assert_eq(wire_of(keyspace, arm, SLICE("py3.k")).verdict, KEY_OK);
        }
        keyspace_destroy(keyspace);
    }
}

/* long_keys: refuse speaks of the prefix, which these do not have. */
Test(keyspace, a_reserved_key_is_replaced_at_any_length)
{
    struct config config = make_config(0, LONG_KEYS_REFUSE);
    struct keyspace *keyspace = keyspace_create(&config, ones);
    char key[KEY_MAX] = "py3.1:";
    struct wire wire;

    memset(key + 6, 'k', sizeof(key) - 6);
    wire = wire_of(keyspace, 0, slice_of(key, sizeof(key)));
    cr_assert(wire.verdict == KEY_OK && wire.place.hashed);
    cr_assert_eq(wire.place.wire_len, 44);
    keyspace_destroy(keyspace);
}

Test(keyspace, lookups_are_no_keys_of_anybody)
{
    struct config_rule shared[] = {
        { .match = (char[]){ "" }, .prefix = true, .scope = SCOPE_SHARED }
    };
    struct config config = make_config(0, LONG_KEYS_HASH);

    config.cache.rules = shared;
    for (size_t rule_count = 0; rule_count <= 1; rule_count++) {
        struct keyspace *keyspace;
        config.cache.rule_count = rule_count;
        keyspace = keyspace_create(&config, ones);
        for (unsigned arm = 0; arm < ARMS; arm++) {
            char key[KEY_MAX + 1] = LOOKUP_PREFIX "arm/";
            cr_assert_eq(wire_of(keyspace, arm, slice_string(LOOKUP_PREFIX)).verdict, KEY_LOOKUP);
            cr_assert_eq(wire_of(keyspace, arm, slice_string(key)).verdict, KEY_LOOKUP);
            memset(key + strlen(key), 'x', sizeof(key) - strlen(key));
            cr_assert_eq(wire_of(keyspace, arm, slice_of(key, KEY_MAX)).verdict, KEY_LOOKUP);
            cr_assert_eq(wire_of(keyspace, arm, slice_of(key, KEY_MAX + 1)).verdict, KEY_TOO_LONG);
            cr_assert_eq(wire_of(keyspace, arm, SLICE("__crossfade__")).verdict, KEY_OK);
            cr_assert_eq(wire_of(keyspace, arm, SLICE("__crossfade__:x")).verdict, KEY_OK);
            cr_assert_eq(wire_of(keyspace, arm, SLICE("x__crossfade__/arm")).verdict, KEY_OK);
        }
        keyspace_destroy(keyspace);
    }
}

Test(keyspace, rules_say_how_a_key_is_treated)
{
    struct config config = make_config(2, LONG_KEYS_HASH);
    struct keyspace *keyspace = keyspace_create(&config, ones);
    for (unsigned arm = 0; arm < ARMS; arm++) {
        struct wire wire = wire_of(keyspace, arm, SLICE("lock:x"));
        cr_assert(slice_equal(bytes_of(&wire), SLICE("lock:x")), "shared keys have no prefix");
        cr_assert_eq(wire.place.prefix.len, 0);
        cr_assert_eq(wire.place.scope, SCOPE_SHARED);
        cr_assert_eq(wire.place.coherence, COHERENCE_NONE, "there is one copy");
        cr_assert(wire.place.guard);
        cr_assert_eq(wire.place.rule, 0);

        wire = wire_of(keyspace, arm, SLICE("json:x"));
        cr_assert(slice_equal(wire.place.prefix, keyspace_prefix(keyspace, arm)));
        cr_assert_eq(wire.place.scope, SCOPE_ISOLATED);
        cr_assert_eq(wire.place.coherence, COHERENCE_NONE);
        cr_assert_eq(wire.place.writes, WRITES_MUTATE);
        cr_assert_eq(wire.place.rule, 1);

        wire = wire_of(keyspace, arm, SLICE("other"));
        cr_assert_eq(wire.place.scope, SCOPE_ISOLATED);
        cr_assert_eq(wire.place.coherence, COHERENCE_FANOUT);
        cr_assert_eq(wire.place.writes, WRITES_AUTO);
        cr_assert(!wire.place.guard);
        cr_assert_eq(wire.place.rule, -1);
    }
    keyspace_destroy(keyspace);
}

Test(keyspace, the_others_are_every_other_prefix_once)
{
    struct config config = make_config(0, LONG_KEYS_HASH);
    const uint64_t generations[ARMS] = { 1, 1, 2, 1, 1 };
    const unsigned *others;
    struct keyspace *keyspace = keyspace_create(&config, ones);

    for (unsigned arm = 0; arm < ARMS; arm++) {
        size_t count = keyspace_others(keyspace, arm, &others);
        cr_assert_eq(count, ARMS - 1);
        for (size_t i = 0; i < count; i++) {
            cr_assert_neq(others[i], arm);
            cr_assert(i == 0 || others[i] > others[i - 1]);
        }
    }
    keyspace_destroy(keyspace);

    /* Two arms with the namespace "py3" in one generation, a third in another. */
    for (unsigned i = 1; i <= 3; i++)
        arms[i].namespace = arms[1].namespace;
    keyspace = keyspace_create(&config, generations);
    cr_assert_eq(keyspace_others(keyspace, 1, &others), 3);
    cr_assert_eq(others[0], 0);
    cr_assert_eq(others[1], 2);
    cr_assert_eq(others[2], 4);
    cr_assert_eq(keyspace_others(keyspace, 0, &others), 3);
    cr_assert_eq(others[0], 1);
    keyspace_destroy(keyspace);
}

/* -- No two arms or keys ever name one entry --------------------------------------------------- */

struct entry {
    char wire[KEY_MAX];
    size_t wire_len;
    char key[KEY_MAX];
    size_t key_len;
    struct slice prefix; /* of the arm; empty for shared too */
    bool shared;
};

static int compare_entries(const void *left, const void *right)
{
    const struct entry *a = left;
    const struct entry *b = right;
    int order;
    if (a->wire_len != b->wire_len)
        return a->wire_len < b->wire_len ? -1 : 1;
    order = memcmp(a->wire, b->wire, a->wire_len);
    return order;
}

/* Keys that were made to be mistaken for others: prefixes of arms, digests, and both together. */
static size_t adversarial_key(uint64_t *state, char *key)
{
    static const char *const parts[] = { "py3",    "p",       "py",     "web-4f2c1e_", ".",
                                         ":",      "#",       "0",      "1",           "01",
                                         "2",      "lock:",   "json:",  "a",           "",
                                         "py3.1:", "p.0001:", "p.001:", "py.02:",      "py.002:" };
    size_t len = 0;
    unsigned count = 1 + random_below(state, 5);

    for (unsigned i = 0; i < count; i++) {
        char form[45];
        const char *part = parts[random_below(state, sizeof(parts) / sizeof(parts[0]))];
        if (random_below(state, 8) == 0) {
            char long_key[KEY_MAX];
            memset(long_key, 'a' + (char)random_below(state, 3), sizeof(long_key));
            digest_of(slice_of(long_key, KEY_MAX - random_below(state, 4)), form);
            part = form;
        }
        if (len + strlen(part) > KEY_MAX)
            break;
        memcpy(key + len, part, strlen(part));
        len += strlen(part);
    }
    if (random_below(state, 10) == 0) {
        len = KEY_MAX - random_below(state, 4);
        memset(key, 'a' + (char)random_below(state, 3), len);
    }
    if (len == 0)
        key[len++] = 'x';
    return len;
}

Test(keyspace, two_keys_never_name_one_entry, .timeout = 60)
{
    enum { COUNT = 60000 };
    struct entry *entries = calloc(COUNT, sizeof(*entries));
    static const uint64_t generations[][ARMS] = { { 1, 1, 1, 1, 1 },
                                                  { 1, 2, 1, 10, 1 },
                                                  { 9, 11, 100, 1, 2 } };
    struct config config = make_config(2, LONG_KEYS_HASH);
    size_t count = 0;
    unsigned equal = 0, hashed = 0;
    uint64_t state = 42;
    struct keyspace *keyspaces[3];

    for (unsigned i = 0; i < 3; i++)
        keyspaces[i] = keyspace_create(&config, generations[i]);
    while (count < COUNT) {
        struct entry *entry = &entries[count];
        struct keyspace *keyspace = keyspaces[random_below(&state, 3)];
        unsigned arm = random_below(&state, ARMS);
        struct wire wire;
        entry->key_len = adversarial_key(&state, entry->key);
        wire = wire_of(keyspace, arm, slice_of(entry->key, entry->key_len));
        if (wire.verdict != KEY_OK)
            continue;
        hashed += wire.place.hashed;
        entry->shared = wire.place.scope == SCOPE_SHARED;
        entry->prefix = entry->shared ? slice_of(NULL, 0) : keyspace_prefix(keyspace, arm);
        entry->wire_len = wire.place.wire_len;
        memcpy(entry->wire, wire.data, entry->wire_len);
        count++;
    }
    qsort(entries, COUNT, sizeof(*entries), compare_entries);
    for (size_t i = 1; i < COUNT; i++) {
        const struct entry *a = &entries[i - 1];
        const struct entry *b = &entries[i];
        if (compare_entries(a, b) != 0)
            continue;
        equal++;
        cr_assert(slice_equal(slice_of(a->key, a->key_len), slice_of(b->key, b->key_len)),
                  "%.*s and %.*s", (int)a->key_len, a->key, (int)b->key_len, b->key);
        cr_assert(slice_equal(a->prefix, b->prefix));
        cr_assert_eq(a->shared, b->shared);
    }
    /* The test sees something: keys do come again, and some are replaced. */
    cr_assert_gt(equal, 1000);
    cr_assert_gt(hashed, 1000);
    for (unsigned i = 0; i < 3; i++)
        keyspace_destroy(keyspaces[i]);
    free(entries);
}

/* -- Epoch mode -------------------------------------------------------------------------------- */

static const uint64_t several[ARMS] = { 7, 1, 12, 123, UINT64_MAX };

static struct keyspace *make_epoch(enum config_reserved_keys reserved_keys)
{
    struct config config = make_config(2, LONG_KEYS_HASH);

    config.cache.coherence = COHERENCE_EPOCH;
    config.cache.reserved_keys = reserved_keys;
    return keyspace_create(&config, several);
}

Test(keyspace, in_epoch_mode_every_arm_has_a_prefix_of_its_own)
{
    static const char *const prefixes[ARMS] = { "cf~.7:", "cf~py3.1:", "cf~p.012:", "cf~py.00123:",
                                                "cf~web-4f2c1e_.18446744073709551615:" };
    struct keyspace *keyspace = make_epoch(RESERVED_KEYS_KEEP);

    for (unsigned arm = 0; arm < ARMS; arm++) {
        struct wire wire = wire_of(keyspace, arm, SLICE("k"));
        struct slice prefix = keyspace_epoch_prefix(keyspace, arm);

        cr_assert_eq(wire.place.coherence, COHERENCE_EPOCH);
        cr_assert_eq(prefix.len % 3, 0);
        cr_assert(slice_equal(wire.place.prefix, prefix));
        cr_assert(slice_starts(bytes_of(&wire), prefix));
        cr_assert(slice_starts(prefix, slice_string(prefixes[arm])) || arm == 4, "%.*s",
                  (int)prefix.len, prefix.data);
        /* By another rule the same arm has the other one. */
        wire = wire_of(keyspace, arm, SLICE("json:k"));
        cr_assert_eq(wire.place.coherence, COHERENCE_NONE);
        cr_assert(slice_equal(wire.place.prefix, keyspace_prefix(keyspace, arm)));
        wire = wire_of(keyspace, arm, SLICE("lock:k"));
        cr_assert(wire.place.prefix.len == 0 && wire.place.coherence == COHERENCE_NONE);
        for (unsigned other = 0; other < ARMS; other++)
            cr_assert(other == arm ||
                      !slice_starts(keyspace_epoch_prefix(keyspace, other), prefix));
        cr_assert(!slice_starts(SLICE("cf~:e:"), prefix));
    }
    keyspace_destroy(keyspace);
}

/* What a client names must not reach a value of epoch mode, nor an epoch item. */
Test(keyspace, a_key_that_looks_like_one_of_epoch_mode_is_replaced_without_a_prefix)
{
    static const char *const keys[] = { "cf~", "cf~:e:k", "cf~.7:k", "cf~py3.1:k", "cf~x" };

    for (int choice = RESERVED_KEYS_KEEP; choice <= RESERVED_KEYS_REFUSE; choice++) {
        struct config config = make_config(0, LONG_KEYS_REFUSE);
        struct keyspace *keyspace;

        config.cache.reserved_keys = (enum config_reserved_keys)choice;
        keyspace = keyspace_create(&config, ones);
        for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
            struct wire plain = wire_of(keyspace, 0, slice_string(keys[i]));
            struct wire prefixed = wire_of(keyspace, 1, slice_string(keys[i]));

            cr_assert(plain.verdict == KEY_OK && plain.place.hashed, "%s", keys[i]);
            cr_assert(prefixed.verdict == KEY_OK && !prefixed.place.hashed, "%s", keys[i]);
        }
        cr_assert(!wire_of(keyspace, 0, SLICE("cf")).place.hashed);
        cr_assert(!wire_of(keyspace, 0, SLICE("cf:~")).place.hashed);
        keyspace_destroy(keyspace);
    }
}

static struct wire epoch_of(const struct keyspace *keyspace, struct slice key)
{
    struct wire wire = { 0 };

    keyspace_epoch(keyspace, key, &wire.place);
    cr_assert_leq(wire.place.wire_len, KEY_MAX);
    memset(wire.data, 0x7f, sizeof(wire.data));
    keyspace_compose(&wire.place, key, wire.data);
    cr_assert_eq(wire.data[wire.place.wire_len], 0x7f);
    cr_assert(keyspace_is_text(bytes_of(&wire)));
    return wire;
}

Test(keyspace, an_epoch_item_can_be_named_in_a_text_line_whatever_its_key)
{
    struct keyspace *keyspace = make_epoch(RESERVED_KEYS_REFUSE);
    char digest[45];
    char key[KEY_MAX];
    struct wire wire = epoch_of(keyspace, SLICE("a:b"));

    cr_assert(slice_equal(bytes_of(&wire), SLICE("cf~:e:a:b")));
    wire = epoch_of(keyspace, SLICE("cf~:e:a"));
    cr_assert(slice_equal(bytes_of(&wire), SLICE("cf~:e:cf~:e:a")));
    wire = epoch_of(keyspace, SLICE("py3.1:a"));
    cr_assert(slice_equal(bytes_of(&wire), SLICE("cf~:e:py3.1:a")));
    memset(key, 'k', sizeof(key));
    for (size_t len = 1; len <= KEY_MAX; len++) {
        wire = epoch_of(keyspace, slice_of(key, len));
        cr_assert_eq(wire.place.hashed, len > KEY_MAX - 6);
        cr_assert_eq(wire.place.wire_len, len > KEY_MAX - 6 ? 50 : len + 6);
    }
    for (unsigned c = 0; c < 256; c++) {
        key[1] = (char)c;
        wire = epoch_of(keyspace, slice_of(key, 3));
        cr_assert_eq(wire.place.hashed, c <= ' ' || c == 0x7f);
    }
    digest_of(SLICE("x"), digest);
    wire = epoch_of(keyspace, slice_of(digest, 44));
    cr_assert(wire.place.hashed);
    cr_assert_neq(memcmp(wire.data + 6, digest, 44), 0);
    keyspace_destroy(keyspace);
}

Test(keyspace, hosts_without_crossfade_have_the_key_as_it_is)
{
    struct keyspace *keyspace = make_epoch(RESERVED_KEYS_KEEP);
    struct config config = make_config(0, LONG_KEYS_HASH);
    struct key_place place;
    char wire[KEY_MAX];

    cr_assert(keyspace_bystander(keyspace, SLICE("a:b"), &place));
    cr_assert(place.prefix.len == 0 && place.wire_len == 3 && !place.hashed);
    cr_assert_eq(place.coherence, COHERENCE_NONE);
    /* It must not name an arm's entry. */
    cr_assert(keyspace_bystander(keyspace, SLICE("py3.1:a"), &place));
    cr_assert(place.hashed);
    keyspace_compose(&place, SLICE("py3.1:a"), wire);
    cr_assert_eq(wire[0], '#');
    keyspace_destroy(keyspace);
    keyspace = make_epoch(RESERVED_KEYS_REFUSE);
    cr_assert(!keyspace_bystander(keyspace, SLICE("py3.1:a"), &place), "there is no such key");
    keyspace_destroy(keyspace);
    arms[0].namespace = (char[]){ "x" };
    keyspace = keyspace_create(&config, ones);
    cr_assert(!keyspace_bystander(keyspace, SLICE("a"), &place));
    keyspace_destroy(keyspace);
}

Test(keyspace, the_salt_is_the_namespaces_alone)
{
    struct config config = make_config(0, LONG_KEYS_HASH);
    struct keyspace *a = keyspace_create(&config, ones);
    struct keyspace *b = make_epoch(RESERVED_KEYS_KEEP);

    for (unsigned i = 0; i < ARMS; i++) {
        cr_assert_eq(keyspace_salt(a, i), keyspace_salt(b, i));
        for (unsigned j = 0; j < i; j++)
            cr_assert_neq(keyspace_salt(a, i), keyspace_salt(a, j));
    }
    keyspace_destroy(a);
    keyspace_destroy(b);
}
