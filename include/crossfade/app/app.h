/*
 * The daemon: everything hangs off struct app. The main thread owns the control plane, the rollout
 * and the signals; the workers serve.
 */
#ifndef CROSSFADE_APP_APP_H
#define CROSSFADE_APP_APP_H

#include "crossfade/base/ensure.h"

#include <stdbool.h>
#include <stddef.h>

struct app;

/* Loads, opens, starts. NULL after having logged why not. */
struct app *app_start(const char *config_path);
/* Serves until a signal or the control plane ends it. The exit status. */
int app_run(struct app *app);
void app_destroy(struct app *app);

#endif
