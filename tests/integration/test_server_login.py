"""The daemon's own login towards memcached servers that want one."""
import shutil
import socket
import threading
import time
import unittest

import certificates
import harness
from logins import Auth, frame, take_frame


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
    def test_over_tls(self):
        authority = certificates.Authority(self.folder)
        own = authority.pair("server")
        self.write("plain", "alice:secret\n")
        server = self.memcached("-Y", self.path("plain"), "-Z", "-o",
                                "ssl_chain_cert=%s,ssl_key=%s" % (own.certificate, own.key))
        daemon = self.start(server, server_tls={"ca": authority.certificate},
                            timeouts={"connect": "2s", "request": "5s"})
        value = b"v" * 300000
        daemon.wire("py3").talk(b"set k 0 0 300000\r\n" + value + b"\r\nget k\r\n",
                                b"STORED\r\nVALUE k 0 300000\r\n" + value + b"\r\nEND\r\n")
        self.assertEqual(0, daemon.show("servers")[0]["login_failures"])
        self.write("login", "alice:wrong\n")
        daemon.ctl("reload")
        server.kill()
        server.start()
        harness.eventually(lambda: b"is down: it refused our login" in daemon.log(), timeout=20)

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
