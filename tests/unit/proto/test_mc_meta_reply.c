#include "crossfade/proto/mc_meta_reply.h"

#include <criterion/criterion.h>

static const struct {
    const char *text;
    enum mc_meta_code code;
} good[] = {
    { "VA 3\r\n", MC_META_VA },
    { "VA 3 s3 t-1 f7 c1 kfoo Oabc W\r\n", MC_META_VA },
    { "HD\r\n", MC_META_HD },
    { "HD \r\n", MC_META_HD },
    { "HD t30 kZm9v b\r\n", MC_META_HD },
    { "OK c9\r\n", MC_META_HD },
    { "EN\r\n", MC_META_EN },
    { "EN kfoo O1\r\n", MC_META_EN },
    { "NF\r\n", MC_META_NF },
    { "NS Oabc\r\n", MC_META_NS },
    { "EX kfoo\r\n", MC_META_EX },
    { "MN\r\n", MC_META_MN },
    { "ME foo exp=-1 la=0 cas=36 fetch=no cls=1 size=64\r\n", MC_META_ME },
    { "ERROR\r\n", MC_META_ERROR },
    { "CLIENT_ERROR invalid flag\r\n", MC_META_CLIENT_ERROR },
    { "SERVER_ERROR out of memory\r\n", MC_META_SERVER_ERROR },
    { "VERSION 1.6.18\r\n", MC_META_VERSION },
};

static const char *const bad[] = {
    "\r\n",     "HD\n",       "hd\r\n",    "HDX\r\n",           "H\r\n",
    "VA\r\n",   "VA x\r\n",   "VA -1\r\n", "VA 4294967296\r\n", "ME\r\n",
    "MN x\r\n", "STORED\r\n", "END\r\n",   "VALUE k 0 1\r\n",   " HD\r\n",
    "3\r\n",
};

Test(mc_meta_reply, knows_every_line_wherever_it_is_cut)
{
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct mc_meta_reply reply;
        size_t len = strlen(good[i].text);
        for (size_t cut = 0; cut < len; cut++)
            cr_assert_eq(mc_meta_reply_parse(slice_of(good[i].text, cut), &reply), MC_REPLY_MORE);
        cr_assert_eq(mc_meta_reply_parse(slice_of(good[i].text, len), &reply), MC_REPLY_OK, "%s",
                     good[i].text);
        cr_assert_eq(reply.code, good[i].code, "%s", good[i].text);
        cr_assert_eq(reply.line_len, len);
    }
}

Test(mc_meta_reply, refuses_what_the_protocol_does_not_know)
{
    struct mc_meta_reply reply;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_eq(mc_meta_reply_parse(slice_string(bad[i]), &reply), MC_REPLY_BAD, "%s", bad[i]);
}

Test(mc_meta_reply, a_line_without_end_is_no_memcached)
{
    char line[MC_REPLY_LINE_MAX];
    struct mc_meta_reply reply;

    memset(line, 'x', sizeof(line));
    cr_assert_eq(mc_meta_reply_parse(slice_of(line, sizeof(line) - 1), &reply), MC_REPLY_MORE);
    cr_assert_eq(mc_meta_reply_parse(slice_of(line, sizeof(line)), &reply), MC_REPLY_BAD);
}

static bool fits(const char *text, bool marked)
{
    struct mc_meta_reply reply;

    cr_assert_eq(mc_meta_reply_parse(slice_string(text), &reply), MC_REPLY_OK, "%s", text);
    return mc_meta_reply_fits(&reply, marked, "000000a1");
}

Test(mc_meta_reply, holds_a_reply_against_the_request)
{
    cr_assert(fits("HD O000000a1\r\n", true));
    cr_assert(fits("VA 3 O000000a1\r\n", true));
    cr_assert(fits("HD t30\r\n", false));
    /* Another's. */
    cr_assert_not(fits("HD O000000a2\r\n", true));
    cr_assert_not(fits("EN O000000a2\r\n", true));
    cr_assert_not(fits("HD O000000a1 O000000a2\r\n", true));
    /* Not there where it must be, and there where it was not asked for. */
    cr_assert_not(fits("HD\r\n", true));
    cr_assert_not(fits("NF t30\r\n", true));
    cr_assert_not(fits("HD kfoo O000000a1\r\n", true));
    cr_assert_not(fits("HD O000000a1\r\n", false));
    /* A miss says it or not, by version; an error never does. */
    cr_assert(fits("EN\r\n", true));
    cr_assert(fits("EN O000000a1\r\n", true));
    cr_assert(fits("CLIENT_ERROR invalid flag\r\n", true));
}

Test(mc_meta_reply, knows_the_answer_to_me_however_the_key_is_shown)
{
    static const char *const lines[] = {
        "ME a\r\nME b exp=-1 size=9\r\n",
        "ME YQ0KTUUgYg== exp=-1 size=9\r\n",
        "EN\r\n",
        "CLIENT_ERROR bad command line format\r\n",
    };
    struct slice wire = SLICE("a\r\nME b");
    struct mc_meta_reply reply;

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct slice line = slice_string(lines[i]);
        for (size_t cut = 0; cut < line.len; cut++)
            cr_assert_eq(mc_meta_debug_parse(slice_of(line.data, cut), wire, &reply), MC_REPLY_MORE,
                         "%s, %zu", lines[i], cut);
        cr_assert_eq(mc_meta_debug_parse(line, wire, &reply), MC_REPLY_OK, "%s", lines[i]);
        cr_assert_eq(reply.line_len, line.len, "%s", lines[i]);
    }
    cr_assert_eq(mc_meta_debug_parse(SLICE("ME another exp=-1\r\n"), wire, &reply), MC_REPLY_BAD);
    cr_assert_eq(mc_meta_debug_parse(SLICE("ME a\r\nME c exp=-1\r\n"), wire, &reply), MC_REPLY_BAD);
}

static void check_head(const char *text, const struct mc_meta_echo *echo, int surplus,
                       const char *expected)
{
    struct mc_meta_reply reply;
    char head[MC_META_HEAD_MAX];
    size_t len;

    cr_assert_eq(mc_meta_reply_parse(slice_string(text), &reply), MC_REPLY_OK, "%s", text);
    len = mc_meta_reply_write(&reply, echo, surplus, head);
    cr_assert(slice_equal(slice_of(head, len), slice_string(expected)), "%s: %.*s", text, (int)len,
              head);
}

Test(mc_meta_reply, gives_the_client_its_own_key_and_opaque)
{
    const struct mc_meta_echo none = { .key = SLICE("foo"), .letters = SLICE("vst") };
    const struct mc_meta_echo key = { .key = SLICE("foo"), .letters = SLICE("tk") };
    const struct mc_meta_echo encoded = { .key = SLICE("f o"),
                                          .letters = SLICE("kbt"),
                                          .base64 = true };
    const struct mc_meta_echo both = { .key = SLICE("foo"),
                                       .letters = SLICE("vtkcO"),
                                       .opaque = SLICE("xyz") };
    const struct mc_meta_echo turned = { .key = SLICE("foo"),
                                         .letters = SLICE("Ovktq"),
                                         .opaque = SLICE("") };

    check_head("HD\r\n", &none, 0, "HD\r\n");
    check_head("HD O000000a1\r\n", &none, 0, "HD\r\n");
    check_head("VA 3 s3 O000000a1 W\r\n", &none, 0, "VA 3 s3 W\r\n");
    check_head("VA 3 t-1 c9 O000000a1\r\n", &both, 0, "VA 3 t-1 kfoo c9 Oxyz\r\n");
    check_head("EX O000000a1\r\n", &both, 0, "EX kfoo Oxyz\r\n");
    check_head("VA 3 O000000a1 t30 W Z\r\n", &turned, 0, "VA 3 O kfoo t30 W Z\r\n");
    check_head("HD t5 O000000a1 Z X\r\n", &key, 0, "HD t5 kfoo Z X\r\n");
    check_head("HD t5 O000000a1\r\n", &encoded, 0, "HD kZiBv b t5\r\n");
    /* In another order than asked for: as it came. */
    check_head("VA 3 c9 t-1 O000000a1\r\n", &both, 0, "VA 3 kfoo c9 Oxyz t-1\r\n");
    check_head("EN\r\n", &both, 0, "EN\r\n");
    check_head("EN O000000a1\r\n", &both, 0, "EN kfoo Oxyz\r\n");
    check_head("CLIENT_ERROR invalid flag\r\n", &both, 0, "CLIENT_ERROR invalid flag\r\n");
    check_head("ME p.1:foo exp=-1 la=0 cas=36 fetch=no cls=1 size=68\r\n", &none, 4,
               "ME foo exp=-1 la=0 cas=36 fetch=no cls=1 size=64\r\n");
    check_head("ME cC4xOmZvbw== exp=-1 size=68\r\n", &encoded, 4, "ME ZiBv exp=-1 size=64\r\n");
    check_head("ME p.1:foo size=2 size=68\r\n", &none, 4, "ME foo size=2 size=64\r\n");
}

Test(mc_meta_reply, keeps_to_itself_what_it_has_asked_for_of_its_own)
{
    const struct mc_meta_echo value = {
        .key = SLICE("foo"), .letters = SLICE("vsk"), .stamp = 20, .hidden = 'c'
    };
    const struct mc_meta_echo bare = {
        .key = SLICE("foo"), .letters = SLICE("st"), .stamp = 20, .bare = true, .hidden = 'c'
    };
    const struct mc_meta_echo cas = { .key = SLICE("foo"), .letters = SLICE("cs"), .stamp = 20 };
    const struct mc_meta_echo empty = { .key = SLICE("foo"), .letters = SLICE("s"), .bare = true };

    check_head("VA 25 s25 c9 O000000a1 W\r\n", &value, 0, "VA 5 s5 kfoo W\r\n");
    check_head("VA 20 s20 c9 O000000a1\r\n", &value, 0, "VA 0 s0 kfoo\r\n");
    check_head("VA 25 s25 t-1 c9 O000000a1 Z\r\n", &bare, 0, "HD s5 t-1 Z\r\n");
    check_head("VA 1000020 c9 s1000020 O000000a1\r\n", &cas, 0, "VA 1000000 c9 s1000000\r\n");
    check_head("VA 0 s0 O000000a1 W\r\n", &empty, 0, "HD s0 W\r\n");
    check_head("HD c9 s25 O000000a1\r\n", &cas, 0, "HD c9 s5\r\n");
    /* What cannot be is passed on as it came. */
    check_head("HD sx O000000a1\r\n", &cas, 0, "HD sx\r\n");
    check_head("HD s5 O000000a1\r\n", &cas, 0, "HD s5\r\n");
}

Test(mc_meta_reply, knows_who_has_won)
{
    struct mc_meta_reply reply;

    cr_assert_eq(mc_meta_reply_parse(SLICE("VA 0 c7 O1 W\r\n"), &reply), MC_REPLY_OK);
    cr_assert(reply.won && !reply.lost && reply.cas == 7);
    cr_assert_eq(mc_meta_reply_parse(SLICE("HD Z c18446744073709551615\r\n"), &reply), MC_REPLY_OK);
    cr_assert(!reply.won && reply.lost && reply.cas == UINT64_MAX);
    cr_assert_eq(mc_meta_reply_parse(SLICE("HD cx\r\n"), &reply), MC_REPLY_OK);
    cr_assert(!reply.won && !reply.lost && reply.cas == 0);
}

Test(mc_meta_reply, says_nothing_of_what_is_usual_when_quiet)
{
    const struct mc_meta_echo loud = { .quiet = false };
    const struct mc_meta_echo quiet = { .quiet = true };

    cr_assert(mc_meta_reply_quiet(MC_META_GET, &quiet, MC_META_EN));
    cr_assert_not(mc_meta_reply_quiet(MC_META_GET, &loud, MC_META_EN));
    cr_assert_not(mc_meta_reply_quiet(MC_META_GET, &quiet, MC_META_HD));
    cr_assert_not(mc_meta_reply_quiet(MC_META_GET, &quiet, MC_META_VA));
    cr_assert(mc_meta_reply_quiet(MC_META_SET, &quiet, MC_META_HD));
    cr_assert_not(mc_meta_reply_quiet(MC_META_SET, &quiet, MC_META_NS));
    cr_assert(mc_meta_reply_quiet(MC_META_DELETE, &quiet, MC_META_HD));
    cr_assert_not(mc_meta_reply_quiet(MC_META_DELETE, &quiet, MC_META_NF));
    cr_assert(mc_meta_reply_quiet(MC_META_ARITHMETIC, &quiet, MC_META_VA));
    cr_assert_not(mc_meta_reply_quiet(MC_META_ARITHMETIC, &quiet, MC_META_NF));
    for (enum mc_verb verb = MC_META_GET; verb <= MC_META_DEBUG; verb++) {
        cr_assert_not(mc_meta_reply_quiet(verb, &quiet, MC_META_CLIENT_ERROR));
        cr_assert_not(mc_meta_reply_quiet(verb, &quiet, MC_META_SERVER_ERROR));
        cr_assert_not(mc_meta_reply_quiet(verb, &quiet, MC_META_EX));
    }
}

Test(mc_meta_reply, makes_answers_of_its_own)
{
    struct mc_meta_echo echo = { .key = SLICE("foo"),
                                 .letters = SLICE("Ovk"),
                                 .opaque = SLICE("x") };
    char head[MC_META_HEAD_MAX];
    struct mc_meta meta;
    struct slice answer;
    size_t len;

    len = mc_meta_miss_write(&echo, head);
    cr_assert(slice_equal(slice_of(head, len), SLICE("EN Ox kfoo\r\n")));
    echo.letters = SLICE("kO");
    echo.base64 = true;
    len = mc_meta_miss_write(&echo, head);
    cr_assert(slice_equal(slice_of(head, len), SLICE("EN kZm9v b Ox\r\n")));
    cr_assert_eq(mc_meta_parse(MC_META_GET, SLICE(" foo s t c f h l O1 k u T3"), &meta, &answer),
                 MC_META_OK);
    echo.base64 = false;
    len = mc_meta_hit_write(&meta, &echo, 12, 34, head);
    cr_assert(slice_equal(slice_of(head, len), SLICE("HD s12 t-1 c34 f0 h0 l0 Ox kfoo\r\n")));
    cr_assert_eq(mc_meta_parse(MC_META_GET, SLICE(" foo v"), &meta, &answer), MC_META_OK);
    len = mc_meta_hit_write(&meta, &echo, 12, 34, head);
    cr_assert(slice_equal(slice_of(head, len), SLICE("VA 12\r\n")));
}
