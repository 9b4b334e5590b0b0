"""A raw talk over a control socket, and the configuration of everything at once for its tests."""
import json
import os

import harness
import prometheus


class Reply:
    """One reply, taken apart as strictly as crossfade/proto/control_line.h promises it."""

    CODES = ("failed", "denied", "unknown", "usage", "refused", "timeout", "degraded")

    def __init__(self, text):
        self.text = text.decode("utf-8")
        if not self.text.endswith("\n\n"):
            raise AssertionError("a reply ends with an empty line: %r" % self.text)
        lines = self.text[:-2].split("\n")
        if "" in lines:
            raise AssertionError("an empty line inside a reply: %r" % self.text)
        first, self.lines = lines[0], lines[1:]
        self.ok = first == "OK" or first.startswith("OK ")
        self.code = None
        if self.ok:
            self.sentence = first[3:]
        else:
            word, self.code, self.sentence = first.split(" ", 2)
            if word != "ERR" or self.code not in self.CODES or not self.sentence:
                raise AssertionError("neither OK nor ERR: %r" % first)

    @property
    def json(self):
        if not self.ok or len(self.lines) != 1:
            raise AssertionError("not one JSON document: %r" % self.text)
        return json.loads(self.lines[0])

    def __repr__(self):
        return "Reply(%r)" % self.text


class Talk(harness.Wire):
    """A connection to a control socket."""

    def reply(self, timeout=None):
        return Reply(self.until(b"\n\n", timeout))

    def ask(self, line, timeout=None):
        self.send(line if isinstance(line, bytes) else line.encode() + b"\n")
        return self.reply(timeout)

    def ok(self, line, timeout=None):
        reply = self.ask(line, timeout)
        if not reply.ok:
            raise AssertionError("%s: %r" % (line, reply))
        return reply

    def refused(self, line, code, words=""):
        """It is answered by ERR with this code, in a sentence that has these words."""
        reply = self.ask(line)
        if reply.ok or reply.code != code or words not in reply.text:
            raise AssertionError("%s: not refused as %s with %r: %r" % (line, code, words, reply))
        return reply


class Test(harness.Test):
    def everything(self, stages=None, **sections):
        """Both planes, a rollout, a socket of each level and the admin address."""
        self.stable = self.backend("py2")
        self.candidate = self.backend("py3")
        config = harness.web_config(self.stable, self.candidate)
        self.servers = [self.memcached(), self.memcached()]
        for server in self.servers:
            self.addCleanup(server.kill)  # by SIGTERM each takes a second
        config["cache"] = harness.cache_config(*self.servers)["cache"]
        config["control"]["sockets"] += [
            {"path": "@dir@/operate.sock", "level": "operate", "mode": "0660"},
            {"path": "@dir@/read.sock", "level": "read", "mode": "0666"}]
        if stages is not None:
            config["rollout"]["stages"] = stages
        for name, section in sections.items():
            config[name] = section
        return config

    def talk(self, level="control", timeout=harness.WAIT):
        talk = Talk(os.path.join(self.folder, level + ".sock"), timeout)
        self.addCleanup(talk.close)
        return talk


def metrics(daemon):
    """Everything of /metrics, checked, and the head of the answer."""
    wire = daemon.wire("admin")
    wire.send(b"GET /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    head, body = wire.rest().split(b"\r\n\r\n", 1)
    if not head.startswith(b"HTTP/1.1 200 "):
        raise AssertionError(head)
    return prometheus.parse(body), head + b"\r\n"
