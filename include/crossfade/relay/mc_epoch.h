/*
 * Epoch mode: what a command means where each key has an epoch item that all versions share
 * (doc/coherence.md). The same for every dialect.
 *
 *   read      epoch and value in one batch; the value counts if its stamp has the epoch's token
 *   fill      the value, stamped with the token of the miss that it answers
 *   mutation  a new token into the epoch item, and the value stamped with it
 *   delete    a new token into the epoch item if there is one, and the own value away
 *   others    relay/mc_change.h
 */
#ifndef CROSSFADE_RELAY_MC_EPOCH_H
#define CROSSFADE_RELAY_MC_EPOCH_H

#include "crossfade/relay/mc_op.h"
#include "crossfade/relay/mc_server.h"
#include "crossfade/route/keyspace.h"
#include "crossfade/route/token.h"

static inline bool mc_is_epoch(const struct key_place *place)
{
    return place->coherence == COHERENCE_EPOCH;
}

/* -- Reads. The operation has MC_OP_EPOCH; its dialect notes the epoch item's token in op->token
 * when it comes (mc_epoch_seen), before the value. -- */

/* The bytes are the epoch item's value. */
void mc_epoch_seen(struct mc_op *op, struct slice value);
/* An epoch item's value that an errand has fetched; false: it is none. */
bool mc_epoch_fetched(const struct buffer *value, struct epoch *epoch) MUST_CHECK;
/* Is the value that begins with these STAMP_LENGTH bytes (or is shorter) current? `cas`: its
 * number, which is looked at only if op->keep is not 0. Counts one that is not. */
bool mc_epoch_is_current(struct mc_op *op, struct slice head, uint64_t cas);
/*
 * There is no current value. True: the miss is remembered, the dialect finishes the operation.
 * False: an epoch item is made first, and dialect->missed(op) is called when that is answered; the
 * operation stands in no connection's queue meanwhile.
 */
bool mc_epoch_missed(struct mc_connection *connection, struct mc_op *op) MUST_CHECK;
/* The same where nobody could look: its server failed. */
void mc_epoch_unknown(struct mc_op *op);

/* -- Writes -- */

enum mc_epoch_write {
    MC_EPOCH_FILL,   /* the value with *token */
    MC_EPOCH_MUTATE, /* mc_epoch_invalidate with *token, then the value with it */
    MC_EPOCH_REFUSE, /* not kept: a delete of the own value, answered as stored */
    MC_EPOCH_DOUBT,  /* the same, and mc_epoch_invalidate */
    MC_EPOCH_CHANGE  /* writes: fill, and no miss is known: a change with verb MC_SET */
};
/* What a set of the key is; asked once for each, since it takes the miss that it answers. *token:
 * what the value is stamped with, and for a mutation or doubt what goes into the epoch item. */
enum mc_epoch_write mc_epoch_judge_set(struct mc_client *client, const struct key_place *place,
                                       struct slice key, struct token *token);

/* Of an operation whose set is that: what its failure and its answer depend on. True: its value is
 * stored; else what is composed is a delete. */
bool mc_epoch_mark_set(struct mc_op *op, enum mc_epoch_write write, const struct token *token);

/*
 * A set that was MC_EPOCH_FILL, _REFUSE or _DOUBT came to nothing: its client may try again, and
 * that must not be taken for a mutation. `token`: of a fill, else none.
 */
void mc_epoch_put_back(const struct mc_client *client, struct slice key, const struct token *token);

/*
 * The new token goes into the epoch item, as a part of `op`, before what the caller composes next:
 * by `set` for EPOCH_CHANGED, by `replace` for EPOCH_DELETED. And where an arm has the empty
 * namespace, the unprefixed key is deleted. What fails is told to the client (G5). The operation's
 * own part is not over, and its client may be gone. Without memory the connection is closed.
 */
void mc_epoch_invalidate(struct mc_connection *connection, struct mc_op *op, struct slice key,
                         const struct token *token, enum epoch_kind kind);

/* The unprefixed key's part of that alone: the epoch item is changed otherwise. */
void mc_epoch_tell_bystanders(struct mc_server *server, const struct mc_dialect *dialect,
                              unsigned affinity, struct mc_op *op, struct slice key);

/* Of an object of plane->epoch_parts. */
size_t mc_epoch_part_size(void);

/* Seconds since 1970, good enough for stamps. */
uint64_t mc_epoch_clock(void);

#endif
