/*
 * The tables. From the bottom up: what a section's row points to stands above it.
 */
#include "crossfade/conf/schema.h"

#include "crossfade/conf/config.h"
#include "crossfade/conf/values.h"

#include <stdio.h>

#define FIELD(type, field) .offset = offsetof(type, field), .width = sizeof(((type *)0)->field)
#define ARRAY(type, field, count)                                                                  \
    .offset = offsetof(type, field), .count_offset = offsetof(type, count),                        \
    .element_size = sizeof(*((type *)0)->field)

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define MILLISECOND UINT64_C(1000)
#define SECOND (1000 * MILLISECOND)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

#define NAME_MAX_LENGTH 64
#define LIST_MAX 1000

/* clang-format off */

static const struct schema_choice distributions[] = {
    { "ketama", DISTRIBUTION_KETAMA, false },
    { "modula", DISTRIBUTION_MODULA, false },
    { "consistent", DISTRIBUTION_CONSISTENT, false },
    { NULL, 0, false } };
static const struct schema_choice hashes[] = {
    { "default", HASH_DEFAULT, false },
    { "md5", HASH_MD5, false },
    { "crc", HASH_CRC, false },
    { "fnv1_64", HASH_FNV1_64, false },
    { "fnv1a_64", HASH_FNV1A_64, false },
    { "fnv1_32", HASH_FNV1_32, false },
    { "fnv1a_32", HASH_FNV1A_32, false },
    { "jenkins", HASH_JENKINS, false },
    { "murmur", HASH_MURMUR, false },
    { NULL, 0, false } };
static const struct schema_choice failures[] = {
    { "miss", ON_FAILURE_MISS, false },
    { "error", ON_FAILURE_ERROR, false },
    { NULL, 0, false } };
static const struct schema_choice long_keys[] = {
    { "hash", LONG_KEYS_HASH, false },
    { "refuse", LONG_KEYS_REFUSE, false },
    { NULL, 0, false } };
static const struct schema_choice reserved_keys[] = {
    { "keep", RESERVED_KEYS_KEEP, false },
    { "hash", RESERVED_KEYS_HASH, false },
    { "refuse", RESERVED_KEYS_REFUSE, false },
    { NULL, 0, false } };
static const struct schema_choice coherences[] = {
    { "none", COHERENCE_NONE, false },
    { "fanout", COHERENCE_FANOUT, false },
    { "epoch", COHERENCE_EPOCH, false },
    { NULL, 0, false } };
static const struct schema_choice flushes[] = {
    { "namespace", FLUSH_NAMESPACE, false },
    { "refuse", FLUSH_REFUSE, false },
    { NULL, 0, false } };
static const struct schema_choice profiles[] = {
    { "none", PROFILE_NONE, false },
    { "python", PROFILE_PYTHON, false },
    { "php", PROFILE_PHP, false },
    { "ruby", PROFILE_RUBY, false },
    { "perl", PROFILE_PERL, false },
    { NULL, 0, false } };
static const struct schema_choice scopes[] = {
    { "isolated", SCOPE_ISOLATED, false },
    { "shared", SCOPE_SHARED, false },
    { NULL, 0, false } };
static const struct schema_choice writes[] = {
    { "auto", WRITES_AUTO, false },
    { "mutate", WRITES_MUTATE, false },
    { "fill", WRITES_FILL, false },
    { NULL, 0, false } };
static const struct schema_choice web_modes[] = {
    { "http", 0, false },
    { "tcp", 1, true },
    { NULL, 0, false } };
static const struct schema_choice balances[] = {
    { "least_pending", BALANCE_LEAST_PENDING, false },
    { "round_robin", BALANCE_ROUND_ROBIN, false },
    { NULL, 0, false } };
static const struct schema_choice advances[] = {
    { "manual", false, false },
    { "auto", true, true },
    { NULL, 0, false } };
static const struct schema_choice on_fails[] = {
    { "rollback", false, false },
    { "hold", true, false },
    { NULL, 0, false } };
static const struct schema_choice levels[] = {
    { "read", LEVEL_READ, false },
    { "operate", LEVEL_OPERATE, false },
    { "admin", LEVEL_ADMIN, false },
    { NULL, 0, false } };
static const struct schema_choice resolve_at_start[] = {
    { "required", false, false },
    { "optional", true, false },
    { NULL, 0, false } };
static const struct schema_choice tls_clients[] = {
    { "required", TLS_CLIENT_REQUIRED, false },
    { "optional", TLS_CLIENT_OPTIONAL, false },
    { NULL, 0, false } };
static const struct schema_choice log_levels[] = {
    { "error", LOG_ERROR, false },
    { "warn", LOG_WARN, false },
    { "info", LOG_INFO, false },
    { "debug", LOG_DEBUG, false },
    { NULL, 0, false } };
static const struct schema_choice log_formats[] = {
    { "text", false, false },
    { "json", true, false },
    { NULL, 0, false } };

static const struct schema_row tls_rows[] = {
    { .name = "certificate", .kind = SCHEMA_PATH, .note = "none",
      .help = "PEM file with the certificate and its chain" },
    { .name = "key", .kind = SCHEMA_PATH, .note = "none", .help = "PEM file with the private key" },
    { .name = "client_ca", .kind = SCHEMA_PATH, .note = "none",
      .help = "PEM file with the authorities that clients' certificates are checked against" },
    { .name = NULL } };

static const struct schema_row listen_tls_rows[] = {
    { .name = "certificate", .kind = SCHEMA_PATH, .flags = SCHEMA_REQUIRED,
      .help = "PEM file with the certificate and its chain",
      FIELD(struct config_tls, certificate) },
    { .name = "key", .kind = SCHEMA_PATH, .note = "in the certificate's file",
      .help = "PEM file with the private key, without a password",
      FIELD(struct config_tls, key) },
    { .name = "client_ca", .kind = SCHEMA_PATH, .note = "none",
      .help = "PEM file with the authorities that clients' certificates are checked against",
      FIELD(struct config_tls, client_ca) },
    { .name = "client", .kind = SCHEMA_CHOICE, .standard = "required", .choices = tls_clients,
      .help = "with client_ca, whether a client has to have a certificate",
      FIELD(struct config_tls, client) },
    { .name = NULL } };

static const struct schema_row server_tls_rows[] = {
    { .name = "ca", .kind = SCHEMA_PATH, .note = "the system's",
      .help = "PEM file with the authorities that the servers' certificates are checked against",
      FIELD(struct config_server_tls, ca) },
    { .name = "certificate", .kind = SCHEMA_PATH, .note = "none",
      .help = "PEM file with our own certificate and its chain, for servers that want one",
      FIELD(struct config_server_tls, certificate) },
    { .name = "key", .kind = SCHEMA_PATH, .note = "in the certificate's file",
      .help = "PEM file with its private key, without a password",
      FIELD(struct config_server_tls, key) },
    { .name = "name", .kind = SCHEMA_TEXT, .note = "the host of each server's address",
      .low = 1, .high = VALUE_HOST_MAX, .help = "the name that their certificates have to be for",
      FIELD(struct config_server_tls, name) },
    { .name = "verify", .kind = SCHEMA_BOOL, .standard = "true",
      .help = "false: any certificate will do, so that anybody in between can read and change all",
      FIELD(struct config_server_tls, verify) },
    { .name = NULL } };

static const struct schema_row backend_rows[] = {
    /* Before the address, which may hold a weight too: one of them. */
    { .name = "weight", .kind = SCHEMA_NUMBER, .note = "1", .low = 1, .high = 1000,
      .help = "its share, beside those of the others", FIELD(struct config_backend, weight) },
    { .name = "address", .kind = SCHEMA_SERVER, .flags = SCHEMA_REQUIRED,
      .help = "host:port or unix:/path", .offset = 0, .width = sizeof(struct config_backend) },
    { .name = "tls", .kind = SCHEMA_SECTION, .flags = SCHEMA_LATER, .rows = tls_rows,
      .help = "TLS towards it" },
    { .name = NULL } };

static const struct schema_row arm_rows[] = {
    { .name = "name", .kind = SCHEMA_NAME, .flags = SCHEMA_REQUIRED, .low = 1,
      .high = NAME_MAX_LENGTH, .help = "what the arm is called everywhere else",
      FIELD(struct config_arm, name) },
    { .name = "namespace", .kind = SCHEMA_NAMESPACE, .note = "the arm's name",
      .high = NAME_MAX_LENGTH,
      .help = "what its keys in the cache begin with; \"\" leaves them as they are",
      FIELD(struct config_arm, namespace),
      .given_offset = offsetof(struct config_arm, namespace_varies) },
    { .name = "backends", .kind = SCHEMA_LIST, .standard = "[]", .rows = backend_rows,
      .shorthand = "address", .high = LIST_MAX, .help = "its application servers (web plane)",
      ARRAY(struct config_arm, backends, backend_count) },
    { .name = NULL } };

static const struct schema_row client_rows[] = {
    { .name = "user", .kind = SCHEMA_TEXT, .note = "any", .low = 1, .high = 255,
      .help = "who has logged in under such a name", FIELD(struct config_client, user) },
    { .name = "certificate", .kind = SCHEMA_TEXT, .note = "any", .low = 1, .high = 255,
      .help = "whose TLS certificate has such a name", FIELD(struct config_client, certificate) },
    { .name = "uid", .kind = SCHEMA_UID, .note = "any",
      .help = "whose process runs under this user id (unix sockets)",
      FIELD(struct config_client, uid) },
    { .name = "executable", .kind = SCHEMA_PATH, .note = "any", .high = 4096,
      .help = "whose process runs such a program (unix sockets)",
      FIELD(struct config_client, executable) },
    { .name = "arm", .kind = SCHEMA_ARM, .flags = SCHEMA_REQUIRED, .help = "the arm of that client",
      FIELD(struct config_client, arm) },
    { .name = NULL } };

static const struct schema_row cache_listen_rows[] = {
    { .name = "address", .kind = SCHEMA_ENDPOINT, .flags = SCHEMA_REQUIRED,
      .help = "host:port or unix:/path", FIELD(struct config_listener, endpoint) },
    { .name = "arm", .kind = SCHEMA_ARM, .note = "none",
      .help = "the arm of clients that no entry of arms matches; none: they are refused",
      FIELD(struct config_listener, arm) },
    { .name = "arms", .kind = SCHEMA_LIST, .standard = "[]", .rows = client_rows, .high = LIST_MAX,
      .help = "the arm by who the client is; the first match wins",
      ARRAY(struct config_listener, clients, client_count) },
    { .name = "mode", .kind = SCHEMA_MODE, .note = "by the umask",
      .help = "permissions of a unix socket", FIELD(struct config_listener, mode) },
    { .name = "tls", .kind = SCHEMA_SECTION, .flags = SCHEMA_OPTIONAL, .rows = listen_tls_rows,
      .help = "TLS from clients", FIELD(struct config_listener, tls),
      .present_offset = offsetof(struct config_tls, present) },
    { .name = "sasl", .kind = SCHEMA_PATH, .note = "none", .high = 4096,
      .help = "file with the users that may log in; without a login nothing is served",
      FIELD(struct config_listener, sasl) },
    { .name = NULL } };

static const struct schema_row cache_timeout_rows[] = {
    { .name = "connect", .kind = SCHEMA_DURATION, .standard = "250ms", .low = MILLISECOND,
      .high = MINUTE, .help = "to a server", FIELD(struct config_cache, connect_timeout) },
    { .name = "request", .kind = SCHEMA_DURATION, .standard = "1s", .low = MILLISECOND,
      .high = 10 * MINUTE, .help = "until a server has answered",
      FIELD(struct config_cache, request_timeout) },
    { .name = "idle", .kind = SCHEMA_DURATION, .standard = "0", .high = 30 * DAY,
      .help = "until an idle client is closed; 0: never",
      FIELD(struct config_cache, idle_timeout) },
    { .name = NULL } };

static const struct schema_row rule_rows[] = {
    { .name = "match", .kind = SCHEMA_PATTERN, .flags = SCHEMA_REQUIRED,
      .help = "a key, or the beginning of keys and a *", FIELD(struct config_rule, match) },
    { .name = "scope", .kind = SCHEMA_CHOICE, .standard = "isolated", .choices = scopes,
      .help = "a copy for each arm, or one that all share", FIELD(struct config_rule, scope) },
    { .name = "coherence", .kind = SCHEMA_CHOICE, .note = "cache.coherence",
      .choices = coherences, .help = "as cache.coherence, for these keys",
      FIELD(struct config_rule, coherence) },
    { .name = "writes", .kind = SCHEMA_CHOICE, .standard = "auto", .choices = writes,
      .help = "whether a set fills (own arm only) or mutates (invalidates the others)",
      FIELD(struct config_rule, writes) },
    { .name = "guard", .kind = SCHEMA_BOOL, .standard = "false",
      .help = "refuse values that one of the runtimes cannot read",
      FIELD(struct config_rule, guard) },
    { .name = NULL } };

static const struct schema_row cache_rows[] = {
    { .name = "listen", .kind = SCHEMA_LIST, .flags = SCHEMA_REQUIRED, .rows = cache_listen_rows,
      .low = 1, .high = LIST_MAX, .help = "where memcache clients connect, one or more for each arm",
      ARRAY(struct config_cache, listeners, listener_count) },
    { .name = "servers", .kind = SCHEMA_LIST, .flags = SCHEMA_REQUIRED, .rows = backend_rows,
      .shorthand = "address", .low = 1, .high = LIST_MAX,
      .help = "the memcached servers: host:port, host:port:weight, unix:/path",
      ARRAY(struct config_cache, servers, server_count) },
    { .name = "server_tls", .kind = SCHEMA_SECTION, .flags = SCHEMA_OPTIONAL,
      .rows = server_tls_rows, .help = "TLS towards the servers",
      FIELD(struct config_cache, server_tls),
      .present_offset = offsetof(struct config_server_tls, present) },
    { .name = "distribution", .kind = SCHEMA_CHOICE, .standard = "ketama",
      .choices = distributions, .help = "how keys are spread over servers, as in libmemcached",
      FIELD(struct config_cache, distribution) },
    { .name = "hash", .kind = SCHEMA_CHOICE, .standard = "default", .choices = hashes,
      .help = "the hash of that, as in libmemcached", FIELD(struct config_cache, hash) },
    { .name = "hash_tag", .kind = SCHEMA_HASH_TAG, .standard = "",
      .help = "two bytes; the part of a key between them alone chooses the server",
      FIELD(struct config_cache, hash_tag) },
    { .name = "connections_per_server", .kind = SCHEMA_NUMBER, .standard = "1", .low = 1,
      .high = 64, .help = "for each worker",
      FIELD(struct config_cache, connections_per_server) },
    { .name = "max_waiting", .kind = SCHEMA_NUMBER, .standard = "50000", .low = 1,
      .high = 1000000, .help = "requests waiting for one server, for each worker",
      FIELD(struct config_cache, max_waiting) },
    { .name = "timeouts", .kind = SCHEMA_SECTION, .rows = cache_timeout_rows,
      .help = "how long is waited" },
    { .name = "on_failure", .kind = SCHEMA_CHOICE, .standard = "miss", .choices = failures,
      .help = "what reads get while a server is down", FIELD(struct config_cache, on_failure) },
    { .name = "max_value", .kind = SCHEMA_SIZE, .standard = "1m", .low = KIB, .high = GIB,
      .help = "the servers' own limit (memcached -I)", FIELD(struct config_cache, max_value) },
    { .name = "long_keys", .kind = SCHEMA_CHOICE, .standard = "hash", .choices = long_keys,
      .help = "keys that are over 250 bytes with their prefix",
      FIELD(struct config_cache, long_keys) },
    { .name = "reserved_keys", .kind = SCHEMA_CHOICE, .note = "keep",
      .choices = reserved_keys,
      .help = "keys without a prefix that look like they had one, as in page.12:x",
      FIELD(struct config_cache, reserved_keys) },
    { .name = "coherence", .kind = SCHEMA_CHOICE, .standard = "fanout", .choices = coherences,
      .help = "how an invalidation reaches the other arms", FIELD(struct config_cache, coherence) },
    { .name = "fill_window", .kind = SCHEMA_DURATION, .standard = "30s", .low = SECOND,
      .high = 10 * MINUTE, .help = "epoch: how long a set may follow the miss that it answers",
      FIELD(struct config_cache, fill_window) },
    { .name = "flush_all", .kind = SCHEMA_CHOICE, .standard = "namespace", .choices = flushes,
      .help = "what a client's flush_all does", FIELD(struct config_cache, flush_all) },
    { .name = "recent_misses", .kind = SCHEMA_NUMBER, .flags = SCHEMA_RESTART, .standard = "65536", .low = 64,
      .high = UINT64_C(1) << 26, .help = "entries of the process-wide memory of misses",
      FIELD(struct config_cache, recent_misses) },
    { .name = "journal_size", .kind = SCHEMA_SIZE, .flags = SCHEMA_RESTART, .standard = "16m",
      .low = 512 * KIB, .high = GIB, .help = "of the journal of undelivered invalidations",
      FIELD(struct config_cache, journal_size) },
    { .name = "journal_age", .kind = SCHEMA_DURATION, .standard = "1d", .low = SECOND,
      .high = 365 * DAY, .help = "how long an undelivered invalidation is kept",
      FIELD(struct config_cache, journal_age) },
    { .name = "observe", .kind = SCHEMA_NUMBER, .standard = "100", .low = 0, .high = 1000000,
      .help = "commands a second, for each worker, that show suggest learns from; 0: none",
      FIELD(struct config_cache, observe) },
    { .name = "client_profile", .kind = SCHEMA_CHOICE, .standard = "none", .choices = profiles,
      .help = "what the flags of values mean", FIELD(struct config_cache, client_profile) },
    { .name = "keys", .kind = SCHEMA_LIST, .standard = "[]", .rows = rule_rows, .high = 4096,
      .help = "rules for certain keys; the first match wins",
      ARRAY(struct config_cache, rules, rule_count) },
    { .name = "server_login", .kind = SCHEMA_PATH, .note = "none", .high = 4096,
      .help = "file with the user and password that the servers want",
      FIELD(struct config_cache, server_login) },
    { .name = NULL } };

static const struct schema_row web_listen_rows[] = {
    { .name = "address", .kind = SCHEMA_ENDPOINT, .flags = SCHEMA_REQUIRED,
      .help = "host:port or unix:/path", FIELD(struct config_listener, endpoint) },
    { .name = "mode", .kind = SCHEMA_MODE, .note = "by the umask",
      .help = "permissions of a unix socket", FIELD(struct config_listener, mode) },
    { .name = "tls", .kind = SCHEMA_SECTION, .flags = SCHEMA_LATER, .rows = tls_rows,
      .help = "TLS from clients" },
    { .name = "http2", .kind = SCHEMA_BOOL, .flags = SCHEMA_TRUE_LATER, .standard = "false",
      .help = "offer HTTP/2" },
    { .name = "proxy_protocol", .kind = SCHEMA_BOOL, .flags = SCHEMA_TRUE_LATER,
      .standard = "false", .help = "connections begin with a PROXY header" },
    { .name = NULL } };

static const struct schema_row web_timeout_rows[] = {
    { .name = "client_idle", .kind = SCHEMA_DURATION, .standard = "60s", .low = MILLISECOND,
      .high = DAY, .help = "between two requests of a client",
      FIELD(struct config_web, client_idle_timeout) },
    { .name = "request_head", .kind = SCHEMA_DURATION, .standard = "10s", .low = MILLISECOND,
      .high = HOUR, .help = "until a request's head is here",
      FIELD(struct config_web, request_head_timeout) },
    { .name = "connect", .kind = SCHEMA_DURATION, .standard = "1s", .low = MILLISECOND,
      .high = MINUTE, .help = "to a backend", FIELD(struct config_web, connect_timeout) },
    { .name = "response", .kind = SCHEMA_DURATION, .standard = "30s", .low = MILLISECOND,
      .high = DAY, .help = "until a backend answers", FIELD(struct config_web, response_timeout) },
    { .name = NULL } };

static const struct schema_row web_limit_rows[] = {
    { .name = "head", .kind = SCHEMA_SIZE, .standard = "16k", .low = KIB, .high = 32 * KIB,
      .help = "bytes of a request's head (414, 431)", FIELD(struct config_web, head_limit) },
    { .name = "headers", .kind = SCHEMA_NUMBER, .standard = "100", .low = 1, .high = 1000,
      .help = "header fields of a request (431)", FIELD(struct config_web, headers_limit) },
    { .name = "body", .kind = SCHEMA_SIZE, .standard = "16m", .low = 0, .high = 1024 * GIB,
      .help = "bytes of a request's body (413)", FIELD(struct config_web, body_limit) },
    { .name = "connections", .kind = SCHEMA_NUMBER, .standard = "10000", .low = 1,
      .high = 1000000, .help = "clients at once", FIELD(struct config_web, connections_limit) },
    { .name = NULL } };

static const struct schema_row health_rows[] = {
    { .name = "path", .kind = SCHEMA_PATH, .note = "/healthz", .help = "what is asked for" },
    { .name = "interval", .kind = SCHEMA_DURATION, .note = "2s", .help = "between two checks" },
    { .name = "rise", .kind = SCHEMA_NUMBER, .note = "2", .help = "good answers until it is up" },
    { .name = "fall", .kind = SCHEMA_NUMBER, .note = "3", .help = "bad answers until it is down" },
    { .name = NULL } };

static const struct schema_row fallback_rows[] = {
    { .name = "to_stable", .kind = SCHEMA_BOOL, .standard = "true",
      .help = "try a safe request that failed on the candidate on the stable arm",
      FIELD(struct config_web, fallback_to_stable) },
    { .name = "budget", .kind = SCHEMA_NUMBER, .standard = "10", .high = 100,
      .help = "at most this percentage of live requests",
      FIELD(struct config_web, fallback_budget) },
    { .name = NULL } };

static const struct schema_row web_rows[] = {
    { .name = "listen", .kind = SCHEMA_LIST, .flags = SCHEMA_REQUIRED, .rows = web_listen_rows,
      .low = 1, .high = LIST_MAX, .help = "where HTTP clients connect",
      ARRAY(struct config_web, listeners, listener_count) },
    { .name = "mode", .kind = SCHEMA_CHOICE, .standard = "http", .choices = web_modes,
      .help = "HTTP, or bytes as they come" },
    { .name = "timeouts", .kind = SCHEMA_SECTION, .rows = web_timeout_rows,
      .help = "how long is waited" },
    { .name = "limits", .kind = SCHEMA_SECTION, .rows = web_limit_rows,
      .help = "what a client may ask for" },
    { .name = "health", .kind = SCHEMA_SECTION, .flags = SCHEMA_LATER, .rows = health_rows,
      .help = "active checks of the backends" },
    { .name = "balance", .kind = SCHEMA_CHOICE, .standard = "least_pending", .choices = balances,
      .help = "how an arm's backends share its requests", FIELD(struct config_web, balance) },
    { .name = "fallback", .kind = SCHEMA_SECTION, .rows = fallback_rows,
      .help = "requests that failed on the candidate" },
    { .name = "access_log", .kind = SCHEMA_LOG_TARGET, .standard = "off",
      .help = "one line for each request" },
    { .name = "arm_header", .kind = SCHEMA_BOOL, .standard = "true",
      .help = "X-Crossfade-Arm in responses", FIELD(struct config_web, arm_header) },
    { .name = NULL } };

static const struct schema_row match_rows[] = {
    { .name = "header", .kind = SCHEMA_HEADER, .note = "any",
      .help = "\"Name: value\", or \"Name\" for any value", FIELD(struct config_match, header) },
    { .name = "cookie", .kind = SCHEMA_COOKIE, .note = "any",
      .help = "\"name=value\", or \"name\" for any value", FIELD(struct config_match, cookie) },
    { .name = "from", .kind = SCHEMA_LIST, .element = SCHEMA_NETWORK, .note = "anywhere",
      .low = 1, .high = LIST_MAX, .help = "networks that the client is in",
      ARRAY(struct config_match, from, from_count) },
    { .name = "query", .kind = SCHEMA_TEXT, .flags = SCHEMA_LATER, .note = "any",
      .help = "\"name=value\" in the query" },
    { .name = "path", .kind = SCHEMA_TEXT, .flags = SCHEMA_LATER, .note = "any",
      .help = "the beginning of the path" },
    { .name = "token", .kind = SCHEMA_TEXT, .flags = SCHEMA_LATER, .note = "none",
      .help = "a signed token" },
    { .name = "file", .kind = SCHEMA_PATH, .flags = SCHEMA_LATER, .note = "none",
      .help = "a file of identities" },
    { .name = NULL } };

static const struct schema_row gate_rows[] = {
    { .name = "prometheus", .kind = SCHEMA_TEXT, .note = "none", .help = "a query" },
    { .name = "url", .kind = SCHEMA_TEXT, .note = "none", .help = "where the query goes" },
    { .name = "below", .kind = SCHEMA_TEXT, .note = "none", .help = "the bound of its answer" },
    { .name = "command", .kind = SCHEMA_LIST, .element = SCHEMA_TEXT, .note = "none",
      .help = "a program and its arguments; exit 0 passes" },
    { .name = "timeout", .kind = SCHEMA_DURATION, .note = "10s", .help = "for the answer" },
    { .name = NULL } };

static const struct schema_row stage_rows[] = {
    { .name = "name", .kind = SCHEMA_NAME, .flags = SCHEMA_REQUIRED, .low = 1,
      .high = NAME_MAX_LENGTH, .help = "what the stage is called",
      FIELD(struct config_stage, name) },
    { .name = "allow", .kind = SCHEMA_MATCHES, .standard = "[]", .rows = match_rows,
      .high = LIST_MAX, .help = "who comes in with it",
      ARRAY(struct config_stage, allow, allow_count) },
    { .name = "percent", .kind = SCHEMA_PERCENT, .note = "as in the stage before",
      .help = "the share of identities that is in",
      FIELD(struct config_stage, percent),
      .given_offset = offsetof(struct config_stage, percent_given) },
    { .name = "bake", .kind = SCHEMA_DURATION, .standard = "0", .high = 3650 * DAY,
      .help = "how long it lasts at least", FIELD(struct config_stage, bake) },
    { .name = "advance", .kind = SCHEMA_CHOICE, .standard = "manual", .choices = advances,
      .help = "who goes on to the next stage", FIELD(struct config_stage, advance_auto) },
    { .name = "on_fail", .kind = SCHEMA_CHOICE, .standard = "rollback", .choices = on_fails,
      .help = "what a failed gate does", FIELD(struct config_stage, on_fail_hold) },
    { .name = "shadow", .kind = SCHEMA_PERCENT, .flags = SCHEMA_LATER, .note = "0",
      .help = "the share of safe requests that is mirrored to the candidate" },
    { .name = "gates", .kind = SCHEMA_LIST, .flags = SCHEMA_LATER, .standard = "[]",
      .rows = gate_rows, .help = "what has to hold before the next stage" },
    { .name = NULL } };

static const struct schema_row judge_rows[] = {
    { .name = "alpha", .kind = SCHEMA_TEXT, .note = "0.001", .help = "chance of a false abort" },
    { .name = "latency", .kind = SCHEMA_TEXT, .note = "p99", .help = "what counts as slow" },
    { .name = "min_identities", .kind = SCHEMA_NUMBER, .note = "3",
      .help = "failing users that it takes" },
    { .name = "on_fail", .kind = SCHEMA_CHOICE, .note = "rollback", .choices = on_fails,
      .help = "what it does" },
    { .name = NULL } };

static const struct schema_row proof_rows[] = {
    { .name = "alpha", .kind = SCHEMA_TEXT, .note = "0.01", .help = "chance of a false advance" },
    { .name = "max_increase", .kind = SCHEMA_TEXT, .note = "0.5",
      .help = "percentage points of bad answers that are accepted" },
    { .name = "min_requests", .kind = SCHEMA_NUMBER, .note = "200",
      .help = "candidate requests before the first look" },
    { .name = NULL } };

static const struct schema_row warmth_rows[] = {
    { .name = "margin", .kind = SCHEMA_TEXT, .note = "5",
      .help = "percentage points of hit ratio" },
    { .name = "timeout", .kind = SCHEMA_DURATION, .note = "1h", .help = "until it is given up" },
    { .name = "miss_budget", .kind = SCHEMA_NUMBER, .note = "500",
      .help = "extra reads per second that the database can take" },
    { .name = NULL } };

static const struct schema_row freeze_rows[] = {
    { .name = "days", .kind = SCHEMA_LIST, .element = SCHEMA_TEXT, .note = "every day",
      .help = "mon to sun" },
    { .name = "from", .kind = SCHEMA_TEXT, .note = "00:00", .help = "time of day" },
    { .name = "to", .kind = SCHEMA_TEXT, .note = "24:00", .help = "time of day" },
    { .name = "zone", .kind = SCHEMA_TEXT, .note = "UTC", .help = "time zone" },
    { .name = NULL } };

static const struct schema_row rollout_rows[] = {
    { .name = "name", .kind = SCHEMA_NAME, .flags = SCHEMA_REQUIRED, .low = 1,
      .high = NAME_MAX_LENGTH, .help = "what the rollout is called",
      FIELD(struct config_rollout, name) },
    { .name = "from", .kind = SCHEMA_ARM, .flags = SCHEMA_REQUIRED, .help = "the stable arm",
      FIELD(struct config_rollout, from) },
    { .name = "to", .kind = SCHEMA_ARM, .flags = SCHEMA_REQUIRED, .help = "the candidate arm",
      FIELD(struct config_rollout, to) },
    { .name = "salt", .kind = SCHEMA_TEXT, .flags = SCHEMA_REQUIRED, .low = 1, .high = 256,
      .help = "makes this rollout's buckets its own; keep it until the rollout is over",
      FIELD(struct config_rollout, salt) },
    { .name = "identity", .kind = SCHEMA_LIST, .element = SCHEMA_IDENTITY, .standard = "[]",
      .high = 16, .help = "who a request is from; the first that it has counts",
      ARRAY(struct config_rollout, identities, identity_count) },
    /* Before whatever may name one of them. */
    { .name = "lists", .kind = SCHEMA_NAMED, .standard = "{}", .rows = match_rows,
      .high = LIST_MAX, .help = "lists that allow and deny can name",
      .element_size = sizeof(struct config_match) },
    { .name = "allow", .kind = SCHEMA_MATCHES, .standard = "[]", .rows = match_rows,
      .high = LIST_MAX, .help = "always on the candidate while the rollout runs",
      ARRAY(struct config_rollout, allow, allow_count) },
    { .name = "deny", .kind = SCHEMA_MATCHES, .standard = "[]", .rows = match_rows,
      .high = LIST_MAX, .help = "always on the stable arm",
      ARRAY(struct config_rollout, deny, deny_count) },
    { .name = "stages", .kind = SCHEMA_LIST, .flags = SCHEMA_REQUIRED, .rows = stage_rows,
      .low = 1, .high = 100, .help = "the stages, in order, each adding to those before",
      ARRAY(struct config_rollout, stages, stage_count) },
    { .name = "judge", .kind = SCHEMA_SECTION, .flags = SCHEMA_LATER, .rows = judge_rows,
      .help = "when the rollout aborts by itself" },
    { .name = "proof", .kind = SCHEMA_SECTION, .flags = SCHEMA_LATER, .rows = proof_rows,
      .help = "what it takes to advance by itself" },
    { .name = "warmth", .kind = SCHEMA_SECTION, .flags = SCHEMA_LATER, .rows = warmth_rows,
      .help = "waiting for the candidate's cache" },
    { .name = "gates", .kind = SCHEMA_LIST, .flags = SCHEMA_LATER, .standard = "[]",
      .rows = gate_rows, .help = "what has to hold before any next stage" },
    { .name = "freeze", .kind = SCHEMA_LIST, .flags = SCHEMA_LATER, .standard = "[]",
      .rows = freeze_rows, .help = "when no stage advances" },
    { .name = NULL } };

static const struct schema_row socket_rows[] = {
    { .name = "path", .kind = SCHEMA_PATH, .flags = SCHEMA_REQUIRED, .high = VALUE_UNIX_PATH_MAX,
      .help = "the unix socket", FIELD(struct config_control_socket, path) },
    { .name = "level", .kind = SCHEMA_CHOICE, .standard = "read", .choices = levels,
      .help = "what may be done through it", FIELD(struct config_control_socket, level) },
    { .name = "mode", .kind = SCHEMA_MODE, .standard = "0600", .help = "its permissions",
      FIELD(struct config_control_socket, mode) },
    { .name = NULL } };

static const struct schema_row control_rows[] = {
    { .name = "sockets", .kind = SCHEMA_LIST, .rows = socket_rows, .high = 16,
      .note = "/run/crossfade/control.sock, admin, 0600", .help = "where crossfadectl connects",
      ARRAY(struct config_control, sockets, socket_count) },
    { .name = "http", .kind = SCHEMA_ADMIN, .standard = "127.0.0.1:9911",
      .help = "metrics and health; off to close", FIELD(struct config_control, http) },
    { .name = NULL } };

static const struct schema_row log_rows[] = {
    { .name = "level", .kind = SCHEMA_CHOICE, .standard = "info", .choices = log_levels,
      .help = "what is logged", FIELD(struct config_process, log_level) },
    { .name = "format", .kind = SCHEMA_CHOICE, .standard = "text", .choices = log_formats,
      .help = "lines for people or for programs", FIELD(struct config_process, log_json) },
    { .name = NULL } };

static const struct schema_row resolve_rows[] = {
    { .name = "interval", .kind = SCHEMA_DURATION, .standard = "30s", .high = DAY,
      .help = "between two look-ups of a name; 0: only when what it names cannot be reached",
      FIELD(struct config_process, resolve_interval) },
    { .name = "at_start", .kind = SCHEMA_CHOICE, .standard = "required",
      .choices = resolve_at_start, .help = "whether a name has to resolve for the daemon to start",
      FIELD(struct config_process, resolve_optional) },
    { .name = NULL } };

static const struct schema_row process_rows[] = {
    { .name = "workers", .kind = SCHEMA_WORKERS, .flags = SCHEMA_RESTART, .standard = "auto",
      .low = 1, .high = 256, .help = "threads that carry traffic; auto: one for each core",
      FIELD(struct config_process, workers) },
    { .name = "user", .kind = SCHEMA_TEXT, .flags = SCHEMA_RESTART | SCHEMA_OFF, .standard = "",
      .high = 32, .help = "who to become after the sockets are open; \"\": stay",
      FIELD(struct config_process, user) },
    { .name = "state_dir", .kind = SCHEMA_PATH, .flags = SCHEMA_RESTART,
      .standard = "/var/lib/crossfade", .high = 1024,
      .help = "rollout state and audit log", FIELD(struct config_process, state_dir) },
    { .name = "drain_timeout", .kind = SCHEMA_DURATION, .standard = "30s", .high = DAY,
      .help = "how long a stop waits for what is under way",
      FIELD(struct config_process, drain_timeout) },
    { .name = "resolve", .kind = SCHEMA_SECTION, .rows = resolve_rows,
      .help = "the names of servers and backends" },
    { .name = "log", .kind = SCHEMA_SECTION, .rows = log_rows, .help = "the log" },
    { .name = NULL } };

static const struct schema_row fleet_rows[] = {
    { .name = "etcd", .kind = SCHEMA_LIST, .element = SCHEMA_TEXT, .note = "none",
      .help = "the etcd servers' URLs" },
    { .name = "prefix", .kind = SCHEMA_TEXT, .note = "/crossfade", .help = "of all keys there" },
    { .name = "tls", .kind = SCHEMA_SECTION, .rows = tls_rows, .help = "TLS towards them" },
    { .name = "user", .kind = SCHEMA_TEXT, .note = "none", .help = "who to be there" },
    { .name = "password_file", .kind = SCHEMA_PATH, .note = "none", .help = "its password" },
    { .name = NULL } };

static const struct schema_row root_rows[] = {
    /* Before whatever may name one of them. */
    { .name = "arms", .kind = SCHEMA_LIST, .flags = SCHEMA_REQUIRED, .rows = arm_rows, .low = 1,
      .high = CONFIG_ARMS_MAX, .help = "the versions of the application that run at once",
      ARRAY(struct config, arms, arm_count) },
    { .name = "cache", .kind = SCHEMA_SECTION, .flags = SCHEMA_OPTIONAL, .rows = cache_rows,
      .help = "the cache plane: memcache clients to memcached servers",
      FIELD(struct config, cache), .present_offset = offsetof(struct config_cache, present) },
    { .name = "web", .kind = SCHEMA_SECTION, .flags = SCHEMA_OPTIONAL, .rows = web_rows,
      .help = "the web plane: HTTP clients to the arms' backends",
      FIELD(struct config, web), .present_offset = offsetof(struct config_web, present) },
    { .name = "rollout", .kind = SCHEMA_SECTION, .flags = SCHEMA_OPTIONAL, .rows = rollout_rows,
      .help = "who goes to which arm",
      FIELD(struct config, rollout), .present_offset = offsetof(struct config_rollout, present) },
    { .name = "control", .kind = SCHEMA_SECTION, .rows = control_rows,
      .help = "how the daemon is watched and steered", FIELD(struct config, control) },
    { .name = "process", .kind = SCHEMA_SECTION, .rows = process_rows,
      .help = "the daemon itself", FIELD(struct config, process) },
    { .name = "fleet", .kind = SCHEMA_SECTION, .flags = SCHEMA_LATER, .rows = fleet_rows,
      .help = "many machines, agreed through etcd" },
    { .name = NULL } };

/* clang-format on */

const struct schema_row *schema_root(void)
{
    return root_rows;
}

struct walk {
    schema_each each;
    void *context;
    char path[256];
};

static void walk_rows(struct walk *walk, const struct schema_row *rows, size_t len)
{
    for (const struct schema_row *row = rows; row->name != NULL; row++) {
        const char *below = row->kind == SCHEMA_LIST || row->kind == SCHEMA_MATCHES ? "[]"
                            : row->kind == SCHEMA_NAMED                             ? ".NAME[]"
                                                                                    : "";
        size_t end = len + (size_t)snprintf(walk->path + len, sizeof(walk->path) - len, "%s%s",
                                            len > 0 ? "." : "", row->name);
        walk->each(walk->context, walk->path, row);
        if (row->rows != NULL) {
            end += (size_t)snprintf(walk->path + end, sizeof(walk->path) - end, "%s", below);
            walk_rows(walk, row->rows, end);
        }
    }
}

void schema_walk(schema_each each, void *context)
{
    struct walk walk = { .each = each, .context = context, .path = "" };

    walk_rows(&walk, root_rows, 0);
}
