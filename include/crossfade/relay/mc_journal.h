/*
 * What a memcached server has not been told: the journal of undelivered invalidations
 * (doc/coherence.md).
 *
 *   invalidation --answered--> nothing to do
 *        |
 *        `--refused, cut off, timed out, never sent--> mc_journal_undelivered --> entry on disk
 *                                                            |                        |
 *   SERVER_ERROR to the client <-----------------------------'                 gate closed: reads
 * of isolated keys there gate open <-- none left <-- entry done <-- DELETED, NOT_FOUND <-- replay
 * are as if it was down
 *
 * One file (relay/mc_journal_file.h), mapped: an entry survives the death of the process from the
 * moment it is made, without a system call. All workers share what is owed to a server, so that a
 * gate that closes is closed for all of them before the client is told.
 *
 * The replay of any invalidation is the delete of one item, named by its key on the wire.
 */
#ifndef CROSSFADE_RELAY_MC_JOURNAL_H
#define CROSSFADE_RELAY_MC_JOURNAL_H

#include "crossfade/conf/config.h"
#include "crossfade/relay/mc_journal_file.h"
#include "crossfade/relay/mc_op.h"
#include "crossfade/relay/mc_server.h"

struct mc_view;

/* -- For the dialects and for epoch mode. None of these fails, waits, or calls the system. -- */

/* The item with this key on the wire (an epoch item, a value, an unprefixed one) may hold on that
 * server what it must not hold. `dialect`: which the command was of. */
void mc_journal_undelivered(struct mc_server *server, const struct mc_dialect *dialect,
                            struct slice wire);

/*
 * The operation failed: it was cut off, or as a part of another one refused. (What the server says
 * of a client's own command is an answer, and its client gets it.) With MC_OP_INVALIDATES its item
 * may be stale, with MC_OP_TELL the other arms are not told. mc_op_part_failed calls it.
 */
void mc_journal_op(const struct mc_op *op);

/*
 * A command of that client which no connection has taken: its server is down, drained or crowded.
 * `verb`: what it does, as for mc_is_mutation, which is asked here. If it invalidates, then all
 * that it would have reached is undelivered. Before mc_op_fail_here.
 */
void mc_journal_unsent(struct mc_client *client, struct mc_server *server,
                       const struct key_place *place, enum mc_verb verb, struct slice key);

/* An invalidation of that key in epoch mode: its epoch item and its unprefixed entry. For who has
 * judged the command already; NULL for a client that is gone. */
void mc_journal_epoch(struct mc_server *server, const struct mc_dialect *dialect,
                      const struct mc_client *client, struct slice key);

/*
 * The server answers the operation's own part with an error of the server. Of a delete that means
 * that the old value is still there; of a write its client gets to hear what stands there now. Not
 * for what is the client's fault: it must not be able to close the gate for others.
 */
void mc_journal_refused(const struct mc_op *op);

/* The operation was to tell the others (MC_OP_TELL) in fan-out or epoch mode, and cannot. */
void mc_journal_untold(struct mc_server *server, const struct mc_dialect *dialect,
                       const struct mc_op *op);

/* The copies of all other arms of fan-out mode. `cell`: of the arm that asked; `view`: its
 * client's, or NULL. */
void mc_journal_others(struct mc_server *server, const struct mc_dialect *dialect,
                       const struct mc_arm_cell *cell, const struct mc_view *view,
                       struct slice key);

/* -- What is owed to a server: shared by all threads -- */

/* In `gate`: entries that wait, fences (relay/mc_fence.h), and whether what keys of fan-out mode
 * may hold is not known. */
#define MC_GATE_ENTRY UINT64_C(1)
#define MC_GATE_FENCE (UINT64_C(1) << 32)
#define MC_GATE_LOST (UINT64_C(1) << 63)

struct mc_owed {
    _Atomic uint64_t gate; /* on the path of every read */
    _Atomic uint64_t
        floor;             /* seconds since 1970: what it was not told before is lost; 0: nothing */
    char padding[48];      /* what follows is written more often */
    _Atomic uint32_t head; /* the entries that wait: a stack of slots */
    _Atomic bool claimed;  /* somebody has taken them */
    _Atomic uint64_t oldest; /* seconds since 1970, of an entry that waits; 0: none, or not known */
    _Atomic uint64_t told;   /* when a line about a floor was last written */
    _Atomic uint64_t closed_at; /* seconds since 1970: when the gate was last closed, */
    _Atomic bool announced;     /* and the log tells that */
    _Atomic uint64_t entries;   /* made */
    _Atomic uint64_t replayed;
    _Atomic uint64_t failures; /* of replays */
    _Atomic uint64_t dropped;  /* by the bounds */
    _Atomic uint64_t overflows;
    unsigned index;
    char *name;
};

/* Reads of keys of that coherence there are as if the server was down. */
static inline bool mc_owed_closed(const struct mc_owed *owed, const struct key_place *place)
{
    uint64_t gate = atomic_load_explicit(&owed->gate, memory_order_acquire);

    if (gate == 0)
        return false;
    return place->scope == SCOPE_ISOLATED && place->coherence != COHERENCE_NONE &&
           (place->coherence != COHERENCE_EPOCH || gate != MC_GATE_LOST);
}

/* For a read of that key, instead of mc_server_connection: NULL, too, while the gate is closed. */
static inline struct mc_connection *mc_journal_reader(struct mc_server *server,
                                                      const struct mc_dialect *dialect,
                                                      unsigned affinity,
                                                      const struct key_place *place)
{
    return mc_owed_closed(server->owed, place) ? NULL
                                               : mc_server_connection(server, dialect, affinity);
}

/* incr, decr, append, prepend, touch, cas: what they do, and say, comes from what is stored. */
static inline bool mc_reads_by_writing(enum mc_verb verb)
{
    return verb == MC_INCR || verb == MC_DECR || verb == MC_APPEND || verb == MC_PREPEND ||
           verb == MC_TOUCH || verb == MC_CAS;
}

/* For a write: its connection, or NULL, also while the gate is closed to what it reads. `upload`:
 * by mc_server_upload. `verb`: what it does. */
struct mc_connection *mc_journal_writer(struct mc_server *server, struct mc_client *client,
                                        const struct key_place *place, enum mc_verb verb,
                                        bool upload);

/* An epoch item that was written then (seconds since 1970) may be older than an invalidation that
 * is lost: it counts as absent, and is overwritten with `set`. */
bool mc_owed_forgot(const struct mc_owed *owed, uint64_t written);
/* What clocks of hosts may differ by. */
#define MC_JOURNAL_MARGIN 60u /* seconds */
static inline bool mc_journal_forgot(const struct mc_server *server, uint64_t written)
{
    return atomic_load_explicit(&server->owed->floor, memory_order_relaxed) != 0 &&
           mc_owed_forgot(server->owed, written);
}

/* -- The journal as a whole -- */

struct mc_journal;

/*
 * Reads what the last process has left in the folder, and makes the file anew: `size` bytes,
 * reserved; entries count `age` microseconds long. Without a folder, or where the disk refuses it,
 * in memory only; that is said in the log. NULL without memory.
 */
struct mc_journal *mc_journal_open(const char *state_dir, uint64_t size, uint64_t age);
/* No worker runs any more. May be NULL. */
void mc_journal_close(struct mc_journal *journal);
void mc_journal_set_age(struct mc_journal *journal, uint64_t age);
/* Sets the gauges and counters of it, which one worker does. */
void mc_journal_show(const struct mc_owed *owed, struct mc_server_cell *cell);
/* Now and then, one thread: drops what is too old, takes over what a process that ended has left.
 */
void mc_journal_tick(struct mc_journal *journal);
/* What is owed to the server of that name. Any thread, seldom. NULL: too many names, or no memory.
 */
struct mc_owed *mc_journal_owed(struct mc_journal *journal, const char *name);
/* The operator says that what the server holds may be believed. False: nothing was lost. */
bool mc_journal_forget_lost(struct mc_journal *journal, const char *name);
/* The server was started then (seconds since 1970), with empty memory: it may be believed if nothing
 * was lost since. False: nothing changes. */
bool mc_journal_renewed(struct mc_journal *journal, struct mc_owed *owed, uint64_t started);

/* False: there was no room, and the server has a floor now. */
bool mc_journal_add(struct mc_journal *journal, struct mc_owed *owed, unsigned dialect,
                    struct slice wire);

/* -- For the replay (relay/mc_replay.h) -- */

#define MC_JOURNAL_NONE UINT32_MAX

/* Whoever has claimed it takes entries, and finishes or puts back each. */
bool mc_journal_claim(struct mc_owed *owed) MUST_CHECK;
void mc_journal_unclaim(struct mc_owed *owed);
/* All that wait, the oldest first: the first slot, to go on with mc_journal_next; or
 * MC_JOURNAL_NONE. */
uint32_t mc_journal_take(struct mc_journal *journal, struct mc_owed *owed);
uint32_t mc_journal_next(const struct mc_journal *journal, uint32_t slot);
void mc_journal_read(const struct mc_journal *journal, uint32_t slot, struct journal_entry *entry);
void mc_journal_done(struct mc_journal *journal, struct mc_owed *owed, uint32_t slot);
void mc_journal_put_back(struct mc_journal *journal, struct mc_owed *owed, uint32_t slot);

/* A connection that was given up may still have the server do something; and no more. */
void mc_owed_fence(struct mc_owed *owed);
void mc_owed_unfence(struct mc_owed *owed);
static inline bool mc_owed_fenced(const struct mc_owed *owed)
{
    return (atomic_load(&owed->gate) & ~MC_GATE_LOST) >= MC_GATE_FENCE;
}
/* Invalidations for it are lost, and what it holds from before is not believed. */
static inline bool mc_owed_lost(const struct mc_owed *owed)
{
    return (atomic_load_explicit(&owed->gate, memory_order_relaxed) & MC_GATE_LOST) != 0;
}
static inline uint32_t mc_owed_pending(const struct mc_owed *owed)
{
    return (uint32_t)atomic_load(&owed->gate);
}

#endif
