/*
 * The values of the configuration file as text: durations, sizes, percentages, endpoints, networks.
 * Also for whoever reads such values elsewhere (`crossfadectl percent 0.1`).
 *
 * Each value_parse_ function writes its result only when it returns true; otherwise `why` holds the
 * part of a sentence that says what is wrong and what to write ("has no unit; write 30s or 30ms").
 * Each value_format_ function writes text that the parser reads back to the same value (a duration
 * that is no whole number of milliseconds, which no file can give, is written in us).
 */
#ifndef CROSSFADE_CONF_VALUES_H
#define CROSSFADE_CONF_VALUES_H

#include "crossfade/base/ensure.h"
#include "crossfade/base/slice.h"
#include "crossfade/conf/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VALUE_WHY 256
#define VALUE_TEXT 64 /* room for a number, duration, size, percentage or network as text */

/* The longest path that fits into a sockaddr_un with its NUL. */
#define VALUE_UNIX_PATH_MAX 107u
#define VALUE_HOST_MAX 253u

struct why {
    char text[VALUE_WHY];
};

/* Always false, so that a parser can end in `return why_set(...)`. */
bool why_set(struct why *why, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* 250ms 30s 15m 2h 7d, or 0; in microseconds. At most ten years. */
bool value_parse_duration(struct slice text, uint64_t *out, struct why *why) MUST_CHECK;
/* Bytes, with k, m or g for 2^10, 2^20, 2^30. */
bool value_parse_size(struct slice text, uint64_t *out, struct why *why) MUST_CHECK;
/* 0 to 100 with at most four decimals, exact; in steps of 0.0001 %. */
bool value_parse_percent(struct slice text, uint32_t *out, struct why *why) MUST_CHECK;
bool value_parse_bool(struct slice text, bool *out, struct why *why) MUST_CHECK;
/* The permission bits of a file, in octal: 0660. */
bool value_parse_mode(struct slice text, int *out, struct why *why) MUST_CHECK;

/* An endpoint's parts, as slices of the text: nothing is copied. */
struct value_endpoint {
    struct slice endpoint; /* all of it but the weight */
    struct slice host;     /* without brackets; data NULL: a unix socket */
    struct slice path;
    uint16_t port;
    unsigned weight; /* 0: not given */
};

/* host:port, [IPv6]:port, unix:/path; with `weight` also host:port:weight (1 to 1000). */
bool value_parse_endpoint(struct slice text, bool weight, struct value_endpoint *out,
                          struct why *why) MUST_CHECK;

/* 10.0.0.0/8, 10.1.2.3, fd00::/8, ::1. No bit may be set beyond the prefix. */
bool value_parse_cidr(struct slice text, struct config_cidr *out, struct why *why) MUST_CHECK;

char *value_format_duration(uint64_t microseconds, char out[VALUE_TEXT]);
char *value_format_size(uint64_t bytes, char out[VALUE_TEXT]);
char *value_format_percent(uint32_t steps, char out[VALUE_TEXT]);
char *value_format_cidr(const struct config_cidr *cidr, char out[VALUE_TEXT]);

/* A token of RFC 9110 section 5.6.2: the name of a header field or a cookie. */
bool value_is_token(struct slice text);
/* Letters, digits, '_' and '-' only; may be empty. */
bool value_is_word(struct slice text);

#endif
