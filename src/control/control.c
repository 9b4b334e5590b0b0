#include "crossfade/control/control.h"

#include "crossfade/control/admin_http.h"
#include "crossfade/control/sockets.h"

#include <stdio.h>
#include <stdlib.h>

struct control {
    struct control_host host;
    struct control_sockets *sockets;
    struct admin_http *admin;
    const struct config *config; /* in force, to go back to */
};

struct control *control_create(struct event_base *base, const struct control_host *host,
                               const struct config *config, char *error, size_t error_size)
{
    struct control *control = calloc(1, sizeof(*control));

    if (control == NULL) {
        (void)snprintf(error, error_size, "out of memory");
        return NULL;
    }
    control->host = *host;
    control->sockets = control_sockets_create(base, &control->host);
    control->admin = admin_http_create(base, &control->host);
    if (control->sockets == NULL || control->admin == NULL) {
        (void)snprintf(error, error_size, "out of memory");
        control_destroy(control);
        return NULL;
    }
    if (!control_reconfigure(control, config, error, error_size)) {
        control_destroy(control);
        return NULL;
    }
    return control;
}

bool control_reconfigure(struct control *control, const struct config *config, char *error,
                         size_t error_size)
{
    char ignored[256];

    if (!admin_http_configure(control->admin, config, error, error_size))
        return false;
    if (control_sockets_configure(control->sockets, config, error, error_size)) {
        control->config = config;
        return true;
    }
    if (control->config != NULL &&
        !admin_http_configure(control->admin, control->config, ignored, sizeof(ignored)))
        log_error("%s", ignored);
    return false;
}

void control_give(struct control *control, uid_t uid, gid_t gid)
{
    control_sockets_give(control->sockets, uid, gid);
}

void control_destroy(struct control *control)
{
    if (control == NULL)
        return;
    control_sockets_destroy(control->sockets);
    admin_http_destroy(control->admin);
    free(control);
}
