/*
 * Epoch mode without sockets: a worker whose one server is a table in the test, spoken to in a
 * dialect of the test's own. Each errand is run when the test says so, and may fail, get lost or be
 * overtaken by another process just before it.
 */
#ifndef CROSSFADE_TESTS_EPOCH_RIG_H
#define CROSSFADE_TESTS_EPOCH_RIG_H

#include "crossfade/relay/mc_change.h"
#include "crossfade/relay/mc_epoch.h"
#include "crossfade/relay/mc_journal.h"
#include "crossfade/relay/mc_pools.h"

#include <stddef.h>

#define RIG_ITEMS 16u
#define RIG_VALUE 4096u
#define RIG_RESULTS 16u

struct rig_item {
    bool present;
    char key[KEY_MAX];
    size_t key_len;
    char *value;
    size_t len;
    uint32_t flags;
    int64_t exptime;
    uint64_t cas;
};

enum rig_fault {
    RIG_NONE,
    RIG_REFUSED,    /* SERVER_ERROR */
    RIG_TOO_LARGE,  /* the same, about the value */
    RIG_LOST,       /* the connection ends before the server reads the command */
    RIG_LOST_ANSWER /* it ends behind it */
};

struct epoch_rig {
    char folder[64];
    int listener;
    struct telemetry *telemetry;
    struct worker worker;
    struct mc_journal *journal;
    struct plan *plan;
    struct mc_server *server;
    struct mc_client *client;
    int fd; /* the client's end */
    struct rig_item items[RIG_ITEMS];
    uint64_t last_cas;
    unsigned steps; /* errands that were run */
    enum rig_fault fault;
    unsigned fault_at; /* with that step, counted from 1 */
    void (*race)(struct epoch_rig *rig);
    unsigned race_at; /* right before that step, and before each that is race_every behind it */
    unsigned race_every;
    bool knows_ttl; /* a fetch that wants it is told what is left of an item's time */
    char log[1024]; /* what was run: "add E, fetch V, ..." */
    unsigned composed;
    unsigned missed;
    unsigned changed;
    struct mc_changed results[RIG_RESULTS];
};

/* cache: lines of the cache section, each behind two blanks. */
void epoch_rig_open(struct epoch_rig *rig, const char *arms, const char *cache);
void epoch_rig_close(struct epoch_rig *rig);

/* Runs what is composed, and what comes of it, to the end; how many errands. */
unsigned epoch_rig_run(struct epoch_rig *rig);
/* One; false: there is none. */
bool epoch_rig_step(struct epoch_rig *rig);
/* The tasks of the turns that follow. */
void epoch_rig_turn(struct epoch_rig *rig);
/* Later, on the monotonic clock. */
void epoch_rig_wait(struct epoch_rig *rig, uint64_t microseconds);
void epoch_rig_leave(struct epoch_rig *rig);

/* The connection for the client's commands. */
struct mc_connection *epoch_rig_connection(struct epoch_rig *rig);
void epoch_rig_place(const struct epoch_rig *rig, struct key_place *place);
/* An operation for the key, in its client's line. */
struct mc_op *epoch_rig_op(struct epoch_rig *rig, enum mc_verb verb, uint32_t flags);

/* The key that everything here is about. */
extern const struct slice epoch_rig_key;
/* NULL: not stored. */
struct rig_item *epoch_rig_epoch(struct epoch_rig *rig);
struct rig_item *epoch_rig_value(struct epoch_rig *rig);
struct rig_item *epoch_rig_bystander(struct epoch_rig *rig);
struct token epoch_rig_token(const struct rig_item *item);
/* What the client would see. */
struct slice epoch_rig_bytes(const struct rig_item *item);
bool epoch_rig_is_current(struct epoch_rig *rig);

struct token epoch_rig_put_epoch(struct epoch_rig *rig, enum epoch_kind kind);
/* ...while the value with that cas number is being changed. */
struct token epoch_rig_put_keep(struct epoch_rig *rig, enum epoch_kind kind, uint64_t keep);
void epoch_rig_put_value(struct epoch_rig *rig, const struct token *token, const char *bytes,
                         int64_t exptime);
void epoch_rig_put_bystander(struct epoch_rig *rig);
void epoch_rig_drop(struct rig_item *item);

/* Runs what the journal owes to the server, and ends what connections that failed may have left
 * there; how much was owed. While it owes, reads are refused. */
unsigned epoch_rig_deliver(struct epoch_rig *rig);

uint64_t epoch_rig_stat(const struct epoch_rig *rig, size_t offset);
#define RIG_STAT(rig, field) epoch_rig_stat(rig, offsetof(struct mc_arm_cell, field))
/* Nothing is left of what was begun. */
void epoch_rig_assert_idle(struct epoch_rig *rig);

#endif
