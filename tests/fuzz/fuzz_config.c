/* The loader takes any text: a configuration that can be shown, or at least one fault. */
#include "fuzz.h"

#include "crossfade/base/ensure.h"
#include "crossfade/conf/load.h"

#include <string.h>

static void look(void *context, const char *path, const char *value, const char *standard,
                 unsigned line, bool restart)
{
    (void)restart;
    ensure(line < 1u << 20);
    *(size_t *)context += strlen(path) + strlen(value) + strlen(standard);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config_faults faults;
    struct config *config =
        config_load_text("fuzz.yaml", size > 0 ? (const char *)data : "", size, &faults);
    static FILE *nowhere;
    size_t seen = 0;

    if (nowhere == NULL)
        nowhere = fopen("/dev/null", "w");
    ensure(nowhere != NULL);
    ensure((config == NULL) == (faults.count > 0));
    config_faults_print(&faults, "fuzz.yaml", nowhere);
    if (config != NULL) {
        config_print_plan(config, nowhere);
        config_describe(config, look, &seen);
        ensure(seen > 0);
    }
    config_free(config);
    config_faults_free(&faults);
    return 0;
}
