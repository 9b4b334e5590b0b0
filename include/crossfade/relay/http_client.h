/*
 * One web client: its socket, the head that it is sending, the request under way, and what is still
 * to be written to it. Requests are served one at a time; pipelined ones wait in the input
 * (bounded) and are parsed when the response before them is complete.
 *
 * An idle client holds this structure alone: no buffer, no request.
 */
#ifndef CROSSFADE_RELAY_HTTP_CLIENT_H
#define CROSSFADE_RELAY_HTTP_CLIENT_H

#include "crossfade/relay/http_pools.h"

struct http_request;

#define HTTP_PEER_TEXT 46 /* an IPv6 address */

struct http_client {
    TAILQ_ENTRY(http_client) link;
    struct http_plane *plane;
    struct http_request *request; /* NULL: none is under way */
    struct watch watch;
    struct stream stream;
    struct input input;
    struct buffer output;
    struct turn_task flush;
    struct turn_task grave;
    uint64_t since;
    size_t scan; /* bytes of the head that were looked at */
    uint32_t lingered;
    uint8_t state;
    bool blocked;              /* waits for writability */
    bool eof;                  /* the client has said its last */
    bool last;                 /* close when the output is out */
    bool linger;               /* it may still be sending: do not reset it */
    bool refused;              /* over the connection limit */
    char peer[HTTP_PEER_TEXT]; /* "" for a unix socket */
    uint8_t address[16];
};

/* Takes over the descriptor. NULL without memory; the descriptor is then closed. */
struct http_client *http_client_create(struct http_plane *plane, int fd,
                                       const struct address *peer);
/* Only here does a client end; the request under way ends with it. May be called twice. */
void http_client_close(struct http_client *client, const char *why);

/* So that the client sees an error, where a plain end would look like success. */
void http_client_reset(struct http_client *client, const char *why);

/* A request was made of its head. */
void http_client_busy(struct http_client *client);
/* An answer of our own (to HEAD if `head`); no request is under way. The connection ends after a
 * `last` one. */
void http_client_answer(struct http_client *client, unsigned status, const char *text, bool head,
                        bool last);
/* There is output, or the request under way is done: look at it at the end of the turn. */
void http_client_wake(struct http_client *client);
/* The request is answered in full: the next one, or the end. */
void http_client_done(struct http_client *client);
/* What may be read and written now, after anything changed. False: it was closed. */
bool http_client_rewatch(struct http_client *client);

void http_client_tick(struct http_plane *plane, uint64_t now);

#endif
