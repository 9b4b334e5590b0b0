#include "crossfade/relay/telemetry.h"

#include "crossfade/base/clock.h"

#include <stdlib.h>

#define COUNTER(block, field, text)                                                                \
    {                                                                                              \
#field, text, METRIC_COUNTER, offsetof(struct block, field)                                \
    }
#define COUNTER_OF(block, name, field, text)                                                       \
    {                                                                                              \
        name, text, METRIC_COUNTER, offsetof(struct block, field)                                  \
    }
#define GAUGE(block, field, text)                                                                  \
    {                                                                                              \
#field, text, METRIC_GAUGE, offsetof(struct block, field)                                  \
    }
#define END                                                                                        \
    {                                                                                              \
        NULL, NULL, METRIC_COUNTER, 0                                                              \
    }

const struct metric mc_arm_metrics[] = {
    GAUGE(mc_arm_cell, connections_current, "Cache clients connected now."),
    COUNTER(mc_arm_cell, connections_total, "Cache clients accepted."),
    COUNTER(mc_arm_cell, commands, "Commands received, whatever their answer."),
    COUNTER(mc_arm_cell, gets, "Keys asked for."),
    COUNTER(mc_arm_cell, lookups, "Keys asked for that the daemon itself answers."),
    COUNTER(mc_arm_cell, hits, "Keys asked for and found."),
    COUNTER(mc_arm_cell, misses, "Keys asked for and not found."),
    COUNTER(mc_arm_cell, sets, "Storage commands."),
    COUNTER(mc_arm_cell, sets_as_fill, "Sets taken for the fill of a recent miss, or by a rule."),
    COUNTER(mc_arm_cell, sets_as_mutation, "Sets that invalidated the other arms."),
    COUNTER(mc_arm_cell, deletes, "Delete commands."),
    COUNTER(mc_arm_cell, delete_hits, "Deletes that removed an entry of the own arm."),
    COUNTER(mc_arm_cell, delete_misses, "Deletes that found nothing in the own arm."),
    COUNTER(mc_arm_cell, flushes, "flush_all commands taken."),
    COUNTER(mc_arm_cell, touches, "Keys whose expiry was set by touch, gat or gats."),
    COUNTER(mc_arm_cell, touch_hits, "Touches that found the key."),
    COUNTER(mc_arm_cell, touch_misses, "Touches that did not find the key."),
    COUNTER(mc_arm_cell, cas_hits, "Compare-and-swaps that stored."),
    COUNTER(mc_arm_cell, cas_misses, "Compare-and-swaps of a missing key."),
    COUNTER(mc_arm_cell, cas_badval, "Compare-and-swaps that lost against another writer."),
    COUNTER(mc_arm_cell, incr_hits, "Increments of a present key."),
    COUNTER(mc_arm_cell, incr_misses, "Increments of a missing key."),
    COUNTER(mc_arm_cell, decr_hits, "Decrements of a present key."),
    COUNTER(mc_arm_cell, decr_misses, "Decrements of a missing key."),
    COUNTER(mc_arm_cell, companions, "Deletes sent to the namespaces of other arms."),
    COUNTER(mc_arm_cell, companions_failed,
            "Invalidations of other arms that no server confirmed."),
    COUNTER(mc_arm_cell, stale_refused,
            "Stored values that were not shown: their key has changed since (coherence: epoch)."),
    COUNTER(mc_arm_cell, epochs_absent, "Reads that found no epoch item."),
    COUNTER(mc_arm_cell, epochs_made, "Epoch items that reads have made."),
    COUNTER(mc_arm_cell, fills_refused,
            "Sets and adds not kept: what they were read for may be obsolete (coherence: epoch)."),
    COUNTER(mc_arm_cell, told_mutations, "Invalidations by a set (coherence: epoch)."),
    COUNTER(mc_arm_cell, told_deletes, "Invalidations by a delete (coherence: epoch)."),
    COUNTER(mc_arm_cell, told_changes,
            "Invalidations by append, incr, cas and the like (coherence: epoch)."),
    COUNTER(mc_arm_cell, change_rounds,
            "Changes begun again because another was faster (coherence: epoch)."),
    COUNTER(mc_arm_cell, changes_given_up,
            "Changes refused because others were always faster (coherence: epoch)."),
    COUNTER(mc_arm_cell, noreply_failed, "Commands without a reply that no server confirmed."),
    COUNTER(mc_arm_cell, refused, "Commands refused as the client's fault."),
    COUNTER(mc_arm_cell, guarded, "Values that the guard of a rule refused."),
    COUNTER(mc_arm_cell, failed, "Commands that failed because of a server."),
    COUNTER(mc_arm_cell, bytes_read, "Bytes received from cache clients."),
    COUNTER(mc_arm_cell, bytes_written, "Bytes sent to cache clients."),
    END,
};

const struct metric mc_server_metrics[] = {
    GAUGE(mc_server_cell, up, "Usable connections to the server."),
    GAUGE(mc_server_cell, down, "Workers that hold the server for down."),
    GAUGE(mc_server_cell, drained, "Workers that send the server nothing, as the operator wishes."),
    GAUGE(mc_server_cell, waiting, "Requests without their reply yet."),
    COUNTER(mc_server_cell, requests, "Requests sent to the server."),
    COUNTER(mc_server_cell, batched_keys, "Keys that shared a get command with others."),
    COUNTER(mc_server_cell, turned_away,
            "Requests refused because too many were waiting for the server."),
    COUNTER(mc_server_cell, connects, "Connections made."),
    COUNTER(mc_server_cell, connect_failures, "Connections that could not be made."),
    COUNTER(mc_server_cell, tls_handshakes, "TLS handshakes with the server that were done."),
    COUNTER(mc_server_cell, tls_resumed, "Handshakes that went on with an earlier session."),
    COUNTER(mc_server_cell, tls_failures, "TLS handshakes with the server that failed."),
    COUNTER(mc_server_cell, login_failures, "Connections on which the server refused our login."),
    COUNTER(mc_server_cell, timeouts, "Connections closed because a reply did not come in time."),
    COUNTER(mc_server_cell, protocol_errors, "Connections closed because a reply made no sense."),
    COUNTER(mc_server_cell, closed_by_server, "Connections that the server closed."),
    COUNTER(mc_server_cell, bytes_read, "Bytes received from the server."),
    COUNTER(mc_server_cell, bytes_written, "Bytes sent to the server."),
    GAUGE(mc_server_cell, journal_pending,
          "Invalidations that the server has not been told of; reads there are misses until then."),
    GAUGE(mc_server_cell, journal_oldest, "Seconds that the oldest of them has waited."),
    GAUGE(mc_server_cell, journal_floor,
          "When invalidations for the server were lost last, seconds since 1970; 0: never."),
    COUNTER(mc_server_cell, journal_entries, "Invalidations that could not be delivered."),
    COUNTER(mc_server_cell, journal_replayed, "Of them, those that were delivered later."),
    COUNTER(mc_server_cell, journal_failures, "Attempts to deliver them that came to nothing."),
    COUNTER(mc_server_cell, journal_dropped,
            "Invalidations that were lost: the journal was full, or they were too old."),
    COUNTER(mc_server_cell, journal_overflows, "Of them, those that found the journal full."),
    GAUGE(mc_server_cell, fences,
          "Connections that were given up with unanswered writes, and have not ended yet."),
    END,
};

const struct metric tls_metrics[] = {
    COUNTER(tls_cell, handshakes, "TLS handshakes with clients that were done."),
    COUNTER(tls_cell, resumed, "Handshakes that went on with an earlier session."),
    COUNTER(tls_cell, failed, "TLS handshakes with clients that failed."),
    GAUGE(tls_cell, connections, "Clients connected by TLS now."),
    GAUGE(tls_cell, certificate_expires,
          "When the certificate expires, seconds since 1970; 0: TLS is off now."),
    END,
};

const struct metric mc_listener_metrics[] = {
    COUNTER(mc_listener_cell, connections_total, "Cache clients accepted."),
    GAUGE(mc_listener_cell, strangers, "Cache clients connected now that have no arm yet."),
    COUNTER(mc_listener_cell, refused, "Cache clients that no entry of arms matched."),
    COUNTER(mc_listener_cell, logins, "Logins that were right."),
    COUNTER(mc_listener_cell, logins_known, "Of them, those that had been verified before."),
    COUNTER(mc_listener_cell, logins_failed, "Logins that were wrong."),
    COUNTER(mc_listener_cell, logins_throttled,
            "Of them, those not looked at because too many had failed."),
    COUNTER(mc_listener_cell, logins_given_up, "Cache clients closed because they did not log in."),
    END,
};

const struct metric http_arm_metrics[] = {
    COUNTER(http_arm_cell, requests, "Requests routed to the arm."),
    COUNTER(http_arm_cell, responses_2xx, "Responses with a status of 200 to 299."),
    COUNTER(http_arm_cell, responses_3xx, "Responses with a status of 300 to 399."),
    COUNTER(http_arm_cell, responses_4xx, "Responses with a status of 400 to 499."),
    COUNTER(http_arm_cell, responses_5xx, "Responses with a status of 500 and above."),
    COUNTER(http_arm_cell, connect_errors, "Requests for which no backend could be reached."),
    COUNTER(http_arm_cell, timeouts, "Requests without a response in time."),
    COUNTER(http_arm_cell, resets, "Responses that broke off."),
    COUNTER(http_arm_cell, fallbacks, "Requests that failed here and were answered by stable."),
    COUNTER(http_arm_cell, anonymous, "Requests routed without an identity."),
    COUNTER(http_arm_cell, issued, "Identities given out."),
    GAUGE(http_arm_cell, active, "Requests under way."),
    END,
};

const struct metric http_backend_metrics[] = {
    GAUGE(http_backend_cell, active, "Requests under way."),
    GAUGE(http_backend_cell, idle, "Connections kept for the next request."),
    COUNTER(http_backend_cell, requests, "Requests sent to the backend."),
    COUNTER(http_backend_cell, connects, "Connections made."),
    COUNTER(http_backend_cell, connect_failures, "Connections that could not be made."),
    COUNTER(http_backend_cell, timeouts, "Requests without a response in time."),
    COUNTER(http_backend_cell, protocol_errors, "Responses that made no sense."),
    GAUGE(http_backend_cell, down, "Workers that hold the backend for down."),
    END,
};

const struct metric name_metrics[] = {
    COUNTER(name_cell, lookups, "Look-ups of the name."),
    COUNTER(name_cell, lookup_failures, "Look-ups that failed; the address of before stays."),
    COUNTER(name_cell, address_changes, "Times that the name came to mean other addresses."),
    END,
};

const struct metric worker_metrics[] = {
    COUNTER(worker_cell, turns, "Turns of the event loop."),
    GAUGE(worker_cell, memory_buffers, "Bytes held for buffers."),
    GAUGE(worker_cell, cache_clients, "Cache clients connected now."),
    GAUGE(worker_cell, logins_waiting, "Logins that are being verified or wait for it."),
    GAUGE(worker_cell, web_clients, "Web clients connected now."),
    COUNTER(worker_cell, web_accepted, "Web clients accepted."),
    COUNTER(worker_cell, web_refused, "Web clients turned away at the connection limit."),
    COUNTER(worker_cell, web_bad_requests, "Web requests refused before an arm was chosen."),
    GAUGE(worker_cell, snapshot_generation, "The snapshot that the worker serves."),
    COUNTER_OF(worker_cell, "misses_recorded", misses.recorded, "Misses that were remembered."),
    COUNTER_OF(worker_cell, "misses_fills", misses.fills, "Sets that answered a remembered miss."),
    COUNTER_OF(worker_cell, "misses_none", misses.none, "Sets of which no miss was remembered."),
    COUNTER_OF(worker_cell, "misses_mixed", misses.mixed,
               "Sets not kept because misses from before and after a change were remembered."),
    COUNTER_OF(worker_cell, "misses_doubt", misses.doubt,
               "Sets not kept because the memory of misses could not tell what they were."),
    COUNTER_OF(worker_cell, "misses_lost", misses.lost,
               "Misses that were forgotten too early; cache.recent_misses is too small."),
    END,
};

void reach_failed(struct reach *reach, uint64_t failures, uint64_t retry_at, const char *reason)
{
    counter_set(&reach->failures, failures);
    counter_set(&reach->retry_at, retry_at);
    note_set(&reach->last_error, clock_wall(), reason);
}

void reach_ok(struct reach *reach)
{
    counter_set(&reach->failures, 0);
    counter_set(&reach->retry_at, 0);
}

struct telemetry *telemetry_create(unsigned workers)
{
    struct telemetry *telemetry = calloc(1, sizeof(*telemetry));

    if (telemetry == NULL)
        return NULL;
    telemetry->started = clock_wall();
    telemetry->mc_arms = cells_create(workers, sizeof(struct mc_arm_cell));
    telemetry->mc_listeners = cells_create(workers, sizeof(struct mc_listener_cell));
    telemetry->mc_servers = cells_create(workers, sizeof(struct mc_server_cell));
    telemetry->tls = cells_create(workers, sizeof(struct tls_cell));
    telemetry->http_arms = cells_create(workers, sizeof(struct http_arm_cell));
    telemetry->http_backends = cells_create(workers, sizeof(struct http_backend_cell));
    telemetry->names = cells_create(1, sizeof(struct name_cell));
    telemetry->workers = cells_create(workers, sizeof(struct worker_cell));
    if (telemetry->mc_arms == NULL || telemetry->mc_listeners == NULL ||
        telemetry->mc_servers == NULL || telemetry->tls == NULL || telemetry->http_arms == NULL ||
        telemetry->http_backends == NULL || telemetry->names == NULL ||
        telemetry->workers == NULL || cells_index(telemetry->workers, "worker") < 0) {
        telemetry_destroy(telemetry);
        return NULL;
    }
    return telemetry;
}

void telemetry_destroy(struct telemetry *telemetry)
{
    if (telemetry == NULL)
        return;
    cells_destroy(telemetry->mc_arms);
    cells_destroy(telemetry->mc_listeners);
    cells_destroy(telemetry->mc_servers);
    cells_destroy(telemetry->tls);
    cells_destroy(telemetry->http_arms);
    cells_destroy(telemetry->http_backends);
    cells_destroy(telemetry->names);
    cells_destroy(telemetry->workers);
    free(telemetry);
}
