/* Does a server speak meta? (relay/mc_meta.h has the conversation.) */
#include "crossfade/proto/mc_meta_reply.h"
#include "crossfade/relay/mc_meta.h"
#include "crossfade/relay/mc_pairing.h"
#include "crossfade/relay/mc_pools.h"
#include "crossfade/relay/mc_text.h"

static const struct slice question = SLICE_INIT("ms crossfade 2 MZ\r\nmn\r\nversion\r\n");
/* Lines that a server without meta answers at most, one for each of ours. */
#define LINES_MAX 3u

static bool ask(struct mc_connection *connection)
{
    struct mc_plane *plane = connection->server->plane;
    struct mc_op *op = mc_op_create(plane, MC_META_PROBE, NULL, worker_now(plane->worker));

    if (op == NULL)
        return false;
    op->flags |= MC_OP_PROBE;
    if (!mc_connection_close_batch(connection) ||
        !buffer_append_static(&connection->output, &plane->worker->buffers, question.data,
                              question.len)) {
        mc_op_free(op);
        return false;
    }
    connection->meta = MC_META_ASKED;
    connection->meta_lines = 0;
    mc_connection_enqueue(connection, op);
    return true;
}

enum mc_meta_state mc_meta_ask(struct mc_client *client, struct mc_connection *connection)
{
    struct mc_server *server = connection->server;

    if (connection->meta == MC_META_SPOKEN || connection->meta == MC_META_NOT_SPOKEN)
        return connection->meta;
    if (connection->meta == MC_META_UNKNOWN) {
        if (worker_now(server->plane->worker) < server->no_meta_until)
            return MC_META_NOT_SPOKEN;
        if (!ask(connection))
            return MC_META_NOT_SPOKEN;
    }
    if (!connection->dedicated) /* an upload's is the client's until it is answered */
        mc_client_block(client, connection);
    return MC_META_ASKED;
}

enum mc_meta_state mc_meta_find_out(struct mc_connection *connection)
{
    if (connection->meta == MC_META_UNKNOWN &&
        worker_now(connection->server->plane->worker) >= connection->server->no_meta_until)
        (void)ask(connection);
    return connection->meta;
}

enum mc_pair mc_meta_pair_probe(struct mc_connection *connection, struct mc_pairing *pairing)
{
    struct mc_meta_reply reply;
    bool first = connection->meta_lines == 0;
    struct mc_client *client;

    switch (mc_meta_reply_parse(pairing->bytes, &reply)) {
    case MC_REPLY_MORE:
        return MC_PAIR_MORE;
    case MC_REPLY_BAD:
        return mc_pair_doubt(pairing, "no answer to a question for meta", pairing->bytes);
    case MC_REPLY_OK:
        break;
    }
    input_consume(&connection->input, reply.line_len);
    connection->meta_lines++;
    if (first)
        connection->meta_swallows = reply.code == MC_META_CLIENT_ERROR;
    if (reply.code != MC_META_VERSION && connection->meta_lines < LINES_MAX)
        return MC_PAIR_ON;
    connection->meta =
        reply.code == MC_META_VERSION && connection->meta_lines == 2 && connection->meta_swallows
            ? MC_META_SPOKEN
            : MC_META_NOT_SPOKEN;
    connection->server->spoke_meta = connection->meta == MC_META_SPOKEN;
    connection->server->meta_doubts = 0;
    mc_op_free(mc_pair_take(connection));
    while ((client = LIST_FIRST(&connection->blocked)) != NULL)
        mc_client_unblock(client);
    return MC_PAIR_ON;
}
