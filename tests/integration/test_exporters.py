"""What watches memcached goes on working when it is pointed at the daemon."""
import os
import shutil
import subprocess
import unittest

import control_talk
import harness

TOOL = "/usr/share/memcached/scripts/memcached-tool"

# The statistics that each of them reads.
MEMCACHED_EXPORTER = """get_hits get_misses delete_hits delete_misses incr_hits incr_misses decr_hits
    decr_misses cas_hits cas_misses touch_hits touch_misses uptime time version cas_badval cmd_flush
    cmd_set rusage_user rusage_system bytes limit_maxbytes curr_items total_items bytes_read
    bytes_written curr_connections total_connections rejected_connections conn_yields
    listen_disabled_num evictions reclaimed store_too_large store_no_memory lru_crawler_starts
    direct_reclaims crawler_items_checked crawler_reclaimed moves_to_cold moves_to_warm
    moves_within_lru accepting_conns"""
TELEGRAF = """get_hits get_misses evictions limit_maxbytes bytes uptime curr_items total_items
    curr_connections total_connections connection_structures cmd_get cmd_set delete_hits
    delete_misses incr_hits incr_misses decr_hits decr_misses cas_hits cas_misses bytes_read
    bytes_written threads conn_yields"""
COLLECTD = """rusage_user rusage_system threads curr_items bytes limit_maxbytes curr_connections
    listen_disabled_num cmd_get cmd_set cmd_flush cmd_touch incr_hits incr_misses decr_hits
    decr_misses get_hits get_misses evictions delete_hits delete_misses bytes_read bytes_written"""
MUNIN = """get_hits get_misses cmd_get cmd_set total_items total_connections bytes_read bytes_written
    curr_items curr_connections bytes"""


class Exporters(harness.Test):
    def setUp(self):
        super().setUp()
        self.server = self.memcached()
        self.crossfade = self.daemon(harness.cache_config(self.server))

    def stats(self, wire, what=b""):
        wire.send(b"stats%s\r\n" % what)
        return wire.until(b"END\r\n")

    def parse(self, reply):
        """As Telegraf does: three words, or it gives up on the whole reply."""
        lines = reply.split(b"\r\n")
        self.assertEqual([b"END", b""], lines[-2:])
        words = [line.split(b" ", 2) for line in lines[:-2]]
        self.assertLessEqual({(len(each), each[0]) for each in words}, {(3, b"STAT")})
        names = [each[1].decode() for each in words]
        self.assertEqual(len(names), len(set(names)))
        return {each[1].decode(): each[2].decode() for each in words}

    def test_each_finds_what_it_reads(self):
        real = self.parse(self.stats(self.server.wire()))
        for arm in ("py2", "py3"):
            wire = self.crossfade.wire(arm)
            wire.talk(b"set k 0 0 1\r\nx\r\nget k\r\nget zz\r\nincr k 1\r\n" + b"touch k 0\r\n",
                      b"STORED\r\nVALUE k 0 1\r\nx\r\nEND\r\nEND\r\n"
                      b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\nTOUCHED\r\n")
            reply = self.stats(wire)
            # collectd reads it into a buffer of this size.
            self.assertLess(len(reply), 4096)
            ours = self.parse(reply)
            self.assertEqual(set(), set(ours) - set(real), "memcached has no such name")
            for reader in (MEMCACHED_EXPORTER, TELEGRAF, COLLECTD, MUNIN):
                for name in reader.split():
                    self.assertIn(name, ours)
                    if name != "version":
                        float(ours[name])
            for name in ("rusage_user", "rusage_system"):
                self.assertRegex(ours[name], r"^\d+\.\d{6}$")
            self.assertGreaterEqual(int(ours["cmd_set"]), sum(
                int(ours[name]) for name in ("cas_hits", "cas_misses", "cas_badval")))
            self.assertEqual(("1", "1", "1", "1", "1"), tuple(ours[name] for name in (
                "get_hits", "get_misses", "cmd_set", "total_items", "accepting_conns")))

    def test_settings_items_slabs_and_sizes(self):
        real = {what: self.parse(self.stats(self.server.wire(), what))
                for what in (b" settings", b" slabs", b" items", b" sizes")}
        wire = self.crossfade.wire("py3")
        wire.talk(b"set k 0 0 1\r\nx\r\n", b"STORED\r\n")
        settings = self.parse(self.stats(wire, b" settings"))
        self.assertEqual(set(), set(settings) - set(real[b" settings"]))
        self.assertGreater(int(settings["maxconns"]), 0)
        self.assertEqual("1048576", settings["item_size_max"])
        self.assertEqual("no", settings["lru_crawler"])
        # As of a memcached without items.
        for what in (b" slabs", b" items", b" sizes"):
            self.assertEqual(real[what], self.parse(self.stats(wire, what)))

    def tool(self, *mode):
        done = subprocess.run([TOOL, "127.0.0.1:%d" % self.crossfade.port("py3"), *mode],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=harness.WAIT)
        self.assertEqual(0, done.returncode, done.stderr)
        return done.stdout.decode().replace("\r", "")

    @unittest.skipUnless(os.access(TOOL, os.X_OK), "there is no memcached-tool")
    def test_memcached_tool(self):
        self.crossfade.wire("py3").talk(b"set k 0 0 6\r\nsecret\r\n", b"STORED\r\n")
        shown = self.tool("stats")
        self.assertRegex(shown, r"(?m)^ +cmd_set +1$")
        self.assertRegex(shown, r"(?m)^ +version +1\.6\.18-crossfade-")
        self.assertRegex(self.tool("settings"), r"(?m)^ +item_size_max +1048576$")
        self.assertRegex(self.tool("sizes"), r"(?m)^ +sizes_status +disabled$")
        self.assertEqual(["#"], [line.split()[0] for line in self.tool("display").splitlines()])
        # It would show the keys of all versions, without their prefix taken off: refused, and the tool,
        # which waits for an END whatever it is told, comes to its own.
        for mode in (("dump",), ("dump", "5"), ("keys",)):
            self.assertEqual("", self.tool(*mode))
        wire = self.crossfade.wire("py3")
        wire.send(b"lru_crawler metadump all\r\nget k\r\n")
        self.assertRegex(wire.rest(), rb"^CLIENT_ERROR this command is refused here: [^\r\n]*\r\n$")

    @unittest.skipUnless(shutil.which("perl"), "there is no perl")
    def test_munin_s_way(self):
        script = ("use Cache::Memcached; my $a = '127.0.0.1:%d'; "
                  "my $s = Cache::Memcached->new({servers => [$a]})->stats('misc'); "
                  "print $s->{hosts}{$a}{misc}{cmd_get}, ' ', $s->{hosts}{$a}{misc}{curr_items}, \"\\n\";"
                  % self.crossfade.port("py2"))
        if subprocess.call(["perl", "-MCache::Memcached", "-e", "1"], stderr=subprocess.DEVNULL) != 0:
            self.skipTest("there is no Cache::Memcached")
        self.crossfade.wire("py2").talk(b"get a b c\r\n", b"END\r\n")
        done = subprocess.run(["perl", "-e", script], stdout=subprocess.PIPE, timeout=harness.WAIT)
        self.assertEqual(b"3 0\n", done.stdout)


class Metrics(control_talk.Test):
    def test_by_namespace(self):
        daemon = self.daemon(self.everything())
        for arm, times in (("py2", 3), ("py3", 5)):
            wire = daemon.wire(arm)
            for _ in range(times):
                wire.talk(b"set a 0 0 1\r\nx\r\nget a\r\nget zz\r\ndelete a\r\nget __crossfade__/arm\r\n",
                          b"STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\nEND\r\nDELETED\r\n"
                          b"VALUE __crossfade__/arm 0 3\r\n%s\r\nEND\r\n" % arm.encode())
        families, _ = control_talk.metrics(daemon)
        for arm, times in (("py2", 3), ("py3", 5)):
            for name, value in (("gets", 3), ("hits", 2), ("misses", 1), ("sets", 1), ("deletes", 1),
                                ("lookups", 1)):
                self.assertEqual(value * times,
                                 families["crossfade_cache_%s_total" % name].value(arm=arm), name)
            self.assertEqual(times * 4, families["crossfade_cache_latency_seconds"].value("_count", arm=arm))
        info = families["crossfade_cache_namespace_info"]
        prefix = daemon.show("arms")[1]["prefix"]
        self.assertEqual(1, info.value(arm="py2", namespace="", prefix=""))
        self.assertEqual(1, info.value(arm="py3", namespace="py3", prefix=prefix))
        daemon.ctl("flush", "py3")
        after = daemon.show("arms")[1]["prefix"]
        self.assertNotEqual(prefix, after)
        families, _ = control_talk.metrics(daemon)
        self.assertEqual(1, families["crossfade_cache_namespace_info"].value(
            arm="py3", namespace="py3", prefix=after))

    @unittest.skipUnless(shutil.which("promtool"), "there is no promtool")
    def test_promtool_finds_nothing_wrong(self):
        daemon = self.daemon(self.everything())
        wire = daemon.wire("admin").send(b"GET /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        body = wire.rest().split(b"\r\n\r\n", 1)[1]
        done = subprocess.run(["promtool", "check", "metrics"], input=body, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=harness.WAIT)
        self.assertEqual((0, b""), (done.returncode, done.stdout))


if __name__ == "__main__":
    harness.main()
