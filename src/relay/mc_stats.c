/*
 * `stats` for a client: the counters of its own arm, under memcached's names, so that dashboards and
 * exporters that know memcached go on working. They are the proxy's counters, of this daemon, not
 * those of the servers behind it.
 */
#include "crossfade/relay/mc_pools.h"

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
    struct mc_client *client;
    char text[8192];
    size_t len;
};

static void add(struct reply *reply, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct reply *reply, const char *format, ...)
{
    va_list arguments;
    int len;

    va_start(arguments, format);
    len = vsnprintf(reply->text + reply->len, sizeof(reply->text) - reply->len, format, arguments);
    va_end(arguments);
    ensure(len > 0 && reply->len + (size_t)len < sizeof(reply->text));
    reply->len += (size_t)len;
}

static uint64_t sum(const struct reply *reply, size_t offset)
{
    const struct mc_client *client = reply->client;
    const struct plan *plan = client->view->pin->snapshot->plan;

    return cells_sum(client->plane->worker->telemetry->mc_arms, plan->arms[client->arm].cache_cell,
                     offset);
}

static void add_general(struct reply *reply)
{
    const struct worker *worker = reply->client->plane->worker;
    uint64_t wall = clock_wall();

    add(reply, "STAT pid %ld\r\n", (long)getpid());
    add(reply, "STAT uptime %llu\r\n",
        (unsigned long long)((wall - worker->telemetry->started) / 1000000u));
    add(reply, "STAT time %llu\r\n", (unsigned long long)(wall / 1000000u));
    add(reply, "STAT version " MC_VERSION_TEXT "\r\n");
    add(reply, "STAT pointer_size %zu\r\n", sizeof(void *) * 8);
    add(reply, "STAT threads %u\r\n", worker->telemetry->workers->workers);
    for (size_t i = 0; i < sizeof(general) / sizeof(general[0]); i++)
        add(reply, "STAT %s %llu\r\n", general[i].name,
            (unsigned long long)sum(reply, general[i].offset));
}

/* The proxy's own: what memcached has no name for. */
static void add_own(struct reply *reply)
{
    const struct mc_client *client = reply->client;
    const struct plan *plan = client->view->pin->snapshot->plan;

    add(reply, "STAT arm %.64s\r\n", plan->arms[client->arm].config->name);
    add(reply, "STAT namespace %.64s\r\n", plan->arms[client->arm].config->namespace);
    for (const struct metric *metric = mc_arm_metrics; metric->name != NULL; metric++)
        add(reply, "STAT %s %llu\r\n", metric->name,
            (unsigned long long)sum(reply, metric->offset));
}

static void add_settings(struct reply *reply)
{
    const struct config_cache *config = mc_view_config(reply->client->view);

    add(reply, "STAT num_threads %u\r\n", reply->client->plane->worker->telemetry->workers->workers);
    add(reply, "STAT item_size_max %llu\r\n", (unsigned long long)config->max_value);
    add(reply, "STAT cas_enabled yes\r\n");
    add(reply, "STAT flush_enabled %s\r\n", config->flush_all == FLUSH_REFUSE ? "no" : "yes");
    add(reply, "STAT binding_protocol ascii\r\n");
}

bool mc_stats(struct mc_client *client, struct slice arguments)
{
    struct reply reply = { .client = client };

    if (arguments.len == 0) {
        add_general(&reply);
    } else if (slice_equal(arguments, SLICE("crossfade"))) {
        add_own(&reply);
    } else if (slice_equal(arguments, SLICE("settings"))) {
        add_settings(&reply);
    } else if (slice_equal(arguments, SLICE("sizes"))) {
        add(&reply, "STAT sizes_status disabled\r\n");
    } else if (slice_starts(arguments, SLICE("reset")) ||
               slice_starts(arguments, SLICE("detail")) ||
               slice_starts(arguments, SLICE("cachedump"))) {
        counter_add(&client->cell->refused, 1);
        return mc_client_answer(client, SLICE("CLIENT_ERROR this command is refused here: it "
                                              "reaches beyond your own version's keys\r\n"));
    } else if (!slice_equal(arguments, SLICE("items")) &&
               !slice_equal(arguments, SLICE("slabs")) &&
               !slice_equal(arguments, SLICE("conns"))) {
        counter_add(&client->cell->refused, 1);
        return mc_client_answer(client, SLICE("ERROR\r\n"));
    }
    add(&reply, "END\r\n");
    return mc_client_answer(client, slice_of(reply.text, reply.len));
}
