"""The meta protocol in epoch mode, on two arms: who sees what, what a set comes to, wins, changes, and servers that
fail or lie. What memcached answers to what is compared in tests/conformance.
"""
import os
import re
import socket
import threading

import harness
from test_hostile_servers import CLOSE, Fake
from test_meta import BINARY, LONG, TIGHT, b64

STAMP = 20
EPOCH = 32
PATIENT = {"connect": "1s", "request": "8s"}  # nothing here waits for them
KEYS = ((b"k", b""), (LONG, b""), (b64(BINARY), b" b"), (b64(TIGHT), b" b"), (b64(b"text"), b" b"))


class Rig(harness.Test):
    CHANGES = {}

    def setUp(self):
        super().setUp()
        self.server = self.memcached()
        self.crossfade = self.daemon(harness.cache_config(self.server, coherence="epoch", **self.CHANGES))
        self.py2, self.py3 = self.crossfade.wire("py2"), self.crossfade.wire("py3")
        self.direct = self.server.wire()

    def ask(self, wire, data):
        """Commands, and what comes before the barrier behind them."""
        return wire.send(data + b"mn\r\n").until(b"MN\r\n")[:-4]

    def number(self, reply, letter):
        return int(re.search(rb" %s(-?\d+)" % letter, reply).group(1))

    def token(self, key):
        """What the epoch item of a key holds."""
        reply = self.ask(self.direct, b"mg cf~:e:%s v\r\n" % key)
        self.assertTrue(reply.startswith(b"VA %d\r\n" % EPOCH), reply)
        return reply[-EPOCH - 2:-EPOCH + 14]


class Reads(Rig):
    def test_what_is_stored(self):
        self.py3.talk(b"ms k 5 T100 F7\r\nhello\r\n", b"HD\r\n")
        reply = self.ask(self.direct, b"mg cf~py3.0:k v f t\r\n")
        self.assertRegex(reply, rb"\AVA 25 f7 t(100|99)\r\n")
        self.assertTrue(reply.endswith(b"hello\r\n"), reply)
        self.assertEqual(self.token(b"k"), reply.split(b"\r\n", 1)[1][:16])
        self.assertRegex(self.ask(self.direct, b"mg cf~:e:k f t\r\n"), rb"\AHD f2 t-1\r\n")
        self.py2.talk(b"ms k 0\r\n\r\nmg k v s\r\n", b"HD\r\nVA 0 s0\r\n\r\n")
        self.assertRegex(self.ask(self.direct, b"mg cf~.0:k s\r\n"), rb"\AHD s20\r\n")
        self.assertEqual(b"EN\r\n", self.ask(self.direct, b"mg k v\r\n"))

    def test_flags_are_the_clients_own(self):
        for key, flag in KEYS:
            shown = b"k" + key + flag
            self.py3.talk(b"ms %s 5 T100 F7 k O1%s\r\nhello\r\n" % (key, flag), b"HD %s O1\r\n" % shown)
            reply = self.ask(self.py3, b"mg %s t f s v k O2 c%s\r\n" % (key, flag))
            self.assertRegex(reply, rb"\AVA 5 t(100|99) f7 s5 " + re.escape(shown) + rb" O2 c\d+\r\nhello\r\n\Z")
            # Without v the value is fetched all the same, and without c its number.
            self.py3.talk(b"mg %s s k%s\r\nmg %s%s\r\nmg %s f q%s\r\n" % ((key, flag) * 3),
                          b"HD s5 %s\r\nHD\r\nHD f7\r\n" % shown)
            self.assertRegex(self.ask(self.py3, b"mg %s h l%s\r\n" % (key, flag)), rb"\AHD h1 l0\r\n\Z")
            self.py2.talk(b"mg %s v k O5%s\r\nmg %s q v%s\r\nmn\r\n" % ((key, flag) * 2), b"EN %s O5\r\nMN\r\n" % shown)

    def test_as_many_flags_as_a_server_takes(self):
        self.py3.talk(b"ms k 1\r\nx\r\n", b"HD\r\n")
        reply = self.ask(self.py3, b"mg k t f s c h l k O1 u T30 N30 R30 P1 L1 q\r\n")
        self.assertRegex(reply, rb"\AHD t-?\d+ f0 s1 c\d+ h0 l0 kk O1\r\n\Z")
        self.py3.talk(b"mg k t f s c h l O1 u T30 N30 R30 P P P P P P\r\n", b"CLIENT_ERROR duplicate flag\r\n")

    def test_me_counts_the_bytes_of_the_clients_value(self):
        sizes = []
        for wire in (self.direct, self.py2, self.py3):
            for key in (b"k", LONG):
                wire.talk(b"ms %s 10\r\n0123456789\r\n" % key, b"HD\r\n")
                sizes.append(self.number(self.ask(wire, b"me %s\r\n" % key).replace(b"size=", b"size"), b"size"))
        self.assertEqual(sizes[:2] * 2, sizes[2:])

    def test_touch_leaves_the_epoch_alone(self):
        self.py3.talk(b"ms k 1 T100\r\nx\r\nmg k T1000 t\r\n", b"HD\r\nHD t1000\r\n")
        self.assertRegex(self.ask(self.direct, b"mg cf~:e:k t\r\n"), rb"\AHD t-1\r\n")
        self.assertRegex(self.ask(self.py3, b"mg k t v\r\n"), rb"\AVA 1 t(1000|999)\r\nx\r\n\Z")

    def test_large_values_stream_both_ways(self):
        for length in (3030, 3060, 65516, 65536, 65537, 262144, 300000, 1000000):
            value = (b"%08d" % length) * (length // 8 + 1)
            value = value[:length]
            for key, flag in ((b"k%d" % length, b""), (b64(b"k \n%d" % length), b" b")):
                self.py3.talk(b"ms %s %d%s k F9\r\n%s\r\n" % (key, length, flag, value), b"HD k%s%s\r\n" % (key, flag))
                self.py3.talk(b"mg %s v%s f\r\nmg %s s%s\r\n" % ((key, flag) * 2),
                              b"VA %d f9\r\n%s\r\nHD s%d\r\n" % (length, value, length))
                self.py2.talk(b"md %s%s\r\n" % (key, flag), b"NF\r\n")
                self.py3.talk(b"mg %s v%s\r\nmg %s N30 v%s\r\nmg %s v N30%s\r\n" % ((key, flag) * 3),
                              b"EN\r\nVA 0 W\r\n\r\nVA 0 Z\r\n\r\n")

    def test_quiet_reads_leave_a_gap_and_the_barrier_comes_behind_them(self):
        keys = [b"key%d" % number for number in range(300)]
        self.py3.send(b"".join(b"ms %s 2 q\r\nmn\r\n" % key for key in keys[::3]) + b"mn\r\n").expect(b"MN\r\n")
        # Two of three are misses for which an epoch item has to be made first.
        self.py3.send(b"".join(b"mg %s v k q\r\n" % key for key in keys) + b"mn\r\n")
        self.py3.expect(b"".join(b"VA 2 k%s\r\nmn\r\n" % key for key in keys[::3]) + b"MN\r\n")
        self.py3.send(b"".join(b"mg %s v k\r\n" % key for key in keys) + b"mn\r\n")
        self.py3.expect(b"".join(b"EN k%s\r\n" % key if number % 3 else b"VA 2 k%s\r\nmn\r\n" % key
                                 for number, key in enumerate(keys)) + b"MN\r\n")

    def test_protocols_read_each_other(self):
        for key in (b"k", LONG):
            self.py3.talk(b"set %s 7 0 3\r\nold\r\nmg %s v f\r\n" % (key, key), b"STORED\r\nVA 3 f7\r\nold\r\n")
            self.py3.talk(b"ms %s 3 F8\r\nnew\r\nget %s\r\n" % (key, key),
                          b"HD\r\nVALUE %s 8 3\r\nnew\r\nEND\r\n" % key)
            self.py3.talk(b"mg %s v b k\r\n" % b64(key[:180]), (b"VA 3 k%s b\r\nnew\r\n" if key == b"k" else b"EN k%s b\r\n")
                          % b64(key[:180]))

    def test_an_epoch_item_that_is_none_is_written_anew(self):
        for junk in (b"", b"x" * 24, b"x" * 31, b"x" * 5000, b"x" * 500000):
            self.py3.talk(b"ms k 1\r\nx\r\nmg k\r\n", b"HD\r\nHD\r\n")
            self.direct.talk(b"ms cf~:e:k %d\r\n%s\r\n" % (len(junk), junk), b"HD\r\n")
            self.py3.talk(b"mg k v\r\n", b"EN\r\n")
            self.token(b"k")
            self.py3.talk(b"ms k 1\r\ny\r\nmg k v\r\n", b"HD\r\nVA 1\r\ny\r\n")
            self.py3.talk(b"md k\r\n", b"HD\r\n")


class Invalidations(Rig):
    def test_g1_no_arm_is_given_what_another_wrote(self):
        for key, flag in KEYS:
            self.py3.talk(b"ms %s 3%s\r\nnew\r\n" % (key, flag), b"HD\r\n")
            self.py2.talk(b"mg %s v%s\r\n" % (key, flag), b"EN\r\n")
            self.py2.talk(b"ms %s 3%s\r\nold\r\n" % (key, flag), b"HD\r\n")
            self.py3.talk(b"mg %s v%s\r\n" % (key, flag), b"VA 3\r\nnew\r\n")
            self.py2.talk(b"mg %s v%s\r\n" % (key, flag), b"VA 3\r\nold\r\n")

    def test_g2_a_delete_reaches_every_arm_in_every_form(self):
        for key, flag in KEYS:
            for delete in (b"md %s%s", b"md %s I T30%s", b"md %s I q%s", b"md %s q%s", b"md %s C<own>%s",
                           b"ms %s 2000000%s\r\n" + b"x" * 2000000):
                for arm in (self.py2, self.py3):
                    arm.send(b"mg %s%s\r\n" % (key, flag)).line()
                    arm.talk(b"ms %s 1 k%s\r\nx\r\n" % (key, flag), b"HD k%s%s\r\n" % (key, flag))
                    self.assertTrue(self.ask(arm, b"mg %s v%s\r\n" % (key, flag)).startswith(b"VA 1\r\n"))
                own = self.number(self.ask(self.py3, b"mg %s c%s\r\n" % (key, flag)), b"c")
                self.ask(self.py3, delete.replace(b"<own>", b"%d" % own) % (key, flag) + b"\r\n")
                for arm in (self.py2, self.py3):
                    arm.talk(b"mg %s v%s\r\n" % (key, flag), b"EN\r\n")
                    self.ask(arm, b"ms %s 1%s\r\ny\r\n" % (key, flag))  # takes the miss

    def test_a_bad_command_invalidates_nothing(self):
        self.py3.talk(b"ms k 1\r\nx\r\n", b"HD\r\n")
        before = self.token(b"k")
        for bad in (b"ms k 1 Tx\r\ny\r\n", b"ms k 1 !\r\ny\r\n", b"md k !\r\n", b"md k Cx\r\n", b"ma k MX\r\n",
                    b"ms k 100000 E5\r\n" + b"y" * 100000 + b"\r\n", b"ms k 1 C5 E9\r\ny\r\n", b"ms k 1\r\nyyy\r\n"):
            self.assertTrue(self.ask(self.py3, bad).startswith(b"CLIENT_ERROR "), bad)
        self.assertEqual(before, self.token(b"k"))
        self.py3.talk(b"mg k v\r\n", b"VA 1\r\nx\r\n")

    def test_a_conditional_delete(self):
        own = self.number(self.ask(self.py3, b"ms k 1 c\r\nx\r\n"), b"c")
        before = self.token(b"k")
        self.py3.talk(b"md k C%d k\r\nmd none C5 k O1\r\nmd k C0\r\n" % (own + 1), b"EX kk\r\nNF knone O1\r\nEX\r\n")
        self.assertEqual(before, self.token(b"k"))
        self.py3.talk(b"mg k v\r\n", b"VA 1\r\nx\r\n")
        self.py2.talk(b"ms k 1\r\ny\r\n", b"HD\r\n")
        self.assertNotIn(self.ask(self.py3, b"md k C%d\r\n" % own), (b"HD\r\n",))  # another arm has changed it
        self.py2.talk(b"mg k v\r\n", b"VA 1\r\ny\r\n")
        own = self.number(self.ask(self.py2, b"mg k c\r\n"), b"c")
        self.py2.talk(b"md k C%d q\r\nmn\r\nmg k\r\n" % own, b"MN\r\nEN\r\n")

    def test_g3_a_fill_that_is_older_than_a_delete_does_not_count(self):
        for delete in (b"md k\r\n", b"md k I\r\n", b"ms k 1\r\nz\r\n", b"ms k 1 MS T5\r\nz\r\n"):
            self.py2.send(b"md k\r\n").line()
            self.py3.talk(b"mg k v\r\n", b"EN\r\n")
            self.py2.send(delete).line()
            self.py3.talk(b"ms k 3\r\nold\r\n", b"HD\r\n")
            self.py3.talk(b"mg k v\r\n", b"EN\r\n")
            # And the one that answers this miss does.
            self.py3.talk(b"ms k 3\r\nnew\r\nmg k v\r\n", b"HD\r\nVA 3\r\nnew\r\n")

    def test_g3_one_of_several_readers_of_different_epochs(self):
        self.py3.talk(b"mg k v\r\n", b"EN\r\n")
        self.py2.send(b"md k\r\n").line()
        self.py3.talk(b"mg k v\r\n", b"EN\r\n")
        # Nobody knows whose this is.
        self.py3.talk(b"ms k 3 k\r\nold\r\nmg k v q\r\nmn\r\n", b"HD kk\r\nMN\r\n")
        self.py3.talk(b"ms k 100000 q\r\n" + b"x" * 100000 + b"\r\nmg k v q\r\nmn\r\n", b"MN\r\n")

    def test_g4_fills_leave_the_others_alone(self):
        big = b"b" * 300000
        for miss, fill in (
                (b"mg k\r\n", b"ms k 3\r\nnew\r\n"), (b"mg k v\r\n", b"ms k 3 MS T30\r\nnew\r\n"),
                (b"get k\r\n", b"ms k 3\r\nnew\r\n"), (b"mg k q\r\nmn\r\n", b"set k 0 0 3\r\nnew\r\n"),
                (b"mg aw== b\r\n", b"set k 0 0 3\r\nnew\r\n"), (b"mg k\r\n", b"ms aw== 3 b\r\nnew\r\n"),
                (b"mg k\r\n", b"ms k 3 ME\r\nnew\r\n"), (b"mg k s\r\n", b"ms k %d\r\n%s\r\n" % (len(big), big))):
            self.py2.send(b"md k\r\n").line()
            self.py2.send(b"mg k\r\n").line()
            self.py2.talk(b"ms k 3\r\nold\r\n", b"HD\r\n")
            before = self.token(b"k")
            self.py3.send(miss).line()
            self.assertIn(self.py3.send(fill).line(), (b"HD\r\n", b"STORED\r\n"))
            self.assertEqual(before, self.token(b"k"))
            self.assertRegex(self.ask(self.py3, b"mg k s\r\n"), rb"\AHD s(3|300000)\r\n")
            self.py2.talk(b"mg k v\r\n", b"VA 3\r\nold\r\n")

    def test_g4_all_else_invalidates_the_others(self):
        for change in (b"ms k 3\r\nnew\r\n", b"ms k 3 MS\r\nnew\r\n", b"ms k 3 MA\r\nnew\r\n", b"ms k 3 MP\r\nnew\r\n",
                       b"ms k 3 MR\r\nnew\r\n", b"ms k 3 C<own>\r\nnew\r\n", b"ms aw== 3 b\r\nnew\r\n", b"ma k\r\n",
                       b"ma k N0 J5\r\n", b"ma k MD v q\r\n", b"md k\r\n", b"md k I\r\n", b"md k C<own>\r\n",
                       b"ms k 100000\r\n" + b"x" * 100000 + b"\r\n", b"ms k 100000 MA\r\n" + b"x" * 100000 + b"\r\n",
                       b"ms k 3000000\r\n" + b"x" * 3000000 + b"\r\n"):
            self.py3.talk(b"ms k 1\r\n5\r\n", b"HD\r\n")
            self.py2.send(b"mg k\r\n").line()
            self.py2.talk(b"ms k 3\r\nold\r\n", b"HD\r\n")
            reply = self.ask(self.py3, b"mg k v c\r\n")
            self.assertTrue(reply.endswith(b"\r\n5\r\n"), reply)
            own = self.number(reply, b"c")
            self.ask(self.py3, change.replace(b"<own>", b"%d" % own))
            self.assertEqual(b"EN\r\n", self.ask(self.py2, b"mg k v\r\n"), change[:40])
            self.ask(self.py2, b"ms k 1\r\n7\r\n")  # takes the miss


class Wins(Rig):
    def test_the_winner_of_what_n_has_made_fills_it(self):
        for key, flag in KEYS:
            for store in (b"ms %s 3 T30%s", b"ms %s 3 C<own>%s", b"ms %s 3 k MS%s"):
                self.py2.send(b"md %s%s\r\n" % (key, flag)).line()
                self.py3.send(b"md %s%s\r\n" % (key, flag)).line()
                reply = self.ask(self.py3, b"mg %s N30 c v k O1 s t f%s\r\n" % (key, flag))
                self.assertRegex(reply, rb"\AVA 0 c\d+ k" + re.escape(key + flag) + rb" O1 s0 t30 f0 W\r\n\r\n\Z")
                own = self.number(reply, b"c")
                before = None if flag or key == LONG else self.token(key)
                # Who asks with N sees that another is at it; who does not gets a miss.
                self.py3.talk(b"mg %s N30 v%s\r\nmg %s N30 s%s\r\n" % ((key, flag) * 2), b"VA 0 Z\r\n\r\nHD s0 Z\r\n")
                self.assertTrue(self.ask(self.py3, store.replace(b"<own>", b"%d" % own) % (key, flag) +
                                         b"\r\nnew\r\n").startswith(b"HD"), store)
                self.py3.talk(b"mg %s N30 v%s\r\n" % (key, flag), b"VA 3\r\nnew\r\n")
                if before is not None:
                    self.assertEqual(before, self.token(key), "a fill")

    def test_what_n_has_made_is_a_miss_to_all_others(self):
        self.py3.talk(b"mg k N30 v\r\n", b"VA 0 W\r\n\r\n")
        self.py3.talk(b"mg k v k\r\nget k\r\ngets k\r\nincr k 1\r\nma k\r\nms k 1 MA\r\nx\r\nms k 1 MR\r\nx\r\n",
                      b"EN kk\r\nEND\r\nEND\r\nNOT_FOUND\r\nNF\r\nNS\r\nNS\r\n")
        self.py2.talk(b"mg k N30 v\r\n", b"VA 0 W\r\n\r\n")

    def test_g3_a_win_that_is_older_than_a_delete(self):
        for key, flag in KEYS:
            for store in (b"ms %s 3%s", b"ms %s 3 C<own>%s"):
                reply = self.ask(self.py3, b"mg %s N30 c v%s\r\n" % (key, flag))
                self.assertTrue(reply.endswith(b" W\r\n\r\n"), reply)
                self.py2.send(b"md %s%s\r\n" % (key, flag)).line()
                self.py3.talk(store.replace(b"<own>", b"%d" % self.number(reply, b"c")) % (key, flag) + b"\r\nold\r\n",
                              b"HD\r\n")
                # What it has stored is in the way of the next winner, and goes.
                reply = self.ask(self.py3, b"mg %s N30 c v%s\r\n" % (key, flag))
                self.assertTrue(reply.endswith(b" W\r\n\r\n"), reply)
                self.py3.talk(b"mg %s N30 v%s\r\nmg %s v%s\r\n" % ((key, flag) * 2), b"VA 0 Z\r\n\r\nEN\r\n")
                key = key[:-4] + b"AAAA" if flag else key[:-1] + b"x"

    def test_a_win_is_used_up(self):
        own = self.number(self.ask(self.py3, b"mg k N30 c\r\n"), b"c")
        before = self.token(b"k")
        self.py3.talk(b"ms k 3 C%d\r\nnew\r\n" % own, b"HD\r\n")
        self.assertEqual(before, self.token(b"k"))
        self.py3.talk(b"ms k 3 C%d\r\nold\r\n" % own, b"EX\r\n")
        own = self.number(self.ask(self.py3, b"mg k c\r\n"), b"c")
        self.py3.talk(b"ms k 3 C%d\r\nall\r\n" % own, b"HD\r\n")
        self.assertNotEqual(before, self.token(b"k"), "a change")

    def test_one_of_many_wins(self):
        wires = [self.crossfade.wire("py3") for _ in range(24)]  # over both workers
        for number in range(40):
            key = b"key%d" % (number % 10)
            if number % 3 == 0:
                self.py3.talk(b"ms %s 5\r\nstale\r\n" % key, b"HD\r\n")
            self.py2.send(b"md %s\r\n" % key).line()
            for wire in wires:
                wire.send(b"mg %s N30 v\r\nmn\r\n" % key)
            answers = sorted(wire.until(b"MN\r\n") for wire in wires)
            self.assertEqual([b"VA 0 W\r\n\r\nMN\r\n"] + [b"VA 0 Z\r\n\r\nMN\r\n"] * 23, answers, number)
            self.py3.send(b"md %s\r\n" % key).line()

    def test_recache(self):
        self.py3.talk(b"ms k 3 T20\r\nold\r\n", b"HD\r\n")
        before = self.token(b"k")
        self.py3.talk(b"mg k R30 v\r\nmg k R30 v\r\nmg k v\r\n",
                      b"VA 3 W\r\nold\r\nVA 3 Z\r\nold\r\nVA 3 Z\r\nold\r\n")
        self.py3.talk(b"ms k 3\r\nnew\r\nmg k R30 v\r\n", b"HD\r\nVA 3\r\nnew\r\n")
        self.assertEqual(before, self.token(b"k"), "a fill")
        self.py3.talk(b"ms k 3 T20\r\nold\r\nmg k R30\r\n", b"HD\r\nHD W\r\n")
        self.py2.send(b"md k\r\n").line()
        self.py3.talk(b"ms k 3\r\nnew\r\nmg k v q\r\nmn\r\n", b"HD\r\nMN\r\n")

    def test_what_is_marked_as_stale_is_not_served(self):
        self.py3.talk(b"ms k 3\r\nold\r\nmd k I T30\r\nmg k v\r\nms k 3\r\nnew\r\n", b"HD\r\nHD\r\nEN\r\nHD\r\n")


class Changes(Rig):
    def test_what_stays_and_what_comes_back(self):
        for key, flag in KEYS:
            self.py3.talk(b"ms %s 1 T100 F5%s\r\n5\r\n" % (key, flag), b"HD\r\n")
            reply = self.ask(self.py3, b"ma %s v t c k O1 D10%s\r\n" % (key, flag))
            self.assertRegex(reply, rb"\AVA 2 t(100|99|98) c\d+ k" + re.escape(key + flag) + rb" O1\r\n15\r\n\Z")
            reply = self.ask(self.py3, b"ms %s 1 MA c%s\r\n1\r\n" % (key, flag))
            self.assertRegex(reply, rb"\AHD c\d+\r\n\Z")
            now = self.ask(self.py3, b"mg %s v f t c%s\r\n" % (key, flag))
            self.assertRegex(now, rb"\AVA 3 f5 t(100|99|98|97) c\d+\r\n151\r\n\Z")
            self.assertEqual(self.number(reply, b"c"), self.number(now, b"c"))
            self.py3.talk(b"ms %s 1 MP q%s\r\n2\r\nma %s MD D1 v%s\r\n" % ((key, flag) * 2), b"VA 4\r\n2150\r\n")
            self.assertRegex(self.ask(self.py3, b"mg %s t f%s\r\n" % (key, flag)), rb"\AHD t(100|99|98|97) f5\r\n")
            self.py3.talk(b"ma %s T1000 q%s\r\nmg %s t%s\r\n" % ((key, flag) * 2), b"HD t1000\r\n")
            self.py3.talk(b"ms %s 3 MR F6%s\r\nabc\r\nmg %s v f t%s\r\nma %s%s\r\n" % ((key, flag) * 3),
                          b"HD\r\nVA 3 f6 t-1\r\nabc\r\n"
                          b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n")

    def test_what_is_not_there(self):
        for key, flag in KEYS:
            at = (key, flag)
            self.py3.talk(b"ma %s k%s\r\nms %s 1 MA%s\r\nx\r\nms %s 1 MR q%s\r\nx\r\nms %s 1 C5%s\r\nx\r\n" % (at * 4),
                          b"NF k%s%s\r\nNS\r\nNS\r\nNF\r\n" % at)
            self.py3.talk(b"ma %s N30 J7 v t%s\r\nma %s N30 J7 v%s\r\nmg %s t%s\r\n" % (at * 3),
                          b"VA 1 t30\r\n7\r\nVA 1\r\n8\r\nHD t30\r\n")
            self.py3.talk(b"ms %s 1 ME%s\r\nx\r\nmd %s q%s\r\nmn\r\nms %s 1 ME k%s\r\nx\r\n" % (at * 3),
                          b"NS\r\nMN\r\nHD k%s%s\r\n" % at)

    def test_a_cas_of_before_another_arms_change_fails(self):
        own = self.number(self.ask(self.py3, b"ms k 3 c\r\nold\r\n"), b"c")
        self.py2.talk(b"ms k 3\r\nnew\r\n", b"HD\r\n")
        self.py3.talk(b"ms k 3 C%d\r\nbad\r\n" % own, b"EX\r\n")
        self.py2.talk(b"mg k v\r\n", b"VA 3\r\nnew\r\n")
        own = self.number(self.ask(self.py2, b"mg k c\r\n"), b"c")
        self.py3.send(b"md k\r\n").line()
        self.py2.talk(b"ms k 3 C%d\r\nbad\r\nmg k\r\n" % own, b"NF\r\nEN\r\n")

    def test_no_count_is_lost(self):
        wires = [self.crossfade.wire("py3") for _ in range(6)]
        self.py3.talk(b"ms k 1 T1000\r\n0\r\n", b"HD\r\n")
        for _ in range(10):
            for wire in wires:
                wire.send(b"ma k q\r\n" * 10 + b"mn\r\n")
            for wire in wires:
                wire.expect(b"MN\r\n")
        self.py3.talk(b"mg k v\r\n", b"VA 3\r\n600\r\n")

    def test_commands_keep_their_order_around_a_change(self):
        data = b"".join(b"ms k 1\r\n%d\r\nma k v\r\nmg k v\r\nms k 1 MA\r\nx\r\nmg k v\r\nma k\r\nmd k q\r\nmn\r\n"
                        % (number % 9) for number in range(50))
        wanted = b"".join(b"HD\r\nVA 1\r\n%d\r\nVA 1\r\n%d\r\nHD\r\nVA 2\r\n%dx\r\nCLIENT_ERROR cannot increment or "
                          b"decrement non-numeric value\r\nMN\r\n" % ((number % 9 + 1,) * 3) for number in range(50))
        self.py3.talk(data, wanted)
        wire = self.crossfade.wire("py3")
        wire.send_split(data[:len(data) // 50], 1)
        wire.expect(wanted[:len(wanted) // 50])

    def test_large_values_are_changed_too(self):
        big = b"b" * 100000
        self.py3.talk(b"ms k 3\r\nabc\r\nms k %d MA\r\n%s\r\nmg k v\r\n" % (len(big), big),
                      b"HD\r\nHD\r\nVA 100003\r\nabc%s\r\n" % big)
        own = self.number(self.ask(self.py3, b"mg k c\r\n"), b"c")
        self.py3.talk(b"ms k %d C%d\r\n%s\r\nmg k s\r\n" % (len(big), own, big), b"HD\r\nHD s100000\r\n")
        self.py3.talk(b"ms k 1000000 MA\r\n%s\r\nmg k s\r\n" % (b"x" * 1000000),
                      b"SERVER_ERROR object too large for cache\r\nHD s100000\r\n")


class Fills(Rig):
    CHANGES = {"keys": [{"match": "fill:*", "writes": "fill"}, {"match": "mutate:*", "writes": "mutate"}]}

    def test_writes_fill(self):
        for length in (3, 100000):
            self.py2.talk(b"ms fill:k 3\r\nold\r\n", b"HD\r\n")
            before = self.token(b"fill:k")
            self.py3.talk(b"ms fill:k %d F4 T100 k\r\n%s\r\nmg fill:k s f\r\n" % (length, b"n" * length),
                          b"HD kfill:k\r\nHD s%d f4\r\n" % length)
            self.assertEqual(before, self.token(b"fill:k"))
            self.py2.talk(b"mg fill:k v\r\n", b"VA 3\r\nold\r\n")

    def test_writes_mutate(self):
        self.py3.talk(b"mg mutate:k\r\n", b"EN\r\n")
        before = self.token(b"mutate:k")
        self.py3.talk(b"ms mutate:k 3\r\nnew\r\nmg mutate:k v\r\n", b"HD\r\nVA 3\r\nnew\r\n")
        self.assertNotEqual(before, self.token(b"mutate:k"))


class Failures(Rig):
    CHANGES = {"timeouts": PATIENT}

    def test_a_server_that_is_down_is_a_miss_whose_fill_is_not_believed(self):
        self.py3.talk(b"mg k\r\n", b"EN\r\n")
        self.py3.talk(b"ms k 3\r\nold\r\n", b"HD\r\n")
        self.server.kill()
        self.py3.send(b"mg k\r\nmn\r\n").until(b"MN\r\n")
        self.py3.talk(b"mg k v\r\nmg k O1 k\r\nmg a2V5 k b O\r\nmg k q v\r\nmg k N30 v\r\nmn\r\n",
                      b"EN\r\nEN O1 kk\r\nEN ka2V5 b O\r\nEN\r\nMN\r\n")
        for change in (b"ms k 3\r\nmn \r\n", b"ms k 3 q\r\nmn \r\n", b"md k\r\n", b"md k q\r\n", b"ma k\r\n", b"me k\r\n",
                       b"ms k 3 MA q\r\nmn \r\n", b"ms k 100000\r\n" + b"md\r\n" * 25000 + b"\r\n"):
            reply = self.ask(self.py3, change)
            self.assertRegex(reply, rb"\ASERVER_ERROR [^\r\n]*\r\n\Z", change[:20])
        self.server.start()
        harness.eventually(lambda: self.py3.send(b"ms other 1\r\nx\r\n").line() == b"HD\r\n", "the server's return")
        # There were several misses of k of which nothing is known.
        self.py3.talk(b"ms k 3\r\nold\r\nmg k v\r\n", b"HD\r\nEN\r\n")

    def test_g3_a_fill_that_failed_is_still_one(self):
        self.py3.talk(b"mg k v\r\nmg big\r\n", b"EN\r\nEN\r\n")
        self.server.kill()
        for _ in range(2):  # the connection that was there, and none
            for fill in (b"ms k 3\r\nold\r\n", b"ms big 100000\r\n" + b"x" * 100000 + b"\r\n"):
                self.assertRegex(self.ask(self.py3, fill), rb"\ASERVER_ERROR [^\r\n]*\r\n\Z")
        self.server.start()
        harness.eventually(lambda: self.py3.send(b"ms other 1\r\nx\r\n").line() == b"HD\r\n", "the server's return")
        # It is stored with the token of its miss, which nobody has any more.
        self.py3.talk(b"ms k 3\r\nold\r\nms big 100000\r\n" + b"x" * 100000 + b"\r\n", b"HD\r\nHD\r\n")
        self.py3.talk(b"mg k v\r\nmg big\r\n", b"EN\r\nEN\r\n")

    def test_a_server_that_dies_with_reads_under_way(self):
        self.py3.talk(b"ms k 1\r\nx\r\n", b"HD\r\n")
        self.server.freeze()
        self.py3.send(b"mg k v k\r\nmg none N30 v\r\nmg k q\r\nmd k\r\nma k\r\nmn\r\n")
        harness.eventually(lambda: self.crossfade.show("servers")[0]["waiting"] > 0)
        self.server.kill()
        reply = self.py3.until(b"MN\r\n")
        self.assertRegex(reply, rb"\AEN kk\r\nEN\r\n(SERVER_ERROR [^\r\n]*\r\n){2}MN\r\n\Z")


class Undelivered(Rig):
    CHANGES = {"timeouts": {"connect": "1s", "request": "2s"}}

    def test_g5_what_could_not_be_sent_is_done_before_the_server_is_read_again(self):
        # Who adds to what is stored has changed nothing as long as it has not.
        changes = {b"a": b"md a\r\n", b"b": b"md b I q\r\n", b"c": b"ms c 3\r\nnew\r\n",
                   b"d": b"ms d 2000000\r\n" + b"x" * 2000000 + b"\r\n", b"e": b"ms e 3 MR\r\nnew\r\n",
                   b"f": b"ms f 100000\r\n" + b"x" * 100000 + b"\r\n", b"h": b"md aCBo b\r\n"}
        names = {b"h": (b"aCBo", b" b")}
        for key in changes:
            for arm in (self.py3, self.py2):
                self.ask(arm, b"mg %s%s\r\n" % names.get(key, (key, b"")))
                self.ask(arm, b"ms %s 1%s\r\n5\r\n" % names.get(key, (key, b"")))
            self.py2.talk(b"mg %s v%s\r\n" % names.get(key, (key, b"")), b"VA 1\r\n5\r\n")
        self.server.freeze()
        for change in [b"md other\r\n"] + list(changes.values()):  # after the first there is no connection for them
            reply = self.ask(self.py3, change)
            self.assertRegex(reply, rb"\ASERVER_ERROR [^\r\n]*\r\n\Z", change[:20])
        self.server.thaw()
        harness.eventually(lambda: self.py3.send(b"ms other 1\r\nx\r\n").line() == b"HD\r\n" and
                           self.py3.send(b"mg other\r\n").line() == b"HD\r\n", "the server's return")
        for key in changes:
            self.py2.talk(b"mg %s v%s\r\n" % names.get(key, (key, b"")), b"EN\r\n")


class Dribble:
    """Between daemon and server: what the server says comes in pieces of a few bytes."""

    def __init__(self, server, size):
        self.server, self.size = server, size
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.sockets = [self.listener]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        try:
            while True:
                near, _ = self.listener.accept()
                far = harness.connect(self.server.port)
                self.sockets += [near, far]
                near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for source, to, size in ((near, far, 65536), (far, near, self.size)):
                    threading.Thread(target=self.pump, args=(source, to, size), daemon=True).start()
        except OSError:
            pass

    def pump(self, source, to, size):
        try:
            while True:
                data = source.recv(65536)
                if not data:
                    break
                for at in range(0, len(data), size):
                    to.sendall(data[at:at + size])
        except OSError:
            pass
        for each in (source, to):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        for each in self.sockets:
            each.close()


class Pieces(harness.Test):
    def pieces(self, size):
        server = self.memcached()
        between = Dribble(server, size)
        self.addCleanup(between.close)
        crossfade = self.daemon(harness.cache_config(between, coherence="epoch", timeouts=PATIENT))
        py2, py3 = crossfade.wire("py2"), crossfade.wire("py3")
        value = b"v" + os.urandom(5000 if size > 1 else 1000)
        for key, flag in KEYS[:4]:
            py3.talk(b"ms %s %d F3 k%s\r\n%s\r\n" % (key, len(value), flag, value), b"HD k%s%s\r\n" % (key, flag))
            py3.talk(b"mg %s v f k%s\r\nmg %s s%s\r\nmg %s q%s\r\nma %s%s\r\nms %s 1 MA%s\r\nx\r\n"
                     % ((key, flag) * 5), b"VA %d f3 k%s%s\r\n%s\r\nHD s%d\r\nHD\r\nCLIENT_ERROR cannot increment or "
                     b"decrement non-numeric value\r\nHD\r\n" % (len(value), key, flag, value, len(value)))
            py2.talk(b"md %s%s\r\n" % (key, flag), b"NF\r\n")
            py3.talk(b"mg %s v%s\r\nmg %s N30 v c q%s\r\n" % ((key, flag) * 2), b"EN\r\nVA 0 c")
            self.assertRegex(py3.until(b"\r\n\r\n"), rb"\A\d+ W\r\n\r\n\Z")
            py3.talk(b"mg %s N30%s\r\nmn\r\n" % (key, flag), b"HD Z\r\nMN\r\n")

    def test_g6_replies_in_pieces_of_1(self):
        self.pieces(1)

    def test_g6_replies_in_pieces_of_3(self):
        self.pieces(3)

    def test_g6_replies_in_pieces_of_7(self):
        self.pieces(7)

    def test_g6_replies_in_pieces_of_50(self):
        self.pieces(50)


class Lies(harness.Test):
    """Servers that answer the pair of an mg with what they may not."""

    def setUp(self):
        super().setUp()
        self.server = Fake()
        self.addCleanup(self.server.close)
        self.crossfade = self.daemon(harness.cache_config(self.server, coherence="epoch", timeouts=PATIENT))
        self.py3 = self.crossfade.wire("py3")

    def script(self, answers):
        def perform(unused_connection, line, unused_value):
            if line.startswith(b"ms crossfade "):
                return [b"CLIENT_ERROR invalid mode for ms M token\r\n"]
            if line == b"mn":
                return []
            for begin, steps in answers:
                if line.startswith(begin):
                    mark = line.rsplit(b" O", 1)[-1]
                    return [step.replace(b"MARK", mark) if isinstance(step, bytes) else step for step in steps]
            return [b"EN\r\n"] if line.startswith(b"mg ") else None
        self.server.script = perform

    def test_g6_a_reply_that_does_not_fit_closes_the_connection(self):
        epoch, value = b"mg cf~:e:k", b"mg cf~py3.0:k"
        token = b"t" * 16 + b"\0" * 16
        seen = (epoch, [b"VA 32 OMARK\r\n" + token + b"\r\n"])
        stamped = b"t" * 16 + b"\0" * 4
        for answers in ([(epoch, [b"HD OMARK\r\n"])], [(epoch, [b"VA 32 Offffffff\r\n" + token + b"\r\n"])],
                        [(epoch, [b"VA 32\r\n" + token + b"\r\n"])], [(epoch, [b"NF OMARK\r\n"])],
                        [(epoch, [b"VA 5 OMARK\r\n" + token + b"\r\n"])], [(epoch, [b"VA 32 OMARK\r\n" + token, CLOSE])],
                        [(epoch, [b"END\r\n"])], [(epoch, [b"EN\r\nEN\r\n"])], [(epoch, [b"STORED\r\n"])],
                        [seen, (value, [b"HD c1 OMARK\r\n"])], [seen, (value, [b"VA 21 c1 Offffffff\r\n" + stamped + b"x\r\n"])],
                        [seen, (value, [b"VA 21 c1 OMARK\r\n" + stamped + b"xyz\r\n"])],
                        [seen, (value, [b"VA 21 c1 OMARK\r\n" + stamped, CLOSE])],
                        [seen, (value, [b"VA 100000 c1 OMARK\r\n" + stamped, CLOSE])],
                        [seen, (value, [b"VA 100000 c1 OMARK\r\n" + b"u" * 20, CLOSE])],
                        [seen, (value, [b"VA 100000 c1 OMARK\r\n" + b"u" * 100004])]):
            self.script(answers)
            reply = self.py3.send(b"mg k\r\nmn\r\n").until(b"MN\r\n")
            self.assertEqual(b"EN\r\nMN\r\n", reply, answers)
            harness.eventually(lambda: self.py3.send(b"mg a\r\n").line() == b"EN\r\n" and
                               self.crossfade.show("servers")[0]["state"] == "up", "the connection's return")

    def test_an_item_that_is_always_in_the_way_of_n(self):
        asked = []

        def count(unused_connection, line, unused_value):
            asked.append(line.split(b" O")[0])
        self.script([(b"mg cf~:e:k", [b"VA 32 OMARK\r\n" + b"t" * 16 + b"\0" * 16 + b"\r\n"]),
                     (b"mg cf~py3.0:k", [b"VA 21 c5 OMARK\r\n" + b"u" * 21 + b"\r\n"]),
                     (b"md cf~py3.0:k C5", [b"EX OMARK\r\n"])])
        answer = self.server.script
        self.server.script = lambda *words: count(*words) or answer(*words)
        self.py3.talk(b"mg k N30 v k\r\n", b"EN kk\r\n")
        pair = [b"mg cf~:e:k v", b"mg cf~py3.0:k N30 v c"]
        self.assertLessEqual(len(asked), 30)
        self.assertEqual(4, sum(line.startswith(b"md cf~py3.0:k C5") for line in asked), asked)


if __name__ == "__main__":
    harness.main()
