# coding: utf-8
"""What an application does to its cache, under Python 2.7 or 3.

traffic.py LIBRARY HOST:PORT: rate limits, locks, sessions that are written through, values filled after
a miss, plain numbers and JSON. Prints "done". Libraries: python-memcached, pylibmc, pylibmc-binary.
"""
from __future__ import print_function

import json
import pickle
import random
import sys


def client(library, address):
    if library.startswith("pylibmc"):
        import pylibmc
        return pylibmc.Client([address], binary=library.endswith("binary"))
    import memcache
    return memcache.Client([address], pickleProtocol=pickle.HIGHEST_PROTOCOL)


def main(library, address):
    cache = client(library, address)
    dice = random.Random(4)
    for n in range(150):
        limit = "rl:10.0.%d.%d:login" % (n % 7, n % 5)
        cache.add(limit, 0, 60)
        cache.incr(limit)
        lock = "lock:invoice:%d" % n
        if cache.add(lock, "me", 30):
            cache.delete(lock)
        session = "sess:%032x" % dice.getrandbits(128)
        cache.set(session, {"user": n})
        cache.set(session, {"user": n, "seen": True})
        profile = "profile:%d" % n
        if cache.get(profile) is None:
            cache.set(profile, {"name": "n%d" % n, "tags": [1, 2]})
        cache.get(profile)
        if cache.get("count:%d" % n) is None:
            cache.set("count:%d" % n, n)
        if cache.get("doc:%d" % n) is None:
            cache.set("doc:%d" % n, json.dumps({"n": n}))
    print("done")


main(sys.argv[1], sys.argv[2])
