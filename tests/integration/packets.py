"""The binary memcache protocol for tests: requests as bytes, replies as tuples."""
import collections
import struct

GET, SET, ADD, REPLACE, DELETE, INCR, DECR, QUIT, FLUSH, GETQ, NOOP, VERSION, GETK, GETKQ = range(14)
APPEND, PREPEND, STAT, SETQ, ADDQ, REPLACEQ, DELETEQ, INCRQ, DECRQ, QUITQ, FLUSHQ = range(14, 25)
APPENDQ, PREPENDQ = 0x19, 0x1a
TOUCH, GAT, GATQ, SASL_LIST, SASL_AUTH, GATK, GATKQ = 0x1c, 0x1d, 0x1e, 0x20, 0x21, 0x23, 0x24

DONE, NOT_FOUND, EXISTS, TOO_LARGE, INVALID, NOT_STORED = range(6)
AUTH_ERROR, UNKNOWN, TEMPORARY = 0x20, 0x81, 0x86

HEAD = struct.Struct(">BBHBBHIIQ")
Reply = collections.namedtuple("Reply", "opcode status key extras value opaque cas")


def packet(magic, opcode, key, extras, value, status, opaque, cas):
    return HEAD.pack(magic, opcode, len(key), len(extras), 0, status,
                     len(extras) + len(key) + len(value), opaque, cas) + extras + key + value


def request(opcode, key=b"", value=b"", extras=b"", opaque=0, cas=0):
    return packet(0x80, opcode, key, extras, value, 0, opaque, cas)


def reply(opcode, status=DONE, key=b"", value=b"", extras=b"", opaque=0, cas=0):
    return packet(0x81, opcode, key, extras, value, status, opaque, cas)


def store(opcode, key, value, flags=0, **more):
    return request(opcode, key, value, struct.pack(">II", flags, 0), **more)


def count(opcode, key, by, initial=0, expiry=0xffffffff, **more):
    return request(opcode, key, b"", struct.pack(">QQI", by, initial, expiry), **more)


def touch(opcode, key, **more):
    return request(opcode, key, b"", struct.pack(">I", 0), **more)


class Binary:
    """A binary client on a harness.Wire."""

    def __init__(self, wire):
        self.wire = wire

    def send(self, *requests):
        self.wire.send(b"".join(requests))
        return self

    def read(self):
        head = self.wire.exactly(HEAD.size)
        magic, opcode, key_len, extras_len, _, status, body_len, opaque, cas = HEAD.unpack(head)
        if magic != 0x81:
            raise AssertionError("no reply: %r" % (head + self.wire.pending[:100]))
        body = self.wire.exactly(body_len)
        key_end = extras_len + key_len
        return Reply(opcode, status, body[extras_len:key_end], body[:extras_len], body[key_end:],
                     opaque, cas)

    def ask(self, *requests):
        """The reply to the last of these, which is the only one to reply."""
        return self.send(*requests).read()

    def until(self, opaque):
        """The replies up to the one with this opaque."""
        replies = [self.read()]
        while replies[-1].opaque != opaque:
            replies.append(self.read())
        return replies

    def barrier(self, *requests):
        """All replies to these."""
        return self.send(*requests, request(NOOP, opaque=0x4e4f4f50)).until(0x4e4f4f50)[:-1]

    def get(self, key):
        """The value, or None."""
        got = self.ask(request(GET, key))
        if got.status not in (DONE, NOT_FOUND):
            raise AssertionError(got)
        return got.value if got.status == DONE else None

    def set(self, key, value, **more):
        return self.ask(store(SET, key, value, **more)).status

    def fill(self, key, value):
        """A set that answers a miss."""
        if self.get(key) is not None:
            raise AssertionError("%r is there already" % key)
        return self.set(key, value)

    def delete(self, key):
        return self.ask(request(DELETE, key)).status
