"""Certificates for the tests, by the openssl command, and what speaks TLS in them."""
import os
import socket
import ssl
import subprocess
import threading

import harness


def run(*command):
    done = subprocess.run(["openssl"] + list(command), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=harness.WAIT)
    if done.returncode != 0:
        raise AssertionError("openssl %s: %s" % (" ".join(command), done.stderr.decode()))


class Pair:
    """A certificate's file and its key's."""

    def __init__(self, certificate, key):
        self.certificate = certificate
        self.key = key


class Authority:
    """Signs certificates; its own is self.certificate."""

    def __init__(self, folder, name="authority"):
        self.folder = folder
        self.name = name
        self.key = os.path.join(folder, name + ".key")
        self.certificate = os.path.join(folder, name + ".pem")
        run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", self.key, "-out", self.certificate, "-days", "30", "-subj", "/CN=" + name)

    def pair(self, file, name="localhost", alternatives="DNS:localhost,IP:127.0.0.1", days=30):
        """days=0: expired as soon as it is there."""
        base = os.path.join(self.folder, file)
        run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
            base + ".key", "-out", base + ".csr", "-subj", "/CN=" + name)
        with open(base + ".ext", "w") as extensions:
            if alternatives:
                extensions.write("subjectAltName=%s\n" % alternatives)
        run("x509", "-req", "-in", base + ".csr", "-CA", self.certificate, "-CAkey", self.key,
            "-set_serial", "0x" + os.urandom(8).hex(), "-days", str(days), "-extfile",
            base + ".ext", "-out", base + ".pem")
        return Pair(base + ".pem", base + ".key")

    def context(self, pair=None, version=None):
        """Of a client that trusts this authority."""
        context = ssl.create_default_context(cafile=self.certificate)
        if pair:
            context.load_cert_chain(pair.certificate, pair.key)
        if version:
            context.minimum_version = context.maximum_version = version
        return context


class SecureWire(harness.Wire):
    """A Wire over TLS."""

    def __init__(self, address, context, session=None, timeout=harness.WAIT):
        super().__init__(address, timeout)
        plain = self.sock
        try:
            self.sock = context.wrap_socket(plain, server_hostname="localhost", session=session)
        except Exception:
            plain.close()
            raise

    def fill(self, end):
        try:
            return super().fill(end)
        except ssl.SSLError as error:  # an end without close_notify, an alert
            self.alert = error
            self.ended = True
            return False


class HandMade:
    """A client whose bytes pass through the test's hands: flight() is what it would send now."""

    def __init__(self, address, context, session=None):
        self.raw = harness.connect(address)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost",
                                    session=session)

    def flight(self, step):
        """Runs step() as far as it goes; the bytes that it wants to send."""
        try:
            step()
        except ssl.SSLWantReadError:
            pass
        return self.outgoing.read()

    def take(self):
        data = self.raw.recv(65536)
        if data:
            self.incoming.write(data)
        else:
            self.incoming.write_eof()
        return bool(data)

    def shake(self, send):
        """send(bytes) for each flight but the last, which is given back."""
        while True:
            try:
                self.tls.do_handshake()
                return self.outgoing.read()
            except ssl.SSLWantReadError:
                data = self.outgoing.read()
                if data:
                    send(data)
                if not self.take():
                    raise AssertionError("the peer closed in the handshake")

    def read(self, size):
        got = b""
        while len(got) < size:
            try:
                part = self.tls.read(size - len(got))
                if not part:
                    break
                got += part
            except ssl.SSLWantReadError:
                if not self.take():
                    break
        return got

    def close(self):
        self.raw.close()


class Terminator:
    """A TLS server in front of a plain one, in this process: what it saw, and a way to cut it off."""

    def __init__(self, pair, target, client_ca=None, path=None):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(pair.certificate, pair.key)
        if client_ca:
            self.context.verify_mode = ssl.CERT_REQUIRED
            self.context.load_verify_locations(client_ca)
        self.context.sni_callback = self.on_name
        self.target = target
        self.names = []
        self.resumed = []
        self.peers = []
        self.failures = []
        self.open = set()
        self.lock = threading.Lock()
        self.hold = 0  # bytes of the next answer that are kept back, all of them, until...
        self.held, self.release = threading.Event(), threading.Event()
        if path:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(path)
            self.address = "unix:" + path
        else:
            self.listener = socket.socket()
            self.listener.bind(("127.0.0.1", 0))
            self.port = self.listener.getsockname()[1]
            self.address = "127.0.0.1:%d" % self.port
        self.listener.listen(128)
        threading.Thread(target=self.accept, daemon=True).start()

    def on_name(self, unused_socket, name, unused_context):
        self.names.append(name)

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        try:
            sock.settimeout(harness.WAIT)
            secure = self.context.wrap_socket(sock, server_side=True)
        except (ssl.SSLError, OSError) as error:
            self.failures.append(error)
            sock.close()
            return
        plain = harness.connect(self.target)
        secure.settimeout(None)
        plain.settimeout(None)
        with self.lock:
            self.resumed.append(secure.session_reused)
            self.peers.append(secure.getpeercert())
            self.open.update((secure, plain))
        back = threading.Thread(target=self.pump, args=(plain, secure), daemon=True)
        back.start()
        self.pump(secure, plain)
        back.join()
        secure.close()
        plain.close()

    def pump(self, source, sink):
        try:
            while True:
                data = source.recv(65536)
                if not data:
                    break
                if self.hold and not isinstance(source, ssl.SSLSocket):
                    data += source.recv(self.hold - len(data), socket.MSG_WAITALL)
                    self.hold = 0
                    self.held.set()
                    self.release.wait(harness.WAIT)
                sink.sendall(data)
        except (OSError, ValueError):
            pass
        self.end(source)
        self.end(sink)

    def end(self, sock):
        with self.lock:
            self.open.discard(sock)
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def cut(self):
        """Ends all connections, without the end of TLS."""
        with self.lock:
            found = list(self.open)
        for sock in found:
            self.end(sock)

    def close(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self.cut()
