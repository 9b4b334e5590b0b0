/*
 * A connection to a memcached server: opened, greeted, written once a turn, read, and closed. What
 * is thought of the server as a whole is in mc_server.c.
 */
#include "crossfade/relay/mc_fence.h"
#include "crossfade/relay/mc_pools.h"
#include "crossfade/relay/mc_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* A server that would rather close than say whether it speaks meta is left alone for that long. */
#define NO_META SECONDS(10)
/* Closes in a row that count for a no, also of a server that is known to speak it. */
#define META_DOUBTS 3u
#define META_DOUBTS_KNOWN 20u

static void on_ready(evutil_socket_t fd, short what, void *context);
static void flush_task(struct turn_task *task);
static void grave_task(struct turn_task *task);

/* Reading stops while a client is slow; TLS may need the other direction for a while. */
bool mc_connection_watch(struct mc_connection *connection)
{
    return watch_stream(&connection->watch, &connection->stream, connection->stalled_by == NULL,
                        connection->writing);
}

static struct worker *worker_of(const struct mc_connection *connection)
{
    return connection->server->plane->worker;
}

void mc_connection_init(struct mc_connection *connection, struct mc_server *server,
                        const struct mc_dialect *dialect)
{
    memset(connection, 0, sizeof(*connection));
    connection->dialect = dialect;
    connection->server = server;
    connection->stream.fd = -1;
    input_init(&connection->input);
    buffer_init(&connection->output);
    buffer_init(&connection->login);
    STAILQ_INIT(&connection->ops);
    connection->flush.run = flush_task;
    connection->grave.run = grave_task;
    connection->state = MC_CLOSED;
}

static void unblock_clients(struct mc_connection *connection)
{
    struct mc_client *client;

    while ((client = LIST_FIRST(&connection->blocked)) != NULL)
        mc_client_unblock(client);
}

/* Closes the descriptor and forgets what was composed; the operations stay for the caller. */
static void disconnect(struct mc_connection *connection)
{
    struct worker *worker = worker_of(connection);

    if (connection->state == MC_READY)
        counter_sub(&connection->server->cell->up, 1);
    connection->meta = MC_META_UNKNOWN;
    mc_connection_unstall(connection);
    unblock_clients(connection);
    if (connection->stream.fd >= 0) {
        watch_stop(&connection->watch);
        stream_close(&connection->stream);
    }
    input_clear(&connection->input);
    buffer_clear(&connection->output, &worker->buffers);
    mc_server_weigh(connection);
    buffer_clear(&connection->login, &worker->buffers);
    connection->state = MC_CLOSED;
    connection->writing = false;
    connection->unsent = NULL;
    connection->batch_last = NULL;
    connection->composed = connection->answered = 0;
    connection->expect_end = false;
    connection->body_left = 0;
    connection->since = worker_now(worker);
}

struct mc_op *mc_connection_take(struct mc_connection *connection)
{
    struct mc_op *op = STAILQ_FIRST(&connection->ops);

    STAILQ_REMOVE_HEAD(&connection->ops, in_connection);
    mc_server_uncount(connection->server, op);
    return op;
}

void mc_connection_fail(struct mc_connection *connection, const char *reason, bool with_back_off)
{
    struct mc_server *server = connection->server;
    struct mc_op_queue ops = STAILQ_HEAD_INITIALIZER(ops);
    struct mc_op *op;
    char text[200];

    mc_fence_begin(connection);
    STAILQ_CONCAT(&ops, &connection->ops);
    disconnect(connection);
    if (with_back_off)
        mc_server_failed(connection, reason);
    if (connection->dedicated)
        mc_upload_failed(connection);
    (void)snprintf(text, sizeof(text), "memcached server %.64s failed (%.100s)", server->name,
                   reason);
    while ((op = STAILQ_FIRST(&ops)) != NULL) {
        STAILQ_REMOVE_HEAD(&ops, in_connection);
        mc_server_uncount(server, op);
        mc_op_part_failed(op, text);
    }
}

static void grave_task(struct turn_task *task)
{
    free((char *)task - offsetof(struct mc_connection, grave));
}

/* That way failed. True: there is another to try before the server is given up. */
static bool next_way(struct mc_server *server, unsigned failed)
{
    counter_add(&server->cell->connect_failures, 1);
    if (server->addresses.count < 2)
        return false;
    if (failed != server->way)
        return true; /* another connection has found that out before */
    server->way = (failed + 1) % server->addresses.count;
    if (server->untried == 0)
        return false;
    server->untried--;
    return true;
}

/* A socket on its way to the server; -1 when there is no way, with why. */
static int connect_socket(struct mc_connection *connection, const char **why)
{
    struct mc_server *server = connection->server;
    int fd;

    *why = "its name has not been resolved";
    if (server->addresses.count == 0)
        return -1;
    do {
        connection->way = server->way;
        fd = stream_connect_socket(&server->addresses.all[connection->way]);
        if (fd < 0)
            *why = strerror(errno);
    } while (fd < 0 && next_way(server, connection->way));
    return fd;
}

bool mc_connection_open(struct mc_connection *connection)
{
    struct mc_server *server = connection->server;
    struct worker *worker = worker_of(connection);
    const char *why;
    int fd = connect_socket(connection, &why);

    if (fd < 0) {
        mc_server_failed(connection, why);
        return false;
    }
    if (server->tls == NULL) {
        stream_init_plain(&connection->stream, fd);
    } else if (!stream_init_tls_client(&connection->stream, fd, server->tls, server->host,
                                       &server->resume)) {
        mc_server_failed(connection, "no memory for TLS");
        return false;
    }
    watch_init(&connection->watch, worker->base, fd, on_ready, connection);
    if (!watch_set(&connection->watch, true, true)) {
        stream_close(&connection->stream);
        mc_server_failed(connection, "no memory for its events");
        return false;
    }
    connection->state = MC_CONNECTING;
    connection->since = worker_now(worker);
    return true;
}

/* After a failure the server has to answer a probe before it gets anything else. */
static bool probe(struct mc_connection *connection)
{
    struct worker *worker = worker_of(connection);
    struct mc_op *op =
        mc_op_create(connection->server->plane, MC_VERSION, NULL, worker_now(worker));

    if (op == NULL)
        return false;
    if (!buffer_append_static(&connection->output, &worker->buffers,
                              connection->dialect->probe.data, connection->dialect->probe.len)) {
        mc_op_free(op);
        return false;
    }
    op->flags |= MC_OP_PROBE;
    STAILQ_INSERT_TAIL(&connection->ops, op, in_connection);
    if (connection->unsent == NULL)
        connection->unsent = op;
    counter_add(&connection->server->cell->waiting, 1);
    connection->state = MC_PROBING;
    connection->since = worker_now(worker);
    return true;
}

void mc_connection_enqueue(struct mc_connection *connection, struct mc_op *op)
{
    struct mc_server *server = connection->server;

    STAILQ_INSERT_TAIL(&connection->ops, op, in_connection);
    op->server = server;
    op->dialect = (uint8_t)connection->dialect->index;
    if (connection->unsent == NULL)
        connection->unsent = op;
    counter_add(&server->cell->requests, 1);
    mc_server_count(server, op);
    worker_defer(worker_of(connection), &connection->flush);
}

bool mc_connection_value(struct mc_connection *connection, struct chunk *chunk, struct slice value)
{
    struct worker *worker = worker_of(connection);

    /* Bytes that only queue up behind others are no progress. */
    if (connection->output.len == 0)
        mc_connection_pace_begin(connection);
    if (connection->dedicated)
        mc_connection_fed(connection, value.len);
    worker_defer(worker, &connection->flush);
    if (!buffer_append(&connection->output, &worker->buffers, chunk, value.data, value.len))
        return false;
    mc_server_weigh(connection);
    return true;
}

static void became_ready(struct mc_connection *connection)
{
    connection->state = MC_READY;
    counter_add(&connection->server->cell->up, 1);
}

/* Nothing was sent yet, so what waits for the connection can go another way, unless it is too late.
 */
static void connect_failed(struct mc_connection *connection, const char *reason)
{
    struct mc_server *server = connection->server;
    const struct mc_op *first = STAILQ_FIRST(&connection->ops);
    uint64_t now = worker_now(worker_of(connection));

    if (!next_way(server, connection->way) ||
        (first != NULL && now > first->started + server->request_timeout)) {
        mc_connection_fail(connection, reason, true);
        return;
    }
    watch_stop(&connection->watch);
    stream_close(&connection->stream);
    connection->state = MC_CLOSED;
    if (!mc_connection_open(connection))
        mc_connection_fail(connection, reason, false);
}

/* Requests can go both ways. */
static void established(struct mc_connection *connection)
{
    struct mc_server *server = connection->server;

    counter_add(&server->cell->connects, 1);
    server->untried = server->addresses.count - 1;
    if (mc_connection_trust(connection)->failures == 0 || !STAILQ_EMPTY(&connection->ops)) {
        /* What was composed while the server was trusted still goes out: a probe would end up in
         * it. */
        became_ready(connection);
    } else if (!probe(connection)) {
        mc_connection_fail(connection, "out of memory", true);
        return;
    }
    connection->writing = false;
    /* With nothing to send no flush would say so, and it would be found writable in every turn. */
    if (mc_connection_watch(connection))
        worker_defer(worker_of(connection), &connection->flush);
    else
        mc_connection_fail(connection, "no memory for its events", true);
}

/* As far as it gets without waiting. */
static void log_in(struct mc_connection *connection)
{
    char why[160];

    switch (mc_connection_log_in(connection, why, sizeof(why))) {
    case STREAM_OK:
        established(connection);
        return;
    case STREAM_AGAIN:
        if (!watch_stream(&connection->watch, &connection->stream, true, connection->login.len > 0))
            mc_connection_fail(connection, "no memory for its events", true);
        return;
    case STREAM_CLOSED:
    case STREAM_FAILED:
        counter_add(&connection->server->cell->login_failures, 1);
        mc_connection_fail(connection, why, true);
        return;
    }
}

/* Bytes can go both ways; the server may want to know whose they are. */
static void reached(struct mc_connection *connection)
{
    if (connection->server->login == NULL) {
        established(connection);
        return;
    }
    connection->state = MC_LOGGING_IN;
    connection->since = worker_now(worker_of(connection));
    if (mc_connection_begin_login(connection))
        log_in(connection);
    else
        mc_connection_fail(connection, "out of memory", true);
}

static void tls_failed(struct mc_connection *connection, const char *why)
{
    counter_add(&connection->server->cell->tls_failures, 1);
    connect_failed(connection, why);
}

static void shake_hands(struct mc_connection *connection)
{
    struct mc_server *server = connection->server;
    char why[160];

    switch (stream_handshake(&connection->stream)) {
    case STREAM_OK:
        if (server->tls != NULL) {
            counter_add(&server->cell->tls_handshakes, 1);
            counter_add(&server->cell->tls_resumed, stream_tls_resumed(&connection->stream));
        }
        reached(connection);
        return;
    case STREAM_AGAIN:
        if (!watch_stream(&connection->watch, &connection->stream, true, false))
            mc_connection_fail(connection, "no memory for its events", true);
        return;
    case STREAM_CLOSED:
    case STREAM_FAILED:
        tls_failed(connection, stream_why(&connection->stream, why, sizeof(why)));
        return;
    }
}

static void connected(struct mc_connection *connection)
{
    int failure = stream_connect_result(connection->stream.fd);

    if (failure != 0) {
        connect_failed(connection, strerror(failure));
        return;
    }
    connection->state = MC_HANDSHAKING;
    connection->since = worker_now(worker_of(connection));
    shake_hands(connection);
}

static void flush_output(struct mc_connection *connection)
{
    struct worker *worker = worker_of(connection);
    size_t before;
    enum stream_verdict verdict;
    char why[160];

    if (connection->batch_last != NULL)
        (void)mc_connection_close_batch(connection); /* or it is closed now */
    if (connection->state != MC_READY && connection->state != MC_PROBING)
        return;
    before = connection->output.len;
    if (before == 0 || connection->writing)
        return;
    connection->unsent = NULL;
    verdict = stream_flush(&connection->stream, &connection->output, &worker->buffers);
    counter_add(&connection->server->cell->bytes_written, before - connection->output.len);
    mc_server_weigh(connection);
    if (connection->dedicated && connection->output.len == 0)
        mc_connection_pace_begin(connection);
    else if (connection->dedicated)
        mc_connection_pace(connection, before - connection->output.len);
    if (verdict == STREAM_FAILED) {
        counter_add(&connection->server->cell->closed_by_server, 1);
        mc_connection_fail(connection, stream_why(&connection->stream, why, sizeof(why)), true);
        return;
    }
    connection->writing = verdict == STREAM_AGAIN;
    if (!mc_connection_watch(connection)) {
        mc_connection_fail(connection, "no memory for its events", true);
        return;
    }
    if (connection->output.len >= MC_LOW_WATER)
        return;
    unblock_clients(connection);
    if (connection->uploader != NULL)
        mc_client_wake(connection->uploader);
}

static void pair(struct mc_connection *connection)
{
    struct mc_pairing pairing;

    if (!mc_connection_pair(connection, &pairing)) {
        counter_add(&connection->server->cell->protocol_errors, 1);
        log_warn("memcached server %s: %s; the connection is closed", connection->server->name,
                 pairing.why);
        mc_connection_fail(connection, "it sent what the protocol does not allow", true);
        return;
    }
    if (connection->state == MC_PROBING && STAILQ_EMPTY(&connection->ops)) {
        became_ready(connection);
        mc_server_trusted(connection);
    }
    if (connection->uploader != NULL && STAILQ_EMPTY(&connection->ops))
        mc_client_wake(connection->uploader);
}

static void flush_task(struct turn_task *task)
{
    struct mc_connection *connection =
        (struct mc_connection *)(void *)((char *)task - offsetof(struct mc_connection, flush));

    if (connection->state == MC_CLOSED)
        return;
    flush_output(connection);
    /* What was left unread while a client was slow. */
    if (connection->state != MC_CLOSED && connection->stalled_by == NULL &&
        input_bytes(&connection->input).len > 0)
        pair(connection);
    if (connection->state != MC_CLOSED && connection->stalled_by == NULL &&
        connection->stream.pending)
        watch_again(&connection->watch); /* what TLS has in hand makes no socket readable */
}

/*
 * The server closed, and if it had been asked for meta, that may be its answer. It may also have
 * died just then: so it is asked again, and one that has spoken meta more often, as all its
 * connections may have been in the middle of the question.
 */
static void count_close(struct mc_connection *connection)
{
    struct mc_server *server = connection->server;

    counter_add(&server->cell->closed_by_server, 1);
    if (connection->meta != MC_META_ASKED)
        return;
    if (++server->meta_doubts < (server->spoke_meta ? META_DOUBTS_KNOWN : META_DOUBTS))
        return;
    server->meta_doubts = 0;
    server->no_meta_until = worker_now(worker_of(connection)) + NO_META;
}

static void read_replies(struct mc_connection *connection)
{
    struct worker *worker = worker_of(connection);
    struct mc_server *server = connection->server;
    char why[160];
    size_t moved;

    switch (stream_read(&connection->stream, &connection->input, &worker->buffers, &moved)) {
    case STREAM_OK:
        counter_add(&server->cell->bytes_read, moved);
        mc_connection_pace(connection, moved);
        pair(connection);
        if (connection->state != MC_CLOSED && connection->stream.pending)
            worker_defer(worker, &connection->flush);
        return;
    case STREAM_AGAIN:
        if (!input_keep(&connection->input, &worker->buffers, 0) ||
            !mc_connection_watch(connection))
            mc_connection_fail(connection, "out of memory", false);
        return;
    case STREAM_CLOSED:
        count_close(connection);
        /* An idle connection may be closed; with requests on it, it is a failure. */
        mc_connection_fail(connection, "it closed the connection", !STAILQ_EMPTY(&connection->ops));
        return;
    case STREAM_FAILED:
        count_close(connection);
        mc_connection_fail(connection, stream_why(&connection->stream, why, sizeof(why)),
                           !STAILQ_EMPTY(&connection->ops));
        return;
    }
}

static void on_ready(evutil_socket_t fd, short what, void *context)
{
    struct mc_connection *connection = context;

    (void)fd;
    if (connection->state == MC_CONNECTING) {
        if (what & (EV_WRITE | EV_READ))
            connected(connection);
        return;
    }
    if (connection->state == MC_HANDSHAKING) {
        shake_hands(connection);
        return;
    }
    if (connection->state == MC_LOGGING_IN) {
        log_in(connection);
        return;
    }
    what = watch_meaning(&connection->stream, what);
    if (what & EV_WRITE) {
        connection->writing = false;
        worker_defer(worker_of(connection), &connection->flush);
    }
    if ((what & EV_READ) && connection->state != MC_CLOSED && connection->stalled_by == NULL)
        read_replies(connection);
}

void mc_connection_tick(struct mc_connection *connection, uint64_t now)
{
    struct mc_server *server = connection->server;

    mc_connection_tick_stall(connection, now);
    switch (connection->state) {
    case MC_CLOSED:
        break;
    case MC_CONNECTING:
        if (now > connection->since + server->connect_timeout)
            connect_failed(connection, "no connection in time");
        break;
    case MC_HANDSHAKING:
        if (now > connection->since + server->connect_timeout)
            tls_failed(connection, "no TLS handshake in time");
        break;
    case MC_LOGGING_IN:
        if (now > connection->since + server->request_timeout) {
            counter_add(&server->cell->login_failures, 1);
            mc_connection_fail(connection, "no answer to its login in time", true);
        }
        break;
    case MC_PROBING:
    case MC_READY:
        if (mc_connection_is_late(connection, now)) {
            counter_add(&server->cell->timeouts, 1);
            mc_connection_fail(connection, "no answer in time", true);
        }
        break;
    }
}
