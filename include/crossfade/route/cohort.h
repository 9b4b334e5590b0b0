/*
 * Who goes to which arm: lists first (deny, then allow), then the percentage bucket of the request's
 * identity. Pure and deterministic: the same in every process and after every restart.
 *
 *   h = the first 8 bytes, big-endian, of SHA-256(salt, one zero byte, identity)
 *   candidate iff h < percent / 100 * 2^64, in steps of 0.0001 %
 *
 * so membership only grows with the percentage and needs no storage.
 */
#ifndef CROSSFADE_ROUTE_COHORT_H
#define CROSSFADE_ROUTE_COHORT_H

#include "crossfade/base/ensure.h"
#include "crossfade/base/slice.h"
#include "crossfade/conf/config.h"

#include <stdbool.h>
#include <stdint.h>

/* How far the rollout has come: all that a routing decision needs of its state. */
struct cohort_position {
    bool active;          /* false: everyone is on stable (idle, aborted), whatever follows */
    bool everyone;        /* promoted: everyone is on the candidate, deny list included */
    int stage;            /* index of the current stage; allow lists up to it count; -1: none */
    uint32_t percent;     /* of PERCENT_ALL; may differ from the stage's (set by hand) */
};

enum cohort_reason {
    COHORT_IDLE,        /* no rollout runs, or it was aborted */
    COHORT_PROMOTED,
    COHORT_DENY,
    COHORT_ALLOW,       /* the rollout's own allow list */
    COHORT_STAGE_ALLOW, /* the allow list of a stage that was reached */
    COHORT_BUCKET,      /* by the percentage, either way */
    COHORT_ANONYMOUS    /* no identity: stable */
};

struct cohort_decision {
    bool candidate;
    unsigned arm; /* index into config->arms */
    enum cohort_reason reason;
    int list_entry; /* which entry of the deny or allow list, else -1 */
    int stage;      /* for COHORT_STAGE_ALLOW: whose list, else -1 */
    int identity_source; /* index into config->rollout.identities, or -1 */
    bool issue;     /* a new identity cookie has to be given out (cohort_issue) */
    uint64_t bucket; /* h; valid if identity_source >= 0 or issue */
};

/*
 * What can be asked of a request. Each returns false when it is absent. Slices live as long as the
 * request. Cookies and the query are looked up by exact name, headers without regard to case.
 */
struct cohort_request {
    bool (*header)(void *context, struct slice name, struct slice *value);
    bool (*cookie)(void *context, struct slice name, struct slice *value);
    bool (*query)(void *context, struct slice name, struct slice *value);
    void *context;
    uint8_t address[16]; /* the client's, IPv4 as ::ffff:a.b.c.d; all zero for a unix socket */
};

struct cohort;

/* Everything prepared from the configuration; shared by all workers, never changed. NULL: no memory.
 * The configuration must outlive it. */
struct cohort *cohort_create(const struct config *config);
void cohort_destroy(struct cohort *cohort);

/* An issued identity: "<22 characters base64url>.<22 characters of its HMAC>". */
#define COHORT_COOKIE_MAX 64u
struct cohort_issued {
    char value[COHORT_COOKIE_MAX]; /* terminated */
};

/*
 * The decision for one request. When decision->issue is set, a fresh identity was made in *issued and
 * the decision is already that identity's; the response must set it as the cookie
 * cohort_issue_cookie().
 */
void cohort_decide(const struct cohort *cohort, struct cohort_position position,
                   const struct cohort_request *request, struct cohort_decision *decision,
                   struct cohort_issued *issued);

/* The name of the cookie that is issued, or NULL when none is. */
const char *cohort_issue_cookie(const struct cohort *cohort);

/* The bucket of an identity, and the arm it has at a position if no list speaks of it. */
uint64_t cohort_bucket(const struct cohort *cohort, struct slice identity);
bool cohort_in(uint64_t bucket, uint32_t percent);
/* The least percentage (in steps of 0.0001 %) at which this bucket is the candidate's. */
uint32_t cohort_moves_at(uint64_t bucket);

const char *cohort_reason_text(enum cohort_reason reason);

#endif
