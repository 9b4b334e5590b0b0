/*
 * Replies of a memcached server in the classic text protocol (memcached's doc/protocol.txt): bytes
 * in, structure out. Strict: what the protocol does not know is MC_REPLY_BAD, and the caller
 * closes.
 */
#ifndef CROSSFADE_PROTO_MC_REPLY_H
#define CROSSFADE_PROTO_MC_REPLY_H

#include "crossfade/base/ensure.h"
#include "crossfade/base/slice.h"

#include <stdint.h>

/* The longest line a server may send; longer without a newline is no memcached. */
#define MC_REPLY_LINE_MAX 2048u

enum mc_reply_kind {
    MC_REPLY_VALUE,
    MC_REPLY_END,
    MC_REPLY_STORED,
    MC_REPLY_NOT_STORED,
    MC_REPLY_EXISTS,
    MC_REPLY_NOT_FOUND,
    MC_REPLY_DELETED,
    MC_REPLY_TOUCHED,
    MC_REPLY_NUMBER, /* the new value after incr or decr */
    MC_REPLY_VERSION,
    MC_REPLY_ERROR,        /* the server did not know the command */
    MC_REPLY_CLIENT_ERROR, /* benign: about this command only */
    MC_REPLY_SERVER_ERROR
};

struct mc_reply {
    enum mc_reply_kind kind;
    size_t line_len;   /* with its line end */
    struct slice line; /* without it */
    /* MC_REPLY_VALUE: */
    struct slice key;
    uint64_t value_len; /* without the line end behind it */
    bool with_cas;
    const char *behind_length; /* if with_cas: in the line, where the length's digits end */
};

enum mc_reply_verdict {
    MC_REPLY_OK,
    MC_REPLY_MORE, /* the line is not complete */
    MC_REPLY_BAD
};

/*
 * The commonest reply in one pass: the line of a value of the very key that is expected, without a
 * cas number. False: it is another, or odd, or not all here, and mc_reply_parse() finds out.
 */
bool mc_reply_hit(struct slice bytes, struct slice key, struct mc_reply *out) MUST_CHECK;
/* The same with a cas number. */
bool mc_reply_hit_cas(struct slice bytes, struct slice key, struct mc_reply *out) MUST_CHECK;

enum mc_reply_verdict mc_reply_parse(struct slice bytes, struct mc_reply *out) MUST_CHECK;

/* The client flags and the cas number of a MC_REPLY_VALUE that was parsed with_cas. */
void mc_reply_numbers(const struct mc_reply *reply, uint32_t *flags, uint64_t *cas);

#endif
