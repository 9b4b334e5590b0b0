#include "crossfade/net/watch.h"

void watch_init(struct watch *watch, struct event_base *base, int fd, event_callback_fn callback,
                void *context)
{
    watch->mask = 0;
    (void)event_assign(&watch->event, base, fd, EV_READ | EV_PERSIST, callback, context);
}

bool watch_set(struct watch *watch, bool reading, bool writing)
{
    short mask = (short)((reading ? EV_READ : 0) | (writing ? EV_WRITE : 0));
    struct event *event = &watch->event;

    if (mask == watch->mask)
        return true;
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

void watch_stop(struct watch *watch)
{
    if (watch->mask != 0)
        (void)event_del(&watch->event);
    watch->mask = 0;
}
