/* Replies of memcached servers: the same result whole and byte by byte, within the input. */
#include "fuzz.h"

#include "crossfade/base/ensure.h"
#include "crossfade/proto/mc_reply.h"

#define KEY_MOST 250u /* no longer one is ever asked for */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_of((const char *)data, size);
    struct mc_reply whole;
    struct mc_reply part;
    uint32_t flags;
    uint64_t cas;

    if (mc_reply_parse(bytes, &whole) != MC_REPLY_OK)
        return 0;
    ensure(whole.line_len <= size && whole.line.len + 2 == whole.line_len);
    if (whole.kind == MC_REPLY_VALUE) {
        ensure(whole.key.len > 0 && whole.key.data + whole.key.len <= bytes.data + whole.line_len);
        if (whole.key.len <= KEY_MOST && mc_reply_hit(bytes, whole.key, &part))
            ensure(part.line_len == whole.line_len && part.value_len == whole.value_len &&
                   !whole.with_cas);
        if (whole.key.len <= KEY_MOST && mc_reply_hit_cas(bytes, whole.key, &part))
            ensure(part.line_len == whole.line_len && part.value_len == whole.value_len &&
                   whole.with_cas && part.behind_length == whole.behind_length);
        if (whole.with_cas)
            mc_reply_numbers(&whole, &flags, &cas);
    }
    for (size_t len = 0; len < whole.line_len; len++)
        ensure(mc_reply_parse(slice_of(bytes.data, len), &part) == MC_REPLY_MORE);
    ensure(mc_reply_parse(slice_of(bytes.data, whole.line_len), &part) == MC_REPLY_OK);
    ensure(part.kind == whole.kind);
    ensure(whole.kind != MC_REPLY_VALUE || part.value_len == whole.value_len);
    return 0;
}
