"""What the tests of logins share: users, what clients send to log in, and a daemon that wants it.

The servers of reference are real: `memcached -Y` for the text protocol, `memcached -S` for the binary one.
"""
import os
import socket
import struct
import subprocess

import harness


# crypt(3) of the system, which Python has lost: perl has it everywhere.
def crypt(password, setting):
    return subprocess.run(["perl", "-e", "print crypt($ARGV[0], $ARGV[1])", password, setting],
                          stdout=subprocess.PIPE, check=True).stdout.decode()


FAST = "$5$rounds=1000$%s$"
SLOW = "$6$rounds=200000$%s$"  # about a tenth of a second


def line(user, password, setting=FAST):
    return "%s:%s\n" % (user, crypt(password, setting % "salt"))


def text_login(user, password):
    token = ("%s %s" % (user, password)).encode()
    return b"set login 0 0 %d\r\n%s\r\n" % (len(token), token)


def frame(opcode, key=b"", value=b"", extras=b"", opaque=0xfeed):
    return struct.pack(">BBHBBHIIQ", 0x80, opcode, len(key), len(extras), 0, 0,
                       len(extras) + len(key) + len(value), opaque, 0) + extras + key + value


def plain(user, password, mechanism=b"PLAIN", opcode=0x21):
    return frame(opcode, mechanism, b"\0%s\0%s" % (user.encode(), password.encode()))


def take_frame(wire):
    """(opcode, status, body) of the next reply."""
    head = wire.exactly(24)
    _, opcode, _, _, _, status, length, opaque, _ = struct.unpack(">BBHBBHIIQ", head)
    assert opaque == 0xfeed, head
    return opcode, status, wire.exactly(length)


WHICH_ARM = b"get __crossfade__/arm\r\n"
UNAUTHENTICATED = b"CLIENT_ERROR unauthenticated\r\n"
FAILURE = b"CLIENT_ERROR authentication failure\r\n"
NO_ARM = b"CLIENT_ERROR this client is refused here: no version of the application is its\r\n"


def arm_reply(arm):
    return b"VALUE __crossfade__/arm 0 %d\r\n%s\r\nEND\r\n" % (len(arm), arm)


class Auth(harness.Test):
    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text, mode=0o600):
        with open(self.path(name), "w") as file:
            file.write(text)
        os.chmod(self.path(name), mode)
        return self.path(name)

    def config(self, memcached, *listeners, **changes):
        config = harness.cache_config(memcached, **changes)
        config["cache"]["listen"] = list(listeners)
        return config

    def start(self, users, arms=None, **listener):
        """One listener, "door", with these lines of users; by default both arms by user."""
        self.server = self.memcached()
        self.write("users", users)
        listener = dict({"address": "127.0.0.1:@door@", "sasl": self.path("users"),
                         "arms": arms or [{"user": "web3-*", "arm": "py3"},
                                          {"user": "alice", "arm": "py2"}]}, **listener)
        self.running = self.daemon(self.config(self.server, listener))
        return self.running

    def listener_stats(self):
        rows = self.running.show("stats")
        return {row["counter"]: row["value"] for row in rows if row["group"] == "cache listener"}

    def sasl_memcached(self):
        """`memcached -S` with one user, alice:secret."""
        self.write("memcached.conf", "mech_list: plain\nsasldb_path: %s\n" % self.path("sasldb"))
        subprocess.run(["saslpasswd2", "-p", "-c", "-f", self.path("sasldb"), "-u",
                        socket.gethostname(), "-a", "memcached", "alice"], input=b"secret",
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before = os.environ.get("SASL_CONF_PATH")
        os.environ["SASL_CONF_PATH"] = self.folder
        try:
            return self.memcached("-S")
        finally:
            del os.environ["SASL_CONF_PATH"]
            if before is not None:
                os.environ["SASL_CONF_PATH"] = before
