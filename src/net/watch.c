#include "crossfade/net/watch.h"

void watch_init(struct watch *watch, struct event_base *base, int fd, event_callback_fn callback,
                void *context)
{
    watch->mask = 0;
    (void)event_assign(&watch->event, base, fd, EV_READ | EV_PERSIST, callback, context);
}

bool watch_change(struct watch *watch, short mask)
{
    struct event *event = &watch->event;

    if (watch->mask != 0)
        (void)event_del(event);
    watch->mask = 0;
    if (mask == 0)
        return true;
    if (event_assign(event, event_get_base(event), event_get_fd(event), (short)(mask | EV_PERSIST),
                     event_get_callback(event), event_get_callback_arg(event)) != 0 ||
        event_add(event, NULL) != 0)
        return false;
    watch->mask = mask;
    return true;
}

bool watch_stream(struct watch *watch, const struct stream *stream, bool reading, bool writing)
{
    bool read_crosses = stream->read_wants_write;
    bool write_crosses = stream->write_wants_read;

    return watch_set(watch, (reading && !read_crosses) || (writing && write_crosses),
                     (writing && !write_crosses) || (reading && read_crosses));
}

short watch_meaning(const struct stream *stream, short what)
{
    bool readable = (what & EV_READ) != 0;
    bool writable = (what & EV_WRITE) != 0;

    return (short)((stream->read_wants_write ? writable : readable) * EV_READ |
                   (stream->write_wants_read ? readable : writable) * EV_WRITE);
}

void watch_again(struct watch *watch)
{
    event_active(&watch->event, EV_READ, 0);
}

void watch_stop(struct watch *watch)
{
    (void)event_del(&watch->event); /* also one that watch_again made active */
    watch->mask = 0;
}
