#include "http1_helpers.h"

#include "crossfade/proto/http1_chunked.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* What came out of a body that arrives in pieces of at most `step` bytes, the first of `first`. */
struct outcome {
    enum http1_chunked_verdict verdict;
    char data[256];
    size_t len;
    size_t used;
    const char *text;
};

static void decode_piece(struct http1_chunked *chunked, struct slice piece, struct outcome *out)
{
    struct http1_fault fault = { 0, NULL };
    struct slice data;
    char *copy = malloc(piece.len + 1);
    struct slice rest = slice_of(copy, piece.len);

    memcpy(copy, piece.data, piece.len);
    while ((out->verdict = http1_chunked_next(chunked, &rest, &data, &fault)) ==
           HTTP1_CHUNKED_DATA) {
        cr_assert_gt(data.len, 0);
        cr_assert_leq(out->len + data.len, sizeof(out->data));
        memcpy(out->data + out->len, data.data, data.len);
        out->len += data.len;
    }
    out->used += piece.len - rest.len;
    out->text = fault.text;
    free(copy);
}

static struct outcome decode(struct slice body, size_t first, size_t step)
{
    struct outcome out = { .verdict = HTTP1_CHUNKED_MORE };
    struct http1_chunked chunked;
    size_t at = 0;

    http1_chunked_init(&chunked);
    while (at < body.len && out.verdict == HTTP1_CHUNKED_MORE) {
        size_t len = at == 0 && first > 0 ? first : step;
        if (len > body.len - at)
            len = body.len - at;
        decode_piece(&chunked, slice_of(body.data + at, len), &out);
        at += len;
    }
    return out;
}

static void same_everywhere(struct slice body, struct outcome *whole)
{
    *whole = decode(body, body.len, body.len);
    for (size_t cut = 0; cut <= body.len; cut++) {
        struct outcome parts = decode(body, cut, body.len);
        cr_assert_eq(parts.verdict, whole->verdict, "cut %zu of %s", cut, body.data);
        cr_assert_eq(parts.len, whole->len);
        cr_assert_eq(memcmp(parts.data, whole->data, whole->len), 0);
        cr_assert_eq(parts.text == NULL, whole->text == NULL);
    }
    struct outcome bytes = decode(body, 1, 1);
    cr_assert_eq(bytes.verdict, whole->verdict);
    cr_assert_eq(bytes.len, whole->len);
    if (whole->text != NULL)
        cr_assert_str_eq(bytes.text, whole->text);
}

Test(http1_chunked, bodies)
{
    struct outcome out;

    same_everywhere(SLICE("5\r\nhello\r\n00A;x=\"y\"\r\n, you ther\r\n1\r\ne\r\n0\r\n\r\nGET /"),
                    &out);
    cr_assert_eq(out.verdict, HTTP1_CHUNKED_END);
    cr_assert(slice_equal(slice_of(out.data, out.len), SLICE("hello, you there")));
    cr_assert_eq(out.used, 5 + 10 + 12 + 10 + 5 + 2, "the next request is left alone");

    same_everywhere(SLICE("0\r\nA: b\r\nLong-Name: c d\r\n\r\n"), &out);
    cr_assert_eq(out.verdict, HTTP1_CHUNKED_END);
    cr_assert_eq(out.len, 0);

    same_everywhere(SLICE("7FFFFFFFFFFFFFFF\r\nx"), &out);
    cr_assert_eq(out.verdict, HTTP1_CHUNKED_MORE);
    cr_assert_eq(out.len, 1);
}

Test(http1_chunked, faults)
{
    static const struct slice rows[] = {
        SLICE_INIT("\r\n"),
        SLICE_INIT(";x\r\n"),
        SLICE_INIT("g\r\n"),
        SLICE_INIT("0x5\r\nhello\r\n"),
        SLICE_INIT("+5\r\nhello\r\n"),
        SLICE_INIT("-1\r\n"),
        SLICE_INIT(" 5\r\nhello\r\n"),
        SLICE_INIT("5 \r\nhello\r\n"),
        SLICE_INIT("5\nhello\r\n"),
        SLICE_INIT("5\rhello\r\n"),
        SLICE_INIT("5\r\nhello\n"),
        SLICE_INIT("5\r\nhello\rx"),
        SLICE_INIT("5\r\nhello!\r\n"),
        SLICE_INIT("5;\x01\r\n"),
        SLICE_INIT("5;a\nhello"),
        SLICE_INIT("5;a\rb\n"),
        SLICE_INIT("8000000000000000\r\n"),
        SLICE_INIT("FFFFFFFFFFFFFFFF\r\n"),
        SLICE_INIT("10000000000000000\r\n"),
        SLICE_INIT("00000000000000001\r\n"),
        SLICE_INIT("0\r\n\n"),
        SLICE_INIT("0\r\n\rx"),
        SLICE_INIT("0\n\r\n"),
        SLICE_INIT("0\r\n: x\r\n\r\n"),
        SLICE_INIT("0\r\n x\r\n\r\n"),
        SLICE_INIT("0\r\nA\r\n\r\n"),
        SLICE_INIT("0\r\nA : x\r\n\r\n"),
        SLICE_INIT("0\r\nA: x\n\r\n"),
        SLICE_INIT("0\r\nA: x\r\n y\r\n\r\n"),
        SLICE_INIT("0\r\nA: \0\r\n\r\n"),
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct outcome out;
        same_everywhere(rows[i], &out);
        cr_assert_eq(out.verdict, HTTP1_CHUNKED_BAD, "row %zu", i);
    }
}

/* Feeds `piece` again and again; returns the bytes taken before the fault, or `most`. */
static size_t feed(struct http1_chunked *chunked, struct slice piece, size_t most)
{
    struct outcome out = { .verdict = HTTP1_CHUNKED_MORE };
    while (out.used < most) {
        out.len = 0;
        decode_piece(chunked, piece, &out);
        if (out.verdict == HTTP1_CHUNKED_BAD)
            break;
    }
    return out.used;
}

Test(http1_chunked, extensions_and_trailers_are_limited_for_the_whole_body)
{
    struct http1_chunked chunked;
    http1_chunked_init(&chunked);
    /* Each chunk has seven bytes of extension behind the semicolon. */
    cr_assert_leq(feed(&chunked, SLICE("1;abcdefg\r\nx\r\n"), 1u << 20),
                  (HTTP1_EXTENSIONS_MAX / 7 + 1) * 14);

    struct outcome out = { .verdict = HTTP1_CHUNKED_MORE };
    http1_chunked_init(&chunked);
    decode_piece(&chunked, SLICE("0\r\n"), &out);
    cr_assert_leq(feed(&chunked, SLICE("A: b\r\n"), 1u << 20), 2 * HTTP1_TRAILERS_MAX);
}

Test(http1_chunked, heads)
{
    static const uint64_t sizes[] = {
        0, 1, 15, 16, 255, 4096, 65535, UINT64_C(0x7fffffffffffffff)
    };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char out[HTTP1_CHUNK_HEAD];
        char wanted[32];
        size_t len = http1_chunk_head(out, sizes[i]);
        (void)snprintf(wanted, sizeof(wanted), "%lx\r\n", (unsigned long)sizes[i]);
        cr_assert(slice_equal(slice_of(out, len), slice_string(wanted)), "%s", wanted);
    }
}
