/*
 * A latency histogram with one writer and any reader: 8 sub-buckets for each power of two, from
 * 1 microsecond to 67 seconds, so that a quantile is right within 12.5 %.
 */
#ifndef CROSSFADE_BASE_HISTOGRAM_H
#define CROSSFADE_BASE_HISTOGRAM_H

#include "crossfade/base/counter.h"

#define HISTOGRAM_BUCKETS (24u * 8u)

struct histogram {
    counter sum; /* microseconds */
    counter buckets[HISTOGRAM_BUCKETS];
};

/* A plain sum of several histograms, for a reader. */
struct histogram_view {
    uint64_t count;
    uint64_t sum;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, uint64_t microseconds);
void histogram_view_add(struct histogram_view *view, const struct histogram *histogram);
/* quantile in parts per million; microseconds, the upper edge of its bucket; 0 without samples. */
uint64_t histogram_view_quantile(const struct histogram_view *view, unsigned quantile_ppm);
/* How many samples were at most `microseconds` (for Prometheus' cumulative buckets). */
uint64_t histogram_view_below(const struct histogram_view *view, uint64_t microseconds);

#endif
