"""crossfadectl explain: what a key's server holds of it, asked through a worker while all goes on."""
import base64
import json
import os
import threading
import time

import control_talk
import harness


class Explain(control_talk.Test):
    def begin(self, coherence="epoch", **cache):
        self.server = self.memcached()
        source = harness.cache_config(self.server, coherence=coherence, **cache)
        source["cache"]["keys"] += [{"match": "fan:*", "coherence": "fanout"},
                                    {"match": "alone:*", "coherence": "none"}]
        self.running = self.daemon(source)
        return self.running

    def rows(self, key, *options):
        rows = json.loads(self.running.ctl("--json", *options, "explain", key))
        return {row["arm"]: row for row in rows}

    def values(self, key):
        return {arm: row["value"] for arm, row in self.rows(key).items()}

    def fill(self, arm, key, value=b"x", exptime=0):
        wire = self.running.wire(arm)
        wire.talk(b"get %s\r\n" % key, b"END\r\n")
        wire.talk(b"set %s 5 %d %d\r\n%s\r\n" % (key, exptime, len(value), value), b"STORED\r\n")

    def test_of_a_key_in_epoch_mode(self):
        daemon = self.begin()
        rows = self.rows("k")
        for row in rows.values():
            self.assertEqual(("none", "none"), (row["epoch"], row["value"]))
            self.assertNotIn("item", row)
        self.fill("py2", b"k", b"hello")
        rows = self.rows("k")
        self.assertEqual(("current", 5, "never", "a read"), tuple(
            rows["py2"][name] for name in ("value", "bytes", "expires_in", "epoch_written_by")))
        self.assertEqual("none", rows["py3"]["value"])
        self.assertEqual(rows["py2"]["epoch"], rows["py3"]["epoch"])
        self.assertRegex(rows["py2"]["epoch"], "^[0-9a-f]{32}$")
        self.assertLessEqual(0, rows["py2"]["epoch_age"])
        self.assertLess(rows["py2"]["epoch_age"], 60)
        self.fill("py3", b"k", b"hello!", 1000)
        rows = self.rows("k")
        self.assertEqual({"current"}, {row["value"] for row in rows.values()})
        self.assertEqual(6, rows["py3"]["bytes"])
        self.assertIn(rows["py3"]["expires_in"], range(900, 1001))
        before = rows["py3"]["epoch"]
        daemon.wire("py3").talk(b"set k 5 0 3\r\nnew\r\n", b"STORED\r\n")
        rows = self.rows("k")
        self.assertEqual({"py2": "stale", "py3": "current"}, self.values("k"))
        self.assertEqual("a change", rows["py3"]["epoch_written_by"])
        self.assertNotEqual(before, rows["py3"]["epoch"])
        daemon.wire("py2").send(b"delete k\r\n").line()
        rows = self.rows("k")
        self.assertEqual({"py2": "none", "py3": "stale"}, self.values("k"))
        self.assertEqual("a delete", rows["py2"]["epoch_written_by"])
        # The epoch item is lost: nothing that was stored under it counts.
        wire = self.server.wire()
        wire.talk(b"delete cf~:e:k\r\n", b"DELETED\r\n")
        self.assertEqual({"py2": "none", "py3": "stale"}, self.values("k"))
        self.assertEqual("none", self.rows("k")["py2"]["epoch"])
        wire.talk(b"set cf~:e:k 1 0 5\r\nhello\r\n", b"STORED\r\n")
        self.assertEqual("not of crossfade's form", self.rows("k")["py2"]["epoch"])
        self.assertEqual("stale", self.values("k")["py3"])

    def test_of_the_entry_that_hosts_without_crossfade_have(self):
        self.begin()
        self.assertEqual({"none"}, {row["unprefixed"] for row in self.rows("k").values()})
        self.server.wire().talk(b"set k 0 0 1\r\nx\r\n", b"STORED\r\n")
        self.assertEqual({"there"}, {row["unprefixed"] for row in self.rows("k").values()})
        self.assertEqual({"py2": "none", "py3": "none"}, self.values("k"))
        self.assertNotIn("unprefixed", self.rows("fan:k")["py2"])

    def test_what_it_says_is_what_a_client_gets(self):
        daemon = self.begin()
        for n in range(40):
            key = b"k%d" % (n % 5)
            daemon.wire("py2" if n % 3 else "py3").send(
                [b"get %s\r\n" % key, b"delete %s\r\n" % key,
                 b"set %s 0 0 1\r\nx\r\n" % key][n * 7 % 11 % 3]).line()
            said = self.values(key.decode())
            for arm in ("py2", "py3"):
                got = daemon.wire(arm).send(b"get %s\r\n" % key).line()
                self.assertEqual(said[arm] == "current", got != b"END\r\n", (n, arm, said))

    def test_of_keys_in_other_modes(self):
        daemon = self.begin()
        for key, others in ((b"fan:k", "py3"), (b"alone:k", "")):
            self.assertEqual({"py2": "none", "py3": "none"}, self.values(key.decode()))
            daemon.wire("py2").talk(b"add %s 0 0 4\r\nabcd\r\n" % key, b"STORED\r\n")
            rows = self.rows(key.decode())
            self.assertEqual(("there", 4, "none"), (rows["py2"]["value"], rows["py2"]["bytes"],
                                                    rows["py3"]["value"]))
            self.assertEqual(others, rows["py2"]["invalidates"])
            self.assertNotIn("epoch", rows["py2"])
        daemon.wire("py2").talk(b"set shared:k 0 0 1\r\nx\r\n", b"STORED\r\n")
        self.assertEqual({"py2": "there", "py3": "there"}, self.values("shared:k"))
        self.assertNotIn("value", self.rows("__crossfade__/arm/1")["py2"])
        self.assertIn("there", daemon.ctl("explain", "fan:k"))
        self.assertNotIn("EPOCH ", daemon.ctl("explain", "fan:k"))

    def test_the_table_has_the_epoch(self):
        daemon = self.begin()
        self.fill("py2", b"k")
        text = daemon.ctl("explain", "k")
        for word in ("EPOCH", "AGE", "WRITTEN BY", "current", "a read", self.rows("k")["py2"]["epoch"]):
            self.assertIn(word, text)

    def test_keys_that_are_long_or_no_text(self):
        daemon = self.begin()
        self.fill("py3", b"k" * 250, b"long")
        self.assertEqual({"py2": "none", "py3": "current"}, self.values("k" * 250))
        # A key that only base64 can name is asked for by meta, once the server has spoken it.
        key = base64.b64encode(b"a b\n").decode()
        said = self.rows(key, "--base64")
        self.assertIn(said["py3"]["value"], ("none", "unknown"))
        self.assertEqual("none", said["py3"]["epoch"])
        daemon.wire("py3").talk(b"mg %s b v\r\n" % key.encode(), b"EN\r\n")

    def test_a_server_that_is_down(self):
        daemon = self.begin()
        self.fill("py2", b"k")
        self.server.kill()
        row = self.rows("k")["py2"]
        self.assertEqual("unknown", row["value"])
        self.assertNotIn("epoch", row)
        self.assertGreater(len(row["value_unknown_because"]), 10)
        self.assertIn("What is there is not known: ", daemon.ctl("explain", "k"))
        self.server.start()

        def known():
            return self.values("k") == {"py2": "none", "py3": "none"}
        harness.eventually(known, "the server's return")

    def test_reads_that_are_held_back_for_what_the_server_was_not_told(self):
        daemon = self.begin()
        self.fill("py2", b"k")

        def held():
            return {key: self.rows(key)["py2"]["held_back"] for key in ("k", "fan:k", "alone:k")}
        self.assertEqual({False}, set(held().values()))
        self.server.kill()
        self.assertIn(b"SERVER_ERROR", daemon.wire("py2").send(b"delete k\r\n").line())
        self.assertEqual({"k": True, "fan:k": True, "alone:k": False}, held())
        self.server.start()
        harness.eventually(lambda: not any(held().values()), "the replay")

    def test_an_epoch_item_that_is_not_believed(self):
        daemon = self.begin()
        self.fill("py2", b"k")
        self.assertEqual("current", self.values("k")["py2"])
        # Nobody knows what the server was not told.
        daemon.stop()
        with open(os.path.join(self.folder, "state", "journal"), "wb") as file:
            file.write(b"nonsense" * 1000)
        daemon.start()
        row = self.rows("k")["py2"]
        self.assertEqual("stale", row["value"])
        self.assertIn("not believed", row["epoch"])
        daemon.wire("py2").talk(b"get k\r\n", b"END\r\n")

    def test_a_server_that_stands_still_holds_up_nobody_but_who_asked(self):
        self.begin(timeouts={"connect": "250ms", "request": "1s"})
        self.fill("py2", b"k")
        talk, other = self.talk(), self.talk()
        talk.ok("version")
        self.server.freeze()
        # Behind it in the line, and behind that line: all is answered in order.
        talk.send(b"explain k --json; version\nshow arms --json\n")
        begun = time.monotonic()
        for _ in range(20):
            other.ok("version")
            other.ok("show servers")
        answered = []
        reader = threading.Thread(target=lambda: answered.append(talk.reply()))
        reader.start()
        reader.join(harness.WAIT)
        self.assertEqual({"unknown"}, {row["value"] for row in json.loads(answered[0].lines[0])})
        self.assertTrue(talk.reply().ok)
        self.assertEqual(2, len(talk.reply().json))
        self.assertLess(time.monotonic() - begun, harness.WAIT)
        self.server.thaw()

    def test_who_asks_and_goes_away_leaves_nothing_behind(self):
        self.begin()
        self.server.freeze()
        for n in range(40):
            with self.talk() as talk:
                talk.send(b"explain k%d; version\n" % n)
        # So many are under way that no more are begun, and that is said.
        self.assertIn("unknown", self.talk().ok("explain k --json").text)
        self.server.thaw()
        harness.eventually(lambda: self.values("k") == {"py2": "none", "py3": "none"}, "an answer")

    def test_it_may_be_under_way_at_a_reload_and_at_the_end(self):
        daemon = self.begin(timeouts={"connect": "2s", "request": "8s"})
        self.fill("py2", b"k")
        self.server.freeze()
        talk = self.talk()
        talk.send(b"explain k\n")
        other = self.talk()
        other.ok("reload")
        other.ok("flush py3")
        other.send(b"explain k; version\n")
        self.talk().ok("version")
        daemon.child.terminate()
        daemon.wait(0)
        self.server.thaw()

    def test_many_in_a_line_and_many_lines_are_answered_in_order(self):
        self.begin()
        talk = self.talk()
        talk.send(b"".join(b"; ".join(b"explain k%d --json" % (n + i) for i in range(20)) + b"\n"
                           for n in range(0, 400, 20)))
        for n in range(400):
            row = talk.reply().json[1]
            self.assertTrue(row["key_on_server"].endswith(":k%d" % n), (n, row))
            self.assertEqual("none", row["value"])
        # Bytes at any place of the line that waits are what they would be without waiting.
        talk.send(b"explain k --json; version \x01; version\n")
        self.assertTrue(talk.reply().ok)
        self.assertFalse(talk.reply().ok)
        talk.ok("version")

    def test_half_closed_peers_are_answered(self):
        self.begin()
        with self.talk() as talk:
            talk.send(b"explain k --json; version\nversion\n").shut_write()
            replies = talk.rest().split(b"\n\n")
        self.assertEqual(4, len(replies), replies)
        self.assertIn(b'"value":"none"', replies[0])


if __name__ == "__main__":
    harness.main()
