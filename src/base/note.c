#include "crossfade/base/note.h"

#include <stdio.h>
#include <string.h>

#define WORDS (NOTE_TEXT / sizeof(uint64_t))
/* A writer takes nanoseconds: a reader that finds it at work so often reads something odd, not wrong. */
#define TRIES 1000

void note_set(struct note *note, uint64_t time, const char *text)
{
    uint64_t words[WORDS] = { 0 };

    (void)snprintf((char *)words, sizeof(words), "%s", text);
    atomic_fetch_add(&note->version, 1);
    atomic_store(&note->time, time);
    for (size_t i = 0; i < WORDS; i++)
        atomic_store(&note->words[i], words[i]);
    atomic_fetch_add(&note->version, 1);
}

uint64_t note_get(const struct note *note, char out[NOTE_TEXT])
{
    struct note *source = (struct note *)(uintptr_t)note;
    uint64_t words[WORDS];
    uint64_t before;
    uint64_t time;
    int tries = 0;

    do {
        before = atomic_load(&source->version);
        time = atomic_load(&source->time);
        for (size_t i = 0; i < WORDS; i++)
            words[i] = atomic_load(&source->words[i]);
    } while (((before & 1) != 0 || atomic_load(&source->version) != before) && ++tries < TRIES);
    memcpy(out, words, NOTE_TEXT);
    out[NOTE_TEXT - 1] = '\0';
    return time;
}
