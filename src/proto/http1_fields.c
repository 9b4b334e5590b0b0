#include "crossfade/proto/http1_fields.h"

#include <string.h>

/* What a byte may be part of. */
enum {
    IN_TOKEN = 1, /* RFC 9110 section 5.6.2 */
    IN_VALUE = 2, /* RFC 9110 section 5.5, with obs-text */
    IN_HOST = 4   /* RFC 3986 section 3.2.2, reg-name */
};

/* clang-format off */
#define T IN_TOKEN
#define V IN_VALUE
#define H IN_HOST
static const uint8_t class_of[256] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, V, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    /* space ! " # $ % & ' ( ) * + , - . / */
    V, T|V|H, V, T|V, T|V|H, T|V|H, T|V|H, T|V|H, V|H, V|H, T|V|H, T|V|H, V|H, T|V|H, T|V|H, V,
    /* 0-9 : ; < = > ? */
    T|V|H, T|V|H, T|V|H, T|V|H, T|V|H, T|V|H, T|V|H, T|V|H, T|V|H, T|V|H, V, V|H, V, V|H, V, V,
    /* @ A-O */
    V, T|V|H, T|V|H, T|V|H, T|V|H, T|V|H, T|V|H, T|V|H, T|V|H, T|V|H, T|V|H, T|V|H, T|V|H, T|V|H, T|V|H, T|V|H,
    /* P-Z [ \ ] ^ _ */
    T|V|H, T|V|H, T|V|H, T|V|H, T|V|H, T|V|H, T|V|H, T|V|H, T|V|H, T|V|H, T|V|H, V, V, V, T|V, T|V|H,
    /* ` a-o */
    T|V, T|V|H, T|V|H, T|V|H, T|V|H, T|V|H, T|V|H, T|V|H, T|V|H, T|V|H, T|V|H, T|V|H, T|V|H, T|V|H, T|V|H, T|V|H,
    /* p-z { | } ~ DEL */
    T|V|H, T|V|H, T|V|H, T|V|H, T|V|H, T|V|H, T|V|H, T|V|H, T|V|H, T|V|H, T|V|H, V, T|V, V, T|V|H, 0,
    V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
    V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
    V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
    V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
};
#undef T
#undef V
#undef H
/* clang-format on */

static bool is_of(struct slice s, uint8_t class)
{
    for (size_t i = 0; i < s.len; i++)
        if ((class_of[(unsigned char)s.data[i]] & class) == 0)
            return false;
    return true;
}

bool http1_is_token(struct slice s)
{
    return s.len > 0 && is_of(s, IN_TOKEN);
}

bool http1_is_value(struct slice s)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);

    /* Eight bytes at a time: is any below 0x20, or 0x7f? A tab is, so look closer then. */
    while (s.len >= 8) {
        uint64_t word, delete;
        memcpy(&word, s.data, 8);
        delete = word ^ (ones * 0x7f);
        if ((((word - ones * 0x20) & ~word) | ((delete - ones) & ~delete)) & (ones * 0x80)) {
            if (!is_of(slice_of(s.data, 8), IN_VALUE))
                return false;
        }
        s.data += 8;
        s.len -= 8;
    }
    return is_of(s, IN_VALUE);
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

bool http1_is_authority(struct slice s)
{
    size_t end;

    if (s.len > 0 && s.data[0] == '[') {
        size_t close = slice_find(s, ']');
        if (close < 3 || close == s.len)
            return false;
        for (size_t i = 1; i < close; i++)
            if (!is_hex(s.data[i]) && s.data[i] != ':' && s.data[i] != '.')
                return false;
        end = close + 1;
    } else {
        end = slice_find(s, ':');
        if (end == 0 || !is_of(slice_of(s.data, end), IN_HOST))
            return false;
        for (size_t i = 0; i < end; i++)
            if (s.data[i] == '%' &&
                (i + 2 >= end || !is_hex(s.data[i + 1]) || !is_hex(s.data[i + 2])))
                return false;
    }
    if (end == s.len)
        return true;
    if (s.data[end] != ':' || s.len - end > 6)
        return false;
    for (size_t i = end + 1; i < s.len; i++)
        if (s.data[i] < '0' || s.data[i] > '9')
            return false;
    return true;
}

struct known_name {
    struct slice name;
    enum http1_name id;
};

static const struct known_name known_names[] = {
    { { "te", 2 }, HTTP1_HOP_BY_HOP },
    { { "via", 3 }, HTTP1_VIA },
    { { "host", 4 }, HTTP1_HOST },
    { { "proxy", 5 }, HTTP1_HOP_BY_HOP }, /* CGI makes it HTTP_PROXY (CVE-2016-5385) */
    { { "cookie", 6 }, HTTP1_COOKIE },
    { { "expect", 6 }, HTTP1_EXPECT },
    { { "trailer", 7 }, HTTP1_HOP_BY_HOP },
    { { "upgrade", 7 }, HTTP1_UPGRADE },
    { { "forwarded", 9 }, HTTP1_FORWARDED },
    { { "connection", 10 }, HTTP1_CONNECTION },
    { { "keep-alive", 10 }, HTTP1_HOP_BY_HOP },
    { { "x-request-id", 12 }, HTTP1_X_REQUEST_ID },
    { { "content-length", 14 }, HTTP1_CONTENT_LENGTH },
    { { "http2-settings", 14 }, HTTP1_HOP_BY_HOP },
    { { "x-forwarded-for", 15 }, HTTP1_X_FORWARDED_FOR },
    { { "x-forwarded-host", 16 }, HTTP1_X_FORWARDED_HOST },
    { { "proxy-connection", 16 }, HTTP1_HOP_BY_HOP },
    { { "transfer-encoding", 17 }, HTTP1_TRANSFER_ENCODING },
    { { "x-forwarded-proto", 17 }, HTTP1_X_FORWARDED_PROTO },
    { { "proxy-authenticate", 18 }, HTTP1_HOP_BY_HOP },
    { { "proxy-authorization", 19 }, HTTP1_HOP_BY_HOP },
};

#define KNOWN_LENGTHS 20u

/* Where the names of each length begin in known_names. */
static const uint8_t known_from[KNOWN_LENGTHS + 1] = { 0,  0,  0,  1,  2,  3,  4,  6,  8,  8, 9,
                                                       11, 11, 12, 12, 14, 15, 17, 19, 20, 21 };

/* A token and a name in small letters, digits and hyphens: the bit that is set here tells nothing
 * but capital letters from small ones among the bytes that are left. */
static bool is_known(const char *known, struct slice name)
{
    unsigned difference = 0;

    for (size_t i = 0; i < name.len; i++)
        difference |= (unsigned char)known[i] ^ ((unsigned char)name.data[i] | 0x20u);
    return difference == 0;
}

static enum http1_name name_id(struct slice name)
{
    if (name.len < KNOWN_LENGTHS) {
        char first = (char)(name.data[0] | 0x20);
        for (unsigned i = known_from[name.len]; i < known_from[name.len + 1]; i++)
            if (known_names[i].name.data[0] == first && is_known(known_names[i].name.data, name))
                return known_names[i].id;
    }
    if (name.len > 11 && (name.data[0] | 0x20) == 'x' && (name.data[2] | 0x20) == 'c' &&
        slice_equal_nocase(slice_of(name.data, 12), SLICE("x-crossfade-")))
        return HTTP1_X_CROSSFADE;
    return HTTP1_OTHER;
}

static enum http1_verdict bad(struct http1_fault *fault, unsigned status, const char *text)
{
    fault->status = status;
    fault->text = text;
    return HTTP1_BAD;
}

enum http1_verdict http1_line(struct slice bytes, size_t *at, struct slice *line,
                              struct http1_fault *fault)
{
    const char *from = bytes.data + *at;
    const char *lf = memchr(from, '\n', bytes.len - *at);

    if (lf == NULL)
        return HTTP1_MORE;
    if (lf == from || lf[-1] != '\r')
        return bad(fault, 400, "a line ends with a bare LF");
    *line = slice_of(from, (size_t)(lf - from) - 1);
    *at += line->len + 2;
    return HTTP1_DONE;
}

/* Content-Length lines: digits only; several only if they are equal (RFC 9112 section 6.3). */
static bool take_length(struct http1_fields *fields, struct slice value, struct http1_fault *fault)
{
    uint64_t length;

    if (!slice_to_u64(value, &length) || length > INT64_MAX) {
        (void)bad(fault, 400, "the Content-Length is not a number of bytes");
        return false;
    }
    if (fields->length_given && fields->length != length) {
        (void)bad(fault, 400, "two Content-Length headers that differ");
        return false;
    }
    fields->length_given = true;
    fields->length = length;
    return true;
}

/* The facts of a known field. False: *fault. */
static bool take_field(struct http1_fields *fields, const struct http1_field *field,
                       struct http1_fault *fault)
{
    switch (field->id) {
    case HTTP1_CONTENT_LENGTH:
        return take_length(fields, field->value, fault);
    case HTTP1_TRANSFER_ENCODING:
        if (fields->chunked || !slice_equal_nocase(field->value, SLICE("chunked"))) {
            (void)bad(fault, 400, "a Transfer-Encoding other than exactly chunked");
            return false;
        }
        fields->chunked = true;
        return true;
    case HTTP1_HOST:
        fields->host = field->value;
        fields->hosts++;
        return true;
    case HTTP1_EXPECT:
        if (http1_has(fields, HTTP1_EXPECT)) {
            (void)bad(fault, 400, "two Expect headers");
            return false;
        }
        fields->expect = field->value;
        return true;
    case HTTP1_UPGRADE:
        fields->upgrade = field->value;
        return true;
    default:
        return true;
    }
}

/* Splits "name: value" into field. False: *fault. */
static bool split_field(struct slice line, struct http1_field *field, struct http1_fault *fault)
{
    size_t n = 0;
    uint8_t underscore = 0;

    while (n < line.len && (class_of[(unsigned char)line.data[n]] & IN_TOKEN) != 0) {
        underscore |= line.data[n] == '_';
        n++;
    }
    if (n == line.len || line.data[n] != ':' || n == 0) {
        const char *text = n == line.len || n == 0 ? "a header line without a name and a colon"
                           : line.data[n] == ' ' || line.data[n] == '\t'
                               ? "white space before the colon of a header"
                               : "a header name with a byte that is not allowed there";
        if (n == 0 && line.len > 0 && line.data[0] == ':')
            text = "a header without a name";
        (void)bad(fault, 400, text);
        return false;
    }
    field->name = slice_of(line.data, n);
    field->value = slice_of(line.data + n + 1, line.len - n - 1);
    if (!http1_is_value(field->value)) {
        (void)bad(fault, 400,
                  memchr(field->value.data, '\r', field->value.len) != NULL
                      ? "a bare CR in a header"
                      : "a control byte in a header");
        return false;
    }
    while (field->value.len > 0 && (field->value.data[0] == ' ' || field->value.data[0] == '\t')) {
        field->value.data++;
        field->value.len--;
    }
    while (field->value.len > 0 && (field->value.data[field->value.len - 1] == ' ' ||
                                    field->value.data[field->value.len - 1] == '\t'))
        field->value.len--;
    field->id = name_id(field->name);
    field->named = false;
    field->underscore = underscore != 0;
    return true;
}

/* Takes the next member off a comma-separated list; false at its end. */
static bool next_member(struct slice *list, struct slice *member)
{
    size_t n;

    if (list->data == NULL)
        return false;
    n = slice_find(*list, ',');
    *member = slice_trim(slice_of(list->data, n), " \t");
    *list =
        n < list->len ? slice_of(list->data + n + 1, list->len - n - 1) : (struct slice){ NULL, 0 };
    return true;
}

/* Each option is held against each field: without a limit a head of 16 KiB would cost milliseconds.
 */
#define OPTIONS_MAX 64u

/* The options of Connection, and the fields that it names (RFC 9110 section 7.6.1). */
static bool take_connection(struct http1_fields *fields, struct slice value, unsigned *options,
                            struct http1_fault *fault)
{
    struct slice option;

    while (next_member(&value, &option)) {
        if (++*options > OPTIONS_MAX) {
            (void)bad(fault, 400, "a Connection header with too many names");
            return false;
        }
        if (option.len == 0)
            continue;
        if (slice_equal_nocase(option, SLICE("keep-alive"))) {
            fields->keep_alive = true;
            continue;
        }
        if (slice_equal_nocase(option, SLICE("close"))) {
            fields->close = true;
            continue;
        }
        if (!http1_is_token(option)) {
            (void)bad(fault, 400, "a Connection header that is not a list of names");
            return false;
        }
        for (unsigned i = 0; i < fields->count; i++)
            if (slice_equal_nocase(fields->all[i].name, option))
                fields->all[i].named = true;
    }
    return true;
}

enum http1_verdict http1_fields_parse(struct http1_fields *fields, struct slice bytes, size_t *at,
                                      unsigned limit, struct http1_fault *fault)
{
    unsigned options = 0;

    fields->count = 0;
    fields->present = 0;
    fields->hosts = 0;
    fields->length_given = fields->chunked = fields->close = fields->keep_alive = false;
    fields->host = fields->expect = fields->upgrade = (struct slice){ NULL, 0 };
    if (limit > fields->capacity)
        limit = fields->capacity;
    for (;;) {
        struct http1_field *field = &fields->all[fields->count];
        struct slice line;
        enum http1_verdict verdict = http1_line(bytes, at, &line, fault);

        if (verdict != HTTP1_DONE)
            return verdict;
        if (line.len == 0)
            break;
        if (line.data[0] == ' ' || line.data[0] == '\t')
            return bad(fault, 400,
                       fields->count == 0 ? "the first header line begins with white space"
                                          : "a header line that is folded");
        if (fields->count == limit)
            return bad(fault, 431, "too many headers");
        if (!split_field(line, field, fault) ||
            (field->id != HTTP1_OTHER && !take_field(fields, field, fault)))
            return HTTP1_BAD;
        fields->present |= 1u << field->id;
        fields->count++;
    }
    if (http1_has(fields, HTTP1_CONNECTION))
        for (unsigned i = 0; i < fields->count; i++)
            if (fields->all[i].id == HTTP1_CONNECTION &&
                !take_connection(fields, fields->all[i].value, &options, fault))
                return HTTP1_BAD;
    return HTTP1_DONE;
}

bool http1_find_field(const struct http1_fields *fields, struct slice name, struct slice *value)
{
    for (unsigned i = 0; i < fields->count; i++) {
        if (slice_equal_nocase(fields->all[i].name, name)) {
            *value = fields->all[i].value;
            return true;
        }
    }
    return false;
}

/* "name=value" parts between separators; spaces around a part do not count. */
static bool find_pair(struct slice list, char separator, struct slice name, struct slice *value)
{
    while (list.len > 0) {
        size_t n = slice_find(list, separator);
        struct slice part = slice_trim(slice_of(list.data, n), " \t");

        if (part.len > name.len && part.data[name.len] == '=' && slice_starts(part, name)) {
            *value = slice_of(part.data + name.len + 1, part.len - name.len - 1);
            return true;
        }
        if (n == list.len)
            break;
        list.data += n + 1;
        list.len -= n + 1;
    }
    return false;
}

bool http1_find_cookie(const struct http1_fields *fields, struct slice name, struct slice *value)
{
    if (!http1_has(fields, HTTP1_COOKIE))
        return false;
    for (unsigned i = 0; i < fields->count; i++)
        if (fields->all[i].id == HTTP1_COOKIE && find_pair(fields->all[i].value, ';', name, value))
            return true;
    return false;
}

bool http1_find_query(struct slice target, struct slice name, struct slice *value)
{
    size_t mark = slice_find(target, '?');

    return mark < target.len &&
           find_pair(slice_of(target.data + mark + 1, target.len - mark - 1), '&', name, value);
}
