/*
 * What a client hears of a change (relay/mc_change.h) that it has asked for by a meta command: what
 * the server would have said to its own command.
 */
#include "crossfade/proto/mc_meta_reply.h"
#include "crossfade/relay/mc_meta.h"
#include "crossfade/relay/mc_pools.h"

#include <inttypes.h>
#include <stdio.h>

/* Letters may come twice; a flag of a reply has a number at most. */
#define FLAGS_MAX (MC_META_FLAGS_MAX * 24u)

static const struct slice no_number =
    SLICE_INIT("CLIENT_ERROR cannot increment or decrement non-numeric value\r\n");
static const struct slice too_large = SLICE_INIT("SERVER_ERROR object too large for cache\r\n");

/* The flags that the server would have answered, in the order in which they were asked for. */
static size_t write_flags(const struct mc_op *op, struct slice letters,
                          const struct mc_changed *result, char *out)
{
    bool done = result->kind == MC_CHANGED;
    size_t len = 0;

    for (size_t i = 0; i < letters.len; i++) {
        int more = 0;
        if (letters.data[i] == 'c' && (done ? result->cas != 0 : op->verb == MC_META_SET))
            more = snprintf(out + len, FLAGS_MAX - len, " c%" PRIu64, done ? result->cas : 0);
        else if (letters.data[i] == 't' && done && result->ttl != MC_TTL_UNKNOWN)
            more = snprintf(out + len, FLAGS_MAX - len, " t%" PRId64, result->ttl);
        ensure(more >= 0 && len + (size_t)more < FLAGS_MAX);
        len += (size_t)more;
    }
    return len;
}

static enum mc_meta_code code_of(const struct mc_op *op, const struct mc_changed *result)
{
    switch (result->kind) {
    case MC_CHANGE_NOT_FOUND:
        return MC_META_NF;
    case MC_CHANGE_NOT_STORED:
        return MC_META_NS;
    case MC_CHANGE_EXISTS:
        return MC_META_EX;
    default:
        return op->verb == MC_META_ARITHMETIC && mc_meta_note_of(op)->with_value ? MC_META_VA
                                                                                 : MC_META_HD;
    }
}

static void answer(struct mc_op *op, const struct mc_changed *result)
{
    static const struct slice words[] = { [MC_META_HD] = SLICE_INIT("HD"),
                                          [MC_META_NF] = SLICE_INIT("NF"),
                                          [MC_META_NS] = SLICE_INIT("NS"),
                                          [MC_META_EX] = SLICE_INIT("EX") };
    struct mc_meta_echo echo = mc_meta_echo_of(op);
    struct mc_meta_reply reply = { .code = code_of(op, result) };
    char text[MC_META_HEAD_MAX + 24];
    char number[24];
    char line[FLAGS_MAX + 24];
    size_t number_len = 0;
    size_t code_len;
    size_t len;

    echo.stamp = 0;
    if (mc_meta_reply_quiet(op->verb, &echo, reply.code)) {
        mc_op_part_done(op, slice_of(NULL, 0));
        return;
    }
    if (reply.code == MC_META_VA) {
        number_len = (size_t)snprintf(number, sizeof(number), "%" PRIu64 "\r\n", result->number);
        code_len = (size_t)snprintf(line, 24, "VA %zu", number_len - 2);
    } else {
        code_len = words[reply.code].len;
        memcpy(line, words[reply.code].data, code_len);
    }
    len = code_len;
    len += write_flags(op, echo.letters, result, line + len);
    reply.line = slice_of(line, len);
    reply.flags = slice_of(line + code_len, len - code_len);
    len = mc_meta_reply_write(&reply, &echo, 0, text);
    if (number_len > 0)
        memcpy(text + len, number, number_len);
    mc_op_part_done(op, slice_of(text, len + number_len));
}

void mc_meta_changed(struct mc_op *op, const struct mc_changed *result)
{
    switch (result->kind) {
    case MC_CHANGE_NO_NUMBER:
        mc_op_part_done(op, no_number);
        break;
    case MC_CHANGE_TOO_LARGE:
        mc_op_part_done(op, too_large);
        break;
    default:
        answer(op, result);
        break;
    }
}
