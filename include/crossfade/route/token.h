/*
 * Tokens of epoch mode, and the two forms in which they are stored (doc/coherence.md).
 *
 *   an epoch item's value   | token 16 | when it was written, seconds since 1970 | keep |
 *   a stamped value         | token 16 | expiry 4 | the client's bytes
 *
 * The expiry is in seconds since 1970, 0: never. Numbers are big-endian, of 64 bits but for that
 * one. keep: the cas number of the one value that stays valid although its stamp is older, while a
 * change is on its way (relay/mc_change.h); 0: none.
 *
 * A token is never made twice: 64 random bits of this start of the worker,
 * its number and what it has counted. Nothing trusts a clock: the time in an
 * epoch item is for people, and for what a journal that overflowed has lost (relay/mc_journal.h).
 */
#ifndef CROSSFADE_ROUTE_TOKEN_H
#define CROSSFADE_ROUTE_TOKEN_H

#include "crossfade/base/ensure.h"
#include "crossfade/base/slice.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define TOKEN_LENGTH 16u
#define EPOCH_LENGTH (TOKEN_LENGTH + 16u)
#define STAMP_LENGTH (TOKEN_LENGTH + 4u)

struct token {
    uint64_t words[2]; /* all zero: none */
};

/* What wrote an epoch item: its client flags. */
enum epoch_kind { EPOCH_MADE = 1, EPOCH_CHANGED = 2, EPOCH_DELETED = 3 };

static inline bool token_is_none(const struct token *token)
{
    return token->words[0] == 0 && token->words[1] == 0;
}

static inline bool token_equal(const struct token *a, const struct token *b)
{
    return a->words[0] == b->words[0] && a->words[1] == b->words[1];
}

/* One for each worker, used by no other thread. */
struct token_source {
    uint64_t start; /* random */
    uint64_t next;
};

/* The random bits of a start. False: the system has none to give. */
bool token_start(uint64_t *start) MUST_CHECK;
/* worker: below 65536. */
void token_source_init(struct token_source *source, uint64_t start, unsigned worker);
struct token token_next(struct token_source *source);

struct epoch {
    struct token token;
    uint64_t written;
    uint64_t keep;
};

/* Writes EPOCH_LENGTH bytes. */
void epoch_write(const struct epoch *epoch, char *out);
/* False: these bytes are no epoch item's value. */
bool epoch_read(struct slice value, struct epoch *epoch) MUST_CHECK;

/* Writes STAMP_LENGTH bytes. `expiry`: seconds since 1970, 0: never. */
void stamp_write(const struct token *token, uint32_t expiry, char *out);
/* value has STAMP_LENGTH bytes at least. */
void stamp_read(struct slice value, struct token *token, uint32_t *expiry);

/* What a client's exptime comes to: memcached takes up to 30 days as from now, more as a time.
 * Seconds since 1970; 0: never. One in the past stays one in the past. */
uint32_t stamp_expiry(int64_t exptime, uint64_t now);

#endif
