/* What both files of the state folder need. */
#ifndef CROSSFADE_ROLLOUT_FILE_H
#define CROSSFADE_ROLLOUT_FILE_H

#include "crossfade/base/ensure.h"
#include "crossfade/base/slice.h"

#include <stdbool.h>

/* All of the data, or false; errno tells why. */
bool file_write(int fd, struct slice data) MUST_CHECK;

/*
 * Locks a file of that name in the folder (made if it is missing) until the descriptor is closed,
 * or the process ends. -1 with errno and a sentence in error[]; EWOULDBLOCK: another process has
 * it. `path`: the folder's.
 */
int file_lock(int folder, const char *path, const char *name, char *error,
              size_t error_size) MUST_CHECK;

/* fsync of a folder; true as well where the file system knows no such thing. */
bool file_sync_folder(int folder) MUST_CHECK;

#endif
