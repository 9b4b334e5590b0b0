"""Where keys lie: a libmemcached client beside Crossfade finds what went through it, and the other way
round. So a fleet adopts Crossfade with a warm cache, and hosts without it keep working beside."""
import ctypes
import ctypes.util
import json
import os
import subprocess
import unittest

import harness

# memcached_behavior_t, memcached_server_distribution_t and memcached_hash_t of libmemcached 1.0's
# interface; a wrong number would be seen: keys would lie elsewhere.
HASH, DISTRIBUTION, KETAMA_WEIGHTED = 2, 9, 16
MODULA, CONSISTENT = 0, 1
MD5, FNV1A_64 = 1, 4
KEYS = [b"user:%d:profile" % number for number in range(200)]


class Client:
    """The C library itself, as every client built upon it uses it."""

    def __init__(self, servers, behaviours):
        self.library = ctypes.CDLL(ctypes.util.find_library("memcached") or "libmemcached.so.11")
        for function in ("memcached_create", "memcached_get"):
            getattr(self.library, function).restype = ctypes.c_void_p
        self.handle = ctypes.c_void_p(self.library.memcached_create(None))
        for address, weight in servers:
            if address.startswith("unix:"):
                self.call("memcached_server_add_unix_socket_with_weight",
                          address[len("unix:"):].encode(), ctypes.c_uint32(weight))
            else:
                host, port = address.rsplit(":", 1)
                self.call("memcached_server_add_with_weight", host.encode(),
                          ctypes.c_uint16(int(port)), ctypes.c_uint32(weight))
        for behaviour, value in behaviours:
            self.call("memcached_behavior_set", behaviour, ctypes.c_uint64(value))

    def call(self, function, *arguments):
        code = getattr(self.library, function)(self.handle, *arguments)
        if code not in (0, 32):  # MEMCACHED_SUCCESS, MEMCACHED_BUFFERED
            raise AssertionError("%s: libmemcached's error %d" % (function, code))

    def set(self, key, value):
        self.call("memcached_set", key, ctypes.c_size_t(len(key)), value,
                  ctypes.c_size_t(len(value)), ctypes.c_long(0), ctypes.c_uint32(0))

    def get(self, key):
        length, flags, code = ctypes.c_size_t(), ctypes.c_uint32(), ctypes.c_int()
        found = self.library.memcached_get(self.handle, key, ctypes.c_size_t(len(key)),
                                           ctypes.byref(length), ctypes.byref(flags),
                                           ctypes.byref(code))
        return ctypes.string_at(found, length.value) if found and code.value == 0 else None

    def close(self):
        self.library.memcached_free(self.handle)


class Placement(harness.Test):
    def servers(self, weights):
        found = [self.memcached() for _ in weights[1:]]
        found.append(self.memcached(path=os.path.join(self.folder, "last.sock")))
        return found, [(server.address, weight) for server, weight in zip(found, weights)]

    def holders(self, servers, key):
        return [number for number, server in enumerate(servers)
                if server.wire().send(b"get " + key + b"\r\n").until(b"END\r\n") != b"END\r\n"]

    def check(self, weights, behaviours, **cache):
        servers, weighted = self.servers(weights)
        written = [address if weight == 1 else {"address": address, "weight": weight}
                   for address, weight in weighted]
        daemon = self.daemon(harness.cache_config(servers=written, **cache))
        client = Client(weighted, behaviours)
        self.addCleanup(client.close)
        py2, py3 = daemon.wire("py2"), daemon.wire("py3")
        for number, key in enumerate(KEYS):
            client.set(key, b"%d" % number)
        for number, key in enumerate(KEYS):
            value = b"%d" % number
            py2.talk(b"get %s\r\n" % key, b"VALUE %s 0 %d\r\n%s\r\nEND\r\n" % (key, len(value), value))
        for key in KEYS:
            py2.talk(b"set %s 0 0 3\r\nnew\r\n" % key, b"STORED\r\n")
            self.assertEqual(b"new", client.get(key))
        spread = set()
        for key in KEYS[:40]:
            # The copy of the other arm is beside the key's own, and where nobody else looks.
            py3.talk(b"set %s 0 0 3\r\nPy3\r\n" % key, b"STORED\r\n")
            self.assertIsNone(client.get(key), "a write through one arm takes the other's copy away")
            client.set(key, b"x")
            py3.talk(b"get %s\r\n" % key, b"VALUE %s 0 3\r\nPy3\r\nEND\r\n" % key)
            before = self.gets(servers)
            py3.talk(b"get %s\r\n" % key, b"VALUE %s 0 3\r\nPy3\r\nEND\r\n" % key)
            asked = [number for number, (old, new) in enumerate(zip(before, self.gets(servers)))
                     if new > old]
            self.assertEqual(asked, self.holders(servers, key))
            spread.update(asked)
        self.assertEqual(len(servers), len(spread), "some server has no keys")

    def gets(self, servers):
        found = []
        for server in servers:
            stats = server.wire().send(b"stats\r\n").until(b"END\r\n")
            found.append(int(stats.split(b"STAT cmd_get ")[1].split(b"\r\n")[0]))
        return found

    def test_weighted_ketama(self):
        self.check([1, 3, 2], [(KETAMA_WEIGHTED, 1)], distribution="ketama")

    def test_weighted_ketama_with_another_hash(self):
        self.check([2, 1, 2], [(KETAMA_WEIGHTED, 1), (HASH, FNV1A_64)],
                   distribution="ketama", hash="fnv1a_64")

    def test_modula(self):
        self.check([1, 1, 1], [(DISTRIBUTION, MODULA)], distribution="modula")

    def test_consistent(self):
        self.check([1, 1, 1], [(HASH, MD5), (DISTRIBUTION, CONSISTENT)],
                   distribution="consistent", hash="md5")



class Check(harness.Test):
    def warnings(self, **changes):
        config = harness.cache_config(*["127.0.0.1:%d" % port for port in (1, 2, 3)], **changes)
        path = os.path.join(self.folder, "check.yaml")
        with open(path, "w") as file:
            file.write(json.dumps(config).replace("@dir@", self.folder).replace("@py2@", "4")
                       .replace("@py3@", "5"))
        done = subprocess.run([harness.program("crossfade"), "--check", "-c", path],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=harness.WAIT)
        self.assertEqual(0, done.returncode, done.stderr)
        return done.stderr

    def test_it_warns_of_a_hash_that_gives_all_keys_to_one_server(self):
        self.assertRegex(self.warnings(hash="crc"), rb"warning: cache.hash sends \d+ % of all keys")
        for changes in ({}, {"hash": "md5"}, {"hash": "crc", "distribution": "modula"}):
            self.assertEqual(b"", self.warnings(**changes), changes)


if __name__ == "__main__":
    harness.main()
