/*
 * The text protocol's own parts, for each other.
 */
#ifndef CROSSFADE_RELAY_MC_TEXT_H
#define CROSSFADE_RELAY_MC_TEXT_H

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
 * gat and gats, which get a batch_id of their own per command.
 */
bool mc_connection_get(struct mc_connection *connection, struct mc_op *op,
                       const struct key_place *place, struct slice key, uint64_t batch_id,
                       struct slice exptime) MUST_CHECK;
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

/* relay/mc_text_errand.c: mc_dialect.compose_errand, and its reply. */
bool mc_text_compose_errand(struct mc_connection *connection, struct mc_op *op,
                            struct mc_errand *errand);
enum mc_pair mc_text_pair_errand(struct mc_connection *connection, struct mc_op *op,
                                 struct mc_pairing *pairing);

#endif
