#include "crossfade/proto/mc_auth.h"

static const struct slice unauthenticated = SLICE_INIT("CLIENT_ERROR unauthenticated\r\n");
static const struct slice bad_end = SLICE_INIT("CLIENT_ERROR bad command line termination\r\n");
static const struct slice bad_token =
    SLICE_INIT("CLIENT_ERROR bad authentication token format\r\n");

/* The next word; words are apart by spaces, of which each end may have some too. */
static bool next_word(struct slice *rest, struct slice *word)
{
    while (rest->len > 0 && rest->data[0] == ' ')
        *rest = slice_of(rest->data + 1, rest->len - 1);
    *word = slice_of(rest->data, slice_find(*rest, ' '));
    *rest = slice_of(rest->data + word->len, rest->len - word->len);
    return word->len > 0;
}

/* As strtoul and memcached's check of its end take it: a sign, digits, and what is white space. */
static bool read_size(struct slice word, uint64_t *size)
{
    size_t digits = 0;

    if (word.len > 0 && word.data[0] == '+')
        word = slice_of(word.data + 1, word.len - 1);
    while (digits < word.len && word.data[digits] >= '0' && word.data[digits] <= '9')
        digits++;
    if (digits < word.len && strchr("\r\t\v\f", word.data[digits]) == NULL)
        return false;
    return slice_to_u64(slice_of(word.data, digits), size);
}

/* The line of a login: how many bytes its name and password have. */
static bool read_line(struct slice line, uint64_t *size)
{
    struct slice words[5];

    for (size_t i = 0; i < 5; i++)
        if (!next_word(&line, &words[i]))
            return false;
    return slice_equal(words[0], SLICE("set")) && read_size(words[4], size);
}

static enum mc_auth_verdict refuse(struct mc_auth_text *text, size_t len, struct slice answer)
{
    text->len = len;
    text->answer = answer;
    return MC_AUTH_REFUSED;
}

enum mc_auth_verdict mc_auth_text_parse(struct slice bytes, size_t *scanned,
                                        struct mc_auth_text *text)
{
    size_t end = *scanned + slice_find(slice_of(bytes.data + *scanned, bytes.len - *scanned), '\n');
    struct slice value;
    struct slice rest;
    uint64_t size;
    size_t total;

    memset(text, 0, sizeof(*text));
    if (end > MC_AUTH_LINE_MAX)
        return MC_AUTH_CLOSE;
    if (end == bytes.len) {
        *scanned = end;
        return MC_AUTH_MORE;
    }
    *scanned = end; /* the line is looked at again when all of its value is here */
    if (!read_line(slice_of(bytes.data, end), &size))
        return refuse(text, end + 1, unauthenticated);
    if (size > MC_AUTH_VALUE_MAX) {
        /* Not a login but a value, of somebody who does not know that he has to log in. */
        text->answer = unauthenticated;
        return MC_AUTH_CLOSE;
    }
    total = end + 1 + (size_t)size + 2;
    if (bytes.len < total) {
        text->need = total;
        return MC_AUTH_MORE;
    }
    value = slice_of(bytes.data + end + 1, (size_t)size);
    if (memcmp(value.data + value.len, "\r\n", 2) != 0)
        return refuse(text, total, bad_end);
    rest = value;
    if (!next_word(&rest, &text->user) || !next_word(&rest, &text->password))
        return refuse(text, total, bad_token);
    text->len = total;
    return MC_AUTH_LOGIN;
}

bool mc_auth_plain_parse(struct slice message, struct slice *user, struct slice *password)
{
    struct slice parts[3]; /* to act as, user, password */
    struct slice rest = message;

    for (size_t i = 0; i < 2; i++) {
        size_t end = slice_find(rest, '\0');
        if (end == rest.len)
            return false;
        parts[i] = slice_of(rest.data, end);
        rest = slice_of(rest.data + end + 1, rest.len - end - 1);
    }
    parts[2] = rest;
    if (parts[1].len == 0 || parts[2].len == 0 || slice_find(parts[2], '\0') < parts[2].len)
        return false;
    if (parts[0].len > 0 && !slice_equal(parts[0], parts[1]))
        return false;
    *user = parts[1];
    *password = parts[2];
    return true;
}
