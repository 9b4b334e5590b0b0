/*
 * What relay/mc_identity.c, mc_login.c and mc_sasl.c share: the clients that have no arm yet.
 */
#ifndef CROSSFADE_RELAY_MC_STRANGERS_H
#define CROSSFADE_RELAY_MC_STRANGERS_H

#include "crossfade/relay/mc_client.h"
#include "crossfade/relay/mc_login.h"

/* -- relay/mc_identity.c -- */

const struct config_listener *mc_client_listener(const struct mc_client *client);
/* From now on, or still, without an arm. Nothing may be under way. */
void mc_client_become_stranger(struct mc_client *client, enum mc_stage stage);
/* A client that is served is to log in again: until then it is a stranger. */
void mc_client_begin_again(struct mc_client *client);
void mc_client_leave_strangers(struct mc_client *client);
/* The arm of that entry becomes the client's. False: it has none, and the client is
 * MC_STAGE_REFUSED. */
bool mc_client_settle(struct mc_client *client, size_t entry);
/* The same for who has logged in. */
bool mc_client_identify_user(struct mc_client *client, struct slice user);
void mc_client_set_who(struct mc_client *client, const char *text);
/* A few lines in ten seconds; the others are counted. */
bool mc_strangers_may_log(struct mc_plane *plane);

/* -- relay/mc_login.c -- */

/*
 * The login in the first `len` bytes of the input goes to the login thread; they are wiped and
 * consumed. Always MC_STEP_STOP: for the verdict, or for a slot, and then they are still there.
 */
enum mc_step mc_login_begin(struct mc_client *client, struct slice user, struct slice password,
                            size_t len);
/* One that cannot be right: is answered as a wrong one, as late. */
enum mc_step mc_login_fail(struct mc_client *client, size_t len);

/* -- relay/mc_sasl.c -- */

/* A frame of a stranger. */
enum mc_step mc_sasl_stranger(struct mc_client *client, struct slice bytes);
/* What a login came to; false without memory. */
bool mc_sasl_answer(struct mc_client *client, bool granted);

#endif
