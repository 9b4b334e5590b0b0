#include "crossfade/proto/http1_response.h"

static enum http1_verdict bad(struct http1_fault *fault, const char *text)
{
    fault->status = 502;
    fault->text = text;
    return HTTP1_BAD;
}

/* status-line = HTTP-version SP 3DIGIT SP [ reason-phrase ] */
static bool take_line(struct http1_response *response, struct slice line, struct http1_fault *fault)
{
    unsigned status = 0;

    if (line.len < 13 || line.data[8] != ' ' || line.data[12] != ' ') {
        (void)bad(fault, "the first line is not a status line");
        return false;
    }
    if (!http1_parse_version(slice_of(line.data, 8), &response->minor, fault))
        return false;
    for (size_t i = 9; i < 12; i++) {
        if (line.data[i] < '0' || line.data[i] > '9') {
            (void)bad(fault, "the status is not a number");
            return false;
        }
        status = status * 10 + (unsigned)(line.data[i] - '0');
    }
    response->status = status;
    response->reason = slice_of(line.data + 13, line.len - 13);
    if (status < 100 || status > 599) {
        (void)bad(fault, "the status is not between 100 and 599");
        return false;
    }
    if (!http1_is_value(response->reason)) {
        (void)bad(fault, "a control byte in the status line");
        return false;
    }
    return true;
}

/* RFC 9112 section 6.3. */
static enum http1_verdict take_facts(struct http1_response *response, enum http1_method method,
                                     struct http1_fault *fault)
{
    const struct http1_fields *fields = &response->fields;

    if (fields->chunked && fields->length_given)
        return bad(fault, "Transfer-Encoding together with Content-Length");
    if (fields->chunked && response->minor == 0)
        return bad(fault, "Transfer-Encoding in an HTTP/1.0 response");
    response->length = fields->length_given ? fields->length : 0;
    if (method == HTTP1_HEAD || response->status < 200 || response->status == 204 ||
        response->status == 304)
        response->body = HTTP1_BODY_NONE;
    else if (fields->chunked)
        response->body = HTTP1_BODY_CHUNKED;
    else if (fields->length_given)
        response->body = HTTP1_BODY_LENGTH;
    else
        response->body = HTTP1_BODY_CLOSE;
    response->keep_alive = response->body != HTTP1_BODY_CLOSE && !fields->close &&
                           (response->minor == 1 || fields->keep_alive);
    return HTTP1_DONE;
}

enum http1_verdict http1_response_parse(struct http1_response *response, struct slice bytes,
                                        size_t *scan, enum http1_method method,
                                        const struct http1_limits *limits,
                                        struct http1_fault *fault)
{
    struct slice seen = slice_of(bytes.data, bytes.len < limits->head ? bytes.len : limits->head);
    enum http1_verdict verdict;
    struct slice line;
    size_t at = 0;

    if (*scan < seen.len && seen.len < limits->head &&
        memchr(seen.data + *scan, '\n', seen.len - *scan) == NULL) {
        *scan = seen.len;
        return HTTP1_MORE;
    }
    *scan = seen.len;
    verdict = http1_line(seen, &at, &line, fault);
    if (verdict == HTTP1_DONE) {
        if (!take_line(response, line, fault))
            return HTTP1_BAD;
        verdict = http1_fields_parse(&response->fields, seen, &at, limits->fields, fault);
    }
    if (verdict == HTTP1_MORE && seen.len == limits->head)
        return bad(fault, "the headers are too large");
    if (verdict != HTTP1_DONE)
        return verdict;
    response->head_len = at;
    return take_facts(response, method, fault);
}
