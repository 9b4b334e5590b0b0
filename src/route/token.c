#include "crossfade/route/token.h"

#include <endian.h>
#include <sys/random.h>

#define WORKER_SHIFT 48u
/* memcached takes an exptime of up to 30 days as from now. */
#define RELATIVE_MAX (60 * 60 * 24 * 30)

bool token_start(uint64_t *start)
{
    *start = 0;
    /* All zero would be no token. */
    while (*start == 0)
        if (getrandom(start, sizeof(*start), 0) != (ssize_t)sizeof(*start))
            return false;
    return true;
}

void token_source_init(struct token_source *source, uint64_t start, unsigned worker)
{
    ensure(start != 0 && worker < 1u << (64 - WORKER_SHIFT));
    source->start = start;
    source->next = (uint64_t)worker << WORKER_SHIFT;
}

struct token token_next(struct token_source *source)
{
    return (struct token){ { source->start, source->next++ } };
}

static void write_number(uint64_t number, unsigned bytes, char *out)
{
    for (unsigned i = 0; i < bytes; i++)
        out[i] = (char)(unsigned char)(number >> (8 * (bytes - 1 - i)));
}

/* Each read of epoch mode comes here three times. */
static uint64_t read_64(const char *bytes)
{
    uint64_t number;

    memcpy(&number, bytes, sizeof(number));
    return be64toh(number);
}

static void write_token(const struct token *token, char *out)
{
    write_number(token->words[0], 8, out);
    write_number(token->words[1], 8, out + 8);
}

static struct token read_token(const char *bytes)
{
    return (struct token){ { read_64(bytes), read_64(bytes + 8) } };
}

void epoch_write(const struct epoch *epoch, char *out)
{
    write_token(&epoch->token, out);
    write_number(epoch->written, 8, out + TOKEN_LENGTH);
    write_number(epoch->keep, 8, out + TOKEN_LENGTH + 8);
}

bool epoch_read(struct slice value, struct epoch *epoch)
{
    if (value.len != EPOCH_LENGTH)
        return false;
    epoch->token = read_token(value.data);
    epoch->written = read_64(value.data + TOKEN_LENGTH);
    epoch->keep = read_64(value.data + TOKEN_LENGTH + 8);
    return !token_is_none(&epoch->token);
}

void stamp_write(const struct token *token, uint32_t expiry, char *out)
{
    write_token(token, out);
    write_number(expiry, 4, out + TOKEN_LENGTH);
}

void stamp_read(struct slice value, struct token *token, uint32_t *expiry)
{
    ensure(value.len >= STAMP_LENGTH);
    *token = read_token(value.data);
    memcpy(expiry, value.data + TOKEN_LENGTH, sizeof(*expiry));
    *expiry = be32toh(*expiry);
}

uint32_t stamp_expiry(int64_t exptime, uint64_t now)
{
    uint64_t at;

    if (exptime == 0)
        return 0;
    if (exptime < 0)
        return 1;
    at = exptime > RELATIVE_MAX ? (uint64_t)exptime : now + (uint64_t)exptime;
    return at > UINT32_MAX ? UINT32_MAX : (uint32_t)at;
}
