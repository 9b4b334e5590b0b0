#include "crossfade/conf/values.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define SECOND UINT64_C(1000000)
#define DURATION_MAX (UINT64_C(3650) * 86400 * SECOND)
#define PERCENT_DECIMALS 4u
#define WEIGHT_MAX 1000u
#define MAPPED_BITS 96u /* of ::ffff:0:0/96 */

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit duration_units[] = {
    { "d", 86400 * SECOND }, { "h", 3600 * SECOND }, { "m", 60 * SECOND },
    { "s", SECOND },         { "ms", 1000 },
};

static const struct unit size_units[] = {
    { "g", UINT64_C(1) << 30 },
    { "m", UINT64_C(1) << 20 },
    { "k", UINT64_C(1) << 10 },
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

bool why_set(struct why *why, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(why->text, sizeof(why->text), format, arguments);
    va_end(arguments);
    return false;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static struct slice skip(struct slice text, size_t len)
{
    return slice_of(text.data + len, text.len - len);
}

/* Takes the digits off the front; false without any, or when they overflow. */
static bool take_number(struct slice *text, uint64_t *out)
{
    size_t len = 0;

    while (len < text->len && is_digit(text->data[len]))
        len++;
    if (!slice_to_u64(slice_of(text->data, len), out))
        return false;
    *text = skip(*text, len);
    return true;
}

bool value_parse_duration(struct slice text, uint64_t *out, struct why *why)
{
    uint64_t number;

    if (!take_number(&text, &number))
        return why_set(why, "is no duration; write a whole number and a unit: 250ms 30s 15m 2h 7d");
    if (text.len == 0) {
        if (number == 0) {
            *out = 0;
            return true;
        }
        return why_set(why, "has no unit; write %" PRIu64 "s or %" PRIu64 "ms", number, number);
    }
    for (size_t i = 0; i < COUNT(duration_units); i++) {
        if (!slice_equal(text, slice_string(duration_units[i].name)))
            continue;
        if (number > DURATION_MAX / duration_units[i].factor)
            return why_set(why, "is longer than ten years");
        *out = number * duration_units[i].factor;
        return true;
    }
    return why_set(why, "has an unknown unit; the units are ms, s, m, h and d");
}

bool value_parse_size(struct slice text, uint64_t *out, struct why *why)
{
    uint64_t number;

    if (!take_number(&text, &number))
        return why_set(why, "is no size; write bytes, or a number with k, m or g: 512 64k 1m");
    if (text.len == 0) {
        *out = number;
        return true;
    }
    for (size_t i = 0; i < COUNT(size_units); i++) {
        if (!slice_equal_nocase(text, slice_string(size_units[i].name)))
            continue;
        if (number > UINT64_MAX / size_units[i].factor)
            return why_set(why, "is too large");
        *out = number * size_units[i].factor;
        return true;
    }
    return why_set(why, "has an unknown unit; the units are k, m and g");
}

bool value_parse_percent(struct slice text, uint32_t *out, struct why *why)
{
    uint64_t whole;
    uint64_t steps;
    uint32_t unit = PERCENT_ONE;

    if (text.len > 0 && text.data[text.len - 1] == '%')
        return why_set(why, "has a %% sign; write the number alone, 0.1 is 0.1 %%");
    if (!take_number(&text, &whole))
        return why_set(why, "is no percentage; write a number from 0 to 100, such as 0.1");
    if (whole > 100)
        return why_set(why, "is over 100 percent");
    steps = whole * PERCENT_ONE;
    if (text.len > 0) {
        if (text.data[0] != '.' || text.len == 1)
            return why_set(why, "is no percentage; write a number from 0 to 100, such as 0.1");
        text = skip(text, 1);
        if (text.len > PERCENT_DECIMALS)
            return why_set(why, "has more than four decimals; the finest step is 0.0001");
        for (size_t i = 0; i < text.len; i++) {
            if (!is_digit(text.data[i]))
                return why_set(why, "is no percentage; write a number from 0 to 100, such as 0.1");
            unit /= 10;
            steps += (uint64_t)(text.data[i] - '0') * unit;
        }
    }
    if (steps > PERCENT_ALL)
        return why_set(why, "is over 100 percent");
    *out = (uint32_t)steps;
    return true;
}

bool value_parse_bool(struct slice text, bool *out, struct why *why)
{
    if (slice_equal(text, SLICE("true")))
        *out = true;
    else if (slice_equal(text, SLICE("false")))
        *out = false;
    else
        return why_set(why, "is neither true nor false");
    return true;
}

bool value_parse_mode(struct slice text, int *out, struct why *why)
{
    int mode = 0;

    if (text.len < 3 || text.len > 4 || (text.len == 4 && text.data[0] != '0'))
        return why_set(why,
                       "is no file mode; write three octal digits after a 0, such as \"0660\"");
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '7')
            return why_set(why, "is no file mode; the digits of \"0660\" are octal, 0 to 7");
        mode = mode * 8 + (text.data[i] - '0');
    }
    *out = mode;
    return true;
}

static bool parse_host(struct slice host, struct why *why)
{
    if (host.len == 0)
        return why_set(why, "has no host; write host:port, such as 127.0.0.1:11211");
    if (host.len > VALUE_HOST_MAX)
        return why_set(why, "has a host name of more than %u bytes", VALUE_HOST_MAX);
    for (size_t i = 0; i < host.len; i++) {
        char c = host.data[i];
        if (!is_letter(c) && !is_digit(c) && c != '.' && c != '-' && c != '_')
            return why_set(why, "has a byte in its host name that no host name has");
    }
    return true;
}

static bool parse_v6(struct slice host, struct why *why)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;

    if (host.len < sizeof(text)) {
        memcpy(text, host.data, host.len);
        text[host.len] = '\0';
        if (strlen(text) == host.len && inet_pton(AF_INET6, text, &address) == 1)
            return true;
    }
    return why_set(why, "has no IPv6 address between its brackets");
}

static bool parse_unix(struct slice path, struct value_endpoint *out, struct why *why)
{
    if (path.len == 0 || path.data[0] != '/')
        return why_set(why, "needs an absolute path, such as unix:/run/app.sock");
    if (path.len > VALUE_UNIX_PATH_MAX)
        return why_set(why, "has a path of %zu bytes; a unix socket's may have %u", path.len,
                       VALUE_UNIX_PATH_MAX);
    out->path = path;
    return true;
}

bool value_parse_endpoint(struct slice text, bool weight, struct value_endpoint *out,
                          struct why *why)
{
    struct value_endpoint result = { .endpoint = text };
    struct slice rest;
    uint64_t number;

    if (slice_starts(text, SLICE("unix:"))) {
        if (!parse_unix(skip(text, 5), &result, why))
            return false;
        *out = result;
        return true;
    }
    if (text.len > 0 && text.data[0] == '/')
        return why_set(why, "is a path; write unix: in front of it");
    if (text.len > 0 && text.data[0] == '[') {
        size_t end = slice_find(text, ']');
        if (end == text.len)
            return why_set(why, "has no ] after its IPv6 address; write [::1]:11211");
        result.host = slice_of(text.data + 1, end - 1);
        if (!parse_v6(result.host, why))
            return false;
        rest = skip(text, end + 1);
    } else {
        size_t end = slice_find(text, ':');
        result.host = slice_of(text.data, end);
        if (!parse_host(result.host, why))
            return false;
        rest = skip(text, end);
    }
    if (rest.len < 2 || rest.data[0] != ':')
        return why_set(why, "has no port; write host:port, such as 127.0.0.1:11211");
    rest = skip(rest, 1);
    if (!take_number(&rest, &number))
        return why_set(why, "has a port that is no number; an IPv6 address goes into brackets");
    if (number < 1 || number > UINT16_MAX)
        return why_set(why, "has a port outside 1 to 65535");
    result.port = (uint16_t)number;
    result.endpoint.len -= rest.len;
    if (weight && rest.len > 1 && rest.data[0] == ':') {
        rest = skip(rest, 1);
        if (!take_number(&rest, &number) || number < 1 || number > WEIGHT_MAX)
            return why_set(why, "has a weight outside 1 to %u", WEIGHT_MAX);
        result.weight = (unsigned)number;
    }
    if (rest.len > 0)
        return why_set(why, "has something behind its port; write %s",
                       weight ? "host:port or host:port:weight" : "host:port");
    *out = result;
    return true;
}

static bool has_bits_beyond(const uint8_t address[16], unsigned bits)
{
    for (unsigned bit = bits; bit < 128; bit++)
        if (address[bit / 8] & (0x80u >> (bit % 8)))
            return true;
    return false;
}

bool value_parse_cidr(struct slice text, struct config_cidr *out, struct why *why)
{
    size_t slash = slice_find(text, '/');
    struct config_cidr result = { .bits = 128 };
    char address[INET6_ADDRSTRLEN];
    unsigned skipped = 0;

    if (slash == 0 || slash >= sizeof(address) || memchr(text.data, '\0', slash) != NULL)
        return why_set(why, "is no network; write 10.0.0.0/8, 10.1.2.3 or fd00::/8");
    memcpy(address, text.data, slash);
    address[slash] = '\0';
    if (inet_pton(AF_INET, address, result.address + 12) == 1) {
        result.address[10] = result.address[11] = 0xff;
        skipped = MAPPED_BITS;
    } else if (inet_pton(AF_INET6, address, result.address) != 1) {
        return why_set(why, "is no network; write 10.0.0.0/8, 10.1.2.3 or fd00::/8");
    }
    if (slash < text.len) {
        uint64_t bits;
        if (!slice_to_u64(skip(text, slash + 1), &bits) || bits > 128 - skipped)
            return why_set(why, "has a prefix length outside 0 to %u", 128 - skipped);
        result.bits = (unsigned)bits + skipped;
    }
    if (has_bits_beyond(result.address, result.bits))
        return why_set(why, "has bits set beyond its /%u; write the network's own address",
                       result.bits - skipped);
    *out = result;
    return true;
}

/* The largest unit that divides it, so that no digit is lost. */
static char *format_units(uint64_t value, const struct unit *units, size_t count, const char *base,
                          char out[VALUE_TEXT])
{
    for (size_t i = 0; i < count && value > 0; i++)
        if (value % units[i].factor == 0) {
            (void)snprintf(out, VALUE_TEXT, "%" PRIu64 "%s", value / units[i].factor,
                           units[i].name);
            return out;
        }
    (void)snprintf(out, VALUE_TEXT, "%" PRIu64 "%s", value, value > 0 ? base : "");
    return out;
}

char *value_format_duration(uint64_t microseconds, char out[VALUE_TEXT])
{
    return format_units(microseconds, duration_units, COUNT(duration_units), "us", out);
}

char *value_format_size(uint64_t bytes, char out[VALUE_TEXT])
{
    return format_units(bytes, size_units, COUNT(size_units), "", out);
}

char *value_format_percent(uint32_t steps, char out[VALUE_TEXT])
{
    int len = snprintf(out, VALUE_TEXT, "%" PRIu32, steps / PERCENT_ONE);

    if (steps % PERCENT_ONE != 0) {
        len += snprintf(out + len, VALUE_TEXT - (size_t)len, ".%04" PRIu32, steps % PERCENT_ONE);
        while (out[len - 1] == '0')
            out[--len] = '\0';
    }
    return out;
}

char *value_format_cidr(const struct config_cidr *cidr, char out[VALUE_TEXT])
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    char address[INET6_ADDRSTRLEN];
    bool v4 = cidr->bits >= MAPPED_BITS && memcmp(cidr->address, mapped, sizeof(mapped)) == 0;
    const char *text = v4 ? inet_ntop(AF_INET, cidr->address + 12, address, sizeof(address))
                          : inet_ntop(AF_INET6, cidr->address, address, sizeof(address));

    ensure(text != NULL);
    (void)snprintf(out, VALUE_TEXT, "%s/%u", text, cidr->bits - (v4 ? MAPPED_BITS : 0));
    return out;
}

bool value_is_token(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (!is_letter(c) && !is_digit(c) && (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL))
            return false;
    }
    return text.len > 0;
}

bool value_is_word(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!is_letter(text.data[i]) && !is_digit(text.data[i]) && text.data[i] != '_' &&
            text.data[i] != '-')
            return false;
    return true;
}
