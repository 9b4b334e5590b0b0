#include "crossfade/relay/http_plane.h"

#include "crossfade/relay/http_client.h"
#include "crossfade/relay/http_forward.h"
#include "crossfade/relay/http_server.h"

#include <stdlib.h>
#include <sys/random.h>

#define CLIENT_PAGE ((size_t)64 * 1024)
#define REQUEST_PAGE ((size_t)64 * 1024)
#define SERVER_PAGE ((size_t)64 * 1024)

/* What may be spent before any request has earned it. */
#define FALLBACKS_FIRST 10u

struct http_plane *http_plane_create(struct worker *worker)
{
    struct http_plane *plane = calloc(1, sizeof(*plane));

    if (plane == NULL)
        return NULL;
    plane->worker = worker;
    slab_init(&plane->clients, sizeof(struct http_client), CLIENT_PAGE);
    slab_init(&plane->requests, sizeof(struct http_request), REQUEST_PAGE);
    slab_init(&plane->servers, sizeof(struct http_server), SERVER_PAGE);
    for (unsigned i = 0; i < HTTP_CLIENT_CLOSED; i++)
        TAILQ_INIT(&plane->client_lists[i]);
    TAILQ_INIT(&plane->connecting);
    TAILQ_INIT(&plane->active);
    LIST_INIT(&plane->backends);
    if (getrandom(&plane->id_random, sizeof(plane->id_random), 0) != sizeof(plane->id_random))
        plane->id_random = clock_wall() ^ (uint64_t)worker->index << 56;
    http_id_half(plane->id_random, plane->id_text);
    plane->fallback_balance = FALLBACKS_FIRST * FALLBACK_COST;
    return plane;
}

void http_plane_destroy(struct http_plane *plane)
{
    struct http_backend *backend, *following;
    struct http_client *client;

    if (plane == NULL)
        return;
    for (unsigned state = 0; state < HTTP_CLIENT_CLOSED; state++)
        while ((client = TAILQ_FIRST(&plane->client_lists[state])) != NULL)
            http_client_close(client, "the daemon stops");
    for (backend = LIST_FIRST(&plane->backends); backend != NULL; backend = following) {
        following = LIST_NEXT(backend, link);
        http_backend_drain(backend);
        http_backend_destroy(backend);
    }
    worker_end_turn(plane->worker); /* what was closed is given back only then */
    slab_deinit(&plane->clients);
    slab_deinit(&plane->requests);
    slab_deinit(&plane->servers);
    free(plane->fields);
    free(plane);
}

/* Room for the head with the most fields that may come. */
static bool fit_fields(struct http_plane *plane, unsigned wanted)
{
    struct http1_field *fields;

    if (wanted <= plane->field_capacity)
        return true;
    fields = realloc(plane->fields, wanted * sizeof(*fields));
    if (fields == NULL)
        return false;
    plane->fields = fields;
    plane->field_capacity = wanted;
    plane->request.fields.all = plane->response.fields.all = fields;
    plane->request.fields.capacity = plane->response.fields.capacity = wanted;
    return true;
}

bool http_plane_adopt(struct http_plane *plane)
{
    const struct plan *plan = plane->worker->current->snapshot->plan;
    struct http_backend *backend;

    if (!fit_fields(plane, plan->config->web.headers_limit))
        return false;
    LIST_FOREACH (backend, &plane->backends, link)
        backend->gone = true;
    for (size_t a = 0; plan->config->web.present && a < plan->config->arm_count; a++)
        for (size_t b = 0; b < plan->arms[a].backend_count; b++)
            if (http_backend_adopt(plane, &plan->arms[a].backends[b]) == NULL)
                return false;
    LIST_FOREACH (backend, &plane->backends, link)
        if (backend->gone)
            http_backend_drain(backend);
    return true;
}

void http_plane_accept(struct http_plane *plane, unsigned listener, int fd,
                       const struct address *peer)
{
    const struct telemetry *telemetry = plane->worker->telemetry;
    uint64_t clients = cells_sum(telemetry->workers, 0, offsetof(struct worker_cell, web_clients));
    bool refused = clients >= http_config(plane)->web.connections_limit;
    struct http_client *client = http_client_create(plane, fd, peer);

    (void)listener; /* all web listeners serve alike */
    counter_add(refused || client == NULL ? &plane->worker->cell->web_refused
                                          : &plane->worker->cell->web_accepted,
                1);
    if (client == NULL)
        return;
    if (refused) {
        counter_sub(&plane->worker->cell->web_clients, 1);
        client->refused = true;
        plane->refused_count++;
        if (plane->refused_count > HTTP_REFUSED_MAX)
            http_client_close(client, "over the connection limit");
        else
            http_client_answer(client, 503, "too many connections; try again later", false, true);
    }
    (void)http_client_rewatch(client);
}

void http_plane_tick(struct http_plane *plane, uint64_t now)
{
    http_client_tick(plane, now);
    http_server_tick(plane, now);
    slab_trim(&plane->clients);
    slab_trim(&plane->requests);
    slab_trim(&plane->servers);
}

void http_plane_drain(struct http_plane *plane)
{
    struct http_client *client, *following;
    struct http_backend *backend;

    for (client = TAILQ_FIRST(&plane->client_lists[HTTP_CLIENT_IDLE]); client != NULL;
         client = following) {
        following = TAILQ_NEXT(client, link);
        /* One with output or input is seen to at the end of the turn. */
        if (client->output.len == 0 && input_bytes(&client->input).len == 0)
            http_client_close(client, "the daemon is stopping");
    }
    LIST_FOREACH (backend, &plane->backends, link) {
        struct http_server *server;
        while ((server = TAILQ_FIRST(&backend->idle)) != NULL)
            http_server_close(server, "the daemon is stopping");
    }
}

size_t http_plane_clients(const struct http_plane *plane)
{
    return plane->client_count;
}
