/*
 * The unparsed input of a connection: see the drawing in crossfade/base/buffer.h.
 *
 * An input's chunk is either the pool's read chunk, borrowed for the length of one handler (without
 * a reference of its own), or a private chunk that it owns.
 */
#include "crossfade/base/buffer.h"

/* A read is not worth its system call with less room than this. */
#define READ_MIN (16u * 1024u)

static bool is_private(const struct input *input)
{
    return input->chunk != NULL && input->chunk != input->chunk->pool->read;
}

void input_drop(struct input *input)
{
    if (input->secret)
        explicit_bzero(input->chunk->data + input->begin, input->end - input->begin);
    chunk_unref(input->chunk);
}

/* The read chunk with at least `room` bytes free. Nobody's handler is using it now. */
static struct chunk *read_chunk(struct buffer_pool *pool, size_t room)
{
    struct chunk *chunk = pool->read;

    if (chunk != NULL) {
        if (chunk->refs == 1)
            chunk->used = 0;
        if (chunk->room - chunk->used >= room)
            return chunk;
    }
    chunk = chunk_create(pool, CHUNK_SIZE - 256u);
    if (chunk == NULL)
        return NULL;
    if (pool->read != NULL)
        chunk_unref(pool->read);
    pool->read = chunk;
    return chunk;
}

bool input_room(struct input *input, struct buffer_pool *pool, char **at, size_t *room)
{
    size_t left = input->end - input->begin;
    struct chunk *before = is_private(input) ? input->chunk : NULL;
    struct chunk *chunk;

    if (before != NULL && (before->room > CHUNK_SMALL || left > CHUNK_SMALL / 2)) {
        /* A chunk made to size: fill it. It has room, or input_keep would have made a larger one.
         */
        ensure(input->end < before->room);
        *at = before->data + input->end;
        *room = before->room - input->end;
        return true;
    }
    chunk = read_chunk(pool, READ_MIN + left);
    if (chunk == NULL)
        return false;
    if (before != NULL) {
        memcpy(chunk->data + chunk->used, before->data + input->begin, left);
        if (input->secret)
            explicit_bzero(before->data + input->begin, left);
        chunk_unref(before);
    } else {
        ensure(left == 0);
    }
    input->chunk = chunk;
    input->begin = chunk->used;
    input->end = chunk->used + left;
    *at = chunk->data + input->end;
    *room = chunk->room - input->end;
    return true;
}

void input_fill(struct input *input, size_t len)
{
    input->end += len;
    ensure(input->end <= input->chunk->room);
    input->chunk->used = input->end;
}

bool input_keep_rest(struct input *input, struct buffer_pool *pool, size_t need)
{
    size_t left = input->end - input->begin;
    struct chunk *chunk;

    if (is_private(input)) {
        /* Enough room behind what is here? A chunk that others reference must not be moved in. */
        size_t wanted = need > left ? need : left + 1;
        if (input->chunk->room - input->begin >= wanted)
            return true;
    }
    if (need <= left)
        need = left < CHUNK_SMALL / 2 ? CHUNK_SMALL / 2 : left * 2;
    chunk = chunk_create(pool, need);
    if (chunk == NULL) {
        input_clear(input);
        return false;
    }
    memcpy(chunk->data, input->chunk->data + input->begin, left);
    if (input->secret)
        explicit_bzero(input->chunk->data + input->begin, left);
    chunk->used = left;
    if (is_private(input))
        chunk_unref(input->chunk);
    input->chunk = chunk;
    input->begin = 0;
    input->end = left;
    return true;
}
