/* Headers of the binary protocol: the same result whole and byte by byte, within the input. */
#include "fuzz.h"

#include "crossfade/base/ensure.h"
#include "crossfade/proto/mc_binary.h"

static void check_request(struct slice bytes)
{
    struct mc_binary_request whole;
    struct mc_binary_request part;
    enum mc_binary_verdict verdict = mc_binary_request_parse(bytes, &whole);

    if (verdict == MC_BINARY_MORE) {
        ensure(whole.head_len > bytes.len && whole.head_len <= 16384);
        return;
    }
    if (verdict == MC_BINARY_CLOSE)
        return;
    ensure(whole.head_len <= bytes.len);
    ensure(whole.extras.data + whole.extras.len == whole.key.data);
    ensure(whole.key.data + whole.key.len == bytes.data + whole.head_len);
    if (verdict == MC_BINARY_OK) {
        ensure(whole.key.len <= MC_KEY_MAX && whole.extras.len <= MC_BINARY_EXTRAS_MAX);
        ensure(!whole.keyed || whole.key.len > 0);
    }
    for (size_t len = 0; len < whole.head_len; len++) {
        ensure(mc_binary_request_parse(slice_of(bytes.data, len), &part) == MC_BINARY_MORE);
        ensure(part.head_len > len && part.head_len <= whole.head_len);
    }
    ensure(mc_binary_request_parse(slice_of(bytes.data, whole.head_len), &part) == verdict);
    ensure(part.value_len == whole.value_len && part.head_len == whole.head_len);
}

static void check_reply(struct slice bytes)
{
    struct mc_binary_reply reply;
    char head[MC_BINARY_HEADER];

    if (mc_binary_reply_parse(bytes, &reply) != MC_BINARY_OK)
        return;
    ensure((uint32_t)reply.extras_len + reply.key_len <= reply.body_len);
    (void)mc_binary_reply_fits(&reply, reply.opcode);
    mc_binary_reply_write(head, &reply);
    head[5] = bytes.data[5]; /* the data type is of no interest */
    ensure(memcmp(head, bytes.data, sizeof(head)) == 0);
    for (size_t len = 0; len < MC_BINARY_HEADER; len++)
        ensure(mc_binary_reply_parse(slice_of(bytes.data, len), &reply) == MC_BINARY_MORE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_of((const char *)data, size);

    check_request(bytes);
    check_reply(bytes);
    return 0;
}
