#include "crossfade/base/slice.h"

#include <criterion/criterion.h>

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

Test(slice, escape_shows_every_byte_and_never_overruns)
{
    char out[16];
    cr_assert_str_eq(slice_escape(SLICE("a\"\\\n\xff"), out, sizeof(out)), "a\\\"\\\\\\x0a\\xff");
    cr_assert_str_eq(slice_escape(SLICE("0123456789abcdefgh"), out, sizeof(out)), "0123456789ab...");
}
