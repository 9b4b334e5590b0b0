/*
 * One memcached server as one worker sees it: its connections, when it may be tried again, and what
 * it owes us.
 *
 * State of a connection:
 *
 *   closed --request--> connecting --> ready         the first time, and after the server closed it
 *   closed --back-off over--> connecting --> probing (version) --> ready      after a failure
 *   connecting --TLS--> handshaking --> ready or probing      where servers have TLS
 *   handshaking --> logging in --> ready or probing           where they want a login
 *   any --timeout, nonsense, reset--> closed, every operation on it fails; back-off grows
 *
 * Requests of all clients share a connection; they are composed into its output and written once
 * per loop turn. Gets that wait for the same connection in one turn go out as one many-key get. A
 * value larger than MC_GATHER_MAX is uploaded over a connection of its own, so that a slow client
 * holds nobody up.
 */
#ifndef CROSSFADE_RELAY_MC_SERVER_H
#define CROSSFADE_RELAY_MC_SERVER_H

#include "crossfade/net/stream.h"
#include "crossfade/net/tls.h"
#include "crossfade/net/watch.h"
#include "crossfade/relay/mc_dialect.h"
#include "crossfade/relay/mc_op.h"
#include "crossfade/relay/worker.h"
#include "crossfade/route/keyspace.h"

/* Values up to this are collected before they are sent; larger ones stream. */
#define MC_GATHER_MAX (64u * 1024u)
/*
 * A client's output above which it counts as slow: its commands are taken no further, and when the
 * worker holds MC_MEMORY_SPARE bytes in buffers, the server connection that fills the output is not
 * read further either. A server connection's output above which the clients that fill it are not
 * read.
 */
#define MC_HIGH_WATER (256u * 1024u)
#define MC_LOW_WATER (64u * 1024u)
#define MC_MEMORY_SPARE (16u * 1024u * 1024u)
/* The same for replies that wait for earlier ones of other servers. */
#define MC_PARKED_MAX (4u * 1024u * 1024u)
/* Bytes composed for one connection at which no more are: each client adds one command to what is
 * above the high water mark, and there may be very many clients. */
#define MC_QUEUED_MAX (64u * 1024u * 1024u)
/* Large values on their way to one server at once; the clients of others wait for their turn. */
#define MC_UPLOADS_MAX 32u

enum mc_connection_state {
    MC_CLOSED,
    MC_CONNECTING,
    MC_HANDSHAKING,
    MC_LOGGING_IN,
    MC_PROBING,
    MC_READY
};

/* Whether the server at the other end speaks meta (relay/mc_meta.h). */
enum mc_meta_state { MC_META_UNKNOWN, MC_META_ASKED, MC_META_SPOKEN, MC_META_NOT_SPOKEN };

struct mc_fence;
struct mc_owed;
struct mc_replay;
struct mc_server;

struct mc_connection {
    struct mc_server *server;
    const struct mc_dialect *dialect;
    struct watch watch;
    struct stream stream;
    struct input input;
    struct buffer output;
    struct buffer login; /* what is still to be sent of it; the output waits until it is answered */
    struct mc_op_queue ops; /* sent or composed, in order; without their reply */
    struct mc_op *unsent;   /* the first of them that was composed since the last write, or NULL */
    struct turn_task flush;
    struct turn_task grave;         /* dedicated connections only */
    LIST_HEAD(, mc_client) blocked; /* clients that compose nothing until the output is shorter */
    enum mc_connection_state state;
    bool dedicated;
    bool writing;   /* waits for writability */
    bool full;      /* MC_QUEUED_MAX was reached, and half of it is not gone yet */
    unsigned way;   /* which of the server's addresses it goes to */
    uint64_t since; /* when the state began, or the last byte moved */
    /* A value that streams: when it last moved by a good part, and what moved since
     * (mc_patience.c). */
    uint64_t pace_at;
    size_t pace_bytes;
    enum mc_meta_state meta;
    uint8_t meta_lines; /* of the answer to our question */
    bool meta_swallows; /* the first of them refused the command and took its value */
    /* The get that is being composed: */
    struct mc_op *batch_last; /* its last key so far; NULL: none is open */
    struct chunk
        *room_chunk; /* while one is open: its next keys have room_left bytes at `room` in it */
    char *room;
    size_t room_left;
    uint64_t batch_id;
    unsigned batch_keys;
    size_t batch_bytes;
    /* Binary: requests are numbered, by their opaque, from 1 on; so many were composed, and
     * answered: */
    uint32_t composed;
    uint32_t answered;
    /* The reply that is being read: */
    bool expect_end;    /* the last key of the batch is answered, END must follow */
    uint64_t body_left; /* bytes of the first operation's value, with its line end, still to come */
    char body_tail;     /* the last byte of the value's line end that was seen, '\0': none */
    /* Not read because this client's output is full: */
    struct mc_client *stalled_by;
    bool stalled_parked;    /* by what is parked, not by what is to be written */
    uint64_t resumed;       /* when it was last read again after that */
    uint64_t stalled_since; /* or since the client last took a good part of its output */
    size_t stalled_len;     /* its output then */
    /*
     * How long a client that does not read may stall it, microseconds. All who share the connection
     * wait meanwhile: so what was wasted on one such client the next ones have less, and it comes
     * back at a quarter of the pace.
     */
    uint64_t patience;
    uint64_t patience_at; /* when that was worked out */
    LIST_ENTRY(mc_connection) stalled;
    LIST_ENTRY(mc_connection) upload; /* dedicated: in server->uploads */
    struct mc_client *uploader;       /* dedicated: whose value is being sent */
    uint64_t fed_at;                  /* when that client last sent a good part of it */
    size_t fed_bytes;                 /* and what it sent since */
};

/* What is thought of a server in one dialect: it may well speak one and not the other. */
struct mc_trust {
    unsigned failures; /* in a row; 0: trusted */
    uint64_t retry_at;
    char reason[200]; /* why it is down */
};

struct mc_server {
    struct mc_plane *plane;
    char *name;                 /* as configured */
    char *host;                 /* whom its certificate is for; NULL: a unix socket */
    struct tls_context *tls;    /* NULL: plain */
    struct tls_resume resume;   /* the TLS session of its last connection */
    struct addresses addresses; /* the ways to it */
    unsigned way;               /* the one that new connections take */
    unsigned untried;           /* others that have not failed since one could be reached */
    bool drained;               /* by the operator: it gets no request */
    struct mc_server_cell *cell;
    struct mc_owed *owed;         /* what it was not told (relay/mc_journal.h) */
    struct mc_replay *replay;     /* this worker is telling it; NULL: it is not */
    uint64_t replay_at;           /* not before */
    struct mc_renewal *renewal;   /* asks whether it was started anew; NULL: it is not asked */
    uint64_t renewal_at;          /* not before */
    LIST_HEAD(, mc_fence) fences; /* relay/mc_fence.h */
    unsigned refs;                /* views that name it */
    LIST_ENTRY(mc_server) link;
    uint64_t connect_timeout;
    uint64_t request_timeout;
    uint64_t no_meta_until; /* it closed a connection when asked for meta: not to be asked before */
    bool spoke_meta;
    unsigned
        meta_doubts; /* connections that it closed when asked, since it last said that it does */
    struct mc_trust trust[MC_DIALECTS]; /* by the dialects' index */
    struct credentials *login; /* for new connections; owned; NULL: the servers want none */
    unsigned down_dialects;    /* so many are not trusted */
    unsigned per_dialect;      /* connections_per_server */
    unsigned connection_count;
    struct mc_connection *connections; /* those of one dialect behind those of the other */
    bool used[MC_DIALECTS];            /* connections of that dialect are kept open */
    unsigned waiting;                  /* commands without all their replies; */
    unsigned max_waiting;              /* at so many no other is taken, */
    unsigned full_count;               /* nor while that many connections are full: */
    bool crowded;                      /* one of both is so */
    uint64_t counted;                  /* the last command that was, by plane->command */
    LIST_HEAD(, mc_connection) uploads;
    unsigned upload_count;               /* those of them that have a client */
    TAILQ_HEAD(, mc_client) upload_line; /* clients that wait for one */
};

struct mc_server *mc_server_create(struct mc_plane *plane, const struct plan_backend *backend,
                                   const struct config_cache *config);
/* Is this the server that `backend` means? Not if the name has come to mean another address. */
bool mc_server_is(const struct mc_server *server, const struct plan_backend *backend,
                  const struct config_cache *config);
/* What a new plan says of it: timeouts, addresses, whether it is drained. */
void mc_server_configure(struct mc_server *server, const struct plan_backend *backend,
                         const struct config_cache *config);
/* Operations under way fail. */
void mc_server_close(struct mc_server *server);
/* The same, and frees it. */
void mc_server_destroy(struct mc_server *server);
/* Nothing waits for it. */
bool mc_server_idle(const struct mc_server *server);
void mc_server_tick(struct mc_server *server, uint64_t now);

/*
 * The connection of that dialect for the requests of one client (the same `affinity` always gets
 * the same one, so that its requests stay in order). NULL: it takes no request now;
 * mc_server_refusal says why.
 */
struct mc_connection *mc_server_connection(struct mc_server *server,
                                           const struct mc_dialect *dialect, unsigned affinity);
/* Why it takes no request now, as a sentence in out[]. Returns out. */
const char *mc_server_refusal(const struct mc_server *server, const struct mc_dialect *dialect,
                              char *out, size_t size);
/* The same, whether it takes new requests or not: for what belongs to a command that is under way.
 */
struct mc_connection *mc_server_shared(struct mc_server *server, const struct mc_dialect *dialect,
                                       unsigned affinity);
/* Neither drained nor down. */
bool mc_server_is_usable(const struct mc_server *server, const struct mc_dialect *dialect);
/* It is, and it takes one more command; counts those that it does not take. */
bool mc_server_admits(struct mc_server *server, const struct mc_dialect *dialect);
/* Opens up to `most` connections that nobody has asked for yet; how many. */
unsigned mc_server_warm(struct mc_server *server, uint64_t now, unsigned most);

/*
 * A value for that key is to stream to its server: does the client have to wait, for what it has
 * under way or for its turn? Then it is woken when there is something new.
 */
bool mc_upload_waits(struct mc_client *client, struct slice key);
/* It does not wait for its turn any more. */
void mc_upload_leave_line(struct mc_client *client);
/* A connection that nobody shares, of the client's dialect, for one upload: client->upload from now
 * on. NULL as above. */
struct mc_connection *mc_server_upload(struct mc_server *server, struct mc_client *client);
/* The upload is answered, or given up in mid-value (`broken`). */
void mc_server_upload_done(struct mc_connection *connection, bool broken);

/* The operation is composed at the end of the output: the connection takes it over. */
void mc_connection_enqueue(struct mc_connection *connection, struct mc_op *op);
/* Bytes of a value, behind the command that was composed. */
bool mc_connection_value(struct mc_connection *connection, struct chunk *chunk,
                         struct slice value) MUST_CHECK;
/* Closes the connection: every operation on it fails with the reason. */
void mc_connection_fail(struct mc_connection *connection, const char *reason, bool back_off);
/* The client has drained its output: go on reading. */
void mc_connection_resume(struct mc_connection *connection);
void mc_connection_stall(struct mc_connection *connection, struct mc_client *client, bool parked);

/* Takes the first operation off the connection's queue. */
struct mc_op *mc_connection_take(struct mc_connection *connection);

/*
 * Between the modules of a server: mc_server.c (the server as a whole), mc_connection.c,
 * mc_upload.c and mc_patience.c.
 */
static inline struct mc_trust *mc_connection_trust(const struct mc_connection *connection)
{
    return &connection->server->trust[connection->dialect->index];
}
/* What happened on the connection takes the trust in the server, in its dialect, or gives it back.
 */
void mc_server_failed(const struct mc_connection *connection, const char *reason);
void mc_server_trusted(const struct mc_connection *connection);
/* An operation that waits for the server; and no more. */
void mc_server_count(struct mc_server *server, struct mc_op *op);
void mc_server_uncount(struct mc_server *server, const struct mc_op *op);
/* The connection's output has become longer or shorter: is it full? */
void mc_server_weigh(struct mc_connection *connection);
void mc_connection_tick(struct mc_connection *connection, uint64_t now);
void mc_connection_init(struct mc_connection *connection, struct mc_server *server,
                        const struct mc_dialect *dialect);
/* False: the server is down now. */
bool mc_connection_open(struct mc_connection *connection);
/* Its descriptor is watched for what it waits for now. False: it has to be closed. */
bool mc_connection_watch(struct mc_connection *connection);
struct mc_connection *mc_upload_open(struct mc_server *server, const struct mc_dialect *dialect);
/* Its connection was closed. Before its operations fail, which may close its client. */
void mc_upload_failed(struct mc_connection *connection);
void mc_upload_tick(struct mc_server *server, uint64_t now);
/* Bytes of a value have moved; the time for the next part begins. And of what the client sent. */
void mc_connection_pace(struct mc_connection *connection, size_t moved);
void mc_connection_pace_begin(struct mc_connection *connection);
void mc_connection_fed(struct mc_connection *connection, size_t len);
/* The first operation has waited too long, and not because of a client of ours. */
bool mc_connection_is_late(const struct mc_connection *connection, uint64_t now);
/* It is the client that the server waits for: all that came of its value is sent. */
bool mc_connection_waits_for_value(const struct mc_connection *connection);
void mc_connection_unstall(struct mc_connection *connection);
/* Closes the client that has stalled it for too long. */
void mc_connection_tick_stall(struct mc_connection *connection, uint64_t now);

/*
 * relay/mc_server_login.c: new connections log in like this from now on; credentials may be NULL.
 * False without memory: as before.
 */
bool mc_server_set_login(struct mc_server *server, const struct credentials *credentials);
void mc_server_forget_login(struct mc_server *server);
/* An established connection begins to log in; false without memory. */
bool mc_connection_begin_login(struct mc_connection *connection) MUST_CHECK;
/* Sends what there is room for, and reads what came of it. STREAM_OK: logged in; STREAM_FAILED:
 * why[] says why not. */
enum stream_verdict mc_connection_log_in(struct mc_connection *connection, char *why,
                                         size_t why_size) MUST_CHECK;

/* relay/mc_pairing.c: takes the replies out of the input and gives them to the operations. False:
 * the bytes are not what the protocol allows; pairing->why says what. */
bool mc_connection_pair(struct mc_connection *connection, struct mc_pairing *pairing) MUST_CHECK;

#endif
