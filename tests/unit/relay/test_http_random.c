/*
 * Random histories: clients and backends that say pieces of requests and responses, whole and
 * broken, close, reset and keep silent in any order, while time passes and configurations change.
 * Nothing is asked of the answers but that whatever happened, nothing is left behind: no object, no
 * byte, no count. With a sanitizer this is where a use after the end would show.
 */
#include "http_rig.h"

#include "crossfade/relay/http_pools.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENTS 4u
#define BACKENDS 8u
#define STEPS 60u

static const char *const said_by_clients[] = {
    GET,
    CANARY,
    (GET CANARY GET),
    POST("Content-Length: 4\r\n") "body",
    POST("Content-Length: 70000\r\n") "some",
    POST("Transfer-Encoding: chunked\r\n"),
    POST("Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n"),
    "PUT / HTTP/1.1\r\n" HOST "X-Employee: 1\r\nContent-Length: 4\r\n\r\n",
    "GET / HTTP/1.0\r\n" HOST "X-Employee: 1\r\n\r\n",
    "HEAD / HTTP/1.0\r\n" HOST "\r\n",
    "GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n",
    "GET / HT",
    "TP/1.1\r\n" HOST,
    "\r\n",
    "body",
    "4\r\nbody\r\n",
    "0\r\n\r\n",
    "ffff\r\n",
    "nonsense\r\n\r\n",
};

static const char *const said_by_backends[] = {
    OK,
    (OK OK),
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 700000\r\n\r\n",
    "HTTP/1.0 200 OK\r\n\r\nuntil the end",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 2",
    "00 OK\r\n",
    "\r\n",
    "4\r\nbody\r\n",
    "0\r\n\r\n",
    "nonsense\r\n\r\n",
};

static const char *const configurations[] = {
    "",
    "  balance: round_robin\n",
    "  limits: { connections: 2, body: 1000 }\n",
};

static struct http_rig rig;

/* xorshift64: the same histories everywhere. */
static uint64_t state;

static unsigned draw(unsigned below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state % below);
}

struct history {
    int clients[CLIENTS];   /* -1: none */
    int backends[BACKENDS]; /* accepted connections; -1: none */
};

static void drop(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

/* All or a part of it; what the socket does not take is lost, which is another kind of history. */
static void say(int fd, const char *text)
{
    size_t len = strlen(text);
    size_t from = draw(8) == 0 ? draw((unsigned)len) : 0;

    if (fd >= 0)
        (void)send(fd, text + from, draw(4) == 0 ? draw((unsigned)(len - from)) : len - from,
                   MSG_NOSIGNAL);
}

static void say_much(int fd)
{
    static char much[35000];
    if (fd >= 0)
        (void)send(fd, much, sizeof(much), MSG_NOSIGNAL);
}

static void hear(int fd)
{
    static char bytes[65536];
    if (fd >= 0)
        (void)recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
}

static void accept_one(struct history *history)
{
    int *free_place = NULL;

    for (unsigned i = 0; i < BACKENDS; i++)
        if (history->backends[i] < 0)
            free_place = &history->backends[i];
    if (free_place == NULL)
        return;
    for (unsigned i = 0; i < RIG_BACKENDS && *free_place < 0; i++)
        if (rig.listeners[i] >= 0)
            *free_place = accept4(rig.listeners[i], NULL, NULL, SOCK_NONBLOCK);
}

static void toggle_backend(unsigned index)
{
    if (rig.listeners[index] >= 0)
        rig_kill_backend(&rig, index);
    else
        rig_revive_backend(&rig, index);
}

static void step(struct history *history)
{
    int *client = &history->clients[draw(CLIENTS)];
    int *backend = &history->backends[draw(BACKENDS)];

    switch (draw(20)) {
    case 0:
        drop(client);
        break;
    case 1:
        if (*client >= 0)
            (void)shutdown(*client, SHUT_WR);
        break;
    case 2:
        for (unsigned i = draw(6); i > 0; i--) {
            say_much(draw(3) == 0 ? *client : *backend);
            rig_turn(&rig);
        }
        break;
    case 3:
        drop(backend);
        break;
    case 4:
        rig_wait(&rig, MILLISECONDS(draw(400)));
        break;
    case 5:
        if (draw(4) == 0)
            rig_wait(&rig, SECONDS(draw(70)));
        break;
    case 6:
        if (draw(4) == 0)
            toggle_backend(draw(RIG_BACKENDS));
        break;
    case 7:
        if (draw(4) == 0)
            rig_reload(&rig, configurations[draw(3)], draw(2) == 0);
        break;
    case 8:
        hear(*client);
        hear(*backend);
        break;
    case 9:
    case 10:
    case 11:
        accept_one(history);
        break;
    case 12:
    case 13:
    case 14:
    case 15:
        if (*client < 0)
            *client = rig_client(&rig);
        say(*client, said_by_clients[draw(sizeof(said_by_clients) / sizeof(said_by_clients[0]))]);
        break;
    default:
        say(*backend,
            said_by_backends[draw(sizeof(said_by_backends) / sizeof(said_by_backends[0]))]);
        break;
    }
    if (draw(3) > 0) {
        rig_starve(draw(8) == 0 ? 1 + draw(6) : 0);
        rig_turn(&rig);
        rig_starve(0);
    }
}

static void check_nothing_is_left(unsigned seed)
{
    const struct http_plane *plane = rig.worker.http;
    static const char *const arms[] = { "stable", "next" };

    cr_assert_eq(plane->client_count, 0, "seed %u", seed);
    cr_assert_eq(plane->refused_count, 0, "seed %u", seed);
    cr_assert_eq(rig_out(&plane->clients), 0, "seed %u", seed);
    cr_assert_eq(rig_out(&plane->requests), 0, "seed %u", seed);
    cr_assert_eq(rig_out(&plane->servers), 0, "seed %u", seed);
    cr_assert_eq(rig_out(&rig.worker.buffers.segments), 0, "seed %u", seed);
    cr_assert_eq(rig_out(&rig.worker.buffers.small_chunks), 0, "seed %u", seed);
    cr_assert_eq(rig.worker.buffers.large, 0, "seed %u", seed);
    cr_assert_eq(rig.worker.current->pins, 1, "seed %u", seed);
    cr_assert_eq(counter_get(&rig.worker.cell->web_clients), 0, "seed %u", seed);
    for (unsigned i = 0; i < 2; i++)
        cr_assert_eq(counter_get(&rig_arm(&rig, arms[i])->active), 0, "seed %u", seed);
    for (unsigned i = 0; i < cells_count(rig.telemetry->http_backends); i++) {
        const struct http_backend_cell *cell = cells_get(rig.telemetry->http_backends, i, 0);
        cr_assert_eq(counter_get(&cell->active), 0, "seed %u", seed);
        cr_assert_eq(counter_get(&cell->idle), 0, "seed %u", seed);
    }
}

static void run(unsigned seed)
{
    struct history history;

    state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    for (unsigned i = 0; i < CLIENTS; i++)
        history.clients[i] = -1;
    for (unsigned i = 0; i < BACKENDS; i++)
        history.backends[i] = -1;
    for (unsigned i = 0; i < STEPS; i++)
        step(&history);
    for (unsigned i = 0; i < CLIENTS; i++)
        drop(&history.clients[i]);
    for (unsigned i = 0; i < BACKENDS; i++)
        drop(&history.backends[i]);
    rig_turn(&rig);
    for (unsigned i = 0; i < RIG_BACKENDS; i++) {
        rig_kill_backend(&rig, i); /* and with it what waits to be accepted */
        rig_revive_backend(&rig, i);
    }
    /* A client that is gone shows it by an end; one with a response under way is waited for. */
    rig_wait(&rig, SECONDS(61));
    rig_wait(&rig, SECONDS(61));
    check_nothing_is_left(seed);
}

/* A longer hunt: CROSSFADE_HISTORIES=100000; from another seed: CROSSFADE_SEED=7. */
static unsigned from_environment(const char *name, unsigned standard)
{
    const char *given = getenv(name);
    return given != NULL ? (unsigned)strtoul(given, NULL, 10) : standard;
}

Test(http_random, whatever_happens_nothing_is_left)
{
    unsigned first = from_environment("CROSSFADE_SEED", 1);
    unsigned count = from_environment("CROSSFADE_HISTORIES", 400);

    rig_start(&rig, "", true);
    for (unsigned seed = first; seed < first + count; seed++)
        run(seed);
    rig_stop(&rig);
}
