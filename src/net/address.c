#include "crossfade/net/address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

bool address_resolve(const struct config_endpoint *endpoint, struct address *out, char *error,
                     size_t error_size)
{
    struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
    struct addrinfo *found = NULL;
    char port[8];
    int status;

    memset(out, 0, sizeof(*out));
    if (endpoint->path != NULL) {
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
    (void)snprintf(port, sizeof(port), "%u", endpoint->port);
    status = getaddrinfo(endpoint->host, port, &hints, &found);
    if (status != 0 || found == NULL) {
        (void)snprintf(error, error_size, "%s: cannot resolve this name: %s", endpoint->text,
                       gai_strerror(status));
        return false;
    }
    ensure(found->ai_addrlen <= sizeof(out->u));
    memcpy(&out->u, found->ai_addr, found->ai_addrlen);
    out->len = found->ai_addrlen;
    freeaddrinfo(found);
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
