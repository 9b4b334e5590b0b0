/*
 * Clients between accept and their first byte: TLS handshakes, of any plane. A connection is here
 * until its handshake is done and is then given to the plane as a stream like any other.
 *
 * Bounded in every way: a handshake has GREETING_TIMEOUT, however it dribbles; a client that has
 * said nothing costs no more than its socket and a small block; and in one turn of the loop no more
 * than GREETING_BUDGET of time goes into handshakes, so that a thousand clients that come at once
 * delay the others by a few milliseconds, and each other in the order in which they came.
 */
#ifndef CROSSFADE_RELAY_GREETING_H
#define CROSSFADE_RELAY_GREETING_H

#include "crossfade/net/tls.h"
#include "crossfade/net/watch.h"
#include "crossfade/relay/worker.h"

#define GREETING_TIMEOUT SECONDS(10)
#define GREETING_BUDGET MILLISECONDS(2)

struct greeting;

struct greetings {
    struct worker *worker;
    TAILQ_HEAD(, greeting) list; /* longest waiting first */
    size_t count;
    uint64_t spent;         /* in this turn, microseconds */
    struct turn_task reset; /* at its end */
};

/* The handshake of a client of the listener of that name is done; the stream is the callee's. */
typedef void (*greeting_done)(void *context, const char *listener, struct stream *stream,
                              const struct address *peer);

void greetings_init(struct greetings *greetings, struct worker *worker);
/* Closes all of them. The turn has to end before the memory is given up. */
void greetings_deinit(struct greetings *greetings);

/* Takes over the descriptor, also when there is no memory. `cell` counts how it goes. */
void greetings_add(struct greetings *greetings, int fd, const struct address *peer,
                   struct tls_context *tls, struct tls_cell *cell, greeting_done done,
                   void *context);
void greetings_tick(struct greetings *greetings, uint64_t now);
void greetings_close_all(struct greetings *greetings, const char *why);

#endif
