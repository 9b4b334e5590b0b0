#include "crossfade/base/histogram.h"
#include "crossfade/conf/load.h"
#include "crossfade/control/commands.h"

#include <stdio.h>
#include <string.h>

static const struct plan *plan_of(const struct control_call *call)
{
    return call->host->plan(call->host->context);
}

static struct telemetry *telemetry_of(const struct control_call *call)
{
    return call->host->telemetry(call->host->context);
}

static void set_count(json_t *row, const char *name, uint64_t n)
{
    (void)json_object_set_new(row, name, json_integer((json_int_t)n));
}

static uint64_t mc_arm(const struct telemetry *t, unsigned cell, size_t offset)
{
    return cells_sum(t->mc_arms, cell, offset);
}

static uint64_t http_arm(const struct telemetry *t, unsigned cell, size_t offset)
{
    return cells_sum(t->http_arms, cell, offset);
}

#define MC_ARM(t, cell, field) mc_arm(t, cell, offsetof(struct mc_arm_cell, field))
#define HTTP_ARM(t, cell, field) http_arm(t, cell, offsetof(struct http_arm_cell, field))

/* Share of hits among the keys asked for, or nothing to say. */
static json_t *hit_ratio(uint64_t hits, uint64_t misses)
{
    if (hits + misses == 0)
        return json_null();
    return json_sprintf("%.1f %%", 100.0 * (double)hits / (double)(hits + misses));
}

/* A quantile of a latency over all workers, microseconds. */
static uint64_t quantile(const struct cells *cells, unsigned cell, size_t offset, unsigned ppm)
{
    struct histogram_view view;

    memset(&view, 0, sizeof(view));
    for (unsigned w = 0; w < cells->workers; w++)
        histogram_view_add(&view, (const struct histogram *)(const void *)((const char *)cells_get(
                                                                               cells, cell, w) +
                                                                           offset));
    return histogram_view_quantile(&view, ppm);
}

void command_show_arms(struct control_call *call, struct control_reply *reply)
{
    static const struct table_column columns[] = { { "arm", "ARM" },
                                                   { "role", "ROLE" },
                                                   { "prefix", "PREFIX" },
                                                   { "activation", "AT START OR RETRY" },
                                                   { "backends", "BACKENDS" },
                                                   { "requests", "REQUESTS" },
                                                   { "errors", "5XX" },
                                                   { "p99_us", "P99 US" },
                                                   { "clients", "CACHE CLIENTS" },
                                                   { "gets", "GETS" },
                                                   { "hit_ratio", "HITS" },
                                                   { NULL, NULL } };
    const struct plan *plan = plan_of(call);
    const struct config *config = plan->config;
    const struct telemetry *t = telemetry_of(call);

    reply->data = json_array();
    reply->columns = columns;
    for (unsigned i = 0; i < config->arm_count; i++) {
        const struct plan_arm *arm = &plan->arms[i];
        const char *role = !config->rollout.present    ? ""
                           : i == config->rollout.from ? "stable"
                           : i == config->rollout.to   ? "candidate"
                                                       : "";
        struct slice prefix =
            plan->keyspace != NULL ? keyspace_prefix(plan->keyspace, i) : slice_of("", 0);
        json_t *row = json_pack("{s:s, s:s}", "arm", config->arms[i].name, "role", role);
        (void)json_object_set_new(row, "prefix",
                                  json_stringn(prefix.len > 0 ? prefix.data : "", prefix.len));
        (void)json_object_set_new(row, "activation",
                                  json_string(plan->keyspace == NULL    ? ""
                                              : prefix.len > 0          ? "next generation"
                                              : config->cache.has_epoch ? "of epoch keys only"
                                                                        : "keeps its entries"));
        set_count(row, "backends", arm->backend_count);
        set_count(row, "requests", HTTP_ARM(t, arm->web_cell, requests));
        set_count(row, "errors", HTTP_ARM(t, arm->web_cell, responses_5xx));
        set_count(
            row, "p99_us",
            quantile(t->http_arms, arm->web_cell, offsetof(struct http_arm_cell, latency), 990000));
        set_count(row, "clients", MC_ARM(t, arm->cache_cell, connections_current));
        set_count(row, "gets", MC_ARM(t, arm->cache_cell, gets));
        (void)json_object_set_new(
            row, "hit_ratio",
            hit_ratio(MC_ARM(t, arm->cache_cell, hits), MC_ARM(t, arm->cache_cell, misses)));
        (void)json_array_append_new(reply->data, row);
    }
}

void command_show_cache(struct control_call *call, struct control_reply *reply)
{
    static const struct table_column columns[] = { { "arm", "ARM" },
                                                   { "clients", "CLIENTS" },
                                                   { "gets", "GETS" },
                                                   { "hit_ratio", "HITS" },
                                                   { "sets", "SETS" },
                                                   { "fills", "FILLS" },
                                                   { "mutations", "MUTATIONS" },
                                                   { "deletes", "DELETES" },
                                                   { "companions", "COMPANIONS" },
                                                   { "companions_failed", "NOT TOLD" },
                                                   { "stale_refused", "STALE" },
                                                   { "fills_refused", "NOT KEPT" },
                                                   { "refused", "REFUSED" },
                                                   { "failed", "FAILED" },
                                                   { "p50_us", "P50 US" },
                                                   { "p99_us", "P99 US" },
                                                   { NULL, NULL } };
    const struct plan *plan = plan_of(call);
    const struct telemetry *t = telemetry_of(call);

    if (!plan->config->cache.present) {
        control_reply_error(reply, CONTROL_REFUSED,
                            "there is no cache plane: the configuration has no cache section");
        return;
    }
    reply->data = json_array();
    reply->columns = columns;
    for (unsigned i = 0; i < plan->config->arm_count; i++) {
        unsigned cell = plan->arms[i].cache_cell;
        json_t *row = json_pack("{s:s}", "arm", plan->config->arms[i].name);
        set_count(row, "clients", MC_ARM(t, cell, connections_current));
        set_count(row, "gets", MC_ARM(t, cell, gets));
        (void)json_object_set_new(row, "hit_ratio",
                                  hit_ratio(MC_ARM(t, cell, hits), MC_ARM(t, cell, misses)));
        set_count(row, "hits", MC_ARM(t, cell, hits));
        set_count(row, "misses", MC_ARM(t, cell, misses));
        set_count(row, "sets", MC_ARM(t, cell, sets));
        set_count(row, "fills", MC_ARM(t, cell, sets_as_fill));
        set_count(row, "mutations", MC_ARM(t, cell, sets_as_mutation));
        set_count(row, "deletes", MC_ARM(t, cell, deletes));
        set_count(row, "companions", MC_ARM(t, cell, companions));
        set_count(row, "companions_failed", MC_ARM(t, cell, companions_failed));
        set_count(row, "stale_refused", MC_ARM(t, cell, stale_refused));
        set_count(row, "fills_refused", MC_ARM(t, cell, fills_refused));
        set_count(row, "told_deletes", MC_ARM(t, cell, told_deletes));
        set_count(row, "told_mutations", MC_ARM(t, cell, told_mutations));
        set_count(row, "told_changes", MC_ARM(t, cell, told_changes));
        set_count(row, "refused", MC_ARM(t, cell, refused));
        set_count(row, "guarded", MC_ARM(t, cell, guarded));
        set_count(row, "failed", MC_ARM(t, cell, failed));
        set_count(row, "p50_us",
                  quantile(t->mc_arms, cell, offsetof(struct mc_arm_cell, latency), 500000));
        set_count(row, "p99_us",
                  quantile(t->mc_arms, cell, offsetof(struct mc_arm_cell, latency), 990000));
        (void)json_array_append_new(reply->data, row);
    }
}

static void add_cells(json_t *rows, const char *group, const struct cells *cells,
                      const struct metric *metrics)
{
    for (unsigned i = 0; i < cells_count(cells); i++)
        for (const struct metric *metric = metrics; metric->name != NULL; metric++) {
            json_t *row = json_pack("{s:s, s:s, s:s}", "group", group, "of", cells_name(cells, i),
                                    "counter", metric->name);
            set_count(row, "value", cells_sum(cells, i, metric->offset));
            (void)json_array_append_new(rows, row);
        }
}

void command_show_stats(struct control_call *call, struct control_reply *reply)
{
    static const struct table_column columns[] = { { "group", "GROUP" },
                                                   { "of", "OF" },
                                                   { "value", "VALUE" },
                                                   { "counter", "COUNTER" },
                                                   { NULL, NULL } };
    const struct telemetry *t = telemetry_of(call);

    reply->data = json_array();
    reply->columns = columns;
    add_cells(reply->data, "cache arm", t->mc_arms, mc_arm_metrics);
    add_cells(reply->data, "cache listener", t->mc_listeners, mc_listener_metrics);
    add_cells(reply->data, "cache server", t->mc_servers, mc_server_metrics);
    add_cells(reply->data, "tls listener", t->tls, tls_metrics);
    add_cells(reply->data, "web arm", t->http_arms, http_arm_metrics);
    add_cells(reply->data, "web backend", t->http_backends, http_backend_metrics);
    add_cells(reply->data, "name", t->names, name_metrics);
    add_cells(reply->data, "process", t->workers, worker_metrics);
}

static void add_key(void *context, const char *path, const char *value, const char *standard,
                    unsigned line, bool restart)
{
    json_t *rows = context;
    bool secret = strcmp(path, "rollout.salt") == 0;

    (void)json_array_append_new(
        rows, json_pack("{s:s, s:s, s:s, s:o, s:s}", "key", path, "value",
                        secret ? "(not shown)" : value, "default", standard != NULL ? standard : "",
                        "line", line > 0 ? json_integer((json_int_t)line) : json_string("default"),
                        "change", restart ? "restart" : "reload"));
}

void command_show_config(struct control_call *call, struct control_reply *reply)
{
    static const struct table_column columns[] = {
        { "key", "KEY" },   { "value", "VALUE" },           { "default", "DEFAULT" },
        { "line", "LINE" }, { "change", "A CHANGE NEEDS" }, { NULL, NULL }
    };

    reply->data = json_array();
    reply->columns = columns;
    config_describe(plan_of(call)->config, add_key, reply->data);
}
