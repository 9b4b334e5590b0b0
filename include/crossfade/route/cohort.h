/*
 * Who goes to which arm: lists first (deny, then allow), then the percentage bucket of the
 * request's identity. Pure and deterministic: the same in every process and after every restart.
 *
 *   h = the first 8 bytes, big-endian, of SHA-256(salt, one zero byte, identity)
 *   candidate iff percent is 100 or h < floor(percent / 100 * 2^64), in steps of 0.0001 %
 *
 * so membership only grows with the percentage and needs no storage. No lock, no allocation, any
 * thread.
 *
 * An identity is 1 to COHORT_IDENTITY_MAX bytes, taken as they are (a query parameter is not
 * percent-decoded); an empty or longer one counts as absent, and the next source of the chain is
 * asked. That of `ip` is the client's address as inet_ntop writes it ("192.0.2.7", "2001:db8::1"),
 * an IPv4 address in dotted form also when it came as an IPv6-mapped one; a client on a unix socket
 * has none. That of an issued cookie is its random part, the 22 characters in front of the dot.
 */
#ifndef CROSSFADE_ROUTE_COHORT_H
#define CROSSFADE_ROUTE_COHORT_H

#include "crossfade/base/ensure.h"
#include "crossfade/base/slice.h"
#include "crossfade/conf/config.h"

#include <stdbool.h>
#include <stdint.h>

#define COHORT_IDENTITY_MAX 512u

/* How far the rollout has come: all that a routing decision needs of its state. */
struct cohort_position {
    bool active;      /* false: everyone is on stable (idle, aborted), whatever follows */
    bool everyone;    /* promoted: everyone is on the candidate, deny list included */
    int stage;        /* index of the current stage; allow lists up to it count; -1: none */
    uint32_t percent; /* of PERCENT_ALL; may differ from the stage's (set by hand) */
};

enum cohort_reason {
    COHORT_IDLE, /* no rollout runs, or it was aborted */
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
    int list_entry;      /* which entry of the deny or allow list, else -1 */
    int stage;           /* for COHORT_STAGE_ALLOW: whose list, else -1 */
    int identity_source; /* index into config->rollout.identities, or -1 */
    bool issue;          /* a new identity cookie has to be given out (cohort_issue_cookie) */
    uint64_t bucket;     /* h; valid for COHORT_BUCKET, else 0 */
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

/* Everything prepared from the configuration; shared by all workers, never changed. NULL: no
 * memory. The configuration, which has a rollout section, must outlive it. */
struct cohort *cohort_create(const struct config *config);
void cohort_destroy(struct cohort *cohort);

/*
 * An issued identity: "<random>.<mac>", both of 22 characters base64url (RFC 4648 section 5):
 *
 *   random = 16 random bytes
 *   mac    = the first 16 bytes of HMAC-SHA256(key, the 22 characters of random)
 *   key    = HMAC-SHA256(salt, "crossfade issued identity 1")
 *
 * A cookie of any other form, or whose mac is not ours, counts as absent: a client cannot choose
 * its bucket, only ask for another one by forgetting the cookie.
 */
#define COHORT_COOKIE_MAX 64u
struct cohort_issued {
    char value[COHORT_COOKIE_MAX]; /* terminated */
};

/*
 * The decision for one request. When decision->issue is set, a fresh identity was made in *issued
 * and the decision is already that identity's; the response must set it as the cookie
 * cohort_issue_cookie(). None is issued while nothing depends on it: outside of a rollout, for a
 * request that a list speaks of, and while the percentage is zero.
 */
void cohort_decide(const struct cohort *cohort, struct cohort_position position,
                   const struct cohort_request *request, struct cohort_decision *decision,
                   struct cohort_issued *issued);

/*
 * The decision for somebody of whom nothing is known but an identity: as for a request that brings
 * it in each header, cookie and query parameter that rollout.identity names, and brings nothing
 * else. So a list entry that looks at one of those counts, one that looks at anything else does not
 * match.
 */
void cohort_decide_identity(const struct cohort *cohort, struct cohort_position position,
                            struct slice identity, struct cohort_decision *decision);

/* The name of the cookie that is issued, or NULL when none is. */
const char *cohort_issue_cookie(const struct cohort *cohort);

/* The bucket of an identity, and whether it is the candidate's if no list speaks of it. */
uint64_t cohort_bucket(const struct cohort *cohort, struct slice identity);
bool cohort_in(uint64_t bucket, uint32_t percent);
/* The least percentage (in steps of 0.0001 %, 1 to PERCENT_ALL) at which it is. */
uint32_t cohort_moves_at(uint64_t bucket);

/* The end of a sentence that begins "because". */

#endif
