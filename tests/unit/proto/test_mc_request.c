#include "crossfade/proto/mc_request.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

struct parsed {
    enum mc_request_verdict verdict;
    struct mc_request request;
    struct slice answer;
};

static struct parsed parse(const char *text, size_t len)
{
    struct parsed parsed = { 0 };
    size_t scanned = 0;
    parsed.verdict =
        mc_request_parse(slice_of(text, len), &scanned, &parsed.request, &parsed.answer);
    return parsed;
}

#define PARSE(literal) parse(literal, sizeof(literal) - 1)

#define FORMAT "CLIENT_ERROR bad command line format\r\n"

/* What memcached 1.6 answers to each of these, found by asking it. */
static const struct {
    const char *line;
    const char *answer; /* NULL: the command is understood */
    bool noreply;
} lines[] = {
    { "get\r\n", "ERROR\r\n", false },
    { "get \r\n", "ERROR\r\n", false },
    { "get a\r\n", NULL, false },
    { "get a\n", NULL, false },
    { "  get   a  b \r\n", NULL, false },
    { "GET a\r\n", "ERROR\r\n", false },
    { "get\ta\r\n", "ERROR\r\n", false },
    { "\r\n", "ERROR\r\n", false },
    { "gat\r\n", "ERROR\r\n", false },
    { "gat 0\r\n", NULL, false },
    { "gat x a\r\n", "CLIENT_ERROR invalid exptime argument\r\n", false },
    { "set a 0 0\r\n", "ERROR\r\n", false },
    { "set a 0 0 1 2 3\r\n", "ERROR\r\n", false },
    { "set a 0 0 x\r\n", FORMAT, false },
    { "set a 0 0 -1\r\n", FORMAT, false },
    { "set a -1 0 1\r\n", FORMAT, false },
    { "set a 0 x 1\r\n", FORMAT, false },
    { "set a 18446744073709551616 0 1\r\n", FORMAT, false },
    { "set a 0 0 2147483646\r\n", FORMAT, false },
    { "set a 0 0 2147483645\r\n", NULL, false },
    { "set a 0 -1 1\r\n", NULL, false },
    { "set a 0 0 1 noreply\r\n", NULL, true },
    { "set a 0 0 1 other\r\n", NULL, false },
    { "set a 0 0 x noreply\r\n", FORMAT, true },
    { "cas a 0 0 1\r\n", "ERROR\r\n", false },
    { "cas a 0 0 1 x\r\n", FORMAT, false },
    { "cas a 0 0 1 7\r\n", NULL, false },
    { "delete a\r\n", NULL, false },
    { "delete a 0\r\n", NULL, false },
    { "delete a 0 noreply\r\n", NULL, true },
    { "delete a noreply\r\n", NULL, true },
    { "delete a 5\r\n", "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n",
      false },
    { "delete a b c d\r\n", "ERROR\r\n", false },
    { "incr a\r\n", "ERROR\r\n", false },
    { "incr a -1\r\n", "CLIENT_ERROR invalid numeric delta argument\r\n", false },
    { "incr a +1\r\n", NULL, false },
    { "incr a 18446744073709551616\r\n", "CLIENT_ERROR invalid numeric delta argument\r\n", false },
    { "incr a 1 noreply\r\n", NULL, true },
    { "touch a x\r\n", "CLIENT_ERROR invalid exptime argument\r\n", false },
    { "touch a -1\r\n", NULL, false },
    { "verbosity\r\n", "ERROR\r\n", false },
    { "verbosity x\r\n", FORMAT, false },
    { "verbosity 1 noreply\r\n", NULL, true },
    { "version\r\n", NULL, false },
    { "versionx\r\n", "ERROR\r\n", false },
    { "nonsense\r\n", "ERROR\r\n", false },
};

Test(mc_request, answers_what_memcached_answers)
{
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct parsed parsed = parse(lines[i].line, strlen(lines[i].line));
        if (lines[i].answer == NULL) {
            cr_expect_eq(parsed.verdict, MC_REQUEST_OK, "%s", lines[i].line);
        } else {
            cr_expect_eq(parsed.verdict, MC_REQUEST_ERROR, "%s", lines[i].line);
            cr_expect(slice_equal(parsed.answer, slice_string(lines[i].answer)), "%s: %.*s",
                      lines[i].line, (int)parsed.answer.len, parsed.answer.data);
        }
        cr_expect_eq(parsed.request.noreply, lines[i].noreply, "%s", lines[i].line);
        cr_expect_eq(parsed.request.line_len, strlen(lines[i].line), "%s", lines[i].line);
    }
}

Test(mc_request, waits_for_the_newline_wherever_the_line_is_cut)
{
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        size_t len = strlen(lines[i].line);
        size_t scanned = 0;
        struct mc_request request;
        struct slice answer;
        for (size_t cut = 0; cut < len; cut++)
            cr_assert_eq(
                mc_request_parse(slice_of(lines[i].line, cut), &scanned, &request, &answer),
                MC_REQUEST_MORE, "%s cut at %zu", lines[i].line, cut);
        cr_assert_eq(mc_request_parse(slice_of(lines[i].line, len), &scanned, &request, &answer),
                     lines[i].answer == NULL ? MC_REQUEST_OK : MC_REQUEST_ERROR);
        cr_assert_eq(scanned, 0);
    }
}

Test(mc_request, a_stored_key_has_at_most_250_bytes)
{
    char line[600];
    char key[252];

    memset(key, 'k', sizeof(key));
    for (unsigned len = 250; len <= 251; len++) {
        int n = snprintf(line, sizeof(line), "set %.*s 0 0 1\r\n", (int)len, key);
        struct parsed parsed = parse(line, (size_t)n);
        cr_expect_eq(parsed.verdict, len == 250 ? MC_REQUEST_OK : MC_REQUEST_ERROR);
        cr_expect_eq(parsed.request.value_len, len == 250 ? 1 : 3);
    }
}

Test(mc_request, a_value_whose_length_is_known_is_no_command_though_its_line_is_refused)
{
    static const struct {
        const char *line;
        uint64_t swallowed;
    } refused[] = { { "set k x 0 5\r\n", 7 },
                    { "set k 0 x 5 noreply\r\n", 7 },
                    { "cas k 0 0 0 x\r\n", 2 },
                    { "set k x 0 2147483645\r\n", 2147483647 },
                    { "set k 0 0 2147483646\r\n", 0 },
                    { "set k x 0 2147483646\r\n", 0 },
                    { "set k 0 0 -1\r\n", 0 },
                    { "set k 0 0 5x\r\n", 0 },
                    { "set k 0 5\r\n", 0 },
                    { "cas k 0 0 5\r\n", 0 },
                    { "bogus k 0 0 5\r\n", 0 } };

    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct parsed parsed = parse(refused[i].line, strlen(refused[i].line));
        cr_expect_eq(parsed.verdict, MC_REQUEST_ERROR, "%s", refused[i].line);
        cr_expect_eq(parsed.request.value_len, refused[i].swallowed, "%s", refused[i].line);
    }
}

Test(mc_request, keys_come_one_by_one_in_the_order_written)
{
    struct parsed parsed = PARSE("gets one  two   three\r\n");
    struct slice keys = parsed.request.keys;
    struct slice key;

    cr_assert(mc_request_next_key(&keys, &key) && slice_equal(key, SLICE("one")));
    cr_assert(mc_request_next_key(&keys, &key) && slice_equal(key, SLICE("two")));
    cr_assert(mc_request_next_key(&keys, &key) && slice_equal(key, SLICE("three")));
    cr_assert_not(mc_request_next_key(&keys, &key));
}

Test(mc_request, a_nul_ends_the_line_as_for_memcached)
{
    struct parsed parsed = PARSE("get a\0b\r\n");
    struct slice key;

    cr_assert_eq(parsed.verdict, MC_REQUEST_OK);
    cr_assert(mc_request_next_key(&parsed.request.keys, &key));
    cr_assert(slice_equal(key, SLICE("a")));
    cr_assert_eq(parsed.request.line_len, 9);
}

Test(mc_request, without_a_newline_only_a_get_may_be_long)
{
    char *text = malloc(MC_MULTIGET_MAX + 2);
    size_t scanned = 0;
    struct mc_request request;
    struct slice answer;

    memset(text, 'x', MC_MULTIGET_MAX + 2);
    cr_expect_eq(mc_request_parse(slice_of(text, MC_LINE_MAX), &scanned, &request, &answer),
                 MC_REQUEST_MORE);
    cr_expect_eq(mc_request_parse(slice_of(text, MC_LINE_MAX + 1), &scanned, &request, &answer),
                 MC_REQUEST_CLOSE);
    memcpy(text, "gets ", 5);
    scanned = 0;
    cr_expect_eq(mc_request_parse(slice_of(text, MC_MULTIGET_MAX), &scanned, &request, &answer),
                 MC_REQUEST_MORE);
    cr_expect_eq(mc_request_parse(slice_of(text, MC_MULTIGET_MAX + 1), &scanned, &request, &answer),
                 MC_REQUEST_CLOSE);
    free(text);
}

Test(mc_request, http_is_no_command_and_ends_the_connection)
{
    cr_expect_eq(PARSE("GET / HTTP/1.1\r\n").verdict, MC_REQUEST_CLOSE);
    cr_expect_eq(PARSE("  POST  /a b  HTTP/ \r\n").verdict, MC_REQUEST_CLOSE);
    cr_expect_eq(PARSE("GET / HTTP/1.1 x\r\n").verdict, MC_REQUEST_ERROR);
    cr_expect_eq(PARSE("GET / http/1.1\r\n").verdict, MC_REQUEST_ERROR);
    cr_expect_eq(PARSE("GET /HTTP/1.1\r\n").verdict, MC_REQUEST_ERROR);
    cr_expect_eq(PARSE("get / HTTP/1.1\r\n").verdict, MC_REQUEST_OK, "keys");
}

Test(mc_request, an_exptime_has_64_bits)
{
    cr_expect_eq(PARSE("set a 0 -9223372036854775808 1\r\n").verdict, MC_REQUEST_OK);
    cr_expect_eq(PARSE("set a 0 -9223372036854775808 1\r\n").request.exptime, INT64_MIN);
    cr_expect_eq(PARSE("set a 0 9223372036854775807 1\r\n").request.exptime, INT64_MAX);
    cr_expect_eq(PARSE("set a 0 -9223372036854775809 1\r\n").verdict, MC_REQUEST_ERROR);
    cr_expect_eq(PARSE("set a 0 9223372036854775808 1\r\n").verdict, MC_REQUEST_ERROR);
    cr_expect_eq(PARSE("set a 0 --0 1\r\n").verdict, MC_REQUEST_ERROR);
}

Test(mc_request, the_tail_for_the_server_is_written_from_the_numbers)
{
    char tail[MC_STORAGE_TAIL_MAX];
    struct parsed parsed = PARSE("cas a +004294967297 -7 0012 99\r\n");
    size_t len;

    cr_assert_eq(parsed.verdict, MC_REQUEST_OK);
    len = mc_request_storage_tail(&parsed.request, tail);
    cr_assert(slice_equal(slice_of(tail, len), SLICE(" 1 -7 12 99\r\n")), "%.*s", (int)len, tail);
    parsed = PARSE("set a 18446744073709551615 -9223372036854775807 2147483645\r\n");
    len = mc_request_storage_tail(&parsed.request, tail);
    cr_assert(
        slice_equal(slice_of(tail, len), SLICE(" 4294967295 -9223372036854775807 2147483645\r\n")),
        "%.*s", (int)len, tail);
    cr_assert_leq(len, MC_STORAGE_TAIL_MAX);
}

Test(mc_request, numbers_are_passed_on_short)
{
    struct parsed parsed =
        PARSE("incr a +00000000000000000000000000000000000000000000000000042\r\n");
    cr_assert_eq(parsed.verdict, MC_REQUEST_OK);
    cr_assert(slice_equal(parsed.request.number, SLICE("42")));
    parsed = PARSE("touch a -00000000000000000000000000000000000000000000000000042\r\n");
    cr_assert_eq(parsed.verdict, MC_REQUEST_ERROR, "a number has at most 32 bytes");
}

Test(mc_request, leaves_the_words_of_a_meta_command_to_others)
{
    static const struct {
        const char *line;
        enum mc_verb verb;
    } meta[] = {
        { "mg key v\r\n", MC_META_GET },  { "ms key 5 T0\r\n", MC_META_SET },
        { "md key q\n", MC_META_DELETE }, { "ma key\r\n", MC_META_ARITHMETIC },
        { "me key\r\n", MC_META_DEBUG },  { " mn\r\n", MC_META_NOOP },
    };

    for (size_t i = 0; i < sizeof(meta) / sizeof(meta[0]); i++) {
        struct parsed parsed = parse(meta[i].line, strlen(meta[i].line));
        cr_assert_eq(parsed.verdict, MC_REQUEST_OK);
        cr_assert_eq(parsed.request.verb, meta[i].verb, "%s", meta[i].line);
        cr_assert(mc_verb_is_meta(parsed.request.verb));
    }
    cr_assert(slice_equal(PARSE("ms key 5 T0\r\n").request.keys, SLICE(" key 5 T0")));
}
