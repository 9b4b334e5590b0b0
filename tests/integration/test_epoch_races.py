"""coherence: epoch under races: between workers, between processes over the same servers, and with a process
that dies in between. The database of these tests is a number for each key, whose commits are ordered.
"""
import os
import random
import threading
import time

import harness


def epoch_config(memcached, **changes):
    changes.setdefault("coherence", "epoch")
    return harness.cache_config(memcached, **changes)


def other_config(memcached, **changes):
    """Another process: py3, and an arm of its own in place of py2."""
    config = epoch_config(memcached, **changes)
    config["arms"][0] = {"name": "py2", "namespace": "py2-next"}
    return config


def value_of(reply):
    """What a get of one key brought: a number, or None."""
    if reply == b"END\r\n":
        return None
    head, body, end = reply.split(b"\r\n", 2)
    assert head.startswith(b"VALUE ") and end == b"END\r\n", reply
    return int(body)


class Client:
    """One connection."""

    def __init__(self, daemon, arm):
        self.wire = daemon.wire(arm)

    def get(self, key):
        return value_of(self.wire.send(b"get %s\r\n" % key).until(b"END\r\n"))

    def set(self, key, value):
        self.wire.talk(b"set %s 0 0 8\r\n%08d\r\n" % (key, value), b"STORED\r\n")

    def delete(self, key):
        reply = self.wire.send(b"delete %s\r\n" % key).line()
        assert reply in (b"DELETED\r\n", b"NOT_FOUND\r\n"), reply


class Fleet(harness.Test):
    """Two processes, two workers each, over one server."""

    TIME_LIMIT = 120

    def setUp(self):
        super().setUp()
        self.server = self.memcached()
        self.daemons = [self.sidecar("a", epoch_config(self.server)), self.sidecar("b", other_config(self.server))]

    def sidecar(self, name, config):
        """Each in a folder of its own."""
        folder = os.path.join(self.folder, name)
        os.makedirs(os.path.join(folder, "state"))
        daemon = harness.Daemon(folder, config)
        self.addCleanup(self.finish, daemon)
        return daemon

    def client(self, at):
        """Of process at[0], in arm at[1], over a connection of its own."""
        client = Client(self.daemons[at[0]], at[1])
        self.addCleanup(client.wire.close)
        return client

    def clients(self, count=8):
        """Several connections at each place: the kernel spreads them over the workers."""
        places = [(process, arm) for process in (0, 1) for arm in ("py2", "py3")]
        return {place: [self.client(place) for _ in range(count)] for place in places}

    def both_workers_are_used(self):
        for daemon in self.daemons:
            workers = {row["worker"] for row in daemon.show("clients")}
            self.assertEqual({0, 1}, workers)


def interleavings(*sequences):
    """All orders of the steps in which each sequence keeps its own."""
    if not any(sequences):
        yield ()
        return
    for number, sequence in enumerate(sequences):
        if sequence:
            rest = list(sequences)
            rest[number] = sequence[1:]
            for tail in interleavings(*rest):
                yield (sequence[0],) + tail


class Herds(Fleet):
    def run_all(self, orders, seed, everywhere):
        """m<n>: reader n misses, and reads the database. f<n>: it fills. d: the database changes, and the
        key is deleted. Nobody may be given what was there before a delete that was acknowledged; who only
        looks does so in the end, since a look that nobody fills is a miss like any other."""
        dice = random.Random(seed)
        spots = self.clients()
        self.both_workers_are_used()
        all_places = sorted(spots)
        for number, steps in enumerate(orders):
            key = b"%d:%d" % (seed, number)
            if everywhere:
                at = {name: dice.choice(all_places) for name in "123"}
            else:
                place = dice.choice(all_places)
                at = dict.fromkeys("123", place)
            readers = {name: dice.choice(spots[place]) for name, place in at.items()}
            deleter = dice.choice(spots[dice.choice(all_places)])
            database, least, read = 1, 1, {}
            for step in steps:
                if step == "d":
                    database += 1
                    deleter.delete(key)
                    least = database
                elif step[0] == "m":
                    seen = readers[step[1]].get(key)
                    self.check(seen, least, steps, at)
                    read[step[1]] = database if seen is None else None
                elif read[step[1]] is not None:
                    readers[step[1]].set(key, read[step[1]])
            for place in all_places:
                self.check(dice.choice(spots[place]).get(key), least, steps, at)

    def check(self, seen, least, steps, at):
        if seen is not None and seen < least:
            self.fail("%s at %s: %d after %d was acknowledged" % (" ".join(steps), at, seen, least))

    def orders(self):
        return list(interleavings(("m1", "f1"), ("m2", "f2"), ("m3", "f3"), ("d",)))

    def test_g3_fills_of_a_herd_in_every_order_in_one_place(self):
        self.run_all(self.orders(), 1, False)

    def test_g3_fills_of_a_herd_in_every_order_everywhere(self):
        self.run_all(self.orders(), 2, True)

    def test_g3_two_deletes_and_a_herd(self):
        orders = list(interleavings(("m1", "f1"), ("m2", "f2"), ("m3", "f3"), ("d", "d")))
        random.Random(3).shuffle(orders)
        self.run_all(orders[:600], 3, True)
        self.run_all(orders[600:1200], 4, False)

    def test_what_nobody_races_with_is_kept(self):
        """All that is refused above would be for nothing, were nothing ever kept."""
        clients = self.clients(1)
        for number, (place, (client,)) in enumerate(sorted(clients.items())):
            key = b"kept:%d" % number
            self.assertIsNone(client.get(key))
            client.set(key, 7)
            for theirs, (other,) in sorted(clients.items()):
                # py3 is one arm in both processes.
                mine = other is client or place[1] == "py3" == theirs[1]
                self.assertEqual(7 if mine else None, other.get(key), (place, theirs))


class Storm(Fleet):
    SECONDS = 5

    def setUp(self):
        super().setUp()
        self.lock = threading.Lock()
        self.database = {}
        self.acknowledged = {}
        self.wrong = []
        self.hits = 0
        self.end = time.monotonic() + self.SECONDS

    def reader(self, seed, place):
        dice = random.Random(seed)
        client = self.client(place)
        while time.monotonic() < self.end and not self.wrong:
            key = b"storm:%d" % dice.randrange(8)
            least = self.acknowledged.get(key, 0)
            seen = client.get(key)
            if seen is not None:
                self.hits += 1
                if seen < least:
                    self.wrong.append("%s at %s: %d after %d was acknowledged" % (key, place, seen, least))
                continue
            value = self.database.get(key, 0)
            if dice.random() < 0.3:
                time.sleep(dice.random() * 0.003)
            client.set(key, value)

    def writer(self, seed, place):
        dice = random.Random(seed)
        client = self.client(place)
        while time.monotonic() < self.end and not self.wrong:
            key = b"storm:%d" % dice.randrange(8)
            with self.lock:
                value = self.database[key] = self.database.get(key, 0) + 1
            client.delete(key)
            with self.lock:
                self.acknowledged[key] = max(value, self.acknowledged.get(key, 0))
            time.sleep(dice.random() * 0.02)

    def run_threads(self, bodies):
        def guarded(body, *arguments):
            try:
                body(*arguments)
            except Exception as error:  # pylint: disable=broad-except
                self.wrong.append(repr(error))
        threads = [threading.Thread(target=guarded, args=body) for body in bodies]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.wrong:
            self.fail(self.wrong[0])

    def test_g2_g3_readers_and_deleters_everywhere(self):
        places = [(process, arm) for process in (0, 1) for arm in ("py2", "py3")]
        self.run_threads([(self.reader, number, place) for number, place in enumerate(places * 2)] +
                         [(self.writer, 100 + number, place) for number, place in enumerate(places[:3])])
        self.assertGreater(self.hits, 200)

    def counting(self, place, times, seen):
        client = self.client(place)
        for _ in range(times):
            reply = client.wire.send(b"incr counter 1\r\n").line()
            assert reply.strip().isdigit(), reply
            seen.append(int(reply))

    def test_g4_no_increment_is_lost(self):
        """One arm, both processes: each of them gets a number of its own."""
        self.client((0, "py3")).set(b"counter", 0)
        seen = []
        self.run_threads([(self.counting, (number % 2, "py3"), 100, seen) for number in range(4)])
        self.assertEqual(list(range(1, 401)), sorted(seen))

    def taking(self, place, rounds, barrier, winners):
        client = self.client(place)
        for number in range(rounds):
            barrier.wait(10)
            reply = client.wire.send(b"add lock:%d 0 0 1\r\nx\r\n" % number).line()
            assert reply in (b"STORED\r\n", b"NOT_STORED\r\n"), reply
            if reply == b"STORED\r\n":
                winners.append(number)

    def test_g4_of_many_who_add_one_wins(self):
        winners, rounds = [], 60
        barrier = threading.Barrier(6)
        self.run_threads([(self.taking, (number % 2, "py3"), rounds, barrier, winners) for number in range(6)])
        self.assertEqual(list(range(rounds)), sorted(winners))

    def swapping(self, place, times):
        client = self.client(place)
        done = 0
        while done < times:
            reply = client.wire.send(b"gets swapped\r\n").until(b"END\r\n")
            head, body, _ = reply.split(b"\r\n", 2)
            reply = client.wire.send(b"cas swapped 0 0 8 %s\r\n%08d\r\n" % (
                head.split(b" ")[4], int(body) + 1)).line()
            assert reply in (b"STORED\r\n", b"EXISTS\r\n"), reply
            done += reply == b"STORED\r\n"

    def test_g4_no_swap_is_lost(self):
        self.client((0, "py3")).set(b"swapped", 0)
        self.run_threads([(self.swapping, (number % 2, "py3"), 40) for number in range(4)])
        self.assertEqual(160, self.client((1, "py3")).get(b"swapped"))

    def test_g4_a_swap_knows_of_changes_by_another_arm(self):
        ours, theirs = self.client((0, "py3")), self.client((1, "py2"))
        ours.set(b"k", 1)
        number = ours.wire.send(b"gets k\r\n").until(b"END\r\n").split()[4]
        theirs.set(b"k", 2)
        reply = ours.wire.send(b"cas k 0 0 1 %s\r\nx\r\n" % number).line()
        self.assertEqual(b"EXISTS\r\n", reply)
        self.assertIsNone(ours.get(b"k"))
        self.assertEqual(2, theirs.get(b"k"))


class Ends(Fleet):
    """The process ends between a miss and its fill."""

    def late_fill(self, change, other_size=False):
        reader, deleter = self.client((0, "py3")), self.client((1, "py2"))
        watcher = self.client((1, "py3"))
        self.assertIsNone(reader.get(b"k"))
        change(deleter)
        if other_size:
            self.daemons[0].source["cache"]["recent_misses"] = 1024
        self.daemons[0].start()
        reader = self.client((0, "py3"))
        reader.set(b"k", 1)
        self.assertIsNone(reader.get(b"k"), "what was read before the delete")
        self.assertIsNone(watcher.get(b"k"))

    def test_g3_a_daemon_that_is_killed_knows_its_misses_again(self):
        def change(deleter):
            self.daemons[0].kill()
            deleter.delete(b"k")
        self.late_fill(change)
        # And what is in no doubt is kept.
        reader = self.client((0, "py3"))
        self.assertIsNone(reader.get(b"fresh"))
        reader.set(b"fresh", 5)
        self.assertEqual(5, reader.get(b"fresh"))

    def test_g3_a_daemon_that_ends_in_good_order_too(self):
        def change(deleter):
            deleter.delete(b"k")
            self.daemons[0].signal(15)
            self.daemons[0].wait()
        self.late_fill(change)

    def test_g3_what_is_no_more_known_is_in_doubt(self):
        def change(deleter):
            self.daemons[0].kill()
            deleter.delete(b"k")
        self.late_fill(change, other_size=True)
        self.assertIn(b"the memory of misses begins empty", self.daemons[0].all_logs())

    def test_a_file_that_is_damaged_is_replaced_and_told(self):
        path = os.path.join(self.daemons[0].folder, "state", "misses")

        def change(deleter):
            self.daemons[0].kill()
            with open(path, "wb") as file:
                file.write(b"nonsense" * 1000)
            deleter.delete(b"k")
        self.late_fill(change)
        self.assertIn(b"is damaged, or something else", self.daemons[0].all_logs())


class Generations(Fleet):
    def test_g3_a_flush_between_a_miss_and_its_fill(self):
        """The fill is for another prefix then, and its miss is known all the same."""
        reader, deleter = self.client((0, "py3")), self.client((1, "py2"))
        self.assertIsNone(reader.get(b"k"))
        self.daemons[0].ctl("flush", "py3")
        deleter.delete(b"k")
        reader.set(b"k", 1)
        self.assertIsNone(reader.get(b"k"))

    def test_g3_a_reload_between_a_miss_and_its_fill(self):
        for mode in ("fanout", "epoch"):
            reader, deleter = self.client((0, "py3")), self.client((1, "py2"))
            self.daemons[0].write(epoch_config(self.server, coherence=mode))
            self.daemons[0].ctl("reload")
            key = b"k:" + mode.encode()
            self.assertIsNone(reader.get(key))
            self.daemons[0].write(epoch_config(self.server))
            self.daemons[0].ctl("reload")
            deleter.delete(key)
            reader.set(key, 1)
            self.assertIsNone(reader.get(key), mode)


if __name__ == "__main__":
    harness.main()
