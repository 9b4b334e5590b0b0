/*
 * The file of the journal: slots of one size behind a table of servers, preallocated and mapped.
 * A slot counts when its first word, a checksum of the others, is written; it is free when that
 * word is 0. So a process may end between any two instructions and leaves whole entries only.
 *
 *   | header | name, floor | name, floor | ... | slot | slot | ...
 *
 * A floor says: what this server was not told before that time is not all known any more.
 *
 * Everything in the file is host-endian: it belongs to this machine. The page cache keeps it when
 * the process dies, but not when the machine does.
 */
#ifndef CROSSFADE_RELAY_MC_JOURNAL_FILE_H
#define CROSSFADE_RELAY_MC_JOURNAL_FILE_H

#include "crossfade/base/ensure.h"
#include "crossfade/base/slice.h"
#include "crossfade/route/keyspace.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define JOURNAL_FILE "journal"
#define JOURNAL_SERVERS 1024u /* with something to remember, in one file */
#define JOURNAL_NAME 304u     /* with the NUL */

struct journal_entry {
    uint64_t number; /* in their order */
    uint64_t time;   /* seconds since 1970 */
    unsigned server; /* in the table */
    unsigned dialect;
    unsigned wire_len;
    char wire[KEY_MAX + 6];
};

/* -- An image of the file: any bytes -- */

struct journal_image {
    bool whole;     /* it is as long as it says, and so is its head */
    size_t slots;   /* that are there */
    size_t damaged; /* of them: written, and not what was written; and servers' names */
    uint64_t floor; /* of all servers that are not in the table; 0: none */
};

/* False: this is no journal at all. */
bool journal_image_open(struct slice bytes, struct journal_image *image) MUST_CHECK;
/* The name and the floor of a server; false: there is none at that place. */
bool journal_image_server(struct slice bytes, unsigned index, char name[JOURNAL_NAME],
                          uint64_t *floor) MUST_CHECK;
enum journal_slot { JOURNAL_SLOT_FREE, JOURNAL_SLOT_USED, JOURNAL_SLOT_DAMAGED };
enum journal_slot journal_image_slot(struct slice bytes, size_t index,
                                     struct journal_entry *entry) MUST_CHECK;

/* -- A file in use: by several threads, but for what is said -- */

struct journal_map {
    _Atomic uint64_t *words; /* NULL: none */
    size_t size;             /* bytes */
    size_t slots;
    int fd; /* locked as long as it is in use; -1: memory only */
};

/* The bytes that so many slots take. */
size_t journal_size_for(size_t slots);

/*
 * Maps a new file of that size, all free, at a path where none is; its space is reserved. fd is -1
 * and the memory anonymous if path is NULL. False with errno.
 */
bool journal_map_create(struct journal_map *map, const char *path, size_t size) MUST_CHECK;
void journal_map_close(struct journal_map *map);

/* One thread at a time. The place of that server in the table, made if it is new; -1: full. */
int journal_map_server(struct journal_map *map, const char *name);
void journal_map_set_floor(struct journal_map *map, unsigned server, uint64_t floor);
/* Of all servers that are not in the table. */
void journal_map_set_default_floor(struct journal_map *map, uint64_t floor);

/* The slot is the caller's, and free. */
void journal_map_write(struct journal_map *map, size_t slot, const struct journal_entry *entry);
/* The slot is the caller's, and in use. */
void journal_map_read(const struct journal_map *map, size_t slot, struct journal_entry *entry);
void journal_map_free(struct journal_map *map, size_t slot);

#endif
