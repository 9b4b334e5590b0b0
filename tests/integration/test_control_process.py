"""What the control socket does to the process: reload, start, shutdown, and the state that outlives."""
import copy
import json
import os
import re
import pwd
import resource
import shutil
import signal
import stat
import subprocess
import threading
import time
import unittest

import control_talk
import harness

ALL_OR_NONE = [{"name": "only", "percent": 0}]


class Reload(control_talk.Test):
    def setUp(self):
        super().setUp()
        self.config = self.everything()
        self.running = self.daemon(self.config)

    def put(self, config):
        """Writes a configuration and has it read; the reply."""
        self.running.write(config)
        return self.talk().ask("reload")

    def test_good(self):
        config = copy.deepcopy(self.config)
        config["rollout"]["stages"][2]["percent"] = 0.5
        talk = self.talk()
        self.running.write(config)
        checked = talk.ok("reload --check")
        self.assertIn("is valid", checked.sentence)
        self.assertEqual(0.1, talk.ok("show stages --json").json[2]["percent"])
        self.assertIn("is in force", talk.ok("reload").sentence)
        self.assertEqual(0.5, talk.ok("show stages --json").json[2]["percent"])

    def test_faults_have_their_place_and_change_nothing(self):
        text = json.dumps(self.config)
        path = self.running.config_path
        lines = ["arms:", "  - { name: py2, namespace: \"\" }", "  - { name: py3, namespase: x }",
                 "process: { workers: many }", "rollot: 1"]
        self.running.write("\n".join(lines) + "\n")
        expected = ["%s:3:%d: " % (path, lines[2].index("namespase") + 1),
                    "%s:4:%d: " % (path, lines[3].index("many") + 1), "%s:5:1: " % path]
        talk = self.talk()
        for line in ("reload --check", "reload"):
            reply = talk.refused(line, "failed", "did you mean")
            self.assertIn("fault", reply.sentence)
            for place in expected:
                self.assertTrue(any(each.startswith(place) for each in reply.lines), reply)
        done = subprocess.run([harness.program("crossfadectl"), "-s",
                               os.path.join(self.folder, "control.sock"), "reload"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=harness.WAIT)
        self.assertEqual((1, b""), (done.returncode, done.stdout))
        self.assertIn(expected[2].encode(), done.stderr)
        # In the log each has a line of its own.
        for place in expected:
            self.assertIn(("reload: " + place).encode(), self.running.log())
        # The daemon's own check says the same.
        check = subprocess.run([harness.program("crossfade"), "--check", "-c", path],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=harness.WAIT)
        self.assertEqual(1, check.returncode)
        self.assertIn(expected[0].encode(), check.stderr)
        for wrong in ("", "- 1", "{", "\0", "a: b: c", "x: *y"):
            self.running.write(wrong)
            self.assertEqual("failed", talk.ask("reload").code, wrong)
        os.unlink(path)
        self.assertIn(path, talk.refused("reload", "failed").text)
        self.assertEqual(5, len(talk.ok("show stages --json").json))
        self.running.write(json.loads(text))
        talk.ok("reload")

    def test_very_many_faults_still_are_one_reply(self):
        self.running.write("arms: []\n" + "".join("unknown%d: 1\n" % n for n in range(500)))
        self.assertFalse(self.talk().ask("reload").ok)
        self.talk().ok("version")

    def test_by_signal_too(self):
        config = copy.deepcopy(self.config)
        config["rollout"]["stages"].pop()
        self.running.write(config)
        self.running.reload()
        talk = self.talk()
        harness.eventually(lambda: len(talk.ok("show stages --json").json) == 4)

    def test_listeners_come_and_go(self):
        config = copy.deepcopy(self.config)
        config["cache"]["listen"].append({"address": "127.0.0.1:@more@", "arm": "py3"})
        config["web"]["listen"] = [{"address": "127.0.0.1:@web2@"}]
        kept = self.running.wire("py2")
        old = self.running.wire("web")
        old.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").until(b"py2")
        self.assertTrue(self.put(config).ok)
        more = self.running.wire("more")
        self.running.wire("py3").talk(b"set k 0 0 1\r\nx\r\n", b"STORED\r\n")
        more.talk(b"get k\r\n", b"VALUE k 0 1\r\nx\r\nEND\r\n")
        self.running.wire("web2").send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").until(b"py2")
        self.assertFalse(harness.accepts(self.running.port("web")))
        kept.talk(b"get k\r\n", b"END\r\n")  # who was there stays
        self.assertTrue(self.put(self.config).ok)
        self.assertFalse(harness.accepts(self.running.port("more")))
        self.assertFalse(harness.accepts(self.running.port("web2")))
        self.assertTrue(harness.accepts(self.running.port("web")))
        kept.talk(b"get k\r\n", b"END\r\n")

    def test_a_listener_that_cannot_open_changes_nothing(self):
        config = copy.deepcopy(self.config)
        taken = self.memcached()
        config["cache"]["listen"].append({"address": taken.address, "arm": "py3"})
        config["cache"]["listen"].append({"address": "127.0.0.1:@more@", "arm": "py3"})
        config["control"]["sockets"].append({"path": "@dir@/new.sock"})
        config["rollout"]["stages"].pop()
        reply = self.put(config)
        self.assertEqual("failed", reply.code)
        self.assertIn(taken.address, reply.text)
        self.assertIn("in use", reply.text)
        self.assertFalse(harness.accepts(self.running.port("more")))
        self.assertFalse(os.path.exists(os.path.join(self.folder, "new.sock")))
        self.assertEqual(5, len(self.talk().ok("show stages --json").json))
        # Nor a control socket or an admin address that cannot: all is as before, both.
        for change in ({"sockets": config["control"]["sockets"][:3] +
                        [{"path": "@dir@/new.sock"}, {"path": "@dir@/none/none/x.sock"}]},
                       {"http": taken.address},
                       {"http": "127.0.0.1:@admin2@", "sockets": [{"path": "@dir@/none/none/x"}]}):
            config = copy.deepcopy(self.config)
            config["control"].update(change)
            self.assertEqual("failed", self.put(config).code, change)
            self.assertFalse(os.path.exists(os.path.join(self.folder, "new.sock")))
            self.assertTrue(harness.accepts(self.running.port("admin")))
            self.assertFalse(harness.accepts(self.running.port("admin2")))
            self.talk().ok("version")
            self.talk("read").ok("version")

    def test_control_sockets_come_and_go(self):
        config = copy.deepcopy(self.config)
        config["control"]["sockets"][1] = {"path": "@dir@/new.sock", "level": "admin"}
        config["control"]["http"] = "127.0.0.1:@admin2@"
        talk, going, operator = self.talk(), self.talk("operate"), self.talk("operate")
        going.ok("version")
        self.assertTrue(self.put(config).ok)
        self.assertFalse(harness.accepts(os.path.join(self.folder, "operate.sock")))
        going.expect_end()
        operator.expect_end()
        self.talk("new").ok("log")
        talk.ok("version")
        self.assertTrue(harness.accepts(self.running.port("admin2")))
        self.assertFalse(harness.accepts(self.running.port("admin")))
        config["control"]["http"] = "off"
        config["control"]["sockets"] = config["control"]["sockets"][:1]
        self.assertTrue(self.put(config).ok)
        self.assertFalse(harness.accepts(self.running.port("admin2")))
        self.assertEqual(["control.sock"],
                         [name for name in os.listdir(self.folder) if name.endswith(".sock")])

    def test_the_socket_that_is_removed_still_gets_the_reply(self):
        config = copy.deepcopy(self.config)
        config["control"]["sockets"] = [{"path": "@dir@/new.sock", "level": "admin"}]
        self.running.write(config)
        talk = self.talk()
        talk.send(b"reload; start\nstart\n")
        self.assertIn("is in force", talk.reply().text)
        talk.expect_end()  # and nothing after it was done
        self.assertEqual("idle", self.talk("new").ok("show rollout --json").json["state"])

    def test_a_level_changes_under_who_is_there(self):
        config = copy.deepcopy(self.config)
        config["control"]["sockets"][1]["level"] = "read"
        operator = self.talk("operate")
        operator.ok("start")
        self.assertTrue(self.put(config).ok)
        operator.refused("abort", "denied", "level read")
        self.assertTrue(self.put(self.config).ok)
        operator.ok("abort")

    def test_what_waits_for_a_restart_is_said(self):
        config = copy.deepcopy(self.config)
        config["process"].update(workers=3, state_dir="@dir@/elsewhere")
        self.talk().ok('start reason="before"')
        reply = self.put(config)
        self.assertTrue(reply.ok)
        self.assertIn("process.workers stays 2 until a restart", reply.lines)
        self.assertIn("process.state_dir stays %s/state until a restart" % self.folder, reply.lines)
        self.talk().ok('pause reason="after"')
        self.assertEqual(["before", "after"], [row["reason"] for row in
                                               self.talk().ok("show events --json").json])
        self.assertFalse(os.path.exists(os.path.join(self.folder, "elsewhere")))
        shutil.rmtree(os.path.join(self.folder, "state"))
        self.assertIn(self.folder + "/state.", self.talk().ask("resume").text)

    def test_a_reload_may_not_move_users(self):
        talk = self.talk()
        talk.ok("start")
        config = copy.deepcopy(self.config)
        config["rollout"]["salt"] = "another"
        self.assertIn("not reloaded", self.put(config).text)
        del config["rollout"], config["web"]
        self.assertIn("not reloaded", self.put(config).text)
        talk.ok("show rollout")
        talk.ok("abort")
        self.assertTrue(self.put(config).ok)
        talk.refused("show rollout", "refused", "no rollout section")

    def test_log_level(self):
        talk = self.talk()
        self.assertEqual("the log level is info", talk.ok("log").sentence)
        talk.ok("log warn")
        self.assertEqual("the log level is warn", talk.ok("log").sentence)
        mark = len(self.running.log())
        talk.ok("start")  # logged at info
        talk.ok("log info")
        talk.ok("pause")
        harness.eventually(lambda: b"control: pause by" in self.running.log()[mark:])
        self.assertNotIn(b"control: start by", self.running.log()[mark:])
        # The configuration's level is back after a reload.
        talk.ok("log debug")
        talk.ok("reload")
        self.assertEqual("the log level is info", talk.ok("log").sentence)


    def test_a_json_log_is_one_object_a_line(self):
        config = copy.deepcopy(self.config)
        config["process"]["log"] = {"level": "info", "format": "json"}
        self.assertTrue(self.put(config).ok)
        mark = len(self.running.log())
        talk = self.talk()
        talk.ok("start")
        talk.ok('abort reason="ü \\"q\\" \\\\"')
        talk.refused(b'flush "\xff"\n', "refused")
        self.running.write("a:\n  - b\nc: 1\n")
        talk.refused("reload", "failed")
        lines = [json.loads(line) for line in self.running.log()[mark:].splitlines()]
        self.assertEqual({"info"} | {"error"}, {line["level"] for line in lines})
        self.assertTrue(any('(ü "q" \\)' in line["message"] for line in lines), lines)


class Rollout(control_talk.Test):
    def test_if_generation_guards(self):
        daemon = self.daemon(self.everything())
        talk = self.talk()
        generation = talk.ok("show rollout --json").json["generation"]
        talk.ok("start if-generation=%d" % generation)
        for verb in ("advance", "pause", "hold", "percent 0", "abort", "promote reason=x"):
            talk.refused("%s if-generation=%d" % (verb, generation), "refused", "moved on")
        self.assertEqual(generation + 1, talk.ok("show rollout --json").json["generation"])
        daemon.ctl("--if-generation", generation + 1, "pause")
        daemon.ctl("--if-generation", generation + 1, "resume", status=3)
        # Of many at once exactly one gets through.
        talks = [self.talk() for _ in range(8)]
        for each in talks:
            each.send(b"resume if-generation=%d\n" % (generation + 2))
        self.assertEqual(1, sum(each.reply().ok for each in talks))

    def test_events_are_the_audit_log(self):
        self.daemon(self.everything())
        talk = self.talk()
        self.assertEqual([], talk.ok("show events --json").json)
        changes = ["start", "advance", "percent 0.0501", "pause", "resume", "hold", "abort",
                   "retry", "abort", "reset"]
        for n, change in enumerate(changes):
            talk.ok('%s reason="why %d"' % (change, n))
        talk.refused("advance reason=never", "refused")
        with open(os.path.join(self.folder, "state", "audit.log")) as file:
            lines = [json.loads(line) for line in file]
        rows = talk.ok("show events --json").json
        self.assertEqual([change.split()[0] for change in changes], [row["verb"] for row in rows])
        self.assertEqual(["why %d" % n for n in range(len(changes))],
                         [row["reason"] for row in rows])
        for line, row in zip(lines, rows):
            self.assertEqual(line, {name: row[name] for name in line})
            self.assertIn("pid %d" % os.getpid(), row["by"])
        self.assertEqual(("running canary"[:7], 0.0501),
                         (rows[2]["now"][:7], rows[2]["to"]["percent"]))
        self.assertEqual(["abort", "reset"],
                         [row["verb"] for row in talk.ok("show events 2 --json").json])
        # Of a long log, the end; a line that somebody has spoilt is left out.
        with open(os.path.join(self.folder, "state", "audit.log"), "a") as file:
            file.write("nonsense\n[1]\n\n")
            for n in range(3000):
                file.write(json.dumps(dict(lines[0], reason="x" * 200, generation=n)) + "\n")
        rows = talk.ok("show events 200 --json").json
        self.assertEqual(list(range(2800, 3000)), [row["generation"] for row in rows])
        with open(os.path.join(self.folder, "state", "audit.log"), "a") as file:
            file.write("nonsense\n[1]\n\n" + '{"verb":"torn')
        self.assertEqual(2999, talk.ok("show events 1 --json").json[0]["generation"])

    def test_abort_is_latched_over_restart_and_kill(self):
        config = self.everything([{"name": "all", "percent": 100}])
        daemon = self.daemon(config)
        self.talk().ok("start")
        self.assertEqual(b"py3", self.arm(daemon))
        self.talk().ok("abort reason=broken")
        self.assertEqual(b"py2", self.arm(daemon))
        daemon.child.send_signal(signal.SIGTERM)
        daemon.wait(0)
        daemon.start()
        self.still_aborted(daemon)
        daemon.kill()
        daemon.start()
        self.still_aborted(daemon)
        self.talk().ok("reload")
        self.still_aborted(daemon)
        self.talk().ok("retry")
        self.assertEqual(b"py3", self.arm(daemon))
        # Also the very moment after the reply.
        for verb, state in (("abort", "aborted"), ("retry", "running"), ("abort", "aborted")):
            self.talk().ok(verb)
            daemon.kill()
            daemon.start()
            self.assertEqual(state, daemon.show("rollout")["state"])

    def still_aborted(self, daemon):
        status = daemon.show("rollout")
        self.assertEqual(("aborted", "broken", 0),
                         (status["state"], status["reason"], status["percent"]))
        self.assertEqual(b"py2", self.arm(daemon))
        for line in ("start", "advance", "percent 1", "resume", "pause", "promote"):
            self.talk().refused(line, "refused", "aborted")

    def arm(self, daemon):
        wire = daemon.wire("web")
        wire.send(b"GET / HTTP/1.1\r\nHost: h\r\nX-User-Id: u\r\n\r\n").until(b"\r\n\r\n")
        return wire.exactly(3)


class Decision(control_talk.Test):
    """A change has reached every worker before its reply: what is asked later obeys it."""

    CONNECTIONS = 12
    ROUNDS = 25

    def test_no_later_request_goes_to_the_other_arm(self):
        daemon = self.daemon(self.everything(ALL_OR_NONE))
        talk = self.talk()
        talk.ok("start")
        stop = threading.Event()
        since = {"py2": 0.0, "py3": float("inf")}  # from when on only this arm may be chosen
        wrong, counts = [], []

        def load(number):
            wire, count = daemon.wire("web"), 0
            while not stop.is_set():
                limits = dict(since)
                arm = self.ask(wire, "load-%d-%d" % (number, count))
                count += 1
                if limits[arm] == float("inf") and since == limits:
                    wrong.append((number, count, arm, limits))
            counts.append(count)

        threads = [threading.Thread(target=load, args=(n,), daemon=True) for n in range(4)]
        for thread in threads:
            thread.start()
        wires = [daemon.wire("web") for _ in range(self.CONNECTIONS)]
        for n in range(self.ROUNDS):
            for change, arm, other in (("percent 100", "py3", "py2"), ("percent 0", "py2", "py3"),
                                       ("percent 100", "py3", "py2"), ("abort", "py2", "py3"),
                                       ("retry", "py2", "py3")):
                since[arm] = since[other] = 0.0
                talk.ok(change)
                since[other] = float("inf")
                for m, wire in enumerate(wires):
                    self.assertEqual(arm, self.ask(wire, "u%d-%d" % (n, m)), change)
        stop.set()
        for thread in threads:
            thread.join(harness.WAIT)
        self.assertEqual([], wrong)
        self.assertEqual(4, len(counts))
        self.assertTrue(all(count > 50 for count in counts), counts)
        # The connections went to both workers, or this proves little.
        accepted = control_talk.metrics(daemon)[0]["crossfade_worker_web_accepted_total"]
        self.assertTrue(all(accepted.value(worker=worker) > 1 for worker in "01"))

    def test_a_worker_in_a_long_turn_is_waited_for(self):
        """Each worker is kept in turns as long as they get, and finds the question while in one."""
        daemon = self.daemon(self.everything(ALL_OR_NONE))
        daemon.wire("py2").talk(b"set k 0 0 1\r\nx\r\n", b"STORED\r\n")
        talk = self.talk()
        talk.ok("start")
        stop = threading.Event()
        busy = [daemon.wire("py2") for _ in range(8)]
        batch = b"get k\r\n" * 4000

        def load(wire):
            while not stop.is_set():
                wire.send(batch)
                wire.exactly(len(b"VALUE k 0 1\r\nx\r\nEND\r\n") * 4000)

        threads = [threading.Thread(target=load, args=(wire,), daemon=True) for wire in busy]
        for thread in threads:
            thread.start()
        wires = [daemon.wire("web") for _ in range(self.CONNECTIONS)]
        question = b"GET / HTTP/1.1\r\nHost: h\r\nX-User-Id: u\r\n\r\n"
        for n in range(120):
            change, arm = (("percent 100", b"py3"), ("percent 0", b"py2"))[n % 2]
            for wire in wires:
                wire.send(question)
            talk.ok(change)
            for wire in wires:
                wire.send(question)
            for wire in wires:
                wire.until(b"\r\n\r\npy")
                wire.exactly(1)
                wire.until(b"\r\n\r\n")
                self.assertEqual(arm, wire.exactly(3), change)
        stop.set()
        for thread in threads:
            thread.join(harness.WAIT)

    def ask(self, wire, user):
        wire.send(b"GET / HTTP/1.1\r\nHost: h\r\nX-User-Id: %s\r\n\r\n" % user.encode())
        wire.until(b"\r\n\r\n")
        return wire.exactly(3).decode()


class Stop(control_talk.Test):
    def setUp(self):
        super().setUp()
        self.go = threading.Event()
        self.addCleanup(self.go.set)

    def slow(self, request):
        if request.target == "/slow":
            self.go.wait(harness.WAIT)
        return harness.response(b"done")

    def slow_daemon(self):
        config = self.everything()
        config["arms"][0]["backends"] = [self.backend("slow", self.slow).address]
        config["web"]["timeouts"]["response"] = "20s"
        return self.daemon(config)

    def health(self, daemon, path=b"/healthz"):
        wire = daemon.wire("admin")
        wire.send(b"GET %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" % path)
        return int(wire.rest().split()[1])

    def test_shutdown_lets_a_request_finish(self):
        daemon = self.slow_daemon()
        self.assertEqual((200, 200), (self.health(daemon), self.health(daemon, b"/readyz")))
        wire, idle = daemon.wire("web"), daemon.wire("web")
        wire.send(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
        talk = self.talk()
        harness.eventually(lambda: any(row["active"] for row in
                                       talk.ok("show backends --json").json))
        self.assertIn("stopping", talk.ok("shutdown drain=15s").sentence)
        harness.eventually(lambda: self.health(daemon) == 503)
        self.assertEqual(503, self.health(daemon, b"/readyz"))
        harness.eventually(lambda: not harness.accepts(daemon.port("web")))
        idle.expect_end()
        wire.silence(0.1)
        self.talk().ok("show rollout")
        self.talk().refused("reload", "failed", "stopping")
        daemon.reload()
        harness.eventually(lambda: daemon.log().count(b"reload: not reloaded") == 2)
        self.assertFalse(harness.accepts(daemon.port("web")))
        self.go.set()
        wire.until(b"\r\n\r\ndone")
        wire.expect_end()
        daemon.wait(0)
        self.assertEqual([], [name for name in os.listdir(self.folder) if name.endswith(".sock")])

    def test_shutdown_has_an_end(self):
        daemon = self.slow_daemon()
        wire = daemon.wire("web")
        wire.send(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
        harness.eventually(lambda: any(row["active"] for row in daemon.show("backends")))
        began = time.monotonic()
        daemon.ctl("shutdown", "--drain", "300ms")
        daemon.wait(0)
        self.assertTrue(0.25 < time.monotonic() - began < 5)
        self.assertNotIn(b"done", wire.rest())

    def test_shutdown_at_once(self):
        daemon = self.slow_daemon()
        wire = daemon.wire("web")
        wire.send(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
        harness.eventually(lambda: any(row["active"] for row in daemon.show("backends")))
        self.talk().ok("shutdown drain=0s").sentence
        daemon.wait(0)

    def test_a_second_shutdown_is_at_once(self):
        daemon = self.slow_daemon()
        wire = daemon.wire("web")
        wire.send(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
        harness.eventually(lambda: any(row["active"] for row in daemon.show("backends")))
        self.talk().ok("shutdown drain=60s")
        self.talk().ok("shutdown drain=60s")
        daemon.wait(0)

    def test_nobody_has_to_wait_for_the_reply(self):
        daemon = self.daemon(self.everything())
        talk = self.talk()
        talk.send(b"show stats; show stats; shutdown drain=1s\n")
        talk.close()
        daemon.wait(0)

    def test_a_deaf_peer_does_not_keep_it(self):
        daemon = self.daemon(self.everything())
        deaf = self.talk()
        deaf.sock.settimeout(0.2)
        try:
            while True:
                deaf.sock.send(b"show stats\n" * 100)
        except OSError:
            pass
        self.talk().ok("shutdown drain=1s")
        daemon.wait(0)


class Scarcity(control_talk.Test):
    def test_out_of_descriptors(self):
        daemon = self.daemon(self.everything())
        talk = self.talk()
        talk.ok("start")
        used = {int(name) for name in os.listdir("/proc/%d/fd" % daemon.pid)}
        lowest = next(n for n in range(10000) if n not in used)
        before = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (lowest, before[1]))
        late, web = self.talk(), daemon.wire("admin")
        late.send(b"version\n")
        web.send(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
        harness.eventually(lambda: daemon.log().count(b"cannot accept connections") >= 2)
        spent = daemon.cpu_seconds()
        late.silence(1.0)
        self.assertLess(daemon.cpu_seconds() - spent, 0.3)  # it does not ask again and again
        self.assertLess(daemon.log().count(b"cannot accept connections"), 20)
        # Who is there is served; its file needs a descriptor, too, and is written once there is one.
        talk.refused("abort", "degraded", "in effect, but not on disk")
        self.assertIn("Too many open files", talk.ok("show rollout --json").json["unsaved"])
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, before)
        self.assertTrue(late.reply().ok)
        web.until(b"ok\n")
        harness.eventually(lambda: "unsaved" not in talk.ok("show rollout --json").json)
        with open(os.path.join(self.folder, "state", "rollout.json")) as file:
            self.assertIn("aborted", file.read())


class Start(control_talk.Test):
    def users_of(self, daemon):
        """The real, effective and saved ones."""
        with open("/proc/%d/status" % daemon.pid) as file:
            line = re.search(r"^Uid:(.*)$", file.read(), re.M).group(1)
        return {int(user) for user in line.split()}

    @unittest.skipUnless(os.geteuid() == 0, "only root becomes another user")
    def test_another_user(self):
        os.chmod(self.folder, 0o755)
        nobody = pwd.getpwnam("nobody").pw_uid
        config = self.everything()
        config["process"].update(user="nobody", state_dir="@dir@/fresh")
        config["cache"]["listen"][0].update(address="unix:@dir@/cache.sock", mode="0660")
        config["control"]["sockets"].append({"path": "@dir@/made/read.sock", "level": "read"})
        daemon = self.daemon(config)
        # Its addresses are open a moment before it becomes another user.
        harness.eventually(lambda: self.users_of(daemon) == {nobody}, "another user")
        state = os.path.join(self.folder, "fresh")
        self.assertEqual((nobody, 0o750), (os.stat(state).st_uid,
                                           stat.S_IMODE(os.stat(state).st_mode)))
        talk = self.talk()
        talk.ok("start; abort; flush py3")
        self.assertTrue(talk.reply().ok and talk.reply().ok)
        self.assertEqual({nobody}, {os.stat(os.path.join(state, name)).st_uid
                                    for name in os.listdir(state)})
        # The sockets that root has made are its own, with their new modes and their end.
        sockets = [os.path.join(self.folder, name) for name in ("operate.sock", "cache.sock")]
        self.assertEqual([nobody] * 2, [os.stat(path).st_uid for path in sockets])
        config["control"]["sockets"][1]["mode"] = "0600"
        config["cache"]["listen"][0]["mode"] = "0600"
        daemon.write(config)
        talk.ok("reload")
        self.assertEqual([0o600] * 2, [stat.S_IMODE(os.stat(path).st_mode) for path in sockets])
        self.assertNotIn(b"cannot be", daemon.log())
        folder = os.path.join(self.folder, "made")
        self.assertEqual((nobody, 0o755), (os.stat(folder).st_uid,
                                           stat.S_IMODE(os.stat(folder).st_mode)))
        daemon.stop()
        daemon.expected_end = 0
        self.assertEqual([], os.listdir(folder))

    def refused(self, daemon, config, *words):
        """A second daemon with this configuration ends at once, with these words."""
        path = os.path.join(self.folder, "second.yaml")
        with open(path, "w") as file:
            file.write(daemon.render(config))
        done = subprocess.run([harness.program("crossfade"), "-c", path], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=harness.WAIT,
                              universal_newlines=True)
        self.assertEqual(1, done.returncode, done.stdout)
        for word in words:
            self.assertIn(word, done.stdout)

    def test_a_second_daemon_is_refused(self):
        config = self.everything()
        daemon = self.daemon(config)
        second = copy.deepcopy(config)
        self.refused(daemon, second, "not started", "127.0.0.1:%d" % daemon.port("py2"), "in use")
        second["cache"]["listen"] = [{"address": "127.0.0.1:@second1@", "arm": "py2"}]
        self.refused(daemon, second, "127.0.0.1:%d" % daemon.port("web"), "in use")
        second["web"]["listen"] = [{"address": "127.0.0.1:@second2@"}]
        self.refused(daemon, second, "127.0.0.1:%d" % daemon.port("admin"), "control.http", "in use")
        second["control"]["http"] = "off"
        self.refused(daemon, second, self.folder + "/control.sock", "another process is listening")
        second["control"]["sockets"] = [{"path": "@dir@/second.sock"}]
        self.refused(daemon, second, self.folder + "/state", "in use by another crossfade",
                     "process %d" % daemon.pid)
        # The first has lost nothing by it.
        self.talk().ok("start")
        daemon.wire("py2").talk(b"get k\r\n", b"END\r\n")
        self.assertFalse(os.path.exists(os.path.join(self.folder, "second.sock")))
        second["process"]["state_dir"] = "@dir@/second"
        other = harness.Daemon.__new__(harness.Daemon)  # now it may
        path = os.path.join(self.folder, "second.yaml")
        with open(path, "w") as file:
            file.write(daemon.render(second))
        harness.Process.__init__(other, self.folder)
        other.name = "second"
        other.spawn([harness.program("crossfade"), "-c", path])
        self.addCleanup(other.kill)
        other.wait_ready(lambda: harness.accepts(daemon.port("second1")))
        self.assertTrue(other.running(), other.log_text())

    def test_a_socket_left_behind_is_no_obstacle_and_a_file_is(self):
        daemon = self.daemon(self.everything())
        daemon.kill()
        self.assertTrue(os.path.exists(os.path.join(self.folder, "control.sock")))
        daemon.start()
        self.talk().ok("version")
        config = copy.deepcopy(daemon.source)
        with open(os.path.join(self.folder, "precious"), "w") as file:
            file.write("mine")
        config["control"]["sockets"].append({"path": "@dir@/precious"})
        daemon.write(config)
        self.assertIn("no socket", self.talk().ask("reload").text)
        with open(os.path.join(self.folder, "precious")) as file:
            self.assertEqual("mine", file.read())

    def test_a_state_folder_that_cannot_be_used(self):
        config = self.everything()
        daemon = self.daemon(config)
        second = copy.deepcopy(config)
        second["cache"]["listen"] = [{"address": "127.0.0.1:@second1@", "arm": "py2"}]
        second["web"]["listen"] = [{"address": "127.0.0.1:@second2@"}]
        second["control"] = {"http": "off", "sockets": [{"path": "@dir@/second.sock"}]}
        with open(os.path.join(self.folder, "file"), "w"):
            pass
        for folder in ("@dir@/file", "/proc/crossfade"):
            second["process"]["state_dir"] = folder
            self.refused(daemon, second, "not started", daemon.render(folder))
        os.mkdir(os.path.join(self.folder, "broken"))
        with open(os.path.join(self.folder, "broken", "rollout.json"), "w") as file:
            file.write("{ what?")
        second["process"]["state_dir"] = "@dir@/broken"
        self.refused(daemon, second, self.folder + "/broken/rollout.json")
        with open(os.path.join(self.folder, "broken", "rollout.json")) as file:
            self.assertEqual("{ what?", file.read())


if __name__ == "__main__":
    harness.main()
