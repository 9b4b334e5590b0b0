#include "crossfade/proto/mc_request.h"

#include <string.h>

#define WORDS_MAX 8u /* more than any command but the get family takes */

/* memcached takes lengths below this; above, the reply is the same as for a malformed number. */
#define LENGTH_LIMIT 2147483646u

static const struct slice error = SLICE_INIT("ERROR\r\n");
static const struct slice bad_format = SLICE_INIT("CLIENT_ERROR bad command line format\r\n");
static const struct slice bad_exptime = SLICE_INIT("CLIENT_ERROR invalid exptime argument\r\n");
static const struct slice bad_delta = SLICE_INIT("CLIENT_ERROR invalid numeric delta argument\r\n");
static const struct slice bad_delete =
    SLICE_INIT("CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n");
static const struct slice refused = SLICE_INIT(
    "CLIENT_ERROR this command is refused here: it reaches beyond your own version's keys\r\n");

struct words {
    struct slice word[WORDS_MAX];
    unsigned count; /* WORDS_MAX when there are that many or more */
};

static struct slice next_word(struct slice *rest)
{
    struct slice s = *rest;
    size_t len = 0;

    while (s.len > 0 && s.data[0] == ' ') {
        s.data++;
        s.len--;
    }
    /* Only a space ends a word: other control characters are part of it. */
    while ((len += slice_word(slice_of(s.data + len, s.len - len))) < s.len && s.data[len] != ' ')
        len++;
    *rest = slice_of(s.data + len, s.len - len);
    return slice_of(s.data, len);
}

static void split(struct slice rest, struct words *words)
{
    words->count = 0;
    while (words->count < WORDS_MAX) {
        struct slice word = next_word(&rest);
        if (word.len == 0)
            break;
        words->word[words->count++] = word;
    }
}

/* As strtoull does it: an optional sign, digits, no overflow; "-0" is 0 and any other minus is not.
 */
static bool to_unsigned(struct slice word, uint64_t *out)
{
    bool minus = word.len > 0 && word.data[0] == '-';
    uint64_t n = 0;

    if (word.len > 1 && (minus || word.data[0] == '+')) {
        word.data++;
        word.len--;
    }
    while (word.len > 1 && word.data[0] == '0') {
        word.data++;
        word.len--;
    }
    if (!slice_to_u64(word, &n) || (minus && n != 0))
        return false;
    *out = n;
    return true;
}

static bool to_signed(struct slice word, int64_t *out)
{
    bool minus = word.len > 1 && word.data[0] == '-';
    uint64_t n;

    if (minus && (word.data[1] == '+' || word.data[1] == '-'))
        return false;
    if (!to_unsigned(minus ? slice_of(word.data + 1, word.len - 1) : word, &n) ||
        n > (uint64_t)INT64_MAX + minus)
        return false;
    *out = minus ? (int64_t)(0 - n) : (int64_t)n;
    return true;
}

/* A number that was found good, in at most 20 digits: without a plus and leading zeros. */
static struct slice canonical(struct slice word)
{
    if (word.len > 0 && word.data[0] == '-')
        return word;
    if (word.len > 0 && word.data[0] == '+') {
        word.data++;
        word.len--;
    }
    while (word.len > 1 && word.data[0] == '0') {
        word.data++;
        word.len--;
    }
    return word;
}

#define NUMBER_MAX 32u /* a longer one is all minus and zeros */

static bool last_is_noreply(const struct words *words)
{
    return words->count > 0 && slice_equal(words->word[words->count - 1], SLICE("noreply"));
}

static enum mc_request_verdict refuse(struct slice *answer, struct slice text)
{
    *answer = text;
    return MC_REQUEST_ERROR;
}

static enum mc_request_verdict parse_get(struct slice rest, struct mc_request *request,
                                         struct slice *answer)
{
    bool with_exptime = request->verb == MC_GAT || request->verb == MC_GATS;
    struct slice key;
    int64_t ignored;

    if (with_exptime) {
        request->number = next_word(&rest);
        if (request->number.len == 0)
            return refuse(answer, error);
        if (!to_signed(request->number, &ignored))
            return refuse(answer, bad_exptime);
        request->number = canonical(request->number);
        if (request->number.len > NUMBER_MAX)
            return refuse(answer, bad_exptime);
    }
    request->keys = rest;
    key = next_word(&rest);
    return key.len > 0 || with_exptime ? MC_REQUEST_OK : refuse(answer, error);
}

/* <command> <key> <flags> <exptime> <bytes> [<cas unique>] [noreply] */
static enum mc_request_verdict parse_storage(struct slice rest, struct mc_request *request,
                                             struct slice *answer)
{
    unsigned numbers = request->verb == MC_CAS ? 5 : 4;
    struct words words;
    uint64_t flags;
    uint64_t len;

    split(rest, &words);
    if (words.count < numbers || words.count > numbers + 1)
        return refuse(answer, error);
    request->noreply = last_is_noreply(&words);
    request->keys = words.word[0];
    if (!to_unsigned(words.word[3], &len) || len >= LENGTH_LIMIT)
        return refuse(answer, bad_format);
    if (request->keys.len > MC_KEY_MAX || !to_unsigned(words.word[1], &flags) ||
        !to_signed(words.word[2], &request->exptime) ||
        (request->verb == MC_CAS && !to_unsigned(words.word[4], &request->cas))) {
        request->value_len = len + 2;
        return refuse(answer, bad_format);
    }
    request->value_len = len;
    request->flags = (uint32_t)flags; /* memcached keeps the low 32 bits */
    return MC_REQUEST_OK;
}

/* delete <key> [0] [noreply] */
static enum mc_request_verdict parse_delete(struct slice rest, struct mc_request *request,
                                            struct slice *answer)
{
    struct words words;

    split(rest, &words);
    if (words.count < 1 || words.count > 3)
        return refuse(answer, error);
    request->keys = words.word[0];
    if (words.count > 1) {
        bool zero = slice_equal(words.word[1], SLICE("0"));
        request->noreply = last_is_noreply(&words);
        if (words.count == 2 ? !zero && !request->noreply : !zero || !request->noreply)
            return refuse(answer, bad_delete);
    }
    if (request->keys.len > MC_KEY_MAX)
        return refuse(answer, bad_format);
    return MC_REQUEST_OK;
}

/* incr|decr <key> <delta> [noreply], touch <key> <exptime> [noreply] */
static enum mc_request_verdict parse_number(struct slice rest, struct mc_request *request,
                                            struct slice *answer)
{
    bool touch = request->verb == MC_TOUCH;
    struct words words;
    uint64_t delta;
    int64_t exptime;

    split(rest, &words);
    if (words.count < 2 || words.count > 3)
        return refuse(answer, error);
    request->noreply = last_is_noreply(&words);
    request->keys = words.word[0];
    request->number = words.word[1];
    if (request->keys.len > MC_KEY_MAX)
        return refuse(answer, bad_format);
    if (touch ? !to_signed(request->number, &exptime) : !to_unsigned(request->number, &delta))
        return refuse(answer, touch ? bad_exptime : bad_delta);
    request->number = canonical(request->number);
    if (request->number.len > NUMBER_MAX)
        return refuse(answer, touch ? bad_exptime : bad_delta);
    return MC_REQUEST_OK;
}

/* verbosity <level> [noreply]: accepted and without effect, as the server is not the client's own
 */
static enum mc_request_verdict parse_verbosity(struct slice rest, struct mc_request *request,
                                               struct slice *answer)
{
    struct words words;
    uint64_t level;

    split(rest, &words);
    if (words.count < 1 || words.count > 2)
        return refuse(answer, error);
    request->noreply = last_is_noreply(&words);
    if (!to_unsigned(words.word[0], &level))
        return refuse(answer, bad_format);
    return MC_REQUEST_OK;
}

/* flush_all [<delay>] [noreply] */
static enum mc_request_verdict parse_flush(struct slice rest, struct mc_request *request,
                                           struct slice *answer)
{
    struct words words;

    split(rest, &words);
    if (words.count > 2)
        return refuse(answer, error);
    request->noreply = last_is_noreply(&words);
    if (words.count > (request->noreply ? 1u : 0u) && !to_signed(words.word[0], &request->exptime))
        return refuse(answer, bad_exptime);
    return MC_REQUEST_OK;
}

static enum mc_request_verdict parse_stats(struct slice rest, struct mc_request *request,
                                           struct slice *answer)
{
    (void)answer;
    request->keys = slice_trim(rest, " ");
    return MC_REQUEST_OK;
}

static enum mc_request_verdict parse_bare(struct slice rest, struct mc_request *request,
                                          struct slice *answer)
{
    (void)rest;
    (void)request;
    (void)answer;
    return MC_REQUEST_OK;
}

static enum mc_request_verdict parse_refused(struct slice rest, struct mc_request *request,
                                             struct slice *answer)
{
    request->keys = slice_trim(rest, " ");
    *answer = refused;
    return MC_REQUEST_OK;
}

/* The words behind the name are for proto/mc_meta. */
static enum mc_request_verdict parse_meta(struct slice rest, struct mc_request *request,
                                          struct slice *answer)
{
    (void)answer;
    request->keys = rest;
    return MC_REQUEST_OK;
}

struct command {
    struct slice name;
    enum mc_verb verb;
    enum mc_request_verdict (*parse)(struct slice rest, struct mc_request *request,
                                     struct slice *answer);
};

#define COMMAND(name, verb, parse)                                                                 \
    {                                                                                              \
        { name, sizeof(name) - 1 }, verb, parse                                                    \
    }

/* The commonest first: the table is searched in this order. */
static const struct command commands[] = {
    COMMAND("get", MC_GET, parse_get),
    COMMAND("set", MC_SET, parse_storage),
    COMMAND("gets", MC_GETS, parse_get),
    COMMAND("mg", MC_META_GET, parse_meta),
    COMMAND("ms", MC_META_SET, parse_meta),
    COMMAND("mn", MC_META_NOOP, parse_meta),
    COMMAND("delete", MC_DELETE, parse_delete),
    COMMAND("add", MC_ADD, parse_storage),
    COMMAND("incr", MC_INCR, parse_number),
    COMMAND("decr", MC_DECR, parse_number),
    COMMAND("cas", MC_CAS, parse_storage),
    COMMAND("touch", MC_TOUCH, parse_number),
    COMMAND("md", MC_META_DELETE, parse_meta),
    COMMAND("ma", MC_META_ARITHMETIC, parse_meta),
    COMMAND("me", MC_META_DEBUG, parse_meta),
    COMMAND("gat", MC_GAT, parse_get),
    COMMAND("gats", MC_GATS, parse_get),
    COMMAND("replace", MC_REPLACE, parse_storage),
    COMMAND("append", MC_APPEND, parse_storage),
    COMMAND("prepend", MC_PREPEND, parse_storage),
    COMMAND("bget", MC_GET, parse_get), /* an old name of get that memcached still knows */
    COMMAND("version", MC_VERSION, parse_bare),
    COMMAND("verbosity", MC_VERBOSITY, parse_verbosity),
    COMMAND("stats", MC_STATS, parse_stats),
    COMMAND("flush_all", MC_FLUSH_ALL, parse_flush),
    COMMAND("quit", MC_QUIT, parse_bare),
    COMMAND("shutdown", MC_REFUSED, parse_refused),
    COMMAND("cache_memlimit", MC_REFUSED, parse_refused),
    COMMAND("slabs", MC_REFUSED, parse_refused),
    COMMAND("lru", MC_REFUSED, parse_refused),
    COMMAND("lru_crawler", MC_REFUSED, parse_refused),
    COMMAND("watch", MC_REFUSED, parse_refused),
    COMMAND("refresh_certs", MC_REFUSED, parse_refused),
    COMMAND("extstore", MC_REFUSED, parse_refused),
    COMMAND("misbehave", MC_REFUSED, parse_refused),
    COMMAND("debugtime", MC_REFUSED, parse_refused),
};

/*
 * "GET / HTTP/1.1": somebody's browser was made to talk to a cache. What follows would be run as
 * commands, so the connection ends here, as with memcached.
 */
static bool is_http(struct slice line)
{
    struct slice last = slice_trim(line, " ");
    size_t start = last.len;

    while (start > 0 && last.data[start - 1] != ' ')
        start--;
    return slice_starts(slice_of(last.data + start, last.len - start), SLICE("HTTP/"));
}

/* No newline yet: how much longer may it be waited for? */
static enum mc_request_verdict incomplete(struct slice bytes)
{
    struct slice start = bytes;

    if (bytes.len <= MC_LINE_MAX)
        return MC_REQUEST_MORE;
    while (start.len > 0 && start.data[0] == ' ') {
        start.data++;
        start.len--;
    }
    if (bytes.len - start.len > 100 || bytes.len > MC_MULTIGET_MAX ||
        (!slice_starts(start, SLICE("get ")) && !slice_starts(start, SLICE("gets "))))
        return MC_REQUEST_CLOSE;
    return MC_REQUEST_MORE;
}

/* "get <key>\r\n", the commonest of all, in one pass; false: it is something else, or not all here.
 */
static bool take_get(struct slice bytes, struct mc_request *request)
{
    struct slice key;

    if (bytes.len < sizeof("get k\r\n") - 1 || memcmp(bytes.data, "get ", 4) != 0)
        return false;
    key = slice_of(bytes.data + 4, slice_word(slice_of(bytes.data + 4, bytes.len - 4)));
    if (key.len == 0 || bytes.len - 4 - key.len < 2 || memcmp(key.data + key.len, "\r\n", 2) != 0)
        return false;
    *request = (struct mc_request){
        .verb = MC_GET, .one_key = true, .line_len = key.len + 6, .keys = key
    };
    return true;
}

enum mc_request_verdict mc_request_parse(struct slice bytes, size_t *scanned,
                                         struct mc_request *request, struct slice *answer)
{
    const char *newline;
    struct slice line;
    struct slice name;

    if (*scanned == 0 && take_get(bytes, request))
        return MC_REQUEST_OK;
    newline =
        bytes.len > *scanned ? memchr(bytes.data + *scanned, '\n', bytes.len - *scanned) : NULL;
    if (newline == NULL) {
        *scanned = bytes.len;
        return incomplete(bytes);
    }
    *scanned = 0;
    *answer = slice_of(NULL, 0);
    memset(request, 0, sizeof(*request));
    request->line_len = (size_t)(newline - bytes.data) + 1;
    line = slice_of(bytes.data, request->line_len - 1);
    if (line.len > 0 && line.data[line.len - 1] == '\r')
        line.len--;
    line.len = strnlen(line.data, line.len);
    name = next_word(&line);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        const struct command *command = &commands[i];
        if (command->name.len == name.len && memcmp(command->name.data, name.data, name.len) == 0) {
            request->verb = command->verb;
            return command->parse(line, request, answer);
        }
    }
    if (is_http(line))
        return MC_REQUEST_CLOSE;
    return refuse(answer, error);
}

bool mc_request_next_key(struct slice *keys, struct slice *key)
{
    *key = keys->len > 0 ? next_word(keys) : *keys; /* nothing may also point nowhere */
    return key->len > 0;
}

struct slice mc_verb_name(enum mc_verb verb)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (commands[i].verb == verb)
            return commands[i].name;
    return SLICE("?");
}

static char *put_number(char *at, uint64_t n)
{
    char digits[20];
    unsigned count = 0;

    do {
        digits[count++] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    while (count > 0)
        *at++ = digits[--count];
    return at;
}

size_t mc_request_storage_tail(const struct mc_request *request, char *out)
{
    char *at = out;

    *at++ = ' ';
    at = put_number(at, request->flags);
    *at++ = ' ';
    if (request->exptime < 0)
        *at++ = '-';
    at = put_number(at, request->exptime < 0 ? 0 - (uint64_t)request->exptime
                                             : (uint64_t)request->exptime);
    *at++ = ' ';
    at = put_number(at, request->value_len);
    if (request->verb == MC_CAS) {
        *at++ = ' ';
        at = put_number(at, request->cas);
    }
    *at++ = '\r';
    *at++ = '\n';
    return (size_t)(at - out);
}
