/*
 * Who a cache client is, and which arm that makes it: what the kernel says about its process, what
 * its certificate says, and, from relay/mc_login.c, under which name it has logged in.
 */
#include "crossfade/net/peer.h"
#include "crossfade/relay/mc_pools.h"
#include "crossfade/relay/mc_strangers.h"
#include "crossfade/route/identity.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define WHO_ROOM 512

const struct config_listener *mc_client_listener(const struct mc_client *client)
{
    return &mc_view_config(client->view)->listeners[client->listener];
}

bool mc_strangers_may_log(struct mc_plane *plane)
{
    uint64_t now = worker_now(plane->worker);

    if (now >= plane->log_again) {
        if (plane->log_left_out > 0)
            log_warn("%u more lines about cache clients that were not let in are left out",
                     plane->log_left_out);
        plane->log_again = now + SECONDS(10);
        plane->log_left_out = 0;
        plane->logged = 0;
    }
    if (plane->logged < 10) {
        plane->logged++;
        return true;
    }
    plane->log_left_out++;
    return false;
}

/* What is known is kept as text for people; without memory for it there is less to show. */
void mc_client_set_who(struct mc_client *client, const char *text)
{
    char *copy = text[0] != '\0' ? strdup(text) : NULL;

    free(client->who);
    client->who = copy;
}

struct facts {
    struct identity identity;
    char executable[4096];
    char who[WHO_ROOM];
    size_t who_len;
};

static void add_who(struct facts *facts, const char *what, struct slice value)
{
    char escaped[300];
    int len = snprintf(facts->who + facts->who_len, sizeof(facts->who) - facts->who_len, "%s%s%s",
                       facts->who_len > 0 ? ", " : "", what,
                       slice_escape(value, escaped, sizeof(escaped)));

    facts->who_len += len > 0 ? (size_t)len : 0;
    if (facts->who_len >= sizeof(facts->who))
        facts->who_len = sizeof(facts->who) - 1;
}

/* What the kernel says of a unix socket's peer, where it makes a difference. */
static void find_process(struct mc_client *client, const struct config_listener *listener,
                         struct facts *facts)
{
    bool wants_executable = identity_asks(listener, CLIENT_EXECUTABLE);
    char number[32];
    uid_t uid;
    pid_t pid;

    if (listener->endpoint.path == NULL ||
        !(wants_executable || identity_asks(listener, CLIENT_UID)) ||
        !peer_credentials(client->stream.fd, &uid, &pid))
        return;
    facts->identity.uid = (int64_t)uid;
    (void)snprintf(number, sizeof(number), "%lld", (long long)uid);
    add_who(facts, "uid ", slice_string(number));
    if (!wants_executable)
        return;
    if (peer_executable(client->stream.fd, pid, facts->executable, sizeof(facts->executable))) {
        facts->identity.executable = slice_string(facts->executable);
        add_who(facts, "", facts->identity.executable);
    } else if (errno != ESRCH && mc_strangers_may_log(client->plane)) {
        log_warn("the program of process %ld at %s cannot be seen (%s): it matches no executable",
                 (long)pid, listener->endpoint.text, strerror(errno));
    }
}

static bool name_matches(void *context, struct slice name)
{
    return identity_match(*(const struct slice *)context, name);
}

static bool has_name(const void *stream, struct slice pattern)
{
    return stream_peer_names(stream, name_matches, &pattern);
}

static bool show_name(void *context, struct slice name)
{
    add_who(context, "certificate ", name);
    return true;
}

/* The first entry that matches what is known without a login. */
static size_t find_entry(struct mc_client *client, const struct config_listener *listener)
{
    struct facts facts;

    facts.identity = (struct identity)IDENTITY_UNKNOWN;
    facts.who[0] = '\0';
    facts.who_len = 0;
    find_process(client, listener, &facts);
    if (identity_asks(listener, CLIENT_CERTIFICATE) &&
        stream_peer_names(&client->stream, show_name, &facts)) {
        facts.identity.has_name = has_name;
        facts.identity.certificate = &client->stream;
    }
    mc_client_set_who(client, facts.who);
    return identity_entry(listener, &facts.identity);
}

static void take_cell(struct mc_client *client, struct mc_arm_cell *cell)
{
    counter_sub(&client->cell->connections_current, 1);
    client->cell = cell;
    counter_add(&cell->connections_total, 1);
    counter_add(&cell->connections_current, 1);
}

void mc_client_become_stranger(struct mc_client *client, enum mc_stage stage)
{
    client->stage = (uint8_t)stage;
    if (client->is_stranger)
        return;
    client->is_stranger = true;
    client->input.secret = true;
    take_cell(client, &client->plane->nobody);
    client->since = worker_now(client->plane->worker);
    TAILQ_INSERT_TAIL(&client->plane->strangers, client, stranger);
    counter_add(&client->listener_cell->strangers, 1);
}

void mc_client_leave_strangers(struct mc_client *client)
{
    if (!client->is_stranger)
        return;
    client->is_stranger = false;
    client->input.secret = false;
    TAILQ_REMOVE(&client->plane->strangers, client, stranger);
    counter_sub(&client->listener_cell->strangers, 1);
}

bool mc_client_settle(struct mc_client *client, size_t entry)
{
    const struct config_listener *listener = mc_client_listener(client);
    const struct plan *plan = mc_client_plan(client);
    struct worker *worker = client->plane->worker;
    unsigned arm = identity_arm(listener, entry);

    if (arm == CONFIG_NO_ARM) {
        client->stage = MC_STAGE_REFUSED;
        counter_add(&client->listener_cell->refused, 1);
        if (mc_strangers_may_log(client->plane))
            log_warn("a cache client at %s is refused: no entry of its arms matches (%s)",
                     listener->endpoint.text, client->who != NULL ? client->who : "unknown");
        return false;
    }
    mc_client_leave_strangers(client);
    client->stage = MC_STAGE_SERVED;
    client->arm = (uint16_t)arm;
    take_cell(client,
              cells_get(worker->telemetry->mc_arms, plan->arms[arm].cache_cell, worker->index));
    return true;
}

void mc_identify(struct mc_client *client)
{
    const struct config_listener *listener = mc_client_listener(client);

    client->entry = (uint16_t)find_entry(client, listener);
    if (listener->sasl != NULL)
        client->stage = MC_STAGE_LOGIN;
    else
        (void)mc_client_settle(client, client->entry);
}

void mc_client_begin_again(struct mc_client *client)
{
    mc_client_become_stranger(client, MC_STAGE_LOGIN);
    /* The listener may have other rules since it was looked at. */
    client->entry = (uint16_t)find_entry(client, mc_client_listener(client));
}

bool mc_client_identify_user(struct mc_client *client, struct slice user)
{
    const struct config_listener *listener = mc_client_listener(client);
    struct identity identity = IDENTITY_UNKNOWN;
    char who[WHO_ROOM + 320];
    char escaped[300];
    size_t entry;

    identity.user = user;
    (void)snprintf(who, sizeof(who), "user %s%s%s", slice_escape(user, escaped, sizeof(escaped)),
                   client->who != NULL ? ", " : "", client->who != NULL ? client->who : "");
    mc_client_set_who(client, who);
    entry = identity_entry(listener, &identity);
    return mc_client_settle(client, entry < client->entry ? entry : client->entry);
}

void mc_login_move(struct mc_client *client, struct mc_view *after, unsigned listener)
{
    struct mc_view *before = client->view;

    client->view = mc_view_ref(after);
    mc_view_unref(client->plane, before);
    client->listener = (uint16_t)listener;
    switch ((enum mc_stage)client->stage) {
    case MC_STAGE_SERVED:
    case MC_STAGE_UNKNOWN:
        return;
    case MC_STAGE_WAITING: /* what it is asked for was asked by the old; what follows is by the new
                            */
        client->entry = (uint16_t)find_entry(client, mc_client_listener(client));
        return;
    case MC_STAGE_LOGIN:
    case MC_STAGE_REFUSED:
        mc_identify(client);
        mc_client_wake(client);
        return;
    }
}
