/* The web plane end to end, on one worker: what goes right, and what clients do wrong. */
#include "http_rig.h"

#include "crossfade/relay/http_pools.h"

#include <criterion/criterion.h>
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

TestSuite(http_plane, .init = start, .fini = stop);

Test(http_plane, a_request_and_its_answer)
{
    int client = rig_client(&rig);
    int backend;
    const char *text;

    rig_send(&rig, client, "GET /a?b HTTP/1.1\r\n" HOST "X_A: b\r\nX-Crossfade-Arm: next\r\n\r\n");
    backend = rig_accept(&rig, 0);
    text = rig_read(&rig, backend);
    cr_assert(begins(text, "GET /a?b HTTP/1.1\r\nHost: shop\r\nX-Forwarded-For: 192.0.2.7\r\n"),
              "%s", text);
    cr_assert_not(has(text, "X-Crossfade"));
    rig_send(&rig, backend, OK);
    cr_assert_str_eq(rig_read(&rig, client), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
                                             "X-Crossfade-Arm: stable\r\n\r\nok");
    cr_assert_eq(counter_get(&rig_arm(&rig, "stable")->requests), 1);
    cr_assert_eq(counter_get(&rig_arm(&rig, "stable")->responses_2xx), 1);
    cr_assert_eq(counter_get(&rig_arm(&rig, "stable")->active), 0);

    /* Both connections are used again. */
    rig_exchange(&rig, client, backend, GET, OK);
    cr_assert(ends(rig_read(&rig, client), "X-Crossfade-Arm: stable\r\n\r\nok"));
    cr_assert(rig_untouched(&rig, 0));
    close(client);
    close(backend);
}

Test(http_plane, an_identity_is_given_out_once)
{
    char request[256];
    char cookie[96];
    const char *text, *from;
    int client, backend;

    rig.percent = PERCENT_ALL; /* everyone is the candidate's, so that no draw decides the test */
    rig_reload(&rig, "", false);
    client = rig_client(&rig);
    rig_send(&rig, client, "GET / HTTP/1.1\r\n" HOST "\r\n");
    backend = rig_accept(&rig, 2);
    (void)rig_read(&rig, backend);
    rig_send(&rig, backend, OK);
    text = rig_read(&rig, client);
    from = strstr(text, "\r\nSet-Cookie: cf_id=");
    cr_assert_not_null(from, "%s", text);
    cr_assert(has(from, "; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax\r\n"), "%s", text);
    (void)snprintf(cookie, sizeof(cookie), "%.*s", (int)strcspn(from + 14, ";"), from + 14);
    cr_assert_eq(counter_get(&rig_arm(&rig, "next")->issued), 1);

    (void)snprintf(request, sizeof(request), "GET / HTTP/1.1\r\n" HOST "Cookie: %s\r\n\r\n",
                   cookie);
    rig_send(&rig, client, request);
    cr_assert(has(rig_read(&rig, backend), cookie), "the application may see it");
    rig_send(&rig, backend, OK);
    text = rig_read(&rig, client);
    cr_assert(has(text, "X-Crossfade-Arm: next\r\n") && !has(text, "Set-Cookie"), "%s", text);
    close(client);
    close(backend);
}

/* The same exchange, both heads and the body cut at every byte, gives the same bytes. */
Test(http_plane, where_the_bytes_are_cut_does_not_matter)
{
    const char *request = POST("Transfer-Encoding: chunked\r\nX-Request-Id: i\r\nCookie: "
                               "cf_id=x\r\n") "3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: u\r\n\r\n";
    const char *response =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;e\r\nwxyz\r\n0\r\nT: u\r\n\r\n";
    int client = rig_client(&rig);
    int backend = -1;

    for (size_t cut = 1; cut < strlen(request); cut++) {
        const char *text;
        rig_send_bytes(&rig, client, request, cut);
        rig_send(&rig, client, request + cut);
        if (backend < 0)
            backend = rig_accept(&rig, 0);
        text = rig_read(&rig, backend);
        cr_assert(begins(text, "POST / HTTP/1.1\r\nHost: shop\r\nCookie: cf_id=x\r\n"
                               "Transfer-Encoding: chunked\r\n"),
                  "cut %zu: %s", cut, text);
        cr_assert(has(text, "abc\r\n") || has(text, "bc\r\n") || has(text, "c\r\n"));
        cr_assert(ends(text, "\r\n0\r\n\r\n"), "cut %zu: %s", cut, text);
        cr_assert_not(has(text, "x=y"), "extensions are dropped");
        cr_assert_not(has(text, "T: u"), "trailers are dropped");
        size_t other = cut % (strlen(response) - 1) + 1;
        rig_send_bytes(&rig, backend, response, other);
        rig_send(&rig, backend, response + other);
        text = rig_read(&rig, client);
        cr_assert(begins(text, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"), "cut %zu: %s",
                  cut, text);
        cr_assert(ends(text, "\r\n0\r\n\r\n"), "cut %zu: %s", cut, text);
    }
    close(client);
    close(backend);
}

Test(http_plane, pipelined_requests_are_answered_in_order)
{
    int client = rig_client(&rig);
    int backend;
    const char *text;

    rig_send(&rig, client,
             "GET /1 HTTP/1.1\r\n" HOST "\r\nGET /2 HTTP/1.1\r\n" HOST
             "\r\nGET /3 HTTP/1.1\r\nHost: a b\r\n\r\nGET /4 HTTP/1.1\r\n" HOST "\r\n");
    backend = rig_accept(&rig, 0);
    text = rig_read(&rig, backend);
    cr_assert(begins(text, "GET /1 ") && !has(text, "GET /2"), "%s", text);
    rig_send(&rig, backend, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none");
    text = rig_read(&rig, backend);
    cr_assert(begins(text, "GET /2 ") && !has(text, "GET /3"), "%s", text);
    rig_send(&rig, backend, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo");
    text = rig_read(&rig, client);
    cr_assert_lt(strstr(text, "one"), strstr(text, "two"));
    cr_assert_lt(strstr(text, "two"), strstr(text, "400 Bad Request: the Host header"));
    cr_assert(ends(text, "is not a host\n"), "%s", text);
    cr_assert(rig_ended(&rig, client), "nothing follows a bad request");
    cr_assert(rig_untouched(&rig, 0));
    close(client);
    close(backend);
}

Test(http_plane, bad_framing_is_answered_and_closes)
{
    static const char *const rows[][2] = {
        { "GET / HTTP/1.1\r\n\r\n", "400 Bad Request: no Host header" },
        { "GET / HTTP/1.1\r\nHost : a\r\n\r\n", "400 Bad Request: white space before" },
        { POST("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"),
          "400 Bad Request: Transfer-" },
        { POST("Transfer-Encoding: chunked\r\n") "x\r\n",
          "400 Bad Request: a chunk without a size" },
        { POST("Content-Length: 99999999999\r\n"), "413 Content Too Large: the body" },
        { "GET / HTTP/1.1\r\n" HOST "Upgrade: websocket\r\n\r\n",
          "501 Not Implemented: WebSocket" },
        { "GET / HTTP/3.0\r\n" HOST "\r\n", "505 HTTP Version Not Supported: only" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int client = rig_client(&rig);
        const char *text;
        rig_send(&rig, client, rows[i][0]);
        text = rig_read(&rig, client);
        cr_assert(has(text, rows[i][1]), "row %zu: %s", i, text);
        cr_assert(has(text, "\r\nConnection: close\r\n"), "row %zu: %s", i, text);
        cr_assert(rig_ended(&rig, client), "row %zu", i);
        close(client);
        rig_turn(&rig);
    }
    cr_assert_eq(http_plane_clients(rig.worker.http), 0);
    cr_assert_eq(counter_get(&rig.worker.cell->web_bad_requests), sizeof(rows) / sizeof(rows[0]));
}

Test(http_plane, bodies_without_end_and_old_clients)
{
    int client = rig_client(&rig);
    int backend;
    const char *text;

    rig_send(&rig, client, GET);
    backend = rig_accept(&rig, 0);
    (void)rig_read(&rig, backend);
    rig_send(&rig, backend, "HTTP/1.0 200 OK\r\n\r\nuntil the end");
    close(backend);
    text = rig_read(&rig, client);
    cr_assert(has(text, "Transfer-Encoding: chunked\r\n"), "%s", text);
    cr_assert(ends(text, "\r\n\r\nd\r\nuntil the end\r\n0\r\n\r\n"), "%s", text);

    /* The client's connection goes on; HTTP/1.0 gets the bytes as they are and then the end. */
    rig_send(&rig, client, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n" HOST "\r\n");
    backend = rig_accept(&rig, 0);
    (void)rig_read(&rig, backend);
    rig_send(&rig, backend,
             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n");
    text = rig_read(&rig, client);
    cr_assert(has(text, "Connection: close\r\n") && !has(text, "chunked"), "%s", text);
    cr_assert(ends(text, "\r\n\r\nhi"), "%s", text);
    cr_assert(rig_ended(&rig, client));
    close(client);
    close(backend);
}

Test(http_plane, answers_without_a_body)
{
    int client = rig_client(&rig);
    int backend;
    const char *text;

    rig_send(&rig, client, "HEAD / HTTP/1.1\r\n" HOST "\r\n");
    backend = rig_accept(&rig, 0);
    (void)rig_read(&rig, backend);
    rig_send(&rig, backend, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n");
    text = rig_read(&rig, client);
    cr_assert(has(text, "Content-Length: 7\r\n") && ends(text, "\r\n\r\n"), "%s", text);
    rig_exchange(&rig, client, backend, GET, "HTTP/1.1 204 No Content\r\n\r\n");
    text = rig_read(&rig, client);
    cr_assert(begins(text, "HTTP/1.1 204 No Content\r\n") && ends(text, "\r\n\r\n"), "%s", text);
    rig_exchange(&rig, client, backend, GET,
                 "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n");
    text = rig_read(&rig, client);
    cr_assert(begins(text, "HTTP/1.1 304 ") && ends(text, "\r\n\r\n"), "%s", text);
    rig_exchange(&rig, client, backend, GET, OK);
    cr_assert(ends(rig_read(&rig, client), "ok"));
    close(client);
    close(backend);
}

Test(http_plane, interim_responses_are_relayed)
{
    int client = rig_client(&rig);
    int backend;
    const char *text;

    rig_send(&rig, client, POST("Content-Length: 4\r\nExpect: 100-continue\r\n"));
    backend = rig_accept(&rig, 0);
    text = rig_read(&rig, backend);
    cr_assert(has(text, "Expect: 100-continue\r\nContent-Length: 4\r\n"), "%s", text);
    rig_send(&rig, backend, "HTTP/1.1 100 Continue\r\n\r\n");
    cr_assert_str_eq(rig_read(&rig, client), "HTTP/1.1 100 Continue\r\n\r\n");
    rig_send(&rig, client, "body");
    cr_assert_str_eq(rig_read(&rig, backend), "body");
    rig_send(&rig, backend, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" OK);
    text = rig_read(&rig, client);
    cr_assert(begins(text, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n"), "%s",
              text);
    cr_assert(ends(text, "ok") && !has(text, "Connection: close"), "%s", text);
    close(client);
    close(backend);
}

Test(http_plane, an_early_answer_ends_the_upload)
{
    int client = rig_client(&rig);
    int backend;
    const char *text;

    rig_send(&rig, client, POST("Content-Length: 100000\r\n") "some");
    backend = rig_accept(&rig, 0);
    (void)rig_read(&rig, backend);
    rig_send(&rig, backend, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    text = rig_read(&rig, client);
    cr_assert(has(text, "Connection: close\r\n") && ends(text, "no"), "%s", text);
    cr_assert(rig_ended(&rig, backend), "no connection is reused with a body unread");
    rig_send(&rig, client, "GET /smuggled HTTP/1.1\r\n" HOST "\r\n");
    cr_assert(rig_untouched(&rig, 0));
    close(client);
    close(backend);
}

Test(http_plane, the_connection_limit)
{
    int first = rig_client(&rig);
    int second, third;
    const char *text;

    rig_reload(&rig, "  limits: { connections: 2 }\n", false);
    second = rig_client(&rig);
    third = rig_client(&rig);
    text = rig_read(&rig, third);
    cr_assert(begins(text, "HTTP/1.1 503 Service Unavailable\r\n"), "%s", text);
    cr_assert(rig_ended(&rig, third));
    close(second);
    close(third);
    rig_turn(&rig);
    third = rig_client(&rig);
    cr_assert_str_eq(rig_read(&rig, third), "");
    cr_assert_eq(counter_get(&rig.worker.cell->web_refused), 1);
    close(first);
    close(third);
}

/* Bytes of a side that nobody reads stay where they are. */
Test(http_plane, back_pressure)
{
    enum { PIECE = 32768, PIECES = 400 };
    static char piece[PIECE];
    int client = rig_client(&rig);
    int backend;
    size_t sent = 0, got = 0;
    bool ended = false;

    memset(piece, 'x', sizeof(piece));
    rig_send(&rig, client, GET);
    backend = rig_accept(&rig, 0);
    (void)rig_read(&rig, backend);
    rig_send(&rig, backend, "HTTP/1.1 200 OK\r\nContent-Length: 13107200\r\n\r\n");
    for (int i = 0; i < PIECES; i++) {
        ssize_t n = send(backend, piece, sizeof(piece), MSG_NOSIGNAL);
        rig_turn(&rig);
        if (n <= 0)
            break;
        sent += (size_t)n;
    }
    cr_assert_lt(sent, (size_t)PIECE * PIECES, "the backend was stopped");
    cr_assert_lt(buffer_pool_size(&rig.worker.buffers), 4u << 20);
    while (got < 13107200 && !ended) {
        got += rig_drain(&rig, client, &ended);
        if (sent < (size_t)PIECE * PIECES) {
            size_t left = (size_t)PIECE * PIECES - sent;
            ssize_t n = send(backend, piece, left < PIECE ? left : PIECE, MSG_NOSIGNAL);
            sent += n > 0 ? (size_t)n : 0;
        }
    }
    cr_assert_geq(got, 13107200);
    cr_assert_not(ended);
    rig_exchange(&rig, client, backend, GET, OK);
    cr_assert(ends(rig_read(&rig, client), "ok"));

    /* The other way. */
    sent = 0;
    rig_send(&rig, client, POST("Content-Length: 13107200\r\n"));
    for (int i = 0; i < PIECES; i++) {
        ssize_t n = send(client, piece, sizeof(piece), MSG_NOSIGNAL);
        rig_turn(&rig);
        if (n <= 0)
            break;
        sent += (size_t)n;
    }
    cr_assert_lt(sent, (size_t)PIECE * PIECES, "the client was stopped");
    cr_assert_lt(buffer_pool_size(&rig.worker.buffers), 4u << 20);
    for (got = 0; got < 13107200 && !ended;) {
        got += rig_drain(&rig, backend, &ended);
        if (sent < (size_t)PIECE * PIECES) {
            size_t left = (size_t)PIECE * PIECES - sent;
            ssize_t n = send(client, piece, left < PIECE ? left : PIECE, MSG_NOSIGNAL);
            sent += n > 0 ? (size_t)n : 0;
        }
    }
    rig_send(&rig, backend, OK);
    cr_assert(ends(rig_read(&rig, client), "ok"));
    close(client);
    close(backend);
}

/* Later requests wait in the socket, not here. */
Test(http_plane, pipelined_requests_are_taken_in_only_so_far)
{
    int client = rig_client(&rig);
    int backend = -1;
    unsigned sent = 0;

    while (sent < 20000 && send(client, GET, strlen(GET), MSG_NOSIGNAL) == (ssize_t)strlen(GET)) {
        sent++;
        rig_turn(&rig);
    }
    cr_assert_lt(sent, 20000, "the client was stopped");
    cr_assert_lt(rig.worker.buffers.large, 2 * HTTP_PIPELINE_MAX + CHUNK_SIZE);
    backend = rig_accept(&rig, 0);
    for (unsigned i = 0; i < sent - 1; i++) {
        cr_assert(begins(rig_read(&rig, backend), "GET / "), "request %u of %u", i, sent);
        rig_send(&rig, backend, "HTTP/1.1 204 No Content\r\n\r\n");
        cr_assert(begins(rig_read(&rig, client), "HTTP/1.1 204 "), "request %u of %u", i, sent);
    }
    close(client);
    close(backend);
}

/* Small responses that nobody reads do not pile up either: each is whole before the next begins. */
Test(http_plane, pipelined_responses_wait_for_the_client)
{
    enum { REQUESTS = 200, BODY = 8192 };
    static char response[BODY + 64];
    int len = snprintf(response, sizeof(response),
                       "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%*s", BODY, BODY, "");
    int client = rig_client(&rig);
    int backend = -1;
    unsigned asked = 0;
    size_t got = 0;
    bool ended = false;

    for (int i = 0; i < REQUESTS; i++)
        rig_send(&rig, client, "GET / HTTP/1.1\r\n" HOST "\r\n");
    backend = rig_accept(&rig, 0);
    for (;;) {
        if (*rig_read(&rig, backend) == '\0') {
            if (asked == REQUESTS && got > (size_t)REQUESTS * BODY)
                break;
            if (got == 0)
                cr_assert_lt(asked, 100, "%u answers wait for a client that does not read", asked);
            got += rig_drain(&rig, client, &ended);
            cr_assert_not(ended);
            continue;
        }
        asked++;
        rig_send_bytes(&rig, backend, response, (size_t)len);
    }
    cr_assert_eq(asked, REQUESTS);
    close(client);
    close(backend);
}

Test(http_plane, the_body_limit_counts_chunks_as_they_come)
{
    int client, backend;

    rig_reload(&rig, "  limits: { body: 10 }\n", false);
    client = rig_client(&rig);
    rig_send(&rig, client, POST("Transfer-Encoding: chunked\r\n") "8\r\n12345678\r\n");
    backend = rig_accept(&rig, 0);
    cr_assert(ends(rig_read(&rig, backend), "\r\n8\r\n12345678\r\n"));
    rig_send(&rig, client, "3\r\n901\r\n");
    cr_assert(has(rig_read(&rig, client), "413 Content Too Large"));
    cr_assert(rig_ended(&rig, backend));
    close(client);
    close(backend);
}

Test(http_plane, a_half_closed_client_gets_its_answers)
{
    int client = rig_client(&rig);
    int backend;
    const char *text;

    rig_send(&rig, client, GET GET);
    cr_assert_eq(shutdown(client, SHUT_WR), 0);
    backend = rig_accept(&rig, 0);
    (void)rig_read(&rig, backend);
    rig_send(&rig, backend, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none");
    (void)rig_read(&rig, backend);
    rig_send(&rig, backend, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo");
    text = rig_read(&rig, client);
    cr_assert(has(text, "one") && ends(text, "two"), "%s", text);
    cr_assert(rig_ended(&rig, client));
    close(client);

    /* What it has begun to ask for besides is not waited for. */
    client = rig_client(&rig);
    rig_send(&rig, client, GET "GET / HT");
    cr_assert_eq(shutdown(client, SHUT_WR), 0);
    (void)rig_read(&rig, backend);
    rig_send(&rig, backend, OK);
    cr_assert(ends(rig_read(&rig, client), "ok"));
    cr_assert(rig_ended(&rig, client));
    close(client);
    close(backend);
}

Test(http_plane, a_reload_drops_nobody)
{
    int client = rig_client(&rig);
    int backend, other;

    rig_send(&rig, client, GET);
    backend = rig_accept(&rig, 0);
    (void)rig_read(&rig, backend);
    rig.first = 1; /* the arm has another backend from now on */
    rig_reload(&rig, "", false);
    rig_send(&rig, backend, OK);
    cr_assert(ends(rig_read(&rig, client), "ok"), "the request under way is answered");
    cr_assert(rig_ended(&rig, backend), "and the old backend's connection is not kept");
    rig_send(&rig, client, GET);
    other = rig_accept(&rig, 1);
    (void)rig_read(&rig, other);
    rig_send(&rig, other, OK);
    cr_assert(ends(rig_read(&rig, client), "ok"));
    close(client);
    close(backend);
    close(other);
}

Test(http_plane, draining_finishes_what_is_under_way)
{
    int busy = rig_client(&rig);
    int idle = rig_client(&rig);
    int backend;

    rig_send(&rig, busy, GET);
    backend = rig_accept(&rig, 0);
    (void)rig_read(&rig, backend);
    rig.worker.draining = true;
    http_plane_drain(rig.worker.http);
    cr_assert(rig_ended(&rig, idle));
    rig_send(&rig, backend, OK);
    cr_assert(has(rig_read(&rig, busy), "Connection: close\r\n"));
    close(busy);
    rig_turn(&rig);
    cr_assert_eq(http_plane_clients(rig.worker.http), 0);
    close(idle);
    close(backend);
}

Test(http_plane, a_request_allocates_nothing)
{
    int client = rig_client(&rig);
    unsigned long before;
    size_t pages;
    int backend;

    rig_send(&rig, client, GET);
    backend = rig_accept(&rig, 0);
    (void)rig_read(&rig, backend);
    rig_send(&rig, backend, OK);
    (void)rig_read(&rig, client);
    before = rig_allocations();
    cr_assert_gt(before, 0, "the counter counts");
    pages = rig.worker.http->requests.pages + rig.worker.http->servers.pages;
    for (int i = 0; i < 100; i++) {
        rig_exchange(&rig, client, backend, i % 2 ? GET : POST("Content-Length: 4\r\n") "body", OK);
        cr_assert(ends(rig_read(&rig, client), "ok"));
    }
    cr_assert_eq(rig_allocations(), before);
    cr_assert_eq(rig.worker.http->requests.pages + rig.worker.http->servers.pages, pages);
    close(client);
    close(backend);
}

/* At most 1 KiB for a client that waits, and a burst is given back. */
Test(http_plane, an_idle_client_costs_less_than_a_kilobyte)
{
    enum { CLIENTS = 400 };
    int clients[CLIENTS];
    struct http_plane *plane = rig.worker.http;
    int backend = -1;

    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = rig_client(&rig);
        rig_send(&rig, clients[i], GET);
        if (backend < 0)
            backend = rig_accept(&rig, 0);
        (void)rig_read(&rig, backend);
        rig_send(&rig, backend, OK);
        cr_assert(ends(rig_read(&rig, clients[i]), "ok"));
    }
    cr_assert_eq(rig_out(&plane->requests), 0);
    cr_assert_eq(rig_out(&rig.worker.buffers.segments), 0);
    cr_assert_eq(rig_out(&rig.worker.buffers.small_chunks), 0);
    cr_assert_leq(plane->clients.pages * plane->clients.page_size / CLIENTS, 1024);
    for (int i = 0; i < CLIENTS; i++)
        close(clients[i]);
    for (int i = 0; i < 10; i++)
        rig_wait(&rig, WORKER_TICK);
    cr_assert_leq(plane->clients.pages, 1);
    cr_assert_leq(plane->requests.pages, 1);
    close(backend);
}
