#include "crossfade/base/hash.h"

#include <string.h>

uint64_t hash_bytes(uint64_t seed, const void *data, size_t len)
{
    const unsigned char *p = data;
    uint64_t h = 0xcbf29ce484222325u ^ seed ^ ((uint64_t)len * 0x9e3779b97f4a7c15u);
    uint64_t word;

    while (len >= sizeof(word)) {
        memcpy(&word, p, sizeof(word));
        h = (h ^ word) * 0x9fb21c651e98df25u;
        h ^= h >> 35;
        p += sizeof(word);
        len -= sizeof(word);
    }
    if (len > 0) {
        word = 0;
        memcpy(&word, p, len);
        h = (h ^ word) * 0x9fb21c651e98df25u;
    }
    return hash_mix(h);
}
