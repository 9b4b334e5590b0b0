#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

bool file_write(int fd, struct slice data)
{
    while (data.len > 0) {
        ssize_t written = write(fd, data.data, data.len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        data.data += written;
        data.len -= (size_t)written;
    }
    return true;
}

/* -1; errno is as it was. */
static int give_up(int fd, int why)
{
    if (fd >= 0)
        (void)close(fd);
    errno = why;
    return -1;
}

int file_lock(int folder, const char *path, const char *name, char *error, size_t error_size)
{
    int fd = openat(folder, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0640);
    char pid[32] = "";
    int why;
    int len;
    ssize_t got;

    if (fd < 0) {
        why = errno;
        (void)snprintf(error, error_size, "%s/%s cannot be opened: %s", path, name, strerror(why));
        return give_up(fd, why);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        why = errno;
        if (why != EWOULDBLOCK) {
            (void)snprintf(error, error_size, "%s/%s cannot be locked: %s", path, name,
                           strerror(why));
            return give_up(fd, why);
        }
        got = pread(fd, pid, sizeof(pid) - 1, 0);
        pid[got > 0 ? strspn(pid, "0123456789") : 0] = '\0';
        (void)snprintf(error, error_size,
                       "%s is in use by another crossfade%s%s; stop that one, or give this one a "
                       "process.state_dir of its own",
                       path, pid[0] != '\0' ? ", process " : "", pid);
        return give_up(fd, why);
    }
    /* Only for the sentence above, so a full disk does not matter. */
    len = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) == 0)
        (void)!pwrite(fd, pid, (size_t)len, 0);
    return fd;
}

bool file_sync_folder(int folder)
{
    return fsync(folder) == 0 || errno == EINVAL || errno == ENOTSUP;
}
