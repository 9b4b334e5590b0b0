"""G10: an arm that becomes a rollout's candidate does not find what an earlier attempt has left."""
import json
import os
import random
import subprocess
import time

import harness


class Generations(harness.Test):
    def begin(self, namespaces=("", "py3"), **cache):
        self.server = self.memcached()
        self.stable, self.candidate = self.backend("py2"), self.backend("py3")
        self.config = harness.web_config(self.stable, self.candidate)
        self.config["cache"] = harness.cache_config(self.server, **cache)["cache"]
        for arm, namespace in zip(self.config["arms"], namespaces):
            arm["namespace"] = namespace
        self.running = self.daemon(self.config)
        self.state = os.path.join(self.folder, "state")
        return self.running

    def generation(self, arm="py3"):
        """What is on disk."""
        try:
            with open(os.path.join(self.state, "generations.json")) as file:
                return json.load(file)["arms"].get(arm, {"generation": 0})["generation"]
        except FileNotFoundError:
            return 0

    def prefix(self, arm="py3"):
        return [row["prefix"] for row in self.running.show("arms") if row["arm"] == arm][0]

    def activations(self):
        with open(os.path.join(self.state, "audit.log")) as file:
            return [(line["verb"], line.get("namespace_generation"))
                    for line in map(json.loads, file) if line["verb"] in ("start", "retry")]

    def put(self, arm, key, value=b"x"):
        self.running.wire(arm).talk(b"set %s 0 0 %d\r\n%s\r\n" % (key, len(value), value), b"STORED\r\n")

    def get(self, arm, key):
        wire = self.running.wire(arm)
        wire.send(b"get %s\r\n" % key)
        line = wire.line()
        if line == b"END\r\n":
            return None
        value = wire.line()[:-2]
        wire.expect(b"END\r\n")
        return value

    def user_is_on(self):
        with self.running.wire("web") as wire:
            wire.send(b"GET / HTTP/1.1\r\nHost: shop\r\nCookie: dev=1\r\n\r\n")
            wire.until(b"\r\n\r\n")
            return wire.exactly(3).decode()

    def test_g10_nothing_of_an_earlier_attempt_is_served_after_start_or_retry(self):
        daemon = self.begin()
        self.put("py3", b"k", b"before")
        wires = [daemon.wire("py3") for _ in range(8)]  # on both workers
        seen = [self.prefix()]
        for verb in ("start", "retry", "retry"):
            daemon.ctl(verb)
            for wire in wires:
                wire.talk(b"get k\r\n", b"END\r\n")
            self.assertEqual("py3", self.user_is_on())
            self.put("py3", b"k", verb.encode())
            for wire in wires:
                wire.talk(b"get k\r\n", b"VALUE k 0 5\r\n%s\r\nEND\r\n" % verb.encode())
            seen.append(self.prefix())
            daemon.ctl("--reason", "broken", "abort")
            self.assertEqual("py2", self.user_is_on())
        self.assertEqual(4, len(set(seen)), seen)
        self.assertEqual([("start", 1), ("retry", 2), ("retry", 3)], self.activations())
        # Other changes are no activations: what a stage has warmed up stays warm.
        daemon.ctl("retry")
        self.put("py3", b"k", b"warm")
        for change in (("advance",), ("advance",), ("percent", "0.05"), ("pause",), ("resume",),
                       ("--yes", "--reason", "x", "promote")):
            daemon.ctl(*change)
            self.assertEqual(b"warm", self.get("py3", b"k"), change)
        # Neither is a reload, nor a restart.
        daemon.ctl("reload")
        self.assertEqual(b"warm", self.get("py3", b"k"))
        daemon.stop()
        daemon.start()
        self.assertEqual(b"warm", self.get("py3", b"k"))
        self.assertEqual(4, self.generation())

    def rollback(self, **cache):
        """The stable arm goes on with what it had, but for what was invalidated meanwhile."""
        daemon = self.begin(**cache)
        for key in (b"kept", b"deleted", b"changed", b"filled"):
            self.assertIsNone(self.get("py2", key))
            self.put("py2", key, b"old")
        daemon.ctl("start")
        py3 = daemon.wire("py3")
        py3.talk(b"get filled\r\n", b"END\r\n")
        py3.talk(b"set filled 0 0 3\r\nnew\r\n", b"STORED\r\n")
        py3.send(b"delete deleted\r\n").line()
        py3.talk(b"set changed 0 0 3\r\nnew\r\n", b"STORED\r\n")
        daemon.ctl("--reason", "broken", "abort")
        self.assertEqual([b"old", b"old", None, None],
                         [self.get("py2", key) for key in (b"kept", b"filled", b"deleted", b"changed")])
        # What the stable arm invalidates while there is no candidate is not back with the next one.
        self.running.wire("py2").talk(b"delete filled\r\n", b"DELETED\r\n")
        daemon.ctl("retry")
        self.assertEqual([None, None], [self.get("py3", b"filled"), self.get("py3", b"changed")])

    def test_g10_after_a_rollback_the_stable_arm_has_what_nothing_invalidated(self):
        self.rollback()

    def test_g10_and_with_a_namespace_of_its_own(self):
        self.rollback(namespaces=("py2", "py3"))

    def test_g10_a_refused_start_raises_nothing(self):
        daemon = self.begin()
        daemon.ctl("retry", status=3)
        daemon.ctl("--if-generation", "7", "start", status=3)
        self.assertEqual(0, self.generation())
        daemon.ctl("start")
        daemon.ctl("start", status=3)
        self.assertEqual(1, self.generation())

    def test_g10_without_a_durable_generation_nobody_moves(self):
        daemon = self.begin()
        os.mkdir(os.path.join(self.state, "generations.json.new"))
        self.assertEqual("", daemon.ctl("start", status=1))
        self.assertEqual(("idle", 0), (daemon.show("rollout")["state"], self.generation()))
        self.assertEqual("py2", self.user_is_on())
        self.assertFalse(os.path.exists(os.path.join(self.state, "audit.log")))
        os.rmdir(os.path.join(self.state, "generations.json.new"))
        daemon.ctl("start")
        self.assertEqual(("py3", 1), (self.user_is_on(), self.generation()))

    def test_g10_a_state_that_the_disk_refuses_leaves_a_new_generation_and_nobody_on_it(self):
        daemon = self.begin()
        self.put("py3", b"k")
        os.mkdir(os.path.join(self.state, "rollout.json.new"))
        daemon.ctl("start", status=1)
        self.assertEqual(("idle", "py2", 1),
                         (daemon.show("rollout")["state"], self.user_is_on(), self.generation()))
        self.assertIsNone(self.get("py3", b"k"))

    def test_g10_a_delayed_flush_stays_due(self):
        daemon = self.begin()
        daemon.wire("py3").talk(b"flush_all 3600\r\n", b"OK\r\n")
        daemon.ctl("start")
        with open(os.path.join(self.state, "generations.json")) as file:
            arm = json.load(file)["arms"]["py3"]
        self.assertEqual(1, arm["generation"])
        self.assertGreater(arm["due"], 0)

    def test_g10_a_candidate_without_a_prefix_keeps_its_entries_and_that_is_said(self):
        daemon = self.begin(namespaces=("py2", ""))
        self.put("py3", b"k", b"kept")
        daemon.ctl("start")
        self.assertEqual(b"kept", self.get("py3", b"k"))
        self.assertEqual([("start", None)], self.activations())
        self.assertEqual(0, self.generation())
        rows = {row["arm"]: row["activation"] for row in daemon.show("arms")}
        self.assertEqual({"py2": "next generation", "py3": "keeps its entries"}, rows)
        checked = subprocess.run([harness.program("crossfade"), "--check", "-c", daemon.config_path],
                                 stdout=subprocess.PIPE, check=True, timeout=harness.WAIT)
        self.assertIn(b"the keys of py3 have no prefix: after a start or retry it finds what was left",
                      checked.stdout)

    def test_g10_with_epochs_also_keys_of_the_empty_namespace_begin_anew(self):
        daemon = self.begin(namespaces=("py2", ""), coherence="epoch")
        self.assertIsNone(self.get("py3", b"k"))
        self.put("py3", b"k", b"earlier")
        self.assertEqual(b"earlier", self.get("py3", b"k"))
        daemon.ctl("start")
        self.assertIsNone(self.get("py3", b"k"))
        self.assertEqual([("start", 1)], self.activations())
        self.put("py3", b"k", b"later")
        self.put("py2", b"other", b"kept")
        self.assertIn("none of its entries from before is served, but for", daemon.ctl("flush", "py3"))
        self.assertEqual((None, b"kept"), (self.get("py3", b"k"), self.get("py2", b"other")))
        rows = {row["arm"]: row["activation"] for row in daemon.show("arms")}
        self.assertEqual({"py2": "next generation", "py3": "of epoch keys only"}, rows)

    def test_g10_a_rollback_with_epochs(self):
        self.rollback(coherence="epoch")

    def test_g10_a_rollback_with_epochs_and_a_namespace(self):
        self.rollback(namespaces=("py2", "py3"), coherence="epoch")

    def test_g10_who_stays_while_the_arm_is_away_comes_along_when_it_is_back(self):
        daemon = self.begin()
        stays = daemon.wire("py3")
        stays.talk(b"set k 0 0 7\r\nearlier\r\nget k\r\n",
                   b"STORED\r\nVALUE k 0 7\r\nearlier\r\nEND\r\n")
        away = json.loads(json.dumps(self.config))
        del away["rollout"], away["arms"][1], away["cache"]["listen"][1]
        for config, answer in ((away, b"VALUE k 0 7\r\nearlier\r\nEND\r\n"),
                               (self.config, b"VALUE k 0 7\r\nearlier\r\nEND\r\n")):
            daemon.write(config)
            daemon.ctl("reload")
            stays.talk(b"get k\r\n", answer)
        daemon.ctl("start")
        stays.talk(b"get k\r\nset k 0 0 5\r\nlater\r\n", b"END\r\nSTORED\r\n")
        self.assertEqual(b"later", self.get("py3", b"k"))
        self.running.wire("py2").send(b"delete k\r\n").line()
        stays.talk(b"get k\r\n", b"END\r\n")

    # -- kill -9 ----------------------------------------------------------------------------------

    def killed_at(self, blocked, verb):
        """Kills the daemon while it makes that file, at which it stands still."""
        path = os.path.join(self.state, blocked)
        os.mkfifo(path)
        asked = subprocess.Popen(
            [harness.program("crossfadectl"), "--socket", os.path.join(self.folder, "control.sock"), verb],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(asked.wait, harness.WAIT)

        def stands():
            with open("/proc/%d/syscall" % self.running.pid) as file:
                return file.read().split()[0] in ("257", "56")  # openat, here and on 64-bit ARM
        harness.eventually(stands, "the wait for %s" % blocked)
        self.assertEqual("py2", self.user_is_on(), "nobody has moved yet")
        self.running.kill()
        asked.wait(harness.WAIT)
        os.unlink(path)
        self.running.start()

    def test_g10_kill_9_at_each_step(self):
        daemon = self.begin()
        for turn, verb in enumerate(("start", "retry")):
            before = self.generation()
            rest = daemon.show("rollout")["state"]
            self.put("py3", b"k", b"earlier")
            # Before the generation is on disk: all is as it was.
            self.killed_at("generations.json.new", verb)
            self.assertEqual((before, rest), (self.generation(), daemon.show("rollout")["state"]))
            self.assertEqual(b"earlier", self.get("py3", b"k"))
            # Between the generation and the state: a new one, and nobody on it.
            self.killed_at("rollout.json.new", verb)
            self.assertEqual((before + 1, rest), (self.generation(), daemon.show("rollout")["state"]))
            self.assertEqual("py2", self.user_is_on())
            self.put("py3", b"k", b"between")
            # Behind the state: both.
            daemon.ctl(verb)
            daemon.kill()
            daemon.start()
            self.assertEqual((before + 2, "running"),
                             (self.generation(), daemon.show("rollout")["state"]))
            self.assertEqual(("py3", None), (self.user_is_on(), self.get("py3", b"k")))
            daemon.ctl("--reason", "broken", "abort")
        with open(os.path.join(self.state, "audit.log")) as file:
            verbs = [json.loads(line)["verb"] for line in file]
        self.assertEqual(["start", "not-taken", "start", "abort", "retry", "not-taken", "retry", "abort"],
                         verbs)

    def test_g10_kill_9_at_any_moment(self):
        daemon = self.begin()
        chance = random.Random(10)
        running = 0
        for turn in range(15):
            verb = "start" if daemon.show("rollout")["state"] == "idle" else "retry"
            before = self.generation()
            self.put("py3", b"k", b"earlier")
            asked = subprocess.Popen(
                [harness.program("crossfadectl"), "--socket",
                 os.path.join(self.folder, "control.sock"), verb],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(chance.random() * 0.03)
            daemon.kill()
            asked.wait(harness.WAIT)
            daemon.start()
            self.assertIn(self.generation(), (before, before + 1))
            if daemon.show("rollout")["state"] == "running":
                running += 1
                self.assertEqual(before + 1, self.generation())
                self.assertIsNone(self.get("py3", b"k"))
                daemon.ctl("--reason", "broken", "abort")
        print("%d of 15 starts were in force when the daemon was killed" % running)


if __name__ == "__main__":
    harness.main()
