/*
 * `show servers` and `show backends`: what each is called, where it is, and how the workers fare
 * with it.
 */
#include "crossfade/base/clock.h"
#include "crossfade/control/commands.h"

#include <stdio.h>
#include <string.h>

/* One of the two lists. */
struct listing {
    const struct cells *cells;
    const struct metric *metrics;
    size_t reach; /* in a block */
    json_t *rows;
};

static void set_count(json_t *row, const char *name, uint64_t n)
{
    (void)json_object_set_new(row, name, json_integer((json_int_t)n));
}

static void set_text(json_t *row, const char *name, const char *text)
{
    (void)json_object_set_new(row, name, reply_text(slice_string(text)));
}

static uint64_t sum(const struct listing *listing, unsigned cell, const char *name)
{
    for (const struct metric *metric = listing->metrics; metric->name != NULL; metric++)
        if (strcmp(metric->name, name) == 0)
            return cells_sum(listing->cells, cell, metric->offset);
    return 0;
}

static const struct reach *reach_of(const struct listing *listing, unsigned cell, unsigned worker)
{
    const char *block = cells_get(listing->cells, cell, worker);

    return (const struct reach *)(const void *)(block + listing->reach);
}

/* The worker that has failed most often in a row, and the error that came last of all. */
static void add_reach(json_t *row, const struct listing *listing, unsigned cell)
{
    uint64_t failures = 0;
    uint64_t retry_at = 0;
    uint64_t latest = 0;
    char error[NOTE_TEXT] = "";
    char when[CLOCK_TEXT] = "";
    uint64_t now = clock_now();

    for (unsigned w = 0; w < listing->cells->workers; w++) {
        const struct reach *reach = reach_of(listing, cell, w);
        char text[NOTE_TEXT];
        uint64_t time = note_get(&reach->last_error, text);
        if (counter_get(&reach->failures) > failures) {
            failures = counter_get(&reach->failures);
            retry_at = counter_get(&reach->retry_at);
        }
        if (time > latest) {
            latest = time;
            memcpy(error, text, sizeof(error));
        }
    }
    if (latest > 0)
        clock_format(latest, when);
    set_count(row, "failures", failures);
    set_count(row, "retry_ms", retry_at > now ? (retry_at - now) / 1000 : 0);
    set_text(row, "last_error", error);
    set_text(row, "last_error_at", when);
}

/* A row with everything that is known of both; its owner is the list. */
static json_t *add_row(const struct listing *listing, const struct plan_backend *backend,
                       const char *name)
{
    json_t *row = json_object();
    char addresses[ADDRESS_TEXT * 4];

    set_text(row, name, backend->config->endpoint.text);
    set_text(row, "address", addresses_format(&backend->addresses, addresses, sizeof(addresses)));
    set_count(row, "weight", backend->config->weight);
    for (const struct metric *metric = listing->metrics; metric->name != NULL; metric++)
        if (strcmp(metric->name, "up") != 0 && strcmp(metric->name, "down") != 0 &&
            strcmp(metric->name, "drained") != 0)
            set_count(row, metric->name, cells_sum(listing->cells, backend->cell, metric->offset));
    add_reach(row, listing, backend->cell);
    (void)json_array_append_new(listing->rows, row);
    return row;
}

static const struct plan *plan_of(const struct control_call *call)
{
    return call->host->plan(call->host->context);
}

static bool begin(struct control_reply *reply, struct listing *listing, bool present,
                  const struct table_column *columns, const char *refusal)
{
    if (!present) {
        control_reply_error(reply, CONTROL_REFUSED, "%s", refusal);
        return false;
    }
    listing->rows = reply->data = json_array();
    reply->columns = columns;
    return true;
}

void command_show_servers(struct control_call *call, struct control_reply *reply)
{
    static const struct table_column columns[] = { { "server", "SERVER" },
                                                   { "address", "ADDRESS" },
                                                   { "weight", "WEIGHT" },
                                                   { "state", "STATE" },
                                                   { "connections", "CONNECTIONS" },
                                                   { "waiting", "WAITING" },
                                                   { "requests", "REQUESTS" },
                                                   { "timeouts", "TIMEOUTS" },
                                                   { "connect_failures", "NOT REACHED" },
                                                   { "protocol_errors", "NONSENSE" },
                                                   { "closed_by_server", "CLOSED" },
                                                   { "journal_pending", "NOT TOLD" },
                                                   { "journal_oldest", "SINCE S" },
                                                   { "journal_replayed", "TOLD LATER" },
                                                   { "journal_dropped", "LOST" },
                                                   { "failures", "FAILED IN A ROW" },
                                                   { "retry_ms", "NEXT TRY MS" },
                                                   { "last_error", "LAST ERROR" },
                                                   { NULL, NULL } };
    const struct plan *plan = plan_of(call);
    struct listing listing = { call->host->telemetry(call->host->context)->mc_servers,
                               mc_server_metrics, offsetof(struct mc_server_cell, reach), NULL };

    if (!begin(reply, &listing, plan->config->cache.present, columns,
               "there is no cache plane: the configuration has no cache section"))
        return;
    for (size_t i = 0; i < plan->config->cache.server_count; i++) {
        const struct plan_backend *server = &plan->servers[i];
        uint64_t up = sum(&listing, server->cell, "up");
        uint64_t down = sum(&listing, server->cell, "down");
        json_t *row = add_row(&listing, server, "server");
        set_text(row, "state",
                 server->drained      ? "drained"
                 : down > 0 && up > 0 ? "partly down"
                 : down > 0           ? "down"
                 : up > 0             ? "up"
                                      : "not used yet");
        set_count(row, "connections", up);
    }
}

void command_show_backends(struct control_call *call, struct control_reply *reply)
{
    static const struct table_column columns[] = { { "arm", "ARM" },
                                                   { "backend", "BACKEND" },
                                                   { "address", "ADDRESS" },
                                                   { "weight", "WEIGHT" },
                                                   { "state", "STATE" },
                                                   { "active", "ACTIVE" },
                                                   { "idle", "IDLE" },
                                                   { "requests", "REQUESTS" },
                                                   { "timeouts", "TIMEOUTS" },
                                                   { "connect_failures", "NOT REACHED" },
                                                   { "protocol_errors", "NONSENSE" },
                                                   { "last_error", "LAST ERROR" },
                                                   { NULL, NULL } };
    const struct plan *plan = plan_of(call);
    struct listing listing = { call->host->telemetry(call->host->context)->http_backends,
                               http_backend_metrics, offsetof(struct http_backend_cell, reach),
                               NULL };

    if (!begin(reply, &listing, plan->config->web.present, columns,
               "there is no web plane: the configuration has no web section"))
        return;
    for (size_t a = 0; a < plan->config->arm_count; a++)
        for (size_t i = 0; i < plan->arms[a].backend_count; i++) {
            const struct plan_backend *backend = &plan->arms[a].backends[i];
            uint64_t down = sum(&listing, backend->cell, "down");
            json_t *row = add_row(&listing, backend, "backend");
            set_text(row, "arm", plan->config->arms[a].name);
            set_text(row, "state",
                     down == 0                       ? "up"
                     : down < listing.cells->workers ? "partly down"
                                                     : "down");
        }
}
