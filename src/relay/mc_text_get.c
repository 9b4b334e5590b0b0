/*
 * A get of one key or many: one operation for each key, batched by server.
 *
 * One bad key spoils the whole command, as with memcached. Most gets are sent while their keys are
 * looked at, and taken back if a later key is bad. One of more keys than a client may have
 * operations under way is looked at to its end before the first reply can go out, and then taken
 * apart in steps: client->get_taken says how far. Its line stays in the input meanwhile.
 */
#include "crossfade/relay/mc_coherence.h"
#include "crossfade/relay/mc_epoch.h"
#include "crossfade/relay/mc_journal.h"
#include "crossfade/relay/mc_lookup.h"
#include "crossfade/relay/mc_observe.h"
#include "crossfade/relay/mc_text.h"

#include <inttypes.h>
#include <stdio.h>

/* Takes the operations of this command out of the line again; replies under way are swallowed. */
static void take_back(struct mc_client *client, unsigned count)
{
    while (count-- > 0) {
        struct mc_op *op = TAILQ_LAST(&client->ops, mc_op_list);
        TAILQ_REMOVE(&client->ops, op, in_client);
        client->op_count--;
        mc_op_orphan(op);
    }
}

static bool forward_key(struct mc_client *client, const struct mc_request *request,
                        struct slice key, const struct key_place *place, bool last, uint64_t batch)
{
    struct mc_server *server =
        client->view->servers[placement_server(mc_client_plan(client)->placement, key)];
    struct mc_connection *connection = mc_journal_reader(server, &mc_text, client->affinity, place);
    struct mc_op *op = mc_client_op(client, request->verb);
    bool has_epoch = mc_is_epoch(place);
    struct key_place epoch;

    /* The values' cas numbers are asked for, too. */
    if (has_epoch && batch == MC_BATCH_GET)
        batch = MC_BATCH_GETS;
    if (op == NULL)
        return false;
    if (last)
        op->flags |= MC_OP_LAST;
    if (has_epoch) {
        op->flags |= MC_OP_EPOCH | MC_OP_TRACK;
        keyspace_epoch(mc_client_plan(client)->keyspace, key, &epoch);
    } else if (request->verb <= MC_GETS && mc_tracks_misses(client, place)) {
        op->flags |= MC_OP_TRACK;
    }
    if (mc_observe_due(client->plane))
        mc_observe_read(client, key);
    counter_add(&client->cell->gets, 1);
    if (request->verb >= MC_GAT)
        counter_add(&client->cell->touches, 1);
    mc_client_expect(client, op);
    if (connection == NULL) {
        if (has_epoch && !mc_text_keep_wire(op, place, key))
            return false;
        mc_op_fail_here(op, server);
        return !client->closed;
    }
    if (has_epoch && request->verb >= MC_GAT
            ? mc_connection_gat(connection, op, place, &epoch, key, request->number)
            : mc_connection_get(connection, op, place, has_epoch ? &epoch : NULL, key, batch,
                                request->number)) {
        mc_client_hold_back(client, connection);
        return true;
    }
    mc_op_fail_here(op, server);
    return false;
}

/* A key of a get that is answered here, in its place among the others. */
static bool answer_lookup(struct mc_client *client, const struct mc_request *request,
                          struct slice key, bool last)
{
    struct buffer_pool *pool = &client->plane->worker->buffers;
    struct mc_op *op = mc_client_op(client, request->verb);
    struct mc_lookup lookup;
    char tail[64];
    int len;

    if (op == NULL)
        return false;
    op->flags = MC_OP_DONE | MC_OP_STARTED;
    if (last)
        op->flags |= MC_OP_LAST;
    op->pending = 0;
    mc_client_expect(client, op);
    if (!mc_lookup(client, key, &lookup))
        return true;
    len = request->verb == MC_GETS || request->verb == MC_GATS
              ? snprintf(tail, sizeof(tail), " 0 %zu %" PRIu64 "\r\n", lookup.len, lookup.cas)
              : snprintf(tail, sizeof(tail), " 0 %zu\r\n", lookup.len);
    ensure(len > 0 && (size_t)len < sizeof(tail));
    return buffer_append_copy(&op->reply, pool, "VALUE ", 6) &&
           buffer_append_copy(&op->reply, pool, key.data, key.len) &&
           buffer_append_copy(&op->reply, pool, tail, (size_t)len) &&
           buffer_append_copy(&op->reply, pool, lookup.value, lookup.len) &&
           buffer_append_copy(&op->reply, pool, "\r\n", 2);
}

/* A key that was good, and is not by the configuration that came since. */
static bool answer_bad(struct mc_client *client, const struct mc_request *request, bool last)
{
    struct mc_op *op = mc_client_op(client, request->verb);

    if (op == NULL)
        return false;
    op->flags = MC_OP_DONE | MC_OP_STARTED | MC_OP_FAILED;
    if (last)
        op->flags |= MC_OP_LAST;
    op->pending = 0;
    mc_client_expect(client, op);
    return true;
}

static bool is_bad(enum key_verdict verdict)
{
    return verdict != KEY_OK && verdict != KEY_LOOKUP;
}

/* The verdict on the first bad one among `key` and the rest, or KEY_OK. */
static enum key_verdict look_ahead(const struct mc_client *client, struct slice key,
                                   struct slice rest)
{
    const struct keyspace *keyspace = mc_client_plan(client)->keyspace;

    do {
        struct key_place place;
        enum key_verdict verdict = keyspace_place(keyspace, client->arm, key, &place);
        if (is_bad(verdict))
            return verdict;
    } while (mc_request_next_key(&rest, &key));
    return KEY_OK;
}

/* Sends the keys of a get as far as there is room for them. `key` is the first, `rest` what follows
 * it. */
static enum mc_forward_verdict send_keys(struct mc_client *client, const struct mc_request *request,
                                         struct slice key, struct slice rest)
{
    const struct keyspace *keyspace = mc_client_plan(client)->keyspace;
    unsigned before = client->op_count;
    bool known_good = client->get_taken > 0;
    bool more = true;
    uint64_t batch = request->verb == MC_GET    ? MC_BATCH_GET
                     : request->verb == MC_GETS ? MC_BATCH_GETS
                                                : client->plane->next_batch++;

    while (more) {
        struct key_place place;
        struct slice next = key;
        enum key_verdict verdict;
        bool ok;

        if (client->op_count >= MC_CLIENT_OPS) {
            verdict = known_good ? KEY_OK : look_ahead(client, key, rest);
            if (verdict == KEY_OK) {
                client->get_taken = (size_t)(key.data - request->keys.data);
                return MC_FORWARD_WAIT;
            }
        } else {
            verdict = keyspace_place(keyspace, client->arm, key, &place);
        }
        more = rest.len > 0 && mc_request_next_key(&rest, &next);
        if (is_bad(verdict) && !known_good) {
            take_back(client, client->op_count - before);
            return mc_refuse_key(client, request, verdict);
        }
        if (verdict == KEY_OK)
            ok = forward_key(client, request, key, &place, !more, batch);
        else if (verdict == KEY_LOOKUP)
            ok = answer_lookup(client, request, key, !more);
        else
            ok = answer_bad(client, request, !more);
        if (!ok)
            return MC_FORWARD_NO_MEMORY;
        key = next;
    }
    client->get_taken = 0;
    return MC_FORWARD_OK;
}

enum mc_forward_verdict mc_forward_get(struct mc_client *client, const struct mc_request *request)
{
    struct slice rest =
        slice_of(request->keys.data + client->get_taken, request->keys.len - client->get_taken);
    enum mc_forward_verdict verdict;
    const struct mc_op *first;
    struct slice key;

    if (request->one_key) {
        key = request->keys;
        rest.len = 0;
    } else if (!mc_request_next_key(&rest, &key)) /* gat with a time and no key */
        return mc_client_answer(client, SLICE("END\r\n")) ? MC_FORWARD_OK : MC_FORWARD_NO_MEMORY;
    client->holding = true;
    verdict = send_keys(client, request, key, rest);
    client->holding = false;
    first = TAILQ_FIRST(&client->ops);
    if (verdict != MC_FORWARD_NO_MEMORY && first != NULL && (first->flags & MC_OP_DONE))
        mc_client_advance(client);
    return verdict;
}
