"""The rows that tests/bench/run measures, and how one run of one peer is measured."""
import json
import os
import re
import signal
import socket
import subprocess
import time

KEY_LENGTH = len("bench:item:00000000")


class Row:
    """One kind of load: N connections that each send D requests at a time."""

    def __init__(self, plane, work, connections, depth, size, mix="get", many=1, keys=1000):
        self.plane = plane
        self.work = work
        self.connections = connections
        self.depth = depth
        self.size = size
        self.mix = mix
        self.many = many
        self.keys = keys
        self.name = "%s %d/%d" % (work, connections, depth)

    def lengths(self):
        """Bytes of a request and of an answer; both are the same for all requests of a row."""
        if self.mix == "set":
            line = "set  0 0 %d\r\n\r\n" % self.size
            return len(line) + KEY_LENGTH + self.size, len("STORED\r\n")
        value = len("VALUE  0 %d\r\n\r\n" % self.size) + KEY_LENGTH + self.size
        return (len("get\r\n") + (1 + KEY_LENGTH) * self.many,
                value * self.many + len("END\r\n"))

    def arguments(self):
        """For the generator, but for the address and how much."""
        argv = ["--connections", str(self.connections), "--depth", str(self.depth),
                "--size", str(self.size)]
        if self.plane == "web":
            return argv
        return argv + ["--mix", self.mix, "--keys", str(self.keys), "--many", str(self.many)]

    def suits(self, peer):
        """mux wants requests of one length and answers of one length."""
        return peer.name != "mux" or self.mix in ("get", "set")


def cache(work, connections, depth, size, **options):
    return Row("cache", work, connections, depth, size, **options)


ROWS = [
    cache("get 100 B", 1, 1, 100),
    cache("get 100 B", 16, 1, 100),
    cache("get 100 B", 200, 1, 100),
    cache("get 100 B", 1, 16, 100),
    cache("get 100 B", 16, 16, 100),
    cache("get 100 B", 200, 16, 100),
    cache("get 1 KB", 1, 1, 1024),
    cache("get 1 KB", 16, 1, 1024),
    cache("get 1 KB", 200, 1, 1024),
    cache("get 1 KB", 16, 16, 1024),
    cache("get 64 KB", 1, 1, 65536, keys=200),
    cache("get 64 KB", 16, 1, 65536, keys=200),
    cache("get 64 KB", 200, 1, 65536, keys=200),
    cache("set 1 KB", 1, 1, 1024, mix="set"),
    cache("set 1 KB", 16, 1, 1024, mix="set"),
    cache("set 1 KB", 200, 1, 1024, mix="set"),
    cache("set 1 KB", 16, 16, 1024, mix="set"),
    cache("get 50 keys", 1, 1, 100, many=50),
    cache("get 50 keys", 16, 1, 100, many=50),
    cache("get 50 keys", 200, 1, 100, many=50),
    cache("90/10", 200, 1, 100, mix="mixed"),
    cache("set/delete 100 B", 16, 1, 100, mix="delete"),
    cache("set/delete 100 B", 16, 16, 100, mix="delete"),
    cache("fill/delete/miss 100 B", 16, 1, 100, mix="fill"),
    cache("fill/delete/miss 100 B", 200, 1, 100, mix="fill"),
    Row("web", "http 1 KB", 1, 1, 1024),
    Row("web", "http 1 KB", 16, 1, 1024),
    Row("web", "http 1 KB", 200, 1, 1024),
]


class Generator:
    """One run of mcload or httpload, stopped at its gates."""

    def __init__(self, bench, row, peer, address, amount, warm_up, store=True):
        program = "tests/bench/httpload" if row.plane == "web" else "tests/bench/mcload"
        argv = [bench.program(program), "--address", address, "--gate",
                "--warm-up", str(warm_up), "--max-seconds", "60"] + row.arguments() + amount
        if row.plane == "cache" and not store:
            argv.append("--no-store")
        self.bench = bench
        self.process = bench.start(argv, bench.load_core, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE)
        self.what = "%s through %s" % (row.name, peer.name)
        line = self.process.child.stdout.readline()
        if line != "ready\n":
            self.failed(line)

    def failed(self, line):
        self.bench.end(self.process)
        raise RuntimeError("%s: %s" % (self.what, line.strip() or "the generator ended"))

    def run(self):
        """The measured requests. The connections stay open and idle after it."""
        stdin = self.process.child.stdin
        stdin.write("go\n")
        stdin.flush()
        line = self.process.child.stdout.readline()
        result = json.loads(line) if line.startswith("{") else {"error": line}
        if "error" in result:
            self.failed(result["error"])
        return result

    def end(self):
        self.process.child.stdin.close()
        self.process.child.wait(10)
        self.bench.end(self.process)


def measure(bench, row, peer, proxy, address, servers, milliseconds, store):
    """CPU of the proxy and of the servers per request, rate and latency, of one run."""
    generator = Generator(bench, row, peer, address, ["--milliseconds", str(milliseconds)],
                          row.connections * row.depth * 4, store)
    proxy_before = proxy.cpu()
    servers_before = sum(server.cpu() for server in servers)
    result = generator.run()
    result["cpu_us"] = (proxy.cpu() - proxy_before) * 1e6 / result["requests"]
    result["server_cpu_us"] = ((sum(server.cpu() for server in servers) - servers_before) * 1e6
                               / result["requests"])
    generator.end()
    return result


def system_calls(bench, row, peer, proxy, address, requests, store):
    """Calls of the proxy per request, by name, counted by strace; None where it cannot attach."""
    generator = Generator(bench, row, peer, address, ["--requests", str(requests)],
                          row.connections * row.depth * 4, store)
    report = os.path.join(bench.folder, "strace.txt")
    tracer = bench.start(["strace", "-c", "-f", "-p", str(proxy.pid), "-o", report],
                         bench.load_core, stderr=subprocess.PIPE)
    attached = "attached" in tracer.child.stderr.readline()
    calls = {}
    if attached:
        generator.run()
        tracer.child.send_signal(signal.SIGINT)
        tracer.child.wait(10)
        with open(report) as text:
            for line in text:
                found = re.match(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)\s*$", line)
                if found and found.group(2) != "total":
                    calls[found.group(2)] = int(found.group(1)) / requests
    generator.end()
    bench.end(tracer)
    return calls if attached else None


def idle_memory(bench, row, peer, proxy, address):
    """KiB per client: connected, after a small request each, in a burst, 5 seconds after it."""
    def per_client():
        return (proxy.memory() - before) / row.connections

    small = Row(row.plane, "small", row.connections, 1, row.size if row.plane == "web" else 100)
    before = proxy.memory()
    generator = Generator(bench, small, peer, address, ["--requests", str(row.connections)], 0)
    time.sleep(0.5)
    result = {"connected_kib": per_client()}
    generator.run()
    time.sleep(0.5)
    result["idle_kib"] = per_client()
    generator.end()
    generator = Generator(bench, row, peer, address,
                          ["--requests", str(row.connections * row.depth * 4)], 0)
    generator.run()
    result["burst_kib"] = per_client()
    time.sleep(5)
    result["after_burst_kib"] = per_client()
    generator.end()
    return result


def beside_a_deaf_client(bench, row, peer, proxy, address):
    """Latency of one second without and with a client that asks for 64 MB and reads nothing."""
    def run(store, before):
        generator = Generator(bench, row, peer, address, ["--milliseconds", "1000"],
                              row.connections * row.depth * 4, store)
        before()
        result = generator.run()
        generator.end()
        return {name: result[name] for name in ("p50_us", "p99_us", "max_us")}

    host, port = address.rsplit(":", 1)
    value = b"v" * 65536
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.settimeout(10)
        deaf.connect((host, int(port)))
        deaf.sendall(b"set bench:deaf 0 0 65536\r\n" + value + b"\r\n")
        if deaf.recv(100) != b"STORED\r\n":
            raise RuntimeError("%s does not store" % peer.name)
        return {"alone": run(True, lambda: None),
                "beside": run(False, lambda: deaf.sendall(b"get bench:deaf\r\n" * 1000))}


def instructions(bench, row, peer, start, servers, requests):
    """User instructions per request under callgrind: a long run less a short one."""
    totals = []
    for count in (requests, 3 * requests):
        report = os.path.join(bench.folder, "callgrind.out")
        bench.wrapper = ["valgrind", "--tool=callgrind", "--callgrind-out-file=" + report, "-q"]
        try:
            proxy, address = start(bench, servers, row)
        finally:
            bench.wrapper = []
        generator = Generator(bench, row, peer, address, ["--requests", str(count)],
                              row.connections * row.depth, peer.name != "mux")
        generator.run()
        generator.end()
        bench.end(proxy)
        with open(report) as text:
            found = re.search(r"^(?:summary|totals): (\d+)", text.read(), re.M)
        totals.append(int(found.group(1)))
    return (totals[1] - totals[0]) / (2 * requests)


def ask_server(address, command):
    """The lines of one `stats` command of a memcached."""
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), 10) as wire:
        wire.sendall(command + b"\r\n")
        data = b""
        while not data.endswith(b"END\r\n"):
            part = wire.recv(65536)
            if not part:
                raise RuntimeError("memcached ended")
            data += part
    return [line.split()[1:] for line in data.decode().split("\r\n") if line.startswith("STAT ")]


def server_memory(bench, row, peer, start, memcached, keys):
    """Items and bytes that a memcached of its own holds for each key that one arm has stored."""
    server, server_address = memcached(bench)
    proxy, address = start(bench, [server_address], row)
    Generator(bench, row, peer, address, ["--requests", "1"], 0).end()
    stats = {name: value for name, value in ask_server(server_address, b"stats")}
    chunks = {}
    for name, value in ask_server(server_address, b"stats slabs"):
        if ":" in name:
            number, what = name.split(":")
            chunks.setdefault(number, {})[what] = int(value)
    result = {"items": int(stats["curr_items"]) / keys, "bytes": int(stats["bytes"]) / keys,
              "chunk_bytes": sum(each["used_chunks"] * each["chunk_size"]
                                 for each in chunks.values()) / keys}
    bench.end(proxy)
    bench.end(server)
    return result
