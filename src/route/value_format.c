#include "crossfade/route/value_format.h"

/* Flags of Python's clients. */
#define PYTHON_PICKLE 1u
#define PYTHON_COMPRESSED 8u
/* Of php-memcached. */
#define PHP_TYPE 15u
#define PHP_SERIALIZED 4u
#define PHP_IGBINARY 5u
#define PHP_JSON 6u
#define PHP_COMPRESSED 16u
/* Of dalli and Cache::Memcached::Fast, which agree on them. */
#define OBJECT 1u
#define OBJECT_COMPRESSED 2u

/* The opcode PROTO of a pickle from protocol 2 on; the protocol's number is the byte behind it. */
#define PICKLE_PROTO '\x80'

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* A decimal number; memcached pads what it has decremented with spaces. */
static bool is_integer(struct slice value)
{
    size_t at = value.len > 0 && value.data[0] == '-' ? 1 : 0;
    size_t begin = at;

    while (at < value.len && is_digit(value.data[at]))
        at++;
    if (at == begin || at - begin > 20)
        return false;
    while (at < value.len && value.data[at] == ' ')
        at++;
    return at == value.len;
}

/* A document in braces or brackets, and quotes right where an object must have them. */
static bool is_json(struct slice value, bool whole)
{
    char last;
    size_t at = 1;

    if (value.len < 2 || (value.data[0] != '{' && value.data[0] != '['))
        return false;
    last = value.data[value.len - 1];
    if (whole && last != (value.data[0] == '{' ? '}' : ']'))
        return false;
    while (at < value.len && (value.data[at] == ' ' || value.data[at] == '\n'))
        at++;
    return value.data[0] == '[' || at == value.len || value.data[at] == '"' ||
           value.data[at] == '}';
}

static enum value_format pickle_format(struct slice value)
{
    unsigned protocol;

    if (value.len < 2 || value.data[0] != PICKLE_PROTO)
        return VALUE_PICKLE_OLD;
    protocol = (unsigned char)value.data[1];
    return protocol <= 2 ? VALUE_PICKLE_2 : protocol <= 4 ? VALUE_PICKLE_3 : VALUE_PICKLE_5;
}

static enum value_format by_flags(enum config_profile profile, uint32_t flags, struct slice value)
{
    switch (profile) {
    case PROFILE_PYTHON:
        if (flags & PYTHON_COMPRESSED)
            return VALUE_COMPRESSED;
        return flags & PYTHON_PICKLE ? pickle_format(value) : VALUE_OTHER;
    case PROFILE_PHP:
        if (flags & PHP_COMPRESSED)
            return VALUE_COMPRESSED;
        if ((flags & PHP_TYPE) == PHP_JSON)
            return VALUE_JSON;
        return (flags & PHP_TYPE) == PHP_SERIALIZED || (flags & PHP_TYPE) == PHP_IGBINARY
                   ? VALUE_SERIALIZED
                   : VALUE_OTHER;
    case PROFILE_RUBY:
    case PROFILE_PERL:
        if (flags & OBJECT_COMPRESSED)
            return VALUE_COMPRESSED;
        if ((flags & OBJECT) == 0)
            return VALUE_OTHER;
        return profile == PROFILE_RUBY ? VALUE_MARSHAL : VALUE_STORABLE;
    case PROFILE_NONE:
        break;
    }
    return VALUE_OTHER;
}

enum value_format value_format_of(enum config_profile profile, uint32_t flags, struct slice value,
                                  bool whole)
{
    enum value_format format = by_flags(profile, flags, value);

    if (format != VALUE_OTHER)
        return format;
    if (whole && is_integer(value))
        return VALUE_INTEGER;
    return is_json(value, whole) ? VALUE_JSON : VALUE_OTHER;
}

const char *value_format_name(enum value_format format)
{
    static const char *const names[VALUE_FORMATS] = {
        [VALUE_OTHER] = "text or bytes",
        [VALUE_INTEGER] = "integers",
        [VALUE_JSON] = "JSON",
        [VALUE_COMPRESSED] = "compressed",
        [VALUE_PICKLE_OLD] = "pickles of protocol 0 or 1",
        [VALUE_PICKLE_2] = "pickles of protocol 2",
        [VALUE_PICKLE_3] = "pickles of protocol 3 or 4",
        [VALUE_PICKLE_5] = "pickles of protocol 5",
        [VALUE_SERIALIZED] = "serialized PHP",
        [VALUE_MARSHAL] = "Ruby Marshal",
        [VALUE_STORABLE] = "Perl Storable",
    };
    return names[format];
}

bool value_guarded(enum config_profile profile, uint32_t flags, struct slice beginning)
{
    enum value_format format = by_flags(profile, flags, beginning);

    return format == VALUE_PICKLE_3 || format == VALUE_PICKLE_5;
}
