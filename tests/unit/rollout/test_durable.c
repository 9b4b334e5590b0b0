/* The files: what survives, what is refused, and what a disk that refuses does. */
#include "rollout_helpers.h"

#include "crossfade/rollout/audit.h"
#include "crossfade/rollout/state_file.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static struct bed bed;

static void setup(void)
{
    bed_make(&bed);
    bed_open(&bed);
}

static void teardown(void)
{
    bed_remove(&bed);
}

TestSuite(durable, .init = setup, .fini = teardown);

Test(durable, all_of_the_state_survives)
{
    bed_bring(&bed, ROLLOUT_RUNNING);
    cr_assert_eq(bed_percent(&bed, 33333), ROLLOUT_DONE);
    for (int i = 0; i < 2; i++) {
        struct rollout_status before = *rollout_status(bed.rollout);
        struct cohort_position position = rollout_position(bed.rollout);
        bed_reopen(&bed);
        const struct rollout_status *after = rollout_status(bed.rollout);
        cr_assert_eq(after->state, before.state);
        cr_assert_eq(after->stage, before.stage);
        cr_assert_str_eq(after->stage_name, before.stage_name);
        cr_assert_eq(after->percent, before.percent);
        cr_assert_eq(after->generation, before.generation);
        cr_assert_eq(after->activation, before.activation);
        cr_assert_eq(after->stage_since, before.stage_since);
        cr_assert_eq(after->changed, before.changed);
        cr_assert_str_eq(after->reason, before.reason);
        cr_assert_str_eq(after->by, before.by);
        struct cohort_position now = rollout_position(bed.rollout);
        cr_assert_eq(memcmp(&now, &position, sizeof(now)), 0);
        cr_assert_eq(
            bed_do(&bed, i == 0 ? ROLLOUT_HOLD : ROLLOUT_RESUME, "\"quoted\" \\ and \xc3\xbc"),
            ROLLOUT_DONE);
    }
}

Test(durable, the_folder_is_made_and_the_files_are_not_for_all)
{
    struct stat about;

    cr_assert_eq(stat(bed.state_dir, &about), 0);
    cr_assert_eq(about.st_mode & 07, 0);
    cr_assert_eq(bed_do(&bed, ROLLOUT_START, NULL), ROLLOUT_DONE);
    static const char *const files[] = { "rollout.json", "audit.log", "lock" };
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(stat(bed_path(&bed, files[i]), &about), 0, "%s", files[i]);
        cr_assert_eq(about.st_mode & 07, 0, "%s", files[i]);
    }
    char *text = bed_read(&bed, "rollout.json");
    cr_assert_null(strstr(text, "change-me-once"), "the salt signs identities, it stays out");
    free(text);
}

Test(durable, two_processes_do_not_share_a_folder)
{
    char error[512] = "";
    char pid[32];

    cr_assert_null(rollout_open(&bed.config, error, sizeof(error)));
    (void)snprintf(pid, sizeof(pid), "process %d;", (int)getpid());
    cr_assert_not_null(strstr(error, pid), "%s", error);
    cr_assert_not_null(strstr(error, bed.state_dir), "%s", error);
    bed_reopen(&bed);
}

Test(durable, a_folder_that_cannot_be_is_said)
{
    char error[512] = "";
    char path[256];

    (void)snprintf(path, sizeof(path), "%s/none/state", bed.folder);
    bed.config.process.state_dir = path;
    cr_assert_null(rollout_open(&bed.config, error, sizeof(error)));
    cr_assert_not_null(strstr(error, path), "%s", error);
    (void)snprintf(path, sizeof(path), "%s/lock", bed.state_dir);
    cr_assert_null(rollout_open(&bed.config, error, sizeof(error)));
    cr_assert_not_null(strstr(error, path), "%s", error);
}

/* -- A file that is not ours ------------------------------------------------------------------ */

#define GOOD                                                                                       \
    "{\"format\":1,\"rollout\":\"python3\",\"from\":\"py2\",\"to\":\"py3\","                       \
    "\"salt\":\"00112233445566778899aabbccddeeff\",\"state\":\"running\",\"stage\":\"canary\","    \
    "\"reach\":2,\"percent\":0.1,\"generation\":7,\"activation\":1,\"stage_since\":5,"             \
    "\"changed\":6,\"reason\":\"\",\"by\":\"x\"}"

static const struct {
    const char *from, *to; /* what is put in the place of what */
    const char *fault;
} broken[] = {
    { GOOD, "", "is empty" },
    { GOOD, "{", "is no JSON" },
    { GOOD, "[]", "no JSON object" },
    { "\"by\":\"x\"}", "\"by\":\"x\"", "is no JSON" },
    { "\"by\":\"x\"}", "\"by\":\"x\"} x", "is no JSON" },
    { "\"by\":\"x\"", "\"by\":\"x\",\"by\":\"y\"", "is no JSON" },
    { "\"by\":\"x\"", "\"by\":\"x\",\"more\":1", "does not know" },
    { ",\"by\":\"x\"", "", "no member \"by\"" },
    { "\"format\":1", "\"format\":2", "format 2" },
    { "\"format\":1", "\"format\":true", "\"format\"" },
    { "running", "runing", "none of idle" },
    { "running", "idle", "stage while it is idle" },
    { "running", "aborted", "percentage" },
    { "running", "promoted", "not at 100" },
    { "\"stage\":\"canary\"", "\"stage\":\"\"", "no stage" },
    { "\"stage\":\"canary\"", "\"stage\":7", "\"stage\"" },
    { "canary", "can\\u0001ary", "control characters" },
    { "canary", "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc",
      "at most 71" },
    { "\"reach\":2", "\"reach\":-2", "\"reach\"" },
    { "\"reach\":2", "\"reach\":2000000000", "\"reach\"" },
    { "\"reach\":2", "\"reach\":1.5", "\"reach\"" },
    { ":0.1", ":100.0001", "\"percent\"" },
    { ":0.1", ":-0.1", "\"percent\"" },
    { ":0.1", ":0.00001", "\"percent\"" },
    { ":0.1", ":\"0.1\"", "\"percent\"" },
    { ":0.1", ":1e400", "is no JSON" },
    { "\"generation\":7", "\"generation\":0", "never started" },
    { "\"generation\":7", "\"generation\":-7", "\"generation\"" },
    { "\"generation\":7", "\"generation\":7.5", "\"generation\"" },
    { "\"generation\":7", "\"generation\":9223372036854775808", "is no JSON" },
    { "\"activation\":1", "\"activation\":8", "higher activation" },
    { "\"activation\":1", "\"activation\":0", "never started" },
    { "00112233445566778899aabbccddeeff", "0011", "which rollout" },
    { "\"to\":\"py3\"", "\"to\":\"\"", "which rollout" },
};

static void replace(char *out, size_t size, const char *from, const char *to)
{
    const char *at = strstr(GOOD, from);

    cr_assert_not_null(at, "%s", from);
    (void)snprintf(out, size, "%.*s%s%s", (int)(at - GOOD), GOOD, to, at + strlen(from));
}

Test(durable, a_broken_state_is_refused_and_never_guessed)
{
    char text[2048], error[1024];
    struct saved_state state;

    cr_assert(state_parse(SLICE(GOOD), &state, error, sizeof(error)), "%s", error);
    cr_assert_eq(state.status.percent, 1000);
    cr_assert_eq(state.reach, 2);
    rollout_close(bed.rollout);
    bed.rollout = NULL;
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        replace(text, sizeof(text), broken[i].from, broken[i].to);
        bed_write(&bed, "rollout.json", text);
        memset(error, 0, sizeof(error));
        cr_expect_null(rollout_open(&bed.config, error, sizeof(error)), "%s", text);
        cr_expect_not_null(strstr(error, broken[i].fault), "%s: %s", broken[i].to, error);
        cr_expect_not_null(strstr(error, bed_path(&bed, "rollout.json")), "%s", error);
        cr_expect_not_null(strstr(error, "move it away"), "%s", error);
        char *after = bed_read(&bed, "rollout.json");
        cr_expect_str_eq(after, text, "it is left as it was");
        free(after);
    }
    bed_write(&bed, "rollout.json", GOOD);
    bed_open(&bed);
}

Test(durable, something_else_in_its_place_is_refused)
{
    char error[1024] = "";
    char *big = calloc(1, STATE_FILE_MAX + sizeof(GOOD));

    rollout_close(bed.rollout);
    bed.rollout = NULL;
    memset(big, ' ', STATE_FILE_MAX);
    bed_write(&bed, "rollout.json", strcat(big, GOOD));
    free(big);
    cr_assert_null(rollout_open(&bed.config, error, sizeof(error)));
    cr_assert_not_null(strstr(error, "larger than"), "%s", error);

    cr_assert_eq(unlink(bed_path(&bed, "rollout.json")), 0);
    cr_assert_eq(mkdir(bed_path(&bed, "rollout.json"), 0700), 0);
    cr_assert_null(rollout_open(&bed.config, error, sizeof(error)));
    cr_assert_not_null(strstr(error, "no regular file"), "%s", error);

    cr_assert_eq(rmdir(bed_path(&bed, "rollout.json")), 0);
    cr_assert_eq(mkfifo(bed_path(&bed, "rollout.json"), 0600), 0);
    cr_assert_null(rollout_open(&bed.config, error, sizeof(error)),
                   "and it does not wait for a writer");
    cr_assert_eq(unlink(bed_path(&bed, "rollout.json")), 0);
    bed_write(&bed, "elsewhere.json", GOOD);
    cr_assert_eq(symlink("elsewhere.json", bed_path(&bed, "rollout.json")), 0);
    cr_assert_null(rollout_open(&bed.config, error, sizeof(error)));
    cr_assert_eq(unlink(bed_path(&bed, "rollout.json")), 0);
    bed_open(&bed);
}

Test(durable, a_state_that_was_moved_away_uses_no_number_again)
{
    bed_bring(&bed, ROLLOUT_RUNNING);
    rollout_close(bed.rollout);
    cr_assert_eq(unlink(bed_path(&bed, "rollout.json")), 0);
    bed_open(&bed);
    cr_assert_eq(rollout_status(bed.rollout)->state, ROLLOUT_IDLE);
    cr_assert_eq(rollout_status(bed.rollout)->generation, 3);
    cr_assert_eq(bed_do(&bed, ROLLOUT_START, NULL), ROLLOUT_DONE);
    cr_assert_eq(rollout_status(bed.rollout)->activation, 2,
                 "the cache of the first is not met again");
}

/* -- The audit log ---------------------------------------------------------------------------- */

static const json_t *line_at(const json_t *lines, int from_end)
{
    return json_array_get(lines, json_array_size(lines) - 1 - (size_t)from_end);
}

Test(durable, the_audit_log_tells_each_change)
{
    bed_bring(&bed, ROLLOUT_RUNNING);
    cr_assert_eq(bed_do(&bed, ROLLOUT_ABORT, "say \"no\""), ROLLOUT_DONE);
    cr_assert_eq(bed_do(&bed, ROLLOUT_PAUSE, "refused, so not there"), ROLLOUT_REFUSED);
    json_t *lines = bed_audit(&bed);
    cr_assert_eq(json_array_size(lines), 4);
    char *last = json_dumps(line_at(lines, 0), JSON_COMPACT | JSON_REAL_PRECISION(9));
    cr_assert_not_null(
        strstr(last, "\"by\":\"uid 0 (pid 1)\",\"verb\":\"abort\","
                     "\"from\":{\"state\":\"running\",\"stage\":\"canary\",\"percent\":0.1},"
                     "\"to\":{\"state\":\"aborted\",\"stage\":\"canary\",\"percent\":0},"
                     "\"rollout\":\"python3\",\"generation\":4,\"activation\":1,\"reason\":\"say "
                     "\\\"no\\\"\"}"),
        "%s", last);
    cr_assert_eq(strncmp(last, "{\"time\":\"20", 11), 0);
    free(last);
    json_decref(lines);
}

static void append_raw(const char *text)
{
    FILE *file = fopen(bed_path(&bed, "audit.log"), "a");

    cr_assert_not_null(file);
    cr_assert_geq(fputs(text, file), 0);
    cr_assert_eq(fclose(file), 0);
}

Test(durable, a_torn_last_line_is_taken_out_and_told)
{
    bed_bring(&bed, ROLLOUT_RUNNING);
    rollout_close(bed.rollout);
    append_raw("{\"time\":\"2026-11-25T");
    bed_open(&bed);
    json_t *lines = bed_audit(&bed);
    cr_assert_eq(json_array_size(lines), 4);
    cr_assert_str_eq(line_text(line_at(lines, 0), "verb"), "torn");
    cr_assert_not_null(strstr(line_text(line_at(lines, 0), "reason"), "2026-11-25T"));
    json_decref(lines);
    bed_reopen(&bed);
    cr_assert_eq(bed_do(&bed, ROLLOUT_PAUSE, NULL), ROLLOUT_DONE);
    append_raw("garbage"); /* while it runs, too */
    cr_assert_eq(bed_do(&bed, ROLLOUT_RESUME, NULL), ROLLOUT_DONE);
    lines = bed_audit(&bed);
    cr_assert_eq(json_array_size(lines), 7);
    cr_assert_str_eq(line_text(line_at(lines, 2), "verb"), "pause");
    cr_assert_str_eq(line_text(line_at(lines, 1), "verb"), "torn");
    cr_assert_str_eq(line_text(line_at(lines, 0), "verb"), "resume");
    json_decref(lines);
}

/* More of them than the end of the file that is read at once holds. */
Test(durable, lines_about_other_things_say_nothing_of_the_state)
{
    enum { NOTES = 100 };
    char error[256];

    bed_bring(&bed, ROLLOUT_RUNNING);
    rollout_close(bed.rollout);
    for (int i = 0; i < NOTES; i++)
        cr_assert(audit_note(bed.state_dir, "uid 0 (pid 1)", "flush", "py3", error, sizeof(error)),
                  "%s", error);
    bed_open(&bed);
    cr_assert_eq(rollout_status(bed.rollout)->state, ROLLOUT_RUNNING);
    json_t *lines = bed_audit(&bed);
    cr_assert_eq(json_array_size(lines), 3 + NOTES, "nothing was added");
    cr_assert_str_eq(line_text(line_at(lines, 0), "of"), "py3");
    cr_assert(json_is_null(json_object_get(line_at(lines, 0), "to")));
    json_decref(lines);
    cr_assert_not(audit_note("/nonexistent", "x", "flush", "py3", error, sizeof(error)));
}

Test(durable, a_line_without_its_state_is_marked_as_not_taken)
{
    bed_bring(&bed, ROLLOUT_RUNNING);
    char *before = bed_read(&bed, "rollout.json");
    cr_assert_eq(bed_do(&bed, ROLLOUT_PAUSE, NULL), ROLLOUT_DONE);
    rollout_close(bed.rollout);
    bed_write(&bed, "rollout.json", before);
    free(before);
    bed_open(&bed);
    cr_assert_eq(rollout_status(bed.rollout)->state, ROLLOUT_RUNNING);
    bed_reopen(&bed);
    json_t *lines = bed_audit(&bed);
    cr_assert_eq(json_array_size(lines), 5, "marked once");
    cr_assert_str_eq(line_text(line_at(lines, 0), "verb"), "not-taken");
    cr_assert_eq(json_integer_value(json_object_get(line_at(lines, 0), "generation")), 4);
    json_decref(lines);
}

Test(durable, a_log_that_was_taken_away_begins_with_the_state)
{
    bed_bring(&bed, ROLLOUT_RUNNING);
    cr_assert_eq(unlink(bed_path(&bed, "audit.log")), 0);
    cr_assert_eq(bed_do(&bed, ROLLOUT_PAUSE, NULL), ROLLOUT_DONE);
    json_t *lines = bed_audit(&bed);
    cr_assert_eq(json_array_size(lines), 1, "rotated while it runs");
    json_decref(lines);
    cr_assert_eq(unlink(bed_path(&bed, "audit.log")), 0);
    bed_reopen(&bed);
    bed_reopen(&bed);
    lines = bed_audit(&bed);
    cr_assert_eq(json_array_size(lines), 1);
    cr_assert_str_eq(line_text(line_at(lines, 0), "verb"), "missed");
    cr_assert(json_is_null(json_object_get(line_at(lines, 0), "from")));
    json_decref(lines);
}

Test(durable, what_is_owed_comes_before_what_follows)
{
    int folder = open(bed.state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct audit *audit = audit_create(folder);
    struct rollout_status to = { .stage_name = "x", .generation = 1 };
    struct audit_entry entry = {
        .by = "x", .verb = "first", .rollout = "x", .reason = "", .to = &to
    };
    char error[256];

    audit_owe(audit, &entry);
    entry.verb = "second";
    audit_owe(audit, &entry);
    cr_assert(audit_owes(audit));
    entry.verb = "third";
    cr_assert_eq(audit_append(audit, &entry, error, sizeof(error)), AUDIT_DONE);
    cr_assert_not(audit_owes(audit));
    audit_destroy(audit);
    (void)close(folder);
    json_t *lines = bed_audit(&bed);
    cr_assert_eq(json_array_size(lines), 3);
    static const char *const verbs[] = { "first", "second", "third" };
    for (int i = 0; i < 3; i++)
        cr_assert_str_eq(line_text(line_at(lines, 2 - i), "verb"), verbs[i]);
    json_decref(lines);
}

/* -- A disk that refuses ---------------------------------------------------------------------- */

/* No file may grow beyond so many bytes. */
static void limit(rlim_t bytes)
{
    struct rlimit limits;

    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &limits), 0);
    limits.rlim_cur = bytes < limits.rlim_max ? bytes : limits.rlim_max;
    cr_assert_neq(signal(SIGXFSZ, SIG_IGN), SIG_ERR);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limits), 0);
}

static long size_of(const char *name)
{
    struct stat about;

    cr_assert_eq(stat(bed_path(&bed, name), &about), 0);
    return (long)about.st_size;
}

static void nothing_changes(void)
{
    struct rollout_status before = *rollout_status(bed.rollout);

    cr_assert_eq(bed_do(&bed, ROLLOUT_PAUSE, "no room"), ROLLOUT_NO_DISK, "%s", bed.text);
    cr_assert_not_null(strstr(bed.text, "Nothing was changed"), "%s", bed.text);
    cr_assert_not_null(strstr(bed.text, bed.state_dir), "%s", bed.text);
    const struct rollout_status *now = rollout_status(bed.rollout);
    cr_assert_eq(now->state, before.state);
    cr_assert_eq(now->generation, before.generation);
    cr_assert_str_eq(now->reason, before.reason);
}

Test(durable, nothing_changes_when_the_log_cannot_be_written)
{
    bed_bring(&bed, ROLLOUT_RUNNING);
    long before = size_of("audit.log");
    for (rlim_t more = 0; more < 200; more += 60) { /* nothing of the line fits, or part of it */
        limit((rlim_t)before + more);
        nothing_changes();
        cr_assert_eq(size_of("audit.log"), before);
        cr_assert_not(rollout_status(bed.rollout)->unsaved);
    }
    limit(RLIM_INFINITY);
    cr_assert_eq(bed_do(&bed, ROLLOUT_PAUSE, NULL), ROLLOUT_DONE);
    bed_reopen(&bed);
    cr_assert_eq(rollout_status(bed.rollout)->state, ROLLOUT_PAUSED);
}

/* Stands in the way of the temporary file. */
static void block(void)
{
    cr_assert_eq(mkdir(bed_path(&bed, "rollout.json.new"), 0700), 0);
}

static void unblock(void)
{
    cr_assert_eq(rmdir(bed_path(&bed, "rollout.json.new")), 0);
}

Test(durable, nothing_changes_when_the_state_cannot_be_written)
{
    bed_bring(&bed, ROLLOUT_RUNNING);
    block();
    nothing_changes();
    json_t *lines = bed_audit(&bed);
    cr_assert_str_eq(line_text(line_at(lines, 1), "verb"), "pause");
    cr_assert_str_eq(line_text(line_at(lines, 0), "verb"), "not-taken");
    json_decref(lines);
    bed_reopen(&bed);
    cr_assert_eq(rollout_status(bed.rollout)->state, ROLLOUT_RUNNING);
    unblock();
    cr_assert_eq(bed_do(&bed, ROLLOUT_PAUSE, NULL), ROLLOUT_DONE);
    bed_reopen(&bed);
    cr_assert_eq(rollout_status(bed.rollout)->state, ROLLOUT_PAUSED);
}

Test(durable, nothing_changes_when_the_rename_fails)
{
    bed_bring(&bed, ROLLOUT_RUNNING);
    char *text = bed_read(&bed, "rollout.json");
    cr_assert_eq(unlink(bed_path(&bed, "rollout.json")), 0);
    cr_assert_eq(mkdir(bed_path(&bed, "rollout.json"), 0700), 0);
    nothing_changes();
    cr_assert_neq(access(bed_path(&bed, "rollout.json.new"), F_OK), 0, "nothing is left behind");
    cr_assert_eq(rmdir(bed_path(&bed, "rollout.json")), 0);
    bed_write(&bed, "rollout.json", text);
    free(text);
    bed_reopen(&bed);
}

Test(durable, an_abort_takes_effect_without_the_disk_and_is_saved_later)
{
    for (int full = 0; full < 3; full++) {
        bed_bring(&bed, ROLLOUT_RUNNING);
        if (full != 0)
            limit(full == 1 ? 10 : (rlim_t)size_of("audit.log") + 100);
        if (full != 1)
            block();
        cr_assert_eq(bed_do(&bed, ROLLOUT_ABORT, "5xx"), ROLLOUT_NO_DISK);
        cr_assert_not_null(strstr(bed.text, "was aborted"), "%s", bed.text);
        cr_assert_not_null(strstr(bed.text, "in effect, but not on disk"), "%s", bed.text);
        cr_assert_not(rollout_position(bed.rollout).active);
        cr_assert(rollout_status(bed.rollout)->unsaved);
        cr_assert_str_not_empty(rollout_status(bed.rollout)->unsaved_why);
        cr_assert_not(rollout_settle(bed.rollout));
        cr_assert_eq(bed_do(&bed, ROLLOUT_ABORT, "again"), ROLLOUT_NO_DISK);
        cr_assert_eq(bed_do(&bed, ROLLOUT_RETRY, NULL), ROLLOUT_NO_DISK);
        cr_assert_not(rollout_position(bed.rollout).active, "%s", bed.text);

        limit(RLIM_INFINITY);
        if (full != 1)
            unblock();
        cr_assert(rollout_settle(bed.rollout));
        cr_assert_not(rollout_status(bed.rollout)->unsaved);
        cr_assert_str_empty(rollout_status(bed.rollout)->unsaved_why);
        bed_reopen(&bed);
        cr_assert_eq(rollout_status(bed.rollout)->state, ROLLOUT_ABORTED);
        json_t *lines = bed_audit(&bed);
        cr_assert_eq(json_array_size(lines), 4);
        cr_assert_str_eq(line_text(line_at(lines, 0), "verb"), "abort");
        json_decref(lines);
        bed_remove(&bed);
        setup();
    }
}

Test(durable, a_state_saved_without_its_line_is_told_at_the_next_start)
{
    bed_bring(&bed, ROLLOUT_RUNNING);
    limit((rlim_t)size_of("audit.log")); /* larger than the state, which fits */
    cr_assert_eq(bed_do(&bed, ROLLOUT_ABORT, "5xx"), ROLLOUT_NO_DISK);
    rollout_close(bed.rollout);
    limit(RLIM_INFINITY);
    bed_open(&bed);
    cr_assert_eq(rollout_status(bed.rollout)->state, ROLLOUT_ABORTED);
    json_t *lines = bed_audit(&bed);
    cr_assert_str_eq(line_text(line_at(lines, 0), "verb"), "missed");
    cr_assert_str_eq(line_text(line_at(lines, 0), "reason"), "5xx");
    json_decref(lines);
}

Test(durable, a_full_disk_does_not_keep_a_known_state_from_opening)
{
    bed_bring(&bed, ROLLOUT_RUNNING);
    rollout_close(bed.rollout);
    limit(1);
    bed.config.rollout.salt = (char *)"another"; /* so that there is something to write */
    bed_open(&bed);
    limit(RLIM_INFINITY);
    cr_assert_eq(rollout_status(bed.rollout)->state, ROLLOUT_HELD);
    cr_assert(rollout_status(bed.rollout)->unsaved);
    cr_assert_not(rollout_position(bed.rollout).active);
    cr_assert(rollout_settle(bed.rollout));
}
