/*
 * The stage machine of the one rollout. Main thread only.
 *
 *   idle --start--> running(stage) --advance--> running(next stage) ... --promote--> promoted
 *                     |  ^                            |
 *                   pause resume / hold             abort (latched: ends by retry or reset only)
 *                     v  |                            v
 *                   paused, held                    aborted --retry--> running(first stage)
 *
 * A change is written to the state file (write, fsync, rename, fsync of the folder) and to the audit
 * log (append, fsync) before it takes effect; the caller then publishes rollout_position() to the
 * workers. Only abort takes effect even if the disk refuses: then the result says so.
 * After a restart the state is what the file says; where it disagrees with the configuration (a stage
 * vanished, the arms are others) the machine holds, says the difference, and raises nothing by itself.
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

/* The whole state, as kept on disk. */
struct rollout_status {
    enum rollout_state state;
    int stage;                /* index; -1: none */
    char stage_name[64];      /* as the file had it */
    uint32_t percent;         /* in force, of PERCENT_ALL */
    uint64_t generation;      /* raised by every change; guards --if-generation */
    uint64_t activation;      /* raised by every start and retry: the candidate's namespace generation */
    uint64_t stage_since;     /* wall clock, microseconds */
    uint64_t changed;         /* wall clock of the last change */
    char reason[256];         /* of the last change */
    char by[96];              /* who made it */
};

enum rollout_verdict {
    ROLLOUT_DONE,
    ROLLOUT_REFUSED,  /* the state does not allow it; nothing changed */
    ROLLOUT_BAD,      /* the arguments are wrong; nothing changed */
    ROLLOUT_NO_DISK,  /* could not be made durable; nothing changed (but for abort, which took effect) */
};

struct rollout_request {
    enum rollout_verb verb;
    uint32_t percent;       /* for ROLLOUT_PERCENT */
    bool generation_given;
    uint64_t if_generation; /* refuse when the state has moved on */
    const char *by;         /* "uid 0 (pid 123)" */
    const char *reason;     /* may be NULL */
};

struct rollout;

/*
 * Opens (or makes) the state in config->process.state_dir. NULL with a sentence in error[] when the
 * state is there but cannot be read: a daemon that guesses would move users.
 */
struct rollout *rollout_open(const struct config *config, char *error, size_t error_size);
void rollout_close(struct rollout *rollout);

/* A sentence for the person goes to text[]; it says what is now, or what was refused and what to do. */
enum rollout_verdict rollout_apply(struct rollout *rollout, const struct rollout_request *request,
                                   char *text, size_t text_size) MUST_CHECK;

/*
 * A new configuration is about to be published: match the state to it. May hold the rollout (written
 * to disk and audited); never raises a percentage. The old configuration may be freed afterwards.
 */
void rollout_reconfigure(struct rollout *rollout, const struct config *config);

const struct rollout_status *rollout_status(const struct rollout *rollout);
struct cohort_position rollout_position(const struct rollout *rollout);
const char *rollout_state_name(enum rollout_state state);

#endif
