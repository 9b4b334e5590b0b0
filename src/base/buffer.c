#include "crossfade/base/buffer.h"

#include <stdlib.h>

enum chunk_kind { CHUNK_KIND_FULL, CHUNK_KIND_SMALL, CHUNK_KIND_HEAP };

#define CHUNK_PAGE (256u * 1024u)
#define SMALL_PAGE (64u * 1024u)
#define SEGMENT_PAGE (64u * 1024u)

/* The slab pages carry a header, so an object is a little less than a power of two. */
#define FULL_OBJECT (CHUNK_SIZE - 64u)
#define SMALL_OBJECT (CHUNK_SMALL - 64u)

void buffer_pool_init(struct buffer_pool *pool)
{
    slab_init(&pool->chunks, FULL_OBJECT, CHUNK_PAGE);
    slab_init(&pool->small_chunks, SMALL_OBJECT, SMALL_PAGE);
    slab_init(&pool->segments, sizeof(struct segment), SEGMENT_PAGE);
    pool->read = NULL;
    pool->append = NULL;
    pool->large = 0;
}

void buffer_pool_deinit(struct buffer_pool *pool)
{
    if (pool->read != NULL)
        chunk_unref(pool->read);
    if (pool->append != NULL)
        chunk_unref(pool->append);
    pool->read = NULL;
    pool->append = NULL;
    slab_deinit(&pool->chunks);
    slab_deinit(&pool->small_chunks);
    slab_deinit(&pool->segments);
}

void buffer_pool_trim(struct buffer_pool *pool)
{
    slab_trim(&pool->chunks);
    slab_trim(&pool->small_chunks);
    slab_trim(&pool->segments);
}

size_t buffer_pool_size(const struct buffer_pool *pool)
{
    return pool->chunks.pages * pool->chunks.page_size +
           pool->small_chunks.pages * pool->small_chunks.page_size +
           pool->segments.pages * pool->segments.page_size + pool->large;
}

static struct chunk *chunk_setup(struct chunk *chunk, struct buffer_pool *pool,
                                 enum chunk_kind kind, size_t room)
{
    if (chunk == NULL)
        return NULL;
    chunk->pool = pool;
    chunk->refs = 1;
    chunk->kind = kind;
    chunk->used = 0;
    chunk->room = room;
    return chunk;
}

static struct chunk *chunk_create_full(struct buffer_pool *pool)
{
    return chunk_setup(slab_get(&pool->chunks), pool, CHUNK_KIND_FULL,
                       FULL_OBJECT - sizeof(struct chunk));
}

struct chunk *chunk_create(struct buffer_pool *pool, size_t room)
{
    struct chunk *chunk;

    if (room <= SMALL_OBJECT - sizeof(*chunk))
        return chunk_setup(slab_get(&pool->small_chunks), pool, CHUNK_KIND_SMALL,
                           SMALL_OBJECT - sizeof(*chunk));
    if (room > FULL_OBJECT / 2 && room <= FULL_OBJECT - sizeof(*chunk))
        return chunk_create_full(pool);
    /* Much of it stays empty; but its pages are not there before they are written to. */
    if (room <= FULL_OBJECT / 2)
        return chunk_setup(slab_get(&pool->chunks), pool, CHUNK_KIND_FULL, room);
    chunk = chunk_setup(malloc(sizeof(*chunk) + room), pool, CHUNK_KIND_HEAP, room);
    if (chunk != NULL)
        pool->large += sizeof(*chunk) + room;
    return chunk;
}

void chunk_free(struct chunk *chunk)
{
    struct buffer_pool *pool = chunk->pool;

    switch ((enum chunk_kind)chunk->kind) {
    case CHUNK_KIND_FULL:
        slab_put(&pool->chunks, chunk);
        break;
    case CHUNK_KIND_SMALL:
        slab_put(&pool->small_chunks, chunk);
        break;
    case CHUNK_KIND_HEAP:
        pool->large -= sizeof(*chunk) + chunk->room;
        free(chunk);
        break;
    }
}

struct chunk *buffer_pool_next_append_chunk(struct buffer_pool *pool, size_t len)
{
    struct chunk *chunk = pool->append;

    ensure(len <= CHUNK_SIZE / 2);
    if (chunk != NULL) {
        if (chunk->refs == 1) {
            chunk->used = 0;
            return chunk;
        }
        chunk_unref(chunk);
    }
    pool->append = chunk_create_full(pool);
    return pool->append;
}

static void drop_first(struct buffer *buffer, struct buffer_pool *pool)
{
    struct segment *segment = buffer->first;

    buffer->first = segment->next;
    if (buffer->first == NULL)
        buffer->last = NULL;
    if (segment->chunk != NULL)
        chunk_unref(segment->chunk);
    slab_put(&pool->segments, segment);
}

size_t buffer_peek(const struct buffer *buffer, char *out, size_t len)
{
    const struct segment *segment;
    size_t done = 0;

    for (segment = buffer->first; segment != NULL && done < len; segment = segment->next) {
        size_t part = segment->len < len - done ? segment->len : len - done;
        memcpy(out + done, segment->at, part);
        done += part;
    }
    return done;
}

void buffer_drop(struct buffer *buffer, struct buffer_pool *pool)
{
    while (buffer->first != NULL)
        drop_first(buffer, pool);
    buffer->len = 0;
}

bool buffer_append_segment(struct buffer *buffer, struct buffer_pool *pool, struct chunk *chunk,
                           const char *at, size_t len)
{
    struct segment *added;

    if (len == 0)
        return true;
    added = slab_get(&pool->segments);
    if (added == NULL)
        return false;
    added->next = NULL;
    added->chunk = chunk != NULL ? chunk_ref(chunk) : NULL;
    added->at = at;
    added->len = len;
    if (buffer->last != NULL)
        buffer->last->next = added;
    else
        buffer->first = added;
    buffer->last = added;
    buffer->len += len;
    return true;
}

bool buffer_append_pieces(struct buffer *buffer, struct buffer_pool *pool, const char *data,
                          size_t len)
{
    while (len > 0) {
        size_t part = len < CHUNK_SIZE / 2 ? len : CHUNK_SIZE / 2;
        struct chunk *chunk = buffer_pool_append_chunk(pool, part);
        char *at;

        if (chunk == NULL)
            return false;
        at = chunk->data + chunk->used;
        memcpy(at, data, part);
        if (!buffer_append_ref(buffer, pool, chunk, at, part))
            return false;
        chunk->used += part;
        data += part;
        len -= part;
    }
    return true;
}

bool buffer_append_static(struct buffer *buffer, struct buffer_pool *pool, const char *data,
                          size_t len)
{
    return buffer_append_segment(buffer, pool, NULL, data, len);
}

void buffer_join(struct buffer *to, struct buffer *from, struct buffer_pool *pool)
{
    if (to->last != NULL && to->last->chunk == from->first->chunk &&
        to->last->at + to->last->len == from->first->at) {
        /* Neighbours in one chunk become one segment, and one iovec less. */
        struct segment *first = from->first;
        to->last->len += first->len;
        to->len += first->len;
        from->len -= first->len;
        drop_first(from, pool);
        if (from->first == NULL)
            return;
    }
    if (to->last != NULL)
        to->last->next = from->first;
    else
        to->first = from->first;
    to->last = from->last;
    to->len += from->len;
    buffer_init(from);
}

int buffer_vectors(const struct buffer *buffer, struct iovec *vectors, int max, size_t *len)
{
    const struct segment *segment;
    int n = 0;

    *len = 0;
    for (segment = buffer->first; segment != NULL && n < max; segment = segment->next) {
        vectors[n].iov_base = (void *)(uintptr_t)segment->at;
        vectors[n].iov_len = segment->len;
        *len += segment->len;
        n++;
    }
    return n;
}

void buffer_drain(struct buffer *buffer, struct buffer_pool *pool, size_t len)
{
    struct segment *segment;

    ensure(len <= buffer->len);
    buffer->len -= len;
    while (len > 0) {
        segment = buffer->first;
        if (segment->len > len) {
            segment->at += len;
            segment->len -= len;
            return;
        }
        len -= segment->len;
        drop_first(buffer, pool);
    }
}
