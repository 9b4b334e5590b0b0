/*
 * A sample of the commands of a worker goes into a table of key families (route/families.h), for
 * `crossfadectl show suggest`. The same for every protocol: after keyspace_place has said KEY_OK,
 * and before what was asked is done,
 *
 *     if (mc_observe_due(plane))
 *         mc_observe_read(client, key);       or mc_observe_write, for all that is no read
 *
 * which is one countdown for a command that is not looked at. How many are skipped between two that
 * are is drawn anew each time, and on average follows the traffic: `cache.observe` commands a
 * second are looked at, however many there are. Each stands for those that were skipped before it.
 */
#ifndef CROSSFADE_RELAY_MC_OBSERVE_H
#define CROSSFADE_RELAY_MC_OBSERVE_H

#include "crossfade/relay/mc_pools.h"
#include "crossfade/route/families.h"

/* What a command writes, if it is no read. */
struct mc_written {
    enum mc_verb verb; /* MC_SET .. MC_TOUCH: what it does */
    uint32_t flags;
    int64_t exptime;    /* as the protocol gives it: seconds from now, or since 1970 */
    struct slice value; /* of a storage command: all of it, or its beginning if it is not `whole` */
    bool whole;
};

static inline bool mc_observe_due(struct mc_plane *plane)
{
    return --plane->observe_in == 0;
}

void mc_observe_read(struct mc_client *client, struct slice key);
void mc_observe_write(struct mc_client *client, struct slice key, const struct mc_written *written);

/* Every tick, and when there is a new configuration. */
void mc_observe_tick(struct mc_plane *plane);

#endif
