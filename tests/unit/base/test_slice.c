#include "crossfade/base/slice.h"

#include <criterion/criterion.h>

Test(slice, a_word_ends_at_the_first_byte_not_above_a_space)
{
    for (size_t len = 0; len <= 20; len++)
        for (size_t end = 0; end <= len; end++)
            for (unsigned byte = 0; byte < 256; byte++) {
                char text[21];
                /* Bytes of 0x80 and above before it, and lower ones behind it, must not show. */
                for (size_t i = 0; i < len; i++)
                    text[i] = (char)(i < end ? (i % 2 ? 0x80 + (byte + i) % 128 : 0x21) : i % 32);
                if (end < len)
                    text[end] = (char)byte;
                cr_assert_eq(slice_word(slice_of(text, len)),
                             end < len && byte > ' ' ? end + 1 : end, "%zu of %zu, byte %u", end,
                             len, byte);
            }
}

Test(slice, numbers_are_digits_only_and_checked_for_overflow)
{
    uint64_t n = 7;
    cr_assert(slice_to_u64(SLICE("18446744073709551615"), &n));
    cr_assert_eq(n, UINT64_MAX);
    cr_assert_not(slice_to_u64(SLICE("18446744073709551616"), &n));
    cr_assert_not(slice_to_u64(SLICE(""), &n));
    cr_assert_not(slice_to_u64(SLICE("+1"), &n));
    cr_assert_not(slice_to_u64(SLICE("1 "), &n));
    cr_assert_eq(n, UINT64_MAX, "a refused number leaves the result alone");
}

Test(slice, character_is_one_of_utf_8_and_not_a_terminals)
{
    static const struct {
        struct slice text;
        size_t len;
    } rows[] = {
        { SLICE(""), 0 },
        { SLICE("a"), 1 },
        { SLICE("~\xc3"), 1 },
        { SLICE("\xc3\xa9x"), 2 },
        { SLICE("\xe2\x82\xac"), 3 },
        { SLICE("\xf0\x9f\x98\x80"), 4 },
        { SLICE("\xf4\x8f\xbf\xbf"), 4 },
        { SLICE("\xc2\xa0"), 2 },
        { SLICE("\0"), 0 },
        { SLICE("\n"), 0 },
        { SLICE("\x1b[31m"), 0 },
        { SLICE("\x7f"), 0 },
        { SLICE("\xc2\x9b"), 0 }, /* C1 */
        { SLICE("\x80"), 0 },     /* begins in the middle */
        { SLICE("\xc3"), 0 },     /* ends in the middle */
        { SLICE("\xe2\x82"), 0 },
        { SLICE("\xc3x"), 0 },
        { SLICE("\xc0\xaf"), 0 }, /* longer than need be */
        { SLICE("\xe0\x80\xaf"), 0 },
        { SLICE("\xf0\x80\x80\xaf"), 0 },
        { SLICE("\xed\xa0\x80"), 0 },     /* a surrogate */
        { SLICE("\xf4\x90\x80\x80"), 0 }, /* over U+10FFFF */
        { SLICE("\xff"), 0 },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        cr_expect_eq(slice_character(rows[i].text), rows[i].len, "row %zu", i);
}

Test(slice, escape_shows_every_byte_and_never_overruns)
{
    char out[16];
    cr_assert_str_eq(slice_escape(SLICE("a\"\\\n\xff"), out, sizeof(out)), "a\\\"\\\\\\x0a\\xff");
    cr_assert_str_eq(slice_escape(SLICE("0123456789abcdefgh"), out, sizeof(out)),
                     "0123456789ab...");
}
