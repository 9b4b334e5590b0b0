#include "file.h"

#include <errno.h>
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

bool file_sync_folder(int folder)
{
    return fsync(folder) == 0 || errno == EINVAL || errno == ENOTSUP;
}
