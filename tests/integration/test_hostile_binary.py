"""Memcached servers that lie, break off, stall and flap in the binary protocol: each request affected gets
exactly one error, in its place and with its opaque, its neighbours get theirs, and the connection is closed
and replaced. As test_hostile_servers.py, whose rig this is.
"""
import collections
import struct
import time

import harness
import packets
import test_hostile_servers as hostile
from packets import (APPEND, DELETE, DELETEQ, DONE, EXISTS, GAT, GET, GETK, GETKQ, GETQ, INCR, NOOP, NOT_FOUND, SET, SETQ,
                     TEMPORARY, TOO_LARGE, VERSION, reply, request, store)
from test_hostile_servers import CLOSE

FLAGS = b"\0\0\0\0"
HEAD = packets.HEAD.size
Asked = collections.namedtuple("Asked", "opcode key extras value opaque")


class Fake(hostile.Fake):
    """Speaks binary, too. speak(asked) is asked first, as script is of a text command."""

    def __init__(self):
        self.speak = lambda asked: None
        super().__init__()

    def serve_binary(self, sock, reader):
        while True:
            head = reader.read(HEAD)
            if len(head) < HEAD:
                return
            _, opcode, keylen, extra, _, _, size, opaque, _ = packets.HEAD.unpack(head)
            body = reader.read(size)
            if len(body) < size:
                return
            asked = Asked(opcode, body[extra:extra + keylen], body[:extra], body[extra + keylen:], opaque)
            steps = self.speak(asked)
            if not self.perform(sock, [right(asked, self.store)] if steps is None else steps):
                return


def right(asked, items):
    """The answer of an honest server."""
    opcode, key = asked.opcode, asked.key
    more = {"opaque": asked.opaque, "cas": 1}
    named = {"key": key} if opcode == GETK else {}
    if opcode in (VERSION, NOOP):
        return reply(opcode, value=b"1.6.18" if opcode == VERSION else b"", opaque=asked.opaque)
    if opcode in (GET, GETK):
        if key in items:
            return reply(opcode, value=items[key], extras=FLAGS, **named, **more)
        return reply(opcode, NOT_FOUND, value=b"" if named else b"Not found", opaque=asked.opaque, **named)
    if opcode == DELETE:
        if items.pop(key, None) is None:
            return reply(opcode, NOT_FOUND, value=b"Not found", opaque=asked.opaque)
        return reply(opcode, opaque=asked.opaque)
    if opcode == INCR:
        return reply(opcode, 6, value=b"Non-numeric server-side value for incr or decr", opaque=asked.opaque)
    items[key] = asked.value
    return reply(opcode, **more)


class Rig(hostile.Rig):
    FAKE = Fake

    def setUp(self):
        super().setUp()
        self.client = packets.Binary(self.crossfade.wire("py2"))
        self.recovered()

    def once(self, key, steps):
        """The next request of this key is answered by steps(asked); then all is well."""
        def speak(asked):
            if asked.key != key:
                return None
            self.fake.speak = lambda unused: None
            return steps(asked)
        self.fake.speak = speak

    def recovered(self):
        super().recovered()  # for text
        key = self.evil[-1]

        def works():
            got = self.client.ask(request(GETK, key, opaque=99))
            return (got.status, got.key, got.value, got.opaque) == (DONE, key, b"hello", 99)
        harness.eventually(works, "the server's return")

    def ask(self, *requests):
        """(opaque, status, key, value) of the answers to all of these."""
        return [(each.opaque, each.status, each.key, each.value if each.status == DONE else b"")
                for each in self.client.barrier(*requests)]

    def hello(self, opaque, key=b""):
        return opaque, DONE, key, b"hello"

    def affected(self, steps, status=TEMPORARY, counter="protocol_errors", opcode=GET, value=b"", **more):
        """A request among others: they get their answers, it gets this status; and all is well again."""
        key, good = self.evil[0], self.good[0]
        count = self.server()[counter] if counter else 0
        self.once(key, steps)
        extras = b"\0" * {SET: 8, SETQ: 8, INCR: 20, GAT: 4}.get(opcode, 0)
        found = self.ask(request(GET, good, opaque=1), request(opcode, key, value, extras, opaque=2, **more),
                         request(GETK, good, opaque=3))
        wanted = [self.hello(1), self.hello(3, good)]
        if status is not None:
            named = key if opcode == GETK and status == DONE else b""
            wanted.insert(1, (2, status, named, b"hello" if status == DONE and opcode in (GET, GETK) else b""))
        self.assertEqual(wanted, found)
        if counter:
            harness.eventually(lambda: self.server()[counter] == count + 1, counter)
        self.recovered()


class BrokenReplies(Rig):
    def test_reply_is_cut_off(self):
        whole = HEAD + 4 + 5
        for cut in (1, HEAD, whole - 1):
            with self.subTest(cut=cut):
                self.affected(lambda asked, cut=cut: [right(asked, self.fake.store)[:cut], CLOSE],
                              counter="closed_by_server")

    def test_a_miss_is_cut_off(self):
        self.affected(lambda asked: [reply(GETK, NOT_FOUND, key=asked.key, opaque=asked.opaque)[:-1], CLOSE], opcode=GETK,
                      counter="closed_by_server")

    def test_bytes_behind_the_reply(self):
        for tail in (b"garbage", b"\x81", b"\0" * HEAD):
            self.affected(lambda asked, tail=tail: [right(asked, self.fake.store) + tail, 0.05], DONE, counter=None)
        harness.eventually(lambda: self.server()["protocol_errors"] + self.server()["timeouts"] >= 2, "the doubts")

    def test_two_replies_for_one_request(self):
        self.affected(lambda asked: [right(asked, self.fake.store) * 2], DONE)
        self.affected(lambda asked: [right(asked, self.fake.store) * 2], DONE, opcode=SET, value=b"hello")

    def test_a_reply_to_another_request(self):
        for opaque in (0, 1):
            self.affected(lambda asked, opaque=opaque: [right(asked._replace(opaque=asked.opaque ^ (opaque or asked.opaque)),
                                                              self.fake.store)])
        for opcode in (SET, NOOP):
            self.affected(lambda asked, opcode=opcode: [reply(opcode, value=b"hello", extras=FLAGS, opaque=asked.opaque)])

    def test_another_key(self):
        for key in (b"", self.evil[1], self.evil[0] + b"x", b"k" * 250):
            self.affected(lambda asked, key=key: [reply(GETK, key=key, value=b"hello", extras=FLAGS, opaque=asked.opaque)],
                          opcode=GETK)
            if key:
                self.affected(lambda asked, key=key: [reply(GETK, NOT_FOUND, key=key, opaque=asked.opaque)], opcode=GETK)
        self.affected(lambda asked: [reply(GET, key=asked.key, value=b"hello", extras=FLAGS, opaque=asked.opaque)])

    def test_frames_that_are_none(self):
        def odd(asked, **fields):
            head = {"magic": 0x81, "opcode": GET, "key": 0, "extras": 4, "type": 0, "status": 0, "body": 9}
            head.update(fields)
            return [packets.HEAD.pack(*[head[name] for name in ("magic", "opcode", "key", "extras", "type", "status", "body")],
                                      asked.opaque, 1) + FLAGS + b"hello"]
        for fields in ({"magic": 0x80}, {"extras": 0}, {"extras": 255}, {"key": 6}, {"key": 65535}, {"body": 3}):
            with self.subTest(fields=fields):
                self.affected(lambda asked, fields=fields: odd(asked, **fields))
        self.affected(lambda asked: [b"VALUE k 0 5\r\nhello\r\nEND\r\n" + b" " * 20])
        self.affected(lambda asked: [b"HTTP/1.1 400 Bad Request\r\n\r\n"])

    def test_longer_and_shorter_than_announced(self):
        """What follows must not be read as a value, nor the value as what follows."""
        def longer(asked):
            whole = bytearray(right(asked, self.fake.store))
            whole[8:12] = struct.pack(">I", 4 + 5 + 100)
            return [bytes(whole)]
        self.affected(longer, counter="timeouts")
        self.affected(lambda asked: [reply(SET, value=b"unasked", opaque=asked.opaque)], opcode=SET, value=b"hello")

    def test_a_success_that_does_not_fit(self):
        self.affected(lambda asked: [reply(INCR, value=b"1234", opaque=asked.opaque)], opcode=INCR)
        self.affected(lambda asked: [reply(INCR, opaque=asked.opaque)], opcode=INCR)
        self.affected(lambda asked: [reply(INCR, value=b"123456789", opaque=asked.opaque)], opcode=INCR)
        self.affected(lambda asked: [reply(DELETE, extras=FLAGS, opaque=asked.opaque)], opcode=DELETE)
        self.affected(lambda asked: [reply(APPEND, NOT_FOUND, value=b"x" * 100000, opaque=asked.opaque)], opcode=APPEND,
                      value=b"!")

    def test_a_quiet_request_is_heard_of(self):
        """Nothing would say that it was done."""
        self.affected(lambda asked: [CLOSE], opcode=GETQ, counter="closed_by_server")
        self.affected(lambda asked: [CLOSE], opcode=SETQ, value=b"hello", counter="closed_by_server")
        self.affected(lambda asked: [CLOSE], opcode=DELETEQ, counter="closed_by_server")
        self.fake.store[self.evil[0]] = b"hello"

    def test_a_server_that_wants_a_login(self):
        self.affected(lambda asked: [reply(asked.opcode, 0x20, value=b"Auth failure.", opaque=asked.opaque)])


class Benign(Rig):
    def test_errors_of_the_server_are_passed_on_and_the_connection_stays(self):
        connects = self.server()["connects"]
        for opcode, status, text in ((SET, 0x82, b"Out of memory"), (INCR, 6, b"Non-numeric"), (DELETE, EXISTS, b"Data exists"),
                                     (SET, EXISTS, b"Data exists"), (APPEND, 5, b"Not stored."), (DELETE, NOT_FOUND, b"Not found"),
                                     (SET, TOO_LARGE, b"Too large."), (SETQ, 0x82, b"Out of memory"),
                                     (DELETEQ, NOT_FOUND, b"Not found")):
            loud = {SETQ: SET, DELETEQ: DELETE}.get(opcode, opcode)
            self.affected(lambda asked, loud=loud, status=status, text=text: [
                reply(loud, status, value=text, opaque=asked.opaque)], status, None, opcode,
                b"hello" if opcode in (SET, SETQ, APPEND) else b"")
        self.assertEqual(connects, self.server()["connects"])

    def test_a_get_that_the_server_refuses(self):
        connects = self.server()["connects"]
        for status in (0x82, 0x84, 0x85, 0x86):
            self.affected(lambda asked, status=status: [reply(GET, status, value=b"no", opaque=asked.opaque)], counter=None)
        self.assertEqual(connects, self.server()["connects"])


class Pieces(Rig):
    def test_split_at_every_byte(self):
        key, other = self.evil[:2]
        size = len(right(Asked(GETK, key, b"", b"", 1), self.fake.store))
        for cut in range(1, size):
            self.once(key, lambda asked, cut=cut: [right(asked, self.fake.store)[:cut], 0.003,
                                                   right(asked, self.fake.store)[cut:]])
            self.assertEqual([self.hello(1, key), self.hello(2), (3, NOT_FOUND, b"", b"")], self.ask(
                request(GETK, key, opaque=1), request(GETQ, other, opaque=2), request(GET, b"nothing-here", opaque=3)))
        self.assertEqual((0, 0), (self.server()["protocol_errors"], self.server()["timeouts"]))

    def test_one_byte_at_a_time(self):
        key = self.evil[0]
        self.fake.store[key] = value = bytes(range(256)) * 15
        self.once(key, lambda asked: [b"%c" % byte for byte in right(asked, self.fake.store)])
        self.assertEqual([(1, DONE, key, value)], self.ask(request(GETK, key, opaque=1)))
        self.assertEqual((0, 0), (self.server()["protocol_errors"], self.server()["timeouts"]))


class Silence(Rig):
    def test_late_reply_is_not_taken_for_the_next(self):
        first, second = self.evil[:2]
        self.affected(lambda asked: [hostile.REQUEST_TIMEOUT * 2, right(asked, {asked.key: b"late"})], counter="timeouts")
        for _ in range(20):
            self.assertEqual([self.hello(1), self.hello(2, first)], self.ask(
                request(GET, second, opaque=1), request(GETK, first, opaque=2)))
            time.sleep(0.05)

    def test_never_answers(self):
        self.fake.speak = lambda asked: []
        found = self.ask(request(GET, self.evil[0], opaque=1), store(SET, self.evil[1], b"x", opaque=2),
                         request(GETKQ, self.good[0], opaque=3), store(SETQ, self.evil[1], b"x", opaque=4))
        self.assertEqual([(1, TEMPORARY, b"", b""), (2, TEMPORARY, b"", b""), self.hello(3, self.good[0]),
                          (4, TEMPORARY, b"", b"")], found)
        begin = time.monotonic()
        self.assertEqual([(5, TEMPORARY, b"", b"")], self.ask(request(GET, self.evil[0], opaque=5)))
        self.assertLess(time.monotonic() - begin, hostile.REQUEST_TIMEOUT)
        # For text it is not down.
        self.wire.talk(b"get %s\r\n" % self.evil[0], b"VALUE %s 0 5\r\nhello\r\nEND\r\n" % self.evil[0])
        self.fake.speak = lambda asked: None
        self.recovered()

    def test_flaps(self):
        """Every fifth request ends the connection; each is answered once all the same."""
        count = [0]

        def speak(asked):
            count[0] += 1
            return [CLOSE] if count[0] % 5 == 0 and asked.opcode != VERSION else None
        self.fake.speak = speak
        hits = errors = 0
        end = time.monotonic() + 2
        while time.monotonic() < end:
            found = self.ask(request(GET, self.evil[hits % 3], opaque=1), request(GETK, self.good[0], opaque=2))
            self.assertEqual(self.hello(2, self.good[0]), found[1])
            if found[0] == (1, TEMPORARY, b"", b""):
                errors += 1
            else:
                self.assertEqual(self.hello(1), found[0])
                hits += 1
            time.sleep(0.002)
        self.assertGreater(hits, 5)
        self.assertGreater(errors, 1)
        self.fake.speak = lambda asked: None
        self.recovered()

    def test_bytes_that_nobody_asked_for(self):
        for said in (b"\x81", reply(GET, value=b"hello", extras=FLAGS, opaque=1), b"\0" * 100, b"ERROR\r\n"):
            count = self.server()["protocol_errors"]
            self.fake.say(said)
            harness.eventually(lambda c=count: self.server()["protocol_errors"] > c, "doubt")
            self.recovered()


class Misses(Rig):
    failures = "miss"

    def test_reads_are_misses_and_writes_are_errors(self):
        key, good = self.evil[0], self.good[0]
        for steps in (lambda asked: [b"nonsense" * 10], lambda asked: [right(asked, self.fake.store)[:20], CLOSE]):
            for opcode, wanted in ((GET, [(2, NOT_FOUND, b"", b"")]), (GETK, [(2, NOT_FOUND, key, b"")]), (GETKQ, []),
                                   (DELETE, [(2, TEMPORARY, b"", b"")]), (DELETEQ, [(2, TEMPORARY, b"", b"")])):
                self.once(key, steps)
                self.assertEqual([self.hello(1)] + wanted + [self.hello(3)], self.ask(
                    request(GET, good, opaque=1), request(opcode, key, opaque=2), request(GETQ, good, opaque=3)))
                self.recovered()


if __name__ == "__main__":
    harness.main()
