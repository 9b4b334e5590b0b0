#include "crossfade/relay/mc_coherence.h"

#include "crossfade/relay/mc_epoch.h"
#include "crossfade/relay/mc_journal.h"
#include "crossfade/relay/mc_pools.h"

bool mc_has_others(const struct mc_client *client, const struct key_place *place)
{
    const unsigned *others;

    return place->scope == SCOPE_ISOLATED && place->coherence == COHERENCE_FANOUT &&
           (client->view != client->plane->view ||
            keyspace_others(mc_client_plan(client)->keyspace, client->arm, &others) > 0);
}

bool mc_tracks_misses(const struct mc_client *client, const struct key_place *place)
{
    return mc_has_others(client, place) || place->coherence == COHERENCE_EPOCH ||
           (place->scope == SCOPE_ISOLATED && mc_view_config(client->view)->observe > 0);
}

bool mc_is_mutation(struct mc_client *client, const struct key_place *place, enum mc_verb verb,
                    struct slice key)
{
    bool answers_miss;

    if (!mc_has_others(client, place))
        return false;
    if (verb == MC_DELETE)
        return true;
    if (verb == MC_TOUCH || place->writes == WRITES_FILL)
        return false;
    if (place->writes == WRITES_MUTATE)
        return true;
    if (verb == MC_ADD)
        return false;
    if (verb != MC_SET)
        return true;
    answers_miss = mc_miss_take_recent(client, MC_MISS_READ, key);
    counter_add(answers_miss ? &client->cell->sets_as_fill : &client->cell->sets_as_mutation, 1);
    return !answers_miss;
}

/* A delete of the key in that arm's namespace, a part of `primary`. False without memory. */
static bool add_companion(const struct keyspace *keyspace, unsigned arm,
                          struct mc_connection *connection, struct mc_op *primary, struct slice key)
{
    struct mc_plane *plane = primary->plane;
    struct key_place place;
    struct mc_op *companion;

    /* A key that this arm cannot have has no copy there. */
    if (keyspace_place(keyspace, arm, key, &place) != KEY_OK)
        return true;
    companion = mc_op_create(plane, MC_DELETE, primary->cell, worker_now(plane->worker));
    if (companion == NULL)
        return false;
    companion->primary = primary;
    companion->flags |= MC_OP_INVALIDATES;
    primary->pending++;
    if (!connection->dialect->compose_delete(connection, companion, &place, key)) {
        primary->pending--;
        mc_op_free(companion);
        return false;
    }
    counter_add(&primary->cell->companions, 1);
    return true;
}

/* The same in every namespace but the arm's own. */
static bool add_companions(const struct keyspace *keyspace, unsigned arm,
                           struct mc_connection *connection, struct mc_op *primary,
                           struct slice key)
{
    const unsigned *others;
    size_t count = keyspace_others(keyspace, arm, &others);

    for (size_t i = 0; i < count; i++)
        if (!add_companion(keyspace, others[i], connection, primary, key))
            return false;
    return true;
}

/* The arm that asked, in that plan; -1: it has gone since. */
static int arm_of(const struct worker *worker, const struct mc_arm_cell *cell,
                  const struct plan *plan)
{

    for (size_t i = 0; i < plan->config->arm_count; i++)
        if (cells_get(worker->telemetry->mc_arms, plan->arms[i].cache_cell, worker->index) == cell)
            return (int)i;
    return -1;
}

/*
 * In each namespace of the plan of now but the arm's own. A client whose arm is gone has its old
 * plan, and by that it would tell generations of before, and not the arms that came since.
 */
static bool tell_all(struct mc_connection *connection, struct mc_op *op, struct slice key)
{
    const struct mc_view *view = op->plane->view != NULL ? op->plane->view : op->client->view;
    const struct plan *plan = view->pin->snapshot->plan;
    int arm = arm_of(op->plane->worker, op->cell, plan);

    return (arm >= 0 || add_companion(plan->keyspace, 0, connection, op, key)) &&
           add_companions(plan->keyspace, arm >= 0 ? (unsigned)arm : 0, connection, op, key);
}

/* What add_companion would have told. */
static void owe(struct mc_server *server, const struct mc_dialect *dialect,
                const struct keyspace *keyspace, unsigned arm, struct slice key)
{
    struct key_place place;
    char wire[KEY_MAX];

    if (keyspace_place(keyspace, arm, key, &place) != KEY_OK)
        return;
    keyspace_compose(&place, key, wire);
    mc_journal_undelivered(server, dialect, slice_of(wire, place.wire_len));
}

void mc_journal_others(struct mc_server *server, const struct mc_dialect *dialect,
                       const struct mc_arm_cell *cell, const struct mc_view *view, struct slice key)
{
    const struct mc_plane *plane = server->plane;
    const struct plan *plan;
    const unsigned *others;
    size_t count;
    int arm;

    if (plane->view != NULL)
        view = plane->view;
    if (view == NULL)
        return;
    plan = view->pin->snapshot->plan;
    arm = arm_of(plane->worker, cell, plan);
    count = keyspace_others(plan->keyspace, arm >= 0 ? (unsigned)arm : 0, &others);
    if (arm < 0)
        owe(server, dialect, plan->keyspace, 0, key);
    for (size_t i = 0; i < count; i++)
        owe(server, dialect, plan->keyspace, others[i], key);
}

void mc_invalidate_others(struct mc_client *client, struct mc_connection *connection,
                          struct mc_op *op, const struct key_place *place, enum mc_verb verb,
                          struct slice key)
{
    if (!mc_is_mutation(client, place, verb, key))
        return;
    op->flags |= MC_OP_INVALIDATES;
    if (connection->dedicated)
        op->flags |= MC_OP_TELL;
    else if (client->view == client->plane->view ? !add_companions(mc_client_plan(client)->keyspace,
                                                                   client->arm, connection, op, key)
                                                 : !tell_all(connection, op, key)) {
        mc_journal_others(connection->server, connection->dialect, op->cell, client->view, key);
        mc_connection_fail(connection, "the other versions could not be told", false);
    }
}

/* Its client may be gone; the others have to be told all the same. */
static bool tell(struct mc_connection *connection, struct mc_op *op)
{
    unsigned affinity = op->client != NULL ? op->client->affinity : 0;
    struct mc_connection *shared =
        mc_server_shared(connection->server, connection->dialect, affinity);

    if (shared == NULL)
        return false;
    if (token_is_none(&op->token))
        return tell_all(shared, op, mc_op_key(op));
    mc_epoch_invalidate(shared, op, mc_op_key(op), &op->token, EPOCH_CHANGED);
    return true;
}

void mc_tell_others(struct mc_connection *connection, struct mc_op *op)
{
    op->flags &= (uint32_t) ~(unsigned)MC_OP_TELL;
    if ((op->client != NULL || op->plane->view != NULL) && tell(connection, op))
        return;
    mc_journal_untold(connection->server, connection->dialect, op);
    mc_op_untold(op, "no connection to its memcached server");
}

bool mc_is_guarded(struct mc_client *client, const struct key_place *place, enum mc_verb verb,
                   uint32_t flags, struct slice value)
{
    /* What is put before or behind a value is none by itself. */
    if (!place->guard || verb == MC_APPEND || verb == MC_PREPEND ||
        !value_guarded(mc_view_config(client->view)->client_profile, flags, value))
        return false;
    counter_add(&client->cell->guarded, 1);
    counter_add(&client->cell->refused, 1);
    return true;
}

static struct miss miss_of(const struct mc_client *client, enum mc_miss_kind kind, struct slice key)
{
    uint64_t salt = keyspace_salt(mc_client_plan(client)->keyspace, client->arm);

    return (struct miss){ .salt = salt + (uint64_t)kind, .key = key };
}

static struct misses_counts *misses_counts_of(const struct mc_client *client)
{
    return &client->plane->worker->cell->misses;
}

void mc_miss_record(const struct mc_client *client, enum mc_miss_kind kind, struct slice key,
                    const struct token *token)
{
    struct miss miss = miss_of(client, kind, key);

    misses_record(mc_client_plan(client)->misses->misses, misses_counts_of(client), &miss, token,
                  worker_now(client->plane->worker));
}

enum miss_verdict mc_miss_take(const struct mc_client *client, enum mc_miss_kind kind,
                               struct slice key, struct token *token)
{
    struct miss miss = miss_of(client, kind, key);

    return misses_take(mc_client_plan(client)->misses->misses, misses_counts_of(client), &miss,
                       worker_now(client->plane->worker), token);
}

bool mc_miss_take_recent(const struct mc_client *client, enum mc_miss_kind kind, struct slice key)
{
    struct miss miss = miss_of(client, kind, key);

    return misses_take_recent(mc_client_plan(client)->misses->misses, misses_counts_of(client),
                              &miss, worker_now(client->plane->worker));
}

bool mc_miss_knows(const struct mc_client *client, struct slice key)
{
    struct miss miss = miss_of(client, MC_MISS_READ, key);

    return misses_knows(mc_client_plan(client)->misses->misses, &miss,
                        worker_now(client->plane->worker));
}

void mc_remember_miss(const struct mc_op *op, enum mc_miss_kind kind)
{
    if ((op->flags & MC_OP_TRACK) && op->client != NULL)
        mc_miss_record(op->client, kind, mc_op_key(op),
                       (op->flags & MC_OP_EPOCH) ? &op->token : NULL);
}

void mc_count_command(struct mc_arm_cell *cell, enum mc_verb verb)
{
    if (verb == MC_DELETE)
        counter_add(&cell->deletes, 1);
    else if (verb == MC_TOUCH)
        counter_add(&cell->touches, 1);
    else if (mc_verb_is_storage(verb))
        counter_add(&cell->sets, 1);
}
