/*
 * One connection to an application server, and the application server itself as one worker sees it.
 *
 *   CONNECTING --first bytes written--> ACTIVE --response complete--> IDLE --next request--> ACTIVE
 *        `--refused, timed out--> CLOSED  `--reset, timed out, nonsense, no keep-alive--> CLOSED
 *
 * There is no wait for the connection: the request is written at the end of the turn, which on a
 * local network mostly finds the connection made; only if not, writability is asked for.
 */
#ifndef CROSSFADE_RELAY_HTTP_SERVER_H
#define CROSSFADE_RELAY_HTTP_SERVER_H

#include "crossfade/relay/http_pools.h"

struct http_request;

struct http_server {
    TAILQ_ENTRY(http_server) link;
    struct http_plane *plane;
    struct http_backend *backend;
    struct http_request *request; /* NULL: idle */
    struct watch watch;
    struct stream stream;
    struct input input;
    struct buffer output;
    struct turn_task flush;
    struct turn_task grave;
    uint64_t since;
    size_t scan; /* bytes of the response's head that were looked at */
    uint8_t state;
    uint8_t way;   /* which of the backend's addresses it goes to */
    bool reused;   /* has served a request before */
    bool probe;    /* the one connection that may be tried while the backend is down */
    bool answered; /* a byte of the response came */
    bool paused;   /* not read: the client's output is full */
    bool blocked;  /* waits for writability */
    bool deaf;     /* it takes no more bytes; its response may still come */
};

struct http_backend {
    LIST_ENTRY(http_backend) link;
    struct http_plane *plane;
    struct http_backend_cell *cell;
    unsigned index;             /* of the cell */
    struct addresses addresses; /* the ways to it */
    unsigned way;               /* the one that new connections take */
    unsigned untried;           /* others that have not failed since it last could be reached */
    char *name;                 /* as configured */
    struct http_server_list idle;
    unsigned idle_count;
    unsigned active;      /* requests under way */
    unsigned connections; /* all, idle ones too */
    unsigned failures;    /* to connect, in a row; 0: up */
    uint64_t retry_at;
    int64_t credit;  /* of the weighted round robin */
    bool probing;    /* down, and one connection is trying */
    bool gone;       /* not in the current configuration */
    char reason[96]; /* why it is down */
};

/* The backend for that place in a plan: made, or updated. NULL without memory. */
struct http_backend *http_backend_adopt(struct http_plane *plane, const struct plan_backend *place);
/* Not in the configuration any more: idle connections close, the others when they are done. */
void http_backend_drain(struct http_backend *backend);
/* No connection may be left. */
void http_backend_destroy(struct http_backend *backend);

/*
 * The next one of an arm by the configured balance: least requests under way by weight, or weighted
 * round robin. One that is in back-off does not count. NULL: none can be tried; *reason (of
 * `reason_size` bytes) says why.
 */
struct http_backend *http_backend_choose(struct http_plane *plane, const struct plan_arm *arm,
                                         enum config_balance balance, char *reason,
                                         size_t reason_size);
/*
 * No connection could be made that way: the next address is taken from now on; when all have
 * failed, back off, twice as long each time.
 */
void http_backend_failed(struct http_backend *backend, unsigned way, const char *reason);

/*
 * A connection for the request: a kept one, or (always if `fresh`) a new one. It is the request's
 * from now on. NULL: errno.
 */
struct http_server *http_server_take(struct http_backend *backend, struct http_request *request,
                                     bool fresh);
/* Writes its output at the end of the turn. */
void http_server_wake(struct http_server *server);
/* The response is complete and the connection clean: keep it for the next request. */
void http_server_keep(struct http_server *server);
/* Only here does a connection end. It is taken from its request, which the caller sees to. */
void http_server_close(struct http_server *server, const char *why);
/* The client has drained its output: go on reading. */
void http_server_resume(struct http_server *server);

void http_server_tick(struct http_plane *plane, uint64_t now);

#endif
