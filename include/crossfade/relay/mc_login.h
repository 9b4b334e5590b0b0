/*
 * How a cache client comes to its arm. Where the listener has one arm, it has it at once. Otherwise
 * it is a stranger until it is known who it is, and gets nothing but answers to its login:
 *
 *   accepted --(TLS handshake)--> mc_identify: process, certificate
 *      --> MC_STAGE_SERVED          its arm is known
 *      --> MC_STAGE_REFUSED         no entry matches: its first command is answered with an error
 *      --> MC_STAGE_LOGIN           the listener wants a login
 *             mc_login_step: name and password --> MC_STAGE_WAITING
 *
 *   worker                                          login thread (app/login_thread.c)
 *   mc_login_begin    --- slot: asked ----------->  mc_login_take, hash (route/verifier.h)
 *   mc_login_collect  <-- slot: answered ---------  mc_login_answer
 *      --> MC_STAGE_SERVED, MC_STAGE_REFUSED, or, a little later, MC_STAGE_LOGIN again
 *
 * A stranger has no arm and is counted for none (plane->nobody); nothing behind its login is parsed
 * before that is answered; it is closed when it has not logged in after MC_LOGIN_TIME. When all
 * slots are in use, clients wait unread. Strangers are few and of short life: they are looked at
 * one by one.
 */
#ifndef CROSSFADE_RELAY_MC_LOGIN_H
#define CROSSFADE_RELAY_MC_LOGIN_H

#include "crossfade/base/clock.h"
#include "crossfade/base/ensure.h"
#include "crossfade/proto/mc_binary.h"
#include "crossfade/relay/mc_dialect.h"
#include "crossfade/route/verifier.h"

#include <stdatomic.h>

struct mc_plane;
struct mc_view;
struct worker;

#define MC_LOGIN_SLOTS 64u /* logins of one worker under way */
#define MC_LOGIN_TIME SECONDS(60)
/* Before a wrong login is answered. */
#define MC_LOGIN_DELAY MILLISECONDS(300)

enum mc_stage {
    MC_STAGE_SERVED,
    MC_STAGE_UNKNOWN, /* mc_identify is to be called */
    MC_STAGE_LOGIN,
    MC_STAGE_WAITING, /* for the verdict, or for MC_LOGIN_DELAY to be over */
    MC_STAGE_REFUSED
};

/* Whose a slot is: the worker's while it is free or answered, the login thread's while it is taken;
 * asked, it is the worker's until the thread takes it. */
enum mc_login_slot_state { MC_LOGIN_FREE, MC_LOGIN_ASKED, MC_LOGIN_TAKEN, MC_LOGIN_ANSWERED };

struct mc_login_slot {
    _Atomic int state;
    struct mc_client *client; /* worker: NULL: gone */
    struct mc_view *view;     /* worker: what keeps the users */
    uint64_t asked_at;
    struct verifier_wish wish;
    enum verifier_verdict verdict;
};

struct mc_login_queue {
    struct mc_login_slot slots[MC_LOGIN_SLOTS];
};

/* -- Worker ------------------------------------------------------------------------------------ */

/*
 * The client is accepted, and its stream's handshake is done: finds out who it is, as far as that
 * is known without a login (relay/mc_identity.c).
 */
void mc_identify(struct mc_client *client);
/* Takes one command of a client that is not MC_STAGE_SERVED. */
enum mc_step mc_login_step(struct mc_client *client, struct slice bytes) MUST_CHECK;
/*
 * For the binary dialect: a request with one of the opcodes of SASL, of a client that is served;
 * its head is in request, `bytes` is all that is here. A new login replaces the one before, so it
 * waits until nothing is under way (MC_STEP_STOP).
 */
enum mc_step mc_sasl_step(struct mc_client *client, const struct mc_binary_request *request,
                          struct slice bytes) MUST_CHECK;
/* The client is being closed. */
void mc_login_leave(struct mc_client *client);
/* Hands out the verdicts that have come. */
void mc_login_collect(struct mc_plane *plane);
void mc_login_tick(struct mc_plane *plane, uint64_t now);
/*
 * Moves the client to the view `after`, where its listener is this one (MC_NO_LISTENER: gone, which
 * a stranger's may not be). A stranger is held against what the listener says now.
 */
void mc_login_move(struct mc_client *client, struct mc_view *after, unsigned listener);
/* The plane ends: takes back what is asked. */
void mc_login_end(struct mc_plane *plane);

/* -- Login thread ------------------------------------------------------------------------------ */

/* The slot is the caller's until it answers. False: it was not asked for. */
bool mc_login_take(struct mc_login_slot *slot) MUST_CHECK;
/* Puts it back, undecided. */
void mc_login_put_back(struct mc_login_slot *slot);
/* Wipes the password. The worker is to be woken then. */
void mc_login_answer(struct mc_login_slot *slot, enum verifier_verdict verdict);

#endif
