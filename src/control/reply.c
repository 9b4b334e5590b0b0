#include "crossfade/control/reply.h"

#include <event2/buffer.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS_MAX 16u
#define CELL 320u /* bytes of text in a table */

void control_reply_init(struct control_reply *reply)
{
    reply->ok = true;
    reply->code = CONTROL_FAILED;
    reply->sentence[0] = '\0';
    reply->data = NULL;
    reply->columns = NULL;
    reply->text = NULL;
}

void control_reply_ok(struct control_reply *reply, const char *format, ...)
{
    va_list arguments;

    reply->ok = true;
    va_start(arguments, format);
    (void)vsnprintf(reply->sentence, sizeof(reply->sentence), format, arguments);
    va_end(arguments);
}

void control_reply_error(struct control_reply *reply, enum control_code code, const char *format,
                         ...)
{
    va_list arguments;

    reply->ok = false;
    reply->code = code;
    va_start(arguments, format);
    (void)vsnprintf(reply->sentence, sizeof(reply->sentence), format, arguments);
    va_end(arguments);
}

json_t *reply_text(struct slice text)
{
    json_t *value = json_stringn(text.data, text.len);
    size_t size = 4 * text.len + 1;
    char *shown;

    if (value != NULL) /* it is UTF-8 */
        return value;
    shown = malloc(size);
    if (shown == NULL)
        return NULL;
    value = json_string(slice_escape(text, shown, size));
    free(shown);
    return value;
}

/*
 * For a terminal, whatever the bytes: characters as they are, other bytes as \xNN. Gives back how
 * much of the text has found room in out[size], which is cut between two characters; terminated.
 */
static size_t show(struct slice text, char *out, size_t size)
{
    size_t done = 0;
    size_t at = 0;

    while (done < text.len) {
        struct slice rest = slice_of(text.data + done, text.len - done);
        size_t len = slice_character(rest);
        if (at + (len > 0 ? len : 4) + 1 > size)
            break;
        if (len > 0)
            memcpy(out + at, rest.data, len);
        else
            (void)slice_escape(slice_of(rest.data, 1), out + at, size - at);
        at += len > 0 ? len : strlen(out + at);
        done += len > 0 ? len : 1;
    }
    out[at] = '\0';
    return done;
}

/* A value in a table. */
static const char *cell_text(const json_t *value, char *out, size_t size)
{
    if (value == NULL || json_is_null(value))
        return "-";
    if (json_is_string(value)) {
        if (json_string_length(value) == 0)
            return "-";
        (void)show(slice_string(json_string_value(value)), out, size);
        return out;
    }
    if (json_is_integer(value))
        (void)snprintf(out, size, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        (void)snprintf(out, size, "%.6g", json_real_value(value));
    else
        (void)snprintf(out, size, "%s", json_is_true(value) ? "yes" : "no");
    return out;
}

/* Characters, which printf does not count. */
static size_t width_of(const char *text)
{
    size_t width = 0;

    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void pad(struct evbuffer *out, size_t from, size_t to)
{
    if (from < to)
        (void)evbuffer_add_printf(out, "%*s", (int)(to - from), "");
}

static void write_rows(struct evbuffer *out, const json_t *rows, const struct table_column *columns)
{
    size_t widths[COLUMNS_MAX] = { 0 };
    size_t count = 0;
    size_t index;
    json_t *row;
    char text[CELL];

    while (columns[count].member != NULL && count < COLUMNS_MAX) {
        widths[count] = strlen(columns[count].title);
        count++;
    }
    json_array_foreach((json_t *)(uintptr_t)rows, index, row)
    {
        for (size_t c = 0; c < count; c++) {
            size_t len = width_of(cell_text(json_object_get(row, columns[c].member), text, CELL));
            if (len > widths[c])
                widths[c] = len;
        }
    }
    for (size_t c = 0; c < count; c++)
        (void)evbuffer_add_printf(out, "%-*s%s", c + 1 < count ? (int)widths[c] : 0,
                                  columns[c].title, c + 1 < count ? "  " : "\n");
    json_array_foreach((json_t *)(uintptr_t)rows, index, row)
    {
        for (size_t c = 0; c < count; c++) {
            const json_t *value = json_object_get(row, columns[c].member);
            const char *shown = cell_text(value, text, CELL);
            if (json_is_number(value) && c + 1 < count)
                pad(out, width_of(shown), widths[c]);
            (void)evbuffer_add(out, shown, strlen(shown));
            if (c + 1 == count)
                break;
            if (!json_is_number(value))
                pad(out, width_of(shown), widths[c]);
            (void)evbuffer_add(out, "  ", 2);
        }
        (void)evbuffer_add_printf(out, "\n");
    }
}

static void write_pairs(struct evbuffer *out, json_t *object)
{
    const char *name;
    json_t *value;
    char text[CELL];
    size_t width = 0;

    json_object_foreach(object, name, value)
    {
        if (strlen(name) > width && !json_is_array(value) && !json_is_object(value))
            width = strlen(name);
    }
    json_object_foreach(object, name, value)
    {
        if (!json_is_array(value) && !json_is_object(value))
            (void)evbuffer_add_printf(out, "%-*s  %s\n", (int)width, name,
                                      cell_text(value, text, CELL));
    }
}

void table_write(struct evbuffer *out, const json_t *data, const struct table_column *columns)
{
    char text[CELL];

    if (json_is_array(data) && columns != NULL)
        write_rows(out, data, columns);
    else if (json_is_object(data))
        write_pairs(out, (json_t *)(uintptr_t)data);
    else
        (void)evbuffer_add_printf(out, "%s\n", cell_text(data, text, CELL));
}

/* Lines of a sentence; an empty one would end the reply too early. */
static void write_sentence(struct evbuffer *out, const char *sentence)
{
    char text[CELL];

    for (;;) {
        size_t len = strcspn(sentence, "\n");
        for (size_t done = 0; done < len;) {
            done += show(slice_of(sentence + done, len - done), text, sizeof(text));
            (void)evbuffer_add(out, text, strlen(text));
        }
        (void)evbuffer_add(out, len > 0 ? "\n" : " \n", len > 0 ? 1 : 2);
        if (sentence[len] == '\0')
            return;
        sentence += len + 1;
    }
}

void control_reply_write(struct control_reply *reply, bool json, struct evbuffer *out)
{
    if (!reply->ok) {
        (void)evbuffer_add_printf(out, "ERR %s ", control_code_name(reply->code));
        write_sentence(out, reply->sentence);
    } else if (reply->sentence[0] != '\0') {
        (void)evbuffer_add_printf(out, "OK ");
        write_sentence(out, reply->sentence);
    } else {
        (void)evbuffer_add_printf(out, "OK\n");
    }
    if (reply->ok && reply->data != NULL) {
        if (json) {
            char *text = json_dumps(reply->data, JSON_COMPACT | JSON_PRESERVE_ORDER);
            (void)evbuffer_add_printf(out, "%s\n", text != NULL ? text : "null");
            free(text);
        } else if (reply->text != NULL) {
            write_sentence(out, reply->text);
        } else {
            table_write(out, reply->data, reply->columns);
        }
    }
    (void)evbuffer_add(out, "\n", 1);
    json_decref(reply->data);
    reply->data = NULL;
    free(reply->text);
    reply->text = NULL;
}
