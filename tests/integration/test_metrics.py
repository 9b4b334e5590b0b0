"""The admin address: /metrics held against the format and against what was sent, and /healthz."""
import harness
import control_talk
import prometheus

GOOD = b"""# HELP a_total Things.
# TYPE a_total counter
a_total{x="1"} 1
a_total{x="a\\\\b\\"c\\nd"} 2
# HELP b B.
# TYPE b histogram
b_bucket{le="0.1"} 1
b_bucket{le="+Inf"} 2
b_sum 0.3
b_count 2
# HELP c C.
# TYPE c gauge
c 1e3
"""


class Checker(harness.Test):
    """A checker that cannot fail proves nothing."""

    def test_good(self):
        families = prometheus.parse(GOOD)
        self.assertEqual(2, families["a_total"].value(x='a\\b"c\nd'))
        self.assertEqual(3, families["a_total"].total())
        self.assertEqual(1000, families["c"].value())

    def test_each_rule(self):
        for before, after in (
                (b"c 1e3\n", b"c 1e3"), (b"c 1e3", b"c 1e3\r"), (b"c 1e3", b"c x"),
                (b"c 1e3", b"c"), (b"c 1e3", b"c  1"), (b"c 1e3", b"c 1 "), (b"c 1e3", b"d 1"),
                (b"c 1e3", b"c 1\nc 1"), (b"c 1e3", b"c 1\n\nc{x=\"1\"} 1"), (b"c 1e3", b"c{} 1"),
                (b"c 1e3", b"c 1\nc{x=\"1\"} 1"), (b"c 1e3", b'c{x="1" } 1'),
                (b"c 1e3", b'c{x="1",} 1'), (b"c 1e3", b'c{x="1",x="2"} 1'),
                (b"c 1e3", b'c{x="\\t"} 1'), (b"c 1e3", b'c{1x="t"} 1'), (b"c 1e3", b"c 0x10"),
                (b"# TYPE c gauge\n", b""), (b"# HELP c C.\n", b""), (b"# HELP c C.", b"# HELP c"),
                (b"# HELP c C.\n# TYPE c gauge\n", b"# TYPE c gauge\n# HELP c C.\n"),
                (b"# HELP c C.", b"# HELP b C."), (b"# TYPE c gauge", b"# TYPE c counter"),
                (b"# TYPE c gauge", b"# TYPE c untyped"), (b"# TYPE c gauge", b"# TYPE  c gauge"),
                (b"# TYPE a_total counter", b"# TYPE a_total gauge"), (b'{x="1"} 1', b'{x="1"} -1'),
                (b'le="+Inf"} 2', b'le="+Inf"} 3'), (b'le="+Inf"', b'le="5"'),
                (b'le="0.1"} 1', b'le="0.1"} 3'), (b"b_sum 0.3\n", b""), (b"b_count 2\n", b""),
                (b'le="0.1"', b'le="+Inf"'), (b"b_count 2", b"b_total 2"),
                (b"b_sum 0.3", b'b_sum{le="1"} 0.3')):
            self.assertIn(before, GOOD)
            with self.assertRaises(prometheus.FormatError, msg=after):
                prometheus.parse(GOOD.replace(before, after, 1))


class Metrics(control_talk.Test):
    def test_every_sample_and_what_was_counted(self):
        config = self.everything([{"name": "half", "percent": 50}])
        config["arms"][1]["name"] = config["rollout"]["to"] = "py-3_x"
        config["cache"]["listen"][1]["arm"] = "py-3_x"
        daemon = self.daemon(config)
        families, head = control_talk.metrics(daemon)
        self.assertIn(b"Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n", head)
        self.assertEqual(1, families["crossfade_rollout_state"].value(state="idle"))
        py2, py3 = daemon.wire("py2"), daemon.wire("py3")
        py2.talk(b"set k 0 0 1\r\nx\r\n", b"STORED\r\n")
        for _ in range(7):
            py2.talk(b"get k\r\n", b"VALUE k 0 1\r\nx\r\nEND\r\n")
        py3.talk(b"get k\r\n", b"END\r\n")
        web = daemon.wire("web")
        for _ in range(5):
            web.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").until(b"py2")
        self.talk().ok("start")
        before = families

        def all_counted():
            after, _ = control_talk.metrics(daemon)
            count = after["crossfade_web_latency_seconds"].value("_count", arm="py2")
            return after if count >= 5 else None
        families = harness.eventually(all_counted, "the count of the five requests")
        for name, amount, labels in (
                ("cache_gets", 7, {"arm": "py2"}), ("cache_hits", 7, {"arm": "py2"}),
                ("cache_sets", 1, {"arm": "py2"}), ("cache_misses", 1, {"arm": "py-3_x"}),
                ("web_requests", 5, {"arm": "py2"}), ("web_requests", 0, {"arm": "py-3_x"}),
                ("web_responses_2xx", 5, {"arm": "py2"}),
                ("web_backend_requests", 5, {"arm": "py2", "backend": self.stable.address})):
            family = families["crossfade_%s_total" % name]
            self.assertEqual(amount, family.value(**labels), name)
        self.assertEqual(5, families["crossfade_web_latency_seconds"].value("_count", arm="py2"))
        self.assertEqual(8, families["crossfade_cache_latency_seconds"].value("_count", arm="py2"))
        self.assertEqual({server.address for server in self.servers},
                         {dict(labels)["server"] for _, labels in
                          families["crossfade_cache_server_requests_total"].samples})
        self.assertEqual((0, 1), tuple(families["crossfade_rollout_state"].value(state=state)
                                       for state in ("idle", "running")))
        self.assertEqual(0.5, families["crossfade_rollout_share_ratio"].value())
        self.assertEqual(1, families["crossfade_rollout_stage"].value())
        # Counters never go back, and no name comes or goes.
        self.assertEqual(set(before), set(families))
        for name, family in before.items():
            if family.type != "gauge":
                for key, value in family.samples.items():
                    self.assertGreaterEqual(families[name].samples[key], value, key)

    def test_without_a_plane_and_after_a_reload(self):
        daemon = self.daemon(self.everything())
        config = dict(daemon.source)
        config["control"] = dict(config["control"])
        memcached = self.memcached()
        config["cache"] = dict(config["cache"], servers=[memcached.address])
        daemon.wire("py2").talk(b"set k 0 0 1\r\nx\r\n", b"STORED\r\n")
        daemon.write(config)
        self.talk().ok("reload")
        families, _ = control_talk.metrics(daemon)
        self.assertEqual(1, families["crossfade_cache_sets_total"].value(arm="py2"))
        self.assertIn(memcached.address, str(families["crossfade_cache_server_requests_total"].samples))
        alone = harness.cache_config(memcached)
        alone["control"]["http"] = "127.0.0.1:@admin@"
        daemon.write(alone)
        self.talk().ok("reload")
        families, _ = control_talk.metrics(daemon)
        self.assertNotIn("crossfade_rollout_state", families)

    def test_health_and_the_rest(self):
        daemon = self.daemon(self.everything())
        for request, status, body in (
                (b"GET /healthz", 200, b"ok\n"), (b"GET /readyz", 200, b"ok\n"),
                (b"GET /", 404, b"/metrics"), (b"GET /metrics/", 404, b""),
                (b"POST /metrics", 501, None), (b"DELETE /healthz", 501, None)):
            answer = self.ask(daemon, request + b" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            if body is None:
                self.assertIn(int(answer.split()[1]), (405, 501), request)
            else:
                self.assertEqual(status, int(answer.split()[1]), request)
                self.assertIn(body, answer)
        # The answer to a HEAD has the length and no body: the next one follows at once.
        wire = daemon.wire("admin")
        wire.send(b"HEAD /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
        self.assertIn(b"\r\nContent-Length: 3\r\n", wire.until(b"\r\n\r\n"))
        wire.send(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").expect(b"HTTP/1.1 200 OK\r\n")
        wire.until(b"\r\n\r\nok\n")

    def test_hostile_peers(self):
        daemon = self.daemon(self.everything())
        for data in (b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 20000 + b"\r\n",
                     b"POST /metrics HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 100000,
                     b"\0\1\2\r\n\r\n", b"GET  HTTP\r\n\r\n"):
            wire = daemon.wire("admin")
            try:
                wire.send(data).shut_write().rest()
            except OSError:
                pass
        idle = [daemon.wire("admin") for _ in range(100)]
        self.assertIn(b"200", self.ask(daemon, b"GET /healthz HTTP/1.0\r\n\r\n"))
        self.talk().ok("version")
        for wire in idle:
            wire.close()

    def ask(self, daemon, data):
        return daemon.wire("admin").send(data).rest()


if __name__ == "__main__":
    harness.main()
