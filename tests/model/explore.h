/*
 * The small world of explore.c: its state, and what may happen in it.
 *
 *   explore_protocol.c   what clients, sidecars and the server do, step by step, and the promises
 *   explore_cuts.c       connections that are cut, what is run late, the journal
 *   explore_names.c      one form for states that differ in names only
 *   explore.c            the search, and the history that it prints
 */
#ifndef CROSSFADE_TESTS_MODEL_EXPLORE_H
#define CROSSFADE_TESTS_MODEL_EXPLORE_H

#include <stdbool.h>
#include <stdint.h>

#define ARMS 2
#define PROCESSES 2
#define CLIENTS 4
#define ZOMBIE CLIENTS /* the commands that a server may still run after their client was told */

enum design { PLAIN, FANOUT, EPOCH };

/* What a client does. */
enum operation { OP_NONE, OP_READ, OP_ADD, OP_DELETE, OP_MUTATE, OP_CAS, OP_APPEND, OP_THROUGH };

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
struct asked {
    enum design design;
    enum fault fault;
    unsigned clients;
    bool unknown_arm; /* fan-out: the first sidecar knows its own arm only */
    bool only_cas;    /* what reads are given is not judged */
};
extern struct asked asked;

/* What was broken by the last step; NULL: nothing. */
extern const char *violation;
/* Words about the step that is taken; nothing while states are only searched. */
extern bool narrating;
void say(const char *form, ...) __attribute__((format(printf, 1, 2)));

extern const char operation_letters[]; /* by enum operation */

static inline unsigned arm_of(const struct client *client)
{
    return client->where & 1;
}

static inline unsigned process_of(const struct client *client)
{
    return client->where >> 1;
}

static inline bool is_zombie(const struct state *state, const struct client *client)
{
    return client == &state->clients[ZOMBIE];
}

/* -- explore_protocol.c. False: it cannot be. -- */

/* The client's next step. */
bool step(struct state *state, unsigned index);
/* An idle client begins an operation, with its first step. */
bool begin(struct state *state, unsigned index, char letter);
/* The client's next step may be the first command of an invalidation: from here on it has begun. */
void note_invocation(struct state *state, struct client *client);

uint8_t fresh_token(const struct state *state);
void write_epoch(struct state *state, uint8_t token, bool deleted);
void write_value(struct state *state, unsigned arm, uint8_t token, uint8_t value);
void record_miss(struct miss *miss, uint8_t token);
void finish(struct client *client);

/* -- explore_cuts.c -- */

enum cut { CUT_GIVE_UP, CUT_RETRY, CUT_RAN, CUTS };

bool cut(struct state *state, unsigned index, enum cut how);
/* One step of a process's replay. */
bool replay(struct state *state, unsigned process);

/* -- explore_names.c -- */

/* `order`: of clients, changed as they change places. */
void settle(struct state *state, unsigned *order);

#endif
