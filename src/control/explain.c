#include "crossfade/base/base64.h"
#include "crossfade/base/clock.h"
#include "crossfade/conf/values.h"
#include "crossfade/control/commands.h"
#include "crossfade/relay/mc_journal.h"
#include "crossfade/relay/mc_look.h"

#include <stdio.h>
#include <stdlib.h>
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

static void set_integer(json_t *row, const char *name, json_int_t n)
{
    (void)json_object_set_new(row, name, json_integer(n));
}

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

/* -- What its server has ---------------------------------------------------------------------- */

/* Which items a row of the reply is about; taken out of it again before it is shown. */
#define ITEM "item"
#define EPOCH_ITEM "epoch item"
#define UNPREFIXED_ITEM "unprefixed item"

/* The row's value is to be looked at; with epochs also the epoch item that it goes by, and the
 * unprefixed entry of hosts that do not run Crossfade. Those are one for all rows. */
static void look_for_it(const struct plan *plan, const struct key_place *place, struct slice key,
                        struct mc_look *look, json_t *row)
{
    struct key_place other;

    if (look == NULL)
        return;
    if (place->coherence == COHERENCE_EPOCH) {
        bool bystander = keyspace_bystander(plan->keyspace, key, &other);
        if (look->count == 0 && bystander)
            (void)mc_look_add(look, &other, key);
        if (look->count == (bystander ? 1 : 0)) {
            keyspace_epoch(plan->keyspace, key, &other);
            (void)mc_look_add(look, &other, key);
        }
        if (bystander)
            set_integer(row, UNPREFIXED_ITEM, 0);
        set_integer(row, EPOCH_ITEM, bystander ? 1 : 0);
    }
    set_integer(row, ITEM, (json_int_t)look->count);
    (void)mc_look_add(look, place, key);
}

static const char *presence(const struct mc_look_item *item)
{
    return item->result == MC_LOOK_UNKNOWN ? "unknown"
           : item->result == MC_LOOK_FOUND ? "there"
                                           : "none";
}

static const char *written_by(uint32_t flags)
{
    switch (flags) {
    case EPOCH_MADE:
        return "a read";
    case EPOCH_CHANGED:
        return "a change";
    case EPOCH_DELETED:
        return "a delete";
    default:
        return "something else";
    }
}

/* What the epoch item says: true if there is one that values can go by. */
static bool tell_epoch(json_t *row, const struct mc_look_item *item, struct epoch *epoch)
{
    uint64_t now = clock_wall() / SECONDS(1);
    char hex[2 * TOKEN_LENGTH + 1];

    if (item->result == MC_LOOK_UNKNOWN)
        return false;
    if (item->result == MC_LOOK_ABSENT) {
        (void)json_object_set_new(row, "epoch", json_string("none"));
        return false;
    }
    if (item->length != EPOCH_LENGTH || !epoch_read(slice_of(item->head, item->head_len), epoch)) {
        (void)json_object_set_new(row, "epoch", json_string("not of crossfade's form"));
        return false;
    }
    if (item->forgotten) {
        (void)json_object_set_new(
            row, "epoch", json_string("not believed: older than what its server was not told"));
        return false;
    }
    (void)snprintf(hex, sizeof(hex), "%016llx%016llx", (unsigned long long)epoch->token.words[0],
                   (unsigned long long)epoch->token.words[1]);
    (void)json_object_set_new(row, "epoch", json_string(hex));
    /* By another host's clock, perhaps. */
    set_integer(row, "epoch_age", now > epoch->written ? (json_int_t)(now - epoch->written) : 0);
    (void)json_object_set_new(row, "epoch_written_by", json_string(written_by(item->flags)));
    return true;
}

/* `expiry`: of the stamp, 0 never; counts where the server has not said it itself. */
static void tell_expiry(json_t *row, const struct mc_look_item *item, const uint32_t *expiry)
{
    uint64_t now = clock_wall() / SECONDS(1);

    if (item->ttl >= 0)
        set_integer(row, "expires_in", item->ttl);
    else if (item->ttl == MC_TTL_NEVER || (expiry != NULL && *expiry == 0))
        (void)json_object_set_new(row, "expires_in", json_string("never"));
    else if (expiry != NULL)
        set_integer(row, "expires_in", *expiry > now ? (json_int_t)(*expiry - now) : 0);
}

/* Of the arm's own entry. `epoch`: NULL where there is none to go by. */
static void tell_value(json_t *row, const struct mc_look_item *item, bool stamped,
                       const struct epoch *epoch)
{
    struct token token;
    uint32_t expiry;
    const char *state = "there";

    if (item->result == MC_LOOK_UNKNOWN) {
        (void)json_object_set_new(row, "value", json_string("unknown"));
        (void)json_object_set_new(row, "value_unknown_because", json_string(item->why));
        return;
    }
    if (item->result == MC_LOOK_ABSENT) {
        (void)json_object_set_new(row, "value", json_string("none"));
        return;
    }
    if (stamped && item->length < STAMP_LENGTH) {
        state = "not of crossfade's form";
    } else if (stamped) {
        stamp_read(slice_of(item->head, item->head_len), &token, &expiry);
        state = epoch == NULL                                  ? "stale"
                : token_equal(&token, &epoch->token)           ? "current"
                : epoch->keep != 0 && epoch->keep == item->cas ? "current, being changed"
                                                               : "stale";
    }
    (void)json_object_set_new(row, "value", json_string(state));
    set_integer(
        row, "bytes",
        (json_int_t)(item->length - (stamped && item->length >= STAMP_LENGTH ? STAMP_LENGTH : 0)));
    tell_expiry(row, item, stamped && item->length >= STAMP_LENGTH ? &expiry : NULL);
}

static const struct mc_look_item *item_of(const struct mc_look *look, const json_t *row,
                                          const char *name)
{
    const json_t *index = json_object_get(row, name);
    return index != NULL ? &look->items[json_integer_value(index)] : NULL;
}

static void tell_what_was_found(json_t *row, const struct mc_look *look)
{
    const struct mc_look_item *epoch_item = item_of(look, row, EPOCH_ITEM);
    const struct mc_look_item *unprefixed = item_of(look, row, UNPREFIXED_ITEM);
    struct epoch epoch;
    bool good = epoch_item != NULL && tell_epoch(row, epoch_item, &epoch);

    tell_value(row, item_of(look, row, ITEM), epoch_item != NULL, good ? &epoch : NULL);
    if (unprefixed != NULL)
        (void)json_object_set_new(row, "unprefixed", json_string(presence(unprefixed)));
}

/* As mc_owed_closed() has it. */
static bool held_back(const json_t *row, uint64_t gate)
{
    const char *coherence = json_string_value(json_object_get(row, "coherence"));

    if (gate == 0 || strcmp(coherence, coherence_names[COHERENCE_NONE]) == 0)
        return false;
    return gate != MC_GATE_LOST || strcmp(coherence, coherence_names[COHERENCE_EPOCH]) != 0;
}

static void tell_row(json_t *row, const struct mc_look *look)
{
    if (json_object_get(row, ITEM) == NULL) /* it has no place on a server */
        return;
    if (look != NULL) {
        tell_what_was_found(row, look);
        (void)json_object_set_new(row, "held_back", json_boolean(held_back(row, look->gate)));
    } else {
        (void)json_object_set_new(row, "value", json_string("unknown"));
        (void)json_object_set_new(row, "value_unknown_because",
                                  json_string("the server was not asked, or has not answered in "
                                              "time"));
    }
    (void)json_object_del(row, ITEM);
    (void)json_object_del(row, EPOCH_ITEM);
    (void)json_object_del(row, UNPREFIXED_ITEM);
}

#define COLUMNS_BEFORE                                                                             \
    { "arm", "ARM" }, { "scope", "SCOPE" }, { "rule", "RULE" }, { "coherence", "COHERENCE" },      \
        { "writes", "WRITES" }, { "guard", "GUARD" }, { "invalidates", "INVALIDATES" },            \
        { "value", "VALUE" }, { "bytes", "BYTES" },                                                \
    {                                                                                              \
        "expires_in", "EXPIRES IN"                                                                 \
    }
#define COLUMNS_BEHIND                                                                             \
    { "server", "SERVER" },                                                                        \
    {                                                                                              \
        "key_on_server", "KEY ON THE SERVER"                                                       \
    }

static const struct table_column columns[] = { COLUMNS_BEFORE, COLUMNS_BEHIND, { NULL, NULL } };
static const struct table_column columns_with_epoch[] = {
    COLUMNS_BEFORE,         { "epoch", "EPOCH" },
    { "epoch_age", "AGE" }, { "epoch_written_by", "WRITTEN BY" },
    COLUMNS_BEHIND,         { NULL, NULL }
};

/* The rows with what was found on the server; look NULL: nobody could look. */
static void complete(struct control_reply *reply, bool json, const struct mc_look *look)
{
    size_t i;
    json_t *row;

    reply->columns = columns;
    json_array_foreach(reply->data, i, row)
    {
        const json_t *why;
        tell_row(row, look);
        if (json_object_get(row, "epoch") != NULL)
            reply->columns = columns_with_epoch;
        why = json_object_get(row, "value_unknown_because");
        if (json_is_true(json_object_get(row, "held_back")) && !json)
            control_reply_ok(reply, "Reads there are answered as misses until the server has been "
                                    "told what it was not.");
        if (why != NULL && !json)
            control_reply_ok(reply, "What is there is not known: %s.", json_string_value(why));
    }
}

/* What the key is for one arm. */
static json_t *explain_arm(const struct plan *plan, unsigned arm, struct slice key,
                           struct mc_look *look)
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
    look_for_it(plan, &place, key, look, row);
    return row;
}

void command_explain(struct control_call *call, struct control_reply *reply)
{
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
    call->look = mc_look_create(key);
    call->complete = complete;
    for (unsigned i = 0; i < plan->config->arm_count; i++) {
        json_t *row;
        if (only >= 0 && (unsigned)only != i)
            continue;
        row = explain_arm(plan, i, key, call->look);
        (void)json_object_set_new(row, "server", json_string(server));
        (void)json_array_append_new(reply->data, row);
    }
    if (call->look != NULL && call->look->count > 0)
        return;
    /* There is nothing to look for, or no memory for it. */
    free(call->look);
    call->look = NULL;
    complete(reply, call->json, NULL);
}
