/*
 * Assertions that are always on: a failed one is our bug, never a peer's doing.
 * Prints the condition and its place on standard error, then aborts.
 */
#ifndef CROSSFADE_BASE_ENSURE_H
#define CROSSFADE_BASE_ENSURE_H

_Noreturn void ensure_failed(const char *condition, const char *file, int line);

#define ensure(condition) ((condition) ? (void)0 : ensure_failed(#condition, __FILE__, __LINE__))

/* A fallible function returns a value that has to be looked at. */
#define MUST_CHECK __attribute__((warn_unused_result))

#endif
