#include "crossfade/control/commands.h"

#include <inttypes.h>
#include <stdio.h>

#define CLIENTS_DEFAULT 100u
#define CLIENTS_MAX 10000u

struct list {
    json_t *rows;
    uint64_t wanted;
    size_t total;
};

/* "3 d 4 h", "5 m 10 s": the two largest units. */
static json_t *age_of(uint64_t microseconds)
{
    uint64_t seconds = microseconds / 1000000;

    if (seconds >= 86400)
        return json_sprintf("%" PRIu64 " d %" PRIu64 " h", seconds / 86400, seconds % 86400 / 3600);
    if (seconds >= 3600)
        return json_sprintf("%" PRIu64 " h %" PRIu64 " m", seconds / 3600, seconds % 3600 / 60);
    if (seconds >= 60)
        return json_sprintf("%" PRIu64 " m %" PRIu64 " s", seconds / 60, seconds % 60);
    return json_sprintf("%" PRIu64 " s", seconds);
}

static void add(void *context, unsigned worker, const struct mc_census *census)
{
    struct list *list = context;

    list->total += census->total;
    for (size_t i = 0; i < census->count && json_array_size(list->rows) < list->wanted; i++) {
        const struct mc_census_row *client = &census->rows[i];
        json_t *row = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:i}", "arm", client->arm,
                                "state", client->stage, "who", client->who, "listener",
                                client->listener, "peer", client->peer, "protocol",
                                client->protocol, "tls", client->tls, "worker", (int)worker);
        (void)json_object_set_new(row, "since", age_of(client->since));
        (void)json_object_set_new(row, "since_us", json_integer((json_int_t)client->since));
        (void)json_array_append_new(list->rows, row);
    }
}

void command_show_clients(struct control_call *call, struct control_reply *reply)
{
    static const struct table_column columns[] = { { "arm", "ARM" },   { "state", "STATE" },
                                                   { "who", "WHO" },   { "listener", "LISTENER" },
                                                   { "peer", "FROM" }, { "protocol", "PROTOCOL" },
                                                   { "tls", "TLS" },   { "since", "SINCE" },
                                                   { NULL, NULL } };
    const struct control_host *host = call->host;
    struct list list = { .wanted = CLIENTS_DEFAULT };

    if (!host->plan(host->context)->config->cache.present) {
        control_reply_error(reply, CONTROL_REFUSED,
                            "there is no cache plane: the configuration has no cache section");
        return;
    }
    if (call->count > 0 && (!slice_to_u64(slice_string(call->arguments[0]), &list.wanted) ||
                            list.wanted == 0 || list.wanted > CLIENTS_MAX)) {
        control_reply_error(reply, CONTROL_USAGE, "COUNT is a number from 1 to %u", CLIENTS_MAX);
        return;
    }
    list.rows = json_array();
    if (!host->clients(host->context, add, &list)) {
        json_decref(list.rows);
        control_reply_error(reply, CONTROL_TIMEOUT,
                            "a worker did not tell in time who its clients are; try again");
        return;
    }
    if (json_array_size(list.rows) < list.total)
        control_reply_ok(reply, "%zu of %zu clients", json_array_size(list.rows), list.total);
    reply->data = list.rows;
    reply->columns = columns;
}
