/*
 * Large values: each streams from its client over a connection that nobody shares meanwhile, so
 * that a slow client holds nobody up. There are MC_UPLOADS_MAX of them for each server; the clients
 * behind stand in line for their turn, and none for longer than a request timeout.
 *
 *   client: set, 1 GB --> its turn? --yes--> connection --all sent, answered--> next
 *                             |                  ^
 *                             `-no-> in the line -`-request timeout--> SERVER_ERROR
 *
 * A client that hardly sends keeps its connection only as long as nobody waits for it.
 */
#include "crossfade/relay/mc_pools.h"

#include <stdlib.h>

/* An upload connection that nobody uses is closed after this. */
#define UPLOAD_IDLE SECONDS(10)

/* Who is first in the line has a look whether it is its turn. */
static void wake_first(struct mc_server *server)
{
    struct mc_client *first = TAILQ_FIRST(&server->upload_line);

    if (first != NULL && server->upload_count < MC_UPLOADS_MAX)
        mc_client_wake(first);
}

void mc_upload_leave_line(struct mc_client *client)
{
    struct mc_server *server = client->upload_line;

    if (server == NULL)
        return;
    TAILQ_REMOVE(&server->upload_line, client, upload_turn);
    client->upload_line = NULL;
    wake_first(server);
}

static bool is_its_turn(const struct mc_server *server, const struct mc_client *client)
{
    const struct mc_client *first = TAILQ_FIRST(&server->upload_line);

    return server->upload_count < MC_UPLOADS_MAX && (first == NULL || first == client);
}

bool mc_upload_waits(struct mc_client *client, struct slice key)
{
    struct mc_server *server;

    if (client->op_count > 0 || client->upload != NULL)
        return true;
    server = client->view->servers[placement_server(mc_client_plan(client)->placement, key)];
    if (client->upload_line != server)
        mc_upload_leave_line(client); /* a reload has moved the key */
    if (client->upload_refused || is_its_turn(server, client) ||
        !mc_server_is_usable(server, client->dialect)) {
        mc_upload_leave_line(client);
        return false;
    }
    if (client->upload_line == NULL) {
        client->upload_line = server;
        client->upload_since = worker_now(client->plane->worker);
        TAILQ_INSERT_TAIL(&server->upload_line, client, upload_turn);
    }
    return true;
}

struct mc_connection *mc_upload_open(struct mc_server *server, const struct mc_dialect *dialect)
{
    struct mc_connection *connection = malloc(sizeof(*connection));

    if (connection == NULL)
        return NULL;
    mc_connection_init(connection, server, dialect);
    connection->dedicated = true;
    if (!mc_connection_open(connection)) {
        free(connection);
        return NULL;
    }
    LIST_INSERT_HEAD(&server->uploads, connection, upload);
    return connection;
}

static struct mc_connection *find_idle(const struct mc_server *server,
                                       const struct mc_dialect *dialect)
{
    struct mc_connection *connection;

    LIST_FOREACH (connection, &server->uploads, upload)
        if (connection->uploader == NULL && connection->state == MC_READY &&
            STAILQ_EMPTY(&connection->ops) && connection->dialect == dialect)
            break;
    return connection;
}

struct mc_connection *mc_server_upload(struct mc_server *server, struct mc_client *client)
{
    struct mc_connection *connection;
    bool full = server->upload_count >= MC_UPLOADS_MAX;

    client->upload_refused = false;
    if (full)
        counter_add(&server->cell->turned_away, 1);
    if (full || !mc_server_admits(server, client->dialect))
        return NULL;
    connection = find_idle(server, client->dialect);
    if (connection == NULL)
        connection = mc_upload_open(server, client->dialect);
    if (connection == NULL)
        return NULL;
    connection->uploader = client;
    client->upload = connection; /* whatever becomes of the command now, it is given back */
    connection->fed_at = worker_now(server->plane->worker);
    connection->fed_bytes = 0;
    mc_connection_pace_begin(connection);
    server->upload_count++;
    wake_first(server);
    return connection;
}

/* The connection is no client's any more. */
static void release(struct mc_connection *connection)
{
    connection->uploader->upload = NULL;
    connection->uploader = NULL;
    connection->server->upload_count--;
    wake_first(connection->server);
}

/* The client has not sent all of its value: so the command was never given, and has nothing to
 * tell. memcached drops what is not whole. */
static void give_up(struct mc_connection *connection, const char *reason, const char *answer)
{
    /* The server may have refused the value long before its end. */
    struct mc_op *op = STAILQ_EMPTY(&connection->ops) ? NULL : mc_connection_take(connection);

    mc_connection_fail(connection, reason, false);
    if (op == NULL)
        return;
    op->flags &= ~(uint32_t)(MC_OP_INVALIDATES | MC_OP_TELL);
    mc_op_part_failed(op, answer);
}

void mc_server_upload_done(struct mc_connection *connection, bool broken)
{
    release(connection);
    if (broken)
        give_up(connection, "the client went away in the middle of a value",
                "the client went away in the middle of its value");
}

void mc_upload_failed(struct mc_connection *connection)
{
    struct mc_client *uploader = connection->uploader;

    if (uploader != NULL) {
        release(connection);
        /* The rest of the value is still to come from the client, and goes nowhere. */
        uploader->swallow += uploader->upload_left;
        uploader->upload_left = 0;
        mc_client_wake(uploader);
    }
    LIST_REMOVE(connection, upload);
    worker_bury(connection->server->plane->worker, &connection->grave);
}

/* Clients that hardly send lose their connections to those who wait for one. */
static void take_from_slow(struct mc_server *server, uint64_t now)
{
    struct mc_connection *connection = LIST_FIRST(&server->uploads);
    const struct mc_client *client;
    unsigned wanted = 0;

    TAILQ_FOREACH (client, &server->upload_line, upload_turn)
        wanted++;
    while (connection != NULL && wanted > 0) {
        struct mc_connection *next = LIST_NEXT(connection, upload);
        if (mc_connection_waits_for_value(connection) &&
            now > connection->fed_at + server->request_timeout) {
            give_up(connection, "its client sends too slowly",
                    "the value came too slowly, and others wait to send theirs");
            wanted--;
        }
        connection = next;
    }
}

void mc_upload_tick(struct mc_server *server, uint64_t now)
{
    struct mc_connection *connection = LIST_FIRST(&server->uploads);
    struct mc_client *client;

    while (connection != NULL) {
        struct mc_connection *next = LIST_NEXT(connection, upload);
        if (connection->uploader == NULL && STAILQ_EMPTY(&connection->ops) &&
            now > connection->since + UPLOAD_IDLE)
            mc_connection_fail(connection, "idle", false);
        connection = next;
    }
    take_from_slow(server, now);
    TAILQ_FOREACH (client, &server->upload_line, upload_turn)
        if (now > client->upload_since + server->request_timeout ||
            !mc_server_is_usable(server, client->dialect)) {
            client->upload_refused = true;
            mc_client_wake(client);
        }
}
