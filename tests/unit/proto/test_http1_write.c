#include "http1_helpers.h"

#include "crossfade/proto/http1_write.h"

#include <criterion/criterion.h>

static void write_request(struct slice head, struct http1_hop hop, const char *wanted)
{
    struct parsed p;
    size_t scan = 0;
    size_t bound;
    char *out;
    size_t len;

    cr_assert_eq(parse_request(&p, head, &scan), HTTP1_DONE, "%s", p.fault.text);
    bound = http1_request_bound(&p.request, &hop);
    out = malloc(bound + 1);
    len = http1_request_write(out, &p.request, &hop);
    cr_assert_leq(len, bound);
    out[len] = '\0';
    cr_assert_str_eq(out, wanted);
    free(out);
}

static void write_response(struct slice head, enum http1_method method, struct http1_reply reply,
                           const char *wanted)
{
    struct parsed p;
    size_t scan = 0;
    size_t bound;
    char *out;
    size_t len;

    cr_assert_eq(parse_response(&p, head, &scan, method), HTTP1_DONE, "%s", p.fault.text);
    bound = http1_response_bound(&p.response, &reply);
    out = malloc(bound + 1);
    len = http1_response_write(out, &p.response, &reply);
    cr_assert_leq(len, bound);
    out[len] = '\0';
    cr_assert_str_eq(out, wanted);
    free(out);
}

static const struct http1_hop hop4 = { SLICE_INIT("192.0.2.7"), SLICE_INIT("http"),
                                       SLICE_INIT("id0") };

#define HOP4(host)                                                                                 \
    "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: " host             \
    "\r\nForwarded: for=192.0.2.7;host=\"" host "\";proto=http\r\nX-Request-Id: id0\r\n"           \
    "Via: 1.1 crossfade\r\n\r\n"

Test(http1_write, a_request_loses_what_belongs_to_its_hop_and_what_is_ours_to_say)
{
    write_request(SLICE("GET http://b/x HTTP/1.1\r\nHost: a\r\nConnection: x-drop\r\nX-Drop: 1\r\n"
                        "Accept: */*\r\nX_User: root\r\nX-Crossfade-Arm: py3\r\n\r\n"),
                  hop4, "GET /x HTTP/1.1\r\nHost: b\r\nAccept: */*\r\n" HOP4("b"));
    write_request(SLICE("GET / HTTP/1.1\r\nHost: a\r\nKeep-Alive: 1\r\nTE: trailers\r\n"
                        "Upgrade: h2c\r\nProxy: x\r\nTrailer: x\r\nProxy-Authorization: x\r\n\r\n"),
                  hop4, "GET / HTTP/1.1\r\nHost: a\r\n" HOP4("a"));
    write_request(SLICE("GET / HTTP/1.1\r\nHost: a\r\nX-CROSSFADE-identity: 7\r\n"
                        "Content_Length: 3\r\nCookie: cf_id=1\r\n\r\n"),
                  hop4, "GET / HTTP/1.1\r\nHost: a\r\nCookie: cf_id=1\r\n" HOP4("a"));
}

Test(http1_write, a_request_s_framing_is_written_anew)
{
    write_request(SLICE("POST /?a HTTP/1.1\r\nHost: a\r\nContent-Length: 007\r\n\r\n"), hop4,
                  "POST /?a HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n" HOP4("a"));
    write_request(SLICE("POST http://a?q HTTP/1.1\r\nHost: a\r\nTRANSFER-ENCODING:CHUNKED\r\n"
                        "Expect: 100-Continue\r\nConnection: transfer-encoding\r\n\r\n"),
                  hop4,
                  "POST /?q HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                  "Transfer-Encoding: chunked\r\n" HOP4("a"));
}

Test(http1_write, a_request_tells_the_way_it_came)
{
    struct http1_hop hop = { SLICE("2001:db8::1"), SLICE("https"), SLICE("id0") };
    write_request(SLICE("GET / HTTP/1.0\r\nHost: a:1\r\nX-Forwarded-For: 1.1.1.1\r\n"
                        "X-Forwarded-For: 2.2.2.2\r\nX-Forwarded-Proto: gopher\r\n"
                        "Forwarded: for=x\r\nX-Request-Id: mine-7\r\nVia: 1.1 edge\r\n\r\n"),
                  hop,
                  "GET / HTTP/1.1\r\nHost: a:1\r\n"
                  "X-Forwarded-For: 1.1.1.1, 2.2.2.2, 2001:db8::1\r\nX-Forwarded-Proto: https\r\n"
                  "X-Forwarded-Host: a:1\r\n"
                  "Forwarded: for=x, for=\"[2001:db8::1]\";host=\"a:1\";proto=https\r\n"
                  "X-Request-Id: mine-7\r\nVia: 1.1 edge, 1.0 crossfade\r\n\r\n");
    hop.peer = SLICE("");
    write_request(SLICE("GET / HTTP/1.1\r\nHost: a\r\nForwarded: for=\"x\r\n"
                        "X-Request-Id: a b\r\n\r\n"),
                  hop,
                  "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: a\r\n"
                  "Forwarded: for=unknown;host=\"a\";proto=https\r\nX-Request-Id: id0\r\n"
                  "Via: 1.1 crossfade\r\n\r\n");
}

Test(http1_write, responses)
{
    struct http1_reply plain = { 0 };
    struct http1_reply full = { .chunked = true,
                                .close = true,
                                .arm = SLICE("py3"),
                                .cookie = SLICE("cf_id"),
                                .cookie_value = SLICE("v.w") };

    write_response(SLICE("HTTP/1.0 200 Fine\r\nServer: x\r\nContent-Length: 05\r\nKeep-Alive: 5\r\n"
                         "Connection: keep-alive, x-hop\r\nX-Hop: 1\r\nX_Odd: kept\r\n\r\n"),
                   HTTP1_GET, plain,
                   "HTTP/1.1 200 Fine\r\nServer: x\r\nX_Odd: kept\r\nContent-Length: 5\r\n\r\n");
    write_response(SLICE("HTTP/1.1 200 OK\r\nX-Crossfade-Arm: liar\r\nSet-Cookie: a=b\r\n\r\n"),
                   HTTP1_GET, full,
                   "HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nTransfer-Encoding: chunked\r\n"
                   "X-Crossfade-Arm: py3\r\n"
                   "Set-Cookie: cf_id=v.w; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax\r\n"
                   "Connection: close\r\n\r\n");
    write_response(SLICE("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"), HTTP1_GET,
                   plain, "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n");
    write_response(SLICE("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"), HTTP1_GET, plain,
                   "HTTP/1.1 204 No Content\r\n\r\n");
    write_response(SLICE("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), HTTP1_HEAD,
                   plain, "HTTP/1.1 200 OK\r\n\r\n");
}

Test(http1_write, answers_of_our_own_are_complete)
{
    char out[HTTP1_ANSWER_MAX];
    char text[2 * HTTP1_ANSWER_MAX];
    size_t len = http1_answer_write(out, 400, "no Host header", false, true);
    const char *wanted =
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
        "Cache-Control: no-store\r\nContent-Length: 32\r\nConnection: close\r\n\r\n"
        "400 Bad Request: no Host header\n";
    cr_assert(slice_equal(slice_of(out, len), slice_string(wanted)), "%.*s", (int)len, out);
    len = http1_answer_write(out, 400, "no Host header", true, false);
    cr_assert(slice_equal(slice_of(out + len - 4, 4), SLICE("\r\n\r\n")), "HEAD has no body");

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    cr_assert_leq(http1_answer_write(out, 502, text, false, true), sizeof(out));
}
