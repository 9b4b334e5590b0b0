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
#include "explore.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const fault_names[FAULTS] = {
    "none",         "token-at-store", "answer-first",      "no-compare",     "own-arm-only",
    "newest-token", "reused-token",   "absent-is-current", "early-ack",      "blind-change",
    "cas-by-value", "add-now",        "take-all",          "loss-forgotten", "loss-if-empty",
    "no-journal",   "no-gate",        "no-fence",          "journal-value",  "no-put-back",
    "late-empty",   "keep-any",       "keep-late"
};

struct asked asked = { .design = EPOCH };
static const char *where = "00,11", *operations = "RADMCP";
static unsigned each = 3, total = 255, evictions, losses, cuts;
static bool ageing = true, sequential;
static size_t limit = 20000000;

const char *violation;
bool narrating;
static char narration[200];

void say(const char *form, ...)
{
    if (!narrating)
        return;
    va_list arguments;
    va_start(arguments, form);
    vsnprintf(narration, sizeof(narration), form, arguments);
    va_end(arguments);
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
    for (unsigned i = 0; i < asked.clients; i++)
        if (state->clients[i].step == TAKE && state->clients[i].operation != OP_THROUGH &&
            state->clients[i].where == (arm | process << 1))
            return false;
    return true;
}

static bool is_free(const struct state *state, unsigned index)
{
    if (sequential)
        for (unsigned i = 0; i < asked.clients; i++)
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
        if (index < asked.clients ? client->step == IDLE : index != ZOMBIE || !client->step)
            return false;
        if (index < asked.clients)
            note_invocation(state, client);
        if (!step(state, index))
            return false;
        if (index == ZOMBIE && client->step == IDLE)
            memset(client, 0, sizeof(*client));
        return true;
    case EV_BEGIN:
        return index < asked.clients && client->step == IDLE && client->left && state->total &&
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
            (struct miss){ .lost = asked.fault != LOSS_FORGOTTEN };
        say("sidecar %u: other keys push the misses of arm %c out", argument >> 1,
            'A' + (argument & 1));
        return true;
    case EV_CUT:
        return index < asked.clients && client->step &&
               cut(state, index, (enum cut)(argument >> 4));
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
    for (unsigned i = 0; i < asked.clients; i++)
        list[count++] = EV_STEP << 8 | i;
    if (cuts)
        list[count++] = EV_STEP << 8 | ZOMBIE;
    for (unsigned i = 0; i < asked.clients; i++)
        for (unsigned k = 0; operations[k]; k++)
            list[count++] = EV_BEGIN << 8 | k << 4 | i;
    if (evictions)
        for (unsigned i = 0; i < 3; i++)
            if (asked.design == EPOCH || i < 2)
                list[count++] = EV_EVICT << 8 | i;
    if (asked.design != PLAIN)
        for (unsigned i = 0; i < PROCESSES * ARMS; i++) {
            list[count++] = EV_AGE << 8 | i;
            if (losses)
                list[count++] = EV_LOSE << 8 | i;
        }
    if (cuts) {
        for (unsigned i = 0; i < asked.clients; i++)
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
            asked.design = *value == 'p' ? PLAIN : *value == 'f' ? FANOUT : EPOCH;
        else if (argument_is(argv[i], "fault", &value)) {
            for (asked.fault = 0;
                 asked.fault < FAULTS && strcmp(fault_names[asked.fault], value) != 0;)
                asked.fault++;
            if (asked.fault == FAULTS)
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
            asked.unknown_arm = *value == '1';
        else if (argument_is(argv[i], "only-cas", &value))
            asked.only_cas = *value == '1';
        else if (argument_is(argv[i], "limit", &value))
            limit = (size_t)atoll(value);
        else if (argument_is(argv[i], "expect", &value))
            expect = value;
        else
            usage();
    }

    memset(&state, 0, sizeof(state));
    for (const char *at = where; *at && asked.clients < CLIENTS; at += at[2] == ',' ? 3 : 2) {
        if (at[0] < '0' || at[0] > '1' || at[1] < '0' || at[1] > '1')
            usage();
        state.clients[asked.clients].where = (uint8_t)((at[0] - '0') | (at[1] - '0') << 1);
        state.clients[asked.clients++].left = (uint8_t)each;
    }
    if (total > asked.clients * each)
        total = asked.clients * each;
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
           asked.design == PLAIN    ? "plain prefix"
           : asked.design == FANOUT ? "fan-out"
                                    : "epoch",
           asked.fault ? " with fault " : "", asked.fault ? fault_names[asked.fault] : "",
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
