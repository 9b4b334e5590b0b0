/*
 * What a memcache client sends to log in, in both protocols; bytes in, structure out.
 *
 * Text (`memcached -Y`, protocol.txt "Authentication"; what memcached 1.6.18 does where that is
 * silent):
 *
 *   set <key> <flags> <exptime> <bytes>\r\n
 *   <user> <password>\r\n                    STORED, or CLIENT_ERROR and another try
 *
 * The first three numbers and whatever follows <bytes> are not looked at, so noreply is answered.
 * Any other line is answered by CLIENT_ERROR. A name or password cannot hold a space.
 *
 * Binary: SASL PLAIN (RFC 4616) in the opcodes 0x20 to 0x22.
 */
#ifndef CROSSFADE_PROTO_MC_AUTH_H
#define CROSSFADE_PROTO_MC_AUTH_H

#include "crossfade/base/ensure.h"
#include "crossfade/base/slice.h"

#include <stdbool.h>

/* A line without its end, and the bytes that name and password may have together. */
#define MC_AUTH_LINE_MAX 2048u
#define MC_AUTH_VALUE_MAX 2048u

enum mc_auth_verdict {
    MC_AUTH_LOGIN,   /* `user` and `password` */
    MC_AUTH_REFUSED, /* `answer` says why */
    MC_AUTH_MORE,    /* not all here: `need` bytes at least, or 0: not known */
    MC_AUTH_CLOSE    /* `answer`, which may be empty, and that is the end */
};

struct mc_auth_text {
    size_t len; /* with LOGIN and REFUSED: the bytes that are dealt with */
    size_t need;
    struct slice user;
    struct slice password;
    struct slice answer; /* with line end */
};

/*
 * Looks at the first command in `bytes`. *scanned: how many of them are known to hold no line end;
 * the caller keeps it between calls and sets it to 0 when it consumes.
 */
enum mc_auth_verdict mc_auth_text_parse(struct slice bytes, size_t *scanned,
                                        struct mc_auth_text *text) MUST_CHECK;

/* The message of SASL PLAIN: somebody may only act as himself. False: it is malformed. */
bool mc_auth_plain_parse(struct slice message, struct slice *user,
                         struct slice *password) MUST_CHECK;

#endif
