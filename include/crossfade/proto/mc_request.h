/*
 * Commands of memcache clients in the classic text protocol (memcached's doc/protocol.txt; where
 * that is silent, as memcached 1.6 behaves): bytes in, structure out.
 *
 * A line ends with \n, a \r before it is dropped, and so is everything from a NUL on (memcached
 * sees C strings). Words are separated by spaces, any number of them. A line of any length is taken
 * if it is here whole; without its newline only `get` and `gets` may pass MC_LINE_MAX, up to
 * MC_MULTIGET_MAX.
 */
#ifndef CROSSFADE_PROTO_MC_REQUEST_H
#define CROSSFADE_PROTO_MC_REQUEST_H

#include "crossfade/base/ensure.h"
#include "crossfade/base/slice.h"

#include <stdbool.h>
#include <stdint.h>

#define MC_LINE_MAX 2048u
#define MC_MULTIGET_MAX (1024u * 1024u)
#define MC_KEY_MAX 250u

enum mc_verb {
    MC_GET,
    MC_GETS,
    MC_GAT,
    MC_GATS,
    MC_SET,
    MC_ADD,
    MC_REPLACE,
    MC_APPEND,
    MC_PREPEND,
    MC_CAS,
    MC_DELETE,
    MC_INCR,
    MC_DECR,
    MC_TOUCH,
    MC_VERSION,
    MC_VERBOSITY,
    MC_STATS,
    MC_FLUSH_ALL,
    MC_QUIT,
    MC_META_GET, /* mg; request->keys is the rest of the line, for proto/mc_meta */
    MC_META_SET,
    MC_META_DELETE,
    MC_META_ARITHMETIC,
    MC_META_DEBUG,
    MC_META_NOOP,
    MC_META_PROBE, /* no client's: does this server speak meta? */
    MC_ERRAND,     /* no client's either: relay/mc_errand.h */
    MC_REFUSED,    /* commands that would reach beyond the client's own arm, or are not available */
};

struct mc_request {
    enum mc_verb verb;
    bool noreply;
    bool one_key;    /* get family: `keys` is known to be one key and nothing else */
    size_t line_len; /* with its line end */
    struct slice
        keys; /* get family: from the first key on, of any length (they are looked at one by
                 one, mc_request_next_key); else: the one key; stats, refused: its arguments */
    struct slice
        number; /* gat, gats, touch: exptime; incr, decr: delta; digits, at most 32 bytes */
    uint32_t flags;
    int64_t exptime;    /* storage commands; flush_all: its delay in seconds, 0 or less: at once */
    uint64_t value_len; /* storage commands: bytes of the value, without the \r\n behind it;
                           MC_REFUSED: bytes that belong to it behind the line, to be swallowed */
    uint64_t cas;
};

enum mc_request_verdict {
    MC_REQUEST_OK,
    MC_REQUEST_MORE,  /* the line is not complete */
    MC_REQUEST_ERROR, /* *answer is what memcached says; request->line_len is to be consumed */
    MC_REQUEST_CLOSE  /* the line is too long to go on, or is HTTP: earlier commands are answered,
                         nothing more is read */
};

/*
 * `scanned`: how many bytes are known to hold no newline, from an earlier call with fewer bytes;
 * kept up to date, 0 after a complete line. With MC_REQUEST_ERROR the answer is a literal with its
 * line end; it is not to be sent if request->noreply, and request->value_len bytes that follow are
 * no command: the value, with its line end, of a storage command that says how long it is.
 * (memcached runs them.) For MC_REFUSED requests the answer is set too.
 */
enum mc_request_verdict mc_request_parse(struct slice bytes, size_t *scanned,
                                         struct mc_request *request,
                                         struct slice *answer) MUST_CHECK;

/* Takes the next key off the front of keys; false at the end. It may be longer than MC_KEY_MAX:
 * then memcached refuses the whole command. */
bool mc_request_next_key(struct slice *keys, struct slice *key);

/* Longest first part of a storage line that mc_request_storage_line writes after the key. */
#define MC_STORAGE_TAIL_MAX 96u

struct slice mc_verb_name(enum mc_verb verb);
/* Of any number of keys: get gets gat gats. */
static inline bool mc_verb_is_classic_get(enum mc_verb verb)
{
    return verb <= MC_GATS;
}
/* What answers with a value: these and mg. */
static inline bool mc_verb_is_get(enum mc_verb verb)
{
    return mc_verb_is_classic_get(verb) || verb == MC_META_GET;
}
static inline bool mc_verb_is_meta(enum mc_verb verb)
{
    return verb >= MC_META_GET && verb <= MC_META_PROBE;
}
static inline bool mc_verb_is_storage(enum mc_verb verb)
{
    return verb >= MC_SET && verb <= MC_CAS;
}

/*
 * What follows the key on the line for the server: " flags exptime bytes[ cas]\r\n" of a storage
 * command, from the parsed numbers, so that the server takes exactly the value's bytes for the
 * value. Writes to out, which has MC_STORAGE_TAIL_MAX bytes; returns the length.
 */
size_t mc_request_storage_tail(const struct mc_request *request, char *out);

#endif
