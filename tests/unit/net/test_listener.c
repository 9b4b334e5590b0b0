#include "crossfade/net/listener.h"

#include <criterion/criterion.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];
static char path[80];
static char error[512];

static void make_folder(void)
{
    const char *tmp = getenv("TMPDIR");

    (void)snprintf(folder, sizeof(folder), "%.32s/listener-XXXXXX", tmp != NULL ? tmp : "/tmp");
    cr_assert_not_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/s", folder);
}

static void remove_folder(void)
{
    (void)unlink(path);
    (void)rmdir(folder);
}

static struct listener *open_at(const char *where, int mode, unsigned workers)
{
    struct config_listener config = { .endpoint = { .text = (char *)(uintptr_t)where,
                                                    .path = (char *)(uintptr_t)where },
                                      .mode = mode };

    struct listener *listener;

    error[0] = '\0';
    listener = listener_open(&config, workers, error, sizeof(error));
    cr_assert(listener == NULL || listener_listen(listener, error, sizeof(error)), "%s", error);
    return listener;
}

static bool connects(const char *where)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    bool ok;

    memcpy(un.sun_path, where, strlen(where) + 1);
    ok = connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0;
    (void)close(fd);
    return ok;
}

Test(listener, a_unix_socket_has_its_mode_and_goes_with_its_listener, .init = make_folder,
     .fini = remove_folder)
{
    struct listener *listener = open_at(path, 0640, 3);
    struct stat made;

    cr_assert_not_null(listener, "%s", error);
    cr_assert_eq(stat(path, &made), 0);
    cr_expect_eq(made.st_mode & 0777, 0640);
    cr_expect(connects(path));
    for (unsigned i = 0; i < 3; i++)
        cr_expect(fcntl(listener->fds[i], F_GETFL) & O_NONBLOCK);
    listener_close(listener);
    cr_expect_eq(access(path, F_OK), -1);
}

Test(listener, a_live_socket_is_refused_and_a_stale_one_replaced, .init = make_folder,
     .fini = remove_folder)
{
    struct listener *first = open_at(path, 0600, 1);
    struct listener *second;

    cr_assert_not_null(first);
    cr_expect_null(open_at(path, 0600, 1));
    cr_expect_not_null(strstr(error, "another process is listening there"), "%s", error);
    cr_expect(connects(path), "the refused one took nothing away");
    /* As after a crash: the file is left, and nobody listens. */
    (void)close(first->fds[0]);
    first->fds[0] = -1;
    cr_expect_not(connects(path));
    second = open_at(path, 0600, 1);
    cr_assert_not_null(second, "%s", error);
    cr_expect(connects(path));
    listener_close(second);
    listener_close(first);
}

Test(listener, a_socket_that_another_has_taken_over_is_left_alone, .init = make_folder,
     .fini = remove_folder)
{
    struct listener *first = open_at(path, 0600, 1);
    struct listener *second;

    cr_assert_not_null(first);
    (void)shutdown(first->fds[0], SHUT_RDWR); /* as one that drains */
    second = open_at(path, 0600, 1);
    cr_assert_not_null(second, "%s", error);
    listener_close(first);
    cr_expect(connects(path));
    listener_close(second);
    cr_expect_eq(access(path, F_OK), -1);
}

Test(listener, what_is_no_socket_is_never_removed, .init = make_folder, .fini = remove_folder)
{
    int fd = open(path, O_CREAT | O_WRONLY, 0600);

    (void)close(fd);
    cr_expect_null(open_at(path, 0600, 1));
    cr_expect_not_null(strstr(error, "no socket"), "%s", error);
    cr_expect_eq(access(path, F_OK), 0);
}

Test(listener, nobody_can_connect_before_it_listens, .init = make_folder, .fini = remove_folder)
{
    struct config_listener config = { .endpoint = { .text = path, .path = path }, .mode = 0600 };
    struct listener *listener = listener_open(&config, 2, error, sizeof(error));

    cr_assert_not_null(listener, "%s", error);
    cr_expect_not(connects(path));
    cr_assert(listener_listen(listener, error, sizeof(error)), "%s", error);
    cr_expect(connects(path));
    listener_close(listener);
}

Test(listener, an_address_that_was_taken_meanwhile_is_refused, .init = make_folder,
     .fini = remove_folder)
{
    struct config_listener at_path = { .endpoint = { .text = path, .path = path }, .mode = 0600 };
    struct config_listener at_port = { .endpoint = { .text = (char *)(uintptr_t) "127.0.0.1:0",
                                                     .host = (char *)(uintptr_t) "127.0.0.1" },
                                       .mode = -1 };
    struct listener *slow = listener_open(&at_path, 1, error, sizeof(error));
    struct listener *fast = listener_open(&at_path, 1, error, sizeof(error));
    struct sockaddr_in in;
    socklen_t len = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    cr_assert(slow != NULL && fast != NULL);
    cr_assert(listener_listen(fast, error, sizeof(error)), "%s", error);
    cr_expect_not(listener_listen(slow, error, sizeof(error)));
    cr_expect_not_null(strstr(error, "another process"), "%s", error);
    listener_close(slow);
    cr_expect(connects(path), "the other's socket is left alone");
    listener_close(fast);

    memset(&in, 0, sizeof(in));
    in.sin_family = AF_INET;
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    cr_assert_eq(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    (void)close(fd);
    at_port.endpoint.port = ntohs(in.sin_port);
    slow = listener_open(&at_port, 2, error, sizeof(error));
    fast = listener_open(&at_port, 2, error, sizeof(error));
    cr_assert(slow != NULL && fast != NULL, "%s", error);
    cr_assert(listener_listen(fast, error, sizeof(error)), "%s", error);
    cr_expect_not(listener_listen(slow, error, sizeof(error)));
    cr_expect_not_null(strstr(error, "in use"), "%s", error);
    listener_close(slow);
    listener_close(fast);
}

Test(listener, a_port_in_use_is_refused)
{
    struct sockaddr_in in = { .sin_family = AF_INET,
                              .sin_addr = { .s_addr = htonl(INADDR_LOOPBACK) } };
    socklen_t len = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int one = 1;
    char text[32];
    struct config_listener config = { .mode = -1 };
    struct listener *listener;

    /* Even one that lets others share it: it belongs to somebody. */
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
    cr_assert_eq(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    cr_assert_eq(listen(fd, 1), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    (void)snprintf(text, sizeof(text), "127.0.0.1:%u", ntohs(in.sin_port));
    config.endpoint.text = text;
    config.endpoint.host = (char *)(uintptr_t) "127.0.0.1";
    config.endpoint.port = ntohs(in.sin_port);
    cr_expect_null(listener_open(&config, 2, error, sizeof(error)));
    cr_expect_not_null(strstr(error, "in use"), "%s", error);
    (void)close(fd);
    listener = listener_open(&config, 2, error, sizeof(error));
    cr_expect_not_null(listener, "%s", error);
    listener_close(listener);
}
