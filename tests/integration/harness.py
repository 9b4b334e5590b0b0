"""Real processes for the integration tests: memcached, crossfade, web backends, raw sockets.

How to write a test
-------------------
A file test_<what>.py here, Python 3 and its standard library alone:

    import harness

    class Deletes(harness.Test):
        def test_g2_delete_reaches_the_other_arm(self):
            memcached = self.memcached()
            daemon = self.daemon(harness.cache_config(memcached))
            py2, py3 = daemon.wire("py2"), daemon.wire("py3")
            py2.talk(b"set k 0 0 1\\r\\nx\\r\\n", b"STORED\\r\\n")
            py3.talk(b"delete k\\r\\n", b"NOT_FOUND\\r\\n")
            py2.talk(b"get k\\r\\n", b"END\\r\\n")

    if __name__ == "__main__":
        harness.main()

- Run one:  CROSSFADE_BUILD=build python3 tests/integration/test_deletes.py [-v] [Deletes.test_...]
  Without CROSSFADE_BUILD the programs are looked for in build/ and in the source tree.
  All of them, counted:  python3 tests/integration/harness.py [--in FOLDER] [NAME...]
- A configuration is a dictionary with the keys of the configuration file (or the text of one).
  In its strings @NAME@ stands for a TCP port that the system chooses, and @dir@ for the test's own
  folder. daemon.port("NAME") says which port it became. If another process was faster to take
  one, the start is tried again with others.
- Everything that a test starts is ended after it, by pid. The daemon has to end by SIGTERM with
  status 0 and without a sanitizer's report, or the test fails, whatever it did before; a test in
  which the daemon ends otherwise says so: daemon.kill(), daemon.wait(status).
- Every wait has a limit. A test as a whole has TIME_LIMIT seconds; a class may set another.
- Never sleep for something to have happened: harness.eventually(lambda: ...).
"""
import argparse
import faulthandler
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
WAIT = 10.0  # seconds; far more than anything takes, so that a busy machine fails no test
SANITIZER = re.compile(rb"(ERROR: \w+Sanitizer|WARNING: \w+Sanitizer|runtime error:|"
                       rb"SUMMARY: \w+Sanitizer)")


def build_folder():
    """Where the programs under test are."""
    given = os.environ.get("CROSSFADE_BUILD")
    for folder in [given] if given else [os.path.join(SOURCE, "build"), SOURCE, os.getcwd()]:
        if os.access(os.path.join(folder, "crossfade"), os.X_OK):
            return os.path.abspath(folder)
    raise RuntimeError("no program crossfade in %s: build it and set CROSSFADE_BUILD to the folder"
                       % (given or "build/ or the source folder"))


def program(name):
    return os.path.join(build_folder(), name)


# Ports that this process has handed out: the system may offer the same one twice.
_ports_given = set()


def free_port():
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port not in _ports_given:
            _ports_given.add(port)
            return port


def eventually(condition, what="the condition", timeout=WAIT):
    """Waits until condition() is true, and gives back what it returned."""
    end = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError("%s did not come true in %g s" % (what, timeout))
        time.sleep(0.01)


def connect(address, timeout=WAIT):
    """A socket to (host, port), a port of 127.0.0.1, or the path of a unix socket."""
    if isinstance(address, int):
        address = ("127.0.0.1", address)
    if isinstance(address, str):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(timeout)
            sock.connect(address)
        except OSError:
            sock.close()
            raise
        return sock
    sock = socket.create_connection(address, timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def accepts(address):
    try:
        connect(address, 1.0).close()
        return True
    except OSError:
        return False


class Process:
    """A child process: its output in a file, ended by pid, dead when this process is."""

    name = "process"

    def __init__(self, folder):
        self.folder = folder
        self.child = None
        self.frozen = False
        self.log_path = None

    def spawn(self, command, env=None, cwd=None):
        number = 0
        while True:
            self.log_path = os.path.join(self.folder, "%s.%d.log" % (self.name, number))
            if not os.path.exists(self.log_path):
                break
            number += 1
        full = dict(os.environ)
        full.update(env or {})
        with open(self.log_path, "wb") as log:
            self.child = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--"] + command,
                                          stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                          env=full, cwd=cwd or self.folder)

    @property
    def pid(self):
        return self.child.pid

    def log(self):
        with open(self.log_path, "rb") as file:
            return file.read()

    def running(self):
        return self.child is not None and self.child.poll() is None

    def wait_ready(self, ready):
        """False when it ended instead."""
        end = time.monotonic() + WAIT * 2
        while True:
            if self.child.poll() is not None:
                return False
            if ready():
                return True
            if time.monotonic() > end:
                raise AssertionError("%s is not ready after %g s:\n%s"
                                     % (self.name, WAIT * 2, self.log_text()))
            time.sleep(0.01)

    def log_text(self, limit=6000):
        text = self.log().decode("utf-8", "backslashreplace")
        return text if len(text) <= limit else "...\n" + text[-limit:]

    def signal(self, number):
        self.child.send_signal(number)

    def freeze(self):
        """Stops it in its tracks: connections stay, nothing is answered."""
        self.signal(signal.SIGSTOP)
        self.frozen = True
        eventually(self.stands_still, "the stop of %s" % self.name)

    def stands_still(self):
        """All its threads have taken the stop: that is a moment later than the signal."""
        tasks = "/proc/%d/task" % self.pid
        for task in os.listdir(tasks):
            with open("%s/%s/stat" % (tasks, task)) as file:
                if file.read().rsplit(")", 1)[1].split()[0] != "T":
                    return False
        return True

    def thaw(self):
        self.signal(signal.SIGCONT)
        self.frozen = False

    def kill(self):
        """SIGKILL, and waits until it is gone."""
        if self.running():
            self.child.kill()
        self.child.wait(WAIT)
        self.frozen = False

    def stop(self):
        if not self.running():
            return
        if self.frozen:
            self.thaw()
        self.child.terminate()
        try:
            self.child.wait(WAIT)
        except subprocess.TimeoutExpired:
            self.kill()


class Memcached(Process):
    """A real memcached. Its port stays the same over kill() and start()."""

    name = "memcached"

    def __init__(self, folder, options=(), path=None):
        super().__init__(folder)
        self.options = list(options)
        self.path = path
        self.port = None
        self.start()

    def start(self):
        command = ["memcached", "-l", "127.0.0.1", "-U", "0", "-t", "1", "-m", "256"]
        if os.geteuid() == 0:
            command += ["-u", "root"]
        for _ in range(20):
            port = self.port or free_port()
            where = ["-s", self.path] if self.path else ["-p", str(port)]
            self.spawn(command + where + self.options)
            if self.wait_ready(lambda: accepts(self.path or port)):
                self.port = port
                return
            time.sleep(0.1)
        raise AssertionError("memcached does not start:\n" + self.log_text())

    def stop(self):
        """It takes a second to end by SIGTERM, and has nothing to save."""
        if self.running():
            self.kill()

    @property
    def address(self):
        """As the configuration names it."""
        return "unix:" + self.path if self.path else "127.0.0.1:%d" % self.port

    def wire(self, timeout=WAIT):
        return Wire(self.path or self.port, timeout)


class Daemon(Process):
    """crossfade with a configuration of its own."""

    name = "crossfade"

    def __init__(self, folder, config, env=None, options=()):
        super().__init__(folder)
        self.source = config
        self.env = env or {}
        self.options = list(options)
        self.config_path = os.path.join(folder, "crossfade.yaml")
        self.ports = {}
        self.expected_end = None
        self.start()

    def render(self, config):
        text = config if isinstance(config, str) else json.dumps(config, indent=2)
        text = text.replace("@dir@", self.folder)
        return re.sub(r"@(\w+)@", lambda found: str(self.port(found.group(1))), text)

    def port(self, name):
        if name not in self.ports:
            self.ports[name] = free_port()
        return self.ports[name]

    def write(self, config):
        """Writes the file that the next start or reload reads."""
        self.source = config
        with open(self.config_path, "w") as file:
            file.write(self.render(config))

    def start(self):
        fresh = not self.ports
        for _ in range(5):
            if fresh:
                self.ports = {}
            self.write(self.source)
            # Leak reports come at the end: a leak is a fault of the daemon like any other.
            env = {"ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:exitcode=99",
                   "UBSAN_OPTIONS": "print_stacktrace=1"}
            env.update(self.env)
            self.spawn([program("crossfade"), "-c", self.config_path] + self.options, env)
            self.expected_end = None
            addresses = self.addresses()
            # Without any it cannot be seen to be ready; such a configuration is there to be refused.
            if self.wait_ready(lambda: addresses and all(map(accepts, addresses))):
                return
            if b"in use" not in self.log():
                break
            time.sleep(0.05)
        self.expected_end = self.child.returncode
        raise AssertionError("crossfade does not start (status %s):\n%s"
                             % (self.child.returncode, self.log_text()))

    def addresses(self):
        """Everything that has to accept connections before the daemon counts as ready."""
        config = self.source
        if isinstance(config, str):
            return list(self.ports.values())
        found = []
        for plane in ("cache", "web"):
            found += [listen["address"] for listen in config.get(plane, {}).get("listen", [])]
        control = config.get("control", {})
        found += ["unix:" + each["path"] for each in control.get("sockets", [])]
        if control.get("http", "off") != "off":
            found.append(control["http"])
        return [self.resolve(address) for address in found]

    def resolve(self, address):
        address = self.render(address)
        if address.startswith("unix:"):
            return address[len("unix:"):]
        host, port = address.rsplit(":", 1)
        return (host, int(port))

    def wire(self, name, timeout=WAIT):
        """A raw socket to the port of this name."""
        return Wire(self.port(name), timeout)

    def alive(self):
        if self.child.poll() is not None:
            raise AssertionError("crossfade ended with status %s:\n%s"
                                 % (self.child.returncode, self.log_text()))
        return True

    def ctl(self, *arguments, status=0):
        """crossfadectl with these arguments; its standard output. Checks the exit status."""
        done = subprocess.run(
            [program("crossfadectl"), "--socket", os.path.join(self.folder, "control.sock")]
            + [str(each) for each in arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=WAIT)
        if status is not None and done.returncode != status:
            raise AssertionError("crossfadectl %s: status %d, not %d\n%s%s" % (
                " ".join(map(str, arguments)), done.returncode, status,
                done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")))
        return done.stdout.decode("utf-8")

    def show(self, what):
        """crossfadectl show WHAT --json, parsed."""
        return json.loads(self.ctl("--json", "show", *what.split()))

    def reload(self):
        """SIGHUP; the caller waits for what it expects."""
        self.signal(signal.SIGHUP)

    def kill(self):
        self.expected_end = -signal.SIGKILL
        super().kill()

    def wait(self, status=0):
        """Waits for an end that the test has brought about."""
        self.child.wait(WAIT)
        self.expected_end = status

    def finish(self):
        """Ends it and checks how it went; None or what was wrong."""
        wrong = []
        if self.expected_end is None:
            if not self.running():
                wrong.append("crossfade died with status %s" % self.child.returncode)
            else:
                if self.frozen:
                    self.thaw()
                self.child.terminate()
                try:
                    self.child.wait(WAIT * 2)
                    if self.child.returncode != 0:
                        wrong.append("crossfade ended with status %s" % self.child.returncode)
                except subprocess.TimeoutExpired:
                    wrong.append("crossfade did not end within %g s of SIGTERM" % (WAIT * 2))
                    self.kill()
        else:
            if self.running():
                wrong.append("crossfade still runs")
                self.kill()
            elif self.child.returncode != self.expected_end:
                wrong.append("crossfade ended with status %s, not %s"
                             % (self.child.returncode, self.expected_end))
        if SANITIZER.search(self.all_logs()):
            wrong.append("a sanitizer reported")
        if wrong:
            return "%s; its log:\n%s" % (", ".join(wrong), self.log_text())
        return None

    def all_logs(self):
        """The logs of all starts of this daemon."""
        parts = []
        for name in sorted(os.listdir(self.folder)):
            if name.startswith(self.name + ".") and name.endswith(".log"):
                with open(os.path.join(self.folder, name), "rb") as file:
                    parts.append(file.read())
        return b"\n".join(parts)

    def at_rest(self):
        """Waits until all memcached servers are up, nothing waits for one, and none is still to be told of anything, which
        would delete what is stored now. What is shown of the journal is of the last tick: so two looks."""
        for _ in range(2):
            eventually(lambda: all(row["state"] == "up" and row["waiting"] == 0 and row["journal_pending"] == 0
                                   for row in self.show("servers")), "the servers' rest")
            time.sleep(0.3)

    def memory(self):
        """Bytes of memory that the process has asked for: Anonymous of /proc/PID/smaps_rollup. Not the files of
        its state folder, which it has mapped and looks through little by little."""
        with open("/proc/%d/smaps_rollup" % self.pid) as file:
            return sum(int(line.split()[1]) * 1024 for line in file if line.startswith("Anonymous:"))

    def cpu_seconds(self):
        with open("/proc/%d/stat" % self.pid) as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Wire:
    """A raw socket with which a test says bytes and expects bytes."""

    def __init__(self, address, timeout=WAIT):
        self.sock = connect(address, timeout)
        self.timeout = timeout
        self.pending = b""
        self.ended = False

    def send(self, data):
        self.sock.sendall(data)
        return self

    def send_split(self, data, size=1, pause=0.0):
        """In pieces, each in a segment of its own."""
        for start in range(0, len(data), size):
            self.sock.sendall(data[start:start + size])
            if pause:
                time.sleep(pause)
        return self

    def fill(self, end):
        """Reads once; False at the end of the stream or of the time."""
        if self.ended:
            return False
        left = end - time.monotonic()
        if left <= 0:
            return False
        self.sock.settimeout(left)
        try:
            data = self.sock.recv(262144)
        except socket.timeout:
            return False
        except ConnectionError:
            data = b""
        if not data:
            self.ended = True
            return False
        self.pending += data
        return True

    def expect(self, wanted, timeout=None):
        """Exactly these bytes come next."""
        end = time.monotonic() + (timeout or self.timeout)
        while len(self.pending) < len(wanted) and wanted.startswith(self.pending):
            if not self.fill(end):
                break
        got, self.pending = self.pending[:len(wanted)], self.pending[len(wanted):]
        if got != wanted:
            raise AssertionError("expected %s, got %s%s" % (
                shorten(wanted), shorten(got + self.pending),
                " and the end of the stream" if self.ended else ""))
        return self

    def talk(self, data, wanted, timeout=None):
        return self.send(data).expect(wanted, timeout)

    def until(self, mark, timeout=None):
        """Everything up to and with this mark."""
        end = time.monotonic() + (timeout or self.timeout)
        start = 0
        while True:
            at = self.pending.find(mark, start)
            if at >= 0:
                at += len(mark)
                got, self.pending = self.pending[:at], self.pending[at:]
                return got
            start = max(0, len(self.pending) - len(mark) + 1)
            if not self.fill(end):
                raise AssertionError("no %s in %s%s" % (
                    shorten(mark), shorten(self.pending),
                    " and the end of the stream" if self.ended else ""))

    def line(self, timeout=None):
        return self.until(b"\r\n", timeout)

    def exactly(self, size, timeout=None):
        end = time.monotonic() + (timeout or self.timeout)
        while len(self.pending) < size:
            if not self.fill(end):
                raise AssertionError("expected %d bytes, got %d: %s"
                                     % (size, len(self.pending), shorten(self.pending)))
        got, self.pending = self.pending[:size], self.pending[size:]
        return got

    def silence(self, seconds=0.2):
        """Nothing comes for so long, and the connection stays open."""
        self.fill(time.monotonic() + seconds)
        if self.pending or self.ended:
            raise AssertionError("expected silence, got %s%s" % (
                shorten(self.pending), " and the end of the stream" if self.ended else ""))
        return self

    def rest(self, timeout=None):
        """Everything until the peer closes."""
        end = time.monotonic() + (timeout or self.timeout)
        while self.fill(end):
            pass
        if not self.ended:
            raise AssertionError("the connection was not closed; so far: " + shorten(self.pending))
        got, self.pending = self.pending, b""
        return got

    def expect_end(self, timeout=None):
        left = self.rest(timeout)
        if left:
            raise AssertionError("expected the end of the stream, got " + shorten(left))
        return self

    def shut_write(self):
        self.sock.shutdown(socket.SHUT_WR)
        return self

    def close(self):
        self.sock.close()

    def __del__(self):
        if hasattr(self, "sock"):
            self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()


def shorten(data, limit=400):
    return repr(data) if len(data) <= limit else "%r...%r (%d bytes)" % (
        data[:limit // 2], data[-limit // 2:], len(data))


class Request:
    """A request as a web backend got it."""

    def __init__(self, method, target, version, fields, body, head, connection):
        self.method = method
        self.target = target
        self.version = version
        self.fields = fields  # [(name, value)] as they came
        self.body = body
        self.head = head
        self.connection = connection  # number of the connection, from 0

    def field(self, name):
        """The value of the field of this name, or None; several are joined by ', '."""
        found = [value for each, value in self.fields if each.lower() == name.lower()]
        return ", ".join(found) if found else None


def response(body=b"", status=200, reason="OK", fields=()):
    lines = ["HTTP/1.1 %d %s" % (status, reason)]
    lines += ["%s: %s" % field for field in fields]
    lines.append("Content-Length: %d" % len(body))
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


class Backend:
    """A web backend in this process that records what it gets.

    answer(request) returns the bytes of the response (see response()), or None to close the
    connection without one. By default a 200 with the backend's name as body.
    """

    def __init__(self, name="backend", answer=None, port=0, path=None, host="127.0.0.1"):
        self.name = name
        self.answer = answer or (lambda request: response(name.encode()))
        self.requests = []
        self.lock = threading.Lock()
        self.connections = 0
        self.open = set()
        if path:
            self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.listener.bind(path)
            self.address = "unix:" + path
        else:
            self.listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind((host, port))
            self.port = self.listener.getsockname()[1]
            self.address = "%s:%d" % (host, self.port)
        self.listener.listen(1024)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                number = self.connections
                self.connections += 1
                self.open.add(sock)
            threading.Thread(target=self.serve, args=(sock, number), daemon=True).start()

    def serve(self, sock, number):
        try:
            reader = sock.makefile("rb")
            while True:
                request = self.read(reader, number)
                if request is None:
                    return
                with self.lock:
                    self.requests.append(request)
                answer = self.answer(request)
                if answer is None:
                    return
                sock.sendall(answer)
                if b"\r\nconnection: close\r\n" in answer.split(b"\r\n\r\n")[0].lower() + b"\r\n":
                    return
        except (OSError, ValueError):
            pass
        finally:
            with self.lock:
                self.open.discard(sock)
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()

    def read(self, reader, number):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = reader.readline(65536)
            if not line:
                return None
            head += line
        lines = head.decode("latin-1").split("\r\n")[:-2]
        method, target, version = lines[0].split(" ")
        fields = [tuple(part.strip(" \t") for part in line.split(":", 1)) for line in lines[1:]]
        request = Request(method, target, version, fields, b"", head, number)
        if request.field("Expect"):
            raise ValueError("this backend does not do Expect")
        if (request.field("Transfer-Encoding") or "").lower() == "chunked":
            while True:
                size = int(reader.readline(64).strip(), 16)
                request.body += reader.read(size)
                if reader.readline(16) != b"\r\n" and size > 0:
                    raise ValueError("bad chunk")
                if size == 0:
                    break
        else:
            request.body = reader.read(int(request.field("Content-Length") or 0))
        return request

    def drop_connections(self):
        with self.lock:
            for sock in self.open:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def close(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self.drop_connections()


class BackendProcess(Process):
    """A web backend in a process of its own, to be killed and frozen: answers NAME to everything."""

    name = "backend"

    def __init__(self, folder, answer_name):
        super().__init__(folder)
        self.answer_name = answer_name
        self.port = None
        self.start()

    def start(self):
        for _ in range(20):
            port = self.port or free_port()
            self.spawn([sys.executable, os.path.abspath(__file__), "--backend",
                        self.answer_name, str(port)])
            if self.wait_ready(lambda: accepts(port)):
                self.port = port
                return
            time.sleep(0.1)
        raise AssertionError("the backend does not start:\n" + self.log_text())

    @property
    def address(self):
        return "127.0.0.1:%d" % self.port


def cache_config(*memcacheds, **changes):
    """Two arms, py2 (without a namespace) and py3, each with a port of its name; no web plane.

    Arguments are put into the section cache: cache_config(memcached, coherence="none").
    """
    cache = {
        "listen": [{"address": "127.0.0.1:@py2@", "arm": "py2"},
                   {"address": "127.0.0.1:@py3@", "arm": "py3"}],
        "servers": [each if isinstance(each, str) else each.address for each in memcacheds],
        "timeouts": {"connect": "250ms", "request": "1s"},
        "keys": [{"match": "shared:*", "scope": "shared"}],
    }
    cache.update(changes)
    return {
        "arms": [{"name": "py2", "namespace": ""}, {"name": "py3", "namespace": "py3"}],
        "cache": cache,
        "control": {"sockets": [{"path": "@dir@/control.sock", "level": "admin"}], "http": "off"},
        "process": {"workers": 2, "state_dir": "@dir@/state", "drain_timeout": "2s"},
    }


def web_config(stable, candidate, **changes):
    """The web plane on the port web, a rollout from py2 to py3 by the header X-User-Id.

    stable and candidate are one backend or a list of them. Arguments go into the section web.
    """
    def addresses(backends):
        backends = backends if isinstance(backends, (list, tuple)) else [backends]
        return [each if isinstance(each, str) else each.address for each in backends]
    web = {"listen": [{"address": "127.0.0.1:@web@"}],
           "timeouts": {"connect": "500ms", "response": "2s"}}
    web.update(changes)
    return {
        "arms": [{"name": "py2", "namespace": "", "backends": addresses(stable)},
                 {"name": "py3", "namespace": "py3", "backends": addresses(candidate)}],
        "web": web,
        "rollout": {
            "name": "python3", "from": "py2", "to": "py3", "salt": "integration",
            "identity": ["header:X-User-Id", "cookie:uid"],
            "stages": [{"name": "developers", "allow": [{"cookie": "dev=1"}]},
                       {"name": "employees", "allow": [{"header": "X-Employee: 1"}]},
                       {"name": "canary", "percent": 0.1},
                       {"name": "early", "percent": 20},
                       {"name": "everyone", "percent": 100}]},
        "control": {"sockets": [{"path": "@dir@/control.sock", "level": "admin"}],
                    "http": "127.0.0.1:@admin@"},
        "process": {"workers": 2, "state_dir": "@dir@/state", "drain_timeout": "2s"},
    }


class TimeLimit(Exception):
    pass


class Test(unittest.TestCase):
    """The base of every test: a fresh folder, and nothing left behind."""

    TIME_LIMIT = 90
    maxDiff = 2000

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="crossfade-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        os.mkdir(os.path.join(self.folder, "state"))

        def too_long(unused_signal, unused_frame):
            raise TimeLimit("the test takes longer than %d s" % self.TIME_LIMIT)

        signal.signal(signal.SIGALRM, too_long)
        signal.alarm(self.TIME_LIMIT)
        self.addCleanup(signal.alarm, 0)
        # A main thread that is stuck in C code sees no exception.
        faulthandler.dump_traceback_later(self.TIME_LIMIT + 60, exit=True)
        self.addCleanup(faulthandler.cancel_dump_traceback_later)

    def memcached(self, *options, path=None):
        server = Memcached(self.folder, options, path)
        self.addCleanup(server.stop)
        return server

    def daemon(self, config, env=None, options=()):
        daemon = Daemon(self.folder, config, env, options)
        self.addCleanup(self.finish, daemon)
        return daemon

    def finish(self, daemon):
        wrong = daemon.finish()
        if wrong:
            raise AssertionError(wrong)

    def backend(self, name="backend", answer=None, path=None):
        backend = Backend(name, answer, path=path)
        self.addCleanup(backend.close)
        return backend

    def backend_process(self, name):
        backend = BackendProcess(self.folder, name)
        self.addCleanup(backend.stop)
        return backend


def main():
    """For the end of a test file."""
    unittest.main(verbosity=1)


def run_all(folder, names, without):
    """Runs the folder's test files, or those named, and ends with a line of counts."""
    suite = unittest.TestSuite()
    loader = unittest.TestLoader()
    sys.path.insert(0, folder)
    for file in sorted(os.listdir(folder)):
        if not (file.startswith("test_") and file.endswith(".py")):
            continue
        name = file[len("test_"):-len(".py")]
        if name not in without and (not names or name in names):
            suite.addTests(loader.loadTestsFromName("test_" + name))
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    passed = max(0, result.testsRun - failed - len(result.skipped))
    print("%d passed, %d failed, %d skipped" % (passed, failed, len(result.skipped)))
    return 1 if failed or result.testsRun == 0 else 0


def command_line():
    parser = argparse.ArgumentParser(description="Runs the test files of a folder.")
    parser.add_argument("--in", dest="folder", default=HERE, help="the folder (this one)")
    parser.add_argument("--without", action="append", default=[], metavar="NAME",
                        help="leave test_NAME.py out")
    parser.add_argument("names", nargs="*", metavar="NAME", help="test_NAME.py alone")
    given = parser.parse_args()
    sys.path.insert(0, HERE)
    return run_all(os.path.abspath(given.folder), given.names, given.without)


if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[1] == "--backend":
        Backend(sys.argv[2], port=int(sys.argv[3]))
        signal.pause()
        sys.exit(0)
    sys.exit(command_line())
