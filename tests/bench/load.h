/*
 * The engine of both load generators. N connections; each sends a batch of D requests in one write,
 * waits for all the answers, and sends the next batch. What a request and an answer look like is
 * the business of the protocol behind struct load_protocol.
 *
 * One run: warm-up, then (with --gate) "ready" on the standard output and a wait for a line, so
 * that the runner reads the proxy's CPU clock between; then the measured requests and one line of
 * JSON; then, with --gate, a second wait with all connections open and idle.
 */
#ifndef CROSSFADE_TESTS_BENCH_LOAD_H
#define CROSSFADE_TESTS_BENCH_LOAD_H

#include "bench.h"

#include <stdbool.h>

struct load;

struct load_protocol {
    /* The longest request in bytes, known once the options have been read. */
    size_t request_max;
    /* Writes request number `index` of the connection's new batch to `out`; returns its length. */
    size_t (*compose)(void *self, unsigned connection, unsigned index, char *out);
    /* Bytes of the connection's answers, in any pieces; calls load_answered() once per answer. */
    void (*feed)(void *self, unsigned connection, const char *bytes, size_t count);
    void *self;
};

struct load_options {
    const char *address;
    unsigned connections;
    unsigned depth;
    uint64_t requests; /* 0: until `milliseconds` have passed */
    uint64_t warm_up;  /* requests */
    unsigned milliseconds;
    unsigned max_seconds; /* the whole run is given up then */
    bool gate;
};

#define LOAD_OPTIONS_USAGE                                                                         \
    "  --address HOST:PORT|unix:/PATH   where to\n"                                                \
    "  --connections N                  (1)\n"                                                     \
    "  --depth D                        requests in one batch of a connection (1)\n"               \
    "  --requests N | --milliseconds M  how much is measured (100000)\n"                           \
    "  --warm-up N                      requests before that (a tenth)\n"                          \
    "  --max-seconds S                  give up then (120)\n"                                      \
    "  --gate                           print ready and wait for a line before and after\n"

/* True if the option was one of those above; a wrong value does not return. */
bool load_option(struct load_options *options, const char *name, const char *value);

struct load *load_create(const struct load_options *options, const struct load_protocol *protocol);
/* Sends `requests` requests over the first `connections`, `depth` at a time, outside the measure.
 */
void load_phase(struct load *load, unsigned connections, unsigned depth, uint64_t requests);
/* Warm-up, gate, measure, report, gate. */
void load_run(struct load *load);
void load_destroy(struct load *load);

void load_answered(struct load *load, unsigned connection);
/* Which request of its batch the connection's next answer belongs to. */
unsigned load_current(const struct load *load, unsigned connection);

#endif
