/*
 * OpenSSL's EVP interface allocates with each digest (twice in 3.0, once with a context of the
 * thread's own), and so would each request. The older one does not, takes less than half the time
 * and can be copied by assignment. It is marked as deprecated, which is why it is used in this file
 * alone.
 */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "crossfade/route/digest.h"

#include "crossfade/base/ensure.h"

#include <endian.h>
#include <openssl/crypto.h>
#include <openssl/md5.h>
#include <openssl/sha.h>

_Static_assert(sizeof(SHA256_CTX) <= sizeof(struct digest), "the state has to fit");
_Static_assert(_Alignof(SHA256_CTX) <= _Alignof(struct digest), "the state has to be aligned");

#define BLOCK 64u /* of SHA-256, to which HMAC pads its key */

static SHA256_CTX *state_of(struct digest *digest)
{
    return (SHA256_CTX *)(void *)digest->state;
}

void digest_start(struct digest *digest)
{
    ensure(SHA256_Init(state_of(digest)) == 1);
}

void digest_add(struct digest *digest, struct slice data)
{
    if (data.len > 0)
        ensure(SHA256_Update(state_of(digest), data.data, data.len) == 1);
}

void digest_end(struct digest *digest, uint8_t out[DIGEST_SIZE])
{
    ensure(SHA256_Final(out, state_of(digest)) == 1);
}

void digest_key_set(struct digest_key *key, struct slice secret)
{
    uint8_t block[BLOCK] = { 0 };

    if (secret.len > BLOCK) {
        struct digest digest;
        digest_start(&digest);
        digest_add(&digest, secret);
        digest_end(&digest, block);
    } else if (secret.len > 0) {
        memcpy(block, secret.data, secret.len);
    }
    for (size_t i = 0; i < BLOCK; i++)
        block[i] ^= 0x36;
    digest_start(&key->inner);
    digest_add(&key->inner, slice_of((const char *)block, BLOCK));
    for (size_t i = 0; i < BLOCK; i++)
        block[i] ^= 0x36 ^ 0x5c;
    digest_start(&key->outer);
    digest_add(&key->outer, slice_of((const char *)block, BLOCK));
    OPENSSL_cleanse(block, sizeof(block));
}

void digest_hmac(const struct digest_key *key, struct slice data, uint8_t out[DIGEST_SIZE])
{
    struct digest digest = key->inner;

    digest_add(&digest, data);
    digest_end(&digest, out);
    digest = key->outer;
    digest_add(&digest, slice_of((const char *)out, DIGEST_SIZE));
    digest_end(&digest, out);
}

/* Behind the bytes a one bit, zeros, and the length in bits fill up the last block, or two. */
uint32_t digest_md5_word(struct slice data)
{
    unsigned char block[MD5_CBLOCK] = { 0 };
    size_t rest = data.len % MD5_CBLOCK;
    const unsigned char *from = (const unsigned char *)data.data;
    uint64_t bits = htole64((uint64_t)data.len * 8);
    MD5_CTX state;

    ensure(MD5_Init(&state) == 1);
    for (size_t left = data.len; left >= MD5_CBLOCK; left -= MD5_CBLOCK, from += MD5_CBLOCK)
        MD5_Transform(&state, from);
    if (rest > 0)
        memcpy(block, from, rest);
    block[rest] = 0x80;
    if (rest + 1 + sizeof(bits) > MD5_CBLOCK) {
        MD5_Transform(&state, block);
        memset(block, 0, sizeof(block));
    }
    memcpy(block + MD5_CBLOCK - sizeof(bits), &bits, sizeof(bits));
    MD5_Transform(&state, block);
    return state.A;
}

void base64url_write(const uint8_t *data, size_t len, char *out)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    for (size_t i = 0; i < len; i += 3) {
        uint32_t bits = (uint32_t)data[i] << 16;
        if (i + 1 < len)
            bits |= (uint32_t)data[i + 1] << 8;
        if (i + 2 < len)
            bits |= data[i + 2];
        size_t characters = len - i >= 3 ? 4 : len - i + 1;
        for (size_t c = 0; c < characters; c++)
            *out++ = alphabet[(bits >> (18 - 6 * c)) & 63];
    }
}
