"""A random mix of right and wrong commands by pipelining clients of two arms, some of them in binary, over three
memcached servers that are killed, frozen and started again meanwhile. Each client knows what it has written under
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
import packets
from packets import DONE, EXISTS, INVALID, NOT_FOUND, NOT_STORED, TEMPORARY, TOO_LARGE, UNKNOWN

CLIENTS = 12
BINARY = 5    # of them
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

    def last(self, key, value):
        """All is well: it is stored and found."""
        self.wire.talk(b"set %s 5 0 %d\r\n%s\r\nget %s\r\n" % (key, len(value), value, key),
                       b"STORED\r\nVALUE %s 5 %d\r\n%s\r\nEND\r\n" % (key, len(value), value))

    def run(self):
        try:
            while not self.ending.is_set():
                self.batch()
        except Exception as error:  # pylint: disable=broad-except
            self.fault = error


class BinaryClient(Client):
    """The same in the binary protocol: every request has an opaque of its own, and so has its reply.

    Each method returns the request, its opaque, and what is called with the reply: None, if there was none.
    """

    MARK = 0xffffffff

    def __init__(self, *arguments):
        super().__init__(*arguments)
        for at, key in enumerate(list(self.keys)[:3]):
            self.known.pop(key), self.maybe.pop(key)
            self.keys[at] = key = key + (b" and a space", b"\r\nget x\r\n", b"\0\xff")[at]
            self.known[key], self.maybe[key] = set(), set()
        self.client = packets.Binary(self.wire)
        self.opaque = 0

    def number_of(self):
        self.opaque = (self.opaque + self.random.randrange(1, 1 << 16)) % self.MARK
        return self.opaque

    def honest(self, reply, *statuses):
        """The status, which has to be one of these; None when it is an honest failure of a server."""
        if reply.status == TEMPORARY:
            self.failed(repr(reply))
            return None
        self.check(reply.status in statuses, reply)
        return reply.status

    def quietly(self, quiet, reply):
        """Was it done, for sure? A quiet success is not heard of."""
        self.check(reply is not None or quiet, "no reply")
        self.check(not quiet or reply is None or reply.status != DONE, reply)

    def store(self):
        key, value, opaque = self.random.choice(self.keys), self.value(), self.number_of()
        at = self.random.choice([0] * 6 + [1, 2, 3])
        quiet = self.random.random() < 0.4
        opcode = ((packets.SET, packets.SETQ), (packets.ADD, packets.ADDQ),
                  (packets.REPLACE, packets.REPLACEQ), (packets.SET, packets.SETQ))[at][quiet]
        statuses = [DONE, EXISTS, NOT_FOUND] if at else [DONE]

        def read(reply):
            self.quietly(quiet, reply)
            status = DONE if reply is None else self.honest(reply, *statuses)
            if status is None:
                self.maybe[key].add(value)
            elif status == DONE:
                self.known[key] = {value}
        return packets.store(opcode, key, value, flags=self.number, opaque=opaque, cas=int(at == 3)), opaque, read

    def delete(self):
        key, opaque, quiet = self.random.choice(self.keys), self.number_of(), self.random.random() < 0.5

        def read(reply):
            self.quietly(quiet, reply)
            if reply is None or self.honest(reply, DONE, NOT_FOUND) is not None:
                self.known[key] = set()
        return packets.request(packets.DELETEQ if quiet else packets.DELETE, key, opaque=opaque), opaque, read

    def get(self):
        strange = self.random.random() < 0.05
        key, opaque = self.random.choice(self.strangers if strange else self.keys), self.number_of()
        opcode, quiet, named, ask = self.random.choice([
            (packets.GET, False, False, packets.request), (packets.GETQ, True, False, packets.request),
            (packets.GETK, False, True, packets.request), (packets.GETKQ, True, True, packets.request),
            (packets.GAT, False, False, packets.touch), (packets.GATKQ, True, True, packets.touch)])

        def read(reply):
            self.check(reply is not None or quiet, "no reply")
            if reply is None or self.honest(reply, DONE, NOT_FOUND) is None:
                return
            self.check(not quiet or reply.status == DONE, reply)
            self.check(reply.key == (key if named else b""), reply)
            if reply.status == NOT_FOUND:
                return
            self.check(not strange and reply.value in self.known[key] | self.maybe[key], (key, reply.value[:100]))
            self.check(int.from_bytes(reply.extras, "big") == self.number, reply.extras)
            self.hits += 1
        return ask(opcode, key, opaque=opaque), opaque, read

    def simple(self):
        key, opaque = self.random.choice(self.keys), self.number_of()
        request, statuses = self.random.choice([
            (packets.touch(packets.TOUCH, key, opaque=opaque), (DONE, NOT_FOUND)),
            (packets.count(packets.INCR, key, 1, opaque=opaque), (NOT_FOUND, 6)),
            (packets.request(packets.APPEND, self.strangers[0] + b"-", b"!", opaque=opaque), (NOT_STORED,)),
            (packets.request(packets.VERSION, opaque=opaque), (DONE,))])
        return request, opaque, lambda reply: self.honest(reply, *statuses)

    def too_large(self):
        key, opaque = self.random.choice(self.keys), self.number_of()

        def read(reply):
            if self.honest(reply, TOO_LARGE) is not None:
                self.known[key] = set()
        return packets.store(packets.SETQ, key, packets.request(packets.DELETE, self.keys[0]) * 30000,
                             opaque=opaque), opaque, read

    def broken(self):
        """Those after which the connection goes on."""
        opaque = self.number_of()
        request, status = self.random.choice([
            (packets.request(0x1b, extras=b"\0\0\0\1", opaque=opaque), UNKNOWN),
            (packets.request(0x77, b"a key", b"and a value" * 9, opaque=opaque), UNKNOWN),
            (packets.request(packets.SASL_AUTH, b"PLAIN", b"\0a\0b", opaque=opaque), UNKNOWN),
            (packets.store(packets.SETQ, b"__crossfade__/x", b"value", opaque=opaque), INVALID),
            (packets.request(packets.STAT, b"nonsense", opaque=opaque), NOT_FOUND)])
        return request, opaque, lambda reply: self.honest(reply, status)

    def batch(self):
        kinds = [self.store] * 8 + [self.get] * 16 + [self.delete] * 2 + [self.simple, self.broken]
        chosen = [self.random.choice(kinds)() for _ in range(self.random.choice([1, 3, 10, 60]))]
        if self.random.random() < 0.02:
            chosen.append(self.too_large())
        data = b"".join(each[0] for each in chosen) + packets.request(packets.NOOP, opaque=self.MARK)
        at = self.random.randrange(len(data)) if self.random.random() < 0.2 else len(data)
        self.wire.send(data[:at])
        if at < len(data):
            time.sleep(0.01)
            self.wire.send(data[at:])
        replies = {each.opaque: each for each in self.client.until(self.MARK)}
        order = [opaque for _, opaque, _ in chosen if opaque in replies]
        self.check(order == list(replies)[:-1], "replies out of order: %r, %r" % (order, list(replies)))
        for _, opaque, read in chosen:
            read(replies.get(opaque))
        self.commands += len(chosen)

    def last(self, key, value):
        self.check(self.client.set(key, value) == DONE and self.client.get(key) == value, key)


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
            kind = BinaryClient if number < BINARY else Client
            clients.append(kind(seed, number, daemon.wire(arm, 20), arm, strangers))
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
        daemon.at_rest()
        for client in clients:
            for key in client.keys:
                client.last(key, b"last" + key)
            client.wire.close()

    def test_random_mix(self):
        seed = int(os.environ.get("CROSSFADE_SEED") or time.time() * 1000) % 1000000
        try:
            self.mix(seed)
        except Exception as error:
            raise AssertionError("CROSSFADE_SEED=%d: %s" % (seed, error)) from error


if __name__ == "__main__":
    harness.main()
