"""The judge of the random histories: what was promised, and where it was broken.

  identity    the value was written by the arm that reads it, for that key, whole, with its flags
  epoch       a fill of version n is not given out after an acknowledged invalidation of a younger
              commit; no value is given out that was stored before an acknowledged invalidation
              began (the same for fan-out, among the arms that the invalidating sidecar knows)
  failure     an invalidation that was answered with an error binds the reads of its own sidecar at
              once, and all reads when the journal is replayed; so a value whose mutation failed is
              not given out after that
  cas         none of two from one `gets` succeeds twice, nor one over a whole invalidation
  counters    give no number twice, and no smaller one later (in shared scope: to any arm)
  locks       in shared scope have one holder, as long as no server lost its items
  generation  a sidecar gives out nothing that was stored through it before it began a new one

What a client got no answer for, or an error, stays open until then: it may have happened, or happen
later.
"""
import bisect

from clients import ARMS, FOREVER, GENERATION, LARGE, NUMBER, VALUE, shown, shown_reply, shown_value


class Judge:
    """Of a run (histories.py), which has the keys with all that was done, and the writes."""


    def violation(self, text, key, begin=0.0, end=FOREVER, marks=()):
        if len(self.violations) >= 10:
            return
        lines = [text]
        if key is not None:
            log = sorted(key.log, key=lambda entry: entry[0])
            log = [entry for entry in log if entry[1] >= begin and entry[0] <= end]
            if len(log) > 60:
                keep = [entry for entry in log if entry[4][0] in (
                    "delete", "replace", "cas", "append", "prepend", "set", "add")
                    or entry[0] in marks]
                log = keep[:15] + keep[-45:] if len(keep) > 60 else keep
            zero = log[0][0] if log else 0.0
            name = key.name if len(key.name) <= 60 else key.name[:40] + "..."
            lines.append("  key %s, milliseconds since its first line:" % name)
            for invoke, back, client, dialect, request, reply in log:
                lines.append("  %s %9.3f - %9.3f  %s %s: %s -> %s" % (
                    "*" if invoke in marks else " ", 1000 * (invoke - zero), 1000 * (back - zero),
                    client, dialect, shown(request), shown_reply(key.name.encode(), reply)))
        self.violations.append("\n".join(lines))

    def judge(self, settled, losses, flushed, replayed):
        """settled: when all servers were whole and all journals replayed; replayed: (time,
        sidecar), when a sidecar had nothing in its journal."""
        self.settled = settled
        self.replayed = {}
        for when, sidecar in sorted(replayed):
            self.replayed.setdefault(sidecar, []).append(when)
        for write in self.writes.values():
            if write.end == FOREVER and write.invoke < FOREVER:
                write.end = max(settled, write.invoke)
        values = 0
        flushes = {}
        for begun, done, sidecar, arm in flushed:
            flushes.setdefault((sidecar, arm), []).append((begun, done))
        for key in self.keys.values():
            if key.hits:
                values += len(key.hits)
                self.judge_values(key, settled, flushes)
            self.judge_cas(key, settled)
        for key in self.counters + self.arm_counters:
            self.judge_counter(key)
        for key in self.locks:
            self.judge_lock(key, settled, losses)
        return values

    def knows(self, sidecar, arm):
        return self.epoch or arm in self.config["sidecars"][sidecar]

    def closed(self, sidecar, answered):
        """When what was answered with an error was surely replayed. What a sidecar shows of its
        journal may be a moment old."""
        times = self.replayed.get(sidecar, [])
        at = bisect.bisect_left(times, answered + 0.5)
        return times[at] if at < len(times) else max(self.settled, answered)

    def bound(self, key, sidecar, arm, settled):
        """The invalidations that bind reads of this arm through this sidecar, by their ends."""
        found = []
        for end in key.ends:
            invoke, back, commit, by, who, status, verb = end
            if verb == "append" and who == arm or not self.knows(by, arm):
                continue
            if status == "ERROR":
                if not self.journal or verb not in ("delete", "set"):
                    continue
                if by != sidecar:
                    back = self.closed(by, back)
            found.append((back, invoke, commit, end))
        found.sort(key=lambda entry: entry[:3])
        ends, invokes, commits = [], [], []
        latest, highest = (-1.0, None), (0, None)
        for back, invoke, commit, end in found:
            latest = max(latest, (invoke, end[1]), key=lambda pair: pair[0])
            highest = max(highest, (commit, invoke), key=lambda pair: pair[0])
            ends.append(back)
            invokes.append(latest[0])
            commits.append(highest)
        return ends, invokes, commits

    def judge_values(self, key, settled, flushes):
        shared, number = key.name.startswith("s:"), key.name.startswith("n:")
        bounds = {}
        for arm, sidecar, invoke, back, value, cas, flags in key.hits:
            if key.name.startswith(("s:n:", "s:l:")):
                continue
            said = "%s was given %s" % (arm, shown_value(value))
            match = (NUMBER if number else VALUE).match(value)
            if not match:
                self.violation(said + ", which nobody wrote", key, invoke - 0.2, back, (invoke,))
                continue
            if number:
                writer, uid = ARMS[int(match[1])].encode(), match[2]
                name, filler = key.name.encode(), None
            else:
                writer, name, version, uid, filler = match.groups()
            write = self.writes.get(int(uid))
            if number and write is not None:
                version = write.version
                flags = write.uid & 0xffff if flags is None else flags
            if name.decode() != key.name or write is None or write.key is not key:
                self.violation("G1: " + said + " of another key", key, invoke - 0.2, back,
                               (invoke,))
                continue
            if not shared and writer.decode() != arm:
                self.violation("G1: " + said + ", another arm's", key, write.invoke, back,
                               (invoke, write.invoke))
                continue
            if write.invoke > back or write.version != int(version) or flags != write.uid & 0xffff:
                self.violation("G7: %s with flags %d; it was sent otherwise, or later" % (
                    said, flags), key, min(invoke, write.invoke), back, (invoke, write.invoke))
                continue
            size = LARGE if write.uid % self.large == 0 else write.uid % 50
            if filler is not None and len(filler) != size:
                self.violation("G7: %s, %d bytes of %d" % (said, len(filler), size), key,
                               write.invoke, back, (invoke, write.invoke))
                continue
            door = (sidecar, arm)
            if door not in bounds:
                bounds[door] = self.bound(key, sidecar, arm, settled)
            ends, invokes, commits = bounds[door]
            if self.journal and write.status == "ERROR" and not (write.fill or shared) and \
                    invoke > self.closed(write.sidecar, write.answered):
                self.violation("G5: %s through sidecar %d; it was answered with an error, and the "
                               "journal was replayed since" % (said, sidecar), key, write.invoke,
                               back, (invoke, write.invoke))
                continue
            for begun, done in flushes.get(door, ()):
                if write.sidecar == sidecar and write.end < begun and done < invoke and not shared:
                    self.violation("G10: %s through sidecar %d, which had begun a new generation"
                                   % (said, sidecar), key, write.invoke, back,
                                   (invoke, write.invoke))
                    break
            at = bisect.bisect_left(ends, invoke) - 1
            if at < 0:
                continue
            if invokes[at] > write.end:
                self.violation("G2: %s through sidecar %d; it was stored before an invalidation "
                               "began that had been acknowledged" % (said, sidecar), key,
                               write.missed or write.invoke, back,
                               (invoke, write.invoke, invokes[at]))
            elif self.epoch and write.fill and not shared and arm != "bare" and \
                    commits[at][0] > write.version:
                self.violation("G3: %s through sidecar %d, a fill older than the acknowledged "
                               "invalidation of version %d" % (said, sidecar, commits[at][0]), key,
                               write.missed - 0.005, back,
                               (invoke, write.invoke, commits[at][1]))

    def judge_cas(self, key, settled):
        seen = {}
        for invoke, back, sidecar, arm, base, number, gets, value in key.cas:
            mark = (None if key.name.startswith("s:") else arm, base, number, value)
            if mark in seen:
                self.violation("cas: two succeeded from one gets (value %d, number %d)" % (
                    base, number), key, gets - 0.05, back, (invoke, seen[mark]))
            seen[mark] = invoke
            for end in key.ends:
                if end[5] != "ERROR" and end[0] > gets and end[1] < invoke and \
                        self.knows(end[3], arm) and end[6] != "append":
                    self.violation("cas: it succeeded over a whole invalidation since its gets",
                                   key, gets - 0.05, back, (invoke, end[0]))
                    break

    def judge_counter(self, key):
        seen = {}
        highest = {}
        for invoke, back, number in sorted(key.numbers, key=lambda entry: entry[1]):
            if number in seen:
                self.violation("counter: %d was given twice" % number, key, seen[number], back,
                               (invoke, seen[number]))
            seen[number] = invoke
        events = sorted([(invoke, 1, number) for invoke, _, number in key.numbers] +
                        [(back, 0, number) for _, back, number in key.numbers])
        floors = {}
        for _, begins, number in events:
            generation = number // GENERATION
            if begins:
                floors[number] = highest.get(generation, 0)
            else:
                if number < floors.get(number, 0):
                    self.violation("counter: %d was given after %d" % (number, floors[number]), key)
                highest[generation] = max(highest.get(generation, 0), number)

    def judge_lock(self, key, settled, losses):
        held = sorted(key.locks)
        for first, second in zip(held, held[1:]):
            if first[1] >= second[0] or first[3] <= second[1]:
                continue
            if any(begin <= second[1] and end >= first[0] for begin, end in losses):
                continue
            # A release that was answered with an error, or not at all, may happen until the end.
            if any(status not in ("OK", "NOT_FOUND", "UNSENT") and invoke < second[1]
                   for invoke, _, status in key.releases):
                continue
            # Nor is it known of a release under way whose lock it takes away.
            if any(invoke < second[1] and back > first[0] and invoke != first[3]
                   for invoke, back, status in key.releases):
                continue
            self.violation("lock: two holders", key, first[0], second[1], (first[0], second[0]))
