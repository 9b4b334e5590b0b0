#include "crossfade/proto/mc_meta.h"

#include <limits.h>

/* An opaque, its O included. */
#define OPAQUE_MAX 32u

static const struct slice error = SLICE_INIT("ERROR\r\n");
static const struct slice bad_format = SLICE_INIT("CLIENT_ERROR bad command line format\r\n");
static const struct slice too_many_get = SLICE_INIT("CLIENT_ERROR options flags are too long\r\n");
static const struct slice too_many = SLICE_INIT("CLIENT_ERROR options flags too long\r\n");
static const struct slice opaque_too_long = SLICE_INIT(MC_META_OVERLONG);
static const struct slice bad_flag = SLICE_INIT("CLIENT_ERROR invalid or duplicate flag\r\n");
static const struct slice duplicate = SLICE_INIT("CLIENT_ERROR duplicate flag\r\n");
static const struct slice unknown = SLICE_INIT("CLIENT_ERROR invalid flag\r\n");
static const struct slice bad_key = SLICE_INIT("CLIENT_ERROR error decoding key\r\n");
static const struct slice bad_token =
    SLICE_INIT("CLIENT_ERROR bad token in command line format\r\n");
static const struct slice bad_mode_length =
    SLICE_INIT("CLIENT_ERROR incorrect length for M token\r\n");
static const struct slice bad_initial =
    SLICE_INIT("CLIENT_ERROR invalid numeric initial value\r\n");
static const struct slice bad_delta = SLICE_INIT("CLIENT_ERROR invalid numeric delta value\r\n");
static const struct slice bad_set_mode = SLICE_INIT("CLIENT_ERROR invalid mode for ms M token\r\n");
static const struct slice bad_arithmetic_mode =
    SLICE_INIT("CLIENT_ERROR invalid mode for ma M token\r\n");

/* Empty at the end. */
static inline struct slice next_word(struct slice *rest)
{
    struct slice word;

    (void)slice_next_word(rest, &word);
    return word;
}

/* -- Keys -------------------------------------------------------------------------------------- */

/* The six bits of a character, '=' being 0, or -1: it is skipped. */
static int bits_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+')
        return 62;
    if (c == '/')
        return 63;
    return c == '=' ? 0 : -1;
}

/*
 * base/base64 is strict; here it takes what memcached takes, or a client's item would be at another
 * key than where the client, without a proxy, had put it: four characters at a time, others
 * skipped, the first four with a '=' are the last. Returns the length; 0: memcached refuses it.
 */
static size_t decode(struct slice text, char *out)
{
    size_t count = 0;
    size_t written = 0;
    unsigned padding = 0;
    uint32_t group = 0;

    for (size_t i = 0; i < text.len; i++)
        if (bits_of(text.data[i]) >= 0)
            count++;
    if (count == 0 || count % 4 != 0)
        return 0;
    count = 0;
    for (size_t i = 0; i < text.len; i++) {
        int bits = bits_of(text.data[i]);
        if (bits < 0)
            continue;
        group = group << 6 | (uint32_t)bits;
        padding += text.data[i] == '=';
        if (++count % 4 != 0)
            continue;
        out[written++] = (char)(group >> 16 & 0xff);
        out[written++] = (char)(group >> 8 & 0xff);
        out[written++] = (char)(group & 0xff);
        if (padding > 0)
            break;
    }
    return padding > 2 ? 0 : written - padding;
}

struct slice mc_meta_key(const struct mc_meta *meta, char *out)
{
    if (!meta->base64)
        return meta->key;
    return slice_of(out, decode(meta->key, out));
}

/* -- Numbers ----------------------------------------------------------------------------------- */

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* As strtol and strtoull do it, behind which memcached wants the end or white space. */
static bool to_number(struct slice word, bool negative_too, uint64_t *magnitude, bool *minus)
{
    uint64_t limit = UINT64_MAX;
    uint64_t n = 0;
    size_t at = 0;
    size_t begin;

    while (at < word.len && is_space(word.data[at]))
        at++;
    *minus = at < word.len && word.data[at] == '-';
    if (at < word.len && (*minus || word.data[at] == '+'))
        at++;
    if (negative_too)
        limit = (uint64_t)INT64_MAX + *minus;
    begin = at;
    for (; at < word.len && word.data[at] >= '0' && word.data[at] <= '9'; at++) {
        unsigned digit = (unsigned)(word.data[at] - '0');
        if (n > (limit - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    if (at == begin || (at < word.len && !is_space(word.data[at])))
        return false;
    *magnitude = n;
    return negative_too || !*minus || n == 0;
}

static bool is_signed(struct slice word)
{
    uint64_t n;
    bool minus;
    return to_number(word, true, &n, &minus);
}

static bool is_unsigned(struct slice word, uint64_t *n)
{
    bool minus;
    return to_number(word, false, n, &minus);
}

/* The length of a value: memcached keeps the low 32 bits, with their sign. */
static bool to_length(struct slice word, uint64_t *out)
{
    uint64_t n;
    bool minus;
    uint32_t low;

    if (!to_number(word, true, &n, &minus))
        return false;
    low = (uint32_t)(minus ? 0 - n : n);
    if (low > (uint32_t)INT_MAX - 2)
        return false;
    *out = low;
    return true;
}

/* -- Faults ------------------------------------------------------------------------------------ */

/* What is wrong with this flag by itself; empty: nothing. */
static struct slice flag_fault(const struct mc_meta *meta, struct slice flag)
{
    struct slice token = slice_of(flag.data + 1, flag.len - 1);
    char decoded[MC_KEY_MAX];
    uint64_t ignored;

    switch (flag.data[0]) {
    case 'b':
        return decode(meta->key, decoded) == 0 ? bad_key : slice_of(NULL, 0);
    case 'N':
    case 'T':
    case 'R':
        return is_signed(token) ? slice_of(NULL, 0) : bad_token;
    case 'C':
        return is_unsigned(token, &ignored) ? slice_of(NULL, 0) : bad_token;
    case 'J':
        return is_unsigned(token, &ignored) ? slice_of(NULL, 0) : bad_initial;
    case 'D':
        return is_unsigned(token, &ignored) ? slice_of(NULL, 0) : bad_delta;
    case 'M':
        return token.len == 1 ? slice_of(NULL, 0) : bad_mode_length;
    default:
        return slice_of(NULL, 0);
    }
}

/* What is found while the flags are taken apart. */
static struct slice flags_fault(enum mc_verb verb, const struct mc_meta *meta)
{
    static const struct slice letters = SLICE_INIT("bNTRlOPLkstcfvhuqFCMJDI");
    bool seen[127] = { false };
    struct slice fault = slice_of(NULL, 0);
    uint64_t ignored;

    for (unsigned i = 0; i < meta->flag_count; i++) {
        struct slice flag = meta->flags[i];
        unsigned char letter = (unsigned char)flag.data[0];
        struct slice own;

        if (letter >= sizeof(seen) || seen[letter]) {
            fault = duplicate;
            break;
        }
        if (slice_find(letters, flag.data[0]) == letters.len) {
            fault = unknown;
            break;
        }
        seen[letter] = true;
        own = flag_fault(meta, flag);
        /* A bad F keeps the text that an earlier fault has left. */
        if (letter == 'F' && fault.len == 0 &&
            !is_unsigned(slice_of(flag.data + 1, flag.len - 1), &ignored))
            own = bad_format;
        if (own.len > 0)
            fault = own;
    }
    return fault.len > 0 && (verb == MC_META_DELETE || verb == MC_META_ARITHMETIC) ? bad_flag
                                                                                   : fault;
}

static bool is_mode(enum mc_verb verb, char mode)
{
    static const struct slice set = SLICE_INIT("EAPRS");
    static const struct slice arithmetic = SLICE_INIT("I+D-");
    struct slice modes = verb == MC_META_SET ? set : arithmetic;

    return mode == '\0' || slice_find(modes, mode) < modes.len;
}

struct slice mc_meta_fault(enum mc_verb verb, const struct mc_meta *meta)
{
    struct slice fault = flags_fault(verb, meta);

    if (fault.len > 0)
        return fault;
    if ((verb == MC_META_SET || verb == MC_META_ARITHMETIC) && !is_mode(verb, meta->mode))
        return verb == MC_META_SET ? bad_set_mode : bad_arithmetic_mode;
    return meta->overlong ? opaque_too_long : slice_of(NULL, 0);
}

/* Everything on the line for the server but the client's flags, at its longest. */
#define FIXED_MAX                                                                                  \
    (2u + 1u + BASE64_ENCODED(MC_KEY_MAX) + 11u + 2u + 2u + MC_META_MARK_LENGTH +                  \
     MC_META_ADDED_MAX + 2u)
#define FLAGS_LEN_MAX (MC_META_LINE_MAX - FIXED_MAX)

/* -- Requests ---------------------------------------------------------------------------------- */

/* What is no number leaves *out as it is. */
static void take_unsigned(struct slice token, uint64_t *out)
{
    uint64_t n;

    if (is_unsigned(token, &n))
        *out = n;
}

static void take_signed(struct slice token, int64_t *out)
{
    uint64_t n;
    bool minus;

    if (to_number(token, true, &n, &minus))
        *out = (int64_t)(minus ? 0 - n : n);
}

/* Takes in the flags, of which there are `most` at most; false: there are more. `once`: none of our
 * four is there twice. */
static bool take_flags(struct slice rest, unsigned most, struct mc_meta *meta, bool *is_once)
{
    bool once = true;

    for (;;) {
        struct slice flag = next_word(&rest);
        struct slice token;
        uint64_t n;

        if (flag.len == 0)
            break;
        if (meta->flag_count == most)
            return false;
        token = slice_of(flag.data + 1, flag.len - 1);
        meta->flags[meta->flag_count++] = flag;
        meta->flags_len += flag.len + 1;
        switch (flag.data[0]) {
        case 'b':
            once = once && !meta->base64;
            meta->base64 = true;
            break;
        case 'k':
            once = once && !meta->wants_key;
            meta->wants_key = true;
            break;
        case 'O':
            once = once && !meta->wants_opaque;
            meta->wants_opaque = true;
            meta->opaque = token;
            break;
        case 'q':
            once = once && !meta->quiet;
            meta->quiet = true;
            break;
        case 'P':
        case 'L':
            meta->hints_len += flag.len + 1;
            break;
        case 'v':
            meta->wants_value = true;
            break;
        case 'T':
            meta->touches = true;
            take_signed(token, &meta->exptime);
            break;
        case 'c':
            meta->wants_cas = true;
            break;
        case 't':
            meta->wants_ttl = true;
            break;
        case 'C':
            meta->has_cas = true;
            take_unsigned(token, &meta->cas);
            break;
        case 'D':
            take_unsigned(token, &meta->delta);
            break;
        case 'J':
            take_unsigned(token, &meta->initial);
            break;
        case 'N':
            meta->vivifies = true;
            take_signed(token, &meta->vivify_exptime);
            break;
        case 'M':
            meta->mode = token.len > 0 ? token.data[0] : '\0';
            break;
        case 'F':
            if (is_unsigned(token, &n))
                meta->client_flags = (uint32_t)n;
            break;
        default:
            break;
        }
    }
    *is_once = once;
    return true;
}

static enum mc_meta_verdict parse_debug(struct slice rest, struct mc_meta *meta,
                                        struct slice *answer)
{
    char decoded[MC_KEY_MAX];

    meta->key = next_word(&rest);
    meta->base64 = slice_equal(next_word(&rest), SLICE("b"));
    if (meta->key.len > 0 && meta->key.len <= MC_KEY_MAX &&
        (!meta->base64 || decode(meta->key, decoded) > 0))
        return MC_META_OK;
    *answer = bad_format;
    return MC_META_REFUSED;
}

enum mc_meta_verdict mc_meta_parse(enum mc_verb verb, struct slice rest, struct mc_meta *meta,
                                   struct slice *answer)
{
    enum mc_meta_verdict refused = MC_META_REFUSED;
    unsigned most = verb == MC_META_SET ? MC_META_FLAGS_MAX - 1 : MC_META_FLAGS_MAX;
    bool has_length = false;
    char decoded[MC_KEY_MAX];
    bool once;

    memset(meta, 0, sizeof(*meta));
    meta->delta = 1;
    if (verb == MC_META_DEBUG)
        return parse_debug(rest, meta, answer);
    meta->key = next_word(&rest);
    if (meta->key.len == 0) {
        *answer = error;
        return MC_META_REFUSED;
    }
    *answer = bad_format;
    if (verb == MC_META_SET) {
        has_length = to_length(next_word(&rest), &meta->value_len);
        if (has_length)
            refused = MC_META_SWALLOW;
    }
    if (meta->key.len > MC_KEY_MAX)
        return refused;
    if (!take_flags(rest, most, meta, &once)) {
        *answer = verb == MC_META_GET ? too_many_get : too_many;
        return refused;
    }
    if (verb == MC_META_SET && !has_length)
        return refused;
    meta->no_hints = meta->flags_len > FLAGS_LEN_MAX;
    if (meta->flags_len - meta->hints_len > FLAGS_LEN_MAX) {
        *answer = bad_format;
        return refused;
    }
    meta->overlong = meta->opaque.len + 1 > OPAQUE_MAX;
    if (!once || (meta->base64 && decode(meta->key, decoded) == 0) ||
        (meta->overlong && (verb == MC_META_SET || verb == MC_META_DELETE))) {
        *answer = mc_meta_fault(verb, meta);
        return refused;
    }
    meta->marked = meta->wants_opaque || meta->flag_count - meta->quiet - meta->wants_key < most;
    return MC_META_OK;
}

/* -- The line for the server ------------------------------------------------------------------- */

size_t mc_meta_letters(const struct mc_meta *meta, char *out)
{
    if (!meta->wants_key && !meta->wants_opaque && meta->stamp == 0)
        return 0;
    for (unsigned i = 0; i < meta->flag_count; i++)
        out[i] = meta->flags[i].data[0];
    return meta->flag_count;
}

bool mc_meta_add(struct mc_meta *meta, struct slice flags)
{
    unsigned most = MC_META_FLAGS_MAX;
    unsigned count = (unsigned)flags.len / 2;

    ensure(flags.len <= MC_META_ADDED_MAX);
    meta->added = flags;
    return meta->flag_count - meta->quiet - meta->wants_key + count + !meta->wants_opaque <= most;
}

void mc_meta_mark(uint32_t number, char *mark)
{
    static const char digits[] = "0123456789abcdef";

    for (unsigned i = MC_META_MARK_LENGTH; i-- > 0; number >>= 4)
        mark[i] = digits[number & 15];
}

static char *put(char *at, struct slice bytes)
{
    if (bytes.len > 0)
        memcpy(at, bytes.data, bytes.len);
    return at + bytes.len;
}

static char *put_number(char *at, uint64_t n)
{
    char digits[20];
    size_t begin = sizeof(digits);

    do
        digits[--begin] = (char)('0' + n % 10);
    while ((n /= 10) > 0);
    return put(at, slice_of(digits + begin, sizeof(digits) - begin));
}

static char *put_mark(char *at, const char *mark)
{
    return put(put(at, SLICE(" O")), slice_of(mark, MC_META_MARK_LENGTH));
}

static bool stays_here(const struct mc_meta *meta, char letter, bool base64)
{
    if (slice_find(meta->left_out, letter) < meta->left_out.len)
        return true;
    switch (letter) {
    case 'q':
    case 'k':
        return true;
    case 'b':
        return !base64;
    case 'v':
        return meta->overlong;
    case 'P':
    case 'L':
        return meta->no_hints;
    default:
        return false;
    }
}

size_t mc_meta_write(enum mc_verb verb, const struct mc_meta *meta, struct slice key, bool base64,
                     const char *mark, char *out)
{
    static const struct slice names[] = { SLICE_INIT("mg"), SLICE_INIT("ms"), SLICE_INIT("md"),
                                          SLICE_INIT("ma"), SLICE_INIT("me") };
    char *at = put(out, names[verb - MC_META_GET]);

    *at++ = ' ';
    if (base64)
        at += base64_encode(key, at);
    else
        at = put(at, key);
    if (verb == MC_META_SET)
        at = put_number(put(at, SLICE(" ")), meta->value_len + meta->stamp);
    if (verb == MC_META_DEBUG && base64)
        at = put(at, SLICE(" b"));
    for (unsigned i = 0; i < meta->flag_count; i++) {
        struct slice flag = meta->flags[i];

        if (stays_here(meta, flag.data[0], base64))
            continue;
        if (flag.data[0] == 'O') {
            at = put_mark(at, mark);
            continue;
        }
        *at++ = ' ';
        at = put(at, flag);
    }
    at = put(at, meta->added);
    if (meta->marked && !meta->wants_opaque)
        at = put_mark(at, mark);
    at = put(at, SLICE("\r\n"));
    return (size_t)(at - out);
}
