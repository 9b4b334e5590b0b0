/*
 * Tells a server what it was not told: the entries of the journal, by one worker of those that
 * trust the server, in order, MC_REPLAY_WINDOW at once. An entry is done when the server says that
 * the item is deleted or not there; any other answer puts it back, and the round ends. What comes
 * in meanwhile belongs to the same round: the gate opens when nothing is left.
 */
#ifndef CROSSFADE_RELAY_MC_REPLAY_H
#define CROSSFADE_RELAY_MC_REPLAY_H

#include "crossfade/relay/mc_server.h"

#define MC_REPLAY_WINDOW 64u
/* After a round that failed. */
#define MC_REPLAY_PAUSE SECONDS(1)

/* Every tick: begins a round if there is something to tell, and nothing is in the way. */
void mc_replay_tick(struct mc_server *server, uint64_t now);

#endif
