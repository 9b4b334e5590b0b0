/*
 * The entry of every fuzz target, as libFuzzer calls it: any bytes, returns 0, and a broken promise
 * of the code under test ends in ensure() or a sanitizer's report.
 */
#ifndef CROSSFADE_TESTS_FUZZ_H
#define CROSSFADE_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
