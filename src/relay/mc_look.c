#include "crossfade/relay/mc_look.h"

#include "crossfade/relay/mc_journal.h"
#include "crossfade/relay/mc_pools.h"
#include "crossfade/relay/mc_text.h"
#include "crossfade/route/placement.h"

#include <stdio.h>
#include <stdlib.h>

struct mc_look *mc_look_create(struct slice key)
{
    struct mc_look *look = calloc(1, sizeof(*look));

    ensure(key.len <= KEY_MAX);
    if (look == NULL)
        return NULL;
    memcpy(look->key, key.data, key.len);
    look->key_len = key.len;
    return look;
}

struct mc_look_item *mc_look_add(struct mc_look *look, const struct key_place *place,
                                 struct slice key)
{
    struct mc_look_item *item = &look->items[look->count++];

    ensure(look->count <= MC_LOOK_ITEMS);
    keyspace_compose(place, key, item->wire);
    item->wire_len = place->wire_len;
    item->look = look;
    return item;
}

void mc_look_ask(struct worker *worker, struct mc_look *look)
{
    look->next = atomic_load(&worker->looks);
    while (!atomic_compare_exchange_weak(&worker->looks, &look->next, look))
        continue;
}

static void finish(struct worker *worker, struct mc_look *look)
{
    atomic_store_explicit(&look->done, true, memory_order_release); /* it is gone from here on */
    worker->ask_main(worker);
}

static void settle(struct mc_look_item *item, enum mc_look_result result, struct slice why)
{
    item->result = result;
    slice_escape(why, item->why, sizeof(item->why));
    if (--item->look->pending == 0)
        finish(item->look->plane->worker, item->look);
}

static void answered(struct mc_errand *errand, const struct mc_answer *answer)
{
    struct mc_look_item *item =
        (struct mc_look_item *)((char *)errand - offsetof(struct mc_look_item, errand));
    struct buffer_pool *pool = &item->look->plane->worker->buffers;
    struct epoch epoch;

    item->length = errand->value.len;
    item->head_len = buffer_peek(&errand->value, item->head, sizeof(item->head));
    item->forgotten = item->length == EPOCH_LENGTH &&
                      epoch_read(slice_of(item->head, item->head_len), &epoch) &&
                      mc_owed_forgot(item->look->owed, epoch.written);
    item->flags = answer->flags;
    item->cas = answer->cas;
    item->ttl = answer->ttl;
    mc_errand_clear(errand, pool);
    settle(item,
           answer->kind == MC_ANSWER_DONE     ? MC_LOOK_FOUND
           : answer->kind == MC_ANSWER_ABSENT ? MC_LOOK_ABSENT
                                              : MC_LOOK_UNKNOWN,
           answer->text);
}

static void look_for(struct mc_server *server, struct mc_look_item *item)
{
    struct mc_look *look = item->look;
    struct mc_connection *connection = mc_server_connection(server, &mc_text, 0);
    char why[256];

    item->errand = (struct mc_errand){ .kind = MC_ERRAND_FETCH,
                                       .wire = slice_of(item->wire, item->wire_len),
                                       .key = slice_of(look->key, look->key_len),
                                       .wants_ttl = true,
                                       .answered = answered };
    if (connection == NULL) {
        (void)mc_server_refusal(server, &mc_text, why, sizeof(why));
        settle(item, MC_LOOK_UNKNOWN, slice_string(why));
    } else if (!mc_errand_send(connection, &item->errand, NULL)) {
        settle(item, MC_LOOK_UNKNOWN,
               slice_string("such a key can be asked for only where the server has spoken the meta "
                            "protocol"));
    }
}

static void begin(struct mc_plane *plane, struct mc_look *look)
{
    const struct plan *plan = plane->view->pin->snapshot->plan;
    struct slice key = slice_of(look->key, look->key_len);
    struct mc_server *server = plane->view->servers[placement_server(plan->placement, key)];

    look->plane = plane;
    look->owed = server->owed;
    look->gate = atomic_load(&server->owed->gate);
    look->pending = look->count + 1; /* itself, until all have begun */
    for (size_t i = 0; i < look->count; i++)
        look_for(server, &look->items[i]);
    if (--look->pending == 0)
        finish(plane->worker, look);
}

void mc_look_take(struct worker *worker)
{
    struct mc_look *look = atomic_exchange(&worker->looks, NULL);
    struct mc_look *first = NULL;

    /* The last one asked for stands first. */
    while (look != NULL) {
        struct mc_look *next = look->next;
        look->next = first;
        first = look;
        look = next;
    }
    while (first != NULL) {
        look = first;
        first = first->next;
        if (worker->mc != NULL && worker->mc->view != NULL) {
            begin(worker->mc, look);
            continue;
        }
        for (size_t i = 0; i < look->count; i++) {
            look->items[i].result = MC_LOOK_UNKNOWN;
            (void)snprintf(look->items[i].why, sizeof(look->items[i].why),
                           "there is no cache plane any more");
        }
        finish(worker, look);
    }
}
