/*
 * Keys that no server has: a get of one is answered by the daemon itself, in every protocol, so
 * that any code that can reach memcache sees what the daemon decides.
 *
 *   __crossfade__/arm               the arm that this client belongs to
 *   __crossfade__/arm/IDENTITY      the arm that the rollout gives that identity now
 *   __crossfade__/arm64/BASE64      the same for an identity that no key can have in it, such as
 * one with a space: RFC 4648, either alphabet, padded or not
 *   __crossfade__/namespace         what stands in front of this client's keys on the servers, with
 *                                   the generation: "py3.1:"; empty for the arm with the empty
 * namespace
 *   __crossfade__/version           the daemon's version
 *
 * An identity is decided on as cohort_decide_identity says; without a rollout it gets the arm that
 * asks. Its flags are 0, its cas number is the snapshot's, which is another one after each change.
 * A key under LOOKUP_PREFIX that is none of these is a miss. None can be written: keyspace_place
 * says KEY_LOOKUP for all of them, and whoever gets that for anything but a read refuses it.
 */
#ifndef CROSSFADE_RELAY_MC_LOOKUP_H
#define CROSSFADE_RELAY_MC_LOOKUP_H

#include "crossfade/base/ensure.h"
#include "crossfade/base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mc_client;

#define MC_LOOKUP_MAX 128u
/* What a write is told; without the protocol's own frame. */
#define MC_LOOKUP_REFUSED "keys under __crossfade__/ can only be read"

struct mc_lookup {
    char value[MC_LOOKUP_MAX];
    size_t len;
    uint64_t cas;
};

/* The value that a client of this arm is to see; false: a miss. Counts the key as asked for. */
bool mc_lookup(struct mc_client *client, struct slice key, struct mc_lookup *lookup) MUST_CHECK;

#endif
