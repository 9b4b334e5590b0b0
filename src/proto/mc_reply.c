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

/* The next word up to a space, or the rest. Empty: there is none. */
static struct slice take_word(struct slice *rest)
{
    size_t len = slice_find(*rest, ' ');
    struct slice word = slice_of(rest->data, len);
    size_t skip = len < rest->len ? len + 1 : len;

    rest->data += skip;
    rest->len -= skip;
    return word;
}

/* VALUE <key> <flags> <bytes> [<cas unique>] */
static enum mc_reply_verdict parse_value(struct slice rest, struct mc_reply *out)
{
    uint64_t flags;
    uint64_t cas;

    out->kind = MC_REPLY_VALUE;
    out->key = take_word(&rest);
    if (out->key.len == 0 || !slice_to_u64(take_word(&rest), &flags) || flags > UINT32_MAX ||
        !slice_to_u64(take_word(&rest), &out->value_len) || out->value_len > UINT32_MAX)
        return MC_REPLY_BAD;
    out->with_cas = rest.len > 0;
    if (out->with_cas && !slice_to_u64(rest, &cas))
        return MC_REPLY_BAD;
    return MC_REPLY_OK;
}

/* A counter; memcached pads a decremented one with spaces in the item, never in the reply. */
static bool is_number(struct slice line)
{
    uint64_t n;
    return slice_to_u64(line, &n);
}

enum mc_reply_verdict mc_reply_parse(struct slice bytes, struct mc_reply *out)
{
    size_t scan = bytes.len < MC_REPLY_LINE_MAX ? bytes.len : MC_REPLY_LINE_MAX;
    size_t at = slice_find(slice_of(bytes.data, scan), '\n');
    struct slice line;

    if (at == scan)
        return bytes.len >= MC_REPLY_LINE_MAX ? MC_REPLY_BAD : MC_REPLY_MORE;
    if (at == 0 || bytes.data[at - 1] != '\r')
        return MC_REPLY_BAD;
    line = slice_of(bytes.data, at - 1);
    out->line = line;
    out->line_len = at + 1;
    if (slice_starts(line, SLICE("VALUE ")))
        return parse_value(slice_of(line.data + 6, line.len - 6), out);
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
