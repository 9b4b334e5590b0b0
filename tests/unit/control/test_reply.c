/* Replies as text: what is framed, lined up and kept from a terminal. */
#include "crossfade/control/reply.h"

#include <criterion/criterion.h>
#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>

static char *take(struct evbuffer *out)
{
    size_t len = evbuffer_get_length(out);
    char *text = calloc(1, len + 1);

    (void)evbuffer_remove(out, text, len);
    evbuffer_free(out);
    return text;
}

static void expect_table(json_t *data, const struct table_column *columns, const char *wanted)
{
    struct evbuffer *out = evbuffer_new();
    char *text;

    table_write(out, data, columns);
    text = take(out);
    cr_expect_str_eq(text, wanted, "%s", text);
    free(text);
    json_decref(data);
}

static const struct table_column columns[] = {
    { "a", "A" }, { "n", "NUMBER" }, { "z", "Z" }, { NULL, NULL }
};

Test(reply, columns_line_up_in_characters)
{
    expect_table(json_pack("[{s:s, s:i, s:s}, {s:s, s:i, s:s}]", "a", "caf\xc3\xa9", "n", 7, "z",
                           "x", "a", "tea", "n", 1234567, "z", ""),
                 columns,
                 "A     NUMBER   Z\n"
                 "caf\xc3\xa9        7  x\n"
                 "tea   1234567  -\n");
    expect_table(json_array(), columns, "A  NUMBER  Z\n");
}

Test(reply, pairs_and_what_is_missing)
{
    expect_table(json_pack("{s:s, s:b, s:n, s:f, s:[i]}", "one", "x", "second", 1, "none", "half",
                           0.5, "list", 1),
                 NULL,
                 "one     x\n"
                 "second  yes\n"
                 "none    -\n"
                 "half    0.5\n");
}

Test(reply, no_control_character_reaches_a_terminal)
{
    expect_table(json_pack("[{s:s, s:s}]", "a", "\x1b[31m\x7f\n", "z",
                           "\xc2\x9b"
                           "1m\xc2\xa0"),
                 columns,
                 "A                 NUMBER  Z\n"
                 "\\x1b[31m\\x7f\\x0a  -       \\xc2\\x9b"
                 "1m\xc2\xa0\n");
}

Test(reply, a_long_cell_is_cut_between_characters)
{
    char *text = calloc(1, 2001);
    struct evbuffer *out = evbuffer_new();
    json_t *data;
    char *shown;
    size_t len;

    for (size_t i = 0; i < 2000; i += 2)
        memcpy(text + i, "\xc3\xa9", 2);
    data = json_string(text);
    table_write(out, data, NULL);
    shown = take(out);
    len = strlen(shown) - 1;
    cr_expect(len > 100 && len < 2000 && len % 2 == 0, "%zu", len);
    cr_expect_eq(strncmp(shown, text, len), 0);
    json_decref(data);
    free(shown);
    free(text);
}

Test(reply, an_empty_line_ends_it_and_nothing_else)
{
    struct control_reply reply;
    struct evbuffer *out = evbuffer_new();
    char *text;

    control_reply_init(&reply);
    control_reply_ok(&reply, "a\n\nb\n");
    control_reply_write(&reply, false, out);
    control_reply_init(&reply);
    control_reply_write(&reply, true, out);
    control_reply_init(&reply);
    control_reply_error(&reply, CONTROL_REFUSED, "no");
    reply.data = json_pack("{s:s}", "not", "shown");
    control_reply_write(&reply, true, out);
    control_reply_init(&reply);
    reply.data = json_pack("{s:s}", "k", "a\nb");
    control_reply_write(&reply, true, out);
    text = take(out);
    cr_expect_str_eq(text, "OK a\n \nb\n \n\nOK\n\nERR refused no\n\nOK\n{\"k\":\"a\\nb\"}\n\n");
    free(text);
}

Test(reply, a_sentence_is_utf_8_whatever_was_put_into_it)
{
    struct control_reply reply;
    struct evbuffer *out = evbuffer_new();
    char *text;

    control_reply_init(&reply);
    control_reply_error(&reply, CONTROL_USAGE, "no \x9b\x1b caf\xc3\xa9 \xc2\x9b \\ \xc3\n\xff");
    control_reply_write(&reply, false, out);
    text = take(out);
    cr_expect_str_eq(text, "ERR usage no \\x9b\\x1b caf\xc3\xa9 \\xc2\\x9b \\ \\xc3\n\\xff\n\n",
                     "%s", text);
    free(text);
}

Test(reply, a_long_sentence_is_whole)
{
    struct control_reply reply;
    struct evbuffer *out = evbuffer_new();
    char *text;

    control_reply_init(&reply);
    control_reply_ok(&reply, "%03999d\xc3\xa9", 7);
    control_reply_write(&reply, false, out);
    text = take(out);
    cr_expect_eq(strlen(text), 3 + 3999 + 2 + 2);
    cr_expect_not_null(strstr(text, "07\xc3\xa9\n\n"));
    free(text);
}

Test(reply, text_of_a_peer)
{
    static const struct {
        const char *bytes;
        const char *wanted;
    } rows[] = { { "", "" },
                 { "a b", "a b" },
                 { "caf\xc3\xa9", "caf\xc3\xa9" },
                 { "caf\xe9\\", "caf\\xe9\\\\" } };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        json_t *value = reply_text(slice_string(rows[i].bytes));
        cr_expect_str_eq(json_string_value(value), rows[i].wanted);
        json_decref(value);
    }
}
