#include "crossfade/rollout/state_file.h"

#include "crossfade/route/digest.h"
#include "file.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FORMAT 1
#define TEMPORARY STATE_FILE ".new"
#define REACH_MAX 1000 /* more stages than any configuration may have */
#define MEMBERS 15u    /* of the object */

static void hexadecimal(const uint8_t *data, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < len; i++) {
        *out++ = digits[data[i] >> 4];
        *out++ = digits[data[i] & 15];
    }
    *out = '\0';
}

void rollout_origin_of(const struct config *config, struct rollout_origin *out)
{
    const struct config_rollout *rollout = &config->rollout;
    struct digest_key key;
    uint8_t mac[DIGEST_SIZE];

    text_keep(out->name, sizeof(out->name), rollout->name);
    text_keep(out->from, sizeof(out->from), config->arms[rollout->from].name);
    text_keep(out->to, sizeof(out->to), config->arms[rollout->to].name);
    digest_key_set(&key, slice_string(rollout->salt));
    digest_hmac(&key, SLICE("crossfade salt fingerprint 1"), mac);
    hexadecimal(mac, 16, out->salt);
}

/* -- Reading ---------------------------------------------------------------------------------- */

/* One pass over the members; the first fault stops it and is told. */
struct reader {
    const json_t *object;
    char *error;
    size_t error_size;
    bool failed;
};

static void fail(struct reader *reader, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void fail(struct reader *reader, const char *format, ...)
{
    va_list arguments;

    if (reader->failed)
        return;
    reader->failed = true;
    va_start(arguments, format);
    (void)vsnprintf(reader->error, reader->error_size, format, arguments);
    va_end(arguments);
}

static const json_t *member(struct reader *reader, const char *name)
{
    const json_t *value = reader->failed ? NULL : json_object_get(reader->object, name);

    if (value == NULL)
        fail(reader, "has no member \"%s\"", name);
    return value;
}

static void read_text(struct reader *reader, const char *name, char *out, size_t size)
{
    const json_t *value = member(reader, name);

    if (value == NULL)
        return;
    if (!json_is_string(value) || json_string_length(value) >= size) {
        fail(reader, "has a member \"%s\" that is no text of at most %zu bytes", name, size - 1);
        return;
    }
    text_keep(out, size, json_string_value(value));
    if (strcmp(out, json_string_value(value)) != 0)
        fail(reader, "has a member \"%s\" with control characters in it", name);
}

static void read_number(struct reader *reader, const char *name, uint64_t *out)
{
    const json_t *value = member(reader, name);

    if (value == NULL)
        return;
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        fail(reader, "has a member \"%s\" that is no whole number from zero up", name);
    else
        *out = (uint64_t)json_integer_value(value);
}

static void read_reach(struct reader *reader, const char *name, int *out)
{
    const json_t *value = member(reader, name);

    if (value == NULL)
        return;
    if (!json_is_integer(value) || json_integer_value(value) < -1 ||
        json_integer_value(value) > REACH_MAX)
        fail(reader, "has a member \"%s\" that is no index of a stage", name);
    else
        *out = (int)json_integer_value(value);
}

static void read_percent(struct reader *reader, const char *name, uint32_t *out)
{
    const json_t *value = member(reader, name);
    double steps;
    double off = 1;

    if (value == NULL)
        return;
    steps = json_is_number(value) ? json_number_value(value) * PERCENT_ONE : -1;
    if (steps >= 0 && steps <= PERCENT_ALL) {
        *out = (uint32_t)(steps + 0.5);
        off = steps - *out;
    }
    if (off < -1e-6 || off > 1e-6)
        fail(reader, "has a member \"%s\" that is no number from 0 to 100 of at most four decimals",
             name);
}

static void read_state(struct reader *reader, enum rollout_state *out)
{
    char name[16];

    read_text(reader, "state", name, sizeof(name));
    for (int state = ROLLOUT_IDLE; !reader->failed && state <= ROLLOUT_ABORTED; state++)
        if (strcmp(name, rollout_state_name((enum rollout_state)state)) == 0) {
            *out = (enum rollout_state)state;
            return;
        }
    fail(reader, "has a state that is none of idle, running, paused, held, promoted and aborted");
}

static void read_members(struct reader *reader, struct saved_state *out)
{
    struct rollout_origin *origin = &out->origin;
    struct rollout_status *status = &out->status;
    uint64_t format = 0;

    read_number(reader, "format", &format);
    if (!reader->failed && format != FORMAT)
        fail(reader, "is of format %llu, and this version of crossfade knows format %d only",
             (unsigned long long)format, FORMAT);
    read_text(reader, "rollout", origin->name, sizeof(origin->name));
    read_text(reader, "from", origin->from, sizeof(origin->from));
    read_text(reader, "to", origin->to, sizeof(origin->to));
    read_text(reader, "salt", origin->salt, sizeof(origin->salt));
    read_state(reader, &status->state);
    read_text(reader, "stage", status->stage_name, sizeof(status->stage_name));
    read_reach(reader, "reach", &out->reach);
    read_percent(reader, "percent", &status->percent);
    read_number(reader, "generation", &status->generation);
    read_number(reader, "activation", &status->activation);
    read_number(reader, "stage_since", &status->stage_since);
    read_number(reader, "changed", &status->changed);
    read_text(reader, "reason", status->reason, sizeof(status->reason));
    read_text(reader, "by", status->by, sizeof(status->by));
    if (!reader->failed && json_object_size(reader->object) != MEMBERS)
        fail(reader, "has members that this version of crossfade does not know");
}

/* What no single member shows. */
static void check(struct reader *reader, const struct saved_state *state)
{
    const struct rollout_status *status = &state->status;
    bool staged = status->state != ROLLOUT_IDLE;

    if (reader->failed)
        return;
    if (staged != (status->stage_name[0] != '\0'))
        fail(reader,
             staged ? "has no stage, which its state needs" : "has a stage while it is idle");
    else if (status->percent > 0 && (!staged || status->state == ROLLOUT_ABORTED))
        fail(reader, "has a percentage, which its state does not go with");
    else if (status->state == ROLLOUT_PROMOTED && status->percent != PERCENT_ALL)
        fail(reader, "is promoted, but not at 100 %%");
    else if (staged && (status->generation == 0 || status->activation == 0))
        fail(reader, "is under way, but was never started");
    else if (status->activation > status->generation)
        fail(reader, "has a higher activation than generation");
    else if (state->origin.name[0] == '\0' || strlen(state->origin.salt) != 32 ||
             state->origin.from[0] == '\0' || state->origin.to[0] == '\0')
        fail(reader, "does not say which rollout it belongs to");
}

bool state_parse(struct slice text, struct saved_state *out, char *error, size_t error_size)
{
    json_error_t fault;
    json_t *root = NULL;
    struct reader reader = { .error = error, .error_size = error_size };

    *out = (struct saved_state){ .status = { .stage = -1 }, .reach = -1 };
    if (text.len == 0)
        fail(&reader, "is empty");
    else if (text.len > STATE_FILE_MAX)
        fail(&reader, "is larger than %u bytes", STATE_FILE_MAX);
    else if ((root = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, &fault)) == NULL)
        fail(&reader, "is no JSON: %s in line %d", fault.text, fault.line);
    else if (!json_is_object(root))
        fail(&reader, "holds no JSON object");
    reader.object = root;
    read_members(&reader, out);
    check(&reader, out);
    json_decref(root);
    return !reader.failed;
}

enum state_found state_file_load(int folder, struct saved_state *out, char *error,
                                 size_t error_size)
{
    char text[STATE_FILE_MAX + 1];
    size_t len = 0;
    ssize_t got = 0;
    struct stat about;
    /* Not blocking, in case that somebody put a pipe there. */
    int fd = openat(folder, STATE_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (fd < 0 && errno == ENOENT)
        return STATE_ABSENT;
    if (fd < 0 || fstat(fd, &about) != 0) {
        (void)snprintf(error, error_size, "cannot be read: %s", strerror(errno));
    } else if (!S_ISREG(about.st_mode)) {
        (void)snprintf(error, error_size, "is no regular file");
    } else {
        while (len < sizeof(text) && (got = read(fd, text + len, sizeof(text) - len)) > 0)
            len += (size_t)got;
        if (got < 0)
            (void)snprintf(error, error_size, "cannot be read: %s", strerror(errno));
        else if (state_parse(slice_of(text, len), out, error, error_size)) {
            (void)close(fd);
            return STATE_FOUND;
        }
    }
    if (fd >= 0)
        (void)close(fd);
    return STATE_BROKEN;
}

/* -- Writing ---------------------------------------------------------------------------------- */

char *state_print(const struct saved_state *state)
{
    const struct rollout_origin *origin = &state->origin;
    const struct rollout_status *status = &state->status;
    json_t *root = json_pack(
        "{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:f, s:I, s:I, s:I, s:I, s:s, s:s}", "format",
        FORMAT, "rollout", origin->name, "from", origin->from, "to", origin->to, "salt",
        origin->salt, "state", rollout_state_name(status->state), "stage", status->stage_name,
        "reach", state->reach, "percent", (double)status->percent / PERCENT_ONE, "generation",
        (json_int_t)status->generation, "activation", (json_int_t)status->activation, "stage_since",
        (json_int_t)status->stage_since, "changed", (json_int_t)status->changed, "reason",
        status->reason, "by", status->by);
    char *text = NULL;

    if (root != NULL)
        text = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    json_decref(root);
    return text;
}

static bool write_temporary(int folder, struct slice text)
{
    int fd = openat(folder, TEMPORARY, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
    bool ok;

    if (fd < 0)
        return false;
    ok = file_write(fd, text) && file_write(fd, SLICE("\n")) && fsync(fd) == 0;
    if (!ok) {
        int why = errno;
        (void)close(fd);
        errno = why;
        return false;
    }
    return close(fd) == 0;
}

enum state_written state_file_save(int folder, const struct saved_state *state, char *error,
                                   size_t error_size)
{
    char *text = state_print(state);

    if (text == NULL) {
        (void)snprintf(error, error_size, "cannot be written: out of memory");
        return STATE_NOT_WRITTEN;
    }
    if (!write_temporary(folder, slice_string(text)) ||
        renameat(folder, TEMPORARY, folder, STATE_FILE) != 0) {
        (void)snprintf(error, error_size, "cannot be written: %s", strerror(errno));
        (void)unlinkat(folder, TEMPORARY, 0);
        free(text);
        return STATE_NOT_WRITTEN;
    }
    free(text);
    if (!file_sync_folder(folder)) {
        (void)snprintf(error, error_size, "cannot be made durable: %s", strerror(errno));
        return STATE_IN_DOUBT;
    }
    return STATE_WRITTEN;
}
