/*
 * The way back: a response's head and body, from the backend's connection to the client's output.
 */
#include "crossfade/relay/http_forward.h"

/* More interim responses than this before the real one are nonsense. */
#define INTERIM_MAX 16u

/* A body up to this is copied behind its head: one piece to be written costs less than two, and the
 * read chunk is free again for the next read, warm in the cache. */
#define COPY_MAX 4096u

static bool append_head(struct http_request *request, const struct http1_reply *reply)
{
    struct http_plane *plane = request->plane;
    struct buffer_pool *pool = &plane->worker->buffers;
    struct buffer *output = &request->client->output;
    size_t bound = http1_response_bound(&plane->response, reply);
    bool shared = bound <= CHUNK_SIZE / 2;
    struct chunk *chunk =
        shared ? buffer_pool_append_chunk(pool, bound) : chunk_create(pool, bound);
    char *at;
    size_t len;
    bool done;

    if (chunk == NULL)
        return false;
    at = chunk->data + chunk->used;
    len = http1_response_write(at, &plane->response, reply);
    done = buffer_append_ref(output, pool, chunk, at, len);
    if (done)
        chunk->used += len;
    if (!shared)
        chunk_unref(chunk);
    return done;
}

/* RFC 9110 section 15.2: to whoever knows them (HTTP/1.1), the real response follows. */
static bool interim(struct http_request *request, const char **why)
{
    static const struct http1_reply bare = { .close = false };

    if (request->plane->response.status == 101) {
        *why = "it switches to another protocol, unasked";
        return false;
    }
    if (++request->interim > INTERIM_MAX) {
        *why = "too many interim responses";
        return false;
    }
    if (request->minor == 0)
        return true;
    if (!append_head(request, &bare)) {
        http_client_close(request->client, "out of memory");
        return true;
    }
    http_client_wake(request->client);
    return true;
}

bool http_forward_response(struct http_request *request, const char **why)
{
    struct http_plane *plane = request->plane;
    struct http_client *client = request->client;
    const struct http1_response *response = &plane->response;
    const struct plan *plan = request->pin->snapshot->plan;
    struct http1_reply reply = { .close = false };
    bool framed = response->body == HTTP1_BODY_NONE || response->body == HTTP1_BODY_LENGTH;

    if (response->status < 200)
        return interim(request, why);
    request->responded = true;
    request->response_body = (uint8_t)response->body;
    request->response_left = response->body == HTTP1_BODY_LENGTH ? response->length : 0;
    http1_chunked_init(&request->response_chunked);
    request->response_chunks = !framed && request->minor == 1;
    request->response_raw = !framed && request->minor == 0;
    request->reusable = response->keep_alive;
    /* A body that is not all here yet may never be read: no other request can follow it. */
    client->last = !request->keep_alive || !request->body_done || plane->worker->draining ||
                   (client->eof && input_bytes(&client->input).len == 0);
    client->linger = request->keep_alive || !request->body_done;
    reply.close = client->last;
    reply.chunked = request->response_chunks;
    if (plan->config->web.arm_header)
        reply.arm = slice_string(request->arm->config->name);
    if (request->issued) {
        reply.cookie = slice_string(cohort_issue_cookie(plan->cohort));
        reply.cookie_value = slice_string(request->identity.value);
    }
    http_forward_count(request, response->status);
    buffer_clear(&request->head, &plane->worker->buffers);
    if (!append_head(request, &reply)) {
        http_client_close(client, "out of memory");
        return true;
    }
    http_client_wake(client);
    return true;
}

static bool append_part(struct http_request *request, struct slice bytes)
{
    struct buffer_pool *pool = &request->plane->worker->buffers;
    struct buffer *output = &request->client->output;

    return bytes.len <= COPY_MAX ? buffer_append_copy(output, pool, bytes.data, bytes.len)
                                 : buffer_append_ref(output, pool, request->server->input.chunk,
                                                     bytes.data, bytes.len);
}

bool http_forward_response_body(struct http_request *request, struct slice bytes)
{
    struct buffer_pool *pool = &request->plane->worker->buffers;
    struct buffer *output = &request->client->output;
    char head[HTTP1_CHUNK_HEAD];

    http_client_wake(request->client);
    if (!request->response_chunks)
        return append_part(request, bytes);
    return buffer_append_copy(output, pool, head, http1_chunk_head(head, bytes.len)) &&
           append_part(request, bytes) && buffer_append_copy(output, pool, "\r\n", 2);
}

void http_forward_finish(struct http_request *request)
{
    struct http_plane *plane = request->plane;
    struct http_client *client = request->client;
    struct http_server *server = request->server;

    if (request->response_chunks &&
        !buffer_append_copy(&client->output, &plane->worker->buffers, "0\r\n\r\n", 5)) {
        http_client_close(client, "out of memory");
        return;
    }
    if (request->reusable && request->body_done && !server->deaf && server->output.len == 0 &&
        input_bytes(&server->input).len == 0 && !server->backend->gone && !plane->worker->draining)
        http_server_keep(server);
    else
        http_server_close(server, "it is not kept after this response");
    http_forward_end(request);
    http_client_done(client);
}
