#include "crossfade/base/clock.h"
#include "crossfade/route/misses.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

static struct slice numbered(char out[32], unsigned n)
{
    return slice_of(out, (size_t)snprintf(out, 32, "py3.1:key:%u", n));
}

Test(misses, a_size_is_rounded_up)
{
    static const unsigned sizes[][2] = {
        { 0, 64 }, { 64, 64 }, { 65, 128 }, { 1000, 1024 }, { 65536, 65536 }
    };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct misses *misses = misses_create(sizes[i][0]);
        cr_assert_eq(misses_entries(misses), sizes[i][1]);
        misses_destroy(misses);
    }
}

Test(misses, a_miss_is_taken_once)
{
    struct misses *misses = misses_create(64);
    uint64_t now = SECONDS(1000);
    cr_assert(!misses_take(misses, SLICE("a"), now));
    misses_record(misses, SLICE("a"), now);
    misses_record(misses, SLICE("a"), now);
    cr_assert(!misses_take(misses, SLICE("b"), now));
    cr_assert(misses_take(misses, SLICE("a"), now + 1));
    cr_assert(!misses_take(misses, SLICE("a"), now + 1));
    misses_destroy(misses);
}

Test(misses, a_miss_stands_for_the_window_and_no_longer)
{
    struct misses *misses = misses_create(64);
    /* Every phase of the rounding, and a start where the stored time comes round. */
    for (uint64_t start = 0; start < SECONDS(4); start += 333333) {
        static const uint64_t bases[] = { 0, SECONDS(1000), (UINT64_C(1) << 40) - SECONDS(30) };
        for (unsigned i = 0; i < 3; i++) {
            uint64_t now = bases[i] + start;
            misses_record(misses, SLICE("a"), now);
            cr_assert(misses_take(misses, SLICE("a"), now + MISSES_WINDOW - SECONDS(3)));
            misses_record(misses, SLICE("a"), now);
            cr_assert(!misses_take(misses, SLICE("a"), now + MISSES_WINDOW));
            cr_assert(!misses_take(misses, SLICE("a"), now), "too old is forgotten");
        }
    }
    misses_destroy(misses);
}

Test(misses, a_clock_that_was_read_a_moment_later_elsewhere_does_no_harm)
{
    struct misses *misses = misses_create(64);
    for (uint64_t now = SECONDS(1000); now < SECONDS(1004); now += 100000) {
        misses_record(misses, SLICE("a"), now + MILLISECONDS(300));
        cr_assert(misses_take(misses, SLICE("a"), now));
    }
    misses_destroy(misses);
}

Test(misses, as_many_as_half_its_entries_are_mostly_kept)
{
    enum { ENTRIES = 4096 };
    struct misses *misses = misses_create(ENTRIES);
    char key[32];
    unsigned kept = 0;
    for (unsigned i = 0; i < ENTRIES / 2; i++)
        misses_record(misses, numbered(key, i), SECONDS(5));
    for (unsigned i = 0; i < ENTRIES / 2; i++)
        kept += misses_take(misses, numbered(key, i), SECONDS(6));
    cr_assert_gt(kept, ENTRIES / 2 * 9 / 10, "%u", kept);
    for (unsigned i = 0; i < 100000; i++)
        cr_assert(!misses_take(misses, numbered(key, i), SECONDS(6)));
    misses_destroy(misses);
}

Test(misses, the_oldest_gives_way)
{
    struct misses *misses = misses_create(64);
    char key[32];
    unsigned kept = 0;
    for (unsigned i = 0; i < 1000; i++)
        misses_record(misses, numbered(key, i), SECONDS(5));
    for (unsigned i = 1000; i < 1016; i++)
        misses_record(misses, numbered(key, i), SECONDS(20));
    for (unsigned i = 1000; i < 1016; i++)
        kept += misses_take(misses, numbered(key, i), SECONDS(21));
    cr_assert_geq(kept, 14, "%u", kept);
    misses_destroy(misses);
}

/* -- Threads ----------------------------------------------------------------------------------- */

enum { THREADS = 4, ROUNDS = 30, KEYS = 4000 };

struct shared {
    struct misses *misses;
    pthread_barrier_t barrier;
    _Atomic unsigned taken;
};

/* All record the same keys, then all try to take each: whoever comes first has it. */
static void *work(void *argument)
{
    struct shared *shared = argument;
    char key[32];

    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned n = 0; n < KEYS; n++)
            misses_record(shared->misses, numbered(key, n), SECONDS(1));
        pthread_barrier_wait(&shared->barrier);
        for (unsigned n = 0; n < KEYS; n++)
            if (misses_take(shared->misses, numbered(key, n), SECONDS(1)))
                atomic_fetch_add(&shared->taken, 1);
        pthread_barrier_wait(&shared->barrier);
    }
    return NULL;
}

/*
 * Two threads that record a key at once may each make an entry of it. Here the entries are recorded
 * by one thread, so that more takes than keys are a miss that was taken twice.
 */
static void *take_all(void *argument)
{
    struct shared *shared = argument;
    char key[32];

    for (unsigned round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&shared->barrier);
        for (unsigned n = 0; n < KEYS; n++)
            if (misses_take(shared->misses, numbered(key, n), SECONDS(1)))
                atomic_fetch_add(&shared->taken, 1);
        pthread_barrier_wait(&shared->barrier);
    }
    return NULL;
}

static void run(struct shared *shared, void *(*body)(void *), pthread_t threads[THREADS])
{
    shared->misses = misses_create(KEYS * 16);
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
            misses_record(shared.misses, numbered(key, n), SECONDS(1));
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
