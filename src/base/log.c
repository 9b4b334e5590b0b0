#include "crossfade/base/log.h"

#include "crossfade/base/clock.h"
#include "crossfade/base/slice.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const level_names[] = { "error", "warn", "info", "debug" };

/* The only process-wide state: it is set by the main thread and read by all. */
static _Atomic int current_level = LOG_INFO;
static _Atomic bool as_json = false;

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
}

enum log_level log_get_level(void)
{
    return (enum log_level)atomic_load_explicit(&current_level, memory_order_relaxed);
}

void log_set_json(bool json)
{
    atomic_store_explicit(&as_json, json, memory_order_relaxed);
}

bool log_level_parse(const char *name, enum log_level *out)
{
    for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++)
        if (strcmp(name, level_names[i]) == 0) {
            *out = (enum log_level)i;
            return true;
        }
    return false;
}

const char *log_level_name(enum log_level level)
{
    return level_names[level];
}

void log_write(enum log_level level, const char *format, ...)
{
    char stamp[CLOCK_TEXT];
    char text[1024];
    char line[4096];
    va_list arguments;
    int len;

    if (level > log_get_level())
        return;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    clock_format(clock_wall(), stamp);

    if (atomic_load_explicit(&as_json, memory_order_relaxed)) {
        /* Escapes of slice_escape are \xNN, which JSON does not know: written as \u00NN instead. */
        size_t at =
            (size_t)snprintf(line, sizeof(line), "{\"time\":\"%s\",\"level\":\"%s\",\"message\":\"",
                             stamp, level_names[level]);
        for (const char *p = text; *p != '\0' && at + 10 < sizeof(line); p++) {
            unsigned char c = (unsigned char)*p;
            size_t width = slice_character(slice_of(p, strnlen(p, 4)));
            if (c == '"' || c == '\\') {
                line[at++] = '\\';
                line[at++] = (char)c;
            } else if (width > 1) {
                memcpy(line + at, p, width);
                at += width;
                p += width - 1;
            } else if (width == 0) {
                at += (size_t)snprintf(line + at, sizeof(line) - at, "\\u%04x", c);
            } else {
                line[at++] = (char)c;
            }
        }
        len = (int)at + snprintf(line + at, sizeof(line) - at, "\"}\n");
    } else {
        len = snprintf(line, sizeof(line), "%s %-5s %s\n", stamp, level_names[level], text);
    }
    if (len > 0)
        while (write(STDERR_FILENO, line, (size_t)len) < 0) {
            /* A log that cannot be written is no reason to stop serving. */
            break;
        }
}
