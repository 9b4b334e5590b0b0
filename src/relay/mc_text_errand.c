/*
 * Errands (relay/mc_errand.h) in the text protocol: classic commands, and meta where those cannot
 * say it:
 *
 *   gets <key>                      FETCH
 *   mg <key> v f c t O<mark>        FETCH with what is left of its time, if the connection has
 *                                   spoken meta
 *   ms <key> ... c O<mark>          a value whose cas number is wanted, the same
 *   ms md mg T, the key in base64   a key that no line can have in it: its client named it so
 *
 * The operation has verb MC_ERRAND; its opcode says whether it went out as meta, its opaque is the
 * number of the mark then.
 */
#include "crossfade/proto/mc_meta_reply.h"
#include "crossfade/relay/mc_errand.h"
#include "crossfade/relay/mc_pairing.h"
#include "crossfade/relay/mc_pools.h"
#include "crossfade/relay/mc_text.h"

#include <inttypes.h>
#include <stdio.h>

#define LINE_MAX_BYTES (2 * KEY_MAX + MC_STORAGE_TAIL_MAX)

static const struct slice too_large = SLICE_INIT("SERVER_ERROR object too large for cache");
static const struct slice bad_chunk = SLICE_INIT("CLIENT_ERROR bad data chunk");

static bool is_storage(enum mc_errand_kind kind)
{
    return kind >= MC_ERRAND_SET && kind <= MC_ERRAND_CAS;
}

#define STATS_LINES_MAX 1000u
#define STATS_LINE_MAX 2048u

/* A classic line holds more than keyspace_is_text allows, tabs for example, and clients send it. */
static bool fits_line(struct slice key)
{
    for (size_t i = 0; i < key.len; i++)
        if (key.data[i] == ' ' || key.data[i] == '\n' || key.data[i] == '\0')
            return false;
    return true;
}

/* -- Composing --------------------------------------------------------------------------------- */

static size_t stats_line(const struct mc_errand *errand, char *line)
{
    int len = snprintf(line, LINE_MAX_BYTES, "stats%s%.*s\r\n", errand->wire.len > 0 ? " " : "",
                       (int)errand->wire.len, errand->wire.data);

    ensure(len > 0 && (size_t)len < LINE_MAX_BYTES);
    return (size_t)len;
}

static size_t classic_line(const struct mc_errand *errand, char *line)
{
    static const enum mc_verb verbs[] = {
        [MC_ERRAND_FETCH] = MC_GETS,      [MC_ERRAND_SET] = MC_SET, [MC_ERRAND_ADD] = MC_ADD,
        [MC_ERRAND_REPLACE] = MC_REPLACE, [MC_ERRAND_CAS] = MC_CAS, [MC_ERRAND_TOUCH] = MC_TOUCH,
        [MC_ERRAND_DELETE] = MC_DELETE,
    };
    struct mc_request request = { .verb = verbs[errand->kind],
                                  .flags = errand->flags,
                                  .exptime = errand->exptime,
                                  .value_len = errand->value.len,
                                  .cas = errand->cas };
    struct slice name = mc_verb_name(request.verb);
    char *at = line;

    memcpy(at, name.data, name.len);
    at += name.len;
    *at++ = ' ';
    memcpy(at, errand->wire.data, errand->wire.len);
    at += errand->wire.len;
    if (is_storage(errand->kind))
        return (size_t)(at - line) + mc_request_storage_tail(&request, at);
    if (errand->kind == MC_ERRAND_TOUCH)
        at += snprintf(at, MC_STORAGE_TAIL_MAX, " %" PRId64, errand->exptime);
    memcpy(at, "\r\n", 2);
    return (size_t)(at - line) + 2;
}

/* The words of a meta command behind its key. */
static size_t meta_words(const struct mc_errand *errand, char *out)
{
    int len = 0;

    switch (errand->kind) {
    case MC_ERRAND_FETCH:
        len = snprintf(out, MC_STORAGE_TAIL_MAX, " v f c%s", errand->wants_ttl ? " t" : "");
        break;
    case MC_ERRAND_TOUCH:
        len = snprintf(out, MC_STORAGE_TAIL_MAX, " T%" PRId64, errand->exptime);
        break;
    case MC_ERRAND_DELETE:
        break;
    default:
        len = snprintf(out, MC_STORAGE_TAIL_MAX, " %zu F%" PRIu32 " T%" PRId64, errand->value.len,
                       errand->flags, errand->exptime);
        if (errand->kind == MC_ERRAND_ADD)
            len += snprintf(out + len, MC_STORAGE_TAIL_MAX - (size_t)len, " ME");
        else if (errand->kind == MC_ERRAND_REPLACE)
            len += snprintf(out + len, MC_STORAGE_TAIL_MAX - (size_t)len, " MR");
        else if (errand->kind == MC_ERRAND_CAS)
            len +=
                snprintf(out + len, MC_STORAGE_TAIL_MAX - (size_t)len, " C%" PRIu64, errand->cas);
        if (errand->wants_cas)
            len += snprintf(out + len, MC_STORAGE_TAIL_MAX - (size_t)len, " c");
        break;
    }
    ensure(len >= 0 && (size_t)len < MC_STORAGE_TAIL_MAX);
    return (size_t)len;
}

static size_t meta_line(const struct mc_errand *errand, bool base64, uint32_t mark, char *line)
{
    char *at = line;

    memcpy(at,
           errand->kind == MC_ERRAND_DELETE ? "md "
           : is_storage(errand->kind)       ? "ms "
                                            : "mg ",
           3);
    at += 3;
    if (base64) {
        at += base64_encode(errand->wire, at);
    } else {
        memcpy(at, errand->wire.data, errand->wire.len);
        at += errand->wire.len;
    }
    at += meta_words(errand, at);
    if (base64) {
        memcpy(at, " b", 2);
        at += 2;
    }
    memcpy(at, " O", 2);
    mc_meta_mark(mark, at + 2);
    at += 2 + MC_META_MARK_LENGTH;
    memcpy(at, "\r\n", 2);
    return (size_t)(at - line) + 2;
}

bool mc_text_compose_errand(struct mc_connection *connection, struct mc_op *op,
                            struct mc_errand *errand)
{
    struct buffer_pool *pool = &connection->server->plane->worker->buffers;
    bool text = fits_line(errand->wire);
    bool spoken = connection->meta == MC_META_SPOKEN;
    bool asks = errand->kind == MC_ERRAND_FETCH ? errand->wants_ttl
                                                : is_storage(errand->kind) && errand->wants_cas;
    bool meta = !text || (asks && spoken);
    char line[LINE_MAX_BYTES];
    size_t len;

    /* A server that does not know ms takes its value for commands. This key came by meta, so the
     * server has spoken it, if not on this connection. */
    if (!text && !spoken && !connection->server->spoke_meta)
        return false;
    ensure(errand->wire.len <= (text ? KEY_MAX : KEY_BASE64_MAX));
    ensure(errand->kind != MC_ERRAND_STATS || !meta);
    op->verb = MC_ERRAND;
    op->opcode = meta;
    op->wire = errand->wire.data;
    op->wire_len = (uint8_t)errand->wire.len;
    if (meta)
        op->opaque = op->plane->next_mark++;
    else if (errand->kind == MC_ERRAND_FETCH)
        op->flags |= MC_OP_BATCH_END;
    len = meta                              ? meta_line(errand, !text, op->opaque, line)
          : errand->kind == MC_ERRAND_STATS ? stats_line(errand, line)
                                            : classic_line(errand, line);
    if (!mc_connection_close_batch(connection) ||
        !buffer_append_copy(&connection->output, pool, line, len))
        return false;
    if (is_storage(errand->kind)) {
        buffer_move(&connection->output, &errand->value, pool);
        if (!buffer_append_copy(&connection->output, pool, "\r\n", 2)) {
            /* Half a command is composed. */
            mc_connection_fail(connection, "out of memory", false);
            return false;
        }
    }
    mc_connection_enqueue(connection, op);
    mc_server_weigh(connection);
    return true;
}

/* -- Replies ----------------------------------------------------------------------------------- */

static enum mc_pair answer(struct mc_connection *connection, enum mc_answer_kind kind,
                           struct slice line, size_t line_len, uint64_t cas)
{
    struct mc_answer result = { .kind = kind, .cas = cas, .ttl = MC_TTL_UNKNOWN };

    if (kind == MC_ANSWER_REFUSED) {
        result.text = line;
        result.too_large = slice_equal(line, too_large);
    }
    input_consume(&connection->input, line_len);
    mc_errand_answered(mc_pair_take(connection), &result);
    return MC_PAIR_ON;
}

#define NEVER (-1)

/* What a reply without a value means; NEVER: it cannot answer this. */
static int classic_meaning(enum mc_errand_kind kind, enum mc_reply_kind reply)
{
    bool storage = is_storage(kind);

    switch (reply) {
    case MC_REPLY_STORED:
        return storage ? MC_ANSWER_DONE : NEVER;
    case MC_REPLY_NOT_STORED:
        return kind == MC_ERRAND_REPLACE ? MC_ANSWER_ABSENT : storage ? MC_ANSWER_PRESENT : NEVER;
    case MC_REPLY_EXISTS:
        return kind == MC_ERRAND_CAS ? MC_ANSWER_PRESENT : NEVER;
    case MC_REPLY_NOT_FOUND:
        return kind == MC_ERRAND_CAS || kind == MC_ERRAND_TOUCH || kind == MC_ERRAND_DELETE
                   ? MC_ANSWER_ABSENT
                   : NEVER;
    case MC_REPLY_DELETED:
        return kind == MC_ERRAND_DELETE ? MC_ANSWER_DONE : NEVER;
    case MC_REPLY_TOUCHED:
        return kind == MC_ERRAND_TOUCH ? MC_ANSWER_DONE : NEVER;
    case MC_REPLY_END:
        return kind == MC_ERRAND_FETCH ? MC_ANSWER_ABSENT : NEVER;
    case MC_REPLY_SERVER_ERROR:
        return MC_ANSWER_REFUSED;
    case MC_REPLY_CLIENT_ERROR:
    case MC_REPLY_ERROR:
        /* Of a storage command it would leave the value to be taken for commands. */
        return storage ? NEVER : MC_ANSWER_REFUSED;
    default:
        return NEVER;
    }
}

static enum mc_pair pair_classic(struct mc_connection *connection, struct mc_op *op,
                                 struct mc_pairing *pairing)
{
    struct mc_errand *errand = op->errand;
    struct mc_reply reply;
    int meaning;

    switch (mc_reply_parse(pairing->bytes, &reply)) {
    case MC_REPLY_MORE:
        return MC_PAIR_MORE;
    case MC_REPLY_BAD:
        return mc_pair_doubt(pairing, "no line of the protocol", pairing->bytes);
    case MC_REPLY_OK:
        break;
    }
    if (errand->kind == MC_ERRAND_FETCH && reply.kind == MC_REPLY_VALUE && reply.with_cas &&
        slice_equal(reply.key, errand->wire)) {
        mc_reply_numbers(&reply, &errand->flags, &errand->cas);
        errand->exptime = MC_TTL_UNKNOWN;
        input_consume(&connection->input, reply.line_len);
        mc_pair_fetch(connection, op, reply.value_len);
        return MC_PAIR_ON;
    }
    meaning = classic_meaning(errand->kind, reply.kind);
    if (meaning == NEVER)
        return mc_pair_doubt(pairing, "an answer that does not fit the request", reply.line);
    return answer(connection, (enum mc_answer_kind)meaning, reply.line, reply.line_len, 0);
}

static int meta_meaning(enum mc_errand_kind kind, const struct mc_meta_reply *reply)
{
    bool storage = is_storage(kind);
    bool get = kind == MC_ERRAND_FETCH || kind == MC_ERRAND_TOUCH;

    switch (reply->code) {
    case MC_META_HD:
        return kind != MC_ERRAND_FETCH ? MC_ANSWER_DONE : NEVER;
    case MC_META_EN:
        return get ? MC_ANSWER_ABSENT : NEVER;
    case MC_META_NS:
        return kind == MC_ERRAND_REPLACE ? MC_ANSWER_ABSENT : storage ? MC_ANSWER_PRESENT : NEVER;
    case MC_META_EX:
        return kind == MC_ERRAND_CAS ? MC_ANSWER_PRESENT : NEVER;
    case MC_META_NF:
        return kind == MC_ERRAND_CAS || kind == MC_ERRAND_DELETE ? MC_ANSWER_ABSENT : NEVER;
    case MC_META_SERVER_ERROR:
        return MC_ANSWER_REFUSED;
    case MC_META_CLIENT_ERROR:
        return storage && slice_equal(reply->line, bad_chunk) ? NEVER : MC_ANSWER_REFUSED;
    case MC_META_ERROR:
        return storage ? NEVER : MC_ANSWER_REFUSED;
    default:
        return NEVER;
    }
}

/* f, c and t of a value's line; false: one that was asked for is not there. */
static bool take_item(struct slice flags, struct mc_errand *errand)
{
    struct slice word;
    unsigned seen = 0;
    uint64_t number;

    errand->exptime = MC_TTL_UNKNOWN;
    while (slice_next_word(&flags, &word)) {
        struct slice token = slice_of(word.data + 1, word.len - 1);
        if (word.data[0] == 't' && slice_equal(token, SLICE("-1"))) {
            errand->exptime = MC_TTL_NEVER;
        } else if (word.data[0] == 'f' && slice_to_u64(token, &number) && number <= UINT32_MAX) {
            errand->flags = (uint32_t)number;
            seen |= 1;
        } else if (word.data[0] == 'c' && slice_to_u64(token, &errand->cas)) {
            seen |= 2;
        } else if (word.data[0] == 't' && slice_to_u64(token, &number) && number <= INT32_MAX) {
            errand->exptime = (int64_t)number;
        }
    }
    return seen == 3;
}

static enum mc_pair pair_meta(struct mc_connection *connection, struct mc_op *op,
                              struct mc_pairing *pairing)
{
    struct mc_errand *errand = op->errand;
    char mark[MC_META_MARK_LENGTH];
    struct mc_meta_reply reply;
    int meaning;

    switch (mc_meta_reply_parse(pairing->bytes, &reply)) {
    case MC_REPLY_MORE:
        return MC_PAIR_MORE;
    case MC_REPLY_BAD:
        return mc_pair_doubt(pairing, "no line of the meta protocol", pairing->bytes);
    case MC_REPLY_OK:
        break;
    }
    mc_meta_mark(op->opaque, mark);
    if (!mc_meta_reply_fits(&reply, true, mark))
        return mc_pair_doubt(pairing, "an answer to another request", reply.line);
    if (errand->kind == MC_ERRAND_FETCH && reply.code == MC_META_VA &&
        take_item(reply.flags, errand)) {
        input_consume(&connection->input, reply.line_len);
        mc_pair_fetch(connection, op, reply.value_len);
        return MC_PAIR_ON;
    }
    meaning = meta_meaning(errand->kind, &reply);
    if (meaning == NEVER)
        return mc_pair_doubt(pairing, "an answer that does not fit the request", reply.line);
    return answer(connection, (enum mc_answer_kind)meaning, reply.line, reply.line_len, reply.cas);
}

/* "<name> <value>", of which few are of interest. */
static void take_stat(struct mc_errand *errand, struct slice words)
{
    const char *space = memchr(words.data, ' ', words.len);
    struct slice name;
    struct slice value;

    if (space == NULL)
        return;
    name = slice_of(words.data, (size_t)(space - words.data));
    value = slice_of(space + 1, words.len - name.len - 1);
    if (slice_equal(name, SLICE("uptime")))
        errand->stats.has_uptime = slice_to_u64(value, &errand->stats.uptime);
    else if (slice_equal(name, SLICE("time")))
        (void)slice_to_u64(value, &errand->stats.time);
    else if (slice_equal(name, SLICE("memory_file")))
        errand->stats.keeps_memory = !slice_equal(value, SLICE("(null)"));
}

static enum mc_pair pair_stats(struct mc_connection *connection, struct mc_op *op,
                               struct mc_pairing *pairing)
{
    struct mc_errand *errand = op->errand;
    struct slice bytes = pairing->bytes;
    const char *newline = memchr(bytes.data, '\n', bytes.len);
    struct slice line;
    size_t line_len;

    if (newline == NULL && bytes.len < STATS_LINE_MAX)
        return MC_PAIR_MORE;
    if (newline == NULL || ++errand->stats.lines > STATS_LINES_MAX)
        return mc_pair_doubt(pairing, "statistics without an end", bytes);
    line_len = (size_t)(newline - bytes.data) + 1;
    line = slice_of(bytes.data, line_len - 1);
    if (line.len > 0 && line.data[line.len - 1] == '\r')
        line.len--;
    if (slice_equal(line, SLICE("END")))
        return answer(connection, MC_ANSWER_DONE, line, line_len, 0);
    if (slice_equal(line, SLICE("ERROR")) || slice_starts(line, SLICE("CLIENT_ERROR ")) ||
        slice_starts(line, SLICE("SERVER_ERROR ")))
        return answer(connection, MC_ANSWER_REFUSED, line, line_len, 0);
    if (!slice_starts(line, SLICE("STAT ")))
        return mc_pair_doubt(pairing, "an answer that is no statistics", line);
    take_stat(errand, slice_of(line.data + 5, line.len - 5));
    input_consume(&connection->input, line_len);
    return MC_PAIR_ON;
}

enum mc_pair mc_text_pair_errand(struct mc_connection *connection, struct mc_op *op,
                                 struct mc_pairing *pairing)
{
    if (op->errand->kind == MC_ERRAND_STATS)
        return pair_stats(connection, op, pairing);
    return op->opcode ? pair_meta(connection, op, pairing) : pair_classic(connection, op, pairing);
}
