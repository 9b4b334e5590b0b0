/* mg in epoch mode: composing, and its replies (relay/mc_meta.h has the conversation). */
#include "crossfade/proto/mc_meta_reply.h"
#include "crossfade/relay/mc_coherence.h"
#include "crossfade/relay/mc_epoch.h"
#include "crossfade/relay/mc_meta.h"
#include "crossfade/relay/mc_pairing.h"
#include "crossfade/relay/mc_pools.h"
#include "crossfade/relay/mc_text.h"

#include <inttypes.h>
#include <stdio.h>

/* An mg with N finds values in its way so often; then its client gets a miss as others do. */
#define ROUNDS 4u

#define EPOCH_LINE_MAX (KEY_MAX + 32u)

/* -- Composing --------------------------------------------------------------------------------- */

/* "mg <epoch item> v O<mark>". Its mark is in op->opaque. */
static size_t write_epoch_line(struct mc_op *op, char *line)
{
    static const struct mc_meta meta = { .marked = true,
                                         .flags = { SLICE_INIT("v") },
                                         .flag_count = 1 };
    struct key_place place;
    char key[KEY_MAX];
    char mark[MC_META_MARK_LENGTH];

    keyspace_epoch(mc_client_plan(op->client)->keyspace, mc_op_key(op), &place);
    keyspace_compose(&place, mc_op_key(op), key);
    op->epoch_len = (uint8_t)place.wire_len;
    op->opaque = op->plane->next_mark++;
    mc_meta_mark(op->opaque, mark);
    return mc_meta_write(MC_META_GET, &meta, slice_of(key, place.wire_len), false, mark, line);
}

/* So that it can be sent again. Nothing was put behind the note yet. */
static void keep_line(struct mc_op *op, struct slice line)
{
    struct mc_meta_note *note = mc_meta_own_note(op);
    struct chunk *chunk = op->wire_chunk;

    memcpy(chunk->data + chunk->used, line.data, line.len);
    chunk->used += line.len;
    note->line_len = (uint16_t)line.len;
}

static struct slice kept_line(const struct mc_op *op)
{
    const struct mc_meta_note *note = mc_meta_note_of(op);

    return slice_of(op->wire + op->wire_len + note->opaque_len + note->letters_len, note->line_len);
}

bool mc_meta_compose_epoch_get(struct mc_connection *connection, struct mc_op *op,
                               struct slice line)
{
    char both[EPOCH_LINE_MAX + MC_META_LINE_MAX];
    size_t len;

    if (mc_meta_note_of(op)->vivifies)
        keep_line(op, line);
    len = write_epoch_line(op, both);
    memcpy(both + len, line.data, line.len);
    return mc_meta_compose(connection, op, slice_of(both, len + line.len));
}

/* -- A value in the way of N ------------------------------------------------------------------- */

/* "md <value> C<cas> O<mark>", with the mark of the epoch item's line that follows. */
static size_t write_clearing(const struct mc_op *op, char *line)
{
    bool base64 = !keyspace_is_text(mc_op_wire(op));
    struct mc_meta meta = { .marked = true, .flag_count = 1 + base64 };
    char condition[24];
    char mark[MC_META_MARK_LENGTH];
    int len = snprintf(condition, sizeof(condition), "C%" PRIu64, mc_meta_note_of(op)->cas);

    ensure(len > 0 && (size_t)len < sizeof(condition));
    meta.flags[0] = slice_of(condition, (size_t)len);
    meta.flags[1] = SLICE("b");
    mc_meta_mark(op->opaque, mark);
    return mc_meta_write(MC_META_DELETE, &meta, mc_op_wire(op), base64, mark, line);
}

/*
 * It goes away if it is still the same, and both are asked again. The operation is in no
 * connection's queue. False: that was not done.
 */
static bool ask_again(struct mc_connection *connection, struct mc_op *op)
{
    struct mc_meta_note *note = mc_meta_own_note(op);
    char lines[2 * MC_META_LINE_MAX + EPOCH_LINE_MAX];
    char epoch[EPOCH_LINE_MAX];
    struct slice line = kept_line(op);
    size_t epoch_len;
    size_t len;

    if (op->client == NULL || !note->vivifies || note->cas == 0 || note->rounds >= ROUNDS)
        return false;
    epoch_len = write_epoch_line(op, epoch);
    len = write_clearing(op, lines);
    memcpy(lines + len, epoch, epoch_len);
    len += epoch_len;
    memcpy(lines + len, line.data, line.len);
    op->flags &= ~(uint32_t)(MC_OP_SEEN | MC_OP_NO_EPOCH | MC_OP_PAST | MC_OP_COUNTED);
    note->clearing = true;
    note->rounds++;
    return mc_meta_compose(connection, op, slice_of(lines, len + line.len));
}

/* -- Misses ------------------------------------------------------------------------------------ */

/* What the operation holds already is the answer to a win. */
void mc_meta_missed(struct mc_op *op)
{
    struct mc_meta_echo echo = mc_meta_echo_of(op);
    char head[MC_META_HEAD_MAX];

    mc_meta_count_get(op, false);
    if (op->reply.len > 0)
        mc_remember_miss(op, MC_MISS_WIN);
    else if (!echo.quiet)
        mc_op_set_reply(op, slice_of(head, mc_meta_miss_write(&echo, head)));
    op->flags |= MC_OP_STARTED; /* what it holds is not counted as parked */
    mc_op_part_done(op, slice_of(NULL, 0));
}

/* It is off the connection's queue. */
static void miss(struct mc_connection *connection, struct mc_op *op)
{
    if (mc_epoch_missed(connection, op))
        mc_meta_missed(op);
}

/* All of a value that does not count is consumed. */
static void refuse_value(struct mc_connection *connection)
{
    struct mc_op *op = mc_pair_take(connection);

    if (!ask_again(connection, op))
        miss(connection, op);
}

/* -- The value --------------------------------------------------------------------------------- */

void mc_meta_skipped(struct mc_connection *connection, struct mc_op *op)
{
    if (mc_meta_note_of(op)->told)
        mc_pair_value_done(connection);
    else
        refuse_value(connection);
}

/* What N has made, now or before. */
static enum mc_pair take_placeholder(struct mc_connection *connection, struct mc_op *op,
                                     const struct mc_meta_reply *reply)
{
    struct mc_meta_echo echo = mc_meta_echo_of(op);
    char text[MC_META_HEAD_MAX + 2];
    size_t len;

    echo.stamp = 0;
    len = mc_meta_reply_write(reply, &echo, 0, text);
    if (!echo.bare) {
        memcpy(text + len, "\r\n", 2);
        len += 2;
    }
    input_consume(&connection->input, reply->line_len + 2);
    (void)mc_pair_take(connection);
    mc_op_set_reply(op, slice_of(text, len));
    op->flags |= MC_OP_WHOLE; /* it is not passed on before the win is remembered */
    if (reply->won) {
        miss(connection, op);
    } else {
        mc_meta_count_get(op, true);
        op->flags |= MC_OP_STARTED;
        mc_op_part_done(op, slice_of(NULL, 0));
    }
    return MC_PAIR_ON;
}

static enum mc_pair take_current(struct mc_connection *connection, struct mc_op *op,
                                 const struct mc_meta_reply *reply, bool whole, struct slice value)
{
    struct mc_meta_echo echo = mc_meta_echo_of(op);
    size_t total = reply->line_len + (size_t)reply->value_len + 2;

    mc_meta_count_get(op, true);
    if (reply->won) {
        mc_remember_miss(op, MC_MISS_READ);
        mc_remember_miss(op, MC_MISS_WIN);
    }
    if (whole) {
        mc_meta_pass(connection, op, reply, &echo,
                     echo.bare ? slice_of(NULL, 0)
                               : slice_of(value.data + STAMP_LENGTH,
                                          (size_t)reply->value_len - STAMP_LENGTH + 2));
        input_consume(&connection->input, total);
        mc_pair_value_done(connection);
    } else if (echo.bare) {
        op->flags |= MC_OP_WHOLE; /* should the server break off, it is a miss */
        mc_meta_own_note(op)->told = true;
        mc_meta_pass(connection, op, reply, &echo, slice_of(NULL, 0));
        input_consume(&connection->input, reply->line_len);
        mc_pair_skip(connection, op, reply->value_len + 2);
    } else {
        mc_pair_body(connection, op, reply->value_len - STAMP_LENGTH + 2, total - STAMP_LENGTH);
        mc_meta_pass(connection, op, reply, &echo, slice_of(NULL, 0));
        input_consume(&connection->input, reply->line_len + STAMP_LENGTH);
    }
    return MC_PAIR_ON;
}

static enum mc_pair take_value(struct mc_connection *connection, struct mc_op *op,
                               const struct mc_meta_reply *reply, struct mc_pairing *pairing)
{
    uint64_t total = reply->line_len + reply->value_len + 2;
    struct mc_meta_note *note = mc_meta_own_note(op);
    const char *value = pairing->bytes.data + reply->line_len;
    size_t stamp = reply->value_len < STAMP_LENGTH ? (size_t)reply->value_len : STAMP_LENGTH;
    bool whole = pairing->bytes.len >= total;

    if (!whole && (total <= MC_ITEM_WHOLE || pairing->bytes.len < reply->line_len + stamp)) {
        pairing->need = total <= MC_ITEM_WHOLE ? (size_t)total : reply->line_len + stamp;
        return MC_PAIR_MORE;
    }
    if (whole && memcmp(value + reply->value_len, "\r\n", 2) != 0)
        return mc_pair_doubt(pairing, "a value is longer than announced", reply->line);
    if (reply->value_len == 0 && note->vivifies && (reply->won || reply->lost))
        return take_placeholder(connection, op, reply);
    if (mc_epoch_is_current(op, slice_of(value, stamp), reply->cas))
        return take_current(connection, op, reply, whole,
                            slice_of(value, pairing->bytes.len - reply->line_len));
    note->cas = reply->cas;
    if (whole) {
        input_consume(&connection->input, (size_t)total);
        refuse_value(connection);
    } else {
        input_consume(&connection->input, reply->line_len);
        mc_pair_skip(connection, op, reply->value_len + 2);
    }
    return MC_PAIR_ON;
}

enum mc_pair mc_meta_pair_stamped(struct mc_connection *connection, struct mc_op *op,
                                  const struct mc_meta_reply *reply, struct mc_pairing *pairing)
{
    struct mc_meta_echo echo = mc_meta_echo_of(op);

    if (reply->code == MC_META_VA)
        return take_value(connection, op, reply, pairing);
    if (reply->code == MC_META_EN) {
        input_consume(&connection->input, reply->line_len);
        miss(connection, mc_pair_take(connection));
        return MC_PAIR_ON;
    }
    /* An error. */
    mc_meta_pass(connection, op, reply, &echo, slice_of(NULL, 0));
    input_consume(&connection->input, reply->line_len);
    mc_pair_value_done(connection);
    return MC_PAIR_ON;
}

/* -- What comes before it ---------------------------------------------------------------------- */

static enum mc_pair take_epoch(struct mc_connection *connection, struct mc_op *op,
                               const struct mc_meta_reply *reply, struct mc_pairing *pairing)
{
    uint64_t total = reply->line_len + reply->value_len + 2;
    const char *value = pairing->bytes.data + reply->line_len;

    if (pairing->bytes.len < total && total <= MC_ITEM_WHOLE) {
        pairing->need = (size_t)total;
        return MC_PAIR_MORE;
    }
    if (pairing->bytes.len < total) {
        /* Whatever this is. */
        mc_epoch_seen(op, slice_of(NULL, 0));
        input_consume(&connection->input, reply->line_len);
        mc_pair_skip(connection, op, reply->value_len + 2);
        return MC_PAIR_ON;
    }
    if (memcmp(value + reply->value_len, "\r\n", 2) != 0)
        return mc_pair_doubt(pairing, "a value is longer than announced", reply->line);
    mc_epoch_seen(op, slice_of(value, (size_t)reply->value_len));
    op->flags |= MC_OP_PAST;
    input_consume(&connection->input, (size_t)total);
    return MC_PAIR_ON;
}

static bool is_error(enum mc_meta_code code)
{
    return code == MC_META_ERROR || code == MC_META_CLIENT_ERROR || code == MC_META_SERVER_ERROR;
}

enum mc_pair mc_meta_pair_epoch(struct mc_connection *connection, struct mc_op *op,
                                struct mc_pairing *pairing)
{
    struct mc_meta_note *note = mc_meta_own_note(op);
    char mark[MC_META_MARK_LENGTH];
    struct mc_meta_reply reply;
    bool fits;

    switch (mc_meta_reply_parse(pairing->bytes, &reply)) {
    case MC_REPLY_MORE:
        return MC_PAIR_MORE;
    case MC_REPLY_BAD:
        return mc_pair_doubt(pairing, "no line of the meta protocol", pairing->bytes);
    case MC_REPLY_OK:
        break;
    }
    mc_meta_mark(op->opaque, mark);
    fits = note->clearing
               ? reply.code == MC_META_HD || reply.code == MC_META_NF || reply.code == MC_META_EX
               : reply.code == MC_META_VA || reply.code == MC_META_EN;
    if (!fits && !is_error(reply.code))
        return mc_pair_doubt(pairing, "an answer that does not fit the request", reply.line);
    if (!mc_meta_reply_fits(&reply, true, mark))
        return mc_pair_doubt(pairing, "an answer to another request", reply.line);
    if (!note->clearing && reply.code == MC_META_VA)
        return take_epoch(connection, op, &reply, pairing);
    /* What the server has refused is as if it were not there. */
    input_consume(&connection->input, reply.line_len);
    if (note->clearing)
        note->clearing = false;
    else
        op->flags |= MC_OP_PAST;
    return MC_PAIR_ON;
}
