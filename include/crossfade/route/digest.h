/*
 * SHA-256 (FIPS 180-4), HMAC-SHA256 (RFC 2104) and base64url (RFC 4648 section 5, no padding) for
 * the data path: no allocation, no lock, any thread. A state may be copied, so that a common
 * beginning (a salt, a key) is taken in once.
 */
#ifndef CROSSFADE_ROUTE_DIGEST_H
#define CROSSFADE_ROUTE_DIGEST_H

#include "crossfade/base/slice.h"

#include <stddef.h>
#include <stdint.h>

#define DIGEST_SIZE 32u

struct digest {
    uint64_t state[16]; /* OpenSSL's, opaque */
};

void digest_start(struct digest *digest);
void digest_add(struct digest *digest, struct slice data);
/* The state is used up. */
void digest_end(struct digest *digest, uint8_t out[DIGEST_SIZE]);

struct digest_key {
    struct digest inner; /* after the padded key */
    struct digest outer;
};

void digest_key_set(struct digest_key *key, struct slice secret);
void digest_hmac(const struct digest_key *key, struct slice data, uint8_t out[DIGEST_SIZE]);

/* The first four bytes of the MD5 (RFC 1321), little-endian: what libmemcached takes for a key's
 * hash. */
uint32_t digest_md5_word(struct slice data);

/* Characters for so many bytes. */
#define BASE64URL_LENGTH(bytes) (((bytes)*4u + 2u) / 3u)
/* Writes BASE64URL_LENGTH(len) characters, not terminated. */
void base64url_write(const uint8_t *data, size_t len, char *out);

#endif
