# coding: utf-8
"""A memcache client in a process of its own, told what to do line by line.

agent.py LIBRARY HOST:PORT, under Python 2.7 or 3. Each line of its input is a JSON list
[operation, argument...], each line of its output the JSON answer:
{"value": what came back, as far as JSON can say it, "repr": the same as Python writes it}.
"""
from __future__ import print_function

import json
import os
import random
import sys
import pickle

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from values import VALUES  # noqa: E402


class PythonMemcached(object):
    """python-memcached, with the highest pickle protocol, as Django has it."""

    def __init__(self, host, port):
        import memcache
        self.client = memcache.Client(["%s:%d" % (host, port)], cache_cas=True,
                                      pickleProtocol=pickle.HIGHEST_PROTOCOL)

    def set(self, key, value, noreply=False):
        return bool(self.client.set(key, value, noreply=noreply))

    def add(self, key, value):
        return bool(self.client.add(key, value))

    def replace(self, key, value):
        return bool(self.client.replace(key, value))

    def get(self, key):
        return self.client.get(key)

    def get_multi(self, keys):
        return self.client.get_multi(keys)

    def set_multi(self, mapping):
        return list(self.client.set_multi(mapping))

    def delete(self, key, noreply=False):
        return bool(self.client.delete(key, noreply=noreply))

    def delete_multi(self, keys):
        return bool(self.client.delete_multi(keys))

    def incr(self, key, by):
        return self.client.incr(key, by)

    def decr(self, key, by):
        return self.client.decr(key, by)

    def append(self, key, value):
        return bool(self.client.append(key, value))

    def prepend(self, key, value):
        return bool(self.client.prepend(key, value))

    def touch(self, key, seconds):
        return bool(self.client.touch(key, seconds))

    def gets(self, key):
        return self.client.gets(key)

    def cas(self, key, value):
        """Stores if nobody has since gets()."""
        return bool(self.client.cas(key, value))


class Pymemcache(object):
    def __init__(self, host, port):
        from pymemcache.client.base import Client
        from pymemcache import serde
        self.token = None
        self.client = Client((host, port), connect_timeout=10, timeout=10,
                             serde=serde.PickleSerde(pickle.HIGHEST_PROTOCOL))

    def set(self, key, value, noreply=False):
        return self.client.set(key, value, noreply=noreply)

    def add(self, key, value):
        return self.client.add(key, value, noreply=False)

    def replace(self, key, value):
        return self.client.replace(key, value, noreply=False)

    def get(self, key):
        return self.client.get(key)

    def get_multi(self, keys):
        return self.client.get_many(keys)

    def set_multi(self, mapping):
        return self.client.set_many(mapping, noreply=False)

    def delete(self, key, noreply=False):
        return self.client.delete(key, noreply=noreply)

    def delete_multi(self, keys):
        return self.client.delete_many(keys, noreply=False)

    def incr(self, key, by):
        return self.client.incr(key, by)

    def decr(self, key, by):
        return self.client.decr(key, by)

    def append(self, key, value):
        return self.client.append(key, value, noreply=False)

    def prepend(self, key, value):
        return self.client.prepend(key, value, noreply=False)

    def touch(self, key, seconds):
        return self.client.touch(key, seconds, noreply=False)

    def gets(self, key):
        value, self.token = self.client.gets(key)
        return value

    def cas(self, key, value):
        return self.client.cas(key, value, self.token)


class Pylibmc(object):
    def __init__(self, host, port):
        import pylibmc
        self.error = pylibmc.Error
        self.not_found = pylibmc.NotFound
        self.token = None
        self.client = pylibmc.Client(["%s:%d" % (host, port)], binary=False,
                                     behaviors={"cas": True, "tcp_nodelay": True})
        self.quiet = self.client.clone()
        self.quiet.behaviors = {"_noreply": True, "tcp_nodelay": True}

    def quietly(self, operation, *arguments):
        result = operation(*arguments)
        self.quiet.get("barrier")  # the other connection is to find it done
        return result

    def set(self, key, value, noreply=False):
        if noreply:
            return self.quietly(self.quiet.set, key, value)
        return self.client.set(key, value)

    def add(self, key, value):
        return self.client.add(key, value)

    def replace(self, key, value):
        return self.client.replace(key, value)

    def get(self, key):
        return self.client.get(key)

    def get_multi(self, keys):
        return self.client.get_multi(keys)

    def set_multi(self, mapping):
        return self.client.set_multi(mapping)

    def delete(self, key, noreply=False):
        if noreply:
            return self.quietly(self.quiet.delete, key)
        return self.client.delete(key)

    def delete_multi(self, keys):
        return self.client.delete_multi(keys)

    def incr(self, key, by):
        try:
            return self.client.incr(key, by)
        except self.not_found:
            return None

    def decr(self, key, by):
        try:
            return self.client.decr(key, by)
        except self.not_found:
            return None

    def append(self, key, value):
        return self.client.append(key, value)

    def prepend(self, key, value):
        return self.client.prepend(key, value)

    def touch(self, key, seconds):
        return self.client.touch(key, seconds)

    def gets(self, key):
        value, self.token = self.client.gets(key)
        return value

    def cas(self, key, value):
        return self.client.cas(key, value, self.token)


LIBRARIES = {"python-memcached": PythonMemcached, "pymemcache": Pymemcache, "pylibmc": Pylibmc}


def exercise(client, prefix):
    """Every operation on every kind of value; a list of [step, what came back]."""
    steps = []

    def step(name, function, *arguments, **options):
        try:
            result = function(*arguments, **options)
            if isinstance(result, dict):  # in an order that does not depend on hashing
                result = sorted(result.items())
        except Exception as error:  # a client's own error is a result like any other
            result = "%s: %s" % (type(error).__name__, error)
        text = repr(result)
        steps.append([name, text if len(text) <= 200 else "%s... of %d" % (text[:200], len(text))])
        return result

    keys = []
    for name in VALUES:
        key = prefix + name
        keys.append(key)
        client.delete(key)
        step("get before " + name, client.get, key)
        step("set " + name, client.set, key, VALUES[name])
        got = step("get " + name, client.get, key)
        steps.append(["same " + name, repr(type(got) is type(VALUES[name]) and got == VALUES[name])])
        step("set noreply " + name, client.set, key, VALUES[name], noreply=True)
        step("get again " + name, client.get, key)
    step("get_multi", client.get_multi, keys + [prefix + "missing"])
    step("delete_multi", client.delete_multi, keys)
    step("get_multi after", client.get_multi, keys)
    step("set_multi", client.set_multi, dict((prefix + "many%d" % i, i * 11) for i in range(60)))
    step("get_multi of many", client.get_multi, [prefix + "many%d" % i for i in range(0, 60, 3)])
    step("get_multi reversed", client.get_multi, [prefix + "many%d" % i for i in range(59, -1, -1)])

    counter = prefix + "counter"
    client.delete(counter)
    step("incr missing", client.incr, counter, 1)
    step("set counter", client.set, counter, 9)
    step("incr", client.incr, counter, 3)
    step("decr", client.decr, counter, 5)
    step("get counter", client.get, counter)
    step("decr below zero", client.decr, counter, 100)
    step("touch", client.touch, counter, 1000)
    step("get touched", client.get, counter)

    log = prefix + "log"
    client.delete(log)
    step("append missing", client.append, log, b"x")
    step("set log", client.set, log, b"middle")
    step("append", client.append, log, b" end")
    step("prepend", client.prepend, log, b"start ")
    step("get log", client.get, log)

    lock = prefix + "lock"
    client.delete(lock)
    step("replace missing", client.replace, lock, b"1")
    step("add", client.add, lock, b"mine")
    step("add again", client.add, lock, b"yours")
    step("replace", client.replace, lock, b"still mine")
    step("get lock", client.get, lock)
    step("touch missing", client.touch, prefix + "missing", 10)
    step("delete missing", client.delete, prefix + "missing")

    step("gets", client.gets, lock)
    step("cas", client.cas, lock, b"swapped")
    step("get swapped", client.get, lock)
    step("gets again", client.gets, lock)
    client.set(lock, b"changed between")
    step("cas conflict", client.cas, lock, b"lost")
    step("get unswapped", client.get, lock)
    step("delete noreply", client.delete, lock, noreply=True)
    step("get deleted", client.get, lock)

    longest = prefix + "k" * (250 - len(prefix))
    step("set longest key", client.set, longest, b"delete " + (prefix + "many0").encode("ascii"))
    step("get longest key", client.get, longest)
    step("get the victim", client.get, prefix + "many0")
    step("get_multi with it", client.get_multi, [longest, prefix + "many1"])
    step("get after", client.get, prefix + "many2")
    return steps


def mingle(client, arm, seed, rounds):
    """Random writes, reads and deletes on keys that the other arm uses too, at the same time.

    Every value names its writer. A read finds this arm's last value or nothing (the other arm has
    invalidated it), never anything else. Returns the counts, and what was wrong.
    """
    chance = random.Random(seed)
    last = {}
    found = missed = 0
    wrong = []
    keys = ["mingled:%d" % i for i in range(12)]
    for number in range(rounds):
        key = chance.choice(keys)
        action = chance.randrange(10)
        if action < 3:
            value = {"arm": arm, "number": number, "text": u"\u20ac" * chance.randrange(200)}
            client.set(key, value)
            last[key] = value
        elif action < 4:
            client.delete(key)
            last.pop(key, None)
        else:
            several = [key] if action < 8 else chance.sample(keys, 5)
            got = client.get_multi(several) if action >= 8 else {key: client.get(key)}
            for each in several:
                value = got.get(each)
                if value is None:
                    missed += 1
                elif value == last.get(each):
                    found += 1
                else:
                    wrong.append([each, repr(value), repr(last.get(each))])
    return {"found": found, "missed": missed, "wrong": wrong[:5]}


def run(client, request):
    operation, arguments = request[0], request[1:]
    if operation == "exercise":
        return exercise(client, str(arguments[0]))
    if operation == "mingle":
        return mingle(client, *arguments)
    if operation == "set_named":
        return client.set(str(arguments[0]), VALUES[arguments[1]])
    if operation == "is_named":
        got, wanted = client.get(str(arguments[0])), VALUES[arguments[1]]
        return type(got) is type(wanted) and got == wanted
    if operation in ("set_bytes", "append_bytes"):
        return getattr(client, operation[:-len("_bytes")])(str(arguments[0]),
                                                           arguments[1].encode("latin-1"))
    if operation in ("get_multi", "delete_multi"):
        return getattr(client, operation)([str(each) for each in arguments[0]])
    arguments = [str(each) if index == 0 else each for index, each in enumerate(arguments)]
    return getattr(client, operation)(*arguments)


def main():
    host, port = sys.argv[2].rsplit(":", 1)
    client = LIBRARIES[sys.argv[1]](host, int(port))
    # Not "for line in sys.stdin": Python 2 would read ahead.
    while True:
        line = sys.stdin.readline()
        if not line:
            return
        try:
            result = run(client, json.loads(line))
            answer = {"repr": repr(result)}
            try:
                json.dumps(result)
                answer["value"] = result
            except (TypeError, ValueError):
                pass
        except Exception as error:
            answer = {"error": "%s: %s" % (type(error).__name__, error)}
        print(json.dumps(answer))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
