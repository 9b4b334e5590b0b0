/* The file of the generations: what the reader takes can be written, and reads back the same. */
#include "fuzz.h"

#include "crossfade/base/ensure.h"
#include "crossfade/rollout/generations.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char error[512] = "";
    struct generations *generations = generations_open("/nonexistent", error, sizeof(error));
    char *text;
    char *again;

    ensure(generations != NULL);
    if (generations_parse(generations, slice_of((const char *)data, size), error, sizeof(error))) {
        text = generations_print(generations);
        ensure(text != NULL);
        ensure(generations_parse(generations, slice_string(text), error, sizeof(error)));
        again = generations_print(generations);
        ensure(again != NULL && strcmp(text, again) == 0);
        free(text);
        free(again);
    } else {
        ensure(error[0] != '\0');
    }
    generations_close(generations);
    return 0;
}
