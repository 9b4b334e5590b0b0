#include "http_rig.h"

#include "crossfade/net/loop.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* The linker puts these in the place of the real ones (local.mk: --wrap). */
static unsigned long allocations;
static unsigned starving;
static unsigned asked;
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_slab_get_paged(struct slab *slab);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_slab_get_paged(struct slab *slab);

static bool is_refused(void)
{
    return starving > 0 && ++asked % starving == 0;
}

void rig_starve(unsigned one_in)
{
    starving = one_in;
}

void *__wrap_slab_get_paged(struct slab *slab)
{
    return is_refused() ? NULL : __real_slab_get_paged(slab);
}

void *__wrap_malloc(size_t size)
{
    allocations++;
    return is_refused() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    allocations++;
    return is_refused() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    allocations++;
    return is_refused() ? NULL : __real_realloc(memory, size);
}

size_t rig_out(const struct slab *slab)
{
    return slab->used - slab->in_hand;
}

unsigned long rig_allocations(void)
{
    return allocations;
}

/* Unix sockets deliver at once, where TCP over loopback may take until after the test has looked.
 */
static int listen_at(const char *path)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

    cr_assert_geq(fd, 0);
    cr_assert_lt(strlen(path), sizeof(un.sun_path));
    memcpy(un.sun_path, path, strlen(path) + 1);
    cr_assert_eq(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    cr_assert_eq(listen(fd, 64), 0);
    return fd;
}

static struct config *make_config(const struct http_rig *rig, const char *web, bool two)
{
    struct config_faults faults;
    struct config *config;
    char second[sizeof(rig->paths[0]) + 16] = "";
    char candidate[sizeof(rig->paths[0]) + 16];
    char text[2048];
    int len;

    if (two)
        (void)snprintf(second, sizeof(second), ", \"unix:%s\"", rig->paths[1]);
    (void)snprintf(candidate, sizeof(candidate), "unix:%s", rig->paths[2]);
    len = snprintf(text, sizeof(text),
                   "arms:\n"
                   "  - { name: stable, backends: [ \"unix:%s\"%s ] }\n"
                   "  - { name: next, backends: [ \"%s\" ] }\n"
                   "web:\n"
                   "  listen: [ { address: \"127.0.0.1:1\" } ]\n"
                   "%s"
                   "rollout:\n"
                   "  name: test\n  from: stable\n  to: next\n  salt: pepper\n"
                   "  identity: [ \"issue:cf_id\" ]\n"
                   "  allow: [ { header: X-Employee } ]\n"
                   "  stages: [ { name: first, percent: 0 } ]\n"
                   "control:\n  http: off\n",
                   rig->paths[rig->first], second,
                   rig->candidate != NULL ? rig->candidate : candidate, web);
    config = config_load_text("test", text, (size_t)len, &faults);
    if (config == NULL)
        config_faults_print(&faults, "test", stderr);
    cr_assert_not_null(config);
    config_faults_free(&faults);
    return config;
}

void rig_reload(struct http_rig *rig, const char *web, bool two)
{
    const struct cohort_position position = { .active = true, .stage = 0, .percent = rig->percent };
    struct plan *before = rig->plan;
    struct snapshot *snapshot;
    const uint64_t generations[CONFIG_ARMS_MAX] = { 0 };
    char error[256];

    rig->plan = plan_create(make_config(rig, web, two), generations, before, rig->telemetry, error,
                            sizeof(error));
    cr_assert_not_null(rig->plan, "%s", error);
    snapshot = snapshot_create(rig->plan, position, ++rig->generation);
    cr_assert_not_null(snapshot);
    cr_assert(worker_adopt(&rig->worker, snapshot));
    plan_unref(before);
}

void rig_start(struct http_rig *rig, const char *web, bool two)
{
    log_set_level(LOG_ERROR);
    *rig = (struct http_rig){ .telemetry = telemetry_create(1) };
    cr_assert_not_null(rig->telemetry);
    clock_fake(SECONDS(1000), SECONDS(1000));
    (void)snprintf(rig->folder, sizeof(rig->folder), "%s/crossfade-XXXXXX", P_tmpdir);
    cr_assert_not_null(mkdtemp(rig->folder));
    for (unsigned i = 0; i < RIG_BACKENDS; i++) {
        (void)snprintf(rig->paths[i], sizeof(rig->paths[i]), "%s/%u", rig->folder, i);
        rig->listeners[i] = listen_at(rig->paths[i]);
    }
    cr_assert(worker_init(&rig->worker, 0, rig->telemetry));
    rig_reload(rig, web, two);
}

void rig_stop(struct http_rig *rig)
{
    for (unsigned i = 0; i < RIG_BACKENDS; i++) {
        rig_kill_backend(rig, i);
        (void)unlink(rig->paths[i]);
    }
    (void)rmdir(rig->folder);
    http_plane_destroy(rig->worker.http);
    rig->worker.http = NULL;
    worker_deinit(&rig->worker);
    plan_unref(rig->plan);
    telemetry_destroy(rig->telemetry);
    clock_fake(0, 0);
}

void rig_kill_backend(struct http_rig *rig, unsigned index)
{
    if (rig->listeners[index] >= 0)
        (void)close(rig->listeners[index]);
    rig->listeners[index] = -1;
}

void rig_revive_backend(struct http_rig *rig, unsigned index)
{
    (void)unlink(rig->paths[index]);
    rig->listeners[index] = listen_at(rig->paths[index]);
}

void rig_turn(struct http_rig *rig)
{
    /* A connection, a request and an answer are several steps. */
    for (int i = 0; i < 12; i++) {
        loop_wait(rig->worker.base, 0);
        loop_dispatch(rig->worker.base);
        worker_end_turn(&rig->worker);
    }
}

void rig_wait(struct http_rig *rig, uint64_t microseconds)
{
    uint64_t now = clock_now() + microseconds;

    rig_turn(rig);
    clock_fake(now, now);
    worker_tick(&rig->worker);
    rig_turn(rig);
}

int rig_client(struct http_rig *rig)
{
    struct address peer = { .len = sizeof(peer.u.in) };
    int fds[2];
    int size = 64 * 1024;

    peer.u.in.sin_family = AF_INET;
    peer.u.in.sin_addr.s_addr = htonl(0xc0000207); /* 192.0.2.7 */
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    (void)setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    http_plane_accept(rig->worker.http, 0, fds[1], &peer);
    rig_turn(rig);
    return fds[0];
}

int rig_accept(struct http_rig *rig, unsigned index)
{
    int fd;

    rig_turn(rig);
    fd = accept4(rig->listeners[index], NULL, NULL, SOCK_NONBLOCK);
    cr_assert_geq(fd, 0, "no connection to backend %u: %s", index, strerror(errno));
    return fd;
}

bool rig_untouched(struct http_rig *rig, unsigned index)
{
    rig_turn(rig);
    return accept4(rig->listeners[index], NULL, NULL, SOCK_NONBLOCK) < 0 && errno == EAGAIN;
}

void rig_send_bytes(struct http_rig *rig, int fd, const char *bytes, size_t len)
{
    cr_assert_eq(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len, "%s", strerror(errno));
    rig_turn(rig);
}

void rig_send(struct http_rig *rig, int fd, const char *text)
{
    rig_send_bytes(rig, fd, text, strlen(text));
}

const char *rig_read(struct http_rig *rig, int fd)
{
    static char text[65536];
    size_t len = 0;
    ssize_t n;

    rig_turn(rig);
    while (len < sizeof(text) - 1 && (n = recv(fd, text + len, sizeof(text) - 1 - len, 0)) > 0) {
        len += (size_t)n;
        rig_turn(rig);
    }
    text[len] = '\0';
    return text;
}

size_t rig_drain(struct http_rig *rig, int fd, bool *ended)
{
    static char bytes[65536];
    size_t total = 0;
    ssize_t n;

    rig_turn(rig);
    while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0) {
        total += (size_t)n;
        rig_turn(rig);
    }
    *ended = n == 0 || errno != EAGAIN;
    return total;
}

bool rig_ended(struct http_rig *rig, int fd)
{
    char byte;
    ssize_t n;

    rig_turn(rig);
    n = recv(fd, &byte, 1, 0);
    cr_assert_leq(n, 0, "there is still something to read");
    return n == 0 || errno != EAGAIN;
}

struct http_arm_cell *rig_arm(struct http_rig *rig, const char *name)
{
    int index = cells_index(rig->telemetry->http_arms, name);
    return cells_get(rig->telemetry->http_arms, (unsigned)index, 0);
}

void rig_exchange(struct http_rig *rig, int client, int backend, const char *request,
                  const char *response)
{
    const char *seen;

    rig_send(rig, client, request);
    seen = rig_read(rig, backend);
    cr_assert(has(seen, " HTTP/1.1\r\nHost: shop\r\n"), "%s", seen);
    rig_send(rig, backend, response);
}

bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

bool ends(const char *text, const char *with)
{
    size_t len = strlen(text), tail = strlen(with);
    return len >= tail && strcmp(text + len - tail, with) == 0;
}

bool has(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}
