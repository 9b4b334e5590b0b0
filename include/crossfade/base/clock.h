/*
 * Time. A loop reads the clock once per turn and keeps it (struct worker has `now`); everything in
 * that turn uses the kept value. Tests set a fake time.
 */
#ifndef CROSSFADE_BASE_CLOCK_H
#define CROSSFADE_BASE_CLOCK_H

#include <stdint.h>

/* Microseconds of the monotonic clock: for timeouts and durations. */
uint64_t clock_now(void);
/* Microseconds since 1970, UTC: for logs, the audit log and expiry that is stored. */
uint64_t clock_wall(void);

/* From now on both clocks stand at these values (tests only); zero in both: the real ones again. */
void clock_fake(uint64_t now, uint64_t wall);

/* "2026-11-25T12:00:00.123456Z" into out, which has at least CLOCK_TEXT bytes. */
#define CLOCK_TEXT 32
void clock_format(uint64_t wall, char *out);

#define MILLISECONDS(n) ((uint64_t)(n)*1000u)
#define SECONDS(n) ((uint64_t)(n)*1000000u)

#endif
