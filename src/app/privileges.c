#include "crossfade/app/privileges.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

void privileges_raise_limits(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* A state folder that we make belongs to who will write it; one that exists is left as it is. */
static void make_state_dir(const char *path, uid_t uid, gid_t gid)
{
    if (mkdir(path, 0750) == 0 && chown(path, uid, gid) != 0)
        log_warn("%s: cannot give this folder to user %u: %s", path, (unsigned)uid,
                 strerror(errno));
}

bool privileges_drop(const struct config *config, char *error, size_t error_size)
{
    const char *name = config->process.user;
    struct passwd *user;

    if (name == NULL) {
        make_state_dir(config->process.state_dir, getuid(), getgid());
        return true;
    }
    user = getpwnam(name);
    if (geteuid() != 0) {
        if (user == NULL || user->pw_uid != geteuid())
            log_warn("process.user is %s, but only root can become another user: going on as user "
                     "%u",
                     name, (unsigned)geteuid());
        make_state_dir(config->process.state_dir, getuid(), getgid());
        return true;
    }
    if (user == NULL) {
        (void)snprintf(error, error_size,
                       "process.user: there is no user %s; make one (adduser --system --group %s) "
                       "or name another",
                       name, name);
        return false;
    }
    make_state_dir(config->process.state_dir, user->pw_uid, user->pw_gid);
    if (initgroups(name, user->pw_gid) != 0 || setgid(user->pw_gid) != 0 ||
        setuid(user->pw_uid) != 0) {
        (void)snprintf(error, error_size, "cannot become user %s: %s", name, strerror(errno));
        return false;
    }
    return true;
}
