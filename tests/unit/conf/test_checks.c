#include "loading.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define CACHE_LINE "cache: { listen: [ { address: \"h:1\", arm: a } ], servers: [ \"h:2\" ] }\n"

Test(checks, arms_and_their_namespaces_are_apart)
{
    expect_fault("arms: [ { name: a }, { name: b }, { name: a } ]\n" CACHE_LINE, 1, 43,
                 "arms[2].name is a, as the arm on line 1");
    expect_fault("arms: [ { name: a }, { name: b, namespace: a } ]\n" CACHE_LINE, 1, 44,
                 "arms[1].namespace is a, as that of the arm a");
    expect_fault("arms:\n"
                 "  - { name: a, namespace: \"\" }\n"
                 "  - { name: b, namespace: \"\" }\n" CACHE_LINE,
                 3, 27, "only one arm's keys can go without a prefix");
    expect_fault("arms: [ { name: a, namespace: \"a.1:\" } ]\n" CACHE_LINE, 1, 31,
                 "letters, digits, _ and - only");
    expect_fault(
        "arms: [ { name: a, namespace: "
        "12345678901234567890123456789012345678901234567890123456789012345 } ]\n" CACHE_LINE,
        1, 31, "65 bytes long; at most 64");
    setenv("CROSSFADE_TEST", "x", 1);
    expect_fault("arms: [ { name: a, namespace: \"${CROSSFADE_TEST}\" } ]\n" CACHE_LINE, 1, 31,
                 "give cache.coherence: epoch, or write a fixed name");
    expect_fault("arms: [ { name: a, backends: [ \"h:5\", \"i:5\", \"H:5\" ] } ]\n" CACHE_LINE, 1,
                 46, "is H:5 again, which is arms[0].backends[0] already");
}

#define EPOCH_CACHE                                                                                \
    "cache:\n"                                                                                     \
    "  listen: [ { address: \"h:1\", arm: a } ]\n"                                                 \
    "  servers: [ \"h:2\" ]\n"                                                                     \
    "  coherence: epoch\n"

Test(checks, a_namespace_of_each_release_wants_epochs_for_all_isolated_keys)
{
    struct config_faults faults;
    struct config *config;
    const char *text = "arms: [ { name: a, namespace: \"w-${CROSSFADE_TEST}\" } ]\n" EPOCH_CACHE
                       "  keys: [ { match: \"l:*\", scope: shared }, { match: \"k\" } ]\n";

    setenv("CROSSFADE_TEST", "x", 1);
    config = config_load_text("t", text, strlen(text), &faults);
    cr_assert_not_null(config, "%s", faults.faults[0].text);
    config_faults_free(&faults);
    cr_expect(config->cache.has_epoch);
    cr_expect_eq(config->cache.rules[0].coherence, COHERENCE_NONE);
    cr_expect_eq(config->cache.rules[1].coherence, COHERENCE_EPOCH);
    cr_expect_eq(config->cache.fill_window, 30 * 1000000ull);
    cr_expect_eq(config->cache.reserved_keys, RESERVED_KEYS_HASH, "older names are known no more");
    config_free(config);
    expect_fault("arms: [ { name: a, namespace: \"w-${CROSSFADE_TEST}\" } ]\n" EPOCH_CACHE
                 "  keys: [ { match: k, coherence: fanout } ]\n",
                 6, 34, "would miss entries of older releases");
    expect_fault("arms: [ { name: a, namespace: \"w-${CROSSFADE_TEST}\" } ]\n" EPOCH_CACHE
                 "  keys: [ { match: k, coherence: none } ]\n",
                 6, 34, "or give all arms fixed names");
    expect_fault("arms: [ { name: a } ]\n" EPOCH_CACHE "  fill_window: 999ms\n", 6, 16, "1s");
    text = "arms: [ { name: a } ]\n" EPOCH_CACHE
           "  reserved_keys: keep\n  keys: [ { match: k, coherence: fanout } ]\n";
    config = config_load_text("t", text, strlen(text), &faults);
    cr_assert_not_null(config, "%s", faults.faults[0].text);
    config_faults_free(&faults);
    cr_expect_eq(config->cache.reserved_keys, RESERVED_KEYS_KEEP);
    config_free(config);
}

Test(checks, addresses_are_used_once)
{
    expect_fault("arms: [ { name: a } ]\n"
                 "cache:\n"
                 "  listen:\n"
                 "    - { address: \"h:1\", arm: a }\n"
                 "    - { address: \"h:1\", arm: a }\n"
                 "  servers: [ \"h:2\" ]\n",
                 5, 18, "is h:1, which cache.listen[0].address listens on already");
    expect_fault("arms: [ { name: a, backends: [ \"h:9\" ] } ]\n" CACHE_LINE
                 "web: { listen: [ { address: \"h:1\" } ] }\n",
                 3, 29, "which cache.listen[0].address listens on");
    expect_fault("arms: [ { name: a } ]\n" CACHE_LINE "control: { http: \"h:1\" }\n", 3, 18,
                 "control.http is h:1");
    expect_fault("arms: [ { name: a } ]\n"
                 "cache: { listen: [ { address: \"unix:/s\", arm: a } ], servers: [ \"h:2\" ] }\n"
                 "control: { sockets: [ { path: /s } ] }\n",
                 3, 31, "control.sockets[0].path is /s");
    expect_fault(
        "arms: [ { name: a } ]\n"
        "cache: { listen: [ { address: \"h:1\", arm: a } ], servers: [ \"h:2\", \"h:2:3\" ] }\n",
        2, 68, "cache.servers[1] is h:2 again");
    expect_fault("arms: [ { name: a } ]\n"
                 "cache: { listen: [ { address: \"h:1\", arm: a, mode: \"0600\" } ], servers: [ "
                 "\"h:2\" ] }\n",
                 2, 52, "is for unix sockets");
    expect_fault("arms: [ { name: a } ]\n"
                 "cache: { listen: [ { address: \"h:1\", arm: a } ], servers: [ { address: "
                 "\"h:2:3\", weight: 4 } ] }\n",
                 2, 72, "has a weight, and so has the key weight");
}

Test(checks, the_admin_address_is_a_port)
{
    expect_fault("arms: [ { name: a } ]\n" CACHE_LINE "control: { http: \"unix:/run/a\" }\n", 3, 18,
                 "control.http \"unix:/run/a\" is a unix socket; write host:port, or off");
}

Test(checks, rules_can_be_reached)
{
    char text[1024];
    static const struct {
        const char *rules;
        const char *part; /* NULL: fine */
    } cases[] = {
        { "{ match: \"a*\" }, { match: \"ab\" }", "cache.keys[1].match is never reached: a*" },
        { "{ match: \"a*\" }, { match: \"ab*\" }", "cache.keys[1].match is never reached: a*" },
        { "{ match: \"*\" }, { match: \"b\" }", "cache.keys[1].match is never reached: *" },
        { "{ match: \"a\" }, { match: \"a\" }", "cache.keys[1].match is never reached: a " },
        { "{ match: \"a\" }, { match: \"a*\" }", NULL },
        { "{ match: \"ab*\" }, { match: \"a*\" }, { match: \"b*\" }", NULL },
        { "{ match: \"a*b\" }", "a * that is not at its end" },
        { "{ match: \"a b\" }", "white space" },
        { "{ match: \"\" }", "is empty" },
        { "{ match: a, scope: shared, coherence: none }", "no meaning for a shared key" },
        { "{ match: a, scope: shared, writes: fill }", "no meaning for a shared key" },
        { "{ match: a, guard: true }", "cache.keys[0].guard is for shared keys" },
        { "{ match: a, scope: shared, guard: true }", "give cache.client_profile: python" },
        { "{ match: a, guard: false }", NULL },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        (void)snprintf(text, sizeof(text), "%s  keys: [ %s ]\n", base_text, cases[i].rules);
        if (cases[i].part != NULL)
            expect_fault_among(text, 7, cases[i].part);
        else
            config_free(load_good(text, ""));
    }
}

Test(checks, a_guard_knows_python_s_values)
{
    static const char *const profiles[] = { "python", "php", "ruby", "perl", "none" };
    char text[1024];

    for (size_t i = 0; i < sizeof(profiles) / sizeof(profiles[0]); i++) {
        (void)snprintf(
            text, sizeof(text),
            "%s  client_profile: %s\n  keys: [ { match: a, scope: shared, guard: true } ]\n",
            base_text, profiles[i]);
        if (i > 0)
            expect_fault_among(text, 8, "give cache.client_profile: python");
        else
            config_free(load_good(text, ""));
    }
}

Test(checks, stages_only_go_up)
{
    char text[2048];

    (void)snprintf(text, sizeof(text), "%s%s", rollout_text,
                   "    - { name: a, percent: 20 }\n"
                   "    - { name: b }\n"
                   "    - { name: c, percent: 19.9999 }\n");
    expect_fault(text, 15, 27, "is 19.9999, below the 20 of the stage a before it");
    (void)snprintf(text, sizeof(text), "%s%s", rollout_text,
                   "    - { name: a, percent: 20 }\n"
                   "    - { name: a, percent: 30 }\n");
    expect_fault(text, 14, 15, "as an earlier stage is called");
    (void)snprintf(text, sizeof(text), "%s%s", rollout_text,
                   "    - { name: a, allow: [ employes ] }\n");
    expect_fault(text, 13, 27,
                 "\"employes\" is no list under rollout.lists; did you mean employees?");
}

static void with_rollout(const char *lines, unsigned line, unsigned column, const char *part)
{
    char text[2048];

    (void)snprintf(
        text, sizeof(text),
        "arms: [ { name: a, backends: [ \"h:1\" ] }, { name: b, backends: [ \"h:2\" ] } ]\n"
        "web: { listen: [ { address: \"h:3\" } ] }\n"
        "rollout:\n"
        "  name: r\n"
        "%s",
        lines);
    expect_fault(text, line, column, part);
}

Test(checks, a_rollout_says_who_and_where)
{
    with_rollout("  salt: s\n  from: a\n  to: a\n  stages: [ { name: x } ]\n", 7, 7,
                 "is the same arm as rollout.from");
    with_rollout("  salt: s\n  from: a\n  to: c\n  stages: [ { name: x } ]\n", 7, 7, "is no arm");
    with_rollout("  salt: \"\"\n  from: a\n  to: b\n  stages: [ { name: x } ]\n", 5, 9, "is empty");
    with_rollout("  from: a\n  to: b\n  stages: [ { name: x } ]\n", 4, 3,
                 "rollout.salt is missing");
    with_rollout("  salt: s\n  from: a\n  to: b\n  stages: []\n", 8, 11, "at least 1 entry");
    with_rollout("  salt: s\n  from: a\n  to: b\n  stages: [ { name: x, percent: 1 } ]\n", 8, 33,
                 "needs to know who a request is from");
}

Test(checks, nothing_is_behind_an_identity_that_all_have)
{
    static const char rest[] = "  salt: s\n  from: a\n  to: b\n  stages: [ { name: x } ]\n";
    char lines[512];

    (void)snprintf(lines, sizeof(lines), "  identity: [ \"issue:i\", \"cookie:c\" ]\n%s", rest);
    with_rollout(lines, 5, 15, "put it last");
    (void)snprintf(lines, sizeof(lines), "  identity: [ \"ip\", \"issue:i\" ]\n%s", rest);
    with_rollout(lines, 5, 15, "put it last");
    (void)snprintf(lines, sizeof(lines), "  identity: [ \"cookie:c\", \"cookie:c\" ]\n%s", rest);
    with_rollout(lines, 5, 27, "is there twice");
    (void)snprintf(lines, sizeof(lines), "  identity: [ \"cookies:c\" ]\n%s", rest);
    with_rollout(lines, 5, 15, "did you mean cookie?");
    (void)snprintf(lines, sizeof(lines), "  identity: [ \"header:X_User\" ]\n%s", rest);
    with_rollout(lines, 5, 15, "a header field with _");
    (void)snprintf(lines, sizeof(lines), "  identity: [ \"token:t\" ]\n%s", rest);
    with_rollout(lines, 5, 15, "is not available in this version");
    (void)snprintf(lines, sizeof(lines), "  identity: [ \"cookie:\" ]\n%s", rest);
    with_rollout(lines, 5, 15, "write cookie:NAME");
}

Test(checks, the_web_plane_knows_where_to_send)
{
    static const char web[] = "web: { listen: [ { address: \"h:3\" } ] }\n";
    char text[512];

    (void)snprintf(text, sizeof(text), "arms: [ { name: a } ]\n%s", web);
    expect_fault(text, 2, 6, "has nowhere to send requests");
    (void)snprintf(
        text, sizeof(text),
        "arms: [ { name: a, backends: [ \"h:1\" ] }, { name: b, backends: [ \"h:2\" ] } ]\n%s",
        web);
    expect_fault(text, 2, 6, "cannot tell which arm");
    (void)snprintf(text, sizeof(text),
                   "arms: [ { name: a, backends: [ \"h:1\" ] }, { name: b } ]\n%s", web);
    config_free(load_good(text, ""));
    (void)snprintf(text, sizeof(text),
                   "arms: [ { name: a, backends: [ \"h:1\" ] }, { name: b } ]\n%s"
                   "rollout: { name: r, from: a, to: b, salt: s, stages: [ { name: x } ] }\n",
                   web);
    expect_fault(text, 3, 34, "is the arm b, which has no backends");
}

Test(checks, there_is_something_to_do)
{
    expect_fault("arms: [ { name: a } ]\n", 1, 7, "add a cache section, a web section or both");
}

#define LISTEN "arms: [ { name: a }, { name: b } ]\ncache:\n  servers: [ \"h:2\" ]\n  listen:\n"

Test(checks, clients_of_a_listener_are_known_by_one_thing_each)
{
    expect_fault(LISTEN "    - { address: \"h:1\" }\n", 5, 7,
                 "cache.listen[0].arm is missing; say whose clients connect here");
    expect_fault(LISTEN "    - { address: \"h:1\", arms: [ { user: x, arm: a } ] }\n", 5, 41,
                 "is never known here, as nobody logs in; give the listener sasl: FILE");
    expect_fault(LISTEN "    - { address: \"h:1\", arms: [ { certificate: x, arm: a } ] }\n", 5, 48,
                 "is never known here, as nobody shows one; give the listener tls with client_ca");
    expect_fault(LISTEN "    - address: \"h:1\"\n"
                        "      tls: { certificate: /c }\n"
                        "      arms: [ { certificate: x, arm: a } ]\n",
                 7, 30,
                 "is never known here, as nobody shows one; give the listener tls with client_ca");
    expect_fault(LISTEN "    - { address: \"h:1\", arms: [ { uid: 7, arm: a } ] }\n", 5, 40,
                 "is not known of a client on a TCP port");
    expect_fault(LISTEN "    - { address: \"h:1\", arms: [ { executable: /bin/x, arm: a } ] }\n", 5,
                 47, "is not known of a client on a TCP port");
    expect_fault(LISTEN "    - { address: \"unix:/s\", arms: [ { arm: a } ] }\n", 5, 37,
                 "says nothing about the client; give one of user, certificate, uid");
    expect_fault(LISTEN
                 "    - { address: \"unix:/s\", arms: [ { uid: 7, executable: /x, arm: a } ] }\n",
                 5, 37, "has several tests; make an entry of its own for each");
    expect_fault(LISTEN "    - { address: \"unix:/s\", arms: [ { uid: 7, arm: c } ] }\n", 5, 52,
                 "\"c\" is no arm");
    expect_fault(LISTEN "    - { address: \"unix:/s\", arms: [ { uid: 7 } ] }\n", 5, 37,
                 "cache.listen[0].arms[0].arm is missing");
    expect_fault(LISTEN "    - { address: \"unix:/s\", arms: [ { uid: root, arm: a } ] }\n", 5, 44,
                 "is no number of a user; ask for it with id -u NAME");
    expect_fault(LISTEN "    - { address: \"unix:/s\", arms: [ { uid: 4294967295, arm: a } ] }\n",
                 5, 44, "at most 4294967294");
    expect_fault(LISTEN "    - address: \"unix:/s\"\n"
                        "      arms:\n"
                        "        - { uid: 7, arm: a }\n"
                        "        - { executable: \"*\", arm: a }\n",
                 8, 25, "is no absolute path");
    expect_fault(LISTEN "    - address: \"unix:/s\"\n"
                        "      sasl: /users\n"
                        "      arms:\n"
                        "        - { user: \"*\", arm: a }\n"
                        "        - { user: \"web*\", arm: b }\n",
                 9, 11, "is never reached: an entry above it matches the same clients");
}

Test(checks, clients_of_a_listener_may_be_known_by_many_things)
{
    struct config_faults faults;
    static const char text[] = LISTEN "    - address: \"unix:/s\"\n"
                                      "      sasl: /users\n"
                                      "      arms:\n"
                                      "        - { user: \"web3-*\", arm: b }\n"
                                      "        - { uid: 0, arm: a }\n"
                                      "        - { executable: \"/usr/bin/python3*\", arm: b }\n"
                                      "    - { address: \"h:1\", arm: a, sasl: /users }\n";
    struct config *config = config_load_text("t", text, strlen(text), &faults);

    cr_assert_not_null(config);
    const struct config_listener *listener = &config->cache.listeners[0];
    cr_assert_eq(listener->arm, CONFIG_NO_ARM);
    cr_assert_eq(listener->client_count, 3);
    cr_assert_eq(listener->clients[0].test, CLIENT_USER);
    cr_assert_eq(listener->clients[0].arm, 1);
    cr_assert_eq(listener->clients[1].test, CLIENT_UID);
    cr_assert_eq(listener->clients[1].uid, 0);
    cr_assert_eq(listener->clients[2].test, CLIENT_EXECUTABLE);
    cr_assert_str_eq(listener->clients[2].executable, "/usr/bin/python3*");
    cr_assert_eq(config->cache.listeners[1].arm, 0);
    cr_assert_str_eq(config->cache.listeners[1].sasl, "/users");
    config_free(config);
    config_faults_free(&faults);
}
