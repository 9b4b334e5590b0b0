"""Epoch mode in the classic text protocol, with servers that lose items, lie, or answer in pieces."""
import harness
import test_epoch_text as modes
import test_hostile_servers as hostile
from test_epoch_text import EPOCH, PY3, config, store, value


class Evictions(modes.Epoch):
    """The server may lose either item at any time: that is a miss, and no more."""

    def test_the_epoch_item_is_lost(self):
        self.fill(self.b, b"k", b"old")
        self.back.talk(b"delete %s\r\n" % (EPOCH + b"k"), b"DELETED\r\n")
        self.misses(self.b, b"k")
        self.b.talk(store(b"set", b"k", b"new"), b"STORED\r\n")
        self.has(self.b, b"k", b"new")

    def test_the_epoch_item_is_lost_and_the_key_deleted(self):
        """The epoch that comes back is another one: what was stored under the lost one stays out."""
        self.fill(self.a, b"k", b"old")
        self.back.talk(b"delete %s\r\n" % (EPOCH + b"k"), b"DELETED\r\n")
        self.b.talk(b"delete k\r\n", b"NOT_FOUND\r\n")
        self.misses(self.b, b"k")
        self.misses(self.a, b"k")

    def test_the_value_is_lost(self):
        self.fill(self.b, b"k", b"old")
        self.back.talk(b"delete %s\r\n" % (PY3 + b"k"), b"DELETED\r\n")
        for command, answer in ((b"incr k 1\r\n", b"NOT_FOUND\r\n"),
                                (store(b"append", b"k", b"x"), b"NOT_STORED\r\n"),
                                (b"get k\r\n", b"END\r\n"), (b"gat 0 k\r\n", b"END\r\n")):
            self.b.talk(command, answer)
        self.b.talk(store(b"set", b"k", b"new"), b"STORED\r\n")
        self.has(self.b, b"k", b"new")

    def test_both_are_lost(self):
        self.fill(self.b, b"k", b"old")
        self.back.talk(b"flush_all\r\n", b"OK\r\n")
        self.fill(self.b, b"k", b"new")
        self.has(self.b, b"k", b"new")

    def test_what_lies_in_the_epochs_place_is_none(self):
        for n, junk in enumerate((b"", b"junk", b"x" * 31, b"\0" * 32,
                                  b"y" * 5000, b"z" * 200000)):
            key = b"k%d" % n
            self.fill(self.b, key, b"old")
            self.back.talk(store(b"set", EPOCH + key, junk, 77777), b"STORED\r\n")
            self.misses(self.b, key)
            self.b.talk(store(b"set", key, b"new"), b"STORED\r\n")
            self.has(self.b, key, b"new")
            self.back.talk(store(b"set", EPOCH + key, junk, 77777), b"STORED\r\n")
            self.b.talk(b"gat 0 %s\r\n" % key, b"END\r\n")
            self.b.talk(store(b"set", key, b"newer"), b"STORED\r\n")
            self.back.talk(store(b"set", EPOCH + key, junk, 77777), b"STORED\r\n")
            self.b.talk(b"delete %s\r\n" % key, b"DELETED\r\n")
            self.fill(self.b, key, b"newest")
            self.has(self.b, key, b"newest")

    def test_what_lies_in_the_values_place_has_no_stamp(self):
        for n, junk in enumerate((b"", b"junk", b"x" * 20, b"y" * 5000, b"z" * 200000)):
            key = b"k%d" % n
            self.fill(self.b, key, b"old")
            self.back.talk(store(b"set", PY3 + key, junk), b"STORED\r\n")
            self.misses(self.b, key)
            self.b.talk(b"incr %s 1\r\n" % key, b"NOT_FOUND\r\n")
            self.b.talk(store(b"set", key, b"new"), b"STORED\r\n")
            self.has(self.b, key, b"new")


class Server(hostile.Fake):
    """A memcached of before the meta protocol, whose replies come in two pieces at `split`."""

    def __init__(self):
        self.items = {}  # key -> [flags, data, cas]
        self.numbers = 0
        self.split = 0
        self.commands = []
        super().__init__()
        self.script = self.answer_split

    def answer_split(self, _connection, line, data):
        words = line.split()
        if self.value_length(words) is not None and data is None:
            return None
        reply = self.reply(words, data)
        if 0 < self.split < len(reply):
            return [reply[:self.split], 0.004, reply[self.split:]]
        return [reply]

    def keep(self, key, flags, data):
        self.numbers += 1
        self.items[key] = [flags, data, self.numbers]
        return b"STORED\r\n"

    def reply(self, words, data):
        verb, items = words[0], self.items
        self.commands.append(verb)
        if verb == b"version":
            return b"VERSION 1.4.0\r\n"
        if verb in (b"get", b"gets", b"gat", b"gats"):
            keys = words[2:] if verb.startswith(b"gat") else words[1:]
            found = b""
            for key in keys:
                if key in items:
                    flags, kept, number = items[key]
                    tail = b" %d" % number if verb.endswith(b"s") else b""
                    found += b"VALUE %s %s %d%s\r\n%s\r\n" % (key, flags, len(kept), tail, kept)
            return found + b"END\r\n"
        if verb == b"delete":
            return b"DELETED\r\n" if items.pop(words[1], None) else b"NOT_FOUND\r\n"
        if verb == b"touch":
            return b"TOUCHED\r\n" if words[1] in items else b"NOT_FOUND\r\n"
        if verb not in hostile.STORAGE:
            return b"ERROR\r\n"
        key, flags, data = words[1], words[2], data[:-2]
        if (verb == b"add") == (key in items) and verb in (b"add", b"replace"):
            return b"NOT_STORED\r\n"
        if verb == b"cas":
            if key not in items:
                return b"NOT_FOUND\r\n"
            if items[key][2] != int(words[5]):
                return b"EXISTS\r\n"
        return self.keep(key, flags, data)


def trusts(wire):
    """Is the server written to, and read from, as if nothing had been?"""
    if wire.send(store(b"set", b"x", b"y")).line() != b"STORED\r\n":
        return False
    return wire.send(b"get x\r\n").until(b"END\r\n") != b"END\r\n"


class Pieces(harness.Test):
    """Replies that come in pieces, from a server that does not know the meta protocol."""

    def setUp(self):
        super().setUp()
        self.fake = Server()
        self.addCleanup(self.fake.close)
        self.daemon_ = self.daemon(config(self.fake.address))
        self.b = self.daemon_.wire("py3")

    def each_split(self, longest, run):
        for split in range(1, longest):
            self.fake.split = split
            run()

    def test_every_command_without_meta(self):
        b = self.b
        b.talk(b"get k\r\n", b"END\r\n")
        b.talk(store(b"set", b"k", b"7", 3), b"STORED\r\n")
        b.talk(b"incr k 1\r\n", b"8\r\n")
        b.talk(store(b"append", b"k", b"9", 3), b"STORED\r\n")
        b.talk(b"get k\r\n", value(b"k", b"89", 3) + b"END\r\n")
        b.talk(store(b"replace", b"k", b"1"), b"STORED\r\n")
        b.talk(b"touch k 10\r\n", b"TOUCHED\r\n")
        b.talk(b"delete k\r\n", b"DELETED\r\n")
        b.talk(store(b"add", b"k", b"2"), b"STORED\r\n")
        b.talk(b"gat 0 k\r\n", value(b"k", b"2") + b"END\r\n")
        self.assertFalse({b"mg", b"ms", b"md", b"mn"} & set(self.fake.commands))

    def test_a_hit_in_two_pieces(self):
        self.b.talk(store(b"set", b"k", b"value", 3), b"STORED\r\n")
        hit = value(b"k", b"value", 3) + b"END\r\n"
        self.each_split(140, lambda: self.b.talk(b"get k\r\n", hit))

    def test_two_hits_and_a_miss_in_two_pieces(self):
        for key in (b"k", b"l"):
            self.b.talk(store(b"set", key, b"value", 3), b"STORED\r\n")
        self.b.talk(b"get j\r\n", b"END\r\n")
        hits = value(b"k", b"value", 3) + value(b"l", b"value", 3) + b"END\r\n"
        self.each_split(290, lambda: self.b.talk(b"get k j l\r\n", hits))

    def test_a_gat_in_two_pieces(self):
        self.b.talk(store(b"set", b"k", b"value", 3), b"STORED\r\n")
        hit = value(b"k", b"value", 3) + b"END\r\n"
        self.each_split(90, lambda: self.b.talk(b"gat 0 k\r\n", hit))

    def test_a_large_hit_in_two_pieces(self):
        large = bytes(range(65, 91)) * 500
        self.b.talk(store(b"set", b"k", large, 3), b"STORED\r\n")
        hit = value(b"k", large, 3) + b"END\r\n"
        self.each_split(160, lambda: self.b.talk(b"get k\r\n", hit))
        for split in range(len(large), len(large) + 150, 3):
            self.fake.split = split
            self.b.talk(b"get k\r\n", hit)

    def test_a_large_value_that_is_not_current_in_two_pieces(self):
        large = bytes(range(65, 91)) * 500
        self.b.talk(store(b"set", b"k", large, 3), b"STORED\r\n")
        epoch = self.fake.items[EPOCH + b"k"]
        epoch[1] = bytes(16 * [7]) + epoch[1][16:]
        self.each_split(160, lambda: self.b.talk(b"get k\r\nget k\r\n", b"END\r\n" * 2))

    def test_changes_in_two_pieces(self):
        self.b.talk(store(b"set", b"k", b"1"), b"STORED\r\n")
        number = 1

        def count():
            nonlocal number
            number += 1
            self.b.talk(b"incr k 1\r\n", b"%d\r\n" % number)
        self.each_split(100, count)

    def lie(self, lie):
        """To the next read."""
        honest = self.fake.reply

        def once(words, data):
            if words[0] in (b"get", b"gets", b"gats"):
                self.fake.reply = honest
                return lie
            return honest(words, data)
        self.fake.reply = once

    def is_trusted(self):
        return trusts(self.b)

    def test_a_server_that_lies_is_not_believed(self):
        """Each of these closes the connection; the client hears a miss, as the default is."""
        self.b.talk(store(b"set", b"k", b"value"), b"STORED\r\n")
        epoch = self.fake.items[EPOCH + b"k"][1]
        mine = PY3 + b"k"
        stamped = self.fake.items[mine][1]

        def item(key, data, cas=b" 5", length=None):
            return b"VALUE %s 0 %d%s\r\n%s\r\n" % (key, len(data) if length is None else length,
                                                   cas, data)
        lies = [
            item(EPOCH + b"k", epoch) * 2 + item(mine, stamped) + b"END\r\n",
            item(mine, stamped) + item(EPOCH + b"k", epoch) + b"END\r\n",
            item(EPOCH + b"k", epoch) + item(mine, stamped) * 2 + b"END\r\n",
            item(EPOCH + b"k", epoch) + item(mine[:-1] + b"l", stamped) + b"END\r\n",
            item(EPOCH + b"k", epoch, b"") + item(mine, stamped) + b"END\r\n",
            item(EPOCH + b"k", epoch) + item(mine, stamped, b"") + b"END\r\n",
            item(EPOCH + b"k", epoch, b" 18446744073709551616") + item(mine, stamped) + b"END\r\n",
            item(EPOCH + b"k", epoch[:24] + b"keep####") +
            item(mine, stamped, b" 99999999999999999999") + b"END\r\n",
            item(EPOCH + b"k", epoch[:24] + b"keep####") +
            item(mine, bytes(16) + stamped[16:], b" 18446744073709551615") + b"END\r\n",
            item(EPOCH + b"k", epoch, b" 5 5") + item(mine, stamped) + b"END\r\n",
            item(EPOCH + b"k", epoch + b"x", length=32) + item(mine, stamped) + b"END\r\n",
            item(EPOCH + b"k", epoch) + item(mine, stamped + b"xx", length=25) + b"END\r\n",
            item(EPOCH + b"k", epoch) + item(mine, stamped) + b"STORED\r\n",
            item(EPOCH + b"k", epoch) + b"STORED\r\n",
        ]
        for lie in lies:
            self.b.talk(store(b"set", b"k", b"value"), b"STORED\r\n")
            epoch = self.fake.items[EPOCH + b"k"][1]
            self.lie(lie)
            self.b.send(b"get k\r\n")
            answer = self.b.until(b"END\r\n")
            self.assertIn(answer, (b"END\r\n", value(b"k", b"value") + b"END\r\n"), lie)
            harness.eventually(self.is_trusted, "the server to be trusted again")

    def test_errors_in_place_of_either_reply_of_a_gat(self):
        self.b.talk(store(b"set", b"k", b"value"), b"STORED\r\n")
        for wrong in (b"get", b"gats"):
            honest = self.fake.reply
            self.fake.reply = lambda words, data, wrong=wrong, honest=honest: \
                b"SERVER_ERROR out of memory\r\n" if words[0] == wrong else honest(words, data)
            self.b.talk(b"gat 0 k\r\n", b"END\r\n")
            self.fake.reply = honest
            self.b.talk(b"gat 0 k\r\n", value(b"k", b"value") + b"END\r\n")


class Failures(harness.Test):
    """G5: what did not happen is said, and what is tried again is what it was."""

    def setUp(self):
        super().setUp()
        self.fake = Server()
        self.addCleanup(self.fake.close)
        self.daemon_ = self.daemon(config(self.fake.address))
        self.a, self.b = self.daemon_.wire("py2"), self.daemon_.wire("py3")

    def fail_once(self, verb, is_epoch, steps):
        """The next such command of an epoch item, or of a value, is not done."""
        def script(connection, line, data):
            words = line.split()
            if words[0] != verb or words[1].startswith(EPOCH) != is_epoch or \
                    (verb in hostile.STORAGE and data is None):
                return self.fake.answer_split(connection, line, data)
            self.fake.script = self.fake.answer_split
            return steps
        self.fake.script = script

    def is_trusted(self):
        """By the workers of both clients, and nothing is left that it has to be told before reads."""
        return all(trusts(wire) for wire in (self.a, self.b))

    def retry(self, steps):
        """A fill fails; the other arm deletes; the client tries again with what it has read before."""
        self.a.talk(b"get k\r\n", b"END\r\n")
        self.fail_once(b"set", False, steps)
        self.a.send(store(b"set", b"k", b"old"))
        self.assertTrue(self.a.line().startswith(b"SERVER_ERROR "))
        harness.eventually(self.is_trusted, "the server to be trusted again")
        self.b.send(b"delete k\r\n")
        self.assertEqual(self.b.line(), b"NOT_FOUND\r\n")
        self.a.talk(store(b"set", b"k", b"old"), b"STORED\r\n")
        self.a.talk(b"get k\r\n", b"END\r\n")

    def test_g3_a_fill_that_the_server_refused_is_a_fill_again(self):
        self.retry([b"SERVER_ERROR out of memory storing object\r\n"])

    def test_g3_a_fill_whose_connection_was_cut_is_a_fill_again(self):
        self.retry([hostile.CLOSE])

    def test_g3_a_large_fill_that_the_server_refused_is_a_fill_again(self):
        large = b"x" * 200000
        self.a.talk(b"get k\r\n", b"END\r\n")
        self.fail_once(b"set", False, [b"SERVER_ERROR out of memory storing object\r\n"])
        self.a.send(store(b"set", b"k", large))
        self.assertTrue(self.a.line().startswith(b"SERVER_ERROR "))
        self.b.talk(b"delete k\r\n", b"NOT_FOUND\r\n")
        self.a.talk(store(b"set", b"k", large), b"STORED\r\n")
        self.a.talk(b"get k\r\n", b"END\r\n")

    def test_g5_the_epoch_item_of_a_mutation_is_refused(self):
        for verb, command in ((b"set", store(b"set", b"k", b"new")),
                              (b"set", store(b"set", b"k", b"n" * 200000)),
                              (b"replace", b"delete k\r\n")):
            self.a.talk(store(b"set", b"k", b"old"), b"STORED\r\n")
            self.fail_once(verb, True, [b"SERVER_ERROR out of memory storing object\r\n"])
            self.b.send(command)
            self.assertTrue(self.b.line().startswith(b"SERVER_ERROR "), command[:20])
            self.b.talk(b"delete k\r\n", b"DELETED\r\n" if verb == b"set" else b"NOT_FOUND\r\n")

    def test_g5_the_value_of_a_mutation_is_refused(self):
        self.a.talk(store(b"set", b"k", b"old"), b"STORED\r\n")
        self.b.talk(store(b"set", b"k", b"old"), b"STORED\r\n")
        self.fail_once(b"set", False, [b"SERVER_ERROR out of memory storing object\r\n"])
        self.b.talk(store(b"set", b"k", b"new"), b"SERVER_ERROR out of memory storing object\r\n")
        self.a.talk(b"get k\r\n", b"END\r\n")
        self.b.talk(b"get k\r\n", b"END\r\n")

    def test_g3_nobody_could_look(self):
        """A read that failed is a miss of unknown epoch: its fill is not kept."""
        self.a.talk(store(b"set", b"k", b"older"), b"STORED\r\n")
        self.fail_once(b"gets", True, [hostile.CLOSE])
        self.a.talk(b"get k\r\n", b"END\r\n")
        harness.eventually(self.is_trusted, "the server to be trusted again")
        self.b.talk(b"delete k\r\n", b"NOT_FOUND\r\n")
        self.a.talk(store(b"set", b"k", b"old"), b"STORED\r\n")
        self.a.talk(b"get k\r\n", b"END\r\n")

    def test_g3_the_epoch_item_could_not_be_made(self):
        for steps in ([b"SERVER_ERROR out of memory storing object\r\n"], [hostile.CLOSE]):
            self.fail_once(b"add", True, steps)
            self.a.talk(b"get k\r\n", b"END\r\n")
            harness.eventually(self.is_trusted, "the server to be trusted again")
            self.a.talk(store(b"set", b"k", b"old"), b"STORED\r\n")
            self.a.talk(b"get k\r\n", b"END\r\n")
            self.a.talk(store(b"set", b"k", b"new"), b"STORED\r\n")
            self.a.talk(b"get k\r\n", value(b"k", b"new") + b"END\r\n")
            self.fake.items.clear()


if __name__ == "__main__":
    harness.main()
