#include "crossfade/relay/mc_journal_file.h"

#include "crossfade/base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#define WORD sizeof(uint64_t)

/* The head: magic, size, a checksum of both, the floor of those that are not in the table. */
#define MAGIC 0x0a314c4e524a4643u /* "CFJRNL1\n" */
#define HEAD_WORDS 8u
enum { HEAD_MAGIC, HEAD_SIZE, HEAD_CHECK, HEAD_FLOOR };

/* A server: a checksum of its name, 0: none; the floor; the name. */
#define SERVER_WORDS 40u
enum { SERVER_CHECK, SERVER_FLOOR, SERVER_NAME };
#define SLOTS_AT (HEAD_WORDS + JOURNAL_SERVERS * SERVER_WORDS)

/* A slot: a checksum, 0: free; number, time, server | dialect << 16 | length << 32; the key. */
#define SLOT_WORDS 36u
enum { SLOT_CHECK, SLOT_NUMBER, SLOT_TIME, SLOT_WHAT, SLOT_KEY };

_Static_assert((SERVER_WORDS - SERVER_NAME) * WORD >= JOURNAL_NAME, "a name fits");
_Static_assert((SLOT_WORDS - SLOT_KEY) * WORD >= KEY_MAX, "a key fits");

static size_t words_for(size_t bytes)
{
    return (bytes + WORD - 1) / WORD;
}

static uint64_t checksum(const uint64_t *words, size_t count)
{
    return hash_bytes(MAGIC, words, count * WORD) | 1;
}

/* A time with a check of itself, so that it is written in one store. */
static uint64_t seal(uint64_t floor)
{
    return floor == 0 ? 0 : floor << 16 | (hash_mix(floor ^ MAGIC) & 0xffff);
}

/* A floor that is damaged is the latest that there can be. */
static uint64_t unseal(uint64_t sealed)
{
    uint64_t floor = sealed >> 16;

    return sealed == seal(floor) ? floor : UINT64_MAX >> 16;
}

/* -- An image ---------------------------------------------------------------------------------- */

static bool words_at(struct slice bytes, size_t at, uint64_t *out, size_t count)
{
    if (bytes.len / WORD < at + count)
        return false;
    memcpy(out, bytes.data + at * WORD, count * WORD);
    return true;
}

bool journal_image_open(struct slice bytes, struct journal_image *image)
{
    uint64_t head[HEAD_WORDS];
    uint64_t words[SERVER_WORDS];

    *image = (struct journal_image){ .whole = false };
    if (!words_at(bytes, 0, head, HEAD_WORDS) || head[HEAD_MAGIC] != MAGIC)
        return false;
    image->floor = unseal(head[HEAD_FLOOR]);
    image->whole = head[HEAD_CHECK] == checksum(head, HEAD_CHECK) && head[HEAD_SIZE] == bytes.len &&
                   bytes.len >= (SLOTS_AT + SLOT_WORDS) * WORD;
    image->slots = bytes.len / WORD < SLOTS_AT ? 0 : (bytes.len / WORD - SLOTS_AT) / SLOT_WORDS;
    for (unsigned i = 0; i < JOURNAL_SERVERS; i++) {
        char name[JOURNAL_NAME];
        uint64_t floor;
        if (words_at(bytes, HEAD_WORDS + i * SERVER_WORDS, words, SERVER_WORDS) &&
            words[SERVER_CHECK] != 0 && !journal_image_server(bytes, i, name, &floor))
            image->damaged++;
    }
    return true;
}

bool journal_image_server(struct slice bytes, unsigned index, char name[JOURNAL_NAME],
                          uint64_t *floor)
{
    uint64_t words[SERVER_WORDS];

    if (index >= JOURNAL_SERVERS ||
        !words_at(bytes, HEAD_WORDS + index * SERVER_WORDS, words, SERVER_WORDS) ||
        words[SERVER_CHECK] == 0 ||
        words[SERVER_CHECK] != checksum(&words[SERVER_NAME], JOURNAL_NAME / WORD))
        return false;
    memcpy(name, &words[SERVER_NAME], JOURNAL_NAME);
    *floor = unseal(words[SERVER_FLOOR]);
    return name[0] != '\0' && memchr(name, '\0', JOURNAL_NAME) != NULL;
}

/* words[]: a slot. */
static enum journal_slot take(const uint64_t *words, struct journal_entry *entry)
{
    uint64_t what = words[SLOT_WHAT];

    if (words[SLOT_CHECK] == 0)
        return JOURNAL_SLOT_FREE;
    entry->number = words[SLOT_NUMBER];
    entry->time = words[SLOT_TIME];
    entry->server = what & 0xffff;
    entry->dialect = what >> 16 & 0xffff;
    if (what >> 32 == 0 || what >> 32 > KEY_MAX)
        return JOURNAL_SLOT_DAMAGED;
    entry->wire_len = (unsigned)(what >> 32);
    if (words[SLOT_CHECK] !=
        checksum(&words[SLOT_NUMBER], SLOT_KEY - SLOT_NUMBER + words_for(entry->wire_len)))
        return JOURNAL_SLOT_DAMAGED;
    memcpy(entry->wire, &words[SLOT_KEY], entry->wire_len);
    return JOURNAL_SLOT_USED;
}

enum journal_slot journal_image_slot(struct slice bytes, size_t index, struct journal_entry *entry)
{
    uint64_t words[SLOT_WORDS];

    if (index >= bytes.len || !words_at(bytes, SLOTS_AT + index * SLOT_WORDS, words, SLOT_WORDS))
        return JOURNAL_SLOT_FREE;
    return take(words, entry);
}

/* -- A file in use ----------------------------------------------------------------------------- */

size_t journal_size_for(size_t slots)
{
    return (SLOTS_AT + slots * SLOT_WORDS) * WORD;
}

static _Atomic uint64_t *server_at(const struct journal_map *map, unsigned index)
{
    return map->words + HEAD_WORDS + index * SERVER_WORDS;
}

static _Atomic uint64_t *slot_at(const struct journal_map *map, size_t index)
{
    return map->words + SLOTS_AT + index * SLOT_WORDS;
}

static void put(_Atomic uint64_t *at, const uint64_t *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        atomic_store_explicit(&at[i], words[i], memory_order_relaxed);
}

static void get(const _Atomic uint64_t *at, uint64_t *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        words[i] = atomic_load_explicit(&at[i], memory_order_relaxed);
}

static int create_file(const char *path, size_t size)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int failure;

    if (fd < 0)
        return -1;
    /* Locked before it has its name: nobody can come in between. */
    failure = flock(fd, LOCK_EX | LOCK_NB) != 0 ? errno : posix_fallocate(fd, 0, (off_t)size);
    if (failure == 0)
        return fd;
    (void)close(fd);
    (void)unlink(path);
    errno = failure;
    return -1;
}

bool journal_map_create(struct journal_map *map, const char *path, size_t size)
{
    uint64_t head[HEAD_WORDS] = { [HEAD_MAGIC] = MAGIC, [HEAD_SIZE] = size };
    void *memory;

    ensure(size >= journal_size_for(1));
    *map = (struct journal_map){ .fd = -1, .size = size };
    if (path != NULL && (map->fd = create_file(path, size)) < 0)
        return false;
    memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                  map->fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, map->fd, 0);
    if (memory == MAP_FAILED) {
        int failure = errno;
        if (map->fd >= 0) {
            (void)close(map->fd);
            (void)unlink(path);
        }
        errno = failure;
        return false;
    }
    map->words = memory;
    map->slots = (size / WORD - SLOTS_AT) / SLOT_WORDS;
    head[HEAD_CHECK] = checksum(head, HEAD_CHECK);
    put(map->words, head, HEAD_WORDS);
    return true;
}

void journal_map_close(struct journal_map *map)
{
    if (map->words != NULL)
        (void)munmap((void *)(uintptr_t)map->words, map->size);
    if (map->fd >= 0)
        (void)close(map->fd);
    *map = (struct journal_map){ .fd = -1 };
}

int journal_map_server(struct journal_map *map, const char *name)
{
    uint64_t wanted[JOURNAL_NAME / WORD] = { 0 };
    uint64_t check;

    if (strlen(name) >= JOURNAL_NAME)
        return -1;
    memcpy(wanted, name, strlen(name));
    check = checksum(wanted, JOURNAL_NAME / WORD);
    for (unsigned i = 0; i < JOURNAL_SERVERS; i++) {
        _Atomic uint64_t *at = server_at(map, i);
        uint64_t words[SERVER_WORDS];

        get(at, words, SERVER_WORDS);
        if (words[SERVER_CHECK] == check &&
            memcmp(&words[SERVER_NAME], wanted, sizeof(wanted)) == 0)
            return (int)i;
        if (words[SERVER_CHECK] != 0)
            continue;
        put(at + SERVER_NAME, wanted, JOURNAL_NAME / WORD);
        atomic_store_explicit(&at[SERVER_FLOOR],
                              atomic_load_explicit(&map->words[HEAD_FLOOR], memory_order_relaxed),
                              memory_order_relaxed);
        atomic_store_explicit(&at[SERVER_CHECK], check, memory_order_release);
        return (int)i;
    }
    return -1;
}

void journal_map_set_floor(struct journal_map *map, unsigned server, uint64_t floor)
{
    atomic_store_explicit(&server_at(map, server)[SERVER_FLOOR], seal(floor), memory_order_release);
}

void journal_map_set_default_floor(struct journal_map *map, uint64_t floor)
{
    atomic_store_explicit(&map->words[HEAD_FLOOR], seal(floor), memory_order_release);
}

void journal_map_write(struct journal_map *map, size_t slot, const struct journal_entry *entry)
{
    uint64_t words[SLOT_WORDS] = { 0 };
    size_t count = SLOT_KEY + words_for(entry->wire_len);
    _Atomic uint64_t *at = slot_at(map, slot);

    ensure(slot < map->slots && entry->wire_len > 0 && entry->wire_len <= KEY_MAX &&
           entry->server < JOURNAL_SERVERS);
    words[SLOT_NUMBER] = entry->number;
    words[SLOT_TIME] = entry->time;
    words[SLOT_WHAT] =
        entry->server | (uint64_t)entry->dialect << 16 | (uint64_t)entry->wire_len << 32;
    memcpy(&words[SLOT_KEY], entry->wire, entry->wire_len);
    words[SLOT_CHECK] = checksum(&words[SLOT_NUMBER], count - SLOT_NUMBER);
    put(at + SLOT_NUMBER, words + SLOT_NUMBER, count - SLOT_NUMBER);
    atomic_store_explicit(&at[SLOT_CHECK], words[SLOT_CHECK], memory_order_release);
}

void journal_map_read(const struct journal_map *map, size_t slot, struct journal_entry *entry)
{
    uint64_t words[SLOT_WORDS];

    get(slot_at(map, slot), words, SLOT_WORDS);
    ensure(take(words, entry) == JOURNAL_SLOT_USED);
}

void journal_map_free(struct journal_map *map, size_t slot)
{
    atomic_store_explicit(&slot_at(map, slot)[SLOT_CHECK], 0, memory_order_release);
}
