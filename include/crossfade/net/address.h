/*
 * Socket addresses: from configuration to sockaddr, and to text for people.
 */
#ifndef CROSSFADE_NET_ADDRESS_H
#define CROSSFADE_NET_ADDRESS_H

#include "crossfade/base/ensure.h"
#include "crossfade/conf/config.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

struct address {
    socklen_t len; /* 0: not resolved */
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    } u;
};

#define ADDRESS_TEXT 136

/*
 * Resolves with getaddrinfo, which may block: only at start-up and reload, on the main thread.
 * False with a sentence in error[].
 */
bool address_resolve(const struct config_endpoint *endpoint, struct address *out, char *error,
                     size_t error_size) MUST_CHECK;

/* "127.0.0.1", "::1", "unix:/path", "unix:" for an unnamed peer. Returns out. */
char *address_format_host(const struct address *address, char *out, size_t size);

/* As 16 bytes (IPv4 mapped), all zero for a unix socket. */
void address_bytes(const struct address *address, uint8_t out[16]);

#endif
