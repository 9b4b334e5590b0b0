/*
 * A request under way, from its head to the last byte of its response.
 *
 * The failure law (design: web plane): a request that failed on the candidate is tried on stable if
 * nothing was sent back and it is safe: no connection could be made, or the method is idempotent,
 * no byte of a response came and no byte of a body is lost. Within a budget. The failure is the
 * candidate's in any case.
 */
#ifndef CROSSFADE_RELAY_HTTP_FORWARD_H
#define CROSSFADE_RELAY_HTTP_FORWARD_H

#include "crossfade/relay/http_client.h"
#include "crossfade/relay/http_server.h"

struct http_request {
    struct http_plane *plane;
    struct http_client *client;
    struct http_server *server; /* NULL between attempts */
    struct snapshot_pin *pin;
    const struct plan_arm *arm;
    struct http_arm_cell *cell;
    struct buffer head;    /* for the backend; kept until the response begins */
    struct buffer pending; /* head and body that a failed connection did not take */
    uint64_t started;
    /* the request's body, from the client */
    uint64_t body_left; /* of HTTP1_BODY_LENGTH */
    uint64_t body_seen;
    struct http1_chunked body_chunked;
    /* the response's body, from the backend */
    uint64_t response_left;
    struct http1_chunked response_chunked;
    uint8_t method; /* enum http1_method */
    uint8_t minor;
    uint8_t body;          /* enum http1_body */
    uint8_t response_body; /* enum http1_body */
    uint8_t attempts;      /* connections tried on this arm */
    uint8_t interim;       /* 1xx responses so far */
    bool keep_alive;       /* the client's wish */
    bool body_done;        /* all of the body is here */
    bool body_begun;       /* some of it was given to a connection */
    bool candidate;        /* the arm is the rollout's candidate */
    bool retried;          /* on a fresh connection, as a kept one was dead */
    bool responded;        /* the response's head is with the client */
    bool response_raw;     /* to a client that knows no chunks: as it is, until the end */
    bool response_chunks;  /* the body goes out in chunks */
    bool reusable;         /* the connection is, after this response */
    bool issued;           /* an identity is given out */
    struct cohort_issued identity;
};

/*
 * A complete head is in plane->request. Makes the request and sends it on its way; the client is
 * BUSY or has its answer after that.
 */
void http_forward_begin(struct http_client *client);

/* Bytes of the body, as they came; *used of them are done with. False: *fault, the client's. */
bool http_forward_body(struct http_request *request, struct slice bytes, size_t *used,
                       struct http1_fault *fault) MUST_CHECK;

enum http_failure {
    HTTP_FAILURE_CONNECT, /* nothing was sent */
    HTTP_FAILURE_TIMEOUT,
    HTTP_FAILURE_RESET,   /* closed, by the backend or by an error */
    HTTP_FAILURE_PROTOCOL /* its bytes make no sense */
};
/* The attempt under way failed; request->server is closed here. `why` may end with a parenthesis.
 */
void http_forward_failed(struct http_request *request, enum http_failure failure, const char *why);

/* relay/http_answer.c: the response's head is in plane->response: goes to the client. False: it
 * cannot be, *why. */
bool http_forward_response(struct http_request *request, const char **why) MUST_CHECK;
/* A part of the response's body. False without memory. */
bool http_forward_response_body(struct http_request *request, struct slice bytes) MUST_CHECK;
/* The response is complete: server and client go on; the request is no more. */
void http_forward_finish(struct http_request *request);

/* For siblings: a response of this status was given; the request ends, its connection is seen to.
 */
void http_forward_count(struct http_request *request, unsigned status);
void http_forward_end(struct http_request *request);

/* The client is gone, or was answered: nothing is waited for any more. Closes the connection. */
void http_forward_abandon(struct http_request *request);

#endif
