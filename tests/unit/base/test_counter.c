#include "crossfade/base/clock.h"
#include "crossfade/base/counter.h"
#include "crossfade/base/histogram.h"

#include <criterion/criterion.h>
#include <stdio.h>

struct block {
    counter a;
    counter b;
};

Test(counter, cells_keep_their_index_and_sum_over_workers)
{
    struct cells *cells = cells_create(3, sizeof(struct block));
    struct block *block;

    cr_assert_eq(cells_index(cells, "one"), 0);
    cr_assert_eq(cells_index(cells, "two"), 1);
    cr_assert_eq(cells_index(cells, "one"), 0);
    for (unsigned w = 0; w < 3; w++) {
        block = cells_get(cells, 1, w);
        counter_add(&block->b, w + 1);
    }
    cr_assert_eq(cells_sum(cells, 1, offsetof(struct block, b)), 6);
    cr_assert_eq(cells_sum(cells, 1, offsetof(struct block, a)), 0);
    cr_assert_eq(cells_sum(cells, 0, offsetof(struct block, b)), 0);
    cells_destroy(cells);
}

Test(counter, names_are_bounded)
{
    struct cells *cells = cells_create(1, 8);
    char name[16];

    for (unsigned i = 0; i < CELLS_MAX; i++) {
        (void)snprintf(name, sizeof(name), "%u", i);
        cr_assert_eq(cells_index(cells, name), (int)i);
    }
    cr_assert_eq(cells_index(cells, "one more"), -1);
    cells_destroy(cells);
}

Test(histogram, a_quantile_is_right_within_an_eighth)
{
    static struct histogram histogram;
    struct histogram_view view = { 0 };

    for (uint64_t i = 1; i <= 100000; i++)
        histogram_add(&histogram, i);
    histogram_view_add(&view, &histogram);
    cr_assert_eq(view.count, 100000);
    cr_assert_eq(view.sum, 100000ull * 100001 / 2);
    for (unsigned q = 10000; q < 1000000; q += 10000) {
        uint64_t exact = q / 10;
        uint64_t found = histogram_view_quantile(&view, q);
        cr_expect_geq(found, exact, "%u", q);
        cr_expect_leq(found, exact + exact / 7 + 2, "%u: %llu", q, (unsigned long long)found);
    }
    cr_assert_eq(histogram_view_below(&view, 7), 7);
}

Test(histogram, the_largest_values_have_a_bucket_too)
{
    static struct histogram histogram;
    struct histogram_view view = { 0 };

    histogram_add(&histogram, UINT64_MAX);
    histogram_add(&histogram, 0);
    histogram_view_add(&view, &histogram);
    cr_assert_eq(view.count, 2);
    cr_assert_gt(histogram_view_quantile(&view, 999999), 60000000u);
}

Test(clock, is_written_in_utc_with_microseconds)
{
    char text[CLOCK_TEXT];
    clock_format(1795608000123456u, text);
    cr_assert_str_eq(text, "2026-11-25T12:00:00.123456Z");
}
