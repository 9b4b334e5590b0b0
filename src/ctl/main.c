/*
 * crossfadectl: the commands of the control socket for people and scripts.
 */
#include "config.h"

#include "crossfade/ctl/talk.h"
#include "crossfade/proto/control_commands.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_SOCKET "/run/crossfade/control.sock"
#define EXIT_ERROR 1
#define EXIT_USAGE 2
#define EXIT_TIMEOUT 4

struct settings {
    const char *socket;
    bool json;
    bool yes;
    unsigned seconds;
    const char *reason;
    const char *if_generation;
    const char *drain;
    bool check;
    bool base64;
};

enum {
    OPT_JSON = 256,
    OPT_REASON,
    OPT_GENERATION,
    OPT_CHECK,
    OPT_BASE64,
    OPT_DRAIN,
    OPT_YES,
    OPT_TIMEOUT,
    OPT_VERSION,
    OPT_HELP
};

static const struct option options[] = {
    { "socket", required_argument, NULL, 's' },
    { "json", no_argument, NULL, OPT_JSON },
    { "reason", required_argument, NULL, OPT_REASON },
    { "if-generation", required_argument, NULL, OPT_GENERATION },
    { "check", no_argument, NULL, OPT_CHECK },
    { "base64", no_argument, NULL, OPT_BASE64 },
    { "drain", required_argument, NULL, OPT_DRAIN },
    { "yes", no_argument, NULL, OPT_YES },
    { "timeout", required_argument, NULL, OPT_TIMEOUT },
    { "version", no_argument, NULL, OPT_VERSION },
    { "help", no_argument, NULL, OPT_HELP },
    { NULL, 0, NULL, 0 },
};

static void print_commands(FILE *out)
{
    const char *group = "";

    for (int i = 0; i < VERB_COUNT; i++) {
        const struct control_command *row = &control_commands[i];
        char name[64];
        if (strcmp(row->group, group) != 0)
            (void)fprintf(out, "\n%s:\n", row->group);
        group = row->group;
        (void)snprintf(name, sizeof(name), "%s%s%s", row->name,
                       row->arguments[0] != '\0' ? " " : "", row->arguments);
        (void)fprintf(out, "  %-22s %s\n", name, row->help);
    }
}

static void print_usage(FILE *out)
{
    (void)fputs("Usage: crossfadectl [-s SOCKET] [OPTIONS] COMMAND [ARGUMENTS]\n"
                "\n"
                "  -s, --socket PATH      the daemon's control socket (or CROSSFADE_SOCKET;\n"
                "                         without both " DEFAULT_SOCKET ")\n"
                "      --json             one JSON document instead of a table\n"
                "      --reason TEXT      why, for the audit log\n"
                "      --if-generation N  only if the rollout has not changed since it showed N\n"
                "      --check            of reload: only look at the file\n"
                "      --base64           of explain: the key is given in base64\n"
                "      --drain DURATION   of shutdown: at most so long for what is under way\n"
                "      --yes              do not ask before a change\n"
                "      --timeout SECONDS  give up after this (30)\n"
                "      --version, --help\n",
                out);
    print_commands(out);
    (void)fputs(
        "\nExit status: 0 done, 1 error, 2 usage, 3 refused by the state of things, 4 timed "
        "out,\n5 took effect but something is wrong with it.\n",
        out);
}

/* For bash: complete the names of the table. */
static void print_completion(void)
{
    (void)fputs("# crossfadectl completion for bash: source this, or put it into\n"
                "# /usr/share/bash-completion/completions/crossfadectl\n"
                "_crossfadectl() {\n"
                "    local words=\"",
                stdout);
    for (int i = 0; i < VERB_COUNT; i++)
        if (strncmp(control_commands[i].name, "show ", 5) != 0)
            (void)printf("%.*s ", (int)strcspn(control_commands[i].name, " "),
                         control_commands[i].name);
    (void)fputs("show completion\"\n    local shows=\"", stdout);
    for (int i = 0; i < VERB_COUNT; i++)
        if (strncmp(control_commands[i].name, "show ", 5) == 0)
            (void)printf("%s ", control_commands[i].name + 5);
    (void)fputs("\"\n"
                "    local flags=\"--socket --json --reason --if-generation --check --base64 "
                "--drain --yes --timeout "
                "--version --help\"\n"
                "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
                "    case $previous in\n"
                "    show) words=$shows ;;\n"
                "    drain | enable) words=server ;;\n"
                "    -s | --socket) COMPREPLY=($(compgen -f -- \"$current\")); return ;;\n"
                "    esac\n"
                "    case $current in -*) words=$flags ;; esac\n"
                "    COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
                "}\n"
                "complete -F _crossfadectl crossfadectl\n",
                stdout);
}

static int usage_error(const char *sentence, const char *what)
{
    (void)fprintf(stderr, "crossfadectl: %s%s\n", sentence, what);
    (void)fputs("Try crossfadectl --help.\n", stderr);
    return EXIT_USAGE;
}

/* One more word for the line. */
static bool append(char *line, const char *prefix, const char *word)
{
    char quoted[CONTROL_LINE_MAX];
    size_t len = strlen(line);
    size_t room = CONTROL_LINE_MAX - len;
    int written;

    if (control_line_quote(word, quoted, sizeof(quoted)) == 0)
        return false;
    written = snprintf(line + len, room, "%s%s%s", len > 0 ? " " : "", prefix, quoted);
    return written > 0 && (size_t)written < room - 1;
}

static bool build_line(char *line, const struct settings *settings,
                       const struct control_command *row, char **words, int count)
{
    bool ok = true;

    line[0] = '\0';
    for (int i = 0; i < count && ok; i++)
        ok = append(line, "", words[i]);
    if (settings->json && (row->options & OPTION_JSON))
        ok = ok && append(line, "", "--json");
    if (settings->check)
        ok = ok && append(line, "", "--check");
    if (settings->base64)
        ok = ok && append(line, "", "--base64");
    if (settings->reason != NULL)
        ok = ok && append(line, "reason=", settings->reason);
    if (settings->if_generation != NULL)
        ok = ok && append(line, "if-generation=", settings->if_generation);
    if (settings->drain != NULL)
        ok = ok && append(line, "drain=", settings->drain);
    if (ok)
        (void)strcat(line, "\n"); /* append left room */
    return ok;
}

/* Colour only for a person's terminal, and not against their wish. */
static bool in_colour(FILE *out)
{
    const char *term = getenv("TERM");
    return isatty(fileno(out)) && getenv("NO_COLOR") == NULL &&
           (term == NULL || strcmp(term, "dumb") != 0);
}

static bool confirmed(const struct settings *settings, const struct control_command *row,
                      const char *line)
{
    char answer[16];

    if (!row->confirm || settings->yes || !isatty(STDIN_FILENO))
        return true;
    (void)fprintf(stderr, "%s: %s.\n%.*s  Do it? [y/N] ", row->name, row->help,
                  (int)strcspn(line, "\n"), line);
    return fgets(answer, sizeof(answer), stdin) != NULL && (answer[0] == 'y' || answer[0] == 'Y');
}

static int print_reply(const struct settings *settings, const struct talk_reply *reply)
{
    FILE *out = reply->ok ? stdout : stderr;
    bool colour = in_colour(out);

    if (!reply->ok)
        (void)fprintf(out, "%scrossfadectl: %s%s\n", colour ? "\033[31m" : "", reply->sentence,
                      colour ? "\033[0m" : "");
    else if (reply->sentence[0] != '\0' && !settings->json)
        (void)fprintf(out, "%s\n", reply->sentence);
    else if (reply->sentence[0] != '\0' && reply->body[0] == '\0')
        (void)fprintf(out, "{\"ok\":true}\n");
    (void)fputs(reply->body, out);
    return reply->ok ? 0 : control_code_exit(reply->code);
}

static int run(const struct settings *settings, char **words, int count)
{
    char line[CONTROL_LINE_MAX + 8];
    char error[512];
    struct talk_reply reply;
    const struct control_command *row;
    const char *nearest;
    unsigned words_used;
    int verb;
    int status;

    if (strcmp(words[0], "completion") == 0) {
        print_completion();
        return 0;
    }
    if (strcmp(words[0], "help") == 0 && !settings->json) {
        print_usage(stdout);
        return 0;
    }
    verb = control_command_find(words, (unsigned)count, &words_used, &nearest);
    if (verb < 0) {
        char sentence[320];
        control_command_unknown(words, (unsigned)count, nearest, sentence, sizeof(sentence));
        return usage_error(sentence, "");
    }
    row = &control_commands[verb];
    if (settings->reason != NULL && (row->options & OPTION_REASON) == 0)
        return usage_error("--reason goes with a change of the rollout, not with ", row->name);
    if (settings->if_generation != NULL && (row->options & OPTION_IF_GENERATION) == 0)
        return usage_error("--if-generation goes with a change of the rollout, not with ",
                           row->name);
    if (settings->check && (row->options & OPTION_CHECK) == 0)
        return usage_error("--check goes with reload, not with ", row->name);
    if (settings->base64 && (row->options & OPTION_BASE64) == 0)
        return usage_error("--base64 goes with explain, not with ", row->name);
    if (settings->drain != NULL && (row->options & OPTION_DRAIN) == 0)
        return usage_error("--drain goes with shutdown, not with ", row->name);
    if (!build_line(line, settings, row, words, count))
        return usage_error("the command is too long, or has a control character: ", words[0]);
    if (!confirmed(settings, row, line)) {
        (void)fputs("Nothing was done.\n", stderr);
        return EXIT_ERROR;
    }
    switch (talk(settings->socket, line, settings->seconds, &reply, error, sizeof(error))) {
    case TALK_OK:
        status = print_reply(settings, &reply);
        break;
    case TALK_TIMEOUT:
        (void)fprintf(stderr, "crossfadectl: %s\n", error);
        status = EXIT_TIMEOUT;
        break;
    default:
        (void)fprintf(stderr, "crossfadectl: %s\n", error);
        status = EXIT_ERROR;
    }
    talk_reply_free(&reply);
    return status;
}

int main(int argc, char **argv)
{
    const char *from_environment = getenv("CROSSFADE_SOCKET");
    struct settings settings = { .socket =
                                     from_environment != NULL ? from_environment : DEFAULT_SOCKET,
                                 .seconds = 30 };
    uint64_t seconds;
    int option;

    while ((option = getopt_long(argc, argv, "s:", options, NULL)) != -1) {
        switch (option) {
        case 's':
            settings.socket = optarg;
            break;
        case OPT_JSON:
            settings.json = true;
            break;
        case OPT_REASON:
            settings.reason = optarg;
            break;
        case OPT_GENERATION:
            settings.if_generation = optarg;
            break;
        case OPT_CHECK:
            settings.check = true;
            break;
        case OPT_BASE64:
            settings.base64 = true;
            break;
        case OPT_DRAIN:
            settings.drain = optarg;
            break;
        case OPT_YES:
            settings.yes = true;
            break;
        case OPT_TIMEOUT:
            if (!slice_to_u64(slice_string(optarg), &seconds) || seconds == 0 || seconds > 86400)
                return usage_error("--timeout takes seconds, 1 to 86400, not ", optarg);
            settings.seconds = (unsigned)seconds;
            break;
        case OPT_VERSION:
            (void)puts("crossfadectl " PACKAGE_VERSION);
            return 0;
        case OPT_HELP:
            print_usage(stdout);
            return 0;
        default:
            (void)fputs("Try crossfadectl --help.\n", stderr);
            return EXIT_USAGE;
        }
    }
    if (optind == argc) {
        print_usage(stderr);
        return EXIT_USAGE;
    }
    return run(&settings, argv + optind, argc - optind);
}
