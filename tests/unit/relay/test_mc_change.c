/* What changes come to, with each answer of the server in the test's hand. */
#include "change_rig.h"

#include <criterion/criterion.h>

static const struct token none = { { 0, 0 } };

/* -- What changes come to ---------------------------------------------------------------------- */

Test(mc_change, the_epoch_keeps_the_old_value_until_the_new_one_is_there)
{
    struct epoch_rig rig;
    struct mc_change_request request;
    struct epoch epoch;
    uint64_t cas;

    epoch_rig_open(&rig, TWO_ARMS, "");
    change_fill(&rig, "hello");
    cas = epoch_rig_value(&rig)->cas;
    request = change_request(&rig, MC_APPEND, " you");
    change_start(&rig, &request);
    cr_assert(rig.client->changing);
    for (int i = 0; i < 3; i++)
        cr_assert(epoch_rig_step(&rig));
    change_assert_value(&rig, "hello");
    cr_assert(epoch_read(slice_of(epoch_rig_epoch(&rig)->value, EPOCH_LENGTH), &epoch));
    cr_assert_eq(epoch.keep, cas);
    cr_assert_eq(rig.changed, 0);
    cr_assert(epoch_rig_step(&rig));
    change_assert_value(&rig, "hello you");
    cr_assert_eq(rig.results[0].kind, MC_CHANGED);
    cr_assert_str_eq(rig.log, "fetch V, fetch E, cas E, cas V");
    cr_assert_eq(epoch_rig_epoch(&rig)->flags, EPOCH_CHANGED);
    cr_assert_eq(epoch_rig_value(&rig)->flags, 7);
    cr_assert_eq(RIG_STAT(&rig, told_changes), 1);
    cr_assert_eq(RIG_STAT(&rig, change_rounds), 0);
    epoch_rig_assert_idle(&rig);
    epoch_rig_close(&rig);
}

Test(mc_change, each_command_writes_what_it_is_for)
{
    struct epoch_rig rig;

    epoch_rig_open(&rig, TWO_ARMS, "");
    change_fill(&rig, "b");
    cr_assert_eq(change_to(&rig, MC_PREPEND, "a"), MC_CHANGED);
    change_assert_value(&rig, "ab");
    cr_assert_eq(change_to(&rig, MC_APPEND, "c"), MC_CHANGED);
    change_assert_value(&rig, "abc");
    cr_assert_eq(change_to(&rig, MC_APPEND, ""), MC_CHANGED);
    change_assert_value(&rig, "abc");
    cr_assert_eq(change_to(&rig, MC_REPLACE, "new"), MC_CHANGED);
    change_assert_value(&rig, "new");
    cr_assert_eq(epoch_rig_value(&rig)->flags, 3);
    cr_assert_eq(change_compare(&rig, MC_CAS, "newer", epoch_rig_value(&rig)->cas), MC_CHANGED);
    change_assert_value(&rig, "newer");
    cr_assert_eq(change_to(&rig, MC_REPLACE, ""), MC_CHANGED);
    change_assert_value(&rig, "");
    epoch_rig_close(&rig);
}

Test(mc_change, numbers_are_counted_as_memcached_counts)
{
    static const struct {
        const char *before;
        enum mc_verb verb;
        uint64_t delta;
        uint64_t number;
        const char *after;
    } cases[] = {
        { "5", MC_INCR, 1, 6, "6" },
        { "9", MC_INCR, 1, 10, "10" },
        { "10", MC_DECR, 1, 9, "9 " },
        { "9 ", MC_DECR, 1, 8, "8 " },
        { "100", MC_DECR, 1000, 0, "0  " },
        { "18446744073709551615", MC_INCR, 1, 0, "0                   " },
        { "18446744073709551614", MC_INCR, 1, UINT64_MAX, "18446744073709551615" },
        { "007", MC_INCR, 1, 8, "8  " },
        { "5 apples", MC_INCR, 1, 6, "6       " },
    };
    static const char *const no_numbers[] = { "", "a", "-1", "5a", "18446744073709551616" };
    struct epoch_rig rig;

    epoch_rig_open(&rig, TWO_ARMS, "");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        change_fill(&rig, cases[i].before);
        cr_assert_eq(change_count(&rig, cases[i].verb, cases[i].delta), MC_CHANGED);
        cr_assert_eq(rig.results[0].number, cases[i].number);
        change_assert_value(&rig, cases[i].after);
    }
    for (size_t i = 0; i < sizeof(no_numbers) / sizeof(no_numbers[0]); i++) {
        change_fill(&rig, no_numbers[i]);
        cr_assert_eq(change_count(&rig, MC_INCR, 1), MC_CHANGE_NO_NUMBER);
        change_assert_value(&rig, no_numbers[i]);
        cr_assert_str_eq(rig.log, "fetch V, fetch E");
    }
    epoch_rig_close(&rig);
}

Test(mc_change, what_is_not_current_is_not_there)
{
    static const struct {
        enum mc_verb verb;
        enum mc_changed_kind absent;
        enum mc_changed_kind stale;
    } cases[] = {
        { MC_REPLACE, MC_CHANGE_NOT_STORED, MC_CHANGE_NOT_STORED },
        { MC_APPEND, MC_CHANGE_NOT_STORED, MC_CHANGE_NOT_STORED },
        { MC_PREPEND, MC_CHANGE_NOT_STORED, MC_CHANGE_NOT_STORED },
        { MC_INCR, MC_CHANGE_NOT_FOUND, MC_CHANGE_NOT_FOUND },
        { MC_DECR, MC_CHANGE_NOT_FOUND, MC_CHANGE_NOT_FOUND },
        { MC_TOUCH, MC_CHANGE_NOT_FOUND, MC_CHANGE_NOT_FOUND },
        { MC_DELETE, MC_CHANGE_NOT_FOUND, MC_CHANGE_NOT_FOUND },
        { MC_CAS, MC_CHANGE_NOT_FOUND, MC_CHANGE_EXISTS },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *value = mc_verb_is_storage(cases[i].verb) ? "1" : NULL;
        uint64_t cas = cases[i].verb == MC_CAS || cases[i].verb == MC_DELETE ? 9 : 0;
        struct epoch_rig rig;
        epoch_rig_open(&rig, TWO_ARMS, "");
        cr_assert_eq(change_compare(&rig, cases[i].verb, value, cas), cases[i].absent);
        change_spoil(&rig, "1", EPOCH_CHANGED);
        cr_assert_eq(change_compare(&rig, cases[i].verb, value, cas), cases[i].stale);
        /* A delete is a delete in every arm; and no epoch item is no value. */
        change_spoil(&rig, "1", EPOCH_DELETED);
        cr_assert_eq(change_compare(&rig, cases[i].verb, value, cas), cases[i].absent);
        epoch_rig_drop(epoch_rig_epoch(&rig));
        cr_assert_eq(change_compare(&rig, cases[i].verb, value, cas), cases[i].absent);
        cr_assert_null(epoch_rig_epoch(&rig));
        cr_assert_str_eq(rig.log, "fetch V, fetch E, fetch V, fetch E");
        epoch_rig_close(&rig);
    }
}

Test(mc_change, cas_compares_the_values_own_number)
{
    struct epoch_rig rig;
    uint64_t cas;

    epoch_rig_open(&rig, TWO_ARMS, "");
    change_fill(&rig, "a");
    cas = epoch_rig_value(&rig)->cas;
    cr_assert_eq(change_compare(&rig, MC_CAS, "b", cas - 1), MC_CHANGE_EXISTS);
    cr_assert_eq(change_compare(&rig, MC_INCR, NULL, cas - 1), MC_CHANGE_EXISTS);
    cr_assert_eq(change_compare(&rig, MC_DELETE, NULL, cas - 1), MC_CHANGE_EXISTS);
    change_assert_value(&rig, "a");
    cr_assert_eq(change_compare(&rig, MC_DELETE, NULL, cas), MC_CHANGED);
    cr_assert_null(epoch_rig_value(&rig));
    cr_assert_eq(epoch_rig_epoch(&rig)->flags, EPOCH_DELETED);
    cr_assert_str_eq(rig.log, "fetch V, fetch E, cas E, delete V");
    epoch_rig_close(&rig);
}

Test(mc_change, a_touch_changes_nothing_for_the_others)
{
    struct epoch_rig rig;
    struct mc_change_request request;
    struct token before;

    epoch_rig_open(&rig, TWO_ARMS, "");
    change_fill(&rig, "hello");
    before = epoch_rig_token(epoch_rig_epoch(&rig));
    request = change_request(&rig, MC_TOUCH, NULL);
    request.exptime = 100;
    cr_assert_eq(change_outcome(&rig, &request), MC_CHANGED);
    cr_assert_str_eq(rig.log, "fetch V, fetch E, touch V");
    cr_assert_eq(epoch_rig_value(&rig)->exptime, 100);
    cr_assert_eq(rig.results[0].ttl, 100);
    change_assert_value(&rig, "hello");
    before.words[1] ^= epoch_rig_token(epoch_rig_epoch(&rig)).words[1];
    cr_assert_eq(before.words[1], 0);
    epoch_rig_close(&rig);
}

/* -- Expiry ------------------------------------------------------------------------------------ */

static int64_t exptime_after(struct epoch_rig *rig, int64_t exptime, bool knows_ttl)
{
    struct token token = epoch_rig_put_epoch(rig, EPOCH_MADE);

    epoch_rig_put_value(rig, &token, "1", exptime);
    rig->knows_ttl = knows_ttl;
    cr_assert_eq(change_count(rig, MC_INCR, 1), MC_CHANGED);
    return epoch_rig_value(rig)->exptime;
}

Test(mc_change, what_is_left_of_the_time_is_kept)
{
    const int64_t now = (int64_t)mc_epoch_clock();
    struct epoch_rig rig;
    int64_t exptime;

    epoch_rig_open(&rig, TWO_ARMS, "");
    cr_assert_eq(exptime_after(&rig, 0, true), 0);
    cr_assert_eq(exptime_after(&rig, 0, false), 0);
    cr_assert_eq(exptime_after(&rig, 77, true), 77);
    exptime = exptime_after(&rig, 77, false);
    cr_assert(exptime >= now + 77 && exptime <= now + 77 + 60);
    /* More than 30 days would be taken for a time long gone. */
    exptime = exptime_after(&rig, 3000000, true);
    cr_assert(exptime >= now + 3000000 && exptime <= now + 3000000 + 60);
    epoch_rig_close(&rig);
}

Test(mc_change, a_new_time_is_taken_where_one_is_given)
{
    struct epoch_rig rig;
    struct mc_change_request request;

    epoch_rig_open(&rig, TWO_ARMS, "");
    change_fill(&rig, "1");
    request = change_request(&rig, MC_REPLACE, "2");
    request.exptime = 5;
    cr_assert_eq(change_outcome(&rig, &request), MC_CHANGED);
    cr_assert_eq(epoch_rig_value(&rig)->exptime, 5);
    request = change_request(&rig, MC_INCR, NULL);
    request.exptime = 9;
    cr_assert_eq(change_outcome(&rig, &request), MC_CHANGED);
    cr_assert_neq(epoch_rig_value(&rig)->exptime, 9);
    request.touches = true;
    cr_assert_eq(change_outcome(&rig, &request), MC_CHANGED);
    cr_assert_eq(epoch_rig_value(&rig)->exptime, 9);
    epoch_rig_close(&rig);
}

Test(mc_change, what_is_not_there_is_made_on_request)
{
    struct epoch_rig rig;
    struct mc_change_request request;

    epoch_rig_open(&rig, TWO_ARMS, "");
    request = change_request(&rig, MC_INCR, NULL);
    request.has_initial = true;
    request.initial = 40;
    request.initial_exptime = 6;
    request.delta = 2;
    cr_assert_eq(change_outcome(&rig, &request), MC_CHANGED);
    cr_assert_str_eq(rig.log, "fetch V, fetch E, add E, add V, fetch E");
    cr_assert_eq(rig.results[0].number, 40);
    change_assert_value(&rig, "40");
    cr_assert_eq(epoch_rig_value(&rig)->exptime, 6);
    cr_assert_eq(epoch_rig_value(&rig)->flags, 3);
    cr_assert_eq(change_outcome(&rig, &request), MC_CHANGED);
    cr_assert_eq(rig.results[0].number, 42);
    change_spoil(&rig, "1", EPOCH_CHANGED);
    cr_assert_eq(change_outcome(&rig, &request), MC_CHANGED);
    cr_assert_str_eq(rig.log, "fetch V, fetch E, cas V, fetch E");
    change_assert_value(&rig, "40");

    change_spoil(&rig, "gone", EPOCH_DELETED);
    request = change_request(&rig, MC_APPEND, "first");
    request.has_initial = true;
    cr_assert_eq(change_outcome(&rig, &request), MC_CHANGED);
    change_assert_value(&rig, "first");
    epoch_rig_close(&rig);
}

/* -- Adds and sets ----------------------------------------------------------------------------- */

Test(mc_change, an_add_finds_only_what_is_current)
{
    struct epoch_rig rig;

    epoch_rig_open(&rig, TWO_ARMS, "");
    cr_assert_eq(change_to(&rig, MC_ADD, "a"), MC_CHANGED);
    cr_assert_str_eq(rig.log, "fetch V, fetch E, add E, add V, fetch E");
    cr_assert_eq(epoch_rig_epoch(&rig)->flags, EPOCH_MADE);
    change_assert_value(&rig, "a");
    cr_assert_eq(change_to(&rig, MC_ADD, "b"), MC_CHANGE_NOT_STORED);
    cr_assert_str_eq(rig.log, "fetch V, fetch E");
    change_spoil(&rig, "c", EPOCH_CHANGED);
    cr_assert_eq(change_to(&rig, MC_ADD, "d"), MC_CHANGED);
    cr_assert_str_eq(rig.log, "fetch V, fetch E, cas V, fetch E");
    change_assert_value(&rig, "d");
    epoch_rig_drop(epoch_rig_value(&rig));
    cr_assert_eq(change_to(&rig, MC_ADD, "e"), MC_CHANGED);
    cr_assert_str_eq(rig.log, "fetch V, fetch E, add V, fetch E");
    cr_assert_eq(RIG_STAT(&rig, told_changes), 0);
    epoch_rig_close(&rig);
}

Test(mc_change, an_add_that_answers_a_miss_is_a_fill)
{
    struct epoch_rig rig;
    struct token token;
    struct token other;

    epoch_rig_open(&rig, TWO_ARMS, "");
    token = epoch_rig_put_epoch(&rig, EPOCH_MADE);
    change_recall(&rig, &token);
    cr_assert_eq(change_to(&rig, MC_ADD, "a"), MC_CHANGED);
    change_assert_value(&rig, "a");
    /* The epoch is another by now, or there is none. */
    epoch_rig_drop(epoch_rig_value(&rig));
    change_recall(&rig, &token);
    other = epoch_rig_put_epoch(&rig, EPOCH_DELETED);
    cr_assert_eq(change_to(&rig, MC_ADD, "b"), MC_CHANGE_NOT_STORED);
    change_recall(&rig, &other);
    epoch_rig_drop(epoch_rig_epoch(&rig));
    cr_assert_eq(change_to(&rig, MC_ADD, "b"), MC_CHANGE_NOT_STORED);
    cr_assert_null(epoch_rig_value(&rig));
    cr_assert_eq(RIG_STAT(&rig, fills_refused), 2);
    /* Nobody knows. */
    token = epoch_rig_put_epoch(&rig, EPOCH_MADE);
    change_recall(&rig, &none);
    cr_assert_eq(change_to(&rig, MC_ADD, "b"), MC_CHANGE_NOT_STORED);
    cr_assert_eq(RIG_STAT(&rig, fills_refused), 3);
    epoch_rig_close(&rig);
}

Test(mc_change, an_add_that_fails_may_be_tried_again_as_what_it_was)
{
    struct token token;

    for (unsigned known = 0; known < 2; known++) {
        struct epoch_rig rig;
        struct mc_change_request request;
        epoch_rig_open(&rig, TWO_ARMS, "");
        token = epoch_rig_put_epoch(&rig, EPOCH_MADE);
        change_recall(&rig, known ? &token : &none);
        rig.fault = RIG_LOST;
        rig.fault_at = 1;
        request = change_request(&rig, MC_ADD, "a");
        change_run(&rig, &request);
        change_assert_failed(&rig, "closed the connection");
        (void)epoch_rig_put_epoch(&rig, EPOCH_DELETED);
        cr_assert_eq(change_to(&rig, MC_ADD, "a"), MC_CHANGE_NOT_STORED);
        epoch_rig_close(&rig);
    }
}

Test(mc_change, an_add_may_invalidate)
{
    struct epoch_rig rig;

    epoch_rig_open(&rig, TWO_ARMS, ALL("mutate"));
    change_spoil(&rig, "old", EPOCH_DELETED);
    cr_assert_eq(change_to(&rig, MC_ADD, "new"), MC_CHANGED);
    cr_assert_str_eq(rig.log, "fetch V, fetch E, cas E, cas V, fetch E");
    change_assert_value(&rig, "new");
    epoch_rig_close(&rig);
}

Test(mc_change, where_writes_are_fills_nothing_but_a_delete_invalidates)
{
    struct epoch_rig rig;

    epoch_rig_open(&rig, TWO_ARMS, ALL("fill"));
    cr_assert_eq(change_to(&rig, MC_SET, "a"), MC_CHANGED);
    cr_assert_str_eq(rig.log, "fetch V, fetch E, add E, set V");
    change_assert_value(&rig, "a");
    cr_assert_eq(change_to(&rig, MC_SET, "b"), MC_CHANGED);
    cr_assert_str_eq(rig.log, "fetch V, fetch E, set V");
    cr_assert_eq(change_to(&rig, MC_APPEND, "c"), MC_CHANGED);
    cr_assert_str_eq(rig.log, "fetch V, fetch E, cas V");
    change_assert_value(&rig, "bc");
    cr_assert_eq(change_compare(&rig, MC_DELETE, NULL, epoch_rig_value(&rig)->cas), MC_CHANGED);
    cr_assert_str_eq(rig.log, "fetch V, fetch E, cas E, delete V");
    epoch_rig_close(&rig);
}

Test(mc_change, what_is_no_epoch_item_is_overwritten)
{
    struct epoch_rig rig;

    epoch_rig_open(&rig, TWO_ARMS, "");
    change_fill(&rig, "a");
    epoch_rig_epoch(&rig)->len--;
    cr_assert_eq(change_to(&rig, MC_APPEND, "b"), MC_CHANGE_NOT_STORED);
    cr_assert_eq(change_to(&rig, MC_ADD, "b"), MC_CHANGED);
    cr_assert_str_eq(rig.log, "fetch V, fetch E, set E, cas V, fetch E");
    change_assert_value(&rig, "b");
    epoch_rig_close(&rig);
}
