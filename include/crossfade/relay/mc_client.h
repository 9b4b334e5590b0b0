/*
 * One memcache client: its socket, the commands it sends, and the replies it is owed, in order.
 * Reading stops while more than MC_CLIENT_OPS operations are under way or its output is over the
 * high water mark, and goes on when that is worked off.
 */
#ifndef CROSSFADE_RELAY_MC_CLIENT_H
#define CROSSFADE_RELAY_MC_CLIENT_H

#include "crossfade/net/stream.h"
#include "crossfade/net/watch.h"
#include "crossfade/relay/mc_op.h"
#include "crossfade/relay/mc_plane.h"
#include "crossfade/relay/mc_server.h"

#define MC_CLIENT_OPS 1024u

/* What follows from one plan on this worker: clients hold it, so that a reload drops nobody. */
struct mc_view {
    unsigned refs;
    struct snapshot_pin *pin;
    struct mc_server **servers; /* as plan->servers */
};

struct mc_client {
    TAILQ_ENTRY(mc_client) link;
    TAILQ_ENTRY(mc_client) stranger; /* while it has no arm (relay/mc_login.h) */
    struct mc_plane *plane;
    const struct mc_dialect *dialect;
    struct mc_view *view;
    struct mc_arm_cell *cell; /* its arm's, or plane->nobody */
    struct mc_listener_cell *listener_cell;
    struct tls_cell *tls;        /* NULL: plain */
    struct mc_login_slot *login; /* its login is under way */
    char *who;          /* what is known of it, for people; NULL: nothing but where it came in */
    uint64_t since;     /* when it came, or began to be a stranger */
    uint64_t login_due; /* when a wrong login is answered; 0: there is none */
    struct watch watch;
    struct stream stream;
    struct input input;
    struct buffer output;
    struct mc_op_list ops;
    struct mc_op_list silent; /* noreply commands under way, in no order */
    struct turn_task flush;
    struct turn_task grave;
    LIST_HEAD(, mc_connection)
    stalled;                      /* connections that wait for this client's output to drain */
    struct mc_connection *upload; /* a value is streaming to it */
    uint64_t upload_left;
    struct mc_server *upload_line; /* it waits there for its turn to send a large value */
    TAILQ_ENTRY(mc_client) upload_turn;
    uint64_t upload_since;
    struct mc_connection *blocked_by; /* no more commands until its output is shorter */
    LIST_ENTRY(mc_client) blocked;
    LIST_ENTRY(mc_client) owes; /* in plane->owed: its output is over the high water mark */
    uint64_t owes_since;        /* or since it last took a good part of it */
    size_t owes_taken;          /* what it took since */
    uint64_t swallow;           /* bytes of a refused value that are still to come */
    uint64_t last_active;
    size_t parked;         /* bytes of replies that wait for earlier ones */
    size_t scanned;        /* of the first line, without a newline */
    size_t need;           /* no use to parse before that many bytes are here */
    size_t get_taken;      /* bytes of the keys of the get at the input's front that are sent */
    unsigned op_count;     /* in both lists */
    uint32_t login_opaque; /* of the binary request for it */
    uint16_t arm;
    uint16_t listener; /* of its view, or MC_NO_LISTENER */
    uint16_t entry;    /* the first of the listener's arms that it matches without a login */
    uint8_t stage;     /* enum mc_stage */
    uint8_t login_opcode;
    bool is_stranger;
    bool login_later;  /* its login waits for a slot */
    bool sasl_started; /* the mechanism is said, and the message is to come */
    uint16_t affinity;
    bool upload_refused; /* its turn did not come in time */
    bool begun;          /* its first byte was looked at */
    bool closing;        /* parse nothing more; close when the output is out */
    bool closed;
    bool writing;    /* waits for writability */
    bool owing;      /* stands in plane->owed */
    bool paused;     /* not read: too much is under way */
    bool flushing;   /* its flush_all is under way: nothing behind it is parsed */
    bool changing;   /* a change is under way: nothing behind it is parsed */
    bool holding;    /* a get is being taken apart: nobody leaves the line */
    bool get_failed; /* a key of the get at the front failed */
};

#define MC_NO_LISTENER UINT16_MAX

/*
 * A client of the view's listener with that index. Takes over the stream, whose handshake is done,
 * also when it fails. `tls`: counts its connection, or NULL.
 */
struct mc_client *mc_client_create(struct mc_plane *plane, struct mc_view *view, unsigned listener,
                                   const struct stream *stream, struct tls_cell *tls);
/* Only here does a client end: replies under way are swallowed when they come. */
void mc_client_close(struct mc_client *client, const char *why);
/* For the worker's graceful stop: ends when nothing is under way. */
void mc_client_drain(struct mc_client *client);

/* The operation takes its place at the end of the line, or among the silent ones. */
void mc_client_expect(struct mc_client *client, struct mc_op *op);
/* An operation of this client that began now. NULL without memory. */
struct mc_op *mc_client_op(struct mc_client *client, enum mc_verb verb);
/* A silent operation is answered. */
void mc_client_forget(struct mc_client *client, struct mc_op *op);
/* Operations at the front of the line that are done leave. */
void mc_client_advance(struct mc_client *client);
/* A reply made here, in its place in the line; `text` with line end. False without memory. */
bool mc_client_answer(struct mc_client *client, struct slice text) MUST_CHECK;
/* So much waits to be sent to that server that this client has to wait; and goes on again. */
void mc_client_block(struct mc_client *client, struct mc_connection *connection);
void mc_client_unblock(struct mc_client *client);
/* The same if that much waits for it. */
void mc_client_hold_back(struct mc_client *client, struct mc_connection *connection);
/* Its output is over the high water mark. True: its servers are to be read no further; as long as
 * the worker has memory to spare, only it has to wait for itself. */
bool mc_client_owes(struct mc_client *client);
/* Closes those that have taken nothing of much output for too long. */
void mc_clients_tick(struct mc_plane *plane, uint64_t now);
/* There is output, or room for more commands: look at it at the end of the turn. */
void mc_client_wake(struct mc_client *client);

#endif
