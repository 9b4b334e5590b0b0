#include "crossfade/relay/mc_fence.h"

#include "crossfade/base/log.h"
#include "crossfade/relay/mc_errand.h"
#include "crossfade/relay/mc_journal.h"
#include "crossfade/relay/mc_pools.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_AT_ONCE 16384u
#define READS_AT_ONCE 16u

struct mc_fence {
    LIST_ENTRY(mc_fence) link;
    struct mc_server *server;
    const struct mc_dialect *dialect;
    struct watch watch;
    struct turn_task grave;
    uint64_t since; /* that the server is trusted while this stands */
    int fd;
};

static void grave_task(struct turn_task *task)
{
    free((char *)task - offsetof(struct mc_fence, grave));
}

static void reset(int fd)
{
    static const struct linger none = { .l_onoff = 1 };

    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
    (void)close(fd);
}

/* What was sent on it, and has no answer, may change something. */
static bool may_write(const struct mc_op *op)
{
    if (op->flags & MC_OP_PROBE)
        return false;
    if (op->errand != NULL)
        return op->errand->kind != MC_ERRAND_FETCH;
    return !mc_verb_is_get(op->verb) && op->verb != MC_META_DEBUG;
}

static bool owes_writes(const struct mc_connection *connection)
{
    const struct mc_op *op;

    STAILQ_FOREACH (op, &connection->ops, in_connection) {
        if (op == connection->unsent)
            break;
        if (may_write(op))
            return true;
    }
    return false;
}

/* False: its end has come. */
static bool drop_bytes(int fd)
{
    char bytes[READ_AT_ONCE];

    for (unsigned i = 0; i < READS_AT_ONCE; i++) {
        ssize_t got = read(fd, bytes, sizeof(bytes));
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
            return false;
        if (got < 0)
            return true;
    }
    return true;
}

static void end(struct mc_fence *fence)
{
    watch_stop(&fence->watch);
    LIST_REMOVE(fence, link);
    mc_owed_unfence(fence->server->owed);
    worker_bury(fence->server->plane->worker, &fence->grave);
}

static void on_ready(int fd, short what, void *context)
{
    struct mc_fence *fence = context;

    (void)what;
    if (drop_bytes(fd))
        return;
    end(fence);
    (void)close(fd);
}

static unsigned count(const struct mc_server *server)
{
    const struct mc_fence *fence;
    unsigned n = 0;

    LIST_FOREACH (fence, &server->fences, link)
        n++;
    return n;
}

void mc_fence_begin(const struct mc_connection *connection)
{
    struct mc_server *server = connection->server;
    struct worker *worker = server->plane->worker;
    struct mc_fence *fence;
    int fd;

    if ((connection->state != MC_READY && connection->state != MC_PROBING) || server->refs == 0 ||
        !owes_writes(connection))
        return;
    fd = fcntl(connection->stream.fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (shutdown(fd, SHUT_WR) != 0 || !drop_bytes(fd)) {
        (void)close(fd); /* the server has ended it itself */
        return;
    }
    fence = count(server) < MC_FENCES_MAX ? calloc(1, sizeof(*fence)) : NULL;
    if (fence == NULL) {
        log_warn("memcached server %s: a connection with unanswered writes is closed hard; if the "
                 "server still runs them, it does so later than what it is told now",
                 server->name);
        reset(fd);
        return;
    }
    fence->server = server;
    fence->dialect = connection->dialect;
    fence->fd = fd;
    fence->since = worker_now(worker);
    fence->grave.run = grave_task;
    watch_init(&fence->watch, worker->base, fd, on_ready, fence);
    LIST_INSERT_HEAD(&server->fences, fence, link);
    mc_owed_fence(server->owed);
    if (!watch_set(&fence->watch, true, false)) {
        end(fence);
        reset(fd);
    }
}

void mc_fence_tick(struct mc_server *server, uint64_t now)
{
    struct mc_fence *fence = LIST_FIRST(&server->fences);

    while (fence != NULL) {
        struct mc_fence *next = LIST_NEXT(fence, link);
        int fd = fence->fd;
        if (server->trust[fence->dialect->index].failures > 0) {
            fence->since = now; /* it stands still, as far as anybody knows */
        } else if (now > fence->since + MC_FENCE_LIMIT) {
            log_warn(
                "memcached server %s does not end a connection that was given up: it is reset; "
                "if the server still runs what it has of it, it does so later than what it is "
                "told now",
                server->name);
            end(fence);
            reset(fd);
        }
        fence = next;
    }
}

void mc_fence_end_all(struct mc_server *server)
{
    struct mc_fence *fence;

    while ((fence = LIST_FIRST(&server->fences)) != NULL) {
        int fd = fence->fd;
        end(fence);
        (void)close(fd);
    }
}
