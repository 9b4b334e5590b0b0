"""A TCP proxy that breaks connections on demand: `python3 cutter.py TARGET PORT...`.

Each PORT is a listener of its own for the same target port. Commands come by the standard input, a
line each; LISTENER is a place in the list of ports, DIRECTION up (to the target) or down:

    cut LISTENER DIRECTION BYTES   every connection of it ends when so many more bytes went that way
    hold LISTENER                  nothing goes through, in either direction
    stall LISTENER                 nothing goes through the connections that it has now
    go LISTENER                    it does again

A connection that is cut while bytes are held back loses them. An end is passed on after what was
before it.
"""
import os
import select
import socket
import sys


class Side:
    """One direction of a connection: what was read and is not written yet."""

    def __init__(self, source, sink, pipe):
        self.source, self.sink, self.pipe = source, sink, pipe
        self.data = bytearray()
        self.left = None  # bytes until the cut
        self.ended = self.shut = False


class Pipe:
    def __init__(self, client, server, listener):
        self.client, self.server, self.listener = client, server, listener
        self.up, self.down = Side(client, server, self), Side(server, client, self)
        self.open = True
        self.stalled = False


class Cutter:
    def __init__(self, target, ports):
        self.target = target
        self.listeners = []
        self.held = set()
        self.pipes = []
        self.sides = {}
        for port in ports:
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", port))
            listener.listen(256)
            self.listeners.append(listener)

    def accept(self, number):
        client, _ = self.listeners[number].accept()
        try:
            server = socket.create_connection(("127.0.0.1", self.target), 1)
        except OSError:
            client.close()
            return
        for sock in (client, server):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pipe = Pipe(client, server, number)
        self.pipes.append(pipe)
        self.sides[client.fileno()] = pipe.up
        self.sides[server.fileno()] = pipe.down

    def close(self, pipe):
        if pipe.open:
            pipe.open = False
            self.pipes.remove(pipe)
            for sock in (pipe.client, pipe.server):
                self.sides.pop(sock.fileno(), None)
                sock.close()

    def move(self, side):
        """Reads and writes what goes; False: the connection is over."""
        try:
            data = side.source.recv(65536)
            if not data:
                side.ended = True
            side.data += data
        except BlockingIOError:
            pass
        except OSError:
            return False
        return self.flush(side)

    def is_held(self, pipe):
        return pipe.stalled or pipe.listener in self.held

    def flush(self, side):
        if self.is_held(side.pipe):
            return True
        out = bytes(side.data) if side.left is None else bytes(side.data[:side.left])
        try:
            sent = side.sink.send(out) if out else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            return False
        del side.data[:sent]
        if side.left is not None:
            side.left -= sent
            if side.left <= 0:
                return False
        if side.ended and not side.data and not side.shut:
            side.shut = True
            try:
                side.sink.shutdown(socket.SHUT_WR)
            except OSError:
                return False
        return not (side.pipe.up.shut and side.pipe.down.shut)

    def command(self, words):
        number = int(words[1])
        if words[0] == "hold":
            self.held.add(number)
        elif words[0] == "go":
            self.held.discard(number)
            for pipe in self.pipes:
                if pipe.listener == number:
                    pipe.stalled = False
        elif words[0] == "stall":
            for pipe in self.pipes:
                if pipe.listener == number:
                    pipe.stalled = True
        elif words[0] == "cut":
            for pipe in list(self.pipes):
                if pipe.listener == number:
                    side = pipe.up if words[2] == "up" else pipe.down
                    side.left = int(words[3])
                    if side.left <= 0:
                        self.close(pipe)

    def run(self):
        text = b""
        while True:
            wanted = {0: select.POLLIN}
            for listener in self.listeners:
                wanted[listener.fileno()] = select.POLLIN
            for pipe in self.pipes:
                for side in (pipe.up, pipe.down):
                    # What is held, or waits for its sink, is bounded.
                    if not side.ended and len(side.data) < 1 << 20:
                        file = side.source.fileno()
                        wanted[file] = wanted.get(file, 0) | select.POLLIN
                    if side.data and not self.is_held(pipe):
                        file = side.sink.fileno()
                        wanted[file] = wanted.get(file, 0) | select.POLLOUT
            poll = select.poll()
            for file, events in wanted.items():
                poll.register(file, events)
            listeners = {listener.fileno(): number
                         for number, listener in enumerate(self.listeners)}
            for file, events in poll.poll():
                if file == 0:
                    more = os.read(0, 4096)
                    if not more:
                        return
                    text += more
                    while b"\n" in text:
                        line, text = text.split(b"\n", 1)
                        self.command(line.decode().split())
                        for pipe in list(self.pipes):
                            if not (self.flush(pipe.up) and self.flush(pipe.down)):
                                self.close(pipe)
                elif file in listeners:
                    self.accept(listeners[file])
                elif file in self.sides:
                    side = self.sides[file]
                    other = side.pipe.down if side is side.pipe.up else side.pipe.up
                    fine = True
                    if events & (select.POLLIN | select.POLLHUP | select.POLLERR):
                        fine = self.move(side)
                    if fine and events & select.POLLOUT:
                        fine = self.flush(other)
                    if not fine:
                        self.close(side.pipe)


if __name__ == "__main__":
    Cutter(int(sys.argv[1]), [int(port) for port in sys.argv[2:]]).run()
