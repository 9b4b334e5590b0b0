#include "crossfade/proto/mc_binary.h"

/* memcached reads requests into a buffer of this size: extras and a key that do not fit are never
 * complete. */
#define READ_BUFFER 16384u

enum shape {
    UNKNOWN, /* memcached knows no such opcode */
    KEYED,
    LOCAL,
};

enum body {
    EXACT, /* nothing behind the key */
    VALUE, /* what is behind the key is the value */
    LOOSE, /* memcached does not look: what is behind the key it takes for the next request */
};

struct row {
    enum shape shape;
    enum mc_verb verb; /* KEYED */
    uint8_t loud;
    bool quiet;
    bool with_key;
    uint8_t extras;
    enum body body;
};

#define QUIET true
#define LOUD false

/* By opcode. VERBOSITY (0x1b) is in the document, but memcached 1.6 does not know it. */
static const struct row rows[] = {
    /* clang-format off */
    [0x00] = { KEYED, MC_GET, MC_BINARY_GET, LOUD, false, 0, EXACT },
    [0x01] = { KEYED, MC_SET, MC_BINARY_SET, LOUD, false, 8, VALUE },
    [0x02] = { KEYED, MC_ADD, MC_BINARY_ADD, LOUD, false, 8, VALUE },
    [0x03] = { KEYED, MC_REPLACE, MC_BINARY_REPLACE, LOUD, false, 8, VALUE },
    [0x04] = { KEYED, MC_DELETE, MC_BINARY_DELETE, LOUD, false, 0, EXACT },
    [0x05] = { KEYED, MC_INCR, MC_BINARY_INCREMENT, LOUD, false, 20, EXACT },
    [0x06] = { KEYED, MC_DECR, MC_BINARY_DECREMENT, LOUD, false, 20, EXACT },
    [0x07] = { LOCAL, MC_QUIT, MC_BINARY_QUIT, LOUD, false, 0, EXACT },
    [0x08] = { LOCAL, MC_FLUSH_ALL, MC_BINARY_FLUSH, LOUD, false, 4, EXACT },
    [0x09] = { KEYED, MC_GET, MC_BINARY_GET, QUIET, false, 0, EXACT },
    [0x0a] = { LOCAL, MC_VERSION, MC_BINARY_NOOP, LOUD, false, 0, EXACT },
    [0x0b] = { LOCAL, MC_VERSION, MC_BINARY_VERSION, LOUD, false, 0, EXACT },
    [0x0c] = { KEYED, MC_GET, MC_BINARY_GETK, LOUD, true, 0, EXACT },
    [0x0d] = { KEYED, MC_GET, MC_BINARY_GETK, QUIET, true, 0, EXACT },
    [0x0e] = { KEYED, MC_APPEND, MC_BINARY_APPEND, LOUD, false, 0, VALUE },
    [0x0f] = { KEYED, MC_PREPEND, MC_BINARY_PREPEND, LOUD, false, 0, VALUE },
    [0x10] = { LOCAL, MC_STATS, MC_BINARY_STAT, LOUD, false, 0, LOOSE },
    [0x11] = { KEYED, MC_SET, MC_BINARY_SET, QUIET, false, 8, VALUE },
    [0x12] = { KEYED, MC_ADD, MC_BINARY_ADD, QUIET, false, 8, VALUE },
    [0x13] = { KEYED, MC_REPLACE, MC_BINARY_REPLACE, QUIET, false, 8, VALUE },
    [0x14] = { KEYED, MC_DELETE, MC_BINARY_DELETE, QUIET, false, 0, EXACT },
    [0x15] = { KEYED, MC_INCR, MC_BINARY_INCREMENT, QUIET, false, 20, EXACT },
    [0x16] = { KEYED, MC_DECR, MC_BINARY_DECREMENT, QUIET, false, 20, EXACT },
    [0x17] = { LOCAL, MC_QUIT, MC_BINARY_QUIT, QUIET, false, 0, EXACT },
    [0x18] = { LOCAL, MC_FLUSH_ALL, MC_BINARY_FLUSH, QUIET, false, 4, EXACT },
    [0x19] = { KEYED, MC_APPEND, MC_BINARY_APPEND, QUIET, false, 0, VALUE },
    [0x1a] = { KEYED, MC_PREPEND, MC_BINARY_PREPEND, QUIET, false, 0, VALUE },
    [0x1c] = { KEYED, MC_TOUCH, MC_BINARY_TOUCH, LOUD, false, 4, LOOSE },
    [0x1d] = { KEYED, MC_GAT, MC_BINARY_GAT, LOUD, false, 4, LOOSE },
    [0x1e] = { KEYED, MC_GAT, MC_BINARY_GAT, QUIET, false, 4, LOOSE },
    [0x20] = { LOCAL, MC_VERSION, MC_BINARY_SASL_LIST, LOUD, false, 0, EXACT },
    [0x21] = { LOCAL, MC_VERSION, MC_BINARY_SASL_AUTH, LOUD, false, 0, VALUE },
    [0x22] = { LOCAL, MC_VERSION, MC_BINARY_SASL_STEP, LOUD, false, 0, VALUE },
    [0x23] = { KEYED, MC_GAT, MC_BINARY_GATK, LOUD, true, 4, LOOSE },
    [0x24] = { KEYED, MC_GAT, MC_BINARY_GATK, QUIET, true, 4, LOOSE },
    /* clang-format on */
};

static uint16_t get16(const char *at)
{
    const unsigned char *b = (const unsigned char *)at;

    return (uint16_t)(b[0] << 8 | b[1]);
}

static uint32_t get32(const char *at)
{
    const unsigned char *b = (const unsigned char *)at;

    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static void put16(char *at, size_t n)
{
    at[0] = (char)(n >> 8);
    at[1] = (char)n;
}

static void put32(char *at, uint32_t n)
{
    put16(at, n >> 16);
    put16(at + 2, n & 0xffffu);
}

static enum mc_binary_verdict refuse(struct mc_binary_request *request, uint16_t status,
                                     enum mc_binary_verdict verdict)
{
    request->status = status;
    return verdict;
}

/* Is a key there where it has to be, and only there? */
static bool key_fits(const struct mc_binary_request *request, const struct row *row)
{
    switch (row->loud) {
    case MC_BINARY_STAT: /* its arguments, if any */
        return true;
    case MC_BINARY_SASL_AUTH: /* the mechanism */
    case MC_BINARY_SASL_STEP:
        return request->key.len > 0;
    default:
        return (request->key.len > 0) == (row->shape == KEYED);
    }
}

static bool lengths_fit(const struct mc_binary_request *request, const struct row *row)
{
    bool extras_fit = request->extras.len == row->extras ||
                      (row->loud == MC_BINARY_FLUSH && request->extras.len == 0);

    return extras_fit && key_fits(request, row) && (row->body != EXACT || request->value_len == 0);
}

enum mc_binary_verdict mc_binary_request_parse(struct slice bytes,
                                               struct mc_binary_request *request)
{
    const char *head = bytes.data;
    const struct row *row;
    uint8_t extras_len;
    uint16_t key_len;
    uint32_t body_len;

    if (bytes.len > 0 && (unsigned char)head[0] != MC_BINARY_MAGIC_REQUEST)
        return MC_BINARY_CLOSE;
    request->head_len = MC_BINARY_HEADER;
    if (bytes.len < MC_BINARY_HEADER)
        return MC_BINARY_MORE;
    key_len = get16(head + 2);
    extras_len = (uint8_t)head[4];
    body_len = get32(head + 8);
    request->head_len = MC_BINARY_HEADER + (size_t)extras_len + key_len;
    if (request->head_len > READ_BUFFER) {
        request->head_len = READ_BUFFER;
        return bytes.len < READ_BUFFER ? MC_BINARY_MORE : MC_BINARY_CLOSE;
    }
    if (bytes.len < request->head_len)
        return MC_BINARY_MORE;
    request->opcode = (uint8_t)head[1];
    row = request->opcode < sizeof(rows) / sizeof(rows[0]) ? &rows[request->opcode] : &rows[0x1b];
    request->loud = row->shape == UNKNOWN ? request->opcode : row->loud;
    request->quiet = row->quiet;
    request->with_key = row->with_key;
    request->keyed = row->shape == KEYED;
    request->verb = row->verb;
    request->extras = slice_of(head + MC_BINARY_HEADER, extras_len);
    request->key = slice_of(head + MC_BINARY_HEADER + extras_len, key_len);
    request->value_len = 0;
    memcpy(&request->opaque, head + 12, sizeof(request->opaque));
    memcpy(&request->cas, head + 16, sizeof(request->cas));
    if ((uint32_t)extras_len + key_len > body_len)
        return refuse(request, MC_BINARY_UNKNOWN, MC_BINARY_FATAL);
    if (key_len > MC_KEY_MAX)
        return refuse(request, MC_BINARY_INVALID, MC_BINARY_FATAL);
    request->value_len = body_len - extras_len - key_len;
    /* Here memcached swallows as many bytes too many as it has read of extras and key. */
    if (row->shape == UNKNOWN)
        return refuse(request, MC_BINARY_UNKNOWN, MC_BINARY_REFUSED);
    if (!lengths_fit(request, row))
        return refuse(request, MC_BINARY_INVALID, MC_BINARY_FATAL);
    if (row->body == LOOSE)
        request->value_len = 0;
    return MC_BINARY_OK;
}

enum mc_binary_verdict mc_binary_reply_parse(struct slice bytes, struct mc_binary_reply *reply)
{
    const char *head = bytes.data;

    if (bytes.len > 0 && (unsigned char)head[0] != MC_BINARY_MAGIC_REPLY)
        return MC_BINARY_CLOSE;
    if (bytes.len < MC_BINARY_HEADER)
        return MC_BINARY_MORE;
    reply->opcode = (uint8_t)head[1];
    reply->key_len = get16(head + 2);
    reply->extras_len = (uint8_t)head[4];
    reply->status = get16(head + 6);
    reply->body_len = get32(head + 8);
    memcpy(&reply->opaque, head + 12, sizeof(reply->opaque));
    memcpy(&reply->cas, head + 16, sizeof(reply->cas));
    return (uint32_t)reply->extras_len + reply->key_len <= reply->body_len ? MC_BINARY_OK
                                                                           : MC_BINARY_CLOSE;
}

/* An error brings a sentence; or, as the miss of a get with its key, that key. */
static bool error_fits(const struct mc_binary_reply *reply, uint8_t opcode)
{
    bool returns_key = opcode == MC_BINARY_GETK || opcode == MC_BINARY_GATK;

    if (reply->extras_len > 0 || reply->body_len > MC_BINARY_TEXT_MAX)
        return false;
    return reply->key_len == 0 || (returns_key && reply->status == MC_BINARY_NOT_FOUND &&
                                   reply->key_len == reply->body_len);
}

bool mc_binary_reply_fits(const struct mc_binary_reply *reply, uint8_t opcode)
{
    if (reply->opcode != opcode)
        return false;
    if (reply->status != MC_BINARY_DONE)
        return error_fits(reply, opcode);
    switch (opcode) {
    case MC_BINARY_GET:
    case MC_BINARY_GAT:
        return reply->extras_len == 4 && reply->key_len == 0;
    case MC_BINARY_GETK:
    case MC_BINARY_GATK:
        return reply->extras_len == 4 && reply->key_len > 0;
    case MC_BINARY_INCREMENT:
    case MC_BINARY_DECREMENT:
        return reply->extras_len == 0 && reply->key_len == 0 && reply->body_len == 8;
    case MC_BINARY_TOUCH: /* memcached adds the flags, the document does not */
        return (reply->extras_len == 0 || reply->extras_len == 4) &&
               reply->body_len == reply->extras_len;
    case MC_BINARY_VERSION:
        return reply->extras_len == 0 && reply->key_len == 0 &&
               reply->body_len <= MC_BINARY_TEXT_MAX;
    default:
        return reply->body_len == 0;
    }
}

static void write_head(char *out, unsigned magic, uint8_t opcode, size_t key_len, size_t extras_len,
                       uint16_t status, uint32_t body_len, uint32_t opaque, uint64_t cas)
{
    out[0] = (char)magic;
    out[1] = (char)opcode;
    put16(out + 2, key_len);
    out[4] = (char)extras_len;
    out[5] = 0;
    put16(out + 6, status);
    put32(out + 8, body_len);
    memcpy(out + 12, &opaque, sizeof(opaque));
    memcpy(out + 16, &cas, sizeof(cas));
}

void mc_binary_request_write(char *out, uint8_t opcode, size_t key_len, size_t extras_len,
                             uint32_t body_len, uint32_t opaque, uint64_t cas)
{
    write_head(out, MC_BINARY_MAGIC_REQUEST, opcode, key_len, extras_len, 0, body_len, opaque, cas);
}

void mc_binary_reply_write(char *out, const struct mc_binary_reply *reply)
{
    write_head(out, MC_BINARY_MAGIC_REPLY, reply->opcode, reply->key_len, reply->extras_len,
               reply->status, reply->body_len, reply->opaque, reply->cas);
}

void mc_binary_reply_rewrite(char *head, const struct mc_binary_reply *reply, uint8_t opcode,
                             uint32_t opaque, size_t key_len, size_t left_out)
{
    head[1] = (char)opcode;
    memcpy(head + 12, &opaque, sizeof(opaque));
    if (key_len == reply->key_len && left_out == 0)
        return;
    put16(head + 2, key_len);
    put32(head + 8, reply->body_len - reply->key_len + (uint32_t)(key_len - left_out));
}

struct slice mc_binary_status_text(uint16_t status)
{
    switch (status) {
    case MC_BINARY_NOT_FOUND:
        return SLICE("Not found");
    case MC_BINARY_EXISTS:
        return SLICE("Data exists for key.");
    case MC_BINARY_TOO_LARGE:
        return SLICE("Too large.");
    case MC_BINARY_INVALID:
        return SLICE("Invalid arguments");
    case MC_BINARY_NOT_STORED:
        return SLICE("Not stored.");
    case MC_BINARY_NOT_NUMERIC:
        return SLICE("Non-numeric server-side value for incr or decr");
    case MC_BINARY_AUTH_ERROR:
        return SLICE("Auth failure.");
    case MC_BINARY_UNKNOWN:
        return SLICE("Unknown command");
    case MC_BINARY_NO_MEMORY:
        return SLICE("Out of memory");
    default:
        return slice_of("", 0);
    }
}
