#include "crossfade/control/admin_http.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADERS_MAX 8192
#define BODY_MAX 1024
#define TIMEOUT_SECONDS 10

struct admin_http {
    struct event_base *base;
    const struct control_host *host;
    struct evhttp *server; /* NULL: off */
    char *address;         /* as configured */
};

static void answer(struct evhttp_request *request, int status, const char *reason, const char *type,
                   struct evbuffer *body)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request);

    (void)evhttp_add_header(headers, "Content-Type", type);
    (void)evhttp_add_header(headers, "Cache-Control", "no-store");
    (void)evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
    /* libevent would send the body of a HEAD too, and break the framing. */
    if (evhttp_request_get_command(request) == EVHTTP_REQ_HEAD && body != NULL) {
        char length[24];
        (void)snprintf(length, sizeof(length), "%zu", evbuffer_get_length(body));
        (void)evhttp_add_header(headers, "Content-Length", length);
        (void)evbuffer_drain(body, evbuffer_get_length(body));
    }
    evhttp_send_reply(request, status, reason, body);
}

static void answer_text(struct evhttp_request *request, int status, const char *reason,
                        const char *text)
{
    struct evbuffer *body = evbuffer_new();

    if (body != NULL)
        (void)evbuffer_add(body, text, strlen(text));
    answer(request, status, reason, "text/plain; charset=utf-8", body);
    if (body != NULL)
        evbuffer_free(body);
}

static void on_metrics(struct evhttp_request *request, void *context)
{
    struct admin_http *admin = context;
    struct evbuffer *body = evbuffer_new();

    if (body == NULL) {
        answer_text(request, 503, "Service Unavailable", "out of memory\n");
        return;
    }
    metrics_write(admin->host, body);
    answer(request, 200, "OK", "text/plain; version=0.0.4; charset=utf-8", body);
    evbuffer_free(body);
}

/* Alive: as long as this is answered. Ready: not while stopping. */
static void on_health(struct evhttp_request *request, void *context)
{
    struct admin_http *admin = context;

    if (admin->host->draining(admin->host->context))
        answer_text(request, 503, "Service Unavailable", "stopping\n");
    else
        answer_text(request, 200, "OK", "ok\n");
}

static void on_other(struct evhttp_request *request, void *context)
{
    (void)context;
    answer_text(request, 404, "Not Found", "Here are /metrics, /healthz and /readyz.\n");
}

struct admin_http *admin_http_create(struct event_base *base, const struct control_host *host)
{
    struct admin_http *admin = calloc(1, sizeof(*admin));

    if (admin == NULL)
        return NULL;
    admin->base = base;
    admin->host = host;
    return admin;
}

static struct evhttp *open_server(struct admin_http *admin, const struct config_endpoint *endpoint,
                                  char *error, size_t error_size)
{
    struct evhttp *server = evhttp_new(admin->base);

    if (server == NULL) {
        (void)snprintf(error, error_size, "out of memory");
        return NULL;
    }
    evhttp_set_allowed_methods(server, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
    evhttp_set_max_headers_size(server, HEADERS_MAX);
    evhttp_set_max_body_size(server, BODY_MAX);
    evhttp_set_timeout(server, TIMEOUT_SECONDS);
    (void)evhttp_set_cb(server, "/metrics", on_metrics, admin);
    (void)evhttp_set_cb(server, "/healthz", on_health, admin);
    (void)evhttp_set_cb(server, "/readyz", on_health, admin);
    evhttp_set_gencb(server, on_other, admin);
    if (evhttp_bind_socket_with_handle(server, endpoint->host, endpoint->port) == NULL) {
        (void)snprintf(error, error_size, "control.http: cannot listen on %s: %s", endpoint->text,
                       strerror(errno));
        evhttp_free(server);
        return NULL;
    }
    return server;
}

bool admin_http_configure(struct admin_http *admin, const struct config *config, char *error,
                          size_t error_size)
{
    const struct config_endpoint *endpoint = &config->control.http;
    struct evhttp *server = NULL;
    char *address = NULL;

    if (endpoint->text != NULL) {
        if (admin->address != NULL && strcmp(admin->address, endpoint->text) == 0)
            return true;
        address = strdup(endpoint->text);
        if (address == NULL) {
            (void)snprintf(error, error_size, "out of memory");
            return false;
        }
        server = open_server(admin, endpoint, error, error_size);
        if (server == NULL) {
            free(address);
            return false;
        }
    }
    if (admin->server != NULL)
        evhttp_free(admin->server);
    free(admin->address);
    admin->server = server;
    admin->address = address;
    return true;
}

void admin_http_destroy(struct admin_http *admin)
{
    if (admin == NULL)
        return;
    if (admin->server != NULL)
        evhttp_free(admin->server);
    free(admin->address);
    free(admin);
}
