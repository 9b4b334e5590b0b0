/*
 * The log: one line an event on standard error, as text or JSON, below a level that can be changed
 * while running. Any thread may call it; a line is one write(2), so lines never mix.
 * Bytes from a peer go through slice_escape first. Values and secrets are never logged.
 */
#ifndef CROSSFADE_BASE_LOG_H
#define CROSSFADE_BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_set_level(enum log_level level);
enum log_level log_get_level(void);
/* JSON lines instead of text. */
void log_set_json(bool json);
/* False when `name` is none of error, warn, info, debug. */
bool log_level_parse(const char *name, enum log_level *out);
const char *log_level_name(enum log_level level);

void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...)                                                                             \
    do {                                                                                           \
        if (log_get_level() >= LOG_DEBUG)                                                          \
            log_write(LOG_DEBUG, __VA_ARGS__);                                                     \
    } while (0)

#endif
