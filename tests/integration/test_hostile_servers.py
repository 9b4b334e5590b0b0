"""Memcached servers that lie, break off, stall and flap: each request affected gets exactly one clear
error or right answer, neighbours on other servers notice nothing, and the connection is closed and
replaced. The hostile server is a script in this process (Fake); the other one is a real memcached.
"""
import socket
import threading
import time

import harness

REQUEST_TIMEOUT = 0.6  # seconds, as configured below
CLOSE = object()       # in a script: the connection ends here
SWALLOW = object()     # in a script that was asked before the value came: it is read and dropped
STORAGE = (b"set", b"add", b"replace", b"append", b"prepend", b"cas")


class Fake:
    """A memcached that answers like one, but for what `script` says.

    script(connection, line, value) is asked first; it returns None for the usual answer, or a list of
    what to do: bytes to send, seconds (a float) to wait, CLOSE or SWALLOW. Storage commands are shown to
    it twice, before their value came (None) and with it. greet(connection) is called for
    each new connection and returns the same kind of list or None.
    """

    def __init__(self, host="127.0.0.1", port=0):
        self.store = {}
        self.script = lambda connection, line, value: None
        self.greet = lambda connection: None
        self.lock = threading.Lock()
        self.sockets = []
        self.accepted = 0
        self.listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((host, port))
        self.listener.listen(128)
        self.port = self.listener.getsockname()[1]
        self.address = "%s:%d" % (host, self.port)
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                number = self.accepted
                self.accepted += 1
                self.sockets.append(sock)
            threading.Thread(target=self.serve, args=(sock, number), daemon=True).start()

    def perform(self, sock, steps, swallow=None):
        """False when the connection is to end."""
        for step in steps:
            if step is CLOSE:
                return False
            if step is SWALLOW:
                swallow()
            elif isinstance(step, float):
                time.sleep(step)
            else:
                sock.sendall(step)
        return True

    def serve(self, sock, number):
        try:
            if not self.perform(sock, self.greet(number) or []):
                return
            reader = sock.makefile("rb", buffering=1 << 16)
            if reader.peek(1)[:1] == b"\x80":
                self.serve_binary(sock, reader)
                return
            while True:
                line = reader.readline()
                if not line.endswith(b"\r\n"):
                    return
                words = line.split()
                value = None
                steps = None
                length = self.value_length(words)
                if length is not None:
                    early = self.script(number, line[:-2], None)
                    if early is not None:
                        steps = early
                    else:
                        value = reader.read(length + 2)
                        if len(value) < length + 2:
                            return
                if steps is None:
                    steps = self.script(number, line[:-2], value)
                if steps is None:
                    steps = [self.answer(words, value)]
                if not self.perform(sock, steps, lambda size=length: reader.read(size + 2)):
                    return
        except OSError:
            pass
        finally:
            with self.lock:
                if sock in self.sockets:
                    self.sockets.remove(sock)
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()

    def value_length(self, words):
        """Of what follows the line, without its line end; None where nothing does."""
        return int(words[4]) if words[0] in STORAGE else None

    def serve_binary(self, sock, reader):
        """This one speaks text."""

    def answer(self, words, value):
        verb, store = words[0], self.store
        if verb == b"version":
            return b"VERSION 1.6.18\r\n"
        if verb == b"get":
            return b"".join(b"VALUE %s 0 %d\r\n%s\r\n" % (key, len(store[key]), store[key])
                            for key in words[1:] if key in store) + b"END\r\n"
        if verb == b"delete":
            return b"NOT_FOUND\r\n" if store.pop(words[1], None) is None else b"DELETED\r\n"
        if verb == b"incr":
            return b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"
        store[words[1]] = value[:-2]
        return b"STORED\r\n"

    def say(self, data):
        """To whoever is connected, unasked."""
        with self.lock:
            for sock in self.sockets:
                sock.sendall(data)

    def close(self):
        """The listener's thread has to be gone: one that is left in accept() takes from a later Fake."""
        if self.listener.fileno() < 0:
            return
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join(harness.WAIT)
        self.listener.close()
        with self.lock:
            for sock in self.sockets:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass


class Neighbour(threading.Thread):
    """A client of the other server, all the while: it has to get right answers, and soon."""

    def __init__(self, wire, key):
        super().__init__(daemon=True)
        self.wire, self.key = wire, key
        self.ending = threading.Event()
        self.rounds = 0
        self.slowest = 0.0
        self.fault = None

    def run(self):
        try:
            while not self.ending.is_set():
                begin = time.monotonic()
                self.wire.talk(b"set %s 0 0 4\r\n%04d\r\nget %s\r\n" % (
                    self.key, self.rounds % 10000, self.key),
                    b"STORED\r\nVALUE %s 0 4\r\n%04d\r\nEND\r\n" % (
                        self.key, self.rounds % 10000), timeout=5)
                self.slowest = max(self.slowest, time.monotonic() - begin)
                self.rounds += 1
                self.ending.wait(0.005)
        except Exception as error:  # pylint: disable=broad-except
            self.fault = error

    def finish(self, test):
        self.ending.set()
        self.join(10)
        if self.fault is not None:
            raise self.fault
        test.assertGreater(self.rounds, 0)
        test.assertLess(self.slowest, 2.0)


class Rig(harness.Test):
    """One hostile and one real server, a client of both, and a neighbour."""

    failures = "error"
    changes = {}
    FAKE = Fake

    def setUp(self):
        super().setUp()
        self.fake = self.FAKE()
        self.addCleanup(self.fake.close)
        self.real = self.memcached()
        config = harness.cache_config(
            self.fake.address, self.real, coherence="none", on_failure=self.failures,
            timeouts={"connect": "500ms", "request": "600ms"}, **self.changes)
        config["process"]["workers"] = 1
        self.crossfade = self.daemon(config)
        self.wire = self.crossfade.wire("py2")
        self.evil, self.good = self.sort_keys()
        self.neighbour = Neighbour(self.crossfade.wire("py2"), self.good.pop())
        self.neighbour.start()

    def tearDown(self):
        self.neighbour.finish(self)
        self.crossfade.alive()

    def sort_keys(self):
        """Eight keys of each server."""
        found = ([], [])
        number = 0
        while min(len(each) for each in found) < 8:
            key = b"k%d" % number
            self.wire.talk(b"set %s 0 0 5\r\nhello\r\n" % key, b"STORED\r\n")
            found[0 if key in self.fake.store else 1].append(key)
            number += 1
        return found

    def server(self, address=None):
        rows = self.crossfade.show("servers")
        return [row for row in rows if row["server"] == (address or self.fake.address)][0]

    def once(self, match, steps):
        """The next command whose line begins so is answered by these steps; then all is well."""
        def script(connection, line, value):
            storage = line.split()[0] in STORAGE
            if line.startswith(match) and not (storage and value is None):
                self.fake.script = lambda *unused: None
                return steps
            return None
        self.fake.script = script

    def recovered(self):
        """The server is used again, and answers rightly."""
        key = self.evil[-1]

        def works():
            self.wire.send(b"get %s\r\n" % key)
            line = self.wire.line()
            if line.startswith(b"SERVER_ERROR") or line == b"END\r\n":
                return False
            self.wire.expect(b"hello\r\nEND\r\n")
            return line == b"VALUE %s 0 5\r\n" % key
        try:
            harness.eventually(works, "the server's return")
            harness.eventually(lambda: self.server()["state"] == "up" and
                               self.server()["waiting"] == 0, "the server's state")
        except AssertionError as error:
            raise AssertionError("%s; %r; %d accepted; %s" % (
                error, self.server(), self.fake.accepted, self.crossfade.log_text())) from error

    def affected(self, steps, answer, counter=None, before=b"", after=b"", verb=b"get"):
        """A get in a pipeline of others' commands: they get theirs, it gets `answer`."""
        key, good = self.evil[0], self.good[0]
        count = self.server()[counter] if counter else 0
        self.once(b"%s %s" % (verb, key), [
            step.replace(b"KEY", key) if isinstance(step, bytes) else step for step in steps])
        value = b"VALUE %s 0 5\r\nhello\r\nEND\r\n" % good
        command = b"get %s\r\n" % key if verb == b"get" else b"%s %s 0 0 5\r\nhello\r\n" % (
            verb, key)
        self.wire.talk(b"get %s\r\n" % good + before + command + after + b"get %s\r\n" % good,
                       value + answer.replace(b"KEY", key) + value)
        if counter:
            harness.eventually(lambda: self.server()[counter] == count + 1, counter)
        self.recovered()


ERROR = b"SERVER_ERROR a memcached server did not answer\r\n"
HELLO = b"VALUE KEY 0 5\r\nhello\r\n"


class BrokenReplies(Rig):
    def test_value_is_cut_off(self):
        for cut in (1, 7, len(HELLO) - 8, len(HELLO) - 1):
            self.affected([HELLO[:cut], CLOSE], ERROR, "closed_by_server")

    def test_close_between_value_and_end(self):
        self.affected([HELLO, CLOSE], HELLO + b"END\r\n", "closed_by_server")

    def test_end_is_missing_and_another_reply_follows(self):
        """Its value is right and was passed on; what follows is doubt."""
        self.affected([HELLO, 0.05, b"STORED\r\n"], HELLO + b"END\r\n", "protocol_errors")

    def test_end_never_comes(self):
        self.affected([HELLO], HELLO + b"END\r\n")
        # The next request of this connection got "VALUE" where END was due: doubt, and again well.
        self.assertEqual(1, self.server()["protocol_errors"])

    def test_garbage_behind_the_reply(self):
        self.affected([HELLO + b"END\r\ngarbage\r\n"], HELLO + b"END\r\n", "protocol_errors")

    def test_two_replies_for_one_request(self):
        self.affected([b"STORED\r\nSTORED\r\n"], b"STORED\r\n", "protocol_errors", verb=b"set")

    def test_another_key(self):
        self.affected([b"VALUE other 0 5\r\nhello\r\nEND\r\n"], ERROR, "protocol_errors")
        self.affected([b"VALUE KEYx 0 5\r\nhello\r\nEND\r\n"], ERROR, "protocol_errors")

    def test_longer_than_announced(self):
        self.affected([b"VALUE KEY 0 4\r\nhello\r\nEND\r\n"], ERROR, "protocol_errors")

    def test_shorter_than_announced(self):
        """The client must not get END as a part of the value and then wait."""
        self.affected([b"VALUE KEY 0 6\r\nhello\r\nEND\r\n"], ERROR, "protocol_errors")
        self.affected([b"VALUE KEY 0 60\r\nhello\r\nEND\r\n"], ERROR, "timeouts")

    def test_lines_that_are_none(self):
        for line in (b"END\n", b"VALUE KEY 0 5\nhello\r\nEND\r\n", b"\r\n", b"\0\r\n",
                     b"VALUE KEY 0 -5\r\nhello\r\nEND\r\n", b"VALUE KEY 0\r\n", b"VALUE KEY\r\n",
                     b"VALUE  0 5\r\nhello\r\n", b"VALUE KEY 0 5 77\r\nhello\r\nEND\r\n",
                     b"VALUE KEY 0 99999999999\r\n", b"VALUE KEY 4294967296 5\r\nhello\r\n",
                     b"STORED\r\n", b"x" * 3000, b"HTTP/1.1 400 Bad Request\r\n"):
            with self.subTest(line=line):
                self.affected([line], ERROR, "protocol_errors")

    def test_answer_that_does_not_fit_a_set(self):
        self.once(b"set " + self.evil[0], [b"DELETED\r\n"])
        self.wire.send(b"set %s 0 0 1\r\nx\r\nget %s\r\n" % (self.evil[0], self.good[0]))
        self.assertTrue(self.wire.line().startswith(b"SERVER_ERROR memcached server"))
        self.wire.expect(b"VALUE %s 0 5\r\nhello\r\nEND\r\n" % self.good[0])
        self.recovered()
        self.assertEqual(1, self.server()["protocol_errors"])

    def test_errors_of_the_server_are_passed_on_and_the_connection_stays(self):
        connects = self.server()["connects"]
        self.affected([b"SERVER_ERROR out of memory storing object\r\n"],
                      b"SERVER_ERROR out of memory storing object\r\n", verb=b"set")
        self.affected([b"SERVER_ERROR out of memory writing get response\r\n"], ERROR)
        self.affected([HELLO + b"END\r\n"], b"CLIENT_ERROR cannot increment or decrement non-numeric "
                      b"value\r\n" + HELLO + b"END\r\n", before=b"incr %s 1\r\n" % self.evil[1])
        self.assertEqual(connects, self.server()["connects"])

    def test_error_inside_a_get_of_two(self):
        first, second, good = self.evil[0], self.evil[1], self.good[0]
        self.once(b"get " + first, [b"VALUE %s 0 5\r\nhello\r\n" % first,
                                    b"SERVER_ERROR out of memory writing get response\r\n"])
        self.wire.talk(b"get %s %s %s\r\n" % (first, second, good),
                       b"VALUE %s 0 5\r\nhello\r\nVALUE %s 0 5\r\nhello\r\n%s" % (
                           first, good, ERROR))
        self.recovered()

    def test_values_in_another_order_than_asked(self):
        first, second = self.evil[:2]
        self.once(b"get " + first, [b"VALUE %s 0 5\r\nhello\r\nVALUE %s 0 5\r\nhello\r\nEND\r\n" % (
            second, first)])
        self.wire.talk(b"get %s %s\r\n" % (first, second),
                       b"VALUE %s 0 5\r\nhello\r\nEND\r\n" % second)
        harness.eventually(lambda: self.server()["protocol_errors"] == 1, "the doubt")
        self.recovered()

    def test_large_value_breaks_off(self):
        """Up to 256 KiB that costs an error; beyond, half of it is out and the client's connection ends."""
        for size, steps in ((100000, [CLOSE]), (100000, [b"x" * 60000]), (1000000, [CLOSE])):
            with self.subTest(size=size, steps=len(steps)):
                key = self.evil[0]
                wire = self.crossfade.wire("py2")
                self.once(b"get " + key, [b"VALUE %s 0 %d\r\n" % (key, size), b"x" * 50000] + steps)
                wire.send(b"get %s\r\n" % key)
                if size == 100000:
                    wire.expect(ERROR).talk(b"get %s\r\n" % self.good[0], b"VALUE %s 0 5\r\nhello\r\n"
                                            b"END\r\n" % self.good[0])
                else:
                    self.assertTrue(wire.rest().startswith(b"VALUE %s 0 %d\r\nxxx" % (key, size)))
                self.recovered()

    def test_large_value_without_its_line_end(self):
        key = self.evil[0]
        for tail in (b"xx", b"\rx", b"x\n", b"\n\r"):
            with self.subTest(tail=tail):
                self.once(b"get " + key, [b"VALUE %s 0 100000\r\n" % key, b"x" * 100000, 0.02,
                                          tail[:1], 0.02, tail[1:] + b"END\r\n"])
                self.wire.talk(b"get %s\r\n" % key, ERROR)
                self.recovered()


class Pieces(Rig):
    def test_split_at_every_byte(self):
        a, b = self.evil[:2]
        reply = (b"VALUE %s 0 5\r\nhello\r\nVALUE %s 0 5\r\nhello\r\nEND\r\n" % (a, b))
        for at in range(1, len(reply)):
            self.once(b"get " + a, [reply[:at], 0.003, reply[at:]])
            self.wire.talk(b"get %s %s nothing-here\r\n" % (a, b), reply)
        self.assertEqual((0, 0), (self.server()["protocol_errors"], self.server()["timeouts"]))

    def test_one_byte_at_a_time(self):
        key = self.evil[0]
        self.fake.store[key] = value = bytes(range(256)) * 15  # longer than what is waited for whole
        reply = b"VALUE %s 0 %d\r\n%s\r\nEND\r\n" % (key, len(value), value)
        self.once(b"get " + key, [b"%c" % byte for byte in reply])
        self.wire.talk(b"get %s\r\nset %s 0 0 5\r\nhello\r\n" % (key, key), reply + b"STORED\r\n")
        self.assertEqual((0, 0), (self.server()["protocol_errors"], self.server()["timeouts"]))


class Unasked(Rig):
    changes = {"max_value": "64m"}

    def test_bytes_on_an_idle_connection(self):
        for said in (b"END\r\n", b"ERROR Too many open connections\r\n", b"STORED\r\n", b"x"):
            with self.subTest(said=said):
                count = self.server()["protocol_errors"]
                self.fake.say(said)
                harness.eventually(lambda c=count: self.server()["protocol_errors"] == c + 1, "doubt")
                self.recovered()

    def test_reply_to_a_request_that_was_not_sent_yet(self):
        """The bytes arrive in the loop turn that composes the request: they answer nothing."""
        key = self.evil[0]
        for said, asked in ((b"END\r\n", b"get %s\r\n" % key),
                            (b"VALUE %s 0 3\r\nold\r\nEND\r\n" % key, b"get %s\r\n" % key),
                            (b"END\r\n", b"get %s %s\r\n" % (key, self.evil[1])),
                            (b"ERROR\r\n", b"get %s\r\n" % key),
                            (b"STORED\r\n", b"set %s 0 0 5\r\nhello\r\n" % key)):
            with self.subTest(said=said):
                count = self.server()["protocol_errors"]
                self.crossfade.freeze()
                self.wire.send(asked)
                time.sleep(0.05)
                self.fake.say(said)
                time.sleep(0.05)
                self.crossfade.thaw()
                answer = self.wire.line()
                self.assertTrue(answer.startswith(b"SERVER_ERROR "), answer)
                self.assertEqual(count + 1, self.server()["protocol_errors"])
                self.recovered()

    def test_probe_is_not_put_into_a_value(self):
        """A connection fails in the turn in which another one, for an upload, is being opened."""
        value = bytes(range(256)) * 1200
        for _ in range(3):
            self.once(b"get " + self.evil[1], [0.4, CLOSE])
            other = self.crossfade.wire("py2").send(b"get %s\r\n" % self.evil[1])
            time.sleep(0.1)
            self.crossfade.freeze()
            self.wire.send(b"set %s 0 0 %d\r\n%s" % (self.evil[0], len(value), value[:50000]))
            time.sleep(0.4)
            self.crossfade.thaw()
            other.expect(ERROR)
            self.wire.send(value[50000:] + b"\r\n")
            if not self.wire.line().startswith(b"SERVER_ERROR memcached server"):
                self.assertEqual(value, self.fake.store[self.evil[0]])
            self.recovered()
        self.assertEqual(0, self.server()["protocol_errors"])


class Silence(Rig):
    def test_late_reply_is_not_taken_for_the_next(self):
        a, b = self.evil[:2]
        self.once(b"get " + a, [REQUEST_TIMEOUT * 2, b"VALUE %s 0 4\r\nlate\r\nEND\r\n" % a])
        begin = time.monotonic()
        self.wire.talk(b"get %s\r\n" % a, ERROR)
        self.assertGreater(time.monotonic() - begin, REQUEST_TIMEOUT / 2)
        self.assertEqual(1, self.server()["timeouts"])
        self.recovered()
        for _ in range(20):
            self.wire.talk(b"get %s\r\nget %s\r\n" % (b, a), b"VALUE %s 0 5\r\nhello\r\nEND\r\n" % b +
                           b"VALUE %s 0 5\r\nhello\r\nEND\r\n" % a)
            time.sleep(0.05)

    def test_never_answers(self):
        self.fake.script = lambda *unused: []
        self.wire.send(b"get %s\r\nset %s 0 0 1\r\nx\r\nget %s\r\n" % (
            self.evil[0], self.evil[1], self.good[0]))
        self.wire.expect(ERROR)
        self.assertIn(b"no answer in time", self.wire.line())
        self.wire.expect(b"VALUE %s 0 5\r\nhello\r\nEND\r\n" % self.good[0])
        # Now it is known to be down: errors come at once, though probes still hang.
        begin = time.monotonic()
        self.wire.talk(b"get %s\r\n" % self.evil[0], ERROR)
        self.assertLess(time.monotonic() - begin, REQUEST_TIMEOUT)
        self.assertEqual("down", self.server()["state"])
        self.fake.script = lambda *unused: None
        self.recovered()

    def test_accepts_and_closes_at_once(self):
        self.fake.greet = lambda connection: [CLOSE]
        self.fake.say(b"x")  # the connection that is open ends by doubt
        harness.eventually(lambda: self.server()["state"] == "down", "down")
        for _ in range(50):
            self.wire.talk(b"get %s %s\r\n" % (self.evil[0], self.good[0]),
                           b"VALUE %s 0 5\r\nhello\r\n" % self.good[0] + ERROR)
            time.sleep(0.01)
        self.assertLess(self.fake.accepted, 12)  # the back-off holds
        self.fake.greet = lambda connection: None
        self.recovered()

    def test_greets_with_an_error_and_closes(self):
        """As memcached over its connection limit."""
        self.fake.greet = lambda connection: [b"ERROR Too many open connections\r\n", CLOSE]
        self.fake.say(b"x")
        harness.eventually(lambda: self.server()["state"] == "down", "down")
        self.wire.talk(b"get %s\r\n" % self.evil[0], ERROR)
        self.fake.greet = lambda connection: None
        self.recovered()

    def test_flaps(self):
        """Every fifth command ends the connection; each request is answered once all the same."""
        count = [0]

        def script(unused_connection, line, unused_value):
            count[0] += 1
            return [CLOSE] if count[0] % 5 == 0 and not line.startswith(b"version") else None
        self.fake.script = script
        hits = errors = 0
        end = time.monotonic() + 3
        while time.monotonic() < end:
            key = self.evil[hits % 3]
            self.wire.send(b"get %s\r\nget %s\r\n" % (key, self.good[0]))
            line = self.wire.line()
            if line == ERROR:
                errors += 1
            else:
                self.assertEqual(b"VALUE %s 0 5\r\n" % key, line)
                self.wire.expect(b"hello\r\nEND\r\n")
                hits += 1
            self.wire.expect(b"VALUE %s 0 5\r\nhello\r\nEND\r\n" % self.good[0])
            time.sleep(0.002)
        self.assertGreater(hits, 5)
        self.assertGreater(errors, 1)
        self.assertLess(self.fake.accepted, 40)
        self.fake.script = lambda *unused: None
        self.recovered()


class Uploads(Rig):
    """Values beyond 64 KiB go over a connection of their own."""

    changes = {"max_value": "64m"}
    BIG = b"v" * 300000

    def early(self, key, steps):
        """The next storage command of this key is answered so before its value is read."""
        def script(unused_connection, line, value):
            if line.split()[0] in STORAGE and line.split()[1] == key and value is None:
                self.fake.script = lambda *unused: None
                return steps
            return None
        self.fake.script = script

    def upload(self, value, noreply=b""):
        self.wire.send(b"set %s 0 0 %d%s\r\n%s\r\nget %s\r\n" % (
            self.evil[0], len(value), noreply, value, self.good[0]))

    def works(self):
        self.wire.expect(b"VALUE %s 0 5\r\nhello\r\nEND\r\n" % self.good[0])
        self.recovered()
        self.upload(self.BIG)
        self.wire.expect(b"STORED\r\nVALUE %s 0 5\r\nhello\r\nEND\r\n" % self.good[0])
        self.assertEqual(self.BIG, self.fake.store[self.evil[0]])

    def test_server_closes_in_mid_value(self):
        self.early(self.evil[0], [CLOSE])
        self.upload(self.BIG)
        self.assertIn(b"SERVER_ERROR memcached server", self.wire.line())
        self.works()

    def test_server_closes_in_mid_value_without_reply(self):
        self.early(self.evil[0], [CLOSE])
        self.upload(self.BIG, b" noreply")
        self.works()

    def test_server_refuses_before_the_value_is_there(self):
        connects = self.server()["connects"]
        for noreply in (b"", b" noreply"):
            self.early(self.evil[0], [b"SERVER_ERROR out of memory storing object\r\n", SWALLOW])
            self.upload(self.BIG, noreply)
            if not noreply:
                self.wire.expect(b"SERVER_ERROR out of memory storing object\r\n")
            self.works()
        self.assertEqual(connects + 1, self.server()["connects"])

    def test_server_refuses_and_closes(self):
        self.early(self.evil[0], [b"SERVER_ERROR object too large for cache\r\n", CLOSE])
        self.upload(self.BIG)
        self.assertTrue(self.wire.line().startswith(b"SERVER_ERROR "))
        self.works()

    def test_success_before_the_value_was_sent_is_not_believed(self):
        self.early(self.evil[0], [b"STORED\r\n", SWALLOW])
        self.wire.send(b"set %s 0 0 300000\r\nvvv" % self.evil[0])
        self.assertIn(b"SERVER_ERROR memcached server", self.wire.line())
        self.wire.send(b"v" * 299997 + b"\r\nget %s\r\n" % self.good[0])
        self.works()

    def test_server_stops_reading_in_mid_value(self):
        """More than all sockets on the way take: the daemon has to give up, and take the rest."""
        self.early(self.evil[0], [15.0, CLOSE])
        begin = time.monotonic()
        self.upload(b"v" * 30000000)
        self.assertIn(b"no answer in time", self.wire.line())
        self.assertLess(time.monotonic() - begin, 8)
        self.assertLess(self.crossfade.memory(), 200e6)
        self.works()

    def test_server_never_answers_an_upload(self):
        self.early(self.evil[0], [SWALLOW, 15.0, CLOSE])
        self.upload(self.BIG)
        self.assertIn(b"no answer in time", self.wire.line())
        self.works()


    def test_upload_does_not_overtake_a_command_without_reply(self):
        """It goes over a connection of its own, and still comes second."""
        key = self.evil[0]
        answered = []

        def script(unused_connection, line, value):
            if not line.startswith(b"set " + key):
                return None
            if value is not None and len(value) == 3:
                time.sleep(0.2)
                answered.append("small")
                return None
            if value is None and line.endswith(b" 300000"):
                answered.append("upload")
            return None
        self.fake.script = script
        self.wire.talk(b"set %s 0 0 1 noreply\r\nx\r\nset %s 0 0 300000\r\n%s\r\n" % (
            key, key, self.BIG), b"STORED\r\n")
        self.assertEqual(["small", "upload"], answered)

    def test_shared_connections_go_on_while_uploads_fail(self):
        self.early(self.evil[0], [CLOSE])
        closed = self.server()["closed_by_server"]
        other = self.crossfade.wire("py2")
        self.upload(self.BIG)
        for _ in range(100):
            other.talk(b"get %s\r\n" % self.evil[1],
                       b"VALUE %s 0 5\r\nhello\r\nEND\r\n" % self.evil[1])
        self.assertIn(b"SERVER_ERROR", self.wire.line())
        self.assertEqual(closed + 1, self.server()["closed_by_server"])
        self.works()


class Misses(Rig):
    failures = "miss"

    def test_reads_are_misses_and_writes_are_errors(self):
        key = self.evil[0]
        for steps in ([b"nonsense\r\n"], [HELLO[:9].replace(b"KEY", key), CLOSE]):
            self.once(b"get " + key, steps)
            self.wire.talk(b"get %s\r\n" % key, b"END\r\n")
            self.wire.send(b"set %s 0 0 1\r\nx\r\n" % key)
            self.assertTrue(self.wire.line().startswith(b"SERVER_ERROR memcached server "))
            self.recovered()
        self.assertNotEqual(b"x", self.fake.store[key])


if __name__ == "__main__":
    harness.main()
