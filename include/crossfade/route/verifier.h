/*
 * Whether a password is right. That takes milliseconds on purpose (crypt(3)), so one thread that
 * carries no traffic owns the verifier, and a login that was verified before is remembered: as
 * HMAC-SHA-256(a random key of this process; user, the hash in the file, password), never the
 * password. As the hash is part of it, a changed line of the file is a login that nobody remembers.
 * Wrong ones are remembered too, apart from the right ones, so that a client with an old password
 * which comes back for ever costs nothing either.
 *
 * Whoever tries many different passwords is slowed down: only so many failures a second are worth a
 * hash, for each user and for each place (listener), and only a share of the thread's time. Above
 * that an unknown login is refused unseen.
 */
#ifndef CROSSFADE_ROUTE_VERIFIER_H
#define CROSSFADE_ROUTE_VERIFIER_H

#include "crossfade/base/ensure.h"
#include "crossfade/conf/users.h"

#include <stdint.h>

struct verifier_wish {
    const struct users *users;
    unsigned place; /* any number for the listener */
    size_t user_len;
    size_t password_len;
    char user[USER_NAME_MAX];
    char password[USER_PASSWORD_MAX + 1];
};

enum verifier_verdict {
    VERIFIER_RIGHT,
    VERIFIER_KNOWN, /* right, and verified before */
    VERIFIER_WRONG,
    VERIFIER_WRONG_AGAIN,
    VERIFIER_THROTTLED /* not looked at */
};

static inline bool verifier_granted(enum verifier_verdict verdict)
{
    return verdict == VERIFIER_RIGHT || verdict == VERIFIER_KNOWN;
}

/* As many failures at once, and then one in so many microseconds, or in so many times that a hash
 * takes. */
#define VERIFIER_PLACE_BURST 100u
#define VERIFIER_PLACE_PACE 50000u
#define VERIFIER_PLACE_SHARE 2u
#define VERIFIER_USER_BURST 20u
#define VERIFIER_USER_PACE 500000u
#define VERIFIER_USER_SHARE 10u
#define VERIFIER_REMEMBERED 1024u /* right ones, and as many wrong ones */

struct verifier;

/* Puts them into the wish. False: too long for any that could be right; nothing is put. */
bool verifier_wish_set(struct verifier_wish *wish, struct slice user,
                       struct slice password) MUST_CHECK;
void verifier_wish_wipe(struct verifier_wish *wish);

/* NULL without memory, or randomness. */
struct verifier *verifier_create(void);
void verifier_destroy(struct verifier *verifier);

/* Decides without a hash if it can; false: verifier_verify has to. `now`: monotonic microseconds.
 */
bool verifier_recall(struct verifier *verifier, const struct verifier_wish *wish, uint64_t now,
                     enum verifier_verdict *verdict) MUST_CHECK;
/* Hashes: takes its time, the same for a user who does not exist. */
enum verifier_verdict verifier_verify(struct verifier *verifier, const struct verifier_wish *wish,
                                      uint64_t now);

#endif
