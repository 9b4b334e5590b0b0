#include "crossfade/relay/mc_plane.h"

#include "crossfade/base/log.h"
#include "crossfade/relay/mc_change.h"
#include "crossfade/relay/mc_observe.h"
#include "crossfade/relay/mc_pools.h"
#include "crossfade/relay/mc_strangers.h"
#include "crossfade/relay/mc_text.h"

#include <stdlib.h>
#include <unistd.h>

#define CLIENT_PAGE (64u * 1024u)
#define OP_PAGE (64u * 1024u)
#define MISSES_LOG_INTERVAL SECONDS(60)
/* To servers, opened unasked in one turn. */
#define WARM_CONNECTIONS 64u

struct mc_plane *mc_plane_create(struct worker *worker)
{
    struct mc_plane *plane = calloc(1, sizeof(*plane));

    if (plane == NULL)
        return NULL;
    plane->worker = worker;
    plane->observe_in = UINT32_MAX;
    plane->families = calloc(1, sizeof(*plane->families));
    if (plane->families == NULL) {
        free(plane);
        return NULL;
    }
    plane->next_batch = MC_BATCH_FIRST_FREE;
    greetings_init(&plane->greetings, worker);
    TAILQ_INIT(&plane->client_list);
    TAILQ_INIT(&plane->strangers);
    LIST_INIT(&plane->owed);
    LIST_INIT(&plane->parked);
    LIST_INIT(&plane->servers);
    STAILQ_INIT(&plane->flushing);
    slab_init(&plane->clients, sizeof(struct mc_client), CLIENT_PAGE);
    slab_init(&plane->ops, sizeof(struct mc_op), OP_PAGE);
    slab_init(&plane->epoch_parts, mc_epoch_part_size(), OP_PAGE);
    slab_init(&plane->changes, mc_change_size(), OP_PAGE);
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

    LIST_FOREACH (server, &plane->servers, link)
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

/* The listener at the same address, or -1. */
static int find_listener(const struct config_cache *config, const struct config_cache *old,
                         unsigned listener)
{
    if (listener == MC_NO_LISTENER)
        return -1;
    for (size_t i = 0; i < config->listener_count; i++)
        if (strcmp(config->listeners[i].endpoint.text, old->listeners[listener].endpoint.text) == 0)
            return (int)i;
    return -1;
}

/*
 * Clients move to the new view, and keep the arm that they have, whatever the listener says now.
 * One whose arm is gone stays with the old view, as does one without an arm whose listener is gone;
 * when it is there again they come along: the arm may have had a new generation since.
 */
static void move_clients(struct mc_plane *plane, struct mc_view *after)
{
    const struct plan *new = after->pin->snapshot->plan;
    uint64_t now = worker_now(plane->worker);
    struct mc_client *client;

    TAILQ_FOREACH (client, &plane->client_list, link) {
        const struct plan *old = mc_client_plan(client);
        int arm;
        int listener;

        listener = find_listener(&new->config->cache, &old->config->cache, client->listener);
        if (client->is_stranger) {
            if (listener >= 0)
                mc_login_move(client, after, (unsigned)listener);
            continue;
        }
        arm = config_arm_index(new->config, slice_string(old->config->arms[client->arm].name));
        if (arm < 0)
            continue;
        client->arm = (uint16_t)arm;
        if (old->config->cache.idle_timeout == 0)
            client->last_active = now; /* nobody has kept it up to date */
        mc_login_move(client, after, listener >= 0 ? (unsigned)listener : MC_NO_LISTENER);
    }
}

static struct tls_cell *tls_cell_of(const struct mc_plane *plane, const struct plan *plan,
                                    size_t listener)
{
    return cells_get(plane->worker->telemetry->tls, plan->tls_cells[listener],
                     plane->worker->index);
}

/* Which certificates are in use is the same for all workers: one of them counts it. */
static void count_certificates(const struct mc_plane *plane)
{
    const struct worker *worker = plane->worker;
    const struct plan *plan = worker->current->snapshot->plan;
    struct cells *cells = worker->telemetry->tls;

    if (worker->index != 0)
        return;
    for (unsigned i = 0; i < cells_count(cells); i++)
        counter_set(&((struct tls_cell *)cells_get(cells, i, 0))->certificate_expires, 0);
    for (size_t i = 0; i < plan->tls->listener_count; i++) {
        const struct tls_context *tls = plan->tls->listeners[i];
        if (tls != NULL)
            counter_set(&tls_cell_of(plane, plan, i)->certificate_expires,
                        tls_context_expires(tls));
    }
}

/*
 * Connections are open before a client needs them: after the start, a reload, and a server's
 * return. A few at a time, as nothing waits for them.
 */
static void warm_up(struct mc_plane *plane, uint64_t now)
{
    unsigned left = WARM_CONNECTIONS;
    struct mc_server *server;

    if (plane->worker->draining)
        return;
    LIST_FOREACH (server, &plane->servers, link)
        left -= mc_server_warm(server, now, left);
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
    if (after != NULL)
        misses_set_window(plan->misses->misses, plan->config->cache.fill_window,
                          worker_now(plane->worker));
    if (after != NULL)
        move_clients(plane, after);
    if (before != NULL)
        mc_view_unref(plane, before);
    count_certificates(plane);
    mc_observe_tick(plane);
    warm_up(plane, worker_now(plane->worker));
    return true;
}

/* The configuration may have changed since the client was accepted. */
static void greeted(void *context, const char *name, struct stream *stream,
                    const struct address *peer)
{
    struct mc_plane *plane = context;
    const struct plan *plan = plane->view != NULL ? plane->view->pin->snapshot->plan : NULL;

    (void)peer;
    for (size_t i = 0; plan != NULL && i < plan->tls->listener_count; i++) {
        if (plan->tls->listeners[i] == NULL ||
            strcmp(tls_context_name(plan->tls->listeners[i]), name) != 0)
            continue;
        (void)mc_client_create(plane, plane->view, (unsigned)i, stream,
                               tls_cell_of(plane, plan, i));
        return;
    }
    stream_close(stream);
}

void mc_plane_accept(struct mc_plane *plane, unsigned listener, int fd, const struct address *peer)
{
    const struct plan *plan = plane->view != NULL ? plane->view->pin->snapshot->plan : NULL;
    struct stream stream;

    if (plan == NULL || listener >= plan->config->cache.listener_count) {
        (void)close(fd);
        return;
    }
    if (plan->tls->listeners[listener] != NULL) {
        greetings_add(&plane->greetings, fd, peer, plan->tls->listeners[listener],
                      tls_cell_of(plane, plan, listener), greeted, plane);
        return;
    }
    stream_init_plain(&stream, fd);
    (void)mc_client_create(plane, plane->view, listener, &stream, NULL);
}

/* One memory for all workers: one of them looks after it. */
static void tick_misses(struct mc_plane *plane, uint64_t now)
{
    const struct worker *worker = plane->worker;
    uint64_t lost;

    if (plane->view == NULL || worker->index != 0)
        return;
    misses_tick(plane->view->pin->snapshot->plan->misses->misses, now);
    if (now < plane->misses_again || !mc_view_config(plane->view)->has_epoch)
        return;
    lost = cells_sum(worker->telemetry->workers, 0, offsetof(struct worker_cell, misses.lost));
    if (lost == plane->misses_lost)
        return;
    log_warn("%llu misses were forgotten too early, and sets that answer them are not kept; "
             "cache.recent_misses (%u) is too small for so many that nothing is set for",
             (unsigned long long)(lost - plane->misses_lost),
             misses_entries(plane->view->pin->snapshot->plan->misses->misses));
    plane->misses_lost = lost;
    plane->misses_again = now + MISSES_LOG_INTERVAL;
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
    warm_up(plane, now);
    mc_clients_tick(plane, now);
    while (idle > 0 && (client = TAILQ_FIRST(&plane->client_list)) != NULL &&
           now > client->last_active + idle)
        mc_client_close(client, "idle for too long");
    greetings_tick(&plane->greetings, now);
    mc_observe_tick(plane);
    (void)mc_changes_tick(plane);
    tick_misses(plane, now);
    mc_login_tick(plane, now);
    slab_trim(&plane->clients);
    slab_trim(&plane->ops);
    slab_trim(&plane->epoch_parts);
    slab_trim(&plane->changes);
}

void mc_plane_drain(struct mc_plane *plane)
{
    struct mc_client *client = TAILQ_FIRST(&plane->client_list);

    greetings_close_all(&plane->greetings, "the daemon stops");
    while (client != NULL) {
        struct mc_client *next = TAILQ_NEXT(client, link);
        mc_client_drain(client);
        client = next;
    }
}

const struct families *mc_plane_families(const struct mc_plane *plane)
{
    return plane->families;
}

size_t mc_plane_clients(const struct mc_plane *plane)
{
    return plane->client_count;
}

void mc_plane_destroy(struct mc_plane *plane)
{
    struct mc_client *client;
    struct mc_server *server;

    greetings_deinit(&plane->greetings);
    while ((client = TAILQ_FIRST(&plane->client_list)) != NULL)
        mc_client_close(client, "the daemon ends");
    mc_login_end(plane);
    while (!STAILQ_EMPTY(&plane->flushing)) {
        struct mc_op *op = STAILQ_FIRST(&plane->flushing);
        STAILQ_REMOVE_HEAD(&plane->flushing, in_connection);
        mc_op_free(op);
    }
    mc_changes_end(plane);
    /* What becomes of operations under way is decided by the view. */
    LIST_FOREACH (server, &plane->servers, link)
        mc_server_close(server);
    if (plane->view != NULL)
        mc_view_unref(plane, plane->view);
    plane->view = NULL;
    while ((server = LIST_FIRST(&plane->servers)) != NULL)
        mc_server_destroy(server);
    worker_end_turn(plane->worker); /* the graves give their memory back to the slabs */
    slab_deinit(&plane->clients);
    slab_deinit(&plane->ops);
    slab_deinit(&plane->epoch_parts);
    slab_deinit(&plane->changes);
    free(plane->families);
    free(plane);
}
