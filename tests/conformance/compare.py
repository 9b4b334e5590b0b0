"""The same bytes to memcached and through the daemon, answers compared: what the suites share.

A suite has a module of cases: FIXTURE, which brings a connection and the keys that a case may touch into a
known state; LOOK, which shows the keys afterwards; MARK, after which MARKED and nothing more comes;
answering(), the cases by group; and normal(), a reply without what may differ. It may have as_memcached(): the
case that memcached answers as the daemon has to answer this one.

CROSSFADE_REFERENCE=1 puts a memcached of its own in the place of each arm: the cases themselves are then
what is tested, as two memcached have to agree.
"""
import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
import harness  # noqa: E402

# The suites by epochs: changes of the configuration. The cases miss, delete and set all the time: as the fill of a
# miss from before a delete such a set would not be kept, so here each is a change. And a value that just fits in a
# server without its stamp is too large for the server only, which a command that needs an old value never asks. A
# server that is late, as all are on a busy machine, is not read from before it was told all: so nothing is late here.
EPOCH = {"coherence": "epoch", "max_value": "1000k", "timeouts": {"connect": "2s", "request": "5s"},
         "keys": [{"match": "shared:*", "scope": "shared"}, {"match": "*", "writes": "mutate"}]}

SHOWN = 12  # failures in full; the rest is counted
ENOUGH = 60  # failures, then it ends


class Talk:
    """A connection that is opened again when it was closed."""

    def __init__(self, address, marked):
        self.address = address
        self.marked = marked
        self.wire = None

    def ask(self, *pieces, pause=0.0):
        """Sends the pieces, each in a segment of its own; the reply up to the mark, and whether the
        connection was closed instead."""
        if self.wire is None:
            self.wire = harness.Wire(self.address)
        wire = self.wire
        try:
            for number, piece in enumerate(pieces):
                if number and pause:
                    time.sleep(pause)
                wire.sock.sendall(piece)
        except OSError:
            pass  # closed in the middle; what it had answered is still to be read
        end = time.monotonic() + 5
        while not wire.pending.endswith(self.marked):
            if not wire.fill(end):
                reply, ended = wire.pending, wire.ended
                self.close()
                return reply, "closed" if ended else "silent"
        reply, wire.pending = wire.pending, b""
        return reply, "open"

    def close(self):
        if self.wire is not None:
            self.wire.close()
            self.wire = None


class Reference:
    """In the daemon's place: a memcached for each arm."""

    def __init__(self, test):
        self.servers = {arm: test.memcached() for arm in ("py2", "py3")}
        for server in self.servers.values():  # so that its CAS values are others
            server.wire().talk(b"set ahead 0 0 0\r\n\r\n" * 5000, b"STORED\r\n" * 5000)

    def port(self, arm):
        return self.servers[arm].port


class Comparison(harness.Test):
    TIME_LIMIT = 240
    SERVERS = 1
    CHANGES = {}
    CASES = None

    def setUp(self):
        super().setUp()
        self.real = self.memcached()
        self.behind = [self.memcached() for _ in range(self.SERVERS)]
        if os.environ.get("CROSSFADE_REFERENCE"):
            self.crossfade = Reference(self)
        else:
            self.crossfade = self.daemon(harness.cache_config(*self.behind, **self.CHANGES))
        self.talks = {}
        self.failures = []
        for server in ("memcached", "py2", "py3"):
            self.talk(server).ask(self.CASES.SET_MARK + self.CASES.MARK)
        self.known = {}

    def whole(self, case):
        return self.CASES.FIXTURE + case + self.CASES.LOOK + self.CASES.MARK

    def for_memcached(self, case):
        if os.environ.get("CROSSFADE_REFERENCE"):
            return case
        return getattr(self.CASES, "as_memcached", lambda same: same)(case)

    def address_of(self, server):
        return self.real.port if server == "memcached" else self.crossfade.port(server)

    def wire_of(self, server):
        wire = harness.Wire(self.address_of(server))
        self.addCleanup(wire.close)
        return wire

    def talk(self, server):
        if server not in self.talks:
            talk = self.talks[server] = Talk(self.address_of(server), self.CASES.MARKED)
            self.addCleanup(talk.close)
        return self.talks[server]

    def truth(self, case):
        """What memcached says to it, asked once."""
        if case not in self.known:
            reply, state = self.talk("memcached").ask(self.whole(self.for_memcached(case)))
            self.assertEqual("open", state, "no case for answering(): %r" % case[:100])
            self.known[case] = self.CASES.normal(reply, self.SERVERS)
        return self.known[case]

    def same(self, case, arm, *pieces, pause=0.0):
        truth = self.truth(case)
        reply, state = self.talk(arm).ask(*pieces, pause=pause)
        reply = self.CASES.normal(reply, self.SERVERS)
        if (reply, state) != (truth, "open"):
            self.differ("%s, in pieces of %s: %s" % (
                arm, [len(piece) for piece in pieces], harness.shorten(case, 200)), truth, reply, state)
            self.talk(arm).close()
            if len(self.failures) >= ENOUGH:
                self.fail("enough")

    def differ(self, what, truth, reply, state):
        at = len(os.path.commonprefix([reply, truth]))
        self.failures.append("%s\n  memcached: ...%s\n  crossfade: ...%s (%s)" % (
            what, harness.shorten(truth[max(0, at - 30):], 200),
            harness.shorten(reply[max(0, at - 30):], 200), state))

    def tearDown(self):
        super().tearDown()
        if self.failures:
            self.fail("%d differences:\n%s" % (len(self.failures),
                                                "\n".join(self.failures[:SHOWN])))

    def groups(self, *without):
        for name, group in self.CASES.answering().items():
            if name not in without:
                yield name, group

    def every_case(self, least):
        count = 0
        for name, group in self.groups():
            for number, case in enumerate(group):
                # The long groups by either arm; the streams go by both.
                arms = ("py2", "py3") if len(group) < 400 else ("py3" if number % 2 else "py2",)
                for arm in arms:
                    self.same(case, arm, self.whole(case))
                    count += 1
        self.assertGreater(count, least, name)

    def every_third_case(self, *without):
        for _, group in self.groups(*without):
            for number, case in enumerate(group[::3]):
                self.same(case, "py3" if number % 2 else "py2", self.whole(case))


class Split(Comparison):
    """Every input cut in two at every byte; the pause lets the first part arrive alone."""

    PAUSE = 0.00005

    def cut(self, case, arm):
        start = len(self.CASES.FIXTURE)
        data = self.whole(case)
        for at in range(start + 1, start + len(case)):
            self.same(case, arm, data[:at], data[at:], pause=self.PAUSE)

    def byte_by_byte(self, case, arm):
        data = self.whole(case)
        start = len(self.CASES.FIXTURE)
        end = start + len(case)
        self.same(case, arm, data[:start], *[data[at:at + 1] for at in range(start, end)], data[end:])

    def cut_near_its_ends(self, case, arm):
        start = len(self.CASES.FIXTURE)
        end = start + len(case)
        data = self.whole(case)
        for at in (start + 5, start + 30, end - 3, end - 2, end - 1, (start + end) // 2):
            self.same(case, arm, data[:at], data[at:], pause=0.001)


class Stream(Comparison):
    """All cases as one stream, so that each is pipelined with its neighbours."""

    def stream(self, group):
        """The cases in one string of bytes, and what memcached says to it."""
        group = list(group)
        data, asked = (b"".join(self.CASES.FIXTURE + each + self.CASES.LOOK for each in cases) +
                       self.CASES.MARK for cases in (group, [self.for_memcached(case) for case in group]))
        reply, state = self.ask("memcached", asked, None)
        self.assertEqual("open", state)
        return data, reply

    def ask(self, server, data, cut):
        """Sends and reads at once, as neither side holds all of it."""
        wire = self.wire_of(server)
        at = 0
        end = time.monotonic() + 60
        reply = bytearray()
        wire.sock.setblocking(False)
        size = 65536
        while not reply.endswith(self.CASES.MARKED):
            if time.monotonic() > end:
                return bytes(reply), "silent"
            if at < len(data):
                try:
                    size = cut() if cut else 65536
                    at += wire.sock.send(data[at:at + size])
                except BlockingIOError:
                    pass
                except ConnectionError:
                    at = len(data)
            try:
                more = wire.sock.recv(1 << 20)
                if not more:
                    return bytes(reply), "closed"
                reply += more
            except BlockingIOError:
                if at == len(data):
                    time.sleep(0.0005)
            except ConnectionError:
                return bytes(reply), "closed"
        return bytes(reply), "open"

    def compare(self, arm, data, truth, cut):
        reply, state = self.ask(arm, data, cut)
        truth, reply = (self.CASES.normal(each, self.SERVERS) for each in (truth, reply))
        if (reply, state) != (truth, "open"):
            self.differ("%s: one stream, of %d bytes" % (arm, len(data)), truth, reply, state)

    def compare_shuffled(self, group, seed):
        """In random order and random pieces."""
        group = list(group)
        dice = random.Random(seed)
        dice.shuffle(group)
        data, truth = self.stream(group)
        for arm in ("py2", "py3"):
            self.compare(arm, data, truth, lambda: dice.choice((1, 2, 3, 7, 60, 900, 4096)))
