/* Changes, with each answer of the server in the test's hand. */
#include "epoch_rig.h"
#include "http_rig.h"

#include "crossfade/relay/mc_coherence.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/socket.h>

#define TWO_ARMS "{ name: a, namespace: x }, { name: b, namespace: y }"
#define STABLE_ARM "{ name: a, namespace: x }, { name: b, namespace: \"\" }"
#define ALL(writes) "  keys: [ { match: \"*\", writes: " writes " } ]\n"

static const struct token none = { { 0, 0 } };

static struct mc_change_request request_of(struct epoch_rig *rig, enum mc_verb verb,
                                           const char *value)
{
    struct mc_change_request request = { .verb = verb, .key = epoch_rig_key, .flags = 3 };

    if (value != NULL) {
        request.chunk = chunk_create(&rig->worker.buffers, strlen(value) + 1);
        memcpy(request.chunk->data, value, strlen(value));
        request.value = slice_of(request.chunk->data, strlen(value));
    }
    return request;
}

/* From then on one in so many requests for memory is refused; 0: none. */
static void start_starving(struct epoch_rig *rig, const struct mc_change_request *request,
                           unsigned one_in)
{
    struct mc_op *op = epoch_rig_op(rig, request->verb, 0);
    struct key_place place;

    epoch_rig_place(rig, &place);
    rig_starve(one_in);
    rig->client->plane->command++;
    if (!mc_change_start(op, &place, request, rig->server))
        mc_op_part_failed(op, "out of memory");
    if (request->chunk != NULL)
        chunk_unref(request->chunk);
}

static void start(struct epoch_rig *rig, const struct mc_change_request *request)
{
    start_starving(rig, request, 0);
}

static void run(struct epoch_rig *rig, const struct mc_change_request *request)
{
    rig->log[0] = '\0';
    rig->changed = 0;
    start(rig, request);
    (void)epoch_rig_run(rig);
    epoch_rig_assert_idle(rig);
}

static enum mc_changed_kind outcome(struct epoch_rig *rig, const struct mc_change_request *request)
{
    run(rig, request);
    cr_assert_eq(rig->changed, 1);
    return rig->results[0].kind;
}

static enum mc_changed_kind change(struct epoch_rig *rig, enum mc_verb verb, const char *value)
{
    struct mc_change_request request = request_of(rig, verb, value);

    return outcome(rig, &request);
}

static enum mc_changed_kind compare(struct epoch_rig *rig, enum mc_verb verb, const char *value,
                                    uint64_t cas)
{
    struct mc_change_request request = request_of(rig, verb, value);

    request.cas = cas;
    return outcome(rig, &request);
}

static enum mc_changed_kind count(struct epoch_rig *rig, enum mc_verb verb, uint64_t delta)
{
    struct mc_change_request request = request_of(rig, verb, NULL);

    request.delta = delta;
    return outcome(rig, &request);
}

/* There is a current value. */
static void fill(struct epoch_rig *rig, const char *bytes)
{
    struct token token = epoch_rig_put_epoch(rig, EPOCH_MADE);

    epoch_rig_put_value(rig, &token, bytes, 0);
}

/* There is one that an invalidation has made obsolete. */
static void spoil(struct epoch_rig *rig, const char *bytes, enum epoch_kind kind)
{
    fill(rig, bytes);
    (void)epoch_rig_put_epoch(rig, kind);
}

static void assert_value(struct epoch_rig *rig, const char *expected)
{
    struct slice bytes;

    cr_assert(epoch_rig_is_current(rig));
    bytes = epoch_rig_bytes(epoch_rig_value(rig));
    cr_assert(slice_equal(bytes, slice_string(expected)), "%.*s", (int)bytes.len, bytes.data);
}

static void assert_failed(struct epoch_rig *rig, const char *expected)
{
    char got[400] = "";

    cr_assert_eq(rig->changed, 0);
    (void)recv(rig->fd, got, sizeof(got) - 1, 0);
    cr_assert_not_null(strstr(got, "SERVER_ERROR "), "%s", got);
    cr_assert_not_null(strstr(got, expected), "%s", got);
}

/* -- What changes come to ---------------------------------------------------------------------- */

Test(mc_change, the_epoch_keeps_the_old_value_until_the_new_one_is_there)
{
    struct epoch_rig rig;
    struct mc_change_request request;
    struct epoch epoch;
    uint64_t cas;

    epoch_rig_open(&rig, TWO_ARMS, "");
    fill(&rig, "hello");
    cas = epoch_rig_value(&rig)->cas;
    request = request_of(&rig, MC_APPEND, " you");
    start(&rig, &request);
    cr_assert(rig.client->changing);
    for (int i = 0; i < 3; i++)
        cr_assert(epoch_rig_step(&rig));
    assert_value(&rig, "hello");
    cr_assert(epoch_read(slice_of(epoch_rig_epoch(&rig)->value, EPOCH_LENGTH), &epoch));
    cr_assert_eq(epoch.keep, cas);
    cr_assert_eq(rig.changed, 0);
    cr_assert(epoch_rig_step(&rig));
    assert_value(&rig, "hello you");
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
    fill(&rig, "b");
    cr_assert_eq(change(&rig, MC_PREPEND, "a"), MC_CHANGED);
    assert_value(&rig, "ab");
    cr_assert_eq(change(&rig, MC_APPEND, "c"), MC_CHANGED);
    assert_value(&rig, "abc");
    cr_assert_eq(change(&rig, MC_APPEND, ""), MC_CHANGED);
    assert_value(&rig, "abc");
    cr_assert_eq(change(&rig, MC_REPLACE, "new"), MC_CHANGED);
    assert_value(&rig, "new");
    cr_assert_eq(epoch_rig_value(&rig)->flags, 3);
    cr_assert_eq(compare(&rig, MC_CAS, "newer", epoch_rig_value(&rig)->cas), MC_CHANGED);
    assert_value(&rig, "newer");
    cr_assert_eq(change(&rig, MC_REPLACE, ""), MC_CHANGED);
    assert_value(&rig, "");
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
        fill(&rig, cases[i].before);
        cr_assert_eq(count(&rig, cases[i].verb, cases[i].delta), MC_CHANGED);
        cr_assert_eq(rig.results[0].number, cases[i].number);
        assert_value(&rig, cases[i].after);
    }
    for (size_t i = 0; i < sizeof(no_numbers) / sizeof(no_numbers[0]); i++) {
        fill(&rig, no_numbers[i]);
        cr_assert_eq(count(&rig, MC_INCR, 1), MC_CHANGE_NO_NUMBER);
        assert_value(&rig, no_numbers[i]);
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
        cr_assert_eq(compare(&rig, cases[i].verb, value, cas), cases[i].absent);
        spoil(&rig, "1", EPOCH_CHANGED);
        cr_assert_eq(compare(&rig, cases[i].verb, value, cas), cases[i].stale);
        /* A delete is a delete in every arm; and no epoch item is no value. */
        spoil(&rig, "1", EPOCH_DELETED);
        cr_assert_eq(compare(&rig, cases[i].verb, value, cas), cases[i].absent);
        epoch_rig_drop(epoch_rig_epoch(&rig));
        cr_assert_eq(compare(&rig, cases[i].verb, value, cas), cases[i].absent);
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
    fill(&rig, "a");
    cas = epoch_rig_value(&rig)->cas;
    cr_assert_eq(compare(&rig, MC_CAS, "b", cas - 1), MC_CHANGE_EXISTS);
    cr_assert_eq(compare(&rig, MC_INCR, NULL, cas - 1), MC_CHANGE_EXISTS);
    cr_assert_eq(compare(&rig, MC_DELETE, NULL, cas - 1), MC_CHANGE_EXISTS);
    assert_value(&rig, "a");
    cr_assert_eq(compare(&rig, MC_DELETE, NULL, cas), MC_CHANGED);
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
    fill(&rig, "hello");
    before = epoch_rig_token(epoch_rig_epoch(&rig));
    request = request_of(&rig, MC_TOUCH, NULL);
    request.exptime = 100;
    cr_assert_eq(outcome(&rig, &request), MC_CHANGED);
    cr_assert_str_eq(rig.log, "fetch V, fetch E, touch V");
    cr_assert_eq(epoch_rig_value(&rig)->exptime, 100);
    cr_assert_eq(rig.results[0].ttl, 100);
    assert_value(&rig, "hello");
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
    cr_assert_eq(count(rig, MC_INCR, 1), MC_CHANGED);
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
    fill(&rig, "1");
    request = request_of(&rig, MC_REPLACE, "2");
    request.exptime = 5;
    cr_assert_eq(outcome(&rig, &request), MC_CHANGED);
    cr_assert_eq(epoch_rig_value(&rig)->exptime, 5);
    request = request_of(&rig, MC_INCR, NULL);
    request.exptime = 9;
    cr_assert_eq(outcome(&rig, &request), MC_CHANGED);
    cr_assert_neq(epoch_rig_value(&rig)->exptime, 9);
    request.touches = true;
    cr_assert_eq(outcome(&rig, &request), MC_CHANGED);
    cr_assert_eq(epoch_rig_value(&rig)->exptime, 9);
    epoch_rig_close(&rig);
}

Test(mc_change, what_is_not_there_is_made_on_request)
{
    struct epoch_rig rig;
    struct mc_change_request request;

    epoch_rig_open(&rig, TWO_ARMS, "");
    request = request_of(&rig, MC_INCR, NULL);
    request.has_initial = true;
    request.initial = 40;
    request.initial_exptime = 6;
    request.delta = 2;
    cr_assert_eq(outcome(&rig, &request), MC_CHANGED);
    cr_assert_str_eq(rig.log, "fetch V, fetch E, add E, add V, fetch E");
    cr_assert_eq(rig.results[0].number, 40);
    assert_value(&rig, "40");
    cr_assert_eq(epoch_rig_value(&rig)->exptime, 6);
    cr_assert_eq(epoch_rig_value(&rig)->flags, 3);
    cr_assert_eq(outcome(&rig, &request), MC_CHANGED);
    cr_assert_eq(rig.results[0].number, 42);
    spoil(&rig, "1", EPOCH_CHANGED);
    cr_assert_eq(outcome(&rig, &request), MC_CHANGED);
    cr_assert_str_eq(rig.log, "fetch V, fetch E, cas V, fetch E");
    assert_value(&rig, "40");

    spoil(&rig, "gone", EPOCH_DELETED);
    request = request_of(&rig, MC_APPEND, "first");
    request.has_initial = true;
    cr_assert_eq(outcome(&rig, &request), MC_CHANGED);
    assert_value(&rig, "first");
    epoch_rig_close(&rig);
}

/* -- Adds and sets ----------------------------------------------------------------------------- */

Test(mc_change, an_add_finds_only_what_is_current)
{
    struct epoch_rig rig;

    epoch_rig_open(&rig, TWO_ARMS, "");
    cr_assert_eq(change(&rig, MC_ADD, "a"), MC_CHANGED);
    cr_assert_str_eq(rig.log, "fetch V, fetch E, add E, add V, fetch E");
    cr_assert_eq(epoch_rig_epoch(&rig)->flags, EPOCH_MADE);
    assert_value(&rig, "a");
    cr_assert_eq(change(&rig, MC_ADD, "b"), MC_CHANGE_NOT_STORED);
    cr_assert_str_eq(rig.log, "fetch V, fetch E");
    spoil(&rig, "c", EPOCH_CHANGED);
    cr_assert_eq(change(&rig, MC_ADD, "d"), MC_CHANGED);
    cr_assert_str_eq(rig.log, "fetch V, fetch E, cas V, fetch E");
    assert_value(&rig, "d");
    epoch_rig_drop(epoch_rig_value(&rig));
    cr_assert_eq(change(&rig, MC_ADD, "e"), MC_CHANGED);
    cr_assert_str_eq(rig.log, "fetch V, fetch E, add V, fetch E");
    cr_assert_eq(RIG_STAT(&rig, told_changes), 0);
    epoch_rig_close(&rig);
}

static void recall(struct epoch_rig *rig, const struct token *token)
{
    mc_miss_record(rig->client, MC_MISS_READ, epoch_rig_key, token);
}

Test(mc_change, an_add_that_answers_a_miss_is_a_fill)
{
    struct epoch_rig rig;
    struct token token;
    struct token other;

    epoch_rig_open(&rig, TWO_ARMS, "");
    token = epoch_rig_put_epoch(&rig, EPOCH_MADE);
    recall(&rig, &token);
    cr_assert_eq(change(&rig, MC_ADD, "a"), MC_CHANGED);
    assert_value(&rig, "a");
    /* The epoch is another by now, or there is none. */
    epoch_rig_drop(epoch_rig_value(&rig));
    recall(&rig, &token);
    other = epoch_rig_put_epoch(&rig, EPOCH_DELETED);
    cr_assert_eq(change(&rig, MC_ADD, "b"), MC_CHANGE_NOT_STORED);
    recall(&rig, &other);
    epoch_rig_drop(epoch_rig_epoch(&rig));
    cr_assert_eq(change(&rig, MC_ADD, "b"), MC_CHANGE_NOT_STORED);
    cr_assert_null(epoch_rig_value(&rig));
    cr_assert_eq(RIG_STAT(&rig, fills_refused), 2);
    /* Nobody knows. */
    token = epoch_rig_put_epoch(&rig, EPOCH_MADE);
    recall(&rig, &none);
    cr_assert_eq(change(&rig, MC_ADD, "b"), MC_CHANGE_NOT_STORED);
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
        recall(&rig, known ? &token : &none);
        rig.fault = RIG_LOST;
        rig.fault_at = 1;
        request = request_of(&rig, MC_ADD, "a");
        run(&rig, &request);
        assert_failed(&rig, "closed the connection");
        (void)epoch_rig_put_epoch(&rig, EPOCH_DELETED);
        cr_assert_eq(change(&rig, MC_ADD, "a"), MC_CHANGE_NOT_STORED);
        epoch_rig_close(&rig);
    }
}

Test(mc_change, an_add_may_invalidate)
{
    struct epoch_rig rig;

    epoch_rig_open(&rig, TWO_ARMS, ALL("mutate"));
    spoil(&rig, "old", EPOCH_DELETED);
    cr_assert_eq(change(&rig, MC_ADD, "new"), MC_CHANGED);
    cr_assert_str_eq(rig.log, "fetch V, fetch E, cas E, cas V, fetch E");
    assert_value(&rig, "new");
    epoch_rig_close(&rig);
}

Test(mc_change, where_writes_are_fills_nothing_but_a_delete_invalidates)
{
    struct epoch_rig rig;

    epoch_rig_open(&rig, TWO_ARMS, ALL("fill"));
    cr_assert_eq(change(&rig, MC_SET, "a"), MC_CHANGED);
    cr_assert_str_eq(rig.log, "fetch V, fetch E, add E, set V");
    assert_value(&rig, "a");
    cr_assert_eq(change(&rig, MC_SET, "b"), MC_CHANGED);
    cr_assert_str_eq(rig.log, "fetch V, fetch E, set V");
    cr_assert_eq(change(&rig, MC_APPEND, "c"), MC_CHANGED);
    cr_assert_str_eq(rig.log, "fetch V, fetch E, cas V");
    assert_value(&rig, "bc");
    cr_assert_eq(compare(&rig, MC_DELETE, NULL, epoch_rig_value(&rig)->cas), MC_CHANGED);
    cr_assert_str_eq(rig.log, "fetch V, fetch E, cas E, delete V");
    epoch_rig_close(&rig);
}

Test(mc_change, what_is_no_epoch_item_is_overwritten)
{
    struct epoch_rig rig;

    epoch_rig_open(&rig, TWO_ARMS, "");
    fill(&rig, "a");
    epoch_rig_epoch(&rig)->len--;
    cr_assert_eq(change(&rig, MC_APPEND, "b"), MC_CHANGE_NOT_STORED);
    cr_assert_eq(change(&rig, MC_ADD, "b"), MC_CHANGED);
    cr_assert_str_eq(rig.log, "fetch V, fetch E, set E, cas V, fetch E");
    assert_value(&rig, "b");
    epoch_rig_close(&rig);
}

/* -- Races ------------------------------------------------------------------------------------- */

static void other_arm_deletes(struct epoch_rig *rig)
{
    (void)epoch_rig_put_epoch(rig, EPOCH_DELETED);
}

static void own_arm_sets(struct epoch_rig *rig)
{
    fill(rig, "5");
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

Test(mc_change, another_that_is_faster_comes_first)
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
        fill(&rig, "1");
        rig.race = cases[i].race;
        rig.race_at = cases[i].at;
        cr_assert_eq(count(&rig, MC_INCR, 1), cases[i].kind, "%zu", i);
        if (cases[i].value != NULL)
            assert_value(&rig, cases[i].value);
        else
            cr_assert_not(epoch_rig_is_current(&rig), "%zu", i);
        epoch_rig_close(&rig);
    }
}

Test(mc_change, a_cas_that_was_overtaken_says_so)
{
    for (unsigned at = 3; at <= 4; at++) {
        struct epoch_rig rig;
        epoch_rig_open(&rig, TWO_ARMS, "");
        fill(&rig, "1");
        rig.race = own_arm_sets;
        rig.race_at = at;
        cr_assert_eq(compare(&rig, MC_CAS, "2", epoch_rig_value(&rig)->cas), MC_CHANGE_EXISTS);
        assert_value(&rig, "5");
        epoch_rig_close(&rig);
    }
}

static void own_arm_adds(struct epoch_rig *rig)
{
    if (epoch_rig_value(rig) == NULL)
        own_arm_sets(rig);
}

Test(mc_change, one_of_two_adds_wins)
{
    for (unsigned at = 1; at <= 4; at++) {
        struct epoch_rig rig;
        epoch_rig_open(&rig, TWO_ARMS, "");
        rig.race = own_arm_adds;
        rig.race_at = at;
        cr_assert_eq(change(&rig, MC_ADD, "mine"), MC_CHANGE_NOT_STORED, "%u", at);
        assert_value(&rig, "5");
        epoch_rig_close(&rig);
    }
}

/* Another has added, and deleted again what it added, just before: by a token of before this add
 * would leave nothing that a third one, who adds too, would find. */
Test(mc_change, an_add_stands_when_it_is_answered)
{
    for (unsigned at = 1; at <= 5; at++)
        for (unsigned stale = 0; stale < 2; stale++) {
            struct epoch_rig rig;
            epoch_rig_open(&rig, TWO_ARMS, "");
            if (stale)
                spoil(&rig, "old", EPOCH_CHANGED);
            else
                (void)epoch_rig_put_epoch(&rig, EPOCH_MADE);
            rig.race = other_arm_deletes;
            rig.race_at = at;
            cr_assert_eq(change(&rig, MC_ADD, "mine"), MC_CHANGED);
            if (at < 5)
                assert_value(&rig, "mine");
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
Test(mc_change, an_add_that_another_goes_on_with_has_stored)
{
    struct epoch_rig rig;

    epoch_rig_open(&rig, TWO_ARMS, "");
    (void)epoch_rig_put_epoch(&rig, EPOCH_MADE);
    rig.race = another_keeps_it;
    rig.race_at = 4;
    cr_assert_eq(change(&rig, MC_ADD, "mine"), MC_CHANGED);
    assert_value(&rig, "mine");
    epoch_rig_close(&rig);
}

static void epoch_changes(struct epoch_rig *rig)
{
    fill(rig, "5");
}

Test(mc_change, it_gives_up_at_last)
{
    struct epoch_rig rig;
    struct mc_change_request request;

    epoch_rig_open(&rig, TWO_ARMS, "");
    fill(&rig, "1");
    rig.race = epoch_changes;
    rig.race_at = 3;
    rig.race_every = 3;
    request = request_of(&rig, MC_INCR, NULL);
    run(&rig, &request);
    assert_failed(&rig, "too many changes of this key at once");
    cr_assert_eq(rig.steps, 3 * MC_CHANGE_ROUNDS);
    cr_assert_eq(RIG_STAT(&rig, change_rounds), MC_CHANGE_ROUNDS);
    cr_assert_eq(RIG_STAT(&rig, changes_given_up), 1);
    assert_value(&rig, "5");
    epoch_rig_close(&rig);
}

/* Their errands alternate, as those of two processes may. */
Test(mc_change, of_many_at_once_none_is_lost)
{
    struct epoch_rig rig;
    struct mc_change_request request;

    epoch_rig_open(&rig, TWO_ARMS, "");
    fill(&rig, "100");
    for (int i = 0; i < 8; i++) {
        request = request_of(&rig, MC_INCR, NULL);
        request.delta = 1;
        start(&rig, &request);
    }
    (void)epoch_rig_run(&rig);
    cr_assert_eq(rig.changed, 8);
    for (int i = 0; i < 8; i++)
        cr_assert_eq(rig.results[i].kind, MC_CHANGED);
    assert_value(&rig, "108");
    epoch_rig_assert_idle(&rig);
    epoch_rig_close(&rig);
}

Test(mc_change, what_a_dead_process_has_begun_is_taken_over)
{
    struct epoch_rig rig;
    uint64_t cas;

    epoch_rig_open(&rig, TWO_ARMS, "");
    fill(&rig, "1");
    cas = epoch_rig_value(&rig)->cas;
    (void)epoch_rig_put_keep(&rig, EPOCH_CHANGED, cas);
    assert_value(&rig, "1");
    cr_assert_eq(count(&rig, MC_INCR, 1), MC_CHANGED);
    assert_value(&rig, "2");
    cr_assert_eq(rig.steps, 2 * (1 + MC_CHANGE_PATIENCE) + 2);
    /* A touch need not wait. */
    (void)epoch_rig_put_keep(&rig, EPOCH_CHANGED, epoch_rig_value(&rig)->cas);
    cr_assert_eq(change(&rig, MC_TOUCH, NULL), MC_CHANGED);
    cr_assert_str_eq(rig.log, "fetch V, fetch E, touch V");
    /* And what is not kept is not there. */
    (void)epoch_rig_put_keep(&rig, EPOCH_CHANGED, cas);
    cr_assert_eq(count(&rig, MC_INCR, 1), MC_CHANGE_NOT_FOUND);
    epoch_rig_close(&rig);
}

/* -- Failures ---------------------------------------------------------------------------------- */

Test(mc_change, what_fails_is_no_success_and_leaves_one_value)
{
    static const enum rig_fault faults[] = { RIG_REFUSED, RIG_LOST, RIG_LOST_ANSWER };

    for (unsigned step = 1; step <= 4; step++)
        for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
            struct epoch_rig rig;
            struct mc_change_request request;
            bool written = step == 4 && faults[i] == RIG_LOST_ANSWER;
            epoch_rig_open(&rig, TWO_ARMS, "");
            fill(&rig, "1");
            rig.fault = faults[i];
            rig.fault_at = step;
            request = request_of(&rig, MC_INCR, NULL);
            request.delta = 1;
            run(&rig, &request);
            assert_failed(&rig, faults[i] == RIG_REFUSED ? "out of memory storing object"
                                                         : "closed the connection");
            assert_value(&rig, written ? "2" : "1");
            cr_assert_eq(RIG_STAT(&rig, failed), 1);
            /* It can go on, if only after a while. */
            rig.fault = RIG_NONE;
            cr_assert_eq(count(&rig, MC_INCR, 1), MC_CHANGED);
            assert_value(&rig, written ? "3" : "2");
            epoch_rig_close(&rig);
        }
}

Test(mc_change, what_is_too_large_for_the_server_is_said_to_be)
{
    struct epoch_rig rig;
    struct token token;

    epoch_rig_open(&rig, TWO_ARMS, "");
    fill(&rig, "1");
    rig.fault = RIG_TOO_LARGE;
    rig.fault_at = 4;
    cr_assert_eq(change(&rig, MC_APPEND, "2"), MC_CHANGE_TOO_LARGE);
    assert_value(&rig, "1");
    /* An add's miss is still to be answered. */
    epoch_rig_drop(epoch_rig_value(&rig));
    token = epoch_rig_put_epoch(&rig, EPOCH_MADE);
    recall(&rig, &token);
    rig.fault_at = rig.steps + 3;
    cr_assert_eq(change(&rig, MC_ADD, "2"), MC_CHANGE_TOO_LARGE);
    (void)epoch_rig_put_epoch(&rig, EPOCH_DELETED);
    cr_assert_eq(change(&rig, MC_ADD, "2"), MC_CHANGE_NOT_STORED);
    epoch_rig_close(&rig);
}

Test(mc_change, a_value_does_not_grow_past_its_limit)
{
    struct epoch_rig rig;

    epoch_rig_open(&rig, TWO_ARMS, "  max_value: 1k\n");
    {
        char text[1025];
        memset(text, 'x', sizeof(text));
        text[1023] = '\0';
        fill(&rig, text);
    }
    cr_assert_eq(change(&rig, MC_APPEND, "1"), MC_CHANGED);
    cr_assert_eq(change(&rig, MC_APPEND, "2"), MC_CHANGE_TOO_LARGE);
    cr_assert_eq(change(&rig, MC_PREPEND, "2"), MC_CHANGE_TOO_LARGE);
    cr_assert_eq(epoch_rig_value(&rig)->len, STAMP_LENGTH + 1024);
    cr_assert(epoch_rig_is_current(&rig));
    epoch_rig_close(&rig);
}

Test(mc_change, it_does_not_begin_where_nothing_may)
{
    struct epoch_rig rig;
    struct mc_change_request request;
    struct token token;

    epoch_rig_open(&rig, TWO_ARMS, "");
    token = epoch_rig_put_epoch(&rig, EPOCH_MADE);
    recall(&rig, &token);
    rig.server->drained = true;
    request = request_of(&rig, MC_ADD, "1");
    run(&rig, &request);
    assert_failed(&rig, "is drained by the operator");
    cr_assert_eq(rig.steps, 0);
    rig.server->drained = false;
    cr_assert_eq(change(&rig, MC_ADD, "1"), MC_CHANGED);
    epoch_rig_close(&rig);
}

/* -- Its client -------------------------------------------------------------------------------- */

Test(mc_change, what_a_client_has_begun_is_finished_without_it)
{
    for (unsigned step = 0; step <= 4; step++) {
        struct epoch_rig rig;
        struct mc_change_request request;
        epoch_rig_open(&rig, STABLE_ARM, "");
        fill(&rig, "hello");
        epoch_rig_put_bystander(&rig);
        request = request_of(&rig, MC_APPEND, " you");
        start(&rig, &request);
        for (unsigned i = 0; i < step; i++)
            cr_assert(epoch_rig_step(&rig));
        epoch_rig_leave(&rig);
        (void)epoch_rig_run(&rig);
        assert_value(&rig, "hello you");
        cr_assert_null(epoch_rig_bystander(&rig));
        epoch_rig_assert_idle(&rig);
        epoch_rig_close(&rig);
    }
}

Test(mc_change, the_worker_may_end_at_every_step)
{
    for (unsigned step = 0; step <= 4; step++) {
        struct epoch_rig rig;
        struct mc_change_request request;
        epoch_rig_open(&rig, STABLE_ARM, "");
        fill(&rig, "hello");
        request = request_of(&rig, MC_APPEND, " you");
        start(&rig, &request);
        for (unsigned i = 0; i < step; i++)
            cr_assert(epoch_rig_step(&rig));
        epoch_rig_close(&rig);
    }
}

Test(mc_change, nothing_behind_it_is_taken_from_its_client)
{
    struct epoch_rig rig;
    struct mc_change_request request;
    char got[100];

    epoch_rig_open(&rig, TWO_ARMS, "");
    fill(&rig, "1");
    request = request_of(&rig, MC_INCR, NULL);
    start(&rig, &request);
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

Test(mc_change, hosts_without_epochs_lose_their_copy)
{
    struct epoch_rig rig;

    epoch_rig_open(&rig, STABLE_ARM, "");
    fill(&rig, "1");
    epoch_rig_put_bystander(&rig);
    cr_assert_eq(change(&rig, MC_APPEND, "2"), MC_CHANGED);
    cr_assert_str_eq(rig.log, "fetch V, fetch E, cas E, delete K, cas V");
    cr_assert_null(epoch_rig_bystander(&rig));
    cr_assert_eq(change(&rig, MC_TOUCH, NULL), MC_CHANGED);
    cr_assert_str_eq(rig.log, "fetch V, fetch E, touch V");
    epoch_rig_close(&rig);
}

Test(mc_change, one_of_which_they_were_not_told_is_no_success)
{
    struct epoch_rig rig;
    struct mc_change_request request;
    char got[400] = "";

    epoch_rig_open(&rig, STABLE_ARM, "");
    fill(&rig, "1");
    rig.fault = RIG_REFUSED;
    rig.fault_at = 4;
    request = request_of(&rig, MC_APPEND, "2");
    run(&rig, &request);
    cr_assert_eq(rig.changed, 1);
    (void)recv(rig.fd, got, sizeof(got) - 1, 0);
    cr_assert_eq(strncmp(got, "SERVER_ERROR another version", 28), 0, "%s", got);
    cr_assert_eq(RIG_STAT(&rig, companions_failed), 1);
    epoch_rig_close(&rig);
}

/* -- Memory ------------------------------------------------------------------------------------ */

Test(mc_change, memory_may_run_out_anywhere)
{
    for (unsigned one_in = 1; one_in < 40; one_in++) {
        struct epoch_rig rig;
        struct mc_change_request request;
        epoch_rig_open(&rig, STABLE_ARM, "");
        fill(&rig, "hello");
        request = request_of(&rig, MC_APPEND, " you");
        start_starving(&rig, &request, one_in);
        (void)epoch_rig_run(&rig);
        rig_starve(0);
        /* Or it was closed, for want of memory. */
        cr_assert(TAILQ_EMPTY(&rig.worker.mc->client_list) || !rig.client->changing);
        epoch_rig_close(&rig);
    }
}
