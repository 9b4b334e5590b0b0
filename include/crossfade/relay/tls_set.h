/*
 * The TLS contexts of one configuration, made from its files on the main thread. A reload takes
 * over the contexts whose files and keys in the configuration are as before, so that a key that may
 * not be read any more is not asked for again, and servers keep their connections.
 */
#ifndef CROSSFADE_RELAY_TLS_SET_H
#define CROSSFADE_RELAY_TLS_SET_H

#include "crossfade/net/tls.h"

struct tls_set {
    struct tls_tickets *tickets;    /* NULL without a listener that has TLS */
    struct tls_context **listeners; /* as config->cache.listeners; NULL: plain */
    size_t listener_count;
    struct tls_context *servers; /* NULL: plain */
};

/*
 * What is wrong: a fault, or a warning. `path` is that of the key in the configuration, line and
 * column are where it is given; text is a sentence that goes on after the path.
 */
typedef void (*tls_set_report)(void *context, bool fault, unsigned line, unsigned column,
                               const char *path, const char *text);

/* `previous` may be NULL. NULL after at least one fault; all of them are reported. */
struct tls_set *tls_set_create(const struct config *config, const struct tls_set *previous,
                               tls_set_report report, void *context) MUST_CHECK;
/* After the process has given up rights: warns of files that a reload could not read again. */
void tls_set_look(const struct tls_set *set, const struct config *config, tls_set_report report,
                  void *context);
void tls_set_destroy(struct tls_set *set);

#endif
