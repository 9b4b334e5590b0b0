/*
 * Errands (relay/mc_errand.h) in the binary protocol: numbered like all other requests of their
 * connection. It cannot ask what is left of an item's time.
 *
 *   FETCH   GET                            SET ADD REPLACE   the same
 *   CAS     REPLACE with the cas number    TOUCH DELETE      the same
 *
 * A SET with a cas number would be the same, but memcached removes the old item where the value of
 * a SET is too large.
 */
#include "crossfade/relay/mc_binary.h"
#include "crossfade/relay/mc_errand.h"
#include "crossfade/relay/mc_pairing.h"
#include "crossfade/relay/mc_pools.h"

#include <endian.h>

/* An exptime above 30 days is a time: this one, in 1970, is over. */
#define EXPIRED (30u * 24u * 3600u + 1u)

static bool is_storage(enum mc_errand_kind kind)
{
    return kind >= MC_ERRAND_SET && kind <= MC_ERRAND_CAS;
}

/* No binary exptime is negative. */
static uint32_t binary_exptime(int64_t exptime)
{
    if (exptime < 0)
        return EXPIRED;
    return exptime > UINT32_MAX ? UINT32_MAX : (uint32_t)exptime;
}

static size_t write_extras(const struct mc_errand *errand, char *out)
{
    const uint32_t flags = htobe32(errand->flags);
    const uint32_t exptime = htobe32(binary_exptime(errand->exptime));
    size_t len = 0;

    if (is_storage(errand->kind)) {
        memcpy(out, &flags, sizeof(flags));
        len = sizeof(flags);
    }
    if (len > 0 || errand->kind == MC_ERRAND_TOUCH) {
        memcpy(out + len, &exptime, sizeof(exptime));
        len += sizeof(exptime);
    }
    return len;
}

bool mc_binary_compose_errand(struct mc_connection *connection, struct mc_op *op,
                              struct mc_errand *errand)
{
    static const uint8_t opcodes[] = {
        [MC_ERRAND_FETCH] = MC_BINARY_GET,     [MC_ERRAND_SET] = MC_BINARY_SET,
        [MC_ERRAND_ADD] = MC_BINARY_ADD,       [MC_ERRAND_REPLACE] = MC_BINARY_REPLACE,
        [MC_ERRAND_CAS] = MC_BINARY_REPLACE,   [MC_ERRAND_TOUCH] = MC_BINARY_TOUCH,
        [MC_ERRAND_DELETE] = MC_BINARY_DELETE,
    };
    struct buffer_pool *pool = &connection->server->plane->worker->buffers;
    char packet[MC_BINARY_HEADER + MC_BINARY_EXTRAS_MAX + KEY_MAX];
    size_t key_len = errand->wire.len;
    size_t value_len = is_storage(errand->kind) ? errand->value.len : 0;
    size_t extras_len = write_extras(errand, packet + MC_BINARY_HEADER);
    size_t len = MC_BINARY_HEADER + extras_len + key_len;

    ensure(key_len <= KEY_MAX && (errand->kind != MC_ERRAND_CAS || errand->cas != 0));
    op->verb = MC_ERRAND;
    op->loud = opcodes[errand->kind];
    op->wire = errand->wire.data;
    op->wire_len = (uint8_t)key_len;
    mc_binary_request_write(packet, op->loud, key_len, extras_len,
                            (uint32_t)(extras_len + key_len + value_len), connection->composed + 1,
                            errand->kind == MC_ERRAND_CAS ? htobe64(errand->cas) : 0);
    memcpy(packet + MC_BINARY_HEADER + extras_len, errand->wire.data, key_len);
    if (!buffer_append_copy(&connection->output, pool, packet, len))
        return false;
    if (value_len > 0)
        buffer_move(&connection->output, &errand->value, pool);
    connection->composed++;
    mc_connection_enqueue(connection, op);
    mc_server_weigh(connection);
    return true;
}

static enum mc_answer_kind meaning(enum mc_errand_kind kind, uint16_t status)
{
    switch (status) {
    case MC_BINARY_DONE:
        return MC_ANSWER_DONE;
    case MC_BINARY_NOT_FOUND:
        return kind == MC_ERRAND_SET || kind == MC_ERRAND_ADD ? MC_ANSWER_REFUSED
                                                              : MC_ANSWER_ABSENT;
    case MC_BINARY_EXISTS:
        return kind == MC_ERRAND_ADD || kind == MC_ERRAND_CAS ? MC_ANSWER_PRESENT
                                                              : MC_ANSWER_REFUSED;
    case MC_BINARY_NOT_STORED:
        return kind == MC_ERRAND_ADD       ? MC_ANSWER_PRESENT
               : kind == MC_ERRAND_REPLACE ? MC_ANSWER_ABSENT
                                           : MC_ANSWER_REFUSED;
    default:
        return MC_ANSWER_REFUSED;
    }
}

enum mc_pair mc_binary_pair_errand(struct mc_connection *connection, struct mc_op *op,
                                   const struct mc_binary_reply *reply, struct mc_pairing *pairing)
{
    struct mc_errand *errand = op->errand;
    struct slice bytes = pairing->bytes;
    bool item = errand->kind == MC_ERRAND_FETCH && reply->status == MC_BINARY_DONE;
    size_t total = item ? MC_BINARY_VALUE_HEAD : MC_BINARY_HEADER + (size_t)reply->body_len;
    struct mc_answer answer = { .kind = meaning(errand->kind, reply->status),
                                .cas = be64toh(reply->cas),
                                .ttl = MC_TTL_UNKNOWN };

    if (bytes.len < total) {
        pairing->need = total;
        return MC_PAIR_MORE;
    }
    connection->answered++;
    input_consume(&connection->input, total);
    if (item) {
        uint32_t flags;
        memcpy(&flags, bytes.data + MC_BINARY_HEADER, sizeof(flags));
        errand->flags = be32toh(flags);
        errand->cas = answer.cas;
        errand->exptime = MC_TTL_UNKNOWN;
        mc_pair_fetch(connection, op, reply->body_len - 4);
        return MC_PAIR_ON;
    }
    if (answer.kind == MC_ANSWER_REFUSED) {
        answer.too_large = reply->status == MC_BINARY_TOO_LARGE;
        answer.text = slice_of(bytes.data + MC_BINARY_HEADER, reply->body_len);
        if (answer.text.len == 0)
            answer.text = SLICE("a memcached server refused the command");
    }
    mc_errand_answered(mc_pair_take(connection), &answer);
    return MC_PAIR_ON;
}
