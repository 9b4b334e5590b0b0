"""The cases of meta_cases.py for epoch mode: without those that are answered otherwise there, on purpose
(doc/coherence.md), and what is answered otherwise.
"""
import re

import meta_cases
from meta_cases import *  # noqa: F401, F403


def differs(line):
    """Is this command one of them?"""
    words = line.split()
    command = words[0] if words else b""
    flags = {word[:1] for word in words[2:]}
    return (command == b"md" and b"I" in flags                          # nobody is given what is stale
            or command == b"mg" and b"N" in flags                       # who does not ask with N gets a miss
            or command == b"ms" and (b"I" in flags or b"N" in flags)    # never stored as stale; MA N is of later servers
            or command == b"ma" and re.search(rb" t.* [TN]", line)      # the time that it has now, not that of before
            or command in (b"mg", b"ma") and any(word[:1] == b"O" and len(word) > 32 for word in words))


def is_same(case):
    return not any(differs(line) for line in case.split(b"\r\n"))


def answering():
    groups = meta_cases.answering()
    for name, group in groups.items():
        groups[name] = [case for case in group if is_same(case)]
    return groups


def large_values():
    return [case for case in meta_cases.large_values() if is_same(case)]


def encodings():
    return [case for case in meta_cases.encodings() if is_same(case)]


def normal(reply, servers=1):
    """Without whether a value was read before: a change reads it."""
    reply = re.sub(rb"(?m)^((?:VA [0-9]+|HD)(?: [^ \r\n]+)*?) h[01](?=[ \r])", rb"\1", reply)
    return meta_cases.normal(re.sub(rb"(?m)^(ME [^\r\n]* fetch=)(?:yes|no)", rb"\1yes", reply), servers)


FLOWS = [steps for steps in meta_cases.FLOWS if all(is_same(step) for step in steps)]

ODD = [odd for odd in meta_cases.ODD if is_same(odd.data)] + [
    meta_cases.Odd(*odd) for odd in (
        (b"md a I T30\r\nmg a v\r\nmg a v\r\n", rb"HD\r\nVA 5 X W\r\nhello\r\nVA 5 (X Z|Z X)\r\nhello\r\n",
         rb"HD\r\nEN\r\nEN\r\n", "what is marked as stale is not served"),
        (b"mg zz N30 v\r\nmg zz N30 v\r\nmg zz v\r\nget zz\r\n",
         rb"VA 0 W\r\n\r\nVA 0 Z\r\n\r\nVA 0 Z\r\n\r\nVALUE zz 0 0\r\n\r\nEND\r\n",
         rb"VA 0 W\r\n\r\nVA 0 Z\r\n\r\nEN\r\nEND\r\n", "what N has made is shown to who asks with N"),
        (b"ms zz 1 MA N30\r\nx\r\n", rb"NS\r\n", rb"HD\r\n", "as later servers do it"),
        (b"ma n t T60 v\r\n", rb"VA 2 t-1\r\n11\r\n", rb"VA 2 t(60|59)\r\n11\r\n", "the time that it has now"),
        (b"ma n O" + b"o" * 40 + b"\r\nmg n v\r\n", rb"CLIENT_ERROR opaque token too long\r\nVA 2\r\n11\r\n",
         rb"CLIENT_ERROR opaque token too long\r\nVA 2\r\n10\r\n", "what is refused is not done"),
        (b"ms a 1 I C1\r\nx\r\nmg a v\r\n", rb"(HD|EX)\r\n(?s:.*)", rb"EX\r\nVA 5\r\nhello\r\n",
         "an older value is not stored as a stale one"))]
