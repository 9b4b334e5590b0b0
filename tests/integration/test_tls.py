"""TLS from cache clients: versions, certificates, resumption, reload, and clients that are no friends."""
import os
import pwd
import select
import socket
import ssl
import subprocess
import threading
import time
import unittest
import warnings

import certificates
import harness
from certificates import HandMade, SecureWire

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


class Secure(harness.Test):
    """An authority, a certificate of it, and a daemon with a listener `tls` for py3."""

    def setUp(self):
        super().setUp()
        self.authority = certificates.Authority(self.folder)
        self.server = self.authority.pair("server")

    def tls(self, **changes):
        section = {"certificate": self.server.certificate, "key": self.server.key}
        section.update(changes)
        return section

    def config(self, memcached=None, listen=(), **changes):
        config = harness.cache_config(memcached or self.memcached(), **changes)
        config["cache"]["listen"].append(
            {"address": "127.0.0.1:@tls@", "arm": "py3", "tls": self.tls()})
        config["cache"]["listen"] += listen
        config["process"]["log"] = {"level": "debug"}
        return config

    def secure(self, daemon, name="tls", version=None, session=None, pair=None, context=None):
        return SecureWire(daemon.port(name), context or self.authority.context(pair, version),
                          session)

    def counts(self, daemon, name="tls"):
        return {row["counter"]: row["value"] for row in daemon.show("stats")
                if row["of"] == "127.0.0.1:%d" % daemon.port(name)}

    def wait_counts(self, daemon, **wanted):
        harness.eventually(lambda: wanted.items() <= self.counts(daemon).items(), str(wanted))

    def answers(self, wire):
        wire.talk(b"set who 5 0 3\r\npy3\r\nget who\r\n",
                  b"STORED\r\nVALUE who 5 3\r\npy3\r\nEND\r\n")
        return wire


class Speaking(Secure):
    def test_both_versions_and_the_same_cache_as_plain_clients(self):
        daemon = self.daemon(self.config())
        for version in V12, V13:
            self.answers(self.secure(daemon, version=version))
        daemon.wire("py3").talk(b"get who\r\n", b"VALUE who 5 3\r\npy3\r\nEND\r\n")
        daemon.wire("py2").talk(b"get who\r\n", b"END\r\n")
        self.wait_counts(daemon, handshakes=2, failed=0)

    def test_old_versions_are_refused(self):
        daemon = self.daemon(self.config())
        old = self.authority.context()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            old.minimum_version = ssl.TLSVersion.TLSv1
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.set_ciphers("DEFAULT@SECLEVEL=0")
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            self.secure(daemon, context=old)
        self.wait_counts(daemon, handshakes=0, failed=1)
        harness.eventually(lambda: b"it has no version of TLS from 1.2 up" in daemon.log())

    def test_only_ciphers_with_forward_secrecy(self):
        daemon = self.daemon(self.config())
        weak = self.authority.context(version=V12)
        for ciphers in "AES128-SHA:AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA":
            weak.set_ciphers(ciphers + ":@SECLEVEL=0")
            with self.assertRaises((ssl.SSLError, ConnectionError)):
                self.secure(daemon, context=weak)

    def test_a_client_that_does_not_know_the_authority_ends_it(self):
        daemon = self.daemon(self.config())
        other = certificates.Authority(self.folder, "other")
        for version in V12, V13:
            with self.assertRaises(ssl.SSLCertVerificationError):
                self.secure(daemon, context=other.context(version=version))
        harness.eventually(lambda: daemon.log().count(b"does not know the authority") == 2)
        self.wait_counts(daemon, handshakes=0, failed=2)

    def test_the_whole_chain_is_sent_and_the_key_may_be_in_the_same_file(self):
        run = certificates.run
        path = lambda name: os.path.join(self.folder, name)
        with open(path("ca.ext"), "w") as file:
            file.write("basicConstraints=critical,CA:true\n")
        run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
            path("between.key"), "-out", path("between.csr"), "-subj", "/CN=between")
        run("x509", "-req", "-in", path("between.csr"), "-CA", self.authority.certificate, "-CAkey",
            self.authority.key, "-set_serial", "7", "-days", "30", "-extfile", path("ca.ext"),
            "-out", path("between.pem"))
        between = certificates.Authority.__new__(certificates.Authority)
        between.folder, between.key = self.folder, path("between.key")
        between.certificate = path("between.pem")
        leaf = between.pair("leaf")
        bundle = path("bundle.pem")
        with open(bundle, "wb") as file:
            for each in leaf.certificate, path("between.pem"), leaf.key:
                with open(each, "rb") as part:
                    file.write(part.read())
        config = self.config()
        config["cache"]["listen"][2]["tls"] = {"certificate": bundle}
        self.answers(self.secure(self.daemon(config)))

    def test_through_a_unix_socket(self):
        config = self.config(listen=[{"address": "unix:@dir@/tls.sock", "arm": "py3",
                                      "tls": self.tls()}])
        self.daemon(config)
        self.answers(SecureWire(os.path.join(self.folder, "tls.sock"), self.authority.context()))

    def test_a_client_library(self):
        try:
            from pymemcache.client.base import Client
        except ImportError:
            self.skipTest("python3-pymemcache is not installed")
        daemon = self.daemon(self.config())
        client = Client(("localhost", daemon.port("tls")), tls_context=self.authority.context(),
                        timeout=harness.WAIT, connect_timeout=harness.WAIT)
        client.set("number", b"41")
        self.assertEqual(client.incr("number", 1), 42)
        client.set_many({"k%d" % i: b"v" * i for i in range(200)})
        self.assertEqual(client.get_many(["k%d" % i for i in range(200)]),
                         {"k%d" % i: b"v" * i for i in range(200)})
        self.assertTrue(client.delete("number", noreply=False))
        self.assertIsNone(client.get("number"))
        client.close()


class Identity(Secure):
    """Certificates of clients."""

    def config_with(self, mode, ca=None):
        config = self.config()
        config["cache"]["listen"][2]["tls"].update(
            client_ca=(ca or self.authority).certificate, client=mode)
        return config

    def refused(self, daemon, version, pair=None):
        """With 1.3 a client has finished before it can be told."""
        with self.assertRaises((ssl.SSLError, ConnectionError, AssertionError)) as caught:
            wire = self.secure(daemon, version=version, pair=pair)
            wire.talk(b"set k 0 0 1\r\nx\r\n", b"STORED\r\n")
        self.assertNotIn("STORED", str(caught.exception).split(", got")[-1])

    def test_required(self):
        daemon = self.daemon(self.config_with("required"))
        other = certificates.Authority(self.folder, "other")
        good, strange = self.authority.pair("client", "web1.py3.example"), other.pair("strange")
        old = self.authority.pair("old", days=0)
        time.sleep(1.1)  # until it has expired
        for version in V12, V13:
            self.answers(self.secure(daemon, version=version, pair=good))
            self.refused(daemon, version)
            self.refused(daemon, version, strange)
            self.refused(daemon, version, old)
        self.wait_counts(daemon, handshakes=2, failed=6)
        log = daemon.log()
        for words in (b"it has given no certificate", b"its certificate is not accepted: unable to "
                      b"get local issuer certificate", b"certificate has expired"):
            self.assertEqual(log.count(words), 2, daemon.log_text())

    def test_optional(self):
        daemon = self.daemon(self.config_with("optional"))
        other = certificates.Authority(self.folder, "other").pair("strange")
        for version in V12, V13:
            self.answers(self.secure(daemon, version=version))
            self.answers(self.secure(daemon, version=version, pair=self.authority.pair("client")))
            self.refused(daemon, version, other)
        self.wait_counts(daemon, handshakes=4, failed=2)


class Resumption(Secure):
    def session(self, wire):
        """With 1.3 it comes behind the handshake, with the first bytes."""
        self.answers(wire)
        return wire.sock.session

    def resumes(self, daemon, context, session, name="tls"):
        with self.secure(daemon, name, context=context, session=session) as wire:
            self.answers(wire)
            return wire.sock.session_reused

    def test_each_resumption_brings_the_session_for_the_next(self):
        """As with 1.3 a client uses a ticket once."""
        daemon = self.daemon(self.config())
        for version in V12, V13:
            context = self.authority.context(version=version)
            session = self.session(self.secure(daemon, context=context))
            tickets = set()
            for _ in range(5):
                with self.secure(daemon, context=context, session=session) as wire:
                    self.answers(wire)
                    self.assertTrue(wire.sock.session_reused)
                    session = wire.sock.session
                    tickets.add(session.id)
            if version == V13:
                self.assertEqual(len(tickets), 5)

    def test_by_any_worker_and_after_a_reload_with_another_certificate(self):
        config = self.config()
        config["process"]["workers"] = 3
        daemon = self.daemon(config)
        contexts = [self.authority.context(version=version) for version in (V12, V13)]
        sessions = [self.session(self.secure(daemon, context=each)) for each in contexts]
        for _ in range(12):
            for context, session in zip(contexts, sessions):
                self.assertTrue(self.resumes(daemon, context, session))
        self.wait_counts(daemon, handshakes=26, resumed=24, failed=0)
        self.server = self.authority.pair("server2", "localhost")
        config["cache"]["listen"][2]["tls"] = self.tls()
        daemon.write(config)
        daemon.ctl("reload")
        for context, session in zip(contexts, sessions):
            self.assertTrue(self.resumes(daemon, context, session))

    def test_not_at_another_listener(self):
        daemon = self.daemon(self.config(listen=[
            {"address": "127.0.0.1:@other@", "arm": "py2", "tls": self.tls()}]))
        for version in V12, V13:
            context = self.authority.context(version=version)
            session = self.session(self.secure(daemon, context=context))
            self.assertFalse(self.resumes_other(daemon, context, session))
            self.assertTrue(self.resumes(daemon, context, session))

    def resumes_other(self, daemon, context, session):
        with self.secure(daemon, "other", context=context, session=session) as wire:
            wire.talk(b"get nothing\r\n", b"END\r\n")
            return wire.sock.session_reused

    def test_not_when_other_authorities_are_trusted(self):
        config = self.config()
        config["cache"]["listen"][2]["tls"]["client_ca"] = self.authority.certificate
        daemon = self.daemon(config)
        other = certificates.Authority(self.folder, "other")
        for version in V12, V13:
            config["cache"]["listen"][2]["tls"]["client_ca"] = self.authority.certificate
            daemon.write(config)
            daemon.ctl("reload")
            context = self.authority.context(self.authority.pair("client"), version)
            session = self.session(self.secure(daemon, context=context))
            self.assertTrue(self.resumes(daemon, context, session))
            config["cache"]["listen"][2]["tls"]["client_ca"] = other.certificate
            daemon.write(config)
            daemon.ctl("reload")
            with self.assertRaises((ssl.SSLError, ConnectionError, AssertionError)):
                self.resumes(daemon, context, session)


class Reloading(Secure):
    def serial(self, wire):
        return wire.sock.getpeercert()["serialNumber"]

    def test_new_connections_get_the_new_certificate_and_old_ones_go_on(self):
        daemon = self.daemon(self.config())
        before = self.secure(daemon)
        self.answers(before)
        fresh = self.authority.pair("fresh")
        for name in "certificate", "key":
            os.replace(getattr(fresh, name), getattr(self.server, name))
        daemon.ctl("reload")
        after = self.secure(daemon)
        self.assertNotEqual(self.serial(before), self.serial(after))
        self.answers(after)
        self.answers(before)

    def test_a_broken_file_keeps_what_was_there(self):
        daemon = self.daemon(self.config())
        before = self.secure(daemon)
        with open(self.server.certificate, "w") as file:
            file.write("nothing\n")
        for options in [], ["--check"]:
            said = subprocess.run([harness.program("crossfadectl"), "--socket",
                                   os.path.join(self.folder, "control.sock"), "reload"] + options,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  timeout=harness.WAIT)
            self.assertNotEqual(said.returncode, 0)
            self.assertRegex(said.stdout.decode(),
                             r"crossfade.yaml:\d+:\d+: cache.listen\[2\].tls.certificate "
                             + self.server.certificate + " holds no certificate in PEM form")
        self.assertIn(b"not reloaded: ", daemon.log())
        after = self.secure(daemon)
        self.assertEqual(self.serial(before), self.serial(after))
        self.answers(after)
        self.answers(before)

    def test_under_load_no_request_is_lost(self):
        config = self.config()
        daemon = self.daemon(config)
        pairs = [self.server, self.authority.pair("second")]
        context = self.authority.context()
        stop = threading.Event()
        faults, done = [], []

        def keep_going(number):
            try:
                while not stop.is_set():
                    with SecureWire(daemon.port("tls"), context) as wire:
                        for i in range(20):
                            key = b"k%d-%d" % (number, i)
                            wire.talk(b"set %s 0 0 100\r\n%s\r\nget %s\r\n" % (key, b"v" * 100, key),
                                      b"STORED\r\nVALUE %s 0 100\r\n%s\r\nEND\r\n" % (key, b"v" * 100))
                            done.append(1)
            except Exception as error:  # for the test's own thread to see
                faults.append(error)

        threads = [threading.Thread(target=keep_going, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for number in range(10):
            self.server = pairs[number % 2]
            config["cache"]["listen"][2]["tls"] = self.tls()
            daemon.write(config)
            daemon.ctl("reload")
            before = len(done)
            harness.eventually(lambda: faults or len(done) > before + 50)
        stop.set()
        for thread in threads:
            thread.join(harness.WAIT)
        self.assertEqual(faults, [])
        self.assertEqual(self.counts(daemon)["failed"], 0)

    def test_tls_can_be_turned_off_and_on(self):
        config = self.config()
        daemon = self.daemon(config)
        before = self.secure(daemon)
        section = config["cache"]["listen"][2].pop("tls")
        daemon.write(config)
        daemon.ctl("reload")
        self.answers(daemon.wire("tls"))
        self.answers(before)
        self.assertEqual(self.counts(daemon)["certificate_expires"], 0)
        config["cache"]["listen"][2]["tls"] = section
        daemon.write(config)
        daemon.ctl("reload")
        self.answers(self.secure(daemon))
        self.assertGreater(self.counts(daemon)["certificate_expires"], time.time())

    @unittest.skipUnless(os.geteuid() == 0, "only root becomes another user")
    def test_a_key_that_only_root_may_read(self):
        """Is read once, and not again while it stays as it is."""
        config = self.config()
        config["process"].update(user="nobody", state_dir="@dir@/fresh")
        nobody = pwd.getpwnam("nobody")
        os.chmod(self.folder, 0o755)
        os.chmod(self.server.key, 0o600)
        daemon = self.daemon(config)
        self.answers(self.secure(daemon))
        self.assertRegex(daemon.log_text(), r"warn  \S+: cache.listen\[2\].tls.key \S+server.key cannot "
                         "be read any more, now that the daemon has become process.user: Permission")
        os.chown(daemon.config_path, nobody.pw_uid, -1)
        config["cache"]["max_value"] = "2m"
        daemon.write(config)
        daemon.ctl("reload")
        self.answers(self.secure(daemon))
        os.utime(self.server.key)
        daemon.reload()
        harness.eventually(lambda: b"not reloaded" in daemon.log())
        self.assertRegex(daemon.log_text(), r"server.key cannot be read by user nobody: Permission "
                         "denied; a reload has the rights of process.user only: give that user")
        self.answers(self.secure(daemon))


class Files(Secure):
    """Faults of the files, where they are given."""

    def check(self, tls, status):
        path = os.path.join(self.folder, "checked.yaml")
        with open(path, "w") as file:
            file.write("arms: [ { name: py3 } ]\n"
                       "cache:\n"
                       "  servers: [ \"127.0.0.1:11211\" ]\n"
                       "  listen:\n"
                       "    - address: \"127.0.0.1:11311\"\n"
                       "      arm: py3\n"
                       "      tls:\n")
            for key, value in tls.items():
                file.write("        %s: %s\n" % (key, value))
        done = subprocess.run([harness.program("crossfade"), "-c", path, "--check"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=harness.WAIT)
        text = done.stderr.decode().replace(path, "FILE")
        self.assertEqual(done.returncode, status, text)
        return text

    def test_good_ones(self):
        self.assertEqual(self.check(self.tls(client_ca=self.authority.certificate), 0), "")

    def test_a_key_that_does_not_match(self):
        other = self.authority.pair("other")
        self.assertEqual(self.check(self.tls(key=other.key), 1),
                         "FILE:9:14: cache.listen[0].tls.key %s does not match the certificate in "
                         "%s\n" % (other.key, self.server.certificate))

    def test_a_key_with_a_password(self):
        locked = os.path.join(self.folder, "locked.key")
        certificates.run("pkey", "-in", self.server.key, "-aes256", "-passout", "pass:secret",
                         "-out", locked)
        self.assertIn("FILE:9:14: cache.listen[0].tls.key %s is protected by a password" % locked,
                      self.check(self.tls(key=locked), 1))

    def test_files_that_cannot_be_read(self):
        text = self.check(self.tls(certificate="/nonexistent/c.pem", client_ca=self.folder), 1)
        self.assertIn("FILE:8:22: cache.listen[0].tls.certificate /nonexistent/c.pem cannot be read: "
                      "No such file or directory\n", text)
        self.assertIn("FILE:10:20: cache.listen[0].tls.client_ca %s is no file\n" % self.folder, text)
        huge, empty = os.path.join(self.folder, "huge"), os.path.join(self.folder, "empty")
        with open(huge, "w") as file:
            file.truncate(5 << 20)
        open(empty, "w").close()
        text = self.check(self.tls(certificate=huge, client_ca=empty), 1)
        self.assertIn("%s is larger than 4194304 bytes\n" % huge, text)
        self.assertIn("%s holds no certificate in PEM form\n" % empty, text)

    def test_files_that_hold_something_else(self):
        self.assertIn("FILE:9:14: cache.listen[0].tls.key %s holds no private key in PEM form\n"
                      % self.server.certificate,
                      self.check(self.tls(key=self.server.certificate), 1))
        self.assertIn("holds no certificate in PEM form",
                      self.check(self.tls(certificate=self.server.key), 1))
        self.assertIn("holds no private key", self.check({"certificate": self.server.certificate}, 1))
        self.assertIn("client_ca %s holds no certificate" % self.server.key,
                      self.check(self.tls(client_ca=self.server.key), 1))

    def test_damaged_files(self):
        with open(self.server.certificate) as file:
            lines = file.read().splitlines()
        for damage in ([lines[0], "!" + lines[1][1:]] + lines[2:], lines[:-1],
                       lines + lines[:1] + ["AAAA"] + lines[-1:]):
            path = os.path.join(self.folder, "damaged.pem")
            with open(path, "w") as file:
                file.write("\n".join(damage) + "\n")
            self.assertIn("damaged", self.check(self.tls(certificate=path), 1))

    def test_an_expired_certificate_is_a_warning(self):
        old = self.authority.pair("old", days=0)
        time.sleep(1.1)
        text = self.check(self.tls(certificate=old.certificate, key=old.key), 0)
        self.assertRegex(text, r"FILE:8:22: warning: cache.listen\[0\].tls.certificate \S+old.pem: its "
                         "certificate expired on ")

    def test_client_without_client_ca(self):
        self.assertIn("FILE:10:17: cache.listen[0].tls.client needs to know whose certificates are good",
                      self.check(self.tls(client="optional"), 1))

    def test_the_start_is_refused(self):
        config = self.config()
        config["cache"]["listen"][2]["tls"]["key"] = "/nonexistent/k.key"
        with self.assertRaises(AssertionError) as caught:
            harness.Daemon(self.folder, config)
        self.assertRegex(str(caught.exception), r"not started: \S+crossfade.yaml:\d+:\d+: "
                         r"cache.listen\[2\].tls.key /nonexistent/k.key cannot be read")


class Bytes(Secure):
    """What comes in other pieces than it was meant to."""

    def test_every_byte_by_itself(self):
        daemon = self.daemon(self.config())
        for version in V12, V13:
            client = HandMade(daemon.port("tls"), self.authority.context(version=version))

            def drip(data):
                for at in range(len(data)):
                    client.raw.sendall(data[at:at + 1])

            drip(client.shake(drip))
            drip(client.flight(lambda: client.tls.write(b"set k 0 0 3\r\nabc\r\nget k\r\n")))
            self.assertEqual(client.read(31), b"STORED\r\nVALUE k 0 3\r\nabc\r\nEND\r\n")
            client.close()

    def test_commands_in_one_piece_with_the_end_of_the_handshake(self):
        daemon = self.daemon(self.config())
        for version in V12, V13:
            for count in 1, 3000:
                client = HandMade(daemon.port("tls"), self.authority.context(version=version))
                finished = client.shake(client.raw.sendall)
                rest = client.flight(lambda: client.tls.write(b"get nothing\r\n" * count))
                client.raw.sendall(finished + rest)
                self.assertEqual(client.read(5 * count), b"END\r\n" * count)
                client.close()

    def test_a_handshake_that_breaks_off_at_every_byte(self):
        daemon = self.daemon(self.config())
        for version in V12, V13:
            client = HandMade(daemon.port("tls"), self.authority.context(version=version))
            hello = client.flight(client.tls.do_handshake)
            client.close()
            for length in range(0, len(hello), 1 if version == V13 else 3):
                with harness.Wire(daemon.port("tls")) as wire:
                    wire.send(hello[:length])
        harness.eventually(lambda: self.counts(daemon)["failed"] > len(hello))
        self.answers(self.secure(daemon))
        self.assertEqual(self.counts(daemon)["handshakes"], 1)
        # None of them is left behind.
        descriptors = "/proc/%d/fd" % daemon.pid
        harness.eventually(lambda: len(os.listdir(descriptors)) < 60)

    def test_damage_in_every_part_of_a_record(self):
        daemon = self.daemon(self.config())
        for at in 0, 1, 3, 4, 5, 20, -1:
            client = HandMade(daemon.port("tls"), self.authority.context(version=V13))
            client.raw.sendall(client.shake(client.raw.sendall))
            record = bytearray(client.flight(lambda: client.tls.write(b"set bad 0 0 1\r\nx\r\n")))
            record[at] ^= 0x55
            client.raw.sendall(bytes(record))
            if at in (3, 4):  # the length: it may wait for more
                client.raw.shutdown(socket.SHUT_WR)
            client.raw.settimeout(harness.WAIT)
            try:
                while client.raw.recv(65536):
                    pass
            except ConnectionError:
                pass
            client.close()
        daemon.wire("py3").talk(b"get bad\r\n", b"END\r\n")

    def test_no_tls_at_all(self):
        daemon = self.daemon(self.config())
        for said in (b"get k\r\n", b"version\r\n" * 100, b"GET / HTTP/1.1\r\n\r\n", b"\x80" + b"\0" * 23,
                     b"\x16\x03\x01\xff\xff" + b"\0" * 100, b"\0" * 5000, os.urandom(5000)):
            with harness.Wire(daemon.port("tls")) as wire:
                wire.send(said)
                answer = wire.rest()
                self.assertLessEqual(len(answer), 7, answer)  # at most an alert
        self.wait_counts(daemon, handshakes=0, failed=7)
        self.assertIn(b"it does not speak TLS", daemon.log())
        # A look whether somebody is there is no failure.
        harness.Wire(daemon.port("tls")).close()
        self.answers(self.secure(daemon))
        self.wait_counts(daemon, handshakes=1, failed=7)

    def test_the_end_of_tls_still_gets_its_answers(self):
        daemon = self.daemon(self.config())
        for version in V12, V13:
            client = HandMade(daemon.port("tls"), self.authority.context(version=version))
            client.raw.sendall(client.shake(client.raw.sendall))
            data = client.flight(lambda: client.tls.write(b"get nothing\r\n" * 500))
            client.raw.sendall(data + client.flight(client.tls.unwrap))
            client.raw.settimeout(harness.WAIT)
            while client.take():
                pass
            # Python reads nothing more after its own end; so what came is counted: it has the size of
            # the answers, and an end of TLS behind them.
            self.assertGreater(client.incoming.pending, 2500)
            client.close()
        harness.eventually(lambda: self.counts(daemon)["connections"] == 0)

    def test_a_value_that_is_cut_off_is_not_stored(self):
        daemon = self.daemon(self.config())
        wire = self.secure(daemon)
        wire.send(b"set cut 0 0 100\r\n" + b"x" * 99)
        wire.sock.shutdown(socket.SHUT_WR)  # of the socket, not of TLS
        wire.rest()
        daemon.wire("py3").talk(b"get cut\r\n", b"END\r\n")
        harness.eventually(lambda: b"without the end of TLS" in daemon.log())


class Volume(Secure):
    def test_ten_megabytes_both_ways(self):
        daemon = self.daemon(self.config(self.memcached("-I", "16m"), max_value="16m",
                                         timeouts={"request": "10s"}))
        value = os.urandom(1 << 20) * 10
        for version in V12, V13:
            wire = self.secure(daemon, version=version)
            wire.talk(b"set big 0 0 %d\r\n%s\r\n" % (len(value), value), b"STORED\r\n", 30)
            wire.talk(b"get big\r\n", b"VALUE big 0 %d\r\n%s\r\nEND\r\n" % (len(value), value), 30)

    def test_many_small_and_large_ones_in_a_pipeline(self):
        daemon = self.daemon(self.config())
        wire = self.secure(daemon)
        sizes = [0, 1, 100, 511, 513, 2000, 16383, 16384, 16385, 40000, 65536, 70000, 300000]
        for size in sizes:
            wire.talk(b"set s%d 0 0 %d\r\n%s\r\n" % (size, size, b"%x" % (size % 16) * size),
                      b"STORED\r\n")
        request = b"".join(b"get s%d\r\n" % size for size in sizes) * 5
        wanted = b"".join(b"VALUE s%d 0 %d\r\n%s\r\nEND\r\n" % (size, size, b"%x" % (size % 16) * size)
                          for size in sizes) * 5
        wire.talk(request, wanted, 30)

    def test_a_client_that_reads_late_and_in_small_pieces_gets_all(self):
        daemon = self.daemon(self.config(timeouts={"request": "20s"}))
        wire = self.secure(daemon)
        value = os.urandom(100000)
        wire.talk(b"set v 0 0 100000\r\n%s\r\n" % value, b"STORED\r\n")
        wire.send(b"get v\r\n" * 100)
        wanted = b"VALUE v 0 100000\r\n%s\r\nEND\r\n" % value * 100
        got = bytearray()
        while len(got) < len(wanted):
            got += wire.sock.recv(5000)
        self.assertEqual(bytes(got), wanted)
        self.answers(wire)

    def test_what_is_held_back_is_read_later(self):
        """More than 1024 commands under way stop the reading; what TLS holds then is not forgotten."""
        daemon = self.daemon(self.config())
        wire = self.secure(daemon)
        left, got = b"get nothing\r\n" * 40000, bytearray()
        # By one thread: OpenSSL's streams are not for two at once.
        wire.sock.setblocking(False)
        while len(got) < 5 * 40000:
            try:
                left = left[wire.sock.send(left[:65536]):] if left else left
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                pass
            try:
                part = wire.sock.recv(65536)
                self.assertTrue(part, "the end of the stream")
                got += part
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                select.select([wire.sock], [wire.sock] if left else [], [], harness.WAIT)
        wire.sock.setblocking(True)
        self.assertEqual(b"END\r\n" * 40000, bytes(got))
        self.answers(wire)

    def test_many_at_once(self):
        daemon = self.daemon(self.config())
        context = self.authority.context()
        clients = [HandMade(daemon.port("tls"), context) for _ in range(200)]
        for client in clients:
            client.raw.sendall(client.flight(client.tls.do_handshake))
        for client in clients:
            client.raw.sendall(client.shake(client.raw.sendall))
        for client in clients:
            client.raw.sendall(client.flight(lambda: client.tls.write(b"get nothing\r\n")))
        for client in clients:
            self.assertEqual(client.read(5), b"END\r\n")
        self.assertEqual(self.counts(daemon)["connections"], 200)
        for client in clients:
            client.close()
        harness.eventually(lambda: self.counts(daemon)["connections"] == 0)


class Watching(Secure):
    def test_metrics(self):
        config = self.config()
        config["control"]["http"] = "127.0.0.1:@admin@"
        daemon = self.daemon(config)
        self.answers(self.secure(daemon))
        page = harness.connect(daemon.port("admin"))
        page.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        text = b""
        while True:
            part = page.recv(65536)
            if not part:
                break
            text += part
        page.close()
        label = "{listener=\"127.0.0.1:%d\"}" % daemon.port("tls")
        for line in "crossfade_tls_handshakes_total%s 1", "crossfade_tls_failed_total%s 0":
            self.assertIn((line % label).encode(), text)
        self.assertIn(b"crossfade_tls_certificate_expires" + label.encode(), text)

    def test_the_stop_waits_for_nobody_who_has_not_begun(self):
        config = self.config()
        config["process"]["workers"] = 1
        daemon = self.daemon(config)
        silent = harness.Wire(daemon.port("tls"))
        busy = self.secure(daemon)
        self.answers(busy)
        busy.send(b"set k 0 0 10\r\n12345")
        daemon.signal(15)
        silent.expect_end()
        busy.send(b"67890\r\n").expect(b"STORED\r\n")
        daemon.wait()
        busy.expect_end()


if __name__ == "__main__":
    harness.main()
