"""The whole daemon under random input, in all three protocols at once, with real memcached servers behind it.

Kinds of client, all from one seed:

- a Model knows what it has written and which answer each request of its pipelines has to get: count, order and
  content, whatever the others do;
- a Vandal sends what nobody should: cases of the conformance suites with bytes changed, left out, doubled, in
  pieces, and half of it; the daemon has to answer or to close, and must not keep the connection;
- a Differ sends random mixes of the cases to a memcached, too, and compares;
- a Survivor, in a test of its own, has its servers killed and frozen.

A longer hunt:  test_end_to_end_fuzz.py --seconds 600 [--seed N] [--protocols classic,meta,binary]
A failure says its seed; the inputs are then the same again (the threads' timing is not). --mutated also
compares the answers to changed cases and prints where they differ, which is not always a fault: some of it is
on purpose (the lists DIFFERENT, ODD and different() of conformance/*_cases.py say what).
"""
import argparse
import collections
import os
import random
import re
import sys
import threading
import time

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "conformance"))
import binary_cases  # noqa: E402
import cases  # noqa: E402
import harness  # noqa: E402
import meta_cases  # noqa: E402
import speakers  # noqa: E402

GIVEN = argparse.Namespace(seconds=3.0, seed=None, protocols="classic,meta,binary", mutated=False)
SPEAKERS = {"classic": [speakers.Classic], "meta": [speakers.Meta, speakers.Coded], "binary": [speakers.Binary]}
KEYS = 8     # of each model
# A server that a busy machine holds up for a second would be a miss, and no fault of anybody.
PATIENT = {"connect": "5s", "request": "20s"}
# Each set is a change: one that may be a late fill is not kept, and the models' reads miss all the time. Above that
# length memcached refuses what the daemon takes, and not in the order of its own reasons.
EPOCHS = {"coherence": "epoch", "max_value": "1000k", "keys": [{"match": "shared:*", "scope": "shared"},
                                                               {"match": "*", "writes": "mutate"}]}
SILENCE = 8  # seconds after which a connection counts as forgotten


class Client(threading.Thread):
    """Works until it is told to end, or something is wrong."""

    def __init__(self, seed):
        super().__init__(daemon=True)
        self.dice = random.Random(seed)
        self.ending = threading.Event()
        self.fault = None
        self.count = 0

    def run(self):
        try:
            while not self.ending.is_set():
                self.turn()
        except Exception as error:  # pylint: disable=broad-except
            self.fault = error


class Model(Client):
    """One that writes its own keys alone, and others of its arm that read them."""

    def __init__(self, seed, number, protocol, readers):
        super().__init__(seed)
        self.writer, self.readers = protocol, readers
        self.words = [b"model%d-%d" % (number, at) for at in range(KEYS - 1)] + [b"model%d-" % number + b"l" * 168]
        self.counters = [b"count%d-%d" % (number, at) for at in range(2)]
        self.known = {}

    def value(self):
        kind = self.dice.random()
        size = 200000 if kind < 0.005 else 20000 if kind < 0.03 else 3000 if kind < 0.1 else self.dice.randrange(80)
        return self.dice.choice([b"v", b"\r\n", b"END\r\n", b"\x80", b"HD\r\n"]) * (size // 3) + b"%d" % self.dice.randrange(1000)

    def request(self):
        """One, and the answer that it has to get."""
        verb = self.dice.choice(["get"] * 6 + ["set"] * 4 + ["add", "replace", "append", "delete", "touch", "incr", "incr"])
        if verb == "incr":
            key, by = self.dice.choice(self.counters), self.dice.randrange(1000)
            if key not in self.known:
                self.known[key] = (0, b"5")
                return ("set", key, b"5"), True
            self.known[key] = (0, b"%d" % (int(self.known[key][1]) + by))
            return ("incr", key, by), int(self.known[key][1])
        key = self.dice.choice(self.words)
        there = key in self.known
        if verb == "get":
            return ("get", key), self.known.get(key)
        if verb == "touch":
            return ("touch", key, 0), there
        if verb == "delete":
            self.known.pop(key, None)
            return ("delete", key), there
        value, flags = self.value(), self.dice.choice([0, 1, 0xffffffff])
        if verb == "append":
            if there and len(self.known[key][1]) + len(value) > 600000:
                return ("get", key), self.known[key]
            if there:
                self.known[key] = (self.known[key][0], self.known[key][1] + value)
            return ("append", key, value), there
        if verb == "add" and there or verb == "replace" and not there:
            return (verb, key, value, flags), False
        self.known[key] = (flags, value)
        return (verb, key, value, flags), True

    def compare(self, wanted, got, what):
        if wanted != got:
            raise AssertionError("%s: wanted %s, got %s" % (
                what, harness.shorten(repr(wanted), 200), harness.shorten(repr(got), 200)))

    def turn(self):
        # not in one piece with more than the sockets on the way hold, as this client reads after it wrote
        chosen, size = [], 0
        for _ in range(self.dice.choice([1, 2, 5, 30, 100])):
            request, wanted = self.request()
            chosen.append((request, wanted))
            size += len(request[2]) if len(request) > 2 and isinstance(request[2], bytes) else 0
            size += len(wanted[1]) if isinstance(wanted, tuple) else 0
            if size > 200000:
                break
        answers = self.writer.ask(*[request for request, _ in chosen])
        for (request, wanted), got in zip(chosen, answers):
            self.compare(wanted, got, "%s in %s" % (request[:2], self.writer.name))
        reader = self.dice.choice(self.readers)
        keys = self.dice.sample(self.words + self.counters, 3)
        for key, got in zip(keys, reader.ask(*[("get", key) for key in keys])):
            self.compare(self.known.get(key), got, "%r, read in %s" % (key, reader.name))
        self.count += len(chosen) + 3


class Survivor(Client):
    """Its servers are killed and frozen meanwhile: each request is answered once, in its place, by what can be
    right or by an honest failure, and no value is one that was never written under its key."""

    def __init__(self, seed, number, protocol, arm):
        super().__init__(seed)
        self.number, self.protocol, self.arm = number, protocol, arm
        self.names = [b"survivor%d-%d" % (number, at) for at in range(KEYS)]
        self.stored = {name: set() for name in self.names}
        self.maybe = {name: set() for name in self.names}  # of a request that failed: it may still come to be done
        self.failures = self.hits = 0
        self.calm = False

    def is_failure(self, answer):
        return answer == 0x86 if self.protocol.name == "binary" else (
            isinstance(answer, bytes) and answer.startswith(b"SERVER_ERROR "))

    def request(self):
        verb = self.dice.choice(["get"] * 5 + ["set"] * 5 + ["add", "replace", "delete", "touch"])
        name = self.dice.choice(self.names)
        if verb in ("get", "delete"):
            return verb, name
        if verb == "touch":
            return verb, name, 0
        self.count += 1
        mark = b"%d/%d;" % (self.number, self.count)
        return verb, name, mark + b"." * self.dice.choice([0, 10, 100, 4000, 30000]) + mark, self.number

    def judge(self, request, answer):
        verb, name = request[:2]
        if self.is_failure(answer) and not (verb == "get" and self.calm):
            self.failures += 1
            if len(request) > 3:
                self.maybe[name].add(request[2])
            return not self.calm
        if verb == "get":
            self.hits += answer is not None
            return answer is None or answer[0] == self.number and (
                answer[1] in self.stored[name] or answer[1] in self.maybe[name])
        if verb == "delete" and answer in (True, False):
            self.stored[name] = set()
        if len(request) > 3 and answer is True:
            self.stored[name] = {request[2]}
        return answer is True or answer is False and verb != "set"

    def turn(self):
        requests = [self.request() for _ in range(self.dice.choice([1, 3, 10, 40]))]
        for request, answer in zip(requests, self.protocol.ask(*requests)):
            if not self.judge(request, answer):
                raise AssertionError("survivor %d in %s: %s was answered by %s" % (
                    self.number, self.protocol.name, harness.shorten(repr(request), 200), harness.shorten(repr(answer), 200)))

    def settle(self):
        """All is well again: nothing may fail or be lost."""
        self.calm = True
        for name in self.names:
            value = b"last " + name
            answers = self.protocol.ask(("set", name, value, 5), ("get", name))
            if answers != [True, (5, value)]:
                raise AssertionError("survivor %d in %s: %s instead of what was last written" % (
                    self.number, self.protocol.name, harness.shorten(repr(answers), 300)))


def mutated(dice, data):
    """With some of its bytes changed, doubled, left out or moved."""
    data = bytearray(data)
    for _ in range(dice.choice([1, 1, 1, 2, 4, 10])):
        if not data:
            break
        at, kind = dice.randrange(len(data)), dice.randrange(8)
        if kind == 0:
            data[at] ^= 1 << dice.randrange(8)
        elif kind == 1:
            data[at] = dice.choice(b"\0\n\r \t09azAZ-+:=\x7f\x80\x81\xff")
        elif kind == 2:
            del data[at:at + dice.choice([1, 1, 2, 8, 24])]
        elif kind == 3:
            data[at:at] = data[at:at + dice.choice([1, 2, 8, 24, 100])]
        elif kind == 4:
            data[at:at] = bytes([dice.randrange(256)])
        elif kind == 5:
            data[at:at] = dice.choice([b"\r\n", b" ", b"noreply", b" q", b"4294967296", b"18446744073709551616", b"-1", b"k" * 251,
                                       b"\x80\0\0\1\0\0\0\0\0\0\0\1", b"__crossfade__/namespace"])
        elif kind == 6:
            other = dice.randrange(len(data))
            data[at], data[other] = data[other], data[at]
        else:
            del data[at:]
    return bytes(data)


# memcached's numbers end at any white space, its words only at a space: on purpose not so here.
WHITE = re.compile(rb"[0-9 ][\t\r\x0b\x0c][^\n]")


def loses_an_answer(case):
    """memcached may forget what it has to say to the command before a get with too long a key."""
    return any(line.lstrip().startswith((b"get", b"gat")) and max(map(len, line.split())) > 250
               for line in case.split(b"\n"))


class Inputs:
    """The cases of the suites, by connection: text (classic and meta mix) or binary."""

    def __init__(self, protocols):
        self.text = []
        if "classic" in protocols:
            self.text += [case for name, group in cases.answering().items() if name not in ("long_lines", "large_values")
                          for case in group if len(case) < 3000 and not loses_an_answer(case)]
        if "meta" in protocols:
            self.text += [case for name, group in meta_cases.answering().items()
                          if name not in ("long_lines", "large_values") for case in group if len(case) < 3000]
        self.binary = []
        if "binary" in protocols:
            self.binary = [case for name, group in binary_cases.answering().items() if name != "large_values"
                           for case in group if len(case) < 3000]


class Vandal(Client):
    def __init__(self, seed, inputs, address):
        super().__init__(seed)
        self.inputs, self.address = inputs, address
        self.last = collections.deque(maxlen=20)

    def bytes(self):
        kind = self.dice.random()
        if kind < 0.05:
            return self.dice.randbytes(self.dice.choice([1, 10, 100, 5000]))
        pool = self.inputs.binary if self.inputs.binary and kind < 0.4 else self.inputs.text
        if not pool:
            pool = self.inputs.binary
        data = b"".join(self.dice.choice(pool) for _ in range(self.dice.choice([1, 1, 2, 5, 40])))
        return mutated(self.dice, data) if self.dice.random() < 0.9 else data

    def turn(self):
        data = self.bytes()
        self.last.append(data)
        self.count += 1
        wire = harness.Wire(self.address, SILENCE)
        try:
            pieces = self.dice.choice([1, 1, 2, 5])
            cuts = sorted(self.dice.randrange(len(data) + 1) for _ in range(pieces - 1))
            for start, end in zip([0] + cuts, cuts + [len(data)]):
                wire.sock.sendall(data[start:end])
                if pieces > 1 and self.dice.random() < 0.3:
                    time.sleep(0.001)
            if self.dice.random() < 0.2:
                return  # gone without a word, answers on the way
            wire.shut_write()
        except OSError:
            pass  # closed on us already
        try:
            end = time.monotonic() + SILENCE
            while wire.fill(end):
                wire.pending = b""
            if not wire.ended:
                raise AssertionError("a connection that hangs after %r" % data[:2000])
        finally:
            wire.close()


class Differ(Client):
    """Random mixes to a memcached of its own and through the daemon, which has one of its own, too."""

    def __init__(self, seed, inputs, addresses, servers):
        super().__init__(seed)
        self.inputs, self.addresses, self.servers = inputs, addresses, servers
        self.reports = []

    def ask(self, address, data):
        """All that comes until the other side closes; it is told that nothing follows."""
        wire = harness.Wire(address, SILENCE)
        try:
            wire.sock.sendall(data)
            wire.shut_write()
        except OSError:
            pass
        try:
            end = time.monotonic() + SILENCE
            while wire.fill(end):
                pass
            return wire.pending
        finally:
            wire.close()

    def alone(self, module, fixture, some, look):
        """memcached's answers to each case by itself, up to the one that ends its connection."""
        for case in some:
            if module is not binary_cases:
                yield self.ask(self.addresses["memcached"], fixture + cases.as_memcached(case))
                continue
            got = self.ask(self.addresses["memcached"], fixture + case + module.MARK)
            end = self.ask(self.addresses["memcached"], module.MARK)
            if not got.endswith(end):
                yield got
                return
            yield got[:-len(end)]
        yield self.ask(self.addresses["memcached"], look)

    def turn(self):
        if self.inputs.binary and (not self.inputs.text or self.dice.random() < 0.4):
            module, pool = binary_cases, self.inputs.binary
            fixture, look = module.FIXTURE, module.LOOK + module.MARK
        else:
            module, pool = meta_cases, self.inputs.text
            fixture = (cases.FIXTURE + module.FIXTURE if "meta" in GIVEN.protocols else cases.FIXTURE)
            look = (cases.LOOK + module.LOOK if "meta" in GIVEN.protocols else cases.LOOK)
        chosen = [self.dice.choice(pool) for _ in range(self.dice.choice([1, 2, 10, 50]))]
        change = GIVEN.mutated and self.dice.random() < 0.7
        if change:
            chosen = [mutated(self.dice, self.dice.choice(pool))]
            if module is not binary_cases and (loses_an_answer(chosen[0]) or WHITE.search(chosen[0])):
                return
        self.count += len(chosen)
        for arm in ("py2", "py3"):
            def differs(some, arm=arm, change=change):
                if change:  # what an earlier one has left behind is no difference
                    for port in self.servers:
                        harness.Wire(port).talk(b"flush_all\r\n", b"OK\r\n").close()
                data, asked = (b"".join(fixture + case for case in each) + look for each in (
                    some, some if module is binary_cases else [cases.as_memcached(case) for case in some]))
                truth, reply = (module.normal(self.ask(self.addresses[where], what))
                                for where, what in (("memcached", asked), (arm, data)))
                if change and module is binary_cases and reply.startswith(truth):
                    return None  # memcached loses what it has to say before bytes that end the connection
                if truth != reply and len(some) > 1:
                    # In a long pipeline memcached may forget what it has to say to the command before one that
                    # it refuses: each case alone, and the answers together.
                    truth = module.normal(b"".join(self.alone(module, fixture, some, look)))
                return (truth, reply) if truth != reply else None
            found = differs(chosen)
            if not found:
                continue
            # As few of them as still differ.
            size = len(chosen) // 2
            while size and len(chosen) > 1:
                for at in range(0, len(chosen), size):
                    fewer = chosen[:at] + chosen[at + size:]
                    less = differs(fewer)
                    if less:
                        chosen, found = fewer, less
                        break
                else:
                    size //= 2
                    continue
                size = min(size, len(chosen) // 2)
            truth, reply = found
            at = len(os.path.commonprefix([reply, truth]))
            report = "%s: %s\n  memcached: ...%s\n  crossfade: ...%s" % (
                arm, harness.shorten(b" | ".join(chosen), 3000), harness.shorten(truth[max(0, at - 60):], 300),
                harness.shorten(reply[max(0, at - 60):], 300))
            if not change:
                raise AssertionError(report)
            self.reports.append(report)


class Fuzz(harness.Test):
    TIME_LIMIT = 90

    def fuzz(self, seed, without="", **changes):
        protocols = [each for each in GIVEN.protocols.split(",") if each != without]
        inputs = Inputs(protocols)
        daemon = self.daemon(harness.cache_config(self.memcached(), self.memcached(), connections_per_server=2,
                                                 flush_all="refuse",  # a changed frame may be one
                                                 timeouts=PATIENT, **changes))
        clients = []
        talking = [each for name in protocols for each in SPEAKERS[name]]
        for number in range(2 * len(talking)):
            arm = ("py2", "py3")[number % 2]

            def speak(protocol, arm=arm):
                wire = daemon.wire(arm, 30)
                self.addCleanup(wire.close)
                return protocol(wire)
            clients.append(Model(seed * 1000 + number, number, speak(talking[number // 2]), list(map(speak, talking))))
        vandals = [Vandal(seed * 1000 + 100 + number, inputs, daemon.port(("py2", "py3")[number % 2])) for number in range(4)]
        clients += vandals
        folder, self.folder = self.folder, os.path.join(self.folder, "second")
        os.makedirs(os.path.join(self.folder, "state"))
        real, behind = self.memcached(), self.memcached()
        other = self.daemon(harness.cache_config(behind, timeouts=PATIENT, **changes))
        differ = Differ(seed * 1000 + 200, inputs, {"memcached": real.port, "py2": other.port("py2"),
                                                    "py3": other.port("py3")}, (real.port, behind.port))
        self.folder = folder
        clients.append(differ)
        for client in clients:
            client.start()
        end = time.monotonic() + GIVEN.seconds
        while time.monotonic() < end and daemon.running() and other.running() and not any(each.fault for each in clients):
            time.sleep(0.05)
        for client in clients:
            client.ending.set()
        for client in clients:
            client.join(60)
        for report in differ.reports:
            print(report)
        if not daemon.running() or not other.running():
            raise AssertionError("the daemon ended; the last inputs: %r" % [list(vandal.last)[-3:] for vandal in vandals])
        faults = [client.fault for client in clients if client.fault]
        if faults:
            raise faults[0]
        self.assertFalse([client for client in clients if client.is_alive()])
        counts = collections.Counter()
        for client in clients:
            counts[type(client).__name__] += client.count
        if GIVEN.seconds > 30:
            print("seed %d, %g s: %s" % (seed, GIVEN.seconds, dict(counts)))
        self.assertEqual(3, len(counts))
        self.settled(daemon)

    def trouble(self, dice, servers):
        server = dice.choice(servers)
        if dice.random() < 0.5:
            server.freeze()
            time.sleep(dice.choice([0.05, 0.3, 0.9]))
            server.thaw()
        else:
            server.kill()
            time.sleep(dice.choice([0.0, 0.2]))
            server.start()
        time.sleep(dice.choice([0.0, 0.2, 0.5]))

    def survive(self, seed, **changes):
        dice = random.Random(seed)
        servers = [self.memcached() for _ in range(3)]
        daemon = self.daemon(harness.cache_config(
            *servers, connections_per_server=dice.choice([1, 3]), on_failure=dice.choice(["miss", "error"]),
            timeouts={"connect": "250ms", "request": "600ms"}, **changes))
        clients = []
        for number, (protocol, arm) in enumerate((protocol, arm) for name in GIVEN.protocols.split(",")
                                                 for protocol in SPEAKERS[name] for arm in ("py2", "py3")):
            wire = daemon.wire(arm, 30)
            self.addCleanup(wire.close)
            clients.append(Survivor(seed * 1000 + number, number, protocol(wire), arm))
        for client in clients:
            client.start()
        end = time.monotonic() + GIVEN.seconds
        while time.monotonic() < end and daemon.running() and not any(client.fault for client in clients):
            self.trouble(dice, servers)
        for client in clients:
            client.ending.set()
        for client in clients:
            client.join(60)
        faults = [client.fault for client in clients if client.fault]
        if faults:
            raise faults[0]
        self.assertGreater(sum(client.failures for client in clients), 0)
        self.assertGreater(sum(client.hits for client in clients), 100)
        self.settled(daemon)
        for client in clients:
            client.settle()
        if GIVEN.seconds > 30:
            print("seed %d: %d requests, %d failures" % (seed, sum(client.count for client in clients),
                                                         sum(client.failures for client in clients)))

    def test_g6_servers_that_die_meanwhile(self):
        self.seeded(self.survive)

    def settled(self, daemon):
        """What the vandals left open is gone."""
        daemon.at_rest()
        daemon.wire("py3").talk(b"set last 0 0 1\r\nx\r\nget last\r\n", b"STORED\r\nVALUE last 0 1\r\nx\r\nEND\r\n")

    def test_g6_random_input(self):
        self.seeded(self.fuzz)

    def test_g6_random_input_by_epochs(self):
        # With T, the t of ma is the new one (doc/coherence.md), of before on memcached.
        self.seeded(self.fuzz, without="meta", **EPOCHS)

    def test_g6_servers_that_die_meanwhile_by_epochs(self):
        self.seeded(self.survive, **EPOCHS)

    def seeded(self, run, **changes):
        seed = GIVEN.seed or int(os.environ.get("CROSSFADE_SEED") or time.time() * 1000) % 1000000
        try:
            run(seed, **changes)
        except Exception as error:
            raise AssertionError("seed %d: %s" % (seed, error)) from error


def command_line():
    parser = argparse.ArgumentParser(description="The end-to-end fuzzer; other arguments are unittest's.")
    parser.add_argument("--seconds", type=float, default=GIVEN.seconds)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--protocols", default=GIVEN.protocols)
    parser.add_argument("--mutated", action="store_true")
    given, rest = parser.parse_known_args()
    vars(GIVEN).update(vars(given))
    Fuzz.TIME_LIMIT = 90 + int(given.seconds)
    sys.argv[1:] = rest
    harness.main()


if __name__ == "__main__":
    command_line()
