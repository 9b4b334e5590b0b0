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
    static const char *const wrong[] = {
        "Z",    "Zm9vY", "Zm9v=", "=",    "==",     "===",  "====",  "Zg=",     "Zg===",
        "Zh==", "Zh",    "Zm9",   "Zm 9", "Zm9v\n", "Z=9v", "Zm8==", "Zm9vZg=", "\xff\xff"
    };
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

Test(base64, what_is_written_is_padded_and_comes_back)
{
    static const struct {
        const char *bytes, *text;
    } rows[] = { { "", "" },
                 { "f", "Zg==" },
                 { "fo", "Zm8=" },
                 { "foo", "Zm9v" },
                 { "foob", "Zm9vYg==" },
                 { "fooba", "Zm9vYmE=" },
                 { "\xfb\xff", "+/8=" } };
    char bytes[100];
    char text[BASE64_ENCODED(sizeof(bytes))];
    char back[BASE64_DECODED_MAX(sizeof(text))];

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t len = base64_encode(slice_string(rows[i].bytes), text);
        cr_assert(slice_equal(slice_of(text, len), slice_string(rows[i].text)), "%s",
                  rows[i].bytes);
    }
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(i * 37 + 11);
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        size_t encoded = base64_encode(slice_of(bytes, len), text);
        size_t decoded;
        cr_assert_eq(encoded, BASE64_ENCODED(len));
        cr_assert(base64_decode(slice_of(text, encoded), back, &decoded));
        cr_assert(slice_equal(slice_of(back, decoded), slice_of(bytes, len)));
    }
}
