"""The meta protocol on two arms: who sees what, what a set means for the others, servers that fail, that lie, or
that have never heard of it. What memcached answers to what is compared in tests/conformance.
"""
import base64
import re
import time

import harness
from test_hostile_servers import CLOSE, Fake

LONG = b"l" * 245            # a digest under the prefix of py3
BINARY = b"a b\r\nmg n v\x00"  # no text line can hold it
TIGHT = b"t" * 182 + b" \n"    # in base64 it fits into 250 characters alone, and not behind a prefix
PATIENT = {"connect": "1s", "request": "8s"}  # nothing here waits for them
UNSUPPORTED = rb"SERVER_ERROR memcached server [^ ]+ does not speak the meta protocol\r\n"


def b64(key):
    return base64.b64encode(key)


class Meta(harness.Test):
    SERVERS = 1
    CHANGES = {}

    def setUp(self):
        super().setUp()
        self.servers = [self.memcached() for _ in range(self.SERVERS)]
        self.crossfade = self.daemon(harness.cache_config(*self.servers, **self.CHANGES))
        self.py2 = self.crossfade.wire("py2")
        self.py3 = self.crossfade.wire("py3")

    def counters(self):
        """The stats of py3."""
        text = self.py3.send(b"stats\r\n").until(b"END\r\n").decode()
        return {name: int(value) for name, value in re.findall(r"STAT (\w+) (\d+)\r\n", text)}


class Arms(Meta):
    SERVERS = 3

    def test_g1_no_arm_is_given_what_another_wrote(self):
        for key, flag in ((b"k", b""), (LONG, b""), (b64(BINARY), b" b"), (b64(TIGHT), b" b"),
                          (b64(b"text"), b" b")):
            ours = (key, flag, key, flag)
            self.py3.talk(b"ms %s 3%s k\r\nnew\r\n" % (key, flag), b"HD k%s%s\r\n" % (key, flag))
            self.py2.talk(b"mg %s v k%s\r\n" % (key, flag), b"EN k%s%s\r\n" % (key, flag))
            self.py2.talk(b"ms %s 3 ME%s\r\nold\r\n" % (key, flag), b"HD\r\n")
            self.py3.talk(b"mg %s v%s s k\r\n" % ours[:2], b"VA 3 s3 k%s%s\r\nnew\r\n" % ours[2:])
            self.py2.talk(b"mg %s v%s s k\r\n" % ours[:2], b"VA 3 s3 k%s%s\r\nold\r\n" % ours[2:])

    def test_shared_keys_are_one_for_all(self):
        self.py2.talk(b"ma shared:n N0 J7 v\r\nma shared:n v\r\n", b"VA 1\r\n7\r\nVA 1\r\n8\r\n")
        self.py3.talk(b"ma shared:n v\r\nincr shared:n 1\r\nmg %s b v k\r\n" % b64(b"shared:n"),
                      b"VA 1\r\n9\r\n10\r\nVA 2 k%s b\r\n10\r\n" % b64(b"shared:n"))

    def test_g2_a_delete_reaches_every_arm_in_every_form(self):
        for key, flag in ((b"k", b""), (LONG, b""), (b64(BINARY), b" b"), (b64(TIGHT), b" b"),
                          (b64(b"text"), b" b")):
            for delete in (b"md %s%s", b"md %s I T30%s", b"md %s C1%s", b"md %s q%s"):
                for arm in (self.py2, self.py3):
                    arm.talk(b"ms %s 1 ME q%s\r\nx\r\nmg %s v%s\r\n" % (key, flag, key, flag),
                             b"VA 1\r\nx\r\n")
                self.py3.send(delete % (key, flag) + b"\r\nmn\r\n").until(b"MN\r\n")
                self.py2.talk(b"mg %s v%s\r\n" % (key, flag), b"EN\r\n")
                self.py3.send(b"md %s%s\r\nmn\r\n" % (key, flag)).until(b"MN\r\n")

    def test_what_one_protocol_writes_the_others_read(self):
        for number in range(40):
            key = b"key:%d" % number
            for arm in (self.py2, self.py3):
                arm.talk(b"set %s 7 0 3\r\nold\r\n" % key, b"STORED\r\n")
                arm.talk(b"mg %s v f\r\nmg %s b v f k\r\n" % (key, b64(key)),
                         b"VA 3 f7\r\nold\r\nVA 3 f7 k%s b\r\nold\r\n" % b64(key))
                arm.talk(b"ms %s 3 b F8 k\r\nnew\r\n" % b64(key), b"HD k%s b\r\n" % b64(key))
                arm.talk(b"get %s\r\n" % key, b"VALUE %s 8 3\r\nnew\r\nEND\r\n" % key)
                arm.talk(b"mg %s v k\r\n" % key, b"VA 3 k%s\r\nnew\r\n" % key)
        # Keys of a digest, and where the client's own base64 is long: 186 bytes are 248 characters.
        for key in (LONG, b"m" * 186):
            self.py3.talk(b"set %s 0 0 1\r\nx\r\nmg %s v k\r\n" % (key, key),
                          b"STORED\r\nVA 1 k%s\r\nx\r\n" % key)
            if len(key) <= 186:
                self.py3.talk(b"mg %s v b k\r\n" % b64(key), b"VA 1 k%s b\r\nx\r\n" % b64(key))

    def test_the_key_that_is_shown_is_never_the_servers(self):
        for key, flag in ((b"k", b""), (LONG, b""), (b64(BINARY), b" b"), (b64(TIGHT), b" b")):
            shown = b"k" + key + flag
            self.py3.talk(b"ms %s 1 k O1 c%s\r\n5\r\n" % (key, flag), b"HD %s O1 c" % shown)
            self.py3.line()
            self.py3.talk(b"mg %s O2 k t%s\r\n" % (key, flag), b"HD O2 %s t-1\r\n" % shown)
            self.py3.talk(b"ma %s k v%s O\r\n" % (key, flag), b"VA 1 %s O\r\n6\r\n" % shown)
            # Since memcached 1.6.18 shows the bytes of some binary keys as they are.
            self.py3.talk(b"ms %s 1 MA k%s\r\n7\r\n" % (key, flag), b"HD %s\r\n" % shown)
            self.py3.talk(b"mg %s k v%s\r\n" % (key, flag), b"VA 2 %s\r\n67\r\n" % shown)
            self.py3.talk(b"me %s%s\r\n" % (key, flag), b"ME %s exp=-1 " % key)
            self.assertIn(b" size=", self.py3.line())
            self.py3.talk(b"md %s k%s\r\nmd %s k O3%s\r\n" % (key, flag, key, flag),
                          b"HD %s\r\nNF %s O3\r\n" % (shown, shown))

    def test_me_counts_the_bytes_of_the_clients_key(self):
        direct = self.memcached().wire()
        sizes = []
        for wire in (direct, self.py2, self.py3):
            for key in (b"k", b"k" * 100, LONG):
                wire.talk(b"ms %s 10\r\n0123456789\r\nme %s\r\n" % (key, key), b"HD\r\n")
                sizes.append(re.search(rb"size=(\d+)", wire.line()).group(1))
        self.assertEqual(sizes[:3], sizes[3:6])
        self.assertEqual(sizes[:3], sizes[6:])

    def test_lookups(self):
        self.py3.talk(b"mg __crossfade__/arm v k O1\r\nmg __crossfade__/namespace s t v\r\n",
                      b"VA 3 k__crossfade__/arm O1\r\npy3\r\nVA 6 s6 t-1\r\npy3.0:\r\n")
        self.py3.talk(b"mg %s b v\r\nmg __crossfade__/x k\r\nmg __crossfade__/x q\r\nme __crossfade__/arm\r\nmn\r\n"
                      % b64(b"__crossfade__/arm"), b"VA 3\r\npy3\r\nEN k__crossfade__/x\r\nEN\r\nMN\r\n")
        refused = b"CLIENT_ERROR keys under __crossfade__/ can only be read\r\n"
        self.py3.talk(b"ms __crossfade__/arm 2\r\nmn\r\nmd __crossfade__/arm q\r\nma __crossfade__/arm\r\n",
                      refused * 3)

    def test_quiet_commands_leave_a_gap_and_the_barrier_comes_behind_them(self):
        keys = [b"key%d" % number for number in range(300)]
        self.py3.send(b"".join(b"ms %s 2 q\r\nmn\r\n" % key for key in keys[::3]) + b"mn\r\n")
        self.py3.expect(b"MN\r\n")
        self.py3.send(b"".join(b"mg %s v k q\r\n" % key for key in keys) + b"mn\r\n")
        self.py3.expect(b"".join(b"VA 2 k%s\r\nmn\r\n" % key for key in keys[::3]) + b"MN\r\n")


class Meanings(Meta):
    """G4: which sets are fills, and which invalidate the other arms."""

    def fill_py2(self, key=b"k"):
        self.py2.send(b"md %s q\r\nms %s 3 ME q\r\nold\r\nmn\r\n" % (key, key)).until(b"MN\r\n")

    def seen_by_py2(self, key=b"k"):
        return self.py2.send(b"mg %s q\r\nmn\r\n" % key).until(b"MN\r\n") == b"HD\r\nMN\r\n"

    def test_g4_fills_stay_in_their_own_arm(self):
        for miss, fill in (
                (b"mg k\r\n", b"ms k 3\r\nnew\r\n"), (b"mg k v\r\n", b"ms k 3 MS T30\r\nnew\r\n"),
                (b"get k\r\n", b"ms k 3\r\nnew\r\n"), (b"mg k q\r\nmn\r\n", b"set k 0 0 3\r\nnew\r\n"),
                (b"mg aw== b\r\n", b"set k 0 0 3\r\nnew\r\n"), (b"mg k\r\n", b"ms aw== 3 b\r\nnew\r\n"),
                (b"mn\r\n", b"ms k 3 ME\r\nnew\r\n")):
            self.fill_py2()
            self.py3.send(miss).line()
            self.py3.send(fill).line()
            self.py3.talk(b"mg k v\r\n", b"VA 3\r\nnew\r\n")
            self.assertTrue(self.seen_by_py2(), (miss, fill))

    def test_g4_the_winner_of_a_vivified_item_fills_it(self):
        for get in (b"mg k N30 c v\r\n", b"mg k v c N30 R30 t\r\n"):
            for store in (b"ms k 3 T30\r\nnew\r\n", b"ms k 3 C%d\r\nnew\r\n"):
                self.fill_py2()
                reply = self.py3.send(get).line()
                self.assertTrue(reply.endswith(b" W\r\n"), reply)
                self.py3.line()
                cas = int(re.search(rb" c(\d+)", reply).group(1))
                self.py3.talk(store.replace(b"%d", b"%d" % cas), b"HD\r\n")
                self.assertTrue(self.seen_by_py2(), store)
                # The win is used up: the next one is a mutation.
                cas = int(re.search(rb" c(\d+)", self.py3.send(b"mg k c\r\n").line()).group(1))
                self.py3.talk(b"ms k 3 C%d\r\nnew\r\n" % cas, b"HD\r\n")
                self.assertFalse(self.seen_by_py2(), store)

    def test_g4_the_winner_of_a_stale_item_fills_it(self):
        self.py3.talk(b"ms k 3\r\nnew\r\nmd k I T30\r\n", b"HD\r\nHD\r\n")
        self.fill_py2()
        self.py3.talk(b"ms k 3 ME\r\nnew\r\nmd k I T30\r\n", b"HD\r\nHD\r\n")
        self.assertFalse(self.seen_by_py2(), "an invalidation reaches the others")
        self.py2.talk(b"ms k 3 ME\r\nold\r\n", b"HD\r\n")
        self.py3.talk(b"mg k v\r\nmg k v\r\n", b"VA 3 X W\r\nnew\r\nVA 3 Z X\r\nnew\r\n")
        self.py3.talk(b"ms k 3\r\nnew\r\nmg k v\r\n", b"HD\r\nVA 3\r\nnew\r\n")
        self.assertTrue(self.seen_by_py2())

    def test_g4_all_else_invalidates_the_others(self):
        for change in (b"ms k 3\r\nnew\r\n", b"ms k 3 MS\r\nnew\r\n", b"ms k 3 MA\r\nnew\r\n", b"ms k 3 MP\r\nnew\r\n",
                       b"ms k 3 MR\r\nnew\r\n", b"ms k 3 C1\r\nnew\r\n", b"ms aw== 3 b\r\nnew\r\n", b"ma k\r\n",
                       b"ma k N0 J5\r\n", b"ma k MD v q\r\n", b"md k\r\n", b"md k I\r\n", b"md k C1\r\n",
                       b"ms k 100000\r\n" + b"x" * 100000 + b"\r\n",
                       b"ms k 3000000\r\n" + b"x" * 3000000 + b"\r\n"):
            self.py3.send(b"ms k 1\r\n5\r\nmn\r\n").until(b"MN\r\n")
            self.fill_py2()
            self.py3.send(b"ms k 1 ME q\r\n5\r\n" + change + b"mn\r\n").until(b"MN\r\n")
            self.assertFalse(self.seen_by_py2(), change[:40])

    def test_g4_a_large_value_that_answers_a_miss_is_a_fill(self):
        self.fill_py2()
        big = b"b" * 300000
        self.py3.talk(b"mg k\r\nms k %d\r\n%s\r\n" % (len(big), big), b"EN\r\nHD\r\n")
        self.assertTrue(self.seen_by_py2())

    def test_counters_are_those_of_the_classic_commands(self):
        before = self.counters()
        self.py3.talk(b"mg k q\r\nms k 1\r\n5\r\nmg k T30\r\nma k\r\nma k MD\r\nma no\r\nmd k\r\nmd k\r\n"
                      b"ms k 1 C5\r\nx\r\nmg k T5\r\nma k M-\r\nmn\r\n",
                      b"HD\r\nHD\r\nHD\r\nHD\r\nNF\r\nHD\r\nNF\r\nNF\r\nEN\r\nNF\r\nMN\r\n")
        after = self.counters()
        for name, count in (("cmd_get", 3), ("get_hits", 1), ("get_misses", 2), ("cmd_touch", 2), ("touch_hits", 1),
                            ("touch_misses", 1), ("cmd_set", 2), ("delete_hits", 1), ("delete_misses", 1),
                            ("incr_hits", 1), ("incr_misses", 1), ("decr_hits", 1), ("decr_misses", 1),
                            ("cas_misses", 1), ("cas_hits", 0), ("cas_badval", 0)):
            self.assertEqual(count, after[name] - before[name], name)


class Guarded(Meta):
    CHANGES = {"client_profile": "python", "max_value": "2m",
               "keys": [{"match": "json:*", "scope": "shared", "guard": True}]}

    def test_g8_a_guarded_key_takes_no_pickle_of_protocol_3(self):
        refused = b"CLIENT_ERROR this pickle cannot be read by every version that shares the key\r\n"
        for length in (20, 70000, 200000):
            bad = b"\x80\x05" + b"x" * (length - 2)
            for flags in (b"F1", b"F1 q", b"F1 ME", b"F1 MR k"):
                self.py3.talk(b"ms json:a %d %s\r\n%s\r\nmn\r\n" % (length, flags, bad), refused + b"MN\r\n")
            self.py3.talk(b"ms %s %d b F1\r\n%s\r\nmn\r\n" % (b64(b"json:a"), length, bad), refused + b"MN\r\n")
            self.py3.talk(b"ms json:a %d F0\r\n%s\r\n" % (length, bad), b"HD\r\n")
        line = b"ms json:a 200000 F1\r\n"
        bad = line + b"\x80\x05" + b"x" * 199998 + b"\r\n"
        for at in range(len(line) - 2, len(line) + 3):
            self.py3.send(bad[:at])
            time.sleep(0.01)
            self.py3.talk(bad[at:], refused)


class Values(Meta):
    SERVERS = 2
    CHANGES = {"max_value": "1m"}

    def test_large_values_stream_both_ways(self):
        for length in (65536, 65537, 262144, 300000, 1000000):
            value = bytes(bytearray((number * 7 + length) & 255 for number in range(997))) * (length // 997 + 1)
            value = value[:length]
            for key, flag in ((b"k%d" % length, b""), (b64(b"k \n%d" % length), b" b")):
                self.py3.talk(b"ms %s %d%s k O5 F9\r\n%s\r\n" % (key, length, flag, value),
                              b"HD k%s%s O5\r\n" % (key, flag))
                # Alone, and behind the others of another server.
                self.py3.talk(b"mg %s v%s k f\r\n" % (key, flag),
                              b"VA %d k%s%s f9\r\n%s\r\n" % (length, key, flag, value))
                self.py3.send((b"mg %s v%s O1\r\nmg nothing%d q\r\n" % (key, flag, length)) * 4 + b"mn\r\n")
                self.py3.expect(b"VA %d O1\r\n%s\r\n" % (length, value) * 4 + b"MN\r\n")

    def test_a_value_that_is_too_large_is_swallowed_and_removes_the_old_one(self):
        for mode in (b"", b" ME", b" MA", b" q k O1", b" MR C5"):
            self.py3.talk(b"ms k 3\r\nold\r\nms k 1048577%s\r\n%s\r\nmg k v\r\n" % (
                mode, b"mn\r\n" * 262144 + b"x"), b"HD\r\nSERVER_ERROR object too large for cache\r\nEN\r\n")

    def test_a_value_that_does_not_end_where_it_must(self):
        bad = b"CLIENT_ERROR bad data chunk\r\n"
        self.py3.talk(b"ms k 3 q\r\nabcX\r\nmn\r\n", bad + b"ERROR\r\nMN\r\n")
        self.py3.talk(b"ms k 100000 q k\r\n" + b"x" * 100002 + b"mn\r\n", bad + b"MN\r\n")
        self.py3.talk(b"ms k 3 MZ\r\nabcX\r\nmn\r\n", b"CLIENT_ERROR invalid mode for ms M token\r\nERROR\r\nMN\r\n")

    def test_g6_errors_of_a_large_set_keep_the_line(self):
        value = b"mg k v\r\n" * 20000
        self.py3.talk(b"ms k %d !\r\n%s\r\nmn\r\n" % (len(value), value), b"CLIENT_ERROR invalid flag\r\nMN\r\n")
        self.py3.talk(b"ms k %d k k\r\n%s\r\nmn\r\n" % (len(value), value), b"CLIENT_ERROR duplicate flag\r\nMN\r\n")
        self.py3.talk(b"ms Zm9 %d b\r\n%s\r\nmn\r\n" % (len(value), value),
                      b"CLIENT_ERROR error decoding key\r\nMN\r\n")
        # Here memcached runs the value.
        for value in (b"md victim", value):
            self.py3.talk(b"ms %s %d\r\n%s\r\nmn\r\n" % (b"k" * 251, len(value), value),
                          b"CLIENT_ERROR bad command line format\r\nMN\r\n")
            self.py3.talk(b"ms k %d%s\r\n%s\r\nmn\r\n" % (len(value), b" P" * 17, value),
                          b"CLIENT_ERROR options flags too long\r\nMN\r\n")


class Failures(Meta):
    CHANGES = {"timeouts": PATIENT}

    def test_a_server_that_is_down_is_a_miss_to_reads_and_an_error_to_the_rest(self):
        self.servers[0].kill()
        self.py3.send(b"mg k\r\nmn\r\n").until(b"MN\r\n")
        self.py3.talk(b"mg k v\r\nmg k O1 k\r\nmg a2V5 k b O\r\nmg k q v\r\nmn\r\n",
                      b"EN\r\nEN O1 kk\r\nEN ka2V5 b O\r\nMN\r\n")
        for change in (b"ms k 3\r\nmn \r\n", b"ms k 3 q\r\nmn \r\n", b"md k\r\n", b"md k q\r\n", b"ma k\r\n", b"me k\r\n",
                       b"ms k 100000\r\n" + b"md\r\n" * 25000 + b"\r\n"):
            reply = self.py3.send(change + b"mn\r\n").until(b"MN\r\n")
            self.assertRegex(reply, rb"\ASERVER_ERROR memcached server [^\r\n]*\r\nMN\r\n\Z", change[:20])
        self.servers[0].start()
        harness.eventually(lambda: self.py3.send(b"ms k 3\r\nnew\r\n").line() == b"HD\r\n", "the server's return")

    def test_a_server_that_dies_with_requests_under_way(self):
        self.py3.talk(b"ms k 1\r\nx\r\n", b"HD\r\n")
        self.servers[0].freeze()
        self.py3.send(b"mg k v k\r\nms k 1 q\r\nx\r\nmg k q\r\nmn\r\n")
        harness.eventually(lambda: self.crossfade.show("servers")[0]["waiting"] > 0)
        self.servers[0].kill()
        reply = self.py3.until(b"MN\r\n")
        self.assertRegex(reply, rb"\AEN kk\r\nSERVER_ERROR [^\r\n]*\r\nMN\r\n\Z")


class Strict(Meta):
    CHANGES = {"on_failure": "error"}

    def test_reads_fail_with_their_server_where_that_is_wanted(self):
        self.servers[0].kill()
        self.py3.send(b"mg k\r\nmn\r\n").until(b"MN\r\n")
        failed = b"SERVER_ERROR a memcached server did not answer\r\n"
        self.py3.talk(b"mg k v\r\nmg k q k\r\nget k\r\nmn\r\n", failed * 3 + b"MN\r\n")
        # And nothing of it is left for the next one.
        self.servers[0].start()
        harness.eventually(lambda: self.py3.send(b"mg k\r\n").line() == b"EN\r\n", "the server's return")
        self.py3.talk(b"get k\r\n", b"END\r\n")


class Old(harness.Test):
    """Servers without the meta protocol, and servers that lie in it."""

    def setUp(self):
        super().setUp()
        self.server = Fake()
        self.addCleanup(self.server.close)
        self.crossfade = self.daemon(harness.cache_config(self.server, timeouts=PATIENT))
        self.py3 = self.crossfade.wire("py3")
        self.lines = []

    def script(self, answers, probe=(b"CLIENT_ERROR invalid mode for ms M token\r\n",)):
        """The server answers lines that begin so; to our question it says `probe`."""
        swallows = probe[-1] == b"CLIENT_ERROR invalid mode for ms M token\r\n"

        asked = set()

        def perform(connection, line, unused_value):
            self.lines.append(line)
            if line.startswith(b"ms crossfade "):
                asked.add(connection)
                return list(probe)
            if line == b"mn" and connection in asked:
                asked.remove(connection)
                return [] if swallows else [b"ERROR\r\n"]
            for begin, steps in answers.items():
                if line.startswith(begin):
                    mark = line.rsplit(b" O", 1)[-1]
                    return [step.replace(b"MARK", mark) if isinstance(step, bytes) else step
                            for step in steps]
            return [b"ERROR\r\n"] if line[:2] in (b"mg", b"ms", b"md", b"ma", b"me", b"mn") else None
        self.server.script = perform

    def test_g6_a_server_without_meta_gets_no_value_that_it_would_run(self):
        self.script({}, probe=(b"ERROR\r\n",))
        self.py3.talk(b"set victim 0 0 1\r\nx\r\n", b"STORED\r\n")
        other = self.crossfade.wire("py3")
        value = b"delete py3.0:victim"
        for command in (b"ms k %d\r\n%s\r\n" % (len(value), value), b"ms k %d q\r\n%s\r\n" % (len(value), value),
                        b"mg k v\r\n", b"mg k q\r\n", b"md k q\r\n", b"ma k\r\n", b"me k\r\n",
                        b"ms k 100019\r\n" + value + b"\r\n" * 50000 + b"\r\n"):
            reply = self.py3.send(command + b"mn\r\n").until(b"MN\r\n")
            self.assertRegex(reply, rb"\A" + UNSUPPORTED + rb"MN\r\n\Z", command[:20])
            other.talk(b"get victim\r\n", b"VALUE victim 0 1\r\nx\r\nEND\r\n")
        self.assertNotIn(b"delete py3.0:victim", self.lines)
        self.assertEqual(b"x", self.server.store[b"py3.0:victim"])
        # It is asked once for each connection.
        self.assertLessEqual(sum(line.startswith(b"ms crossfade ") for line in self.lines), 4)

    def test_g6_an_ms_of_another_age_that_does_not_take_its_value(self):
        """memcached 1.6.0 to 1.6.9 refuse the length as a flag, and run the value."""
        self.script({b"mn": [b"MN\r\n"]}, probe=(b"CLIENT_ERROR invalid or duplicate flag\r\n",))
        reply = self.py3.send(b"ms k 6\r\ndelete\r\nmn\r\n").until(b"MN\r\n")
        self.assertRegex(reply, rb"\A" + UNSUPPORTED + rb"MN\r\n\Z")
        self.assertNotIn(b"delete", self.lines)

    def test_a_server_that_closes_when_it_is_asked_is_left_alone(self):
        self.script({}, probe=(CLOSE,))
        self.py3.talk(b"set a 0 0 1\r\nx\r\n", b"STORED\r\n")
        # It could have died just then: it is asked a few times.
        harness.eventually(lambda: b"does not speak" in self.py3.send(b"ms k 1\r\nx\r\nmn\r\n").until(b"MN\r\n"), "the verdict")
        asked = sum(line.startswith(b"ms crossfade ") for line in self.lines)
        harness.eventually(lambda: self.py3.send(b"get a\r\n").line() == b"VALUE a 0 1\r\n" and
                           self.py3.until(b"END\r\n"), "the server's return")
        for _ in range(5):
            reply = self.py3.send(b"mg k v\r\nms k 2\r\nhi\r\nmn\r\n").until(b"MN\r\n")
            self.assertRegex(reply, rb"\A(" + UNSUPPORTED + rb"){2}MN\r\n\Z")
            self.py3.talk(b"get a\r\n", b"VALUE a 0 1\r\nx\r\nEND\r\n")
        self.assertEqual((3, 3), (asked, sum(line.startswith(b"ms crossfade ") for line in self.lines)))

    def test_clients_wait_while_the_server_is_asked(self):
        self.script({b"mg ": [b"HD OMARK\r\n"]}, probe=(0.3, b"CLIENT_ERROR invalid mode for ms M token\r\n"))
        wires = [self.crossfade.wire("py3") for _ in range(10)]
        for wire in wires:
            wire.send(b"mg k\r\nmn\r\n")
        for wire in wires:
            wire.expect(b"HD\r\nMN\r\n")

    def test_g6_a_reply_that_answers_another_request_closes_the_connection(self):
        wrong = {b"mg another": [b"HD Offffffff\r\n"], b"mg unmarked": [b"HD\r\n"],
                 b"mg value": [b"VA 2 Offffffff\r\nhi\r\n"], b"mg short": [b"VA 2 OMARK\r\nhixx\r\n"],
                 b"mg miss": [b"EN Offffffff\r\n"], b"mg key": [b"HD kothers OMARK\r\n"],
                 b"mg stored": [b"STORED\r\n"], b"mg twice": [b"EN OMARK\r\nEN OMARK\r\n"],
                 b"mg novalue": [b"HD OMARK\r\n"], b"mg nf": [b"NF OMARK\r\n"], b"mg half": [b"VA 5 OMARK\r\nhe", CLOSE],
                 b"mg late": [b"H", CLOSE], b"mg me": [b"ME py3.0:me exp=-1\r\n"]}
        self.script({b"mg py3.0:" + name[3:]: steps for name, steps in wrong.items()})
        for name in wrong:
            flags = b" v" if name in (b"mg value", b"mg short", b"mg novalue", b"mg half") else b""
            # One that was not asked for may come before or after the next is: then it hits that one.
            reply = self.py3.send(name + flags + b"\r\nmn\r\n").until(b"MN\r\n")
            self.assertEqual(b"EN\r\nMN\r\n", reply, name)
            harness.eventually(lambda: self.py3.send(b"set a 0 0 1\r\nx\r\n").line() == b"STORED\r\n",
                               "the connection's return")

    def test_g6_wrong_answers_to_changes(self):
        wrong = {b"ms py3.0:a": [b"HD Offffffff\r\n"], b"ms py3.0:b": [b"ERROR\r\n"],
                 b"ms py3.0:c": [b"CLIENT_ERROR bad data chunk\r\n"], b"ms py3.0:d": [b"VA 1 OMARK\r\nx\r\n"],
                 b"md py3.0:e": [b"NS OMARK\r\n"], b"ma py3.0:f": [b"VA 1 OMARK\r\n5\r\n"],
                 b"ma py3.0:g": [b"VA 30 OMARK\r\n" + b"5" * 30 + b"\r\n"], b"me py3.0:h": [b"ME py3.0:g size=1\r\n"],
                 b"me py3.0:i": [b"ME i size=1\r\n"]}
        # The server reads the value of an ms as a line of its own.
        self.script({**wrong, b"value": []})
        for begin in wrong:
            name = begin[:3] + begin[-1:]
            tail = b" 5\r\nvalue\r\n" if begin.startswith(b"ms") else b" v\r\n" if begin.endswith(b"g") else b"\r\n"
            reply = self.py3.send(name + tail + b"mn\r\n").until(b"MN\r\n")
            self.assertRegex(reply, rb"\ASERVER_ERROR memcached server [^\r\n]*\r\nMN\r\n\Z", begin)
            # What it was not told of goes before reads, and before what reads by writing.
            harness.eventually(lambda: self.py3.send(b"set a 0 0 1\r\nx\r\n").line() == b"STORED\r\n" and
                               self.py3.send(b"get a\r\n").until(b"END\r\n") != b"END\r\n", "the connection's return")


if __name__ == "__main__":
    harness.main()
