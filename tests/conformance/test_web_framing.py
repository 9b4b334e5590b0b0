"""The framing rules of the web plane (RFC 9112, and stricter), each against the real daemon.

Every row is sent whole and cut in two at every byte; the outcome has to be the same, and what a
refused request carries may never reach a backend. The same for responses, where the backend is the
one that cuts.
"""
import os
import socket
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
import harness  # noqa: E402

HOST = b"Host: shop\r\n"
GET = b"GET / HTTP/1.1\r\n"
POST = b"POST / HTTP/1.1\r\n"

# A request that must never be seen by a backend, behind whatever was refused.
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: shop\r\n\r\n"

# name: (bytes, status, a part of the sentence)
REFUSED = {
    "host missing": (GET + b"\r\n", 400, b"no Host header"),
    "host missing in 1.0": (b"GET / HTTP/1.0\r\n\r\n", 400, b"no Host header"),
    "host repeated": (GET + HOST + HOST + b"\r\n", 400, b"more than one Host"),
    "host malformed": (GET + b"Host: a b\r\n\r\n", 400, b"the Host header is not a host"),
    "host with user": (GET + b"Host: u@shop\r\n\r\n", 400, b"the Host header is not a host"),
    "host empty": (GET + b"Host:\r\n\r\n", 400, b"the Host header is not a host"),
    "space before colon": (GET + b"Host : a\r\n\r\n", 400, b"white space before the colon"),
    "tab before colon": (GET + HOST + b"X\t: a\r\n\r\n", 400, b"white space before the colon"),
    "first line indented": (GET + b" X: a\r\n" + HOST + b"\r\n", 400, b"begins with white space"),
    "obs-fold": (GET + HOST + b"X: a\r\n b\r\n\r\n", 400, b"folded"),
    "obs-fold with a tab": (GET + HOST + b"X: a\r\n\tb\r\n\r\n", 400, b"folded"),
    "bare CR in a value": (GET + HOST + b"X: a\rb\r\n\r\n", 400, b"bare CR"),
    "bare CR before CRLF": (GET + HOST + b"X: a\r\r\n\r\n", 400, b"bare CR"),
    "bare CR in the first line": (b"GET /\rx HTTP/1.1\r\n" + HOST + b"\r\n", 400, b"percent-encoded"),
    "NUL in a value": (GET + HOST + b"X: a\0b\r\n\r\n", 400, b"control byte"),
    "control byte in a value": (GET + HOST + b"X: a\x0bb\r\n\r\n", 400, b"control byte"),
    "NUL in a name": (GET + HOST + b"X\0: a\r\n\r\n", 400, b"not allowed there"),
    "no colon": (GET + HOST + b"X\r\n\r\n", 400, b"without a name and a colon"),
    "bare LF after the first line": (b"GET / HTTP/1.1\n" + HOST + b"\r\n", 400, b"bare LF"),
    "bare LF after a header": (GET + b"Host: shop\n\r\n", 400, b"bare LF"),
    "bare LF at the end": (GET + HOST + b"\n", 400, b"bare LF"),
    "TE with CL": (POST + HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
                   400, b"together with Content-Length"),
    "CL with TE": (POST + HOST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                   400, b"together with Content-Length"),
    "TE gzip, chunked": (POST + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 400,
                         b"other than exactly chunked"),
    "TE chunked, identity": (POST + HOST + b"Transfer-Encoding: chunked, identity\r\n\r\n", 400,
                             b"other than exactly chunked"),
    "TE twice": (POST + HOST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
                 400, b"other than exactly chunked"),
    "TE with a vertical tab": (POST + HOST + b"Transfer-Encoding:\x0bchunked\r\n\r\n", 400,
                               b"control byte"),
    "TE in HTTP/1.0": (b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n", 400,
                       b"in an HTTP/1.0 request"),
    "CL with a sign": (POST + HOST + b"Content-Length: +4\r\n\r\nabcd", 400, b"not a number"),
    "CL in hex": (POST + HOST + b"Content-Length: 0x4\r\n\r\nabcd", 400, b"not a number"),
    "CL as a list": (POST + HOST + b"Content-Length: 4, 4\r\n\r\nabcd", 400, b"not a number"),
    "CL empty": (POST + HOST + b"Content-Length:\r\n\r\n", 400, b"not a number"),
    "CL that overflows": (POST + HOST + b"Content-Length: 18446744073709551620\r\n\r\nabcd", 400,
                          b"not a number"),
    "CL twice, different": (POST + HOST + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde", 400,
                            b"two Content-Length headers that differ"),
    "two spaces": (b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n", 400, b"METHOD TARGET VERSION"),
    "HTTP/0.9": (b"GET /\r\n" + HOST + b"\r\n", 400, b"METHOD TARGET VERSION"),
    "space behind the version": (b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n", 400, b"HTTP version"),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", 505, b"only HTTP/1.1"),
    "bytes that are no target": (b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n", 400, b"percent-encoded"),
    "no path": (b"GET shop HTTP/1.1\r\n" + HOST + b"\r\n", 400, b"neither a path"),
    "absolute with user": (b"GET http://u@shop/ HTTP/1.1\r\n" + HOST + b"\r\n", 400,
                           b"no valid host"),
    "CONNECT": (b"CONNECT shop:443 HTTP/1.1\r\n" + HOST + b"\r\n", 501, b"CONNECT"),
    "WebSocket": (GET + HOST + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n", 501,
                  b"WebSocket"),
    "another expectation": (POST + HOST + b"Expect: miracle\r\nContent-Length: 1\r\n\r\nx", 417,
                            b"other than 100-continue"),
    "body over the limit": (POST + HOST + b"Content-Length: 100000\r\n\r\n", 413, b"larger"),
}

# Chunked bodies: the head has gone to the backend before the fault shows.
REFUSED_CHUNKS = {
    "size without digits": (b"\r\n", 400, b"without a size"),
    "size with 0x": (b"0x1\r\nx\r\n", 400, b"no hexadecimal digit"),
    "size with a sign": (b"+1\r\nx\r\n", 400, b"without a size"),
    "size with a space behind": (b"1 \r\nx\r\n", 400, b"no hexadecimal digit"),
    "size with a space before": (b" 1\r\nx\r\n", 400, b"without a size"),
    "size that overflows": (b"10000000000000001\r\nx\r\n", 400, b"too large"),
    "size that ends with a bare LF": (b"1\nx\r\n", 400, b"no hexadecimal digit"),
    "size that ends with a bare CR": (b"1\rx\r\n", 400, b"does not end with CRLF"),
    "chunk that ends with a bare LF": (b"1\r\nx\n0\r\n\r\n", 400, b"does not end with CRLF"),
    "chunk that is longer": (b"1\r\nxy\r\n0\r\n\r\n", 400, b"does not end with CRLF"),
    "extension with a bare LF": (b"1;a\nx\r\n", 400, b"control byte in a chunk extension"),
    "extensions over the limit": (b"1;" + b"e" * 5000 + b"\r\nx\r\n", 400, b"extensions are too large"),
    "trailers over the limit": (b"0\r\nT: " + b"t" * 9000 + b"\r\n\r\n", 400, b"trailers are too large"),
    "trailer without a colon": (b"0\r\nT\r\n\r\n", 400, b"malformed trailer"),
    "folded trailer": (b"0\r\nT: a\r\n b\r\n\r\n", 400, b"trailer without a name"),
    "end with a bare LF": (b"0\r\n\n", 400, b"trailer without a name"),
    "body over the limit": (b"ffff\r\n" + b"x" * 65535 + b"\r\nffff\r\n", 413, b"larger"),
}

# name: (what the backend sends, does it close then, what the client gets: status and body)
RESPONSES = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", False, 200, b"hello"),
    "equal lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
                      False, 200, b"hello"),
    "chunked": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                b"3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nT: u\r\n\r\n", False, 200, b"hello"),
    "until the end": (b"HTTP/1.0 200 OK\r\n\r\nhello", True, 200, b"hello"),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", False, 204, b""),
    "304": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", False, 304, b""),
    "interim": (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
                b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", False, 200, b"hello"),
    "two lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
                    False, 502, b"two Content-Length headers that differ"),
    "length and chunked": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"
                           b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", False, 502,
                           b"together with Content-Length"),
    "another coding": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx", True, 502,
                       b"other than exactly chunked"),
    "chunked in 1.0": (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", True, 502,
                       b"in an HTTP/1.0 response"),
    "negative length": (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", True, 502, b"not a number"),
    "bare LF": (b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", False, 502, b"bare LF"),
    "folded": (b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n", False, 502, b"folded"),
    "space before colon": (b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello", False, 502,
                           b"white space before the colon"),
    "no status": (b"HTTP/1.1 OK OK OK\r\n\r\n", True, 502, b"not a"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", True, 502, b"not a status line"),
    "nothing": (b"", True, 502, b"without a response"),
    "half a head": (b"HTTP/1.1 200 OK\r\nConte", True, 502, b"mid-response"),
    "unasked switch": (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", False, 502,
                       b"another protocol"),
}

# What a client must not take for a whole response.
BROKEN = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", True),
    "chunked": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", True),
    "bad chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nx\r\n", False),
}


class Scripted:
    """A backend that says given bytes in one or two pieces, whatever it is asked.

    The target /NAME/CUT chooses the script and where it is cut; 0: not at all.
    """

    def __init__(self, scripts):
        self.scripts = scripts
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.ended = []  # names of the scripts after which the proxy closed the connection
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        name = None
        with sock:
            sock.settimeout(harness.WAIT)
            try:
                while True:
                    head = b""
                    while b"\r\n\r\n" not in head:
                        data = sock.recv(65536)
                        if not data:
                            self.ended.append(name)
                            return
                        head += data
                    name, cut = head.split(b" ")[1].decode().strip("/").split("/")
                    data, ends = self.scripts[int(name)][:2]
                    sock.sendall(data[:int(cut)])
                    time.sleep(0.05 if int(cut) else 0)
                    sock.sendall(data[int(cut):])
                    if ends:
                        return
            except OSError:
                self.ended.append(name)

    def close(self):
        self.listener.close()


def read_response(wire, method="GET"):
    """(status, fields, body) of one response that is complete, else an AssertionError."""
    while True:
        head = wire.until(b"\r\n\r\n").decode("latin-1").split("\r\n")[:-2]
        status = int(head[0].split(" ")[1])
        if status >= 200:
            break
    fields = {}
    for line in head[1:]:
        name, value = line.split(": ", 1)
        fields.setdefault(name.lower(), []).append(value)
    if method == "HEAD" or status in (204, 304):
        return status, fields, b""
    if fields.get("transfer-encoding") == ["chunked"]:
        body = b""
        while True:
            size = int(wire.line(), 16)
            body += wire.exactly(size)
            wire.expect(b"\r\n")
            if size == 0:
                return status, fields, body
    if "content-length" in fields:
        return status, fields, wire.exactly(int(fields["content-length"][0]))
    return status, fields, wire.rest()


class Web(harness.Test):
    TIME_LIMIT = 240

    def start(self, backend, **changes):
        web = {"timeouts": {"connect": "500ms", "response": "5s", "request_head": "5s"},
               "limits": {"head": "2k", "headers": 20, "body": "64k"},
               "fallback": {"to_stable": False}}
        web.update(changes)
        config = harness.web_config(backend, [], **web)
        del config["rollout"]
        config["control"] = {"http": "off"}
        return self.daemon(config)

    def scripted(self, scripts):
        backend = Scripted(scripts)
        self.addCleanup(backend.close)
        return backend

    def cut_everywhere(self, daemon, data, cuts=None):
        """One connection for each cut (and one without); all first parts go before all second ones."""
        cuts = list(cuts if cuts is not None else range(len(data)))
        wires = []
        for cut in cuts:
            wire = daemon.wire("web")
            if cut:
                wire.send(data[:cut])
            wires.append((cut, wire))
        time.sleep(0.05)
        for cut, wire in wires:
            try:
                wire.send(data[cut:])
            except ConnectionError:
                pass  # it was refused already
        return wires


class Requests(Web):
    def check_refused(self, wire, status, sentence, where):
        got, fields, body = read_response(wire)
        self.assertEqual(got, status, where)
        self.assertTrue(body.startswith(b"%d " % status) and body.endswith(b"\n"), (where, body))
        self.assertIn(sentence, body, where)
        self.assertEqual(fields["connection"], ["close"], where)
        self.assertEqual(fields["content-length"], [str(len(body))], where)
        wire.expect_end()

    def test_refused_heads(self):
        backend = self.backend()
        daemon = self.start(backend)
        for name, (data, status, sentence) in REFUSED.items():
            with self.subTest(name):
                for cut, wire in self.cut_everywhere(daemon, data + SMUGGLED, range(len(data))):
                    with wire:
                        self.check_refused(wire, status, sentence, (name, cut))
        self.assertEqual([request.head for request in backend.requests], [])

    def test_refused_chunks(self):
        backend = self.backend()
        daemon = self.start(backend)
        head = POST + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
        for name, (data, status, sentence) in REFUSED_CHUNKS.items():
            cuts = [len(head) + at for at in range(min(len(data), 40))]
            with self.subTest(name):
                for cut, wire in self.cut_everywhere(daemon, head + data + SMUGGLED, [0] + cuts):
                    with wire:
                        self.check_refused(wire, status, sentence, (name, cut))
        self.assertEqual([request.head for request in backend.requests], [])

    def test_limits_of_the_head(self):
        backend = self.backend()
        daemon = self.start(backend)
        rows = [
            (b"GET /" + b"a" * 3000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414, b"too long"),
            (b"GET /" + b"a" * 3000, 414, b"too long"),
            (GET + HOST + b"X: " + b"a" * 3000 + b"\r\n\r\n", 431, b"too large"),
            (GET + HOST + b"X: a\r\n" * 500, 431, b"too many"),
            (GET + HOST + b"X: a\r\n" * 20 + b"\r\n", 431, b"too many headers"),
        ]
        for data, status, sentence in rows:
            for size in (1 << 20, 100, 7):
                with daemon.wire("web") as wire:
                    try:
                        wire.send_split(data, size)
                    except ConnectionError:
                        pass
                    self.check_refused(wire, status, sentence, (data[:40], size))
        with daemon.wire("web") as wire:
            wire.send(GET + HOST + b"X: a\r\n" * 19 + b"\r\n")
            self.assertEqual(read_response(wire)[0], 200)

    def test_accepted_requests_are_written_anew(self):
        backend = self.backend()
        daemon = self.start(backend)
        data = (b"\r\nPOST http://Other.example:81/a?b=c HTTP/1.1\r\nHost: shop\r\n"
                b"Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\n"
                b"X_User: root\r\nX-Crossfade-Arm: py3\r\nProxy: evil\r\nUpgrade: h2c\r\n"
                b"X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: gopher\r\n"
                b"X-Kept:  a\tb \r\ntransfer-encoding: Chunked\r\n\r\n"
                b"3;x=y\r\nabc\r\n0000a;z\r\n0123456789\r\n0\r\nTrailer: t\r\nHost: evil\r\n\r\n")
        wires = self.cut_everywhere(daemon, data)
        for cut, wire in wires:
            with wire:
                self.assertEqual(read_response(wire)[0], 200, cut)
        self.assertEqual(len(backend.requests), len(wires))
        for request in backend.requests:
            self.assertEqual((request.method, request.target, request.version),
                             ("POST", "/a?b=c", "HTTP/1.1"))
            self.assertEqual(request.field("Host"), "Other.example:81")
            self.assertEqual(request.body, b"abc0123456789")
            self.assertEqual(request.field("Transfer-Encoding"), "chunked")
            self.assertEqual(request.field("X-Kept"), "a\tb")
            self.assertEqual(request.field("X-Forwarded-For"), "203.0.113.9, 127.0.0.1")
            self.assertEqual(request.field("X-Forwarded-Proto"), "http")
            self.assertEqual(request.field("X-Forwarded-Host"), "Other.example:81")
            self.assertEqual(request.field("Via"), "1.1 crossfade")
            self.assertRegex(request.field("X-Request-Id"), "^[0-9a-f]{32}$")
            names = {name.lower() for name, _ in request.fields}
            self.assertFalse(names & {"connection", "x-hop", "keep-alive", "te", "x_user", "proxy",
                                      "x-crossfade-arm", "upgrade", "trailer", "content-length"})
        ids = {request.field("X-Request-Id") for request in backend.requests}
        self.assertEqual(len(ids), len(wires), "each request has an id of its own")

    def test_a_length_and_a_pipelined_request_behind_it(self):
        backend = self.backend(answer=lambda request: harness.response(
            request.target.encode() + b" " + request.body))
        daemon = self.start(backend)
        data = (b"POST /1 HTTP/1.1\r\nHost: shop\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nGET "
                b"GET /2 HTTP/1.1\r\nHost: shop\r\n\r\nHEAD /3 HTTP/1.1\r\nHost: shop\r\n\r\n")
        for cut, wire in self.cut_everywhere(daemon, data):
            with wire:
                self.assertEqual(read_response(wire)[2], b"/1 GET ", cut)
                self.assertEqual(read_response(wire)[2], b"/2 ", cut)
                self.assertEqual(read_response(wire, "HEAD")[1]["content-length"], ["3"], cut)
                wire.silence(0.0)

    def test_old_clients(self):
        daemon = self.start(self.backend("old"))
        with daemon.wire("web") as wire:
            wire.send(b"GET / HTTP/1.0\r\nHost: shop\r\nConnection: keep-alive\r\n\r\n")
            status, fields, body = read_response(wire)
            self.assertEqual((status, fields["connection"], body), (200, ["close"], b"old"))
            wire.expect_end()

    def test_times(self):
        backend = self.backend(answer=lambda request: time.sleep(3))
        daemon = self.start(backend, timeouts={"connect": "500ms", "response": "600ms",
                                               "request_head": "300ms", "client_idle": "700ms"})
        idle = daemon.wire("web")
        late = daemon.wire("web").send(b"GET / HTTP/1.1\r\nHo")
        slow = daemon.wire("web").send(GET + HOST + b"\r\n")
        upload = daemon.wire("web").send(POST + HOST + b"Content-Length: 5\r\n\r\nab")
        self.check_refused(late, 408, b"the rest of the head", "late")
        status, _, body = read_response(slow)
        self.assertEqual(status, 504)
        self.assertIn(b"arm py2, backend " + backend.address.encode(), body)
        self.assertIn(b"no response within 600 ms", body)
        idle.expect_end()
        self.check_refused(upload, 408, b"the rest of the body", "upload")

    def test_nobody_listens(self):
        daemon = self.start("127.0.0.1:%d" % harness.free_port())
        with daemon.wire("web") as wire:
            for _ in range(3):
                wire.send(GET + HOST + b"\r\n")
                status, fields, body = read_response(wire)
                self.assertEqual(status, 502)
                self.assertRegex(body.decode(), r"^502 Bad Gateway: arm py2: backend 127.0.0.1:\d+.*"
                                                r"Connection refused\n$")

    def test_too_many_clients(self):
        daemon = self.start(self.backend(), limits={"connections": 3})

        def three():
            # The connections by which the harness saw that the daemon is up may still count.
            wires = [daemon.wire("web").send(GET + HOST + b"\r\n") for _ in range(3)]
            return wires if all(read_response(wire)[0] == 200 for wire in wires) else None
        wires = harness.eventually(three, "three clients are served")
        with daemon.wire("web") as wire:
            self.check_refused(wire, 503, b"too many connections", "fourth")
        wires.pop().close()

        def served():
            with daemon.wire("web") as wire:
                try:
                    return read_response(wire.send(GET + HOST + b"\r\n"))[0] == 200
                except ConnectionError:
                    return False
        harness.eventually(served, "room for another client")


class Responses(Web):
    def test_each_wherever_it_is_cut(self):
        names = list(RESPONSES)
        backend = self.scripted(list(RESPONSES.values()))
        daemon = self.start(backend)
        for number, name in enumerate(names):
            data, _, status, part = RESPONSES[name]
            wires = [(cut, daemon.wire("web")) for cut in range(max(1, len(data)))]
            for cut, wire in wires:
                wire.send(b"GET /%d/%d HTTP/1.1\r\nHost: shop\r\n\r\n" % (number, cut))
            for cut, wire in wires:
                with self.subTest(name, cut=cut), wire:
                    got, fields, body = read_response(wire)
                    self.assertEqual(got, status)
                    if status == 502:
                        self.assertIn(b"502 Bad Gateway: arm py2, backend ", body)
                        self.assertIn(part, body)
                    else:
                        self.assertEqual(body, part)
                    # The client's connection goes on: these faults are not its own.
                    self.assertNotIn("connection", fields)
                    wire.silence(0.0)

    def test_a_break_is_not_taken_for_the_end(self):
        backend = self.scripted(list(BROKEN.values()))
        daemon = self.start(backend)
        for number, name in enumerate(BROKEN):
            for minor in (1, 0):
                with self.subTest(name, minor=minor), daemon.wire("web") as wire:
                    wire.send(b"GET /%d/0 HTTP/1.%d\r\nHost: shop\r\n\r\n" % (number, minor))
                    wire.sock.settimeout(harness.WAIT)
                    if minor == 0 and b"Content-Length" not in BROKEN[name][0]:
                        # Its end is the end of the body: only an error is no end.
                        with self.assertRaises(ConnectionResetError):
                            while wire.sock.recv(65536):
                                pass
                    else:
                        self.assertNotIn(b"0\r\n\r\n", wire.rest())

    def test_bytes_that_nobody_asked_for_close_the_connection(self):
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        backend = self.scripted([(answer + answer, False), (answer, False)])
        daemon = self.start(backend)
        with daemon.wire("web") as wire:
            for cut in (0, len(answer)):
                wire.send(b"GET /0/%d HTTP/1.1\r\nHost: shop\r\n\r\n" % cut)
                self.assertEqual(read_response(wire)[2], b"ok")
                harness.eventually(lambda: backend.ended and backend.ended.pop() == "0",
                                   "the proxy closes that connection")
            wire.send(b"GET /1/0 HTTP/1.1\r\nHost: shop\r\n\r\n")
            self.assertEqual(read_response(wire)[2], b"ok")
            wire.silence(0.05)

    def test_an_unread_body_ends_both_connections(self):
        backend = self.scripted([(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", False)])
        daemon = self.start(backend)
        with daemon.wire("web") as wire:
            wire.send(b"POST /0/0 HTTP/1.1\r\nHost: shop\r\nContent-Length: 60000\r\n\r\nsome")
            status, fields, body = read_response(wire)
            self.assertEqual((status, fields["connection"], body), (403, ["close"], b"no"))
            wire.send(b"GET /0/0 HTTP/1.1\r\nHost: shop\r\n\r\n")
            wire.expect_end()
        harness.eventually(lambda: backend.ended == ["0"], "the backend's connection ends")

    def test_expect_100_continue(self):
        backend = self.scripted([(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"
                                  b"Content-Length: 2\r\n\r\nok", False)])
        daemon = self.start(backend)
        with daemon.wire("web") as wire:
            wire.send(b"PUT /0/25 HTTP/1.1\r\nHost: shop\r\nContent-Length: 4\r\n"
                      b"Expect: 100-continue\r\n\r\n")
            wire.expect(b"HTTP/1.1 100 Continue\r\n\r\n")
            wire.send(b"body")
            self.assertEqual(read_response(wire)[2], b"ok")

    def test_large_bodies_both_ways(self):
        backend = self.backend(answer=lambda request: harness.response(request.body))
        daemon = self.start(backend, limits={"body": "8m"})
        body = os.urandom(1 << 20) * 4
        with daemon.wire("web") as wire:
            for chunked in (False, True):
                if chunked:
                    pieces = [body[at:at + 50000] for at in range(0, len(body), 50000)] + [b""]
                    sent = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
                    head = b"Transfer-Encoding: chunked\r\n\r\n"
                else:
                    sent, head = body, b"Content-Length: %d\r\n\r\n" % len(body)
                threading.Thread(target=wire.send, args=(POST + HOST + head + sent,)).start()
                status, _, got = read_response(wire)
                self.assertEqual((status, got == body), (200, True))


if __name__ == "__main__":
    unittest.main(verbosity=1)
