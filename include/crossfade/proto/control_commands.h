/*
 * The commands of the control socket, one row each: what the dispatcher checks, what `help` shows,
 * what crossfadectl knows without a daemon. The handlers are control/'s; nobody else checks a
 * level.
 */
#ifndef CROSSFADE_PROTO_CONTROL_COMMANDS_H
#define CROSSFADE_PROTO_CONTROL_COMMANDS_H

#include <stdbool.h>
#include <stddef.h>

/* What a socket may be used for; each includes the ones before it. */
enum control_level { CONTROL_READ, CONTROL_OPERATE, CONTROL_ADMIN };

enum control_verb {
    VERB_HELP,
    VERB_VERSION,
    VERB_SHOW_ROLLOUT,
    VERB_SHOW_ARMS,
    VERB_SHOW_STAGES,
    VERB_SHOW_CACHE,
    VERB_SHOW_SERVERS,
    VERB_SHOW_BACKENDS,
    VERB_SHOW_STATS,
    VERB_SHOW_CONFIG,
    VERB_SHOW_EVENTS,
    VERB_SHOW_SUGGEST,
    VERB_SHOW_CLIENTS,
    VERB_WHY,
    VERB_EXPLAIN,
    VERB_START,
    VERB_ADVANCE,
    VERB_PERCENT,
    VERB_PAUSE,
    VERB_RESUME,
    VERB_HOLD,
    VERB_ABORT,
    VERB_RETRY,
    VERB_PROMOTE,
    VERB_RESET,
    VERB_FLUSH,
    VERB_DRAIN_SERVER,
    VERB_ENABLE_SERVER,
    VERB_FORGET_LOST,
    VERB_RELOAD,
    VERB_LOG,
    VERB_SHUTDOWN,
    VERB_COUNT
};

enum control_option {
    OPTION_JSON = 1,          /* --json */
    OPTION_REASON = 2,        /* reason=TEXT */
    OPTION_IF_GENERATION = 4, /* if-generation=N */
    OPTION_CHECK = 8,         /* --check */
    OPTION_DRAIN = 16,        /* drain=DURATION */
    OPTION_BASE64 = 32,       /* --base64 */
};

struct control_command {
    const char *group;
    const char *name;      /* one word or two */
    const char *arguments; /* for people; "" for none */
    unsigned least;        /* arguments, options not counted */
    unsigned most;
    unsigned options; /* enum control_option, or'ed: those it takes */
    enum control_level level;
    bool confirm; /* crossfadectl asks on a terminal before it */
    const char *help;
};

/* Indexed by enum control_verb. */
extern const struct control_command control_commands[VERB_COUNT];

/*
 * The row for the words of a command; *words_used is 1 or 2. -1 when there is none: then *nearest
 * is the name that was likely meant, or NULL.
 */
int control_command_find(char *const *words, unsigned count, unsigned *words_used,
                         const char **nearest);
/* The sentence for whoever typed a command that there is not. */
void control_command_unknown(char *const *words, unsigned count, const char *nearest, char *out,
                             size_t size);
const char *control_level_name(enum control_level level);

#endif
