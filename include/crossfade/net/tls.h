/*
 * TLS contexts (OpenSSL 3): what a listener or the way to the servers needs to know, read from
 * files on the main thread at start and reload, never changed afterwards, shared by all workers and
 * counted by references. A connection holds the context that it began with, so that a reload with
 * other certificates changes nothing for it.
 *
 * TLS 1.2 and up; forward secrecy and authenticated ciphers only; no renegotiation, no compression,
 * no early data. Sessions of clients are resumed by tickets (RFC 5077, RFC 8446 section 4.6.1), for
 * which the server keeps nothing.
 */
#ifndef CROSSFADE_NET_TLS_H
#define CROSSFADE_NET_TLS_H

#include "crossfade/base/ensure.h"
#include "crossfade/conf/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ssl_ctx_st;
struct ssl_session_st;
struct tls_context;

/*
 * The keys that tickets are sealed with: made once, kept over reloads and the same for all workers
 * and listeners, so that a client finds its session whoever serves it. New ones every six hours; a
 * ticket is good for as long.
 */
struct tls_tickets;

/* NULL without memory or random bytes. */
struct tls_tickets *tls_tickets_create(void);
struct tls_tickets *tls_tickets_ref(struct tls_tickets *tickets);
void tls_tickets_unref(struct tls_tickets *tickets);

/*
 * What is wrong with a file: `key` is its key in the section ("certificate"), `text` a sentence
 * about it that begins with its path. Not a fault: a warning, such as that a certificate has
 * expired.
 */
typedef void (*tls_report)(void *context, bool fault, const char *key, const char *text);

/*
 * For a listener; `name` is its address as configured. NULL after at least one fault, or without
 * memory (which is reported as a fault of ""). Takes a reference on the tickets.
 */
struct tls_context *tls_context_server(const struct config_tls *config, const char *name,
                                       struct tls_tickets *tickets, tls_report report,
                                       void *report_context) MUST_CHECK;
/* Towards servers. */
struct tls_context *tls_context_client(const struct config_server_tls *config, tls_report report,
                                       void *report_context) MUST_CHECK;
struct tls_context *tls_context_ref(struct tls_context *context);
void tls_context_unref(struct tls_context *context);

/*
 * The context says what this configuration says, and no file has changed since it was read: it can
 * go on being used, also when the files may not be read any more.
 */
bool tls_context_serves(const struct tls_context *context, const struct config_tls *config);
bool tls_context_reaches(const struct tls_context *context, const struct config_server_tls *config);

/* Warns of files that this process could not read again: its rights may have changed since. */
void tls_context_look(const struct tls_context *context, tls_report report, void *report_context);

/* As given to tls_context_server. */
const char *tls_context_name(const struct tls_context *context);
/* When its certificate expires, seconds since 1970; 0 without one. */
uint64_t tls_context_expires(const struct tls_context *context);

/*
 * The session of the last connection to a server, for the next one: of one server and one worker,
 * in the caller's memory, zeroed at first. It outlives the streams that were made with it.
 */
struct tls_resume {
    struct ssl_session_st *session;
};
void tls_resume_clear(struct tls_resume *resume);

struct stream;
/*
 * Over a non-blocking socket, which the stream owns from now on, also when it fails (false: without
 * memory; the socket is closed). Each takes a reference on the context. stream_handshake comes
 * next.
 *
 * A client's connection takes memory for TLS only when its first byte is here.
 */
bool stream_init_tls_server(struct stream *stream, int fd, struct tls_context *context) MUST_CHECK;
/*
 * `host`: whom the certificate has to be for, unless the context names or wants nobody; a name
 * (also sent as SNI) or an IP address. `resume` may be NULL.
 */
bool stream_init_tls_client(struct stream *stream, int fd, struct tls_context *context,
                            const char *host, struct tls_resume *resume) MUST_CHECK;
/* The handshake is done: it went on with an earlier session. */
bool stream_tls_resumed(const struct stream *stream);
/* The peer has sent at least one byte. */
bool stream_tls_begun(const struct stream *stream);

#endif
