/*
 * The plan that `crossfade --check` prints: what listens where, what leads where, and how the
 * rollout will go, as tables for a person.
 */
#include "crossfade/conf/load.h"

#include "crossfade/conf/credentials.h"
#include "crossfade/conf/users.h"

#define NAME_WIDTH 12
#define TEXT_ROOM 128

static const char *const reserved_keys[] = { [RESERVED_KEYS_KEEP] =
                                                 "kept, but for the arms' own namespaces",
                                             [RESERVED_KEYS_HASH] = "hashed",
                                             [RESERVED_KEYS_REFUSE] = "refused" };
static const char *const scopes[] = { [SCOPE_ISOLATED] = "isolated", [SCOPE_SHARED] = "shared" };
static const char *const coherences[] = {
    [COHERENCE_NONE] = "none", [COHERENCE_FANOUT] = "fanout", [COHERENCE_EPOCH] = "epoch"
};
static const char *const writes[] = {
    [WRITES_AUTO] = "auto", [WRITES_MUTATE] = "mutate", [WRITES_FILL] = "fill"
};
static const char *const distributions[] = { [DISTRIBUTION_KETAMA] = "ketama",
                                             [DISTRIBUTION_MODULA] = "modula",
                                             [DISTRIBUTION_CONSISTENT] = "consistent" };
static const char *const levels[] = {
    [LEVEL_READ] = "read", [LEVEL_OPERATE] = "operate", [LEVEL_ADMIN] = "admin"
};

static void print_backends(const struct config_backend *backends, size_t count, FILE *out)
{
    if (count == 0)
        fputs("-", out);
    for (size_t i = 0; i < count; i++) {
        fprintf(out, "%s%s", i > 0 ? ", " : "", backends[i].endpoint.text);
        if (backends[i].weight != 1)
            fprintf(out, " (weight %u)", backends[i].weight);
    }
    fputc('\n', out);
}

static const char *role_of(const struct config *config, size_t arm)
{
    if (!config->rollout.present)
        return "-";
    return arm == config->rollout.from ? "stable" : arm == config->rollout.to ? "candidate" : "-";
}

static void print_arms(const struct config *config, FILE *out)
{
    char prefix[TEXT_ROOM];

    fputs("arms\n", out);
    fprintf(out, "  %-*s  %-9s  %-22s  %s\n", NAME_WIDTH, "name", "role", "keys begin with",
            "backends");
    for (size_t i = 0; i < config->arm_count; i++) {
        const struct config_arm *arm = &config->arms[i];
        if (arm->namespace[0] == '\0')
            (void)snprintf(prefix, sizeof(prefix), "(no prefix)");
        else
            (void)snprintf(prefix, sizeof(prefix), "%s.<generation>:", arm->namespace);
        fprintf(out, "  %-*s  %-9s  %-22s  ", NAME_WIDTH, arm->name, role_of(config, i), prefix);
        print_backends(arm->backends, arm->backend_count, out);
    }
}

static void print_client(const struct config *config, const struct config_client *client, FILE *out)
{
    const char *arm = config->arms[client->arm].name;

    switch (client->test) {
    case CLIENT_USER:
        fprintf(out, "    user %s: %s\n", client->user, arm);
        break;
    case CLIENT_CERTIFICATE:
        fprintf(out, "    certificate %s: %s\n", client->certificate, arm);
        break;
    case CLIENT_UID:
        fprintf(out, "    uid %lld: %s\n", (long long)client->uid, arm);
        break;
    case CLIENT_EXECUTABLE:
        fprintf(out, "    executable %s: %s\n", client->executable, arm);
        break;
    }
}

static void print_arm_of(const struct config *config, const struct config_listener *listener,
                         FILE *out)
{
    if (listener->users != NULL)
        fprintf(out, ", %zu user%s may log in", users_count(listener->users),
                users_count(listener->users) == 1 ? "" : "s");
    if (listener->client_count == 0) {
        fprintf(out, " for arm %s", config->arms[listener->arm].name);
        return;
    }
    fputs(", arm by client, first match wins\n", out);
    for (size_t i = 0; i < listener->client_count; i++)
        print_client(config, &listener->clients[i], out);
    fprintf(out, "    all others: %s",
            listener->arm == CONFIG_NO_ARM ? "refused" : config->arms[listener->arm].name);
}

static const char *client_certificates(const struct config_tls *tls)
{
    if (tls->client_ca == NULL)
        return "";
    return tls->client == TLS_CLIENT_REQUIRED ? " with client certificates"
                                              : " with client certificates or without";
}

static void print_listeners(const struct config *config, const struct config_listener *listeners,
                            size_t count, bool with_arm, FILE *out)
{
    for (size_t i = 0; i < count; i++) {
        fprintf(out, "  listen    %s", listeners[i].endpoint.text);
        if (listeners[i].mode >= 0)
            fprintf(out, ", mode %04o", (unsigned)listeners[i].mode);
        if (listeners[i].tls.present)
            fprintf(out, ", TLS%s", client_certificates(&listeners[i].tls));
        if (with_arm)
            print_arm_of(config, &listeners[i], out);
        fputc('\n', out);
    }
}

static void print_rules(const struct config_cache *cache, FILE *out)
{
    fprintf(out, "  %-30s  %-8s  %-9s  %s\n", "keys, first match wins", "scope", "coherence",
            "writes");
    for (size_t i = 0; i < cache->rule_count; i++) {
        const struct config_rule *rule = &cache->rules[i];
        char match[260];
        bool shared = rule->scope == SCOPE_SHARED;
        (void)snprintf(match, sizeof(match), "%s%s", rule->match, rule->prefix ? "*" : "");
        fprintf(out, "  %-30s  %-8s  %-9s  %s\n", match, scopes[rule->scope],
                shared ? "-" : coherences[rule->coherence],
                rule->guard ? "guarded"
                : shared    ? "-"
                            : writes[rule->writes]);
    }
    fprintf(out, "  %-30s  %-8s  %-9s  %s\n", "all others", scopes[SCOPE_ISOLATED],
            coherences[cache->coherence], writes[WRITES_AUTO]);
}

static void print_cache(const struct config *config, FILE *out)
{
    const struct config_cache *cache = &config->cache;
    char connect[VALUE_TEXT];
    char request[VALUE_TEXT];
    char size[VALUE_TEXT];
    char window[VALUE_TEXT];

    if (!cache->present) {
        fputs("\ncache plane: off\n", out);
        return;
    }
    fputs("\ncache plane\n", out);
    print_listeners(config, cache->listeners, cache->listener_count, true, out);
    fputs("  servers   ", out);
    print_backends(cache->servers, cache->server_count, out);
    if (cache->credentials != NULL)
        fprintf(out, "  login     as %s\n", cache->credentials->user);
    if (cache->server_tls.present)
        fprintf(out, "  to them   TLS, %s\n",
                cache->server_tls.verify ? "verified"
                                         : "NOT VERIFIED: anybody could be in between");
    fprintf(out, "  spread    %s, %u connection%s to each server from each worker\n",
            distributions[cache->distribution], cache->connections_per_server,
            cache->connections_per_server == 1 ? "" : "s");
    fprintf(out, "  timeouts  connect %s, request %s; reads while a server is down: %s\n",
            value_format_duration(cache->connect_timeout, connect),
            value_format_duration(cache->request_timeout, request),
            cache->on_failure == ON_FAILURE_MISS ? "miss" : "error");
    fprintf(out, "  limits    values of %s; keys too long with their prefix: %s\n",
            value_format_size(cache->max_value, size),
            cache->long_keys == LONG_KEYS_HASH ? "hashed" : "refused");
    if (cache->has_epoch)
        fprintf(out,
                "  epochs    a set answers a miss of up to %s before; the servers' limit of values "
                "(-I) needs room for 20 bytes and the prefix more\n",
                value_format_duration(cache->fill_window, window));
    fprintf(out, "  reserved  keys without a prefix that look like they had one: %s\n",
            reserved_keys[cache->reserved_keys]);
    print_rules(cache, out);
}

static void print_web(const struct config *config, FILE *out)
{
    const struct config_web *web = &config->web;
    char texts[4][VALUE_TEXT];

    if (!web->present) {
        fputs("\nweb plane: off\n", out);
        return;
    }
    fputs("\nweb plane\n", out);
    print_listeners(config, web->listeners, web->listener_count, false, out);
    fprintf(out, "  timeouts  client idle %s, request head %s, connect %s, response %s\n",
            value_format_duration(web->client_idle_timeout, texts[0]),
            value_format_duration(web->request_head_timeout, texts[1]),
            value_format_duration(web->connect_timeout, texts[2]),
            value_format_duration(web->response_timeout, texts[3]));
    fprintf(out, "  limits    head %s, %u header fields, body %s, %u connections\n",
            value_format_size(web->head_limit, texts[0]), web->headers_limit,
            value_format_size(web->body_limit, texts[1]), web->connections_limit);
    if (web->fallback_to_stable)
        fprintf(out,
                "  fallback  safe requests that fail on the candidate go to stable, up to "
                "%u %% of requests\n",
                web->fallback_budget);
    else
        fputs("  fallback  none\n", out);
}

static void print_identities(const struct config_rollout *rollout, FILE *out)
{
    static const char *const kinds[] = { [IDENTITY_HEADER] = "header ",
                                         [IDENTITY_COOKIE] = "cookie ",
                                         [IDENTITY_QUERY] = "query ",
                                         [IDENTITY_IP] = "client address",
                                         [IDENTITY_ISSUE] = "issued cookie " };

    fputs("  identity  ", out);
    for (size_t i = 0; i < rollout->identity_count; i++)
        fprintf(out, "%s%s%s", i > 0 ? ", else " : "", kinds[rollout->identities[i].kind],
                rollout->identities[i].name != NULL ? rollout->identities[i].name : "");
    fputs(rollout->identity_count > 0 ? "\n" : "-\n", out);
}

/* The largest two units: exact enough for a plan, and short. */
static char *format_long(uint64_t microseconds, char out[VALUE_TEXT])
{
    static const struct {
        const char *name;
        uint64_t seconds;
    } units[] = { { "d", 86400 }, { "h", 3600 }, { "m", 60 }, { "s", 1 } };
    uint64_t seconds = microseconds / 1000000;
    size_t at = 0;
    unsigned parts = 0;

    if (seconds == 0)
        return value_format_duration(microseconds, out);
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]) && parts < 2; i++) {
        uint64_t count = seconds / units[i].seconds;
        seconds %= units[i].seconds;
        if (count == 0)
            continue;
        at += (size_t)snprintf(out + at, VALUE_TEXT - at, "%s%llu%s", parts > 0 ? " " : "",
                               (unsigned long long)count, units[i].name);
        parts++;
    }
    return out;
}

static void print_stages(const struct config_rollout *rollout, FILE *out)
{
    uint64_t elapsed = 0;
    size_t listed = rollout->allow_count;

    fprintf(out, "  %-3s %-*s  %9s  %7s  %8s  %10s  %-7s  %s\n", "", NAME_WIDTH, "stage", "users",
            "listed", "at least", "in all", "advance", "a failed gate");
    for (size_t i = 0; i < rollout->stage_count; i++) {
        const struct config_stage *stage = &rollout->stages[i];
        char percent[VALUE_TEXT];
        char bake[VALUE_TEXT];
        char total[VALUE_TEXT];
        listed += stage->allow_count;
        elapsed += stage->bake;
        fprintf(out, "  %2zu. %-*s  %7s %%  %7zu  %8s  %10s  %-7s  %s\n", i + 1, NAME_WIDTH,
                stage->name, value_format_percent(stage->percent, percent), listed,
                format_long(stage->bake, bake), format_long(elapsed, total),
                stage->advance_auto ? "auto" : "manual",
                stage->on_fail_hold ? "holds" : "rolls back");
    }
}

/* What the candidate finds in the cache when it is started, or started again. */
static void print_activation(const struct config *config, const struct config_arm *candidate,
                             FILE *out)
{
    if (candidate->namespace[0] != '\0')
        fprintf(out,
                "  cache     each start and retry gives %s.<generation>: the next generation\n",
                candidate->namespace);
    else
        fprintf(out,
                "  cache     the keys of %s have no prefix%s: after a start or retry it finds what "
                "was left there before\n",
                candidate->name,
                config->cache.has_epoch ? ", but for those of coherence: epoch" : "");
}

static void print_rollout(const struct config *config, FILE *out)
{
    const struct config_rollout *rollout = &config->rollout;

    if (!rollout->present) {
        fputs("\nrollout: none\n", out);
        return;
    }
    fprintf(out, "\nrollout %s: from %s to %s\n", rollout->name, config->arms[rollout->from].name,
            config->arms[rollout->to].name);
    print_identities(rollout, out);
    fprintf(out, "  lists     %zu always on the candidate, %zu always on stable\n",
            rollout->allow_count, rollout->deny_count);
    if (config->cache.present)
        print_activation(config, &config->arms[rollout->to], out);
    print_stages(rollout, out);
}

static void print_process(const struct config *config, FILE *out)
{
    const struct config_process *process = &config->process;
    char drain[VALUE_TEXT];

    fputs("\nprocess\n", out);
    for (size_t i = 0; i < config->control.socket_count; i++)
        fprintf(out, "  control   unix:%s, %s, mode %04o\n", config->control.sockets[i].path,
                levels[config->control.sockets[i].level],
                (unsigned)config->control.sockets[i].mode);
    fprintf(out, "  admin     %s\n",
            config->control.http.text != NULL ? config->control.http.text : "off");
    fprintf(out, "  workers   %u, as %s, state in %s\n", process->workers,
            process->user != NULL ? process->user : "who starts it", process->state_dir);
    fprintf(out, "  a stop    waits up to %s for what is under way\n",
            value_format_duration(process->drain_timeout, drain));
}

void config_print_plan(const struct config *config, FILE *out)
{
    print_arms(config, out);
    print_cache(config, out);
    print_web(config, out);
    print_rollout(config, out);
    print_process(config, out);
}
