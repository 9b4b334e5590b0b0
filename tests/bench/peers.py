"""The programs that tests/bench/run starts: servers, peers and the daemon, each on its core."""
import os
import re
import shutil
import signal
import socket
import subprocess
import time

READY_SECONDS = 10


class Missing(Exception):
    """A peer whose program is not installed."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def find(program):
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        raise Missing(program + " is not installed")
    return path


class Process:
    """A child that lives until stop(); killed by its pid, never by its name."""

    def __init__(self, argv, core, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
                 stderr=subprocess.DEVNULL):
        self.child = subprocess.Popen(
            argv, stdin=stdin, stdout=stdout, stderr=stderr, text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, core if isinstance(core, set) else {core}))
        self.pid = self.child.pid

    def cpu(self):
        """User and system time of all threads so far, in seconds, from the process' own clock."""
        return time.clock_gettime_ns((~self.pid << 3) | 2) / 1e9

    def memory(self):
        """Anonymous memory that is resident, in KiB."""
        with open("/proc/%d/status" % self.pid) as status:
            return int(re.search(r"RssAnon:\s+(\d+)", status.read()).group(1))

    def stop(self):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(10)
            except subprocess.TimeoutExpired:
                self.child.kill()
        self.child.wait()
        for stream in (self.child.stdin, self.child.stdout, self.child.stderr):
            if stream is not None:
                stream.close()


class Bench:
    """Where things are; starts processes and ends all of them."""

    def __init__(self, build, folder, proxy_core, load_core, other):
        self.build = build
        self.other = other  # path of another build of the daemon, or None
        self.folder = folder
        self.proxy_core = proxy_core
        self.load_core = load_core
        self.wrapper = []   # put before a proxy's command line (valgrind)
        self.processes = []

    def program(self, name):
        path = os.path.join(self.build, name)
        if not os.access(path, os.X_OK):
            raise RuntimeError(path + " is not built (make all bench-programs)")
        return path

    def file(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as out:
            out.write(text)
        return path

    def start(self, argv, core, **streams):
        process = Process(argv, core, **streams)
        self.processes.append(process)
        return process

    def proxy(self, name, argv, port, core=None):
        """Starts one that listens on a port given to it, and waits for it to accept."""
        with open(os.path.join(self.folder, name + ".log"), "w") as log:
            process = self.start(self.wrapper + argv, self.proxy_core if core is None else core,
                                 stdout=log, stderr=log)
        self.await_port(name, process, port)
        return process, "127.0.0.1:%d" % port

    def announcing(self, argv, core):
        """Starts one of ours, which chooses a port and says so."""
        process = self.start(argv, core, stdout=subprocess.PIPE)
        line = process.child.stdout.readline().split()
        if len(line) != 2 or line[0] != "listening":
            raise RuntimeError("%s said: %s" % (argv[0], " ".join(line)))
        return process, line[1]

    def await_port(self, name, process, port):
        limit = time.monotonic() + READY_SECONDS * (6 if self.wrapper else 1)
        while time.monotonic() < limit:
            if process.child.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        log = ""
        path = os.path.join(self.folder, name + ".log")
        if os.path.exists(path):
            with open(path, errors="replace") as text:
                log = text.read()[-2000:]
        raise RuntimeError("%s does not listen: %s" % (name, log))

    def end(self, process):
        process.stop()
        self.processes.remove(process)

    def end_all(self):
        for process in reversed(list(self.processes)):
            self.end(process)


def memcached(bench):
    port = free_port()
    argv = [find("memcached"), "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-t", "1",
            "-m", "1024", "-c", "16384"]
    if os.geteuid() == 0:
        argv += ["-u", "nobody"]
    process = bench.start(argv, bench.load_core)
    bench.await_port("memcached", process, port)
    return process, "127.0.0.1:%d" % port


def origin(bench):
    return bench.announcing([bench.program("tests/bench/httporigin")], bench.load_core)


# Each of the functions below starts one peer: (bench, addresses of the servers, row) -> process
# and address.

def relay(bench, servers, _row):
    return bench.announcing(bench.wrapper + [bench.program("tests/bench/relay"), "127.0.0.1:0",
                                             servers[0]], bench.proxy_core)


def mux(bench, servers, row):
    request, answer = row.lengths()
    return bench.announcing(bench.wrapper + [bench.program("tests/bench/mux"), "127.0.0.1:0",
                                             servers[0], str(request), str(answer)],
                            bench.proxy_core)


def nutcracker(bench, servers, _row):
    port = free_port()
    text = ("bench:\n  listen: 127.0.0.1:%d\n  hash: md5\n  distribution: ketama\n"
            "  auto_eject_hosts: false\n  timeout: 10000\n  backlog: 4096\n  servers:\n" % port)
    text += "".join("    - %s:1\n" % server for server in servers)
    name = "nutcracker-%d" % len(servers)
    return bench.proxy(name, [find("nutcracker"), "-c", bench.file(name + ".yml", text),
                              "-s", str(free_port()), "-a", "127.0.0.1"], port)


HAPROXY = """
global
    nbthread 1
    maxconn 8192
defaults
    mode {mode}
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    {options}
frontend front
    bind 127.0.0.1:{port}
    default_backend back
backend back
    server one {server}
"""


def haproxy(bench, servers, row):
    port = free_port()
    http = row.plane == "web"
    text = HAPROXY.format(mode="http" if http else "tcp", port=port, server=servers[0],
                          options="http-reuse always\n    option forwardfor" if http else "")
    name = "haproxy-" + row.plane
    return bench.proxy(name, [find("haproxy"), "-db", "-f", bench.file(name + ".cfg", text)], port)


NGINX = """
daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    client_body_temp_path {folder}/nginx-body;
    proxy_temp_path {folder}/nginx-proxy;
    fastcgi_temp_path {folder}/nginx-fastcgi;
    uwsgi_temp_path {folder}/nginx-uwsgi;
    scgi_temp_path {folder}/nginx-scgi;
    keepalive_requests 100000000;
    keepalive_timeout 60s;
    upstream back {{
        server {server};
        keepalive 512;
        keepalive_requests 100000000;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://back;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        }}
    }}
}}
"""


def nginx(bench, servers, _row):
    port = free_port()
    path = bench.file("nginx.conf", NGINX.format(folder=bench.folder, port=port,
                                                 server=servers[0]))
    return bench.proxy("nginx", [find("nginx"), "-p", bench.folder, "-e", "stderr", "-c", path],
                       port)


# Both arms have a prefix: the bare keys belong to the peers, and a fan-out would delete them.
ARMS = """
arms:
  - name: py2
    namespace: py2
    backends: [ "{backend}" ]
  - name: py3
    namespace: py3
    backends: [ "{backend}" ]
"""

CACHE = """
cache:
  listen:
    - {{ address: "127.0.0.1:{other}", arm: py2 }}
    - {{ address: "127.0.0.1:{port}", arm: py3 }}
  servers: [ {servers} ]
  coherence: {coherence}
  timeouts: {{ connect: 1s, request: 10s }}
  max_waiting: 1000000
  keys:
    - {{ match: "ratelimit:*", scope: shared }}
    - {{ match: "lock:*", scope: shared }}
    - {{ match: "session:*", scope: shared }}
    - {{ match: "page:front", writes: mutate }}
"""

WEB = """
web:
  listen:
    - {{ address: "127.0.0.1:{port}" }}
  access_log: off
  limits: {{ connections: 16384 }}
rollout:
  name: bench
  from: py2
  to: py3
  salt: bench
  identity: [ "cookie:uid" ]
  stages:
    - {{ name: half, percent: 50 }}
    - {{ name: everyone, percent: 100 }}
"""

PROCESS = """
control:
  sockets:
    - {{ path: {folder}/{name}.sock, level: admin, mode: "0600" }}
  http: off
process:
  workers: {workers}
  state_dir: {folder}/{name}.state
"""


def crossfade(bench, servers, row, coherence="fanout", program=None, workers=1):
    """The candidate arm: with prefix, fan-out to the other arm, and rules to walk."""
    port = free_port()
    name = "crossfade-%d" % port
    os.makedirs(os.path.join(bench.folder, name + ".state"), exist_ok=True)
    values = {"folder": bench.folder, "name": name, "port": port, "other": free_port(),
              "backend": servers[0], "coherence": coherence, "workers": workers,
              "servers": ", ".join('"%s"' % server for server in servers)}
    plane = WEB if row.plane == "web" else CACHE
    text = (ARMS + plane + PROCESS).format(**values)
    return bench.proxy(name, [program or bench.program("crossfade"), "-c",
                              bench.file(name + ".yaml", text)], port,
                       bench.proxy_core if workers == 1 else {bench.proxy_core, bench.load_core})


def crossfade_none(bench, servers, row):
    """The same without fan-out: what the second namespace costs is the difference."""
    return crossfade(bench, servers, row, "none")


def crossfade_epoch(bench, servers, row):
    """With epochs: a second item for each key, which each read fetches, too."""
    return crossfade(bench, servers, row, "epoch")


def crossfade_two(bench, servers, row):
    """Two workers, on both cores: the CPU per request says what they cost each other."""
    return crossfade(bench, servers, row, workers=2)


def crossfade_other(bench, servers, row):
    return crossfade(bench, servers, row, program=bench.other)


class Peer:
    """How a name of the command line is started, on how many servers, and against whom."""

    def __init__(self, name, start, servers, *references):
        self.name = name
        self.start = start
        self.servers = servers
        self.references = references


CACHE_PEERS = [
    Peer("direct", None, 1, "nutcracker"),
    Peer("relay", relay, 1, "nutcracker"),
    Peer("mux", mux, 1, "nutcracker"),
    Peer("haproxy", haproxy, 1, "nutcracker"),
    Peer("nutcracker", nutcracker, 1, "relay"),
    Peer("crossfade", crossfade, 1, "nutcracker", "relay", "mux"),
    Peer("crossfade-none", crossfade_none, 1, "nutcracker", "relay", "mux"),
    Peer("crossfade-epoch", crossfade_epoch, 1, "crossfade", "crossfade-none", "nutcracker"),
    Peer("crossfade-w2", crossfade_two, 1, "crossfade"),
    Peer("crossfade-other", crossfade_other, 1, "crossfade"),
    Peer("nutcracker-4", nutcracker, 4, "nutcracker-4"),
    Peer("crossfade-4", crossfade, 4, "nutcracker-4"),
]

WEB_PEERS = [
    Peer("direct", None, 1, "haproxy"),
    Peer("relay", relay, 1, "haproxy"),
    Peer("haproxy", haproxy, 1, "haproxy"),
    Peer("nginx", nginx, 1, "haproxy"),
    Peer("crossfade", crossfade, 1, "haproxy"),
    Peer("crossfade-other", crossfade_other, 1, "crossfade"),
]
