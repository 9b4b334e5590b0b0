"""Epoch mode: commands that depend on what is stored, across arms, processes and failures."""
import os
import threading
import time

import harness


def config(*memcacheds, **cache):
    return harness.cache_config(*memcacheds, coherence="epoch", **cache)


def value(bytes_, flags=0, key=b"k"):
    return b"VALUE %s %d %d\r\n%s\r\nEND\r\n" % (key, flags, len(bytes_), bytes_)


def storage(verb, bytes_, flags=0, exptime=0, tail=b"", key=b"k"):
    return b"%s %s %d %d %d%s\r\n%s\r\n" % (verb, key, flags, exptime, len(bytes_), tail, bytes_)


class Changes(harness.Test):
    def start(self, *options, **cache):
        self.server = self.memcached(*options)
        self.running = self.daemon(config(self.server, **cache))
        return self.running.wire("py2"), self.running.wire("py3")

    def host(self, name, server):
        """One more host, which shares nothing but the memcached server."""
        folder = os.path.join(self.folder, name)
        os.makedirs(os.path.join(folder, "state"))
        daemon = harness.Daemon(folder, config(server))
        self.addCleanup(self.finish, daemon)
        return daemon

    def cas_of(self, wire, key=b"k"):
        answer = wire.send(b"gets %s\r\n" % key).until(b"END\r\n")
        return answer.split(b"\r\n", 1)[0].split(b" ")[4]

    def ttl_of(self, wire_key):
        """As the server itself says; -1: for ever."""
        line = self.server.wire().send(b"mg %s t\r\n" % wire_key).line()
        self.assertTrue(line.startswith(b"HD t"), line)
        return int(line[4:])

    def test_each_command_is_answered_as_by_memcached(self):
        own, _ = self.start()
        plain = self.memcached().wire()
        script = [
            storage(b"append", b"x"), storage(b"prepend", b"x"), storage(b"replace", b"x"),
            b"incr k 1\r\n", b"decr k 1\r\n", b"touch k 0\r\n", storage(b"cas", b"x", tail=b" 5"),
            storage(b"add", b"5", 7), storage(b"add", b"6", 8), b"get k\r\n",
            b"incr k 10\r\n", b"get k\r\n", b"decr k 4\r\n", b"get k\r\n", b"decr k 100\r\n",
            # Whether a shorter number leaves blanks behind it depends on who else looks at it.
            storage(b"replace", b"2"), storage(b"append", b"3"), b"get k\r\n", storage(b"prepend", b"4"),
            b"get k\r\n", b"incr k 1\r\n", storage(b"replace", b"word", 9), b"get k\r\n",
            b"incr k 1\r\n", storage(b"append", b""), b"touch k 100\r\n", b"get k\r\n",
            storage(b"replace", b"18446744073709551615"), b"incr k 1\r\n",
            storage(b"cas", b"x", tail=b" 5"), storage(b"replace", b""), b"get k\r\n",
            b"incr k 1\r\n", storage(b"append", b"x" * 5000), b"get k\r\n",
            storage(b"append", b"y" * 70000), b"get k\r\n", storage(b"replace", b"z" * 300000),
            storage(b"prepend", b"a" * 300000), b"get k\r\n",
            b"delete k\r\n", b"incr k 1\r\n", storage(b"append", b"x"),
        ]
        for command in script:
            for wire in (plain, own):
                wire.send(command + b"version\r\n")
            expected = plain.until(b"VERSION ")
            plain.line()
            self.assertEqual(harness.shorten(expected), harness.shorten(own.until(b"VERSION ")),
                             harness.shorten(command))
            own.line()

    def test_in_one_pipeline_they_keep_their_order(self):
        py2, _ = self.start()
        count = 100
        py2.talk(storage(b"set", b"0") + b"incr k 1\r\nget k\r\n" * count,
                 b"STORED\r\n" + b"".join(b"%d\r\n" % n + value(b"%d" % n)
                                          for n in range(1, count + 1)))
        py2.talk(storage(b"set", b"") + storage(b"append", b"x", tail=b" noreply") * count +
                 b"get k\r\n", b"STORED\r\n" + value(b"x" * count))

    def test_one_byte_at_a_time(self):
        py2, _ = self.start()
        py2.send_split(storage(b"set", b"1") + storage(b"append", b"2") + b"incr k 30\r\nget k\r\n")
        py2.expect(b"STORED\r\nSTORED\r\n42\r\n" + value(b"42"))

    def test_g1_what_changes_in_one_arm_is_gone_in_the_other(self):
        py2, py3 = self.start()
        changes = ((b"append", b"1", b"STORED\r\n", b"21"), (b"prepend", b"1", b"STORED\r\n", b"12"),
                   (b"replace", b"9", b"STORED\r\n", b"9"), (b"incr", None, b"5\r\n", b"5"),
                   (b"decr", None, b"0\r\n", b"0"))
        for verb, bytes_, answer, after in changes:
            for one, other in ((py2, py3), (py3, py2)):
                # Misses that nobody fills would be remembered: a key of its own for each.
                key = b"%s%d" % (verb, one is py2)
                change = storage(verb, bytes_, key=key) if bytes_ else b"%s %s 3\r\n" % (verb, key)
                for wire in (one, other):
                    wire.talk(b"get %s\r\n" % key, b"END\r\n")
                    wire.talk(storage(b"set", b"2", key=key), b"STORED\r\n")
                for wire in (one, other):
                    wire.talk(b"get %s\r\n" % key, value(b"2", key=key))
                one.talk(change, answer)
                one.talk(b"get %s\r\n" % key, value(after, key=key))
                other.talk(change, b"NOT_STORED\r\n" if bytes_ else b"NOT_FOUND\r\n")
                other.talk(b"get %s\r\n" % key, b"END\r\n")

    def test_cas_across_arms_fails_as_on_one_item(self):
        py2, py3 = self.start()
        self.fill(py2, b"2")
        py3.talk(b"get k\r\n", b"END\r\n").talk(storage(b"set", b"3"), b"STORED\r\n")
        number = self.cas_of(py3)
        py2.talk(b"incr k 1\r\n", b"3\r\n")
        py3.talk(storage(b"cas", b"4", tail=b" " + number), b"EXISTS\r\n")
        py2.talk(b"delete k\r\n", b"DELETED\r\n")
        py3.talk(storage(b"cas", b"4", tail=b" " + number), b"NOT_FOUND\r\n")
        self.fill(py3, b"3")
        number = self.cas_of(py3)
        py3.talk(storage(b"cas", b"4", tail=b" " + number), b"STORED\r\n")
        py3.talk(storage(b"cas", b"5", tail=b" " + number), b"EXISTS\r\n")
        py3.talk(b"get k\r\n", value(b"4"))

    def fill(self, wire, bytes_):
        wire.send(b"delete k\r\n").line()
        wire.talk(b"get k\r\n", b"END\r\n").talk(storage(b"set", bytes_), b"STORED\r\n")
        wire.talk(b"get k\r\n", value(bytes_))

    def test_g3_an_add_that_was_overtaken_is_not_kept(self):
        py2, py3 = self.start()
        py2.talk(b"get k\r\n", b"END\r\n")
        py3.talk(b"delete k\r\n", b"NOT_FOUND\r\n")
        py2.talk(storage(b"add", b"old"), b"NOT_STORED\r\n").talk(b"get k\r\n", b"END\r\n")
        py2.talk(storage(b"add", b"new"), b"STORED\r\n").talk(b"get k\r\n", value(b"new"))
        py2.talk(storage(b"add", b"other"), b"NOT_STORED\r\n")

    def test_expiry_is_kept(self):
        py2, _ = self.start()
        for change, answer in ((storage(b"append", b"2"), b"STORED\r\n"),
                               (storage(b"prepend", b"2"), b"STORED\r\n"),
                               (b"incr k 1\r\n", b"2\r\n"), (b"decr k 1\r\n", b"0\r\n")):
            for exptime in (100, int(time.time()) + 200, int(time.time()) + 3000000, 0):
                py2.talk(storage(b"set", b"1", exptime=exptime) + change, b"STORED\r\n" + answer)
                left = self.ttl_of(b"cf~.0:k")
                wanted = {100: 100, 0: -1}.get(exptime, exptime - time.time())
                self.assertTrue(wanted - 15 <= left <= wanted + 2, (change, exptime, left))

    def test_expiry_is_kept_after_a_touch_where_the_server_can_say_it(self):
        py2, _ = self.start()
        py2.talk(b"mn\r\n", b"MN\r\n").talk(b"mg other v\r\n", b"EN\r\n")
        py2.talk(storage(b"set", b"1", exptime=100) + b"touch k 5000\r\nincr k 1\r\n",
                 b"STORED\r\nTOUCHED\r\n2\r\n")
        self.assertGreater(self.ttl_of(b"cf~.0:k"), 4000)
        py2.talk(b"touch k 0\r\nincr k 1\r\n", b"TOUCHED\r\n3\r\n")
        self.assertEqual(-1, self.ttl_of(b"cf~.0:k"))

    def test_what_is_touched_into_the_past_is_gone(self):
        py2, _ = self.start()
        py2.talk(storage(b"set", b"1") + b"touch k -1\r\nget k\r\nincr k 1\r\n",
                 b"STORED\r\nTOUCHED\r\nEND\r\nNOT_FOUND\r\n")
        py2.talk(storage(b"add", b"1", exptime=-1) + b"get k\r\n", b"STORED\r\nEND\r\n")

    def test_g1_hosts_without_crossfade_lose_their_copy(self):
        py2, py3 = self.start()
        bare = self.server.wire()
        for wire in (py2, py3):
            for change in (b"incr k 1\r\n", storage(b"append", b"1"), storage(b"replace", b"1")):
                self.fill(wire, b"1")
                bare.talk(storage(b"set", b"bare"), b"STORED\r\n")
                self.assertIn(wire.send(change).line(), (b"2\r\n", b"STORED\r\n"))
                bare.talk(b"get k\r\n", b"END\r\n")

    def test_concurrent_counts_on_two_hosts_lose_nothing(self):
        server = self.memcached()
        hosts = [self.host("one", server), self.host("two", server)]
        wires = [hosts[n % 2].wire("py3") for n in range(6)]
        each = 60
        wires[0].talk(storage(b"set", b"0"), b"STORED\r\n")
        seen = [[] for _ in wires]

        def count(wire, numbers):
            for _ in range(each):
                numbers.append(wire.send(b"incr k 1\r\n").line())

        threads = [threading.Thread(target=count, args=pair) for pair in zip(wires, seen)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        numbers = [line for lines in seen for line in lines]
        done = [int(line) for line in numbers if line[:-2].isdigit()]
        # Nothing but what says that it did not happen, and no number twice.
        self.assertEqual(len(numbers), len(done), [n for n in numbers if not n[:-2].isdigit()][:5])
        self.assertEqual(list(range(1, len(done) + 1)), sorted(done))
        wires[0].talk(b"get k\r\n", value(b"%d" % len(done)))

    def test_concurrent_appends_on_two_hosts_lose_nothing(self):
        server = self.memcached()
        hosts = [self.host("one", server), self.host("two", server)]
        wires = [hosts[n % 2].wire("py2") for n in range(4)]
        each = 25
        wires[0].talk(storage(b"set", b""), b"STORED\r\n")
        answers = []

        def append(wire, letter):
            for _ in range(each):
                answers.append(wire.send(storage(b"append", letter)).line())

        threads = [threading.Thread(target=append, args=(wire, b"%c" % (97 + n)))
                   for n, wire in enumerate(wires)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([b"STORED\r\n"] * (4 * each), answers)
        line = wires[0].send(b"get k\r\n").line()
        self.assertEqual(b"VALUE k 0 %d\r\n" % (4 * each), line)
        got = wires[0].exactly(4 * each)
        for n in range(4):
            self.assertEqual(each, got.count(b"%c" % (97 + n)))

    def test_one_lock_has_one_holder(self):
        server = self.memcached()
        hosts = [self.host("one", server), self.host("two", server)]
        wires = [hosts[n % 2].wire("py3") for n in range(6)]
        holders = []
        inside = []

        def work(wire):
            for _ in range(40):
                if wire.send(storage(b"add", b"mine", key=b"lock")).line() != b"STORED\r\n":
                    continue
                inside.append(wire)
                holders.append(len(inside))
                inside.remove(wire)
                wire.send(b"delete lock\r\n").line()

        threads = [threading.Thread(target=work, args=(wire,)) for wire in wires]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertGreater(len(holders), 0)
        self.assertEqual({1}, set(holders))

    def test_g5_what_fails_is_no_success(self):
        py2, py3 = self.start()
        self.fill(py2, b"1")
        py3.talk(b"get k\r\n", b"END\r\n").talk(storage(b"set", b"1"), b"STORED\r\n")
        self.server.freeze()
        for wire, change in ((py2, b"incr k 1\r\n"), (py3, storage(b"append", b"1"))):
            answer = wire.send(change).line()
            self.assertTrue(answer.startswith(b"SERVER_ERROR "), answer)
        self.server.thaw()
        harness.eventually(lambda: py2.send(b"incr other 1\r\n").line() == b"NOT_FOUND\r\n")
        harness.eventually(lambda: py2.send(storage(b"set", b"7")).line() == b"STORED\r\n")
        py2.talk(b"incr k 1\r\nget k\r\n", b"8\r\n" + value(b"8"))

    def test_a_client_that_leaves_in_the_middle_leaves_no_harm(self):
        py2, _ = self.start()
        py2.talk(storage(b"set", b"0"), b"STORED\r\n")
        for _ in range(50):
            wire = self.running.wire("py2")
            wire.send(b"incr k 1\r\n" * 3)
            wire.close()
        py2.talk(b"version\r\n", b"VERSION ")
        py2.line()
        harness.eventually(lambda: self.steady(py2))

    def steady(self, wire):
        """Nothing counts any more, and what is there is a number that can be counted on."""
        before = wire.send(b"get k\r\n").until(b"END\r\n")
        time.sleep(0.05)
        after = wire.send(b"get k\r\n").until(b"END\r\n")
        if before != after:
            return False
        number = int(after.split(b"\r\n")[1])
        wire.talk(b"incr k 1\r\n", b"%d\r\n" % (number + 1))
        return True

    def test_the_limit_is_the_clients_own(self):
        py2, _ = self.start("-I", "2m", max_value="1m")
        size = 1 << 20
        py2.talk(storage(b"set", b"x" * (size - 2)), b"STORED\r\n")
        py2.talk(storage(b"append", b"yy"), b"STORED\r\n")
        py2.talk(storage(b"append", b"z"), b"SERVER_ERROR object too large for cache\r\n")
        py2.talk(b"get k\r\n", value(b"x" * (size - 2) + b"yy"))


if __name__ == "__main__":
    harness.main()
