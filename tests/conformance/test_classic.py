"""The classic text protocol: the same bytes to memcached and through the daemon, answers compared.

Each case of cases.py is sent whole, cut in two at every byte, and as a part of one long stream; and
by the arm without a namespace as well as by one whose keys are prefixed.
"""
import random
import re

import cases
import compare
import harness

MARK, MARKED, SET_MARK = cases.MARK, cases.MARKED, cases.SET_MARK


class Conformance(compare.Comparison):
    CASES = cases


class Whole(Conformance):
    def test_g7_every_case_is_answered_as_by_memcached(self):
        count = 0
        for arm in ("py2", "py3"):
            for _, group in self.groups():
                for case in group:
                    self.same(case, arm, self.whole(case))
                    count += 1
        self.assertGreater(count, 1000)


class Several(Conformance):
    """Keys on several servers, one with more weight, over two connections to each."""

    SERVERS = 3
    CHANGES = {"connections_per_server": 2, "hash_tag": "{}", "coherence": "none"}

    def test_g7_every_case_is_answered_as_by_memcached(self):
        for _, group in self.groups():
            for number, case in enumerate(group):
                self.same(case, "py3" if number % 2 else "py2", self.whole(case))
        for server in self.behind:
            stats = server.wire().send(b"stats\r\n").until(b"END\r\n")
            asked = int(re.search(rb"STAT cmd_get ([0-9]+)", stats).group(1))
            self.assertGreater(asked, 1000, "one of the servers has no keys")

    def test_g6_values_of_many_servers_come_in_the_order_asked(self):
        keys = [b"key%d" % i for i in range(300)]
        sets = b"".join(b"set %s 0 0 %d noreply\r\n%s\r\n" % (key, len(key), key) for key in keys[::2])
        dice = random.Random(3)
        ask = b""
        for _ in range(40):
            ask += b"get " + b" ".join(dice.choices(keys, k=dice.randint(1, 100))) + b"\r\n"
        truth, state = self.talk("memcached").ask(sets + ask + MARK)
        self.assertEqual("open", state)
        for arm in ("py2", "py3"):
            self.assertEqual((truth, "open"), self.talk(arm).ask(sets + ask + MARK))


class Ends(Conformance):
    def test_g7_the_connection_is_closed_where_memcached_closes_it(self):
        for case in cases.ENDING:
            truth, state = self.talk("memcached").ask(cases.FIXTURE + case)
            self.assertEqual("closed", state, "memcached does not close after %r" % case[:60])
            for arm in ("py2", "py3"):
                reply, state = self.talk(arm).ask(cases.FIXTURE + case)
                if (state, reply) != ("closed", truth):
                    self.failures.append("%s: %s\n  memcached: %s\n  crossfade: %s (%s)" % (
                        arm, harness.shorten(case, 80), harness.shorten(truth, 100),
                        harness.shorten(reply, 100), state))
                self.assertEqual((b"END\r\n" + MARKED, "open"),
                                 self.talk(arm).ask(b"get zz-top\r\n" + MARK))

    def test_binary_is_spoken_only_from_the_first_byte_on(self):
        for arm in ("py2", "py3"):
            self.wire_of(arm).send(b"\x80\x0a" + b"\0" * 22).expect(b"\x81\x0a" + b"\0" * 22)
            self.wire_of(arm).talk(b"\r\n\x80\r\n", b"ERROR\r\nERROR\r\n")


class Long(Conformance):
    """Keys that are legal, and too long with their prefix."""

    CHANGES = {"long_keys": "refuse"}

    def test_g6_the_value_of_a_refused_key_is_swallowed(self):
        bad = b"CLIENT_ERROR bad command line format\r\n"
        prefix = len(b"py3.1:")
        for length in (250 - prefix, 251 - prefix, 249, 250):
            key = b"k" * length
            value = b"get k\r\nget k\r\n"
            store = b"%s %s 0 0 %d%s\r\n%s\r\n"
            long = length > 250 - prefix
            for arm, refused in (("py2", False), ("py3", long)):
                wire = self.wire_of(arm)
                for verb in cases.STORAGE:
                    data = store % (verb, key, len(value), b"", value) + MARK
                    answer = b"NOT_STORED\r\n" if verb == b"add" else b"STORED\r\n"
                    wire.talk(data, (bad if refused else answer) + MARKED)
                    wire.talk(store % (verb, key, len(value), b" noreply", value) + MARK, MARKED)
                    wire.talk(store % (verb, key, 300000, b"", b"v" * 300000) + MARK,
                              (bad if refused else answer) + MARKED)
                for line in (b"get %s", b"get a %s a", b"delete %s", b"incr %s 1", b"touch %s 0",
                             b"gat 0 %s", b"gets %s"):
                    reply = wire.send(line % key + b"\r\n" + MARK).until(MARKED)
                    if refused:
                        self.assertEqual(bad + MARKED, reply)
                    else:
                        self.assertNotIn(bad, reply)


class Injection(Conformance):
    def test_g6_what_is_inside_a_value_is_no_command(self):
        """Whatever is wrong with the line, as long as it says how long the value is; memcached runs it."""
        bad = b"CLIENT_ERROR bad command line format\r\n"
        value = b"delete victim\r\nset victim 0 0 5\r\nOWNED"
        for arm in ("py2", "py3"):
            wire = self.wire_of(arm)
            wire.talk(b"set victim 0 0 4\r\nsafe\r\n", b"STORED\r\n")
            for line in (b"set %s 0 0 %%d%%s" % (b"k" * 251), b"add %s 0 0 %%d%%s" % (b"k" * 1000),
                         b"set k x 0 %d%s", b"set k 0 x %d%s", b"replace k -1 0 %d%s",
                         b"append k 0 99999999999999999999 %d%s", b"cas k 0 0 %d x%s",
                         b"cas %s 0 0 %%d 1%%s" % (b"k" * 251)):
                for size in (len(value), 100000):
                    data = value + b"x" * (size - len(value)) + b"\r\n" + MARK
                    wire.talk(line % (size, b"") + b"\r\n" + data, bad + MARKED)
                    wire.talk(line % (size, b" noreply") + b"\r\n" + data, MARKED)
            wire.talk(b"get victim\r\n", b"VALUE victim 0 4\r\nsafe\r\nEND\r\n")
            # Where nothing says so, it is as with memcached.
            for line in (b"set k 0 0 x", b"set k 0 0 -5", b"set k 0 0 2147483646", b"set k 0 0"):
                reply = wire.send(line + b"\r\nhello\r\n" + MARK).until(MARKED)
                self.assertTrue(reply.endswith(b"ERROR\r\n" + MARKED), reply)


class Reserved(Conformance):
    """An unprefixed key that has the form of an arm's entry."""

    LINES = (b"get %s", b"get a %s", b"gat 0 %s", b"delete %s", b"incr %s 1", b"touch %s 0",
             b"set %s 0 0 5\r\nget k", b"append %s 0 0 5\r\nget k")
    OTHERS = (b"page.12:x", b"x.1:", b"py31.1:k", b"v1.0:" + b"k" * 245)

    def same_as_memcached(self, keys):
        for key in keys:
            data = b"".join(line % key + b"\r\n" for line in self.LINES + self.LINES)
            self.assertEqual(self.talk("memcached").ask(data + MARK),
                             self.talk("py2").ask(data + MARK))

    def test_g7_such_keys_are_keys_like_any_other(self):
        self.talk("py3").ask(b"set k 0 0 6\r\nsecret\r\n" + MARK)
        self.same_as_memcached(self.OTHERS + (b"py3.0:k", b"py3.1:k", b"py3.1:" + b"k" * 244))
        self.wire_of("py3").talk(b"get k py3.1:k\r\n", b"VALUE k 0 6\r\nsecret\r\nEND\r\n")
        # Only those that begin with the namespace of an arm are another key on the server.
        server = self.behind[0].wire()
        self.wire_of("py2").talk(b"set page.12:x 0 0 3\r\nold\r\nset py3.1:x 0 0 3\r\nold\r\n",
                                 b"STORED\r\nSTORED\r\n")
        server.talk(b"get page.12:x py3.1:x\r\n", b"VALUE page.12:x 0 3\r\nold\r\nEND\r\n")
        self.wire_of("py2").talk(b"get page.12:x py3.1:x\r\n",
                                 b"VALUE page.12:x 0 3\r\nold\r\nVALUE py3.1:x 0 3\r\nold\r\nEND\r\n")
        # A delete by the other arm finds it there.
        self.wire_of("py3").talk(b"delete py3.1:x\r\n", b"NOT_FOUND\r\n")
        self.wire_of("py2").talk(b"get py3.1:x\r\n", b"END\r\n")

    def test_g1_no_key_of_an_arm_without_a_prefix_reaches_another_arm(self):
        self.talk("py3").ask(b"set k 0 0 6\r\nsecret\r\n" + MARK)
        dump = self.behind[0].wire().send(b"lru_crawler metadump all\r\n").until(b"END\r\n")
        entry = re.search(rb"key=(py3\.[0-9]+)%3Ak ", dump).group(1) + b":k"
        self.behind[0].wire().talk(b"get " + entry + b"\r\n",
                                   b"VALUE " + entry + b" 0 6\r\nsecret\r\nEND\r\n")
        for key in (entry, b"k", b" " + entry, entry.upper(), entry.replace(b".", b".0"),
                    entry.replace(b":", b"\t:"), entry + b"\x00"):
            self.assertNotIn(b"secret", self.talk("py2").ask(b"get " + key + b"\r\n" + MARK)[0])


class ReservedHashed(Reserved):
    CHANGES = {"reserved_keys": "hash"}

    def test_g7_such_keys_are_keys_like_any_other(self):
        self.same_as_memcached(self.OTHERS + (b"py3.1:k",))
        self.wire_of("py2").talk(b"set page.12:x 0 0 1\r\nx\r\n", b"STORED\r\n")
        self.behind[0].wire().talk(b"get page.12:x\r\n", b"END\r\n")
        self.wire_of("py2").talk(b"get page.12:x\r\n", b"VALUE page.12:x 0 1\r\nx\r\nEND\r\n")


class ReservedRefused(Reserved):
    CHANGES = {"reserved_keys": "refuse"}

    def test_g7_such_keys_are_keys_like_any_other(self):
        self.talk("py3").ask(b"set k 0 0 6\r\nsecret\r\n" + MARK)
        wire = self.wire_of("py2")
        refused = rb"CLIENT_ERROR [^\r\n]*\r\n"
        for key in (b"py3.0:k", b"x.1:", b"py3.1:" + b"k" * 240):
            for line in self.LINES:
                reply = wire.send(line % key + b"\r\n" + MARK).until(MARKED)
                self.assertRegex(reply, b"^" + refused + re.escape(MARKED) + b"$")
            wire.talk(b"set %s 0 0 5 noreply\r\nget k\r\ndelete %s noreply\r\n" % (key, key) + MARK,
                      MARKED)
        self.wire_of("py3").talk(b"get k py3.1:k\r\n", b"VALUE k 0 6\r\nsecret\r\nEND\r\n")
        # With a prefix it is a key like any other.
        self.wire_of("py3").talk(b"set py3.1:k 0 0 1\r\nx\r\nget py3.1:k k\r\n",
                                 b"STORED\r\nVALUE py3.1:k 0 1\r\nx\r\nVALUE k 0 6\r\nsecret\r\nEND\r\n")


class Flush(Conformance):
    def ask(self, server, data):
        """memcached's own flush_all takes the mark away too."""
        return self.talk(server).ask(cases.FIXTURE + data + cases.LOOK + SET_MARK + MARK)

    def test_g7_flush_all_is_memcached_s_for_an_arm_with_a_prefix(self):
        for data in cases.FLUSHES + cases.NO_FLUSHES:
            with self.subTest(data=data):
                self.assertEqual(self.ask("memcached", data), self.ask("py3", data))

    def test_g9_flush_all_is_refused_to_an_arm_without_a_prefix(self):
        for data in cases.FLUSHES:
            reply, state = self.ask("py2", data)
            with self.subTest(data=data):
                self.assertEqual("open", state)
                self.assertNotIn(b"OK\r\n", reply)
                self.assertIn(b"VALUE n 0 2\r\n1", reply)
                self.assertEqual(0 if b"noreply" in data else 1, reply.count(b"CLIENT_ERROR flush_all "))
        for data in cases.NO_FLUSHES:
            with self.subTest(data=data):
                self.assertEqual(self.ask("memcached", data), self.ask("py2", data))


class Different(Conformance):
    def test_what_is_answered_otherwise_on_purpose(self):
        for data, memcached, ours, why in cases.different():
            for server, wanted in (("py2", ours), ("py3", ours), ("memcached", memcached)):
                if server == "memcached" and wanted == cases.ANY:
                    continue  # that server is still needed
                reply, state = self.talk(server).ask(cases.FIXTURE + data + MARK)
                if state != "open" or not re.fullmatch(wanted + re.escape(MARKED), reply):
                    self.failures.append("%s: %r (%s)\n  wanted %r\n  got    %r (%s)" % (
                        server, data, why, wanted, reply, state))


class Split(compare.Split):
    CASES = cases

    def test_g6_storage(self):
        # The five verbs have one shape: each is cut with a fifth of the lines, set with all.
        for number, case in enumerate(cases.storage()):
            if len(case) < 600 and (case.startswith((b"set", b"cas")) or number % 5 == 0):
                self.cut(case, "py3")

    def test_g6_everything_else(self):
        for name, group in self.groups("storage", "long_lines", "large_values"):
            for number, case in enumerate(group):
                if len(case) < 600:
                    self.cut(case, "py3" if number % 4 else "py2")

    def test_g6_byte_by_byte(self):
        for _, group in self.groups("long_lines", "large_values"):
            for case in group[::7]:
                if len(case) < 200:
                    self.byte_by_byte(case, "py3")

    def test_g6_large_values_cut_near_their_ends(self):
        for case in cases.large_values():
            self.cut_near_its_ends(case, "py3")


class Stream(compare.Stream):
    CASES = cases

    def all_small(self):
        for _, group in self.groups("large_values"):
            yield from group

    def test_g6_one_stream(self):
        data, truth = self.stream(self.all_small())
        for arm in ("py2", "py3"):
            self.compare(arm, data, truth, None)

    def test_g6_one_stream_in_random_pieces(self):
        # Only cases in which memcached itself does not mind how the bytes arrive.
        self.compare_shuffled([case for name, group in self.groups("large_values", "long_lines")
                               for case in group if len(case) < 1500], 7)

    def test_g6_large_values_in_one_stream(self):
        data, truth = self.stream(cases.large_values())
        self.compare("py3", data, truth, None)


class Unique(Conformance):
    """cas with the number that gets gave, which no fixed bytes can say."""

    def each(self):
        for server in ("memcached", "py2", "py3"):
            yield server, self.wire_of(server)

    def test_g7_cas_stores_once(self):
        for key in (b"a", cases.K250, cases.HIGH):
            for server, wire in self.each():
                with self.subTest(server=server, key=key[:10]):
                    wire.talk(b"set %s 5 0 5\r\nhello\r\n" % key, b"STORED\r\n")
                    for read in (b"gets %s\r\n" % key, b"gats 0 %s\r\n" % key):
                        line = wire.send(read).line()
                        found = re.fullmatch(b"VALUE %s 5 5 ([0-9]+)\r\n" % re.escape(key), line)
                        self.assertTrue(found, line)
                        wire.expect(b"hello\r\nEND\r\n")
                    number = found.group(1)
                    cas = b"cas %s 6 0 2 %s%s\r\nxy\r\n"
                    wire.talk(cas % (key, b"%d" % (int(number) + 1), b""), b"EXISTS\r\n")
                    wire.talk(cas % (key, number, b""), b"STORED\r\n")
                    wire.talk(cas % (key, number, b""), b"EXISTS\r\n")
                    wire.talk(b"get %s\r\n" % key, b"VALUE %s 6 2\r\nxy\r\nEND\r\n" % key)
                    line = wire.send(b"gets %s\r\n" % key).line()
                    wire.expect(b"xy\r\nEND\r\n")
                    number = line.split()[-1]
                    wire.talk(cas % (key, number, b" noreply") + b"get %s\r\n" % key,
                              b"VALUE %s 6 2\r\nxy\r\nEND\r\n" % key)
                    wire.talk(b"delete %s\r\n" % key, b"DELETED\r\n")
                    wire.talk(cas % (key, number, b""), b"NOT_FOUND\r\n")

    def test_g7_a_change_changes_the_number(self):
        for server, wire in self.each():
            numbers = []
            for change, answer in [(b"set c 0 0 1\r\n1\r\n", b"STORED\r\n"), (b"incr c 1\r\n", b"2\r\n"),
                                   (b"append c 0 0 1\r\n0\r\n", b"STORED\r\n"),
                                   (b"replace c 0 0 1\r\n5\r\n", b"STORED\r\n")]:
                wire.talk(change, answer)
                numbers.append(wire.send(b"gets c\r\n").until(b"END\r\n").split()[4])
            self.assertEqual(4, len(set(numbers)), server)
            again = wire.send(b"touch c 0\r\ngets c\r\n").until(b"END\r\n").split()[5]
            self.assertEqual(numbers[-1], again, server)


class Expiry(Conformance):
    def test_g7_a_value_expires(self):
        wires = [self.wire_of(server) for server in ("memcached", "py2", "py3")]
        for wire in wires:
            wire.talk(b"set s 0 1 1\r\nx\r\nset t 0 100 1\r\nx\r\ntouch t 1\r\nset u 0 100 1\r\nx\r\n",
                      b"STORED\r\nSTORED\r\nTOUCHED\r\nSTORED\r\n")
            wire.talk(b"gat 1 u\r\n", b"VALUE u 0 1\r\nx\r\nEND\r\n")
        for wire in wires:
            harness.eventually(lambda: wire.send(b"get s t u\r\n").until(b"END\r\n") == b"END\r\n",
                               "the values' end")


class Statistics(Conformance):
    LINE = re.compile(rb"STAT [^ ]+( [^\r\n]*)?\r\n")

    def stats(self, wire, what=b""):
        reply = wire.send(b"stats%s\r\n" % what).until(b"END\r\n")
        for line in reply[:-len(b"END\r\n")].splitlines(keepends=True):
            self.assertRegex(line, self.LINE)
        return dict(line.split(b" ", 2)[1:] for line in reply.split(b"\r\n")[:-2] if line.count(b" ") > 1)

    def test_stats_have_memcached_s_names(self):
        real = self.stats(self.wire_of("memcached"))
        for arm in ("py2", "py3"):
            ours = self.stats(self.wire_of(arm))
            for name in (b"pid", b"uptime", b"time", b"version", b"curr_connections",
                         b"total_connections", b"cmd_get", b"cmd_set", b"get_hits", b"get_misses",
                         b"delete_hits", b"delete_misses", b"incr_hits", b"incr_misses", b"bytes_read",
                         b"bytes_written", b"threads"):
                self.assertIn(name, real)
                self.assertIn(name, ours)

    def test_stats_count_this_arm_alone(self):
        before = {arm: self.stats(self.wire_of(arm)) for arm in ("py2", "py3")}
        self.wire_of("py3").talk(b"set s 0 0 1\r\nx\r\nget s\r\nget nothing-here\r\n",
                                 b"STORED\r\nVALUE s 0 1\r\nx\r\nEND\r\nEND\r\n")
        after = {arm: self.stats(self.wire_of(arm)) for arm in ("py2", "py3")}
        for name, more in ((b"cmd_set", 1), (b"get_hits", 1), (b"get_misses", 1)):
            self.assertEqual(int(before["py3"][name]) + more, int(after["py3"][name]), name)
            self.assertEqual(before["py2"][name], after["py2"][name], name)

    def test_stats_of_a_kind_are_well_formed(self):
        for arm in ("py2", "py3"):
            wire = self.wire_of(arm)
            for what in (b" settings", b" items", b" slabs", b" conns", b" crossfade"):
                self.stats(wire, what)
            wire.talk(b"stats no-such-thing\r\nget zz\r\n", b"ERROR\r\nEND\r\n")


class WholeEpoch(Conformance):
    CHANGES = compare.EPOCH

    def test_g7_every_case_is_answered_as_by_memcached(self):
        self.every_case(1000)


class SeveralEpoch(Conformance):
    SERVERS = 3
    CHANGES = dict(compare.EPOCH, connections_per_server=2)

    def test_g7_a_third_of_the_cases_is_answered_as_by_memcached(self):
        self.every_third_case()

    test_g6_values_of_many_servers_come_in_the_order_asked = \
        Several.test_g6_values_of_many_servers_come_in_the_order_asked


class DifferentEpoch(Different):
    CHANGES = compare.EPOCH


class EndsEpoch(Ends):
    CHANGES = compare.EPOCH


class InjectionEpoch(Injection):
    CHANGES = compare.EPOCH


class UniqueEpoch(Unique):
    CHANGES = compare.EPOCH


class ExpiryEpoch(Expiry):
    CHANGES = compare.EPOCH


class StreamEpoch(Stream):
    CHANGES = compare.EPOCH


class SplitEpoch(compare.Split):
    """A few: how the bytes come is the same code as without epochs."""

    CASES = cases
    CHANGES = compare.EPOCH

    def test_g6_some_cases(self):
        for _, group in self.groups("long_lines", "large_values"):
            for case in list(group)[::37]:
                if len(case) < 200:
                    self.cut(case, "py3")

    def test_g6_large_values_cut_near_their_ends(self):
        for case in list(cases.large_values())[::3]:
            self.cut_near_its_ends(case, "py3")


if __name__ == "__main__":
    harness.main()
