/*
 * What is done as root and then no more.
 */
#ifndef CROSSFADE_APP_PRIVILEGES_H
#define CROSSFADE_APP_PRIVILEGES_H

#include "crossfade/base/ensure.h"
#include "crossfade/conf/config.h"

#include <sys/types.h>

/* As many descriptors as the hard limit allows. */
void privileges_raise_limits(void);
/* Are we root, to become process.user? Then its ids. */
bool privileges_owner(const struct config *config, uid_t *uid, gid_t *gid) MUST_CHECK;
/* Folders of control sockets that are missing, for whom we are to become: it has to remove the
 * sockets. */
void privileges_make_folders(const struct config *config);
/*
 * Makes the state folder, and becomes process.user where that is named and we are root. Not root:
 * stays who it is, with a warning if the name is another. False with a sentence in error[].
 */
bool privileges_drop(const struct config *config, char *error, size_t error_size) MUST_CHECK;

#endif
