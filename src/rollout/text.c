#include "text.h"

#include "crossfade/base/ensure.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* The length of the valid character that text begins with, or 0. */
static size_t character(const unsigned char *text)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    size_t len = text[0] < 0x80   ? 1
                 : text[0] < 0xc2 ? 0
                 : text[0] < 0xe0 ? 2
                 : text[0] < 0xf0 ? 3
                 : text[0] < 0xf5 ? 4
                                  : 0;
    uint32_t point = len < 2 ? text[0] : text[0] & (0x7fu >> len);

    for (size_t i = 1; i < len; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0; /* also at the end of the text, which is a NUL */
        point = point << 6 | (text[i] & 0x3fu);
    }
    if (len == 0 || point < least[len] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
        return 0;
    /* C0, DEL and C1: what a terminal may act upon. */
    return point < 0x20 || (point >= 0x7f && point < 0xa0) ? 0 : len;
}

void text_keep(char *out, size_t size, const char *text)
{
    const unsigned char *from = (const unsigned char *)(text != NULL ? text : "");
    size_t at = 0;
    size_t mark = 0; /* the last place where "..." and the NUL still fit */

    ensure(size >= 4);
    while (*from != '\0') {
        size_t len = character(from);
        size_t width = len > 0 ? len : 1;
        if (at + width + 1 > size) {
            memcpy(out + mark, "...", 4);
            return;
        }
        if (len > 0)
            memcpy(out + at, from, len);
        else
            out[at] = '?';
        at += width;
        from += width;
        if (at + 4 <= size)
            mark = at;
    }
    out[at] = '\0';
}
