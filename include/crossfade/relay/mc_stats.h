/*
 * `stats` for a client: the counters of its own arm, under memcached's names, so that dashboards
 * and exporters that know memcached go on working. They are the proxy's counters, of this daemon,
 * not those of the servers behind it. How they look on the wire is the dialects' matter.
 */
#ifndef CROSSFADE_RELAY_MC_STATS_H
#define CROSSFADE_RELAY_MC_STATS_H

#include "crossfade/base/ensure.h"
#include "crossfade/base/slice.h"

struct mc_client;

/* Room for any reply, whatever the dialect puts around each of its entries, if that is at most 32
 * bytes. */
#define MC_STATS_MAX 16384u
#define MC_STATS_REFUSAL "this command is refused here: it reaches beyond your own version's keys"

enum mc_stats_verdict {
    MC_STATS_OK,      /* each entry was added; possibly none */
    MC_STATS_UNKNOWN, /* nothing of that name */
    MC_STATS_REFUSED
};

typedef void (*mc_stats_add)(void *context, struct slice name, struct slice value);

/* `arguments`: what is behind `stats`, such as "settings"; or empty. */
enum mc_stats_verdict mc_stats(struct mc_client *client, struct slice arguments, mc_stats_add add,
                               void *context) MUST_CHECK;

#endif
