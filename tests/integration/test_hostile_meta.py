"""Memcached servers that lie, break off, stall and flap when they are spoken to in the meta protocol: each
request affected gets exactly one error, in its place, its neighbours get theirs, and the connection is closed
and replaced. As test_hostile_servers.py, whose rig this is.
"""
import base64
import time

import harness
import test_hostile_servers as hostile
from test_hostile_servers import CLOSE, ERROR

FAILED = b"SERVER_ERROR memcached server "


class Fake(hostile.Fake):
    """Speaks meta, too. speak(words, key) is asked first: the answer's pieces, or None for the usual ones."""

    def __init__(self):
        self.speak = lambda words, key: None
        super().__init__()

    def value_length(self, words):
        return int(words[2]) if words[0] == b"ms" else super().value_length(words)

    def serve(self, sock, number):
        def script(unused_connection, line, value):
            words = line.split()
            if not words or words[0] not in (b"mg", b"ms", b"md", b"ma", b"me") or words[0] == b"ms" and value is None:
                return None
            if words[1] == b"crossfade" and b"MZ" in words:  # does it know meta?
                return [b"CLIENT_ERROR invalid mode for ms M token\r\n"]
            key = base64.b64decode(words[1]) if b"b" in words else words[1]
            steps = self.speak(words, key)
            return [right(words, key, value, self.store)] if steps is None else steps
        self.script = script
        super().serve(sock, number)


def flags(words, value):
    """What comes back of them."""
    known = {b"f": b"f0", b"s": b"s%d" % len(value), b"t": b"t-1", b"c": b"c1"}
    return b"".join(b" " + known.get(word, word) for word in words if word in known or word[:1] == b"O")


def right(words, key, value, items):
    """The answer of an honest server."""
    asked = words[2:] if words[0] != b"ms" else words[3:]
    back = flags(asked, items.get(key, b""))
    if words[0] == b"mg":
        if key not in items:
            return b"EN%s\r\n" % back
        return (b"VA %d%s\r\n%s\r\n" % (len(items[key]), back, items[key]) if b"v" in asked else b"HD%s\r\n" % back)
    if words[0] == b"md":
        return b"%s%s\r\n" % (b"NF" if items.pop(key, None) is None else b"HD", back)
    if words[0] == b"ma":
        return b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"
    items[key] = value[:-2]
    return b"HD%s\r\n" % back


class Rig(hostile.Rig):
    FAKE = Fake

    def setUp(self):
        super().setUp()
        self.recovered()

    def once(self, key, steps):
        """The next request of this key is answered by steps(honest answer, its mark); then all is well."""
        def speak(words, asked):
            if asked != key:
                return None
            self.fake.speak = lambda *unused: None
            mark = [word for word in words if word[:1] == b"O"]
            return steps(right(words, asked, b"hello\r\n", self.fake.store), mark[0] if mark else b"")
        self.fake.speak = speak

    def recovered(self):
        super().recovered()
        key = self.evil[-1]

        def works():
            line = self.wire.send(b"mg %s v k O9\r\n" % key).line()
            if line.startswith(b"SERVER_ERROR") or line[:2] == b"EN":
                return False
            self.wire.expect(b"hello\r\n")
            return line == b"VA 5 k%s O9\r\n" % key
        harness.eventually(works, "the server's return")

    def affected(self, steps, answer=ERROR, counter="protocol_errors", command=b"mg %s v k O2\r\n"):
        """A request among others: they get their answers, it gets this one; and all is well again."""
        key, good = self.evil[0], self.good[0]
        count = self.server()[counter] if counter else 0
        self.once(key, steps)
        self.wire.send(b"mg %s v O1\r\n" % good + command % key + b"mg %s v k q O3\r\nmn\r\n" % good)
        self.wire.expect(b"VA 5 O1\r\nhello\r\n")
        if answer == FAILED:
            line = self.wire.line()
            self.assertTrue(line.startswith(FAILED), line)
        else:
            self.wire.expect(answer.replace(b"KEY", key))
        self.wire.expect(b"VA 5 k%s O3\r\nhello\r\nMN\r\n" % good)
        if counter:
            harness.eventually(lambda: self.server()[counter] == count + 1, counter)
        self.recovered()


class BrokenReplies(Rig):
    def test_reply_is_cut_off(self):
        for cut in (1, -8, -1):
            self.affected(lambda honest, unused, cut=cut: [honest[:cut], CLOSE], counter="closed_by_server")
        for command in (b"ma %s v\r\n", b"ms %s 5 q\r\nhello\r\n", b"md %s q\r\n"):
            self.affected(lambda honest, unused: [honest[:-1], CLOSE], FAILED, "closed_by_server", command)
            self.fake.store[self.evil[0]] = b"hello"
        self.affected(lambda honest, unused: [CLOSE], counter="closed_by_server", command=b"mg %s q v\r\n")

    def test_more_than_was_asked_for(self):
        hello = b"VA 5 kKEY O2\r\nhello\r\n"
        for tail in (b"garbage\r\n", b"EN\r\n"):
            self.affected(lambda honest, unused, tail=tail: [honest + tail], hello, counter=None)
        self.affected(lambda honest, unused: [honest * 2], hello)
        self.affected(lambda honest, unused: [honest * 2], b"HD O2\r\n", command=b"ms %s 5 O2\r\nhello\r\n")

    def test_an_answer_to_another_request(self):
        """One that names another one, or none."""
        for other in (b" O12345678", b" Oxyz", b"", b" O"):
            self.affected(lambda honest, mark, other=other: [honest.replace(b" " + mark, other)])
        self.affected(lambda honest, mark: [honest.replace(b" " + mark, b" " + mark + b" kother")])
        self.affected(lambda honest, mark: [honest.replace(b" " + mark, b"")], FAILED, command=b"ms %s 5\r\nhello\r\n")
        self.affected(lambda honest, mark: [b"NF Oabc\r\n"], FAILED, command=b"md %s\r\n")

    def test_answers_that_do_not_fit(self):
        for answer in (b"NF", b"MN", b"VALUE k 0 5\r\nhello\r\nEND", b"HD", b"VA -1", b"VA 99999999999", b"HDx", b"", b"x" * 3000):
            with self.subTest(answer=answer):
                self.affected(lambda unused, mark, answer=answer: [answer + b" " + mark + b"\r\n"])
        for command, answer in ((b"ms %s 5\r\nhello\r\n", b"VA 1 %s\r\n1\r\n"), (b"ms %s 5\r\nhello\r\n", b"EN\r\n"),
                                (b"ms %s 5\r\nhello\r\n", b"CLIENT_ERROR bad data chunk\r\n"), (b"md %s\r\n", b"NS %s\r\n"),
                                (b"ma %s v\r\n", b"VA 21 %s\r\n123456789012345678901\r\n"), (b"ma %s\r\n", b"VA 1 %s\r\n1\r\n")):
            self.affected(lambda unused, mark, answer=answer: [answer.replace(b"%s", mark)], FAILED, command=command)

    def test_longer_and_shorter_than_announced(self):
        self.affected(lambda honest, unused: [honest.replace(b"VA 5", b"VA 4")])
        self.affected(lambda honest, unused: [honest.replace(b"VA 5", b"VA 6") + b"MN\r\n"])
        self.affected(lambda honest, unused: [honest.replace(b"VA 5", b"VA 60")], counter="timeouts")

    def test_line_ends_without_a_return(self):
        self.affected(lambda honest, unused: [honest.replace(b"\r\n", b"\n")])
        self.affected(lambda honest, mark: [b"EN\n"])


class Benign(Rig):
    def test_errors_of_the_server_are_passed_on_and_the_connection_stays(self):
        connects = self.server()["connects"]
        for command, answer, heard in (
                (b"ms %s 5 O2\r\nhello\r\n", b"SERVER_ERROR out of memory storing object\r\n", None),
                (b"ms %s 5 q\r\nhello\r\n", b"SERVER_ERROR out of memory storing object\r\n", None),
                (b"ma %s q\r\n", b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n", None),
                (b"mg %s v\r\n", b"CLIENT_ERROR bad token in command line format\r\n", None),
                (b"md %s k O2\r\n", b"NF %s\r\n", b"NF kKEY O2\r\n"), (b"md %s C5 O2\r\n", b"EX %s\r\n", b"EX O2\r\n"),
                (b"ms %s 5 ME k\r\nhello\r\n", b"NS %s\r\n", b"NS kKEY\r\n"),
                (b"mg %s k O2\r\n", b"EN %s\r\n", b"EN kKEY O2\r\n")):
            with self.subTest(command=command, answer=answer):
                self.affected(lambda unused, mark, answer=answer: [answer.replace(b"%s", mark)], heard or answer, None, command)
        self.assertEqual(connects, self.server()["connects"])


class Pieces(Rig):
    def test_split_at_every_byte(self):
        a, b = self.evil[:2]
        reply = b"VA 5 k%s O1 f0 s5\r\nhello\r\n" % a
        for cut in range(1, len(reply) + 6):
            self.once(a, lambda honest, unused, cut=cut: [honest[:cut], 0.003, honest[cut:]])
            self.wire.talk(b"mg %s v k O1 f s\r\nmg nothing-here q\r\nmg %s v k\r\nmn\r\n" % (a, b),
                           reply + b"VA 5 k%s\r\nhello\r\nMN\r\n" % b)
        self.assertEqual((0, 0), (self.server()["protocol_errors"], self.server()["timeouts"]))


class Silence(Rig):
    def test_late_reply_is_not_taken_for_the_next(self):
        a, b = self.evil[:2]
        self.affected(lambda honest, unused: [hostile.REQUEST_TIMEOUT * 2, honest.replace(b"hello", b"late!")],
                      counter="timeouts")
        for _ in range(20):
            self.wire.talk(b"mg %s v\r\nmg %s v k\r\n" % (b, a), b"VA 5\r\nhello\r\nVA 5 k%s\r\nhello\r\n" % a)
            time.sleep(0.05)

    def test_never_answers(self):
        self.fake.speak = lambda *unused: []
        self.wire.send(b"mg %s v q\r\nms %s 1 q\r\nx\r\nmg %s v k q\r\nmd %s q\r\nmn\r\n" % (
            self.evil[0], self.evil[1], self.good[0], self.evil[1]))
        self.wire.expect(ERROR)
        self.assertIn(b"no answer in time", self.wire.line())
        self.wire.expect(b"VA 5 k%s\r\nhello\r\n" % self.good[0])
        self.assertTrue(self.wire.line().startswith(FAILED))
        self.wire.expect(b"MN\r\n")
        self.fake.speak = lambda *unused: None
        self.recovered()

    def test_flaps(self):
        """Every fifth command ends the connection; each request is answered once all the same."""
        count = [0]

        def speak(unused_words, unused_key):
            count[0] += 1
            return [CLOSE] if count[0] % 5 == 0 else None
        self.fake.speak = speak
        hits = errors = 0
        end = time.monotonic() + 2
        while time.monotonic() < end:
            key = self.evil[hits % 3]
            line = self.wire.send(b"mg %s v k\r\nmg %s v k\r\n" % (key, self.good[0])).line()
            if line == ERROR:
                errors += 1
            else:
                self.assertEqual(b"VA 5 k%s\r\n" % key, line)
                self.wire.expect(b"hello\r\n")
                hits += 1
            self.wire.expect(b"VA 5 k%s\r\nhello\r\n" % self.good[0])
            time.sleep(0.002)
        self.assertGreater(hits, 5)
        self.assertGreater(errors, 1)
        self.fake.speak = lambda *unused: None
        self.recovered()


class Misses(Rig):
    failures = "miss"

    def test_reads_are_misses_and_writes_are_errors(self):
        key = self.evil[0]
        for steps in (lambda *unused: [b"nonsense\r\n"], lambda honest, unused: [honest[:-3], CLOSE]):
            for command, answer in ((b"mg %s v k O2\r\n", b"EN kKEY O2\r\n"), (b"mg %s q v k\r\n", b""),
                                    (b"ms %s 1 q\r\nx\r\n", FAILED), (b"md %s q\r\n", FAILED)):
                self.affected(steps, answer, None, command)
                self.fake.store[key] = b"hello"


if __name__ == "__main__":
    harness.main()
