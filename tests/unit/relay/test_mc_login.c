/* Logins on a worker whose login thread is the test itself, so that each moment can be looked at.
 */
#include "http_rig.h"

#include "crossfade/conf/load.h"
#include "crossfade/net/loop.h"
#include "crossfade/relay/mc_login.h"
#include "crossfade/relay/mc_plane.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define HASH "$5$5XY8OTTy77zwffR3$VNqzZHBp7Nt25WXsHW4zPMEhTQWdYvAmRU1BKhsw.G/"
#define LOGIN "set x 0 0 7\r\nalice x\r\n"
#define UNAUTHENTICATED "CLIENT_ERROR unauthenticated\r\n"
#define FAILURE "CLIENT_ERROR authentication failure\r\n"

struct desk {
    char folder[64];
    struct telemetry *telemetry;
    struct worker worker;
    struct plan *plan;
};

static unsigned wakes;

static void ignore(struct worker *worker)
{
    (void)worker;
}

static void count_wake(struct worker *worker)
{
    (void)worker;
    wakes++;
}

static void write_file(const struct desk *desk, const char *name, const char *text)
{
    char path[128];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/%s", desk->folder, name);
    file = fopen(path, "w");
    cr_assert_not_null(file);
    fputs(text, file);
    fclose(file);
}

static void desk_open(struct desk *desk)
{
    const struct cohort_position position = { .stage = -1 };
    const uint64_t generations[CONFIG_ARMS_MAX] = { 0 };
    struct config_faults faults;
    struct config *config;
    char path[128];
    char text[512];
    char error[256];

    log_set_level(LOG_ERROR);
    *desk = (struct desk){ .telemetry = telemetry_create(1) };
    clock_fake(SECONDS(1000), SECONDS(1000));
    (void)snprintf(desk->folder, sizeof(desk->folder), "%s/crossfade-XXXXXX", P_tmpdir);
    cr_assert_not_null(mkdtemp(desk->folder));
    write_file(desk, "users", "alice:" HASH "\nbob:" HASH "\n");
    (void)snprintf(text, sizeof(text),
                   "arms: [ { name: a }, { name: b } ]\n"
                   "cache:\n"
                   "  servers: [ \"unix:%s/none\" ]\n"
                   "  listen:\n"
                   "    - address: \"127.0.0.1:1\"\n"
                   "      sasl: %s/users\n"
                   "      arms: [ { user: alice, arm: b } ]\n"
                   "control: { http: off }\n",
                   desk->folder, desk->folder);
    write_file(desk, "c.yaml", text);
    (void)snprintf(path, sizeof(path), "%s/c.yaml", desk->folder);
    config = config_load_file(path, &faults);
    config_faults_print(&faults, path, stderr);
    config_faults_free(&faults);
    cr_assert_not_null(config);
    cr_assert(worker_init(&desk->worker, 0, desk->telemetry));
    desk->worker.ask_main = ignore;
    desk->worker.ask_login = count_wake;
    wakes = 0;
    desk->plan = plan_create(config, generations, NULL, desk->telemetry, error, sizeof(error));
    cr_assert_not_null(desk->plan, "%s", error);
    cr_assert(worker_adopt(&desk->worker, snapshot_create(desk->plan, position, 1)));
}

static void desk_close(struct desk *desk)
{
    char command[128];

    rig_starve(0);
    if (desk->worker.mc != NULL)
        mc_plane_destroy(desk->worker.mc);
    desk->worker.mc = NULL;
    worker_deinit(&desk->worker);
    plan_unref(desk->plan);
    telemetry_destroy(desk->telemetry);
    clock_fake(0, 0);
    (void)snprintf(command, sizeof(command), "rm -r %s", desk->folder);
    cr_assert_eq(system(command), 0);
}

static void turn(struct desk *desk)
{
    for (int i = 0; i < 8; i++) {
        loop_wait(desk->worker.base, 0);
        loop_dispatch(desk->worker.base);
        worker_end_turn(&desk->worker);
    }
}

static void wait(struct desk *desk, uint64_t microseconds)
{
    uint64_t now = clock_now() + microseconds;

    turn(desk);
    clock_fake(now, now);
    worker_tick(&desk->worker);
    turn(desk);
}

/* A client's end of a connection to the listener. */
static int join(struct desk *desk)
{
    struct address peer = { .len = 0 };
    int ends[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    mc_plane_accept(desk->worker.mc, 0, ends[1], &peer);
    return ends[0];
}

static void say(struct desk *desk, int fd, const char *text)
{
    cr_assert_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
    turn(desk);
}

static void expect(int fd, const char *text)
{
    char got[512];
    ssize_t len = recv(fd, got, sizeof(got) - 1, 0);

    got[len > 0 ? len : 0] = '\0';
    cr_assert_str_eq(got, text);
}

static void expect_closed(int fd)
{
    char byte;
    cr_assert_eq(recv(fd, &byte, 1, 0), 0);
}

static unsigned in_state(const struct desk *desk, int state)
{
    unsigned count = 0;

    for (size_t i = 0; i < MC_LOGIN_SLOTS; i++)
        count += atomic_load(&desk->worker.logins->slots[i].state) == state;
    return count;
}

/* As the login thread would, all of them. How many. */
static unsigned decide(struct desk *desk, enum verifier_verdict verdict)
{
    unsigned count = 0;

    for (size_t i = 0; i < MC_LOGIN_SLOTS; i++) {
        struct mc_login_slot *slot = &desk->worker.logins->slots[i];
        if (!mc_login_take(slot))
            continue;
        mc_login_answer(slot, verdict);
        count++;
    }
    mc_login_collect(desk->worker.mc);
    turn(desk);
    return count;
}

static uint64_t stat_of(const struct desk *desk, size_t offset)
{
    return cells_sum(desk->telemetry->mc_listeners, 0, offset);
}

#define STAT(desk, field) stat_of(desk, offsetof(struct mc_listener_cell, field))

Test(mc_login, nothing_behind_a_login_is_looked_at_before_the_verdict)
{
    struct desk desk;
    int fd;

    desk_open(&desk);
    fd = join(&desk);
    say(&desk, fd, "version\r\n" LOGIN "version\r\n");
    expect(fd, UNAUTHENTICATED);
    cr_assert_eq(in_state(&desk, MC_LOGIN_ASKED), 1);
    cr_assert_eq(wakes, 1);
    cr_assert_eq(STAT(&desk, strangers), 1);
    wait(&desk, SECONDS(5));
    expect(fd, "");
    cr_assert_eq(decide(&desk, VERIFIER_RIGHT), 1);
    expect(fd, "STORED\r\nVERSION 1.6.18-crossfade-0.1.0\r\n");
    cr_assert_eq(in_state(&desk, MC_LOGIN_FREE), MC_LOGIN_SLOTS);
    cr_assert_eq(STAT(&desk, strangers), 0);
    cr_assert_eq(STAT(&desk, logins), 1);
    close(fd);
    desk_close(&desk);
}

Test(mc_login, the_password_is_wiped)
{
    struct desk desk;
    int fd;
    const struct mc_login_slot *slot;

    desk_open(&desk);
    slot = &desk.worker.logins->slots[0];
    fd = join(&desk);
    say(&desk, fd, "set x 0 0 12\r\nalice secret\r\n");
    cr_assert_str_eq(slot->wish.password, "secret");
    (void)decide(&desk, VERIFIER_RIGHT);
    for (size_t i = 0; i < sizeof(slot->wish.password); i++)
        cr_assert_eq(slot->wish.password[i], '\0');
    close(fd);
    desk_close(&desk);
}

Test(mc_login, a_wrong_one_is_answered_late)
{
    struct desk desk;
    int fd;

    desk_open(&desk);
    fd = join(&desk);
    say(&desk, fd, LOGIN "version\r\n");
    (void)decide(&desk, VERIFIER_WRONG);
    expect(fd, "");
    wait(&desk, MC_LOGIN_DELAY - 1);
    expect(fd, "");
    wait(&desk, 1);
    expect(fd, FAILURE UNAUTHENTICATED);
    say(&desk, fd, LOGIN);
    (void)decide(&desk, VERIFIER_THROTTLED);
    wait(&desk, MC_LOGIN_DELAY);
    expect(fd, FAILURE);
    cr_assert_eq(STAT(&desk, logins_failed), 2);
    cr_assert_eq(STAT(&desk, logins_throttled), 1);
    close(fd);
    desk_close(&desk);
}

Test(mc_login, who_does_not_log_in_is_closed)
{
    struct desk desk;
    int idle;
    int asked;
    int served;

    desk_open(&desk);
    served = join(&desk);
    say(&desk, served, LOGIN);
    (void)decide(&desk, VERIFIER_KNOWN);
    expect(served, "STORED\r\n");
    idle = join(&desk);
    asked = join(&desk);
    say(&desk, asked, LOGIN);
    wait(&desk, MC_LOGIN_TIME);
    expect(idle, "");
    wait(&desk, 1);
    expect_closed(idle);
    cr_assert_eq(STAT(&desk, logins_given_up), 1);
    /* It is not to blame for a login thread that takes its time. */
    (void)decide(&desk, VERIFIER_RIGHT);
    expect(asked, "STORED\r\n");
    say(&desk, served, "version\r\n");
    expect(served, "VERSION 1.6.18-crossfade-0.1.0\r\n");
    cr_assert_eq(STAT(&desk, logins_known), 1);
    close(idle);
    close(asked);
    close(served);
    desk_close(&desk);
}

Test(mc_login, when_all_slots_are_in_use_the_others_wait_for_theirs)
{
    enum { CLIENTS = 2 * MC_LOGIN_SLOTS + 10 };
    struct desk desk;
    int fds[CLIENTS];

    desk_open(&desk);
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = join(&desk);
        say(&desk, fds[i], LOGIN "version\r\n");
    }
    cr_assert_eq(in_state(&desk, MC_LOGIN_ASKED), MC_LOGIN_SLOTS);
    cr_assert_eq(decide(&desk, VERIFIER_RIGHT), MC_LOGIN_SLOTS);
    for (unsigned i = 0; i < CLIENTS; i++)
        expect(fds[i], i < MC_LOGIN_SLOTS ? "STORED\r\nVERSION 1.6.18-crossfade-0.1.0\r\n" : "");
    /* A client that goes makes room, whether it had a slot or waited for one. */
    close(fds[MC_LOGIN_SLOTS]);
    close(fds[CLIENTS - 1]);
    cr_assert_eq(in_state(&desk, MC_LOGIN_ASKED), MC_LOGIN_SLOTS);
    cr_assert_eq(decide(&desk, VERIFIER_RIGHT), MC_LOGIN_SLOTS);
    cr_assert_geq(decide(&desk, VERIFIER_RIGHT), 9);
    for (unsigned i = MC_LOGIN_SLOTS + 1; i < CLIENTS - 1; i++) {
        expect(fds[i], "STORED\r\nVERSION 1.6.18-crossfade-0.1.0\r\n");
        close(fds[i]);
    }
    for (unsigned i = 0; i < MC_LOGIN_SLOTS; i++)
        close(fds[i]);
    desk_close(&desk);
}

Test(mc_login, who_has_no_use_for_a_slot_leaves_it_to_those_behind)
{
    enum { CLIENTS = 2 * MC_LOGIN_SLOTS + 1 };
    struct desk desk;
    char login[512];
    int fds[CLIENTS];

    desk_open(&desk);
    (void)snprintf(login, sizeof(login), "set x 0 0 302\r\n%0300d x\r\n", 0);
    for (unsigned i = 0; i < CLIENTS; i++) {
        bool too_long = i >= MC_LOGIN_SLOTS && i < CLIENTS - 1;
        fds[i] = join(&desk);
        say(&desk, fds[i], too_long ? login : LOGIN);
    }
    cr_assert_eq(decide(&desk, VERIFIER_RIGHT), MC_LOGIN_SLOTS);
    wait(&desk, MILLISECONDS(100));
    cr_assert_eq(decide(&desk, VERIFIER_RIGHT), 1);
    expect(fds[CLIENTS - 1], "STORED\r\n");
    for (unsigned i = 0; i < CLIENTS; i++)
        close(fds[i]);
    desk_close(&desk);
}

Test(mc_login, a_client_may_go_at_any_moment)
{
    struct desk desk;
    struct linger reset = { 1, 0 };
    int fd;

    desk_open(&desk);
    /* Asked: the login is taken back. */
    fd = join(&desk);
    say(&desk, fd, LOGIN);
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(fd);
    mc_plane_drain(desk.worker.mc);
    /* Taken: the verdict is for nobody. */
    fd = join(&desk);
    say(&desk, fd, LOGIN);
    for (size_t i = 0; i < MC_LOGIN_SLOTS; i++)
        if (mc_login_take(&desk.worker.logins->slots[i]))
            mc_login_put_back(&desk.worker.logins->slots[i]);
    close(fd);
    turn(&desk);
    (void)decide(&desk, VERIFIER_RIGHT);
    turn(&desk);
    cr_assert_eq(in_state(&desk, MC_LOGIN_FREE), MC_LOGIN_SLOTS);
    /* While a wrong one waits to be answered. */
    fd = join(&desk);
    say(&desk, fd, LOGIN);
    (void)decide(&desk, VERIFIER_WRONG);
    close(fd);
    wait(&desk, MC_LOGIN_DELAY);
    wait(&desk, MC_LOGIN_DELAY);
    cr_assert_eq(STAT(&desk, strangers), 0);
    desk_close(&desk);
}

Test(mc_login, a_stop_waits_for_the_verdict)
{
    struct desk desk;
    int waiting;
    int idle;
    int wrong;

    desk_open(&desk);
    waiting = join(&desk);
    say(&desk, waiting, LOGIN);
    wrong = join(&desk);
    say(&desk, wrong, LOGIN);
    cr_assert(mc_login_take(&desk.worker.logins->slots[1]));
    mc_login_answer(&desk.worker.logins->slots[1], VERIFIER_WRONG);
    mc_login_collect(desk.worker.mc);
    idle = join(&desk);
    desk.worker.draining = true;
    mc_plane_drain(desk.worker.mc);
    turn(&desk);
    expect_closed(idle);
    expect(waiting, "");
    expect(wrong, "");
    (void)decide(&desk, VERIFIER_RIGHT);
    expect(waiting, "STORED\r\n");
    expect_closed(waiting);
    wait(&desk, MC_LOGIN_DELAY);
    expect(wrong, FAILURE);
    expect_closed(wrong);
    close(waiting);
    close(wrong);
    close(idle);
    desk_close(&desk);
}

Test(mc_login, the_right_password_of_a_user_without_an_arm)
{
    struct desk desk;
    int fd;

    desk_open(&desk);
    fd = join(&desk);
    say(&desk, fd, "set x 0 0 5\r\nbob x\r\nversion\r\n");
    (void)decide(&desk, VERIFIER_RIGHT);
    expect(fd,
           "CLIENT_ERROR this client is refused here: no version of the application is its\r\n");
    expect_closed(fd);
    cr_assert_eq(STAT(&desk, refused), 1);
    close(fd);
    desk_close(&desk);
}

static void *slow_login_thread(void *context)
{
    struct mc_login_slot *slot = context;

    usleep(20000);
    mc_login_answer(slot, VERIFIER_RIGHT);
    return NULL;
}

/* What the login thread reads stands as long as it reads. */
Test(mc_login, the_plane_ends_with_logins_in_every_state)
{
    struct desk desk;
    pthread_t thread;
    int fds[4];

    desk_open(&desk);
    for (int i = 0; i < 4; i++) {
        fds[i] = join(&desk);
        say(&desk, fds[i], LOGIN);
    }
    cr_assert(mc_login_take(&desk.worker.logins->slots[0]));
    mc_login_answer(&desk.worker.logins->slots[0], VERIFIER_RIGHT);
    cr_assert(mc_login_take(&desk.worker.logins->slots[1]));
    cr_assert_eq(pthread_create(&thread, NULL, slow_login_thread, &desk.worker.logins->slots[1]),
                 0);
    mc_plane_destroy(desk.worker.mc);
    desk.worker.mc = NULL;
    cr_assert_eq(in_state(&desk, MC_LOGIN_FREE), MC_LOGIN_SLOTS);
    (void)pthread_join(thread, NULL);
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    desk_close(&desk);
}

Test(mc_login, without_memory_nobody_comes_in_and_nothing_breaks)
{
    struct desk desk;

    desk_open(&desk);
    for (unsigned one_in = 1; one_in < 40; one_in++) {
        int fd;
        rig_starve(one_in);
        fd = join(&desk);
        (void)send(fd, "get a\r\n" LOGIN "get a\r\n", 7 + 22 + 7, MSG_NOSIGNAL);
        turn(&desk);
        (void)decide(&desk, one_in % 3 == 0 ? VERIFIER_WRONG : VERIFIER_RIGHT);
        wait(&desk, MC_LOGIN_DELAY);
        rig_starve(0);
        close(fd);
        wait(&desk, MC_LOGIN_DELAY);
        cr_assert_eq(in_state(&desk, MC_LOGIN_FREE), MC_LOGIN_SLOTS, "one in %u", one_in);
        cr_assert_eq(STAT(&desk, strangers), 0, "one in %u", one_in);
    }
    desk_close(&desk);
}
