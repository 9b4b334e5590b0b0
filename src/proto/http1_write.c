#include "crossfade/proto/http1_write.h"

#include <inttypes.h>
#include <stdio.h>

/* Names, separators and numbers that are written besides what the peers sent. */
#define FIXED_MAX 512u
/* ": " and CRLF, where the input had at least ":" and CRLF. */
#define FIELD_EXTRA ((size_t)1)

#define REQUEST_ID_MAX 128u

static char *put(char *at, struct slice s)
{
    memcpy(at, s.data, s.len);
    return at + s.len;
}

#define PUT(at, literal) put(at, SLICE(literal))

static char *put_number(char *at, uint64_t n)
{
    char digits[20];
    size_t i = sizeof(digits);

    do {
        digits[--i] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    return put(at, slice_of(digits + i, sizeof(digits) - i));
}

static char *put_field(char *at, const struct http1_field *field)
{
    at = put(at, field->name);
    at = PUT(at, ": ");
    at = put(at, field->value);
    return PUT(at, "\r\n");
}

/* Ends in "name: " and the values of all fields with that id, joined by ", ", if there are any. */
static char *put_joined(char *at, struct slice name, const struct http1_fields *fields,
                        enum http1_name id, bool *any)
{
    *any = false;
    at = put(at, name);
    at = PUT(at, ": ");
    if (!http1_has(fields, id))
        return at;
    for (unsigned i = 0; i < fields->count; i++) {
        const struct http1_field *field = &fields->all[i];
        if (field->id != id || field->named || field->value.len == 0)
            continue;
        if (*any)
            at = PUT(at, ", ");
        at = put(at, field->value);
        *any = true;
    }
    return at;
}

/* An element that is cut off inside a quoted string would swallow ours (RFC 7239 section 4). */
static bool quotes_are_closed(const struct http1_fields *fields)
{
    for (unsigned i = 0; i < fields->count; i++) {
        const struct http1_field *field = &fields->all[i];
        bool open = false;
        if (field->id != HTTP1_FORWARDED)
            continue;
        for (size_t n = 0; n < field->value.len; n++) {
            if (open && field->value.data[n] == '\\')
                n++;
            else if (field->value.data[n] == '"')
                open = !open;
        }
        if (open)
            return false;
    }
    return true;
}

static char *put_forwarded(char *at, const struct http1_request *request,
                           const struct http1_hop *hop)
{
    static const struct http1_fields none = { 0 };
    const struct http1_fields *before = &request->fields;
    bool any;

    if (http1_has(before, HTTP1_FORWARDED) && !quotes_are_closed(before))
        before = &none;
    at = put_joined(at, SLICE("Forwarded"), before, HTTP1_FORWARDED, &any);
    if (any)
        at = PUT(at, ", ");
    if (hop->peer.len == 0) {
        at = PUT(at, "for=unknown");
    } else if (slice_find(hop->peer, ':') < hop->peer.len) {
        at = PUT(at, "for=\"[");
        at = put(at, hop->peer);
        at = PUT(at, "]\"");
    } else {
        at = PUT(at, "for=");
        at = put(at, hop->peer);
    }
    at = PUT(at, ";host=\"");
    at = put(at, request->host);
    at = PUT(at, "\";proto=");
    at = put(at, hop->proto);
    return PUT(at, "\r\n");
}

/* The client's own id is kept if it can do no harm in a log. */
static struct slice request_id(const struct http1_request *request, const struct http1_hop *hop)
{
    const struct http1_fields *fields = &request->fields;

    if (!http1_has(fields, HTTP1_X_REQUEST_ID))
        return hop->request_id;
    for (unsigned i = 0; i < fields->count; i++) {
        const struct http1_field *field = &fields->all[i];
        if (field->id == HTTP1_X_REQUEST_ID && !field->named &&
            field->value.len <= REQUEST_ID_MAX && http1_is_token(field->value))
            return field->value;
    }
    return hop->request_id;
}

static char *put_hop(char *at, const struct http1_request *request, const struct http1_hop *hop)
{
    const struct http1_fields *fields = &request->fields;
    bool any;

    if (hop->peer.len > 0 || http1_has(fields, HTTP1_X_FORWARDED_FOR)) {
        char *begin = at;
        at = put_joined(at, SLICE("X-Forwarded-For"), fields, HTTP1_X_FORWARDED_FOR, &any);
        if (any && hop->peer.len > 0)
            at = PUT(at, ", ");
        at = put(at, hop->peer);
        at = any || hop->peer.len > 0 ? PUT(at, "\r\n") : begin;
    }
    at = PUT(at, "X-Forwarded-Proto: ");
    at = put(at, hop->proto);
    at = PUT(at, "\r\nX-Forwarded-Host: ");
    at = put(at, request->host);
    at = PUT(at, "\r\n");
    at = put_forwarded(at, request, hop);
    at = PUT(at, "X-Request-Id: ");
    at = put(at, request_id(request, hop));
    at = PUT(at, "\r\n");
    at = put_joined(at, SLICE("Via"), fields, HTTP1_VIA, &any);
    if (any)
        at = PUT(at, ", ");
    return request->minor == 1 ? PUT(at, "1.1 crossfade\r\n") : PUT(at, "1.0 crossfade\r\n");
}

size_t http1_request_bound(const struct http1_request *request, const struct http1_hop *hop)
{
    /* The host is written three times, the peer and the protocol twice. */
    return request->head_len + request->fields.count * FIELD_EXTRA + 3 * request->host.len +
           2 * hop->peer.len + 2 * hop->proto.len + hop->request_id.len + FIXED_MAX;
}

size_t http1_request_write(char *out, const struct http1_request *request,
                           const struct http1_hop *hop)
{
    const struct http1_fields *fields = &request->fields;
    char *at = put(out, request->method);

    at = PUT(at, " ");
    if (request->target.data[0] == '?')
        at = PUT(at, "/");
    at = put(at, request->target);
    at = PUT(at, " HTTP/1.1\r\nHost: ");
    at = put(at, request->host);
    at = PUT(at, "\r\n");
    for (unsigned i = 0; i < fields->count; i++) {
        const struct http1_field *field = &fields->all[i];
        if ((field->id == HTTP1_OTHER || field->id == HTTP1_COOKIE) && !field->named &&
            !field->underscore)
            at = put_field(at, field);
    }
    if (request->expect_continue)
        at = PUT(at, "Expect: 100-continue\r\n");
    if (request->body == HTTP1_BODY_CHUNKED) {
        at = PUT(at, "Transfer-Encoding: chunked\r\n");
    } else if (request->body == HTTP1_BODY_LENGTH) {
        at = PUT(at, "Content-Length: ");
        at = put_number(at, request->length);
        at = PUT(at, "\r\n");
    }
    at = put_hop(at, request, hop);
    at = PUT(at, "\r\n");
    return (size_t)(at - out);
}

size_t http1_response_bound(const struct http1_response *response, const struct http1_reply *reply)
{
    return response->head_len + response->fields.count * FIELD_EXTRA + reply->arm.len +
           reply->cookie.len + reply->cookie_value.len + FIXED_MAX;
}

/* Fields of a response that go on to the client. Forwarded and the like are a request's alone. */
static bool goes_to_client(const struct http1_field *field)
{
    switch (field->id) {
    case HTTP1_CONNECTION:
    case HTTP1_CONTENT_LENGTH:
    case HTTP1_TRANSFER_ENCODING:
    case HTTP1_UPGRADE:
    case HTTP1_HOP_BY_HOP:
    case HTTP1_X_CROSSFADE:
        return false;
    default:
        return !field->named;
    }
}

size_t http1_response_write(char *out, const struct http1_response *response,
                            const struct http1_reply *reply)
{
    const struct http1_fields *fields = &response->fields;
    char *at = PUT(out, "HTTP/1.1 ");

    at = put_number(at, response->status);
    at = PUT(at, " ");
    at = put(at, response->reason);
    at = PUT(at, "\r\n");
    for (unsigned i = 0; i < fields->count; i++)
        if (goes_to_client(&fields->all[i]))
            at = put_field(at, &fields->all[i]);
    if (reply->chunked) {
        at = PUT(at, "Transfer-Encoding: chunked\r\n");
    } else if (fields->length_given && response->status >= 200 && response->status != 204 &&
               !fields->chunked) {
        /* Also to HEAD and with 304, where it tells the length of what is not sent. */
        at = PUT(at, "Content-Length: ");
        at = put_number(at, fields->length);
        at = PUT(at, "\r\n");
    }
    if (reply->arm.len > 0) {
        at = PUT(at, "X-Crossfade-Arm: ");
        at = put(at, reply->arm);
        at = PUT(at, "\r\n");
    }
    if (reply->cookie.len > 0) {
        at = PUT(at, "Set-Cookie: ");
        at = put(at, reply->cookie);
        at = PUT(at, "=");
        at = put(at, reply->cookie_value);
        at = PUT(at, "; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax\r\n");
    }
    if (reply->close)
        at = PUT(at, "Connection: close\r\n");
    at = PUT(at, "\r\n");
    return (size_t)(at - out);
}

const char *http1_reason(unsigned status)
{
    switch (status) {
    case 400:
        return "Bad Request";
    case 408:
        return "Request Timeout";
    case 413:
        return "Content Too Large";
    case 414:
        return "URI Too Long";
    case 417:
        return "Expectation Failed";
    case 431:
        return "Request Header Fields Too Large";
    case 501:
        return "Not Implemented";
    case 502:
        return "Bad Gateway";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "Error";
    }
}

size_t http1_answer_write(char *out, unsigned status, const char *text, bool head, bool close)
{
    char body[640];
    int len = snprintf(body, sizeof(body), "%u %s: %s\n", status, http1_reason(status), text);
    int written;

    if ((size_t)len >= sizeof(body)) {
        len = (int)sizeof(body) - 1;
        body[len - 1] = '\n';
    }
    written = snprintf(out, HTTP1_ANSWER_MAX,
                       "HTTP/1.1 %u %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
                       "Cache-Control: no-store\r\nContent-Length: %d\r\n%s\r\n%s",
                       status, http1_reason(status), len, close ? "Connection: close\r\n" : "",
                       head ? "" : body);
    ensure(written > 0 && (size_t)written < HTTP1_ANSWER_MAX);
    return (size_t)written;
}
