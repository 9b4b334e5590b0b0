/*
 * A short text with its time that one thread writes now and then and any thread may read: what last
 * went wrong with a server, for `show servers`. No lock: the writer fills the place that is not
 * shown and then shows it, so a reader has to read again only if two notes were written meanwhile,
 * and never waits for a writer that the system has put aside.
 */
#ifndef CROSSFADE_BASE_NOTE_H
#define CROSSFADE_BASE_NOTE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define NOTE_TEXT 128u /* with the NUL; longer texts are cut */

struct note {
    _Atomic uint64_t version; /* the place that is shown is its lowest bit */
    struct {
        _Atomic uint64_t time; /* wall clock, microseconds; 0: nothing was noted */
        _Atomic uint64_t words[NOTE_TEXT / sizeof(uint64_t)];
    } places[2];
};

/* One thread. */
void note_set(struct note *note, uint64_t time, const char *text);
/* Any thread. The time, and the text in out[]; 0 and "" when there is none. */
uint64_t note_get(const struct note *note, char out[NOTE_TEXT]);

#endif
