/*
 * The admin address: /metrics in Prometheus' text format, /healthz, /readyz. It shows and changes
 * nothing. libevent's HTTP server, on the main thread.
 */
#ifndef CROSSFADE_CONTROL_ADMIN_HTTP_H
#define CROSSFADE_CONTROL_ADMIN_HTTP_H

#include "crossfade/control/control.h"

struct admin_http;

struct admin_http *admin_http_create(struct event_base *base, const struct control_host *host);
/* Listens on config->control.http, or on nothing. False with a sentence: all is as before. */
bool admin_http_configure(struct admin_http *admin, const struct config *config, char *error,
                          size_t error_size) MUST_CHECK;
void admin_http_destroy(struct admin_http *admin);

struct evbuffer;
/* control/metrics.c: everything in Prometheus' text format 0.0.4. */
void metrics_write(const struct control_host *host, struct evbuffer *out);

#endif
