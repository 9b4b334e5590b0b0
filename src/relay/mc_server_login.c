/*
 * Logging in to a memcached server: before anything else on a connection, and all else waits in its
 * output until the server has taken it. Text connections by ASCII authentication (memcached -Y),
 * binary ones by SASL PLAIN (memcached -S).
 */
#include "crossfade/conf/credentials.h"
#include "crossfade/proto/mc_binary.h"
#include "crossfade/relay/mc_pools.h"
#include "crossfade/relay/mc_server.h"

#include <stdio.h>
#include <stdlib.h>

/* Of a server's answer. */
#define LINE_MAX_BYTES 512u
#define OPAQUE 0u

void mc_server_forget_login(struct mc_server *server)
{
    if (server->login == NULL)
        return;
    explicit_bzero(server->login, sizeof(*server->login));
    free(server->login);
    server->login = NULL;
}

bool mc_server_set_login(struct mc_server *server, const struct credentials *credentials)
{
    struct credentials *copy = NULL;

    if (credentials != NULL) {
        copy = malloc(sizeof(*copy));
        if (copy == NULL)
            return false;
        *copy = *credentials;
    }
    mc_server_forget_login(server);
    server->login = copy;
    return true;
}

static struct buffer_pool *pool_of(const struct mc_connection *connection)
{
    return &connection->server->plane->worker->buffers;
}

/*
 * The time of expiry means nothing to a server that wants a login, and has one that wants none not
 * keep the password as an item.
 */
static size_t write_text(const struct credentials *login, char *out, size_t size)
{
    return (size_t)snprintf(out, size, "set crossfade 0 -1 %zu\r\n%s %s\r\n",
                            strlen(login->user) + 1 + strlen(login->password), login->user,
                            login->password);
}

static size_t write_binary(const struct credentials *login, char *out)
{
    static const struct slice mechanism = SLICE_INIT("PLAIN");
    size_t user = strlen(login->user);
    size_t password = strlen(login->password);
    char *at = out + MC_BINARY_HEADER;

    mc_binary_request_write(out, MC_BINARY_SASL_AUTH, mechanism.len, 0,
                            (uint32_t)(mechanism.len + 1 + user + 1 + password), OPAQUE, 0);
    memcpy(at, mechanism.data, mechanism.len);
    at += mechanism.len;
    *at++ = '\0';
    memcpy(at, login->user, user + 1);
    at += user + 1;
    memcpy(at, login->password, password);
    return (size_t)(at + password - out);
}

bool mc_connection_begin_login(struct mc_connection *connection)
{
    const struct credentials *login = connection->server->login;
    char bytes[sizeof(*login) + 128];
    size_t len = connection->dialect == &mc_text ? write_text(login, bytes, sizeof(bytes))
                                                 : write_binary(login, bytes);
    bool ok;

    ensure(len < sizeof(bytes));
    ok = buffer_append_copy(&connection->login, pool_of(connection), bytes, len);
    explicit_bzero(bytes, len);
    return ok;
}

static enum stream_verdict refuse(char *why, size_t why_size, struct slice reason)
{
    char text[128];

    (void)snprintf(why, why_size, "it refused our login: %s",
                   slice_escape(reason, text, sizeof(text)));
    return STREAM_FAILED;
}

/* STREAM_AGAIN: the answer is not all here. */
static enum stream_verdict read_line(struct mc_connection *connection, char *why, size_t why_size)
{
    struct slice bytes = input_bytes(&connection->input);
    size_t end = slice_find(bytes, '\n');
    struct slice line =
        slice_of(bytes.data, end > 0 && bytes.data[end - 1] == '\r' ? end - 1 : end);

    if (end == bytes.len) {
        if (bytes.len <= LINE_MAX_BYTES)
            return STREAM_AGAIN;
        return refuse(why, why_size, SLICE("its answer is too long"));
    }
    if (!slice_equal(line, SLICE("STORED")))
        return refuse(why, why_size, line);
    input_consume(&connection->input, end + 1);
    return STREAM_OK;
}

static enum stream_verdict read_frame(struct mc_connection *connection, char *why, size_t why_size)
{
    struct slice bytes = input_bytes(&connection->input);
    struct mc_binary_reply reply;

    switch (mc_binary_reply_parse(bytes, &reply)) {
    case MC_BINARY_MORE:
        return STREAM_AGAIN;
    case MC_BINARY_OK:
        break;
    case MC_BINARY_REFUSED:
    case MC_BINARY_FATAL:
    case MC_BINARY_CLOSE:
        return refuse(why, why_size, SLICE("its answer is not of the binary protocol"));
    }
    if (reply.opcode != MC_BINARY_SASL_AUTH || reply.opaque != OPAQUE ||
        reply.body_len > MC_BINARY_TEXT_MAX)
        return refuse(why, why_size, SLICE("its answer is one to something else"));
    if (bytes.len < MC_BINARY_HEADER + reply.body_len)
        return STREAM_AGAIN;
    if (reply.status != MC_BINARY_DONE)
        return refuse(why, why_size, slice_of(bytes.data + MC_BINARY_HEADER, reply.body_len));
    input_consume(&connection->input, MC_BINARY_HEADER + reply.body_len);
    return STREAM_OK;
}

static enum stream_verdict read_answer(struct mc_connection *connection, char *why, size_t why_size)
{
    enum stream_verdict verdict = connection->dialect == &mc_text
                                      ? read_line(connection, why, why_size)
                                      : read_frame(connection, why, why_size);

    if (verdict == STREAM_OK && input_bytes(&connection->input).len > 0) {
        (void)snprintf(why, why_size, "it sent more than the answer to our login");
        return STREAM_FAILED;
    }
    return verdict;
}

enum stream_verdict mc_connection_log_in(struct mc_connection *connection, char *why,
                                         size_t why_size)
{
    enum stream_verdict verdict =
        stream_flush(&connection->stream, &connection->login, pool_of(connection));
    char text[160];
    size_t moved;

    if (verdict == STREAM_FAILED) {
        (void)snprintf(why, why_size, "%s", stream_why(&connection->stream, text, sizeof(text)));
        return STREAM_FAILED;
    }
    do {
        verdict = stream_read(&connection->stream, &connection->input, pool_of(connection), &moved);
        if (verdict == STREAM_CLOSED) {
            (void)snprintf(why, why_size, "it closed the connection instead of taking our login");
            return STREAM_FAILED;
        }
        if (verdict == STREAM_FAILED) {
            (void)snprintf(why, why_size, "%s",
                           stream_why(&connection->stream, text, sizeof(text)));
            return STREAM_FAILED;
        }
        if (verdict == STREAM_OK)
            verdict = read_answer(connection, why, why_size);
        /* Before the next read, too: it goes where a part of the answer may lie. */
        if (!input_keep(&connection->input, pool_of(connection), 0)) {
            (void)snprintf(why, why_size, "out of memory");
            return STREAM_FAILED;
        }
    } while (verdict == STREAM_AGAIN && connection->stream.pending);
    return verdict;
}
