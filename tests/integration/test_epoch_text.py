"""Epoch mode in the classic text protocol: each key has an epoch item that all arms share, and a value
counts only if it was stored under the epoch of now (doc/coherence.md). Real memcached;
test_epoch_text_servers.py has servers that lose items, lie, or answer in pieces.
"""
import random
import re
import threading

import harness

EPOCH = b"cf~:e:"
PY3 = b"cf~py3.0:"
STAMP = 20


def config(*servers, **changes):
    changes.setdefault("coherence", "epoch")
    changes.setdefault("timeouts", {"connect": "2s", "request": "5s"})
    return harness.cache_config(*servers, **changes)


def value(key, data, flags=0):
    return b"VALUE %s %d %d\r\n%s\r\n" % (key, flags, len(data), data)


def store(verb, key, data, flags=0, exptime=0, tail=b""):
    return b"%s %s %d %d %d%s\r\n%s\r\n" % (verb, key, flags, exptime, len(data), tail, data)


class Epoch(harness.Test):
    """Two arms, py2 with the empty namespace and py3, on one memcached."""

    options = ()
    changes = {}

    def setUp(self):
        super().setUp()
        self.server = self.memcached(*self.options)
        self.daemon_ = self.daemon(config(self.server, **self.changes))
        self.a, self.b = self.daemon_.wire("py2"), self.daemon_.wire("py3")
        self.back = self.server.wire()

    def fill(self, wire, key, data, flags=0, exptime=0):
        """As a client does it: it misses, looks into its database, and stores."""
        wire.talk(b"get %s\r\n" % key, b"END\r\n")
        wire.talk(store(b"set", key, data, flags, exptime), b"STORED\r\n")

    def has(self, wire, key, data, flags=0):
        wire.talk(b"get %s\r\n" % key, value(key, data, flags) + b"END\r\n")

    def misses(self, wire, *keys):
        wire.talk(b"get %s\r\n" % b" ".join(keys), b"END\r\n")

    def keys(self, count=None):
        """What lies on the server, when it is so much: an item that is in use is left out of a dump."""
        if count is not None:
            harness.eventually(lambda: len(self.keys()) == count, "%d items" % count)
        self.back.send(b"lru_crawler metadump all\r\n")
        found = self.back.until(b"END\r\n")
        return sorted(key.replace(b"%3A", b":").replace(b"%23", b"#")
                      for key in re.findall(rb"key=(\S+)", found))

    def cas_of(self, wire, key):
        wire.send(b"gets %s\r\n" % key)
        answer = wire.until(b"END\r\n")
        return answer.split(b"\r\n")[0].split()[4]

    def other_daemon(self, text):
        """A second process on this host, with that configuration."""
        text["control"]["sockets"][0]["path"] = "@dir@/other.sock"
        text["process"]["state_dir"] = "@dir@/other"
        return self.daemon(text)

    def is_gone(self, wire, key):
        wire.send(b"get %s\r\n" % key)
        return wire.until(b"END\r\n") == b"END\r\n"


class Guarantees(Epoch):
    def test_g1_no_arm_is_given_what_another_wrote(self):
        self.fill(self.a, b"k", b"two", 1)
        self.misses(self.b, b"k")
        self.b.talk(store(b"set", b"k", b"three", 2), b"STORED\r\n")
        self.has(self.a, b"k", b"two", 1)
        self.has(self.b, b"k", b"three", 2)
        self.keys(3)

    def test_g1_no_prefix_and_no_stamp_shows(self):
        self.fill(self.b, b"k", b"x" * 100)
        self.b.send(b"gets k\r\n")
        answer = self.b.until(b"END\r\n")
        self.assertRegex(answer, rb"^VALUE k 0 100 \d+\r\n" + b"x" * 100 + rb"\r\nEND\r\n$")
        self.keys(2)

    def test_g2_a_delete_reaches_the_other_arm(self):
        self.fill(self.a, b"k", b"old")
        self.fill(self.b, b"k", b"old")
        self.b.talk(b"delete k\r\n", b"DELETED\r\n")
        self.misses(self.a, b"k")
        self.misses(self.b, b"k")

    def test_g2_a_delete_by_an_arm_that_has_nothing(self):
        self.fill(self.a, b"k", b"old")
        self.b.talk(b"delete k\r\n", b"NOT_FOUND\r\n")
        self.misses(self.a, b"k")

    def test_g2_a_delete_of_what_nobody_has_leaves_nothing(self):
        self.b.talk(b"delete k\r\n", b"NOT_FOUND\r\n")
        self.assertEqual(self.keys(), [])

    def test_g2_a_delete_reaches_an_arm_that_only_another_process_knows(self):
        text = config(self.server)
        text["arms"][1]["namespace"] = "py4"
        stranger = self.other_daemon(text).wire("py3")
        self.fill(stranger, b"k", b"old")
        self.a.talk(b"delete k\r\n", b"NOT_FOUND\r\n")
        self.misses(stranger, b"k")

    def test_g2_a_delete_reaches_hosts_without_crossfade(self):
        self.back.talk(store(b"set", b"k", b"theirs"), b"STORED\r\n")
        self.b.talk(b"delete k\r\n", b"NOT_FOUND\r\n")
        self.back.talk(b"get k\r\n", b"END\r\n")

    def test_g2_hosts_without_crossfade_are_given_no_stamp(self):
        self.fill(self.a, b"k", b"ours")
        self.back.talk(b"get k\r\n", b"END\r\n")

    def test_g2_a_set_that_is_too_large_is_a_delete(self):
        self.fill(self.a, b"k", b"old")
        self.fill(self.b, b"k", b"old")
        self.b.talk(store(b"set", b"k", b"x" * (1024 * 1024 + 1)),
                    b"SERVER_ERROR object too large for cache\r\n")
        self.misses(self.a, b"k")
        self.misses(self.b, b"k")

    def test_g3_a_fill_from_before_a_delete_is_not_served(self):
        self.misses(self.a, b"k")                               # reads its database: old
        self.b.talk(b"delete k\r\n", b"NOT_FOUND\r\n")          # which is new now
        self.a.talk(store(b"set", b"k", b"old"), b"STORED\r\n")
        self.misses(self.a, b"k")
        self.a.talk(store(b"set", b"k", b"new"), b"STORED\r\n")
        self.has(self.a, b"k", b"new")

    def test_g3_a_fill_from_before_a_mutation_is_not_served(self):
        self.fill(self.b, b"k", b"1")
        self.misses(self.a, b"k")
        self.b.talk(b"incr k 1\r\n", b"2\r\n")
        self.a.talk(store(b"set", b"k", b"1"), b"STORED\r\n")
        self.misses(self.a, b"k")
        self.has(self.b, b"k", b"2")

    def test_g3_the_same_over_other_connections(self):
        wires = [self.daemon_.wire("py2") for _ in range(8)]
        for n in range(40):
            key = b"k%d" % n
            self.misses(wires[n % 8], key)
            self.b.talk(b"delete %s\r\n" % key, b"NOT_FOUND\r\n")
            wires[(n * 3 + 1) % 8].talk(store(b"set", key, b"old"), b"STORED\r\n")
            self.misses(wires[(n * 5 + 2) % 8], key)

    def test_g3_a_large_fill(self):
        large = b"y" * 700000
        self.misses(self.a, b"k")
        self.b.talk(b"delete k\r\n", b"NOT_FOUND\r\n")
        self.a.talk(store(b"set", b"k", large), b"STORED\r\n")
        self.misses(self.a, b"k")
        self.a.talk(store(b"set", b"k", large), b"STORED\r\n")
        self.has(self.a, b"k", large)

    def test_g3_an_add_from_before_a_delete_is_not_kept(self):
        self.misses(self.a, b"k")
        self.b.talk(b"delete k\r\n", b"NOT_FOUND\r\n")
        self.a.talk(store(b"add", b"k", b"old"), b"NOT_STORED\r\n")
        self.misses(self.a, b"k")

    def test_g3_two_readers_of_two_epochs(self):
        other = self.daemon_.wire("py2")
        self.misses(self.a, b"k")
        self.b.talk(b"delete k\r\n", b"NOT_FOUND\r\n")
        self.misses(other, b"k")
        # Nobody can say whose set this is.
        other.talk(store(b"set", b"k", b"new"), b"STORED\r\n")
        self.a.talk(store(b"set", b"k", b"old"), b"STORED\r\n")
        self.misses(self.a, b"k")

    def test_g4_mutations_reach_the_other_arm(self):
        mutations = [
            (store(b"set", b"%s", b"new"), b"STORED\r\n", b"new"),
            (store(b"replace", b"%s", b"new"), b"STORED\r\n", b"new"),
            (store(b"append", b"%s", b"1"), b"STORED\r\n", b"71"),
            (store(b"prepend", b"%s", b"1"), b"STORED\r\n", b"17"),
            (b"incr %s 3\r\n", b"10\r\n", b"10"),
            (b"decr %s 3\r\n", b"4\r\n", b"4"),
        ]
        for n, (command, answer, after) in enumerate(mutations):
            key = b"k%d" % n
            self.fill(self.a, key, b"7")
            self.fill(self.b, key, b"7")
            self.b.talk(command % key, answer)
            self.misses(self.a, key)
            self.has(self.b, key, after)

    def test_g4_large_mutations_reach_the_other_arm(self):
        large = b"z" * 200000
        for n, (command, after) in enumerate(((store(b"set", b"%s", large), large),
                                              (store(b"replace", b"%s", large), large),
                                              (store(b"append", b"%s", large), b"7" + large))):
            key = b"k%d" % n
            self.fill(self.a, key, b"7")
            self.fill(self.b, key, b"7")
            self.b.talk(command % key, b"STORED\r\n")
            self.misses(self.a, key)
            self.has(self.b, key, after)

    def test_g4_cas_reaches_the_other_arm(self):
        self.fill(self.a, b"k", b"7")
        self.fill(self.b, b"k", b"7")
        number = self.cas_of(self.b, b"k")
        self.b.talk(store(b"cas", b"k", b"8", tail=b" " + number), b"STORED\r\n")
        self.b.talk(store(b"cas", b"k", b"9", tail=b" " + number), b"EXISTS\r\n")
        self.misses(self.a, b"k")
        self.has(self.b, b"k", b"8")

    def test_g4_a_cas_number_from_before_another_arms_change_does_not_store(self):
        self.fill(self.a, b"k", b"7")
        self.fill(self.b, b"k", b"7")
        number = self.cas_of(self.a, b"k")
        self.b.talk(b"incr k 1\r\n", b"8\r\n")
        self.a.talk(store(b"cas", b"k", b"9", tail=b" " + number), b"EXISTS\r\n")
        self.misses(self.a, b"k")
        self.has(self.b, b"k", b"8")

    def test_g4_a_fill_leaves_the_other_arm_alone(self):
        for n in range(50):
            self.fill(self.a, b"k%d" % n, b"a")
            self.fill(self.b, b"k%d" % n, b"b")
        for n in range(50):
            self.has(self.a, b"k%d" % n, b"a")
            self.has(self.b, b"k%d" % n, b"b")

    def test_g5_a_mutation_that_reaches_no_server_is_an_error(self):
        self.fill(self.a, b"k", b"7")
        self.server.stop()
        for command in (b"delete k\r\n", b"incr k 1\r\n", store(b"set", b"k", b"x"),
                        store(b"set", b"k", b"x" * 100000), store(b"append", b"k", b"x"),
                        store(b"add", b"k", b"x"), store(b"replace", b"k", b"x")):
            self.a.send(command)
            self.assertTrue(self.a.line().startswith(b"SERVER_ERROR "), command[:20])

    def test_g5_a_fill_that_failed_is_no_mutation_when_it_is_tried_again(self):
        self.fill(self.b, b"k", b"b")
        self.misses(self.a, b"k")
        self.server.stop()
        self.a.send(store(b"set", b"k", b"a"))
        self.assertTrue(self.a.line().startswith(b"SERVER_ERROR "))

    def test_g6_replies_keep_their_order(self):
        self.fill(self.a, b"k", b"7")
        self.a.talk(b"get k\r\nincr k 1\r\nget k j\r\ndelete k\r\nget k\r\n" +
                    store(b"add", b"k", b"1") + b"append k 0 0 1\r\n2\r\nget k\r\ngat 0 k\r\n"
                    b"touch k 0\r\ntouch j 0\r\n",
                    value(b"k", b"7") + b"END\r\n8\r\n" + value(b"k", b"8") +
                    b"END\r\nDELETED\r\nEND\r\nSTORED\r\nSTORED\r\n" + value(b"k", b"12") +
                    b"END\r\n" + value(b"k", b"12") + b"END\r\nTOUCHED\r\nNOT_FOUND\r\n")


class Transparency(Epoch):
    """G7: values, flags, expiry and cas numbers behave as on memcached itself."""

    def test_g7_flags_of_all_32_bits(self):
        for bit in range(32):
            key = b"k%d" % bit
            self.fill(self.b, key, b"x", 1 << bit)
            self.has(self.b, key, b"x", 1 << bit)
        self.fill(self.b, b"all", b"x", 0xffffffff)
        self.has(self.b, b"all", b"x", 0xffffffff)
        self.b.talk(store(b"append", b"all", b"y", 7), b"STORED\r\n")
        self.has(self.b, b"all", b"xy", 0xffffffff)
        self.b.talk(store(b"replace", b"all", b"z", 5), b"STORED\r\n")
        self.has(self.b, b"all", b"z", 5)

    def test_g7_values_of_many_lengths(self):
        lengths = [0, 1, 2, 9, 10, 19, 20, 21, 79, 80, 99, 100, 490, 512, 513, 979, 980, 999, 1000,
                   3000, 3040, 3072, 3100, 9979, 9980, 9999, 10000, 65535, 65536, 65537, 99979,
                   99980, 99999, 100000, 262144, 1000000, 1024 * 1024 - 200]
        random.seed(7)
        for n, length in enumerate(lengths):
            data = random.randbytes(length)
            key = b"k%d" % n
            self.fill(self.b, key, data, 3)
            self.has(self.b, key, data, 3)
            self.b.send(b"gets %s\r\n" % key)
            head = self.b.line()
            self.assertRegex(head, rb"^VALUE %s 3 %d \d+\r\n$" % (key, length))
            self.b.expect(data + b"\r\nEND\r\n")
            self.b.talk(b"gat 0 %s\r\n" % key, value(key, data, 3) + b"END\r\n")
            self.a.talk(b"delete %s\r\n" % key, b"NOT_FOUND\r\n")
            self.misses(self.b, key)
        keys = [b"k%d" % n for n in range(len(lengths))]
        self.misses(self.b, *keys)

    def test_g7_a_large_value_that_is_not_current_never_reaches_the_client(self):
        """Also where it streams, between others that are passed on."""
        large = [bytes([65 + n]) * 300000 for n in range(5)]
        for n in range(5):
            self.fill(self.b, b"k%d" % n, large[n])
        for n in (0, 2, 4):
            self.a.talk(b"delete k%d\r\n" % n, b"NOT_FOUND\r\n")
        self.b.talk(b"get k0 k1 k2 k3 k4 none\r\n",
                    value(b"k1", large[1]) + value(b"k3", large[3]) + b"END\r\n")

    def test_g7_keys_that_do_not_fit(self):
        for length in (200, 235, 240, 243, 244, 245, 249, 250):
            key = b"%d:" % length + b"k" * (length - 4)
            for data in (b"v", b"w" * 40000):
                self.b.talk(store(b"set", key, data, 9), b"STORED\r\n")
                self.has(self.b, key, data, 9)
            self.b.send(b"gets %s\r\n" % key)
            self.assertRegex(self.b.line(), rb"^VALUE %s 9 40000 \d+\r\n$" % key)
            self.b.expect(data + b"\r\nEND\r\n")
            self.b.talk(b"gat 0 %s\r\n" % key, value(key, data, 9) + b"END\r\n")
            self.a.talk(b"delete %s\r\n" % key, b"NOT_FOUND\r\n")
            self.misses(self.b, key)

    def test_g7_keys_of_control_characters(self):
        for key in (b"ta\tb", b"c\rr", b"\x01\x7f", b"\xff\xfe", b"#" + b"A" * 43):
            for data in (b"v", b"w" * 100000):
                self.b.talk(store(b"set", key, data), b"STORED\r\n")
                self.has(self.b, key, data)
            self.b.talk(store(b"append", key, b"!"), b"STORED\r\n")
            self.has(self.b, key, data + b"!")
            self.a.talk(b"delete %s\r\n" % key, b"NOT_FOUND\r\n")
            self.misses(self.b, key)

    def test_g7_expiry(self):
        self.fill(self.b, b"k", b"v", exptime=-1)
        self.misses(self.b, b"k")
        self.b.talk(store(b"set", b"k", b"v"), b"STORED\r\n")
        self.b.talk(b"touch k -1\r\n", b"TOUCHED\r\n")
        self.misses(self.b, b"k")
        self.b.talk(store(b"set", b"k", b"v"), b"STORED\r\n")
        self.b.talk(b"gat -1 k\r\n", value(b"k", b"v") + b"END\r\n")
        self.misses(self.b, b"k")
        self.b.talk(store(b"set", b"j", b"v", exptime=1), b"STORED\r\n")
        harness.eventually(lambda: self.is_gone(self.b, b"j"), "the end of the item")

    def test_g7_a_change_keeps_the_time_that_is_left(self):
        for verb, command in ((b"incr", b"incr %s 1\r\n"), (b"append", b"append %s 0 0 1\r\n1\r\n")):
            self.b.talk(store(b"set", verb, b"7", exptime=1000), b"STORED\r\n")
            self.b.send(command % verb)
            self.b.line()
            self.back.send(b"mg %s t\r\n" % (PY3 + verb))
            answer = self.back.line()
            self.assertTrue(990 <= int(answer[4:]) <= 1001, answer)

    def test_g7_numbers(self):
        top = 2 ** 64 - 1
        self.b.talk(store(b"set", b"n", b"%d" % top), b"STORED\r\n")
        self.b.talk(b"incr n 2\r\n", b"1\r\n")
        self.b.talk(store(b"set", b"n", b"100"), b"STORED\r\n")
        self.b.talk(b"decr n 1\r\nget n\r\n", b"99\r\n" + value(b"n", b"99 ") + b"END\r\n")
        self.b.talk(b"decr n 1000\r\n", b"0\r\n")
        self.b.talk(store(b"set", b"n", b"abc"), b"STORED\r\n")
        wrong = b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"
        self.b.talk(b"incr n 1\r\ndecr n 1\r\n", wrong * 2)
        self.b.talk(b"incr none 1\r\ndecr none 1\r\n", b"NOT_FOUND\r\n" * 2)
        self.b.talk(b"incr n x\r\n", b"CLIENT_ERROR invalid numeric delta argument\r\n")
        self.b.talk(b"touch n x\r\n", b"CLIENT_ERROR invalid exptime argument\r\n")

    def test_g7_all_that_needs_a_value_without_one(self):
        for command, answer in ((store(b"replace", b"k", b"v"), b"NOT_STORED\r\n"),
                                (store(b"append", b"k", b"v"), b"NOT_STORED\r\n"),
                                (store(b"prepend", b"k", b"v"), b"NOT_STORED\r\n"),
                                (store(b"cas", b"k", b"v", tail=b" 1"), b"NOT_FOUND\r\n"),
                                (b"incr k 1\r\n", b"NOT_FOUND\r\n"),
                                (b"touch k 1\r\n", b"NOT_FOUND\r\n"),
                                (b"delete k\r\n", b"NOT_FOUND\r\n")):
            self.b.talk(command, answer)

    def test_g7_add_is_a_lock(self):
        wires = [self.daemon_.wire("py3") for _ in range(8)]
        for wire in wires:
            wire.send(store(b"add", b"lock", b"1"))
        self.assertEqual(sorted(wire.line() for wire in wires),
                         [b"NOT_STORED\r\n"] * 7 + [b"STORED\r\n"])

    def test_g7_counting_from_many_connections_loses_nothing(self):
        self.b.talk(store(b"set", b"n", b"0"), b"STORED\r\n")

        def count():
            wire = self.daemon_.wire("py3")
            for _ in range(50):
                wire.send(b"incr n 1\r\n")
                self.assertTrue(wire.line().strip().isdigit())
        threads = [threading.Thread(target=count) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(harness.WAIT)
        self.has(self.b, b"n", b"300")

    def test_g7_noreply(self):
        """Sent, done and silent: the next reply belongs to the next command."""
        silent = [store(b"set", b"k", b"1", tail=b" noreply"), b"incr k 1 noreply\r\n",
                  b"decr k 1 noreply\r\n", store(b"append", b"k", b"2", tail=b" noreply"),
                  store(b"prepend", b"k", b"0", tail=b" noreply"), b"touch k 1000 noreply\r\n",
                  store(b"add", b"k", b"no", tail=b" noreply"),
                  store(b"replace", b"j", b"no", tail=b" noreply")]
        self.b.talk(b"".join(silent) + b"get k\r\n", value(b"k", b"012") + b"END\r\n")
        number = self.cas_of(self.b, b"k")
        self.b.talk(store(b"cas", b"k", b"by cas", tail=b" " + number + b" noreply") +
                    b"get k\r\n", value(b"k", b"by cas") + b"END\r\n")
        self.b.talk(store(b"replace", b"k", b"again", tail=b" noreply") + b"get k\r\n",
                    value(b"k", b"again") + b"END\r\n")
        self.b.talk(b"delete k noreply\r\n" + store(b"add", b"k", b"new", tail=b" noreply") +
                    b"get k\r\n", value(b"k", b"new") + b"END\r\n")
        large = b"z" * 200000
        self.b.talk(store(b"set", b"k", large, tail=b" noreply") + b"get k\r\n",
                    value(b"k", large) + b"END\r\n")
        self.b.talk(store(b"append", b"k", large, tail=b" noreply") + b"get k\r\n",
                    value(b"k", large * 2) + b"END\r\n")
        self.b.talk(store(b"set", b"k", b"x" * 1100000, tail=b" noreply") + b"get k\r\n",
                    b"END\r\n")
        self.misses(self.a, b"k")

    def test_g7_noreply_reaches_the_other_arm(self):
        for n, command in enumerate((b"delete %s noreply\r\n", b"incr %s 1 noreply\r\n",
                                     store(b"set", b"%s", b"8", tail=b" noreply"),
                                     store(b"append", b"%s", b"8", tail=b" noreply"))):
            key = b"k%d" % n
            self.fill(self.a, key, b"7")
            self.fill(self.b, key, b"7")
            self.b.send(command % key)
            harness.eventually(lambda key=key: self.is_gone(self.a, key), "the invalidation")

    def test_g7_bad_data_chunks(self):
        bad = b"CLIENT_ERROR bad data chunk\r\n"
        self.fill(self.b, b"k", b"old")
        for length in (3, 100000):
            for verb, tail in ((b"set", b""), (b"append", b""), (b"add", b""), (b"cas", b" 1")):
                self.b.talk(b"%s k 0 0 %d%s\r\n" % (verb, length, tail) + b"x" * (length + 2), bad)
        self.has(self.b, b"k", b"old")


class Memory(Epoch):
    """What depends on what is stored is gathered: as much at once as the worker has memory for."""

    options = ("-I", "32m", "-m", "256")
    changes = {"max_value": "20m"}

    def test_a_change_larger_than_what_is_to_spare(self):
        self.b.talk(store(b"add", b"k", b"m" * 18000000), b"STORED\r\n")
        self.has(self.b, b"k", b"m" * 18000000)

    def test_many_large_changes_at_once(self):
        full = b"SERVER_ERROR out of memory storing object\r\n"
        wires = [self.daemon_.wire("py3") for _ in range(40)]
        command = [store(b"add", b"k%d" % n, b"m" * 1000000) for n in range(40)]
        for n, wire in enumerate(wires):
            wire.send(command[n][:500000])
        for n, wire in enumerate(wires):
            wire.send(command[n][500000:])
        answers = [wire.line() for wire in wires]
        self.assertEqual(set(answers) - {full}, {b"STORED\r\n"})
        self.assertGreater(answers.count(b"STORED\r\n"), 10)
        for n, wire in enumerate(wires):
            wire.talk(b"get k%d\r\n" % n, (value(b"k%d" % n, b"m" * 1000000)
                                           if answers[n] != full else b"") + b"END\r\n")
        self.b.talk(store(b"add", b"k", b"m" * 1000000), b"STORED\r\n")


class Many(Epoch):
    """Many keys, and keys of several modes in one command."""

    changes = {"keys": [{"match": "shared:*", "scope": "shared"},
                        {"match": "fan:*", "coherence": "fanout"},
                        {"match": "none:*", "coherence": "none"},
                        {"match": "fill:*", "writes": "fill"},
                        {"match": "mutate:*", "writes": "mutate"}]}

    def test_many_keys_hits_and_misses(self):
        random.seed(3)
        there = {}
        for n in range(700):
            if random.random() < 0.6:
                data = b"%d" % n * random.choice((1, 10, 40))
                there[b"key:%d" % n] = data
                self.b.send(store(b"set", b"key:%d" % n, data))
        self.b.expect(b"STORED\r\n" * len(there))
        for count in (1, 2, 49, 50, 51, 99, 100, 101, 700):
            keys = [b"key:%d" % n for n in random.sample(range(700), count)]
            self.b.talk(b"get %s\r\n" % b" ".join(keys),
                        b"".join(value(key, there[key]) for key in keys if key in there) +
                        b"END\r\n")

    def test_more_keys_than_a_client_may_have_under_way(self):
        keys = [b"key:%d" % n for n in range(2500)]
        for key in keys[::3]:
            self.b.send(store(b"set", key, key))
        self.b.expect(b"STORED\r\n" * len(keys[::3]))
        for _ in range(2):
            self.b.talk(b"get %s\r\nget key:0\r\n" % b" ".join(keys),
                        b"".join(value(key, key) for key in keys[::3]) + b"END\r\n" +
                        value(b"key:0", b"key:0") + b"END\r\n")

    def test_the_same_key_several_times(self):
        self.fill(self.b, b"k", b"v")
        self.b.talk(b"get k j k k j\r\n", value(b"k", b"v") * 3 + b"END\r\n")
        self.b.talk(b"gat 0 k j k k j\r\n", value(b"k", b"v") * 3 + b"END\r\n")
        self.b.talk(b"get j j j j\r\n", b"END\r\n")

    def test_modes_mixed_in_one_get(self):
        modes = (b"shared:k", b"fan:k", b"none:k", b"k", b"fill:k", b"mutate:k")
        for key in modes:
            self.b.talk(store(b"set", key, b"<%s>" % key), b"STORED\r\n")
        random.seed(11)
        for verb in (b"get", b"gat 0"):
            for _ in range(20):
                keys = random.choices(modes + (b"fan:none", b"none", b"shared:none"), k=12)
                self.b.talk(b"%s %s\r\n" % (verb, b" ".join(keys)),
                            b"".join(value(key, b"<%s>" % key) for key in keys if key in modes) +
                            b"END\r\n")
        self.b.send(b"gets %s\r\n" % b" ".join(modes))
        self.assertEqual(len(re.findall(rb"VALUE \S+ 0 \d+ \d+\r\n", self.b.until(b"END\r\n"))), 6)

    def test_a_bad_key_spoils_the_whole_command(self):
        self.fill(self.b, b"k", b"v")
        self.b.talk(b"get k j %s\r\n" % (b"x" * 251), b"CLIENT_ERROR bad command line format\r\n")
        self.has(self.b, b"k", b"v")

    def test_a_rule_says_fill(self):
        self.fill(self.a, b"fill:k", b"a")
        self.fill(self.b, b"fill:k", b"b")
        for data in (b"again", b"w" * 200000):
            self.b.talk(store(b"set", b"fill:k", data), b"STORED\r\n")
            self.has(self.b, b"fill:k", data)
            self.has(self.a, b"fill:k", b"a")
        self.b.talk(b"delete fill:k\r\n", b"DELETED\r\n")
        self.misses(self.a, b"fill:k")

    def test_a_rule_says_mutate(self):
        self.fill(self.a, b"mutate:k", b"a")
        self.fill(self.b, b"mutate:k", b"b")
        self.misses(self.a, b"mutate:k")

    def test_a_mode_that_changes_shows_no_stamp(self):
        self.fill(self.b, b"k", b"v")
        text = config(self.server, coherence="fanout")
        fan = self.other_daemon(text).wire("py3")
        self.misses(fan, b"k")
        fan.talk(store(b"set", b"k", b"fan"), b"STORED\r\n")
        self.has(self.b, b"k", b"v")


class Sizes(Epoch):
    """The client has all of max_value; what the stamp takes is ours."""

    options = ("-I", "2m", "-m", "256")
    changes = {"max_value": "1m"}

    def test_exactly_max_value(self):
        size = 1024 * 1024
        for data in (b"x" * size, b"y" * size):
            self.b.talk(store(b"set", b"k", data), b"STORED\r\n")
            self.has(self.b, b"k", data)
        self.b.talk(store(b"set", b"k", b"x" * (size + 1)),
                    b"SERVER_ERROR object too large for cache\r\n")
        self.misses(self.b, b"k")
        self.b.talk(store(b"add", b"k", b"z" * size), b"STORED\r\n")
        self.has(self.b, b"k", b"z" * size)
        self.b.talk(store(b"append", b"k", b"z"), b"SERVER_ERROR object too large for cache\r\n")
        self.has(self.b, b"k", b"z" * size)


if __name__ == "__main__":
    harness.main()
