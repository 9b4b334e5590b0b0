#include "crossfade/conf/values.h"

#include <criterion/criterion.h>

static struct why why;

Test(values, durations_have_a_unit)
{
    static const struct {
        const char *text;
        uint64_t value;
        const char *back;
    } good[] = { { "0", 0, "0" },
                 { "0s", 0, "0" },
                 { "250ms", 250000, "250ms" },
                 { "1000ms", 1000000, "1s" },
                 { "90s", 90000000, "90s" },
                 { "60s", 60000000, "1m" },
                 { "15m", 900000000, "15m" },
                 { "2h", 7200000000u, "2h" },
                 { "7d", 604800000000u, "7d" },
                 { "3650d", 315360000000000u, "3650d" } };
    static const char *const bad[] = { "",
                                       "s",
                                       "1",
                                       "1.5s",
                                       "-1s",
                                       "1 s",
                                       "1sec",
                                       "1S",
                                       "+1s",
                                       "1us",
                                       "1s ",
                                       "3651d",
                                       "18446744073709551615d",
                                       "99999999999999999999999s" };
    char text[VALUE_TEXT];

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        uint64_t value = 1;
        cr_expect(value_parse_duration(slice_string(good[i].text), &value, &why), "%s",
                  good[i].text);
        cr_expect_eq(value, good[i].value, "%s", good[i].text);
        cr_expect_str_eq(value_format_duration(value, text), good[i].back);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint64_t value = 7;
        why.text[0] = '\0';
        cr_expect_not(value_parse_duration(slice_string(bad[i]), &value, &why), "%s", bad[i]);
        cr_expect_eq(value, 7, "a refused value leaves the result alone");
        cr_expect_neq(why.text[0], '\0');
    }
}

Test(values, sizes_are_powers_of_two)
{
    static const struct {
        const char *text;
        uint64_t value;
        const char *back;
    } good[] = { { "0", 0, "0" },         { "1000", 1000, "1000" },      { "64k", 65536, "64k" },
                 { "1m", 1048576, "1m" }, { "1024M", 1073741824, "1g" }, { "2G", 2147483648, "2g" },
                 { "1025", 1025, "1025" } };
    static const char *const bad[] = {
        "", "k", "1.5m", "-1", "1kb", "1 k", "1t", "18446744073709551615k", "17179869184g"
    };
    char text[VALUE_TEXT];

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        uint64_t value = 1;
        cr_expect(value_parse_size(slice_string(good[i].text), &value, &why), "%s", good[i].text);
        cr_expect_eq(value, good[i].value, "%s", good[i].text);
        cr_expect_str_eq(value_format_size(value, text), good[i].back);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint64_t value;
        cr_expect_not(value_parse_size(slice_string(bad[i]), &value, &why), "%s", bad[i]);
    }
}

Test(values, every_percentage_step_is_exact)
{
    char text[VALUE_TEXT];

    for (uint32_t steps = 0; steps <= PERCENT_ALL; steps++) {
        uint32_t back = steps + 1;
        value_format_percent(steps, text);
        cr_assert(value_parse_percent(slice_string(text), &back, &why), "%s", text);
        cr_assert_eq(back, steps, "%s", text);
    }
}

Test(values, percentages_finer_or_larger_than_there_are_are_refused)
{
    static const char *const bad[] = { "",    ".",   "1.",   ".5",      "100.0001",
                                       "101", "-1",  "1e1",  "0.00001", "0.1%",
                                       "1,5", "nan", "0.1 ", "1.2.3",   "99999999999999999999999" };
    uint32_t steps = 0;

    cr_expect(value_parse_percent(SLICE("0.1000"), &steps, &why));
    cr_expect_eq(steps, PERCENT_ONE / 10);
    cr_expect(value_parse_percent(SLICE("100.0000"), &steps, &why));
    cr_expect_eq(steps, PERCENT_ALL);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect_not(value_parse_percent(slice_string(bad[i]), &steps, &why), "%s", bad[i]);
}

Test(values, endpoints)
{
    struct value_endpoint endpoint;

    cr_assert(value_parse_endpoint(SLICE("cache-1.example:11211"), false, &endpoint, &why));
    cr_expect(slice_equal(endpoint.host, SLICE("cache-1.example")));
    cr_expect_eq(endpoint.port, 11211);
    cr_expect_null(endpoint.path.data);
    cr_expect_eq(endpoint.weight, 0);

    cr_assert(value_parse_endpoint(SLICE("[fd00::1]:1:7"), true, &endpoint, &why));
    cr_expect(slice_equal(endpoint.host, SLICE("fd00::1")), "without the brackets");
    cr_expect(slice_equal(endpoint.endpoint, SLICE("[fd00::1]:1")), "without the weight");
    cr_expect_eq(endpoint.weight, 7);

    cr_assert(value_parse_endpoint(SLICE("unix:/run/a b.sock"), false, &endpoint, &why));
    cr_expect_null(endpoint.host.data);
    cr_expect(slice_equal(endpoint.path, SLICE("/run/a b.sock")));
}

Test(values, endpoints_that_cannot_be)
{
    static const char *const bad[] = {
        "",           ":",           ":80",         "host",
        "host:",      "host:0",      "host:x",      "h:65536",
        "ho st:80",   "host:80:1",   "::1:80",      "[::1]",
        "[::1]80",    "[::1",        "[]:80",       "[localhost]:1",
        "[::1%lo]:1", "unix:",       "unix:a",      "/run/a",
        "host:80 ",   "ho\x80st:80", "http://a:80", "host:184467440737095516160",
    };
    struct value_endpoint endpoint;
    char path[160] = "unix:/";

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect_not(value_parse_endpoint(slice_string(bad[i]), false, &endpoint, &why), "%s",
                      bad[i]);
    cr_expect_not(value_parse_endpoint(SLICE("h:80:0"), true, &endpoint, &why));
    cr_expect_not(value_parse_endpoint(SLICE("h:80:1001"), true, &endpoint, &why));
    cr_expect_not(value_parse_endpoint(SLICE("h:80:1:1"), true, &endpoint, &why));
    memset(path + 5, '/', 108);
    cr_expect_not(value_parse_endpoint(slice_of(path, 5 + 108), false, &endpoint, &why));
    cr_expect(value_parse_endpoint(slice_of(path, 5 + 107), false, &endpoint, &why));
}

Test(values, networks)
{
    static const uint8_t ten[16] = { [10] = 0xff, [11] = 0xff, [12] = 10 };
    static const char *const back[] = { "10.0.0.0/8", "10.1.2.3/32", "0.0.0.0/0",     "fd00::/8",
                                        "::/0",       "::1/128",     "192.168.4.0/22" };
    static const char *const bad[] = { "",
                                       "/8",
                                       "10.0.0.0/",
                                       "10.0.0.0/33",
                                       "10.0.0/8",
                                       "10.0.0.1/8",
                                       "fd00::1/8",
                                       "fd00::/129",
                                       "10.0.0.0/-1",
                                       "300.0.0.0/8",
                                       "localhost",
                                       "10.0.0.0/8/8",
                                       "1111:2222:3333:4444:5555:6666:7777:8888:9999/1" };
    struct config_cidr cidr;
    char text[VALUE_TEXT];

    cr_assert(value_parse_cidr(SLICE("10.0.0.0/8"), &cidr, &why));
    cr_expect_arr_eq(cidr.address, ten, 16);
    cr_expect_eq(cidr.bits, 104);
    for (size_t i = 0; i < sizeof(back) / sizeof(back[0]); i++) {
        cr_assert(value_parse_cidr(slice_string(back[i]), &cidr, &why), "%s", back[i]);
        cr_expect_str_eq(value_format_cidr(&cidr, text), back[i]);
    }
    cr_assert(value_parse_cidr(SLICE("10.1.2.3"), &cidr, &why), "one host");
    cr_expect_eq(cidr.bits, 128);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect_not(value_parse_cidr(slice_string(bad[i]), &cidr, &why), "%s", bad[i]);
}

Test(values, modes_are_octal)
{
    static const char *const bad[] = { "", "66", "0668", "1777", "rw", "00660" };
    int mode = 0;

    cr_assert(value_parse_mode(SLICE("0660"), &mode, &why));
    cr_expect_eq(mode, 0660);
    cr_assert(value_parse_mode(SLICE("600"), &mode, &why));
    cr_expect_eq(mode, 0600);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect_not(value_parse_mode(slice_string(bad[i]), &mode, &why), "%s", bad[i]);
}
