"""Many logins at once, wrong ones, and strangers that do anything."""
import random
import signal
import socket
import struct
import time

import harness
from logins import (FAILURE, SLOW, Auth, frame, line, plain, text_login)


class Storms(Auth):
    def test_others_are_served_while_a_slow_hash_is_under_way(self):
        self.server = self.memcached()
        self.write("users", line("alice", "secret", SLOW))
        config = self.config(self.server, {"address": "127.0.0.1:@door@", "arm": "py2",
                                           "sasl": self.path("users")},
                             {"address": "127.0.0.1:@open@", "arm": "py2"})
        config["process"]["workers"] = 1
        self.running = daemon = self.daemon(config)
        other = daemon.wire("open")
        other.talk(b"get k\r\n", b"END\r\n")
        logins = [daemon.wire("door") for _ in range(3)]
        for number, wire in enumerate(logins):
            wire.send(text_login("alice", "guess%d" % number))
        served = 0
        waiting = True
        while waiting:
            other.talk(b"get k\r\n", b"END\r\n")
            served += 1
            waiting = not logins[0].pending and not logins[0].fill(time.monotonic() + 0.001)
        # Three hashes of some tenths of a second lie ahead of this answer or behind it.
        self.assertGreater(served, 50)
        for wire in logins:
            wire.expect(FAILURE)

    def test_a_storm_of_one_user_costs_one_hash(self):
        daemon = self.start(line("alice", "secret", SLOW), arms=[{"user": "*", "arm": "py2"}])
        daemon.wire("door").talk(text_login("alice", "secret"), b"STORED\r\n")
        wires = [daemon.wire("door") for _ in range(300)]  # more than there are slots
        for wire in wires:
            wire.send(text_login("alice", "secret") + b"get k\r\n")
        for wire in wires:
            wire.expect(b"STORED\r\nEND\r\n")
        stats = self.listener_stats()
        self.assertEqual((stats["logins"], stats["logins_known"]), (301, 300))

    def test_clients_that_go_away_leave_their_places(self):
        daemon = self.start(line("alice", "secret", SLOW) + line("bob", "secret"),
                            arms=[{"user": "*", "arm": "py2"}])
        wires = [daemon.wire("door") for _ in range(200)]
        for number, wire in enumerate(wires):
            wire.send(text_login("alice", "guess%d" % number))
        for wire in wires:
            # With a reset, which is seen although the socket is not read.
            wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            wire.close()
        daemon.wire("door").talk(text_login("bob", "secret"), b"STORED\r\n", 60)
        harness.eventually(lambda: self.listener_stats()["strangers"] == 0, timeout=60)

    def test_a_guesser_is_slowed_down(self):
        daemon = self.start(line("alice", "secret"))
        daemon.wire("door").talk(text_login("alice", "secret"), b"STORED\r\n")
        wires = [daemon.wire("door") for _ in range(40)]
        for number, wire in enumerate(wires):
            wire.send(text_login("alice", "guess%d" % number))
        for wire in wires:
            wire.expect(FAILURE)
        stats = self.listener_stats()
        self.assertEqual(stats["logins_failed"], 40)
        self.assertGreater(stats["logins_throttled"], 10)
        daemon.wire("door").talk(text_login("alice", "secret"), b"STORED\r\n")
        # Few lines of all of them.
        self.assertLess(daemon.log().count(b"a login as"), 25)

    def test_the_daemon_stops_while_logins_are_under_way(self):
        daemon = self.start(line("alice", "secret", SLOW))
        wires = [daemon.wire("door") for _ in range(20)]
        for number, wire in enumerate(wires):
            wire.send(text_login("alice", "guess%d" % number))
        time.sleep(0.05)
        daemon.signal(signal.SIGTERM)
        daemon.signal(signal.SIGTERM)
        daemon.wait(0)


class Random(Auth):
    """Strangers that do anything, while the configuration is loaded again and again."""

    PIECES = [b"get secret\r\n", b"gets secret\r\n", b"mg secret v\r\n", b"version\r\n", b"quit\r\n",
              b"set k 0 0 5\r\n", b"hello\r\n", b"\r\n", b"\n", b"\0", b"x" * 700, b"\x80", b"\x80\x21",
              frame(0, b"secret"), frame(0x0b), frame(0x0a), frame(0x20), frame(0x21, b"PLAIN"),
              frame(0x22, b"PLAIN", b"\0a\0b"), frame(0x21, b"X" * 40), b"\x80\x21" + b"\xff" * 30,
              text_login("alice", "wrong"), text_login("nobody", "x"), plain("alice", "wrong"),
              b"set k 0 0 2040\r\n" + b"y" * 2042, b"set k 0 0 99999999\r\n"]

    def test_no_stranger_ever_gets_a_value(self):
        daemon = self.start(line("alice", "secret"), arms=[{"user": "*", "arm": "py2"}])
        self.server.wire().talk(b"set secret 0 0 8\r\nTREASURE\r\n", b"STORED\r\n")
        numbers = random.Random(4711)
        alice = daemon.wire("door")
        alice.talk(text_login("alice", "secret"), b"STORED\r\n")
        strangers = []
        answers = 0
        for step in range(1500):
            if len(strangers) < 30:
                strangers.append(daemon.wire("door"))
            wire = numbers.choice(strangers)
            sent = numbers.choice(self.PIECES)
            try:
                for _ in range(numbers.randrange(3)):
                    at = numbers.randrange(len(sent) + 1)
                    wire.sock.sendall(sent[:at])
                    sent = sent[at:]
                wire.sock.sendall(sent)
                wire.fill(time.monotonic() + 0.001)
            except OSError:
                wire.ended = True
            if wire.ended or numbers.random() < 0.05:
                self.assertNotIn(b"TREASURE", wire.pending)
                answers += len(wire.pending)
                wire.close()
                strangers.remove(wire)
            if step % 100 == 50:
                daemon.ctl("reload")
                alice.talk(b"get secret\r\n", b"VALUE secret 0 8\r\nTREASURE\r\nEND\r\n")
        for wire in strangers:
            self.assertNotIn(b"TREASURE", wire.pending)
            wire.close()
        self.assertGreater(answers, 1000)
        harness.eventually(lambda: self.listener_stats()["strangers"] == 0, timeout=20)
        daemon.wire("door").talk(text_login("alice", "secret"), b"STORED\r\n")


if __name__ == "__main__":
    harness.main()
