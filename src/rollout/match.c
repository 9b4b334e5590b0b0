/* machine.h: what a configuration makes of a state. */
#include "machine.h"

#include "crossfade/conf/values.h"
#include "text.h"

#include <stdio.h>
#include <string.h>

static bool under_way(enum rollout_state state)
{
    return state == ROLLOUT_RUNNING || state == ROLLOUT_PAUSED || state == ROLLOUT_HELD;
}

static bool same_origin(const struct rollout_origin *a, const struct rollout_origin *b)
{
    return strcmp(a->name, b->name) == 0 && strcmp(a->from, b->from) == 0 &&
           strcmp(a->to, b->to) == 0 && strcmp(a->salt, b->salt) == 0;
}

/* What differs, as the end of a sentence: "rollout.from is py4 now, but was py2". */
static void difference(const struct rollout_origin *had, const struct rollout_origin *has,
                       char *text, size_t text_size)
{
    if (strcmp(had->name, has->name) != 0)
        (void)snprintf(text, text_size, "rollout.name is %s now, but was %s", has->name, had->name);
    else if (strcmp(had->from, has->from) != 0)
        (void)snprintf(text, text_size, "rollout.from is %s now, but was %s", has->from, had->from);
    else if (strcmp(had->to, has->to) != 0)
        (void)snprintf(text, text_size, "rollout.to is %s now, but was %s", has->to, had->to);
    else
        (void)snprintf(text, text_size, "rollout.salt is not the one that it was started with");
}

static int find_stage(const struct config *config, const char *name)
{
    char kept[STATE_NAME];

    for (size_t i = 0; i < config->rollout.stage_count; i++) {
        text_keep(kept, sizeof(kept), config->rollout.stages[i].name);
        if (strcmp(kept, name) == 0)
            return (int)i;
    }
    return -1;
}

/*
 * With its stage gone, a rollout stands at the last stage that has no more than its percentage and
 * is not beyond where it was: so no allow list comes in that it had not reached.
 */
static int fall_back(const struct config *config, uint32_t percent, int before)
{
    int stage = (int)config->rollout.stage_count - 1;

    if (before < stage)
        stage = before;
    while (stage >= 0 && config->rollout.stages[stage].percent > percent)
        stage--;
    return stage;
}

static enum machine_change hold(struct saved_state *next, const char *why)
{
    next->status.state = ROLLOUT_HELD;
    text_keep(next->status.reason, sizeof(next->status.reason), why);
    return MACHINE_HOLDS;
}

/* The state is of another rollout: everyone is on the stable arm. */
static enum machine_change match_stranger(struct machine *machine, const struct rollout_origin *has,
                                          struct saved_state *next)
{
    struct rollout_status *status = &machine->saved.status;
    const struct rollout_origin *had = &machine->saved.origin;
    char what[200];
    char whole[300];

    difference(had, has, what, sizeof(what));
    if (status->state == ROLLOUT_PROMOTED && strcmp(had->to, has->from) == 0) {
        next->origin = *has;
        next->reach = -1;
        next->status.state = ROLLOUT_IDLE;
        next->status.stage = -1;
        next->status.stage_name[0] = '\0';
        next->status.percent = 0;
        (void)snprintf(whole, sizeof(whole), "%s was promoted, and %s", had->to, what);
        text_keep(next->status.reason, sizeof(next->status.reason), whole);
        return MACHINE_NEW_ROLLOUT;
    }
    machine->stranger = true;
    (void)snprintf(status->disagreement, sizeof(status->disagreement),
                   "The state is of the rollout %s, but %s.", had->name, what);
    memcpy(next->status.disagreement, status->disagreement, sizeof(status->disagreement));
    if (status->state == ROLLOUT_ABORTED || status->state == ROLLOUT_IDLE ||
        (status->state == ROLLOUT_HELD && status->percent == 0))
        return MACHINE_AS_IT_WAS;
    next->status.percent = 0;
    return hold(next, what);
}

enum machine_change machine_match(struct machine *machine, struct saved_state *next)
{
    struct rollout_status *status = &machine->saved.status;
    struct rollout_origin has;
    int before = machine->saved.reach;
    char what[200];

    rollout_origin_of(machine->config, &has);
    machine->stranger = false;
    status->disagreement[0] = '\0';
    status->stage = find_stage(machine->config, status->stage_name);
    machine->saved.reach = status->stage;
    *next = machine->saved;
    if (status->state == ROLLOUT_IDLE)
        return MACHINE_AS_IT_WAS;
    /* Once promoted, buckets count for nothing, and nobody moves while the arm is the same. */
    if (status->state == ROLLOUT_PROMOTED ? strcmp(machine->saved.origin.to, has.to) != 0
                                          : !same_origin(&machine->saved.origin, &has))
        return match_stranger(machine, &has, next);
    if (status->stage >= 0 || !under_way(status->state))
        return MACHINE_AS_IT_WAS;

    machine->saved.reach = fall_back(machine->config, status->percent, before);
    next->reach = machine->saved.reach;
    (void)snprintf(what, sizeof(what), "stage %s is not in the configuration any more",
                   status->stage_name);
    (void)snprintf(
        status->disagreement, sizeof(status->disagreement),
        "The %s; resume goes on at stage %s with the same percentage.", what,
        machine->config->rollout.stages[machine->saved.reach > 0 ? machine->saved.reach : 0].name);
    memcpy(next->status.disagreement, status->disagreement, sizeof(status->disagreement));
    return status->state == ROLLOUT_HELD ? MACHINE_AS_IT_WAS : hold(next, what);
}

/* -- Reload ----------------------------------------------------------------------------------- */

/* Where the web plane sends everyone without a rollout: the first arm that has backends. */
static const char *everyones_arm(const struct config *config)
{
    size_t arm = 0;

    while (arm + 1 < config->arm_count && config->arms[arm].backend_count == 0)
        arm++;
    return config->arms[arm].name;
}

static bool accepts_promoted(const struct machine *machine, const struct config *config,
                             const struct rollout_origin *has, char *text, size_t text_size)
{
    const struct rollout_origin *had = &machine->saved.origin;

    if (!config->rollout.present) {
        if (!config->web.present || strcmp(everyones_arm(config), had->to) == 0)
            return true;
        (void)snprintf(text, text_size,
                       "the rollout %s was promoted, so everyone is on %s; without a rollout "
                       "section that has to be the first arm with backends, which is %s",
                       had->name, had->to, everyones_arm(config));
        return false;
    }
    if (strcmp(had->to, has->to) == 0 || strcmp(had->to, has->from) == 0)
        return true;
    (void)snprintf(
        text, text_size,
        "the rollout %s was promoted, so everyone is on %s; the next rollout has to begin "
        "there (rollout.from: %s), not on %s",
        had->name, had->to, had->to, has->from);
    return false;
}

bool machine_accepts(const struct machine *machine, const struct config *config, char *text,
                     size_t text_size)
{
    const struct rollout_status *status = &machine->saved.status;
    const struct rollout_origin *had = &machine->saved.origin;
    struct rollout_origin has = { .name = "" };
    char what[200];

    if (machine->stranger)
        return true; /* everyone is on the stable arm already */
    if (config->rollout.present)
        rollout_origin_of(config, &has);
    if (status->state == ROLLOUT_PROMOTED)
        return accepts_promoted(machine, config, &has, text, text_size);
    if (!under_way(status->state) || (config->rollout.present && same_origin(had, &has)))
        return true;
    if (!config->rollout.present)
        (void)snprintf(what, sizeof(what), "there is no rollout section any more");
    else
        difference(had, &has, what, sizeof(what));
    (void)snprintf(
        text, text_size,
        "the rollout %s is %s at stage %s, but %s, which would move its users; take that "
        "back, or abort the rollout first",
        had->name, rollout_state_name(status->state), status->stage_name, what);
    return false;
}
