/*
 * Looks up the names of servers and backends again and again, in a thread of its own: getaddrinfo
 * may take as long as it likes, and knows /etc/hosts and all else that the system is set up to ask.
 *
 *   main thread                           its thread
 *   resolver_watch, resolver_hurry --->   getaddrinfo
 *   resolver_take  <--- wake_fd, answers
 *
 * A name whose look-up hangs delays the others' look-ups, and nothing else.
 */
#ifndef CROSSFADE_APP_RESOLVER_H
#define CROSSFADE_APP_RESOLVER_H

#include "crossfade/base/ensure.h"
#include "crossfade/net/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct resolver;

/* `wake_fd`: an eventfd, which becomes readable when there is an answer. NULL with errno. */
struct resolver *resolver_create(int wake_fd);
/* A look-up that hangs is left behind. */
void resolver_destroy(struct resolver *resolver);

/*
 * From now on these names, and at once: endpoints[] are copied; those that are no names are passed
 * over. `interval` in microseconds, 0: only when hurried. False without memory: all is as before.
 */
bool resolver_watch(struct resolver *resolver, const struct config_endpoint *const *endpoints,
                    size_t count, uint64_t interval) MUST_CHECK;

/* Look that name up at once, but no sooner than RESOLVER_PAUSE after the last time. */
void resolver_hurry(struct resolver *resolver, const char *name);
#define RESOLVER_PAUSE SECONDS(1)

struct resolver_answer {
    char name[300]; /* as configured */
    bool ok;
    bool as_before;             /* it failed the last time, too */
    struct addresses addresses; /* if ok */
    char error[256];            /* if not */
};

/* The next answer that has come; false: none. */
bool resolver_take(struct resolver *resolver, struct resolver_answer *answer) MUST_CHECK;

#endif
