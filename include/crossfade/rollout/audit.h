/*
 * The audit log: state_dir/audit.log, one JSON object a line, only ever appended to.
 *
 *   {"time":"2026-11-25T12:00:00.123456Z","by":"uid 0 (pid 123)","verb":"advance",
 *    "from":{"state":"running","stage":"employees","percent":0},
 *    "to":{"state":"running","stage":"canary","percent":0.1},
 *    "rollout":"python3","generation":7,"activation":1,"reason":""}
 *
 * A line is written before its change takes effect, so it is an intent. Verbs that no person gave:
 *
 *   reload     a new configuration brought the change; open: so did the one found at the start
 *   not-taken  the line before with this generation did not take effect (the disk was full, or the
 *              process ended in between); from and to are the state that goes on
 *   missed     the state has this generation, but lines up to it are missing here (the disk refused
 *              them, or the file was taken away)
 *   torn       the end of the file was part of a line, and was taken out; from and to are null
 *
 * What people change besides the rollout is in it, too: flush, drain server and enable server.
 * Their lines have null for from and to, and "of": the arm or server; they say nothing of the
 * rollout's state.
 *
 * The line of a start or retry has "namespace_generation": the one that the candidate's namespace
 * has since; not if it has none.
 *
 * The file is opened for each line, so that it can be rotated by renaming it.
 */
#ifndef CROSSFADE_ROLLOUT_AUDIT_H
#define CROSSFADE_ROLLOUT_AUDIT_H

#include "crossfade/base/ensure.h"
#include "crossfade/rollout/rollout.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AUDIT_FILE "audit.log"
#define AUDIT_LINE_MAX 8192u /* bytes; the longest possible line is shorter */

struct audit_entry {
    const char *of; /* NULL: no such member */
    uint64_t time;  /* wall clock, microseconds */
    const char *by;
    const char *verb;
    const char *rollout;
    const char *reason;
    const struct rollout_status *from; /* NULL: null */
    const struct rollout_status *to;   /* gives generation and activation as well */
    uint64_t generation;               /* 0: that of `to` */
    uint64_t namespace_generation;     /* 0: no such member */
};

struct audit;

/* `folder` is a descriptor of state_dir and stays the caller's. NULL without memory. */
struct audit *audit_create(int folder);
void audit_destroy(struct audit *audit);

/* Takes out a last line that was cut short, as every append does. False with half a sentence. */
bool audit_repair(struct audit *audit, char *error, size_t error_size) MUST_CHECK;

/* A line about something else than the rollout, in that state_dir, opened for it. False with half a
 * sentence in error[]. */
bool audit_note(const char *state_dir, const char *by, const char *verb, const char *of,
                char *error, size_t error_size) MUST_CHECK;

/* The last whole line of the file that is about the rollout. */
struct audit_last {
    bool found;    /* false: there is no file, or no line */
    bool readable; /* false: it is no line of ours */
    bool not_taken;
    uint64_t generation;
    uint64_t activation;
};

/* False when the file cannot be read, with half a sentence in error[]. */
bool audit_last(struct audit *audit, struct audit_last *out, char *error,
                size_t error_size) MUST_CHECK;

enum audit_result {
    AUDIT_DONE,   /* on disk */
    AUDIT_FAILED, /* nothing was appended; half a sentence in error[] */
    AUDIT_LEFT    /* the same, but the line, or part of it, could not be taken out again */
};

/* What is owed first, then this line. */
enum audit_result audit_append(struct audit *audit, const struct audit_entry *entry, char *error,
                               size_t error_size) MUST_CHECK;

/* Keeps the line in memory until the disk takes it. At most AUDIT_OWED_MAX are kept. */
#define AUDIT_OWED_MAX 4u
void audit_owe(struct audit *audit, const struct audit_entry *entry);
bool audit_owes(const struct audit *audit);
/* Tries to write what is owed. True: nothing is owed any more. */
bool audit_settle(struct audit *audit, char *error, size_t error_size);

#endif
