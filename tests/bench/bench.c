#include "bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

union any_address {
    struct sockaddr any;
    struct sockaddr_in ip4;
    struct sockaddr_un local;
};

_Noreturn void bench_fail(const char *format, ...)
{
    char text[512];
    va_list list;

    va_start(list, format);
    (void)vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    (void)fputs("{\"error\": \"", stdout);
    for (const char *at = text; *at != '\0'; at++) {
        unsigned char c = (unsigned char)*at;
        if (c == '"' || c == '\\')
            (void)printf("\\%c", c);
        else if (c < 0x20 || c > 0x7e)
            (void)printf("\\u%04x", c);
        else
            (void)putchar(c);
    }
    (void)puts("\"}");
    exit(1);
}

void *bench_allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);

    if (memory == NULL)
        bench_fail("out of memory");
    return memory;
}

uint64_t bench_number(const char *option, const char *text, uint64_t low, uint64_t high)
{
    char *end = NULL;
    unsigned long long value;

    errno = 0;
    value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-' || value < low || value > high)
        bench_fail("%s: %s is not a number between %llu and %llu", option, text,
                   (unsigned long long)low, (unsigned long long)high);
    return value;
}

uint64_t bench_now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static socklen_t parse_address(const char *text, union any_address *out)
{
    char host[64];
    const char *colon = strrchr(text, ':');

    memset(out, 0, sizeof(*out));
    if (strncmp(text, "unix:", 5) == 0) {
        if (strlen(text + 5) >= sizeof(out->local.sun_path))
            bench_fail("%s: the path is too long", text);
        out->local.sun_family = AF_UNIX;
        (void)strcpy(out->local.sun_path, text + 5);
        return sizeof(out->local);
    }
    if (colon == NULL || (size_t)(colon - text) >= sizeof(host))
        bench_fail("%s is not host:port or unix:/path", text);
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    out->ip4.sin_family = AF_INET;
    out->ip4.sin_port = htons((uint16_t)bench_number("port", colon + 1, 0, 65535));
    if (inet_pton(AF_INET, host, &out->ip4.sin_addr) != 1)
        bench_fail("%s: the host is not a numeric address", text);
    return sizeof(out->ip4);
}

static void no_delay(int fd)
{
    int on = 1;

    /* Refused on a unix socket, which has no such delay. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

int bench_dial(const char *address)
{
    union any_address to;
    socklen_t length = parse_address(address, &to);
    int fd = socket(to.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    /* Non-blocking only once it is connected: loopback answers at once. */
    if (fd < 0 || connect(fd, &to.any, length) != 0 || fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
        bench_fail("connect %s: %s", address, strerror(errno));
    no_delay(fd);
    return fd;
}

int bench_listen(const char *address)
{
    union any_address at;
    socklen_t length = parse_address(address, &at);
    int fd = socket(at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 || bind(fd, &at.any, length) != 0 || listen(fd, 4096) != 0)
        bench_fail("listen %s: %s", address, strerror(errno));
    return fd;
}

void bench_announce(int listener)
{
    union any_address at;
    socklen_t length = sizeof(at);
    char host[INET_ADDRSTRLEN];

    if (getsockname(listener, &at.any, &length) != 0)
        bench_fail("getsockname: %s", strerror(errno));
    if (at.any.sa_family == AF_UNIX)
        (void)printf("listening unix:%s\n", at.local.sun_path);
    else
        (void)printf("listening %s:%u\n", inet_ntop(AF_INET, &at.ip4.sin_addr, host, sizeof(host)),
                     (unsigned)ntohs(at.ip4.sin_port));
    (void)fflush(stdout);
}

int bench_accept(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd >= 0)
        no_delay(fd);
    return fd;
}

void bench_watch(int epoll, int operation, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event event = { .events = events, .data.u64 = data };

    if (epoll_ctl(epoll, operation, fd, &event) != 0)
        bench_fail("epoll_ctl: %s", strerror(errno));
}

void bench_raise_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static unsigned latency_bucket(uint64_t value)
{
    unsigned power;
    unsigned bucket;

    if (value < LATENCY_SUB)
        return (unsigned)value;
    power = 63u - (unsigned)__builtin_clzll(value);
    bucket = (power - 4u) * LATENCY_SUB + (unsigned)((value >> (power - 5u)) - LATENCY_SUB);
    return bucket < LATENCY_BUCKETS ? bucket : LATENCY_BUCKETS - 1u;
}

void latency_add(struct latency *latency, uint64_t nanoseconds)
{
    latency->count++;
    latency->buckets[latency_bucket(nanoseconds)]++;
}

uint64_t latency_quantile(const struct latency *latency, double quantile)
{
    uint64_t wanted = (uint64_t)((double)latency->count * quantile);
    uint64_t seen = 0;

    for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
        seen += latency->buckets[i];
        if (seen > wanted || (seen == latency->count && seen > 0)) {
            unsigned power = i / LATENCY_SUB + 4u;
            uint64_t low = i % LATENCY_SUB + LATENCY_SUB;
            return i < LATENCY_SUB ? i : ((low + 1u) << (power - 5u)) - 1u;
        }
    }
    return 0;
}
