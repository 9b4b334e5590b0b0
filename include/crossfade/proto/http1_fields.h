/*
 * The field lines of an HTTP/1.1 head (RFC 9112 section 5), strictly: what leniency would let two
 * parsers read differently is refused. Shared by the request and the response parser. Pure: slices
 * point into the bytes that were parsed and live as long as these.
 */
#ifndef CROSSFADE_PROTO_HTTP1_FIELDS_H
#define CROSSFADE_PROTO_HTTP1_FIELDS_H

#include "crossfade/base/ensure.h"
#include "crossfade/base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The names that mean something to a proxy. */
enum http1_name {
    HTTP1_OTHER,
    HTTP1_CONNECTION,
    HTTP1_CONTENT_LENGTH,
    HTTP1_TRANSFER_ENCODING,
    HTTP1_HOST,
    HTTP1_EXPECT,
    HTTP1_UPGRADE,
    HTTP1_HOP_BY_HOP, /* Keep-Alive, Proxy-*, TE, Trailer, HTTP2-Settings, Proxy: never forwarded */
    HTTP1_COOKIE,
    HTTP1_X_FORWARDED_FOR,
    HTTP1_X_FORWARDED_PROTO,
    HTTP1_X_FORWARDED_HOST,
    HTTP1_FORWARDED,
    HTTP1_VIA,
    HTTP1_X_REQUEST_ID,
    HTTP1_X_CROSSFADE /* X-Crossfade-*: ours alone */
};

struct http1_field {
    struct slice name;
    struct slice value; /* without the white space around it */
    enum http1_name id;
    bool named;      /* by Connection: for this hop alone */
    bool underscore; /* `_` in its name, which WSGI folds onto `-` */
};

struct http1_limits {
    size_t head;     /* bytes, with the start line and the empty line at the end */
    unsigned fields; /* field lines */
};

enum http1_verdict {
    HTTP1_DONE, /* the head is complete */
    HTTP1_MORE, /* nothing wrong so far */
    HTTP1_BAD   /* see the fault; the connection cannot go on */
};

/* What a peer did wrong: the status to answer with, and a static sentence without the peer's bytes.
 */
struct http1_fault {
    unsigned status;
    const char *text;
};

/* All field lines of a head, with the facts that framing depends on. */
struct http1_fields {
    struct http1_field *all; /* the caller's array */
    unsigned capacity;       /* of the array; the smaller of it and the limit counts */
    unsigned count;
    uint32_t present;  /* bit 1 << id for each id that came */
    unsigned hosts;    /* how many Host lines */
    bool length_given; /* Content-Length, valid and all lines of it equal */
    bool chunked;      /* Transfer-Encoding, exactly "chunked" */
    bool close;        /* the connection options */
    bool keep_alive;
    uint64_t length;
    struct slice host;
    struct slice expect;
    struct slice upgrade;
};

static inline bool http1_has(const struct http1_fields *fields, enum http1_name id)
{
    return (fields->present & (1u << id)) != 0;
}

/* The bytes of a token (RFC 9110 section 5.6.2), not empty. */
bool http1_is_token(struct slice s);
/* Bytes that may be in a field value: visible, space, tab and 0x80 to 0xff. */
bool http1_is_value(struct slice s);
/* host [":" port], not empty, without userinfo (RFC 3986 section 3.2). */
bool http1_is_authority(struct slice s);

/*
 * Parses field lines from bytes[*at] up to the empty line. DONE: *at is behind it. BAD: *fault.
 * `fields->all` and `capacity` are the caller's, everything else is set here.
 */
enum http1_verdict http1_fields_parse(struct http1_fields *fields, struct slice bytes, size_t *at,
                                      unsigned limit, struct http1_fault *fault) MUST_CHECK;

/*
 * One line that ends with CRLF: *line without it, *at behind it. MORE: no LF yet. BAD: a bare LF.
 */
enum http1_verdict http1_line(struct slice bytes, size_t *at, struct slice *line,
                              struct http1_fault *fault) MUST_CHECK;

/* The first field of that name, without regard to case. */
bool http1_find_field(const struct http1_fields *fields, struct slice name, struct slice *value);
/* The first cookie of exactly that name in the Cookie lines (RFC 6265 section 4.2), as it is sent.
 */
bool http1_find_cookie(const struct http1_fields *fields, struct slice name, struct slice *value);
/* The first parameter of exactly that name in a target's query, not decoded. */
bool http1_find_query(struct slice target, struct slice name, struct slice *value);

#endif
