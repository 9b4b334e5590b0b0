"""Logins at a cache listener, in both protocols, byte for byte as memcached has them."""
import json
import os
import shutil
import struct
import subprocess
import time
import unittest

import harness
from logins import (FAILURE, UNAUTHENTICATED, WHICH_ARM, Auth, arm_reply, frame, line, plain,
                    take_frame, text_login)


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


if __name__ == "__main__":
    harness.main()
