/*
 * What the modules of a worker's web plane share: the pools of objects, the lists by state, and the
 * scratch memory of the one head that is being parsed.
 *
 *   http_client   a browser's connection: heads, bodies up, answers down
 *   http_request  one request under way: which arm, what of its body and response is done
 *   http_forward  from a head to an arm and a backend; what happens when that fails
 *   http_backend  an application server: which one is next, back-off, its idle connections
 *   http_server   one connection to a backend: the request out, the response in
 */
#ifndef CROSSFADE_RELAY_HTTP_POOLS_H
#define CROSSFADE_RELAY_HTTP_POOLS_H

#include "crossfade/net/stream.h"
#include "crossfade/net/watch.h"
#include "crossfade/proto/http1_chunked.h"
#include "crossfade/proto/http1_write.h"
#include "crossfade/relay/http_plane.h"
#include "crossfade/relay/worker.h"

/* A side with more than this to be written stops the other side from being read; it goes on below
 * the low mark. */
#define HTTP_HIGH_WATER ((size_t)256 * 1024)
#define HTTP_LOW_WATER ((size_t)64 * 1024)
/* Bytes of later requests that are taken in while one is under way. */
#define HTTP_PIPELINE_MAX ((size_t)16 * 1024)
/* An idle connection to a backend is given up after the longer time; those beyond a few, which a
 * burst has left behind, after the shorter one. The last used is used first, so that the rest grow
 * old. */
#define HTTP_BACKEND_IDLE SECONDS(30)
#define HTTP_BACKEND_SURPLUS SECONDS(3)
#define HTTP_BACKEND_SPARE 8u
/* How long, and how much, a client may go on sending after its last answer. */
#define HTTP_LINGER SECONDS(2)
#define HTTP_LINGER_MAX (1024u * 1024u)
/* A fallback costs that much; each request earns the configured percentage of 100, up to the
 * maximum. */
#define FALLBACK_COST UINT64_C(100)
#define FALLBACK_BALANCE_MAX (100 * FALLBACK_COST)
/* Clients over the connection limit that are being told so. */
#define HTTP_REFUSED_MAX 64u

struct http_client;
struct http_server;
struct http_backend;

TAILQ_HEAD(http_client_list, http_client);
TAILQ_HEAD(http_server_list, http_server);
LIST_HEAD(http_backend_list, http_backend);

/* The state of a client is the list that it is on; each list is ordered by http_client.since. */
enum http_client_state {
    HTTP_CLIENT_IDLE,    /* no byte of a request yet */
    HTTP_CLIENT_HEAD,    /* a head has begun; since: when */
    HTTP_CLIENT_BUSY,    /* a request is under way; since: the client's last progress */
    HTTP_CLIENT_CLOSING, /* the last output has to go out; since: the last progress */
    HTTP_CLIENT_LINGER,  /* all is sent and said; what still comes is thrown away */
    HTTP_CLIENT_CLOSED   /* on no list; its memory goes at the end of the turn */
};

/* Likewise; idle ones are on their backend's list, newest first. */
enum http_server_state {
    HTTP_SERVER_CONNECTING, /* nothing is written yet; since: the start */
    HTTP_SERVER_ACTIVE,     /* a request is under way; since: the last progress */
    HTTP_SERVER_IDLE,
    HTTP_SERVER_CLOSED
};

/* Half of a request id: sixteen hexadecimal digits. */
#define HTTP_ID_HALF 16u
static inline void http_id_half(uint64_t half, char out[HTTP_ID_HALF])
{
    for (unsigned i = HTTP_ID_HALF; i-- > 0; half >>= 4)
        out[i] = "0123456789abcdef"[half & 15];
}

struct http_plane {
    struct worker *worker;
    struct slab clients;
    struct slab requests;
    struct slab servers;
    struct http_client_list client_lists[HTTP_CLIENT_CLOSED];
    struct http_server_list connecting;
    struct http_server_list active;
    struct http_backend_list backends;
    struct http_backend *by_cell[CELLS_MAX]; /* by the telemetry cell of arm and address */
    size_t client_count;                     /* all */
    size_t refused_count;                    /* those over the limit */
    unsigned turn_of;                        /* where the choice among equal backends begins */
    uint64_t fallback_balance;               /* hundredths of a fallback that may still be made */
    uint64_t id_random;                      /* of request ids: this worker's half, also as text */
    uint64_t id_count;
    char id_text[HTTP_ID_HALF];
    struct http1_field *fields; /* of the head that is being parsed */
    unsigned field_capacity;
    struct http1_request request;
    struct http1_response response;
};

static inline const struct config *http_config(const struct http_plane *plane)
{
    return plane->worker->current->snapshot->plan->config;
}

#endif
