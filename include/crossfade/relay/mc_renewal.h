/*
 * A server of which invalidations are lost is not believed (relay/mc_journal.h) - until it turns
 * out that it was started after the last of them: then it holds nothing from before. Asked of the
 * server itself, over a text connection:
 *
 *   stats settings   memory_file: a server that keeps its memory over a restart proves nothing
 *   stats            time, uptime
 *
 * A server that cannot be asked that way (binary alone) is believed again when the operator says so.
 */
#ifndef CROSSFADE_RELAY_MC_RENEWAL_H
#define CROSSFADE_RELAY_MC_RENEWAL_H

#include "crossfade/relay/mc_server.h"

#define MC_RENEWAL_PAUSE SECONDS(1)

/* Every tick: asks if there is a reason to. */
void mc_renewal_tick(struct mc_server *server, uint64_t now);

#endif
