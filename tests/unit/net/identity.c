#include "identity.h"

#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void add_alternative(X509 *certificate, const char *name)
{
    char text[128];
    X509_EXTENSION *extension;

    (void)snprintf(text, sizeof(text), "DNS:%s", name);
    extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, text);
    cr_assert_not_null(extension);
    cr_assert_eq(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

void identity_create(struct identity *identity, const char *name, int days)
{
    const char *tmp = getenv("TMPDIR");
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    X509_NAME *subject = X509_get_subject_name(certificate);
    FILE *out;

    (void)snprintf(identity->folder, sizeof(identity->folder), "%.32s/identity-XXXXXX",
                   tmp != NULL ? tmp : "/tmp");
    cr_assert_not_null(mkdtemp(identity->folder));
    (void)snprintf(identity->certificate, sizeof(identity->certificate), "%s/c.pem",
                   identity->folder);
    (void)snprintf(identity->key, sizeof(identity->key), "%s/k.pem", identity->folder);
    cr_assert_eq(X509_set_version(certificate, 2), 1);
    cr_assert_eq(ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1), 1);
    cr_assert_not_null(X509_gmtime_adj(X509_getm_notBefore(certificate), -2L * 86400));
    cr_assert_not_null(X509_gmtime_adj(X509_getm_notAfter(certificate), days * 86400L));
    cr_assert_eq(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                                            (const unsigned char *)name, -1, -1, 0),
                 1);
    cr_assert_eq(X509_set_issuer_name(certificate, subject), 1);
    cr_assert_eq(X509_set_pubkey(certificate, key), 1);
    add_alternative(certificate, name);
    cr_assert_gt(X509_sign(certificate, key, EVP_sha256()), 0);
    out = fopen(identity->certificate, "w");
    cr_assert(out != NULL && PEM_write_X509(out, certificate) == 1 && fclose(out) == 0);
    out = fopen(identity->key, "w");
    cr_assert(out != NULL && PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) == 1 &&
              fclose(out) == 0);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

void identity_remove(struct identity *identity)
{
    (void)unlink(identity->certificate);
    (void)unlink(identity->key);
    (void)rmdir(identity->folder);
}
