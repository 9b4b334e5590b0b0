#include "crossfade/conf/load.h"

#include "faults.h"
#include "file.h"
#include "loader.h"
#include "tree.h"

#include <stdlib.h>

static const struct position whole_file = { 0, 0 };

static struct config *create(void)
{
    struct config *config = calloc(1, sizeof(*config));
    struct source *source = calloc(1, sizeof(*source));

    if (config == NULL || source == NULL) {
        free(config);
        free(source);
        return NULL;
    }
    config->source = source;
    return config;
}

void config_free(struct config *config)
{
    struct source *source;

    if (config == NULL)
        return;
    source = config->source;
    secrets_free(config);
    arena_deinit(&source->arena);
    free(source);
    free(config);
}

int config_arm_index(const struct config *config, struct slice name)
{
    for (size_t i = 0; i < config->arm_count; i++)
        if (config->arms[i].name != NULL && slice_equal(slice_string(config->arms[i].name), name))
            return (int)i;
    return -1;
}

static void run(struct loader *loader, struct arena *nodes, const char *name, const char *text,
                size_t len)
{
    const struct node *root = tree_read(text, len, nodes, loader->faults);

    loader->config->file = arena_dup(&loader->source->arena, slice_string(name));
    if (root == NULL)
        return;
    fill_config(loader, root);
    places_sort(loader->source);
    check_config(loader);
}

/* Where the arenas' jump lands. What changes is the caller's, so that it outlives the jump. */
static void run_guarded(struct loader *loader, struct arena *nodes, const char *name,
                        const char *text, size_t len)
{
    jmp_buf no_memory;

    nodes->no_memory = &no_memory;
    loader->source->arena.no_memory = &no_memory;
    if (setjmp(no_memory) == 0)
        run(loader, nodes, name, text, len);
    else
        faults_no_memory(loader->faults);
    nodes->no_memory = NULL;
    loader->source->arena.no_memory = NULL;
}

static struct config *load(const char *name, const char *text, size_t len, bool with_files,
                           struct config_faults *faults)
{
    struct config *config = create();
    struct arena nodes = { NULL, NULL };
    struct loader loader = { .config = config, .faults = faults };

    if (config == NULL) {
        faults_no_memory(faults);
        return NULL;
    }
    loader.source = config->source;
    run_guarded(&loader, &nodes, name, text, len);
    arena_deinit(&nodes);
    if (with_files && faults->count == 0)
        secrets_load(&loader);
    if (faults->count == 0)
        return config;
    config_free(config);
    return NULL;
}

static struct config *load_bounded(const char *name, const char *text, size_t len, bool with_files,
                                   struct config_faults *faults)
{
    struct config *config = NULL;

    if (!faults_begin(faults))
        return NULL;
    if (len > FILE_MAX)
        faults_add(faults, whole_file, "the file is larger than %zu bytes", FILE_MAX);
    else
        config = load(name, text, len, with_files, faults);
    faults_end(faults);
    return config;
}

struct config *config_load_text(const char *name, const char *text, size_t len,
                                struct config_faults *faults)
{
    return load_bounded(name, text, len, false, faults);
}

struct config *config_load_file(const char *path, struct config_faults *faults)
{
    struct config *config = NULL;
    size_t len;
    char *text = file_load(path, FILE_ANY, &len, faults);

    if (text != NULL)
        config = load_bounded(path, text, len, true, faults);
    file_forget(text, len);
    return config;
}
