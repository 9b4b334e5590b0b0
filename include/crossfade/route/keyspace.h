/*
 * From the key a client names to the key a server stores, and back: namespace prefix, scope rules,
 * long keys. Pure; made once per configuration, shared by all workers, never changed.
 *
 * The prefix of an arm is "<namespace>.<generation>:", the generation zero-padded so that the
 * length is a multiple of three (for base64 keys of the meta protocol); an arm with the empty
 * namespace and every key of shared scope have none. The prefix is always added, never "unless it
 * is there already": so adding is injective and two arms can never name one entry. What could break
 * that is replaced or refused (reserved_keys): an unprefixed key of the form [A-Za-z0-9_-]+ '.'
 * [0-9]+ ':' ... could name another arm's entry.
 *
 * A key that would pass 250 bytes with its prefix is replaced (long_keys: hash) by
 * "<prefix>#<43 characters: SHA-256 of the client's key, base64url>". A short key that has the form
 * '#' + 43 such characters itself is hashed too, so that no client can name another key's digest.
 * The same goes for a key that no text line can hold, which the meta protocol names in base64, when
 * it passes 250 characters in base64 with its prefix and does not without: in every protocol, so
 * that they all name one entry.
 *
 * In epoch mode (doc/coherence.md) an arm's values have another prefix, which the arm with the
 * empty namespace has too: what is stored behind it is no client's value as it is, and no host that
 * does not know of that may read it. Beside them each key has one epoch item, the same for all
 * arms:
 *
 *     cf~<namespace>.<generation>:<key>     a value       cf~:e:<key>     the epoch item
 *
 * An unprefixed key that begins with "cf~" is always replaced by its digest.
 *
 * Keys under LOOKUP_PREFIX are no entries at all: the daemon answers them itself
 * (relay/mc_lookup.h).
 */
#ifndef CROSSFADE_ROUTE_KEYSPACE_H
#define CROSSFADE_ROUTE_KEYSPACE_H

#include "crossfade/base/ensure.h"
#include "crossfade/base/slice.h"
#include "crossfade/conf/config.h"

#include <stdbool.h>
#include <stdint.h>

#define KEY_MAX 250u
/* Bytes that make at most KEY_MAX characters in base64. */
#define KEY_BASE64_MAX (KEY_MAX / 4u * 3u)
#define LOOKUP_PREFIX "__crossfade__/"

struct keyspace;

/* What the rules and the arm make of one key. */
struct key_place {
    struct slice prefix; /* lives as long as the keyspace; empty: none */
    size_t wire_len;     /* length of the key as the server sees it, at most KEY_MAX */
    bool hashed;         /* the client's key does not appear in the wire key */
    enum config_scope scope;
    enum config_coherence coherence; /* COHERENCE_NONE for shared keys */
    enum config_writes writes;
    bool guard;
    int rule; /* index into config->cache.rules, or -1: the defaults */
};

enum key_verdict {
    KEY_OK,
    KEY_TOO_LONG, /* with its prefix, under long_keys: refuse; or longer than KEY_MAX by itself */
    KEY_RESERVED, /* an unprefixed key in the reserved form, under reserved_keys: refuse */
    KEY_LOOKUP    /* under LOOKUP_PREFIX: nothing to send to a server, nothing to write */
};

/* generations: one for each arm of the configuration. NULL without memory. */
struct keyspace *keyspace_create(const struct config *config, const uint64_t *generations);
void keyspace_destroy(struct keyspace *keyspace);

/* One pass over the key: rule, reserved form, length. The key is not empty. Allocates nothing. */
enum key_verdict keyspace_place(const struct keyspace *keyspace, unsigned arm, struct slice key,
                                struct key_place *place) MUST_CHECK;

/*
 * The place of the key's epoch item. Its wire key can always stand in a text line: a key that
 * cannot, is too long behind the prefix or has the digest form is replaced by its digest.
 */
void keyspace_epoch(const struct keyspace *keyspace, struct slice key, struct key_place *place);

/*
 * The key without a prefix, as hosts that do not run Crossfade have it beside the arm with the
 * empty namespace. False: no arm has that, or there is no such key.
 */
bool keyspace_bystander(const struct keyspace *keyspace, struct slice key,
                        struct key_place *place) MUST_CHECK;

/* May the key stand in a text line as it is? */
bool keyspace_is_text(struct slice key);

/* Writes the wire key, place->wire_len bytes, to out. */
void keyspace_compose(const struct key_place *place, struct slice key, char *out);

/* The prefix of an arm ("" for the empty namespace); the other one is of values in epoch mode. */
struct slice keyspace_prefix(const struct keyspace *keyspace, unsigned arm);
struct slice keyspace_epoch_prefix(const struct keyspace *keyspace, unsigned arm);

/* Of the arm's namespace, the same in every generation, configuration and process: keeps the arms
 * apart in the memory of misses (route/misses.h). */
uint64_t keyspace_salt(const struct keyspace *keyspace, unsigned arm);

/*
 * The other arms whose copies an invalidation by `arm` has to reach under coherence: fanout: those
 * with another namespace, each namespace once. Returns how many; *others lives as long as the
 * keyspace.
 */
size_t keyspace_others(const struct keyspace *keyspace, unsigned arm, const unsigned **others);

#endif
