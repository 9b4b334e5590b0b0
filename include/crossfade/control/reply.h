/*
 * The reply to one control command. A handler fills it; the first line comes from `ok`, `code` and
 * `sentence`. What it shows it puts into `data`, one JSON value: with --json that is the reply,
 * otherwise control/table.h makes text of it.
 */
#ifndef CROSSFADE_CONTROL_REPLY_H
#define CROSSFADE_CONTROL_REPLY_H

#include "crossfade/base/slice.h"
#include "crossfade/proto/control_line.h"

#include <jansson.h>
#include <stdbool.h>

struct evbuffer;

struct control_reply {
    bool ok;
    enum control_code code;
    char sentence[4096]; /* may hold line ends: the lines behind the first follow it */
    json_t *data;        /* owned; NULL: none */
    const struct table_column *columns; /* of an array of objects; NULL: pairs */
    char *text; /* owned: shown instead of a table, where there is no --json; or NULL */
};

void control_reply_init(struct control_reply *reply);
void control_reply_ok(struct control_reply *reply, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void control_reply_error(struct control_reply *reply, enum control_code code, const char *format,
                         ...) __attribute__((format(printf, 3, 4)));
/* Writes it, with its empty line, and frees what it holds. */
void control_reply_write(struct control_reply *reply, bool json, struct evbuffer *out);

/* Text from a peer, which may be no UTF-8, as a value: then with escapes. NULL without memory. */
json_t *reply_text(struct slice text);

/* One column of a table: the member it shows, and its title. */
struct table_column {
    const char *member; /* NULL ends the list */
    const char *title;
};

/* An array of objects as a table, an object as "name: value" lines, anything else as a line. */
void table_write(struct evbuffer *out, const json_t *data, const struct table_column *columns);

#endif
