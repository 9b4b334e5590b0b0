#include "change_rig.h"

#include "http_rig.h"

#include "crossfade/relay/mc_coherence.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/socket.h>

struct mc_change_request change_request(struct epoch_rig *rig, enum mc_verb verb, const char *value)
{
    struct mc_change_request request = { .verb = verb, .key = epoch_rig_key, .flags = 3 };

    if (value != NULL) {
        request.chunk = chunk_create(&rig->worker.buffers, strlen(value) + 1);
        memcpy(request.chunk->data, value, strlen(value));
        request.value = slice_of(request.chunk->data, strlen(value));
    }
    return request;
}

void change_start_starving(struct epoch_rig *rig, const struct mc_change_request *request,
                           unsigned one_in)
{
    struct mc_op *op = epoch_rig_op(rig, request->verb, 0);
    struct key_place place;

    epoch_rig_place(rig, &place);
    rig_starve(one_in);
    rig->client->plane->command++;
    if (!mc_change_start(op, &place, request, rig->server))
        mc_op_part_failed(op, "out of memory");
    if (request->chunk != NULL)
        chunk_unref(request->chunk);
}

void change_start(struct epoch_rig *rig, const struct mc_change_request *request)
{
    change_start_starving(rig, request, 0);
}

void change_run(struct epoch_rig *rig, const struct mc_change_request *request)
{
    rig->log[0] = '\0';
    rig->changed = 0;
    change_start(rig, request);
    (void)epoch_rig_run(rig);
    epoch_rig_assert_idle(rig);
}

enum mc_changed_kind change_outcome(struct epoch_rig *rig, const struct mc_change_request *request)
{
    change_run(rig, request);
    cr_assert_eq(rig->changed, 1);
    return rig->results[0].kind;
}

enum mc_changed_kind change_to(struct epoch_rig *rig, enum mc_verb verb, const char *value)
{
    struct mc_change_request request = change_request(rig, verb, value);

    return change_outcome(rig, &request);
}

enum mc_changed_kind change_compare(struct epoch_rig *rig, enum mc_verb verb, const char *value,
                                    uint64_t cas)
{
    struct mc_change_request request = change_request(rig, verb, value);

    request.cas = cas;
    return change_outcome(rig, &request);
}

enum mc_changed_kind change_count(struct epoch_rig *rig, enum mc_verb verb, uint64_t delta)
{
    struct mc_change_request request = change_request(rig, verb, NULL);

    request.delta = delta;
    return change_outcome(rig, &request);
}

void change_fill(struct epoch_rig *rig, const char *bytes)
{
    struct token token = epoch_rig_put_epoch(rig, EPOCH_MADE);

    epoch_rig_put_value(rig, &token, bytes, 0);
}

void change_spoil(struct epoch_rig *rig, const char *bytes, enum epoch_kind kind)
{
    change_fill(rig, bytes);
    (void)epoch_rig_put_epoch(rig, kind);
}

void change_assert_value(struct epoch_rig *rig, const char *expected)
{
    struct slice bytes;

    cr_assert(epoch_rig_is_current(rig));
    bytes = epoch_rig_bytes(epoch_rig_value(rig));
    cr_assert(slice_equal(bytes, slice_string(expected)), "%.*s", (int)bytes.len, bytes.data);
}

void change_assert_failed(struct epoch_rig *rig, const char *expected)
{
    char got[400] = "";

    cr_assert_eq(rig->changed, 0);
    (void)recv(rig->fd, got, sizeof(got) - 1, 0);
    cr_assert_not_null(strstr(got, "SERVER_ERROR "), "%s", got);
    cr_assert_not_null(strstr(got, expected), "%s", got);
}

void change_recall(struct epoch_rig *rig, const struct token *token)
{
    mc_miss_record(rig->client, MC_MISS_READ, epoch_rig_key, token);
}
