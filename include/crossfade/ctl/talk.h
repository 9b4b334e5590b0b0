/*
 * A conversation with the daemon over its control socket, for crossfadectl.
 */
#ifndef CROSSFADE_CTL_TALK_H
#define CROSSFADE_CTL_TALK_H

#include "crossfade/base/ensure.h"
#include "crossfade/proto/control_line.h"

#include <stdbool.h>
#include <stddef.h>

/* The reply to one command. */
struct talk_reply {
    bool ok;
    enum control_code code;
    char *sentence; /* of the first line; may be empty */
    char *body;     /* the other lines, each with its end; may be empty */
};

enum talk_verdict {
    TALK_OK,
    TALK_NO_DAEMON, /* nobody listens; error[] says more */
    TALK_FAILED,    /* error[] */
    TALK_TIMEOUT
};

/*
 * Sends one line and reads one reply; `seconds` is the limit for all of it. The reply's texts are
 * freed by talk_reply_free, whatever the verdict.
 */
enum talk_verdict talk(const char *socket_path, const char *line, unsigned seconds,
                       struct talk_reply *reply, char *error, size_t error_size) MUST_CHECK;
void talk_reply_free(struct talk_reply *reply);

#endif
