#include "explore.h"

#include <stddef.h>
#include <string.h>

const char operation_letters[] = ".RADMCPW";

/* -- The server -- */

uint8_t fresh_token(const struct state *state)
{
    if (asked.fault == REUSED_TOKEN)
        return state->epoch == 1 ? 2 : 1;
    static uint8_t told;
    if (narrating)
        return ++told;
    unsigned used = 1u << state->epoch;
    for (unsigned arm = 0; arm < ARMS; arm++)
        used |= 1u << state->token[arm];
    for (unsigned i = 0; i <= CLIENTS; i++)
        used |= 1u << state->clients[i].token | 1u << state->clients[i].epoch;
    for (unsigned i = 0; i < PROCESSES * ARMS; i++)
        used |= 1u << state->misses[i / ARMS][i % ARMS].token;
    uint8_t token = 1;
    while (used & 1u << token)
        token++;
    return token;
}

void write_epoch(struct state *state, uint8_t token, bool deleted)
{
    state->epoch = token;
    state->epoch_deleted = token ? deleted : 0;
    if (!deleted || !token || asked.fault != KEEP_LATE)
        state->keep = 0;
    for (unsigned i = 0; i <= CLIENTS; i++)
        state->clients[i].bits &= (uint8_t)~EPOCH_SAME;
}

void write_value(struct state *state, unsigned arm, uint8_t token, uint8_t value)
{
    unsigned stays = (unsigned)~(VALUE_SAME | GETS_SAME | (asked.fault == KEEP_ANY ? 0 : KEPT));

    state->token[arm] = token;
    state->value[arm] = value;
    if (state->keep == arm + 1 && asked.fault != KEEP_ANY)
        state->keep = 0;
    for (unsigned i = 0; i <= CLIENTS; i++)
        if (arm_of(&state->clients[i]) == arm)
            state->clients[i].bits &= (uint8_t)stays;
}

/* A client reads the epoch item. */
static void read_epoch(const struct state *state, struct client *client)
{
    client->epoch = state->epoch;
    client->bits &= (uint8_t)~KEPT;
    if (state->keep == arm_of(client) + 1)
        client->bits |= KEPT;
}

/* -- The memory of misses -- */

void record_miss(struct miss *miss, uint8_t token)
{
    if (miss->count == 0) {
        miss->token = token;
        miss->mixed = 0;
        miss->empty = 0;
    } else if (asked.fault == NEWEST_TOKEN) {
        miss->token = token;
    } else if (miss->token != token) {
        miss->mixed = 1;
    }
    if (token == 0)
        miss->empty = 1;
    miss->count++;
}

enum verdict { MISS_NONE, MISS_FILL, MISS_MIXED, MISS_DOUBT };

static enum verdict take(struct miss *miss, uint8_t *token)
{
    enum verdict verdict = MISS_FILL;
    *token = miss->token;
    if (miss->lost && (asked.fault != LOSS_IF_EMPTY || miss->count == 0))
        verdict = MISS_DOUBT;
    else if (miss->count == 0)
        verdict = MISS_NONE;
    else if ((miss->empty && asked.fault != LATE_EMPTY) || miss->mixed)
        verdict = MISS_MIXED;
    if (miss->count > 0)
        miss->count--;
    if (asked.fault == TAKE_ALL || asked.design == FANOUT)
        miss->count = 0;
    if (miss->count == 0)
        miss->token = miss->mixed = miss->empty = 0;
    return verdict;
}

/* -- The promises -- */

static void invoke_read(const struct state *state, struct client *client)
{
    unsigned process = process_of(client);
    client->floor =
        state->floor > state->process_floor[process] ? state->floor : state->process_floor[process];
    client->dead = state->dead | state->process_dead[process];
}

static void served(const struct client *client, uint8_t value)
{
    if (asked.only_cas)
        return;
    if (value & WRITTEN) {
        if (client->dead & 1u << VERSION(value))
            violation = "a value is given out that a later, acknowledged invalidation had ended";
    } else if (VERSION(value) < client->floor) {
        violation = "a fill is given out after an acknowledged invalidation of a younger commit";
    }
}

/* It has the cas number of a `gets`. */
static bool has_handle(const struct client *client)
{
    return client->operation == OP_CAS && client->step >= COMMIT_CAS;
}

static void invoke_invalidation(const struct state *state, struct client *client)
{
    client->acked = state->acked;
    client->handles = 0;
    for (unsigned i = 0; i < asked.clients; i++)
        if (has_handle(&state->clients[i]))
            client->handles |= (uint8_t)(1u << i);
}

static void acknowledge(struct state *state, struct client *client, bool mutation)
{
    if (is_zombie(state, client))
        return;
    if (client->commit > state->floor)
        state->floor = client->commit;
    state->dead |= client->acked;
    if (mutation)
        state->acked |= (uint16_t)(1u << client->commit);
    for (unsigned i = 0; i < asked.clients; i++)
        if (client->handles & 1u << i && has_handle(&state->clients[i]))
            state->clients[i].bits |= BROKEN;
}

void finish(struct client *client)
{
    struct client idle = { .left = client->left, .where = client->where };
    *client = idle;
}

/* -- One step -- */

static void commit(struct state *state, struct client *client)
{
    client->commit = ++state->database;
}

static bool is_current(const struct state *state, const struct client *client)
{
    unsigned arm = arm_of(client);
    if (!state->value[arm])
        return false;
    if (asked.design != EPOCH || asked.fault == NO_COMPARE)
        return true;
    if (!client->epoch)
        return asked.fault == ABSENT_IS_CURRENT;
    return client->epoch == state->token[arm] || client->bits & KEPT;
}

static void missed(const struct state *state, struct client *client)
{
    if (asked.design == EPOCH && asked.fault == ANSWER_FIRST && !client->value)
        client->value = VALUE(state->database, 0);
    client->token = client->epoch;
    client->bits &= (uint8_t)~KEPT;
    client->step = asked.design != EPOCH || client->epoch ? RECORD : MAKE_EPOCH;
}

static bool knows_other(const struct client *client)
{
    return asked.design == FANOUT && (!asked.unknown_arm || process_of(client) != 0);
}

/* A change that another was faster than. */
static void next_round(struct client *client)
{
    if (client->operation != OP_APPEND || client->rounds > 0) {
        finish(client);
        return;
    }
    client->rounds = 1;
    client->token = client->epoch = client->value = 0;
    client->bits = 0;
    client->step = FETCH_EPOCH;
}

bool step(struct state *state, unsigned index)
{
    struct client *client = &state->clients[index];
    unsigned arm = arm_of(client), process = process_of(client);
    struct miss *miss = &state->misses[process][arm];
    bool ok;

    switch ((enum step)client->step) {
    case IDLE:
        return false;
    case READ_EPOCH:
        read_epoch(state, client);
        client->step = READ_VALUE;
        say("reads the epoch: %s%u", client->epoch ? "t" : "absent, ", client->epoch);
        return true;
    case READ_VALUE:
        if (!is_current(state, client)) {
            say("reads the value: %s, a miss", state->value[arm] ? "not current" : "absent");
            missed(state, client);
            return true;
        }
        say("reads the value: gets version %u (stamp t%u)", VERSION(state->value[arm]),
            state->token[arm]);
        served(client, state->value[arm]);
        if (client->operation != OP_CAS) {
            finish(client);
            return true;
        }
        client->bits = GETS_SAME;
        client->epoch = 0;
        client->step = COMMIT_CAS;
        for (unsigned i = 0; i < asked.clients; i++)
            state->clients[i].handles &= (uint8_t) ~(1u << index);
        return true;
    case MAKE_EPOCH:
        ok = state->epoch == 0;
        client->token = fresh_token(state);
        if (ok) {
            write_epoch(state, client->token, false);
            client->step = RECORD;
        } else {
            client->token = 0;
            client->step = READ_AGAIN;
        }
        say("adds an epoch: %s t%u", ok ? "STORED" : "NOT_STORED, it is", state->epoch);
        return true;
    case READ_AGAIN:
        client->token = state->epoch;
        client->step = RECORD;
        say("reads the epoch again: t%u", client->token);
        return true;
    case RECORD:
        if (asked.design != PLAIN)
            record_miss(miss, client->token);
        say("its sidecar remembers the miss with t%u; the client hears of it, reads version %u "
            "from the database",
            client->token, client->value ? VERSION(client->value) : state->database);
        if (!client->value)
            client->value = VALUE(state->database, 0);
        client->token = client->epoch = 0;
        client->step = TAKE;
        return true;
    case TAKE: {
        enum verdict verdict = asked.design == PLAIN ? MISS_FILL : take(miss, &client->token);
        static const char *const verdicts[] = { "none: a mutation", "a fill", "mixed", "doubt" };
        say("sends its %s of version %u; the memory of misses says: %s, t%u",
            client->operation == OP_ADD ? "add" : "set", VERSION(client->value), verdicts[verdict],
            client->token);
        if (asked.design != EPOCH) {
            client->bits |= verdict == MISS_NONE ? MADE : 0;
            client->step = client->operation == OP_ADD ? ADD_VALUE : FILL;
            return true;
        }
        if (verdict == MISS_FILL && client->token == 0)
            client->token = state->epoch; /* LATE_EMPTY */
        if (verdict != MISS_FILL)
            client->token = 0;
        if (client->operation == OP_ADD) {
            client->bits |= verdict == MISS_NONE ? MADE : 0;
            if (verdict == MISS_MIXED || verdict == MISS_DOUBT)
                finish(client);
            else
                client->step = verdict == MISS_NONE ? ADD_EPOCH : FETCH_EPOCH;
            return true;
        }
        if (verdict != MISS_FILL)
            invoke_invalidation(state, client);
        client->step = verdict == MISS_FILL    ? (asked.fault == TOKEN_AT_STORE ? LATE_TOKEN : FILL)
                       : verdict == MISS_NONE  ? MUTATE_EPOCH
                       : verdict == MISS_MIXED ? DROP
                                               : DOUBT;
        return true;
    }
    case LATE_TOKEN:
        client->token = state->epoch;
        client->step = FILL;
        say("takes the token of now: t%u", client->token);
        return true;
    case FILL:
        write_value(state, arm, client->token, client->value);
        say("stores version %u with t%u", VERSION(client->value), client->token);
        if (client->bits & MADE && knows_other(client)) {
            client->step = TELL_OTHER;
            return true;
        }
        if (client->operation == OP_THROUGH)
            acknowledge(state, client, true);
        finish(client);
        return true;
    case DOUBT:
        if (state->epoch)
            write_epoch(state, fresh_token(state), true);
        client->step = DROP;
        say("replaces the epoch, in doubt: t%u", state->epoch);
        return true;
    case DROP:
        write_value(state, arm, 0, 0);
        if (client->operation == OP_THROUGH)
            acknowledge(state, client, true);
        finish(client);
        say("deletes the value instead of storing it");
        return true;
    case MUTATE_EPOCH:
        if (asked.fault == OWN_ARM_ONLY) {
            client->token = state->epoch;
        } else {
            client->token = fresh_token(state);
            write_epoch(state, client->token, false);
        }
        client->step = MUTATE_VALUE;
        say("sets the epoch: t%u", client->token);
        return true;
    case MUTATE_VALUE:
        write_value(state, arm, client->token, client->value);
        say("stores version %u with t%u", VERSION(client->value), client->token);
        if (knows_other(client)) {
            client->step = TELL_OTHER;
            return true;
        }
        if (client->operation == OP_MUTATE || client->operation == OP_THROUGH)
            acknowledge(state, client, true);
        finish(client);
        return true;
    case DELETE_EPOCH:
        if (client->operation == OP_DELETE && asked.fault == EARLY_ACK && client->rounds == 0) {
            client->step = DELETE_VALUE;
            return step(state, index);
        }
        if (state->epoch && asked.fault != OWN_ARM_ONLY)
            write_epoch(state, fresh_token(state), true);
        say("replaces the epoch: t%u", state->epoch);
        client->step = DELETE_VALUE;
        if (client->rounds)
            finish(client);
        return true;
    case DELETE_VALUE:
        write_value(state, arm, 0, 0);
        say("deletes the value");
        if (knows_other(client)) {
            client->step = TELL_OTHER;
            return true;
        }
        acknowledge(state, client, false);
        if (asked.fault == EARLY_ACK) {
            client->commit = 0;
            client->rounds = 1;
            client->step = DELETE_EPOCH;
            return true;
        }
        finish(client);
        return true;
    case TELL_OTHER:
        write_value(state, !arm, 0, 0);
        say("deletes the other arm's value");
        if (client->operation == OP_DELETE)
            acknowledge(state, client, false);
        else if (client->operation == OP_MUTATE || client->operation == OP_CAS)
            acknowledge(state, client, true);
        finish(client);
        return true;
    case COMMIT_CAS:
        commit(state, client);
        client->value = VALUE(client->commit, WRITTEN);
        client->step = asked.design == EPOCH ? FETCH_EPOCH : CAS_VALUE;
        say("commits version %u to the database", client->commit);
        return true;
    case FETCH_EPOCH:
        /* A command begins: but that of an append began at its first round. */
        if (client->operation == OP_CAS) {
            invoke_invalidation(state, client);
            client->bits =
                (uint8_t)((client->bits & ~WAS_BROKEN) | (client->bits & BROKEN ? WAS_BROKEN : 0));
        }
        read_epoch(state, client);
        client->bits |= EPOCH_SAME;
        client->step = FETCH_VALUE;
        say("fetches the epoch: t%u", client->epoch);
        return true;
    case FETCH_VALUE:
        say("fetches the value: %s", !state->value[arm]          ? "absent"
                                     : is_current(state, client) ? "current"
                                                                 : "not current");
        client->bits |= VALUE_SAME;
        if (client->operation == OP_ADD) {
            if (client->bits & MADE || (asked.fault == ADD_NOW && client->epoch))
                client->token = client->epoch;
            if (!client->epoch || is_current(state, client) || client->token != client->epoch)
                finish(client);
            else
                client->step = ADD_VALUE;
            return true;
        }
        ok = client->epoch && is_current(state, client);
        if (client->operation == OP_CAS)
            ok = (asked.fault == CAS_BY_VALUE ? state->value[arm] != 0 : ok) &&
                 client->bits & GETS_SAME;
        if (!ok) {
            finish(client);
            return true;
        }
        if (client->operation == OP_APPEND) {
            if (client->rounds == 0)
                invoke_invalidation(state, client);
            client->value = state->value[arm];
            /* What it is made of lives on in it. */
            client->acked &= (uint16_t) ~(1u << VERSION(client->value));
        }
        client->step = CAS_EPOCH;
        return true;
    case CAS_EPOCH:
        client->token = fresh_token(state);
        ok = (asked.fault == BLIND_CHANGE || asked.fault == CAS_BY_VALUE) ||
             (state->epoch && client->bits & EPOCH_SAME);
        say("cas of the epoch to t%u%s: %s", client->token,
            client->bits & VALUE_SAME ? ", keeps the value meanwhile" : "",
            ok ? "STORED" : "failed");
        if (asked.fault == OWN_ARM_ONLY) {
            client->token = client->epoch;
        } else if (ok) {
            write_epoch(state, client->token, false);
            if (client->bits & VALUE_SAME && state->value[arm])
                state->keep = (uint8_t)(arm + 1);
        }
        if (is_zombie(state, client))
            finish(client);
        else if (ok)
            client->step = CAS_VALUE;
        else
            next_round(client);
        return true;
    case CAS_VALUE:
        if (asked.design != EPOCH) {
            ok = client->bits & GETS_SAME && state->value[arm];
            client->bits =
                (uint8_t)((client->bits & ~WAS_BROKEN) | (client->bits & BROKEN ? WAS_BROKEN : 0));
            invoke_invalidation(state, client);
        } else {
            ok = client->bits & VALUE_SAME && state->value[arm];
        }
        say("cas of the value to version %u, t%u: %s", VERSION(client->value), client->token,
            ok ? "STORED" : "failed");
        if (ok)
            write_value(state, arm, client->token, client->value);
        if (is_zombie(state, client)) {
            finish(client);
            return true;
        }
        if (ok) {
            if (client->bits & WAS_BROKEN)
                violation = "a cas succeeded whose gets was before a whole invalidation";
            if (client->operation == OP_APPEND)
                served(client, client->value);
            if (asked.design != EPOCH && knows_other(client)) {
                client->step = TELL_OTHER;
                return true;
            }
            acknowledge(state, client, client->operation == OP_CAS);
        } else {
            next_round(client);
            return true;
        }
        finish(client);
        return true;
    case ADD_EPOCH:
        if (!state->epoch)
            write_epoch(state, fresh_token(state), false);
        say("adds an epoch for its add: it is t%u", state->epoch);
        client->step = FETCH_EPOCH;
        return true;
    case ADD_VALUE:
        ok = asked.design != EPOCH ? state->value[arm] == 0 : (client->bits & VALUE_SAME) != 0;
        if (ok)
            write_value(state, arm, client->token, client->value);
        say("adds (or, over a stale one, cas) version %u with t%u: %s", VERSION(client->value),
            client->token, ok ? "STORED" : "lost a race");
        if (!ok && asked.design == EPOCH && client->rounds == 0 && !is_zombie(state, client)) {
            client->rounds = 1;
            client->step = FETCH_EPOCH;
            client->epoch = 0;
            client->bits &= MADE;
            return true;
        }
        finish(client);
        return true;
    }
    return false;
}

bool begin(struct state *state, unsigned index, char letter)
{
    struct client *client = &state->clients[index];
    unsigned process = process_of(client);
    bool gated =
        (state->journal_epoch[process] || state->journal_value[process]) && asked.fault != NO_GATE;

    client->left--;
    state->total--;
    client->operation = (uint8_t)(strchr(operation_letters, letter) - operation_letters);
    switch (letter) {
    case 'R':
    case 'A':
    case 'C':
        if (gated) {
            client->step = RECORD; /* as with a server that is down */
            say("reads: a miss, the journal is not replayed");
            return letter != 'C';
        }
        invoke_read(state, client);
        client->step = asked.design == EPOCH ? READ_EPOCH : READ_VALUE;
        return step(state, index);
    case 'P':
        if (gated || asked.design != EPOCH)
            return false;
        invoke_read(state, client);
        client->step = FETCH_EPOCH;
        return step(state, index);
    case 'D':
        commit(state, client);
        client->step = asked.design == EPOCH ? DELETE_EPOCH : DELETE_VALUE;
        say("commits version %u to the database, is going to delete", client->commit);
        return true;
    case 'M':
        commit(state, client);
        client->value = VALUE(client->commit, WRITTEN);
        client->step = asked.design == EPOCH ? MUTATE_EPOCH : MUTATE_VALUE;
        say("commits version %u to the database, is going to replace the value", client->commit);
        return true;
    case 'W':
        commit(state, client);
        client->value = VALUE(client->commit, WRITTEN);
        client->step = TAKE;
        say("commits version %u to the database, is going to set the value", client->commit);
        return true;
    }
    return false;
}

void note_invocation(struct state *state, struct client *client)
{
    if ((client->step == DELETE_EPOCH && client->rounds == 0) ||
        (client->step == MUTATE_EPOCH && client->operation == OP_MUTATE) ||
        (asked.design != EPOCH && (client->step == DELETE_VALUE || client->step == MUTATE_VALUE)))
        invoke_invalidation(state, client);
}
