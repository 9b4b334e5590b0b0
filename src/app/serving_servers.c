#include "crossfade/app/serving.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ADDRESSES_TEXT 512

void serving_watch_names(struct app *app)
{
    const struct config *config = app->plan->config;
    size_t room = config->cache.present ? config->cache.server_count : 0;
    const struct config_endpoint **endpoints;
    size_t count = 0;

    for (size_t a = 0; a < config->arm_count; a++)
        room += config->arms[a].backend_count;
    endpoints = calloc(room + 1, sizeof(*endpoints));
    for (size_t i = 0; endpoints != NULL && config->cache.present && i < config->cache.server_count;
         i++)
        endpoints[count++] = &config->cache.servers[i].endpoint;
    for (size_t a = 0; endpoints != NULL && a < config->arm_count; a++)
        for (size_t i = 0; i < config->arms[a].backend_count; i++)
            endpoints[count++] = &config->arms[a].backends[i].endpoint;
    if (endpoints == NULL ||
        !resolver_watch(app->resolver, endpoints, count, config->process.resolve_interval))
        log_error("out of memory: names are not looked up again until the next reload");
    free(endpoints);
}

static void hurry_if_down(struct app *app, const struct plan_backend *backend,
                          const struct cells *cells, size_t down)
{
    if (cells_sum(cells, backend->cell, down) > 0)
        resolver_hurry(app->resolver, backend->config->endpoint.text);
}

void serving_hurry_names(struct app *app)
{
    const struct plan *plan = app->plan;
    const struct telemetry *telemetry = app->telemetry;

    for (size_t i = 0; plan->servers != NULL && i < plan->config->cache.server_count; i++)
        hurry_if_down(app, &plan->servers[i], telemetry->mc_servers,
                      offsetof(struct mc_server_cell, down));
    for (size_t a = 0; a < plan->config->arm_count; a++)
        for (size_t i = 0; i < plan->arms[a].backend_count; i++)
            hurry_if_down(app, &plan->arms[a].backends[i], telemetry->http_backends,
                          offsetof(struct http_backend_cell, down));
}

static struct name_cell *cell_of(const struct app *app, const char *name)
{
    int index = cells_index(app->telemetry->names, name);

    return index >= 0 ? cells_get(app->telemetry->names, (unsigned)index, 0) : NULL;
}

/* Counts and logs it. True: the name means something else now. */
static bool is_news(const struct app *app, const struct resolver_answer *answer)
{
    const struct addresses *before = plan_addresses(app->plan, answer->name);
    struct name_cell *cell = cell_of(app, answer->name);
    char then[ADDRESSES_TEXT];
    char now[ADDRESSES_TEXT];

    if (cell != NULL)
        counter_add(&cell->lookups, 1);
    if (!answer->ok) {
        if (cell != NULL)
            counter_add(&cell->lookup_failures, 1);
        if (!answer->as_before)
            log_warn("%s; %s", answer->error,
                     before != NULL && before->count > 0 ? "its last address stays"
                                                         : "it is tried again");
        return false;
    }
    if (before == NULL || addresses_same(before, &answer->addresses))
        return false;
    if (cell != NULL)
        counter_add(&cell->address_changes, 1);
    log_info(
        "%s is %s now%s%s", answer->name, addresses_format(&answer->addresses, now, sizeof(now)),
        before->count > 0 ? ", and no more " : "", addresses_format(before, then, sizeof(then)));
    return true;
}

void serving_take_names(struct app *app)
{
    struct resolver_answer answer;
    struct plan *plan = NULL;

    while (app->resolver != NULL && resolver_take(app->resolver, &answer)) {
        if (app->draining || !is_news(app, &answer))
            continue;
        if (plan == NULL)
            plan = serving_copy(app);
        if (plan == NULL) {
            log_error("out of memory: %s keeps its address of before", answer.name);
            return;
        }
        plan_place(plan, answer.name, &answer.addresses);
    }
    if (plan != NULL && !serving_replace(app, plan))
        log_warn("a worker has not taken the new addresses yet");
}

static uint64_t sum(const struct app *app, const struct plan_backend *server, size_t offset)
{
    return cells_sum(app->telemetry->mc_servers, server->cell, offset);
}

bool serving_drain(struct app *app, const char *name, bool drain, char *text, size_t text_size)
{
    struct plan_backend *server = plan_server(app->plan, name);
    struct plan *plan;
    uint64_t waiting;

    if (server == NULL) {
        (void)snprintf(text, text_size,
                       "there is no memcached server \"%.200s\"; show servers lists them", name);
        return false;
    }
    if (server->drained == drain) {
        (void)snprintf(text, text_size, "%s is %s already", name, drain ? "drained" : "in service");
        return false;
    }
    plan = serving_copy(app);
    if (plan == NULL) {
        (void)snprintf(text, text_size, "out of memory: nothing has changed");
        return false;
    }
    server = plan_server(plan, name);
    server->drained = drain;
    if (!serving_replace(app, plan)) {
        (void)snprintf(text, text_size, "a worker has not taken it yet; show servers tells");
        return false;
    }
    waiting = sum(app, server, offsetof(struct mc_server_cell, waiting));
    if (drain)
        (void)snprintf(
            text, text_size,
            "%s is drained: no request goes there any more; %llu under way. Reads of its "
            "keys are answered as while it is down, writes and deletes get SERVER_ERROR",
            name, (unsigned long long)waiting);
    else
        (void)snprintf(text, text_size,
                       "%s is in service again, with what it held before the drain. The "
                       "invalidations of isolated keys that were refused meanwhile are delivered "
                       "before reads go there; deletes of shared keys are not repeated: unless the "
                       "applications do it, those may be old values",
                       name);
    return true;
}
