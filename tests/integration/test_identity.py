"""The arm by who the client is: its process, its TLS certificate, its user; and who is shown."""
import os
import shutil
import subprocess
import unittest

import certificates
import harness
from logins import (NO_ARM, UNAUTHENTICATED, WHICH_ARM, Auth, arm_reply, frame, line, plain,
                    take_frame, text_login)


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

    @unittest.skipUnless(os.geteuid() == 0, "it takes root to be another user")
    def test_a_program_that_may_not_be_seen_matches_nothing(self):
        self.server = self.memcached()
        os.chmod(self.folder, 0o777)
        os.chown(self.path("state"), 65534, -1)
        config = self.config(self.server, {"address": "unix:@dir@/door", "mode": "0666", "arm": "py2",
                                           "arms": [{"executable": "/*", "arm": "py3"}]})
        config["process"]["user"] = "nobody"
        self.running = self.daemon(config)
        self.assertIn(b"py2", self.ask())
        self.assertIn(b"cannot be seen (Permission denied): it matches no executable",
                      self.running.log())
        self.assertIn(b"py3", self.ask("setpriv", "--reuid=65534", "--regid=65534",
                                       "--clear-groups"))

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


if __name__ == "__main__":
    harness.main()
