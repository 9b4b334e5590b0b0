#include "crossfade/proto/http1_request.h"

static enum http1_verdict bad(struct http1_fault *fault, unsigned status, const char *text)
{
    fault->status = status;
    fault->text = text;
    return HTTP1_BAD;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool http1_parse_version(struct slice s, unsigned *minor, struct http1_fault *fault)
{
    if (s.len != 8 || !slice_starts(s, SLICE("HTTP/")) || !is_digit(s.data[5]) ||
        s.data[6] != '.' || !is_digit(s.data[7])) {
        (void)bad(fault, 400, "the first line does not end with an HTTP version");
        return false;
    }
    if (s.data[5] != '1' || s.data[7] > '1') {
        (void)bad(fault, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
        return false;
    }
    *minor = (unsigned)(s.data[7] - '0');
    return true;
}

static enum http1_method method_id(struct slice method)
{
    static const struct {
        struct slice name;
        enum http1_method id;
    } known[] = {
        { { "GET", 3 }, HTTP1_GET },       { { "HEAD", 4 }, HTTP1_HEAD },
        { { "POST", 4 }, HTTP1_POST },     { { "PUT", 3 }, HTTP1_PUT },
        { { "DELETE", 6 }, HTTP1_DELETE }, { { "OPTIONS", 7 }, HTTP1_OPTIONS },
        { { "TRACE", 5 }, HTTP1_TRACE },
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (slice_equal(method, known[i].name))
            return known[i].id;
    return HTTP1_METHOD_OTHER;
}

/* Absolute form: the authority replaces Host (RFC 9112 section 3.2.2). */
static bool take_absolute(struct http1_request *request, struct slice rest,
                          struct http1_fault *fault)
{
    size_t n = 0;

    while (n < rest.len && rest.data[n] != '/' && rest.data[n] != '?')
        n++;
    request->host = slice_of(rest.data, n);
    request->target = slice_of(rest.data + n, rest.len - n);
    if (!http1_is_authority(request->host)) {
        (void)bad(fault, 400, "the target names no valid host");
        return false;
    }
    if (request->target.len == 0)
        request->target = request->method_id == HTTP1_OPTIONS ? SLICE("*") : SLICE("/");
    return true;
}

static bool take_target(struct http1_request *request, struct slice target,
                        struct http1_fault *fault)
{
    for (size_t i = 0; i < target.len; i++) {
        unsigned char c = (unsigned char)target.data[i];
        if (c <= 0x20 || c >= 0x7f || c == '#') {
            (void)bad(fault, 400, "the target has a byte that has to be percent-encoded");
            return false;
        }
    }
    request->target = target;
    if (target.len > 0 && target.data[0] == '/')
        return true;
    if (slice_equal(target, SLICE("*")) && request->method_id == HTTP1_OPTIONS)
        return true;
    if (target.len > 7 && slice_equal_nocase(slice_of(target.data, 7), SLICE("http://")))
        return take_absolute(request, slice_of(target.data + 7, target.len - 7), fault);
    if (target.len > 8 && slice_equal_nocase(slice_of(target.data, 8), SLICE("https://")))
        return take_absolute(request, slice_of(target.data + 8, target.len - 8), fault);
    (void)bad(fault, 400, "the target is neither a path nor an http URL");
    return false;
}

static bool take_line(struct http1_request *request, struct slice line, struct http1_fault *fault)
{
    size_t space = slice_find(line, ' ');
    struct slice rest;

    request->method = slice_of(line.data, space);
    if (space == line.len || !http1_is_token(request->method)) {
        (void)bad(fault, 400, "the first line is not METHOD TARGET VERSION");
        return false;
    }
    rest = slice_of(line.data + space + 1, line.len - space - 1);
    space = slice_find(rest, ' ');
    if (space == rest.len || space == 0) {
        (void)bad(fault, 400, "the first line is not METHOD TARGET VERSION");
        return false;
    }
    if (!http1_parse_version(slice_of(rest.data + space + 1, rest.len - space - 1), &request->minor,
                             fault))
        return false;
    request->method_id = method_id(request->method);
    request->host = (struct slice){ NULL, 0 };
    if (slice_equal(request->method, SLICE("CONNECT"))) {
        (void)bad(fault, 501, "this is not a forward proxy: CONNECT is not served");
        return false;
    }
    return take_target(request, slice_of(rest.data, space), fault);
}

/* What only the whole head tells. */
static enum http1_verdict take_facts(struct http1_request *request, struct http1_fault *fault)
{
    const struct http1_fields *fields = &request->fields;

    if (fields->hosts == 0)
        return bad(fault, 400, "no Host header");
    if (fields->hosts > 1)
        return bad(fault, 400, "more than one Host header");
    if (!http1_is_authority(fields->host))
        return bad(fault, 400, "the Host header is not a host");
    if (request->host.len == 0)
        request->host = fields->host;
    if (fields->chunked && fields->length_given)
        return bad(fault, 400, "Transfer-Encoding together with Content-Length");
    if (fields->chunked && request->minor == 0)
        return bad(fault, 400, "Transfer-Encoding in an HTTP/1.0 request");
    request->body = fields->chunked        ? HTTP1_BODY_CHUNKED
                    : fields->length_given ? HTTP1_BODY_LENGTH
                                           : HTTP1_BODY_NONE;
    request->length = fields->length_given ? fields->length : 0;
    /* RFC 9110 section 10.1.1: an expectation of an HTTP/1.0 client does not count. */
    request->expect_continue = false;
    if (http1_has(fields, HTTP1_EXPECT) && request->minor == 1) {
        if (!slice_equal_nocase(fields->expect, SLICE("100-continue")))
            return bad(fault, 417, "an expectation other than 100-continue");
        request->expect_continue = fields->chunked || (fields->length_given && fields->length > 0);
    }
    request->keep_alive = request->minor == 1 && !fields->close;
    request->websocket =
        http1_has(fields, HTTP1_UPGRADE) && slice_equal_nocase(fields->upgrade, SLICE("websocket"));
    return HTTP1_DONE;
}

enum http1_verdict http1_request_parse(struct http1_request *request, struct slice bytes,
                                       size_t *scan, const struct http1_limits *limits,
                                       struct http1_fault *fault)
{
    struct slice seen = slice_of(bytes.data, bytes.len < limits->head ? bytes.len : limits->head);
    enum http1_verdict verdict;
    struct slice line;
    size_t at = 0;

    /* Nothing can have changed without another end of line. */
    if (*scan < seen.len && seen.len < limits->head &&
        memchr(seen.data + *scan, '\n', seen.len - *scan) == NULL) {
        *scan = seen.len;
        return HTTP1_MORE;
    }
    *scan = seen.len;
    /* RFC 9112 section 2.2: one empty line before a request is an old client's habit. */
    if (seen.len >= 2 && seen.data[0] == '\r' && seen.data[1] == '\n')
        at = 2;
    verdict = http1_line(seen, &at, &line, fault);
    if (verdict == HTTP1_MORE && seen.len == limits->head)
        return bad(fault, 414, "the first line is too long");
    if (verdict != HTTP1_DONE)
        return verdict;
    if (!take_line(request, line, fault))
        return HTTP1_BAD;
    verdict = http1_fields_parse(&request->fields, seen, &at, limits->fields, fault);
    if (verdict == HTTP1_MORE && seen.len == limits->head)
        return bad(fault, 431, "the headers are too large");
    if (verdict != HTTP1_DONE)
        return verdict;
    request->head_len = at;
    return take_facts(request, fault);
}
