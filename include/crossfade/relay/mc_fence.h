/*
 * A connection that is given up while a write on it has no answer: a server that is slow, or stands
 * still, may yet run it. So the connection is closed in our direction and read to its end: behind
 * that the server has run what it received, and only then is it told what it was not
 * (relay/mc_replay.h). Until then its gate is closed.
 *
 *   given up --shutdown--> bytes are dropped --end, reset--> over
 *                               `--MC_FENCE_LIMIT after the server is trusted again--> reset by us
 */
#ifndef CROSSFADE_RELAY_MC_FENCE_H
#define CROSSFADE_RELAY_MC_FENCE_H

#include "crossfade/relay/mc_server.h"

#define MC_FENCE_LIMIT SECONDS(30)
/* Of one server and worker; more are reset at once. */
#define MC_FENCES_MAX 64u

/* The connection is about to be closed. */
void mc_fence_begin(const struct mc_connection *connection);
void mc_fence_tick(struct mc_server *server, uint64_t now);
/* The server goes. */
void mc_fence_end_all(struct mc_server *server);

#endif
