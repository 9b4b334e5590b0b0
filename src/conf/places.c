#include "loader.h"

#include "faults.h"

#include <stdarg.h>
#include <stdlib.h>

void places_add(struct loader *loader, struct position at)
{
    struct source *source = loader->source;

    if (source->place_count == source->place_room) {
        size_t room = source->place_room > 0 ? 2 * source->place_room : 64;
        struct place *places = arena_alloc(&source->arena, room * sizeof(*places));
        if (source->place_count > 0)
            memcpy(places, source->places, source->place_count * sizeof(*places));
        source->places = places;
        source->place_room = room;
    }
    source->places[source->place_count++] = (struct place){
        .path = arena_dup(&source->arena, slice_of(loader->path, loader->path_len)),
        .at = at,
    };
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct place *)a)->path, ((const struct place *)b)->path);
}

void places_sort(struct source *source)
{
    if (source->place_count > 0)
        qsort(source->places, source->place_count, sizeof(*source->places), compare);
}

const struct place *places_find(const struct source *source, const char *path)
{
    struct place wanted = { .path = path };

    if (source->place_count == 0)
        return NULL;
    return bsearch(&wanted, source->places, source->place_count, sizeof(wanted), compare);
}

/* Of the value at that path, or of the nearest one above it that was given. */
static struct position nearest_place(const struct source *source, const char *path)
{
    char above[LOADER_PATH_MAX];

    (void)snprintf(above, sizeof(above), "%s", path);
    for (;;) {
        const struct place *place = places_find(source, above);
        size_t len = strlen(above);
        if (place != NULL)
            return place->at;
        while (len > 0 && above[len - 1] != '.' && above[len - 1] != '[')
            len--;
        if (len == 0)
            return (struct position){ 1, 1 };
        above[len - 1] = '\0';
    }
}

void places_fault(struct loader *loader, const char *path, const char *format, ...)
{
    char text[768];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    faults_add(loader->faults, nearest_place(loader->source, path), "%s %s", path, text);
}

void config_place(const struct config *config, const char *path, unsigned *line, unsigned *column)
{
    struct position at = nearest_place(config->source, path);

    *line = at.line;
    *column = at.column;
}
