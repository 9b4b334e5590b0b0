/*
 * A pool of objects of one size, for one thread. Objects come from pages that are mapped aligned to
 * their own size, so that an object finds its page by masking. A page whose objects are all back is
 * a spare: kept for the next loop turn, which under load wants as many as this one, and unmapped by
 * slab_trim() when no turn wanted it for a while. So memory goes back to the system after a burst,
 * and a steady load maps nothing. Taking and giving back allocates nothing but whole pages.
 *
 *   page (aligned)  | header | object | object | ... |       header: owner, free list, used count
 *
 * What was given back last is in the hand, still warm, and taken first; the hand holds at most half
 * a page's objects and is emptied by slab_trim().
 */
#ifndef CROSSFADE_BASE_SLAB_H
#define CROSSFADE_BASE_SLAB_H

#include <stddef.h>
#include <sys/queue.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLAB_POISON 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define SLAB_POISON 1
#endif
#ifdef SLAB_POISON
/* An object that was given back is poisoned, so that the sanitizer sees a use after the return. */
#include <sanitizer/asan_interface.h>
#define slab_poison(at, len) ASAN_POISON_MEMORY_REGION(at, len)
#define slab_unpoison(at, len) ASAN_UNPOISON_MEMORY_REGION(at, len)
#else
#define slab_poison(at, len) ((void)(at), (void)(len))
#define slab_unpoison(at, len) ((void)(at), (void)(len))
#endif

struct slab_page;
LIST_HEAD(slab_pages, slab_page);

struct slab_free {
    struct slab_free *next;
};

struct slab {
    struct slab_free *hand;
    size_t in_hand;
    size_t hand_max;
    size_t object_size; /* rounded up to 16 */
    size_t page_size;   /* a power of two */
    struct slab_pages partial;
    struct slab_pages full;
    struct slab_pages spare; /* empty pages */
    size_t spares;           /* how many */
    size_t idle;             /* how many of them were never wanted since the last trim */
    size_t used;             /* objects out, or in the hand */
    size_t pages;            /* mapped pages, the spares included */
};

/* page_size: a power of two, at least 4096, that holds at least one object. */
void slab_init(struct slab *slab, size_t object_size, size_t page_size);
/* Every object must be back. */
void slab_deinit(struct slab *slab);

/* From a page and to its page, when the hand is empty or full. */
void *slab_get_paged(struct slab *slab);
void slab_put_paged(struct slab *slab, void *object);

/* Not cleared. NULL when the system has no memory: the caller sheds. */
static inline void *slab_get(struct slab *slab)
{
    struct slab_free *object = slab->hand;

    if (object == NULL)
        return slab_get_paged(slab);
    slab_unpoison(object, slab->object_size);
    slab->hand = object->next;
    slab->in_hand--;
    return object;
}

static inline void slab_put(struct slab *slab, void *object)
{
    struct slab_free *slot = object;

    if (slab->in_hand == slab->hand_max) {
        slab_put_paged(slab, object);
        return;
    }
    slot->next = slab->hand;
    slab->hand = slot;
    slab->in_hand++;
    slab_poison(object, slab->object_size);
}

/* To be called now and then: empties the hand, and gives back half of the spares that were idle
 * since the last call, but keeps one. */
void slab_trim(struct slab *slab);

#endif
