/* Streams over TLS: our two sides with each other, and ours with a bare OpenSSL that does what no
 * stream does. */
#include "crossfade/net/stream.h"
#include "crossfade/net/tls.h"

#include "identity.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static struct identity identity;
static struct tls_tickets *tickets;
static struct tls_context *server_context;
static struct tls_context *client_context;
static struct stream server;
static struct stream client;
static struct tls_resume resume;
static struct buffer_pool pool;
static char reported[1024];
static unsigned faults;

static void report(void *context, bool fault, const char *key, const char *text)
{
    (void)context;
    faults += fault;
    (void)snprintf(reported, sizeof(reported), "%s %s", key, text);
}

static struct config_tls listener(void)
{
    return (struct config_tls){ .present = true,
                                .certificate = identity.certificate,
                                .key = identity.key };
}

static void make_contexts(const struct config_tls *config)
{
    const struct config_server_tls servers = { .present = true,
                                               .ca = identity.certificate,
                                               .certificate = identity.certificate,
                                               .key = identity.key,
                                               .verify = true };

    server_context = tls_context_server(config, "here:1", tickets, report, NULL);
    client_context = tls_context_client(&servers, report, NULL);
    cr_assert(server_context != NULL && client_context != NULL, "%s", reported);
}

static void make_pair(int fds[2])
{
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
}

/* Both handshakes, in turns. */
static void shake(enum stream_verdict wanted)
{
    enum stream_verdict ours = STREAM_AGAIN;
    enum stream_verdict theirs = STREAM_AGAIN;

    for (int i = 0; i < 20 && (ours == STREAM_AGAIN || theirs == STREAM_AGAIN); i++) {
        if (theirs == STREAM_AGAIN)
            theirs = stream_handshake(&client);
        if (ours == STREAM_AGAIN)
            ours = stream_handshake(&server);
    }
    cr_assert_eq(ours, wanted);
}

static void connect_streams(const char *host, enum stream_verdict wanted)
{
    int fds[2];

    make_pair(fds);
    cr_assert(stream_init_tls_server(&server, fds[0], server_context));
    cr_assert(stream_init_tls_client(&client, fds[1], client_context, host, &resume));
    shake(wanted);
}

static void set_up(void)
{
    identity_create(&identity, "cache.example", 30);
    tickets = tls_tickets_create();
    buffer_pool_init(&pool);
}

static void tear_down(void)
{
    tls_resume_clear(&resume);
    tls_context_unref(server_context);
    tls_context_unref(client_context);
    tls_tickets_unref(tickets);
    buffer_pool_deinit(&pool);
    identity_remove(&identity);
}

/* After set_up, for clients without certificates. */
static void set_up_plain_clients(void)
{
    const struct config_tls config = listener();
    make_contexts(&config);
}

TestSuite(tls, .init = set_up, .fini = tear_down);

static void close_both(void)
{
    stream_close(&client);
    stream_close(&server);
}

static void say(struct stream *stream, const char *text)
{
    struct buffer buffer;

    buffer_init(&buffer);
    cr_assert(buffer_append_copy(&buffer, &pool, text, strlen(text)));
    cr_assert_eq(stream_flush(stream, &buffer, &pool), STREAM_OK);
}

static void hear(struct stream *stream, const char *text)
{
    char got[256];
    size_t moved;

    cr_assert_eq(stream->ops->read(stream, got, sizeof(got), &moved), STREAM_OK);
    cr_assert(moved == strlen(text) && memcmp(got, text, moved) == 0, "%.*s", (int)moved, got);
}

Test(tls, bytes_go_both_ways_and_the_end_is_said, .init = set_up_plain_clients)
{
    char byte;
    size_t moved;

    connect_streams("cache.example", STREAM_OK);
    say(&client, "get k\r\n");
    hear(&server, "get k\r\n");
    cr_expect_eq(server.ops->read(&server, &byte, 1, &moved), STREAM_AGAIN);
    cr_expect_not(server.pending);
    say(&server, "END\r\n");
    hear(&client, "END\r\n");
    stream_close(&client);
    cr_expect_eq(server.ops->read(&server, &byte, 1, &moved), STREAM_CLOSED);
    cr_expect_eq(server.ops->read(&server, &byte, 1, &moved), STREAM_CLOSED);
    stream_close(&server);
}

Test(tls, an_end_of_the_socket_is_no_end_of_tls, .init = set_up_plain_clients)
{
    char why[160];
    char byte;
    size_t moved;

    connect_streams("cache.example", STREAM_OK);
    cr_assert_eq(shutdown(client.fd, SHUT_WR), 0);
    cr_expect_eq(server.ops->read(&server, &byte, 1, &moved), STREAM_FAILED);
    cr_expect_str_eq(stream_why(&server, why, sizeof(why)),
                     "the connection ended without the end of TLS");
    close_both();
}

/* What came together is read in parts, without a word from the socket; and then its end. */
Test(tls, what_is_still_inside_is_pending, .init = set_up_plain_clients)
{
    char got[8];
    size_t moved;

    connect_streams("cache.example", STREAM_OK);
    say(&client, "twenty-four bytes of it.");
    stream_close(&client);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(server.ops->read(&server, got, sizeof(got), &moved), STREAM_OK);
        cr_expect_eq(moved, 8);
        cr_expect(server.pending, "part %d", i);
        cr_expect_leq(recv(server.fd, got, 1, MSG_PEEK), 0, "the socket has nothing more");
    }
    cr_expect_eq(server.ops->read(&server, got, sizeof(got), &moved), STREAM_CLOSED);
    cr_expect_not(server.pending);
    stream_close(&server);
}

Test(tls, the_part_of_a_record_is_not_pending, .init = set_up_plain_clients)
{
    char record[512];
    char got[64];
    size_t moved;
    ssize_t len;
    int fds[2];

    /* The record goes by way of the test, which keeps its last byte for a while. */
    connect_streams("cache.example", STREAM_OK);
    make_pair(fds);
    say(&client, "held back");
    len = recv(server.fd, record, sizeof(record), 0);
    cr_assert_gt(len, 10);
    cr_assert_eq(dup2(fds[0], server.fd), server.fd);
    cr_assert_eq(send(fds[1], record, (size_t)len - 1, 0), len - 1);
    cr_expect_eq(server.ops->read(&server, got, sizeof(got), &moved), STREAM_AGAIN);
    cr_expect_not(server.pending, "only the socket can bring the rest");
    cr_assert_eq(send(fds[1], record + len - 1, 1, 0), 1);
    hear(&server, "held back");
    (void)close(fds[0]);
    (void)close(fds[1]);
    close_both();
}

/* 5 bytes of header, 16 of the tag, 1 for the type: RFC 8446 section 5.2. */
#define RECORD_EXTRA 22

static size_t drain(int fd)
{
    char bytes[65536];
    size_t total = 0;
    ssize_t got;

    while ((got = recv(fd, bytes, sizeof(bytes), 0)) > 0)
        total += (size_t)got;
    return total;
}

Test(tls, small_pieces_share_a_record, .init = set_up_plain_clients)
{
    static char piece[100];
    struct iovec vectors[64];
    size_t moved;

    connect_streams("cache.example", STREAM_OK);
    for (int i = 0; i < 64; i++)
        vectors[i] = (struct iovec){ piece, sizeof(piece) };
    vectors[7].iov_len = 0;
    cr_assert_eq(client.ops->write(&client, vectors, 64, &moved), STREAM_OK);
    cr_expect_eq(moved, 6300);
    cr_expect_eq(drain(server.fd), 6300 + RECORD_EXTRA);
    close_both();
}

Test(tls, a_full_socket_takes_the_rest_later_and_all_of_it_arrives, .init = set_up_plain_clients)
{
    static char sent[700000];
    static char got[sizeof(sent) + 64];
    struct buffer buffer;
    size_t arrived = 0;
    unsigned full = 0;
    enum stream_verdict verdict = STREAM_AGAIN;

    connect_streams("cache.example", STREAM_OK);
    for (size_t i = 0; i < sizeof(sent); i++)
        sent[i] = (char)(i * 7919 >> 5);
    buffer_init(&buffer);
    for (size_t at = 0; at < sizeof(sent);) {
        /* Pieces of all sizes, and more comes while what is there waits. */
        size_t part = 1 + at * 31 % 20011;
        size_t moved;
        if (part > sizeof(sent) - at)
            part = sizeof(sent) - at;
        cr_assert(buffer_append_copy(&buffer, &pool, sent + at, part));
        at += part;
        verdict = stream_flush(&client, &buffer, &pool);
        cr_assert(verdict == STREAM_OK || verdict == STREAM_AGAIN);
        full += verdict == STREAM_AGAIN;
        if (full % 16 == 15 &&
            server.ops->read(&server, got + arrived, sizeof(got) - arrived, &moved) == STREAM_OK)
            arrived += moved;
    }
    for (int i = 0; i < 10000 && arrived < sizeof(sent); i++) {
        size_t moved;
        if (server.ops->read(&server, got + arrived, sizeof(got) - arrived, &moved) == STREAM_OK)
            arrived += moved;
        verdict = stream_flush(&client, &buffer, &pool);
    }
    cr_expect_gt(full, 0);
    cr_expect_eq(verdict, STREAM_OK);
    cr_expect_eq(arrived, sizeof(sent));
    cr_expect_eq(memcmp(sent, got, sizeof(sent)), 0);
    close_both();
}

static bool collect(void *context, struct slice name)
{
    char *text = context;

    (void)snprintf(text + strlen(text), 64, "%.*s ", (int)name.len, name.data);
    return false;
}

Test(tls, names_are_those_of_a_verified_certificate)
{
    struct config_tls config = listener();
    char names[256] = "";

    config.client_ca = identity.certificate;
    make_contexts(&config);
    connect_streams("cache.example", STREAM_OK);
    cr_expect_not(stream_peer_names(&server, collect, names));
    cr_expect_str_eq(names, "cache.example cache.example ", "the subject's, and the DNS name");
    say(&server, "a ticket goes with it");
    hear(&client, "a ticket goes with it");
    close_both();
    names[0] = '\0';
    connect_streams("cache.example", STREAM_OK);
    cr_expect(stream_tls_resumed(&server));
    cr_expect_not(stream_peer_names(&server, collect, names));
    cr_expect_str_eq(names, "cache.example cache.example ", "the session remembers");
    close_both();
}

Test(tls, without_a_certificate_there_is_no_name, .init = set_up_plain_clients)
{
    char names[256] = "";

    connect_streams("cache.example", STREAM_OK);
    cr_expect_not(stream_peer_names(&server, collect, names));
    cr_expect_str_eq(names, "");
    close_both();
}

Test(tls, another_host_is_refused, .init = set_up_plain_clients)
{
    char why[160];

    connect_streams("other.example", STREAM_FAILED);
    cr_expect_str_eq(stream_why(&client, why, sizeof(why)),
                     "its certificate is not accepted: it is for another name");
    close_both();
}

Test(tls, verification_without_a_name_is_refused, .init = set_up_plain_clients)
{
    int fds[2];

    make_pair(fds);
    cr_expect_not(stream_init_tls_client(&client, fds[0], client_context, NULL, NULL));
    cr_expect_eq(fcntl(fds[0], F_GETFD), -1, "the socket is closed");
    (void)close(fds[1]);
}

static bool resumed(void)
{
    bool result;

    connect_streams("cache.example", STREAM_OK);
    say(&server, "hello");
    hear(&client, "hello"); /* and, before it, the ticket */
    result = stream_tls_resumed(&server);
    cr_expect_eq(stream_tls_resumed(&client), result);
    close_both();
    return result;
}

Test(tls, sessions_go_on_where_they_were_made, .init = set_up_plain_clients)
{
    struct config_tls config = listener();
    struct tls_context *before = server_context;
    struct tls_tickets *others = tls_tickets_create();

    cr_expect_not(resumed());
    cr_expect(resumed());
    /* The same listener after a reload. */
    server_context = tls_context_server(&config, "here:1", tickets, report, NULL);
    cr_expect(resumed());
    tls_context_unref(server_context);
    /* Another listener with the same keys. */
    server_context = tls_context_server(&config, "there:2", tickets, report, NULL);
    cr_expect_not(resumed());
    tls_context_unref(server_context);
    /* The same listener of another process. */
    server_context = tls_context_server(&config, "there:2", others, report, NULL);
    cr_expect_not(resumed());
    tls_context_unref(server_context);
    server_context = before;
    tls_tickets_unref(others);
}

Test(tls, a_connection_that_says_nothing_has_not_begun, .init = set_up_plain_clients)
{
    char why[160];
    int fds[2];

    make_pair(fds);
    cr_assert(stream_init_tls_server(&server, fds[0], server_context));
    cr_expect_eq(stream_handshake(&server), STREAM_AGAIN);
    cr_expect_not(stream_tls_begun(&server));
    (void)close(fds[1]);
    cr_expect_eq(stream_handshake(&server), STREAM_FAILED);
    cr_expect_not(stream_tls_begun(&server));
    cr_expect_str_eq(stream_why(&server, why, sizeof(why)), "the peer closed the connection");
    stream_close(&server);
}

/* A bare OpenSSL client over a socket pair with our server. */
static SSL *bare_client(SSL_CTX *context)
{
    SSL *ssl = SSL_new(context);
    int fds[2];

    make_pair(fds);
    cr_assert(stream_init_tls_server(&server, fds[0], server_context));
    cr_assert_eq(SSL_set_fd(ssl, fds[1]), 1);
    for (int i = 0; i < 20; i++) {
        bool connected = SSL_connect(ssl) == 1;
        if (stream_handshake(&server) == STREAM_OK && connected)
            return ssl;
    }
    cr_assert_fail("no handshake");
    return NULL;
}

Test(tls, new_keys_are_taken_but_not_for_ever, .init = set_up_plain_clients)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *bare = bare_client(context);
    int fd = SSL_get_fd(bare);
    enum stream_verdict verdict = STREAM_AGAIN;
    char why[160];
    char got[16];
    size_t moved;
    int count;

    for (int i = 0; i < 100; i++) { /* with data between them they are in order */
        cr_assert_eq(SSL_key_update(bare, SSL_KEY_UPDATE_REQUESTED), 1);
        cr_assert_eq(SSL_write(bare, "x", 1), 1);
        cr_assert_eq(server.ops->read(&server, got, sizeof(got), &moved), STREAM_OK);
        (void)SSL_read(bare, got, sizeof(got)); /* our answer to the new key */
    }
    for (count = 0; count < 1000 && verdict == STREAM_AGAIN; count++) {
        (void)SSL_key_update(bare, SSL_KEY_UPDATE_NOT_REQUESTED);
        cr_assert_eq(SSL_do_handshake(bare), 1);
        verdict = server.ops->read(&server, got, sizeof(got), &moved);
    }
    cr_expect_eq(verdict, STREAM_FAILED);
    cr_expect_lt(count, 100);
    cr_expect_str_eq(stream_why(&server, why, sizeof(why)), "it sends too much that is no data");
    stream_close(&server);
    SSL_free(bare);
    (void)close(fd);
    SSL_CTX_free(context);
}

Test(tls, renegotiation_is_refused, .init = set_up_plain_clients)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *bare;
    int fd;
    char got[16];
    size_t moved;

    cr_assert_eq(SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION), 1);
    bare = bare_client(context);
    fd = SSL_get_fd(bare);
    cr_assert_eq(SSL_renegotiate(bare), 1);
    (void)SSL_do_handshake(bare);
    cr_expect_neq(server.ops->read(&server, got, sizeof(got), &moved), STREAM_OK);
    cr_expect_leq(SSL_do_handshake(bare), 0);
    stream_close(&server);
    SSL_free(bare);
    (void)close(fd);
    SSL_CTX_free(context);
}

Test(tls, a_context_serves_as_long_as_its_files_stay, .init = set_up_plain_clients)
{
    struct config_tls config = listener();
    struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = 1000000000 } };

    cr_expect(tls_context_serves(server_context, &config));
    cr_assert_eq(utimensat(AT_FDCWD, identity.key, times, 0), 0);
    cr_expect_not(tls_context_serves(server_context, &config));
    tls_context_unref(server_context);
    server_context = tls_context_server(&config, "here:1", tickets, report, NULL);
    cr_expect(tls_context_serves(server_context, &config));
    config.client_ca = identity.certificate;
    cr_expect_not(tls_context_serves(server_context, &config));
    config.client_ca = NULL;
    config.key = NULL;
    cr_expect_not(tls_context_serves(server_context, &config));
}

Test(tls, an_expired_certificate_is_a_warning)
{
    struct config_tls config;

    identity_remove(&identity);
    identity_create(&identity, "cache.example", -1);
    config = listener();
    server_context = tls_context_server(&config, "here:1", tickets, report, NULL);
    cr_expect_not_null(server_context);
    cr_expect_eq(faults, 0);
    cr_expect_not_null(strstr(reported, "its certificate expired on "), "%s", reported);
    cr_expect_leq(tls_context_expires(server_context), (uint64_t)time(NULL) - 86000);
}
