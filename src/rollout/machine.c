#include "machine.h"

#include "crossfade/conf/values.h"
#include "text.h"

#include <stdio.h>
#include <string.h>

static const char *const state_names[] = {
    [ROLLOUT_IDLE] = "idle", [ROLLOUT_RUNNING] = "running",   [ROLLOUT_PAUSED] = "paused",
    [ROLLOUT_HELD] = "held", [ROLLOUT_PROMOTED] = "promoted", [ROLLOUT_ABORTED] = "aborted",
};

const char *rollout_state_name(enum rollout_state state)
{
    return state_names[state];
}

/* Room for a part of a sentence. */
#define PART 512

struct part {
    char text[PART];
};

static const char *percent(uint32_t steps, struct part *part)
{
    (void)value_format_percent(steps, part->text);
    return strcat(part->text, " %");
}

_Static_assert(PART >= VALUE_TEXT + 2, "a percentage has to fit");

static const char *reason_of(const struct rollout_status *status)
{
    return status->reason[0] != '\0' ? status->reason : "no reason given";
}

static const struct config_stage *stages_of(const struct config *config)
{
    return config->rollout.stages;
}

void machine_describe(const struct config *config, const struct saved_state *saved, char *text,
                      size_t text_size)
{
    const struct rollout_status *status = &saved->status;
    const char *name = saved->origin.name;
    struct part share;

    (void)percent(status->percent, &share);
    switch (status->state) {
    case ROLLOUT_IDLE:
        (void)snprintf(text, text_size, "The rollout %s is idle: everyone is on %s.",
                       config->rollout.name, config->arms[config->rollout.from].name);
        return;
    case ROLLOUT_RUNNING:
    case ROLLOUT_PAUSED:
        (void)snprintf(text, text_size, "The rollout %s is %s at stage %s, with %s on %s.", name,
                       rollout_state_name(status->state), status->stage_name, share.text,
                       saved->origin.to);
        return;
    case ROLLOUT_HELD:
        (void)snprintf(text, text_size, "The rollout %s is held at stage %s, with %s on %s (%s).",
                       name, status->stage_name, share.text, saved->origin.to, reason_of(status));
        return;
    case ROLLOUT_PROMOTED:
        (void)snprintf(text, text_size, "The rollout %s was promoted: everyone is on %s.", name,
                       saved->origin.to);
        return;
    case ROLLOUT_ABORTED:
        (void)snprintf(text, text_size, "The rollout %s was aborted: everyone is on %s (%s).", name,
                       saved->origin.from, reason_of(status));
        return;
    }
}

struct cohort_position machine_position(const struct machine *machine)
{
    const struct rollout_status *status = &machine->saved.status;
    bool promoted = status->state == ROLLOUT_PROMOTED;
    bool under_way = status->state == ROLLOUT_RUNNING || status->state == ROLLOUT_PAUSED ||
                     status->state == ROLLOUT_HELD;

    if (machine->stranger || !(promoted || under_way))
        return (struct cohort_position){ .stage = -1 };
    return (struct cohort_position){ .active = true,
                                     .everyone = promoted,
                                     .stage = machine->saved.reach,
                                     .percent = status->percent };
}

/* -- Requests --------------------------------------------------------------------------------- */

#define IN(state) (1u << (state))

struct verb {
    const char *name;
    unsigned from; /* the states it is possible in */
    /* Fills in *next, which is the old state so far; false when refused in text[]. */
    enum rollout_verdict (*apply)(const struct machine *machine,
                                  const struct rollout_request *request, uint64_t now,
                                  struct saved_state *next, char *text, size_t text_size);
};

static bool reasoned(const struct rollout_request *request)
{
    return request->reason != NULL && request->reason[0] != '\0';
}

static void enter(const struct machine *machine, int stage, uint32_t share, uint64_t now,
                  struct saved_state *next)
{
    struct rollout_status *status = &next->status;

    next->reach = stage;
    status->state = ROLLOUT_RUNNING;
    status->stage = stage;
    text_keep(status->stage_name, sizeof(status->stage_name),
              stages_of(machine->config)[stage].name);
    status->percent = share;
    status->stage_since = now;
}

static enum rollout_verdict begin(const struct machine *machine,
                                  const struct rollout_request *request, uint64_t now,
                                  struct saved_state *next, char *text, size_t text_size)
{
    (void)text;
    (void)text_size;
    (void)request;
    rollout_origin_of(machine->config, &next->origin);
    next->status.activation++;
    enter(machine, 0, stages_of(machine->config)[0].percent, now, next);
    return ROLLOUT_DONE;
}

static enum rollout_verdict retry(const struct machine *machine,
                                  const struct rollout_request *request, uint64_t now,
                                  struct saved_state *next, char *text, size_t text_size)
{
    if (machine->stranger) {
        (void)snprintf(text, text_size,
                       "%s To begin the one of the configuration use reset and "
                       "start.",
                       machine->saved.status.disagreement);
        return ROLLOUT_REFUSED;
    }
    return begin(machine, request, now, next, text, text_size);
}

/* Refuses while the stage's least time is not over. */
static bool baked(const struct machine *machine, const struct rollout_request *request,
                  uint64_t now, char *text, size_t text_size)
{
    const struct rollout_status *status = &machine->saved.status;
    uint64_t bake = stages_of(machine->config)[status->stage].bake;
    uint64_t since = now > status->stage_since ? now - status->stage_since : 0;
    char whole[VALUE_TEXT], rest[VALUE_TEXT];

    if (since >= bake || reasoned(request))
        return true;
    (void)snprintf(text, text_size,
                   "Stage %s is to last %s, and %s of it are to come. Wait, or give a reason to go "
                   "on at once.",
                   status->stage_name, value_format_duration(bake, whole),
                   value_format_duration((bake - since + 999999) / 1000000 * 1000000, rest));
    return false;
}

static enum rollout_verdict advance(const struct machine *machine,
                                    const struct rollout_request *request, uint64_t now,
                                    struct saved_state *next, char *text, size_t text_size)
{
    const struct rollout_status *status = &machine->saved.status;
    int stage = status->stage + 1;
    uint32_t share;

    if ((size_t)stage >= machine->config->rollout.stage_count) {
        (void)snprintf(text, text_size,
                       "Stage %s is the last one. Use promote to make %s the arm of everyone.",
                       status->stage_name, machine->saved.origin.to);
        return ROLLOUT_REFUSED;
    }
    if (!baked(machine, request, now, text, text_size))
        return ROLLOUT_REFUSED;
    share = stages_of(machine->config)[stage].percent;
    enter(machine, stage, share > status->percent ? share : status->percent, now, next);
    return ROLLOUT_DONE;
}

static enum rollout_verdict set_percent(const struct machine *machine,
                                        const struct rollout_request *request, uint64_t now,
                                        struct saved_state *next, char *text, size_t text_size)
{
    const struct rollout_status *status = &machine->saved.status;
    size_t after = (size_t)(status->stage + 1);
    bool last = after >= machine->config->rollout.stage_count;
    uint32_t most = last ? PERCENT_ALL : stages_of(machine->config)[after].percent;
    struct part share;

    (void)now;
    if (request->percent > PERCENT_ALL) {
        (void)snprintf(text, text_size, "A percentage is at most 100.");
        return ROLLOUT_BAD;
    }
    if (status->state == ROLLOUT_HELD && request->percent > status->percent) {
        (void)snprintf(text, text_size,
                       "The rollout is held (%s), so its percentage can only be lowered from %s. "
                       "Use resume first.",
                       reason_of(status), percent(status->percent, &share));
        return ROLLOUT_REFUSED;
    }
    if (request->percent > most && request->percent > status->percent) {
        (void)snprintf(text, text_size,
                       "Stage %s goes up to %s, where stage %s begins. Use advance to get there.",
                       status->stage_name, percent(most, &share),
                       stages_of(machine->config)[after].name);
        return ROLLOUT_REFUSED;
    }
    next->status.percent = request->percent;
    return ROLLOUT_DONE;
}

static enum rollout_verdict stop(const struct machine *machine,
                                 const struct rollout_request *request, uint64_t now,
                                 struct saved_state *next, char *text, size_t text_size)
{
    (void)machine;
    (void)now;
    (void)text;
    (void)text_size;
    next->status.state = request->verb == ROLLOUT_PAUSE ? ROLLOUT_PAUSED : ROLLOUT_HELD;
    return ROLLOUT_DONE;
}

static enum rollout_verdict resume(const struct machine *machine,
                                   const struct rollout_request *request, uint64_t now,
                                   struct saved_state *next, char *text, size_t text_size)
{
    (void)request;
    (void)text;
    (void)text_size;
    if (machine->saved.status.stage < 0)
        enter(machine, machine->saved.reach > 0 ? machine->saved.reach : 0, next->status.percent,
              now, next);
    next->status.state = ROLLOUT_RUNNING;
    return ROLLOUT_DONE;
}

static enum rollout_verdict promote(const struct machine *machine,
                                    const struct rollout_request *request, uint64_t now,
                                    struct saved_state *next, char *text, size_t text_size)
{
    const struct rollout_status *status = &machine->saved.status;
    int last = (int)machine->config->rollout.stage_count - 1;
    struct part share;

    if (!reasoned(request) && (status->stage != last || status->percent != PERCENT_ALL)) {
        (void)snprintf(text, text_size,
                       "The rollout is at stage %s with %s on %s; promote follows the last stage, "
                       "%s, at 100 %%. Use advance%s to get there, or give a reason to promote at "
                       "once.",
                       status->stage_name, percent(status->percent, &share),
                       machine->saved.origin.to, stages_of(machine->config)[last].name,
                       status->stage == last ? " or percent 100" : "");
        return ROLLOUT_REFUSED;
    }
    if (!baked(machine, request, now, text, text_size))
        return ROLLOUT_REFUSED;
    enter(machine, last, PERCENT_ALL, now, next);
    next->status.state = ROLLOUT_PROMOTED;
    return ROLLOUT_DONE;
}

static enum rollout_verdict abort_all(const struct machine *machine,
                                      const struct rollout_request *request, uint64_t now,
                                      struct saved_state *next, char *text, size_t text_size)
{
    (void)machine;
    (void)request;
    (void)now;
    (void)text;
    (void)text_size;
    next->status.state = ROLLOUT_ABORTED;
    next->status.percent = 0;
    return ROLLOUT_DONE;
}

static enum rollout_verdict reset(const struct machine *machine,
                                  const struct rollout_request *request, uint64_t now,
                                  struct saved_state *next, char *text, size_t text_size)
{
    const struct rollout_origin *origin = &machine->saved.origin;

    if (machine->saved.status.state == ROLLOUT_PROMOTED && !reasoned(request)) {
        (void)snprintf(text, text_size,
                       "The rollout %s was promoted, so reset would send everyone from %s back to "
                       "%s. To begin the next rollout put it into the configuration with from: %s "
                       "and reload; if going back is meant, give a reason.",
                       origin->name, origin->to, origin->from, origin->to);
        return ROLLOUT_REFUSED;
    }
    next->status.state = ROLLOUT_IDLE;
    next->reach = -1;
    next->status.stage = -1;
    next->status.stage_name[0] = '\0';
    next->status.percent = 0;
    next->status.stage_since = now;
    return ROLLOUT_DONE;
}

static const struct verb verbs[] = {
    [ROLLOUT_START] = { "start", IN(ROLLOUT_IDLE), begin },
    [ROLLOUT_ADVANCE] = { "advance", IN(ROLLOUT_RUNNING), advance },
    [ROLLOUT_PERCENT] = { "percent", IN(ROLLOUT_RUNNING) | IN(ROLLOUT_PAUSED) | IN(ROLLOUT_HELD),
                          set_percent },
    [ROLLOUT_PAUSE] = { "pause", IN(ROLLOUT_RUNNING), stop },
    [ROLLOUT_RESUME] = { "resume", IN(ROLLOUT_PAUSED) | IN(ROLLOUT_HELD), resume },
    [ROLLOUT_HOLD] = { "hold", IN(ROLLOUT_RUNNING) | IN(ROLLOUT_PAUSED), stop },
    [ROLLOUT_ABORT] = { "abort",
                        IN(ROLLOUT_RUNNING) | IN(ROLLOUT_PAUSED) | IN(ROLLOUT_HELD) |
                            IN(ROLLOUT_PROMOTED),
                        abort_all },
    [ROLLOUT_RETRY] = { "retry", IN(ROLLOUT_ABORTED), retry },
    [ROLLOUT_PROMOTE] = { "promote", IN(ROLLOUT_RUNNING), promote },
    [ROLLOUT_RESET] = { "reset", IN(ROLLOUT_ABORTED) | IN(ROLLOUT_HELD) | IN(ROLLOUT_PROMOTED),
                        reset },
};

const char *machine_verb_name(enum rollout_verb verb)
{
    return verbs[verb].name;
}

/* What a person can do in a state that does not allow the verb. */
static void advise(const struct machine *machine, enum rollout_verb verb, char *text,
                   size_t text_size)
{
    const char *first = stages_of(machine->config)[0].name;
    const char *to = machine->saved.origin.to;

    switch (machine->saved.status.state) {
    case ROLLOUT_IDLE:
        (void)snprintf(text, text_size, "Use start to begin at stage %s.", first);
        return;
    case ROLLOUT_RUNNING:
        (void)snprintf(text, text_size, "%s",
                       verb == ROLLOUT_RESUME  ? "There is nothing to resume."
                       : verb == ROLLOUT_RETRY ? "Only an aborted one can be retried."
                       : verb == ROLLOUT_RESET ? "Use abort before reset."
                                               : "Use advance for the next stage.");
        return;
    case ROLLOUT_PAUSED:
        (void)snprintf(text, text_size, "%s",
                       verb == ROLLOUT_RESET ? "Use abort before reset."
                                             : "Use resume to go on, or abort.");
        return;
    case ROLLOUT_HELD:
        (void)snprintf(text, text_size, "Use resume to go on, abort, or reset.");
        return;
    case ROLLOUT_PROMOTED:
        (void)snprintf(text, text_size,
                       "To begin the next one put it into the configuration with from: %s and "
                       "reload; use abort to send everyone back.",
                       to);
        return;
    case ROLLOUT_ABORTED:
        (void)snprintf(text, text_size,
                       "Use retry to begin again at stage %s, or reset to go back to idle.", first);
        return;
    }
}

enum rollout_verdict machine_next(const struct machine *machine,
                                  const struct rollout_request *request, uint64_t now,
                                  struct saved_state *next, bool *same, char *text,
                                  size_t text_size)
{
    const struct rollout_status *status = &machine->saved.status;
    const struct verb *verb = &verbs[request->verb];
    enum rollout_verdict verdict;
    struct part stands, advice;

    *next = machine->saved;
    *same = false;
    if (request->generation_given && request->if_generation != status->generation) {
        (void)snprintf(
            text, text_size,
            "The state has moved on: it is of generation %llu, not %llu. Look at it again "
            "before you change it.",
            (unsigned long long)status->generation, (unsigned long long)request->if_generation);
        return ROLLOUT_REFUSED;
    }
    if (request->verb == ROLLOUT_ABORT && status->state == ROLLOUT_ABORTED) {
        *same = true;
        return ROLLOUT_DONE;
    }
    if ((verb->from & IN(status->state)) == 0) {
        machine_describe(machine->config, &machine->saved, stands.text, sizeof(stands.text));
        advise(machine, request->verb, advice.text, sizeof(advice.text));
        (void)snprintf(text, text_size, "%s %s", stands.text, advice.text);
        return ROLLOUT_REFUSED;
    }
    if (machine->stranger &&
        (request->verb == ROLLOUT_RESUME || request->verb == ROLLOUT_PERCENT)) {
        (void)snprintf(text, text_size,
                       "%s Put that back and reload to go on, or use reset to begin anew.",
                       status->disagreement);
        return ROLLOUT_REFUSED;
    }
    verdict = verb->apply(machine, request, now, next, text, text_size);
    if (verdict == ROLLOUT_DONE)
        text_keep(next->status.reason, sizeof(next->status.reason), request->reason);
    return verdict;
}
