/*
 * The chunked transfer coding (RFC 9112 section 7.1), decoded as bytes come, whatever the pieces:
 *
 *   5;ext=1 CRLF  hello CRLF  0 CRLF  Trailer: x CRLF  CRLF
 *   size     ...  data  end   last    trailers          end
 *
 * Sizes are hexadecimal digits alone, every line ends with exactly CRLF, extensions and trailers
 * are checked, limited and dropped.
 */
#ifndef CROSSFADE_PROTO_HTTP1_CHUNKED_H
#define CROSSFADE_PROTO_HTTP1_CHUNKED_H

#include "crossfade/proto/http1_fields.h"

#define HTTP1_EXTENSIONS_MAX 4096u /* bytes in all chunks of a body */
#define HTTP1_TRAILERS_MAX 8192u   /* bytes */

struct http1_chunked {
    uint64_t left;       /* of this chunk */
    uint32_t extensions; /* bytes so far */
    uint32_t trailers;
    uint8_t state;
    uint8_t digits;
};

enum http1_chunked_verdict {
    HTTP1_CHUNKED_DATA, /* *data is a part of the body, at least one byte */
    HTTP1_CHUNKED_MORE, /* all bytes are used, the body goes on */
    HTTP1_CHUNKED_END,  /* the body and its trailers are complete */
    HTTP1_CHUNKED_BAD
};

static inline void http1_chunked_init(struct http1_chunked *chunked)
{
    *chunked = (struct http1_chunked){ 0 };
}

/*
 * Takes bytes off the front of *bytes; call it again with the rest after DATA. *data points into
 * *bytes. BAD: *fault, 400.
 */
enum http1_chunked_verdict http1_chunked_next(struct http1_chunked *chunked, struct slice *bytes,
                                              struct slice *data,
                                              struct http1_fault *fault) MUST_CHECK;

/* The line before a chunk of `len` bytes into out[HTTP1_CHUNK_HEAD]; returns its length. */
#define HTTP1_CHUNK_HEAD 20u
size_t http1_chunk_head(char *out, uint64_t len);

#endif
