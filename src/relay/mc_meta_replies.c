/*
 * Replies of a server to meta commands. Each answers one operation, and names it by the mark that
 * went out with it.
 */
#include "crossfade/proto/mc_meta_reply.h"
#include "crossfade/relay/mc_coherence.h"
#include "crossfade/relay/mc_journal.h"
#include "crossfade/relay/mc_meta.h"
#include "crossfade/relay/mc_pairing.h"
#include "crossfade/relay/mc_pools.h"

#define CODE(code) (1u << (code))
#define ERRORS (CODE(MC_META_CLIENT_ERROR) | CODE(MC_META_SERVER_ERROR))
/* The longest number that ma answers. */
#define NUMBER_MAX 20u

static const struct slice too_large = SLICE_INIT("SERVER_ERROR object too large for cache\r\n");

/*
 * What may answer each verb. An ms that the server does not know has left its value to be run as
 * commands; a value that does not end where it must is one that began somewhere else, if it is not
 * an upload's, which goes out as it comes.
 */
static const unsigned allowed[] = {
    [MC_META_GET] =
        CODE(MC_META_VA) | CODE(MC_META_HD) | CODE(MC_META_EN) | CODE(MC_META_ERROR) | ERRORS,
    [MC_META_SET] =
        CODE(MC_META_HD) | CODE(MC_META_NS) | CODE(MC_META_EX) | CODE(MC_META_NF) | ERRORS,
    [MC_META_DELETE] =
        CODE(MC_META_HD) | CODE(MC_META_NF) | CODE(MC_META_EX) | CODE(MC_META_ERROR) | ERRORS,
    [MC_META_ARITHMETIC] = CODE(MC_META_VA) | CODE(MC_META_HD) | CODE(MC_META_NF) |
                           CODE(MC_META_NS) | CODE(MC_META_EX) | CODE(MC_META_ERROR) | ERRORS,
    [MC_META_DEBUG] = CODE(MC_META_ME) | CODE(MC_META_EN) | CODE(MC_META_ERROR) | ERRORS,
};

struct mc_meta_echo mc_meta_echo_of(const struct mc_op *op)
{
    const struct mc_meta_note *note = mc_meta_note_of(op);
    struct slice key = op->original != NULL ? slice_of(op->original->data, op->original->used)
                                            : slice_of(op->wire + op->prefix_len,
                                                       (size_t)op->wire_len - op->prefix_len);

    return (struct mc_meta_echo){ .key = key,
                                  .opaque = slice_of(op->wire + op->wire_len, note->opaque_len),
                                  .letters = slice_of(op->wire + op->wire_len + note->opaque_len,
                                                      note->letters_len),
                                  .base64 = note->base64,
                                  .quiet = note->quiet,
                                  .stamp = note->stamped ? STAMP_LENGTH : 0,
                                  .bare = note->bare,
                                  .hidden = note->hides_cas ? 'c' : '\0' };
}

static bool is_error(enum mc_meta_code code)
{
    return (CODE(code) & (ERRORS | CODE(MC_META_ERROR))) != 0;
}

static bool is_quiet(const struct mc_op *op, const struct mc_meta_echo *echo,
                     enum mc_meta_code code)
{
    return !mc_meta_note_of(op)->overlong && mc_meta_reply_quiet(op->verb, echo, code);
}

/* What the client gets of the reply's line. */
static size_t write_head(const struct mc_op *op, const struct mc_meta_reply *reply,
                         const struct mc_meta_echo *echo, char *out)
{
    static const struct slice overlong = SLICE_INIT(MC_META_OVERLONG);
    int surplus = (int)op->wire_len - (int)echo->key.len + (int)echo->stamp;

    if (!mc_meta_note_of(op)->overlong || is_error(reply->code))
        return mc_meta_reply_write(reply, echo, surplus, out);
    memcpy(out, overlong.data, overlong.len);
    return overlong.len;
}

/* A win is answered by an ms as a miss is; that one may also be a cas (relay/mc_meta.c). */
static void remember_win(const struct mc_op *op)
{
    mc_remember_miss(op, MC_MISS_READ);
    mc_remember_miss(op, MC_MISS_WIN);
}

/* -- mg ---------------------------------------------------------------------------------------- */

void mc_meta_count_get(const struct mc_op *op, bool hit)
{
    counter_add(hit ? &op->cell->hits : &op->cell->misses, 1);
    if (mc_meta_note_of(op)->touches)
        counter_add(hit ? &op->cell->touch_hits : &op->cell->touch_misses, 1);
}

void mc_meta_pass(struct mc_connection *connection, struct mc_op *op,
                  const struct mc_meta_reply *reply, const struct mc_meta_echo *echo,
                  struct slice rest)
{
    struct buffer *sink = mc_op_sink(op);
    struct buffer_pool *pool = &op->plane->worker->buffers;
    char head[MC_META_HEAD_MAX];
    size_t before;
    size_t len;
    bool ok;

    if (sink == NULL)
        return;
    before = sink->len;
    len = write_head(op, reply, echo, head);
    ok = buffer_append_copy(sink, pool, head, len) &&
         (rest.len == 0 || buffer_append(sink, pool, connection->input.chunk, rest.data, rest.len));
    mc_pair_passed(connection, op, sink, sink->len - before, ok);
}

/* The same for all but epoch mode. */
static void pass(struct mc_connection *connection, struct mc_op *op,
                 const struct mc_meta_reply *reply, struct slice rest)
{
    struct mc_meta_echo echo = mc_meta_echo_of(op);

    mc_meta_pass(connection, op, reply, &echo, rest);
}

static enum mc_pair pair_value(struct mc_connection *connection, struct mc_op *op,
                               const struct mc_meta_reply *reply, struct mc_pairing *pairing)
{
    uint64_t total = reply->line_len + reply->value_len + 2;
    struct slice bytes = pairing->bytes;
    bool whole = bytes.len >= total;

    if (!whole && total <= MC_ITEM_WHOLE) {
        pairing->need = (size_t)total;
        return MC_PAIR_MORE;
    }
    if (whole && memcmp(bytes.data + total - 2, "\r\n", 2) != 0)
        return mc_pair_doubt(pairing, "a value is longer than announced", reply->line);
    mc_meta_count_get(op, true);
    if (reply->won)
        remember_win(op);
    if (whole) {
        pass(connection, op, reply,
             slice_of(bytes.data + reply->line_len, (size_t)reply->value_len + 2));
        input_consume(&connection->input, (size_t)total);
        mc_pair_value_done(connection);
    } else {
        mc_pair_body(connection, op, reply->value_len + 2, total);
        pass(connection, op, reply, slice_of(NULL, 0));
        input_consume(&connection->input, reply->line_len);
    }
    return MC_PAIR_ON;
}

static enum mc_pair pair_get(struct mc_connection *connection, struct mc_op *op,
                             const struct mc_meta_reply *reply, struct mc_pairing *pairing)
{
    struct mc_meta_echo echo = mc_meta_echo_of(op);

    if (reply->code == MC_META_VA)
        return pair_value(connection, op, reply, pairing);
    if (reply->code == MC_META_HD) {
        mc_meta_count_get(op, true);
        if (reply->won)
            remember_win(op);
    } else if (reply->code == MC_META_EN) {
        mc_meta_count_get(op, false);
        mc_remember_miss(op, MC_MISS_READ);
    }
    if (!is_quiet(op, &echo, reply->code))
        pass(connection, op, reply, slice_of(NULL, 0));
    input_consume(&connection->input, reply->line_len);
    mc_pair_value_done(connection);
    return MC_PAIR_ON;
}

void mc_meta_fail_get(struct mc_op *op)
{
    struct mc_meta_echo echo = mc_meta_echo_of(op);
    char head[MC_META_HEAD_MAX];

    if (op->flags & MC_OP_FAILED) {
        mc_op_set_reply(op, SLICE("SERVER_ERROR a memcached server did not answer\r\n"));
        op->flags &= (uint32_t) ~(unsigned)MC_OP_FAILED; /* said here, and no END will come */
    } else if (!echo.quiet) {
        mc_op_set_reply(op, slice_of(head, mc_meta_miss_write(&echo, head)));
    }
    op->flags |= MC_OP_STARTED; /* what it holds is not counted as parked */
}

/* -- ms, md, ma, me ---------------------------------------------------------------------------- */

static void count_line(const struct mc_op *op, enum mc_meta_code code)
{
    const struct mc_meta_note *note = mc_meta_note_of(op);
    struct mc_arm_cell *cell = op->cell;

    if (op->primary != NULL || (op->flags & MC_OP_TOO_LARGE) || is_error(code))
        return;
    if (op->verb == MC_META_DELETE)
        counter_add(code == MC_META_HD ? &cell->delete_hits : &cell->delete_misses, 1);
    else if (op->verb == MC_META_ARITHMETIC && note->decrements)
        counter_add(code == MC_META_NF ? &cell->decr_misses : &cell->decr_hits, 1);
    else if (op->verb == MC_META_ARITHMETIC)
        counter_add(code == MC_META_NF ? &cell->incr_misses : &cell->incr_hits, 1);
    else if (op->verb == MC_META_SET && note->with_cas)
        counter_add(code == MC_META_HD   ? &cell->cas_hits
                    : code == MC_META_NF ? &cell->cas_misses
                                         : &cell->cas_badval,
                    1);
}

/* The reply is whole: `tail` is the number of an ma and its line end, or empty. */
static void answer(struct mc_op *op, const struct mc_meta_reply *reply, struct slice tail)
{
    static const char hd[] = "HD";
    static const struct mc_meta_reply stored = { .code = MC_META_HD,
                                                 .line = { hd, 2 },
                                                 .flags = { hd + 2, 0 } };
    struct mc_meta_echo echo = mc_meta_echo_of(op);
    char text[MC_META_HEAD_MAX + NUMBER_MAX + 2];
    size_t len;

    count_line(op, reply->code);
    if (op->primary != NULL) {
        if (reply->code == MC_META_HD || reply->code == MC_META_NF)
            mc_op_part_done(op, slice_of(NULL, 0));
        else
            mc_op_part_failed(op, "a memcached server refused the delete");
        return;
    }
    if (reply->code == MC_META_SERVER_ERROR)
        mc_journal_refused(op);
    if (op->flags & MC_OP_TOO_LARGE) {
        mc_op_part_done(op, too_large);
        return;
    }
    if (is_error(reply->code))
        mc_op_put_back(op);
    else if (op->flags & MC_OP_DROP)
        reply = &stored;
    if (is_quiet(op, &echo, reply->code)) {
        mc_op_part_done(op, slice_of(NULL, 0));
        return;
    }
    len = write_head(op, reply, &echo, text);
    if (tail.len > 0)
        memcpy(text + len, tail.data, tail.len);
    mc_op_part_done(op, slice_of(text, len + tail.len));
}

static enum mc_pair pair_line(struct mc_connection *connection, const struct mc_meta_reply *reply,
                              struct mc_pairing *pairing)
{
    struct slice bytes = pairing->bytes;
    size_t len = reply->line_len;
    struct slice tail = slice_of(NULL, 0);

    if (reply->code == MC_META_VA) {
        if (reply->value_len > NUMBER_MAX)
            return mc_pair_doubt(pairing, "a number of too many digits", reply->line);
        len += (size_t)reply->value_len + 2;
        if (bytes.len < len) {
            pairing->need = len;
            return MC_PAIR_MORE;
        }
        if (memcmp(bytes.data + len - 2, "\r\n", 2) != 0)
            return mc_pair_doubt(pairing, "a value is longer than announced", reply->line);
        tail = slice_of(bytes.data + reply->line_len, (size_t)reply->value_len + 2);
    }
    /* A value that did not end where it had to: nothing has changed, nobody is to be told. */
    if (reply->code == MC_META_CLIENT_ERROR)
        STAILQ_FIRST(&connection->ops)->flags &= ~(uint32_t)MC_OP_TELL;
    input_consume(&connection->input, len);
    answer(mc_pair_take(connection), reply, tail);
    return MC_PAIR_ON;
}

/* -- All --------------------------------------------------------------------------------------- */

static bool is_allowed(const struct mc_connection *connection, const struct mc_op *op,
                       const struct mc_meta_reply *reply)
{
    static const struct slice bad_chunk = SLICE_INIT("CLIENT_ERROR bad data chunk");
    const struct mc_meta_note *note = mc_meta_note_of(op);
    bool error = (CODE(reply->code) & ERRORS) != 0;

    if ((allowed[op->verb] & CODE(reply->code)) == 0 || (!error && mc_pair_is_early(connection)))
        return false;
    if (reply->code == MC_META_VA ||
        (reply->code == MC_META_HD && op->verb != MC_META_SET && op->verb != MC_META_DELETE))
        return note->with_value == (reply->code == MC_META_VA);
    return op->verb != MC_META_SET || connection->dedicated || !slice_equal(reply->line, bad_chunk);
}

enum mc_pair mc_meta_pair(struct mc_connection *connection, struct mc_op *op,
                          struct mc_pairing *pairing)
{
    struct mc_meta_reply reply;

    if (op->verb == MC_META_PROBE)
        return mc_meta_pair_probe(connection, pairing);
    if ((op->flags & (MC_OP_EPOCH | MC_OP_PAST)) == MC_OP_EPOCH)
        return mc_meta_pair_epoch(connection, op, pairing);
    switch (op->verb == MC_META_DEBUG ? mc_meta_debug_parse(pairing->bytes, mc_op_wire(op), &reply)
                                      : mc_meta_reply_parse(pairing->bytes, &reply)) {
    case MC_REPLY_MORE:
        return MC_PAIR_MORE;
    case MC_REPLY_BAD:
        return mc_pair_doubt(pairing, "no line of the meta protocol", pairing->bytes);
    case MC_REPLY_OK:
        break;
    }
    if (!is_allowed(connection, op, &reply))
        return mc_pair_doubt(pairing, "an answer that does not fit the request", reply.line);
    if (!mc_meta_reply_fits(&reply, mc_meta_note_of(op)->marked, mc_meta_note_of(op)->mark))
        return mc_pair_doubt(pairing, "an answer to another request", reply.line);
    if (op->flags & MC_OP_EPOCH)
        return mc_meta_pair_stamped(connection, op, &reply, pairing);
    return op->verb == MC_META_GET ? pair_get(connection, op, &reply, pairing)
                                   : pair_line(connection, &reply, pairing);
}
