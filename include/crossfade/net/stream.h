/*
 * A connected byte stream: plain, or TLS behind the same operations. Never blocks. The worker's
 * loop reports readiness; the stream only moves bytes.
 */
#ifndef CROSSFADE_NET_STREAM_H
#define CROSSFADE_NET_STREAM_H

#include "crossfade/base/buffer.h"
#include "crossfade/base/ensure.h"
#include "crossfade/net/address.h"

#include <stddef.h>

enum stream_verdict {
    STREAM_OK,     /* *moved bytes, at least one */
    STREAM_AGAIN,  /* nothing now; wait for readiness */
    STREAM_CLOSED, /* the peer closed in order (read only) */
    STREAM_FAILED  /* errno says why */
};

struct stream;

struct stream_ops {
    enum stream_verdict (*read)(struct stream *stream, char *at, size_t room, size_t *moved);
    enum stream_verdict (*write)(struct stream *stream, const struct iovec *vectors, int count,
                                 size_t *moved);
    void (*close)(struct stream *stream);
};

struct stream {
    int fd; /* -1: none */
    const struct stream_ops *ops;
    void *session; /* TLS: its own */
};

/* Over a connected or connecting non-blocking socket, which the stream owns from now on. */
void stream_init_plain(struct stream *stream, int fd);
void stream_close(struct stream *stream);

/* A non-blocking socket on its way to `address`; -1 with errno. TCP_NODELAY is set on TCP. */
int stream_connect_socket(const struct address *address);
/* After a connecting socket became writable: 0, or the errno of the failure. */
int stream_connect_result(int fd);

/* One read into the input's room. */
enum stream_verdict stream_read(struct stream *stream, struct input *input,
                                struct buffer_pool *pool, size_t *moved) MUST_CHECK;
/*
 * Writes the buffer until it is empty or the socket is full; what was written is drained. STREAM_OK:
 * empty now. STREAM_AGAIN: the rest waits for writability.
 */
enum stream_verdict stream_flush(struct stream *stream, struct buffer *buffer,
                                 struct buffer_pool *pool) MUST_CHECK;

#endif
