/*
 * The floor for a proxy that shares one backend connection among its clients: every request has
 * the same number of bytes and so has every answer, so nothing is parsed; whole requests are
 * queued, sent in one write per turn of the loop, and the answers are cut by length and given back
 * in order. Where a socket has no room it waits for it: the loads here never fill both directions.
 */
#include "bench.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define FDS 65536u
#define WAITING 65536u /* a power of two */
#define INPUT_SIZE ((size_t)256 * 1024)
#define OUTPUT_SIZE ((size_t)8 * 1024 * 1024)

struct mux {
    int epoll;
    int backend;
    size_t request_size;
    size_t answer_size;
    char *input;
    char *output; /* requests of this turn */
    size_t output_length;
    int waiting[WAITING]; /* client of each request under way, a ring; -1: it went away */
    unsigned first;
    unsigned after_last;
    size_t answer_left; /* bytes to come of the first one's answer */
    char *partial[FDS]; /* by descriptor: the begin of a request */
    size_t partial_length[FDS];
};

static void send_all(int fd, const char *bytes, size_t count)
{
    while (count > 0) {
        ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            struct pollfd wait = { .fd = fd, .events = POLLOUT };
            (void)poll(&wait, 1, 1000);
        } else if (sent < 0 && errno != EINTR) {
            return;
        } else if (sent > 0) {
            bytes += sent;
            count -= (size_t)sent;
        }
    }
}

static void flush(struct mux *mux)
{
    send_all(mux->backend, mux->output, mux->output_length);
    mux->output_length = 0;
}

static void queue(struct mux *mux, int client, const char *begin, size_t begin_length,
                  const char *rest)
{
    if (mux->after_last - mux->first == WAITING)
        bench_fail("too many requests under way");
    if (OUTPUT_SIZE - mux->output_length < mux->request_size)
        flush(mux);
    if (begin_length > 0)
        memcpy(mux->output + mux->output_length, begin, begin_length);
    memcpy(mux->output + mux->output_length + begin_length, rest, mux->request_size - begin_length);
    mux->output_length += mux->request_size;
    mux->waiting[mux->after_last++ % WAITING] = client;
}

static void from_client(struct mux *mux, int fd)
{
    ssize_t got = recv(fd, mux->input, INPUT_SIZE, 0);
    const char *bytes = mux->input;
    size_t left;

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        for (unsigned i = mux->first; i != mux->after_last; i++) {
            if (mux->waiting[i % WAITING] == fd)
                mux->waiting[i % WAITING] = -1;
        }
        mux->partial_length[fd] = 0;
        (void)close(fd);
        return;
    }
    left = (size_t)got;
    while (mux->partial_length[fd] + left >= mux->request_size) {
        size_t rest = mux->request_size - mux->partial_length[fd];
        queue(mux, fd, mux->partial[fd], mux->partial_length[fd], bytes);
        mux->partial_length[fd] = 0;
        bytes += rest;
        left -= rest;
    }
    if (left > 0) {
        if (mux->partial[fd] == NULL)
            mux->partial[fd] = bench_allocate(1, mux->request_size);
        memcpy(mux->partial[fd] + mux->partial_length[fd], bytes, left);
        mux->partial_length[fd] += left;
    }
}

/* Answers in a row that belong to one client go out in one write. */
static void from_backend(struct mux *mux)
{
    ssize_t got = recv(mux->backend, mux->input, INPUT_SIZE, 0);
    size_t begin = 0;
    size_t at = 0;

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0)
        bench_fail("the backend closed the connection");
    while (at < (size_t)got) {
        int client = mux->waiting[mux->first % WAITING];
        size_t part = (size_t)got - at;
        if (mux->first == mux->after_last)
            bench_fail("more answers than requests");
        if (part > mux->answer_left)
            part = mux->answer_left;
        at += part;
        mux->answer_left -= part;
        if (mux->answer_left == 0) {
            mux->answer_left = mux->answer_size;
            mux->first++;
        }
        if (at == (size_t)got || mux->first == mux->after_last ||
            mux->waiting[mux->first % WAITING] != client) {
            if (client >= 0)
                send_all(client, mux->input + begin, at - begin);
            begin = at;
        }
    }
}

int main(int argc, char **argv)
{
    struct mux *mux = bench_allocate(1, sizeof(*mux));
    struct epoll_event events[256];
    int listener;

    if (argc != 5) {
        (void)fprintf(stderr, "usage: mux LISTEN BACKEND REQUEST-BYTES ANSWER-BYTES\n");
        return 2;
    }
    mux->request_size = bench_number("REQUEST-BYTES", argv[3], 1, OUTPUT_SIZE);
    mux->answer_size = bench_number("ANSWER-BYTES", argv[4], 1, OUTPUT_SIZE);
    mux->answer_left = mux->answer_size;
    mux->input = bench_allocate(1, INPUT_SIZE);
    mux->output = bench_allocate(1, OUTPUT_SIZE);
    bench_raise_limit();
    mux->epoll = epoll_create1(EPOLL_CLOEXEC);
    mux->backend = bench_dial(argv[2]);
    listener = bench_listen(argv[1]);
    bench_watch(mux->epoll, EPOLL_CTL_ADD, listener, EPOLLIN, (uint64_t)listener);
    bench_watch(mux->epoll, EPOLL_CTL_ADD, mux->backend, EPOLLIN, (uint64_t)mux->backend);
    bench_announce(listener);
    for (;;) {
        int count = epoll_wait(mux->epoll, events, 256, -1);
        for (int i = 0; i < count; i++) {
            int fd = (int)events[i].data.u64;
            int accepted;
            if (fd == mux->backend) {
                from_backend(mux);
            } else if (fd != listener) {
                from_client(mux, fd);
            } else if ((accepted = bench_accept(listener)) >= 0) {
                if (accepted >= (int)FDS)
                    bench_fail("too many connections");
                bench_watch(mux->epoll, EPOLL_CTL_ADD, accepted, EPOLLIN, (uint64_t)accepted);
            }
        }
        flush(mux);
    }
}
