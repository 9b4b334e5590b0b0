#include "crossfade/relay/mc_login.h"

#include "crossfade/proto/mc_auth.h"
#include "crossfade/relay/mc_pools.h"
#include "crossfade/relay/mc_strangers.h"

#include <openssl/crypto.h>
#include <sys/socket.h>
#include <time.h>

static const struct slice stored = SLICE_INIT("STORED\r\n");
static const struct slice failure = SLICE_INIT("CLIENT_ERROR authentication failure\r\n");
static const struct slice no_arm = SLICE_INIT(
    "CLIENT_ERROR this client is refused here: no version of the application is its\r\n");

static bool is_text(const struct mc_client *client)
{
    return client->dialect == &mc_text;
}

/* -- The client's side ------------------------------------------------------------------------- */

/* Passwords do not stay in the worker's buffers. */
static void consume_secret(struct mc_client *client, size_t len)
{
    OPENSSL_cleanse(client->input.chunk->data + client->input.begin, len);
    input_consume(&client->input, len);
    client->scanned = 0;
}

static void log_failure(struct mc_client *client, struct slice user, const char *why)
{
    struct address peer = { .len = sizeof(peer.u) };
    char host[ADDRESS_TEXT];
    char name[300];

    if (!mc_strangers_may_log(client->plane))
        return;
    if (getpeername(client->stream.fd, &peer.u.any, &peer.len) != 0)
        peer.len = 0;
    log_warn("a login as \"%s\" at %s from %s failed: %s", slice_escape(user, name, sizeof(name)),
             mc_client_listener(client)->endpoint.text,
             peer.len > 0 ? address_format_host(&peer, host, sizeof(host)) : "somewhere", why);
}

/* The client hears of it a little later, so that guessing takes time. */
static void fail(struct mc_client *client)
{
    counter_add(&client->listener_cell->logins_failed, 1);
    client->stage = MC_STAGE_WAITING;
    client->login_due = worker_now(client->plane->worker) + MC_LOGIN_DELAY;
}

enum mc_step mc_login_fail(struct mc_client *client, size_t len)
{
    consume_secret(client, len);
    fail(client);
    return MC_STEP_STOP;
}

/* NULL: all are in use. */
static struct mc_login_slot *free_slot(struct mc_login_queue *queue)
{
    for (size_t i = 0; i < MC_LOGIN_SLOTS; i++)
        if (atomic_load_explicit(&queue->slots[i].state, memory_order_relaxed) == MC_LOGIN_FREE)
            return &queue->slots[i];
    return NULL;
}

enum mc_step mc_login_begin(struct mc_client *client, struct slice user, struct slice password,
                            size_t len)
{
    struct worker *worker = client->plane->worker;
    const struct config_listener *listener = mc_client_listener(client);
    struct mc_login_slot *slot = free_slot(worker->logins);

    if (slot == NULL) {
        client->login_later = true;
        return MC_STEP_STOP;
    }
    if (listener->users == NULL || !verifier_wish_set(&slot->wish, user, password)) {
        log_failure(client, user, "its user or password is too long");
        return mc_login_fail(client, len);
    }
    slot->wish.users = listener->users;
    slot->wish.place = mc_client_plan(client)->listener_cells[client->listener];
    slot->client = client;
    slot->view = mc_view_ref(client->view);
    slot->asked_at = worker_now(worker);
    client->login = slot;
    client->stage = MC_STAGE_WAITING;
    consume_secret(client, len);
    counter_add(&worker->cell->logins_waiting, 1);
    atomic_store_explicit(&slot->state, MC_LOGIN_ASKED, memory_order_release);
    worker->ask_login(worker);
    return MC_STEP_STOP;
}

static enum mc_step say(struct mc_client *client, struct slice answer)
{
    return mc_client_answer(client, answer) ? MC_STEP_ON : MC_STEP_CLOSE;
}

static enum mc_step say_and_close(struct mc_client *client, struct slice answer)
{
    client->closing = true;
    input_clear(&client->input);
    return answer.len == 0 || mc_client_answer(client, answer) ? MC_STEP_STOP : MC_STEP_CLOSE;
}

static enum mc_step text_login(struct mc_client *client, struct slice bytes)
{
    struct mc_auth_text text;

    switch (mc_auth_text_parse(bytes, &client->scanned, &text)) {
    case MC_AUTH_LOGIN:
        return mc_login_begin(client, text.user, text.password, text.len);
    case MC_AUTH_REFUSED:
        consume_secret(client, text.len);
        return say(client, text.answer);
    case MC_AUTH_CLOSE:
        return say_and_close(client, text.answer);
    case MC_AUTH_MORE:
        break;
    }
    client->need = text.need;
    return MC_STEP_MORE;
}

enum mc_step mc_login_step(struct mc_client *client, struct slice bytes)
{
    switch ((enum mc_stage)client->stage) {
    case MC_STAGE_LOGIN:
        return is_text(client) ? text_login(client, bytes) : mc_sasl_stranger(client, bytes);
    case MC_STAGE_REFUSED:
        return is_text(client) ? say_and_close(client, no_arm) : mc_sasl_stranger(client, bytes);
    case MC_STAGE_SERVED:
    case MC_STAGE_UNKNOWN:
    case MC_STAGE_WAITING:
        break;
    }
    return MC_STEP_STOP;
}

/* The login is answered, and the client goes on. */
static void answer(struct mc_client *client, bool granted)
{
    if (!(is_text(client) ? mc_client_answer(client, granted ? stored : failure)
                          : mc_sasl_answer(client, granted))) {
        mc_client_close(client, "out of memory");
        return;
    }
    mc_client_wake(client);
}

static void finish(struct mc_client *client, const struct mc_login_slot *slot)
{
    struct mc_listener_cell *cell = client->listener_cell;
    struct slice user = slice_of(slot->wish.user, slot->wish.user_len);

    client->login = NULL;
    if (!verifier_granted(slot->verdict)) {
        bool throttled = slot->verdict == VERIFIER_THROTTLED;
        counter_add(&cell->logins_throttled, throttled);
        log_failure(client, user,
                    throttled ? "too many have failed lately; it was not looked at"
                              : "no such user, or another password");
        fail(client);
        return;
    }
    counter_add(&cell->logins, 1);
    counter_add(&cell->logins_known, slot->verdict == VERIFIER_KNOWN);
    if (mc_client_identify_user(client, user)) {
        answer(client, true);
    } else if (is_text(client)) {
        /* The right password, and nothing to be let in to. */
        if (say_and_close(client, no_arm) == MC_STEP_CLOSE)
            mc_client_close(client, "out of memory");
        else
            mc_client_wake(client);
    } else {
        client->closing = true;
        input_clear(&client->input);
        answer(client, false);
    }
}

static void release(struct mc_plane *plane, struct mc_login_slot *slot)
{
    mc_view_unref(plane, slot->view);
    slot->view = NULL;
    slot->client = NULL;
    counter_sub(&plane->worker->cell->logins_waiting, 1);
    atomic_store_explicit(&slot->state, MC_LOGIN_FREE, memory_order_relaxed);
}

static unsigned count_free(const struct mc_login_queue *queue)
{
    unsigned count = 0;

    for (size_t i = 0; i < MC_LOGIN_SLOTS; i++)
        count +=
            atomic_load_explicit(&queue->slots[i].state, memory_order_relaxed) == MC_LOGIN_FREE;
    return count;
}

/* Those that waited for a slot try again, those that came first before the others. */
static void wake_waiting(struct mc_plane *plane, unsigned count)
{
    struct mc_client *client;

    TAILQ_FOREACH (client, &plane->strangers, stranger) {
        if (count == 0)
            return;
        if (!client->login_later)
            continue;
        client->login_later = false;
        mc_client_wake(client);
        count--;
    }
}

void mc_login_collect(struct mc_plane *plane)
{
    struct mc_login_queue *queue = plane->worker->logins;
    unsigned released = 0;

    for (size_t i = 0; i < MC_LOGIN_SLOTS; i++) {
        struct mc_login_slot *slot = &queue->slots[i];
        if (atomic_load_explicit(&slot->state, memory_order_acquire) != MC_LOGIN_ANSWERED)
            continue;
        if (slot->client != NULL)
            finish(slot->client, slot);
        release(plane, slot);
        released++;
    }
    if (released > 0)
        wake_waiting(plane, released);
}

/* Nobody has begun with it: it is the worker's again. */
static bool withdraw(struct mc_login_slot *slot)
{
    int asked = MC_LOGIN_ASKED;

    if (!atomic_compare_exchange_strong(&slot->state, &asked, MC_LOGIN_FREE))
        return false;
    verifier_wish_wipe(&slot->wish);
    return true;
}

void mc_login_leave(struct mc_client *client)
{
    struct mc_login_slot *slot = client->login;

    client->login = NULL;
    mc_client_leave_strangers(client);
    mc_client_set_who(client, "");
    if (slot == NULL)
        return;
    slot->client = NULL;
    if (withdraw(slot)) {
        release(client->plane, slot);
        wake_waiting(client->plane, 1);
    }
}

void mc_login_tick(struct mc_plane *plane, uint64_t now)
{
    struct mc_client *client = TAILQ_FIRST(&plane->strangers);

    while (client != NULL) {
        struct mc_client *next = TAILQ_NEXT(client, stranger);
        if (client->login_due > 0 && now >= client->login_due) {
            client->login_due = 0;
            client->stage = MC_STAGE_LOGIN;
            answer(client, false);
        } else if (now > client->since + MC_LOGIN_TIME && client->login == NULL &&
                   !client->login_later) {
            counter_add(&client->listener_cell->logins_given_up, client->stage == MC_STAGE_LOGIN);
            mc_client_close(client, "it has not logged in");
        }
        client = next;
    }
    /* Who was woken for a slot may have had no use for it. */
    if (!TAILQ_EMPTY(&plane->strangers))
        wake_waiting(plane, count_free(plane->worker->logins));
}

void mc_login_end(struct mc_plane *plane)
{
    static const struct timespec moment = { .tv_nsec = 1000000 };

    for (size_t i = 0; i < MC_LOGIN_SLOTS; i++) {
        struct mc_login_slot *slot = &plane->worker->logins->slots[i];
        if (slot->view == NULL)
            continue;
        /* The login thread reads the users that the view keeps: at most one hash long. */
        while (!withdraw(slot) &&
               atomic_load_explicit(&slot->state, memory_order_acquire) != MC_LOGIN_ANSWERED)
            (void)nanosleep(&moment, NULL);
        release(plane, slot);
    }
}

/* -- The login thread's side ------------------------------------------------------------------- */

bool mc_login_take(struct mc_login_slot *slot)
{
    int asked = MC_LOGIN_ASKED;

    return atomic_compare_exchange_strong(&slot->state, &asked, MC_LOGIN_TAKEN);
}

void mc_login_put_back(struct mc_login_slot *slot)
{
    atomic_store(&slot->state, MC_LOGIN_ASKED);
}

void mc_login_answer(struct mc_login_slot *slot, enum verifier_verdict verdict)
{
    verifier_wish_wipe(&slot->wish);
    slot->verdict = verdict;
    atomic_store(&slot->state, MC_LOGIN_ANSWERED);
}
