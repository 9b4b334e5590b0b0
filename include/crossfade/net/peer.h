/*
 * Who is at the other end of a unix socket, as the kernel has it. The process is the one that
 * called connect(), or made the socket pair; it may have handed the socket on since.
 */
#ifndef CROSSFADE_NET_PEER_H
#define CROSSFADE_NET_PEER_H

#include "crossfade/base/ensure.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Its process id is 0 when the process is in a namespace that is not seen from here. False with
 * errno. */
bool peer_credentials(int fd, uid_t *uid, pid_t *pid) MUST_CHECK;

/*
 * The path of the program that the process runs now, terminated; that of a program which was
 * replaced on disk is the path of old. That the number is still the same process is made sure by
 * the socket itself where the kernel can (SO_PEERPIDFD, Linux 6.5); before that, a process that
 * ended since the connect might be taken for one that got its number. False with errno: ESRCH when
 * the process is gone, EACCES when this one may not look (it takes the same user and group, or
 * CAP_SYS_PTRACE).
 */
bool peer_executable(int fd, pid_t pid, char *out, size_t size) MUST_CHECK;

#endif
