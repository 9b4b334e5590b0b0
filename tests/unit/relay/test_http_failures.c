/* The web plane when backends fail, and when somebody takes too long. */
#include "http_rig.h"

#include "crossfade/relay/http_pools.h"

#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static struct http_rig rig;

static void start(void)
{
    rig_start(&rig, "", false);
}

static void stop(void)
{
    rig_stop(&rig);
}

TestSuite(http_failures, .init = start, .fini = stop);

Test(http_failures, bytes_that_nobody_asked_for_close_the_connection)
{
    int client = rig_client(&rig);
    int backend;

    rig_send(&rig, client, GET);
    backend = rig_accept(&rig, 0);
    (void)rig_read(&rig, backend);
    rig_send(&rig, backend, OK "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    cr_assert(ends(rig_read(&rig, client), "\r\n\r\nok"));
    cr_assert(rig_ended(&rig, backend));
    close(backend);

    rig_send(&rig, client, GET);
    backend = rig_accept(&rig, 0);
    (void)rig_read(&rig, backend);
    rig_send(&rig, backend, OK);
    cr_assert(ends(rig_read(&rig, client), "\r\n\r\nok"));
    rig_send(&rig, backend, "HTTP/1.1 200 OK\r\n\r\n"); /* while idle */
    cr_assert(rig_ended(&rig, backend));
    close(client);
    close(backend);
}

Test(http_failures, bad_framing_from_a_backend_is_502)
{
    static const char *const rows[] = {
        "nonsense that is no status line\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx",
        "HTTP/1.1 200 OK\n\nx",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: \x01\r\n\r\n",
    };
    int client = rig_client(&rig);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int backend;
        const char *text;
        rig_send(&rig, client, GET);
        backend = rig_accept(&rig, 0);
        (void)rig_read(&rig, backend);
        rig_send(&rig, backend, rows[i]);
        text = rig_read(&rig, client);
        cr_assert(begins(text, "HTTP/1.1 502 Bad Gateway\r\n"), "row %zu: %s", i, text);
        cr_assert(has(text, "arm stable, backend unix:"), "row %zu: %s", i, text);
        cr_assert(rig_ended(&rig, backend), "row %zu", i);
        close(backend);
    }
    close(client);
}

Test(http_failures, a_response_that_breaks_off_is_not_taken_for_whole)
{
    static const char *const rows[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int client = rig_client(&rig);
        int backend;
        const char *text;
        rig_send(&rig, client, GET);
        backend = rig_accept(&rig, 0);
        (void)rig_read(&rig, backend);
        rig_send(&rig, backend, rows[i]);
        close(backend);
        text = rig_read(&rig, client);
        cr_assert(has(text, "half") && !has(text, "0\r\n\r\n"), "row %zu: %s", i, text);
        cr_assert(rig_ended(&rig, client), "row %zu", i);
        close(client);
    }
    cr_assert_eq(counter_get(&rig_arm(&rig, "stable")->resets), 3);
}

/* The end of the connection is the end of such a body only if it is one in order. */
Test(http_failures, a_reset_is_no_end_of_a_body)
{
    int client = rig_client(&rig);
    int backend;
    const char *text;

    rig_send(&rig, client, GET);
    backend = rig_accept(&rig, 0);
    rig_send(&rig, backend, "HTTP/1.0 200 OK\r\n\r\nhalf");
    close(backend); /* with the request unread, which resets a unix socket */
    text = rig_read(&rig, client);
    cr_assert(has(text, "half") && !has(text, "0\r\n\r\n"), "%s", text);
    cr_assert(rig_ended(&rig, client));
    close(client);
}

Test(http_failures, a_kept_connection_that_died_costs_nobody_anything)
{
    int client = rig_client(&rig);
    int backend;

    rig_send(&rig, client, GET);
    backend = rig_accept(&rig, 0);
    (void)rig_read(&rig, backend);
    rig_send(&rig, backend, OK);
    (void)rig_read(&rig, client);
    /* It takes the next request and dies of it, as one does that was closing already. */
    rig_send(&rig, client, GET);
    (void)rig_read(&rig, backend);
    close(backend);
    backend = rig_accept(&rig, 0);
    (void)rig_read(&rig, backend);
    rig_send(&rig, backend, OK);
    cr_assert(ends(rig_read(&rig, client), "ok"));
    cr_assert_eq(counter_get(&rig_arm(&rig, "stable")->resets), 0);
    /* Not so with what must not be sent twice. */
    rig_send(&rig, client, POST("Content-Length: 0\r\n"));
    cr_assert(has(rig_read(&rig, backend), "POST / "));
    close(backend);
    cr_assert(begins(rig_read(&rig, client), "HTTP/1.1 502 "));
    cr_assert(rig_untouched(&rig, 0));
    cr_assert_eq(counter_get(&rig_arm(&rig, "stable")->resets), 1);
    close(client);
}

Test(http_failures, a_candidate_that_is_down_falls_back_and_is_charged)
{
    int client = rig_client(&rig);
    int backend;
    const char *text;

    rig_kill_backend(&rig, 2);
    rig_send(&rig, client, CANARY);
    backend = rig_accept(&rig, 0);
    (void)rig_read(&rig, backend);
    rig_send(&rig, backend, OK);
    text = rig_read(&rig, client);
    cr_assert(has(text, "X-Crossfade-Arm: stable\r\n"), "%s", text);
    cr_assert_eq(counter_get(&rig_arm(&rig, "next")->requests), 1);
    cr_assert_eq(counter_get(&rig_arm(&rig, "next")->connect_errors), 1);
    cr_assert_eq(counter_get(&rig_arm(&rig, "next")->fallbacks), 1);
    cr_assert_eq(counter_get(&rig_arm(&rig, "next")->active), 0);
    cr_assert_eq(counter_get(&rig_arm(&rig, "stable")->responses_2xx), 1);

    /* A body that nobody has seen yet goes along. */
    rig_send(&rig, client,
             "POST / HTTP/1.1\r\n" HOST "X-Employee: 1\r\nContent-Length: 4\r\n\r\nbody");
    text = rig_read(&rig, backend);
    cr_assert(begins(text, "POST / ") && ends(text, "\r\n\r\nbody"), "%s", text);
    rig_send(&rig, backend, OK);
    (void)rig_read(&rig, client);
    cr_assert_eq(counter_get(&rig_arm(&rig, "next")->fallbacks), 2);
    close(client);
    close(backend);
}

/* TCP tells of the refusal only after the request was handed to the connection. */
Test(http_failures, a_refusal_that_comes_late_loses_nothing)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(in);
    int taken = socket(AF_INET, SOCK_STREAM, 0); /* bound, but nobody listens */
    char where[32];
    const char *text;
    int client, backend;

    cr_assert_eq(bind(taken, (struct sockaddr *)&in, sizeof(in)), 0);
    cr_assert_eq(getsockname(taken, (struct sockaddr *)&in, &len), 0);
    (void)snprintf(where, sizeof(where), "127.0.0.1:%u", ntohs(in.sin_port));
    rig.candidate = where;
    rig_reload(&rig, "", false);
    client = rig_client(&rig);
    rig_send(&rig, client,
             "POST / HTTP/1.1\r\n" HOST "X-Employee: 1\r\nContent-Length: 8\r\n\r\nbody");
    rig_send(&rig, client, "more");
    for (int i = 0; i < 500 && counter_get(&rig_arm(&rig, "next")->fallbacks) == 0; i++) {
        (void)usleep(10000);
        rig_turn(&rig);
    }
    backend = rig_accept(&rig, 0);
    text = rig_read(&rig, backend);
    cr_assert(begins(text, "POST / ") && ends(text, "\r\n\r\nbodymore"), "%s", text);
    rig_send(&rig, backend, OK);
    cr_assert(ends(rig_read(&rig, client), "ok"));
    cr_assert_eq(counter_get(&rig_arm(&rig, "next")->connect_errors), 1);
    close(client);
    close(backend);
    close(taken);
}

/* The backend closes while the request is already here, and the loop sees the request first. */
Test(http_failures, what_must_not_be_sent_twice_goes_to_a_connection_that_lives)
{
    int client = rig_client(&rig);
    int backend;

    rig_send(&rig, client, GET);
    backend = rig_accept(&rig, 0);
    (void)rig_read(&rig, backend);
    rig_send(&rig, backend, OK);
    (void)rig_read(&rig, client);
    cr_assert_gt(send(client, POST("Content-Length: 0\r\n"), strlen(POST("Content-Length: 0\r\n")),
                      MSG_NOSIGNAL),
                 0);
    close(backend);
    backend = rig_accept(&rig, 0);
    cr_assert(begins(rig_read(&rig, backend), "POST / "));
    rig_send(&rig, backend, OK);
    cr_assert(ends(rig_read(&rig, client), "ok"));
    close(client);
    close(backend);
}

Test(http_failures, a_candidate_that_breaks_falls_back_only_if_that_is_safe)
{
    int client = rig_client(&rig);
    int next, stable;

    rig_send(&rig, client, CANARY);
    next = rig_accept(&rig, 2);
    (void)rig_read(&rig, next);
    close(next);
    stable = rig_accept(&rig, 0);
    cr_assert(has(rig_read(&rig, stable), "GET / "));
    rig_send(&rig, stable, OK);
    cr_assert(has(rig_read(&rig, client), "X-Crossfade-Arm: stable\r\n"));
    cr_assert_eq(counter_get(&rig_arm(&rig, "next")->resets), 1);

    rig_send(&rig, client, "POST / HTTP/1.1\r\n" HOST "X-Employee: 1\r\nContent-Length: 0\r\n\r\n");
    next = rig_accept(&rig, 2);
    (void)rig_read(&rig, next);
    close(next);
    cr_assert(begins(rig_read(&rig, client), "HTTP/1.1 502 "));

    /* An idempotent method, but of the body nobody knows what became. */
    rig_send(&rig, client,
             "PUT / HTTP/1.1\r\n" HOST "X-Employee: 1\r\nContent-Length: 4\r\n\r\nbody");
    next = rig_accept(&rig, 2);
    (void)rig_read(&rig, next);
    close(next);
    cr_assert(begins(rig_read(&rig, client), "HTTP/1.1 502 "));

    rig_send(&rig, client, CANARY);
    next = rig_accept(&rig, 2);
    (void)rig_read(&rig, next);
    rig_send(&rig, next, "HTT");
    close(next);
    cr_assert(begins(rig_read(&rig, client), "HTTP/1.1 502 "), "a byte of the response came");
    cr_assert_str_eq(rig_read(&rig, stable), "");
    cr_assert_eq(counter_get(&rig_arm(&rig, "next")->fallbacks), 1);
    cr_assert_eq(counter_get(&rig_arm(&rig, "next")->responses_5xx), 3);
    close(client);
    close(stable);
}

Test(http_failures, the_fallback_budget_is_kept)
{
    unsigned fallen = 0;
    int client = rig_client(&rig);

    rig_kill_backend(&rig, 2);
    for (unsigned i = 0; i < 100; i++) {
        const char *text;
        int backend;
        rig_send(&rig, client, CANARY);
        text = rig_read(&rig, client);
        if (text[0] != '\0') {
            cr_assert(begins(text, "HTTP/1.1 502 Bad Gateway"), "%s", text);
            cr_assert(has(text, "arm next: backend unix:"), "%s", text);
            continue;
        }
        backend = rig_accept(&rig, 0);
        (void)rig_read(&rig, backend);
        rig_send(&rig, backend,
                 "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        (void)rig_read(&rig, client);
        close(backend);
        fallen++;
    }
    cr_assert_eq(fallen, 10 + 10, "ten to begin with, and 10 %% of a hundred");
    rig_reload(&rig, "  fallback: { to_stable: true, budget: 0 }\n", false);
    for (unsigned i = 0; i < 20; i++) {
        rig_send(&rig, client, CANARY);
        cr_assert(begins(rig_read(&rig, client), "HTTP/1.1 502 Bad Gateway"));
    }
    close(client);
}

Test(http_failures, timeouts)
{
    int client = rig_client(&rig);
    int late = rig_client(&rig);
    int idle = rig_client(&rig);
    int backend;
    const char *text;

    rig_reload(&rig,
               "  timeouts: { client_idle: 60s, request_head: 10s, response: 30s }\n"
               "  fallback: { to_stable: false }\n",
               false);
    rig_send(&rig, client, GET);
    backend = rig_accept(&rig, 0);
    (void)rig_read(&rig, backend);
    rig_send(&rig, late, "GET / HT");
    rig_wait(&rig, SECONDS(9));
    rig_send(&rig, late, "TP/1.1\r\n");
    rig_wait(&rig, SECONDS(2));
    text = rig_read(&rig, late);
    cr_assert(has(text, "408 Request Timeout: the rest of the head"), "%s", text);
    cr_assert_str_eq(rig_read(&rig, client), "");
    rig_wait(&rig, SECONDS(20));
    text = rig_read(&rig, client);
    cr_assert(begins(text, "HTTP/1.1 504 Gateway Timeout\r\n"), "%s", text);
    cr_assert(has(text, "no response within 30000 ms"), "%s", text);
    cr_assert(rig_ended(&rig, backend));
    cr_assert_eq(counter_get(&rig_arm(&rig, "stable")->timeouts), 1);
    rig_wait(&rig, SECONDS(30));
    cr_assert(rig_ended(&rig, idle));
    close(late);
    close(idle);
    close(client);
    close(backend);
}

Test(http_failures, an_upload_that_stalls_is_408)
{
    int client = rig_client(&rig);
    int backend;

    rig_send(&rig, client, POST("Content-Length: 10\r\n") "half");
    backend = rig_accept(&rig, 0);
    for (int i = 0; i < 7; i++)
        rig_wait(&rig, SECONDS(9));
    cr_assert(has(rig_read(&rig, client), "408 Request Timeout: the rest of the body"));
    cr_assert_eq(counter_get(&rig_arm(&rig, "stable")->timeouts), 0, "not the backend's fault");
    close(client);
    close(backend);
}

Test(http_failures, load_is_spread_and_a_dead_backend_passed_over)
{
    int clients[4], backends[4];

    rig_reload(&rig, "", true);
    for (int i = 0; i < 4; i++) {
        clients[i] = rig_client(&rig);
        rig_send(&rig, clients[i], GET);
    }
    /* Least pending: two each. */
    backends[0] = rig_accept(&rig, 0);
    backends[1] = rig_accept(&rig, 0);
    backends[2] = rig_accept(&rig, 1);
    backends[3] = rig_accept(&rig, 1);
    for (int i = 0; i < 4; i++) {
        (void)rig_read(&rig, backends[i]);
        rig_send(&rig, backends[i], OK);
        close(backends[i]);
    }
    for (int i = 0; i < 4; i++)
        cr_assert(ends(rig_read(&rig, clients[i]), "ok"));

    rig_kill_backend(&rig, 0);
    for (int i = 0; i < 4; i++) {
        rig_send(&rig, clients[i], GET);
        backends[i] = rig_accept(&rig, 1);
        (void)rig_read(&rig, backends[i]);
    }
    for (int i = 0; i < 4; i++) {
        rig_send(&rig, backends[i], OK);
        cr_assert(ends(rig_read(&rig, clients[i]), "ok"));
        close(backends[i]);
        close(clients[i]);
    }
    cr_assert_eq(counter_get(&rig_arm(&rig, "stable")->connect_errors), 0);
}

Test(http_failures, clients_that_vanish_leave_nothing_behind)
{
    for (int step = 0; step < 4; step++) {
        int client = rig_client(&rig);
        int backend = -1;
        rig_send(&rig, client, step == 0 ? "GET / HT" : POST("Content-Length: 5\r\n") "12");
        if (step > 0)
            backend = rig_accept(&rig, 0);
        if (step > 1)
            (void)rig_read(&rig, backend);
        if (step > 2)
            rig_send(&rig, backend, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nha");
        close(client);
        rig_turn(&rig);
        cr_assert_eq(http_plane_clients(rig.worker.http), 0, "step %d", step);
        if (backend >= 0) {
            bool ended;
            (void)rig_drain(&rig, backend, &ended);
            cr_assert(ended, "step %d", step);
            close(backend);
        }
    }
    cr_assert_eq(counter_get(&rig_arm(&rig, "stable")->active), 0);
    cr_assert_eq(counter_get(&rig_arm(&rig, "stable")->resets), 0);
    cr_assert_eq(rig_out(&rig.worker.buffers.segments), 0);
    cr_assert_eq(rig_out(&rig.worker.buffers.small_chunks), 0);
}

Test(http_failures, a_backend_that_was_down_is_found_again)
{
    int first = rig_client(&rig);
    int second = rig_client(&rig);
    int backend;

    rig_kill_backend(&rig, 0);
    rig_send(&rig, first, GET);
    cr_assert(has(rig_read(&rig, first), "502 Bad Gateway: arm stable: backend unix:"));
    rig_revive_backend(&rig, 0);
    rig_send(&rig, first, GET);
    cr_assert(has(rig_read(&rig, first), " is down: "), "it is not asked again at once");
    rig_wait(&rig, MILLISECONDS(250));
    rig_send(&rig, first, GET);
    backend = rig_accept(&rig, 0);
    rig_send(&rig, second, GET);
    rig_send(&rig, backend, OK);
    cr_assert(ends(rig_read(&rig, first), "ok"));
    close(backend);
    (void)rig_read(&rig, second);
    close(first);
    close(second);
}

/* Of the connections that a burst has made a few are kept for long. */
Test(http_failures, idle_connections_are_given_up)
{
    enum { CLIENTS = 20 };
    int clients[CLIENTS], backends[CLIENTS];
    int cell;
    const struct http_backend_cell *counted;
    char name[128];

    (void)snprintf(name, sizeof(name), "stable unix:%s", rig.paths[0]);
    cell = cells_index(rig.telemetry->http_backends, name);
    counted = cells_get(rig.telemetry->http_backends, (unsigned)cell, 0);
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = rig_client(&rig);
        rig_send(&rig, clients[i], GET);
        backends[i] = rig_accept(&rig, 0);
        (void)rig_read(&rig, backends[i]);
    }
    cr_assert_eq(counter_get(&counted->active), CLIENTS);
    for (int i = 0; i < CLIENTS; i++)
        rig_send(&rig, backends[i], OK);
    cr_assert_eq(counter_get(&counted->active), 0);
    cr_assert_eq(counter_get(&counted->idle), CLIENTS);
    rig_wait(&rig, SECONDS(4));
    cr_assert_eq(counter_get(&counted->idle), HTTP_BACKEND_SPARE);
    rig_wait(&rig, SECONDS(20));
    cr_assert_eq(counter_get(&counted->idle), HTTP_BACKEND_SPARE);
    rig_wait(&rig, SECONDS(10));
    cr_assert_eq(counter_get(&counted->idle), 0);
    for (int i = 0; i < CLIENTS; i++) {
        cr_assert(rig_ended(&rig, backends[i]));
        close(backends[i]);
        close(clients[i]);
    }
}
