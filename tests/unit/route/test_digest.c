#include "crossfade/route/digest.h"

#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

static uint8_t bytes[400];

static void fill(void)
{
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 151 + (i >> 3));
}

static struct slice part(size_t from, size_t to)
{
    return slice_of((const char *)bytes + from, to - from);
}

Test(digest, is_sha256_at_every_length_and_cut)
{
    fill();
    for (size_t len = 0; len <= 200; len++) {
        uint8_t wanted[DIGEST_SIZE], got[DIGEST_SIZE];
        cr_assert_eq(EVP_Digest(bytes, len, wanted, NULL, EVP_sha256(), NULL), 1);
        struct digest begun;
        digest_start(&begun);
        digest_add(&begun, part(0, len / 3));
        struct digest copy = begun;
        digest_add(&copy, part(len / 3, len));
        digest_end(&copy, got);
        cr_assert_arr_eq(got, wanted, DIGEST_SIZE, "length %zu", len);
        digest_add(&begun, part(len / 3, len));
        digest_end(&begun, got);
        cr_assert_arr_eq(got, wanted, DIGEST_SIZE, "a copy leaves the original alone");
    }
}

Test(digest, hmac_is_openssls_for_every_length_of_the_key)
{
    fill();
    for (size_t len = 0; len <= 140; len++) {
        uint8_t wanted[DIGEST_SIZE], got[DIGEST_SIZE];
        struct digest_key key;
        cr_assert(HMAC(EVP_sha256(), bytes, (int)len, bytes + len, 100, wanted, NULL) != NULL);
        digest_key_set(&key, part(0, len));
        for (int again = 0; again < 2; again++) {
            digest_hmac(&key, part(len, len + 100), got);
            cr_assert_arr_eq(got, wanted, DIGEST_SIZE, "key of %zu", len);
        }
    }
}

Test(digest, the_md5_word_is_of_openssls_md5_at_every_length)
{
    fill();
    for (size_t len = 0; len <= 300; len++) {
        uint8_t md5[16];
        cr_assert_eq(EVP_Digest(bytes, len, md5, NULL, EVP_md5(), NULL), 1);
        cr_assert_eq(digest_md5_word(part(0, len)),
                     md5[0] | (uint32_t)md5[1] << 8 | (uint32_t)md5[2] << 16 |
                         (uint32_t)md5[3] << 24,
                     "length %zu", len);
    }
}

Test(digest, base64url_of_rfc_4648)
{
    static const char *const rows[][2] = {
        { "", "" },
        { "f", "Zg" },
        { "fo", "Zm8" },
        { "foo", "Zm9v" },
        { "foob", "Zm9vYg" },
        { "fooba", "Zm9vYmE" },
        { "foobar", "Zm9vYmFy" },
        { "\xff\xef\xbe\xfb", "_----w" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char out[16] = "???????????????";
        size_t len = strlen(rows[i][0]);
        base64url_write((const uint8_t *)rows[i][0], len, out);
        cr_assert_eq(BASE64URL_LENGTH(len), strlen(rows[i][1]));
        cr_assert(slice_equal(slice_of(out, BASE64URL_LENGTH(len)), slice_string(rows[i][1])));
        cr_assert_eq(out[BASE64URL_LENGTH(len)], '?', "nothing is written beyond");
    }
}
