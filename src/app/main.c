#include "config.h"

#include "crossfade/app/app.h"
#include "crossfade/conf/load.h"
#include "crossfade/relay/tls_set.h"
#include "crossfade/route/placement.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLE_KEYS 10000u
#define DEFAULT_CONFIG "/etc/crossfade/crossfade.yaml"

static const char usage[] =
    "Usage: crossfade [-c FILE] [--check]\n"
    "       crossfade --version | --help\n"
    "\n"
    "Runs the Crossfade daemon in the foreground: a memcache proxy that keeps the versions of an\n"
    "application apart, and an HTTP proxy that moves users from one version to the next.\n"
    "\n"
    "  -c, --config FILE  the configuration; without it " DEFAULT_CONFIG "\n"
    "      --check        read the configuration, print every fault or the plan, and exit\n"
    "      --version      print the version and exit\n"
    "      --help         print this and exit\n"
    "\n"
    "SIGHUP reloads the configuration, SIGTERM stops gracefully, a second SIGTERM at once.\n"
    "See crossfade(8), crossfade.yaml(5) and crossfadectl(1).\n";

enum { OPTION_CHECK = 256, OPTION_VERSION, OPTION_HELP };

static const struct option options[] = {
    { "config", required_argument, NULL, 'c' },
    { "check", no_argument, NULL, OPTION_CHECK },
    { "version", no_argument, NULL, OPTION_VERSION },
    { "help", no_argument, NULL, OPTION_HELP },
    { NULL, 0, NULL, 0 },
};

static void print_tls(void *context, bool fault, unsigned line, unsigned column, const char *path,
                      const char *text)
{
    (void)fprintf(stderr, "%s:%u:%u: %s%s %s\n", (const char *)context, line, column,
                  fault ? "" : "warning: ", path, text);
}

/* The files that the configuration names are a part of it. */
static bool check_tls(const struct config *config)
{
    struct tls_set *set = tls_set_create(config, NULL, print_tls, config->file);
    bool good = set != NULL;

    tls_set_destroy(set);
    return good;
}

/* With some hashes a ring gives nearly all keys to one server, which no configuration shows. */
static void check_spread(const struct config *config)
{
    struct placement *placement = config->cache.present ? placement_create(config) : NULL;
    unsigned *counts = calloc(config->cache.server_count + 1, sizeof(*counts));
    unsigned weights = 0;

    for (unsigned i = 0; placement != NULL && counts != NULL && i < SAMPLE_KEYS; i++) {
        char key[32];
        int len = snprintf(key, sizeof(key), "user:%u:name", i * 7919);
        counts[placement_server(placement, slice_of(key, (size_t)len))]++;
    }
    for (size_t i = 0; i < config->cache.server_count; i++)
        weights += config->cache.servers[i].weight;
    for (size_t i = 0; placement != NULL && counts != NULL && i < config->cache.server_count; i++) {
        double fair = (double)config->cache.servers[i].weight / weights;
        double share = (double)counts[i] / SAMPLE_KEYS;
        unsigned line;
        unsigned column;
        if (fair >= 1 || share <= fair + (1 - fair) * 0.8)
            continue;
        config_place(config, "cache.hash", &line, &column);
        (void)fprintf(stderr,
                      "%s:%u:%u: warning: cache.hash sends %.0f %% of all keys to %s with this "
                      "distribution; keep it only if the clients have it so\n",
                      config->file, line, column, share * 100,
                      config->cache.servers[i].endpoint.text);
    }
    free(counts);
    if (placement != NULL)
        placement_destroy(placement);
}

static int check(const char *path)
{
    struct config_faults faults = { NULL, 0 };
    struct config *config = config_load_file(path, &faults);
    int status = 0;

    config_faults_print(&faults, path, stderr);
    if (config == NULL) {
        (void)fprintf(stderr, "%s: %zu fault%s\n", path, faults.count,
                      faults.count == 1 ? "" : "s");
        config_faults_free(&faults);
        return 1;
    }
    check_spread(config);
    if (check_tls(config))
        config_print_plan(config, stdout);
    else
        status = 1;
    config_free(config);
    config_faults_free(&faults);
    return status;
}

int main(int argc, char **argv)
{
    const char *path = DEFAULT_CONFIG;
    bool check_only = false;
    struct app *app;
    int status;
    int option;

    while ((option = getopt_long(argc, argv, "c:", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            path = optarg;
            break;
        case OPTION_CHECK:
            check_only = true;
            break;
        case OPTION_VERSION:
            (void)printf("crossfade " PACKAGE_VERSION "\n");
            return 0;
        case OPTION_HELP:
            (void)fputs(usage, stdout);
            return 0;
        default:
            (void)fputs(usage, stderr);
            return 2;
        }
    }
    if (optind < argc) {
        (void)fprintf(stderr, "crossfade: \"%s\" is one argument too many\n%s", argv[optind],
                      usage);
        return 2;
    }
    if (check_only)
        return check(path);
    app = app_start(path);
    if (app == NULL)
        return 1;
    status = app_run(app);
    app_destroy(app);
    return status;
}
