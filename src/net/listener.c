#include "crossfade/net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKLOG 4096

/* Somebody answers on that socket: it is not stale. */
static bool is_alive(const struct address *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool alive;

    if (fd < 0)
        return true;
    alive =
        connect(fd, &address->u.any, address->len) == 0 || errno == EAGAIN || errno == EINPROGRESS;
    (void)close(fd);
    return alive;
}

static int open_unix(const struct config_listener *config, const struct address *address,
                     char *error, size_t error_size)
{
    const char *path = config->endpoint.path;
    struct stat found;
    mode_t mask = 0;
    int fd;
    bool bound;

    if (lstat(path, &found) == 0) {
        if (!S_ISSOCK(found.st_mode)) {
            (void)snprintf(error, error_size,
                           "%s: there is a file in the way that is no socket; remove it or "
                           "choose another path",
                           path);
            return -1;
        }
        if (is_alive(address)) {
            (void)snprintf(error, error_size,
                           "%s: another process is listening there; stop it or choose another path",
                           path);
            return -1;
        }
        (void)unlink(path);
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        (void)snprintf(error, error_size, "%s: no socket: %s", path, strerror(errno));
        return -1;
    }
    /* The mode is right from the first moment on: nobody slips in between bind and chmod. */
    if (config->mode >= 0)
        mask = umask((mode_t)(~(unsigned)config->mode & 0777u));
    bound = bind(fd, &address->u.any, address->len) == 0;
    if (config->mode >= 0)
        (void)umask(mask);
    if (!bound) {
        (void)snprintf(error, error_size, "%s: cannot listen: %s", path, strerror(errno));
        (void)close(fd);
        return -1;
    }
    return fd;
}

static int open_tcp(const struct config_listener *config, const struct address *address,
                    char *error, size_t error_size)
{
    int one = 1;
    int fd = socket(address->u.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        (void)snprintf(error, error_size, "%s: no socket: %s", config->endpoint.text,
                       strerror(errno));
        return -1;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
    if (address->u.any.sa_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
    if (bind(fd, &address->u.any, address->len) != 0) {
        (void)snprintf(error, error_size, "%s: cannot listen: %s%s", config->endpoint.text,
                       strerror(errno),
                       errno == EADDRINUSE ? "; another process has this port" : "");
        (void)close(fd);
        return -1;
    }
    return fd;
}

/*
 * SO_REUSEPORT lets any process of this user join a port, so a second daemon by mistake would take
 * half of the connections. A plain bind first finds it out.
 */
static bool port_is_free(const struct address *address, const char *name, char *error,
                         size_t error_size)
{
    int one = 1;
    int fd = socket(address->u.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is_free;

    if (fd < 0)
        return true; /* the real socket will report it */
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (address->u.any.sa_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
    is_free = bind(fd, &address->u.any, address->len) == 0 || errno != EADDRINUSE;
    (void)close(fd);
    if (!is_free)
        (void)snprintf(error, error_size,
                       "%s: cannot listen: the address is in use; stop the process that has it or "
                       "choose another port",
                       name);
    return is_free;
}

static bool is_ours(const struct listener *listener)
{
    struct stat found;

    return lstat(listener->address.u.un.sun_path, &found) == 0 &&
           found.st_dev == listener->device && found.st_ino == listener->inode;
}

/* Which file it is, so that only that one is removed. */
static void remember_path(struct listener *listener)
{
    struct stat made;

    listener->unlink_path = lstat(listener->address.u.un.sun_path, &made) == 0;
    if (listener->unlink_path) {
        listener->device = made.st_dev;
        listener->inode = made.st_ino;
    }
}

struct listener *listener_open(const struct config_listener *config, unsigned workers, char *error,
                               size_t error_size)
{
    struct listener *listener = calloc(1, sizeof(*listener));
    bool is_unix = config->endpoint.path != NULL;

    if (listener == NULL || (listener->fds = calloc(workers, sizeof(int))) == NULL ||
        (listener->name = strdup(config->endpoint.text)) == NULL) {
        (void)snprintf(error, error_size, "out of memory");
        listener_close(listener);
        return NULL;
    }
    for (unsigned i = 0; i < workers; i++)
        listener->fds[i] = -1;
    listener->workers = workers;
    if (!address_resolve(&config->endpoint, &listener->address, error, error_size) ||
        (!is_unix && !port_is_free(&listener->address, listener->name, error, error_size))) {
        listener_close(listener);
        return NULL;
    }
    for (unsigned i = 0; i < workers; i++) {
        if (is_unix && i > 0) {
            listener->fds[i] = dup(listener->fds[0]);
            if (listener->fds[i] < 0)
                (void)snprintf(error, error_size, "%s: %s", listener->name, strerror(errno));
        } else if (is_unix) {
            listener->fds[0] = open_unix(config, &listener->address, error, error_size);
            if (listener->fds[0] >= 0)
                remember_path(listener);
        } else {
            listener->fds[i] = open_tcp(config, &listener->address, error, error_size);
        }
        if (listener->fds[i] < 0) {
            listener_close(listener);
            return NULL;
        }
    }
    return listener;
}

/* Another process may have taken the address while nobody listened on it. */
static bool is_still_ours(const struct listener *listener, char *error, size_t error_size)
{
    if (listener->address.u.any.sa_family != AF_UNIX)
        return port_is_free(&listener->address, listener->name, error, error_size);
    if (is_ours(listener))
        return true;
    (void)snprintf(error, error_size,
                   "%s: another process has put its own socket there; stop it or choose another "
                   "path",
                   listener->name);
    return false;
}

bool listener_listen(struct listener *listener, char *error, size_t error_size)
{
    if (!is_still_ours(listener, error, error_size))
        return false;
    for (unsigned i = 0; i < listener->workers; i++) {
        if (listen(listener->fds[i], BACKLOG) != 0) {
            (void)snprintf(error, error_size, "%s: cannot listen: %s", listener->name,
                           strerror(errno));
            return false;
        }
    }
    return true;
}

bool listener_give(const struct listener *listener, uid_t uid, gid_t gid)
{
    struct stat found;
    int fd;
    int why;
    bool ok;

    if (!listener->unlink_path)
        return true;
    /* Whatever is put in the place of the socket meanwhile is not given away. */
    fd = open(listener->address.u.un.sun_path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return false;
    errno = ENOENT;
    ok = fstat(fd, &found) == 0 && found.st_dev == listener->device &&
         found.st_ino == listener->inode && fchownat(fd, "", uid, gid, AT_EMPTY_PATH) == 0;
    why = errno;
    (void)close(fd);
    errno = why;
    return ok;
}

bool listener_set_mode(const struct listener *listener, int mode)
{
    if (mode < 0 || !listener->unlink_path)
        return true;
    errno = ENOENT;
    return is_ours(listener) && chmod(listener->address.u.un.sun_path, (mode_t)mode) == 0;
}

void listener_close(struct listener *listener)
{
    if (listener == NULL)
        return;
    /* While it is open its inode is nobody else's. */
    if (listener->unlink_path && is_ours(listener))
        (void)unlink(listener->address.u.un.sun_path);
    for (unsigned i = 0; listener->fds != NULL && i < listener->workers; i++)
        if (listener->fds[i] >= 0)
            (void)close(listener->fds[i]);
    free(listener->fds);
    free(listener->name);
    free(listener);
}

int listener_accept(int fd, struct address *peer)
{
    int one = 1;
    int accepted;

    peer->len = sizeof(peer->u);
    accepted = accept4(fd, &peer->u.any, &peer->len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (accepted >= 0 && peer->u.any.sa_family != AF_UNIX)
        (void)setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return accepted;
}
