/*
 * What kinds of keys there are and what is done with them, learnt from a sample of the commands in
 * bounded memory. For `crossfadectl show suggest`.
 *
 * A family is what keys have in common when their changing parts are taken out: "user:4711:name"
 * and "user:12:name" are of the family "user:*:name". Taken out are numbers, hexadecimal words,
 * UUIDs and long words with digits among the letters. Where a part changes that is none of these
 * (user names), families that differ in one word only are merged into one when room is needed. Room
 * is made for more by giving up the least frequent one (Metwally et al., "space-saving": what it
 * counted is the error of its successor).
 *
 *   key -> family_of -> an entry of that text, or a merged one that it matches, or a new one
 *
 * Plain memory of one thread; another one is given a copy.
 */
#ifndef CROSSFADE_ROUTE_FAMILIES_H
#define CROSSFADE_ROUTE_FAMILIES_H

#include "crossfade/base/slice.h"
#include "crossfade/route/value_format.h"

#include <stdbool.h>
#include <stdint.h>

#define FAMILIES_MAX 256u
#define FAMILY_TEXT 64u
/* An add that expires within this many seconds may be a lock. */
#define FAMILY_SHORT_EXPIRY 3600u

enum family_event {
    FAMILY_READ,
    FAMILY_FILL,  /* a set that answers a miss */
    FAMILY_WRITE, /* a set that answers none */
    FAMILY_ADD,
    FAMILY_CHANGE, /* replace, append, prepend, cas */
    FAMILY_COUNT,  /* incr, decr */
    FAMILY_DELETE,
    FAMILY_TOUCH,
    FAMILY_EVENTS
};

/* One command that was looked at. */
struct family_seen {
    struct slice key; /* the client's own; not empty */
    enum family_event event;
    bool has_value; /* then `format` says what it is */
    enum value_format format;
    uint32_t expiry; /* seconds from now; 0: none, or not known */
    uint32_t weight; /* how many commands it stands for */
    unsigned arm;
};

struct family {
    char text[FAMILY_TEXT];
    char example[FAMILY_TEXT]; /* the first key, or its beginning */
    uint8_t text_len;
    uint8_t example_len;
    bool merged;
    uint32_t arms;    /* a bit for each arm that used it */
    uint32_t samples; /* commands that were looked at */
    uint64_t weight;  /* commands, as far as the sample tells */
    uint64_t error;   /* of these so many may have been of other families */
    uint64_t events[FAMILY_EVENTS];
    uint64_t short_adds;             /* of the adds: they expire within FAMILY_SHORT_EXPIRY */
    uint64_t formats[VALUE_FORMATS]; /* of the values written */
};

struct families {
    unsigned count;
    unsigned unmerged; /* so many newcomers take a place before merging is tried again */
    uint64_t samples;
    uint64_t weight; /* of all commands, also of families that were given up */
    uint64_t hashes[FAMILIES_MAX];
    struct family entries[FAMILIES_MAX];
};

/* All zero is empty. */
void families_add(struct families *families, const struct family_seen *seen);
/* Adds what `from` has seen to `into`. */
void families_merge(struct families *into, const struct families *from);

/* The family of a key; not terminated. Returns the length, at least 1. A longer one ends in '*'. */
size_t family_of(struct slice key, char out[FAMILY_TEXT]);

#endif
