/*
 * Heads as they go out: composed anew from what was parsed, never copied. Fields that belong to one
 * connection only, and those that are ours to say, are left out; framing is written from what the
 * relay does with the body.
 */
#ifndef CROSSFADE_PROTO_HTTP1_WRITE_H
#define CROSSFADE_PROTO_HTTP1_WRITE_H

#include "crossfade/proto/http1_request.h"
#include "crossfade/proto/http1_response.h"

/* What this hop adds to a request. */
struct http1_hop {
    struct slice peer;       /* the client's IP address; empty when it has none (a unix socket) */
    struct slice proto;      /* "http" or "https", as the client came in */
    struct slice request_id; /* for a request that brings none */
};

/* What this hop adds to a response. */
struct http1_reply {
    bool chunked;        /* the body goes out in chunks, whatever it came in */
    bool close;          /* no other request on this connection */
    struct slice arm;    /* for X-Crossfade-Arm; empty: not shown */
    struct slice cookie; /* the name of an identity to give out, and its value; empty: none */
    struct slice cookie_value;
};

/* An upper bound of the bytes that the writer needs, then the writer: returns the length. */
size_t http1_request_bound(const struct http1_request *request, const struct http1_hop *hop);
size_t http1_request_write(char *out, const struct http1_request *request,
                           const struct http1_hop *hop);

size_t http1_response_bound(const struct http1_response *response, const struct http1_reply *reply);
size_t http1_response_write(char *out, const struct http1_response *response,
                            const struct http1_reply *reply);

/*
 * A complete answer of our own into out[HTTP1_ANSWER_MAX]: "STATUS REASON: text" as its body, which
 * is left out (but announced) for HEAD. `text` is cut to what fits. Returns the length.
 */
#define HTTP1_ANSWER_MAX 1024u
size_t http1_answer_write(char *out, unsigned status, const char *text, bool head, bool close);
const char *http1_reason(unsigned status);

#endif
