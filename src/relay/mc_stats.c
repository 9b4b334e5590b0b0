#include "crossfade/relay/mc_stats.h"

#include "crossfade/relay/mc_pools.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
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
    ROW("cmd_get", gets),
    ROW("cmd_set", sets),
    ROW("cmd_flush", flushes),
    ROW("cmd_touch", touches),
    ROW("get_hits", hits),
    ROW("get_misses", misses),
    ROW("delete_hits", delete_hits),
    ROW("delete_misses", delete_misses),
    ROW("incr_hits", incr_hits),
    ROW("incr_misses", incr_misses),
    ROW("decr_hits", decr_hits),
    ROW("decr_misses", decr_misses),
    ROW("cas_hits", cas_hits),
    ROW("cas_misses", cas_misses),
    ROW("cas_badval", cas_badval),
    ROW("touch_hits", touch_hits),
    ROW("touch_misses", touch_misses),
    ROW("bytes_read", bytes_read),
    ROW("bytes_written", bytes_written),
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

    add(reply, "pid", "%ld", (long)getpid());
    add_number(reply, "uptime", (wall - telemetry->started) / SECONDS(1));
    add_number(reply, "time", wall / SECONDS(1));
    add(reply, "version", "%s", MC_VERSION_TEXT);
    add_number(reply, "pointer_size", sizeof(void *) * 8);
    add_number(reply, "threads", telemetry->workers->workers);
    for (size_t i = 0; i < sizeof(general) / sizeof(general[0]); i++)
        add_number(reply, general[i].name, sum(reply, general[i].offset));
}

/* The proxy's own: what memcached has no name for. */
static void add_own(const struct reply *reply)
{
    const struct config_arm *arm =
        mc_client_plan(reply->client)->arms[reply->client->arm].config;

    add(reply, "arm", "%.64s", arm->name);
    add(reply, "namespace", "%.64s", arm->namespace);
    for (const struct metric *metric = mc_arm_metrics; metric->name != NULL; metric++)
        add_number(reply, metric->name, sum(reply, metric->offset));
}

static void add_settings(const struct reply *reply)
{
    const struct config_cache *config = mc_view_config(reply->client->view);

    add_number(reply, "num_threads", reply->client->plane->worker->telemetry->workers->workers);
    add_number(reply, "item_size_max", config->max_value);
    add(reply, "cas_enabled", "yes");
    add(reply, "flush_enabled", "%s", config->flush_all == FLUSH_REFUSE ? "no" : "yes");
    add(reply, "binding_protocol", "auto-negotiate");
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
    } else if (slice_starts(arguments, SLICE("reset")) ||
               slice_starts(arguments, SLICE("detail")) ||
               slice_starts(arguments, SLICE("cachedump"))) {
        return refuse(client, MC_STATS_REFUSED);
    } else if (!slice_equal(arguments, SLICE("items")) &&
               !slice_equal(arguments, SLICE("slabs")) &&
               !slice_equal(arguments, SLICE("conns"))) {
        return refuse(client, MC_STATS_UNKNOWN);
    }
    return MC_STATS_OK;
}
