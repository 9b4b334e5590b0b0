/*
 * Whatever stands in the journal's file: it is read without harm, and what counts can be used. The
 * input is the head and the first server, then the slots; the other servers are left out of it.
 */
#include "fuzz.h"

#include "crossfade/base/ensure.h"
#include "crossfade/relay/mc_journal_file.h"

#include <stdlib.h>

#define FRONT 384u /* the head and one server */

static void look(struct slice bytes)
{
    struct journal_image image;
    struct journal_entry entry;
    char name[JOURNAL_NAME];
    uint64_t floor;

    if (!journal_image_open(bytes, &image))
        return;
    for (unsigned i = 0; i <= JOURNAL_SERVERS; i++)
        if (journal_image_server(bytes, i, name, &floor))
            ensure(name[0] != '\0' && memchr(name, '\0', sizeof(name)) != NULL);
    for (size_t i = 0; i <= image.slots; i++)
        if (journal_image_slot(bytes, i, &entry) == JOURNAL_SLOT_USED)
            ensure(entry.wire_len > 0 && entry.wire_len <= KEY_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t front = size < FRONT ? size : FRONT;
    size_t table = journal_size_for(0);
    char *whole = calloc(1, table + size - front + 1);

    look(slice_of((const char *)data, size));
    if (whole == NULL)
        return 0;
    memcpy(whole, data, front);
    memcpy(whole + table, data + front, size - front);
    look(slice_of(whole, table + size - front));
    free(whole);
    return 0;
}
