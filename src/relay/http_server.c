#include "crossfade/relay/http_server.h"

#include "crossfade/relay/http_forward.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* What a step of the response's way in came to. */
enum progress {
    PROGRESS_GO,   /* there may be more to do with the bytes here */
    PROGRESS_WAIT, /* for more bytes */
    PROGRESS_ENDED /* the connection is closed, or another's: hands off */
};

static struct http_server_list *list_of(struct http_server *server)
{
    switch ((enum http_server_state)server->state) {
    case HTTP_SERVER_CONNECTING:
        return &server->plane->connecting;
    case HTTP_SERVER_ACTIVE:
        return &server->plane->active;
    default:
        return &server->backend->idle;
    }
}

/* The one function that moves a connection from state to state. */
static void move(struct http_server *server, enum http_server_state state)
{
    struct http_backend *backend = server->backend;

    TAILQ_REMOVE(list_of(server), server, link);
    if (server->state == HTTP_SERVER_IDLE)
        backend->idle_count--;
    if (state == HTTP_SERVER_IDLE)
        backend->idle_count++;
    counter_set(&backend->cell->idle, backend->idle_count);
    server->state = (uint8_t)state;
    server->since = worker_now(server->plane->worker);
    if (state == HTTP_SERVER_IDLE)
        TAILQ_INSERT_HEAD(&backend->idle, server, link);
    else if (state != HTTP_SERVER_CLOSED)
        TAILQ_INSERT_TAIL(list_of(server), server, link);
}

static void touch(struct http_server *server)
{
    uint64_t now = worker_now(server->plane->worker);

    if (server->since == now || server->state == HTTP_SERVER_CONNECTING)
        return;
    server->since = now;
    TAILQ_REMOVE(&server->plane->active, server, link);
    TAILQ_INSERT_TAIL(&server->plane->active, server, link);
}

/* Takes the connection from its request. */
static void detach(struct http_server *server)
{
    struct http_backend *backend = server->backend;

    if (server->request == NULL)
        return;
    server->request->server = NULL;
    server->request = NULL;
    backend->active--;
    counter_set(&backend->cell->active, backend->active);
}

static void free_server(struct turn_task *task)
{
    struct http_server *server =
        (struct http_server *)((char *)task - offsetof(struct http_server, grave));
    slab_put(&server->plane->servers, server);
}

void http_server_close(struct http_server *server, const char *why)
{
    struct http_plane *plane = server->plane;
    struct http_backend *backend = server->backend;

    if (server->state == HTTP_SERVER_CLOSED)
        return;
    log_debug("web backend %s: connection closed: %s", backend->name, why);
    if (server->probe)
        backend->probing = false;
    detach(server);
    watch_stop(&server->watch);
    stream_close(&server->stream);
    input_clear(&server->input);
    buffer_clear(&server->output, &plane->worker->buffers);
    move(server, HTTP_SERVER_CLOSED);
    backend->connections--;
    server->grave.run = free_server;
    worker_bury(plane->worker, &server->grave);
}

/* False: it was closed, and its request has failed. */
static bool rewatch(struct http_server *server)
{
    if (watch_set(&server->watch, !server->paused, server->blocked))
        return true;
    if (server->request != NULL)
        http_forward_failed(server->request, HTTP_FAILURE_RESET, "the event loop is out of memory");
    else
        http_server_close(server, "the event loop is out of memory");
    return false;
}

void http_server_keep(struct http_server *server)
{
    detach(server);
    input_clear(&server->input);
    server->scan = 0;
    server->paused = false;
    server->reused = true;
    server->answered = false;
    move(server, HTTP_SERVER_IDLE);
    (void)rewatch(server);
}

void http_server_resume(struct http_server *server)
{
    if (!server->paused)
        return;
    server->paused = false;
    touch(server);
    (void)rewatch(server);
}

/* The connection was made after all. */
static void connected(struct http_server *server)
{
    struct http_backend *backend = server->backend;

    if (backend->failures > 0) {
        log_info("web backend %s: it can be reached again", backend->name);
        backend->failures = 0;
        counter_set(&backend->cell->down, 0);
        reach_ok(&backend->cell->reach);
    }
    if (server->probe)
        backend->probing = false;
    server->probe = false;
    if (backend->addresses.count > 0)
        backend->untried = backend->addresses.count - 1;
    counter_add(&backend->cell->connects, 1);
    move(server, HTTP_SERVER_ACTIVE);
}

static enum progress finish(struct http_server *server)
{
    if (input_bytes(&server->input).len > 0) {
        counter_add(&server->backend->cell->protocol_errors, 1);
        log_warn("web backend %s: bytes behind the end of a response; closing the connection",
                 server->backend->name);
    }
    http_forward_finish(server->request);
    return PROGRESS_ENDED;
}

static enum progress take_head(struct http_server *server)
{
    struct http_plane *plane = server->plane;
    struct http_request *request = server->request;
    const struct config_web *web = &request->pin->snapshot->plan->config->web;
    const struct http1_limits limits = { web->head_limit, web->headers_limit };
    struct http1_fault fault;
    const char *why;

    switch (http1_response_parse(&plane->response, input_bytes(&server->input), &server->scan,
                                 (enum http1_method)request->method, &limits, &fault)) {
    case HTTP1_MORE:
        return PROGRESS_WAIT;
    case HTTP1_BAD:
        http_forward_failed(request, HTTP_FAILURE_PROTOCOL, fault.text);
        return PROGRESS_ENDED;
    case HTTP1_DONE:
        break;
    }
    if (!http_forward_response(request, &why)) {
        http_forward_failed(request, HTTP_FAILURE_PROTOCOL, why);
        return PROGRESS_ENDED;
    }
    input_consume(&server->input, plane->response.head_len);
    server->scan = 0;
    return PROGRESS_GO;
}

/* Gives a part of the body on; the client is closed if there is no memory for it. */
static bool give(struct http_server *server, struct slice bytes)
{
    struct http_request *request = server->request;

    if (http_forward_response_body(request, bytes))
        return true;
    http_client_close(request->client, "out of memory");
    return false;
}

static enum progress take_chunks(struct http_server *server)
{
    struct http_request *request = server->request;
    struct slice bytes = input_bytes(&server->input);
    struct slice rest = bytes;
    struct http1_fault fault;
    struct slice data;

    for (;;) {
        enum http1_chunked_verdict verdict =
            http1_chunked_next(&request->response_chunked, &rest, &data, &fault);
        switch (verdict) {
        case HTTP1_CHUNKED_DATA:
            if (!give(server, data))
                return PROGRESS_ENDED;
            break;
        case HTTP1_CHUNKED_MORE:
            input_consume(&server->input, bytes.len);
            return PROGRESS_WAIT;
        case HTTP1_CHUNKED_END:
            input_consume(&server->input, bytes.len - rest.len);
            return finish(server);
        case HTTP1_CHUNKED_BAD:
            http_forward_failed(request, HTTP_FAILURE_PROTOCOL, fault.text);
            return PROGRESS_ENDED;
        }
    }
}

static enum progress take_body(struct http_server *server)
{
    struct http_request *request = server->request;
    struct slice bytes = input_bytes(&server->input);

    switch ((enum http1_body)request->response_body) {
    case HTTP1_BODY_NONE:
        return finish(server);
    case HTTP1_BODY_LENGTH:
        if (bytes.len > request->response_left)
            bytes.len = (size_t)request->response_left;
        if (bytes.len > 0 && !give(server, bytes))
            return PROGRESS_ENDED;
        input_consume(&server->input, bytes.len);
        request->response_left -= bytes.len;
        return request->response_left == 0 ? finish(server) : PROGRESS_WAIT;
    case HTTP1_BODY_CHUNKED:
        return take_chunks(server);
    case HTTP1_BODY_CLOSE:
        if (bytes.len > 0 && !give(server, bytes))
            return PROGRESS_ENDED;
        input_consume(&server->input, bytes.len);
        return PROGRESS_WAIT;
    }
    return PROGRESS_WAIT;
}

static void process(struct http_server *server)
{
    struct http_request *request = server->request;
    enum progress progress;

    do {
        progress = request->responded ? take_body(server) : take_head(server);
    } while (progress == PROGRESS_GO && server->state == HTTP_SERVER_ACTIVE);
    if (server->state == HTTP_SERVER_CLOSED)
        return;
    if (!input_keep(&server->input, &server->plane->worker->buffers, 0)) {
        if (server->request != NULL)
            http_forward_failed(server->request, HTTP_FAILURE_RESET, "out of memory");
        return;
    }
    if (server->request != NULL && server->request->client->output.len > HTTP_HIGH_WATER) {
        server->paused = true;
        (void)rewatch(server);
    }
}

/* The backend closed, or the connection broke (then `error` is set). */
static void ended(struct http_server *server, int error)
{
    struct http_request *request = server->request;

    if (server->state == HTTP_SERVER_CONNECTING)
        http_forward_failed(request, HTTP_FAILURE_CONNECT,
                            error != 0 ? strerror(error) : "it closes the connection at once");
    else if (request->responded && request->response_body == HTTP1_BODY_CLOSE && error == 0)
        http_forward_finish(request);
    else if (error != 0)
        http_forward_failed(request, HTTP_FAILURE_RESET, strerror(error));
    else
        http_forward_failed(request, HTTP_FAILURE_RESET,
                            server->answered ? "it closed the connection in mid-response"
                                             : "it closed the connection without a response");
}

static void read_server(struct http_server *server)
{
    struct buffer_pool *pool = &server->plane->worker->buffers;
    size_t moved;
    enum stream_verdict verdict = stream_read(&server->stream, &server->input, pool, &moved);
    int error = errno;

    if (server->state == HTTP_SERVER_IDLE) {
        if (verdict == STREAM_OK)
            counter_add(&server->backend->cell->protocol_errors, 1);
        if (verdict != STREAM_AGAIN)
            http_server_close(server, verdict == STREAM_OK ? "bytes that nobody asked for"
                                                           : "the backend closed it");
        else
            input_clear(&server->input);
        return;
    }
    switch (verdict) {
    case STREAM_OK:
        if (server->state == HTTP_SERVER_CONNECTING) {
            connected(server);
            server->answered = true;
            http_forward_failed(server->request, HTTP_FAILURE_PROTOCOL,
                                "it speaks before it was asked");
            return;
        }
        server->answered = true;
        touch(server);
        process(server);
        return;
    case STREAM_AGAIN:
        if (!input_keep(&server->input, pool, 0))
            http_forward_failed(server->request, HTTP_FAILURE_RESET, "out of memory");
        return;
    case STREAM_CLOSED:
        ended(server, 0);
        return;
    case STREAM_FAILED:
        ended(server, error);
        return;
    }
}

static void write_server(struct http_server *server)
{
    size_t before = server->output.len;
    enum stream_verdict verdict =
        stream_flush(&server->stream, &server->output, &server->plane->worker->buffers);
    int error = errno;

    if (server->output.len < before) {
        if (server->state == HTTP_SERVER_CONNECTING)
            connected(server);
        touch(server);
    }
    server->blocked = verdict == STREAM_AGAIN;
    if (verdict == STREAM_FAILED && server->state == HTTP_SERVER_CONNECTING) {
        ended(server, error);
        return;
    }
    if (verdict == STREAM_FAILED) {
        /* It may have answered early and closed: what it said is still to be read. */
        server->deaf = true;
        buffer_clear(&server->output, &server->plane->worker->buffers);
        if (!server->paused) {
            read_server(server);
            if (server->state != HTTP_SERVER_ACTIVE)
                return;
        }
    }
    if (rewatch(server) && server->request != NULL && !server->request->body_done)
        (void)http_client_rewatch(server->request->client);
}

static void flush_task(struct turn_task *task)
{
    struct http_server *server =
        (struct http_server *)((char *)task - offsetof(struct http_server, flush));

    if (server->state != HTTP_SERVER_CLOSED && server->output.len > 0 && !server->blocked)
        write_server(server);
}

void http_server_wake(struct http_server *server)
{
    worker_defer(server->plane->worker, &server->flush);
}

static void on_ready(evutil_socket_t fd, short what, void *context)
{
    struct http_server *server = context;

    (void)fd;
    if ((what & EV_WRITE) != 0)
        write_server(server);
    if ((what & EV_READ) != 0 && server->state != HTTP_SERVER_CLOSED)
        read_server(server);
}

static struct http_server *create(struct http_backend *backend)
{
    struct http_plane *plane = backend->plane;
    struct http_server *server = slab_get(&plane->servers);
    int fd;

    if (server == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    fd = backend->addresses.count > 0 ? stream_connect_socket(&backend->addresses.all[backend->way])
                                      : -1;
    if (fd < 0) {
        int error = backend->addresses.count > 0 ? errno : EDESTADDRREQ;
        slab_put(&plane->servers, server);
        errno = error;
        return NULL;
    }
    *server = (struct http_server){ .plane = plane,
                                    .backend = backend,
                                    .since = worker_now(plane->worker),
                                    .state = HTTP_SERVER_CONNECTING,
                                    .way = (uint8_t)backend->way,
                                    .flush.run = flush_task };
    stream_init_plain(&server->stream, fd);
    input_init(&server->input);
    buffer_init(&server->output);
    watch_init(&server->watch, plane->worker->base, fd, on_ready, server);
    TAILQ_INSERT_TAIL(&plane->connecting, server, link);
    backend->connections++;
    if (backend->failures > 0)
        server->probe = backend->probing = true;
    if (!watch_set(&server->watch, true, false)) {
        http_server_close(server, "the event loop is out of memory");
        errno = ENOMEM;
        return NULL;
    }
    return server;
}

/* The backend has not closed it, and said nothing. */
static bool is_alive(struct http_server *server)
{
    char byte;
    return recv(server->stream.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
           (errno == EAGAIN || errno == EWOULDBLOCK);
}

struct http_server *http_server_take(struct http_backend *backend, struct http_request *request,
                                     bool fresh)
{
    struct http_server *server = NULL;

    while (!fresh && (server = TAILQ_FIRST(&backend->idle)) != NULL) {
        /* What cannot be sent twice goes to a connection that lives for all that can be known. */
        if (http1_is_idempotent((enum http1_method)request->method) || is_alive(server)) {
            move(server, HTTP_SERVER_ACTIVE);
            break;
        }
        http_server_close(server, "the backend closed it");
    }
    if (server == NULL)
        server = create(backend);
    if (server == NULL)
        return NULL;
    server->request = request;
    request->server = server;
    backend->active++;
    counter_set(&backend->cell->active, backend->active);
    counter_add(&backend->cell->requests, 1);
    return server;
}

/* Waiting is not the backend's fault: the client does not read, or has not sent all. */
static bool is_excused(const struct http_server *server)
{
    return server->paused || (!server->request->body_done && server->output.len == 0);
}

void http_server_tick(struct http_plane *plane, uint64_t now)
{
    const struct config_web *web = &http_config(plane)->web;
    struct http_server *server;
    struct http_backend *backend, *following;
    char why[64];

    while ((server = TAILQ_FIRST(&plane->connecting)) != NULL &&
           server->since + web->connect_timeout <= now) {
        (void)snprintf(why, sizeof(why), "no connection within %llu ms",
                       (unsigned long long)(web->connect_timeout / 1000));
        http_forward_failed(server->request, HTTP_FAILURE_CONNECT, why);
    }
    while ((server = TAILQ_FIRST(&plane->active)) != NULL &&
           server->since + web->response_timeout <= now) {
        if (is_excused(server)) {
            touch(server);
            continue;
        }
        (void)snprintf(why, sizeof(why), "no response within %llu ms",
                       (unsigned long long)(web->response_timeout / 1000));
        http_forward_failed(server->request, HTTP_FAILURE_TIMEOUT, why);
    }
    for (backend = LIST_FIRST(&plane->backends); backend != NULL; backend = following) {
        following = LIST_NEXT(backend, link);
        while ((server = TAILQ_LAST(&backend->idle, http_server_list)) != NULL &&
               server->since + (backend->idle_count > HTTP_BACKEND_SPARE ? HTTP_BACKEND_SURPLUS
                                                                         : HTTP_BACKEND_IDLE) <=
                   now)
            http_server_close(server, "idle");
        if (backend->gone && backend->connections == 0)
            http_backend_destroy(backend);
    }
}
