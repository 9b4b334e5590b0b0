/* A configuration that is not the one the state was made with: at a reload and at a start. */
#include "rollout_helpers.h"

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
    bed_remove(&bed);
}

TestSuite(match, .init = setup, .fini = teardown);

static bool accepts(void)
{
    memset(bed.text, 0, sizeof(bed.text));
    return rollout_accepts(bed.rollout, &bed.config, bed.text, sizeof(bed.text));
}

static void is_at(enum rollout_state state, bool active, uint32_t percent, int reach)
{
    const struct rollout_status *status = rollout_status(bed.rollout);
    struct cohort_position position = rollout_position(bed.rollout);

    cr_assert_eq(status->state, state, "%s", rollout_state_name(status->state));
    cr_assert_eq(status->percent, percent, "%u", status->percent);
    cr_assert_eq(position.active, active);
    cr_assert_eq(position.percent, active ? percent : 0);
    cr_assert_eq(position.stage, active ? reach : -1, "%d", position.stage);
}

enum change { SALT, NAME, FROM, TO, SECTION, CHANGES };

static void change(enum change what)
{
    bed_configure(&bed);
    switch (what) {
    case SALT:
        bed.config.rollout.salt = (char *)"another";
        break;
    case NAME:
        bed.config.rollout.name = (char *)"python4";
        break;
    case FROM:
        bed.config.rollout.from = 2;
        break;
    case TO:
        bed.config.rollout.to = 2;
        break;
    case SECTION:
        bed.config.rollout.present = false;
        break;
    case CHANGES:
        break;
    }
}

static const char *const words[] = { "rollout.salt is not the one", "rollout.name is python4",
                                     "rollout.from is py4", "rollout.to is py4",
                                     "no rollout section" };

Test(match, a_reload_that_would_move_users_is_refused)
{
    for (int state = ROLLOUT_IDLE; state <= ROLLOUT_ABORTED; state++) {
        bool under_way =
            state == ROLLOUT_RUNNING || state == ROLLOUT_PAUSED || state == ROLLOUT_HELD;
        bed_bring(&bed, (enum rollout_state)state);
        for (int what = SALT; what < CHANGES; what++) {
            change((enum change)what);
            /* Promoted: nobody moves while py3 stays the arm of all; without a section it is py2.
             */
            bool refused =
                under_way || (state == ROLLOUT_PROMOTED && (what == TO || what == SECTION));
            cr_expect_eq(accepts(), !refused, "%d in %d: %s", what, state, bed.text);
            if (under_way)
                cr_expect_not_null(strstr(bed.text, words[what]), "%s", bed.text);
        }
        bed_remove(&bed);
        setup();
    }
}

Test(match, a_promoted_candidate_becomes_the_next_stable_arm)
{
    bed_bring(&bed, ROLLOUT_PROMOTED);
    bed_configure(&bed);
    bed.config.rollout.name = (char *)"python4";
    bed.config.rollout.salt = (char *)"of python4";
    bed.config.rollout.from = 1;
    bed.config.rollout.to = 2;
    cr_assert(accepts(), "%s", bed.text);
    rollout_reconfigure(bed.rollout, &bed.config);
    is_at(ROLLOUT_IDLE, false, 0, -1);
    json_t *lines = bed_audit(&bed);
    const json_t *last = json_array_get(lines, json_array_size(lines) - 1);
    cr_assert_str_eq(line_text(last, "verb"), "reload");
    cr_assert_str_eq(line_text(last, "by"), "crossfade");
    cr_assert_str_eq(line_text(last, "reason"),
                     "py3 was promoted, and rollout.name is python4 now, but was python3");
    json_decref(lines);
    cr_assert_eq(bed_do(&bed, ROLLOUT_START, NULL), ROLLOUT_DONE);
    cr_assert_not_null(strstr(bed.text, "with 0 % on py4"), "%s", bed.text);
}

Test(match, the_same_at_a_start)
{
    bed_bring(&bed, ROLLOUT_PROMOTED);
    bed.config.rollout.from = 1;
    bed.config.rollout.to = 2;
    bed_reopen(&bed);
    is_at(ROLLOUT_IDLE, false, 0, -1);
}

Test(match, promoted_stays_while_its_arm_does)
{
    bed_bring(&bed, ROLLOUT_PROMOTED);
    change(SALT);
    bed.stages[4].name = (char *)"all";
    cr_assert(accepts());
    rollout_reconfigure(bed.rollout, &bed.config);
    cr_assert(rollout_position(bed.rollout).everyone);
    bed_reopen(&bed);
    cr_assert(rollout_position(bed.rollout).everyone);

    change(SECTION);
    cr_assert_not(accepts(), "without a rollout everyone goes to py2");
    bed.arms[0].backend_count = 0;
    cr_assert(accepts(), "%s", bed.text);
}

Test(match, a_start_with_another_origin_holds_with_everyone_on_stable)
{
    for (int what = SALT; what < SECTION; what++) {
        bed_bring(&bed, ROLLOUT_RUNNING);
        uint64_t generation = rollout_status(bed.rollout)->generation;
        change((enum change)what);
        bed_reopen(&bed);
        is_at(ROLLOUT_HELD, false, 0, -1);
        cr_assert_eq(rollout_status(bed.rollout)->generation, generation + 1);
        cr_assert_not_null(strstr(rollout_status(bed.rollout)->reason, words[what]));
        cr_assert_not_null(strstr(rollout_status(bed.rollout)->disagreement, words[what]));
        cr_assert_eq(bed_do(&bed, ROLLOUT_RESUME, "go"), ROLLOUT_REFUSED);
        cr_assert_not_null(strstr(bed.text, "Put that back"), "%s", bed.text);
        cr_assert_eq(bed_percent(&bed, 0), ROLLOUT_REFUSED);
        bed_reopen(&bed);
        cr_assert_eq(rollout_status(bed.rollout)->generation, generation + 1, "held once");
        cr_assert(accepts(), "nobody can be moved by a reload any more");

        /* Put back: still held, and the percentage does not come back by itself. */
        bed_configure(&bed);
        rollout_reconfigure(bed.rollout, &bed.config);
        is_at(ROLLOUT_HELD, true, 0, 2);
        cr_assert_str_empty(rollout_status(bed.rollout)->disagreement);
        cr_assert_eq(bed_do(&bed, ROLLOUT_RESUME, NULL), ROLLOUT_DONE);
        cr_assert_eq(bed_percent(&bed, 1000), ROLLOUT_DONE);
        bed_remove(&bed);
        setup();
    }
}

Test(match, another_origin_ends_with_reset)
{
    bed_bring(&bed, ROLLOUT_RUNNING);
    change(SALT);
    bed_reopen(&bed);
    cr_assert_eq(bed_do(&bed, ROLLOUT_RESET, NULL), ROLLOUT_DONE);
    cr_assert_str_empty(rollout_status(bed.rollout)->disagreement);
    cr_assert_eq(bed_do(&bed, ROLLOUT_START, NULL), ROLLOUT_DONE);
    is_at(ROLLOUT_RUNNING, true, 0, 0);
    bed_reopen(&bed);
    is_at(ROLLOUT_RUNNING, true, 0, 0);
}

Test(match, what_was_aborted_is_not_retried_as_another_rollout)
{
    bed_bring(&bed, ROLLOUT_ABORTED);
    change(NAME);
    cr_assert(accepts());
    rollout_reconfigure(bed.rollout, &bed.config);
    is_at(ROLLOUT_ABORTED, false, 0, -1);
    cr_assert_eq(bed_do(&bed, ROLLOUT_RETRY, NULL), ROLLOUT_REFUSED);
    cr_assert_not_null(strstr(bed.text, "use reset and start"), "%s", bed.text);
    cr_assert_eq(bed_do(&bed, ROLLOUT_RESET, NULL), ROLLOUT_DONE);
    cr_assert_eq(bed_do(&bed, ROLLOUT_START, NULL), ROLLOUT_DONE);
}

/* The stage goes; where the machine stands then, and after resume. */
static const struct {
    const char *what;
    int at;             /* stage before */
    uint32_t percent;   /* set by hand; 0: the stage's own */
    const char *now[6]; /* the stages of the new configuration */
    uint32_t percents[6];
    int reach;
    int resumed;
} gone[] = {
    { "renamed",
      2,
      0,
      { "developers", "employees", "kanarie", "early", "everyone" },
      { 0, 0, 1000, 200000, PERCENT_ALL },
      2,
      2 },
    { "taken out",
      2,
      0,
      { "developers", "employees", "early", "everyone" },
      { 0, 0, 200000, PERCENT_ALL },
      1,
      1 },
    { "renamed, and with more",
      2,
      0,
      { "developers", "employees", "kanarie", "early" },
      { 0, 0, 2000, 200000 },
      1,
      1 },
    { "no list beyond where it was",
      0,
      0,
      { "devs", "employees", "early" },
      { 0, 0, 200000 },
      0,
      0 },
    { "nothing that low", 2, 500, { "all" }, { PERCENT_ALL }, -1, 0 },
    { "fewer stages", 3, 0, { "developers", "half" }, { 0, 500000 }, 0, 0 },
};

Test(match, a_stage_that_is_gone_holds_and_keeps_the_percentage)
{
    for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++)
        for (int restart = 0; restart < 2; restart++) {
            bed_do(&bed, ROLLOUT_START, "x");
            for (int stage = 0; stage < gone[i].at; stage++)
                bed_do(&bed, ROLLOUT_ADVANCE, "x");
            if (gone[i].percent > 0)
                bed_percent(&bed, gone[i].percent);
            uint32_t percent = rollout_status(bed.rollout)->percent;
            cr_assert_eq(rollout_status(bed.rollout)->stage, gone[i].at);

            bed_configure(&bed);
            bed.config.rollout.stage_count = 0;
            for (size_t s = 0; s < 6 && gone[i].now[s] != NULL; s++) {
                bed.stages[s].name = (char *)(uintptr_t)gone[i].now[s];
                bed.stages[s].percent = gone[i].percents[s];
                bed.stages[s].bake = 0;
                bed.config.rollout.stage_count++;
            }
            if (restart == 1) {
                bed_reopen(&bed);
            } else {
                cr_assert(accepts());
                rollout_reconfigure(bed.rollout, &bed.config);
            }
            is_at(ROLLOUT_HELD, true, percent, gone[i].reach);
            cr_assert_eq(rollout_status(bed.rollout)->stage, -1);
            cr_assert_not_null(
                strstr(rollout_status(bed.rollout)->reason, "not in the configuration"));
            bed_reopen(&bed);
            is_at(ROLLOUT_HELD, true, percent, gone[i].reach);

            cr_assert_eq(bed_do(&bed, ROLLOUT_RESUME, NULL), ROLLOUT_DONE);
            is_at(ROLLOUT_RUNNING, true, percent, gone[i].resumed);
            cr_assert_str_eq(rollout_status(bed.rollout)->stage_name, gone[i].now[gone[i].resumed]);
            bed_reopen(&bed);
            is_at(ROLLOUT_RUNNING, true, percent, gone[i].resumed);
            bed_remove(&bed);
            setup();
        }
}

Test(match, a_stage_that_comes_back_is_found_again)
{
    bed_bring(&bed, ROLLOUT_PAUSED);
    bed.stages[2].name = (char *)"kanarie";
    rollout_reconfigure(bed.rollout, &bed.config);
    is_at(ROLLOUT_HELD, true, 1000, 2);
    bed_configure(&bed);
    rollout_reconfigure(bed.rollout, &bed.config);
    is_at(ROLLOUT_HELD, true, 1000, 2);
    cr_assert_str_empty(rollout_status(bed.rollout)->disagreement);
    cr_assert_eq(rollout_status(bed.rollout)->stage, 2);
}

Test(match, a_stage_that_moved_is_followed_by_its_name)
{
    bed_bring(&bed, ROLLOUT_RUNNING);
    bed.config.rollout.stages = bed.stages + 1;
    bed.config.rollout.stage_count = STAGES - 1;
    rollout_reconfigure(bed.rollout, &bed.config);
    is_at(ROLLOUT_RUNNING, true, 1000, 1);
}

Test(match, another_percentage_of_the_stage_raises_nothing)
{
    bed_bring(&bed, ROLLOUT_RUNNING);
    bed.stages[2].percent = 20000;
    rollout_reconfigure(bed.rollout, &bed.config);
    is_at(ROLLOUT_RUNNING, true, 1000, 2);
    bed_reopen(&bed);
    is_at(ROLLOUT_RUNNING, true, 1000, 2);
}
