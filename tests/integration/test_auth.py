"""Who may log in at a cache listener, and which arm a client is by who it is.

The servers of reference are real: `memcached -Y` for the text protocol, `memcached -S` for the binary one.
"""
import json
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
import unittest

import certificates
import harness

# crypt(3) of the system, which Python has lost: perl has it everywhere.
def crypt(password, setting):
    return subprocess.run(["perl", "-e", "print crypt($ARGV[0], $ARGV[1])", password, setting],
                          stdout=subprocess.PIPE, check=True).stdout.decode()


FAST = "$5$rounds=1000$%s$"
SLOW = "$6$rounds=200000$%s$"  # about a tenth of a second


def line(user, password, setting=FAST):
    return "%s:%s\n" % (user, crypt(password, setting % "salt"))


def text_login(user, password):
    token = ("%s %s" % (user, password)).encode()
    return b"set login 0 0 %d\r\n%s\r\n" % (len(token), token)


def frame(opcode, key=b"", value=b"", extras=b"", opaque=0xfeed):
    return struct.pack(">BBHBBHIIQ", 0x80, opcode, len(key), len(extras), 0, 0,
                       len(extras) + len(key) + len(value), opaque, 0) + extras + key + value


def plain(user, password, mechanism=b"PLAIN", opcode=0x21):
    return frame(opcode, mechanism, b"\0%s\0%s" % (user.encode(), password.encode()))


def take_frame(wire):
    """(opcode, status, body) of the next reply."""
    head = wire.exactly(24)
    _, opcode, _, _, _, status, length, opaque, _ = struct.unpack(">BBHBBHIIQ", head)
    assert opaque == 0xfeed, head
    return opcode, status, wire.exactly(length)


WHICH_ARM = b"get __crossfade__/arm\r\n"
UNAUTHENTICATED = b"CLIENT_ERROR unauthenticated\r\n"
FAILURE = b"CLIENT_ERROR authentication failure\r\n"
NO_ARM = b"CLIENT_ERROR this client is refused here: no version of the application is its\r\n"


def arm_reply(arm):
    return b"VALUE __crossfade__/arm 0 %d\r\n%s\r\nEND\r\n" % (len(arm), arm)


class Auth(harness.Test):
    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text, mode=0o600):
        with open(self.path(name), "w") as file:
            file.write(text)
        os.chmod(self.path(name), mode)
        return self.path(name)

    def config(self, memcached, *listeners, **changes):
        config = harness.cache_config(memcached, **changes)
        config["cache"]["listen"] = list(listeners)
        return config

    def start(self, users, arms=None, **listener):
        """One listener, "door", with these lines of users; by default both arms by user."""
        self.server = self.memcached()
        self.write("users", users)
        listener = dict({"address": "127.0.0.1:@door@", "sasl": self.path("users"),
                         "arms": arms or [{"user": "web3-*", "arm": "py3"},
                                          {"user": "alice", "arm": "py2"}]}, **listener)
        self.running = self.daemon(self.config(self.server, listener))
        return self.running

    def listener_stats(self):
        rows = self.running.show("stats")
        return {row["counter"]: row["value"] for row in rows if row["group"] == "cache listener"}

    def sasl_memcached(self):
        """`memcached -S` with one user, alice:secret."""
        self.write("memcached.conf", "mech_list: plain\nsasldb_path: %s\n" % self.path("sasldb"))
        subprocess.run(["saslpasswd2", "-p", "-c", "-f", self.path("sasldb"), "-u",
                        socket.gethostname(), "-a", "memcached", "alice"], input=b"secret",
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before = os.environ.get("SASL_CONF_PATH")
        os.environ["SASL_CONF_PATH"] = self.folder
        try:
            return self.memcached("-S")
        finally:
            del os.environ["SASL_CONF_PATH"]
            if before is not None:
                os.environ["SASL_CONF_PATH"] = before


class Text(Auth):
    def test_the_users_name_says_the_arm(self):
        daemon = self.start(line("alice", "secret") + line("web3-1", "hunter2"))
        two, three = daemon.wire("door"), daemon.wire("door")
        two.talk(text_login("alice", "secret") + WHICH_ARM, b"STORED\r\n" + arm_reply(b"py2"))
        three.talk(text_login("web3-1", "hunter2") + WHICH_ARM, b"STORED\r\n" + arm_reply(b"py3"))
        two.talk(b"set k 0 0 1\r\n2\r\n", b"STORED\r\n")
        three.talk(b"get k\r\nset k 0 0 1\r\n3\r\nget k\r\n",
                   b"END\r\nSTORED\r\nVALUE k 0 1\r\n3\r\nEND\r\n")
        self.server.wire().talk(b"get k\r\n", b"END\r\n")  # the set of py3 invalidated py2's
        daemon.ctl("show", "arms")

    def test_nothing_is_served_before_the_login(self):
        daemon = self.start(line("alice", "secret"))
        self.server.wire().talk(b"set k 0 0 1\r\nx\r\n", b"STORED\r\n")
        wire = daemon.wire("door")
        for command in (b"get k\r\n", b"version\r\n", b"stats\r\n", b"quit\r\n", b"mg k v\r\n",
                        b"flush_all\r\n", b"delete k\r\n", WHICH_ARM, b"\r\n", b"mn\r\n"):
            wire.talk(command, UNAUTHENTICATED)
        wire.talk(text_login("alice", "secret") + b"get k\r\n",
                  b"STORED\r\nVALUE k 0 1\r\nx\r\nEND\r\n")

    def test_a_wrong_password_is_answered_late_and_may_be_followed_by_the_right_one(self):
        daemon = self.start(line("alice", "secret"))
        wire = daemon.wire("door")
        begin = time.monotonic()
        wire.talk(text_login("alice", "wrong"), FAILURE)
        self.assertGreater(time.monotonic() - begin, 0.25)
        # What is sent behind it waits for the verdict.
        wire.talk(text_login("nobody", "secret") + b"get k\r\n" + text_login("alice", "secret") +
                  b"get k\r\n", FAILURE + UNAUTHENTICATED + b"STORED\r\nEND\r\n")
        self.assertIn(b'a login as "alice" at 127.0.0.1:', daemon.log())
        self.assertNotIn(b"wrong\n", daemon.log())
        stats = self.listener_stats()
        self.assertEqual((stats["logins"], stats["logins_failed"]), (1, 2))

    def test_every_split_of_a_login_is_the_same_login(self):
        daemon = self.start(line("alice", "secret"))
        sent = b"get a\r\n" + text_login("alice", "secret") + b"get k\r\n"
        wanted = UNAUTHENTICATED + b"STORED\r\nEND\r\n"
        for at in range(1, len(sent)):
            wire = daemon.wire("door")
            wire.send(sent[:at])
            wire.send(sent[at:]).expect(wanted)
            wire.close()
        daemon.wire("door").send_split(sent, 1, 0.001).expect(wanted)

    def test_half_closed_behind_its_login_it_is_still_answered(self):
        daemon = self.start(line("alice", "secret"))
        wire = daemon.wire("door")
        wire.send(text_login("alice", "secret")).shut_write()
        self.assertEqual(wire.rest(), b"STORED\r\n")
        wire = daemon.wire("door")
        wire.send(text_login("alice", "wrong")).shut_write()
        self.assertEqual(wire.rest(), FAILURE)

    def test_limits(self):
        daemon = self.start(line("alice", "secret"))
        daemon.wire("door").send(b"x" * 3000).expect_end()
        wire = daemon.wire("door").send(b"set k 0 0 100000\r\n")
        self.assertEqual(wire.rest(), UNAUTHENTICATED)
        daemon.wire("door").talk(b"set k 0 0 2048\r\n" + b"alice " + b"s" * 2042 + b"\r\n", FAILURE)
        daemon.wire("door").talk(b"set k 0 0 13\r\nalice secret\0\r\n", FAILURE)
        daemon.wire("door").talk(text_login("a" * 300, "x"), FAILURE)

    def test_the_same_bytes_get_the_same_answers_from_memcached(self):
        self.write("plain", "alice:secret\n")
        reference = self.memcached("-Y", self.path("plain"))
        daemon = self.start(line("alice", "secret"), arms=[{"user": "*", "arm": "py2"}])
        good = text_login("alice", "secret")
        for sent in (good, good + b"get a\r\n", b"get a\r\n", b"set x 0 0\r\n", b"set x 0 0 -1\r\n",
                     b"set x 0 0 12 noreply\r\nalice secret\r\n", b"SET x 0 0 12\r\n",
                     b"set x 0 0 12\nalice secret\r\n", b"set x 0 0 12\r\nalice secret\n\n",
                     b"set x a b 12 junk more\r\nalice secret\r\n", b"set x 0 0 12x\r\n",
                     b"  set   x  0 0   12  \r\nalice secret\r\n", b"set x 0 0 +12\r\nalice secret\r\n",
                     b"set x 0 0 18\r\nalice secret  junk\r\n", b"set x 0 0 5\r\nalice\r\n",
                     b"set x 0 0 19\r\n  alice    secret  \r\n", b"set x 0 0 0\r\n\r\n",
                     b"set x 0 0 13\r\nalice secret\t\r\n", b"set x 0 0 6\r\nalice \r\n",
                     b"set x 0 0 11\r\nalice wrong\r\n", b"set x 0 0 1 2\r\nxx\r\n",
                     b"set " + b"k" * 300 + b" 0 0 12\r\nalice secret\r\n", b"\r\n", b"mn\r\n",
                     good + good + b"get login\r\n"):
            answers = []
            for wire in (reference.wire(), daemon.wire("door")):
                wire.send(sent)
                answers.append(wire.line())
                wire.close()
            self.assertEqual(answers[0], answers[1], sent)


class Binary(Auth):
    def ask(self, wire, *frames):
        wire.send(b"".join(frames))
        return [take_frame(wire) for _ in frames]

    def test_the_users_name_says_the_arm(self):
        daemon = self.start(line("alice", "secret") + line("web3-1", "hunter2"))
        two, three = daemon.wire("door"), daemon.wire("door")
        self.assertEqual(self.ask(two, plain("alice", "secret"), frame(0, b"__crossfade__/arm"))[1][2],
                         b"\0\0\0\0py2")
        self.assertEqual(
            self.ask(three, plain("web3-1", "hunter2"), frame(0, b"__crossfade__/arm"))[1][2],
            b"\0\0\0\0py3")

    def conversation(self, wire, sent):
        """All replies; the last is None when the connection was closed then."""
        wire.send(sent)
        wire.shut_write()
        rest = wire.rest()
        replies = []
        while rest:
            _, opcode, keys, extras, _, status, length, _, _ = struct.unpack(">BBHBBHIIQ", rest[:24])
            replies.append((opcode, status, keys, extras, rest[24:24 + length]))
            rest = rest[24 + length:]
        return replies

    @unittest.skipUnless(shutil.which("saslpasswd2"), "sasl2-bin is not installed")
    def test_the_same_bytes_get_the_same_answers_from_memcached(self):
        reference = self.sasl_memcached()
        daemon = self.start(line("alice", "secret"), arms=[{"user": "*", "arm": "py2"}])
        good, wrong, get = plain("alice", "secret"), plain("alice", "wrong"), frame(0, b"k")
        named = frame(0x21, b"PLAIN", b"alice\0alice\0secret")
        for sent in (good + get, wrong + get, wrong + good + get, get, frame(0x0a), frame(0x20),
                     frame(0x0b) + get + frame(0x0b), named + get,
                     frame(0x21, b"PLAIN", b"bob\0alice\0secret") + get,
                     frame(0x21, b"PLAIN", b"\0alice"), frame(0x21, b"PLAIN", b"alice\0secret"),
                     frame(0x21, b"PLAIN", b"\0alice\0secret\0") + get, frame(0x21, b"PLAIN", b"\0\0"),
                     frame(0x21, b"LOGIN", b"x") + get, frame(0x21, b"CRAM-MD5", b"x"),
                     plain("alice", "secret", b"plain") + get, frame(0x21, b"X" * 33, b"") + get,
                     frame(0x21, b"X" * 32, b""), plain("alice", "secret", opcode=0x22) + get,
                     frame(0x21, b"PLAIN") + plain("alice", "secret", opcode=0x22) + get,
                     frame(0x21, b"PLAIN") + get, frame(0x21, b"", b"\0alice\0secret"), frame(0x22),
                     frame(0x21, b"PLAIN", b"\0alice\0secret", b"1234"), frame(0x20, b"k"),
                     frame(0x20, b"", b"v"), frame(0x20, extras=b"e"),
                     frame(0x21, b"PLAIN", b"\0alice\0" + b"s" * 5000) + get, frame(0x07),
                     frame(0x55), frame(0x0b, b"k"), good + wrong + get):
            answers = []
            for wire in (reference.wire(), daemon.wire("door")):
                found = self.conversation(wire, sent)
                answers.append([(reply[0], reply[1], reply[2], reply[3],
                                 b"version" if reply[0] == 0x0b and reply[1] == 0 else reply[4])
                                for reply in found])
            self.assertEqual(answers[0], answers[1], sent)

    def test_a_login_at_a_listener_without_users_is_an_unknown_command(self):
        server = self.memcached()
        daemon = self.daemon(harness.cache_config(server))
        wire = daemon.wire("py2")
        replies = self.ask(wire, frame(0x20), plain("alice", "secret"), frame(0x0b))
        self.assertEqual([(reply[0], reply[1]) for reply in replies],
                         [(0x20, 0x81), (0x21, 0x81), (0x0b, 0)])

    def test_every_split_of_a_login_is_the_same_login(self):
        daemon = self.start(line("alice", "secret"))
        sent = frame(0x20) + plain("alice", "secret") + frame(0, b"k")
        for at in range(1, len(sent)):
            wire = daemon.wire("door")
            wire.send(sent[:at])
            wire.send(sent[at:])
            self.assertEqual([take_frame(wire)[:2] for _ in range(3)],
                             [(0x20, 0), (0x21, 0), (0, 1)])
            wire.close()

    def test_another_login_makes_it_another_arm(self):
        daemon = self.start(line("alice", "secret") + line("web3-1", "hunter2"))
        wire = daemon.wire("door")
        arm = frame(0, b"__crossfade__/arm")
        replies = self.ask(wire, plain("alice", "secret"), frame(1, b"k", b"x", bytes(8)), arm,
                           plain("web3-1", "hunter2"), frame(0, b"k"), arm)
        self.assertEqual([(reply[0], reply[1]) for reply in replies],
                         [(0x21, 0), (1, 0), (0, 0), (0x21, 0), (0, 1), (0, 0)])
        self.assertEqual((replies[2][2][4:], replies[5][2][4:]), (b"py2", b"py3"))
        rows = {row["arm"]: row["clients"] for row in daemon.show("cache")}
        self.assertEqual(rows, {"py2": 0, "py3": 1})


class Clients(Auth):
    """What real clients do."""

    def test_pylibmc_by_sasl(self):
        daemon = self.start(line("alice", "secret") + line("web3-1", "hunter2"))
        script = """
import pylibmc, sys
good = pylibmc.Client([sys.argv[1]], binary=True, username=sys.argv[2], password=sys.argv[3])
assert good.set("k", "v" * 1000) and good.get("k") == "v" * 1000
print(str(good.get("__crossfade__/arm")).strip("b'"))
bad = pylibmc.Client([sys.argv[1]], binary=True, username=sys.argv[2], password="wrong")
try:
    bad.set("k", "x")
    print("stored")
except pylibmc.Error as error:
    print(type(error).__name__)
"""
        for user, password, arm in (("alice", "secret", "py2"), ("web3-1", "hunter2", "py3")):
            done = subprocess.run(["/usr/bin/python3", "-c", script,
                                   "127.0.0.1:%d" % daemon.port("door"), user, password],
                                  stdout=subprocess.PIPE, timeout=30, check=True)
            said = done.stdout.decode().split()
            self.assertEqual(said[0], arm)
            self.assertNotEqual(said[1], "stored")

    def test_text_clients_by_a_set_of_their_own(self):
        daemon = self.start(line("alice", "secret") + line("web3-1", "hunter2"))
        script = """
import sys
address, token = sys.argv[1:]
from pymemcache.client.base import Client
client = Client(address, default_noreply=False)
assert client.set("login", token)
print(client.get("__crossfade__/arm").decode())
assert client.set("k", "v") and client.get("k") == b"v"
import memcache
client = memcache.Client([address])
assert client.set("login", token)
print(str(client.get("__crossfade__/arm")).strip("b'"))
assert client.set("k", "w") and client.get("k") == "w"
"""
        for user, password, arm in (("alice", "secret", "py2"), ("web3-1", "hunter2", "py3")):
            done = subprocess.run(["/usr/bin/python3", "-c", script,
                                   "127.0.0.1:%d" % daemon.port("door"), user + " " + password],
                                  stdout=subprocess.PIPE, timeout=30, check=True)
            self.assertEqual(done.stdout.decode().split(), [arm, arm])

    def test_the_tools_of_libmemcached(self):
        daemon = self.start(line("alice", "secret"))
        wire = daemon.wire("door")
        wire.talk(text_login("alice", "secret") + b"set k 0 0 5\r\nvalue\r\n", b"STORED\r\nSTORED\r\n")
        tool = ["memccat", "--servers=127.0.0.1:%d" % daemon.port("door"), "--binary"]
        done = subprocess.run(tool + ["--username=alice", "--password=secret", "k"],
                              stdout=subprocess.PIPE, timeout=30)
        self.assertEqual(done.stdout.strip(), b"value")
        done = subprocess.run(tool + ["--username=alice", "--password=wrong", "k"],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=30)
        self.assertEqual(done.stdout.strip(), b"")


class Secrets(Auth):
    def memory_holds(self, daemon, wanted):
        """In how many places the daemon's writable memory has these bytes."""
        found = 0
        with open("/proc/%d/maps" % daemon.pid) as maps, \
                open("/proc/%d/mem" % daemon.pid, "rb", 0) as memory:
            for each in maps:
                place, rights = each.split()[:2]
                begin, end = [int(part, 16) for part in place.split("-")]
                if end - begin > 1 << 32:
                    self.skipTest("a sanitizer keeps what was freed")
                if not rights.startswith("rw"):
                    continue
                try:
                    memory.seek(begin)
                    found += memory.read(end - begin).count(wanted)
                except (OSError, ValueError):
                    pass
        return found

    @unittest.skipUnless(os.geteuid() == 0, "it takes root to read another process's memory")
    def test_passwords_do_not_stay_in_memory(self):
        daemon = self.start(line("alice", "right-FRdYvYLkQ7") +
                            line("bcrypt", "right-FRdYvYLkQ7", "$2b$05$%sabcdefghijklmnopq.") +
                            line("yescrypt", "right-FRdYvYLkQ7", "$y$j75$%s$"),
                            arms=[{"user": "*", "arm": "py2"}])
        for user in ("alice", "bcrypt", "yescrypt"):
            daemon.wire("door").talk(text_login(user, "right-FRdYvYLkQ7"), b"STORED\r\n")
            wire = daemon.wire("door").send(plain("alice", "right-FRdYvYLkQ7"))
            self.assertEqual(take_frame(wire)[1], 0)
            daemon.wire("door").talk(text_login("alice", "wrong-FRdYvYLkQ7"), FAILURE)
            for size in (1, 7):
                daemon.wire("door").send_split(text_login("alice", "right-FRdYvYLkQ7"), size,
                                               0.002).expect(b"STORED\r\n")
        self.assertGreater(self.memory_holds(daemon, b"alice"), 0)
        self.assertEqual(0, self.memory_holds(daemon, b"FRdYvYLkQ7"))


class Storms(Auth):
    def test_others_are_served_while_a_slow_hash_is_under_way(self):
        self.server = self.memcached()
        self.write("users", line("alice", "secret", SLOW))
        config = self.config(self.server, {"address": "127.0.0.1:@door@", "arm": "py2",
                                           "sasl": self.path("users")},
                             {"address": "127.0.0.1:@open@", "arm": "py2"})
        config["process"]["workers"] = 1
        self.running = daemon = self.daemon(config)
        other = daemon.wire("open")
        other.talk(b"get k\r\n", b"END\r\n")
        logins = [daemon.wire("door") for _ in range(3)]
        for number, wire in enumerate(logins):
            wire.send(text_login("alice", "guess%d" % number))
        served = 0
        waiting = True
        while waiting:
            other.talk(b"get k\r\n", b"END\r\n")
            served += 1
            waiting = not logins[0].pending and not logins[0].fill(time.monotonic() + 0.001)
        # Three hashes of some tenths of a second lie ahead of this answer or behind it.
        self.assertGreater(served, 50)
        for wire in logins:
            wire.expect(FAILURE)

    def test_a_storm_of_one_user_costs_one_hash(self):
        daemon = self.start(line("alice", "secret", SLOW), arms=[{"user": "*", "arm": "py2"}])
        daemon.wire("door").talk(text_login("alice", "secret"), b"STORED\r\n")
        wires = [daemon.wire("door") for _ in range(300)]  # more than there are slots
        for wire in wires:
            wire.send(text_login("alice", "secret") + b"get k\r\n")
        for wire in wires:
            wire.expect(b"STORED\r\nEND\r\n")
        stats = self.listener_stats()
        self.assertEqual((stats["logins"], stats["logins_known"]), (301, 300))

    def test_clients_that_go_away_leave_their_places(self):
        daemon = self.start(line("alice", "secret", SLOW) + line("bob", "secret"),
                            arms=[{"user": "*", "arm": "py2"}])
        wires = [daemon.wire("door") for _ in range(200)]
        for number, wire in enumerate(wires):
            wire.send(text_login("alice", "guess%d" % number))
        for wire in wires:
            # With a reset, which is seen although the socket is not read.
            wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            wire.close()
        daemon.wire("door").talk(text_login("bob", "secret"), b"STORED\r\n", 60)
        harness.eventually(lambda: self.listener_stats()["strangers"] == 0, timeout=60)

    def test_a_guesser_is_slowed_down(self):
        daemon = self.start(line("alice", "secret"))
        daemon.wire("door").talk(text_login("alice", "secret"), b"STORED\r\n")
        wires = [daemon.wire("door") for _ in range(40)]
        for number, wire in enumerate(wires):
            wire.send(text_login("alice", "guess%d" % number))
        for wire in wires:
            wire.expect(FAILURE)
        stats = self.listener_stats()
        self.assertEqual(stats["logins_failed"], 40)
        self.assertGreater(stats["logins_throttled"], 10)
        daemon.wire("door").talk(text_login("alice", "secret"), b"STORED\r\n")
        # Few lines of all of them.
        self.assertLess(daemon.log().count(b"a login as"), 25)

    def test_the_daemon_stops_while_logins_are_under_way(self):
        daemon = self.start(line("alice", "secret", SLOW))
        wires = [daemon.wire("door") for _ in range(20)]
        for number, wire in enumerate(wires):
            wire.send(text_login("alice", "guess%d" % number))
        time.sleep(0.05)
        daemon.signal(signal.SIGTERM)
        daemon.signal(signal.SIGTERM)
        daemon.wait(0)


class Random(Auth):
    """Strangers that do anything, while the configuration is loaded again and again."""

    PIECES = [b"get secret\r\n", b"gets secret\r\n", b"mg secret v\r\n", b"version\r\n", b"quit\r\n",
              b"set k 0 0 5\r\n", b"hello\r\n", b"\r\n", b"\n", b"\0", b"x" * 700, b"\x80", b"\x80\x21",
              frame(0, b"secret"), frame(0x0b), frame(0x0a), frame(0x20), frame(0x21, b"PLAIN"),
              frame(0x22, b"PLAIN", b"\0a\0b"), frame(0x21, b"X" * 40), b"\x80\x21" + b"\xff" * 30,
              text_login("alice", "wrong"), text_login("nobody", "x"), plain("alice", "wrong"),
              b"set k 0 0 2040\r\n" + b"y" * 2042, b"set k 0 0 99999999\r\n"]

    def test_no_stranger_ever_gets_a_value(self):
        daemon = self.start(line("alice", "secret"), arms=[{"user": "*", "arm": "py2"}])
        self.server.wire().talk(b"set secret 0 0 8\r\nTREASURE\r\n", b"STORED\r\n")
        numbers = random.Random(4711)
        alice = daemon.wire("door")
        alice.talk(text_login("alice", "secret"), b"STORED\r\n")
        strangers = []
        answers = 0
        for step in range(1500):
            if len(strangers) < 30:
                strangers.append(daemon.wire("door"))
            wire = numbers.choice(strangers)
            sent = numbers.choice(self.PIECES)
            try:
                for _ in range(numbers.randrange(3)):
                    at = numbers.randrange(len(sent) + 1)
                    wire.sock.sendall(sent[:at])
                    sent = sent[at:]
                wire.sock.sendall(sent)
                wire.fill(time.monotonic() + 0.001)
            except OSError:
                wire.ended = True
            if wire.ended or numbers.random() < 0.05:
                self.assertNotIn(b"TREASURE", wire.pending)
                answers += len(wire.pending)
                wire.close()
                strangers.remove(wire)
            if step % 100 == 50:
                daemon.ctl("reload")
                alice.talk(b"get secret\r\n", b"VALUE secret 0 8\r\nTREASURE\r\nEND\r\n")
        for wire in strangers:
            self.assertNotIn(b"TREASURE", wire.pending)
            wire.close()
        self.assertGreater(answers, 1000)
        harness.eventually(lambda: self.listener_stats()["strangers"] == 0, timeout=20)
        daemon.wire("door").talk(text_login("alice", "secret"), b"STORED\r\n")


class Reloads(Auth):
    def test_a_changed_password(self):
        daemon = self.start(line("alice", "secret"))
        old = daemon.wire("door")
        old.talk(text_login("alice", "secret"), b"STORED\r\n")
        self.write("users", line("alice", "other"))
        daemon.ctl("reload")
        old.talk(WHICH_ARM, arm_reply(b"py2"))
        daemon.wire("door").talk(text_login("alice", "secret"), FAILURE)
        daemon.wire("door").talk(text_login("alice", "other"), b"STORED\r\n")

    def test_a_faulty_file_changes_nothing(self):
        daemon = self.start(line("alice", "secret"))
        self.write("users", line("bob", "x") + "alice:secret\n")
        said = subprocess.run([harness.program("crossfadectl"), "--socket",
                               os.path.join(self.folder, "control.sock"), "reload"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30)
        self.assertNotEqual(said.returncode, 0)
        self.assertIn(b"users:2:7: the password of this user is not hashed", said.stdout)
        self.assertNotIn(b"secret", said.stdout)
        daemon.wire("door").talk(text_login("bob", "x"), FAILURE)
        daemon.wire("door").talk(text_login("alice", "secret"), b"STORED\r\n")

    def test_check_finds_the_faults_of_the_files(self):
        self.write("users", "alice:secret\nbob\n")
        self.write("login", "nothing\n")
        config = self.config("127.0.0.1:1", {"address": "127.0.0.1:2", "arm": "py2",
                                             "sasl": self.path("users")},
                             server_login=self.path("login"))
        path = self.write("c.yaml", json.dumps(config).replace("@dir@", self.folder))
        done = subprocess.run([harness.program("crossfade"), "--check", "-c", path],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30)
        self.assertEqual(done.returncode, 1)
        for part in (b"users:1:7: the password of this user is not hashed", b"htpasswd -nB USER",
                     b"users:2:1: the line has no colon", b"login:1:1: the line has no colon"):
            self.assertIn(part, done.stdout)
        self.write("users", line("alice", "secret"))
        self.write("login", "me:password\n", 0o644)
        done = subprocess.run([harness.program("crossfade"), "--check", "-c", path],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30)
        self.assertEqual(done.returncode, 0)
        self.assertIn(b"every user of this machine can read it", done.stdout)
        self.assertIn(b"1 user may log in", done.stdout)
        self.assertIn(b"login     as me\n", done.stdout)

    def test_who_has_an_arm_keeps_it_and_strangers_follow_the_new_rules(self):
        daemon = self.start(line("alice", "secret"))
        served, stranger = daemon.wire("door"), daemon.wire("door")
        served.talk(text_login("alice", "secret") + WHICH_ARM, b"STORED\r\n" + arm_reply(b"py2"))
        stranger.talk(b"get k\r\n", UNAUTHENTICATED)
        config = daemon.source
        config["cache"]["listen"][0]["arms"] = [{"user": "alice", "arm": "py3"}]
        daemon.write(config)
        daemon.ctl("reload")
        served.talk(WHICH_ARM, arm_reply(b"py2"))
        stranger.talk(text_login("alice", "secret") + WHICH_ARM, b"STORED\r\n" + arm_reply(b"py3"))
        # Without a login a stranger comes in at once.
        stranger = daemon.wire("door")
        stranger.talk(b"get k\r\n", UNAUTHENTICATED)
        config["cache"]["listen"][0] = {"address": "127.0.0.1:@door@", "arm": "py3"}
        daemon.write(config)
        daemon.ctl("reload")
        stranger.talk(WHICH_ARM, arm_reply(b"py3"))
        served.talk(WHICH_ARM, arm_reply(b"py2"))

    def test_another_login_after_a_reload_is_by_the_new_rules(self):
        daemon = self.start(line("alice", "secret"),
                            arms=[{"user": "nobody", "arm": "py3"}, {"user": "*", "arm": "py2"}])
        wire = daemon.wire("door")
        arm = frame(0, b"__crossfade__/arm")
        wire.send(plain("alice", "secret") + arm)
        self.assertEqual(take_frame(wire)[:2], (0x21, 0))
        self.assertEqual(take_frame(wire)[2][4:], b"py2")
        config = daemon.source
        config["cache"]["listen"][0]["arms"] = [{"user": "x", "arm": "py2"},
                                                {"user": "y", "arm": "py2"},
                                                {"user": "alice", "arm": "py3"}]
        daemon.write(config)
        daemon.ctl("reload")
        wire.send(arm + plain("alice", "secret") + arm)
        self.assertEqual(take_frame(wire)[2][4:], b"py2")
        self.assertEqual(take_frame(wire)[:2], (0x21, 0))
        self.assertEqual(take_frame(wire)[2][4:], b"py3")

    def test_when_their_listener_is_gone_strangers_go_on_by_its_rules(self):
        daemon = self.start(line("alice", "secret"))
        stranger, served = daemon.wire("door"), daemon.wire("door")
        stranger.talk(b"get k\r\n", UNAUTHENTICATED)
        served.send(plain("alice", "secret"))
        self.assertEqual(take_frame(served)[:2], (0x21, 0))
        config = daemon.source
        config["cache"]["listen"] = [{"address": "127.0.0.1:@other@", "arm": "py3"}]
        daemon.write(config)
        daemon.ctl("reload")
        stranger.talk(text_login("alice", "secret") + WHICH_ARM, b"STORED\r\n" + arm_reply(b"py2"))
        # Who is served has moved on; there is no listener left that would know users.
        served.send(frame(0, b"__crossfade__/arm") + plain("alice", "secret"))
        self.assertEqual(take_frame(served)[2][4:], b"py2")
        self.assertEqual(take_frame(served)[:2], (0x21, 0x81))
        self.assertEqual(["", daemon.resolve("127.0.0.1:@door@")[1]],
                         [row["listener"] and int(row["listener"].rsplit(":", 1)[1])
                          for row in sorted(daemon.show("clients"), key=lambda row: row["listener"])])

    def test_logins_may_begin_with_a_reload(self):
        server = self.memcached()
        daemon = self.daemon(harness.cache_config(server))
        old = daemon.wire("py2")
        old.talk(WHICH_ARM, arm_reply(b"py2"))
        self.write("users", line("alice", "secret"))
        config = daemon.source
        config["cache"]["listen"][0]["sasl"] = self.path("users")
        daemon.write(config)
        daemon.ctl("reload")
        daemon.wire("py2").talk(b"get k\r\n" + text_login("alice", "secret"),
                                UNAUTHENTICATED + b"STORED\r\n")
        old.talk(WHICH_ARM, arm_reply(b"py2"))


class Peers(Auth):
    def start(self, *arms, **listener):
        self.server = self.memcached()
        os.chmod(self.folder, 0o755)
        listener = dict({"address": "unix:@dir@/door", "mode": "0666", "arms": list(arms)}, **listener)
        self.running = self.daemon(self.config(self.server, listener))
        return self.running

    SCRIPT = ("import socket,sys\n"
              "s = socket.socket(socket.AF_UNIX)\n"
              "s.connect(sys.argv[1])\n"
              "s.sendall(b'get __crossfade__/arm\\r\\n')\n"
              "data = b''\n"
              "while not data.endswith((b'END\\r\\n', b'its\\r\\n')):\n"
              "    part = s.recv(4096)\n"
              "    if not part: break\n"
              "    data += part\n"
              "print(data.decode())\n")

    def ask(self, *before, executable="/usr/bin/python3"):
        done = subprocess.run(list(before) + [executable, "-c", self.SCRIPT, self.path("door")],
                              stdout=subprocess.PIPE, timeout=30, check=True)
        return done.stdout.replace(b"\n", b"\r\n")[:-2].replace(b"\r\r", b"\r")

    @unittest.skipUnless(os.geteuid() == 0, "it takes root to be two users")
    def test_the_users_id_says_the_arm(self):
        self.start({"uid": 65534, "arm": "py3"}, {"uid": 0, "arm": "py2"})
        nobody = ["setpriv", "--reuid=65534", "--clear-groups"]
        self.assertIn(b"py3", self.ask(*nobody))
        self.assertIn(b"py2", self.ask())
        other = self.ask("setpriv", "--reuid=65533", "--clear-groups")
        self.assertIn(NO_ARM.strip(), other)
        self.assertEqual(self.listener_stats()["refused"], 1)
        self.assertIn(b"no entry of its arms matches (uid 65533)", self.running.log())

    def test_the_program_says_the_arm(self):
        copy = self.path("python-of-py3")
        shutil.copy(os.path.realpath("/usr/bin/python3"), copy)
        self.start({"executable": os.path.join(os.path.realpath(self.folder), "python-*"),
                    "arm": "py3"}, arm="py2")
        self.assertIn(b"py2", self.ask())
        self.assertIn(b"py3", self.ask(executable=copy))

    def test_a_program_that_was_replaced_keeps_its_arm(self):
        copy = self.path("python-of-py3")
        shutil.copy(os.path.realpath("/usr/bin/python3"), copy)
        self.start({"executable": os.path.join(os.path.realpath(self.folder), "python-of-py3"),
                    "arm": "py3"}, arm="py2")
        script = "import os\nos.unlink(%r)\n" % copy + self.SCRIPT
        done = subprocess.run([copy, "-c", script, self.path("door")], stdout=subprocess.PIPE,
                              timeout=30, check=True)
        self.assertIn(b"py3", done.stdout)

    def test_who_has_to_log_in_may_be_known_by_his_process_too(self):
        self.write("users", line("alice", "secret") + line("web3", "x"))
        self.start({"user": "web3", "arm": "py3"}, {"uid": os.geteuid(), "arm": "py2"},
                   sasl=self.path("users"))
        harness.Wire(self.path("door")).talk(text_login("web3", "x") + WHICH_ARM,
                                             b"STORED\r\n" + arm_reply(b"py3"))
        harness.Wire(self.path("door")).talk(text_login("alice", "secret") + WHICH_ARM,
                                             b"STORED\r\n" + arm_reply(b"py2"))

    def test_a_user_without_an_arm_is_refused(self):
        self.write("users", line("alice", "secret") + line("web3", "x"))
        self.start({"user": "web3", "arm": "py3"}, sasl=self.path("users"))
        wire = harness.Wire(self.path("door")).send(text_login("alice", "secret"))
        self.assertEqual(wire.rest(), NO_ARM)
        wire = harness.Wire(self.path("door")).send(plain("alice", "secret"))
        self.assertEqual(take_frame(wire)[:2], (0x21, 0x20))
        wire.expect_end()

    def test_refused_clients_are_told_in_their_protocol(self):
        self.start({"uid": 12345, "arm": "py3"})
        wire = harness.Wire(self.path("door")).send(b"set k 0 0 1\r\nx\r\nget k\r\n")
        self.assertEqual(wire.rest(), NO_ARM)
        wire = harness.Wire(self.path("door")).send(frame(0x0b) + frame(0, b"k"))
        self.assertEqual(take_frame(wire)[:2], (0x0b, 0x20))
        wire.expect_end()


class Shown(Auth):
    def test_show_clients_tells_who_is_who(self):
        self.server = self.memcached()
        self.write("users", line("alice", "secret") + line("web3", "x"))
        daemon = self.daemon(self.config(
            self.server,
            {"address": "127.0.0.1:@door@", "sasl": self.path("users"),
             "arms": [{"user": "web3", "arm": "py3"}, {"user": "alice", "arm": "py2"}]},
            {"address": "unix:@dir@/sock", "arms": [{"uid": os.geteuid(), "arm": "py3"}]}))
        alice, web3, nobody = [daemon.wire("door") for _ in range(3)]
        local = harness.Wire(self.path("sock"))
        alice.talk(text_login("alice", "secret"), b"STORED\r\n")
        web3.send(plain("web3", "x"))
        self.assertEqual(take_frame(web3)[1], 0)
        local.talk(b"get k\r\n", b"END\r\n")
        nobody.talk(b"get k\r\n", UNAUTHENTICATED)
        rows = daemon.show("clients")
        door = "127.0.0.1:%d" % daemon.port("door")
        self.assertEqual(
            sorted((row["arm"], row["state"], row["who"], row["listener"], row["protocol"])
                   for row in rows),
            sorted([("py2", "served", "user alice", door, "text"),
                    ("py3", "served", "user web3", door, "binary"),
                    ("", "has to log in", "", door, "text"),
                    ("py3", "served", "uid %d" % os.geteuid(), "unix:" + self.path("sock"), "text")]))
        self.assertIn("127.0.0.1:%d" % alice.sock.getsockname()[1], [row["peer"] for row in rows])
        self.assertIn("user alice", daemon.ctl("show", "clients"))
        self.assertEqual(1, len(daemon.show("clients 1")))

    def test_of_many_clients_as_many_as_are_wanted(self):
        daemon = self.daemon(harness.cache_config(self.memcached()))
        wires = [daemon.wire("py2") for _ in range(150)]
        for wire in wires:
            wire.talk(b"get k\r\n", b"END\r\n")
        self.assertIn("100 of 150 clients", daemon.ctl("show", "clients"))
        self.assertEqual(150, len(daemon.show("clients 1000")))


class Secure(Auth):
    """By the name in the client's TLS certificate, and logins over TLS."""

    def start(self, *arms, **listener):
        self.server = self.memcached()
        self.authority = certificates.Authority(self.folder)
        own = self.authority.pair("server")
        tls = {"certificate": own.certificate, "key": own.key,
               "client_ca": self.authority.certificate, "client": "optional"}
        listener = dict({"address": "127.0.0.1:@door@", "arms": list(arms), "tls": tls}, **listener)
        self.running = self.daemon(self.config(self.server, listener))
        return self.running

    def join(self, pair=None):
        return certificates.SecureWire(self.running.port("door"), self.authority.context(pair))

    def test_a_name_in_the_certificate_says_the_arm(self):
        self.start({"certificate": "*.py3.example", "arm": "py3"},
                   {"certificate": "py2", "arm": "py2"})
        common = self.authority.pair("common", "web.py3.example", "")
        other = self.authority.pair("other", "nobody", "DNS:x.example,DNS:y.py3.example")
        two = self.authority.pair("two", "py2", "")
        stranger = self.authority.pair("stranger", "py3.example.net", "DNS:py3.example")
        self.join(common).talk(WHICH_ARM, arm_reply(b"py3"))
        self.join(other).talk(WHICH_ARM, arm_reply(b"py3"))
        first = self.join(two)
        first.talk(WHICH_ARM, arm_reply(b"py2"))
        for pair in stranger, None:
            self.assertEqual(self.join(pair).send(WHICH_ARM).rest(), NO_ARM)
        self.assertIn(b"is refused: no entry of its arms matches (certificate py3.example.net)",
                      self.running.log())
        # A resumed session has the certificate of the one before.
        context = self.authority.context(two)
        before = certificates.SecureWire(self.running.port("door"), context)
        before.talk(WHICH_ARM, arm_reply(b"py2"))
        again = certificates.SecureWire(self.running.port("door"), context, before.sock.session)
        again.talk(WHICH_ARM, arm_reply(b"py2"))
        self.assertTrue(again.sock.session_reused)
        self.assertEqual("certificate py2", [row["who"] for row in self.running.show("clients")
                                             if row["arm"] == "py2"][0])

    def test_logins_over_tls_in_both_protocols(self):
        self.write("users", line("alice", "secret"))
        daemon = self.start({"certificate": "cert.py3", "arm": "py3"}, {"user": "alice", "arm": "py2"},
                            sasl=self.path("users"))
        self.join().talk(b"get k\r\n" + text_login("alice", "secret") + WHICH_ARM,
                         UNAUTHENTICATED + b"STORED\r\n" + arm_reply(b"py2"))
        wire = self.join().send(plain("alice", "secret") + frame(0, b"__crossfade__/arm"))
        self.assertEqual(take_frame(wire)[:2], (0x21, 0))
        self.assertEqual(take_frame(wire)[2][4:], b"py2")
        # The entry that comes first counts, and without a login there is nothing.
        wire = self.join(self.authority.pair("cert", "cert.py3", ""))
        wire.talk(b"get k\r\n" + text_login("alice", "secret") + WHICH_ARM,
                  UNAUTHENTICATED + b"STORED\r\n" + arm_reply(b"py3"))
        self.assertIn("user alice, certificate cert.py3", daemon.ctl("show", "clients"))


class Servers(Auth):
    """Our own login towards the servers."""

    def start(self, server, login="alice:secret\n", **changes):
        self.write("login", login)
        config = harness.cache_config(server, server_login=self.path("login"), **changes)
        self.running = self.daemon(config)
        return self.running

    def text_memcached(self):
        self.write("plain", "alice:secret\nbob:other\n")
        return self.memcached("-Y", self.path("plain"))

    def test_text_connections_log_in_as_memcached_y_wants_it(self):
        daemon = self.start(self.text_memcached())
        for name in ("py2", "py3"):
            daemon.wire(name).talk(b"set k 0 0 1\r\nx\r\nget k\r\ndelete k\r\nget none\r\n",
                                   b"STORED\r\nVALUE k 0 1\r\nx\r\nEND\r\nDELETED\r\nEND\r\n")
        # A large value has a connection of its own, which logs in too.
        value = b"v" * 300000
        daemon.wire("py3").talk(b"set large 0 0 300000\r\n" + value + b"\r\nget large\r\n",
                                b"STORED\r\nVALUE large 0 300000\r\n" + value + b"\r\nEND\r\n")

    @unittest.skipUnless(shutil.which("saslpasswd2"), "sasl2-bin is not installed")
    def test_binary_connections_log_in_as_memcached_s_wants_it(self):
        daemon = self.start(self.sasl_memcached())
        wire = daemon.wire("py3")
        wire.send(frame(1, b"k", b"value", bytes(8)) + frame(0, b"k"))
        self.assertEqual(take_frame(wire), (1, 0, b""))
        self.assertEqual(take_frame(wire), (0, 0, b"\0\0\0\0value"))

    @unittest.skipUnless(shutil.which("saslpasswd2"), "sasl2-bin is not installed")
    def test_a_login_that_is_refused_is_a_server_that_is_down(self):
        text, binary = self.text_memcached(), self.sasl_memcached()
        daemon = self.start(text, "alice:wrong\n", on_failure="error")
        wire = daemon.wire("py3")
        wire.send(b"set k 0 0 1\r\nx\r\n")
        self.assertIn(b"it refused our login: CLIENT_ERROR authentication failure", wire.line())
        harness.eventually(lambda: b"is down: it refused our login" in daemon.log())
        self.assertNotIn(b"wrong", daemon.log())
        config = daemon.source
        config["cache"]["servers"] = [binary.address]
        daemon.write(config)
        daemon.ctl("reload")
        wire.send(b"set k 0 0 1\r\nx\r\n")
        wire.line()
        other = daemon.wire("py3")
        other.send(frame(1, b"k", b"value", bytes(8)))
        opcode, status, body = take_frame(other)
        self.assertEqual((opcode, status), (1, 0x86))
        self.assertIn(b"it refused our login: Auth failure.", body)
        rows = {row["counter"]: row["value"] for row in daemon.show("stats")
                if row["group"] == "cache server" and row["of"] == text.address}
        self.assertGreaterEqual(rows["login_failures"], 1)

    def test_a_reload_brings_another_login_and_leaves_the_connections(self):
        server = self.text_memcached()
        daemon = self.start(server, "alice:wrong\n", on_failure="error")
        wire = daemon.wire("py3")
        wire.send(b"get k\r\n")
        self.assertIn(b"SERVER_ERROR", wire.line())
        self.write("login", "bob:other\n")
        daemon.ctl("reload")

        def served():
            wire.send(b"get k\r\n")
            return wire.line() == b"END\r\n"
        harness.eventually(served)
        self.write("login", "bob:wrong again\n".replace(" ", "-"))
        daemon.ctl("reload")
        wire.talk(b"set k 0 0 1\r\nx\r\nget k\r\n", b"STORED\r\nVALUE k 0 1\r\nx\r\nEND\r\n")

    def test_after_a_restart_of_the_server_it_logs_in_again(self):
        server = self.text_memcached()
        daemon = self.start(server)
        wire = daemon.wire("py3")
        wire.talk(b"set k 0 0 1\r\nx\r\n", b"STORED\r\n")
        server.kill()
        wire.talk(b"get k\r\n", b"END\r\n")
        server.start()

        def stored():
            wire.send(b"set k 0 0 1\r\nx\r\n")
            return wire.line() == b"STORED\r\n"
        harness.eventually(stored, timeout=20)

    def test_a_server_that_wants_no_login_does_not_keep_the_password(self):
        server = self.memcached()
        daemon = self.start(server)
        daemon.wire("py2").talk(b"set k 0 0 1\r\nx\r\n", b"STORED\r\n")
        server.wire().talk(b"get crossfade\r\n", b"END\r\n")

    def test_servers_that_answer_a_login_with_nonsense(self):
        for answer, reason in ((b"STORED\r\nSTORED\r\n", b"it sent more than the answer"),
                               (b"x" * 600, b"its answer is too long"),
                               (b"ERROR\r\n", b"it refused our login: ERROR"),
                               (b"\x1b[2J\r\n", b"it refused our login: \\x1b[2J"),
                               (b"", b"it closed the connection instead of taking our login"),
                               (None, b"no answer to its login in time")):
            listener = socket.socket()
            listener.bind(("127.0.0.1", 0))
            listener.listen(16)

            def serve(listener=listener, answer=answer):
                held = []
                while True:
                    try:
                        sock, _ = listener.accept()
                    except OSError:
                        break
                    held.append(sock)
                    if answer is None:
                        continue
                    sock.recv(65536)
                    sock.sendall(answer)
                    if not answer:
                        sock.close()
                for sock in held:
                    sock.close()
            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            daemon = self.start("127.0.0.1:%d" % listener.getsockname()[1], on_failure="error",
                                timeouts={"connect": "250ms", "request": "300ms"})
            wire = daemon.wire("py3").send(b"get k\r\n")
            self.assertIn(b"SERVER_ERROR", wire.line())
            self.assertIn(reason, daemon.log())
            self.assertIsNone(daemon.finish())
            daemon.expected_end = 0
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            thread.join(harness.WAIT)

    def test_an_answer_in_pieces(self):
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        seen = []

        def serve(sock):
            with sock:
                data = b""
                while not data.endswith(b"alice secret\r\n"):
                    data += sock.recv(65536)
                for byte in b"STORED\r\n":
                    time.sleep(0.01)
                    sock.sendall(bytes([byte]))
                seen.append(data)
                seen.append(sock.recv(65536))
                sock.sendall(b"END\r\n")

        def accept():
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(sock,), daemon=True).start()
        threading.Thread(target=accept, daemon=True).start()
        daemon = self.start("127.0.0.1:%d" % listener.getsockname()[1])
        daemon.wire("py2").talk(b"get k\r\n", b"END\r\n")
        # Nothing went out in front of the answer: what was asked came in a packet of its own.
        self.assertIn(b"get k\r\n", seen)
        self.assertIn(b"set crossfade 0 -1 12\r\nalice secret\r\n", seen)
        listener.close()


if __name__ == "__main__":
    harness.main()
