/*
 * A stream over TLS. OpenSSL reads and writes the socket itself; what it needs, and does not say by
 * itself, is kept here:
 *
 *   pending          records are decrypted one by one, but the socket is emptied at once: what is
 * left in OpenSSL's buffer makes no descriptor readable
 *   *_wants_*        a read may have to answer (a new key), a write may have to wait for the peer
 *   one record       small pieces of output are gathered into one record, up to its limit of 16
 * KiB, for each costs 22 bytes or more, a seal and a system call
 */
#include "tls.h"

#include "crossfade/net/stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The most that fits into one record (RFC 8446 section 5.1). */
#define RECORD_MAX 16384u
/* Records in a row that carry no data: new keys, tickets, warnings. Nobody in earnest sends that
 * many. */
#define IDLE_RECORDS_MAX 32u
/* Less room than this is not worth a further record's copy. */
#define ROOM_MIN 1024u

#define UNEXPECTED_END ERR_PACK(ERR_LIB_SSL, 0, SSL_R_UNEXPECTED_EOF_WHILE_READING)

struct session {
    struct tls_context *context;
    SSL *ssl; /* NULL: a client's connection that has not begun */
    struct tls_resume *resume;
    int fd;
    bool established;
    bool ended;     /* the peer has said that it sends no more */
    bool at_eof;    /* the socket has ended */
    bool dry;       /* the socket had nothing to read */
    bool failed;    /* nothing works any more; why: */
    bool transport; /* it was the socket, not TLS */
    unsigned idle_records;
    unsigned long code; /* OpenSSL's */
    long verdict;       /* on the peer's certificate */
    int error;          /* errno; 0: the peer has closed */
    size_t unwritten;   /* length of a write that has to be repeated */
};

/* -- The socket, as OpenSSL sees it -- */

static int socket_read(BIO *bio, char *at, size_t room, size_t *moved)
{
    struct session *session = BIO_get_data(bio);
    ssize_t got = recv(session->fd, at, room, 0);

    BIO_clear_retry_flags(bio);
    *moved = got > 0 ? (size_t)got : 0;
    session->at_eof = got == 0;
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        session->dry = true;
        BIO_set_retry_read(bio);
    }
    return got > 0;
}

static int socket_write(BIO *bio, const char *from, size_t len, size_t *moved)
{
    struct session *session = BIO_get_data(bio);
    ssize_t sent = send(session->fd, from, len, MSG_NOSIGNAL);

    BIO_clear_retry_flags(bio);
    *moved = sent > 0 ? (size_t)sent : 0;
    if (sent < 0 && (errno == EAGAIN || errno == EINTR))
        BIO_set_retry_write(bio);
    return sent > 0;
}

static long socket_control(BIO *bio, int command, long number, void *pointer)
{
    const struct session *session = BIO_get_data(bio);

    (void)number;
    (void)pointer;
    switch (command) {
    case BIO_CTRL_FLUSH: /* nothing is kept back */
        return 1;
    case BIO_CTRL_EOF:
        return session->at_eof;
    default:
        return 0;
    }
}

BIO_METHOD *tls_stream_socket(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "stream");

    if (method != NULL && (BIO_meth_set_read_ex(method, socket_read) != 1 ||
                           BIO_meth_set_write_ex(method, socket_write) != 1 ||
                           BIO_meth_set_ctrl(method, socket_control) != 1)) {
        BIO_meth_free(method);
        return NULL;
    }
    return method;
}

/* -- What went wrong -- */

static enum stream_verdict fail(struct session *session, bool transport, unsigned long code,
                                int error)
{
    session->failed = true;
    session->transport = transport;
    session->code = code;
    session->error = error;
    ERR_clear_error();
    return STREAM_FAILED;
}

/* What a call of OpenSSL that did not succeed means. */
static enum stream_verdict judge(struct session *session, int result)
{
    int error = session->at_eof ? 0 : errno;
    unsigned long code = ERR_peek_error();

    switch (SSL_get_error(session->ssl, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return STREAM_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        if (session->at_eof) /* what the peer said last was not that it ends */
            return fail(session, true, UNEXPECTED_END, 0);
        session->ended = true;
        return STREAM_CLOSED;
    case SSL_ERROR_SYSCALL:
        return fail(session, true, 0, error);
    default:
        session->verdict = SSL_get_verify_result(session->ssl);
        return fail(session, false, code, 0);
    }
}

struct meaning {
    int reason;
    const char *text;
};

static const struct meaning meanings[] = {
    { SSL_R_UNEXPECTED_EOF_WHILE_READING, "the connection ended without the end of TLS" },
    { SSL_R_HTTP_REQUEST, "it does not speak TLS but HTTP" },
    { SSL_R_WRONG_VERSION_NUMBER, "it does not speak TLS" },
    { SSL_R_RECORD_LENGTH_MISMATCH, "it does not speak TLS" },
    { SSL_R_UNSUPPORTED_PROTOCOL, "it has no version of TLS from 1.2 up" },
    { SSL_R_VERSION_TOO_LOW, "it has no version of TLS from 1.2 up" },
    { SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, "it wants another version of TLS" },
    { SSL_R_NO_SHARED_CIPHER, "it has no cipher that is accepted here" },
    { SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, "it has given no certificate" },
    { SSL_R_TOO_MANY_WARN_ALERTS, "it sends too much that is no data" },
    { SSL_R_TLSV1_ALERT_UNKNOWN_CA, "it does not know the authority of our certificate" },
    { SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, "it does not accept our certificate" },
    { SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, "it says that our certificate has expired" },
    { SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, "it does not accept our certificate" },
    { SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, "it wants a certificate from us" },
    { SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE, "it has refused the handshake" },
};

static const char *tls_why(const struct stream *stream, char *out, size_t size)
{
    const struct session *session = stream->session;
    int reason = ERR_GET_REASON(session->code);
    const char *text;

    if (session->code == 0)
        return session->error == 0 ? "the peer closed the connection" : strerror(session->error);
    if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
        bool name = session->verdict == X509_V_ERR_HOSTNAME_MISMATCH ||
                    session->verdict == X509_V_ERR_IP_ADDRESS_MISMATCH;
        (void)snprintf(out, size, "its certificate is not accepted: %s",
                       name ? "it is for another name"
                            : X509_verify_cert_error_string(session->verdict));
        return out;
    }
    for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
        if (ERR_GET_LIB(session->code) == ERR_LIB_SSL && meanings[i].reason == reason)
            return meanings[i].text;
    text = ERR_SYSTEM_ERROR(session->code) ? NULL : ERR_reason_error_string(session->code);
    (void)snprintf(out, size, "TLS: %s", text != NULL ? text : "unknown error");
    return out;
}

/* -- Moving bytes -- */

static enum stream_verdict tls_read(struct stream *stream, char *at, size_t room, size_t *moved)
{
    struct session *session = stream->session;
    enum stream_verdict verdict = STREAM_OK;

    *moved = 0;
    stream->pending = stream->read_wants_write = false;
    if (session->failed)
        return STREAM_FAILED;
    if (session->ended)
        return STREAM_CLOSED;
    ERR_clear_error();
    do {
        size_t part = 0;
        int result;

        session->dry = false;
        result = SSL_read_ex(session->ssl, at + *moved, room - *moved, &part);
        if (result == 1) {
            *moved += part;
            session->idle_records = 0;
            continue;
        }
        verdict = judge(session, result);
        if (verdict != STREAM_AGAIN)
            break;
        stream->read_wants_write = SSL_want_write(session->ssl);
        /* It was not that the rest of a record is missing. */
        if (!stream->read_wants_write && !session->dry &&
            ++session->idle_records > IDLE_RECORDS_MAX)
            verdict = fail(session, false, ERR_PACK(ERR_LIB_SSL, 0, SSL_R_TOO_MANY_WARN_ALERTS), 0);
        break;
    } while (room - *moved >= ROOM_MIN && SSL_has_pending(session->ssl));
    if (*moved == 0)
        return verdict;
    /* An end or a failure behind the data is for the next read, and nothing may announce it. */
    stream->pending =
        verdict == STREAM_OK ? SSL_has_pending(session->ssl) : verdict != STREAM_AGAIN;
    return STREAM_OK;
}

/* Where a write is in its vectors. */
struct cursor {
    const struct iovec *vectors;
    int count;
    size_t offset; /* in the first of them */
};

static void advance(struct cursor *cursor, size_t len)
{
    cursor->offset += len;
    while (cursor->count > 0 && cursor->offset >= cursor->vectors[0].iov_len) {
        cursor->offset -= cursor->vectors[0].iov_len;
        cursor->vectors++;
        cursor->count--;
    }
}

/* The bytes of the next record: where they are if that is enough for one, or gathered in room[]. */
static struct slice next_record(const struct cursor *cursor, char *room)
{
    struct slice first = slice_of((const char *)cursor->vectors[0].iov_base + cursor->offset,
                                  cursor->vectors[0].iov_len - cursor->offset);
    size_t len = 0;

    if (first.len >= RECORD_MAX || cursor->count == 1)
        return slice_of(first.data, first.len < RECORD_MAX ? first.len : RECORD_MAX);
    for (int i = 0; i < cursor->count && len < RECORD_MAX; i++) {
        size_t skip = i == 0 ? cursor->offset : 0;
        size_t part = cursor->vectors[i].iov_len - skip;
        if (part > RECORD_MAX - len)
            part = RECORD_MAX - len;
        memcpy(room + len, (const char *)cursor->vectors[i].iov_base + skip, part);
        len += part;
    }
    return slice_of(room, len);
}

static enum stream_verdict tls_write(struct stream *stream, const struct iovec *vectors, int count,
                                     size_t *moved)
{
    struct session *session = stream->session;
    struct cursor cursor = { vectors, count, 0 };
    char room[RECORD_MAX];

    *moved = 0;
    stream->write_wants_read = false;
    if (session->failed)
        return STREAM_FAILED;
    ERR_clear_error();
    advance(&cursor, 0); /* past what is empty */
    while (cursor.count > 0) {
        struct slice record = next_record(&cursor, room);
        size_t part = 0;
        int result;

        /* A write that is repeated has the same bytes again in front: that is what a buffer is. */
        ensure(record.len >= session->unwritten);
        result = SSL_write_ex(session->ssl, record.data, record.len, &part);
        if (result != 1) {
            enum stream_verdict verdict = judge(session, result);
            session->unwritten = verdict == STREAM_AGAIN ? record.len : 0;
            stream->write_wants_read = verdict == STREAM_AGAIN && SSL_want_read(session->ssl);
            if (*moved > 0)
                return STREAM_OK; /* the next one will tell */
            return verdict == STREAM_CLOSED ? STREAM_FAILED : verdict;
        }
        session->unwritten = 0;
        *moved += part;
        advance(&cursor, part);
    }
    return STREAM_OK;
}

/* -- Beginning and end -- */

static bool begin(struct session *session)
{
    BIO *bio;

    session->ssl = SSL_new(session->context->ssl);
    if (session->ssl == NULL)
        return false;
    bio = BIO_new(session->context->socket);
    if (bio == NULL)
        return false;
    BIO_set_data(bio, session);
    BIO_set_init(bio, 1);
    SSL_set_bio(session->ssl, bio, bio);
    (void)SSL_set_app_data(session->ssl, session);
    return true;
}

/* A client that has said nothing yet gets nothing: such connections cost little more than a socket.
 */
static enum stream_verdict begin_with_first_byte(struct session *session)
{
    char byte;
    ssize_t got = recv(session->fd, &byte, 1, MSG_PEEK);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return STREAM_AGAIN;
    if (got <= 0)
        return fail(session, true, 0, got == 0 ? 0 : errno);
    if (!begin(session))
        return fail(session, true, 0, ENOMEM);
    SSL_set_accept_state(session->ssl);
    return STREAM_OK;
}

/* A resumed session brings the certificate that was verified then; it may have expired since. */
static bool still_valid(const struct session *session)
{
    const X509 *certificate = SSL_get0_peer_certificate(session->ssl);

    return !session->context->verify || !SSL_session_reused(session->ssl) || certificate == NULL ||
           X509_cmp_current_time(X509_get0_notAfter(certificate)) > 0;
}

static enum stream_verdict tls_handshake(struct stream *stream)
{
    struct session *session = stream->session;
    enum stream_verdict verdict;
    int result;

    stream->read_wants_write = false;
    if (session->failed)
        return STREAM_FAILED;
    if (session->established)
        return STREAM_OK;
    if (session->ssl == NULL && (verdict = begin_with_first_byte(session)) != STREAM_OK)
        return verdict;
    ERR_clear_error();
    result = SSL_do_handshake(session->ssl);
    if (result == 1) {
        session->established = true;
        stream->pending = SSL_has_pending(session->ssl);
        if (still_valid(session))
            return STREAM_OK;
        session->verdict = X509_V_ERR_CERT_HAS_EXPIRED;
        return fail(session, false, ERR_PACK(ERR_LIB_SSL, 0, SSL_R_CERTIFICATE_VERIFY_FAILED), 0);
    }
    verdict = judge(session, result);
    stream->read_wants_write = verdict == STREAM_AGAIN && SSL_want_write(session->ssl);
    if (verdict == STREAM_AGAIN)
        return verdict;
    if (session->resume != NULL)
        tls_resume_clear(session->resume); /* it may be the reason */
    return verdict == STREAM_CLOSED ? fail(session, true, 0, 0) : verdict;
}

static void tls_close(struct stream *stream)
{
    struct session *session = stream->session;

    if (session->ssl != NULL) {
        ERR_clear_error();
        if (session->established && !session->failed)
            (void)SSL_shutdown(session->ssl);
        /* OpenSSL would take a session for spoilt because the socket broke. */
        if (!session->failed || session->transport)
            SSL_set_shutdown(session->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        SSL_free(session->ssl);
        ERR_clear_error();
    }
    (void)close(stream->fd);
    tls_context_unref(session->context);
    free(session);
    stream->session = NULL;
}

/* -- Names -- */

static bool visit_name(const unsigned char *data, int len, stream_name_visit visit, void *context)
{
    struct slice name = slice_of((const char *)data, len > 0 ? (size_t)len : 0);

    /* With a NUL inside somebody would read another name than the authority did. */
    return name.len > 0 && memchr(name.data, '\0', name.len) == NULL && visit(context, name);
}

static bool visit_common_names(const X509 *certificate, stream_name_visit visit, void *context)
{
    const X509_NAME *subject = X509_get_subject_name(certificate);
    bool found = false;
    int at = -1;

    while (!found && (at = X509_NAME_get_index_by_NID(subject, NID_commonName, at)) >= 0) {
        unsigned char *text = NULL;
        int len =
            ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
        found = len > 0 && visit_name(text, len, visit, context);
        if (len >= 0)
            OPENSSL_free(text);
    }
    return found;
}

static bool visit_dns_names(const X509 *certificate, stream_name_visit visit, void *context)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    bool found = false;

    for (int i = 0; !found && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_DNS)
            found = visit_name(ASN1_STRING_get0_data(name->d.dNSName),
                               ASN1_STRING_length(name->d.dNSName), visit, context);
    }
    GENERAL_NAMES_free(names);
    return found;
}

static bool tls_names(const struct stream *stream, stream_name_visit visit, void *context)
{
    const struct session *session = stream->session;
    const X509 *certificate = session->established && session->context->verify &&
                                      SSL_get_verify_result(session->ssl) == X509_V_OK
                                  ? SSL_get0_peer_certificate(session->ssl)
                                  : NULL;
    bool found;

    if (certificate == NULL)
        return false;
    found = visit_common_names(certificate, visit, context) ||
            visit_dns_names(certificate, visit, context);
    ERR_clear_error();
    return found;
}

/* -- Making them -- */

static const struct stream_ops tls_ops = {
    .read = tls_read,
    .write = tls_write,
    .close = tls_close,
    .handshake = tls_handshake,
    .names = tls_names,
    .why = tls_why,
};

static struct session *create(struct stream *stream, int fd, struct tls_context *context)
{
    struct session *session = calloc(1, sizeof(*session));

    *stream = (struct stream){ .fd = -1, .ops = &tls_ops };
    if (session == NULL) {
        (void)close(fd);
        return NULL;
    }
    session->context = tls_context_ref(context);
    session->fd = fd;
    session->verdict = X509_V_OK;
    stream->fd = fd;
    stream->session = session;
    return session;
}

bool stream_init_tls_server(struct stream *stream, int fd, struct tls_context *context)
{
    return create(stream, fd, context) != NULL;
}

static bool is_address(const char *host)
{
    struct in6_addr address;

    return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
}

static bool expect_host(const struct session *session, const char *host)
{
    SSL *ssl = session->ssl;
    bool address = host != NULL && is_address(host);

    if (host != NULL && !address && SSL_set_tlsext_host_name(ssl, host) != 1)
        return false;
    if (!session->context->verify)
        return true;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    /* Nobody to expect would be anybody. */
    return host != NULL && (address ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host)
                                    : SSL_set1_host(ssl, host)) == 1;
}

bool stream_init_tls_client(struct stream *stream, int fd, struct tls_context *context,
                            const char *host, struct tls_resume *resume)
{
    struct session *session = create(stream, fd, context);

    if (session == NULL)
        return false;
    session->resume = resume;
    if (!begin(session) || !expect_host(session, context->name != NULL ? context->name : host)) {
        stream_close(stream);
        return false;
    }
    if (resume != NULL && resume->session != NULL)
        (void)SSL_set_session(session->ssl, resume->session);
    SSL_set_connect_state(session->ssl);
    return true;
}

bool stream_tls_resumed(const struct stream *stream)
{
    const struct session *session = stream->session;
    return session->established && SSL_session_reused(session->ssl);
}

bool stream_tls_begun(const struct stream *stream)
{
    return ((const struct session *)stream->session)->ssl != NULL;
}

int tls_stream_session(SSL *ssl, SSL_SESSION *fresh)
{
    struct session *session = SSL_get_app_data(ssl);

    if (session->resume == NULL)
        return 0;
    tls_resume_clear(session->resume);
    session->resume->session = fresh;
    return 1; /* the reference is ours now */
}

void tls_resume_clear(struct tls_resume *resume)
{
    SSL_SESSION_free(resume->session);
    resume->session = NULL;
}
