"""Clients that do not read, dribble, die in the middle, ask for far too much, or come in crowds; and
what the daemon does about them: bounded memory, and neighbours that go on.
"""
import resource
import socket
import threading
import time

import harness

MEGABYTE = 1 << 20


def status(process, name):
    """A line of /proc/PID/status, in bytes."""
    with open("/proc/%d/status" % process.pid) as file:
        for line in file:
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
    raise AssertionError("no %s" % name)


class Growth:
    """How much the daemon's memory peaks over what it was, from here on."""

    def __init__(self, daemon):
        self.daemon = daemon
        with open("/proc/%d/clear_refs" % daemon.pid, "w") as file:
            file.write("5")  # the peak starts again at what is used now
        self.before = status(daemon, "VmRSS")

    def peak(self):
        return status(self.daemon, "VmHWM") - self.before


class Neighbour(threading.Thread):
    """Sets and gets a key, all the while, and expects each answer soon."""

    def __init__(self, wire, key=b"neighbour"):
        super().__init__(daemon=True)
        self.wire, self.key = wire, key
        self.ending = threading.Event()
        self.rounds, self.slowest, self.fault = 0, 0.0, None

    def run(self):
        try:
            while not self.ending.is_set():
                begin = time.monotonic()
                self.wire.talk(b"set %s 0 0 4\r\n%04d\r\nget %s\r\n" % (
                    self.key, self.rounds % 10000, self.key),
                    b"STORED\r\nVALUE %s 0 4\r\n%04d\r\nEND\r\n" % (
                        self.key, self.rounds % 10000))
                self.slowest = max(self.slowest, time.monotonic() - begin)
                self.rounds += 1
                self.ending.wait(0.005)
        except Exception as error:  # pylint: disable=broad-except
            self.fault = error

    def finish(self, test, slowest=2.0):
        self.ending.set()
        self.join(15)
        if self.fault is not None:
            raise self.fault
        test.assertGreater(self.rounds, 5)
        test.assertLess(self.slowest, slowest)


class Rig(harness.Test):
    workers = 1

    def start(self, *servers, **changes):
        changes.setdefault("coherence", "none")
        config = harness.cache_config(*(servers or [self.memcached()]), **changes)
        config["process"]["workers"] = self.workers
        self.config = config
        self.crossfade = self.daemon(config)
        return self.crossfade.wire("py2")

    def server(self, number=0):
        return self.crossfade.show("servers")[number]

    def stats(self, arm="py2"):
        wire = self.crossfade.wire(arm)
        lines = wire.send(b"stats crossfade\r\n").until(b"END\r\n").decode().split("\r\n")
        return dict(line.split(" ", 2)[1:] for line in lines if line.startswith("STAT "))

    def quiet(self):
        """Nothing is under way any more."""
        harness.eventually(lambda: all(row["waiting"] == 0 for row in
                                       self.crossfade.show("servers")), "the last reply")

    def narrow(self, arm="py2"):
        """A client whose socket takes little."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.addCleanup(sock.close)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(harness.WAIT)
        sock.connect(("127.0.0.1", self.crossfade.port(arm)))
        return sock


class Reading(Rig):
    def test_client_that_never_reads(self):
        """It is closed in the end; the server's other clients wait a moment at most."""
        wire = self.start()
        wire.talk(b"set big 0 0 60000\r\n%s\r\n" % (b"b" * 60000), b"STORED\r\n")
        neighbour = Neighbour(self.crossfade.wire("py2"))
        neighbour.start()
        growth = Growth(self.crossfade)
        deaf = []
        for _ in range(4):
            sock = self.narrow()
            sock.sendall(b"get big\r\n" * 800)
            deaf.append(sock)
        harness.eventually(lambda: int(self.stats()["connections_current"]) == 3, "the closing", 20)
        time.sleep(0.3)
        neighbour.finish(self, 4.0)
        self.assertEqual((0, "up"), (self.server()["timeouts"], self.server()["state"]))
        self.assertLess(growth.peak(), 32 * MEGABYTE)
        self.quiet()

    def test_what_one_client_does_not_read_costs_the_others_nothing(self):
        """As long as there is memory to spare, and without a loss: it may read on at any time."""
        wire = self.start(timeouts={"connect": "250ms", "request": "60s"})
        value = b"b" * 60000
        wire.talk(b"set big 0 0 60000\r\n%s\r\n" % value, b"STORED\r\n")
        deaf = self.narrow()
        deaf.sendall(b"get big\r\n" * 150)
        harness.eventually(lambda: int(self.stats()["hits"]) == 150, "what it asked for")
        for _ in range(100):
            wire.talk(b"get small\r\n", b"END\r\n")
        self.assertEqual(3, int(self.stats()["connections_current"]))
        got, wanted = bytearray(), (b"VALUE big 0 60000\r\n%s\r\nEND\r\n" % value) * 150
        while len(got) < len(wanted):
            got += deaf.recv(1 << 20) or b"its end"
        self.assertEqual(wanted, bytes(got))

    def test_client_that_reads_a_little_now_and_then(self):
        """It must not hold up the others for longer than one that does not read."""
        wire = self.start()
        wire.talk(b"set big 0 0 60000\r\n%s\r\n" % (b"b" * 60000), b"STORED\r\n")
        neighbour = Neighbour(self.crossfade.wire("py2"))
        neighbour.start()
        slow = self.narrow()
        slow.sendall(b"get big\r\n" * 800)
        end = time.monotonic() + 4
        try:
            while time.monotonic() < end and slow.recv(8192):
                time.sleep(0.05)
        except ConnectionError:
            pass
        neighbour.finish(self)
        self.assertEqual((0, "up"), (self.server()["timeouts"], self.server()["state"]))

    def test_replies_that_wait_for_another_server(self):
        """One server is frozen: what the other has answered behind it is parked, up to a limit."""
        first, second = self.memcached(), self.memcached()
        wire = self.start(first, second, timeouts={"connect": "250ms", "request": "2s"})
        keys = ([], [])
        direct = first.wire()
        number = 0
        while min(len(each) for each in keys) < 3:
            key = b"big%d" % number
            wire.talk(b"set %s 0 0 60000\r\n%s\r\n" % (key, b"b" * 60000), b"STORED\r\n")
            direct.send(b"get %s\r\n" % key)
            found = direct.until(b"END\r\n") != b"END\r\n"
            keys[0 if found else 1].append(key)
            number += 1
        here, there = keys[0][0], keys[1][0]
        growth = Growth(self.crossfade)
        first.freeze()
        wire.send(b"get %s\r\n" % here + b"get %s\r\n" % there * 300)
        time.sleep(1.0)
        self.assertLess(growth.peak(), 24 * MEGABYTE)
        first.thaw()
        wire.expect(b"".join(b"VALUE %s 0 60000\r\n%s\r\nEND\r\n" % (key, b"b" * 60000)
                             for key in [here] + [there] * 300))
        self.quiet()
        self.assertEqual(0, self.server(0)["timeouts"] + self.server(1)["timeouts"])

    def test_parked_replies_outlast_a_server_that_fails(self):
        """The client that waits for it is not to blame: it gets an error, and all the rest."""
        first, second = self.memcached(), self.memcached()
        wire = self.start(first, second, on_failure="error",
                          timeouts={"connect": "250ms", "request": "500ms"})
        here, there = None, None
        direct = first.wire()
        number = 0
        while here is None or there is None:
            key = b"big%d" % number
            wire.talk(b"set %s 0 0 60000\r\n%s\r\n" % (key, b"b" * 60000), b"STORED\r\n")
            direct.send(b"get %s\r\n" % key)
            if direct.until(b"END\r\n") != b"END\r\n":
                here = key
            else:
                there = key
            number += 1
        value = b"VALUE %s 0 60000\r\n%s\r\nEND\r\n" % (there, b"b" * 60000)
        for _ in range(6):
            first.freeze()
            wire.send(b"get %s\r\n" % here + b"get %s\r\n" % there * 200)
            wire.expect(b"SERVER_ERROR a memcached server did not answer\r\n" + value * 200)
            first.thaw()
            harness.eventually(lambda: self.server(0)["state"] == "up", "the server's return")
        self.assertEqual((0, "up"), (self.server(1)["timeouts"], self.server(1)["state"]))


class Sending(Rig):
    def test_frozen_server_holds_its_clients_back(self):
        """Commands for it do not pile up in memory, with and without a reply."""
        memcached = self.memcached()
        self.start(memcached, timeouts={"connect": "1s", "request": "3s"})
        for tail, reply in ((b"", b"SERVER_ERROR "), (b" noreply", None)):
            with self.subTest(tail=tail):
                command = b"set k 0 0 50000%s\r\n%s\r\n" % (tail, b"v" * 50000)
                memcached.freeze()
                growth = Growth(self.crossfade)
                wires = [self.crossfade.wire("py2") for _ in range(8)]
                end = time.monotonic() + 1.5
                sent = [b"" for _ in wires]
                for wire in wires:
                    wire.sock.setblocking(False)
                while time.monotonic() < end:
                    for number, wire in enumerate(wires):
                        sent[number] = sent[number] or command * 4
                        try:
                            moved = wire.sock.send(sent[number])
                            sent[number] = sent[number][moved:]
                        except BlockingIOError:
                            time.sleep(0.001)
                self.assertLess(growth.peak(), 16 * MEGABYTE)
                memcached.thaw()
                for wire in wires:
                    wire.close()
                self.quiet()
                self.assertEqual("up", self.server()["state"])

    def test_value_that_dribbles(self):
        wire = self.start()
        for size in (20000, 300000):
            with self.subTest(size=size):
                neighbour = Neighbour(self.crossfade.wire("py2"))
                neighbour.start()
                value = bytes(range(256)) * (size // 256)
                data = b"set k 7 0 %d\r\n%s\r\nget k\r\n" % (len(value), value)
                wire.send_split(data, len(data) // 100, 0.025)  # longer than a request may take
                wire.expect(b"STORED\r\nVALUE k 7 %d\r\n%s\r\nEND\r\n" % (len(value), value))
                neighbour.finish(self)
                self.assertEqual(0, self.server()["timeouts"])

    def test_client_dies_in_the_middle_of_a_value(self):
        wire = self.start(coherence="fanout")
        wire.talk(b"set k 0 0 3\r\nold\r\n", b"STORED\r\n")
        for size in (1000, 60000, 200000, 900000):
            for part in (0, 1, size // 2, size, size + 1):
                dying = self.crossfade.wire("py2")
                dying.send(b"set k 0 0 %d\r\n" % size + (b"x" * size + b"\r")[:part])
                if part % 2:
                    time.sleep(0.02)
                dying.close()
        harness.eventually(lambda: int(self.stats()["connections_current"]) == 2, "the closing")
        wire.talk(b"get k\r\n", b"VALUE k 0 3\r\nold\r\nEND\r\n")
        self.quiet()
        self.assertEqual(("up", 0), (self.server()["state"], self.server()["timeouts"]))
        # Uploads still work, and at once.
        wire.talk(b"set k 0 0 200000\r\n%s\r\n" % (b"n" * 200000), b"STORED\r\n")

    def test_too_large_values_are_swallowed(self):
        wire = self.start()
        for verb in (b"set", b"add", b"cas"):
            wire.talk(b"set k 0 0 3\r\nold\r\n", b"STORED\r\n")
            growth = Growth(self.crossfade)
            size = 20 * MEGABYTE
            wire.send(b"%s k 0 0 %d%s\r\n" % (verb, size, b" 1" if verb == b"cas" else b""))
            wire.expect(b"SERVER_ERROR object too large for cache\r\n")
            for _ in range(20):
                wire.send(b"get k\r\n" * (MEGABYTE // 7) + b"\n" * (MEGABYTE % 7))
            wire.talk(b"\r\nget k\r\n", b"END\r\n" if verb == b"set" else
                      b"VALUE k 0 3\r\nold\r\nEND\r\n")
            self.assertLess(growth.peak(), 8 * MEGABYTE)
        self.assertEqual("0", self.stats()["delete_hits"])


class Closing(Rig):
    def test_half_close_is_answered(self):
        wire = self.start()
        big = b"b" * 200000
        wire.send(b"set k 0 0 1\r\nx\r\n" + b"get k\r\n" * 3000 +
                  b"set big 0 0 200000\r\n%s\r\nget k big\r\nset k 0 0 1 noreply\r\ny\r\n" % big +
                  b"set big 0 0 200000 noreply\r\n%s\r\nget k\r\nget half" % big)
        wire.shut_write()
        wire.expect(b"STORED\r\n" + b"VALUE k 0 1\r\nx\r\nEND\r\n" * 3000 + b"STORED\r\n" +
                    b"VALUE k 0 1\r\nx\r\nVALUE big 0 200000\r\n%s\r\nEND\r\n" % big +
                    b"VALUE k 0 1\r\ny\r\nEND\r\n")
        wire.expect_end()

    def test_noreply_commands_reach_the_server_though_the_client_is_gone(self):
        memcached = self.memcached()
        self.start(memcached)
        for close in (lambda wire: wire.close(), lambda wire: wire.shut_write()):
            wire = self.crossfade.wire("py2")
            wire.send(b"".join(b"set n%d 0 0 1 noreply\r\nx\r\n" % n for n in range(500)))
            close(wire)
            direct = memcached.wire()
            harness.eventually(lambda d=direct: d.send(b"get n499\r\n").until(b"END\r\n") != b"END\r\n",
                               "the last set")
            direct.send(b"flush_all\r\n").expect(b"OK\r\n")

    def test_stop_waits_for_an_upload(self):
        for noreply in (b"", b" noreply"):
            memcached = self.memcached()
            wire = self.start(memcached)
            value = b"u" * 400000
            wire.send(b"set k 0 0 400000%s\r\n" % noreply + value[:100000])
            time.sleep(0.2)
            self.crossfade.child.terminate()
            time.sleep(0.3)
            wire.send(value[100000:] + b"\r\n")
            if not noreply:
                wire.expect(b"STORED\r\n")
            wire.expect_end()
            self.crossfade.wait(0)
            memcached.wire().talk(b"get k\r\n", b"VALUE k 0 400000\r\n%s\r\nEND\r\n" % value)

    def test_stop_does_not_wait_for_ever(self):
        memcached = self.memcached()
        wire = self.start(memcached)
        wire.send(b"set k 0 0 400000\r\n" + b"u" * 100000)
        other = self.crossfade.wire("py2").send(b"set k 0 0 10\r\nxx")
        time.sleep(0.2)
        begin = time.monotonic()
        self.crossfade.child.terminate()
        wire.rest()
        other.rest()
        self.crossfade.wait(0)
        self.assertLess(time.monotonic() - begin, 6)


class Large(Rig):
    def test_pipeline_of_twenty_thousand(self):
        wire = self.start(self.memcached(), self.memcached(), self.memcached())
        count = 20000
        commands, answers = [], []
        for n in range(count):
            key = b"k%d" % (n % 300)
            if n < 300:
                commands.append(b"set %s 0 0 4\r\n%04d\r\n" % (key, n))
                answers.append(b"STORED\r\n")
            elif n % 7 == 0:
                commands.append(b"set %s 0 0 4 noreply\r\n%04d\r\n" % (key, n % 300))
            elif n % 11 == 0:
                commands.append(b"nonsense\r\n")
                answers.append(b"ERROR\r\n")
            elif n % 13 == 0:
                commands.append(b"version\r\n")
                answers.append(None)
            else:
                commands.append(b"get %s\r\n" % key)
                answers.append(b"VALUE %s 0 4\r\n%04d\r\nEND\r\n" % (key, n % 300))
        version = wire.send(b"version\r\n").line()
        growth = Growth(self.crossfade)
        sender = threading.Thread(target=wire.send, args=(b"".join(commands),), daemon=True)
        sender.start()
        wire.expect(b"".join(version if each is None else each for each in answers), 30)
        sender.join()
        self.assertLess(growth.peak(), 24 * MEGABYTE)
        self.quiet()

    def test_get_of_thirty_thousand_keys(self):
        wire = self.start(self.memcached(), self.memcached(), self.memcached())
        keys = [b"key:%d" % n for n in range(30000)]
        wire.send(b"".join(b"set %s 0 0 3 noreply\r\nabc\r\n" % key for key in keys[::3]))
        growth = Growth(self.crossfade)
        wire.send(b"get %s\r\nversion\r\n" % b" ".join(keys))
        wire.expect(b"".join(b"VALUE %s 0 3\r\nabc\r\n" % key for key in keys[::3]) + b"END\r\n", 30)
        self.assertTrue(wire.line().startswith(b"VERSION"))
        self.assertLess(growth.peak(), 24 * MEGABYTE)
        # One key of it is bad: one error for the whole, and all that was sent is swallowed.
        wire.talk(b"get %s %s\r\n" % (b" ".join(keys), b"x" * 251),
                  b"CLIENT_ERROR bad command line format\r\n", 30)
        wire.talk(b"get key:0\r\n", b"VALUE key:0 0 3\r\nabc\r\nEND\r\n", 30)
        self.quiet()

    def test_memory_is_given_back_after_a_burst(self):
        wire = self.start()
        value = b"b" * 30000
        wire.talk(b"set big 0 0 30000\r\n%s\r\nget big\r\n" % value,
                  b"STORED\r\nVALUE big 0 30000\r\n%s\r\nEND\r\n" % value)
        time.sleep(0.5)
        before = status(self.crossfade, "VmRSS")
        growth = Growth(self.crossfade)
        wires = [self.crossfade.wire("py2") for _ in range(100)]
        for each in wires:
            each.send(b"get big\r\n" * 30)
        for each in wires:
            each.expect(b"VALUE big 0 30000\r\n%s\r\nEND\r\n" % value * 30, 30)
            each.close()
        self.assertLess(growth.peak(), 100 * MEGABYTE)
        harness.eventually(lambda: status(self.crossfade, "VmRSS") < before + 12 * MEGABYTE,
                           "the memory's return")


class Crowds(Rig):
    workers = 2

    def test_two_thousand_clients_come_and_go(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        count = 2000 if hard >= 4500 else 300
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 6000), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        wire = self.start()
        wire.talk(b"set k 0 0 1\r\nx\r\n", b"STORED\r\n")
        for end in ("close", "mid-command", "unread"):
            wires = [self.crossfade.wire("py2", 30) for _ in range(count)]
            for each in wires:
                each.send(b"get k\r\nset k 0 0 5 noreply\r\nxx" if end == "mid-command" else
                          b"get k\r\n")
            if end != "unread":
                for each in wires:
                    each.expect(b"VALUE k 0 1\r\nx\r\nEND\r\n")
            for each in wires:
                each.close()
            del wires
            harness.eventually(lambda: int(self.stats()["connections_current"]) == 2, "the closing")
        self.quiet()
        wire.talk(b"get k\r\n", b"VALUE k 0 1\r\nx\r\nEND\r\n")

    def test_descriptors_run_out(self):
        self.workers = 1
        wire = self.start()
        wire.talk(b"set k 0 0 1\r\nx\r\n", b"STORED\r\n")
        with_upload = b"set big 0 0 100000\r\n%s\r\n" % (b"b" * 100000)
        open_now = len(harness.os.listdir("/proc/%d/fd" % self.crossfade.pid))
        before = resource.prlimit(self.crossfade.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self.crossfade.pid, resource.RLIMIT_NOFILE, (open_now + 10, before[1]))
        crowd = [self.crossfade.wire("py2") for _ in range(40)]
        for each in crowd:
            each.send(b"get k\r\n")
        served = harness.eventually(lambda: [each for each in crowd if each.fill(
            time.monotonic() + 0.02) or each.pending], "the first answers")
        self.assertLess(len(served), 40)
        wire.talk(b"get k\r\n", b"VALUE k 0 1\r\nx\r\nEND\r\n")
        # An upload needs one more: an honest error, and what is there goes on.
        wire.send(with_upload)
        self.assertIn(b"Too many open files", wire.line())
        wire.talk(b"get k\r\n", b"VALUE k 0 1\r\nx\r\nEND\r\n")
        for each in crowd:
            if each in served:
                each.close()
        resource.prlimit(self.crossfade.pid, resource.RLIMIT_NOFILE, before)
        for each in crowd:
            if each not in served:
                each.expect(b"VALUE k 0 1\r\nx\r\nEND\r\n")
                each.close()
        harness.eventually(lambda: wire.send(with_upload).line() == b"STORED\r\n", "an upload")

    def test_several_connections_and_a_unix_socket(self):
        """A client's commands stay in order though the server has several connections."""
        path = harness.os.path.join(self.folder, "memcached.sock")
        self.start(self.memcached(path=path), self.memcached(), connections_per_server=4,
                   coherence="fanout")
        faults = []

        def client(number):
            try:
                wire = self.crossfade.wire("py2" if number % 2 else "py3")
                for n in range(60):
                    key = b"c%d.%d" % (number, n % 5)
                    value = b"%d" % n * (30000 if n % 10 == 9 else 3)
                    wire.talk(b"set %s 0 0 %d noreply\r\n%s\r\nget %s\r\ndelete %s\r\nget %s\r\n" % (
                        key, len(value), value, key, key, key),
                        b"VALUE %s 0 %d\r\n%s\r\nEND\r\nDELETED\r\nEND\r\n" % (
                            key, len(value), value))
            except Exception as error:  # pylint: disable=broad-except
                faults.append(error)
        threads = [threading.Thread(target=client, args=(n,), daemon=True) for n in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        if faults:
            raise faults[0]
        self.quiet()


class Reloads(Rig):
    def reload(self, change):
        change(self.config)
        self.crossfade.write(self.config)
        self.crossfade.ctl("reload")

    def test_server_is_removed_while_requests_wait_for_it(self):
        gone, stays = self.memcached(), self.memcached()
        wire = self.start(gone, stays, on_failure="error")
        keys = [b"k%d" % n for n in range(60)]
        for key in keys:
            wire.talk(b"set %s 0 0 1\r\nx\r\n" % key, b"STORED\r\n")
        gone.freeze()
        wire.send(b"get %s\r\n" % b" ".join(keys))
        upload = [self.crossfade.wire("py2") for _ in keys]
        for key, each in zip(keys, upload):
            each.send(b"set %s 0 0 100000\r\n%s" % (key, b"x" * 50000))
        time.sleep(0.1)
        self.reload(lambda config: config["cache"].update(servers=[stays.address]))
        self.assertTrue(wire.until(b"answer\r\n").endswith(
            b"SERVER_ERROR a memcached server did not answer\r\n"))
        for each in upload:
            each.send(b"x" * 50000 + b"\r\n")
        answers = [each.line() for each in upload]
        self.assertIn(b"STORED\r\n", answers)
        for answer in answers:
            # More of them than can be under way to one server at once: the slowest lose their place.
            self.assertTrue(answer == b"STORED\r\n" or answer.startswith(
                (b"SERVER_ERROR memc", b"SERVER_ERROR the value came too slowly",
                 b"SERVER_ERROR too many large values")), answer)
        for key in keys:
            wire.talk(b"set %s 0 0 1\r\ny\r\nget %s\r\n" % (key, key),
                      b"STORED\r\nVALUE %s 0 1\r\ny\r\nEND\r\n" % key)
        self.assertEqual(1, len(self.crossfade.show("servers")))

    def test_arm_is_removed_under_its_clients(self):
        self.start()
        old = self.crossfade.wire("py3")
        old.talk(b"set k 0 0 1\r\nx\r\n", b"STORED\r\n")
        old.send(b"set big 0 0 200000\r\n" + b"b" * 100000)

        def change(config):
            config["arms"].pop()
            config["cache"]["listen"].pop()
        self.reload(change)
        old.talk(b"b" * 100000 + b"\r\nget k\r\n", b"STORED\r\nVALUE k 0 1\r\nx\r\nEND\r\n")
        old.close()
        self.crossfade.wire("py2").talk(b"get k\r\n", b"END\r\n")

    def test_idle_timeout_that_a_reload_brings(self):
        """A client that was active a moment ago is not idle, though nobody had kept the time."""
        wire = self.start()
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            wire.talk(b"get k\r\n", b"END\r\n")
            time.sleep(0.1)
        self.reload(lambda config: config["cache"]["timeouts"].update(idle="1s"))
        for _ in range(10):
            time.sleep(0.15)
            wire.talk(b"get k\r\n", b"END\r\n")
        wire.expect_end(5)


if __name__ == "__main__":
    harness.main()
