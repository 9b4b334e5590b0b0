#include "loader.h"

#include <inttypes.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#define HEADER_VALUE_MAX 1024u
#define KEY_LENGTH_MAX 250u

static struct slice skip(struct slice text, size_t len)
{
    return slice_of(text.data + len, text.len - len);
}

static char *keep(struct loader *loader, struct slice text)
{
    return arena_dup(&loader->source->arena, text);
}

/* A field is as wide as its type in config.h: bool, enum, unsigned, size_t or uint64_t. */
static void store(const struct schema_row *row, void *field, uint64_t value)
{
    uint8_t byte = (uint8_t)value;
    uint32_t word = (uint32_t)value;

    switch (row->width) {
    case 0: /* nothing is kept: there is only one choice in this version */
        break;
    case sizeof(byte):
        memcpy(field, &byte, sizeof(byte));
        break;
    case sizeof(word):
        memcpy(field, &word, sizeof(word));
        break;
    default:
        ensure(row->width == sizeof(value));
        memcpy(field, &value, sizeof(value));
        break;
    }
}

static void store_text(const struct schema_row *row, void *field, char *text)
{
    if (row->width > 0)
        memcpy(field, &text, sizeof(text));
}

static bool check_length(const struct schema_row *row, struct slice text, struct why *why)
{
    if (text.len < row->low)
        return why_set(why, "is empty; give it a value");
    if (row->high > 0 && text.len > row->high)
        return why_set(why, "is %zu bytes long; at most %" PRIu64 " are allowed", text.len,
                       row->high);
    return true;
}

static bool check_range(const struct schema_row *row, enum schema_kind kind, uint64_t value,
                        struct why *why)
{
    char bound[VALUE_TEXT];
    uint64_t limit = value < row->low ? row->low : row->high;

    if (value >= row->low && (row->high == 0 || value <= row->high))
        return true;
    if (kind == SCHEMA_DURATION)
        value_format_duration(limit, bound);
    else if (kind == SCHEMA_SIZE)
        value_format_size(limit, bound);
    else
        (void)snprintf(bound, sizeof(bound), "%" PRIu64, limit);
    return why_set(why, "is out of range; %s %s is allowed",
                   value < row->low ? "at least" : "at most", bound);
}

static bool parse_number(const struct schema_row *row, struct slice text, void *field,
                         struct why *why)
{
    uint64_t value;

    if (!slice_to_u64(text, &value))
        return why_set(why, "is no whole number");
    if (!check_range(row, SCHEMA_NUMBER, value, why))
        return false;
    store(row, field, value);
    return true;
}

/* "none, fanout or epoch"; only those that this version has if `available`. */
static void list_choices(const struct schema_choice *choices, bool available, char *out,
                         size_t size)
{
    size_t at = 0;
    const struct schema_choice *last = NULL;

    out[0] = '\0';
    for (const struct schema_choice *choice = choices; choice->name != NULL; choice++)
        if (!available || !choice->later)
            last = choice;
    for (const struct schema_choice *choice = choices; choice->name != NULL && at < size; choice++)
        if (!available || !choice->later)
            at += (size_t)snprintf(out + at, size - at, "%s%s",
                                   at == 0          ? ""
                                   : choice == last ? " or "
                                                    : ", ",
                                   choice->name);
}

static bool parse_choice(const struct schema_row *row, struct slice text, void *field,
                         struct why *why)
{
    struct nearest nearest;
    char names[128];
    char hint[96];

    nearest_begin(&nearest, text);
    for (const struct schema_choice *choice = row->choices; choice->name != NULL; choice++) {
        if (slice_equal(text, slice_string(choice->name))) {
            if (choice->later) {
                list_choices(row->choices, true, names, sizeof(names));
                return why_set(why, "is not available in this version; use %s", names);
            }
            store(row, field, choice->value);
            return true;
        }
        nearest_offer(&nearest, slice_string(choice->name));
    }
    list_choices(row->choices, false, names, sizeof(names));
    return why_set(why, "is not known here; use %s%s", names,
                   nearest_hint(&nearest, hint, sizeof(hint)));
}

static bool parse_bool(const struct schema_row *row, struct slice text, void *field,
                       struct why *why)
{
    bool value;

    if (!value_parse_bool(text, &value, why))
        return false;
    if (value && (row->flags & SCHEMA_TRUE_LATER))
        return why_set(why, "is not available in this version; use false");
    store(row, field, value);
    return true;
}

static bool parse_text(struct loader *loader, const struct schema_row *row, enum schema_kind kind,
                       struct slice text, void *field, struct why *why)
{
    if (!check_length(row, text, why))
        return false;
    if (kind == SCHEMA_NAME && !value_is_word(text))
        return why_set(why, "may hold letters, digits, _ and - only");
    if (kind == SCHEMA_PATH && (text.len == 0 || text.data[0] != '/'))
        return why_set(why, "is no absolute path; begin it with /");
    store_text(row, field, text.len == 0 && (row->flags & SCHEMA_OFF) ? NULL : keep(loader, text));
    return true;
}

static bool parse_endpoint(struct loader *loader, struct slice text, bool weight,
                           struct config_endpoint *out, unsigned *out_weight, struct why *why)
{
    struct value_endpoint parts;

    if (!value_parse_endpoint(text, weight, &parts, why))
        return false;
    *out = (struct config_endpoint){ .text = keep(loader, parts.endpoint), .port = parts.port };
    if (parts.path.data != NULL)
        out->path = keep(loader, parts.path);
    else
        out->host = keep(loader, parts.host);
    *out_weight = parts.weight;
    return true;
}

static bool parse_server(struct loader *loader, struct slice text, struct config_backend *backend,
                         struct why *why)
{
    unsigned weight;

    if (!parse_endpoint(loader, text, true, &backend->endpoint, &weight, why))
        return false;
    if (weight > 0 && backend->weight > 0)
        return why_set(why, "has a weight, and so has the key weight; give one of them");
    if (weight > 0)
        backend->weight = weight;
    return true;
}

static bool parse_admin(struct loader *loader, struct slice text, struct config_endpoint *out,
                        struct why *why)
{
    unsigned weight;

    if (slice_equal(text, SLICE("off")))
        return true;
    if (slice_starts(text, SLICE("unix:")))
        return why_set(why, "is a unix socket; write host:port, or off");
    return parse_endpoint(loader, text, false, out, &weight, why);
}

static bool parse_arm(struct loader *loader, const struct schema_row *row, struct slice text,
                      void *field, struct why *why)
{
    const struct config *config = loader->config;
    int index = config_arm_index(config, text);
    struct nearest nearest;
    char hint[96];

    if (index >= 0) {
        store(row, field, (uint64_t)index);
        return true;
    }
    nearest_begin(&nearest, text);
    for (size_t i = 0; i < config->arm_count; i++)
        if (config->arms[i].name != NULL)
            nearest_offer(&nearest, slice_string(config->arms[i].name));
    return why_set(why, "is no arm; name one of those under arms%s",
                   nearest_hint(&nearest, hint, sizeof(hint)));
}

/* 2^32 - 1 is what the system calls use for nobody. */
static bool parse_uid(struct slice text, int64_t *out, struct why *why)
{
    uint64_t uid;

    if (!slice_to_u64(text, &uid))
        return why_set(why, "is no number of a user; ask for it with id -u NAME");
    if (uid >= UINT32_MAX)
        return why_set(why, "is out of range; at most %" PRIu32 " is allowed", UINT32_MAX - 1);
    *out = (int64_t)uid;
    return true;
}

/* At the "${" of the rest; appends the variable's value to out. */
static bool expand(struct slice *rest, char *out, size_t size, size_t *len, struct why *why)
{
    size_t end = slice_find(*rest, '}');
    struct slice name = slice_of(rest->data + 2, end < rest->len ? end - 2 : 0);
    char variable[64];
    const char *value;

    if (name.len == 0 || name.len >= sizeof(variable))
        return why_set(why, "has a $ without a {NAME}; write ${NAME} for a variable's value");
    memcpy(variable, name.data, name.len);
    variable[name.len] = '\0';
    value = getenv(variable);
    if (value == NULL)
        return why_set(why, "needs the environment variable %s, which is not set", variable);
    if (strlen(value) >= size - *len)
        return why_set(why, "is too long with the value of %s", variable);
    memcpy(out + *len, value, strlen(value));
    *len += strlen(value);
    *rest = skip(*rest, end + 1);
    return true;
}

static bool parse_namespace(struct loader *loader, const struct schema_row *row, struct slice text,
                            char *field, struct why *why)
{
    char expanded[256];
    size_t len = 0;
    bool varies = false;
    struct slice result;

    while (text.len > 0) {
        if (text.data[0] == '$') {
            varies = true;
            if (text.len < 2 || text.data[1] != '{')
                return why_set(why,
                               "has a $ without a {NAME}; write ${NAME} for a variable's value");
            if (!expand(&text, expanded, sizeof(expanded), &len, why))
                return false;
        } else {
            if (len == sizeof(expanded))
                return why_set(why, "is too long; at most %" PRIu64 " bytes are allowed",
                               row->high);
            expanded[len++] = text.data[0];
            text = skip(text, 1);
        }
    }
    result = slice_of(expanded, len);
    if (!value_is_word(result))
        return why_set(why, "may hold letters, digits, _ and - only%s",
                       varies ? " after its variables are put in" : "");
    if (!check_length(row, result, why))
        return false;
    if (varies && len == 0)
        return why_set(why, "is empty after its variables are put in; set them");
    store_text(row, field, keep(loader, result));
    memcpy(field - row->offset + row->given_offset, &varies, sizeof(varies));
    return true;
}

static bool parse_pattern(struct loader *loader, struct slice text, struct config_rule *rule,
                          struct why *why)
{
    bool prefix = text.len > 0 && text.data[text.len - 1] == '*';

    if (text.len == 0)
        return why_set(why, "is empty; write a key, or * for every key");
    if (prefix)
        text.len--;
    if (text.len > KEY_LENGTH_MAX)
        return why_set(why, "is longer than the %u bytes that a key can have", KEY_LENGTH_MAX);
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.data[i] <= ' ')
            return why_set(why, "has white space in it, which no key has");
    if (slice_find(text, '*') < text.len)
        return why_set(why,
                       "has a * that is not at its end; only a beginning of keys can be given");
    rule->match = keep(loader, text);
    rule->prefix = prefix;
    return true;
}

static bool check_header_name(struct slice name, struct why *why)
{
    if (!value_is_token(name))
        return why_set(why, "has no name of a header field in it; write X-User, for example");
    if (slice_find(name, '_') < name.len)
        return why_set(why, "names a header field with _, which is removed from every request");
    return true;
}

static bool parse_identity(struct loader *loader, struct slice text, struct config_identity *out,
                           struct why *why)
{
    static const struct {
        const char *name;
        enum config_identity_kind kind;
    } kinds[] = { { "header", IDENTITY_HEADER },
                  { "cookie", IDENTITY_COOKIE },
                  { "query", IDENTITY_QUERY },
                  { "issue", IDENTITY_ISSUE } };
    size_t colon = slice_find(text, ':');
    struct slice kind = slice_of(text.data, colon);
    struct slice name = colon < text.len ? skip(text, colon + 1) : SLICE("");
    struct nearest nearest;
    char hint[96];

    nearest_begin(&nearest, kind);
    nearest_offer(&nearest, SLICE("ip"));
    if (slice_equal(text, SLICE("ip"))) {
        out->kind = IDENTITY_IP;
        return true;
    }
    if (slice_equal(kind, SLICE("token")))
        return why_set(why,
                       "is not available in this version; use header, cookie, query, ip or issue");
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        nearest_offer(&nearest, slice_string(kinds[i].name));
        if (!slice_equal(kind, slice_string(kinds[i].name)))
            continue;
        if (kinds[i].kind == IDENTITY_HEADER && !check_header_name(name, why))
            return false;
        if (!value_is_token(name))
            return why_set(why, "has no usable name; write %s:NAME", kinds[i].name);
        out->kind = kinds[i].kind;
        out->name = keep(loader, name);
        return true;
    }
    return why_set(why, "is none of header:NAME, cookie:NAME, query:NAME, ip and issue:NAME%s",
                   nearest_hint(&nearest, hint, sizeof(hint)));
}

static bool parse_header(struct loader *loader, struct slice text, struct config_match *match,
                         struct why *why)
{
    size_t colon = slice_find(text, ':');
    struct slice name = slice_of(text.data, colon);
    struct slice value;

    if (!check_header_name(name, why))
        return false;
    if (colon < text.len) {
        value = slice_trim(skip(text, colon + 1), " ");
        if (value.len == 0)
            return why_set(why, "has no value behind the colon; leave the colon out for any value");
        if (value.len > HEADER_VALUE_MAX)
            return why_set(why, "has a value of more than %u bytes", HEADER_VALUE_MAX);
        match->header_value = keep(loader, value);
    }
    match->header = keep(loader, name);
    return true;
}

static bool parse_cookie(struct loader *loader, struct slice text, struct config_match *match,
                         struct why *why)
{
    size_t equals = slice_find(text, '=');
    struct slice name = slice_of(text.data, equals);
    struct slice value;

    if (!value_is_token(name))
        return why_set(why,
                       "has no name of a cookie in it; write name=value, or name for any value");
    if (equals < text.len) {
        value = skip(text, equals + 1);
        if (value.len > HEADER_VALUE_MAX)
            return why_set(why, "has a value of more than %u bytes", HEADER_VALUE_MAX);
        for (size_t i = 0; i < value.len; i++)
            if (strchr(" \",;\\", value.data[i]) != NULL)
                return why_set(why, "has a byte in its value that no cookie has");
        match->cookie_value = keep(loader, value);
    }
    match->cookie = keep(loader, name);
    return true;
}

/* The cores that this process may run on, which a container or taskset may have narrowed. */
static unsigned count_cores(void)
{
    cpu_set_t cores;
    long online;

    if (sched_getaffinity(0, sizeof(cores), &cores) == 0 && CPU_COUNT(&cores) > 0)
        return (unsigned)CPU_COUNT(&cores);
    online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (unsigned)online : 1;
}

static bool parse_workers(const struct schema_row *row, struct slice text, void *field,
                          struct why *why)
{
    unsigned cores = count_cores();

    if (slice_equal(text, SLICE("auto"))) {
        store(row, field, cores < row->high ? cores : row->high);
        return true;
    }
    if (parse_number(row, text, field, why))
        return true;
    if (text.len == 0 || text.data[0] < '0' || text.data[0] > '9')
        return why_set(why, "is neither a whole number nor auto");
    return false;
}

static bool parse_log_target(struct slice text, struct why *why)
{
    if (slice_equal(text, SLICE("off")))
        return true;
    if (slice_equal(text, SLICE("stdout")) || (text.len > 0 && text.data[0] == '/'))
        return why_set(why, "is not available in this version; use off");
    return why_set(why, "is neither off, stdout nor an absolute path");
}

static bool parse_hash_tag(struct slice text, char *field, struct why *why)
{
    if (text.len != 0 && (text.len != 2 || text.data[0] == ' ' || text.data[1] == ' '))
        return why_set(why,
                       "is no hash tag; write the opening and the closing byte, such as \"{}\"");
    memcpy(field, text.len == 2 ? text.data : "\0", 2);
    return true;
}

static bool has_control_bytes(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.data[i] < ' ' || text.data[i] == 0x7f)
            return true;
    return false;
}

bool kind_parse(struct loader *loader, const struct schema_row *row, enum schema_kind kind,
                struct slice text, void *field, struct why *why)
{
    char *start = (char *)field - row->offset; /* of the section's structure */
    uint64_t number;
    uint32_t steps;
    unsigned weight;
    int mode;
    bool given = true;

    if (has_control_bytes(text))
        return why_set(why, "has a control byte (a tab, a line end, ...) in it; take it out");
    switch (kind) {
    case SCHEMA_TEXT:
    case SCHEMA_NAME:
    case SCHEMA_PATH:
        return parse_text(loader, row, kind, text, field, why);
    case SCHEMA_NUMBER:
        return parse_number(row, text, field, why);
    case SCHEMA_SIZE:
    case SCHEMA_DURATION:
        if (!(kind == SCHEMA_SIZE ? value_parse_size : value_parse_duration)(text, &number, why) ||
            !check_range(row, kind, number, why))
            return false;
        store(row, field, number);
        return true;
    case SCHEMA_PERCENT:
        if (!value_parse_percent(text, &steps, why))
            return false;
        store(row, field, steps);
        memcpy(start + row->given_offset, &given, sizeof(given));
        return true;
    case SCHEMA_BOOL:
        return parse_bool(row, text, field, why);
    case SCHEMA_CHOICE:
        return parse_choice(row, text, field, why);
    case SCHEMA_MODE:
        if (!value_parse_mode(text, &mode, why))
            return false;
        store(row, field, (uint64_t)mode);
        return true;
    case SCHEMA_ENDPOINT:
        return parse_endpoint(loader, text, false, field, &weight, why);
    case SCHEMA_ADMIN:
        return parse_admin(loader, text, field, why);
    case SCHEMA_SERVER:
        return parse_server(loader, text, field, why);
    case SCHEMA_ARM:
        return parse_arm(loader, row, text, field, why);
    case SCHEMA_UID:
        return parse_uid(text, field, why);
    case SCHEMA_NAMESPACE:
        return parse_namespace(loader, row, text, field, why);
    case SCHEMA_HASH_TAG:
        return parse_hash_tag(text, field, why);
    case SCHEMA_PATTERN:
        return parse_pattern(loader, text, (void *)start, why);
    case SCHEMA_IDENTITY:
        return parse_identity(loader, text, field, why);
    case SCHEMA_HEADER:
        return parse_header(loader, text, (void *)start, why);
    case SCHEMA_COOKIE:
        return parse_cookie(loader, text, (void *)start, why);
    case SCHEMA_NETWORK:
        return value_parse_cidr(text, field, why);
    case SCHEMA_WORKERS:
        return parse_workers(row, text, field, why);
    case SCHEMA_LOG_TARGET:
        return parse_log_target(text, why);
    case SCHEMA_SECTION:
    case SCHEMA_LIST:
    case SCHEMA_NAMED:
    case SCHEMA_MATCHES:
        break;
    }
    ensure(kind > SCHEMA_MATCHES); /* those are no values */
    return false;
}
