/*
 * The inside of struct app, for its own modules: app.c starts and ends it, serving.c publishes
 * snapshots and reloads, serving_servers.c changes where servers and backends are between reloads.
 */
#ifndef CROSSFADE_APP_SERVING_H
#define CROSSFADE_APP_SERVING_H

#include "crossfade/app/app.h"
#include "crossfade/app/listeners.h"
#include "crossfade/app/login_thread.h"
#include "crossfade/app/resolver.h"
#include "crossfade/app/worker_thread.h"
#include "crossfade/conf/load.h"
#include "crossfade/control/control.h"
#include "crossfade/rollout/generations.h"
#include "crossfade/rollout/rollout.h"

#include <sys/queue.h>

struct families;

struct app {
    char *config_path;
    struct event_base *base;
    struct telemetry *telemetry;
    struct worker_meeting meeting;
    struct worker_thread *workers;
    unsigned worker_count;
    struct plan *plan;         /* in force */
    struct snapshot *snapshot; /* in force: the last one published */
    uint64_t generation;
    struct listeners *listeners;
    struct rollout *rollout; /* NULL: no rollout section */
    struct generations *generations;
    struct mc_journal *journal;
    struct resolver *resolver;
    int ask_fd; /* workers write to it when they have a wish, the resolver when it has an answer */
    struct event *asked;
    int login_fd;                /* the same for the login thread */
    struct login_thread *logins; /* NULL: nobody has had to log in yet */
    struct event *flush_due;     /* the next delayed flush */
    struct control *control;
    struct event *signals[4];
    struct event *deadline;       /* of a graceful stop */
    struct event *progress;       /* looks whether the workers have ended */
    uint64_t tls_peak;            /* connections, since memory was given back */
    struct event *settle;         /* tries again to save what the disk has refused */
    LIST_HEAD(, look_wait) looks; /* at servers, for `explain` */
    unsigned look_count;
    bool draining;
    bool stopping;
};

/* How long the main thread waits for a worker to take a snapshot. A turn takes microseconds. */
#define PUBLISH_TIMEOUT SECONDS(5)

/*
 * Publishes the plan in force with the rollout's position, and the sockets if they changed (NULL:
 * the same). True when every worker serves by it.
 */
bool serving_publish(struct app *app, const struct listeners *listeners);

/*
 * A new generation for the arm's namespace, after `delay` seconds: durable, then published. text[]
 * says what came of it.
 */
bool serving_flush(struct app *app, const char *arm, uint64_t delay, char *text, size_t text_size);
/* A new generation for an arm that becomes the candidate (rollout_activate). */
bool serving_activate(struct app *app, const char *arm, uint64_t *generation, char *error,
                      size_t error_size);
/* There is a login thread from now on if the configuration needs one. False with a sentence in
 * error[]. */
bool serving_provide_logins(struct app *app, const struct config *config, char *error,
                            size_t error_size);
/* Grants or refuses what the workers' clients wish. */
void serving_answer(struct app *app);
/* Makes the delayed flushes whose time has come, and waits for the next. */
void serving_flush_due(struct app *app);

/* The plan in force is to be another, which it takes over; true when every worker serves by it. */
bool serving_replace(struct app *app, struct plan *plan);
/* A copy of the plan in force, to be changed and put in its place. NULL without memory. */
struct plan *serving_copy(struct app *app);

/* src/app/serving_servers.c */
/* The names of the plan in force are looked up from now on. */
void serving_watch_names(struct app *app);
/* Has the names of servers looked up that some worker cannot reach. */
void serving_hurry_names(struct app *app);
/* Puts what the resolver has found into force. */
void serving_take_names(struct app *app);
/*
 * Takes a memcached server out of service, or back; true when every worker does so. text[] says
 * what came of it.
 */
bool serving_drain(struct app *app, const char *server, bool drain, char *text, size_t text_size);

/*
 * Adds what all workers have seen of the traffic. False when one of them did not answer in time, or
 * without memory.
 */
bool serving_seen(struct app *app, struct families *into);

/* src/app/serving_look.c: control_host.look. */
struct look_wait;
bool serving_look(struct app *app, struct mc_look *look, control_looked looked, void *context);
/* Hands out what the worker has found. */
void serving_take_looks(struct app *app);
/* Nobody is waited for any more. The workers have ended. */
void serving_end_looks(struct app *app);

/* Shows the cache clients of each worker. False as above. */
bool serving_clients(struct app *app, mc_census_each each, void *context);

/*
 * Loads the file again; with `swap`, puts it in force: validated, built, then in one step, or not
 * at all. text[] says what came of it.
 */
bool serving_reload(struct app *app, bool swap, char *text, size_t text_size);

#endif
