/*
 * flush_all: a client's wish goes from its worker to the main thread, which makes a new generation
 * of the arm's namespace durable and publishes it; only when every worker serves by it does the
 * client hear of it. Until then nothing more of that client is parsed, so that what it sends behind
 * its flush_all comes after it.
 *
 *   worker                         main thread
 *   mc_flush_begin --- queue ---->  mc_flush_take, raise, publish
 *   mc_flush_collect <-- verdict -- mc_flush_answer
 */
#ifndef CROSSFADE_RELAY_MC_FLUSH_H
#define CROSSFADE_RELAY_MC_FLUSH_H

#include "crossfade/base/ensure.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct mc_client;
struct mc_op;
struct mc_plane;
struct worker;

#define MC_FLUSH_QUEUE 64u /* wishes of one worker under way; one more is refused */
#define MC_FLUSH_ARM 72u

struct mc_flush_wish {
    char arm[MC_FLUSH_ARM];
    uint64_t delay; /* seconds */
    bool granted;   /* the verdict */
};

/* One worker writes `asked`, the main thread `answered`; the slots between them are the main
 * thread's. */
struct mc_flush_queue {
    struct mc_flush_wish wishes[MC_FLUSH_QUEUE];
    _Atomic uint64_t asked;
    _Atomic uint64_t answered;
    uint64_t taken; /* main thread */
};

/* What became of a flush. */
enum mc_flush_result {
    MC_FLUSH_DONE,
    MC_FLUSH_NOT_DURABLE,
    MC_FLUSH_BUSY,
    MC_FLUSH_REFUSED,    /* by configuration */
    MC_FLUSH_UNPREFIXED, /* the arm's keys have no prefix: it would empty everybody's cache */
};
/* A sentence; empty for MC_FLUSH_DONE. */
const char *mc_flush_reason(enum mc_flush_result result);

/*
 * Worker. Takes `op`, which nobody expects yet, to its place in the client's line; the client waits
 * from now on. The answer comes by the dialect's `flushed`, at once if it is refused.
 */
void mc_flush_begin(struct mc_client *client, struct mc_op *op, uint64_t delay);
/* Worker: hands out the verdicts that have come. */
void mc_flush_collect(struct mc_plane *plane);

/* Main thread. The next wish of that worker; false: none. It has to be answered before the next. */
bool mc_flush_take(struct worker *worker, struct mc_flush_wish *wish) MUST_CHECK;
void mc_flush_answer(struct worker *worker, bool granted);

#endif
