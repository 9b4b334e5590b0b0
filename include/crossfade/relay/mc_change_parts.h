/*
 * Between the two modules of a change (relay/mc_change.h): mc_change.c fetches, decides and ends,
 * mc_change_write.c stores.
 */
#ifndef CROSSFADE_RELAY_MC_CHANGE_PARTS_H
#define CROSSFADE_RELAY_MC_CHANGE_PARTS_H

#include "crossfade/relay/mc_change.h"
#include "crossfade/relay/mc_pools.h"
#include "crossfade/route/misses.h"

struct mc_change {
    LIST_ENTRY(mc_change) link; /* in plane->parked */
    struct mc_op *op;
    struct mc_server *server;
    const struct mc_dialect *dialect;
    struct mc_change_request request; /* its key is `key`, its chunk is ours */
    enum config_writes writes;
    uint64_t max_value;
    unsigned affinity;
    bool mutates;              /* the other arms' copies are obsolete after it */
    enum miss_verdict verdict; /* add: whether it answers a miss, */
    struct token miss;         /* and the token of that */
    unsigned rounds;
    unsigned waits; /* for the change that has written the epoch's token, which is: */
    struct token waits_for;
    bool has_written;   /* the epoch item, or tried to */
    unsigned under_way; /* errands */
    struct mc_errand epoch;
    struct mc_errand value;
    char why[160]; /* an errand failed; empty: none */

    /* What is stored: */
    struct epoch now; /* its token is none if there is no epoch item */
    enum epoch_kind kind;
    bool no_epoch; /* what is in its place is none */
    uint64_t epoch_cas;
    bool is_there;   /* a value, current or not */
    bool is_current; /* by its stamp, or kept by a change that is under way */
    bool is_kept;
    struct token stamp;
    uint32_t flags;
    uint32_t expiry;
    uint64_t cas;
    int64_t ttl;

    bool was_stale;     /* there, and not current, when it was fetched before: */
    uint64_t stale_cas; /* the one with this number */

    /* What is to be stored: */
    bool creates; /* there is no current one */
    struct token token;
    enum mc_answer_kind written; /* of the value */
    bool too_large;
    bool overtaken;    /* the token was not in force any more */
    struct token mine; /* of a value that was stored then; none: none was */
    struct mc_changed result;
    char key[KEY_MAX];
    char epoch_wire[KEY_MAX];
    char value_wire[KEY_MAX];
};

static inline struct buffer_pool *mc_change_pool(const struct mc_change *change)
{
    return &change->op->plane->worker->buffers;
}

static inline struct mc_change *mc_change_of_value(struct mc_errand *errand)
{
    return (struct mc_change *)(void *)((char *)errand - offsetof(struct mc_change, value));
}

static inline struct mc_change *mc_change_of_epoch(struct mc_errand *errand)
{
    return (struct mc_change *)(void *)((char *)errand - offsetof(struct mc_change, epoch));
}

/* -- mc_change.c: each but mc_change_send may end the change, which is gone then -- */

void mc_change_finish(struct mc_change *change, enum mc_changed_kind kind);
/* Whatever it was to do may be done, or not, or be done later. */
void mc_change_fail(struct mc_change *change, const char *why);
/* Another was faster: fetches again, or gives up. */
void mc_change_next_round(struct mc_change *change);
/* False: change->why says why; the errand will not be answered. */
bool mc_change_send(struct mc_change *change, struct mc_errand *errand);
/* Keeps why an errand failed. */
void mc_change_note_failure(struct mc_change *change, const struct mc_answer *answer);

/* -- mc_change_write.c -- */

/* A value that is there is changed. */
void mc_change_write(struct mc_change *change);
/* There is no current value: one is made, for the own arm only unless the rule says otherwise. */
void mc_change_make(struct mc_change *change);
/* What is left of such a time. */
int64_t mc_change_ttl(int64_t exptime);

#endif
