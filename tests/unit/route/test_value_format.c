#include "crossfade/route/value_format.h"

#include <criterion/criterion.h>

static const struct {
    enum config_profile profile;
    uint32_t flags;
    struct slice value;
    enum value_format format;
} rows[] = {
    /* As real clients write them: the measured bytes of each. */
    { PROFILE_PYTHON, 1, SLICE_INIT("\x80\x02}q\x01."), VALUE_PICKLE_2 },
    { PROFILE_PYTHON, 1, SLICE_INIT("\x80\x03}q\x01."), VALUE_PICKLE_3 },
    { PROFILE_PYTHON, 1, SLICE_INIT("\x80\x04\x95\x03"), VALUE_PICKLE_3 },
    { PROFILE_PYTHON, 1, SLICE_INIT("\x80\x05\x95\x03"), VALUE_PICKLE_5 },
    { PROFILE_PYTHON, 1, SLICE_INIT("\x80\xff"), VALUE_PICKLE_5 },
    { PROFILE_PYTHON, 1, SLICE_INIT("(dp1\n."), VALUE_PICKLE_OLD },
    { PROFILE_PYTHON, 1, SLICE_INIT("I01\n."), VALUE_PICKLE_OLD },
    { PROFILE_PYTHON, 1, SLICE_INIT(""), VALUE_PICKLE_OLD },
    { PROFILE_PYTHON, 1, SLICE_INIT("\x80"), VALUE_PICKLE_OLD },
    { PROFILE_PYTHON, 9, SLICE_INIT("\x80\x05"), VALUE_COMPRESSED },
    { PROFILE_PYTHON, 8, SLICE_INIT("\x78\x9c"), VALUE_COMPRESSED },
    { PROFILE_PYTHON, 0, SLICE_INIT("\x80\x05\x95"), VALUE_OTHER }, /* bytes of that look */
    { PROFILE_PYTHON, 16, SLICE_INIT("\x80\x05\x95"), VALUE_OTHER },
    { PROFILE_PYTHON, 2, SLICE_INIT("42"), VALUE_INTEGER },
    { PROFILE_PYTHON, 4, SLICE_INIT("18446744073709551615"), VALUE_INTEGER },
    { PROFILE_PYTHON, 0, SLICE_INIT("9 "), VALUE_INTEGER }, /* after a decr from 10 */
    { PROFILE_PYTHON, 16, SLICE_INIT("{\"a\": 1}"), VALUE_JSON },
    { PROFILE_PHP, 4, SLICE_INIT("a:1:{i:0;i:1;}"), VALUE_SERIALIZED },
    { PROFILE_PHP, 5, SLICE_INIT("\0\0\0\x02"), VALUE_SERIALIZED },
    { PROFILE_PHP, 6, SLICE_INIT("\"x\""), VALUE_JSON },
    { PROFILE_PHP, 0xabcd0004, SLICE_INIT("a:0:{}"), VALUE_SERIALIZED }, /* and the user's flags */
    { PROFILE_PHP, 84, SLICE_INIT("\x10\0\0\0"), VALUE_COMPRESSED },
    { PROFILE_PHP, 1, SLICE_INIT("7"), VALUE_INTEGER },
    { PROFILE_PHP, 3, SLICE_INIT(""), VALUE_OTHER },
    { PROFILE_RUBY, 1, SLICE_INIT("\x04\x08i\x06"), VALUE_MARSHAL },
    { PROFILE_RUBY, 3, SLICE_INIT("x\x9c"), VALUE_COMPRESSED },
    { PROFILE_RUBY, 0, SLICE_INIT("raw"), VALUE_OTHER },
    { PROFILE_PERL, 1, SLICE_INIT("\x05\x0b\x03"), VALUE_STORABLE },
    { PROFILE_PERL, 2, SLICE_INIT("\x1f\x8b"), VALUE_COMPRESSED },
    /* Without a profile flags mean nothing. */
    { PROFILE_NONE, 1, SLICE_INIT("\x80\x05\x95"), VALUE_OTHER },
    { PROFILE_NONE, 8, SLICE_INIT("12"), VALUE_INTEGER },
    { PROFILE_NONE, 0, SLICE_INIT("[1]"), VALUE_JSON },
    { PROFILE_NONE, 0, SLICE_INIT("{ \"a\": 1 }"), VALUE_JSON },
    { PROFILE_NONE, 0, SLICE_INIT("{}"), VALUE_JSON },
    { PROFILE_NONE, 0, SLICE_INIT("{a}"), VALUE_OTHER },
    { PROFILE_NONE, 0, SLICE_INIT("{\"a\": 1"), VALUE_OTHER },
    { PROFILE_NONE, 0, SLICE_INIT("["), VALUE_OTHER },
    { PROFILE_NONE, 0, SLICE_INIT("-5"), VALUE_INTEGER },
    { PROFILE_NONE, 0, SLICE_INIT("-"), VALUE_OTHER },
    { PROFILE_NONE, 0, SLICE_INIT("5x"), VALUE_OTHER },
    { PROFILE_NONE, 0, SLICE_INIT(" 5"), VALUE_OTHER },
    { PROFILE_NONE, 0, SLICE_INIT("1.5"), VALUE_OTHER },
    { PROFILE_NONE, 0, SLICE_INIT("123456789012345678901"), VALUE_OTHER },
    { PROFILE_NONE, 0, SLICE_INIT(""), VALUE_OTHER },
};

Test(value_format, by_flags_and_first_bytes)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        cr_expect_eq(value_format_of(rows[i].profile, rows[i].flags, rows[i].value, true),
                     rows[i].format, "row %zu", i);
}

Test(value_format, of_a_part_only_what_the_beginning_shows)
{
    cr_assert_eq(value_format_of(PROFILE_NONE, 0, SLICE("123"), false), VALUE_OTHER);
    cr_assert_eq(value_format_of(PROFILE_NONE, 0, SLICE("{\"a"), false), VALUE_JSON);
    cr_assert_eq(value_format_of(PROFILE_PYTHON, 1, SLICE("\x80\x05"), false), VALUE_PICKLE_5);
}

/* G8: nothing but a declared pickle of protocol 3 or above. */
Test(value_format, g8_a_guard_refuses_what_is_proven_and_nothing_else)
{
    for (unsigned protocol = 0; protocol < 256; protocol++) {
        const char bytes[2] = { '\x80', (char)protocol };
        struct slice value = slice_of(bytes, 2);
        cr_assert_eq(value_guarded(PROFILE_PYTHON, 1, value), protocol >= 3, "%u", protocol);
        cr_assert_eq(value_guarded(PROFILE_PYTHON, 1 | 16, value), protocol >= 3);
        cr_assert_not(value_guarded(PROFILE_PYTHON, 0, value));
        cr_assert_not(value_guarded(PROFILE_PYTHON, 1 | 8, value), "zlib may hold anything");
        cr_assert_not(value_guarded(PROFILE_PHP, 1, value));
        cr_assert_not(value_guarded(PROFILE_NONE, 1, value));
        cr_assert_not(value_guarded(PROFILE_PYTHON, 1, slice_of(bytes, 1)));
        cr_assert_not(value_guarded(PROFILE_PYTHON, 1, slice_of(bytes, 0)));
    }
}
