/*
 * Commands of the meta protocol (memcached's doc/protocol.txt, "Meta Commands"; where it is silent,
 * as memcached 1.6.18 behaves): the words behind mg, ms, md, ma and me, and the line for the
 * server.
 *
 *   mg <key> <flag>*              md <key> <flag>*        me <key> [b]
 *   ms <key> <length> <flag>*     ma <key> <flag>*        mn
 *
 * A flag is one letter with its token right behind it. Four of them are the proxy's own business,
 * since they are about the client's key and the client's replies:
 *
 *   b   the key is in base64           decoded here; the server's key is encoded again
 *   k   the key in the reply           put in here: a server may show a key that no line can hold
 *   O   the client's mark of a reply   one of ours goes to the server, the client's own comes back
 *   q   no reply to what is usual      kept from the server: every request has its reply there
 *
 * All others go to the server as they are, in their order, and the server judges them.
 */
#ifndef CROSSFADE_PROTO_MC_META_H
#define CROSSFADE_PROTO_MC_META_H

#include "crossfade/base/base64.h"
#include "crossfade/proto/mc_request.h"

/* A base64 key is at most MC_KEY_MAX characters, so its bytes are at most that many. */
#define MC_META_DECODED_MAX (MC_KEY_MAX / 4u * 3u)
/* The longest line that goes to a server: memcached closes a connection on which it sees no newline
 * for 2,048 bytes, and with it the requests of others. What would make a longer one is refused. */
#define MC_META_LINE_MAX 2000u

/* memcached 1.6.18 takes 19 words, those of the command and its key included. */
#define MC_META_FLAGS_MAX 17u

struct mc_meta {
    struct slice key;                      /* as the client wrote it */
    struct slice opaque;                   /* behind the O */
    uint64_t value_len;                    /* ms: bytes of the value, without the \r\n behind it */
    int64_t exptime;                       /* T */
    int64_t vivify_exptime;                /* N */
    uint64_t cas;                          /* C */
    uint64_t delta;                        /* D; 1 without it */
    uint64_t initial;                      /* J */
    uint32_t client_flags;                 /* F */
    struct slice flags[MC_META_FLAGS_MAX]; /* each with its token */
    unsigned flag_count;
    size_t flags_len; /* with one space before each */
    size_t hints_len; /* of these P and L */
    char mode;        /* behind the M; '\0': none */
    bool base64;
    bool quiet;
    bool wants_key;
    bool wants_opaque;
    bool wants_value; /* v */
    bool wants_cas;   /* c */
    bool wants_ttl;   /* t */
    bool has_cas;     /* C */
    bool touches;     /* T */
    bool vivifies;    /* N */
    bool no_hints;    /* P and L, which servers ignore, stay here: the line would be too long */
    bool overlong;    /* mg, ma: the opaque is, which memcached says when the command is done */
    bool marked;      /* there is room for a mark of ours among the flags that a server takes */
    /* What the server gets instead, where the proxy wants something of its own (epoch mode): */
    unsigned stamp;        /* so many more bytes of value */
    struct slice added;    /* flags behind the others: mc_meta_add */
    struct slice left_out; /* letters of flags that stay here */
};

enum mc_meta_verdict {
    MC_META_OK,
    MC_META_REFUSED, /* *answer is what memcached says */
    MC_META_SWALLOW  /* the same, and the value (ms: value_len and its line end) is to be swallowed;
                        for a key  that is too long and for too many flags memcached runs it as
                        commands */
};

/*
 * `verb`: MC_META_GET to MC_META_DEBUG. `rest`: the line behind the command's name, without line
 * end. The answer is a literal with its line end.
 */
enum mc_meta_verdict mc_meta_parse(enum mc_verb verb, struct slice rest, struct mc_meta *meta,
                                   struct slice *answer) MUST_CHECK;

/*
 * What memcached 1.6.18 says to the flags; empty: nothing is wrong with them. For what is refused
 * in any case: which of several faults is named is memcached's order. All else is the server's to
 * judge, which may know more flags than this.
 */
struct slice mc_meta_fault(enum mc_verb verb, const struct mc_meta *meta);

#define MC_META_OVERLONG "CLIENT_ERROR opaque token too long\r\n"

/*
 * The bytes that the key stands for, in out[MC_KEY_MAX]: of a base64 key the decoded ones, as
 * lenient as memcached is (foreign characters are skipped); otherwise the key itself. Never empty
 * after mc_meta_parse.
 */
struct slice mc_meta_key(const struct mc_meta *meta, char *out);

/* Writes the letters of the flags, in their order, to out[MC_META_FLAGS_MAX]; returns how many.
 * Only with k or O, or in epoch mode, do they matter to a reply: none otherwise. */
size_t mc_meta_letters(const struct mc_meta *meta, char *out);

/* Flags of ours, at most MC_META_ADDED_MAX bytes, each with a space before it, go out too. False:
 * that are more than a server takes. */
#define MC_META_ADDED_MAX 4u
bool mc_meta_add(struct mc_meta *meta, struct slice flags) MUST_CHECK;

/* What goes out as the opaque: hexadecimal digits. */
#define MC_META_MARK_LENGTH 8u
void mc_meta_mark(uint32_t number, char *mark);

/*
 * The command's line for the server: `key` in base64 if `base64`, with `mark` as its opaque if
 * meta->marked. Writes to out[MC_META_LINE_MAX]; returns the length, line end included.
 */
size_t mc_meta_write(enum mc_verb verb, const struct mc_meta *meta, struct slice key, bool base64,
                     const char *mark, char *out);

#endif
