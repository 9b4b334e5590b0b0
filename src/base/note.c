#include "crossfade/base/note.h"

#include <stdio.h>
#include <string.h>

#define WORDS (NOTE_TEXT / sizeof(uint64_t))
/* Who writes without a pause is a fault: a reader that is overtaken so often gives what it has. */
#define TRIES 1000

void note_set(struct note *note, uint64_t time, const char *text)
{
    uint64_t words[WORDS] = { 0 };
    uint64_t next = atomic_load(&note->version) + 1;

    (void)snprintf((char *)words, sizeof(words), "%s", text);
    atomic_store(&note->places[next & 1].time, time);
    for (size_t i = 0; i < WORDS; i++)
        atomic_store(&note->places[next & 1].words[i], words[i]);
    atomic_store(&note->version, next);
}

uint64_t note_get(const struct note *note, char out[NOTE_TEXT])
{
    struct note *source = (struct note *)(uintptr_t)note;
    uint64_t words[WORDS];
    uint64_t version;
    uint64_t time;
    int tries = 0;

    /* While the version is the same, the writer can only be at the other place. */
    do {
        version = atomic_load(&source->version);
        time = atomic_load(&source->places[version & 1].time);
        for (size_t i = 0; i < WORDS; i++)
            words[i] = atomic_load(&source->places[version & 1].words[i]);
    } while (atomic_load(&source->version) != version && ++tries < TRIES);
    memcpy(out, words, NOTE_TEXT);
    out[NOTE_TEXT - 1] = '\0';
    return time;
}
