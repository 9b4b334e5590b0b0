/*
 * Every interleaving of a small world: one key, two arms, two sidecar processes, up to four
 * clients, and the epoch protocol of doc/coherence.md (or one of the designs that it replaces, or
 * the protocol with a fault put in on purpose). One step is one command at the server, or one look
 * at a process's own memory of misses. Breadth first, so that what is printed is the shortest
 * history that breaks a promise.
 *
 * The promises, in the terms of this model. The database numbers its commits; a value is a version.
 *   - A value that came by a fill, of version n, is not read by a read that began after an
 *     invalidation was acknowledged whose commit is younger than n (G2, G3, G4).
 *   - A value that came by a mutation is not read by a read that began after an invalidation was
 *     acknowledged that began after the mutation was acknowledged (G2, G4).
 *   - What was answered with an error binds the reads of its own process at once, and everybody's
 *     when its journal is replayed (G5).
 *   - A `cas` does not succeed if between its `gets` and it a whole invalidation took place, in
 *     whatever arm (G4). An `append` does not succeed on a value that a read could not have had.
 *
 * explore NAME=VALUE...; see usage() at the end. The status is 0 if what was found is what was
 * expected (expect=none|some).
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ARMS 2
#define PROCESSES 2
#define CLIENTS 4
#define ZOMBIE CLIENTS /* the commands that a server may still run after their client was told */

enum design { PLAIN, FANOUT, EPOCH };

/* What a client does. */
enum operation { OP_NONE, OP_READ, OP_ADD, OP_DELETE, OP_MUTATE, OP_CAS, OP_APPEND, OP_THROUGH };
static const char operation_letters[] = ".RADMCPW";

/* The next step of a client. */
enum step {
    IDLE,
    READ_EPOCH,
    READ_VALUE,
    MAKE_EPOCH,
    READ_AGAIN,
    RECORD,
    TAKE, /* the client has its miss and its row from the database */
    FILL,
    DOUBT,
    DROP,
    LATE_TOKEN,
    MUTATE_EPOCH,
    MUTATE_VALUE,
    TELL_OTHER,
    DELETE_EPOCH,
    DELETE_VALUE,
    COMMIT_CAS,
    FETCH_EPOCH,
    FETCH_VALUE,
    CAS_EPOCH,
    CAS_VALUE,
    ADD_EPOCH,
    ADD_VALUE,
};

/* Faults that may be put into the protocol. */
enum fault {
    FAULT_NONE,
    TOKEN_AT_STORE,    /* a fill is stamped with the token of the moment of its `set` */
    ANSWER_FIRST,      /* a miss is answered before the epoch item is made */
    NO_COMPARE,        /* any stamp will do */
    OWN_ARM_ONLY,      /* an invalidation leaves the epoch item alone */
    NEWEST_TOKEN,      /* not MIXED: a younger miss replaces the token of an older one */
    REUSED_TOKEN,      /* two tokens in turn */
    ABSENT_IS_CURRENT, /* without an epoch item a value is believed */
    EARLY_ACK,         /* a delete is acknowledged before the epoch item is replaced */
    BLIND_CHANGE,      /* a change sets the epoch item without looking at its cas number */
    CAS_BY_VALUE,      /* cas compares the value's cas number only */
    ADD_NOW,           /* an add takes the epoch's present token instead of its miss's */
    TAKE_ALL,          /* the first fill takes all misses of its key */
    LOSS_FORGOTTEN,    /* that an entry was lost is not remembered */
    LOSS_IF_EMPTY,     /* ... or only asked where nothing is found */
    NO_JOURNAL,
    NO_GATE,       /* reads go on while the journal is not replayed */
    NO_FENCE,      /* ... and replay does not wait for the old connection's end */
    JOURNAL_VALUE, /* the journal has the own value, not the epoch item */
    NO_PUT_BACK,   /* a fill that failed does not give its miss back */
    LATE_EMPTY,    /* a read that failed is remembered with the token of its fill's moment */
    KEEP_ANY,      /* a change keeps its arm's value, whichever that is */
    KEEP_LATE,     /* a delete leaves it kept */
    FAULTS
};
static const char *const fault_names[FAULTS] = {
    "none",         "token-at-store", "answer-first",      "no-compare",     "own-arm-only",
    "newest-token", "reused-token",   "absent-is-current", "early-ack",      "blind-change",
    "cas-by-value", "add-now",        "take-all",          "loss-forgotten", "loss-if-empty",
    "no-journal",   "no-gate",        "no-fence",          "journal-value",  "no-put-back",
    "late-empty",   "keep-any",       "keep-late"
};

/* A value: its version, and whether a mutation wrote it. */
#define WRITTEN 1u
#define VALUE(version, written) ((uint8_t)((unsigned)(version) << 1 | (unsigned)(written)))
#define VERSION(value) ((value) >> 1)

enum bit {
    EPOCH_SAME = 1, /* nobody has written the epoch item since this client fetched it */
    VALUE_SAME = 2, /* nor the value */
    GETS_SAME = 4,  /* nobody has written the value since this client's `gets` */
    BROKEN = 8,     /* a whole invalidation took place since then */
    WAS_BROKEN = 16,
    MADE = 64, /* this add answers no miss */
    KEPT = 128 /* the epoch item that was read keeps the value that is still there */
};

/* All of it is bytes or aligned pairs of them, so that two states can be compared as memory. */
struct client {
    uint8_t step, operation, left, where; /* arm | process << 1 */
    uint8_t token, epoch, value, commit;
    uint8_t floor, bits, handles, rounds;
    uint16_t dead, acked;
};

struct miss {
    uint8_t token, count, mixed, empty, lost, spare;
};

struct state {
    struct client clients[CLIENTS + 1];
    struct miss misses[PROCESSES][ARMS];
    uint8_t epoch, epoch_deleted;
    uint8_t keep; /* 1 + the arm whose value, as it is, a change under way keeps current */
    uint8_t token[ARMS], value[ARMS];
    uint8_t database, floor;
    uint8_t evictions, losses, cuts, total;
    uint8_t journal_epoch[PROCESSES], journal_value[PROCESSES], process_floor[PROCESSES];
    uint16_t dead, acked;
    uint16_t process_dead[PROCESSES], failed[PROCESSES];
};

/* What is asked for. */
static enum design design = EPOCH;
static enum fault fault = FAULT_NONE;
static const char *where = "00,11", *operations = "RADMCP";
static unsigned each = 3, total = 255, evictions, losses, cuts;
static bool ageing = true, sequential, unknown_arm, only_cas;
static size_t limit = 20000000;
static unsigned clients;

/* What is being looked at. */
static const char *violation;
static char narration[200];
static bool narrating;

static void say(const char *form, ...) __attribute__((format(printf, 1, 2)));

static void say(const char *form, ...)
{
    if (!narrating)
        return;
    va_list arguments;
    va_start(arguments, form);
    vsnprintf(narration, sizeof(narration), form, arguments);
    va_end(arguments);
}

static unsigned arm_of(const struct client *client)
{
    return client->where & 1;
}

static unsigned process_of(const struct client *client)
{
    return client->where >> 1;
}

static bool is_zombie(const struct state *state, const struct client *client)
{
    return client == &state->clients[ZOMBIE];
}

/* -- The server -- */

static uint8_t fresh(const struct state *state)
{
    if (fault == REUSED_TOKEN)
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

static void write_epoch(struct state *state, uint8_t token, bool deleted)
{
    state->epoch = token;
    state->epoch_deleted = token ? deleted : 0;
    if (!deleted || !token || fault != KEEP_LATE)
        state->keep = 0;
    for (unsigned i = 0; i <= CLIENTS; i++)
        state->clients[i].bits &= (uint8_t)~EPOCH_SAME;
}

static void write_value(struct state *state, unsigned arm, uint8_t token, uint8_t value)
{
    unsigned stays = (unsigned)~(VALUE_SAME | GETS_SAME | (fault == KEEP_ANY ? 0 : KEPT));

    state->token[arm] = token;
    state->value[arm] = value;
    if (state->keep == arm + 1 && fault != KEEP_ANY)
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

static void record(struct miss *miss, uint8_t token)
{
    if (miss->count == 0) {
        miss->token = token;
        miss->mixed = 0;
        miss->empty = 0;
    } else if (fault == NEWEST_TOKEN) {
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
    if (miss->lost && (fault != LOSS_IF_EMPTY || miss->count == 0))
        verdict = MISS_DOUBT;
    else if (miss->count == 0)
        verdict = MISS_NONE;
    else if (miss->empty)
        verdict = MISS_DOUBT;
    else if (miss->mixed)
        verdict = MISS_MIXED;
    if (miss->count > 0)
        miss->count--;
    if (fault == TAKE_ALL || design == FANOUT)
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
    if (only_cas)
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
    for (unsigned i = 0; i < clients; i++)
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
    for (unsigned i = 0; i < clients; i++)
        if (client->handles & 1u << i && has_handle(&state->clients[i]))
            state->clients[i].bits |= BROKEN;
}

static void finish(struct client *client)
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
    if (design != EPOCH || fault == NO_COMPARE)
        return true;
    if (!client->epoch)
        return fault == ABSENT_IS_CURRENT;
    return client->epoch == state->token[arm] || client->bits & KEPT;
}

static void missed(const struct state *state, struct client *client)
{
    if (design == EPOCH && fault == ANSWER_FIRST && !client->value)
        client->value = VALUE(state->database, 0);
    client->token = client->epoch;
    client->bits &= (uint8_t)~KEPT;
    client->step = design != EPOCH || client->epoch ? RECORD : MAKE_EPOCH;
}

static bool knows_other(const struct client *client)
{
    return design == FANOUT && (!unknown_arm || process_of(client) != 0);
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

static bool step(struct state *state, unsigned index)
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
        for (unsigned i = 0; i < clients; i++)
            state->clients[i].handles &= (uint8_t) ~(1u << index);
        return true;
    case MAKE_EPOCH:
        ok = state->epoch == 0;
        client->token = fresh(state);
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
        if (design != PLAIN)
            record(miss, client->token);
        say("its sidecar remembers the miss with t%u; the client hears of it, reads version %u "
            "from the database",
            client->token, client->value ? VERSION(client->value) : state->database);
        if (!client->value)
            client->value = VALUE(state->database, 0);
        client->token = client->epoch = 0;
        client->step = TAKE;
        return true;
    case TAKE: {
        enum verdict verdict = design == PLAIN ? MISS_FILL : take(miss, &client->token);
        static const char *const verdicts[] = { "none: a mutation", "a fill", "mixed", "doubt" };
        say("sends its %s of version %u; the memory of misses says: %s, t%u",
            client->operation == OP_ADD ? "add" : "set", VERSION(client->value), verdicts[verdict],
            client->token);
        if (design != EPOCH) {
            client->bits |= verdict == MISS_NONE ? MADE : 0;
            client->step = client->operation == OP_ADD ? ADD_VALUE : FILL;
            return true;
        }
        if (verdict == MISS_DOUBT && fault == LATE_EMPTY)
            verdict = MISS_FILL, client->token = state->epoch;
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
        client->step = verdict == MISS_FILL    ? (fault == TOKEN_AT_STORE ? LATE_TOKEN : FILL)
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
            write_epoch(state, fresh(state), true);
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
        if (fault == OWN_ARM_ONLY) {
            client->token = state->epoch;
        } else {
            client->token = fresh(state);
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
        if (client->operation == OP_DELETE && fault == EARLY_ACK && client->rounds == 0) {
            client->step = DELETE_VALUE;
            return step(state, index);
        }
        if (state->epoch && fault != OWN_ARM_ONLY)
            write_epoch(state, fresh(state), true);
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
        if (fault == EARLY_ACK) {
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
        client->step = design == EPOCH ? FETCH_EPOCH : CAS_VALUE;
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
            if (client->bits & MADE || (fault == ADD_NOW && client->epoch))
                client->token = client->epoch;
            if (!client->epoch || is_current(state, client) || client->token != client->epoch)
                finish(client);
            else
                client->step = ADD_VALUE;
            return true;
        }
        ok = client->epoch && is_current(state, client);
        if (client->operation == OP_CAS)
            ok = (fault == CAS_BY_VALUE ? state->value[arm] != 0 : ok) && client->bits & GETS_SAME;
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
        client->token = fresh(state);
        ok = (fault == BLIND_CHANGE || fault == CAS_BY_VALUE) ||
             (state->epoch && client->bits & EPOCH_SAME);
        say("cas of the epoch to t%u%s: %s", client->token,
            client->bits & VALUE_SAME ? ", keeps the value meanwhile" : "",
            ok ? "STORED" : "failed");
        if (fault == OWN_ARM_ONLY) {
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
        if (design != EPOCH) {
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
            if (design != EPOCH && knows_other(client)) {
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
            write_epoch(state, fresh(state), false);
        say("adds an epoch for its add: it is t%u", state->epoch);
        client->step = FETCH_EPOCH;
        return true;
    case ADD_VALUE:
        ok = design != EPOCH ? state->value[arm] == 0 : (client->bits & VALUE_SAME) != 0;
        if (ok)
            write_value(state, arm, client->token, client->value);
        say("adds (or, over a stale one, cas) version %u with t%u: %s", VERSION(client->value),
            client->token, ok ? "STORED" : "lost a race");
        if (!ok && design == EPOCH && client->rounds == 0 && !is_zombie(state, client)) {
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

/* An idle client begins an operation, with its first step. */
static bool begin(struct state *state, unsigned index, char letter)
{
    struct client *client = &state->clients[index];
    unsigned process = process_of(client);
    bool gated =
        (state->journal_epoch[process] || state->journal_value[process]) && fault != NO_GATE;

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
        client->step = design == EPOCH ? READ_EPOCH : READ_VALUE;
        return step(state, index);
    case 'P':
        if (gated || design != EPOCH)
            return false;
        invoke_read(state, client);
        client->step = FETCH_EPOCH;
        return step(state, index);
    case 'D':
        commit(state, client);
        client->step = design == EPOCH ? DELETE_EPOCH : DELETE_VALUE;
        say("commits version %u to the database, is going to delete", client->commit);
        return true;
    case 'M':
        commit(state, client);
        client->value = VALUE(client->commit, WRITTEN);
        client->step = design == EPOCH ? MUTATE_EPOCH : MUTATE_VALUE;
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

/* The first command of an invalidation: from here on it has begun. */
static void note_invocation(struct state *state, struct client *client)
{
    if ((client->step == DELETE_EPOCH && client->rounds == 0) ||
        (client->step == MUTATE_EPOCH && client->operation == OP_MUTATE) ||
        (design != EPOCH && (client->step == DELETE_VALUE || client->step == MUTATE_VALUE)))
        invoke_invalidation(state, client);
}

/* -- Connections that are cut: nobody knows whether the command was run, or will be -- */

enum cut { CUT_GIVE_UP, CUT_RETRY, CUT_RAN, CUTS };

static void journal(struct state *state, const struct client *client, bool epoch)
{
    unsigned process = process_of(client);
    if (fault != NO_JOURNAL) {
        if (epoch && fault != JOURNAL_VALUE)
            state->journal_epoch[process] = 1;
        state->journal_value[process] |= (uint8_t)(1u << arm_of(client));
    }
    /* A fill that was refused or taken for a mutation promised nothing to anybody. */
    if (client->operation == OP_READ || client->operation == OP_ADD)
        return;
    if (client->commit > state->process_floor[process])
        state->process_floor[process] = client->commit;
    state->process_dead[process] |= client->acked;
    if (client->value & WRITTEN && client->operation != OP_APPEND)
        state->failed[process] |= (uint16_t)(1u << VERSION(client->value));
}

static bool cut(struct state *state, unsigned index, enum cut how)
{
    struct client *client = &state->clients[index];
    struct miss *miss = &state->misses[process_of(client)][arm_of(client)];
    struct client *zombie = &state->clients[ZOMBIE];

    if (state->cuts == 0 || design != EPOCH || zombie->step)
        return false;
    state->cuts--;
    switch ((enum step)client->step) {
    case MAKE_EPOCH:
        if (how == CUT_RETRY)
            return false;
        if (how == CUT_RAN && !state->epoch)
            write_epoch(state, fresh(state), false);
        /* fall through */
    case READ_VALUE:
    case READ_AGAIN:
        if (client->step != MAKE_EPOCH && how != CUT_GIVE_UP)
            return false;
        client->token = client->epoch = 0;
        client->step = RECORD;
        say("its connection is cut: a miss");
        return true;
    case FILL:
        if (how == CUT_RAN)
            return false;
        *zombie = *client;
        zombie->left = 0;
        if (fault != NO_PUT_BACK)
            record(miss, client->token);
        say("its connection is cut: the fill is answered with an error%s",
            how == CUT_RETRY ? ", the client sends it again" : "");
        if (how == CUT_RETRY) {
            client->step = TAKE;
            client->token = 0;
        } else {
            finish(client);
        }
        return true;
    case DOUBT:
    case DROP:
    case MUTATE_EPOCH:
    case MUTATE_VALUE:
    case DELETE_EPOCH:
    case DELETE_VALUE:
    case CAS_EPOCH:
    case CAS_VALUE:
        if (how != CUT_GIVE_UP || fault == EARLY_ACK)
            return false;
        note_invocation(state, client);
        journal(state, client, client->step != DROP || client->operation != OP_READ);
        *zombie = *client;
        zombie->left = 0;
        finish(client);
        say("its connection is cut: the command is answered with an error and journalled");
        return true;
    case FETCH_EPOCH:
    case FETCH_VALUE:
        if (how != CUT_GIVE_UP)
            return false;
        finish(client);
        say("its connection is cut: an error");
        return true;
    case ADD_VALUE:
        if (how != CUT_GIVE_UP)
            return false;
        *zombie = *client;
        zombie->left = 0;
        finish(client);
        say("its connection is cut: the add is answered with an error");
        return true;
    default:
        return false;
    }
}

static bool replay(struct state *state, unsigned process)
{
    const struct client *zombie = &state->clients[ZOMBIE];
    if (!state->journal_epoch[process] && !state->journal_value[process])
        return false;
    if (zombie->step && process_of(zombie) == process && fault != NO_FENCE)
        return false;
    if (state->journal_epoch[process]) {
        write_epoch(state, 0, false);
        state->journal_epoch[process] = 0;
        say("the journal of sidecar %u deletes the epoch", process);
    } else {
        unsigned arm = state->journal_value[process] & 1 ? 0 : 1;
        write_value(state, arm, 0, 0);
        state->journal_value[process] &= (uint8_t) ~(1u << arm);
        say("the journal of sidecar %u deletes the value of arm %c", process, 'A' + arm);
    }
    if (!state->journal_epoch[process] && !state->journal_value[process]) {
        if (state->process_floor[process] > state->floor)
            state->floor = state->process_floor[process];
        state->dead |= state->process_dead[process] | state->failed[process];
        state->process_floor[process] = 0;
        state->process_dead[process] = state->failed[process] = 0;
    }
    return true;
}

/* -- One form for states that differ in names only -- */

static void rename_tokens(struct state *state)
{
    uint8_t names[256] = { 0 };
    uint8_t next = 1;
    uint8_t *places[2 + ARMS + 2 * (CLIENTS + 1) + PROCESSES * ARMS];
    size_t count = 0;

    if (fault == REUSED_TOKEN)
        return;
    places[count++] = &state->epoch;
    for (unsigned arm = 0; arm < ARMS; arm++)
        places[count++] = &state->token[arm];
    for (unsigned i = 0; i < PROCESSES * ARMS; i++)
        places[count++] = &state->misses[i / ARMS][i % ARMS].token;
    for (unsigned i = 0; i <= CLIENTS; i++) {
        places[count++] = &state->clients[i].token;
        places[count++] = &state->clients[i].epoch;
    }
    for (size_t i = 0; i < count; i++) {
        if (*places[i] == 0)
            continue;
        if (!names[*places[i]])
            names[*places[i]] = next++;
        *places[i] = names[*places[i]];
    }
}

static uint16_t renamed_mask(uint16_t mask, uint16_t written, const uint8_t names[16])
{
    uint16_t result = 0;
    for (unsigned version = 1; version < 16; version++)
        if (mask & written & 1u << version)
            result |= (uint16_t)(1u << names[version]);
    return result;
}

/* Only the order of the versions that are still about matters. */
static void rename_versions(struct state *state)
{
    uint16_t used = (uint16_t)(1u << state->database | 1u << state->floor), written = 0;
    uint8_t names[16] = { 0 };
    uint8_t next = 1;

    for (unsigned arm = 0; arm < ARMS; arm++) {
        used |= (uint16_t)(1u << VERSION(state->value[arm]));
        if (state->value[arm] & WRITTEN)
            written |= (uint16_t)(1u << VERSION(state->value[arm]));
    }
    for (unsigned process = 0; process < PROCESSES; process++)
        used |= (uint16_t)(1u << state->process_floor[process]);
    for (unsigned i = 0; i <= CLIENTS; i++) {
        const struct client *client = &state->clients[i];
        used |=
            (uint16_t)(1u << VERSION(client->value) | 1u << client->commit | 1u << client->floor);
        if (client->value & WRITTEN)
            written |= (uint16_t)(1u << VERSION(client->value));
    }
    for (unsigned version = 1; version < 16; version++)
        if (used & 1u << version)
            names[version] = next++;
    state->database = names[state->database];
    state->floor = names[state->floor];
    for (unsigned arm = 0; arm < ARMS; arm++)
        state->value[arm] = VALUE(names[VERSION(state->value[arm])], state->value[arm] & WRITTEN);
    state->dead = renamed_mask(state->dead, written, names);
    state->acked = renamed_mask(state->acked, written, names);
    for (unsigned process = 0; process < PROCESSES; process++) {
        state->process_floor[process] = names[state->process_floor[process]];
        state->process_dead[process] = renamed_mask(state->process_dead[process], written, names);
        state->failed[process] = renamed_mask(state->failed[process], written, names);
    }
    for (unsigned i = 0; i <= CLIENTS; i++) {
        struct client *client = &state->clients[i];
        client->value = VALUE(names[VERSION(client->value)], client->value & WRITTEN);
        client->commit = names[client->commit];
        client->floor = names[client->floor];
        client->dead = renamed_mask(client->dead, written, names);
        client->acked = renamed_mask(client->acked, written, names);
    }
}

/* Two clients of the same arm and process may change places; `order` is changed as they are. */
static void sort_clients(struct state *state, unsigned *order)
{
    for (unsigned i = 0; i < clients; i++)
        for (unsigned j = i + 1; j < clients; j++) {
            struct client *a = &state->clients[i], *b = &state->clients[j];
            if (a->where != b->where || memcmp(a, b, sizeof(*a)) <= 0)
                continue;
            struct client swap = *a;
            *a = *b;
            *b = swap;
            unsigned number = order[i];
            order[i] = order[j];
            order[j] = number;
            for (unsigned k = 0; k <= CLIENTS; k++) {
                uint8_t mask = state->clients[k].handles;
                unsigned one = mask >> i & 1, two = mask >> j & 1;
                mask &= (uint8_t) ~(1u << i | 1u << j);
                state->clients[k].handles = (uint8_t)(mask | one << j | two << i);
            }
        }
}

static void settle(struct state *state, unsigned *order)
{
    rename_versions(state);
    rename_tokens(state);
    sort_clients(state, order);
    rename_tokens(state);
}

/* -- The search -- */

struct note {
    uint32_t parent;
    uint16_t event;
    uint16_t spare;
};

static struct state *states;
static struct note *notes;
static size_t states_count, states_room;
static uint32_t *table;
static size_t table_size;
static unsigned long long transitions;

static uint64_t hash_of(const struct state *state)
{
    uint64_t hash = 0x9e3779b97f4a7c15u;
    const unsigned char *bytes = (const unsigned char *)state;
    for (size_t i = 0; i + 8 <= sizeof(*state); i += 8) {
        uint64_t word;
        memcpy(&word, bytes + i, 8);
        hash = (hash ^ word) * 0xff51afd7ed558ccdu;
        hash ^= hash >> 32;
    }
    for (size_t i = sizeof(*state) & ~(size_t)7; i < sizeof(*state); i++)
        hash = (hash ^ bytes[i]) * 0xff51afd7ed558ccdu;
    return hash ^ hash >> 29;
}

static void out_of_memory(void)
{
    fprintf(stderr, "explore: out of memory\n");
    exit(2);
}

static void grow_table(void)
{
    free(table);
    table_size = table_size ? table_size * 2 : 1u << 16;
    table = calloc(table_size, sizeof(*table));
    if (!table)
        out_of_memory();
    for (size_t i = 0; i < states_count; i++) {
        size_t slot = hash_of(&states[i]) & (table_size - 1);
        while (table[slot])
            slot = (slot + 1) & (table_size - 1);
        table[slot] = (uint32_t)(i + 1);
    }
}

static void visit(const struct state *state, uint32_t parent, unsigned event)
{
    if (states_count * 2 >= table_size)
        grow_table();
    size_t slot = hash_of(state) & (table_size - 1);
    for (; table[slot]; slot = (slot + 1) & (table_size - 1))
        if (memcmp(&states[table[slot] - 1], state, sizeof(*state)) == 0)
            return;
    if (states_count == states_room) {
        states_room = states_room ? states_room * 2 : 1u << 14;
        states = realloc(states, states_room * sizeof(*states));
        notes = realloc(notes, states_room * sizeof(*notes));
        if (!states || !notes)
            out_of_memory();
    }
    states[states_count] = *state;
    notes[states_count] = (struct note){ .parent = parent, .event = (uint16_t)event };
    table[slot] = (uint32_t)++states_count;
}

/* Events: kind << 8 | argument. */
enum event { EV_STEP, EV_BEGIN, EV_EVICT, EV_AGE, EV_LOSE, EV_CUT, EV_DROP, EV_REPLAY };

static bool may_age(const struct state *state, unsigned process, unsigned arm)
{
    const struct miss *miss = &state->misses[process][arm];
    if (!ageing || (!miss->count && !miss->lost))
        return false;
    /* Who is between its miss and its fill is so for less than the window: that is assumed. */
    for (unsigned i = 0; i < clients; i++)
        if (state->clients[i].step == TAKE && state->clients[i].operation != OP_THROUGH &&
            state->clients[i].where == (arm | process << 1))
            return false;
    return true;
}

static bool is_free(const struct state *state, unsigned index)
{
    if (sequential)
        for (unsigned i = 0; i < clients; i++)
            if (i != index && state->clients[i].step)
                return false;
    return true;
}

/* False: the event cannot happen there. */
static bool happen(struct state *state, unsigned event)
{
    unsigned argument = event & 0xff, index = argument & 0xf;
    struct client *client = &state->clients[index];

    switch ((enum event)(event >> 8)) {
    case EV_STEP:
        if (index < clients ? client->step == IDLE : index != ZOMBIE || !client->step)
            return false;
        if (index < clients)
            note_invocation(state, client);
        if (!step(state, index))
            return false;
        if (index == ZOMBIE && client->step == IDLE)
            memset(client, 0, sizeof(*client));
        return true;
    case EV_BEGIN:
        return index < clients && client->step == IDLE && client->left && state->total &&
               is_free(state, index) && operations[argument >> 4] &&
               begin(state, index, operations[argument >> 4]);
    case EV_EVICT:
        if (!state->evictions || (argument == 2 ? !state->epoch : !state->value[argument]))
            return false;
        state->evictions--;
        say(argument == 2 ? "the server evicts the epoch" : "the server evicts a value");
        if (argument == 2)
            write_epoch(state, 0, false);
        else
            write_value(state, argument, 0, 0);
        return true;
    case EV_AGE:
        if (!may_age(state, argument >> 1, argument & 1))
            return false;
        state->misses[argument >> 1][argument & 1] = (struct miss){ 0 };
        say("sidecar %u: all misses of arm %c are older than the window", argument >> 1,
            'A' + (argument & 1));
        return true;
    case EV_LOSE:
        if (!state->losses || !state->misses[argument >> 1][argument & 1].count)
            return false;
        state->losses--;
        state->misses[argument >> 1][argument & 1] =
            (struct miss){ .lost = fault != LOSS_FORGOTTEN };
        say("sidecar %u: other keys push the misses of arm %c out", argument >> 1,
            'A' + (argument & 1));
        return true;
    case EV_CUT:
        return index < clients && client->step && cut(state, index, (enum cut)(argument >> 4));
    case EV_DROP:
        if (!state->clients[ZOMBIE].step)
            return false;
        memset(&state->clients[ZOMBIE], 0, sizeof(struct client));
        say("what was left on the old connection is never run");
        return true;
    case EV_REPLAY:
        return replay(state, argument);
    }
    return false;
}

static size_t list_events(unsigned *list)
{
    size_t count = 0;
    for (unsigned i = 0; i < clients; i++)
        list[count++] = EV_STEP << 8 | i;
    if (cuts)
        list[count++] = EV_STEP << 8 | ZOMBIE;
    for (unsigned i = 0; i < clients; i++)
        for (unsigned k = 0; operations[k]; k++)
            list[count++] = EV_BEGIN << 8 | k << 4 | i;
    if (evictions)
        for (unsigned i = 0; i < 3; i++)
            if (design == EPOCH || i < 2)
                list[count++] = EV_EVICT << 8 | i;
    if (design != PLAIN)
        for (unsigned i = 0; i < PROCESSES * ARMS; i++) {
            list[count++] = EV_AGE << 8 | i;
            if (losses)
                list[count++] = EV_LOSE << 8 | i;
        }
    if (cuts) {
        for (unsigned i = 0; i < clients; i++)
            for (unsigned how = 0; how < CUTS; how++)
                list[count++] = EV_CUT << 8 | how << 4 | i;
        list[count++] = EV_DROP << 8;
        for (unsigned i = 0; i < PROCESSES; i++)
            list[count++] = EV_REPLAY << 8 | i;
    }
    return count;
}

/* One event in words. */
static void tell(struct state *state, unsigned event)
{
    static const char *const names[] = { "",       "get+set", "get+add", "delete",
                                         "mutate", "cas",     "append",  "set" };
    static unsigned line;
    enum event kind = (enum event)(event >> 8);
    unsigned index = event & 0xf;
    const struct client *client = &state->clients[index];
    unsigned operation = client->operation;

    if (kind == EV_BEGIN)
        operation =
            (unsigned)(strchr(operation_letters, operations[event >> 4 & 15]) - operation_letters);
    printf("  %2u. ", ++line);
    if (kind == EV_STEP && index == ZOMBIE)
        printf("the old connection's %s: ", names[operation]);
    else if (kind == EV_STEP || kind == EV_BEGIN || kind == EV_CUT)
        printf("client %u (arm %c, sidecar %u), %s: ", index, 'A' + (int)arm_of(client),
               process_of(client), names[operation]);
    narrating = true;
    narration[0] = '\0';
    happen(state, event);
    narrating = false;
    printf("%s\n", narration);
}

/* The history up to `last`, and the event that broke a promise, told with the numbers of a world
 * in which nothing is renamed. */
static void print_history(uint32_t last, unsigned final_event)
{
    static uint32_t path[1024];
    unsigned order[CLIENTS + 1] = { 0, 1, 2, 3, 4 };
    struct state settled = states[0], told = states[0];
    size_t count = 0;

    for (uint32_t at = last; at != 0 && count < 1024; at = notes[at].parent)
        path[count++] = at;
    for (size_t i = count + 1; i-- > 0;) {
        unsigned event = i > 0 ? notes[path[i - 1]].event : final_event;
        unsigned kind = event >> 8, index = event & 0xf;
        bool of_client = kind == EV_STEP || kind == EV_BEGIN || kind == EV_CUT;
        happen(&settled, event);
        tell(&told, of_client ? (event & ~0xfu) | order[index] : event);
        settle(&settled, order);
    }
    printf("      => %s\n", violation);
}

static void usage(void)
{
    printf(
        "explore [design=plain|fanout|epoch] [fault=NAME] [where=00,11] [ops=RADMCP] [each=3]\n"
        "        [total=N] [evictions=N] [losses=N] [cuts=N] [ageing=1] [sequential=0]\n"
        "        [unknown-arm=0] [only-cas=0] [limit=STATES] [expect=none|some]\n"
        "where: arm and sidecar of each client. ops: R get+set, A get+add, D delete, M mutation,\n"
        "C gets+cas, P append, W write-through set (not claimed beside reads). faults:");
    for (unsigned i = 1; i < FAULTS; i++)
        printf(" %s", fault_names[i]);
    printf("\n");
    exit(2);
}

static bool argument_is(const char *argument, const char *name, const char **value)
{
    size_t length = strlen(name);
    if (strncmp(argument, name, length) != 0 || argument[length] != '=')
        return false;
    *value = argument + length + 1;
    return true;
}

int main(int argc, char **argv)
{
    const char *value, *expect = NULL;
    struct state state;
    unsigned list[256], order[CLIENTS + 1] = { 0 };

    for (int i = 1; i < argc; i++) {
        if (argument_is(argv[i], "design", &value))
            design = *value == 'p' ? PLAIN : *value == 'f' ? FANOUT : EPOCH;
        else if (argument_is(argv[i], "fault", &value)) {
            for (fault = 0; fault < FAULTS && strcmp(fault_names[fault], value) != 0;)
                fault++;
            if (fault == FAULTS)
                usage();
        } else if (argument_is(argv[i], "where", &value))
            where = value;
        else if (argument_is(argv[i], "ops", &value))
            operations = value;
        else if (argument_is(argv[i], "each", &value))
            each = (unsigned)atoi(value);
        else if (argument_is(argv[i], "total", &value))
            total = (unsigned)atoi(value);
        else if (argument_is(argv[i], "evictions", &value))
            evictions = (unsigned)atoi(value);
        else if (argument_is(argv[i], "losses", &value))
            losses = (unsigned)atoi(value);
        else if (argument_is(argv[i], "cuts", &value))
            cuts = (unsigned)atoi(value);
        else if (argument_is(argv[i], "ageing", &value))
            ageing = *value == '1';
        else if (argument_is(argv[i], "sequential", &value))
            sequential = *value == '1';
        else if (argument_is(argv[i], "unknown-arm", &value))
            unknown_arm = *value == '1';
        else if (argument_is(argv[i], "only-cas", &value))
            only_cas = *value == '1';
        else if (argument_is(argv[i], "limit", &value))
            limit = (size_t)atoll(value);
        else if (argument_is(argv[i], "expect", &value))
            expect = value;
        else
            usage();
    }

    memset(&state, 0, sizeof(state));
    for (const char *at = where; *at && clients < CLIENTS; at += at[2] == ',' ? 3 : 2) {
        if (at[0] < '0' || at[0] > '1' || at[1] < '0' || at[1] > '1')
            usage();
        state.clients[clients].where = (uint8_t)((at[0] - '0') | (at[1] - '0') << 1);
        state.clients[clients++].left = (uint8_t)each;
    }
    if (total > clients * each)
        total = clients * each;
    if (strspn(operations, operation_letters + 1) != strlen(operations) || !*operations ||
        total > 14)
        usage();
    state.database = 1;
    state.total = (uint8_t)total;
    state.evictions = (uint8_t)evictions;
    state.losses = (uint8_t)losses;
    state.cuts = (uint8_t)cuts;
    settle(&state, order);
    visit(&state, 0, 0);

    size_t events = list_events(list);
    clock_t begun = clock();
    bool complete = true;
    for (size_t at = 0; at < states_count && !violation; at++) {
        if (states_count > limit) {
            complete = false;
            break;
        }
        for (size_t i = 0; i < events && !violation; i++) {
            state = states[at];
            if (!happen(&state, list[i]))
                continue;
            transitions++;
            if (violation) {
                print_history((uint32_t)at, list[i]);
                break;
            }
            settle(&state, order);
            visit(&state, (uint32_t)at, list[i]);
        }
    }
    printf("%s%s%s: %s, %zu states, %llu transitions, %.1f s of CPU\n",
           design == PLAIN    ? "plain prefix"
           : design == FANOUT ? "fan-out"
                              : "epoch",
           fault ? " with fault " : "", fault ? fault_names[fault] : "",
           violation  ? "VIOLATION"
           : complete ? "no violation, complete"
                      : "no violation, NOT COMPLETE (limit)",
           states_count, transitions, (double)(clock() - begun) / CLOCKS_PER_SEC);
    if (!expect)
        return violation ? 1 : 0;
    if (strcmp(expect, "some") == 0)
        return violation ? 0 : 1;
    return violation || !complete ? 1 : 0;
}
