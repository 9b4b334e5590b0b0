/*
 * The handlers of the commands, and what they work with. The dispatcher (control/dispatch.c) has
 * checked the level, the number of arguments and the options before it calls one.
 */
#ifndef CROSSFADE_CONTROL_COMMANDS_H
#define CROSSFADE_CONTROL_COMMANDS_H

#include "crossfade/control/control.h"
#include "crossfade/control/reply.h"
#include "crossfade/proto/control_commands.h"

/* One command as the dispatcher has taken it apart. */
struct control_call {
    const struct control_host *host;
    const char *by; /* who, from the peer's credentials */
    unsigned count; /* arguments, without options */
    char *const *arguments;
    bool json;
    bool check;
    bool base64;        /* the key is given so */
    const char *reason; /* NULL: none */
    bool generation_given;
    uint64_t if_generation;
    bool drain_given;
    uint64_t drain;
    /* Set by a handler: to be done after the reply was written. */
    bool shutdown;
    /* Set by a handler whose reply needs a look at a server: the call's from then on. When that is
     * done `complete` makes the reply whole (look NULL: it took too long). */
    struct mc_look *look;
    void (*complete)(struct control_reply *reply, bool json, const struct mc_look *look);
};

typedef void (*control_handler)(struct control_call *call, struct control_reply *reply);

/* control/show.c */
void command_show_arms(struct control_call *call, struct control_reply *reply);
void command_show_cache(struct control_call *call, struct control_reply *reply);
void command_show_stats(struct control_call *call, struct control_reply *reply);
void command_show_config(struct control_call *call, struct control_reply *reply);
/* control/show_servers.c */
void command_show_servers(struct control_call *call, struct control_reply *reply);
void command_show_backends(struct control_call *call, struct control_reply *reply);
/* control/suggest.c */
void command_show_suggest(struct control_call *call, struct control_reply *reply);
/* control/show_clients.c */
void command_show_clients(struct control_call *call, struct control_reply *reply);
/* control/explain.c */
void command_why(struct control_call *call, struct control_reply *reply);
void command_explain(struct control_call *call, struct control_reply *reply);
/* control/rollout_commands.c */
void command_show_rollout(struct control_call *call, struct control_reply *reply);
void command_show_stages(struct control_call *call, struct control_reply *reply);
void command_show_events(struct control_call *call, struct control_reply *reply);
void command_rollout_change(struct control_call *call, struct control_reply *reply,
                            enum rollout_verb verb);
/* control/process_commands.c */
void command_help(struct control_call *call, struct control_reply *reply);
void command_version(struct control_call *call, struct control_reply *reply);
void command_flush(struct control_call *call, struct control_reply *reply);
void command_drain_server(struct control_call *call, struct control_reply *reply);
void command_enable_server(struct control_call *call, struct control_reply *reply);
void command_forget_lost(struct control_call *call, struct control_reply *reply);
void command_reload(struct control_call *call, struct control_reply *reply);
void command_log(struct control_call *call, struct control_reply *reply);
void command_shutdown(struct control_call *call, struct control_reply *reply);

struct control_peer {
    enum control_level level;
    const char *by;
};
struct evbuffer;

/* A command that is not answered yet. */
struct control_pending {
    struct control_reply reply;
    bool json;
    void (*complete)(struct control_reply *reply, bool json, const struct mc_look *look);
    /* Set by whoever waits for it: called once, when the reply is there. Then it is theirs to
     * write (control_pending_write). */
    void (*answered)(struct control_pending *pending);
    void *context; /* NULL: nobody waits any more */
};
/* Writes the reply (out NULL: drops it) and frees it. */
void control_pending_write(struct control_pending *pending, struct evbuffer *out);

/*
 * Runs one command; the reply is written to `out`, or *pending is set, and comes later: no other
 * command of that peer may be run until then. True: the daemon is to be shut down after it.
 */
bool control_dispatch(const struct control_host *host, const struct control_peer *peer,
                      const struct control_words *words, struct evbuffer *out, uint64_t *drain,
                      struct control_pending **pending);

#endif
