# coding: utf-8
"""The kinds of value that applications cache, by name. Runs under Python 2.7 and 3."""
from collections import OrderedDict

# Not valid UTF-8, with a line end and what looks like a reply in it.
HOSTILE = b"\x80\xff\x00\r\nEND\r\nVALUE other 0 5\r\nhello\r\nSTORED\r\n"

VALUES = OrderedDict([
    ("text", u"Gr\u00fc\u00dfe \u20ac"),
    ("native", "plain"),
    ("bytes", HOSTILE),
    ("empty", b""),
    ("zero", 0),
    ("integer", 42),
    ("large_integer", 2 ** 40),
    ("true", True),
    ("false", False),
    ("dictionary", {u"id": 7, "name": u"Caf\u00e9", "tags": ["a", "b"], "raw": b"\xc3\xa9"}),
    ("list", [1, 2.5, None, (u"x", b"y")]),
    ("100k", b"0123456789abcdef" * 6400),
    ("1m", b"\r\nEND\r\n fedcba98" * 62500),
])
