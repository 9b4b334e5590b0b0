/*
 * The files beside the configuration that hold who may log in: read with it, so that --check, the
 * start and a reload find their faults at the same place as those of the configuration.
 */
#include "loader.h"

#include "crossfade/base/log.h"
#include "crossfade/conf/credentials.h"
#include "crossfade/conf/users.h"

#include "faults.h"

#include <stdlib.h>

/* The faults of a file become faults of the key that names it. */
static void pass_on(struct loader *loader, const char *key, const char *file,
                    struct config_faults *faults)
{
    if (faults->count == 0) {
        faults_no_memory(loader->faults);
        return;
    }
    for (size_t i = 0; i < faults->count; i++) {
        const struct config_fault *fault = &faults->faults[i];
        if (fault->line == 0)
            places_fault(loader, key, "%s: %s", file, fault->text);
        else
            places_fault(loader, key, "%s:%u:%u: %s", file, fault->line, fault->column,
                         fault->text);
    }
}

/* A listener before this one that names the same file: it is read, and its faults are told, once.
 */
static const struct config_listener *same_file(const struct config_cache *cache, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (cache->listeners[i].sasl != NULL &&
            strcmp(cache->listeners[i].sasl, cache->listeners[at].sasl) == 0)
            return &cache->listeners[i];
    return NULL;
}

static void load_users(struct loader *loader, size_t at)
{
    struct config_cache *cache = &loader->config->cache;
    struct config_listener *listener = &cache->listeners[at];
    const struct config_listener *earlier = same_file(cache, at);
    struct config_faults faults;
    char key[64];

    if (earlier != NULL) {
        listener->users = earlier->users;
        return;
    }
    (void)snprintf(key, sizeof(key), "cache.listen[%zu].sasl", at);
    listener->users = users_load(listener->sasl, &faults);
    if (listener->users == NULL)
        pass_on(loader, key, listener->sasl, &faults);
    config_faults_free(&faults);
}

static void load_credentials(struct loader *loader)
{
    struct config_cache *cache = &loader->config->cache;
    struct config_faults faults;
    bool is_open;

    cache->credentials = calloc(1, sizeof(*cache->credentials));
    if (cache->credentials == NULL) {
        faults_no_memory(loader->faults);
        return;
    }
    if (!credentials_load(cache->server_login, cache->credentials, &is_open, &faults))
        pass_on(loader, "cache.server_login", cache->server_login, &faults);
    else if (is_open)
        log_warn("%s holds a password, and every user of this machine can read it; chmod o-r it",
                 cache->server_login);
    config_faults_free(&faults);
}

void secrets_load(struct loader *loader)
{
    const struct config_cache *cache = &loader->config->cache;

    for (size_t i = 0; i < cache->listener_count; i++)
        if (cache->listeners[i].sasl != NULL)
            load_users(loader, i);
    if (cache->server_login != NULL)
        load_credentials(loader);
}

void secrets_free(struct config *config)
{
    struct config_cache *cache = &config->cache;

    for (size_t i = 0; i < cache->listener_count; i++)
        if (cache->listeners[i].sasl != NULL && same_file(cache, i) == NULL)
            users_free(cache->listeners[i].users);
    if (cache->credentials != NULL) {
        explicit_bzero(cache->credentials, sizeof(*cache->credentials));
        free(cache->credentials);
    }
}
