"""Random histories of clients, and the judge of what they were given.

A process of this file drives many clients (generators, one command of each under way) of several
arms through several sidecars, over keys of its own; so the database stand-in and the clock are its
own too. world.py starts it and makes the faults. When the servers are whole again and every journal
is replayed, all keys are read once more through every door, and every value that was ever given out
is judged:

  identity    the value was written by the arm that reads it, for that key, whole, with its flags
  epoch       a fill of version n is not given out after an acknowledged invalidation of a younger
              commit; no value is given out that was stored before an acknowledged invalidation
              began (the same for fan-out, among the arms that the invalidating sidecar knows)
  failure     an invalidation that was answered with an error binds the reads of its own sidecar at
              once, and all reads when the journal is replayed; so a value whose mutation failed is
              not given out after that
  cas         none of two from one `gets` succeeds twice, nor one over a whole invalidation
  counters    give no number twice, and no smaller one later (in shared scope: to any arm)
  locks       in shared scope have one holder, as long as no server lost its items
  generation  a sidecar gives out nothing that was stored through it before it began a new one

What a client got no answer for, or an error, stays open until then: it may have happened, or happen
later. Not claimed, so not done: a `set` that answers no miss, beside fills of its arm and process.
"""
import bisect
import hashlib
import json
import os
import random
import re
import select
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
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
         "touch": 2, "arm_counter": 4, "through": 8, "counter": 5, "lock": 3, "register": 4, "flush": 0}


class Run:
    """One process's part of a history."""

    def __init__(self, config):
        self.config = config
        self.epoch = config["mode"] == "epoch"
        self.journal = config.get("journal", True)
        self.retries = config.get("retries", 0.5)
        self.large = config.get("large", 1499)
        self.uid = config["worker"] * 100000000
        self.operations = 0
        self.counts = {}
        self.writes = {}
        self.violations = []
        rng = random.Random("%s keys %s" % (config["seed"], config["worker"]))
        tag = "%d.%d" % (config["seed"] % 100000, config["worker"])
        many = config.get("keys", 40)

        def keys(form, count):
            return [Key(form % (tag, number)) for number in range(count)]

        self.hot = keys("i:%s:h%d", config.get("hot", 8))
        self.cold = keys("i:%s:c%d", max(many, 6))
        # One so long that it becomes a digest in every arm.
        self.hot[0].name = ("i:%s:" % tag).ljust(244, "L")
        self.through = keys("m:%s:%d", 6)
        self.arm_counters = keys("n:%s:%d", 3)
        self.counters = keys("s:n:%s:%d", 4)
        self.locks = keys("s:l:%s:%d", 3)
        self.registers = keys("s:r:%s:%d", 3)
        self.keys = {key.name.encode(): key for key in
                     self.hot + self.cold + self.through + self.arm_counters + self.counters + self.locks +
                     self.registers}
        weights = dict(KINDS)
        weights.update(config.get("weights", {}))
        self.kinds = [kind for kind in weights if weights[kind]]
        self.weights = [weights[kind] for kind in self.kinds]
        doors = [(number, arm, port) for number, sidecar in enumerate(config["sidecars"])
                 for arm, port in sorted(sidecar.items())]
        self.clients = []
        for number in range(config["clients"]):
            sidecar, arm, port = doors[(number + rng.randrange(len(doors))) % len(doors)]
            if number in config.get("without", ()):
                continue
            self.clients.append(Client(self, number, sidecar, arm, port, random.Random(
                "%s %s %s" % (config["seed"], config["worker"], number))))
        for number in range(config.get("bare", 2) if self.epoch else 0):
            self.clients.append(Client.without_sidecar(self, 500 + number, config["servers"],
                                                       random.Random("%s bare %s %s" % (
                                                           config["seed"], config["worker"],
                                                           number))))
        self.poll = select.epoll()
        self.files = {}
        self.doors = doors

    def count(self, what):
        self.counts[what] = self.counts.get(what, 0) + 1

    # -- One command of a client after another --

    def advance(self, client, reply):
        """Until it waits for an answer, or for a moment."""
        while True:
            try:
                wanted = client.steps.send(reply)
            except StopIteration:
                return
            if not isinstance(wanted, tuple):
                client.request = None
                client.wake = time.monotonic() + wanted
                self.sleeping.append(client)
                return
            client.request = wanted
            client.connection = client.connection_for(wanted)
            now = time.monotonic()
            try:
                if client.connection.sock is None:
                    client.connection.open()
                    file = client.connection.sock.fileno()
                    self.poll.register(file, select.EPOLLIN)
                self.files[client.connection.sock.fileno()] = client
                client.begun = time.monotonic()
                if client.connection.send(client.connection.dialect.encode(wanted)):
                    return
                self.drop(client.connection)
                reply = self.note(client, ("LOST", None, 0, 0))
            except OSError:
                client.begun = now
                reply = self.note(client, ("UNSENT", None, 0, 0))
                client.request = None
                client.held = reply
                client.wake = now + 0.03
                self.sleeping.append(client)
                return

    def drop(self, connection):
        if connection.sock is not None:
            file = connection.sock.fileno()
            self.files.pop(file, None)
            try:
                self.poll.unregister(file)
            except OSError:
                pass
            connection.close()

    def note(self, client, reply):
        """Into the journal of the history; the reply with its times."""
        now = time.monotonic()
        request = client.request
        self.operations += 1
        self.count("%s %s" % (request[0], reply[0]))
        for name in request[1:] if request[0] == "getmany" else request[1:2]:
            self.keys[name].log.append((client.begun, now, client, client.connection.name, request,
                                        reply))
        return reply + (client.begun, now)

    def readable(self, client, events):
        connection = client.connection
        try:
            data = connection.sock.recv(262144)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.drop(connection)
            self.advance(client, self.note(client, ("LOST", None, 0, 0)))
            return
        connection.data += data
        try:
            decoded = connection.dialect.decode(client.request, connection.data)
        except (talk.Broken, ValueError, IndexError, KeyError) as broken:
            self.violation("%s, %s: the answer to %s is not of the protocol: %s" % (
                client, connection.name, shown(client.request), broken), None)
            self.drop(connection)
            self.advance(client, self.note(client, ("LOST", None, 0, 0)))
            return
        if decoded is None:
            return
        reply, used = decoded
        if used != len(connection.data):
            self.violation("%s, %s: more than one answer to %s: %r" % (
                client, connection.name, shown(client.request), bytes(connection.data[used:])[:200]),
                None)
        connection.data.clear()
        self.advance(client, self.note(client, reply))

    def go(self, seconds, operations):
        end = time.monotonic() + seconds
        self.sleeping = []
        self.stopping = False
        for client in self.clients:
            client.held = None
            self.advance(client, None)
        checked = 0
        while True:
            now = time.monotonic()
            if now > end or self.operations >= operations:
                break
            timeout = 0.05
            if self.sleeping:
                due = [client for client in self.sleeping if client.wake <= now]
                if due:
                    self.sleeping = [client for client in self.sleeping if client.wake > now]
                    for client in due:
                        held, client.held = client.held, None
                        self.advance(client, held)
                timeout = 0.0005
            for file, events in self.poll.poll(timeout):
                client = self.files.get(file)
                if client is None:
                    continue
                if client.request is not None and client.connection.sock is not None and \
                        client.connection.sock.fileno() == file:
                    self.readable(client, events)
                else:
                    self.idle_end(client, file)
            checked += 1
            if checked % 500 == 0:
                self.give_up_waiting(now)
        self.drain()

    def idle_end(self, client, file):
        """A connection that nobody waits on: its end, or bytes that nobody asked for."""
        for connection in client.connections:
            if connection.sock is not None and connection.sock.fileno() == file:
                try:
                    data = connection.sock.recv(65536)
                except BlockingIOError:
                    return
                except OSError:
                    data = b""
                if data:
                    self.violation("%s, %s: bytes that nobody asked for: %r" % (
                        client, connection.name, data[:200]), None)
                self.drop(connection)
                return

    def give_up_waiting(self, now):
        for client in self.clients:
            if client.request is not None and now - client.begun > 15:
                self.violation("%s: no answer to %s for 15 s" % (client, shown(client.request)),
                               None)
                self.drop(client.connection)
                self.advance(client, self.note(client, ("LOST", None, 0, 0)))

    def drain(self):
        """No new commands; those under way get their answers, but a client's next is not sent."""
        end = time.monotonic() + 10
        waiting = [client for client in self.clients if client.request is not None]
        for client in waiting:
            while client.connection.sock is not None and time.monotonic() < end:
                if not select.select([client.connection.sock], [], [], 0.2)[0]:
                    continue
                try:
                    data = client.connection.sock.recv(262144)
                except OSError:
                    data = b""
                if not data:
                    break
                client.connection.data += data
                try:
                    decoded = client.connection.dialect.decode(client.request,
                                                               client.connection.data)
                except talk.Broken as broken:
                    self.violation("%s: %s" % (client, broken), None)
                    break
                if decoded:
                    self.last(client, self.note(client, decoded[0]))
                    client.request = None
                    break
            if client.request is not None:
                self.last(client, self.note(client, ("LOST", None, 0, 0)))
                client.request = None
        for client in self.clients:
            client.steps.close()
            for connection in client.connections:
                self.drop(connection)

    def last(self, client, reply):
        """The client learns of this answer; what it would do next is not done."""
        try:
            client.steps.send(reply)
        except StopIteration:
            pass

    # -- Afterwards: every key once more, through every door --

    def read_again(self):
        for sidecar, arm, port in self.doors:
            client = Client(self, 1000 + sidecar, sidecar, arm, port, random.Random(0))
            connection = Connection(port, "classic")
            connection.open()
            connection.sock.settimeout(10)
            names = list(self.keys)
            for at in range(0, len(names), 20):
                request = ("getmany",) + tuple(names[at:at + 20])
                client.request, client.connection = request, connection
                client.begun = time.monotonic()
                connection.sock.sendall(connection.dialect.encode(request))
                data = b""
                while True:
                    decoded = connection.dialect.decode(request, data)
                    if decoded:
                        break
                    more = connection.sock.recv(262144)
                    if not more:
                        raise RuntimeError("sidecar %d closed a connection" % sidecar)
                    data += more
                reply = self.note(client, decoded[0])
                if reply[0] != "MANY":
                    self.violation("%s: a whole server is answered by %r" % (client, reply[1]), None)
                    continue
                for name, found in reply[1].items():
                    self.keys[name].hits.append((arm, sidecar, reply[4], reply[5]) + found)
                    self.count("last HIT")
            connection.close()

    # -- The judge --

    def violation(self, text, key, begin=0.0, end=FOREVER, marks=()):
        if len(self.violations) >= 10:
            return
        lines = [text]
        if key is not None:
            log = sorted(key.log, key=lambda entry: entry[0])
            log = [entry for entry in log if entry[1] >= begin and entry[0] <= end]
            if len(log) > 60:
                keep = [entry for entry in log if entry[4][0] in (
                    "delete", "replace", "cas", "append", "prepend", "set", "add")
                    or entry[0] in marks]
                log = keep[:15] + keep[-45:] if len(keep) > 60 else keep
            zero = log[0][0] if log else 0.0
            name = key.name if len(key.name) <= 60 else key.name[:40] + "..."
            lines.append("  key %s, milliseconds since its first line:" % name)
            for invoke, back, client, dialect, request, reply in log:
                lines.append("  %s %9.3f - %9.3f  %s %s: %s -> %s" % (
                    "*" if invoke in marks else " ", 1000 * (invoke - zero), 1000 * (back - zero),
                    client, dialect, shown(request), shown_reply(key.name.encode(), reply)))
        self.violations.append("\n".join(lines))

    def judge(self, settled, losses, flushed, replayed):
        """settled: when all servers were whole and all journals replayed; replayed: (time,
        sidecar), when a sidecar had nothing in its journal."""
        self.settled = settled
        self.replayed = {}
        for when, sidecar in sorted(replayed):
            self.replayed.setdefault(sidecar, []).append(when)
        for write in self.writes.values():
            if write.end == FOREVER and write.invoke < FOREVER:
                write.end = max(settled, write.invoke)
        values = 0
        flushes = {}
        for begun, done, sidecar, arm in flushed:
            flushes.setdefault((sidecar, arm), []).append((begun, done))
        for key in self.keys.values():
            if key.hits:
                values += len(key.hits)
                self.judge_values(key, settled, flushes)
            self.judge_cas(key, settled)
        for key in self.counters + self.arm_counters:
            self.judge_counter(key)
        for key in self.locks:
            self.judge_lock(key, settled, losses)
        return values

    def knows(self, sidecar, arm):
        return self.epoch or arm in self.config["sidecars"][sidecar]

    def closed(self, sidecar, answered):
        """When what was answered with an error was surely replayed. What a sidecar shows of its
        journal may be a moment old."""
        times = self.replayed.get(sidecar, [])
        at = bisect.bisect_left(times, answered + 0.5)
        return times[at] if at < len(times) else max(self.settled, answered)

    def bound(self, key, sidecar, arm, settled):
        """The invalidations that bind reads of this arm through this sidecar, by their ends."""
        found = []
        for end in key.ends:
            invoke, back, commit, by, who, status, verb = end
            if verb == "append" and who == arm or not self.knows(by, arm):
                continue
            if status == "ERROR":
                if not self.journal or verb not in ("delete", "set"):
                    continue
                if by != sidecar:
                    back = self.closed(by, back)
            found.append((back, invoke, commit, end))
        found.sort(key=lambda entry: entry[:3])
        ends, invokes, commits = [], [], []
        latest, highest = (-1.0, None), (0, None)
        for back, invoke, commit, end in found:
            latest = max(latest, (invoke, end[1]), key=lambda pair: pair[0])
            highest = max(highest, (commit, invoke), key=lambda pair: pair[0])
            ends.append(back)
            invokes.append(latest[0])
            commits.append(highest)
        return ends, invokes, commits

    def judge_values(self, key, settled, flushes):
        shared, number = key.name.startswith("s:"), key.name.startswith("n:")
        bounds = {}
        for arm, sidecar, invoke, back, value, cas, flags in key.hits:
            if key.name.startswith(("s:n:", "s:l:")):
                continue
            said = "%s was given %s" % (arm, shown_value(value))
            match = (NUMBER if number else VALUE).match(value)
            if not match:
                self.violation(said + ", which nobody wrote", key, invoke - 0.2, back, (invoke,))
                continue
            if number:
                writer, uid = ARMS[int(match[1])].encode(), match[2]
                name, filler = key.name.encode(), None
            else:
                writer, name, version, uid, filler = match.groups()
            write = self.writes.get(int(uid))
            if number and write is not None:
                version = write.version
                flags = write.uid & 0xffff if flags is None else flags
            if name.decode() != key.name or write is None or write.key is not key:
                self.violation("G1: " + said + " of another key", key, invoke - 0.2, back, (invoke,))
                continue
            if not shared and writer.decode() != arm:
                self.violation("G1: " + said + ", another arm's", key, write.invoke, back,
                               (invoke, write.invoke))
                continue
            if write.invoke > back or write.version != int(version) or flags != write.uid & 0xffff:
                self.violation("G7: %s with flags %d; it was sent otherwise, or later" % (
                    said, flags), key, min(invoke, write.invoke), back, (invoke, write.invoke))
                continue
            size = LARGE if write.uid % self.large == 0 else write.uid % 50
            if filler is not None and len(filler) != size:
                self.violation("G7: %s, %d bytes of %d" % (said, len(filler), size), key,
                               write.invoke, back, (invoke, write.invoke))
                continue
            door = (sidecar, arm)
            if door not in bounds:
                bounds[door] = self.bound(key, sidecar, arm, settled)
            ends, invokes, commits = bounds[door]
            if self.journal and write.status == "ERROR" and not (write.fill or shared) and \
                    invoke > self.closed(write.sidecar, write.answered):
                self.violation("G5: %s through sidecar %d; it was answered with an error, and the "
                               "journal was replayed since" % (said, sidecar), key, write.invoke,
                               back, (invoke, write.invoke))
                continue
            for begun, done in flushes.get(door, ()):
                if write.sidecar == sidecar and write.end < begun and done < invoke and not shared:
                    self.violation("G10: %s through sidecar %d, which had begun a new generation" % (
                        said, sidecar), key, write.invoke, back, (invoke, write.invoke))
                    break
            at = bisect.bisect_left(ends, invoke) - 1
            if at < 0:
                continue
            if invokes[at] > write.end:
                self.violation("G2: %s through sidecar %d; it was stored before an invalidation "
                               "began that had been acknowledged" % (said, sidecar), key,
                               write.missed or write.invoke, back,
                               (invoke, write.invoke, invokes[at]))
            elif self.epoch and write.fill and not shared and arm != "bare" and commits[at][0] > write.version:
                self.violation("G3: %s through sidecar %d, a fill older than the acknowledged "
                               "invalidation of version %d" % (said, sidecar, commits[at][0]), key,
                               write.missed - 0.005, back,
                               (invoke, write.invoke, commits[at][1]))

    def judge_cas(self, key, settled):
        seen = {}
        for invoke, back, sidecar, arm, base, number, gets, value in key.cas:
            mark = (None if key.name.startswith("s:") else arm, base, number, value)
            if mark in seen:
                self.violation("cas: two succeeded from one gets (value %d, number %d)" % (
                    base, number), key, gets - 0.05, back, (invoke, seen[mark]))
            seen[mark] = invoke
            for end in key.ends:
                if end[5] != "ERROR" and end[0] > gets and end[1] < invoke and \
                        self.knows(end[3], arm) and end[6] != "append":
                    self.violation("cas: it succeeded over a whole invalidation since its gets",
                                   key, gets - 0.05, back, (invoke, end[0]))
                    break

    def judge_counter(self, key):
        seen = {}
        highest = {}
        for invoke, back, number in sorted(key.numbers, key=lambda entry: entry[1]):
            if number in seen:
                self.violation("counter: %d was given twice" % number, key, seen[number], back,
                               (invoke, seen[number]))
            seen[number] = invoke
        events = sorted([(invoke, 1, number) for invoke, _, number in key.numbers] +
                        [(back, 0, number) for _, back, number in key.numbers])
        floors = {}
        for _, begins, number in events:
            generation = number // GENERATION
            if begins:
                floors[number] = highest.get(generation, 0)
            else:
                if number < floors.get(number, 0):
                    self.violation("counter: %d was given after %d" % (number, floors[number]), key)
                highest[generation] = max(highest.get(generation, 0), number)

    def judge_lock(self, key, settled, losses):
        held = sorted(key.locks)
        for first, second in zip(held, held[1:]):
            if first[1] >= second[0] or first[3] <= second[1]:
                continue
            if any(begin <= second[1] and end >= first[0] for begin, end in losses):
                continue
            # A release that was answered with an error, or not at all, may happen until the end.
            if any(status not in ("OK", "NOT_FOUND", "UNSENT") and invoke < second[1]
                   for invoke, _, status in key.releases):
                continue
            # Nor is it known of a release under way whose lock it takes away.
            if any(invoke < second[1] and back > first[0] and invoke != first[3]
                   for invoke, back, status in key.releases):
                continue
            self.violation("lock: two holders", key, first[0], second[1], (first[0], second[0]))


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


def main():
    """The configuration is the first line of the input; then what world.py says."""
    run = Run(json.loads(sys.stdin.readline()))
    begun = time.monotonic()
    run.go(run.config["seconds"], run.config["operations"])
    took = time.monotonic() - begun
    print(json.dumps({"done": run.operations}), flush=True)
    said = json.loads(sys.stdin.readline())
    if said.get("read", True):
        run.read_again()
    values = run.judge(said["settled"], said.get("losses", []), said.get("flushes", []),
                       said.get("replayed", []))
    print(json.dumps({"operations": run.operations, "values": values, "counts": run.counts,
                      "seconds": took, "violations": run.violations}), flush=True)


if __name__ == "__main__":
    main()
