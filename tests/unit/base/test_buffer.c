#include "crossfade/base/buffer.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static void flatten(const struct buffer *buffer, char *out, size_t size)
{
    size_t at = 0;
    for (const struct segment *s = buffer->first; s != NULL; s = s->next) {
        cr_assert_lt(at + s->len, size);
        memcpy(out + at, s->at, s->len);
        at += s->len;
    }
    cr_assert_eq(at, buffer->len);
    out[at] = '\0';
}

Test(buffer, bytes_leave_in_the_order_they_came_and_nothing_is_kept)
{
    struct buffer_pool pool;
    struct buffer a;
    struct buffer b;
    struct chunk *chunk;
    char text[64];

    buffer_pool_init(&pool);
    buffer_init(&a);
    buffer_init(&b);
    cr_assert(buffer_append_copy(&a, &pool, "one ", 4));
    cr_assert(buffer_append_copy(&b, &pool, "other", 5));
    cr_assert(buffer_append_copy(&a, &pool, "two ", 4));
    cr_assert(buffer_append_static(&a, &pool, "three ", 6));
    chunk = chunk_create(&pool, 100);
    memcpy(chunk->data, "four", 4);
    chunk->used = 4;
    cr_assert(buffer_append_ref(&a, &pool, chunk, chunk->data, 4));
    chunk_unref(chunk);
    flatten(&a, text, sizeof(text));
    cr_assert_str_eq(text, "one two three four");
    buffer_drain(&a, &pool, 6);
    flatten(&a, text, sizeof(text));
    cr_assert_str_eq(text, "o three four");
    buffer_move(&a, &b, &pool);
    cr_assert_eq(b.len, 0);
    flatten(&a, text, sizeof(text));
    cr_assert_str_eq(text, "o three fourother");
    buffer_clear(&a, &pool);
    buffer_pool_deinit(&pool); /* asserts that every segment and chunk is back */
}

Test(buffer, pieces_that_are_neighbours_share_one_vector)
{
    struct buffer_pool pool;
    struct buffer a;
    struct buffer b;
    struct iovec vectors[4];
    size_t len;

    buffer_pool_init(&pool);
    buffer_init(&a);
    buffer_init(&b);
    cr_assert(buffer_append_copy(&a, &pool, "one", 3));
    cr_assert(buffer_append_copy(&a, &pool, "two", 3));
    cr_assert_eq(buffer_vectors(&a, vectors, 4, &len), 1);
    cr_assert_eq(len, a.len);
    cr_assert(buffer_append_copy(&b, &pool, "three", 5));
    buffer_move(&a, &b, &pool);
    cr_assert_eq(buffer_vectors(&a, vectors, 4, &len), 1);
    cr_assert_eq(len, a.len);
    cr_assert_eq(vectors[0].iov_len, 11);
    buffer_clear(&a, &pool);
    buffer_pool_deinit(&pool);
}

/* Feeds `text` to an input in pieces and takes it out in items ending with a newline. */
static void feed(struct buffer_pool *pool, const char *text, size_t len, size_t piece, char *out)
{
    struct input input;
    size_t at = 0;
    size_t written = 0;

    input_init(&input);
    while (at < len) {
        char *to;
        size_t room;
        size_t n;
        struct slice bytes;
        size_t end;

        cr_assert(input_room(&input, pool, &to, &room));
        cr_assert_gt(room, 0);
        n = piece < room ? piece : room;
        if (n > len - at)
            n = len - at;
        memcpy(to, text + at, n);
        at += n;
        input_fill(&input, n);
        bytes = input_bytes(&input);
        while ((end = slice_find(bytes, '\n')) < bytes.len) {
            memcpy(out + written, bytes.data, end + 1);
            written += end + 1;
            input_consume(&input, end + 1);
            bytes = input_bytes(&input);
        }
        cr_assert(input_keep(&input, pool, 0));
    }
    cr_assert_null(input.chunk, "a drained input holds no memory");
    cr_assert_eq(written, len);
}

Test(input, items_come_out_whole_however_the_bytes_arrive)
{
    static const size_t pieces[] = { 1, 3, 7, 100, 4096, 50000, 300000 };
    size_t len = 400000;
    char *text = malloc(len);
    char *out = malloc(len);
    struct buffer_pool pool;
    unsigned seed = 1;

    for (size_t i = 0; i < len; i++) {
        seed = seed * 1103515245u + 12345u;
        text[i] = (seed >> 16) % 2000 == 0 ? '\n' : (char)('a' + (seed >> 16) % 26);
    }
    memset(text + 1000, 'z', 200000); /* one item longer than a chunk */
    text[len - 1] = '\n';
    buffer_pool_init(&pool);
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        memset(out, 0, len);
        feed(&pool, text, len, pieces[i], out);
        cr_assert_eq(memcmp(text, out, len), 0, "pieces of %zu", pieces[i]);
    }
    buffer_pool_deinit(&pool);
    free(text);
    free(out);
}

Test(input, a_known_length_is_read_straight_into_its_place)
{
    struct buffer_pool pool;
    struct input input;
    char *to;
    size_t room;

    buffer_pool_init(&pool);
    input_init(&input);
    cr_assert(input_room(&input, &pool, &to, &room));
    memset(to, 'x', 1000);
    input_fill(&input, 1000);
    cr_assert(input_keep(&input, &pool, 20000));
    cr_assert(input_room(&input, &pool, &to, &room));
    cr_assert_eq(room, 19000, "just as much as is missing");
    input_clear(&input);
    buffer_pool_deinit(&pool);
}

Test(slab, memory_goes_back_after_a_burst)
{
    struct slab slab;
    void *objects[5000];
    size_t pages;

    slab_init(&slab, 100, 65536);
    for (size_t i = 0; i < 5000; i++) {
        objects[i] = slab_get(&slab);
        cr_assert_not_null(objects[i]);
        memset(objects[i], (int)i, 100);
    }
    cr_assert_gt(slab.pages, 5);
    for (size_t i = 0; i < 5000; i++)
        cr_assert_eq(((unsigned char *)objects[i])[99], i & 255);
    for (size_t i = 0; i < 5000; i++)
        slab_put(&slab, objects[(i * 7) % 5000]);
    pages = slab.pages;
    slab_trim(&slab);
    cr_assert_eq(slab.pages, pages, "they were wanted since the last look");
    for (size_t i = 0; i < 3; i++) {
        for (size_t j = 0; j < 5000; j++)
            objects[j] = slab_get(&slab);
        for (size_t j = 0; j < 5000; j++)
            slab_put(&slab, objects[j]);
        slab_trim(&slab);
        cr_assert_eq(slab.pages, pages, "what a steady load wants is neither mapped nor unmapped");
    }
    slab_trim(&slab);
    cr_assert_lt(slab.pages, pages, "idle pages go back");
    for (size_t i = 0; i < 8; i++)
        slab_trim(&slab);
    cr_assert_eq(slab.pages, 1, "one page is kept, the others are given back");
    slab_deinit(&slab);
}
