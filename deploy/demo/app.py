# coding: utf-8
"""A small shop, as a WSGI application. The same source runs under Python 2 and Python 3.

    GET  /product/7            a product, through the cache
    POST /product/7?price=2.5  a new price: into the database, and its cache entry is deleted
    GET  /profile/7            a profile, which the application pickles itself
    GET  /limited              answers 429 after 100 visits, counted in the cache
    GET  /who                  which version this is
    GET  /stats                what it has counted

It is written like thousands of others: rows of the database are dictionaries, values are pickled with
the newest protocol that this Python has, and nobody thought of two versions at once.
"""
import json
import os
import pickle
import sys

import memcache

VERSION = os.environ["SHOP_VERSION"]          # "Python 2", "Python 3"; or a release
DATABASE = os.environ["SHOP_DATABASE"]        # a folder with a file for each row
cache = memcache.Client([os.environ["SHOP_CACHE"]], pickleProtocol=pickle.HIGHEST_PROTOCOL)
counts = {"pages": 0, "failed": 0, "refills": 0, "errors": {}}

if os.environ.get("SHOP_RELEASE") == "2":
    class Price(float):
        """New in release 2, which is all that it takes."""
elif os.environ.get("SHOP_RELEASE") == "1":
    class Amount(float):
        """Gone in release 2."""
    Price = Amount
else:
    Price = float


def row(kind, number):
    """A row of the database. In Python 2 its text is bytes, in Python 3 it is Unicode."""
    options = {} if sys.version_info[0] == 2 else {"encoding": "utf-8"}
    with open(os.path.join(DATABASE, "%s-%s" % (kind, number)), **options) as file:
        name, price = file.read().strip().split("|")
    return {"id": int(number), "name": name, "price": Price(price)}


def product(number):
    key = "product:%s" % number
    value = cache.get(key)
    if value is None:
        counts["refills"] += 1
        value = row("product", number)
        cache.set(key, value)
    return "%s costs %.2f" % (value["name"], value["price"])


def profile(number):
    key = "profile:%s" % number
    stored = cache.get(key)
    if stored is None:
        counts["refills"] += 1
        stored = pickle.dumps(row("profile", number), pickle.HIGHEST_PROTOCOL)
        cache.set(key, stored)
    value = pickle.loads(stored)
    return "%s has %.2f to spend" % (value["name"], value["price"])


def change_price(number, price):
    path = os.path.join(DATABASE, "product-%s" % number)
    with open(path, "rb") as file:
        name = file.read().split(b"|")[0]
    with open(path + ".new." + VERSION.replace(" ", ""), "wb") as file:
        file.write(name + b"|" + price.encode("ascii") + b"\n")
    os.rename(file.name, path)
    cache.delete("product:%s" % number)
    return "changed"


def limited():
    cache.add("limit:visits", "0")
    return "200 OK" if (cache.incr("limit:visits") or 0) <= 100 else "429 Too Many Requests"


def page(method, path, query):
    """(status, text) of a page."""
    parts = path.strip("/").split("/")
    if parts[0] == "who":
        return "200 OK", VERSION
    if parts[0] == "limited":
        return limited(), VERSION
    if parts[0] == "stats":
        return "200 OK", json.dumps(counts)
    if parts[0] == "product" and method == "POST":
        return "200 OK", change_price(parts[1], query.split("=")[1])
    if parts[0] in ("product", "profile") and len(parts) == 2:
        counts["pages"] += 1
        return "200 OK", {"product": product, "profile": profile}[parts[0]](parts[1])
    return "404 Not Found", "no such page"


def application(environ, start_response):
    try:
        status, text = page(environ["REQUEST_METHOD"], environ["PATH_INFO"],
                            environ.get("QUERY_STRING", ""))
    except Exception as error:
        name = "%s: %s" % (type(error).__name__, error)
        counts["failed"] += 1
        counts["errors"][name] = counts["errors"].get(name, 0) + 1
        status, text = "500 Internal Server Error", name
    body = text if isinstance(text, bytes) else text.encode("utf-8")
    start_response(status, [("Content-Type", "text/plain; charset=utf-8"),
                            ("Content-Length", str(len(body)))])
    return [body]


if __name__ == "__main__":
    import server
    server.serve(application, int(sys.argv[1]))
