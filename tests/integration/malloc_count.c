/*
 * Preloaded into the daemon by test_allocations.py: counts its allocations in a file that the test
 * reads while the daemon runs. The file's first 8 bytes are the count.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* The C library's own, by the names under which a preloaded library still reaches them. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);

static _Atomic uint64_t before_the_file;
static _Atomic uint64_t *counter = &before_the_file;

static void count(void)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

void *malloc(size_t size)
{
    count();
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size)
{
    count();
    return __libc_calloc(number, size);
}

void *realloc(void *memory, size_t size)
{
    count();
    return __libc_realloc(memory, size);
}

__attribute__((constructor)) static void open_the_file(void)
{
    const char *path = getenv("MALLOC_COUNT_FILE");
    int file = path != NULL ? open(path, O_RDWR | O_CREAT, 0600) : -1;
    void *memory;

    if (file < 0 || ftruncate(file, (off_t)sizeof(uint64_t)) != 0)
        return;
    memory = mmap(NULL, sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (memory != MAP_FAILED)
        counter = memory;
    close(file);
}
