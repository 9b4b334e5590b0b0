#include "crossfade/net/loop.h"
#include "crossfade/net/watch.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct end {
    struct watch watch;
    int peer;
    unsigned calls;
    short what;
    void (*act)(struct end *end); /* in the callback, or NULL */
    struct end *other;
};

static struct loop *loop;
static struct end ends[3];

static void on_ready(int fd, short what, void *context)
{
    struct end *end = context;

    cr_assert_eq(fd, end->watch.fd);
    end->calls++;
    end->what = what;
    if (end->act != NULL)
        end->act(end);
}

static void start(void)
{
    loop = loop_create();
    cr_assert_not_null(loop);
    for (size_t i = 0; i < 3; i++) {
        int pair[2];
        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
        ends[i] = (struct end){ .peer = pair[1] };
        watch_init(&ends[i].watch, loop, pair[0], on_ready, &ends[i]);
    }
}

static void finish(void)
{
    for (size_t i = 0; i < 3; i++) {
        watch_stop(&ends[i].watch);
        close(ends[i].watch.fd);
        close(ends[i].peer);
    }
    loop_destroy(loop);
}

TestSuite(loop, .init = start, .fini = finish);

static void turn(void)
{
    loop_wait(loop, 0);
    loop_dispatch(loop);
}

static void poke(struct end *end)
{
    cr_assert_eq(write(end->peer, "x", 1), 1);
}

Test(loop, calls_who_is_ready_for_what_it_waits_for)
{
    cr_assert(watch_set(&ends[0].watch, true, false));
    cr_assert(watch_set(&ends[1].watch, false, true));
    turn();
    cr_assert_eq(ends[0].calls, 0);
    cr_assert_eq(ends[1].calls, 1);
    cr_assert_eq(ends[1].what, EV_WRITE);
    poke(&ends[0]);
    poke(&ends[1]);
    poke(&ends[2]);
    turn();
    cr_assert_eq(ends[0].what, EV_READ);
    cr_assert_eq(ends[1].what, EV_WRITE, "reading was not asked for");
    cr_assert_eq(ends[2].calls, 0, "it is not watched");
    cr_assert(watch_set(&ends[1].watch, true, true));
    turn();
    cr_assert_eq(ends[1].what, EV_READ | EV_WRITE);
    cr_assert_eq(ends[0].calls, 2, "what was not read is still there");
    watch_stop(&ends[0].watch);
    turn();
    cr_assert_eq(ends[0].calls, 2);
}

Test(loop, the_peer_s_end_wakes_either_direction)
{
    for (int i = 0; i < 2; i++) {
        cr_assert(watch_set(&ends[i].watch, i == 0, i == 1));
        close(ends[i].peer);
        ends[i].peer = -1;
    }
    turn();
    cr_assert_eq(ends[0].what, EV_READ);
    cr_assert_eq(ends[1].what, EV_WRITE);
}

static void stop_other(struct end *end)
{
    watch_stop(&end->other->watch);
    /* As if its owner had given it back; whoever calls it now reads this. */
    memset(&end->other->watch, 0x5a, sizeof(end->other->watch));
}

/* Whichever of two comes first in a turn stops the other. */
Test(loop, who_was_stopped_is_not_called_though_it_was_ready)
{
    int fds[] = { ends[0].watch.fd, ends[1].watch.fd };

    for (int i = 0; i < 2; i++) {
        cr_assert(watch_set(&ends[i].watch, true, false));
        ends[i].act = stop_other;
        ends[i].other = &ends[1 - i];
        poke(&ends[i]);
    }
    turn();
    cr_assert_eq(ends[0].calls + ends[1].calls, 1);
    for (int i = 0; i < 2; i++)
        if (ends[i].calls == 0)
            watch_init(&ends[i].watch, loop, fds[i], on_ready, &ends[i]);
}

static void stop_reading(struct end *end)
{
    cr_assert(watch_set(&end->other->watch, false, true));
    end->act = NULL;
}

Test(loop, who_waits_for_something_else_by_now_is_not_called_for_the_old)
{
    for (int i = 0; i < 2; i++) {
        cr_assert(watch_set(&ends[i].watch, true, false));
        ends[i].act = stop_reading;
        ends[i].other = &ends[1 - i];
        poke(&ends[i]);
    }
    turn();
    cr_assert_eq(ends[0].calls + ends[1].calls, 1);
}

static void once_more(struct end *end)
{
    if (end->calls < 3)
        watch_again(&end->watch);
}

Test(loop, again_is_once_in_the_next_turn)
{
    cr_assert(watch_set(&ends[0].watch, true, false));
    ends[0].act = once_more;
    watch_again(&ends[0].watch);
    watch_again(&ends[0].watch);
    loop_wait(loop, 60000); /* does not wait */
    loop_dispatch(loop);
    cr_assert_eq(ends[0].calls, 1);
    cr_assert_eq(ends[0].what, EV_READ);
    poke(&ends[0]);
    turn();
    cr_assert_eq(ends[0].calls, 2, "ready and asked for are one call");
    turn();
    cr_assert_eq(ends[0].calls, 3);
    watch_again(&ends[0].watch);
    cr_assert(watch_set(&ends[0].watch, false, false));
    turn();
    cr_assert_eq(ends[0].calls, 3, "another mask undoes it");
    watch_again(&ends[0].watch);
    watch_stop(&ends[0].watch);
    turn();
    cr_assert_eq(ends[0].calls, 3);
}
