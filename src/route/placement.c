#include "crossfade/route/placement.h"

#include "crossfade/base/log.h"
#include "crossfade/route/digest.h"

#include <libmemcached/memcached.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * The library makes the ring; a key is looked up in a copy of it, which costs a quarter of asking
 * the library. The ring is a sorted list of points, and a hash belongs to the first point that is
 * not below it, behind the last one to the first. `first` says for the hash's leading bits where to
 * begin:
 *
 *     first[hash >> shift]  ->  points  ... | value, server | value, server | ...
 *
 * The copy is held against the library's own answers before it is used, so a library that is not as
 * expected costs time and never moves a key.
 */
struct point {
    uint32_t value;
    uint32_t server;
};

struct placement {
    memcached_st *servers; /* only ever read after it was made; never connects */
    struct point *points;  /* ends with one of the highest value; NULL: there is no ring */
    uint32_t *first;
    unsigned shift;
    uint32_t count; /* of the servers */
    enum { ASK_LIBRARY, ONLY_ONE, ON_RING, BY_REMAINDER } way;
    bool md5; /* the hash: MD5, or the library's function */
    bool tags;
    char tag_open;
    char tag_close;
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

static uint32_t hash_of(const struct placement *placement, struct slice key)
{
    const struct hashkit_function_st *base = &placement->servers->hashkit.base_hash;

    return placement->md5 ? digest_md5_word(key) : base->function(key.data, key.len, base->context);
}

static unsigned look_up(const struct placement *placement, struct slice key)
{
    uint32_t hash = hash_of(placement, key);
    const struct point *point;

    if (placement->way == BY_REMAINDER)
        return hash % placement->count;
    point = placement->points + placement->first[hash >> placement->shift];
    while (point->value < hash)
        point++;
    return point->server;
}

/* The library's header names the ring but leaves this out. */
struct memcached_continuum_item_st {
    uint32_t index;
    uint32_t value;
};

/* False without memory. Without a ring that makes sense, points stays NULL. */
static bool copy_ring(struct placement *placement)
{
    const struct memcached_continuum_item_st *ring = placement->servers->ketama.continuum;
    uint32_t count = placement->servers->ketama.continuum_points_counter;
    unsigned bits = 1;
    uint32_t at = 0;

    if (ring == NULL || count == 0)
        return true;
    for (uint32_t i = 0; i < count; i++)
        if (ring[i].index >= placement->count || (i > 0 && ring[i].value < ring[i - 1].value))
            return true;
    while (bits < 16 && UINT32_C(1) << bits < count)
        bits++;
    placement->shift = 32 - bits;
    placement->points = calloc(count + (size_t)1, sizeof(*placement->points));
    placement->first = calloc((size_t)1 << bits, sizeof(*placement->first));
    if (placement->points == NULL || placement->first == NULL)
        return false;
    for (uint32_t i = 0; i < count; i++)
        placement->points[i] = (struct point){ .value = ring[i].value, .server = ring[i].index };
    placement->points[count] = (struct point){ .value = UINT32_MAX, .server = ring[0].index };
    for (uint32_t i = 0; i < UINT32_C(1) << bits; i++) {
        while (placement->points[at].value < i << placement->shift)
            at++;
        placement->first[i] = at;
    }
    return true;
}

#define SAMPLES 2000u

static bool agrees(const struct placement *placement)
{
    for (unsigned i = 0; i < SAMPLES; i++) {
        char text[100];
        int len = snprintf(text, sizeof(text), "%u:%*x", i, (int)(i % 80) + 1, i * 2654435761u);
        struct slice key = slice_of(text, (size_t)len);

        if (look_up(placement, key) != memcached_generate_hash(placement->servers, text, key.len))
            return false;
    }
    return true;
}

/* False without memory. */
static bool choose_way(struct placement *placement, const struct config_cache *cache)
{
    bool ketama = cache->distribution == DISTRIBUTION_KETAMA;

    placement->way = placement->count == 1 ? ONLY_ONE : ASK_LIBRARY;
    if (placement->count == 1)
        return true;
    /* Weighted ketama brings MD5 with it. */
    placement->md5 = cache->hash == HASH_MD5 || (cache->hash == HASH_DEFAULT && ketama);
    if (cache->distribution == DISTRIBUTION_MODULA) {
        placement->way = BY_REMAINDER;
    } else {
        if (!copy_ring(placement))
            return false;
        if (placement->points != NULL)
            placement->way = ON_RING;
    }
    if (placement->way != ASK_LIBRARY && !agrees(placement))
        placement->way = ASK_LIBRARY;
    if (placement->way == ASK_LIBRARY)
        log_warn(
            "this libmemcached is another one than known: it is asked for each key, which is slow");
    return true;
}

struct placement *placement_create(const struct config *config)
{
    const struct config_cache *cache = &config->cache;
    struct placement *placement = calloc(1, sizeof(*placement));
    bool ok;

    if (placement == NULL)
        return NULL;
    placement->count = (uint32_t)cache->server_count;
    placement->tag_open = cache->hash_tag[0];
    placement->tag_close = cache->hash_tag[1];
    placement->tags = placement->tag_open != '\0';
    placement->servers = memcached_create(NULL);
    ok = placement->servers != NULL;
    for (size_t i = 0; ok && i < cache->server_count; i++)
        ok = add_server(placement->servers, &cache->servers[i]);
    if (!ok || !choose_distribution(placement->servers, cache) || !choose_way(placement, cache)) {
        placement_destroy(placement);
        return NULL;
    }
    return placement;
}

void placement_destroy(struct placement *placement)
{
    if (placement->servers != NULL)
        memcached_free(placement->servers);
    free(placement->points);
    free(placement->first);
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
    if (placement->way == ONLY_ONE)
        return 0;
    if (placement->tags)
        key = tagged(placement, key);
    if (placement->way == ASK_LIBRARY)
        return memcached_generate_hash(placement->servers, key.data, key.len);
    return look_up(placement, key);
}
