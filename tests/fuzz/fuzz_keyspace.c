/* The first byte chooses arm, limit and rules, the rest is a client's key. */
#include "fuzz.h"

#include "crossfade/base/ensure.h"
#include "crossfade/route/keyspace.h"

#include <string.h>

static char stable[] = "";
static char candidate[] = "py3";
static char third[] = "web-4f2c1e";
static struct config_arm arms[] = { { .name = stable, .namespace = stable },
                                    { .name = candidate, .namespace = candidate },
                                    { .name = third, .namespace = third } };
static char lock[] = "lock:";
static char word[] = "p";
static struct config_rule rules[] = { { .match = lock, .prefix = true, .scope = SCOPE_SHARED },
                                      { .match = word, .prefix = false, .scope = SCOPE_SHARED } };

/* Whatever the key, its epoch item can stand in a text line and is no client's key. */
static void check_epoch(const struct keyspace *keyspace, struct slice key)
{
    struct key_place place;
    char wire[KEY_MAX + 1];

    keyspace_epoch(keyspace, key, &place);
    ensure(place.wire_len <= KEY_MAX && place.prefix.len % 3 == 0);
    wire[place.wire_len] = '\r';
    keyspace_compose(&place, key, wire);
    ensure(wire[place.wire_len] == '\r');
    ensure(keyspace_is_text(slice_of(wire, place.wire_len)));
    ensure(slice_starts(slice_of(wire, place.wire_len), SLICE("cf~:e:")));
    if (!keyspace_bystander(keyspace, key, &place))
        return;
    keyspace_compose(&place, key, wire);
    ensure(!slice_starts(slice_of(wire, place.wire_len), SLICE("cf~")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint64_t generations[] = { 1, 1, 12345 };
    struct config config = { .arms = arms, .arm_count = 3 };
    struct keyspace *keyspace;
    struct key_place place;
    struct slice key;
    unsigned arm;
    char wire[KEY_MAX + 1];

    if (size < 2)
        return 0;
    arm = data[0] & 3u;
    arm = arm == 3 ? 1 : arm;
    config.cache.long_keys = (data[0] & 4u) != 0 ? LONG_KEYS_REFUSE : LONG_KEYS_HASH;
    config.cache.reserved_keys = (data[0] & 32u) != 0   ? RESERVED_KEYS_REFUSE
                                 : (data[0] & 16u) != 0 ? RESERVED_KEYS_HASH
                                                        : RESERVED_KEYS_KEEP;
    config.cache.coherence = (data[0] & 64u) != 0 ? COHERENCE_EPOCH : COHERENCE_FANOUT;
    config.cache.rules = rules;
    config.cache.rule_count = (data[0] & 8u) != 0 ? 2 : 0;
    key = slice_of((const char *)data + 1, size - 1);
    keyspace = keyspace_create(&config, generations);
    ensure(keyspace != NULL);
    check_epoch(keyspace, key);
    switch (keyspace_place(keyspace, arm, key, &place)) {
    case KEY_TOO_LONG:
        ensure(
            key.len > KEY_MAX ||
            (config.cache.long_keys == LONG_KEYS_REFUSE && place.prefix.len + key.len > KEY_MAX) ||
            (config.cache.long_keys == LONG_KEYS_REFUSE && !keyspace_is_text(key) &&
             place.prefix.len + key.len > KEY_BASE64_MAX));
        break;
    case KEY_LOOKUP:
        ensure(slice_starts(key, SLICE(LOOKUP_PREFIX)));
        break;
    case KEY_RESERVED:
        ensure(config.cache.reserved_keys == RESERVED_KEYS_REFUSE);
        ensure(place.prefix.len == 0 && memchr(key.data, ':', key.len) != NULL);
        break;
    case KEY_OK:
        ensure(place.wire_len > place.prefix.len && place.wire_len <= KEY_MAX);
        /* Whatever base64 can name by itself it can name here, or it is text. */
        ensure(place.hashed || keyspace_is_text(key) || key.len > KEY_BASE64_MAX ||
               place.wire_len <= KEY_BASE64_MAX);
        wire[place.wire_len] = '\r';
        keyspace_compose(&place, key, wire);
        ensure(wire[place.wire_len] == '\r');
        ensure(slice_starts(slice_of(wire, place.wire_len), place.prefix));
        ensure(place.prefix.len == 0 ||
               place.prefix.data == (place.coherence == COHERENCE_EPOCH
                                         ? keyspace_epoch_prefix(keyspace, arm)
                                         : keyspace_prefix(keyspace, arm))
                                        .data);
        ensure(
            place.hashed ||
            slice_equal(slice_of(wire + place.prefix.len, place.wire_len - place.prefix.len), key));
        /* Without a prefix it must not lie where an arm with one has its entries. */
        for (unsigned other = 0; other < 3 && place.prefix.len == 0; other++)
            ensure(
                !slice_starts(slice_of(wire, place.wire_len), SLICE("cf~")) &&
                (keyspace_prefix(keyspace, other).len == 0 ||
                 !slice_starts(slice_of(wire, place.wire_len), keyspace_prefix(keyspace, other))));
        break;
    }
    keyspace_destroy(keyspace);
    return 0;
}
