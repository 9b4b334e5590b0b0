"""Every interleaving of small worlds under the epoch protocol, by tests/model/explore.

As written it breaks no promise; the designs before it do, and so does each fault that is put in on
purpose, or the explorer would prove nothing. MODEL_LONG=1: larger worlds (half an hour, 8 GB).
"""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
import harness

LONG = bool(os.environ.get("MODEL_LONG"))


def explore(*arguments, seconds=100):
    done = subprocess.run([harness.program("tests/model/explore")] + list(arguments),
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=seconds)
    return done.returncode, done.stdout.decode()


class Holds(harness.Test):
    """No violation, and every state was looked at."""

    TIME_LIMIT = 1800 if LONG else 120

    def holds(self, *arguments):
        status, text = explore("expect=none", *arguments, seconds=self.TIME_LIMIT - 10)
        print(text.strip().rsplit("\n", 1)[-1])
        self.assertEqual(status, 0, "explore %s:\n%s" % (" ".join(arguments), text))


class Epoch(Holds):
    """The protocol as it is written."""

    def test_one_arm_one_sidecar(self):
        self.holds("where=00,00", "each=3")

    def test_one_arm_two_sidecars(self):
        self.holds("where=00,01", "each=3")

    def test_two_arms_one_sidecar(self):
        self.holds("where=00,10", "each=3")

    def test_two_arms_two_sidecars(self):
        self.holds("where=00,11", "each=3")

    def test_three_clients(self):
        self.holds("where=00,00,10", "each=2", "total=4")

    def test_evictions_and_lost_misses(self):
        self.holds("where=00,00", "each=2", "evictions=2", "losses=1")
        self.holds("where=00,11", "each=2", "evictions=1", "losses=1")

    def test_a_connection_is_cut(self):
        self.holds("where=00,00", "each=2", "cuts=1")
        self.holds("where=00,10", "each=2", "cuts=1")
        self.holds("where=00,11", "each=2", "cuts=1")


class Long(Holds):
    """Only with MODEL_LONG."""

    def test_long(self):
        self.holds("where=00,11", "each=3", "evictions=1")
        self.holds("where=00,00", "each=3", "evictions=2", "losses=1")
        self.holds("where=00,00", "each=2", "evictions=1", "losses=1", "cuts=1")
        self.holds("where=00,11", "each=2", "evictions=1", "losses=1", "cuts=1")
        self.holds("where=00,10,11", "each=1", "evictions=1", "losses=1", "cuts=1")
        self.holds("where=00,10,01,11", "each=1", "limit=60000000")
        self.holds("where=00,00,10", "each=2", "total=4", "cuts=1", "limit=60000000")
        self.holds("where=00,00,10", "each=2", "total=4", "evictions=1", "limit=60000000")


if not LONG:
    del Long


class Before(harness.Test):
    """What the other designs are known not to give; the shortest history is in the log."""

    def breaks(self, *arguments, how="a fill is given out after"):
        status, text = explore("expect=some", *arguments)
        print("explore %s\n%s" % (" ".join(arguments), text))
        self.assertEqual(status, 0, text)
        self.assertIn(how, text)

    def holds(self, *arguments):
        status, text = explore("expect=none", *arguments)
        self.assertEqual(status, 0, text)

    def test_plain_prefix_loses_an_invalidation(self):
        # Not even two at a time: the other arm is never told.
        self.breaks("design=plain", "ops=RD", "where=00,10", "sequential=1")

    def test_plain_prefix_keeps_a_stale_fill(self):
        self.breaks("design=plain", "ops=RD", "where=00,00")

    def test_plain_prefix_lets_a_cas_of_the_other_arm_pass(self):
        self.breaks("design=plain", "ops=C", "where=00,10", "each=2", "only-cas=1",
                    how="a cas succeeded")

    def test_fanout_keeps_a_stale_fill(self):
        self.breaks("design=fanout", "ops=RD", "where=00,10")

    def test_fanout_forgets_the_arm_that_it_does_not_know(self):
        self.breaks("design=fanout", "ops=RD", "where=00,11", "sequential=1", "unknown-arm=1")

    def test_fanout_one_at_a_time_gives_what_it_claims(self):
        self.holds("design=fanout", "ops=RDM", "where=00,10", "sequential=1")

    def test_set_beside_fills_is_not_claimed(self):
        # A write-through `set` takes the miss of a reader of its own arm and process.
        self.breaks("ops=RDW", "where=00,00", "each=2")
        self.holds("ops=RDW", "where=00,00", "each=2", "sequential=1")


# Each with a world in which it shows.
FAULTS = {
    "token-at-store": ("where=00,00",),
    "answer-first": ("where=00,00",),
    "no-compare": ("where=00,10",),
    "own-arm-only": ("where=00,10",),
    "newest-token": ("where=00,00",),
    "reused-token": ("where=00,00",),
    "absent-is-current": ("where=00,10", "evictions=1"),
    "early-ack": ("where=00,10",),
    "blind-change": ("where=00,10", "each=3"),
    "cas-by-value": ("where=00,10", "each=3"),
    "add-now": ("where=00,00",),
    "take-all": ("where=00,00",),
    "loss-forgotten": ("where=00,00", "losses=1"),
    "loss-if-empty": ("where=00,00", "losses=1"),
    "no-journal": ("where=00,00", "cuts=1"),
    "no-gate": ("where=00,00", "cuts=1"),
    "no-fence": ("where=00,11", "cuts=1"),
    "journal-value": ("where=00,10", "cuts=1"),
    "no-put-back": ("where=00,10", "cuts=1"),
    "late-empty": ("where=00,00", "evictions=1"),
    "keep-any": ("where=00,00", "each=3"),
    "keep-late": ("where=00,10,10", "total=4"),
}


class Faults(harness.Test):
    """Each is found."""


def fault_test(fault, world):
    def test(self):
        status, text = explore("expect=some", "each=2", "fault=" + fault, *world)
        print(text.strip().rsplit("\n", 1)[-1])
        self.assertEqual(status, 0, "%s is not found:\n%s" % (fault, text))
    return test


for _fault, _world in FAULTS.items():
    setattr(Faults, "test_" + _fault.replace("-", "_"), fault_test(_fault, _world))

if __name__ == "__main__":
    harness.main()
