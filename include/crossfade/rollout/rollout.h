/*
 * The stage machine of the one rollout. Main thread only.
 *
 *   idle --start--> running(stage) --advance--> running(next stage) ... --promote--> promoted
 *                     |  ^                            |
 *                   pause resume / hold             abort (latched: ends by retry or reset only)
 *                     v  |                            v
 *                   paused, held                    aborted --retry--> running(first stage)
 *
 * Which verb does what from which state, and what it needs, stands in src/rollout/machine.h.
 *
 * A change takes these steps; the caller then publishes rollout_position() to the workers:
 *
 *   0. start and retry only: request->activate, by which the candidate's namespace has a new
 *      generation, on disk and in every worker. One that dies here, or is refused by the disk
 * below, leaves a candidate with a colder cache and nobody on it (G10 of doc/coherence.md)
 *   1. its line is appended to state_dir/audit.log (rollout/audit.h) and fsynced: an intent
 *   2. the new state is written beside state_dir/rollout.json, fsynced, renamed over it, and the
 *      folder is fsynced (rollout/state_file.h): the commit
 *   3. it takes effect
 *
 * A process that dies after 1 leaves a line without its state, which the next one to open the
 * folder marks as not taken. One that dies after 2 has not answered yet, and the next one goes on
 * with the new state. So what the file says is in effect, or about to be by the death of the
 * process. When a step fails, nothing has changed, and the line of 1 is marked as not taken. Only
 * abort takes effect even if the disk refuses, and so does a hold because of a changed
 * configuration: then `unsaved` is set, and every later call tries again to make it durable
 * (rollout_settle).
 *
 * After a restart the state is what the file says. Where it disagrees with the configuration the
 * machine holds, says the difference, and raises nothing by itself:
 *
 *   stage gone     the percentage is kept; the allow lists count of the stages up to the last that
 *                  was reached and has no more than this percentage; resume goes on there
 *   another salt, other arms, another name: its buckets would be other users, so everyone is on the
 *                  stable arm and the percentage is zero, until the old ones are back or reset
 *
 * A reload that would do the second to a rollout under way is refused (rollout_accepts). Once a
 * candidate is promoted, a configuration whose stable arm it is begins a new rollout, at idle:
 * nobody moves.
 */
#ifndef CROSSFADE_ROLLOUT_ROLLOUT_H
#define CROSSFADE_ROLLOUT_ROLLOUT_H

#include "crossfade/base/ensure.h"
#include "crossfade/conf/config.h"
#include "crossfade/route/cohort.h"

#include <stdbool.h>
#include <stdint.h>

enum rollout_state {
    ROLLOUT_IDLE,
    ROLLOUT_RUNNING,
    ROLLOUT_PAUSED,
    ROLLOUT_HELD,
    ROLLOUT_PROMOTED,
    ROLLOUT_ABORTED
};

enum rollout_verb {
    ROLLOUT_START,
    ROLLOUT_ADVANCE, /* to the next stage */
    ROLLOUT_PERCENT, /* set the percentage by hand, within the current stage */
    ROLLOUT_PAUSE,
    ROLLOUT_RESUME,
    ROLLOUT_HOLD,
    ROLLOUT_ABORT,
    ROLLOUT_RETRY,
    ROLLOUT_PROMOTE,
    ROLLOUT_RESET
};

/* The whole state, as kept on disk, and what there is to say of it. */
struct rollout_status {
    enum rollout_state state;
    int stage;            /* index; -1: none, or not in the configuration */
    char stage_name[72];  /* as the file had it; of an aborted one: where it was */
    uint32_t percent;     /* in force, of PERCENT_ALL */
    uint64_t generation;  /* raised by every change; guards --if-generation */
    uint64_t activation;  /* raised by every start and retry */
    uint64_t stage_since; /* wall clock, microseconds */
    uint64_t changed;     /* wall clock of the last change */
    char reason[256];     /* of the last change */
    char by[96];          /* who made it */
    /* Not on disk: */
    bool unsaved; /* the disk has refused this state or its line of the audit log */
    char unsaved_why[320];
    char disagreement[512]; /* with the configuration, a sentence; empty: none */
};

enum rollout_verdict {
    ROLLOUT_DONE,
    ROLLOUT_REFUSED, /* the state does not allow it; nothing changed */
    ROLLOUT_BAD,     /* the arguments are wrong; nothing changed */
    ROLLOUT_NO_DISK  /* could not be made durable; nothing changed, but for an abort in effect */
};

/*
 * Makes all that the arm has in the cache unreachable, for good, before it is a candidate:
 * *generation is that of its namespace from now on, 0 for an arm without one, of which nothing is
 * made unreachable. False with half a sentence in error[].
 */
typedef bool (*rollout_activate)(void *context, const char *arm, uint64_t *generation, char *error,
                                 size_t error_size);

struct rollout_request {
    enum rollout_verb verb;
    uint32_t percent; /* for ROLLOUT_PERCENT */
    bool generation_given;
    uint64_t if_generation;    /* refuse when the state has moved on */
    const char *by;            /* "uid 0 (pid 123)" */
    const char *reason;        /* may be NULL */
    rollout_activate activate; /* NULL: there is no cache */
    void *activate_context;
};

struct rollout;

/*
 * Opens (or makes) the state in config->process.state_dir, as the user that the daemon will be, and
 * locks the folder against another process until rollout_close. NULL with a sentence in error[],
 * also when the state is there but cannot be read: a daemon that guesses would move users. The
 * configuration has a rollout section and must live until rollout_reconfigure or rollout_close.
 */
struct rollout *rollout_open(const struct config *config, char *error, size_t error_size);
void rollout_close(struct rollout *rollout);

/* A sentence for the person goes to text[]: what is now, or what was refused and what to do. */
enum rollout_verdict rollout_apply(struct rollout *rollout, const struct rollout_request *request,
                                   char *text, size_t text_size) MUST_CHECK;

/*
 * Whether a new configuration, perhaps one without a rollout, may take the place of the one in
 * force. False with a sentence in error[] that says what to do: it would move users of a rollout
 * under way. Changes nothing.
 */
bool rollout_accepts(const struct rollout *rollout, const struct config *config, char *error,
                     size_t error_size) MUST_CHECK;

/*
 * A new configuration, which has been accepted and has a rollout section, is about to be published:
 * match the state to it. May hold the rollout (written to disk and audited); never raises a
 * percentage. The old configuration may be freed afterwards.
 */
void rollout_reconfigure(struct rollout *rollout, const struct config *config);

/*
 * While the status says `unsaved`: tries again. To be called every few seconds; costs nothing
 * otherwise. True: all is on disk.
 */
bool rollout_settle(struct rollout *rollout);

const struct rollout_status *rollout_status(const struct rollout *rollout);
/* Where its files are: process.state_dir as it was when it was opened. */
const char *rollout_folder(const struct rollout *rollout);
struct cohort_position rollout_position(const struct rollout *rollout);
const char *rollout_state_name(enum rollout_state state);

#endif
