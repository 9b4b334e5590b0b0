/*
 * A connected byte stream: plain, or TLS behind the same operations. Never blocks. The worker's
 * loop reports readiness; the stream only moves bytes.
 */
#ifndef CROSSFADE_NET_STREAM_H
#define CROSSFADE_NET_STREAM_H

#include "crossfade/base/buffer.h"
#include "crossfade/base/ensure.h"
#include "crossfade/net/address.h"

#include <stdbool.h>
#include <stddef.h>

enum stream_verdict {
    STREAM_OK,     /* *moved bytes, at least one */
    STREAM_AGAIN,  /* nothing now; wait for readiness */
    STREAM_CLOSED, /* the peer closed in order, its own direction (read only) */
    STREAM_FAILED  /* stream_why() says why */
};

struct stream;

/* One name of a peer's certificate; true: that is enough, no more names. */
typedef bool (*stream_name_visit)(void *context, struct slice name);

struct stream_ops {
    enum stream_verdict (*read)(struct stream *stream, char *at, size_t room, size_t *moved);
    enum stream_verdict (*write)(struct stream *stream, const struct iovec *vectors, int count,
                                 size_t *moved);
    void (*close)(struct stream *stream);
    /* These may be NULL, as for a plain stream: */
    enum stream_verdict (*handshake)(struct stream *stream);
    bool (*names)(const struct stream *stream, stream_name_visit visit, void *context);
    const char *(*why)(const struct stream *stream, char *out, size_t size);
};

struct stream {
    int fd; /* -1: none */
    const struct stream_ops *ops;
    void *session; /* TLS: its own */
    /* Kept by the stream, for its owner to look at: */
    bool pending;          /* there is more to read in it, whatever the socket says */
    bool read_wants_write; /* the last read waits for the socket to be writable... */
    bool write_wants_read; /* ...and the last write for it to be readable (watch_stream) */
};

/* Over a connected or connecting non-blocking socket, which the stream owns from now on. */
void stream_init_plain(struct stream *stream, int fd);
void stream_close(struct stream *stream);

/*
 * Goes on with the handshake as far as it gets without waiting. Until it was STREAM_OK nothing may
 * be read or written; a plain stream is so at once. Ask again when the socket is ready for what
 * watch_stream has it wait for; after STREAM_FAILED close.
 */
enum stream_verdict stream_handshake(struct stream *stream) MUST_CHECK;
/*
 * Calls `visit` for each name in the peer's verified certificate (the subject's common name, then
 * each DNS name) until it returns true; returns whether it did. Names are what the certificate
 * holds, UTF-8, without NUL bytes; they are the peer's bytes, escape them before a log. False
 * without a certificate: a plain stream, or TLS where a certificate is not required and none was
 * given.
 */
bool stream_peer_names(const struct stream *stream, stream_name_visit visit, void *context);
/* After STREAM_FAILED, before anything else: why, in plain words. Returns out or a literal. */
const char *stream_why(const struct stream *stream, char *out, size_t size);

/* A non-blocking socket on its way to `address`; -1 with errno. TCP_NODELAY is set on TCP. */
int stream_connect_socket(const struct address *address);
/* After a connecting socket became writable: 0, or the errno of the failure. */
int stream_connect_result(int fd);

/*
 * One read into the input's room. Afterwards, whatever the verdict, `pending` may be true: then the
 * owner reads again in a later turn (watch_again), for no readiness will tell it to.
 */
enum stream_verdict stream_read(struct stream *stream, struct input *input,
                                struct buffer_pool *pool, size_t *moved) MUST_CHECK;
/*
 * Writes the buffer until it is empty or the socket is full; what was written is drained.
 * STREAM_OK: empty now. STREAM_AGAIN: the rest waits for writability.
 */
enum stream_verdict stream_flush(struct stream *stream, struct buffer *buffer,
                                 struct buffer_pool *pool) MUST_CHECK;

#endif
