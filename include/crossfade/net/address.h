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

/* What a name stands for: the ways to one server, the best first. None: it was never resolved. */
#define ADDRESSES_MOST 8u
struct addresses {
    unsigned count;
    struct address all[ADDRESSES_MOST];
};

/*
 * Resolves with getaddrinfo, which may block: on the main thread only at start-up and reload.
 * False with a sentence in error[].
 */
bool addresses_resolve(const struct config_endpoint *endpoint, struct addresses *out, char *error,
                       size_t error_size) MUST_CHECK;
/* The first of them. */
bool address_resolve(const struct config_endpoint *endpoint, struct address *out, char *error,
                     size_t error_size) MUST_CHECK;
/* A name, which may mean another address tomorrow: no number and no path. */
bool address_is_name(const struct config_endpoint *endpoint);

bool address_same(const struct address *a, const struct address *b);
/* The index of `address` among them, or -1. */
int addresses_find(const struct addresses *addresses, const struct address *address);
/* The same addresses, in any order: name servers turn it with every answer. */
bool addresses_same(const struct addresses *a, const struct addresses *b);

/* "127.0.0.1", "::1", "unix:/path", "unix:" for an unnamed peer. Returns out. */
char *address_format_host(const struct address *address, char *out, size_t size);
/* With the port, all of them with commas; "" for none. Returns out. */
char *addresses_format(const struct addresses *addresses, char *out, size_t size);

/* As 16 bytes (IPv4 mapped), all zero for a unix socket. */
void address_bytes(const struct address *address, uint8_t out[16]);

#endif
