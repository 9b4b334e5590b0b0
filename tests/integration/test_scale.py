"""What is very large, or very many: gets of half a million keys, values of up to a gigabyte, thousands of
clients that wait. Memory stays bounded, whatever the size.

CROSSFADE_VALUE_MB=1023 makes the large value as large as memcached has them (96 MiB otherwise).
"""
import hashlib
import os
import resource
import threading

import harness
from test_slow_clients import MEGABYTE, Growth, Rig, status

LINE = MEGABYTE  # what memcached, and Crossfade, take for a line of get
VALUE_MB = int(os.environ.get("CROSSFADE_VALUE_MB", "96"))


def send(wire, data):
    """In a thread, since the answers begin before all of it is taken."""
    thread = threading.Thread(target=wire.send, args=(data,), daemon=True)
    thread.start()
    return thread


class Gets(Rig):
    def line_of(self, *keys):
        """As many of these keys as a line holds, and how often they are all in it."""
        once = b"".join(b" " + key for key in keys)
        count = (LINE - len(b"get\r\n") - 300) // len(once)
        return b"get" + once * count, count

    def test_a_line_of_a_mebibyte(self):
        wire = self.start(self.memcached(), self.memcached(), self.memcached())
        for key in (b"a", b"c", b"d"):
            wire.talk(b"set %s 0 0 1\r\n%s\r\n" % (key, key), b"STORED\r\n")
        line, count = self.line_of(b"a", b"b", b"c", b"d")
        values = b"".join(b"VALUE %s 0 1\r\n%s\r\n" % (key, key) for key in (b"a", b"c", b"d"))
        growth = Growth(self.crossfade)
        send(wire, line + b"\r\nget a\r\n")
        wire.expect(values * count + b"END\r\nVALUE a 0 1\r\na\r\nEND\r\n", 60)
        # One operation for each of half a million keys would be 70 MiB.
        self.assertLess(growth.peak(), 16 * MEGABYTE)
        self.quiet()

    def test_one_bad_key_at_the_end_spoils_it(self):
        wire = self.start(self.memcached(), self.memcached())
        wire.talk(b"set a 0 0 1\r\na\r\n", b"STORED\r\n")
        line, _ = self.line_of(b"a", b"b")
        growth = Growth(self.crossfade)
        send(wire, line + b" " + b"x" * 251 + b"\r\nget a\r\n")
        wire.expect(b"CLIENT_ERROR bad command line format\r\nVALUE a 0 1\r\na\r\nEND\r\n", 60)
        self.assertLess(growth.peak(), 16 * MEGABYTE)
        self.quiet()

    def test_the_client_says_no_more_after_it(self):
        wire = self.start()
        wire.talk(b"set a 0 0 1\r\na\r\n", b"STORED\r\n")
        line, count = self.line_of(b"a", b"b")
        sender = send(wire, line + b"\r\n")
        wire.exactly(1000)
        sender.join(harness.WAIT)
        wire.shut_write()
        rest = wire.rest(60)
        self.assertEqual(b"VALUE a 0 1\r\na\r\n" * count + b"END\r\n",
                         (b"VALUE a 0 1\r\na\r\n" * count)[:1000] + rest)

    def check_down(self, on_failure, end):
        server = self.memcached()
        wire = self.start(server, on_failure=on_failure)
        server.kill()
        line, _ = self.line_of(b"a")
        send(wire, line + b"\r\nversion\r\n")
        wire.expect(end, 60)
        self.assertTrue(wire.line().startswith(b"VERSION"))

    def test_of_a_server_that_is_down(self):
        self.check_down("miss", b"END\r\n")

    def test_of_a_server_that_is_down_and_this_is_to_be_told(self):
        self.check_down("error", b"SERVER_ERROR a memcached server did not answer\r\n")

    def test_gets_and_gat_in_steps(self):
        wire = self.start()
        wire.talk(b"set a 0 0 1\r\na\r\n", b"STORED\r\n")
        cas = wire.send(b"gets a\r\n").until(b"END\r\n").split(b"\r\n")[0].split()[-1]
        keys = b" a b" * 20000
        # Longer than the limit of a line without its end: it has to be there in one piece.
        for command, value in ((b"gets", b"VALUE a 0 1 %s\r\na\r\n" % cas),
                               (b"gat 1000", b"VALUE a 0 1\r\na\r\n")):
            times = 20000 if command == b"gets" else 400
            send(wire, command + keys[:4 * times] + b"\r\n")
            wire.expect(value * times + b"END\r\n", 60)

    def test_a_key_that_a_reload_forbids_in_the_middle(self):
        wire = self.start(timeouts={"connect": "250ms", "request": "60s"}, long_keys="hash")
        value = b"v" * 3000
        long = b"k" * 250
        setter = self.crossfade.wire("py3")
        setter.talk(b"set big 0 0 3000\r\n%s\r\nset %s 0 0 1\r\nl\r\n" % (value, long),
                    b"STORED\r\nSTORED\r\n")
        count = 20000
        sock = self.narrow("py3")
        sock.sendall(b"get" + b" big" * count + b" " + long + b"\r\n")
        harness.eventually(lambda: int(self.stats("py3")["gets"]) >= 1024, "the first step")
        self.config["cache"]["long_keys"] = "refuse"
        self.crossfade.write(self.config)
        self.crossfade.ctl("reload")
        got = bytearray()
        one = b"VALUE big 0 3000\r\n" + value + b"\r\n"
        end = b"SERVER_ERROR a memcached server did not answer\r\n"
        while len(got) < len(one) * count + len(end):
            data = sock.recv(MEGABYTE)
            if not data:
                break
            got += data
        self.assertEqual(bytes(got[len(one) * count:]), end)
        self.assertTrue(got.startswith(one * count))


class Values(Rig):
    def test_a_very_large_value_passes_both_ways_in_constant_memory(self):
        size = VALUE_MB * MEGABYTE - 4096  # memcached wants some of it for the item
        server = self.memcached("-m", str(2 * VALUE_MB + 128), "-I", "%dm" % VALUE_MB)
        wire = self.start(server, max_value="%dm" % VALUE_MB,
                          timeouts={"connect": "5s", "request": "60s"})
        block = bytes(range(256)) * 4096
        wanted = hashlib.sha1()
        growth = Growth(self.crossfade)
        wire.send(b"set huge 7 0 %d\r\n" % size)
        for at in range(0, size, len(block)):
            piece = block[:size - at]
            wanted.update(piece)
            wire.send(piece)
        wire.send(b"\r\n").expect(b"STORED\r\n", 60)
        self.assertLess(growth.peak(), 8 * MEGABYTE)
        wire.send(b"get huge\r\n").expect(b"VALUE huge 7 %d\r\n" % size, 60)
        got, left = hashlib.sha1(), size
        while left > 0:
            piece = wire.exactly(min(left, 256 * 1024), 60)
            got.update(piece)
            left -= len(piece)
        wire.expect(b"\r\nEND\r\n")
        self.assertEqual(wanted.hexdigest(), got.hexdigest())
        # 16 MiB are spared for clients that read more slowly than the servers answer.
        self.assertLess(growth.peak(), 28 * MEGABYTE)


class Idle(Rig):
    def test_clients_that_wait_cost_a_kilobyte_each(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        count = 4000 if hard >= 4500 else 500
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 6000), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        wire = self.start(timeouts={"connect": "5s", "request": "60s"}, max_waiting=100000)
        value = b"b" * 2000
        wire.talk(b"set k 0 0 2000\r\n%s\r\n" % value, b"STORED\r\n")
        before = status(self.crossfade, "RssAnon")
        wires = [self.crossfade.wire("py2", 30) for _ in range(count)]
        # A burst, after which they wait: what it took comes back.
        for each in wires:
            each.send(b"get k\r\n" * 4)
        for each in wires:
            each.expect((b"VALUE k 0 2000\r\n%s\r\nEND\r\n" % value) * 4)
        harness.eventually(
            lambda: status(self.crossfade, "RssAnon") - before < count * 1024 + 2 * MEGABYTE,
            "a kilobyte for each client")
        for each in wires:
            each.close()


if __name__ == "__main__":
    harness.main()
