#include "crossfade/relay/mc_lookup.h"

#include "crossfade/base/base64.h"
#include "crossfade/relay/mc_pools.h"

static void set(struct mc_lookup *lookup, struct slice value)
{
    ensure(value.len <= sizeof(lookup->value));
    if (value.len > 0)
        memcpy(lookup->value, value.data, value.len);
    lookup->len = value.len;
}

static struct slice own_arm(const struct mc_client *client)
{
    return slice_string(mc_client_plan(client)->arms[client->arm].config->name);
}

/*
 * By the snapshot that the worker serves now: a client's view follows the configuration and not the
 * steps of a rollout.
 */
static bool look_up_arm(const struct mc_client *client, struct slice identity,
                        struct mc_lookup *lookup)
{
    const struct snapshot *snapshot = client->plane->worker->current->snapshot;
    struct cohort_decision decision;

    if (identity.len == 0 || identity.len > COHORT_IDENTITY_MAX)
        return false;
    if (snapshot->plan->cohort == NULL) {
        set(lookup, own_arm(client));
        return true;
    }
    cohort_decide_identity(snapshot->plan->cohort, snapshot->position, identity, &decision);
    set(lookup, slice_string(snapshot->plan->arms[decision.arm].config->name));
    return true;
}

static bool look_up(const struct mc_client *client, struct slice name, struct mc_lookup *lookup)
{
    static const struct slice arm = SLICE_INIT("arm/");
    static const struct slice arm64 = SLICE_INIT("arm64/");
    char identity[BASE64_DECODED_MAX(KEY_MAX)];
    size_t len;

    if (slice_starts(name, arm))
        return look_up_arm(client, slice_of(name.data + arm.len, name.len - arm.len), lookup);
    if (slice_starts(name, arm64))
        return base64_decode(slice_of(name.data + arm64.len, name.len - arm64.len), identity,
                             &len) &&
               look_up_arm(client, slice_of(identity, len), lookup);
    if (slice_equal(name, SLICE("arm"))) {
        set(lookup, own_arm(client));
        return true;
    }
    if (slice_equal(name, SLICE("namespace"))) {
        set(lookup, keyspace_prefix(mc_client_plan(client)->keyspace, client->arm));
        return true;
    }
    if (slice_equal(name, SLICE("version"))) {
        set(lookup, SLICE(PACKAGE_VERSION));
        return true;
    }
    return false;
}

bool mc_lookup(struct mc_client *client, struct slice key, struct mc_lookup *lookup)
{
    static const struct slice prefix = SLICE_INIT(LOOKUP_PREFIX);
    bool found;

    ensure(slice_starts(key, prefix) && key.len <= KEY_MAX);
    found = look_up(client, slice_of(key.data + prefix.len, key.len - prefix.len), lookup);
    lookup->cas = client->plane->worker->current->snapshot->generation;
    counter_add(&client->cell->gets, 1);
    counter_add(&client->cell->lookups, 1);
    counter_add(found ? &client->cell->hits : &client->cell->misses, 1);
    return found;
}
