/*
 * What differs between the protocols that memcache clients and servers speak. The first byte of a
 * client's connection decides; its requests go to the servers over connections of the same dialect,
 * so that nothing is ever translated. Everything else in relay/mc_* is the same for all.
 *
 *   mc_text    classic and meta commands, which share lines and connections
 *   mc_binary  the binary protocol
 */
#ifndef CROSSFADE_RELAY_MC_DIALECT_H
#define CROSSFADE_RELAY_MC_DIALECT_H

#include "crossfade/base/slice.h"
#include "crossfade/relay/mc_flush.h"
#include "crossfade/route/keyspace.h"

#include <stdbool.h>
#include <stddef.h>

struct mc_changed;
struct mc_client;
struct mc_connection;
struct mc_errand;
struct mc_op;

/* What taking one command out of a client's input came to. */
enum mc_step {
    MC_STEP_ON,   /* it is dealt with and consumed; there may be more */
    MC_STEP_MORE, /* it is not all here; client->need may say how much it takes */
    MC_STEP_STOP, /* it has to wait: the client is not read until then */
    MC_STEP_CLOSE /* no memory */
};

/* One look at the replies on a connection. */
struct mc_pairing {
    struct slice bytes; /* from the first one that is not dealt with on; not empty */
    size_t need;        /* with MC_PAIR_MORE: how many there must be; 0: not known */
    char why[160];      /* with MC_PAIR_DOUBT: what the server did, in words */
};

enum mc_pair {
    MC_PAIR_ON,   /* a reply, or a part of one, is dealt with and consumed */
    MC_PAIR_MORE, /* it is not all here */
    MC_PAIR_DOUBT /* it is not what the protocol allows: the connection is to be closed */
};

#define MC_DIALECTS 2u

struct mc_dialect {
    unsigned index;     /* below MC_DIALECTS */
    const char *suffix; /* for messages about a server: "" or what it does in this dialect only */
    size_t value_tail;  /* bytes that follow a value: its line end */
    struct slice probe; /* a request that any healthy server answers, paired as MC_VERSION */

    /* Takes one command out of client->input; not called while the client has to wait. */
    enum mc_step (*step)(struct mc_client *client, struct slice bytes);
    /* Takes one reply, or what is here of it, out of connection->input. */
    enum mc_pair (*pair)(struct mc_connection *connection, struct mc_pairing *pairing);

    /* An operation with MC_OP_LAST leaves the line, its own reply is in the client's output: what
     * ends the whole command's reply. client->get_failed says whether a key of it failed, and is
     * reset. */
    bool (*end_get)(struct mc_client *client);
    /* The reply that tells a client that its operation failed: `text` is a sentence. */
    void (*fail)(struct mc_op *op, struct slice text);
    /* A get, of which nothing has gone out, failed because of a server: what its client gets in its
     * place. MC_OP_FAILED: on_failure wants an error, otherwise it is a miss. NULL: nothing here.
     */
    void (*fail_get)(struct mc_op *op);
    /* A flush is over: finishes the operation, mc_op_part_done, with the reply. */
    void (*flushed)(struct mc_op *op, enum mc_flush_result result);

    /* A delete of the key at that place, without a reply to a client. The connection takes over the
     * operation; false without memory. */
    bool (*compose_delete)(struct mc_connection *connection, struct mc_op *op,
                           const struct key_place *place, struct slice key);

    /* Epoch mode. Composes an errand, whose operation the connection takes over; its reply goes to
     * mc_errand_answered. False without memory. */
    bool (*compose_errand)(struct mc_connection *connection, struct mc_op *op,
                           struct mc_errand *errand);
    /* A read for which an epoch item had to be made is a miss: finishes it. */
    void (*missed)(struct mc_op *op);
    /* A change is over: finishes the operation, mc_op_part_done, with the client's reply. */
    void (*changed)(struct mc_op *op, const struct mc_changed *result);
};

extern const struct mc_dialect mc_text;
extern const struct mc_dialect mc_binary;

#endif
