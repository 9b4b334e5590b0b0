#include "crossfade/conf/users.h"

#include "faults.h"
#include "file.h"

#include <stdlib.h>

struct user {
    struct slice name;
    const char *hash;
    unsigned line;
};

struct users {
    char *text; /* a copy of the file: what the users point into */
    size_t text_len;
    struct user *users; /* by name */
    size_t count;
};

struct reading {
    struct users *users;
    struct config_faults *faults;
    unsigned line;
};

static const struct position whole_file = { 0, 0 };

void users_free(struct users *users)
{
    if (users == NULL)
        return;
    if (users->text != NULL)
        explicit_bzero(users->text, users->text_len);
    free(users->text);
    free(users->users);
    free(users);
}

static int compare(const void *left, const void *right)
{
    const struct user *a = left;
    const struct user *b = right;
    size_t least = a->name.len < b->name.len ? a->name.len : b->name.len;
    int order = memcmp(a->name.data, b->name.data, least);

    if (order != 0)
        return order;
    return a->name.len < b->name.len ? -1 : a->name.len > b->name.len;
}

/* By name, and those of one name in the order of the file. */
static int compare_lines(const void *left, const void *right)
{
    const struct user *a = left;
    const struct user *b = right;
    int order = compare(left, right);

    return order != 0 ? order : a->line < b->line ? -1 : 1;
}

static bool check_name(struct reading *reading, struct slice name)
{
    struct position at = { reading->line, 1 };

    if (name.len == 0 || name.len > USER_NAME_MAX) {
        faults_add(reading->faults, at, "the line has a name of %zu bytes; 1 to %u are allowed",
                   name.len, USER_NAME_MAX);
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        if ((unsigned char)name.data[i] <= ' ' || name.data[i] == 0x7f) {
            faults_add(
                reading->faults, at,
                "the line has white space or a control byte in the user's name; take it out");
            return false;
        }
    }
    return true;
}

/* `line` is in the copy, and its last byte is followed by one that may be overwritten. */
static void add_line(struct reading *reading, struct slice line)
{
    struct users *users = reading->users;
    struct position at = { reading->line, 1 };
    size_t colon = slice_find(line, ':');
    struct slice name = slice_of(line.data, colon);
    struct slice hash;
    struct why why;

    if (colon == line.len) {
        /* Nothing of it is shown: it may be a password. */
        faults_add(reading->faults, at, "the line has no colon; a line is USER:HASH");
        return;
    }
    hash = slice_of(line.data + colon + 1, line.len - colon - 1);
    if (!check_name(reading, name))
        return;
    if (!password_hash_check(hash, &why)) {
        faults_add(reading->faults, (struct position){ reading->line, (unsigned)colon + 2 },
                   "the password of this user %s", why.text);
        return;
    }
    if (users->count == USERS_MAX) {
        faults_add(reading->faults, at, "the line has one user too many; at most %u are allowed",
                   USERS_MAX);
        return;
    }
    *(char *)(uintptr_t)(hash.data + hash.len) = '\0';
    users->users[users->count++] =
        (struct user){ .name = name, .hash = hash.data, .line = reading->line };
}

static void check_twice(struct reading *reading)
{
    struct users *users = reading->users;
    char name[64];

    qsort(users->users, users->count, sizeof(*users->users), compare_lines);
    for (size_t i = 1; i < users->count; i++) {
        const struct user *user = &users->users[i];
        if (compare(&users->users[i - 1], user) == 0)
            faults_add(
                reading->faults, (struct position){ user->line, 1 },
                "the line has the user \"%s\", who stands on line %u already; take one of them out",
                slice_escape(user->name, name, sizeof(name)), users->users[i - 1].line);
    }
}

static void read_lines(struct reading *reading)
{
    struct users *users = reading->users;
    struct file_lines lines = { .rest = slice_of(users->text, users->text_len) };
    struct slice line;
    size_t before = reading->faults->count;

    while (file_next_line(&lines, &line)) {
        reading->line = lines.number;
        if (line.len == 0 || line.data[0] == '#')
            continue;
        if (reading->faults->count < FAULTS_MAX)
            add_line(reading, line);
    }
    if (users->count == 0 && reading->faults->count == before)
        faults_add(reading->faults, whole_file,
                   "there is no user in it, so that nobody could log in; add lines USER:HASH");
    else if (users->count > 0)
        check_twice(reading);
}

/* NULL without memory. */
static struct users *create(const char *text, size_t len)
{
    struct users *users = calloc(1, sizeof(*users));
    size_t lines = 1;

    for (size_t i = 0; i < len; i++)
        lines += text[i] == '\n';
    if (users == NULL)
        return NULL;
    users->text = malloc(len + 1);
    users->users = calloc(lines < USERS_MAX ? lines : USERS_MAX, sizeof(*users->users));
    if (users->text == NULL || users->users == NULL) {
        users_free(users);
        return NULL;
    }
    if (len > 0)
        memcpy(users->text, text, len);
    users->text[len] = '\0';
    users->text_len = len;
    return users;
}

struct users *users_parse(const char *text, size_t len, struct config_faults *faults)
{
    struct reading reading = { .faults = faults };

    if (!faults_begin(faults))
        return NULL;
    if (len > FILE_MAX)
        faults_add(faults, whole_file, "the file is larger than %zu bytes", FILE_MAX);
    else if ((reading.users = create(text, len)) == NULL)
        faults_no_memory(faults);
    else
        read_lines(&reading);
    faults_end(faults);
    if (faults->count == 0)
        return reading.users;
    users_free(reading.users);
    return NULL;
}

struct users *users_load(const char *path, struct config_faults *faults)
{
    struct users *users = NULL;
    size_t len;
    char *text = file_load(path, FILE_REGULAR, &len, faults);

    if (text != NULL)
        users = users_parse(text, len, faults);
    file_forget(text, len);
    return users;
}

size_t users_count(const struct users *users)
{
    return users->count;
}

const char *users_hash(const struct users *users, struct slice name)
{
    struct user wanted = { .name = name };
    const struct user *user;

    if (name.len == 0)
        return NULL;
    user = bsearch(&wanted, users->users, users->count, sizeof(wanted), compare);
    return user != NULL ? user->hash : NULL;
}

const char *users_decoy(const struct users *users)
{
    return users->users[0].hash;
}
