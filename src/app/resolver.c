#include "crossfade/app/resolver.h"

#include "crossfade/base/clock.h"
#include "crossfade/base/hash.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* How long the end of the daemon waits for a look-up that is under way. */
#define END_TIMEOUT SECONDS(1)
#define NEVER UINT64_MAX

struct name {
    struct config_endpoint endpoint; /* text and host are its own */
    uint64_t due;                    /* the next look-up */
    uint64_t last;                   /* when the last one began; 0: none yet */
    bool failed;                     /* the last time */
    bool answered;                   /* the answer waits for the main thread */
    struct resolver_answer answer;
};

/* Used by both threads, under the mutex; freed by the one that is the last to go. */
struct resolver {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    pthread_t thread;
    int wake_fd;
    struct name *names;
    size_t count;
    uint64_t interval;
    bool ending;
    bool done; /* the thread uses nothing of this any more */
    bool left; /* the main thread is gone, so that the thread has to free it */
};

static void free_names(struct name *names, size_t count)
{
    for (size_t i = 0; names != NULL && i < count; i++) {
        free(names[i].endpoint.text);
        free(names[i].endpoint.host);
    }
    free(names);
}

static void resolver_free(struct resolver *resolver)
{
    free_names(resolver->names, resolver->count);
    (void)pthread_cond_destroy(&resolver->changed);
    (void)pthread_mutex_destroy(&resolver->mutex);
    free(resolver);
}

static struct name *find(const struct resolver *resolver, const char *text)
{
    for (size_t i = 0; i < resolver->count; i++)
        if (strcmp(resolver->names[i].endpoint.text, text) == 0)
            return &resolver->names[i];
    return NULL;
}

/* A tenth up or down, so that a fleet does not ask in step. */
static uint64_t next_due(const struct resolver *resolver, uint64_t now)
{
    uint64_t interval = resolver->interval;

    if (interval == 0)
        return NEVER;
    return now + interval - interval / 10 + hash_mix(now) % (interval / 5 + 1);
}

static struct name *earliest(const struct resolver *resolver)
{
    struct name *found = NULL;

    for (size_t i = 0; i < resolver->count; i++)
        if (found == NULL || resolver->names[i].due < found->due)
            found = &resolver->names[i];
    return found;
}

/* Waits for something to do; false at the end. The mutex is held. */
static bool wait_for_work(struct resolver *resolver, struct name **work)
{
    while (!resolver->ending) {
        struct name *name = earliest(resolver);
        uint64_t now = clock_now();
        struct timespec until;

        if (name == NULL || name->due == NEVER) {
            (void)pthread_cond_wait(&resolver->changed, &resolver->mutex);
            continue;
        }
        if (name->due <= now) {
            *work = name;
            return true;
        }
        until.tv_sec = (time_t)(name->due / SECONDS(1));
        until.tv_nsec = (long)(name->due % SECONDS(1)) * 1000;
        (void)pthread_cond_timedwait(&resolver->changed, &resolver->mutex, &until);
    }
    return false;
}

/* The mutex is held, but not while the name is looked up. */
static void work_on(struct resolver *resolver, struct name *name)
{
    struct resolver_answer answer;
    struct config_endpoint endpoint = { .port = name->endpoint.port };
    char host[sizeof(answer.name)];

    name->last = clock_now();
    name->due = next_due(resolver, name->last);
    (void)snprintf(answer.name, sizeof(answer.name), "%s", name->endpoint.text);
    (void)snprintf(host, sizeof(host), "%s", name->endpoint.host);
    endpoint.text = answer.name;
    endpoint.host = host;
    (void)pthread_mutex_unlock(&resolver->mutex);
    answer.ok = addresses_resolve(&endpoint, &answer.addresses, answer.error, sizeof(answer.error));
    (void)pthread_mutex_lock(&resolver->mutex);
    /* The names may be others by now. */
    name = find(resolver, answer.name);
    if (name == NULL || resolver->left)
        return;
    answer.as_before = !answer.ok && name->failed;
    name->failed = !answer.ok;
    name->answer = answer;
    name->answered = true;
    uint64_t one = 1;
    (void)!write(resolver->wake_fd, &one, sizeof(one));
}

static void *run(void *context)
{
    struct resolver *resolver = context;
    struct name *name;
    bool left;

    (void)pthread_mutex_lock(&resolver->mutex);
    while (wait_for_work(resolver, &name))
        work_on(resolver, name);
    left = resolver->left;
    resolver->done = true;
    (void)pthread_cond_broadcast(&resolver->changed);
    (void)pthread_mutex_unlock(&resolver->mutex);
    if (left)
        resolver_free(resolver);
    return NULL;
}

struct resolver *resolver_create(int wake_fd)
{
    struct resolver *resolver = calloc(1, sizeof(*resolver));
    pthread_condattr_t attributes;
    sigset_t all;
    sigset_t before;
    int status;

    if (resolver == NULL)
        return NULL;
    resolver->wake_fd = wake_fd;
    (void)pthread_mutex_init(&resolver->mutex, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&resolver->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    /* Signals are for the main thread. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    status = pthread_create(&resolver->thread, NULL, run, resolver);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status == 0)
        return resolver;
    resolver_free(resolver);
    errno = status;
    return NULL;
}

void resolver_destroy(struct resolver *resolver)
{
    struct timespec until;
    bool done;

    if (resolver == NULL)
        return;
    (void)pthread_mutex_lock(&resolver->mutex);
    resolver->ending = true;
    (void)pthread_cond_broadcast(&resolver->changed);
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(END_TIMEOUT / SECONDS(1));
    while (!resolver->done &&
           pthread_cond_timedwait(&resolver->changed, &resolver->mutex, &until) == 0)
        continue;
    done = resolver->done;
    if (!done) {
        /* It hangs in a look-up, and frees what is left if it comes back before the process ends.
         */
        resolver->left = true;
        (void)pthread_detach(resolver->thread);
    }
    (void)pthread_mutex_unlock(&resolver->mutex);
    if (!done)
        return;
    (void)pthread_join(resolver->thread, NULL);
    resolver_free(resolver);
}

static bool copy_name(struct name *name, const struct config_endpoint *endpoint,
                      const struct resolver *resolver)
{
    const struct name *known = find(resolver, endpoint->text);

    name->endpoint.text = strdup(endpoint->text);
    name->endpoint.host = strdup(endpoint->host);
    name->endpoint.port = endpoint->port;
    if (known != NULL) {
        name->last = known->last;
        name->failed = known->failed;
    }
    name->due = 0;
    return name->endpoint.text != NULL && name->endpoint.host != NULL;
}

bool resolver_watch(struct resolver *resolver, const struct config_endpoint *const *endpoints,
                    size_t count, uint64_t interval)
{
    struct name *names = calloc(count + 1, sizeof(*names));
    struct name *before;
    size_t before_count;
    size_t kept = 0;
    bool ok = names != NULL;

    (void)pthread_mutex_lock(&resolver->mutex);
    for (size_t i = 0; ok && i < count; i++) {
        bool twice = false;
        if (!address_is_name(endpoints[i]))
            continue;
        for (size_t j = 0; j < kept && !twice; j++)
            twice = strcmp(names[j].endpoint.text, endpoints[i]->text) == 0;
        if (twice)
            continue;
        ok = copy_name(&names[kept++], endpoints[i], resolver);
    }
    if (!ok) {
        (void)pthread_mutex_unlock(&resolver->mutex);
        free_names(names, kept);
        return false;
    }
    before = resolver->names;
    before_count = resolver->count;
    resolver->names = names;
    resolver->count = kept;
    resolver->interval = interval;
    (void)pthread_cond_signal(&resolver->changed);
    (void)pthread_mutex_unlock(&resolver->mutex);
    free_names(before, before_count);
    return true;
}

void resolver_hurry(struct resolver *resolver, const char *text)
{
    struct name *name;

    (void)pthread_mutex_lock(&resolver->mutex);
    name = find(resolver, text);
    if (name != NULL && name->last + RESOLVER_PAUSE < name->due) {
        name->due = name->last + RESOLVER_PAUSE;
        (void)pthread_cond_signal(&resolver->changed);
    }
    (void)pthread_mutex_unlock(&resolver->mutex);
}

bool resolver_take(struct resolver *resolver, struct resolver_answer *answer)
{
    bool found = false;

    (void)pthread_mutex_lock(&resolver->mutex);
    for (size_t i = 0; !found && i < resolver->count; i++) {
        if (!resolver->names[i].answered)
            continue;
        *answer = resolver->names[i].answer;
        resolver->names[i].answered = false;
        found = true;
    }
    (void)pthread_mutex_unlock(&resolver->mutex);
    return found;
}
