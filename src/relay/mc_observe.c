#include "crossfade/relay/mc_observe.h"

#include "crossfade/base/hash.h"
#include "crossfade/relay/mc_coherence.h"

#define TICKS_PER_SECOND 10u
_Static_assert(WORKER_TICK *TICKS_PER_SECOND == SECONDS(1), "so often is mc_observe_tick called");
#define INTERVAL_MAX (1u << 24)
/* A countdown that is not one. */
#define OFF UINT32_MAX
/* A relative expiry is at most 30 days; what is more is a date. */
#define RELATIVE_MAX (60 * 60 * 24 * 30)

/* How many commands are looked at in a tick; 0: it is turned off. */
static uint32_t allowance(const struct mc_plane *plane)
{
    uint32_t each = plane->view != NULL ? mc_view_config(plane->view)->observe : 0;

    return each > 0 && each < TICKS_PER_SECOND ? 1 : each / TICKS_PER_SECOND;
}

/* From 1 to twice the interval less one, so that traffic with a rhythm of its own is seen evenly.
 */
static void draw(struct mc_plane *plane)
{
    plane->observe_dice += UINT64_C(0x9e3779b97f4a7c15);
    plane->observe_in =
        1 + (uint32_t)(hash_mix(plane->observe_dice) % (2 * plane->observe_interval - 1));
    plane->observe_weight = plane->observe_in;
}

void mc_observe_tick(struct mc_plane *plane)
{
    uint32_t allowed = allowance(plane);

    if (allowed == 0) {
        plane->observe_in = OFF;
        return;
    }
    if (plane->observe_in > 2 * INTERVAL_MAX) { /* it was off */
        plane->observe_interval = 1;
        draw(plane);
    } else if (plane->observe_taken <= allowed / 2 && plane->observe_interval > 1) {
        uint32_t skipped = plane->observe_weight - plane->observe_in;
        plane->observe_interval /= 2;
        draw(plane);
        plane->observe_weight += skipped;
    }
    plane->observe_taken = 0;
}

/*
 * When as many were looked at as a tick allows, half as many are from then on: a burst costs the
 * tick that it begins in a few times the allowance.
 */
static void look_at(struct mc_client *client, struct family_seen *seen)
{
    struct mc_plane *plane = client->plane;
    uint32_t allowed = allowance(plane);

    if (allowed == 0) {
        plane->observe_in = OFF;
        return;
    }
    seen->weight = plane->observe_weight;
    /* By the cell: its number stays over reloads. */
    seen->arm = mc_client_plan(client)->arms[client->arm].cache_cell;
    families_add(plane->families, seen);
    if (++plane->observe_taken >= allowed && plane->observe_interval < INTERVAL_MAX) {
        plane->observe_taken = 0;
        plane->observe_interval *= 2;
    }
    draw(plane);
}

void mc_observe_read(struct mc_client *client, struct slice key)
{
    struct family_seen seen = { .key = key, .event = FAMILY_READ };

    look_at(client, &seen);
}

static enum family_event event_of(enum mc_verb verb)
{
    switch (verb) {
    case MC_SET:
        return FAMILY_WRITE;
    case MC_ADD:
        return FAMILY_ADD;
    case MC_REPLACE:
    case MC_APPEND:
    case MC_PREPEND:
    case MC_CAS:
        return FAMILY_CHANGE;
    case MC_INCR:
    case MC_DECR:
        return FAMILY_COUNT;
    case MC_DELETE:
        return FAMILY_DELETE;
    case MC_TOUCH:
        return FAMILY_TOUCH;
    default:
        return FAMILY_READ;
    }
}

static uint32_t expiry_of(int64_t exptime)
{
    if (exptime > RELATIVE_MAX) {
        int64_t now = (int64_t)(clock_wall() / SECONDS(1));
        exptime = exptime > now ? exptime - now : 0;
    }
    return exptime < 0 ? 0 : exptime > UINT32_MAX ? UINT32_MAX : (uint32_t)exptime;
}

void mc_observe_write(struct mc_client *client, struct slice key, const struct mc_written *written)
{
    struct family_seen seen = { .key = key, .event = event_of(written->verb) };

    if (seen.event == FAMILY_WRITE && mc_miss_knows(client, key))
        seen.event = FAMILY_FILL;
    /* What is put before or behind a value says nothing about it. */
    if (mc_verb_is_storage(written->verb) && written->verb != MC_APPEND &&
        written->verb != MC_PREPEND) {
        seen.has_value = true;
        seen.format = value_format_of(mc_view_config(client->view)->client_profile, written->flags,
                                      written->value, written->whole);
        seen.expiry = expiry_of(written->exptime);
    }
    look_at(client, &seen);
}
