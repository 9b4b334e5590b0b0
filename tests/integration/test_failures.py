"""Servers that die or freeze under load, clients that do not read, garbage, reloads, kill -9."""
import random
import socket
import threading
import time

import harness

REQUEST_TIMEOUT = 1.0  # cache.timeouts.request of harness.cache_config()
IN_TIME = REQUEST_TIMEOUT + 1.5  # a machine under load is slow, but not that slow


class Load:
    """Clients that each set and get keys of their own, without pause; every answer is checked.

    An answer is one of what may be: a set is STORED or SERVER_ERROR, a get gives the value of the last
    set that may have been carried out, or nothing. Anything else, a late answer, one too many or a
    closed connection is a fault.
    """

    def __init__(self, daemon, keys, arm="py3", pause=0.001):
        self.daemon = daemon
        self.arm = arm
        self.pause = pause
        self.ending = False
        self.answers = []  # (key, operation, word, time of the request, seconds)
        self.faults = []
        self.threads = [threading.Thread(target=self.client, args=(key,), daemon=True)
                        for key in keys]
        for thread in self.threads:
            thread.start()

    def client(self, key):
        number = 0
        possible = {None}
        try:
            with self.daemon.wire(self.arm) as wire:
                while not self.ending:
                    number += 1
                    value = b"%s=%d" % (key, number)
                    word = self.ask(wire, key, "set", b"set %s 0 0 %d\r\n%s\r\n"
                                    % (key, len(value), value))
                    if word == b"STORED":
                        possible = {value, None}  # None: memory may be lost with its server
                    elif word == b"SERVER_ERROR":
                        possible.add(value)  # it may have been carried out
                    else:
                        raise AssertionError("%r to a set" % word)
                    word = self.ask(wire, key, "get", b"get %s\r\n" % key)
                    got = None
                    if word == b"VALUE":
                        got = wire.exactly(self.length + 2)[:-2]
                        wire.expect(b"END\r\n")
                    elif word != b"END":
                        raise AssertionError("%r to a get" % word)
                    if got not in possible:
                        raise AssertionError("%r where %r may be" % (got, sorted(map(str, possible))))
                    time.sleep(self.pause)
                if wire.pending:
                    raise AssertionError("unasked: %r" % wire.pending)
        except (AssertionError, OSError) as fault:
            self.faults.append("%s: %s" % (key.decode(), fault))

    def ask(self, wire, key, operation, request):
        begun = time.monotonic()
        line = wire.send(request).line(IN_TIME)
        words = line.split()
        self.answers.append((key, operation, words[0], begun, time.monotonic() - begun))
        if words[0] == b"VALUE":
            if words[1] != key:
                raise AssertionError("asked for %r, got %r" % (key, line))
            self.length = int(words[3])
        return words[0]

    def since(self, moment, keys=None):
        return [each for each in list(self.answers)
                if each[3] >= moment and (keys is None or each[0] in keys)]

    def more(self, keys, word, count=30):
        """Waits for so many answers with this word to requests from now on, for each of the keys."""
        begun = time.monotonic()

        def there():
            if self.faults:
                raise AssertionError(self.faults)
            words = [each[0] for each in self.since(begun) if each[2] == word]
            return all(words.count(key) >= count for key in keys)
        harness.eventually(there, "%d times %s for each of %s" % (count, word, keys), 20)

    def end(self):
        self.ending = True
        for thread in self.threads:
            thread.join(harness.WAIT)
        return self.faults


class Servers(harness.Test):
    """G5, G6: one of two memcached servers goes away."""

    def setUp(self):
        super().setUp()
        self.first, self.second = self.memcached(), self.memcached()
        self.target = self.daemon(harness.cache_config(self.first, self.second))
        # Keys of either server: what is set through the daemon is found on one of them.
        self.keys = {self.first: [], self.second: []}
        with self.target.wire("py2") as wire:
            number = 0
            while min(len(keys) for keys in self.keys.values()) < 4:
                key = b"key%d" % number
                number += 1
                wire.talk(b"set %s 0 0 1\r\nx\r\n" % key, b"STORED\r\n")
                server = self.first if b"VALUE" in self.direct(self.first, key) else self.second
                if len(self.keys[server]) < 4:
                    self.keys[server].append(key)

    def direct(self, server, key):
        with server.wire() as wire:
            return wire.send(b"get %s\r\n" % key).until(b"END\r\n")

    def load(self):
        return Load(self.target, self.keys[self.first] + self.keys[self.second])

    def check_others(self, load, since):
        """The other server's keys were served all the time: no error, no wait for the dead one."""
        others = load.since(since, self.keys[self.second])
        self.assertGreater(len(others), 50)
        self.assertEqual({b"STORED", b"VALUE"}, {each[2] for each in others})
        self.assertLess(max(each[4] for each in others), REQUEST_TIMEOUT)

    def go_away(self, leave, come_back):
        load = self.load()
        ours, others = self.keys[self.first], self.keys[self.second]
        load.more(ours + others, b"STORED")
        begun = time.monotonic()
        leave()
        # Reads are misses and writes are errors, as on_failure says; each in time.
        load.more(ours, b"SERVER_ERROR", 2)
        load.more(ours, b"END", 2)
        load.more(others, b"VALUE")
        self.check_others(load, begun)
        come_back()
        load.more(ours + others, b"STORED")
        load.more(ours + others, b"VALUE")
        self.assertEqual([], load.end())
        self.assertLess(max(each[4] for each in load.answers), IN_TIME)

    def test_g5_a_killed_server_and_its_return(self):
        self.go_away(self.first.kill, self.first.start)

    def test_g5_a_frozen_server_and_its_thaw(self):
        self.go_away(self.first.freeze, self.first.thaw)

    def test_g5_again_and_again(self):
        load = self.load()
        ours, others = self.keys[self.first], self.keys[self.second]
        for number in range(6):
            server, keys = (self.first, ours) if number % 2 else (self.second, others)
            load.more(keys, b"STORED", 5)
            if number < 3:
                server.kill()
                load.more(keys, b"SERVER_ERROR", 1)
                server.start()
            else:
                server.freeze()
                load.more(keys, b"SERVER_ERROR", 1)
                server.thaw()
            load.more(ours + others, b"VALUE", 5)
        self.assertEqual([], load.end())

    def test_g5_a_multi_get_gives_what_the_living_have(self):
        ours, others = self.keys[self.first], self.keys[self.second]
        wire = self.target.wire("py2")
        mixed = [key for pair in zip(ours, others) for key in pair]
        everything = b"".join(b"VALUE %s 0 1\r\nx\r\n" % key for key in mixed) + b"END\r\n"
        living = b"".join(b"VALUE %s 0 1\r\nx\r\n" % key for key in others) + b"END\r\n"
        request = b"get " + b" ".join(mixed) + b"\r\n"
        wire.talk(request, everything)
        self.first.freeze()
        wire.talk(request, living, IN_TIME)
        self.first.thaw()
        harness.eventually(lambda: wire.send(request).until(b"END\r\n") == everything,
                           "all of them are back")

    def burst(self, leave):
        """Many commands on their way on one connection as the server goes: one answer each, in order."""
        ours, others = self.keys[self.first], self.keys[self.second]
        wire = self.target.wire("py2")
        commands = []
        for number in range(400):
            commands.append(("get", others[number % 4]))
            commands.append(("set", ours[number % 4]) if number % 3 else ("get", ours[number % 4]))
        data = b"".join(b"get %s\r\n" % key if verb == "get" else b"set %s 0 0 1\r\nx\r\n" % key
                        for verb, key in commands)
        sender = threading.Thread(target=wire.send, args=(data,))
        sender.start()
        leave()
        for verb, key in commands:
            line = wire.line(IN_TIME)
            if verb == "set":
                self.assertRegex(line, rb"^(STORED|SERVER_ERROR .*)\r\n$")
            elif line != b"END\r\n" or key in others:
                self.assertEqual(b"VALUE %s 0 1\r\n" % key, line)
                wire.expect(b"x\r\nEND\r\n")
        sender.join()
        self.assertRegex(wire.send(b"version\r\n").line(), rb"^VERSION ")
        wire.silence(0.1)

    def test_g6_a_burst_as_the_server_is_killed(self):
        self.burst(self.first.kill)

    def test_g6_a_burst_as_the_server_freezes(self):
        self.burst(self.first.freeze)

    def test_g5_an_invalidation_that_could_not_be_delivered_is_no_success(self):
        wire = self.target.wire("py3")
        ours, others = self.keys[self.first][0], self.keys[self.second][0]
        self.first.kill()
        self.assertRegex(wire.send(b"delete %s\r\n" % ours).line(IN_TIME), rb"^SERVER_ERROR ")
        wire.talk(b"delete %s noreply\r\nget %s\r\n" % (ours, others), b"END\r\n", IN_TIME)
        wire.talk(b"delete %s\r\n" % others, b"NOT_FOUND\r\n")


class Clients(harness.Test):
    def test_a_client_that_never_reads_costs_little_and_does_not_hold_up_the_rest(self):
        daemon = self.daemon(harness.cache_config(self.memcached()))
        others = [daemon.wire("py3") for _ in range(4)]
        others[0].talk(b"set big 0 0 200000\r\n" + b"x" * 200000 + b"\r\n", b"STORED\r\n")
        others[0].talk(b"set huge 0 0 1000000\r\n" + b"x" * 1000000 + b"\r\n", b"STORED\r\n")
        before = daemon.memory()
        deaf = [daemon.wire("py3") for _ in range(8)]
        for number, wire in enumerate(deaf):
            wire.send(b"get huge\r\n" * 20 if number % 2 else b"get big\r\n" * 100)
        slowest = 0
        peak = 0
        end = time.monotonic() + 5
        while time.monotonic() < end:
            for wire in others:
                begun = time.monotonic()
                wire.talk(b"get absent\r\n", b"END\r\n")
                slowest = max(slowest, time.monotonic() - begun)
            peak = max(peak, daemon.memory())
            time.sleep(0.01)
        self.assertLess(peak - before, 64 << 20)
        # Half the request timeout for the first of the deaf, two turns of the clock for each further.
        self.assertLess(slowest, IN_TIME + 1)
        # Who keeps the others waiting by not reading is closed; all the rest are still there.
        harness.eventually(lambda: self.clients(daemon) == len(others), "the deaf are closed")

    def clients(self, daemon):
        return sum(arm["clients"] for arm in daemon.show("cache"))

    def test_a_client_that_reads_slowly_gets_all_of_it(self):
        daemon = self.daemon(harness.cache_config(self.memcached()))
        slow, other = daemon.wire("py3"), daemon.wire("py3")
        value = bytes(range(256)) * 2000
        reply = b"VALUE big 0 %d\r\n%s\r\nEND\r\n" % (len(value), value)
        other.talk(b"set big 0 0 %d\r\n%s\r\n" % (len(value), value), b"STORED\r\n")
        slow.send(b"get big\r\n" * 40)
        faults = []

        def read():
            try:
                for _ in range(40):
                    time.sleep(0.02)
                    slow.expect(reply)
            except AssertionError as fault:
                faults.append(str(fault)[-200:])

        reader = threading.Thread(target=read)
        reader.start()
        while reader.is_alive():
            other.talk(b"get absent\r\n", b"END\r\n", IN_TIME)
            time.sleep(0.01)
        self.assertEqual([], faults)

    def test_a_web_client_that_never_reads_costs_little(self):
        body = b"x" * (4 << 20)
        backend = self.backend("big", lambda request: harness.response(
            body if request.target == "/big" else b"small"))
        daemon = self.daemon(harness.web_config(backend, backend))
        other = daemon.wire("web")
        before = daemon.memory()
        deaf = [daemon.wire("web") for _ in range(10)]
        for wire in deaf:
            wire.send(b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n" * 5)
        for _ in range(50):
            other.send(b"GET /small HTTP/1.1\r\nHost: h\r\n\r\n").until(b"small")
            time.sleep(0.02)
        self.assertLess(daemon.memory() - before, 32 << 20)

    def garbage(self, chance):
        kind = chance.randrange(4)
        if kind == 0:
            return chance.randbytes(chance.randrange(1, 5000))
        if kind == 1:  # what it might take for the beginning of something
            return chance.choice([b"set k 0 0 1000000\r\n", b"get " + b"k" * 5000, b"GET / HTTP/1.1\r\n",
                                  b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999\r\n\r\nxx",
                                  b"show rollout", b"\x80\x00" + b"\xff" * 22, b"mg k v\r\n",
                                  b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00\x01"])
        if kind == 2:
            return b"\r\n" * chance.randrange(1, 2000)
        return b"".join(chance.choice([b"get ", b"k ", b"\r\n", b"\n", b"set ", b"0 ", b"noreply",
                                       b"\0", b"-1 ", b"4294967296 ", b"HTTP/1.1", b": ", b"abort "])
                        for _ in range(chance.randrange(1, 300)))

    def test_garbage_to_every_port(self):
        seed = random.randrange(1 << 32)
        chance = random.Random(seed)
        backend = self.backend("shop")
        memcached = self.memcached()
        config = harness.web_config(backend, backend)
        config["cache"] = harness.cache_config(memcached)["cache"]
        daemon = self.daemon(config)
        doors = daemon.addresses()
        self.assertEqual(5, len(doors))
        for number in range(400):
            with harness.Wire(doors[number % len(doors)]) as wire:
                try:
                    wire.send(self.garbage(chance))
                    end = chance.randrange(3)
                    if end == 0:
                        wire.shut_write()
                        wire.rest(5)
                    elif end == 1:  # gone with a reset, in the middle
                        wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                             b"\x01\0\0\0\0\0\0\0")
                except OSError:
                    pass  # closed before all of it was sent
                except AssertionError as fault:
                    raise AssertionError("seed %d, number %d: %s" % (seed, number, fault))
            daemon.alive()
        daemon.wire("py3").talk(b"get k\r\n", b"END\r\n")
        daemon.wire("web").send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").until(b"shop")
        self.assertEqual("idle", daemon.show("rollout")["state"])


class Reload(harness.Test):
    def test_a_broken_file_changes_nothing(self):
        config = harness.cache_config(self.memcached())
        daemon = self.daemon(config)
        wire = daemon.wire("py3")
        wire.talk(b"set k 0 0 1\r\n1\r\n", b"STORED\r\n")
        good = daemon.render(config)
        for broken in (good.replace('"cache"', '"cahce"'), good[:len(good) // 2], "", "arms: 1",
                       good.replace("127.0.0.1:%d" % daemon.port("py3"), "127.0.0.1:99999")):
            daemon.write(broken)
            said = daemon.ctl("reload", status=None)
            self.assertNotIn("OK", said)
            wire.talk(b"get k\r\n", b"VALUE k 0 1\r\n1\r\nEND\r\n")
            daemon.wire("py2").talk(b"get k\r\n", b"END\r\n")
        daemon.ctl("reload", status=1)
        daemon.write(config)
        daemon.ctl("reload")
        wire.talk(b"get k\r\n", b"VALUE k 0 1\r\n1\r\nEND\r\n")

    def test_reloads_under_load_drop_nobody(self):
        first, second = self.memcached(), self.memcached()
        config = harness.cache_config(first, second)
        daemon = self.daemon(config)
        load = Load(daemon, [b"a%d" % number for number in range(6)])
        for number in range(12):
            config["cache"]["keys"] = [{"match": "rule%d:*" % number, "scope": "shared"}]
            config["cache"]["timeouts"]["request"] = "%dms" % (1000 + number)
            daemon.write(config)
            if number % 2:
                daemon.ctl("reload")
            else:
                daemon.reload()
            load.more([b"a0", b"a5"], b"VALUE", 10)
        self.assertEqual([], load.end())
        self.assertEqual({b"STORED", b"VALUE"}, {each[2] for each in load.answers})

    def test_a_graceful_stop_answers_what_is_under_way(self):
        memcached = self.memcached()
        daemon = self.daemon(harness.cache_config(memcached))
        wire, idle = daemon.wire("py3"), daemon.wire("py2")
        idle.talk(b"get k\r\n", b"END\r\n")
        wire.talk(b"set k 0 0 1\r\n1\r\n", b"STORED\r\n")
        memcached.freeze()
        wire.send(b"get k\r\n" * 100).silence(0.1)
        daemon.signal(15)
        idle.expect_end()
        memcached.thaw()
        wire.expect(b"VALUE k 0 1\r\n1\r\nEND\r\n" * 100).expect_end()
        daemon.wait(0)


class Killed(harness.Test):
    """kill -9 at any moment: the rollout goes on where it was."""

    def status(self, daemon):
        shown = daemon.show("rollout")
        return {name: shown[name] for name in ("state", "stage", "percent", "generation")}

    def share(self, daemon):
        """The users that are on the candidate."""
        wire = daemon.wire("web")
        found = set()
        for user in range(300):
            wire.send(b"GET / HTTP/1.1\r\nHost: h\r\nX-User-Id: %d\r\n\r\n" % user)
            wire.until(b"\r\n\r\n")
            if wire.exactly(3) == b"new":
                found.add(user)
        return found

    def test_the_state_is_the_same_after_it(self):
        daemon = self.daemon(harness.web_config(self.backend("old"), self.backend("new")))
        for verbs in ([["start"], ["advance"], ["advance"], ["advance"]], [["percent", "37.5"]],
                      [["pause"]], [["resume"]], [["abort"]],
                      [["retry"], ["advance"], ["advance"], ["advance"], ["advance"]], [["promote"]]):
            for verb in verbs:
                daemon.ctl("--yes", *verb)
            before, users = self.status(daemon), self.share(daemon)
            daemon.kill()
            daemon.start()
            self.assertEqual(before, self.status(daemon))
            self.assertEqual(users, self.share(daemon))

    def test_at_any_moment_it_is_as_acknowledged_or_one_further(self):
        daemon = self.daemon(harness.web_config(self.backend("old"), self.backend("new")))
        for verb in ("start", "advance", "advance", "advance"):
            daemon.ctl(verb)
        chance = random.Random()
        changes = 0
        for _ in range(12):
            known = {"asked": None, "done": self.status(daemon)["percent"]}

            def work():
                nonlocal changes
                while True:
                    known["asked"] = round(chance.uniform(20, 90), 2)
                    try:
                        daemon.ctl("--yes", "percent", known["asked"])
                    except (AssertionError, OSError):
                        return  # it is gone
                    known["done"], known["asked"] = known["asked"], None
                    changes += 1

            thread = threading.Thread(target=work)
            thread.start()
            time.sleep(chance.uniform(0.02, 0.2))
            daemon.kill()
            thread.join()
            daemon.start()
            after = self.status(daemon)
            self.assertEqual("running", after["state"])
            self.assertIn(after["percent"], (known["done"], known["asked"]))
        self.assertGreater(changes, 12)


if __name__ == "__main__":
    harness.main()
