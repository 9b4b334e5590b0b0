#include "crossfade/base/base64.h"

#include <criterion/criterion.h>

static void check(const char *text, const char *bytes, size_t len)
{
    char out[64];
    size_t written = 99;

    memset(out, 0x7f, sizeof(out));
    cr_assert(base64_decode(slice_string(text), out, &written), "%s", text);
    cr_assert_eq(written, len, "%s", text);
    cr_assert_eq(memcmp(out, bytes, len), 0, "%s", text);
    cr_assert_leq(len, BASE64_DECODED_MAX(strlen(text)));
}

/* RFC 4648 section 10, and both alphabets. */
Test(base64, text_of_any_length_with_and_without_padding)
{
    check("", "", 0);
    check("Zg==", "f", 1);
    check("Zg", "f", 1);
    check("Zm8=", "fo", 2);
    check("Zm8", "fo", 2);
    check("Zm9v", "foo", 3);
    check("Zm9vYg==", "foob", 4);
    check("Zm9vYmE=", "fooba", 5);
    check("Zm9vYmFy", "foobar", 6);
    check("+/8A", "\xfb\xff\0", 3);
    check("-_8A", "\xfb\xff\0", 3);
    check("AAAA", "\0\0\0", 3);
}

Test(base64, anything_else_is_refused)
{
    static const char *const wrong[] = { "Z",    "Zm9vY", "Zm9v=",  "=",    "==",   "===",  "====",
                                         "Zg=",  "Zg===", "Zh==",   "Zh",   "Zm9",  "Zm 9", "Zm9v\n",
                                         "Z=9v", "Zm8==", "Zm9vZg=", "\xff" "AAA" };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char out[64];
        size_t len = 0;
        cr_assert_not(base64_decode(slice_string(wrong[i]), out, &len), "%s", wrong[i]);
    }
}

Test(base64, every_byte_comes_back)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char out[BASE64_DECODED_MAX(4)];
    size_t len;

    for (unsigned byte = 0; byte < 256; byte++) {
        char text[3] = { alphabet[byte >> 2], alphabet[(byte & 3) << 4], '\0' };
        cr_assert(base64_decode(slice_string(text), out, &len));
        cr_assert(len == 1 && (unsigned char)out[0] == byte);
    }
}
