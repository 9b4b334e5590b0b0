#include "crossfade/relay/tls_set.h"

#include "crossfade/conf/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One section of the configuration and whoever wants to know what is wrong with it. */
struct section {
    const struct config *config;
    char path[64];
    tls_set_report report;
    void *context;
};

static void report_key(void *context, bool fault, const char *key, const char *text)
{
    const struct section *section = context;
    char path[128];
    unsigned line;
    unsigned column;

    (void)snprintf(path, sizeof(path), "%s%s%s", section->path, key[0] != '\0' ? "." : "", key);
    config_place(section->config, path, &line, &column);
    section->report(section->context, fault, line, column, path, text);
}

static struct tls_context *find_listener(const struct tls_set *set,
                                         const struct config_listener *listener)
{
    for (size_t i = 0; set != NULL && i < set->listener_count; i++) {
        struct tls_context *context = set->listeners[i];
        if (context != NULL && strcmp(tls_context_name(context), listener->endpoint.text) == 0)
            return tls_context_serves(context, &listener->tls) ? context : NULL;
    }
    return NULL;
}

static bool has_tls(const struct config_cache *cache)
{
    for (size_t i = 0; cache->present && i < cache->listener_count; i++)
        if (cache->listeners[i].tls.present)
            return true;
    return false;
}

static bool fill_listeners(struct tls_set *set, struct section *section,
                           const struct tls_set *previous)
{
    const struct config_cache *cache = &section->config->cache;
    bool done = true;

    set->listeners = calloc(cache->listener_count + 1, sizeof(struct tls_context *));
    if (set->listeners == NULL)
        return false;
    set->listener_count = cache->listener_count;
    if (!has_tls(cache))
        return true;
    set->tickets = previous != NULL && previous->tickets != NULL
                       ? tls_tickets_ref(previous->tickets)
                       : tls_tickets_create();
    if (set->tickets == NULL)
        return false;
    for (size_t i = 0; i < cache->listener_count; i++) {
        const struct config_listener *listener = &cache->listeners[i];
        struct tls_context *before;

        if (!listener->tls.present)
            continue;
        (void)snprintf(section->path, sizeof(section->path), "cache.listen[%zu].tls", i);
        before = find_listener(previous, listener);
        set->listeners[i] = before != NULL
                                ? tls_context_ref(before)
                                : tls_context_server(&listener->tls, listener->endpoint.text,
                                                     set->tickets, report_key, section);
        done = done && set->listeners[i] != NULL;
    }
    return done;
}

static bool fill_servers(struct tls_set *set, struct section *section,
                         const struct tls_set *previous)
{
    const struct config_server_tls *tls = &section->config->cache.server_tls;

    if (!section->config->cache.present || !tls->present)
        return true;
    (void)snprintf(section->path, sizeof(section->path), "cache.server_tls");
    set->servers =
        previous != NULL && previous->servers != NULL && tls_context_reaches(previous->servers, tls)
            ? tls_context_ref(previous->servers)
            : tls_context_client(tls, report_key, section);
    return set->servers != NULL;
}

struct tls_set *tls_set_create(const struct config *config, const struct tls_set *previous,
                               tls_set_report report, void *context)
{
    struct section section = { .config = config, .report = report, .context = context };
    struct tls_set *set = calloc(1, sizeof(*set));
    bool done;

    if (set == NULL) {
        report(context, true, 0, 0, "cache", "out of memory");
        return NULL;
    }
    done = fill_listeners(set, &section, previous);
    if (set->listeners == NULL || (set->tickets == NULL && has_tls(&config->cache)))
        report(context, true, 0, 0, "cache", "out of memory");
    done = fill_servers(set, &section, previous) && done;
    if (done)
        return set;
    tls_set_destroy(set);
    return NULL;
}

void tls_set_look(const struct tls_set *set, const struct config *config, tls_set_report report,
                  void *context)
{
    struct section section = { .config = config, .report = report, .context = context };

    for (size_t i = 0; i < set->listener_count; i++) {
        (void)snprintf(section.path, sizeof(section.path), "cache.listen[%zu].tls", i);
        if (set->listeners[i] != NULL)
            tls_context_look(set->listeners[i], report_key, &section);
    }
    (void)snprintf(section.path, sizeof(section.path), "cache.server_tls");
    if (set->servers != NULL)
        tls_context_look(set->servers, report_key, &section);
}

void tls_set_destroy(struct tls_set *set)
{
    if (set == NULL)
        return;
    for (size_t i = 0; set->listeners != NULL && i < set->listener_count; i++)
        tls_context_unref(set->listeners[i]);
    free(set->listeners);
    tls_context_unref(set->servers);
    tls_tickets_unref(set->tickets);
    free(set);
}
