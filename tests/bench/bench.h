/*
 * What the programs of tests/bench share: a loud end, numbers and addresses from the command line,
 * sockets, and a latency histogram. Each program has one thread and one epoll loop, and allocates
 * nothing once it runs: what they cost would otherwise be taken for what a proxy costs.
 */
#ifndef CROSSFADE_TESTS_BENCH_H
#define CROSSFADE_TESTS_BENCH_H

#include <stddef.h>
#include <stdint.h>

/* Prints {"error": "..."} as one line on the standard output and exits with 1. */
_Noreturn void bench_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* malloc() that does not return on failure. */
void *bench_allocate(size_t count, size_t size);

/* A decimal number between low and high, or a loud end that names the option. */
uint64_t bench_number(const char *option, const char *text, uint64_t low, uint64_t high);

/* Monotonic, nanoseconds. */
uint64_t bench_now(void);

/* "host:port" (numeric) or "unix:/path". The sockets are non-blocking and have TCP_NODELAY. */
int bench_dial(const char *address);
int bench_listen(const char *address);
/* Prints "listening HOST:PORT" for the runner, with the port that the system chose. */
void bench_announce(int listener);
/* A new connection, or -1 when none waits. */
int bench_accept(int listener);

/* epoll_ctl() that does not return on failure. */
void bench_watch(int epoll, int operation, int fd, uint32_t events, uint64_t data);

/* As many file descriptors as the system lets one process have. */
void bench_raise_limit(void);

/* Log-linear: 32 sub-buckets for each power of two of nanoseconds, so right within 3.2 %. */
#define LATENCY_SUB 32u
#define LATENCY_BUCKETS (60u * LATENCY_SUB)

struct latency {
    uint64_t count;
    uint64_t buckets[LATENCY_BUCKETS];
};

void latency_add(struct latency *latency, uint64_t nanoseconds);
/* Nanoseconds, the upper edge of the bucket; 0 without samples. */
uint64_t latency_quantile(const struct latency *latency, double quantile);

#endif
