"""The three protocols beside each other: what one wrote the others read, and the rules between the arms hold
whichever of them is spoken. And the two attacks that a naive prefix lets through.
"""
import itertools
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
import binary_cases  # noqa: E402
import compare  # noqa: E402
import harness  # noqa: E402
import speakers  # noqa: E402

NAMES = [protocol.name for protocol in speakers.ALL]
WORDS = [b"plain", b"m" * 250, b"l" * 249, b"x" * 245, b"\xc3\xa4\xff"]
BINARY_KEYS = [b"with a space", b"line\r\nend", b"\0", b" " * 250, b"get a\r\ndelete a\r\n"]
VALUES = [b"", b"x", b"10", b"\0\r\nEND\r\n", b"v" * 5000, b"w" * 70000, b"\xff" * 300000]


class Protocols(harness.Test):
    CHANGES = {}

    def setUp(self):
        super().setUp()
        self.behind = self.memcached()
        if os.environ.get("CROSSFADE_REFERENCE"):  # for Meeting
            self.crossfade = compare.Reference(self)
        else:
            self.crossfade = self.daemon(harness.cache_config(self.behind, **self.CHANGES))
        self.say = speakers.each(self, self.crossfade.port)

    def pairs(self):
        return itertools.product(NAMES, NAMES)

    def able(self, name, key):
        """Only base64 and binary can name every key."""
        return name != "classic" or not any(byte <= 32 for byte in key)


class Meeting(Protocols):
    def test_g7_what_one_protocol_wrote_the_others_read(self):
        for writer, reader in self.pairs():
            for arm in ("py2", "py3"):
                write, read = self.say[writer, arm], self.say[reader, arm]
                for number, key in enumerate(WORDS + BINARY_KEYS):
                    if not (self.able(writer, key) and self.able(reader, key)):
                        continue
                    if writer == "meta, base64" or reader == "meta, base64":
                        if len(key) > 186:
                            continue  # memcached counts the 250 bytes in base64
                    elif "meta" in (writer, reader) and len(key) > 186 and key in BINARY_KEYS:
                        continue
                    with self.subTest(writer=writer, reader=reader, arm=arm, key=key):
                        value = VALUES[number % len(VALUES)]
                        self.assertEqual(True, write.set(key, value, number << 28))
                        self.assertEqual((number << 28, value), read.get(key))
                        self.assertEqual(False, read.add(key, b"no"))
                        self.assertEqual(True, read.append(key, b"!"))
                        self.assertEqual(value + b"!", write.value(key))
                        self.assertEqual(True, read.touch(key, 100))
                        self.assertEqual(True, read.delete(key))
                        self.assertIsNone(write.get(key))

    def test_g7_a_counter_is_one_for_all(self):
        for arm in ("py2", "py3"):
            self.say["classic", arm].set(b"counter", b"0")
            for number in range(1, 41):
                self.assertEqual(number, self.say[NAMES[number % len(NAMES)], arm].incr(b"counter", 1))

    def test_g7_large_values(self):
        value = bytes(range(256)) * 3000
        for writer, reader in self.pairs():
            self.assertEqual(True, self.say[writer, "py3"].set(b"large", value, 7))
            self.assertEqual((7, value), self.say[reader, "py3"].get(b"large"))


class Arms(Protocols):
    """The guarantees between the arms, for one protocol that writes and one that looks."""

    def test_g1_no_arm_sees_what_the_other_wrote(self):
        for writer, reader in self.pairs():
            for mine, other in (("py2", "py3"), ("py3", "py2")):
                with self.subTest(writer=writer, reader=reader, arm=mine):
                    key = b"k:%d:%s" % (len(writer) * 100 + len(reader), mine.encode())
                    self.assertEqual(True, self.say[writer, mine].fill(key, b"mine", 1))
                    self.assertIsNone(self.say[reader, other].get(key))
                    self.assertEqual(True, self.say[reader, other].add(key, b"other", 2))
                    self.assertEqual((1, b"mine"), self.say[writer, mine].get(key))

    def test_g2_a_delete_reaches_the_other_arm(self):
        for deleter, reader in self.pairs():
            for mine, other in (("py2", "py3"), ("py3", "py2")):
                for filled in (True, False):
                    with self.subTest(deleter=deleter, reader=reader, arm=mine, filled=filled):
                        self.say[reader, other].fill(b"d", b"old")
                        if filled:
                            self.say[deleter, mine].fill(b"d", b"old")
                        self.assertEqual(b"old", self.say[reader, other].value(b"d"))
                        self.assertEqual(filled, self.say[deleter, mine].delete(b"d"))
                        self.assertIsNone(self.say[reader, other].get(b"d"))

    def test_g2_a_key_with_control_characters_that_does_not_fit_in_base64(self):
        for deleter, reader in itertools.product(("classic", "meta", "binary"), repeat=2):
            for key in (b"c\x01\x7f" + b"c" * 160, b"c\x01" + b"c" * 183, b"c\x01" + b"c" * 190, b"c\x01" + b"c" * 248):
                for mine, other in (("py2", "py3"), ("py3", "py2")):
                    with self.subTest(deleter=deleter, reader=reader, arm=mine, key=key):
                        self.say[reader, other].fill(key, b"old")
                        self.assertEqual(False, self.say[deleter, mine].delete(key))
                        self.assertIsNone(self.say[reader, other].get(key))

    def test_g4_mutations_invalidate_and_fills_do_not(self):
        for writer, reader in self.pairs():
            write, read = self.say[writer, "py3"], self.say[reader, "py2"]
            for change in (lambda: write.set(b"m", b"6"), lambda: write.incr(b"m", 1), lambda: write.append(b"m", b"0"),
                           lambda: write.replace(b"m", b"7")):
                write.delete(b"m")
                write.fill(b"m", b"5")
                read.fill(b"m", b"5")
                self.assertEqual((b"5", b"5"), (write.value(b"m"), read.value(b"m")), (writer, reader))
                self.assertTrue(change())
                self.assertIsNone(read.get(b"m"), (writer, reader))
            read.fill(b"m", b"8")
            write.delete(b"f")
            read.fill(b"f", b"5")
            write.fill(b"f", b"5")
            self.assertEqual(b"5", read.value(b"f"), (writer, reader))
            self.assertTrue(write.touch(b"f", 100))
            self.assertEqual(b"5", read.value(b"f"), (writer, reader))

    def test_g8_a_shared_key_is_one(self):
        for writer, reader in self.pairs():
            write, read = self.say[writer, "py3"], self.say[reader, "py2"]
            self.assertEqual(True, write.set(b"shared:k", b"10", 3))
            self.assertEqual((3, b"10"), read.get(b"shared:k"))
            self.assertEqual(False, read.add(b"shared:k", b"11"))
            self.assertEqual(11, read.incr(b"shared:k", 1))
            self.assertEqual(b"11", write.value(b"shared:k"))
            self.assertEqual(True, read.delete(b"shared:k"))
            self.assertIsNone(write.get(b"shared:k"))


class Attacks(Protocols):
    """A key that fits without the prefix and not with it, and a value that is a command."""

    def commands(self):
        yield b"delete victim"
        yield b"md victim"
        yield b"flush_all\r\nset victim 0 0 4\r\nevil\r\n"
        yield binary_cases.frame(binary_cases.DELETE, b"victim") * 2
        yield binary_cases.store(binary_cases.SET, b"victim", b"evil")

    def attack(self, protocol, refused):
        watch = self.say["classic", "py3"]
        watch.set(b"victim", b"mine")
        self.behind.wire().talk(b"set victim 0 0 4\r\nsafe\r\n", b"STORED\r\n")
        for length in range(243, 251):
            key = b"k" * length
            for command in self.commands():
                wire = self.crossfade.wire("py3")
                speaker = protocol(wire)
                requests = [("set", b"before", b"%d" % length), ("get", b"before"), ("set", key, command)]
                after = [("set", b"after%d" % at, b"%d" % at) for at in range(5)]
                after += [("get", b"after%d" % at) for at in range(5)]
                wanted = [True, (0, b"%d" % length)]
                tail = [True] * 5 + [(0, b"%d" % at) for at in range(5)]
                over = refused and length > 244  # the prefix takes six bytes
                if over and protocol is speakers.Binary:
                    # memcached ends the connection; nobody reads an answer that is another's
                    self.assertEqual(wanted + [4], speaker.ask(*requests))
                    wire.expect_end()
                else:
                    answers = speaker.ask(*(requests + after))
                    if over:
                        self.assertTrue(answers[2].startswith(b"CLIENT_ERROR "), answers[2])
                    else:
                        self.assertEqual(True, answers[2])
                    self.assertEqual(wanted + tail, answers[:2] + answers[3:])
                    if not over:
                        self.assertEqual((0, command), speaker.get(key))
                    wire.close()
                self.assertEqual((0, b"mine"), watch.get(b"victim"))
        self.behind.wire().talk(b"get victim\r\n", b"VALUE victim 0 4\r\nsafe\r\nEND\r\n")

    def test_g6_the_key_length_attack_in_classic(self):
        self.attack(speakers.Classic, False)

    def test_g6_the_key_length_attack_in_meta(self):
        self.attack(speakers.Meta, False)

    def test_g6_the_key_length_attack_in_binary(self):
        self.attack(speakers.Binary, False)

    def test_g6_the_key_length_attack_in_base64(self):
        """The coded form counts: 186 bytes without a prefix, 180 with one."""
        watch = self.say["classic", "py3"]
        watch.set(b"victim", b"mine")
        for length in range(176, 187):
            wire = self.crossfade.wire("py3")
            speaker = speakers.Coded(wire)
            for command in self.commands():
                self.assertEqual([True, (0, command), True, (0, b"y")], speaker.ask(
                    ("set", b"k" * length, command), ("get", b"k" * length), ("set", b"x", b"y"), ("get", b"x")))
                self.assertEqual((0, b"mine"), watch.get(b"victim"))
            wire.close()

    def one_off(self, protocol, requests_of):
        """Every error that can be brought about, among commands of two clients that read on: no answer goes
        to the next question."""
        victim = self.say["classic", "py3"]
        for number in range(12):
            wire = self.crossfade.wire("py3")
            wire.send(requests_of(number))
            self.assertEqual(True, victim.set(b"v%d" % number, b"%d" % number))
            self.assertEqual([(0, b"%d" % at) for at in range(number + 1)],
                             victim.ask(*[("get", b"v%d" % at) for at in range(number + 1)]))
            speaker = protocol(wire)
            wire.until(requests_of.mark)
            self.assertEqual([True, (0, b"mine"), None, True],
                             speaker.ask(("set", b"o", b"mine"), ("get", b"o"), ("get", b"no"), ("delete", b"o")))
            wire.close()

    def test_g6_the_one_off_answers_attack_in_classic(self):
        long = b"k" * 251

        def requests(number):
            return (b"set %s 0 0 8 noreply\r\nget v0\r\n\r\n" % long + b"delete %s noreply\r\n" % long
                    + b"get a %s\r\n" % long + b"incr nothing x noreply\r\n" + b"set o 0 0 3\r\nabcde\r\n"
                    + b"set o 0 0 2000000 noreply\r\n" + b"get v0\r\n" * 250000 + b"\r\n"
                    + b"touch %s 0 noreply\r\n" % long + b"bogus\r\n" * number + b"version\r\n")
        requests.mark = b"VERSION "
        self.one_off(VersionFirst, requests)

    def test_g6_the_one_off_answers_attack_in_meta(self):
        long = b"k" * 251

        def requests(number):
            return (b"ms %s 8 q\r\nmg v0 v\r\n\r\n" % long + b"md %s q\r\n" % long + b"mg %s q k\r\n" % long
                    + b"ma nothing q D-1\r\n" + b"ms o 3 q\r\nabcde\r\n" + b"ms o 9 q x\r\nmg v0 v k\r\n"
                    + b"ms o 2000000 q\r\n" + b"mg v0 v\r" * 250000 + b"\r\n" + b"mg o q O" + b"1" * 40 + b"\r\n"
                    + b"mg YQ= b q\r\n" + b"mg no q k\r\n" * number + b"mn\r\n")
        requests.mark = b"MN\r\n"
        self.one_off(speakers.Meta, requests)

    def test_g6_the_one_off_answers_attack_in_binary(self):
        def requests(number):
            frame = binary_cases.frame
            return (frame(binary_cases.DELETEQ, b"no") + frame(binary_cases.APPENDQ, b"no", b"x")
                    + binary_cases.store(binary_cases.SETQ, b"o", frame(binary_cases.GET, b"v0") * 80000)
                    + binary_cases.store(binary_cases.REPLACEQ, b"no", frame(binary_cases.GET, b"v0"))
                    + frame(0x55, value=b"x" * 30) + frame(binary_cases.GETKQ, b"no") * number
                    + binary_cases.count(binary_cases.INCRQ, b"v0x") + binary_cases.MARK)
        requests.mark = binary_cases.MARKED
        self.one_off(speakers.Binary, requests)


class VersionFirst(speakers.Classic):
    """The rest of the VERSION line is still to be read."""

    def ask(self, *requests):
        self.wire.line()
        return super().ask(*requests)


class RefusedAttacks(Attacks):
    """The same where a key that is too long is refused instead of hashed."""

    CHANGES = {"long_keys": "refuse"}

    def attack(self, protocol, refused):
        super().attack(protocol, True)

    def test_g6_the_key_length_attack_in_base64(self):
        watch = self.say["classic", "py3"]
        watch.set(b"victim", b"mine")
        for length in range(176, 187):
            wire = self.crossfade.wire("py3")
            speaker = speakers.Coded(wire)
            for command in self.commands():
                answers = speaker.ask(("set", b"k" * length, command), ("set", b"x", b"y"), ("get", b"x"))
                self.assertEqual([True, (0, b"y")], answers[1:])
                if answers[0] is not True:
                    self.assertTrue(answers[0].startswith(b"CLIENT_ERROR "), answers)
                self.assertEqual((0, b"mine"), watch.get(b"victim"))
            wire.close()


if __name__ == "__main__":
    harness.main()
