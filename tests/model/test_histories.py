"""Random histories against real daemons and servers, with faults (world.py, histories.py).

MODEL_SECONDS=N: so long for each mode instead of a quarter of a minute or two. tests/model/attack
is for longer. A round that ever failed is kept in seeds/ and played again here.
"""
import glob
import json
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
import harness
import mutants
import world

HERE = os.path.dirname(os.path.abspath(__file__))
SECONDS = float(os.environ.get("MODEL_SECONDS", 0))


class Histories(harness.Test):
    TIME_LIMIT = 3600 if SECONDS else 150

    def world(self, mode, **more):
        made = world.World(os.path.realpath(self.folder), mode, **more)
        self.addCleanup(self.stop, made)
        return made

    def stop(self, made):
        wrong = made.stop()
        if wrong:
            raise AssertionError(wrong)

    def play(self, here, seed, **arguments):
        """One round; the history is printed if it breaks a promise."""
        result = here.round(seed, **arguments)
        if result["violations"]:
            faults = "\n".join("  %s" % fault for fault in result["faults"])
            raise AssertionError(
                "seed %d in mode %s broke a promise %d times; faults:\n%s\n%s\n"
                "tests/model/attack --mode %s --seed %d --shrink 120 makes it smaller" % (
                    seed, here.mode, len(result["violations"]), faults,
                    "\n".join(result["violations"][:2]), here.mode, seed))
        return result

    def rounds(self, here, seconds, first, **arguments):
        """Rounds of four seconds; counts what was done, and that enough of it was hits."""
        end = time.monotonic() + (SECONDS or seconds)
        total = {"operations": 0, "values": 0, "rounds": 0}
        counts = {}
        seed = first
        while time.monotonic() < end:
            result = self.play(here, seed, seconds=4, operations=1 << 40, **arguments)
            for name in ("operations", "values"):
                total[name] += result[name]
            for name, number in result["counts"].items():
                counts[name] = counts.get(name, 0) + number
            total["rounds"] += 1
            seed += 1
        print("%s: %d operations in %d rounds (seeds from %d), %d values judged" % (
            here.mode, total["operations"], total["rounds"], first, total["values"]))
        print(" ".join("%s: %d," % (name, counts[name]) for name in sorted(counts)))
        # A judge who is shown nothing has nothing to say.
        self.assertGreater(total["values"] * 10, total["operations"])
        for name in ("cas STORED", "append STORED", "incr NUMBER", "delete OK", "set ERROR"):
            self.assertGreater(counts.get(name, 0), 0, name)
        return total


class Epoch(Histories):
    def test_g1_to_g5_random_histories(self):
        self.rounds(self.world("epoch", sidecars=3), 32, 1000)


class Fanout(Histories):
    def test_g2_g4_random_histories(self):
        self.rounds(self.world("fanout", sidecars=3), 12, 4000)


class Judge(Histories):
    """The judge finds what fan-out does not claim, or it would prove nothing."""

    def test_g3_fanout_judged_as_epoch(self):
        here = self.world("fanout", sidecars=1, journal=False, claims="epoch")
        result = here.round(1, seconds=3, operations=1 << 40, count=0)
        self.assertTrue([text for text in result["violations"] if text.startswith("G3")])


class Mutants(Histories):
    """With a guarantee switched off, the judge finds it. In short one of each mode; all of them
    with MODEL_MUTANTS=1."""

    SHORT = ("fanout-no-companion", "no-mixed", "no-gate")

    def test_all_can_be_made(self):
        for name, mutant in mutants.MUTANTS.items():
            with self.subTest(name):
                self.assertTrue(mutants.replaced(harness.SOURCE, mutant.changes, mutant.also))

    def found(self, name, tries=10):
        mutant = mutants.MUTANTS[name]
        given = os.environ.get("CROSSFADE_BUILD")
        place = os.path.join(self.folder, "mutant")
        os.mkdir(place)
        mutants.build(mutant, place)
        os.environ["CROSSFADE_BUILD"] = place
        try:
            here = self.world(mutant.mode, sidecars=2, journal=mutant.journal)
            for seed in range(1, tries + 1):
                result = here.round(seed, seconds=3, operations=1 << 40, **mutant.round)
                finds = [text for text in result["violations"] if re.match(mutant.finds, text)]
                if finds:
                    print("%s: found with seed %d:\n%s" % (name, seed, min(finds, key=len)))
                    return
                if result["violations"]:
                    print("%s: with seed %d something else:\n%s" % (
                        name, seed, min(result["violations"], key=len)))
            self.fail("%s is not found in %d rounds" % (name, tries))
        finally:
            os.environ.pop("CROSSFADE_BUILD")
            if given is not None:
                os.environ["CROSSFADE_BUILD"] = given


def mutant_test(name):
    def test(self):
        self.found(name)
    return test


for _name in mutants.MUTANTS if os.environ.get("MODEL_MUTANTS") else Mutants.SHORT:
    setattr(Mutants, "test_" + _name.replace("-", "_"), mutant_test(_name))


class Seeds(Histories):
    """Rounds that once failed: {"mode", "seed", "world", "round", "why"}."""


def seed_test(path):
    def test(self):
        with open(path) as file:
            kept = json.load(file)
        here = self.world(kept["mode"], **kept.get("world", {}))
        for _ in range(kept.get("times", 1)):
            self.play(here, kept["seed"], **kept["round"])
    return test


for _path in sorted(glob.glob(os.path.join(HERE, "seeds", "*.json"))):
    _name = os.path.splitext(os.path.basename(_path))[0].replace("-", "_")
    setattr(Seeds, "test_" + _name, seed_test(_path))

if __name__ == "__main__":
    harness.main()
