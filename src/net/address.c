#include "crossfade/net/address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

static bool take_path(const struct config_endpoint *endpoint, struct address *out, char *error,
                      size_t error_size)
{
    size_t len = strlen(endpoint->path);

    if (len >= sizeof(out->u.un.sun_path)) {
        (void)snprintf(error, error_size, "%s: a unix socket's path has at most %zu bytes",
                       endpoint->text, sizeof(out->u.un.sun_path) - 1);
        return false;
    }
    out->u.un.sun_family = AF_UNIX;
    memcpy(out->u.un.sun_path, endpoint->path, len + 1);
    out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
    return true;
}

static int look_up(const struct config_endpoint *endpoint, int flags, struct addrinfo **found)
{
    struct addrinfo hints = { .ai_family = AF_UNSPEC,
                              .ai_socktype = SOCK_STREAM,
                              .ai_flags = flags | AI_NUMERICSERV };
    char port[8];

    *found = NULL;
    (void)snprintf(port, sizeof(port), "%u", endpoint->port);
    return getaddrinfo(endpoint->host, port, &hints, found);
}

bool addresses_resolve(const struct config_endpoint *endpoint, struct addresses *out, char *error,
                       size_t error_size)
{
    struct addrinfo *found;
    int status;

    memset(out, 0, sizeof(*out));
    if (endpoint->path != NULL) {
        out->count = take_path(endpoint, &out->all[0], error, error_size) ? 1 : 0;
        return out->count > 0;
    }
    status = look_up(endpoint, 0, &found);
    if (status != 0 || found == NULL) {
        (void)snprintf(error, error_size, "%s: cannot resolve this name: %s", endpoint->text,
                       gai_strerror(status));
        return false;
    }
    for (const struct addrinfo *each = found; each != NULL && out->count < ADDRESSES_MOST;
         each = each->ai_next) {
        struct address *address = &out->all[out->count];
        ensure(each->ai_addrlen <= sizeof(address->u));
        memcpy(&address->u, each->ai_addr, each->ai_addrlen);
        address->len = each->ai_addrlen;
        /* /etc/hosts may name one twice. */
        if (addresses_find(out, address) < 0)
            out->count++;
        else
            memset(address, 0, sizeof(*address));
    }
    freeaddrinfo(found);
    return true;
}

bool address_resolve(const struct config_endpoint *endpoint, struct address *out, char *error,
                     size_t error_size)
{
    struct addresses found;

    if (!addresses_resolve(endpoint, &found, error, error_size))
        return false;
    *out = found.all[0];
    return true;
}

bool address_is_name(const struct config_endpoint *endpoint)
{
    struct addrinfo *found;

    if (endpoint->path != NULL || look_up(endpoint, AI_NUMERICHOST, &found) != 0)
        return endpoint->path == NULL;
    freeaddrinfo(found);
    return false;
}

bool address_same(const struct address *a, const struct address *b)
{
    return a->len == b->len && memcmp(&a->u, &b->u, a->len) == 0;
}

int addresses_find(const struct addresses *addresses, const struct address *address)
{
    for (unsigned i = 0; i < addresses->count; i++)
        if (address_same(&addresses->all[i], address))
            return (int)i;
    return -1;
}

bool addresses_same(const struct addresses *a, const struct addresses *b)
{
    if (a->count != b->count)
        return false;
    for (unsigned i = 0; i < a->count; i++)
        if (addresses_find(b, &a->all[i]) < 0)
            return false;
    return true;
}

static const char *host_text(const struct address *address, char *out, size_t size)
{
    if (address->u.any.sa_family == AF_INET)
        return inet_ntop(AF_INET, &address->u.in.sin_addr, out, (socklen_t)size);
    if (IN6_IS_ADDR_V4MAPPED(&address->u.in6.sin6_addr))
        return inet_ntop(AF_INET, &address->u.in6.sin6_addr.s6_addr[12], out, (socklen_t)size);
    return inet_ntop(AF_INET6, &address->u.in6.sin6_addr, out, (socklen_t)size);
}

char *address_format_host(const struct address *address, char *out, size_t size)
{
    char host[INET6_ADDRSTRLEN];

    switch (address->u.any.sa_family) {
    case AF_UNIX:
        (void)snprintf(out, size, "unix:%.*s",
                       address->len > offsetof(struct sockaddr_un, sun_path)
                           ? (int)(address->len - offsetof(struct sockaddr_un, sun_path))
                           : 0,
                       address->u.un.sun_path);
        break;
    case AF_INET:
    case AF_INET6:
        (void)snprintf(out, size, "%s", host_text(address, host, sizeof(host)));
        break;
    default:
        (void)snprintf(out, size, "unknown");
    }
    return out;
}

char *addresses_format(const struct addresses *addresses, char *out, size_t size)
{
    size_t len = 0;

    out[0] = '\0';
    for (unsigned i = 0; i < addresses->count && len < size; i++) {
        const struct address *address = &addresses->all[i];
        const char *comma = i > 0 ? ", " : "";
        char host[ADDRESS_TEXT];
        unsigned port = ntohs(address->u.any.sa_family == AF_INET6 ? address->u.in6.sin6_port
                                                                   : address->u.in.sin_port);

        (void)address_format_host(address, host, sizeof(host));
        if (address->u.any.sa_family == AF_UNIX)
            len += (size_t)snprintf(out + len, size - len, "%s%s", comma, host);
        else
            len += (size_t)snprintf(out + len, size - len,
                                    strchr(host, ':') != NULL ? "%s[%s]:%u" : "%s%s:%u", comma,
                                    host, port);
    }
    return out;
}

void address_bytes(const struct address *address, uint8_t out[16])
{
    memset(out, 0, 16);
    if (address->u.any.sa_family == AF_INET) {
        out[10] = out[11] = 0xff;
        memcpy(out + 12, &address->u.in.sin_addr, 4);
    } else if (address->u.any.sa_family == AF_INET6) {
        memcpy(out, &address->u.in6.sin6_addr, 16);
    }
}
