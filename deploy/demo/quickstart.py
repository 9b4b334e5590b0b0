"""The demonstration that deploy/quickstart starts: every claim it prints, it has just measured.

It starts a memcached, the shop (app.py) under both Pythons and crossfade with conf/quickstart.yaml,
all on loopback and in a folder of their own, and ends them by their process numbers.
"""
import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import runtimes
from traffic import Connection, ask, ask_all, free_port, listening

HERE = os.path.dirname(os.path.abspath(__file__))
CONFIG = os.path.join(os.path.dirname(os.path.dirname(HERE)), "conf", "quickstart.yaml")
ITEMS = 20          # products, and as many profiles
ROUNDS = 10         # visits of each page by each version
USERS = 50000       # distinct user names
PORTS = {"memcached": 21211, "cache_old": 21212, "cache_new": 21213, "web": 28080,
         "app_old": 28002, "app_new": 28003, "admin": 29911}


class Version:
    """One of the two versions of the shop."""

    def __init__(self, arm, title, python, release=None):
        self.arm = arm
        self.title = title
        self.python = python
        self.release = release
        self.process = None


class Demonstration:
    def __init__(self, build, python2):
        self.build = build
        self.folder = tempfile.mkdtemp(prefix="crossfade-quickstart-")
        self.processes = []
        self.broken = []
        self.ports = {name: port if not listening(port) else free_port()
                      for name, port in PORTS.items()}
        self.choose_versions(python2)
        self.make_database()

    # The parts

    def choose_versions(self, python2):
        python3 = runtimes.python3()
        self.python2_modules = os.path.join(self.folder, "python2-modules")
        if python2:
            os.mkdir(self.python2_modules)
            runtimes.modules_for_python2(self.python2_modules, python3)
            self.old = Version("python2", "Python 2", python2)
            self.new = Version("python3", "Python 3", python3)
            say("%s and %s run the same source, deploy/demo/app.py."
                % (runtimes.version(python2), runtimes.version(python3)))
        else:
            self.old = Version("python2", "release 1", python3, "1")
            self.new = Version("python3", "release 2", python3, "2")
            say("No Python 2 and no Jython to be had: instead of two Pythons, two releases of the",
                "shop under %s, whose classes differ. The arms keep their names." %
                runtimes.version(python3))

    def make_database(self):
        self.database = os.path.join(self.folder, "database")
        os.mkdir(self.database)
        for number in range(ITEMS):
            for kind, name in (("product", "Caf\u00e9 au lait no. %d"), ("profile", "Zo\u00eb %d")):
                with open(os.path.join(self.database, "%s-%d" % (kind, number)), "w",
                          encoding="utf-8") as file:
                    file.write(name % number + "|%.2f\n" % (2.5 + number / 10))

    def start(self, name, command, port, **env):
        log = os.path.join(self.folder, name.replace(" ", "-") + ".log")
        with open(log, "ab") as output:
            process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--"] + command,
                                       stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                       cwd=self.folder, env=dict(os.environ, **env))
        self.processes.append(process)
        end = time.monotonic() + 30
        while not listening(port):
            if process.poll() is not None or time.monotonic() > end:
                with open(log, "rb") as file:
                    raise Failure("%s does not start:\n%s"
                                  % (name, file.read().decode("utf-8", "replace")))
            time.sleep(0.02)
        return process

    def stop(self, process):
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.remove(process)

    def start_memcached(self):
        port = self.ports["memcached"]
        command = ["memcached", "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-m", "64"]
        if os.geteuid() == 0:
            command += ["-u", "root"]
        self.start("memcached", command, port)

    def start_apps(self, old_cache, new_cache):
        """Both versions, each told its memcached: nothing else differs between the acts."""
        for version, app, cache in ((self.old, "app_old", old_cache),
                                    (self.new, "app_new", new_cache)):
            if version.process:
                self.stop(version.process)
            env = {"SHOP_VERSION": version.title, "SHOP_DATABASE": self.database,
                   "SHOP_CACHE": "127.0.0.1:%d" % self.ports[cache], "PYTHONDONTWRITEBYTECODE": "1"}
            if version.release:
                env["SHOP_RELEASE"] = version.release
            elif version is self.old:
                env["PYTHONPATH"] = env["JYTHONPATH"] = self.python2_modules
            version.port = self.ports[app]
            version.process = self.start(version.title, [version.python, os.path.join(HERE, "app.py"),
                                                         str(version.port)], version.port, **env)

    def start_crossfade(self):
        with open(CONFIG) as file:
            text = file.read()
        for name, port in PORTS.items():
            text = text.replace("127.0.0.1:%d" % port, "127.0.0.1:%d" % self.ports[name])
        text = text.replace("/run/crossfade", self.folder)
        text = text.replace("/var/lib/crossfade", os.path.join(self.folder, "state"))
        os.mkdir(os.path.join(self.folder, "state"))
        self.config = os.path.join(self.folder, "quickstart.yaml")
        with open(self.config, "w") as file:
            file.write(text)
        self.crossfade = self.start("crossfade", [os.path.join(self.build, "crossfade"), "-c",
                                                  self.config], self.ports["web"])

    def ctl(self, *arguments):
        """crossfadectl, said aloud."""
        say("", "  $ crossfadectl " + " ".join(arguments))
        begin = time.monotonic()
        done = subprocess.run([os.path.join(self.build, "crossfadectl"), "--socket",
                               os.path.join(self.folder, "control.sock")] + list(arguments),
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=20)
        took = time.monotonic() - begin
        for line in done.stdout.decode("utf-8", "replace").rstrip().splitlines():
            say("  " + line)
        if done.returncode != 0:
            raise Failure("crossfadectl %s ended with status %d"
                          % (" ".join(arguments), done.returncode))
        return took

    def claim(self, happened, text):
        say("  %s %s" % ("ok " if happened else "NO!", text))
        if not happened:
            self.broken.append(text)

    # The acts

    def visit_the_shop(self):
        """The same load in both acts: both versions show every page, in turn, several times."""
        paths = ["/%s/%d" % (kind, number) for number in range(ITEMS)
                 for kind in ("product", "profile")]
        for _ in range(ROUNDS):
            for index, path in enumerate(paths):
                # Each version is the first to show half of the pages.
                order = (self.old, self.new) if index // 2 % 2 else (self.new, self.old)
                for version in order:
                    ask(version.port, "GET", path)
        stats = []
        for version in (self.old, self.new):
            stats.append(json.loads(ask(version.port, "GET", "/stats")[1]))
        table([("", self.old.title, self.new.title),
               ("pages shown", stats[0]["pages"], stats[1]["pages"]),
               ("pages that failed", stats[0]["failed"], stats[1]["failed"]),
               ("filled from the database", stats[0]["refills"], stats[1]["refills"])])
        for version, each in zip((self.old, self.new), stats):
            for error, count in sorted(each["errors"].items()):
                say("  %s, %d times: %s" % (version.title, count, error[:70]))
        return stats

    def act_without(self):
        heading("1. Without Crossfade: both versions on one memcached")
        self.start_memcached()
        self.start_apps("memcached", "memcached")
        stats = self.visit_the_shop()
        say("")
        failed = sum(each["failed"] for each in stats)
        refills = sum(each["refills"] for each in stats)
        self.claim(failed > 0, "%d pages failed on a value that the other version had written" % failed)
        self.claim(refills > 6 * ITEMS,
                   "%d refills for %d entries: each takes the other's value for a miss and fills\n"
                   "      it again, for ever" % (refills, 2 * ITEMS))

    def act_with(self):
        heading("2. The same load through Crossfade")
        with Connection(self.ports["memcached"]) as memcached:
            memcached.send(b"flush_all\r\n")
            memcached.until(b"OK\r\n")
        self.start_crossfade()
        self.start_apps("cache_old", "cache_new")
        say("memcached was emptied. The shop is as it was; only the address of its memcached is now",
            "127.0.0.1:%d for %s and 127.0.0.1:%d for %s." % (
                self.ports["cache_old"], self.old.title, self.ports["cache_new"], self.new.title), "")
        stats = self.visit_the_shop()
        say("")
        self.claim(sum(each["failed"] for each in stats) == 0, "not one page failed")
        self.claim([each["refills"] for each in stats] == [2 * ITEMS] * 2,
                   "each version filled each of its %d entries once" % (2 * ITEMS))

    def price(self, version):
        return ask(version.port, "GET", "/product/7")[1].decode().split()[-1]

    def act_invalidation(self):
        heading("3. Apart, and yet one cache")
        for writer, reader, price in ((self.old, self.new, "9.90"), (self.new, self.old, "1.10")):
            before = self.price(reader)
            ask(writer.port, "POST", "/product/7?price=" + price)
            after = self.price(reader)
            self.claim(after == price, "%s changes a price and deletes the entry; %s shows %s, then %s"
                       % (writer.title, reader.title, before, after))
        allowed = [sum(ask(version.port, "GET", "/limited")[0] == 200 for _ in range(80))
                   for version in (self.old, self.new)]
        self.claim(sum(allowed) == 100, "a limit of 100 that both count (the rule \"limit:*\", shared): "
                   "%d and %d visits\n      were allowed" % tuple(allowed))

    def measure(self, users, what, wanted, **fields):
        """Who of the users is shown the new version: a set of their numbers."""
        new = set()
        wrong = 0
        requests = [("GET", "/who", dict(fields, **{"X-User-Id": "user-%d" % user}))
                    for user in users]
        for user, (status, body) in zip(users, ask_all(self.ports["web"], requests)):
            if status != 200 or body.decode() not in (self.old.title, self.new.title):
                wrong += 1
            elif body.decode() == self.new.title:
                new.add(user)
        low, high = wanted
        self.claim(low <= len(new) <= high and wrong == 0, "%-43s %6d of %6d users = %7.3f %%"
                   % (what, len(new), len(users), 100.0 * len(new) / len(users))
                   + (", %d wrong answers" % wrong if wrong else ""))
        return new

    def act_rollout(self):
        heading("4. The rollout: who is shown %s" % self.new.title)
        say("http://127.0.0.1:%d is the shop's front door; users are told apart by X-User-Id."
            % self.ports["web"], "")
        some = range(2000)
        everyone = range(USERS)
        self.measure(some, "before it starts", (0, 0))

        self.ctl("start")
        self.measure(range(100), "developers (cookie dev=1)", (100, 100), Cookie="dev=1")
        self.measure(some, "the others", (0, 0))

        self.ctl("advance")
        self.measure(range(100), "employees (header X-Employee: 1)", (100, 100), **{"X-Employee": "1"})
        self.measure(range(100), "developers, still", (100, 100), Cookie="dev=1")
        self.measure(some, "the others", (0, 0))

        self.ctl("advance")
        # Four standard deviations about 50 of 50,000, and about 10,000 of 50,000.
        canary = self.measure(everyone, "0.1 % of users", (22, 78))

        self.ctl("advance")
        early = self.measure(everyone, "20 % of users", (9642, 10358))
        self.claim(canary <= early, "who was in is still in")

        self.act_abort(early)

        self.ctl("advance")
        self.measure(everyone, "everyone", (USERS, USERS))

    def act_abort(self, early):
        say("", "Now abort, in the middle of traffic that goes on all the time:")
        traffic = Background(self.ports["web"])
        time.sleep(0.5)
        took = self.ctl("abort", "--reason", "quickstart")
        self.measure(range(5000), "after abort", (0, 0))
        time.sleep(0.2)
        done, failed = traffic.finish()
        self.claim(failed == 0, "abort took %.0f ms; of %d requests meanwhile, %d failed"
                   % (took * 1000, done, failed))
        self.ctl("retry")
        for _ in range(3):
            self.ctl("advance")
        again = self.measure(range(5000), "20 % again", (800, 1200))
        self.claim(again == {user for user in early if user < 5000}, "and they are the same users")

    def stay(self):
        ctl = "%s --socket %s/control.sock" % (os.path.join(self.build, "crossfadectl"), self.folder)
        heading("It is all still running. To try:")
        say("  %s show rollout" % ctl,
            "  %s percent 5" % ctl,
            "  %s why user-7" % ctl,
            "  %s explain product:7" % ctl,
            "  curl -i -H 'X-User-Id: user-7' http://127.0.0.1:%d/product/7" % self.ports["web"],
            "  curl -s http://127.0.0.1:%d/metrics" % self.ports["admin"],
            "  python3 -c 'import memcache; print(memcache.Client([\"127.0.0.1:%d\"])"
            ".get(\"product:7\"))'" % self.ports["cache_new"],
            "", "The configuration, logs and state are in %s." % self.folder,
            "Press Ctrl-C to end it and to clean up.")
        signal.pause()

    def finish(self):
        for process in reversed(list(self.processes)):
            self.stop(process)
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, keep):
        for act in (self.act_without, self.act_with, self.act_invalidation, self.act_rollout):
            act()
        self.check_crossfade(keep)
        heading("Everything above happened as it says." if not self.broken else
                "NOT as promised:\n" + "\n".join("  " + each for each in self.broken))
        if keep:
            self.stay()

    def check_crossfade(self, keep):
        if self.crossfade.poll() is not None:
            raise Failure("crossfade ended with status %s" % self.crossfade.returncode)
        if not keep:
            self.stop(self.crossfade)
            if self.crossfade.returncode != 0:
                raise Failure("crossfade ended with status %s" % self.crossfade.returncode)


class Background:
    """Requests by ever new users until finish()."""

    def __init__(self, port):
        self.port = port
        self.over = False
        self.done = self.failed = 0
        self.thread = threading.Thread(target=self.work)
        self.thread.start()

    def work(self):
        with Connection(self.port) as connection:
            while not self.over:
                user = {"X-User-Id": "visitor-%d" % self.done}
                status, _ = connection.ask("GET", "/who", user)
                self.done += 1
                self.failed += status != 200

    def finish(self):
        self.over = True
        self.thread.join()
        return self.done, self.failed


class Failure(Exception):
    """Something without which the demonstration cannot go on."""


def say(*lines):
    for line in lines:
        print(line, flush=True)


def heading(text):
    bold = sys.stdout.isatty()
    say("", ("\033[1m%s\033[0m" if bold else "%s") % text, "")


def table(rows):
    for first, second, third in rows:
        say("  %-26s %12s %12s" % (first, second, third))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True, help="the folder with the built programs")
    parser.add_argument("--python2", help="the command of a Python 2")
    parser.add_argument("--keep", action="store_true", help="leave it running at the end")
    given = parser.parse_args()

    def interrupted(unused_signal, unused_frame):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupted)
    demonstration = Demonstration(given.build, given.python2)
    try:
        demonstration.run(given.keep)
    except KeyboardInterrupt:
        say("", "Interrupted.")
        return 0 if given.keep and not demonstration.broken else 130
    except (Failure, OSError) as failure:
        say("", "FAILED: %s" % failure)
        return 1
    finally:
        demonstration.finish()
    return 1 if demonstration.broken else 0


if __name__ == "__main__":
    sys.exit(main())
