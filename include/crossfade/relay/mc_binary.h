/*
 * The binary protocol's own parts, for each other.
 *
 *   client      GETKQ "user 1", opaque 7f..          an answer to everything that could go wrong
 *   server      GETK "py3.1:user 1", opaque 42       number 42 on this connection
 *   server      GETK hit, opaque 42                  fits, or the connection is closed
 *   client      GETKQ hit "user 1", opaque 7f..      in the client's own words
 *
 * Servers are asked in the replying form whatever the client asked in: so each operation has its
 * answer, and what quiet forms leave out is left out here. Quiet operations stand in the client's
 * line with all others, which makes a NOOP the barrier that it has to be.
 */
#ifndef CROSSFADE_RELAY_MC_BINARY_H
#define CROSSFADE_RELAY_MC_BINARY_H

#include "crossfade/proto/mc_binary.h"
#include "crossfade/relay/mc_client.h"
#include "crossfade/relay/mc_server.h"

/* The header and the flags of a value. */
#define MC_BINARY_VALUE_HEAD (MC_BINARY_HEADER + 4u)

/* relay/mc_binary.c. A reply without a server's help, in its place in the line; nothing for a quiet
 * request that is DONE. */
bool mc_binary_answer(struct mc_client *client, const struct mc_binary_request *request,
                      uint16_t status, struct slice text) MUST_CHECK;
/* The same as the reply of an operation. */
void mc_binary_set_reply(struct mc_op *op, uint16_t status, struct slice text);
/* An operation that found nothing: its reply, if its client gets one. */
void mc_binary_set_miss(struct mc_op *op);

/* relay/mc_binary_forward.c. A keyed request, of which the head is here at least; consumes what it
 * is done with. */
enum mc_step mc_binary_forward(struct mc_client *client, const struct mc_binary_request *request,
                               struct slice bytes) MUST_CHECK;
/* An operation for a request. NULL without memory. */
struct mc_op *mc_binary_op(struct mc_client *client, const struct mc_binary_request *request);
/* No server has the operation. */
void mc_binary_fail_here(struct mc_op *op, const struct mc_server *server, struct slice key);
/* The request as the server gets it; `value_len` bytes are to follow. `epoch`: of a read of epoch
 * mode, whose epoch item is asked for first; or NULL. The connection takes over the operation;
 * false without memory. */
bool mc_binary_compose(struct mc_connection *connection, struct mc_op *op,
                       const struct key_place *place, const struct mc_binary_request *request,
                       uint32_t value_len, const struct key_place *epoch) MUST_CHECK;

/* relay/mc_binary_epoch.c. A keyed request of epoch mode that is no read; `value`: all of it, or
 * nothing of one that streams. */
enum mc_step mc_binary_forward_epoch(struct mc_client *client,
                                     const struct mc_binary_request *request,
                                     const struct key_place *place, struct mc_server *server,
                                     struct slice value) MUST_CHECK;
/* A set that is not kept is answered as if it were. */
void mc_binary_set_kept(struct mc_op *op);
void mc_binary_changed(struct mc_op *op, const struct mc_changed *result);

/* relay/mc_binary_errand.c. Commands of our own (relay/mc_errand.h). */
bool mc_binary_compose_errand(struct mc_connection *connection, struct mc_op *op,
                              struct mc_errand *errand) MUST_CHECK;
/* The reply of the first operation, which is one; it fits the request. */
enum mc_pair mc_binary_pair_errand(struct mc_connection *connection, struct mc_op *op,
                                   const struct mc_binary_reply *reply, struct mc_pairing *pairing);

/* relay/mc_binary_replies.c */
void mc_binary_missed(struct mc_op *op);
enum mc_pair mc_binary_pair(struct mc_connection *connection, struct mc_pairing *pairing);

#endif
