#include "crossfade/route/cohort.h"

#include "crossfade/route/digest.h"

#include <arpa/inet.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdlib.h>

#define RANDOM_BYTES 16u
#define RANDOM_TEXT BASE64URL_LENGTH(RANDOM_BYTES)
#define MAC_BYTES 16u
#define MAC_TEXT BASE64URL_LENGTH(MAC_BYTES)
#define ISSUED_TEXT (RANDOM_TEXT + 1 + MAC_TEXT)

_Static_assert(ISSUED_TEXT < COHORT_COOKIE_MAX, "an issued identity has to fit");

__extension__ typedef unsigned __int128 wide; /* 100 % of 2^64 does not fit into 64 bits */

struct cohort {
    const struct config_rollout *rollout;
    struct digest salted;    /* after the salt and the zero byte */
    struct digest_key issue; /* signs issued identities */
    int issue_source;        /* index into rollout->identities, or -1 */
};

struct cohort *cohort_create(const struct config *config)
{
    static const struct slice purpose = SLICE("crossfade issued identity 1");
    struct slice salt;
    struct digest_key salt_key;
    uint8_t key[DIGEST_SIZE];
    struct cohort *cohort = calloc(1, sizeof(*cohort));

    if (cohort == NULL)
        return NULL;
    ensure(config->rollout.present);
    cohort->rollout = &config->rollout;
    salt = slice_string(config->rollout.salt);

    digest_start(&cohort->salted);
    digest_add(&cohort->salted, salt);
    digest_add(&cohort->salted, slice_of("", 1));

    digest_key_set(&salt_key, salt);
    digest_hmac(&salt_key, purpose, key);
    digest_key_set(&cohort->issue, slice_of((const char *)key, sizeof(key)));
    OPENSSL_cleanse(key, sizeof(key));
    OPENSSL_cleanse(&salt_key, sizeof(salt_key));

    cohort->issue_source = -1;
    for (size_t i = 0; i < config->rollout.identity_count; i++)
        if (config->rollout.identities[i].kind == IDENTITY_ISSUE)
            cohort->issue_source = (int)i;
    return cohort;
}

void cohort_destroy(struct cohort *cohort)
{
    if (cohort == NULL)
        return;
    OPENSSL_cleanse(cohort, sizeof(*cohort));
    free(cohort);
}

/* -- Buckets ---------------------------------------------------------------------------------- */

uint64_t cohort_bucket(const struct cohort *cohort, struct slice identity)
{
    struct digest digest = cohort->salted;
    uint8_t out[DIGEST_SIZE];
    uint64_t bucket = 0;

    digest_add(&digest, identity);
    digest_end(&digest, out);
    for (size_t i = 0; i < 8; i++)
        bucket = bucket << 8 | out[i];
    return bucket;
}

bool cohort_in(uint64_t bucket, uint32_t percent)
{
    return percent >= PERCENT_ALL || bucket < (uint64_t)(((wide)percent << 64) / PERCENT_ALL);
}

uint32_t cohort_moves_at(uint64_t bucket)
{
    /* The least p with floor(p * 2^64 / ALL) >= bucket + 1. */
    wide steps = ((wide)bucket + 1) * PERCENT_ALL;
    return (uint32_t)((steps + UINT64_MAX) >> 64);
}

/* -- Issued identities ------------------------------------------------------------------------ */

static void sign(const struct cohort *cohort, struct slice random, char out[MAC_TEXT])
{
    uint8_t mac[DIGEST_SIZE];

    digest_hmac(&cohort->issue, random, mac);
    base64url_write(mac, MAC_BYTES, out);
}

static bool issue(const struct cohort *cohort, struct cohort_issued *issued, struct slice *identity)
{
    uint8_t random[RANDOM_BYTES];

    if (RAND_bytes(random, sizeof(random)) != 1)
        return false;
    base64url_write(random, sizeof(random), issued->value);
    *identity = slice_of(issued->value, RANDOM_TEXT);
    issued->value[RANDOM_TEXT] = '.';
    sign(cohort, *identity, issued->value + RANDOM_TEXT + 1);
    issued->value[ISSUED_TEXT] = '\0';
    return true;
}

static bool verify(const struct cohort *cohort, struct slice cookie, struct slice *identity)
{
    char mac[MAC_TEXT];

    if (cookie.len != ISSUED_TEXT || cookie.data[RANDOM_TEXT] != '.')
        return false;
    *identity = slice_of(cookie.data, RANDOM_TEXT);
    sign(cohort, *identity, mac);
    return CRYPTO_memcmp(mac, cookie.data + RANDOM_TEXT + 1, MAC_TEXT) == 0;
}

/* -- The identity of a request ---------------------------------------------------------------- */

static bool address_text(const uint8_t address[16], char out[INET6_ADDRSTRLEN],
                         struct slice *identity)
{
    static const uint8_t none[16];
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    const char *text;

    if (memcmp(address, none, sizeof(none)) == 0)
        return false;
    if (memcmp(address, mapped, sizeof(mapped)) == 0)
        text = inet_ntop(AF_INET, address + sizeof(mapped), out, INET6_ADDRSTRLEN);
    else
        text = inet_ntop(AF_INET6, address, out, INET6_ADDRSTRLEN);
    ensure(text != NULL);
    *identity = slice_string(text);
    return true;
}

/* The source's index, or -1. `room` holds what is in no buffer of the request. */
static int identify(const struct cohort *cohort, const struct cohort_request *request,
                    char room[INET6_ADDRSTRLEN], struct slice *identity)
{
    const struct config_rollout *rollout = cohort->rollout;

    for (size_t i = 0; i < rollout->identity_count; i++) {
        const struct config_identity *source = &rollout->identities[i];
        struct slice name = source->name != NULL ? slice_string(source->name) : slice_of("", 0);
        bool found = false;

        switch (source->kind) {
        case IDENTITY_HEADER:
            found = request->header(request->context, name, identity);
            break;
        case IDENTITY_COOKIE:
            found = request->cookie(request->context, name, identity);
            break;
        case IDENTITY_QUERY:
            found = request->query(request->context, name, identity);
            break;
        case IDENTITY_IP:
            found = address_text(request->address, room, identity);
            break;
        case IDENTITY_ISSUE: {
            struct slice cookie;
            found = request->cookie(request->context, name, &cookie) &&
                    verify(cohort, cookie, identity);
            break;
        }
        }
        if (found && identity->len > 0 && identity->len <= COHORT_IDENTITY_MAX)
            return (int)i;
    }
    return -1;
}

/* -- Lists ------------------------------------------------------------------------------------ */

static bool in_network(const struct config_cidr *network, const uint8_t address[16])
{
    size_t bytes = network->bits / 8;
    unsigned rest = network->bits % 8;

    if (memcmp(network->address, address, bytes) != 0)
        return false;
    return rest == 0 || (network->address[bytes] ^ address[bytes]) >> (8 - rest) == 0;
}

static bool in_any_network(const struct config_match *match, const uint8_t address[16])
{
    for (size_t i = 0; i < match->from_count; i++)
        if (in_network(&match->from[i], address))
            return true;
    return false;
}

static bool matches(const struct config_match *match, const struct cohort_request *request)
{
    struct slice value;

    if (match->header == NULL && match->cookie == NULL && match->from_count == 0)
        return false;
    if (match->from_count > 0 && !in_any_network(match, request->address))
        return false;
    if (match->header != NULL) {
        if (!request->header(request->context, slice_string(match->header), &value))
            return false;
        if (match->header_value != NULL && !slice_equal(value, slice_string(match->header_value)))
            return false;
    }
    if (match->cookie != NULL) {
        if (!request->cookie(request->context, slice_string(match->cookie), &value))
            return false;
        if (match->cookie_value != NULL && !slice_equal(value, slice_string(match->cookie_value)))
            return false;
    }
    return true;
}

/* The index of the first entry that matches, or -1. */
static int find(const struct config_match *list, size_t count, const struct cohort_request *request)
{
    for (size_t i = 0; i < count; i++)
        if (matches(&list[i], request))
            return (int)i;
    return -1;
}

/* True when a list spoke. */
static bool decide_by_list(const struct cohort *cohort, struct cohort_position position,
                           const struct cohort_request *request, struct cohort_decision *decision)
{
    const struct config_rollout *rollout = cohort->rollout;

    decision->list_entry = find(rollout->deny, rollout->deny_count, request);
    if (decision->list_entry >= 0) {
        decision->reason = COHORT_DENY;
        return true;
    }
    decision->list_entry = find(rollout->allow, rollout->allow_count, request);
    if (decision->list_entry >= 0) {
        decision->reason = COHORT_ALLOW;
        decision->candidate = true;
        return true;
    }
    for (int i = 0; i <= position.stage && (size_t)i < rollout->stage_count; i++) {
        const struct config_stage *stage = &rollout->stages[i];
        decision->list_entry = find(stage->allow, stage->allow_count, request);
        if (decision->list_entry >= 0) {
            decision->reason = COHORT_STAGE_ALLOW;
            decision->stage = i;
            decision->candidate = true;
            return true;
        }
    }
    return false;
}

static void decide_by_bucket(const struct cohort *cohort, struct cohort_position position,
                             const struct cohort_request *request, struct cohort_decision *decision,
                             struct cohort_issued *issued)
{
    char room[INET6_ADDRSTRLEN];
    struct slice identity;

    decision->identity_source = identify(cohort, request, room, &identity);
    if (decision->identity_source < 0) {
        decision->reason = COHORT_ANONYMOUS;
        if (cohort->issue_source < 0 || position.percent == 0 || !issue(cohort, issued, &identity))
            return;
        decision->identity_source = cohort->issue_source;
        decision->issue = true;
    }
    decision->reason = COHORT_BUCKET;
    decision->bucket = cohort_bucket(cohort, identity);
    decision->candidate = cohort_in(decision->bucket, position.percent);
}

void cohort_decide(const struct cohort *cohort, struct cohort_position position,
                   const struct cohort_request *request, struct cohort_decision *decision,
                   struct cohort_issued *issued)
{
    *decision = (struct cohort_decision){
        .reason = COHORT_IDLE, .list_entry = -1, .stage = -1, .identity_source = -1
    };
    issued->value[0] = '\0';
    if (position.active && position.everyone) {
        decision->reason = COHORT_PROMOTED;
        decision->candidate = true;
    } else if (position.active && !decide_by_list(cohort, position, request, decision)) {
        decide_by_bucket(cohort, position, request, decision, issued);
    }
    decision->arm = decision->candidate ? cohort->rollout->to : cohort->rollout->from;
}

/* Who is asked about, as a request. */
struct stranger {
    const struct config_rollout *rollout;
    struct slice identity;
};

static bool brings(void *context, enum config_identity_kind kind, struct slice name,
                   struct slice *value)
{
    const struct stranger *stranger = context;

    for (size_t i = 0; i < stranger->rollout->identity_count; i++) {
        const struct config_identity *source = &stranger->rollout->identities[i];
        struct slice own = source->name != NULL ? slice_string(source->name) : slice_of("", 0);
        if (source->kind == kind &&
            (kind == IDENTITY_HEADER ? slice_equal_nocase(own, name) : slice_equal(own, name))) {
            *value = stranger->identity;
            return true;
        }
    }
    return false;
}

static bool brings_header(void *context, struct slice name, struct slice *value)
{
    return brings(context, IDENTITY_HEADER, name, value);
}

static bool brings_cookie(void *context, struct slice name, struct slice *value)
{
    return brings(context, IDENTITY_COOKIE, name, value);
}

static bool brings_query(void *context, struct slice name, struct slice *value)
{
    return brings(context, IDENTITY_QUERY, name, value);
}

void cohort_decide_identity(const struct cohort *cohort, struct cohort_position position,
                            struct slice identity, struct cohort_decision *decision)
{
    struct stranger stranger = { .rollout = cohort->rollout, .identity = identity };
    const struct cohort_request request = { .header = brings_header,
                                            .cookie = brings_cookie,
                                            .query = brings_query,
                                            .context = &stranger };

    *decision = (struct cohort_decision){
        .reason = COHORT_IDLE, .list_entry = -1, .stage = -1, .identity_source = -1
    };
    if (position.active && position.everyone) {
        decision->reason = COHORT_PROMOTED;
        decision->candidate = true;
    } else if (position.active && (identity.len == 0 || identity.len > COHORT_IDENTITY_MAX)) {
        decision->reason = COHORT_ANONYMOUS;
    } else if (position.active && !decide_by_list(cohort, position, &request, decision)) {
        decision->reason = COHORT_BUCKET;
        decision->bucket = cohort_bucket(cohort, identity);
        decision->candidate = cohort_in(decision->bucket, position.percent);
    }
    decision->arm = decision->candidate ? cohort->rollout->to : cohort->rollout->from;
}

const char *cohort_issue_cookie(const struct cohort *cohort)
{
    return cohort->issue_source < 0 ? NULL : cohort->rollout->identities[cohort->issue_source].name;
}
