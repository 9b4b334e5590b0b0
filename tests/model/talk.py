"""A memcache client for random histories: classic, meta and binary, one command at a time.

A request is (verb, key, ...) as below; a reply is (status, value, cas, flags):

    get k, gets k, gat k exptime       HIT value cas flags, MISS
    set|add|replace k flags value      STORED, NOT_STORED
    append|prepend k value             STORED, NOT_STORED
    cas k flags value number           STORED, EXISTS, NOT_FOUND
    delete k, touch k exptime          OK, NOT_FOUND
    incr|decr k delta                  NUMBER value, NOT_FOUND
    getmany k k...                     MANY {key: (value, cas, flags)}
    flush                              OK

and for all of them ERROR text: the server or the daemon says that it failed. LOST: the connection
ended before the answer; UNSENT: there was none.
"""
import struct


class Broken(Exception):
    """The peer does not speak the protocol."""


class Classic:
    """Classic commands."""

    def encode(self, request):
        verb, key = request[0], request[1] if len(request) > 1 else b""
        if verb in ("get", "gets"):
            return b"%s %s\r\n" % (verb.encode(), key)
        if verb == "getmany":
            return b"gets " + b" ".join(request[1:]) + b"\r\n"
        if verb == "gat":
            return b"gats %d %s\r\n" % (request[2], key)
        if verb in ("set", "add", "replace"):
            return b"%s %s %d 0 %d\r\n%s\r\n" % (verb.encode(), key, request[2], len(request[3]),
                                                 request[3])
        if verb in ("append", "prepend"):
            return b"%s %s 0 0 %d\r\n%s\r\n" % (verb.encode(), key, len(request[2]), request[2])
        if verb == "cas":
            return b"cas %s %d 0 %d %d\r\n%s\r\n" % (key, request[2], len(request[3]), request[4],
                                                     request[3])
        if verb == "delete":
            return b"delete %s\r\n" % key
        if verb in ("touch", "incr", "decr"):
            return b"%s %s %d\r\n" % (verb.encode(), key, request[2])
        if verb == "flush":
            return b"flush_all\r\n"
        raise ValueError(verb)

    def decode(self, request, data):
        """(reply, bytes used), or None: not all is here."""
        if request[0] in ("get", "gets", "gat", "getmany"):
            found, at = {}, 0
            while True:
                end = data.find(b"\r\n", at)
                if end < 0:
                    return None
                words = bytes(data[at:end]).split(b" ")
                if words[0] == b"VALUE":
                    size = int(words[3])
                    if len(data) < end + 2 + size + 2:
                        return None
                    if data[end + 2 + size:end + 4 + size] != b"\r\n":
                        raise Broken("no line end behind a value: %r" % data[at:at + 200])
                    found[words[1]] = (bytes(data[end + 2:end + 2 + size]),
                                       int(words[4]) if len(words) > 4 else 0, int(words[2]))
                    at = end + 4 + size
                elif words[0] == b"END":
                    return self.found(request, found), end + 2
                elif words[0] in (b"SERVER_ERROR", b"CLIENT_ERROR", b"ERROR"):
                    return ("ERROR", bytes(data[at:end]), 0, 0), end + 2
                else:
                    raise Broken("%r" % data[at:at + 200])
        end = data.find(b"\r\n")
        if end < 0:
            return None
        return self.line(request, bytes(data[:end])), end + 2

    def found(self, request, found):
        if request[0] == "getmany":
            if not set(found) <= set(request[1:]):
                raise Broken("keys that were not asked for: %r" % found)
            return ("MANY", found, 0, 0)
        if not found:
            return ("MISS", None, 0, 0)
        if list(found) != [request[1]]:
            raise Broken("asked for %r, got %r" % (request[1], found))
        return ("HIT",) + found[request[1]]

    def line(self, request, line):
        simple = {b"STORED": "STORED", b"NOT_STORED": "NOT_STORED", b"EXISTS": "EXISTS",
                  b"NOT_FOUND": "NOT_FOUND", b"DELETED": "OK", b"TOUCHED": "OK", b"OK": "OK"}
        if line in simple:
            return (simple[line], None, 0, 0)
        if line.strip().isdigit() and request[0] in ("incr", "decr"):
            return ("NUMBER", int(line), 0, 0)
        if line.split(b" ")[0] in (b"SERVER_ERROR", b"CLIENT_ERROR", b"ERROR"):
            return ("ERROR", line, 0, 0)
        raise Broken("%r answered by %r" % (request[:2], line))


class Meta(Classic):
    """Meta commands; what they do not have goes in classic ones over the same connection."""

    MODES = {"set": b"S", "add": b"E", "replace": b"R", "append": b"A", "prepend": b"P"}

    def encode(self, request):
        verb, key = request[0], request[1] if len(request) > 1 else b""
        if verb in ("get", "gets"):
            return b"mg %s v c f k\r\n" % key
        if verb == "gat":
            return b"mg %s v c f k T%d\r\n" % (key, request[2])
        if verb in ("set", "add", "replace"):
            return b"ms %s %d F%d M%s\r\n%s\r\n" % (key, len(request[3]), request[2],
                                                    self.MODES[verb], request[3])
        if verb in ("append", "prepend"):
            return b"ms %s %d M%s\r\n%s\r\n" % (key, len(request[2]), self.MODES[verb], request[2])
        if verb == "cas":
            return b"ms %s %d F%d C%d\r\n%s\r\n" % (key, len(request[3]), request[2], request[4],
                                                    request[3])
        if verb == "delete":
            return b"md %s\r\n" % key
        if verb in ("incr", "decr"):
            return b"ma %s M%s D%d v\r\n" % (key, verb[0].upper().encode(), request[2])
        return super().encode(request)

    def decode(self, request, data):
        if request[0] in ("touch", "flush", "getmany"):
            return super().decode(request, data)
        end = data.find(b"\r\n")
        if end < 0:
            return None
        words = bytes(data[:end]).split(b" ")
        if words[0] == b"VA":
            size = int(words[1])
            if len(data) < end + 4 + size:
                return None
            value = bytes(data[end + 2:end + 2 + size])
            flags = {word[:1]: word[1:] for word in words[2:]}
            if request[0] in ("incr", "decr"):
                return ("NUMBER", int(value), 0, 0), end + 4 + size
            if flags.get(b"k") != request[1]:
                raise Broken("asked for %r, got %r" % (request[1], words))
            return ("HIT", value, int(flags[b"c"]), int(flags[b"f"])), end + 4 + size
        simple = {b"HD": "OK" if request[0] == "delete" else "STORED", b"EN": "MISS",
                  b"NS": "NOT_STORED", b"EX": "EXISTS", b"NF": "NOT_FOUND"}
        if words[0] in simple:
            return (simple[words[0]], None, 0, 0), end + 2
        if words[0] in (b"SERVER_ERROR", b"CLIENT_ERROR", b"ERROR"):
            return ("ERROR", bytes(data[:end]), 0, 0), end + 2
        raise Broken("%r answered by %r" % (request[:2], words))


class Binary:
    """Binary commands."""

    HEAD = struct.Struct(">BBHBBHIIQ")
    CODES = {"get": 0, "gets": 0, "set": 1, "cas": 1, "add": 2, "replace": 3, "delete": 4,
             "incr": 5, "decr": 6, "flush": 8, "append": 14, "prepend": 15, "touch": 0x1c,
             "gat": 0x1d}

    def packet(self, code, key=b"", extras=b"", value=b"", cas=0, opaque=0):
        return self.HEAD.pack(0x80, code, len(key), len(extras), 0, 0,
                              len(key) + len(extras) + len(value), opaque, cas) \
            + extras + key + value

    def encode(self, request):
        verb, key = request[0], request[1] if len(request) > 1 else b""
        if verb == "getmany":
            # GETKQ of each, and a NOOP behind them.
            return b"".join(self.packet(0x0d, each) for each in request[1:]) + self.packet(0x0a)
        code = self.CODES[verb]
        if verb in ("get", "gets", "delete"):
            return self.packet(code, key)
        if verb in ("set", "add", "replace"):
            return self.packet(code, key, struct.pack(">II", request[2], 0), request[3])
        if verb == "cas":
            return self.packet(code, key, struct.pack(">II", request[2], 0), request[3],
                               request[4])
        if verb in ("append", "prepend"):
            return self.packet(code, key, b"", request[2])
        if verb in ("incr", "decr"):
            return self.packet(code, key, struct.pack(">QQI", request[2], 0, 0xffffffff))
        if verb in ("touch", "gat"):
            return self.packet(code, key, struct.pack(">I", request[2]))
        return self.packet(code)

    def decode(self, request, data):
        verb, at, found = request[0], 0, {}
        while True:
            if len(data) < at + 24:
                return None
            magic, code, keys, extras, _, status, body, _, cas = self.HEAD.unpack_from(data, at)
            if magic != 0x81:
                raise Broken("%r answered by %r" % (request[:2], bytes(data[at:at + 40])))
            if len(data) < at + 24 + body:
                return None
            start = at + 24
            key = bytes(data[start + extras:start + extras + keys])
            value = bytes(data[start + extras + keys:start + body])
            flags = int.from_bytes(data[start:start + 4], "big") if extras >= 4 else 0
            at = start + body
            if verb != "getmany":
                break
            if code == 0x0a:
                return ("MANY", found, 0, 0), at
            if status == 0:
                found[key] = (value, cas, flags)
                if key not in request[1:]:
                    raise Broken("a key that was not asked for: %r" % key)
        if code != self.CODES[verb]:
            raise Broken("%r answered by opcode %d" % (request[:2], code))
        return self.reply(verb, status, value, cas, flags), at

    def reply(self, verb, status, value, cas, flags):
        if status in (0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 3, 4, 6, 0x20):
            return ("ERROR", b"status %d: %s" % (status, value), 0, 0)
        if verb in ("get", "gets", "gat"):
            return ("HIT", value, cas, flags) if status == 0 else ("MISS", None, 0, 0)
        if verb in ("incr", "decr") and status == 0:
            return ("NUMBER", int.from_bytes(value, "big"), 0, 0)
        if status == 0:
            return ("OK" if verb in ("delete", "touch", "flush") else "STORED", None, 0, 0)
        if verb == "add":
            return ("NOT_STORED", None, 0, 0)
        if verb in ("replace", "append", "prepend") and status in (1, 5):
            return ("NOT_STORED", None, 0, 0)
        if status == 2:
            return ("EXISTS", None, 0, 0)
        if status == 1:
            return ("NOT_FOUND", None, 0, 0)
        raise Broken("%s answered by status %d %r" % (verb, status, value))


DIALECTS = {"classic": Classic(), "meta": Meta(), "binary": Binary()}
