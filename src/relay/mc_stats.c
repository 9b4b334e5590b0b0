#include "crossfade/relay/mc_stats.h"

#include "crossfade/relay/mc_pools.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

struct row {
    const char *name;
    size_t offset;
};

#define ROW(name, field)                                                                           \
    {                                                                                              \
        name, offsetof(struct mc_arm_cell, field)                                                  \
    }

static const struct row general[] = {
    ROW("curr_connections", connections_current),
    ROW("total_connections", connections_total),
    ROW("connection_structures", connections_current),
    ROW("cmd_get", gets),
    ROW("cmd_set", sets),
    ROW("cmd_flush", flushes),
    ROW("cmd_touch", touches),
    ROW("get_hits", hits),
    ROW("get_misses", misses),
    ROW("delete_misses", delete_misses),
    ROW("delete_hits", delete_hits),
    ROW("incr_misses", incr_misses),
    ROW("incr_hits", incr_hits),
    ROW("decr_misses", decr_misses),
    ROW("decr_hits", decr_hits),
    ROW("cas_misses", cas_misses),
    ROW("cas_hits", cas_hits),
    ROW("cas_badval", cas_badval),
    ROW("touch_hits", touch_hits),
    ROW("touch_misses", touch_misses),
    ROW("bytes_read", bytes_read),
    ROW("bytes_written", bytes_written),
    ROW("total_items", sets),
};

/*
 * What only a server knows, or what a proxy does not have. Tools read these without looking whether
 * they are there (memcached_exporter before 0.5, Datadog's agent, Munin), so they are, and are
 * nothing.
 */
static const char *const nothing[] = {
    "get_expired",
    "get_flushed",
    "rejected_connections",
    "store_too_large",
    "store_no_memory",
    "limit_maxbytes",
    "listen_disabled_num",
    "time_in_listen_disabled_us",
    "conn_yields",
    "hash_bytes",
    "bytes",
    "curr_items",
    "slabs_moved",
    "lru_crawler_starts",
    "malloc_fails",
    "expired_unfetched",
    "evicted_unfetched",
    "evicted_active",
    "evictions",
    "reclaimed",
    "crawler_reclaimed",
    "crawler_items_checked",
    "lrutail_reflocked",
    "moves_to_cold",
    "moves_to_warm",
    "moves_within_lru",
    "direct_reclaims",
    "lru_bumps_dropped",
};

struct reply {
    const struct mc_client *client;
    mc_stats_add add;
    void *context;
};

static void add(const struct reply *reply, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void add(const struct reply *reply, const char *name, const char *format, ...)
{
    char value[128];
    va_list arguments;
    int len;

    va_start(arguments, format);
    len = vsnprintf(value, sizeof(value), format, arguments);
    va_end(arguments);
    ensure(len >= 0 && (size_t)len < sizeof(value));
    reply->add(reply->context, slice_string(name), slice_of(value, (size_t)len));
}

static void add_number(const struct reply *reply, const char *name, uint64_t number)
{
    add(reply, name, "%" PRIu64, number);
}

static void add_usage(const struct reply *reply, const char *name, const struct timeval *used)
{
    add(reply, name, "%lld.%06ld", (long long)used->tv_sec, (long)used->tv_usec);
}

/* As many connections as descriptors allow: there is no other limit on cache clients. */
static uint64_t connections_limit(void)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? (uint64_t)limit.rlim_cur : 0;
}

static uint64_t sum(const struct reply *reply, size_t offset)
{
    const struct mc_client *client = reply->client;

    return cells_sum(client->plane->worker->telemetry->mc_arms,
                     mc_client_plan(client)->arms[client->arm].cache_cell, offset);
}

static void add_general(const struct reply *reply)
{
    const struct telemetry *telemetry = reply->client->plane->worker->telemetry;
    uint64_t wall = clock_wall();
    struct rusage usage;

    memset(&usage, 0, sizeof(usage));
    (void)getrusage(RUSAGE_SELF, &usage);
    add(reply, "pid", "%ld", (long)getpid());
    add_number(reply, "uptime", (wall - telemetry->started) / SECONDS(1));
    add_number(reply, "time", wall / SECONDS(1));
    add(reply, "version", "%s", MC_VERSION_TEXT);
    add(reply, "libevent", "%s", event_get_version());
    add_number(reply, "pointer_size", sizeof(void *) * 8);
    add_usage(reply, "rusage_user", &usage.ru_utime);
    add_usage(reply, "rusage_system", &usage.ru_stime);
    add_number(reply, "max_connections", connections_limit());
    add_number(reply, "accepting_conns", reply->client->plane->worker->draining ? 0 : 1);
    add_number(reply, "threads", telemetry->workers->workers);
    for (size_t i = 0; i < sizeof(general) / sizeof(general[0]); i++)
        add_number(reply, general[i].name, sum(reply, general[i].offset));
    for (size_t i = 0; i < sizeof(nothing) / sizeof(nothing[0]); i++)
        add_number(reply, nothing[i], 0);
}

/* The proxy's own: what memcached has no name for. */
static void add_own(const struct reply *reply)
{
    const struct config_arm *arm = mc_client_plan(reply->client)->arms[reply->client->arm].config;
    const struct telemetry *telemetry = reply->client->plane->worker->telemetry;

    add(reply, "arm", "%.64s", arm->name);
    add(reply, "namespace", "%.64s", arm->namespace);
    for (const struct metric *metric = mc_arm_metrics; metric->name != NULL; metric++)
        add_number(reply, metric->name, sum(reply, metric->offset));
    /* The memory of misses is one for the process. */
    for (const struct metric *metric = worker_metrics; metric->name != NULL; metric++)
        if (slice_starts(slice_string(metric->name), SLICE("misses_")))
            add_number(reply, metric->name, cells_sum(telemetry->workers, 0, metric->offset));
}

static void add_settings(const struct reply *reply)
{
    const struct config_cache *config = mc_view_config(reply->client->view);

    add_number(reply, "maxbytes", 0);
    add_number(reply, "maxconns", connections_limit());
    add_number(reply, "udpport", 0);
    add_number(reply, "verbosity", 0);
    add(reply, "evictions", "on");
    add(reply, "shutdown_command", "no");
    add(reply, "detail_enabled", "no");
    add_number(reply, "num_threads", reply->client->plane->worker->telemetry->workers->workers);
    add_number(reply, "item_size_max", config->max_value);
    add(reply, "cas_enabled", "yes");
    add(reply, "flush_enabled", "%s", config->flush_all == FLUSH_REFUSE ? "no" : "yes");
    add(reply, "dump_enabled", "no");
    add(reply, "binding_protocol", "auto-negotiate");
    add_number(reply, "idle_timeout", config->idle_timeout / SECONDS(1));
    add(reply, "slab_reassign", "no");
    add(reply, "lru_crawler", "no");
    add(reply, "lru_maintainer_thread", "no");
    add(reply, "track_sizes", "no");
}

/* There are none: as a memcached says it that holds nothing. */
static void add_slabs(const struct reply *reply)
{
    add_number(reply, "active_slabs", 0);
    add_number(reply, "total_malloced", 0);
}

static enum mc_stats_verdict refuse(struct mc_client *client, enum mc_stats_verdict verdict)
{
    counter_add(&client->cell->refused, 1);
    return verdict;
}

enum mc_stats_verdict mc_stats(struct mc_client *client, struct slice arguments,
                               mc_stats_add add_entry, void *context)
{
    const struct reply reply = { .client = client, .add = add_entry, .context = context };

    if (arguments.len == 0) {
        add_general(&reply);
    } else if (slice_equal(arguments, SLICE("crossfade"))) {
        add_own(&reply);
    } else if (slice_equal(arguments, SLICE("settings"))) {
        add_settings(&reply);
    } else if (slice_equal(arguments, SLICE("sizes"))) {
        add(&reply, "sizes_status", "disabled");
    } else if (slice_equal(arguments, SLICE("slabs"))) {
        add_slabs(&reply);
    } else if (slice_starts(arguments, SLICE("reset")) ||
               slice_starts(arguments, SLICE("detail")) ||
               slice_starts(arguments, SLICE("cachedump"))) {
        return refuse(client, MC_STATS_REFUSED);
    } else if (!slice_equal(arguments, SLICE("items")) && !slice_equal(arguments, SLICE("conns"))) {
        return refuse(client, MC_STATS_UNKNOWN);
    }
    return MC_STATS_OK;
}
