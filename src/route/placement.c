#include "crossfade/route/placement.h"

#include <libmemcached/memcached.h>
#include <stdlib.h>

struct placement {
    memcached_st *servers; /* only ever read after it was made; never connects */
    bool single;
    char tag_open;
    char tag_close;
    bool tags;
};

static const struct {
    enum config_hash hash;
    memcached_hash_t library;
} hashes[] = {
    { HASH_DEFAULT, MEMCACHED_HASH_DEFAULT },   { HASH_MD5, MEMCACHED_HASH_MD5 },
    { HASH_CRC, MEMCACHED_HASH_CRC },           { HASH_FNV1_64, MEMCACHED_HASH_FNV1_64 },
    { HASH_FNV1A_64, MEMCACHED_HASH_FNV1A_64 }, { HASH_FNV1_32, MEMCACHED_HASH_FNV1_32 },
    { HASH_FNV1A_32, MEMCACHED_HASH_FNV1A_32 }, { HASH_JENKINS, MEMCACHED_HASH_JENKINS },
    { HASH_MURMUR, MEMCACHED_HASH_MURMUR },
};

static bool behave(memcached_st *servers, memcached_behavior_t behavior, uint64_t value)
{
    return memcached_behavior_set(servers, behavior, value) == MEMCACHED_SUCCESS;
}

static bool choose_hash(memcached_st *servers, enum config_hash hash)
{
    if (hash == HASH_DEFAULT)
        return true;
    for (size_t i = 0; i < sizeof(hashes) / sizeof(hashes[0]); i++)
        if (hashes[i].hash == hash)
            return behave(servers, MEMCACHED_BEHAVIOR_HASH, hashes[i].library);
    return false;
}

/*
 * The library's answers depend on the order in which it is told: weighted ketama brings MD5 with
 * it, so another hash has to come after; the ring of `consistent` is made with the hash of that
 * moment, so there the hash comes first; and its servers were added before, since one with a weight
 * would make the ring a weighted one that is named otherwise (`ketama`).
 */
static bool choose_distribution(memcached_st *servers, const struct config_cache *cache)
{
    switch (cache->distribution) {
    case DISTRIBUTION_KETAMA:
        return behave(servers, MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED, 1) &&
               choose_hash(servers, cache->hash);
    case DISTRIBUTION_MODULA:
        return choose_hash(servers, cache->hash) &&
               behave(servers, MEMCACHED_BEHAVIOR_DISTRIBUTION, MEMCACHED_DISTRIBUTION_MODULA);
    case DISTRIBUTION_CONSISTENT:
        return choose_hash(servers, cache->hash) &&
               behave(servers, MEMCACHED_BEHAVIOR_DISTRIBUTION, MEMCACHED_DISTRIBUTION_CONSISTENT);
    }
    return false;
}

static bool add_server(memcached_st *servers, const struct config_backend *server)
{
    const struct config_endpoint *endpoint = &server->endpoint;

    if (endpoint->path != NULL)
        return memcached_server_add_unix_socket_with_weight(servers, endpoint->path,
                                                            server->weight) == MEMCACHED_SUCCESS;
    return memcached_server_add_with_weight(servers, endpoint->host, endpoint->port,
                                            server->weight) == MEMCACHED_SUCCESS;
}

struct placement *placement_create(const struct config *config)
{
    const struct config_cache *cache = &config->cache;
    struct placement *placement = calloc(1, sizeof(*placement));
    bool ok;

    if (placement == NULL)
        return NULL;
    placement->single = cache->server_count == 1;
    placement->tag_open = cache->hash_tag[0];
    placement->tag_close = cache->hash_tag[1];
    placement->tags = placement->tag_open != '\0';
    placement->servers = memcached_create(NULL);
    ok = placement->servers != NULL;
    for (size_t i = 0; ok && i < cache->server_count; i++)
        ok = add_server(placement->servers, &cache->servers[i]);
    if (!ok || !choose_distribution(placement->servers, cache)) {
        placement_destroy(placement);
        return NULL;
    }
    return placement;
}

void placement_destroy(struct placement *placement)
{
    if (placement->servers != NULL)
        memcached_free(placement->servers);
    free(placement);
}

static struct slice tagged(const struct placement *placement, struct slice key)
{
    size_t open = slice_find(key, placement->tag_open);
    struct slice rest;
    size_t close;

    if (open == key.len)
        return key;
    rest = slice_of(key.data + open + 1, key.len - open - 1);
    close = slice_find(rest, placement->tag_close);
    return close < rest.len && close > 0 ? slice_of(rest.data, close) : key;
}

unsigned placement_server(const struct placement *placement, struct slice key)
{
    if (placement->single)
        return 0;
    if (placement->tags)
        key = tagged(placement, key);
    return memcached_generate_hash(placement->servers, key.data, key.len);
}
