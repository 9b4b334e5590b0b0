"""HTTP requests for the demonstration: over kept connections, many on their way at once."""
import socket
import threading


def listening(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Connection:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pending = b""

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def read(self):
        data = self.socket.recv(262144)
        if not data:
            raise OSError("the connection was closed")
        self.pending += data

    def until(self, mark):
        while mark not in self.pending:
            self.read()
        got, self.pending = self.pending.split(mark, 1)
        return got

    def response(self):
        """(status, body) of the next response."""
        head = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        length = 0
        for line in head[1:]:
            name, _, value = line.partition(":")
            if name.lower() == "content-length":
                length = int(value)
        while len(self.pending) < length:
            self.read()
        body, self.pending = self.pending[:length], self.pending[length:]
        return int(head[0].split(" ")[1]), body

    def ask(self, method, target, fields=None):
        self.send(request(method, target, fields or {}))
        return self.response()


def request(method, target, fields):
    lines = ["%s %s HTTP/1.1" % (method, target), "Host: shop.example"]
    lines += ["%s: %s" % field for field in fields.items()]
    if method == "POST":
        lines.append("Content-Length: 0")
    return "\r\n".join(lines + ["", ""]).encode("latin-1")


def ask(port, method, target, fields=None):
    with Connection(port) as connection:
        return connection.ask(method, target, fields)


def ask_all(port, requests, connections=8, depth=25):
    """The answers of many requests, in their order; each connection has some under way at once."""
    answers = [None] * len(requests)
    faults = []

    def work(first):
        mine = list(range(first, len(requests), connections))
        try:
            with Connection(port) as connection:
                for start in range(0, len(mine), depth):
                    batch = mine[start:start + depth]
                    connection.send(b"".join(request(*requests[index]) for index in batch))
                    for index in batch:
                        answers[index] = connection.response()
        except (OSError, ValueError) as fault:
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise OSError("%d connections broke, the first with: %s" % (len(faults), faults[0]))
    return answers
