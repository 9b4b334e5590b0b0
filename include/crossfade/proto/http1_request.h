/*
 * The head of an HTTP/1.1 or HTTP/1.0 request (RFC 9112), parsed whole from contiguous bytes. The
 * outcome depends on the bytes alone, never on how they arrived.
 */
#ifndef CROSSFADE_PROTO_HTTP1_REQUEST_H
#define CROSSFADE_PROTO_HTTP1_REQUEST_H

#include "crossfade/proto/http1_fields.h"

enum http1_method {
    HTTP1_METHOD_OTHER,
    HTTP1_GET,
    HTTP1_HEAD,
    HTTP1_POST,
    HTTP1_PUT,
    HTTP1_DELETE,
    HTTP1_OPTIONS,
    HTTP1_TRACE
};

enum http1_body {
    HTTP1_BODY_NONE,
    HTTP1_BODY_LENGTH,
    HTTP1_BODY_CHUNKED,
    HTTP1_BODY_CLOSE /* responses only: until the connection ends */
};

struct http1_request {
    struct http1_fields fields; /* fields.all and fields.capacity are set by the caller */
    struct slice method;
    struct slice target; /* origin form or "*"; may begin with '?' when it came in absolute form */
    struct slice host;   /* the target's authority if it has one, else the Host header */
    enum http1_method method_id;
    unsigned minor; /* HTTP/1.minor: 0 or 1 */
    enum http1_body body;
    uint64_t length;      /* of an HTTP1_BODY_LENGTH */
    bool keep_alive;      /* the client may send another request */
    bool expect_continue; /* it waits for 100 before it sends the body */
    bool websocket;       /* asks to become a WebSocket */
    size_t head_len;      /* bytes of the head, with an empty line before it */
};

/*
 * `bytes` begins where the request begins. *scan is 0 for a new request and kept by the caller
 * between calls on the same, growing bytes: it spares a dribbling client's bytes from being read
 * again. BAD: *fault holds 400, 414, 417, 431, 501 or 505.
 */
enum http1_verdict http1_request_parse(struct http1_request *request, struct slice bytes,
                                       size_t *scan, const struct http1_limits *limits,
                                       struct http1_fault *fault) MUST_CHECK;

/* RFC 9110 section 9.2.2: sent twice has the effect of sent once. */
static inline bool http1_is_idempotent(enum http1_method method)
{
    return method != HTTP1_METHOD_OTHER && method != HTTP1_POST;
}

/* "HTTP/1.x". False: *fault, 400 or 505. */
bool http1_parse_version(struct slice s, unsigned *minor, struct http1_fault *fault);

#endif
