# coding: utf-8
"""Drives a Python client library through all it can do, and says what came back.

matrix.py LIBRARY HOST:PORT TAG JSON-OPTIONS, under Python 3. Each line of output is a JSON list
[step, result]; the last is ["keys", the keys that hold something]. TAG is a part of every value.
"""
import hashlib
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from values import VALUES  # noqa: E402

LONG = "l" * 250


class Steps:
    def __init__(self, tag):
        self.tag = tag
        self.keys = []

    def say(self, name, result):
        if isinstance(result, dict):
            result = sorted(result.items())
        text = repr(result)
        if len(text) > 600:
            text = "%s... %d, %s" % (text[:100], len(text), hashlib.sha256(text.encode()).hexdigest()[:20])
        print(json.dumps([name, text]))

    def do(self, name, function, *arguments, **options):
        try:
            result = function(*arguments, **options)
        except Exception as error:  # pylint: disable=broad-except
            result = "%s: %s" % (type(error).__name__, error)
        self.say(name, result)
        return result

    def tagged(self, value):
        if isinstance(value, bool) or isinstance(value, int):
            return value
        if isinstance(value, bytes):
            return value + self.tag.encode()
        if isinstance(value, str):
            return value + self.tag
        return (value, self.tag)

    def keep(self, *keys):
        self.keys += keys

    def finish(self):
        print(json.dumps(["keys", self.keys]))


def values(steps, client):
    for name, value in VALUES.items():
        value = steps.tagged(value)
        key = "v-" + name
        steps.do("get before " + name, client.get, key)
        steps.do("set " + name, client.set, key, value)
        got = steps.do("get " + name, client.get, key)
        steps.say("same " + name, type(got) is type(value) and got == value)
        steps.keep(key)


def pylibmc_client(address, options, steps):
    import pylibmc
    behaviours = options.get("behaviours", {})
    client = pylibmc.Client([address], binary=options.get("binary", False), behaviors=behaviours,
                            username=options.get("user"), password=options.get("password"))
    values(steps, client)
    do, tag = steps.do, steps.tag
    for key in ("k", LONG):
        do("set", client.set, key, tag + "1")
        do("add", client.add, key, tag + "2")
        do("replace", client.replace, key, tag + "3")
        do("append", client.append, key, "!")
        do("prepend", client.prepend, key, "<")
        do("get", client.get, key)
        do("get with a default", client.get, "no" + key[:200], "default")
        do("touch", client.touch, key, 1000)
        do("contains", lambda key=key: key in client)
        if behaviours.get("cas"):
            value, token = client.gets(key)
            steps.say("gets", value)
            do("cas", client.cas, key, tag + "swapped", token)
            do("cas again", client.cas, key, tag + "lost", token)
            do("get swapped", client.get, key)
        steps.keep(key)
    do("delete", client.delete, "k")
    do("delete again", client.delete, "k")
    do("replace missing", client.replace, "k", "x")
    do("append missing", client.append, "k", "x")
    do("touch missing", client.touch, "k", 10)
    do("incr missing", client.incr, "n")
    do("set n", client.set, "n", 10)
    do("incr", client.incr, "n", 5)
    do("decr", client.decr, "n", 3)
    do("decr below zero", client.decr, "n", 100)
    do("get n", client.get, "n")
    do("incr text", client.incr, LONG)
    do("incr_multi", client.incr_multi, ["n"], delta=2)
    many = {"many%d" % number: "%s%d" % (tag, number) for number in range(120)}
    do("set_multi", client.set_multi, many)
    do("get_multi", client.get_multi, sorted(many) + ["no%d" % number for number in range(50)])
    do("get_multi with a prefix", client.get_multi, ["any%d" % number for number in range(30)], key_prefix="m")
    do("add_multi", client.add_multi, {"many1": 1, "fresh": 2})
    do("delete_multi", client.delete_multi, ["many%d" % number for number in range(60)])
    do("get_multi after", client.get_multi, sorted(many))
    do("set_multi compressed", client.set_multi, {"z1": tag * 5000, "z2": tag * 9000}, min_compress_len=100)
    do("get_multi compressed", client.get_multi, ["z1", "z2"])
    do("set with a time", client.set, "t", tag, 1000)
    do("set compressed", client.set, "c", tag * 3000, min_compress_len=50)
    do("get compressed", client.get, "c")
    do("set too large", client.set, "k", os.urandom(8) * 200000)
    do("get after it", client.get, "t")
    do("set an empty key", client.set, "", "x")
    do("set a key that is too long", client.set, "o" * 251, "x")
    if options.get("binary"):  # in text it would read the answers of two commands for one, on memcached too
        do("set a key with a space", client.set, "a b", tag)
        do("get a key with a space", client.get, "a b")
    do("get after those", client.get, "t")
    for number in range(60):
        client.set("p%d" % number, "%s%d" % (tag, number))
        if client.get("p%d" % number) != "%s%d" % (tag, number):
            steps.say("wrong", number)
    steps.keep("n", "t", "c", "z1", "z2", *["many%d" % number for number in range(60, 120)])
    steps.keep(*["p%d" % number for number in range(60)])
    if options.get("flush"):
        do("flush_all", client.flush_all)
        do("get after flush_all", client.get, "t")
        do("set after flush_all", client.set, "t", tag)
    client.disconnect_all()
    do("get over a new connection", client.get, "t")


def bmemcached_client(address, options, steps):
    import bmemcached
    client = bmemcached.Client((address,), options.get("user"), options.get("password"),
                               compression=None if options.get("plain") else __import__("zlib"))
    values(steps, client)
    do, tag = steps.do, steps.tag
    for key in ("k", LONG, "with a space", "line\r\nend", "get a\r\ndelete a"):
        do("set", client.set, key, tag + "1")
        do("add", client.add, key, tag + "2")
        do("replace", client.replace, key, tag + "3")
        value, token = client.gets(key)
        steps.say("gets", value)
        do("cas", client.cas, key, tag + "swapped", token)
        do("cas again", client.cas, key, tag + "lost", token)
        do("get", client.get, key)
        do("delete with a cas", client.delete, key, cas=token)
        do("get", client.get, key)
        do("delete", client.delete, key)
        do("delete again", client.delete, key)
        do("get", client.get, key)
        do("get with a default", client.get, key, "default")
        do("replace missing", client.replace, key, "x")
        do("add missing", client.add, key, tag)
    do("incr from a default", client.incr, "n", 5, default=10)
    do("incr", client.incr, "n", 5, default=10)
    do("decr", client.decr, "n", 3)
    do("decr below zero", client.decr, "n", 100)
    do("incr text", client.incr, "k", 1)
    many = {"many %d" % number: "%s%d" % (tag, number) for number in range(120)}
    do("set_multi", client.set_multi, many)
    do("get_multi", client.get_multi, sorted(many) + ["no%d" % number for number in range(50)])
    found = client.get_multi(sorted(many)[:5], get_cas=True)
    steps.say("get_multi with cas", sorted((key, value[0]) for key, value in found.items()))
    do("delete_multi", client.delete_multi, ["many %d" % number for number in range(60)])
    do("get_multi after", client.get_multi, sorted(many))
    do("set with a time", client.set, "t", tag, 1000)
    do("set compressed", client.set, "c", tag * 3000)
    do("get compressed", client.get, "c")
    do("set too large", client.set, "k", os.urandom(8) * 200000)
    do("get after it", client.get, "t")
    do("set a key that is too long", client.set, "o" * 251, "x")
    client.disconnect_all()
    do("get after that", client.get, "t")
    steps.say("stats", all(b"version" in each or "version" in each for each in client.stats().values()))
    steps.keep("n", "t", "c", LONG)
    if options.get("flush"):
        do("flush_all", client.flush_all)
        do("get after flush_all", client.get, "t")
        do("set after flush_all", client.set, "t", tag)
    client.disconnect_all()
    do("get over a new connection", client.get, "t")


def django_client(address, options, steps):
    import warnings
    warnings.simplefilter("ignore")
    from django.conf import settings
    settings.configure(CACHES={"default": {
        "BACKEND": "django.core.cache.backends.memcached." + options["backend"], "LOCATION": [address],
        "OPTIONS": options.get("options", {}), "KEY_PREFIX": options.get("prefix", "")}})
    from django.core.cache import cache
    values(steps, cache)
    do, tag = steps.do, steps.tag
    do("get with a default", cache.get, "no", tag)
    do("add", cache.add, "k", tag + "1")
    do("add again", cache.add, "k", tag + "2")
    do("get", cache.get, "k")
    do("touch", cache.touch, "k", 1000)
    do("touch missing", cache.touch, "no", 1000)
    do("has_key", cache.has_key, "k")
    do("contains", lambda: "no" in cache)
    do("get_or_set", cache.get_or_set, "made", lambda: tag + "made", 1000)
    do("get_or_set again", cache.get_or_set, "made", tag + "other")
    do("set none", cache.set, "none", None)
    do("get none", cache.get, "none", "default")
    do("incr missing", cache.incr, "n")
    do("set n", cache.set, "n", 10)
    do("incr", cache.incr, "n")
    do("incr by five", cache.incr, "n", 5)
    do("decr", cache.decr, "n", 3)
    do("get n", cache.get, "n")
    do("set of a version", cache.set, "k", tag + "second", version=2)
    do("get of a version", cache.get, "k", version=2)
    do("incr_version", cache.incr_version, "made")
    do("get of the old version", cache.get, "made")
    do("get of the new version", cache.get, "made", version=2)
    do("decr_version", cache.decr_version, "made", version=2)
    many = {"many%d" % number: (tag, number) for number in range(120)}
    do("set_many", cache.set_many, many, 1000)
    do("get_many", cache.get_many, sorted(many) + ["no%d" % number for number in range(50)])
    do("delete_many", cache.delete_many, ["many%d" % number for number in range(60)])
    do("get_many after", cache.get_many, sorted(many))
    do("set that is gone at once", cache.set, "k", tag, 0)
    do("get it", cache.get, "k")
    do("set for a second year", cache.set, "k", tag, 60 * 60 * 24 * 40)
    do("get it", cache.get, "k")
    do("set negative", cache.set, "gone", tag, -1)
    do("get it", cache.get, "gone")
    do("delete", cache.delete, "k")
    do("delete again", cache.delete, "k")
    do("key that is too long", cache.set, "o" * 251, tag)
    do("key with a space", cache.set, "a b", tag)
    do("set too large", cache.set, "large", os.urandom(8) * 200000)
    do("get after those", cache.get, "made")
    steps.keep(*[options.get("prefix", "") + ":1:" + name for name in ["none", "n", "made", "many100"]
                 + steps.keys])
    steps.keys = [key for key in steps.keys if ":1:" in key]
    if options.get("flush"):
        do("clear", cache.clear)
        do("get after clear", cache.get, "made")
        do("set after clear", cache.set, "made", tag)
    cache.close()
    do("get over a new connection", cache.get, "made")


def main():
    library, address, tag, options = sys.argv[1], sys.argv[2], sys.argv[3], json.loads(sys.argv[4])
    steps = Steps(tag)
    {"pylibmc": pylibmc_client, "bmemcached": bmemcached_client, "django": django_client}[library](
        address, options, steps)
    steps.finish()


if __name__ == "__main__":
    main()
