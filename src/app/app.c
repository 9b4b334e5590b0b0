#include "config.h"

#include "crossfade/app/app.h"

#include "crossfade/app/privileges.h"
#include "crossfade/app/serving.h"
#include "crossfade/relay/mc_journal.h"
#include "crossfade/rollout/audit.h"

#include <errno.h>
#include <event2/event.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* How often a graceful stop looks whether the last client is gone. */
static const struct timeval progress_interval = { .tv_usec = 20000 };
static const struct timeval settle_interval = { .tv_sec = 3 };

/* So many TLS connections at once, about 4 MB, are a burst when half of them are gone. */
#define TLS_BURST 256u

/* Where a cache section comes with a reload: in memory only. */
#define JOURNAL_SIZE (UINT64_C(16) << 20)
#define JOURNAL_AGE SECONDS(86400)

static void begin_stop(struct app *app, uint64_t drain);

/* What the control plane may ask of the daemon. */

static const struct plan *host_plan(void *context)
{
    return ((struct app *)context)->plan;
}

static struct rollout *host_rollout(void *context)
{
    return ((struct app *)context)->rollout;
}

static struct telemetry *host_telemetry(void *context)
{
    return ((struct app *)context)->telemetry;
}

static bool host_publish(void *context)
{
    return serving_publish(context, NULL);
}

static bool host_activate(void *context, const char *arm, uint64_t *generation, char *error,
                          size_t size)
{
    return serving_activate(context, arm, generation, error, size);
}

static bool host_reload(void *context, char *text, size_t size)
{
    bool ok = serving_reload(context, true, text, size);

    /* Each fault has a line of its own, in the log too. */
    for (const char *line = text; line[0] != '\0';) {
        int len = (int)strcspn(line, "\n");
        log_write(ok ? LOG_INFO : LOG_ERROR, "reload: %.*s", len, line);
        line += len;
        line += strspn(line, "\n");
    }
    return ok;
}

static bool host_check(void *context, char *text, size_t size)
{
    return serving_reload(context, false, text, size);
}

static void host_shutdown(void *context, uint64_t drain)
{
    begin_stop(context, drain);
}

static uint64_t host_started(void *context)
{
    return ((struct app *)context)->telemetry->started;
}

static bool host_draining(void *context)
{
    return ((struct app *)context)->draining;
}

static void on_progress(evutil_socket_t fd, short what, void *context)
{
    struct app *app = context;

    (void)fd;
    (void)what;
    for (unsigned i = 0; i < app->worker_count; i++)
        if (!atomic_load(&app->workers[i].ended))
            return;
    (void)event_base_loopbreak(app->base);
}

/* A worker's client wishes a flush, a worker cannot reach a server, or a name was looked up. */
static void on_asked(evutil_socket_t fd, short what, void *context)
{
    uint64_t count;

    (void)what;
    while (read(fd, &count, sizeof(count)) > 0)
        continue;
    serving_answer(context);
    serving_take_looks(context);
    serving_hurry_names(context);
    serving_take_names(context);
}

static void ask_main(struct worker *worker)
{
    uint64_t one = 1;
    (void)!write(worker->ask_fd, &one, sizeof(one));
}

static void ask_login(struct worker *worker)
{
    uint64_t one = 1;
    (void)!write(worker->login_fd, &one, sizeof(one));
}

static void on_flush_due(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    serving_flush_due(context);
}

static bool host_clients(void *context, mc_census_each each, void *each_context)
{
    return serving_clients(context, each, each_context);
}

static bool host_look(void *context, struct mc_look *look, control_looked looked,
                      void *looked_context)
{
    return serving_look(context, look, looked, looked_context);
}

static bool host_seen(void *context, struct families *into)
{
    return serving_seen(context, into);
}

/* It goes into the audit log, and happens also where the disk refuses that. */
static void note(const struct app *app, const char *by, const char *verb, const char *of)
{
    const char *state_dir = generations_folder(app->generations);
    char error[256];

    if (!audit_note(state_dir, by, verb, of, error, sizeof(error)))
        log_error("%s of %s is not in %s/" AUDIT_FILE ", which %s", verb, of, state_dir, error);
}

static bool host_flush(void *context, const char *by, const char *arm, char *text, size_t size)
{
    bool ok = serving_flush(context, arm, 0, text, size);

    if (ok)
        note(context, by, "flush", arm);
    return ok;
}

static bool host_drain(void *context, const char *by, const char *server, bool drain, char *text,
                       size_t size)
{
    bool ok = serving_drain(context, server, drain, text, size);

    if (ok)
        note(context, by, drain ? "drain server" : "enable server", server);
    return ok;
}

static bool host_forget_lost(void *context, const char *by, const char *server, char *text,
                             size_t size)
{
    const struct app *app = context;

    if (plan_server(app->plan, server) == NULL) {
        (void)snprintf(text, size,
                       "there is no memcached server \"%.200s\"; show servers lists them", server);
        return false;
    }
    if (!mc_journal_forget_lost(app->journal, server)) {
        (void)snprintf(text, size, "no invalidation for %.200s was lost", server);
        return true;
    }
    note(app, by, "forget-lost", server);
    log_info("memcached server %s is believed again, as %s says", server, by);
    (void)snprintf(text, size, "what %.200s holds is believed again", server);
    return true;
}

/*
 * What OpenSSL held for connections that are gone stays with malloc. After a burst it goes back to
 * the system; that takes some milliseconds, for which handshakes wait, and is therefore not done
 * more often.
 */
static void give_memory_back(struct app *app)
{
    uint64_t open = 0;

    for (unsigned i = 0; i < cells_count(app->telemetry->tls); i++)
        open += cells_sum(app->telemetry->tls, i, offsetof(struct tls_cell, connections));
    if (open > app->tls_peak)
        app->tls_peak = open;
    if (app->tls_peak < TLS_BURST || open > app->tls_peak / 2)
        return;
    app->tls_peak = open;
#ifdef HAVE_MALLOC_TRIM
    (void)malloc_trim(0);
#endif
}

static void on_settle(evutil_socket_t fd, short what, void *context)
{
    struct app *app = context;

    (void)fd;
    (void)what;
    if (app->rollout != NULL)
        (void)rollout_settle(app->rollout);
    if (!app->draining)
        mc_journal_tick(app->journal);
    give_memory_back(app);
}

static void stop_now(struct app *app)
{
    if (app->stopping)
        return;
    app->stopping = true;
    for (unsigned i = 0; i < app->worker_count; i++)
        worker_thread_end(&app->workers[i], ORDER_STOP);
}

static void on_deadline(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    log_warn("the time for a graceful stop is over: closing what is left");
    stop_now(context);
}

static void begin_stop(struct app *app, uint64_t drain)
{
    struct timeval after = { .tv_sec = (time_t)(drain / SECONDS(1)),
                             .tv_usec = (suseconds_t)(drain % SECONDS(1)) };

    if (app->draining) {
        stop_now(app);
        return;
    }
    app->draining = true;
    generations_release(app->generations);
    log_info("stopping: at most %.1f s for what is under way", (double)drain / 1e6);
    for (unsigned i = 0; i < app->worker_count; i++)
        worker_thread_end(&app->workers[i], ORDER_DRAIN);
    (void)event_add(app->progress, &progress_interval);
    if (drain == 0)
        stop_now(app);
    else
        (void)event_add(app->deadline, &after);
}

static void on_signal(evutil_socket_t number, short what, void *context)
{
    struct app *app = context;
    char text[4096];

    (void)what;
    if (number == SIGHUP)
        (void)host_reload(app, text, sizeof(text));
    else
        begin_stop(app, app->plan->config->process.drain_timeout);
}

static bool watch_signals(struct app *app)
{
    static const int numbers[] = { SIGHUP, SIGTERM, SIGINT };

    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* a limit of file sizes is a full disk, which is survived */
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        app->signals[i] = evsignal_new(app->base, numbers[i], on_signal, app);
        if (app->signals[i] == NULL || event_add(app->signals[i], NULL) != 0)
            return false;
    }
    app->deadline = evtimer_new(app->base, on_deadline, app);
    app->progress = event_new(app->base, -1, EV_PERSIST, on_progress, app);
    app->ask_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    app->asked = event_new(app->base, app->ask_fd, EV_READ | EV_PERSIST, on_asked, app);
    app->flush_due = evtimer_new(app->base, on_flush_due, app);
    app->login_fd = eventfd(0, EFD_CLOEXEC);
    if (app->ask_fd < 0 || app->login_fd < 0 || app->asked == NULL || app->flush_due == NULL ||
        event_add(app->asked, NULL) != 0)
        return false;
    app->settle = event_new(app->base, -1, EV_PERSIST, on_settle, app);
    return app->deadline != NULL && app->progress != NULL && app->settle != NULL &&
           event_add(app->settle, &settle_interval) == 0;
}

static bool start_workers(struct app *app, unsigned count, char *error, size_t size)
{
    pthread_condattr_t attributes;

    (void)pthread_mutex_init(&app->meeting.mutex, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&app->meeting.changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    app->workers = calloc(count, sizeof(*app->workers));
    if (app->workers == NULL) {
        (void)snprintf(error, size, "out of memory");
        return false;
    }
    for (unsigned i = 0; i < count; i++) {
        if (!worker_thread_init(&app->workers[i], i, app->telemetry, &app->meeting, error, size))
            return false;
        app->worker_count++;
    }
    for (unsigned i = 0; i < count; i++) {
        app->workers[i].worker.ask_main = ask_main;
        app->workers[i].worker.ask_fd = app->ask_fd;
        app->workers[i].worker.ask_login = ask_login;
        app->workers[i].worker.login_fd = app->login_fd;
        app->workers[i].worker.journal = app->journal;
    }
    for (unsigned i = 0; i < count; i++)
        if (!worker_thread_start(&app->workers[i])) {
            (void)snprintf(error, size, "cannot start worker %u: %s", i, strerror(errno));
            return false;
        }
    return true;
}

static void warn_tls(void *context, bool fault, unsigned line, unsigned column, const char *path,
                     const char *text)
{
    (void)fault;
    log_warn("%s:%u:%u: %s %s", (const char *)context, line, column, path, text);
}

/* What was made as root belongs to who we become, who has to take it away in the end. */
static bool become_user(struct app *app, const struct config *config, char *error, size_t size)
{
    uid_t uid;
    gid_t gid;

    if (privileges_owner(config, &uid, &gid)) {
        listeners_give(app->listeners, uid, gid);
        control_give(app->control, uid, gid);
    }
    if (!privileges_drop(config, error, size))
        return false;
    if (config->process.user != NULL)
        tls_set_look(app->plan->tls, config, warn_tls, config->file);
    return true;
}

/* Another daemon may have changed the generations until now, with the folder in its hands. */
static bool take_state_dir(struct app *app, const struct config *config, char *error, size_t size)
{
    struct plan *plan;

    if (!generations_lock(app->generations, error, size))
        return false;
    plan = serving_copy(app);
    if (plan == NULL) {
        (void)snprintf(error, size, "out of memory");
        return false;
    }
    plan_unref(app->plan);
    app->plan = plan;
    if (plan_keep_misses(plan, config->process.state_dir))
        return true;
    (void)snprintf(error, size, "out of memory");
    return false;
}

static bool open_all(struct app *app, struct config *config, char *error, size_t size)
{
    const struct control_host host = {
        .context = app,
        .plan = host_plan,
        .rollout = host_rollout,
        .telemetry = host_telemetry,
        .publish = host_publish,
        .activate = host_activate,
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
        .clients = host_clients,
    };
    unsigned workers = config->process.workers;
    uint64_t generations[CONFIG_ARMS_MAX];

    app->telemetry = telemetry_create(workers);
    app->base = event_base_new();
    if (app->telemetry == NULL || app->base == NULL || !watch_signals(app)) {
        config_free(config);
        (void)snprintf(error, size, "out of memory");
        return false;
    }
    app->generations = generations_open(config->process.state_dir, error, size);
    if (app->generations == NULL) {
        config_free(config);
        return false;
    }
    generations_fill(app->generations, config, generations);
    app->plan = plan_create(config, generations, NULL, app->telemetry, error, size);
    if (app->plan == NULL)
        return false;
    app->listeners = listeners_open(config, NULL, workers, error, size);
    if (app->listeners == NULL)
        return false;
    privileges_make_folders(config);
    app->control = control_create(app->base, &host, config, error, size);
    if (app->control == NULL || !become_user(app, config, error, size) ||
        !take_state_dir(app, config, error, size))
        return false;
    if (config->rollout.present) {
        app->rollout = rollout_open(config, error, size);
        if (app->rollout == NULL)
            return false;
    }
    app->journal = config->cache.present
                       ? mc_journal_open(config->process.state_dir, config->cache.journal_size,
                                         config->cache.journal_age)
                       : mc_journal_open(NULL, JOURNAL_SIZE, JOURNAL_AGE);
    if (app->journal == NULL) {
        (void)snprintf(error, size, "out of memory for the journal of undelivered invalidations");
        return false;
    }
    if (!start_workers(app, workers, error, size) ||
        !serving_provide_logins(app, app->plan->config, error, size) ||
        !listeners_listen(app->listeners, error, size))
        return false;
    app->resolver = resolver_create(app->ask_fd);
    if (app->resolver == NULL) {
        (void)snprintf(error, size, "cannot start the thread that looks up names: %s",
                       strerror(errno));
        return false;
    }
    serving_flush_due(app);
    if (!serving_publish(app, app->listeners)) {
        (void)snprintf(error, size, "a worker did not begin to serve");
        return false;
    }
    serving_watch_names(app);
    return true;
}

struct app *app_start(const char *config_path)
{
    struct config_faults faults = { NULL, 0 };
    struct config *config = config_load_file(config_path, &faults);
    struct app *app;
    char error[1024] = "out of memory";

    config_faults_print(&faults, config_path, stderr);
    config_faults_free(&faults);
    if (config == NULL) {
        log_error("%s: not started, because of the faults above", config_path);
        return NULL;
    }
    log_set_level(config->process.log_level);
    log_set_json(config->process.log_json);
    privileges_raise_limits();
    app = calloc(1, sizeof(*app));
    if (app == NULL || (app->config_path = strdup(config_path)) == NULL) {
        config_free(config);
        free(app);
        log_error("not started: out of memory");
        return NULL;
    }
    if (!open_all(app, config, error, sizeof(error))) {
        log_error("not started: %s", error);
        app_destroy(app);
        return NULL;
    }
    log_info("serving with %u worker%s, configuration %s", app->worker_count,
             app->worker_count == 1 ? "" : "s", config_path);
    return app;
}

int app_run(struct app *app)
{
    (void)event_base_dispatch(app->base);
    log_info("stopped");
    return 0;
}

void app_destroy(struct app *app)
{
    for (unsigned i = 0; i < app->worker_count; i++)
        if (app->workers[i].started)
            worker_thread_end(&app->workers[i], ORDER_STOP);
    login_thread_stop(app->logins);
    for (unsigned i = 0; i < app->worker_count; i++)
        worker_thread_deinit(&app->workers[i]);
    if (app->workers != NULL) {
        (void)pthread_cond_destroy(&app->meeting.changed);
        (void)pthread_mutex_destroy(&app->meeting.mutex);
    }
    free(app->workers);
    serving_end_looks(app);
    mc_journal_close(app->journal);
    resolver_destroy(app->resolver);
    if (app->control != NULL)
        control_destroy(app->control);
    listeners_close(app->listeners, NULL);
    if (app->rollout != NULL)
        rollout_close(app->rollout);
    snapshot_unref(app->snapshot);
    plan_unref(app->plan);
    for (size_t i = 0; i < sizeof(app->signals) / sizeof(app->signals[0]); i++)
        if (app->signals[i] != NULL)
            event_free(app->signals[i]);
    if (app->deadline != NULL)
        event_free(app->deadline);
    if (app->progress != NULL)
        event_free(app->progress);
    if (app->settle != NULL)
        event_free(app->settle);
    if (app->asked != NULL)
        event_free(app->asked);
    if (app->flush_due != NULL)
        event_free(app->flush_due);
    if (app->ask_fd > 0)
        (void)close(app->ask_fd);
    if (app->login_fd > 0)
        (void)close(app->login_fd);
    generations_close(app->generations);
    if (app->base != NULL)
        event_base_free(app->base);
    telemetry_destroy(app->telemetry);
    free(app->config_path);
    free(app);
}
