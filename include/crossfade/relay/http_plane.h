/*
 * The web plane of one worker: its clients, its backends with their pooled connections.
 */
#ifndef CROSSFADE_RELAY_HTTP_PLANE_H
#define CROSSFADE_RELAY_HTTP_PLANE_H

#include "crossfade/relay/worker.h"

struct http_plane;

/* NULL without memory. */
struct http_plane *http_plane_create(struct worker *worker);
void http_plane_destroy(struct http_plane *plane);

/* worker->current is a new snapshot: backends that are gone are drained, new ones made. */
bool http_plane_adopt(struct http_plane *plane) MUST_CHECK;

/* A connection was accepted by the web listener with this index in the current configuration; the
 * plane owns the descriptor from now on, also when it fails. */
void http_plane_accept(struct http_plane *plane, unsigned listener, int fd,
                       const struct address *peer);

void http_plane_tick(struct http_plane *plane, uint64_t now);
/* worker->draining was set: close idle clients now and the others when their requests are done. */
void http_plane_drain(struct http_plane *plane);
size_t http_plane_clients(const struct http_plane *plane);

#endif
