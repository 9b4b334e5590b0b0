#include "crossfade/route/verifier.h"

#include "crossfade/base/clock.h"
#include "crossfade/base/hash.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdlib.h>

#define MAC_SIZE 32u
#define WAYS 4u
#define SETS (VERIFIER_REMEMBERED / WAYS)
#define USER_LIMITS 256u
#define PLACE_LIMITS 64u
#define STACK_WIPED ((size_t)32 * 1024)

/* Four for each value of the first bytes; the one that was asked for longest ago makes room. */
struct memory {
    struct {
        unsigned char mac[WAYS][MAC_SIZE];
        uint64_t used[WAYS]; /* 0: empty */
    } sets[SETS];
};

struct verifier {
    unsigned char key[MAC_SIZE];
    uint64_t seed;
    uint64_t uses;
    struct memory right;
    struct memory wrong;
    /* When all failures so far are paid for, one PACE each. */
    uint64_t user_limits[USER_LIMITS];
    uint64_t place_limits[PLACE_LIMITS];
    struct crypt_data crypt;
};

bool verifier_wish_set(struct verifier_wish *wish, struct slice user, struct slice password)
{
    /* crypt(3) ends at a NUL: the rest of such a password would not count. */
    if (user.len == 0 || user.len > USER_NAME_MAX || password.len > USER_PASSWORD_MAX ||
        slice_find(password, '\0') < password.len)
        return false;
    memcpy(wish->user, user.data, user.len);
    memcpy(wish->password, password.data, password.len);
    wish->password[password.len] = '\0';
    wish->user_len = user.len;
    wish->password_len = password.len;
    return true;
}

void verifier_wish_wipe(struct verifier_wish *wish)
{
    OPENSSL_cleanse(wish->password, sizeof(wish->password));
    wish->password_len = 0;
}

struct verifier *verifier_create(void)
{
    struct verifier *verifier = calloc(1, sizeof(*verifier));

    if (verifier == NULL)
        return NULL;
    if (RAND_bytes(verifier->key, sizeof(verifier->key)) != 1 ||
        RAND_bytes((unsigned char *)&verifier->seed, sizeof(verifier->seed)) != 1) {
        free(verifier);
        return NULL;
    }
    return verifier;
}

void verifier_destroy(struct verifier *verifier)
{
    if (verifier == NULL)
        return;
    OPENSSL_cleanse(verifier, sizeof(*verifier));
    free(verifier);
}

static struct slice user_of(const struct verifier_wish *wish)
{
    return slice_of(wish->user, wish->user_len);
}

/* Each part with its length, so that none can run into the next. */
static bool make_mac(const struct verifier *verifier, const struct verifier_wish *wish,
                     unsigned char mac[MAC_SIZE])
{
    unsigned char text[USER_NAME_MAX + USER_PASSWORD_MAX + 1024];
    const char *hash = users_hash(wish->users, user_of(wish));
    struct slice parts[] = { user_of(wish), slice_string(hash != NULL ? hash : ""),
                             slice_of(wish->password, wish->password_len) };
    unsigned mac_len = 0;
    size_t len = 0;
    bool ok;

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        ensure(parts[i].len < 1000 && len + 2 + parts[i].len <= sizeof(text));
        text[len++] = (unsigned char)(parts[i].len >> 8);
        text[len++] = (unsigned char)parts[i].len;
        memcpy(text + len, parts[i].data, parts[i].len);
        len += parts[i].len;
    }
    ok = HMAC(EVP_sha256(), verifier->key, sizeof(verifier->key), text, len, mac, &mac_len) != NULL;
    OPENSSL_cleanse(text, len);
    return ok && mac_len == MAC_SIZE;
}

static size_t set_of(const unsigned char mac[MAC_SIZE])
{
    return ((size_t)mac[0] << 8 | mac[1]) % SETS;
}

static bool remembers(struct verifier *verifier, struct memory *memory,
                      const unsigned char mac[MAC_SIZE])
{
    size_t set = set_of(mac);

    for (size_t i = 0; i < WAYS; i++) {
        if (memory->sets[set].used[i] > 0 &&
            CRYPTO_memcmp(memory->sets[set].mac[i], mac, MAC_SIZE) == 0) {
            memory->sets[set].used[i] = ++verifier->uses;
            return true;
        }
    }
    return false;
}

static void remember(struct verifier *verifier, struct memory *memory,
                     const unsigned char mac[MAC_SIZE])
{
    size_t set = set_of(mac);
    size_t oldest = 0;

    for (size_t i = 1; i < WAYS; i++)
        if (memory->sets[set].used[i] < memory->sets[set].used[oldest])
            oldest = i;
    memcpy(memory->sets[set].mac[oldest], mac, MAC_SIZE);
    memory->sets[set].used[oldest] = ++verifier->uses;
}

static uint64_t *user_limit(struct verifier *verifier, const struct verifier_wish *wish)
{
    uint64_t hash = hash_bytes(verifier->seed + wish->place, wish->user, wish->user_len);
    return &verifier->user_limits[hash % USER_LIMITS];
}

static uint64_t *place_limit(struct verifier *verifier, const struct verifier_wish *wish)
{
    return &verifier->place_limits[wish->place % PLACE_LIMITS];
}

static bool is_exceeded(uint64_t limit, uint64_t now, uint64_t burst, uint64_t pace)
{
    return limit > now && limit - now > (burst - 1) * pace;
}

static void charge(uint64_t *limit, uint64_t now, uint64_t pace, uint64_t price)
{
    *limit = (*limit > now ? *limit : now) + (pace > price ? pace : price);
}

bool verifier_recall(struct verifier *verifier, const struct verifier_wish *wish, uint64_t now,
                     enum verifier_verdict *verdict)
{
    unsigned char mac[MAC_SIZE];

    if (!make_mac(verifier, wish, mac))
        return false;
    if (remembers(verifier, &verifier->right, mac)) {
        *verdict = VERIFIER_KNOWN;
        return true;
    }
    if (remembers(verifier, &verifier->wrong, mac)) {
        *verdict = VERIFIER_WRONG_AGAIN;
        return true;
    }
    if (is_exceeded(*user_limit(verifier, wish), now, VERIFIER_USER_BURST, VERIFIER_USER_PACE) ||
        is_exceeded(*place_limit(verifier, wish), now, VERIFIER_PLACE_BURST, VERIFIER_PLACE_PACE)) {
        *verdict = VERIFIER_THROTTLED;
        return true;
    }
    return false;
}

/* crypt_r leaves blocks of the password where its calls were on the stack: below the caller's own.
 */
static __attribute__((noinline)) void wipe_stack(void)
{
    char below[STACK_WIPED];

    OPENSSL_cleanse(below, sizeof(below));
}

/* The hash of a user who is not there is that of another: it takes as long, and is never right. */
static bool is_right(struct verifier *verifier, const struct verifier_wish *wish)
{
    const char *hash = users_hash(wish->users, user_of(wish));
    const char *against = hash != NULL ? hash : users_decoy(wish->users);
    const char *made = crypt_r(wish->password, against, &verifier->crypt);
    size_t len = strlen(against);
    bool equal = made != NULL && strlen(made) == len && CRYPTO_memcmp(made, against, len) == 0;

    OPENSSL_cleanse(&verifier->crypt, sizeof(verifier->crypt));
    wipe_stack();
    return equal && hash != NULL;
}

enum verifier_verdict verifier_verify(struct verifier *verifier, const struct verifier_wish *wish,
                                      uint64_t now)
{
    uint64_t begin = clock_now();
    bool right = is_right(verifier, wish);
    uint64_t took = clock_now() - begin;
    unsigned char mac[MAC_SIZE];

    if (make_mac(verifier, wish, mac))
        remember(verifier, right ? &verifier->right : &verifier->wrong, mac);
    if (right)
        return VERIFIER_RIGHT;
    charge(user_limit(verifier, wish), now, VERIFIER_USER_PACE, VERIFIER_USER_SHARE * took);
    charge(place_limit(verifier, wish), now, VERIFIER_PLACE_PACE, VERIFIER_PLACE_SHARE * took);
    return VERIFIER_WRONG;
}
