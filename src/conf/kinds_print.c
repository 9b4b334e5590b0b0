#include "loader.h"

#include <inttypes.h>

static uint64_t fetch(const struct schema_row *row, const void *field)
{
    uint8_t byte;
    uint32_t word;
    uint64_t value;

    switch (row->width) {
    case sizeof(byte):
        memcpy(&byte, field, sizeof(byte));
        return byte;
    case sizeof(word):
        memcpy(&word, field, sizeof(word));
        return word;
    default:
        ensure(row->width == sizeof(value));
        memcpy(&value, field, sizeof(value));
        return value;
    }
}

static void print_text(const char *text, FILE *out)
{
    fputs(text == NULL || text[0] == '\0' ? "\"\"" : text, out);
}

static const char *choice_name(const struct schema_row *row, uint64_t value)
{
    const struct schema_choice *choice = row->choices;

    while (choice->name != NULL && choice->value != value)
        choice++;
    ensure(choice->name != NULL);
    return choice->name;
}

static void print_identity(const struct config_identity *identity, FILE *out)
{
    static const char *const names[] = { [IDENTITY_HEADER] = "header:",
                                         [IDENTITY_COOKIE] = "cookie:",
                                         [IDENTITY_QUERY] = "query:",
                                         [IDENTITY_IP] = "ip",
                                         [IDENTITY_ISSUE] = "issue:" };

    fprintf(out, "%s%s", names[identity->kind], identity->name != NULL ? identity->name : "");
}

static void print_pair(const char *name, const char *separator, const char *value, FILE *out)
{
    if (name == NULL)
        fputs("any", out);
    else if (value == NULL)
        fputs(name, out);
    else
        fprintf(out, "%s%s%s", name, separator, value);
}

void kind_print(const struct config *config, const struct schema_row *row, enum schema_kind kind,
                const void *field, FILE *out)
{
    const void *start = (const char *)field - row->offset;
    const struct config_endpoint *endpoint = field;
    char text[VALUE_TEXT];
    char *string;
    int mode;
    int64_t uid;

    switch (kind) {
    case SCHEMA_TEXT:
    case SCHEMA_NAME:
    case SCHEMA_PATH:
    case SCHEMA_NAMESPACE:
        memcpy(&string, field, sizeof(string));
        if (string == NULL && row->note != NULL)
            fputs(row->note, out);
        else
            print_text(string, out);
        break;
    case SCHEMA_NUMBER:
    case SCHEMA_WORKERS:
        fprintf(out, "%" PRIu64, fetch(row, field));
        break;
    case SCHEMA_SIZE:
        fputs(value_format_size(fetch(row, field), text), out);
        break;
    case SCHEMA_DURATION:
        fputs(value_format_duration(fetch(row, field), text), out);
        break;
    case SCHEMA_PERCENT:
        fputs(value_format_percent((uint32_t)fetch(row, field), text), out);
        break;
    case SCHEMA_BOOL:
        fputs(fetch(row, field) != 0 ? "true" : "false", out);
        break;
    case SCHEMA_CHOICE:
        fputs(choice_name(row, fetch(row, field)), out);
        break;
    case SCHEMA_MODE:
        memcpy(&mode, field, sizeof(mode));
        if (mode < 0)
            fputs(row->note, out);
        else
            fprintf(out, "%04o", (unsigned)mode);
        break;
    case SCHEMA_ENDPOINT:
    case SCHEMA_SERVER: /* the endpoint is the first field of a backend */
        fputs(endpoint->text, out);
        break;
    case SCHEMA_ADMIN:
        fputs(endpoint->text != NULL ? endpoint->text : "off", out);
        break;
    case SCHEMA_ARM:
        if (fetch(row, field) < config->arm_count)
            fputs(config->arms[fetch(row, field)].name, out);
        else
            fputs("none", out);
        break;
    case SCHEMA_UID:
        memcpy(&uid, field, sizeof(uid));
        if (uid < 0)
            fputs(row->note, out);
        else
            fprintf(out, "%" PRId64, uid);
        break;
    case SCHEMA_HASH_TAG:
        if (*(const char *)field == '\0')
            fputs("\"\"", out);
        else
            fwrite(field, 1, 2, out);
        break;
    case SCHEMA_PATTERN: {
        const struct config_rule *rule = start;
        fprintf(out, "%s%s", rule->match, rule->prefix ? "*" : "");
        break;
    }
    case SCHEMA_IDENTITY:
        print_identity(field, out);
        break;
    case SCHEMA_HEADER: {
        const struct config_match *match = start;
        print_pair(match->header, ": ", match->header_value, out);
        break;
    }
    case SCHEMA_COOKIE: {
        const struct config_match *match = start;
        print_pair(match->cookie, "=", match->cookie_value, out);
        break;
    }
    case SCHEMA_NETWORK:
        fputs(value_format_cidr(field, text), out);
        break;
    case SCHEMA_LOG_TARGET:
        fputs(row->standard, out);
        break;
    case SCHEMA_SECTION:
    case SCHEMA_LIST:
    case SCHEMA_NAMED:
    case SCHEMA_MATCHES:
        ensure(kind > SCHEMA_MATCHES); /* those are no values */
        break;
    }
}
