"""Clients that read slowly, and values that take another way to the server than what came before."""
import socket

import harness


class Pressure(harness.Test):
    def test_an_upload_does_not_overtake_what_was_sent_without_a_reply(self):
        memcached = self.memcached()
        daemon = self.daemon(harness.cache_config(memcached))
        big = b"y" * 200000
        filler = b"z" * 60000
        for round_number in range(30):
            wire = daemon.wire("py2" if round_number % 2 else "py3")
            key = b"order%d" % round_number
            # So much that the server still has it before it when the large value is all sent.
            before = b"".join(b"set filler%d 0 0 %d noreply\r\n%s\r\n" % (n, len(filler), filler)
                              for n in range(60))
            wire.send(before + b"set %s 0 0 5 noreply\r\nsmall\r\n" % key)
            if round_number % 3 == 0:
                wire.send(b"delete %s noreply\r\n" % key)
            wire.talk(b"set %s 0 0 %d\r\n%s\r\n" % (key, len(big), big), b"STORED\r\n")
            wire.talk(b"get %s\r\n" % key, b"VALUE %s 0 %d\r\n%s\r\nEND\r\n" % (key, len(big), big))
            wire.talk(b"version\r\n", b"VERSION ")
            wire.close()

    def test_an_upload_waits_for_a_server_that_is_down_no_longer_than_others(self):
        memcached = self.memcached()
        daemon = self.daemon(harness.cache_config(memcached))
        wire = daemon.wire("py2")
        wire.talk(b"set k 0 0 1 noreply\r\nx\r\nget k\r\n", b"VALUE k 0 1\r\nx\r\nEND\r\n")
        memcached.freeze()
        wire.send(b"set k 0 0 1 noreply\r\ny\r\nset k 0 0 100000\r\n" + b"v" * 100000 + b"\r\n")
        self.assertTrue(wire.line().startswith(b"SERVER_ERROR "))
        wire.talk(b"version\r\n", b"VERSION ")
        memcached.thaw()

    def test_clients_that_do_not_read_make_no_server_count_as_down(self):
        memcached = self.memcached()
        config = harness.cache_config(memcached,
                                      timeouts={"connect": "250ms", "request": "400ms"})
        config["process"]["workers"] = 1
        daemon = self.daemon(config)
        value = b"v" * 2000
        wire = daemon.wire("py2")
        wire.talk(b"set some 0 0 %d\r\n%s\r\n" % (len(value), value), b"STORED\r\n")
        wire.talk(b"set k 0 0 1\r\nx\r\n", b"STORED\r\n")
        slow = []
        for _ in range(12):
            each = socket.socket()
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            each.connect(("127.0.0.1", daemon.port("py2")))
            each.sendall(b"get" + b" some" * 20000 + b"\r\n")
            slow.append(each)
        slow[0].recv(1)  # so those of all are on their way
        # It has to wait for them, but it is answered, and with what is there.
        wire.talk(b"get k\r\n", b"VALUE k 0 1\r\nx\r\nEND\r\n", timeout=30)
        self.assertNotIn(b"is down", daemon.log())
        for each in slow:
            each.close()


if __name__ == "__main__":
    harness.main()
