/*
 * What the data planes count. Each module that counts declares its block and table here beside the
 * others' so that the control plane finds them all; a block exists once for each worker and name.
 */
#ifndef CROSSFADE_RELAY_TELEMETRY_H
#define CROSSFADE_RELAY_TELEMETRY_H

#include "crossfade/base/counter.h"
#include "crossfade/base/histogram.h"
#include "crossfade/base/note.h"
#include "crossfade/route/misses.h"

/* How a worker fares with a server or backend; for `show`, and not in the tables. */
struct reach {
    counter failures; /* in a row; 0: it is up */
    counter retry_at; /* monotonic microseconds: when it is tried next, if it is down */
    struct note last_error;
};

/* Cache plane, by arm. */
struct mc_arm_cell {
    counter connections_current;
    counter connections_total;
    counter commands; /* all, whatever their answer */
    counter gets;     /* keys asked for */
    counter lookups;  /* of these, such as no server has (relay/mc_lookup.h) */
    counter hits;
    counter misses;
    counter sets;
    counter sets_as_fill;     /* by a recent miss or a rule */
    counter sets_as_mutation; /* others of isolated keys */
    counter deletes;
    counter delete_hits;
    counter delete_misses;
    counter flushes; /* flush_all that began a new generation, or will */
    counter touches;
    counter touch_hits;
    counter touch_misses;
    counter cas_hits;
    counter cas_misses;
    counter cas_badval;
    counter incr_hits;
    counter incr_misses;
    counter decr_hits;
    counter decr_misses;
    counter companions;        /* deletes sent to other namespaces */
    counter companions_failed; /* the client was told SERVER_ERROR */
    /* Epoch mode: */
    counter stale_refused;  /* values that another version, or this one, had made obsolete */
    counter epochs_absent;  /* reads that found no epoch item */
    counter epochs_made;    /* epoch items that a read has made */
    counter fills_refused;  /* sets and adds not kept: what they were read for may be obsolete */
    counter told_mutations; /* new tokens: written by sets, */
    counter told_deletes;   /* by deletes */
    counter told_changes;   /* and by append, incr, cas and the like */
    counter change_rounds;  /* of these: begun again because another was faster */
    counter changes_given_up;
    counter noreply_failed; /* a noreply command that the server did not confirm */
    counter refused;        /* client errors: syntax, keys, values */
    counter guarded;        /* of these: values that the guard of a rule has refused */
    counter failed;         /* SERVER_ERROR or a miss because of a server */
    counter bytes_read;
    counter bytes_written;
    struct histogram latency; /* from the command to its reply */
};
extern const struct metric mc_arm_metrics[];

/* Cache plane, by memcached server. */
struct mc_server_cell {
    counter up;      /* gauge: connections that are usable */
    counter down;    /* gauge: workers that hold it for down at present */
    counter drained; /* gauge: workers that send it nothing, as the operator wishes */
    counter waiting; /* gauge: requests sent or queued, without their reply */
    counter requests;
    counter batched_keys; /* keys that shared a get with others */
    counter turned_away;  /* requests refused because too much was waiting */
    counter connects;
    counter connect_failures;
    counter tls_handshakes;
    counter tls_resumed;    /* of these: with an earlier session */
    counter tls_failures;   /* of the connect_failures: in the handshake */
    counter login_failures; /* server_login was refused, or not answered */
    counter timeouts;
    counter protocol_errors; /* doubt: the connection was closed */
    counter closed_by_server;
    counter bytes_read;
    counter bytes_written;
    /* What the process owes it (relay/mc_journal.h), set by worker 0: */
    counter journal_pending; /* gauge: entries */
    counter journal_oldest;  /* gauge: the age of the oldest, seconds */
    counter journal_floor;   /* gauge: seconds since 1970, or 0 */
    counter journal_entries;
    counter journal_replayed;
    counter journal_failures;
    counter journal_dropped;
    counter journal_overflows;
    counter fences; /* gauge */
    struct reach reach;
};
extern const struct metric mc_server_metrics[];

/* By listener that has TLS. */
struct tls_cell {
    counter handshakes;          /* done */
    counter resumed;             /* of these: with an earlier session */
    counter failed;              /* begun, and not done */
    counter connections;         /* gauge */
    counter certificate_expires; /* gauge: seconds since 1970; set by worker 0 */
};
extern const struct metric tls_metrics[];

/* Cache plane, by listener: who has come in, and who has not. */
struct mc_listener_cell {
    counter connections_total;
    counter strangers;        /* gauge: connected, and without an arm yet */
    counter refused;          /* no entry of arms matched */
    counter logins;           /* that were right */
    counter logins_known;     /* of them: verified before, no hash was made */
    counter logins_failed;    /* user or password wrong, malformed */
    counter logins_throttled; /* of them: not looked at, too many failed */
    counter logins_given_up;  /* closed because nobody logged in in time */
};
extern const struct metric mc_listener_metrics[];

/* Web plane, by arm. */
struct http_arm_cell {
    counter requests;
    counter responses_2xx;
    counter responses_3xx;
    counter responses_4xx;
    counter responses_5xx; /* by the application or by us for it */
    counter connect_errors;
    counter timeouts;
    counter resets;    /* closed or broken in mid-response */
    counter fallbacks; /* failed here, answered by stable */
    counter anonymous; /* routed without any identity */
    counter issued;    /* identities given out */
    counter active;    /* gauge: requests under way */
    struct histogram latency;
};
extern const struct metric http_arm_metrics[];

/* Web plane, by backend address. */
struct http_backend_cell {
    counter active; /* gauge */
    counter idle;   /* gauge: pooled connections */
    counter requests;
    counter connects;
    counter connect_failures;
    counter timeouts;
    counter protocol_errors;
    counter down; /* gauge: workers that hold it for down at present */
    struct reach reach;
};
extern const struct metric http_backend_metrics[];

/* By the name of a server or backend that is looked up; counted by the main thread. */
struct name_cell {
    counter lookups;
    counter lookup_failures;
    counter address_changes;
};
extern const struct metric name_metrics[];

/* One for each worker (cells with the single name "worker"). */
struct worker_cell {
    counter turns;
    counter memory_buffers; /* gauge, bytes */
    counter cache_clients;  /* gauge */
    counter logins_waiting; /* gauge: with the login thread */
    counter web_clients;    /* gauge */
    counter web_accepted;
    counter web_refused;      /* over the connection limit, or no descriptors */
    counter web_bad_requests; /* 400, 408, 413, 414, 431 and the like, before an arm was chosen */
    counter snapshot_generation; /* gauge: the snapshot that this worker serves */
    struct misses_counts misses;
};
extern const struct metric worker_metrics[];

struct telemetry {
    uint64_t started; /* wall clock, microseconds */
    struct cells *mc_arms;
    struct cells *mc_listeners;
    struct cells *mc_servers;
    struct cells *tls; /* named by the listener's address */
    struct cells *http_arms;
    struct cells *http_backends; /* named "<arm> <address>" */
    struct cells *names;         /* of one "worker", the main thread */
    struct cells *workers;
};

/* It failed for the nth time in a row, and is tried again at `retry_at`; reason: why. Or: it is up.
 */
void reach_failed(struct reach *reach, uint64_t failures, uint64_t retry_at, const char *reason);
void reach_ok(struct reach *reach);

/* NULL without memory. */
struct telemetry *telemetry_create(unsigned workers);
void telemetry_destroy(struct telemetry *telemetry);

#endif
