/*
 * The head of an HTTP/1.x response from an application server (RFC 9112), as strict as requests
 * are: a response whose end is in doubt could be taken for the answer to somebody else's request.
 */
#ifndef CROSSFADE_PROTO_HTTP1_RESPONSE_H
#define CROSSFADE_PROTO_HTTP1_RESPONSE_H

#include "crossfade/proto/http1_request.h"

struct http1_response {
    struct http1_fields fields; /* fields.all and fields.capacity are set by the caller */
    unsigned minor;
    unsigned status; /* 100 to 599 */
    struct slice reason;
    enum http1_body body; /* what follows this head on the wire */
    uint64_t length;      /* of an HTTP1_BODY_LENGTH */
    bool keep_alive;      /* the connection can be used again after it */
    size_t head_len;
};

/*
 * `method` is that of the request: HEAD has no body. *scan as for http1_request_parse. BAD:
 * fault->text says what the server did wrong (fault->status is not for use).
 */
enum http1_verdict http1_response_parse(struct http1_response *response, struct slice bytes,
                                        size_t *scan, enum http1_method method,
                                        const struct http1_limits *limits,
                                        struct http1_fault *fault) MUST_CHECK;

#endif
