#include "crossfade/proto/mc_binary.h"

#include <criterion/criterion.h>
#include <stdlib.h>

/* A request as a client may send it: lengths that are not given are those of what follows. */
struct sample {
    const char *name;
    uint8_t opcode;
    uint8_t extras;
    uint16_t key;
    uint32_t value;
    enum mc_binary_verdict verdict;
    uint16_t status;
    uint32_t taken; /* of the value */
};

/* What memcached 1.6.18 answers, tried one by one. */
static const struct sample samples[] = {
    { "get", 0x00, 0, 1, 0, MC_BINARY_OK, 0, 0 },
    { "get of the longest key", 0x00, 0, 250, 0, MC_BINARY_OK, 0, 0 },
    { "get of a longer key", 0x00, 0, 251, 0, MC_BINARY_FATAL, 0x04, 0 },
    { "get with extras", 0x00, 4, 1, 0, MC_BINARY_FATAL, 0x04, 0 },
    { "get without key", 0x00, 0, 0, 0, MC_BINARY_FATAL, 0x04, 0 },
    { "get with a value", 0x00, 0, 1, 1, MC_BINARY_FATAL, 0x04, 0 },
    { "set", 0x01, 8, 1, 5, MC_BINARY_OK, 0, 5 },
    { "set of nothing", 0x01, 8, 1, 0, MC_BINARY_OK, 0, 0 },
    { "set with short extras", 0x01, 4, 1, 5, MC_BINARY_FATAL, 0x04, 0 },
    { "set without key", 0x01, 8, 0, 5, MC_BINARY_FATAL, 0x04, 0 },
    { "add", 0x02, 8, 1, 5, MC_BINARY_OK, 0, 5 },
    { "replace", 0x03, 8, 1, 5, MC_BINARY_OK, 0, 5 },
    { "delete", 0x04, 0, 1, 0, MC_BINARY_OK, 0, 0 },
    { "delete with a value", 0x04, 0, 1, 1, MC_BINARY_FATAL, 0x04, 0 },
    { "incr", 0x05, 20, 1, 0, MC_BINARY_OK, 0, 0 },
    { "incr with short extras", 0x05, 8, 1, 0, MC_BINARY_FATAL, 0x04, 0 },
    { "decr", 0x06, 20, 1, 0, MC_BINARY_OK, 0, 0 },
    { "quit", 0x07, 0, 0, 0, MC_BINARY_OK, 0, 0 },
    { "quit with a key", 0x07, 0, 1, 0, MC_BINARY_FATAL, 0x04, 0 },
    { "flush", 0x08, 0, 0, 0, MC_BINARY_OK, 0, 0 },
    { "flush later", 0x08, 4, 0, 0, MC_BINARY_OK, 0, 0 },
    { "flush with odd extras", 0x08, 3, 0, 0, MC_BINARY_FATAL, 0x04, 0 },
    { "getq", 0x09, 0, 1, 0, MC_BINARY_OK, 0, 0 },
    { "noop", 0x0a, 0, 0, 0, MC_BINARY_OK, 0, 0 },
    { "noop with a key", 0x0a, 0, 1, 0, MC_BINARY_FATAL, 0x04, 0 },
    { "version", 0x0b, 0, 0, 0, MC_BINARY_OK, 0, 0 },
    { "version with a body", 0x0b, 0, 0, 1, MC_BINARY_FATAL, 0x04, 0 },
    { "getk", 0x0c, 0, 1, 0, MC_BINARY_OK, 0, 0 },
    { "getkq", 0x0d, 0, 1, 0, MC_BINARY_OK, 0, 0 },
    { "append", 0x0e, 0, 1, 5, MC_BINARY_OK, 0, 5 },
    { "append with extras", 0x0e, 8, 1, 5, MC_BINARY_FATAL, 0x04, 0 },
    { "prepend", 0x0f, 0, 1, 5, MC_BINARY_OK, 0, 5 },
    { "stat", 0x10, 0, 0, 0, MC_BINARY_OK, 0, 0 },
    { "stat of something", 0x10, 0, 5, 0, MC_BINARY_OK, 0, 0 },
    { "stat with more behind it", 0x10, 0, 5, 9, MC_BINARY_OK, 0, 0 },
    { "stat with extras", 0x10, 4, 0, 0, MC_BINARY_FATAL, 0x04, 0 },
    { "verbosity", 0x1b, 4, 0, 0, MC_BINARY_REFUSED, 0x81, 0 },
    { "touch", 0x1c, 4, 1, 0, MC_BINARY_OK, 0, 0 },
    { "touch with more behind it", 0x1c, 4, 1, 2, MC_BINARY_OK, 0, 0 },
    { "touch without a time", 0x1c, 0, 1, 0, MC_BINARY_FATAL, 0x04, 0 },
    { "gat", 0x1d, 4, 1, 0, MC_BINARY_OK, 0, 0 },
    { "gatq", 0x1e, 4, 1, 0, MC_BINARY_OK, 0, 0 },
    { "gatk", 0x23, 4, 1, 0, MC_BINARY_OK, 0, 0 },
    { "gatkq", 0x24, 4, 1, 0, MC_BINARY_OK, 0, 0 },
    { "sasl list", 0x20, 0, 0, 0, MC_BINARY_OK, 0, 0 },
    { "sasl list with a key", 0x20, 0, 1, 0, MC_BINARY_FATAL, 0x04, 0 },
    { "sasl auth", 0x21, 0, 5, 4, MC_BINARY_OK, 0, 4 },
    { "sasl auth without a mechanism", 0x21, 0, 0, 4, MC_BINARY_FATAL, 0x04, 0 },
    { "sasl step", 0x22, 0, 5, 4, MC_BINARY_OK, 0, 4 },
    { "rget", 0x30, 0, 3, 4, MC_BINARY_REFUSED, 0x81, 4 },
    { "nothing known", 0xff, 0, 0, 0, MC_BINARY_REFUSED, 0x81, 0 },
};

static size_t build(const struct sample *sample, char *out)
{
    uint32_t body = sample->extras + sample->key + sample->value;

    mc_binary_request_write(out, sample->opcode, sample->key, sample->extras, body, 0x01020304, 7);
    memset(out + MC_BINARY_HEADER, 'x', body);
    return MC_BINARY_HEADER + body;
}

/* Bytes behind `len` are out of bounds for the sanitizer. */
static enum mc_binary_verdict parse(const char *bytes, size_t len,
                                    struct mc_binary_request *request)
{
    char *copy = malloc(len > 0 ? len : 1);
    enum mc_binary_verdict verdict;

    memcpy(copy, bytes, len);
    verdict = mc_binary_request_parse(slice_of(copy, len), request);
    free(copy);
    return verdict;
}

Test(mc_binary, takes_each_opcode_as_memcached_does_wherever_it_is_cut)
{
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        const struct sample *sample = &samples[i];
        size_t head = MC_BINARY_HEADER + (size_t)sample->extras + sample->key;
        char bytes[512];
        size_t len = build(sample, bytes);

        for (size_t cut = 0; cut <= len; cut++) {
            struct mc_binary_request request;
            enum mc_binary_verdict verdict = parse(bytes, cut, &request);
            if (cut < head) {
                cr_assert_eq(verdict, MC_BINARY_MORE, "%s cut at %zu", sample->name, cut);
                cr_assert_eq(request.head_len, cut < MC_BINARY_HEADER ? MC_BINARY_HEADER : head);
                continue;
            }
            cr_assert_eq(verdict, sample->verdict, "%s cut at %zu", sample->name, cut);
            cr_assert_eq(request.head_len, head);
            cr_assert_eq(request.opcode, sample->opcode);
            if (verdict != MC_BINARY_OK)
                cr_assert_eq(request.status, sample->status, "%s", sample->name);
            if (verdict != MC_BINARY_FATAL)
                cr_assert_eq(request.value_len, sample->taken, "%s", sample->name);
            cr_assert_eq(request.extras.len, sample->extras);
            cr_assert_eq(request.key.len, sample->key);
            cr_assert_eq(request.opaque, 0x01020304u);
            cr_assert_eq(request.cas, 7u);
        }
    }
}

Test(mc_binary, knows_the_loud_twin_of_each_quiet_opcode)
{
    static const uint8_t twins[][2] = { { 0x09, 0x00 }, { 0x0d, 0x0c }, { 0x11, 0x01 },
                                        { 0x12, 0x02 }, { 0x13, 0x03 }, { 0x14, 0x04 },
                                        { 0x15, 0x05 }, { 0x16, 0x06 }, { 0x17, 0x07 },
                                        { 0x18, 0x08 }, { 0x19, 0x0e }, { 0x1a, 0x0f },
                                        { 0x1e, 0x1d }, { 0x24, 0x23 } };

    for (size_t i = 0; i < sizeof(twins) / sizeof(twins[0]); i++) {
        char quiet_bytes[64];
        char loud_bytes[64];
        struct mc_binary_request a;
        struct mc_binary_request b;
        struct sample sample = { "", twins[i][0], 0, 1, 0, MC_BINARY_OK, 0, 0 };

        switch (twins[i][1]) {
        case 0x01:
        case 0x02:
        case 0x03:
            sample.extras = 8;
            break;
        case 0x05:
        case 0x06:
            sample.extras = 20;
            break;
        case 0x07:
        case 0x08:
            sample.key = 0;
            break;
        case 0x1d:
        case 0x23:
            sample.extras = 4;
            break;
        default:
            break;
        }
        cr_assert_eq(parse(quiet_bytes, build(&sample, quiet_bytes), &a), MC_BINARY_OK);
        sample.opcode = twins[i][1];
        cr_assert_eq(parse(loud_bytes, build(&sample, loud_bytes), &b), MC_BINARY_OK);
        cr_assert(a.quiet && !b.quiet);
        cr_assert_eq(a.loud, twins[i][1]);
        cr_assert_eq(b.loud, twins[i][1]);
        cr_assert(a.verb == b.verb && a.keyed == b.keyed && a.with_key == b.with_key);
    }
}

Test(mc_binary, ends_with_lengths_that_cannot_be)
{
    char bytes[64];
    struct mc_binary_request request;

    memset(bytes, 'x', sizeof(bytes));
    mc_binary_request_write(bytes, 0x00, 4, 0, 2, 0, 0); /* a key longer than the body */
    cr_assert_eq(parse(bytes, 28, &request), MC_BINARY_FATAL);
    cr_assert_eq(request.status, 0x81u);
    mc_binary_request_write(bytes, 0x77, 4, 0, 2, 0, 0); /* the same for one that is unknown */
    cr_assert_eq(parse(bytes, 28, &request), MC_BINARY_FATAL);
    mc_binary_request_write(bytes, 0x01, 4, 8, 11, 0, 0); /* extras and key longer than the body */
    cr_assert_eq(parse(bytes, 36, &request), MC_BINARY_FATAL);
    cr_assert_eq(request.status, 0x81u);
    mc_binary_request_write(bytes, 0x01, 1, 8, UINT32_MAX, 0, 0);
    cr_assert_eq(parse(bytes, 33, &request), MC_BINARY_OK);
    cr_assert_eq(request.value_len, UINT32_MAX - 9);
}

Test(mc_binary, waits_for_no_key_that_memcached_has_no_room_for)
{
    char *bytes = calloc(1, 20000);
    struct mc_binary_request request;

    mc_binary_request_write(bytes, 0x00, 16384 - 24, 0, 16384 - 24, 0, 0);
    cr_assert_eq(parse(bytes, 16383, &request), MC_BINARY_MORE);
    cr_assert_eq(request.head_len, 16384u);
    cr_assert_eq(parse(bytes, 16384, &request), MC_BINARY_FATAL);
    mc_binary_request_write(bytes, 0x00, 16385 - 24, 0, 16385 - 24, 0, 0);
    cr_assert_eq(parse(bytes, 16383, &request), MC_BINARY_MORE);
    cr_assert_eq(request.head_len, 16384u);
    cr_assert_eq(parse(bytes, 16384, &request), MC_BINARY_CLOSE);
    free(bytes);
}

Test(mc_binary, knows_a_wrong_magic_from_the_first_byte)
{
    struct mc_binary_request request;
    struct mc_binary_reply reply;
    char bytes[24] = { 0 };

    for (unsigned magic = 0; magic < 256; magic++) {
        bytes[0] = (char)magic;
        cr_assert_eq(parse(bytes, 1, &request), magic == 0x80 ? MC_BINARY_MORE : MC_BINARY_CLOSE);
        cr_assert_eq(mc_binary_reply_parse(slice_of(bytes, 1), &reply),
                     magic == 0x81 ? MC_BINARY_MORE : MC_BINARY_CLOSE);
    }
}

Test(mc_binary, a_reply_is_what_was_written)
{
    const struct mc_binary_reply written = { .opcode = 0x0c,
                                             .extras_len = 4,
                                             .key_len = 0x1234,
                                             .status = 0x0102,
                                             .body_len = 0x01020304,
                                             .opaque = 0xa1b2c3d4,
                                             .cas = 0x1122334455667788 };
    struct mc_binary_reply read;
    char bytes[MC_BINARY_HEADER];

    mc_binary_reply_write(bytes, &written);
    for (size_t cut = 0; cut < sizeof(bytes); cut++)
        cr_assert_eq(mc_binary_reply_parse(slice_of(bytes, cut), &read), MC_BINARY_MORE);
    cr_assert_eq(mc_binary_reply_parse(slice_of(bytes, sizeof(bytes)), &read), MC_BINARY_OK);
    cr_assert(read.opcode == 0x0c && read.extras_len == 4 && read.key_len == 0x1234);
    cr_assert(read.status == 0x0102 && read.body_len == 0x01020304);
    cr_assert(read.opaque == 0xa1b2c3d4 && read.cas == 0x1122334455667788);

    mc_binary_reply_rewrite(bytes, &written, 0x0d, 0x55667788, 0x34, 0);
    cr_assert_eq(mc_binary_reply_parse(slice_of(bytes, sizeof(bytes)), &read), MC_BINARY_OK);
    cr_assert(read.opcode == 0x0d && read.opaque == 0x55667788 && read.key_len == 0x34);
    cr_assert_eq(read.body_len, 0x01020304u - 0x1200u);
    cr_assert(read.extras_len == 4 && read.status == 0x0102 && read.cas == 0x1122334455667788);
}

Test(mc_binary, doubts_a_reply_whose_parts_are_longer_than_its_body)
{
    struct mc_binary_reply reply = { .opcode = 0x0c, .extras_len = 4, .key_len = 3, .body_len = 6 };
    char bytes[MC_BINARY_HEADER];

    mc_binary_reply_write(bytes, &reply);
    cr_assert_eq(mc_binary_reply_parse(slice_of(bytes, sizeof(bytes)), &reply), MC_BINARY_CLOSE);
}

static const struct {
    struct mc_binary_reply reply;
    uint8_t opcode; /* asked */
    bool fits;
} fits[] = {
    { { .opcode = 0x00, .extras_len = 4, .body_len = 9 }, 0x00, true },
    { { .opcode = 0x00, .extras_len = 4, .body_len = 9 }, 0x0c, false },
    { { .opcode = 0x00, .extras_len = 4, .key_len = 1, .body_len = 9 }, 0x00, false },
    { { .opcode = 0x00, .extras_len = 0, .body_len = 9 }, 0x00, false },
    { { .opcode = 0x00, .status = 1, .body_len = 9 }, 0x00, true },
    { { .opcode = 0x00, .status = 1, .key_len = 9, .body_len = 9 }, 0x00, false },
    { { .opcode = 0x0c, .status = 1, .key_len = 9, .body_len = 9 }, 0x0c, true },
    { { .opcode = 0x0c, .status = 1, .body_len = 9 }, 0x0c, true },
    { { .opcode = 0x0c, .status = 1, .key_len = 9, .body_len = 10 }, 0x0c, false },
    { { .opcode = 0x0c, .status = 2, .key_len = 9, .body_len = 9 }, 0x0c, false },
    { { .opcode = 0x0c, .extras_len = 4, .key_len = 0, .body_len = 9 }, 0x0c, false },
    { { .opcode = 0x23, .extras_len = 4, .key_len = 1, .body_len = 9 }, 0x23, true },
    { { .opcode = 0x01 }, 0x01, true },
    { { .opcode = 0x01, .body_len = 1 }, 0x01, false },
    { { .opcode = 0x01, .status = 3, .body_len = 10 }, 0x01, true },
    { { .opcode = 0x01, .status = 3, .body_len = 2000 }, 0x01, false },
    { { .opcode = 0x01, .status = 3, .extras_len = 1, .body_len = 10 }, 0x01, false },
    { { .opcode = 0x05, .body_len = 8 }, 0x05, true },
    { { .opcode = 0x05, .body_len = 9 }, 0x05, false },
    { { .opcode = 0x05, .key_len = 4, .body_len = 8 }, 0x05, false },
    { { .opcode = 0x1c, .extras_len = 4, .body_len = 4 }, 0x1c, true },
    { { .opcode = 0x1c }, 0x1c, true },
    { { .opcode = 0x1c, .extras_len = 4, .body_len = 5 }, 0x1c, false },
    { { .opcode = 0x0b, .body_len = 6 }, 0x0b, true },
    { { .opcode = 0x04, .key_len = 1, .body_len = 1 }, 0x04, false },
};

Test(mc_binary, knows_which_reply_fits_which_request)
{
    for (size_t i = 0; i < sizeof(fits) / sizeof(fits[0]); i++)
        cr_assert_eq(mc_binary_reply_fits(&fits[i].reply, fits[i].opcode), fits[i].fits,
                     "number %zu", i);
}

Test(mc_binary, says_it_in_memcacheds_words)
{
    cr_assert(slice_equal(mc_binary_status_text(0x81), SLICE("Unknown command")));
    cr_assert(slice_equal(mc_binary_status_text(0x04), SLICE("Invalid arguments")));
    cr_assert(slice_equal(mc_binary_status_text(0x03), SLICE("Too large.")));
    cr_assert_eq(mc_binary_status_text(0x4711).len, 0u);
}
