#include "crossfade/rollout/generations.h"

#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEMPORARY GENERATIONS_FILE ".new"
#define ARMS_MAX 4096u                /* ever named in one state folder: some name each release */
#define FILE_MAX (2u * 1024u * 1024u) /* bytes */

struct entry {
    char *arm;
    char *namespace; /* at its last change; NULL: a file of before has not said */
    uint64_t generation;
    uint64_t due;
};

struct generations {
    char *state_dir;
    int lock;      /* -1: none */
    bool released; /* to whoever comes next */
    struct entry entries[ARMS_MAX];
    size_t count;
};

static struct entry *find(const struct generations *generations, const char *arm)
{
    for (size_t i = 0; i < generations->count; i++)
        if (strcmp(generations->entries[i].arm, arm) == 0)
            return (struct entry *)(uintptr_t)&generations->entries[i];
    return NULL;
}

static struct entry *add(struct generations *generations, const char *arm)
{
    struct entry *entry = &generations->entries[generations->count];

    if (generations->count == ARMS_MAX || (entry->arm = strdup(arm)) == NULL)
        return NULL;
    entry->namespace = NULL;
    entry->generation = 0;
    entry->due = 0;
    generations->count++;
    return entry;
}

static void forget(struct generations *generations)
{
    for (size_t i = 0; i < generations->count; i++) {
        free(generations->entries[i].arm);
        free(generations->entries[i].namespace);
    }
    generations->count = 0;
}

/* A whole number from 0 to `most`. */
static bool take_number(const json_t *object, const char *name, uint64_t most, uint64_t *out)
{
    const json_t *value = json_object_get(object, name);
    json_int_t n = json_integer_value(value);

    if (!json_is_integer(value) || n < 0 || (uint64_t)n > most)
        return false;
    *out = (uint64_t)n;
    return true;
}

/* Files of before have none. */
static bool take_namespace(const json_t *object, struct entry *entry)
{
    const json_t *value = json_object_get(object, "namespace");

    if (value == NULL)
        return true;
    entry->namespace = json_is_string(value) ? strdup(json_string_value(value)) : NULL;
    return entry->namespace != NULL;
}

static bool take_arms(struct generations *generations, json_t *root, char *error, size_t error_size)
{
    json_t *arms = json_object_get(root, "arms");
    const char *arm;
    json_t *value;
    uint64_t format;

    if (!json_is_object(root) || !take_number(root, "format", 1, &format) || format != 1 ||
        !json_is_object(arms)) {
        (void)snprintf(error, error_size, "is not of the form that this version writes");
        return false;
    }
    json_object_foreach(arms, arm, value)
    {
        struct entry *entry = add(generations, arm);
        if (entry == NULL || !json_is_object(value) ||
            !take_number(value, "generation", GENERATIONS_MAX, &entry->generation) ||
            !take_number(value, "due", INT64_MAX, &entry->due) || !take_namespace(value, entry)) {
            (void)snprintf(error, error_size, "has no valid generation for the arm %.64s", arm);
            return false;
        }
    }
    return true;
}

bool generations_parse(struct generations *generations, struct slice text, char *error,
                       size_t error_size)
{
    json_error_t where;
    json_t *root = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, &where);
    bool ok;

    forget(generations);
    if (root == NULL) {
        (void)snprintf(error, error_size, "is no JSON: line %d: %s", where.line, where.text);
        return false;
    }
    ok = take_arms(generations, root, error, error_size);
    if (!ok)
        forget(generations);
    json_decref(root);
    return ok;
}

/* The file as a whole; absent: an empty text that is not parsed. False with errno. */
static bool read_file(const char *path, char **text, size_t *len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = 0;

    *text = NULL;
    *len = 0;
    if (fd < 0)
        return errno == ENOENT;
    *text = malloc(FILE_MAX + 1);
    while (*text != NULL && *len <= FILE_MAX &&
           (got = read(fd, *text + *len, FILE_MAX + 1 - *len)) > 0)
        *len += (size_t)got;
    (void)close(fd);
    if (*text == NULL || got < 0)
        return false;
    errno = EFBIG;
    return *len <= FILE_MAX;
}

static bool load(struct generations *generations, char *error, size_t error_size)
{
    char path[4096];
    char why[256];
    char *text = NULL;
    size_t len = 0;
    bool ok = true;

    forget(generations);
    (void)snprintf(path, sizeof(path), "%s/" GENERATIONS_FILE, generations->state_dir);
    if (!read_file(path, &text, &len)) {
        (void)snprintf(why, sizeof(why), "cannot be read: %s", strerror(errno));
        ok = false;
    } else if (text != NULL) {
        ok = generations_parse(generations, slice_of(text, len), why, sizeof(why));
    }
    free(text);
    if (!ok)
        (void)snprintf(error, error_size,
                       "%s %s; put it right, or remove it after a real flush of the memcached "
                       "servers (without it entries that were flushed come back)",
                       path, why);
    return ok;
}

struct generations *generations_open(const char *state_dir, char *error, size_t error_size)
{
    struct generations *generations = calloc(1, sizeof(*generations));

    if (generations == NULL || (generations->state_dir = strdup(state_dir)) == NULL) {
        (void)snprintf(error, error_size, "out of memory");
        free(generations);
        return NULL;
    }
    generations->lock = -1;
    if (load(generations, error, error_size))
        return generations;
    generations_close(generations);
    return NULL;
}

bool generations_lock(struct generations *generations, char *error, size_t error_size)
{
    const char *path = generations->state_dir;
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (folder >= 0) {
        generations->lock = file_lock(folder, path, GENERATIONS_LOCK, error, error_size);
        if (generations->lock < 0 && errno == EWOULDBLOCK) {
            (void)close(folder);
            return false;
        }
        (void)close(folder);
    }
    return load(generations, error, error_size);
}

void generations_release(struct generations *generations)
{
    if (generations->lock >= 0)
        (void)close(generations->lock);
    generations->lock = -1;
    generations->released = true;
}

void generations_close(struct generations *generations)
{
    if (generations == NULL)
        return;
    generations_release(generations);
    forget(generations);
    free(generations->state_dir);
    free(generations);
}

const char *generations_folder(const struct generations *generations)
{
    return generations->state_dir;
}

/* The highest of the arms that had this namespace last. */
static uint64_t of_namespace(const struct generations *generations, const char *namespace)
{
    uint64_t highest = 0;

    for (size_t i = 0; i < generations->count; i++) {
        const struct entry *entry = &generations->entries[i];
        if (entry->namespace != NULL && strcmp(entry->namespace, namespace) == 0 &&
            entry->generation > highest)
            highest = entry->generation;
    }
    return highest;
}

static uint64_t of_arm(const struct generations *generations, const struct config_arm *arm)
{
    const struct entry *entry = find(generations, arm->name);
    uint64_t own = entry != NULL ? entry->generation : 0;
    uint64_t others = of_namespace(generations, arm->namespace);

    return own > others ? own : others;
}

void generations_fill(const struct generations *generations, const struct config *config,
                      uint64_t *out)
{
    for (size_t i = 0; i < config->arm_count; i++)
        out[i] = of_arm(generations, &config->arms[i]);
}

char *generations_print(const struct generations *generations)
{
    json_t *arms = json_object();
    json_t *root;
    char *text;

    for (size_t i = 0; i < generations->count; i++) {
        const struct entry *entry = &generations->entries[i];
        json_t *arm;
        if (entry->generation == 0 && entry->due == 0)
            continue;
        arm = json_pack("{s:I, s:I}", "generation", (json_int_t)entry->generation, "due",
                        (json_int_t)entry->due);
        if (entry->namespace != NULL)
            (void)json_object_set_new(arm, "namespace", json_string(entry->namespace));
        (void)json_object_set_new(arms, entry->arm, arm);
    }
    root = json_pack("{s:i, s:o}", "format", 1, "arms", arms);
    text = root != NULL ? json_dumps(root, JSON_INDENT(2)) : NULL;
    json_decref(root);
    return text;
}

static bool write_new(int folder, struct slice text)
{
    int fd = openat(folder, TEMPORARY, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    bool ok;

    if (fd < 0)
        return false;
    ok = file_write(fd, text) && fsync(fd) == 0;
    if (close(fd) != 0)
        ok = false;
    return ok && renameat(folder, TEMPORARY, folder, GENERATIONS_FILE) == 0 &&
           file_sync_folder(folder);
}

static bool save(const struct generations *generations, char *error, size_t error_size)
{
    int folder = open(generations->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char *text = generations_print(generations);
    bool ok = folder >= 0 && text != NULL && write_new(folder, slice_string(text));

    if (!ok)
        (void)snprintf(error, error_size, "%s/" GENERATIONS_FILE " cannot be written: %s",
                       generations->state_dir, text == NULL ? "out of memory" : strerror(errno));
    free(text);
    if (folder >= 0)
        (void)close(folder);
    return ok;
}

/* Makes the change, or leaves all as it was. */
static bool change(struct generations *generations, const struct config_arm *arm, bool raise,
                   const uint64_t *due, char *error, size_t error_size)
{
    uint64_t generation = of_arm(generations, arm);
    struct entry *entry = find(generations, arm->name);
    char *namespace = strdup(arm->namespace);
    struct entry before;

    if (generations->released)
        (void)snprintf(error, error_size, "the daemon is stopping");
    else if (raise && generation == GENERATIONS_MAX)
        (void)snprintf(error, error_size,
                       "the arm has no generation left; give it another namespace");
    else if (namespace == NULL || (entry == NULL && (entry = add(generations, arm->name)) == NULL))
        (void)snprintf(error, error_size,
                       "too many arms have had a generation: take those whose entries are long "
                       "gone out of " GENERATIONS_FILE);
    else {
        before = *entry;
        entry->namespace = namespace;
        entry->generation = generation + (raise ? 1 : 0);
        entry->due = due != NULL ? *due : entry->due;
        if (save(generations, error, error_size)) {
            free(before.namespace);
            return true;
        }
        *entry = before;
    }
    free(namespace);
    return false;
}

bool generations_raise(struct generations *generations, const struct config_arm *arm, char *error,
                       size_t error_size)
{
    const uint64_t none = 0;
    return change(generations, arm, true, &none, error, error_size);
}

bool generations_begin(struct generations *generations, const struct config_arm *arm,
                       uint64_t *generation, char *error, size_t error_size)
{
    if (!change(generations, arm, true, NULL, error, error_size))
        return false;
    *generation = of_arm(generations, arm);
    return true;
}

bool generations_schedule(struct generations *generations, const struct config_arm *arm,
                          uint64_t due, char *error, size_t error_size)
{
    return change(generations, arm, false, &due, error, error_size);
}

const char *generations_next(const struct generations *generations, uint64_t *due)
{
    const struct entry *next = NULL;

    for (size_t i = 0; i < generations->count; i++) {
        const struct entry *entry = &generations->entries[i];
        if (entry->due != 0 && (next == NULL || entry->due < next->due))
            next = entry;
    }
    if (next == NULL)
        return NULL;
    *due = next->due;
    return next->arm;
}
