#include "crossfade/relay/mc_change.h"

#include "crossfade/relay/mc_coherence.h"
#include "crossfade/relay/mc_journal.h"
#include "crossfade/relay/mc_pools.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* memcached takes an exptime up to this as from now. */
#define RELATIVE_MAX INT64_C(2592000)
/* Bytes of a value that are looked at for a number; and of the longest number. */
#define NUMBER_LOOK 64u
#define NUMBER_MAX 20u

struct change {
    LIST_ENTRY(change) link; /* in plane->parked */
    struct mc_op *op;
    struct mc_server *server;
    const struct mc_dialect *dialect;
    struct mc_change_request request; /* its key is `key`, its chunk is ours */
    enum config_writes writes;
    uint64_t max_value;
    unsigned affinity;
    bool mutates;              /* the other arms' copies are obsolete after it */
    enum miss_verdict verdict; /* add: whether it answers a miss, */
    struct token miss;         /* and the token of that */
    unsigned rounds;
    unsigned waits; /* for the change that has written the epoch's token, which is: */
    struct token waits_for;
    unsigned under_way; /* errands */
    struct mc_errand epoch;
    struct mc_errand value;
    char why[160]; /* an errand failed; empty: none */

    /* What is stored: */
    struct epoch now; /* its token is none if there is no epoch item */
    enum epoch_kind kind;
    bool no_epoch; /* what is in its place is none */
    uint64_t epoch_cas;
    bool is_there;   /* a value, current or not */
    bool is_current; /* by its stamp, or kept by a change that is under way */
    bool is_kept;
    struct token stamp;
    uint32_t flags;
    uint32_t expiry;
    uint64_t cas;
    int64_t ttl;

    bool was_stale;     /* there, and not current, when it was fetched before: */
    uint64_t stale_cas; /* the one with this number */

    /* What is to be stored: */
    bool creates; /* there is no current one */
    struct token token;
    enum mc_answer_kind written; /* of the value */
    bool too_large;
    bool overtaken;    /* the token was not in force any more */
    struct token mine; /* of a value that was stored then; none: none was */
    struct mc_changed result;
    char key[KEY_MAX];
    char epoch_wire[KEY_MAX];
    char value_wire[KEY_MAX];
};

static void fetch(struct change *change);

size_t mc_change_size(void)
{
    return sizeof(struct change);
}

static struct buffer_pool *pool_of(const struct change *change)
{
    return &change->op->plane->worker->buffers;
}

/* -- The end ----------------------------------------------------------------------------------- */

static void change_free(struct change *change)
{
    struct mc_plane *plane = change->op->plane;

    mc_errand_clear(&change->epoch, pool_of(change));
    mc_errand_clear(&change->value, pool_of(change));
    if (change->request.chunk != NULL)
        chunk_unref(change->request.chunk);
    slab_put(&plane->changes, change);
}

static struct mc_op *release(struct change *change)
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
static void put_back(const struct change *change)
{
    static const struct token none = { { 0, 0 } };

    if (change->verdict != MISS_NONE && change->op->client != NULL)
        mc_epoch_put_back(change->op->client, change->request.key,
                          change->verdict == MISS_FILL ? &change->miss : &none);
}

static void finish(struct change *change, enum mc_changed_kind kind)
{
    struct mc_changed result = change->result;
    const struct mc_dialect *dialect = change->dialect;

    result.kind = kind;
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

/* Whatever it was to do may be done, or not, or be done later. */
static void fail(struct change *change, const char *why)
{
    char text[sizeof(change->why)];

    (void)snprintf(text, sizeof(text), "%s", why);
    put_back(change);
    if (is_mutation(change->request.verb, change->writes))
        mc_journal_epoch(change->server, change->dialect, change->op->client, change->request.key);
    mc_op_part_failed(release(change), text);
}

static void refuse_fill(struct change *change)
{
    counter_add(&change->op->cell->fills_refused, 1);
    finish(change, MC_CHANGE_NOT_STORED);
}

/* -- Errands ----------------------------------------------------------------------------------- */

static bool send_errand(struct change *change, struct mc_errand *errand)
{
    struct mc_connection *connection =
        mc_server_shared(change->server, change->dialect, change->affinity);

    if (connection != NULL && mc_errand_send(connection, errand, change->op->cell)) {
        change->under_way++;
        return true;
    }
    mc_errand_clear(errand, pool_of(change));
    if (change->why[0] == '\0')
        (void)snprintf(change->why, sizeof(change->why), "no connection to its memcached server");
    return false;
}

/* Keeps why an errand failed. */
static void note_failure(struct change *change, const struct mc_answer *answer)
{
    if (answer->kind != MC_ANSWER_REFUSED && answer->kind != MC_ANSWER_LOST)
        return;
    if (answer->text.len > 0)
        (void)snprintf(change->why, sizeof(change->why), "%.*s", (int)answer->text.len,
                       answer->text.data);
    else
        (void)snprintf(change->why, sizeof(change->why), "its memcached server refused it");
}

static void next_round(struct change *change)
{
    counter_add(&change->op->cell->change_rounds, 1);
    if (++change->rounds < MC_CHANGE_ROUNDS) {
        fetch(change);
        return;
    }
    counter_add(&change->op->cell->changes_given_up, 1);
    fail(change, "too many changes of this key at once");
}

static struct change *change_of_value(struct mc_errand *errand)
{
    return (struct change *)(void *)((char *)errand - offsetof(struct change, value));
}

static struct change *change_of_epoch(struct mc_errand *errand)
{
    return (struct change *)(void *)((char *)errand - offsetof(struct change, epoch));
}

/* -- What is stored from now on ---------------------------------------------------------------- */

/* Seconds as memcached takes them. */
static int64_t exptime_of(const struct change *change)
{
    const struct mc_change_request *request = &change->request;
    bool has_own = request->verb == MC_SET || request->verb == MC_ADD ||
                   request->verb == MC_REPLACE || request->verb == MC_CAS;

    if (has_own || (request->touches && !change->creates))
        return request->exptime;
    if (change->creates)
        return request->initial_exptime;
    if (change->ttl == MC_TTL_UNKNOWN)
        return change->expiry;
    if (change->ttl == MC_TTL_NEVER)
        return 0;
    if (change->ttl > RELATIVE_MAX)
        return (int64_t)mc_epoch_clock() + change->ttl;
    return change->ttl > 0 ? change->ttl : 1; /* 0 would be for ever */
}

static int64_t ttl_of(int64_t exptime)
{
    if (exptime == 0)
        return MC_TTL_NEVER;
    return exptime > RELATIVE_MAX ? exptime - (int64_t)mc_epoch_clock() : exptime;
}

/* The number's digits; as memcached it keeps the length of what stood there. */
static bool put_number(struct change *change, struct buffer *to, size_t old_len)
{
    static const char spaces[] = "                                ";
    char text[NUMBER_MAX + 1];
    int len = snprintf(text, sizeof(text), "%" PRIu64, change->result.number);
    size_t left;
    bool ok;

    ensure(len > 0 && (size_t)len < sizeof(text));
    ok = buffer_append_copy(to, pool_of(change), text, (size_t)len);
    left = old_len > (size_t)len ? old_len - (size_t)len : 0;
    while (ok && left > 0) {
        size_t part = left < sizeof(spaces) - 1 ? left : sizeof(spaces) - 1;
        ok = buffer_append_copy(to, pool_of(change), spaces, part);
        left -= part;
    }
    return ok;
}

static bool put_value(struct change *change, struct buffer *to)
{
    const struct slice value = change->request.value;

    return value.len == 0 ||
           buffer_append(to, pool_of(change), change->request.chunk, value.data, value.len);
}

/* What stands there, without its stamp, goes on to `to`. */
static void put_old(struct change *change, struct buffer *to, struct buffer *old)
{
    if (change->creates)
        return;
    buffer_drain(old, pool_of(change), STAMP_LENGTH);
    buffer_move(to, old, pool_of(change));
}

/* Into change->value, in place of what was fetched. */
static bool compose(struct change *change, int64_t exptime)
{
    struct buffer old = change->value.value;
    struct buffer new;
    char stamp[STAMP_LENGTH];
    size_t old_len = old.len > STAMP_LENGTH ? old.len - STAMP_LENGTH : 0;
    bool ok;

    buffer_init(&new);
    stamp_write(&change->token, stamp_expiry(exptime, mc_epoch_clock()), stamp);
    ok = buffer_append_copy(&new, pool_of(change), stamp, sizeof(stamp));
    switch (change->request.verb) {
    case MC_INCR:
    case MC_DECR:
        ok = ok && put_number(change, &new, change->creates ? 0 : old_len);
        break;
    case MC_PREPEND:
        ok = ok && put_value(change, &new);
        put_old(change, &new, &old);
        break;
    case MC_APPEND:
        put_old(change, &new, &old);
        ok = ok && put_value(change, &new);
        break;
    default:
        ok = ok && put_value(change, &new);
    }
    buffer_clear(&old, pool_of(change));
    change->value.value = new;
    return ok;
}

/* The value's answer is here, and the epoch item's if that was asked for behind it. */
static void write_over(struct change *change)
{
    if (--change->under_way > 0)
        return;
    if (change->why[0] != '\0' && !change->too_large) {
        fail(change, change->why);
    } else if (change->too_large) {
        finish(change, MC_CHANGE_TOO_LARGE);
    } else if (change->written == MC_ANSWER_DONE && change->overtaken) {
        change->mine = change->token;
        next_round(change);
    } else if (change->written == MC_ANSWER_DONE ||
               (change->request.verb == MC_DELETE && change->written == MC_ANSWER_ABSENT)) {
        finish(change, MC_CHANGED);
    } else {
        next_round(change);
    }
}

static void value_written(struct mc_errand *errand, const struct mc_answer *answer)
{
    struct change *change = change_of_value(errand);

    note_failure(change, answer);
    change->written = answer->kind;
    change->too_large = answer->kind == MC_ANSWER_REFUSED && answer->too_large;
    change->result.cas = answer->cas;
    write_over(change);
}

static void epoch_checked(struct mc_errand *errand, const struct mc_answer *answer)
{
    struct change *change = change_of_epoch(errand);
    struct epoch epoch;

    note_failure(change, answer);
    change->overtaken = answer->kind != MC_ANSWER_DONE ||
                        !mc_epoch_fetched(&errand->value, &epoch) ||
                        !token_equal(&epoch.token, &change->token);
    mc_errand_clear(errand, pool_of(change));
    write_over(change);
}

/*
 * Behind a value that was made where there was no current one: is its token in force when it is
 * stored? If not, somebody may have made one and deleted it in between, and another may make one
 * over this: of two who add, both would have done it.
 */
static bool check_epoch(struct change *change)
{
    struct mc_errand *errand = &change->epoch;

    mc_errand_clear(errand, pool_of(change));
    errand->kind = MC_ERRAND_FETCH;
    errand->answered = epoch_checked;
    return send_errand(change, errand);
}

/* The token is in force. */
static void write_value(struct change *change)
{
    struct mc_errand *errand = &change->value;
    int64_t exptime = exptime_of(change);

    errand->answered = value_written;
    errand->wants_cas = change->request.wants_cas;
    if (change->request.verb == MC_DELETE) {
        mc_errand_clear(errand, pool_of(change));
        errand->kind = MC_ERRAND_DELETE;
    } else {
        errand->kind = change->request.verb == MC_SET ? MC_ERRAND_SET
                       : change->is_there             ? MC_ERRAND_CAS
                                                      : MC_ERRAND_ADD;
        errand->flags = change->flags;
        errand->cas = change->cas;
        errand->exptime = exptime;
        if (!compose(change, exptime)) {
            fail(change, "out of memory");
            return;
        }
        change->result.ttl = ttl_of(exptime);
        change->result.flags = change->flags;
    }
    change->overtaken = false;
    if (!send_errand(change, errand))
        fail(change, change->why);
    else if (change->creates && change->request.verb != MC_SET)
        (void)check_epoch(change); /* or the value's answer finds it failed */
}

static void epoch_written(struct mc_errand *errand, const struct mc_answer *answer)
{
    struct change *change = change_of_epoch(errand);

    change->under_way--;
    note_failure(change, answer);
    if (change->why[0] != '\0') {
        fail(change, change->why);
        return;
    }
    if (answer->kind != MC_ANSWER_DONE) {
        next_round(change);
        return;
    }
    if (change->mutates) {
        counter_add(&change->op->cell->told_changes, 1);
        mc_epoch_tell_bystanders(change->server, change->dialect, change->affinity, change->op,
                                 change->request.key);
    } else {
        counter_add(&change->op->cell->epochs_made, 1);
    }
    write_value(change);
}

/* A new token, and which value stays valid until it is written anew. */
static void write_epoch(struct change *change)
{
    struct mc_errand *errand = &change->epoch;
    struct epoch epoch = { .token = token_next(&change->op->plane->worker->tokens),
                           .written = mc_epoch_clock() };
    bool deletes = change->request.verb == MC_DELETE;
    char bytes[EPOCH_LENGTH];

    if (change->is_current && !deletes)
        epoch.keep = change->cas;
    epoch_write(&epoch, bytes);
    change->token = epoch.token;
    mc_errand_clear(errand, pool_of(change));
    errand->answered = epoch_written;
    errand->kind = !token_is_none(&change->now.token) ? MC_ERRAND_CAS
                   : change->no_epoch                 ? MC_ERRAND_SET
                                                      : MC_ERRAND_ADD;
    errand->cas = change->epoch_cas;
    errand->exptime = 0;
    errand->flags = !change->mutates ? EPOCH_MADE : deletes ? EPOCH_DELETED : EPOCH_CHANGED;
    if (!buffer_append_copy(&errand->value, pool_of(change), bytes, sizeof(bytes)) ||
        !send_errand(change, errand))
        fail(change, change->why[0] != '\0' ? change->why : "out of memory");
}

/* A value that is there is changed. */
static void write_change(struct change *change)
{
    if (change->mutates) {
        write_epoch(change);
        return;
    }
    change->token = change->now.token;
    write_value(change);
}

/* There is no current value: one is made, for the own arm only unless the rule says otherwise. */
static void write_new(struct change *change)
{
    change->creates = true;
    if (change->request.verb == MC_ADD || change->request.verb == MC_SET ||
        change->request.has_initial)
        change->flags = change->request.flags;
    if (change->writes != WRITES_MUTATE)
        change->mutates = false;
    if (change->mutates || token_is_none(&change->now.token)) {
        write_epoch(change);
        return;
    }
    change->token = change->now.token;
    write_value(change);
}

/* -- What comes of what is stored -------------------------------------------------------------- */

/* As memcached reads a number: by strtoull, with anything behind a space, in an item that ends in
 * \r\n. */
static bool read_number(const struct change *change, uint64_t *number)
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

static void count_up_or_down(struct change *change)
{
    uint64_t delta = change->request.delta;
    uint64_t number;

    if (!read_number(change, &number)) {
        finish(change, MC_CHANGE_NO_NUMBER);
        return;
    }
    if (change->request.verb == MC_INCR)
        number += delta;
    else
        number = number > delta ? number - delta : 0;
    change->result.number = number;
    write_change(change);
}

static void touched(struct mc_errand *errand, const struct mc_answer *answer)
{
    struct change *change = change_of_value(errand);

    change->under_way--;
    note_failure(change, answer);
    change->result.cas = answer->cas;
    if (change->why[0] != '\0')
        fail(change, change->why);
    else
        finish(change, answer->kind == MC_ANSWER_DONE ? MC_CHANGED : MC_CHANGE_NOT_FOUND);
}

/* The value stays as it is, and what its stamp says of its expiry stays behind. */
static void touch(struct change *change)
{
    struct mc_errand *errand = &change->value;

    mc_errand_clear(errand, pool_of(change));
    errand->kind = MC_ERRAND_TOUCH;
    errand->exptime = change->request.exptime;
    errand->answered = touched;
    change->result.flags = change->flags;
    change->result.ttl = ttl_of(change->request.exptime);
    if (!send_errand(change, errand))
        fail(change, change->why);
}

static void add(struct change *change)
{
    bool fills = change->verdict == MISS_FILL;

    if (change->is_current)
        finish(change, MC_CHANGE_NOT_STORED);
    else if (change->verdict == MISS_MIXED || change->verdict == MISS_DOUBT ||
             (fills && !token_equal(&change->miss, &change->now.token)))
        refuse_fill(change);
    else
        write_new(change);
}

/*
 * No current value, and the command needs one. One that is there may have been changed between the
 * two fetches, and its epoch with it: that it is stale is sure when it is found so again.
 */
static void absent(struct change *change)
{
    const struct mc_change_request *request = &change->request;
    bool sure = !change->is_there || (change->was_stale && change->stale_cas == change->cas);

    change->was_stale = change->is_there;
    change->stale_cas = change->cas;
    if (request->has_initial) {
        change->result.number = request->initial;
        write_new(change);
    } else if (!sure) {
        next_round(change);
    } else if (request->verb == MC_REPLACE || request->verb == MC_APPEND ||
               request->verb == MC_PREPEND) {
        finish(change, MC_CHANGE_NOT_STORED);
    } else if (request->verb == MC_CAS && change->is_there && !token_is_none(&change->now.token) &&
               change->kind != EPOCH_DELETED) {
        finish(change, MC_CHANGE_EXISTS); /* another arm has changed it since it was read */
    } else {
        finish(change, MC_CHANGE_NOT_FOUND);
    }
}

/*
 * Another change has the old value kept. It is about to write the new one, or its process is dead:
 * who takes over from one that lives takes its value away. So the next looks are a tick apart.
 * False: it has been waited for long enough.
 */
static bool waits(struct change *change)
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
    mc_errand_clear(&change->value, pool_of(change));
    change->server->refs++;
    LIST_INSERT_HEAD(&plane->parked, change, link);
    return true;
}

static struct change *unpark(struct mc_plane *plane)
{
    struct change *change = LIST_FIRST(&plane->parked);

    if (change == NULL)
        return NULL;
    LIST_REMOVE(change, link);
    change->server->refs--;
    return change;
}

unsigned mc_changes_tick(struct mc_plane *plane)
{
    struct change *change;
    unsigned count = 0;

    for (; (change = unpark(plane)) != NULL; count++)
        fetch(change);
    return count;
}

void mc_changes_end(struct mc_plane *plane)
{
    struct change *change;

    while ((change = unpark(plane)) != NULL)
        fail(change, "the daemon ends");
}

static void judge(struct change *change)
{
    const struct mc_change_request *request = &change->request;
    uint64_t len = request->value.len;

    if (request->verb == MC_SET) {
        write_new(change);
        return;
    }
    if (change->is_current && !token_is_none(&change->mine) &&
        token_equal(&change->stamp, &change->mine)) {
        finish(change, MC_CHANGED); /* a change by another keeps what was stored here */
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
        finish(change, MC_CHANGE_EXISTS);
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
            finish(change, MC_CHANGE_TOO_LARGE);
        else
            write_change(change);
        break;
    default:
        change->flags = request->flags;
        write_change(change);
    }
}

/* -- What is stored ---------------------------------------------------------------------------- */

static void understand_value(struct change *change)
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

static void one_fetched(struct change *change)
{
    if (--change->under_way > 0)
        return;
    if (change->why[0] != '\0') {
        fail(change, change->why);
        return;
    }
    understand_value(change);
    judge(change);
}

static void epoch_fetched(struct mc_errand *errand, const struct mc_answer *answer)
{
    struct change *change = change_of_epoch(errand);

    note_failure(change, answer);
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
    mc_errand_clear(errand, pool_of(change));
    one_fetched(change);
}

static void value_fetched(struct mc_errand *errand, const struct mc_answer *answer)
{
    struct change *change = change_of_value(errand);

    note_failure(change, answer);
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
static void fetch(struct change *change)
{
    const struct mc_change_request *request = &change->request;

    mc_errand_clear(&change->epoch, pool_of(change));
    mc_errand_clear(&change->value, pool_of(change));
    change->mutates = is_mutation(request->verb, change->writes);
    change->epoch.kind = change->value.kind = MC_ERRAND_FETCH;
    change->epoch.answered = epoch_fetched;
    change->value.answered = value_fetched;
    change->value.wants_ttl = request->verb == MC_INCR || request->verb == MC_DECR ||
                              request->verb == MC_APPEND || request->verb == MC_PREPEND ||
                              request->wants_ttl;
    if (!send_errand(change, &change->value))
        fail(change, change->why);
    else
        (void)send_errand(change, &change->epoch); /* or the other's answer finds it failed */
}

bool mc_change_start(struct mc_op *op, const struct key_place *place,
                     const struct mc_change_request *request, struct mc_server *server)
{
    struct mc_plane *plane = op->plane;
    const struct mc_view *view = op->client->view;
    const struct mc_dialect *dialect = op->client->dialect;
    unsigned affinity = op->client->affinity;
    struct key_place epoch_place;
    struct change *change;

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
    memset(change, 0, offsetof(struct change, key));
    change->op = op;
    change->server = server;
    change->dialect = dialect;
    change->affinity = affinity;
    change->request = *request;
    if (request->chunk != NULL)
        change->request.chunk = chunk_ref(request->chunk);
    change->writes = place->writes;
    change->max_value = mc_view_config(view)->max_value;
    change->result.verb = request->verb;
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
