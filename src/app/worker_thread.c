#include "crossfade/app/worker_thread.h"

#include "crossfade/net/loop.h"
#include "crossfade/relay/http_plane.h"
#include "crossfade/relay/mc_flush.h"
#include "crossfade/relay/mc_login.h"
#include "crossfade/relay/mc_look.h"
#include "crossfade/relay/mc_plane.h"

#include "crossfade/route/families.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* Connections taken from one socket in one turn: the others wait no longer than for these. */
#define ACCEPT_BATCH 32

struct worker_order {
    struct snapshot *snapshot;
    bool with_listeners;
    size_t count;
    struct {
        int fd;
        enum plane_kind plane;
        unsigned index;
    } sockets[];
};

struct accepting {
    struct worker_thread *thread;
    struct watch watch;
    enum plane_kind plane;
    unsigned index;
    bool paused; /* out of descriptors: tried again at the next tick */
};

static void on_accept(int fd, short what, void *context)
{
    struct accepting *accepting = context;
    struct worker *worker = &accepting->thread->worker;

    (void)what;
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        struct address peer;
        int accepted = listener_accept(fd, &peer);
        if (accepted < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                log_warn("cannot accept connections: %s; trying again", strerror(errno));
                watch_stop(&accepting->watch);
                accepting->paused = true;
            }
            return;
        }
        if (accepting->plane == PLANE_CACHE && worker->mc != NULL)
            mc_plane_accept(worker->mc, accepting->index, accepted, &peer);
        else if (accepting->plane == PLANE_WEB && worker->http != NULL)
            http_plane_accept(worker->http, accepting->index, accepted, &peer);
        else
            (void)close(accepted);
    }
}

static void stop_accepting(struct worker_thread *thread)
{
    for (size_t i = 0; i < thread->accepting_count; i++)
        watch_stop(&thread->accepting[i].watch);
    free(thread->accepting);
    thread->accepting = NULL;
    thread->accepting_count = 0;
}

/* Who comes now is refused, and goes to another daemon, rather than wait for one that is stopping.
 */
static void refuse_connections(struct worker_thread *thread)
{
    for (size_t i = 0; i < thread->accepting_count; i++)
        (void)shutdown(thread->accepting[i].watch.fd, SHUT_RDWR);
    stop_accepting(thread);
}

static bool accept_from(struct worker_thread *thread, const struct worker_order *order)
{
    struct accepting *fresh = calloc(order->count + 1, sizeof(*fresh));

    if (fresh == NULL)
        return false;
    stop_accepting(thread);
    thread->accepting = fresh;
    for (size_t i = 0; i < order->count; i++) {
        fresh[i].thread = thread;
        fresh[i].plane = order->sockets[i].plane;
        fresh[i].index = order->sockets[i].index;
        watch_init(&fresh[i].watch, thread->worker.base, order->sockets[i].fd, on_accept,
                   &fresh[i]);
        thread->accepting_count++;
        if (!watch_set(&fresh[i].watch, true, false))
            return false;
    }
    return true;
}

static void order_free(struct worker_order *order)
{
    if (order == NULL)
        return;
    snapshot_unref(order->snapshot);
    free(order);
}

static void tell(struct worker_thread *thread)
{
    (void)pthread_mutex_lock(&thread->meeting->mutex);
    (void)pthread_cond_broadcast(&thread->meeting->changed);
    (void)pthread_mutex_unlock(&thread->meeting->mutex);
}

static void take_order(struct worker_thread *thread)
{
    struct worker_order *order = atomic_exchange(&thread->mailbox, NULL);
    uint64_t generation;

    if (order == NULL)
        return;
    generation = order->snapshot->generation;
    if (!worker_adopt(&thread->worker, snapshot_ref(order->snapshot))) {
        snapshot_unref(order->snapshot);
        log_error("worker %u is out of memory and goes on by the configuration of before",
                  thread->worker.index);
        order_free(order);
        return;
    }
    if (order->with_listeners && !accept_from(thread, order))
        log_error("worker %u is out of memory and accepts no connections", thread->worker.index);
    order_free(order);
    atomic_store(&thread->adopted, generation);
    tell(thread);
}

static void give_seen(struct worker_thread *thread)
{
    uint64_t asked = atomic_load(&thread->seen_asked);

    if (asked == atomic_load(&thread->seen_given))
        return;
    if (thread->worker.mc != NULL)
        *thread->seen = *mc_plane_families(thread->worker.mc);
    atomic_store(&thread->seen_given, asked);
    tell(thread);
}

static void give_census(struct worker_thread *thread)
{
    uint64_t asked = atomic_load(&thread->census_asked);

    if (asked == atomic_load(&thread->census_given))
        return;
    if (thread->worker.mc != NULL)
        mc_census_take(thread->worker.mc, thread->census);
    atomic_store(&thread->census_given, asked);
    tell(thread);
}

static size_t client_count(const struct worker *worker)
{
    return (worker->mc != NULL ? mc_plane_clients(worker->mc) : 0) +
           (worker->http != NULL ? http_plane_clients(worker->http) : 0);
}

static void begin_drain(struct worker_thread *thread)
{
    struct worker *worker = &thread->worker;

    if (worker->draining)
        return;
    refuse_connections(thread);
    worker->draining = true;
    if (worker->mc != NULL)
        mc_plane_drain(worker->mc);
    if (worker->http != NULL)
        http_plane_drain(worker->http);
}

static void on_wake(int fd, short what, void *context)
{
    struct worker_thread *thread = context;
    uint64_t count;

    (void)what;
    while (read(fd, &count, sizeof(count)) > 0)
        continue;
    take_order(thread);
    give_seen(thread);
    give_census(thread);
    if (thread->worker.mc != NULL)
        mc_flush_collect(thread->worker.mc);
    if (thread->worker.mc != NULL)
        mc_login_collect(thread->worker.mc);
    mc_look_take(&thread->worker);
    switch ((enum worker_order_kind)atomic_load(&thread->ending)) {
    case ORDER_SERVE:
        break;
    case ORDER_DRAIN:
        begin_drain(thread);
        break;
    case ORDER_STOP:
        thread->running = false;
        break;
    }
}

static void tick(struct worker_thread *thread)
{
    worker_tick(&thread->worker);
    for (size_t i = 0; i < thread->accepting_count; i++) {
        struct accepting *accepting = &thread->accepting[i];
        if (accepting->paused && watch_set(&accepting->watch, true, false))
            accepting->paused = false;
    }
}

/* `before`: the time of the turn before. Returns that of this one. */
static uint64_t turn(struct worker_thread *thread, uint64_t before)
{
    struct worker *worker = &thread->worker;
    uint64_t left = thread->tick_due > before ? thread->tick_due - before : 0;
    uint64_t now;

    loop_wait(worker->base, (int)((left + MILLISECONDS(1) - 1) / MILLISECONDS(1)));
    loop_dispatch(worker->base);
    now = worker_now(worker);
    if (now >= thread->tick_due) {
        tick(thread);
        thread->tick_due = now + WORKER_TICK;
    }
    worker_end_turn(worker);
    return now;
}

static void *run(void *context)
{
    struct worker_thread *thread = context;
    struct worker *worker = &thread->worker;
    uint64_t now = clock_now();

    while (thread->running) {
        now = turn(thread, now);
        if (worker->draining && client_count(worker) == 0)
            break;
    }
    stop_accepting(thread);
    if (worker->mc != NULL)
        mc_plane_destroy(worker->mc);
    if (worker->http != NULL)
        http_plane_destroy(worker->http);
    worker->mc = NULL;
    worker->http = NULL;
    atomic_store(&thread->ended, true);
    tell(thread);
    return NULL;
}

bool worker_thread_init(struct worker_thread *thread, unsigned index, struct telemetry *telemetry,
                        struct worker_meeting *meeting, char *error, size_t error_size)
{
    memset(thread, 0, sizeof(*thread));
    thread->meeting = meeting;
    thread->running = true;
    thread->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (thread->wake_fd < 0 || !worker_init(&thread->worker, index, telemetry)) {
        (void)snprintf(error, error_size, "cannot set up worker %u: %s", index, strerror(errno));
        if (thread->wake_fd >= 0)
            (void)close(thread->wake_fd);
        return false;
    }
    thread->tick_due = clock_now() + WORKER_TICK;
    watch_init(&thread->wake, thread->worker.base, thread->wake_fd, on_wake, thread);
    if (!watch_set(&thread->wake, true, false)) {
        (void)snprintf(error, error_size, "cannot set up worker %u: %s", index, strerror(errno));
        worker_thread_deinit(thread);
        return false;
    }
    return true;
}

bool worker_thread_start(struct worker_thread *thread)
{
    sigset_t all;
    sigset_t before;
    int status;

    /* Signals are for the main thread. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    status = pthread_create(&thread->thread, NULL, run, thread);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = status;
    thread->started = status == 0;
    return thread->started;
}

void worker_thread_deinit(struct worker_thread *thread)
{
    if (thread->started)
        (void)pthread_join(thread->thread, NULL);
    stop_accepting(thread);
    watch_stop(&thread->wake);
    order_free(atomic_exchange(&thread->mailbox, NULL));
    worker_deinit(&thread->worker);
    free(thread->seen);
    free(thread->census);
    (void)close(thread->wake_fd);
}

void worker_thread_wake(struct worker_thread *thread)
{
    uint64_t one = 1;
    /* Full (2^64 - 2 wake-ups) is the only failure, and then it is awake. */
    (void)!write(thread->wake_fd, &one, sizeof(one));
}

bool worker_thread_serve(struct worker_thread *thread, struct snapshot *snapshot,
                         const struct listeners *listeners)
{
    size_t count = listeners != NULL ? listeners->count : 0;
    struct worker_order *order = calloc(1, sizeof(*order) + count * sizeof(order->sockets[0]));
    struct worker_order *before;

    if (order == NULL)
        return false;
    order->snapshot = snapshot_ref(snapshot);
    order->with_listeners = listeners != NULL;
    order->count = count;
    for (size_t i = 0; i < count; i++) {
        order->sockets[i].fd = listeners->entries[i].listener->fds[thread->worker.index];
        order->sockets[i].plane = listeners->entries[i].plane;
        order->sockets[i].index = listeners->entries[i].index;
    }
    before = atomic_exchange(&thread->mailbox, NULL);
    if (before != NULL && before->with_listeners && !order->with_listeners) {
        /* An order that was not taken yet had new sockets: they still stand. */
        struct snapshot *newest = order->snapshot;
        order->snapshot = before->snapshot;
        before->snapshot = newest;
        order_free(order);
        order = before;
        before = NULL;
    }
    order_free(before);
    order_free(atomic_exchange(&thread->mailbox, order));
    worker_thread_wake(thread);
    return true;
}

bool worker_thread_ask_census(struct worker_thread *thread)
{
    if (thread->census == NULL)
        thread->census = calloc(1, sizeof(*thread->census));
    if (thread->census == NULL)
        return false;
    atomic_fetch_add(&thread->census_asked, 1);
    worker_thread_wake(thread);
    return true;
}

const struct mc_census *worker_thread_census(const struct worker_thread *thread)
{
    return atomic_load(&thread->census_given) == atomic_load(&thread->census_asked) ? thread->census
                                                                                    : NULL;
}

void worker_thread_forget_census(struct worker_thread *thread)
{
    /* One that did not answer in time may be writing to it. */
    if (worker_thread_census(thread) == NULL)
        return;
    free(thread->census);
    thread->census = NULL;
}

bool worker_thread_ask_seen(struct worker_thread *thread)
{
    if (thread->seen == NULL)
        thread->seen = calloc(1, sizeof(*thread->seen));
    if (thread->seen == NULL)
        return false;
    atomic_fetch_add(&thread->seen_asked, 1);
    worker_thread_wake(thread);
    return true;
}

const struct families *worker_thread_seen(const struct worker_thread *thread)
{
    return atomic_load(&thread->seen_given) == atomic_load(&thread->seen_asked) ? thread->seen
                                                                                : NULL;
}

void worker_thread_end(struct worker_thread *thread, enum worker_order_kind how)
{
    atomic_store(&thread->ending, (int)how);
    worker_thread_wake(thread);
}
