"""A client of each protocol, for tests that go through the same in all three."""
import base64
import os
import re
import struct

import binary_cases as binary
import harness


class Speaker:
    """Requests as bytes and replies as values: several may be asked at once (ask), or one (get, set...)."""

    def __init__(self, wire):
        self.wire = wire

    def ask(self, *requests):
        """The answers to all, sent in one piece."""
        self.wire.send(b"".join(self.request(*each) for each in requests))
        return [self.answer(*each) for each in requests]

    def get(self, key):
        """(flags, value), or None."""
        return self.ask(("get", key))[0]

    def value(self, key):
        found = self.get(key)
        return found and found[1]

    def set(self, key, value, flags=0):
        return self.ask(("set", key, value, flags))[0]

    def add(self, key, value, flags=0):
        return self.ask(("add", key, value, flags))[0]

    def append(self, key, value):
        return self.ask(("append", key, value))[0]

    def replace(self, key, value, flags=0):
        return self.ask(("replace", key, value, flags))[0]

    def delete(self, key):
        return self.ask(("delete", key))[0]

    def incr(self, key, by):
        return self.ask(("incr", key, by))[0]

    def touch(self, key, seconds=0):
        return self.ask(("touch", key, seconds))[0]

    def fill(self, key, value, flags=0):
        """A set that answers a miss."""
        self.get(key)
        return self.set(key, value, flags)


class Classic(Speaker):
    name = "classic"

    def request(self, verb, key, value=None, flags=0):
        if verb in ("get", "delete"):
            return b"%s %s\r\n" % (verb.encode(), key)
        if verb in ("incr", "touch"):
            return b"%s %s %d\r\n" % (verb.encode(), key, value)
        return b"%s %s %d 0 %d\r\n%s\r\n" % (verb.encode(), key, flags, len(value), value)

    def answer(self, verb, key, value=None, flags=0):
        del value, flags
        line = self.wire.line()
        if verb == "get":
            if line == b"END\r\n":
                return None
            found = re.fullmatch(rb"VALUE (.+) ([0-9]+) ([0-9]+)\r\n", line, re.DOTALL)
            if not found:
                return line
            if found.group(1) != key:
                raise AssertionError("asked for %r, got %r" % (key, line))
            value = self.wire.exactly(int(found.group(3)))
            self.wire.expect(b"\r\nEND\r\n")
            return int(found.group(2)), value
        return {b"STORED\r\n": True, b"NOT_STORED\r\n": False, b"DELETED\r\n": True, b"NOT_FOUND\r\n": False,
                b"TOUCHED\r\n": True}.get(line, int(line) if line[:-2].isdigit() else line)


class Meta(Speaker):
    """Keys that are no words go in base64. The answer has to carry the key as it was sent, and the opaque.

    memcached itself gives the key as it was stored: as it is, line ends and all, if that was in binary.
    """

    name = "meta"
    count = 0
    asks_for_key = not os.environ.get("CROSSFADE_REFERENCE")

    def __init__(self, wire):
        super().__init__(wire)
        self.sent = []

    def request(self, verb, key, value=None, flags=0):
        self.count += 1
        tail = b"O%d" % self.count + (b" k" if self.asks_for_key else b"")
        if any(byte in b" \r\n\0" for byte in key) or self.coded:
            key = base64.b64encode(key)
            tail += b" b"
        self.sent.append((key, b"O%d" % self.count))
        if verb == "get":
            return b"mg %s %s v f\r\n" % (key, tail)
        if verb == "delete":
            return b"md %s %s\r\n" % (key, tail)
        if verb == "incr":
            return b"ma %s %s v D%d\r\n" % (key, tail, value)
        if verb == "touch":
            return b"mg %s %s T%d\r\n" % (key, tail, value)
        mode = {"set": b"S", "add": b"E", "append": b"A", "replace": b"R"}[verb]
        return b"ms %s %d %s F%d M%s\r\n%s\r\n" % (key, len(value), tail, flags, mode, value)

    coded = False

    def answer(self, verb, key, value=None, flags=0):
        del value, flags
        line = self.wire.line()
        words = line.split()
        sent, opaque = self.sent.pop(0)
        if words[0] not in (b"VA", b"HD", b"EN", b"NS", b"NF", b"EX"):
            return line
        if opaque not in words or self.asks_for_key and b"k" + sent not in words:
            raise AssertionError("asked for %r, %r, got %r" % (key, opaque, line))
        if words[0] == b"VA":
            value = self.wire.exactly(int(words[1]))
            self.wire.expect(b"\r\n")
            if verb == "incr":
                return int(value)
            return int([word for word in words[2:] if word[:1] == b"f"][0][1:]), value
        if verb == "get":
            return None
        return words[0] == b"HD"


class Coded(Meta):
    """Every key in base64."""

    name = "meta, base64"
    coded = True


class Binary(Speaker):
    name = "binary"
    count = 0

    def __init__(self, wire):
        super().__init__(wire)
        self.sent = []

    def request(self, verb, key, value=None, flags=0):
        self.count += 1
        self.sent.append(self.count)
        more = {"opaque": self.count}
        if verb == "get":
            return binary.frame(binary.GETK, key, **more)
        if verb == "delete":
            return binary.frame(binary.DELETE, key, **more)
        if verb == "incr":
            return binary.count(binary.INCR, key, value, **more)
        if verb == "touch":
            return binary.touch(binary.TOUCH, key, value, **more)
        if verb == "append":
            return binary.frame(binary.APPEND, key, value, **more)
        return binary.store({"set": binary.SET, "add": binary.ADD, "replace": binary.REPLACE}[verb], key, value, flags,
                            **more)

    def answer(self, verb, key, value=None, flags=0):
        del value, flags
        head = self.wire.exactly(24)
        _, _, keylen, extra, _, status, size, opaque, _ = struct.unpack(">BBHBBHIIQ", head)
        body = self.wire.exactly(size)
        sent = self.sent.pop(0)
        if head[0] != 0x81 or opaque != sent:
            raise AssertionError("asked for %r, %d, got %r" % (key, sent, head))
        if verb == "get" and status in (0, 1):
            if body[extra:extra + keylen] != key:
                raise AssertionError("asked for %r, got %r" % (key, body))
            return None if status else (struct.unpack(">I", body[:4])[0], body[extra + keylen:])
        if status in (1, 2, 5):
            return False
        if status:
            return status
        return struct.unpack(">Q", body)[0] if verb == "incr" else True


ALL = [Classic, Meta, Coded, Binary]


def each(test, address_of):
    """A speaker of each protocol for each arm: {(protocol, arm): speaker}."""
    found = {}
    for protocol in ALL:
        for arm in ("py2", "py3"):
            wire = harness.Wire(address_of(arm))
            test.addCleanup(wire.close)
            found[protocol.name, arm] = protocol(wire)
    return found
