"""What the modes of coherence count: in /metrics, `stats crossfade`, show stats and show cache."""
import control_talk
import harness

# The memory of misses is the worker's, the others are the arm's.
WORKER = ("misses_recorded", "misses_fills", "misses_none", "misses_mixed", "misses_doubt", "misses_lost")
ARM = ("stale_refused", "epochs_absent", "epochs_made", "fills_refused", "told_mutations",
       "told_deletes", "told_changes", "changes_given_up", "companions", "companions_failed",
       "sets_as_fill", "sets_as_mutation")


class Counters(control_talk.Test):
    def begin(self, coherence, **cache):
        self.server = self.memcached()
        source = harness.cache_config(self.server, coherence=coherence, **cache)
        source["control"]["http"] = "127.0.0.1:@admin@"
        source["process"]["workers"] = 1
        self.running = self.daemon(source)
        self.counted = self.all()
        return self.running

    def all(self):
        """By metric's name, of all arms and workers."""
        families, _ = control_talk.metrics(self.running)
        found = {name: families["crossfade_worker_%s_total" % name].total() for name in WORKER}
        found.update({name: families["crossfade_cache_%s_total" % name].total() for name in ARM})
        return found

    def moved(self, **wanted):
        """So much since the last look, and nothing else."""
        now = self.all()
        self.assertEqual(wanted, {name: now[name] - self.counted[name] for name in now
                                  if now[name] != self.counted[name]})
        self.counted = now

    def say(self, arm, line, answer):
        self.running.wire(arm).talk(line, answer)

    def test_epoch_mode(self):
        self.begin("epoch")
        self.say("py2", b"get k\r\n", b"END\r\n")
        self.moved(epochs_absent=1, epochs_made=1, misses_recorded=1)
        self.say("py2", b"set k 0 0 1\r\na\r\n", b"STORED\r\n")
        self.moved(misses_fills=1, sets_as_fill=1)
        self.say("py2", b"get k\r\n", b"VALUE k 0 1\r\na\r\nEND\r\n")
        self.moved()
        # The stable arm has the empty namespace here: each invalidation takes its unprefixed key.
        self.say("py3", b"set k 0 0 1\r\nb\r\n", b"STORED\r\n")
        self.moved(misses_none=1, sets_as_mutation=1, told_mutations=1, companions=1)
        self.say("py2", b"get k\r\n", b"END\r\n")
        self.moved(stale_refused=1, misses_recorded=1)
        self.say("py3", b"append k 0 0 1\r\nc\r\n", b"STORED\r\n")
        self.moved(told_changes=1, companions=1)
        # Its reader missed before the append: the fill is stored, and is none.
        self.say("py2", b"set k 0 0 1\r\na\r\n", b"STORED\r\n")
        self.moved(misses_fills=1, sets_as_fill=1)
        self.say("py2", b"get k\r\n", b"END\r\n")
        self.moved(stale_refused=1, misses_recorded=1)
        self.say("py3", b"delete k\r\n", b"DELETED\r\n")
        self.moved(told_deletes=1, companions=1)
        # Two readers with different tokens: nobody knows whose fill comes.
        self.say("py2", b"get k\r\n", b"END\r\n")
        self.moved(stale_refused=1, misses_recorded=1)
        self.say("py2", b"set k 0 0 1\r\na\r\n", b"STORED\r\n")
        self.moved(misses_mixed=1, fills_refused=1)
        rows = {row["arm"]: row for row in self.running.show("cache")}
        self.assertEqual((3, 1, 0), tuple(rows["py2"][name] for name in
                                          ("stale_refused", "fills_refused", "told_deletes")))
        self.assertEqual((1, 1, 1), tuple(rows["py3"][name] for name in
                                          ("told_deletes", "told_mutations", "told_changes")))
        self.same_everywhere()

    def same_everywhere(self):
        stats = {}
        for arm in ("py2", "py3"):
            wire = self.running.wire(arm)
            wire.send(b"stats crossfade\r\n")
            stats[arm] = dict(line.split(b" ")[1:3] for line in wire.until(b"END\r\n").split(b"\r\n")
                              if line.startswith(b"STAT "))
        shown = self.running.show("stats")
        for name in ARM:
            self.assertEqual(self.counted[name], sum(int(each[name.encode()]) for each in stats.values()),
                             name)
            self.assertEqual(self.counted[name],
                             sum(row["value"] for row in shown if row["counter"] == name), name)

    def fails(self, coherence):
        self.begin(coherence)
        self.server.kill()
        wire = self.running.wire("py3")
        for line in (b"delete k\r\n", b"set k 0 0 1\r\nx\r\n", b"incr k 1\r\n", b"touch k 1\r\n"):
            self.assertIn(b"SERVER_ERROR", wire.send(line).line())
        row = {row["arm"]: row for row in self.running.show("cache")}["py3"]
        self.assertEqual(4, row["failed"])

    def test_what_fails_in_epoch_mode(self):
        self.fails("epoch")

    def test_what_fails_in_fanout_mode(self):
        self.fails("fanout")

    def test_fanout_mode(self):
        self.begin("fanout")
        self.say("py3", b"set k 0 0 1\r\nx\r\n", b"STORED\r\n")
        self.moved(misses_none=1, sets_as_mutation=1, companions=1)
        self.say("py2", b"get j\r\n", b"END\r\n")
        self.say("py2", b"add j 0 0 1\r\nx\r\n", b"STORED\r\n")
        self.moved(misses_recorded=1)
        self.say("py2", b"get i\r\n", b"END\r\n")
        self.say("py2", b"set i 0 0 1\r\nx\r\n", b"STORED\r\n")
        self.moved(misses_recorded=1, misses_fills=1, sets_as_fill=1)


if __name__ == "__main__":
    harness.main()
