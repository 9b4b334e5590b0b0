#include "crossfade/base/ensure.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void ensure_failed(const char *condition, const char *file, int line)
{
    (void)fprintf(stderr, "crossfade: %s:%d: this must never happen: %s\n", file, line, condition);
    abort();
}
