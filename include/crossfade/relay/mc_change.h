/*
 * A change: a command of epoch mode that depends on what is stored, by compare-and-swap.
 *
 *   fetch epoch and value --> not there, no number, another cas: answered
 *            ^   |
 *            |   `--> cas epoch: a new token, `keep` is the value's cas number
 *            |           |   |
 *            |<--another-'   `--> cas value, stamped with the new token --> answered
 *            |    was faster              |
 *            `<---------------------------' it is gone meanwhile
 *
 * Between the two the old value is still valid, by `keep`, for the arm that changes it, and for no
 * other: so nobody sees a gap, and of two changes at once one waits: it finds the value kept and
 * fetches again, at once and then with each tick of the worker (plane->parked). One that has not
 * moved after MC_CHANGE_PATIENCE looks, two seconds, is taken for dead, and taken over. After
 * MC_CHANGE_ROUNDS a change is given up.
 *
 * The operation stands in its client's line, in no connection's queue; nothing behind it is parsed
 * until it is answered (client->changing), so that a client's commands keep their order.
 */
#ifndef CROSSFADE_RELAY_MC_CHANGE_H
#define CROSSFADE_RELAY_MC_CHANGE_H

#include "crossfade/relay/mc_epoch.h"
#include "crossfade/relay/mc_errand.h"

#define MC_CHANGE_ROUNDS 200u
#define MC_CHANGE_SPINS 10u
#define MC_CHANGE_PATIENCE 30u

/* What the client asked for. */
struct mc_change_request {
    enum mc_verb verb; /* MC_SET (writes: fill), MC_ADD .. MC_DELETE, MC_INCR, MC_DECR, MC_TOUCH */
    struct slice key;
    uint32_t flags;
    int64_t
        exptime;  /* as memcached takes it; of add, set, replace, cas, touch; the initial value */
    uint64_t cas; /* 0: any; binary and meta have it on every verb */
    uint64_t delta;
    bool touches;     /* incr, decr, append, prepend: exptime counts for the changed value */
    bool has_initial; /* incr, decr: made if absent, with this number; append, prepend: with the
                         value */
    uint64_t initial;
    int64_t initial_exptime;
    struct slice value; /* the client's bytes, kept by reference to `chunk` */
    struct chunk *chunk;
    bool wants_ttl;
    bool wants_cas;
};

enum mc_changed_kind {
    MC_CHANGED,           /* STORED, TOUCHED, the new number */
    MC_CHANGE_NOT_FOUND,  /* of cas, incr, decr, touch */
    MC_CHANGE_NOT_STORED, /* of add, replace, append, prepend */
    MC_CHANGE_EXISTS,
    MC_CHANGE_NO_NUMBER,
    MC_CHANGE_TOO_LARGE
};

struct mc_changed {
    enum mc_changed_kind kind;
    uint64_t number; /* incr, decr */
    uint64_t cas;    /* the new one; 0: not known */
    int64_t ttl;     /* MC_TTL_* */
    uint32_t flags;
};

/*
 * The operation is in its client's line (or silent) and on no connection. Its answer is written by
 * its dialect's changed(), which ends with mc_op_part_done; one that came to nothing because of a
 * server fails by mc_op_part_failed. It is counted here, in the arm's statistics. False without memory: the caller fails
 * the operation.
 */
bool mc_change_start(struct mc_op *op, const struct key_place *place,
                     const struct mc_change_request *request, struct mc_server *server) MUST_CHECK;

/* Of an object of plane->changes. */
size_t mc_change_size(void);

/* Every tick: those that wait for another one look again; how many. */
unsigned mc_changes_tick(struct mc_plane *plane);
/* The plane ends, and its servers are still there. */
void mc_changes_end(struct mc_plane *plane);

#endif
