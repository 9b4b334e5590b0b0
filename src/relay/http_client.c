#include "crossfade/relay/http_client.h"

#include "crossfade/relay/http_forward.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* What a step with the input came to. */
enum progress {
    PROGRESS_GO,   /* look at the rest of the input */
    PROGRESS_WAIT, /* for more bytes, or for the request under way */
    PROGRESS_ENDED /* the client is closed */
};

/* The one function that moves a client from state to state. */
static void move(struct http_client *client, enum http_client_state state)
{
    struct http_client_list *lists = client->plane->client_lists;

    TAILQ_REMOVE(&lists[client->state], client, link);
    client->state = (uint8_t)state;
    client->since = worker_now(client->plane->worker);
    if (state != HTTP_CLIENT_CLOSED)
        TAILQ_INSERT_TAIL(&lists[state], client, link);
}

/* Progress: its time begins again. */
static void touch(struct http_client *client)
{
    if (client->since != worker_now(client->plane->worker))
        move(client, (enum http_client_state)client->state);
}

static void free_client(struct turn_task *task)
{
    struct http_client *client =
        (struct http_client *)((char *)task - offsetof(struct http_client, grave));
    slab_put(&client->plane->clients, client);
}

void http_client_close(struct http_client *client, const char *why)
{
    struct http_plane *plane = client->plane;

    if (client->state == HTTP_CLIENT_CLOSED)
        return;
    log_debug("web client %s: closed: %s", client->peer[0] != '\0' ? client->peer : "unix", why);
    if (client->request != NULL)
        http_forward_abandon(client->request);
    watch_stop(&client->watch);
    stream_close(&client->stream);
    input_clear(&client->input);
    buffer_clear(&client->output, &plane->worker->buffers);
    move(client, HTTP_CLIENT_CLOSED);
    plane->client_count--;
    if (client->refused)
        plane->refused_count--;
    else
        counter_sub(&plane->worker->cell->web_clients, 1);
    client->grave.run = free_client;
    worker_bury(plane->worker, &client->grave);
}

void http_client_reset(struct http_client *client, const char *why)
{
    const struct linger now = { .l_onoff = 1, .l_linger = 0 };

    (void)setsockopt(client->stream.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    http_client_close(client, why);
}

void http_client_wake(struct http_client *client)
{
    if (client->state != HTTP_CLIENT_CLOSED)
        worker_defer(client->plane->worker, &client->flush);
}

void http_client_busy(struct http_client *client)
{
    client->scan = 0;
    move(client, HTTP_CLIENT_BUSY);
}

void http_client_done(struct http_client *client)
{
    ensure(client->request == NULL);
    move(client, client->last ? HTTP_CLIENT_CLOSING : HTTP_CLIENT_IDLE);
    http_client_wake(client);
}

void http_client_answer(struct http_client *client, unsigned status, const char *text, bool head,
                        bool last)
{
    struct http_plane *plane = client->plane;
    char answer[HTTP1_ANSWER_MAX];
    size_t len;

    if ((client->eof && input_bytes(&client->input).len == 0) || plane->worker->draining)
        last = true;
    len = http1_answer_write(answer, status, text, head, last);
    client->scan = 0;
    client->last = last;
    client->linger = last;
    if (!buffer_append_copy(&client->output, &plane->worker->buffers, answer, len)) {
        http_client_close(client, "out of memory");
        return;
    }
    http_client_done(client);
}

/* An answer to what is wrong with the request itself; it is the last one. */
static void refuse(struct http_client *client, const struct http1_fault *fault)
{
    bool head = false;

    if (client->request != NULL) {
        bool responded = client->request->responded;
        head = client->request->method == HTTP1_HEAD;
        if (responded) {
            http_client_close(client, fault->text);
            return;
        }
        http_forward_abandon(client->request);
    }
    counter_add(&client->plane->worker->cell->web_bad_requests, 1);
    http_client_answer(client, fault->status, fault->text, head, true);
}

static enum progress take_head(struct http_client *client, struct slice bytes)
{
    struct http_plane *plane = client->plane;
    const struct config_web *web = &http_config(plane)->web;
    const struct http1_limits limits = { web->head_limit, web->headers_limit };
    struct http1_fault fault;
    size_t len;

    switch (http1_request_parse(&plane->request, bytes, &client->scan, &limits, &fault)) {
    case HTTP1_MORE:
        if (client->state == HTTP_CLIENT_IDLE)
            move(client, HTTP_CLIENT_HEAD);
        return PROGRESS_WAIT;
    case HTTP1_BAD:
        refuse(client, &fault);
        return PROGRESS_GO;
    case HTTP1_DONE:
        break;
    }
    len = plane->request.head_len;
    http_forward_begin(client);
    if (client->state == HTTP_CLIENT_CLOSED)
        return PROGRESS_ENDED;
    input_consume(&client->input, len);
    return PROGRESS_GO;
}

static enum progress take_body(struct http_client *client, struct slice bytes)
{
    struct http1_fault fault;
    size_t used = 0;

    if (!http_forward_body(client->request, bytes, &used, &fault))
        refuse(client, &fault);
    else
        input_consume(&client->input, used);
    return PROGRESS_GO;
}

static enum progress step(struct http_client *client)
{
    struct slice bytes = input_bytes(&client->input);

    switch ((enum http_client_state)client->state) {
    case HTTP_CLIENT_IDLE:
    case HTTP_CLIENT_HEAD:
        if (bytes.len == 0 || client->output.len > HTTP_HIGH_WATER)
            return PROGRESS_WAIT;
        return take_head(client, bytes);
    case HTTP_CLIENT_BUSY:
        if (bytes.len == 0 || client->request->body_done)
            return PROGRESS_WAIT;
        return take_body(client, bytes);
    case HTTP_CLIENT_CLOSING:
    case HTTP_CLIENT_LINGER:
        client->lingered += (uint32_t)bytes.len;
        input_clear(&client->input);
        return PROGRESS_WAIT;
    case HTTP_CLIENT_CLOSED:
        break;
    }
    return PROGRESS_ENDED;
}

/* Does what can be done with the input. False: the client is closed. */
static bool process(struct http_client *client)
{
    enum progress progress;

    do {
        progress = step(client);
    } while (progress == PROGRESS_GO);
    if (progress == PROGRESS_ENDED || client->state == HTTP_CLIENT_CLOSED)
        return false;
    if (!input_keep(&client->input, &client->plane->worker->buffers, 0)) {
        http_client_close(client, "out of memory");
        return false;
    }
    return true;
}

/* The client sends no more. A request that is all here still gets its answer (a half-closed
 * connection); otherwise there is nothing left to do. */
static void at_eof(struct http_client *client)
{
    client->eof = true;
    if (client->state == HTTP_CLIENT_CLOSING)
        client->linger = false;
    else if (client->state != HTTP_CLIENT_BUSY || !client->request->body_done)
        http_client_close(client, "the client closed it");
}

bool http_client_rewatch(struct http_client *client)
{
    /* Once stopped, reading goes on only when much is worked off. */
    size_t mark = (client->watch.mask & EV_READ) != 0 ? HTTP_HIGH_WATER : HTTP_LOW_WATER;
    bool reading = false;

    switch ((enum http_client_state)client->state) {
    case HTTP_CLIENT_IDLE:
    case HTTP_CLIENT_HEAD:
        reading = client->output.len <= mark;
        break;
    case HTTP_CLIENT_BUSY:
        ensure(client->request != NULL);
        if (client->request->body_done)
            reading = input_bytes(&client->input).len < HTTP_PIPELINE_MAX;
        else
            reading = client->request->server->output.len <= mark;
        break;
    case HTTP_CLIENT_CLOSING:
        break;
    case HTTP_CLIENT_LINGER:
        reading = true;
        break;
    case HTTP_CLIENT_CLOSED:
        return false;
    }
    if (watch_set(&client->watch, reading && !client->eof, client->blocked))
        return true;
    http_client_close(client, "the event loop is out of memory");
    return false;
}

static void read_client(struct http_client *client)
{
    size_t moved;

    switch (stream_read(&client->stream, &client->input, &client->plane->worker->buffers, &moved)) {
    case STREAM_OK:
        if (client->state == HTTP_CLIENT_BUSY)
            touch(client);
        break;
    case STREAM_AGAIN:
        break;
    case STREAM_CLOSED:
        at_eof(client);
        if (client->state == HTTP_CLIENT_LINGER)
            http_client_close(client, "done");
        break;
    case STREAM_FAILED:
        http_client_close(client, strerror(errno));
        break;
    }
    if (client->state == HTTP_CLIENT_CLOSED || !process(client))
        return;
    if (client->lingered > HTTP_LINGER_MAX)
        http_client_close(client, "it goes on sending after its last answer");
    else
        (void)http_client_rewatch(client);
}

/* All is written to a client that gets no more. */
static void end_output(struct http_client *client)
{
    if (!client->linger || client->eof) {
        http_client_close(client, "done");
        return;
    }
    /* Closing now would reset the connection if it is still sending, and the answer with it. */
    (void)shutdown(client->stream.fd, SHUT_WR);
    move(client, HTTP_CLIENT_LINGER);
}

/* Writes what there is. False: the client is closed. */
static bool write_client(struct http_client *client)
{
    size_t before = client->output.len;

    switch (stream_flush(&client->stream, &client->output, &client->plane->worker->buffers)) {
    case STREAM_OK:
        client->blocked = false;
        break;
    case STREAM_AGAIN:
        client->blocked = true;
        break;
    default:
        http_client_close(client, strerror(errno));
        return false;
    }
    if (client->output.len < before && client->state != HTTP_CLIENT_HEAD &&
        client->state != HTTP_CLIENT_LINGER)
        touch(client);
    return true;
}

static bool is_between(const struct http_client *client)
{
    return client->state == HTTP_CLIENT_IDLE || client->state == HTTP_CLIENT_HEAD;
}

static void flush_client(struct http_client *client)
{
    if (client->output.len > 0 && !client->blocked && !write_client(client))
        return;
    if (client->output.len < HTTP_LOW_WATER && client->request != NULL)
        http_server_resume(client->request->server);
    if (client->state == HTTP_CLIENT_CLOSED)
        return;
    /* The next of the requests that came together. */
    if (is_between(client) && input_bytes(&client->input).len > 0 && !process(client))
        return;
    if (client->output.len == 0) {
        if (client->state == HTTP_CLIENT_CLOSING)
            end_output(client);
        else if (is_between(client) && client->eof)
            http_client_close(client, "the client closed it");
        else if (client->state == HTTP_CLIENT_IDLE && client->plane->worker->draining)
            http_client_close(client, "the daemon is stopping");
    }
    (void)http_client_rewatch(client);
}

static void flush_task(struct turn_task *task)
{
    struct http_client *client =
        (struct http_client *)((char *)task - offsetof(struct http_client, flush));

    if (client->state != HTTP_CLIENT_CLOSED)
        flush_client(client);
}

static void on_ready(evutil_socket_t fd, short what, void *context)
{
    struct http_client *client = context;

    (void)fd;
    if ((what & EV_WRITE) != 0) {
        client->blocked = false;
        flush_client(client);
    }
    if ((what & EV_READ) != 0 && client->state != HTTP_CLIENT_CLOSED)
        read_client(client);
}

struct http_client *http_client_create(struct http_plane *plane, int fd, const struct address *peer)
{
    struct http_client *client = slab_get(&plane->clients);

    if (client == NULL) {
        struct stream stream;
        stream_init_plain(&stream, fd);
        stream_close(&stream);
        return NULL;
    }
    *client = (struct http_client){ .plane = plane,
                                    .since = worker_now(plane->worker),
                                    .state = HTTP_CLIENT_IDLE,
                                    .flush.run = flush_task };
    stream_init_plain(&client->stream, fd);
    input_init(&client->input);
    buffer_init(&client->output);
    if (peer->u.any.sa_family != AF_UNIX)
        (void)address_format_host(peer, client->peer, sizeof(client->peer));
    address_bytes(peer, client->address);
    watch_init(&client->watch, plane->worker->base, fd, on_ready, client);
    TAILQ_INSERT_TAIL(&plane->client_lists[HTTP_CLIENT_IDLE], client, link);
    plane->client_count++;
    counter_add(&plane->worker->cell->web_clients, 1);
    return client;
}

static void tick_busy(struct http_client *client)
{
    static const struct http1_fault slow = { 408, "the rest of the body did not come in time" };
    const struct http_request *request = client->request;

    if (client->output.len > 0)
        http_client_close(client, "it does not read its response");
    else if (!request->body_done && request->server->output.len <= HTTP_LOW_WATER &&
             !request->responded)
        refuse(client, &slow);
    else
        touch(client); /* it waits for the backend, whose time is counted elsewhere */
}

void http_client_tick(struct http_plane *plane, uint64_t now)
{
    static const struct http1_fault late = { 408, "the rest of the head did not come in time" };
    const struct config_web *web = &http_config(plane)->web;
    const uint64_t timeouts[HTTP_CLIENT_CLOSED] = {
        [HTTP_CLIENT_IDLE] = web->client_idle_timeout,
        [HTTP_CLIENT_HEAD] = web->request_head_timeout,
        [HTTP_CLIENT_BUSY] = web->client_idle_timeout,
        [HTTP_CLIENT_CLOSING] = web->client_idle_timeout,
        [HTTP_CLIENT_LINGER] = HTTP_LINGER,
    };

    for (unsigned state = 0; state < HTTP_CLIENT_CLOSED; state++) {
        struct http_client *client;
        while ((client = TAILQ_FIRST(&plane->client_lists[state])) != NULL &&
               client->since + timeouts[state] <= now) {
            if (state == HTTP_CLIENT_HEAD)
                refuse(client, &late);
            else if (state == HTTP_CLIENT_BUSY)
                tick_busy(client);
            else
                http_client_close(client, "idle");
        }
    }
}
