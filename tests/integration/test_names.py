"""Names of memcached servers and backends that come to mean other addresses, several, or none."""
import os
import subprocess
import threading
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

    def cache(self, *others, request="5s", **changes):
        return harness.cache_config(self.server, *others, coherence="none", on_failure="error",
                                    timeouts={"connect": "500ms", "request": request}, **changes)

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
        gate = threading.Event()
        self.addCleanup(gate.set)

        def script(connection, line, value):
            gate.wait(harness.WAIT)
        self.first.script = script
        late = daemon.wire("py2").send(b"get %s\r\n" % ours[0])
        harness.eventually(lambda: [row["waiting"] for row in daemon.show("servers")
                                    if row["server"] == self.server] == [1])
        self.hosts.name("127.0.0.2")
        harness.eventually(lambda: self.counted(daemon, "address_changes") == 1, "the new address")
        for key in keys:
            value = b"new" if key in ours else b"old"
            wire.talk(b"get %s\r\n" % key, b"VALUE %s 0 3\r\n%s\r\nEND\r\n" % (key, value))
        gate.set()
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
        self.first.close()  # and it is the one that the resolver puts first
        self.hosts.name("127.0.0.1", "127.0.0.2")
        daemon = self.named(self.cache())
        wire = daemon.wire("py2")
        wire.talk(b"set k 0 0 1\r\nx\r\n", b"STORED\r\n")
        self.assertEqual(b"x", self.second.store[b"k"])
        self.assertGreater(daemon.show("servers")[0]["connect_failures"], 0)
        self.assertNotIn(b"is down", daemon.log())
        # In another order they are the same.
        self.hosts.name("127.0.0.2", "127.0.0.1")
        self.looked_up(daemon)
        self.assertEqual(0, self.counted(daemon, "address_changes"))
        daemon.wire("py2").talk(b"get k\r\n", b"VALUE k 0 1\r\nx\r\nEND\r\n")
        again = self.fake("127.0.0.1", self.first.port)
        self.second.close()

        def stored():
            wire.send(b"set k 0 0 1\r\ny\r\n")
            return wire.line() == b"STORED\r\n"
        harness.eventually(stored, "the other address")
        self.assertEqual(b"y", again.store[b"k"])

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


if __name__ == "__main__":
    harness.main()
