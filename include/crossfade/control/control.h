/*
 * The control plane: the unix sockets with their line protocol, and the admin HTTP address with
 * /metrics and /healthz. Main thread only, on the main thread's event base. What it shows it reads
 * from the plan, the rollout and the telemetry; what it changes goes through control_host.
 */
#ifndef CROSSFADE_CONTROL_CONTROL_H
#define CROSSFADE_CONTROL_CONTROL_H

#include "crossfade/relay/mc_census.h"
#include "crossfade/relay/snapshot.h"
#include "crossfade/rollout/rollout.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct event_base;
struct families;
struct mc_look;

typedef void (*control_looked)(void *context, const struct mc_look *look);

/* What the daemon does for the control plane. Given at creation; context is the daemon's own. */
struct control_host {
    void *context;
    /* The plan in force. */
    const struct plan *(*plan)(void *context);
    struct rollout *(*rollout)(void *context); /* NULL without a rollout section */
    struct telemetry *(*telemetry)(void *context);
    /*
     * Gives the rollout's position to every worker and returns when each serves by it. False: a
     * worker did not answer in time (it will take it as soon as it turns).
     */
    bool (*publish)(void *context);
    /* Called by the rollout before an arm is its candidate (rollout/rollout.h). */
    rollout_activate activate;
    /* Loads and swaps the configuration; text[] says what came of it, faults each on a line. */
    bool (*reload)(void *context, char *text, size_t text_size);
    /* The same without the swap. */
    bool (*check)(void *context, char *text, size_t text_size);
    /* Begins a stop: at most `drain` microseconds for what is under way. Returns at once. */
    void (*shutdown)(void *context, uint64_t drain);
    /* A new generation for the arm's namespace, as `by` wishes; text[] says what came of it. */
    bool (*flush)(void *context, const char *by, const char *arm, char *text, size_t text_size);
    /* Takes a memcached server out of service, or back, and returns when every worker does so;
     * text[] says what came of it. */
    bool (*drain)(void *context, const char *by, const char *server, bool drain, char *text,
                  size_t text_size);
    /* What that memcached server holds may be believed, though invalidations for it were lost. */
    bool (*forget_lost)(void *context, const char *by, const char *server, char *text,
                        size_t text_size);
    /* Adds what is known of the cache traffic; false: a worker did not answer in time. */
    bool (*seen)(void *context, struct families *into);
    /*
     * Has a worker look at what a key's server holds, and takes the look over. Returns at once;
     * `looked` is called later, once: with the look, which is freed after it, or with NULL when it
     * took too long. False: too many are under way, or no memory.
     */
    bool (*look)(void *context, struct mc_look *look, control_looked looked, void *looked_context);
    /* Shows the cache clients of each worker; false: one did not answer in time. */
    bool (*clients)(void *context, mc_census_each each, void *each_context);
    uint64_t (*started)(void *context); /* wall clock, microseconds */
    bool (*draining)(void *context);
};

struct control;

/* NULL with a sentence in error[]. */
struct control *control_create(struct event_base *base, const struct control_host *host,
                               const struct config *config, char *error, size_t error_size);
/* Sockets that came or went with a reload are opened and closed. False with a sentence; the old
 * stay. */
bool control_reconfigure(struct control *control, const struct config *config, char *error,
                         size_t error_size);
/* The files of its sockets belong to that user from now on. */
void control_give(struct control *control, uid_t uid, gid_t gid);
void control_destroy(struct control *control);

#endif
