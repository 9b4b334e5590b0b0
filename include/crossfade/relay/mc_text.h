/*
 * The text protocol's own parts, for each other.
 */
#ifndef CROSSFADE_RELAY_MC_TEXT_H
#define CROSSFADE_RELAY_MC_TEXT_H

#include "crossfade/proto/mc_reply.h"
#include "crossfade/relay/mc_client.h"
#include "crossfade/relay/mc_errand.h"
#include "crossfade/relay/mc_server.h"

/* relay/mc_text_forward.c */
enum mc_forward_verdict {
    MC_FORWARD_OK,   /* request->line_len (and value) are done with, or the value streams */
    MC_FORWARD_MORE, /* more of the value has to be here: client->need */
    MC_FORWARD_WAIT, /* an upload must wait until nothing else is under way */
    MC_FORWARD_NO_MEMORY
};
/* All commands of one key and one reply line. `value`: of a storage command whose value is here
 * (with its line end), else empty. */
enum mc_forward_verdict mc_forward(struct mc_client *client, const struct mc_request *request,
                                   struct slice value) MUST_CHECK;

#define MC_TEXT_GUARDED "CLIENT_ERROR " MC_GUARDED "\r\n"
/* What a client hears of a key that is not KEY_OK. */
struct slice mc_text_key_refusal(enum key_verdict verdict);
/* Tells it so. */
enum mc_forward_verdict mc_refuse_key(struct mc_client *client, const struct mc_request *request,
                                      enum key_verdict verdict) MUST_CHECK;

/* relay/mc_text_get.c: MC_FORWARD_WAIT after a part of the keys, with the line not done with. */
enum mc_forward_verdict mc_forward_get(struct mc_client *client,
                                       const struct mc_request *request) MUST_CHECK;

/*
 * Composing (relay/mc_text_compose.c). The connection takes over the operation; false without
 * memory (the operation is then still the caller's, and the connection as before).
 *
 * Keys with the same batch_id that come one after the other share one get command; `exptime` is for
 * gat and gats, which get a batch_id of their own per command. `epoch`: in epoch mode the place of
 * the epoch item, whose key goes in front of the value's, by gets: the value's cas number may say
 * that it is current (route/token.h); NULL: in another.
 */
bool mc_connection_get(struct mc_connection *connection, struct mc_op *op,
                       const struct key_place *place, const struct key_place *epoch,
                       struct slice key, uint64_t batch_id, struct slice exptime) MUST_CHECK;
/* A key of gat or gats in epoch mode, where the epoch item is not touched: two commands, "get" of
 * that and "gats <exptime>" of the value. */
bool mc_connection_gat(struct mc_connection *connection, struct mc_op *op,
                       const struct key_place *place, const struct key_place *epoch,
                       struct slice key, struct slice exptime) MUST_CHECK;
/* The epoch item's key of a read that was composed by one of these. */
struct slice mc_text_epoch_wire(const struct mc_op *op);
/* Gives an operation that goes to no server its key all the same. False without memory. */
bool mc_text_keep_wire(struct mc_op *op, const struct key_place *place,
                       struct slice key) MUST_CHECK;
/* "<verb> <key><tail>"; the tail has the line end. */
bool mc_connection_line(struct mc_connection *connection, struct mc_op *op,
                        const struct key_place *place, struct slice key,
                        struct slice tail) MUST_CHECK;
/* The get that is being composed takes no more keys; its line ends. False: without memory for that
 * the connection has failed, and with it all that was composed. */
bool mc_connection_close_batch(struct mc_connection *connection);
#define MC_BATCH_GET 1u
#define MC_BATCH_GETS 2u
#define MC_BATCH_FIRST_FREE 3u

/* relay/mc_text_replies.c */
enum mc_pair mc_text_pair(struct mc_connection *connection, struct mc_pairing *pairing);

/* mc_dialect.missed, of a classic get. */
void mc_text_missed(struct mc_op *op);

/*
 * relay/mc_text_epoch.c: a command of one key in epoch mode, good and counted. `value`: of a
 * storage command, with its line end, or empty if it streams. `too_large`: its value is, and is
 * swallowed.
 */
enum mc_forward_verdict mc_text_forward_epoch(struct mc_client *client,
                                              const struct mc_request *request,
                                              const struct key_place *place, struct slice value,
                                              bool too_large) MUST_CHECK;
/* mc_dialect.changed, of a classic command. */
void mc_text_changed(struct mc_op *op, const struct mc_changed *result);

/*
 * relay/mc_text_epoch_get.c. Is what comes as the first operation, a read of epoch mode, hopes for:
 * the line of its value, and the epoch item in front of that? If that is there it is noted and
 * consumed, also of pairing->bytes, whatever follows.
 */
bool mc_text_epoch_hit(struct mc_connection *connection, struct mc_op *op,
                       struct mc_pairing *pairing, struct mc_reply *reply) MUST_CHECK;
/* The epoch item's VALUE, or the stamped one, of the first operation. */
enum mc_pair mc_text_take_epoch(struct mc_connection *connection, struct mc_op *op,
                                const struct mc_reply *reply, struct mc_pairing *pairing);
enum mc_pair mc_text_take_stamped(struct mc_connection *connection, struct mc_op *op,
                                  const struct mc_reply *reply, struct mc_pairing *pairing);
/* A gat asks for the epoch item by a command of its own, whose reply is not over. */
static inline bool mc_text_epoch_comes_alone(const struct mc_op *op)
{
    return op->verb >= MC_GAT && op->verb <= MC_GATS &&
           (op->flags & (MC_OP_EPOCH | MC_OP_PAST)) == MC_OP_EPOCH;
}

/* relay/mc_text_errand.c: mc_dialect.compose_errand, and its reply. */
bool mc_text_compose_errand(struct mc_connection *connection, struct mc_op *op,
                            struct mc_errand *errand);
enum mc_pair mc_text_pair_errand(struct mc_connection *connection, struct mc_op *op,
                                 struct mc_pairing *pairing);

#endif
