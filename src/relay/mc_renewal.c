#include "crossfade/relay/mc_renewal.h"

#include "crossfade/base/clock.h"
#include "crossfade/base/log.h"
#include "crossfade/relay/mc_errand.h"
#include "crossfade/relay/mc_journal.h"
#include "crossfade/relay/mc_pools.h"

#include <stdlib.h>

/* How far its clock may be from ours, and the rounding of both. (Its uptime begins two seconds before
 * its start, which is the safe side.) */
#define SKEW 2u
#define DOUBT (SKEW + 1u)

struct mc_renewal {
    struct mc_errand errand;
    struct mc_server *server;
    bool settings_known;
};

static void finish(struct mc_renewal *renewal)
{
    struct mc_server *server = renewal->server;

    server->renewal = NULL;
    server->renewal_at = worker_now(server->plane->worker) + MC_RENEWAL_PAUSE;
    free(renewal);
}

static void answered(struct mc_errand *errand, const struct mc_answer *answer);

/* When it was started. 0: not known; a server that has just stood still says times from before. */
static uint64_t start_of(const struct mc_errand *errand, uint64_t now)
{
    uint64_t time = errand->stats.time;

    if (!errand->stats.has_uptime || time + SKEW < now || time > now + SKEW ||
        time <= errand->stats.uptime + DOUBT)
        return 0;
    return time - errand->stats.uptime - DOUBT;
}

static bool ask(struct mc_renewal *renewal, struct slice group)
{
    struct mc_connection *connection = mc_server_shared(renewal->server, &mc_text, 0);

    renewal->errand =
        (struct mc_errand){ .kind = MC_ERRAND_STATS, .wire = group, .answered = answered };
    buffer_init(&renewal->errand.value);
    return connection != NULL && mc_errand_send(connection, &renewal->errand, NULL);
}

static void answered(struct mc_errand *errand, const struct mc_answer *answer)
{
    struct mc_renewal *renewal = (struct mc_renewal *)(void *)errand;
    struct mc_server *server = renewal->server;
    uint64_t now = clock_wall() / SECONDS(1);
    bool done = answer->kind == MC_ANSWER_DONE;

    if (!renewal->settings_known) {
        renewal->settings_known = true;
        if (done && !errand->stats.keeps_memory && ask(renewal, SLICE("")))
            return;
    } else if (done && mc_journal_renewed(server->plane->worker->journal, server->owed,
                                          start_of(errand, now))) {
        log_info("memcached server %s was started after the invalidations that were lost, and is "
                 "believed again",
                 server->name);
    }
    finish(renewal);
}

void mc_renewal_tick(struct mc_server *server, uint64_t now)
{
    struct mc_renewal *renewal;

    if (!mc_owed_lost(server->owed) || server->renewal != NULL || now < server->renewal_at ||
        server->refs == 0 || server->drained || !mc_server_is_usable(server, &mc_text))
        return;
    renewal = malloc(sizeof(*renewal));
    if (renewal == NULL)
        return;
    renewal->server = server;
    renewal->settings_known = false;
    server->renewal = renewal;
    if (!ask(renewal, SLICE("settings")))
        finish(renewal);
}
