/*
 * What the readers of files share: all of a file in memory, and its lines.
 */
#ifndef CROSSFADE_CONF_FILE_H
#define CROSSFADE_CONF_FILE_H

#include "crossfade/base/ensure.h"
#include "crossfade/base/slice.h"

#include <stdbool.h>

#define FILE_MAX ((size_t)1024 * 1024)

/*
 * Reads up to FILE_MAX + 1 bytes into text[], so that whoever parses it sees that it is too long.
 * False with errno.
 */
bool file_read(const char *path, char *text, size_t *len) MUST_CHECK;

struct file_lines {
    struct slice rest;
    unsigned number; /* of the line that file_next_line gave */
};

/* The next line, without its end; false behind the last. */
bool file_next_line(struct file_lines *lines, struct slice *line) MUST_CHECK;

#endif
