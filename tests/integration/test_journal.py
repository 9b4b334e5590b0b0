"""What a server was not told of, and the journal of it: no older copy is given out afterwards (G5)."""
import os
import select
import shutil
import socket
import subprocess
import tempfile
import threading
import time

import harness
import test_hostile_servers as hostile

EMPTY = b"END\r\n"


class Pipe:
    """Between the daemon and a memcached: passes bytes on; cuts connections when it is told."""

    def __init__(self, address):
        self.target = address
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.dribbles = False      # replies come in bytes
        self.cut_replies = False   # the next answer of the server is the end of its connection
        self.pairs = []
        self.ended = False
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while not self.ended:
            try:
                ours, _ = self.listener.accept()
                host, port = self.target.rsplit(":", 1)
                theirs = socket.create_connection((host, int(port)), timeout=harness.WAIT)
            except OSError:
                continue
            self.pairs.append((ours, theirs))
            threading.Thread(target=self.serve, args=(ours, theirs), daemon=True).start()

    def serve(self, ours, theirs):
        try:
            while True:
                ready, _, _ = select.select([ours, theirs], [], [], 60)
                for sock in ready:
                    data = sock.recv(65536)
                    if not data or (sock is theirs and self.cut_replies):
                        return
                    if sock is theirs and self.dribbles:
                        for i in range(len(data)):
                            ours.sendall(data[i:i + 1])
                    else:
                        (theirs if sock is ours else ours).sendall(data)
        except OSError:
            pass
        finally:
            ours.close()
            theirs.close()

    def close(self):
        self.ended = True
        self.listener.close()
        for pair in self.pairs:
            for sock in pair:
                sock.close()


class Rig(harness.Test):
    TIME_LIMIT = 60
    coherence = "fanout"

    def config(self, *servers, **changes):
        changes.setdefault("timeouts", {"connect": "1s", "request": "500ms"})
        return harness.cache_config(*servers, coherence=self.coherence, **changes)

    def fill(self, daemon, key=b"k", value=b"old"):
        """Both arms have a copy."""
        for arm in ("py2", "py3"):
            with daemon.wire(arm) as wire:
                wire.talk(b"get %s\r\n" % key, EMPTY)
                wire.talk(b"set %s 0 0 %d\r\n%s\r\n" % (key, len(value), value), b"STORED\r\n")
                wire.talk(b"get %s\r\n" % key,
                          b"VALUE %s 0 %d\r\n%s\r\nEND\r\n" % (key, len(value), value))

    def fails(self, daemon, command, arm="py3"):
        with daemon.wire(arm) as wire:
            wire.send(command)
            line = wire.line()
            self.assertTrue(line.startswith(b"SERVER_ERROR "), line)

    def filled(self):
        """Each arm has a copy of k."""
        memcached = self.memcached()
        daemon = self.daemon(self.config(memcached))
        self.fill(daemon)
        return memcached, daemon

    def row(self, daemon, which=0):
        return daemon.show("servers")[which]

    def owed(self, daemon, which=0):
        """What is shown of the journal follows in the worker's next tick."""
        harness.eventually(lambda: self.row(daemon, which)["journal_entries"] > 0, "an entry")

    def is_told(self, daemon, which=0):
        row = self.row(daemon, which)
        return row["journal_pending"] == row["fences"] == 0 and \
            row["journal_entries"] == row["journal_replayed"] + row["journal_dropped"] - \
            row["journal_overflows"]

    def told(self, daemon, which=0):
        harness.eventually(lambda: self.is_told(daemon, which), "the replay")

    def never_old(self, daemon, key=b"k", which=0):
        """Reads of both arms, until the replay is over and once more after it."""
        end = time.monotonic() + harness.WAIT
        over = False
        self.owed(daemon, which)
        while not over:
            over = self.is_told(daemon, which)
            for arm in ("py2", "py3"):
                with daemon.wire(arm) as wire:
                    wire.talk(b"get %s\r\n" % key, EMPTY)
            self.assertLess(time.monotonic(), end, "the replay")

    def keeps(self, daemon, arm):
        """A new key each time: one that was read while the server was down is not filled so soon."""
        self.keys = getattr(self, "keys", 0) + 1
        key = b"again%d" % self.keys
        with daemon.wire(arm) as wire:
            wire.send(b"get %s\r\n" % key).line()
        with daemon.wire(arm) as wire:
            wire.send(b"set %s 0 0 1\r\nx\r\n" % key).line()
            return wire.send(b"get %s\r\n" % key).line() == b"VALUE %s 0 1\r\n" % key

    def works(self, daemon):
        """Values are kept and given out again, by whichever worker."""
        for arm in ("py2", "py3", "py2", "py3"):
            harness.eventually(lambda arm=arm: self.keeps(daemon, arm), "a hit")


class Journal(Rig):
    def test_g5_a_server_that_stands_still(self):
        memcached, daemon = self.filled()
        memcached.freeze()
        self.fails(daemon, b"delete k\r\n")
        memcached.thaw()
        self.never_old(daemon)
        self.works(daemon)
        row = self.row(daemon)
        self.assertEqual(row["journal_entries"], row["journal_replayed"])
        self.assertEqual(0, row["journal_floor"])
        log = daemon.log_text()
        self.assertIn("has not been told of invalidations", log)
        self.assertIn("has been told of all invalidations", log)

    def test_g5_a_delete_that_was_never_sent(self):
        memcached, daemon = self.filled()
        memcached.freeze()
        self.fails(daemon, b"delete other\r\n")     # now it is down
        self.fails(daemon, b"delete k\r\n")
        memcached.thaw()
        self.never_old(daemon)
        self.works(daemon)

    def test_g5_the_daemon_is_killed_after_the_error(self):
        memcached, daemon = self.filled()
        memcached.freeze()
        self.fails(daemon, b"delete k\r\n")
        daemon.kill()
        memcached.thaw()
        daemon.start()
        self.never_old(daemon)
        self.works(daemon)

    def test_g5_the_daemon_stops_in_order_and_comes_back_before_the_server(self):
        memcached, daemon = self.filled()
        memcached.freeze()
        self.fails(daemon, b"delete k\r\n")
        daemon.stop()
        daemon.start()
        self.owed(daemon)
        with daemon.wire("py2") as wire:
            wire.talk(b"get k\r\n", EMPTY)
        daemon.stop()
        daemon.start()
        memcached.thaw()
        self.never_old(daemon)
        self.works(daemon)

    def test_g5_a_killed_server_is_told_when_it_is_back(self):
        memcached, daemon = self.filled()
        memcached.kill()
        self.fails(daemon, b"delete k\r\n")
        self.fails(daemon, b"set k 0 0 3\r\nnew\r\n")
        memcached.start()
        self.never_old(daemon)
        self.works(daemon)

    def test_g5_the_connection_is_cut_before_the_answer(self):
        memcached = self.memcached()
        pipe = Pipe(memcached.address)
        self.addCleanup(pipe.close)
        daemon = self.daemon(self.config(pipe.address))
        self.fill(daemon)
        pipe.cut_replies = True
        self.fails(daemon, b"delete k\r\n")
        pipe.cut_replies = False
        self.never_old(daemon)
        self.works(daemon)

    def test_g5_commands_without_a_reply_are_kept_too(self):
        memcached, daemon = self.filled()
        memcached.freeze()
        with daemon.wire("py3") as wire:
            wire.send(b"delete k noreply\r\n")
            self.owed(daemon)
            wire.send(b"delete l noreply\r\n")
            wire.send(b"version\r\n")
            self.assertTrue(wire.line().startswith(b"VERSION"))
        memcached.thaw()
        self.never_old(daemon)
        self.works(daemon)

    def test_g5_only_the_server_that_was_not_told_has_misses(self):
        first, second = self.memcached(), self.memcached()
        daemon = self.daemon(self.config(first, second))
        keys = [b"k%d" % i for i in range(16)]
        for key in keys:
            self.fill(daemon, key)
        second.freeze()
        with daemon.wire("py3") as wire:
            answers = [(key, wire.send(b"delete %s\r\n" % key).line()) for key in keys]
        told = [key for key, answer in answers if not answer.startswith(b"SERVER_ERROR")]
        untold = [key for key, answer in answers if answer.startswith(b"SERVER_ERROR")]
        self.assertTrue(told and untold)
        self.assertEqual(len(keys), len(told) + len(untold))
        with daemon.wire("py3") as wire:    # the other server goes on as ever
            wire.talk(b"set %s 0 0 1\r\nx\r\n" % told[0], b"STORED\r\n")
            wire.talk(b"get %s\r\n" % told[0], b"VALUE %s 0 1\r\nx\r\nEND\r\n" % told[0])
        second.thaw()
        for key in untold:
            self.never_old(daemon, key, 1)
        self.works(daemon)

    def test_g5_what_a_server_has_in_its_queue_runs_before_what_it_is_told_then(self):
        """The write that was given up runs when the server goes on; the replay comes behind it."""
        memcached, daemon = self.filled()
        memcached.freeze()
        self.fails(daemon, b"set k 0 0 4\r\nlate\r\n")
        harness.eventually(lambda: self.row(daemon)["fences"] > 0, "the fence")
        memcached.thaw()
        self.never_old(daemon)
        with daemon.wire("py3") as wire:
            wire.talk(b"get k\r\n", EMPTY)
        self.works(daemon)

    def test_misses_while_the_gate_is_closed_are_errors_if_that_is_wished(self):
        memcached = self.memcached()
        daemon = self.daemon(self.config(memcached, on_failure="error"))
        self.fill(daemon)
        memcached.freeze()
        self.fails(daemon, b"delete k\r\n")
        with daemon.wire("py2") as wire:
            wire.talk(b"get k\r\n", b"SERVER_ERROR a memcached server did not answer\r\n")
        memcached.thaw()
        self.told(daemon)
        self.works(daemon)


    def test_g5_what_reads_by_writing_is_held_back_too(self):
        memcached = self.memcached()
        daemon = self.daemon(self.config(memcached))
        self.fill(daemon, b"k", b"1")
        memcached.freeze()
        self.fails(daemon, b"delete k\r\n")
        memcached.thaw()
        self.owed(daemon)
        over = False
        while not over:
            over = self.is_told(daemon)
            for command in (b"incr k 1\r\n", b"append k 0 0 1\r\n2\r\n", b"ma k\r\n"):
                with daemon.wire("py2") as wire:
                    line = wire.send(command).line()
                    self.assertTrue(line.startswith((b"SERVER_ERROR", b"NOT_", b"NF")), line)
        self.works(daemon)

    def test_a_client_that_breaks_off_its_value_has_given_no_command(self):
        memcached, daemon = self.filled()
        with daemon.wire("py3") as wire:
            wire.send(b"set k 0 0 900000\r\n" + b"x" * 100000)
            harness.eventually(lambda: self.row(daemon)["bytes_written"] > 90000, "the beginning")
        harness.eventually(lambda: self.row(daemon)["waiting"] == 0, "the end of the upload")
        self.works(daemon)
        row = self.row(daemon)
        self.assertEqual((0, 0), (row["journal_entries"], row["fences"]))
        with daemon.wire("py2") as wire:
            wire.talk(b"get k\r\n", b"VALUE k 0 3\r\nold\r\nEND\r\n")


class EpochJournal(Journal):
    coherence = "epoch"


class Refusing(Rig):
    def test_g5_reads_are_held_back_as_long_as_the_server_refuses_to_be_told(self):
        server = hostile.Fake()
        self.addCleanup(server.close)
        daemon = self.daemon(self.config(server.address))
        self.fill(daemon)
        server.script = lambda connection, line, value: (
            [b"SERVER_ERROR not now\r\n"] if line.startswith((b"delete", b"replace")) else None)
        self.fails(daemon, b"delete k\r\n")
        for _ in range(10):
            for arm in ("py2", "py3"):
                with daemon.wire(arm) as wire:
                    wire.talk(b"get k\r\n", EMPTY)
        harness.eventually(lambda: self.row(daemon)["journal_failures"] > 0, "an attempt")
        with daemon.wire("py2") as wire:
            wire.talk(b"get k\r\n", EMPTY)
        server.script = lambda *unused: None
        self.never_old(daemon)


class Bounds(Rig):
    def overflow(self, daemon, memcached, most=3000):
        self.fill(daemon)
        memcached.freeze()
        self.fails(daemon, b"delete first\r\n")
        with daemon.wire("py3") as wire:
            for i in range(0, most, 500):
                wire.send(b"".join(b"delete x%d\r\n" % j for j in range(i, i + 500)))
                for _ in range(500):
                    self.assertTrue(wire.line().startswith(b"SERVER_ERROR"))
        self.fails(daemon, b"delete k\r\n")
        harness.eventually(lambda: self.row(daemon)["journal_floor"] > 0, "the floor")
        self.assertGreater(self.row(daemon)["journal_overflows"], 0)
        memcached.thaw()
        self.told(daemon)

    def test_a_full_journal_is_never_silent(self):
        memcached = self.memcached()
        daemon = self.daemon(self.config(memcached, journal_size="512k"))
        self.overflow(daemon, memcached)
        for restart in (False, True):
            if restart:
                daemon.kill()
                daemon.start()
                harness.eventually(lambda: self.row(daemon)["journal_floor"] > 0, "the floor")
            for arm in ("py2", "py3"):
                with daemon.wire(arm) as wire:
                    wire.talk(b"get k\r\n", EMPTY)
                    wire.talk(b"set s 0 0 1\r\nx\r\n", b"STORED\r\n")
                    wire.talk(b"get s\r\n", EMPTY)
        self.assertIn(b"are lost, as the journal is full", daemon.all_logs())
        with memcached.wire() as wire:
            wire.talk(b"flush_all\r\n", b"OK\r\n")
        daemon.ctl("forget-lost", "127.0.0.1:1", status=3)
        daemon.ctl("forget-lost", memcached.address)
        self.assertIn("no invalidation", daemon.ctl("forget-lost", memcached.address))
        with open(os.path.join(daemon.folder, "state", "audit.log")) as file:
            self.assertIn("forget-lost", file.read())
        self.works(daemon)

    def test_a_server_that_was_started_anew_is_believed_again(self):
        memcached = self.memcached()
        pipe = Pipe(memcached.address)
        self.addCleanup(pipe.close)
        daemon = self.daemon(self.config(pipe, journal_size="512k"))
        self.overflow(daemon, memcached)
        pipe.dribbles = True
        time.sleep(6.5)  # seconds that two clocks may be apart, and two that its uptime begins early
        self.assertGreater(self.row(daemon)["journal_floor"], 0)
        memcached.kill()
        memcached.start()
        harness.eventually(lambda: self.row(daemon)["journal_floor"] == 0, "the floor has gone")
        self.assertIn(b"is believed again", daemon.all_logs())
        self.works(daemon)

    def test_a_server_that_keeps_its_memory_is_not_believed(self):
        folder = tempfile.mkdtemp(dir="/dev/shm")
        self.addCleanup(shutil.rmtree, folder)
        memcached = self.memcached("-e", os.path.join(folder, "memory"))
        daemon = self.daemon(self.config(memcached, journal_size="512k"))
        self.overflow(daemon, memcached)
        time.sleep(6.5)
        memcached.kill()
        memcached.start()
        harness.eventually(lambda: self.row(daemon)["state"] == "up", "it is back")
        time.sleep(2.5)  # it would have been asked by now
        self.assertGreater(self.row(daemon)["journal_floor"], 0)

    def test_what_is_too_old_is_never_silent(self):
        memcached = self.memcached()
        daemon = self.daemon(self.config(memcached, journal_age="1s"))
        self.fill(daemon)
        memcached.freeze()
        self.fails(daemon, b"delete k\r\n")
        harness.eventually(lambda: self.row(daemon)["journal_dropped"] > 0, "the end of the entry",
                           20)
        memcached.thaw()
        self.told(daemon)
        with daemon.wire("py2") as wire:
            wire.talk(b"get k\r\n", EMPTY)
        self.assertGreater(self.row(daemon)["journal_floor"], 0)

    def test_a_damaged_journal_is_set_aside_and_nothing_of_before_is_believed(self):
        memcached, daemon = self.filled()
        memcached.freeze()
        self.fails(daemon, b"delete k\r\n")
        daemon.kill()
        memcached.thaw()
        folder = os.path.join(daemon.folder, "state")
        path = os.path.join(folder, "journal")
        with open(path, "r+b") as file:
            file.truncate(4096)
        daemon.start()
        with daemon.wire("py2") as wire:
            wire.talk(b"get k\r\n", EMPTY)
        self.assertIn("damaged", daemon.log_text())
        self.assertTrue([name for name in os.listdir(folder) if "damaged" in name])
        harness.eventually(lambda: self.row(daemon)["journal_floor"] > 0, "the floor")

    def test_a_disk_without_room_is_said(self):
        if os.geteuid() != 0:
            self.skipTest("only root may mount a small file system")
        memcached = self.memcached()
        folder = tempfile.mkdtemp(dir=self.folder)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=755", "crossfade-test", folder],
                              stderr=subprocess.PIPE, timeout=harness.WAIT)
        if done.returncode != 0:
            self.skipTest("no file system can be mounted here: %s" % done.stderr.decode().strip())
        self.addCleanup(subprocess.run, ["umount", "-l", folder], timeout=harness.WAIT)
        config = self.config(memcached)
        config["process"]["state_dir"] = folder
        daemon = self.daemon(config)
        self.assertIn("no room for the journal", daemon.log_text())
        self.fill(daemon)
        memcached.freeze()
        self.fails(daemon, b"delete k\r\n")
        memcached.thaw()
        self.never_old(daemon)
        self.works(daemon)


if __name__ == "__main__":
    harness.main()
