/*
 * Listening sockets. The main thread opens them (so that a fault shows at start or reload, before
 * anything is swapped) and gives one descriptor to each worker: for TCP each worker has a socket of
 * its own (SO_REUSEPORT), a unix socket is one that all workers accept from.
 */
#ifndef CROSSFADE_NET_LISTENER_H
#define CROSSFADE_NET_LISTENER_H

#include "crossfade/base/ensure.h"
#include "crossfade/conf/config.h"
#include "crossfade/net/address.h"

#include <stddef.h>
#include <sys/types.h>

struct listener {
    char *name; /* as configured */
    struct address address;
    int *fds; /* one a worker */
    unsigned workers;
    bool unlink_path; /* a unix socket that this process made; it is this file: */
    dev_t device;
    ino_t inode;
};

/*
 * Takes the address, which may need rights that the process gives up later; nobody can connect yet.
 * NULL with a sentence in error[]: what failed and what to do. A stale unix socket (nobody answers
 * on it) is replaced; a live one is refused.
 */
struct listener *listener_open(const struct config_listener *config, unsigned workers, char *error,
                               size_t error_size) MUST_CHECK;
/*
 * From now on connections are taken, so this comes last, when there is somebody to serve them: who
 * can connect takes the daemon for up. False with a sentence in error[], also when another process
 * was faster since the address was taken.
 */
bool listener_listen(struct listener *listener, char *error, size_t error_size) MUST_CHECK;
/*
 * The file of a unix socket belongs to that user from now on, who can remove it and change its mode
 * then. Nothing for TCP. False with errno.
 */
bool listener_give(const struct listener *listener, uid_t uid, gid_t gid) MUST_CHECK;
/* Another mode for it, -1: as it is. False with errno. */
bool listener_set_mode(const struct listener *listener, int mode) MUST_CHECK;
/*
 * Takes the path of a unix socket away, unless another process has put its own there since (a
 * daemon that takes over while this one still drains).
 */
void listener_close(struct listener *listener);

/* Accepts one connection from a non-blocking listening socket; -1 with errno. Sets TCP_NODELAY. */
int listener_accept(int fd, struct address *peer);

#endif
