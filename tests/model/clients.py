"""The clients of the random histories (histories.py): what they keep of what they do, what they do,
and how a value says who wrote it.

A client is a generator: it yields a request (talk.py) and gets its reply, with the times of both;
or it yields a number of seconds to wait. It does one thing after another, in one arm, through one
sidecar. Not claimed, so not done: a `set` that answers no miss, beside fills of its arm and
process.
"""
import hashlib
import re
import select
import socket
import time

import talk

FOREVER = float("inf")
VALUE = re.compile(rb"(?:-\d+;)*(\w+)\|([^|]+)\|(\d+)\|(\d+)\|(x*)(?:\+\d+;)*\Z")
NUMBER = re.compile(rb"([1-9])(\d{9})\d{6} *\Z")  # in an arm: the arm, the uid, what was counted
ARMS = ["", "py2", "py3", "web"]
GENERATION = 1000000  # a counter's numbers before they could be another one's
LARGE = 90000


class Write:
    """A value that a client has sent."""

    __slots__ = ("uid", "key", "arm", "sidecar", "version", "fill", "invoke", "end", "status",
                 "missed", "answered")

    def __init__(self, uid, key, arm, sidecar, version, fill, missed):
        self.uid, self.key, self.arm, self.sidecar = uid, key, arm, sidecar
        self.version, self.fill, self.missed = version, fill, missed
        self.invoke, self.end, self.status, self.answered = FOREVER, FOREVER, "UNSENT", FOREVER


class Key:
    """What the database has, and what was done."""

    __slots__ = ("name", "version", "ends", "hits", "log", "cas", "locks", "numbers", "releases")

    def __init__(self, name):
        self.name = name
        self.version = 1
        self.ends = []     # invalidations: [invoke, return, commit, sidecar, arm, status, verb]
        self.hits = []     # (arm, sidecar, invoke, return, value, cas, flags)
        self.log = []      # (invoke, return, client, request, reply)
        self.cas = []      # (invoke, return, sidecar, arm, base uid, base cas, gets' return)
        self.locks = []    # [invoke, return, uid, release's invoke, status]
        self.numbers = []  # (invoke, return, number)
        self.releases = [] # (invoke, return, status)


class Connection:
    """To one listener of one sidecar, in one dialect; one command at a time."""

    def __init__(self, port, dialect):
        self.port = port
        self.dialect = talk.DIALECTS[dialect]
        self.name = dialect
        self.sock = None
        self.data = bytearray()

    def open(self):
        self.sock = socket.create_connection(("127.0.0.1", self.port), 5)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        self.data.clear()

    def close(self):
        if self.sock:
            self.sock.close()
            self.sock = None

    def send(self, data):
        """False: it could not be sent, or who knows how much of it was."""
        view = memoryview(data)
        end = time.monotonic() + 10
        while view:
            try:
                sent = self.sock.send(view)
                view = view[sent:]
            except BlockingIOError:
                select.select([], [self.sock], [], 1)
                if time.monotonic() > end:
                    return False
            except OSError:
                return False
        return True


class Client:
    """Does one thing after another, in one arm, through one sidecar."""

    def __init__(self, run, number, sidecar, arm, port, rng):
        self.run, self.number, self.sidecar, self.arm, self.rng = run, number, sidecar, arm, rng
        dialects = run.config.get("dialects", ["classic", "meta", "binary"])
        first, second = number % len(dialects), rng.randrange(len(dialects))
        self.connections = [Connection(port, dialects[first]), Connection(port, dialects[second])]
        self.steps = self.work()
        self.bare = None
        self.request = self.connection = self.begun = None
        self.wake = 0

    @classmethod
    def without_sidecar(cls, run, number, ports, rng):
        """On a host that does not run Crossfade yet, as the arm with the empty namespace was: it
        reads and fills the servers themselves."""
        client = cls(run, number, -1, "bare", 0, rng)
        client.connections = [Connection(port, "classic") for port in ports]
        client.bare = ports
        client.steps = client.work_bare()
        return client

    def connection_for(self, request):
        if self.bare is None:
            return self.rng.choice(self.connections)
        digest = hashlib.md5(request[1]).digest()
        return self.connections[int.from_bytes(digest[:4], "little") % len(self.bare)]

    def __repr__(self):
        if self.bare:
            return "client %d (no sidecar)" % self.number
        return "client %d (sidecar %d, %s)" % (self.number, self.sidecar, self.arm)

    # -- Values --

    def write(self, key, version, fill, missed=0.0):
        run = self.run
        run.uid += 1
        write = Write(run.uid, key, self.arm, self.sidecar, version, fill, missed)
        run.writes[run.uid] = write
        if key.name.startswith("n:"):
            return write, b"%d%09d000000" % (ARMS.index(self.arm), run.uid)
        size = LARGE if run.uid % run.large == 0 else run.uid % 50
        value = b"%s|%s|%d|%d|%s" % (self.arm.encode(), key.name.encode(), version, run.uid,
                                     b"x" * size)
        return write, value

    def send_write(self, verb, key, write, value, *more):
        reply = yield (verb, key.name.encode(), write.uid & 0xffff, value) + more
        write.invoke, write.status, write.answered = reply[4], reply[0], reply[5]
        if reply[0] not in ("ERROR", "LOST"):
            write.end = reply[5]
        if reply[0] == "UNSENT":
            write.invoke = FOREVER
        return reply

    def read(self, key, verb):
        request = (verb, key.name.encode()) + ((0,) if verb == "gat" else ())
        reply = yield request
        if reply[0] == "HIT":
            key.hits.append((self.arm, self.sidecar, reply[4], reply[5]) + reply[1:4])
        return reply

    def ended(self, key, reply, commit, verb):
        """An invalidation was acknowledged, or answered with an error."""
        if reply[0] in ("OK", "STORED", "NOT_FOUND", "ERROR"):
            key.ends.append([reply[4], reply[5], commit, self.sidecar, self.arm, reply[0], verb])

    # -- What clients do --

    def work(self):
        run, rng = self.run, self.rng
        while True:
            kind = rng.choices(run.kinds, run.weights)[0]
            yield from getattr(self, kind)()

    def work_bare(self):
        while True:
            key = self.rng.choice(self.run.hot[1:])
            reply = yield from self.read(key, "get")
            if reply[0] == "MISS":
                write, value = self.write(key, key.version, True, reply[5])
                yield from self.send_write("add", key, write, value)

    def isolated(self):
        return self.rng.choice(self.run.hot if self.rng.random() < 0.7 else self.run.cold)

    def fill(self, key, missed):
        rng = self.rng
        version = key.version
        if rng.random() < 0.4:
            yield rng.choice((0, 0, 0.001, 0.004, 0.02))
        write, value = self.write(key, version, True, missed)
        verb = "add" if rng.random() < self.run.config.get("adds", 0.25) else "set"
        reply = yield from self.send_write(verb, key, write, value)
        # A library that tries again.
        while reply[0] == "ERROR" and rng.random() < self.run.retries:
            yield rng.choice((0, 0.01, 0.1, 0.3))
            write, value = self.write(key, version, True, missed)
            reply = yield from self.send_write(verb, key, write, value)

    def read_fill(self):
        key = self.isolated()
        reply = yield from self.read(key, self.rng.choice(("get", "get", "gets", "gat")))
        if reply[0] == "MISS":
            yield from self.fill(key, reply[5])

    def read_many(self):
        run, rng = self.run, self.rng
        keys = rng.sample(run.hot, min(len(run.hot), 3)) + rng.sample(run.cold, 5)
        rng.shuffle(keys)
        reply = yield ("getmany",) + tuple(key.name.encode() for key in keys)
        if reply[0] != "MANY":
            return
        run.operations += len(keys) - 1
        missing = []
        for key in keys:
            found = reply[1].get(key.name.encode())
            if found:
                key.hits.append((self.arm, self.sidecar, reply[4], reply[5]) + found)
                run.count("get HIT")
            else:
                run.count("get MISS")
                missing.append((key, key.version))
        for key, version in missing:
            write, value = self.write(key, version, True, reply[5])
            yield from self.send_write("set", key, write, value)

    def commit(self, key):
        key.version += 1
        return key.version

    def delete(self):
        key = self.isolated()
        commit = self.commit(key)
        if self.rng.random() < 0.2:
            yield 0.002
        yield from self.send_delete(key, commit)

    def send_delete(self, key, commit):
        reply = yield ("delete", key.name.encode())
        self.ended(key, reply, commit, "delete")

    def replace(self):
        key = self.isolated()
        commit = self.commit(key)
        write, value = self.write(key, commit, False)
        reply = yield from self.send_write("replace", key, write, value)
        if reply[0] == "STORED":
            self.ended(key, reply, commit, "replace")
        else:
            yield from self.send_delete(key, commit)

    def cas(self):
        key = self.isolated()
        reply = yield from self.read(key, "gets")
        if reply[0] == "MISS":
            yield from self.fill(key, reply[5])
        if reply[0] != "HIT":
            return
        base = VALUE.match(reply[1])
        commit = self.commit(key)
        if self.rng.random() < 0.5:
            yield self.rng.choice((0, 0.002, 0.01))
        write, value = self.write(key, commit, False)
        done = yield from self.send_write("cas", key, write, value, reply[2])
        if done[0] == "STORED":
            self.ended(key, done, commit, "cas")
            if base:
                key.cas.append((done[4], done[5], self.sidecar, self.arm, int(base[4]), reply[2],
                                reply[5], reply[1]))
        else:
            yield from self.send_delete(key, commit)

    def append(self):
        key = self.isolated()
        self.run.uid += 1
        if self.rng.random() < 0.5:
            reply = yield ("append", key.name.encode(), b"+%d;" % self.run.uid)
        else:
            reply = yield ("prepend", key.name.encode(), b"-%d;" % self.run.uid)
        if reply[0] == "STORED":
            self.ended(key, reply, 0, "append")

    def arm_counter(self):
        """Filled as any other value, and counted up by whoever finds it."""
        key, rng = self.rng.choice(self.run.arm_counters), self.rng
        chance = rng.random()
        if chance < 0.5:
            reply = yield from self.read(key, "get")
            if reply[0] == "MISS":
                yield from self.fill(key, reply[5])
        elif chance < 0.9:
            reply = yield ("incr", key.name.encode(), 1)
            if reply[0] == "NUMBER":
                key.numbers.append((reply[4], reply[5], reply[1]))
                key.hits.append((self.arm, self.sidecar, reply[4], reply[5], b"%d" % reply[1], 0,
                                 None))
                self.ended(key, ("STORED",) + reply[1:], 0, "append")
        else:
            yield from self.send_delete(key, self.commit(key))

    def touch(self):
        yield ("touch", self.isolated().name.encode(), 0)

    def through(self):
        """Write-through by set, under a rule writes: mutate."""
        key, rng = self.rng.choice(self.run.through), self.rng
        if rng.random() < 0.6:
            yield from self.read(key, "get")
        elif rng.random() < 0.3:
            yield from self.send_delete(key, self.commit(key))
        else:
            commit = self.commit(key)
            write, value = self.write(key, commit, False)
            reply = yield from self.send_write("set", key, write, value)
            self.ended(key, reply, commit, "set")

    def counter(self):
        key = self.rng.choice(self.run.counters)
        reply = yield ("incr", key.name.encode(), 1)
        if reply[0] == "NUMBER":
            key.numbers.append((reply[4], reply[5], reply[1]))
        elif reply[0] == "NOT_FOUND":
            self.run.uid += 1
            yield ("add", key.name.encode(), 0, b"%d" % (self.run.uid * GENERATION))

    def lock(self):
        key = self.rng.choice(self.run.locks)
        self.run.uid += 1
        reply = yield ("add", key.name.encode(), 0, b"%d" % self.run.uid)
        if reply[0] != "STORED":
            return
        held = [reply[4], reply[5], self.run.uid, FOREVER]
        key.locks.append(held)
        if self.rng.random() < 0.5:
            yield self.rng.choice((0, 0.002))
        held[3] = time.monotonic()
        reply = yield ("delete", key.name.encode())
        key.releases.append((held[3], reply[5], reply[0]))

    def register(self):
        """A shared value that is changed by cas alone."""
        key = self.rng.choice(self.run.registers)
        reply = yield from self.read(key, "gets")
        if reply[0] == "MISS":
            write, value = self.write(key, self.commit(key), False)
            yield from self.send_write("add", key, write, value)
        elif reply[0] == "HIT":
            base = VALUE.match(reply[1])
            write, value = self.write(key, self.commit(key), False)
            done = yield from self.send_write("cas", key, write, value, reply[2])
            if done[0] == "STORED" and base:
                self.ended(key, done, write.version, "cas")
                key.cas.append((done[4], done[5], self.sidecar, self.arm, int(base[4]), reply[2],
                                reply[5], reply[1]))

    def flush(self):
        """A new generation of this arm in this sidecar."""
        yield ("flush",)


# Kind and weight. What a run leaves out has no weight there.
KINDS = {"read_fill": 40, "read_many": 8, "delete": 10, "replace": 4, "cas": 8, "append": 4,
         "touch": 2, "arm_counter": 4, "through": 8, "counter": 5,
         "lock": 3, "register": 4, "flush": 0}


def shown(request):
    """A request without its key."""
    if request[0] == "getmany":
        return "get of %d keys" % (len(request) - 1)
    return " ".join([request[0]] + [shown_value(word) if isinstance(word, bytes) else str(word)
                                    for word in request[2:]])


def shown_value(value):
    """`py3 version 7 #12`, and what was appended."""
    match = VALUE.match(value)
    if not match:
        return repr(value[:60])[2:-1]
    more = value[:match.start(1)] + value[match.end(5):]
    return "%s version %d #%d%s" % (match[1].decode("latin-1"), int(match[3]), int(match[4]),
                                    " " + more[-40:].decode("latin-1") if more else "")


def shown_reply(name, reply):
    if reply[0] == "MANY":
        found = reply[1].get(name)
        return shown_reply(name, ("HIT",) + found) if found else "MISS"
    value = reply[1]
    if isinstance(value, bytes):
        value = shown_value(value) if reply[0] == "HIT" else repr(value[:70])[2:-1]
    return reply[0] + ("" if value is None else " %s" % value) + \
        (" cas %d" % reply[2] if reply[2] else "")
