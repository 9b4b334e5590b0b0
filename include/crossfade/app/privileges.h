/*
 * What is done as root and then no more.
 */
#ifndef CROSSFADE_APP_PRIVILEGES_H
#define CROSSFADE_APP_PRIVILEGES_H

#include "crossfade/base/ensure.h"
#include "crossfade/conf/config.h"

/* As many descriptors as the hard limit allows. */
void privileges_raise_limits(void);
/*
 * Makes the state folder, and becomes process.user where that is named and we are root. Not root: stays
 * who it is, with a warning if the name is another. False with a sentence in error[].
 */
bool privileges_drop(const struct config *config, char *error, size_t error_size) MUST_CHECK;

#endif
