/*
 * PEM files into a context. A file is read in one go, so that what is checked is what is used; the
 * memory that held a key is wiped.
 */
#include "tls.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <openssl/x509.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The system's own bundle of authorities has about 220 KB. */
#define FILE_MAX (4 * 1024 * 1024)

struct bytes {
    char *data;
    size_t len;
    BIO *bio; /* reads them */
};

const char *tls_error(char *out, size_t size)
{
    unsigned long code = ERR_peek_error();
    const char *reason =
        code != 0 && !ERR_SYSTEM_ERROR(code) ? ERR_reason_error_string(code) : NULL;

    if (reason != NULL)
        (void)snprintf(out, size, "%s", reason);
    else if (code != 0)
        ERR_error_string_n(code, out, size);
    else
        (void)snprintf(out, size, "unknown error");
    ERR_clear_error();
    return out;
}

static void note(struct tls_file *file, const struct stat *found)
{
    file->device = found->st_dev;
    file->inode = found->st_ino;
    file->size = found->st_size;
    file->modified = found->st_mtim;
    file->changed = found->st_ctim;
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

bool tls_file_unchanged(const struct tls_file *file, const char *path)
{
    struct stat found;

    if (file->path == NULL || path == NULL)
        return file->path == NULL && path == NULL;
    return strcmp(file->path, path) == 0 && stat(path, &found) == 0 &&
           file->device == found.st_dev && file->inode == found.st_ino &&
           file->size == found.st_size && same_time(file->modified, found.st_mtim) &&
           same_time(file->changed, found.st_ctim);
}

/* Rights that were there at the start may be gone by the time of a reload. */
static void fault_unreadable(struct tls_reporter *reporter, const char *key, const char *path,
                             int error)
{
    struct passwd *user = getpwuid(geteuid());
    char number[24];

    if (error != EACCES) {
        tls_fault(reporter, key, "%s cannot be read: %s", path, strerror(error));
        return;
    }
    (void)snprintf(number, sizeof(number), "%u", (unsigned)geteuid());
    tls_fault(
        reporter, key,
        "%s cannot be read by user %s: %s; a reload has the rights of process.user only: give "
        "that user the right to read the file and to search its folders, or restart the "
        "daemon",
        path, user != NULL ? user->pw_name : number, strerror(error));
}

void tls_context_look(const struct tls_context *context, tls_report report, void *report_context)
{
    static const char *const keys[] = { "certificate", "key", "client_ca" };
    struct tls_reporter reporter = { report, report_context, false };

    for (size_t i = 0; i < TLS_FILES; i++) {
        const char *path = context->files[i].path;
        if (path != NULL && access(path, R_OK) != 0)
            tls_warning(&reporter, i == TLS_CA && !context->server ? "ca" : keys[i],
                        "%s cannot be read any more, now that the daemon has become process.user: "
                        "%s; a new one could not be taken by a reload",
                        path, strerror(errno));
    }
}

/* At most `room` bytes. */
static bool read_all(int fd, struct bytes *bytes, size_t room)
{
    ssize_t got = 1;

    while (got > 0 && bytes->len < room) {
        got = read(fd, bytes->data + bytes->len, room - bytes->len);
        if (got < 0 && errno == EINTR)
            got = 1;
        else if (got > 0)
            bytes->len += (size_t)got;
    }
    return got >= 0;
}

static void bytes_free(struct bytes *bytes)
{
    BIO_free(bytes->bio);
    if (bytes->data != NULL)
        OPENSSL_cleanse(bytes->data, bytes->len);
    free(bytes->data);
}

static bool bytes_read(struct bytes *bytes, struct tls_file *file, const char *path,
                       const char *key, struct tls_reporter *reporter)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat found;
    size_t room = 0;
    bool is_file;
    bool done;

    *bytes = (struct bytes){ NULL, 0, NULL };
    if (fd < 0) {
        fault_unreadable(reporter, key, path, errno);
        return false;
    }
    is_file = fstat(fd, &found) == 0 && S_ISREG(found.st_mode);
    if (is_file && found.st_size <= FILE_MAX) {
        room = (size_t)found.st_size + 1; /* the one byte shows that it has grown meanwhile */
        bytes->data = malloc(room);
    }
    done = bytes->data != NULL && read_all(fd, bytes, room);
    if (!is_file)
        tls_fault(reporter, key, "%s is no file", path);
    else if (room == 0)
        tls_fault(reporter, key, "%s is larger than %d bytes", path, FILE_MAX);
    else if (!done)
        tls_fault(reporter, key, "%s cannot be read: %s", path, strerror(errno));
    else if (bytes->len == room)
        tls_fault(reporter, key, "%s has changed while it was read; try again", path);
    (void)close(fd);
    if (!done || bytes->len == room) {
        bytes_free(bytes);
        return false;
    }
    bytes->bio = BIO_new_mem_buf(bytes->data, (int)bytes->len);
    file->path = strdup(path);
    if (bytes->bio == NULL || file->path == NULL) {
        tls_fault(reporter, "", "out of memory");
        bytes_free(bytes);
        return false;
    }
    note(file, &found);
    ERR_clear_error();
    return true;
}

static void format_time(const ASN1_TIME *time, char *out, size_t size)
{
    BIO *bio = BIO_new(BIO_s_mem());
    int len = bio != NULL && ASN1_TIME_print(bio, time) ? BIO_read(bio, out, (int)size - 1) : 0;

    out[len > 0 ? len : 0] = '\0';
    BIO_free(bio);
}

/* An expired certificate is served all the same: whether to accept it is the client's decision. */
static void check_dates(const X509 *certificate, const char *what, const char *path,
                        const char *key, struct tls_reporter *reporter)
{
    char date[64];

    if (X509_cmp_current_time(X509_get0_notAfter(certificate)) <= 0) {
        format_time(X509_get0_notAfter(certificate), date, sizeof(date));
        tls_warning(reporter, key, "%s: %s expired on %s; who verifies it will refuse it", path,
                    what, date);
    } else if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0) {
        format_time(X509_get0_notBefore(certificate), date, sizeof(date));
        tls_warning(reporter, key, "%s: %s is not valid before %s; who verifies it will refuse it",
                    path, what, date);
    }
}

static uint64_t seconds_of(const ASN1_TIME *time)
{
    struct tm parts;
    time_t seconds;

    if (!ASN1_TIME_to_tm(time, &parts))
        return 0;
    seconds = timegm(&parts);
    return seconds > 0 ? (uint64_t)seconds : 0;
}

/* After the last certificate: that there is none is no error. */
static bool at_end(void)
{
    unsigned long code = ERR_peek_last_error();
    bool end = code == 0 ||
               (ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE);

    if (end)
        ERR_clear_error();
    return end;
}

static void load_chain(struct tls_context *context, BIO *bio, const char *path, const char *key,
                       struct tls_reporter *reporter)
{
    char why[160];
    X509 *issuer;
    unsigned number = 1;

    while ((issuer = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        char what[64];
        number++;
        (void)snprintf(what, sizeof(what), "certificate number %u in it", number);
        check_dates(issuer, what, path, key, reporter);
        if (!SSL_CTX_add0_chain_cert(context->ssl, issuer)) {
            X509_free(issuer);
            tls_fault(reporter, key, "%s: certificate number %u is not accepted: %s", path, number,
                      tls_error(why, sizeof(why)));
            return;
        }
    }
    if (!at_end())
        tls_fault(reporter, key, "%s: certificate number %u is damaged: %s", path, number + 1,
                  tls_error(why, sizeof(why)));
}

void tls_load_certificate(struct tls_context *context, const char *path, const char *key,
                          struct tls_reporter *reporter)
{
    struct bytes bytes;
    char why[160];
    X509 *certificate;

    if (!bytes_read(&bytes, &context->files[TLS_CERTIFICATE], path, key, reporter))
        return;
    certificate = PEM_read_bio_X509_AUX(bytes.bio, NULL, NULL, NULL);
    if (certificate == NULL) {
        if (at_end())
            tls_fault(reporter, key, "%s holds no certificate in PEM form", path);
        else
            tls_fault(reporter, key, "%s: its certificate is damaged: %s", path,
                      tls_error(why, sizeof(why)));
    } else if (SSL_CTX_use_certificate(context->ssl, certificate) != 1) {
        tls_fault(reporter, key, "%s: its certificate is not accepted: %s", path,
                  tls_error(why, sizeof(why)));
    } else {
        check_dates(certificate, "its certificate", path, key, reporter);
        context->expires = seconds_of(X509_get0_notAfter(certificate));
        load_chain(context, bytes.bio, path, key, reporter);
    }
    X509_free(certificate);
    bytes_free(&bytes);
    ERR_clear_error();
}

/* There is nobody to ask for a password; it only has to be known that one is wanted. */
static int refuse_password(char *out, int size, int writing, void *context)
{
    bool *asked = context;

    (void)out;
    (void)size;
    (void)writing;
    *asked = true;
    return -1;
}

void tls_load_key(struct tls_context *context, const char *path, const char *key,
                  struct tls_reporter *reporter)
{
    X509 *certificate = SSL_CTX_get0_certificate(context->ssl);
    struct bytes bytes;
    bool asked = false;
    char why[160];
    EVP_PKEY *found;

    if (!bytes_read(&bytes, &context->files[TLS_KEY], path, key, reporter))
        return;
    found = PEM_read_bio_PrivateKey(bytes.bio, NULL, refuse_password, &asked);
    if (found == NULL && asked)
        tls_fault(reporter, key,
                  "%s is protected by a password, which nobody is there to type; store the key "
                  "without one (openssl pkey -in FILE -out NEW) and protect the file by its mode",
                  path);
    else if (found == NULL && memmem(bytes.data, bytes.len, "PRIVATE KEY-----", 16) == NULL)
        tls_fault(reporter, key, "%s holds no private key in PEM form", path);
    else if (found == NULL)
        tls_fault(reporter, key, "%s: its private key is damaged: %s", path,
                  tls_error(why, sizeof(why)));
    else if (certificate != NULL && X509_check_private_key(certificate, found) != 1)
        tls_fault(reporter, key, "%s does not match the certificate in %s", path,
                  context->files[TLS_CERTIFICATE].path);
    else if (certificate != NULL && SSL_CTX_use_PrivateKey(context->ssl, found) != 1)
        tls_fault(reporter, key, "%s: its private key is not accepted: %s", path,
                  tls_error(why, sizeof(why)));
    EVP_PKEY_free(found);
    bytes_free(&bytes);
    ERR_clear_error();
}

/*
 * OpenSSL by itself would look into the system's folder of authorities while a worker shakes hands.
 * So the whole bundle is read here; where the distributions keep it.
 */
const char *tls_system_ca(void)
{
    const char *paths[] = { getenv(X509_get_default_cert_file_env()), X509_get_default_cert_file(),
                            "/etc/ssl/certs/ca-certificates.crt",
                            "/etc/pki/tls/certs/ca-bundle.crt" };

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        if (paths[i] != NULL && access(paths[i], R_OK) == 0)
            return paths[i];
    return NULL;
}

void tls_load_ca(struct tls_context *context, const char *path, const char *key,
                 struct tls_reporter *reporter)
{
    const char *system = tls_system_ca();
    bool is_ours = system == NULL || strcmp(path, system) != 0;
    X509_STORE *store = SSL_CTX_get_cert_store(context->ssl);
    struct bytes bytes;
    char why[160];
    unsigned count = 0;
    bool taken = true;
    X509 *authority;

    if (!bytes_read(&bytes, &context->files[TLS_CA], path, key, reporter))
        return;
    while (taken && (authority = PEM_read_bio_X509(bytes.bio, NULL, NULL, NULL)) != NULL) {
        char what[64];
        count++;
        (void)snprintf(what, sizeof(what), "certificate number %u in it", count);
        if (is_ours) /* the system's are looked after by the distribution */
            check_dates(authority, what, path, key, reporter);
        /* Its extensions are decoded when they are first wanted: here, and not by two workers at
         * once. */
        (void)X509_check_purpose(authority, -1, 0);
        taken = X509_STORE_add_cert(store, authority) == 1 &&
                (!context->server || SSL_CTX_add_client_CA(context->ssl, authority) == 1);
        X509_free(authority);
    }
    if (!taken)
        tls_fault(reporter, key, "%s: certificate number %u is not accepted: %s", path, count,
                  tls_error(why, sizeof(why)));
    else if (!at_end())
        tls_fault(reporter, key, "%s: certificate number %u is damaged: %s", path, count + 1,
                  tls_error(why, sizeof(why)));
    else if (count == 0)
        tls_fault(reporter, key, "%s holds no certificate in PEM form", path);
    bytes_free(&bytes);
    ERR_clear_error();
}
