#include "crossfade/route/token.h"

#include <criterion/criterion.h>

Test(token, none_is_made_twice)
{
    uint64_t starts[2];
    struct token_source sources[4];
    struct token made[4 * 100];
    size_t count = 0;

    cr_assert(token_start(&starts[0]) && token_start(&starts[1]));
    cr_assert(starts[0] != 0 && starts[0] != starts[1]);
    token_source_init(&sources[0], starts[0], 0);
    token_source_init(&sources[1], starts[0], 1);
    token_source_init(&sources[2], starts[0], 65535);
    token_source_init(&sources[3], starts[1], 0);
    for (unsigned i = 0; i < 100; i++)
        for (unsigned j = 0; j < 4; j++) {
            struct token token = token_next(&sources[j]);
            cr_assert(!token_is_none(&token));
            for (size_t k = 0; k < count; k++)
                cr_assert(!token_equal(&token, &made[k]));
            made[count++] = token;
        }
}

Test(token, an_epoch_is_read_as_it_was_written)
{
    struct epoch epoch = { .token = { { UINT64_C(0x0102030405060708),
                                        UINT64_C(0xf1f2f3f4f5f6f7f8) } },
                           .written = 0x65a1b2c3,
                           .keep = 0x1112 };
    struct epoch read;
    char bytes[EPOCH_LENGTH + 1] = { 0 };

    epoch_write(&epoch, bytes);
    cr_assert_arr_eq(bytes,
                     "\x01\x02\x03\x04\x05\x06\x07\x08\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8"
                     "\0\0\0\0\x65\xa1\xb2\xc3\0\0\0\0\0\0\x11\x12",
                     EPOCH_LENGTH + 1);
    cr_assert(epoch_read(slice_of(bytes, EPOCH_LENGTH), &read));
    cr_assert(token_equal(&read.token, &epoch.token));
    cr_assert_eq(read.written, epoch.written);
    cr_assert_eq(read.keep, epoch.keep);
    cr_assert(!epoch_read(slice_of(bytes, EPOCH_LENGTH - 1), &read));
    cr_assert(!epoch_read(slice_of(bytes, EPOCH_LENGTH + 1), &read));
    cr_assert(!epoch_read(slice_of(bytes, 0), &read));
    memset(bytes, 0, TOKEN_LENGTH);
    cr_assert(!epoch_read(slice_of(bytes, EPOCH_LENGTH), &read), "that is no token");
}

Test(token, a_stamp_is_read_as_it_was_written)
{
    struct token token = { { UINT64_C(0x8182838485868788), 1 } };
    struct token read;
    uint32_t expiry;
    char bytes[STAMP_LENGTH + 3] = "....................abc";

    stamp_write(&token, UINT32_C(0xfedcba98), bytes);
    cr_assert_arr_eq(bytes,
                     "\x81\x82\x83\x84\x85\x86\x87\x88\0\0\0\0\0\0\0\x01\xfe\xdc\xba\x98"
                     "abc",
                     STAMP_LENGTH + 3);
    stamp_read(slice_of(bytes, sizeof(bytes)), &read, &expiry);
    cr_assert(token_equal(&read, &token));
    cr_assert_eq(expiry, 0xfedcba98);
}

Test(token, an_expiry_is_as_memcached_takes_it)
{
    static const struct {
        int64_t exptime;
        uint64_t now;
        uint32_t expiry;
    } cases[] = {
        { 0, 1000, 0 },
        { 1, 1000, 1001 },
        { 2592000, 1000, 2593000 },
        { 2592001, 1000, 2592001 },
        { 1800000000, 1000, 1800000000 },
        { -1, 1800000000, 1 },
        { INT64_MIN, 1800000000, 1 },
        { INT64_MAX, 1000, UINT32_MAX },
        { 2592000, UINT32_MAX, UINT32_MAX },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cr_assert_eq(stamp_expiry(cases[i].exptime, cases[i].now), cases[i].expiry, "%zu", i);
}
