/*
 * Who may log in: the file that a listener's `sasl` names. One line a user, "name:hash", as
 * htpasswd -B and mkpasswd -m yescrypt write it; empty lines, and lines that begin with #, are left
 * out. The hash is one of crypt(3) that is strong: bcrypt, SHA-256, SHA-512, scrypt, yescrypt,
 * gost-yescrypt; and it may not be so costly that one login keeps all others waiting for seconds.
 *
 * Passwords and hashes never appear in a fault: the file may hold plain passwords by mistake.
 */
#ifndef CROSSFADE_CONF_USERS_H
#define CROSSFADE_CONF_USERS_H

#include "crossfade/base/ensure.h"
#include "crossfade/conf/load.h"
#include "crossfade/conf/values.h"

#define USERS_MAX 10000u
#define USER_NAME_MAX 255u
/* As many bytes as crypt(3) takes (CRYPT_MAX_PASSPHRASE_SIZE with its NUL). */
#define USER_PASSWORD_MAX 511u

struct users; /* immutable */

/* NULL when there is any fault; `faults` as in conf/load.h. */
struct users *users_load(const char *path, struct config_faults *faults) MUST_CHECK;
struct users *users_parse(const char *text, size_t len, struct config_faults *faults) MUST_CHECK;
/* Wipes the hashes. May be NULL. */
void users_free(struct users *users);

size_t users_count(const struct users *users);
/* The user's hash, or NULL. */
const char *users_hash(const struct users *users, struct slice name);
/* Somebody's hash: what the password of a user who is not there is tried on, so that it takes as
 * long. */
const char *users_decoy(const struct users *users);

/* Whether `hash` is one that a login can be checked against; why: "is ..., ...; make one with ...".
 */
bool password_hash_check(struct slice hash, struct why *why) MUST_CHECK;

#endif
