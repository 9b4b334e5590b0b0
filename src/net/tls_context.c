#include "tls.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of TLS 1.2; those of 1.3 are OpenSSL's default, which are all good. */
static const char ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20";

static void report(struct tls_reporter *reporter, bool fault, const char *key, const char *format,
                   va_list arguments) __attribute__((format(printf, 4, 0)));

static void report(struct tls_reporter *reporter, bool fault, const char *key, const char *format,
                   va_list arguments)
{
    char text[1024];

    (void)vsnprintf(text, sizeof(text), format, arguments);
    reporter->failed = reporter->failed || fault;
    reporter->report(reporter->context, fault, key, text);
}

void tls_fault(struct tls_reporter *reporter, const char *key, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    report(reporter, true, key, format, arguments);
    va_end(arguments);
}

void tls_warning(struct tls_reporter *reporter, const char *key, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    report(reporter, false, key, format, arguments);
    va_end(arguments);
}

/* What holds for both sides. */
static struct tls_context *create(const SSL_METHOD *method, bool server)
{
    struct tls_context *context = calloc(1, sizeof(*context));

    if (context == NULL)
        return NULL;
    atomic_init(&context->refs, 1);
    context->server = server;
    context->ssl = SSL_CTX_new(method);
    context->socket = tls_stream_socket();
    if (context->ssl == NULL || context->socket == NULL ||
        SSL_CTX_set_min_proto_version(context->ssl, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_cipher_list(context->ssl, ciphers) != 1) {
        tls_context_unref(context);
        return NULL;
    }
    (void)SSL_CTX_set_app_data(context->ssl, context);
    /* An end without the end of TLS would cost the session, too; tls_stream.c knows it all the
     * same. */
    (void)SSL_CTX_set_options(context->ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                                SSL_OP_CIPHER_SERVER_PREFERENCE |
                                                SSL_OP_IGNORE_UNEXPECTED_EOF);
    /*
     * An idle connection holds no buffers; a write that has to wait may come from another place
     * when it is repeated; and after a record without data a read returns, so that a peer that
     * sends nothing else keeps no worker busy.
     */
    (void)SSL_CTX_set_mode(context->ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                             SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    (void)SSL_CTX_clear_mode(context->ssl, SSL_MODE_AUTO_RETRY);
    /* One recv for a record, not one for its header and another for the rest. */
    SSL_CTX_set_read_ahead(context->ssl, 1);
    (void)SSL_CTX_set_timeout(context->ssl, TLS_SESSION_LIFETIME);
    return context;
}

/* The context as it is made, or NULL when something was wrong. */
static struct tls_context *finish(struct tls_context *context, struct tls_reporter *reporter)
{
    ERR_clear_error();
    if (!reporter->failed)
        return context;
    tls_context_unref(context);
    return NULL;
}

static void load_identity(struct tls_context *context, const char *certificate, const char *key,
                          struct tls_reporter *reporter)
{
    tls_load_certificate(context, certificate, "certificate", reporter);
    if (key != NULL)
        tls_load_key(context, key, "key", reporter);
    else if (context->files[TLS_CERTIFICATE].path != NULL)
        tls_load_key(context, certificate, "certificate", reporter);
}

static bool add_authority(EVP_MD_CTX *digest, const X509 *authority)
{
    unsigned char fingerprint[EVP_MAX_MD_SIZE];
    unsigned len;

    return X509_digest(authority, EVP_sha256(), fingerprint, &len) == 1 &&
           EVP_DigestUpdate(digest, fingerprint, len) == 1;
}

/*
 * A session is resumed only where it was made, and as long as the same authorities are trusted:
 * what a client has proved elsewhere or to others counts for nothing here.
 */
static bool set_session_id(struct tls_context *context)
{
    unsigned char id[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    STACK_OF(X509) *authorities = X509_STORE_get1_all_certs(SSL_CTX_get_cert_store(context->ssl));
    char mode = (char)(context->verify ? (context->optional ? 'o' : 'r') : 'n');
    bool done = digest != NULL && authorities != NULL &&
                EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1 &&
                EVP_DigestUpdate(digest, context->name, strlen(context->name) + 1) == 1 &&
                EVP_DigestUpdate(digest, &mode, 1) == 1;

    for (int i = 0; done && i < sk_X509_num(authorities); i++)
        done = add_authority(digest, sk_X509_value(authorities, i));
    done = done && EVP_DigestFinal_ex(digest, id, &len) == 1 &&
           SSL_CTX_set_session_id_context(context->ssl, id, len) == 1;
    sk_X509_pop_free(authorities, X509_free);
    EVP_MD_CTX_free(digest);
    return done;
}

struct tls_context *tls_context_server(const struct config_tls *config, const char *name,
                                       struct tls_tickets *tickets, tls_report report_function,
                                       void *report_context)
{
    struct tls_reporter reporter = { report_function, report_context, false };
    struct tls_context *context = create(TLS_server_method(), true);

    if (context == NULL || (context->name = strdup(name)) == NULL) {
        tls_context_unref(context);
        tls_fault(&reporter, "", "out of memory");
        return NULL;
    }
    context->tickets = tls_tickets_ref(tickets);
    tls_tickets_use(context);
    (void)SSL_CTX_set_session_cache_mode(context->ssl, SSL_SESS_CACHE_OFF);
    load_identity(context, config->certificate, config->key, &reporter);
    if (config->client_ca != NULL) {
        context->verify = true;
        context->optional = config->client == TLS_CLIENT_OPTIONAL;
        tls_load_ca(context, config->client_ca, "client_ca", &reporter);
        SSL_CTX_set_verify(
            context->ssl,
            SSL_VERIFY_PEER | (context->optional ? 0 : SSL_VERIFY_FAIL_IF_NO_PEER_CERT), NULL);
    }
    if (!reporter.failed && !set_session_id(context))
        tls_fault(&reporter, "", "out of memory");
    return finish(context, &reporter);
}

static const char *authorities(const struct config_server_tls *config)
{
    return !config->verify ? NULL : config->ca != NULL ? config->ca : tls_system_ca();
}

struct tls_context *tls_context_client(const struct config_server_tls *config,
                                       tls_report report_function, void *report_context)
{
    struct tls_reporter reporter = { report_function, report_context, false };
    struct tls_context *context = create(TLS_client_method(), false);
    const char *ca = authorities(config);

    if (context == NULL ||
        (config->name != NULL && (context->name = strdup(config->name)) == NULL)) {
        tls_context_unref(context);
        tls_fault(&reporter, "", "out of memory");
        return NULL;
    }
    context->verify = config->verify;
    (void)SSL_CTX_set_session_cache_mode(context->ssl,
                                         SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context->ssl, tls_stream_session);
    if (config->certificate != NULL)
        load_identity(context, config->certificate, config->key, &reporter);
    if (!config->verify) {
        tls_warning(
            &reporter, "verify",
            "is false: the servers' certificates are not checked, so that whoever is between "
            "here and them can read and change everything");
    } else if (ca == NULL) {
        tls_fault(&reporter, "ca",
                  "is not given, and there are no authorities of the system's (on Debian they come "
                  "with the package ca-certificates)");
    } else {
        tls_load_ca(context, ca, "ca", &reporter);
    }
    SSL_CTX_set_verify(context->ssl, config->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    return finish(context, &reporter);
}

struct tls_context *tls_context_ref(struct tls_context *context)
{
    atomic_fetch_add(&context->refs, 1);
    return context;
}

void tls_context_unref(struct tls_context *context)
{
    if (context == NULL || atomic_fetch_sub(&context->refs, 1) != 1)
        return;
    SSL_CTX_free(context->ssl);
    BIO_meth_free(context->socket);
    tls_tickets_unref(context->tickets);
    for (size_t i = 0; i < TLS_FILES; i++)
        free(context->files[i].path);
    free(context->name);
    free(context);
}

static bool same_files(const struct tls_context *context, const char *certificate, const char *key,
                       const char *ca)
{
    /* A key of its own file, or in the certificate's. */
    const char *key_path = key != NULL ? key : certificate;

    return tls_file_unchanged(&context->files[TLS_CERTIFICATE], certificate) &&
           tls_file_unchanged(&context->files[TLS_KEY], key_path) &&
           tls_file_unchanged(&context->files[TLS_CA], ca);
}

bool tls_context_serves(const struct tls_context *context, const struct config_tls *config)
{
    return context->server && context->verify == (config->client_ca != NULL) &&
           (config->client_ca == NULL ||
            context->optional == (config->client == TLS_CLIENT_OPTIONAL)) &&
           same_files(context, config->certificate, config->key, config->client_ca);
}

bool tls_context_reaches(const struct tls_context *context, const struct config_server_tls *config)
{
    bool same_name = (context->name == NULL) == (config->name == NULL) &&
                     (config->name == NULL || strcmp(context->name, config->name) == 0);

    return !context->server && same_name && context->verify == config->verify &&
           same_files(context, config->certificate, config->key, authorities(config));
}

const char *tls_context_name(const struct tls_context *context)
{
    return context->name;
}

uint64_t tls_context_expires(const struct tls_context *context)
{
    return context->expires;
}
