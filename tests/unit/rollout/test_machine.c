/* The verbs: what each does from each state, and what it says. */
#include "rollout_helpers.h"

#include "../../../src/rollout/text.h"
#include "crossfade/base/clock.h"

#include <criterion/criterion.h>
#include <string.h>

static struct bed bed;

static void setup(void)
{
    bed_make(&bed);
    bed_open(&bed);
}

static void teardown(void)
{
    clock_fake(0, 0);
    bed_remove(&bed);
}

TestSuite(machine, .init = setup, .fini = teardown);

#define NO ((enum rollout_state)99)

/* From each state at canary, 0.1 %, with a reason: the state after, or refused and a word of why.
 */
static const struct {
    enum rollout_verb verb;
    enum rollout_state after[6]; /* idle running paused held promoted aborted */
    const char *hint[6];
} table[] = {
    { ROLLOUT_START,
      { ROLLOUT_RUNNING, NO, NO, NO, NO, NO },
      { "", "Use advance", "Use resume", "Use resume", "from: py3", "Use retry" } },
    { ROLLOUT_ADVANCE,
      { NO, ROLLOUT_RUNNING, NO, NO, NO, NO },
      { "Use start", "", "Use resume", "Use resume", "from: py3", "Use retry" } },
    { ROLLOUT_PERCENT,
      { NO, ROLLOUT_RUNNING, ROLLOUT_PAUSED, ROLLOUT_HELD, NO, NO },
      { "Use start", "", "", "", "from: py3", "Use retry" } },
    { ROLLOUT_PAUSE,
      { NO, ROLLOUT_PAUSED, NO, NO, NO, NO },
      { "Use start", "", "Use resume", "Use resume", "from: py3", "Use retry" } },
    { ROLLOUT_RESUME,
      { NO, NO, ROLLOUT_RUNNING, ROLLOUT_RUNNING, NO, NO },
      { "Use start", "nothing to resume", "", "", "from: py3", "Use retry" } },
    { ROLLOUT_HOLD,
      { NO, ROLLOUT_HELD, ROLLOUT_HELD, NO, NO, NO },
      { "Use start", "", "", "Use resume", "from: py3", "Use retry" } },
    { ROLLOUT_ABORT,
      { NO, ROLLOUT_ABORTED, ROLLOUT_ABORTED, ROLLOUT_ABORTED, ROLLOUT_ABORTED, ROLLOUT_ABORTED },
      { "Use start", "", "", "", "", "" } },
    { ROLLOUT_RETRY,
      { NO, NO, NO, NO, NO, ROLLOUT_RUNNING },
      { "Use start", "Only an aborted", "Use resume", "Use resume", "from: py3", "" } },
    { ROLLOUT_PROMOTE,
      { NO, ROLLOUT_PROMOTED, NO, NO, NO, NO },
      { "Use start", "", "Use resume", "Use resume", "from: py3", "Use retry" } },
    { ROLLOUT_RESET,
      { NO, NO, NO, ROLLOUT_IDLE, ROLLOUT_IDLE, ROLLOUT_IDLE },
      { "Use start", "Use abort before", "Use abort before", "", "", "" } },
};

Test(machine, every_verb_from_every_state)
{
    bed_remove(&bed);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        for (int from = ROLLOUT_IDLE; from <= ROLLOUT_ABORTED; from++) {
            struct rollout_status before;
            const struct rollout_status *now;
            enum rollout_state after = table[i].after[from];

            setup();
            bed_bring(&bed, (enum rollout_state)from);
            before = *rollout_status(bed.rollout);
            enum rollout_verdict verdict = bed_do(&bed, table[i].verb, "tested");
            now = rollout_status(bed.rollout);
            cr_expect_eq(verdict, after == NO ? ROLLOUT_REFUSED : ROLLOUT_DONE, "%zu from %d: %s",
                         i, from, bed.text);
            cr_expect_eq(now->state, after == NO ? (enum rollout_state)from : after);
            if (after == NO) {
                cr_expect_eq(memcmp(now, &before, sizeof(before)), 0, "nothing changes");
                cr_expect_not_null(strstr(bed.text, table[i].hint[from]), "%zu from %d: %s", i,
                                   from, bed.text);
            } else if (!(table[i].verb == ROLLOUT_ABORT && from == ROLLOUT_ABORTED)) {
                cr_expect_eq(now->generation, before.generation + 1);
                cr_expect_str_eq(now->reason, "tested");
                cr_expect_str_eq(now->by, "uid 0 (pid 1)");
            }
            cr_expect_eq(now->activation, before.activation + (verdict == ROLLOUT_DONE &&
                                                               (table[i].verb == ROLLOUT_START ||
                                                                table[i].verb == ROLLOUT_RETRY)));
            bed_remove(&bed);
        }
    setup();
}

static void stands(enum rollout_state state, int stage, uint32_t percent)
{
    const struct rollout_status *status = rollout_status(bed.rollout);
    struct cohort_position position = rollout_position(bed.rollout);
    bool active = state != ROLLOUT_IDLE && state != ROLLOUT_ABORTED;

    cr_assert_eq(status->state, state, "%s", bed.text);
    cr_assert_eq(status->percent, percent, "%u", status->percent);
    cr_assert_eq(position.active, active);
    cr_assert_eq(position.everyone, state == ROLLOUT_PROMOTED);
    cr_assert_eq(position.percent, active ? percent : 0);
    cr_assert_eq(position.stage, active ? stage : -1);
    if (active) {
        cr_assert_eq(status->stage, stage);
        cr_assert_str_eq(status->stage_name, bed.stages[stage].name);
    }
}

Test(machine, walks_the_stages_from_first_to_promoted)
{
    clock_fake(1, 1000000);
    stands(ROLLOUT_IDLE, -1, 0);
    cr_assert_eq(bed_do(&bed, ROLLOUT_START, NULL), ROLLOUT_DONE);
    stands(ROLLOUT_RUNNING, 0, 0);
    cr_assert_str_eq(bed.text,
                     "The rollout python3 is running at stage developers, with 0 % on py3.");
    cr_assert_eq(bed_do(&bed, ROLLOUT_ADVANCE, NULL), ROLLOUT_DONE);
    stands(ROLLOUT_RUNNING, 1, 0);
    cr_assert_eq(bed_do(&bed, ROLLOUT_ADVANCE, NULL), ROLLOUT_DONE);
    stands(ROLLOUT_RUNNING, 2, 1000);
    clock_fake(1, 2000000);
    cr_assert_eq(bed_do(&bed, ROLLOUT_ADVANCE, NULL), ROLLOUT_DONE);
    stands(ROLLOUT_RUNNING, 3, 200000);
    cr_assert_eq(rollout_status(bed.rollout)->stage_since, 2000000);

    /* This one has to bake for two hours. */
    clock_fake(1, 2000000 + SECONDS(7199));
    cr_assert_eq(bed_do(&bed, ROLLOUT_ADVANCE, NULL), ROLLOUT_REFUSED);
    cr_assert_str_eq(bed.text,
                     "Stage early is to last 2h, and 1s of it are to come. Wait, or give a "
                     "reason to go on at once.");
    cr_assert_eq(bed_do(&bed, ROLLOUT_ADVANCE, ""), ROLLOUT_REFUSED);
    clock_fake(1, 2000000 + SECONDS(7200));
    cr_assert_eq(bed_do(&bed, ROLLOUT_ADVANCE, NULL), ROLLOUT_DONE);
    stands(ROLLOUT_RUNNING, 4, PERCENT_ALL);
    cr_assert_eq(bed_do(&bed, ROLLOUT_ADVANCE, NULL), ROLLOUT_REFUSED);
    cr_assert_not_null(strstr(bed.text, "Use promote"), "%s", bed.text);
    cr_assert_eq(bed_do(&bed, ROLLOUT_PROMOTE, NULL), ROLLOUT_DONE);
    stands(ROLLOUT_PROMOTED, 4, PERCENT_ALL);
    cr_assert_str_eq(bed.text, "The rollout python3 was promoted: everyone is on py3.");
}

Test(machine, a_clock_that_went_back_does_not_end_the_bake)
{
    clock_fake(1, SECONDS(100000));
    bed_bring(&bed, ROLLOUT_RUNNING);
    cr_assert_eq(bed_do(&bed, ROLLOUT_ADVANCE, NULL), ROLLOUT_DONE);
    clock_fake(1, SECONDS(10));
    cr_assert_eq(bed_do(&bed, ROLLOUT_ADVANCE, NULL), ROLLOUT_REFUSED);
    cr_assert_eq(bed_do(&bed, ROLLOUT_ADVANCE, "reviewed"), ROLLOUT_DONE);
}

Test(machine, percent_stays_within_the_stage)
{
    bed_bring(&bed, ROLLOUT_RUNNING);
    cr_assert_eq(bed_percent(&bed, PERCENT_ALL + 1), ROLLOUT_BAD);
    cr_assert_eq(bed_percent(&bed, 20 * PERCENT_ONE + 1), ROLLOUT_REFUSED);
    cr_assert_not_null(strstr(bed.text, "up to 20 %, where stage early begins"), "%s", bed.text);
    cr_assert_eq(bed_percent(&bed, 20 * PERCENT_ONE), ROLLOUT_DONE);
    stands(ROLLOUT_RUNNING, 2, 20 * PERCENT_ONE);
    cr_assert_eq(bed_percent(&bed, 0), ROLLOUT_DONE);
    cr_assert_eq(bed_percent(&bed, 12345), ROLLOUT_DONE);
    stands(ROLLOUT_RUNNING, 2, 12345);
    cr_assert_str_eq(bed.text,
                     "The rollout python3 is running at stage canary, with 1.2345 % on py3.");

    /* Held: down only. */
    cr_assert_eq(bed_do(&bed, ROLLOUT_HOLD, "errors"), ROLLOUT_DONE);
    cr_assert_eq(bed_percent(&bed, 12346), ROLLOUT_REFUSED);
    cr_assert_not_null(strstr(bed.text, "held (errors)"), "%s", bed.text);
    cr_assert_eq(bed_percent(&bed, 5), ROLLOUT_DONE);
    stands(ROLLOUT_HELD, 2, 5);
    cr_assert_eq(bed_do(&bed, ROLLOUT_RESUME, NULL), ROLLOUT_DONE);
    stands(ROLLOUT_RUNNING, 2, 5);

    /* The last stage has no next one. */
    cr_assert_eq(bed_do(&bed, ROLLOUT_ADVANCE, NULL), ROLLOUT_DONE);
    cr_assert_eq(bed_do(&bed, ROLLOUT_ADVANCE, "now"), ROLLOUT_DONE);
    cr_assert_eq(bed_percent(&bed, 90 * PERCENT_ONE), ROLLOUT_DONE);
    cr_assert_eq(bed_do(&bed, ROLLOUT_PROMOTE, NULL), ROLLOUT_REFUSED);
    cr_assert_not_null(strstr(bed.text, "percent 100"), "%s", bed.text);
    cr_assert_eq(bed_percent(&bed, PERCENT_ALL), ROLLOUT_DONE);
    cr_assert_eq(bed_do(&bed, ROLLOUT_PROMOTE, NULL), ROLLOUT_DONE);
}

Test(machine, advance_never_lowers)
{
    bed_bring(&bed, ROLLOUT_RUNNING);
    cr_assert_eq(bed_percent(&bed, 20 * PERCENT_ONE), ROLLOUT_DONE);
    bed_configure(&bed);
    bed.stages[3].percent = 15 * PERCENT_ONE;
    rollout_reconfigure(bed.rollout, &bed.config);
    stands(ROLLOUT_RUNNING, 2, 20 * PERCENT_ONE);
    cr_assert_eq(bed_do(&bed, ROLLOUT_ADVANCE, NULL), ROLLOUT_DONE);
    stands(ROLLOUT_RUNNING, 3, 20 * PERCENT_ONE);
}

Test(machine, what_moves_many_needs_a_reason)
{
    bed_bring(&bed, ROLLOUT_RUNNING);
    cr_assert_eq(bed_do(&bed, ROLLOUT_PROMOTE, NULL), ROLLOUT_REFUSED);
    cr_assert_not_null(strstr(bed.text, "give a reason"), "%s", bed.text);
    cr_assert_eq(bed_do(&bed, ROLLOUT_PROMOTE, "small site"), ROLLOUT_DONE);
    stands(ROLLOUT_PROMOTED, 4, PERCENT_ALL);
    cr_assert_eq(bed_do(&bed, ROLLOUT_RESET, NULL), ROLLOUT_REFUSED);
    cr_assert_not_null(strstr(bed.text, "from py3 back to py2"), "%s", bed.text);
    cr_assert_eq(bed_do(&bed, ROLLOUT_RESET, "wrong rollout"), ROLLOUT_DONE);
    stands(ROLLOUT_IDLE, -1, 0);
}

Test(machine, abort_latches_and_can_be_said_again)
{
    bed_bring(&bed, ROLLOUT_RUNNING);
    cr_assert_eq(bed_do(&bed, ROLLOUT_ABORT, "5xx"), ROLLOUT_DONE);
    stands(ROLLOUT_ABORTED, -1, 0);
    uint64_t generation = rollout_status(bed.rollout)->generation;
    cr_assert_str_eq(bed.text, "The rollout python3 was aborted: everyone is on py2 (5xx).");
    cr_assert_eq(bed_do(&bed, ROLLOUT_ABORT, "again"), ROLLOUT_DONE);
    cr_assert_eq(rollout_status(bed.rollout)->generation, generation);
    cr_assert_str_eq(rollout_status(bed.rollout)->reason, "5xx", "the first reason stays");

    rollout_reconfigure(bed.rollout, &bed.config);
    bed_reopen(&bed);
    stands(ROLLOUT_ABORTED, -1, 0);
    cr_assert_str_eq(rollout_status(bed.rollout)->stage_name, "canary", "where it was");
    cr_assert_eq(bed_do(&bed, ROLLOUT_RETRY, NULL), ROLLOUT_DONE);
    stands(ROLLOUT_RUNNING, 0, 0);
    cr_assert_eq(rollout_status(bed.rollout)->activation, 2);
}

Test(machine, a_generation_that_has_moved_on_is_refused)
{
    struct rollout_request request = { .verb = ROLLOUT_START, .generation_given = true, .by = "x" };

    request.if_generation = 1;
    cr_assert_eq(rollout_apply(bed.rollout, &request, bed.text, sizeof(bed.text)), ROLLOUT_REFUSED);
    cr_assert_not_null(strstr(bed.text, "generation 0, not 1"), "%s", bed.text);
    request.if_generation = 0;
    cr_assert_eq(rollout_apply(bed.rollout, &request, bed.text, sizeof(bed.text)), ROLLOUT_DONE);
    request.verb = ROLLOUT_ABORT;
    cr_assert_eq(rollout_apply(bed.rollout, &request, bed.text, sizeof(bed.text)), ROLLOUT_REFUSED);
    stands(ROLLOUT_RUNNING, 0, 0);
}

Test(machine, texts_of_people_are_made_fit)
{
    char long_reason[700];
    struct rollout_request request = { .verb = ROLLOUT_START,
                                       .by = "a\x1b[2J\"\\b",
                                       .reason = long_reason };
    const char *kept;

    /* Two bytes a character, begun at an odd place, so that a cut could fall within one. */
    memset(long_reason, 0, sizeof(long_reason));
    long_reason[0] = '\n';
    for (int i = 0; i < 300; i++)
        memcpy(long_reason + 1 + 2 * i, "\xc3\xbc", 2);
    cr_assert_eq(rollout_apply(bed.rollout, &request, bed.text, sizeof(bed.text)), ROLLOUT_DONE);
    bed_reopen(&bed);
    kept = rollout_status(bed.rollout)->reason;
    cr_assert_eq(kept[0], '?');
    cr_assert_str_eq(kept + strlen(kept) - 5, "\xc3\xbc...");
    cr_assert_leq(strlen(kept), 255);
    cr_assert_geq(strlen(kept), 251);
    cr_assert_str_eq(rollout_status(bed.rollout)->by, "a?[2J\"\\b");

    static const char *const bad[] = { "\xff",     "\xc0\x80", "\xed\xa0\x80", "\xf5\x80\x80\x80",
                                       "\xe2\x82", "\xc2\x85", "\x80" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_assert_eq(bed_do(&bed, i % 2 == 0 ? ROLLOUT_PAUSE : ROLLOUT_RESUME, bad[i]),
                     ROLLOUT_DONE);
        bed_reopen(&bed);
        cr_assert_eq(strspn(rollout_status(bed.rollout)->reason, "?"), strlen(bad[i]));
    }
    cr_assert_eq(bed_do(&bed, ROLLOUT_RESUME, "\xe2\x82\xac \xf0\x9f\x99\x82"), ROLLOUT_DONE);
    cr_assert_str_eq(rollout_status(bed.rollout)->reason, "\xe2\x82\xac \xf0\x9f\x99\x82");
}

Test(machine, a_text_is_cut_at_a_character_wherever_the_room_ends)
{
    static const char text[] =
        "a\xc3\xbc\xe2\x82\xac\xf0\x9f\x99\x82z\xc3\xbc\xe2\x82\xac\xf0\x9f\x99\x82";

    for (size_t size = 4; size < sizeof(text) + 3; size++) {
        char out[64];
        memset(out, '#', sizeof(out));
        text_keep(out, size, text);
        size_t len = strlen(out);
        cr_assert_lt(len, size);
        for (size_t i = size; i < sizeof(out); i++)
            cr_assert_eq(out[i], '#', "byte %zu of %zu", i, size);
        if (size >= sizeof(text)) {
            cr_assert_str_eq(out, text);
            continue;
        }
        cr_assert_str_eq(out + len - 3, "...");
        cr_assert_eq(memcmp(out, text, len - 3), 0);
        cr_assert_neq((unsigned char)text[len - 3] & 0xc0, 0x80, "not within a character");
    }
}
