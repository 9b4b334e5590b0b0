"""What a client may say in memcached's classic text protocol, right and wrong, as bytes.

A case is one string of bytes that a connection sends in a known state (FIXTURE), and after which it
takes commands again. The keys it may touch are the names below: TOUCHED is looked at afterwards, so
that a case that answers right and stores wrong is seen too.

ENDING are those after which the connection is closed. DIFFERENT are those that Crossfade answers
otherwise than memcached, on purpose; the list is the documentation of that.
"""
import collections
import re

K1 = b"k"
K249 = b"l" * 249
K250 = b"m" * 250
K251 = b"o" * 251
TAB = b"ta\tb"
HIGH = b"\xc3\xa4\xff\x80"
CONTROL = b"c\x01\x7f\x1b"
CR = b"c\rr"

TOUCHED = [b"a", b"n", b"zz", b"noreply", K1, K249, K250, TAB, HIGH, CONTROL, CR]

# a holds hello with the flags 5, n holds 10, nothing else is there.
FIXTURE = (b"".join(b"delete %s noreply\r\n" % key for key in TOUCHED if key not in (b"a", b"n"))
           + b"set a 5 0 5 noreply\r\nhello\r\nset n 0 0 2 noreply\r\n10\r\n")
LOOK = b"get " + b" ".join(TOUCHED) + b"\r\n"

# Of shared scope: a set by one arm would take the other arm's copy away.
MARK = b"get shared:the-end\r\n"
MARKED = b"VALUE shared:the-end 0 3\r\nEOF\r\nEND\r\n"
SET_MARK = b"set shared:the-end 0 0 3 noreply\r\nEOF\r\n"

STORAGE = [b"set", b"add", b"replace", b"append", b"prepend"]
GETS = [b"get", b"gets", b"gat 0", b"gats 0"]


def storage_lines():
    """What follows the verb, and the bytes behind the line."""
    hello = b"hello\r\n"
    for rest in [
            b"a 0 0 5", b"zz 0 0 5", b"a 7 0 5", b"a 4294967295 0 5", b"a 0 0 5 noreply",
            b"zz 0 0 5 noreply", b"  a  0  0  5  ", b"a 0 0 5 ", b"a 0 0 05", b"a +7 +0 +5",
            b"a 00000007 0 5", b"a -0 -0 5",
            # an extra word of any kind is taken, two are not
            b"a 0 0 5 x", b"a 0 0 5 6", b"a 0 0 5 NOREPLY", b"a 0 0 5 noreplyx", b"a 0 0 5 norepl",
            b"a 0 0 5 noreply x", b"a 0 0 5 x noreply", b"a 0 0 5 noreply noreply",
            b"a 0 0 5 x y noreply", b"a 0 0 5 1 2 3 4 5 6 7 8 9", b"a 0 0 5" + b" x" * 30,
            # words missing: the line is refused and the value is run as a line
            b"", b" ", b"a", b"a 0", b"a 0 0", b"a 0 0 noreply", b"a 0 noreply", b"a noreply",
            b"noreply", b"noreply 0 0 5",
            # flags: 64 bits are read, 32 kept
            b"a x 0 5", b"a 1x 0 5", b"a -1 0 5", b"a 4294967296 0 5", b"a 4294967301 0 5",
            b"a 18446744073709551615 0 5", b"a 18446744073709551616 0 5",
            b"a 99999999999999999999999 0 5", b"a 0x1 0 5", b"a 1.5 0 5", b"a -1 0 5 noreply",
            b"a + 0 5", b"a - 0 5", b"a -+1 0 5", b"a +-1 0 5",
            # exptime: below zero is past
            b"a 0 -1 5", b"a 0 100000 5", b"a 0 2147483647 5", b"a 0 2147483648 5",
            b"a 0 4294967296 5", b"a 0 9223372036854775807 5", b"a 0 9223372036854775808 5",
            b"a 0 -9223372036854775808 5", b"a 0 -9223372036854775809 5", b"a 0 x 5", b"a 0 1x 5",
            b"a 0 + 5", b"a 0 - 5", b"a 0 -+1 5", b"a 0 --1 5", b"a 0 x 5 noreply", b"a 0 1.5 5",
            b"a 0 1000000000 5", b"a 0 2592000 5", b"a 0 2592001 5",
            # length
            b"a 0 0 x", b"a 0 0 5x", b"a 0 0 -1", b"a 0 0 -5", b"a 0 0 -2147483648", b"a 0 0 +", b"a 0 0 -",
            b"a 0 0 0x5", b"a 0 0 5.0", b"a 0 0 2147483646", b"a 0 0 2147483647",
            b"a 0 0 2147483648", b"a 0 0 9223372036854775808", b"a 0 0 99999999999999999999999",
            b"a 0 0 -1 noreply", b"a 0 0 x noreply", b"a 0 0 2147483647 noreply",
            # keys
            K249 + b" 0 0 5", K250 + b" 0 0 5", K251 + b" 0 0 5", K251 + b" 0 0 5 noreply",
            K251 + b" 0 0 x", b"p" * 1000 + b" 0 0 5", TAB + b" 0 0 5", HIGH + b" 0 0 5",
            CONTROL + b" 0 0 5", CR + b" 0 0 5", b"a\x00b 0 0 5", b"\x00a 0 0 5",
            b"a 0 0 5\x00 noreply", b"a 0 0 5 noreply\x00x", b"a 0 0\x005"]:
        yield rest, hello
    for rest, data in [
            (b"a 0 0 0", b"\r\n"), (b"zz 0 0 0", b"\r\n"), (b"a 0 0 0", b"x\r\n"), (b"a 0 0 1", b"\n\r\n"),
            (b"a 0 0 2", b"\r\n\r\n"), (b"a 0 0 5", b"\x00\xff\r\n\x01\r\n"),
            (b"a 0 0 18", b"get zz\r\nget zz\r\n\r\n\r\n"),
            (b"a 0 0 7", b"END\r\nEN\r\n"), (b"a 0 0 8", b"STORED\r\n\r\n"),
            (b"a 0 0 1000", b"v" * 1000 + b"\r\n"), (b"a 0 0 5000", b"\r\n" * 2500 + b"\r\n"),
            # the two bytes behind the value have to be \r\n; whatever they are, they are taken
            (b"a 0 0 5", b"helloXX"), (b"a 0 0 5", b"helloXX\r\n"), (b"a 0 0 5", b"hello\n\r\n"),
            (b"a 0 0 5", b"hello\r\r\n"), (b"a 0 0 5", b"hello\rX\r\n"), (b"a 0 0 5", b"hello world\r\n"),
            (b"a 0 0 5", b"hell\r\n\r\n"), (b"a 0 0 5", b"hello\n\n"), (b"a 0 0 5", b"hello  \r\n"),
            (b"a 0 0 5 noreply", b"helloXX\r\n"), (b"a 0 0 5", b"hello\x00\x00\r\n"),
            (b"zz 0 0 5", b"helloXX\r\n"), (b"a 0 0 1000", b"v" * 1002 + b"\r\n"),
            (b"a 0 0 0", b"XX"), (b"a 0 0 2", b"helloXX\r\n")]:
        yield rest, data


def is_number(word, least, below):
    return bool(re.fullmatch(rb"[-+]?[0-9]+", word)) and least <= int(word) < below


def as_memcached(case):
    """A storage command that is refused, but says how long its value is: memcached runs the value as
    commands (a key that is too long is an injection that way), and here it is swallowed."""
    line, newline, rest = case.partition(b"\n")
    words = [word for word in line.split(b"\0")[0].rstrip(b"\r").split(b" ") if word]
    if words[:1] == [b"ms"] and len(words) > 2 and is_number(words[2], 0, 2147483646) and (
            len(words[1]) > 250 or len(words) > 19):
        return line + newline + rest[int(words[2]) + 2:]
    numbers = 5 if words[:1] == [b"cas"] else 4
    if (not words or words[0] not in STORAGE + [b"cas"] or len(words) not in (numbers + 1, numbers + 2) or
            not is_number(words[4], 0, 2147483646)):
        return case
    if (len(words[1]) <= 250 and is_number(words[2], 0, 1 << 64) and
            is_number(words[3], -(1 << 63), 1 << 63) and
            (numbers == 4 or is_number(words[5], 0, 1 << 64))):
        return case
    return line + newline + rest[int(words[4]) + 2:]


def storage():
    for verb in STORAGE:
        for rest, data in storage_lines():
            yield verb + (b" " + rest if rest else b"") + b"\r\n" + data
        yield verb + b" a 0 0 5\nhello\r\n"
        yield b"  " + verb + b" a 0 0 5\r\nhello\r\n"
        yield verb + b"\ta 0 0 5\r\nhello\r\n"
        yield verb.upper() + b" a 0 0 5\r\nhello\r\n"
        yield verb + b"a 0 0 5\r\nhello\r\n"
    for rest in [
            b"a 0 0 5 1", b"a 0 0 5 0", b"zz 0 0 5 1", b"a 0 0 5 1 noreply", b"zz 0 0 5 1 noreply",
            b"a 0 0 5 18446744073709551615", b"a 0 0 5 18446744073709551616", b"a 0 0 5 -1",
            b"a 0 0 5 +1", b"a 0 0 5 x", b"a 0 0 5 1x", b"a 0 0 5 01", b"a 0 0 5 0x1", b"a 0 0 5",
            b"a 0 0 5 ", b"a 0 0 5 noreply", b"a 0 0 5 noreply 1", b"a 0 0 5 1 x", b"a 0 0 5 1 x y",
            b"a 0 0 5 1 noreply x", b"a 0 0 5 1 x noreply", b"", b" ", b"a", b"a 0", b"a 0 0",
            b"a x 0 5 1", b"a 0 x 5 1", b"a 0 0 x 1", b"a 0 0 -1 1", b"a 0 0 -1 1 noreply",
            b"a 0 -1 5 1", b"zz 0 -1 5 1", K250 + b" 0 0 5 1", K251 + b" 0 0 5 1",
            K251 + b" 0 0 5 1 noreply", b"a 0 0 5 x noreply", b"a 4294967296 0 5 1",
            b"a 0 0 2147483647 1"]:
        yield b"cas" + (b" " + rest if rest else b"") + b"\r\nhello\r\n"
    yield b"cas a 0 0 5 1\r\nhelloXX\r\n"
    yield b"cas zz 0 0 5 1\r\nhelloXX\r\n"
    yield b"cas zz 0 0 5 1 noreply\r\nhelloXX\r\n"


def retrieval():
    for verb in GETS:
        for keys in [
                b"a", b"zz", b"a n", b"n a", b"a a", b"a zz a", b"zz zz", b" a", b"  a  ", b"a ", b"a  n",
                b"noreply", b"a noreply", b"A", b" ".join([b"a"] * 30), b" ".join([b"zz", b"a"] * 60),
                b" ".join(b"no%d" % i for i in range(200)) + b" a", b" ".join([b"a"] * 6),
                b" ".join([b"a"] * 7), b" ".join([b"a"] * 8), b" ".join([b"a"] * 23),
                b" ".join([b"a"] * 24), b" ".join([b"a"] * 25),
                K249, K250, K251, b"a " + K250, b"a " + K251, K251 + b" a", b"a " + K251 + b" n",
                b" ".join([b"a"] * 8) + b" " + K251, b" ".join([b"a"] * 40) + b" " + K251,
                b"p" * 1000, TAB, HIGH, CONTROL, CR, b"a\x00b", b"a\x00 n", b"a \x00", b"\x00", b"\x00a",
                b"a\t", b"\ta", b"a\r", b"a\r n", b"\r", b"a\tn"]:
            yield verb + b" " + keys + b"\r\n"
        for whole in [b"%s", b"%s ", b"%s   ", b" %s a", b"   %s a", b"%sa", b"%s\x00a",
                      b"x%s a", b"%s  a"]:
            yield whole % verb + b"\r\n"
        if verb in (b"get", b"gets"):
            yield verb + b"\ta\r\n"
            yield verb + b"\r a\r\n"
        yield verb + b" a\n"
        yield verb + b" a\r\r\n"
        yield verb.upper() + b" a\r\n"
        yield b"set " + K250 + b" 1 0 3\r\nabc\r\n" + verb + b" a " + K250 + b" n " + K250 + b"\r\n"
    for verb in [b"gat", b"gats"]:
        for rest in [b"", b" ", b" 0", b" x", b" x a", b" a 0", b" a", b" -1 a", b" -1 zz", b" 1x a", b" +5 a",
                     b" 100 a", b" 99999999999 a", b" 9223372036854775808 a", b" - a", b" x " + K251,
                     b" 0 " + K251, b" -1 a " + K251 + b" n", b" 0\x00 a", b" -1 a a", b" 1.5 a", b" noreply a",
                     b" 0x0 a", b" 05 a"]:
            yield verb + rest + b"\r\n"
    yield b"bget a\r\n"
    yield b"bget\r\n"


def deletion():
    for key in [b"a", b"zz"]:
        for rest in [
                b"", b" ", b"   ", b" 0", b" 0 ", b" noreply", b" 0 noreply", b" 00", b" +0", b" -0", b" 5", b" -1",
                b" x", b" NOREPLY", b" 5 noreply", b" x noreply", b" noreply 0", b" noreply noreply",
                b" 0 0", b" 0 x", b" 0 0 noreply", b" 0 noreply x", b" 0 0 0", b" x y z noreply",
                b" noreply x", b"\x00 5", b"\t", b" 0\t"]:
            yield b"delete " + key + rest + b"\r\n"
    for rest in [b"", b" ", b" noreply", b" 0", b" " + K249, b" " + K250, b" " + K251, b" " + K251 + b" noreply",
                 b" " + K251 + b" 0", b" " + K251 + b" 0 noreply", b" " + K251 + b" 5", b" " + TAB, b" " + HIGH,
                 b" " + CONTROL, b"  a", b"\ta", b" a\x00b", b" \x00", b" " + b"x " * 30, b" " + b"x " * 30 + b"noreply"]:
        yield b"delete" + rest + b"\r\n"
    yield b"delete a\n"
    yield b"delete a\r\r\n"
    yield b"DELETE a\r\n"
    yield b"deletea\r\n"
    yield b"  delete a\r\n"
    yield b"set " + K250 + b" 0 0 1\r\nx\r\ndelete " + K250 + b"\r\nget " + K250 + b"\r\n"


def arithmetic():
    for verb in [b"incr", b"decr"]:
        for rest in [
                b"n 1", b"n 0", b"n 5", b"n 11", b"n 18446744073709551615", b"n 18446744073709551616",
                b"n 9999999999999999999999", b"n x", b"n 1x", b"n -1", b"n +1", b"n -0", b"n 01",
                b"n 0000000000000000000000000000000000001", b"n 0x1", b"n 1.5", b"n", b"n ", b"", b" ",
                b"a 1", b"a x", b"zz 1", b"zz x", b"zz", b"n 1 noreply", b"zz 1 noreply",
                b"n x noreply", b"a 1 noreply", b"n noreply", b"n 1 x", b"n 1 2", b"n 1 noreply x",
                b"n 1 x noreply", b"n 1 2 3 4", b"  n  1  ", b"n 1 ", K250 + b" 1", K251 + b" 1",
                K251 + b" x", K251 + b" 1 noreply", b"n +", b"n -", b"n\x00 1", b"n 1\x002", b"\x00",
                b"n\t1", b"N 1"]:
            yield verb + (b" " + rest if rest else b"") + b"\r\n"
        # What it makes of a stored value; a shorter result of decr keeps the old length.
        for value in [b"0", b"9", b"99", b"100", b"1", b"18446744073709551615", b"18446744073709551616",
                      b"18446744073709551614", b"184467440737095516150", b"99999999999999999999999",
                      b"-1", b"+1", b" 12", b"12 ", b"1 2", b"1x", b"x", b"", b"007", b"1\r\n", b"\t1",
                      b"0x10", b"1.5", b"1e3", b"\x001", b"1\x002"]:
            yield b"set n 3 0 %d\r\n%s\r\n%s n 1\r\nget n\r\n" % (len(value), value, verb)
        yield b"set n 0 0 20\r\n18446744073709551615\r\n" + verb + b" n 18446744073709551615\r\nget n\r\n"
        yield verb + b" n 1\n"
        yield verb.upper() + b" n 1\r\n"
        yield verb + b" n 99\r\n" + verb + b" n 1\r\nget n\r\n"


def touching():
    for rest in [
            b"a 0", b"a 100", b"a -1", b"zz 0", b"zz -1", b"a 0 noreply", b"zz 0 noreply", b"a -1 noreply",
            b"a x", b"a 1x", b"a x noreply", b"a noreply", b"a", b"a ", b"", b" ", b"a 0 x", b"a 0 1",
            b"a 0 1 noreply", b"a 0 noreply x", b"a 0 1 2 3", b"  a  0  ", K250 + b" 0", K251 + b" 0",
            K251 + b" x", K251 + b" 0 noreply", b"a 99999999999", b"a 2147483648", b"a +5", b"a 05",
            b"a 9223372036854775808", b"a -", b"a 1.5", b"a\x00 0", b"noreply 0", b"noreply"]:
        yield b"touch" + (b" " + rest if rest else b"") + b"\r\n"
    yield b"touch a 0\n"
    yield b"TOUCH a 0\r\n"


def administration():
    for rest in [b"", b" ", b" 0", b" 1", b" x", b" -1", b" 0 noreply", b" noreply", b" x noreply", b" 0 0",
                 b" 0 0 0", b" 0 0 noreply", b" 0 0 0 0", b" +0", b" 99999999999999999999", b" 0x0", b" 0 x"]:
        yield b"verbosity" + rest + b"\r\n"
    yield b"VERBOSITY 0\r\n"
    for line in [b"version", b"version ", b"version x", b"version noreply", b" version", b"version\x00x"]:
        yield line + b"\r\n"
    yield b"version\n"
    yield b"quit\r\r\n"
    for line in [b"versionx", b"VERSION", b"version\r", b"versio"]:
        yield line + b"\r\n"


def nonsense():
    for line in [b"", b" ", b"   ", b"\t", b"\r", b"\x00", b"\x00get a", b"x", b"xyz", b"xyz a b c", b"xyz noreply",
                 b"ge", b"g", b"gett a", b"s", b"se a 0 0 5", b"hello", b"END", b"STORED", b"VALUE a 0 5",
                 b"ERROR", b"{}", b"GET /", b"GET / HTTP/1.1 x", b"*1\r\n$4\r\nPING", b"\xff\xfe", b"a" * 300, b"quitx",
                 b"QUIT", b"xyz " + b"y " * 40, b"xyz " + b"y " * 40 + b"noreply", b"\x7fELF",
                 b"\x81\x00\x00", b"touchx a 0", b"casx", b"setget", b"noreply", b"a noreply", b"set\x00"]:
        yield line + b"\r\n"
        yield line + b"\n"


def pipelines():
    yield b"get a\r\nget n\r\nget zz\r\n"
    yield b"get a\nget n\nget zz\n"
    yield b"set a 0 0 1\r\n1\r\nincr a 1\r\nget a\r\ndelete a\r\nget a\r\nincr a 1\r\n"
    yield b"set a 0 0 1 noreply\r\n1\r\nget a\r\nset zz 0 0 1 noreply\r\n2\r\nget a zz\r\n"
    yield b"delete a noreply\r\nget a\r\nadd a 1 0 1\r\nx\r\nadd a 1 0 1\r\ny\r\nget a\r\n"
    yield b"append a 0 0 1\r\n!\r\nprepend a 0 0 1\r\n<\r\nget a\r\nreplace a 9 0 1\r\nz\r\nget a\r\n"
    yield b"append zz 0 0 1\r\n!\r\nprepend zz 0 0 1\r\n<\r\nreplace zz 0 0 1\r\nx\r\nget zz\r\n"
    yield b"touch a 100\r\nget a\r\ngat 200 a n\r\ntouch zz 1\r\ngets a\r\n"
    yield b"gets a\r\nset a 1 0 1\r\nx\r\ngets a\r\ncas a 2 0 1 1\r\ny\r\nget a\r\n"
    # Always two digits: decr pads a shorter number only if no earlier get is still being answered.
    yield b"set n 0 0 2\r\n50\r\n" + b"incr n 1 noreply\r\ndecr n 3 noreply\r\nget n\r\n" * 5
    yield b"bogus\r\nget a\r\nset a\r\nget n\r\n\r\nget zz\r\n"
    yield b"set a 0 0 5\r\nhelloXX\r\nget a\r\n"
    yield b"set " + K251 + b" 0 0 5\r\nget a\r\nget n\r\n"
    yield b"get a " + K251 + b"\r\nget a\r\n"
    yield b"set a 0 0 5\r\nget a\r\n\r\nget n\r\n"
    yield b"".join(b"set zz 0 0 1\r\n%d\r\nget zz\r\n" % (i % 10) for i in range(200))
    yield b"get a n zz\r\n" * 300
    yield b"set zz 0 0 3000\r\n" + b"z" * 3000 + b"\r\n" + b"get zz a zz\r\n" * 60
    yield b"delete zz\r\ndelete zz 0\r\ndelete zz \r\ndelete zz noreply\r\nget zz\r\n"
    yield b"add zz 0 0 1\r\n1\r\nincr zz 5\r\ndecr zz 10\r\nget zz\r\ntouch zz -1\r\nget zz\r\n"
    for key in [K249, K250, TAB, HIGH, CONTROL, CR]:
        yield (b"set %s 1 0 2\r\n10\r\nget %s\r\ngets %s\r\ngat 0 %s\r\ngats 0 %s\r\nincr %s 5\r\n"
               b"append %s 0 0 1\r\n0\r\nget a %s n\r\ntouch %s 0\r\ndelete %s\r\nget %s\r\n"
               % ((key,) * 11))


def long_lines():
    """A line of any length is one if it comes whole, up to what memcached reads at once."""
    for length in [1000, 1023, 1024, 1025, 2040]:
        yield b"x" * length + b"\r\n"
        yield b"get " + b"p" * length + b"\r\n"
        yield b"delete " + b"p" * (length - 10) + b"\r\n"
        yield b"set " + b"p" * (length - 20) + b" 0 0 5\r\nhello\r\n"
        yield b"get " + b" " * length + b"a\r\n"
        yield b"incr n" + b" " * (length - 20) + b"1\r\n"
        yield b"  " * 20 + b"get " + b"zz " * (length // 3) + b"a\r\n"
    for count in [500, 3000, 20000]:
        yield b"get " + b"zz " * count + b"a\r\n"
        yield b"gets " + b"a " + b"zz " * count + b"a\r\n"
    yield b" " * 100 + b"get " + b"zz " * 1000 + b"a\r\n"
    yield b"get " + b"zz " * 3000 + K251 + b"\r\n"
    yield b"get " + b"p" * 3000 + b"\r\n"
    yield b"get " + b" " * 3000 + b"\r\n"


def large_values():
    """Too large is refused, the bytes are swallowed, and only `set` takes the old value away."""
    for verb in STORAGE:
        for key in [b"a", b"zz"]:
            for size in [20000, 300000, 1000000]:
                yield b"%s %s 3 0 %d\r\n%s\r\n" % (verb, key, size, b"0123456789" * (size // 10))
            for size in [1048576, 1500000]:
                yield b"%s %s 3 0 %d\r\n%s\r\n" % (verb, key, size, b"get zz\r\n12" * (size // 10 + 1)
                                                   if size % 10 == 0 else b"v" * size)
            yield b"%s %s 3 0 1500000 noreply\r\n%s\r\n" % (verb, key, b"v" * 1500000)
    yield b"cas a 3 0 1500000 1\r\n" + b"v" * 1500000 + b"\r\n"
    yield b"set a 3 0 300000\r\n" + b"v" * 300002 + b"\r\n"
    yield b"set a 3 0 600000\r\n" + b"v" * 600000 + b"\r\nget a a a a a\r\n"
    yield b"set a 3 0 300000\r\n" + b"v" * 300000 + b"\r\nappend a 0 0 300000\r\n" + b"w" * 300000 + b"\r\n"


# After these the connection is closed, by memcached and by us.
ENDING = [
    b"quit\r\n", b"quit\n", b"quit \r\n", b"quit x\r\n", b"  quit\r\n", b"quit noreply\r\n", b"quit\x00x\r\n",
    b"get a\r\nquit\r\nget n\r\n", b"set a 0 0 1 noreply\r\nx\r\nquit\r\n",
    b"get a\r\nset zz 0 0 3000\r\n" + b"z" * 3000 + b"\r\nget zz a\r\nquit\r\n",
    # a browser that was made to talk to it
    b"GET / HTTP/1.1\r\n", b"POST /set HTTP/1.0\r\n", b"GET / x HTTP/1.1\r\n", b"GET / x HTTP/1.1\r\n", b"get a\r\n  PUT /  HTTP/\r\nget a\r\n",
    # no newline where there should have been one long ago
    b"x" * 20000, b" " * 20000, b"set " + b"a" * 20000, b"delete " + b"a" * 20000,
    b"gat 0 " + b"a " * 10000, b"get a\r\n" + b"x" * 40000, b"get" + b"x" * 20000,
    b" " * 101 + b"get " + b"a " * 10000, b"mg " + b"a " * 10000,
]

# All of its arm's keys are gone after these, if the arm has a prefix; without one they are refused.
FLUSHES = [b"flush_all\r\n", b"flush_all\n", b"flush_all \r\n", b"flush_all 0\r\n", b"flush_all  0  \r\n",
           b"flush_all 00\r\n", b"flush_all +0\r\n", b"flush_all noreply\r\n", b"flush_all 0 noreply\r\n",
           b"flush_all 0 0\r\n", b"flush_all 0 x\r\n", b"flush_all\x00x\r\n",
           b"set zz 0 0 1\r\nx\r\nflush_all\r\nget zz\r\nadd zz 0 0 1\r\ny\r\nget zz a\r\n",
           b"get a\r\nflush_all noreply\r\nget a\r\nset a 1 0 1\r\ny\r\nincr n 1\r\nget a n\r\n"]
NO_FLUSHES = [b"flush_all x\r\n", b"flush_all 1x\r\n", b"flush_all x noreply\r\n", b"flush_all 0 0 0\r\n",
              b"flush_all 0 0 noreply\r\n", b"flush_all 0 0 0 0\r\n", b"flush_allx\r\n", b"flush_al\r\n",
              b"FLUSH_ALL\r\n", b"flush_all 9223372036854775808\r\n", b"flush_all 1.5\r\n"]

# Patterns of both replies; ANY: memcached does not come to be asked.
Different = collections.namedtuple("Different", "data memcached ours why")
REFUSED = rb"CLIENT_ERROR this command is refused here: [^\r\n]*\r\n"
BAD = rb"CLIENT_ERROR bad command line format\r\n"
ANY = None


def different():
    far = "would reach beyond the client's own arm"
    for line in [b"shutdown", b"shutdown graceful", b"cache_memlimit 64", b"slabs reassign 1 2", b"slabs automove 0",
                 b"lru_crawler disable", b"lru_crawler sleep 0", b"lru mode flat", b"lru tune 10 25 0.1 2.0",
                 b"watch", b"watch fetchers", b"refresh_certs", b"extstore free_memchunks 1 0",
                 b"misbehave", b"debugtime p"]:
        yield Different(line + b"\r\n", ANY, REFUSED, far)
    for line in [b"stats cachedump 1 0", b"stats detail on", b"stats detail dump", b"stats reset"]:
        yield Different(line + b"\r\n", ANY, rb"(CLIENT_ERROR [^\r\n]*|RESET)\r\n", far)
    # memcached cuts the length to 32 bits: 4294967301 is 5 to it.
    for length in [b"4294967301", b"-4294967291"]:
        yield Different(b"set a 0 0 " + length + b"\r\nhello\r\n", rb"STORED\r\n", BAD + rb"ERROR\r\n",
                        "no client means 5 by that")
    # A number below zero that is above zero modulo 2^64.
    yield Different(b"incr n -18446744073709551615\r\n", rb"11\r\n",
                    rb"CLIENT_ERROR invalid numeric delta argument\r\n", "no client means 1 by that")
    yield Different(b"set a -18446744073709551615 0 5\r\nhello\r\n", rb"STORED\r\n",
                    BAD, "no client means 1 by that")
    # memcached's numbers skip white space that its words do not end at.
    for line, answer, ours in [
            (b"set a \t0 0 5\r\nhello\r\n", rb"STORED\r\n", BAD),
            (b"set a 0 0 5\tx\r\nhello\r\n", rb"STORED\r\n", BAD + rb"ERROR\r\n"),
            (b"touch a 0\t\r\n", rb"TOUCHED\r\n", rb"CLIENT_ERROR invalid exptime argument\r\n"),
            (b"incr n 1\r\r\n", rb"11\r\n", rb"CLIENT_ERROR invalid numeric delta argument\r\n")]:
        yield Different(line, answer, ours, "a number is digits here")
    yield Different(b"gat 0\ta\r\n", rb"END\r\n", rb"CLIENT_ERROR invalid exptime argument\r\n",
                    "a number is digits here")


def answering():
    """Every case after which the connection goes on, by group."""
    return collections.OrderedDict([
        ("storage", list(storage())), ("retrieval", list(retrieval())),
        ("deletion", list(deletion())), ("arithmetic", list(arithmetic())),
        ("touching", list(touching())), ("administration", list(administration())),
        ("nonsense", list(nonsense())), ("pipelines", list(pipelines())),
        ("long_lines", list(long_lines())), ("large_values", list(large_values()))])


def normal(reply, servers=1):
    """A reply without what may differ: the version, and the numbers that count a server's changes.

    Unique numbers become #1, #2... in the order in which they come, so that it still shows which of
    them are equal; each of several servers counts by itself, so there they all become #. Values that
    look like such a line do not come up in the cases.
    """
    seen = {}

    def unique(found):
        number = found.group(2)
        name = b"" if servers > 1 else b"%d" % seen.setdefault(number, len(seen) + 1)
        return found.group(1) + b"#" + name + b"\r\n"

    reply = re.sub(rb"(?m)^VERSION [0-9][^\r\n]*\r$", b"VERSION *\r", reply)
    return re.sub(rb"(?m)^(VALUE [^ ]+ [0-9]+ [0-9]+ )([0-9]+)\r\n", unique, reply)
