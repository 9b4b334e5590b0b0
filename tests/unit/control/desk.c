#include "desk.h"

#include "crossfade/conf/load.h"
#include "crossfade/relay/mc_look.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char planes[] =
    "arms:\n"
    "  - { name: py2, namespace: \"\", backends: [ \"127.0.0.1:8002\" ] }\n"
    "  - { name: py3, %s }\n"
    "cache:\n"
    "  listen: [ { address: \"127.0.0.1:11212\", arm: py2 } ]\n"
    "  servers: [ \"127.0.0.1:11211\", \"127.0.0.1:11311:3\" ]\n"
    "  keys: [ { match: \"lock:*\", scope: shared } ]\n"
    "web:\n"
    "  listen: [ { address: \"127.0.0.1:8080\" } ]\n"
    "process: { workers: 2, state_dir: %s }\n"
    "%s";
static const char rollout[] = "rollout:\n"
                              "  name: python3\n"
                              "  from: py2\n"
                              "  to: py3\n"
                              "  salt: unit\n"
                              "  identity: [ \"cookie:uid\" ]\n"
                              "  stages:\n"
                              "    - { name: developers }\n"
                              "    - { name: early, percent: 20 }\n"
                              "    - { name: everyone, percent: 100 }\n";

static const struct plan *host_plan(void *context)
{
    return ((struct desk *)context)->plan;
}

static struct rollout *host_rollout(void *context)
{
    return ((struct desk *)context)->rollout;
}

static struct telemetry *host_telemetry(void *context)
{
    return ((struct desk *)context)->telemetry;
}

static bool host_publish(void *context)
{
    struct desk *desk = context;
    desk->published++;
    desk->generation_published = rollout_status(desk->rollout)->generation;
    return !desk->publish_fails;
}

static bool host_reload(void *context, char *text, size_t size)
{
    struct desk *desk = context;
    desk->reloads++;
    (void)snprintf(text, size, desk->reload_fails ? "two faults\n\nfile:1:2: bad" : "reloaded");
    return !desk->reload_fails;
}

static bool host_check(void *context, char *text, size_t size)
{
    ((struct desk *)context)->checks++;
    (void)snprintf(text, size, "no fault");
    return true;
}

static void host_shutdown(void *context, uint64_t drain)
{
    (void)drain;
    ((struct desk *)context)->shutdowns++;
}

static uint64_t host_started(void *context)
{
    return ((struct desk *)context)->telemetry->started;
}

static bool host_flush(void *context, const char *by, const char *arm, char *text, size_t size)
{
    (void)context;
    (void)by;
    (void)snprintf(text, size, "%s is flushed", arm);
    return true;
}

static bool host_drain(void *context, const char *by, const char *server, bool drain, char *text,
                       size_t size)
{
    (void)context;
    (void)by;
    (void)snprintf(text, size, "%s is %s", server, drain ? "drained" : "in service");
    return true;
}

static bool host_forget_lost(void *context, const char *by, const char *server, char *text,
                             size_t size)
{
    (void)context;
    (void)by;
    (void)snprintf(text, size, "%s is believed", server);
    return true;
}

static bool host_seen(void *context, struct families *into)
{
    struct desk *desk = context;

    if (desk->seen != NULL)
        families_merge(into, desk->seen);
    return !desk->blind;
}

static bool host_clients(void *context, mc_census_each each, void *each_context)
{
    struct desk *desk = context;

    if (desk->census != NULL)
        each(each_context, 0, desk->census);
    return !desk->blind;
}

static bool host_draining(void *context)
{
    return ((struct desk *)context)->draining;
}

static bool host_look(void *context, struct mc_look *look, control_looked looked,
                      void *looked_context)
{
    struct desk *desk = context;

    if (!desk->looks) {
        free(look);
        return false;
    }
    for (size_t i = 0; i < look->count; i++)
        look->items[i].result = MC_LOOK_ABSENT;
    desk->look = look;
    desk->looked = looked;
    desk->looked_context = looked_context;
    return true;
}

void desk_make(struct desk *desk, bool with_rollout)
{
    const char *tmp = getenv("TMPDIR");
    struct config_faults faults = { NULL, 0 };
    struct config *config;
    char error[512];
    const uint64_t generations[CONFIG_ARMS_MAX] = { 0 };
    char text[2048];

    memset(desk, 0, sizeof(*desk));
    (void)snprintf(desk->folder, sizeof(desk->folder), "%.32s/control-XXXXXX",
                   tmp != NULL ? tmp : "/tmp");
    cr_assert_not_null(mkdtemp(desk->folder));
    (void)snprintf(text, sizeof(text), planes,
                   with_rollout ? "backends: [ \"127.0.0.1:8003\" ]" : "namespace: py3",
                   desk->folder, with_rollout ? rollout : "");
    config = config_load_text("unit.yaml", text, strlen(text), &faults);
    cr_assert_not_null(config, "%s", faults.count > 0 ? faults.faults[0].text : "");
    config_faults_free(&faults);
    desk->telemetry = telemetry_create(2);
    desk->plan = plan_create(config, generations, NULL, desk->telemetry, error, sizeof(error));
    cr_assert_not_null(desk->plan, "%s", error);
    if (with_rollout) {
        desk->rollout = rollout_open(config, error, sizeof(error));
        cr_assert_not_null(desk->rollout, "%s", error);
    }
    desk->looks = true;
    desk->host = (struct control_host){ .context = desk,
                                        .plan = host_plan,
                                        .rollout = host_rollout,
                                        .telemetry = host_telemetry,
                                        .publish = host_publish,
                                        .reload = host_reload,
                                        .check = host_check,
                                        .shutdown = host_shutdown,
                                        .started = host_started,
                                        .draining = host_draining,
                                        .flush = host_flush,
                                        .drain = host_drain,
                                        .forget_lost = host_forget_lost,
                                        .seen = host_seen,
                                        .look = host_look,
                                        .clients = host_clients };
}

void desk_end(struct desk *desk)
{
    DIR *entries = opendir(desk->folder);
    struct dirent *entry;
    char path[512];

    if (desk->rollout != NULL)
        rollout_close(desk->rollout);
    plan_unref(desk->plan);
    telemetry_destroy(desk->telemetry);
    while ((entry = readdir(entries)) != NULL) {
        (void)snprintf(path, sizeof(path), "%s/%s", desk->folder, entry->d_name);
        (void)unlink(path);
    }
    (void)closedir(entries);
    (void)rmdir(desk->folder);
}

static void write_answer(struct control_pending *pending)
{
    control_pending_write(pending, pending->context);
}

static bool say(struct desk *desk, enum control_level level, const char *line, char **text)
{
    static struct control_words words;
    const struct control_peer peer = { level, "alice (uid 1000, pid 7)" };
    struct slice rest = slice_string(line);
    struct evbuffer *out = evbuffer_new();
    const char *why;
    bool shutdown = false;
    uint64_t drain;
    size_t len;

    while (!shutdown && control_line_next(&rest, &words, &why) == CONTROL_LINE_OK) {
        struct control_pending *pending = NULL;
        shutdown = control_dispatch(&desk->host, &peer, &words, out, &drain, &pending);
        if (pending == NULL)
            continue;
        cr_assert_eq(evbuffer_get_length(out), 0, "nothing before it is answered");
        pending->answered = write_answer;
        pending->context = desk->gone ? NULL : out;
        desk->looked(desk->looked_context, desk->slow ? NULL : desk->look);
        free(desk->look);
    }
    len = evbuffer_get_length(out);
    *text = calloc(1, len + 1);
    (void)evbuffer_remove(out, *text, len);
    evbuffer_free(out);
    return shutdown;
}

char *desk_say(struct desk *desk, enum control_level level, const char *line)
{
    char *text;

    (void)say(desk, level, line, &text);
    return text;
}

bool desk_expect(struct desk *desk, enum control_level level, const char *line, const char *begin)
{
    char *text;
    bool shutdown = say(desk, level, line, &text);
    size_t len = strlen(text);

    cr_expect_eq(strncmp(text, begin, strlen(begin)), 0, "%s: %s", line, text);
    /* One reply, with its empty line at its end and nowhere else. */
    cr_expect(len > 2 && strcmp(text + len - 2, "\n\n") == 0, "%s: %s", line, text);
    cr_expect_eq(strstr(text, "\n\n"), text + len - 2, "%s: %s", line, text);
    free(text);
    return shutdown;
}
