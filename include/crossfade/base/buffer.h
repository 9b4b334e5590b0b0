/*
 * Bytes on their way through the process, without copying them: chunks with reference counts, and
 * buffers that are queues of segments pointing into chunks. One pool for each worker; nothing here
 * is shared between threads.
 *
 *   chunk   | header | bytes received or composed ......... | room |
 *                      ^ segment of client 7's output ^
 *                                      ^ segment of server 2's output
 *
 * - A worker reads all its sockets into the pool's one read chunk; who wants to keep bytes takes a
 *   reference. When nobody did, the same memory serves the next read, and stays in the CPU's cache.
 * - Small pieces are copied into the pool's one append chunk (a copy of a few hundred bytes costs
 *   less than one more iovec); large ones are referenced.
 * - An idle connection holds no chunk.
 */
#ifndef CROSSFADE_BASE_BUFFER_H
#define CROSSFADE_BASE_BUFFER_H

#include "crossfade/base/ensure.h"
#include "crossfade/base/slab.h"
#include "crossfade/base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

#define CHUNK_SIZE (64u * 1024u) /* the whole chunk, header included */
#define CHUNK_SMALL 4096u        /* a private chunk for a command that is not all here yet */
#define BUFFER_COPY_MAX 512u     /* pieces up to this length are copied, longer ones referenced */

struct buffer_pool;

struct chunk {
    struct buffer_pool *pool;
    uint32_t refs;
    uint32_t kind; /* which allocator it goes back to */
    size_t used;   /* bytes filled */
    size_t room;   /* capacity of data */
    char data[];
};

struct segment {
    struct segment *next;
    struct chunk *chunk; /* NULL: static memory */
    const char *at;
    size_t len;
};

struct buffer {
    struct segment *first;
    struct segment *last;
    size_t len; /* bytes in all segments */
};

struct buffer_pool {
    struct slab chunks;       /* CHUNK_SIZE */
    struct slab small_chunks; /* CHUNK_SMALL */
    struct slab segments;
    struct chunk *read;   /* the worker's read chunk */
    struct chunk *append; /* the worker's append chunk */
    size_t large;         /* bytes in private chunks from the heap */
};

void buffer_pool_init(struct buffer_pool *pool);
void buffer_pool_deinit(struct buffer_pool *pool);
/* To be called now and then: gives memory that was idle for a while back to the system. */
void buffer_pool_trim(struct buffer_pool *pool);
/* Bytes of memory the pool holds, used or spare. */
size_t buffer_pool_size(const struct buffer_pool *pool);

/* A private chunk with room for at least `room` bytes; one reference. NULL without memory. */
struct chunk *chunk_create(struct buffer_pool *pool, size_t room) MUST_CHECK;
static inline struct chunk *chunk_ref(struct chunk *chunk)
{
    chunk->refs++;
    return chunk;
}
void chunk_free(struct chunk *chunk);
static inline void chunk_unref(struct chunk *chunk)
{
    if (--chunk->refs == 0)
        chunk_free(chunk);
}

struct chunk *buffer_pool_next_append_chunk(struct buffer_pool *pool, size_t len) MUST_CHECK;

/*
 * The append chunk with at least `len` contiguous bytes free (len <= CHUNK_SIZE / 2): write at
 * data + used, add to used, and take a reference for whoever keeps a pointer. NULL without memory.
 */
MUST_CHECK static inline struct chunk *buffer_pool_append_chunk(struct buffer_pool *pool,
                                                                size_t len)
{
    struct chunk *chunk = pool->append;

    if (chunk == NULL || chunk->room - chunk->used < len)
        return buffer_pool_next_append_chunk(pool, len);
    if (chunk->refs == 1)
        chunk->used = 0; /* all that was composed in it is gone: start again at the front */
    return chunk;
}

static inline void buffer_init(struct buffer *buffer)
{
    buffer->first = buffer->last = NULL;
    buffer->len = 0;
}
void buffer_drop(struct buffer *buffer, struct buffer_pool *pool);
/* Copies the first bytes, up to `len`; how many there are of them. */
size_t buffer_peek(const struct buffer *buffer, char *out, size_t len);
/* Drops all bytes. The buffer is empty and usable after it. */
static inline void buffer_clear(struct buffer *buffer, struct buffer_pool *pool)
{
    if (buffer->first != NULL)
        buffer_drop(buffer, pool);
}

/* buffer_append_ref() where no segment grows, and buffer_append_copy() where there is no room. */
bool buffer_append_segment(struct buffer *buffer, struct buffer_pool *pool, struct chunk *chunk,
                           const char *at, size_t len) MUST_CHECK;
bool buffer_append_pieces(struct buffer *buffer, struct buffer_pool *pool, const char *data,
                          size_t len) MUST_CHECK;

/* Each returns false when there is no memory; the buffer is then as it was before. */

/* Bytes inside `chunk`; the buffer takes a reference of its own. */
MUST_CHECK static inline bool buffer_append_ref(struct buffer *buffer, struct buffer_pool *pool,
                                                struct chunk *chunk, const char *at, size_t len)
{
    struct segment *last = buffer->last;

    if (last == NULL || last->chunk != chunk || last->at + last->len != at)
        return buffer_append_segment(buffer, pool, chunk, at, len);
    last->len += len;
    buffer->len += len;
    return true;
}

MUST_CHECK static inline bool buffer_append_copy(struct buffer *buffer, struct buffer_pool *pool,
                                                 const void *data, size_t len)
{
    struct chunk *chunk = pool->append;
    char *at;

    if (chunk == NULL || len == 0 || chunk->room - chunk->used < len)
        return buffer_append_pieces(buffer, pool, data, len);
    if (chunk->refs == 1)
        chunk->used = 0;
    at = chunk->data + chunk->used;
    memcpy(at, data, len);
    if (!buffer_append_ref(buffer, pool, chunk, at, len))
        return false;
    chunk->used += len;
    return true;
}

/* Copies short pieces and references long ones. */
MUST_CHECK static inline bool buffer_append(struct buffer *buffer, struct buffer_pool *pool,
                                            struct chunk *chunk, const char *at, size_t len)
{
    return len <= BUFFER_COPY_MAX ? buffer_append_copy(buffer, pool, at, len)
                                  : buffer_append_ref(buffer, pool, chunk, at, len);
}

/* Bytes that live for ever, such as a literal. */
bool buffer_append_static(struct buffer *buffer, struct buffer_pool *pool, const char *data,
                          size_t len) MUST_CHECK;

void buffer_join(struct buffer *to, struct buffer *from, struct buffer_pool *pool);
/* All segments of `from` to the end of `to`; cannot fail. `from` is empty after it. */
static inline void buffer_move(struct buffer *to, struct buffer *from, struct buffer_pool *pool)
{
    if (from->first != NULL)
        buffer_join(to, from, pool);
}

/* Fills up to `max` vectors from the front; returns how many, and their bytes in *len. */
int buffer_vectors(const struct buffer *buffer, struct iovec *vectors, int max, size_t *len);
/* Drops `len` bytes from the front. */
void buffer_drain(struct buffer *buffer, struct buffer_pool *pool, size_t len);

/*
 * The unparsed input of one connection.
 *
 *   input_room()   where to read to: behind what is left over, or the worker's read chunk
 *   input_fill()   that many bytes came
 *   input_bytes()  what is to be parsed, contiguous; parts of it may be referenced
 *                  in input->chunk
 *   input_consume() that many bytes from the front are done with
 *   input_keep()   at the end of a handler, always: what is left is kept for the next read. `need`
 *                  is the total number of bytes, from the first unparsed one, that the parser waits
 *                  for, or 0 if not known.
 *
 * Between handlers an input without left-over bytes holds no memory. Left-over bytes of an item of
 * unknown or small length sit in a small private chunk and are copied in front of the next read;
 * for a known larger one a chunk of just that size is made and filled by the reads themselves.
 */
struct input {
    struct chunk *chunk; /* NULL: nothing here */
    size_t begin;        /* first unparsed byte */
    size_t end;          /* behind the last byte */
    bool secret;         /* what is moved elsewhere is wiped where it was */
};

static inline void input_init(struct input *input)
{
    input->chunk = NULL;
    input->begin = input->end = 0;
    input->secret = false;
}
void input_drop(struct input *input);
static inline void input_clear(struct input *input)
{
    if (input->chunk != NULL && input->chunk != input->chunk->pool->read)
        input_drop(input);
    input->chunk = NULL;
    input->begin = input->end = 0;
}
/* Where the next read goes: *at and the bytes free there (never 0). False without memory. */
bool input_room(struct input *input, struct buffer_pool *pool, char **at, size_t *room) MUST_CHECK;
void input_fill(struct input *input, size_t len);
static inline struct slice input_bytes(const struct input *input)
{
    return input->chunk == NULL
               ? (struct slice){ "", 0 }
               : slice_of(input->chunk->data + input->begin, input->end - input->begin);
}
static inline void input_consume(struct input *input, size_t len)
{
    input->begin += len;
}
bool input_keep_rest(struct input *input, struct buffer_pool *pool, size_t need) MUST_CHECK;
/* False without memory: the connection has to be closed. */
MUST_CHECK static inline bool input_keep(struct input *input, struct buffer_pool *pool, size_t need)
{
    if (input->begin != input->end)
        return input_keep_rest(input, pool, need);
    input_clear(input);
    return true;
}

#endif
