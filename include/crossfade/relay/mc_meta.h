/*
 * The meta protocol, which shares lines and connections with the classic one: mg, ms, md, ma, me,
 * mn.
 *
 * A request goes to its server with the wire key, with a mark of ours as its opaque (O) and without
 * q and k: so each has one reply, which says what request it answers, and never a key that breaks
 * the line (memcached 1.6 shows some binary keys as they are). What the client wants back waits
 * with the operation:
 *
 *   client    mg user:1 v k Oabc q
 *   server    mg py3.0:user:1 v O0000004d           VA 3 O0000004d
 *   client                                          VA 3 kuser:1 Oabc
 *
 * The wire key is kept in its bytes, not in base64: so misses, servers and companions are the same
 * as for a client that names the key in another protocol.
 *
 * A server that does not know `ms` takes the value for commands. So the first meta command on a
 * connection waits until the server has shown on that connection that it speaks meta:
 *
 *   sent        ms crossfade 2 MZ    mn    version
 *   meta        CLIENT_ERROR (there is no mode Z; "mn" was its value)    VERSION
 *   no meta     ERROR    ERROR    VERSION
 *
 * Nothing is stored by it, and "mn" does no harm if it is taken for a command.
 */
#ifndef CROSSFADE_RELAY_MC_META_H
#define CROSSFADE_RELAY_MC_META_H

#include "crossfade/proto/mc_meta.h"
#include "crossfade/relay/mc_client.h"
#include "crossfade/relay/mc_server.h"

/* What an operation keeps of its request, in front of its wire key in op->wire_chunk. */
struct mc_meta_note {
    char mark[MC_META_MARK_LENGTH];
    uint8_t opaque_len;
    uint8_t letters_len;
    bool marked;
    bool base64;
    bool quiet;
    bool overlong;   /* what comes is not passed on, but MC_META_OVERLONG */
    bool with_value; /* v */
    bool with_cas;   /* C */
    bool touches;    /* T */
    bool decrements;
    char bytes[]; /* the wire key, the client's opaque, the letters of its flags */
};

static inline const struct mc_meta_note *mc_meta_note_of(const struct mc_op *op)
{
    return (const struct mc_meta_note *)(const void *)(op->wire -
                                                       offsetof(struct mc_meta_note, bytes));
}

/* relay/mc_meta.c: a meta command was taken from the client's input, which begins with `bytes`. */
enum mc_step mc_meta_step(struct mc_client *client, const struct mc_request *request,
                          struct slice bytes);
/* As mc_dialect.compose_delete, for a key that no line can have in it. */
bool mc_meta_compose_delete(struct mc_connection *connection, struct mc_op *op,
                            const struct key_place *place, struct slice key) MUST_CHECK;

/* relay/mc_meta_replies.c */
enum mc_pair mc_meta_pair(struct mc_connection *connection, struct mc_op *op,
                          struct mc_pairing *pairing);
/* As mc_dialect.fail_get, for an mg. */
void mc_meta_fail_get(struct mc_op *op);

/* relay/mc_meta_probe.c: MC_META_ASKED: the client waits for the answer. */
enum mc_meta_state mc_meta_ask(struct mc_client *client, struct mc_connection *connection);
enum mc_pair mc_meta_pair_probe(struct mc_connection *connection, struct mc_pairing *pairing);

#endif
