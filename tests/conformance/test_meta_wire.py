"""The meta protocol: the same bytes to memcached and through the daemon, answers compared.

Each case of meta_cases.py is sent whole, cut in two at every byte, and as a part of one long stream; and
by the arm without a namespace as well as by one whose keys are prefixed.
"""
import base64
import os
import re

import compare
import harness
import meta_cases
import meta_epoch_cases


class Conformance(compare.Comparison):
    CASES = meta_cases


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
        """Answers that are withheld, and the barrier behind them."""
        keys = [b"key%d" % number for number in range(200)]
        sets = b"".join(b"ms %s 5 q O%d\r\n%05d\r\n" % (key, number, number)
                        for number, key in enumerate(keys) if number % 2)
        ask = b"".join(b"mg %s v k q O%d\r\n" % (key, number) for number, key in enumerate(keys * 5))
        data = sets + ask + b"mn\r\n" + b"".join(b"md %s q k\r\n" % key for key in keys) + b"mn\r\n" + ask
        data += b"mn\r\n" + self.CASES.MARK
        truth, state = self.talk("memcached").ask(data)
        self.assertEqual("open", state)
        for arm in ("py2", "py3"):
            self.assertEqual((truth, "open"), self.talk(arm).ask(data))


class Ends(Conformance):
    def test_g7_the_connection_is_closed_where_memcached_closes_it(self):
        for case in self.CASES.ENDING:
            truth, state = self.talk("memcached").ask(self.CASES.FIXTURE + case)
            self.assertEqual("closed", state, "memcached does not close after %r" % case[:60])
            for arm in ("py2", "py3"):
                reply, state = self.talk(arm).ask(self.CASES.FIXTURE + case)
                if (state, reply) != ("closed", truth):
                    self.differ("%s: %s" % (arm, harness.shorten(case, 80)), truth, reply, state)


class Flows(Conformance):
    """What needs a number that the server gave."""

    def flow(self, server, steps):
        wire = self.wire_of(server)
        seen, transcript = [], []
        wire.send(self.CASES.FIXTURE + self.CASES.MARK).until(self.CASES.MARKED)
        for step in steps:
            step = re.sub(rb"<(\d)([+-]1)?>",
                          lambda found: b"%d" % (seen[int(found.group(1))] + int(found.group(2) or 0)), step)
            reply = wire.send(step + self.CASES.MARK).until(self.CASES.MARKED)
            for number in self.CASES.numbers(reply):
                if number not in seen:
                    seen.append(number)
            transcript.append(reply)
        wire.close()
        return transcript

    def test_g7_flows_go_as_with_memcached(self):
        for steps in self.CASES.FLOWS:
            truth = self.flow("memcached", steps)
            for arm in ("py2", "py3"):
                with self.subTest(steps=steps, arm=arm):
                    reply = self.flow(arm, steps)
                    self.assertEqual(self.CASES.normal(b"".join(truth)), self.CASES.normal(b"".join(reply)))


class Encodings(Conformance):
    def test_g7_a_key_comes_back_in_the_form_in_which_it_was_sent(self):
        for case in self.CASES.encodings():
            real, state = self.talk("memcached").ask(self.whole(case))
            self.assertEqual("open", state)
            for arm in ("py2", "py3"):
                reply, state = self.talk(arm).ask(self.whole(case))
                truth, reply = (self.CASES.without_keys(self.CASES.normal(each)) for each in (real, reply))
                if (truth, "open") != (reply, state):
                    self.differ("%s: %s" % (arm, case), truth, reply, state)
                if os.environ.get("CROSSFADE_REFERENCE"):
                    continue
                for line in case.split(b"\r\n"):
                    words = line.split()
                    if b"k" in words and b"q" not in words and not words[1].endswith(b"=x"):
                        coded = b" b" if b"b" in words else b""
                        answer = self.talk(arm).ask(line + b"\r\n" + (
                            b"x\r\n" if words[0] == b"ms" else b"") + self.CASES.MARK)[0].split(b"\r\n")[0] + b" "
                        key = base64.b64encode(base64.b64decode(words[1][:4])) if coded else words[1]
                        self.assertIn(b" k" + key + b" ", answer)
                        self.assertEqual(bool(coded), b" b " in answer, answer)


class Odd(Conformance):
    def test_what_is_answered_otherwise_on_purpose(self):
        for data, memcached, ours, why in self.CASES.ODD:
            for server, wanted in (("memcached", memcached), ("py2", ours), ("py3", ours)):
                reply, state = self.talk(server).ask(self.CASES.FIXTURE + data + self.CASES.MARK)
                if state != "open" or not re.fullmatch(wanted + re.escape(self.CASES.MARKED), reply):
                    self.failures.append("%s: %r (%s)\n  wanted %r\n  got    %r (%s)" % (
                        server, data, why, wanted, reply, state))


class Split(compare.Split):
    CASES = meta_cases

    def test_g6_most_cases(self):
        for name, group in self.groups("long_lines", "large_values", "flags", "random_lines", "tokens"):
            for number, case in enumerate(group):
                if len(case) < 120 and number % 20 == 0 or len(case) < 250 and name in ("staleness", "mixed"):
                    self.cut(case, "py3" if number % 4 else "py2")

    def test_g6_flags(self):
        for name in ("flags", "random_lines", "tokens"):
            for number, case in enumerate(self.CASES.answering()[name]):
                if number % 40 == 0:
                    self.cut(case, "py3")

    def test_g6_byte_by_byte(self):
        for _, group in self.groups("long_lines", "large_values"):
            for case in group[::31]:
                if len(case) < 200:
                    self.byte_by_byte(case, "py3")

    def test_g6_large_values_cut_near_their_ends(self):
        for case in list(self.CASES.large_values())[::5]:
            self.cut_near_its_ends(case, "py3")


class Stream(compare.Stream):
    CASES = meta_cases

    def small(self, *without):
        for _, group in self.groups("large_values", *without):
            yield from group

    def test_g6_one_stream(self):
        data, truth = self.stream(self.small())
        for arm in ("py2", "py3"):
            self.compare(arm, data, truth, None)

    def test_g6_one_stream_in_random_pieces(self):
        self.compare_shuffled([case for case in self.small("long_lines") if len(case) < 1500][::4], 8)

    def test_g6_large_values_in_one_stream(self):
        data, truth = self.stream(self.CASES.large_values())
        self.compare("py3", data, truth, None)


class Epoch:
    """The same in epoch mode. Every set is a change there: which one fills, misses would decide that the cases leave
    behind."""
    CASES = meta_epoch_cases
    CHANGES = compare.EPOCH


class WholeEpoch(Epoch, Whole):
    pass


class SeveralEpoch(Epoch, Several):
    CHANGES = dict(compare.EPOCH, connections_per_server=2)


class EndsEpoch(Epoch, Ends):
    pass


class FlowsEpoch(Epoch, Flows):
    pass


class EncodingsEpoch(Epoch, Encodings):
    pass


class OddEpoch(Epoch, Odd):
    pass


class StreamEpoch(Epoch, Stream):
    pass


class SplitEpoch(Epoch, compare.Split):
    def test_g6_some_cases(self):
        for _, group in self.groups("long_lines", "large_values"):
            for case in group[::80]:
                if len(case) < 120:
                    self.cut(case, "py3")


if __name__ == "__main__":
    harness.main()
