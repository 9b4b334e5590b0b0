/*
 * The journal in memory, and how it comes from the last process. What of a client's command goes
 * into it is decided in mc_journal_targets.c.
 *
 * Free slots are a stack, and so is what waits for each server: adding is a few atomic operations
 * on a worker, and whoever replays takes all that waits at once.
 */
#include "crossfade/relay/mc_journal.h"

#include "crossfade/base/clock.h"
#include "crossfade/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Processes that share a folder for a while: one that stops, and the next. */
#define FILES 8u
#define NEW_FILE JOURNAL_FILE ".new"
#define PATH_ROOM 4096
/* Between two lines about one server's floor. */
#define TELL_PAUSE 10u /* seconds */
/* What the operator has to know, and may do, of a server with a floor. */
#define FLOOR_MEANS                                                                                \
    "keys of coherence fanout there are misses until it is started anew, or flushed and "          \
    "\"crossfadectl forget-lost %s\" given"

struct mc_journal {
    struct journal_map map;
    char *state_dir;
    unsigned file;        /* which of FILES is ours */
    _Atomic uint64_t age; /* seconds */
    _Atomic uint64_t number;
    _Atomic uint64_t free;  /* a stack: its first slot + 1, and how often it was changed << 32 */
    _Atomic uint32_t *next; /* of each slot, in the stack that it is in: the next one + 1 */
    pthread_mutex_t names;  /* servers are being named */
    uint64_t default_floor;
    bool stuck[FILES]; /* cannot be read, nor set aside: it was said, once */
    struct mc_owed owed[JOURNAL_SERVERS];
};

static uint64_t wall_seconds(void)
{
    return clock_wall() / SECONDS(1);
}

/* -- Slots ------------------------------------------------------------------------------------- */

static uint32_t pop_free(struct mc_journal *journal)
{
    uint64_t before = atomic_load(&journal->free);
    uint64_t after;

    do {
        uint32_t first = (uint32_t)before;
        if (first == 0)
            return MC_JOURNAL_NONE;
        after = ((before >> 32) + 1) << 32 |
                atomic_load_explicit(&journal->next[first - 1], memory_order_relaxed);
    } while (!atomic_compare_exchange_weak(&journal->free, &before, after));
    return (uint32_t)before - 1;
}

static void push_free(struct mc_journal *journal, uint32_t slot)
{
    uint64_t before = atomic_load(&journal->free);

    do
        atomic_store_explicit(&journal->next[slot], (uint32_t)before, memory_order_relaxed);
    while (!atomic_compare_exchange_weak(&journal->free, &before,
                                         ((before >> 32) + 1) << 32 | (slot + 1)));
}

static void push(struct mc_journal *journal, struct mc_owed *owed, uint32_t slot)
{
    uint32_t before = atomic_load(&owed->head);

    do
        atomic_store_explicit(&journal->next[slot], before, memory_order_relaxed);
    while (!atomic_compare_exchange_weak(&owed->head, &before, slot + 1));
}

static void raise_floor(struct mc_journal *journal, struct mc_owed *owed, uint64_t floor)
{
    uint64_t before = atomic_load(&owed->floor);

    while (before < floor && !atomic_compare_exchange_weak(&owed->floor, &before, floor))
        continue;
    /* Of two that write at once both are right by a second. */
    journal_map_set_floor(&journal->map, owed->index, atomic_load(&owed->floor));
    (void)atomic_fetch_or(&owed->gate, MC_GATE_LOST);
}

static void say_lost(struct mc_owed *owed, uint64_t now, const char *why)
{
    uint64_t told = atomic_load(&owed->told);

    if (now < told + TELL_PAUSE || !atomic_compare_exchange_strong(&owed->told, &told, now))
        return;
    log_error("memcached server %s: invalidations for it are lost, %s: what it holds from before "
              "now is not believed; " FLOOR_MEANS,
              owed->name, why, owed->name);
}

/* -- What is owed ------------------------------------------------------------------------------ */

/* Of a gate that flaps a line is written once a second. */
static void enter(struct mc_owed *owed)
{
    uint64_t now;

    if ((uint32_t)atomic_fetch_add(&owed->gate, MC_GATE_ENTRY) != 0)
        return;
    now = wall_seconds();
    if (atomic_exchange(&owed->closed_at, now) == now)
        return;
    atomic_store(&owed->announced, true);
    log_warn("memcached server %s has not been told of invalidations: reads of isolated keys there "
             "are misses until it is",
             owed->name);
}

static void leave(struct mc_owed *owed)
{
    if ((uint32_t)atomic_fetch_sub(&owed->gate, MC_GATE_ENTRY) == MC_GATE_ENTRY &&
        atomic_exchange(&owed->announced, false))
        log_info("memcached server %s has been told of all invalidations", owed->name);
}

static void note_oldest(struct mc_owed *owed, uint64_t time)
{
    uint64_t before = atomic_load(&owed->oldest);

    while ((before == 0 || time < before) &&
           !atomic_compare_exchange_weak(&owed->oldest, &before, time))
        continue;
}

static bool add(struct mc_journal *journal, struct mc_owed *owed, struct journal_entry *entry)
{
    uint32_t slot = pop_free(journal);

    entry->server = owed->index;
    if (slot == MC_JOURNAL_NONE) {
        uint64_t now = wall_seconds();
        raise_floor(journal, owed, now);
        (void)atomic_fetch_add(&owed->overflows, 1);
        (void)atomic_fetch_add(&owed->dropped, 1);
        say_lost(owed, now, "as the journal is full");
        return false;
    }
    entry->number = atomic_fetch_add(&journal->number, 1);
    enter(owed); /* before anybody can take it away */
    journal_map_write(&journal->map, slot, entry);
    (void)atomic_fetch_add(&owed->entries, 1);
    push(journal, owed, slot);
    note_oldest(owed, entry->time); /* behind that: who has just taken all has forgotten it */
    return true;
}

bool mc_journal_add(struct mc_journal *journal, struct mc_owed *owed, unsigned dialect,
                    struct slice wire)
{
    struct journal_entry entry = { .time = wall_seconds(),
                                   .dialect = dialect,
                                   .wire_len = (unsigned)wire.len };

    ensure(wire.len > 0 && wire.len <= KEY_MAX);
    memcpy(entry.wire, wire.data, wire.len);
    return add(journal, owed, &entry);
}

void mc_owed_fence(struct mc_owed *owed)
{
    (void)atomic_fetch_add(&owed->gate, MC_GATE_FENCE);
}

void mc_owed_unfence(struct mc_owed *owed)
{
    (void)atomic_fetch_sub(&owed->gate, MC_GATE_FENCE);
}

bool mc_owed_forgot(const struct mc_owed *owed, uint64_t written)
{
    uint64_t floor = atomic_load(&owed->floor);

    return floor != 0 &&
           (written < floor + MC_JOURNAL_MARGIN || written > wall_seconds() + MC_JOURNAL_MARGIN);
}

/* -- For the replay ---------------------------------------------------------------------------- */

bool mc_journal_claim(struct mc_owed *owed)
{
    return !atomic_exchange(&owed->claimed, true);
}

void mc_journal_unclaim(struct mc_owed *owed)
{
    atomic_store(&owed->claimed, false);
}

uint32_t mc_journal_take(struct mc_journal *journal, struct mc_owed *owed)
{
    uint32_t last;
    uint32_t first = 0;

    atomic_store(&owed->oldest, 0); /* what comes from now on says so itself */
    last = atomic_exchange(&owed->head, 0);
    while (last != 0) {
        uint32_t before = atomic_load_explicit(&journal->next[last - 1], memory_order_relaxed);
        atomic_store_explicit(&journal->next[last - 1], first, memory_order_relaxed);
        first = last;
        last = before;
    }
    return first == 0 ? MC_JOURNAL_NONE : first - 1;
}

uint32_t mc_journal_next(const struct mc_journal *journal, uint32_t slot)
{
    uint32_t next = atomic_load_explicit(&journal->next[slot], memory_order_relaxed);

    return next == 0 ? MC_JOURNAL_NONE : next - 1;
}

void mc_journal_read(const struct mc_journal *journal, uint32_t slot, struct journal_entry *entry)
{
    journal_map_read(&journal->map, slot, entry);
}

void mc_journal_done(struct mc_journal *journal, struct mc_owed *owed, uint32_t slot)
{
    journal_map_free(&journal->map, slot);
    push_free(journal, slot);
    (void)atomic_fetch_add(&owed->replayed, 1);
    leave(owed);
}

void mc_journal_put_back(struct mc_journal *journal, struct mc_owed *owed, uint32_t slot)
{
    struct journal_entry entry;

    journal_map_read(&journal->map, slot, &entry);
    push(journal, owed, slot);
    note_oldest(owed, entry.time);
}

/* -- Servers ----------------------------------------------------------------------------------- */

/* The names are locked. */
static struct mc_owed *name_server(struct mc_journal *journal, const char *name)
{
    int index = journal_map_server(&journal->map, name);
    struct mc_owed *owed;

    if (index < 0)
        return NULL;
    owed = &journal->owed[index];
    if (owed->name != NULL)
        return owed;
    owed->index = (unsigned)index;
    owed->name = strdup(name);
    if (owed->name != NULL && journal->default_floor != 0)
        raise_floor(journal, owed, journal->default_floor);
    return owed->name != NULL ? owed : NULL;
}

struct mc_owed *mc_journal_owed(struct mc_journal *journal, const char *name)
{
    struct mc_owed *owed;

    (void)pthread_mutex_lock(&journal->names);
    owed = name_server(journal, name);
    (void)pthread_mutex_unlock(&journal->names);
    return owed;
}

/* What is lost at the same moment, by another thread, is lost after this. */
static void lower_floor(struct mc_journal *journal, struct mc_owed *owed)
{
    (void)atomic_fetch_and(&owed->gate, ~MC_GATE_LOST);
    journal_map_set_floor(&journal->map, owed->index, 0);
    if (atomic_load(&owed->floor) == 0)
        return;
    journal_map_set_floor(&journal->map, owed->index, atomic_load(&owed->floor));
    (void)atomic_fetch_or(&owed->gate, MC_GATE_LOST);
}

bool mc_journal_forget_lost(struct mc_journal *journal, const char *name)
{
    struct mc_owed *owed = mc_journal_owed(journal, name);

    if (owed == NULL || atomic_exchange(&owed->floor, 0) == 0)
        return false;
    lower_floor(journal, owed);
    return true;
}

bool mc_journal_renewed(struct mc_journal *journal, struct mc_owed *owed, uint64_t started)
{
    uint64_t floor = atomic_load(&owed->floor);

    if (floor == 0 || started <= floor || !atomic_compare_exchange_strong(&owed->floor, &floor, 0))
        return false;
    lower_floor(journal, owed);
    return true;
}

void mc_journal_show(const struct mc_owed *owed, struct mc_server_cell *cell)
{
    uint64_t oldest = atomic_load(&owed->oldest);
    uint64_t now = oldest > 0 ? wall_seconds() : 0;

    counter_set(&cell->journal_pending, mc_owed_pending(owed));
    counter_set(&cell->journal_oldest,
                now > oldest && mc_owed_pending(owed) > 0 ? now - oldest : 0);
    counter_set(&cell->journal_floor, atomic_load(&owed->floor));
    counter_set(&cell->journal_entries, atomic_load(&owed->entries));
    counter_set(&cell->journal_replayed, atomic_load(&owed->replayed));
    counter_set(&cell->journal_failures, atomic_load(&owed->failures));
    counter_set(&cell->journal_dropped, atomic_load(&owed->dropped));
    counter_set(&cell->journal_overflows, atomic_load(&owed->overflows));
    counter_set(&cell->fences, (uint32_t)((atomic_load(&owed->gate) & ~MC_GATE_LOST) >> 32));
}

void mc_journal_set_age(struct mc_journal *journal, uint64_t age)
{
    atomic_store(&journal->age, age / SECONDS(1));
}

/* -- Files of processes that have ended -------------------------------------------------------- */

static void path_of(const struct mc_journal *journal, unsigned file, char path[PATH_ROOM])
{
    if (file == 0)
        (void)snprintf(path, PATH_ROOM, "%s/" JOURNAL_FILE, journal->state_dir);
    else
        (void)snprintf(path, PATH_ROOM, "%s/" JOURNAL_FILE ".%u", journal->state_dir, file);
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = ((const struct journal_entry *)a)->number;
    uint64_t y = ((const struct journal_entry *)b)->number;

    return (x > y) - (x < y);
}

/* Takes over all that can be read; how many entries cannot. SIZE_MAX: nobody knows. */
static size_t take_over(struct mc_journal *journal, struct slice bytes, size_t *taken)
{
    struct mc_owed **servers = calloc(JOURNAL_SERVERS, sizeof(struct mc_owed *));
    struct journal_entry *entries;
    struct journal_image image;
    size_t count = 0;
    size_t lost;

    *taken = 0;
    if (!journal_image_open(bytes, &image) || servers == NULL) {
        free(servers);
        return SIZE_MAX;
    }
    lost = image.damaged;
    for (unsigned i = 0; i < JOURNAL_SERVERS; i++) {
        char name[JOURNAL_NAME];
        uint64_t floor;
        if (!journal_image_server(bytes, i, name, &floor))
            continue;
        servers[i] = mc_journal_owed(journal, name);
        if (floor != 0 && servers[i] != NULL)
            raise_floor(journal, servers[i], floor < wall_seconds() ? floor : wall_seconds());
    }
    entries = malloc((image.slots + 1) * sizeof(*entries));
    for (size_t i = 0; entries != NULL && i < image.slots; i++) {
        enum journal_slot slot = journal_image_slot(bytes, i, &entries[count]);
        bool known = slot == JOURNAL_SLOT_USED && entries[count].server < JOURNAL_SERVERS &&
                     servers[entries[count].server] != NULL;
        if (known)
            count++;
        else if (slot != JOURNAL_SLOT_FREE)
            lost++;
    }
    if (count > 0)
        qsort(entries, count, sizeof(*entries), by_number);
    for (size_t i = 0; entries != NULL && i < count; i++)
        *taken += add(journal, servers[entries[i].server], &entries[i]);
    if (entries == NULL || !image.whole)
        lost = SIZE_MAX;
    if (image.floor != 0)
        journal->default_floor = image.floor < wall_seconds() ? image.floor : wall_seconds();
    free(entries);
    free(servers);
    return lost;
}

/* From now on nothing of before is believed: of the servers that are known, and of those to come.
 */
static void distrust_all(struct mc_journal *journal)
{
    (void)pthread_mutex_lock(&journal->names);
    journal->default_floor = wall_seconds();
    journal_map_set_default_floor(&journal->map, journal->default_floor);
    for (unsigned i = 0; i < JOURNAL_SERVERS; i++)
        if (journal->owed[i].name != NULL)
            raise_floor(journal, &journal->owed[i], journal->default_floor);
    (void)pthread_mutex_unlock(&journal->names);
}

static void set_aside(struct mc_journal *journal, unsigned file, const char *path, size_t lost)
{
    char aside[PATH_ROOM + 32];

    (void)snprintf(aside, sizeof(aside), "%s.damaged-%llu", path,
                   (unsigned long long)wall_seconds());
    journal->stuck[file] = rename(path, aside) != 0;
    if (journal->stuck[file])
        (void)snprintf(aside, sizeof(aside), "%s", path);
    distrust_all(journal);
    if (lost == SIZE_MAX)
        log_error("%s is damaged, and is %s now: nobody knows which invalidations it has lost",
                  path, aside);
    else
        log_error("%s is damaged, and is %s now: %zu of its entries are lost", path, aside, lost);
    log_error("what any memcached server holds from before now is not believed; " FLOOR_MEANS,
              "ADDRESS");
}

/* The whole file, mapped; false with errno. An empty one has no bytes. */
static bool map_whole(int fd, struct slice *bytes)
{
    struct stat status;
    void *memory;

    if (fstat(fd, &status) != 0)
        return false;
    *bytes = slice_of("", 0);
    if (status.st_size <= 0)
        return true;
    memory = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (memory == MAP_FAILED)
        return false;
    *bytes = slice_of(memory, (size_t)status.st_size);
    return true;
}

/* A file that is there and that nobody uses any more. False: there is none. */
static bool absorb(struct mc_journal *journal, unsigned file, bool *in_use)
{
    char path[PATH_ROOM];
    struct slice bytes;
    size_t taken = 0;
    size_t lost;
    int fd;

    *in_use = false;
    if (journal->stuck[file])
        return false;
    path_of(journal, file, path);
    fd = open(path, O_RDWR | O_CLOEXEC);
    *in_use = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0;
    if (fd < 0 && errno == ENOENT)
        return false;
    if (*in_use) {
        (void)close(fd);
        return false;
    }
    if (fd < 0 || !map_whole(fd, &bytes)) {
        log_error("%s cannot be read: %s", path, strerror(errno));
        lost = SIZE_MAX;
    } else {
        lost = take_over(journal, bytes, &taken);
        if (bytes.len > 0)
            (void)munmap((void *)(uintptr_t)bytes.data, bytes.len);
    }
    if (lost > 0)
        set_aside(journal, file, path, lost);
    if (taken > 0)
        log_warn("%s: %zu invalidation%s that the process before has not delivered", path, taken,
                 taken == 1 ? "" : "s");
    if (fd >= 0)
        (void)close(fd);
    return lost == 0;
}

/* -- The whole --------------------------------------------------------------------------------- */

static bool begin(struct mc_journal *journal, const char *path, size_t size)
{
    if (!journal_map_create(&journal->map, path, size))
        return false;
    free(journal->next);
    journal->next = calloc(journal->map.slots, sizeof(*journal->next));
    if (journal->next == NULL) {
        journal_map_close(&journal->map);
        errno = ENOMEM;
        return false;
    }
    for (size_t i = journal->map.slots; i > 0; i--)
        push_free(journal, (uint32_t)(i - 1));
    return true;
}

/* A new file, which does not have its name yet; or, with a word in the log, none. */
static bool make(struct mc_journal *journal, const char *path, size_t size)
{
    if (journal->state_dir == NULL)
        return begin(journal, NULL, size);
    (void)unlink(path); /* of a start that was cut short: the folder is ours (generations_lock) */
    if (begin(journal, path, size))
        return true;
    log_error("%s: no room for the journal of undelivered invalidations: %s; until the next start "
              "it is in memory, and what it holds is lost with this process",
              path, strerror(errno));
    return begin(journal, NULL, size);
}

/* Which file is ours: the first that no other process uses. Those that nobody uses are read. */
static void adopt(struct mc_journal *journal, const char *new_path)
{
    bool absorbed[FILES];
    char path[PATH_ROOM];

    journal->file = FILES;
    for (unsigned i = 0; i < FILES; i++) {
        bool in_use;
        absorbed[i] = absorb(journal, i, &in_use);
        if (!in_use && journal->file == FILES)
            journal->file = i;
    }
    if (journal->map.fd < 0)
        return; /* what was there stays for the next start */
    path_of(journal, journal->file % FILES, path);
    if (journal->file == FILES || fdatasync(journal->map.fd) != 0 || rename(new_path, path) != 0) {
        log_error("%s cannot be put in its place: %s; what it holds is lost with this process",
                  new_path, strerror(errno));
        return;
    }
    for (unsigned i = 0; i < FILES; i++) {
        path_of(journal, i, path);
        if (absorbed[i] && i != journal->file)
            (void)unlink(path);
    }
}

static void report(const struct mc_journal *journal)
{
    for (unsigned i = 0; i < JOURNAL_SERVERS; i++) {
        const struct mc_owed *owed = &journal->owed[i];
        if (owed->name != NULL && atomic_load(&owed->floor) != 0)
            log_warn("memcached server %s: invalidations for it were lost; " FLOOR_MEANS,
                     owed->name, owed->name);
    }
}

struct mc_journal *mc_journal_open(const char *state_dir, uint64_t size, uint64_t age)
{
    struct mc_journal *journal = calloc(1, sizeof(*journal));
    char path[PATH_ROOM] = "";

    if (journal == NULL)
        return NULL;
    journal->map.fd = -1;
    (void)pthread_mutex_init(&journal->names, NULL);
    mc_journal_set_age(journal, age);
    if (state_dir != NULL) {
        journal->state_dir = strdup(state_dir);
        (void)snprintf(path, sizeof(path), "%s/" NEW_FILE, state_dir);
    }
    if ((state_dir != NULL && journal->state_dir == NULL) || !make(journal, path, size)) {
        mc_journal_close(journal);
        return NULL;
    }
    if (journal->state_dir != NULL)
        adopt(journal, path);
    report(journal);
    return journal;
}

void mc_journal_close(struct mc_journal *journal)
{
    if (journal == NULL)
        return;
    for (unsigned i = 0; i < JOURNAL_SERVERS; i++)
        free(journal->owed[i].name);
    journal_map_close(&journal->map);
    (void)pthread_mutex_destroy(&journal->names);
    free(journal->next);
    free(journal->state_dir);
    free(journal);
}

/* Entries of that server that are too old. */
static void expire(struct mc_journal *journal, struct mc_owed *owed, uint64_t now)
{
    uint64_t age = atomic_load(&journal->age);
    uint64_t oldest = atomic_load(&owed->oldest);
    uint32_t slot;

    if (oldest == 0 || now <= oldest + age || !mc_journal_claim(owed))
        return;
    slot = mc_journal_take(journal, owed);
    while (slot != MC_JOURNAL_NONE) {
        uint32_t next = mc_journal_next(journal, slot);
        struct journal_entry entry;

        mc_journal_read(journal, slot, &entry);
        if (now <= entry.time + age) {
            mc_journal_put_back(journal, owed, slot);
        } else {
            raise_floor(journal, owed, now);
            say_lost(owed, now, "as it could not be told for too long");
            (void)atomic_fetch_add(&owed->dropped, 1);
            journal_map_free(&journal->map, slot);
            push_free(journal, slot);
            leave(owed);
        }
        slot = next;
    }
    mc_journal_unclaim(owed);
}

void mc_journal_tick(struct mc_journal *journal)
{
    uint64_t now = wall_seconds();

    for (unsigned i = 0; i < JOURNAL_SERVERS; i++)
        if (mc_owed_pending(&journal->owed[i]) > 0)
            expire(journal, &journal->owed[i], now);
    if (journal->default_floor != 0 && now > journal->default_floor + atomic_load(&journal->age)) {
        (void)pthread_mutex_lock(&journal->names);
        journal->default_floor = 0;
        journal_map_set_default_floor(&journal->map, 0);
        (void)pthread_mutex_unlock(&journal->names);
    }
    for (unsigned i = 0; journal->map.fd >= 0 && i < FILES; i++) {
        char path[PATH_ROOM];
        bool in_use;
        if (i == journal->file || !absorb(journal, i, &in_use))
            continue;
        path_of(journal, i, path);
        (void)unlink(path);
    }
}
