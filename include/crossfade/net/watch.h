/*
 * Readiness of one descriptor in a worker's loop (net/loop.h), embedded in what owns the
 * descriptor. Its mask is changed only when it has to be, so that a request costs no epoll_ctl:
 * reading stays on, writing is asked for only while a socket is full.
 */
#ifndef CROSSFADE_NET_WATCH_H
#define CROSSFADE_NET_WATCH_H

#include "crossfade/base/ensure.h"
#include "crossfade/net/stream.h"

#include <event2/event.h> /* EV_READ and EV_WRITE */
#include <stdbool.h>
#include <sys/queue.h>

struct loop;

/* Gets the descriptor, EV_READ and EV_WRITE, and the watch's context. */
typedef void watch_callback(int fd, short what, void *context);

struct watch {
    struct loop *loop;
    watch_callback *callback;
    void *context;
    int fd;
    short mask; /* EV_READ and EV_WRITE as asked for; 0: not in the loop */
    bool again; /* stands in the loop's list of those to be called in the next turn */
    unsigned again_turn;
    TAILQ_ENTRY(watch) link;
};

/* Nothing is watched yet. */
void watch_init(struct watch *watch, struct loop *loop, int fd, watch_callback *callback,
                void *context);
bool watch_change(struct watch *watch, short mask) MUST_CHECK;
/* False when the loop cannot take it: the connection has to be closed. */
MUST_CHECK static inline bool watch_set(struct watch *watch, bool reading, bool writing)
{
    short mask = (short)((reading ? EV_READ : 0) | (writing ? EV_WRITE : 0));

    return mask == watch->mask || watch_change(watch, mask);
}
/* The same for what the stream needs, which for TLS may be the other direction. */
MUST_CHECK static inline bool watch_stream(struct watch *watch, const struct stream *stream,
                                           bool reading, bool writing)
{
    bool read_crosses = stream->read_wants_write;
    bool write_crosses = stream->write_wants_read;

    return watch_set(watch, (reading && !read_crosses) || (writing && write_crosses),
                     (writing && !write_crosses) || (reading && read_crosses));
}
/* And back: which of EV_READ and EV_WRITE to act upon when `what` came. */
static inline short watch_meaning(const struct stream *stream, short what)
{
    bool readable = (what & EV_READ) != 0;
    bool writable = (what & EV_WRITE) != 0;

    return (short)((stream->read_wants_write ? writable : readable) * EV_READ |
                   (stream->write_wants_read ? readable : writable) * EV_WRITE);
}
/*
 * The callback is called with EV_READ in the next turn, though the socket may not be readable. For
 * a turn's task: from a handler it would still be this turn. A watch_set that changes the mask
 * undoes it.
 */
void watch_again(struct watch *watch);
/* Before the descriptor is closed. Its callback is called no more, not even in this turn. */
void watch_stop(struct watch *watch);

#endif
