#include "crossfade/relay/greeting.h"

#include <stdlib.h>
#include <unistd.h>

struct greeting {
    TAILQ_ENTRY(greeting) link;
    struct greetings *greetings;
    struct tls_context *tls; /* the stream holds it too, but not for longer than it lives */
    struct tls_cell *cell;
    greeting_done done;
    void *context;
    struct watch watch;
    struct stream stream;
    struct address peer;
    uint64_t since;
    struct turn_task grave;
};

void greetings_init(struct greetings *greetings, struct worker *worker)
{
    *greetings = (struct greetings){ .worker = worker };
    TAILQ_INIT(&greetings->list);
}

static void grave_task(struct turn_task *task)
{
    struct greeting *greeting =
        (struct greeting *)(void *)((char *)task - offsetof(struct greeting, grave));

    tls_context_unref(greeting->tls);
    free(greeting);
}

/* It is no longer among those that wait; what becomes of the stream is up to the caller. */
static void leave(struct greeting *greeting)
{
    struct greetings *greetings = greeting->greetings;

    watch_stop(&greeting->watch);
    TAILQ_REMOVE(&greetings->list, greeting, link);
    greetings->count--;
    worker_bury(greetings->worker, &greeting->grave);
}

/* Who connects and goes without a word, as a check of a load balancer, has not failed at anything.
 */
static void give_up(struct greeting *greeting, const char *why)
{
    char peer[ADDRESS_TEXT];

    if (stream_tls_begun(&greeting->stream))
        counter_add(&greeting->cell->failed, 1);
    log_debug("TLS handshake on %s with %s failed: %s", tls_context_name(greeting->tls),
              address_format_host(&greeting->peer, peer, sizeof(peer)), why);
    leave(greeting);
    stream_close(&greeting->stream);
}

static void finish(struct greeting *greeting)
{
    struct stream stream = greeting->stream;

    counter_add(&greeting->cell->handshakes, 1);
    if (stream_tls_resumed(&stream))
        counter_add(&greeting->cell->resumed, 1);
    leave(greeting);
    greeting->done(greeting->context, tls_context_name(greeting->tls), &stream, &greeting->peer);
}

static void reset_task(struct turn_task *task)
{
    struct greetings *greetings =
        (struct greetings *)(void *)((char *)task - offsetof(struct greetings, reset));
    greetings->spent = 0;
}

/* One step, with the time that it took on the account of this turn. */
static enum stream_verdict step(struct greeting *greeting)
{
    struct greetings *greetings = greeting->greetings;
    uint64_t begin = clock_now();
    enum stream_verdict verdict = stream_handshake(&greeting->stream);

    greetings->spent += clock_now() - begin;
    greetings->reset.run = reset_task;
    worker_defer(greetings->worker, &greetings->reset);
    return verdict;
}

static void on_ready(evutil_socket_t fd, short what, void *context)
{
    struct greeting *greeting = context;
    char why[160];

    (void)fd;
    (void)what;
    /* The socket is still ready in the next turn, and behind those that it has not come to now. */
    if (greeting->greetings->spent >= GREETING_BUDGET)
        return;
    switch (step(greeting)) {
    case STREAM_OK:
        finish(greeting);
        return;
    case STREAM_AGAIN:
        if (!watch_stream(&greeting->watch, &greeting->stream, true, false))
            give_up(greeting, "no memory for its events");
        return;
    case STREAM_CLOSED:
    case STREAM_FAILED:
        give_up(greeting, stream_why(&greeting->stream, why, sizeof(why)));
        return;
    }
}

void greetings_add(struct greetings *greetings, int fd, const struct address *peer,
                   struct tls_context *tls, struct tls_cell *cell, greeting_done done,
                   void *context)
{
    struct greeting *greeting = calloc(1, sizeof(*greeting));

    if (greeting == NULL) {
        (void)close(fd);
        return;
    }
    if (!stream_init_tls_server(&greeting->stream, fd, tls)) {
        free(greeting);
        return;
    }
    greeting->greetings = greetings;
    greeting->tls = tls_context_ref(tls);
    greeting->cell = cell;
    greeting->done = done;
    greeting->context = context;
    greeting->peer = *peer;
    greeting->since = worker_now(greetings->worker);
    greeting->grave.run = grave_task;
    watch_init(&greeting->watch, greetings->worker->base, fd, on_ready, greeting);
    TAILQ_INSERT_TAIL(&greetings->list, greeting, link);
    greetings->count++;
    if (!watch_stream(&greeting->watch, &greeting->stream, true, false))
        give_up(greeting, "no memory for its events");
}

void greetings_tick(struct greetings *greetings, uint64_t now)
{
    struct greeting *greeting;

    while ((greeting = TAILQ_FIRST(&greetings->list)) != NULL &&
           now > greeting->since + GREETING_TIMEOUT)
        give_up(greeting, "it took too long");
}

void greetings_close_all(struct greetings *greetings, const char *why)
{
    struct greeting *greeting;

    while ((greeting = TAILQ_FIRST(&greetings->list)) != NULL)
        give_up(greeting, why);
}

void greetings_deinit(struct greetings *greetings)
{
    greetings_close_all(greetings, "the daemon ends");
}
