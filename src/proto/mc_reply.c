#include "crossfade/proto/mc_reply.h"

struct word {
    struct slice text;
    enum mc_reply_kind kind;
};

static const struct word whole_lines[] = {
    { { "END", 3 }, MC_REPLY_END },
    { { "STORED", 6 }, MC_REPLY_STORED },
    { { "DELETED", 7 }, MC_REPLY_DELETED },
    { { "NOT_FOUND", 9 }, MC_REPLY_NOT_FOUND },
    { { "NOT_STORED", 10 }, MC_REPLY_NOT_STORED },
    { { "EXISTS", 6 }, MC_REPLY_EXISTS },
    { { "TOUCHED", 7 }, MC_REPLY_TOUCHED },
    { { "ERROR", 5 }, MC_REPLY_ERROR },
};

static const struct word prefixes[] = {
    { { "CLIENT_ERROR ", 13 }, MC_REPLY_CLIENT_ERROR },
    { { "SERVER_ERROR ", 13 }, MC_REPLY_SERVER_ERROR },
    { { "VERSION ", 8 }, MC_REPLY_VERSION },
};

/*
 * A number of at most ten digits, which is all that a flags or length field may have: so it cannot
 * overflow. Returns where it ends; `at` itself when there is no digit.
 */
static const char *take_digits(const char *at, const char *end, uint64_t *out)
{
    const char *limit = end - at > 10 ? at + 10 : end;
    uint64_t n = 0;
    unsigned digit;

    for (; at < limit && (digit = (unsigned char)*at - (unsigned)'0') <= 9; at++)
        n = n * 10 + digit;
    *out = n;
    return at;
}

/* "<flags> <bytes>" behind the key and its space; returns where it ends, or NULL. */
static const char *take_numbers(const char *at, const char *end, struct mc_reply *out)
{
    uint64_t flags;
    const char *behind = take_digits(at, end, &flags);

    if (behind == at || flags > UINT32_MAX || behind == end || *behind != ' ')
        return NULL;
    at = behind + 1;
    behind = take_digits(at, end, &out->value_len);
    return behind == at || out->value_len > UINT32_MAX ? NULL : behind;
}

/* VALUE <key> <flags> <bytes> [<cas unique>]; `at` is behind the first space. */
static enum mc_reply_verdict parse_value(const char *at, const char *end, struct mc_reply *out)
{
    const char *space = memchr(at, ' ', (size_t)(end - at));
    uint64_t cas;

    if (space == NULL || space == at)
        return MC_REPLY_BAD;
    out->kind = MC_REPLY_VALUE;
    out->key = slice_of(at, (size_t)(space - at));
    at = take_numbers(space + 1, end, out);
    if (at == NULL)
        return MC_REPLY_BAD;
    out->with_cas = at < end;
    out->behind_length = at;
    if (out->with_cas && (*at++ != ' ' || !slice_to_u64(slice_of(at, (size_t)(end - at)), &cas)))
        return MC_REPLY_BAD;
    return MC_REPLY_OK;
}

/* A counter; memcached pads a decremented one with spaces in the item, never in the reply. */
static bool is_number(struct slice line)
{
    uint64_t n;
    return slice_to_u64(line, &n);
}

/* Behind the digits of a cas number that begins at `at`; of so many that it cannot overflow. */
static const char *skip_cas(const char *at, const char *end)
{
    const char *limit = end - at > 19 ? at + 19 : end;

    while (at < limit && (unsigned)(unsigned char)*at - (unsigned)'0' <= 9)
        at++;
    return at;
}

static inline bool hit(struct slice bytes, struct slice key, bool with_cas, struct mc_reply *out)
{
    const char *end = bytes.data + (bytes.len < MC_REPLY_LINE_MAX ? bytes.len : MC_REPLY_LINE_MAX);
    const char *at = bytes.data + 6;

    if (bytes.len < 6 + key.len + sizeof(" 0 0\r\n") - 1 || memcmp(bytes.data, "VALUE ", 6) != 0 ||
        memcmp(at, key.data, key.len) != 0 || at[key.len] != ' ')
        return false;
    out->key = slice_of(at, key.len);
    at = take_numbers(at + key.len + 1, end, out);
    if (at == NULL)
        return false;
    if (with_cas) {
        const char *number = at + 1;
        out->behind_length = at;
        if (at == end || *at != ' ')
            return false;
        at = skip_cas(number, end);
        if (at == number)
            return false;
    }
    if (end - at < 2 || memcmp(at, "\r\n", 2) != 0)
        return false;
    out->kind = MC_REPLY_VALUE;
    out->with_cas = with_cas;
    out->line = slice_of(bytes.data, (size_t)(at - bytes.data));
    out->line_len = out->line.len + 2;
    return true;
}

bool mc_reply_hit(struct slice bytes, struct slice key, struct mc_reply *out)
{
    return hit(bytes, key, false, out);
}

bool mc_reply_hit_cas(struct slice bytes, struct slice key, struct mc_reply *out)
{
    return hit(bytes, key, true, out);
}

static inline bool take_line(struct slice bytes, struct slice line, enum mc_reply_kind kind,
                             struct mc_reply *out)
{
    if (!slice_starts(bytes, line))
        return false;
    out->kind = kind;
    out->line_len = line.len;
    out->line = slice_of(bytes.data, line.len - 2);
    return true;
}

enum mc_reply_verdict mc_reply_parse(struct slice bytes, struct mc_reply *out)
{
    size_t scan = bytes.len < MC_REPLY_LINE_MAX ? bytes.len : MC_REPLY_LINE_MAX;
    const char *newline;
    size_t at;
    struct slice line;

    /* What comes all the time; everything else takes the long way. */
    if (take_line(bytes, SLICE("END\r\n"), MC_REPLY_END, out) ||
        take_line(bytes, SLICE("STORED\r\n"), MC_REPLY_STORED, out) ||
        take_line(bytes, SLICE("DELETED\r\n"), MC_REPLY_DELETED, out) ||
        take_line(bytes, SLICE("NOT_FOUND\r\n"), MC_REPLY_NOT_FOUND, out))
        return MC_REPLY_OK;
    newline = scan > 0 ? memchr(bytes.data, '\n', scan) : NULL;
    if (newline == NULL)
        return bytes.len >= MC_REPLY_LINE_MAX ? MC_REPLY_BAD : MC_REPLY_MORE;
    at = (size_t)(newline - bytes.data);
    if (at == 0 || bytes.data[at - 1] != '\r')
        return MC_REPLY_BAD;
    line = slice_of(bytes.data, at - 1);
    out->line = line;
    out->line_len = at + 1;
    if (slice_starts(line, SLICE("VALUE ")))
        return parse_value(line.data + 6, line.data + line.len, out);
    for (size_t i = 0; i < sizeof(whole_lines) / sizeof(whole_lines[0]); i++)
        if (slice_equal(line, whole_lines[i].text)) {
            out->kind = whole_lines[i].kind;
            return MC_REPLY_OK;
        }
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
        if (slice_starts(line, prefixes[i].text)) {
            out->kind = prefixes[i].kind;
            return MC_REPLY_OK;
        }
    if (is_number(line)) {
        out->kind = MC_REPLY_NUMBER;
        return MC_REPLY_OK;
    }
    return MC_REPLY_BAD;
}

void mc_reply_numbers(const struct mc_reply *reply, uint32_t *flags, uint64_t *cas)
{
    const char *behind = reply->key.data + reply->key.len;
    struct slice rest = slice_of(behind, (size_t)(reply->line.data + reply->line.len - behind));
    struct slice words[3];
    uint64_t number;

    for (unsigned i = 0; i < 3; i++)
        ensure(slice_next_word(&rest, &words[i]));
    ensure(slice_to_u64(words[0], &number) && slice_to_u64(words[2], cas));
    *flags = (uint32_t)number;
}
