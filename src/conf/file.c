#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

bool file_read(const char *path, char *text, size_t *len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat found;
    ssize_t got = 1;
    int error;

    *len = 0;
    if (fd < 0)
        return false;
    /* A pipe would have the daemon wait for who writes to it. */
    if (fstat(fd, &found) != 0 || !(S_ISREG(found.st_mode) || S_ISDIR(found.st_mode))) {
        close(fd);
        errno = ENOTSUP;
        return false;
    }
    while (got > 0 && *len < FILE_MAX + 1) {
        got = read(fd, text + *len, FILE_MAX + 1 - *len);
        if (got < 0 && errno == EINTR)
            got = 1;
        else if (got > 0)
            *len += (size_t)got;
    }
    error = errno;
    close(fd);
    errno = error;
    return got >= 0;
}

bool file_next_line(struct file_lines *lines, struct slice *line)
{
    struct slice rest = lines->rest;
    size_t end = slice_find(rest, '\n');
    size_t done = end < rest.len ? end + 1 : end;

    if (rest.len == 0)
        return false;
    *line = slice_of(rest.data, end > 0 && rest.data[end - 1] == '\r' ? end - 1 : end);
    lines->rest = slice_of(rest.data + done, rest.len - done);
    lines->number++;
    return true;
}
