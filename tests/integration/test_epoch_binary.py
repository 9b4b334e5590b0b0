"""Epoch mode for clients of the binary protocol: what they read, write and change, beside another arm and beside
clients of the text protocol; over servers that speak binary only, too."""
import base64
import hashlib
import os
import socket
import struct
import threading
import time

import harness
from packets import (ADD, ADDQ, APPEND, APPENDQ, DECR, DECRQ, DELETE, DELETEQ, DONE, EXISTS, GAT, GATK, GATKQ, GATQ,
                     GET, GETK, GETKQ, GETQ, HEAD, INCR, INCRQ, INVALID, NOOP, NOT_FOUND, NOT_STORED, PREPEND,
                     PREPENDQ, REPLACE, REPLACEQ, SET, SETQ, TEMPORARY, TOO_LARGE, TOUCH, Binary, count, reply,
                     request, store, touch)

NOT_NUMERIC = 6
STAMP = 20
KEYS = (b"k", b"with space", b"line\r\nend", b"\0", b"\xff\x80", b"get a b\r\n", b"x" * 231, b"x" * 244, b"y" * 250,
        b"#" + b"a" * 43, b"py3.0:k", b"cf~:e:k", b"cf~py3.0:k")
NUMBER = struct.Struct(">Q")


class Rig(harness.Test):
    SERVERS = 1
    OPTIONS = ()
    CHANGES = {}

    def setUp(self):
        super().setUp()
        self.servers = [self.memcached(*self.OPTIONS) for _ in range(self.SERVERS)]
        self.server = self.servers[0]
        changes = dict(self.CHANGES)
        changes.setdefault("coherence", "epoch")
        self.crossfade = self.daemon(harness.cache_config(*self.servers, **changes))
        self.py2, self.py3 = self.client("py2"), self.client("py3")
        self.direct = Binary(self.server.wire())

    def client(self, arm):
        return Binary(self.crossfade.wire(arm))

    def counters(self, arm="py3"):
        lines = self.crossfade.wire(arm).send(b"stats crossfade\r\n").until(b"END\r\n").split(b"\r\n")
        return {each.split()[1].decode(): int(each.split()[2]) for each in lines
                if each.startswith(b"STAT ") and each.split()[2].isdigit()}

    def fresh(self, key=b"k"):
        """A key that nobody has missed: a miss that no set answers keeps later fills of the key out for a while."""
        self.made = getattr(self, "made", 0) + 1
        return b"%d %s" % (self.made, key)

    def both(self, key=None, value=b"5"):
        """Each arm has its copy of a key that is returned."""
        key = key or self.fresh()
        for client in (self.py2, self.py3):
            self.assertEqual(DONE, client.fill(key, value))
        self.assertEqual((value, value), (self.py2.get(key), self.py3.get(key)))
        return key


class Reads(Rig):
    def test_g1_any_key_has_a_copy_for_each_arm(self):
        for key in KEYS:
            with self.subTest(key=key):
                self.assertEqual(DONE, self.py2.fill(key, b"of 2 " + key))
                self.assertIsNone(self.py3.get(key))
                self.assertEqual(DONE, self.py3.fill(key, b"of 3 " + key))
                self.assertEqual((b"of 2 " + key, b"of 3 " + key), (self.py2.get(key), self.py3.get(key)))
                for client, value in ((self.py2, b"of 2 " + key), (self.py3, b"of 3 " + key)):
                    for opcode in (GET, GETQ, GETK, GETKQ, GAT, GATQ, GATK, GATKQ):
                        ask = request if opcode in (GET, GETQ, GETK, GETKQ) else touch
                        shown = key if opcode in (GETK, GETKQ, GATK, GATKQ) else b""
                        got = client.ask(ask(opcode, key, opaque=0x80818283))
                        self.assertEqual((opcode, DONE, shown, value, b"\0\0\0\0", 0x80818283),
                                         (got.opcode, got.status, got.key, got.value, got.extras, got.opaque))

    def test_misses_and_their_keys(self):
        for key in KEYS:
            for _ in range(2):  # the second time there is an epoch item
                for opcode, ask in ((GETK, request), (GATK, touch)):
                    got = self.py3.ask(ask(opcode, key, opaque=5))
                    self.assertEqual((opcode, NOT_FOUND, key, b"", 5),
                                     (got.opcode, got.status, got.key, got.value, got.opaque))
                for opcode, ask in ((GET, request), (GAT, touch)):
                    got = self.py3.ask(ask(opcode, key, opaque=5))
                    self.assertEqual((opcode, NOT_FOUND, b"", b"Not found", 5),
                                     (got.opcode, got.status, got.key, got.value, got.opaque))

    def test_what_is_stored(self):
        self.assertEqual(DONE, self.py3.fill(b"a b", b"value"))
        self.assertEqual(b"value", self.py3.get(b"a b"))
        digest = b"#" + base64.urlsafe_b64encode(hashlib.sha256(b"a b").digest()).rstrip(b"=")
        epoch = self.direct.get(b"cf~:e:" + digest)
        prefix = self.prefix_of(b"a b")
        stored = self.direct.get(prefix + b"a b")
        self.assertEqual((epoch[:16], b"\0\0\0\0", b"value"), (stored[:16], stored[16:20], stored[20:]))

    def prefix_of(self, key):
        for digits in range(1, 6):
            prefix = b"cf~py3.%0*d:" % (digits, 0)
            if self.direct.get(prefix + key) is not None:
                return prefix
        raise AssertionError("no value of %r" % key)

    def test_flags_and_cas_are_the_items_own(self):
        self.assertIsNone(self.py3.get(b"k"))
        stored = self.py3.ask(store(SET, b"k", b"v", flags=0xfedcba98))
        for opcode in (GET, GETK):
            got = self.py3.ask(request(opcode, b"k"))
            self.assertEqual((stored.cas, b"\xfe\xdc\xba\x98"), (got.cas, got.extras))

    def test_quiet_misses_are_silent_and_remembered(self):
        for opcode in (GETQ, GETKQ):
            key = self.fresh()
            self.py2.fill(key, b"2")
            self.assertEqual([], self.py3.barrier(request(opcode, key)))
            self.assertEqual([], self.py3.barrier(store(SETQ, key, b"3")))
            self.assertEqual((b"2", b"3"), (self.py2.get(key), self.py3.get(key)))

    def test_g2_a_value_whose_epoch_is_another_is_a_miss(self):
        for name in KEYS:
            for opcode in (DELETE, DELETEQ):
                for deleter, other in ((self.py2, self.py3), (self.py3, self.py2)):
                    key = self.both(self.fresh(name)[:250])
                    deleter.barrier(request(opcode, key))
                    self.assertEqual((None, None), (other.get(key), deleter.get(key)))

    def test_an_evicted_or_foreign_epoch_item_makes_values_misses(self):
        foreign = (b"", b"x", b"x" * 31, b"x" * 33, b"x" * 4000, b"x" * 300000)
        for what in (None,) + foreign:
            with self.subTest(what=what and what[:30]):
                for opcode in (GET, GETKQ, GATK):
                    key = self.both(b"key%d" % (foreign.index(what) if what is not None else 99) + bytes([opcode + 65]))
                    if what is None:
                        self.assertEqual(DONE, self.direct.delete(b"cf~:e:" + key))
                    else:
                        self.assertEqual(DONE, self.direct.set(b"cf~:e:" + key, what))
                    ask = touch if opcode == GATK else request
                    got = self.py3.barrier(ask(opcode, key))
                    self.assertEqual([] if opcode == GETKQ else [NOT_FOUND], [each.status for each in got])
                    self.assertEqual(DONE, self.py3.set(key, b"6"))
                    self.assertEqual((b"6", None), (self.py3.get(key), self.py2.get(key)))

    def test_stale_values_of_all_sizes_are_swallowed(self):
        for size in (0, 1, 2900, 3050, 3100, 65536, 900000):
            big = os.urandom(size)
            key = self.fresh()
            self.assertEqual(DONE, self.py3.fill(key, big))
            self.assertTrue(self.py3.get(key) == big)
            self.py2.delete(key)
            got = self.py3.barrier(request(GET, key, opaque=1), request(GETKQ, key, opaque=2),
                                   request(GETK, key, opaque=3), touch(GATQ, key, opaque=4))
            self.assertEqual([(1, NOT_FOUND, b""), (3, NOT_FOUND, key)],
                             [(each.opaque, each.status, each.key) for each in got])
            self.assertEqual(DONE, self.py3.delete(key))

    def test_values_that_are_shorter_than_a_stamp(self):
        self.assertEqual(DONE, self.py3.fill(b"k", b"v"))
        prefix = self.prefix_of(b"k")
        for value in (b"", b"x" * 19):
            self.direct.set(prefix + b"k", value)
            self.assertIsNone(self.py3.get(b"k"))
            self.assertEqual(NOT_FOUND, self.py3.ask(request(GETK, b"k")).status)

    def test_values_of_all_sizes(self):
        for size in (0, 1, 511, 512, 513, 3000, 3020, 3050, 3100, 65535, 65536, 65537, 262144, 262200, 1000000):
            value = os.urandom(size)
            for key in (b"large one", b"k" * 245):
                key = self.fresh(key)
                with self.subTest(size=size, key=key[:9]):
                    for write in (SETQ, SETQ):  # a mutation, then a fill
                        self.assertEqual([], self.py3.barrier(store(write, key, value, flags=size)))
                        for opcode in (GETQ, GETKQ):
                            got = self.py3.ask(request(opcode, key, opaque=size))
                            self.assertEqual((opcode, DONE, key if opcode == GETKQ else b"", size),
                                             (got.opcode, got.status, got.key, got.opaque))
                            self.assertTrue(got.value == value and got.extras == struct.pack(">I", size))
                        self.py3.delete(key)
                        self.assertIsNone(self.py3.get(key))

    def test_many_in_one_batch(self):
        for client in (self.py2, self.py3):
            keys = [b"key %d" % number for number in range(300)]
            client.barrier(*[request(GETQ, key) for key in keys])
            self.assertEqual([], client.barrier(*[store(SETQ, key, b"value of " + key) for key in keys[::2]]))
            for _ in range(3):
                got = client.barrier(*[request(GETKQ, key, opaque=at) for at, key in enumerate(keys)])
                self.assertEqual([(at, keys[at], b"value of " + keys[at]) for at in range(0, 300, 2)],
                                 [(each.opaque, each.key, each.value) for each in got])


class Writes(Rig):
    def test_g3_a_fill_of_before_a_delete_is_not_served(self):
        for opcode in (SET, SETQ):
            key = self.fresh()
            self.assertIsNone(self.py3.get(key))
            self.assertEqual(NOT_FOUND, self.py2.delete(key))
            self.py3.barrier(store(opcode, key, b"old"))
            self.assertEqual((None, None), (self.py3.get(key), self.py2.get(key)))

    def test_g4_a_set_without_a_miss_is_a_mutation(self):
        for opcode in (SET, SETQ):
            key = self.both()
            self.py3.barrier(store(opcode, key, b"7"))
            self.assertEqual((None, b"7"), (self.py2.get(key), self.py3.get(key)))

    def test_a_fill_tells_nobody(self):
        self.both()
        counters = self.counters()
        self.assertEqual((1, 0), (counters["sets_as_fill"], counters["sets_as_mutation"]))

    def test_a_fill_that_may_be_of_before_is_refused(self):
        """Two miss, a delete, a third misses: nobody can say whose fill comes first."""
        others = [self.client("py3") for _ in range(3)]
        for client in others[:2]:
            self.assertIsNone(client.get(b"k"))
        self.py2.delete(b"k")
        self.assertIsNone(others[2].get(b"k"))
        got = others[0].ask(store(SET, b"k", b"old", opaque=9))
        self.assertEqual((SET, DONE, 9, b""), (got.opcode, got.status, got.opaque, got.value))
        self.assertNotEqual(0, got.cas)
        self.assertIsNone(others[0].get(b"k"))
        self.assertEqual([], others[1].barrier(store(SETQ, b"k", b"old")))
        self.assertEqual(2, self.counters()["fills_refused"])

    def test_large_fills_and_mutations(self):
        big = os.urandom(300000)
        for key in (b"k", b"a b", b"z" * 250):
            self.assertEqual(DONE, self.py2.fill(key, b"2"))
            self.assertEqual(DONE, self.py3.fill(key, big))
            self.assertEqual(b"2", self.py2.get(key))
            self.assertTrue(self.py3.get(key) == big)
            self.assertEqual(DONE, self.py3.set(key, big[::-1]))
            self.assertIsNone(self.py2.get(key))
            self.assertTrue(self.py3.get(key) == big[::-1])
            self.assertEqual(DONE, self.py3.fill(key + b"!", big) if len(key) < 250 else DONE)

    def test_a_large_fill_of_before_a_delete_is_not_served(self):
        big = os.urandom(300000)
        self.assertIsNone(self.py3.get(b"k"))
        data = store(SET, b"k", big)
        self.py3.wire.send(data[:100000])
        time.sleep(0.05)
        self.assertEqual(NOT_FOUND, self.py2.delete(b"k"))
        self.assertEqual(DONE, self.py3.ask(data[100000:]).status)
        self.assertIsNone(self.py3.get(b"k"))

    def test_an_upload_in_pieces(self):
        big = os.urandom(200000)
        data = store(SET, b"k", big)
        for first in (24, 32, 33, 34, 35, 70000):
            self.py3.wire.send(data[:first])
            time.sleep(0.02)
            self.assertEqual(DONE, self.py3.ask(data[first:]).status)
            self.assertTrue(self.py3.get(b"k") == big)

    def test_a_value_that_is_too_large_takes_the_old_one_with_it(self):
        for opcode in (SET, SETQ):
            key = self.both()
            got = self.py3.ask(store(opcode, key, b"x" * 1100000, opaque=3))
            self.assertEqual((opcode, TOO_LARGE, b"Too large.", 3), (got.opcode, got.status, got.value, got.opaque))
            self.assertEqual((None, None), (self.py2.get(key), self.py3.get(key)))

    def test_deletes_answer_as_memcached_does(self):
        self.assertEqual(NOT_FOUND, self.py3.delete(b"k"))
        self.py3.set(b"k", b"v")
        got = self.py3.barrier(request(DELETE, b"k", opaque=1), request(DELETE, b"k", opaque=2),
                               request(DELETEQ, b"k", opaque=3), store(SETQ, b"k", b"v"),
                               request(DELETEQ, b"k", opaque=4))
        self.assertEqual([(1, DONE, b""), (2, NOT_FOUND, b"Not found"), (3, NOT_FOUND, b"Not found")],
                         [(each.opaque, each.status, each.value) for each in got])
        counters = self.counters()
        self.assertEqual((2, 3), (counters["delete_hits"], counters["delete_misses"]))

    def test_text_and_binary_see_the_same_items(self):
        for arm in ("py2", "py3"):
            text, binary = self.crossfade.wire(arm), self.client(arm)
            for key in (b"one", b"k" * 250):
                text.talk(b"set %s 77 0 4\r\ntext\r\n" % key, b"STORED\r\n")
                got = binary.ask(request(GET, key))
                self.assertEqual((b"text", struct.pack(">I", 77)), (got.value, got.extras))
                binary.set(key, b"binary", flags=0xfedcba98)
                text.talk(b"get %s\r\n" % key, b"VALUE %s 4275878552 6\r\nbinary\r\nEND\r\n" % key)
                text.talk(b"delete %s\r\n" % key, b"DELETED\r\n")
                self.assertIsNone(binary.get(key))
                text.talk(b"set %s 0 0 1\r\n1\r\n" % key, b"STORED\r\n")
                self.assertEqual(b"1", binary.get(key))
                self.assertEqual(DONE, binary.delete(key))
                text.talk(b"get %s\r\n" % key, b"END\r\n")

class Changes(Rig):
    def number(self, got):
        self.assertEqual(DONE, got.status, got)
        return NUMBER.unpack(got.value)[0]

    def fresh_number(self):
        key = self.fresh()
        self.assertEqual(DONE, self.py3.set(key, b"41", flags=7))
        return key

    def test_add(self):
        for opcode, quiet in ((ADD, False), (ADDQ, True)):
            key = self.fresh()
            self.assertIsNone(self.py2.get(key))
            self.assertIsNone(self.py3.get(key))
            for client, value in ((self.py2, b"2"), (self.py3, b"3")):
                got = client.barrier(store(opcode, key, value, flags=9, opaque=5), store(opcode, key, b"x", opaque=6))
                self.assertEqual(([] if quiet else [(5, DONE, b"")]) + [(6, EXISTS, b"Data exists for key.")],
                                 [(each.opaque, each.status, each.value) for each in got])
                found = client.ask(request(GET, key))
                self.assertEqual((value, b"\0\0\0\x09"), (found.value, found.extras))
                if not quiet:
                    self.assertEqual(got[0].cas, found.cas)
            self.assertEqual(b"2", self.py2.get(key))

    def test_g3_an_add_of_before_a_delete_is_not_kept(self):
        self.assertIsNone(self.py3.get(b"k"))
        self.py2.delete(b"k")
        self.assertEqual(EXISTS, self.py3.ask(store(ADD, b"k", b"old")).status)
        self.assertIsNone(self.py3.get(b"k"))
        self.assertEqual(DONE, self.py3.ask(store(ADD, b"k", b"new")).status)
        self.assertEqual(b"new", self.py3.get(b"k"))

    def test_a_lock(self):
        key = b"lock"
        for _ in range(3):
            self.assertEqual(DONE, self.py3.ask(store(ADD, key, b"")).status)
            self.assertEqual(EXISTS, self.client("py3").ask(store(ADD, key, b"")).status)
            self.assertEqual(DONE, self.py3.delete(key))

    def test_g4_what_changes_a_value_is_seen_by_no_other_arm(self):
        changes = (
            (lambda k: store(REPLACE, k, b"7"), b"7"), (lambda k: store(REPLACEQ, k, b"7"), b"7"),
            (lambda k: request(APPEND, k, b"7"), b"57"), (lambda k: request(APPENDQ, k, b"7"), b"57"),
            (lambda k: request(PREPEND, k, b"7"), b"75"), (lambda k: request(PREPENDQ, k, b"7"), b"75"),
            (lambda k: count(INCR, k, 5), b"10"), (lambda k: count(INCRQ, k, 5), b"10"),
            (lambda k: count(DECR, k, 1), b"4"), (lambda k: count(DECRQ, k, 1), b"4"))
        for change, result in changes:
            for writer, other in ((self.py2, self.py3), (self.py3, self.py2)):
                key = self.both()
                with self.subTest(change=change(key)):
                    before = writer.ask(request(GET, key)).cas
                    answers = writer.barrier(change(key))
                    got = writer.ask(request(GET, key))
                    self.assertEqual((None, result), (other.get(key), got.value))
                    self.assertNotEqual(before, got.cas)
                    if answers:
                        self.assertEqual((DONE, got.cas), (answers[0].status, answers[0].cas))
        for harmless in (lambda k: store(ADD, k, b"7"), lambda k: touch(TOUCH, k), lambda k: touch(GAT, k),
                         lambda k: request(GET, k)):
            key = self.both()
            self.py2.barrier(harmless(key))
            self.assertEqual((b"5", b"5"), (self.py2.get(key), self.py3.get(key)))

    def test_replies_of_numbers(self):
        key = self.fresh_number()
        got = self.py3.ask(count(INCR, key, 1, opaque=3))
        self.assertEqual((INCR, DONE, b"", b"", NUMBER.pack(42), 3),
                         (got.opcode, got.status, got.key, got.extras, got.value, got.opaque))
        got = self.py3.ask(count(DECR, key, 40, opaque=4))
        self.assertEqual((DECR, NUMBER.pack(2), 4), (got.opcode, got.value, got.opaque))
        found = self.py3.ask(request(GET, key))
        self.assertEqual((b"2 ", b"\0\0\0\x07", got.cas), (found.value, found.extras, found.cas))
        self.assertEqual(0, self.number(self.py3.ask(count(DECR, key, 40))))
        self.assertEqual((1 << 64) - 1, self.number(self.py3.ask(count(INCR, key, (1 << 64) - 1))))
        self.assertEqual(1, self.number(self.py3.ask(count(INCR, key, 2))))
        self.py3.set(key, b"word")
        for opcode in (INCR, INCRQ):
            got = self.py3.ask(count(opcode, key, 1))
            self.assertEqual((NOT_NUMERIC, b"Non-numeric server-side value for incr or decr"), (got.status, got.value))

    def test_a_number_that_is_not_there(self):
        for opcode in (INCR, DECR):
            key = self.fresh()
            got = self.py3.ask(count(opcode, key, 1, initial=7))
            self.assertEqual((NOT_FOUND, b"Not found"), (got.status, got.value))
            got = self.py3.ask(count(opcode, key, 1, initial=7, expiry=0))
            self.assertEqual(7, self.number(got))
            found = self.py3.ask(request(GET, key))
            self.assertEqual((b"7", got.cas, bytes(4)), (found.value, found.cas, found.extras))
            self.assertEqual(7 + (1 if opcode == INCR else -1), self.number(self.py3.ask(count(opcode, key, 1))))
            self.assertIsNone(self.py2.get(key))

    def test_an_initial_number_expires(self):
        key = self.fresh()
        self.assertEqual(5, self.number(self.py3.ask(count(INCR, key, 1, initial=5, expiry=1))))
        harness.eventually(lambda: self.py3.get(key) is None, "the number's end")

    def test_what_is_stale_is_not_there(self):
        big = os.urandom(100000)
        for value in b"5", big:
            key = self.both(value=value)
            self.py2.set(key, b"9")  # the other arm's is stale now, but stored
            got = self.py3.barrier(
                store(REPLACE, key, b"7", opaque=1), store(REPLACEQ, key, b"7", opaque=2),
                request(APPEND, key, b"7", opaque=3), request(PREPENDQ, key, b"7", opaque=4),
                count(INCR, key, 1, opaque=5), count(DECRQ, key, 1, opaque=6), touch(TOUCH, key, opaque=7),
                request(DELETE, key, cas=5, opaque=8))
            self.assertEqual([(1, NOT_FOUND), (2, NOT_FOUND), (3, NOT_STORED), (4, NOT_STORED), (5, NOT_FOUND),
                              (6, NOT_FOUND), (7, NOT_FOUND), (8, NOT_FOUND)],
                             [(each.opaque, each.status) for each in got])
            self.assertEqual(b"9", self.py2.get(key))

    def test_cas(self):
        for opcode in (SET, SETQ, ADD, REPLACE):
            key = self.both()
            cas = self.py3.ask(request(GET, key)).cas
            self.assertEqual(EXISTS, self.py3.ask(store(opcode, key, b"x", cas=cas + 9)).status)
            self.assertEqual(b"5", self.py2.get(key))
            got = self.py3.barrier(store(opcode, key, b"6", flags=3, cas=cas, opaque=2))
            found = self.py3.ask(request(GET, key))
            self.assertEqual((b"6", b"\0\0\0\3"), (found.value, found.extras))
            if opcode != SETQ:
                self.assertEqual([(2, DONE, found.cas)], [(each.opaque, each.status, each.cas) for each in got])
            self.assertIsNone(self.py2.get(key))
            self.assertEqual(EXISTS, self.py3.ask(store(opcode, key, b"7", cas=cas)).status)
            self.assertEqual([DONE] if opcode != SETQ else [],
                             [each.status for each in self.py3.barrier(store(opcode, key, b"7", cas=found.cas))])
            self.assertEqual(NOT_FOUND, self.py3.ask(store(opcode, self.fresh(), b"7", cas=5)).status)

    def test_cas_over_arms(self):
        """After one arm has changed a key, the other's number of before is not good any more."""
        for change, status in ((lambda key: store(SET, key, b"9"), EXISTS), (lambda key: count(INCR, key, 1), EXISTS),
                               (lambda key: request(DELETE, key), NOT_FOUND)):
            key = self.both()
            cas = self.py3.ask(request(GET, key)).cas
            self.py2.ask(change(key))
            self.assertEqual(status, self.py3.ask(store(SET, key, b"lost", cas=cas)).status)
            self.assertIsNone(self.py3.get(key))

    def test_cas_of_a_fill_that_was_refused(self):
        others = [self.client("py3") for _ in range(3)]
        for client in others[:2]:
            self.assertIsNone(client.get(b"k"))
        self.py2.delete(b"k")
        self.assertIsNone(others[2].get(b"k"))
        cas = others[0].ask(store(SET, b"k", b"old")).cas
        self.assertNotEqual(0, cas)
        self.assertEqual(NOT_FOUND, others[0].ask(store(SET, b"k", b"x", cas=cas)).status)

    def test_other_requests_with_a_cas_number(self):
        for ask, ok in ((lambda key, cas: request(APPEND, key, b"7", cas=cas), b"57"),
                        (lambda key, cas: request(PREPEND, key, b"7", cas=cas), b"75"),
                        (lambda key, cas: count(INCR, key, 1, cas=cas), b"6"),
                        (lambda key, cas: request(DELETE, key, cas=cas), None)):
            key = self.both()
            cas = self.py3.ask(request(GET, key)).cas
            got = self.py3.ask(ask(key, cas + 9))
            self.assertEqual((EXISTS, b"Data exists for key."), (got.status, got.value))
            self.assertEqual((b"5", b"5"), (self.py2.get(key), self.py3.get(key)))
            self.assertEqual(DONE, self.py3.ask(ask(key, cas)).status)
            self.assertEqual((None, ok), (self.py2.get(key), self.py3.get(key)))

    def test_touch(self):
        key = self.fresh_number()
        before = self.py3.ask(request(GET, key))
        got = self.py3.ask(touch(TOUCH, key, opaque=8))
        self.assertEqual((TOUCH, DONE, before.extras, b"", before.cas, 8),
                         (got.opcode, got.status, got.extras, got.value, got.cas, got.opaque))
        self.assertEqual(DONE, self.py3.ask(request(TOUCH, key, extras=struct.pack(">I", 1))).status)
        harness.eventually(lambda: self.py3.get(key) is None, "the touched value's end")
        got = self.py3.ask(touch(TOUCH, key))
        self.assertEqual((NOT_FOUND, b"Not found"), (got.status, got.value))
        key = self.fresh_number()
        self.assertEqual(b"41", self.py3.ask(request(GAT, key, extras=struct.pack(">I", 1))).value)
        harness.eventually(lambda: self.py3.get(key) is None, "the touched value's end")

    def test_an_expiry_outlives_a_change(self):
        key = self.fresh()
        self.py3.ask(request(SET, key, b"41", struct.pack(">II", 0, 2)))
        self.assertEqual(42, self.number(self.py3.ask(count(INCR, key, 1))))
        self.assertEqual(DONE, self.py3.ask(request(APPEND, key, b"0")).status)
        self.assertEqual(b"420", self.py3.get(key))
        harness.eventually(lambda: self.py3.get(key) is None, "the changed value's end")

    def test_values_of_all_sizes(self):
        for size in (0, 1, 65535, 65536, 65537, 300000, 900000):
            with self.subTest(size=size):
                value = os.urandom(size)
                key = self.fresh()
                self.assertEqual(DONE, self.py3.ask(store(ADD, key, value)).status)
                self.assertTrue(self.py3.get(key) == value)
                self.assertEqual(DONE, self.py3.ask(request(APPEND, key, b"end")).status)
                self.assertEqual([], self.py3.barrier(request(PREPENDQ, key, b"begin")))
                self.assertTrue(self.py3.get(key) == b"begin" + value + b"end")
                self.assertEqual([], self.py3.barrier(store(REPLACEQ, key, value[::-1])))
                got = self.py3.ask(request(GETK, key))
                self.assertTrue(got.value == value[::-1])
                self.assertEqual(DONE, self.py3.ask(store(SET, key, value, cas=got.cas)).status)
                self.assertTrue(self.py3.get(key) == value)

    def test_what_grows_too_large(self):
        key = self.both(value=b"x" * 1000000)
        for opcode in (APPEND, PREPENDQ):
            got = self.py3.ask(request(opcode, key, b"y" * 100000))
            self.assertEqual((TOO_LARGE, b"Too large."), (got.status, got.value))
            got = self.py3.ask(request(opcode, key, b"y" * 1100000))
            self.assertEqual((TOO_LARGE, b"Too large."), (got.status, got.value))
        self.assertEqual((1000000, 1000000), (len(self.py3.get(key)), len(self.py2.get(key))))

    def test_quiet_and_loud_keep_their_order(self):
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

    def test_a_pipeline_of_changes_and_reads(self):
        key = self.fresh()
        wanted = b""
        requests = [store(SETQ, key, b"")]
        for number in range(100):
            requests += [request(APPENDQ, key, b"%d," % number), request(GETKQ, key, opaque=number),
                         request(GETQ, b"other", opaque=7000)]
        got = self.py3.barrier(*requests)
        for number in range(100):
            wanted += b"%d," % number
            self.assertEqual((number, key, wanted), (got[number].opaque, got[number].key, got[number].value))

    def test_counters_are_those_of_text(self):
        self.py3.barrier(store(SETQ, b"k", b"5"), request(GETQ, b"k"), request(GETQ, b"gone"), touch(GATQ, b"k"),
                         touch(TOUCH, b"k"), touch(TOUCH, b"gone"), request(DELETEQ, b"k"), request(DELETEQ, b"k"),
                         count(INCRQ, b"k", 1), store(SET, b"k", b"5"), count(INCRQ, b"k", 1), store(SET, b"k", b"5", cas=1))
        row = self.counters()
        wanted = {"gets": 3, "hits": 2, "misses": 1, "sets": 3, "deletes": 2, "delete_hits": 1, "delete_misses": 1,
                  "touches": 3, "touch_hits": 2, "touch_misses": 1, "incr_hits": 1, "incr_misses": 1, "cas_badval": 1,
                  "sets_as_mutation": 2, "sets_as_fill": 0}
        self.assertEqual(wanted, {name: row[name] for name in wanted})

    def test_two_arms_count_apart_and_clients_of_one_arm_together(self):
        key = self.fresh()
        self.assertEqual(DONE, self.py3.set(key, b"0"))
        clients = [self.client("py3") for _ in range(4)]
        for _ in range(25):
            for client in clients:
                client.send(*[count(INCRQ, key, 1)] * 5, request(NOOP))
            for client in clients:
                self.assertEqual([NOOP], [client.read().opcode])
        self.assertEqual(b"500", self.py3.get(key))

    def test_locks_are_the_arms_own(self):
        """An add that answers no miss is kept for its own arm only."""
        key = self.fresh()
        self.assertEqual(DONE, self.py2.ask(store(ADD, key, b"2")).status)
        self.assertEqual(DONE, self.py3.ask(store(ADD, key, b"3")).status)
        self.assertEqual((b"2", b"3"), (self.py2.get(key), self.py3.get(key)))

    def test_beside_text_and_meta(self):
        """Any key: a text client names it in base64."""
        for name in KEYS:
            key = self.fresh(name)[:180]
            text, named = self.crossfade.wire("py3"), base64.b64encode(key)
            with self.subTest(key=key):
                self.assertEqual(DONE, self.py3.set(key, b"1"))
                self.assertEqual(b"v1", self.meta(text, b"mg %s b v\r\n" % named))
                self.assertEqual(b"HD", self.meta(text, b"ms %s 1 b\r\n2\r\n" % named))
                self.assertEqual(b"2", self.py3.get(key))
                self.assertEqual(3, self.number(self.py3.ask(count(INCR, key, 1))))
                self.assertEqual(b"v3", self.meta(text, b"mg %s b v\r\n" % named))
                self.assertEqual(b"HD", self.meta(text, b"md %s b\r\n" % named))
                self.assertIsNone(self.py3.get(key))

    def meta(self, text, command):
        line = text.send(command).until(b"\r\n")[:-2].split()
        if line[0] != b"VA":
            return line[0]
        return b"v" + text.exactly(int(line[1]) + 2)[:-2]


class WritesFill(Rig):
    CHANGES = {"keys": [{"match": "*", "writes": "fill"}]}

    def test_a_set_without_a_miss_is_a_fill(self):
        for size in (1, 100000):
            key = self.both()
            got = self.py3.ask(store(SET, key, b"6" * size, flags=4))
            found = self.py3.ask(request(GET, key))
            self.assertTrue((DONE, b"6" * size, b"\0\0\0\4", got.cas) ==
                            (got.status, found.value, found.extras, found.cas))
            self.assertEqual(b"5", self.py2.get(key))
            self.assertEqual([], self.py3.barrier(store(SETQ, key, b"7")))
            self.assertEqual((b"5", b"7"), (self.py2.get(key), self.py3.get(key)))

    def test_a_delete_reaches_all(self):
        for cas in (False, True):
            key = self.both()
            number = self.py3.ask(request(GET, key)).cas if cas else 0
            self.assertEqual(DONE, self.py3.ask(request(DELETE, key, cas=number)).status)
            self.assertEqual((None, None), (self.py2.get(key), self.py3.get(key)))


class WritesMutate(Rig):
    CHANGES = {"keys": [{"match": "*", "writes": "mutate"}]}

    def test_every_set_and_add_is_a_mutation(self):
        for opcode in (SET, ADD):
            key = self.fresh()
            self.assertIsNone(self.py2.get(key))
            self.assertEqual(DONE, self.py2.set(key, b"2"))
            self.assertIsNone(self.py3.get(key))
            self.assertEqual(DONE, self.py3.ask(store(opcode, key, b"3")).status)
            self.assertEqual((None, b"3"), (self.py2.get(key), self.py3.get(key)))


class BinaryOnly(Changes):
    """The server speaks nothing else."""
    OPTIONS = ("-B", "binary")

    test_beside_text_and_meta = None


class Bystanders(Rig):
    def test_hosts_that_do_not_run_crossfade_are_told(self):
        changes = (lambda key: request(DELETE, key), lambda key: store(SETQ, key, b"7") + request(NOOP), lambda key: store(SET, key, b"7"), lambda key: count(INCR, key, 1),
                   lambda key: request(APPENDQ, key, b"7") + request(NOOP), lambda key: store(SET, key, b"7" * 100000),
                   lambda key: store(SET, key, b"7" * 1100000))
        for change in changes:
            key = self.both()
            self.direct.set(key, b"5")
            self.assertIn(self.py3.ask(change(key)).status, (DONE, TOO_LARGE))
            self.assertIsNone(self.direct.get(key))

class Splitter:
    """Between the daemon and a server: passes on what the server sends in two pieces, cut where it is told, or byte
    by byte."""

    def __init__(self, address):
        self.server = ("127.0.0.1", int(address.rsplit(":", 1)[1]))
        self.cut = None
        self.sockets = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(self.server)
            for sock in (near, far):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.sockets.append(sock)
            threading.Thread(target=self.copy, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self.copy, args=(far, near, True), daemon=True).start()

    def copy(self, source, sink, cuts):
        try:
            while True:
                data = source.recv(1 << 20)
                if not data:
                    break
                cut = self.cut
                if not cuts or cut is None:
                    sink.sendall(data)
                elif cut == 0:
                    for at in range(len(data)):
                        sink.sendall(data[at:at + 1])
                else:
                    sink.sendall(data[:cut])
                    time.sleep(0.002)
                    sink.sendall(data[cut:])
        except OSError:
            pass
        finally:
            self.end(source)
            self.end(sink)

    def end(self, sock):
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self):
        self.end(self.listener)
        self.thread.join(harness.WAIT)
        self.listener.close()
        for sock in self.sockets:
            self.end(sock)
            sock.close()


class Split(harness.Test):
    """What the server answers comes in two pieces, cut at every byte."""

    def setUp(self):
        super().setUp()
        self.splitter = Splitter(self.memcached().address)
        self.addCleanup(self.splitter.close)
        config = harness.cache_config(self.splitter.address, coherence="epoch",
                                      keys=[{"match": "*", "writes": "mutate"}])
        config["process"]["workers"] = 1
        self.crossfade = self.daemon(config)
        self.py2, self.py3 = (Binary(self.crossfade.wire(arm)) for arm in ("py2", "py3"))
        self.assertEqual(DONE, self.py3.set(b"k", b"hello"))
        self.assertEqual(DONE, self.py3.set(b"key" * 80, b"by its digest"))
        self.assertEqual(DONE, self.py3.set(b"stale", b"gone"))
        self.assertEqual(DONE, self.py2.set(b"stale", b"of 2"))
        self.assertIsNone(self.py3.get(b"absent"))

    def ask(self):
        got = self.py3.barrier(
            request(GET, b"k", opaque=1), request(GETK, b"k", opaque=2), request(GETK, b"stale", opaque=3),
            request(GETKQ, b"absent", opaque=4), touch(GATK, b"key" * 80, opaque=5), request(GETKQ, b"stale", opaque=6),
            request(GETQ, b"k", opaque=7))
        self.assertEqual([(1, DONE, b"", b"hello"), (2, DONE, b"k", b"hello"), (3, NOT_FOUND, b"stale", b""),
                          (5, DONE, b"key" * 80, b"by its digest"), (7, DONE, b"", b"hello")],
                         [(each.opaque, each.status, each.key, each.value) for each in got])

    def test_reads(self):
        self.ask()
        for cut in range(0, 700):
            self.splitter.cut = cut
            self.ask()

    def test_changes(self):
        self.py3.set(b"n", b"100")
        number = 100
        for cut in range(0, 110):
            self.splitter.cut = cut
            got = self.py3.barrier(count(INCR, b"n", 1), request(DELETEQ, b"absent"), store(SET, b"k", b"%d" % cut),
                                   request(APPENDQ, b"k", b"!"), request(GETK, b"k"))
            number += 1
            self.assertEqual([(DONE, NUMBER.pack(number)), (NOT_FOUND, b"Not found"), (DONE, b""), (DONE, b"%d!" % cut)],
                             [(each.status, each.value) for each in got])

    def test_large_values(self):
        for size in (2990, 3030, 9000):
            key, stale = b"large %d" % size, b"stale %d" % size
            value = os.urandom(size)
            for name in (key, stale):
                self.assertEqual(DONE, self.py3.set(name, value))
            self.assertEqual(DONE, self.py2.set(stale, b"of 2"))
            for cut in list(range(0, 260)) + [size, size + 100, size + 127, size + 128, size + 200]:
                self.splitter.cut = cut
                got = self.py3.barrier(request(GETK, key), request(GETK, stale), request(GET, b"k"))
                self.assertTrue([(key, value), (stale, b""), (b"", b"hello")] == [(each.key, each.value) for each in got])
            self.splitter.cut = None


class Down(harness.Test):
    """Servers that are not there, stand still, or go."""

    def rig(self, **changes):
        self.server = self.memcached()
        self.crossfade = self.daemon(harness.cache_config(self.server, coherence="epoch", **changes))
        self.py2, self.py3 = (Binary(self.crossfade.wire(arm)) for arm in ("py2", "py3"))

    def requests(self, key):
        return (request(GET, key, opaque=1), request(GETQ, key, opaque=2), request(GETK, key, opaque=3),
                request(GETKQ, key, opaque=4), touch(GATK, key, opaque=5), store(SET, key, b"1", opaque=6),
                store(SETQ, key, b"1", opaque=7), request(DELETEQ, key, opaque=8), touch(TOUCH, key, opaque=9),
                store(SET, key, b"x" * 100000, opaque=10), count(INCRQ, key, 1, opaque=11),
                request(APPEND, key, b"x", opaque=12), store(ADD, key, b"x", opaque=13),
                store(SET, key, b"x", cas=9, opaque=14), request(DELETE, key, cas=9, opaque=15))

    def test_reads_are_misses_and_writes_are_errors(self):
        self.rig(fill_window="1s")
        self.py3.set(b"k", b"v")
        self.server.kill()
        for _ in range(2):
            for key in (b"a b", b"k" * 250):
                got = self.py3.barrier(*self.requests(key))
                self.assertEqual([(1, NOT_FOUND, b""), (3, NOT_FOUND, key), (5, NOT_FOUND, key)] +
                                 [(number, TEMPORARY, b"") for number in range(6, 16)],
                                 [(each.opaque, each.status, each.key) for each in got])
        self.server.start()
        # What is set before the server has been told of all that it has missed may be told away.
        harness.eventually(lambda: self.py3.set(b"k", b"v") == DONE and self.py3.get(b"k") == b"v", "the server's return")

    def test_on_failure_error(self):
        self.rig(on_failure="error")
        self.server.kill()
        got = self.py3.barrier(*self.requests(b"k"))
        self.assertEqual([(number, TEMPORARY) for number in range(1, 16)], [(each.opaque, each.status) for each in got])

    def test_a_server_that_stands_still(self):
        self.rig(timeouts={"connect": "250ms", "request": "600ms"}, fill_window="1s")
        self.assertEqual(DONE, self.py3.set(b"k", b"v"))
        self.server.freeze()
        try:
            got = self.py3.barrier(*self.requests(b"k"))
        finally:
            self.server.thaw()
        self.assertEqual([1, 3, 5] + list(range(6, 16)), [each.opaque for each in got])
        self.assertEqual([NOT_FOUND] * 3 + [TEMPORARY] * 10, [each.status for each in got])
        # The misses of meanwhile leave sets in doubt for a window.
        harness.eventually(lambda: self.py3.set(b"k", b"w") == DONE and self.py3.get(b"k") == b"w", "the server's return")

    def test_a_fill_that_fails_is_one_when_it_is_tried_again(self):
        """Else it would be a change, by a value that may be of before a delete."""
        self.rig()
        for opcode in (SET, ADD):
            key = b"k%d" % opcode
            self.assertIsNone(self.py3.get(key))
            self.server.kill()
            self.assertEqual(TEMPORARY, self.py3.ask(store(opcode, key, b"old")).status)
            self.server.start()
            harness.eventually(lambda: self.py2.set(b"x", b"") == DONE, "the server's return")
            self.assertEqual(NOT_FOUND, self.py2.delete(key))
            self.py3.ask(store(opcode, key, b"old"))
            self.assertIsNone(self.py3.get(key))


if __name__ == "__main__":
    harness.main()
