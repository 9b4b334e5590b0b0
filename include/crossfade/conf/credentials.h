/*
 * Who this process is towards the memcached servers: the file that cache.server_login names. One
 * line, "user:password"; empty lines, and lines that begin with #, are left out. As ASCII
 * authentication ends each of the two at a space, neither may have one.
 */
#ifndef CROSSFADE_CONF_CREDENTIALS_H
#define CROSSFADE_CONF_CREDENTIALS_H

#include "crossfade/base/ensure.h"
#include "crossfade/conf/load.h"

/* What memcached keeps of each (MAX_ENTRY_LEN of its authfile.c, with a NUL). */
#define CREDENTIAL_MAX 255u

struct credentials {
    char user[CREDENTIAL_MAX + 1];
    char password[CREDENTIAL_MAX + 1];
};

/* False when there is any fault; `faults` as in conf/load.h. *open: others than its owner and group
 * may read the file. */
bool credentials_load(const char *path, struct credentials *out, bool *open,
                      struct config_faults *faults) MUST_CHECK;
bool credentials_parse(const char *text, size_t len, struct credentials *out,
                       struct config_faults *faults) MUST_CHECK;

#endif
