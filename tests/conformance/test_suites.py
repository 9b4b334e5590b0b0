"""Suites of others, written for memcached itself."""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
import harness  # noqa: E402


class Memccapable(harness.Test):
    """libmemcached-tools' own. flush_all is refused to the arm whose keys have no prefix."""

    def passed(self, port, option, protocol):
        """The names of its tests, and of those that passed."""
        done = subprocess.run(["memccapable", option, "-h", "127.0.0.1", "-p", str(port)],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, timeout=60)
        text = done.stdout.decode("latin-1")
        name = r"(%s(?: [a-z]+)+) {2,}" % protocol
        # What it says of its tests together may come before the last one's own result.
        text = re.sub(r"\d+ of \d+ tests failed\n", "", text)
        return (set(re.findall(name, text)), set(re.findall(name + r"\[pass\]", text)))

    def compare(self, option, protocol, refused, **changes):
        daemon = self.daemon(harness.cache_config(self.memcached(), **changes))
        names, truth = self.passed(self.memcached().port, option, protocol)
        self.assertEqual(names, truth)
        self.assertGreater(len(names), 20)
        self.assertEqual((names, truth), self.passed(daemon.port("py3"), option, protocol))
        self.assertEqual((names, truth - refused),
                         self.passed(daemon.port("py2"), option, protocol))

    def test_g7_its_text_tests_pass(self):
        self.compare("-a", "ascii", {"ascii flush", "ascii flush noreply"})

    def test_g7_its_binary_tests_pass(self):
        self.compare("-b", "binary", {"binary flush", "binary flushq"})

    def test_g7_its_text_tests_pass_in_epoch_mode(self):
        self.compare("-a", "ascii", {"ascii flush", "ascii flush noreply"}, coherence="epoch")

    def test_g7_its_binary_tests_pass_in_epoch_mode(self):
        self.compare("-b", "binary", {"binary flush", "binary flushq"}, coherence="epoch")


class Tools(harness.Test):
    """libmemcached-tools in both protocols."""

    def run_tool(self, port, *command, status=0):
        done = subprocess.run(command + ("--servers=127.0.0.1:%d" % port,), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30, cwd=self.folder)
        text = done.stdout.decode("latin-1")
        self.assertEqual(status, done.returncode, "%s: %s" % (command, text))
        return text

    def test_g7_they_work(self):
        daemon = self.daemon(harness.cache_config(self.memcached()))
        for name, size in (("small", 20), ("large", 300000)):
            with open(os.path.join(self.folder, name), "w") as file:
                file.write(name * (size // 5))
        for binary in ((), ("--binary",)):
            for arm in ("py2", "py3"):
                port = daemon.port(arm)
                with self.subTest(binary=binary, arm=arm):
                    self.run_tool(port, "memcping")
                    self.run_tool(port, "memccp", *binary, "small", "large")
                    self.assertEqual("small" * 4, self.run_tool(port, "memccat", *binary, "small").strip())
                    self.assertEqual("large" * 60000, self.run_tool(port, "memccat", *binary, "large").strip())
                    self.run_tool(port, "memcexist", *binary, "small")
                    self.run_tool(port, "memctouch", *binary, "--expire=1000", "small")
                    self.assertIn("crossfade", self.run_tool(port, "memcstat", *binary))
                    self.run_tool(port, "memcrm", *binary, "small")
                    self.run_tool(port, "memcexist", *binary, "small", status=1)
                    if arm == "py3":
                        self.run_tool(port, "memcflush", *binary)
                        self.run_tool(port, "memcexist", *binary, "large", status=1)


if __name__ == "__main__":
    harness.main()
