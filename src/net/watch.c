#include "crossfade/net/watch.h"

#include "crossfade/net/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

/* Events taken in one turn; the others come with the next. */
#define BATCH 512

struct loop {
    int fd;
    int ready;     /* events of this turn */
    int at;        /* the one that is being dispatched */
    unsigned turn; /* tells who asked to be called again in this turn from who did before */
    TAILQ_HEAD(, watch) again;
    struct epoll_event events[BATCH];
};

struct loop *loop_create(void)
{
    struct loop *loop = calloc(1, sizeof(*loop));

    if (loop == NULL)
        return NULL;
    TAILQ_INIT(&loop->again);
    loop->fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->fd < 0) {
        free(loop);
        return NULL;
    }
    return loop;
}

void loop_destroy(struct loop *loop)
{
    (void)close(loop->fd);
    free(loop);
}

void loop_wait(struct loop *loop, int milliseconds)
{
    loop->turn++;
    loop->at = 0;
    loop->ready =
        epoll_wait(loop->fd, loop->events, BATCH, TAILQ_EMPTY(&loop->again) ? milliseconds : 0);
    if (loop->ready < 0) {
        ensure(errno == EINTR);
        loop->ready = 0;
    }
}

static void forget_again(struct watch *watch)
{
    if (!watch->again)
        return;
    watch->again = false;
    TAILQ_REMOVE(&watch->loop->again, watch, link);
}

void loop_dispatch(struct loop *loop)
{
    struct watch *watch;

    for (; loop->at < loop->ready; loop->at++) {
        uint32_t events = loop->events[loop->at].events;
        short what;

        watch = loop->events[loop->at].data.ptr;
        if (watch == NULL)
            continue;
        /* After an error or the end in both directions either call finds out which it is. */
        if (events & (EPOLLERR | EPOLLHUP))
            events |= EPOLLIN | EPOLLOUT;
        what = (short)(((events & EPOLLIN) ? EV_READ : 0) | ((events & EPOLLOUT) ? EV_WRITE : 0));
        what &= watch->mask;
        if (watch->again && watch->again_turn != loop->turn) {
            forget_again(watch);
            what |= EV_READ;
        }
        if (what != 0)
            watch->callback(watch->fd, what, watch->context);
    }
    while ((watch = TAILQ_FIRST(&loop->again)) != NULL && watch->again_turn != loop->turn) {
        forget_again(watch);
        watch->callback(watch->fd, EV_READ, watch->context);
    }
}

void watch_init(struct watch *watch, struct loop *loop, int fd, watch_callback *callback,
                void *context)
{
    watch->loop = loop;
    watch->callback = callback;
    watch->context = context;
    watch->fd = fd;
    watch->mask = 0;
    watch->again = false;
}

/* What was ready is ready no more for a watch that is gone or waits for something else. */
static void forget_ready(struct watch *watch)
{
    struct loop *loop = watch->loop;

    for (int i = loop->at; i < loop->ready; i++)
        if (loop->events[i].data.ptr == watch)
            loop->events[i].data.ptr = NULL;
}

bool watch_change(struct watch *watch, short mask)
{
    struct epoll_event event = { .events = ((mask & EV_READ) ? (uint32_t)EPOLLIN : 0) |
                                           ((mask & EV_WRITE) ? (uint32_t)EPOLLOUT : 0),
                                 .data.ptr = watch };
    int order = mask == 0 ? EPOLL_CTL_DEL : watch->mask == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

    forget_again(watch);
    if (mask == 0)
        forget_ready(watch);
    watch->mask = mask;
    if (epoll_ctl(watch->loop->fd, order, watch->fd, &event) == 0 || mask == 0)
        return true;
    watch->mask = 0;
    return false;
}

void watch_again(struct watch *watch)
{
    if (watch->again)
        return;
    watch->again = true;
    watch->again_turn = watch->loop->turn;
    TAILQ_INSERT_TAIL(&watch->loop->again, watch, link);
}

void watch_stop(struct watch *watch)
{
    forget_again(watch);
    ensure(watch_set(watch, false, false));
}
