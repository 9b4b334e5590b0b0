"""What a client may say in memcached's meta protocol, right and wrong, as bytes.

As in cases.py, whose keys a and n these use, too. Keys in base64 are looked at by the key they stand for.
FLOWS need numbers that the server gave before.
"""
import base64
import collections
import random
import re

import cases

MARK, MARKED, SET_MARK = cases.MARK, cases.MARKED, cases.SET_MARK
K250, K251 = cases.K250, cases.K251
as_memcached = cases.as_memcached


def b64(key):
    return base64.b64encode(key)


PLAIN = [b"a", b"n", b"zz", b"k", b"Zm9v", b"YQ==", b"bg==", b"IA==", K250, b"l" * 249]
# Only base64 can name these: white space, line ends, NUL, a whole command.
BINARY = [b" ", b"\n", b"\0", b"a b", b"a\r\nmg n v", b"\r\n", b"\x80\xff", bytes(range(186)),
          b"x" * 184 + b"\r\n", b"get n\r\ndelete n"]

FIXTURE = (b"".join(b"delete %s noreply\r\n" % key for key in PLAIN[2:])
           # gone at once, without an answer; md would say NF
           + b"".join(b"ms %s 0 b q T-1\r\n\r\n" % b64(key) for key in BINARY)
           + b"set a 5 0 5 noreply\r\nhello\r\nset n 0 0 2 noreply\r\n10\r\n")
LOOK = (b"".join(b"mg %s k s t f c h v\r\n" % key for key in (b"a", b"n", b"zz"))
        + b"".join(b"mg %s k v b\r\n" % b64(key) for key in BINARY)
        + b"get " + b" ".join(PLAIN) + b"\r\n")

COMMANDS = [b"mg a", b"ms a 5", b"md a", b"ma n"]
MISSES = [b"mg zz", b"ms zz 5", b"md zz", b"ma zz"]
PRINTABLE = [bytes([code]) for code in range(33, 127)]


def line(words, value=b"hello\r\n"):
    """The command with the value that it may want."""
    return words + b"\r\n" + (value if words.lstrip().startswith(b"ms ") else b"")


def flags():
    """Each character as a flag: bare, and with what may be its token."""
    for command in COMMANDS + MISSES:
        for flag in PRINTABLE:
            yield line(command + b" " + flag)
            yield line(command + b" " + flag + b"30")
        yield line(command)
        for flag in [b"\x01", b"\t", b"\x7f", b"\x80", b"\xc3\xa4", b"\xff"]:
            yield line(command + b" " + flag)


def tokens():
    """What memcached makes of the tokens of its flags."""
    numbers = [b"", b"0", b"-1", b"5", b"+5", b"05", b"5x", b"x", b"1.5", b"0x5", b"2147483647",
               b"2147483648", b"4294967295", b"4294967296", b"9223372036854775807",
               b"9223372036854775808", b"18446744073709551615", b"18446744073709551616",
               b"99999999999999999999999", b"-9223372036854775808", b"-", b"+", b"-0", b"00000000000000000005",
               b"100", b"2592000", b"2592005"]
    for flag, command in [(b"N", b"mg zz t"), (b"N", b"mg a t"), (b"R", b"mg a t"), (b"T", b"mg a t"),
                          (b"R", b"mg zz t"), (b"T", b"mg zz t"), (b"T", b"ms a 5"), (b"F", b"ms a 5"),
                          (b"C", b"ms a 5 c"), (b"C", b"ms zz 5 c"), (b"C", b"md a"), (b"C", b"md zz"),
                          (b"T", b"md a I"), (b"T", b"md a"), (b"N", b"ma zz v"), (b"N", b"ma n v"),
                          (b"J", b"ma zz N0 v"), (b"J", b"ma zz v"), (b"J", b"ma n v"), (b"D", b"ma n v"),
                          (b"D", b"ma zz N0 J7 v"), (b"D", b"ma n MD v"), (b"T", b"ma n v t"),
                          (b"C", b"ma n v"), (b"C", b"ma zz v"), (b"E", b"ms a 5"), (b"E", b"md a"),
                          (b"I", b"ms a 5"), (b"S", b"ms a 5")]:
        for number in numbers:
            if flag in b"NT" and number in (b"-1", b"-9223372036854775808"):
                continue  # is it gone at once? it depends on the second: FLOWS has it
            yield line(command + b" " + flag + number)
    for command in [b"ms a 5 c", b"ms zz 5 c", b"ma n v", b"ma zz N0 v", b"mg a", b"md a"]:
        for mode in [b"", b"S", b"E", b"A", b"P", b"R", b"s", b"e", b"a", b"p", b"r", b"I", b"D", b"+", b"-", b"i",
                     b"d", b"x", b"0", b"\xff", b"SS", b"set", b"add", b"append", b"incr", b"decr", b"I1",
                     b"D1", b"ET", b"A0"]:
            yield line(command + b" M" + mode)


def lengths():
    """The length of ms's value, and its end."""
    for length in [b"", b" ", b"x", b"5x", b"-1", b"-5", b"+5", b"05", b"0x5", b"5.0", b"2147483646", b"2147483647",
                   b"2147483648", b"4294967296", b"99999999999999999999", b"-2147483648", b"S5", b"5S", b"\0",
                   b"5\0", b"noreply"]:
        yield b"ms a " + length + b"\r\nhello\r\n"
        yield b"ms a " + length + b" c q\r\nhello\r\n"
        yield b"ms zz " + length + b" T0 k\r\nhello\r\n"
    for rest, data in [
            (b"0", b"\r\n"), (b"0", b"x\r\n"), (b"0", b"XX"), (b"1", b"\n\r\n"), (b"2", b"\r\n\r\n"),
            (b"5", b"\x00\xff\r\n\x01\r\n"), (b"18", b"mg zz v\r\nmg n v\r\n\r\n\r\n"),
            (b"14", b"VA 5\r\nhello\r\nEN\r\n"), (b"4", b"HD\r\n\r\n"), (b"1000", b"v" * 1000 + b"\r\n"),
            (b"5", b"helloXX"), (b"5", b"helloXX\r\n"), (b"5", b"hello\n\r\n"), (b"5", b"hello\r\r\n"),
            (b"5", b"hello\rX\r\n"), (b"5", b"hello world\r\n"), (b"5", b"hell\r\n\r\n"), (b"5", b"hello\n\n"),
            (b"5 q", b"helloXX\r\n"), (b"5 k O1", b"helloXX\r\n"), (b"5 T0 F7 c", b"helloXX"),
            (b"5 ME", b"helloXX"), (b"5 MA q", b"helloXX"), (b"5 x", b"helloXX\r\n"),
            (b"5 q x", b"hello\r\n"), (b"2 x", b"helloXX\r\n"), (b"0 x", b"mg a v\r\n\r\n"),
            (b"100 y", b"mg a v\r\n" * 12 + b"mg z\r\n"), (b"5000", b"\r\n" * 2500 + b"\r\n"),
            (b"2047", b"w" * 2047 + b"\r\n"), (b"16385", b"w" * 16385 + b"\r\n"),
            (b"65537 k q", b"w" * 65537 + b"\r\n")]:
        yield b"ms a " + rest + b"\r\n" + data
        yield b"ms zz " + rest + b"\r\n" + data


def keys():
    for command in [b"mg %s k v", b"ms %s 5 k c", b"md %s k", b"ma %s k v N0", b"mg %s", b"md %s q", b"me %s"]:
        for key in [K250, K251, b"l" * 249, b"o" * 252, b"p" * 1000, b"k", b"Zm9v", b"A", b"a,b", b"a\tb",
                    b"\xc3\xa4", b"a\x01b", b"\x7f", b"a\x00b", b"\x00", b"a\r", b"x" * 244, b"x" * 245,
                    b"x" * 246]:
            yield line(command % key) + b"md %s q\r\n" % key
    for command in [b"mg", b"ms", b"md", b"ma", b"me", b"mn"]:
        for rest in [b"", b" ", b"  ", b" a", b"  a  ", b" a b c d", b"\ta"]:
            yield line(command + rest)
        yield line(b"  " + command + b" a 5")
        yield command + b" a\n"
        yield command.upper() + b" a 5\r\n"
        yield command + b"x a 5\r\n"
        yield command + b"\x00a 5\r\n"
    # What was written under a long key is found there, by every command.
    for key in [K250, b"l" * 249, b"x" * 244, b"x" * 245]:
        yield (b"ms %s 2 F3 T0 k\r\n10\r\nmg %s k v f s\r\nma %s v k\r\nms %s 1 MA k\r\n!\r\nget %s\r\n"
               b"gets %s\r\nme %s\r\nmd %s I k\r\nmg %s v k s\r\nmd %s k\r\nmg %s k v\r\n" % ((key,) * 11))


def base64_keys():
    strings = [b"Yg==", b"YWI=", b"YWJj", b"YQ", b"YQ=", b"YQ===", b"YQ====", b"Y", b"=", b"==", b"====", b"Y===",
               b"=YQ=", b"Y=Q=", b"YW*=", b"Y Q==", b"-_==", b"+/8=",
               b"AA==", b"AAA=", b"AAAA", b"IA==", b"Cg==", b"DQo=", b"\xff\xff==", b"YQ=\r", b"a", b"abcd", b"n===",
               b"Y" * 5, b"YWJjZA==", b"YQ\t=", b"Yg==\x00"]
    for count in (180, 181, 182, 183, 184, 185, 186, 187, 188, 189, 250):
        strings.append(b64(b"q" * count))
    strings += [b"A" * 240, b"A" * 244, b"A" * 248, b"A" * 249, b"A" * 250, b"A" * 251, b"A" * 252, b"A" * 336]
    strings += [b64(key) for key in BINARY]
    for key in strings:
        if key in (b64(b"q" * 188), b"A" * 252) or len(key) > 252:
            yield b"mg %s b\r\n" % key
            continue
        for command in [b"mg %s b k v", b"mg %s k b v", b"ms %s 5 b k c", b"md %s b k", b"md %s q b", b"ma %s b N0 k v",
                        b"mg %s b q", b"me %s b", b"ma %s b v k O1", b"ms %s 5 O7 b q k"]:
            yield line(command % key) + (b"md %s b q\r\nmd %s q\r\n" % (key, key))
    for key in BINARY:
        name = b64(key)
        # memcached forgets with an append that the key is binary: no k behind one (ODD)
        yield (b"ms %s 2 b T0 F8 k c\r\n10\r\nmg %s b k v f t s c\r\nma %s b v k t\r\nma %s b k v M- D3\r\n"
               b"ms %s 1 b MA\r\n5\r\nms %s 1 b MP\r\n1\r\nmg %s b v\r\nms %s 3 b MR\r\nnew\r\n"
               b"ms %s 3 b ME k\r\nxxx\r\nme %s b\r\nmd %s b I T30 k\r\nmg %s b k v t\r\nmd %s b k Oq\r\n"
               b"mg %s b k v\r\nmd %s b k\r\n" % ((name,) * 15))


def encodings():
    """Written in one form and read in the other: memcached gives the key in the form in which it was stored
    (with its line ends, if a binary client stored it), we in the one in which it was asked for."""
    yield b"ms YQ== 1 b k F9\r\nx\r\nget a\r\nmg a k v\r\nmg YQ== b k v\r\nmd a k\r\nmg YQ== b k v\r\n"
    yield b"set a 1 0 1\r\ny\r\nmg YQ== b k v f\r\nmd YQ== b k O1\r\nget a\r\n"
    yield b"ma bg== b v k\r\nincr n 1\r\nma n v k\r\nmg bg== v k b\r\nmg n v k\r\n"
    yield b"ms Zm9v 1\r\nx\r\nmg Zm9v k v\r\nmg Zm9v k v b\r\nmg foo k v\r\nmd Zm9v k\r\n"
    yield b"mg YQ== b k q v O1\r\nmg YQ== b k N30 R30 t s f\r\nme YQ== b\r\nme a\r\nmn\r\n"
    # bits that mean nothing: the same key
    yield b"ms YR== 1 b k\r\nx\r\nmg YR== b k v\r\nmg YQ== b k v\r\nma bh== b k v\r\nmd YR== b k\r\nmg YR== k b\r\n"
    # what follows the padding is not read
    yield b"ms YQ==YQ== 1 b k\r\nx\r\nmg YQ==x b k v\r\nmg YQ==YQ== b k v\r\nmd YQ==YQ== b k\r\nget a\r\n"


def opaques():
    for command in COMMANDS + MISSES:
        for length in (0, 1, 2, 30, 31, 32, 33, 34, 64, 200):
            yield line(command + b" O" + b"0123456789" * (length // 10) + b"x" * (length % 10))
        for token in [b"=", b"O", b"OO", b"k", b"q", b"\xff\xfe", b"a=b,c", b"\x01", b"-1", b"W", b"X", b"\x7f", b"{}", b"\\r"]:
            yield line(command + b" O" + token)
            yield line(command + b" O" + token + b" k q")
            yield line(command + b" k O" + token + b" q")
        yield line(command + b" O1 O2")
        yield line(command + b" O1 k O2")


def many_flags():
    for command in COMMANDS:
        for count in range(1, 27):
            yield line(command + b" " + b" ".join(b"P%d" % at if at % 2 else b"L%d" % at
                                                  for at in range(2))[:count * 3])
            yield line(command + b"".join(b" %c" % (97 + at) for at in range(min(count, 26))))
        yield line(command + b" k" * 30)
        yield line(command + b"".join(b" %c1" % (65 + at) for at in range(26)))
        for spaces in (1, 10, 100):
            yield line(command + b" " * spaces + b"k" + b" " * spaces + b"O1" + b" " * spaces)
        for size in (700, 900):
            yield line(command + b" P" + b"p" * size)
            yield line(command + b" P" + b"p" * (size // 2) + b" k L" + b"l" * (size // 2))
            yield line(command + b" O" + b"p" * size)
        for pair in (b"k k", b"q q", b"v v", b"c c", b"t t", b"b b", b"P1 P2", b"L1 L1", b"T0 T0", b"kq", b"qk", b"kqv O1",
                     b"P", b"L", b"P L", b"Px Ly k"):
            yield line(command + b" " + pair)


def quiet():
    """Which answers q takes away."""
    for case in [
            b"mg a q", b"mg a q k v O1", b"mg zz q", b"mg zz q k O1", b"mg zz q v", b"mg zz N30 q v k", b"mg K q x",
            b"md a q", b"md a q k O1", b"md zz q", b"md zz q k O1", b"md a q C1", b"md a q x", b"md a I q",
            b"ma n q", b"ma n q v", b"ma n q k O1 v", b"ma zz q", b"ma zz q k O1", b"ma a q", 
            b"ma n q C1", b"ma n q D-1", b"mg " + K251 + b" q", b"md " + K251 + b" q", b"ma " + K251 + b" q"]:
        yield case + b"\r\n"
        yield case + b"\r\nmn\r\n"
        yield case + b"\r\nmg n v k\r\n"
    for case in [b"ms a 5 q", b"ms a 5 q k c O1", b"ms zz 5 q MR", b"ms a 5 q ME", b"ms a 5 q C1", b"ms zz 5 q C1",
                 b"ms zz 5 q MA k", b"ms zz 5 MP q k O1", b"ms zz 5 q MA N0", b"ms a 5 q x",
                 b"ms " + K251 + b" 5 q"]:
        yield line(case)
        yield line(case) + b"mn\r\n"


def barriers():
    yield b"mn\r\n"
    yield b"mn\n"
    yield b"mn\r\n" * 20
    for rest in [b" ", b" x", b" q", b" k O1", b"  ", b"\x00", b"\r", b" " + b"x " * 30]:
        yield b"mn" + rest + b"\r\n"
    yield b"mg a v q k\r\nmg zz v q k\r\nmg n v q k\r\nmn\r\n"
    yield b"mg zz q\r\n" * 50 + b"mn\r\n"
    yield b"ms zz 1 q\r\nx\r\nmg zz v q\r\nmd zz q\r\nmg zz q v\r\nmn\r\nmg zz\r\nmn\r\n"
    yield b"mg a q v\r\nmg zz q\r\nmn\r\nget a\r\nmn\r\nmg zz q k\r\nmn\r\nbogus\r\nmn\r\n"
    yield b"".join(b"ms zz 1 q O%d\r\n%d\r\nma zz q D1 O%d\r\nmg zz v q O%d\r\n" % (i, i % 8, i, i)
                   for i in range(40)) + b"mn\r\n"
    yield b"mg a k v\r\n" * 300 + b"mn\r\n"
    yield b"".join(b"mg a k v O%d%s\r\n" % (i, b" q" if i % 3 else b"") for i in range(200)) + b"mn\r\n"


def debugging():
    for rest in [b"a", b"n", b"zz", b"a k", b"a q", b"a O1", b"a x y z", b"eno= b", b"YQ= b", b"a b", b"eno= b k",
                 b"eno= k b", b"eno= bx", K250, K251, K250 + b" b", b"a " + b"x " * 30, b"a\x00",
                 b"a " + b"x" * 500, b"A"]:
        yield b"me " + rest + b"\r\n"
    yield b"me a\n"
    yield b"mg a\r\nme a\r\nmg a T30\r\nme a\r\n"
    yield b"ms zz 3 T50\r\nabc\r\nme zz\r\nmg zz v\r\nme zz\r\nmd zz I\r\nme zz\r\n"
    yield b"ms IA== 3 b\r\nabc\r\nme IA== b\r\nme IA==\r\nmd IA== b\r\nme IA== b\r\n"
    yield b"me a\r\nget a\r\nme a zz\r\nme n\r\nmn\r\n"


def arithmetic():
    for value in [b"0", b"9", b"99", b"100", b"18446744073709551615", b"18446744073709551616",
                  b"18446744073709551614", b"99999999999999999999999", b"-1", b"+1", b" 12", b"12 ", b"1x", b"x", b"",
                  b"007", b"0x10", b"1.5", b"1\r\n", b"\x001"]:
        for rest in [b"v", b"v MD", b"", b"MD t", b"v D10", b"v MD D10", b"c"]:
            yield b"ms n %d F3\r\n%s\r\nma n %s\r\nmg n v f s\r\n" % (len(value), value, rest)
    for rest in [b"N0 v", b"N30 v t", b"N0 J13 v", b"N0 J18446744073709551615 v", b"N0 MD J5 v k O1 t c", b"J5 v",
                 b"N0 D5 v", b"N0 J5 D5", b"N30 T60 t v", b"N0 C5 v", b"N0 J v"]:
        yield b"ma zz " + rest + b"\r\nma zz v t k\r\n"
        yield b"ma n " + rest + b"\r\nma n v t k\r\n"
    yield b"ma n T30 v t\r\nma n T0 t v\r\nma n T30\r\nmg n t\r\n"  # no mg before: as with decr in cases.py
    yield b"ma n v\r\nincr n 5\r\nma n MD D20 v\r\ndecr n 1\r\nget n\r\n"
    yield b"ma n MI v\r\nma n M+ v\r\nma n MD v\r\nma n M- v\r\nma n MI MD v\r\nma n v D5 D6\r\n"


def staleness():
    """Win, stale, recache and vivify: which client is told W, and which Z."""
    yield b"mg zz N30 t v c\r\nmg zz N30 t v c\r\nmg zz v\r\nms zz 3 T0\r\nabc\r\nmg zz N30 v t\r\n"
    yield b"mg zz N0 t v\r\nmg zz t k O1\r\nget zz\r\ngets zz\r\nmd zz\r\nmg zz N30 k O2 q v\r\nmg zz k q v O3\r\n"
    yield b"mg zz N30\r\nadd zz 0 0 1\r\nx\r\nget zz\r\n"
    yield b"mg zz N30\r\nms zz 1 ME\r\nx\r\nmg zz v\r\n"
    yield b"mg zz N30\r\nms zz 1 MA\r\nx\r\nmg zz v\r\nms zz 2 MR\r\nyy\r\nmg zz v\r\n"
    yield b"mg zz N30\r\nma zz v\r\nincr zz 1\r\ndelete zz\r\n"
    yield b"md a I\r\nmg a v\r\nmg a v\r\nget a\r\nms a 2 T0\r\nyy\r\nmg a v\r\n"
    yield b"md a I T30\r\nmg a v t c\r\nmg a v t c\r\nmg a v t R60\r\ntouch a 0\r\nmg a v t\r\n"
    yield b"md a T30\r\nmg a v t\r\n"
    yield b"md a I q\r\nmg a v k O1 f s\r\nmn\r\nmg a v N30\r\nmg a v R30 T60 t\r\nmg a t\r\n"
    yield b"md zz I\r\nmd zz I T30 q k O1\r\nmg zz v\r\n"
    yield b"ms a 3 T50\r\nabc\r\nmg a R30 t v\r\nmg a R60 t v\r\nmg a R60 t v\r\nmg a R30 t v\r\nmg a t\r\n"
    yield b"ms a 3 T20\r\nabc\r\nmg a R30\r\nmg a R30 v\r\nms a 3 T50\r\nxyz\r\nmg a R30 v t\r\n"
    yield b"mg a R30 t v\r\nmg a R30 T30 t v\r\nmg a R60 t v\r\nmg a R60 T0 t v\r\nmg a t v\r\n"
    yield b"md a I\r\nmg a u v\r\nmg a u h v\r\nappend a 0 0 1\r\n!\r\nmg a v\r\n"
    yield b"md a I\r\nms a 1 MA\r\n!\r\nmg a v\r\nma n v\r\nmd n I\r\nma n v t\r\nmg n v\r\nmg n v\r\n"
    yield b"md n I\r\nincr n 1\r\nmg n v\r\ngat 30 n\r\nmg n v t\r\ntouch n 0\r\nmg n t\r\n"
    yield b"mg a h l t\r\nmg a h l t\r\nmg a u h\r\nget n\r\nmg n h\r\nmg n u h\r\ngat 0 a\r\nmg a h v\r\n"
    yield b"mg a u h\r\nmg a u h\r\nmg a h\r\nmg a u h\r\n"
    yield b"mg a T30 t\r\nmg a t\r\nmg a T0 t\r\nmg a t\r\nmg a T60\r\nmg a t v\r\ntouch a 0\r\nmg a t\r\n"
    yield b"mg a N30 R30 T30 v t c k s f h l O1 q u\r\nmg zz N30 R60 T90 v t c k s f h l O1 q u\r\nmg zz t\r\n"


def mixed():
    """Meta among classic commands, each reading what the other wrote."""
    yield b"get a\r\nmg a v\r\nget n\r\nmg n v\r\nget zz\r\nmg zz v\r\nmn\r\n"
    yield b"set zz 7 0 3\r\nabc\r\nmg zz v f s k\r\nmd zz\r\nget zz\r\n"
    yield b"ms zz 3 F7\r\nabc\r\nget zz\r\ngets zz\r\nappend zz 0 0 1\r\nd\r\nmg zz v f s\r\ndelete zz\r\nmg zz\r\n"
    yield b"set a 0 0 1 noreply\r\nx\r\nmg a v\r\nms a 1 q\r\ny\r\nget a\r\ndelete a noreply\r\nmg a v\r\n"
    yield b"mg a v\nget a\nms zz 1\nx\r\nget zz\nmn\n"
    yield b"ms a 1 F1\r\nx\r\nms a 1 ME\r\ny\r\nadd a 0 0 1\r\nz\r\nms a 1 MR F2\r\nr\r\nmg a v f\r\nget a\r\n"
    yield b"ms a 3 MA F9\r\n end\r\nmg a v\r\n"
    yield b"ms a 4 MA F9\r\n end\r\nms a 4 MP F9\r\npre \r\nmg a v f s\r\nget a\r\n"
    yield b"ms zz 1 MA\r\nx\r\nms zz 1 MP\r\nx\r\nms zz 1 MR\r\nx\r\nms zz 1 MA N30\r\nx\r\nmg zz v t\r\nms zz 1 MS\r\nx\r\nmg zz v\r\n"
    yield b"gets a\r\nms a 1 C1\r\nx\r\ncas a 0 0 1 1\r\nx\r\nget a\r\n"
    yield b"bogus\r\nmg a v\r\nmg\r\nms a\r\nget a\r\nms a x\r\nmg n v\r\n\r\nmn\r\n"
    yield b"ms a 5\r\nhelloXX\r\nmg a v\r\nmn\r\n"
    yield b"ms " + K251 + b" 8\r\nmg n v\r\n\r\nmg n v\r\nmn\r\n"
    yield b"ms a 8 bad?\r\nmg n v\r\n\r\nmg n v\r\nmn\r\n"
    yield b"ms a 8 O" + b"o" * 40 + b"\r\nmg n v\r\n\r\nmg n v\r\nmn\r\n"
    yield b"ms a 8 b\r\nmg n v\r\n\r\nmg n v\r\nmn\r\n"
    yield b"ms a 8 Cx\r\nmg n v\r\n\r\nmg n v\r\nmn\r\n"
    yield b"ms a 8 Mx\r\nmg n v\r\n\r\nmg n v\r\nmn\r\n"
    yield b"ms a x T0\r\nmg n v\r\nmn\r\n"
    yield b"".join(b"ms zz 1 T0 O%d\r\n%d\r\nmg zz v O%d\r\nget zz\r\n" % (i, i % 10, i) for i in range(100))
    yield b"mg a v k\r\nget a n zz\r\n" * 100
    yield b"ms zz 3000 k\r\n" + b"z" * 3000 + b"\r\n" + b"mg zz v k\r\nget zz a\r\n" * 30
    yield b"touch a 100\r\nmg a t\r\ngat 200 a\r\nmg a t\r\nincr n 5\r\nma n v\r\ndecr n 5\r\nma n MD v\r\n"


def random_lines():
    """Right and wrong flags in any number and order."""
    dice = random.Random(20)
    known = {b"mg": [b"b", b"c", b"f", b"h", b"k", b"l", b"O1", b"Oxyz", b"q", b"s", b"t", b"u", b"v", b"N30", b"R30", b"T60",
                     b"T0", b"P1", b"Lx"],
             b"ms": [b"b", b"c", b"C5", b"F7", b"I", b"k", b"O1", b"Oxyz", b"q", b"T30", b"T0", b"MS", b"ME", b"MA", b"MP",
                     b"MR", b"P1", b"Lx"],
             b"md": [b"b", b"C5", b"I", b"k", b"O1", b"q", b"T30", b"T0", b"P1", b"Lx"],
             b"ma": [b"b", b"C5", b"N0", b"N30", b"J7", b"D3", b"T60", b"MI", b"MD", b"M+", b"M-", b"q", b"t", b"c", b"v", b"k",
                     b"O1", b"P1", b"Lx"]}
    wrong = [b"x", b"O" + b"o" * 32, b"T", b"Nx", b"M", b"C", b"D-1", b"MX", b"v1", b"\xfe"]
    for number in range(800):
        verb = (b"mg", b"ms", b"md", b"ma")[number % 4]
        if verb == b"ma":
            key = dice.choice([b"n", b"n", b"zz", b"a", b"IA=="])
        else:
            key = dice.choice([b"a", b"a", b"n", b"zz", b"IA==", b"IA==", K250])
        chosen = dice.sample(known[verb], dice.randint(0, 8))
        if dice.random() < 0.15:
            chosen.insert(dice.randint(0, len(chosen)), dice.choice(wrong))
        if dice.random() < 0.1 and chosen:
            chosen.append(dice.choice(chosen))
        if verb == b"ma" and b"q" in chosen or any(len(flag) > 32 for flag in chosen):
            chosen = [flag for flag in chosen if flag[:1] != b"N"]  # ODD
        if verb == b"ms" and key == b"IA==":
            chosen = [flag for flag in chosen if flag not in (b"MA", b"MP")]
        words = [verb, key] + ([b"5"] if verb == b"ms" else []) + chosen
        case = line((b"  " if dice.random() < 0.05 else b" ").join(words))
        if key == b"IA==":
            yield b"ms IA== 2 b F1\r\n10\r\n" + case + b"mg IA== b k v f\r\nmg IA== k v f\r\n"
        else:
            yield case + b"mg %s k v f\r\n" % key


def long_lines():
    for length in [1000, 1023, 1024, 1025, 2030]:
        yield b"mg " + b"p" * length + b"\r\n"
        yield b"mg a P" + b"p" * length + b"\r\n"
        yield b"mg a" + b" " * length + b"v\r\n"
        yield b"md zz" + b" k" * (length // 2) + b"\r\n"
        yield b"ms a 5 P" + b"p" * length + b"\r\nhello\r\n"
        yield b"ms " + b"p" * length + b" 5\r\nhello\r\n"
        yield b"ma n L" + b"p" * length + b" v\r\n"
        yield b" " * 50 + b"mn " + b"x" * length + b"\r\n"


def large_values():
    """Too large is refused, the bytes are swallowed; which modes take the old value away shows LOOK."""
    for number, rest in enumerate([b"", b" q k O1", b" ME", b" MA", b" MP", b" MR", b" C1", b" c T0 F7", b" I C1"]):
        for key in [b"a", b"zz"]:
            size = (20000, 300000, 1000000)[number % 3]
            yield b"ms %s %d%s\r\n%s\r\n" % (key, size, rest, b"0123456789" * (size // 10))
            if number % 2:
                yield b"ms %s 1048576%s\r\n%s\r\n" % (key, rest, b"v" * 1048576)
            else:
                yield b"ms %s 1200000%s\r\n%s\r\n" % (key, rest, b"mg a v\r\nmn" * 120000)
    yield b"ms a 300000 k\r\n" + b"v" * 300002 + b"\r\n"
    yield b"ms a 600000 k\r\n" + b"v" * 600000 + b"\r\n" + b"mg a v k O1\r\n" * 4 + b"mg a v q\r\nmn\r\n"
    yield b"ms IA== 300000 b k\r\n" + b"v" * 300000 + b"\r\nmg IA== v k b\r\nms IA== 300000 b MA\r\n" + b"w" * 300000 + b"\r\nmg IA== b v\r\n" + (
        b"ms IA== 1 b k\r\nx\r\n")


# Each of the steps is sent when the one before was answered; <n> is the n-th different CAS value that came,
# from 0, and <n+1> and <n-1> are beside it.
FLOWS = [
    [b"mg a c\r\n", b"ms a 1 C<0> c\r\nx\r\n", b"ms a 1 C<0> c\r\ny\r\n", b"mg a v c\r\n"],
    [b"mg a c\r\n", b"ms a 1 C<0+1> c k O1\r\nx\r\n", b"mg a v c\r\n"],
    [b"mg a c\r\n", b"ms a 1 C<0-1> c\r\nx\r\n", b"mg a v c\r\n"],
    # older, and told to store it as stale
    [b"mg a c\r\n", b"ms a 1 c\r\nx\r\n", b"ms a 1 I C<0> c\r\ny\r\n", b"mg a v c t\r\n", b"mg a v c\r\n"],
    [b"mg a c\r\n", b"ms a 1 I C<0+1> c\r\ny\r\n", b"mg a v c\r\n"],
    [b"mg a c\r\n", b"ms a 1 I C<0> c\r\ny\r\n", b"mg a v c\r\n"],
    [b"mg a c\r\n", b"md a C<0+1> k\r\n", b"md a C<0> k O1\r\n", b"mg a c\r\n", b"md a C<0>\r\n"],
    [b"mg a c\r\n", b"md a I C<0> T30\r\n", b"mg a v c t\r\n", b"md a C<0>\r\n", b"md a C<1> q\r\n", b"mg a\r\n"],
    [b"mg a c\r\n", b"md a q C<0+1>\r\n", b"md a q C<0>\r\nmn\r\n", b"mg a v\r\n"],
    [b"mg n c\r\n", b"ma n C<0> c v\r\n", b"ma n C<0> c v\r\n", b"ma n C<1> c v MD D5\r\n", b"mg n c v\r\n"],
    [b"ma zz N0 J5 c v\r\n", b"ma zz C<0+1> v\r\n", b"ma zz C<0> v c\r\n"],
    [b"mg zz N30 c v\r\n", b"ms zz 3 C<0> c T0\r\nabc\r\n", b"ms zz 3 C<0> c\r\nxyz\r\n", b"mg zz c v t\r\n"],
    [b"mg zz N30 c\r\n", b"md zz\r\n", b"ms zz 3 C<0> c\r\nabc\r\n", b"mg zz v\r\n"],
    [b"md a I\r\n", b"mg a c v\r\n", b"ms a 2 C<0> c\r\nok\r\n", b"mg a c v\r\n"],
    [b"md a I\r\n", b"mg a c v\r\n", b"md a I\r\n", b"ms a 2 C<0> I c\r\nok\r\n", b"mg a c v\r\n", b"mg a c v\r\n"],
    [b"mg a c\r\n", b"ms a 1 MA C<0> c\r\n!\r\n", b"ms a 1 MP C<0> c\r\n!\r\n", b"ms a 1 MP C<1> c\r\n<\r\n", b"mg a v\r\n"],
    [b"mg a c\r\n", b"ms a 1 MR C<0> c\r\n!\r\n", b"ms a 1 ME C<1> c\r\n!\r\n", b"mg a v c\r\n"],
    [b"gets a\r\n", b"ms a 1 C<0> c\r\nx\r\n", b"cas a 5 0 1 <1>\r\ny\r\n", b"gets a\r\n", b"mg a c v f\r\n"],
    [b"mg a c\r\n", b"cas a 5 0 1 <0>\r\ny\r\n", b"gets a\r\n", b"md a C<1>\r\n", b"get a\r\n"],
    [b"ms YQ== 1 b c k\r\nx\r\n", b"gets a\r\n", b"ms YQ== 1 b c k C<0>\r\ny\r\n", b"md YQ== b k C<0>\r\n",
     b"md YQ== b k C<1>\r\n", b"get a\r\n"],
    [b"ms a 1 q c\r\nx\r\nmg a c v\r\n", b"ms a 1 q C<0> c\r\ny\r\nmn\r\n", b"ms a 1 q C<0> c\r\nz\r\nmn\r\n", b"mg a v c\r\n"],
    # times below zero: gone at once
    [b"ms a 1 T-1\r\nx\r\n", b"mg a v\r\n"], [b"mg a T-1\r\n", b"mg a v\r\n"], [b"md a I T-1\r\n", b"mg a v\r\n"],
    [b"mg zz N-1 v\r\n", b"mg zz v\r\n"], [b"ma n T-1 v\r\n", b"ma n v\r\n"], [b"ma zz N-1 v\r\n", b"ma zz v\r\n"],
    [b"mg a c s t f h v k O1\r\n", b"gat 100 a\r\n", b"mg a c t\r\n", b"touch a 0\r\n", b"mg a c t\r\n"],
    [b"mg %s c k\r\n" % K250, b"ms %s 1 c k\r\nx\r\n" % K250, b"ms %s 1 c k C<0>\r\ny\r\n" % K250,
     b"ms %s 1 c k C<0>\r\nz\r\n" % K250, b"md %s C<1> k\r\n" % K250],
]

# After these the connection is closed, by memcached and by us.
ENDING = [b"mg a v\r\nquit\r\nmg a v\r\n", b"mn\r\nquit\r\n", b"mg " + b"x" * 20000, b"ms a 5 " + b"x" * 20000,
          b"md a " + b"k " * 10000, b"mg a v\r\nms " + b" " * 20000, b"m" * 20000, b"mn" + b" " * 20000]


def answering():
    """Every case after which the connection goes on, by group."""
    return collections.OrderedDict([
        (group.__name__, list(group())) for group in
        (flags, tokens, lengths, keys, base64_keys, opaques, many_flags, quiet, barriers, debugging, arithmetic,
         staleness, mixed, random_lines, long_lines, large_values)])


# What memcached 1.6.18 answers, what we do, and why: patterns of both.
Odd = collections.namedtuple("Odd", "data memcached ours why")
ODD = [
    Odd(b"ma zz N0 q\r\n", rb"HD\r\n", rb"", "a number that was created is as quiet as one that was there"),
    Odd(b"ma zz N0 J5 q v k\r\n", rb"VA 1 kzz\r\n5\r\n", rb"", "as above"),
    Odd(b"ms IA== 1 b\r\nx\r\nms IA== 1 b MA\r\ny\r\nmg IA== b k v\r\n", rb"HD\r\nHD\r\nVA 2 k \r\nxy\r\n",
        rb"HD\r\nHD\r\nVA 2 kIA== b\r\nxy\r\n", "a key comes back as it was sent, also after an append"),
    Odd(b"ms DQpleA== 1 b\r\nx\r\nms DQpleA== 1 b MP\r\ny\r\nmg DQpleA== b k v\r\nmd DQpleA== b\r\n",
        rb"HD\r\nHD\r\nVA 2 k\r\nex\r\nyx\r\nHD\r\n", rb"HD\r\nHD\r\nVA 2 kDQpleA== b\r\nyx\r\nHD\r\n",
        "and does not break the line"),
    Odd(b"mg zz N30 O" + b"o" * 40 + b"\r\nmg zz v\r\n", rb"CLIENT_ERROR opaque token too long\r\nVA 0\r\n\r\n",
        rb"CLIENT_ERROR opaque token too long\r\nVA 0( Z)?\r\n\r\n", "who wins by a command that is refused is open"),
]

REPLY = re.compile(rb"(?m)^(VA [0-9]+|HD|EN|EX|NS|NF)((?: [^ \n]*)*)\r\n"
                   rb"|^(VALUE [^ \n]+ [0-9]+ [0-9]+ )([0-9]+)\r\n"
                   rb"|^(ME [^ \n]+) exp=(-?[0-9]+) la=([0-9]+) cas=([0-9]+) fetch=(yes|no) cls=[0-9]+ "
                   rb"size=[0-9]+\r\n|^VERSION [0-9][^\r\n]*\r\n")


def seconds(number):
    """Rounded up to five: the clock may have ticked."""
    number = int(number)
    return b"far" if number > 5000000 else b"%d" % (number if number <= 0 else (number + 4) // 5 * 5)


def normal(reply, servers=1):
    """A reply without what may differ: CAS values by the order in which they come, times in steps of
    five seconds (those that were given as a date: as far), and of me what depends on the length of the prefix and on the moment."""
    seen = {}

    def unique(number):
        if servers > 1 or number == b"0":
            return number if number == b"0" else b"#"
        return b"#%d" % seen.setdefault(number, len(seen) + 1)

    def flag(word):
        if re.fullmatch(rb"c[0-9]+", word):
            return b"c" + unique(word[1:])
        if re.fullmatch(rb"t-?[0-9]+", word):
            return b"t" + seconds(word[1:])
        return b"l*" if re.fullmatch(rb"l[0-9]", word) else word

    def each(found):
        code, words, value, number, debug, expiry, _, cas, fetched = found.groups()
        if code:
            return code + b" ".join(map(flag, words.split(b" "))) + b"\r\n"
        if value:
            return value + unique(number) + b"\r\n"
        if debug:
            return b"%s exp=%s cas=%s fetch=%s\r\n" % (debug, seconds(expiry), unique(cas), fetched)
        return b"VERSION *\r\n"

    return REPLY.sub(each, reply)


def without_keys(reply):
    """A normal reply without the keys that it gives back."""
    return re.sub(rb"(?m)^((?:VA [0-9]+|HD|EN|NF|ME)(?: [^ \r\n]*)*)\r$",
                  lambda found: b" ".join(word for word in found.group(1).split(b" ")
                                          if word[:1] != b"k" and word != b"b") + b"\r",
                  re.sub(rb"(?m)^ME [^ ]+", b"ME", reply))


def numbers(reply):
    """The CAS values in a reply, in order."""
    found = re.findall(rb"(?m)^(?:(?:VA [0-9]+|HD|EX)(?: [^ \r\n]*)*? c([0-9]+)|VALUE [^ \r\n]+ [0-9]+ [0-9]+ ([0-9]+))",
                       reply)
    return [int(one or other) for one, other in found if (one or other) != b"0"]
