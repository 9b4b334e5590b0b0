/*
 * A command of our own to a server: composed in the dialect of its connection, in order with the
 * clients' commands there, and answered in terms that are the same in every dialect. For what is
 * not on the path of every request: the epoch's own items, changes (relay/mc_change.h), replay,
 * explain.
 *
 *   owner --mc_errand_send--> connection --reply, or its end--> answered(), exactly once
 */
#ifndef CROSSFADE_RELAY_MC_ERRAND_H
#define CROSSFADE_RELAY_MC_ERRAND_H

#include "crossfade/base/buffer.h"
#include "crossfade/relay/mc_server.h"

enum mc_errand_kind {
    MC_ERRAND_FETCH, /* the item with its cas number, and what is left of its time if wanted */
    MC_ERRAND_SET,
    MC_ERRAND_ADD,
    MC_ERRAND_REPLACE,
    MC_ERRAND_CAS,
    MC_ERRAND_TOUCH,
    MC_ERRAND_DELETE,
    MC_ERRAND_STATS /* in text alone; `wire`: the group, or empty; what it says is in `stats` */
};

enum mc_answer_kind {
    MC_ANSWER_DONE,    /* stored, touched, deleted; the item is in the answer */
    MC_ANSWER_ABSENT,  /* there is no such item: also of a replace */
    MC_ANSWER_PRESENT, /* an add found one, a cas another one */
    MC_ANSWER_REFUSED, /* the server said why: answer->text; it was not done */
    MC_ANSWER_LOST     /* the connection ended first: it may be done, now or later */
};

#define MC_TTL_NEVER (-1)
#define MC_TTL_UNKNOWN (-2) /* the dialect, or the server, cannot say */

struct mc_answer {
    enum mc_answer_kind kind;
    struct slice text; /* REFUSED: the server's line without line end; LOST: a sentence */
    bool too_large;    /* REFUSED: because the value is */
    uint32_t flags;    /* FETCH, DONE: of the item */
    uint64_t cas;
    int64_t ttl; /* seconds left, or as above */
};

struct mc_errand {
    enum mc_errand_kind kind;
    struct slice
        wire;         /* the item's key, at most KEY_MAX bytes; the sender's until it is answered */
    struct slice key; /* the client's, for the meta form of a key that is no text */
    bool wants_ttl;
    bool wants_cas; /* of what is stored: in the answer, where the server can say it */
    uint32_t flags;
    int64_t exptime; /* as memcached takes it */
    uint64_t cas;
    struct {
        uint64_t uptime; /* seconds */
        uint64_t time;   /* since 1970 */
        bool has_uptime;
        bool keeps_memory; /* it has a memory_file */
        unsigned lines;    /* that came */
    } stats;
    /* To be stored: taken over by mc_errand_send. FETCH, DONE: what was fetched; the owner clears
     * it (mc_errand_clear). */
    struct buffer value;
    /* May send another errand, and free this one. */
    void (*answered)(struct mc_errand *errand, const struct mc_answer *answer);
};

/*
 * Sends it over that connection; `cell`: whose statistics, or NULL. True: it will be answered,
 * not before this returns. False without memory: it will not, and the value is dropped.
 */
bool mc_errand_send(struct mc_connection *connection, struct mc_errand *errand,
                    struct mc_arm_cell *cell) MUST_CHECK;

/* For the dialects: the errand of `op`, which is taken off its connection, is answered; `value` (a
 * fetched item's bytes) is in errand->value. Frees the operation. */
void mc_errand_answered(struct mc_op *op, const struct mc_answer *answer);

/* Drops the value. */
void mc_errand_clear(struct mc_errand *errand, struct buffer_pool *pool);

#endif
