/*
 * What the readers of files share: all of a file in memory, and its lines.
 */
#ifndef CROSSFADE_CONF_FILE_H
#define CROSSFADE_CONF_FILE_H

#include "crossfade/base/ensure.h"
#include "crossfade/base/slice.h"
#include "crossfade/conf/load.h"

#include <stdbool.h>

#define FILE_MAX ((size_t)1024 * 1024)

enum file_kind {
    FILE_ANY,    /* a pipe, too, which is waited for: what a person names on the command line */
    FILE_REGULAR /* a pipe would hold up a reload for ever */
};

/*
 * Up to FILE_MAX + 1 bytes, so that whoever parses them sees that they are too many; to be given to
 * file_forget. NULL with a fault that says why.
 */
char *file_load(const char *path, enum file_kind kind, size_t *len,
                struct config_faults *faults) MUST_CHECK;
/* Wipes it, for it may hold secrets, and frees it. */
void file_forget(char *text, size_t len);

struct file_lines {
    struct slice rest;
    unsigned number; /* of the line that file_next_line gave */
};

/* The next line, without its end; false behind the last. */
bool file_next_line(struct file_lines *lines, struct slice *line) MUST_CHECK;

#endif
