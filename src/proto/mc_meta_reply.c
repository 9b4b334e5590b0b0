#include "crossfade/proto/mc_meta_reply.h"

#include <inttypes.h>
#include <stdio.h>

struct code {
    struct slice text;
    enum mc_meta_code code;
};

/* Two letters, with flags behind them. */
static const struct code codes[] = {
    { SLICE_INIT("VA"), MC_META_VA }, { SLICE_INIT("HD"), MC_META_HD },
    { SLICE_INIT("OK"), MC_META_HD }, { SLICE_INIT("EN"), MC_META_EN },
    { SLICE_INIT("NF"), MC_META_NF }, { SLICE_INIT("NS"), MC_META_NS },
    { SLICE_INIT("EX"), MC_META_EX }, { SLICE_INIT("ME"), MC_META_ME },
    { SLICE_INIT("MN"), MC_META_MN },
};

static const struct code sentences[] = {
    { SLICE_INIT("CLIENT_ERROR"), MC_META_CLIENT_ERROR },
    { SLICE_INIT("SERVER_ERROR"), MC_META_SERVER_ERROR },
    { SLICE_INIT("VERSION"), MC_META_VERSION },
    { SLICE_INIT("ERROR"), MC_META_ERROR },
};

static bool take_sentence(const struct slice *line, struct mc_meta_reply *out)
{
    struct slice rest = *line;
    struct slice word;

    if (!slice_next_word(&rest, &word))
        return false;
    for (size_t i = 0; i < sizeof(sentences) / sizeof(sentences[0]); i++)
        if (slice_equal(word, sentences[i].text)) {
            out->code = sentences[i].code;
            return true;
        }
    return false;
}

static bool take_code(struct slice line, struct mc_meta_reply *out)
{
    struct slice code = slice_of(line.data, line.len < 2 ? line.len : 2);

    if (line.len > 2 && line.data[2] != ' ')
        return false;
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        if (slice_equal(code, codes[i].text)) {
            out->code = codes[i].code;
            out->flags = slice_of(line.data + 2, line.len - 2);
            return true;
        }
    return false;
}

static bool take_words(struct mc_meta_reply *out)
{
    struct slice rest;
    struct slice word;

    if (out->code == MC_META_VA)
        return slice_next_word(&out->flags, &word) && slice_to_u64(word, &out->value_len) &&
               out->value_len <= UINT32_MAX;
    if (out->code == MC_META_ME)
        return slice_next_word(&out->flags, &out->key);
    rest = out->flags;
    return out->code != MC_META_MN || !slice_next_word(&rest, &word);
}

static void look_at_flags(struct mc_meta_reply *out)
{
    struct slice rest = out->flags;
    struct slice flag;

    while (slice_next_word(&rest, &flag)) {
        switch (flag.data[0]) {
        case 'W':
            out->won = true;
            break;
        case 'Z':
            out->lost = true;
            break;
        case 'c':
            if (!slice_to_u64(slice_of(flag.data + 1, flag.len - 1), &out->cas))
                out->cas = 0;
            break;
        case 'O':
            out->strange = out->strange || out->marked;
            out->marked = true;
            out->mark = slice_of(flag.data + 1, flag.len - 1);
            break;
        case 'k':
            out->strange = true;
            break;
        default:
            break;
        }
    }
}

/* `begin`: where a line end may be looked for. */
static enum mc_reply_verdict take_line(struct slice bytes, size_t begin, struct mc_meta_reply *out)
{
    size_t scan = bytes.len < MC_REPLY_LINE_MAX ? bytes.len : MC_REPLY_LINE_MAX;
    const char *newline = scan > begin ? memchr(bytes.data + begin, '\n', scan - begin) : NULL;

    if (newline == NULL)
        return bytes.len >= MC_REPLY_LINE_MAX ? MC_REPLY_BAD : MC_REPLY_MORE;
    memset(out, 0, sizeof(*out));
    out->line_len = (size_t)(newline - bytes.data) + 1;
    if (out->line_len < 2 || bytes.data[out->line_len - 2] != '\r')
        return MC_REPLY_BAD;
    out->line = slice_of(bytes.data, out->line_len - 2);
    return MC_REPLY_OK;
}

enum mc_reply_verdict mc_meta_reply_parse(struct slice bytes, struct mc_meta_reply *out)
{
    enum mc_reply_verdict verdict = take_line(bytes, 0, out);

    if (verdict != MC_REPLY_OK)
        return verdict;
    if (!take_code(out->line, out))
        return take_sentence(&out->line, out) ? MC_REPLY_OK : MC_REPLY_BAD;
    if (!take_words(out))
        return MC_REPLY_BAD;
    if (out->code != MC_META_ME)
        look_at_flags(out);
    return MC_REPLY_OK;
}

/* Is `text` the key in base64? */
static bool encodes(struct slice text, struct slice wire)
{
    char encoded[BASE64_ENCODED(MC_KEY_MAX)];

    return wire.len <= MC_KEY_MAX &&
           slice_equal(text, slice_of(encoded, base64_encode(wire, encoded)));
}

enum mc_reply_verdict mc_meta_debug_parse(struct slice bytes, struct slice wire,
                                          struct mc_meta_reply *out)
{
    size_t behind = 3 + wire.len;
    enum mc_reply_verdict verdict;

    if (!slice_starts(bytes, SLICE("ME ")) && !slice_starts(SLICE("ME "), bytes))
        return mc_meta_reply_parse(bytes, out);
    /* In either form the line goes on behind the key. */
    if (bytes.len <= behind)
        return MC_REPLY_MORE;
    if (memcmp(bytes.data + 3, wire.data, wire.len) == 0 && bytes.data[behind] == ' ') {
        verdict = take_line(bytes, behind, out);
        if (verdict == MC_REPLY_OK) {
            out->code = MC_META_ME;
            out->key = slice_of(bytes.data + 3, wire.len);
            out->flags = slice_of(bytes.data + behind, out->line.len - behind);
        }
        return verdict;
    }
    verdict = mc_meta_reply_parse(bytes, out);
    return verdict == MC_REPLY_OK && !encodes(out->key, wire) ? MC_REPLY_BAD : verdict;
}

/* -- Does it fit? ------------------------------------------------------------------------------ */

static bool repeats(enum mc_meta_code code)
{
    return code == MC_META_VA || code == MC_META_HD || code == MC_META_NF || code == MC_META_NS ||
           code == MC_META_EX;
}

bool mc_meta_reply_fits(const struct mc_meta_reply *reply, bool marked, const char *mark)
{
    if (reply->strange)
        return false;
    if (reply->marked)
        return marked && slice_equal(reply->mark, slice_of(mark, MC_META_MARK_LENGTH));
    return !marked || !repeats(reply->code);
}

/* -- What the client gets ---------------------------------------------------------------------- */

bool mc_meta_reply_quiet(enum mc_verb verb, const struct mc_meta_echo *echo, enum mc_meta_code code)
{
    if (!echo->quiet)
        return false;
    if (verb == MC_META_GET)
        return code == MC_META_EN;
    return code == MC_META_HD || (verb == MC_META_ARITHMETIC && code == MC_META_VA);
}

static char *put(char *at, struct slice bytes)
{
    if (bytes.len > 0)
        memcpy(at, bytes.data, bytes.len);
    return at + bytes.len;
}

static char *put_key(char *at, const struct mc_meta_echo *echo)
{
    at = put(at, SLICE(" k"));
    if (!echo->base64)
        return put(at, echo->key);
    at += base64_encode(echo->key, at);
    return put(at, SLICE(" b"));
}

static char *put_opaque(char *at, const struct mc_meta_echo *echo)
{
    return put(put(at, SLICE(" O")), echo->opaque);
}

static char *put_number(char *at, uint64_t n)
{
    return at + snprintf(at, 21, "%" PRIu64, n);
}

/* ME <key> ... size=<bytes, those of the key included> */
static size_t write_debug(const struct mc_meta_reply *reply, const struct mc_meta_echo *echo,
                          int surplus, char *out)
{
    static const struct slice size = SLICE_INIT("size=");
    struct slice rest = reply->flags;
    struct slice word;
    bool sized = false;
    char *at = put(out, SLICE("ME "));

    if (echo->base64)
        at += base64_encode(echo->key, at);
    else
        at = put(at, echo->key);
    while (slice_next_word(&rest, &word)) {
        uint64_t n;
        *at++ = ' ';
        if (!sized && slice_starts(word, size) &&
            slice_to_u64(slice_of(word.data + size.len, word.len - size.len), &n) &&
            n <= UINT32_MAX && (int64_t)n > surplus) {
            at = put_number(put(at, size), (uint64_t)((int64_t)n - surplus));
            sized = true;
        } else {
            at = put(at, word);
        }
    }
    return (size_t)(put(at, SLICE("\r\n")) - out);
}

/* The next flag of a reply that is not ours. */
static bool next_other(struct slice *rest, const struct mc_meta_echo *echo, struct slice *flag)
{
    while (slice_next_word(rest, flag))
        if (flag->data[0] != 'O' && flag->data[0] != echo->hidden)
            return true;
    return false;
}

/* One of the server's. The size that it says is that of what is stored. */
static char *put_flag(char *at, const struct mc_meta_echo *echo, struct slice flag)
{
    uint64_t n;

    *at++ = ' ';
    if (echo->stamp == 0 || flag.data[0] != 's' ||
        !slice_to_u64(slice_of(flag.data + 1, flag.len - 1), &n) || n < echo->stamp)
        return put(at, flag);
    *at++ = 's';
    return put_number(at, n - echo->stamp);
}

/*
 * A reply's flags stand in the order of the request's, and what the server says by itself behind
 * them. `shown`: key and opaque are.
 */
static char *put_flags(char *at, struct slice rest, const struct mc_meta_echo *echo, bool shown)
{
    struct slice flag;
    bool more = next_other(&rest, echo, &flag);

    for (size_t i = 0; i < echo->letters.len; i++) {
        char letter = echo->letters.data[i];
        if (letter == 'k' && shown) {
            at = put_key(at, echo);
        } else if (letter == 'O' && shown) {
            at = put_opaque(at, echo);
        } else if (more && flag.data[0] == letter) {
            at = put_flag(at, echo, flag);
            more = next_other(&rest, echo, &flag);
        }
    }
    for (; more; more = next_other(&rest, echo, &flag))
        at = put_flag(at, echo, flag);
    return at;
}

size_t mc_meta_reply_write(const struct mc_meta_reply *reply, const struct mc_meta_echo *echo,
                           int surplus, char *out)
{
    char *at = out;

    if (reply->code == MC_META_ME)
        return write_debug(reply, echo, surplus, out);
    if (reply->code == MC_META_EN || repeats(reply->code)) {
        if (reply->code == MC_META_VA && echo->bare)
            at = put(at, SLICE("HD"));
        else if (reply->code == MC_META_VA && echo->stamp > 0)
            at = put_number(put(at, SLICE("VA ")), reply->value_len - echo->stamp);
        else
            at =
                put(at, slice_of(reply->line.data, (size_t)(reply->flags.data - reply->line.data)));
        at = put_flags(at, reply->flags, echo, reply->code != MC_META_EN || reply->marked);
    } else {
        at = put(at, reply->line);
    }
    return (size_t)(put(at, SLICE("\r\n")) - out);
}

size_t mc_meta_miss_write(const struct mc_meta_echo *echo, char *out)
{
    char *at = put_flags(put(out, SLICE("EN")), slice_of("", 0), echo, true);

    return (size_t)(put(at, SLICE("\r\n")) - out);
}

size_t mc_meta_hit_write(const struct mc_meta *meta, const struct mc_meta_echo *echo,
                         size_t value_len, uint64_t cas, char *out)
{
    char *at = out;

    at = put(at, meta->wants_value ? SLICE("VA ") : SLICE("HD"));
    if (meta->wants_value)
        at = put_number(at, value_len);
    for (unsigned i = 0; i < meta->flag_count; i++) {
        char letter = meta->flags[i].data[0];

        switch (letter) {
        case 's':
            at = put_number(put(at, SLICE(" s")), value_len);
            break;
        case 'c':
            at = put_number(put(at, SLICE(" c")), cas);
            break;
        case 't':
            at = put(at, SLICE(" t-1"));
            break;
        case 'f':
        case 'h':
        case 'l':
            *at++ = ' ';
            *at++ = letter;
            *at++ = '0';
            break;
        case 'k':
            at = put_key(at, echo);
            break;
        case 'O':
            at = put_opaque(at, echo);
            break;
        default:
            break;
        }
    }
    return (size_t)(put(at, SLICE("\r\n")) - out);
}
