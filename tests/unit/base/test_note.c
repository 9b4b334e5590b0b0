#include "crossfade/base/note.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

Test(note, is_empty_at_first_and_holds_the_last_text)
{
    static struct note note;
    char text[NOTE_TEXT];
    char longest[2 * NOTE_TEXT];

    cr_expect_eq(note_get(&note, text), 0);
    cr_expect_str_eq(text, "");
    note_set(&note, 5, "connection refused");
    note_set(&note, 7, "no answer");
    cr_expect_eq(note_get(&note, text), 7);
    cr_expect_str_eq(text, "no answer");
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    note_set(&note, 8, longest);
    (void)note_get(&note, text);
    cr_expect_eq(strlen(text), NOTE_TEXT - 1);
}

static struct note shared;
static _Atomic int ending;

static void *write_notes(void *context)
{
    char text[NOTE_TEXT];

    (void)context;
    for (uint64_t i = 0; !ending; i++) {
        memset(text, 'a' + (int)(i % 26), sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        note_set(&shared, i % 26 + 1, text);
    }
    return NULL;
}

Test(note, is_never_seen_half_written)
{
    pthread_t writer;

    cr_assert_eq(pthread_create(&writer, NULL, write_notes, NULL), 0);
    for (int i = 0; i < 20000; i++) {
        char text[NOTE_TEXT];
        uint64_t time = note_get(&shared, text);
        if (time == 0)
            continue;
        cr_assert_eq(strspn(text, (char[]){ (char)('a' + time - 1), '\0' }), NOTE_TEXT - 1,
                     "%d: %s", (int)time, text);
    }
    ending = 1;
    (void)pthread_join(writer, NULL);
}
