#include "crossfade/relay/mc_server.h"

#include "crossfade/base/hash.h"
#include "crossfade/relay/mc_fence.h"
#include "crossfade/relay/mc_journal.h"
#include "crossfade/relay/mc_pools.h"
#include "crossfade/relay/mc_renewal.h"
#include "crossfade/relay/mc_replay.h"

#include <stdio.h>
#include <stdlib.h>

#define BACK_OFF_FIRST MILLISECONDS(100)
#define BACK_OFF_MAX SECONDS(10)
/* A connection that was closed without a fault is opened again after this. */
#define WARM_PAUSE SECONDS(1)

static const struct mc_dialect *const dialects[MC_DIALECTS] = { &mc_text, &mc_binary };

/* Does it take new commands? */
static void assess(struct mc_server *server)
{
    bool crowded = server->waiting >= server->max_waiting || server->full_count > 0;

    if (crowded == server->crowded)
        return;
    server->crowded = crowded;
    server->plane->crowded += crowded ? 1u : -1u;
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
    server->owed = plane->worker->journal == NULL ? &plane->unowed
                   : server->name != NULL ? mc_journal_owed(plane->worker->journal, server->name)
                                          : NULL;
    if (server->name == NULL || server->connections == NULL || server->owed == NULL ||
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
    LIST_INIT(&server->fences);
    TAILQ_INIT(&server->upload_line);
    LIST_INSERT_HEAD(&plane->servers, server, link);
    server->used[mc_text.index] = true;
    server->max_waiting = config->max_waiting;
    mc_server_configure(server, backend, config);
    return server;
}

/* Where a way leads to, as an index into other addresses; -1: not among them. */
static int find_way(const struct mc_server *server, unsigned way, const struct addresses *among)
{
    return addresses_find(among, &server->addresses.all[way]);
}

/* Everything that is open to it goes to one of these addresses. */
static bool keeps_ways(const struct mc_server *server, const struct addresses *addresses)
{
    const struct mc_connection *upload;

    if (server->addresses.count == 0)
        return true;
    for (unsigned i = 0; i < server->connection_count; i++)
        if (server->connections[i].state != MC_CLOSED &&
            find_way(server, server->connections[i].way, addresses) < 0)
            return false;
    LIST_FOREACH (upload, &server->uploads, upload)
        if (find_way(server, upload->way, addresses) < 0)
            return false;
    return find_way(server, server->way, addresses) >= 0;
}

bool mc_server_is(const struct mc_server *server, const struct plan_backend *backend,
                  const struct config_cache *config)
{
    return strcmp(server->name, backend->config->endpoint.text) == 0 &&
           server->per_dialect == config->connections_per_server &&
           server->tls == server->plane->worker->current->snapshot->plan->tls->servers &&
           keeps_ways(server, &backend->addresses);
}

/* Its connections stay, as they go to some of these addresses (keeps_ways). */
static void place(struct mc_server *server, const struct addresses *addresses)
{
    struct mc_connection *upload;

    if (addresses_same(&server->addresses, addresses))
        return;
    if (server->addresses.count > 0) {
        for (unsigned i = 0; i < server->connection_count; i++)
            if (server->connections[i].state != MC_CLOSED)
                server->connections[i].way =
                    (unsigned)find_way(server, server->connections[i].way, addresses);
        LIST_FOREACH (upload, &server->uploads, upload)
            upload->way = (unsigned)find_way(server, upload->way, addresses);
        server->way = (unsigned)find_way(server, server->way, addresses);
    }
    server->addresses = *addresses;
    server->untried = addresses->count > 0 ? addresses->count - 1 : 0;
    for (unsigned i = 0; i < MC_DIALECTS; i++)
        server->trust[i].retry_at = 0; /* there is something new to try */
}

/* Connections that owe no reply are closed, and no others are opened. */
static void close_idle(struct mc_server *server)
{
    struct mc_connection *upload = LIST_FIRST(&server->uploads);

    for (unsigned i = 0; i < server->connection_count; i++)
        if (server->connections[i].state != MC_CLOSED && STAILQ_EMPTY(&server->connections[i].ops))
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
    server->max_waiting = config->max_waiting;
    assess(server);
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
    LIST_FOREACH (upload, &server->uploads, upload)
        if (!STAILQ_EMPTY(&upload->ops) || upload->uploader != NULL)
            return false;
    return true;
}

void mc_server_count(struct mc_server *server, struct mc_op *op)
{
    counter_add(&server->cell->waiting, 1);
    /* The keys and companions of one command count once. */
    if (server->counted == server->plane->command)
        return;
    server->counted = server->plane->command;
    op->flags |= MC_OP_COUNTED;
    server->waiting++;
    assess(server);
}

void mc_server_uncount(struct mc_server *server, const struct mc_op *op)
{
    counter_sub(&server->cell->waiting, 1);
    if ((op->flags & MC_OP_COUNTED) == 0)
        return;
    server->waiting--;
    assess(server);
}

void mc_server_weigh(struct mc_connection *connection)
{
    struct mc_server *server = connection->server;
    size_t len = connection->output.len;
    bool full = connection->full ? len >= MC_QUEUED_MAX / 2 : len >= MC_QUEUED_MAX;

    if (full == connection->full)
        return;
    connection->full = full;
    server->full_count += full ? 1u : -1u;
    assess(server);
}

void mc_server_failed(const struct mc_connection *connection, const char *reason)
{
    struct mc_server *server = connection->server;
    struct mc_trust *trust = mc_connection_trust(connection);
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

void mc_server_close(struct mc_server *server)
{
    struct mc_connection *upload;

    for (unsigned i = 0; i < server->connection_count; i++)
        mc_connection_fail(&server->connections[i], "no longer configured", false);
    while ((upload = LIST_FIRST(&server->uploads)) != NULL)
        mc_connection_fail(upload, "no longer configured", false);
}

void mc_server_destroy(struct mc_server *server)
{
    struct mc_client *client;

    mc_server_close(server);
    mc_fence_end_all(server);
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

const char *mc_server_refusal(const struct mc_server *server, const struct mc_dialect *dialect,
                              char *out, size_t size)
{
    const struct mc_trust *trust = &server->trust[dialect->index];

    if (server->drained)
        (void)snprintf(out, size, "memcached server %.64s is drained by the operator",
                       server->name);
    else if (trust->failures > 0)
        (void)snprintf(out, size, "%s", trust->reason);
    else if (server->crowded)
        (void)snprintf(out, size, "too many requests wait for memcached server %.64s",
                       server->name);
    else if (server->upload_count >= MC_UPLOADS_MAX)
        (void)snprintf(out, size,
                       "too many large values are on their way to memcached server %.64s",
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
    if (server->crowded && server->counted != server->plane->command) {
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
    if (server->drained || (server->crowded && !mc_server_admits(server, dialect)))
        return NULL;
    return mc_server_shared(server, dialect, affinity);
}

void mc_server_trusted(const struct mc_connection *connection)
{
    struct mc_server *server = connection->server;

    if (mc_connection_trust(connection)->failures > 0) {
        log_info("memcached server %s is back%s", server->name, connection->dialect->suffix);
        if (--server->down_dialects == 0) {
            counter_sub(&server->cell->down, 1);
            reach_ok(&server->cell->reach);
        }
    }
    mc_connection_trust(connection)->failures = 0;
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
    LIST_FOREACH (upload, &server->uploads, upload)
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
        mc_connection_tick(connection, now);
        connection = next;
    }
    for (unsigned i = 0; i < server->connection_count; i++)
        mc_connection_tick(&server->connections[i], now);
    mc_upload_tick(server, now);
    if (server->drained)
        close_idle(server);
    for (unsigned i = 0; i < MC_DIALECTS && server->refs > 0 && !server->drained; i++)
        if (server->trust[i].failures > 0 && now >= server->trust[i].retry_at)
            try_again(server, dialects[i]);
    mc_fence_tick(server, now);
    mc_replay_tick(server, now);
    mc_renewal_tick(server, now);
    /* What all workers share is shown by one. */
    if (server->plane->worker->index == 0)
        mc_journal_show(server->owed, server->cell);
}
