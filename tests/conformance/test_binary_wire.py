"""The binary protocol: the same bytes to memcached and through the daemon, answers compared.

Each case of binary_cases.py is sent whole, cut in two at every byte, and as a part of one long stream; and
by the arm without a namespace as well as by one whose keys are prefixed.
"""
import binary_cases
import compare
import harness
from binary_cases import frame, store


class Conformance(compare.Comparison):
    CASES = binary_cases

    def truth(self, case):
        if case not in self.known:
            reply, state = self.talk("memcached").ask(self.whole(case))
            self.assertIn(state, ("open", "closed"), "no case: %r" % case[:100])
            self.known[case] = self.CASES.normal(reply, self.SERVERS), state
        return self.known[case]

    def same(self, case, arm, *pieces, pause=0.0):
        truth, wanted = self.truth(case)
        reply, state = self.talk(arm).ask(*pieces, pause=pause)
        reply = self.CASES.normal(reply, self.SERVERS)
        if (reply, state) != (truth, wanted):
            self.differ("%s, in pieces of %s: %s (%s)" % (
                arm, [len(piece) for piece in pieces], harness.shorten(case, 200), wanted), truth, reply, state)
            self.talk(arm).close()
            if len(self.failures) >= compare.ENOUGH:
                self.fail("enough")

    def going_on(self, *without):
        """The cases after which the connection is open."""
        for _, group in self.groups(*without):
            for case in group:
                if self.truth(case)[1] == "open":
                    yield case


class Whole(Conformance):
    def test_g7_every_case_is_answered_as_by_memcached(self):
        self.every_case(5000)


class Several(Conformance):
    """Keys on several servers, over two connections to each."""

    SERVERS = 3
    CHANGES = {"connections_per_server": 2, "coherence": "none"}

    def test_g7_every_case_is_answered_as_by_memcached(self):
        self.every_third_case("large_values")

    def test_g6_answers_of_many_servers_come_in_the_order_asked(self):
        keys = [b"key %d" % number for number in range(200)]
        data = b"".join(store(binary_cases.SETQ, key, key, opaque=at) for at, key in enumerate(keys) if at % 2)
        data += b"".join(frame(binary_cases.GETKQ, key, opaque=at) for at, key in enumerate(keys * 5))
        data += binary_cases.NOTHING + b"".join(frame(binary_cases.DELETEQ, key, opaque=at)
                                                for at, key in enumerate(keys)) + binary_cases.MARK
        truth, state = self.talk("memcached").ask(data)
        self.assertEqual("open", state)
        for arm in ("py2", "py3"):
            reply, state = self.talk(arm).ask(data)
            self.assertEqual((binary_cases.normal(truth, 3), "open"), (binary_cases.normal(reply, 3), state))


class Flows(Conformance):
    """What needs a CAS value that the server gave."""

    def flow(self, server, steps):
        wire = self.wire_of(server)
        seen, transcript = [], []
        wire.send(binary_cases.FIXTURE + binary_cases.MARK).until(binary_cases.MARKED)
        for step in steps:
            data = step(seen) if callable(step) else step
            reply = wire.send(data + binary_cases.MARK).until(binary_cases.MARKED)
            seen += [number for number in binary_cases.numbers(reply) if number not in seen]
            transcript.append(reply)
        wire.close()
        return binary_cases.normal(b"".join(transcript))

    def test_g7_flows_go_as_with_memcached(self):
        for number, steps in enumerate(binary_cases.flows()):
            truth = self.flow("memcached", steps)
            for arm in ("py2", "py3"):
                with self.subTest(number=number, arm=arm):
                    self.assertEqual(truth, self.flow(arm, steps))


class Split(Conformance, compare.Split):
    def test_g6_cut_at_every_byte(self):
        for name, group in self.groups("large_values"):
            group = [case for case in group if len(case) < 400]
            for number, case in enumerate(group):
                if number % (80 if name in ("opcodes", "extras", "lengths", "fields") else 40) == 0:
                    self.cut(case, "py3" if number % 4 else "py2")

    def test_g6_byte_by_byte(self):
        for _, group in self.groups("large_values"):
            for case in group[::29]:
                if len(case) < 400:
                    self.byte_by_byte(case, "py3")

    def test_g6_large_values_cut_near_their_ends(self):
        for case in list(binary_cases.large_values())[::3]:
            self.cut_near_its_ends(case, "py3")


class Stream(Conformance, compare.Stream):
    def test_g6_one_stream(self):
        data, truth = self.stream(self.going_on("large_values"))
        for arm in ("py2", "py3"):
            self.compare(arm, data, truth, None)

    def test_g6_one_stream_in_random_pieces(self):
        self.compare_shuffled([case for case in self.going_on("large_values") if len(case) < 1500][::2], 9)

    def test_g6_large_values_in_one_stream(self):
        data, truth = self.stream(binary_cases.large_values())
        self.compare("py3", data, truth, None)


class Different(Conformance):
    def test_what_is_answered_otherwise_on_purpose(self):
        for data, statuses, why in binary_cases.different():
            for arm in ("py2", "py3"):
                reply, state = self.talk(arm).ask(binary_cases.FIXTURE + data + binary_cases.MARK)
                with self.subTest(data=data, arm=arm, why=why):
                    self.assertEqual(("open", statuses), (state, [
                        each[4] for each in list(binary_cases.frames(reply))[:-1]]))

    def test_g6_a_length_of_gigabytes_is_refused_at_once(self):
        """The answer comes before the bytes do, and no room is made for them; a get ends the connection."""
        before = self.crossfade.memory()
        for opcode, body, status in ((binary_cases.SET, 0x7fffffff, 3), (binary_cases.SET, 0xffffffff, 3),
                                     (binary_cases.ADDQ, 0x80000009, 3), (binary_cases.APPEND, 0xffffffff, 3),
                                     (binary_cases.GETKQ, 0x7fffffff, 4), (0x55, 0xffffffff, 129)):
            wire = self.wire_of("py3")
            extra = b"\0" * 8 if opcode in binary_cases.STORES else b""
            wire.send(frame(opcode, b"a", b"v" * 100000, extra, bodylen=body))
            head = wire.exactly(24)
            self.assertEqual((opcode, status), (head[1], head[7]))
            if status == 4:
                wire.exactly(head[11])
                wire.expect_end()
            else:
                wire.send(b"v" * 1000000)
            wire.close()
        self.assertLess(self.crossfade.memory() - before, 30e6)


class Flush(Conformance):
    EMPTY = [1] * 2

    def statuses(self, server, data):
        look = b"".join(frame(binary_cases.GET, key) for key in (b"a", b"n"))
        reply, state = self.talk(server).ask(binary_cases.FIXTURE + data + look + binary_cases.MARK)
        self.assertEqual("open", state)
        return [each[4] for each in binary_cases.frames(reply)]

    def test_g7_flush_is_memcached_s_for_an_arm_with_a_prefix(self):
        now, later = b"\0\0\0\0", b"\0\0\0\x64"
        for opcode in (binary_cases.FLUSH, binary_cases.FLUSHQ):
            for extra in (b"", now, later):
                data = frame(opcode, extras=extra)
                with self.subTest(data=data):
                    truth = self.statuses("memcached", data)
                    self.assertEqual(truth, self.statuses("py3", data))
                    self.assertEqual(extra != later, 1 in truth)

    def test_g9_flush_is_refused_to_an_arm_without_a_prefix(self):
        for opcode in (binary_cases.FLUSH, binary_cases.FLUSHQ):
            self.assertEqual([32, 0, 0, 0], self.statuses("py2", frame(opcode)))


class Statistics(Conformance):
    def stats(self, server, what=b""):
        wire = self.wire_of(server)
        reply = wire.send(frame(binary_cases.STAT, what, opaque=77) + binary_cases.MARK).until(binary_cases.MARKED)
        wire.close()
        found = {}
        entries = list(binary_cases.frames(reply))
        for opcode, key, extra, kind, status, opaque, cas, body in entries[:-2]:
            self.assertEqual((binary_cases.STAT, 0, 0, 0, 77, 0), (opcode, extra, kind, status, opaque, cas))
            self.assertGreater(key, 0)
            found[body[:key]] = body[key:]
        self.assertEqual((binary_cases.STAT, 0, 0, 0, 0, 77, 0, b""), entries[-2])
        return found

    def test_stats_have_memcached_s_names(self):
        real = self.stats("memcached")
        for arm in ("py2", "py3"):
            ours = self.stats(arm)
            for name in (b"pid", b"uptime", b"time", b"version", b"curr_connections", b"total_connections", b"cmd_get",
                         b"cmd_set", b"get_hits", b"get_misses", b"delete_hits", b"delete_misses", b"incr_hits", b"incr_misses",
                         b"bytes_read", b"bytes_written", b"threads"):
                self.assertIn(name, real)
                self.assertIn(name, ours)

    def test_stats_count_all_protocols_alike(self):
        def asked(arm):
            return {name: int(value) for name, value in self.stats(arm).items()
                    if name in (b"cmd_get", b"cmd_set", b"get_hits", b"get_misses", b"incr_misses", b"delete_misses")}
        before = asked("py3")
        self.talk("py3").ask(store(binary_cases.SET, b"s", b"x") + frame(binary_cases.GET, b"s")
                             + frame(binary_cases.GETKQ, b"nothing") + binary_cases.count(binary_cases.INCR, b"nothing")
                             + frame(binary_cases.DELETE, b"nothing") + binary_cases.MARK)
        after = asked("py3")
        self.assertEqual({b"cmd_get": 2, b"cmd_set": 1, b"get_hits": 1, b"get_misses": 1, b"incr_misses": 1,
                          b"delete_misses": 1}, {name: after[name] - before[name] for name in after})

    def test_stats_of_a_kind_are_well_formed(self):
        for arm in ("py2", "py3"):
            for what in (b"settings", b"items", b"slabs", b"conns", b"sizes", b"crossfade"):
                self.stats(arm, what)


class WholeEpoch(Whole):
    CHANGES = compare.EPOCH


class SeveralEpoch(Several):
    CHANGES = dict(compare.EPOCH, connections_per_server=2)


class FlowsEpoch(Flows):
    CHANGES = compare.EPOCH


class DifferentEpoch(Different):
    CHANGES = compare.EPOCH


class StreamEpoch(Stream):
    CHANGES = compare.EPOCH


class SplitEpoch(Conformance, compare.Split):
    CHANGES = compare.EPOCH

    def test_g6_some_cases(self):
        for _, group in self.groups("large_values"):
            for case in list(group)[::160]:
                if len(case) < 200:
                    self.cut(case, "py3")


if __name__ == "__main__":
    harness.main()
