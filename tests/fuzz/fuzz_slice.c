/* The helpers that see a peer's bytes first: escaping for the log, numbers, names without case. */
#include "fuzz.h"

#include "crossfade/base/ensure.h"
#include "crossfade/base/slice.h"

#include <inttypes.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice all = slice_of((const char *)data, size);
    char text[64];
    uint64_t n;

    slice_escape(all, text, sizeof(text));
    for (const char *p = text; *p != '\0'; p++)
        ensure(*p >= 0x20 && *p <= 0x7e);

    if (slice_to_u64(all, &n)) {
        char digits[24];
        struct slice bare = all;
        (void)snprintf(digits, sizeof(digits), "%" PRIu64, n);
        while (bare.len > 1 && bare.data[0] == '0') {
            bare.data++;
            bare.len--;
        }
        ensure(slice_equal(bare, slice_string(digits)));
    }
    ensure(slice_equal_nocase(all, all));
    ensure(slice_trim(all, " \t").len <= all.len);
    return 0;
}
