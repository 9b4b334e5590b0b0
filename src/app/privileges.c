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

/* A folder that we make belongs to who will write it; one that exists is left as it is. */
static void make_folder(const char *path, mode_t mode, uid_t uid, gid_t gid)
{
    if (mkdir(path, mode) == 0 && chown(path, uid, gid) != 0)
        log_warn("%s: cannot give this folder to user %u: %s", path, (unsigned)uid,
                 strerror(errno));
}

bool privileges_owner(const struct config *config, uid_t *uid, gid_t *gid)
{
    const char *name = config->process.user;
    const struct passwd *user = name != NULL && geteuid() == 0 ? getpwnam(name) : NULL;

    if (user == NULL)
        return false;
    *uid = user->pw_uid;
    *gid = user->pw_gid;
    return true;
}

void privileges_make_folders(const struct config *config)
{
    uid_t uid;
    gid_t gid;

    if (!privileges_owner(config, &uid, &gid))
        return;
    for (size_t i = 0; i < config->control.socket_count; i++) {
        const char *path = config->control.sockets[i].path;
        const char *slash = strrchr(path, '/');
        char *folder =
            slash != NULL && slash != path ? strndup(path, (size_t)(slash - path)) : NULL;
        if (folder != NULL)
            make_folder(folder, 0755, uid, gid);
        free(folder);
    }
}

bool privileges_drop(const struct config *config, char *error, size_t error_size)
{
    const char *name = config->process.user;
    struct passwd *user;

    if (name == NULL) {
        make_folder(config->process.state_dir, 0750, getuid(), getgid());
        return true;
    }
    user = getpwnam(name);
    if (geteuid() != 0) {
        if (user == NULL || user->pw_uid != geteuid())
            log_warn("process.user is %s, but only root can become another user: going on as user "
                     "%u",
                     name, (unsigned)geteuid());
        make_folder(config->process.state_dir, 0750, getuid(), getgid());
        return true;
    }
    if (user == NULL) {
        (void)snprintf(error, error_size,
                       "process.user: there is no user %s; make one (adduser --system --group %s) "
                       "or name another",
                       name, name);
        return false;
    }
    make_folder(config->process.state_dir, 0750, user->pw_uid, user->pw_gid);
    if (initgroups(name, user->pw_gid) != 0 || setgid(user->pw_gid) != 0 ||
        setuid(user->pw_uid) != 0) {
        (void)snprintf(error, error_size, "cannot become user %s: %s", name, strerror(errno));
        return false;
    }
    return true;
}
