/*
 * The floor for a proxy with one backend connection for each client: bytes are copied, nothing is
 * read into them. The reference that tells the kernel's price from a proxy's own.
 */
#include "bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define INPUT_SIZE ((size_t)64 * 1024)
#define FDS 65536u

/* One side of a pair, by descriptor. */
struct side {
    int peer;   /* descriptor of the other side */
    char *held; /* what this side's socket did not take; its peer is not read meanwhile */
    size_t length;
    size_t sent;
};

static struct side sides[FDS];
static int epoll;

static void open_pair(int client, const char *backend)
{
    int server = bench_dial(backend);

    if (client >= (int)FDS || server >= (int)FDS)
        bench_fail("too many connections");
    sides[client] = (struct side){ .peer = server };
    sides[server] = (struct side){ .peer = client };
    bench_watch(epoll, EPOLL_CTL_ADD, client, EPOLLIN, (uint64_t)client);
    bench_watch(epoll, EPOLL_CTL_ADD, server, EPOLLIN, (uint64_t)server);
}

/* A side is read while its peer has nothing held, and written while it has something itself. */
static void watch_pair(int fd)
{
    int both[2] = { fd, sides[fd].peer };

    for (unsigned i = 0; i < 2; i++) {
        uint32_t events = sides[both[1 - i]].held == NULL ? EPOLLIN : 0;
        if (sides[both[i]].held != NULL)
            events |= EPOLLOUT;
        bench_watch(epoll, EPOLL_CTL_MOD, both[i], events, (uint64_t)both[i]);
    }
}

static void close_pair(int fd)
{
    int both[2] = { fd, sides[fd].peer };

    for (unsigned i = 0; i < 2; i++) {
        free(sides[both[i]].held);
        sides[both[i]] = (struct side){ .peer = -1 };
        (void)close(both[i]);
    }
}

/* Bytes taken, or -1 when the connection is of no more use. */
static ssize_t send_some(int fd, const char *bytes, size_t count)
{
    ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL);

    if (sent < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    return sent;
}

static void readable(int fd, char *input)
{
    int peer = sides[fd].peer;
    ssize_t got = recv(fd, input, INPUT_SIZE, 0);
    ssize_t sent;

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0 || (sent = send_some(peer, input, (size_t)got)) < 0) {
        close_pair(fd);
        return;
    }
    if (sent < got) {
        struct side *out = &sides[peer];
        out->length = (size_t)(got - sent);
        out->sent = 0;
        out->held = bench_allocate(1, out->length);
        memcpy(out->held, input + sent, out->length);
        watch_pair(fd);
    }
}

static void writable(int fd)
{
    struct side *side = &sides[fd];
    ssize_t sent = send_some(fd, side->held + side->sent, side->length - side->sent);

    if (sent < 0) {
        close_pair(fd);
        return;
    }
    side->sent += (size_t)sent;
    if (side->sent == side->length) {
        free(side->held);
        side->held = NULL;
        watch_pair(fd);
    }
}

int main(int argc, char **argv)
{
    struct epoll_event events[256];
    char *input = bench_allocate(1, INPUT_SIZE);
    int listener;

    if (argc != 3) {
        (void)fprintf(stderr, "usage: relay LISTEN BACKEND\n");
        return 2;
    }
    bench_raise_limit();
    epoll = epoll_create1(EPOLL_CLOEXEC);
    for (unsigned i = 0; i < FDS; i++)
        sides[i].peer = -1;
    listener = bench_listen(argv[1]);
    bench_watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN, (uint64_t)listener);
    bench_announce(listener);
    for (;;) {
        int count = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < count; i++) {
            int fd = (int)events[i].data.u64;
            if (fd == listener) {
                int client = bench_accept(listener);
                if (client >= 0)
                    open_pair(client, argv[2]);
                continue;
            }
            /* The pair may have been closed by an event before this one. */
            if ((events[i].events & EPOLLOUT) != 0 && sides[fd].held != NULL)
                writable(fd);
            if ((events[i].events & ~(uint32_t)EPOLLOUT) != 0 && sides[fd].peer >= 0)
                readable(fd, input);
        }
    }
}
