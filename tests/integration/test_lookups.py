"""What a memcache client can ask the daemon about its decisions."""
import base64
import json
import re

import harness
import control_talk

REFUSED = b"CLIENT_ERROR keys under __crossfade__/ can only be read\r\n"


HALF = [{"name": "developers", "allow": [{"cookie": "dev=1"}]}, {"name": "half", "percent": 50}]


class Lookups(control_talk.Test):
    def ask(self, wire, key):
        """The value of a lookup, or None for a miss."""
        reply = wire.send(b"get __crossfade__/" + key + b"\r\n").until(b"END\r\n")
        found = re.match(rb"VALUE __crossfade__/(\S*) 0 (\d+)\r\n(.*)\r\nEND\r\n$", reply, re.S)
        if found is None:
            self.assertEqual(b"END\r\n", reply)
            return None
        self.assertEqual((key, len(found.group(3))), (found.group(1), int(found.group(2))))
        return found.group(3)

    def why(self, identity):
        return json.loads(self.running.ctl("--json", "why", identity))["arm"].encode()

    def test_arm_of_an_identity_follows_the_rollout_at_once(self):
        config = self.everything(HALF)
        config["rollout"]["deny"] = [{"header": "X-User-Id: banned"}]
        self.running = daemon = self.daemon(config)
        wires = [daemon.wire("py2"), daemon.wire("py3")]  # from before every step
        people = [b"user-%d" % n for n in range(60)] + [b"banned", b"J\xc3\xbcrgen", b"a/b?c=d&e"]

        def arms():
            answers = [{who: self.ask(wire, b"arm/" + who) for who in people} for wire in wires]
            self.assertEqual(answers[0], answers[1])
            return answers[0]
        self.assertEqual({b"py2"}, set(arms().values()))
        daemon.ctl("start", "--reason", "test")
        self.assertEqual({b"py2"}, set(arms().values()))
        daemon.ctl("advance", "--reason", "test")
        half = arms()
        self.assertEqual({b"py2", b"py3"}, set(half.values()))
        self.assertEqual(b"py2", half[b"banned"])
        for who in (b"user-1", b"user-2", b"user-3", b"banned"):
            self.assertEqual(half[who], self.why(who.decode()))
        # Who comes by the web is given the same.
        for who in people[:20] + [b"banned"]:
            web = daemon.wire("web").send(b"GET / HTTP/1.1\r\nHost: h\r\nX-User-Id: %s\r\n"
                                          b"Connection: close\r\n\r\n" % who).rest()
            self.assertIn(b"\r\nX-Crossfade-Arm: %s\r\n" % half[who], web)
        daemon.ctl("abort", "--reason", "test")
        self.assertEqual({b"py2"}, set(arms().values()))

    def test_identities_that_no_key_can_hold(self):
        self.running = daemon = self.daemon(self.everything(HALF))
        daemon.ctl("start", "--reason", "test")
        daemon.ctl("advance", "--reason", "test")
        wire = daemon.wire("py2")
        seen = set()
        for n in range(30):
            who = "Ann \n\x00 %d\xff?>" % n
            raw = who.encode("latin-1")
            answers = {self.ask(wire, b"arm64/" + each) for each in (
                base64.b64encode(raw), base64.urlsafe_b64encode(raw),
                base64.urlsafe_b64encode(raw).rstrip(b"="))}
            self.assertEqual(1, len(answers))
            seen |= answers
        self.assertEqual({b"py2", b"py3"}, seen)
        self.assertEqual(self.ask(wire, b"arm/user-1"),
                         self.ask(wire, b"arm64/" + base64.b64encode(b"user-1")))
        for nonsense in (b"arm64/", b"arm64/A", b"arm64/!!!!", b"arm64/AB==C", b"arm/"):
            self.assertIsNone(self.ask(wire, nonsense), nonsense)

    def test_about_the_client_itself(self):
        memcached = self.memcached()
        self.running = daemon = self.daemon(harness.cache_config(memcached))
        for arm in (b"py2", b"py3"):
            wire = daemon.wire(arm.decode())
            self.assertEqual(arm, self.ask(wire, b"arm"))
            # Without a rollout everybody has the arm that asks.
            self.assertEqual(arm, self.ask(wire, b"arm/4711"))
            prefix = self.ask(wire, b"namespace")
            self.assertEqual(arm == b"py2", prefix == b"")
            wire.talk(b"set k 0 0 1\r\nx\r\n", b"STORED\r\n")
            memcached.wire().talk(b"get %sk\r\n" % prefix, b"VALUE %sk 0 1\r\nx\r\nEND\r\n" % prefix)
            for miss in (b"", b"armed", b"arm64", b"Version", b"namespace/", b"x" * 200):
                self.assertIsNone(self.ask(wire, miss), miss)
        version = self.ask(wire, b"version").decode()
        self.assertEqual(version, json.loads(daemon.ctl("--json", "version"))["version"])
        # A flush is seen by connections that were there before.
        daemon.ctl("flush", "py3")
        self.assertNotEqual(prefix, self.ask(wire, b"namespace"))

    def test_among_other_keys_in_their_order(self):
        memcacheds = [self.memcached() for _ in range(3)]
        self.running = daemon = self.daemon(harness.cache_config(*memcacheds))
        wire = daemon.wire("py3")
        for n in range(8):
            wire.talk(b"set k%d 3 0 1\r\n%d\r\n" % (n, n), b"STORED\r\n")
        value = b"VALUE k%d 3 1\r\n%d\r\n"
        arm = b"VALUE __crossfade__/arm 0 3\r\npy3\r\n"
        asked = b"get __crossfade__/arm k0 k1 __crossfade__/none k2 __crossfade__/arm k3 k4 zz k5 k6 k7"
        values = [value % (n, n) for n in range(8)]
        wanted = arm + b"".join(values[:3]) + arm + b"".join(values[3:]) + b"END\r\n"
        whole = asked + b"\r\n"
        wire.talk(whole, wanted)
        wire.talk(asked + b" __crossfade__/arm\r\n", wanted[:-5] + arm + b"END\r\n")
        wire.talk(whole * 40, wanted * 40)
        wire.talk(b"get __crossfade__/nothing\r\nget k1 __crossfade__/nothing\r\n",
                  b"END\r\n" + values[1] + b"END\r\n")
        for at in range(1, len(whole)):
            wire.send(whole[:at])
            wire.talk(whole[at:], wanted)
        # The cas number changes with what is decided by.
        numbers = set()
        for verb in (b"gets", b"gats 0"):
            reply = wire.send(verb + b" __crossfade__/arm k0\r\n").until(b"END\r\n")
            found = re.match(rb"VALUE __crossfade__/arm 0 3 (\d+)\r\npy3\r\nVALUE k0 3 1 \d+\r\n0\r\nEND", reply)
            numbers.add(found.group(1))
        self.assertEqual(1, len(numbers))
        daemon.ctl("flush", "py3")
        self.assertNotIn(b" 3 %s\r\n" % numbers.pop(),
                         wire.send(b"gets __crossfade__/arm\r\n").until(b"END\r\n"))
        wire.talk(b"gat 0 __crossfade__/arm\r\n", arm + b"END\r\n")
        # Also while the servers are gone.
        for memcached in memcacheds:
            memcached.kill()
        wire.talk(b"get k1 __crossfade__/arm k2\r\n", arm + b"END\r\n")

    def test_nothing_can_be_written_or_reaches_a_server(self):
        memcached = self.memcached()
        self.running = daemon = self.daemon(harness.cache_config(memcached, keys=[
            {"match": "__cross*", "scope": "shared"}]))
        for arm in ("py2", "py3"):
            wire = daemon.wire(arm)
            for key in (b"__crossfade__/arm", b"__crossfade__/arm/1", b"__crossfade__/", b"__crossfade__/x"):
                for verb in (b"set", b"add", b"replace", b"append", b"prepend", b"cas"):
                    for size in (9, 100000, 2000000):
                        tail = b" 1" if verb == b"cas" else b""
                        line = b"%s %s 0 0 %d%s\r\n" % (verb, key, size, tail)
                        value = (b"delete x\n" + b"v" * size)[:size] + b"\r\n"
                        wire.talk(line + value, REFUSED)
                        quiet = line.replace(b"\r\n", b" noreply\r\n")
                        wire.talk(quiet + value + b"version x\r\nincr k 1\r\n", b"VERSION 1.6.18-crossfade-%s\r\nNOT_FOUND\r\n"
                                  % json.loads(daemon.ctl("--json", "version"))["version"].encode())
                for line in (b"delete %s", b"incr %s 1", b"decr %s 1", b"touch %s 0"):
                    wire.talk(line % key + b"\r\n", REFUSED)
                    wire.talk(line % key + b" noreply\r\nincr k 1\r\n", b"NOT_FOUND\r\n")
        dump = memcached.wire().send(b"lru_crawler metadump all\r\n").until(b"END\r\n")
        self.assertEqual(b"END\r\n", dump)
        refused = [row["refused"] for row in daemon.show("cache")]
        self.assertGreater(min(refused), 100)

    def test_explain_says_what_they_are(self):
        self.running = daemon = self.daemon(harness.cache_config(self.memcached()))
        for row in json.loads(daemon.ctl("--json", "explain", "__crossfade__/arm/1")):
            self.assertIn("daemon", row["key_on_server"])


if __name__ == "__main__":
    harness.main()
