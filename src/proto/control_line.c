#include "crossfade/proto/control_line.h"

static const struct {
    const char *name;
    int exit_status;
} codes[] = {
    [CONTROL_FAILED] = { "failed", 1 },     [CONTROL_DENIED] = { "denied", 1 },
    [CONTROL_UNKNOWN] = { "unknown", 2 },   [CONTROL_USAGE] = { "usage", 2 },
    [CONTROL_REFUSED] = { "refused", 3 },   [CONTROL_TIMEOUT] = { "timeout", 4 },
    [CONTROL_DEGRADED] = { "degraded", 5 },
};

#define CODES (sizeof(codes) / sizeof(codes[0]))

const char *control_code_name(enum control_code code)
{
    return codes[code].name;
}

int control_code_exit(enum control_code code)
{
    return codes[code].exit_status;
}

bool control_code_parse(struct slice name, enum control_code *code)
{
    for (size_t i = 0; i < CODES; i++)
        if (slice_equal(name, slice_string(codes[i].name))) {
            *code = (enum control_code)i;
            return true;
        }
    return false;
}

static bool is_control(char c)
{
    return (unsigned char)c < 0x20 || c == 0x7f;
}

static bool take(struct slice *rest, char *out)
{
    if (rest->len == 0)
        return false;
    *out = rest->data[0];
    rest->data++;
    rest->len--;
    return true;
}

static void skip_spaces(struct slice *rest)
{
    while (rest->len > 0 && rest->data[0] == ' ') {
        rest->data++;
        rest->len--;
    }
}

static enum control_line_verdict bad(struct slice *rest, const char **why, const char *sentence)
{
    rest->len = 0;
    *why = sentence;
    return CONTROL_LINE_BAD;
}

/* One word to `at`, unquoted and terminated; moves `at` behind it. */
static enum control_line_verdict take_word(struct slice *rest, char **at, const char **why)
{
    bool quoted = false;
    char c;

    while (rest->len > 0 && (quoted || (rest->data[0] != ' ' && rest->data[0] != ';'))) {
        (void)take(rest, &c);
        if (is_control(c))
            return bad(rest, why, "a control character in the line");
        if (c == '"') {
            quoted = !quoted;
            continue;
        }
        if (c == '\\') {
            if (!quoted)
                return bad(rest, why, "a backslash outside of quotes");
            if (!take(rest, &c) || (c != '"' && c != '\\'))
                return bad(rest, why, "only a quote or a backslash may follow a backslash");
        }
        *(*at)++ = c;
    }
    if (quoted)
        return bad(rest, why, "a quote without its end");
    *(*at)++ = '\0';
    return CONTROL_LINE_OK;
}

enum control_line_verdict control_line_next(struct slice *rest, struct control_words *words,
                                            const char **why)
{
    char *at = words->storage;
    char c;

    words->count = 0;
    if (rest->len > CONTROL_LINE_MAX)
        return bad(rest, why, "the line is too long");
    for (;;) {
        skip_spaces(rest);
        if (rest->len == 0 || rest->data[0] == ';') {
            (void)take(rest, &c);
            if (words->count > 0)
                return CONTROL_LINE_OK;
            if (rest->len == 0)
                return CONTROL_LINE_END;
            continue;
        }
        if (words->count == CONTROL_WORDS_MAX)
            return bad(rest, why, "too many words");
        words->word[words->count++] = at;
        if (take_word(rest, &at, why) != CONTROL_LINE_OK)
            return CONTROL_LINE_BAD;
    }
}

size_t control_line_quote(const char *word, char *out, size_t size)
{
    size_t at = 0;

    if (size < 3)
        return 0;
    out[at++] = '"';
    for (; *word != '\0'; word++) {
        if (is_control(*word) || at + 4 > size)
            return 0;
        if (*word == '"' || *word == '\\')
            out[at++] = '\\';
        out[at++] = *word;
    }
    out[at++] = '"';
    out[at] = '\0';
    return at;
}
