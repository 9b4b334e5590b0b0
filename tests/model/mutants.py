"""Daemons with one guarantee switched off, made from the sources by exact replacement.

The judge of the random histories has to find each, or it proves nothing. A mutant is the build's
own daemon, linked anew with the changed files in front of the libraries; nothing of it is ever in a
build folder. The text that is replaced must be there exactly once: who changes it changes it here.
"""
import os
import re
import shlex
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
import harness


class Mutant:
    def __init__(self, mode, finds, changes, kinds=None, count=10, weights=None, also=(), **more):
        self.mode, self.finds, self.changes, self.also = mode, finds, changes, also
        self.journal = more.pop("journal", False)
        self.round = dict(kinds=kinds, count=count, weights=weights, **more)


EPOCH, MISSES, CHANGE = "src/relay/mc_epoch.c", "src/route/misses.c", "src/relay/mc_change.c"
JOURNAL = "src/relay/mc_journal.c"
INVALIDATING = {"read_fill": 30, "delete": 14, "through": 25, "arm_counter": 0}
KILLS = {"kill server": 3, "cut": 3, "hold": 2}
CUTS = {"cut": 4, "hold": 2, "freeze server": 3}

# name: the mode, what the violation begins with (a regular expression), [(file, old, new)], and
# what is special about its rounds.
MUTANTS = {
    "fanout-no-companion": Mutant("fanout", "G2", [(
        "src/relay/mc_coherence.c",
        "    if (!mc_is_mutation(client, place, verb, key))\n        return;\n    op->flags |=",
        "    if (!mc_is_mutation(client, place, verb, key) || key.len > 0)\n        return;\n"
        "    op->flags |=")], count=0),
    # A stamp is not compared with the epoch.
    "no-compare": Mutant("epoch", "G[23]", [(
        EPOCH, "if (token_equal(&token, &op->token) ||", "if (token.words[0] != 1 ||")], count=0),
    # An invalidation is the own arm's alone.
    "own-arm-only": Mutant("epoch", "G[23]", [(
        EPOCH, "    keyspace_epoch(keyspace_of(op), key, &place);\n    part = part_create("
        "connection, op, kind ==", "    if (key.len > 0)\n        return true;\n    keyspace_epoch("
        "keyspace_of(op), key, &place);\n    part = part_create(connection, op, kind ==")],
        count=0),
    # A fill is stamped with the token of the moment at which it is stored.
    "token-at-store": Mutant("epoch", "G3", [(
        EPOCH, "return MC_EPOCH_FILL;", "return MC_EPOCH_CHANGE;")], count=0),
    # A younger miss's token stands for the older ones too.
    "no-mixed": Mutant("epoch", "G3", [(
        MISSES, "        flags |= FLAG_MIXED;\n        set->mixed[way]",
        "        set->mixed[way]")], count=0),
    # The first fill takes all misses of its key with it.
    "take-all": Mutant("epoch", "G3", [(
        MISSES, "if (set->counts[way] < COUNT_MAX && --set->counts[way] == 0)",
        "if (set->counts[way] < COUNT_MAX)")], count=0),
    # A miss whose token is not known is none.
    "unknown-is-none": Mutant("epoch", "G3", [(
        MISSES, "    if (token_is_none(token) || ((mark",
        "    if (token_is_none(token))\n        return MISS_NONE;\n    if (((mark")], kinds=CUTS, count=14),
    # An add stores with the present token, whichever it answers a miss of.
    "add-now": Mutant("epoch", "G3", [(
        CHANGE, "(fills && !token_equal(&change->miss, &change->now.token))",
        "(fills && change->rounds > MC_CHANGE_ROUNDS)")], count=0, adds=0.6),
    # A change overwrites the epoch item that another has written meanwhile.
    "blind-change": Mutant("epoch", "G[23]|cas", [(
        "src/relay/mc_change_write.c", "!token_is_none(&change->now.token) ? MC_ERRAND_CAS",
        "!token_is_none(&change->now.token) ? MC_ERRAND_SET")], count=0,
        weights={"cas": 30, "append": 20}),
    # What a change keeps current is any value.
    "keep-any": Mutant("epoch", "G[23]", [(
        EPOCH, "op->keep != 0 && op->keep == cas", "op->keep != 0")], count=0,
        weights={"cas": 20, "append": 20}),
    # An add that failed gives its miss back only if its token was known.
    "add-no-put-back": Mutant("epoch", "G3", [(
        CHANGE, "if (change->verdict != MISS_NONE && change->op->client",
        "if (change->verdict == MISS_FILL && change->op->client")], kinds=KILLS, count=14,
        retries=0.95, adds=0.8),
    # What could not be delivered is forgotten.
    "no-journal": Mutant("epoch", "G[23]", [(
        JOURNAL, "    ensure(wire.len > 0 && wire.len <= KEY_MAX);",
        "    if (wire.len > 0)\n        return true;")], kinds=CUTS, count=14, journal=True,
        weights=INVALIDATING),
    "fanout-no-journal": Mutant("fanout", "G2", [(
        JOURNAL, "    ensure(wire.len > 0 && wire.len <= KEY_MAX);",
        "    if (wire.len > 0)\n        return true;")], kinds=CUTS, count=14, journal=True,
        weights=INVALIDATING),
    # Reads go on before it is delivered.
    "no-gate": Mutant("epoch", "G[23]", [(
        "include/crossfade/relay/mc_journal.h", "    if (gate == 0)\n        return false;",
        "    if (gate < UINT64_MAX)\n        return false;")], kinds=CUTS, count=14, journal=True,
        weights=INVALIDATING, also=("src/relay/mc_text_get.c", "src/relay/mc_meta.c",
                                    "src/relay/mc_binary_forward.c")),
    # It is delivered while the server may still run what it was sent before.
    "no-fence": Mutant("epoch", "G[235]", [(
        "src/relay/mc_fence.c", "    if ((connection->state != MC_READY",
        "    if (server->refs > 0 || (connection->state != MC_READY")],
        kinds={"stall": 1}, count=14, journal=True, weights=INVALIDATING),
    # It dies with its process.
    "journal-in-memory": Mutant("epoch", "G[23]", [(
        JOURNAL, "        if (known)\n            count++;",
        "        if (known)\n            continue;")],
        kinds={"kill sidecar": 3, "hold": 4, "cut": 2, "freeze server": 2}, count=16, journal=True,
        weights=INVALIDATING),
    # A fill that failed does not give its miss back, and is tried again.
    "no-put-back": Mutant("epoch", "G3", [(
        "src/relay/mc_op.c", "    if (op->client != NULL)\n        mc_epoch_put_back(",
        "    if (op->client == NULL)\n        mc_epoch_put_back(")], kinds=CUTS, count=14,
        retries=0.9),
}


def replaced(source, changes, also):
    """{file: its new text}; `also`: what is compiled anew as it is, because of a header."""
    texts = {}
    for file in also:
        with open(os.path.join(source, file)) as handle:
            texts[file] = handle.read()
    for file, old, new in changes:
        if file not in texts:
            with open(os.path.join(source, file)) as handle:
                texts[file] = handle.read()
        if texts[file].count(old) != 1:
            raise AssertionError("%s has %d times what a mutant replaces:\n%s"
                                 % (file, texts[file].count(old), old))
        texts[file] = texts[file].replace(old, new)
    return texts


def build(mutant, folder):
    """Makes folder/crossfade (and crossfadectl, as it is); returns the folder."""
    plain = harness.build_folder()
    texts = replaced(harness.SOURCE, mutant.changes, mutant.also)
    objects = []
    link = None
    for file, text in sorted(texts.items()):
        # A header (they come first) keeps its place under include/, which is looked into first.
        header = file.endswith(".h")
        changed = os.path.join(folder, file if header else os.path.basename(file))
        os.makedirs(os.path.dirname(changed), exist_ok=True)
        with open(changed, "w") as handle:
            handle.write(text)
        if header:
            continue
        said = subprocess.run(
            ["make", "-n", "-W", os.path.join(harness.SOURCE, file), "V=1", "crossfade"],
            cwd=plain, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60).stdout.decode()
        lines = said.replace("\\\n", " ").split("\n")
        name = os.path.splitext(file)[0] + ".o"
        compiles = [line for line in lines if re.search(r"-c -o %s " % re.escape(name), line)]
        links = [line for line in lines if " -o crossfade " in line]
        if len(compiles) != 1 or len(links) != 1:
            raise AssertionError("make does not say how %s is compiled:\n%s" % (file, said))
        words = shlex.split(re.search(r"\b\S+ -DHAVE_CONFIG_H .*?\.c(?= |$)", compiles[0])[0])
        place = os.path.join(folder, os.path.basename(name))
        for option in ("-MT", "-MF", "-o"):
            if option in words:
                at = words.index(option)
                del words[at:at + 2]
        words = [word for word in words[:-1] if word not in ("-MD", "-MP", "-Werror")]
        words[1:1] = ["-I" + os.path.join(folder, "include")]
        words += ["-w", "-I" + os.path.dirname(os.path.join(harness.SOURCE, file)), "-o", place,
                  changed]
        call(words, plain)
        objects.append(place)
        link = links[0]
    words = shlex.split(link)
    at = words.index("-o")
    first = next(number for number, word in enumerate(words) if word.endswith(".a"))
    words[first:first] = objects
    words[at + 1] = os.path.join(folder, "crossfade")
    call(words, plain)
    os.symlink(os.path.join(plain, "crossfadectl"), os.path.join(folder, "crossfadectl"))
    return folder


def call(words, folder):
    done = subprocess.run(words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=120)
    if done.returncode != 0:
        raise AssertionError("%s:\n%s" % (" ".join(words), done.stdout.decode()))
