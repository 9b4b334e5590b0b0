/*
 * Replies of a server to meta commands (memcached's doc/protocol.txt, "Meta Commands"): bytes in,
 * structure out, and the head of the reply that the client gets instead: with its own key and
 * opaque where the server names ours.
 *
 *   <code> [<bytes>] <flag>*\r\n        VA has the bytes of the value that follows
 *   ME <key> <name>=<number> ...\r\n
 *
 * Strict: what the protocol does not know is MC_REPLY_BAD, and the caller closes.
 */
#ifndef CROSSFADE_PROTO_MC_META_REPLY_H
#define CROSSFADE_PROTO_MC_META_REPLY_H

#include "crossfade/proto/mc_meta.h"
#include "crossfade/proto/mc_reply.h"

enum mc_meta_code {
    MC_META_VA,
    MC_META_HD, /* also "OK", which memcached -o meta_response_old says */
    MC_META_EN,
    MC_META_NF,
    MC_META_NS,
    MC_META_EX,
    MC_META_ME,
    MC_META_MN,
    MC_META_VERSION,
    MC_META_ERROR, /* the server does not know the command */
    MC_META_CLIENT_ERROR,
    MC_META_SERVER_ERROR
};

struct mc_meta_reply {
    enum mc_meta_code code;
    size_t line_len;    /* with its line end */
    struct slice line;  /* without it */
    struct slice flags; /* behind the code, the length and the key */
    struct slice key;   /* of ME */
    uint64_t value_len; /* of VA, without the line end behind it */
    struct slice mark;  /* behind the O */
    bool marked;
    bool strange; /* a key, or two marks: nothing that is asked for */
    bool won;     /* W: this client is to fill the item */
    bool lost;    /* Z: another one is */
    uint64_t cas; /* c; 0: it is not said */
};

enum mc_reply_verdict mc_meta_reply_parse(struct slice bytes, struct mc_meta_reply *out) MUST_CHECK;
/*
 * The same for the answer to me: memcached shows some keys as they are, though they hold line ends.
 * `wire`: the key that was asked for. An ME that is about another one is MC_REPLY_BAD.
 */
enum mc_reply_verdict mc_meta_debug_parse(struct slice bytes, struct slice wire,
                                          struct mc_meta_reply *out) MUST_CHECK;

/*
 * Does it answer the request that went out with this mark (`marked`), or without one? A mark is
 * repeated in every reply that is no error; in that of a miss since 1.6.18 only.
 */
bool mc_meta_reply_fits(const struct mc_meta_reply *reply, bool marked,
                        const char *mark) MUST_CHECK;

/* What the client gets to see of its own request. */
struct mc_meta_echo {
    struct slice key;     /* the bytes of it */
    struct slice opaque;  /* without the O */
    struct slice letters; /* of the flags, in their order */
    bool base64;          /* the key is shown in base64 */
    bool quiet;
    /* Epoch mode: */
    unsigned stamp; /* bytes in front of the value that are not the client's */
    bool bare;      /* the client has not asked for the value */
    char hidden;    /* the letter of a flag that it has not asked for; '\0': none */
};

/* Does the client want to hear of it? Errors always. */
bool mc_meta_reply_quiet(enum mc_verb verb, const struct mc_meta_echo *echo,
                         enum mc_meta_code code);

/* The longest head that is written: the reply's own line, or the one of a miss, and the client's
 * words. */
#define MC_META_HEAD_MAX (MC_REPLY_LINE_MAX + BASE64_ENCODED(MC_KEY_MAX) + 64u)

/* The head for the client, with line end, to out[MC_META_HEAD_MAX]; returns its length. `surplus`:
 * of an ME the bytes that the server's key is longer than the client's own, which do not count. */
size_t mc_meta_reply_write(const struct mc_meta_reply *reply, const struct mc_meta_echo *echo,
                           int surplus, char *out);

/* A miss that no server said, to out[MC_META_HEAD_MAX]. */
size_t mc_meta_miss_write(const struct mc_meta_echo *echo, char *out);

/*
 * The head of a hit that no server said, to out[MC_META_HEAD_MAX]: an item of that length and cas
 * number that was never touched and does not expire. The flags say what of it is shown.
 */
size_t mc_meta_hit_write(const struct mc_meta *meta, const struct mc_meta_echo *echo,
                         size_t value_len, uint64_t cas, char *out);

#endif
