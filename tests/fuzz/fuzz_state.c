/* The state file of the rollout: what the reader takes can be written, and reads back the same. */
#include "fuzz.h"

#include "crossfade/base/ensure.h"
#include "crossfade/rollout/state_file.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct saved_state state, again;
    char error[512] = "";
    char *text;

    if (!state_parse(slice_of((const char *)data, size), &state, error, sizeof(error))) {
        ensure(error[0] != '\0');
        return 0;
    }
    ensure(state.status.percent <= PERCENT_ALL);
    text = state_print(&state);
    ensure(text != NULL);
    ensure(state_parse(slice_string(text), &again, error, sizeof(error)));
    free(text);
    ensure(strcmp(again.origin.name, state.origin.name) == 0);
    ensure(strcmp(again.origin.from, state.origin.from) == 0);
    ensure(strcmp(again.origin.to, state.origin.to) == 0);
    ensure(strcmp(again.origin.salt, state.origin.salt) == 0);
    ensure(again.reach == state.reach);
    ensure(again.status.state == state.status.state);
    ensure(strcmp(again.status.stage_name, state.status.stage_name) == 0);
    ensure(again.status.percent == state.status.percent);
    ensure(again.status.generation == state.status.generation);
    ensure(again.status.activation == state.status.activation);
    ensure(again.status.stage_since == state.status.stage_since);
    ensure(again.status.changed == state.status.changed);
    ensure(strcmp(again.status.reason, state.status.reason) == 0);
    ensure(strcmp(again.status.by, state.status.by) == 0);
    return 0;
}
