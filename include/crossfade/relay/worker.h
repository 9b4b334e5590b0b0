/*
 * One worker: a thread with an event loop and all that hangs off it. The planes (relay/mc_plane,
 * relay/http_plane) live on a worker and share what is here. Nothing in it is touched by another
 * thread but the inbox.
 *
 * A loop turn: wait for readiness, run the handlers (they read, parse, and put output into
 * buffers), then the turn's tasks (each connection with output writes once), then the graves
 * (memory of what was closed in this turn is reused only now).
 */
#ifndef CROSSFADE_RELAY_WORKER_H
#define CROSSFADE_RELAY_WORKER_H

#include "crossfade/base/buffer.h"
#include "crossfade/base/clock.h"
#include "crossfade/net/address.h"
#include "crossfade/relay/snapshot.h"
#include "crossfade/relay/telemetry.h"
#include "crossfade/route/token.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct loop;
struct mc_journal;
struct mc_flush_queue;
struct mc_login_queue;
struct mc_look;
struct mc_plane;
struct http_plane;

/* Something to do once at the end of this turn; embedded in its object. */
struct turn_task {
    STAILQ_ENTRY(turn_task) next;
    void (*run)(struct turn_task *task);
    bool queued;
};

/* A snapshot as this worker holds it; requests count their pins without atomics. */
struct snapshot_pin {
    struct snapshot *snapshot;
    uint32_t pins; /* one is the worker's own while it is current */
};

struct worker {
    unsigned index;
    struct loop *base;
    struct buffer_pool buffers;
    struct telemetry *telemetry;
    struct worker_cell *cell;
    struct snapshot_pin *current;
    struct token_source tokens;
    struct mc_journal *journal;               /* NULL: none, nothing undelivered is remembered */
    struct mc_flush_queue *flushes;           /* wishes for the main thread, and its verdicts */
    struct mc_look *_Atomic looks;            /* wishes of the main thread (relay/mc_look.h) */
    void (*ask_main)(struct worker *worker);  /* wakes it; set by the owner of the thread */
    int ask_fd;                               /* for that */
    struct mc_login_queue *logins;            /* wishes for the login thread, and its verdicts */
    void (*ask_login)(struct worker *worker); /* wakes that one, as above */
    int login_fd;
    struct mc_plane *mc;     /* NULL until a snapshot has a cache plane */
    struct http_plane *http; /* NULL until a snapshot has a web plane */
    uint64_t now;            /* valid if now_valid; use worker_now() */
    bool now_valid;
    bool draining; /* graceful stop: close what is idle, keep nothing alive */
    STAILQ_HEAD(, turn_task) tasks;
    STAILQ_HEAD(, turn_task) graves;
};

/* False with errno. The base is made here; buffers and the source of tokens too. */
bool worker_init(struct worker *worker, unsigned index, struct telemetry *telemetry) MUST_CHECK;
/* The planes must be destroyed before. */
void worker_deinit(struct worker *worker);

/* The time of this turn, monotonic microseconds: read once, when first asked for. */
static inline uint64_t worker_now(struct worker *worker)
{
    if (!worker->now_valid) {
        worker->now = clock_now();
        worker->now_valid = true;
    }
    return worker->now;
}

/* Runs task->run at the end of this turn, once, however often it is asked for. */
static inline void worker_defer(struct worker *worker, struct turn_task *task)
{
    if (!task->queued) {
        task->queued = true;
        STAILQ_INSERT_TAIL(&worker->tasks, task, next);
    }
}
/* Runs task->run after all tasks of this turn: for giving memory back. */
static inline void worker_bury(struct worker *worker, struct turn_task *task)
{
    STAILQ_INSERT_TAIL(&worker->graves, task, next);
}
/* Called by the loop after each turn. */
void worker_end_turn(struct worker *worker);

/* The snapshot of now, pinned for a request; give it back when the request is done. */
static inline struct snapshot_pin *worker_pin(struct worker *worker)
{
    worker->current->pins++;
    return worker->current;
}
void worker_unpin(struct worker *worker, struct snapshot_pin *pin);

/*
 * The newest snapshot becomes current (takes over the caller's reference); the planes adopt it.
 * False without memory: the old one stays.
 */
bool worker_adopt(struct worker *worker, struct snapshot *snapshot) MUST_CHECK;

/* Every 100 ms, for timeouts. */
void worker_tick(struct worker *worker);
#define WORKER_TICK MILLISECONDS(100)

#endif
