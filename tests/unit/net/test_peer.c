#include "crossfade/net/peer.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* Our own program, as the kernel says. */
static void read_self(char *out, size_t size)
{
    ssize_t len = readlink("/proc/self/exe", out, size - 1);

    cr_assert_gt(len, 0);
    out[len] = '\0';
}

Test(peer, of_a_pair_is_who_made_it)
{
    char expected[PATH_MAX];
    char found[PATH_MAX];
    int ends[2];
    uid_t uid;
    pid_t pid;

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    cr_assert(peer_credentials(ends[0], &uid, &pid));
    cr_assert_eq(uid, geteuid());
    cr_assert_eq(pid, getpid());
    read_self(expected, sizeof(expected));
    cr_assert(peer_executable(ends[0], pid, found, sizeof(found)));
    cr_assert_str_eq(found, expected);
    cr_assert_not(peer_executable(ends[0], pid, found, strlen(expected)), "there is no room");
    cr_assert_eq(errno, ENAMETOOLONG);
    cr_assert_not(peer_executable(ends[0], 0, found, sizeof(found)),
                  "a process not seen from here");
    cr_assert_eq(errno, ESRCH);
    close(ends[0]);
    close(ends[1]);
}

static int listen_there(const char *path, struct sockaddr_un *un)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    un->sun_family = AF_UNIX;
    strncpy(un->sun_path, path, sizeof(un->sun_path) - 1);
    cr_assert_eq(bind(fd, (struct sockaddr *)un, sizeof(*un)), 0);
    cr_assert_eq(listen(fd, 1), 0);
    return fd;
}

/* SO_PEERPIDFD, Linux 6.5. */
static bool knows_processes(int fd)
{
    int process;
    socklen_t len = sizeof(process);

    if (getsockopt(fd, SOL_SOCKET, 77, &process, &len) == 0) {
        close(process);
        return true;
    }
    return errno != ENOPROTOOPT;
}

Test(peer, that_has_ended_is_nobody)
{
    char folder[] = "/tmp/crossfade-peer-XXXXXX";
    char path[64];
    char found[PATH_MAX];
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    int listener;
    int accepted;
    pid_t child;
    uid_t uid;
    pid_t pid;

    cr_assert_not_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/s", folder);
    listener = listen_there(path, &un);
    child = fork();
    if (child == 0) {
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        (void)!connect(fd, (struct sockaddr *)&un, sizeof(un));
        pause();
        _exit(0);
    }
    accepted = accept(listener, NULL, NULL);
    cr_assert_geq(accepted, 0);
    cr_assert(peer_credentials(accepted, &uid, &pid));
    cr_assert_eq(pid, child);
    cr_assert(peer_executable(accepted, pid, found, sizeof(found)));
    cr_assert_eq(kill(child, SIGKILL), 0);
    cr_assert_eq(waitpid(child, NULL, 0), child);
    cr_assert_not(peer_executable(accepted, pid, found, sizeof(found)));
    /* The number is another process now: a kernel that can tells it from the one that connected. */
    if (knows_processes(accepted))
        cr_assert_not(peer_executable(accepted, getpid(), found, sizeof(found)));
    close(accepted);
    close(listener);
    unlink(path);
    rmdir(folder);
}

Test(peer, of_a_socket_that_is_not_local_is_unknown)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    uid_t uid;
    pid_t pid;
    char found[PATH_MAX];

    /* The kernel answers for any socket; without a process. */
    if (peer_credentials(fd, &uid, &pid))
        cr_assert_not(peer_executable(fd, pid, found, sizeof(found)));
    close(fd);
}
