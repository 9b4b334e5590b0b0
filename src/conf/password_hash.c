/*
 * The forms of crypt(5), as libxcrypt documents them:
 *
 *   bcrypt     $2b$ cost $ 22 of salt, 31 of hash
 *   SHA-256    $5$ [rounds=N$] salt $ 43 of hash         SHA-512: $6$, 86 of hash
 *   scrypt     $7$ N 5 of r 5 of p, salt $ 43 of hash
 *   yescrypt   $y$ parameters $ salt $ 43 of hash         gost-yescrypt: $gy$
 *
 * The cost is what an administrator writes; a login has to be done with in about a second.
 */
#include "crossfade/conf/users.h"

#include <inttypes.h>

#define BCRYPT_COST_MAX 14u
#define SHA_ROUNDS_MAX 1000000u
/* Of N, which is the memory too: 2^15 blocks of 4 KiB. */
#define SCRYPT_LOG_MAX 15u

#define ADVICE                                                                                     \
    "; make the line with: htpasswd -nB USER (apache2-utils), or the part behind the colon with: " \
    "mkpasswd -m yescrypt (whois)"

static const char digits[] = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static bool is_coded(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] == '\0' || strchr(digits, text.data[i]) == NULL)
            return false;
    return true;
}

/* The part up to the next `$`, which is dropped. */
static struct slice take(struct slice *rest)
{
    size_t end = slice_find(*rest, '$');
    struct slice part = slice_of(rest->data, end);

    *rest = end < rest->len ? slice_of(rest->data + end + 1, rest->len - end - 1)
                            : slice_of(rest->data + end, 0);
    return part;
}

static bool damaged(const char *method, struct why *why)
{
    return why_set(why, "begins like a %s hash, but is none: it was cut off or changed" ADVICE,
                   method);
}

static bool costly(const char *method, const char *parameter, uint64_t cost, uint64_t most,
                   struct why *why)
{
    return why_set(why,
                   "is a %s hash with a %s of %" PRIu64 ", so that one login would keep others "
                   "waiting for seconds; at most %" PRIu64 " is taken",
                   method, parameter, cost, most);
}

static bool check_bcrypt(struct slice rest, struct why *why)
{
    uint64_t cost;
    struct slice number = take(&rest);

    if (number.len != 2 || !slice_to_u64(number, &cost) || cost < 4 || cost > 31 ||
        rest.len != 53 || !is_coded(rest))
        return damaged("bcrypt", why);
    return cost <= BCRYPT_COST_MAX || costly("bcrypt", "cost", cost, BCRYPT_COST_MAX, why);
}

static bool check_sha(struct slice rest, size_t hash_len, struct why *why)
{
    uint64_t rounds = 5000;
    struct slice salt = take(&rest);

    if (slice_starts(salt, SLICE("rounds="))) {
        if (!slice_to_u64(slice_of(salt.data + 7, salt.len - 7), &rounds) || rounds < 1000)
            return damaged("SHA", why);
        salt = take(&rest);
    }
    for (size_t i = 0; i < salt.len; i++)
        if (salt.data[i] <= ' ' || salt.data[i] > '~' || salt.data[i] == ':')
            return damaged("SHA", why);
    if (salt.len == 0 || salt.len > 16 || rest.len != hash_len || !is_coded(rest))
        return damaged("SHA", why);
    return rounds <= SHA_ROUNDS_MAX ||
           costly("SHA", "number of rounds", rounds, SHA_ROUNDS_MAX, why);
}

static unsigned digit_value(char digit)
{
    return (unsigned)(strchr(digits, digit) - digits);
}

static bool check_scrypt(struct slice rest, struct why *why)
{
    struct slice salt = take(&rest);
    unsigned cost;

    if (salt.len < 12 || salt.len > 100 || !is_coded(salt) || rest.len != 43 || !is_coded(rest))
        return damaged("scrypt", why);
    cost = digit_value(salt.data[0]);
    /* r of 32 and p of 1 are the only ones that are made. */
    if (memcmp(salt.data + 1, "U..../....", 10) != 0)
        return why_set(why, "is a scrypt hash with unusual parameters" ADVICE);
    return cost <= SCRYPT_LOG_MAX ||
           costly("scrypt", "binary logarithm of N", cost, SCRYPT_LOG_MAX, why);
}

/* Parameters: flavour, N and r, each a digit in what mkpasswd and passwd make. */
static bool check_yescrypt(struct slice rest, struct why *why)
{
    struct slice parameters = take(&rest);
    struct slice salt = take(&rest);
    unsigned cost;

    if (parameters.len == 0 || !is_coded(parameters) || salt.len == 0 || salt.len > 86 ||
        !is_coded(salt) || rest.len != 43 || !is_coded(rest))
        return damaged("yescrypt", why);
    if (parameters.len != 3 || parameters.data[0] != 'j' || digit_value(parameters.data[2]) > 31)
        return why_set(why, "is a yescrypt hash with unusual parameters" ADVICE);
    cost = digit_value(parameters.data[1]) + 1;
    return cost <= SCRYPT_LOG_MAX ||
           costly("yescrypt", "binary logarithm of N", cost, SCRYPT_LOG_MAX, why);
}

static struct slice behind(struct slice hash, size_t len)
{
    return slice_of(hash.data + len, hash.len - len);
}

bool password_hash_check(struct slice hash, struct why *why)
{
    if (hash.len >= 4 && memcmp(hash.data, "$2", 2) == 0 && hash.data[3] == '$' &&
        strchr("aby", hash.data[2]) != NULL && hash.data[2] != '\0')
        return check_bcrypt(behind(hash, 4), why);
    if (slice_starts(hash, SLICE("$5$")))
        return check_sha(behind(hash, 3), 43, why);
    if (slice_starts(hash, SLICE("$6$")))
        return check_sha(behind(hash, 3), 86, why);
    if (slice_starts(hash, SLICE("$7$")))
        return check_scrypt(behind(hash, 3), why);
    if (slice_starts(hash, SLICE("$y$")))
        return check_yescrypt(behind(hash, 3), why);
    if (slice_starts(hash, SLICE("$gy$")))
        return check_yescrypt(behind(hash, 4), why);
    if (slice_starts(hash, SLICE("$1$")) || slice_starts(hash, SLICE("$apr1$")))
        return why_set(why, "is an MD5 hash, which is guessed too fast" ADVICE);
    if (slice_starts(hash, SLICE("{SHA}")) || slice_starts(hash, SLICE("$sha1$")) ||
        slice_starts(hash, SLICE("$3$")) || slice_starts(hash, SLICE("$md5")))
        return why_set(why, "is a weak hash, which is guessed too fast" ADVICE);
    if ((hash.len == 13 || (hash.len == 20 && hash.data[0] == '_')) &&
        is_coded(hash.len == 13 ? hash : behind(hash, 1)))
        return why_set(why, "is a DES hash or plain text" ADVICE);
    if (hash.len > 0 && hash.data[0] == '$')
        return why_set(why, "is a hash of a kind that is not known here" ADVICE);
    return why_set(why, "is not hashed: it stands there in plain text" ADVICE);
}
