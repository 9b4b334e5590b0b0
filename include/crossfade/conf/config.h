/*
 * The configuration as the loader leaves it: plain data, complete (every default filled in),
 * checked (names resolved to indexes, ranges kept) and never changed afterwards. conf/load.h makes
 * it.
 *
 * Units: durations in microseconds, sizes in bytes, percentages in steps of 0.0001 %
 * (PERCENT_ONE = 1 %, PERCENT_ALL = 100 %).
 */
#ifndef CROSSFADE_CONF_CONFIG_H
#define CROSSFADE_CONF_CONFIG_H

#include "crossfade/base/log.h"
#include "crossfade/base/slice.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PERCENT_ONE 10000u
#define PERCENT_ALL 1000000u

#define CONFIG_ARMS_MAX 32u

/* host:port or unix:/path. `text` is as written, for messages and as a name. */
struct config_endpoint {
    char *text;
    char *host; /* NULL: a unix socket */
    char *path; /* NULL: TCP */
    uint16_t port;
};

struct config_backend {
    struct config_endpoint endpoint;
    unsigned weight;
};

struct config_arm {
    char *name;
    char *namespace;       /* expanded; may be "" */
    bool namespace_varies; /* had ${...} in it */
    struct config_backend *backends;
    size_t backend_count;
};

enum config_tls_client { TLS_CLIENT_REQUIRED, TLS_CLIENT_OPTIONAL };

/* TLS from clients. Paths as written, absolute; the files are read when a plan is made. */
struct config_tls {
    bool present;
    char *certificate; /* and its chain */
    char *key;         /* NULL: in the certificate's file */
    char *client_ca;   /* NULL: clients are asked for no certificate */
    enum config_tls_client client;
};

/* TLS towards servers. */
struct config_server_tls {
    bool present;
    char *ca;          /* NULL: the system's authorities */
    char *certificate; /* NULL: none */
    char *key;         /* NULL: in the certificate's file */
    char *name;        /* NULL: the host of each server's address */
    bool verify;
};

/* What a cache client is known by. */
enum config_client_test { CLIENT_USER, CLIENT_CERTIFICATE, CLIENT_UID, CLIENT_EXECUTABLE };

/* One entry of a listener's `arms`: one test, and the arm of whom it matches. */
struct config_client {
    enum config_client_test test;
    char *user; /* patterns: a * stands for any bytes */
    char *certificate;
    char *executable;
    int64_t uid; /* -1: not given */
    unsigned arm;
};

#define CONFIG_NO_ARM UINT_MAX

struct users;
struct credentials;

struct config_listener {
    struct config_endpoint endpoint;
    unsigned arm;          /* index into arms, or CONFIG_NO_ARM; cache listeners only */
    int mode;              /* of a unix socket; -1: leave it to the umask */
    struct config_tls tls; /* cache listeners only */
    char *sasl;            /* path of the file of users; NULL: no login */
    struct users
        *users; /* what is in it; NULL also where files beside the configuration are not read */
    struct config_client *clients; /* the first match wins; none: arm */
    size_t client_count;
};

enum config_scope { SCOPE_ISOLATED, SCOPE_SHARED };
enum config_coherence { COHERENCE_NONE, COHERENCE_FANOUT, COHERENCE_EPOCH };
enum config_writes { WRITES_AUTO, WRITES_MUTATE, WRITES_FILL };

struct config_rule {
    char *match; /* without the * */
    bool prefix; /* there was a * at the end */
    enum config_scope scope;
    enum config_coherence coherence;
    enum config_writes writes;
    bool guard;
};

enum config_distribution { DISTRIBUTION_KETAMA, DISTRIBUTION_MODULA, DISTRIBUTION_CONSISTENT };
enum config_hash {
    HASH_DEFAULT, /* one_at_a_time */
    HASH_MD5,
    HASH_CRC,
    HASH_FNV1_64,
    HASH_FNV1A_64,
    HASH_FNV1_32,
    HASH_FNV1A_32,
    HASH_JENKINS,
    HASH_MURMUR
};
enum config_on_failure { ON_FAILURE_MISS, ON_FAILURE_ERROR };
enum config_long_keys { LONG_KEYS_HASH, LONG_KEYS_REFUSE };
enum config_reserved_keys { RESERVED_KEYS_KEEP, RESERVED_KEYS_HASH, RESERVED_KEYS_REFUSE };
enum config_flush { FLUSH_NAMESPACE, FLUSH_REFUSE };
enum config_profile { PROFILE_PYTHON, PROFILE_PHP, PROFILE_RUBY, PROFILE_PERL, PROFILE_NONE };

struct config_cache {
    bool present;
    struct config_listener *listeners;
    size_t listener_count;
    struct config_backend *servers;
    size_t server_count;
    struct config_server_tls server_tls;
    enum config_distribution distribution;
    enum config_hash hash;
    char hash_tag[2]; /* opening and closing byte; both 0: none */
    unsigned connections_per_server;
    unsigned max_waiting; /* requests for one server, of one worker */
    uint64_t connect_timeout;
    uint64_t request_timeout;
    uint64_t idle_timeout; /* 0: never */
    enum config_on_failure on_failure;
    uint64_t max_value;
    enum config_long_keys long_keys;
    enum config_reserved_keys reserved_keys;
    enum config_coherence coherence;
    bool has_epoch; /* some keys have coherence: epoch */
    uint64_t fill_window;
    enum config_flush flush_all;
    unsigned recent_misses;
    uint64_t journal_size; /* bytes */
    uint64_t journal_age;
    unsigned observe; /* commands a second of each worker that are looked at; 0: none */
    enum config_profile client_profile;
    struct config_rule *rules; /* in order: the first match wins */
    size_t rule_count;
    char *server_login;              /* path of a file; NULL: the servers want no login */
    struct credentials *credentials; /* what is in it, as for users */
};

enum config_balance { BALANCE_LEAST_PENDING, BALANCE_ROUND_ROBIN };

struct config_web {
    bool present;
    struct config_listener *listeners;
    size_t listener_count;
    uint64_t client_idle_timeout;
    uint64_t request_head_timeout;
    uint64_t connect_timeout;
    uint64_t response_timeout;
    size_t head_limit;
    unsigned headers_limit;
    uint64_t body_limit;
    unsigned connections_limit;
    enum config_balance balance;
    bool fallback_to_stable;
    unsigned fallback_budget; /* percent of live requests */
    bool arm_header;          /* X-Crossfade-Arm in responses */
};

/* What the identity of a request is taken from; the first that is present counts. */
enum config_identity_kind {
    IDENTITY_HEADER,
    IDENTITY_COOKIE,
    IDENTITY_QUERY,
    IDENTITY_IP,
    IDENTITY_ISSUE /* a signed cookie that Crossfade gives out */
};

struct config_identity {
    enum config_identity_kind kind;
    char *name; /* header, cookie or query parameter; NULL for ip */
};

struct config_cidr {
    uint8_t address[16]; /* IPv4 as ::ffff:a.b.c.d */
    unsigned bits;       /* of the 128 */
};

/*
 * One entry of an allow or deny list. It matches when every part that is given matches:
 * header (name and value; value NULL: any value), cookie (the same), from (any of the networks).
 */
struct config_match {
    char *header;
    char *header_value;
    char *cookie;
    char *cookie_value;
    struct config_cidr *from;
    size_t from_count;
};

struct config_stage {
    char *name;
    /* What it adds; cumulative over the stages before it. */
    struct config_match *allow;
    size_t allow_count;
    bool percent_given;
    uint32_t percent; /* of PERCENT_ALL; not less than in the stage before */
    uint64_t bake;
    bool advance_auto;
    bool on_fail_hold; /* otherwise roll back */
};

struct config_rollout {
    bool present;
    char *name;
    unsigned from; /* index into arms: stable */
    unsigned to;   /* candidate */
    char *salt;
    struct config_identity *identities;
    size_t identity_count;
    struct config_match *allow; /* always candidate, once the rollout runs */
    size_t allow_count;
    struct config_match *deny; /* always stable */
    size_t deny_count;
    struct config_stage *stages;
    size_t stage_count;
};

enum config_level { LEVEL_READ, LEVEL_OPERATE, LEVEL_ADMIN };

struct config_control_socket {
    char *path;
    enum config_level level;
    int mode;
};

struct config_control {
    struct config_control_socket *sockets;
    size_t socket_count;
    struct config_endpoint http; /* text NULL: off */
};

struct config_process {
    unsigned workers; /* resolved: never 0 */
    char *user;       /* NULL: stay who we are */
    char *state_dir;
    uint64_t drain_timeout;
    uint64_t resolve_interval; /* 0: only when a server cannot be reached */
    bool resolve_optional;     /* a name that does not resolve is no error at start */
    enum log_level log_level;
    bool log_json;
};

struct config {
    char *file; /* the path it came from */
    struct config_arm *arms;
    size_t arm_count;
    struct config_cache cache;
    struct config_web web;
    struct config_rollout rollout;
    struct config_control control;
    struct config_process process;
    void *source; /* conf/'s own: the row, line and column of every value, for `show config` */
};

void config_free(struct config *config);
/* The arm's index, or -1. */
int config_arm_index(const struct config *config, struct slice name);

#endif
