/*
 * Who is connected to the cache plane of one worker, for `show clients`. The worker itself writes
 * it down when it is asked, at most MC_CENSUS_ROWS clients, so that it costs less than a
 * millisecond.
 */
#ifndef CROSSFADE_RELAY_MC_CENSUS_H
#define CROSSFADE_RELAY_MC_CENSUS_H

#include "crossfade/net/address.h"
#include "crossfade/relay/mc_plane.h"

#define MC_CENSUS_ROWS 500u

struct mc_census_row {
    char who[200];      /* "user alice, uid 1003", escaped; "": nothing but the listener is known */
    char arm[72];       /* "": it has none yet */
    char listener[112]; /* "": it is no longer configured */
    char peer[ADDRESS_TEXT + 8];
    const char *protocol; /* "text", "binary", or "" before its first byte */
    const char *stage;    /* "served", or what it waits for */
    bool tls;
    uint64_t since; /* microseconds that it is connected, or a stranger */
};

struct mc_census {
    size_t total; /* clients, of which `count` are in rows */
    size_t count;
    struct mc_census_row rows[MC_CENSUS_ROWS];
};

/* What somebody who has asked is given: those of one worker. */
typedef void (*mc_census_each)(void *context, unsigned worker, const struct mc_census *census);

void mc_census_take(struct mc_plane *plane, struct mc_census *census);

#endif
