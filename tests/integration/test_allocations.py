"""No allocation per request, little memory for an idle connection, all given back after a burst.

For a plain build: a sanitizer has an allocator of its own.
"""
import os
import resource
import struct
import time

import harness
import packets

REQUESTS = 10000
# Timers, the control plane and the first use of a thing may allocate; a request may not.
ALLOWED = 64


class Counted(harness.Test):
    TIME_LIMIT = 240

    def counted_daemon(self, config):
        counter = os.path.join(self.folder, "allocations")
        library = os.path.join(harness.build_folder(), "tests", "integration", "malloc_count.so")
        if not os.path.exists(library):
            raise AssertionError("%s is missing: make check builds it" % library)
        daemon = self.daemon(config, env={"LD_PRELOAD": library, "MALLOC_COUNT_FILE": counter})
        self.counter = counter
        # The counter counts: the start alone allocates a lot.
        self.assertGreater(self.count(), 100)
        return daemon

    def count(self):
        with open(self.counter, "rb") as file:
            return struct.unpack("=Q", file.read(8))[0]

    def measure(self, once, rounds, requests_in_one):
        """once() does some requests; after a warm-up no further round of it allocates."""
        for _ in range(max(3, rounds // 5)):
            once()
        before = self.count()
        for _ in range(rounds):
            once()
        allocated = self.count() - before
        self.assertGreaterEqual(rounds * requests_in_one, REQUESTS)
        self.assertLess(allocated, ALLOWED, "%d allocations in %d requests"
                        % (allocated, rounds * requests_in_one))


class CachePlane(Counted):
    def setUp(self):
        super().setUp()
        first, second = self.memcached(), self.memcached()
        self.target = self.counted_daemon(harness.cache_config(first, second))
        self.wire = self.target.wire("py3")

    def rounds(self, request, reply, batch):
        self.measure(lambda: self.wire.talk(request * batch, reply * batch),
                     REQUESTS // batch, batch)

    def test_get_hit(self):
        self.wire.talk(b"set k 7 0 100\r\n" + b"v" * 100 + b"\r\n", b"STORED\r\n")
        self.rounds(b"get k\r\n", b"VALUE k 7 100\r\n" + b"v" * 100 + b"\r\nEND\r\n", 20)

    def test_get_hit_without_pipelining(self):
        self.wire.talk(b"set k 7 0 3\r\nabc\r\n", b"STORED\r\n")
        self.rounds(b"get k\r\n", b"VALUE k 7 3\r\nabc\r\nEND\r\n", 1)

    def test_get_miss(self):
        self.rounds(b"get absent\r\n", b"END\r\n", 20)

    def test_get_of_fifty_keys(self):
        keys = [b"key%d" % number for number in range(50)]
        values = b""
        for key in keys:
            self.wire.talk(b"set %s 0 0 5\r\nvalue\r\n" % key, b"STORED\r\n")
            values += b"VALUE %s 0 5\r\nvalue\r\n" % key
        self.rounds(b"get " + b" ".join(keys) + b"\r\n", values + b"END\r\n", 4)

    def test_set_with_fan_out(self):
        self.rounds(b"set k 0 0 1000\r\n" + b"v" * 1000 + b"\r\n", b"STORED\r\n", 10)

    def test_delete_with_fan_out(self):
        self.rounds(b"delete absent\r\n", b"NOT_FOUND\r\n", 20)

    def test_incr_of_a_shared_counter(self):
        self.wire.talk(b"set shared:n 0 0 1\r\n0\r\n", b"STORED\r\n")
        self.rounds(b"incr shared:n 0\r\n", b"0\r\n", 20)

    def test_large_values(self):
        value = b"x" * 100000
        self.wire.talk(b"set big 0 0 100000\r\n" + value + b"\r\n", b"STORED\r\n")
        reply = b"VALUE big 0 100000\r\n" + value + b"\r\nEND\r\n"
        self.rounds(b"get big\r\n", reply, 2)

    def test_long_keys(self):
        key = b"k" * 249
        self.wire.talk(b"set " + key + b" 0 0 1\r\nv\r\n", b"STORED\r\n")
        self.rounds(b"get " + key + b"\r\n", b"VALUE " + key + b" 0 1\r\nv\r\nEND\r\n", 20)


class Binary(Counted):
    def setUp(self):
        super().setUp()
        first, second = self.memcached(), self.memcached()
        self.wire = self.counted_daemon(harness.cache_config(first, second)).wire("py3")
        self.client = packets.Binary(self.wire)

    def rounds(self, requests, replies, count):
        data, wanted = b"".join(requests), b"".join(replies)
        self.measure(lambda: self.wire.talk(data, wanted), REQUESTS // count, count)

    def hit(self, key, value):
        cas = self.client.ask(packets.store(packets.SET, key, value)).cas
        return packets.reply(packets.GETKQ, key=key, value=value, extras=b"\0" * 4, cas=cas)

    def test_gets_of_fifty_keys(self):
        """Every other one is there; one is large, one has a digest on the server."""
        keys = [b"key %d" % number for number in range(48)] + [b"k" * 249, b"large"]
        hits = [self.hit(key, b"value") for key in keys[1:48:2] + [b"k" * 249]] + [self.hit(b"large", b"x" * 100000)]
        self.rounds([packets.request(packets.GETKQ, key) for key in keys] + [packets.request(packets.NOOP)],
                    hits + [packets.reply(packets.NOOP)], 50)

    def test_writes_with_fan_out(self):
        """Quiet ones, whose replies hold no cas number."""
        self.client.set(b"shared:n", b"0")
        self.rounds([packets.store(packets.SETQ, b"k", b"v" * 1000), packets.request(packets.DELETE, b"absent"),
                     packets.count(packets.INCRQ, b"shared:n", 1), packets.request(packets.APPENDQ, b"k", b"")] * 5 +
                    [packets.request(packets.NOOP)],
                    [packets.reply(packets.DELETE, packets.NOT_FOUND, value=b"Not found")] * 5 +
                    [packets.reply(packets.NOOP)], 20)


class WebPlane(Counted):
    def setUp(self):
        super().setUp()
        backend = self.backend("shop")
        backend.requests = Nothing()
        self.target = self.counted_daemon(harness.web_config(backend, backend))
        self.wire = self.target.wire("web")

    def rounds(self, request, batch):
        def once():
            self.wire.send(request * batch)
            for _ in range(batch):
                self.wire.until(b"\r\n\r\nshop")
        self.measure(once, REQUESTS // batch, batch)

    def test_get(self):
        self.rounds(b"GET /page HTTP/1.1\r\nHost: shop\r\nX-User-Id: 7\r\nCookie: a=b; uid=1\r\n\r\n",
                    10)

    def test_post(self):
        self.rounds(b"POST /page HTTP/1.1\r\nHost: shop\r\nContent-Length: 1000\r\n\r\n"
                    + b"x" * 1000, 10)

    def test_post_chunked(self):
        self.rounds(b"POST /page HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n"
                    + (b"64\r\n" + b"x" * 100 + b"\r\n") * 5 + b"0\r\n\r\n", 10)


class Nothing:
    """Instead of a list of requests that nobody reads."""

    def append(self, unused):
        pass


class Memory(harness.Test):
    CONNECTIONS = 2000
    TIME_LIMIT = 120

    def setUp(self):
        super().setUp()
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        if hard != resource.RLIM_INFINITY and hard < self.CONNECTIONS + 200:
            self.skipTest("only %d open files are allowed here" % hard)

    def settled(self, daemon):
        """Its memory once it changes no more."""
        last = daemon.memory()
        for _ in range(50):
            time.sleep(0.1)
            now = daemon.memory()
            if now == last:
                break
            last = now
        return last

    def idle(self, daemon, port, request, reply):
        """Bytes for each of many connections that have had one answer each."""
        def opened(number):
            wires = [daemon.wire(port) for _ in range(number)]
            for wire in wires:  # one after the other: what is measured is no burst
                wire.send(request).until(reply)
            return wires

        warm = opened(50)  # what is there once for all
        before = self.settled(daemon)
        many = opened(self.CONNECTIONS)
        each = (self.settled(daemon) - before) / self.CONNECTIONS
        for wire in warm + many:
            wire.close()
        return each

    def test_idle_cache_clients_take_a_kibibyte_each(self):
        daemon = self.daemon(harness.cache_config(self.memcached()))
        each = self.idle(daemon, "py3", b"get absent\r\n", b"END\r\n")
        self.assertLessEqual(each, 1024)

    def test_idle_web_clients_take_a_kibibyte_each(self):
        backend = self.backend("shop")
        daemon = self.daemon(harness.web_config(backend, backend))
        each = self.idle(daemon, "web", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", b"\r\n\r\nshop")
        self.assertLessEqual(each, 1024)

    def test_memory_is_given_back_after_a_burst(self):
        daemon = self.daemon(harness.cache_config(self.memcached()))
        wires = [daemon.wire("py3") for _ in range(300)]
        for wire in wires:
            wire.talk(b"get absent\r\n", b"END\r\n")
        before = self.settled(daemon)
        # A value is held until all of it is here; here all of them lack their last byte.
        for number, wire in enumerate(wires):
            wire.send(b"set key%d 0 0 50000\r\n" % number + b"x" * 50000 + b"\r")
        harness.eventually(lambda: daemon.memory() - before > 300 * 40000, "a burst of memory")
        for wire in wires:
            wire.talk(b"\n", b"STORED\r\n")
        # The connections stay open: what they had borrowed is back nevertheless.
        harness.eventually(lambda: daemon.memory() - before < (2 << 20),
                           "the memory falling back from its peak (%d KiB before)" % (before >> 10))


if __name__ == "__main__":
    harness.main()
