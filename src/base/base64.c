#include "crossfade/base/base64.h"

#include <stdint.h>

/* The six bits that a character stands for, or -1. */
static int bits_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    return c == '/' || c == '_' ? 63 : -1;
}

bool base64_decode(struct slice text, char *out, size_t *len)
{
    uint32_t group = 0;
    unsigned held = 0; /* bits of `group` that are not written yet */
    size_t written = 0;

    if (text.len % 4 == 0 && text.len > 0 && text.data[text.len - 1] == '=')
        text.len -= text.data[text.len - 2] == '=' ? 2 : 1;
    if (text.len % 4 == 1)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        int bits = bits_of(text.data[i]);
        if (bits < 0)
            return false;
        group = group << 6 | (uint32_t)bits;
        held += 6;
        if (held >= 8) {
            held -= 8;
            out[written++] = (char)(group >> held & 0xff);
            group &= (1u << held) - 1;
        }
    }
    *len = written;
    return group == 0;
}

size_t base64_encode(struct slice bytes, char *out)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *at = out;

    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t here = bytes.len - i;
        uint32_t group = (uint32_t)(unsigned char)bytes.data[i] << 16;

        if (here > 1)
            group |= (uint32_t)(unsigned char)bytes.data[i + 1] << 8;
        if (here > 2)
            group |= (unsigned char)bytes.data[i + 2];
        at[0] = alphabet[group >> 18];
        at[1] = alphabet[group >> 12 & 63];
        at[2] = here > 1 ? alphabet[group >> 6 & 63] : '=';
        at[3] = here > 2 ? alphabet[group & 63] : '=';
        at += 4;
    }
    return (size_t)(at - out);
}
