/*
 * One operation of the cache plane: one key of one command, on its way to a server and back.
 *
 * An operation stands in up to two queues: its connection's (replies come in that order) and its
 * client's (replies leave in that order). A `get` of many keys is many operations, of which the
 * last carries MC_OP_LAST. A companion stands in no client's queue; a noreply command is in a list
 * of its own, since the client waits for none of its replies but must not get too far ahead of the
 * server.
 *
 *   client 7:   op(get a) - op(get b, LAST) - op(set c)            replies leave in this order
 *                 |            |                |
 *   server 1:   op(get a) ---- | ---- op(x) --- | ...              replies come in this order
 *   server 2:               op(get b) ------ op(set c) - op(delete c, companion of set c)
 *
 * The first operation of a client's queue passes its reply on as it comes; the others park theirs.
 * A value of moderate size is parked until all of it is here, so that a server that dies in the
 * middle of it costs a miss and not the client's connection.
 *
 * An operation with companions (deletes in the namespaces of other arms) is finished when all parts
 * are: `pending` counts them. It is owned by whoever holds the last part: the connection's queue,
 * then the client's queue.
 */
#ifndef CROSSFADE_RELAY_MC_OP_H
#define CROSSFADE_RELAY_MC_OP_H

#include "crossfade/base/buffer.h"
#include "crossfade/proto/mc_request.h"
#include "crossfade/relay/telemetry.h"
#include "crossfade/route/keyspace.h"
#include "crossfade/route/token.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct mc_client;
struct mc_errand;
struct mc_plane;
struct mc_server;

enum mc_op_flag {
    MC_OP_LAST = 1,              /* of a get: END goes out behind it */
    MC_OP_BATCH_END = 2,         /* the server sends END behind it */
    MC_OP_DONE = 4,              /* nothing more will come */
    MC_OP_FAILED = 8,            /* because of a server */
    MC_OP_TRACK = 16,            /* a miss of it is to be remembered */
    MC_OP_STARTED = 32,          /* bytes of its reply have gone to the client's output */
    MC_OP_TOO_LARGE = 64,        /* the delete that goes with a set that is too large */
    MC_OP_LOCAL = 128,           /* answered here: its reply is complete, no END or counters */
    MC_OP_PROBE = 256,           /* our own `version` */
    MC_OP_SILENT = 1024,         /* noreply: the client has asked for none */
    MC_OP_WHOLE = 512,           /* its value goes out when all of it is here */
    MC_OP_COUNTED = 4096,        /* among the commands that wait for its server */
    MC_OP_TELL = 8192,           /* when it is answered, the other namespaces are told */
    MC_OP_QUIET = 2048,          /* binary: its client hears only what it could not expect */
    MC_OP_EPOCH = 16384,         /* a read of epoch mode: the epoch item comes before the value */
    MC_OP_SEEN = 32768,          /* the epoch item was there, its token is in `token` */
    MC_OP_NO_EPOCH = 65536,      /* what was there in its place is none */
    MC_OP_PAST = 131072,         /* the epoch item's reply is over; the value's is the next */
    MC_OP_SKIP = 262144,         /* what streams now is not passed on: it does not count */
    MC_OP_FILL = 524288,         /* a set that has taken a miss: it goes back if the set fails */
    MC_OP_DROP = 1048576,        /* the delete of a set that is not kept: answered as stored */
    MC_OP_INVALIDATES = 2097152, /* its item may be stale unless it is done (relay/mc_journal.h) */
};

struct mc_op {
    STAILQ_ENTRY(mc_op) in_connection;
    TAILQ_ENTRY(mc_op) in_client;
    struct mc_plane *plane;
    struct mc_client *client; /* who asked; NULL: a client that is gone, or nobody */
    struct mc_server *server; /* whose connection has it, or had; NULL: none has */
    struct mc_op *primary;    /* of a companion */
    struct mc_arm_cell *cell; /* counters of the arm that asked; NULL for a probe */
    const char *wire;         /* the key as the server has it, inside wire_chunk */
    struct chunk *wire_chunk; /* NULL: no key */
    struct chunk *original;   /* the client's own key, where the wire key is a digest */
    struct buffer reply;      /* parked */
    uint64_t started;         /* microseconds, monotonic */
    enum mc_verb verb;
    uint32_t flags;
    uint16_t pending; /* parts without an answer: its own and its companions' */
    uint8_t wire_len;
    uint8_t prefix_len;
    uint8_t opcode;     /* binary: the client's own, for its reply */
    uint8_t loud;       /* binary: the server's */
    uint32_t opaque;    /* binary: the client's own */
    uint8_t dialect;    /* of that connection */
    uint8_t epoch_len;  /* epoch mode: of the epoch item's wire key; its dialect knows where */
    struct token token; /* epoch mode: see MC_OP_SEEN; of a fill or mutation its own */
    uint64_t keep;      /* epoch mode: the epoch item's, with MC_OP_SEEN */
    struct mc_errand *errand; /* a command of our own; NULL: a client's */
};

STAILQ_HEAD(mc_op_queue, mc_op);
TAILQ_HEAD(mc_op_list, mc_op);

/* pending is 1. NULL without memory. */
struct mc_op *mc_op_create(struct mc_plane *plane, enum mc_verb verb, struct mc_arm_cell *cell,
                           uint64_t now);

/* It stands in no queue any more, or never did. */
void mc_op_free(struct mc_op *op);

static inline struct slice mc_op_wire(const struct mc_op *op)
{
    return slice_of(op->wire, op->wire_len);
}

/* The key as the client names it. */
static inline struct slice mc_op_key(const struct mc_op *op)
{
    return op->original != NULL
               ? slice_of(op->original->data, op->original->used)
               : slice_of(op->wire + op->prefix_len, (size_t)op->wire_len - op->prefix_len);
}

/* Keeps the client's own key, which its reply has to show, if the wire key is a digest of it. False
 * without memory. */
bool mc_op_keep_key(struct mc_op *op, const struct key_place *place, struct slice key) MUST_CHECK;

/* Where reply bytes go now: the client's output, the operation's own buffer, or nowhere (NULL). */
struct buffer *mc_op_sink(struct mc_op *op);

/*
 * One part is answered, its reply line (with line end) is `line`; empty for a get, whose values
 * went to the sink. The operation may be gone after it, and so may the client's place in line.
 */
void mc_op_part_done(struct mc_op *op, struct slice line);
/* One part failed: `reason` is a sentence without line end. */
void mc_op_part_failed(struct mc_op *op, const char *reason);

/* One part is over, and what is to be said of it has been said. */
void mc_op_part_over(struct mc_op *op);

/* Other namespaces could not be told of what the operation does, which succeeds otherwise. */
void mc_op_untold(struct mc_op *op, const char *reason);

/* The server is down: the operation, which no connection has, fails where it stands. */
void mc_op_fail_here(struct mc_op *op, const struct mc_server *server);
/* It is not done: the miss that it has taken (MC_OP_FILL) is remembered again, lest the client's
 * next try count as a change. */
void mc_op_put_back(struct mc_op *op);
/* What the client is to hear, instead of what was there before; nothing if nobody waits for it. */
void mc_op_set_reply(struct mc_op *op, struct slice line);

/* The client is going away: whatever is still under way is swallowed when it comes. */
void mc_op_orphan(struct mc_op *op);

#endif
