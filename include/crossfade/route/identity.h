/*
 * Which arm a cache client is, by who it is: the first entry of its listener's `arms` that matches, or
 * the listener's own `arm`. What is not known of a client matches no entry, not even a lone *.
 */
#ifndef CROSSFADE_ROUTE_IDENTITY_H
#define CROSSFADE_ROUTE_IDENTITY_H

#include "crossfade/conf/config.h"

/* data NULL: not known. */
struct identity {
    struct slice user;        /* who has logged in */
    struct slice certificate; /* the name in the TLS certificate, checked against the authorities */
    struct slice executable;  /* the program of the peer's process, absolute */
    int64_t uid;              /* of the peer's process; -1: not known */
};

#define IDENTITY_UNKNOWN { .uid = -1 }

/* The index of the arm, or CONFIG_NO_ARM: refuse it. */
unsigned identity_arm(const struct config_listener *listener, const struct identity *identity);

/* Whether any entry has this test, so that it pays to find out. */
bool identity_asks(const struct config_listener *listener, enum config_client_test test);

/* A * in the pattern stands for any number of any bytes, also of dots and slashes. */
bool identity_match(struct slice pattern, struct slice text);

#endif
