#include "epoch_rig.h"

#include "crossfade/conf/load.h"
#include "crossfade/net/loop.h"
#include "crossfade/relay/mc_coherence.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

const struct slice epoch_rig_key = SLICE_INIT("k");

static struct epoch_rig *current;
static struct mc_dialect dialect;

/* -- The server -------------------------------------------------------------------------------- */

static struct rig_item *find(struct epoch_rig *rig, struct slice key)
{
    for (unsigned i = 0; i < RIG_ITEMS; i++)
        if (rig->items[i].present &&
            slice_equal(slice_of(rig->items[i].key, rig->items[i].key_len), key))
            return &rig->items[i];
    return NULL;
}

static struct rig_item *put(struct epoch_rig *rig, struct slice key)
{
    struct rig_item *item = find(rig, key);

    for (unsigned i = 0; item == NULL; i++) {
        cr_assert_lt(i, RIG_ITEMS);
        if (!rig->items[i].present)
            item = &rig->items[i];
    }
    item->present = true;
    item->key_len = key.len;
    memcpy(item->key, key.data, key.len);
    item->cas = ++rig->last_cas;
    return item;
}

void epoch_rig_drop(struct rig_item *item)
{
    item->present = false;
}

static enum mc_answer_kind fetch(const struct epoch_rig *rig, struct mc_errand *errand,
                                 const struct rig_item *item, struct mc_answer *answer)
{
    if (item == NULL)
        return MC_ANSWER_ABSENT;
    if (!buffer_append_copy(&errand->value, &current->worker.buffers, item->value, item->len)) {
        answer->text = SLICE("out of memory");
        return MC_ANSWER_REFUSED;
    }
    answer->flags = item->flags;
    answer->cas = item->cas;
    if (errand->wants_ttl && rig->knows_ttl)
        answer->ttl = item->exptime == 0 ? MC_TTL_NEVER : item->exptime;
    return MC_ANSWER_DONE;
}

static enum mc_answer_kind store(struct epoch_rig *rig, struct mc_op *op, struct rig_item *item)
{
    struct mc_errand *errand = op->errand;

    if (errand->kind == MC_ERRAND_ADD && item != NULL)
        return MC_ANSWER_PRESENT;
    if ((errand->kind == MC_ERRAND_REPLACE || errand->kind == MC_ERRAND_CAS) && item == NULL)
        return MC_ANSWER_ABSENT;
    if (errand->kind == MC_ERRAND_CAS && item->cas != errand->cas)
        return MC_ANSWER_PRESENT;
    item = put(rig, errand->wire);
    item->len = op->reply.len;
    cr_assert_lt(item->len, RIG_VALUE);
    (void)buffer_peek(&op->reply, item->value, item->len);
    item->flags = errand->flags;
    item->exptime = errand->exptime;
    return MC_ANSWER_DONE;
}

static enum mc_answer_kind execute(struct epoch_rig *rig, struct mc_op *op,
                                   struct mc_answer *answer)
{
    struct mc_errand *errand = op->errand;
    struct rig_item *item = find(rig, errand->wire);

    switch (errand->kind) {
    case MC_ERRAND_FETCH:
        return fetch(rig, errand, item, answer);
    case MC_ERRAND_TOUCH:
        if (item == NULL)
            return MC_ANSWER_ABSENT;
        item->exptime = errand->exptime;
        return MC_ANSWER_DONE;
    case MC_ERRAND_DELETE:
        if (item == NULL)
            return MC_ANSWER_ABSENT;
        item->present = false;
        return MC_ANSWER_DONE;
    default:
        return store(rig, op, item);
    }
}

/* -- Its dialect ------------------------------------------------------------------------------- */

/* What is to be stored waits with the operation. */
static bool compose_errand(struct mc_connection *connection, struct mc_op *op,
                           struct mc_errand *errand)
{
    op->verb = MC_ERRAND;
    op->wire = errand->wire.data;
    op->wire_len = (uint8_t)errand->wire.len;
    buffer_move(&op->reply, &errand->value, &current->worker.buffers);
    mc_connection_enqueue(connection, op);
    current->composed++;
    return true;
}

static void missed(struct mc_op *op)
{
    current->missed++;
    mc_op_part_done(op, SLICE("END\r\n"));
}

static void changed(struct mc_op *op, const struct mc_changed *result)
{
    cr_assert_lt(current->changed, RIG_RESULTS);
    current->results[current->changed] = *result;
    current->changed++;
    mc_op_part_done(op, SLICE("CHANGED\r\n"));
}

/* -- Steps ------------------------------------------------------------------------------------- */

static void write_log(struct epoch_rig *rig, const struct mc_errand *errand)
{
    static const char *const names[] = {
        [MC_ERRAND_FETCH] = "fetch",     [MC_ERRAND_SET] = "set", [MC_ERRAND_ADD] = "add",
        [MC_ERRAND_REPLACE] = "replace", [MC_ERRAND_CAS] = "cas", [MC_ERRAND_TOUCH] = "touch",
        [MC_ERRAND_DELETE] = "delete",
    };
    size_t len = strlen(rig->log);

    (void)snprintf(rig->log + len, sizeof(rig->log) - len, "%s%s %c", len > 0 ? ", " : "",
                   names[errand->kind],
                   slice_starts(errand->wire, SLICE("cf~:e:")) ? 'E'
                   : slice_starts(errand->wire, SLICE("cf~"))  ? 'V'
                                                               : 'K');
}

static struct mc_connection *busy(struct epoch_rig *rig)
{
    for (unsigned i = 0; i < rig->server->connection_count; i++)
        if (!STAILQ_EMPTY(&rig->server->connections[i].ops))
            return &rig->server->connections[i];
    return NULL;
}

static bool races(const struct epoch_rig *rig)
{
    return rig->race != NULL &&
           (rig->steps == rig->race_at || (rig->race_every > 0 && rig->steps > rig->race_at &&
                                           (rig->steps - rig->race_at) % rig->race_every == 0));
}

bool epoch_rig_step(struct epoch_rig *rig)
{
    struct mc_connection *connection = busy(rig);
    struct mc_answer answer = { .ttl = MC_TTL_UNKNOWN };
    struct mc_op *op;

    if (connection == NULL)
        return false;
    rig->steps++;
    op = STAILQ_FIRST(&connection->ops);
    write_log(rig, op->errand);
    if (races(rig))
        rig->race(rig);
    if (rig->steps == rig->fault_at && rig->fault >= RIG_LOST) {
        if (rig->fault == RIG_LOST_ANSWER)
            (void)execute(rig, op, &answer);
        buffer_clear(&op->errand->value, &rig->worker.buffers);
        mc_connection_fail(connection, "it closed the connection", false);
        return true;
    }
    op = mc_connection_take(connection);
    if (rig->steps == rig->fault_at && rig->fault != RIG_NONE) {
        answer.kind = MC_ANSWER_REFUSED;
        answer.text = SLICE("SERVER_ERROR out of memory storing object");
        answer.too_large = rig->fault == RIG_TOO_LARGE;
    } else {
        answer.kind = execute(rig, op, &answer);
    }
    mc_errand_answered(op, &answer);
    return true;
}

unsigned epoch_rig_run(struct epoch_rig *rig)
{
    unsigned before = rig->steps;

    do
        epoch_rig_turn(rig);
    while (epoch_rig_step(rig) || mc_changes_tick(rig->worker.mc) > 0);
    return rig->steps - before;
}

void epoch_rig_turn(struct epoch_rig *rig)
{
    for (int i = 0; i < 4; i++) {
        loop_wait(rig->worker.base, 0);
        loop_dispatch(rig->worker.base);
        worker_end_turn(&rig->worker);
    }
}

void epoch_rig_wait(struct epoch_rig *rig, uint64_t microseconds)
{
    uint64_t now = clock_now() + microseconds;

    clock_fake(now, now);
    epoch_rig_turn(rig);
}

/* -- Opening and closing ----------------------------------------------------------------------- */

static void ignore(struct worker *worker)
{
    (void)worker;
}

static void listen_at(struct epoch_rig *rig)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/server", rig->folder);
    rig->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    cr_assert_eq(bind(rig->listener, (struct sockaddr *)&address, sizeof(address)), 0);
    cr_assert_eq(listen(rig->listener, 64), 0);
}

static struct config *load(const struct epoch_rig *rig, const char *arms, const char *cache)
{
    struct config_faults faults;
    struct config *config;
    char path[128];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/c.yaml", rig->folder);
    file = fopen(path, "w");
    cr_assert_not_null(file);
    fprintf(file,
            "arms: [ %s ]\n"
            "cache:\n"
            "  servers: [ \"unix:%s/server\" ]\n"
            "  listen: [ { address: \"127.0.0.1:1\", arm: a } ]\n"
            "  connections_per_server: 1\n"
            "  coherence: epoch\n"
            "%s"
            "control: { http: off }\n",
            arms, rig->folder, cache);
    fclose(file);
    config = config_load_file(path, &faults);
    config_faults_print(&faults, path, stderr);
    config_faults_free(&faults);
    cr_assert_not_null(config);
    return config;
}

static void join(struct epoch_rig *rig)
{
    struct address peer = { .len = 0 };
    int ends[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    mc_plane_accept(rig->worker.mc, 0, ends[1], &peer);
    rig->fd = ends[0];
    rig->client = TAILQ_FIRST(&rig->worker.mc->client_list);
    cr_assert_not_null(rig->client);
    rig->client->dialect = &dialect;
    rig->client->begun = true;
}

void epoch_rig_open(struct epoch_rig *rig, const char *arms, const char *cache)
{
    const struct cohort_position position = { .stage = -1 };
    const uint64_t generations[CONFIG_ARMS_MAX] = { 0 };
    char error[256];

    log_set_level(LOG_ERROR);
    memset(rig, 0, sizeof(*rig));
    current = rig;
    dialect = mc_text;
    dialect.compose_errand = compose_errand;
    dialect.missed = missed;
    dialect.changed = changed;
    clock_fake(SECONDS(1000), SECONDS(1000));
    (void)snprintf(rig->folder, sizeof(rig->folder), "%s/crossfade-XXXXXX", P_tmpdir);
    cr_assert_not_null(mkdtemp(rig->folder));
    listen_at(rig);
    for (unsigned i = 0; i < RIG_ITEMS; i++)
        rig->items[i].value = malloc(RIG_VALUE);
    rig->telemetry = telemetry_create(1);
    cr_assert(worker_init(&rig->worker, 0, rig->telemetry));
    rig->journal = mc_journal_open(NULL, 1u << 20, SECONDS(3600));
    cr_assert_not_null(rig->journal);
    rig->worker.journal = rig->journal;
    rig->worker.ask_main = ignore;
    rig->worker.ask_login = ignore;
    rig->plan = plan_create(load(rig, arms, cache), generations, NULL, rig->telemetry, error,
                            sizeof(error));
    cr_assert_not_null(rig->plan, "%s", error);
    cr_assert(worker_adopt(&rig->worker, snapshot_create(rig->plan, position, 1)));
    rig->server = LIST_FIRST(&rig->worker.mc->servers);
    for (unsigned i = 0; i < rig->server->connection_count; i++)
        rig->server->connections[i].dialect = &dialect;
    join(rig);
}

void epoch_rig_leave(struct epoch_rig *rig)
{
    mc_client_close(rig->client, "the test says so");
    rig->client = NULL;
    epoch_rig_turn(rig);
}

void epoch_rig_close(struct epoch_rig *rig)
{
    char command[128];

    if (rig->worker.mc != NULL)
        mc_plane_destroy(rig->worker.mc);
    rig->worker.mc = NULL;
    worker_deinit(&rig->worker);
    plan_unref(rig->plan);
    mc_journal_close(rig->journal);
    telemetry_destroy(rig->telemetry);
    clock_fake(0, 0);
    close(rig->fd);
    close(rig->listener);
    for (unsigned i = 0; i < RIG_ITEMS; i++)
        free(rig->items[i].value);
    (void)snprintf(command, sizeof(command), "rm -r %s", rig->folder);
    cr_assert_eq(system(command), 0);
}

/* -- Looking at it, and preparing it ----------------------------------------------------------- */

struct mc_connection *epoch_rig_connection(struct epoch_rig *rig)
{
    struct mc_connection *connection =
        mc_server_connection(rig->server, &dialect, rig->client->affinity);

    cr_assert_not_null(connection);
    return connection;
}

void epoch_rig_place(const struct epoch_rig *rig, struct key_place *place)
{
    cr_assert_eq(keyspace_place(rig->plan->keyspace, 0, epoch_rig_key, place), KEY_OK);
}

struct mc_op *epoch_rig_op(struct epoch_rig *rig, enum mc_verb verb, uint32_t flags)
{
    struct mc_op *op = mc_client_op(rig->client, verb);
    struct key_place place;

    epoch_rig_place(rig, &place);
    op->wire_chunk = chunk_create(&rig->worker.buffers, KEY_MAX);
    keyspace_compose(&place, epoch_rig_key, op->wire_chunk->data);
    op->wire = op->wire_chunk->data;
    op->server = rig->server;
    op->wire_len = (uint8_t)place.wire_len;
    op->prefix_len = (uint8_t)place.prefix.len;
    op->flags = flags;
    mc_client_expect(rig->client, op);
    return op;
}

static struct slice wire_of(const struct key_place *place)
{
    static char wire[KEY_MAX];

    keyspace_compose(place, epoch_rig_key, wire);
    return slice_of(wire, place->wire_len);
}

static struct slice epoch_wire(const struct epoch_rig *rig)
{
    struct key_place place;

    keyspace_epoch(rig->plan->keyspace, epoch_rig_key, &place);
    return wire_of(&place);
}

static struct slice value_wire(const struct epoch_rig *rig)
{
    struct key_place place;

    epoch_rig_place(rig, &place);
    return wire_of(&place);
}

struct rig_item *epoch_rig_epoch(struct epoch_rig *rig)
{
    return find(rig, epoch_wire(rig));
}

struct rig_item *epoch_rig_value(struct epoch_rig *rig)
{
    return find(rig, value_wire(rig));
}

struct rig_item *epoch_rig_bystander(struct epoch_rig *rig)
{
    return find(rig, epoch_rig_key);
}

struct token epoch_rig_token(const struct rig_item *item)
{
    struct token token;
    uint32_t expiry;

    cr_assert_geq(item->len, STAMP_LENGTH);
    stamp_read(slice_of(item->value, item->len), &token, &expiry);
    return token;
}

struct slice epoch_rig_bytes(const struct rig_item *item)
{
    return slice_of(item->value + STAMP_LENGTH, item->len - STAMP_LENGTH);
}

bool epoch_rig_is_current(struct epoch_rig *rig)
{
    const struct rig_item *epoch = epoch_rig_epoch(rig);
    const struct rig_item *value = epoch_rig_value(rig);
    struct epoch in_force;
    struct token of_value;

    if (epoch == NULL || value == NULL)
        return false;
    cr_assert(epoch_read(slice_of(epoch->value, epoch->len), &in_force));
    of_value = epoch_rig_token(value);
    return token_equal(&in_force.token, &of_value) ||
           (in_force.keep != 0 && in_force.keep == value->cas);
}

struct token epoch_rig_put_epoch(struct epoch_rig *rig, enum epoch_kind kind)
{
    return epoch_rig_put_keep(rig, kind, 0);
}

struct token epoch_rig_put_keep(struct epoch_rig *rig, enum epoch_kind kind, uint64_t keep)
{
    struct epoch epoch = { .token = token_next(&rig->worker.tokens), .written = 1, .keep = keep };
    struct rig_item *item = put(rig, epoch_wire(rig));

    epoch_write(&epoch, item->value);
    item->len = EPOCH_LENGTH;
    item->flags = kind;
    item->exptime = 0;
    return epoch.token;
}

void epoch_rig_put_value(struct epoch_rig *rig, const struct token *token, const char *bytes,
                         int64_t exptime)
{
    struct rig_item *item = put(rig, value_wire(rig));

    stamp_write(token, stamp_expiry(exptime, mc_epoch_clock()), item->value);
    memcpy(item->value + STAMP_LENGTH, bytes, strlen(bytes));
    item->len = STAMP_LENGTH + strlen(bytes);
    item->flags = 7;
    item->exptime = exptime;
}

void epoch_rig_put_bystander(struct epoch_rig *rig)
{
    put(rig, epoch_rig_key)->len = 0;
}

unsigned epoch_rig_deliver(struct epoch_rig *rig)
{
    struct mc_owed *owed = rig->server->owed;
    struct journal_entry entry;
    unsigned count = 0;
    uint32_t slot;
    int fd;

    cr_assert(mc_journal_claim(owed));
    slot = mc_journal_take(rig->journal, owed);
    while (slot != MC_JOURNAL_NONE) {
        uint32_t next = mc_journal_next(rig->journal, slot);
        struct rig_item *item;
        mc_journal_read(rig->journal, slot, &entry);
        item = find(rig, slice_of(entry.wire, entry.wire_len));
        if (item != NULL)
            item->present = false;
        mc_journal_done(rig->journal, owed, slot);
        count++;
        slot = next;
    }
    mc_journal_unclaim(owed);
    while ((fd = accept(rig->listener, NULL, NULL)) >= 0)
        close(fd);
    epoch_rig_turn(rig);
    cr_assert_eq(owed->gate, 0);
    return count;
}

uint64_t epoch_rig_stat(const struct epoch_rig *rig, size_t offset)
{
    return cells_sum(rig->telemetry->mc_arms, 0, offset);
}

void epoch_rig_assert_idle(struct epoch_rig *rig)
{
    cr_assert_null(busy(rig));
    cr_assert_eq(rig->worker.mc->ops.used - rig->worker.mc->ops.in_hand, 0);
    cr_assert_eq(rig->worker.mc->changes.used - rig->worker.mc->changes.in_hand, 0);
    cr_assert_eq(rig->worker.mc->epoch_parts.used - rig->worker.mc->epoch_parts.in_hand, 0);
    if (rig->client != NULL) {
        cr_assert_eq(rig->client->op_count, 0);
        cr_assert_not(rig->client->changing);
    }
}
