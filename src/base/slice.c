#include "crossfade/base/slice.h"

#include "crossfade/base/ensure.h"

#include <stdlib.h>

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool slice_equal_nocase(struct slice a, struct slice b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower(a.data[i]) != lower(b.data[i]))
            return false;
    return true;
}

struct slice slice_trim(struct slice s, const char *unwanted)
{
    while (s.len > 0 && s.data[0] != '\0' && strchr(unwanted, s.data[0]) != NULL) {
        s.data++;
        s.len--;
    }
    while (s.len > 0 && s.data[s.len - 1] != '\0' && strchr(unwanted, s.data[s.len - 1]) != NULL)
        s.len--;
    return s;
}

bool slice_to_u64(struct slice s, uint64_t *out)
{
    uint64_t n = 0;

    if (s.len == 0 || s.len > 20)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned)((unsigned char)s.data[i] - '0');
        if (digit > 9)
            return false;
        if (n > UINT64_MAX / 10 || (n == UINT64_MAX / 10 && digit > UINT64_MAX % 10))
            return false;
        n = n * 10 + digit;
    }
    *out = n;
    return true;
}

size_t slice_find(struct slice s, char byte)
{
    const char *at = s.len > 0 ? memchr(s.data, byte, s.len) : NULL;
    return at != NULL ? (size_t)(at - s.data) : s.len;
}

size_t slice_character(struct slice s)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    unsigned char first = s.len > 0 ? (unsigned char)s.data[0] : 0xff;
    size_t len = first < 0x80   ? 1
                 : first < 0xc2 ? 0
                 : first < 0xe0 ? 2
                 : first < 0xf0 ? 3
                 : first < 0xf5 ? 4
                                : 0;
    uint32_t point = len < 2 ? first : first & (0x7fu >> len);

    if (len == 0 || len > s.len)
        return 0;
    for (size_t i = 1; i < len; i++) {
        unsigned char next = (unsigned char)s.data[i];
        if ((next & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (next & 0x3fu);
    }
    if (point < least[len] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
        return 0;
    return point < 0x20 || (point >= 0x7f && point < 0xa0) ? 0 : len;
}

char *slice_escape(struct slice s, char *out, size_t size)
{
    static const char hex[] = "0123456789abcdef";
    size_t at = 0;
    size_t mark = 0; /* the last place where "..." and the NUL still fit */

    ensure(size >= 4);
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];
        size_t width = c == '"' || c == '\\' ? 2 : c < 0x20 || c > 0x7e ? 4 : 1;
        if (at + width + 1 > size) {
            memcpy(out + mark, "...", 4);
            return out;
        }
        if (width == 4) {
            out[at] = '\\';
            out[at + 1] = 'x';
            out[at + 2] = hex[c >> 4];
            out[at + 3] = hex[c & 15];
        } else {
            if (width == 2)
                out[at] = '\\';
            out[at + width - 1] = (char)c;
        }
        at += width;
        if (at + 4 <= size)
            mark = at;
    }
    out[at] = '\0';
    return out;
}

char *slice_dup(struct slice s)
{
    char *copy = malloc(s.len + 1);
    if (copy == NULL)
        return NULL;
    if (s.len > 0)
        memcpy(copy, s.data, s.len);
    copy[s.len] = '\0';
    return copy;
}
