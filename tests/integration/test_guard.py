"""G8: a guarded rule keeps values out of shared keys that one of the runtimes cannot read."""
import subprocess

import harness

REFUSED = b"CLIENT_ERROR this pickle cannot be read by every version that shares the key\r\n"
BAD = b"\x80\x05\x95" + b"x" * 20 + b"\r\n."
GOOD = b"\x80\x02}q\x01."


class Guard(harness.Test):
    def setUp(self):
        super().setUp()
        self.server = self.memcached()
        self.crossfade = self.daemon(harness.cache_config(
            self.server, client_profile="python", max_value="2m",
            keys=[{"match": "json:*", "scope": "shared", "guard": True},
                  {"match": "open:*", "scope": "shared"}]))

    def counted(self):
        return sum(row["guarded"] for row in self.crossfade.show("cache"))

    def test_g8_pickles_of_protocol_3_and_above_are_refused(self):
        wire = self.crossfade.wire("py3")
        wire.talk(b"set json:a 1 0 %d\r\n%s\r\n" % (len(GOOD), GOOD), b"STORED\r\n")
        refused = 0
        for verb in (b"set", b"add", b"replace", b"cas"):
            tail = b" 1" if verb == b"cas" else b""
            for flags in (1, 17, 0x10001):
                line = b"%s json:a %d 0 %d%s" % (verb, flags, len(BAD), tail)
                wire.talk(line + b"\r\n" + BAD + b"\r\n", REFUSED)
                wire.talk(line + b" noreply\r\n" + BAD + b"\r\nincr json:b 1\r\n", b"NOT_FOUND\r\n")
                refused += 2
        self.assertEqual(refused, self.counted())
        # What was there stays, and nothing else has come.
        self.server.wire().talk(b"get json:a\r\n", b"VALUE json:a 1 %d\r\n%s\r\nEND\r\n" % (len(GOOD), GOOD))
        for key, flags, value in ((b"json:x", 0, BAD), (b"json:x", 16, BAD), (b"json:x", 9, BAD),
                                  (b"json:x", 1, b"(dp1\n."), (b"json:x", 1, b"\x80"), (b"json:x", 1, b""),
                                  (b"open:x", 1, BAD), (b"other", 1, BAD)):
            wire.talk(b"set %s %d 0 %d\r\n%s\r\n" % (key, flags, len(value), value), b"STORED\r\n")
            wire.talk(b"get %s\r\n" % key,
                      b"VALUE %s %d %d\r\n%s\r\nEND\r\n" % (key, flags, len(value), value))
        # What is put in front of a value, or behind it, is none.
        wire.talk(b"append json:a 1 0 2\r\n\x80\x05\r\nprepend json:a 1 0 2\r\n\x80\x05\r\n",
                  b"STORED\r\nSTORED\r\n")
        self.assertEqual(refused, self.counted())

    def test_g8_values_that_stream_are_judged_by_their_first_bytes(self):
        wire = self.crossfade.wire("py3")
        big = b"\x80\x05" + b"delete json:a\r\n" * 10000
        wire.talk(b"set json:a 0 0 1\r\nx\r\n", b"STORED\r\n")
        line = b"set json:a 1 0 %d\r\n" % len(big)
        wire.talk(line + big + b"\r\n" + b"get json:a\r\n", REFUSED + b"VALUE json:a 0 1\r\nx\r\nEND\r\n")
        for at in range(len(line) - 3, len(line) + 4):
            wire.send((line + big)[:at])
            wire.talk((line + big)[at:] + b"\r\n", REFUSED)
        wire.talk(line.replace(b"\r\n", b" noreply\r\n") + big + b"\r\nget json:a\r\n",
                  b"VALUE json:a 0 1\r\nx\r\nEND\r\n")
        fine = b"\x80\x02" + b"x" * 100000
        line = b"set json:a 1 0 %d\r\n" % len(fine)
        for at in range(len(line) - 3, len(line) + 4):
            wire.send((line + fine)[:at])
            wire.talk((line + fine)[at:] + b"\r\n", b"STORED\r\n")
        # Too large is too large.
        huge = b"\x80\x05" + b"x" * (2 << 20)
        wire.talk(b"set json:a 1 0 %d\r\n%s\r\n" % (len(huge), huge),
                  b"SERVER_ERROR object too large for cache\r\n")
        wire.talk(b"get json:a\r\n", b"END\r\n")

    def test_g8_a_small_value_in_pieces(self):
        wire = self.crossfade.wire("py3")
        data = b"set json:a 1 0 %d\r\n%s\r\n" % (len(BAD), BAD)
        for at in range(1, len(data)):
            wire.send(data[:at])
            wire.talk(data[at:] + b"get json:a\r\n", REFUSED + b"END\r\n")

    def test_g8_real_clients_hear_of_it(self):
        tried = 0
        for name, call in (("pymemcache", PYMEMCACHE), ("python-memcached", PYTHON_MEMCACHED),
                           ("pylibmc", PYLIBMC)):
            before = self.counted()
            script = call % {"port": self.crossfade.port("py3")}
            done = subprocess.run(["/usr/bin/python3", "-c", script], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, timeout=20)
            if b"ModuleNotFoundError" in done.stderr:
                continue
            self.assertEqual((b"refused\nok\n", 0), (done.stdout, done.returncode),
                             "%s: %s" % (name, done.stderr.decode()))
            self.assertEqual(before + 1, self.counted())
            tried += 1
        if tried == 0:
            self.skipTest("none of the clients is installed")


PYMEMCACHE = """
from pymemcache.client.base import Client
from pymemcache.exceptions import MemcacheClientError
from pymemcache import serde
c = Client(("127.0.0.1", %(port)d), serde=serde.pickle_serde, default_noreply=False)
try:
    c.set("json:k", {"a": 1})
    print("stored")
except MemcacheClientError:
    print("refused")
c = Client(("127.0.0.1", %(port)d), serde=serde.PickleSerde(pickle_version=2), default_noreply=False)
print("ok" if c.set("json:k", {"a": 1}) and c.get("json:k") == {"a": 1} else "lost")
"""

PYTHON_MEMCACHED = """
import memcache
c = memcache.Client(["127.0.0.1:%(port)d"], pickleProtocol=5)
try:
    print("stored" if c.set("json:k", {"a": 1}) else "refused")
except Exception as error:
    print("refused" if "pickle" in str(error) else error)
c = memcache.Client(["127.0.0.1:%(port)d"], pickleProtocol=2)
print("ok" if c.set("json:k", {"a": 1}) and c.get("json:k") == {"a": 1} else "lost")
"""

PYLIBMC = """
import pylibmc
c = pylibmc.Client(["127.0.0.1:%(port)d"], behaviors={"pickle_protocol": 5})
try:
    c.set("json:k", {"a": 1})
    print("stored")
except pylibmc.Error:
    print("refused")
c = pylibmc.Client(["127.0.0.1:%(port)d"], behaviors={"pickle_protocol": 2})
print("ok" if c.set("json:k", {"a": 1}) and c.get("json:k") == {"a": 1} else "lost")
"""


if __name__ == "__main__":
    harness.main()
