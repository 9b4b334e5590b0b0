/*
 * Pairing the replies of a server with the operations that wait for them: what is the same in every
 * dialect. A server answers in the order of the requests; the dialect's `pair` finds the operation
 * and says what of the reply the client gets.
 *
 * A reply that fits no operation is doubt: the connection is closed and nothing on it is believed.
 */
#ifndef CROSSFADE_RELAY_MC_PAIRING_H
#define CROSSFADE_RELAY_MC_PAIRING_H

#include "crossfade/relay/mc_client.h"
#include "crossfade/relay/mc_server.h"

/* Items up to this length, with their head, are waited for in the input; longer ones are taken as
 * they come. */
#define MC_ITEM_WHOLE 3072u

/* MC_PAIR_DOUBT, and the reason: a sentence and the bytes it is about. */
enum mc_pair mc_pair_doubt(struct mc_pairing *pairing, const char *sentence, struct slice about);

/* The operation that the next reply must belong to; NULL: no bytes may come now. */
struct mc_op *mc_pair_first(const struct mc_connection *connection);
/* Takes it off the connection's queue: its reply is complete. */
struct mc_op *mc_pair_take(struct mc_connection *connection);
/* The same after its value went to the sink. */
void mc_pair_value_done(struct mc_connection *connection);

/*
 * `len` bytes went to the operation's sink; `ok` is false when they did not for want of memory. Is
 * that more than the client takes? Then the connection is not read further.
 */
void mc_pair_passed(struct mc_connection *connection, struct mc_op *op, const struct buffer *sink,
                    size_t len, bool ok);

/*
 * The head of a value is passed on and consumed, its `len` bytes (with the line end, if the dialect
 * has one) are still to come, and are passed on as they do. `whole`: the length with its head; a
 * moderate value goes to the client when all of it is here.
 */
void mc_pair_body(struct mc_connection *connection, struct mc_op *op, uint64_t len, uint64_t whole);

/*
 * Epoch mode. What streams next for the first operation, `len` bytes with the line end, is not
 * passed on: an epoch item that is none (without MC_OP_PAST, which it then has), or a value that is
 * not current, which ends in mc_pair_missed.
 */
void mc_pair_skip(struct mc_connection *connection, struct mc_op *op, uint64_t len);
/* The first operation, all of whose reply is consumed, has no current value. */
void mc_pair_missed(struct mc_connection *connection);

/*
 * An errand's operation, with op->errand: the head of the item that it fetches is consumed, and its
 * flags, cas and what is left of its time (exptime) are noted in the errand. The value's `len`
 * bytes are collected as they come, then it is answered. A value that is larger than any of ours,
 * or for which there is no memory, is swallowed, and the errand refused.
 */
void mc_pair_fetch(struct mc_connection *connection, struct mc_op *op, uint64_t len);

/* An upload's server cannot have stored what it has not been sent: only errors may come early. */
bool mc_pair_is_early(const struct mc_connection *connection);

#endif
