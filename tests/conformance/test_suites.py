"""Suites of others, written for memcached itself."""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
import harness  # noqa: E402


class Memccapable(harness.Test):
    """libmemcached-tools' own. flush_all is refused to the arm whose keys have no prefix."""

    def passed(self, port):
        """The names of its tests, and of those that passed."""
        done = subprocess.run(["memccapable", "-a", "-h", "127.0.0.1", "-p", str(port)],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, timeout=60)
        text = done.stdout.decode("latin-1")
        return (set(re.findall(r"(ascii(?: [a-z]+)+) {2,}", text)),
                set(re.findall(r"(ascii(?: [a-z]+)+) {2,}\[pass\]", text)))

    def test_g7_its_text_tests_pass(self):
        daemon = self.daemon(harness.cache_config(self.memcached()))
        names, truth = self.passed(self.memcached().port)
        self.assertEqual(names, truth)
        self.assertGreater(len(names), 20)
        self.assertEqual((names, truth), self.passed(daemon.port("py3")))
        self.assertEqual((names, truth - {"ascii flush", "ascii flush noreply"}),
                         self.passed(daemon.port("py2")))


if __name__ == "__main__":
    harness.main()
