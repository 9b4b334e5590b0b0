#include "crossfade/ctl/talk.h"

#include "crossfade/base/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* No reply is longer; a daemon that sends more is none. */
#define REPLY_MAX (64u * 1024u * 1024u)

static enum talk_verdict connect_to(const char *path, int *fd, char *error, size_t error_size)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    if (strlen(path) >= sizeof(address.sun_path)) {
        (void)snprintf(error, error_size, "%s: the path of a unix socket has at most %zu bytes",
                       path, sizeof(address.sun_path) - 1);
        return TALK_FAILED;
    }
    memcpy(address.sun_path, path, strlen(path));
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*fd < 0) {
        (void)snprintf(error, error_size, "no socket: %s", strerror(errno));
        return TALK_FAILED;
    }
    if (connect(*fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return TALK_OK;
    switch (errno) {
    case ENOENT:
        (void)snprintf(error, error_size,
                       "%s: there is no such socket. Is crossfade running? If it listens elsewhere "
                       "(control.sockets in its configuration), say so by -s PATH or "
                       "CROSSFADE_SOCKET.",
                       path);
        break;
    case ECONNREFUSED:
        (void)snprintf(error, error_size,
                       "%s: nobody listens on this socket: crossfade is not running.", path);
        break;
    case EACCES:
        (void)snprintf(error, error_size,
                       "%s: you may not use this socket; its mode and owner decide. Try it as the "
                       "user that crossfade runs as, or as root.",
                       path);
        break;
    default:
        (void)snprintf(error, error_size, "%s: %s", path, strerror(errno));
    }
    (void)close(*fd);
    return TALK_NO_DAEMON;
}

/* Waits for `events` until the limit. */
static bool wait_for(int fd, short events, uint64_t until)
{
    uint64_t now = clock_now();
    struct pollfd waiting = { .fd = fd, .events = events };

    return now < until && poll(&waiting, 1, (int)((until - now) / 1000u) + 1) > 0;
}

static enum talk_verdict send_line(int fd, const char *line, uint64_t until, char *error,
                                   size_t error_size)
{
    size_t len = strlen(line);
    size_t sent = 0;

    while (sent < len) {
        ssize_t n;
        if (!wait_for(fd, POLLOUT, until))
            return TALK_TIMEOUT;
        n = send(fd, line + sent, len - sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EPIPE)
            return TALK_OK; /* it may have said why before it closed */
        if (n < 0 && errno != EINTR) {
            (void)snprintf(error, error_size, "the daemon closed the connection: %s",
                           strerror(errno));
            return TALK_FAILED;
        }
        sent += n > 0 ? (size_t)n : 0;
    }
    return TALK_OK;
}

/* The bytes up to the empty line; *text is terminated and the caller's. */
static enum talk_verdict receive(int fd, uint64_t until, char **text, char *error,
                                 size_t error_size)
{
    size_t room = 0;
    size_t len = 0;

    for (;;) {
        ssize_t n;
        if (len + 1 >= room) {
            char *larger = room < REPLY_MAX ? realloc(*text, room = room * 2 + 4096) : NULL;
            if (larger == NULL) {
                (void)snprintf(error, error_size, "the reply is too long");
                return TALK_FAILED;
            }
            *text = larger;
        }
        if (!wait_for(fd, POLLIN, until))
            return TALK_TIMEOUT;
        n = recv(fd, *text + len, room - len - 1, 0);
        if (n <= 0 && !(n < 0 && errno == EINTR)) {
            (void)snprintf(error, error_size,
                           "the daemon closed the connection before its reply "
                           "was complete");
            return TALK_FAILED;
        }
        len += n > 0 ? (size_t)n : 0;
        (*text)[len] = '\0';
        if (len >= 2 && strcmp(*text + len - 2, "\n\n") == 0) {
            (*text)[len - 1] = '\0'; /* without the empty line */
            return TALK_OK;
        }
    }
}

/* OK [sentence] or ERR code sentence; the rest is the body. */
static bool take_apart(char *text, struct talk_reply *reply)
{
    char *line_end = strchr(text, '\n');
    char *sentence;

    if (line_end == NULL)
        return false;
    *line_end = '\0';
    reply->body = strdup(line_end + 1);
    reply->ok = strcmp(text, "OK") == 0 || strncmp(text, "OK ", 3) == 0;
    sentence = text[2] == ' ' ? text + 3 : text + 2;
    if (!reply->ok) {
        char *code = text + 4;
        char *space = strncmp(text, "ERR ", 4) == 0 ? strchr(code, ' ') : NULL;
        if (space == NULL ||
            !control_code_parse(slice_of(code, (size_t)(space - code)), &reply->code))
            return false;
        sentence = space + 1;
    }
    reply->sentence = strdup(sentence);
    return reply->body != NULL && reply->sentence != NULL;
}

enum talk_verdict talk(const char *socket_path, const char *line, unsigned seconds,
                       struct talk_reply *reply, char *error, size_t error_size)
{
    uint64_t until = clock_now() + SECONDS(seconds);
    char *text = NULL;
    int fd = -1;
    enum talk_verdict verdict;

    memset(reply, 0, sizeof(*reply));
    error[0] = '\0';
    verdict = connect_to(socket_path, &fd, error, error_size);
    if (verdict != TALK_OK)
        return verdict;
    verdict = send_line(fd, line, until, error, error_size);
    if (verdict == TALK_OK)
        verdict = receive(fd, until, &text, error, error_size);
    if (verdict == TALK_OK && !take_apart(text, reply)) {
        (void)snprintf(error, error_size, "%s: what answers there is not crossfade", socket_path);
        verdict = TALK_FAILED;
    }
    if (verdict == TALK_TIMEOUT)
        (void)snprintf(error, error_size, "no answer within %u seconds", seconds);
    free(text);
    (void)close(fd);
    return verdict;
}

void talk_reply_free(struct talk_reply *reply)
{
    free(reply->sentence);
    free(reply->body);
    reply->sentence = reply->body = NULL;
}
