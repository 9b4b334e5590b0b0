#include "crossfade/control/admin_http.h"

#include "crossfade/base/log.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADERS_MAX 8192
#define BODY_MAX 1024
#define TIMEOUT_SECONDS 10
/* How often accepting is tried again after it has failed for want of descriptors. */
static const struct timeval accept_again = { .tv_sec = 1 };

struct admin_http {
    struct event_base *base;
    const struct control_host *host;
    struct evhttp *server;           /* NULL: off */
    struct evconnlistener *listener; /* the server's */
    struct event *again;
    char *address; /* as configured */
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

/* Asking again and again would only take the processor's time. */
static void on_accept_error(struct evconnlistener *listener, void *context)
{
    (void)context; /* the server's own */
    log_warn("control.http: cannot accept connections: %s; trying again", strerror(errno));
    (void)evconnlistener_disable(listener);
}

static void on_again(evutil_socket_t fd, short what, void *context)
{
    struct admin_http *admin = context;

    (void)fd;
    (void)what;
    if (admin->listener != NULL)
        (void)evconnlistener_enable(admin->listener);
}

struct admin_http *admin_http_create(struct event_base *base, const struct control_host *host)
{
    struct admin_http *admin = calloc(1, sizeof(*admin));

    if (admin == NULL)
        return NULL;
    admin->base = base;
    admin->host = host;
    admin->again = event_new(base, -1, EV_PERSIST, on_again, admin);
    if (admin->again == NULL || event_add(admin->again, &accept_again) != 0) {
        admin_http_destroy(admin);
        return NULL;
    }
    return admin;
}

static struct evhttp *open_server(struct admin_http *admin, const struct config_endpoint *endpoint,
                                  struct evconnlistener **listener, char *error, size_t error_size)
{
    struct evhttp *server = evhttp_new(admin->base);
    struct evhttp_bound_socket *bound;

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
    bound = evhttp_bind_socket_with_handle(server, endpoint->host, endpoint->port);
    if (bound == NULL) {
        (void)snprintf(error, error_size, "control.http: cannot listen on %s: %s", endpoint->text,
                       strerror(errno));
        evhttp_free(server);
        return NULL;
    }
    *listener = evhttp_bound_socket_get_listener(bound);
    evconnlistener_set_error_cb(*listener, on_accept_error);
    return server;
}

bool admin_http_configure(struct admin_http *admin, const struct config *config, char *error,
                          size_t error_size)
{
    const struct config_endpoint *endpoint = &config->control.http;
    struct evconnlistener *listener = NULL;
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
        server = open_server(admin, endpoint, &listener, error, error_size);
        if (server == NULL) {
            free(address);
            return false;
        }
    }
    if (admin->server != NULL)
        evhttp_free(admin->server);
    free(admin->address);
    admin->server = server;
    admin->listener = listener;
    admin->address = address;
    return true;
}

void admin_http_destroy(struct admin_http *admin)
{
    if (admin == NULL)
        return;
    if (admin->server != NULL)
        evhttp_free(admin->server);
    if (admin->again != NULL)
        event_free(admin->again);
    free(admin->address);
    free(admin);
}
