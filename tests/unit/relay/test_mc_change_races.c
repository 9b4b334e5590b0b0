/* Changes that others overtake, that fail, and whose client or worker ends meanwhile. */
#include "change_rig.h"
#include "http_rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/socket.h>

/* -- Races ------------------------------------------------------------------------------------- */

static void other_arm_deletes(struct epoch_rig *rig)
{
    (void)epoch_rig_put_epoch(rig, EPOCH_DELETED);
}

static void own_arm_sets(struct epoch_rig *rig)
{
    change_fill(rig, "5");
}

static void value_is_evicted(struct epoch_rig *rig)
{
    if (epoch_rig_value(rig) != NULL)
        epoch_rig_drop(epoch_rig_value(rig));
}

static void epoch_is_evicted(struct epoch_rig *rig)
{
    if (epoch_rig_epoch(rig) != NULL)
        epoch_rig_drop(epoch_rig_epoch(rig));
}

Test(mc_change_races, another_that_is_faster_comes_first)
{
    static const struct {
        void (*race)(struct epoch_rig *rig);
        unsigned at;
        enum mc_changed_kind kind;
        const char *value; /* NULL: nothing is current */
    } cases[] = {
        { other_arm_deletes, 1, MC_CHANGE_NOT_FOUND, NULL },
        { other_arm_deletes, 2, MC_CHANGE_NOT_FOUND, NULL },
        { other_arm_deletes, 3, MC_CHANGE_NOT_FOUND, NULL },
        { other_arm_deletes, 4, MC_CHANGED, NULL }, /* as if it came before the delete */
        { own_arm_sets, 1, MC_CHANGED, "6" },
        { own_arm_sets, 2, MC_CHANGED, "6" },
        { own_arm_sets, 3, MC_CHANGED, "6" },
        { own_arm_sets, 4, MC_CHANGED, "6" },
        { value_is_evicted, 2, MC_CHANGE_NOT_FOUND, NULL },
        { value_is_evicted, 3, MC_CHANGE_NOT_FOUND, NULL },
        { value_is_evicted, 4, MC_CHANGE_NOT_FOUND, NULL },
        { epoch_is_evicted, 1, MC_CHANGE_NOT_FOUND, NULL },
        { epoch_is_evicted, 3, MC_CHANGE_NOT_FOUND, NULL },
        { epoch_is_evicted, 4, MC_CHANGED, NULL },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct epoch_rig rig;
        epoch_rig_open(&rig, TWO_ARMS, "");
        change_fill(&rig, "1");
        rig.race = cases[i].race;
        rig.race_at = cases[i].at;
        cr_assert_eq(change_count(&rig, MC_INCR, 1), cases[i].kind, "%zu", i);
        if (cases[i].value != NULL)
            change_assert_value(&rig, cases[i].value);
        else
            cr_assert_not(epoch_rig_is_current(&rig), "%zu", i);
        epoch_rig_close(&rig);
    }
}

Test(mc_change_races, a_cas_that_was_overtaken_says_so)
{
    for (unsigned at = 3; at <= 4; at++) {
        struct epoch_rig rig;
        epoch_rig_open(&rig, TWO_ARMS, "");
        change_fill(&rig, "1");
        rig.race = own_arm_sets;
        rig.race_at = at;
        cr_assert_eq(change_compare(&rig, MC_CAS, "2", epoch_rig_value(&rig)->cas),
                     MC_CHANGE_EXISTS);
        change_assert_value(&rig, "5");
        epoch_rig_close(&rig);
    }
}

static void own_arm_adds(struct epoch_rig *rig)
{
    if (epoch_rig_value(rig) == NULL)
        own_arm_sets(rig);
}

Test(mc_change_races, one_of_two_adds_wins)
{
    for (unsigned at = 1; at <= 4; at++) {
        struct epoch_rig rig;
        epoch_rig_open(&rig, TWO_ARMS, "");
        rig.race = own_arm_adds;
        rig.race_at = at;
        cr_assert_eq(change_to(&rig, MC_ADD, "mine"), MC_CHANGE_NOT_STORED, "%u", at);
        change_assert_value(&rig, "5");
        epoch_rig_close(&rig);
    }
}

/* Another has added, and deleted again what it added, just before: by a token of before this add
 * would leave nothing that a third one, who adds too, would find. */
Test(mc_change_races, an_add_stands_when_it_is_answered)
{
    for (unsigned at = 1; at <= 5; at++)
        for (unsigned stale = 0; stale < 2; stale++) {
            struct epoch_rig rig;
            epoch_rig_open(&rig, TWO_ARMS, "");
            if (stale)
                change_spoil(&rig, "old", EPOCH_CHANGED);
            else
                (void)epoch_rig_put_epoch(&rig, EPOCH_MADE);
            rig.race = other_arm_deletes;
            rig.race_at = at;
            cr_assert_eq(change_to(&rig, MC_ADD, "mine"), MC_CHANGED);
            if (at < 5)
                change_assert_value(&rig, "mine");
            epoch_rig_close(&rig);
        }
}

static void another_keeps_it(struct epoch_rig *rig)
{
    struct epoch epoch;

    (void)epoch_rig_put_epoch(rig, EPOCH_CHANGED);
    cr_assert(epoch_read(slice_of(epoch_rig_epoch(rig)->value, EPOCH_LENGTH), &epoch));
    epoch.keep = epoch_rig_value(rig)->cas;
    epoch_write(&epoch, epoch_rig_epoch(rig)->value);
}

/* A change by another has found it already. */
Test(mc_change_races, an_add_that_another_goes_on_with_has_stored)
{
    struct epoch_rig rig;

    epoch_rig_open(&rig, TWO_ARMS, "");
    (void)epoch_rig_put_epoch(&rig, EPOCH_MADE);
    rig.race = another_keeps_it;
    rig.race_at = 4;
    cr_assert_eq(change_to(&rig, MC_ADD, "mine"), MC_CHANGED);
    change_assert_value(&rig, "mine");
    epoch_rig_close(&rig);
}

static void epoch_changes(struct epoch_rig *rig)
{
    change_fill(rig, "5");
}

Test(mc_change_races, it_gives_up_at_last)
{
    struct epoch_rig rig;
    struct mc_change_request request;

    epoch_rig_open(&rig, TWO_ARMS, "");
    change_fill(&rig, "1");
    rig.race = epoch_changes;
    rig.race_at = 3;
    rig.race_every = 3;
    request = change_request(&rig, MC_INCR, NULL);
    change_run(&rig, &request);
    change_assert_failed(&rig, "too many changes of this key at once");
    cr_assert_eq(rig.steps, 3 * MC_CHANGE_ROUNDS);
    cr_assert_eq(RIG_STAT(&rig, change_rounds), MC_CHANGE_ROUNDS);
    cr_assert_eq(RIG_STAT(&rig, changes_given_up), 1);
    cr_assert_eq(mc_owed_pending(rig.server->owed), 0);
    change_assert_value(&rig, "5");
    epoch_rig_close(&rig);
}

/* Their errands alternate, as those of two processes may. */
Test(mc_change_races, of_many_at_once_none_is_lost)
{
    struct epoch_rig rig;
    struct mc_change_request request;

    epoch_rig_open(&rig, TWO_ARMS, "");
    change_fill(&rig, "100");
    for (int i = 0; i < 8; i++) {
        request = change_request(&rig, MC_INCR, NULL);
        request.delta = 1;
        change_start(&rig, &request);
    }
    (void)epoch_rig_run(&rig);
    cr_assert_eq(rig.changed, 8);
    for (int i = 0; i < 8; i++)
        cr_assert_eq(rig.results[i].kind, MC_CHANGED);
    change_assert_value(&rig, "108");
    epoch_rig_assert_idle(&rig);
    epoch_rig_close(&rig);
}

Test(mc_change_races, what_a_dead_process_has_begun_is_taken_over)
{
    struct epoch_rig rig;
    uint64_t cas;

    epoch_rig_open(&rig, TWO_ARMS, "");
    change_fill(&rig, "1");
    cas = epoch_rig_value(&rig)->cas;
    (void)epoch_rig_put_keep(&rig, EPOCH_CHANGED, cas);
    change_assert_value(&rig, "1");
    cr_assert_eq(change_count(&rig, MC_INCR, 1), MC_CHANGED);
    change_assert_value(&rig, "2");
    cr_assert_eq(rig.steps, 2 * (1 + MC_CHANGE_PATIENCE) + 2);
    /* A touch need not wait. */
    (void)epoch_rig_put_keep(&rig, EPOCH_CHANGED, epoch_rig_value(&rig)->cas);
    cr_assert_eq(change_to(&rig, MC_TOUCH, NULL), MC_CHANGED);
    cr_assert_str_eq(rig.log, "fetch V, fetch E, touch V");
    /* And what is not kept is not there. */
    (void)epoch_rig_put_keep(&rig, EPOCH_CHANGED, cas);
    cr_assert_eq(change_count(&rig, MC_INCR, 1), MC_CHANGE_NOT_FOUND);
    epoch_rig_close(&rig);
}

/* -- Failures ---------------------------------------------------------------------------------- */

Test(mc_change_races, what_fails_is_no_success_and_leaves_one_value)
{
    static const enum rig_fault faults[] = { RIG_REFUSED, RIG_LOST, RIG_LOST_ANSWER };

    for (unsigned step = 1; step <= 4; step++)
        for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
            struct epoch_rig rig;
            struct mc_change_request request;
            bool written = step == 4 && faults[i] == RIG_LOST_ANSWER;
            unsigned owed = step > 2; /* who has only looked owes nothing */
            epoch_rig_open(&rig, TWO_ARMS, "");
            change_fill(&rig, "1");
            rig.fault = faults[i];
            rig.fault_at = step;
            request = change_request(&rig, MC_INCR, NULL);
            request.delta = 1;
            change_run(&rig, &request);
            change_assert_failed(&rig, faults[i] == RIG_REFUSED ? "out of memory storing object"
                                                                : "closed the connection");
            change_assert_value(&rig, written ? "2" : "1");
            cr_assert_eq(RIG_STAT(&rig, failed), 1);
            /* No read before others are told of what may have been done. */
            rig.fault = RIG_NONE;
            cr_assert_eq(mc_owed_pending(rig.server->owed), owed);
            if (owed > 0) {
                change_run(&rig, &request);
                change_assert_failed(&rig, "SERVER_ERROR");
            }
            cr_assert_eq(epoch_rig_deliver(&rig), owed);
            cr_assert_eq(epoch_rig_epoch(&rig) == NULL, owed > 0);
            change_fill(&rig, "7");
            cr_assert_eq(change_count(&rig, MC_INCR, 1), MC_CHANGED);
            change_assert_value(&rig, "8");
            epoch_rig_close(&rig);
        }
}

Test(mc_change_races, what_is_too_large_for_the_server_is_said_to_be)
{
    struct epoch_rig rig;
    struct token token;

    epoch_rig_open(&rig, TWO_ARMS, "");
    change_fill(&rig, "1");
    rig.fault = RIG_TOO_LARGE;
    rig.fault_at = 4;
    cr_assert_eq(change_to(&rig, MC_APPEND, "2"), MC_CHANGE_TOO_LARGE);
    change_assert_value(&rig, "1");
    /* An add's miss is still to be answered. */
    epoch_rig_drop(epoch_rig_value(&rig));
    token = epoch_rig_put_epoch(&rig, EPOCH_MADE);
    change_recall(&rig, &token);
    rig.fault_at = rig.steps + 3;
    cr_assert_eq(change_to(&rig, MC_ADD, "2"), MC_CHANGE_TOO_LARGE);
    (void)epoch_rig_put_epoch(&rig, EPOCH_DELETED);
    cr_assert_eq(change_to(&rig, MC_ADD, "2"), MC_CHANGE_NOT_STORED);
    epoch_rig_close(&rig);
}

Test(mc_change_races, a_value_does_not_grow_past_its_limit)
{
    struct epoch_rig rig;

    epoch_rig_open(&rig, TWO_ARMS, "  max_value: 1k\n");
    {
        char text[1025];
        memset(text, 'x', sizeof(text));
        text[1023] = '\0';
        change_fill(&rig, text);
    }
    cr_assert_eq(change_to(&rig, MC_APPEND, "1"), MC_CHANGED);
    cr_assert_eq(change_to(&rig, MC_APPEND, "2"), MC_CHANGE_TOO_LARGE);
    cr_assert_eq(change_to(&rig, MC_PREPEND, "2"), MC_CHANGE_TOO_LARGE);
    cr_assert_eq(epoch_rig_value(&rig)->len, STAMP_LENGTH + 1024);
    cr_assert(epoch_rig_is_current(&rig));
    epoch_rig_close(&rig);
}

/* By verb: does it read what the server should not hold any more, and are others to be told? */
Test(mc_change_races, while_the_server_has_not_been_told_all_nothing_is_read_by_changing_it)
{
    static const struct {
        enum mc_verb verb;
        bool refused;
        unsigned owed; /* of that */
    } cases[] = { { MC_INCR, true, 0 },    { MC_DECR, true, 0 },     { MC_APPEND, true, 0 },
                  { MC_PREPEND, true, 0 }, { MC_TOUCH, true, 0 },    { MC_CAS, true, 1 },
                  { MC_ADD, false, 0 },    { MC_REPLACE, false, 0 }, { MC_DELETE, false, 0 } };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *value = mc_verb_is_storage(cases[i].verb) ? "1" : NULL;
        struct epoch_rig rig;
        struct mc_change_request request;
        epoch_rig_open(&rig, TWO_ARMS, "");
        change_fill(&rig, "1");
        mc_journal_undelivered(rig.server, rig.client->dialect, SLICE("another"));
        request = change_request(&rig, cases[i].verb, value);
        request.cas = cases[i].verb == MC_CAS ? epoch_rig_value(&rig)->cas : 0;
        change_run(&rig, &request);
        cr_assert_eq(rig.changed, !cases[i].refused, "%zu", i);
        cr_assert_eq(rig.steps == 0, cases[i].refused);
        cr_assert_eq(epoch_rig_deliver(&rig), 1 + cases[i].owed, "%zu", i);
        epoch_rig_close(&rig);
    }
}

Test(mc_change_races, it_does_not_begin_where_nothing_may)
{
    struct epoch_rig rig;
    struct mc_change_request request;
    struct token token;

    epoch_rig_open(&rig, TWO_ARMS, "");
    token = epoch_rig_put_epoch(&rig, EPOCH_MADE);
    change_recall(&rig, &token);
    rig.server->drained = true;
    request = change_request(&rig, MC_ADD, "1");
    change_run(&rig, &request);
    change_assert_failed(&rig, "is drained by the operator");
    cr_assert_eq(rig.steps, 0);
    rig.server->drained = false;
    cr_assert_eq(change_to(&rig, MC_ADD, "1"), MC_CHANGED);
    epoch_rig_close(&rig);
}

/* -- Its client -------------------------------------------------------------------------------- */

Test(mc_change_races, what_a_client_has_begun_is_finished_without_it)
{
    for (unsigned step = 0; step <= 4; step++) {
        struct epoch_rig rig;
        struct mc_change_request request;
        epoch_rig_open(&rig, STABLE_ARM, "");
        change_fill(&rig, "hello");
        epoch_rig_put_bystander(&rig);
        request = change_request(&rig, MC_APPEND, " you");
        change_start(&rig, &request);
        for (unsigned i = 0; i < step; i++)
            cr_assert(epoch_rig_step(&rig));
        epoch_rig_leave(&rig);
        (void)epoch_rig_run(&rig);
        change_assert_value(&rig, "hello you");
        cr_assert_null(epoch_rig_bystander(&rig));
        epoch_rig_assert_idle(&rig);
        epoch_rig_close(&rig);
    }
}

Test(mc_change_races, the_worker_may_end_at_every_step)
{
    for (unsigned step = 0; step <= 4; step++) {
        struct epoch_rig rig;
        struct mc_change_request request;
        epoch_rig_open(&rig, STABLE_ARM, "");
        change_fill(&rig, "hello");
        request = change_request(&rig, MC_APPEND, " you");
        change_start(&rig, &request);
        for (unsigned i = 0; i < step; i++)
            cr_assert(epoch_rig_step(&rig));
        epoch_rig_close(&rig);
    }
}

Test(mc_change_races, nothing_behind_it_is_taken_from_its_client)
{
    struct epoch_rig rig;
    struct mc_change_request request;
    char got[100];

    epoch_rig_open(&rig, TWO_ARMS, "");
    change_fill(&rig, "1");
    request = change_request(&rig, MC_INCR, NULL);
    change_start(&rig, &request);
    cr_assert_eq(send(rig.fd, "version\r\n", 9, 0), 9);
    epoch_rig_turn(&rig);
    cr_assert_eq(rig.client->op_count, 1);
    for (int i = 0; i < 3; i++) {
        cr_assert(epoch_rig_step(&rig));
        epoch_rig_turn(&rig);
        cr_assert_eq(rig.client->op_count, 1);
    }
    (void)epoch_rig_run(&rig);
    cr_assert_eq(recv(rig.fd, got, sizeof(got), 0),
                 (ssize_t)strlen("CHANGED\r\nVERSION " MC_VERSION_TEXT "\r\n"));
    cr_assert_eq(memcmp(got, "CHANGED\r\nVERSION", 16), 0);
    epoch_rig_assert_idle(&rig);
    epoch_rig_close(&rig);
}

/* -- Hosts without epochs ---------------------------------------------------------------------- */

Test(mc_change_races, hosts_without_epochs_lose_their_copy)
{
    struct epoch_rig rig;

    epoch_rig_open(&rig, STABLE_ARM, "");
    change_fill(&rig, "1");
    epoch_rig_put_bystander(&rig);
    cr_assert_eq(change_to(&rig, MC_APPEND, "2"), MC_CHANGED);
    cr_assert_str_eq(rig.log, "fetch V, fetch E, cas E, delete K, cas V");
    cr_assert_null(epoch_rig_bystander(&rig));
    cr_assert_eq(change_to(&rig, MC_TOUCH, NULL), MC_CHANGED);
    cr_assert_str_eq(rig.log, "fetch V, fetch E, touch V");
    epoch_rig_close(&rig);
}

Test(mc_change_races, one_of_which_they_were_not_told_is_no_success)
{
    struct epoch_rig rig;
    struct mc_change_request request;
    char got[400] = "";

    epoch_rig_open(&rig, STABLE_ARM, "");
    change_fill(&rig, "1");
    rig.fault = RIG_REFUSED;
    rig.fault_at = 4;
    request = change_request(&rig, MC_APPEND, "2");
    change_run(&rig, &request);
    cr_assert_eq(rig.changed, 1);
    (void)recv(rig.fd, got, sizeof(got) - 1, 0);
    cr_assert_eq(strncmp(got, "SERVER_ERROR another version", 28), 0, "%s", got);
    cr_assert_eq(RIG_STAT(&rig, companions_failed), 1);
    epoch_rig_close(&rig);
}

/* -- Memory ------------------------------------------------------------------------------------ */

Test(mc_change_races, memory_may_run_out_anywhere)
{
    for (unsigned one_in = 1; one_in < 40; one_in++) {
        struct epoch_rig rig;
        struct mc_change_request request;
        epoch_rig_open(&rig, STABLE_ARM, "");
        change_fill(&rig, "hello");
        request = change_request(&rig, MC_APPEND, " you");
        change_start_starving(&rig, &request, one_in);
        (void)epoch_rig_run(&rig);
        rig_starve(0);
        /* Or it was closed, for want of memory. */
        cr_assert(TAILQ_EMPTY(&rig.worker.mc->client_list) || !rig.client->changing);
        epoch_rig_close(&rig);
    }
}
