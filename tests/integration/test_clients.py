"""Real client libraries under a real Python 2 and Python 3, each through the listener of its arm."""
import functools
import json
import os
import subprocess
import sys
import tempfile
import shutil
import threading

import harness

sys.path.insert(0, os.path.join(harness.SOURCE, "deploy", "demo"))
import runtimes  # noqa: E402

LIBRARIES = ("python-memcached", "pymemcache", "pylibmc")
MODULE = {"python-memcached": "memcache", "pymemcache": "pymemcache", "pylibmc": "pylibmc"}
AGENT = os.path.join(harness.HERE, "clients", "agent.py")


class Runtimes:
    """The two Pythons and where each finds its libraries."""

    def __init__(self):
        self.python3 = runtimes.python3(tuple(MODULE.values()))
        self.python2 = runtimes.python2()
        self.folder = tempfile.mkdtemp(prefix="crossfade-python2-")
        if self.python2:
            runtimes.modules_for_python2(self.folder, self.python3)
        # Which libraries each one has: there is no pylibmc for Python 2 in Debian.
        self.libraries = {2: [], 3: []}
        for library in LIBRARIES:
            for major in (2, 3):
                if self.command(major) and self.imports(major, MODULE[library]):
                    self.libraries[major].append(library)

    def command(self, major):
        return self.python2 if major == 2 else self.python3

    def environment(self, major):
        env = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
        env.pop("PYTHONPATH", None)
        if major == 2:
            env["PYTHONPATH"] = self.folder
            env["JYTHONPATH"] = self.folder
        return env

    def imports(self, major, module):
        return subprocess.call([self.command(major), "-c", "import " + module],
                               env=self.environment(major), stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL) == 0


found = None


def setUpModule():
    global found
    found = Runtimes()


def tearDownModule():
    shutil.rmtree(found.folder, ignore_errors=True)


class Agent:
    """A client library in its own Python process."""

    def __init__(self, major, library, port):
        self.name = "%s under Python %d" % (library, major)
        self.errors = tempfile.TemporaryFile()
        self.child = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", found.command(major), AGENT, library,
             "127.0.0.1:%d" % port],
            env=found.environment(major), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self.errors)

    def ask(self, *request):
        """The whole answer: value, repr or error."""
        self.child.stdin.write(json.dumps(request).encode() + b"\n")
        self.child.stdin.flush()
        line = self.child.stdout.readline()
        if not line:
            self.errors.seek(0)
            raise AssertionError("%s ended: %s" % (self.name, self.errors.read().decode()))
        return json.loads(line)

    def do(self, *request):
        """The value that came back."""
        answer = self.ask(*request)
        if "error" in answer:
            raise AssertionError("%s, %s: %s" % (self.name, request[0], answer["error"]))
        return answer.get("value", answer["repr"])

    def close(self):
        self.child.stdin.close()
        try:
            self.child.wait(harness.WAIT)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.child.stdout.close()
        self.errors.close()


class ClientTest(harness.Test):
    def agent(self, major, library, port):
        agent = Agent(major, library, port)
        self.addCleanup(agent.close)
        return agent

    def pairs(self):
        """(Python 2 library, Python 3 library): each library at least once, its like where there is one."""
        if not found.libraries[2]:
            self.skipTest("no Python 2 here")
        for library in found.libraries[3]:
            yield (library if library in found.libraries[2] else found.libraries[2][0]), library


class Matrix(ClientTest):
    """G7: what a client sees through Crossfade is what it sees on memcached itself."""

    def transcript(self, major, library, port, prefix):
        agent = self.agent(major, library, port)
        steps = agent.do("exercise", prefix)
        agent.close()
        return steps

    def compare(self, major, library, arm):
        if library not in found.libraries[major]:
            self.skipTest("no %s for Python %d here" % (library, major))
        bare = self.memcached()
        daemon = self.daemon(harness.cache_config(self.memcached()))
        direct = self.transcript(major, library, bare.port, "x:")
        through = self.transcript(major, library, daemon.port(arm), "x:")
        self.assertGreater(len(direct), 100)
        self.assertEqual(direct, through)
        # What is the same could be the same failure: some of it is known.
        known = dict((name, result) for name, result in through)
        same = [name for name, result in through if name.startswith("same ") and result == "True"]
        self.assertGreaterEqual(len(same), 8, through)
        for name, result in (("incr", "12"), ("decr", "7"), ("add", "True"), ("add again", "False"),
                             ("cas", "True"), ("cas conflict", "False"), ("get lock", None),
                             ("get deleted", "None"), ("incr missing", "None")):
            if result is None:
                self.assertIn("still mine", known[name])
            else:
                self.assertEqual(result, known[name], name)


def add_matrix():
    for library in LIBRARIES:
        for major, arm in ((2, "py2"), (3, "py3")):
            def test(self, library=library, major=major, arm=arm):
                self.compare(major, library, arm)
            name = "test_g7_%s_under_python_%d" % (library.replace("-", "_"), major)
            setattr(Matrix, name, test)


add_matrix()


def with_each_pair(**changes):
    """Runs a test with every pair of clients, after a flush: test(self, memcached, py2, py3)."""
    def decorate(test):
        @functools.wraps(test)
        def run(self):
            pairs = list(self.pairs())
            memcached = self.memcached()
            daemon = self.daemon(harness.cache_config(memcached, **changes))
            for library2, library3 in pairs:
                memcached.wire().talk(b"flush_all\r\n", b"OK\r\n")
                with self.subTest(python2=library2, python3=library3):
                    test(self, memcached, self.agent(2, library2, daemon.port("py2")),
                         self.agent(3, library3, daemon.port("py3")))
        return run
    return decorate


class Arms(ClientTest):
    """Two arms at once, a library of each Python in its own."""

    @with_each_pair()
    def test_g1_an_arm_never_sees_the_other_arms_values(self, unused_memcached, py2, py3):
        for name in ("text", "dictionary", "list", "bytes", "100k", "1m"):
            key = "isolated:" + name
            for agent in (py2, py3):
                agent.do("get", key)  # a miss, so that the set is a fill
            self.assertTrue(py2.do("set_named", key, name))
            self.assertIsNone(py3.do("get", key))
            self.assertTrue(py3.do("set_named", key, name))
            # The fill of the other arm has not taken this one's away, nor changed it.
            self.assertTrue(py2.do("is_named", key, name))
            self.assertTrue(py3.do("is_named", key, name))

    @with_each_pair()
    def test_g1_at_the_same_time_on_the_same_keys(self, unused_memcached, py2, py3):
        results = {}

        def work(agent, arm, seed):
            results[arm] = agent.do("mingle", arm, seed, 1500)

        threads = [threading.Thread(target=work, args=each)
                   for each in ((py2, "py2", 1), (py3, "py3", 2))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for arm in ("py2", "py3"):
            self.assertEqual([], results[arm]["wrong"])
            self.assertGreater(results[arm]["found"], 50)
            self.assertGreater(results[arm]["missed"], 50)

    @with_each_pair()
    def test_g2_a_delete_reaches_the_other_arm(self, unused_memcached, py2, py3):
        for deleter, other in ((py2, py3), (py3, py2)):
            for agent in (py2, py3):
                agent.do("get", "item")
                agent.do("set", "item", 1)
            self.assertEqual([1, 1], [py2.do("get", "item"), py3.do("get", "item")])
            deleter.do("delete", "item")
            self.assertIsNone(other.do("get", "item"))
            self.assertIsNone(deleter.do("get", "item"))
            # And one that this arm does not have itself.
            other.do("set", "item", 2)
            deleter.do("delete", "item")
            self.assertIsNone(other.do("get", "item"))
            # Many at once.
            for agent in (py2, py3):
                agent.do("get_multi", ["many1", "many2"])
                agent.do("set", "many1", 1)
                agent.do("set", "many2", 2)
            deleter.do("delete_multi", ["many1", "many2"])
            self.assertEqual({}, other.do("get_multi", ["many1", "many2"]))

    @with_each_pair()
    def test_g4_mutations_invalidate_and_fills_do_not(self, unused_memcached, py2, py3):
        for writer, other in ((py2, py3), (py3, py2)):
            for operation in (["set", "m", 5], ["incr", "m", 1], ["append_bytes", "m", "0"],
                              ["replace", "m", 7], ["cas", "m", 8]):
                for agent in (py2, py3):
                    agent.do("delete", "m")
                for agent in (py2, py3):
                    agent.do("get", "m")
                    agent.do("set", "m", 5)
                self.assertEqual(5, other.do("get", "m"))
                if operation[0] == "cas":
                    writer.do("gets", "m")
                writer.do(*operation)
                self.assertIsNone(other.do("get", "m"), operation)
            # A fill leaves the other arm's copy alone.
            for agent in (py2, py3):
                agent.do("delete", "f")
            for agent in (py2, py3):
                agent.do("get", "f")
                agent.do("set", "f", 5)
            self.assertEqual([5, 5], [py2.do("get", "f"), py3.do("get", "f")])

    @with_each_pair()
    def test_g8_a_shared_limit_of_100_is_100_for_both_arms(self, unused_memcached, py2, py3):
        self.assertTrue(py2.do("add", "shared:limit", 0))
        self.assertFalse(py3.do("add", "shared:limit", 0))
        allowed = {"py2": 0, "py3": 0}

        def work(agent, arm):
            for _ in range(80):
                if agent.do("incr", "shared:limit", 1) <= 100:
                    allowed[arm] += 1

        threads = [threading.Thread(target=work, args=each)
                   for each in ((py2, "py2"), (py3, "py3"))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(100, allowed["py2"] + allowed["py3"])
        self.assertEqual(160, py2.do("incr", "shared:limit", 0))

    @with_each_pair()
    def test_g8_a_shared_lock_is_held_by_one(self, unused_memcached, py2, py3):
        for number in range(20):
            key = "shared:lock%d" % number
            holders = []

            def work(agent):
                if agent.do("add", key, 1):
                    holders.append(agent)

            threads = [threading.Thread(target=work, args=(agent,)) for agent in (py2, py3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(1, len(holders))
        # In isolated scope both would hold it: this is what the rule is for.
        self.assertEqual([True, True], [each.do("add", "lock", 1) for each in (py2, py3)])

    @with_each_pair()
    def test_g8_a_shared_cas_sees_the_other_arms_write(self, unused_memcached, py2, py3):
        py2.do("set", "shared:cas", 1)
        self.assertEqual(1, py3.do("gets", "shared:cas"))
        py2.do("set", "shared:cas", 2)
        self.assertFalse(py3.do("cas", "shared:cas", 3))
        self.assertEqual(2, py3.do("gets", "shared:cas"))
        self.assertTrue(py3.do("cas", "shared:cas", 3))
        self.assertEqual(3, py2.do("get", "shared:cas"))

    def long_key_attack(self, memcached, py2, py3, long_keys):
        """A key that fits without the prefix and not with it, and a value that is a command."""
        direct = memcached.wire()
        for length in (244, 245, 246, 248, 249, 250):
            key = "k" * length
            direct.talk(b"set victim 0 0 4\r\nsafe\r\n", b"STORED\r\n")
            py3.do("set", "victim", 44)
            py3.do("set", "mine", 11)
            for command in ("delete victim", "flush_all", "set victim 0 0 4\r\nevil"):
                stored = py3.ask("set_bytes", key, command)
                read = py3.ask("get", key)
                if long_keys == "hash":
                    self.assertTrue(stored.get("value"), stored)
                    self.assertIn(json.dumps(command)[1:-1], read["repr"])
                # Not one answer is off by one.
                for number in range(5):
                    self.assertEqual(11, py3.do("get", "mine"))
                    py3.do("set", "count", number)
                    self.assertEqual(number, py3.do("get", "count"))
                self.assertEqual(1, len(py3.do("get_multi", ["mine", "absent"])))
            self.assertEqual(44, py3.do("get", "victim"))
            direct.talk(b"set victim 0 0 4\r\nsafe\r\n", b"STORED\r\n")
            for command in ("delete victim", "flush_all"):
                py3.ask("set_bytes", key, command)
            direct.talk(b"get victim\r\n", b"VALUE victim 0 4\r\nsafe\r\nEND\r\n")

    @with_each_pair(long_keys="hash")
    def test_g6_a_long_key_runs_no_command_when_hashed(self, memcached, py2, py3):
        self.long_key_attack(memcached, py2, py3, "hash")

    @with_each_pair(long_keys="refuse")
    def test_g6_a_long_key_runs_no_command_when_refused(self, memcached, py2, py3):
        self.long_key_attack(memcached, py2, py3, "refuse")

    @with_each_pair()
    def test_g6_noreply_faults_put_no_answer_off(self, unused_memcached, py2, py3):
        """An error that answers a quiet request would be read as the next one's answer."""
        for agent in (py2, py3):
            agent.do("set", "steady", 1)
            agent.do("set", "text", "abc")
            for _ in range(10):
                agent.ask("set", "k" * 250, "v" * 100, True)
                agent.ask("delete", "absent", True)
                agent.ask("delete", "k" * 250, True)
                self.assertEqual(1, agent.do("get", "steady"))
                self.assertIsNone(agent.do("get", "absent"))

    @with_each_pair()
    def test_hostile_values_are_values(self, unused_memcached, py2, py3):
        hostile = "x\r\nEND\r\nVALUE steady 0 4\r\nevil\r\nEND\r\nSTORED\r\nERROR\r\n"
        for agent in (py2, py3):
            agent.do("set", "steady", 1)
            self.assertTrue(agent.do("set_bytes", "hostile", hostile))
            for _ in range(5):
                self.assertEqual(1, agent.do("get", "steady"))
                self.assertIn("evil", agent.ask("get", "hostile")["repr"])
                got = agent.ask("get_multi", ["hostile", "steady", "absent"])
                self.assertIn("'steady': 1", got["repr"])


class WithoutCrossfade(ClientTest):
    """What Crossfade is for, shown on the bare memcached: were it not so, the tests above prove little."""

    def test_two_pythons_poison_each_other(self):
        memcached = self.memcached()
        if "python-memcached" not in found.libraries[2]:
            self.skipTest("no Python 2 here")
        py2 = self.agent(2, "python-memcached", memcached.port)
        py3 = self.agent(3, "python-memcached", memcached.port)
        py3.do("set_named", "d", "dictionary")
        self.assertIsNone(py2.do("get", "d"))  # unreadable, and silently a miss
        py2.do("set_named", "d", "dictionary")
        self.assertIsNone(py3.do("get", "d"))


if __name__ == "__main__":
    harness.main()
