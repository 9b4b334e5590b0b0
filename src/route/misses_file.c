#include "misses.h"

#include "crossfade/base/clock.h"
#include "crossfade/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NEW_FILE MISSES_FILE ".new"
#define ALL_LOST (UINT32_MAX >> 8)
/* How long a set's owner in another process may take: it is dead, or has it given up by then. */
#define OWNER_TRIES 20u

/* Empty where the system has none: equal to none then. */
static void read_boot_id(char out[MISSES_BOOT_ID])
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t len;

    memset(out, 0, MISSES_BOOT_ID);
    if (fd < 0)
        return;
    len = read(fd, out, MISSES_BOOT_ID - 1);
    if (len <= 0)
        out[0] = '\0';
    (void)close(fd);
}

bool misses_begin(struct misses *misses, unsigned set_count, uint64_t window, uint64_t now)
{
    struct misses_header *header = misses->header;

    misses->sets = (struct misses_set *)(void *)((char *)header + MISSES_HEADER);
    misses->set_count = set_count;
    memcpy(header->magic, MISSES_MAGIC, sizeof(header->magic));
    header->set_size = sizeof(struct misses_set);
    header->set_count = set_count;
    read_boot_id(header->boot_id);
    atomic_init(&header->window, window);
    atomic_init(&header->doubt_until, 0);
    atomic_init(&header->ticked, now);
    return getrandom(&header->seed, sizeof(header->seed), 0) == (ssize_t)sizeof(header->seed);
}

/* NULL with errno. */
static struct misses *map(int fd, size_t size)
{
    struct misses *misses = calloc(1, sizeof(*misses));

    if (misses == NULL)
        return NULL;
    misses->size = size;
    misses->header = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (misses->header == MAP_FAILED) {
        misses_destroy(misses);
        return NULL;
    }
    return misses;
}

/* An owner that ended there left the set as it was: anything of it may be half done. */
static void free_sets(struct misses *misses, uint64_t now)
{
    static const struct timespec moment = { .tv_nsec = 100000 };

    for (unsigned i = 0; i < misses->set_count; i++) {
        struct misses_set *set = &misses->sets[i];

        for (unsigned j = 0; j < OWNER_TRIES && atomic_load(&set->owner) != 0; j++)
            (void)nanosleep(&moment, NULL);
        if (atomic_load(&set->owner) == 0)
            continue;
        misses_lose(misses, set, ALL_LOST, now);
        for (unsigned j = 0; j < MISSES_WAYS; j++)
            atomic_store(&set->marks[j], 0);
        atomic_store(&set->owner, 0);
    }
}

/* What is in the file. NULL: why[] says what is wrong with it, and *until how long that is. */
static struct misses *use(int fd, unsigned set_count, uint64_t window, uint64_t now,
                          const char **why, uint64_t *until)
{
    struct stat about;
    struct misses *misses;
    char boot_id[MISSES_BOOT_ID];

    *until = now + window;
    *why = "is damaged, or something else";
    if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode) || about.st_size <= (off_t)MISSES_HEADER)
        return NULL;
    misses = map(fd, (size_t)about.st_size);
    if (misses == NULL)
        return NULL;
    misses->set_count = misses->header->set_count;
    misses->sets = (struct misses_set *)(void *)((char *)misses->header + MISSES_HEADER);
    read_boot_id(boot_id);
    if (memcmp(misses->header->magic, MISSES_MAGIC, sizeof(misses->header->magic)) == 0 &&
        misses->header->set_size == sizeof(struct misses_set) && misses->set_count > 0 &&
        (misses->set_count & (misses->set_count - 1)) == 0 &&
        misses->size == misses_size(misses->set_count) &&
        atomic_load(&misses->header->window) >= SECONDS(1)) {
        if (boot_id[0] == '\0' || memcmp(misses->header->boot_id, boot_id, sizeof(boot_id)) != 0) {
            *why = NULL;
            /* All in it is older than this start of the machine. */
            *until = boot_id[0] == '\0' ? now + window : window;
        } else if (misses->set_count != set_count) {
            *why = "has another size than cache.recent_misses";
        } else if (atomic_load(&misses->header->ticked) > now + SECONDS(1)) {
            *why = "is of another clock";
        } else {
            free_sets(misses, now);
            misses_set_window(misses, window, now);
            misses_tick(misses, now);
            return misses;
        }
    }
    misses_destroy(misses);
    return NULL;
}

/* An empty one, under its name when it is whole. NULL with errno. */
static struct misses *make(int folder, unsigned set_count, uint64_t window, uint64_t now)
{
    size_t size = misses_size(set_count);
    int fd = openat(folder, NEW_FILE, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    struct misses *misses = NULL;

    if (fd < 0)
        return NULL;
    /* All of it now: a full disk must not end the process later. */
    errno = posix_fallocate(fd, 0, (off_t)size);
    if (errno == 0)
        misses = map(fd, size);
    if (misses != NULL && (!misses_begin(misses, set_count, window, now) ||
                           renameat(folder, NEW_FILE, folder, MISSES_FILE) != 0)) {
        misses_destroy(misses);
        misses = NULL;
    }
    if (misses == NULL) {
        int cause = errno;
        (void)unlinkat(folder, NEW_FILE, 0);
        errno = cause;
    }
    (void)close(fd);
    return misses;
}

/* NULL with errno. */
static struct misses *open_in(int folder, const char *path, unsigned set_count, uint64_t window,
                              uint64_t now)
{
    int fd = openat(folder, MISSES_FILE, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct misses *misses = NULL;
    const char *why = NULL;
    uint64_t until = 0;

    if (fd < 0 && errno != ENOENT)
        return NULL;
    if (fd >= 0) {
        misses = use(fd, set_count, window, now, &why, &until);
        (void)close(fd);
    }
    if (misses != NULL)
        return misses;
    if (why != NULL)
        log_warn("the memory of misses begins empty: %s/" MISSES_FILE " %s; with coherence: epoch "
                 "no set is kept for cache.fill_window",
                 path, why);
    misses = make(folder, set_count, window, now);
    if (misses != NULL)
        misses_doubt_until(misses, until);
    return misses;
}

struct misses *misses_open(const char *folder, unsigned entries, uint64_t window, uint64_t now)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct misses *misses =
        fd >= 0 ? open_in(fd, folder, misses_sets_for(entries), window, now) : NULL;

    if (misses == NULL) {
        log_warn("the memory of misses ends with this process, as %s/" MISSES_FILE
                 " cannot be used: %s; with coherence: epoch no set is kept for cache.fill_window",
                 folder, strerror(errno));
        misses = misses_create(entries, window, now);
        if (misses != NULL)
            misses_doubt_until(misses, now + window);
    }
    if (fd >= 0)
        (void)close(fd);
    return misses;
}
