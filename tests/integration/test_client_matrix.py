"""The client libraries that people use, in their languages: each driven through all it can do, on memcached
itself, under each arm, and under both arms at once. What came back has to be the same, and so have the bytes
and flags that were stored; nothing of one arm may be seen in the other.

clients/matrix.* are the scripts. Each writes a tag into its values, another one in each arm.
"""
import json
import os
import re
import shutil
import subprocess

import harness

CLIENTS = os.path.join(harness.HERE, "clients")
PYTHON = "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else shutil.which("python3")
TAGS = {"py2": "TagTwo", "py3": "TagTre"}

# What a script needs, and the Debian packages that have it.
NEEDS = {
    "pylibmc": ([PYTHON, "-c", "import pylibmc"], "python3-pylibmc"),
    "bmemcached": ([PYTHON, "-c", "import bmemcached"], "python3-binary-memcached"),
    "django": ([PYTHON, "-c", "import django, pymemcache, pylibmc"], "python3-django python3-pymemcache python3-pylibmc"),
    "php": (["php", "-r", "exit(class_exists('Memcached') ? 0 : 1);"], "php-cli php-memcached"),
    "dalli": (["ruby", "-e", "require 'dalli'"], "ruby ruby-dalli"),
    "Cache::Memcached::Fast": (["perl", "-MCache::Memcached::Fast", "-e", "1"], "libcache-memcached-fast-perl"),
    "Cache::Memcached": (["perl", "-MCache::Memcached", "-e", "1"], "libcache-memcached-perl"),
}


def command(library, address, tag, options):
    options = json.dumps(options)
    if library in ("pylibmc", "bmemcached", "django"):
        return [PYTHON, os.path.join(CLIENTS, "matrix.py"), library, address, tag, options]
    if library == "php":
        return ["php", os.path.join(CLIENTS, "matrix.php"), address, tag, options]
    if library == "dalli":
        return ["ruby", os.path.join(CLIENTS, "matrix.rb"), address, tag, options]
    return ["perl", os.path.join(CLIENTS, "matrix.pl"), library, address, tag, options]


class Run:
    """A script at work."""

    def __init__(self, library, port, tag, options):
        self.child = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--"] + command(library, "127.0.0.1:%d" % port, tag, options),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            # hashes in the same order each time, as the stored bytes are compared
            env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1", PYTHONHASHSEED="0", PERL_HASH_SEED="0",
                     PERL_PERTURB_KEYS="0"))

    def close(self):
        self.child.kill()
        self.child.communicate()

    def finish(self):
        """Its steps, without what an error message says of the connection; and its keys."""
        try:
            out, err = self.child.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self.child.kill()
            out, err = self.child.communicate()
            raise AssertionError("the client hangs after %s" % out.decode()[-300:]) from None
        if self.child.returncode != 0:
            raise AssertionError("status %d: %s\n%s" % (self.child.returncode, out.decode()[-300:], err.decode()[-1000:]))
        steps = [json.loads(line) for line in out.splitlines()]
        keys = steps.pop()[1]
        for step in steps:
            step[1] = re.sub(r"0x[0-9a-f]+|127\.0\.0\.1:[0-9]+", "*", step[1])
        return steps, keys


class Matrix(harness.Test):
    TIME_LIMIT = 180

    def stored(self, port, keys):
        """The bytes and flags behind each key."""
        wire = harness.Wire(port)
        found = {}
        for key in keys:
            reply = wire.send(b"get %s\r\n" % key.encode()).until(b"\r\n")
            if reply != b"END\r\n":
                found[key] = reply.split()[2], wire.exactly(int(reply.split()[3]) + 7)[:-7]
        wire.close()
        return found

    def through(self, library, port, arm, flush, options):
        steps, keys = Run(library, port, TAGS[arm], dict(options, flush=flush)).finish()
        return steps, self.stored(port, keys)

    def same(self, library, wanted, got, arm):
        self.assertEqual(wanted[0], got[0], "%s through %s" % (library, arm))
        self.assertEqual(sorted(wanted[1]), sorted(got[1]))
        for key, (flags, value) in wanted[1].items():
            self.assertEqual((flags, len(value)), (got[1][key][0], len(got[1][key][1])), key)
            self.assertEqual(value, got[1][key][1], key)
        other = TAGS["py3" if arm == "py2" else "py2"]
        self.assertNotIn(other, repr(got[0]))
        for key, (_, value) in got[1].items():
            self.assertNotIn(other.encode(), value, key)

    def need(self, library):
        check, packages = NEEDS[library]
        if not shutil.which(check[0]) or subprocess.call(check, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
            self.skipTest("no %s here: apt-get install %s" % (library, packages))

    def drive(self, library, **options):
        self.need(library)
        wanted = {}
        for arm in ("py2", "py3"):
            # flush_all is refused to the arm without a prefix: the end of the script differs.
            wanted[arm] = self.through(library, self.memcached().port, arm, False, options)
            self.assertGreater(len(wanted[arm][0]), 40)
        flushed = self.through(library, self.memcached().port, "py3", True, options)
        with self.subTest("one after the other"):
            daemon = self.daemon(harness.cache_config(self.memcached()))
            self.same(library, wanted["py2"], self.through(library, daemon.port("py2"), "py2", False, options), "py2")
            self.same(library, flushed, self.through(library, daemon.port("py3"), "py3", True, options), "py3")
        with self.subTest("both at once, on the same keys"):
            folder, self.folder = self.folder, os.path.join(self.folder, "second")
            os.makedirs(os.path.join(self.folder, "state"))
            daemon = self.daemon(harness.cache_config(self.memcached(), coherence="none"))
            self.folder = folder
            runs = {arm: Run(library, daemon.port(arm), TAGS[arm], options) for arm in ("py2", "py3")}
            for run in runs.values():
                self.addCleanup(run.close)
            for arm, run in runs.items():
                steps, keys = run.finish()
                self.same(library, wanted[arm], (steps, self.stored(daemon.port(arm), keys)), arm)

    def drive_by_epochs(self, library, **options):
        """In epoch mode, where the arms hear of each other's changes: one after the other."""
        self.need(library)
        wanted = self.through(library, self.memcached().port, "py2", False, options)
        flushed = self.through(library, self.memcached().port, "py3", True, options)
        daemon = self.daemon(harness.cache_config(self.memcached(), coherence="epoch"))
        self.same(library, wanted, self.through(library, daemon.port("py2"), "py2", False, options), "py2")
        self.same(library, flushed, self.through(library, daemon.port("py3"), "py3", True, options), "py3")

    def drive_logged_in(self, library, **options):
        """Both arms by one listener, which knows them by who logs in."""
        self.need(library)
        wanted = {arm: self.through(library, self.memcached().port, arm, False, options) for arm in ("py2", "py3")}
        config = harness.cache_config(self.memcached(), coherence="none")
        hashed = subprocess.run(["perl", "-e", "print crypt('secret', '$5$rounds=1000$salt$')"], check=True,
                                stdout=subprocess.PIPE).stdout.decode()
        users = os.path.join(self.folder, "users")
        with open(users, "w") as file:
            os.chmod(users, 0o600)
            file.write("web2:%s\nweb3:%s\n" % (hashed, hashed))
        config["cache"]["listen"].append({"address": "127.0.0.1:@door@", "sasl": users, "arms": [
            {"user": "web2", "arm": "py2"}, {"user": "web3", "arm": "py3"}]})
        daemon = self.daemon(config)
        runs = {arm: Run(library, daemon.port("door"), TAGS[arm], dict(options, user=user, password="secret"))
                for arm, user in (("py2", "web2"), ("py3", "web3"))}
        for run in runs.values():
            self.addCleanup(run.close)
        for arm, run in runs.items():
            steps, keys = run.finish()
            self.same(library, wanted[arm], (steps, self.stored(daemon.port(arm), keys)), arm)

    def test_g1_pylibmc_logged_in(self):
        self.drive_logged_in("pylibmc", binary=True, behaviours={"cas": True})

    def test_g1_python_binary_memcached_logged_in(self):
        self.drive_logged_in("bmemcached")

    def test_g1_dalli_logged_in(self):
        self.drive_logged_in("dalli", protocol="binary")

    def test_g7_pylibmc_in_binary_by_epochs(self):
        self.drive_by_epochs("pylibmc", binary=True, behaviours={"cas": True})

    def test_g7_python_binary_memcached_by_epochs(self):
        self.drive_by_epochs("bmemcached")

    def test_g7_dalli_in_binary_by_epochs(self):
        self.drive_by_epochs("dalli", protocol="binary")

    def test_g7_php_in_binary_by_epochs(self):
        self.drive_by_epochs("php", binary=True, nodelay=True)

    def test_g7_pylibmc_by_epochs(self):
        self.drive_by_epochs("pylibmc", behaviours={"cas": True})

    def test_g7_django_with_pymemcache_by_epochs(self):
        self.drive_by_epochs("django", backend="PyMemcacheCache")

    def test_g7_php_by_epochs(self):
        self.drive_by_epochs("php", nodelay=True)

    def test_g7_cache_memcached_fast_by_epochs(self):
        self.drive_by_epochs("Cache::Memcached::Fast", namespace="ns:")

    def test_g7_pylibmc(self):
        self.drive("pylibmc", behaviours={})

    def test_g7_pylibmc_with_behaviours(self):
        self.drive("pylibmc", behaviours={"cas": True, "no_block": True, "tcp_nodelay": True, "ketama": True})

    def test_g7_pylibmc_in_binary(self):
        self.drive("pylibmc", binary=True, behaviours={})

    def test_g7_pylibmc_in_binary_with_behaviours(self):
        self.drive("pylibmc", binary=True, behaviours={"cas": True, "no_block": True, "tcp_nodelay": True})

    def test_g7_python_binary_memcached(self):
        self.drive("bmemcached")

    def test_g7_django_with_pymemcache(self):
        self.drive("django", backend="PyMemcacheCache")

    def test_g7_django_with_pylibmc(self):
        self.drive("django", backend="PyLibMCCache", prefix="site")

    def test_g7_django_with_python_memcached(self):
        self.drive("django", backend="MemcachedCache")

    def test_g7_php(self):
        self.drive("php", nodelay=True)

    def test_g7_php_without_waiting(self):
        self.drive("php", no_block=True, serializer="IGBINARY", prefix="shop:")

    def test_g7_php_in_binary(self):
        self.drive("php", binary=True, nodelay=True)

    def test_g7_dalli(self):
        self.drive("dalli", protocol="binary")

    def test_g7_dalli_with_a_namespace(self):
        self.drive("dalli", compress=True, namespace="app")

    def test_g7_cache_memcached_fast(self):
        self.drive("Cache::Memcached::Fast", namespace="ns:")

    def test_g7_cache_memcached_fast_without_waiting(self):
        self.drive("Cache::Memcached::Fast", nowait=1)

    def test_g7_cache_memcached(self):
        self.drive("Cache::Memcached")


if __name__ == "__main__":
    harness.main()
