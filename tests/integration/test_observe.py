"""`show suggest`: what real clients do is found in the traffic, and what it prints can be used as it is."""
import base64
import os
import re
import subprocess
import threading

import harness
import test_clients

TRAFFIC = os.path.join(harness.HERE, "clients", "traffic.py")
# For these all commands are looked at; how the sample is drawn is another test's.
ALL = {"observe": 1000000}


def setUpModule():
    test_clients.setUpModule()


def tearDownModule():
    test_clients.tearDownModule()


def families(daemon):
    return {row["family"]: row for row in daemon.show("suggest")["families"]}


class Suggest(harness.Test):
    def traffic(self, major, library, port):
        found = test_clients.found
        done = subprocess.run([found.command(major), TRAFFIC, library, "127.0.0.1:%d" % port],
                              env=found.environment(major), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=60)
        self.assertEqual((b"done", 0), (done.stdout.strip(), done.returncode), done.stderr.decode())

    def check(self, rows, pickles, arms):
        kinds = {name: (row["kind"], row.get("match"), row["state"]) for name, row in rows.items()}
        self.assertEqual({
            "rl:*.*.*.*:login": ("counter", "rl:*", "suggested"),
            "lock:invoice:*": ("lock", "lock:invoice:*", "suggested"),
            "sess:*": ("mutate", "sess:*", "suggested"),
            "profile:*": ("none", None, "none"),
            "count:*": ("may_share", "count:*", "suggested"),
            "doc:*": ("may_share", "doc:*", "suggested"),
        }, kinds)
        self.assertEqual(pickles, set(rows["sess:*"]["values"]))
        self.assertEqual({"integers"}, set(rows["count:*"]["values"]))
        self.assertEqual({"JSON"}, set(rows["doc:*"]["values"]))
        self.assertEqual(set(arms), set(rows["rl:*.*.*.*:login"]["arms"]))
        for name, wanted in (("rl:*.*.*.*:login", {"add": 150, "incr_decr": 150}),
                             ("lock:invoice:*", {"add": 150, "delete": 150, "get": 0}),
                             ("sess:*", {"set": 300, "set_after_miss": 0}),
                             ("profile:*", {"get": 300, "set": 0, "set_after_miss": 150})):
            for command, times in wanted.items():
                self.assertEqual(times * len(arms), rows[name]["by_command"][command], (name, command))
        self.assertEqual(150 * len(arms), rows["lock:invoice:*"]["adds_within_an_hour"])

    def test_python_3_alone(self):
        libraries = list(test_clients.found.libraries[3])
        if "pylibmc" in libraries:
            libraries.append("pylibmc-binary")
        for library in libraries:
            if library == "pymemcache":
                continue
            memcached = self.memcached()
            daemon = self.daemon(harness.cache_config(memcached, client_profile="python", **ALL))
            self.traffic(3, library, daemon.port("py3"))
            self.check(families(daemon), {"pickles of protocol 5"}, ["py3"])
            daemon.stop()
            daemon.wait()

    def test_both_pythons_and_the_rules_in_force(self):
        memcached = self.memcached()
        config = harness.cache_config(memcached, client_profile="python", keys=[], **ALL)
        daemon = self.daemon(config)
        majors = [major for major in (2, 3) if "python-memcached" in test_clients.found.libraries[major]]
        if len(majors) < 2:
            self.skipTest("there is no Python 2 with python-memcached")
        self.traffic(2, "python-memcached", daemon.port("py2"))
        self.traffic(3, "python-memcached", daemon.port("py3"))
        self.check(families(daemon), {"pickles of protocol 2", "pickles of protocol 5"}, ["py2", "py3"])
        text = daemon.ctl("show", "suggest")
        # What it prints is a part of the file: put there, it is in force, and settled.
        self.assertIn("\nkeys:\n", text)
        rules = re.findall(r'^  - \{ match: "([^"]*)", (\w+): (\w+) \}$', text, re.M)
        self.assertEqual({("rl:*", "scope", "shared"), ("lock:invoice:*", "scope", "shared"),
                          ("sess:*", "writes", "mutate")}, set(rules))
        config["cache"]["keys"] = [{"match": match, key: value} for match, key, value in rules]
        daemon.write(config)
        daemon.ctl("reload")
        rows = families(daemon)
        self.assertEqual({"settled"}, {rows[name]["state"] for name in (
            "rl:*.*.*.*:login", "lock:invoice:*", "sess:*")})
        self.assertNotIn("  - {", daemon.ctl("show", "suggest"))
        # The limit is one now: both versions count in it.
        wires = [daemon.wire(arm) for arm in ("py2", "py3")]
        wires[0].talk(b"set rl:10.9.9.9:login 0 0 1\r\n0\r\n", b"STORED\r\n")
        wires[1].talk(b"incr rl:10.9.9.9:login 1\r\n", b"1\r\n")
        wires[0].talk(b"incr rl:10.9.9.9:login 1\r\n", b"2\r\n")


class OneArm(harness.Test):
    """Before there is a second version, it is known already what its rules will have to be."""

    def test_misses_are_told_from_none(self):
        config = harness.cache_config(self.memcached(), **ALL)
        config["arms"] = config["arms"][:1]
        config["cache"]["listen"] = config["cache"]["listen"][:1]
        daemon = self.daemon(config)
        wire = daemon.wire("py2")
        for n in range(30):
            wire.talk(b"get fill:%d\r\n" % n, b"END\r\n")
            wire.talk(b"set fill:%d 0 0 1\r\nx\r\nset sess:%d 0 0 1\r\nx\r\n" % (n, n),
                      b"STORED\r\nSTORED\r\n")
        rows = families(daemon)
        self.assertEqual(("none", "mutate"), (rows["fill:*"]["kind"], rows["sess:*"]["kind"]))
        self.assertEqual(30, rows["fill:*"]["by_command"]["set_after_miss"])


class Protocols(harness.Test):
    def test_meta_is_seen_like_the_others(self):
        daemon = self.daemon(harness.cache_config(self.memcached(), client_profile="python", **ALL))
        wire = daemon.wire("py3")

        def name(text):
            return base64.b64encode(text)
        for n in range(12):
            wire.talk(b"mg fill:%d v\r\n" % n, b"EN\r\n")
            wire.talk(b"ms fill:%d 2 F1 T60\r\n\x80\x05\r\n" % n, b"HD\r\n")
            wire.talk(b"ms %s 2 b F1\r\n\x80\x02\r\n" % name(b"sess:a b:%d" % n), b"HD\r\n")
            wire.talk(b"ms lock:%d 1 ME T30\r\nx\r\nmd lock:%d\r\n" % (n, n), b"HD\r\nHD\r\n")
            wire.talk(b"ma hits:%d N0\r\n" % n, b"HD\r\n")
        rows = families(daemon)
        kinds = {family: row["kind"] for family, row in rows.items()}
        self.assertEqual({"fill:*": "none", "sess:a b:*": "mutate", "lock:*": "lock", "hits:*": "counter"},
                         kinds)
        self.assertEqual((12, 12), tuple(rows["fill:*"]["by_command"][each]
                                         for each in ("get", "set_after_miss")))
        self.assertEqual({"pickles of protocol 5": 12}, rows["fill:*"]["values"])
        self.assertEqual({"pickles of protocol 2": 12}, rows["sess:a b:*"]["values"])
        self.assertEqual(12, rows["lock:*"]["adds_within_an_hour"])


class Sample(harness.Test):
    """Raw traffic, and how it is looked at."""

    def test_a_sample_stands_for_all_of_the_traffic(self):
        daemon = self.daemon(harness.cache_config(self.memcached(), observe=1000))
        wires = [daemon.wire("py3") for _ in range(4)]  # both workers

        def send(wire):
            for _ in range(40):
                wire.send(b"get user:1\r\n" * 300 + b"incr hits:1 1\r\n" * 100 + b"delete user:2\r\n" * 100)
                wire.expect((b"END\r\n" * 300) + (b"NOT_FOUND\r\n" * 200))
        threads = [threading.Thread(target=send, args=(wire,)) for wire in wires]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        shown = daemon.show("suggest")
        total = 4 * 40 * 500
        # What was skipped since the last one that was looked at is not known yet.
        self.assertLessEqual(shown["commands"], total)
        self.assertGreater(shown["commands"], total * 0.7)
        self.assertLess(shown["looked_at"], total / 4)
        rows = {row["family"]: row for row in shown["families"]}
        self.assertEqual("counter", rows["hits:*"]["kind"])
        share = rows["user:*"]["by_command"]["get"] / shown["commands"]
        self.assertTrue(0.4 < share < 0.8, share)

    def test_turned_off_nothing_is_seen_and_on_again(self):
        config = harness.cache_config(self.memcached(), observe=0)
        daemon = self.daemon(config)
        wire = daemon.wire("py3")
        wire.talk(b"incr a 1\r\n" * 500, b"NOT_FOUND\r\n" * 500)
        self.assertEqual({"commands": 0, "looked_at": 0, "families": []}, daemon.show("suggest"))
        self.assertIn("cache.observe is 0", daemon.ctl("show", "suggest"))
        config["cache"].update(ALL)
        daemon.write(config)
        daemon.ctl("reload")
        wire.talk(b"incr a 1\r\n" * 500, b"NOT_FOUND\r\n" * 500)
        self.assertEqual(500, daemon.show("suggest")["commands"])
        config["cache"]["observe"] = 0
        daemon.write(config)
        daemon.ctl("reload")
        wire.talk(b"incr a 1\r\n" * 500, b"NOT_FOUND\r\n" * 500)
        self.assertEqual(500, daemon.show("suggest")["commands"])

    def test_large_values_and_odd_keys(self):
        daemon = self.daemon(harness.cache_config(self.memcached(), client_profile="python",
                                                  max_value="2m", **ALL))
        wire = daemon.wire("py3")
        for n in range(12):
            wire.talk(b"set big:%d 1 0 200000\r\n%s\r\n" % (n, b"\x80\x05".ljust(200000, b"x")),
                      b"STORED\r\n")
            wire.talk(b"set huge:%d 1 0 3000000\r\n%s\r\n" % (n, b"\x80\x05".ljust(3000000, b"x")),
                      b"SERVER_ERROR object too large for cache\r\n")
            wire.talk(b"add \xff\xfe:%d 0 4000000000 1\r\n1\r\n" % n, b"STORED\r\n")
            wire.talk(b"incr %s 1\r\n" % (b"k" * 250), b"NOT_FOUND\r\n")
        rows = families(daemon)
        self.assertEqual({"pickles of protocol 5": 12}, rows["big:*"]["values"])
        self.assertEqual(12, rows["big:*"]["by_command"]["set"])
        self.assertEqual("k" * 63 + "*", rows["k" * 63 + "*"]["match"])
        self.assertEqual("\\xff\\xfe:0", rows["\\xff\\xfe:*"]["example"])
        self.assertEqual(0, rows["\\xff\\xfe:*"]["adds_within_an_hour"])
        self.assertTrue(daemon.ctl("show", "suggest").startswith("# Learnt from "))


if __name__ == "__main__":
    harness.main()
