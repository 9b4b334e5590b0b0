#include "crossfade/relay/http_forward.h"

#include "crossfade/base/hash.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Connections that are tried for one request on one arm. */
#define ATTEMPTS_MAX 3u
#define REASON_TEXT 320

/* One more request for the arm that request->arm is from now on. */
static void enter_arm(struct http_request *request, const struct plan_arm *arm)
{
    struct worker *worker = request->plane->worker;

    request->arm = arm;
    request->cell = cells_get(worker->telemetry->http_arms, arm->web_cell, worker->index);
    counter_add(&request->cell->requests, 1);
    counter_add(&request->cell->active, 1);
}

static void free_request(struct http_request *request)
{
    struct http_plane *plane = request->plane;
    struct buffer_pool *pool = &plane->worker->buffers;

    ensure(request->server == NULL);
    if (request->cell != NULL)
        counter_sub(&request->cell->active, 1);
    buffer_clear(&request->head, pool);
    buffer_clear(&request->pending, pool);
    request->client->request = NULL;
    worker_unpin(plane->worker, request->pin);
    slab_put(&plane->requests, request);
}

void http_forward_count(struct http_request *request, unsigned status)
{
    struct http_arm_cell *cell = request->cell;

    if (status >= 500)
        counter_add(&cell->responses_5xx, 1);
    else if (status >= 400)
        counter_add(&cell->responses_4xx, 1);
    else if (status >= 300)
        counter_add(&cell->responses_3xx, 1);
    else
        counter_add(&cell->responses_2xx, 1);
}

void http_forward_end(struct http_request *request)
{
    histogram_add(&request->cell->latency, worker_now(request->plane->worker) - request->started);
    free_request(request);
}

/* The request ends with an answer of ours: the arm's failure, in words. */
static void answer_failure(struct http_request *request, unsigned status, const char *reason)
{
    struct http_client *client = request->client;
    bool head = request->method == HTTP1_HEAD;
    bool last = !request->keep_alive || !request->body_done;

    http_forward_count(request, status);
    http_forward_end(request);
    http_client_answer(client, status, reason, head, last);
}

void http_forward_abandon(struct http_request *request)
{
    if (request->server != NULL)
        http_server_close(request->server, "the client is gone");
    free_request(request);
}

/* On to stable, if the law and the budget allow. */
static bool to_stable(struct http_request *request)
{
    struct http_plane *plane = request->plane;
    const struct plan *plan = request->pin->snapshot->plan;

    if (!request->candidate || !plan->config->web.fallback_to_stable ||
        plan->config->web.fallback_budget == 0 || plane->fallback_balance < FALLBACK_COST)
        return false;
    plane->fallback_balance -= FALLBACK_COST;
    counter_add(&request->cell->fallbacks, 1);
    counter_sub(&request->cell->active, 1);
    request->candidate = false;
    request->attempts = 0;
    enter_arm(request, &plan->arms[plan->config->rollout.from]);
    return true;
}

/* What the connection has to send: what the one before did not take, or the head again. */
static bool load(struct http_request *request, struct http_server *server)
{
    struct buffer_pool *pool = &request->plane->worker->buffers;
    const struct segment *segment;

    if (request->pending.len > 0) {
        buffer_move(&server->output, &request->pending, pool);
        return true;
    }
    for (segment = request->head.first; segment != NULL; segment = segment->next)
        if (!buffer_append_ref(&server->output, pool, segment->chunk, segment->at, segment->len))
            return false;
    return true;
}

/* We have too little of something: nothing is wrong with the backend. */
static bool is_scarcity(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS ||
           error == EADDRNOTAVAIL;
}

/* Tries backends until one takes the request, or answers with why none did: `why`, unless more is
 * known by then. */
static void attempt(struct http_request *request, const char *why)
{
    struct http_plane *plane = request->plane;
    const struct config_web *web = &request->pin->snapshot->plan->config->web;
    char reason[REASON_TEXT - 64];
    char text[REASON_TEXT];

    for (;;) {
        struct http_backend *backend = NULL;
        struct http_server *server;

        if (request->attempts < ATTEMPTS_MAX) {
            backend =
                http_backend_choose(plane, request->arm, web->balance, reason, sizeof(reason));
            why = backend == NULL ? reason : why;
        }
        if (backend == NULL) {
            counter_add(&request->cell->connect_errors, 1);
            if (to_stable(request))
                continue;
            (void)snprintf(text, sizeof(text), "arm %s: %s", request->arm->config->name, why);
            answer_failure(request, 502, text);
            return;
        }
        server = http_server_take(backend, request, request->retried);
        if (server == NULL) {
            int error = errno;
            const char *what = error == EAGAIN         ? "its queue of connections is full"
                               : error == EDESTADDRREQ ? "its name has not been resolved"
                                                       : strerror(error);
            if (is_scarcity(error)) {
                (void)snprintf(text, sizeof(text), "no connection to a backend: %s", what);
                answer_failure(request, 503, text);
                return;
            }
            (void)snprintf(reason, sizeof(reason), "backend %s: %s", backend->name, what);
            why = reason;
            /* One that is only busy is not down. */
            if (error != EAGAIN)
                http_backend_failed(backend, backend->way, what);
            request->attempts++;
            continue;
        }
        if (!load(request, server)) {
            http_client_close(request->client, "out of memory");
            return;
        }
        http_server_wake(server);
        return;
    }
}

/* A response that was begun cannot be made whole: the client must not take it for that. */
static void break_off(struct http_request *request)
{
    struct http_client *client = request->client;
    bool raw = request->response_raw;

    http_forward_end(request);
    if (raw) {
        /* Its only end is the end of the connection: make that an error. */
        http_client_reset(client, "the backend broke off");
        return;
    }
    client->last = true;
    client->linger = false;
    http_client_done(client);
}

void http_forward_failed(struct http_request *request, enum http_failure failure, const char *why)
{
    struct http_server *server = request->server;
    struct http_backend *backend = server->backend;
    struct buffer_pool *pool = &request->plane->worker->buffers;
    bool answered = server->answered;
    bool stale = server->reused && !answered && failure == HTTP_FAILURE_RESET;
    bool safe = !answered && !request->body_begun &&
                http1_is_idempotent((enum http1_method)request->method);
    unsigned way = server->way;
    char text[REASON_TEXT];

    if (failure == HTTP_FAILURE_CONNECT)
        buffer_move(&request->pending, &server->output, pool);
    http_server_close(server, why);
    (void)snprintf(text, sizeof(text), "backend %s: %s", backend->name, why);
    if (failure == HTTP_FAILURE_CONNECT) {
        http_backend_failed(backend, way, why);
        request->attempts++;
        attempt(request, text);
        return;
    }
    /* It was closed while it was idle, and nobody has noticed yet: nobody's failure. */
    if (stale && safe && !request->retried) {
        request->retried = true;
        attempt(request, text);
        return;
    }
    log_info("web arm %s, backend %s: %s", request->arm->config->name, backend->name, why);
    if (failure == HTTP_FAILURE_TIMEOUT) {
        counter_add(&request->cell->timeouts, 1);
        counter_add(&backend->cell->timeouts, 1);
    } else {
        counter_add(&request->cell->resets, 1);
    }
    if (failure == HTTP_FAILURE_PROTOCOL)
        counter_add(&backend->cell->protocol_errors, 1);
    if (request->responded) {
        break_off(request);
        return;
    }
    if (safe && to_stable(request)) {
        attempt(request, text);
        return;
    }
    (void)snprintf(text, sizeof(text), "arm %s, backend %s: %s", request->arm->config->name,
                   backend->name, why);
    answer_failure(request, failure == HTTP_FAILURE_TIMEOUT ? 504 : 502, text);
}

static bool find_header(void *context, struct slice name, struct slice *value)
{
    const struct http1_request *parsed = context;
    return http1_find_field(&parsed->fields, name, value);
}

static bool find_cookie(void *context, struct slice name, struct slice *value)
{
    const struct http1_request *parsed = context;
    return http1_find_cookie(&parsed->fields, name, value);
}

static bool find_query(void *context, struct slice name, struct slice *value)
{
    const struct http1_request *parsed = context;
    return http1_find_query(parsed->target, name, value);
}

/* Which arm: the rollout's decision, or without one the arm that has backends. */
static void choose_arm(struct http_request *request, struct http1_request *parsed)
{
    const struct snapshot *snapshot = request->pin->snapshot;
    const struct plan *plan = snapshot->plan;
    struct cohort_decision decision;
    struct cohort_request asked = { find_header, find_cookie, find_query, parsed, { 0 } };
    size_t arm = 0;

    if (plan->cohort == NULL) {
        while (arm + 1 < plan->config->arm_count && plan->arms[arm].backend_count == 0)
            arm++;
        enter_arm(request, &plan->arms[arm]);
        return;
    }
    memcpy(asked.address, request->client->address, sizeof(asked.address));
    cohort_decide(plan->cohort, snapshot->position, &asked, &decision, &request->identity);
    /* After the promotion the old arm is no refuge: it may be switched off. */
    request->candidate = decision.candidate && decision.reason != COHORT_PROMOTED;
    request->issued = decision.issue;
    enter_arm(request, &plan->arms[decision.arm]);
    if (decision.issue)
        counter_add(&request->cell->issued, 1);
    else if (decision.reason == COHORT_ANONYMOUS)
        counter_add(&request->cell->anonymous, 1);
}

#define ID_TEXT (2u * HTTP_ID_HALF)

/* Unique over workers and restarts by the random half, within this worker by the counted one. */
static struct slice make_id(struct http_plane *plane, char out[ID_TEXT])
{
    memcpy(out, plane->id_text, HTTP_ID_HALF);
    http_id_half(hash_mix(plane->id_random ^ ++plane->id_count), out + HTTP_ID_HALF);
    return slice_of(out, ID_TEXT);
}

/* In a small chunk of its own: the head is kept for as long as the backend thinks, and must not
 * hold a large chunk that long. */
static bool compose(struct http_request *request, const struct http1_request *parsed)
{
    struct http_plane *plane = request->plane;
    struct buffer_pool *pool = &plane->worker->buffers;
    char id[ID_TEXT];
    const struct http1_hop hop = { .peer = slice_string(request->client->peer),
                                   .proto = SLICE("http"),
                                   .request_id = make_id(plane, id) };
    struct chunk *chunk = chunk_create(pool, http1_request_bound(parsed, &hop));
    bool done;

    if (chunk == NULL)
        return false;
    chunk->used = http1_request_write(chunk->data, parsed, &hop);
    done = buffer_append_ref(&request->head, pool, chunk, chunk->data, chunk->used);
    chunk_unref(chunk);
    return done;
}

/* What is refused before an arm is chosen. 0, or the status with *text. */
static unsigned refusal(const struct http_plane *plane, const struct http1_request *parsed,
                        const char **text)
{
    const struct config_web *web = &http_config(plane)->web;

    if (!web->present) {
        *text = "the web plane has been turned off";
        return 503;
    }
    if (parsed->body == HTTP1_BODY_LENGTH && parsed->length > web->body_limit) {
        *text = "the body is larger than is allowed here";
        return 413;
    }
    if (parsed->websocket) {
        *text = "WebSocket connections are not available in this version";
        return 501;
    }
    return 0;
}

void http_forward_begin(struct http_client *client)
{
    struct http_plane *plane = client->plane;
    struct http1_request *parsed = &plane->request;
    struct http_request *request;
    const char *text = NULL;
    unsigned status = refusal(plane, parsed, &text);

    request = status == 0 ? slab_get(&plane->requests) : NULL;
    if (request == NULL) {
        counter_add(&plane->worker->cell->web_bad_requests, 1);
        http_client_answer(client, status != 0 ? status : 503, status != 0 ? text : "out of memory",
                           parsed->method_id == HTTP1_HEAD, true);
        return;
    }
    memset(request, 0, offsetof(struct http_request, identity));
    request->plane = plane;
    request->client = client;
    request->pin = worker_pin(plane->worker);
    request->started = worker_now(plane->worker);
    request->method = (uint8_t)parsed->method_id;
    request->minor = (uint8_t)parsed->minor;
    request->body = (uint8_t)parsed->body;
    request->body_left = parsed->length;
    request->body_done = parsed->body == HTTP1_BODY_NONE ||
                         (parsed->body == HTTP1_BODY_LENGTH && parsed->length == 0);
    request->keep_alive = parsed->keep_alive;
    client->request = request;
    http_client_busy(client);
    choose_arm(request, parsed);
    plane->fallback_balance += request->pin->snapshot->plan->config->web.fallback_budget;
    if (plane->fallback_balance > FALLBACK_BALANCE_MAX)
        plane->fallback_balance = FALLBACK_BALANCE_MAX;
    if (!compose(request, parsed)) {
        http_client_close(client, "out of memory");
        return;
    }
    attempt(request, "");
}

/* A part of the body, framed for the backend. */
static bool send_body(struct http_request *request, struct slice data)
{
    struct http_server *server = request->server;
    struct buffer_pool *pool = &request->plane->worker->buffers;
    struct chunk *chunk = request->client->input.chunk;
    char head[HTTP1_CHUNK_HEAD];

    request->body_begun = true;
    if (server->deaf)
        return true;
    if (request->body == HTTP1_BODY_LENGTH)
        return buffer_append(&server->output, pool, chunk, data.data, data.len);
    return buffer_append_copy(&server->output, pool, head, http1_chunk_head(head, data.len)) &&
           buffer_append(&server->output, pool, chunk, data.data, data.len) &&
           buffer_append_copy(&server->output, pool, "\r\n", 2);
}

static bool no_memory(struct http1_fault *fault)
{
    *fault = (struct http1_fault){ 503, "out of memory" };
    return false;
}

/* The client's chunks, decoded; *rest is what is left of the bytes. */
static bool forward_chunks(struct http_request *request, struct slice *rest,
                           struct http1_fault *fault)
{
    struct buffer_pool *pool = &request->plane->worker->buffers;
    uint64_t limit = request->pin->snapshot->plan->config->web.body_limit;
    struct slice data;

    for (;;) {
        switch (http1_chunked_next(&request->body_chunked, rest, &data, fault)) {
        case HTTP1_CHUNKED_DATA:
            request->body_seen += data.len;
            if (request->body_seen > limit) {
                *fault = (struct http1_fault){ 413, "the body is larger than is allowed here" };
                return false;
            }
            if (!send_body(request, data))
                return no_memory(fault);
            break;
        case HTTP1_CHUNKED_MORE:
            return true;
        case HTTP1_CHUNKED_END:
            request->body_done = request->body_begun = true;
            if (!request->server->deaf &&
                !buffer_append_copy(&request->server->output, pool, "0\r\n\r\n", 5))
                return no_memory(fault);
            return true;
        case HTTP1_CHUNKED_BAD:
            return false;
        }
    }
}

bool http_forward_body(struct http_request *request, struct slice bytes, size_t *used,
                       struct http1_fault *fault)
{
    struct slice rest = bytes;

    if (request->body == HTTP1_BODY_LENGTH) {
        if (rest.len > request->body_left)
            rest.len = (size_t)request->body_left;
        *used = rest.len;
        if (!send_body(request, rest))
            return no_memory(fault);
        request->body_left -= rest.len;
        request->body_done = request->body_left == 0;
    } else {
        if (!forward_chunks(request, &rest, fault))
            return false;
        *used = bytes.len - rest.len;
    }
    http_server_wake(request->server);
    return true;
}
