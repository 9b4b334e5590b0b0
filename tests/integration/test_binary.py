"""Clients of the binary protocol: what their requests mean for the other arms, quiet requests, large values,
servers that are down; and beside clients of the text protocol on the same keys."""
import os
import struct
import time

import certificates
import harness
from certificates import SecureWire
from packets import (ADD, ADDQ, APPEND, APPENDQ, AUTH_ERROR, DECR, DELETE, DELETEQ, DONE, EXISTS, FLUSH, FLUSHQ,
                     GAT, GATK, GATKQ, GATQ, GET, GETK, GETKQ, GETQ, INCR, INCRQ, INVALID, NOOP, NOT_FOUND,
                     PREPEND, QUIT, REPLACE, REPLACEQ, SET, SETQ, STAT, TEMPORARY, TOO_LARGE, TOUCH,
                     Binary, count, request, store, touch)

KEYS = (b"k", b"with space", b"line\r\nend", b"\0", b"\xff\x80", b"get a b\r\n", b"x" * 244, b"x" * 245, b"y" * 250,
        b"#" + b"a" * 43, b"py3.0:k")


class Rig(harness.Test):
    SERVERS = 1
    CHANGES = {}

    def setUp(self):
        super().setUp()
        self.servers = [self.memcached() for _ in range(self.SERVERS)]
        self.server = self.servers[0]
        self.crossfade = self.daemon(harness.cache_config(*self.servers, **self.CHANGES))
        self.py2, self.py3 = self.client("py2"), self.client("py3")
        self.direct = Binary(self.server.wire())

    def client(self, arm):
        return Binary(self.crossfade.wire(arm))


class Isolation(Rig):
    def test_g1_any_key_has_a_copy_for_each_arm(self):
        for key in KEYS:
            with self.subTest(key=key):
                self.assertEqual(DONE, self.py2.fill(key, b"of 2 " + key))
                self.assertIsNone(self.py3.get(key))
                self.assertEqual(DONE, self.py3.fill(key, b"of 3 " + key))
                self.assertEqual((b"of 2 " + key, b"of 3 " + key), (self.py2.get(key), self.py3.get(key)))
                for client, value in ((self.py2, b"of 2 " + key), (self.py3, b"of 3 " + key)):
                    for opcode in (GETK, GETKQ):
                        got = client.ask(request(opcode, key, opaque=0x80818283))
                        self.assertEqual((opcode, DONE, key, value, 0x80818283),
                                         (got.opcode, got.status, got.key, got.value, got.opaque))
                    for opcode in (GATK, GATKQ):
                        got = client.ask(touch(opcode, key, opaque=7))
                        self.assertEqual((opcode, DONE, key, value, 7),
                                         (got.opcode, got.status, got.key, got.value, got.opaque))

    def test_the_prefix_is_there_and_never_shown(self):
        self.py3.set(b"a b", b"v")
        self.assertEqual(b"v", self.direct.get(b"py3.0:a b"))
        for opcode, ask in ((GETK, request), (GATK, touch)):
            got = self.py3.ask(ask(opcode, b"not here"))
            self.assertEqual((NOT_FOUND, b"not here", b""), (got.status, got.key, got.value))

    def test_a_long_key_is_no_command(self):
        """A text proxy that adds a prefix has the server run the value; here it cannot be seen at all."""
        self.py3.set(b"victim", b"alive")
        for length in range(240, 251):
            key = b"k" * length
            self.assertEqual(DONE, self.py3.set(key, request(DELETE, b"py3.0:victim")))
            self.assertEqual(request(DELETE, b"py3.0:victim"), self.py3.get(key))
        self.assertEqual(b"alive", self.py3.get(b"victim"))

    def test_text_and_binary_see_the_same_items(self):
        for arm in ("py2", "py3"):
            text, binary = self.crossfade.wire(arm), self.client(arm)
            for key in (b"one", b"k" * 250):
                text.talk(b"set %s 77 0 4\r\ntext\r\n" % key, b"STORED\r\n")
                got = binary.ask(request(GET, key))
                self.assertEqual((b"text", struct.pack(">I", 77)), (got.value, got.extras))
                binary.set(key, b"binary", flags=0xfedcba98)
                text.talk(b"get %s\r\n" % key, b"VALUE %s 4275878552 6\r\nbinary\r\nEND\r\n" % key)

    def test_lookups(self):
        key = b"__crossfade__/namespace"
        got = self.py3.ask(request(GETK, key))
        self.assertEqual((DONE, key, b"py3.0:", b"\0\0\0\0"), (got.status, got.key, got.value, got.extras))
        self.assertEqual(b"py3.0:", self.py3.ask(request(GETQ, key)).value)
        for opcode, is_key in ((GET, b""), (GETK, b"__crossfade__/x")):
            got = self.py3.ask(request(opcode, b"__crossfade__/x", opaque=5))
            self.assertEqual((NOT_FOUND, is_key, 5), (got.status, got.key, got.opaque))
        self.assertEqual([], self.py3.barrier(request(GETKQ, b"__crossfade__/x")))
        self.assertEqual(INVALID, self.py3.set(key, b"x"))
        self.assertEqual(INVALID, self.py3.ask(request(DELETEQ, key)).status)


class Coherence(Rig):
    def both(self, key=b"k", value=b"5"):
        """Each arm has its copy."""
        for client in (self.py2, self.py3):
            client.delete(key)
        for client in (self.py2, self.py3):
            self.assertEqual(DONE, client.fill(key, value))
        self.assertEqual((value, value), (self.py2.get(key), self.py3.get(key)))

    def test_g2_a_delete_reaches_the_other_arm(self):
        for deleter, other in ((self.py2, self.py3), (self.py3, self.py2)):
            for key in KEYS:
                for opcode in (DELETE, DELETEQ):
                    self.both(key)
                    deleter.barrier(request(opcode, key))
                    self.assertIsNone(other.get(key))
                    self.assertIsNone(deleter.get(key))

    def test_g4_mutations_invalidate_and_fills_do_not(self):
        k = b"k"
        mutations = (
            (store(SET, k, b"7"), b"7"), (store(SETQ, k, b"7"), b"7"), (store(REPLACE, k, b"7"), b"7"),
            (store(REPLACEQ, k, b"7"), b"7"), (request(APPEND, k, b"7"), b"57"), (request(APPENDQ, k, b"7"), b"57"),
            (request(PREPEND, k, b"7"), b"75"), (count(INCR, k, 1), b"6"), (count(INCRQ, k, 1), b"6"),
            (count(DECR, k, 1), b"4"))
        for mutation, result in mutations:
            for writer, other in ((self.py2, self.py3), (self.py3, self.py2)):
                with self.subTest(mutation=mutation):
                    self.both()
                    writer.barrier(mutation)
                    self.assertEqual((None, result), (other.get(k), writer.get(k)))
        for fill in store(ADD, k, b"7"), store(ADDQ, k, b"7"), touch(TOUCH, k), touch(GAT, k), request(GET, k):
            with self.subTest(fill=fill):
                self.both()
                self.py2.barrier(fill)
                self.assertEqual(b"5", self.py3.get(k))

    def test_g4_a_set_with_cas_is_a_mutation_also_after_a_miss(self):
        for opcode in (SET, ADD, REPLACE):
            self.both()
            cas = self.py3.ask(request(GET, b"k")).cas
            self.assertEqual(EXISTS, self.py3.ask(store(opcode, b"k", b"x", cas=cas + 9)).status)
            for client in (self.py2, self.py3):
                client.delete(b"k")
            self.py2.fill(b"k", b"5")
            self.assertIsNone(self.py3.get(b"k"))
            cas = self.direct.ask(store(SET, b"py3.0:k", b"not by us")).cas
            got = self.py3.ask(store(opcode, b"k", b"x", cas=cas))
            self.assertEqual(DONE, got.status)
            self.assertEqual(got.cas, self.py3.ask(request(GET, b"k")).cas)
            self.assertIsNone(self.py2.get(b"k"))

    def test_g4_incr_that_creates_is_a_mutation(self):
        self.py2.fill(b"n", b"1")
        got = self.py3.ask(count(INCR, b"n", 1, initial=40, expiry=0))
        self.assertEqual((DONE, struct.pack(">Q", 40)), (got.status, got.value))
        self.assertIsNone(self.py2.get(b"n"))

    def test_g4_a_miss_in_one_protocol_is_answered_by_a_set_in_the_other(self):
        for key in (b"a", b"k" * 250):
            self.py2.fill(key, b"2")
            self.crossfade.wire("py3").talk(b"get %s\r\n" % key, b"END\r\n")
            self.assertEqual(DONE, self.py3.set(key, b"3"))
            self.assertEqual(b"2", self.py2.get(key))
            self.py3.delete(key)
            self.py2.fill(key, b"2")
            self.assertIsNone(self.py3.get(key))
            self.crossfade.wire("py3").talk(b"set %s 0 0 1\r\n3\r\n" % key, b"STORED\r\n")
            self.assertEqual((b"2", b"3"), (self.py2.get(key), self.py3.get(key)))

    def test_quiet_misses_are_remembered(self):
        self.py2.fill(b"q", b"2")
        for opcode in (GETQ, GETKQ):
            self.assertEqual([], self.py3.barrier(request(opcode, b"q")))
            self.assertEqual([], self.py3.barrier(store(SETQ, b"q", b"3")))
            self.assertEqual(b"2", self.py2.get(b"q"))
            self.py3.ask(request(DELETE, b"q"))
            self.py2.fill(b"q", b"2")

    def test_shared_keys_have_one_copy(self):
        key = b"shared: a counter"
        self.assertEqual(DONE, self.py2.set(key, b"5"))
        self.assertEqual(struct.pack(">Q", 6), self.py3.ask(count(INCR, key, 1)).value)
        self.assertEqual(EXISTS, self.py2.ask(store(ADD, key, b"x")).status)
        self.assertEqual(b"6", self.py2.get(key))
        self.assertEqual(b"6", self.direct.get(key))

    def test_a_value_that_is_too_large_takes_the_old_one_with_it(self):
        self.both()
        for opcode in (SET, SETQ):
            self.both()
            got = self.py3.ask(store(opcode, b"k", b"x" * 1100000, opaque=3))
            self.assertEqual((opcode, TOO_LARGE, b"Too large.", 3), (got.opcode, got.status, got.value, got.opaque))
            self.assertEqual((None, None), (self.py2.get(b"k"), self.py3.get(b"k")))
        for ask in (store(REPLACE, b"k", b"x" * 1100000), request(APPENDQ, b"k", b"x" * 1100000)):
            self.both()
            self.assertEqual(TOO_LARGE, self.py3.ask(ask).status)
            self.assertEqual((b"5", b"5"), (self.py2.get(b"k"), self.py3.get(b"k")))


class Quiet(Rig):
    SERVERS = 3

    def test_noop_is_a_barrier_and_only_hits_and_errors_are_heard(self):
        self.py3.set(b"there", b"v")
        got = self.py3.barrier(
            request(GETQ, b"there", opaque=1), request(GETQ, b"gone", opaque=2), request(GETKQ, b"there", opaque=3),
            request(GETKQ, b"gone", opaque=4), store(SETQ, b"s", b"1", opaque=5), store(ADDQ, b"s", b"1", opaque=6),
            store(REPLACEQ, b"gone", b"1", opaque=7), request(APPENDQ, b"s", b"2", opaque=8),
            request(APPENDQ, b"gone", b"2", opaque=9), count(INCRQ, b"s", 1, opaque=10), count(INCRQ, b"gone", 1, opaque=11),
            count(INCRQ, b"there", 1, opaque=12), request(DELETEQ, b"s", opaque=13), request(DELETEQ, b"s", opaque=14),
            touch(GATQ, b"there", opaque=15), touch(GATQ, b"gone", opaque=16), touch(GATKQ, b"there", opaque=17))
        self.assertEqual([(1, 0), (3, 0), (6, EXISTS), (7, NOT_FOUND), (9, 5), (11, NOT_FOUND), (12, 6), (14, NOT_FOUND),
                          (15, 0), (17, 0)], [(each.opaque, each.status) for each in got])

    def test_replies_keep_their_order_over_servers(self):
        for client in (self.py2, self.py3):
            keys = [b"key %d" % number for number in range(100)]
            self.assertEqual([], client.barrier(*[store(SETQ, key, b"value of " + key) for key in keys[::2]]))
            for _ in range(3):
                got = client.barrier(*[request(GETKQ, key, opaque=at) for at, key in enumerate(keys)])
                self.assertEqual([(at, keys[at], b"value of " + keys[at]) for at in range(0, 100, 2)],
                                 [(each.opaque, each.key, each.value) for each in got])

    def test_more_than_may_be_under_way(self):
        requests = b"".join(store(SETQ, b"%d" % number, b"v") for number in range(5000))
        self.py3.send(requests)
        self.assertEqual([], self.py3.barrier())
        got = self.py3.barrier(*[request(GETQ, b"%d" % number, opaque=number) for number in range(5000)])
        self.assertEqual(list(range(5000)), [each.opaque for each in got])

    def test_quit_comes_after_what_was_asked_before(self):
        self.py3.set(b"k", b"v")
        self.py3.send(request(GET, b"k"), request(QUIT, opaque=9), request(NOOP))
        self.assertEqual((b"v", 9), (self.py3.read().value, self.py3.read().opaque))
        self.py3.wire.expect_end()

    def test_what_was_asked_before_the_client_stopped_sending_is_answered(self):
        self.py3.send(store(SETQ, b"k", b"v"), request(GET, b"k"))
        self.py3.wire.shut_write()
        self.assertEqual(b"v", self.py3.read().value)
        self.py3.wire.expect_end()


class Large(Rig):
    CHANGES = {"max_value": "64m", "timeouts": {"request": "10s"}}

    def setUp(self):
        super().setUp()
        self.server.kill()
        self.server.options = ["-I", "64m", "-m", "512"]
        self.server.start()

    def test_values_of_all_sizes(self):
        for size in (0, 1, 511, 512, 513, 3000, 3100, 65535, 65536, 65537, 262144, 262200, 1000000, 20000000):
            value = (os.urandom(1000) * (size // 1000 + 1))[:size]
            for key in (b"large one", b"k" * 248):
                with self.subTest(size=size, key=key[:9]):
                    got = self.py3.barrier(store(SETQ, key, value, flags=size))
                    self.assertEqual([], got)
                    for opcode in (GETQ, GETKQ):
                        got = self.py3.ask(request(opcode, key, opaque=size))
                        self.assertEqual((opcode, DONE, key if opcode == GETKQ else b"", size),
                                         (got.opcode, got.status, got.key, got.opaque))
                        self.assertTrue(got.value == value and got.extras == struct.pack(">I", size))

    def test_uploads_keep_their_place(self):
        big = os.urandom(300000)
        self.py2.fill(b"k", b"other")
        got = self.py3.barrier(store(SETQ, b"k", b"small"), store(SET, b"k", big, opaque=1), request(APPENDQ, b"k", b"!"),
                               request(GET, b"k", opaque=2), store(SETQ, b"k", big), request(GETK, b"k", opaque=3),
                               store(ADD, b"k", big, opaque=4))
        self.assertEqual([1, 2, 3, 4], [each.opaque for each in got])
        self.assertTrue(got[1].value == big + b"!" and got[2].value == big)
        self.assertEqual(EXISTS, got[3].status)
        self.assertIsNone(self.py2.get(b"k"))

    def test_an_upload_in_pieces(self):
        big = os.urandom(400000)
        data = store(SET, b"k", big)
        for first in (24, 32, 33, 34, 35, 70000):
            self.py3.wire.send(data[:first])
            time.sleep(0.02)
            self.assertEqual(DONE, self.py3.ask(data[first:]).status)
            self.assertTrue(self.py3.get(b"k") == big)

    def test_a_client_that_goes_in_mid_value(self):
        self.py2.set(b"k", b"old")
        for _ in range(3):
            other = self.client("py2")
            other.send(store(SET, b"k", b"x" * 300000)[:200000])
            other.wire.close()
        self.assertEqual(b"old", self.py2.get(b"k"))
        self.assertTrue(self.py2.set(b"k", b"x" * 300000) == DONE)


class Here(Rig):
    def test_statistics(self):
        self.py3.set(b"k", b"v")
        self.py3.get(b"k")
        self.py3.get(b"gone")
        self.py3.send(request(STAT, opaque=6))
        stats = {}
        while True:
            got = self.py3.read()
            self.assertEqual((STAT, DONE, b"", 6), (got.opcode, got.status, got.extras, got.opaque))
            if not got.key:
                self.assertEqual(b"", got.value)
                break
            stats[got.key] = got.value
        self.assertEqual((b"2", b"1", b"1", b"1"), tuple(
            stats[name] for name in (b"cmd_get", b"get_hits", b"get_misses", b"cmd_set")))
        self.assertIn(b"crossfade", stats[b"version"])
        text = self.crossfade.wire("py3")
        for what in (b"", b" settings", b" sizes", b" crossfade", b" items", b" slabs", b" conns"):
            lines = text.send(b"stats%s\r\n" % what).until(b"END\r\n").split(b"\r\n")[:-2]
            got = self.py3.barrier(request(STAT, what[1:]))
            self.assertEqual([line.split()[1] for line in lines], [each.key for each in got][:-1])
        self.assertEqual(NOT_FOUND, self.py3.ask(request(STAT, b"nonsense")).status)
        self.assertEqual(AUTH_ERROR, self.py3.ask(request(STAT, b"reset")).status)

    def test_flush_is_of_the_own_namespace(self):
        for opcode, replies in ((FLUSH, [DONE]), (FLUSHQ, [])):
            self.py2.delete(b"k")
            self.py2.fill(b"k", b"2")
            self.py3.fill(b"k", b"3")
            got = self.py3.barrier(request(opcode), request(GETQ, b"k"))
            self.assertEqual(replies, [each.status for each in got])
            self.assertEqual((b"2", None), (self.py2.get(b"k"), self.py3.get(b"k")))
            got = self.py2.ask(request(opcode, opaque=4))
            self.assertEqual((opcode, AUTH_ERROR, 4), (got.opcode, got.status, got.opaque))
            self.assertIn(b"no prefix", got.value)
            self.assertEqual(b"2", self.py2.get(b"k"))

    def test_flush_later(self):
        self.py3.set(b"k", b"3")
        self.assertEqual(DONE, self.py3.ask(request(FLUSH, extras=struct.pack(">I", 2))).status)
        self.assertEqual(b"3", self.py3.get(b"k"))
        harness.eventually(lambda: self.py3.get(b"k") is None, "the flush")

    def test_counters_are_those_of_text(self):
        self.py3.barrier(store(SETQ, b"k", b"5"), request(GETQ, b"k"), request(GETQ, b"gone"), touch(GATQ, b"k"),
                         touch(TOUCH, b"k"), touch(TOUCH, b"gone"), request(DELETEQ, b"k"), request(DELETEQ, b"k"),
                         count(INCRQ, b"k", 1), store(SET, b"k", b"5"), count(INCRQ, b"k", 1), store(SET, b"k", b"5", cas=1))
        row = dict(each.split()[1:] for each in self.crossfade.wire("py3").send(b"stats crossfade\r\n")
                   .until(b"END\r\n").split(b"\r\n") if each.startswith(b"STAT "))
        wanted = {"gets": 3, "hits": 2, "misses": 1, "sets": 3, "deletes": 2, "delete_hits": 1, "delete_misses": 1,
                  "touches": 3, "touch_hits": 2, "touch_misses": 1, "incr_hits": 1, "incr_misses": 1, "cas_badval": 1,
                  "sets_as_mutation": 2, "sets_as_fill": 0}
        self.assertEqual(wanted, {name: int(row[name.encode()]) for name in wanted})


class Guard(Rig):
    CHANGES = {"client_profile": "python", "keys": [{"match": "shared:*", "scope": "shared", "guard": True}]}

    def test_g8_a_pickle_that_one_arm_cannot_read_is_refused(self):
        client = self.py3
        self.assertEqual(DONE, client.set(b"shared:k", b"\x80\x02K\x01.", flags=1))
        for opcode in (SET, SETQ, ADD, REPLACE):
            for size in (0, 200000):
                got = client.ask(store(opcode, b"shared:k", b"\x80\x05K\x01." + b"." * size, flags=1))
                self.assertEqual(INVALID, got.status)
                self.assertIn(b"pickle", got.value)
        data = store(SET, b"shared:k", b"\x80\x05K\x01." + b"." * 200000, flags=1)
        for cut in range(24, 24 + 8 + len(b"shared:k") + 4):
            client.send(data[:cut])
            time.sleep(0.01)
            self.assertEqual(INVALID, client.ask(data[cut:]).status)
        self.assertEqual(b"\x80\x02K\x01.", client.get(b"shared:k"))


class OverTls(harness.Test):
    def test_on_both_sides(self):
        authority = certificates.Authority(self.folder)
        pair = authority.pair("server")
        server = self.memcached("-Z", "-o", "ssl_chain_cert=%s,ssl_key=%s" % (pair.certificate, pair.key))
        config = harness.cache_config(server, server_tls={"ca": authority.certificate})
        for listen in config["cache"]["listen"]:
            listen["tls"] = {"certificate": pair.certificate, "key": pair.key}
        daemon = self.daemon(config)
        py2, py3 = [Binary(SecureWire(daemon.port(arm), authority.context())) for arm in ("py2", "py3")]
        big = os.urandom(700000)
        self.assertEqual([DONE, DONE], [py2.fill(b"a b", big), py3.fill(b"a b", b"3")])
        self.assertTrue(py2.get(b"a b") == big and py3.get(b"a b") == b"3")
        self.assertEqual(DONE, py3.delete(b"a b"))
        self.assertIsNone(py2.get(b"a b"))
        got = py3.barrier(*[store(SETQ, b"%d" % number, b"v" * number) for number in range(300)],
                          *[request(GETKQ, b"%d" % number) for number in range(300)])
        self.assertEqual([(b"%d" % number, b"v" * number) for number in range(300)],
                         [(each.key, each.value) for each in got])


class Down(harness.Test):
    """Servers that are not there, or speak one protocol alone."""

    def rig(self, server, **changes):
        daemon = self.daemon(harness.cache_config(server, **changes))
        return daemon, Binary(daemon.wire("py2")), Binary(daemon.wire("py3"))

    def test_reads_are_misses_and_writes_are_errors(self):
        server = self.memcached()
        daemon, _, client = self.rig(server)
        client.set(b"k", b"v")
        server.kill()
        for _ in range(2):
            for key in (b"a b", b"k" * 250):
                got = client.barrier(
                    request(GET, key, opaque=1), request(GETQ, key, opaque=2), request(GETK, key, opaque=3),
                    request(GETKQ, key, opaque=4), touch(GATK, key, opaque=5), store(SET, key, b"1", opaque=6),
                    store(SETQ, key, b"1", opaque=7), request(DELETEQ, key, opaque=8), touch(TOUCH, key, opaque=9),
                    store(SET, key, b"x" * 100000, opaque=10))
                self.assertEqual([(1, NOT_FOUND, b""), (3, NOT_FOUND, key), (5, NOT_FOUND, key)] +
                                 [(number, TEMPORARY, b"") for number in range(6, 11)],
                                 [(each.opaque, each.status, each.key) for each in got])
                self.assertIn(b"memcached server", got[-1].value)
        server.start()
        harness.eventually(lambda: client.set(b"k", b"v") == DONE, "the server's return")
        self.assertEqual("up", daemon.show("servers")[0]["state"])

    def test_on_failure_error(self):
        server = self.memcached()
        _, _, client = self.rig(server, on_failure="error")
        server.kill()
        got = client.barrier(request(GET, b"k", opaque=1), request(GETKQ, b"k", opaque=2), touch(GATQ, b"k", opaque=3))
        self.assertEqual([(1, TEMPORARY), (2, TEMPORARY), (3, TEMPORARY)], [(each.opaque, each.status) for each in got])

    def test_a_frozen_server(self):
        server = self.memcached()
        daemon, _, client = self.rig(server)
        client.set(b"k", b"v")
        server.freeze()
        got = client.barrier(request(GETQ, b"k", opaque=1), request(GET, b"k", opaque=2), request(DELETEQ, b"k", opaque=3))
        self.assertEqual([(2, NOT_FOUND), (3, TEMPORARY)], [(each.opaque, each.status) for each in got])
        self.assertEqual(1, daemon.show("servers")[0]["timeouts"])
        server.thaw()
        harness.eventually(lambda: client.set(b"k", b"v") == DONE, "the server's return")

    def test_a_server_that_speaks_text_alone_is_not_down_for_text(self):
        self.one_alone("ascii", b"get k\r\n", b"END\r\n", request(GET, b"k"))

    def one_alone(self, spoken, good, answer, bad):
        daemon, _, client = self.rig(self.memcached("-B", spoken), on_failure="error")
        wire = daemon.wire("py3")
        for _ in range(20):
            self.assertEqual(TEMPORARY, client.ask(bad).status)
            wire.talk(good, answer)
        self.assertIn(b"for the binary protocol", daemon.log())

    def test_a_server_that_speaks_binary_alone_is_not_down_for_binary(self):
        daemon, _, client = self.rig(self.memcached("-B", "binary"), on_failure="error")
        wire = daemon.wire("py3")
        for _ in range(20):
            self.assertTrue(wire.send(b"get k\r\n").line().startswith(b"SERVER_ERROR "))
            self.assertEqual(NOT_FOUND, client.ask(request(GET, b"k")).status)
            self.assertEqual(DONE, client.set(b"n", b"v"))


if __name__ == "__main__":
    harness.main()
