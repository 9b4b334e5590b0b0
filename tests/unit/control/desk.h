/* A control plane without a daemon: a real plan and a real rollout in a folder of its own, a fake
 * host. */
#ifndef CROSSFADE_TESTS_DESK_H
#define CROSSFADE_TESTS_DESK_H

#include "crossfade/control/commands.h"
#include "crossfade/route/families.h"

struct desk {
    char folder[64];
    struct telemetry *telemetry;
    struct plan *plan;
    struct rollout *rollout; /* NULL without its section */
    struct control_host host;
    bool publish_fails;
    bool reload_fails;
    bool draining;
    const struct mc_census *census; /* of one worker; NULL: nobody */
    const struct families *seen;    /* of the traffic; NULL: nothing */
    bool blind;                     /* a worker does not tell */
    bool looks;                     /* it looks at servers: they have nothing */
    bool slow;                      /* and takes too long */
    bool gone;                      /* and nobody waits for it */
    struct mc_look *look;
    control_looked looked;
    void *looked_context;
    unsigned published;
    unsigned reloads;
    unsigned checks;
    unsigned shutdowns;
    uint64_t generation_published; /* of the rollout, at the last publication */
};

/* With both planes, and a rollout if that is wanted. */
void desk_make(struct desk *desk, bool with_rollout);
void desk_end(struct desk *desk);

/* Says one line with the rights of a level; the replies, terminated, to be freed. */
char *desk_say(struct desk *desk, enum control_level level, const char *line);
/* The same; the reply has to begin with this. Returns whether the daemon is to stop. */
bool desk_expect(struct desk *desk, enum control_level level, const char *line, const char *begin);

#endif
