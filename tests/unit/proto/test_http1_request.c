#include "http1_helpers.h"

#include <criterion/criterion.h>

struct bad_row {
    struct slice head;
    unsigned status;
    const char *text;
};

#define BAD(head, status, text)                                                                    \
    {                                                                                              \
        { head, sizeof(head) - 1 }, status, text                                                   \
    }
#define GET "GET / HTTP/1.1\r\n"
#define HOST "Host: a\r\n"
#define X50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X600 X50 X50 X50 X50 X50 X50 X50 X50 X50 X50 X50 X50

static const struct bad_row bad_rows[] = {
    /* Host */
    BAD(GET "\r\n", 400, "no Host header"),
    BAD("GET / HTTP/1.0\r\n\r\n", 400, "no Host header"),
    BAD(GET HOST HOST "\r\n", 400, "more than one Host header"),
    BAD(GET "Host:\r\n\r\n", 400, "the Host header is not a host"),
    BAD(GET "Host: a b\r\n\r\n", 400, "the Host header is not a host"),
    BAD(GET "Host: a/b\r\n\r\n", 400, "the Host header is not a host"),
    BAD(GET "Host: u@a\r\n\r\n", 400, "the Host header is not a host"),
    BAD(GET "Host: a:99999999\r\n\r\n", 400, "the Host header is not a host"),
    BAD(GET "Host: a:8x\r\n\r\n", 400, "the Host header is not a host"),
    BAD(GET "Host: [::1\r\n\r\n", 400, "the Host header is not a host"),
    BAD(GET "Host: a%2\r\n\r\n", 400, "the Host header is not a host"),
    BAD(GET "Host: a,b@c\r\n\r\n", 400, "the Host header is not a host"),
    /* lines */
    BAD(GET "Host : a\r\n\r\n", 400, "white space before the colon of a header"),
    BAD(GET "Host\t: a\r\n\r\n", 400, "white space before the colon of a header"),
    BAD(GET " X: y\r\n" HOST "\r\n", 400, "the first header line begins with white space"),
    BAD(GET HOST "X: y\r\n folded\r\n\r\n", 400, "a header line that is folded"),
    BAD(GET HOST "X: y\r\n\tfolded\r\n\r\n", 400, "a header line that is folded"),
    BAD(GET HOST "X: a\rb\r\n\r\n", 400, "a bare CR in a header"),
    BAD(GET HOST "X: a\r\r\n\r\n", 400, "a bare CR in a header"),
    BAD(GET HOST "X: a\0b\r\n\r\n", 400, "a control byte in a header"),
    BAD(GET HOST "X: 0123456789abcdef\x01\r\n\r\n", 400, "a control byte in a header"),
    BAD(GET HOST "X: 0123456789abcdef\x7f\r\n\r\n", 400, "a control byte in a header"),
    BAD(GET HOST "X: a\n\r\n", 400, "a line ends with a bare LF"),
    BAD(GET HOST "\n", 400, "a line ends with a bare LF"),
    BAD("GET / HTTP/1.1\n" HOST "\r\n", 400, "a line ends with a bare LF"),
    BAD("\nGET / HTTP/1.1\r\n" HOST "\r\n", 400, "a line ends with a bare LF"),
    BAD(GET HOST "X\r\n\r\n", 400, "a header line without a name and a colon"),
    BAD(GET HOST ": x\r\n\r\n", 400, "a header without a name"),
    BAD(GET HOST "X@Y: z\r\n\r\n", 400, "a header name with a byte that is not allowed there"),
    BAD(GET HOST "X\xc3\xa4: z\r\n\r\n", 400,
        "a header name with a byte that is not allowed there"),
    BAD(GET HOST "X\0: z\r\n\r\n", 400, "a header name with a byte that is not allowed there"),
    BAD(GET HOST "Connection: a b\r\n\r\n", 400, "a Connection header that is not a list of names"),
    BAD(GET HOST "Connection: ,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,\r\n"
                 "Connection: ,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,\r\n\r\n",
        400, "a Connection header with too many names"),
    /* bodies */
    BAD("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 400,
        "Transfer-Encoding together with Content-Length"),
    BAD("POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400,
        "Transfer-Encoding together with Content-Length"),
    BAD("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n", 400,
        "a Transfer-Encoding other than exactly chunked"),
    BAD("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n", 400,
        "a Transfer-Encoding other than exactly chunked"),
    BAD("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: \"chunked\"\r\n\r\n", 400,
        "a Transfer-Encoding other than exactly chunked"),
    BAD("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n\r\n", 400,
        "a Transfer-Encoding other than exactly chunked"),
    BAD("POST / HTTP/1.1\r\n" HOST
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        400, "a Transfer-Encoding other than exactly chunked"),
    BAD("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n", 400,
        "a Transfer-Encoding other than exactly chunked"),
    BAD("POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", 400,
        "Transfer-Encoding in an HTTP/1.0 request"),
    BAD("POST / HTTP/1.1\r\n" HOST "Content-Length: +5\r\n\r\n", 400,
        "the Content-Length is not a number of bytes"),
    BAD("POST / HTTP/1.1\r\n" HOST "Content-Length: -5\r\n\r\n", 400,
        "the Content-Length is not a number of bytes"),
    BAD("POST / HTTP/1.1\r\n" HOST "Content-Length: 5, 5\r\n\r\n", 400,
        "the Content-Length is not a number of bytes"),
    BAD("POST / HTTP/1.1\r\n" HOST "Content-Length: 0x5\r\n\r\n", 400,
        "the Content-Length is not a number of bytes"),
    BAD("POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n", 400,
        "the Content-Length is not a number of bytes"),
    BAD("POST / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551616\r\n\r\n", 400,
        "the Content-Length is not a number of bytes"),
    BAD("POST / HTTP/1.1\r\n" HOST "Content-Length: 9223372036854775808\r\n\r\n", 400,
        "the Content-Length is not a number of bytes"),
    BAD("POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400,
        "two Content-Length headers that differ"),
    /* the request line */
    BAD("GET  / HTTP/1.1\r\n" HOST "\r\n", 400, "the first line is not METHOD TARGET VERSION"),
    BAD("GET /\r\n" HOST "\r\n", 400, "the first line is not METHOD TARGET VERSION"),
    BAD(" GET / HTTP/1.1\r\n" HOST "\r\n", 400, "the first line is not METHOD TARGET VERSION"),
    BAD("G@T / HTTP/1.1\r\n" HOST "\r\n", 400, "the first line is not METHOD TARGET VERSION"),
    BAD("\r\n\r\n" GET HOST "\r\n", 400, "the first line is not METHOD TARGET VERSION"),
    BAD("GET / HTTP/1.1 \r\n" HOST "\r\n", 400, "the first line does not end with an HTTP version"),
    BAD("GET / http/1.1\r\n" HOST "\r\n", 400, "the first line does not end with an HTTP version"),
    BAD("GET / HTTP/11\r\n" HOST "\r\n", 400, "the first line does not end with an HTTP version"),
    BAD("GET / HTTP/1.2\r\n" HOST "\r\n", 505, "only HTTP/1.1 and HTTP/1.0 are spoken here"),
    BAD("GET / HTTP/2.0\r\n" HOST "\r\n", 505, "only HTTP/1.1 and HTTP/1.0 are spoken here"),
    BAD("GET /\t HTTP/1.1\r\n" HOST "\r\n", 400,
        "the target has a byte that has to be percent-encoded"),
    BAD("GET /\xff HTTP/1.1\r\n" HOST "\r\n", 400,
        "the target has a byte that has to be percent-encoded"),
    BAD("GET /#f HTTP/1.1\r\n" HOST "\r\n", 400,
        "the target has a byte that has to be percent-encoded"),
    BAD("GET a HTTP/1.1\r\n" HOST "\r\n", 400, "the target is neither a path nor an http URL"),
    BAD("GET * HTTP/1.1\r\n" HOST "\r\n", 400, "the target is neither a path nor an http URL"),
    BAD("GET ftp://a/ HTTP/1.1\r\n" HOST "\r\n", 400,
        "the target is neither a path nor an http URL"),
    BAD("GET http://u@b/ HTTP/1.1\r\n" HOST "\r\n", 400, "the target names no valid host"),
    BAD("GET http:///x HTTP/1.1\r\n" HOST "\r\n", 400, "the target names no valid host"),
    BAD("CONNECT a:443 HTTP/1.1\r\n" HOST "\r\n", 501,
        "this is not a forward proxy: CONNECT is not served"),
    /* limits */
    BAD("GET /" X600 " HTTP/1.1\r\n" HOST "\r\n", 414, "the first line is too long"),
    BAD(GET HOST "X: " X600 "\r\n\r\n", 431, "the headers are too large"),
    BAD(GET HOST "A:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\n\r\n", 431, "too many headers"),
    BAD(GET HOST "Expect: 200-ok\r\n\r\n", 417, "an expectation other than 100-continue"),
    BAD(GET HOST "Expect: 100-continue\r\nExpect: 100-continue\r\n\r\n", 400, "two Expect headers"),
};

/* As it comes over a wire that is cut after `cut` bytes. */
static enum http1_verdict parse_cut(struct parsed *p, struct slice head, size_t cut)
{
    size_t scan = 0;
    char *part = malloc(cut + 1);
    enum http1_verdict verdict;

    memcpy(part, head.data, cut);
    verdict = parse_request(p, slice_of(part, cut), &scan);
    free(part);
    return verdict == HTTP1_MORE ? parse_request(p, head, &scan) : verdict;
}

Test(http1_request, each_fault_has_its_answer_wherever_the_bytes_are_cut)
{
    for (size_t i = 0; i < sizeof(bad_rows) / sizeof(bad_rows[0]); i++) {
        const struct bad_row *row = &bad_rows[i];
        for (size_t cut = 0; cut <= row->head.len; cut++) {
            struct parsed p;
            cr_assert_eq(parse_cut(&p, row->head, cut), HTTP1_BAD, "row %zu cut %zu: %s", i, cut,
                         row->text);
            cr_assert_str_eq(p.fault.text, row->text, "row %zu cut %zu: %s", i, cut, p.fault.text);
            cr_assert_eq(p.fault.status, row->status, "row %zu cut %zu", i, cut);
        }
    }
}

Test(http1_request, each_fault_has_its_answer_byte_by_byte)
{
    for (size_t i = 0; i < sizeof(bad_rows) / sizeof(bad_rows[0]); i++) {
        const struct bad_row *row = &bad_rows[i];
        enum http1_verdict verdict = HTTP1_MORE;
        struct parsed p;
        size_t scan = 0;
        for (size_t len = 1; len <= row->head.len && verdict == HTTP1_MORE; len++)
            verdict = parse_request(&p, slice_of(row->head.data, len), &scan);
        cr_assert_eq(verdict, HTTP1_BAD, "row %zu: %s", i, row->text);
        cr_assert_str_eq(p.fault.text, row->text, "row %zu", i);
    }
}

static const struct slice good_head = SLICE_INIT(
    "\r\nPOST http://Shop.example:81?q=1&u=7 HTTP/1.1\r\n"
    "Host: other\r\nContent-Length: 12\r\nContent-Length: 12\r\nX-User:  a\tb \r\n"
    "Expect: 100-Continue\r\nCookie: a=1; uid=2; b\r\nConnection: keep-alive, x-user ,\r\n\r\n");

Test(http1_request, a_head_reads_the_same_wherever_it_is_cut)
{
    for (size_t cut = 0; cut < good_head.len; cut++) {
        struct parsed p;
        struct slice value;
        cr_assert_eq(parse_cut(&p, good_head, cut), HTTP1_DONE, "cut %zu: %s", cut, p.fault.text);
        cr_assert_eq(p.request.head_len, good_head.len);
        cr_assert_eq(p.request.method_id, HTTP1_POST);
        cr_assert(slice_equal(p.request.host, SLICE("Shop.example:81")));
        cr_assert(slice_equal(p.request.target, SLICE("?q=1&u=7")));
        cr_assert_eq(p.request.minor, 1);
        cr_assert_eq(p.request.body, HTTP1_BODY_LENGTH);
        cr_assert_eq(p.request.length, 12);
        cr_assert(p.request.keep_alive);
        cr_assert(p.request.expect_continue);
        cr_assert_eq(p.request.fields.count, 7);
        cr_assert(http1_find_field(&p.request.fields, SLICE("x-USER"), &value));
        cr_assert(slice_equal(value, SLICE("a\tb")));
        cr_assert(p.all[3].named, "Connection names it");
        cr_assert(http1_find_cookie(&p.request.fields, SLICE("uid"), &value));
        cr_assert(slice_equal(value, SLICE("2")));
        cr_assert_not(http1_find_cookie(&p.request.fields, SLICE("UID"), &value));
        cr_assert_not(http1_find_cookie(&p.request.fields, SLICE("b"), &value));
        cr_assert(http1_find_query(p.request.target, SLICE("u"), &value));
        cr_assert(slice_equal(value, SLICE("7")));
        cr_assert_not(http1_find_query(p.request.target, SLICE("7"), &value));
    }
}

Test(http1_request, what_comes_behind_the_head_is_not_its_business)
{
    struct slice two = SLICE(GET HOST "\r\n\0\x01\r\n\nGET");
    struct parsed p;
    size_t scan = 0;
    cr_assert_eq(parse_request(&p, two, &scan), HTTP1_DONE);
    cr_assert_eq(p.request.head_len, sizeof(GET HOST "\r\n") - 1);
}

Test(http1_request, targets_methods_versions_and_hosts)
{
    static const struct {
        struct slice head;
        struct slice target;
        struct slice host;
        bool keep_alive;
    } rows[] = {
        { SLICE_INIT("GET /a/b?c=d HTTP/1.1\r\nHost: h\r\n\r\n"), SLICE_INIT("/a/b?c=d"),
          SLICE_INIT("h"), true },
        { SLICE_INIT("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"), SLICE_INIT("*"), SLICE_INIT("h"),
          true },
        { SLICE_INIT("OPTIONS http://b HTTP/1.1\r\nHost: h\r\n\r\n"), SLICE_INIT("*"),
          SLICE_INIT("b"), true },
        { SLICE_INIT("GET HTTPS://b HTTP/1.1\r\nHost: h\r\n\r\n"), SLICE_INIT("/"), SLICE_INIT("b"),
          true },
        { SLICE_INIT("GET http://[::1]:80/x HTTP/1.1\r\nHost: h\r\n\r\n"), SLICE_INIT("/x"),
          SLICE_INIT("[::1]:80"), true },
        { SLICE_INIT("PURGE //x HTTP/1.1\r\nHost: [fe80::1]\r\n\r\n"), SLICE_INIT("//x"),
          SLICE_INIT("[fe80::1]"), true },
        { SLICE_INIT("GET / HTTP/1.0\r\nHost: h:\r\nConnection: keep-alive\r\n\r\n"),
          SLICE_INIT("/"), SLICE_INIT("h:"), false },
        { SLICE_INIT("GET / HTTP/1.1\r\nHost: a_b.c\r\nConnection: CLOSE\r\n\r\n"), SLICE_INIT("/"),
          SLICE_INIT("a_b.c"), false },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct parsed p;
        size_t scan = 0;
        cr_assert_eq(parse_request(&p, rows[i].head, &scan), HTTP1_DONE, "row %zu: %s", i,
                     p.fault.text);
        cr_assert(slice_equal(p.request.target, rows[i].target), "row %zu", i);
        cr_assert(slice_equal(p.request.host, rows[i].host), "row %zu", i);
        cr_assert_eq(p.request.keep_alive, rows[i].keep_alive, "row %zu", i);
        cr_assert_eq(p.request.body, HTTP1_BODY_NONE, "row %zu", i);
    }
}

Test(http1_request, an_expectation_counts_only_with_a_body_and_in_1_1)
{
    static const struct slice rows[] = {
        SLICE_INIT("POST / HTTP/1.0\r\nHost: h\r\nContent-Length: 1\r\nExpect: x\r\n\r\n"),
        SLICE_INIT(
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n"),
        SLICE_INIT("GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n"),
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct parsed p;
        size_t scan = 0;
        cr_assert_eq(parse_request(&p, rows[i], &scan), HTTP1_DONE, "row %zu: %s", i, p.fault.text);
        cr_assert_not(p.request.expect_continue, "row %zu", i);
    }
}
