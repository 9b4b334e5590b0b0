/* Handshakes before a client is one: their end, good or bad, and their limit of time. */
#include "crossfade/relay/greeting.h"

#include "crossfade/net/loop.h"

#include "../net/identity.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

static struct identity identity;
static struct telemetry *telemetry;
static struct tls_cell *cell;
static struct worker worker;
static struct greetings greetings;
static struct tls_tickets *tickets;
static struct tls_context *server_context;
static struct tls_context *client_context;
static const struct address nobody = { .len = 2, .u.any.sa_family = AF_UNIX };
static struct stream met;
static unsigned met_count;

static void report(void *context, bool fault, const char *key, const char *text)
{
    (void)context;
    cr_assert_not(fault, "%s %s", key, text);
}

static void set_up(void)
{
    struct config_tls listener = { .present = true };
    struct config_server_tls servers = { .present = true, .verify = true };

    identity_create(&identity, "cache.example", 30);
    listener.certificate = servers.ca = identity.certificate;
    listener.key = identity.key;
    tickets = tls_tickets_create();
    server_context = tls_context_server(&listener, "here:1", tickets, report, NULL);
    client_context = tls_context_client(&servers, report, NULL);
    telemetry = telemetry_create(1);
    cr_assert_eq(cells_index(telemetry->tls, "here:1"), 0);
    cell = cells_get(telemetry->tls, 0, 0);
    clock_fake(SECONDS(1000), SECONDS(1000));
    cr_assert(worker_init(&worker, 0, telemetry));
    greetings_init(&greetings, &worker);
}

static void tear_down(void)
{
    greetings_deinit(&greetings);
    worker_deinit(&worker);
    telemetry_destroy(telemetry);
    tls_context_unref(server_context);
    tls_context_unref(client_context);
    tls_tickets_unref(tickets);
    identity_remove(&identity);
    clock_fake(0, 0);
}

TestSuite(greeting, .init = set_up, .fini = tear_down);

static void on_done(void *context, const char *listener, struct stream *stream,
                    const struct address *peer)
{
    (void)peer;
    cr_assert_eq(context, &greetings);
    cr_assert_str_eq(listener, "here:1");
    met = *stream;
    met_count++;
}

/* A client has connected; the other end of it. */
static int arrive(void)
{
    int fds[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    greetings_add(&greetings, fds[0], &nobody, server_context, cell, on_done, &greetings);
    return fds[1];
}

static void turn(void)
{
    loop_wait(worker.base, 0);
    loop_dispatch(worker.base);
    worker_end_turn(&worker);
}

static bool is_closed(int fd)
{
    char byte;
    return recv(fd, &byte, 1, 0) == 0;
}

Test(greeting, a_handshake_ends_in_a_stream)
{
    struct stream client;
    char got[8];
    size_t moved;
    int fd = arrive();

    cr_assert(stream_init_tls_client(&client, fd, client_context, "cache.example", NULL));
    for (int i = 0; i < 5; i++) {
        cr_assert_neq(stream_handshake(&client), STREAM_FAILED);
        turn();
    }
    cr_assert_eq(met_count, 1);
    cr_expect_eq(greetings.count, 0);
    cr_expect_eq(counter_get(&cell->handshakes), 1);
    cr_expect_eq(counter_get(&cell->failed), 0);
    cr_assert_eq(client.ops->write(&client, &(struct iovec){ "hello", 5 }, 1, &moved), STREAM_OK);
    cr_assert_eq(met.ops->read(&met, got, sizeof(got), &moved), STREAM_OK);
    cr_expect_eq(moved, 5);
    stream_close(&client);
    stream_close(&met);
}

Test(greeting, who_says_nothing_is_closed_in_time_and_has_not_failed)
{
    int early = arrive();
    int late;

    clock_fake(SECONDS(1004), SECONDS(1004));
    worker_end_turn(&worker);
    late = arrive();
    greetings_tick(&greetings, SECONDS(1000) + GREETING_TIMEOUT);
    cr_expect_eq(greetings.count, 2);
    greetings_tick(&greetings, SECONDS(1000) + GREETING_TIMEOUT + 1);
    cr_expect_eq(greetings.count, 1);
    cr_expect(is_closed(early));
    cr_expect_not(is_closed(late));
    greetings_tick(&greetings, SECONDS(1004) + GREETING_TIMEOUT + 1);
    cr_expect_eq(greetings.count, 0);
    cr_expect(is_closed(late));
    cr_expect_eq(counter_get(&cell->failed), 0);
    (void)close(early);
    (void)close(late);
}

Test(greeting, who_dribbles_gets_no_more_time)
{
    static const char hello[] = "\x16\x03\x01\x01\x10\x01\x00\x01\x0c";
    int fd = arrive();

    for (unsigned i = 0; i < 9; i++) {
        clock_fake(SECONDS(1000 + i), SECONDS(1000 + i));
        cr_assert_eq(send(fd, &hello[i], 1, 0), 1);
        turn();
        greetings_tick(&greetings, SECONDS(1000 + i));
        cr_assert_eq(greetings.count, 1);
    }
    greetings_tick(&greetings, SECONDS(1000) + GREETING_TIMEOUT + 1);
    cr_expect_eq(greetings.count, 0);
    cr_expect_eq(counter_get(&cell->failed), 1);
    cr_expect(is_closed(fd));
    (void)close(fd);
}

Test(greeting, who_goes_without_a_word_has_not_failed_and_who_speaks_no_tls_has)
{
    int fds[2] = { arrive(), arrive() };

    (void)close(fds[0]);
    cr_assert_eq(send(fds[1], "get k\r\n", 7, 0), 7);
    turn();
    cr_expect_eq(greetings.count, 0);
    cr_expect_eq(counter_get(&cell->failed), 1);
    (void)close(fds[1]);
}

Test(greeting, what_one_turn_may_cost_is_limited)
{
    int fds[2] = { arrive(), arrive() };

    greetings.spent = GREETING_BUDGET;
    for (int i = 0; i < 2; i++)
        cr_assert_eq(send(fds[i], "get k\r\n", 7, 0), 7);
    loop_wait(worker.base, 0);
    loop_dispatch(worker.base);
    cr_expect_eq(greetings.count, 2, "they wait for the next turn");
    greetings.spent = 0;
    turn();
    cr_expect_eq(greetings.count, 0);
    (void)close(fds[0]);
    (void)close(fds[1]);
}
