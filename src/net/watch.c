#include "crossfade/net/watch.h"

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
