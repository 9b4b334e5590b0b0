#include "crossfade/relay/mc_server.h"

#include "crossfade/base/hash.h"
#include "crossfade/relay/mc_pools.h"
#include "crossfade/relay/mc_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BACK_OFF_FIRST MILLISECONDS(100)
#define BACK_OFF_MAX SECONDS(10)
/* A connection that was closed without a fault is opened again after this. */
#define WARM_PAUSE SECONDS(1)
/* A server that would rather close than say whether it speaks meta is left alone for that long. */
#define NO_META SECONDS(10)

static const struct mc_dialect *const dialects[MC_DIALECTS] = { &mc_text, &mc_binary };

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

static bool is_crowded(const struct mc_server *server)
{
    return server->waiting >= server->max_waiting;
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

struct mc_server *mc_server_create(struct mc_plane *plane, const struct plan_backend *backend,
                                   const struct config_cache *config)
{
    struct tls_context *tls = plane->worker->current->snapshot->plan->tls->servers;
    const char *host = backend->config->endpoint.host;
    struct mc_server *server = calloc(1, sizeof(*server));

    if (server == NULL)
        return NULL;
    server->plane = plane;
    server->cell =
        cells_get(plane->worker->telemetry->mc_servers, backend->cell, plane->worker->index);
    server->per_dialect = config->connections_per_server;
    server->connection_count = server->per_dialect * MC_DIALECTS;
    server->name = strdup(backend->config->endpoint.text);
    server->host = host != NULL ? strdup(host) : NULL;
    server->connections = calloc(server->connection_count, sizeof(*server->connections));
    if (server->name == NULL || server->connections == NULL ||
        (host != NULL && server->host == NULL)) {
        free(server->name);
        free(server->host);
        free(server->connections);
        free(server);
        return NULL;
    }
    if (tls != NULL)
        server->tls = tls_context_ref(tls);
    for (unsigned i = 0; i < server->connection_count; i++)
        mc_connection_init(&server->connections[i], server, dialects[i / server->per_dialect]);
    LIST_INIT(&server->uploads);
    TAILQ_INIT(&server->upload_line);
    LIST_INSERT_HEAD(&plane->servers, server, link);
    server->used[mc_text.index] = true;
    server->max_waiting = config->max_waiting;
    mc_server_configure(server, backend, config);
    return server;
}

bool mc_server_is(const struct mc_server *server, const struct plan_backend *backend,
                  const struct config_cache *config)
{
    return strcmp(server->name, backend->config->endpoint.text) == 0 &&
           server->per_dialect == config->connections_per_server &&
           server->tls == server->plane->worker->current->snapshot->plan->tls->servers &&
           (server->addresses.count == 0 ||
            addresses_find(&backend->addresses, &server->addresses.all[server->way]) >= 0);
}

/* Its connections stay, as they go to one of these addresses. */
static void place(struct mc_server *server, const struct addresses *addresses)
{
    unsigned way = 0;

    if (addresses_same(&server->addresses, addresses))
        return;
    if (server->addresses.count > 0)
        way = (unsigned)addresses_find(addresses, &server->addresses.all[server->way]);
    server->addresses = *addresses;
    server->way = way;
    server->untried = addresses->count > 0 ? addresses->count - 1 : 0;
    for (unsigned i = 0; i < MC_DIALECTS; i++)
        server->trust[i].retry_at = 0; /* there is something new to try */
}

/* Connections that owe no reply are closed, and no others are opened. */
static void close_idle(struct mc_server *server)
{
    struct mc_connection *upload = LIST_FIRST(&server->uploads);

    for (unsigned i = 0; i < server->connection_count; i++)
        if (server->connections[i].state != MC_CLOSED &&
            STAILQ_EMPTY(&server->connections[i].ops))
            mc_connection_fail(&server->connections[i], "drained", false);
    while (upload != NULL) {
        struct mc_connection *next = LIST_NEXT(upload, upload);
        if (upload->uploader == NULL && STAILQ_EMPTY(&upload->ops))
            mc_connection_fail(upload, "drained", false);
        upload = next;
    }
}

void mc_server_configure(struct mc_server *server, const struct plan_backend *backend,
                         const struct config_cache *config)
{
    server->connect_timeout = config->connect_timeout;
    server->request_timeout = config->request_timeout;
    server->plane->crowded -= is_crowded(server) ? 1 : 0;
    server->max_waiting = config->max_waiting;
    server->plane->crowded += is_crowded(server) ? 1 : 0;
    if (!mc_server_set_login(server, config->credentials))
        log_error("out of memory: memcached server %s keeps its login of before", server->name);
    place(server, &backend->addresses);
    server->drained = backend->drained;
    counter_set(&server->cell->drained, server->drained ? 1 : 0);
    if (server->drained)
        close_idle(server);
}

bool mc_server_idle(const struct mc_server *server)
{
    const struct mc_connection *upload;

    for (unsigned i = 0; i < server->connection_count; i++)
        if (!STAILQ_EMPTY(&server->connections[i].ops))
            return false;
    LIST_FOREACH(upload, &server->uploads, upload)
    if (!STAILQ_EMPTY(&upload->ops) || upload->uploader != NULL)
        return false;
    return true;
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

static struct mc_trust *trust_of(const struct mc_connection *connection)
{
    return &connection->server->trust[connection->dialect->index];
}

static void no_longer_waiting(struct mc_server *server, const struct mc_op *op)
{
    counter_sub(&server->cell->waiting, 1);
    if ((op->flags & MC_OP_COUNTED) == 0)
        return;
    if (server->waiting-- == server->max_waiting)
        server->plane->crowded--;
}

struct mc_op *mc_connection_take(struct mc_connection *connection)
{
    struct mc_op *op = STAILQ_FIRST(&connection->ops);

    STAILQ_REMOVE_HEAD(&connection->ops, in_connection);
    no_longer_waiting(connection->server, op);
    return op;
}

static void back_off(const struct mc_connection *connection, const char *reason)
{
    struct mc_server *server = connection->server;
    struct mc_trust *trust = trust_of(connection);
    uint64_t wait = BACK_OFF_FIRST;
    uint64_t now = worker_now(server->plane->worker);

    for (unsigned i = 0; i < trust->failures && wait < BACK_OFF_MAX; i++)
        wait *= 2;
    if (wait > BACK_OFF_MAX)
        wait = BACK_OFF_MAX;
    /* A quarter up or down, so that a fleet does not come back in step. */
    wait = wait * 3 / 4 + (hash_mix(now + (uint64_t)(uintptr_t)trust) % (wait / 2 + 1));
    if (trust->failures == 0) {
        log_warn("memcached server %s is down%s: %s", server->name, connection->dialect->suffix,
                 reason);
        if (server->down_dialects++ == 0)
            counter_add(&server->cell->down, 1);
    }
    trust->failures++;
    trust->retry_at = now + wait;
    reach_failed(&server->cell->reach, trust->failures, trust->retry_at, reason);
    server->plane->worker->ask_main(server->plane->worker); /* its name may have moved */
    (void)snprintf(trust->reason, sizeof(trust->reason), "memcached server %.64s is down (%.100s)",
                   server->name, reason);
}

void mc_connection_fail(struct mc_connection *connection, const char *reason, bool with_back_off)
{
    struct mc_server *server = connection->server;
    struct mc_op_queue ops = STAILQ_HEAD_INITIALIZER(ops);
    struct mc_op *op;
    char text[200];

    STAILQ_CONCAT(&ops, &connection->ops);
    disconnect(connection);
    if (with_back_off)
        back_off(connection, reason);
    (void)snprintf(text, sizeof(text), "memcached server %.64s failed (%.100s)", server->name,
                   reason);
    while ((op = STAILQ_FIRST(&ops)) != NULL) {
        STAILQ_REMOVE_HEAD(&ops, in_connection);
        no_longer_waiting(server, op);
        mc_op_part_failed(op, text);
    }
    if (connection->dedicated)
        mc_upload_failed(connection);
}

void mc_server_destroy(struct mc_server *server)
{
    struct mc_connection *upload;
    struct mc_client *client;

    for (unsigned i = 0; i < server->connection_count; i++)
        mc_connection_fail(&server->connections[i], "no longer configured", false);
    while ((upload = LIST_FIRST(&server->uploads)) != NULL)
        mc_connection_fail(upload, "no longer configured", false);
    while ((client = TAILQ_FIRST(&server->upload_line)) != NULL) {
        mc_upload_leave_line(client);
        mc_client_wake(client);
    }
    /* Operations that failed just now have woken clients, never a connection. */
    for (unsigned i = 0; i < server->connection_count; i++)
        if (server->connections[i].flush.queued)
            STAILQ_REMOVE(&server->plane->worker->tasks, &server->connections[i].flush, turn_task,
                          next);
    if (server->down_dialects > 0) {
        counter_sub(&server->cell->down, 1);
        reach_ok(&server->cell->reach);
    }
    LIST_REMOVE(server, link);
    tls_resume_clear(&server->resume);
    tls_context_unref(server->tls);
    mc_server_forget_login(server);
    free(server->name);
    free(server->host);
    free(server->connections);
    free(server);
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
        back_off(connection, why);
        return false;
    }
    if (server->tls == NULL) {
        stream_init_plain(&connection->stream, fd);
    } else if (!stream_init_tls_client(&connection->stream, fd, server->tls, server->host,
                                       &server->resume)) {
        back_off(connection, "no memory for TLS");
        return false;
    }
    watch_init(&connection->watch, worker->base, fd, on_ready, connection);
    if (!watch_set(&connection->watch, true, true)) {
        stream_close(&connection->stream);
        back_off(connection, "no memory for its events");
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
    if (!buffer_append_static(&connection->output, &worker->buffers, connection->dialect->probe.data,
                              connection->dialect->probe.len)) {
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
    if (connection->unsent == NULL)
        connection->unsent = op;
    counter_add(&server->cell->waiting, 1);
    counter_add(&server->cell->requests, 1);
    /* The keys and companions of one command count once. */
    if (server->counted != server->plane->command) {
        server->counted = server->plane->command;
        op->flags |= MC_OP_COUNTED;
        if (++server->waiting == server->max_waiting)
            server->plane->crowded++;
    }
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
    return buffer_append(&connection->output, &worker->buffers, chunk, value.data, value.len);
}

const char *mc_server_refusal(const struct mc_server *server, const struct mc_dialect *dialect,
                              char *out, size_t size)
{
    const struct mc_trust *trust = &server->trust[dialect->index];

    if (server->drained)
        (void)snprintf(out, size, "memcached server %.64s is drained by the operator",
                       server->name);
    else if (trust->failures > 0)
        (void)snprintf(out, size, "%s", trust->reason);
    else if (is_crowded(server))
        (void)snprintf(out, size, "too many requests wait for memcached server %.64s",
                       server->name);
    else if (server->upload_count >= MC_UPLOADS_MAX)
        (void)snprintf(out, size, "too many large values are on their way to memcached server %.64s",
                       server->name);
    else
        (void)snprintf(out, size, "no connection to memcached server %.64s", server->name);
    return out;
}

bool mc_server_is_usable(const struct mc_server *server, const struct mc_dialect *dialect)
{
    return !server->drained && server->trust[dialect->index].failures == 0;
}

bool mc_server_admits(struct mc_server *server, const struct mc_dialect *dialect)
{
    if (server->drained)
        return false;
    /* What a command has begun there it may go on with. */
    if (is_crowded(server) && server->counted != server->plane->command) {
        counter_add(&server->cell->turned_away, 1);
        return false;
    }
    return server->trust[dialect->index].failures == 0;
}

struct mc_connection *mc_server_shared(struct mc_server *server, const struct mc_dialect *dialect,
                                       unsigned affinity)
{
    struct mc_connection *connection =
        &server->connections[dialect->index * server->per_dialect + affinity % server->per_dialect];

    server->used[dialect->index] = true;
    if (connection->state == MC_READY)
        return connection;
    if (server->trust[dialect->index].failures > 0)
        return NULL; /* mc_server_tick finds out when it is back */
    if (connection->state == MC_CLOSED && !mc_connection_open(connection))
        return NULL;
    return connection;
}

struct mc_connection *mc_server_connection(struct mc_server *server,
                                           const struct mc_dialect *dialect, unsigned affinity)
{
    if (server->drained || (is_crowded(server) && !mc_server_admits(server, dialect)))
        return NULL;
    return mc_server_shared(server, dialect, affinity);
}

static void became_ready(struct mc_connection *connection)
{
    connection->state = MC_READY;
    counter_add(&connection->server->cell->up, 1);
}

static void trust(const struct mc_connection *connection)
{
    struct mc_server *server = connection->server;

    if (trust_of(connection)->failures > 0) {
        log_info("memcached server %s is back%s", server->name, connection->dialect->suffix);
        if (--server->down_dialects == 0) {
            counter_sub(&server->cell->down, 1);
            reach_ok(&server->cell->reach);
        }
    }
    trust_of(connection)->failures = 0;
}

/* Nothing was sent yet, so what waits for the connection can go another way, unless it is too late. */
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
    if (trust_of(connection)->failures == 0 || !STAILQ_EMPTY(&connection->ops)) {
        /* What was composed while the server was trusted still goes out: a probe would end up in it. */
        became_ready(connection);
    } else if (!probe(connection)) {
        mc_connection_fail(connection, "out of memory", true);
        return;
    }
    connection->writing = false;
    worker_defer(worker_of(connection), &connection->flush);
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
        if (!watch_stream(&connection->watch, &connection->stream, true,
                          connection->login.len > 0))
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
        mc_connection_close_batch(connection);
    if (connection->state != MC_READY && connection->state != MC_PROBING)
        return;
    before = connection->output.len;
    if (before == 0 || connection->writing)
        return;
    connection->unsent = NULL;
    verdict = stream_flush(&connection->stream, &connection->output, &worker->buffers);
    counter_add(&connection->server->cell->bytes_written, before - connection->output.len);
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
        trust(connection);
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
        if (!input_keep(&connection->input, &worker->buffers, 0) || !mc_connection_watch(connection))
            mc_connection_fail(connection, "out of memory", false);
        return;
    case STREAM_CLOSED:
        counter_add(&server->cell->closed_by_server, 1);
        if (connection->meta == MC_META_ASKED)
            server->no_meta_until = worker_now(worker) + NO_META;
        /* An idle connection may be closed; with requests on it, it is a failure. */
        mc_connection_fail(connection, "it closed the connection",
                           !STAILQ_EMPTY(&connection->ops));
        return;
    case STREAM_FAILED:
        counter_add(&server->cell->closed_by_server, 1);
        if (connection->meta == MC_META_ASKED)
            server->no_meta_until = worker_now(worker) + NO_META;
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

static void connection_tick(struct mc_connection *connection, uint64_t now)
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

static bool is_coming_up(const struct mc_connection *connection)
{
    return connection->state == MC_CONNECTING || connection->state == MC_HANDSHAKING ||
           connection->state == MC_LOGGING_IN || connection->state == MC_PROBING;
}

/* Has the server find out, by a probe, whether it may be trusted again in that dialect. */
static void try_again(struct mc_server *server, const struct mc_dialect *dialect)
{
    struct mc_connection *connections = &server->connections[dialect->index * server->per_dialect];
    const struct mc_connection *upload;

    for (unsigned i = 0; i < server->per_dialect; i++)
        if (is_coming_up(&connections[i]))
            return;
    LIST_FOREACH(upload, &server->uploads, upload)
    if (upload->dialect == dialect && is_coming_up(upload) && upload->uploader == NULL)
        return;
    for (unsigned i = 0; i < server->per_dialect; i++) {
        if (connections[i].state == MC_CLOSED) {
            (void)mc_connection_open(&connections[i]);
            return;
        }
    }
    /* It was an upload that failed, and all others stand. */
    (void)mc_upload_open(server, dialect);
}

unsigned mc_server_warm(struct mc_server *server, uint64_t now, unsigned most)
{
    unsigned opened = 0;

    if (server->refs == 0)
        return 0;
    for (unsigned i = 0; i < server->connection_count && opened < most; i++) {
        struct mc_connection *connection = &server->connections[i];
        const struct mc_dialect *dialect = connection->dialect;
        if (connection->state != MC_CLOSED || !server->used[dialect->index] ||
            !mc_server_is_usable(server, dialect) || now < connection->since + WARM_PAUSE)
            continue;
        (void)mc_connection_open(connection);
        opened++;
    }
    return opened;
}

void mc_server_tick(struct mc_server *server, uint64_t now)
{
    struct mc_connection *connection = LIST_FIRST(&server->uploads);

    while (connection != NULL) {
        struct mc_connection *next = LIST_NEXT(connection, upload);
        connection_tick(connection, now);
        connection = next;
    }
    for (unsigned i = 0; i < server->connection_count; i++)
        connection_tick(&server->connections[i], now);
    mc_upload_tick(server, now);
    if (server->drained)
        close_idle(server);
    for (unsigned i = 0; i < MC_DIALECTS && server->refs > 0 && !server->drained; i++)
        if (server->trust[i].failures > 0 && now >= server->trust[i].retry_at)
            try_again(server, dialects[i]);
}
