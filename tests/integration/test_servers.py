"""The life of memcached servers and backends: their names and addresses, draining, what is too much."""
import os
import subprocess
import unittest

import harness
import test_hostile_servers as hostile

NAME = "cache.crossfade.test"
PRIVATE = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
# The files are shown to the daemon alone, in a mount namespace of its own.
SHOW = ('mount --bind "$1" /etc/hosts && mount --bind "$2" /etc/nsswitch.conf && shift 2 && '
        'exec "$@"')


def can_change_names():
    """Not in every container."""
    with open("/etc/hosts") as hosts, open("/etc/nsswitch.conf") as switch:
        hosts.read()
        switch.read()
    probe = PRIVATE + ["sh", "-c", SHOW, "sh", "/etc/hosts", "/etc/nsswitch.conf", "true"]
    return subprocess.run(probe, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          timeout=harness.WAIT).returncode == 0


class Hosts:
    """/etc/hosts as the daemon sees it."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "hosts")
        self.switch = os.path.join(folder, "nsswitch.conf")
        with open(self.switch, "w") as file:
            file.write("passwd: files\ngroup: files\nhosts: files\n")
        self.name()

    def name(self, *addresses):
        """The name has these addresses now. The file stays the same: it is what is mounted."""
        with open(self.path, "w") as file:
            file.write("127.0.0.1 localhost\n" +
                       "".join("%s %s\n" % (address, NAME) for address in addresses))


class NamedDaemon(harness.Daemon):
    def __init__(self, folder, config, hosts):
        self.hosts = hosts
        super().__init__(folder, config)

    def spawn(self, command, env=None, cwd=None):
        super().spawn(PRIVATE + ["sh", "-c", SHOW, "sh", self.hosts.path, self.hosts.switch]
                      + command, env, cwd)


class NamesRig(harness.Test):
    """Two servers of different addresses and one port, of which a name may mean either."""

    @classmethod
    def setUpClass(cls):
        try:
            able = can_change_names()
        except OSError:
            able = False
        if not able:
            raise unittest.SkipTest("no mount namespace can be had here, and so no /etc/hosts that "
                                    "changes: what follows from a name's new address is not tested")

    def setUp(self):
        super().setUp()
        self.first = self.fake()
        self.second = self.fake("127.0.0.2", self.first.port)
        self.server = "%s:%d" % (NAME, self.first.port)
        self.hosts = Hosts(self.folder)

    def fake(self, *where):
        fake = hostile.Fake(*where)
        self.addCleanup(fake.close)
        return fake

    def named(self, config, interval="100ms", at_start="required"):
        config["process"]["resolve"] = {"interval": interval, "at_start": at_start}
        daemon = NamedDaemon(self.folder, config, self.hosts)
        self.addCleanup(self.finish, daemon)
        return daemon

    def cache(self, *others, **changes):
        return harness.cache_config(self.server, *others, coherence="none", on_failure="error",
                                    timeouts={"connect": "500ms", "request": "600ms"}, **changes)

    @staticmethod
    def counted(daemon, counter):
        return sum(row["value"] for row in daemon.show("stats")
                   if row["group"] == "name" and row["counter"] == counter)

    def looked_up(self, daemon, counter="lookups"):
        """Once more from now on, and it has taken effect."""
        before = self.counted(daemon, counter)
        harness.eventually(lambda: self.counted(daemon, counter) >= before + 2, "a look-up")


class Names(NamesRig):
    def test_new_requests_follow_the_name_and_old_ones_end_where_they_are(self):
        other = self.memcached()
        self.hosts.name("127.0.0.1")
        daemon = self.named(self.cache(other))
        wire = daemon.wire("py2")
        keys = [b"k%d" % number for number in range(64)]
        for key in keys:
            wire.talk(b"set %s 0 0 3\r\nold\r\n" % key, b"STORED\r\n")
        ours = [key for key in keys if key in self.first.store]
        self.assertTrue(ours and len(ours) < len(keys))
        self.second.store.update({key: b"new" for key in ours})
        # This one is under way when the name moves.
        self.first.script = lambda connection, line, value: [
            0.4, b"VALUE %s 0 3\r\nold\r\nEND\r\n" % ours[0]] if line.startswith(b"get") else None
        late = daemon.wire("py2").send(b"get %s\r\n" % ours[0])
        harness.eventually(lambda: [row["waiting"] for row in daemon.show("servers")
                                    if row["server"] == self.server] == [1])
        self.hosts.name("127.0.0.2")
        harness.eventually(lambda: self.counted(daemon, "address_changes") == 1, "the new address")
        for key in keys:
            value = b"new" if key in ours else b"old"
            wire.talk(b"get %s\r\n" % key, b"VALUE %s 0 3\r\n%s\r\nEND\r\n" % (key, value))
        late.expect(b"VALUE %s 0 3\r\nold\r\nEND\r\n" % ours[0])
        # The old connections are closed, and it was said once.
        harness.eventually(lambda: not self.first.sockets, "the end of the old connections")
        self.looked_up(daemon)
        self.assertEqual(1, daemon.log().count(b"%s is 127.0.0.2:" % self.server.encode()))
        self.assertEqual(1, self.counted(daemon, "address_changes"))
        text = daemon.ctl("show", "servers")
        self.assertIn("127.0.0.2:%d" % self.first.port, text)

    def test_a_name_that_is_gone_keeps_its_last_address(self):
        self.hosts.name("127.0.0.1")
        daemon = self.named(self.cache())
        wire = daemon.wire("py2")
        wire.talk(b"set k 0 0 1\r\nx\r\n", b"STORED\r\n")
        self.hosts.name()
        self.looked_up(daemon, "lookup_failures")
        wire.talk(b"get k\r\n", b"VALUE k 0 1\r\nx\r\nEND\r\n")
        self.assertEqual(1, daemon.log().count(b"cannot resolve this name"))
        # A reload does not need it either.
        daemon.ctl("reload")
        daemon.wire("py2").talk(b"get k\r\n", b"VALUE k 0 1\r\nx\r\nEND\r\n")

    def test_a_server_that_fails_is_looked_up_at_once(self):
        self.hosts.name("127.0.0.1")
        daemon = self.named(self.cache(), interval="0")
        wire = daemon.wire("py2")
        wire.talk(b"set k 0 0 1\r\nx\r\n", b"STORED\r\n")
        self.hosts.name("127.0.0.2")
        self.assertEqual(0, self.counted(daemon, "address_changes"))
        self.first.script = lambda *unused: [hostile.CLOSE]
        wire.send(b"get k\r\n").until(b"\r\n")
        harness.eventually(lambda: self.counted(daemon, "address_changes") == 1, "the new address")
        wire.talk(b"set k 0 0 1\r\ny\r\n", b"STORED\r\n")
        self.assertEqual(b"y", self.second.store[b"k"])

    def test_of_several_addresses_the_one_that_answers_is_used(self):
        self.hosts.name("127.0.0.3", "127.0.0.2", "127.0.0.1")
        daemon = self.named(self.cache())
        wire = daemon.wire("py2")
        wire.talk(b"set k 0 0 1\r\nx\r\n", b"STORED\r\n")
        used, other = ((self.first, self.second) if self.first.store else
                       (self.second, self.first))
        # In another order they are the same.
        self.hosts.name("127.0.0.1", "127.0.0.2", "127.0.0.3")
        self.looked_up(daemon)
        self.assertEqual(0, self.counted(daemon, "address_changes"))
        daemon.wire("py2").talk(b"get k\r\n", b"VALUE k 0 1\r\nx\r\nEND\r\n")
        used.close()

        def stored():
            wire.send(b"set k 0 0 1\r\ny\r\n")
            return wire.line() == b"STORED\r\n"
        harness.eventually(stored, "the other address")
        self.assertEqual(b"y", other.store[b"k"])

    def test_at_the_start_a_name_has_to_resolve_unless_it_is_optional(self):
        with self.assertRaisesRegex(AssertionError, "cannot resolve this name"):
            self.named(self.cache())
        self.doCleanups_of_the_failed_start()
        daemon = self.named(self.cache(), at_start="optional")
        wire = daemon.wire("py2")
        wire.talk(b"set k 0 0 1\r\nx\r\n", b"SERVER_ERROR ")
        self.assertIn(b"its name has not been resolved", wire.line())
        self.hosts.name("127.0.0.2")
        harness.eventually(lambda: self.counted(daemon, "address_changes") == 1, "an address")

        def stored():
            wire.send(b"set k 0 0 1\r\ny\r\n")
            return wire.line() == b"STORED\r\n"
        harness.eventually(stored, "the server")

    def doCleanups_of_the_failed_start(self):
        for name in os.listdir(self.folder):
            if name.endswith(".log"):
                os.unlink(os.path.join(self.folder, name))

    def test_backends_follow_their_names(self):
        old = self.backend("old")
        new = harness.Backend("new", port=0)
        self.addCleanup(new.close)
        moved = harness.Backend("moved", port=old.port, host="127.0.0.2")
        self.addCleanup(moved.close)
        self.hosts.name("127.0.0.1")
        daemon = self.named(harness.web_config("%s:%d" % (NAME, old.port), new))
        web = daemon.wire("web")
        web.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").until(b"old")
        self.hosts.name("127.0.0.2")
        harness.eventually(lambda: self.counted(daemon, "address_changes") == 1, "the new address")
        web.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").until(b"moved")


class Drain(harness.Test):
    """drain server and enable server."""

    def setUp(self):
        super().setUp()
        self.slow = hostile.Fake()
        self.addCleanup(self.slow.close)
        self.real = self.memcached()

    def start(self, **changes):
        daemon = self.daemon(harness.cache_config(
            self.slow.address, self.real, coherence="fanout",
            timeouts={"connect": "500ms", "request": "5s"}, **changes))
        wire = daemon.wire("py2")
        keys = [b"k%d" % number for number in range(64)]
        for key in keys:
            wire.talk(b"set %s 0 0 1\r\nx\r\n" % key, b"STORED\r\n")
        self.ours = [key for key in keys if key in self.slow.store]
        self.others = [key for key in keys if key not in self.slow.store]
        self.assertTrue(self.ours and self.others)
        return daemon, wire

    def row(self, daemon):
        return [row for row in daemon.show("servers") if row["server"] == self.slow.address][0]

    def test_no_request_goes_there_and_what_is_under_way_ends(self):
        daemon, wire = self.start()
        key, good = self.ours[0], self.others[0]
        self.slow.script = lambda connection, line, value: [
            0.5, b"VALUE %s 0 1\r\nx\r\nEND\r\n" % key] if line.startswith(b"get") else None
        late = daemon.wire("py2").send(b"get %s\r\n" % key)
        harness.eventually(lambda: self.row(daemon)["waiting"] == 1, "a request under way")
        said = daemon.ctl("drain", "server", self.slow.address)
        self.assertIn("1 under way", said)
        requests = self.row(daemon)["requests"]
        self.assertEqual("drained", self.row(daemon)["state"])
        drained = b"SERVER_ERROR memcached server %s is drained by the operator\r\n" % (
            self.slow.address.encode())
        for client in (wire, daemon.wire("py2"), daemon.wire("py2")):
            client.talk(b"get %s %s\r\n" % (key, good),
                        b"VALUE %s 0 1\r\nx\r\nEND\r\n" % good)
            client.talk(b"delete %s\r\n" % key, drained)
            client.talk(b"set %s 0 0 1\r\ny\r\n" % key, drained)
            client.talk(b"set %s 0 0 100000\r\n%s\r\n" % (key, b"y" * 100000), drained)
            client.talk(b"incr %s 1\r\ntouch %s 0\r\n" % (key, key), drained + drained)
            client.talk(b"set %s 0 0 1\r\nx\r\n" % good, b"STORED\r\n")
        late.expect(b"VALUE %s 0 1\r\nx\r\nEND\r\n" % key)
        self.assertEqual(requests, self.row(daemon)["requests"])
        harness.eventually(lambda: not self.slow.sockets, "the end of the connections")
        # Over a reload it stays so.
        daemon.ctl("reload")
        self.assertEqual("drained", self.row(daemon)["state"])
        wire.talk(b"delete %s\r\n" % key, drained)
        self.slow.script = lambda *unused: None
        said = daemon.ctl("enable", "server", self.slow.address)
        self.assertIn("old values", said)
        wire.talk(b"get %s\r\n" % key, b"VALUE %s 0 1\r\nx\r\nEND\r\n" % key)
        wire.talk(b"delete %s\r\n" % key, b"DELETED\r\n")
        self.assertEqual("up", self.row(daemon)["state"])

    def test_a_drained_server_may_be_dead_and_counts_as_drained(self):
        daemon, wire = self.start(on_failure="error")
        daemon.ctl("drain", "server", self.slow.address)
        self.slow.close()
        wire.talk(b"get %s\r\n" % self.ours[0], b"SERVER_ERROR a memcached server did not answer\r\n")
        self.assertEqual((0, "drained"), (self.row(daemon)["connect_failures"],
                                          self.row(daemon)["state"]))
        # A restart forgets it.
        daemon.stop()
        daemon.start()
        self.assertNotEqual("drained", self.row(daemon)["state"])

    def test_wrong_names_and_repetitions_are_refused(self):
        daemon, _ = self.start()
        daemon.ctl("drain", "server", "127.0.0.1:1", status=3)
        daemon.ctl("enable", "server", self.slow.address, status=3)
        daemon.ctl("drain", "server", self.slow.address)
        daemon.ctl("drain", "server", self.slow.address, status=3)
        daemon.ctl("drain", "server", status=2)
        daemon.ctl("drain", "backend", self.slow.address, status=2)


if __name__ == "__main__":
    harness.main()
