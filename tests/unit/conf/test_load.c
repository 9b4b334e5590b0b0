#include "loading.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

Test(load, fills_every_field_that_is_given)
{
    struct config *config = load_good(
        "arms:\n"
        "  - name: py2\n"
        "    namespace: \"\"\n"
        "    backends: [ \"127.0.0.1:8002:3\", { address: \"unix:/run/a.sock\", weight: 5 } ]\n"
        "  - { name: py3, backends: [ \"[::1]:8003\" ] }\n"
        "cache:\n"
        "  listen:\n"
        "    - { address: \"127.0.0.1:11212\", arm: py2 }\n"
        "    - { address: \"unix:/run/c.sock\", arm: py3, mode: \"0660\" }\n"
        "  servers: [ \"a:1:2\", \"b:2\" ]\n"
        "  distribution: modula\n"
        "  hash: murmur\n"
        "  hash_tag: \"{}\"\n"
        "  connections_per_server: 4\n"
        "  timeouts: { connect: 10ms, request: 2s, idle: 1h }\n"
        "  on_failure: error\n"
        "  max_value: 8m\n"
        "  long_keys: refuse\n"
        "  flush_all: refuse\n"
        "  coherence: none\n"
        "  recent_misses: 1024\n"
        "  client_profile: php\n"
        "  keys:\n"
        "    - { match: \"lock:*\", scope: shared }\n"
        "    - { match: one, coherence: fanout, writes: fill }\n"
        "    - { match: \"*\" }\n",
        "web:\n"
        "  listen: [ { address: \"0.0.0.0:8080\" } ]\n"
        "  timeouts: { client_idle: 1s, request_head: 2s, connect: 3s, response: 4s }\n"
        "  limits: { head: 2k, headers: 20, body: 0, connections: 9 }\n"
        "  balance: round_robin\n"
        "  fallback: { to_stable: false, budget: 0 }\n"
        "  arm_header: false\n"
        "rollout:\n"
        "  name: r\n"
        "  from: py3\n"
        "  to: py2\n"
        "  salt: \"s\\u00e9\"\n"
        "  identity: [ \"header:X-User\", \"query:u\", ip ]\n"
        "  deny: [ { header: X-Bot, cookie: \"a=b=c\", from: [ 10.0.0.0/8, \"::1\" ] } ]\n"
        "  stages: [ { name: one, percent: 0.0001, bake: 1d, on_fail: hold } ]\n"
        "control:\n"
        "  sockets: [ { path: /run/x.sock, level: operate, mode: \"0666\" }, { path: /run/y.sock } "
        "]\n"
        "  http: off\n"
        "process:\n"
        "  workers: 3\n"
        "  user: nobody\n"
        "  state_dir: /srv/state\n"
        "  drain_timeout: 5s\n"
        "  log: { level: debug, format: json }\n");
    const struct config_cache *cache = &config->cache;
    const struct config_web *web = &config->web;
    const struct config_rollout *rollout = &config->rollout;

    cr_expect_str_eq(config->file, "test.yaml");
    cr_expect_eq(config->arm_count, 2);
    cr_expect_str_eq(config->arms[0].namespace, "");
    cr_expect_str_eq(config->arms[0].backends[0].endpoint.text, "127.0.0.1:8002");
    cr_expect_eq(config->arms[0].backends[0].weight, 3);
    cr_expect_str_eq(config->arms[0].backends[1].endpoint.path, "/run/a.sock");
    cr_expect_null(config->arms[0].backends[1].endpoint.host);
    cr_expect_eq(config->arms[0].backends[1].weight, 5);
    cr_expect_str_eq(config->arms[1].namespace, "py3");
    cr_expect_str_eq(config->arms[1].backends[0].endpoint.host, "::1");
    cr_expect_eq(config->arms[1].backends[0].endpoint.port, 8003);
    cr_expect_eq(config->arms[1].backends[0].weight, 1);
    cr_expect_eq(config_arm_index(config, SLICE("py3")), 1);
    cr_expect_eq(config_arm_index(config, SLICE("py")), -1);

    cr_expect(cache->present);
    cr_expect_eq(cache->listener_count, 2);
    cr_expect_eq(cache->listeners[0].mode, -1);
    cr_expect_eq(cache->listeners[1].mode, 0660);
    cr_expect_eq(cache->listeners[1].arm, 1);
    cr_expect_eq(cache->server_count, 2);
    cr_expect_eq(cache->servers[0].weight, 2);
    cr_expect_eq(cache->distribution, DISTRIBUTION_MODULA);
    cr_expect_eq(cache->hash, HASH_MURMUR);
    cr_expect_arr_eq(cache->hash_tag, "{}", 2);
    cr_expect_eq(cache->connections_per_server, 4);
    cr_expect_eq(cache->connect_timeout, 10000);
    cr_expect_eq(cache->request_timeout, 2000000);
    cr_expect_eq(cache->idle_timeout, 3600000000u);
    cr_expect_eq(cache->on_failure, ON_FAILURE_ERROR);
    cr_expect_eq(cache->max_value, 8u << 20);
    cr_expect_eq(cache->long_keys, LONG_KEYS_REFUSE);
    cr_expect_eq(cache->coherence, COHERENCE_NONE);
    cr_expect_eq(cache->flush_all, FLUSH_REFUSE);
    cr_expect_eq(cache->recent_misses, 1024);
    cr_expect_eq(cache->client_profile, PROFILE_PHP);
    cr_expect_eq(cache->rule_count, 3);
    cr_expect_str_eq(cache->rules[0].match, "lock:");
    cr_expect(cache->rules[0].prefix);
    cr_expect_eq(cache->rules[0].scope, SCOPE_SHARED);
    cr_expect_eq(cache->rules[1].coherence, COHERENCE_FANOUT);
    cr_expect_eq(cache->rules[1].writes, WRITES_FILL);
    cr_expect_not(cache->rules[1].prefix);
    cr_expect_str_eq(cache->rules[2].match, "");
    cr_expect_eq(cache->rules[2].coherence, COHERENCE_NONE, "the cache's own");
    cr_expect_eq(cache->rules[2].writes, WRITES_AUTO);

    cr_expect_eq(web->client_idle_timeout, 1000000);
    cr_expect_eq(web->request_head_timeout, 2000000);
    cr_expect_eq(web->connect_timeout, 3000000);
    cr_expect_eq(web->response_timeout, 4000000);
    cr_expect_eq(web->head_limit, 2048);
    cr_expect_eq(web->headers_limit, 20);
    cr_expect_eq(web->body_limit, 0);
    cr_expect_eq(web->connections_limit, 9);
    cr_expect_eq(web->balance, BALANCE_ROUND_ROBIN);
    cr_expect_not(web->fallback_to_stable);
    cr_expect_eq(web->fallback_budget, 0);
    cr_expect_not(web->arm_header);

    cr_expect_eq(rollout->from, 1);
    cr_expect_eq(rollout->to, 0);
    cr_expect_str_eq(rollout->salt, "s\xc3\xa9");
    cr_expect_eq(rollout->identity_count, 3);
    cr_expect_eq(rollout->identities[1].kind, IDENTITY_QUERY);
    cr_expect_str_eq(rollout->identities[1].name, "u");
    cr_expect_eq(rollout->identities[2].kind, IDENTITY_IP);
    cr_expect_null(rollout->identities[2].name);
    cr_expect_str_eq(rollout->deny[0].header, "X-Bot");
    cr_expect_null(rollout->deny[0].header_value);
    cr_expect_str_eq(rollout->deny[0].cookie, "a");
    cr_expect_str_eq(rollout->deny[0].cookie_value, "b=c");
    cr_expect_eq(rollout->deny[0].from_count, 2);
    cr_expect_eq(rollout->deny[0].from[0].bits, 104);
    cr_expect_eq(rollout->stages[0].percent, 1);
    cr_expect_eq(rollout->stages[0].bake, 86400000000u);
    cr_expect(rollout->stages[0].on_fail_hold);
    cr_expect_not(rollout->stages[0].advance_auto);

    cr_expect_eq(config->control.socket_count, 2);
    cr_expect_eq(config->control.sockets[0].level, LEVEL_OPERATE);
    cr_expect_eq(config->control.sockets[0].mode, 0666);
    cr_expect_eq(config->control.sockets[1].level, LEVEL_READ);
    cr_expect_eq(config->control.sockets[1].mode, 0600);
    cr_expect_null(config->control.http.text);
    cr_expect_eq(config->process.workers, 3);
    cr_expect_str_eq(config->process.user, "nobody");
    cr_expect_str_eq(config->process.state_dir, "/srv/state");
    cr_expect_eq(config->process.drain_timeout, 5000000);
    cr_expect_eq(config->process.log_level, LOG_DEBUG);
    cr_expect(config->process.log_json);
    config_free(config);
}

Test(load, what_is_left_out_has_its_default)
{
    struct config *config = load_good(base_text, "");

    cr_expect_str_eq(config->arms[1].namespace, "py3");
    cr_expect_eq(config->cache.distribution, DISTRIBUTION_KETAMA);
    cr_expect_eq(config->cache.hash_tag[0], 0);
    cr_expect_eq(config->cache.connect_timeout, 250000);
    cr_expect_eq(config->cache.coherence, COHERENCE_FANOUT);
    cr_expect_eq(config->cache.max_value, 1u << 20);
    cr_expect_not(config->web.present);
    cr_expect_not(config->rollout.present);
    cr_expect_eq(config->control.socket_count, 1);
    cr_expect_str_eq(config->control.sockets[0].path, "/run/crossfade/control.sock");
    cr_expect_eq(config->control.sockets[0].level, LEVEL_ADMIN);
    cr_expect_eq(config->control.sockets[0].mode, 0600);
    cr_expect_str_eq(config->control.http.text, "127.0.0.1:9911");
    cr_expect_geq(config->process.workers, 1);
    cr_expect_null(config->process.user);
    cr_expect_str_eq(config->process.state_dir, "/var/lib/crossfade");
    config_free(config);

    config = load_good(base_text, "  keys: [ { match: a }, { match: b, scope: shared } ]\n");
    cr_expect_eq(config->cache.rules[0].coherence, COHERENCE_FANOUT, "the cache's own");
    cr_expect_eq(config->cache.rules[1].coherence, COHERENCE_NONE, "there is one copy");
    config_free(config);

    config = load_good(base_text, "control: { sockets: [] }\n");
    cr_expect_eq(config->control.socket_count, 0, "an empty list is no missing one");
    config_free(config);
}

Test(load, stages_add_up_and_lists_resolve)
{
    struct config *config =
        load_good(rollout_text, "    - { name: a, allow: [ employees, { cookie: dev } ] }\n"
                                "    - { name: b, percent: 20 }\n"
                                "    - { name: c, bake: 1h }\n"
                                "    - { name: d, percent: 20 }\n");
    const struct config_stage *stages = config->rollout.stages;

    cr_expect_eq(stages[0].allow_count, 3);
    cr_expect_str_eq(stages[0].allow[0].header, "X-Employee");
    cr_expect_str_eq(stages[0].allow[0].header_value, "1");
    cr_expect_str_eq(stages[0].allow[1].cookie, "staff");
    cr_expect_null(stages[0].allow[1].cookie_value);
    cr_expect_str_eq(stages[0].allow[2].cookie, "dev");
    cr_expect_eq(stages[0].percent, 0);
    cr_expect_eq(stages[1].percent, 20 * PERCENT_ONE);
    cr_expect_eq(stages[2].percent, 20 * PERCENT_ONE, "as in the stage before");
    cr_expect_not(stages[2].percent_given);
    config_free(config);
}

Test(load, faults_have_a_place_and_the_likely_name)
{
    expect_fault("arms: [ { name: a } ]\ncahce: {}\n", 2, 1, "cahce; did you mean cache?");
    expect_fault("arms: [ { name: a } ]\n"
                 "cache:\n"
                 "  listen: [ { address: \"h:1\", arm: a } ]\n"
                 "  servers: [ \"h:2\" ]\n"
                 "  timeouts: { request: 1s, conect: 1s }\n",
                 5, 28, "cache.timeouts has no key conect; did you mean connect?");
    expect_fault("arms: [ { name: python } ]\n"
                 "cache:\n"
                 "  listen: [ { address: \"h:1\", arm: pyhton } ]\n"
                 "  servers: [ \"h:2\" ]\n",
                 3, 36, "did you mean python?");
    expect_fault("arms: [ { name: a } ]\n"
                 "cache:\n"
                 "  listen: [ { address: \"h:1\", arm: a } ]\n"
                 "  servers: [ \"h:2\" ]\n"
                 "  distribution: \"ketma\"\n",
                 5, 17, "did you mean ketama?");
    expect_fault("arms: [ { name: a } ]\n"
                 "max_value: 1m\n"
                 "cache: { listen: [ { address: \"h:1\", arm: a } ], servers: [ \"h:2\" ] }\n",
                 2, 1, "did you mean cache.max_value?");
}

Test(load, swapped_letters_are_one_slip)
{
    expect_fault("arms: [ { name: a } ]\nwbe: {}\n", 2, 1, "did you mean web?");
}

Test(load, all_faults_are_shown_in_the_order_of_the_file)
{
    static const char text[] = "arms: [ { name: a } ]\n"
                               "cache:\n"
                               "  on_failure: mis\n"
                               "  max_value: 1\n"
                               "  listen: [ { address: h, arm: b } ]\n"
                               "  wrong: 1\n";
    static const unsigned lines[] = { 3, 3, 4, 5, 5, 6 };
    struct config_faults faults;
    char *printed;
    size_t size;
    FILE *out = open_memstream(&printed, &size);

    cr_assert_null(config_load_text("x", text, strlen(text), &faults));
    cr_assert_eq(faults.count, 6, "servers is missing, too");
    for (size_t i = 0; i < faults.count; i++)
        cr_expect_eq(faults.faults[i].line, lines[i], "%s", faults.faults[i].text);
    config_faults_print(&faults, "file.yaml", out);
    fclose(out);
    cr_expect_not_null(strstr(printed, "file.yaml:4:14: cache.max_value \"1\" is out of range; "
                                       "at least 1k is allowed\n"),
                       "%s", printed);
    free(printed);
    config_faults_free(&faults);
}

Test(load, faults_are_bounded)
{
    static char text[65536] = "arms: [ { name: a } ]\ncache: {}\nx: [\n";
    struct config_faults faults;
    size_t len = strlen(text);

    for (int i = 0; i < 250; i++)
        len += (size_t)sprintf(text + len, "%s&a%d x", i > 0 ? ", " : "", i);
    strcpy(text + len, " ]\n");
    cr_assert_null(config_load_text("x", text, strlen(text), &faults));
    cr_assert_eq(faults.count, 101);
    cr_expect_str_eq(faults.faults[100].text, "there are more faults than are shown here");
    config_faults_free(&faults);
}

Test(load, lists_are_bounded)
{
    char text[2048] = "arms: [";
    char stage[512] = "    - { name: a, allow: [ ";
    size_t len = strlen(text);

    for (int i = 0; i < 33; i++)
        len += (size_t)sprintf(text + len, "%s{ name: a%d }", i > 0 ? ",\n" : "\n", i);
    strcpy(text + len, " ]\n");
    expect_fault_among(text, 34, "arms has too many entries; at most 32 are allowed");

    /* A named list counts with all its entries. */
    len = strlen(rollout_text);
    char *large = calloc(1, 1 << 16);
    strcpy(large, rollout_text);
    strcpy(large + len, stage);
    len += strlen(stage);
    for (int i = 0; i < 501; i++)
        len += (size_t)sprintf(large + len, "employees, ");
    strcpy(large + len, "] }\n");
    expect_fault(large, 13, 5527, "rollout.stages[0].allow has too many entries; at most 1000");
    free(large);
}

Test(load, yaml_that_a_configuration_has_no_use_for)
{
    expect_fault("", 0, 0, "empty");
    expect_fault("# nothing\n", 0, 0, "empty");
    expect_fault("arms\n", 1, 1, "no configuration");
    expect_fault("- arms\n", 1, 1, "no configuration");
    expect_fault("arms: [\n", 2, 1, "not YAML");
    expect_fault("arms: [ a\nb: c\n", 2, 2, "not YAML");
    expect_fault("arms: \"\xff\"\n", 1, 8, "UTF-8");
    expect_fault_among("arms: [ &x { name: a } ]\n", 1, "anchors (&x)");
    expect_fault_among("arms: *x\n", 1, "aliases (*x)");
    expect_fault_among("<<: {}\n", 1, "merge keys");
    expect_fault_among("arms: !!seq []\n", 1, "tags");
    expect_fault_among("{ ? [ a ] : b }\n", 1, "plain text");
    expect_fault_among("arms: []\n---\narms: []\n", 2, "second document");
    expect_fault_among("arms: []\narms: []\n", 2, "arms is given twice, first on line 1");
    expect_fault("arms: [[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]\n", 1, 19, "nested");
}

Test(load, a_place_inside_a_line_counts_characters)
{
    char text[1024];

    (void)snprintf(text, sizeof(text),
                   "%s    - { name: a, allow: [ { cookie: \"x=\xc3\xa9\" } ], prcent: 1 }\n",
                   rollout_text);
    expect_fault(text, 13, 48, "has no key prcent; did you mean percent?");
}

Test(load, shapes_are_checked)
{
    expect_fault_among("arms: {}\n", 1, "arms is a list");
    expect_fault_among("arms: [ [] ]\n", 1, "arms[0] has to be a section of keys, such as { name");
    expect_fault_among("arms: [ { name: [ a ] } ]\n", 1, "arms[0].name is a single value");
    expect_fault_among("arms: [ { name: a } ]\ncache: 1\n", 2, "cache is a section");
    expect_fault_among("arms: [ { name: a } ]\ncache:\n", 2, "cache has no value");
    expect_fault_among("arms: ~\n", 1, "arms has no value");
    expect_fault_among("arms: []\n", 1, "needs at least 1 entry");
    expect_fault_among("cache: {}\n", 1, "arms is missing");
    expect_fault_among("arms: [ {} ]\n", 1, "arms[0].name is missing");
    expect_fault_among("rollout: { lists: [] }\n", 1, "rollout.lists is a section");
    expect_fault_among("rollout: { lists: { \"a b\": [] } }\n", 1, "is no name for a list");
    expect_fault_among("rollout: { allow: [ {} ] }\n", 1, "rollout.allow[0] is empty");
}

Test(load, values_of_text_hold_no_control_bytes)
{
    expect_fault_among("arms: [ { name: \"a\\0b\" } ]\n", 1, "control byte");
    expect_fault_among("rollout: { salt: \"a\\nb\" }\n", 1, "control byte");
    expect_fault_among("rollout: { allow: [ { header: \"X: a\\r\\nY: b\" } ] }\n", 1,
                       "control byte");
}

Test(load, later_features_are_refused_by_name)
{
    static const struct {
        const char *text;
        const char *part;
    } later[] = {
        { "web: { listen: [ { address: \"h:3\" } ], mode: tcp }\n", "\"tcp\" is not available" },
        { "web: { listen: [ { address: \"h:3\" } ], access_log: stdout }\n", "\"stdout\" is not" },
        { "web: { listen: [ { address: \"h:3\" } ], access_log: /a }\n",
          "\"/a\" is not available" },
        { "web: { listen: [ { address: \"h:3\", http2: true } ] }\n", "http2 \"true\" is not" },
        { "web: { listen: [ { address: \"h:3\" } ], health: {} }\n",
          "web.health is not available" },
        { "fleet: {}\n", "fleet is not available in this version" },
    };

    for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++) {
        char text[1024];
        (void)snprintf(text, sizeof(text), "%s%s", base_text, later[i].text);
        expect_fault_among(text, 7, later[i].part);
    }
    config_free(load_good(base_text, "web:\n"
                                     "  mode: http\n"
                                     "  access_log: off\n"
                                     "  listen: [ { address: \"h:3\", http2: false, "
                                     "proxy_protocol: false } ]\n"));
    config_free(load_good(rollout_text, "    - { name: a, advance: manual, gates: [] }\n"
                                        "  gates: []\n"
                                        "  freeze: []\n"));
}

Test(load, namespaces_take_variables_of_the_environment)
{
    static const char format[] = "arms: [ { name: a, namespace: \"%s\", backends: [ \"h:1\" ] } ]\n"
                                 "web: { listen: [ { address: \"h:2\" } ] }\n";
    char text[256];
    struct config *config;

    setenv("CROSSFADE_TEST", "4f2c1e", 1);
    setenv("CROSSFADE_TEST_BAD", "a b", 1);
    setenv("CROSSFADE_TEST_EMPTY", "", 1);
    unsetenv("CROSSFADE_TEST_NONE");
    (void)snprintf(text, sizeof(text), format, "w-${CROSSFADE_TEST}-${CROSSFADE_TEST}");
    config = load_good(text, "");
    cr_expect_str_eq(config->arms[0].namespace, "w-4f2c1e-4f2c1e");
    cr_expect(config->arms[0].namespace_varies);
    config_free(config);

    (void)snprintf(text, sizeof(text), format, "${CROSSFADE_TEST_NONE}");
    expect_fault(text, 1, 31, "needs the environment variable CROSSFADE_TEST_NONE");
    (void)snprintf(text, sizeof(text), format, "${CROSSFADE_TEST_BAD}");
    expect_fault(text, 1, 31, "after its variables are put in");
    (void)snprintf(text, sizeof(text), format, "${CROSSFADE_TEST_EMPTY}");
    expect_fault(text, 1, 31, "is empty after its variables are put in");
    (void)snprintf(text, sizeof(text), format, "${CROSSFADE_TEST");
    expect_fault(text, 1, 31, "write ${NAME}");
    (void)snprintf(text, sizeof(text), format, "a$");
    expect_fault(text, 1, 31, "write ${NAME}");
    (void)snprintf(text, sizeof(text), format, "${}");
    expect_fault(text, 1, 31, "write ${NAME}");
}

Test(load, files)
{
    struct config_faults faults;
    char path[] = "/tmp/crossfade-test-XXXXXX";
    int fd = mkstemp(path);
    struct config *config;
    static char large[1024 * 1024 + 1];

    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, base_text, strlen(base_text)), (ssize_t)strlen(base_text));
    config = config_load_file(path, &faults);
    cr_expect_not_null(config);
    cr_expect_str_eq(config->file, path);
    config_free(config);
    config_faults_free(&faults);

    memset(large, '#', sizeof(large));
    cr_assert_eq(pwrite(fd, large, sizeof(large), 0), (ssize_t)sizeof(large));
    cr_expect_null(config_load_file(path, &faults));
    cr_expect_str_eq(faults.faults[0].text, "the file is larger than 1048576 bytes");
    config_faults_free(&faults);
    close(fd);
    unlink(path);

    cr_expect_null(config_load_file(path, &faults));
    cr_expect_eq(faults.faults[0].line, 0);
    cr_expect_str_eq(faults.faults[0].text, "the file cannot be read: No such file or directory");
    config_faults_free(&faults);
    cr_expect_null(config_load_file("/", &faults));
    cr_expect_str_eq(faults.faults[0].text, "the file cannot be read: Is a directory");
    config_faults_free(&faults);
}

Test(load, nothing_is_freed_without_harm)
{
    struct config_faults faults = { NULL, 0 };

    config_free(NULL);
    config_faults_free(&faults);
}

Test(load, a_configuration_may_come_through_a_pipe)
{
    static const char text[] = "arms: [ { name: a } ]\n"
                               "cache: { listen: [ { address: \"127.0.0.1:1\", arm: a } ],\n"
                               "         servers: [ \"127.0.0.1:2\" ] }\n";
    struct config_faults faults;
    struct config *config;
    char path[32];
    int ends[2];

    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(write(ends[1], text, strlen(text)), (ssize_t)strlen(text));
    close(ends[1]);
    (void)snprintf(path, sizeof(path), "/dev/fd/%d", ends[0]);
    config = config_load_file(path, &faults);
    cr_assert_not_null(config);
    cr_expect_str_eq(config->arms[0].name, "a");
    config_free(config);
    config_faults_free(&faults);
    close(ends[0]);
}
