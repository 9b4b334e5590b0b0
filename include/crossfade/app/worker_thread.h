/*
 * The thread around a struct worker: its loop, its accept events, and its mailbox. The main thread
 * puts an order into the mailbox and wakes the loop; the worker takes it at its next turn and says
 * so.
 */
#ifndef CROSSFADE_APP_WORKER_THREAD_H
#define CROSSFADE_APP_WORKER_THREAD_H

#include "crossfade/app/listeners.h"
#include "crossfade/net/watch.h"
#include "crossfade/relay/mc_census.h"
#include "crossfade/relay/worker.h"

#include <pthread.h>

/* How the main thread waits for workers: shared by all of them. */
struct worker_meeting {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
};

enum worker_order_kind { ORDER_SERVE, ORDER_DRAIN, ORDER_STOP };

struct accepting;

struct worker_thread {
    struct worker worker;
    pthread_t thread;
    bool started;
    int wake_fd;
    struct watch wake;
    uint64_t tick_due;
    struct accepting *accepting; /* one for each listening socket */
    size_t accepting_count;
    struct worker_meeting *meeting;
    struct worker_order *_Atomic mailbox;
    _Atomic int ending;       /* enum worker_order_kind */
    _Atomic uint64_t adopted; /* generation of the snapshot it serves */
    _Atomic bool ended;
    bool running;
    /* What the worker has seen of the traffic, copied when it is asked for; NULL before that. */
    struct families *seen;
    _Atomic uint64_t seen_asked; /* how often */
    _Atomic uint64_t seen_given;
    /* Its cache clients, the same way. */
    struct mc_census *census;
    _Atomic uint64_t census_asked;
    _Atomic uint64_t census_given;
};

/* False with a sentence in error[]. The thread is not running yet. */
bool worker_thread_init(struct worker_thread *thread, unsigned index, struct telemetry *telemetry,
                        struct worker_meeting *meeting, char *error, size_t error_size) MUST_CHECK;
/* False with errno. */
bool worker_thread_start(struct worker_thread *thread) MUST_CHECK;
/* The thread must have ended or never started. */
void worker_thread_deinit(struct worker_thread *thread);

/*
 * Serve by this snapshot and these sockets (listeners NULL: those of before). Takes a reference on
 * the snapshot; the listeners must live until the order is taken. False without memory.
 */
bool worker_thread_serve(struct worker_thread *thread, struct snapshot *snapshot,
                         const struct listeners *listeners) MUST_CHECK;
/* Its loop turns, and it looks at what the main thread has for it. */
void worker_thread_wake(struct worker_thread *thread);
/* Asks for a copy of what the worker has seen of the traffic. False without memory. */
bool worker_thread_ask_seen(struct worker_thread *thread) MUST_CHECK;
/* That copy; NULL as long as it is not there. It stands until the next time it is asked for. */
const struct families *worker_thread_seen(const struct worker_thread *thread);
/* The same for its cache clients, which stand until they are forgotten. */
bool worker_thread_ask_census(struct worker_thread *thread) MUST_CHECK;
const struct mc_census *worker_thread_census(const struct worker_thread *thread);
void worker_thread_forget_census(struct worker_thread *thread);
/* Stop accepting and end when the last client is gone (ORDER_DRAIN), or now (ORDER_STOP). */
void worker_thread_end(struct worker_thread *thread, enum worker_order_kind how);

#endif
