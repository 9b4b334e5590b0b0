#include "crossfade/proto/mc_reply.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static const struct {
    const char *text;
    enum mc_reply_kind kind;
} good[] = {
    { "VALUE k 0 0\r\n", MC_REPLY_VALUE },
    { "VALUE k 4294967295 1048576 18446744073709551615\r\n", MC_REPLY_VALUE },
    { "END\r\n", MC_REPLY_END },
    { "STORED\r\n", MC_REPLY_STORED },
    { "NOT_STORED\r\n", MC_REPLY_NOT_STORED },
    { "EXISTS\r\n", MC_REPLY_EXISTS },
    { "NOT_FOUND\r\n", MC_REPLY_NOT_FOUND },
    { "DELETED\r\n", MC_REPLY_DELETED },
    { "TOUCHED\r\n", MC_REPLY_TOUCHED },
    { "18446744073709551615\r\n", MC_REPLY_NUMBER },
    { "VERSION 1.6.18\r\n", MC_REPLY_VERSION },
    { "ERROR\r\n", MC_REPLY_ERROR },
    { "CLIENT_ERROR x\r\n", MC_REPLY_CLIENT_ERROR },
    { "SERVER_ERROR x\r\n", MC_REPLY_SERVER_ERROR },
};

static const char *const bad[] = {
    "STORED\n",
    "\r\n",
    "stored\r\n",
    "STORED \r\n",
    "VALUE\r\n",
    "VALUE k\r\n",
    "VALUE k 0\r\n",
    "VALUE k 0 x\r\n",
    "VALUE k 0 1 x\r\n",
    "VALUE  0 1\r\n",
    "-1\r\n",
    "1 \r\n",
    "ENDX\r\n",
    "VALUE k 4294967296 1\r\n",
    "VALUE k 0 4294967296\r\n",
    "18446744073709551616\r\n",
    "VALUE k 0 1 2 3\r\n",
};

Test(mc_reply, knows_every_line_wherever_it_is_cut)
{
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct mc_reply reply;
        size_t len = strlen(good[i].text);
        for (size_t cut = 0; cut < len; cut++)
            cr_assert_eq(mc_reply_parse(slice_of(good[i].text, cut), &reply), MC_REPLY_MORE);
        cr_assert_eq(mc_reply_parse(slice_of(good[i].text, len), &reply), MC_REPLY_OK, "%s",
                     good[i].text);
        cr_assert_eq(reply.kind, good[i].kind, "%s", good[i].text);
        cr_assert_eq(reply.line_len, len);
    }
}

Test(mc_reply, takes_a_value_line_apart)
{
    struct mc_reply reply;
    cr_assert_eq(mc_reply_parse(SLICE("VALUE key 7 12 99\r\n"), &reply), MC_REPLY_OK);
    cr_assert(slice_equal(reply.key, SLICE("key")));
    cr_assert_eq(reply.value_len, 12);
    cr_assert(reply.with_cas);
    cr_assert_eq(mc_reply_parse(SLICE("VALUE key 7 12\r\n"), &reply), MC_REPLY_OK);
    cr_assert_not(reply.with_cas);
}

/* The short way says yes only to what the long one takes, with the same result. */
Test(mc_reply, a_hit_of_the_expected_key_is_the_same_either_way)
{
    static const struct {
        const char *line;
        bool hit;
    } rows[] = {
        { "VALUE key 0 5\r\n", true },
        { "VALUE key 4294967295 4294967295\r\n", true },
        { "VALUE key 0000000001 0000000002\r\n", true },
        { "VALUE key 00000000001 2\r\n", false },
        { "VALUE key 4294967296 5\r\n", false },
        { "VALUE key 0 4294967296\r\n", false },
        { "VALUE key 0 5 77\r\n", false },
        { "VALUE key 0 5\n", false },
        { "VALUE key 0 5 \r\n", false },
        { "VALUE key  0 5\r\n", false },
        { "VALUE key 0  5\r\n", false },
        { "VALUE key 0 \r\n", false },
        { "VALUE key  5\r\n", false },
        { "VALUE key -1 5\r\n", false },
        { "VALUE key\r\n 0 5\r\n", false },
        { "VALUE keys 0 5\r\n", false },
        { "VALUE ke 0 5\r\n", false },
        { "VALUE  0 5\r\n", false },
        { "value key 0 5\r\n", false },
        { "END\r\nEND\r\nEND\r\n", false },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct slice bytes = slice_string(rows[i].line);
        struct mc_reply hit, whole;
        for (size_t len = 0; len < bytes.len; len++)
            cr_assert_not(mc_reply_hit(slice_of(bytes.data, len), SLICE("key"), &hit), "%s",
                          rows[i].line);
        cr_assert_eq(mc_reply_hit(bytes, SLICE("key"), &hit), rows[i].hit, "%s", rows[i].line);
        if (!rows[i].hit)
            continue;
        cr_assert_eq(mc_reply_parse(bytes, &whole), MC_REPLY_OK);
        cr_assert_eq(whole.kind, hit.kind);
        cr_assert_eq(whole.line_len, hit.line_len);
        cr_assert(slice_equal(whole.line, hit.line) && slice_equal(whole.key, hit.key));
        cr_assert_eq(whole.value_len, hit.value_len);
        cr_assert_eq(whole.with_cas, hit.with_cas);
    }
}

Test(mc_reply, a_hit_with_a_cas_number_is_the_same_either_way)
{
    static const struct {
        const char *line;
        bool hit;
    } rows[] = {
        { "VALUE key 0 5 1\r\n", true },
        { "VALUE key 4294967295 4294967295 9999999999999999999\r\n", true },
        { "VALUE key 0 5 18446744073709551615\r\n", false }, /* the long way takes it */
        { "VALUE key 0 5 18446744073709551616\r\n", false },
        { "VALUE key 0 5 99999999999999999999\r\n", false },
        { "VALUE key 0 5\r\n", false },
        { "VALUE key 0 5 \r\n", false },
        { "VALUE key 0 5  7\r\n", false },
        { "VALUE key 0 5 7 \r\n", false },
        { "VALUE key 0 5 7 8\r\n", false },
        { "VALUE key 0 5 -7\r\n", false },
        { "VALUE key 0 5 7\n", false },
        { "VALUE keys 0 5 7\r\n", false },
        { "END\r\nEND\r\nEND\r\nEND\r\n", false },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct slice bytes = slice_string(rows[i].line);
        struct mc_reply hit, whole;
        for (size_t len = 0; len < bytes.len; len++)
            cr_assert_not(mc_reply_hit_cas(slice_of(bytes.data, len), SLICE("key"), &hit), "%s",
                          rows[i].line);
        cr_assert_eq(mc_reply_hit_cas(bytes, SLICE("key"), &hit), rows[i].hit, "%s", rows[i].line);
        if (!rows[i].hit)
            continue;
        cr_assert_eq(mc_reply_parse(bytes, &whole), MC_REPLY_OK);
        cr_assert_eq(whole.kind, hit.kind);
        cr_assert_eq(whole.line_len, hit.line_len);
        cr_assert(slice_equal(whole.line, hit.line) && slice_equal(whole.key, hit.key));
        cr_assert_eq(whole.value_len, hit.value_len);
        cr_assert_eq(whole.behind_length, hit.behind_length);
        cr_assert(whole.with_cas && hit.with_cas);
    }
}

Test(mc_reply, tells_flags_and_cas_number)
{
    struct mc_reply reply;
    uint32_t flags;
    uint64_t cas;

    cr_assert_eq(mc_reply_parse(SLICE("VALUE key 4294967295 5 18446744073709551615\r\n"), &reply),
                 MC_REPLY_OK);
    mc_reply_numbers(&reply, &flags, &cas);
    cr_assert_eq(flags, UINT32_MAX);
    cr_assert_eq(cas, UINT64_MAX);
}

Test(mc_reply, refuses_what_the_protocol_does_not_know)
{
    struct mc_reply reply;
    char *line = malloc(MC_REPLY_LINE_MAX);

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect_eq(mc_reply_parse(slice_string(bad[i]), &reply), MC_REPLY_BAD, "%s", bad[i]);
    memset(line, 'x', MC_REPLY_LINE_MAX);
    cr_expect_eq(mc_reply_parse(slice_of(line, MC_REPLY_LINE_MAX - 1), &reply), MC_REPLY_MORE);
    cr_expect_eq(mc_reply_parse(slice_of(line, MC_REPLY_LINE_MAX), &reply), MC_REPLY_BAD);
    free(line);
}
