/*
 * Which arm a cache client is, by who it is: the first entry of its listener's `arms` that matches,
 * or the listener's own `arm`. What is not known of a client matches no entry, not even a lone *.
 */
#ifndef CROSSFADE_ROUTE_IDENTITY_H
#define CROSSFADE_ROUTE_IDENTITY_H

#include "crossfade/conf/config.h"

/* data NULL: not known. */
struct identity {
    struct slice user;       /* who has logged in */
    struct slice executable; /* the program of the peer's process, absolute */
    int64_t uid;             /* of the peer's process; -1: not known */
    /* Whether the TLS certificate, checked against the authorities, has a name that matches. */
    bool (*has_name)(const void *certificate, struct slice pattern); /* NULL: there is none */
    const void *certificate;
};

#define IDENTITY_UNKNOWN                                                                           \
    {                                                                                              \
        .uid = -1                                                                                  \
    }

/*
 * The index of the first entry that matches; client_count when none does. What is known at
 * different times, such as the process first and the user later, may be asked for apart: the lesser
 * index counts.
 */
size_t identity_entry(const struct config_listener *listener, const struct identity *identity);
/* The index of that entry's arm, or CONFIG_NO_ARM: refuse it. */
unsigned identity_arm(const struct config_listener *listener, size_t entry);

/* Whether any entry has this test, so that it pays to find out. */
bool identity_asks(const struct config_listener *listener, enum config_client_test test);

/* A * in the pattern stands for any number of any bytes, also of dots and slashes. */
bool identity_match(struct slice pattern, struct slice text);

#endif
