/*
 * The listening sockets of one configuration, of both planes. A set is made on the main thread and
 * never changed; a reload makes the next one, which takes over the sockets whose address stays.
 */
#ifndef CROSSFADE_APP_LISTENERS_H
#define CROSSFADE_APP_LISTENERS_H

#include "crossfade/net/listener.h"

enum plane_kind { PLANE_CACHE, PLANE_WEB };

struct listening {
    enum plane_kind plane;
    unsigned index; /* into the plane's listeners of the configuration */
    struct listener *listener;
    bool shared; /* taken over from the set before */
    int mode;    /* of a unix socket; -1: by the umask */
};

struct listeners {
    struct listening *entries;
    size_t count;
};

/* NULL with a sentence in error[]; `previous` is as it was then. */
struct listeners *listeners_open(const struct config *config, const struct listeners *previous,
                                 unsigned workers, char *error, size_t error_size) MUST_CHECK;
/* Connections are taken from now on, on those that are new in it. False with a sentence in error[].
 */
bool listeners_listen(const struct listeners *listeners, char *error, size_t error_size) MUST_CHECK;
/* Unix sockets that were taken over get the mode of the new configuration. */
void listeners_set_modes(const struct listeners *listeners);
/* The files of unix sockets belong to that user from now on. */
void listeners_give(const struct listeners *listeners, uid_t uid, gid_t gid);
/* Closes the sockets that `next` (may be NULL) has not taken over, and frees the set. */
void listeners_close(struct listeners *listeners, const struct listeners *next);
/* `failed` was opened after `previous` but will not be used: closes only what is new in it. */
void listeners_abandon(struct listeners *failed);

#endif
