"""Random histories of clients, and what they were given.

A process of this file drives many clients (clients.py; one command of each under way) of several
arms through several sidecars, over keys of its own; so the database stand-in and the clock are its
own too. world.py starts it and makes the faults. When the servers are whole again and every journal
is replayed, all keys are read once more through every door, and every value that was ever given out
is judged (judge.py).
"""
import json
import os
import random
import select
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import talk
from clients import Client, Connection, KINDS, Key, shown
from judge import Judge


class Run(Judge):
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
                     self.hot + self.cold + self.through + self.arm_counters + self.counters +
                     self.locks + self.registers}
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
                client, connection.name, shown(client.request),
                bytes(connection.data[used:])[:200]), None)
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
                    self.violation("%s: a whole server, and %r" % (client, reply[1]), None)
                    continue
                for name, found in reply[1].items():
                    self.keys[name].hits.append((arm, sidecar, reply[4], reply[5]) + found)
                    self.count("last HIT")
            connection.close()


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
