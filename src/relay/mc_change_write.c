/* What a change stores: the epoch's new token first, then the value under it. */
#include "crossfade/relay/mc_change_parts.h"

#include <inttypes.h>
#include <stdio.h>

/* memcached takes an exptime up to this as from now. */
#define RELATIVE_MAX INT64_C(2592000)
/* Digits of the longest number. */
#define NUMBER_MAX 20u

/* Seconds as memcached takes them. */
static int64_t exptime_of(const struct mc_change *change)
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

int64_t mc_change_ttl(int64_t exptime)
{
    if (exptime == 0)
        return MC_TTL_NEVER;
    return exptime > RELATIVE_MAX ? exptime - (int64_t)mc_epoch_clock() : exptime;
}

/* The number's digits; as memcached it keeps the length of what stood there. */
static bool put_number(struct mc_change *change, struct buffer *to, size_t old_len)
{
    static const char spaces[] = "                                ";
    char text[NUMBER_MAX + 1];
    int len = snprintf(text, sizeof(text), "%" PRIu64, change->result.number);
    size_t left;
    bool ok;

    ensure(len > 0 && (size_t)len < sizeof(text));
    ok = buffer_append_copy(to, mc_change_pool(change), text, (size_t)len);
    left = old_len > (size_t)len ? old_len - (size_t)len : 0;
    while (ok && left > 0) {
        size_t part = left < sizeof(spaces) - 1 ? left : sizeof(spaces) - 1;
        ok = buffer_append_copy(to, mc_change_pool(change), spaces, part);
        left -= part;
    }
    return ok;
}

static bool put_value(struct mc_change *change, struct buffer *to)
{
    const struct slice value = change->request.value;

    return value.len == 0 ||
           buffer_append(to, mc_change_pool(change), change->request.chunk, value.data, value.len);
}

/* What stands there, without its stamp, goes on to `to`. */
static void put_old(struct mc_change *change, struct buffer *to, struct buffer *old)
{
    if (change->creates)
        return;
    buffer_drain(old, mc_change_pool(change), STAMP_LENGTH);
    buffer_move(to, old, mc_change_pool(change));
}

/* Into change->value, in place of what was fetched. */
static bool compose(struct mc_change *change, int64_t exptime)
{
    struct buffer old = change->value.value;
    struct buffer new;
    char stamp[STAMP_LENGTH];
    size_t old_len = old.len > STAMP_LENGTH ? old.len - STAMP_LENGTH : 0;
    bool ok;

    buffer_init(&new);
    stamp_write(&change->token, stamp_expiry(exptime, mc_epoch_clock()), stamp);
    ok = buffer_append_copy(&new, mc_change_pool(change), stamp, sizeof(stamp));
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
    buffer_clear(&old, mc_change_pool(change));
    change->value.value = new;
    return ok;
}

/* The value's answer is here, and the epoch item's if that was asked for behind it. */
static void write_over(struct mc_change *change)
{
    if (--change->under_way > 0)
        return;
    if (change->why[0] != '\0' && !change->too_large) {
        mc_change_fail(change, change->why);
    } else if (change->too_large) {
        mc_change_finish(change, MC_CHANGE_TOO_LARGE);
    } else if (change->written == MC_ANSWER_DONE && change->overtaken) {
        change->mine = change->token;
        mc_change_next_round(change);
    } else if (change->written == MC_ANSWER_DONE ||
               (change->request.verb == MC_DELETE && change->written == MC_ANSWER_ABSENT)) {
        mc_change_finish(change, MC_CHANGED);
    } else {
        mc_change_next_round(change);
    }
}

static void value_written(struct mc_errand *errand, const struct mc_answer *answer)
{
    struct mc_change *change = mc_change_of_value(errand);

    mc_change_note_failure(change, answer);
    change->written = answer->kind;
    change->too_large = answer->kind == MC_ANSWER_REFUSED && answer->too_large;
    change->result.cas = answer->cas;
    write_over(change);
}

static void epoch_checked(struct mc_errand *errand, const struct mc_answer *answer)
{
    struct mc_change *change = mc_change_of_epoch(errand);
    struct epoch epoch;

    mc_change_note_failure(change, answer);
    change->overtaken = answer->kind != MC_ANSWER_DONE ||
                        !mc_epoch_fetched(&errand->value, &epoch) ||
                        !token_equal(&epoch.token, &change->token);
    mc_errand_clear(errand, mc_change_pool(change));
    write_over(change);
}

/*
 * Behind a value that was made where there was no current one: is its token in force when it is
 * stored? If not, somebody may have made one and deleted it in between, and another may make one
 * over this: of two who add, both would have done it.
 */
static bool check_epoch(struct mc_change *change)
{
    struct mc_errand *errand = &change->epoch;

    mc_errand_clear(errand, mc_change_pool(change));
    errand->kind = MC_ERRAND_FETCH;
    errand->answered = epoch_checked;
    return mc_change_send(change, errand);
}

/* The token is in force. */
static void write_value(struct mc_change *change)
{
    struct mc_errand *errand = &change->value;
    int64_t exptime = exptime_of(change);

    errand->answered = value_written;
    errand->wants_cas = change->request.wants_cas;
    if (change->request.verb == MC_DELETE) {
        mc_errand_clear(errand, mc_change_pool(change));
        errand->kind = MC_ERRAND_DELETE;
    } else {
        errand->kind = change->request.verb == MC_SET ? MC_ERRAND_SET
                       : change->is_there             ? MC_ERRAND_CAS
                                                      : MC_ERRAND_ADD;
        errand->flags = change->flags;
        errand->cas = change->cas;
        errand->exptime = exptime;
        if (!compose(change, exptime)) {
            mc_change_fail(change, "out of memory");
            return;
        }
        change->result.ttl = mc_change_ttl(exptime);
        change->result.flags = change->flags;
    }
    change->overtaken = false;
    if (!mc_change_send(change, errand))
        mc_change_fail(change, change->why);
    else if (change->creates && change->request.verb != MC_SET)
        (void)check_epoch(change); /* or the value's answer finds it failed */
}

static void epoch_written(struct mc_errand *errand, const struct mc_answer *answer)
{
    struct mc_change *change = mc_change_of_epoch(errand);

    change->under_way--;
    mc_change_note_failure(change, answer);
    if (change->why[0] != '\0') {
        mc_change_fail(change, change->why);
        return;
    }
    if (answer->kind != MC_ANSWER_DONE) {
        mc_change_next_round(change);
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
static void write_epoch(struct mc_change *change)
{
    struct mc_errand *errand = &change->epoch;
    struct epoch epoch = { .token = token_next(&change->op->plane->worker->tokens),
                           .written = mc_epoch_clock() };
    bool deletes = change->request.verb == MC_DELETE;
    char bytes[EPOCH_LENGTH];

    if (change->is_current && !deletes)
        epoch.keep = change->cas;
    change->has_written = true;
    epoch_write(&epoch, bytes);
    change->token = epoch.token;
    mc_errand_clear(errand, mc_change_pool(change));
    errand->answered = epoch_written;
    errand->kind = !token_is_none(&change->now.token) ? MC_ERRAND_CAS
                   : change->no_epoch                 ? MC_ERRAND_SET
                                                      : MC_ERRAND_ADD;
    errand->cas = change->epoch_cas;
    errand->exptime = 0;
    errand->flags = !change->mutates ? EPOCH_MADE : deletes ? EPOCH_DELETED : EPOCH_CHANGED;
    if (!buffer_append_copy(&errand->value, mc_change_pool(change), bytes, sizeof(bytes)) ||
        !mc_change_send(change, errand))
        mc_change_fail(change, change->why[0] != '\0' ? change->why : "out of memory");
}

/* A value that is there is changed. */
void mc_change_write(struct mc_change *change)
{
    if (change->mutates) {
        write_epoch(change);
        return;
    }
    change->token = change->now.token;
    write_value(change);
}

/* There is no current value: one is made, for the own arm only unless the rule says otherwise. */
void mc_change_make(struct mc_change *change)
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
