#include "crossfade/route/keyspace.h"

#include "crossfade/base/hash.h"
#include "crossfade/route/digest.h"
#include "crossfade/route/rules.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* '#' and the SHA-256 of the client's key in base64url. */
#define DIGEST_FORM (1u + BASE64URL_LENGTH(DIGEST_SIZE))
#define GENERATION_DIGITS 20u

static const struct slice epoch_mark = SLICE_INIT("cf~");
static const struct slice epoch_prefix = SLICE_INIT("cf~:e:");

struct arm {
    struct slice prefix; /* owned, as is this: */
    struct slice epoch_prefix;
    size_t name_len; /* of the namespace, which the prefix begins with */
    uint64_t salt;   /* of the namespace */
    unsigned *others;
    size_t other_count;
};

/* What a rule, or the defaults, say about a key. */
struct treatment {
    enum config_scope scope;
    enum config_coherence coherence;
    enum config_writes writes;
    bool guard;
};

struct keyspace {
    struct arm *arms;
    size_t arm_count;
    struct rules *rules;          /* NULL: there are none, and no walk */
    struct treatment *treatments; /* [0] the defaults, [1 + i] rule i */
    bool refuse_long;
    int bystander; /* the arm with the empty namespace, or -1 */
    enum config_reserved_keys reserved_keys;
};

/* -- Making ------------------------------------------------------------------------------------ */

/*
 * A prefix holds no '.' before the one behind the namespace and no ':' before its last byte, so
 * none of two different prefixes is the beginning of the other. One of epoch mode begins with `~`
 * in third place, where no namespace has it, and an epoch item's has no '.'.
 */
static bool write_prefix(struct slice *prefix, struct slice mark, const char *namespace,
                         uint64_t generation)
{
    char digits[GENERATION_DIGITS + 1];
    size_t digit_count = (size_t)snprintf(digits, sizeof(digits), "%" PRIu64, generation);
    size_t name_len = strlen(namespace);
    size_t len = mark.len + name_len + 1 + digit_count + 1;
    size_t padding = (3 - len % 3) % 3;
    char *text;
    char *at;

    len += padding;
    /* The longest replaced key must fit; the configuration's limit on names is far below that. */
    ensure(len + DIGEST_FORM <= KEY_MAX);
    text = malloc(len);
    if (text == NULL)
        return false;
    at = text;
    if (mark.len > 0)
        memcpy(at, mark.data, mark.len);
    at += mark.len;
    memcpy(at, namespace, name_len);
    at += name_len;
    *at++ = '.';
    memset(at, '0', padding);
    memcpy(at + padding, digits, digit_count);
    text[len - 1] = ':';
    *prefix = slice_of(text, len);
    return true;
}

static bool make_prefixes(struct arm *arm, const char *namespace, uint64_t generation)
{
    arm->name_len = strlen(namespace);
    arm->salt = hash_bytes(0, namespace, arm->name_len);
    return (arm->name_len == 0 ||
            write_prefix(&arm->prefix, slice_of(NULL, 0), namespace, generation)) &&
           write_prefix(&arm->epoch_prefix, epoch_mark, namespace, generation);
}

/* The arms whose copies are not at this arm's places; of several with one prefix the first. */
static bool find_others(struct keyspace *keyspace, size_t self)
{
    struct arm *arm = &keyspace->arms[self];

    arm->others = calloc(keyspace->arm_count, sizeof(*arm->others));
    if (arm->others == NULL)
        return false;
    for (size_t i = 0; i < keyspace->arm_count; i++) {
        bool known = slice_equal(keyspace->arms[i].prefix, arm->prefix);
        for (size_t j = 0; j < arm->other_count && !known; j++)
            known = slice_equal(keyspace->arms[i].prefix, keyspace->arms[arm->others[j]].prefix);
        if (!known)
            arm->others[arm->other_count++] = (unsigned)i;
    }
    return true;
}

static bool make_treatments(struct keyspace *keyspace, const struct config_cache *cache)
{
    keyspace->treatments = calloc(cache->rule_count + 1, sizeof(*keyspace->treatments));
    if (keyspace->treatments == NULL)
        return false;
    keyspace->treatments[0] = (struct treatment){ .scope = SCOPE_ISOLATED,
                                                  .coherence = cache->coherence,
                                                  .writes = WRITES_AUTO };
    for (size_t i = 0; i < cache->rule_count; i++) {
        const struct config_rule *rule = &cache->rules[i];
        bool shared = rule->scope == SCOPE_SHARED;
        keyspace->treatments[i + 1] =
            (struct treatment){ .scope = rule->scope,
                                .coherence = shared ? COHERENCE_NONE : rule->coherence,
                                .writes = rule->writes,
                                .guard = rule->guard };
    }
    if (cache->rule_count == 0)
        return true;
    keyspace->rules = rules_create(cache->rules, cache->rule_count);
    return keyspace->rules != NULL;
}

struct keyspace *keyspace_create(const struct config *config, const uint64_t *generations)
{
    struct keyspace *keyspace = calloc(1, sizeof(*keyspace));
    bool ok;

    if (keyspace == NULL)
        return NULL;
    keyspace->refuse_long = config->cache.long_keys == LONG_KEYS_REFUSE;
    keyspace->reserved_keys = config->cache.reserved_keys;
    keyspace->arm_count = config->arm_count;
    keyspace->arms = calloc(config->arm_count, sizeof(*keyspace->arms));
    ok = keyspace->arms != NULL && make_treatments(keyspace, &config->cache);
    keyspace->bystander = -1;
    for (size_t i = 0; ok && i < config->arm_count; i++) {
        ok = make_prefixes(&keyspace->arms[i], config->arms[i].namespace, generations[i]);
        if (keyspace->arms[i].name_len == 0)
            keyspace->bystander = (int)i;
    }
    for (size_t i = 0; ok && i < config->arm_count; i++)
        ok = find_others(keyspace, i);
    if (!ok) {
        keyspace_destroy(keyspace);
        return NULL;
    }
    return keyspace;
}

void keyspace_destroy(struct keyspace *keyspace)
{
    for (size_t i = 0; keyspace->arms != NULL && i < keyspace->arm_count; i++) {
        free((char *)(uintptr_t)keyspace->arms[i].prefix.data);
        free((char *)(uintptr_t)keyspace->arms[i].epoch_prefix.data);
        free(keyspace->arms[i].others);
    }
    free(keyspace->arms);
    free(keyspace->treatments);
    if (keyspace->rules != NULL)
        rules_destroy(keyspace->rules);
    free(keyspace);
}

/* -- Using ------------------------------------------------------------------------------------- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_' || c == '-';
}

static bool is_namespace(const struct keyspace *keyspace, struct slice word)
{
    for (size_t i = 0; i < keyspace->arm_count; i++)
        if (slice_equal(word, slice_of(keyspace->arms[i].prefix.data, keyspace->arms[i].name_len)))
            return true;
    return false;
}

/*
 * [A-Za-z0-9_-]+ '.' [0-9]+ ':' at the beginning: the key could name an entry of some arm. Under
 * reserved_keys: keep only the namespaces of this configuration count.
 */
static bool is_reserved(const struct keyspace *keyspace, struct slice key)
{
    size_t dot = 0;
    size_t colon;

    while (dot < key.len && is_word(key.data[dot]))
        dot++;
    if (dot == 0 || dot == key.len || key.data[dot] != '.')
        return false;
    colon = dot + 1;
    while (colon < key.len && is_digit(key.data[colon]))
        colon++;
    if (colon == dot + 1 || colon == key.len || key.data[colon] != ':')
        return false;
    return keyspace->reserved_keys != RESERVED_KEYS_KEEP ||
           is_namespace(keyspace, slice_of(key.data, dot));
}

static bool is_digest_form(struct slice key)
{
    if (key.len != DIGEST_FORM || key.data[0] != '#')
        return false;
    for (size_t i = 1; i < key.len; i++)
        if (!is_word(key.data[i]))
            return false;
    return true;
}

static bool is_text_byte(char c)
{
    return (unsigned char)c > ' ' && c != '\x7f';
}

/* Of eight bytes at once, as each read of epoch mode asks it: the top bit of each that is not. */
#define EACH_BYTE(byte) (UINT64_C(0x0101010101010101) * (byte))
static inline uint64_t not_text(const char *bytes)
{
    uint64_t word;
    uint64_t low; /* the bytes without their top bits, so that no sum runs over into the next */

    memcpy(&word, bytes, sizeof(word));
    low = word & EACH_BYTE(0x7f);
    /* A sum has the top bit if the byte is above a space; and if it is 0x7f. */
    return (~(low + EACH_BYTE(0x7f - ' ')) | (low + EACH_BYTE(1))) & ~word & EACH_BYTE(0x80);
}

bool keyspace_is_text(struct slice key)
{
    uint64_t found = 0;

    if (key.len < 8) {
        for (size_t i = 0; i < key.len; i++)
            if (!is_text_byte(key.data[i]))
                return false;
        return true;
    }
    for (size_t i = 0; i + 8 < key.len; i += 8)
        found |= not_text(key.data + i);
    return (found | not_text(key.data + key.len - 8)) == 0;
}

/* A key that only base64 can name, and not with this prefix. */
static bool is_beyond_base64(const struct key_place *place, struct slice key)
{
    return place->wire_len > KEY_BASE64_MAX && place->prefix.len > 0 && key.len <= KEY_BASE64_MAX &&
           !keyspace_is_text(key);
}

/* Where the key lies behind that prefix. */
static enum key_verdict fit(const struct keyspace *keyspace, struct slice prefix, struct slice key,
                            struct key_place *place)
{
    place->prefix = prefix;
    place->wire_len = prefix.len + key.len;
    place->hashed = false;
    if (key.len > KEY_MAX)
        return KEY_TOO_LONG;
    if (key.data[0] == LOOKUP_PREFIX[0] && slice_starts(key, SLICE(LOOKUP_PREFIX)))
        return KEY_LOOKUP;
    if (prefix.len == 0 && key.data[0] == epoch_mark.data[0] && slice_starts(key, epoch_mark)) {
        /* Always: a refusal would break a get of many keys over one that is odd, not wrong. */
    } else if (prefix.len == 0 && is_reserved(keyspace, key)) {
        if (keyspace->reserved_keys == RESERVED_KEYS_REFUSE)
            return KEY_RESERVED;
    } else if (place->wire_len > KEY_MAX || is_beyond_base64(place, key)) {
        if (keyspace->refuse_long)
            return KEY_TOO_LONG;
    } else if (!is_digest_form(key)) {
        return KEY_OK;
    }
    place->hashed = true;
    place->wire_len = prefix.len + DIGEST_FORM;
    return KEY_OK;
}

static struct slice prefix_of(const struct keyspace *keyspace, unsigned arm,
                              const struct treatment *treatment)
{
    if (treatment->scope == SCOPE_SHARED)
        return slice_of(NULL, 0);
    return treatment->coherence == COHERENCE_EPOCH ? keyspace->arms[arm].epoch_prefix
                                                   : keyspace->arms[arm].prefix;
}

enum key_verdict keyspace_place(const struct keyspace *keyspace, unsigned arm, struct slice key,
                                struct key_place *place)
{
    int rule = keyspace->rules != NULL ? rules_match(keyspace->rules, key) : -1;
    const struct treatment *treatment = &keyspace->treatments[rule + 1];

    ensure(arm < keyspace->arm_count);
    place->scope = treatment->scope;
    place->coherence = treatment->coherence;
    place->writes = treatment->writes;
    place->guard = treatment->guard;
    place->rule = rule;
    return fit(keyspace, prefix_of(keyspace, arm, treatment), key, place);
}

/* Of a key of ours beside the client's own. */
static void describe_own(struct key_place *place, enum config_coherence coherence)
{
    *place = (struct key_place){
        .scope = SCOPE_ISOLATED, .coherence = coherence, .writes = WRITES_AUTO, .rule = -1
    };
}

void keyspace_epoch(const struct keyspace *keyspace, struct slice key, struct key_place *place)
{
    bool hashed =
        epoch_prefix.len + key.len > KEY_MAX || is_digest_form(key) || !keyspace_is_text(key);

    (void)keyspace;
    describe_own(place, COHERENCE_EPOCH);
    place->prefix = epoch_prefix;
    place->hashed = hashed;
    place->wire_len = epoch_prefix.len + (hashed ? DIGEST_FORM : key.len);
}

bool keyspace_bystander(const struct keyspace *keyspace, struct slice key, struct key_place *place)
{
    if (keyspace->bystander < 0)
        return false;
    describe_own(place, COHERENCE_NONE);
    return fit(keyspace, slice_of(NULL, 0), key, place) == KEY_OK;
}

void keyspace_compose(const struct key_place *place, struct slice key, char *out)
{
    uint8_t hash[DIGEST_SIZE];
    struct digest digest;

    if (place->prefix.len > 0)
        memcpy(out, place->prefix.data, place->prefix.len);
    out += place->prefix.len;
    if (!place->hashed) {
        memcpy(out, key.data, key.len);
        return;
    }
    digest_start(&digest);
    digest_add(&digest, key);
    digest_end(&digest, hash);
    *out = '#';
    base64url_write(hash, sizeof(hash), out + 1);
}

struct slice keyspace_prefix(const struct keyspace *keyspace, unsigned arm)
{
    ensure(arm < keyspace->arm_count);
    return keyspace->arms[arm].prefix;
}

struct slice keyspace_epoch_prefix(const struct keyspace *keyspace, unsigned arm)
{
    ensure(arm < keyspace->arm_count);
    return keyspace->arms[arm].epoch_prefix;
}

uint64_t keyspace_salt(const struct keyspace *keyspace, unsigned arm)
{
    ensure(arm < keyspace->arm_count);
    return keyspace->arms[arm].salt;
}

size_t keyspace_others(const struct keyspace *keyspace, unsigned arm, const unsigned **others)
{
    ensure(arm < keyspace->arm_count);
    *others = keyspace->arms[arm].others;
    return keyspace->arms[arm].other_count;
}
