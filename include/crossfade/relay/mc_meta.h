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
#include "crossfade/proto/mc_meta_reply.h"
#include "crossfade/relay/mc_change.h"
#include "crossfade/relay/mc_client.h"
#include "crossfade/relay/mc_server.h"

/* What an operation keeps of its request, in front of its wire key in op->wire_chunk. */
struct __attribute__((packed)) mc_meta_note {
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
    /* Epoch mode: */
    bool stamped;      /* what is stored has a stamp in front */
    bool bare;         /* mg: its client has not asked for the value */
    bool hides_cas;    /* nor for the cas number, which we have */
    bool vivifies;     /* mg: N */
    bool clearing;     /* mg with N: the reply to an md of ours comes first */
    bool told;         /* mg: its answer is written, and the value is swallowed */
    uint8_t rounds;    /* mg with N: so often it was asked again */
    uint16_t line_len; /* mg with N: of its line, to be sent again */
    uint64_t cas;      /* mg with N: of the value in its way */
    char bytes[];      /* the wire key, the client's opaque, the letters of its flags, the line */
};

static inline const struct mc_meta_note *mc_meta_note_of(const struct mc_op *op)
{
    return (const struct mc_meta_note *)(const void *)(op->wire -
                                                       offsetof(struct mc_meta_note, bytes));
}

static inline struct mc_meta_note *mc_meta_own_note(const struct mc_op *op)
{
    return (struct mc_meta_note *)(uintptr_t)mc_meta_note_of(op);
}

/* One command on its way. */
struct mc_meta_command {
    const struct mc_request *request;
    struct mc_meta meta;
    struct slice key;   /* the client's, its bytes */
    struct slice value; /* of ms, with its line end, if all of it is here; else empty */
    struct key_place place;
    bool base64;    /* the server's key goes out in base64 */
    bool too_large; /* the ms is refused, and what goes out is the md of the old value */
    char decoded[MC_KEY_MAX];
};

/* relay/mc_meta.c: a meta command was taken from the client's input, which begins with `bytes`. */
enum mc_step mc_meta_step(struct mc_client *client, const struct mc_request *request,
                          struct slice bytes);
/* Errors are not quiet. */
enum mc_step mc_meta_refuse(struct mc_client *client, struct slice answer);
/* What the command does: MC_SET .. MC_INCR, MC_DELETE. */
enum mc_verb mc_meta_classic_verb(const struct mc_meta_command *command);

/*
 * Composing (relay/mc_meta_compose.c).
 *
 * Gives the operation its wire key and what it needs to answer. `meta`: of the client's command, or
 * of one of ours. False without memory.
 */
bool mc_meta_take_note(struct mc_op *op, const struct key_place *place, struct slice key,
                       const struct mc_meta *meta) MUST_CHECK;
/* A new operation for the command, in its place in line: of mg, ms .., or with `verb`
 * MC_META_DELETE the md of a set that is not kept. NULL without memory. */
struct mc_op *mc_meta_expect(struct mc_client *client, const struct mc_meta_command *command,
                             enum mc_verb verb);
/* The line, and bytes behind it, go into the connection's output, which takes the operation over.
 * False without memory, the operation is still the caller's. */
bool mc_meta_compose(struct mc_connection *connection, struct mc_op *op,
                     struct slice line) MUST_CHECK;
/* The line of an md that is ours, to line[MC_META_LINE_MAX]; returns its length. */
size_t mc_meta_write_delete(const struct mc_op *op, bool base64, char *line);
/* As mc_dialect.compose_delete, for a key that no line can have in it. */
bool mc_meta_compose_delete(struct mc_connection *connection, struct mc_op *op,
                            const struct key_place *place, struct slice key) MUST_CHECK;

/* relay/mc_meta_replies.c */
enum mc_pair mc_meta_pair(struct mc_connection *connection, struct mc_op *op,
                          struct mc_pairing *pairing);
/* As mc_dialect.fail_get, for an mg. */
void mc_meta_fail_get(struct mc_op *op);
/* What the client gets to see of its own request. */
struct mc_meta_echo mc_meta_echo_of(const struct mc_op *op);
/* Passes on the reply's head, rewritten by `echo`, and `rest`, what is here of the value. */
void mc_meta_pass(struct mc_connection *connection, struct mc_op *op,
                  const struct mc_meta_reply *reply, const struct mc_meta_echo *echo,
                  struct slice rest);
void mc_meta_count_get(const struct mc_op *op, bool hit);

/* relay/mc_meta_epoch.c: a command of epoch mode. `connection`: it has shown that it speaks meta;
 * NULL: the server takes no request. `upload`: the value streams to it. */
enum mc_step mc_meta_forward_epoch(struct mc_client *client, struct mc_meta_command *command,
                                   struct mc_server *server, struct mc_connection *connection,
                                   bool upload);
/* Is the value to be here as a whole, however large it is? */
bool mc_meta_gathers(const struct mc_meta_command *command);

/*
 * relay/mc_meta_epoch_get.c: an mg of epoch mode is two commands and one operation, with
 * MC_OP_EPOCH until it is answered:
 *
 *   client    mg user:1 k N30
 *   server    mg cf~:e:user:1 v O0000004d             VA 32 O0000004d ...      the token
 *             mg cf~py3.0:user:1 N30 c v O0000004e    VA 25 c9 O0000004e ...   its stamp: the same
 *   client                                            HD kuser:1
 *
 * A value that is not current is a miss. One in the way of N is deleted, by its cas number, and
 * both are asked again, so that one client wins. What N has made has no stamp and no value: it is
 * shown to who asks with N, and is a miss for others.
 */
bool mc_meta_compose_epoch_get(struct mc_connection *connection, struct mc_op *op,
                               struct slice line) MUST_CHECK;
/* Their replies: what comes before the value's (without MC_OP_PAST), and that. */
enum mc_pair mc_meta_pair_epoch(struct mc_connection *connection, struct mc_op *op,
                                struct mc_pairing *pairing);
enum mc_pair mc_meta_pair_stamped(struct mc_connection *connection, struct mc_op *op,
                                  const struct mc_meta_reply *reply, struct mc_pairing *pairing);
/* A value that streamed and was not passed on is over. */
void mc_meta_skipped(struct mc_connection *connection, struct mc_op *op);
/* As mc_dialect.missed, for an mg. */
void mc_meta_missed(struct mc_op *op);

/* relay/mc_meta_changed.c: as mc_dialect.changed, for a meta command. */
void mc_meta_changed(struct mc_op *op, const struct mc_changed *result);

/* relay/mc_meta_probe.c: MC_META_ASKED: the client waits for the answer. */
enum mc_meta_state mc_meta_ask(struct mc_client *client, struct mc_connection *connection);
/* The same where no client waits. */
enum mc_meta_state mc_meta_find_out(struct mc_connection *connection);
enum mc_pair mc_meta_pair_probe(struct mc_connection *connection, struct mc_pairing *pairing);

#endif
