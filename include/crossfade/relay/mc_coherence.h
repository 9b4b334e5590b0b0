/*
 * What a command means for the other arms (design: scope, companions, guarantees G2 and G4). The
 * same for every protocol: the callers say what the command is by a classic verb.
 *
 *   get     a miss of an isolated key is remembered
 *   set     answers a recent miss: a fill, own namespace only; otherwise a mutation
 *   mutation, delete     the operation, and a delete in each other namespace, on the same server
 * and connection: the companions. The client hears of success only when all succeeded.
 *
 * The server is chosen by the client's key, so a key and its companions are always on one.
 */
#ifndef CROSSFADE_RELAY_MC_COHERENCE_H
#define CROSSFADE_RELAY_MC_COHERENCE_H

#include "crossfade/proto/mc_request.h"
#include "crossfade/relay/mc_op.h"
#include "crossfade/route/keyspace.h"
#include "crossfade/route/value_format.h"

struct mc_connection;
struct mc_server;

/* Are there other namespaces that hold copies of this key and are told of its invalidations? Only
 * in fan-out mode: in epoch mode (relay/mc_epoch.h) nobody has to be told. */
bool mc_has_others(const struct mc_client *client, const struct key_place *place);

/* Are misses of this key to be remembered (MC_OP_TRACK)? For the sets that answer them: whether
 * they are mutations, and also without other namespaces for what is learnt from the traffic. */
bool mc_tracks_misses(const struct mc_client *client, const struct key_place *place);

/*
 * Does this write invalidate the other arms? `verb`: what it does, MC_SET .. MC_TOUCH. `key`: the
 * client's. Asked once for each command: a set takes the miss that it answers out of the memory.
 */
bool mc_is_mutation(struct mc_client *client, const struct key_place *place, enum mc_verb verb,
                    struct slice key);

/*
 * The mutation that `op` stands for is composed on `connection`: if it is one, its companions
 * follow, each a part of `op`. On a dedicated connection the value is still to come: the companions
 * follow when it is stored (mc_tell_others), lest another arm fill the old value again in between.
 * What fails is told to the client.
 */
void mc_invalidate_others(struct mc_client *client, struct mc_connection *connection,
                          struct mc_op *op, const struct key_place *place, enum mc_verb verb,
                          struct slice key);

/* The value of `op`, which had MC_OP_TELL, is answered on its dedicated connection: the companions
 * go out on the shared one. Before the operation's own part is done. */
void mc_tell_others(struct mc_connection *connection, struct mc_op *op);

/*
 * Does the rule's guard refuse this value (G8)? `verb`: MC_SET .. MC_CAS; `value`: all of it, or
 * its first VALUE_GUARD_BYTES at least. Counts it. The client is told MC_GUARDED, and what was
 * stored before stays.
 */
bool mc_is_guarded(struct mc_client *client, const struct key_place *place, enum mc_verb verb,
                   uint32_t flags, struct slice value);
#define MC_GUARDED "this pickle cannot be read by every version that shares the key"

/*
 * The memory of misses (route/misses.h). By the client's arm and the key as the client names it, so
 * that a miss is known whatever generation its fill is for.
 */
enum mc_miss_kind {
    MC_MISS_READ,
    MC_MISS_WIN /* meta: what a cas may answer, too */
};
/* token: NULL in fan-out mode; all zero: not known. */
void mc_miss_record(const struct mc_client *client, enum mc_miss_kind kind, struct slice key,
                    const struct token *token);
/* Epoch mode: what a set of the key is. */
enum miss_verdict mc_miss_take(const struct mc_client *client, enum mc_miss_kind kind,
                               struct slice key, struct token *token) MUST_CHECK;
/* Fan-out mode: does the set answer a recent miss? */
bool mc_miss_take_recent(const struct mc_client *client, enum mc_miss_kind kind,
                         struct slice key) MUST_CHECK;
/* Is a miss of it remembered? For what is learnt from the traffic. */
bool mc_miss_knows(const struct mc_client *client, struct slice key);
/* A miss of `op` is to be remembered if it is tracked: in epoch mode with the operation's token. */
void mc_remember_miss(const struct mc_op *op, enum mc_miss_kind kind);

/* A command of that kind was taken from a client. */
void mc_count_command(struct mc_arm_cell *cell, enum mc_verb verb);

#endif
