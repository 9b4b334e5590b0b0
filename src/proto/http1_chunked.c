#include "crossfade/proto/http1_chunked.h"

enum state {
    AT_SIZE, /* where a new body begins */
    AT_EXTENSION,
    AT_SIZE_LF,
    AT_DATA,
    AT_DATA_CR,
    AT_DATA_LF,
    AT_TRAILER, /* the first byte of a trailer line, or the CR of the last, empty one */
    AT_TRAILER_NAME,
    AT_TRAILER_VALUE,
    AT_TRAILER_LF,
    AT_LAST_LF,
    AT_END
};

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* One byte of a size line. NULL, or what is wrong. */
static const char *take_size(struct http1_chunked *chunked, char c)
{
    int digit = hex_digit(c);

    if (digit >= 0) {
        if (++chunked->digits > 16 || chunked->left > INT64_MAX >> 4)
            return "a chunk size that is too large";
        chunked->left = chunked->left << 4 | (unsigned)digit;
        return NULL;
    }
    if (chunked->digits == 0)
        return "a chunk without a size";
    if (c == '\r')
        chunked->state = AT_SIZE_LF;
    else if (c == ';')
        chunked->state = AT_EXTENSION;
    else
        return "a chunk size with a byte that is no hexadecimal digit";
    return NULL;
}

/* One byte of a trailer section. NULL, or what is wrong. */
static const char *take_trailer(struct http1_chunked *chunked, char c)
{
    if (++chunked->trailers > HTTP1_TRAILERS_MAX)
        return "the trailers are too large";
    switch ((enum state)chunked->state) {
    case AT_TRAILER:
        if (c == '\r') {
            chunked->state = AT_LAST_LF;
            return NULL;
        }
        chunked->state = AT_TRAILER_NAME;
        return http1_is_token(slice_of(&c, 1)) ? NULL : "a trailer without a name";
    case AT_TRAILER_NAME:
        if (c == ':') {
            chunked->state = AT_TRAILER_VALUE;
            return NULL;
        }
        return http1_is_token(slice_of(&c, 1)) ? NULL : "a malformed trailer name";
    default: /* AT_TRAILER_VALUE */
        if (c == '\r') {
            chunked->state = AT_TRAILER_LF;
            return NULL;
        }
        return http1_is_value(slice_of(&c, 1)) ? NULL : "a control byte in a trailer";
    }
}

/* One byte that is not data. NULL, or what is wrong. */
static const char *take_byte(struct http1_chunked *chunked, char c)
{
    switch ((enum state)chunked->state) {
    case AT_SIZE:
        return take_size(chunked, c);
    case AT_EXTENSION:
        if (c == '\r') {
            chunked->state = AT_SIZE_LF;
            return NULL;
        }
        if (++chunked->extensions > HTTP1_EXTENSIONS_MAX)
            return "the chunk extensions are too large";
        return http1_is_value(slice_of(&c, 1)) ? NULL : "a control byte in a chunk extension";
    case AT_SIZE_LF:
        chunked->state = chunked->left > 0 ? AT_DATA : AT_TRAILER;
        return c == '\n' ? NULL : "a chunk size that does not end with CRLF";
    case AT_DATA_CR:
        chunked->state = AT_DATA_LF;
        return c == '\r' ? NULL : "a chunk that does not end with CRLF";
    case AT_DATA_LF:
        chunked->state = AT_SIZE;
        chunked->digits = 0;
        return c == '\n' ? NULL : "a chunk that does not end with CRLF";
    case AT_TRAILER_LF:
        chunked->state = AT_TRAILER;
        return c == '\n' ? NULL : "a trailer that does not end with CRLF";
    case AT_LAST_LF:
        chunked->state = AT_END;
        return c == '\n' ? NULL : "a body that does not end with CRLF";
    default:
        return take_trailer(chunked, c);
    }
}

enum http1_chunked_verdict http1_chunked_next(struct http1_chunked *chunked, struct slice *bytes,
                                              struct slice *data, struct http1_fault *fault)
{
    while (chunked->state != AT_END) {
        const char *wrong;

        if (bytes->len == 0)
            return HTTP1_CHUNKED_MORE;
        if (chunked->state == AT_DATA) {
            size_t len = bytes->len < chunked->left ? bytes->len : (size_t)chunked->left;
            *data = slice_of(bytes->data, len);
            bytes->data += len;
            bytes->len -= len;
            chunked->left -= len;
            if (chunked->left == 0)
                chunked->state = AT_DATA_CR;
            return HTTP1_CHUNKED_DATA;
        }
        wrong = take_byte(chunked, bytes->data[0]);
        if (wrong != NULL) {
            *fault = (struct http1_fault){ 400, wrong };
            return HTTP1_CHUNKED_BAD;
        }
        bytes->data++;
        bytes->len--;
    }
    return HTTP1_CHUNKED_END;
}

size_t http1_chunk_head(char *out, uint64_t len)
{
    static const char digits[] = "0123456789abcdef";
    unsigned shift = 60;
    size_t n = 0;

    while (shift > 0 && (len >> shift) == 0)
        shift -= 4;
    for (;; shift -= 4) {
        out[n++] = digits[(len >> shift) & 15];
        if (shift == 0)
            break;
    }
    out[n++] = '\r';
    out[n++] = '\n';
    return n;
}
