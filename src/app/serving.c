#include "crossfade/app/serving.h"

#include "crossfade/relay/mc_flush.h"
#include "crossfade/relay/mc_journal.h"
#include "crossfade/route/families.h"

#include <errno.h>
#include <event2/event.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct cohort_position position(const struct app *app)
{
    return app->rollout != NULL ? rollout_position(app->rollout)
                                : (struct cohort_position){ .stage = -1 };
}

/* What the main thread waits for. */
typedef bool (*worker_condition)(const struct app *app, uint64_t what);

static bool all_adopted(const struct app *app, uint64_t generation)
{
    for (unsigned i = 0; i < app->worker_count; i++)
        if (atomic_load(&app->workers[i].adopted) < generation &&
            !atomic_load(&app->workers[i].ended))
            return false;
    return true;
}

static bool all_have_shown(const struct app *app, uint64_t unused)
{
    (void)unused;
    for (unsigned i = 0; i < app->worker_count; i++)
        if (worker_thread_seen(&app->workers[i]) == NULL && !atomic_load(&app->workers[i].ended))
            return false;
    return true;
}

static bool all_have_counted(const struct app *app, uint64_t unused)
{
    (void)unused;
    for (unsigned i = 0; i < app->worker_count; i++)
        if (worker_thread_census(&app->workers[i]) == NULL && !atomic_load(&app->workers[i].ended))
            return false;
    return true;
}

static bool wait_for_workers(struct app *app, worker_condition condition, uint64_t what)
{
    struct timespec until;
    bool done;
    int status = 0;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(PUBLISH_TIMEOUT / SECONDS(1));
    (void)pthread_mutex_lock(&app->meeting.mutex);
    while (!(done = condition(app, what)) && status == 0)
        status = pthread_cond_timedwait(&app->meeting.changed, &app->meeting.mutex, &until);
    (void)pthread_mutex_unlock(&app->meeting.mutex);
    return done;
}

bool serving_publish(struct app *app, const struct listeners *listeners)
{
    struct snapshot *snapshot = snapshot_create(app->plan, position(app), app->generation + 1);
    bool sent = true;

    if (snapshot == NULL)
        return false;
    app->generation++;
    for (unsigned i = 0; i < app->worker_count; i++)
        sent = worker_thread_serve(&app->workers[i], snapshot, listeners) && sent;
    snapshot_unref(app->snapshot);
    app->snapshot = snapshot;
    return sent && wait_for_workers(app, all_adopted, snapshot->generation);
}

bool serving_seen(struct app *app, struct families *into)
{
    bool asked = true;

    for (unsigned i = 0; i < app->worker_count; i++)
        asked = worker_thread_ask_seen(&app->workers[i]) && asked;
    if (!asked || !wait_for_workers(app, all_have_shown, 0))
        return false;
    for (unsigned i = 0; i < app->worker_count; i++) {
        const struct families *seen = worker_thread_seen(&app->workers[i]);
        if (seen != NULL)
            families_merge(into, seen);
    }
    return true;
}

struct plan *serving_copy(struct app *app)
{
    uint64_t generations[CONFIG_ARMS_MAX];

    generations_fill(app->generations, app->plan->config, generations);
    return plan_copy(app->plan, generations);
}

bool serving_replace(struct app *app, struct plan *plan)
{
    plan_unref(app->plan);
    app->plan = plan;
    return serving_publish(app, NULL);
}

/* The plan in force with the generations as they are now. */
static bool publish_generations(struct app *app)
{
    struct plan *plan;

    if (app->plan->keyspace == NULL)
        return true;
    plan = serving_copy(app);
    return plan != NULL && serving_replace(app, plan);
}

/* When the daemon looks at the delayed flushes next. */
static void wait_for_due(struct app *app)
{
    uint64_t due;
    uint64_t now = clock_wall();
    struct timeval after = { 0, 0 };

    if (generations_next(app->generations, &due) == NULL)
        return;
    if (due > now) {
        after.tv_sec = (time_t)((due - now) / SECONDS(1));
        after.tv_usec = (suseconds_t)((due - now) % SECONDS(1));
    }
    (void)event_add(app->flush_due, &after);
}

/* Has it a prefix that a generation can change? In epoch mode also the empty namespace has one. */
static bool has_prefix(const struct config *config, int arm)
{
    return config->arms[arm].namespace[0] != '\0' || config->cache.has_epoch;
}

bool serving_flush(struct app *app, const char *arm, uint64_t delay, char *text, size_t text_size)
{
    char why[256];
    const struct config *config = app->plan->config;
    int index = config_arm_index(config, slice_string(arm));
    bool done;

    if (index < 0 || app->plan->keyspace == NULL) {
        (void)snprintf(text, text_size, "there is no arm \"%.64s\" with a cache", arm);
        return false;
    }
    if (!has_prefix(config, index)) {
        (void)snprintf(text, text_size,
                       "the keys of %s have no prefix: it cannot be flushed by a new one, and a "
                       "real flush would empty the cache of every version",
                       arm);
        return false;
    }
    if (delay > GENERATIONS_DELAY_MAX)
        delay = GENERATIONS_DELAY_MAX;
    done = delay == 0 ? generations_raise(app->generations, &config->arms[index], why, sizeof(why))
                      : generations_schedule(app->generations, &config->arms[index],
                                             clock_wall() + SECONDS(delay), why, sizeof(why));
    if (!done) {
        (void)snprintf(text, text_size, "not flushed: %s", why);
        log_error("flush of %s: %s", arm, why);
        return false;
    }
    if (delay > 0) {
        (void)snprintf(text, text_size, "%s will be flushed in %llu s", arm,
                       (unsigned long long)delay);
        wait_for_due(app);
        return true;
    }
    (void)snprintf(
        text, text_size, "%s is flushed: none of its entries from before is served%s", arm,
        config->arms[index].namespace[0] != '\0'
            ? ""
            : ", but for keys that are not under coherence: epoch, which have no prefix");
    log_info("flush: %s", text);
    if (publish_generations(app))
        return true;
    (void)snprintf(text, text_size,
                   "the flush of %s is made and stays, but a worker has not taken it yet: the "
                   "clients there may still get older entries; ask again",
                   arm);
    return false;
}

bool serving_activate(struct app *app, const char *arm, uint64_t *generation, char *error,
                      size_t error_size)
{
    const struct config *config = app->plan->config;
    int index = config_arm_index(config, slice_string(arm));

    *generation = 0;
    ensure(index >= 0);
    if (!has_prefix(config, index))
        return true;
    if (!generations_begin(app->generations, &config->arms[index], generation, error, error_size))
        return false;
    log_info("%s is to be the candidate, with generation %llu of its namespace", arm,
             (unsigned long long)*generation);
    /* First on every worker, then anybody moves: one worker's users are another's cache clients. */
    if (publish_generations(app))
        return true;
    (void)snprintf(error, error_size, "a worker has not taken its new generation yet; try again");
    return false;
}

bool serving_provide_logins(struct app *app, const struct config *config, char *error,
                            size_t error_size)
{
    bool needed = false;

    for (size_t i = 0; i < config->cache.listener_count; i++)
        needed |= config->cache.listeners[i].sasl != NULL;
    if (!needed || app->logins != NULL)
        return true;
    app->logins = login_thread_start(app->workers, app->worker_count, app->login_fd);
    if (app->logins == NULL)
        (void)snprintf(error, error_size, "cannot start the login thread: %s", strerror(errno));
    return app->logins != NULL;
}

void serving_answer(struct app *app)
{
    char text[512];
    struct mc_flush_wish wish;

    for (unsigned i = 0; i < app->worker_count; i++) {
        struct worker_thread *thread = &app->workers[i];
        while (mc_flush_take(&thread->worker, &wish)) {
            mc_flush_answer(&thread->worker,
                            serving_flush(app, wish.arm, wish.delay, text, sizeof(text)));
            worker_thread_wake(thread);
        }
    }
}

void serving_flush_due(struct app *app)
{
    char text[512];
    uint64_t due;
    const char *arm;

    while ((arm = generations_next(app->generations, &due)) != NULL && due <= clock_wall())
        if (!serving_flush(app, arm, 0, text, sizeof(text)))
            break; /* the disk refuses it: said in the log; tried again below */
    if (arm != NULL && due <= clock_wall()) {
        static const struct timeval later = { .tv_sec = 3 };
        (void)event_add(app->flush_due, &later);
        return;
    }
    wait_for_due(app);
}

bool serving_clients(struct app *app, mc_census_each each, void *context)
{
    bool asked = true;
    bool counted;

    for (unsigned i = 0; i < app->worker_count; i++)
        asked = worker_thread_ask_census(&app->workers[i]) && asked;
    counted = asked && wait_for_workers(app, all_have_counted, 0);
    for (unsigned i = 0; i < app->worker_count; i++) {
        const struct mc_census *census = worker_thread_census(&app->workers[i]);
        if (counted && census != NULL)
            each(context, i, census);
        worker_thread_forget_census(&app->workers[i]);
    }
    return counted;
}

struct report {
    char *text;
    size_t size;
    size_t len;
};

static void say(struct report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void say(struct report *report, const char *format, ...)
{
    va_list arguments;
    int len;

    if (report->len + 1 >= report->size)
        return;
    va_start(arguments, format);
    len = vsnprintf(report->text + report->len, report->size - report->len, format, arguments);
    va_end(arguments);
    if (len > 0)
        report->len += (size_t)len;
    if (report->len >= report->size)
        report->len = report->size - 1;
}

/* What is read once at the start stays as it is until a restart, and the person is told. */
static void note_restarts(const struct config *before, const struct config *after,
                          struct report *report)
{
    const char *user_before = before->process.user != NULL ? before->process.user : "";
    const char *user_after = after->process.user != NULL ? after->process.user : "";

    if (before->process.workers != after->process.workers)
        say(report, "\nprocess.workers stays %u until a restart", before->process.workers);
    if (strcmp(before->process.state_dir, after->process.state_dir) != 0)
        say(report, "\nprocess.state_dir stays %s until a restart", before->process.state_dir);
    if (before->cache.present && before->cache.recent_misses != after->cache.recent_misses)
        say(report, "\ncache.recent_misses stays as it is until a restart");
    if (strcmp(user_before, user_after) != 0)
        say(report, "\nprocess.user stays as it is until a restart");
    if (before->cache.journal_size != after->cache.journal_size)
        say(report, "\ncache.journal_size stays as it is until a restart");
}

static bool load(const struct app *app, struct config **config, struct report *report)
{
    struct config_faults faults = { NULL, 0 };

    *config = config_load_file(app->config_path, &faults);
    if (*config == NULL)
        say(report, "%s has %zu fault%s; the configuration of before stays in force",
            app->config_path, faults.count, faults.count == 1 ? "" : "s");
    for (size_t i = 0; *config == NULL && i < faults.count; i++)
        say(report, "\n%s:%u:%u: %s", app->config_path, faults.faults[i].line,
            faults.faults[i].column, faults.faults[i].text);
    config_faults_free(&faults);
    return *config != NULL;
}

struct tls_check {
    const char *file;
    struct report *report;
};

static void say_tls(void *context, bool fault, unsigned line, unsigned column, const char *path,
                    const char *text)
{
    struct tls_check *check = context;

    say(check->report, "%s:%u:%u: %s%s %s\n", check->file, line, column,
        fault ? "" : "warning: ", path, text);
}

/* The files for TLS, without anything of it being used. */
static bool check_tls(const struct app *app, const struct config *config, struct report *report)
{
    struct tls_check check = { app->config_path, report };
    struct tls_set *set = tls_set_create(config, app->plan->tls, say_tls, &check);
    bool good = set != NULL;

    tls_set_destroy(set);
    return good;
}

/* The rollout begins, goes on, or ends with its section. */
static bool match_rollout(struct app *app, const struct config *config, char *error, size_t size)
{
    if (config->rollout.present && app->rollout == NULL) {
        app->rollout = rollout_open(config, error, size);
        return app->rollout != NULL;
    }
    if (!config->rollout.present && app->rollout != NULL) {
        rollout_close(app->rollout);
        app->rollout = NULL;
    } else if (app->rollout != NULL) {
        rollout_reconfigure(app->rollout, config);
    }
    return true;
}

/* The control plane and the rollout go over to the configuration, both or neither. */
static bool follow(struct app *app, const struct config *config, char *error, size_t size)
{
    char ignored[256];

    if (app->rollout != NULL && !rollout_accepts(app->rollout, config, error, size))
        return false;
    if (!control_reconfigure(app->control, config, error, size))
        return false;
    if (match_rollout(app, config, error, size))
        return true;
    (void)control_reconfigure(app->control, app->plan->config, ignored, sizeof(ignored));
    return false;
}

bool serving_reload(struct app *app, bool swap, char *text, size_t text_size)
{
    struct report report = { text, text_size, 0 };
    struct config *config;
    struct plan *plan;
    struct plan *plan_before = app->plan;
    struct listeners *listeners;
    struct listeners *listeners_before = app->listeners;
    uint64_t generations[CONFIG_ARMS_MAX];
    char error[1024];

    text[0] = '\0';
    if (swap && app->draining) {
        say(&report, "not reloaded: the daemon is stopping");
        return false;
    }
    if (!load(app, &config, &report))
        return false;
    if (!swap && !check_tls(app, config, &report)) {
        config_free(config);
        return false;
    }
    if (!swap) {
        say(&report, "%s is valid", app->config_path);
        config_free(config);
        return true;
    }
    generations_fill(app->generations, config, generations);
    plan = plan_create(config, generations, app->plan, app->telemetry, error, sizeof(error));
    if (plan == NULL) {
        say(&report, "not reloaded: %s", error);
        return false;
    }
    listeners = listeners_open(config, app->listeners, app->worker_count, error, sizeof(error));
    if (listeners == NULL) {
        say(&report, "not reloaded: %s", error);
        plan_unref(plan);
        return false;
    }
    if (!listeners_listen(listeners, error, sizeof(error)) ||
        !serving_provide_logins(app, config, error, sizeof(error)) ||
        !follow(app, config, error, sizeof(error))) {
        say(&report, "not reloaded: %s", error);
        listeners_abandon(listeners);
        plan_unref(plan);
        return false;
    }
    app->plan = plan;
    app->listeners = listeners;
    if (config->cache.present)
        mc_journal_set_age(app->journal, config->cache.journal_age);
    log_set_level(config->process.log_level);
    log_set_json(config->process.log_json);
    listeners_set_modes(listeners);
    say(&report, "%s is in force", app->config_path);
    note_restarts(plan_before->config, config, &report);
    if (!serving_publish(app, listeners))
        say(&report, "\na worker has not taken it yet");
    listeners_close(listeners_before, listeners);
    plan_unref(plan_before);
    serving_watch_names(app);
    return true;
}
