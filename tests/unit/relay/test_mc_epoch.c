/* What reads and sets of epoch mode come to, with the server's answers in the test's hand. */
#include "epoch_rig.h"

#include "crossfade/relay/mc_coherence.h"

#include <criterion/criterion.h>

#define TWO_ARMS "{ name: a, namespace: x }, { name: b, namespace: y }"
#define STABLE_ARM "{ name: a, namespace: x }, { name: b, namespace: \"\" }"

#define assert_token(left, right)                                                                  \
    do {                                                                                           \
        const struct token l = (left);                                                             \
        const struct token r = (right);                                                            \
        cr_assert(token_equal(&l, &r));                                                            \
    } while (0)

#define CURRENT(op, item) mc_epoch_is_current(op, slice_of((item)->value, (item)->len), (item)->cas)

static const struct token none = { { 0, 0 } };

/* A get whose reply has shown neither an epoch item nor a value. */
static struct mc_op *miss(struct epoch_rig *rig, uint32_t flags)
{
    struct mc_op *op = epoch_rig_op(rig, MC_GET, MC_OP_EPOCH | MC_OP_TRACK | MC_OP_LAST | flags);

    if (mc_epoch_missed(epoch_rig_connection(rig), op))
        mc_op_part_done(op, slice_of(NULL, 0));
    return op;
}

static enum mc_epoch_write judge(struct epoch_rig *rig, struct token *token)
{
    struct key_place place;

    epoch_rig_place(rig, &place);
    return mc_epoch_judge_set(rig->client, &place, epoch_rig_key, token);
}

static void assert_judged(struct epoch_rig *rig, enum mc_epoch_write expected)
{
    struct token token;

    cr_assert_eq(judge(rig, &token), expected);
}

Test(mc_epoch, a_miss_makes_the_epoch_item_before_its_client_hears_of_it)
{
    struct epoch_rig rig;
    struct token token;

    epoch_rig_open(&rig, TWO_ARMS, "");
    (void)miss(&rig, 0);
    cr_assert_eq(rig.missed, 0);
    cr_assert_eq(rig.client->op_count, 1);
    cr_assert_eq(epoch_rig_run(&rig), 1);
    cr_assert_eq(rig.missed, 1);
    cr_assert_str_eq(rig.log, "add E");
    cr_assert_eq(epoch_rig_epoch(&rig)->flags, EPOCH_MADE);
    cr_assert_eq(epoch_rig_epoch(&rig)->exptime, 0);
    cr_assert_eq(judge(&rig, &token), MC_EPOCH_FILL);
    assert_token(token, epoch_rig_token(epoch_rig_epoch(&rig)));
    assert_judged(&rig, MC_EPOCH_MUTATE);
    cr_assert_eq(RIG_STAT(&rig, epochs_absent), 1);
    cr_assert_eq(RIG_STAT(&rig, epochs_made), 1);
    epoch_rig_assert_idle(&rig);
    epoch_rig_close(&rig);
}

Test(mc_epoch, a_herd_of_misses_makes_one)
{
    struct epoch_rig rig;
    struct token token;

    epoch_rig_open(&rig, TWO_ARMS, "");
    for (int i = 0; i < 100; i++)
        (void)miss(&rig, 0);
    (void)epoch_rig_run(&rig);
    cr_assert_eq(rig.missed, 100);
    cr_assert_eq(RIG_STAT(&rig, epochs_absent), 100);
    cr_assert_eq(RIG_STAT(&rig, epochs_made), 1);
    cr_assert_eq(rig.steps, 100 + 99);
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(judge(&rig, &token), MC_EPOCH_FILL);
        assert_token(token, epoch_rig_token(epoch_rig_epoch(&rig)));
    }
    assert_judged(&rig, MC_EPOCH_MUTATE);
    epoch_rig_assert_idle(&rig);
    epoch_rig_close(&rig);
}

static void delete_epoch(struct epoch_rig *rig)
{
    if (epoch_rig_epoch(rig) != NULL)
        epoch_rig_drop(epoch_rig_epoch(rig));
}

static void make_epoch(struct epoch_rig *rig)
{
    (void)epoch_rig_put_epoch(rig, EPOCH_DELETED);
}

Test(mc_epoch, one_that_another_process_has_made_is_read_again)
{
    struct epoch_rig rig;
    struct token token;

    epoch_rig_open(&rig, TWO_ARMS, "");
    rig.race = make_epoch;
    rig.race_at = 1;
    (void)miss(&rig, 0);
    (void)epoch_rig_run(&rig);
    cr_assert_str_eq(rig.log, "add E, fetch E");
    cr_assert_eq(judge(&rig, &token), MC_EPOCH_FILL);
    assert_token(token, epoch_rig_token(epoch_rig_epoch(&rig)));
    cr_assert_eq(RIG_STAT(&rig, epochs_made), 0);
    epoch_rig_assert_idle(&rig);
    epoch_rig_close(&rig);
}

Test(mc_epoch, one_that_is_gone_again_leaves_no_fill)
{
    struct epoch_rig rig;
    struct token token;

    epoch_rig_open(&rig, TWO_ARMS, "");
    (void)epoch_rig_put_epoch(&rig, EPOCH_MADE);
    rig.race = delete_epoch;
    rig.race_at = 2;
    (void)miss(&rig, 0);
    (void)epoch_rig_run(&rig);
    cr_assert_str_eq(rig.log, "add E, fetch E");
    cr_assert_eq(rig.missed, 1);
    cr_assert_eq(judge(&rig, &token), MC_EPOCH_REFUSE);
    cr_assert(token_is_none(&token));
    cr_assert_eq(RIG_STAT(&rig, fills_refused), 1);
    epoch_rig_assert_idle(&rig);
    epoch_rig_close(&rig);
}

static void spoil_epoch(struct epoch_rig *rig)
{
    (void)epoch_rig_put_epoch(rig, EPOCH_MADE);
    epoch_rig_epoch(rig)->len--;
}

Test(mc_epoch, what_is_no_epoch_item_is_overwritten)
{
    struct epoch_rig rig;
    struct mc_op *op;
    struct token token;

    epoch_rig_open(&rig, TWO_ARMS, "");
    spoil_epoch(&rig);
    op = epoch_rig_op(&rig, MC_GET, MC_OP_EPOCH | MC_OP_TRACK | MC_OP_LAST);
    mc_epoch_seen(op, slice_of(epoch_rig_epoch(&rig)->value, epoch_rig_epoch(&rig)->len));
    cr_assert_not(mc_epoch_missed(epoch_rig_connection(&rig), op));
    (void)epoch_rig_run(&rig);
    cr_assert_str_eq(rig.log, "set E");
    cr_assert_eq(epoch_rig_epoch(&rig)->len, EPOCH_LENGTH);
    cr_assert_eq(judge(&rig, &token), MC_EPOCH_FILL);
    assert_token(token, epoch_rig_token(epoch_rig_epoch(&rig)));

    /* One that turns up between the add and the read. */
    rig.log[0] = '\0';
    rig.race = spoil_epoch;
    rig.race_at = 2;
    epoch_rig_drop(epoch_rig_epoch(&rig));
    (void)miss(&rig, 0);
    (void)epoch_rig_run(&rig);
    cr_assert_str_eq(rig.log, "add E, fetch E");
    assert_judged(&rig, MC_EPOCH_REFUSE);
    epoch_rig_assert_idle(&rig);
    epoch_rig_close(&rig);
}

/* At each step, in each way. */
Test(mc_epoch, what_fails_while_an_epoch_item_is_made_leaves_no_fill)
{
    static const enum rig_fault faults[] = { RIG_REFUSED, RIG_LOST, RIG_LOST_ANSWER };

    for (unsigned step = 1; step <= 2; step++)
        for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
            struct epoch_rig rig;
            epoch_rig_open(&rig, TWO_ARMS, "");
            rig.fault = faults[i];
            rig.fault_at = step;
            if (step == 2)
                (void)epoch_rig_put_epoch(&rig, EPOCH_MADE);
            (void)miss(&rig, 0);
            (void)epoch_rig_run(&rig);
            cr_assert_eq(rig.steps, step);
            cr_assert_eq(rig.missed, 1);
            assert_judged(&rig, MC_EPOCH_REFUSE);
            epoch_rig_assert_idle(&rig);
            epoch_rig_close(&rig);
        }
}

Test(mc_epoch, the_client_may_leave_at_every_step)
{
    for (unsigned step = 0; step <= 1; step++) {
        struct epoch_rig rig;
        epoch_rig_open(&rig, TWO_ARMS, "");
        (void)epoch_rig_put_epoch(&rig, EPOCH_MADE);
        (void)miss(&rig, 0);
        for (unsigned i = 0; i < step; i++)
            cr_assert(epoch_rig_step(&rig));
        epoch_rig_leave(&rig);
        (void)epoch_rig_run(&rig);
        cr_assert_eq(rig.missed, 1);
        epoch_rig_assert_idle(&rig);
        epoch_rig_close(&rig);
    }
}

Test(mc_epoch, the_worker_may_end_while_one_is_made)
{
    struct epoch_rig rig;

    epoch_rig_open(&rig, TWO_ARMS, "");
    (void)miss(&rig, 0);
    epoch_rig_close(&rig);
    cr_assert_eq(rig.missed, 1);
}

Test(mc_epoch, a_value_is_current_by_its_token)
{
    struct epoch_rig rig;
    struct mc_op *op;
    struct token in_force;
    struct token older;
    struct rig_item *epoch;
    struct rig_item *value;

    epoch_rig_open(&rig, TWO_ARMS, "");
    older = epoch_rig_put_epoch(&rig, EPOCH_MADE);
    in_force = epoch_rig_put_epoch(&rig, EPOCH_CHANGED);
    epoch_rig_put_value(&rig, &in_force, "hello", 0);
    epoch = epoch_rig_epoch(&rig);
    value = epoch_rig_value(&rig);
    op = epoch_rig_op(&rig, MC_GET, MC_OP_EPOCH | MC_OP_TRACK | MC_OP_LAST);
    cr_assert_not(CURRENT(op, value));
    mc_epoch_seen(op, slice_of(epoch->value, epoch->len));
    cr_assert(op->flags & MC_OP_SEEN);
    cr_assert(CURRENT(op, value));
    cr_assert_eq(RIG_STAT(&rig, stale_refused), 1);
    /* All of a stamp has to be there. */
    value->len = STAMP_LENGTH;
    cr_assert(CURRENT(op, value));
    value->len--;
    cr_assert_not(CURRENT(op, value));
    epoch_rig_put_value(&rig, &older, "hello", 0);
    cr_assert_not(CURRENT(op, epoch_rig_value(&rig)));
    cr_assert_eq(RIG_STAT(&rig, stale_refused), 3);
    /* Known: nothing to be made, and the fill is of that token. */
    cr_assert(mc_epoch_missed(epoch_rig_connection(&rig), op));
    mc_op_part_done(op, slice_of(NULL, 0));
    cr_assert_eq(epoch_rig_run(&rig), 0);
    cr_assert_eq(judge(&rig, &older), MC_EPOCH_FILL);
    assert_token(older, in_force);
    epoch_rig_assert_idle(&rig);
    epoch_rig_close(&rig);
}

Test(mc_epoch, the_one_value_that_is_being_changed_stays_current)
{
    struct epoch_rig rig;
    struct token before;
    struct mc_op *op;

    epoch_rig_open(&rig, TWO_ARMS, "");
    before = epoch_rig_put_epoch(&rig, EPOCH_MADE);
    epoch_rig_put_value(&rig, &before, "hello", 0);
    (void)epoch_rig_put_keep(&rig, EPOCH_CHANGED, epoch_rig_value(&rig)->cas);
    op = epoch_rig_op(&rig, MC_GET, MC_OP_EPOCH | MC_OP_TRACK | MC_OP_LAST);
    mc_epoch_seen(op, slice_of(epoch_rig_epoch(&rig)->value, EPOCH_LENGTH));
    cr_assert(CURRENT(op, epoch_rig_value(&rig)));
    epoch_rig_put_value(&rig, &before, "hello", 0);
    cr_assert_not(CURRENT(op, epoch_rig_value(&rig)));
    mc_op_part_done(op, slice_of(NULL, 0));
    epoch_rig_close(&rig);
}

Test(mc_epoch, a_hit_is_not_remembered)
{
    struct epoch_rig rig;
    struct token token;
    struct mc_op *op;

    epoch_rig_open(&rig, TWO_ARMS, "");
    token = epoch_rig_put_epoch(&rig, EPOCH_MADE);
    epoch_rig_put_value(&rig, &token, "hello", 0);
    op = epoch_rig_op(&rig, MC_GET, MC_OP_EPOCH | MC_OP_TRACK | MC_OP_LAST);
    mc_epoch_seen(op, slice_of(epoch_rig_epoch(&rig)->value, EPOCH_LENGTH));
    cr_assert(CURRENT(op, epoch_rig_value(&rig)));
    mc_op_part_done(op, slice_of(NULL, 0));
    cr_assert_eq(rig.worker.cell->misses.recorded, 0);
    assert_judged(&rig, MC_EPOCH_MUTATE);
    epoch_rig_close(&rig);
}

Test(mc_epoch, readers_of_before_and_after_an_invalidation_mix)
{
    struct epoch_rig rig;
    struct mc_op *op;

    epoch_rig_open(&rig, TWO_ARMS, "");
    for (int i = 0; i < 2; i++) {
        (void)epoch_rig_put_epoch(&rig, EPOCH_CHANGED);
        op = epoch_rig_op(&rig, MC_GET, MC_OP_EPOCH | MC_OP_TRACK | MC_OP_LAST);
        mc_epoch_seen(op, slice_of(epoch_rig_epoch(&rig)->value, EPOCH_LENGTH));
        cr_assert(mc_epoch_missed(epoch_rig_connection(&rig), op));
        mc_op_part_done(op, slice_of(NULL, 0));
    }
    assert_judged(&rig, MC_EPOCH_REFUSE);
    cr_assert_eq(RIG_STAT(&rig, fills_refused), 1);
    epoch_rig_close(&rig);
}

Test(mc_epoch, a_fill_that_comes_late_is_in_doubt)
{
    struct epoch_rig rig;

    epoch_rig_open(&rig, TWO_ARMS, "  fill_window: 10s\n");
    (void)miss(&rig, 0);
    (void)epoch_rig_run(&rig);
    epoch_rig_wait(&rig, SECONDS(11));
    assert_judged(&rig, MC_EPOCH_DOUBT);
    epoch_rig_close(&rig);
}

Test(mc_epoch, nobody_fills_by_a_read_whose_server_has_failed)
{
    struct epoch_rig rig;
    struct mc_op *op;

    epoch_rig_open(&rig, TWO_ARMS, "");
    op = epoch_rig_op(&rig, MC_GET, MC_OP_EPOCH | MC_OP_TRACK | MC_OP_LAST);
    mc_op_part_failed(op, "no");
    assert_judged(&rig, MC_EPOCH_REFUSE);
    /* Also where half of the reply was here. */
    (void)epoch_rig_put_epoch(&rig, EPOCH_MADE);
    op = epoch_rig_op(&rig, MC_GET, MC_OP_EPOCH | MC_OP_TRACK | MC_OP_LAST);
    mc_epoch_seen(op, slice_of(epoch_rig_epoch(&rig)->value, EPOCH_LENGTH));
    mc_op_part_failed(op, "no");
    assert_judged(&rig, MC_EPOCH_REFUSE);
    epoch_rig_close(&rig);
}

Test(mc_epoch, a_fill_that_fails_may_be_tried_again_as_a_fill)
{
    struct epoch_rig rig;
    struct token token;
    struct token again;

    epoch_rig_open(&rig, TWO_ARMS, "");
    (void)miss(&rig, 0);
    (void)epoch_rig_run(&rig);
    cr_assert_eq(judge(&rig, &token), MC_EPOCH_FILL);
    mc_epoch_put_back(rig.client, epoch_rig_key, &token);
    cr_assert_eq(judge(&rig, &again), MC_EPOCH_FILL);
    assert_token(token, again);
    mc_epoch_put_back(rig.client, epoch_rig_key, &none);
    assert_judged(&rig, MC_EPOCH_REFUSE);
    epoch_rig_close(&rig);
}

Test(mc_epoch, what_writes_are_can_be_said)
{
    struct epoch_rig rig;

    epoch_rig_open(&rig, TWO_ARMS, "  keys: [ { match: \"*\", writes: mutate } ]\n");
    (void)miss(&rig, 0);
    (void)epoch_rig_run(&rig);
    assert_judged(&rig, MC_EPOCH_MUTATE);
    epoch_rig_close(&rig);

    epoch_rig_open(&rig, TWO_ARMS, "  keys: [ { match: \"*\", writes: fill } ]\n");
    assert_judged(&rig, MC_EPOCH_CHANGE);
    (void)miss(&rig, 0);
    (void)epoch_rig_run(&rig);
    assert_judged(&rig, MC_EPOCH_FILL);
    mc_miss_record(rig.client, MC_MISS_READ, epoch_rig_key, &none);
    assert_judged(&rig, MC_EPOCH_REFUSE);
    epoch_rig_close(&rig);
}

/* -- Invalidations ----------------------------------------------------------------------------- */

static struct mc_op *invalidate(struct epoch_rig *rig, enum epoch_kind kind, uint32_t flags)
{
    struct mc_op *op = epoch_rig_op(rig, MC_DELETE, flags);
    struct token token = token_next(&rig->worker.tokens);

    op->token = token;
    mc_epoch_invalidate(epoch_rig_connection(rig), op, epoch_rig_key, &token, kind);
    return op;
}

static void assert_reply(struct epoch_rig *rig, const char *expected)
{
    char got[400] = "";

    (void)buffer_peek(&rig->client->output, got, sizeof(got) - 1);
    cr_assert_str_eq(got, expected);
}

Test(mc_epoch, a_delete_changes_the_epoch_and_waits_for_it)
{
    struct epoch_rig rig;
    struct token before;
    struct mc_op *op;

    epoch_rig_open(&rig, TWO_ARMS, "");
    before = epoch_rig_put_epoch(&rig, EPOCH_MADE);
    op = invalidate(&rig, EPOCH_DELETED, 0);
    mc_op_part_done(op, SLICE("DELETED\r\n"));
    cr_assert_not(op->flags & MC_OP_DONE);
    cr_assert(epoch_rig_step(&rig));
    assert_reply(&rig, "DELETED\r\n");
    cr_assert_str_eq(rig.log, "replace E");
    cr_assert_eq(epoch_rig_epoch(&rig)->flags, EPOCH_DELETED);
    before.words[0] ^= epoch_rig_token(epoch_rig_epoch(&rig)).words[0];
    before.words[1] ^= epoch_rig_token(epoch_rig_epoch(&rig)).words[1];
    cr_assert_not(token_is_none(&before));
    cr_assert_eq(RIG_STAT(&rig, told_deletes), 1);
    epoch_rig_assert_idle(&rig);
    epoch_rig_close(&rig);
}

Test(mc_epoch, a_delete_makes_no_epoch_item_and_a_mutation_does)
{
    struct epoch_rig rig;
    struct mc_op *op;

    epoch_rig_open(&rig, TWO_ARMS, "");
    mc_op_part_done(invalidate(&rig, EPOCH_DELETED, 0), SLICE("NOT_FOUND\r\n"));
    cr_assert(epoch_rig_step(&rig));
    assert_reply(&rig, "NOT_FOUND\r\n");
    cr_assert_null(epoch_rig_epoch(&rig));
    op = invalidate(&rig, EPOCH_CHANGED, 0);
    assert_token(op->token, op->token);
    mc_op_part_done(op, SLICE("STORED\r\n"));
    cr_assert(epoch_rig_step(&rig));
    cr_assert_str_eq(rig.log, "replace E, set E");
    cr_assert_eq(epoch_rig_epoch(&rig)->flags, EPOCH_CHANGED);
    assert_reply(&rig, "NOT_FOUND\r\nSTORED\r\n");
    cr_assert_eq(RIG_STAT(&rig, told_mutations), 1);
    epoch_rig_assert_idle(&rig);
    epoch_rig_close(&rig);
}

Test(mc_epoch, hosts_without_epochs_lose_their_copy)
{
    struct epoch_rig rig;

    epoch_rig_open(&rig, STABLE_ARM, "");
    epoch_rig_put_bystander(&rig);
    mc_op_part_done(invalidate(&rig, EPOCH_CHANGED, 0), SLICE("STORED\r\n"));
    (void)epoch_rig_run(&rig);
    cr_assert_str_eq(rig.log, "set E, delete K");
    cr_assert_null(epoch_rig_bystander(&rig));
    /* And there is no harm in none. */
    mc_op_part_done(invalidate(&rig, EPOCH_DELETED, 0), SLICE("DELETED\r\n"));
    (void)epoch_rig_run(&rig);
    cr_assert_eq(RIG_STAT(&rig, companions), 2);
    cr_assert_eq(RIG_STAT(&rig, companions_failed), 0);
    epoch_rig_assert_idle(&rig);
    epoch_rig_close(&rig);
}

Test(mc_epoch, what_is_not_invalidated_is_no_success)
{
    static const enum rig_fault faults[] = { RIG_REFUSED, RIG_LOST, RIG_LOST_ANSWER };

    for (unsigned step = 1; step <= 2; step++)
        for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
            for (unsigned own = 0; own < 2; own++) {
                struct epoch_rig rig;
                struct mc_op *op;
                char got[512] = "";
                epoch_rig_open(&rig, STABLE_ARM, "");
                rig.fault = faults[i];
                rig.fault_at = step;
                op = invalidate(&rig, EPOCH_CHANGED, 0);
                if (own)
                    mc_op_part_done(op, SLICE("DELETED\r\n"));
                while (epoch_rig_step(&rig))
                    continue;
                if (!own)
                    mc_op_part_done(op, SLICE("DELETED\r\n"));
                (void)buffer_peek(&rig.client->output, got, sizeof(got) - 1);
                cr_assert_eq(strncmp(got, "SERVER_ERROR another version", 28), 0, "%s", got);
                cr_assert_geq(RIG_STAT(&rig, companions_failed), 1);
                cr_assert_eq(RIG_STAT(&rig, failed), 1);
                (void)epoch_rig_run(&rig);
                epoch_rig_assert_idle(&rig);
                epoch_rig_close(&rig);
            }
}

Test(mc_epoch, one_without_a_reply_is_counted)
{
    struct epoch_rig rig;

    epoch_rig_open(&rig, TWO_ARMS, "");
    rig.fault = RIG_LOST;
    rig.fault_at = 1;
    mc_op_part_done(invalidate(&rig, EPOCH_CHANGED, MC_OP_SILENT), SLICE("STORED\r\n"));
    (void)epoch_rig_run(&rig);
    cr_assert_eq(RIG_STAT(&rig, noreply_failed), 1);
    epoch_rig_assert_idle(&rig);
    epoch_rig_close(&rig);
}

Test(mc_epoch, the_client_may_leave_while_others_are_told)
{
    struct epoch_rig rig;
    struct mc_op *op;

    epoch_rig_open(&rig, STABLE_ARM, "");
    (void)epoch_rig_put_epoch(&rig, EPOCH_MADE);
    epoch_rig_put_bystander(&rig);
    op = invalidate(&rig, EPOCH_DELETED, 0);
    epoch_rig_leave(&rig);
    (void)epoch_rig_run(&rig);
    cr_assert_eq(epoch_rig_epoch(&rig)->flags, EPOCH_DELETED);
    cr_assert_null(epoch_rig_bystander(&rig));
    mc_op_part_done(op, SLICE("DELETED\r\n"));
    epoch_rig_assert_idle(&rig);
    epoch_rig_close(&rig);
}
