/* Commands of memcache clients: the same result whole and byte by byte, within the input. */
#include "fuzz.h"

#include "crossfade/base/ensure.h"
#include "crossfade/proto/mc_request.h"

static void check(const struct mc_request *request, struct slice bytes)
{
    struct slice keys = request->keys;
    struct slice key;
    char tail[MC_STORAGE_TAIL_MAX];

    ensure(request->line_len > 0 && request->line_len <= bytes.len);
    ensure(bytes.data[request->line_len - 1] == '\n');
    ensure(request->number.len <= 32 || mc_verb_is_get(request->verb));
    if (mc_verb_is_get(request->verb)) {
        while (mc_request_next_key(&keys, &key))
            ensure(key.data + key.len <= bytes.data + request->line_len &&
                   memchr(key.data, ' ', key.len) == NULL &&
                   memchr(key.data, '\n', key.len) == NULL);
    } else if (mc_verb_is_storage(request->verb)) {
        size_t len = mc_request_storage_tail(request, tail);
        ensure(len <= sizeof(tail) && memcmp(tail + len - 2, "\r\n", 2) == 0);
        ensure(request->keys.len > 0 && request->keys.len <= MC_KEY_MAX);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_of((const char *)data, size);
    struct mc_request whole;
    struct mc_request part;
    struct slice answer;
    struct slice part_answer;
    size_t scanned = 0;
    enum mc_request_verdict verdict = mc_request_parse(bytes, &scanned, &whole, &answer);
    enum mc_request_verdict part_verdict = MC_REQUEST_MORE;

    if (verdict == MC_REQUEST_OK)
        check(&whole, bytes);
    if (verdict == MC_REQUEST_OK || verdict == MC_REQUEST_ERROR) {
        if (whole.line_len > MC_LINE_MAX)
            return 0; /* how long a line may be depends on how it arrives, as with memcached */
        scanned = 0;
        for (size_t len = 0; len <= whole.line_len; len++)
            part_verdict =
                mc_request_parse(slice_of(bytes.data, len), &scanned, &part, &part_answer);
        ensure(part_verdict == verdict && part.line_len == whole.line_len &&
               part.verb == whole.verb && part.noreply == whole.noreply &&
               part.value_len == whole.value_len);
        /* There is one only then. */
        if (verdict == MC_REQUEST_ERROR || whole.verb == MC_REFUSED)
            ensure(slice_equal(answer, part_answer));
    }
    return 0;
}
