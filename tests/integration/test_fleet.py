"""Two hosts on one memcached that are not configured alike: what doc/coherence.md says of them."""
import copy
import os
import time

import harness


class Fleet(harness.Test):
    def begin(self, *modes):
        self.server = self.memcached()
        self.hosts = []
        for number, mode in enumerate(modes):
            folder = os.path.join(self.folder, "host%d" % number)
            os.mkdir(folder)
            daemon = harness.Daemon(folder, self.config(mode))
            self.addCleanup(self.finish, daemon)
            self.hosts.append(daemon)
        return self.hosts

    def config(self, mode):
        config = copy.deepcopy(harness.cache_config(self.server, coherence=mode, fill_window="1s"))
        config["process"]["workers"] = 1
        return config

    def change(self, daemon, mode):
        config = self.config(mode)
        daemon.write(config)
        daemon.ctl("reload")

    def get(self, daemon, arm, key=b"k"):
        wire = daemon.wire(arm)
        wire.send(b"get %s\r\n" % key)
        if wire.line() == b"END\r\n":
            return None
        value = wire.line()[:-2]
        wire.expect(b"END\r\n")
        return value

    def fill(self, daemon, arm, value, key=b"k"):
        self.assertIsNone(self.get(daemon, arm, key))
        daemon.wire(arm).talk(b"set %s 0 0 %d\r\n%s\r\n" % (key, len(value), value), b"STORED\r\n")

    def delete(self, daemon, arm, key=b"k"):
        self.assertIn(daemon.wire(arm).send(b"delete %s\r\n" % key).line(),
                      (b"DELETED\r\n", b"NOT_FOUND\r\n"))

    def generations_differ(self, mode, wanted):
        one, other = self.begin(mode, mode)
        one.ctl("flush", "py3")
        self.fill(one, "py3", b"old")
        self.delete(other, "py2")
        self.assertEqual(wanted, self.get(one, "py3"))

    def test_g2_hosts_whose_generations_differ_reach_each_other_by_epochs(self):
        self.generations_differ("epoch", None)

    def test_hosts_whose_generations_differ_do_not_by_fanout(self):
        self.generations_differ("fanout", b"old")

    def arm_of_one(self, mode, wanted):
        one, other = self.begin(mode, mode)
        config = self.config(mode)
        config["arms"].append({"name": "new", "namespace": "new"})
        config["cache"]["listen"].append({"address": "127.0.0.1:@new@", "arm": "new"})
        one.write(config)
        one.ctl("reload")
        self.fill(one, "new", b"old")
        self.delete(other, "py2")
        self.assertEqual(wanted, self.get(one, "new"))

    def test_g2_an_arm_that_only_one_host_has_is_reached_by_epochs(self):
        self.arm_of_one("epoch", None)

    def test_an_arm_that_only_one_host_has_is_not_by_fanout(self):
        self.arm_of_one("fanout", b"old")

    def test_from_fanout_to_epoch_in_the_order_of_the_document(self):
        first, second = self.begin("fanout", "fanout")
        for arm in ("py2", "py3"):
            self.fill(first, arm, b"before")
        # The first host has epochs, the second one does not know of them.
        self.change(first, "epoch")
        for arm in ("py2", "py3"):
            self.fill(first, arm, b"mixed")
        self.delete(second, "py2")
        self.assertEqual([b"mixed"] * 2, [self.get(first, arm) for arm in ("py2", "py3")],
                         "the document says that this can be")
        # An invalidation of the first takes the unprefixed key with it.
        self.fill(second, "py2", b"second")
        self.delete(first, "py3")
        self.assertIsNone(self.get(second, "py2"))
        for arm in ("py2", "py3"):
            self.fill(first, arm, b"mixed")
        self.delete(second, "py2")
        self.change(second, "epoch")
        time.sleep(1.1)  # whoever read while the fleet was mixed has filled, or is not believed
        for host in (first, second):
            for arm in ("py2", "py3"):
                host.ctl("flush", arm)
        for host in (first, second):
            self.assertEqual([None, None], [self.get(host, arm) for arm in ("py2", "py3")])
        # Another key: who fills this one may have read before the change, so that it is not kept.
        self.fill(second, "py2", b"new", b"j")
        self.assertEqual(b"new", self.get(first, "py2", b"j"))
        self.delete(first, "py3", b"j")
        self.assertIsNone(self.get(second, "py2", b"j"))
        # And back: what epochs have invalidated is not there again.
        self.fill(first, "py3", b"epoch", b"i")
        for host in (first, second):
            self.change(host, "fanout")
        for host in (first, second):
            host.ctl("flush", "py3")
        self.assertEqual([None, None], [self.get(first, arm) for arm in ("py2", "py3")])


if __name__ == "__main__":
    harness.main()
