#include "crossfade/base/clock.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

static _Atomic uint64_t fake_now;
static _Atomic uint64_t fake_wall;

static uint64_t read_clock(clockid_t id)
{
    struct timespec t;
    (void)clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

uint64_t clock_now(void)
{
    uint64_t fake = atomic_load_explicit(&fake_now, memory_order_relaxed);
    return fake != 0 ? fake : read_clock(CLOCK_MONOTONIC);
}

uint64_t clock_wall(void)
{
    uint64_t fake = atomic_load_explicit(&fake_wall, memory_order_relaxed);
    return fake != 0 ? fake : read_clock(CLOCK_REALTIME);
}

void clock_fake(uint64_t now, uint64_t wall)
{
    atomic_store_explicit(&fake_now, now, memory_order_relaxed);
    atomic_store_explicit(&fake_wall, wall, memory_order_relaxed);
}

void clock_format(uint64_t wall, char *out)
{
    time_t seconds = (time_t)(wall / 1000000u);
    struct tm t;
    size_t len;

    (void)gmtime_r(&seconds, &t);
    len = strftime(out, CLOCK_TEXT, "%Y-%m-%dT%H:%M:%S", &t);
    (void)snprintf(out + len, CLOCK_TEXT - len, ".%06uZ", (unsigned)(wall % 1000000u));
}
