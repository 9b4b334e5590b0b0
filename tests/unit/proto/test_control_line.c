#include "crossfade/proto/control_line.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The whole line as "word|word\n" for each command, and "!sentence" where it is bad. */
static char *read_line(struct slice line)
{
    static struct control_words words;
    char *out = calloc(1, 4 * CONTROL_LINE_MAX);
    const char *why = NULL;
    char *at = out;

    for (;;) {
        switch (control_line_next(&line, &words, &why)) {
        case CONTROL_LINE_END:
            return out;
        case CONTROL_LINE_BAD:
            cr_assert_not_null(why);
            cr_expect_eq(line.len, 0, "the rest of a bad line is lost");
            (void)sprintf(at, "!%s", why);
            return out;
        case CONTROL_LINE_OK:
            cr_expect_gt(words.count, 0);
            for (unsigned i = 0; i < words.count; i++)
                at += sprintf(at, "%s%s", i > 0 ? "|" : "", words.word[i]);
            at += sprintf(at, "\n");
        }
    }
}

static void expect(const char *line, const char *wanted)
{
    char *got = read_line(slice_string(line));

    cr_expect_str_eq(got, wanted, "%s gave %s, not %s", line, got, wanted);
    free(got);
}

Test(control_line, words_and_batches)
{
    expect("", "");
    expect("   ", "");
    expect(";;  ;", "");
    expect("show rollout", "show|rollout\n");
    expect("  show   rollout  ", "show|rollout\n");
    expect("pause;show rollout", "pause\nshow|rollout\n");
    expect(";pause ; ; resume;", "pause\nresume\n");
}

Test(control_line, quotes)
{
    expect("advance reason=\"a b; c\"", "advance|reason=a b; c\n");
    expect("a\"b c\"d e", "ab cd|e\n");
    expect("why \"\"", "why|\n");
    expect("\"show\" \"rollout\"", "show|rollout\n");
    expect("why \"a\\\"b\\\\c\"", "why|a\"b\\c\n");
    expect("why \"a\"\"b\"", "why|ab\n");
    expect("why \"a\";pause", "why|a\npause\n");
    expect("why \xc3\xa9", "why|\xc3\xa9\n");
}

Test(control_line, what_is_no_line)
{
    expect("why \"a", "!a quote without its end");
    expect("why \"a\\", "!only a quote or a backslash may follow a backslash");
    expect("why \"a\\n\"", "!only a quote or a backslash may follow a backslash");
    expect("why a\\b", "!a backslash outside of quotes");
    expect("why a\tb", "!a control character in the line");
    expect("why \"a\x1b[31m\"", "!a control character in the line");
    expect("why \x7f", "!a control character in the line");
    expect("pause; why \"", "pause\n!a quote without its end");
}

Test(control_line, a_zero_byte_is_a_control_character)
{
    char *got = read_line(slice_of("why a\0b", 7));

    cr_expect_str_eq(got, "!a control character in the line");
    free(got);
}

Test(control_line, limits)
{
    static char line[CONTROL_LINE_MAX + 2];
    char *got;

    memset(line, 'x', sizeof(line));
    got = read_line(slice_of(line, CONTROL_LINE_MAX));
    cr_expect_eq(strlen(got), CONTROL_LINE_MAX + 1);
    free(got);
    got = read_line(slice_of(line, CONTROL_LINE_MAX + 1));
    cr_expect_str_eq(got, "!the line is too long");
    free(got);

    for (size_t i = 1; i < 2 * CONTROL_WORDS_MAX; i += 2)
        line[i] = ' ';
    got = read_line(slice_of(line, 2 * CONTROL_WORDS_MAX - 1));
    cr_expect_eq(strlen(got), 2 * CONTROL_WORDS_MAX);
    free(got);
    got = read_line(slice_of(line, 2 * CONTROL_WORDS_MAX + 1));
    cr_expect_str_eq(got, "!too many words");
    free(got);
}

Test(control_line, what_is_quoted_is_read_back)
{
    static const char *const texts[] = { "",   "a",    "a b",       "a;b",      "\"",
                                         "\\", "\\\"", "a\"b\\c d", "\xc3\xa9", "reason=x" };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char quoted[64];
        char wanted[64];
        size_t len = control_line_quote(texts[i], quoted, sizeof(quoted));
        cr_assert_eq(len, strlen(quoted));
        cr_assert_gt(len, 0);
        (void)snprintf(wanted, sizeof(wanted), "%s\n", texts[i]);
        expect(quoted, wanted);
    }
}

Test(control_line, what_cannot_be_quoted)
{
    char out[64];

    cr_expect_eq(control_line_quote("a\nb", out, sizeof(out)), 0);
    cr_expect_eq(control_line_quote("\x7f", out, sizeof(out)), 0);
    /* Never past the end, whatever the room. */
    for (size_t size = 0; size < sizeof(out); size++) {
        memset(out, '#', sizeof(out));
        (void)control_line_quote("a\"\\b\"c d", out, size);
        for (size_t i = size; i < sizeof(out); i++)
            cr_assert_eq(out[i], '#', "size %zu", size);
    }
    cr_expect_gt(control_line_quote("a\"\\b\"c d", out, sizeof(out)), 0);
}

Test(control_line, codes_and_their_exit_status)
{
    static const struct {
        const char *name;
        int status;
    } wanted[] = { { "failed", 1 },  { "denied", 1 },  { "unknown", 2 }, { "usage", 2 },
                   { "refused", 3 }, { "timeout", 4 }, { "degraded", 5 } };

    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        enum control_code code;
        cr_assert(control_code_parse(slice_string(wanted[i].name), &code), "%s", wanted[i].name);
        cr_expect_eq(control_code_exit(code), wanted[i].status, "%s", wanted[i].name);
        cr_expect_str_eq(control_code_name(code), wanted[i].name);
    }
    cr_expect_not(control_code_parse(slice_string("fail"), &(enum control_code){ 0 }));
    cr_expect_not(control_code_parse(slice_string(""), &(enum control_code){ 0 }));
}
