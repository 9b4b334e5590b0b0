#include "crossfade/rollout/rollout.h"

#include "crossfade/base/clock.h"
#include "crossfade/base/log.h"
#include "crossfade/rollout/audit.h"
#include "crossfade/rollout/state_file.h"
#include "file.h"
#include "machine.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_FILE "lock"
#define FOLDER_MODE 0750

struct rollout {
    struct machine machine;
    struct audit *audit;
    int folder;
    int lock;
    char *path;      /* of the folder, whatever a later configuration says */
    bool state_owed; /* the state in effect is not the one in the file */
};

/* For one half of a sentence from below. */
#define FAULT 256

/* -- What is not on disk yet ------------------------------------------------------------------ */

static void note_unsaved(struct rollout *rollout, const char *file, const char *fault)
{
    struct rollout_status *status = &rollout->machine.saved.status;

    status->unsaved = rollout->state_owed || audit_owes(rollout->audit);
    status->unsaved_why[0] = '\0';
    if (status->unsaved)
        (void)snprintf(status->unsaved_why, sizeof(status->unsaved_why), "%s %s", file, fault);
}

bool rollout_settle(struct rollout *rollout)
{
    char fault[FAULT];

    if (!rollout->state_owed && !audit_owes(rollout->audit))
        return true;
    /* Each as far as it goes: the state matters more, and the line's order is kept by its owing. */
    if (rollout->state_owed && state_file_save(rollout->folder, &rollout->machine.saved, fault,
                                               sizeof(fault)) != STATE_WRITTEN) {
        note_unsaved(rollout, STATE_FILE, fault);
        return false;
    }
    rollout->state_owed = false;
    if (!audit_settle(rollout->audit, fault, sizeof(fault))) {
        note_unsaved(rollout, AUDIT_FILE, fault);
        return false;
    }
    note_unsaved(rollout, "", "");
    log_info("the state of the rollout, generation %llu, is on disk now",
             (unsigned long long)rollout->machine.saved.status.generation);
    return true;
}

/* -- One change: intent, commit, effect ------------------------------------------------------- */

static void mark_not_taken(struct rollout *rollout, uint64_t generation, const char *why)
{
    const struct rollout_status *status = &rollout->machine.saved.status;
    struct audit_entry entry = {
        .time = clock_wall(),
        .by = "crossfade",
        .verb = "not-taken",
        .rollout = rollout->machine.saved.origin.name,
        .reason = why,
        .from = status,
        .to = status,
        .generation = generation,
    };
    char fault[FAULT];

    if (audit_append(rollout->audit, &entry, fault, sizeof(fault)) != AUDIT_DONE)
        audit_owe(rollout->audit, &entry);
}

struct change {
    const char *verb;
    const char *by;
    bool forced;                   /* also when the disk refuses */
    uint64_t namespace_generation; /* that an activation has begun; 0: none */
};

/*
 * Makes *next the state, with the next generation. What of a forced change could not be written is
 * owed. False, with a sentence in text[], when something is not on disk.
 */
static bool commit(struct rollout *rollout, struct saved_state *next, const struct change *change,
                   char *text, size_t text_size)
{
    struct saved_state *saved = &rollout->machine.saved;
    struct audit_entry entry = { .verb = change->verb,
                                 .from = &saved->status,
                                 .to = &next->status,
                                 .namespace_generation = change->namespace_generation };
    char fault[FAULT] = "";
    const char *file = AUDIT_FILE;
    enum audit_result audited;
    enum state_written written = STATE_NOT_WRITTEN;

    next->status.generation = saved->status.generation + 1;
    next->status.changed = clock_wall();
    text_keep(next->status.by, sizeof(next->status.by), change->by);
    entry.time = next->status.changed;
    entry.by = next->status.by;
    entry.rollout = next->origin.name;
    entry.reason = next->status.reason;

    audited = audit_append(rollout->audit, &entry, fault, sizeof(fault));
    if (audited == AUDIT_DONE || change->forced) {
        char state_fault[FAULT];
        written = state_file_save(rollout->folder, next, state_fault, sizeof(state_fault));
        if (written != STATE_WRITTEN) {
            memcpy(fault, state_fault, sizeof(fault));
            file = STATE_FILE;
        }
    }
    if (written == STATE_WRITTEN && audited == AUDIT_DONE) {
        *saved = *next;
        rollout->state_owed = false;
        note_unsaved(rollout, "", "");
        return true;
    }
    (void)snprintf(text, text_size, "%s %s", file, fault);
    if (change->forced) {
        if (audited != AUDIT_DONE)
            audit_owe(rollout->audit, &entry);
        *saved = *next;
        rollout->state_owed = written != STATE_WRITTEN;
    } else {
        char ignored[FAULT];
        /* In doubt, the file is new already: the old one has to come back. */
        rollout->state_owed =
            written == STATE_IN_DOUBT &&
            state_file_save(rollout->folder, saved, ignored, sizeof(ignored)) != STATE_WRITTEN;
        if (audited != AUDIT_FAILED)
            mark_not_taken(rollout, next->status.generation, text);
    }
    note_unsaved(rollout, file, fault);
    return false;
}

/* The stage, the disagreement and the position follow from state and configuration. */
static void rematch(struct rollout *rollout)
{
    struct saved_state unused;

    (void)machine_match(&rollout->machine, &unused);
}

/* G10. What cannot be put out of the candidate's reach keeps it from being one. */
static bool activate(const struct rollout *rollout, const struct rollout_request *request,
                     struct change *change, char *text, size_t text_size)
{
    const struct config *config = rollout->machine.config;
    const char *arm = config->arms[config->rollout.to].name;
    char why[512];

    if ((request->verb != ROLLOUT_START && request->verb != ROLLOUT_RETRY) ||
        request->activate == NULL ||
        request->activate(request->activate_context, arm, &change->namespace_generation, why,
                          sizeof(why)))
        return true;
    (void)snprintf(text, text_size,
                   "The rollout is where it was, because %s cannot begin without what an earlier "
                   "attempt may have left in the cache: %s.",
                   arm, why);
    return false;
}

enum rollout_verdict rollout_apply(struct rollout *rollout, const struct rollout_request *request,
                                   char *text, size_t text_size)
{
    struct machine *machine = &rollout->machine;
    struct saved_state next;
    char fault[sizeof(machine->saved.status.unsaved_why)];
    bool same;
    bool saved;
    bool aborts = request->verb == ROLLOUT_ABORT;
    struct change change = { machine_verb_name(request->verb), request->by, aborts, 0 };
    enum rollout_verdict verdict =
        machine_next(machine, request, clock_wall(), &next, &same, text, text_size);

    if (verdict != ROLLOUT_DONE)
        return verdict;
    saved = rollout_settle(rollout);
    if (same || (!saved && !aborts)) {
        (void)snprintf(fault, sizeof(fault), "%s", machine->saved.status.unsaved_why);
    } else if (!activate(rollout, request, &change, text, text_size)) {
        return ROLLOUT_NO_DISK;
    } else {
        saved = commit(rollout, &next, &change, fault, sizeof(fault));
        rematch(rollout);
    }
    if (!saved && !aborts) {
        (void)snprintf(
            text, text_size,
            "Nothing was changed, because the change could not be made durable: %s in %s. "
            "Make room or repair the disk, then try again.",
            fault, rollout->path);
        return ROLLOUT_NO_DISK;
    }
    machine_describe(machine->config, &machine->saved, text, text_size);
    if (saved)
        return ROLLOUT_DONE;
    size_t len = strlen(text);
    (void)snprintf(text + len, text_size - len,
                   " This is in effect, but not on disk: %s in %s. It is tried again until then; a "
                   "daemon that starts before goes on with the state of before.",
                   fault, rollout->path);
    return ROLLOUT_NO_DISK;
}

/* -- Configuration ---------------------------------------------------------------------------- */

/* What has to change because of the configuration changes also without the disk. */
static void match(struct rollout *rollout, const char *verb)
{
    struct saved_state next;
    char fault[FAULT + sizeof(STATE_FILE)];
    char stands[512];
    const struct change change = { verb, "crossfade", true, 0 };

    if (machine_match(&rollout->machine, &next) == MACHINE_AS_IT_WAS)
        return;
    (void)rollout_settle(rollout);
    if (!commit(rollout, &next, &change, fault, sizeof(fault)))
        log_error("the state of the rollout is in effect, but not on disk: %s", fault);
    rematch(rollout);
    machine_describe(rollout->machine.config, &rollout->machine.saved, stands, sizeof(stands));
    log_warn("%s: %s", verb, stands);
}

bool rollout_accepts(const struct rollout *rollout, const struct config *config, char *error,
                     size_t error_size)
{
    return machine_accepts(&rollout->machine, config, error, error_size);
}

void rollout_reconfigure(struct rollout *rollout, const struct config *config)
{
    ensure(config->rollout.present);
    rollout->machine.config = config;
    match(rollout, "reload");
}

const struct rollout_status *rollout_status(const struct rollout *rollout)
{
    return &rollout->machine.saved.status;
}

const char *rollout_folder(const struct rollout *rollout)
{
    return rollout->path;
}

struct cohort_position rollout_position(const struct rollout *rollout)
{
    return machine_position(&rollout->machine);
}

/* -- Opening ---------------------------------------------------------------------------------- */

static bool refuse(char *error, size_t error_size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static bool refuse(char *error, size_t error_size, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(error, error_size, format, arguments);
    va_end(arguments);
    return false;
}

static bool open_folder(struct rollout *rollout, const char *path, char *error, size_t error_size)
{
    bool made = mkdir(path, FOLDER_MODE) == 0;
    int above;

    if (!made && errno != EEXIST)
        return refuse(error, error_size,
                      "process.state_dir: cannot make the folder %s: %s; make it, or name another",
                      path, strerror(errno));
    rollout->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (rollout->folder < 0)
        return refuse(error, error_size, "process.state_dir: cannot open the folder %s: %s", path,
                      strerror(errno));
    if (!made)
        return true;
    above = openat(rollout->folder, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (above >= 0) {
        if (!file_sync_folder(above))
            log_warn("the folder above %s cannot be made durable: %s", path, strerror(errno));
        (void)close(above);
    }
    return true;
}

/* Lines of the audit log that the last process left without their state, or the other way round. */
static void reconcile(struct rollout *rollout, const struct audit_last *last)
{
    const struct saved_state *saved = &rollout->machine.saved;
    struct audit_entry entry = {
        .time = clock_wall(),
        .by = "crossfade",
        .verb = "missed",
        .rollout = saved->origin.name,
        .reason = saved->status.reason,
        .to = &saved->status,
    };
    char fault[FAULT];

    if (last->found && !last->readable)
        log_warn("the last line of " AUDIT_FILE " is not one of crossfade's");
    if (last->readable && !last->not_taken && last->generation > saved->status.generation) {
        mark_not_taken(rollout, last->generation, "the process ended before it took effect");
    } else if (saved->status.generation > last->generation) {
        if (audit_append(rollout->audit, &entry, fault, sizeof(fault)) != AUDIT_DONE)
            audit_owe(rollout->audit, &entry);
    }
    note_unsaved(rollout, AUDIT_FILE, "cannot be written");
}

static bool load_state(struct rollout *rollout, const char *path, char *error, size_t error_size)
{
    struct saved_state *saved = &rollout->machine.saved;
    struct audit_last last;
    char fault[FAULT];
    enum state_found found = state_file_load(rollout->folder, saved, fault, sizeof(fault));

    if (found == STATE_BROKEN)
        return refuse(error, error_size,
                      "%s/" STATE_FILE " %s. Put back a good copy, or move it away to begin at "
                      "idle, with everyone on the stable arm",
                      path, fault);
    rollout->audit = audit_create(rollout->folder);
    if (rollout->audit == NULL)
        return refuse(error, error_size, "out of memory");
    if (!audit_repair(rollout->audit, fault, sizeof(fault)))
        log_warn("%s/" AUDIT_FILE " %s", path, fault);
    if (!audit_last(rollout->audit, &last, fault, sizeof(fault)))
        return refuse(error, error_size, "%s/" AUDIT_FILE " %s", path, fault);
    if (found == STATE_ABSENT) {
        *saved = (struct saved_state){ .status = { .stage = -1 }, .reach = -1 };
        rollout_origin_of(rollout->machine.config, &saved->origin);
        /* Numbers that were used once are not used again, even if the state was moved away. */
        saved->status.generation = last.generation;
        saved->status.activation = last.activation;
        saved->status.changed = clock_wall();
        if (state_file_save(rollout->folder, saved, fault, sizeof(fault)) != STATE_WRITTEN)
            return refuse(error, error_size, "%s/" STATE_FILE " %s", path, fault);
    }
    reconcile(rollout, &last);
    return true;
}

struct rollout *rollout_open(const struct config *config, char *error, size_t error_size)
{
    struct rollout *rollout = calloc(1, sizeof(*rollout));
    const char *path = config->process.state_dir;

    if (rollout == NULL || (rollout->path = strdup(path)) == NULL) {
        (void)snprintf(error, error_size, "out of memory");
        free(rollout);
        return NULL;
    }
    ensure(config->rollout.present);
    rollout->machine.config = config;
    rollout->folder = -1;
    rollout->lock = -1;
    if (!open_folder(rollout, path, error, error_size) ||
        (rollout->lock = file_lock(rollout->folder, path, LOCK_FILE, error, error_size)) < 0 ||
        !load_state(rollout, path, error, error_size)) {
        rollout_close(rollout);
        return NULL;
    }
    match(rollout, "open");
    return rollout;
}

void rollout_close(struct rollout *rollout)
{
    if (rollout == NULL)
        return;
    if (rollout->audit != NULL) {
        (void)rollout_settle(rollout);
        audit_destroy(rollout->audit);
    }
    if (rollout->lock >= 0)
        (void)close(rollout->lock);
    if (rollout->folder >= 0)
        (void)close(rollout->folder);
    free(rollout->path);
    free(rollout);
}
