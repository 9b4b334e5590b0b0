#include "crossfade/net/peer.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Linux 6.5; the C library's headers may be older than the kernel. */
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

bool peer_credentials(int fd, uid_t *uid, pid_t *pid)
{
    struct ucred found;
    socklen_t len = sizeof(found);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &found, &len) != 0)
        return false;
    *uid = found.uid;
    *pid = found.pid;
    return true;
}

/* A descriptor for the process itself, which does not become another one; -1 with errno. */
static int open_process(int fd)
{
    int process;
    socklen_t len = sizeof(process);

    return getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &process, &len) == 0 ? process : -1;
}

/* It becomes readable when the process has ended. */
static bool has_ended(int process)
{
    struct pollfd wait = { .fd = process, .events = POLLIN };

    return poll(&wait, 1, 0) != 0;
}

static bool read_path(pid_t pid, char *out, size_t size)
{
    static const char gone[] =
        " (deleted)"; /* the kernel's mark of a file that is not there any more */
    char link[32];
    ssize_t len;

    (void)snprintf(link, sizeof(link), "/proc/%ld/exe", (long)pid);
    len = readlink(link, out, size);
    if (len < 0)
        return false;
    if ((size_t)len >= size) {
        errno = ENAMETOOLONG;
        return false;
    }
    if ((size_t)len > sizeof(gone) - 1 &&
        memcmp(out + len - (sizeof(gone) - 1), gone, sizeof(gone) - 1) == 0)
        len -= (ssize_t)sizeof(gone) - 1;
    out[len] = '\0';
    return true;
}

bool peer_executable(int fd, pid_t pid, char *out, size_t size)
{
    int process;
    bool found;
    int error = 0;

    if (pid <= 0) {
        errno = ESRCH;
        return false;
    }
    process = open_process(fd);
    if (process < 0 && errno != ENOPROTOOPT)
        return false; /* it is gone (EINVAL, ESRCH), or there is no descriptor left */
    found = read_path(pid, out, size);
    if (!found)
        error = errno == ENOENT ? ESRCH : errno;
    if (process >= 0) {
        /* Alive now: so what was read is of this process, and not of one that got its number. */
        if (found && has_ended(process)) {
            found = false;
            error = ESRCH;
        }
        (void)close(process);
    }
    errno = error;
    return found;
}
