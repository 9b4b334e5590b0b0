"""A WSGI server that keeps connections open, for Python 2 and 3: a thread for each connection.

Only for the demonstration, behind Crossfade: it trusts the framing of what it gets.
"""
import io
import socket
import sys
import threading


def serve(application, port):
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        thread = threading.Thread(target=converse, args=(application, connection))
        thread.daemon = True
        thread.start()


def converse(application, connection):
    pending = b""
    try:
        while True:
            while b"\r\n\r\n" not in pending:
                data = connection.recv(65536)
                if not data:
                    return
                pending += data
            head, pending = pending.split(b"\r\n\r\n", 1)
            environ = environment(head.decode("latin-1"))
            length = int(environ.get("CONTENT_LENGTH", 0))
            while len(pending) < length:
                data = connection.recv(65536)
                if not data:
                    return
                pending += data
            environ["wsgi.input"] = io.BytesIO(pending[:length])
            pending = pending[length:]
            connection.sendall(respond(application, environ))
    except (OSError, socket.error):
        pass  # the other side is gone
    finally:
        connection.close()


def environment(head):
    lines = head.split("\r\n")
    method, target, _ = lines[0].split(" ")
    path, _, query = target.partition("?")
    environ = {"REQUEST_METHOD": method, "SCRIPT_NAME": "", "PATH_INFO": path,
               "QUERY_STRING": query, "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "80",
               "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.version": (1, 0), "wsgi.url_scheme": "http",
               "wsgi.errors": sys.stderr, "wsgi.multithread": True, "wsgi.multiprocess": False,
               "wsgi.run_once": False}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        name = name.upper().replace("-", "_")
        if name not in ("CONTENT_LENGTH", "CONTENT_TYPE"):
            name = "HTTP_" + name
        environ[name] = value.strip()
    return environ


def respond(application, environ):
    head = []

    def start_response(status, headers, unused_error=None):
        head[:] = ["HTTP/1.1 " + status] + ["%s: %s" % header for header in headers]

    body = b"".join(application(environ, start_response))
    return "\r\n".join(head + ["", ""]).encode("latin-1") + body
