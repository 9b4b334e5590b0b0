/*
 * The binary memcache protocol (memcached's protocol-binary document; where it is silent, or
 * memcached 1.6 does otherwise, as memcached 1.6.18 behaves): headers of requests and replies,
 * bytes in, structure out.
 *
 *   bytes   request        reply
 *     1     0x80           0x81
 *     1     opcode
 *     2     key length
 *     1     extras length
 *     1     data type, 0
 *     2     vbucket, 0     status
 *     4     body length: what follows the header
 *     4     opaque
 *     8     cas
 *           extras, key, value
 *
 * Numbers are in network order on the wire; opaque and cas mean nothing here and are kept as the
 * bytes came. Most opcodes have a quiet twin, which answers only what its sender could not expect:
 * a get its hits, everything else its errors.
 */
#ifndef CROSSFADE_PROTO_MC_BINARY_H
#define CROSSFADE_PROTO_MC_BINARY_H

#include "crossfade/base/ensure.h"
#include "crossfade/base/slice.h"
#include "crossfade/proto/mc_request.h"

#include <stdbool.h>
#include <stdint.h>

#define MC_BINARY_HEADER 24u
#define MC_BINARY_MAGIC_REQUEST 0x80u
#define MC_BINARY_MAGIC_REPLY 0x81u
#define MC_BINARY_EXTRAS_MAX 20u
/* The longest text of an error, or a version, that a server may send. */
#define MC_BINARY_TEXT_MAX 1024u

/* Those that are spoken of by name; the quiet ones are known to the parser. */
enum mc_binary_opcode {
    MC_BINARY_GET = 0x00,
    MC_BINARY_SET = 0x01,
    MC_BINARY_ADD = 0x02,
    MC_BINARY_REPLACE = 0x03,
    MC_BINARY_DELETE = 0x04,
    MC_BINARY_INCREMENT = 0x05,
    MC_BINARY_DECREMENT = 0x06,
    MC_BINARY_QUIT = 0x07,
    MC_BINARY_FLUSH = 0x08,
    MC_BINARY_NOOP = 0x0a,
    MC_BINARY_VERSION = 0x0b,
    MC_BINARY_GETK = 0x0c,
    MC_BINARY_APPEND = 0x0e,
    MC_BINARY_PREPEND = 0x0f,
    MC_BINARY_STAT = 0x10,
    MC_BINARY_TOUCH = 0x1c,
    MC_BINARY_GAT = 0x1d,
    MC_BINARY_SASL_LIST = 0x20,
    MC_BINARY_SASL_AUTH = 0x21,
    MC_BINARY_SASL_STEP = 0x22,
    MC_BINARY_GATK = 0x23
};

enum mc_binary_status {
    MC_BINARY_DONE = 0x00,
    MC_BINARY_NOT_FOUND = 0x01,
    MC_BINARY_EXISTS = 0x02,
    MC_BINARY_TOO_LARGE = 0x03,
    MC_BINARY_INVALID = 0x04,
    MC_BINARY_NOT_STORED = 0x05,
    MC_BINARY_NOT_NUMERIC = 0x06,
    MC_BINARY_AUTH_ERROR = 0x20,
    MC_BINARY_AUTH_CONTINUE = 0x21,
    MC_BINARY_UNKNOWN = 0x81,
    MC_BINARY_NO_MEMORY = 0x82,
    MC_BINARY_INTERNAL = 0x84,
    MC_BINARY_TEMPORARY = 0x86
};

struct mc_binary_request {
    uint8_t opcode; /* as the client sent it, for its replies */
    uint8_t loud;   /* the same without the quiet: enum mc_binary_opcode, or anything unknown */
    bool quiet;
    bool with_key;     /* its replies repeat the key */
    bool keyed;        /* it is about one key, and goes to that key's server: */
    enum mc_verb verb; /* as classic: MC_GET, MC_GAT, MC_SET .. MC_PREPEND, MC_DELETE .. MC_TOUCH */
    struct slice extras;
    struct slice key;   /* any bytes, at most MC_KEY_MAX */
    size_t head_len;    /* header, extras and key */
    uint32_t value_len; /* bytes behind them that belong to the request */
    uint32_t opaque;
    uint64_t cas;    /* 0: none */
    uint16_t status; /* with MC_BINARY_REFUSED and MC_BINARY_FATAL */
};

enum mc_binary_verdict {
    MC_BINARY_OK,
    MC_BINARY_MORE,    /* head_len bytes are needed to say more */
    MC_BINARY_REFUSED, /* `status` is the answer; head_len and value_len are to be consumed */
    MC_BINARY_FATAL,   /* `status` is the answer, and the last thing the client hears */
    MC_BINARY_CLOSE    /* no protocol of ours: nothing is answered any more */
};

/* With MC_BINARY_MORE only head_len is set; with MC_BINARY_CLOSE nothing. */
enum mc_binary_verdict mc_binary_request_parse(struct slice bytes,
                                               struct mc_binary_request *request) MUST_CHECK;

struct mc_binary_reply {
    uint8_t opcode;
    uint8_t extras_len;
    uint16_t key_len;
    uint16_t status;
    uint32_t body_len; /* extras, key and value; extras_len + key_len <= body_len */
    uint32_t opaque;
    uint64_t cas;
};

/* MC_BINARY_OK, MC_BINARY_MORE (not all of the header is here) or MC_BINARY_CLOSE. */
enum mc_binary_verdict mc_binary_reply_parse(struct slice bytes,
                                             struct mc_binary_reply *reply) MUST_CHECK;

/* May a request with that (loud) opcode be answered by such a reply? */
bool mc_binary_reply_fits(const struct mc_binary_reply *reply, uint8_t opcode);

/* Writes MC_BINARY_HEADER bytes. */
void mc_binary_request_write(char *out, uint8_t opcode, size_t key_len, size_t extras_len,
                             uint32_t body_len, uint32_t opaque, uint64_t cas);
void mc_binary_reply_write(char *out, const struct mc_binary_reply *reply);
/* Makes a reply another one's, in place: opcode, opaque, and the lengths of key and body;
 * `left_out` bytes of its value are not in it any more. */
void mc_binary_reply_rewrite(char *head, const struct mc_binary_reply *reply, uint8_t opcode,
                             uint32_t opaque, size_t key_len, size_t left_out);

/* memcached's own words for a status; empty for one that it never uses. */
struct slice mc_binary_status_text(uint16_t status);

#endif
