/*
 * Which server holds a key: libmemcached's own choice (memcached_generate_hash) by the client's
 * key, so that it is the one a libmemcached client makes with the same servers, weights,
 * distribution and hash. The library makes the ring and the lookup is ours, checked against it.
 * Never its blocking I/O. With a hash tag ("{}") only the bytes between the first opening and the
 * next closing byte count, if there are any. Shared by all workers after creation.
 */
#ifndef CROSSFADE_ROUTE_PLACEMENT_H
#define CROSSFADE_ROUTE_PLACEMENT_H

#include "crossfade/base/slice.h"
#include "crossfade/conf/config.h"

struct placement;

/* NULL without memory, or when libmemcached refuses the combination. */
struct placement *placement_create(const struct config *config);
void placement_destroy(struct placement *placement);
/* Index into config->cache.servers. Allocates nothing; costs nothing with one server. */
unsigned placement_server(const struct placement *placement, struct slice key);

#endif
