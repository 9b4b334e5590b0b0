"""The life of memcached servers: draining, what is too much, large values, slow ones, warm connections."""
import socket
import struct
import threading
import time

import harness
import test_hostile_servers as hostile


class Drain(harness.Test):
    """drain server and enable server."""

    def setUp(self):
        super().setUp()
        self.slow = hostile.Fake()
        self.addCleanup(self.slow.close)
        self.real = self.memcached()

    def start(self, **changes):
        daemon = self.daemon(harness.cache_config(
            self.slow.address, self.real, coherence="fanout",
            timeouts={"connect": "500ms", "request": "5s"}, **changes))
        wire = daemon.wire("py2")
        keys = [b"k%d" % number for number in range(64)]
        for key in keys:
            wire.talk(b"set %s 0 0 1\r\nx\r\n" % key, b"STORED\r\n")
        self.ours = [key for key in keys if key in self.slow.store]
        self.others = [key for key in keys if key not in self.slow.store]
        self.assertTrue(self.ours and self.others)
        return daemon, wire

    def row(self, daemon):
        return [row for row in daemon.show("servers") if row["server"] == self.slow.address][0]

    def test_no_request_goes_there_and_what_is_under_way_ends(self):
        daemon, wire = self.start()
        key, good = self.ours[0], self.others[0]
        self.slow.script = lambda connection, line, value: [
            0.5, b"VALUE %s 0 1\r\nx\r\nEND\r\n" % key] if line.startswith(b"get") else None
        late = daemon.wire("py2").send(b"get %s\r\n" % key)
        harness.eventually(lambda: self.row(daemon)["waiting"] == 1, "a request under way")
        said = daemon.ctl("drain", "server", self.slow.address)
        self.assertIn("1 under way", said)
        requests = self.row(daemon)["requests"]
        self.assertEqual("drained", self.row(daemon)["state"])
        drained = b"SERVER_ERROR memcached server %s is drained by the operator\r\n" % (
            self.slow.address.encode())
        for client in (wire, daemon.wire("py2"), daemon.wire("py2")):
            client.talk(b"get %s %s\r\n" % (key, good),
                        b"VALUE %s 0 1\r\nx\r\nEND\r\n" % good)
            client.talk(b"delete %s\r\n" % key, drained)
            client.talk(b"set %s 0 0 1\r\ny\r\n" % key, drained)
            client.talk(b"set %s 0 0 100000\r\n%s\r\n" % (key, b"y" * 100000), drained)
            client.talk(b"incr %s 1\r\ntouch %s 0\r\n" % (key, key), drained + drained)
            client.talk(b"set %s 0 0 1\r\nx\r\n" % good, b"STORED\r\n")
        late.expect(b"VALUE %s 0 1\r\nx\r\nEND\r\n" % key)
        self.assertEqual(requests, self.row(daemon)["requests"])
        harness.eventually(lambda: not self.slow.sockets, "the end of the connections")
        # Over a reload it stays so.
        daemon.ctl("reload")
        self.assertEqual("drained", self.row(daemon)["state"])
        wire.talk(b"delete %s\r\n" % key, drained)
        self.slow.script = lambda *unused: None
        said = daemon.ctl("enable", "server", self.slow.address)
        self.assertIn("old values", said)
        # It is told of what was refused before a read goes there.
        harness.eventually(lambda: self.row(daemon)["journal_replayed"] > 0 and
                           self.row(daemon)["journal_pending"] == 0, "the replay")
        wire.talk(b"get %s\r\n" % key, b"END\r\n")
        wire.talk(b"set %s 0 0 1\r\nx\r\n" % key, b"STORED\r\n")
        wire.talk(b"get %s\r\n" % key, b"VALUE %s 0 1\r\nx\r\nEND\r\n" % key)
        self.assertEqual("up", self.row(daemon)["state"])

    def test_a_drained_server_may_be_dead_and_counts_as_drained(self):
        daemon, wire = self.start(on_failure="error")
        daemon.ctl("drain", "server", self.slow.address)
        self.slow.close()
        wire.talk(b"get %s\r\n" % self.ours[0], b"SERVER_ERROR a memcached server did not answer\r\n")
        self.assertEqual((0, "drained"), (self.row(daemon)["connect_failures"],
                                          self.row(daemon)["state"]))
        # A restart forgets it.
        daemon.stop()
        daemon.start()
        self.assertNotEqual("drained", self.row(daemon)["state"])

    def test_wrong_names_and_repetitions_are_refused(self):
        daemon, _ = self.start()
        daemon.ctl("drain", "server", "127.0.0.1:1", status=3)
        daemon.ctl("enable", "server", self.slow.address, status=3)
        daemon.ctl("drain", "server", self.slow.address)
        daemon.ctl("drain", "server", self.slow.address, status=3)
        daemon.ctl("drain", "server", status=2)
        daemon.ctl("drain", "backend", self.slow.address, status=2)


class Rig(harness.Test):
    """A server that does as it is told, a real one, one worker, and keys of each."""

    def start(self, request="600ms", coherence="none", **changes):
        self.told = hostile.Fake()
        self.addCleanup(self.told.close)
        self.real = self.memcached()
        config = harness.cache_config(
            self.told.address, self.real, coherence=coherence, on_failure="error",
            timeouts={"connect": "500ms", "request": request}, **changes)
        config["process"]["workers"] = 1
        self.crossfade = self.daemon(config)
        self.wire = self.crossfade.wire("py2")
        keys = [b"k%d" % number for number in range(64)]
        for key in keys:
            self.wire.talk(b"set %s 0 0 5\r\nhello\r\n" % key, b"STORED\r\n")
        self.slow = [key for key in keys if key in self.told.store]
        self.fast = [key for key in keys if key not in self.told.store]
        return self.crossfade

    def row(self):
        return [row for row in self.crossfade.show("servers")
                if row["server"] == self.told.address][0]

    def fast_works(self, wire=None):
        for key in self.fast[:4]:
            (wire or self.wire).talk(b"set %s 0 0 5\r\nhello\r\nget %s\r\n" % (key, key),
                                     b"STORED\r\nVALUE %s 0 5\r\nhello\r\nEND\r\n" % key)

    def recovered(self):
        def works():
            self.wire.send(b"set %s 0 0 1\r\nx\r\n" % self.slow[0])
            return self.wire.line() == b"STORED\r\n"
        harness.eventually(works, "the server's return")


class TooMuch(Rig):
    """cache.max_waiting, and what clients get above it."""

    def test_what_is_too_much_is_refused_at_once_and_other_servers_go_on(self):
        self.start(request="5s", max_waiting=6)
        gate = threading.Event()
        self.addCleanup(gate.set)

        def script(connection, line, value):
            gate.wait(harness.WAIT)
        self.told.script = script
        key = self.slow[0]
        # A command of many keys counts once.
        many = b" ".join(self.slow)
        waiting = [self.crossfade.wire("py2").send(b"get %s\r\n" % many) for _ in range(6)]
        harness.eventually(lambda: self.row()["waiting"] == 6 * len(self.slow), "the requests")
        full = b"SERVER_ERROR too many requests wait for memcached server %s\r\n" % (
            self.told.address.encode())
        for turn in range(3):
            with self.crossfade.wire("py2") as late:
                late.talk(b"get %s\r\n" % key, b"SERVER_ERROR a memcached server did not answer\r\n")
                late.talk(b"set %s 0 0 1\r\nx\r\n" % key, full)
                late.talk(b"delete %s\r\nincr %s 1\r\n" % (key, key), full + full)
                late.talk(b"set %s 0 0 100000\r\n%s\r\n" % (key, b"x" * 100000), full)
                late.talk(b"get %s\r\n" % self.fast[turn],
                          b"VALUE %s 0 5\r\nhello\r\nEND\r\n" % self.fast[turn])
                self.fast_works(late)
        self.assertEqual(15, self.row()["turned_away"])
        # Who has something under way there is not refused, but waits for it.
        waiting[0].send(b"set %s 0 0 1\r\ny\r\nget %s\r\n" % (key, key))
        waiting[0].silence(0.1)
        self.assertEqual(15, self.row()["turned_away"])
        gate.set()
        values = b"".join(b"VALUE %s 0 5\r\nhello\r\n" % each for each in self.slow) + b"END\r\n"
        for each in waiting:
            each.expect(values)
        waiting[0].expect(b"STORED\r\nVALUE %s 0 1\r\ny\r\nEND\r\n" % key)
        self.assertEqual(0, self.row()["waiting"])
        self.wire.talk(b"get %s\r\n" % key, b"VALUE %s 0 1\r\ny\r\nEND\r\n" % key)

    def test_a_reload_may_move_the_limit_under_what_waits(self):
        daemon = self.start(request="5s", max_waiting=2)
        gate = threading.Event()
        self.addCleanup(gate.set)

        def script(connection, line, value):
            gate.wait(harness.WAIT)
        self.told.script = script
        key = self.slow[0]
        waiting = [daemon.wire("py2").send(b"get %s\r\n" % key) for _ in range(2)]
        harness.eventually(lambda: self.row()["waiting"] == 2, "the requests")
        source = daemon.source
        for most, refused in ((3, False), (1, True), (4, False), (4, True)):
            source["cache"]["max_waiting"] = most
            daemon.write(source)
            daemon.ctl("reload")
            late = daemon.wire("py2").send(b"get %s\r\n" % key)
            if refused:
                self.assertIn(b"SERVER_ERROR", late.line())
            else:
                waiting.append(late)
                harness.eventually(lambda: self.row()["waiting"] == len(waiting), "one more")
        gate.set()
        for each in waiting:
            each.expect(b"VALUE %s 0 5\r\nhello\r\nEND\r\n" % key)
        self.wire.talk(b"get %s\r\nget %s\r\n" % (key, key),
                       b"VALUE %s 0 5\r\nhello\r\nEND\r\n" % key * 2)


    def test_bytes_that_wait_have_a_limit_too(self):
        self.start(request="20s")
        gate = threading.Event()
        self.addCleanup(gate.set)

        def script(connection, line, value):
            gate.wait(harness.WAIT * 2)
        self.told.script = script
        key = self.slow[0]
        data = b"set %s 0 0 65000\r\n%s\r\n" % (key, b"x" * 65000)
        clients = []
        while self.row()["turned_away"] == 0:  # each is held back only after its first
            self.assertLess(len(clients), 1400)
            clients += [self.crossfade.wire("py2").send(data) for _ in range(50)]
        self.fast_works()
        gate.set()
        answers = [each.line() for each in clients]
        refused = [each for each in answers if each.startswith(b"SERVER_ERROR too many requests")]
        self.assertEqual(len(clients), len(refused) + answers.count(b"STORED\r\n"))
        self.assertGreater(len(answers), 900 + len(refused))
        self.wire.talk(b"set %s 0 0 1\r\nx\r\n" % key, b"STORED\r\n")


UPLOADS = 32  # to one server at once
LARGE = 100000


class Uploads(Rig):
    """Large values, which stream over connections of their own."""

    def begin(self, count, half=LARGE // 2):
        uploads = []
        for number in range(count):
            key = self.slow[number % len(self.slow)]
            uploads.append(self.crossfade.wire("py2").send(
                b"set %s 0 0 %d\r\n%s" % (key, LARGE, b"x" * half)))
        return uploads

    def end(self, uploads, half=LARGE // 2):
        for each in uploads:
            each.send(b"x" * (LARGE - half) + b"\r\n")

    def test_many_are_sent_in_turn_over_few_connections(self):
        self.start(request="10s")
        uploads = self.begin(UPLOADS + 20)
        harness.eventually(lambda: self.row()["waiting"] == UPLOADS, "the first ones")
        self.fast_works()
        self.wire.talk(b"get %s\r\n" % self.slow[0],
                       b"VALUE %s 0 5\r\nhello\r\nEND\r\n" % self.slow[0])
        self.assertLessEqual(len(self.told.sockets), UPLOADS + 1)
        # One that goes away while it waits, and one in the middle of its value.
        uploads.pop().close()
        uploads.pop(0).close()
        self.end(uploads)
        for each in uploads:
            each.expect(b"STORED\r\n")
        self.assertLessEqual(self.told.accepted, UPLOADS + 3)
        self.assertEqual(LARGE, len(self.told.store[self.slow[0]]))

    def test_who_hardly_sends_makes_room_for_who_waits(self):
        self.start()
        idle = self.begin(UPLOADS)
        harness.eventually(lambda: self.row()["waiting"] == UPLOADS, "the slow ones")
        waits = self.begin(2)
        self.end(waits)
        for each in waits:
            each.expect(b"STORED\r\n")
        # The rest of a value that was given up is no command; the others may take their time.
        self.end(idle)
        answers = [each.line() for each in idle]
        slow = b"SERVER_ERROR the value came too slowly, and others wait to send theirs\r\n"
        self.assertLessEqual(1, answers.count(slow))
        self.assertLessEqual(answers.count(slow), 2)
        self.assertEqual(UPLOADS, answers.count(slow) + answers.count(b"STORED\r\n"))
        for each in idle:
            self.fast_works(each)
        self.assertEqual(0, self.row()["waiting"])

    def test_whose_value_was_refused_at_once_makes_room_too(self):
        self.start()

        def script(connection, line, value):
            refused = line.split()[0] == b"set" and int(line.split()[4]) == LARGE
            return [b"SERVER_ERROR object too large for cache\r\n", hostile.SWALLOW] \
                if refused and value is None else None
        self.told.script = script
        idle = self.begin(UPLOADS)
        for each in idle:
            each.expect(b"SERVER_ERROR object too large for cache\r\n")
        late = self.crossfade.wire("py2").send(b"set %s 0 0 %d\r\n%s\r\n" %
                                               (self.slow[0], LARGE + 1, b"x" * (LARGE + 1)))
        late.expect(b"STORED\r\n")
        self.end(idle)
        for each in idle:
            self.fast_works(each)

    def test_whose_turn_does_not_come_in_time_is_told(self):
        self.start(request="2s")
        size = 1000000
        busy = [self.crossfade.wire("py2").send(b"set %s 0 0 %d\r\n" % (key, size))
                for key in (self.slow * UPLOADS)[:UPLOADS]]
        harness.eventually(lambda: self.row()["waiting"] == UPLOADS, "the others")
        late = self.begin(1, LARGE)[0].send(b"\r\n")
        refused = threading.Event()

        def listen():
            late.expect(b"SERVER_ERROR too many large values are on their way to memcached server "
                        b"%s\r\n" % self.told.address.encode())
            refused.set()
        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        left = size
        while left > 20000 and not refused.is_set():
            for each in busy:  # they do send
                each.send(b"x" * 20000)
            left -= 20000
            refused.wait(0.1)
        listener.join(harness.WAIT)
        self.assertTrue(refused.is_set())
        for each in busy:
            each.send(b"x" * left + b"\r\n")
        for each in busy:
            each.expect(b"STORED\r\n")
        self.fast_works(late)
        self.assertEqual(1, self.row()["turned_away"])

    def events(self, gate=None):
        """What the server is told, in its order; a large value's line, and the value itself. That is
        answered when the gate is open."""
        seen = []

        def script(connection, line, value):
            words = line.split()
            if words[0] == b"set" and value is None:
                seen.append(b"line")
            elif words[0] == b"set":
                seen.append(b"value")
                if gate is not None:
                    gate.wait(harness.WAIT)
                return [0.2, b"STORED\r\n"]
            else:
                seen.append(line)
            return None
        self.told.script = script
        return seen

    def test_g4_the_other_arms_are_told_when_the_value_is_stored(self):
        self.start(request="5s", coherence="fanout")
        key = self.slow[0]
        py3 = self.crossfade.wire("py3")
        seen = self.events()
        upload = self.crossfade.wire("py2").send(
            b"set %s 0 0 %d\r\n%s" % (key, LARGE, b"x" * 1000))
        harness.eventually(lambda: seen == [b"line"], "the value's line")
        # A delete now would let the other arm fill the old value again.
        py3.talk(b"get %s\r\n" % key, b"END\r\n")
        self.assertEqual(2, len(seen))
        upload.send(b"x" * (LARGE - 1000) + b"\r\n")
        harness.eventually(lambda: b"value" in seen, "the value")
        self.assertNotIn(b"delete", b" ".join(seen))
        upload.expect(b"STORED\r\n")
        self.assertEqual([b"line", b"value"], [seen[0], seen[2]])
        self.assertRegex(seen[3], rb"^delete py3\.\d+:%s$" % key)
        self.assertEqual(4, len(seen))

    def test_g4_they_are_told_also_when_the_client_is_gone_by_then(self):
        self.start(request="10s", coherence="fanout")
        gate = threading.Event()
        self.addCleanup(gate.set)
        seen = self.events(gate)
        upload = self.crossfade.wire("py2").send(
            b"set %s 0 0 %d noreply\r\n%s\r\n" % (self.slow[0], LARGE, b"x" * LARGE))
        harness.eventually(lambda: seen == [b"line", b"value"], "the value")
        # A reset: with an end in order it could still wait for answers.
        upload.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        upload.close()
        harness.eventually(lambda: [row["clients"] for row in self.crossfade.show("cache")
                                    if row["arm"] == "py2"] == [1], "the end of the client")
        self.assertEqual(2, len(seen))
        gate.set()
        harness.eventually(lambda: len(seen) == 3, "the delete")
        self.assertRegex(seen[2], rb"^delete py3\.\d+:%s$" % self.slow[0])

    def test_g5_where_they_cannot_be_told_the_client_is(self):
        self.start(request="5s", coherence="fanout")

        def script(connection, line, value):
            return [b"SERVER_ERROR out of memory\r\n"] if line.startswith(b"delete") else None
        self.told.script = script
        wire = self.crossfade.wire("py2").send(
            b"set %s 0 0 %d\r\n%s\r\n" % (self.slow[0], LARGE, b"x" * LARGE))
        self.assertIn(b"SERVER_ERROR another version may still hold the old value", wire.line())
        self.fast_works(wire)


class Pace(Rig):
    """Values that come slowly."""

    def test_a_value_that_dribbles_fails_like_one_that_does_not_come(self):
        self.start()
        key = self.slow[0]
        self.told.script = lambda connection, line, value: (
            [b"VALUE %s 0 %d\r\n" % (key, LARGE)] + [0.1, b"x"] * 100
            if line.startswith(b"get") else None)
        wire = self.crossfade.wire("py2").send(b"get %s %s\r\n" % (key, self.fast[0]))
        self.fast_works()
        # The other server's value is there, and nothing of the one that broke off.
        wire.expect(b"VALUE %s 0 5\r\nhello\r\nSERVER_ERROR a memcached server did not answer\r\n"
                    % self.fast[0])
        self.assertEqual((1, "no answer in time"),
                         (self.row()["timeouts"], self.row()["last_error"]))
        self.told.script = lambda *unused: None
        self.recovered()

    def test_a_value_that_comes_steadily_may_take_longer_than_the_timeout(self):
        self.start(request="1500ms")
        key = self.slow[0]
        part, parts = b"x" * 20000, 20
        behind = b"VALUE %s 0 5\r\nhello\r\nEND\r\n" % self.slow[1]

        def script(connection, line, value):
            if line == b"get %s" % key:
                return ([b"VALUE %s 0 %d\r\n" % (key, len(part) * parts)] + [0.1, part] * parts +
                        [b"\r\nEND\r\n"])
            return [0.5, behind] if line == b"get %s" % self.slow[1] else None
        self.told.script = script
        first = self.crossfade.wire("py2").send(b"get %s\r\n" % key)
        harness.eventually(lambda: self.row()["waiting"] == 1, "the request")
        # On the same connection, behind it.
        second = self.crossfade.wire("py2").send(b"get %s\r\n" % self.slow[1])
        first.expect(b"VALUE %s 0 %d\r\n%s\r\nEND\r\n" % (key, len(part) * parts, part * parts))
        second.expect(behind)
        self.assertEqual(0, self.row()["timeouts"])


class Warmth(harness.Test):
    """Connections to servers are there before a client needs them."""

    def start(self, *fakes, workers=2, **changes):
        config = harness.cache_config(*[each.address for each in fakes], coherence="none",
                                      on_failure="error", **changes)
        config["process"]["workers"] = workers
        return self.daemon(config)

    def fake(self, *where):
        fake = hostile.Fake(*where)
        self.addCleanup(fake.close)
        return fake

    def test_after_the_start_and_a_reload(self):
        first, second = self.fake(), self.fake()
        daemon = self.start(first, connections_per_server=3)
        harness.eventually(lambda: len(first.sockets) == 6, "the connections")
        config = daemon.source
        config["cache"]["servers"].append(second.address)
        daemon.write(config)
        daemon.ctl("reload")
        harness.eventually(lambda: len(second.sockets) == 6, "those to the new server")
        self.assertEqual(6, first.accepted)
        self.assertEqual(["up", "up"], [row["state"] for row in daemon.show("servers")])

    def test_they_keep_no_worker_busy(self):
        first = self.fake()
        daemon = self.start(first, workers=1)
        harness.eventually(lambda: daemon.show("servers")[0]["state"] == "up", "the connection")

        def turns():
            return sum(row["value"] for row in daemon.show("stats") if row["counter"] == "turns")
        before = turns()
        time.sleep(1)
        # A tick every tenth of a second, and our own questions.
        self.assertLess(turns() - before, 200)

    def test_again_after_a_server_closed_them_or_came_back(self):
        first = self.fake()
        daemon = self.start(first, workers=1, connections_per_server=2)
        harness.eventually(lambda: len(first.sockets) == 2, "the connections")
        first.close()
        harness.eventually(lambda: daemon.show("servers")[0]["state"] == "down", "down")
        again = self.fake("127.0.0.1", first.port)
        harness.eventually(lambda: len(again.sockets) == 2, "the connections", 20)
        harness.eventually(lambda: daemon.show("servers")[0]["state"] == "up", "up")
        self.assertEqual(2, daemon.show("servers")[0]["connections"])

    def test_a_server_that_is_not_there_delays_nobody(self):
        dead = self.fake()
        dead.close()
        alive = self.fake()
        daemon = self.start(dead, alive)
        row = harness.eventually(lambda: [row for row in daemon.show("servers")
                                          if row["state"] == "down"], "it is known")[0]
        self.assertEqual((dead.address, "Connection refused"), (row["server"], row["last_error"]))
        self.assertGreater(row["failures"], 0)
        harness.eventually(lambda: len(alive.sockets) == 2, "the other one's connections")


if __name__ == "__main__":
    harness.main()
