#include "http1_helpers.h"

#include <criterion/criterion.h>

struct good_row {
    struct slice head;
    enum http1_method method;
    unsigned status;
    enum http1_body body;
    uint64_t length;
    bool keep_alive;
};

static const struct good_row good_rows[] = {
    { SLICE_INIT("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), HTTP1_GET, 200, HTTP1_BODY_LENGTH,
      5, true },
    { SLICE_INIT("HTTP/1.1 200 \r\nTransfer-Encoding: Chunked\r\n\r\n"), HTTP1_GET, 200,
      HTTP1_BODY_CHUNKED, 0, true },
    { SLICE_INIT("HTTP/1.1 200 OK\r\n\r\n"), HTTP1_GET, 200, HTTP1_BODY_CLOSE, 0, false },
    { SLICE_INIT("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n"), HTTP1_GET, 200, HTTP1_BODY_LENGTH,
      5, false },
    { SLICE_INIT("HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n"),
      HTTP1_GET, 200, HTTP1_BODY_LENGTH, 5, true },
    { SLICE_INIT("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n"), HTTP1_GET,
      200, HTTP1_BODY_LENGTH, 5, false },
    { SLICE_INIT("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), HTTP1_HEAD, 200, HTTP1_BODY_NONE,
      5, true },
    { SLICE_INIT("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), HTTP1_HEAD, 200,
      HTTP1_BODY_NONE, 0, true },
    { SLICE_INIT("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"), HTTP1_GET, 304,
      HTTP1_BODY_NONE, 9, true },
    { SLICE_INIT("HTTP/1.1 204 No Content\r\n\r\n"), HTTP1_GET, 204, HTTP1_BODY_NONE, 0, true },
    { SLICE_INIT("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"), HTTP1_GET, 103, HTTP1_BODY_NONE, 0,
      true },
    { SLICE_INIT("HTTP/1.1 500 Gr\xfc\xdf\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n"),
      HTTP1_GET, 500, HTTP1_BODY_LENGTH, 0, true },
};

Test(http1_response, the_body_follows_from_the_head_wherever_it_is_cut)
{
    for (size_t i = 0; i < sizeof(good_rows) / sizeof(good_rows[0]); i++) {
        const struct good_row *row = &good_rows[i];
        for (size_t cut = 0; cut < row->head.len; cut++) {
            struct parsed p;
            size_t scan = 0;
            cr_assert_eq(parse_response(&p, slice_of(row->head.data, cut), &scan, row->method),
                         HTTP1_MORE, "row %zu cut %zu", i, cut);
            cr_assert_eq(parse_response(&p, row->head, &scan, row->method), HTTP1_DONE,
                         "row %zu cut %zu: %s", i, cut, p.fault.text);
            cr_assert_eq(p.response.status, row->status, "row %zu", i);
            cr_assert_eq(p.response.body, row->body, "row %zu", i);
            cr_assert_eq(p.response.length, row->length, "row %zu", i);
            cr_assert_eq(p.response.keep_alive, row->keep_alive, "row %zu", i);
            cr_assert_eq(p.response.head_len, row->head.len, "row %zu", i);
        }
    }
}

static const struct slice bad_heads[] = {
    SLICE_INIT("HTTP/1.1 200\r\n\r\n"),
    SLICE_INIT("HTTP/1.1  200 OK\r\n\r\n"),
    SLICE_INIT("HTTP/2.0 200 OK\r\n\r\n"),
    SLICE_INIT("ICY 200 OK OK OK\r\n\r\n"),
    SLICE_INIT("HTTP/1.1 2x0 OK\r\n\r\n"),
    SLICE_INIT("HTTP/1.1 099 OK\r\n\r\n"),
    SLICE_INIT("HTTP/1.1 600 OK\r\n\r\n"),
    SLICE_INIT("HTTP/1.1 200 O\x01K\r\n\r\n"),
    SLICE_INIT("HTTP/1.1 200 OK\n\n"),
    SLICE_INIT("\r\nHTTP/1.1 200 OK\r\n\r\n"),
    SLICE_INIT("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"),
    SLICE_INIT("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
    SLICE_INIT("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"),
    SLICE_INIT("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    SLICE_INIT("HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n"),
    SLICE_INIT("HTTP/1.1 200 OK\r\nX : a\r\n\r\n"),
    SLICE_INIT("HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n"),
    SLICE_INIT("HTTP/1.1 200 OK\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\n\r\n"),
};

Test(http1_response, doubt_is_a_fault_wherever_the_bytes_are_cut)
{
    for (size_t i = 0; i < sizeof(bad_heads) / sizeof(bad_heads[0]); i++) {
        for (size_t cut = 0; cut <= bad_heads[i].len; cut++) {
            struct parsed p;
            size_t scan = 0;
            enum http1_verdict verdict =
                parse_response(&p, slice_of(bad_heads[i].data, cut), &scan, HTTP1_GET);
            if (verdict == HTTP1_MORE)
                verdict = parse_response(&p, bad_heads[i], &scan, HTTP1_GET);
            cr_assert_eq(verdict, HTTP1_BAD, "row %zu cut %zu", i, cut);
        }
    }
}
