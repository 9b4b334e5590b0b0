/*
 * kill -9 at any moment: a child applies random verbs in a loop, telling the parent on a pipe what
 * it is about to do and where it stood after each answer, and is killed. The state that is found
 * then is the one of the last answer or the one that was being made; and the audit log is a chain.
 */
#include "rollout_helpers.h"

#include "crossfade/base/clock.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS_MAX 400
#define TIME_MAX SECONDS(3)
#define LINES_MIN 51

struct told {
    struct rollout_status status; /* after the last answer */
    struct rollout_request next;  /* what comes; its pointers mean nothing to the parent */
};

static unsigned random_below(unsigned *seed, unsigned n)
{
    return (unsigned)rand_r(seed) % n;
}

static _Noreturn void child(struct bed *bed, int out, unsigned seed)
{
    char error[512];
    struct rollout *rollout = rollout_open(&bed->config, error, sizeof(error));
    struct told told;

    if (rollout == NULL)
        _exit(1);
    for (;;) {
        memset(&told, 0, sizeof(told));
        told.status = *rollout_status(rollout);
        told.next.verb = (enum rollout_verb)random_below(&seed, ROLLOUT_RESET + 1);
        told.next.percent = random_below(&seed, PERCENT_ALL + 1) >> random_below(&seed, 20);
        told.next.by = "child";
        told.next.reason = random_below(&seed, 2) == 0 ? "at random" : NULL;
        if (write(out, &told, sizeof(told)) != (ssize_t)sizeof(told))
            _exit(2);
        (void)!rollout_apply(rollout, &told.next, error, sizeof(error));
    }
}

/* The last whole record; false if there is none. */
static bool read_last(int in, struct told *last)
{
    struct told told;
    size_t have = 0;
    bool any = false;
    ssize_t got;

    while ((got = read(in, (char *)&told + have, sizeof(told) - have)) > 0) {
        have += (size_t)got;
        if (have == sizeof(told)) {
            *last = told;
            any = true;
            have = 0;
        }
    }
    return any;
}

static void same_state(const struct rollout_status *a, const struct rollout_status *b)
{
    cr_assert_eq(a->state, b->state);
    cr_assert_str_eq(a->stage_name, b->stage_name);
    cr_assert_eq(a->percent, b->percent);
    cr_assert_eq(a->activation, b->activation);
    cr_assert_eq(a->stage_since, b->stage_since);
    cr_assert_eq(a->changed, b->changed);
    cr_assert_str_eq(a->reason, b->reason);
}

static bool side_is(const json_t *side, const json_t *other)
{
    return json_equal(side, other) == 1;
}

/* Each line goes on from where the last one that was taken ended; returns where the chain ends. */
static const json_t *follow_chain(const json_t *lines, json_int_t *generation)
{
    const json_t *stands = NULL;
    const json_t *line;
    size_t i;

    *generation = 0;
    json_array_foreach((json_t *)(uintptr_t)lines, i, line)
    {
        const char *verb = line_text(line, "verb");
        json_int_t number = json_integer_value(json_object_get(line, "generation"));
        if (strcmp(verb, "torn") == 0)
            continue;
        /* A line is taken unless the next one that counts says that it was not. */
        const json_t *next = json_array_get(lines, i + 1);
        bool taken = next == NULL || strcmp(line_text(next, "verb"), "not-taken") != 0;
        cr_assert_eq(number, *generation + 1, "line %zu", i);
        if (stands != NULL)
            cr_assert(side_is(json_object_get(line, "from"), stands), "line %zu", i);
        if (strcmp(verb, "not-taken") == 0 || !taken)
            continue;
        stands = json_object_get(line, "to");
        *generation = number;
    }
    return stands;
}

Test(kill, the_state_after_kill_9_is_the_answered_one_or_the_one_in_flight, .timeout = 60)
{
    struct bed bed;
    uint64_t until = clock_now() + TIME_MAX;
    unsigned seed = 20261125;
    int in_flight = 0, rounds = 0;
    uint64_t generation = 0;

    bed_make(&bed);
    /* On a machine that is busy few children get far: it goes on until some have. */
    while ((rounds < ROUNDS_MAX && clock_now() < until) || generation < LINES_MIN) {
        int ends[2];
        struct told last;
        struct timespec nap = { .tv_nsec = (long)random_below(&seed, 8000000) };
        cr_assert_eq(pipe(ends), 0);
        unsigned child_seed = (unsigned)rand_r(&seed);
        pid_t pid = fork();
        cr_assert_geq(pid, 0);
        if (pid == 0) {
            (void)close(ends[0]);
            child(&bed, ends[1], child_seed);
        }
        (void)close(ends[1]);
        (void)nanosleep(&nap, NULL);
        cr_assert_eq(kill(pid, SIGKILL), 0);
        int status;
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        cr_assert(WIFSIGNALED(status), "the child ended by itself");
        bool any = read_last(ends[0], &last);
        (void)close(ends[0]);

        bed_open(&bed); /* and the lock is free */
        const struct rollout_status *now = rollout_status(bed.rollout);
        if (any && now->generation == last.status.generation) {
            same_state(now, &last.status);
        } else if (any) {
            cr_assert_eq(now->generation, last.status.generation + 1);
            /* The same request, made of the state before, has the same outcome. */
            cr_assert_str_eq(now->by, "child");
            if (last.next.verb == ROLLOUT_PERCENT)
                cr_assert_eq(now->percent, last.next.percent);
            if (last.next.verb == ROLLOUT_ABORT)
                cr_assert_eq(now->state, ROLLOUT_ABORTED);
            in_flight++;
        }
        generation = now->generation;
        rollout_close(bed.rollout);
        bed.rollout = NULL;
        rounds++;
    }
    bed_open(&bed);
    json_t *lines = bed_audit(&bed);
    json_int_t last_line;
    const json_t *stands = follow_chain(lines, &last_line);
    const struct rollout_status *now = rollout_status(bed.rollout);
    cr_assert_eq((uint64_t)last_line, now->generation);
    cr_assert_str_eq(line_text(stands, "state"), rollout_state_name(now->state));
    cr_assert_str_eq(line_text(stands, "stage"), now->stage_name);
    cr_assert_geq(json_array_size(lines), LINES_MIN);
    cr_log_info("%d rounds, %d in flight, %zu lines", rounds, in_flight, json_array_size(lines));
    json_decref(lines);
    bed_remove(&bed);
}
