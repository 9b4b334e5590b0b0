#include "file.h"

#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* False with errno. */
static bool read_file(const char *path, enum file_kind kind, char *text, size_t *len)
{
    int waiting = kind == FILE_REGULAR ? O_NONBLOCK : 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | waiting);
    struct stat found;
    ssize_t got = 1;
    int error;

    if (fd < 0)
        return false;
    if (kind == FILE_REGULAR &&
        (fstat(fd, &found) != 0 || !(S_ISREG(found.st_mode) || S_ISDIR(found.st_mode)))) {
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

char *file_load(const char *path, enum file_kind kind, size_t *len, struct config_faults *faults)
{
    static const struct position whole_file = { 0, 0 };
    char *text = malloc(FILE_MAX + 1);
    int error = ENOMEM;

    *len = 0;
    *faults = (struct config_faults){ NULL, 0 };
    if (text != NULL && read_file(path, kind, text, len))
        return text;
    if (text != NULL)
        error = errno;
    file_forget(text, *len);
    if (faults_begin(faults)) {
        faults_add(faults, whole_file, "the file cannot be read: %s",
                   error == ENOTSUP ? "it is no regular file" : strerror(error));
        faults_end(faults);
    }
    return NULL;
}

void file_forget(char *text, size_t len)
{
    if (text != NULL)
        explicit_bzero(text, len);
    free(text);
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
