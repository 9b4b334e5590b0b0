#include "crossfade/relay/mc_change.h"

#include "crossfade/relay/mc_change_parts.h"
#include "crossfade/relay/mc_coherence.h"
#include "crossfade/relay/mc_journal.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Bytes of a value that are looked at for a number. */
#define NUMBER_LOOK 64u

static void fetch(struct mc_change *change);

size_t mc_change_size(void)
{
    return sizeof(struct mc_change);
}

/* -- The end ----------------------------------------------------------------------------------- */

static void change_free(struct mc_change *change)
{
    struct mc_plane *plane = change->op->plane;

    mc_errand_clear(&change->epoch, mc_change_pool(change));
    mc_errand_clear(&change->value, mc_change_pool(change));
    if (change->request.chunk != NULL)
        chunk_unref(change->request.chunk);
    slab_put(&plane->changes, change);
}

static struct mc_op *release(struct mc_change *change)
{
    struct mc_op *op = change->op;

    if (op->client != NULL) {
        op->client->changing = false;
        mc_client_wake(op->client);
    }
    change_free(change);
    return op;
}

/* An add that is tried again must not be taken for one that answers no miss. */
static void put_back(const struct mc_change *change)
{
    static const struct token none = { { 0, 0 } };

    if (change->verdict != MISS_NONE && change->op->client != NULL)
        mc_epoch_put_back(change->op->client, change->request.key,
                          change->verdict == MISS_FILL ? &change->miss : &none);
}

static void count(const struct mc_change *change, enum mc_changed_kind kind)
{
    struct mc_arm_cell *cell = change->op->cell;
    bool done = kind == MC_CHANGED;
    bool missed = kind == MC_CHANGE_NOT_FOUND;

    if (kind == MC_CHANGE_TOO_LARGE)
        return;
    switch (change->request.verb) {
    case MC_DELETE:
        counter_add(done ? &cell->delete_hits : &cell->delete_misses, 1);
        break;
    case MC_INCR:
        counter_add(missed ? &cell->incr_misses : &cell->incr_hits, 1);
        break;
    case MC_DECR:
        counter_add(missed ? &cell->decr_misses : &cell->decr_hits, 1);
        break;
    case MC_TOUCH:
        counter_add(done ? &cell->touch_hits : &cell->touch_misses, 1);
        break;
    case MC_CAS:
        counter_add(done ? &cell->cas_hits : missed ? &cell->cas_misses : &cell->cas_badval, 1);
        break;
    default:
        break;
    }
}

void mc_change_finish(struct mc_change *change, enum mc_changed_kind kind)
{
    struct mc_changed result = change->result;
    const struct mc_dialect *dialect = change->dialect;

    result.kind = kind;
    count(change, kind);
    if (kind == MC_CHANGE_TOO_LARGE)
        put_back(change);
    dialect->changed(release(change), &result);
}

/* Are the other arms' copies obsolete, if it changes a value? */
static bool is_mutation(enum mc_verb verb, enum config_writes writes)
{
    if (verb == MC_DELETE)
        return true;
    if (verb == MC_SET || verb == MC_TOUCH)
        return false;
    return verb == MC_ADD ? writes == WRITES_MUTATE : writes != WRITES_FILL;
}

/* It adds to what is stored: if it is not done, nothing else is obsolete. */
static bool is_relative(enum mc_verb verb)
{
    return verb == MC_INCR || verb == MC_DECR || verb == MC_APPEND || verb == MC_PREPEND;
}

/* Does what it answers, or leaves, come from what is stored? */
static bool is_read(enum mc_verb verb)
{
    return is_relative(verb) || verb == MC_TOUCH || verb == MC_CAS;
}

static void end(struct mc_change *change, const char *why)
{
    char text[sizeof(change->why)];

    (void)snprintf(text, sizeof(text), "%s", why);
    put_back(change);
    mc_op_part_failed(release(change), text);
}

/* Whatever it was to do may be done, or not, or be done later. */
void mc_change_fail(struct mc_change *change, const char *why)
{
    enum mc_verb verb = change->request.verb;

    if (is_mutation(verb, change->writes) && (change->has_written || !is_relative(verb)))
        mc_journal_epoch(change->server, change->dialect, change->op->client, change->request.key);
    end(change, why);
}

static void refuse_fill(struct mc_change *change)
{
    counter_add(&change->op->cell->fills_refused, 1);
    mc_change_finish(change, MC_CHANGE_NOT_STORED);
}

/* -- Errands ----------------------------------------------------------------------------------- */

bool mc_change_send(struct mc_change *change, struct mc_errand *errand)
{
    struct mc_connection *connection =
        mc_server_shared(change->server, change->dialect, change->affinity);

    if (connection != NULL && mc_errand_send(connection, errand, change->op->cell)) {
        change->under_way++;
        return true;
    }
    mc_errand_clear(errand, mc_change_pool(change));
    if (change->why[0] == '\0')
        (void)snprintf(change->why, sizeof(change->why), "no connection to its memcached server");
    return false;
}

/* Keeps why an errand failed. */
void mc_change_note_failure(struct mc_change *change, const struct mc_answer *answer)
{
    if (answer->kind != MC_ANSWER_REFUSED && answer->kind != MC_ANSWER_LOST)
        return;
    if (answer->text.len > 0)
        (void)snprintf(change->why, sizeof(change->why), "%.*s", (int)answer->text.len,
                       answer->text.data);
    else
        (void)snprintf(change->why, sizeof(change->why), "its memcached server refused it");
}

void mc_change_next_round(struct mc_change *change)
{
    counter_add(&change->op->cell->change_rounds, 1);
    if (++change->rounds < MC_CHANGE_ROUNDS) {
        fetch(change);
        return;
    }
    counter_add(&change->op->cell->changes_given_up, 1);
    /* Each that was faster has told the others: nothing is owed. */
    end(change, "too many changes of this key at once");
}

/* -- What comes of what is stored -------------------------------------------------------------- */

/* As memcached reads a number: by strtoull, with anything behind a space, in an item that ends in
 * \r\n. */
static bool read_number(const struct mc_change *change, uint64_t *number)
{
    char bytes[STAMP_LENGTH + NUMBER_LOOK + 3];
    size_t len = buffer_peek(&change->value.value, bytes, STAMP_LENGTH + NUMBER_LOOK);
    char *text = bytes + STAMP_LENGTH;
    char *end;

    ensure(len >= STAMP_LENGTH);
    if (len == STAMP_LENGTH)
        return false;
    memcpy(bytes + len, "\r\n", 3);
    errno = 0;
    *number = strtoull(text, &end, 10);
    return errno == 0 && (isspace((unsigned char)*end) || (*end == '\0' && end != text)) &&
           (*number <= INT64_MAX || memchr(text, '-', (size_t)(end - text)) == NULL);
}

static void count_up_or_down(struct mc_change *change)
{
    uint64_t delta = change->request.delta;
    uint64_t number;

    if (!read_number(change, &number)) {
        mc_change_finish(change, MC_CHANGE_NO_NUMBER);
        return;
    }
    if (change->request.verb == MC_INCR)
        number += delta;
    else
        number = number > delta ? number - delta : 0;
    change->result.number = number;
    mc_change_write(change);
}

static void touched(struct mc_errand *errand, const struct mc_answer *answer)
{
    struct mc_change *change = mc_change_of_value(errand);

    change->under_way--;
    mc_change_note_failure(change, answer);
    change->result.cas = answer->cas;
    if (change->why[0] != '\0')
        mc_change_fail(change, change->why);
    else
        mc_change_finish(change, answer->kind == MC_ANSWER_DONE ? MC_CHANGED : MC_CHANGE_NOT_FOUND);
}

/* The value stays as it is, and what its stamp says of its expiry stays behind. */
static void touch(struct mc_change *change)
{
    struct mc_errand *errand = &change->value;

    mc_errand_clear(errand, mc_change_pool(change));
    errand->kind = MC_ERRAND_TOUCH;
    errand->exptime = change->request.exptime;
    errand->answered = touched;
    change->result.flags = change->flags;
    change->result.ttl = mc_change_ttl(change->request.exptime);
    if (!mc_change_send(change, errand))
        mc_change_fail(change, change->why);
}

static void add(struct mc_change *change)
{
    bool fills = change->verdict == MISS_FILL;

    if (change->is_current)
        mc_change_finish(change, MC_CHANGE_NOT_STORED);
    else if (change->verdict == MISS_MIXED || change->verdict == MISS_DOUBT ||
             (fills && !token_equal(&change->miss, &change->now.token)))
        refuse_fill(change);
    else
        mc_change_make(change);
}

/*
 * No current value, and the command needs one. One that is there may have been changed between the
 * two fetches, and its epoch with it: that it is stale is sure when it is found so again.
 */
static void absent(struct mc_change *change)
{
    const struct mc_change_request *request = &change->request;
    bool sure = !change->is_there || (change->was_stale && change->stale_cas == change->cas);

    change->was_stale = change->is_there;
    change->stale_cas = change->cas;
    if (request->has_initial) {
        change->result.number = request->initial;
        mc_change_make(change);
    } else if (!sure) {
        mc_change_next_round(change);
    } else if (request->verb == MC_REPLACE || request->verb == MC_APPEND ||
               request->verb == MC_PREPEND) {
        mc_change_finish(change, MC_CHANGE_NOT_STORED);
    } else if (request->verb == MC_CAS && change->is_there && !token_is_none(&change->now.token) &&
               change->kind != EPOCH_DELETED) {
        mc_change_finish(change,
                         MC_CHANGE_EXISTS); /* another arm has changed it since it was read */
    } else {
        mc_change_finish(change, MC_CHANGE_NOT_FOUND);
    }
}

/*
 * Another change has the old value kept. It is about to write the new one, or its process is dead:
 * who takes over from one that lives takes its value away. So the next looks are a tick apart.
 * False: it has been waited for long enough.
 */
static bool waits(struct mc_change *change)
{
    struct mc_plane *plane = change->op->plane;

    if (!token_equal(&change->waits_for, &change->now.token)) {
        change->waits_for = change->now.token;
        change->waits = 0;
    }
    if (change->waits >= MC_CHANGE_PATIENCE)
        return false;
    if (change->waits++ < MC_CHANGE_SPINS) {
        fetch(change);
        return true;
    }
    mc_errand_clear(&change->value, mc_change_pool(change));
    change->server->refs++;
    LIST_INSERT_HEAD(&plane->parked, change, link);
    return true;
}

static struct mc_change *unpark(struct mc_plane *plane)
{
    struct mc_change *change = LIST_FIRST(&plane->parked);

    if (change == NULL)
        return NULL;
    LIST_REMOVE(change, link);
    change->server->refs--;
    return change;
}

unsigned mc_changes_tick(struct mc_plane *plane)
{
    struct mc_change *change;
    unsigned count = 0;

    for (; (change = unpark(plane)) != NULL; count++)
        fetch(change);
    return count;
}

void mc_changes_end(struct mc_plane *plane)
{
    struct mc_change *change;

    while ((change = unpark(plane)) != NULL)
        mc_change_fail(change, "the daemon ends");
}

static void judge(struct mc_change *change)
{
    const struct mc_change_request *request = &change->request;
    uint64_t len = request->value.len;

    if (request->verb == MC_SET) {
        mc_change_make(change);
        return;
    }
    if (change->is_current && !token_is_none(&change->mine) &&
        token_equal(&change->stamp, &change->mine)) {
        mc_change_finish(change, MC_CHANGED); /* a change by another keeps what was stored here */
        return;
    }
    if (request->verb == MC_ADD) {
        add(change);
        return;
    }
    if (!change->is_current) {
        absent(change);
        return;
    }
    if (request->verb == MC_TOUCH) {
        touch(change);
        return;
    }
    if (change->is_kept && change->mutates && waits(change))
        return;
    if ((request->cas != 0 || request->verb == MC_CAS) && request->cas != change->cas) {
        mc_change_finish(change, MC_CHANGE_EXISTS);
        return;
    }
    switch (request->verb) {
    case MC_INCR:
    case MC_DECR:
        count_up_or_down(change);
        break;
    case MC_APPEND:
    case MC_PREPEND:
        len += change->value.value.len - STAMP_LENGTH;
        if (len > change->max_value)
            mc_change_finish(change, MC_CHANGE_TOO_LARGE);
        else
            mc_change_write(change);
        break;
    default:
        change->flags = request->flags;
        mc_change_write(change);
    }
}

/* -- What is stored ---------------------------------------------------------------------------- */

static void understand_value(struct mc_change *change)
{
    char stamp[STAMP_LENGTH];

    change->is_current = change->is_kept = false;
    change->creates = false;
    if (!change->is_there ||
        buffer_peek(&change->value.value, stamp, sizeof(stamp)) < sizeof(stamp))
        return;
    stamp_read(slice_of(stamp, sizeof(stamp)), &change->stamp, &change->expiry);
    if (token_is_none(&change->now.token))
        return;
    change->is_current = token_equal(&change->stamp, &change->now.token);
    change->is_kept =
        !change->is_current && change->now.keep != 0 && change->now.keep == change->cas;
    change->is_current |= change->is_kept;
}

static void one_fetched(struct mc_change *change)
{
    if (--change->under_way > 0)
        return;
    if (change->why[0] != '\0') {
        mc_change_fail(change, change->why);
        return;
    }
    understand_value(change);
    judge(change);
}

static void epoch_fetched(struct mc_errand *errand, const struct mc_answer *answer)
{
    struct mc_change *change = mc_change_of_epoch(errand);

    mc_change_note_failure(change, answer);
    change->now = (struct epoch){ .token = { { 0, 0 } } };
    change->no_epoch = false;
    if (answer->kind == MC_ANSWER_DONE &&
        (!mc_epoch_fetched(&errand->value, &change->now) ||
         mc_journal_forgot(change->server, change->now.written))) {
        change->now = (struct epoch){ .token = { { 0, 0 } } };
        change->no_epoch = true;
    }
    change->kind = (enum epoch_kind)answer->flags;
    change->epoch_cas = answer->cas;
    mc_errand_clear(errand, mc_change_pool(change));
    one_fetched(change);
}

static void value_fetched(struct mc_errand *errand, const struct mc_answer *answer)
{
    struct mc_change *change = mc_change_of_value(errand);

    mc_change_note_failure(change, answer);
    change->is_there = answer->kind == MC_ANSWER_DONE;
    change->flags = answer->flags;
    change->cas = answer->cas;
    change->ttl = answer->ttl;
    one_fetched(change);
}

/*
 * The value first: its cas number then guards all that is concluded from the epoch, which is read
 * later. One that has the epoch's token was current when it was read, as no token is used twice.
 */
static void fetch(struct mc_change *change)
{
    const struct mc_change_request *request = &change->request;

    mc_errand_clear(&change->epoch, mc_change_pool(change));
    mc_errand_clear(&change->value, mc_change_pool(change));
    change->mutates = is_mutation(request->verb, change->writes);
    change->epoch.kind = change->value.kind = MC_ERRAND_FETCH;
    change->epoch.answered = epoch_fetched;
    change->value.answered = value_fetched;
    change->value.wants_ttl = request->verb == MC_INCR || request->verb == MC_DECR ||
                              request->verb == MC_APPEND || request->verb == MC_PREPEND ||
                              request->wants_ttl;
    if (!mc_change_send(change, &change->value))
        mc_change_fail(change, change->why);
    else
        (void)mc_change_send(change, &change->epoch); /* or the other's answer finds it failed */
}

bool mc_change_start(struct mc_op *op, const struct key_place *place,
                     const struct mc_change_request *request, struct mc_server *server)
{
    struct mc_plane *plane = op->plane;
    const struct mc_view *view = op->client->view;
    const struct mc_dialect *dialect = op->client->dialect;
    unsigned affinity = op->client->affinity;
    struct key_place epoch_place;
    struct mc_change *change;

    /* What is begun goes on also where nothing new may begin. */
    if ((is_read(request->verb) ? mc_journal_reader(server, dialect, affinity, place)
                                : mc_server_connection(server, dialect, affinity)) == NULL) {
        if (is_mutation(request->verb, place->writes) && !is_relative(request->verb))
            mc_journal_epoch(server, dialect, op->client, request->key);
        mc_op_fail_here(op, server);
        return true;
    }
    change = slab_get(&plane->changes);
    if (change == NULL)
        return false;
    ensure(request->key.len <= KEY_MAX);
    memset(change, 0, offsetof(struct mc_change, key));
    change->op = op;
    change->server = server;
    change->dialect = dialect;
    change->affinity = affinity;
    change->request = *request;
    if (request->chunk != NULL)
        change->request.chunk = chunk_ref(request->chunk);
    change->writes = place->writes;
    change->max_value = mc_view_config(view)->max_value;
    memcpy(change->key, request->key.data, request->key.len);
    change->request.key = slice_of(change->key, request->key.len);
    keyspace_epoch(mc_client_plan(op->client)->keyspace, request->key, &epoch_place);
    keyspace_compose(&epoch_place, request->key, change->epoch_wire);
    keyspace_compose(place, request->key, change->value_wire);
    change->epoch.wire = slice_of(change->epoch_wire, epoch_place.wire_len);
    change->value.wire = slice_of(change->value_wire, place->wire_len);
    change->epoch.key = change->value.key = change->request.key;
    change->verdict = MISS_NONE;
    if (request->verb == MC_ADD && place->writes != WRITES_MUTATE)
        change->verdict = mc_miss_take(op->client, MC_MISS_READ, request->key, &change->miss);
    op->client->changing = true;
    fetch(change);
    return true;
}
