/*
 * A worker with a web plane, turned by hand: clients come over socket pairs, backends are listening
 * sockets of the test, and everything happens in one thread, so that each step is where the test
 * puts it. The clock stands still unless a test moves it.
 */
#ifndef CROSSFADE_TESTS_HTTP_RIG_H
#define CROSSFADE_TESTS_HTTP_RIG_H

#include "crossfade/conf/load.h"
#include "crossfade/relay/http_plane.h"
#include "crossfade/relay/worker.h"

#define RIG_BACKENDS 3u

/* Bytes that many tests say. The cookie is no identity that was given out. */
#define HOST "Host: shop\r\n"
#define GET "GET / HTTP/1.1\r\n" HOST "Cookie: cf_id=x\r\n\r\n"
#define POST(headers) "POST / HTTP/1.1\r\n" HOST headers "\r\n"
#define CANARY "GET / HTTP/1.1\r\n" HOST "X-Employee: 1\r\nCookie: cf_id=x\r\n\r\n"
#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

struct http_rig {
    struct telemetry *telemetry;
    struct worker worker;
    int listeners[RIG_BACKENDS]; /* -1: nobody listens there */
    uint32_t percent;            /* of the rollout's position, from the next reload on */
    const char *candidate;       /* where arm next is, if not at listener 2 */
    unsigned first;              /* which is the first backend of arm stable */
    char folder[64];
    char paths[RIG_BACKENDS][80];
    uint64_t generation;
    struct plan *plan;
};

/* `web` is more of the section `web`; arm stable has backends rig->first (0) and (if `two`) 1, arm
 * next has 2. */
void rig_start(struct http_rig *rig, const char *web, bool two);
void rig_stop(struct http_rig *rig);
/* The same again under another configuration, as a reload does. */
void rig_reload(struct http_rig *rig, const char *web, bool two);
/* Closes the listening socket: connections are refused from then on. */
void rig_kill_backend(struct http_rig *rig, unsigned index);
/* Listens again at the same place. */
void rig_revive_backend(struct http_rig *rig, unsigned index);
/* The clock goes on by that much, and the worker ticks. */
void rig_wait(struct http_rig *rig, uint64_t microseconds);
/* Loop turns until nothing happens any more. */
void rig_turn(struct http_rig *rig);

/* A client's end of a connection. */
int rig_client(struct http_rig *rig);
/* The backend's end of the next connection that the plane makes to it. */
int rig_accept(struct http_rig *rig, unsigned index);
/* No connection waits to be accepted. */
bool rig_untouched(struct http_rig *rig, unsigned index);

void rig_send(struct http_rig *rig, int fd, const char *text);
void rig_send_bytes(struct http_rig *rig, int fd, const char *bytes, size_t len);
/* Reads what is there after some turns; terminated; in a static buffer. */
const char *rig_read(struct http_rig *rig, int fd);
/* Reads and throws away until nothing comes; how many bytes. *ended: the connection ended after it.
 */
size_t rig_drain(struct http_rig *rig, int fd, bool *ended);
/* The peer has closed, and nothing is left to be read. */
bool rig_ended(struct http_rig *rig, int fd);

/* From now on one in so many objects and pieces of memory cannot be had; 0: all can. */
void rig_starve(unsigned one_in);
/* Objects that somebody has. */
size_t rig_out(const struct slab *slab);
/* Calls of malloc, calloc and realloc by our own code so far. */
unsigned long rig_allocations(void);

/* A request on connections that are there, and its answer. */
void rig_exchange(struct http_rig *rig, int client, int backend, const char *request,
                  const char *response);

/* What a text is. */
bool begins(const char *text, const char *with);
bool ends(const char *text, const char *with);
bool has(const char *text, const char *part);

struct http_arm_cell *rig_arm(struct http_rig *rig, const char *name);

#endif
