"""TLS towards memcached servers: real ones, and a terminator in front of one that can be looked into."""
import os
import re
import socket
import ssl
import subprocess
import threading
import time

import certificates
import harness
from certificates import SecureWire, Terminator


class Servers(harness.Test):
    def setUp(self):
        super().setUp()
        self.authority = certificates.Authority(self.folder)
        self.server = self.authority.pair("server")

    def secure_memcached(self, *more, pair=None):
        pair = pair or self.server
        return self.memcached("-Z", "-o", ",".join(
            ("ssl_chain_cert=" + pair.certificate, "ssl_key=" + pair.key) + more))

    def terminator(self, pair=None, target=None, client_ca=None, path=None):
        terminator = Terminator(pair or self.server, target or self.memcached().port, client_ca,
                                path)
        self.addCleanup(terminator.close)
        return terminator

    def config(self, *servers, **tls):
        section = {"ca": self.authority.certificate}
        section.update(tls)
        config = harness.cache_config(*servers, server_tls=section,
                                      timeouts={"connect": "2s", "request": "5s"})
        config["process"]["log"] = {"level": "debug"}
        return config

    def counts(self, daemon):
        return daemon.show("servers")[0]

    def answers(self, daemon):
        wire = daemon.wire("py3")
        wire.talk(b"set who 5 0 3\r\npy3\r\nget who\r\n",
                  b"STORED\r\nVALUE who 5 3\r\npy3\r\nEND\r\n")
        return wire

    def refuses(self, daemon, words):
        """The client is told in a word, the log in full."""
        line = daemon.wire("py3").send(b"set k 0 0 1\r\nx\r\n").line()
        self.assertRegex(line, rb"^SERVER_ERROR memcached server \S+ (failed|is down) \(")
        self.assertIn(words.encode(), line)
        self.assertIn(words, daemon.log_text())
        self.assertGreaterEqual(self.counts(daemon)["tls_failures"], 1)
        self.assertEqual(self.counts(daemon)["tls_handshakes"], 0)


class Trust(Servers):
    def test_a_real_memcached(self):
        memcached = self.secure_memcached()
        daemon = self.daemon(self.config(memcached))
        wire = self.answers(daemon)
        value = os.urandom(900000)
        wire.talk(b"set big 0 0 900000\r\n%s\r\nget big\r\n" % value,
                  b"STORED\r\nVALUE big 0 900000\r\n%s\r\nEND\r\n" % value)
        self.assertGreaterEqual(self.counts(daemon)["tls_handshakes"], 1)
        memcached.kill()
        memcached.start()
        harness.eventually(lambda: wire.send(b"set k 0 0 1\r\nx\r\n").line() == b"STORED\r\n")

    def test_a_client_certificate_for_a_real_memcached(self):
        pair = self.authority.pair("ours", "crossfade")
        memcached = self.secure_memcached("ssl_ca_cert=" + self.authority.certificate,
                                          "ssl_verify_mode=2")
        config = self.config(memcached, certificate=pair.certificate, key=pair.key)
        daemon = self.daemon(config)
        self.answers(daemon)
        del config["cache"]["server_tls"]["certificate"], config["cache"]["server_tls"]["key"]
        daemon.write(config)
        daemon.ctl("reload")
        line = daemon.wire("py3").send(b"set k 0 0 1\r\nx\r\n").line()
        self.assertRegex(line, rb"^SERVER_ERROR")

    def test_the_certificate_shown_is_ours(self):
        pair = self.authority.pair("ours", "crossfade")
        terminator = self.terminator(client_ca=self.authority.certificate)
        self.answers(self.daemon(self.config(terminator, certificate=pair.certificate,
                                             key=pair.key)))
        self.assertIn((("commonName", "crossfade"),), terminator.peers[0]["subject"])

    def test_another_name(self):
        other = self.authority.pair("other", "other.example", "DNS:other.example,IP:127.0.0.9")
        daemon = self.daemon(self.config(self.terminator(other)))
        self.refuses(daemon, "its certificate is not accepted: it is for another name")

    def test_the_name_that_is_configured(self):
        other = self.authority.pair("other", "other.example", "DNS:*.other.example")
        terminator = self.terminator(other)
        self.answers(self.daemon(self.config(terminator, name="cache7.other.example")))
        self.assertEqual(terminator.names[0], "cache7.other.example")

    def test_the_name_of_the_address_is_asked_for_and_an_address_is_not(self):
        terminator = self.terminator()
        config = self.config("localhost:%d" % terminator.port)
        daemon = self.daemon(config)
        self.answers(daemon)
        self.assertEqual(set(terminator.names), {"localhost"})
        config["cache"]["servers"] = [terminator.address]
        daemon.write(config)
        daemon.ctl("reload")
        self.answers(daemon)
        self.assertEqual(terminator.names[-1], None)

    def test_expired(self):
        old = self.authority.pair("old", days=0)
        terminator = self.terminator(old)
        time.sleep(1.1)
        self.refuses(self.daemon(self.config(terminator)),
                     "its certificate is not accepted: certificate has expired")

    def test_an_unknown_authority(self):
        other = certificates.Authority(self.folder, "unknown").pair("strange")
        self.refuses(self.daemon(self.config(self.terminator(other))),
                     "its certificate is not accepted: unable to get local issuer certificate")

    def test_the_system_s_authorities_do_not_know_ours(self):
        config = self.config(self.terminator())
        del config["cache"]["server_tls"]["ca"]
        daemon = self.daemon(config, env={"SSL_CERT_FILE": certificates.Authority(
            self.folder, "system").certificate})
        self.refuses(daemon, "unable to get local issuer certificate")

    def test_the_system_s_authorities(self):
        config = self.config(self.terminator())
        del config["cache"]["server_tls"]["ca"]
        self.answers(self.daemon(config, env={"SSL_CERT_FILE": self.authority.certificate}))

    def test_nothing_is_verified_on_demand_and_loudly(self):
        other = certificates.Authority(self.folder, "unknown").pair("strange", "x", "DNS:x")
        config = self.config(self.terminator(other), verify=False)
        del config["cache"]["server_tls"]["ca"]
        daemon = self.daemon(config)
        self.answers(daemon)
        self.assertRegex(daemon.log_text(), r"warn  \S+crossfade.yaml:\d+:\d+: cache.server_tls.verify "
                         "is false: the servers' certificates are not checked")

    def test_a_server_that_speaks_plain(self):
        self.refuses(self.daemon(self.config(self.memcached())), "it does not speak TLS")

    def test_a_plain_client_of_a_server_that_speaks_tls(self):
        config = harness.cache_config(self.secure_memcached())
        line = self.daemon(config).wire("py3").send(b"set k 0 0 1\r\nx\r\n").line()
        self.assertRegex(line, b"^SERVER_ERROR")

    def test_a_server_that_says_nothing(self):
        """Is given up in time, and its neighbour is not held up."""
        deaf = harness.socket.socket()
        self.addCleanup(deaf.close)
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(16)
        config = self.config("127.0.0.1:%d" % deaf.getsockname()[1], self.terminator())
        config["cache"]["timeouts"]["connect"] = "300ms"
        daemon = self.daemon(config)
        wire = daemon.wire("py3")
        lines = {wire.send(b"set key%d 0 0 1\r\nx\r\n" % i).line() for i in range(40)}
        self.assertIn(b"STORED\r\n", lines)
        self.assertTrue(any(b"no TLS handshake in time" in line for line in lines), lines)
        self.assertEqual(lines - {b"STORED\r\n"},
                         {line for line in lines if line.startswith(b"SERVER_ERROR")})

    def test_a_unix_socket_needs_a_name(self):
        path = os.path.join(self.folder, "faulty.yaml")
        with open(path, "w") as file:
            file.write("arms: [ { name: py3 } ]\ncache:\n"
                       "  listen: [ { address: \"127.0.0.1:11311\", arm: py3 } ]\n"
                       "  servers: [ \"unix:/run/memcached.sock\" ]\n"
                       "  server_tls: { ca: %s, key: /x }\n" % self.authority.certificate)
        done = subprocess.run([harness.program("crossfade"), "-c", path, "--check"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=harness.WAIT)
        text = done.stderr.decode()
        self.assertEqual(done.returncode, 1)
        self.assertIn(":4:14: cache.servers[0] is a unix socket, which has no name", text)
        self.assertIn(":5:%d: cache.server_tls.key is of no use without a certificate" % (
            len("  server_tls: { ca: %s, key: " % self.authority.certificate) + 1), text)


class Life(Servers):
    def test_the_session_is_used_again_after_a_loss(self):
        terminator = self.terminator()
        config = self.config(terminator)
        config["process"]["workers"] = 1
        daemon = self.daemon(config)
        wire = self.answers(daemon)
        for _ in range(3):
            seen = len(terminator.resumed)
            terminator.cut()
            harness.eventually(lambda: wire.send(b"set k 0 0 1\r\nx\r\n").line() == b"STORED\r\n")
            harness.eventually(lambda: len(terminator.resumed) > seen)
        self.assertEqual(terminator.resumed[0], False)
        self.assertEqual(set(terminator.resumed[1:]), {True})
        counts = self.counts(daemon)
        self.assertEqual(counts["tls_resumed"], counts["tls_handshakes"] - 1)

    def test_the_same_with_1_2(self):
        terminator = self.terminator()
        terminator.context.maximum_version = ssl.TLSVersion.TLSv1_2
        config = self.config(terminator)
        config["process"]["workers"] = 1
        daemon = self.daemon(config)
        wire = self.answers(daemon)
        terminator.cut()
        harness.eventually(lambda: wire.send(b"set k 0 0 1\r\nx\r\n").line() == b"STORED\r\n")
        self.assertEqual(terminator.resumed[:2], [False, True])

    def test_a_reload_with_another_authority_makes_new_connections(self):
        terminator = self.terminator()
        config = self.config(terminator)
        daemon = self.daemon(config)
        wire = self.answers(daemon)
        before = len(terminator.resumed)
        daemon.ctl("reload")  # nothing has changed: the connections stay
        wire.talk(b"get who\r\n", b"VALUE who 5 3\r\npy3\r\nEND\r\n")
        self.assertEqual(len(terminator.resumed), before)
        config["cache"]["server_tls"]["ca"] = certificates.Authority(self.folder, "new").certificate
        daemon.write(config)
        daemon.ctl("reload")
        self.assertRegex(wire.send(b"set k 0 0 1\r\nx\r\n").line(),
                         rb"^SERVER_ERROR .*unable to get local issuer")
        config["cache"]["server_tls"]["ca"] = self.authority.certificate
        daemon.write(config)
        daemon.ctl("reload")
        wire.talk(b"set k 0 0 1\r\nx\r\n", b"STORED\r\n")

    def test_ten_megabytes_through_tls_on_both_sides(self):
        terminator = self.terminator(target=self.memcached("-I", "16m").port)
        config = self.config(terminator)
        config["cache"].update(max_value="16m", timeouts={"connect": "2s", "request": "10s"})
        config["cache"]["listen"].append({
            "address": "127.0.0.1:@tls@", "arm": "py3",
            "tls": {"certificate": self.server.certificate, "key": self.server.key}})
        daemon = self.daemon(config)
        wire = SecureWire(daemon.port("tls"), self.authority.context())
        value = os.urandom(1 << 20) * 10
        wire.talk(b"set big 0 0 %d\r\n%s\r\n" % (len(value), value), b"STORED\r\n", 30)
        wire.talk(b"get big\r\n", b"VALUE big 0 %d\r\n%s\r\nEND\r\n" % (len(value), value), 30)

    def test_the_end_of_a_reply_that_no_socket_tells_of(self):
        """The last bytes are decrypted already, and behind them there is nothing to read.

        The worker's chunk has a little less room than four records of TLS have data.
        """
        path = os.path.join(self.folder, "secure.sock")
        terminator = self.terminator(path=path)
        daemon = self.daemon(self.config(terminator, name="localhost"))
        wire = daemon.wire("py2")
        for size in range(65400, 65513, 16):
            value = b"x" * size
            wire.talk(b"set v 0 0 %d\r\n%s\r\n" % (size, value), b"STORED\r\n")
            wanted = b"VALUE v 0 %d\r\n%s\r\nEND\r\n" % (size, value)
            terminator.held.clear()
            terminator.release.clear()
            terminator.hold = len(wanted)
            wire.send(b"get v\r\n")
            self.assertTrue(terminator.held.wait(harness.WAIT))
            daemon.freeze()
            terminator.release.set()
            time.sleep(0.02)  # for all of it to be in the socket, or the test proves less
            daemon.thaw()
            wire.expect(wanted)
        self.assertEqual(self.counts(daemon)["timeouts"], 0)

    def test_many_replies_that_a_slow_client_holds_back(self):
        """The connection to the server stops in the middle of what TLS has in hand, and goes on."""
        daemon = self.daemon(self.config(self.terminator()))
        wire = daemon.wire("py3")
        value = os.urandom(60000)
        wire.talk(b"set v 0 0 60000\r\n%s\r\n" % value, b"STORED\r\n")
        wanted = b"VALUE v 0 60000\r\n%s\r\nEND\r\n" % value * 200
        wire.send(b"get v\r\n" * 200)
        got = bytearray()
        while len(got) < len(wanted):
            got += wire.sock.recv(20000)
        self.assertEqual(bytes(got), wanted)

    def test_the_end_of_tls_right_behind_a_part_of_the_answer_to_a_login(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server.certificate, self.server.key)
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)

        def exchange(sock, into, out, action):
            while True:
                try:
                    return action()
                except ssl.SSLWantReadError:
                    sock.sendall(out.read())
                    into.write(sock.recv(65536))

        def serve():
            while True:
                try:
                    sock = listener.accept()[0]
                except OSError:
                    return
                with sock:
                    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
                    secure = context.wrap_bio(into, out, server_side=True)
                    exchange(sock, into, out, secure.do_handshake)
                    exchange(sock, into, out, secure.read)
                    secure.write(b"STOR")
                    with self.assertRaises(ssl.SSLWantReadError):
                        secure.unwrap()
                    sock.sendall(out.read())  # both at once

        threading.Thread(target=serve, daemon=True).start()
        login = os.path.join(self.folder, "login")
        with open(login, "w") as file:
            file.write("alice:secret\n")
        config = self.config("127.0.0.1:%d" % listener.getsockname()[1])
        config["cache"]["server_login"] = login
        daemon = self.daemon(config)
        line = daemon.wire("py3").send(b"set k 0 0 1\r\nx\r\n").line()
        self.assertIn(b"it closed the connection instead of taking our login", line)

    def test_cut_in_the_middle_of_a_value(self):
        """A value without its end is no value."""
        terminator = self.terminator()
        daemon = self.daemon(self.config(terminator))
        wire = self.answers(daemon)
        terminator.cut()
        harness.eventually(lambda: re.match(
            rb"VALUE|END|SERVER_ERROR", wire.send(b"get other\r\n").line()))
        harness.eventually(lambda: wire.send(b"set k 0 0 1\r\nx\r\n").line() == b"STORED\r\n")


if __name__ == "__main__":
    harness.main()
