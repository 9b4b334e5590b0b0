"""Servers, sidecars and faults for the random histories of histories.py.

A world is three memcached servers (the first one behind cutter.py for every sidecar) and up to
three real crossfade daemons with folders of their own; the arm `web` is known to the second alone,
and `py2` has the empty namespace. A round of it is a seed: the clients' choices, and a schedule of
faults. What is left out of a round (`without`: clients, `faults`: those that remain) leaves the
rest as it was, so that a round that failed can be made smaller.
"""
import heapq
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "integration"))
import harness

SERVERS = 3


class Cutter(harness.Process):
    """cutter.py, with its commands."""

    name = "cutter"

    def __init__(self, folder, target, count):
        super().__init__(folder)
        self.ports = [harness.free_port() for _ in range(count)]
        self.log_path = os.path.join(folder, "cutter.log")
        with open(self.log_path, "wb") as log:
            self.child = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", sys.executable,
                 os.path.join(HERE, "cutter.py"), str(target)] + [str(port) for port in self.ports],
                stdin=subprocess.PIPE, stdout=log, stderr=log)
        if not self.wait_ready(lambda: all(map(harness.accepts, self.ports))):
            raise AssertionError("cutter.py: " + self.log_text())

    def tell(self, *words):
        self.child.stdin.write((" ".join(map(str, words)) + "\n").encode())
        self.child.stdin.flush()


class World:
    def __init__(self, folder, mode, sidecars=2, journal=True, workers=2, claims=None):
        self.folder, self.mode, self.journal, self.claims = folder, mode, journal, claims
        self.servers = []
        for number in range(SERVERS):
            place = os.path.join(folder, "server%d" % number)
            os.mkdir(place)
            # The last one is small: it evicts.
            options = ["-m", "4", "-n", "48"] if number == SERVERS - 1 else []
            self.servers.append(harness.Memcached(place, options))
        self.cutter = Cutter(folder, self.servers[0].port, sidecars)
        self.sidecars = []
        for number in range(sidecars):
            place = os.path.join(folder, "sidecar%d" % number)
            os.makedirs(os.path.join(place, "state"))
            self.sidecars.append(harness.Daemon(place, self.config(number, workers)))
        self.started = time.monotonic()

    def config(self, number, workers):
        arms = [{"name": "py2", "namespace": ""}, {"name": "py3", "namespace": "py3"}]
        if number == 1:
            arms.append({"name": "web", "namespace": "web"})
        names = ["127.0.0.1:%d" % self.cutter.ports[number]]
        names += [server.address for server in self.servers[1:]]
        return {
            "arms": arms,
            "cache": {
                "listen": [{"address": "127.0.0.1:@%s@" % arm["name"], "arm": arm["name"]}
                           for arm in arms],
                "servers": names,
                # By place: each sidecar has another name for the first server.
                "distribution": "modula",
                "hash": "md5",
                "coherence": self.mode,
                "timeouts": {"connect": "150ms", "request": "250ms"},
                "keys": [{"match": "s:*", "scope": "shared"},
                         {"match": "m:*", "writes": "mutate"}],
            },
            "control": {"sockets": [{"path": "@dir@/control.sock", "level": "admin"}],
                        "http": "off"},
            "process": {"workers": workers, "state_dir": "@dir@/state", "drain_timeout": "1s"},
        }

    def doors(self):
        return [{arm["name"]: daemon.port(arm["name"]) for arm in daemon.source["arms"]}
                for daemon in self.sidecars]

    # -- Faults; each returns what ends it --

    def fault(self, fault):
        kind, where = fault["kind"], fault["where"]
        if kind == "kill server":
            server = self.servers[where]
            server.kill()
            return server.start
        if kind == "freeze server":
            server = self.servers[where]
            if server.running():
                server.freeze()
                return server.thaw
        if kind == "evict":
            self.evict(self.servers[where], fault["share"], random.Random(fault["number"]))
        if kind == "flood":
            self.flood(self.servers[where], fault["number"])
        if kind == "cut":
            self.cutter.tell("cut", where, fault["direction"], fault["bytes"])
        if kind in ("hold", "stall"):
            self.cutter.tell(kind, where)
            return lambda: self.cutter.tell("go", where)
        daemon = self.sidecars[where] if where < len(self.sidecars) else None
        if kind == "kill sidecar":
            daemon.kill()
            return daemon.start
        if kind == "freeze sidecar":
            if daemon.running():
                daemon.freeze()
                return daemon.thaw
        if kind == "reload" and daemon.running():
            daemon.reload()
        if kind == "flush" and daemon.running() and not daemon.frozen and \
                fault["arm"] in self.doors()[where]:
            begun = time.monotonic()
            try:
                daemon.ctl("flush", fault["arm"])
            except AssertionError:
                return None  # refused: this arm's entries have no prefix
            self.flushes.append((begun, time.monotonic(), where, fault["arm"]))
        return None

    def evict(self, server, share, rng):
        """Deletes some of a server's items behind everybody's back, as it may do itself."""
        try:
            with server.wire(1.0) as wire:
                dump = wire.send(b"lru_crawler metadump all\r\n").until(b"END\r\n", 1.0)
                names = [line[4:].split(b" ")[0] for line in dump.split(b"\n")
                         if line.startswith(b"key=")]
                names = [urllib.parse.unquote_to_bytes(name) for name in names]
                names = [name for name in names if rng.random() < share]
                wire.send(b"".join(b"delete %s noreply\r\n" % name for name in names
                                   if not any(byte <= 32 for byte in name)) + b"version\r\n")
                wire.until(b"VERSION", 1.0)
        except (OSError, AssertionError):
            pass

    def flood(self, server, number):
        """So much else is stored that a small server evicts what has not been read lately."""
        rng = random.Random(number)
        try:
            with server.wire(3.0) as wire:
                for batch in range(20):
                    wire.send(b"".join(b"set junk:%d:%d 0 30 %d noreply\r\n%s\r\n" % (
                        batch, item, size, b"j" * size) for item, size in
                        enumerate(rng.choices((10, 40, 80, 120, 160, 220, 300), k=1200))))
                wire.send(b"version\r\n").until(b"VERSION")
        except (OSError, AssertionError):
            pass

    # -- A round --

    def settle(self):
        """All servers whole, all sidecars up, all journals replayed; and what a sidecar that was
        killed had sent is done."""
        for server in self.servers:
            if server.frozen:
                server.thaw()
            if not server.running():
                server.start()
        for number, daemon in enumerate(self.sidecars):
            self.cutter.tell("go", number)
            if daemon.frozen:
                daemon.thaw()
            if not daemon.running():
                daemon.start()
        # What a sidecar shows of its journal may be a moment old.
        time.sleep(0.3)
        for daemon in self.sidecars:
            harness.eventually(lambda: self.is_whole(daemon), "a sidecar's servers and journal", 20)
        time.sleep(0.05)
        return time.monotonic()

    def is_whole(self, daemon):
        daemon.alive()
        arm = daemon.source["arms"][0]["name"]
        with daemon.wire(arm) as wire:
            # A server is tried again when somebody wants it.
            wire.send(b"get " + b" ".join(b"probe:%d" % n for n in range(40)) + b"\r\n").until(
                b"END\r\n")
        rows = daemon.show("servers")
        return all(row["state"] == "up" and not row.get("journal_pending", 0) for row in rows)

    def schedule(self, seed, seconds, kinds, count):
        rng = random.Random("%s faults" % seed)
        faults = []
        for number in range(count):
            kind = rng.choices(list(kinds), list(kinds.values()))[0]
            fault = {"kind": kind, "number": number, "at": rng.uniform(0.15, seconds * 0.85),
                     "for": rng.choice((0.02, 0.1, 0.3, 0.6))}
            if kind == "stall":
                fault["for"] = rng.choice((0.3, 0.8, 1.5))
            if kind in ("cut", "hold", "stall"):
                fault.update(where=rng.randrange(len(self.sidecars)),
                             direction=rng.choice(("up", "down")),
                             bytes=rng.choice((0, rng.randrange(60), rng.randrange(400),
                                               rng.randrange(20000))))
            elif kind in ("kill sidecar", "freeze sidecar", "reload", "flush"):
                fault.update(where=rng.randrange(len(self.sidecars)),
                             arm=rng.choice(("py2", "py3", "web")))
            elif kind == "flood":
                fault.update(where=SERVERS - 1)
            else:
                fault.update(where=rng.randrange(SERVERS), share=rng.choice((0.05, 0.3, 1.0)))
            faults.append(fault)
        return sorted(faults, key=lambda fault: fault["at"])

    def round(self, seed, seconds, operations, clients=24, processes=2, kinds=None, count=10,
              without=(), only=None, weights=None, **more):
        """Runs one; gives back (operations, values, counts, violations, faults)."""
        if kinds is None:
            kinds = dict(FAULTS, flush=2) if self.mode == "epoch" else FAULTS
        faults = self.schedule(seed, seconds, kinds, count) if count else []
        if only is not None:
            faults = [fault for fault in faults if fault["number"] in only]
        workers = []
        for number in range(processes):
            config = {"seed": seed, "worker": number + 1, "mode": self.claims or self.mode,
                      "journal": self.journal, "sidecars": self.doors(),
                      "servers": [server.port for server in self.servers], "clients": clients,
                      "seconds": seconds, "operations": operations // processes,
                      "without": [client for worker, client in without if worker == number],
                      "weights": weights or {}}
            config.update(more)
            worker = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", sys.executable,
                 os.path.join(HERE, "histories.py")],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            worker.stdin.write(json.dumps(config).encode() + b"\n")
            worker.stdin.flush()
            workers.append(worker)
        losses, self.flushes, self.replayed = [], [], []
        try:
            self.make_faults(faults, losses, seconds)
            for worker in workers:
                self.read_line(worker)
            settled = self.settle()
            said = {"settled": settled, "losses": losses, "flushes": self.flushes,
                    "replayed": self.replayed}
            results = []
            for worker in workers:
                worker.stdin.write(json.dumps(said).encode() + b"\n")
                worker.stdin.flush()
            for worker in workers:
                results.append(json.loads(self.read_line(worker)))
        finally:
            for worker in workers:
                worker.stdin.close()
                if worker.poll() is None:
                    try:
                        worker.wait(5)
                    except subprocess.TimeoutExpired:
                        worker.kill()
                        worker.wait()
                worker.stdout.close()
        total = {"operations": 0, "values": 0, "counts": {}, "violations": [],
                 "faults": [dict(fault) for fault in faults]}
        for result in results:
            total["operations"] += result["operations"]
            total["values"] += result["values"]
            total["violations"] += result["violations"]
            for name, number in result["counts"].items():
                total["counts"][name] = total["counts"].get(name, 0) + number
        return total

    def read_line(self, worker):
        line = worker.stdout.readline()
        if not line:
            raise AssertionError("histories.py ended with status %s" % worker.wait())
        return line

    def wait_until(self, end):
        """Meanwhile it is looked which sidecars have nothing in their journals."""
        while time.monotonic() < end:
            for number, daemon in enumerate(self.sidecars):
                if self.journal and daemon.running() and not daemon.frozen:
                    now = time.monotonic()
                    if not any(row.get("journal_pending", 0) for row in daemon.show("servers")):
                        self.replayed.append((now, number))
            time.sleep(max(0.0, min(0.25, end - time.monotonic())))

    def make_faults(self, faults, losses, seconds):
        """One after the other, by the clock; all in this thread, since a process that another one
        starts dies with it. A fault whose process has another one is left out."""
        begun = time.monotonic()
        events = [(fault["at"], 0, fault["number"], fault, None) for fault in faults]
        heapq.heapify(events)
        busy = {}
        while events:
            at, _, number, fault, undo = heapq.heappop(events)
            self.wait_until(begun + at)
            kind = fault["kind"]
            where = ("server" if "server" in kind or kind in ("evict", "flood") else
                     "cutter" if kind in ("cut", "hold", "stall") else "sidecar", fault["where"])
            if undo:
                undo()
                busy.pop(where)[1] = time.monotonic()
                continue
            if where in busy:
                continue
            span = [time.monotonic(), float("inf")]
            if kind in ("kill server", "evict", "flood"):
                losses.append(span)
            undo = self.fault(fault)
            if undo:
                busy[where] = span
                heapq.heappush(events, (at + fault["for"], 1, number, fault, undo))
            else:
                span[1] = time.monotonic()
        self.wait_until(begun + seconds)

    def stop(self):
        """What was wrong with the daemons, or None."""
        wrong = []
        for daemon in self.sidecars:
            said = daemon.finish()
            if said:
                wrong.append(said)
        self.cutter.kill()
        self.cutter.child.stdin.close()
        for server in self.servers:
            if server.frozen:
                server.thaw()
            server.stop()
        return "\n".join(wrong) or None


# What may happen in a round, with weights.
FAULTS = {"kill server": 2, "freeze server": 3, "evict": 3, "flood": 1, "cut": 6,
          "hold": 2, "stall": 2, "kill sidecar": 2, "freeze sidecar": 1, "reload": 1}


def shrink(make, seed, arguments, seconds, say=print):
    """Runs a round that failed with fewer faults, clients and kinds of commands, as long as it
    still fails (in one of three tries: time is not replayed). Gives back the smallest arguments
    and their result."""
    end = time.monotonic() + seconds
    best, result = dict(arguments), None
    count = best.get("count", 10)

    def fails(candidate):
        for _ in range(3):
            if time.monotonic() > end:
                return None
            world = make()
            try:
                found = world.round(seed, **candidate)
            except AssertionError as error:
                say("  (a round did not end: %s)" % str(error)[:200])
                continue
            finally:
                world.stop()
            if found["violations"]:
                return found
        return None

    def attempt(what, **changes):
        nonlocal best, result
        candidate = dict(best, **changes)
        found = fails(candidate)
        if found:
            best, result = candidate, found
            say("  still fails with %s" % what)
        return bool(found)

    # Faults: none, else halves, else one less at a time.
    only = list(best.get("only") if best.get("only") is not None else range(count))
    if only and not attempt("no fault", only=[]):
        size = max(1, len(only) // 2)
        while size and time.monotonic() < end:
            at = 0
            while at < len(only) and len(only) > 1:
                fewer = only[:at] + only[at + size:]
                if fewer and attempt("faults %s" % fewer, only=fewer):
                    only = fewer
                else:
                    at += size
                if time.monotonic() > end:
                    break
            size //= 2
    if best.get("processes", 2) > 1:
        attempt("one process", processes=1)
    while best.get("clients", 24) > 2 and attempt("%d clients" % (best.get("clients", 24) // 2),
                                                   clients=best.get("clients", 24) // 2):
        pass
    # Kinds of commands.
    from clients import KINDS
    weights = dict(KINDS, **(best.get("weights") or {}))
    for kind in sorted(weights, key=lambda kind: weights[kind]):
        if weights[kind] and time.monotonic() < end:
            fewer = dict(weights, **{kind: 0})
            if any(fewer.values()) and attempt("no %s" % kind, weights=fewer):
                weights = fewer
    while best["operations"] > 200 and attempt("%d operations" % (best["operations"] // 2),
                                               operations=best["operations"] // 2):
        pass
    return best, result


def folder():
    return tempfile.mkdtemp(prefix="crossfade-model-")
