#include "crossfade/proto/control_commands.h"

#include "crossfade/base/slice.h"

#include <stdio.h>
#include <string.h>

#define CHANGE (OPTION_REASON | OPTION_IF_GENERATION)

/* clang-format off */
const struct control_command control_commands[VERB_COUNT] = {
    [VERB_SHOW_ROLLOUT]  = { "see", "show rollout",  "",  0, 0, OPTION_JSON, CONTROL_READ, false,
        "where the rollout stands: state, stage, percentage, who changed it last and why" },
    [VERB_SHOW_ARMS]     = { "see", "show arms",     "",  0, 0, OPTION_JSON, CONTROL_READ, false,
        "the versions: role, namespace, and their traffic on both planes" },
    [VERB_SHOW_STAGES]   = { "see", "show stages",   "",  0, 0, OPTION_JSON, CONTROL_READ, false,
        "the stages of the rollout and which was reached" },
    [VERB_SHOW_CACHE]    = { "see", "show cache",    "",  0, 0, OPTION_JSON, CONTROL_READ, false,
        "the cache plane by arm: clients, gets, hits, sets, deletes, companions" },
    [VERB_SHOW_SERVERS]  = { "see", "show servers",  "",  0, 0, OPTION_JSON, CONTROL_READ, false,
        "the memcached servers: state, requests waiting, timeouts, failures" },
    [VERB_SHOW_BACKENDS] = { "see", "show backends", "",  0, 0, OPTION_JSON, CONTROL_READ, false,
        "the application servers of each arm: state, requests, failures" },
    [VERB_SHOW_STATS]    = { "see", "show stats",    "",  0, 0, OPTION_JSON, CONTROL_READ, false,
        "every counter" },
    [VERB_SHOW_CONFIG]   = { "see", "show config",   "",  0, 0, OPTION_JSON, CONTROL_READ, false,
        "every key of the configuration: value, default, line, whether it needs a restart" },
    [VERB_SHOW_EVENTS]   = { "see", "show events",   "[COUNT]", 0, 1, OPTION_JSON, CONTROL_READ, false,
        "the last changes of the rollout, from the audit log (20, or COUNT)" },
    [VERB_SHOW_SUGGEST]  = { "see", "show suggest",  "",  0, 0, OPTION_JSON, CONTROL_READ, false,
        "rules for cache.keys that the traffic speaks for, with the evidence, as YAML" },
    [VERB_SHOW_CLIENTS]  = { "see", "show clients",  "[COUNT]", 0, 1, OPTION_JSON, CONTROL_READ, false,
        "who is connected to the cache plane: arm, listener, protocol, user, process (100, or COUNT)" },
    [VERB_WHY]           = { "see", "why",           "IDENTITY", 1, 1, OPTION_JSON, CONTROL_READ, false,
        "which arm an identity is given, and at what percentage that changes" },
    [VERB_EXPLAIN]       = { "see", "explain",       "[ARM] KEY", 1, 2, OPTION_JSON | OPTION_BASE64,
        CONTROL_READ, false,
        "what becomes of a cache key, and what its server has of it now" },
    [VERB_HELP]          = { "see", "help",          "[COMMAND]", 0, 2, OPTION_JSON, CONTROL_READ, false,
        "this list" },
    [VERB_VERSION]       = { "see", "version",       "",  0, 0, OPTION_JSON, CONTROL_READ, false,
        "the daemon's version, process id and start" },

    [VERB_START]         = { "rollout", "start",     "",  0, 0, CHANGE, CONTROL_OPERATE, true,
        "begin the rollout at its first stage" },
    [VERB_ADVANCE]       = { "rollout", "advance",   "",  0, 0, CHANGE, CONTROL_OPERATE, true,
        "go on to the next stage" },
    [VERB_PERCENT]       = { "rollout", "percent",   "P", 1, 1, CHANGE, CONTROL_OPERATE, true,
        "set the percentage by hand, in steps of 0.0001" },
    [VERB_PAUSE]         = { "rollout", "pause",     "",  0, 0, CHANGE, CONTROL_OPERATE, false,
        "stay at this stage and percentage" },
    [VERB_RESUME]        = { "rollout", "resume",    "",  0, 0, CHANGE, CONTROL_OPERATE, true,
        "go on after a pause or a hold" },
    [VERB_HOLD]          = { "rollout", "hold",      "",  0, 0, CHANGE, CONTROL_OPERATE, false,
        "hold, as the daemon itself does when it is in doubt" },
    [VERB_ABORT]         = { "rollout", "abort",     "",  0, 0, CHANGE, CONTROL_OPERATE, false,
        "everyone back to the stable arm, at once; ends only by retry or reset" },
    [VERB_RETRY]         = { "rollout", "retry",     "",  0, 0, CHANGE, CONTROL_OPERATE, true,
        "after an abort: begin again at the first stage" },
    [VERB_PROMOTE]       = { "rollout", "promote",   "",  0, 0, CHANGE, CONTROL_OPERATE, true,
        "everyone to the candidate for good" },
    [VERB_RESET]         = { "rollout", "reset",     "",  0, 0, CHANGE, CONTROL_ADMIN, true,
        "back to idle, after an abort or a promotion" },

    [VERB_FLUSH]         = { "cache", "flush",       "ARM", 1, 1, 0, CONTROL_OPERATE, true,
        "none of the arm's cache entries is served any more (a new generation of its prefix)" },
    [VERB_DRAIN_SERVER]  = { "cache", "drain server", "ADDRESS", 1, 1, 0, CONTROL_OPERATE, true,
        "send no request to a memcached server any more: misses for reads, errors for writes" },
    [VERB_ENABLE_SERVER] = { "cache", "enable server", "ADDRESS", 1, 1, 0, CONTROL_OPERATE, true,
        "use a drained memcached server again, with what it holds" },
    [VERB_FORGET_LOST]   = { "cache", "forget-lost", "ADDRESS", 1, 1, 0, CONTROL_OPERATE, true,
        "believe a memcached server again for which invalidations were lost" },

    [VERB_RELOAD]        = { "process", "reload",    "",  0, 0, OPTION_CHECK, CONTROL_ADMIN, false,
        "read the configuration again and put it in force (--check: only look at it)" },
    [VERB_LOG]           = { "process", "log",       "[LEVEL]", 0, 1, 0, CONTROL_ADMIN, false,
        "show or set what is logged: error, warn, info or debug" },
    [VERB_SHUTDOWN]      = { "process", "shutdown",  "",  0, 0, OPTION_DRAIN, CONTROL_ADMIN, true,
        "stop gracefully (--drain 30s: at most so long for what is under way)" },
};
/* clang-format on */

const char *control_level_name(enum control_level level)
{
    static const char *const names[] = { "read", "operate", "admin" };
    return names[level];
}

/* The number of letters to change, add or drop (Levenshtein, one row at a time); long words are
 * far. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[32];
    size_t len = strlen(b);

    if (strlen(a) > 30 || len > 30)
        return 99;
    for (unsigned j = 0; j <= len; j++)
        row[j] = j;
    for (unsigned i = 1; a[i - 1] != '\0'; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= len; j++) {
            unsigned best = diagonal + (a[i - 1] != b[j - 1]);
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[len];
}

/* The command whose name is nearest to what was typed, of one word or two. */
static const char *find_nearest(char *const *words, unsigned count)
{
    const char *nearest = NULL;
    unsigned best = 4; /* further away it is another word */
    char two[64];

    (void)snprintf(two, sizeof(two), "%s %s", words[0], count > 1 ? words[1] : "");
    for (int i = 0; i < VERB_COUNT; i++) {
        const char *name = control_commands[i].name;
        unsigned far = distance(strchr(name, ' ') != NULL ? two : words[0], name);
        if (far < best && 2 * far <= strlen(name)) {
            best = far;
            nearest = name;
        }
    }
    return nearest;
}

int control_command_find(char *const *words, unsigned count, unsigned *words_used,
                         const char **nearest)
{
    const char *begun = NULL;

    *nearest = NULL;
    for (int i = 0; i < VERB_COUNT; i++) {
        const char *name = control_commands[i].name;
        const char *second = strchr(name, ' ');
        size_t first = second != NULL ? (size_t)(second - name) : strlen(name);
        if (strlen(words[0]) != first || strncmp(words[0], name, first) != 0)
            continue;
        *words_used = second != NULL ? 2 : 1;
        if (second == NULL || (count > 1 && strcmp(words[1], second + 1) == 0))
            return i;
        if (strcmp(words[0], "show") != 0)
            begun = name;
    }
    *nearest = find_nearest(words, count);
    if (*nearest == NULL)
        *nearest = begun;
    return -1;
}

/* What stands behind "show ", all of them. */
static void list_shown(char *out, size_t size)
{
    size_t len = 0;

    for (int i = 0; i < VERB_COUNT && len < size; i++)
        if (strncmp(control_commands[i].name, "show ", 5) == 0)
            len += (size_t)snprintf(out + len, size - len, "%s%s", len > 0 ? ", " : "",
                                    control_commands[i].name + 5);
}

void control_command_unknown(char *const *words, unsigned count, const char *nearest, char *out,
                             size_t size)
{
    bool show = strcmp(words[0], "show") == 0;
    char shown[80];
    char list[160] = "";

    if (show && nearest == NULL) {
        list_shown(list, sizeof(list));
        (void)snprintf(out, size, "show takes one of %s", list);
        return;
    }
    (void)snprintf(list, sizeof(list), "%.64s%s%.64s", words[0], show && count > 1 ? " " : "",
                   show && count > 1 ? words[1] : "");
    (void)snprintf(out, size, "there is no command \"%s\"%s%s%s",
                   slice_escape(slice_string(list), shown, sizeof(shown)),
                   nearest != NULL ? "; did you mean \"" : "; see help",
                   nearest != NULL ? nearest : "", nearest != NULL ? "\"?" : "");
}
