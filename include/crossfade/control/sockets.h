/*
 * The unix sockets of the control plane and the people who talk over them.
 */
#ifndef CROSSFADE_CONTROL_SOCKETS_H
#define CROSSFADE_CONTROL_SOCKETS_H

#include "crossfade/control/control.h"

/* At once, over each socket: those who may only read cannot keep out those who operate. */
#define CONTROL_PEERS_MAX 64u

struct control_sockets;

struct control_sockets *control_sockets_create(struct event_base *base,
                                               const struct control_host *host);
/* Opens what is new, then closes what is gone. False with a sentence: all is as before. */
bool control_sockets_configure(struct control_sockets *sockets, const struct config *config,
                               char *error, size_t error_size) MUST_CHECK;
void control_sockets_give(struct control_sockets *sockets, uid_t uid, gid_t gid);
void control_sockets_destroy(struct control_sockets *sockets);

#endif
