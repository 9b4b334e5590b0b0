#include "crossfade/base/histogram.h"

#define SUB_BITS 3u
#define SUB (1u << SUB_BITS)

/*
 * Values below 8 have a bucket each; above, the position of the leading bit chooses the group and
 * the next three bits the bucket in it:  bucket = (exponent - 2) * 8 + mantissa.
 */
static unsigned bucket_of(uint64_t value)
{
    unsigned exponent;
    unsigned bucket;

    if (value < SUB)
        return (unsigned)value;
    exponent = 63u - (unsigned)__builtin_clzll(value);
    bucket =
        (exponent - SUB_BITS + 1) * SUB + (unsigned)((value >> (exponent - SUB_BITS)) & (SUB - 1));
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

/* The largest value that falls into the bucket. */
static uint64_t upper_edge(unsigned bucket)
{
    unsigned exponent;
    uint64_t first;

    if (bucket < SUB)
        return bucket;
    exponent = bucket / SUB + SUB_BITS - 1;
    first = ((uint64_t)SUB + bucket % SUB) << (exponent - SUB_BITS);
    return first + ((uint64_t)1 << (exponent - SUB_BITS)) - 1;
}

void histogram_add(struct histogram *histogram, uint64_t microseconds)
{
    counter_add(&histogram->sum, microseconds);
    counter_add(&histogram->buckets[bucket_of(microseconds)], 1);
}

void histogram_view_add(struct histogram_view *view, const struct histogram *histogram)
{
    view->sum += counter_get(&histogram->sum);
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t n = counter_get(&histogram->buckets[i]);
        view->buckets[i] += n;
        view->count += n;
    }
}

uint64_t histogram_view_quantile(const struct histogram_view *view, unsigned quantile_ppm)
{
    uint64_t wanted = view->count * quantile_ppm / 1000000u;
    uint64_t seen = 0;

    if (view->count == 0)
        return 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += view->buckets[i];
        if (seen > wanted || seen == view->count)
            return upper_edge(i);
    }
    return upper_edge(HISTOGRAM_BUCKETS - 1);
}

uint64_t histogram_view_below(const struct histogram_view *view, uint64_t microseconds)
{
    uint64_t seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS && upper_edge(i) <= microseconds; i++)
        seen += view->buckets[i];
    return seen;
}
