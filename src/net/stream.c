#include "crossfade/net/stream.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Twice or four times as many made no difference. */
#define VECTORS_MAX 64

static enum stream_verdict verdict_of(ssize_t n, size_t *moved)
{
    if (n > 0) {
        *moved = (size_t)n;
        return STREAM_OK;
    }
    *moved = 0;
    if (n == 0)
        return STREAM_CLOSED;
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? STREAM_AGAIN : STREAM_FAILED;
}

static enum stream_verdict plain_read(struct stream *stream, char *at, size_t room, size_t *moved)
{
    return verdict_of(recv(stream->fd, at, room, 0), moved);
}

static enum stream_verdict plain_write(struct stream *stream, const struct iovec *vectors,
                                       int count, size_t *moved)
{
    enum stream_verdict verdict;
    ssize_t n;

    if (count == 1) {
        n = send(stream->fd, vectors[0].iov_base, vectors[0].iov_len, MSG_NOSIGNAL);
    } else {
        struct msghdr message = { .msg_iov = (struct iovec *)(uintptr_t)vectors,
                                  .msg_iovlen = (size_t)count };
        n = sendmsg(stream->fd, &message, MSG_NOSIGNAL);
    }
    verdict = verdict_of(n, moved);
    return verdict == STREAM_CLOSED ? STREAM_FAILED : verdict;
}

static void plain_close(struct stream *stream)
{
    (void)close(stream->fd);
}

static const struct stream_ops plain_ops = {
    .read = plain_read,
    .write = plain_write,
    .close = plain_close,
};

void stream_init_plain(struct stream *stream, int fd)
{
    *stream = (struct stream){ .fd = fd, .ops = &plain_ops };
}

void stream_close(struct stream *stream)
{
    if (stream->fd < 0)
        return;
    stream->ops->close(stream);
    stream->fd = -1;
}

enum stream_verdict stream_handshake(struct stream *stream)
{
    return stream->ops->handshake != NULL ? stream->ops->handshake(stream) : STREAM_OK;
}

bool stream_peer_names(const struct stream *stream, stream_name_visit visit, void *context)
{
    return stream->ops->names != NULL && stream->ops->names(stream, visit, context);
}

const char *stream_why(const struct stream *stream, char *out, size_t size)
{
    return stream->ops->why != NULL ? stream->ops->why(stream, out, size) : strerror(errno);
}

int stream_connect_socket(const struct address *address)
{
    int one = 1;
    int fd = socket(address->u.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    if (address->u.any.sa_family != AF_UNIX)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(fd, &address->u.any, address->len) == 0 || errno == EINPROGRESS)
        return fd;
    int saved = errno;
    (void)close(fd);
    errno = saved;
    return -1;
}

int stream_connect_result(int fd)
{
    int result = 0;
    socklen_t len = sizeof(result);

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &result, &len) != 0)
        return errno;
    return result;
}

enum stream_verdict stream_read(struct stream *stream, struct input *input,
                                struct buffer_pool *pool, size_t *moved)
{
    enum stream_verdict verdict;
    char *at;
    size_t room;

    *moved = 0;
    if (!input_room(input, pool, &at, &room)) {
        errno = ENOMEM;
        return STREAM_FAILED;
    }
    verdict = stream->ops->read(stream, at, room, moved);
    if (verdict == STREAM_OK)
        input_fill(input, *moved);
    return verdict;
}

enum stream_verdict stream_flush(struct stream *stream, struct buffer *buffer,
                                 struct buffer_pool *pool)
{
    while (buffer->len > 0) {
        struct iovec vectors[VECTORS_MAX];
        size_t wanted;
        int count = buffer_vectors(buffer, vectors, VECTORS_MAX, &wanted);
        size_t moved;
        enum stream_verdict verdict;

        verdict = stream->ops->write(stream, vectors, count, &moved);
        if (verdict != STREAM_OK)
            return verdict;
        buffer_drain(buffer, pool, moved);
        if (moved < wanted)
            return STREAM_AGAIN; /* the socket is full: asking again would only cost a call */
    }
    return STREAM_OK;
}
