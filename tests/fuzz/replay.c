/*
 * The main function of a fuzz target where libFuzzer is not: replays every file of the folders (and
 * files) that are named, then each of them again cut short and with bytes changed, from a fixed
 * seed.
 *
 *   fuzz_x [-runs=N] [other libFuzzer options, ignored] FOLDER-OR-FILE...
 *
 * N is the number of changed inputs for the whole run. Each input sits in a heap block of exactly
 * its size, so that a sanitizer sees one byte read too far.
 */
#include "fuzz.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define INPUT_MAX (1u << 20)
#define GROWTH 16u

struct input_file {
    uint8_t *data;
    size_t size;
};

struct corpus {
    struct input_file *files;
    size_t count;
};

static void *must(void *memory)
{
    if (memory == NULL) {
        fprintf(stderr, "replay: out of memory\n");
        exit(2);
    }
    return memory;
}

static void add_file(struct corpus *corpus, const char *path)
{
    FILE *in = fopen(path, "rb");
    uint8_t *data = must(malloc(INPUT_MAX));
    size_t size;

    if (in == NULL) {
        fprintf(stderr, "replay: cannot open %s\n", path);
        exit(2);
    }
    size = fread(data, 1, INPUT_MAX, in);
    if (ferror(in) || !feof(in)) {
        fprintf(stderr, "replay: cannot read %s, or it is over %u bytes\n", path, INPUT_MAX);
        exit(2);
    }
    fclose(in);
    corpus->files = must(realloc(corpus->files, (corpus->count + 1) * sizeof(*corpus->files)));
    corpus->files[corpus->count].data = must(realloc(data, size > 0 ? size : 1));
    corpus->files[corpus->count].size = size;
    corpus->count++;
}

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void add_path(struct corpus *corpus, const char *path)
{
    struct stat status;
    struct dirent **entries;
    int count;

    if (stat(path, &status) != 0 || !S_ISDIR(status.st_mode)) {
        add_file(corpus, path);
        return;
    }
    count = scandir(path, &entries, visible, alphasort);
    for (int i = 0; i < count; i++) {
        size_t room = strlen(path) + strlen(entries[i]->d_name) + 2;
        char *name = must(malloc(room));
        (void)snprintf(name, room, "%s/%s", path, entries[i]->d_name);
        add_file(corpus, name);
        free(name);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
}

static void run_once(const uint8_t *data, size_t size)
{
    uint8_t *exact = must(malloc(size > 0 ? size : 1));
    if (size > 0)
        memcpy(exact, data, size);
    (void)LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

/* xorshift64: the same inputs on every machine. */
static size_t draw(uint64_t *state, size_t below)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (size_t)(*state % below);
}

/* One to four changes: flip a bit, overwrite, insert, remove, repeat a piece, cut the end. */
static size_t change(uint8_t *data, size_t size, size_t room, uint64_t *state)
{
    static const uint8_t telling[] = {
        0, ' ', '\n', '\r', ':', '"', '{', '[', '0', '9', '-', 0xff
    };

    for (size_t n = 1 + draw(state, 4); n > 0; n--) {
        size_t at = draw(state, size + 1);
        switch (draw(state, 6)) {
        case 0:
            if (at < size)
                data[at] = (uint8_t)(data[at] ^ (1u << draw(state, 8)));
            break;
        case 1:
            if (at < size)
                data[at] = telling[draw(state, sizeof(telling))];
            break;
        case 2:
            if (size < room) {
                memmove(data + at + 1, data + at, size - at);
                data[at] = telling[draw(state, sizeof(telling))];
                size++;
            }
            break;
        case 3:
            if (at < size) {
                memmove(data + at, data + at + 1, size - at - 1);
                size--;
            }
            break;
        case 4: {
            size_t len = draw(state, GROWTH);
            if (at + len <= size && size + len <= room) {
                memmove(data + at + len, data + at, size - at);
                size += len;
            }
            break;
        }
        default:
            if (draw(state, 4) == 0)
                size = at;
            break;
        }
    }
    return size;
}

int main(int argc, char **argv)
{
    struct corpus corpus = { NULL, 0 };
    unsigned long runs = 0;
    uint64_t state = 0x9e3779b97f4a7c15u;

    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "-runs=", 6) == 0)
            runs = strtoul(argv[i] + 6, NULL, 10);
        else if (argv[i][0] != '-')
            add_path(&corpus, argv[i]);
    }
    if (corpus.count == 0) {
        fprintf(stderr, "replay: no input\n");
        return 2;
    }
    run_once(NULL, 0);
    for (size_t i = 0; i < corpus.count; i++)
        run_once(corpus.files[i].data, corpus.files[i].size);
    for (unsigned long n = 0; n < runs; n++) {
        const struct input_file *file = &corpus.files[draw(&state, corpus.count)];
        size_t room = file->size + 4 * GROWTH;
        uint8_t *data = must(malloc(room));
        if (file->size > 0)
            memcpy(data, file->data, file->size);
        run_once(data, change(data, file->size, room, &state));
        free(data);
    }
    printf("%zu inputs, %lu changed ones\n", corpus.count, runs);
    for (size_t i = 0; i < corpus.count; i++)
        free(corpus.files[i].data);
    free(corpus.files);
    return 0;
}
