/*
 * A pool of objects of one size, for one thread. Objects come from pages that are mapped aligned to
 * their own size, so that an object finds its page by masking. A page whose objects are all back is
 * a spare: kept for the next loop turn, which under load wants as many as this one, and unmapped by
 * slab_trim() when no turn wanted it for a while. So memory goes back to the system after a burst,
 * and a steady load maps nothing. Taking and giving back allocates nothing but whole pages.
 *
 *   page (aligned)  | header | object | object | ... |       header: owner, free list, used count
 */
#ifndef CROSSFADE_BASE_SLAB_H
#define CROSSFADE_BASE_SLAB_H

#include <stddef.h>
#include <sys/queue.h>

struct slab_page;
LIST_HEAD(slab_pages, slab_page);

struct slab {
    size_t object_size; /* rounded up to 16 */
    size_t page_size;   /* a power of two */
    struct slab_pages partial;
    struct slab_pages full;
    struct slab_pages spare; /* empty pages */
    size_t spares;           /* how many */
    size_t idle;             /* how many of them were never wanted since the last trim */
    size_t used;             /* objects out */
    size_t pages;            /* mapped pages, the spares included */
};

/* page_size: a power of two, at least 4096, that holds at least one object. */
void slab_init(struct slab *slab, size_t object_size, size_t page_size);
/* Every object must be back. */
void slab_deinit(struct slab *slab);
/* Not cleared. NULL when the system has no memory: the caller sheds. */
void *slab_get(struct slab *slab);
void slab_put(struct slab *slab, void *object);
/* To be called now and then: gives back half of the spares that were idle since the last call, but
 * keeps one. */
void slab_trim(struct slab *slab);

#endif
