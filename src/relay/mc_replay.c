#include "crossfade/relay/mc_replay.h"

#include "crossfade/relay/mc_errand.h"
#include "crossfade/relay/mc_journal.h"
#include "crossfade/relay/mc_meta.h"
#include "crossfade/relay/mc_pools.h"

#include <stdlib.h>

struct mc_replay;

struct message {
    struct mc_errand errand;
    struct mc_replay *replay;
    struct journal_entry entry;
    uint32_t slot; /* MC_JOURNAL_NONE: it is free */
};

struct mc_replay {
    struct mc_server *server;
    uint32_t next; /* of what was taken and not sent yet */
    unsigned flying;
    bool failed;  /* the round ends when nothing flies any more */
    bool sending; /* an answer that comes meanwhile ends nothing */
    struct message messages[MC_REPLAY_WINDOW];
};

static struct mc_journal *journal_of(const struct mc_server *server)
{
    return server->plane->worker->journal;
}

static void give_back(struct mc_replay *replay, uint32_t slot)
{
    mc_journal_put_back(journal_of(replay->server), replay->server->owed, slot);
    replay->failed = true;
}

static void finish(struct mc_replay *replay)
{
    struct mc_server *server = replay->server;
    struct mc_journal *journal = journal_of(server);

    while (replay->next != MC_JOURNAL_NONE) {
        uint32_t slot = replay->next;
        replay->next = mc_journal_next(journal, slot);
        mc_journal_put_back(journal, server->owed, slot);
    }
    if (replay->failed) {
        (void)atomic_fetch_add(&server->owed->failures, 1);
        server->replay_at = worker_now(server->plane->worker) + MC_REPLAY_PAUSE;
    }
    server->replay = NULL;
    mc_journal_unclaim(server->owed);
    free(replay);
}

static void pump(struct mc_replay *replay);

static void answered(struct mc_errand *errand, const struct mc_answer *answer)
{
    struct message *message = (struct message *)(void *)errand;
    struct mc_replay *replay = message->replay;
    struct mc_server *server = replay->server;

    if (answer->kind == MC_ANSWER_DONE || answer->kind == MC_ANSWER_ABSENT)
        mc_journal_done(journal_of(server), server->owed, message->slot);
    else
        give_back(replay, message->slot);
    message->slot = MC_JOURNAL_NONE;
    replay->flying--;
    if (!replay->sending)
        pump(replay);
}

/* A dialect in which the server can be told of that key now. NULL: none. */
static struct mc_connection *find_connection(struct mc_server *server,
                                             const struct journal_entry *entry)
{
    const struct mc_dialect *first = entry->dialect == mc_binary.index ? &mc_binary : &mc_text;
    const struct mc_dialect *ways[2] = { first, first == &mc_text ? &mc_binary : &mc_text };
    bool text = keyspace_is_text(slice_of(entry->wire, entry->wire_len));

    for (unsigned i = 0; i < 2; i++) {
        struct mc_connection *connection;
        if (!mc_server_is_usable(server, ways[i]))
            continue;
        connection = mc_server_shared(server, ways[i], 0);
        /* A key that is no text goes by meta, which the server may have to be asked for first. */
        if (connection == NULL ||
            (!text && ways[i] == &mc_text && mc_meta_find_out(connection) != MC_META_SPOKEN))
            continue;
        return connection;
    }
    return NULL;
}

static bool send_entry(struct mc_replay *replay, struct message *message, uint32_t slot)
{
    struct mc_server *server = replay->server;
    struct mc_connection *connection;

    mc_journal_read(journal_of(server), slot, &message->entry);
    connection = find_connection(server, &message->entry);
    if (connection == NULL)
        return false;
    message->slot = slot;
    message->errand = (struct mc_errand){
        .kind = MC_ERRAND_DELETE,
        .wire = slice_of(message->entry.wire, message->entry.wire_len),
        .answered = answered,
    };
    buffer_init(&message->errand.value);
    replay->flying++;
    if (mc_errand_send(connection, &message->errand, NULL))
        return true;
    message->slot = MC_JOURNAL_NONE;
    replay->flying--;
    return false;
}

/* Sends as much as there is room for; ends the round if there is nothing more to do. */
static void pump(struct mc_replay *replay)
{
    struct mc_journal *journal = journal_of(replay->server);

    replay->sending = true;
    for (unsigned i = 0; i < MC_REPLAY_WINDOW && !replay->failed; i++) {
        uint32_t slot;
        if (replay->messages[i].slot != MC_JOURNAL_NONE)
            continue;
        if (replay->next == MC_JOURNAL_NONE)
            replay->next = mc_journal_take(journal, replay->server->owed);
        if (replay->next == MC_JOURNAL_NONE)
            break;
        slot = replay->next;
        replay->next = mc_journal_next(journal, slot);
        if (!send_entry(replay, &replay->messages[i], slot))
            give_back(replay, slot);
    }
    replay->sending = false;
    if (replay->flying == 0)
        finish(replay);
}

void mc_replay_tick(struct mc_server *server, uint64_t now)
{
    struct mc_owed *owed = server->owed;
    struct mc_replay *replay;

    if (mc_owed_pending(owed) == 0 || server->replay != NULL || now < server->replay_at ||
        server->refs == 0 || server->drained || mc_owed_fenced(owed) ||
        (!mc_server_is_usable(server, &mc_text) && !mc_server_is_usable(server, &mc_binary)) ||
        !mc_journal_claim(owed))
        return;
    replay = malloc(sizeof(*replay));
    if (replay == NULL) {
        mc_journal_unclaim(owed);
        return;
    }
    replay->server = server;
    replay->next = MC_JOURNAL_NONE;
    replay->flying = 0;
    replay->failed = false;
    for (unsigned i = 0; i < MC_REPLAY_WINDOW; i++) {
        replay->messages[i].replay = replay;
        replay->messages[i].slot = MC_JOURNAL_NONE;
    }
    server->replay = replay;
    pump(replay);
}
