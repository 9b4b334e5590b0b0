#include "crossfade/base/slab.h"

#include "crossfade/base/ensure.h"

#include <stdint.h>
#include <sys/mman.h>

struct slab_page {
    LIST_ENTRY(slab_page) link;
    struct slab *slab;
    struct slab_free *free; /* objects that came back */
    size_t fresh;           /* offset of the first object never handed out */
    size_t used;
};

#define ALIGNMENT ((size_t)16)
#define ROUND_UP(n) (((n) + ALIGNMENT - 1) & ~(ALIGNMENT - 1))
#define HEADER ROUND_UP(sizeof(struct slab_page))

void slab_init(struct slab *slab, size_t object_size, size_t page_size)
{
    ensure(page_size >= 4096 && (page_size & (page_size - 1)) == 0);
    ensure(object_size > 0);
    slab->object_size = ROUND_UP(object_size);
    slab->page_size = page_size;
    ensure(HEADER + slab->object_size <= page_size);
    slab->hand = NULL;
    slab->in_hand = 0;
    slab->hand_max = page_size / slab->object_size / 2;
    LIST_INIT(&slab->partial);
    LIST_INIT(&slab->full);
    LIST_INIT(&slab->spare);
    slab->spares = 0;
    slab->idle = 0;
    slab->used = 0;
    slab->pages = 0;
}

static void unmap_page(struct slab *slab, struct slab_page *page)
{
    slab->pages--;
    slab_unpoison(page, slab->page_size);
    (void)munmap(page, slab->page_size);
}

static struct slab_page *take_spare(struct slab *slab)
{
    struct slab_page *page = LIST_FIRST(&slab->spare);

    if (page == NULL)
        return NULL;
    LIST_REMOVE(page, link);
    slab->spares--;
    if (slab->idle > slab->spares)
        slab->idle = slab->spares;
    return page;
}

static void empty_hand(struct slab *slab)
{
    while (slab->in_hand > 0) {
        void *object = slab_get(slab);
        slab_put_paged(slab, object);
    }
}

void slab_deinit(struct slab *slab)
{
    struct slab_page *page;

    empty_hand(slab);
    ensure(slab->used == 0);
    while ((page = take_spare(slab)) != NULL)
        unmap_page(slab, page);
}

void slab_trim(struct slab *slab)
{
    empty_hand(slab);
    for (size_t count = (slab->idle + 1) / 2; count > 0 && slab->spares > 1; count--)
        unmap_page(slab, take_spare(slab));
    slab->idle = slab->spares;
}

/* mmap gives memory aligned to the system's pages only: map twice as much and cut off both ends. */
static struct slab_page *map_page(struct slab *slab)
{
    size_t size = slab->page_size;
    char *raw = mmap(NULL, size * 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *aligned;
    struct slab_page *page;

    if (raw == MAP_FAILED)
        return NULL;
    aligned = raw + ((size - ((uintptr_t)raw & (size - 1))) & (size - 1));
    if (aligned > raw)
        (void)munmap(raw, (size_t)(aligned - raw));
    (void)munmap(aligned + size, size - (size_t)(aligned - raw));
    page = (struct slab_page *)(void *)aligned;
    page->slab = slab;
    page->free = NULL;
    page->fresh = HEADER;
    page->used = 0;
    slab->pages++;
    slab_poison(aligned + HEADER, size - HEADER);
    return page;
}

static int page_is_full(const struct slab *slab, const struct slab_page *page)
{
    return page->free == NULL && page->fresh + slab->object_size > slab->page_size;
}

void *slab_get_paged(struct slab *slab)
{
    struct slab_page *page = LIST_FIRST(&slab->partial);
    void *object;

    if (page == NULL) {
        page = take_spare(slab);
        if (page == NULL)
            page = map_page(slab);
        if (page == NULL)
            return NULL;
        LIST_INSERT_HEAD(&slab->partial, page, link);
    }
    if (page->free != NULL) {
        object = page->free;
        slab_unpoison(object, slab->object_size);
        page->free = page->free->next;
    } else {
        object = (char *)page + page->fresh;
        slab_unpoison(object, slab->object_size);
        page->fresh += slab->object_size;
    }
    page->used++;
    slab->used++;
    if (page_is_full(slab, page)) {
        LIST_REMOVE(page, link);
        LIST_INSERT_HEAD(&slab->full, page, link);
    }
    return object;
}

void slab_put_paged(struct slab *slab, void *object)
{
    struct slab_page *page =
        (struct slab_page *)((uintptr_t)object & ~((uintptr_t)slab->page_size - 1));
    struct slab_free *slot = object;

    ensure(page->slab == slab && page->used > 0);
    if (page_is_full(slab, page)) {
        LIST_REMOVE(page, link);
        LIST_INSERT_HEAD(&slab->partial, page, link);
    }
    slot->next = page->free;
    page->free = slot;
    slab_poison(object, slab->object_size);
    page->used--;
    slab->used--;
    if (page->used > 0)
        return;
    LIST_REMOVE(page, link);
    LIST_INSERT_HEAD(&slab->spare, page, link);
    slab->spares++;
}
