#include "crossfade/route/placement.h"

#include <criterion/criterion.h>
#include <libmemcached/memcached.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { KEYS = 10000 };

struct server {
    const char *host; /* or a path */
    uint16_t port;    /* 0: a unix socket */
    unsigned weight;
};

static const struct server weighted[] = {
    { "10.0.1.1", 11211, 600 }, { "10.0.1.2", 11211, 300 },         { "10.0.1.3", 11212, 200 },
    { "10.0.1.4", 11211, 350 }, { "cache-5.example", 11213, 1000 }, { "10.0.1.6", 11211, 1 },
};
static const struct server equal[] = {
    { "10.0.1.1", 11211, 1 },
    { "10.0.1.2", 11211, 1 },
    { "cache-3", 11300, 1 },
};
static const struct server sockets[] = {
    { "/run/memcached/a.sock", 0, 1 },
    { "/run/memcached/b.sock", 0, 2 },
    { "10.0.1.1", 11211, 1 },
};

#define SERVERS_MAX 8u

static struct config make_config(const struct server *servers, size_t count,
                                 enum config_distribution distribution, enum config_hash hash,
                                 struct config_backend backends[SERVERS_MAX])
{
    for (size_t i = 0; i < count; i++) {
        char *host = (char *)(uintptr_t)servers[i].host;
        backends[i] =
            (struct config_backend){ .endpoint = { .text = host,
                                                   .host = servers[i].port != 0 ? host : NULL,
                                                   .path = servers[i].port != 0 ? NULL : host,
                                                   .port = servers[i].port },
                                     .weight = servers[i].weight };
    }
    return (struct config){ .cache = { .present = true,
                                       .servers = backends,
                                       .server_count = count,
                                       .distribution = distribution,
                                       .hash = hash } };
}

static struct slice numbered(char out[40], unsigned n)
{
    return slice_of(out, (size_t)snprintf(out, 40, "user:%u:profile:%x", n, n * 2654435761u));
}

/* The client is told by name where it sends a key, so that the order of its list is no matter. */
static void assert_same_servers(const struct config *config, memcached_st *client)
{
    struct placement *placement = placement_create(config);
    unsigned counts[SERVERS_MAX] = { 0 };

    cr_assert_not_null(placement);
    for (unsigned i = 0; i < KEYS; i++) {
        char key[40];
        struct slice slice = numbered(key, i);
        memcached_return_t result = MEMCACHED_SUCCESS; /* the library writes failures only */
        unsigned ours = placement_server(placement, slice);
        const memcached_instance_st *theirs =
            memcached_server_by_key(client, slice.data, slice.len, &result);
        const struct config_endpoint *endpoint;
        cr_assert_lt(ours, config->cache.server_count);
        endpoint = &config->cache.servers[ours].endpoint;
        cr_assert_eq(result, MEMCACHED_SUCCESS);
        cr_assert_not_null(theirs);
        cr_assert_str_eq(memcached_server_name(theirs), endpoint->text);
        if (endpoint->host != NULL)
            cr_assert_eq(memcached_server_port(theirs), endpoint->port);
        counts[ours]++;
    }
    /* Some of the hashes are poor ones (CRC on a ring gives almost all to one server). */
    for (size_t i = 0; config->cache.hash == HASH_DEFAULT && i < config->cache.server_count; i++)
        if (config->cache.servers[i].weight > 100)
            cr_assert_gt(counts[i], KEYS / 100);
    placement_destroy(placement);
}

/* As pylibmc and php-memcached do: servers first, then the behaviours. */
static memcached_st *client_of(const struct server *servers, size_t count)
{
    memcached_st *client = memcached_create(NULL);
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(servers[i].port != 0
                         ? memcached_server_add_with_weight(client, servers[i].host,
                                                            servers[i].port, servers[i].weight)
                         : memcached_server_add_unix_socket_with_weight(client, servers[i].host,
                                                                        servers[i].weight),
                     MEMCACHED_SUCCESS);
    return client;
}

static void set(memcached_st *client, memcached_behavior_t behavior, uint64_t value)
{
    cr_assert_eq(memcached_behavior_set(client, behavior, value), MEMCACHED_SUCCESS);
}

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

Test(placement, weighted_ketama_is_the_library_s)
{
    static const struct {
        const struct server *servers;
        size_t count;
    } lists[] = { { weighted, COUNT(weighted) },
                  { equal, COUNT(equal) },
                  { sockets, COUNT(sockets) } };
    for (size_t i = 0; i < COUNT(lists); i++) {
        struct config_backend backends[SERVERS_MAX];
        struct config config = make_config(lists[i].servers, lists[i].count, DISTRIBUTION_KETAMA,
                                           HASH_DEFAULT, backends);
        memcached_st *client = client_of(lists[i].servers, lists[i].count);
        set(client, MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED, 1);
        assert_same_servers(&config, client);
        memcached_free(client);
    }
}

/* An administrator's configuration string, another way into the library. */
Test(placement, a_configuration_string_chooses_the_same)
{
    static const char text[] = "--SERVER=10.0.1.1:11211 --SERVER=10.0.1.2:11211 "
                               "--SERVER=cache-3:11300 --HASH=MD5 --DISTRIBUTION=consistent";
    struct config_backend backends[SERVERS_MAX];
    struct config config =
        make_config(equal, COUNT(equal), DISTRIBUTION_CONSISTENT, HASH_MD5, backends);
    memcached_st *client = memcached(text, sizeof(text) - 1);
    cr_assert_not_null(client);
    assert_same_servers(&config, client);
    memcached_free(client);
}

static uint64_t library_of(unsigned distribution)
{
    return distribution == DISTRIBUTION_MODULA ? MEMCACHED_DISTRIBUTION_MODULA
                                               : MEMCACHED_DISTRIBUTION_CONSISTENT;
}

/* As php-memcached's clients mostly do: the behaviours first, then the servers. */
Test(placement, behaviours_before_the_servers_choose_the_same)
{
    for (unsigned distribution = DISTRIBUTION_KETAMA; distribution <= DISTRIBUTION_CONSISTENT;
         distribution++) {
        struct config_backend backends[SERVERS_MAX];
        struct config config =
            make_config(equal, COUNT(equal), distribution, HASH_FNV1A_32, backends);
        memcached_st *client = memcached_create(NULL);
        if (distribution == DISTRIBUTION_KETAMA)
            set(client, MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED, 1);
        else
            set(client, MEMCACHED_BEHAVIOR_DISTRIBUTION, library_of(distribution));
        set(client, MEMCACHED_BEHAVIOR_HASH, MEMCACHED_HASH_FNV1A_32);
        for (size_t i = 0; i < COUNT(equal); i++)
            cr_assert_eq(memcached_server_add(client, equal[i].host, equal[i].port),
                         MEMCACHED_SUCCESS);
        assert_same_servers(&config, client);
        memcached_free(client);
    }
}

Test(placement, every_distribution_and_hash_is_the_library_s)
{
    static const struct {
        enum config_hash ours;
        memcached_hash_t theirs;
    } hashes[] = {
        { HASH_DEFAULT, MEMCACHED_HASH_DEFAULT },   { HASH_MD5, MEMCACHED_HASH_MD5 },
        { HASH_CRC, MEMCACHED_HASH_CRC },           { HASH_FNV1_32, MEMCACHED_HASH_FNV1_32 },
        { HASH_FNV1A_32, MEMCACHED_HASH_FNV1A_32 }, { HASH_FNV1_64, MEMCACHED_HASH_FNV1_64 },
        { HASH_FNV1A_64, MEMCACHED_HASH_FNV1A_64 }, { HASH_JENKINS, MEMCACHED_HASH_JENKINS },
        { HASH_MURMUR, MEMCACHED_HASH_MURMUR }
    };
    for (size_t i = 0; i < COUNT(hashes); i++)
        for (unsigned distribution = DISTRIBUTION_KETAMA; distribution <= DISTRIBUTION_CONSISTENT;
             distribution++) {
            struct config_backend backends[SERVERS_MAX];
            struct config config =
                make_config(weighted, COUNT(weighted), distribution, hashes[i].ours, backends);
            memcached_st *client = memcached_create(NULL);
            if (memcached_behavior_set(client, MEMCACHED_BEHAVIOR_HASH, hashes[i].theirs) !=
                MEMCACHED_SUCCESS) {
                cr_assert_null(placement_create(&config), "what the library refuses, we refuse");
                memcached_free(client);
                continue;
            }
            memcached_free(client);
            client = client_of(weighted, COUNT(weighted));
            if (distribution == DISTRIBUTION_KETAMA)
                set(client, MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED, 1);
            if (hashes[i].ours != HASH_DEFAULT)
                set(client, MEMCACHED_BEHAVIOR_HASH, hashes[i].theirs);
            if (distribution != DISTRIBUTION_KETAMA)
                set(client, MEMCACHED_BEHAVIOR_DISTRIBUTION, library_of(distribution));
            assert_same_servers(&config, client);
            memcached_free(client);
        }
}

Test(placement, keys_of_every_length_and_byte_are_the_library_s)
{
    for (unsigned distribution = DISTRIBUTION_KETAMA; distribution <= DISTRIBUTION_CONSISTENT;
         distribution++) {
        struct config_backend backends[SERVERS_MAX];
        struct config config =
            make_config(weighted, COUNT(weighted), distribution, HASH_MD5, backends);
        struct placement *placement = placement_create(&config);
        memcached_st *client = client_of(weighted, COUNT(weighted));
        if (distribution == DISTRIBUTION_KETAMA)
            set(client, MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED, 1);
        set(client, MEMCACHED_BEHAVIOR_HASH, MEMCACHED_HASH_MD5);
        if (distribution != DISTRIBUTION_KETAMA)
            set(client, MEMCACHED_BEHAVIOR_DISTRIBUTION, library_of(distribution));
        for (size_t len = 1; len <= 250; len++)
            for (unsigned variant = 0; variant < 20; variant++) {
                char key[250];
                for (size_t i = 0; i < len; i++)
                    key[i] = (char)((i + 1) * (variant * 37 + 11) + len);
                cr_assert_eq(placement_server(placement, slice_of(key, len)),
                             memcached_generate_hash(client, key, len), "length %zu", len);
            }
        memcached_free(client);
        placement_destroy(placement);
    }
}

Test(placement, one_server_has_every_key)
{
    struct config_backend backends[SERVERS_MAX];
    struct config config = make_config(equal, 1, DISTRIBUTION_KETAMA, HASH_DEFAULT, backends);
    struct placement *placement = placement_create(&config);
    cr_assert_eq(placement_server(placement, SLICE("a")), 0);
    placement_destroy(placement);
}

Test(placement, the_hash_tag_alone_counts)
{
    struct config_backend backends[SERVERS_MAX];
    struct config config =
        make_config(weighted, COUNT(weighted), DISTRIBUTION_KETAMA, HASH_DEFAULT, backends);
    struct placement *plain = placement_create(&config);
    struct placement *tagged;
    config.cache.hash_tag[0] = '{';
    config.cache.hash_tag[1] = '}';
    tagged = placement_create(&config);
    for (unsigned i = 0; i < 500; i++) {
        static const struct {
            const char *before, *after;
            bool counts;
        } forms[] = { { "{", "}", true },   { "a{", "}b", true },  { "a{", "}b{c}", true },
                      { "a}{", "}", true }, { "a{{", "}", false }, { "{", "", false },
                      { "", "}", false },   { "{}", "", false },   { "{}{", "}", false } };
        char tag[20];
        int tag_len = snprintf(tag, sizeof(tag), "tag%u", i);
        struct slice alone = slice_of(tag, (size_t)tag_len);
        for (size_t form = 0; form < COUNT(forms); form++) {
            char key[64];
            int len =
                snprintf(key, sizeof(key), "%s%s%s", forms[form].before, tag, forms[form].after);
            struct slice whole = slice_of(key, (size_t)len);
            if (form == 4) /* the first opening counts, so the tag is "{tag" */
                alone = slice_of(key + 2, (size_t)tag_len + 1);
            cr_assert_eq(placement_server(tagged, whole),
                         placement_server(plain, forms[form].counts || form == 4 ? alone : whole),
                         "%s", key);
            alone = slice_of(tag, (size_t)tag_len);
        }
    }
    placement_destroy(plain);
    placement_destroy(tagged);
}

/* -- It is shared by all workers --------------------------------------------------------------- */

struct shared {
    const struct placement *placement;
    unsigned sum;
};

static void *place_all(void *argument)
{
    struct shared *shared = argument;
    for (unsigned i = 0; i < KEYS; i++) {
        char key[40];
        shared->sum = shared->sum * 31 + placement_server(shared->placement, numbered(key, i));
    }
    return NULL;
}

Test(placement, threads_choose_alike)
{
    struct config_backend backends[SERVERS_MAX];
    struct config config =
        make_config(weighted, COUNT(weighted), DISTRIBUTION_KETAMA, HASH_DEFAULT, backends);
    struct placement *placement = placement_create(&config);
    struct shared shared[4];
    pthread_t threads[4];
    for (unsigned i = 0; i < 4; i++) {
        shared[i] = (struct shared){ .placement = placement };
        cr_assert_eq(pthread_create(&threads[i], NULL, place_all, &shared[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    for (unsigned i = 1; i < 4; i++)
        cr_assert_eq(shared[i].sum, shared[0].sum);
    placement_destroy(placement);
}

/* -- Nothing is allocated for a key --------------------------------------------------------------
 */

static unsigned allocations;

static void *count_malloc(const memcached_st *client, const size_t size, void *context)
{
    (void)client;
    (void)context;
    allocations++;
    return malloc(size);
}

static void count_free(const memcached_st *client, void *memory, void *context)
{
    (void)client;
    (void)context;
    free(memory);
}

static void *count_realloc(const memcached_st *client, void *memory, const size_t size,
                           void *context)
{
    (void)client;
    (void)context;
    allocations++;
    return realloc(memory, size);
}

static void *count_calloc(const memcached_st *client, size_t count, const size_t size,
                          void *context)
{
    (void)client;
    (void)context;
    allocations++;
    return calloc(count, size);
}

/* What the data path relies on: the library chooses a server without its allocator. */
Test(placement, the_library_allocates_nothing_for_a_key)
{
    memcached_st *client = memcached_create(NULL);

    cr_assert_eq(memcached_set_memory_allocators(client, count_malloc, count_free, count_realloc,
                                                 count_calloc, NULL),
                 MEMCACHED_SUCCESS);
    for (size_t i = 0; i < COUNT(weighted); i++)
        cr_assert_eq(memcached_server_add_with_weight(client, weighted[i].host, weighted[i].port,
                                                      weighted[i].weight),
                     MEMCACHED_SUCCESS);
    set(client, MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED, 1);
    cr_assert_gt(allocations, 0, "they are counted");
    allocations = 0;
    for (unsigned i = 0; i < KEYS; i++) {
        char key[40];
        struct slice slice = numbered(key, i);
        cr_assert_lt(memcached_generate_hash(client, slice.data, slice.len), COUNT(weighted));
    }
    cr_assert_eq(allocations, 0);
    memcached_free(client);
}
