#include "crossfade/app/login_thread.h"

#include "crossfade/relay/mc_login.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

struct login_thread {
    pthread_t thread;
    struct worker_thread *workers;
    unsigned count;
    int wake_fd;
    _Atomic bool stopping;
    struct verifier *verifier;
};

static void answer(struct login_thread *thread, unsigned worker, struct mc_login_slot *slot,
                   enum verifier_verdict verdict)
{
    mc_login_answer(slot, verdict);
    worker_thread_wake(&thread->workers[worker]);
}

struct oldest {
    struct mc_login_slot *slot; /* NULL: none */
    unsigned worker;
    uint64_t asked_at;
};

/* Answers what is remembered, and finds the oldest of the others. */
static void look(struct login_thread *thread, struct oldest *oldest)
{
    oldest->slot = NULL;
    for (unsigned w = 0; w < thread->count; w++) {
        struct mc_login_queue *queue = thread->workers[w].worker.logins;
        for (size_t i = 0; i < MC_LOGIN_SLOTS; i++) {
            struct mc_login_slot *slot = &queue->slots[i];
            enum verifier_verdict verdict;
            if (!mc_login_take(slot))
                continue;
            if (verifier_recall(thread->verifier, &slot->wish, clock_now(), &verdict)) {
                answer(thread, w, slot, verdict);
                continue;
            }
            if (oldest->slot == NULL || slot->asked_at < oldest->asked_at)
                *oldest = (struct oldest){ slot, w, slot->asked_at };
            mc_login_put_back(slot);
        }
    }
}

static void *run(void *context)
{
    struct login_thread *thread = context;
    struct oldest oldest;
    uint64_t count;

    while (!atomic_load(&thread->stopping)) {
        if (read(thread->wake_fd, &count, sizeof(count)) < 0 && errno != EINTR)
            break;
        do {
            look(thread, &oldest);
            /* Its client may have gone meanwhile, and another's login be in its slot: as good. */
            if (oldest.slot != NULL && mc_login_take(oldest.slot))
                answer(thread, oldest.worker, oldest.slot,
                       verifier_verify(thread->verifier, &oldest.slot->wish, clock_now()));
        } while (oldest.slot != NULL && !atomic_load(&thread->stopping));
    }
    return NULL;
}

struct login_thread *login_thread_start(struct worker_thread *workers, unsigned count, int wake_fd)
{
    struct login_thread *thread = calloc(1, sizeof(*thread));
    sigset_t all;
    sigset_t before;
    int status;

    if (thread == NULL)
        return NULL;
    thread->workers = workers;
    thread->count = count;
    thread->wake_fd = wake_fd;
    thread->verifier = verifier_create();
    if (thread->verifier == NULL) {
        free(thread);
        errno = ENOMEM;
        return NULL;
    }
    /* Signals are for the main thread. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    status = pthread_create(&thread->thread, NULL, run, thread);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status != 0) {
        verifier_destroy(thread->verifier);
        free(thread);
        errno = status;
        return NULL;
    }
    return thread;
}

void login_thread_stop(struct login_thread *thread)
{
    uint64_t one = 1;

    if (thread == NULL)
        return;
    atomic_store(&thread->stopping, true);
    (void)!write(thread->wake_fd, &one, sizeof(one));
    (void)pthread_join(thread->thread, NULL);
    verifier_destroy(thread->verifier);
    free(thread);
}
