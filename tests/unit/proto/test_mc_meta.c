#include "crossfade/proto/mc_meta.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* What memcached 1.6.18 says to each line; NULL: it is for a server. */
static const struct {
    enum mc_verb verb;
    const char *rest;
    const char *answer;
    bool swallow;
} lines[] = {
    { MC_META_GET, "", "ERROR\r\n", false },
    { MC_META_SET, "", "ERROR\r\n", false },
    { MC_META_DELETE, "", "ERROR\r\n", false },
    { MC_META_ARITHMETIC, "", "ERROR\r\n", false },
    { MC_META_DEBUG, "", "CLIENT_ERROR bad command line format\r\n", false },
    { MC_META_GET, " foo", NULL, false },
    { MC_META_GET, " foo v", NULL, false },
    { MC_META_GET, "   foo   v  k ", NULL, false },
    /* The server's to judge. */
    { MC_META_GET, " foo !", NULL, false },
    { MC_META_GET, " foo v v", NULL, false },
    { MC_META_GET, " foo Nx MZZ Fx", NULL, false },
    { MC_META_SET, " foo 3 MZ", NULL, false },
    /* The four of ours. */
    { MC_META_GET, " foo k O1 k", "CLIENT_ERROR duplicate flag\r\n", false },
    { MC_META_GET, " foo O O", "CLIENT_ERROR duplicate flag\r\n", false },
    { MC_META_GET, " foo q q", "CLIENT_ERROR duplicate flag\r\n", false },
    { MC_META_GET, " foo b b", "CLIENT_ERROR duplicate flag\r\n", false },
    { MC_META_GET, " Zm9v b b", "CLIENT_ERROR duplicate flag\r\n", false },
    { MC_META_GET, " fo! ! b b", "CLIENT_ERROR invalid flag\r\n", false },
    { MC_META_GET, " foo v v k k", "CLIENT_ERROR duplicate flag\r\n", false },
    { MC_META_GET, " foo \x80 k k", "CLIENT_ERROR duplicate flag\r\n", false },
    { MC_META_GET, " foo b", "CLIENT_ERROR error decoding key\r\n", false },
    { MC_META_GET, " foo b Nx", "CLIENT_ERROR bad token in command line format\r\n", false },
    { MC_META_GET, " foo Nx b", "CLIENT_ERROR error decoding key\r\n", false },
    { MC_META_GET, " foo b Jx", "CLIENT_ERROR invalid numeric initial value\r\n", false },
    { MC_META_GET, " foo b Dx", "CLIENT_ERROR invalid numeric delta value\r\n", false },
    { MC_META_GET, " foo b MZZ", "CLIENT_ERROR incorrect length for M token\r\n", false },
    { MC_META_GET, " foo b Fx", "CLIENT_ERROR error decoding key\r\n", false },
    { MC_META_GET, " foo Fx b Cx", "CLIENT_ERROR bad token in command line format\r\n", false },
    { MC_META_GET, " foo b v v", "CLIENT_ERROR duplicate flag\r\n", false },
    { MC_META_DELETE, " foo b", "CLIENT_ERROR invalid or duplicate flag\r\n", false },
    { MC_META_DELETE, " foo k k", "CLIENT_ERROR invalid or duplicate flag\r\n", false },
    { MC_META_ARITHMETIC, " Zm9 b", "CLIENT_ERROR invalid or duplicate flag\r\n", false },
    { MC_META_SET, " Zm9 3 b", "CLIENT_ERROR error decoding key\r\n", true },
    { MC_META_SET, " foo 3 k k", "CLIENT_ERROR duplicate flag\r\n", true },
    /* Opaque: 32 with its letter. */
    { MC_META_GET, " foo O1234567890123456789012345678901", NULL, false },
    { MC_META_GET, " foo O12345678901234567890123456789012", NULL, false },
    { MC_META_GET, " foo Cx O12345678901234567890123456789012 k k",
      "CLIENT_ERROR duplicate flag\r\n", false },
    { MC_META_DELETE, " foo O12345678901234567890123456789012",
      "CLIENT_ERROR opaque token too long\r\n", false },
    { MC_META_SET, " foo 3 O12345678901234567890123456789012 k",
      "CLIENT_ERROR opaque token too long\r\n", true },
    { MC_META_SET, " foo 3 O12345678901234567890123456789012 MZ",
      "CLIENT_ERROR invalid mode for ms M token\r\n", true },
    { MC_META_SET, " foo 3 Cx O12345678901234567890123456789012",
      "CLIENT_ERROR bad token in command line format\r\n", true },
    { MC_META_ARITHMETIC, " foo O12345678901234567890123456789012 MZ", NULL, false },
    /* Lengths. */
    { MC_META_SET, " foo", "CLIENT_ERROR bad command line format\r\n", false },
    { MC_META_SET, " foo abc", "CLIENT_ERROR bad command line format\r\n", false },
    { MC_META_SET, " foo 3x", "CLIENT_ERROR bad command line format\r\n", false },
    { MC_META_SET, " foo -3", "CLIENT_ERROR bad command line format\r\n", false },
    { MC_META_SET, " foo 2147483646 T0", "CLIENT_ERROR bad command line format\r\n", false },
    { MC_META_SET, " foo 99999999999999999999999", "CLIENT_ERROR bad command line format\r\n",
      false },
    { MC_META_SET, " foo 9223372036854775808", "CLIENT_ERROR bad command line format\r\n", false },
    { MC_META_SET, " foo 2147483645 T0", NULL, false },
    /* Words: 19 at most. */
    { MC_META_GET, " foo s v t f c h l k Oabc u q C1 D5 J7 I F4 MZ", NULL, false },
    { MC_META_GET, " foo s v t f c h l k Oabc u q C1 D5 J7 I F4 MZ P",
      "CLIENT_ERROR options flags are too long\r\n", false },
    { MC_META_SET, " foo 2 s v t f c h l k Oabc u q C1 D5 J7 I F4", NULL, false },
    { MC_META_SET, " foo 2 s v t f c h l k Oabc u q C1 D5 J7 I F4 L",
      "CLIENT_ERROR options flags too long\r\n", true },
    { MC_META_SET, " foo x s v t f c h l k Oabc u q C1 D5 J7 I F4 L",
      "CLIENT_ERROR options flags too long\r\n", false },
    { MC_META_DELETE, " foo s v t f c h l k Oabc u q C1 D5 J7 I F4 MZ P",
      "CLIENT_ERROR options flags too long\r\n", false },
    /* me */
    { MC_META_DEBUG, " foo", NULL, false },
    { MC_META_DEBUG, " foo x y z", NULL, false },
    { MC_META_DEBUG, " foo b", "CLIENT_ERROR bad command line format\r\n", false },
    { MC_META_DEBUG, " foo bxx", NULL, false },
    { MC_META_DEBUG, " Zm9v b", NULL, false },
};

Test(mc_meta, answers_as_memcached_does)
{
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct mc_meta meta;
        struct slice answer = SLICE("");
        enum mc_meta_verdict verdict =
            mc_meta_parse(lines[i].verb, slice_string(lines[i].rest), &meta, &answer);

        if (lines[i].answer == NULL) {
            cr_assert_eq(verdict, MC_META_OK, "%s", lines[i].rest);
            continue;
        }
        cr_assert_eq(verdict, lines[i].swallow ? MC_META_SWALLOW : MC_META_REFUSED, "%s",
                     lines[i].rest);
        cr_assert(slice_equal(answer, slice_string(lines[i].answer)), "%s: %.*s", lines[i].rest,
                  (int)answer.len, answer.data);
    }
}

Test(mc_meta, names_the_fault_that_memcached_names)
{
    static const struct {
        const char *rest;
        const char *fault;
    } faults[] = {
        { " a 5 x", "CLIENT_ERROR invalid flag\r\n" },
        { " a 5 T0 F1", "" },
        { " a 5 MZ", "CLIENT_ERROR invalid mode for ms M token\r\n" },
        { " a 5 Fx", "CLIENT_ERROR bad command line format\r\n" },
        { " a 5 Tx Fx", "CLIENT_ERROR bad token in command line format\r\n" },
        { " a 5 v v", "CLIENT_ERROR duplicate flag\r\n" },
    };

    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        struct mc_meta meta;
        struct slice answer;
        cr_assert_eq(mc_meta_parse(MC_META_SET, slice_string(faults[i].rest), &meta, &answer),
                     MC_META_OK, "%s", faults[i].rest);
        cr_assert(slice_equal(mc_meta_fault(MC_META_SET, &meta), slice_string(faults[i].fault)),
                  "%s", faults[i].rest);
    }
}

Test(mc_meta, knows_the_length_of_a_value_as_memcached_does)
{
    static const struct {
        const char *rest;
        uint64_t len;
    } good[] = {
        { " k 3", 3 },
        { " k +3 T0", 3 },
        { " k 03", 3 },
        { " k \t2", 2 },
        { " k 2\t3", 2 },
        { " k -0", 0 },
        { " k 4294967298", 2 },
        { " k -4294967294", 2 },
        { " k 2147483645", 2147483645 },
        { " k 00000000000000000000000000000000000000002", 2 },
    };

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct mc_meta meta;
        struct slice answer;
        cr_assert_eq(mc_meta_parse(MC_META_SET, slice_string(good[i].rest), &meta, &answer),
                     MC_META_OK, "%s", good[i].rest);
        cr_assert_eq(meta.value_len, good[i].len, "%s", good[i].rest);
    }
}

Test(mc_meta, a_key_that_is_too_long_is_refused_in_both_forms)
{
    char rest[300];
    struct mc_meta meta;
    struct slice answer;

    memset(rest, 'a', sizeof(rest));
    rest[0] = ' ';
    cr_assert_eq(mc_meta_parse(MC_META_GET, slice_of(rest, 251), &meta, &answer), MC_META_OK);
    cr_assert_eq(mc_meta_parse(MC_META_GET, slice_of(rest, 252), &meta, &answer), MC_META_REFUSED);
    cr_assert(slice_equal(answer, SLICE("CLIENT_ERROR bad command line format\r\n")));
    cr_assert_eq(mc_meta_parse(MC_META_SET, slice_of(rest, 252), &meta, &answer), MC_META_REFUSED);
    memcpy(rest + 252, " 5 q", 4);
    cr_assert_eq(mc_meta_parse(MC_META_SET, slice_of(rest, 256), &meta, &answer), MC_META_SWALLOW);
    cr_assert(slice_equal(answer, SLICE("CLIENT_ERROR bad command line format\r\n")));
    cr_assert_eq(meta.value_len, 5);
    memcpy(rest + 249, " b", 2);
    cr_assert_eq(mc_meta_parse(MC_META_GET, slice_of(rest, 251), &meta, &answer), MC_META_OK);
    cr_assert_eq(mc_meta_key(&meta, (char[MC_KEY_MAX]){ 0 }).len, 186);
}

Test(mc_meta, takes_the_flags_apart)
{
    char letters[MC_META_FLAGS_MAX];
    struct mc_meta meta;
    struct slice answer;

    cr_assert_eq(
        mc_meta_parse(MC_META_SET, SLICE(" a2V5 5 T30 F77 C9 ME b q k Oxy I"), &meta, &answer),
        MC_META_OK);
    cr_assert(slice_equal(meta.key, SLICE("a2V5")));
    cr_assert_eq(meta.value_len, 5);
    cr_assert_eq(meta.client_flags, 77);
    cr_assert_eq(meta.mode, 'E');
    cr_assert(meta.base64 && meta.quiet && meta.wants_key && meta.wants_opaque && meta.has_cas &&
              meta.touches && meta.marked);
    cr_assert(slice_equal(slice_of(letters, mc_meta_letters(&meta, letters)), SLICE("TFCMbqkOI")));
    cr_assert(slice_equal(meta.opaque, SLICE("xy")));
    cr_assert_eq(mc_meta_parse(MC_META_GET, SLICE(" key O k v"), &meta, &answer), MC_META_OK);
    cr_assert(meta.wants_opaque && meta.opaque.len == 0 && meta.wants_value);
}

/* Base64 as memcached 1.6.18 takes it, and as it shows the key again. */
static const struct {
    const char *text;
    const char *shown; /* NULL: refused */
} keys[] = {
    { "Zm9v", "Zm9v" },
    { "Zm9vYg==", "Zm9vYg==" },
    { "Zg==", "Zg==" },
    { "Zm8=", "Zm8=" },
    { "Zm-9v", "Zm9v" },
    { "Zg==Zg==", "Zg==" },
    { "Zh==", "Zg==" },
    { "=Zm9", "AZk=" },
    { "Zm=9", "ZmA=" },
    { "Zm9vZg=a", "Zm9vZgA=" },
    { "AAAA", "AAAA" },
    { "Zg==Zm9v", "Zg==" },
    { "Zm9vZm9vZg=\x01=", "Zm9vZm9vZg==" },
    { "Zm9", NULL },
    { "foo", NULL },
    { "Zm9v=", NULL },
    { "====", NULL },
    { "----", NULL },
    { "Zg=", NULL },
    { "Zm9vZ===", NULL },
    { "Zm9v====", NULL },
    { "Z===", NULL },
    { "-=-", NULL },
    { "+/+/", "+/+/" },
    { "-_-_", NULL },
};

Test(mc_meta, reads_base64_as_memcached_does)
{
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        char rest[64];
        char bytes[MC_KEY_MAX];
        char shown[BASE64_ENCODED(MC_META_DECODED_MAX)];
        struct mc_meta meta;
        struct slice answer;
        int len = snprintf(rest, sizeof(rest), " %s b", keys[i].text);
        enum mc_meta_verdict verdict =
            mc_meta_parse(MC_META_GET, slice_of(rest, (size_t)len), &meta, &answer);
        struct slice key;

        cr_assert_eq(verdict, keys[i].shown != NULL ? MC_META_OK : MC_META_REFUSED, "%s",
                     keys[i].text);
        if (keys[i].shown == NULL)
            continue;
        key = mc_meta_key(&meta, bytes);
        cr_assert(
            slice_equal(slice_of(shown, base64_encode(key, shown)), slice_string(keys[i].shown)),
            "%s", keys[i].text);
    }
}

static void check_line(enum mc_verb verb, const char *rest, const char *key, bool base64,
                       const char *expected)
{
    char line[MC_META_LINE_MAX];
    struct mc_meta meta;
    struct slice answer;
    size_t len;

    cr_assert_eq(mc_meta_parse(verb, slice_string(rest), &meta, &answer), MC_META_OK, "%s", rest);
    len = mc_meta_write(verb, &meta, slice_string(key), base64, "000000a1", line);
    cr_assert(slice_equal(slice_of(line, len), slice_string(expected)), "%s: %.*s", rest, (int)len,
              line);
}

Test(mc_meta, writes_the_line_for_the_server)
{
    check_line(MC_META_GET, " foo", "p.1:foo", false, "mg p.1:foo O000000a1\r\n");
    check_line(MC_META_GET, " foo v  Oxyz k q t", "p.1:foo", false, "mg p.1:foo v O000000a1 t\r\n");
    check_line(MC_META_GET, " Zm9v v b k", "py.01:foo", true, "mg cHkuMDE6Zm9v v b O000000a1\r\n");
    check_line(MC_META_GET, " Zm9v v b k", "p.1:foo", false, "mg p.1:foo v O000000a1\r\n");
    check_line(MC_META_SET, " foo +03 T0 q Lx/y", "p.1:foo", false,
               "ms p.1:foo 3 T0 Lx/y O000000a1\r\n");
    check_line(MC_META_DELETE, " foo q I T30", "p.1:foo", false, "md p.1:foo I T30 O000000a1\r\n");
    check_line(MC_META_ARITHMETIC, " foo N0 J13 D2 MI v", "p.1:foo", false,
               "ma p.1:foo N0 J13 D2 MI v O000000a1\r\n");
    check_line(MC_META_DEBUG, " foo x y", "p.1:foo", false, "me p.1:foo\r\n");
    check_line(MC_META_DEBUG, " Zm9v b", "foo", true, "me Zm9v b\r\n");
    /* Its reply is not shown. */
    check_line(MC_META_GET, " foo v O12345678901234567890123456789012", "foo", false,
               "mg foo O000000a1\r\n");
    /* A command of as many words as the server takes has no room for a mark, but without q or k. */
    check_line(MC_META_GET, " foo s v t f c h l P u L C1 D5 J7 I F4 MZ N1", "foo", false,
               "mg foo s v t f c h l P u L C1 D5 J7 I F4 MZ N1\r\n");
    check_line(MC_META_GET, " foo s v t f c h l P u q C1 D5 J7 I F4 MZ N1", "foo", false,
               "mg foo s v t f c h l P u C1 D5 J7 I F4 MZ N1 O000000a1\r\n");
    check_line(MC_META_GET, " foo s v t f c h l P u k C1 D5 J7 I F4 MZ N1", "foo", false,
               "mg foo s v t f c h l P u C1 D5 J7 I F4 MZ N1 O000000a1\r\n");
}

Test(mc_meta, takes_the_numbers)
{
    struct mc_meta meta;
    struct slice answer;

    cr_assert_eq(mc_meta_parse(MC_META_ARITHMETIC, SLICE(" n N-30 J7 D18446744073709551615 C5 c t"),
                               &meta, &answer),
                 MC_META_OK);
    cr_assert(meta.vivifies && meta.has_cas && meta.wants_cas && meta.wants_ttl);
    cr_assert(meta.vivify_exptime == -30 && meta.initial == 7 && meta.delta == UINT64_MAX &&
              meta.cas == 5);
    cr_assert_eq(mc_meta_parse(MC_META_ARITHMETIC, SLICE(" n Dx Nx Cx Jx"), &meta, &answer),
                 MC_META_OK);
    cr_assert(meta.delta == 1 && meta.vivify_exptime == 0 && meta.cas == 0 && meta.initial == 0);
}

Test(mc_meta, writes_what_the_proxy_wants_of_its_own)
{
    char line[MC_META_LINE_MAX];
    char letters[MC_META_FLAGS_MAX];
    struct mc_meta meta;
    struct slice answer;
    size_t len;

    cr_assert_eq(mc_meta_parse(MC_META_GET, SLICE(" foo s Oxy N30"), &meta, &answer), MC_META_OK);
    cr_assert(mc_meta_add(&meta, SLICE(" c v")));
    len = mc_meta_write(MC_META_GET, &meta, SLICE("p.1:foo"), false, "000000a1", line);
    cr_assert(slice_equal(slice_of(line, len), SLICE("mg p.1:foo s O000000a1 N30 c v\r\n")));
    cr_assert_eq(mc_meta_parse(MC_META_SET, SLICE(" foo 5 I T30 C9"), &meta, &answer), MC_META_OK);
    meta.stamp = 20;
    meta.left_out = SLICE("I");
    len = mc_meta_write(MC_META_SET, &meta, SLICE("p.1:foo"), false, "000000a1", line);
    cr_assert(slice_equal(slice_of(line, len), SLICE("ms p.1:foo 25 T30 C9 O000000a1\r\n")));
    cr_assert(slice_equal(slice_of(letters, mc_meta_letters(&meta, letters)), SLICE("ITC")));
    /* 17 flags are the most, the mark among them. */
    cr_assert_eq(
        mc_meta_parse(MC_META_GET, SLICE(" foo s t f h l P u L C1 D5 J7 I F4 q k"), &meta, &answer),
        MC_META_OK);
    cr_assert(mc_meta_add(&meta, SLICE(" c v")));
    cr_assert_eq(mc_meta_parse(MC_META_GET, SLICE(" foo s t f h l P u L C1 D5 J7 I F4 MZ R1"),
                               &meta, &answer),
                 MC_META_OK);
    cr_assert(mc_meta_add(&meta, SLICE(" v")));
    cr_assert(!mc_meta_add(&meta, SLICE(" c v")));
}

Test(mc_meta, numbers_its_marks)
{
    char mark[MC_META_MARK_LENGTH];

    mc_meta_mark(0xdeadbeef, mark);
    cr_assert_eq(memcmp(mark, "deadbeef", sizeof(mark)), 0);
    mc_meta_mark(0x4d, mark);
    cr_assert_eq(memcmp(mark, "0000004d", sizeof(mark)), 0);
}

Test(mc_meta, a_prefix_of_three_bytes_each_is_a_prefix_in_base64_too)
{
    char whole[64];
    char prefix[64];
    char rest[64];
    size_t whole_len = base64_encode(SLICE("py3.01:\x01 key\n"), whole);

    cr_assert_eq(base64_encode(SLICE("py3.1:"), prefix), 8);
    whole_len = base64_encode(SLICE("py3.1:\x01 key\n"), whole);
    cr_assert_eq(memcmp(whole, prefix, 8), 0);
    cr_assert_eq(base64_encode(SLICE("\x01 key\n"), rest), whole_len - 8);
    cr_assert_eq(memcmp(whole + 8, rest, whole_len - 8), 0);
}

Test(mc_meta, refuses_what_would_make_a_line_that_a_server_does_not_take)
{
    char rest[4000];
    char line[MC_META_LINE_MAX];
    char key[MC_KEY_MAX];
    struct mc_meta meta;
    struct slice answer;
    size_t longest = 0;

    memset(key, 'k', sizeof(key));
    for (int pad = 1; pad < 3000; pad++) {
        int len = snprintf(rest, sizeof(rest), " key v N%0*d", pad, 0);
        if (mc_meta_parse(MC_META_GET, slice_of(rest, (size_t)len), &meta, &answer) != MC_META_OK)
            break;
        longest =
            mc_meta_write(MC_META_GET, &meta, slice_of(key, sizeof(key)), true, "00000001", line);
        cr_assert(longest <= sizeof(line));
    }
    cr_assert(longest > MC_META_LINE_MAX - 20);
    cr_assert(slice_equal(answer, SLICE("CLIENT_ERROR bad command line format\r\n")));
    /* What servers ignore makes no line too long. */
    (void)snprintf(rest, sizeof(rest), " key v P%02000d L%01000d t", 0, 0);
    cr_assert_eq(mc_meta_parse(MC_META_GET, slice_string(rest), &meta, &answer), MC_META_OK);
    longest = mc_meta_write(MC_META_GET, &meta, SLICE("key"), false, "00000001", line);
    cr_assert(slice_equal(slice_of(line, longest), SLICE("mg key v t O00000001\r\n")));
}
