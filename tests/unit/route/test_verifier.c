#include "crossfade/route/verifier.h"

#include "crossfade/base/clock.h"

#include <criterion/criterion.h>
#include <crypt.h>
#include <stdio.h>
#include <stdlib.h>

#define NOW UINT64_C(1000000000)

static struct users *make_users(const char *text)
{
    struct config_faults faults;
    struct users *users = users_parse(text, strlen(text), &faults);

    cr_assert_not_null(users);
    config_faults_free(&faults);
    return users;
}

/* alice's password is secret, and bob's hunter2; salt says which hash it is. */
static struct users *alice_and_bob(char salt)
{
    char setting[2][32];
    char text[512] = "";
    static const char *const names[] = { "alice", "bob" };
    static const char *const passwords[] = { "secret", "hunter2" };

    for (int i = 0; i < 2; i++) {
        (void)snprintf(setting[i], sizeof(setting[i]), "$5$rounds=1000$salt%c$", salt);
        (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s:%s\n", names[i],
                       crypt(passwords[i], setting[i]));
    }
    return make_users(text);
}

static struct verifier_wish wish_of(const struct users *users, const char *user,
                                    const char *password)
{
    struct verifier_wish wish = { .users = users };

    cr_assert(verifier_wish_set(&wish, slice_string(user), slice_string(password)));
    return wish;
}

static enum verifier_verdict ask(struct verifier *verifier, const struct verifier_wish *wish,
                                 uint64_t now)
{
    enum verifier_verdict verdict;

    return verifier_recall(verifier, wish, now, &verdict) ? verdict
                                                          : verifier_verify(verifier, wish, now);
}

/* Hashes take no time here, so that what is refused does not depend on the machine. */
static void stop_the_clock(void)
{
    clock_fake(NOW, NOW);
}

TestSuite(verifier, .init = stop_the_clock);

Test(verifier, tells_right_from_wrong_and_remembers)
{
    struct users *users = alice_and_bob('a');
    struct verifier *verifier = verifier_create();
    struct verifier_wish right = wish_of(users, "alice", "secret");
    struct verifier_wish wrong = wish_of(users, "alice", "hunter2");
    struct verifier_wish nobody = wish_of(users, "carol", "secret");
    struct verifier_wish empty = wish_of(users, "alice", "");

    cr_assert_eq(ask(verifier, &right, NOW), VERIFIER_RIGHT);
    cr_assert_eq(ask(verifier, &right, NOW), VERIFIER_KNOWN);
    cr_assert_eq(ask(verifier, &wrong, NOW), VERIFIER_WRONG);
    cr_assert_eq(ask(verifier, &wrong, NOW), VERIFIER_WRONG_AGAIN);
    cr_assert_eq(ask(verifier, &nobody, NOW), VERIFIER_WRONG);
    cr_assert_eq(ask(verifier, &nobody, NOW), VERIFIER_WRONG_AGAIN);
    cr_assert_eq(ask(verifier, &empty, NOW), VERIFIER_WRONG);
    cr_assert_eq(ask(verifier, &right, NOW), VERIFIER_KNOWN);
    verifier_destroy(verifier);
    users_free(users);
}

/* The decoy is the hash of a real user: with his password it must not let anybody else in. */
Test(verifier, an_unknown_user_is_never_right)
{
    struct users *users = alice_and_bob('a');
    struct verifier *verifier = verifier_create();
    struct verifier_wish nobody = wish_of(users, "carol", "secret");

    cr_assert_str_eq(users_decoy(users), users_hash(users, SLICE("alice")));
    cr_assert_eq(ask(verifier, &nobody, NOW), VERIFIER_WRONG);
    verifier_destroy(verifier);
    users_free(users);
}

Test(verifier, what_changed_in_the_file_is_not_remembered)
{
    struct users *before = alice_and_bob('a');
    struct users *same = alice_and_bob('a');
    struct users *after = alice_and_bob('b'); /* the same passwords with another salt */
    struct users *without =
        make_users("bob:$5$5XY8OTTy77zwffR3$VNqzZHBp7Nt25WXsHW4zPMEhTQWdYvAmRU1BKhsw.G/\n");
    struct verifier *verifier = verifier_create();
    struct verifier_wish wish = wish_of(before, "alice", "secret");

    cr_assert_eq(ask(verifier, &wish, NOW), VERIFIER_RIGHT);
    wish.users = same;
    cr_assert_eq(ask(verifier, &wish, NOW), VERIFIER_KNOWN, "a reload costs no hashes");
    wish.users = after;
    cr_assert_eq(ask(verifier, &wish, NOW), VERIFIER_RIGHT);
    wish.users = without;
    cr_assert_eq(ask(verifier, &wish, NOW), VERIFIER_WRONG);
    verifier_destroy(verifier);
    users_free(before);
    users_free(same);
    users_free(after);
    users_free(without);
}

Test(verifier, a_guesser_is_slowed_down_and_others_are_not)
{
    struct users *users = alice_and_bob('a');
    struct verifier *verifier = verifier_create();
    struct verifier_wish alice = wish_of(users, "alice", "secret");
    struct verifier_wish bob = wish_of(users, "bob", "hunter2");
    struct verifier_wish bob_too = wish_of(users, "bob", "hunter1");
    unsigned looked_at = 0;

    cr_assert_eq(ask(verifier, &alice, NOW), VERIFIER_RIGHT);
    for (int i = 0; i < 50; i++) {
        char guess[32];
        (void)snprintf(guess, sizeof(guess), "guess%d", i);
        struct verifier_wish wish = wish_of(users, "alice", guess);
        enum verifier_verdict verdict = ask(verifier, &wish, NOW);
        looked_at += verdict == VERIFIER_WRONG;
        cr_assert_eq(verdict, i < (int)VERIFIER_USER_BURST ? VERIFIER_WRONG : VERIFIER_THROTTLED);
    }
    cr_assert_eq(looked_at, VERIFIER_USER_BURST);
    cr_assert_eq(ask(verifier, &alice, NOW), VERIFIER_KNOWN, "who was verified before comes in");
    cr_assert_eq(ask(verifier, &bob_too, NOW), VERIFIER_WRONG, "and others are looked at");
    cr_assert_eq(ask(verifier, &bob, NOW), VERIFIER_RIGHT);
    /* As time goes by one more is looked at. */
    struct verifier_wish later = wish_of(users, "alice", "later");
    cr_assert_eq(ask(verifier, &later, NOW + VERIFIER_USER_PACE - 1), VERIFIER_THROTTLED);
    cr_assert_eq(ask(verifier, &later, NOW + VERIFIER_USER_PACE), VERIFIER_WRONG);
    verifier_destroy(verifier);
    users_free(users);
}

Test(verifier, many_names_at_one_place_are_slowed_down_too)
{
    struct users *users = alice_and_bob('a');
    struct verifier *verifier = verifier_create();
    struct verifier_wish elsewhere = wish_of(users, "name0", "y");
    unsigned looked_at = 0;

    for (int i = 0; i < 300; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "name%d", i);
        struct verifier_wish wish = wish_of(users, name, "x");
        looked_at += ask(verifier, &wish, NOW) == VERIFIER_WRONG;
    }
    cr_assert_eq(looked_at, VERIFIER_PLACE_BURST);
    elsewhere.place = 1;
    cr_assert_eq(ask(verifier, &elsewhere, NOW), VERIFIER_WRONG);
    verifier_destroy(verifier);
    users_free(users);
}

/* A flood of wrong ones does not make it forget the right ones. */
Test(verifier, remembers_right_ones_apart_from_wrong_ones)
{
    struct users *users = alice_and_bob('a');
    struct verifier *verifier = verifier_create();
    struct verifier_wish alice = wish_of(users, "alice", "secret");

    cr_assert_eq(ask(verifier, &alice, NOW), VERIFIER_RIGHT);
    for (unsigned i = 0; i < 3 * VERIFIER_REMEMBERED; i++) {
        char guess[32];
        (void)snprintf(guess, sizeof(guess), "guess%u", i);
        struct verifier_wish wish = wish_of(users, "alice", guess);
        cr_assert_eq(ask(verifier, &wish, NOW + i * (uint64_t)VERIFIER_USER_PACE), VERIFIER_WRONG);
    }
    cr_assert_eq(ask(verifier, &alice, NOW), VERIFIER_KNOWN);
    verifier_destroy(verifier);
    users_free(users);
}

Test(verifier, a_wish_has_limits_and_is_wiped)
{
    struct verifier_wish wish;
    char text[USER_PASSWORD_MAX + 2];

    memset(text, 'x', sizeof(text));
    cr_assert_not(verifier_wish_set(&wish, slice_of(text, 0), SLICE("x")));
    cr_assert_not(verifier_wish_set(&wish, slice_of(text, USER_NAME_MAX + 1), SLICE("x")));
    cr_assert_not(verifier_wish_set(&wish, SLICE("x"), slice_of(text, USER_PASSWORD_MAX + 1)));
    cr_assert_not(verifier_wish_set(&wish, SLICE("x"), slice_of("secret\0more", 11)),
                  "crypt would not see what follows");
    cr_assert(
        verifier_wish_set(&wish, slice_of(text, USER_NAME_MAX), slice_of(text, USER_PASSWORD_MAX)));
    verifier_wish_wipe(&wish);
    for (size_t i = 0; i < sizeof(wish.password); i++)
        cr_assert_eq(wish.password[i], '\0');
}
