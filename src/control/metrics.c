/*
 * /metrics. Names by Prometheus' conventions: crossfade_<what>_<field>, "_total" behind a counter,
 * base units (seconds, bytes), labels for the arm, server, backend or worker. The rows of the
 * metric tables (relay/telemetry.h) give name and help; each name has its HELP and TYPE once,
 * before its samples.
 */
#include "config.h"

#include "crossfade/base/clock.h"
#include "crossfade/base/histogram.h"
#include "crossfade/control/admin_http.h"

#include <event2/buffer.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Upper edges of the latency buckets, microseconds. */
static const uint64_t edges[] = {
    50,    100,   250,    500,    1000,   2500,    5000,    10000,
    25000, 50000, 100000, 250000, 500000, 1000000, 2500000, 10000000
};

/* A label's value, escaped as the format wants it. */
static void add_label(struct evbuffer *out, const char *name, const char *value, size_t len)
{
    (void)evbuffer_add_printf(out, "%s=\"", name);
    for (size_t i = 0; i < len; i++) {
        if (value[i] == '\\' || value[i] == '"')
            (void)evbuffer_add(out, "\\", 1);
        if (value[i] == '\n')
            (void)evbuffer_add(out, "\\n", 2);
        else
            (void)evbuffer_add(out, value + i, 1);
    }
    (void)evbuffer_add(out, "\"", 1);
}

/* What a set of cells is in /metrics. */
struct family {
    const struct cells *cells;
    const struct metric *metrics;
    const char *prefix;
    const char *label;  /* of the cell's name... */
    const char *label2; /* ...or of its two halves, split at the first space; NULL: not split */
    size_t histogram;   /* offset of its latency; 0: none */
    const char *histogram_help;
};

static void add_labels(struct evbuffer *out, const struct family *family, unsigned index)
{
    const char *name = cells_name(family->cells, index);
    const char *space = family->label2 != NULL ? strchr(name, ' ') : NULL;

    add_label(out, family->label, name, space != NULL ? (size_t)(space - name) : strlen(name));
    if (space != NULL) {
        (void)evbuffer_add(out, ",", 1);
        add_label(out, family->label2, space + 1, strlen(space + 1));
    }
}

static void add_fields(struct evbuffer *out, const struct family *family)
{
    for (const struct metric *metric = family->metrics; metric->name != NULL; metric++) {
        const char *total = metric->kind == METRIC_COUNTER &&
                                    (strlen(metric->name) < 6 ||
                                     strcmp(metric->name + strlen(metric->name) - 6, "_total") != 0)
                                ? "_total"
                                : "";
        (void)evbuffer_add_printf(out, "# HELP crossfade_%s_%s%s %s\n# TYPE crossfade_%s_%s%s %s\n",
                                  family->prefix, metric->name, total, metric->help, family->prefix,
                                  metric->name, total,
                                  metric->kind == METRIC_COUNTER ? "counter" : "gauge");
        for (unsigned i = 0; i < cells_count(family->cells); i++) {
            (void)evbuffer_add_printf(out, "crossfade_%s_%s%s{", family->prefix, metric->name,
                                      total);
            add_labels(out, family, i);
            (void)evbuffer_add_printf(
                out, "} %llu\n", (unsigned long long)cells_sum(family->cells, i, metric->offset));
        }
    }
}

static void add_histogram(struct evbuffer *out, const struct family *family, unsigned index)
{
    struct histogram_view view;

    memset(&view, 0, sizeof(view));
    for (unsigned w = 0; w < family->cells->workers; w++)
        histogram_view_add(
            &view, (const struct histogram *)(const void *)((const char *)cells_get(family->cells,
                                                                                    index, w) +
                                                            family->histogram));
    for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
        (void)evbuffer_add_printf(out, "crossfade_%s_latency_seconds_bucket{", family->prefix);
        add_labels(out, family, index);
        (void)evbuffer_add_printf(out, ",le=\"%.9g\"} %llu\n", (double)edges[i] / 1e6,
                                  (unsigned long long)histogram_view_below(&view, edges[i]));
    }
    (void)evbuffer_add_printf(out, "crossfade_%s_latency_seconds_bucket{", family->prefix);
    add_labels(out, family, index);
    (void)evbuffer_add_printf(out, ",le=\"+Inf\"} %llu\n", (unsigned long long)view.count);
    (void)evbuffer_add_printf(out, "crossfade_%s_latency_seconds_sum{", family->prefix);
    add_labels(out, family, index);
    (void)evbuffer_add_printf(out, "} %.6f\n", (double)view.sum / 1e6);
    (void)evbuffer_add_printf(out, "crossfade_%s_latency_seconds_count{", family->prefix);
    add_labels(out, family, index);
    (void)evbuffer_add_printf(out, "} %llu\n", (unsigned long long)view.count);
}

static void add_family(struct evbuffer *out, const struct family *family)
{
    if (cells_count(family->cells) == 0)
        return;
    add_fields(out, family);
    if (family->histogram == 0)
        return;
    (void)evbuffer_add_printf(out,
                              "# HELP crossfade_%s_latency_seconds %s\n"
                              "# TYPE crossfade_%s_latency_seconds histogram\n",
                              family->prefix, family->histogram_help, family->prefix);
    for (unsigned i = 0; i < cells_count(family->cells); i++)
        add_histogram(out, family, i);
}

/* One block for each worker, and each worker a label. */
static void add_workers(struct evbuffer *out, const struct cells *cells)
{
    for (const struct metric *metric = worker_metrics; metric->name != NULL; metric++) {
        const char *total = metric->kind == METRIC_COUNTER ? "_total" : "";
        (void)evbuffer_add_printf(
            out, "# HELP crossfade_worker_%s%s %s\n# TYPE crossfade_worker_%s%s %s\n", metric->name,
            total, metric->help, metric->name, total,
            metric->kind == METRIC_COUNTER ? "counter" : "gauge");
        for (unsigned w = 0; w < cells->workers; w++) {
            const char *block = cells_get(cells, 0, w);
            (void)evbuffer_add_printf(out, "crossfade_worker_%s%s{worker=\"%u\"} %llu\n",
                                      metric->name, total, w,
                                      (unsigned long long)counter_get(
                                          (const counter *)(const void *)(block + metric->offset)));
        }
    }
}

/* What stands in front of an arm's keys: to be joined with its counters by the label arm. */
static void add_namespaces(struct evbuffer *out, const struct plan *plan)
{
    if (plan->keyspace == NULL)
        return;
    (void)evbuffer_add_printf(out,
                              "# HELP crossfade_cache_namespace_info The namespace of an arm, and "
                              "the prefix of its keys with the generation.\n"
                              "# TYPE crossfade_cache_namespace_info gauge\n");
    for (unsigned i = 0; i < plan->config->arm_count; i++) {
        const struct config_arm *arm = &plan->config->arms[i];
        struct slice prefix = keyspace_prefix(plan->keyspace, i);
        (void)evbuffer_add_printf(out, "crossfade_cache_namespace_info{");
        add_label(out, "arm", arm->name, strlen(arm->name));
        (void)evbuffer_add(out, ",", 1);
        add_label(out, "namespace", arm->namespace, strlen(arm->namespace));
        (void)evbuffer_add(out, ",", 1);
        add_label(out, "prefix", prefix.data, prefix.len);
        (void)evbuffer_add_printf(out, "} 1\n");
    }
}

static void add_gauge(struct evbuffer *out, const char *name, const char *help, double value)
{
    (void)evbuffer_add_printf(out, "# HELP crossfade_%s %s\n# TYPE crossfade_%s gauge\n", name,
                              help, name);
    (void)evbuffer_add_printf(out, "crossfade_%s %.15g\n", name, value);
}

static void add_rollout(struct evbuffer *out, const struct rollout *rollout)
{
    const struct rollout_status *status = rollout_status(rollout);

    (void)evbuffer_add_printf(out, "# HELP crossfade_rollout_state The state of the rollout: 1 for "
                                   "the one that it is in.\n"
                                   "# TYPE crossfade_rollout_state gauge\n");
    for (int state = ROLLOUT_IDLE; state <= ROLLOUT_ABORTED; state++)
        (void)evbuffer_add_printf(out, "crossfade_rollout_state{state=\"%s\"} %d\n",
                                  rollout_state_name((enum rollout_state)state),
                                  status->state == (enum rollout_state)state);
    add_gauge(out, "rollout_stage", "The stage reached, from 1; 0: none.", status->stage + 1);
    add_gauge(out, "rollout_share_ratio", "The share of users on the candidate, 0 to 1.",
              (double)status->percent / PERCENT_ALL);
    add_gauge(out, "rollout_generation", "Raised by every change of the rollout.",
              (double)status->generation);
    add_gauge(out, "rollout_unsaved", "1 while the disk refuses the rollout's state.",
              status->unsaved ? 1 : 0);
}

void metrics_write(const struct control_host *host, struct evbuffer *out)
{
    const struct telemetry *t = host->telemetry(host->context);
    const struct rollout *rollout = host->rollout(host->context);
    const struct family families[] = {
        { t->mc_arms, mc_arm_metrics, "cache", "arm", NULL, offsetof(struct mc_arm_cell, latency),
          "From a cache command to its reply." },
        { t->mc_listeners, mc_listener_metrics, "cache_listener", "listener", NULL, 0, NULL },
        { t->mc_servers, mc_server_metrics, "cache_server", "server", NULL, 0, NULL },
        { t->tls, tls_metrics, "tls", "listener", NULL, 0, NULL },
        { t->http_arms, http_arm_metrics, "web", "arm", NULL,
          offsetof(struct http_arm_cell, latency), "From a request's head to its response's end." },
        { t->http_backends, http_backend_metrics, "web_backend", "arm", "backend", 0, NULL },
        { t->names, name_metrics, "name", "name", NULL, 0, NULL },
    };

    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
        add_family(out, &families[i]);
    add_namespaces(out, host->plan(host->context));
    add_workers(out, t->workers);
    if (rollout != NULL)
        add_rollout(out, rollout);
    add_gauge(out, "start_time_seconds", "When the daemon started, seconds since 1970.",
              (double)host->started(host->context) / 1e6);
    (void)evbuffer_add_printf(out, "# HELP crossfade_build_info The version of the daemon.\n"
                                   "# TYPE crossfade_build_info gauge\n"
                                   "crossfade_build_info{version=\"" PACKAGE_VERSION "\"} 1\n");
}
