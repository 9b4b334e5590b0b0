"""The rollout on the real daemon: who goes where, what a kill -9 leaves, what a reload may change."""
import hashlib
import json
import os
import random

import harness


def moves_at(salt, identity):
    """The least percentage, in steps of 0.0001 %, by the formula of doc/rollout.md."""
    digest = hashlib.sha256(salt + b"\0" + identity).digest()
    return -(-(int.from_bytes(digest[:8], "big") + 1) * 10 ** 6 // 2 ** 64)


class Rollout(harness.Test):
    def start(self, **changes):
        self.stable, self.candidate = self.backend("py2"), self.backend("py3")
        self.config = harness.web_config(self.stable, self.candidate)
        self.config["rollout"].update(changes)
        self.running = self.daemon(self.config)
        self.wire = self.running.wire("web")

    def ask(self, *headers):
        """The head of the answer, and the arm that gave it."""
        self.wire.send(b"GET / HTTP/1.1\r\nHost: shop\r\n" +
                       b"".join(each + b"\r\n" for each in headers) + b"\r\n")
        head = self.wire.until(b"\r\n\r\n")
        return head, self.wire.exactly(3).decode()

    def arm(self, *headers):
        return self.ask(*headers)[1]

    def arm_of(self, identity):
        return self.arm(b"X-User-Id: " + identity)

    def audit(self):
        with open(os.path.join(self.folder, "state", "audit.log"), "rb") as file:
            return [json.loads(line) for line in file.read().decode().splitlines()]

    def test_the_arm_is_the_one_that_the_formula_gives(self):
        self.start()
        users = [b"user-%d" % n for n in range(300)] + [b"J\xc3\xbcrgen", b"x" * 512]
        self.running.ctl("start")
        self.assertEqual("py3", self.arm(b"Cookie: dev=1"))
        self.assertEqual("py2", self.arm(b"Cookie: dev=2"))
        self.assertEqual("py2", self.arm(b"X-Employee: 1"))
        self.running.ctl("advance")
        self.assertEqual("py3", self.arm(b"X-Employee: 1"))
        self.assertEqual("py3", self.arm(b"Cookie: dev=1"))
        self.running.ctl("advance")
        for percent in (0.1, 3.1415, 19.9999, 5):
            self.running.ctl("percent", percent)
            for user in users:
                wanted = "py3" if moves_at(b"integration", user) <= round(percent * 10000) else "py2"
                self.assertEqual(wanted, self.arm_of(user), "%r at %s" % (user, percent))
        self.assertEqual("py2", self.arm(), "without an identity")
        self.assertEqual("py2", self.arm_of(b"x" * 513), "too long to be one")
        edge = users[7]
        at = moves_at(b"integration", edge)
        self.running.ctl("advance")
        self.running.ctl("advance")
        self.running.ctl("percent", "%.4f" % ((at - 1) / 10000))
        self.assertEqual("py2", self.arm_of(edge))
        self.running.ctl("percent", "%.4f" % (at / 10000))
        self.assertEqual("py3", self.arm_of(edge))

    def test_an_issued_identity_is_kept_and_a_forged_one_replaced(self):
        self.start(identity=["issue:cf_id"])
        self.running.ctl("start")
        self.assertNotIn(b"Set-Cookie", self.ask()[0], "nothing depends on it yet")
        for _ in range(4):
            self.running.ctl("advance")
        self.running.ctl("percent", 50)
        arms = set()
        for _ in range(40):
            head, arm = self.ask()
            cookie = head.split(b"Set-Cookie: cf_id=")[1].split(b";")[0]
            for _ in range(3):
                again, same = self.ask(b"Cookie: a=b; cf_id=" + cookie)
                self.assertEqual(arm, same)
                self.assertNotIn(b"Set-Cookie", again)
            wanted = "py3" if moves_at(b"integration", cookie.split(b".")[0]) <= 500000 else "py2"
            self.assertEqual(wanted, arm)
            arms.add(arm)
            forged = (b"B" if cookie[:1] == b"A" else b"A") + cookie[1:]
            self.assertIn(b"Set-Cookie: cf_id=", self.ask(b"Cookie: cf_id=" + forged)[0])
        self.assertEqual({"py2", "py3"}, arms)

    def test_a_change_is_in_force_when_the_command_returns(self):
        self.start()
        self.running.ctl("start")
        wires = [self.running.wire("web") for _ in range(8)]  # on both workers
        for _ in range(25):
            for verb, wanted in (("abort", b"py2"), ("retry", b"py3")):
                self.running.ctl(verb)
                for wire in wires:
                    wire.send(b"GET / HTTP/1.1\r\nHost: shop\r\nCookie: dev=1\r\n\r\n")
                    wire.until(b"\r\n\r\n")
                    self.assertEqual(wanted, wire.exactly(3), verb)

    def test_kill_9_leaves_the_state_that_was_answered_for(self):
        self.start()
        chance = random.Random(25)
        self.running.ctl("start")
        verbs = ["advance", "pause", "resume", "hold", "abort", "retry", "percent", "promote", "reset",
                 "start"]
        for _ in range(12):
            for _ in range(chance.randrange(1, 6)):
                verb = chance.choice(verbs)
                more = [chance.choice(["0.05", "0", "7.5"])] if verb == "percent" else []
                self.running.ctl("--yes", "--reason", "at random", verb, *more, status=None)
            before = self.running.show("rollout")
            self.running.kill()
            self.running.start()
            self.wire = self.running.wire("web")
            self.assertEqual(before, self.running.show("rollout"))
            if before["state"] in ("idle", "aborted"):
                self.assertEqual("py2", self.arm(b"Cookie: dev=1"))
            else:
                self.assertEqual("py3", self.arm(b"Cookie: dev=1"))
        lines = self.audit()
        for earlier, later in zip(lines, lines[1:]):
            self.assertEqual(earlier["to"], later["from"])
            self.assertEqual(earlier["generation"] + 1, later["generation"])
        self.assertEqual(before["generation"], lines[-1]["generation"])

    def test_an_abort_is_latched_over_reload_and_restart(self):
        self.start()
        self.running.ctl("start")
        self.running.ctl("--reason", "5xx", "abort")
        self.running.ctl("reload")
        self.assertEqual("py2", self.arm(b"Cookie: dev=1"))
        self.running.stop()
        self.running.start()
        self.wire = self.running.wire("web")
        self.assertEqual("aborted", self.running.show("rollout")["state"])
        self.running.ctl("advance", status=3)
        self.assertEqual("py2", self.arm(b"Cookie: dev=1"))
        self.running.ctl("retry")
        self.assertEqual("py3", self.arm(b"Cookie: dev=1"))

    def test_a_reload_that_would_move_users_is_refused(self):
        self.start()
        self.running.ctl("start")
        for change in ({"salt": "another"}, {"name": "python4"}, {"from": "py3", "to": "py2"}):
            other = json.loads(json.dumps(self.config))
            other["rollout"].update(change)
            self.running.write(other)
            self.running.ctl("reload", status=1)
            self.assertEqual("py3", self.arm(b"Cookie: dev=1"))
            self.assertEqual("running", self.running.show("rollout")["state"])
        without = json.loads(json.dumps(self.config))
        del without["rollout"]
        self.running.write(without)
        self.running.ctl("reload", status=1)
        self.running.write(self.config)
        self.running.ctl("reload")
        self.assertEqual("py3", self.arm(b"Cookie: dev=1"))

    def test_the_same_at_a_start_holds_with_everyone_on_stable(self):
        self.start()
        self.running.ctl("start")
        self.running.stop()
        other = json.loads(json.dumps(self.config))
        other["rollout"]["salt"] = "another"
        self.running.source = other
        self.running.start()
        self.wire = self.running.wire("web")
        self.assertEqual("held", self.running.show("rollout")["state"])
        self.assertEqual("py2", self.arm(b"Cookie: dev=1"))
        self.running.ctl("resume", status=3)
        self.running.write(self.config)
        self.running.ctl("reload")
        self.running.ctl("resume")
        self.assertEqual("py3", self.arm(b"Cookie: dev=1"))

    def test_the_next_rollout_begins_where_the_last_one_ended(self):
        self.start()
        self.running.ctl("start")
        self.running.ctl("--yes", "--reason", "small site", "promote")
        self.assertEqual("py3", self.arm())
        following = json.loads(json.dumps(self.config))
        following["arms"].append({"name": "py4", "namespace": "py4",
                                  "backends": [self.backend("py4").address]})
        following["rollout"].update({"name": "python4", "salt": "4", "from": "py3", "to": "py4"})
        self.running.write(following)
        self.running.ctl("reload")
        self.assertEqual("idle", self.running.show("rollout")["state"])
        self.assertEqual("py3", self.arm(b"Cookie: dev=1"))
        self.running.ctl("start")
        self.assertEqual("py4", self.arm(b"Cookie: dev=1"))
        self.assertEqual("py3", self.arm())

    def test_a_damaged_state_keeps_the_daemon_from_starting(self):
        self.start()
        self.running.ctl("start")
        self.running.stop()
        path = os.path.join(self.folder, "state", "rollout.json")
        with open(path, "rb") as file:
            good = file.read()
        with open(path, "wb") as file:
            file.write(good[:-20])
        # Again and again: it takes no connection, not for a moment, before it is able to serve.
        for _ in range(10):
            with self.assertRaisesRegex(AssertionError, "rollout.json is no JSON"):
                self.running.start()
        with open(path, "wb") as file:
            file.write(good)
        self.running.start()
        self.assertEqual("running", self.running.show("rollout")["state"])


if __name__ == "__main__":
    harness.main()
