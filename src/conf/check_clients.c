/*
 * Whom a cache listener lets in, and as which arm: each entry of `arms` has one test, and one that
 * this listener can make.
 */
#include "loader.h"

#define PATH_ROOM 160

static void fault(struct loader *loader, size_t listener, size_t client, const char *key,
                  const char *text)
{
    char path[PATH_ROOM];

    (void)snprintf(path, sizeof(path), "cache.listen[%zu].arms[%zu]%s", listener, client, key);
    places_fault(loader, path, "%s", text);
}

static const char *pattern_of(const struct config_client *client)
{
    switch (client->test) {
    case CLIENT_USER:
        return client->user;
    case CLIENT_CERTIFICATE:
        return client->certificate;
    case CLIENT_EXECUTABLE:
        return client->executable;
    case CLIENT_UID:
        break;
    }
    return NULL;
}

/* How many tests it has; the last one counts. */
static unsigned find_test(struct config_client *client)
{
    unsigned tests = 0;

    if (client->user != NULL) {
        client->test = CLIENT_USER;
        tests++;
    }
    if (client->certificate != NULL) {
        client->test = CLIENT_CERTIFICATE;
        tests++;
    }
    if (client->uid >= 0) {
        client->test = CLIENT_UID;
        tests++;
    }
    if (client->executable != NULL) {
        client->test = CLIENT_EXECUTABLE;
        tests++;
    }
    return tests;
}

static bool is_covered(const struct config_client *client, const struct config_client *earlier)
{
    if (client->test != earlier->test)
        return false;
    if (client->test == CLIENT_UID)
        return client->uid == earlier->uid;
    return strcmp(pattern_of(earlier), "*") == 0 ||
           strcmp(pattern_of(earlier), pattern_of(client)) == 0;
}

/* Whether this listener can come to know what the entry asks for. */
static void check_means(struct loader *loader, const struct config_listener *listener, size_t at,
                        size_t entry)
{
    switch (listener->clients[entry].test) {
    case CLIENT_USER:
        if (listener->sasl == NULL)
            fault(loader, at, entry, ".user",
                  "is never known here, as nobody logs in; give the listener sasl: FILE");
        break;
    case CLIENT_CERTIFICATE:
        if (!listener->tls.present || listener->tls.client_ca == NULL)
            fault(loader, at, entry, ".certificate",
                  "is never known here, as nobody shows one; give the listener tls with client_ca");
        break;
    case CLIENT_UID:
        if (listener->endpoint.path == NULL)
            fault(loader, at, entry, ".uid",
                  "is not known of a client on a TCP port; make this a unix socket");
        break;
    case CLIENT_EXECUTABLE:
        if (listener->endpoint.path == NULL)
            fault(loader, at, entry, ".executable",
                  "is not known of a client on a TCP port; make this a unix socket");
        break;
    }
}

static void check_listener(struct loader *loader, size_t at)
{
    const struct config_listener *listener = &loader->config->cache.listeners[at];
    char path[PATH_ROOM];

    (void)snprintf(path, sizeof(path), "cache.listen[%zu].arm", at);
    if (listener->endpoint.text != NULL && listener->client_count == 0 &&
        listener->arm == CONFIG_NO_ARM && places_find(loader->source, path) == NULL)
        places_fault(loader, path,
                     "is missing; say whose clients connect here, or give arms: a list of them by "
                     "who they are");
    for (size_t i = 0; i < listener->client_count; i++) {
        unsigned tests = find_test(&listener->clients[i]);
        /* With other faults one of them is most likely the reason: the test was refused. */
        if (tests == 0 && loader->faults->count > 0)
            continue;
        if (tests != 1) {
            fault(loader, at, i, "",
                  tests == 0 ? "says nothing about the client; give one of user, certificate, uid "
                               "and executable"
                             : "has several tests; make an entry of its own for each");
            continue;
        }
        check_means(loader, listener, at, i);
        for (size_t j = 0; j < i; j++) {
            if (find_test(&listener->clients[j]) == 1 &&
                is_covered(&listener->clients[i], &listener->clients[j])) {
                fault(loader, at, i, "",
                      "is never reached: an entry above it matches the same clients; take one out");
                break;
            }
        }
    }
}

void check_clients(struct loader *loader)
{
    for (size_t i = 0; i < loader->config->cache.listener_count; i++)
        check_listener(loader, i);
}
