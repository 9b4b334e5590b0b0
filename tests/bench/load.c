#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define INPUT_SIZE ((size_t)256 * 1024)
#define EVENTS 512

struct load_connection {
    int fd;
    unsigned batch;    /* requests of the batch under way; 0 when idle */
    unsigned answered; /* of them */
    uint64_t sent_at;  /* nanoseconds */
    /* The rest of a batch that the socket did not take; the memory is touched only then. */
    char *rest;
    size_t rest_sent;
    size_t rest_length;
};

struct load {
    struct load_options options;
    struct load_protocol protocol;
    int epoll;
    uint64_t give_up_at;
    struct load_connection *connections;
    char *output; /* one batch, composed */
    char *input;
    /* The phase under way. */
    unsigned depth;
    uint64_t wanted; /* requests; UINT64_MAX: until stop_at */
    uint64_t stop_at;
    uint64_t started;
    uint64_t finished;
    bool measuring;
    uint64_t now;
    struct latency latency;
};

bool load_option(struct load_options *options, const char *name, const char *value)
{
    if (strcmp(name, "--address") == 0)
        options->address = value;
    else if (strcmp(name, "--connections") == 0)
        options->connections = (unsigned)bench_number(name, value, 1, 100000);
    else if (strcmp(name, "--depth") == 0)
        options->depth = (unsigned)bench_number(name, value, 1, 1024);
    else if (strcmp(name, "--requests") == 0)
        options->requests = bench_number(name, value, 1, UINT64_MAX / 2);
    else if (strcmp(name, "--milliseconds") == 0)
        options->milliseconds = (unsigned)bench_number(name, value, 1, 3600000);
    else if (strcmp(name, "--warm-up") == 0)
        options->warm_up = bench_number(name, value, 0, UINT64_MAX / 2);
    else if (strcmp(name, "--max-seconds") == 0)
        options->max_seconds = (unsigned)bench_number(name, value, 1, 7200);
    else
        return false;
    return true;
}

struct load *load_create(const struct load_options *options, const struct load_protocol *protocol)
{
    struct load *load = bench_allocate(1, sizeof(*load));
    size_t batch_max;

    load->options = *options;
    load->protocol = *protocol;
    if (options->address == NULL)
        bench_fail("--address is missing");
    if (options->milliseconds == 0 && options->requests == 0)
        load->options.requests = 100000;
    if (options->warm_up == UINT64_MAX)
        load->options.warm_up = load->options.requests / 10;
    bench_raise_limit();
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (load->epoll < 0)
        bench_fail("epoll_create1: %s", strerror(errno));
    load->give_up_at = bench_now() + (uint64_t)options->max_seconds * 1000000000u;
    batch_max = protocol->request_max * options->depth;
    load->output = bench_allocate(1, batch_max);
    load->input = bench_allocate(1, INPUT_SIZE);
    load->connections = bench_allocate(options->connections, sizeof(*load->connections));
    for (unsigned i = 0; i < options->connections; i++) {
        load->connections[i].fd = bench_dial(options->address);
        load->connections[i].rest = bench_allocate(1, batch_max);
        bench_watch(load->epoll, EPOLL_CTL_ADD, load->connections[i].fd, EPOLLIN, i);
    }
    return load;
}

void load_destroy(struct load *load)
{
    for (unsigned i = 0; i < load->options.connections; i++) {
        (void)close(load->connections[i].fd);
        free(load->connections[i].rest);
    }
    (void)close(load->epoll);
    free(load->connections);
    free(load->output);
    free(load->input);
    free(load);
}

/* How much of it the socket took. */
static size_t send_some(const struct load_connection *connection, const char *bytes, size_t count)
{
    ssize_t sent = send(connection->fd, bytes, count, MSG_NOSIGNAL);

    if (sent < 0 && errno != EAGAIN && errno != EINTR)
        bench_fail("send: %s", strerror(errno));
    return sent < 0 ? 0 : (size_t)sent;
}

static void start_batch(struct load *load, unsigned index)
{
    struct load_connection *connection = &load->connections[index];
    uint64_t left = load->wanted - load->started;
    size_t length = 0;
    size_t sent;

    connection->answered = 0;
    connection->batch = left < load->depth ? (unsigned)left : load->depth;
    if (load->wanted == UINT64_MAX && load->now >= load->stop_at)
        connection->batch = 0;
    if (connection->batch == 0)
        return;
    load->started += connection->batch;
    for (unsigned i = 0; i < connection->batch; i++)
        length += load->protocol.compose(load->protocol.self, index, i, load->output + length);
    connection->sent_at = bench_now();
    sent = send_some(connection, load->output, length);
    if (sent < length) {
        memcpy(connection->rest, load->output + sent, length - sent);
        connection->rest_sent = 0;
        connection->rest_length = length - sent;
        bench_watch(load->epoll, EPOLL_CTL_MOD, connection->fd, EPOLLIN | EPOLLOUT, index);
    }
}

static void send_rest(struct load *load, unsigned index)
{
    struct load_connection *connection = &load->connections[index];

    connection->rest_sent += send_some(connection, connection->rest + connection->rest_sent,
                                       connection->rest_length - connection->rest_sent);
    if (connection->rest_sent == connection->rest_length) {
        connection->rest_sent = 0;
        connection->rest_length = 0;
        bench_watch(load->epoll, EPOLL_CTL_MOD, connection->fd, EPOLLIN, index);
    }
}

unsigned load_current(const struct load *load, unsigned connection)
{
    const struct load_connection *reading = &load->connections[connection];

    if (reading->answered == reading->batch)
        bench_fail("more answers than requests");
    return reading->answered;
}

void load_answered(struct load *load, unsigned index)
{
    struct load_connection *connection = &load->connections[index];

    if (load->measuring)
        latency_add(&load->latency, load->now - connection->sent_at);
    connection->answered++;
    load->finished++;
}

static void receive(struct load *load, unsigned index)
{
    struct load_connection *connection = &load->connections[index];
    ssize_t got = recv(connection->fd, load->input, INPUT_SIZE, 0);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got < 0)
        bench_fail("recv: %s", strerror(errno));
    if (got == 0)
        bench_fail("the peer closed a connection");
    if (connection->batch == 0)
        bench_fail("%zd bytes that nobody asked for: %.60s", got, load->input);
    load->now = bench_now();
    load->protocol.feed(load->protocol.self, index, load->input, (size_t)got);
    if (connection->answered == connection->batch)
        start_batch(load, index);
}

static void loop(struct load *load, unsigned connections)
{
    struct epoll_event events[EVENTS];

    load->started = 0;
    load->finished = 0;
    load->now = bench_now();
    for (unsigned i = 0; i < connections; i++)
        start_batch(load, i);
    while (load->finished < load->started) {
        int count = epoll_wait(load->epoll, events, EVENTS, 1000);

        if (count < 0 && errno != EINTR)
            bench_fail("epoll_wait: %s", strerror(errno));
        if (bench_now() > load->give_up_at)
            bench_fail("gave up after %u seconds: %llu of %llu requests answered",
                       load->options.max_seconds, (unsigned long long)load->finished,
                       (unsigned long long)load->started);
        for (int i = 0; i < count; i++) {
            unsigned index = (unsigned)events[i].data.u64;
            if ((events[i].events & EPOLLOUT) != 0)
                send_rest(load, index);
            if ((events[i].events & ~(uint32_t)EPOLLOUT) != 0)
                receive(load, index);
        }
    }
}

void load_phase(struct load *load, unsigned connections, unsigned depth, uint64_t requests)
{
    load->measuring = false;
    load->depth = depth;
    load->wanted = requests;
    loop(load, connections);
}

static void wait_at_gate(const struct load *load)
{
    char line[64];

    (void)fflush(stdout);
    if (load->options.gate && fgets(line, sizeof(line), stdin) == NULL)
        exit(0);
}

void load_run(struct load *load)
{
    const struct load_options *options = &load->options;
    uint64_t begin;
    double seconds;

    load_phase(load, options->connections, options->depth, options->warm_up);
    if (options->gate) {
        (void)puts("ready");
        wait_at_gate(load);
    }
    load->measuring = true;
    begin = bench_now();
    load->wanted = options->milliseconds != 0 ? UINT64_MAX : options->requests;
    load->stop_at = begin + (uint64_t)options->milliseconds * 1000000u;
    load->depth = options->depth;
    loop(load, options->connections);
    seconds = (double)(bench_now() - begin) / 1e9;
    (void)printf(
        "{\"connections\": %u, \"depth\": %u, \"requests\": %llu, \"seconds\": %.6f, "
        "\"requests_per_second\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f}\n",
        options->connections, options->depth, (unsigned long long)load->finished, seconds,
        (double)load->finished / seconds, (double)latency_quantile(&load->latency, 0.5) / 1e3,
        (double)latency_quantile(&load->latency, 0.99) / 1e3,
        (double)latency_quantile(&load->latency, 1.0) / 1e3);
    wait_at_gate(load);
}
