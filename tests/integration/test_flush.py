"""flush_all: a new generation of one arm's prefix, seen at once, kept over a crash."""
import json
import os
import signal
import time

import harness


def config(memcached, **cache):
    made = harness.cache_config(memcached)
    made["arms"] = [{"name": "py2", "namespace": ""}, {"name": "py3", "namespace": "py3"}]
    made["process"] = dict(made.get("process", {}), workers=2)
    made["cache"].update(cache)
    return made


class Flush(harness.Test):
    def start(self, **cache):
        self.server = self.memcached()
        self.running = self.daemon(config(self.server, **cache))
        return self.running

    def test_g2_who_stays_of_a_removed_arm_tells_the_generations_of_now(self):
        server = self.memcached()
        source = harness.cache_config(server)
        source["process"]["workers"] = 1
        source["arms"].append({"name": "old", "namespace": "old"})
        source["cache"]["listen"].append({"address": "127.0.0.1:@old@", "arm": "old"})
        daemon = self.daemon(source)
        stays = daemon.wire("old").talk(b"get other\r\n", b"END\r\n")
        del source["arms"][-1], source["cache"]["listen"][-1]
        source["arms"].append({"name": "new", "namespace": "new"})
        source["cache"]["listen"].append({"address": "127.0.0.1:@new@", "arm": "new"})
        daemon.write(source)
        daemon.ctl("reload")
        daemon.ctl("flush", "py3")
        large = b"x" * 100000
        for change, answer in ((b"delete k\r\n", b"NOT_FOUND\r\n"),
                               (b"set k 0 0 1\r\ny\r\n", b"STORED\r\n"),
                               (b"set k 0 0 100000\r\n%s\r\n" % large, b"STORED\r\n")):
            for arm in ("py2", "py3", "new"):
                wire = daemon.wire(arm)
                wire.talk(b"add k 0 0 1\r\nx\r\n", b"STORED\r\n")
            stays.talk(change, answer)
            for arm in ("py2", "py3", "new"):
                self.assertEqual(b"END\r\n", daemon.wire(arm).send(b"get k\r\n").line(), (arm, change))

    def test_g9_flush_all_hurts_only_its_own_arm(self):
        daemon = self.start()
        py2, py3 = daemon.wire("py2"), daemon.wire("py3")
        py2.talk(b"add k 0 0 1\r\na\r\n", b"STORED\r\n")
        py3.talk(b"add k 0 0 1\r\nb\r\nflush_all\r\nget k\r\nadd k 0 0 1\r\nc\r\nget k\r\n",
                 b"STORED\r\nOK\r\nEND\r\nSTORED\r\nVALUE k 0 1\r\nc\r\nEND\r\n")
        py2.talk(b"get k\r\n", b"VALUE k 0 1\r\na\r\nEND\r\n")
        answer = b"CLIENT_ERROR flush_all is refused here: this version's keys have no prefix, so " \
                 b"it would empty the cache of every version\r\n"
        py2.talk(b"flush_all\r\nflush_all noreply\r\nget k\r\n",
                 answer + b"VALUE k 0 1\r\na\r\nEND\r\n")

    def test_every_connection_on_every_worker_sees_it_when_it_is_answered(self):
        daemon = self.start()
        others = [daemon.wire("py3") for _ in range(12)]
        for turn in range(20):
            others[0].talk(b"add k%d 0 0 1\r\nx\r\n" % turn, b"STORED\r\n")
            for other in others:
                other.talk(b"get k%d\r\n" % turn, b"VALUE k%d 0 1\r\nx\r\nEND\r\n" % turn)
            others[turn % 12].talk(b"flush_all\r\n", b"OK\r\n")
            for other in others:
                other.talk(b"get k%d\r\n" % turn, b"END\r\n")

    def test_what_stands_behind_it_in_a_pipeline_comes_after_it(self):
        py3 = self.start().wire("py3")
        py3.talk(b"set k 0 0 1\r\n1\r\nflush_all noreply\r\nget k\r\nset k 0 0 1\r\n2\r\n" * 30,
                 b"STORED\r\nEND\r\nSTORED\r\n" * 30)
        py3.talk(b"get k\r\n", b"VALUE k 0 1\r\n2\r\nEND\r\n")

    def test_with_a_delay_it_comes_later_and_survives_a_crash(self):
        daemon = self.start()
        daemon.wire("py3").talk(b"set k 0 0 1\r\nx\r\nflush_all 1\r\nget k\r\n",
                                b"STORED\r\nOK\r\nVALUE k 0 1\r\nx\r\nEND\r\n")
        daemon.kill()
        time.sleep(1.1)
        daemon.start()
        daemon.wire("py3").talk(b"get k\r\n", b"END\r\n")

    def test_the_generation_survives_a_crash(self):
        daemon = self.start()
        py3 = daemon.wire("py3")
        py3.talk(b"set k 0 0 1\r\nx\r\nflush_all\r\n", b"STORED\r\nOK\r\n")
        daemon.kill()
        daemon.start()
        daemon.wire("py3").talk(b"get k\r\n", b"END\r\n")

    def test_refuse_refuses(self):
        py3 = self.start(flush_all="refuse").wire("py3")
        py3.talk(b"flush_all\r\n", b"CLIENT_ERROR flush_all is refused here: it would empty the "
                                   b"cache of every version\r\n")

    def test_crossfadectl_flush(self):
        daemon = self.start()
        py3 = daemon.wire("py3")
        py3.talk(b"set k 0 0 1\r\nx\r\n", b"STORED\r\n")
        daemon.ctl("flush", "py3")
        py3.talk(b"get k\r\n", b"END\r\n")
        daemon.ctl("flush", "py2", status=3)
        daemon.ctl("flush", "nobody", status=3)
        daemon.ctl("flush", status=2)

    def test_who_flushed_and_drained_is_in_the_audit_log(self):
        daemon = self.start()
        daemon.ctl("flush", "py3")
        daemon.ctl("drain", "server", self.server.address)
        daemon.ctl("enable", "server", self.server.address)
        daemon.ctl("flush", "py2", status=3)
        with open(os.path.join(daemon.folder, "state", "audit.log")) as file:
            lines = [json.loads(line) for line in file]
        self.assertEqual([("flush", "py3"), ("drain server", self.server.address),
                          ("enable server", self.server.address)],
                         [(line["verb"], line["of"]) for line in lines])
        for line in lines:
            self.assertIn("uid %d" % os.getuid(), line["by"])

    def test_two_daemons_do_not_share_the_generations(self):
        daemon = self.start()
        folder = os.path.join(self.folder, "second")
        os.mkdir(folder)
        shared = config(self.server)
        shared["process"]["state_dir"] = os.path.join(self.folder, "state")
        with self.assertRaisesRegex(AssertionError, "in use by another crossfade, process %d"
                                    % daemon.pid):
            harness.Daemon(folder, shared)
        # One that stops gives them away at once, and flushes no more.
        daemon.wire("py3").talk(b"flush_all\r\n", b"OK\r\n")
        waits = daemon.wire("py3")
        waits.talk(b"set k 0 0 1\r\nx\r\nget k\r\n", b"STORED\r\nVALUE k 0 1\r\nx\r\nEND\r\n")
        waits.send(b"get ")
        daemon.signal(signal.SIGTERM)
        harness.eventually(lambda: b"stopping" in daemon.log(), "the stop")
        second = harness.Daemon(folder, shared)
        self.addCleanup(self.finish, second)
        waits.send(b"k\r\nflush_all\r\n").expect(b"VALUE k 0 1\r\nx\r\nEND\r\n")
        second.wire("py3").talk(b"get k\r\nflush_all\r\nget k\r\n",
                                b"VALUE k 0 1\r\nx\r\nEND\r\nOK\r\nEND\r\n")
        self.assertEqual(b"SERVER_ERROR the flush could not be made durable; see the daemon's "
                         b"log\r\n", waits.line())
        waits.close()
        daemon.wait(0)

    def test_when_the_disk_refuses_it_says_so_and_nothing_changed(self):
        daemon = self.start()
        state = os.path.join(daemon.folder, "state")
        py3 = daemon.wire("py3")
        py3.talk(b"set k 0 0 1\r\nx\r\n", b"STORED\r\n")
        os.mkdir(os.path.join(state, "generations.json.new"))
        py3.talk(b"flush_all\r\nget k\r\n",
                 b"SERVER_ERROR the flush could not be made durable; see the daemon's log\r\n"
                 b"VALUE k 0 1\r\nx\r\nEND\r\n")
        os.rmdir(os.path.join(state, "generations.json.new"))
        py3.talk(b"flush_all\r\nget k\r\n", b"OK\r\nEND\r\n")
        with open(os.path.join(state, "generations.json")) as file:
            self.assertEqual(json.load(file)["arms"]["py3"]["generation"], 1)


if __name__ == "__main__":
    harness.main()
