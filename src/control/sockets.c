#include "crossfade/control/sockets.h"

#include "crossfade/base/log.h"
#include "crossfade/control/commands.h"
#include "crossfade/net/listener.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* A peer that has that much unread is not read from until it has taken half of it. */
#define OUTPUT_MAX (1024u * 1024u)
/* A peer that takes nothing for so long is closed. */
static const struct timeval write_timeout = { .tv_sec = 30 };
/* Out of descriptors: until it is tried again. */
static const struct timeval accept_pause = { .tv_usec = 200000 };

struct control_socket {
    LIST_ENTRY(control_socket) link;
    struct control_sockets *sockets;
    struct listener *listener;
    struct event *event;
    enum control_level level;
    bool wanted; /* by the configuration that is being put in force */
    unsigned talk_count;
};

struct control_talk {
    LIST_ENTRY(control_talk) link;
    struct control_sockets *sockets;
    struct control_socket *socket; /* NULL once that is gone: then it only ends */
    struct bufferevent *stream;
    char by[96];
    struct control_pending *pending; /* the command that is not answered yet, or NULL */
    char *rest;                      /* of its line; NULL: none */
    size_t rest_len;
    bool closing;
    bool shutdown; /* once the reply is out */
    uint64_t drain;
};

struct control_sockets {
    struct event_base *base;
    const struct control_host *host;
    LIST_HEAD(, control_socket) listening;
    LIST_HEAD(, control_talk) talks;
    struct event *accept_again;
};

static void talk_close(struct control_talk *talk)
{
    LIST_REMOVE(talk, link);
    if (talk->socket != NULL)
        talk->socket->talk_count--;
    if (talk->pending != NULL)
        talk->pending->context = NULL;
    bufferevent_free(talk->stream);
    free(talk->rest);
    free(talk);
}

/* A shutdown was taken, so it comes, also when the one who asked did not wait for the reply. */
static void stop_if_asked(struct control_talk *talk)
{
    const struct control_host *host = talk->sockets->host;

    if (talk->shutdown) {
        talk->shutdown = false;
        host->shutdown(host->context, talk->drain);
    }
}

/* "alice (uid 1000, pid 4711)", as the kernel knows it. */
static void name_peer(int fd, char *out, size_t size)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);
    const struct passwd *user;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0) {
        (void)snprintf(out, size, "somebody");
        return;
    }
    user = getpwuid(peer.uid);
    (void)snprintf(out, size, "%.32s%suid %u, pid %d%s", user != NULL ? user->pw_name : "",
                   user != NULL ? " (" : "", (unsigned)peer.uid, (int)peer.pid,
                   user != NULL ? ")" : "");
}

/* What is behind the command is run in a turn of the loop of its own. */
static void on_answered(struct control_pending *pending)
{
    struct control_talk *talk = pending->context;

    talk->pending = NULL;
    control_pending_write(pending, bufferevent_get_output(talk->stream));
    if (talk->closing)
        return; /* after the output */
    (void)bufferevent_enable(talk->stream, EV_READ);
    bufferevent_trigger(talk->stream, EV_READ,
                        BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS);
}

static void refuse(struct control_talk *talk, const char *sentence)
{
    (void)evbuffer_add_printf(bufferevent_get_output(talk->stream), "ERR usage %s\n\n", sentence);
}

/* A command waits for its answer, and what is behind it for that. */
static void wait_for_answer(struct control_talk *talk, struct slice rest)
{
    talk->pending->context = talk;
    talk->pending->answered = on_answered;
    (void)bufferevent_disable(talk->stream, EV_READ);
    if (rest.len == 0)
        return;
    talk->rest = malloc(rest.len);
    talk->rest_len = rest.len;
    if (talk->rest != NULL)
        memcpy(talk->rest, rest.data, rest.len);
    else
        talk->closing = true; /* after the answer */
}

static void run_line(struct control_talk *talk, struct slice line)
{
    const struct control_host *host = talk->sockets->host;
    struct control_words words;
    const char *why;

    /* A reload may change the level, or end the talk. */
    while (!talk->shutdown && talk->socket != NULL) {
        const struct control_peer peer = { talk->socket->level, talk->by };
        switch (control_line_next(&line, &words, &why)) {
        case CONTROL_LINE_OK:
            talk->shutdown =
                control_dispatch(host, &peer, &words, bufferevent_get_output(talk->stream),
                                 &talk->drain, &talk->pending);
            if (talk->pending != NULL) {
                wait_for_answer(talk, line);
                return;
            }
            break;
        case CONTROL_LINE_BAD:
            refuse(talk, why);
            return;
        case CONTROL_LINE_END:
            return;
        }
    }
}

/* The output is gone: close, or stop the daemon, if that was waited for. */
static void after_output(struct control_talk *talk)
{
    if (talk->pending != NULL || evbuffer_get_length(bufferevent_get_output(talk->stream)) > 0)
        return;
    stop_if_asked(talk);
    if (talk->closing)
        talk_close(talk);
}

static void read_lines(struct control_talk *talk)
{
    struct evbuffer *input = bufferevent_get_input(talk->stream);
    struct evbuffer *output = bufferevent_get_output(talk->stream);

    if (talk->pending == NULL && talk->rest != NULL) {
        char *rest = talk->rest;
        talk->rest = NULL;
        run_line(talk, slice_of(rest, talk->rest_len));
        free(rest);
    }
    while (!talk->closing && !talk->shutdown && talk->pending == NULL &&
           evbuffer_get_length(output) < OUTPUT_MAX) {
        size_t len;
        char *line = evbuffer_readln(input, &len, EVBUFFER_EOL_CRLF);
        if (line == NULL) {
            if (evbuffer_get_length(input) <= CONTROL_LINE_MAX)
                break;
            refuse(talk, "a line has at most 4096 bytes");
            (void)evbuffer_drain(input, evbuffer_get_length(input));
            talk->closing = true;
        } else if (len > CONTROL_LINE_MAX) {
            refuse(talk, "a line has at most 4096 bytes");
        } else {
            run_line(talk, slice_of(line, len));
        }
        free(line);
    }
    if (talk->closing || talk->shutdown || evbuffer_get_length(output) >= OUTPUT_MAX)
        (void)bufferevent_disable(talk->stream, EV_READ);
}

static void on_read(struct bufferevent *stream, void *context)
{
    (void)stream;
    read_lines(context);
}

static void on_written(struct bufferevent *stream, void *context)
{
    struct control_talk *talk = context;

    if (!talk->closing && !talk->shutdown && talk->pending == NULL &&
        evbuffer_get_length(bufferevent_get_output(stream)) < OUTPUT_MAX / 2 &&
        (bufferevent_get_enabled(stream) & EV_READ) == 0) {
        (void)bufferevent_enable(stream, EV_READ);
        read_lines(talk);
    }
    after_output(talk);
}

static void on_end(struct bufferevent *stream, short what, void *context)
{
    struct control_talk *talk = context;

    /* It may have closed its side only, and still want what it asked for. */
    if ((what & BEV_EVENT_EOF) && evbuffer_get_length(bufferevent_get_output(stream)) > 0) {
        talk->closing = true;
        return;
    }
    stop_if_asked(talk);
    talk_close(talk);
}

static void on_accept_again(evutil_socket_t fd, short what, void *context)
{
    struct control_sockets *sockets = context;
    struct control_socket *socket;

    (void)fd;
    (void)what;
    LIST_FOREACH (socket, &sockets->listening, link)
        (void)event_add(socket->event, NULL);
}

/* Where nothing can be accepted, asking again and again would only take the processor's time. */
static void pause_accepting(struct control_socket *socket)
{
    struct control_sockets *sockets = socket->sockets;

    if (!event_pending(sockets->accept_again, EV_TIMEOUT, NULL))
        log_warn("control: cannot accept connections: %s; trying again", strerror(errno));
    if (event_add(sockets->accept_again, &accept_pause) == 0)
        (void)event_del(socket->event);
}

static void on_accept(evutil_socket_t fd, short what, void *context)
{
    struct control_socket *socket = context;
    struct control_sockets *sockets = socket->sockets;
    struct address peer;
    int accepted = listener_accept(fd, &peer);
    struct control_talk *talk;

    (void)what;
    if (accepted < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            pause_accepting(socket);
        return;
    }
    talk = socket->talk_count < CONTROL_PEERS_MAX ? calloc(1, sizeof(*talk)) : NULL;
    if (talk != NULL)
        talk->stream = bufferevent_socket_new(sockets->base, accepted, BEV_OPT_CLOSE_ON_FREE);
    if (talk == NULL || talk->stream == NULL) {
        static const char full[] = "ERR failed too many control connections; close one\n\n";
        (void)!write(accepted, full, sizeof(full) - 1);
        (void)close(accepted);
        free(talk);
        return;
    }
    talk->sockets = sockets;
    talk->socket = socket;
    name_peer(accepted, talk->by, sizeof(talk->by));
    LIST_INSERT_HEAD(&sockets->talks, talk, link);
    socket->talk_count++;
    bufferevent_setcb(talk->stream, on_read, on_written, on_end, talk);
    bufferevent_setwatermark(talk->stream, EV_READ, 0, 2 * CONTROL_LINE_MAX);
    (void)bufferevent_set_timeouts(talk->stream, NULL, &write_timeout);
    (void)bufferevent_enable(talk->stream, EV_READ | EV_WRITE);
}

struct control_sockets *control_sockets_create(struct event_base *base,
                                               const struct control_host *host)
{
    struct control_sockets *sockets = calloc(1, sizeof(*sockets));

    if (sockets == NULL)
        return NULL;
    sockets->base = base;
    sockets->host = host;
    LIST_INIT(&sockets->listening);
    LIST_INIT(&sockets->talks);
    sockets->accept_again = evtimer_new(base, on_accept_again, sockets);
    if (sockets->accept_again == NULL) {
        free(sockets);
        return NULL;
    }
    return sockets;
}

/*
 * Who came over a socket that is no more has no level any more. One of them may be the very talk
 * whose reload is being carried out, so each ends after its output, in a turn of the loop of its
 * own.
 */
static void end_talks(struct control_socket *socket)
{
    struct control_talk *talk;

    LIST_FOREACH (talk, &socket->sockets->talks, link)
        if (talk->socket == socket) {
            talk->socket = NULL;
            talk->closing = true;
            (void)bufferevent_disable(talk->stream, EV_READ);
            bufferevent_trigger(talk->stream, EV_WRITE,
                                BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS);
        }
}

static void socket_close(struct control_socket *socket)
{
    end_talks(socket);
    LIST_REMOVE(socket, link);
    if (socket->event != NULL)
        event_free(socket->event);
    listener_close(socket->listener);
    free(socket);
}

/* The folder of the socket, if only that is missing. */
static void make_folder(const char *path)
{
    char folder[256];
    const char *slash = strrchr(path, '/');

    if (slash == NULL || slash == path || (size_t)(slash - path) >= sizeof(folder))
        return;
    memcpy(folder, path, (size_t)(slash - path));
    folder[slash - path] = '\0';
    (void)mkdir(folder, 0755); /* if it fails, so will bind, and say why */
}

static bool socket_open(struct control_sockets *sockets, const struct config_control_socket *config,
                        char *error, size_t error_size)
{
    struct config_listener as_listener = {
        .endpoint = { .text = config->path, .path = config->path }, .mode = config->mode
    };
    struct control_socket *socket = calloc(1, sizeof(*socket));

    if (socket == NULL) {
        (void)snprintf(error, error_size, "out of memory");
        return false;
    }
    make_folder(config->path);
    socket->sockets = sockets;
    socket->listener = listener_open(&as_listener, 1, error, error_size);
    LIST_INSERT_HEAD(&sockets->listening, socket, link);
    if (socket->listener == NULL || !listener_listen(socket->listener, error, error_size)) {
        socket_close(socket);
        return false;
    }
    socket->event =
        event_new(sockets->base, socket->listener->fds[0], EV_READ | EV_PERSIST, on_accept, socket);
    if (socket->event == NULL || event_add(socket->event, NULL) != 0) {
        (void)snprintf(error, error_size, "out of memory");
        socket_close(socket);
        return false;
    }
    return true;
}

static struct control_socket *find(struct control_sockets *sockets, const char *path)
{
    struct control_socket *socket;

    LIST_FOREACH (socket, &sockets->listening, link)
        if (strcmp(socket->listener->name, path) == 0)
            return socket;
    return NULL;
}

/* Closes those that are wanted, or those that are not. */
static void close_where(struct control_sockets *sockets, bool wanted)
{
    struct control_socket *socket = LIST_FIRST(&sockets->listening);

    while (socket != NULL) {
        struct control_socket *next = LIST_NEXT(socket, link);
        if (socket->wanted == wanted)
            socket_close(socket);
        socket = next;
    }
}

bool control_sockets_configure(struct control_sockets *sockets, const struct config *config,
                               char *error, size_t error_size)
{
    const struct config_control *control = &config->control;
    struct control_socket *socket;

    /* First what is new: `wanted` marks it, so that it can be taken back. */
    LIST_FOREACH (socket, &sockets->listening, link)
        socket->wanted = false;
    for (size_t i = 0; i < control->socket_count; i++) {
        if (find(sockets, control->sockets[i].path) != NULL)
            continue;
        if (!socket_open(sockets, &control->sockets[i], error, error_size)) {
            close_where(sockets, true);
            return false;
        }
        LIST_FIRST(&sockets->listening)->wanted = true;
    }
    /* Now nothing can fail any more. */
    for (size_t i = 0; i < control->socket_count; i++) {
        socket = find(sockets, control->sockets[i].path);
        socket->wanted = true;
        socket->level = (enum control_level)control->sockets[i].level;
        if (!listener_set_mode(socket->listener, control->sockets[i].mode))
            log_warn("%s: its mode cannot be set: %s", control->sockets[i].path, strerror(errno));
    }
    close_where(sockets, false);
    return true;
}

void control_sockets_give(struct control_sockets *sockets, uid_t uid, gid_t gid)
{
    const struct control_socket *socket;

    LIST_FOREACH (socket, &sockets->listening, link)
        if (!listener_give(socket->listener, uid, gid))
            log_warn("%s: cannot be given to user %u: %s", socket->listener->name, (unsigned)uid,
                     strerror(errno));
}

void control_sockets_destroy(struct control_sockets *sockets)
{
    struct control_socket *socket;
    struct control_talk *talk;

    if (sockets == NULL)
        return;
    while ((talk = LIST_FIRST(&sockets->talks)) != NULL)
        talk_close(talk);
    while ((socket = LIST_FIRST(&sockets->listening)) != NULL)
        socket_close(socket);
    event_free(sockets->accept_again);
    free(sockets);
}
