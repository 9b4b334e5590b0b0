#include "crossfade/proto/mc_auth.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static enum mc_auth_verdict parse(const char *bytes, size_t len, struct mc_auth_text *text)
{
    size_t scanned = 0;
    return mc_auth_text_parse(slice_of(bytes, len), &scanned, text);
}

static void expect_login(const char *bytes, const char *user, const char *password)
{
    struct mc_auth_text text;

    cr_assert_eq(parse(bytes, strlen(bytes), &text), MC_AUTH_LOGIN, "%s", bytes);
    cr_assert_eq(text.len, strlen(bytes), "%s", bytes);
    cr_assert(slice_equal(text.user, slice_string(user)), "%s", bytes);
    cr_assert(slice_equal(text.password, slice_string(password)), "%s", bytes);
}

static void expect_refused(const char *bytes, size_t len, const char *answer)
{
    struct mc_auth_text text;

    cr_assert_eq(parse(bytes, strlen(bytes), &text), MC_AUTH_REFUSED, "%s", bytes);
    cr_assert_eq(text.len, len, "%s", bytes);
    cr_assert(slice_equal(text.answer, slice_string(answer)), "%s: %.*s", bytes,
              (int)text.answer.len, text.answer.data);
}

/* As memcached 1.6.18 answered each of them. */
Test(mc_auth, takes_what_memcached_takes)
{
    expect_login("set x 0 0 12\r\nalice secret\r\n", "alice", "secret");
    expect_login("set x 0 0 12\nalice secret\r\n", "alice", "secret");
    expect_login("set x 0 0 12 noreply\r\nalice secret\r\n", "alice", "secret");
    expect_login("set x a b 12 junk more\r\nalice secret\r\n", "alice", "secret");
    expect_login("  set   x  0 0   12  \r\nalice secret\r\n", "alice", "secret");
    expect_login("set x 0 0 +12\r\nalice secret\r\n", "alice", "secret");
    expect_login("set x 0 0 18\r\nalice secret  junk\r\n", "alice", "secret");
    expect_login("set x 0 0 19\r\n  alice    secret  \r\n", "alice", "secret");
    expect_login("set x 0 0 13\r\nalice secret\t\r\n", "alice", "secret\t");
}

Test(mc_auth, refuses_what_memcached_refuses)
{
    const char *no = "CLIENT_ERROR unauthenticated\r\n";

    expect_refused("get a\r\n", 7, no);
    expect_refused("get a\nget b\n", 6, no);
    expect_refused("version\r\n", 9, no);
    expect_refused("quit\r\n", 6, no);
    expect_refused("\r\n", 2, no);
    expect_refused("\n", 1, no);
    expect_refused("mn\r\n", 4, no);
    expect_refused("SET x 0 0 12\r\nalice secret\r\n", 14, no);
    expect_refused("set\tx 0 0 12\r\nalice secret\r\n", 14, no);
    expect_refused("set x 0 0\r\nalice secret\r\n", 11, no);
    expect_refused("set x 0 0 -1\r\nalice secret\r\n", 14, no);
    expect_refused("set x 0 0 12x\r\nalice secret\r\n", 15, no);
    expect_refused("set x 0 0 \r\n\r\n", 12, no);
    expect_refused("set x 0 0 0x0c\r\nalice secret\r\n", 16, no);
    expect_refused("set x 0 0 99999999999999999999999\r\nalice secret\r\n", 35, no);
    expect_refused("set x 0 0 12\r\nalice secret\n\n", 28,
                   "CLIENT_ERROR bad command line termination\r\n");
    expect_refused("set x 0 0 1 2\r\nxx\r\n", 18, "CLIENT_ERROR bad command line termination\r\n");
    expect_refused("set x 0 0 5\r\nalice\r\n", 20,
                   "CLIENT_ERROR bad authentication token format\r\n");
    expect_refused("set x 0 0 6\r\nalice \r\n", 21,
                   "CLIENT_ERROR bad authentication token format\r\n");
    expect_refused("set x 0 0 0\r\n\r\n", 15, "CLIENT_ERROR bad authentication token format\r\n");
}

Test(mc_auth, has_its_limits)
{
    char bytes[3 * MC_AUTH_LINE_MAX];
    struct mc_auth_text text;
    size_t scanned = 0;

    memset(bytes, 'k', sizeof(bytes));
    cr_assert_eq(parse(bytes, MC_AUTH_LINE_MAX, &text), MC_AUTH_MORE);
    cr_assert_eq(parse(bytes, MC_AUTH_LINE_MAX + 1, &text), MC_AUTH_CLOSE);
    cr_assert_eq(text.answer.len, 0);
    bytes[MC_AUTH_LINE_MAX + 1] = '\n';
    cr_assert_eq(parse(bytes, MC_AUTH_LINE_MAX + 2, &text), MC_AUTH_CLOSE, "whole as in parts");
    bytes[MC_AUTH_LINE_MAX] = '\n';
    cr_assert_eq(parse(bytes, MC_AUTH_LINE_MAX + 2, &text), MC_AUTH_REFUSED);
    cr_assert_eq(parse("set x 0 0 2049\r\n", 16, &text), MC_AUTH_CLOSE);
    cr_assert(slice_equal(text.answer, SLICE("CLIENT_ERROR unauthenticated\r\n")));
    cr_assert_eq(parse("set x 0 0 2147483647\r\nalice secret\r\n", 36, &text), MC_AUTH_CLOSE);
    cr_assert_eq(mc_auth_text_parse(SLICE("set x 0 0 2048\r\n"), &scanned, &text), MC_AUTH_MORE);
    cr_assert_eq(text.need, 16 + 2048 + 2);
}

/* However the bytes come, the commands are the same. */
Test(mc_auth, a_split_changes_nothing)
{
    static const char bytes[] =
        "get a\r\nset x 0 0 12\r\nalice secret\r\nset x 0 0 5\r\nalice\r\n\n";
    static const size_t lens[] = { 7, 28, 20, 1 };
    static const enum mc_auth_verdict verdicts[] = { MC_AUTH_REFUSED, MC_AUTH_LOGIN,
                                                     MC_AUTH_REFUSED, MC_AUTH_REFUSED };
    size_t begin = 0;
    size_t scanned = 0;
    size_t taken = 0;

    for (size_t end = 1; end < sizeof(bytes); end++) {
        struct mc_auth_text text;
        /* A copy of just these bytes: reading behind them is seen by the sanitizer. */
        char *part = malloc(end - begin);
        memcpy(part, bytes + begin, end - begin);
        enum mc_auth_verdict verdict =
            mc_auth_text_parse(slice_of(part, end - begin), &scanned, &text);
        if (verdict == MC_AUTH_MORE) {
            cr_assert_lt(end - begin, lens[taken]);
            cr_assert(text.need == 0 || text.need == lens[taken]);
        } else {
            cr_assert_eq(end - begin, lens[taken]);
            cr_assert_eq(verdict, verdicts[taken]);
            cr_assert_eq(text.len, lens[taken]);
            begin += text.len;
            scanned = 0;
            taken++;
        }
        free(part);
    }
    cr_assert_eq(taken, 4);
}

static bool plain(const char *message, size_t len, struct slice *user, struct slice *password)
{
    return mc_auth_plain_parse(slice_of(message, len), user, password);
}

Test(mc_auth, sasl_plain_says_user_and_password)
{
    struct slice user;
    struct slice password;

    cr_assert(plain("\0alice\0secret", 13, &user, &password));
    cr_assert(slice_equal(user, SLICE("alice")));
    cr_assert(slice_equal(password, SLICE("secret")));
    cr_assert(plain("alice\0alice\0se cret", 19, &user, &password));
    cr_assert(slice_equal(password, SLICE("se cret")));
    cr_assert_not(plain("bob\0alice\0secret", 16, &user, &password), "somebody else");
    cr_assert_not(plain("alice\0secret", 12, &user, &password));
    cr_assert_not(plain("\0alice", 6, &user, &password));
    cr_assert_not(plain("\0alice\0", 7, &user, &password));
    cr_assert_not(plain("\0\0secret", 8, &user, &password));
    cr_assert_not(plain("\0alice\0secret\0", 14, &user, &password));
    cr_assert_not(plain("", 0, &user, &password));
    cr_assert_not(plain("\0\0", 2, &user, &password));
}
