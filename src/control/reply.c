#include "crossfade/control/reply.h"

#include <event2/buffer.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS_MAX 16u

void control_reply_init(struct control_reply *reply)
{
    reply->ok = true;
    reply->code = CONTROL_FAILED;
    reply->sentence[0] = '\0';
    reply->data = NULL;
    reply->columns = NULL;
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

/* A value in a table; bytes that are not for a terminal are escaped. */
static const char *cell_text(const json_t *value, char *out, size_t size)
{
    if (value == NULL || json_is_null(value))
        return "-";
    if (json_is_string(value)) {
        const char *text = json_string_value(value);
        return text[0] == '\0' ? "-" : slice_escape(slice_string(text), out, size);
    }
    if (json_is_integer(value))
        (void)snprintf(out, size, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        (void)snprintf(out, size, "%.6g", json_real_value(value));
    else
        (void)snprintf(out, size, "%s", json_is_true(value) ? "yes" : "no");
    return out;
}

#define CELL 320u

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
            size_t len = strlen(cell_text(json_object_get(row, columns[c].member), text, CELL));
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
            if (c + 1 == count)
                (void)evbuffer_add_printf(out, "%s", shown);
            else if (json_is_number(value))
                (void)evbuffer_add_printf(out, "%*s  ", (int)widths[c], shown);
            else
                (void)evbuffer_add_printf(out, "%-*s  ", (int)widths[c], shown);
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
    for (;;) {
        size_t len = strcspn(sentence, "\n");
        (void)evbuffer_add(out, len > 0 ? sentence : " ", len > 0 ? len : 1);
        (void)evbuffer_add(out, "\n", 1);
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
        } else {
            table_write(out, reply->data, reply->columns);
        }
    }
    (void)evbuffer_add(out, "\n", 1);
    json_decref(reply->data);
    reply->data = NULL;
}
