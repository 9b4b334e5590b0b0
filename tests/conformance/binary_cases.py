"""What a client may say in memcached's binary protocol, right and wrong, as bytes.

A case is a string of frames, sent in a known state (FIXTURE); TOUCHED is looked at afterwards. Some cases
end the connection: the suite sees that memcached does it and wants the same of us. DIFFERENT are those that
Crossfade answers otherwise, on purpose; the list is the documentation of that.
"""
import collections
import random
import struct

GET, SET, ADD, REPLACE, DELETE, INCR, DECR, QUIT, FLUSH, GETQ, NOOP, VERSION, GETK, GETKQ, APPEND, PREPEND = range(16)
STAT, SETQ, ADDQ, REPLACEQ, DELETEQ, INCRQ, DECRQ, QUITQ, FLUSHQ, APPENDQ, PREPENDQ, VERBOSITY = range(16, 28)
TOUCH, GAT, GATQ, SASL_LIST, SASL_AUTH, SASL_STEP, GATK, GATKQ = 0x1c, 0x1d, 0x1e, 0x20, 0x21, 0x22, 0x23, 0x24
GETS = [GET, GETQ, GETK, GETKQ]
GATS = [GAT, GATQ, GATK, GATKQ]
STORES = [SET, SETQ, ADD, ADDQ, REPLACE, REPLACEQ]
JOINS = [APPEND, APPENDQ, PREPEND, PREPENDQ]
COUNTS = [INCR, INCRQ, DECR, DECRQ]
DELETES = [DELETE, DELETEQ]
KNOWN = (GETS + GATS + STORES + JOINS + COUNTS + DELETES
         + [QUIT, QUITQ, FLUSH, FLUSHQ, NOOP, VERSION, STAT, TOUCH, SASL_LIST, SASL_AUTH, SASL_STEP])
NEVER = 0xffffffff  # of incr: do not create it
PAST = 2592001      # a date in 1970: gone at once

K250, K251 = b"m" * 250, b"o" * 251
TOUCHED = [b"a", b"n", b"zz", b"k", K250, b"l" * 249, b"x" * 245, b" ", b"a b", b"a\r\nget n", b"\0", b"\xff\x80", b"\n"]


def frame(opcode, key=b"", value=b"", extras=b"", opaque=0x01020304, cas=0, **odd):
    """A request; odd: magic, keylen, extlen, bodylen, datatype, vbucket as they would not be."""
    return struct.pack(
        ">BBHBBHIIQ", odd.get("magic", 0x80), opcode, odd.get("keylen", len(key)),
        odd.get("extlen", len(extras)), odd.get("datatype", 0), odd.get("vbucket", 0),
        odd.get("bodylen", len(extras) + len(key) + len(value)), opaque, cas) + extras + key + value


def store(opcode, key, value, flags=0, expiry=0, **more):
    return frame(opcode, key, value, struct.pack(">II", flags, expiry), **more)


def count(opcode, key, delta=1, initial=0, expiry=NEVER, **more):
    return frame(opcode, key, b"", struct.pack(">QQI", delta, initial, expiry), **more)


def touch(opcode, key, expiry=0, **more):
    return frame(opcode, key, b"", struct.pack(">I", expiry), **more)


NOTHING = frame(NOOP)
MARK = frame(NOOP, opaque=0x454f4621)
MARKED = b"\x81\x0a" + b"\0" * 10 + b"EOF!" + b"\0" * 8
SET_MARK = b""
FIXTURE = (b"".join(store(SETQ, key, b"", expiry=PAST) for key in TOUCHED[2:])
           + store(SETQ, b"a", b"hello", 5) + store(SETQ, b"n", b"55"))
LOOK = b"".join(frame(GETKQ, key, opaque=number) for number, key in enumerate(TOUCHED))


def usual(opcode, key=b"a", value=b"world", **more):
    """The frame as a client sends it."""
    if opcode in STORES:
        return store(opcode, key, value, 7, 0, **more)
    if opcode in COUNTS:
        return count(opcode, key, 1, 5, 0, **more)
    if opcode in GATS + [TOUCH]:
        return touch(opcode, key, **more)
    if opcode in JOINS:
        return frame(opcode, key, value, **more)
    if opcode in GETS + DELETES:
        return frame(opcode, key, **more)
    return frame(opcode, **more)


# decr pads a number that got shorter only if no earlier get is still being answered: not in mixes.
STEADY = GETS + GATS + [TOUCH] + STORES + JOINS + [INCR, INCRQ] + DELETES
WITH_KEY = GETS + GATS + [TOUCH] + STORES + JOINS + COUNTS + DELETES


def opcodes():
    """Every number, in a frame without a body; the unknown ones with one, too."""
    for opcode in range(256):
        if opcode in (STAT, FLUSH, FLUSHQ, VERSION, VERBOSITY, SASL_LIST):
            continue
        yield frame(opcode)
        if opcode not in KNOWN:
            for value in (b"x", b"get a\r\n", frame(GET, b"a")):
                yield frame(opcode, value=value)
            yield frame(opcode) + frame(GET, b"a") + frame(opcode, value=b"12345678")
    yield frame(VERSION)
    for opcode in WITH_KEY:
        for key in (b"a", b"n", b"zz"):
            yield usual(opcode, key)
            yield usual(opcode, key, opaque=0)
            yield usual(opcode, key, opaque=0xffffffff) + NOTHING
            yield usual(opcode, key) * 3
            yield frame(GET, b"n") + usual(opcode, key) + frame(GETK, b"a") + usual(opcode, key)


def keys():
    for opcode in WITH_KEY:
        for key in TOUCHED[3:] + [b"A", b"\x01", b"\r", b"\t", b"get a", b"*", b"a" * 100]:
            value = b"9" if opcode in STORES + JOINS else b""
            yield (usual(opcode, key, value) + usual(opcode, key, value) + frame(GETK, key) + frame(GETKQ, key)
                   + frame(DELETE, key) + frame(GETK, key) + touch(GATK, key))
        for size in (251, 252, 255, 256, 257, 300, 1000, 1900):
            yield usual(opcode, b"o" * size, b"get a")
            yield frame(GET, b"a") + usual(opcode, b"o" * size, frame(DELETE, b"a"))
        yield usual(opcode, b"")
        yield usual(opcode, b"", b"")
    for key in TOUCHED[3:]:
        yield (store(SET, key, b"12", 3) + frame(GETK, key) + count(INCR, key) + frame(APPEND, key, b"0")
               + frame(PREPEND, key, b"1") + frame(GET, key) + touch(TOUCH, key, 100) + touch(GATK, key, 0)
               + store(REPLACE, key, b"x") + store(ADD, key, b"y") + frame(GETKQ, key) + frame(DELETE, key)
               + frame(GETK, key) + frame(GETKQ, key) + NOTHING)


def extras():
    """Of every length, with a key and without, right and wrong."""
    for opcode in KNOWN:
        if opcode in (STAT, FLUSH, FLUSHQ):
            continue
        for size in (0, 1, 3, 4, 5, 7, 8, 9, 12, 16, 19, 20, 21, 24, 28, 64, 255):
            if opcode in GATS + [TOUCH] and size == 4 or opcode in (SASL_AUTH, SASL_STEP) and size == 0:
                continue  # memcached takes the value for the next frame; see DIFFERENT
            yield frame(opcode, b"a", b"", b"\0" * size)
            yield frame(opcode, b"", b"", b"\0" * size)
            if not (opcode in STORES and size == 8 or opcode in JOINS and size == 0):
                yield frame(opcode, b"a", b"world", b"\0" * size)
        yield frame(opcode, value=b"x")
    for opcode in GETS + DELETES:
        yield frame(opcode, b"a", b"v")
    for opcode in COUNTS:
        yield count(opcode, b"n")[:7] + b"" + count(opcode, b"n")[7:]
        yield frame(opcode, b"n", b"v", struct.pack(">QQI", 1, 1, 0))
    for opcode in (NOOP, QUIT, QUITQ, VERSION):
        yield frame(opcode, b"a")
        yield frame(opcode, b"", b"", b"\0" * 4)


def lengths():
    """A body that is shorter than what is in it."""
    for opcode in WITH_KEY + [NOOP, VERSION, QUIT, 0x55]:
        extra = len(usual(opcode)) - 24 - 1 - (5 if opcode in STORES + JOINS else 0)
        extra = extra if opcode in WITH_KEY else 0
        for body in (0, 1, extra, extra + 2):
            for keylen in (3, 5, 10):
                if keylen + extra > body:
                    yield frame(opcode, keylen=keylen, extlen=extra, bodylen=body) + b"k" * (keylen + extra)
        yield frame(opcode, keylen=1, extlen=255, bodylen=200) + b"k" * 256
        yield frame(opcode, keylen=65535, extlen=0, bodylen=10) + b"k" * 1000 + b"k" * (65535 - 1000)


def magic():
    """What begins otherwise than a request, behind one that does."""
    # NOOP makes memcached write: what it still holds is lost with the connection
    for byte in (0, 1, 0x0a, 0x20, 0x67, 0x73, 0x7f, 0x81, 0x82, 0xff):
        yield frame(GET, b"a") + NOTHING + frame(GET, b"a", magic=byte)
        yield frame(GETQ, b"zz") + NOTHING + frame(SETQ, magic=byte)
    yield frame(GET, b"a") + NOTHING + b"get a\r\n" + b"\0" * 24
    yield frame(SETQ, b"a", b"hello", b"\0" * 8, bodylen=10) + NOTHING + b"\0" * 24


def fields():
    """Data type and vbucket are not looked at; the opaque comes back, a CAS is compared where it matters."""
    for opcode in WITH_KEY + [NOOP]:
        for odd in ({"datatype": 1}, {"datatype": 0xff}, {"vbucket": 1}, {"vbucket": 0xffff}):
            yield usual(opcode, **odd)
        for opaque in (0, 1, 0x80000000, 0xdeadbeef, 0xffffffff, 0x0d0a0d0a):
            yield usual(opcode, opaque=opaque) + usual(opcode, b"zz", opaque=opaque)
        # no item has this one
        for cas in (0xffffffffffffffff, 0x8000000000000000, 0x7fffffffffffffff):
            for key in (b"a", b"n", b"zz"):
                yield usual(opcode, key if opcode != NOOP else b"", cas=cas)


def storage():
    for opcode in STORES:
        for key in (b"a", b"zz"):
            for flags in (0, 1, 0x80000000, 0xffffffff, 0x0d0a0d0a):
                yield store(opcode, key, b"value", flags)
            for expiry in (0, 100, 2592000, PAST, 1, 0x7fffffff, 0x80000000, 0xffffffff):
                if expiry != 1:
                    yield store(opcode, key, b"value", 0, expiry)
            for value in (b"", b"\r\n", b"\0", b"get a\r\n", frame(GET, b"n"), frame(DELETE, b"a") * 3, b"v" * 1000,
                          b"w" * 5000, b"v" * 16385, b"v" * 65537):
                yield store(opcode, key, value)
    for opcode in JOINS:
        for key in (b"a", b"zz"):
            for value in (b"", b"!", b"\r\n", b"v" * 5000, frame(GET, b"n")):
                yield frame(opcode, key, value) + frame(GET, key)


def arithmetic():
    top = 0xffffffffffffffff
    for opcode in COUNTS:
        for delta in (0, 1, 5, 10, 11, 1 << 63, top):
            for key in (b"n", b"zz", b"a"):
                yield count(opcode, key, delta) + frame(GET, key)
                yield count(opcode, key, delta, 7, 0) + frame(GET, key)
        for initial in (0, 1, 99, 1 << 63, top):
            for expiry in (0, 100, PAST, NEVER, 0xfffffffe):
                yield count(opcode, b"zz", 3, initial, expiry) + count(opcode, b"zz", 1) + frame(GET, b"zz")
        for value in (b"0", b"9", b"99", b"100", b"18446744073709551615", b"18446744073709551616",
                      b"18446744073709551614", b"-1", b"+1", b" 12", b"12 ", b"1x", b"x", b"", b"007", b"1.5", b"\0"):
            yield store(SETQ, b"n", value, 9) + count(opcode, b"n") + frame(GET, b"n")
            yield store(SETQ, b"n", value, 9) + count(opcode, b"n", 10, 3, 0) + frame(GET, b"n")
    yield (count(INCR, b"zz", 1, 1, 0) + count(INCR, b"zz", 1) + count(DECR, b"zz", 5) + count(INCRQ, b"zz", 3)
           + count(DECRQ, b"zz", 1) + frame(GETQ, b"zz") + frame(DELETEQ, b"zz") + count(INCR, b"zz") + NOTHING)


def touching():
    for opcode in GATS + [TOUCH]:
        for key in (b"a", b"zz", K250):
            for expiry in (0, 100, PAST, 0x7fffffff, 0xffffffff):
                yield touch(opcode, key, expiry)
                yield touch(opcode, key, expiry) * 2 + frame(GETK, key)
    yield b"".join(touch(opcode, key, 100) for opcode in GATS for key in (b"a", b"zz", b"n")) + NOTHING


def quiet():
    """What a quiet command still says, and NOOP as the barrier behind them."""
    silent = [GETQ, GETKQ, GATQ, GATKQ, SETQ, ADDQ, REPLACEQ, DELETEQ, INCRQ, APPENDQ, PREPENDQ, DECRQ]
    for first in silent:
        for key in (b"a", b"zz", b"n"):
            yield usual(first, key)
            yield usual(first, key) + NOTHING
            yield usual(first, key, opaque=7) + frame(VERSION)
            yield usual(first, key, opaque=7) + frame(QUIT)
            yield usual(first, key, opaque=7) + frame(QUITQ)
            yield usual(first, key, opaque=7) + usual(first, b"")
    dice = random.Random(4)
    for size in (2, 3, 5, 10, 30, 100):
        for _ in range(6):
            yield b"".join(usual(dice.choice(silent[:-1]), dice.choice((b"a", b"n", b"zz", b"k", b"a b", K250)), b"%d" % at,
                                 opaque=at) for at in range(size)) + NOTHING
    yield NOTHING * 50
    yield b"".join(frame(GETKQ, b"zz", opaque=at) for at in range(100)) + frame(NOOP, opaque=100)
    yield b"".join(frame(GETKQ, b"a", opaque=at) for at in range(100)) + frame(GETK, b"zz", opaque=100)
    yield frame(QUIT)
    yield frame(QUITQ)
    yield frame(GET, b"a") + frame(QUIT, opaque=9) + frame(GET, b"a")
    yield frame(GETQ, b"a") + frame(QUITQ, opaque=9) + frame(GET, b"a")
    yield store(SETQ, b"a", b"x") + frame(QUITQ)


def random_frames():
    dice = random.Random(11)
    for _ in range(300):
        frames = []
        for at in range(dice.randint(1, 12)):
            opcode = dice.choice(STEADY + [NOOP, 0x55, 0xee])
            key = dice.choice([b"a", b"a", b"n", b"n", b"zz", b"zz", b"k", b"a b", b"\0", K250])
            frames.append(usual(opcode, key, b"%d" % dice.randint(0, 1000), opaque=at,
                                cas=dice.choice([0, 0, 0, 0, 1 << 60])) if opcode in WITH_KEY
                          else frame(opcode, opaque=at))
        yield b"".join(frames)


def large_values():
    """Too large is refused and swallowed; only SET takes the old value away."""
    for number, opcode in enumerate((SET, SETQ, ADD, REPLACE, REPLACEQ)):
        for key in (b"a", b"zz"):
            yield store(opcode, key, b"0123456789" * 30000, 3)
            yield store(opcode, key, b"v" * 1048576 if number % 2 else frame(DELETE, b"n") * 45000) + frame(GETK, key)
    for opcode in (APPEND, PREPENDQ):
        yield frame(opcode, b"a", b"w" * 300000) + frame(GETK, b"a")
        yield frame(opcode, b"a", b"w" * 1500000) + frame(GETK, b"a")
        yield frame(opcode, b"zz", b"w" * 1500000) + frame(GETK, b"zz")
    yield store(SET, b"a b", b"v" * 600000) + frame(GETK, b"a b") * 3 + frame(GETKQ, b"a b") + NOTHING
    yield store(SET, b"a", b"v" * 1500000, cas=5) + frame(GETK, b"a")


def flows():
    """Each step is sent when the one before was answered; c holds the CAS values that came so far, each once."""
    def of(opcode, key=b"a", value=b"x", at=0, add=0, **more):
        return lambda c: usual(opcode, key, value, cas=c[at] + add, **more)

    read, number = frame(GETK, b"a"), frame(GETK, b"n")
    for opcode in (SET, SETQ, REPLACE, REPLACEQ, APPEND, PREPEND, APPENDQ, PREPENDQ, DELETE, DELETEQ, ADD, ADDQ):
        yield [read, of(opcode), of(opcode, value=b"y"), read, of(opcode, at=-1), read]
        yield [read, of(opcode, add=1), read]
        yield [read, of(opcode, add=-1), read]
        yield [read, of(opcode, key=b"zz"), frame(GETK, b"zz")]
    for opcode in COUNTS:
        yield [number, of(opcode, key=b"n"), of(opcode, key=b"n"), number, of(opcode, key=b"n", at=-1), number]
        yield [number, of(opcode, key=b"n", add=1), number]
        yield [number, of(opcode, key=b"zz"), frame(GETK, b"zz")]
    for opcode in GATS + [TOUCH]:
        yield [read, of(opcode), read, of(opcode, add=1), read]
    yield [store(SET, b"a b", b"x"), lambda c: store(SET, b"a b", b"y", cas=c[0]),
           lambda c: store(SET, b"a b", b"z", cas=c[0]), frame(GETK, b"a b")]
    yield [store(SET, K250, b"x"), lambda c: store(SET, K250, b"y", cas=c[0]),
           lambda c: frame(DELETE, K250, cas=c[0]), lambda c: frame(DELETE, K250, cas=c[1]), frame(GETK, K250)]
    yield [read, store(SETQ, b"a", b"x") + frame(GETQ, b"a"), of(SET), of(SET, at=1), read]
    yield [count(INCR, b"zz", 1, 5, 0), of(INCR, key=b"zz"), of(INCR, key=b"zz"), frame(GETK, b"zz")]
    yield [store(ADD, b"zz", b"x"), of(REPLACE, key=b"zz"), of(REPLACE, key=b"zz"), frame(GETK, b"zz")]


def answering():
    """Every case, by group; some end the connection."""
    return collections.OrderedDict([
        (group.__name__, list(group())) for group in
        (opcodes, keys, extras, lengths, magic, fields, storage, arithmetic, touching, quiet, random_frames,
         large_values)])


# What memcached answers otherwise: (frames, statuses of the answers up to the mark, why).
Different = collections.namedtuple("Different", "data statuses why")


def different():
    for what in (b"reset", b"detail on", b"detail off", b"detail dump", b"cachedump 1 0"):
        yield Different(frame(STAT, what), [32], "would reach beyond the client's own arm")
    # memcached takes the key for read and then swallows as many bytes of the next frames
    for opcode in (0x55, 0xfe, VERBOSITY):
        yield Different(frame(opcode, b"a") + frame(VERSION), [129, 0], "a frame is as long as it says")
        yield Different(frame(opcode, b"a" * 30, b"v" * 30, b"\0" * 4) + frame(GET, b"a"), [129, 0],
                        "a frame is as long as it says")


def frames(reply):
    """(opcode, key length, extras' length, data type, status, opaque, cas, body) of each; the last may be cut."""
    at = 0
    while at + 24 <= len(reply):
        magic_byte, opcode, key, extra, kind, status, body, opaque, cas = struct.unpack_from(">BBHBBHIIQ", reply, at)
        if magic_byte != 0x81:
            break
        yield opcode, key, extra, kind, status, opaque, cas, reply[at + 24:at + 24 + body]
        at += 24 + body
    if at < len(reply):
        yield ("not a frame", reply[at:])


def normal(reply, servers=1):
    """A reply without what may differ: CAS values by the order in which they come, and the version's text."""
    seen = {}
    lines = []
    for each in frames(reply):
        if each[0] == "not a frame":
            lines.append(repr(each))
            continue
        opcode, key, extra, kind, status, opaque, cas, body = each
        name = "0" if cas == 0 else "#" if servers > 1 else "#%d" % seen.setdefault(cas, len(seen) + 1)
        if opcode == VERSION and status == 0:
            body = b"*"
        shown = repr(body) if len(body) < 200 else "%d bytes, %08x" % (len(body), hash(body) & 0xffffffff)
        lines.append("%02x key %d extras %d type %d status %d opaque %x cas %s %s" % (
            opcode, key, extra, kind, status, opaque, name, shown))
    return "\n".join(lines).encode()


def numbers(reply):
    """The CAS values in a reply, in order."""
    return [each[6] for each in frames(reply) if each[0] != "not a frame" and each[6]]
