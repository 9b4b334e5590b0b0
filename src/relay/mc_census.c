#include "crossfade/relay/mc_census.h"

#include "crossfade/relay/mc_pools.h"
#include "crossfade/relay/mc_strangers.h"

#include <stdio.h>
#include <sys/socket.h>

static const char *stage_of(const struct mc_client *client)
{
    switch ((enum mc_stage)client->stage) {
    case MC_STAGE_SERVED:
        return "served";
    case MC_STAGE_UNKNOWN:
    case MC_STAGE_LOGIN:
        return "has to log in";
    case MC_STAGE_WAITING:
        return "logging in";
    case MC_STAGE_REFUSED:
        return "refused";
    }
    return "";
}

static void write_peer(const struct mc_client *client, char *out, size_t size)
{
    struct address peer = { .len = sizeof(peer.u) };
    char host[ADDRESS_TEXT];
    sa_family_t family;

    out[0] = '\0';
    if (getpeername(client->stream.fd, &peer.u.any, &peer.len) != 0)
        return;
    family = peer.u.any.sa_family;
    address_format_host(&peer, host, sizeof(host));
    if (family == AF_INET)
        (void)snprintf(out, size, "%s:%u", host, (unsigned)ntohs(peer.u.in.sin_port));
    else if (family == AF_INET6)
        (void)snprintf(out, size, "[%s]:%u", host, (unsigned)ntohs(peer.u.in6.sin6_port));
}

static void write_row(const struct mc_client *client, struct mc_census_row *row)
{
    uint64_t now = worker_now(client->plane->worker);

    (void)snprintf(row->who, sizeof(row->who), "%s", client->who != NULL ? client->who : "");
    (void)snprintf(row->arm, sizeof(row->arm), "%s",
                   client->is_stranger ? ""
                                       : mc_client_plan(client)->arms[client->arm].config->name);
    (void)snprintf(row->listener, sizeof(row->listener), "%s",
                   client->listener == MC_NO_LISTENER ? ""
                                                      : mc_client_listener(client)->endpoint.text);
    write_peer(client, row->peer, sizeof(row->peer));
    row->protocol = !client->begun ? "" : client->dialect == &mc_text ? "text" : "binary";
    row->stage = stage_of(client);
    row->tls = client->tls != NULL;
    row->since = now > client->since ? now - client->since : 0;
}

void mc_census_take(struct mc_plane *plane, struct mc_census *census)
{
    const struct mc_client *client;

    census->total = plane->client_count;
    census->count = 0;
    TAILQ_FOREACH (client, &plane->client_list, link) {
        if (census->count == MC_CENSUS_ROWS)
            return;
        write_row(client, &census->rows[census->count++]);
    }
}
