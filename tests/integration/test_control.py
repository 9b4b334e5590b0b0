"""The control socket: its line protocol, its levels, every command, and what hostile peers get."""
import base64
import hashlib
import json
import os
import socket
import stat
import subprocess
import time

import control_talk
import harness

LINE_MAX = 4096
PEERS_MAX = 64

# Every command of the table, the way that a person uses it, in an order in which each one works.
COMMANDS = [
    ("help", "help"), ("help", "help show"), ("version", "version"),
    ("show rollout", "show rollout"), ("show arms", "show arms"), ("show stages", "show stages"),
    ("show cache", "show cache"), ("show servers", "show servers"),
    ("show backends", "show backends"), ("show stats", "show stats"),
    ("show config", "show config"), ("show suggest", "show suggest"),
    ("show clients", "show clients"), ("show clients", "show clients 3"), ("show events", "show events"),
    ("show events", "show events 3"), ("why", "why user-1"), ("explain", "explain some:key"),
    ("explain", "explain py3 some:key"),
    ("start", "start"), ("advance", "advance"), ("percent", "percent 0.05"), ("pause", "pause"),
    ("resume", "resume"), ("hold", "hold"), ("resume", "resume"), ("abort", "abort"),
    ("retry", "retry"), ("promote", 'promote reason="tested"'), ("abort", "abort"),
    ("reset", "reset"), ("flush", "flush py3"), ("drain server", "drain server @server@"),
    ("enable server", "enable server @server@"), ("forget-lost", "forget-lost @server@"), ("reload", "reload --check"),
    ("reload", "reload"), ("log", "log"),
    ("log", "log debug"), ("log", "log info"), ("shutdown", "shutdown drain=1s"),
]

# What a socket of each level may do.
READ = {"help", "version", "show rollout", "show arms", "show stages", "show cache", "show servers",
        "show backends", "show stats", "show config", "show events", "show suggest",
        "show clients", "why", "explain"}
OPERATE = {"start", "advance", "percent", "pause", "resume", "hold", "abort", "retry", "promote",
           "flush", "drain server", "enable server", "forget-lost"}
ADMIN = {"reset", "reload", "log", "shutdown"}


def quote(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class EveryCommand(control_talk.Test):
    def commands(self):
        """With the address of a server that this test has."""
        return [(name, line.replace("@server@", self.servers[0].address))
                for name, line in COMMANDS]

    def test_the_list_here_is_the_table(self):
        self.daemon(self.everything())
        rows = self.talk().ok("help --json").json
        names = {" ".join(word for word in row["command"].split() if word.islower())
                 for row in rows}
        self.assertEqual(names, READ | OPERATE | ADMIN)
        self.assertEqual(names, {name for name, _ in COMMANDS})
        for row in rows:
            name = " ".join(word for word in row["command"].split() if word.islower())
            level = "read" if name in READ else "operate" if name in OPERATE else "admin"
            self.assertEqual(level, row["level"], name)
            self.assertTrue(row["help"])

    def test_an_admin_may_all_over_the_raw_socket(self):
        daemon = self.daemon(self.everything())
        talk = self.talk()
        for _, line in self.commands():
            reply = talk.ok(line)
            self.assertTrue(reply.sentence or reply.lines or line.startswith("show events"), line)
        talk.expect_end()
        daemon.wait(0)

    def test_an_admin_may_all_by_crossfadectl(self):
        daemon = self.daemon(self.everything())
        for _, line in self.commands():
            words = line.replace('"', "").split()
            words = [{"reason=tested": "--reason=tested", "drain=1s": "--drain=1s"}.get(word, word)
                     for word in words]
            out = daemon.ctl(*words)
            self.assertTrue(out.strip(), line)
        daemon.wait(0)

    def test_lower_levels_are_refused_and_nothing_happens(self):
        daemon = self.daemon(self.everything())
        before = self.talk().ok("show rollout --json").json
        for level, allowed in (("read", READ), ("operate", READ | OPERATE)):
            for name, line in COMMANDS:
                if name in allowed:
                    continue
                talk = self.talk(level)
                talk.refused(line, "denied", "needs a socket of level")
                # Nor behind a command that is allowed, nor with arguments that are wrong.
                talk.send(b"version; " + line.encode() + b"\n")
                self.assertTrue(talk.reply().ok)
                self.assertEqual("denied", talk.reply().code)
                talk.refused(name + " x y z", "denied")
                talk.close()
        self.assertEqual(before, self.talk().ok("show rollout --json").json)
        daemon.alive()
        # The same socket, what it may:
        read, operate = self.talk("read"), self.talk("operate")
        for name, line in self.commands():
            if name in READ:
                read.ok(line)
            elif name in OPERATE:
                read.refused(line, "denied", "level read")
                operate.ok(line)
        operate.refused("reset", "denied", "level operate")

    def test_each_json_document_parses(self):
        daemon = self.daemon(self.everything())
        talk = self.talk()
        documents = [line for name, line in COMMANDS if name in READ]
        daemon.wire("py2").talk(b"set k 0 0 1\r\nx\r\n", b"STORED\r\n")
        for turn in range(2):  # at idle, and in the middle of a rollout
            for line in documents:
                document = talk.ok(line + " --json").json
                self.assertIsInstance(document, (dict, list), line)
                self.assertEqual(type(document), type(json.loads(daemon.ctl(
                    "--json", *line.split()))), line)
            if turn == 0:
                talk.ok('start reason="a; b \\"c\\" \\\\ ü"')

    def test_what_the_shows_say(self):
        daemon = self.daemon(self.everything())
        talk = self.talk()
        with daemon.wire("py2") as py2, daemon.wire("py3") as py3:
            py2.talk(b"set k 0 0 1\r\nx\r\n", b"STORED\r\n")
            py2.talk(b"get k\r\n", b"VALUE k 0 1\r\nx\r\nEND\r\n")
            py3.talk(b"get k\r\n", b"END\r\n")
            web = daemon.wire("web")
            web.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").until(b"py2")
            arms = {row["arm"]: row for row in talk.ok("show arms --json").json}
            cache = {row["arm"]: row for row in talk.ok("show cache --json").json}
            servers = talk.ok("show servers --json").json
            backends = talk.ok("show backends --json").json
        self.assertEqual({"py2", "py3"}, set(arms))
        self.assertEqual(("stable", "", 1), tuple(arms["py2"][n] for n in
                                                  ("role", "prefix", "requests")))
        self.assertEqual(("candidate", 0), tuple(arms["py3"][n] for n in ("role", "requests")))
        self.assertRegex(arms["py3"]["prefix"], r"^py3\.\d+:$")
        self.assertEqual((1, 1, 0, 1), tuple(cache["py2"][n] for n in
                                             ("sets", "hits", "misses", "clients")))
        self.assertEqual((0, 0, 1), tuple(cache["py3"][n] for n in ("sets", "hits", "misses")))
        self.assertEqual(2, len(servers))
        self.assertIn("up", [row["state"] for row in servers])
        self.assertEqual([("py2", self.stable.address), ("py3", self.candidate.address)],
                         [(row["arm"], row["backend"]) for row in backends])
        version = talk.ok("version --json").json
        self.assertEqual(daemon.pid, version["pid"])
        self.assertGreaterEqual(version["uptime_seconds"], 0)
        stats = talk.ok("show stats --json").json
        self.assertIn(("cache arm", "py2", "hits", 1),
                      [(row["group"], row["of"], row["counter"], row["value"]) for row in stats])
        config = {row["key"]: row for row in talk.ok("show config --json").json}
        self.assertEqual("2", config["process.workers"]["value"])
        self.assertEqual("restart", config["process.workers"]["change"])
        self.assertNotIn("integration", json.dumps(config))  # the salt
        stages = talk.ok("show stages --json").json
        self.assertEqual(["ahead"] * 5, [row["position"] for row in stages])
        talk.ok("start; advance")
        self.assertTrue(talk.reply().ok)
        self.assertEqual(["done", "here", "ahead", "ahead", "ahead"],
                         [row["position"] for row in talk.ok("show stages --json").json])
        self.assertEqual([0, 0, 0.1, 20, 100], [row["percent"] for row in stages])

    def test_planes_that_are_not_there_are_said_so(self):
        config = self.everything()
        del config["web"], config["rollout"]
        del config["arms"][0]["backends"], config["arms"][1]["backends"]
        self.daemon(config)
        talk = self.talk()
        for line in ("show backends", "show rollout", "show stages", "show events", "why x",
                     "start", "advance", "percent 1", "pause", "resume", "hold", "abort", "retry",
                     "promote", "reset"):
            talk.refused(line, "refused", "there is no ")
        for line in ("show arms", "show cache", "show servers", "show stats", "explain k"):
            talk.ok(line)


class Formulas(control_talk.Test):
    def test_why_is_the_formula(self):
        self.daemon(self.everything())
        talk = self.talk()
        talk.ok('start; advance; advance; advance reason=x')
        for _ in range(3):
            self.assertTrue(talk.reply().ok)
        self.assertEqual(20, talk.ok("show rollout --json").json["percent"])
        seen = set()
        for identity in ["user-%d" % n for n in range(60)] + ["a b", "ü", "x" * 512, 'q"\\;']:
            bucket = int.from_bytes(hashlib.sha256(
                b"integration\0" + identity.encode()).digest()[:8], "big")
            in_it = bucket < 200000 * 2**64 // 1000000
            moves = next(p for p in (bucket * 1000000 // 2**64, bucket * 1000000 // 2**64 + 1)
                         if bucket < p * 2**64 // 1000000)
            why = talk.ok("why %s --json" % quote(identity)).json
            self.assertEqual(identity, why["identity"])
            self.assertEqual("%016x" % bucket, why["bucket"])
            self.assertEqual(("py3", True) if in_it else ("py2", False),
                             (why["arm"], why["candidate"]), identity)
            self.assertEqual(moves, round(float(why["moves_at_percent"]) * 10000), identity)
            self.assertAlmostEqual(bucket / 2**64 * 100, why["bucket_percent"])
            seen.add(in_it)
        self.assertEqual({True, False}, seen)
        for wrong in ('""', "x" * 513):
            talk.refused("why " + wrong, "usage")

    def test_why_agrees_with_the_web_plane(self):
        daemon = self.daemon(self.everything([{"name": "half", "percent": 50}]))
        talk = self.talk()
        talk.ok("start")
        web = daemon.wire("web")
        for n in range(40):
            arm = talk.ok("why u%d --json" % n).json["arm"]
            web.send(b"GET / HTTP/1.1\r\nHost: h\r\nX-User-Id: u%d\r\n\r\n" % n)
            web.until(b"\r\n\r\n" + arm.encode())

    def test_why_in_each_state(self):
        self.daemon(self.everything([{"name": "all", "percent": 100}]))
        talk = self.talk()
        arm = lambda: talk.ok("why u --json").json["arm"]
        self.assertEqual("py2", arm())
        talk.ok("start")
        self.assertEqual("py3", arm())
        talk.ok("abort")
        self.assertEqual("py2", arm())
        talk.ok("retry")
        talk.ok("promote")
        self.assertEqual("py3", arm())
        self.assertIn("promoted", talk.ok("why u --json").json["because"])

    def test_explain_names_the_entry_and_the_server(self):
        daemon = self.daemon(self.everything())
        first, second = self.servers
        talk = self.talk()
        wires = {first.address: first.wire(), second.address: second.wire()}
        prefix = talk.ok("show arms --json").json[1]["prefix"].encode()
        used = set()
        for n in range(20):
            key = "key:%d" % n
            for arm, expected in (("py2", key.encode()), ("py3", prefix + key.encode())):
                row, = talk.ok("explain %s %s --json" % (arm, key)).json
                self.assertEqual(expected, row["key_on_server"].encode())
                self.assertEqual((arm, "isolated", "fanout"),
                                 tuple(row[name] for name in ("arm", "scope", "coherence")))
                self.assertEqual("py3" if arm == "py2" else "py2", row["invalidates"])
                daemon.wire(arm).talk(b"set %s 7 0 2\r\nhi\r\n" % key.encode(), b"STORED\r\n")
                wires[row["server"]].talk(b"get %s\r\n" % expected,
                                          b"VALUE %s 7 2\r\nhi\r\nEND\r\n" % expected)
                used.add(row["server"])
        self.assertEqual(set(wires), used)

    def test_explain_of_shared_long_and_reserved_keys(self):
        self.daemon(self.everything())
        talk = self.talk()
        rows = talk.ok("explain shared:x --json").json
        self.assertEqual([("shared", "shared:*", "shared:x", "")] * 2,
                         [tuple(row[n] for n in ("scope", "rule", "key_on_server", "invalidates"))
                          for row in rows])
        prefix = talk.ok("show arms --json").json[1]["prefix"]
        key = "k" * 250
        digest = base64url(hashlib.sha256(key.encode()).digest())
        stable, candidate = talk.ok("explain %s --json" % key).json
        self.assertEqual((key, False), (stable["key_on_server"], stable["hashed"]))
        self.assertEqual((prefix + "#" + digest, True),
                         (candidate["key_on_server"], candidate["hashed"]))
        stable, candidate = talk.ok("explain py3.1:k --json").json
        digest = base64url(hashlib.sha256(b"py3.1:k").digest())
        self.assertEqual(("#" + digest, True), (stable["key_on_server"], stable["hashed"]))
        self.assertEqual(prefix + "py3.1:k", candidate["key_on_server"])
        talk.refused("explain " + "k" * 251, "usage", "1 to 250")
        talk.refused('explain ""', "usage", "1 to 250")
        talk.refused("explain py4 k", "usage", "no arm")
        talk.refused(b"explain \xff\xc3\xa9 k\n", "usage", 'no arm "\\xffé"')

    def test_explain_says_everything_and_takes_base64(self):
        config = self.everything()
        config["cache"].update(client_profile="python", keys=[
            {"match": "json:*", "scope": "shared", "guard": True},
            {"match": "through:*", "writes": "mutate"}, {"match": "alone:*", "coherence": "none"}])
        self.daemon(config)
        talk = self.talk()

        def row(key, arm="py3", options=""):
            return talk.ok("explain %s %s --json %s" % (arm, key, options)).json[0]
        prefix = row("x")["key_on_server"][:-1]
        for key, scope, coherence, writes, guard, others in (
                ("json:1", "shared", "none", None, True, ""),
                ("through:1", "isolated", "fanout", "mutate", None, "py2"),
                ("alone:1", "isolated", "none", "auto", None, ""),
                ("else", "isolated", "fanout", "auto", None, "py2")):
            found = row(key)
            self.assertEqual((scope, coherence, writes, guard, others), tuple(
                found[name] for name in ("scope", "coherence", "writes", "guard", "invalidates")), key)
            self.assertIn(found["server"], [server.address for server in self.servers])
        self.assertIn("GUARD", talk.ok("explain json:1").text)
        for raw in (b"plain", b"a b\n\x00\xff", b"k" * 250, b"\n" * 186):
            encoded = base64.b64encode(raw).decode()
            found = row(encoded, options="--base64")
            wire = base64.b64decode(found["key_on_server_base64"])
            if len(raw) < 100:
                self.assertEqual(prefix.encode() + raw, wire)
                self.assertEqual("", found["hashed_because"])
            else:
                self.assertEqual("too long in base64 with its prefix" if raw[:1] == b"\n" else
                                 "too long with its prefix", found["hashed_because"])
                self.assertTrue(wire.startswith(prefix.encode() + b"#"))
        self.assertEqual(row("a/b"), row(base64.b64encode(b"a/b").decode(), options="--base64"))
        self.assertIn("prefix", row("py3.1:x", "py2")["hashed_because"])
        self.assertIn("digest", row("#" + "A" * 43)["hashed_because"])
        lookup = row("__crossfade__/arm/1")
        self.assertEqual("", lookup["server"])
        for wrong in ("Zm9vY", "!!!!", "A" * 1000, '""'):
            talk.refused("explain %s --base64" % wrong, "usage")


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Lines(control_talk.Test):
    def setUp(self):
        super().setUp()
        self.running = self.daemon(self.everything())

    def test_a_batch_has_a_reply_for_each(self):
        talk = self.talk()
        talk.send(b"version; show rollout ;; nonsense;why; start;abort\n")
        replies = [talk.reply() for _ in range(6)]
        self.assertEqual([None, None, "unknown", "usage", None, None],
                         [reply.code for reply in replies])
        talk.silence(0.05)
        # Several lines in one piece, and empty ones, which are no command.
        talk.send(b"\n\r\n ; ;\nversion\r\nversion\n")
        self.assertTrue(talk.reply().ok and talk.reply().ok)
        talk.silence(0.05)

    def test_split_at_every_byte(self):
        whole = b'version --json; why "a b" --json\n'
        talk = self.talk()
        for at in range(len(whole) + 1):
            talk.send(whole[:at])
            time.sleep(0.001)
            talk.send(whole[at:])
            self.assertEqual(self.running.pid, talk.reply().json["pid"])
            self.assertEqual("a b", talk.reply().json["identity"])

    def test_reasons_are_kept_as_they_are(self):
        talk = self.talk()
        talk.ok("start")
        for n, reason in enumerate(["plain", "two words", 'say "hi"', "back\\slash", "a;b; start",
                                    "--json", "reason=x", "ümlaut €", "a'b`c$(d)", "  spaces  "]):
            verb = "pause" if n % 2 == 0 else "resume"
            talk.ok("%s reason=%s" % (verb, quote(reason)))
            self.assertEqual(reason, talk.ok("show rollout --json").json["reason"])
            self.assertEqual(reason, talk.ok("show events 1 --json").json[0]["reason"])
            talk.ok("%s" % ("resume" if n % 2 == 0 else "pause"))
            self.running.ctl(verb, "--reason", reason)
            self.assertEqual(reason, self.running.show("rollout")["reason"])
        self.assertEqual("running", self.running.show("rollout")["state"])

    def test_a_reason_that_is_no_text_or_too_long(self):
        talk = self.talk()
        talk.ok("start")
        talk.ok(b'pause reason="\xff\xfe\xc3"\n')
        talk.ok("show rollout --json").json
        talk.ok("show events 1 --json").json
        talk.ok("resume reason=" + "ü" * 1000)
        kept = talk.ok("show rollout --json").json["reason"]
        self.assertTrue(200 < len(kept.encode()) <= 255 and kept == "ü" * (len(kept) - 3) + "...", kept)
        for byte in (b"\0", b"\t", b"\x1b", b"\x7f", b"\x01"):
            talk.refused(b'pause reason="a%sb"\n' % byte, "usage", "control character")
        self.assertIn("running", talk.ok("show rollout").text)

    def test_garbage_is_a_usage_error_and_the_talk_goes_on(self):
        talk = self.talk()
        for line, words in ((b'why "a', "quote without its end"), (b"why a\\b", "backslash"),
                            (b'why "a\\n"', "may follow a backslash"), (b'why "a\\', "backslash"),
                            (b"why " + b"x " * 24, "too many words"),
                            (b"\xff\xfe", "no command"), (b"GET / HTTP/1.1", "no command"),
                            (b"\0\0\0", "control character")):
            reply = talk.ask(line + b"\n")
            self.assertFalse(reply.ok, line)
            self.assertIn(words, reply.text)
            # What follows a broken command on its line is not guessed at.
            if reply.code == "usage":
                talk.send(line + b"; version\n")
                self.assertFalse(talk.reply().ok)
                talk.silence(0.02)
        talk.ok("version")

    def test_a_wrong_name_gets_the_nearest(self):
        talk = self.talk()
        talk.refused("help me", "usage", "no such command")
        self.assertEqual(["show rollout"], [row["command"] for row in
                                            talk.ok("help show rollout --json").json])
        for wrong, right in (("abrot", "abort"), ("shw arms", "show arms"), ("show arm", "show arms"),
                             ("percnt 10", "percent"), ("show rolout", "show rollout")):
            talk.refused(wrong, "unknown", 'did you mean "%s"' % right)
        self.assertNotIn("did you mean", talk.refused("xyzzyxyzzy", "unknown").text)
        self.assertNotIn("did you mean", talk.refused("x" * 4000, "unknown").text)

    def test_wrong_arguments_show_the_usage(self):
        talk = self.talk()
        for line in ("why", "why a b", "percent", "percent 1 2", "show rollout x", "start x",
                     "show events 1 2", "reload x", "log info x", "explain a b c", "start --json",
                     "show arms reason=x", "reload --json", "shutdown 5"):
            talk.refused(line, "usage", "usage: " + line.split()[0])
        for line, words in (("percent x", "percentage"), ("percent -1", "percentage"),
                            ("percent 0.00001", "percentage"), ("percent 101", ""),
                            ("start if-generation=x", "whole number"),
                            ("start if-generation=", "whole number"),
                            ("start if-generation=99999999999999999999", "whole number"),
                            ("show events 0", "COUNT"), ("show events 201", "COUNT"),
                            ("show events x", "COUNT"), ("log loud", "log level"),
                            ("shutdown drain=x", "drain"), ("shutdown drain=-1s", "drain")):
            reply = talk.ask(line)
            self.assertFalse(reply.ok, line)
            self.assertIn(words, reply.text)
        self.assertEqual(0, talk.ok("show rollout --json").json["generation"])
        self.running.alive()

    def test_lines_up_to_the_limit_and_over_it(self):
        talk = self.talk()
        start = b"why x"
        fits = start + b" " * (LINE_MAX - len(start))
        talk.ok(fits + b"\n")
        talk.refused(b"why " + b"x" * (LINE_MAX - 4) + b"\n", "usage", "an identity has")
        talk.refused(fits + b" \n", "usage", "at most 4096 bytes")
        talk.ok("version")  # the end of that line was seen
        # Without an end in sight there is nothing to go on with.
        talk.send(b"y" * (LINE_MAX + 1))
        self.assertIn("at most 4096", talk.reply().text)
        talk.expect_end()
        for size in (3 * LINE_MAX, 1 << 20):
            flood = self.talk()
            try:
                flood.send(b"z" * size)
            except OSError:
                pass  # closed in the middle of it
            self.assertIn("at most 4096", flood.reply().text)
        self.talk().ok("version")

    def test_a_peer_that_closes_its_side_still_gets_its_replies(self):
        talk = self.talk()
        talk.send(b"version\n" * 50 + b"show stats --json\n" * 20 + b"pause")
        talk.shut_write()
        replies = talk.rest().decode().split("\n\n")
        self.assertEqual("", replies.pop())
        self.assertEqual(70, len(replies))
        self.assertTrue(all(reply.startswith("OK") for reply in replies))
        # And one that closes at once costs nothing.
        for _ in range(100):
            self.talk().close()
        self.talk().ok("version")

    def test_a_peer_that_never_reads_stops_being_read(self):
        deaf = self.talk()
        deaf.sock.settimeout(0.5)
        sent = 0
        try:
            while sent < 16 << 20:
                sent += deaf.sock.send(b"show stats\n" * 300)
        except socket.timeout:
            pass
        # What it asked for would be gigabytes; the daemon stopped taking questions.
        self.assertLess(sent, 4 << 20)
        before = self.settled()
        self.talk().ok("show stats")
        self.assertLess(self.running.memory() - before, 8 << 20)
        # It is not lost: once it reads, all its replies come.
        deaf.sock.settimeout(harness.WAIT)
        for _ in range(100):
            self.assertTrue(deaf.reply().ok)

    def settled(self):
        """The daemon's memory, when it has worked off what it took."""
        sizes = [self.running.memory()]

        def same():
            time.sleep(0.3)
            sizes.append(self.running.memory())
            return sizes[-1] == sizes[-2]
        harness.eventually(same, "the daemon's rest")
        return sizes[-1]

    def test_a_full_house_is_told_and_every_socket_has_its_own(self):
        crowd = [self.talk("read") for _ in range(PEERS_MAX)]
        for talk in crowd:
            talk.ok("version")
        late = self.talk("read")
        self.assertIn("too many", late.reply().text)
        late.expect_end()
        done = subprocess.run([harness.program("crossfadectl"), "--socket",
                               os.path.join(self.folder, "read.sock"), "version"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=harness.WAIT)
        self.assertEqual(1, done.returncode)
        self.assertIn(b"too many", done.stderr)
        # Those who may only read cannot keep out the one who has to abort.
        self.talk().ok("start")
        self.talk("operate").ok("abort")
        crowd[0].close()
        harness.eventually(lambda: self.welcome(), "a place for one more")

    def welcome(self):
        talk = self.talk("read")
        try:
            return talk.ask("version").ok
        except OSError:
            return False
        finally:
            talk.close()

    def test_sockets_have_the_mode_of_the_configuration(self):
        for name, mode in (("operate", 0o660), ("read", 0o666)):
            found = os.stat(os.path.join(self.folder, name + ".sock")).st_mode
            self.assertEqual(mode, stat.S_IMODE(found), name)

    def test_who_it_was_is_known(self):
        talk = self.talk()
        talk.ok("start")
        by = talk.ok("show rollout --json").json["by"]
        self.assertIn("uid %d" % os.getuid(), by)
        self.assertIn("pid %d" % os.getpid(), by)


class Ctl(control_talk.Test):
    """crossfadectl itself: its exit codes, and what it says without a daemon."""

    def run_ctl(self, *arguments, env=None, stdin=subprocess.DEVNULL):
        full = {key: value for key, value in os.environ.items() if key != "CROSSFADE_SOCKET"}
        full.update(env or {})
        return subprocess.run([harness.program("crossfadectl")] + list(arguments), stdin=stdin,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=full,
                              timeout=harness.WAIT, universal_newlines=True)

    def test_exit_codes(self):
        daemon = self.daemon(self.everything())
        daemon.ctl("version", status=0)
        daemon.ctl("advance", status=3)
        daemon.ctl("start", status=0)
        daemon.ctl("start", status=3)
        daemon.ctl("--if-generation", "99", "advance", status=3)
        daemon.ctl("nonsense", status=2)
        daemon.ctl("show", "nonsense", status=2)
        daemon.ctl("percent", status=2)
        daemon.ctl("percent", "x", status=2)
        daemon.ctl("--nonsense", status=2)
        daemon.ctl(status=2)
        daemon.ctl("--timeout", "x", "version", status=2)
        daemon.ctl("--timeout", "0", "version", status=2)
        daemon.ctl("--reason", "x", "show", "arms", status=2)
        daemon.ctl("--if-generation", "1", "reload", status=2)
        daemon.ctl("--check", "abort", status=2)
        daemon.ctl("--drain", "1s", "abort", status=2)
        daemon.ctl("pause", "--reason", "a\tb", status=2)
        daemon.ctl("pause", "--reason", "x" * 5000, status=2)
        self.assertEqual("running", daemon.show("rollout")["state"])
        # 1: by a socket that may not, and where nobody is.
        denied = self.run_ctl("--socket", os.path.join(self.folder, "read.sock"), "abort")
        self.assertEqual(1, denied.returncode)
        self.assertIn("level", denied.stderr)
        self.assertEqual("", denied.stdout)
        # 4: a daemon that does not answer.
        daemon.freeze()
        daemon.ctl("--timeout", "1", "version", status=4)
        daemon.thaw()
        # 5: it took effect, but the disk refused it.
        state = os.path.join(self.folder, "state")
        os.rename(state, state + ".gone")
        for name in os.listdir(state + ".gone"):
            os.unlink(os.path.join(state + ".gone", name))
        os.rmdir(state + ".gone")
        daemon.ctl("abort", status=5)
        self.assertEqual("aborted", daemon.show("rollout")["state"])
        self.assertIn("unsaved", daemon.show("rollout"))
        daemon.ctl("retry", status=1)

    def test_nobody_there(self):
        missing = self.run_ctl("-s", os.path.join(self.folder, "nobody.sock"), "version")
        self.assertEqual(1, missing.returncode)
        self.assertIn("Is crossfade running?", missing.stderr)
        path = os.path.join(self.folder, "dead.sock")
        dead = socket.socket(socket.AF_UNIX)
        dead.bind(path)
        refused = self.run_ctl("version", env={"CROSSFADE_SOCKET": path})
        self.assertEqual(1, refused.returncode)
        self.assertIn("not running", refused.stderr)
        dead.close()
        self.assertEqual(1, self.run_ctl("-s", "x" * 200, "version").returncode)

    def test_somebody_else_there(self):
        path = os.path.join(self.folder, "other.sock")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(8)
        for answer in (b"HTTP/1.1 400 Bad Request\r\n\r\n\n\n", b"ERR strange thing\n\n", b"\n\n",
                       b"ERR\n\n", b"O\n\n"):
            child = subprocess.Popen([harness.program("crossfadectl"), "-s", path, "version"],
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            peer, _ = listener.accept()
            peer.recv(100)
            peer.sendall(answer)
            out, error = child.communicate(timeout=harness.WAIT)
            peer.close()
            self.assertEqual((1, b""), (child.returncode, out), answer)
            self.assertIn(b"not crossfade", error)
        child = subprocess.Popen([harness.program("crossfadectl"), "-s", path, "version"],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        peer, _ = listener.accept()
        peer.recv(100)
        peer.sendall(b"OK half\n")
        peer.close()
        self.assertIn(b"before its reply was complete", child.communicate(timeout=harness.WAIT)[1])
        self.assertEqual(1, child.returncode)
        listener.close()

    def test_it_helps_without_a_daemon(self):
        listing = self.run_ctl("help")
        self.assertEqual(0, listing.returncode)
        for name, _ in COMMANDS:
            self.assertIn("\n  " + name, listing.stdout)
        self.assertEqual(listing.stdout, self.run_ctl("--help").stdout)
        self.assertRegex(self.run_ctl("--version").stdout, r"^crossfadectl \d+\.\d+")
        nearest = self.run_ctl("abrot")
        self.assertEqual(2, nearest.returncode)
        self.assertIn('did you mean "abort"', nearest.stderr)

    def test_completion_completes(self):
        script = self.run_ctl("completion").stdout
        path = os.path.join(self.folder, "completion")
        with open(path, "w") as file:
            file.write(script)

        def complete(*words):
            ask = "source %s; COMP_WORDS=(%s); COMP_CWORD=%d; _crossfadectl; echo ${COMPREPLY[@]}" % (
                path, " ".join('"%s"' % word for word in words), len(words) - 1)
            return subprocess.run(["bash", "-c", ask], stdout=subprocess.PIPE, check=True,
                                  universal_newlines=True).stdout.split()
        self.assertEqual(["abort"], complete("crossfadectl", "ab"))
        self.assertEqual(["rollout"], complete("crossfadectl", "show", "ro"))
        self.assertEqual(["--reason"], complete("crossfadectl", "abort", "--re"))
        self.assertIn("show", complete("crossfadectl", ""))

    def test_reply_goes_to_stdout_and_error_to_stderr(self):
        daemon = self.daemon(self.everything())
        where = ["-s", os.path.join(self.folder, "control.sock")]
        good = self.run_ctl(*where, "start")
        self.assertEqual((0, ""), (good.returncode, good.stderr))
        self.assertIn("running at stage developers", good.stdout)
        bad = self.run_ctl(*where, "start")
        self.assertEqual((3, ""), (bad.returncode, bad.stdout))
        self.assertIn("Use advance", bad.stderr)
        self.assertNotIn("\033", good.stdout + bad.stderr)  # no colour for a pipe
        daemon.alive()

    def test_a_person_is_asked_and_a_script_is_not(self):
        daemon = self.daemon(self.everything())
        for answer, expected in ((b"n\n", "idle"), (b"\n", "idle"), (b"y\n", "running")):
            master, slave = os.openpty()
            os.write(master, answer)
            child = self.run_ctl("-s", os.path.join(self.folder, "control.sock"), "start",
                                 stdin=slave)
            os.close(master)
            os.close(slave)
            self.assertIn("Do it?", child.stderr)
            self.assertEqual(expected, daemon.show("rollout")["state"])
            self.assertEqual(0 if expected == "running" else 1, child.returncode)
        master, slave = os.openpty()
        child = self.run_ctl("-s", os.path.join(self.folder, "control.sock"), "abort", stdin=slave)
        self.assertEqual((0, ""), (child.returncode, child.stderr))  # never asks
        child = self.run_ctl("-s", os.path.join(self.folder, "control.sock"), "--yes", "retry",
                             stdin=slave)
        self.assertEqual((0, ""), (child.returncode, child.stderr))
        os.close(master)
        os.close(slave)


if __name__ == "__main__":
    harness.main()
