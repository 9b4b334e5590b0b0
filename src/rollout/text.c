#include "text.h"

#include "crossfade/base/ensure.h"
#include "crossfade/base/slice.h"

#include <string.h>

void text_keep(char *out, size_t size, const char *text)
{
    struct slice rest = slice_string(text != NULL ? text : "");
    size_t at = 0;
    size_t mark = 0; /* the last place where "..." and the NUL still fit */

    ensure(size >= 4);
    while (rest.len > 0) {
        size_t len = slice_character(rest);
        size_t width = len > 0 ? len : 1;
        if (at + width + 1 > size) {
            memcpy(out + mark, "...", 4);
            return;
        }
        if (len > 0)
            memcpy(out + at, rest.data, len);
        else
            out[at] = '?';
        at += width;
        rest = slice_of(rest.data + width, rest.len - width);
        if (at + 4 <= size)
            mark = at;
    }
    out[at] = '\0';
}
