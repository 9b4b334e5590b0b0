"""A random mix of right and wrong commands by pipelining clients of two arms, over three memcached
servers that are killed, frozen and started again meanwhile. Each client knows what it has written under
its own keys, and holds every reply against that: its place, its kind and its value.

The seed is in the message of a failure; CROSSFADE_SEED=n runs that one again (the clients' commands are
then the same; the threads' timing is not).
"""
import os
import random
import re
import threading
import time

import harness

CLIENTS = 10
SECONDS = 10  # of trouble
KEYS = 12     # of each client
VALUE = re.compile(rb"VALUE (\S+) (\d+) (\d+)(?: (\d+))?\r\n$")
FAILED = rb"SERVER_ERROR (memcached server |no connection|another version may still)"


class Client(threading.Thread):
    """Writes and reads its own keys; in `known` is what each may hold."""

    def __init__(self, seed, number, wire, arm, strangers):
        super().__init__(daemon=True)
        self.random = random.Random(seed * 1000 + number)
        self.number, self.wire, self.arm = number, wire, arm
        self.strangers = strangers  # keys of clients of the other arm: never to be seen here
        self.keys = [b"c%d-%d" % (number, n) for n in range(KEYS - 1)]
        self.keys.append(b"c%d-" % number + b"long" * 61)  # with a prefix too long for memcached
        self.known = {key: set() for key in self.keys}    # what was stored for sure, or nothing
        self.maybe = {key: set() for key in self.keys}    # what may come to be stored, some time
        self.serial = 0
        self.failures = self.hits = self.commands = 0
        self.calm = False  # no server is in trouble: nothing may fail
        self.ending = threading.Event()
        self.fault = None

    def value(self):
        """One that no other command writes; it ends as it begins."""
        self.serial += 1
        mark = b"%d/%d;" % (self.number, self.serial)
        kind = self.random.random()
        size = 100000 if kind < 0.01 else 5000 if kind < 0.1 else self.random.randrange(60)
        return mark + b"." * size + mark

    # Each of these returns the bytes to send and what reads the reply.

    def store(self):
        key, value = self.random.choice(self.keys), self.value()
        verb = self.random.choice([b"set"] * 6 + [b"add", b"replace", b"cas"])
        tail = b" 1" if verb == b"cas" else b""
        noreply = self.random.random() < 0.15
        command = b"%s %s %d 0 %d%s%s\r\n%s\r\n" % (
            verb, key, self.number, len(value), tail, b" noreply" if noreply else b"", value)

        def read():
            if noreply:
                self.maybe[key].add(value)
                return
            line = self.reply(rb"(STORED|NOT_STORED|EXISTS|NOT_FOUND)\r\n$" if verb != b"set" else
                              rb"STORED\r\n$")
            if line is None:
                self.maybe[key].add(value)
            elif line == b"STORED\r\n":
                self.known[key] = {value}
        return command, read

    def delete(self):
        key = self.random.choice(self.keys)
        tail = self.random.choice([b"", b" 0", b" ", b" noreply"])

        def read():
            if tail == b" noreply":
                return
            if self.reply(rb"(DELETED|NOT_FOUND)\r\n$") is not None:
                self.known[key] = set()
        return b"delete %s%s\r\n" % (key, tail), read

    def get(self):
        asked = [self.random.choice(self.keys) for _ in range(self.random.choice([1, 1, 1, 2, 5, 30]))]
        if self.random.random() < 0.1:
            asked.insert(self.random.randrange(len(asked)), self.random.choice(self.strangers))
        verb = self.random.choice([b"get", b"get", b"gets", b"gat 1000"])

        def read():
            at = 0
            while True:
                line = self.wire.line()
                if line == b"END\r\n":
                    return
                if line.startswith(b"SERVER_ERROR a memcached server did not answer"):
                    self.failed(line)
                    return
                found = VALUE.match(line)
                self.check(found and (found.group(4) is not None) == (verb == b"gets"), line)
                key, size = found.group(1), int(found.group(3))
                self.check(key in asked[at:], "%r is not due" % key)
                at = asked.index(key, at) + 1
                value = self.wire.exactly(size + 2)
                self.check(key in self.known, "a key of the other arm: %r" % key)
                self.check(int(found.group(2)) == self.number, line)
                self.check(value[-2:] == b"\r\n" and
                           value[:-2] in self.known[key] | self.maybe[key],
                           "%r holds %s, not one of %s or %d uncertain" % (
                               key, harness.shorten(value, 80),
                               [harness.shorten(each, 80) for each in self.known[key]],
                               len(self.maybe[key])))
                self.hits += 1
        return b"%s %s\r\n" % (verb, b" ".join(asked)), read

    def simple(self):
        key = self.random.choice(self.keys)
        command, pattern = self.random.choice([
            (b"touch %s 1000\r\n" % key, rb"(TOUCHED|NOT_FOUND)\r\n$"),
            (b"incr %s 1\r\n" % key,
             rb"(NOT_FOUND|CLIENT_ERROR cannot increment or decrement non-numeric value)\r\n$"),
        ])
        return command, lambda: self.reply(pattern)

    def too_large(self):
        key = self.random.choice(self.keys)

        def read():
            if self.reply(rb"SERVER_ERROR object too large for cache\r\n$") is not None:
                self.known[key] = set()
        return b"set %s 0 0 1100000\r\n%s\r\n" % (key, b"get x\r\n" * 157142 + b"123456"), read

    def broken(self):
        key = self.keys[0]
        bad = b"CLIENT_ERROR bad command line format\r\n"
        command, answer = self.random.choice([
            (b"nonsense\r\n", b"ERROR\r\n"),
            (b"\r\n", b"ERROR\r\n"),
            (b"get\r\n", b"ERROR\r\n"),
            (b"get %s %s\r\n" % (key, b"k" * 251), bad),
            (b"set %s 0 0 x\r\n" % key, bad),
            (b"set %s 0\r\n" % key, b"ERROR\r\n"),
            (b"set %s 0 0 3\r\nabcde\r\n" % key, b"CLIENT_ERROR bad data chunk\r\nERROR\r\n"),
            (b"incr %s x\r\n" % key, b"CLIENT_ERROR invalid numeric delta argument\r\n"),
            (b"verbosity 1\r\n", b"OK\r\n"),
            (b"delete\n", b"ERROR\r\n"),
        ])
        return command, lambda: self.wire.expect(answer, 20)

    # Reading

    def check(self, right, what):
        if not right:
            raise AssertionError("client %d: %s; behind it: %s" % (
                self.number, what, harness.shorten(self.wire.pending, 200)))

    def failed(self, line):
        self.check(not self.calm, "failed though all is well: %r" % line)
        self.failures += 1

    def reply(self, pattern):
        """The reply's line; None when it is an honest failure of a server."""
        line = self.wire.line()
        if re.match(FAILED, line):
            self.failed(line)
            return None
        self.check(re.match(pattern, line), line)
        return line

    def batch(self):
        kinds = [self.store] * 8 + [self.get] * 10 + [self.delete] * 2 + [self.simple, self.broken]
        chosen = [self.random.choice(kinds)() for _ in range(self.random.choice([1, 3, 10, 40]))]
        if self.random.random() < 0.02:
            chosen.append(self.too_large())
        data = b"".join(command for command, _ in chosen) + b"version\r\n"
        if self.random.random() < 0.2:
            at = self.random.randrange(len(data))
            self.wire.send(data[:at])
            time.sleep(0.01)
            self.wire.send(data[at:])
        else:
            self.wire.send(data)
        for _, read in chosen:
            read()
        line = self.wire.line()
        self.check(line.startswith(b"VERSION "), line)
        self.commands += len(chosen)

    def run(self):
        try:
            while not self.ending.is_set():
                self.batch()
        except Exception as error:  # pylint: disable=broad-except
            self.fault = error


class Mix(harness.Test):
    def trouble(self, chance, servers):
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            server = chance.choice(servers)
            if chance.random() < 0.5:
                server.freeze()
                time.sleep(chance.choice([0.05, 0.3, 1.0]))
                server.thaw()
            else:
                server.kill()
                time.sleep(chance.choice([0.0, 0.3]))
                server.start()
            time.sleep(chance.choice([0.0, 0.2, 0.6]))

    def mix(self, seed):
        chance = random.Random(seed)
        servers = [self.memcached() for _ in range(3)]
        config = harness.cache_config(
            *servers, connections_per_server=chance.choice([1, 1, 3]),
            on_failure=chance.choice(["miss", "error"]),
            timeouts={"connect": "250ms", "request": "600ms"})
        daemon = self.daemon(config)
        clients = []
        for number in range(CLIENTS):
            arm = ("py2", "py3")[number % 2]
            strangers = [b"c%d-%d" % (other, n) for other in range(CLIENTS) for n in range(3)
                         if other % 2 != number % 2]
            clients.append(Client(seed, number, daemon.wire(arm, 20), arm, strangers))
        for client in clients:
            client.start()
        try:
            self.trouble(chance, servers)
        finally:
            for client in clients:
                client.ending.set()
            for client in clients:
                client.join(40)
        faults = [client.fault for client in clients if client.fault]
        if faults:
            raise faults[0]
        daemon.alive()
        self.assertGreater(sum(client.failures for client in clients), 0)
        self.assertGreater(sum(client.hits for client in clients), 100)
        self.settle(daemon, clients)

    def settle(self, daemon, clients):
        """All servers are back: nothing fails, is lost or hangs about."""
        harness.eventually(lambda: all(row["state"] == "up" and row["waiting"] == 0
                                       for row in daemon.show("servers")), "the servers' return")
        for client in clients:
            for key in client.keys:
                value = b"last" + key
                client.wire.talk(b"set %s 5 0 %d\r\n%s\r\nget %s\r\n" % (
                    key, len(value), value, key),
                    b"STORED\r\nVALUE %s 5 %d\r\n%s\r\nEND\r\n" % (key, len(value), value))
            client.wire.close()

    def test_random_mix(self):
        seed = int(os.environ.get("CROSSFADE_SEED") or time.time() * 1000) % 1000000
        try:
            self.mix(seed)
        except Exception as error:
            raise AssertionError("CROSSFADE_SEED=%d: %s" % (seed, error)) from error


if __name__ == "__main__":
    harness.main()
