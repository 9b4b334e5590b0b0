#include "crossfade/base/clock.h"
#include "crossfade/route/misses.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define WINDOW SECONDS(30)
#define T0 SECONDS(1000)

static struct slice numbered(char out[32], unsigned n)
{
    return slice_of(out, (size_t)snprintf(out, 32, "py3.1:key:%u", n));
}

static struct misses_counts counts;

static struct misses *make(unsigned entries)
{
    struct misses *misses = misses_create(entries, WINDOW, T0);

    cr_assert_not_null(misses);
    return misses;
}

static struct miss of(struct slice key)
{
    return (struct miss){ .salt = 7, .key = key };
}

static void record(struct misses *misses, struct slice key, uint64_t now)
{
    struct miss miss = of(key);

    misses_tick(misses, now);
    misses_record(misses, &counts, &miss, NULL, now);
}

static bool take(struct misses *misses, struct slice key, uint64_t now)
{
    struct miss miss = of(key);

    return misses_take_recent(misses, &counts, &miss, now);
}

static struct token token_of(uint64_t n)
{
    return (struct token){ { n, n } };
}

/* In epoch mode; 0: the token is not known. */
static void missed(struct misses *misses, const char *key, uint64_t n, uint64_t now)
{
    struct miss miss = of(slice_string(key));
    struct token token = token_of(n);

    misses_record(misses, &counts, &miss, &token, now);
}

static enum miss_verdict judge(struct misses *misses, const char *key, uint64_t now, uint64_t *n)
{
    struct miss miss = of(slice_string(key));
    struct token token;
    enum miss_verdict verdict = misses_take(misses, &counts, &miss, now, &token);

    *n = token.words[0];
    return verdict;
}

static void expect(struct misses *misses, const char *key, uint64_t now, enum miss_verdict verdict)
{
    uint64_t n;

    cr_assert_eq(judge(misses, key, now, &n), verdict, "%s", key);
}

static void expect_fill(struct misses *misses, const char *key, uint64_t now, uint64_t wanted)
{
    uint64_t n;

    cr_assert_eq(judge(misses, key, now, &n), MISS_FILL);
    cr_assert_eq(n, wanted);
}

Test(misses, a_size_is_rounded_up)
{
    static const unsigned sizes[][2] = {
        { 0, 64 }, { 64, 64 }, { 65, 128 }, { 1000, 1024 }, { 65536, 65536 }
    };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct misses *misses = make(sizes[i][0]);
        cr_assert_eq(misses_entries(misses), sizes[i][1]);
        misses_destroy(misses);
    }
}

Test(misses, a_miss_is_taken_once)
{
    struct misses *misses = make(64);
    uint64_t now = SECONDS(1000);
    cr_assert(!take(misses, SLICE("a"), now));
    record(misses, SLICE("a"), now);
    record(misses, SLICE("a"), now);
    cr_assert(!take(misses, SLICE("b"), now));
    cr_assert(take(misses, SLICE("a"), now + 1));
    cr_assert(!take(misses, SLICE("a"), now + 1));
    misses_destroy(misses);
}

Test(misses, a_miss_stands_for_the_window_and_no_longer)
{
    struct misses *misses = make(64);
    /* Every phase of the rounding, and a start where the stored time comes round. */
    for (uint64_t start = 0; start < SECONDS(4); start += 333333) {
        static const uint64_t bases[] = { 0, SECONDS(1000), (UINT64_C(1) << 40) - SECONDS(30) };
        for (unsigned i = 0; i < 3; i++) {
            uint64_t now = bases[i] + start;
            record(misses, SLICE("a"), now);
            cr_assert(take(misses, SLICE("a"), now + MISSES_WINDOW - SECONDS(3)));
            record(misses, SLICE("a"), now);
            cr_assert(!take(misses, SLICE("a"), now + MISSES_WINDOW));
            cr_assert(!take(misses, SLICE("a"), now), "too old is forgotten");
        }
    }
    misses_destroy(misses);
}

Test(misses, a_clock_that_was_read_a_moment_later_elsewhere_does_no_harm)
{
    struct misses *misses = make(64);
    for (uint64_t now = SECONDS(1000); now < SECONDS(1004); now += 100000) {
        record(misses, SLICE("a"), now + MILLISECONDS(300));
        cr_assert(take(misses, SLICE("a"), now));
    }
    misses_destroy(misses);
}

Test(misses, as_many_as_half_its_entries_are_mostly_kept)
{
    enum { ENTRIES = 4096 };
    struct misses *misses = make(ENTRIES);
    char key[32];
    unsigned kept = 0;
    for (unsigned i = 0; i < ENTRIES / 2; i++)
        record(misses, numbered(key, i), SECONDS(5));
    for (unsigned i = 0; i < ENTRIES / 2; i++)
        kept += take(misses, numbered(key, i), SECONDS(6));
    cr_assert_gt(kept, ENTRIES / 2 * 9 / 10, "%u", kept);
    for (unsigned i = 0; i < 100000; i++)
        cr_assert(!take(misses, numbered(key, i), SECONDS(6)));
    misses_destroy(misses);
}

Test(misses, the_oldest_gives_way)
{
    struct misses *misses = make(64);
    char key[32];
    unsigned kept = 0;
    for (unsigned i = 0; i < 1000; i++)
        record(misses, numbered(key, i), SECONDS(5));
    for (unsigned i = 1000; i < 1016; i++)
        record(misses, numbered(key, i), SECONDS(20));
    for (unsigned i = 1000; i < 1016; i++)
        kept += take(misses, numbered(key, i), SECONDS(21));
    cr_assert_geq(kept, 14, "%u", kept);
    misses_destroy(misses);
}

/* -- Epoch mode -------------------------------------------------------------------------------- */

Test(misses, a_set_takes_the_token_of_its_miss_and_each_miss_one_set)
{
    struct misses *misses = make(64);

    expect(misses, "a", T0, MISS_NONE);
    missed(misses, "a", 5, T0);
    missed(misses, "a", 5, T0 + 1);
    expect(misses, "b", T0, MISS_NONE);
    expect_fill(misses, "a", T0 + 2, 5);
    missed(misses, "a", 5, T0 + 3);
    expect_fill(misses, "a", T0 + 4, 5);
    expect_fill(misses, "a", T0 + 5, 5);
    expect(misses, "a", T0 + 6, MISS_NONE);
    misses_destroy(misses);
}

Test(misses, arms_and_kinds_are_apart)
{
    struct misses *misses = make(64);
    struct token token = token_of(5);
    struct miss miss = { .salt = 1, .key = SLICE("a") };
    struct miss other = { .salt = 2, .key = SLICE("a") };

    misses_record(misses, &counts, &miss, &token, T0);
    cr_assert_eq(misses_take(misses, &counts, &other, T0, &token), MISS_NONE);
    cr_assert_eq(misses_take(misses, &counts, &miss, T0, &token), MISS_FILL);
    misses_destroy(misses);
}

/* Two readers miss, the key changes, a third misses: whose fill is it? */
Test(misses, misses_of_several_tokens_are_mixed_until_all_are_answered)
{
    struct misses *misses = make(64);

    missed(misses, "a", 1, T0);
    missed(misses, "a", 1, T0);
    expect_fill(misses, "a", T0 + 1, 1);
    missed(misses, "a", 2, T0 + 2);
    expect(misses, "a", T0 + 3, MISS_MIXED);
    missed(misses, "a", 2, T0 + 4);
    expect(misses, "a", T0 + 5, MISS_MIXED);
    expect(misses, "a", T0 + 5, MISS_MIXED);
    expect(misses, "a", T0 + 6, MISS_NONE);
    missed(misses, "a", 3, T0 + 7);
    expect_fill(misses, "a", T0 + 8, 3);
    misses_destroy(misses);
}

/* A reader that never fills must not keep a busy key out for ever. */
Test(misses, mixed_ends_when_the_old_misses_are_older_than_the_window)
{
    struct misses *misses = make(64);
    uint64_t now = T0;

    missed(misses, "a", 1, T0);
    missed(misses, "a", 2, T0 + SECONDS(5));
    for (now = T0 + SECONDS(6); now < T0 + WINDOW; now += SECONDS(1)) {
        missed(misses, "a", 2, now);
        expect(misses, "a", now, MISS_MIXED);
    }
    for (; now < T0 + WINDOW + SECONDS(1); now += 10000) {
        uint64_t n;
        enum miss_verdict verdict;
        missed(misses, "a", 2, now);
        verdict = judge(misses, "a", now, &n);
        cr_assert(verdict == MISS_MIXED || (verdict == MISS_FILL && now > T0 + WINDOW));
    }
    missed(misses, "a", 2, now);
    expect_fill(misses, "a", now, 2);
    misses_destroy(misses);
}

Test(misses, an_old_token_after_a_new_one_is_mixed_too)
{
    struct misses *misses = make(64);

    missed(misses, "a", 2, T0);
    missed(misses, "a", 1, T0 + 1);
    missed(misses, "a", 2, T0 + 2);
    for (unsigned i = 0; i < 3; i++)
        expect(misses, "a", T0 + 3, MISS_MIXED);
    expect(misses, "a", T0 + 3, MISS_NONE);
    misses_destroy(misses);
}

Test(misses, a_miss_of_a_server_that_was_down_keeps_fills_away_for_a_short_while)
{
    struct misses *misses = make(64);

    missed(misses, "a", 0, T0);
    missed(misses, "a", 0, T0 + SECONDS(1));
    missed(misses, "a", 2, T0 + SECONDS(3));
    expect(misses, "a", T0 + SECONDS(4), MISS_MIXED);
    expect_fill(misses, "a", T0 + SECONDS(8), 2);
    /* One with a token does so for the window. */
    missed(misses, "b", 1, T0);
    missed(misses, "b", 2, T0 + SECONDS(3));
    expect(misses, "b", T0 + SECONDS(8), MISS_MIXED);
    misses_destroy(misses);
}

Test(misses, what_is_not_known_is_not_believed)
{
    struct misses *misses = make(64);
    struct miss fanout = of(SLICE("f"));

    missed(misses, "a", 0, T0);
    expect(misses, "a", T0 + 1, MISS_MIXED);
    expect(misses, "a", T0 + 2, MISS_NONE);
    /* With others: none of them is believed. */
    missed(misses, "b", 1, T0);
    missed(misses, "b", 0, T0);
    expect(misses, "b", T0 + 1, MISS_MIXED);
    missed(misses, "b", 2, T0);
    expect(misses, "b", T0 + 1, MISS_MIXED);
    expect(misses, "b", T0 + 1, MISS_MIXED);
    /* Recorded in fan-out mode, before a reload. */
    misses_record(misses, &counts, &fanout, NULL, T0);
    expect(misses, "f", T0 + 1, MISS_DOUBT);
    misses_record(misses, &counts, &fanout, NULL, T0);
    missed(misses, "f", 3, T0 + 1);
    expect(misses, "f", T0 + 2, MISS_MIXED);
    missed(misses, "f", 3, T0);
    misses_record(misses, &counts, &fanout, NULL, T0);
    expect(misses, "f", T0 + 1, MISS_DOUBT);
    /* And the other way round. */
    missed(misses, "f", 3, T0);
    cr_assert(!misses_take_recent(misses, &counts, &fanout, T0 + 1));
    misses_destroy(misses);
}

Test(misses, a_late_set_is_in_doubt_for_one_more_window)
{
    struct misses *misses = make(64);

    for (uint64_t phase = 0; phase < SECONDS(1); phase += 9999) {
        uint64_t now = T0 + phase;
        missed(misses, "a", 1, now);
        missed(misses, "a", 1, now);
        expect_fill(misses, "a", now + WINDOW, 1);
        expect(misses, "a", now + WINDOW + MILLISECONDS(200), MISS_DOUBT);
        expect(misses, "a", now + WINDOW + MILLISECONDS(200), MISS_NONE);
        missed(misses, "a", 1, now);
        expect(misses, "a", now + 2 * WINDOW, MISS_DOUBT);
        missed(misses, "a", 1, now);
        expect(misses, "a", now + 2 * WINDOW + MILLISECONDS(400), MISS_NONE);
        /* A new miss does not bring the old ones back. */
        missed(misses, "a", 1, now);
        missed(misses, "a", 2, now + WINDOW + MILLISECONDS(200));
        expect_fill(misses, "a", now + WINDOW + MILLISECONDS(201), 2);
        expect(misses, "a", now + WINDOW + MILLISECONDS(202), MISS_NONE);
    }
    misses_destroy(misses);
}

Test(misses, more_misses_than_can_be_counted_never_come_to_none)
{
    struct misses *misses = make(64);

    for (unsigned i = 0; i < 70000; i++)
        missed(misses, "a", 1, T0);
    for (unsigned i = 0; i < 70000; i++)
        expect_fill(misses, "a", T0 + 1, 1);
    expect_fill(misses, "a", T0 + 2, 1);
    misses_destroy(misses);
}

/* Of a memory of 64 entries most of these are lost: none of them may count as a mutation, whether
 * the key is missed again or not. */
Test(misses, a_miss_that_was_lost_is_in_doubt)
{
    enum { KEYS = 2000 };
    char key[32];
    uint64_t n;

    for (unsigned again = 0; again < 2; again++) {
        struct misses *misses = make(64);
        unsigned fills = 0;

        counter_set(&counts.lost, 0);
        for (unsigned i = 0; i < KEYS; i++)
            missed(misses, numbered(key, i).data, 1, T0 + i);
        cr_assert_geq(counter_get(&counts.lost), KEYS - 64);
        for (unsigned i = 0; i < KEYS; i++) {
            enum miss_verdict verdict;
            if (again == 1)
                missed(misses, numbered(key, i).data, 2, T0 + SECONDS(20));
            verdict = judge(misses, numbered(key, i).data, T0 + SECONDS(29), &n);
            cr_assert(verdict == MISS_DOUBT ||
                          (again == 1 ? verdict == MISS_MIXED : verdict == MISS_FILL && n == 1),
                      "%u: %d", i, verdict);
            fills += verdict == MISS_FILL;
        }
        cr_assert_leq(fills, 64);
        /* It ends. */
        missed(misses, "z", 3, T0 + 3 * WINDOW);
        expect_fill(misses, "z", T0 + 3 * WINDOW + 1, 3);
        for (unsigned i = 0; i < KEYS; i++)
            expect(misses, numbered(key, i).data, T0 + 5 * WINDOW, MISS_NONE);
        misses_destroy(misses);
    }
}

Test(misses, one_loss_puts_few_other_keys_in_doubt)
{
    struct misses *misses = make(65536);
    char key[32];
    unsigned doubts = 0;
    uint64_t n;

    for (unsigned i = 0; i < 16384; i++)
        missed(misses, numbered(key, i).data, 1, T0);
    for (unsigned i = 100000; i < 140000; i++)
        doubts += judge(misses, numbered(key, i).data, T0 + 1, &n) == MISS_DOUBT;
    cr_assert_lt(doubts, 400, "%u", doubts);
    misses_destroy(misses);
}

Test(misses, a_changed_window_puts_all_in_doubt_for_one)
{
    struct misses *misses = make(64);

    missed(misses, "a", 1, T0);
    misses_set_window(misses, WINDOW, T0);
    expect_fill(misses, "a", T0, 1);
    misses_set_window(misses, SECONDS(10), T0);
    missed(misses, "a", 1, T0);
    expect(misses, "a", T0 + SECONDS(1), MISS_DOUBT);
    expect(misses, "b", T0 + SECONDS(29), MISS_DOUBT);
    expect(misses, "b", T0 + SECONDS(31), MISS_NONE);
    misses_destroy(misses);
}

/* Stored times come round in 71 minutes. */
Test(misses, without_ticks_nothing_is_believed_and_with_them_all_is_forgotten)
{
    struct misses *misses = make(4096);
    char key[32];

    for (unsigned i = 0; i < 1000; i++)
        missed(misses, numbered(key, i).data, 1, T0);
    misses_tick(misses, T0);
    expect(misses, "other", T0 + SECONDS(601), MISS_DOUBT);
    misses_tick(misses, T0 + SECONDS(602));
    expect(misses, "other", T0 + SECONDS(603), MISS_NONE);
    for (unsigned i = 0; i < 1000; i++)
        missed(misses, numbered(key, i).data, 1, T0 + SECONDS(700));
    for (uint64_t now = T0 + SECONDS(700); now < T0 + SECONDS(900); now += MILLISECONDS(100))
        misses_tick(misses, now);
    for (unsigned i = 0; i < 1000; i++)
        missed(misses, numbered(key, i).data, 1, T0 + SECONDS(900));
    for (uint64_t now = T0 + SECONDS(900); now < T0 + SECONDS(5000); now += MILLISECONDS(100))
        misses_tick(misses, now);
    for (unsigned i = 0; i < 1000; i++)
        expect(misses, numbered(key, i).data, T0 + (UINT64_C(1) << 32), MISS_NONE);
    misses_destroy(misses);
}

/* -- The file ---------------------------------------------------------------------------------- */

static void make_folder(char folder[64])
{
    (void)snprintf(folder, 64, "/tmp/test_misses.XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
}

static void file_in(const char *folder, char path[96])
{
    (void)snprintf(path, 96, "%s/" MISSES_FILE, folder);
}

static void remove_folder(const char *folder)
{
    char path[96];

    file_in(folder, path);
    (void)unlink(path);
    cr_assert_eq(rmdir(folder), 0, "more than the file was left there");
}

Test(misses, the_file_survives_its_process)
{
    char folder[64];
    char path[96];
    struct misses *misses;
    struct misses *other;
    struct stat about;

    make_folder(folder);
    file_in(folder, path);
    misses = misses_open(folder, 1024, WINDOW, T0);
    expect(misses, "new", T0, MISS_NONE);
    cr_assert_eq(stat(path, &about), 0);
    cr_assert_eq(about.st_mode & 0777, 0600);
    cr_assert_eq(about.st_size, 4096 + 1024 * 32);
    missed(misses, "a", 1, T0);
    missed(misses, "b", 1, T0);
    /* Two processes at once, as in an upgrade. */
    other = misses_open(folder, 1024, WINDOW, T0 + 1);
    expect_fill(other, "a", T0 + 2, 1);
    expect(misses, "a", T0 + 2, MISS_NONE);
    missed(other, "c", 3, T0 + 3);
    expect_fill(misses, "c", T0 + 4, 3);
    misses_destroy(misses);
    expect(other, "d", T0 + 5, MISS_NONE);
    misses_destroy(other);
    misses = misses_open(folder, 1024, WINDOW, T0 + SECONDS(2));
    expect_fill(misses, "b", T0 + SECONDS(2), 1);
    expect(misses, "d", T0 + SECONDS(2), MISS_NONE);
    misses_destroy(misses);
    remove_folder(folder);
}

static void expect_doubt(const char *folder, unsigned entries, uint64_t window, uint64_t now)
{
    struct misses *misses = misses_open(folder, entries, window, now);

    cr_assert_not_null(misses);
    cr_assert_eq(misses_entries(misses), entries);
    expect(misses, "d", now + 1, MISS_DOUBT);
    missed(misses, "d", 1, now + 2);
    expect(misses, "d", now + window - 1, MISS_DOUBT);
    expect(misses, "d", now + WINDOW + window, MISS_NONE);
    misses_destroy(misses);
}

static void damage(const char *folder, off_t at, const char *bytes, size_t len)
{
    char path[96];
    int fd;

    file_in(folder, path);
    fd = open(path, O_RDWR);
    cr_assert(fd >= 0 && pwrite(fd, bytes, len, at) == (ssize_t)len && close(fd) == 0);
}

Test(misses, another_size_window_or_form_begins_in_doubt)
{
    char folder[64];
    char path[96];
    struct misses *misses;
    uint64_t now = T0;

    make_folder(folder);
    file_in(folder, path);
    misses_destroy(misses_open(folder, 1024, WINDOW, now));
    expect_doubt(folder, 2048, WINDOW, now);
    expect_doubt(folder, 2048, SECONDS(10), now += 3 * WINDOW);
    damage(folder, 0, "X", 1);
    expect_doubt(folder, 2048, SECONDS(10), now += 3 * WINDOW);
    damage(folder, 8, "\0\0\0\0", 4);
    expect_doubt(folder, 2048, SECONDS(10), now += 3 * WINDOW);
    damage(folder, 12, "\xff\xff\xff\xff", 4);
    expect_doubt(folder, 2048, SECONDS(10), now += 3 * WINDOW);
    cr_assert_eq(truncate(path, 5000), 0);
    expect_doubt(folder, 2048, SECONDS(10), now += 3 * WINDOW);
    cr_assert_eq(truncate(path, 0), 0);
    expect_doubt(folder, 2048, SECONDS(10), now += 3 * WINDOW);
    /* A link or a folder in its place is not followed, nor removed. */
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(symlink("/tmp/nowhere", path), 0);
    expect_doubt(folder, 2048, SECONDS(10), now += 3 * WINDOW);
    cr_assert_eq(unlink(path), 0);
    misses = misses_open("/nonexistent", 64, WINDOW, now);
    expect(misses, "d", now + 1, MISS_DOUBT);
    misses_destroy(misses);
    remove_folder(folder);
}

/* What was recorded before the machine started is over; only right after that it may matter. */
Test(misses, another_start_of_the_machine_begins_anew)
{
    char folder[64];
    struct misses *misses;

    make_folder(folder);
    misses = misses_open(folder, 64, WINDOW, T0);
    missed(misses, "a", 1, T0);
    misses_destroy(misses);
    damage(folder, 24, "x", 1);
    misses = misses_open(folder, 64, WINDOW, T0);
    expect(misses, "a", T0, MISS_NONE);
    misses_destroy(misses);
    damage(folder, 24, "x", 1);
    misses = misses_open(folder, 64, WINDOW, SECONDS(12));
    expect(misses, "a", SECONDS(12), MISS_DOUBT);
    expect(misses, "a", SECONDS(31), MISS_NONE);
    misses_destroy(misses);
    remove_folder(folder);
}

Test(misses, a_set_that_a_dead_process_owned_is_in_doubt_and_usable_again)
{
    char folder[64];
    struct misses *misses;

    make_folder(folder);
    misses = misses_open(folder, 64, WINDOW, T0);
    missed(misses, "a", 1, T0);
    misses_destroy(misses);
    for (unsigned i = 0; i < 16; i++)
        damage(folder, 4096 + 128 * i + 56, "\1\0\0\0", 4);
    misses = misses_open(folder, 64, WINDOW, T0 + 1);
    expect(misses, "a", T0 + 2, MISS_DOUBT);
    missed(misses, "a", 2, T0 + 3 * WINDOW);
    expect_fill(misses, "a", T0 + 3 * WINDOW, 2);
    misses_destroy(misses);
    remove_folder(folder);
}

/* As long as another owns it nobody waits, and nothing becomes a mutation. */
Test(misses, a_set_that_is_busy_is_in_doubt)
{
    char folder[64];
    struct misses *misses;

    make_folder(folder);
    misses = misses_open(folder, 64, WINDOW, T0);
    for (unsigned i = 0; i < 16; i++)
        damage(folder, 4096 + 128 * i + 56, "\1\0\0\0", 4);
    missed(misses, "a", 1, T0);
    expect(misses, "b", T0 + 1, MISS_DOUBT);
    for (unsigned i = 0; i < 16; i++)
        damage(folder, 4096 + 128 * i + 56, "\0\0\0\0", 4);
    expect(misses, "a", T0 + 2, MISS_DOUBT);
    missed(misses, "a", 1, T0 + 3);
    expect(misses, "a", T0 + 4, MISS_DOUBT);
    misses_destroy(misses);
    remove_folder(folder);
}

/* -- Threads ----------------------------------------------------------------------------------- */

enum { THREADS = 4, ROUNDS = 30, KEYS = 4000 };

struct shared {
    struct misses *misses;
    pthread_barrier_t barrier;
    _Atomic unsigned taken;
};

static void put(struct misses *misses, struct slice key)
{
    struct misses_counts own = { 0 };
    struct miss miss = of(key);

    misses_record(misses, &own, &miss, NULL, SECONDS(1));
}

static bool get(struct misses *misses, struct slice key)
{
    struct misses_counts own = { 0 };
    struct miss miss = of(key);

    return misses_take_recent(misses, &own, &miss, SECONDS(1));
}

/* All record the same keys, then all try to take each: whoever comes first has it. */
static void *work(void *argument)
{
    struct shared *shared = argument;
    char key[32];

    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned n = 0; n < KEYS; n++)
            put(shared->misses, numbered(key, n));
        pthread_barrier_wait(&shared->barrier);
        for (unsigned n = 0; n < KEYS; n++)
            if (get(shared->misses, numbered(key, n)))
                atomic_fetch_add(&shared->taken, 1);
        pthread_barrier_wait(&shared->barrier);
    }
    return NULL;
}

/* The entries are recorded by one thread: more takes than keys are a miss that was taken twice. */
static void *take_all(void *argument)
{
    struct shared *shared = argument;
    char key[32];

    for (unsigned round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&shared->barrier);
        for (unsigned n = 0; n < KEYS; n++)
            if (get(shared->misses, numbered(key, n)))
                atomic_fetch_add(&shared->taken, 1);
        pthread_barrier_wait(&shared->barrier);
    }
    return NULL;
}

static void run(struct shared *shared, void *(*body)(void *), pthread_t threads[THREADS])
{
    shared->misses = make(KEYS * 64);
    cr_assert_eq(pthread_barrier_init(&shared->barrier, NULL, THREADS + (body == take_all)), 0);
    for (unsigned i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, body, shared), 0);
}

static void end(struct shared *shared, pthread_t threads[THREADS])
{
    for (unsigned i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    pthread_barrier_destroy(&shared->barrier);
    misses_destroy(shared->misses);
}

Test(misses, of_many_threads_one_takes_a_miss, .timeout = 60)
{
    struct shared shared = { 0 };
    pthread_t threads[THREADS];
    char key[32];

    run(&shared, take_all, threads);
    for (unsigned round = 1; round <= ROUNDS; round++) {
        for (unsigned n = 0; n < KEYS; n++)
            put(shared.misses, numbered(key, n));
        pthread_barrier_wait(&shared.barrier);
        pthread_barrier_wait(&shared.barrier);
        cr_assert_eq(shared.taken, round * KEYS);
    }
    end(&shared, threads);
}

Test(misses, threads_may_record_and_take_at_once, .timeout = 60)
{
    struct shared shared = { 0 };
    pthread_t threads[THREADS];

    run(&shared, work, threads);
    end(&shared, threads);
    cr_assert_geq(shared.taken, ROUNDS * KEYS);
    cr_assert_leq(shared.taken, ROUNDS * KEYS * THREADS);
}

/* Each thread misses and sets, on keys of all: as many sets as misses in the end leave nothing, and
 * on the way none is a mutation. */
static void *fill(void *argument)
{
    struct shared *shared = argument;
    struct misses_counts own = { 0 };
    char key[32];

    for (unsigned i = 0; i < 100000; i++) {
        struct miss miss = of(numbered(key, i % 5));
        struct token token = token_of(1);
        misses_record(shared->misses, &own, &miss, &token, T0);
        if (misses_take(shared->misses, &own, &miss, T0, &token) == MISS_NONE)
            atomic_fetch_add(&shared->taken, 1);
    }
    return NULL;
}

Test(misses, threads_count_the_misses_of_a_key, .timeout = 60)
{
    struct shared shared = { 0 };
    pthread_t threads[THREADS];
    char key[32];
    uint64_t n;

    run(&shared, fill, threads);
    for (unsigned i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    cr_assert_eq(shared.taken, 0);
    for (unsigned i = 0; i < 5; i++) {
        enum miss_verdict verdict = judge(shared.misses, numbered(key, i).data, T0, &n);
        /* One that was lost because others were busy leaves doubt, or a miss that nobody took. */
        cr_assert(verdict != MISS_MIXED);
    }
    misses_destroy(shared.misses);
}
