#include "crossfade/app/listeners.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct listener *find(const struct listeners *listeners, const char *name)
{
    for (size_t i = 0; listeners != NULL && i < listeners->count; i++)
        if (strcmp(listeners->entries[i].listener->name, name) == 0)
            return listeners->entries[i].listener;
    return NULL;
}

static bool open_plane(struct listeners *listeners, enum plane_kind plane,
                       const struct config_listener *configs, size_t count,
                       const struct listeners *previous, unsigned workers, char *error,
                       size_t error_size)
{
    for (size_t i = 0; i < count; i++) {
        struct listening *entry = &listeners->entries[listeners->count];
        entry->plane = plane;
        entry->index = (unsigned)i;
        entry->mode = configs[i].mode;
        entry->listener = find(previous, configs[i].endpoint.text);
        entry->shared = entry->listener != NULL;
        if (entry->listener == NULL)
            entry->listener = listener_open(&configs[i], workers, error, error_size);
        if (entry->listener == NULL)
            return false;
        listeners->count++;
    }
    return true;
}

struct listeners *listeners_open(const struct config *config, const struct listeners *previous,
                                 unsigned workers, char *error, size_t error_size)
{
    struct listeners *listeners = calloc(1, sizeof(*listeners));
    size_t cache = config->cache.present ? config->cache.listener_count : 0;
    size_t web = config->web.present ? config->web.listener_count : 0;

    if (listeners == NULL ||
        (listeners->entries = calloc(cache + web + 1, sizeof(struct listening))) == NULL) {
        free(listeners);
        (void)snprintf(error, error_size, "out of memory");
        return NULL;
    }
    if (!open_plane(listeners, PLANE_CACHE, config->cache.listeners, cache, previous, workers,
                    error, error_size) ||
        !open_plane(listeners, PLANE_WEB, config->web.listeners, web, previous, workers, error,
                    error_size)) {
        listeners_abandon(listeners);
        return NULL;
    }
    return listeners;
}

bool listeners_listen(const struct listeners *listeners, char *error, size_t error_size)
{
    for (size_t i = 0; i < listeners->count; i++)
        if (!listeners->entries[i].shared &&
            !listener_listen(listeners->entries[i].listener, error, error_size))
            return false;
    return true;
}

void listeners_set_modes(const struct listeners *listeners)
{
    for (size_t i = 0; i < listeners->count; i++) {
        const struct listening *entry = &listeners->entries[i];
        if (entry->shared && !listener_set_mode(entry->listener, entry->mode))
            log_warn("%s: its mode cannot be set: %s", entry->listener->name, strerror(errno));
    }
}

void listeners_give(const struct listeners *listeners, uid_t uid, gid_t gid)
{
    for (size_t i = 0; i < listeners->count; i++)
        if (!listener_give(listeners->entries[i].listener, uid, gid))
            log_warn("%s: cannot be given to user %u: %s", listeners->entries[i].listener->name,
                     (unsigned)uid, strerror(errno));
}

void listeners_close(struct listeners *listeners, const struct listeners *next)
{
    if (listeners == NULL)
        return;
    for (size_t i = 0; i < listeners->count; i++) {
        struct listener *listener = listeners->entries[i].listener;
        if (find(next, listener->name) != listener)
            listener_close(listener);
    }
    free(listeners->entries);
    free(listeners);
}

void listeners_abandon(struct listeners *failed)
{
    for (size_t i = 0; i < failed->count; i++)
        if (!failed->entries[i].shared)
            listener_close(failed->entries[i].listener);
    free(failed->entries);
    free(failed);
}
