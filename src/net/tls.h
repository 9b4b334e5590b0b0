/*
 * The inside of TLS, for its own modules: tls_files.c reads, tls_context.c makes contexts,
 * tls_tickets.c seals tickets, tls_stream.c moves bytes.
 */
#ifndef CROSSFADE_SRC_NET_TLS_H
#define CROSSFADE_SRC_NET_TLS_H

#include "crossfade/net/tls.h"

#include <openssl/ssl.h>
#include <stdatomic.h>
#include <time.h>

/* How long a session can be resumed, and how often the keys of tickets change. Seconds. */
#define TLS_SESSION_LIFETIME (6 * 3600)

/* A file as it was when it was read. */
struct tls_file {
    char *path; /* NULL: not used */
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified;
    struct timespec changed;
};

enum tls_file_use { TLS_CERTIFICATE, TLS_KEY, TLS_CA };
#define TLS_FILES 3

struct tls_context {
    _Atomic unsigned refs;
    SSL_CTX *ssl;
    BIO_METHOD *socket; /* how its connections read and write */
    char *name;         /* of a listener; of a client context: whom to verify, or NULL */
    bool server;
    bool verify;
    bool optional; /* a client may come without a certificate */
    struct tls_file files[TLS_FILES];
    struct tls_tickets *tickets;
    uint64_t expires;
};

/* Where faults go while a context is made. */
struct tls_reporter {
    tls_report report;
    void *context;
    bool failed;
};

void tls_fault(struct tls_reporter *reporter, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void tls_warning(struct tls_reporter *reporter, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * tls_files.c: each reads the file at `path` into the context, and notes in file->... how it was.
 * The reporter learns what is wrong. `key` as in the configuration.
 */
void tls_load_certificate(struct tls_context *context, const char *path, const char *key,
                          struct tls_reporter *reporter);
/* After the certificate: the two have to match. */
void tls_load_key(struct tls_context *context, const char *path, const char *key,
                  struct tls_reporter *reporter);
/* Whom to trust. A listener also tells clients whose certificates are wanted. */
void tls_load_ca(struct tls_context *context, const char *path, const char *key,
                 struct tls_reporter *reporter);
/* The system's own authorities, all in one file, or NULL. */
const char *tls_system_ca(void);
bool tls_file_unchanged(const struct tls_file *file, const char *path);

/* tls_tickets.c: seals and opens tickets, as SSL_CTX_set_tlsext_ticket_key_evp_cb wants it. */
void tls_tickets_use(struct tls_context *context);

/* tls_stream.c: the server has sent a session. */
int tls_stream_session(SSL *ssl, SSL_SESSION *session);
/* NULL without memory. */
BIO_METHOD *tls_stream_socket(void);

/* The oldest error of OpenSSL's queue in words, which is empty after it. */
const char *tls_error(char *out, size_t size);

#endif
