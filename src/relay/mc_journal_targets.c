/*
 * What of a client's command goes into the journal when it could not be delivered.
 */
#include "crossfade/relay/mc_coherence.h"
#include "crossfade/relay/mc_epoch.h"
#include "crossfade/relay/mc_journal.h"
#include "crossfade/relay/mc_pools.h"

void mc_journal_undelivered(struct mc_server *server, const struct mc_dialect *dialect,
                            struct slice wire)
{
    struct mc_journal *journal = server->plane->worker->journal;

    if (journal != NULL)
        (void)mc_journal_add(journal, server->owed, dialect->index, wire);
}

static const struct mc_dialect *dialect_of(const struct mc_op *op)
{
    return op->dialect == mc_binary.index ? &mc_binary : &mc_text;
}

void mc_journal_untold(struct mc_server *server, const struct mc_dialect *dialect,
                       const struct mc_op *op)
{
    if (token_is_none(&op->token))
        mc_journal_others(server, dialect, op->cell, op->client != NULL ? op->client->view : NULL,
                          mc_op_key(op));
    else
        mc_journal_epoch(server, dialect, op->client, mc_op_key(op));
}

void mc_journal_op(const struct mc_op *op)
{
    if (op->server == NULL)
        return;
    if (op->flags & MC_OP_INVALIDATES)
        mc_journal_undelivered(op->server, dialect_of(op), mc_op_wire(op));
    if (op->flags & MC_OP_TELL)
        mc_journal_untold(op->server, dialect_of(op), op);
}

void mc_journal_refused(const struct mc_op *op)
{
    if ((op->flags & MC_OP_INVALIDATES) && (op->verb == MC_DELETE || op->verb == MC_META_DELETE))
        mc_journal_undelivered(op->server, dialect_of(op), mc_op_wire(op));
}

static void owe(struct mc_server *server, const struct mc_dialect *dialect,
                const struct key_place *place, struct slice key)
{
    char wire[KEY_MAX];

    keyspace_compose(place, key, wire);
    mc_journal_undelivered(server, dialect, slice_of(wire, place->wire_len));
}

void mc_journal_epoch(struct mc_server *server, const struct mc_dialect *dialect,
                      const struct mc_client *client, struct slice key)
{
    const struct mc_view *view = server->plane->view != NULL ? server->plane->view
                                 : client != NULL            ? client->view
                                                             : NULL;
    const struct keyspace *keyspace;
    struct key_place place;

    if (view == NULL)
        return;
    keyspace = view->pin->snapshot->plan->keyspace;
    keyspace_epoch(keyspace, key, &place);
    owe(server, dialect, &place, key);
    if (keyspace_bystander(keyspace, key, &place))
        owe(server, dialect, &place, key);
}

/* A set that is a fill, or is not kept, comes to nothing: it is remembered for the next attempt. */
static bool set_invalidates(struct mc_client *client, const struct key_place *place,
                            struct slice key)
{
    struct token token;
    enum mc_epoch_write write = mc_epoch_judge_set(client, place, key, &token);
    static const struct token none = { { 0, 0 } };

    if (write == MC_EPOCH_FILL || write == MC_EPOCH_REFUSE || write == MC_EPOCH_DOUBT)
        mc_epoch_put_back(client, key, write == MC_EPOCH_FILL ? &token : &none);
    return write == MC_EPOCH_MUTATE || write == MC_EPOCH_DOUBT;
}

static bool invalidates(struct mc_client *client, const struct key_place *place, enum mc_verb verb,
                        struct slice key)
{
    if (verb == MC_SET)
        return set_invalidates(client, place, key);
    return verb != MC_ADD && verb != MC_TOUCH;
}

struct mc_connection *mc_journal_writer(struct mc_server *server, struct mc_client *client,
                                        const struct key_place *place, enum mc_verb verb,
                                        bool upload)
{
    if (mc_reads_by_writing(verb) && mc_owed_closed(server->owed, place)) {
        client->upload_refused = false;
        return NULL;
    }
    return upload ? mc_server_upload(server, client)
                  : mc_server_connection(server, client->dialect, client->affinity);
}

void mc_journal_unsent(struct mc_client *client, struct mc_server *server,
                       const struct key_place *place, enum mc_verb verb, struct slice key)
{
    /* What goes by the stored value alone has not changed anything. */
    if (verb == MC_INCR || verb == MC_DECR || verb == MC_APPEND || verb == MC_PREPEND)
        return;
    if (mc_is_epoch(place)) {
        if (invalidates(client, place, verb, key))
            mc_journal_epoch(server, client->dialect, client, key);
    } else if (mc_is_mutation(client, place, verb, key)) {
        owe(server, client->dialect, place, key);
        mc_journal_others(server, client->dialect, client->cell, client->view, key);
    }
}
