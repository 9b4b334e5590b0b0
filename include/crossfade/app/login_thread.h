/*
 * The thread that verifies logins: a hash takes milliseconds on purpose, and no worker may wait for
 * it. It looks at the slots of all workers (relay/mc_login.h). What it remembers is answered first;
 * of the others it hashes the oldest, and looks again.
 */
#ifndef CROSSFADE_APP_LOGIN_THREAD_H
#define CROSSFADE_APP_LOGIN_THREAD_H

#include "crossfade/app/worker_thread.h"

struct login_thread;

/*
 * The workers write to wake_fd, an eventfd that blocks, when they have asked. NULL with errno, or
 * ENOMEM where there is no randomness.
 */
struct login_thread *login_thread_start(struct worker_thread *workers, unsigned count, int wake_fd);
/* Finishes the login that it is at. Workers may still ask, and get no answer. May be NULL. */
void login_thread_stop(struct login_thread *thread);

#endif
