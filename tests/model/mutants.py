"""Daemons with one guarantee switched off, made from the sources by exact replacement.

The judge of the random histories has to find each, or it proves nothing. A mutant is the build's own
daemon, linked anew with the changed files in front of the libraries; nothing of it is ever in a
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
    def __init__(self, mode, finds, changes, kinds=None, count=10, weights=None, **more):
        self.mode, self.finds, self.changes = mode, finds, changes
        self.round = dict(kinds=kinds, count=count, weights=weights, **more)


# name: the mode, what the violation's first line begins with, [(file, old, new)], and the round.
MUTANTS = {
    "fanout-no-companion": Mutant("fanout", "G2", [(
        "src/relay/mc_coherence.c",
        "    if (!mc_is_mutation(client, place, verb, key))\n        return;\n    if (connection->",
        "    if (!mc_is_mutation(client, place, verb, key) || key.len > 0)\n        return;\n"
        "    if (connection->")], count=0),
}


def replaced(source, changes):
    """{file: its new text}."""
    texts = {}
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
    texts = replaced(harness.SOURCE, mutant.changes)
    objects = []
    link = None
    for file, text in texts.items():
        changed = os.path.join(folder, os.path.basename(file))
        with open(changed, "w") as handle:
            handle.write(text)
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
