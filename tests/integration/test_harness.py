"""The harness itself: a test tool that cannot fail proves nothing."""
import os
import signal

import harness


class Processes(harness.Test):
    def test_memcached_is_real_and_keeps_its_port(self):
        memcached = self.memcached()
        wire = memcached.wire()
        wire.talk(b"set k 5 0 3\r\nabc\r\n", b"STORED\r\n")
        wire.talk(b"get k\r\n", b"VALUE k 5 3\r\nabc\r\nEND\r\n")
        port = memcached.port
        memcached.kill()
        self.assertFalse(harness.accepts(port))
        memcached.start()
        self.assertEqual(port, memcached.port)
        memcached.wire().talk(b"get k\r\n", b"END\r\n")

    def test_frozen_memcached_says_nothing_until_thawed(self):
        memcached = self.memcached()
        wire = memcached.wire()
        memcached.freeze()
        wire.send(b"version\r\n").silence(0.1)
        memcached.thaw()
        self.assertTrue(wire.line().startswith(b"VERSION "))

    def test_expect_tells_a_difference(self):
        memcached = self.memcached()
        with self.assertRaises(AssertionError):
            memcached.wire().talk(b"get k\r\n", b"VALUE")
        with self.assertRaises(AssertionError):
            memcached.wire().expect(b"anything", timeout=0.1)

    def test_backend_records_what_it_gets(self):
        backend = self.backend("shop")
        wire = harness.Wire(backend.port)
        wire.send(b"POST /a HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
                  b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n")
        wire.expect(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nshop" * 2)
        first, second = backend.requests
        self.assertEqual((b"abcde", "1", "/b"), (first.body, first.field("x-a"), second.target))
        self.assertEqual(0, second.connection)

    def test_backend_process_can_be_frozen(self):
        backend = self.backend_process("shop")
        wire = harness.Wire(backend.port)
        backend.freeze()
        wire.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").silence(0.1)
        backend.thaw()
        wire.until(b"shop")


class Daemon(harness.Test):
    def test_it_starts_answers_and_stops(self):
        daemon = self.daemon(harness.cache_config(self.memcached()))
        daemon.wire("py2").talk(b"get k\r\n", b"END\r\n")
        self.assertIsNone(daemon.finish())
        daemon.expected_end = 0

    def test_a_death_is_noticed(self):
        daemon = self.daemon(harness.cache_config(self.memcached()))
        os.kill(daemon.pid, signal.SIGKILL)
        daemon.child.wait()
        self.assertIn("died", daemon.finish())
        daemon.expected_end = -signal.SIGKILL

    def test_a_start_that_fails_says_why(self):
        with self.assertRaises(AssertionError) as raised:
            harness.Daemon(self.folder, harness.cache_config("127.0.0.1:1", coherense="none"))
        self.assertIn("coherense", str(raised.exception))


if __name__ == "__main__":
    harness.main()
