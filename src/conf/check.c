/*
 * First the defaults that depend on other values, then what no single value shows: names that
 * clash, addresses used twice, stages out of order, planes that cannot work. An earlier fault may
 * have left a name or a list empty, so each check looks before it compares.
 */
#include "loader.h"

#include <stdarg.h>
#include <strings.h>

#define PATH_ROOM 160
#define DEFAULT_SOCKET "/run/crossfade/control.sock"

/* The path of one entry's key, in memory of the caller's block. */
#define PATH(...) path_of((char[PATH_ROOM]){ "" }, __VA_ARGS__)

static const char *path_of(char *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static const char *path_of(char *out, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(out, PATH_ROOM, format, arguments);
    va_end(arguments);
    return out;
}

static bool same(const char *a, const char *b)
{
    return a != NULL && b != NULL && strcmp(a, b) == 0;
}

static bool same_or_none(const char *a, const char *b)
{
    return (a == NULL && b == NULL) || same(a, b);
}

static bool is_given(const struct loader *loader, const char *path)
{
    return places_find(loader->source, path) != NULL;
}

static unsigned line_of(const struct loader *loader, const char *path)
{
    const struct place *place = places_find(loader->source, path);
    return place != NULL ? place->at.line : 0;
}

/* Two endpoints that one of two sockets could not be bound to, or that are one server. */
static bool same_endpoint(const struct config_endpoint *a, const struct config_endpoint *b)
{
    if (a->path != NULL || b->path != NULL)
        return same(a->path, b->path);
    return a->host != NULL && b->host != NULL && strcasecmp(a->host, b->host) == 0 &&
           a->port == b->port;
}

/* -- Defaults -- */

static void complete_weights(struct config_backend *backends, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (backends[i].weight == 0)
            backends[i].weight = 1;
}

static void complete_arms(struct config *config)
{
    for (size_t i = 0; i < config->arm_count; i++) {
        struct config_arm *arm = &config->arms[i];
        if (arm->namespace == NULL)
            arm->namespace = arm->name;
        complete_weights(arm->backends, arm->backend_count);
    }
}

static void complete_rules(struct loader *loader)
{
    struct config_cache *cache = &loader->config->cache;

    cache->has_epoch = cache->coherence == COHERENCE_EPOCH;
    for (size_t i = 0; i < cache->rule_count; i++) {
        struct config_rule *rule = &cache->rules[i];
        if (rule->scope == SCOPE_SHARED)
            rule->coherence = COHERENCE_NONE; /* one copy: there is nothing to keep coherent */
        else if (!is_given(loader, PATH("cache.keys[%zu].coherence", i)))
            rule->coherence = cache->coherence;
        cache->has_epoch = cache->has_epoch || rule->coherence == COHERENCE_EPOCH;
    }
}

static bool has_varying_namespace(const struct config *config)
{
    for (size_t i = 0; i < config->arm_count; i++)
        if (config->arms[i].namespace_varies)
            return true;
    return false;
}

/* The namespaces of a release before are in no configuration any more, and its entries are there.
 */
static void complete_reserved_keys(struct loader *loader)
{
    if (!is_given(loader, "cache.reserved_keys") && has_varying_namespace(loader->config))
        loader->config->cache.reserved_keys = RESERVED_KEYS_HASH;
}

static void complete_stages(struct config_rollout *rollout)
{
    uint32_t percent = 0;

    for (size_t i = 0; i < rollout->stage_count; i++) {
        if (!rollout->stages[i].percent_given)
            rollout->stages[i].percent = percent;
        percent = rollout->stages[i].percent;
    }
}

static void complete_control(struct loader *loader)
{
    struct config_control *control = &loader->config->control;
    struct arena *arena = &loader->source->arena;

    if (is_given(loader, "control.sockets"))
        return;
    control->sockets = arena_alloc(arena, sizeof(*control->sockets));
    control->socket_count = 1;
    control->sockets[0] = (struct config_control_socket){
        .path = arena_dup(arena, SLICE(DEFAULT_SOCKET)),
        .level = LEVEL_ADMIN,
        .mode = 0600,
    };
}

/* -- Arms -- */

static void check_backends(struct loader *loader, const char *list,
                           const struct config_backend *backends, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++)
            if (same_endpoint(&backends[i].endpoint, &backends[j].endpoint)) {
                places_fault(loader, PATH("%s[%zu]", list, i),
                             "is %s again, which is %s[%zu] already; take one of them out",
                             backends[i].endpoint.text, list, j);
                break;
            }
}

static void check_arm_pair(struct loader *loader, size_t earlier, size_t later)
{
    const struct config_arm *a = &loader->config->arms[earlier];
    const struct config_arm *b = &loader->config->arms[later];

    if (same(a->name, b->name)) {
        places_fault(loader, PATH("arms[%zu].name", later),
                     "is %s, as the arm on line %u is called already; give each its own name",
                     b->name, line_of(loader, PATH("arms[%zu]", earlier)));
        return; /* one fault for two arms that are called, and therefore prefixed, alike */
    }
    if (!same(a->namespace, b->namespace))
        return;
    if (b->namespace[0] == '\0')
        places_fault(loader, PATH("arms[%zu].namespace", later),
                     "is empty, as that of the arm %s; only one arm's keys can go without a prefix",
                     a->name != NULL ? a->name : "before");
    else
        places_fault(loader, PATH("arms[%zu].namespace", later),
                     "is %s, as that of the arm %s; their entries would mix, give each its own",
                     b->namespace, a->name != NULL ? a->name : "before");
}

static void check_arms(struct loader *loader)
{
    const struct config *config = loader->config;
    bool fixed_only = config->cache.present && config->cache.coherence != COHERENCE_EPOCH;

    for (size_t i = 0; i < config->arm_count; i++) {
        const struct config_arm *arm = &config->arms[i];
        for (size_t j = 0; j < i; j++)
            check_arm_pair(loader, j, i);
        if (arm->namespace_varies && fixed_only)
            places_fault(loader, PATH("arms[%zu].namespace", i),
                         "changes with each release, so that invalidations would miss older ones; "
                         "give cache.coherence: epoch, or write a fixed name");
        check_backends(loader, PATH("arms[%zu].backends", i), arm->backends, arm->backend_count);
    }
}

/* -- Cache -- */

static bool covers(const struct config_rule *earlier, const struct config_rule *later)
{
    size_t len;

    if (earlier->match == NULL || later->match == NULL)
        return false;
    len = strlen(earlier->match);
    if (!earlier->prefix)
        return !later->prefix && strcmp(earlier->match, later->match) == 0;
    return strncmp(earlier->match, later->match, len) == 0;
}

static void check_rules(struct loader *loader)
{
    const struct config_cache *cache = &loader->config->cache;
    bool varies = has_varying_namespace(loader->config);

    for (size_t i = 0; i < cache->rule_count; i++) {
        const struct config_rule *rule = &cache->rules[i];
        for (size_t j = 0; j < i; j++)
            if (covers(&cache->rules[j], rule)) {
                places_fault(loader, PATH("cache.keys[%zu].match", i),
                             "is never reached: %s%s on line %u comes first and covers it; put "
                             "this rule above that one",
                             cache->rules[j].match, cache->rules[j].prefix ? "*" : "",
                             line_of(loader, PATH("cache.keys[%zu]", j)));
                break;
            }
        if (rule->guard && rule->scope != SCOPE_SHARED)
            places_fault(loader, PATH("cache.keys[%zu].guard", i),
                         "is for shared keys; of an isolated one no other version reads a copy; "
                         "take it out, or write scope: shared");
        else if (rule->guard && cache->client_profile != PROFILE_PYTHON)
            places_fault(loader, PATH("cache.keys[%zu].guard", i),
                         "knows what Python's clients write; give cache.client_profile: python, "
                         "or take it out");
        if (rule->scope == SCOPE_ISOLATED && rule->coherence != COHERENCE_EPOCH && varies &&
            is_given(loader, PATH("cache.keys[%zu].coherence", i)))
            places_fault(loader, PATH("cache.keys[%zu].coherence", i),
                         "would miss entries of older releases: a namespace changes with each; "
                         "write coherence: epoch or scope: shared, or give all arms fixed names");
        if (rule->scope != SCOPE_SHARED)
            continue;
        if (is_given(loader, PATH("cache.keys[%zu].coherence", i)))
            places_fault(
                loader, PATH("cache.keys[%zu].coherence", i),
                "has no meaning for a shared key, of which there is one copy; take it out");
        if (is_given(loader, PATH("cache.keys[%zu].writes", i)))
            places_fault(
                loader, PATH("cache.keys[%zu].writes", i),
                "has no meaning for a shared key, of which there is one copy; take it out");
    }
}

/* -- TLS -- */

static void check_listener_tls(struct loader *loader, size_t index)
{
    if (is_given(loader, PATH("cache.listen[%zu].tls.client", index)) &&
        !is_given(loader, PATH("cache.listen[%zu].tls.client_ca", index)))
        places_fault(loader, PATH("cache.listen[%zu].tls.client", index),
                     "needs to know whose certificates are good; give client_ca too");
}

static void check_server_tls(struct loader *loader)
{
    const struct config_cache *cache = &loader->config->cache;
    const struct config_server_tls *tls = &cache->server_tls;

    if (!tls->present)
        return;
    if (tls->key != NULL && tls->certificate == NULL)
        places_fault(loader, "cache.server_tls.key",
                     "is of no use without a certificate; give cache.server_tls.certificate too");
    if (!tls->verify && tls->ca != NULL)
        places_fault(loader, "cache.server_tls.ca",
                     "has no meaning with verify: false; take one of them out");
    for (size_t i = 0; tls->verify && tls->name == NULL && i < cache->server_count; i++)
        if (cache->servers[i].endpoint.path != NULL)
            places_fault(loader, PATH("cache.servers[%zu]", i),
                         "is a unix socket, which has no name that its certificate could be for; "
                         "give cache.server_tls.name");
}

static void check_tls(struct loader *loader)
{
    for (size_t i = 0; i < loader->config->cache.listener_count; i++)
        check_listener_tls(loader, i);
    check_server_tls(loader);
}

/* -- Addresses -- */

struct addresses {
    struct loader *loader;
    /* Of both planes' listeners, the control sockets and the admin address. */
    const struct config_endpoint **seen;
    const char **paths;
    size_t count;
};

static void check_address(struct addresses *addresses, const struct config_endpoint *endpoint,
                          const char *path)
{
    for (size_t i = 0; i < addresses->count; i++)
        if (same_endpoint(addresses->seen[i], endpoint)) {
            places_fault(addresses->loader, path,
                         "is %s, which %s listens on already; give each its own address",
                         endpoint->text, addresses->paths[i]);
            return;
        }
    addresses->seen[addresses->count] = endpoint;
    addresses->paths[addresses->count++] =
        arena_dup(&addresses->loader->source->arena, slice_string(path));
}

static void check_listeners(struct addresses *addresses, const char *plane,
                            const struct config_listener *listeners, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct config_listener *listener = &listeners[i];
        check_address(addresses, &listener->endpoint, PATH("%s.listen[%zu].address", plane, i));
        if (listener->endpoint.host != NULL && listener->mode >= 0)
            places_fault(addresses->loader, PATH("%s.listen[%zu].mode", plane, i),
                         "is for unix sockets; take it out");
    }
}

static void check_addresses(struct loader *loader)
{
    const struct config *config = loader->config;
    const struct config_control *control = &config->control;
    struct arena *arena = &loader->source->arena;
    struct addresses addresses = { .loader = loader };
    size_t room =
        config->cache.listener_count + config->web.listener_count + control->socket_count + 1;

    addresses.seen = arena_alloc(arena, room * sizeof(*addresses.seen));
    addresses.paths = arena_alloc(arena, room * sizeof(*addresses.paths));
    check_listeners(&addresses, "cache", config->cache.listeners, config->cache.listener_count);
    check_listeners(&addresses, "web", config->web.listeners, config->web.listener_count);
    for (size_t i = 0; i < control->socket_count; i++) {
        struct config_endpoint *endpoint = arena_alloc(arena, sizeof(*endpoint));
        endpoint->text = endpoint->path = control->sockets[i].path;
        check_address(&addresses, endpoint, PATH("control.sockets[%zu].path", i));
    }
    if (control->http.text != NULL)
        check_address(&addresses, &control->http, "control.http");
}

/* -- Rollout -- */

static void check_identities(struct loader *loader)
{
    const struct config_rollout *rollout = &loader->config->rollout;

    for (size_t i = 0; i < rollout->identity_count; i++) {
        const struct config_identity *identity = &rollout->identities[i];
        bool always = identity->kind == IDENTITY_IP || identity->kind == IDENTITY_ISSUE;
        if (identity->kind != IDENTITY_IP && identity->name == NULL)
            continue; /* refused before */
        for (size_t j = 0; j < i; j++)
            if (identity->kind == rollout->identities[j].kind &&
                same_or_none(identity->name, rollout->identities[j].name)) {
                places_fault(loader, PATH("rollout.identity[%zu]", i),
                             "is there twice; take one of them out");
                break;
            }
        if (always && i + 1 < rollout->identity_count)
            places_fault(loader, PATH("rollout.identity[%zu]", i),
                         "is had by every request, so that nothing behind it is ever looked at; "
                         "put it last");
    }
}

static void check_stages(struct loader *loader)
{
    const struct config_rollout *rollout = &loader->config->rollout;
    uint32_t highest = 0;
    const char *whose = "";

    for (size_t i = 0; i < rollout->stage_count; i++) {
        const struct config_stage *stage = &rollout->stages[i];
        char percent[VALUE_TEXT];
        char before[VALUE_TEXT];
        for (size_t j = 0; j < i; j++)
            if (same(stage->name, rollout->stages[j].name)) {
                places_fault(loader, PATH("rollout.stages[%zu].name", i),
                             "is %s, as an earlier stage is called; give each its own name",
                             stage->name);
                break;
            }
        if (stage->percent < highest)
            places_fault(loader, PATH("rollout.stages[%zu].percent", i),
                         "is %s, below the %s of the stage %s before it; who was in stays in, so "
                         "write %s or more",
                         value_format_percent(stage->percent, percent),
                         value_format_percent(highest, before), whose, before);
        if (stage->percent > highest && highest == 0 && rollout->identity_count == 0)
            places_fault(loader, PATH("rollout.stages[%zu].percent", i),
                         "needs to know who a request is from; give rollout.identity, such as "
                         "[ \"cookie:uid\", \"issue:cf_id\" ]");
        if (stage->percent > highest) {
            highest = stage->percent;
            whose = stage->name != NULL ? stage->name : "";
        }
    }
}

static void check_rollout(struct loader *loader)
{
    const struct config *config = loader->config;
    const struct config_rollout *rollout = &config->rollout;

    if (!rollout->present)
        return;
    if (rollout->from == rollout->to && rollout->to < config->arm_count)
        places_fault(loader, "rollout.to", "is the same arm as rollout.from; name the candidate");
    check_identities(loader);
    check_stages(loader);
}

/* -- Web -- */

static void check_rollout_backends(struct loader *loader, unsigned arm, const char *key)
{
    const struct config *config = loader->config;

    if (arm < config->arm_count && config->arms[arm].backend_count == 0)
        places_fault(loader, key,
                     "is the arm %s, which has no backends to send requests to; give it some",
                     config->arms[arm].name != NULL ? config->arms[arm].name : "");
}

static void check_web(struct loader *loader)
{
    const struct config *config = loader->config;
    size_t with_backends = 0;

    if (!config->web.present)
        return;
    if (config->rollout.present) {
        check_rollout_backends(loader, config->rollout.from, "rollout.from");
        if (config->rollout.to != config->rollout.from)
            check_rollout_backends(loader, config->rollout.to, "rollout.to");
        return;
    }
    /* Without a rollout all go to the one arm that has backends. */
    for (size_t i = 0; i < config->arm_count; i++)
        with_backends += config->arms[i].backend_count > 0;
    if (with_backends == 0 && config->arm_count > 0)
        places_fault(loader, "web", "has nowhere to send requests; give an arm its backends");
    else if (with_backends > 1)
        places_fault(loader, "web",
                     "cannot tell which arm to send requests to: %zu arms have backends; add a "
                     "rollout, or leave the backends of one arm only",
                     with_backends);
}

void check_config(struct loader *loader)
{
    struct config *config = loader->config;

    complete_arms(config);
    complete_weights(config->cache.servers, config->cache.server_count);
    complete_rules(loader);
    complete_reserved_keys(loader);
    complete_stages(&config->rollout);
    complete_control(loader);

    check_arms(loader);
    check_backends(loader, "cache.servers", config->cache.servers, config->cache.server_count);
    check_rules(loader);
    check_tls(loader);
    check_clients(loader);
    check_addresses(loader);
    check_rollout(loader);
    check_web(loader);
    /* With other faults one of them is most likely the reason, such as a misspelt name. */
    if (!is_given(loader, "cache") && !is_given(loader, "web") && loader->faults->count == 0)
        places_fault(loader, "arms",
                     "are all there is: add a cache section, a web section or both");
}
