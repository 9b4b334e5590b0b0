#include "crossfade/base/base64.h"
#include "crossfade/conf/values.h"
#include "crossfade/control/commands.h"

#include <stdio.h>
#include <string.h>

static const struct plan *plan_of(const struct control_call *call)
{
    return call->host->plan(call->host->context);
}

/* The end of a sentence that begins with the arm: why an identity is on it. */
static json_t *because(const struct config_rollout *rollout, const struct cohort_decision *decision,
                       const char *moves, const char *now)
{
    switch (decision->reason) {
    case COHORT_PROMOTED:
        return json_string("the candidate is promoted: everyone is on it");
    case COHORT_DENY:
        return json_sprintf("entry %d of the deny list names it", decision->list_entry + 1);
    case COHORT_ALLOW:
        return json_sprintf("entry %d of the allow list names it", decision->list_entry + 1);
    case COHORT_STAGE_ALLOW:
        return json_sprintf("entry %d of the allow list of stage %s names it",
                            decision->list_entry + 1, rollout->stages[decision->stage].name);
    case COHORT_BUCKET:
        return json_sprintf(
            "its bucket is the candidate's from %s %%, and %s %% are in force; deny "
            "and allow lists look at the whole request and come first",
            moves, now);
    case COHORT_IDLE:
    case COHORT_ANONYMOUS:
        break;
    }
    return json_string("no rollout is under way: everyone is on the stable arm");
}

void command_why(struct control_call *call, struct control_reply *reply)
{
    const struct plan *plan = plan_of(call);
    const struct config *config = plan->config;
    struct rollout *rollout = call->host->rollout(call->host->context);
    struct cohort_position position;
    struct cohort_decision decision;
    struct slice identity = slice_string(call->arguments[0]);
    uint64_t bucket;
    char moves[VALUE_TEXT];
    char now[VALUE_TEXT];

    if (rollout == NULL || plan->cohort == NULL) {
        control_reply_error(reply, CONTROL_REFUSED,
                            "there is no rollout: the configuration has no rollout section");
        return;
    }
    if (identity.len == 0 || identity.len > COHORT_IDENTITY_MAX) {
        control_reply_error(reply, CONTROL_USAGE,
                            "an identity has 1 to %u bytes; a request without one is given the "
                            "stable arm",
                            COHORT_IDENTITY_MAX);
        return;
    }
    position = rollout_position(rollout);
    cohort_decide_identity(plan->cohort, position, identity, &decision);
    bucket = cohort_bucket(plan->cohort, identity);
    (void)value_format_percent(cohort_moves_at(bucket), moves);
    (void)value_format_percent(position.percent, now);
    reply->data = json_object();
    (void)json_object_set_new(reply->data, "identity", reply_text(identity));
    (void)json_object_set_new(reply->data, "arm", json_string(config->arms[decision.arm].name));
    (void)json_object_set_new(reply->data, "candidate", json_boolean(decision.candidate));
    (void)json_object_set_new(reply->data, "state",
                              json_string(rollout_state_name(rollout_status(rollout)->state)));
    (void)json_object_set_new(reply->data, "bucket",
                              json_sprintf("%016llx", (unsigned long long)bucket));
    (void)json_object_set_new(reply->data, "bucket_percent",
                              json_real((double)bucket / 18446744073709551616.0 * 100.0));
    (void)json_object_set_new(reply->data, "moves_at_percent", json_string(moves));
    (void)json_object_set_new(reply->data, "percent_now", json_string(now));
    (void)json_object_set_new(reply->data, "because",
                              because(&config->rollout, &decision, moves, now));
}

static const char *const scope_names[] = {
    [SCOPE_ISOLATED] = "isolated", [SCOPE_SHARED] = "shared"
};
static const char *const coherence_names[] = {
    [COHERENCE_NONE] = "none", [COHERENCE_FANOUT] = "fanout", [COHERENCE_EPOCH] = "epoch"
};
static const char *const writes_names[] = {
    [WRITES_AUTO] = "auto", [WRITES_MUTATE] = "mutate", [WRITES_FILL] = "fill"
};

static void set_wire_key(json_t *row, const struct key_place *place, struct slice key)
{
    char wire[KEY_MAX];
    char encoded[BASE64_ENCODED(KEY_MAX)];

    keyspace_compose(place, key, wire);
    (void)json_object_set_new(row, "key_on_server", reply_text(slice_of(wire, place->wire_len)));
    (void)json_object_set_new(
        row, "key_on_server_base64",
        json_stringn(encoded, base64_encode(slice_of(wire, place->wire_len), encoded)));
}

/* Why a digest stands there; "" if it does not. */
static const char *hashed_because(const struct key_place *place, struct slice key)
{
    return !place->hashed                          ? ""
           : place->prefix.len + key.len > KEY_MAX ? "too long with its prefix"
           : place->prefix.len > 0 && !keyspace_is_text(key) &&
                   place->prefix.len + key.len > KEY_BASE64_MAX
               ? "too long in base64 with its prefix"
           : key.data[0] == '#' ? "it looks like a digest itself"
                                : "it looks like a key with a prefix";
}

/* The arms that hear of a delete of the key, and of writes that change it. */
static json_t *invalidated(const struct plan *plan, unsigned arm, const struct key_place *place)
{
    char names[CONFIG_ARMS_MAX * 66u] = "";
    const unsigned *others;
    size_t count = place->scope == SCOPE_ISOLATED && place->coherence == COHERENCE_FANOUT
                       ? keyspace_others(plan->keyspace, arm, &others)
                       : 0;
    size_t len = 0;

    for (size_t i = 0; i < count; i++)
        len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%.64s", i > 0 ? " " : "",
                                plan->config->arms[others[i]].name);
    return json_string(names);
}

/* What the key is for one arm. */
static json_t *explain_arm(const struct plan *plan, unsigned arm, struct slice key)
{
    struct key_place place;
    const struct config *config = plan->config;
    json_t *row = json_object();
    bool shared;

    (void)json_object_set_new(row, "arm", json_string(config->arms[arm].name));
    switch (keyspace_place(plan->keyspace, arm, key, &place)) {
    case KEY_TOO_LONG:
        (void)json_object_set_new(row, "key_on_server", json_string("refused: too long"));
        return row;
    case KEY_RESERVED:
        (void)json_object_set_new(
            row, "key_on_server",
            json_string(
                "refused: it has the form of a prefix, and could name another arm's entry"));
        return row;
    case KEY_LOOKUP:
        (void)json_object_set_new(row, "key_on_server",
                                  json_string("none: a get of it is answered by the daemon"));
        return row;
    case KEY_OK:
        break;
    }
    shared = place.scope == SCOPE_SHARED;
    set_wire_key(row, &place, key);
    (void)json_object_set_new(row, "scope", json_string(scope_names[place.scope]));
    (void)json_object_set_new(
        row, "rule",
        place.rule < 0 ? json_string("none: the defaults")
                       : json_sprintf("%s%s", config->cache.rules[place.rule].match,
                                      config->cache.rules[place.rule].prefix ? "*" : ""));
    (void)json_object_set_new(row, "coherence", json_string(coherence_names[place.coherence]));
    (void)json_object_set_new(row, "writes",
                              shared ? json_null() : json_string(writes_names[place.writes]));
    (void)json_object_set_new(row, "guard", shared ? json_boolean(place.guard) : json_null());
    (void)json_object_set_new(row, "hashed", json_boolean(place.hashed));
    (void)json_object_set_new(row, "hashed_because", json_string(hashed_because(&place, key)));
    (void)json_object_set_new(row, "invalidates", invalidated(plan, arm, &place));
    return row;
}

void command_explain(struct control_call *call, struct control_reply *reply)
{
    static const struct table_column columns[] = { { "arm", "ARM" },
                                                   { "scope", "SCOPE" },
                                                   { "rule", "RULE" },
                                                   { "coherence", "COHERENCE" },
                                                   { "writes", "WRITES" },
                                                   { "guard", "GUARD" },
                                                   { "invalidates", "INVALIDATES" },
                                                   { "server", "SERVER" },
                                                   { "key_on_server", "KEY ON THE SERVER" },
                                                   { NULL, NULL } };
    const struct plan *plan = plan_of(call);
    struct slice key = slice_string(call->arguments[call->count - 1]);
    char decoded[BASE64_DECODED_MAX(2 * KEY_MAX)];
    int only = -1;
    const char *server;

    if (!plan->config->cache.present) {
        control_reply_error(reply, CONTROL_REFUSED,
                            "there is no cache plane: the configuration has no cache section");
        return;
    }
    if (call->count == 2) {
        only = config_arm_index(plan->config, slice_string(call->arguments[0]));
        if (only < 0) {
            control_reply_error(reply, CONTROL_USAGE, "there is no arm \"%.64s\"",
                                call->arguments[0]);
            return;
        }
    }
    if (call->base64) {
        if (key.len > 2 * KEY_MAX || !base64_decode(key, decoded, &key.len)) {
            control_reply_error(reply, CONTROL_USAGE, "the key is no base64, or too long");
            return;
        }
        key.data = decoded;
    }
    if (key.len == 0 || key.len > KEY_MAX) {
        control_reply_error(reply, CONTROL_USAGE, "a key has 1 to %u bytes", KEY_MAX);
        return;
    }
    /* What the daemon answers itself has no server. */
    server = slice_starts(key, SLICE(LOOKUP_PREFIX))
                 ? ""
                 : plan->servers[placement_server(plan->placement, key)].config->endpoint.text;
    reply->data = json_array();
    reply->columns = columns;
    for (unsigned i = 0; i < plan->config->arm_count; i++) {
        json_t *row;
        if (only >= 0 && (unsigned)only != i)
            continue;
        row = explain_arm(plan, i, key);
        (void)json_object_set_new(row, "server", json_string(server));
        (void)json_array_append_new(reply->data, row);
    }
}
