/*
 * The cache plane of one worker: its clients, its servers, its pools of objects.
 */
#ifndef CROSSFADE_RELAY_MC_PLANE_H
#define CROSSFADE_RELAY_MC_PLANE_H

#include "crossfade/relay/worker.h"

struct mc_plane;

/* NULL without memory. */
struct mc_plane *mc_plane_create(struct worker *worker);
void mc_plane_destroy(struct mc_plane *plane);

/* worker->current is a new snapshot: servers that are gone are drained, new ones made. */
bool mc_plane_adopt(struct mc_plane *plane) MUST_CHECK;

/* A connection was accepted by the cache listener with this index in the current configuration; the
 * plane owns the descriptor from now on, also when it fails. */
void mc_plane_accept(struct mc_plane *plane, unsigned listener, int fd, const struct address *peer);

void mc_plane_tick(struct mc_plane *plane, uint64_t now);
/* worker->draining was set: close idle clients now and the others when their requests are done. */
void mc_plane_drain(struct mc_plane *plane);
size_t mc_plane_clients(const struct mc_plane *plane);

struct families;
/* What is known of the traffic (relay/mc_observe.h). On the worker's thread only. */
const struct families *mc_plane_families(const struct mc_plane *plane);

#endif
