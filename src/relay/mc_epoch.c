#include "crossfade/relay/mc_epoch.h"

#include "crossfade/relay/mc_coherence.h"
#include "crossfade/relay/mc_errand.h"
#include "crossfade/relay/mc_journal.h"
#include "crossfade/relay/mc_pools.h"

#include <stdio.h>
#include <time.h>

/* An errand for an operation of a client: a part of it, or what a read waits for. */
struct part {
    struct mc_errand errand;
    struct mc_op *op;
    struct mc_connection *connection;
    struct token token; /* a read's: of the epoch item that is to be made */
    char wire[KEY_MAX];
};

size_t mc_epoch_part_size(void)
{
    return sizeof(struct part);
}

uint64_t mc_epoch_clock(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return (uint64_t)now.tv_sec;
}

static const struct keyspace *keyspace_of(const struct mc_op *op)
{
    const struct mc_view *view = op->plane->view != NULL ? op->plane->view : op->client->view;

    return view->pin->snapshot->plan->keyspace;
}

static struct part *
part_create(struct mc_connection *connection, struct mc_op *op, enum mc_errand_kind kind,
            const struct key_place *place, struct slice key,
            void (*answered)(struct mc_errand *errand, const struct mc_answer *answer))
{
    struct part *part = slab_get(&op->plane->epoch_parts);

    if (part == NULL)
        return NULL;
    part->op = op;
    part->connection = connection;
    part->errand = (struct mc_errand){ .kind = kind,
                                       .wire = slice_of(part->wire, place->wire_len),
                                       .key = key,
                                       .answered = answered };
    buffer_init(&part->errand.value);
    keyspace_compose(place, key, part->wire);
    return part;
}

static void part_free(struct part *part)
{
    struct mc_plane *plane = part->op->plane;

    mc_errand_clear(&part->errand, &plane->worker->buffers);
    slab_put(&plane->epoch_parts, part);
}

static struct part *part_of(struct mc_errand *errand)
{
    return (struct part *)(void *)((char *)errand - offsetof(struct part, errand));
}

/* What is stored is an epoch item with that token. False without memory. */
static bool write_epoch(struct part *part, const struct token *token, enum epoch_kind kind)
{
    struct epoch epoch = { .token = *token, .written = mc_epoch_clock(), .keep = 0 };
    char value[EPOCH_LENGTH];

    epoch_write(&epoch, value);
    part->errand.flags = kind;
    return buffer_append_copy(&part->errand.value, &part->op->plane->worker->buffers, value,
                              sizeof(value));
}

/* -- Reads ------------------------------------------------------------------------------------- */

void mc_epoch_seen(struct mc_op *op, struct slice value)
{
    struct epoch epoch;

    if (!epoch_read(value, &epoch) || mc_journal_forgot(op->server, epoch.written)) {
        op->flags |= MC_OP_NO_EPOCH;
        return;
    }
    op->flags |= MC_OP_SEEN;
    op->token = epoch.token;
    op->keep = epoch.keep;
}

bool mc_epoch_is_current(struct mc_op *op, struct slice head, uint64_t cas)
{
    struct token token;
    uint32_t expiry;

    if ((op->flags & MC_OP_SEEN) && head.len >= STAMP_LENGTH) {
        stamp_read(head, &token, &expiry);
        if (token_equal(&token, &op->token) || (op->keep != 0 && op->keep == cas))
            return true;
    }
    counter_add(&op->cell->stale_refused, 1);
    return false;
}

bool mc_epoch_fetched(const struct buffer *value, struct epoch *epoch)
{
    char bytes[EPOCH_LENGTH];
    size_t len = buffer_peek(value, bytes, sizeof(bytes));

    return value->len == len && epoch_read(slice_of(bytes, len), epoch);
}

/* Whoever fills now is not believed. */
void mc_epoch_unknown(struct mc_op *op)
{
    op->token = (struct token){ { 0, 0 } };
    mc_remember_miss(op, MC_MISS_READ);
}

/* The token in op->token is the one in force, or none. */
static void read_over(struct part *part)
{
    struct mc_op *op = part->op;
    const struct mc_dialect *dialect = part->connection->dialect;

    mc_remember_miss(op, MC_MISS_READ);
    part_free(part);
    dialect->missed(op);
}

/* The epoch item that another has made first. */
static void fetched(struct mc_errand *errand, const struct mc_answer *answer)
{
    struct part *part = part_of(errand);
    struct epoch epoch;

    if (answer->kind == MC_ANSWER_DONE && mc_epoch_fetched(&errand->value, &epoch) &&
        !mc_journal_forgot(part->connection->server, epoch.written))
        part->op->token = epoch.token;
    read_over(part);
}

static bool fetch(struct part *part)
{
    part->errand.kind = MC_ERRAND_FETCH;
    part->errand.answered = fetched;
    return mc_errand_send(part->connection, &part->errand, part->op->cell);
}

static void made(struct mc_errand *errand, const struct mc_answer *answer)
{
    struct part *part = part_of(errand);

    part->op->token = (struct token){ { 0, 0 } };
    if (answer->kind == MC_ANSWER_DONE) {
        part->op->token = part->token;
        counter_add(&part->op->cell->epochs_made, 1);
    } else if (answer->kind == MC_ANSWER_PRESENT && part->op->client != NULL && fetch(part)) {
        return;
    }
    read_over(part);
}

/*
 * The client must not read its database before the token is in force: a delete may come in between,
 * and find no epoch item to change. So it waits for the answer.
 */
static bool make_epoch(struct mc_connection *connection, struct mc_op *op)
{
    struct key_place place;
    struct part *part;

    keyspace_epoch(keyspace_of(op), mc_op_key(op), &place);
    part = part_create(connection, op, (op->flags & MC_OP_NO_EPOCH) ? MC_ERRAND_SET : MC_ERRAND_ADD,
                       &place, mc_op_key(op), made);
    if (part == NULL)
        return false;
    part->token = token_next(&op->plane->worker->tokens);
    if (write_epoch(part, &part->token, EPOCH_MADE) &&
        mc_errand_send(connection, &part->errand, op->cell))
        return true;
    part_free(part);
    return false;
}

bool mc_epoch_missed(struct mc_connection *connection, struct mc_op *op)
{
    if (op->client == NULL)
        return true;
    if (op->flags & MC_OP_SEEN) {
        mc_remember_miss(op, MC_MISS_READ);
        return true;
    }
    counter_add(&op->cell->epochs_absent, 1);
    if (make_epoch(connection, op))
        return false;
    mc_epoch_unknown(op);
    return true;
}

/* -- Writes ------------------------------------------------------------------------------------ */

enum mc_epoch_write mc_epoch_judge_set(struct mc_client *client, const struct key_place *place,
                                       struct slice key, struct token *token)
{
    struct token_source *tokens = &client->plane->worker->tokens;
    struct mc_arm_cell *cell = client->cell;
    enum miss_verdict verdict =
        place->writes == WRITES_MUTATE ? MISS_NONE : mc_miss_take(client, MC_MISS_READ, key, token);
    bool only_fills = place->writes == WRITES_FILL;

    if (verdict == MISS_FILL) {
        counter_add(&cell->sets_as_fill, 1);
        return MC_EPOCH_FILL;
    }
    *token = (struct token){ { 0, 0 } };
    if (verdict == MISS_MIXED || (verdict == MISS_DOUBT && only_fills)) {
        counter_add(&cell->fills_refused, 1);
        return MC_EPOCH_REFUSE;
    }
    if (verdict == MISS_NONE && only_fills) {
        counter_add(&cell->sets_as_fill, 1);
        return MC_EPOCH_CHANGE;
    }
    *token = token_next(tokens);
    if (verdict == MISS_DOUBT) {
        counter_add(&cell->fills_refused, 1);
        return MC_EPOCH_DOUBT;
    }
    counter_add(&cell->sets_as_mutation, 1);
    return MC_EPOCH_MUTATE;
}

bool mc_epoch_mark_set(struct mc_op *op, enum mc_epoch_write write, const struct token *token)
{
    bool kept = write == MC_EPOCH_FILL || write == MC_EPOCH_MUTATE;

    if (write != MC_EPOCH_MUTATE)
        op->flags |= MC_OP_FILL;
    if (kept)
        op->token = *token;
    else
        op->flags |= MC_OP_DROP;
    return kept;
}

void mc_epoch_put_back(const struct mc_client *client, struct slice key, const struct token *token)
{
    mc_miss_record(client, MC_MISS_READ, key, token);
}

static void told(struct mc_errand *errand, const struct mc_answer *answer)
{
    struct part *part = part_of(errand);
    struct mc_op *op = part->op;
    bool done = answer->kind == MC_ANSWER_DONE || answer->kind == MC_ANSWER_ABSENT;
    char reason[200];

    if (!done) {
        mc_journal_undelivered(part->connection->server, part->connection->dialect, errand->wire);
        (void)snprintf(reason, sizeof(reason), "%.*s", (int)answer->text.len, answer->text.data);
        mc_op_untold(op, reason);
    }
    part_free(part);
    mc_op_part_over(op);
}

/* One more part of the operation; takes over `part`, which may be NULL. */
static bool tell(struct mc_connection *connection, struct part *part, bool ok)
{
    struct mc_op *op;

    if (part == NULL)
        return false;
    op = part->op;
    if (!ok) {
        part_free(part);
        return false;
    }
    op->pending++;
    if (mc_errand_send(connection, &part->errand, op->cell))
        return true;
    op->pending--;
    part_free(part);
    return false;
}

static bool tell_epoch(struct mc_connection *connection, struct mc_op *op, struct slice key,
                       const struct token *token, enum epoch_kind kind)
{
    struct key_place place;
    struct part *part;

    keyspace_epoch(keyspace_of(op), key, &place);
    part = part_create(connection, op, kind == EPOCH_DELETED ? MC_ERRAND_REPLACE : MC_ERRAND_SET,
                       &place, key, told);
    return tell(connection, part, part != NULL && write_epoch(part, token, kind));
}

/* Hosts without Crossfade that share the stable arm's unprefixed entries. */
static bool tell_bystanders(struct mc_connection *connection, struct mc_op *op, struct slice key)
{
    struct key_place place;
    struct part *part;

    if (!keyspace_bystander(keyspace_of(op), key, &place))
        return true;
    part = part_create(connection, op, MC_ERRAND_DELETE, &place, key, told);
    counter_add(&op->cell->companions, 1);
    return tell(connection, part, true);
}

void mc_epoch_tell_bystanders(struct mc_server *server, const struct mc_dialect *dialect,
                              unsigned affinity, struct mc_op *op, struct slice key)
{
    struct mc_connection *connection = mc_server_shared(server, dialect, affinity);

    if (connection != NULL && (op->client != NULL || op->plane->view != NULL) &&
        tell_bystanders(connection, op, key))
        return;
    mc_journal_epoch(server, dialect, op->client, key);
    mc_op_untold(op, "no connection to its memcached server");
}

void mc_epoch_invalidate(struct mc_connection *connection, struct mc_op *op, struct slice key,
                         const struct token *token, enum epoch_kind kind)
{
    if (op->client == NULL && op->plane->view == NULL) {
        mc_op_untold(op, "no connection to its memcached server");
        return;
    }
    counter_add(kind == EPOCH_DELETED ? &op->cell->told_deletes : &op->cell->told_mutations, 1);
    if (tell_epoch(connection, op, key, token, kind) && tell_bystanders(connection, op, key))
        return;
    mc_journal_epoch(connection->server, connection->dialect, op->client, key);
    mc_op_untold(op, "out of memory");
    mc_connection_fail(connection, "the other versions could not be told", false);
}
