/*
 * Session tickets: AES-256-CBC and HMAC-SHA-256, as RFC 5077 section 4 proposes. There are two
 * keys, the one that seals and the one that did before it; a third would outlive every session. A
 * key that is gone takes with it what was recorded on the wire (TLS 1.2; with 1.3 each resumption
 * has a key exchange of its own).
 */
#include "tls.h"

#include "crossfade/base/clock.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct ticket_key {
    unsigned char name[16];
    unsigned char cipher[32];
    unsigned char mac[32];
};

struct tls_tickets {
    _Atomic unsigned refs;
    /* Taken in a handshake only, which has several of OpenSSL's own locks to take. */
    pthread_mutex_t mutex;
    uint64_t made; /* when the first key was; monotonic */
    struct ticket_key keys[2];
};

struct tls_tickets *tls_tickets_create(void)
{
    struct tls_tickets *tickets = calloc(1, sizeof(*tickets));

    if (tickets == NULL)
        return NULL;
    if (RAND_bytes((unsigned char *)tickets->keys, sizeof(tickets->keys)) != 1) {
        free(tickets);
        return NULL;
    }
    atomic_init(&tickets->refs, 1);
    (void)pthread_mutex_init(&tickets->mutex, NULL);
    tickets->made = clock_now();
    return tickets;
}

struct tls_tickets *tls_tickets_ref(struct tls_tickets *tickets)
{
    atomic_fetch_add(&tickets->refs, 1);
    return tickets;
}

void tls_tickets_unref(struct tls_tickets *tickets)
{
    if (tickets == NULL || atomic_fetch_sub(&tickets->refs, 1) != 1)
        return;
    (void)pthread_mutex_destroy(&tickets->mutex);
    OPENSSL_cleanse(tickets->keys, sizeof(tickets->keys));
    free(tickets);
}

/* Once a lifetime, by whoever is first after it. Without random bytes the old key stays. */
static void renew(struct tls_tickets *tickets)
{
    uint64_t now = clock_now();
    struct ticket_key fresh;

    if (now < tickets->made + SECONDS(TLS_SESSION_LIFETIME) ||
        RAND_bytes((unsigned char *)&fresh, sizeof(fresh)) != 1)
        return;
    tickets->keys[1] = tickets->keys[0];
    tickets->keys[0] = fresh;
    tickets->made = now;
    OPENSSL_cleanse(&fresh, sizeof(fresh));
}

/* The key to seal with (name NULL), or the one of that name. Which one; -1: none. */
static int take_key(struct tls_tickets *tickets, const unsigned char *name, struct ticket_key *out)
{
    int found = -1;

    (void)pthread_mutex_lock(&tickets->mutex);
    renew(tickets);
    for (int i = 0; i < 2 && found < 0; i++) {
        if (name == NULL || memcmp(name, tickets->keys[i].name, sizeof(out->name)) == 0) {
            *out = tickets->keys[i];
            found = i;
        }
    }
    (void)pthread_mutex_unlock(&tickets->mutex);
    return found;
}

static bool set_up(const struct ticket_key *key, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                   EVP_MAC_CTX *mac, int sealing)
{
    char digest[] = "SHA256";
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)key->mac,
                                          sizeof(key->mac)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };

    return EVP_MAC_CTX_set_params(mac, parameters) == 1 &&
           EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv, sealing) == 1;
}

/* 1: go on; 2: go on, and give a new ticket; 0: not one of ours, a full handshake; -1: failure. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int sealing)
{
    struct tls_context *context = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    struct ticket_key key;
    int which = take_key(context->tickets, sealing ? NULL : name, &key);
    /* With 1.3 a ticket is meant to be used once (RFC 8446 appendix C.4): each gets a successor. */
    bool renewed = which > 0 || SSL_version(ssl) >= TLS1_3_VERSION;
    int result = which < 0 ? 0 : sealing || !renewed ? 1 : 2;

    if (result != 0 && sealing) {
        memcpy(name, key.name, sizeof(key.name));
        if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1)
            result = -1;
    }
    if (result > 0 && !set_up(&key, iv, cipher, mac, sealing))
        result = -1;
    OPENSSL_cleanse(&key, sizeof(key));
    return result;
}

void tls_tickets_use(struct tls_context *context)
{
    (void)SSL_CTX_set_tlsext_ticket_key_evp_cb(context->ssl, on_ticket);
}
