/*
 * What a worker waits with: one epoll descriptor, level-triggered, and the watches in it
 * (net/watch.h). A turn is one epoll_wait and a callback for each watch that is ready; the time and
 * what happens at the end of a turn are the worker's. It belongs to one thread.
 *
 * There are no timers: the worker looks at the time once a turn. This is the part of libevent that
 * every request would pay for, some 400 instructions for each event and turn; all that is not on a
 * request's way still uses libevent.
 */
#ifndef CROSSFADE_NET_LOOP_H
#define CROSSFADE_NET_LOOP_H

struct loop;

/* NULL with errno. */
struct loop *loop_create(void);
/* Every watch is stopped. */
void loop_destroy(struct loop *loop);

/* Waits for at most so many milliseconds, not at all if a watch is to be called again. */
void loop_wait(struct loop *loop, int milliseconds);
/* Calls the watches that are ready. A callback may stop any watch, and free it. */
void loop_dispatch(struct loop *loop);

#endif
