#include "crossfade/rollout/audit.h"

#include "crossfade/base/clock.h"
#include "crossfade/base/log.h"
#include "crossfade/base/slice.h"
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct audit {
    int folder;
    unsigned owed_count;
    size_t owed_len;
    char owed[AUDIT_OWED_MAX * AUDIT_LINE_MAX];
};

struct audit *audit_create(int folder)
{
    struct audit *audit = calloc(1, sizeof(*audit));

    if (audit != NULL)
        audit->folder = folder;
    return audit;
}

void audit_destroy(struct audit *audit)
{
    free(audit);
}

/* -- One line --------------------------------------------------------------------------------- */

static json_t *percent(uint32_t steps)
{
    return steps % PERCENT_ONE == 0 ? json_integer(steps / PERCENT_ONE)
                                    : json_real((double)steps / PERCENT_ONE);
}

static json_t *side(const struct rollout_status *status)
{
    if (status == NULL)
        return json_null();
    return json_pack("{s:s, s:s, s:o}", "state", rollout_state_name(status->state), "stage",
                     status->stage_name, "percent", percent(status->percent));
}

/* With its line end. 0: no memory. */
static size_t compose(const struct audit_entry *entry, char out[AUDIT_LINE_MAX])
{
    char stamp[CLOCK_TEXT];
    uint64_t generation = entry->generation;
    uint64_t activation = entry->to != NULL ? entry->to->activation : 0;
    json_t *line;
    size_t len = 0;

    if (generation == 0 && entry->to != NULL)
        generation = entry->to->generation;
    clock_format(entry->time, stamp);
    line =
        json_pack("{s:s, s:s, s:s, s:o, s:o, s:s, s:I, s:I, s:s}", "time", stamp, "by", entry->by,
                  "verb", entry->verb, "from", side(entry->from), "to", side(entry->to), "rollout",
                  entry->rollout, "generation", (json_int_t)generation, "activation",
                  (json_int_t)activation, "reason", entry->reason);
    if (line != NULL && entry->of != NULL)
        (void)json_object_set_new(line, "of", json_string(entry->of));
    if (line != NULL && entry->namespace_generation != 0)
        (void)json_object_set_new(line, "namespace_generation",
                                  json_integer((json_int_t)entry->namespace_generation));
    if (line != NULL)
        len = json_dumpb(line, out, AUDIT_LINE_MAX - 1, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(line);
    ensure(len < AUDIT_LINE_MAX); /* texts are bounded, and no escape is longer than six bytes */
    if (len > 0)
        out[len++] = '\n';
    return len;
}

/* -- The file --------------------------------------------------------------------------------- */

/* Up to AUDIT_LINE_MAX bytes before `end`. */
static bool read_before(int fd, off_t end, char out[AUDIT_LINE_MAX], size_t *len)
{
    off_t start = end > (off_t)AUDIT_LINE_MAX ? end - (off_t)AUDIT_LINE_MAX : 0;

    *len = 0;
    while (start + (off_t)*len < end) {
        ssize_t got = pread(fd, out + *len, (size_t)(end - start) - *len, start + (off_t)*len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        *len += (size_t)got;
    }
    return true;
}

static bool tell(char *error, size_t error_size)
{
    (void)snprintf(error, error_size, "cannot be written: %s", strerror(errno));
    return false;
}

/* What is behind the last line end of the data. */
static struct slice unfinished(struct slice data)
{
    size_t start = data.len;

    while (start > 0 && data.data[start - 1] != '\n')
        start--;
    return slice_of(data.data + start, data.len - start);
}

/*
 * A line that was cut short is taken out, so that the file stays one object a line; its beginning
 * is kept in a line of its own. Its change never took effect: that comes after the whole line's
 * fsync. A file of which that cannot be done (an append-only one) gets a line end.
 */
static bool mend(int fd, off_t *size)
{
    char data[AUDIT_LINE_MAX];
    char line[AUDIT_LINE_MAX];
    char shown[160];
    char reason[256];
    size_t len;
    struct slice torn;
    struct audit_entry entry = { .by = "crossfade", .verb = "torn", .rollout = "" };

    if (!read_before(fd, *size, data, &len))
        return false;
    torn = unfinished(slice_of(data, len));
    if (torn.len == 0)
        return true;
    if (torn.len == AUDIT_LINE_MAX || ftruncate(fd, *size - (off_t)torn.len) != 0) {
        if (!file_write(fd, SLICE("\n")))
            return false;
        *size += 1;
        return true;
    }
    *size -= (off_t)torn.len;
    slice_escape(torn, shown, sizeof(shown));
    (void)snprintf(reason, sizeof(reason), "a line was cut short after %zu bytes: %s", torn.len,
                   shown);
    entry.time = clock_wall();
    entry.reason = reason;
    len = compose(&entry, line);
    if (!file_write(fd, slice_of(line, len)))
        return false;
    *size += (off_t)len;
    return true;
}

static bool append(int folder, struct slice lines, bool *left)
{
    struct stat about;
    off_t size;
    int why;
    int fd = openat(folder, AUDIT_FILE,
                    O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0640);

    *left = false;
    if (fd < 0)
        return false;
    if (fstat(fd, &about) == 0) {
        size = about.st_size;
        if (mend(fd, &size)) {
            if (file_write(fd, lines) && fsync(fd) == 0 && (size > 0 || file_sync_folder(folder))) {
                (void)close(fd);
                return true;
            }
            why = errno;
            *left = ftruncate(fd, size) != 0;
            errno = why;
        }
    }
    why = errno;
    (void)close(fd);
    errno = why;
    return false;
}

/* True for one that says nothing of the rollout's state. */
static bool read_line(struct slice text, struct audit_last *out)
{
    json_t *line = json_loadb(text.data, text.len, 0, NULL);
    const json_t *generation = json_object_get(line, "generation");
    const json_t *activation = json_object_get(line, "activation");
    const char *verb = json_string_value(json_object_get(line, "verb"));
    bool torn = verb != NULL && strcmp(verb, "torn") == 0;

    if (verb != NULL && json_object_get(line, "of") != NULL) {
        json_decref(line);
        return true;
    }
    out->found = true;
    if (!torn && verb != NULL && json_is_integer(generation) &&
        json_integer_value(generation) >= 0 && json_is_integer(activation) &&
        json_integer_value(activation) >= 0) {
        out->readable = true;
        out->not_taken = strcmp(verb, "not-taken") == 0;
        out->generation = (uint64_t)json_integer_value(generation);
        out->activation = (uint64_t)json_integer_value(activation);
    }
    json_decref(line);
    return torn;
}

bool audit_repair(struct audit *audit, char *error, size_t error_size)
{
    struct stat about;
    int why;
    bool ok;
    int fd =
        openat(audit->folder, AUDIT_FILE, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (fd < 0 && errno == ENOENT)
        return true;
    ok = fd >= 0 && fstat(fd, &about) == 0 && mend(fd, &about.st_size) && fsync(fd) == 0;
    why = errno;
    if (fd >= 0)
        (void)close(fd);
    errno = why;
    return ok || tell(error, error_size);
}

bool audit_last(struct audit *audit, struct audit_last *out, char *error, size_t error_size)
{
    char data[AUDIT_LINE_MAX];
    struct stat about;
    size_t len = 0;
    off_t end;
    bool aside = true;
    int fd = openat(audit->folder, AUDIT_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    *out = (struct audit_last){ .found = false };
    if (fd < 0 && errno == ENOENT)
        return true;
    if (fd < 0 || fstat(fd, &about) != 0 || !read_before(fd, about.st_size, data, &len)) {
        (void)snprintf(error, error_size, "cannot be read: %s", strerror(errno));
        if (fd >= 0)
            (void)close(fd);
        return false;
    }
    end = about.st_size - (off_t)unfinished(slice_of(data, len)).len;
    while (aside && end > 0 && read_before(fd, end, data, &len)) {
        struct slice line = unfinished(slice_of(data, len - 1));
        aside = read_line(line, out);
        end -= (off_t)line.len + 1;
    }
    (void)close(fd);
    return true;
}

/* -- Appending and owing ---------------------------------------------------------------------- */

bool audit_settle(struct audit *audit, char *error, size_t error_size)
{
    bool left;

    if (audit->owed_count == 0)
        return true;
    if (!append(audit->folder, slice_of(audit->owed, audit->owed_len), &left))
        return tell(error, error_size);
    audit->owed_count = 0;
    audit->owed_len = 0;
    return true;
}

enum audit_result audit_append(struct audit *audit, const struct audit_entry *entry, char *error,
                               size_t error_size)
{
    char line[AUDIT_LINE_MAX];
    size_t len = compose(entry, line);
    bool left = false;

    if (!audit_settle(audit, error, error_size))
        return AUDIT_FAILED;
    if (len == 0)
        errno = ENOMEM;
    else if (append(audit->folder, slice_of(line, len), &left))
        return AUDIT_DONE;
    (void)tell(error, error_size);
    return left ? AUDIT_LEFT : AUDIT_FAILED;
}

void audit_owe(struct audit *audit, const struct audit_entry *entry)
{
    size_t len;

    ensure(audit->owed_count < AUDIT_OWED_MAX);
    len = compose(entry, audit->owed + audit->owed_len);
    if (len == 0) {
        log_error("no memory for a line of the audit log: %s, generation %llu", entry->verb,
                  (unsigned long long)entry->to->generation);
        return;
    }
    audit->owed_len += len;
    audit->owed_count++;
}

bool audit_owes(const struct audit *audit)
{
    return audit->owed_count > 0;
}

bool audit_note(const char *state_dir, const char *by, const char *verb, const char *of,
                char *error, size_t error_size)
{
    struct audit_entry entry = {
        .by = by, .verb = verb, .of = of, .rollout = "", .reason = "", .time = clock_wall()
    };
    int folder = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char line[AUDIT_LINE_MAX];
    size_t len = compose(&entry, line);
    bool left;
    bool ok = folder >= 0 && len > 0 && append(folder, slice_of(line, len), &left);

    if (!ok)
        (void)tell(error, error_size);
    if (folder >= 0)
        (void)close(folder);
    return ok;
}
