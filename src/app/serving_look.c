/*
 * Looks at what servers hold (relay/mc_look.h), on behalf of control clients: the main thread goes
 * on meanwhile, and answers when the worker has, or when the time is over. A look whose client has
 * been answered stays in the list until the worker gives it back.
 */
#include "crossfade/app/serving.h"

#include "crossfade/relay/mc_look.h"

#include <event2/event.h>
#include <stdlib.h>

#define LOOKS_MAX 16u

struct look_wait {
    LIST_ENTRY(look_wait) link;
    struct app *app;
    struct mc_look *look;
    control_looked looked; /* NULL: has been called */
    void *context;
    struct event *limit;
};

static void answer(struct look_wait *wait, const struct mc_look *look)
{
    control_looked looked = wait->looked;

    wait->looked = NULL;
    if (looked != NULL)
        looked(wait->context, look);
}

static void end(struct look_wait *wait)
{
    LIST_REMOVE(wait, link);
    wait->app->look_count--;
    event_free(wait->limit);
    free(wait->look);
    free(wait);
}

static void on_limit(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    answer(context, NULL);
}

/* The server's own limits come first, so that its failure is told rather than ours. */
static struct timeval limit_of(const struct config_cache *config)
{
    uint64_t limit = config->connect_timeout + config->request_timeout + SECONDS(2);

    return (struct timeval){ .tv_sec = (time_t)(limit / SECONDS(1)),
                             .tv_usec = (suseconds_t)(limit % SECONDS(1)) };
}

bool serving_look(struct app *app, struct mc_look *look, control_looked looked, void *context)
{
    struct timeval limit = limit_of(&app->plan->config->cache);
    struct look_wait *wait = app->look_count < LOOKS_MAX ? calloc(1, sizeof(*wait)) : NULL;

    if (wait != NULL)
        wait->limit = evtimer_new(app->base, on_limit, wait);
    if (wait == NULL || wait->limit == NULL || event_add(wait->limit, &limit) != 0) {
        if (wait != NULL && wait->limit != NULL)
            event_free(wait->limit);
        free(wait);
        free(look);
        return false;
    }
    wait->app = app;
    wait->look = look;
    wait->looked = looked;
    wait->context = context;
    LIST_INSERT_HEAD(&app->looks, wait, link);
    app->look_count++;
    mc_look_ask(&app->workers[0].worker, look);
    worker_thread_wake(&app->workers[0]);
    return true;
}

void serving_take_looks(struct app *app)
{
    struct look_wait *wait = LIST_FIRST(&app->looks);

    while (wait != NULL) {
        struct look_wait *next = LIST_NEXT(wait, link);
        if (mc_look_is_done(wait->look)) {
            answer(wait, wait->look);
            end(wait);
        }
        wait = next;
    }
}

void serving_end_looks(struct app *app)
{
    struct look_wait *wait;

    while ((wait = LIST_FIRST(&app->looks)) != NULL) {
        answer(wait, NULL);
        end(wait);
    }
}
