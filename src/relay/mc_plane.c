#include "crossfade/relay/mc_plane.h"

#include "crossfade/relay/mc_pools.h"
#include "crossfade/relay/mc_text.h"

#include <stdlib.h>
#include <unistd.h>

#define CLIENT_PAGE (64u * 1024u)
#define OP_PAGE (64u * 1024u)

struct mc_plane *mc_plane_create(struct worker *worker)
{
    struct mc_plane *plane = calloc(1, sizeof(*plane));

    if (plane == NULL)
        return NULL;
    plane->worker = worker;
    plane->next_batch = MC_BATCH_FIRST_FREE;
    TAILQ_INIT(&plane->client_list);
    LIST_INIT(&plane->servers);
    STAILQ_INIT(&plane->flushing);
    slab_init(&plane->clients, sizeof(struct mc_client), CLIENT_PAGE);
    slab_init(&plane->ops, sizeof(struct mc_op), OP_PAGE);
    return plane;
}

struct mc_view *mc_view_ref(struct mc_view *view)
{
    view->refs++;
    return view;
}

/* A server that no view names any more goes when it has answered (mc_plane_tick). */
void mc_view_unref(struct mc_plane *plane, struct mc_view *view)
{
    size_t count = view->pin->snapshot->plan->config->cache.server_count;

    if (--view->refs > 0)
        return;
    for (size_t i = 0; i < count; i++)
        if (view->servers[i] != NULL)
            view->servers[i]->refs--;
    worker_unpin(plane->worker, view->pin);
    free(view->servers);
    free(view);
}

static struct mc_server *find_server(struct mc_plane *plane, const struct plan_backend *backend,
                                     const struct config_cache *config)
{
    struct mc_server *server;

    LIST_FOREACH(server, &plane->servers, link)
    if (mc_server_is(server, backend, config)) {
        mc_server_configure(server, backend, config);
        return server;
    }
    return mc_server_create(plane, backend, config);
}

/* What the current snapshot's plan means here. NULL without memory. */
static struct mc_view *view_create(struct mc_plane *plane)
{
    struct mc_view *view = calloc(1, sizeof(*view));
    const struct plan *plan = plane->worker->current->snapshot->plan;
    const struct config_cache *config = &plan->config->cache;

    if (view == NULL)
        return NULL;
    view->refs = 1;
    view->pin = worker_pin(plane->worker);
    view->servers = calloc(config->server_count, sizeof(struct mc_server *));
    if (view->servers == NULL) {
        worker_unpin(plane->worker, view->pin);
        free(view);
        return NULL;
    }
    for (size_t i = 0; i < config->server_count; i++) {
        view->servers[i] = find_server(plane, &plan->servers[i], config);
        if (view->servers[i] == NULL) {
            mc_view_unref(plane, view);
            return NULL;
        }
        view->servers[i]->refs++;
    }
    return view;
}

/* Clients move to the new view; one whose arm is gone stays with the old. */
static void move_clients(struct mc_plane *plane, const struct mc_view *before,
                         struct mc_view *after)
{
    const struct plan *old = before->pin->snapshot->plan;
    const struct plan *new = after->pin->snapshot->plan;
    uint64_t now = worker_now(plane->worker);
    struct mc_client *client;

    TAILQ_FOREACH(client, &plane->client_list, link)
    {
        int arm;

        if (client->view != before)
            continue;
        arm = config_arm_index(new->config, slice_string(old->config->arms[client->arm].name));
        if (arm < 0)
            continue;
        client->arm = (uint16_t)arm;
        if (old->config->cache.idle_timeout == 0)
            client->last_active = now; /* nobody has kept it up to date */
        client->view = mc_view_ref(after);
        mc_view_unref(plane, (struct mc_view *)(uintptr_t)before);
    }
}

bool mc_plane_adopt(struct mc_plane *plane)
{
    const struct plan *plan = plane->worker->current->snapshot->plan;
    struct mc_view *before = plane->view;
    struct mc_view *after = NULL;

    /* A step of the rollout changes nothing here. */
    if (before != NULL && before->pin->snapshot->plan == plan)
        return true;
    if (plan->config->cache.present) {
        after = view_create(plane);
        if (after == NULL)
            return false;
    }
    plane->view = after;
    if (before != NULL && after != NULL)
        move_clients(plane, before, after);
    if (before != NULL)
        mc_view_unref(plane, before);
    return true;
}

void mc_plane_accept(struct mc_plane *plane, unsigned listener, int fd, const struct address *peer)
{
    const struct config_cache *config = plane->view != NULL ? mc_view_config(plane->view) : NULL;

    (void)peer;
    if (config == NULL || listener >= config->listener_count) {
        (void)close(fd);
        return;
    }
    (void)mc_client_create(plane, plane->view, config->listeners[listener].arm, fd);
}

void mc_plane_tick(struct mc_plane *plane, uint64_t now)
{
    struct mc_server *server = LIST_FIRST(&plane->servers);
    uint64_t idle = plane->view != NULL ? mc_view_config(plane->view)->idle_timeout : 0;
    struct mc_client *client;

    while (server != NULL) {
        struct mc_server *next = LIST_NEXT(server, link);
        mc_server_tick(server, now);
        if (server->refs == 0 && mc_server_idle(server))
            mc_server_destroy(server);
        server = next;
    }
    while (idle > 0 && (client = TAILQ_FIRST(&plane->client_list)) != NULL &&
           now > client->last_active + idle)
        mc_client_close(client, "idle for too long");
    slab_trim(&plane->clients);
    slab_trim(&plane->ops);
}

void mc_plane_drain(struct mc_plane *plane)
{
    struct mc_client *client = TAILQ_FIRST(&plane->client_list);

    while (client != NULL) {
        struct mc_client *next = TAILQ_NEXT(client, link);
        mc_client_drain(client);
        client = next;
    }
}

size_t mc_plane_clients(const struct mc_plane *plane)
{
    return plane->client_count;
}

void mc_plane_destroy(struct mc_plane *plane)
{
    struct mc_client *client;
    struct mc_server *server;

    while ((client = TAILQ_FIRST(&plane->client_list)) != NULL)
        mc_client_close(client, "the daemon ends");
    while (!STAILQ_EMPTY(&plane->flushing)) {
        struct mc_op *op = STAILQ_FIRST(&plane->flushing);
        STAILQ_REMOVE_HEAD(&plane->flushing, in_connection);
        mc_op_free(op);
    }
    if (plane->view != NULL)
        mc_view_unref(plane, plane->view);
    while ((server = LIST_FIRST(&plane->servers)) != NULL)
        mc_server_destroy(server);
    worker_end_turn(plane->worker); /* the graves give their memory back to the slabs */
    slab_deinit(&plane->clients);
    slab_deinit(&plane->ops);
    free(plane);
}
