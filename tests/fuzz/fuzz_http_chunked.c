/* A chunked body: the same bytes and the same end, whole and byte by byte. */
#include "fuzz.h"

#include "crossfade/base/ensure.h"
#include "crossfade/proto/http1_chunked.h"

#include <stdlib.h>

static enum http1_chunked_verdict decode(struct slice bytes, size_t step, char *out, size_t *len,
                                         size_t *used)
{
    enum http1_chunked_verdict verdict = HTTP1_CHUNKED_MORE;
    struct http1_chunked chunked;
    struct http1_fault fault;

    http1_chunked_init(&chunked);
    *len = *used = 0;
    while (*used < bytes.len && verdict == HTTP1_CHUNKED_MORE) {
        size_t part = step < bytes.len - *used ? step : bytes.len - *used;
        struct slice rest = slice_of(bytes.data + *used, part);
        struct slice data;
        while ((verdict = http1_chunked_next(&chunked, &rest, &data, &fault)) ==
               HTTP1_CHUNKED_DATA) {
            ensure(data.len > 0 && data.data + data.len == rest.data);
            memcpy(out + *len, data.data, data.len);
            *len += data.len;
        }
        *used += part - rest.len;
        ensure(verdict != HTTP1_CHUNKED_MORE || rest.len == 0);
    }
    return verdict;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_of((const char *)data, size);
    char *whole = malloc(size + 1);
    char *parts = malloc(size + 1);
    size_t whole_len, whole_used, len, used;

    ensure(whole != NULL && parts != NULL);
    ensure(decode(bytes, size, whole, &whole_len, &whole_used) ==
           decode(bytes, 1, parts, &len, &used));
    ensure(whole_len == len && whole_used == used && memcmp(whole, parts, len) == 0);
    free(whole);
    free(parts);
    return 0;
}
