/*
 * Base64 (RFC 4648) to bytes: the standard alphabet and the one for URLs, even mixed, padded or
 * not; and bytes to the standard one. (base64url is in route/digest.h.)
 */
#ifndef CROSSFADE_BASE_BASE64_H
#define CROSSFADE_BASE_BASE64_H

#include "crossfade/base/ensure.h"
#include "crossfade/base/slice.h"

#include <stdbool.h>
#include <stddef.h>

/* Room that the bytes of so much text need. */
#define BASE64_DECODED_MAX(text) ((text) / 4u * 3u + 3u)

/*
 * Writes the bytes to out, which has room for BASE64_DECODED_MAX(text.len). False when the text is
 * not base64: another character, a length that cannot be, bits that are left over and not zero.
 */
bool base64_decode(struct slice text, char *out, size_t *len) MUST_CHECK;

/* Characters for so many bytes, padding included. */
#define BASE64_ENCODED(bytes) (((bytes) + 2u) / 3u * 4u)

/* Writes the standard alphabet, padded and not terminated, to out, which has room; returns the
 * length. */
size_t base64_encode(struct slice bytes, char *out);

#endif
