/*
 * The rules of the stage machine, pure: from a state and a request to the next state, and from a
 * state and a configuration to what has to change. Nothing here touches a file or the clock.
 *
 *   verb     from                what it does
 *   start    idle                running at the first stage; a new activation
 *   advance  running             the next stage, at its percentage or the one in force if that is
 *                                higher; before the bake time is over only with a reason
 *   percent  running, paused,    sets the percentage: down to 0 (also below that of the stage
 *            held                before), up to where the next stage begins, 100 in the last;
 *                                while held down only
 *   pause    running             nothing advances until resume
 *   hold     running, paused     the same, with a reason
 *   resume   paused, held        running
 *   promote  running             everyone is on the candidate, deny list included; before the
 *                                last stage's 100 % and its bake time only with a reason
 *   abort    running, paused,    everyone is on the stable arm, latched. Said again it is done
 *            held, promoted      already; idle refuses, for nothing is under way
 *   retry    aborted             running at the first stage; a new activation
 *   reset    aborted, held       idle
 *            promoted            idle, which moves everyone back: only with a reason
 *
 * Membership is cumulative in the percentage and in the allow lists of the stages reached, so who
 * was in stays in until the percentage is lowered by hand.
 */
#ifndef CROSSFADE_ROLLOUT_MACHINE_H
#define CROSSFADE_ROLLOUT_MACHINE_H

#include "crossfade/rollout/rollout.h"
#include "crossfade/rollout/state_file.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the machine knows beside the request. status.stage is matched to the configuration. */
struct machine {
    const struct config *config;
    struct saved_state saved;
    bool stranger; /* the state is of another rollout than the configuration's (machine_match) */
};

enum machine_change {
    MACHINE_AS_IT_WAS,
    MACHINE_HOLDS,      /* *next is held, with the reason */
    MACHINE_NEW_ROLLOUT /* *next is idle: a promoted candidate is now the stable arm */
};

/*
 * Matches the state to machine->config: sets its stage and reach, `stranger` and the disagreement
 * of its status. When the state itself has to change, *next is what it should be, but for its
 * generation and times.
 */
enum machine_change machine_match(struct machine *machine, struct saved_state *next);

/* Whether this configuration may take the place of machine->config by a reload. */
bool machine_accepts(const struct machine *machine, const struct config *config, char *text,
                     size_t text_size) MUST_CHECK;

/*
 * ROLLOUT_DONE: *next is the new state, complete but for generation, `changed` and `by`; *same when
 * there is nothing to do. Otherwise text[] says why not, and what to do.
 */
enum rollout_verdict machine_next(const struct machine *machine,
                                  const struct rollout_request *request, uint64_t now,
                                  struct saved_state *next, bool *same, char *text,
                                  size_t text_size) MUST_CHECK;

/* One sentence: where the rollout stands. */
void machine_describe(const struct config *config, const struct saved_state *saved, char *text,
                      size_t text_size);

struct cohort_position machine_position(const struct machine *machine);

const char *machine_verb_name(enum rollout_verb verb);

#endif
