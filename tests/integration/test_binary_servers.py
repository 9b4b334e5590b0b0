"""Servers that speak binary, as the arm with a prefix meets them: keys that are almost the one asked for, probes,
large values each way, and what is parked meanwhile. The other lies are told in test_hostile_binary.py.
"""
import os

import harness
import packets
from packets import (ADD, APPEND, DELETE, DONE, GET, GETK, GETKQ, GETQ, INCR, NOOP, NOT_FOUND, PREPEND, REPLACE,
                     SET, TEMPORARY, VERSION, Binary, Reply, reply, request, store)
from test_hostile_servers import CLOSE, SWALLOW, Fake, Neighbour

STORAGE = (SET, ADD, REPLACE, APPEND, PREPEND)
FLAGS = b"\0\0\0\0"


class BinaryFake(Fake):
    """Speaks binary, too. speak(asked, value) is asked first, as script is of a text command; `asked` is a
    Reply that says what was asked. Bytes in a list of what to do are sent as they are, a Reply is completed:
    what is None in it becomes as it should be.
    """

    def __init__(self):
        self.speak = lambda asked, value: None
        super().__init__()

    def serve_binary(self, sock, reader):
        while True:
            head = reader.read(packets.HEAD.size)
            if len(head) < packets.HEAD.size:
                return
            _, opcode, key_len, extras_len, _, _, body_len, opaque, cas = packets.HEAD.unpack(head)
            extras, key = reader.read(extras_len), reader.read(key_len)
            value_len = body_len - extras_len - key_len
            asked = Reply(opcode, 0, key, extras, None, opaque, cas)
            value, steps = b"", None
            if opcode in STORAGE:
                steps = self.speak(asked, None)
                if steps is None:
                    value = reader.read(value_len)
                    if len(value) < value_len:
                        return
            if steps is None:
                steps = self.speak(asked, value)
            if steps is None:
                steps = [self.reply_to(asked, value)]
            if not self.perform(sock, [self.complete(step, asked) for step in steps],
                                lambda left=value_len: reader.read(left)):
                return

    @staticmethod
    def complete(step, asked):
        if not isinstance(step, Reply):
            return step
        return reply(asked.opcode if step.opcode is None else step.opcode, step.status, step.key, step.value,
                     step.extras, asked.opaque if step.opaque is None else step.opaque, 1)

    def reply_to(self, asked, value):
        store_, opcode, key = self.store, asked.opcode, asked.key
        if opcode == VERSION:
            return said(value=b"1.6.18")
        if opcode in (GET, GETK):
            if key not in store_:
                return said(NOT_FOUND, key) if opcode == GETK else said(NOT_FOUND, value=b"Not found")
            return said(key=key if opcode == GETK else b"", value=store_[key], extras=FLAGS)
        if opcode == DELETE:
            return said(DONE if store_.pop(key, None) is not None else NOT_FOUND)
        if opcode == INCR:
            return said(6, value=b"Non-numeric server-side value for incr or decr")
        store_[key] = value
        return said()


def said(status=DONE, key=b"", value=b"", extras=b"", opcode=None, opaque=None):
    return Reply(opcode, status, key, extras, value, opaque, None)


class Rig(harness.Test):
    failures = "error"
    changes = {}

    def setUp(self):
        super().setUp()
        self.fake = BinaryFake()
        self.addCleanup(self.fake.close)
        self.real = self.memcached()
        config = harness.cache_config(
            self.fake.address, self.real, coherence="none", on_failure=self.failures,
            timeouts={"connect": "500ms", "request": "600ms"}, **self.changes)
        config["process"]["workers"] = 1
        self.crossfade = self.daemon(config)
        self.client = Binary(self.crossfade.wire("py3"))
        self.evil, self.good = self.sort_keys()
        self.neighbour = Neighbour(self.crossfade.wire("py3"), self.good.pop())
        self.neighbour.start()

    def tearDown(self):
        self.neighbour.finish(self)
        self.crossfade.alive()

    def sort_keys(self):
        """Eight keys of each server, as the client names them."""
        found = ([], [])
        number = 0
        while min(len(each) for each in found) < 8:
            key = b"k%d" % number
            self.assertEqual(DONE, self.client.set(key, b"hello"))
            found[0 if wire_key(key) in self.fake.store else 1].append(key)
            number += 1
        return found

    def server(self):
        return [row for row in self.crossfade.show("servers") if row["server"] == self.fake.address][0]

    def once(self, key, steps, opcodes=None):
        """The next request for this key is answered by these steps; then all is well."""
        def speak(asked, value):
            if asked.key != wire_key(key) or (opcodes and asked.opcode not in opcodes):
                return None
            if asked.opcode in STORAGE and value is None:
                return None
            self.fake.speak = lambda *unused: None
            return steps
        self.fake.speak = speak

    def recovered(self):
        def works():
            got = self.client.ask(request(GETK, self.evil[-1]))
            self.assertIn(got.status, (DONE, TEMPORARY, NOT_FOUND))
            self.assertIn(got.value, (b"hello",) if got.status == DONE else (got.value,))
            return got.status == DONE
        harness.eventually(works, "the server's return")
        harness.eventually(lambda: self.server()["state"] == "up" and self.server()["waiting"] == 0, "its state")

    def affected(self, steps, wanted, counter=None, ask=None):
        """A request in a pipeline of others: they get theirs, it gets `wanted`, (status, value)."""
        count_before = self.server()[counter] if counter else 0
        self.once(self.evil[0], steps)
        ask = ask or request(GETK, self.evil[0], opaque=0x0a0b0c0d)
        got = self.client.barrier(request(GET, self.good[0], opaque=1), ask, request(GETKQ, self.good[0], opaque=2))
        self.assertEqual([1, 0x0a0b0c0d, 2], [each.opaque for each in got])
        self.assertEqual([b"hello"] * 2, [got[0].value, got[2].value])
        self.assertEqual(wanted[0], got[1].status, got[1])
        if wanted[1] is not None:
            self.assertEqual(wanted[1], got[1].value)
        if counter:
            harness.eventually(lambda: self.server()[counter] == count_before + 1, counter)
        self.recovered()


FAILED = (TEMPORARY, None)


def wire_key(key):
    return b"py3.0:" + key


class BrokenReplies(Rig):
    def hit(self, **changes):
        return said(key=wire_key(self.evil[0]), value=b"hello", extras=FLAGS)._replace(**changes)

    def test_replies_that_do_not_fit(self):
        own, other = wire_key(self.evil[0]), wire_key(self.evil[1])
        for name, step in {
                "opaque": self.hit(opaque=0), "opaque of the client": self.hit(opaque=0x0a0b0c0d),
                "opcode": self.hit(opcode=GET), "quiet opcode": self.hit(opcode=GETKQ), "key": self.hit(key=other),
                "a part of the key": self.hit(key=own[:-1]), "a longer key": self.hit(key=own + b"x"),
                "the client's key": self.hit(key=self.evil[0]), "no key": self.hit(key=b""),
                "no flags": self.hit(extras=b""), "more extras": self.hit(extras=FLAGS * 2),
                "a miss of another": said(NOT_FOUND, other), "a miss with extras": said(NOT_FOUND, own, extras=FLAGS),
                "a long error": said(0x82, value=b"x" * 1025), "a login": said(0x20, value=b"Auth failure."),
                "text": b"VALUE %s 0 5\r\nhello\r\nEND\r\n" % own, "a request": request(NOOP), "nothing known": b"\0",
        }.items():
            with self.subTest(name=name):
                self.affected([step], FAILED, "protocol_errors")

    def test_split_at_every_byte(self):
        keys = self.evil[:2]
        for at in range(1, 2 * len(reply(GETK, DONE, wire_key(keys[0]), b"hello", FLAGS))):
            seen = []

            def speak(asked, unused_value, at=at):
                """Both are answered at once, in two pieces."""
                if asked.key not in (wire_key(each) for each in keys):
                    return None
                seen.append(self.fake.complete(self.fake.reply_to(asked, b""), asked))
                if len(seen) < 2:
                    return []
                data = b"".join(seen)
                return [data[:at], 0.002, data[at:]]
            self.fake.speak = speak
            got = self.client.barrier(request(GETKQ, keys[0], opaque=1), request(GETK, keys[1], opaque=2))
            self.assertEqual([(1, keys[0], b"hello"), (2, keys[1], b"hello")],
                             [(each.opaque, each.key, each.value) for each in got])
        self.assertEqual((0, 0), (self.server()["protocol_errors"], self.server()["timeouts"]))

    def test_large_value_breaks_off(self):
        """Up to 256 KiB that costs an error; beyond, half of it is out and the client's connection ends."""
        for size in (100000, 1000000):
            client = Binary(self.crossfade.wire("py3"))

            def speak(asked, unused_value, size=size):
                if asked.key != wire_key(self.evil[0]):
                    return None
                self.fake.speak = lambda *unused: None
                return [self.fake.complete(self.hit(value=b"x" * size), asked)[:50000], CLOSE]
            self.fake.speak = speak
            client.send(request(GETK, self.evil[0], opaque=5))
            if size == 100000:
                got = client.read()
                self.assertEqual((TEMPORARY, 5), (got.status, got.opaque))
                self.assertEqual(b"hello", client.get(self.good[0]))
            else:
                self.assertTrue(client.wire.rest().startswith(b"\x81\x0c"))
            self.recovered()


class Probes(Rig):
    def test_the_probe_is_binary_and_its_answer_is_looked_at(self):
        seen = []

        def speak(asked, unused_value):
            seen.append(asked.opcode)
            if asked.opcode == VERSION and len(seen) < 3:
                return [said(value=b"1.6.18", opaque=7)]
            return None
        self.fake.speak = speak
        self.fake.say(b"x")
        self.recovered()
        self.assertEqual([VERSION] * 3, seen[:3])


class Uploads(Rig):
    """Values beyond 64 KiB go over a connection of their own."""

    changes = {"max_value": "64m"}
    BIG = os.urandom(300000)

    def early(self, steps):
        def speak(asked, value):
            if asked.opcode in STORAGE and asked.key == wire_key(self.evil[0]) and value is None:
                self.fake.speak = lambda *unused: None
                return steps
            return None
        self.fake.speak = speak

    def upload(self, opcode=SET):
        return self.client.barrier(store(opcode, self.evil[0], self.BIG, opaque=1), request(GET, self.good[0], opaque=2))

    def works(self):
        self.recovered()
        got = self.upload()
        self.assertEqual([(1, DONE), (2, DONE)], [(each.opaque, each.status) for each in got])
        self.assertTrue(self.fake.store[wire_key(self.evil[0])] == self.BIG)

    def test_server_closes_in_mid_value(self):
        for opcode in (SET, packets.SETQ):
            self.early([CLOSE])
            got = self.upload(opcode)
            self.assertEqual([(1, TEMPORARY), (2, DONE)], [(each.opaque, each.status) for each in got])
            self.works()

    def test_server_refuses_before_the_value_is_there(self):
        for opcode in (SET, packets.SETQ):
            self.early([said(0x82, value=b"Out of memory allocating item"), SWALLOW])
            got = self.upload(opcode)
            self.assertEqual([(opcode, 1, 0x82, b"Out of memory allocating item"), (GET, 2, DONE, b"hello")],
                             [(each.opcode, each.opaque, each.status, each.value) for each in got])
            self.works()

    def test_success_before_the_value_was_sent_is_not_believed(self):
        self.early([said(), SWALLOW])
        data = store(SET, self.evil[0], self.BIG, opaque=1)
        self.client.send(data[:100])
        self.assertEqual(TEMPORARY, self.client.read().status)
        self.assertEqual([DONE], [each.status for each in self.client.barrier(data[100:], request(GET, self.good[0]))])
        self.works()

    def test_server_never_answers_an_upload(self):
        self.early([SWALLOW, 15.0, CLOSE])
        got = self.upload()
        self.assertEqual([TEMPORARY, DONE], [each.status for each in got])
        self.assertIn(b"no answer in time", got[0].value)
        self.works()


class Misses(Rig):
    failures = "miss"

    def test_reads_are_misses_and_writes_are_errors(self):
        key = self.evil[0]
        for steps in ([b"nonsense"], [CLOSE], [said(0x82, value=b"Out of memory")]):
            for ask, wanted in ((request(GET, key), (NOT_FOUND, b"", b"Not found")), (request(GETK, key), (NOT_FOUND, key, b""))):
                self.once(key, steps)
                got = self.client.ask(ask)
                self.assertEqual(wanted, (got.status, got.key, got.value))
                self.recovered()
            self.once(key, steps)
            self.assertEqual([], self.client.barrier(request(GETKQ, key)))
            self.recovered()
        # What is parked behind a slow reply is counted, and those misses were not.
        self.once(key, [0.2, said(NOT_FOUND, value=b"Not found")])
        got = self.client.barrier(request(GETQ, key), request(GETK, self.good[0], opaque=2))
        self.assertEqual([(2, b"hello")], [(each.opaque, each.value) for each in got])


if __name__ == "__main__":
    harness.main()
