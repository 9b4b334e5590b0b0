/*
 * How long is waited: for a server that does not answer or hardly moves, and for a client that does
 * not read what a server sends it.
 */
#include "crossfade/relay/mc_pools.h"

/* Shares of the request timeout. */
#define PATIENCE_MOST 2
/* With much of its output waiting besides, a client that takes nothing for so long is not going to.
 */
#define PATIENCE_LIMIT MILLISECONDS(250)
#define PATIENCE_LEAST 16
/* A value that streams, either way, has to move by so much (or to its end) within a request
 * timeout: a server that sends a byte now and then would hold up all who share the connection. */
#define PACE_BYTES (16u * 1024u)

static uint64_t now_of(const struct mc_connection *connection)
{
    return worker_now(connection->server->plane->worker);
}

void mc_connection_pace(struct mc_connection *connection, size_t moved)
{
    connection->since = now_of(connection);
    connection->pace_bytes += moved;
    if (connection->pace_bytes >= PACE_BYTES)
        mc_connection_pace_begin(connection);
}

void mc_connection_pace_begin(struct mc_connection *connection)
{
    connection->pace_at = now_of(connection);
    connection->pace_bytes = 0;
}

void mc_connection_fed(struct mc_connection *connection, size_t len)
{
    connection->fed_bytes += len;
    if (connection->fed_bytes < PACE_BYTES)
        return;
    connection->fed_at = now_of(connection);
    connection->fed_bytes = 0;
}

void mc_connection_stall(struct mc_connection *connection, struct mc_client *client, bool parked)
{
    uint64_t now = now_of(connection);

    if (connection->stalled_by != NULL || client->closed)
        return;
    if (!parked) {
        /* At first all of it, for the clock is far from zero. */
        uint64_t share = connection->server->request_timeout / PATIENCE_MOST;
        uint64_t most = share < PATIENCE_LIMIT ? share : PATIENCE_LIMIT;
        uint64_t back = connection->patience + (now - connection->patience_at) / 4;

        connection->patience = back < most ? back : most;
        connection->patience_at = now;
    }
    connection->stalled_by = client;
    connection->stalled_parked = parked;
    connection->stalled_since = now;
    connection->stalled_len = client->output.len;
    LIST_INSERT_HEAD(&client->stalled, connection, stalled);
    if (!mc_connection_watch(connection))
        mc_client_close(client, "no memory for its events");
}

void mc_connection_unstall(struct mc_connection *connection)
{
    if (connection->stalled_by == NULL)
        return;
    LIST_REMOVE(connection, stalled);
    connection->stalled_by = NULL;
}

void mc_connection_resume(struct mc_connection *connection)
{
    mc_connection_unstall(connection);
    connection->since = connection->resumed = now_of(connection);
    if (!mc_connection_watch(connection)) {
        mc_connection_fail(connection, "no memory for its events", false);
        return;
    }
    worker_defer(connection->server->plane->worker, &connection->flush);
}

bool mc_connection_waits_for_value(const struct mc_connection *connection)
{
    return connection->uploader != NULL && connection->uploader->upload_left > 0 &&
           connection->output.len == 0;
}

bool mc_connection_is_late(const struct mc_connection *connection, uint64_t now)
{
    const struct mc_op *first = STAILQ_FIRST(&connection->ops);
    uint64_t begin;

    if (first == NULL || connection->stalled_by != NULL ||
        mc_connection_waits_for_value(connection))
        return false;
    begin = connection->resumed > first->started ? connection->resumed : first->started;
    if ((connection->body_left > 0 || connection->dedicated) && connection->pace_at > begin)
        begin = connection->pace_at;
    return now > begin + connection->server->request_timeout;
}

void mc_connection_tick_stall(struct mc_connection *connection, uint64_t now)
{
    uint64_t request_timeout = connection->server->request_timeout;
    bool parked = connection->stalled_parked;
    /* What it waits for at another server fails in time by itself, and it is not to blame. */
    uint64_t limit = parked ? request_timeout * 2 : connection->patience;

    if (connection->stalled_by == NULL || now <= connection->stalled_since + limit)
        return;
    if (!parked)
        connection->patience = request_timeout / PATIENCE_LEAST < PATIENCE_LIMIT / 8
                                   ? request_timeout / PATIENCE_LEAST
                                   : PATIENCE_LIMIT / 8;
    mc_client_close(connection->stalled_by, "it does not read its replies");
}
