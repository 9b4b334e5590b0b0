#include "crossfade/route/cohort.h"

#include <criterion/criterion.h>
#include <math.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

/* -- A rollout and a request, both by hand ---------------------------------------------------- */

enum { STABLE = 1, CANDIDATE = 0 }; /* not in order, so that an index taken for a flag is seen */

static struct config_identity chain[] = {
    { IDENTITY_HEADER, (char *)"X-User-Id" }, { IDENTITY_COOKIE, (char *)"uid" },
    { IDENTITY_QUERY, (char *)"user" },       { IDENTITY_IP, NULL },
    { IDENTITY_ISSUE, (char *)"cf_id" },
};
static struct config_cidr office[] = {
    { { [10] = 0xff, [11] = 0xff, 10, 20, 0, 0 }, 96 + 15 },
    { { 0x20, 0x01, 0x0d, 0xb8, 0x80 }, 33 },
};
static struct config_match allow[] = {
    { .header = (char *)"X-Employee",
      .header_value = (char *)"1",
      .from = office,
      .from_count = 2 },
    { .cookie = (char *)"beta" },
};
static struct config_match deny[] = { { .header = (char *)"X-Never" } };
static struct config_match developers[] = { { .cookie = (char *)"dev",
                                              .cookie_value = (char *)"1" } };
static struct config_match testers[] = {
    { .header = NULL }, { .cookie = (char *)"tester", .cookie_value = (char *)"" }
};
static struct config_stage stages[] = {
    { .name = (char *)"developers", .allow = developers, .allow_count = 1 },
    { .name = (char *)"testers", .allow = testers, .allow_count = 2 },
};

static struct config config_of(size_t identities)
{
    struct config config = {
        .rollout = { .present = true,
                     .name = (char *)"python3",
                     .from = STABLE,
                     .to = CANDIDATE,
                     .salt = (char *)"change-me-once",
                     .identities = chain,
                     .identity_count = identities,
                     .allow = allow,
                     .allow_count = 2,
                     .deny = deny,
                     .deny_count = 1,
                     .stages = stages,
                     .stage_count = 2 },
    };
    return config;
}

struct pair {
    const char *name;
    struct slice value;
};

struct fake {
    struct pair headers[2], cookies[2], query[2];
};

static bool look(const struct pair *pairs, struct slice name, bool nocase, struct slice *value)
{
    for (size_t i = 0; i < 2 && pairs[i].name != NULL; i++) {
        struct slice have = slice_string(pairs[i].name);
        if (nocase ? slice_equal_nocase(have, name) : slice_equal(have, name)) {
            *value = pairs[i].value;
            return true;
        }
    }
    return false;
}

static bool fake_header(void *context, struct slice name, struct slice *value)
{
    return look(((struct fake *)context)->headers, name, true, value);
}

static bool fake_cookie(void *context, struct slice name, struct slice *value)
{
    return look(((struct fake *)context)->cookies, name, false, value);
}

static bool fake_query(void *context, struct slice name, struct slice *value)
{
    return look(((struct fake *)context)->query, name, false, value);
}

static struct cohort_request request_of(struct fake *fake, const uint8_t *address)
{
    struct cohort_request request = { fake_header, fake_cookie, fake_query, fake, { 0 } };
    if (address != NULL)
        memcpy(request.address, address, 16);
    return request;
}

static const uint8_t home[16] = { [10] = 0xff, [11] = 0xff, 192, 0, 2, 7 };
static const uint8_t desk[16] = { [10] = 0xff, [11] = 0xff, 10, 21, 255, 255 };
static const uint8_t next_door[16] = { [10] = 0xff, [11] = 0xff, 10, 22, 0, 0 };
static const uint8_t desk6[16] = { 0x20, 0x01, 0x0d, 0xb8, 0xff, [15] = 9 };
static const uint8_t home6[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 };

static struct cohort_decision decide(const struct config *config, struct cohort_position position,
                                     struct fake fake, const uint8_t *address,
                                     struct cohort_issued *issued)
{
    struct cohort *cohort = cohort_create(config);
    struct cohort_request request = request_of(&fake, address);
    struct cohort_issued unused;
    struct cohort_decision decision;

    memset(&decision, 0x5a, sizeof(decision));
    cohort_decide(cohort, position, &request, &decision, issued != NULL ? issued : &unused);
    cohort_destroy(cohort);
    cr_assert_eq(decision.arm, decision.candidate ? CANDIDATE : STABLE);
    return decision;
}

static const struct cohort_position at_20 = { true, false, 1, 20 * PERCENT_ONE };

/* -- Buckets ---------------------------------------------------------------------------------- */

/* By Python: int.from_bytes(hashlib.sha256(salt + b"\0" + identity).digest()[:8], "big") */
static const struct {
    const char *salt, *identity;
    uint64_t bucket;
    uint32_t moves_at; /* -(-(bucket + 1) * 1000000 // 2**64) */
} vectors[] = {
    { "change-me-once", "1", 0x2f24e0f53e9a0da5u, 184157 },
    { "change-me-once", "user-42", 0x2a327271251b8b28u, 164833 },
    { "change-me-once", "alice@example.org", 0x19864d62853e4f07u, 99706 },
    { "python3-2026", "1", 0x5ca2916e85f188cbu, 361856 },
    { "change-me-once", "J\xc3\xbcrgen", 0x6c43ce430ecf7cbcu, 422910 },
    { "change-me-once", "192.0.2.7", 0xe438f1de3f5dc032u, 891494 },
    { "change-me-once", "2001:db8::1", 0x7ffc681c5d88aec5u, 499946 },
    { "change-me-once", "AAECAwQFBgcICQoLDA0ODw", 0x48ba54ee5f7f314bu, 284094 },
};

Test(cohort, buckets_are_those_that_python_computes)
{
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        struct config config = config_of(1);
        config.rollout.salt = (char *)(uintptr_t)vectors[i].salt;
        struct cohort *cohort = cohort_create(&config);
        uint64_t bucket = cohort_bucket(cohort, slice_string(vectors[i].identity));
        cr_assert_eq(bucket, vectors[i].bucket, "%s: %#lx", vectors[i].identity, (long)bucket);
        cr_assert_eq(cohort_moves_at(bucket), vectors[i].moves_at);
        cohort_destroy(cohort);
    }
}

Test(cohort, threshold_at_its_edges)
{
    cr_assert_not(cohort_in(0, 0));
    cr_assert(cohort_in(0, 1));
    cr_assert(cohort_in(UINT64_MAX, PERCENT_ALL));
    cr_assert(cohort_in(UINT64_MAX, UINT32_MAX));
    cr_assert_not(cohort_in(UINT64_MAX, PERCENT_ALL - 1));
    cr_assert(cohort_in((UINT64_C(1) << 63) - 1, 50 * PERCENT_ONE));
    cr_assert_not(cohort_in(UINT64_C(1) << 63, 50 * PERCENT_ONE));
    /* floor(2^64 / 1000000) = 18446744073709 */
    cr_assert(cohort_in(18446744073708u, 1));
    cr_assert_not(cohort_in(18446744073709u, 1));
}

static void moves_at_is_the_inverse(uint64_t bucket)
{
    uint32_t at = cohort_moves_at(bucket);
    cr_assert(at >= 1 && at <= PERCENT_ALL);
    cr_assert(cohort_in(bucket, at), "%lu at %u", (unsigned long)bucket, at);
    cr_assert_not(cohort_in(bucket, at - 1), "%lu at %u", (unsigned long)bucket, at - 1);
}

Test(cohort, moves_at_is_exact_for_every_step_and_for_any_bucket)
{
    uint64_t x = 88172645463325252u;

    moves_at_is_the_inverse(0);
    moves_at_is_the_inverse(UINT64_MAX);
    for (uint32_t p = 1; p < PERCENT_ALL; p += 7) {
        /* The buckets on both sides of the step's threshold. */
        __extension__ unsigned __int128 exact = ((unsigned __int128)p << 64) / PERCENT_ALL;
        uint64_t threshold = (uint64_t)exact;
        moves_at_is_the_inverse(threshold - 1);
        moves_at_is_the_inverse(threshold);
        moves_at_is_the_inverse(threshold + 1);
        cr_assert_eq(cohort_moves_at(threshold - 1), p);
        cr_assert_eq(cohort_moves_at(threshold), p + 1);
    }
    for (int i = 0; i < 200000; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        moves_at_is_the_inverse(x);
    }
}

/* A share that is within five standard deviations of the binomial: false once in two million runs,
 * and the identities are the same in each run. */
static void share_is(const struct cohort *cohort, uint32_t percent, const char *prefix)
{
    const double n = 1000000, p = (double)percent / PERCENT_ALL;
    double in = 0;

    for (int i = 0; i < 1000000; i++) {
        char text[32];
        int len = snprintf(text, sizeof(text), "%s%d", prefix, i);
        in += cohort_in(cohort_bucket(cohort, slice_of(text, (size_t)len)), percent);
    }
    cr_assert_leq(fabs(in - n * p), 5 * sqrt(n * p * (1 - p)), "%s: %.0f at %u", prefix, in,
                  percent);
}

Test(cohort, a_million_identities_fall_as_coins_do)
{
    struct config config = config_of(1);
    struct cohort *cohort = cohort_create(&config);
    share_is(cohort, 1000, "");
    share_is(cohort, 20 * PERCENT_ONE, "user-");
    cohort_destroy(cohort);
}

Test(cohort, membership_only_grows_with_the_percentage)
{
    struct config config = config_of(1);
    struct cohort *cohort = cohort_create(&config);
    for (int i = 0; i < 300; i++) {
        char text[32];
        int len = snprintf(text, sizeof(text), "%d", i);
        uint64_t bucket = cohort_bucket(cohort, slice_of(text, (size_t)len));
        bool before = false;
        for (uint32_t p = 0; p <= PERCENT_ALL; p += 500) {
            bool in = cohort_in(bucket, p);
            cr_assert(in || !before);
            before = in;
        }
        cr_assert(before, "everyone is in at 100 %%");
    }
    cohort_destroy(cohort);
}

/* -- The identity ----------------------------------------------------------------------------- */

Test(cohort, the_first_identity_of_the_chain_counts)
{
    struct config config = config_of(5);
    struct fake all = { .headers = { { "x-user-id", SLICE("user-42") } },
                        .cookies = { { "uid", SLICE("1") } },
                        .query = { { "user", SLICE("alice@example.org") } } };
    static const uint64_t wanted[] = { 0x2a327271251b8b28u, 0x2f24e0f53e9a0da5u,
                                       0x19864d62853e4f07u, 0xe438f1de3f5dc032u };
    for (int i = 0; i < 4; i++) {
        struct cohort_decision d = decide(&config, at_20, all, home, NULL);
        cr_assert_eq(d.identity_source, i);
        cr_assert_eq(d.bucket, wanted[i]);
        cr_assert_eq(d.reason, COHORT_BUCKET);
        cr_assert_eq(d.candidate, cohort_in(wanted[i], at_20.percent));
        cr_assert_not(d.issue);
        cr_assert_eq(d.list_entry, -1);
        cr_assert_eq(d.stage, -1);
        /* Empty counts as absent, and so does too long a value. */
        static char endless[COHORT_IDENTITY_MAX + 1];
        memset(endless, 'x', sizeof(endless));
        if (i == 0)
            all.headers[0].value = slice_of(endless, sizeof(endless));
        if (i == 1)
            all.cookies[0].value = SLICE("");
        if (i == 2)
            all.query[0].name = NULL;
    }
    all.headers[0].value.len = COHORT_IDENTITY_MAX;
    cr_assert_eq(decide(&config, at_20, all, home, NULL).identity_source, 0);
}

Test(cohort, an_address_is_an_identity_in_its_text_form)
{
    struct config config = config_of(4);
    struct fake nothing = { .headers = { { NULL, { NULL, 0 } } } };
    struct cohort_decision d = decide(&config, at_20, nothing, home6, NULL);
    cr_assert_eq(d.bucket, 0x7ffc681c5d88aec5u);
    d = decide(&config, at_20, nothing, NULL, NULL);
    cr_assert_eq(d.reason, COHORT_ANONYMOUS, "a unix socket has no address");
    cr_assert_not(d.candidate);
}

/* -- Issued identities ------------------------------------------------------------------------ */

Test(cohort, an_issued_cookie_comes_back_as_the_same_identity)
{
    struct config config = config_of(5);
    struct fake fake = { .headers = { { NULL, { NULL, 0 } } } };
    struct cohort_issued issued, again;
    struct cohort_decision first = decide(&config, at_20, fake, NULL, &issued);

    cr_assert(first.issue);
    cr_assert_eq(first.identity_source, 4);
    cr_assert_eq(first.reason, COHORT_BUCKET);
    cr_assert_eq(strlen(issued.value), 45);

    fake.cookies[0] = (struct pair){ "cf_id", slice_string(issued.value) };
    struct cohort_decision second = decide(&config, at_20, fake, NULL, &again);
    cr_assert_not(second.issue);
    cr_assert_str_empty(again.value);
    cr_assert_eq(second.bucket, first.bucket);
    cr_assert_eq(second.candidate, first.candidate);
    cr_assert_eq(second.identity_source, 4);

    fake.cookies[0].name = "other";
    struct cohort_decision third = decide(&config, at_20, fake, NULL, &again);
    cr_assert(third.issue);
    cr_assert_str_neq(again.value, issued.value);
}

/* By Python, from the formula in the header. */
#define FROM_PYTHON "AAECAwQFBgcICQoLDA0ODw.QTDK8FxW_q4E9XPLO2BF2w"

Test(cohort, an_issued_cookie_is_what_the_formula_says)
{
    struct config config = config_of(5);
    struct fake fake = { .cookies = { { "cf_id", SLICE(FROM_PYTHON) } } };
    struct cohort_decision d = decide(&config, at_20, fake, NULL, NULL);
    cr_assert_not(d.issue);
    cr_assert_eq(d.bucket, 0x48ba54ee5f7f314bu);
}

Test(cohort, a_forged_cookie_counts_as_absent)
{
    struct config config = config_of(5);
    const size_t len = strlen(FROM_PYTHON);

    for (size_t i = 0; i < len; i++)
        for (int bit = 0; bit < 8; bit++) {
            char forged[64] = FROM_PYTHON;
            forged[i] = (char)(forged[i] ^ (1 << bit));
            struct fake fake = { .cookies = { { "cf_id", slice_of(forged, len) } } };
            struct cohort_decision d = decide(&config, at_20, fake, NULL, NULL);
            cr_assert(d.issue, "byte %zu, bit %d", i, bit);
            cr_assert_neq(d.bucket, 0x48ba54ee5f7f314bu);
        }
    for (size_t cut = 0; cut < len; cut++) {
        struct fake fake = { .cookies = { { "cf_id", slice_of(FROM_PYTHON, cut) } } };
        cr_assert(decide(&config, at_20, fake, NULL, NULL).issue, "cut at %zu", cut);
    }
    struct fake longer = { .cookies = { { "cf_id", SLICE(FROM_PYTHON "A") } } };
    cr_assert(decide(&config, at_20, longer, NULL, NULL).issue);

    config.rollout.salt = (char *)"another";
    struct fake good = { .cookies = { { "cf_id", SLICE(FROM_PYTHON) } } };
    cr_assert(decide(&config, at_20, good, NULL, NULL).issue, "the key comes from the salt");
}

Test(cohort, nothing_is_issued_while_nothing_depends_on_it)
{
    struct config config = config_of(5);
    struct fake fake = { .headers = { { NULL, { NULL, 0 } } } };
    struct cohort_position position = at_20;

    position.percent = 0;
    struct cohort_decision d = decide(&config, position, fake, NULL, NULL);
    cr_assert_not(d.issue);
    cr_assert_eq(d.reason, COHORT_ANONYMOUS);
    position.percent = 1;
    cr_assert(decide(&config, position, fake, NULL, NULL).issue);
    position.everyone = true;
    cr_assert_not(decide(&config, position, fake, NULL, NULL).issue);
    position = at_20;
    position.active = false;
    cr_assert_not(decide(&config, position, fake, NULL, NULL).issue);
    fake.cookies[0] = (struct pair){ "beta", SLICE("") };
    cr_assert_not(decide(&config, at_20, fake, NULL, NULL).issue);

    struct cohort *cohort = cohort_create(&config);
    cr_assert_str_eq(cohort_issue_cookie(cohort), "cf_id");
    cohort_destroy(cohort);
    config = config_of(4);
    cohort = cohort_create(&config);
    cr_assert_null(cohort_issue_cookie(cohort));
    cohort_destroy(cohort);
}

/* -- Lists and positions ---------------------------------------------------------------------- */

static const struct {
    const char *what;
    struct fake fake;
    const uint8_t *address;
    int stage;
    enum cohort_reason reason;
    bool candidate;
    int entry, reached;
} lists[] = {
    { "deny comes before allow",
      { .headers = { { "x-never", SLICE("") } }, .cookies = { { "beta", SLICE("") } } },
      home,
      1,
      COHORT_DENY,
      false,
      0,
      -1 },
    { "both parts match",
      { .headers = { { "X-EMPLOYEE", SLICE("1") } } },
      desk,
      0,
      COHORT_ALLOW,
      true,
      0,
      -1 },
    { "an IPv6 network",
      { .headers = { { "X-Employee", SLICE("1") } } },
      desk6,
      0,
      COHORT_ALLOW,
      true,
      0,
      -1 },
    { "outside by the last bit of the prefix",
      { .headers = { { "X-Employee", SLICE("1") } } },
      next_door,
      0,
      COHORT_ANONYMOUS,
      false,
      -1,
      -1 },
    { "outside by the bit after the bytes",
      { .headers = { { "X-Employee", SLICE("1") } } },
      home6,
      0,
      COHORT_ANONYMOUS,
      false,
      -1,
      -1 },
    { "another value",
      { .headers = { { "X-Employee", SLICE("11") } } },
      desk,
      0,
      COHORT_ANONYMOUS,
      false,
      -1,
      -1 },
    { "the network alone",
      { .headers = { { "X-Other", SLICE("1") } } },
      desk,
      0,
      COHORT_ANONYMOUS,
      false,
      -1,
      -1 },
    { "any value",
      { .cookies = { { "beta", SLICE("whatever") } } },
      home,
      -1,
      COHORT_ALLOW,
      true,
      1,
      -1 },
    { "names of cookies have case",
      { .cookies = { { "Beta", SLICE("1") } } },
      home,
      0,
      COHORT_ANONYMOUS,
      false,
      -1,
      -1 },
    { "a stage's list",
      { .cookies = { { "dev", SLICE("1") } } },
      home,
      0,
      COHORT_STAGE_ALLOW,
      true,
      0,
      0 },
    { "cumulative",
      { .cookies = { { "dev", SLICE("1") } } },
      home,
      1,
      COHORT_STAGE_ALLOW,
      true,
      0,
      0 },
    { "no stage yet",
      { .cookies = { { "dev", SLICE("1") } } },
      home,
      -1,
      COHORT_ANONYMOUS,
      false,
      -1,
      -1 },
    { "a stage not reached",
      { .cookies = { { "tester", SLICE("") } } },
      home,
      0,
      COHORT_ANONYMOUS,
      false,
      -1,
      -1 },
    { "reached; the empty value given; an entry without parts is nobody's",
      { .cookies = { { "tester", SLICE("") } } },
      home,
      1,
      COHORT_STAGE_ALLOW,
      true,
      1,
      1 },
    { "empty is not any",
      { .cookies = { { "tester", SLICE("1") } } },
      home,
      1,
      COHORT_ANONYMOUS,
      false,
      -1,
      -1 },
    { "a stage beyond the last",
      { .cookies = { { "tester", SLICE("") } } },
      home,
      7,
      COHORT_STAGE_ALLOW,
      true,
      1,
      1 },
};

Test(cohort, lists_come_first_and_an_entry_needs_all_its_parts)
{
    struct config config = config_of(0);
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        struct cohort_position position = { true, false, lists[i].stage, 0 };
        struct cohort_decision d = decide(&config, position, lists[i].fake, lists[i].address, NULL);
        cr_assert_eq(d.reason, lists[i].reason, "%s: %d", lists[i].what, d.reason);
        cr_assert_eq(d.candidate, lists[i].candidate, "%s", lists[i].what);
        cr_assert_eq(d.list_entry, lists[i].entry, "%s", lists[i].what);
        cr_assert_eq(d.stage, lists[i].reached, "%s", lists[i].what);
    }
}

Test(cohort, a_position_that_is_not_active_or_is_promoted_overrides_all)
{
    struct config config = config_of(5);
    struct fake liked = { .cookies = { { "beta", SLICE("") } } };
    struct fake denied = { .headers = { { "X-Never", SLICE("") } } };
    struct cohort_position off = { false, true, 1, PERCENT_ALL };
    struct cohort_position promoted = { true, true, -1, 0 };

    struct cohort_decision d = decide(&config, off, liked, home, NULL);
    cr_assert_eq(d.reason, COHORT_IDLE);
    cr_assert_not(d.candidate);
    cr_assert_eq(d.identity_source, -1);
    d = decide(&config, promoted, denied, home, NULL);
    cr_assert_eq(d.reason, COHORT_PROMOTED);
    cr_assert(d.candidate);
}

/* -- The cost --------------------------------------------------------------------------------- */

static long allocations;

static void *counted_malloc(size_t size, const char *file, int line)
{
    (void)file, (void)line;
    allocations++;
    return malloc(size);
}

static void *counted_realloc(void *old, size_t size, const char *file, int line)
{
    (void)file, (void)line;
    allocations++;
    return realloc(old, size);
}

static void counted_free(void *old, const char *file, int line)
{
    (void)file, (void)line;
    free(old);
}

/* Before whatever else in this program makes OpenSSL allocate, after which it takes no other ones.
 */
__attribute__((constructor)) static void count_allocations(void)
{
    (void)CRYPTO_set_mem_functions(counted_malloc, counted_realloc, counted_free);
}

/* Our own part has no call of malloc; OpenSSL's are counted. */
Test(cohort, a_decision_allocates_nothing)
{
    struct config config = config_of(5);
    struct cohort *cohort = cohort_create(&config);
    struct fake fakes[] = { { .headers = { { "X-User-Id", SLICE("user-42") } } },
                            { .cookies = { { "cf_id", SLICE(FROM_PYTHON) } } },
                            { .query = { { NULL, { NULL, 0 } } } } };
    long before = 0;

    for (int round = 0; round < 20; round++) {
        if (round == 1) /* the first one sets up the thread's random generator */
            before = allocations;
        for (size_t i = 0; i < 3; i++) {
            struct cohort_request request = request_of(&fakes[i], NULL);
            struct cohort_decision d;
            struct cohort_issued issued;
            cohort_decide(cohort, at_20, &request, &d, &issued);
            cr_assert_eq(d.issue, i == 2);
        }
    }
    cr_assert_gt(before, 0, "they are counted");
    cr_assert_eq(allocations, before);
    cohort_destroy(cohort);
}

/* -- An identity alone ------------------------------------------------------------------------ */

static struct cohort_decision
decide_identity(const struct config *config, struct cohort_position position, struct slice identity)
{
    struct cohort *cohort = cohort_create(config);
    struct cohort_decision decision;

    memset(&decision, 0x5a, sizeof(decision));
    cohort_decide_identity(cohort, position, identity, &decision);
    cohort_destroy(cohort);
    cr_assert_eq(decision.arm, decision.candidate ? CANDIDATE : STABLE);
    cr_assert_not(decision.issue);
    return decision;
}

Test(cohort, an_identity_alone_is_decided_on_as_in_the_request_that_brings_it)
{
    struct config config = config_of(5);

    for (unsigned i = 0; i < 1000; i++) {
        char text[16];
        struct fake fake = { .headers = { { "X-User-Id", SLICE("") } } };
        struct cohort_decision alone;
        struct cohort_decision asked;

        (void)snprintf(text, sizeof(text), "user-%u", i);
        fake.headers[0].value = slice_string(text);
        alone = decide_identity(&config, at_20, slice_string(text));
        asked = decide(&config, at_20, fake, NULL, NULL);
        cr_assert_eq(alone.candidate, asked.candidate, "%s", text);
        cr_assert_eq(alone.bucket, asked.bucket);
        cr_assert_eq(alone.reason, COHORT_BUCKET);
    }
}

Test(cohort, an_identity_that_a_list_names_is_decided_by_the_list)
{
    struct config config = config_of(5);
    struct config_match never[] = { { .header = (char *)"x-user-id",
                                      .header_value = (char *)"user-42" } };
    struct config_match always[] = { { .cookie = (char *)"uid", .cookie_value = (char *)"Ann" },
                                     { .cookie = (char *)"dev" } };
    struct cohort_decision d;

    cr_assert(decide_identity(&config, at_20, SLICE("user-42")).candidate);
    config.rollout.deny = never;
    d = decide_identity(&config, at_20, SLICE("user-42"));
    cr_assert(!d.candidate && d.reason == COHORT_DENY && d.list_entry == 0);
    config.rollout.allow = always;
    d = decide_identity(&config, (struct cohort_position){ true, false, -1, 0 }, SLICE("Ann"));
    cr_assert(d.candidate && d.reason == COHORT_ALLOW && d.list_entry == 0);
    /* "dev" is no source of identities, nor is it the name of a header. */
    d = decide_identity(&config, (struct cohort_position){ true, false, -1, 0 }, SLICE("Bob"));
    cr_assert(!d.candidate && d.reason == COHORT_BUCKET);
}

Test(cohort, an_identity_alone_outside_of_a_rollout_and_after_it)
{
    struct config config = config_of(5);
    const struct cohort_position idle = { false, false, -1, 0 };
    const struct cohort_position promoted = { true, true, 1, PERCENT_ALL };
    struct slice big = slice_of(calloc(1, COHORT_IDENTITY_MAX + 1), COHORT_IDENTITY_MAX + 1);
    struct cohort_decision d = decide_identity(&config, idle, SLICE("user-42"));

    cr_assert(!d.candidate && d.reason == COHORT_IDLE);
    d = decide_identity(&config, promoted, SLICE("x"));
    cr_assert(d.candidate && d.reason == COHORT_PROMOTED);
    d = decide_identity(&config, at_20, slice_of("", 0));
    cr_assert(!d.candidate && d.reason == COHORT_ANONYMOUS);
    cr_assert_eq(decide_identity(&config, at_20, big).reason, COHORT_ANONYMOUS);
    free((char *)(uintptr_t)big.data);
}
