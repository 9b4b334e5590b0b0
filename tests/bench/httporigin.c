/*
 * An HTTP/1.1 origin that costs little: any request without a body gets the same 200 with a body
 * of --size times 'x' and stays open. It looks for the end of each head and for nothing else.
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
#define ANSWERS 64u

static unsigned char matched[FDS]; /* by descriptor: how much of CR LF CR LF came last */

static unsigned heads_in(int fd, const char *bytes, size_t count)
{
    unsigned heads = 0;
    unsigned have = matched[fd];

    for (size_t i = 0; i < count; i++) {
        if (bytes[i] == (have % 2 == 0 ? '\r' : '\n'))
            have++;
        else
            have = bytes[i] == '\r';
        if (have == 4) {
            heads++;
            have = 0;
        }
    }
    matched[fd] = (unsigned char)have;
    return heads;
}

/* A generator waits for its answers, so the socket has room for them; else this waits for it. */
static void send_all(int fd, const char *bytes, size_t count)
{
    while (count > 0) {
        ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN && errno != EINTR)
            return;
        if (sent > 0) {
            bytes += sent;
            count -= (size_t)sent;
        }
    }
}

int main(int argc, char **argv)
{
    size_t size = 1024;
    const char *address = "127.0.0.1:0";
    struct epoll_event events[256];
    char *input = bench_allocate(1, INPUT_SIZE);
    char *answers;
    size_t length;
    int listener;
    int epoll = epoll_create1(EPOLL_CLOEXEC);

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--size") == 0)
            size = bench_number(argv[i], argv[i + 1], 1, 1 << 20);
        else if (strcmp(argv[i], "--listen") == 0)
            address = argv[i + 1];
        else
            bench_fail("%s: no such option", argv[i]);
    }
    answers = bench_allocate(ANSWERS, size + 256);
    length = (size_t)snprintf(answers, 256,
                              "HTTP/1.1 200 OK\r\n"
                              "Content-Type: text/plain\r\n"
                              "Content-Length: %zu\r\n"
                              "\r\n",
                              size);
    memset(answers + length, 'x', size);
    length += size;
    for (size_t i = 1; i < ANSWERS; i++)
        memcpy(answers + i * length, answers, length);
    bench_raise_limit();
    listener = bench_listen(address);
    bench_watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN, (uint64_t)listener);
    bench_announce(listener);
    for (;;) {
        int count = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < count; i++) {
            int fd = (int)events[i].data.u64;
            if (fd == listener) {
                int accepted = bench_accept(listener);
                if (accepted >= (int)FDS)
                    bench_fail("too many connections");
                if (accepted >= 0) {
                    matched[accepted] = 0;
                    bench_watch(epoll, EPOLL_CTL_ADD, accepted, EPOLLIN, (uint64_t)accepted);
                }
                continue;
            }
            ssize_t got = recv(fd, input, INPUT_SIZE, 0);
            if (got > 0) {
                for (unsigned heads = heads_in(fd, input, (size_t)got); heads > 0;) {
                    unsigned now = heads < ANSWERS ? heads : ANSWERS;
                    send_all(fd, answers, now * length);
                    heads -= now;
                }
            } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
                (void)close(fd);
            }
        }
    }
}
