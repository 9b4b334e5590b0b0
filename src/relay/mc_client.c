#include "crossfade/relay/mc_client.h"

#include "crossfade/proto/mc_binary.h"
#include "crossfade/relay/mc_flush.h"
#include "crossfade/relay/mc_pools.h"
#include "crossfade/relay/mc_strangers.h"

#include <stdio.h>
#include <unistd.h>

/* Parsing goes on again below this many operations under way. */
#define OPS_LOW (MC_CLIENT_OPS / 2)

static void on_ready(evutil_socket_t fd, short what, void *context);
static void flush_task(struct turn_task *task);
static void grave_task(struct turn_task *task);

static struct buffer_pool *pool_of(const struct mc_client *client)
{
    return &client->plane->worker->buffers;
}

/* What to wait for: there may be changes at every read and write of a TLS stream. */
static bool update_watch(struct mc_client *client)
{
    return watch_stream(&client->watch, &client->stream, !client->paused && !client->closing,
                        client->writing);
}

struct mc_client *mc_client_create(struct mc_plane *plane, struct mc_view *view, unsigned listener,
                                   const struct stream *stream, struct tls_cell *tls)
{
    struct mc_client *client = slab_get(&plane->clients);
    struct worker *worker = plane->worker;
    const struct plan *plan = view->pin->snapshot->plan;

    if (client == NULL) {
        struct stream refused = *stream;
        stream_close(&refused);
        return NULL;
    }
    memset(client, 0, sizeof(*client));
    client->plane = plane;
    client->view = mc_view_ref(view);
    client->cell = &plane->nobody;
    client->listener = (uint16_t)listener;
    client->listener_cell =
        cells_get(worker->telemetry->mc_listeners, plan->listener_cells[listener], worker->index);
    client->dialect = &mc_text;
    client->affinity = plane->next_affinity++;
    client->last_active = worker_now(worker);
    client->flush.run = flush_task;
    client->grave.run = grave_task;
    TAILQ_INIT(&client->ops);
    TAILQ_INIT(&client->silent);
    LIST_INIT(&client->stalled);
    input_init(&client->input);
    buffer_init(&client->output);
    client->stream = *stream;
    client->tls = tls;
    watch_init(&client->watch, worker->base, stream->fd, on_ready, client);
    TAILQ_INSERT_TAIL(&plane->client_list, client, link);
    plane->client_count++;
    counter_add(&client->cell->connections_current, 1);
    counter_add(&client->listener_cell->connections_total, 1);
    counter_add(&worker->cell->cache_clients, 1);
    if (tls != NULL)
        counter_add(&tls->connections, 1);
    mc_client_become_stranger(client, MC_STAGE_UNKNOWN);
    if (!update_watch(client)) {
        mc_client_close(client, "no memory for its events");
        return NULL;
    }
    mc_identify(client);
    if (client->stream.pending)
        mc_client_wake(client); /* its first commands came with the end of the handshake */
    return client;
}

static void grave_task(struct turn_task *task)
{
    struct mc_client *client =
        (struct mc_client *)(void *)((char *)task - offsetof(struct mc_client, grave));
    slab_put(&client->plane->clients, client);
}

bool mc_client_owes(struct mc_client *client)
{
    struct mc_plane *plane = client->plane;

    if (!client->owing) {
        client->owing = true;
        client->owes_since = worker_now(plane->worker);
        client->owes_taken = 0;
        LIST_INSERT_HEAD(&plane->owed, client, owes);
    }
    return buffer_pool_size(&plane->worker->buffers) > MC_MEMORY_SPARE;
}

/* It owes no more. */
static void settle(struct mc_client *client)
{
    if (client->owing)
        LIST_REMOVE(client, owes);
    client->owing = false;
}

/* It took so much of its output. A few bytes now and then do not count. */
static void took(struct mc_client *client, size_t len)
{
    client->owes_taken += len;
    if (client->output.len < MC_LOW_WATER) {
        settle(client);
    } else if (client->owes_taken >= MC_LOW_WATER) {
        client->owes_since = worker_now(client->plane->worker);
        client->owes_taken = 0;
    }
}

void mc_clients_tick(struct mc_plane *plane, uint64_t now)
{
    struct mc_client *client = LIST_FIRST(&plane->owed);

    while (client != NULL) {
        struct mc_client *next = LIST_NEXT(client, owes);
        /* Closing one may have closed the next; its memory is there to the end of the turn. */
        if (!client->closed &&
            now > client->owes_since + mc_view_config(client->view)->request_timeout)
            mc_client_close(client, "it does not read its replies");
        client = next;
    }
}

void mc_client_close(struct mc_client *client, const char *why)
{
    struct mc_plane *plane = client->plane;
    struct worker *worker = plane->worker;
    struct mc_connection *connection;
    struct mc_op *op;

    if (client->closed)
        return;
    client->closed = true;
    mc_login_leave(client);
    log_debug("cache client %d closed: %s", client->stream.fd, why);
    watch_stop(&client->watch);
    stream_close(&client->stream);
    if (client->upload != NULL)
        mc_server_upload_done(client->upload, client->upload_left > 0);
    client->upload = NULL;
    mc_upload_leave_line(client);
    while ((op = TAILQ_FIRST(&client->ops)) != NULL) {
        TAILQ_REMOVE(&client->ops, op, in_client);
        mc_op_orphan(op);
    }
    while ((op = TAILQ_FIRST(&client->silent)) != NULL) {
        TAILQ_REMOVE(&client->silent, op, in_client);
        mc_op_orphan(op);
    }
    mc_client_unblock(client);
    settle(client);
    while ((connection = LIST_FIRST(&client->stalled)) != NULL)
        mc_connection_resume(connection);
    input_clear(&client->input);
    buffer_clear(&client->output, &worker->buffers);
    TAILQ_REMOVE(&plane->client_list, client, link);
    plane->client_count--;
    counter_sub(&client->cell->connections_current, 1);
    if (client->tls != NULL)
        counter_sub(&client->tls->connections, 1);
    counter_sub(&worker->cell->cache_clients, 1);
    mc_view_unref(plane, client->view);
    client->view = NULL;
    worker_bury(worker, &client->grave);
}

void mc_client_wake(struct mc_client *client)
{
    if (!client->closed)
        worker_defer(client->plane->worker, &client->flush);
}

void mc_client_expect(struct mc_client *client, struct mc_op *op)
{
    op->client = client;
    if (op->flags & MC_OP_SILENT)
        TAILQ_INSERT_TAIL(&client->silent, op, in_client);
    else
        TAILQ_INSERT_TAIL(&client->ops, op, in_client);
    client->op_count++;
}

void mc_client_forget(struct mc_client *client, struct mc_op *op)
{
    TAILQ_REMOVE(&client->silent, op, in_client);
    client->op_count--;
    mc_client_wake(client);
}

struct mc_op *mc_client_op(struct mc_client *client, enum mc_verb verb)
{
    return mc_op_create(client->plane, verb, client->cell, worker_now(client->plane->worker));
}

void mc_client_hold_back(struct mc_client *client, struct mc_connection *connection)
{
    if (!connection->dedicated && connection->output.len > MC_HIGH_WATER)
        mc_client_block(client, connection);
}

void mc_client_block(struct mc_client *client, struct mc_connection *connection)
{
    if (client->blocked_by != NULL || client->closed)
        return;
    client->blocked_by = connection;
    LIST_INSERT_HEAD(&connection->blocked, client, blocked);
}

void mc_client_unblock(struct mc_client *client)
{
    if (client->blocked_by == NULL)
        return;
    LIST_REMOVE(client, blocked);
    client->blocked_by = NULL;
    mc_client_wake(client);
}

/* What was parked lies here and there: to copy a short piece costs less than one more vector. */
static void take_parked(struct mc_client *client, struct mc_op *op)
{
    const struct segment *only = op->reply.first;

    if (only != NULL && only->next == NULL && only->len <= BUFFER_COPY_MAX &&
        buffer_append_copy(&client->output, pool_of(client), only->at, only->len))
        buffer_clear(&op->reply, pool_of(client));
    else
        buffer_move(&client->output, &op->reply, pool_of(client));
}

/* What goes out behind the operation's own reply when it leaves the line. */
static bool leave(struct mc_client *client, struct mc_op *op)
{
    bool ok = true;

    take_parked(client, op);
    if ((op->flags & MC_OP_FAILED) && mc_verb_is_get(op->verb))
        client->get_failed = true;
    if (op->flags & MC_OP_LAST)
        ok = client->dialect->end_get(client);
    TAILQ_REMOVE(&client->ops, op, in_client);
    client->op_count--;
    mc_op_free(op);
    return ok;
}

/* What an operation had parked is parked no more. */
static void unpark(struct mc_client *client, struct mc_op *op)
{
    if ((op->flags & MC_OP_STARTED) == 0 && mc_verb_is_get(op->verb) &&
        (op->flags & MC_OP_LOCAL) == 0)
        client->parked -= op->reply.len;
}

void mc_client_advance(struct mc_client *client)
{
    struct mc_op *op;

    if (client->holding)
        return;
    while ((op = TAILQ_FIRST(&client->ops)) != NULL && (op->flags & MC_OP_DONE)) {
        unpark(client, op);
        if (!leave(client, op)) {
            mc_client_close(client, "out of memory");
            return;
        }
    }
    if (op != NULL && op->reply.len > 0 && mc_verb_is_get(op->verb) &&
        (op->flags & MC_OP_WHOLE) == 0) {
        /* It is first now: what it has so far goes out, and the rest as it comes. */
        unpark(client, op);
        op->flags |= MC_OP_STARTED;
        buffer_move(&client->output, &op->reply, pool_of(client));
    }
    mc_client_wake(client);
}

bool mc_client_answer(struct mc_client *client, struct slice text)
{
    struct mc_op *op;

    if (TAILQ_EMPTY(&client->ops)) {
        mc_client_wake(client);
        return buffer_append_copy(&client->output, pool_of(client), text.data, text.len);
    }
    op = mc_op_create(client->plane, MC_VERSION, client->cell, worker_now(client->plane->worker));
    if (op == NULL)
        return false;
    op->flags = MC_OP_LOCAL | MC_OP_DONE;
    op->pending = 0;
    if (!buffer_append_copy(&op->reply, pool_of(client), text.data, text.len)) {
        mc_op_free(op);
        return false;
    }
    mc_client_expect(client, op);
    return true;
}

/* Bytes of a value that nobody wants. */
static void swallow(struct mc_client *client)
{
    size_t here = input_bytes(&client->input).len;
    size_t part = here < client->swallow ? here : (size_t)client->swallow;

    input_consume(&client->input, part);
    client->swallow -= part;
}

/* The part of a large value that is here goes to the server. */
static enum mc_step feed_upload(struct mc_client *client)
{
    struct slice bytes = input_bytes(&client->input);
    size_t part = bytes.len < client->upload_left ? bytes.len : (size_t)client->upload_left;

    if (client->upload->output.len > MC_HIGH_WATER)
        return MC_STEP_STOP; /* the server is the slower one */
    if (!mc_connection_value(client->upload, client->input.chunk, slice_of(bytes.data, part)))
        return MC_STEP_CLOSE;
    input_consume(&client->input, part);
    client->upload_left -= part;
    return MC_STEP_ON;
}

static enum mc_step parse_one(struct mc_client *client)
{
    struct slice bytes = input_bytes(&client->input);

    if (bytes.len == 0 || bytes.len < client->need)
        return MC_STEP_MORE;
    client->need = 0;
    if (client->swallow > 0) {
        swallow(client);
        return MC_STEP_ON;
    }
    if (client->upload_left > 0)
        return feed_upload(client);
    if (client->upload != NULL || client->flushing || client->changing ||
        client->blocked_by != NULL || client->op_count >= MC_CLIENT_OPS ||
        client->output.len > MC_HIGH_WATER)
        return MC_STEP_STOP;
    if (client->stage != MC_STAGE_SERVED)
        return mc_login_step(client, bytes);
    /* Where too much waits, whoever has something under way waits for it, rather than be refused.
     */
    if (client->plane->crowded > 0 && client->op_count > 0)
        return MC_STEP_STOP;
    client->plane->command++;
    return client->dialect->step(client, bytes);
}

/*
 * Takes commands out of the input as long as there are any and room for them. Returns false when
 * the client was closed.
 */
static bool parse(struct mc_client *client)
{
    enum mc_step step;

    do
        step = parse_one(client);
    while (step == MC_STEP_ON && !client->closed);
    if (client->closed)
        return false;
    if (step == MC_STEP_CLOSE) {
        mc_client_close(client, "out of memory");
        return false;
    }
    if (client->closing)
        input_clear(&client->input);
    if (!input_keep(&client->input, pool_of(client), step == MC_STEP_MORE ? client->need : 0)) {
        mc_client_close(client, "out of memory");
        return false;
    }
    client->paused = step == MC_STEP_STOP;
    if (!update_watch(client)) {
        mc_client_close(client, "no memory for its events");
        return false;
    }
    if (client->closing)
        mc_client_wake(client);
    return true;
}

/* The first byte of a connection says which protocol it speaks. */
static void begin(struct mc_client *client)
{
    client->begun = true;
    if ((unsigned char)input_bytes(&client->input).data[0] == MC_BINARY_MAGIC_REQUEST)
        client->dialect = &mc_binary;
}

static void read_commands(struct mc_client *client)
{
    struct mc_plane *plane = client->plane;
    char why[160];
    size_t moved;

    switch (stream_read(&client->stream, &client->input, pool_of(client), &moved)) {
    case STREAM_OK:
        counter_add(&client->cell->bytes_read, moved);
        if (!client->begun)
            begin(client);
        if (mc_view_config(client->view)->idle_timeout > 0) {
            client->last_active = worker_now(plane->worker);
            TAILQ_REMOVE(&plane->client_list, client, link);
            TAILQ_INSERT_TAIL(&plane->client_list, client, link);
        }
        if (parse(client) && client->stream.pending)
            mc_client_wake(client);
        return;
    case STREAM_AGAIN:
        if (!input_keep(&client->input, pool_of(client), client->need) || !update_watch(client))
            mc_client_close(client, "out of memory");
        return;
    case STREAM_CLOSED:
        /* It may have closed its sending side only: what it asked for is still answered. */
        if (client->upload_left > 0 || !input_keep(&client->input, pool_of(client), 0)) {
            mc_client_close(client, "closed by the client");
            return;
        }
        client->closing = true;
        (void)parse(client);
        return;
    case STREAM_FAILED:
        mc_client_close(client, stream_why(&client->stream, why, sizeof(why)));
        return;
    }
}

static void on_ready(evutil_socket_t fd, short what, void *context)
{
    struct mc_client *client = context;

    (void)fd;
    if (client->closed)
        return;
    what = watch_meaning(&client->stream, what);
    if (what & EV_WRITE) {
        client->writing = false;
        mc_client_wake(client);
    }
    if ((what & EV_READ) && !client->paused && !client->closing)
        read_commands(client);
}

/* Server connections that waited for this client to read. */
static void resume_stalled(struct mc_client *client)
{
    struct mc_connection *connection = LIST_FIRST(&client->stalled);

    while (connection != NULL) {
        struct mc_connection *next = LIST_NEXT(connection, stalled);
        if (connection->stalled_parked ? client->parked < MC_PARKED_MAX / 2
                                       : client->output.len < MC_LOW_WATER)
            mc_connection_resume(connection);
        else if (!connection->stalled_parked &&
                 client->output.len + MC_LOW_WATER <= connection->stalled_len) {
            /* It does read, if slowly. A few bytes now and then would not count. */
            connection->stalled_since = worker_now(client->plane->worker);
            connection->stalled_len = client->output.len;
        }
        connection = next;
    }
}

static bool write_replies(struct mc_client *client)
{
    size_t before = client->output.len;
    enum stream_verdict verdict;
    char why[160];

    if (before == 0 || client->writing)
        return true;
    verdict = stream_flush(&client->stream, &client->output, pool_of(client));
    counter_add(&client->cell->bytes_written, before - client->output.len);
    if (verdict == STREAM_FAILED) {
        mc_client_close(client, stream_why(&client->stream, why, sizeof(why)));
        return false;
    }
    client->writing = verdict == STREAM_AGAIN;
    if (!update_watch(client)) {
        mc_client_close(client, "no memory for its events");
        return false;
    }
    if (client->owing)
        took(client, before - client->output.len);
    if (client->output.len < before && !LIST_EMPTY(&client->stalled))
        resume_stalled(client);
    return true;
}

static bool is_done(const struct mc_client *client)
{
    return client->op_count == 0 && client->output.len == 0 && client->stage != MC_STAGE_WAITING;
}

static void flush_task(struct turn_task *task)
{
    struct mc_client *client =
        (struct mc_client *)(void *)((char *)task - offsetof(struct mc_client, flush));

    if (client->closed)
        return;
    if (client->upload != NULL && client->upload_left == 0 && STAILQ_EMPTY(&client->upload->ops)) {
        /* The large value is answered: its connection is free for the next one. */
        mc_server_upload_done(client->upload, false);
        client->upload = NULL;
    }
    if (!write_replies(client))
        return;
    /* Commands that waited for room, or for an upload to end; their replies may be here at once. */
    if (client->paused && client->op_count <= OPS_LOW && client->output.len < MC_HIGH_WATER &&
        (!parse(client) || !write_replies(client)))
        return;
    if (client->closing && is_done(client))
        mc_client_close(client, "done");
    else if (client->plane->worker->draining)
        mc_client_drain(client);
    if (!client->closed && client->stream.pending && !client->paused && !client->closing)
        watch_again(&client->watch); /* what TLS has in hand makes no socket readable */
}

void mc_client_drain(struct mc_client *client)
{
    if (is_done(client) && input_bytes(&client->input).len == 0 && !client->stream.pending &&
        client->upload == NULL && client->swallow == 0)
        mc_client_close(client, "the daemon stops");
}
