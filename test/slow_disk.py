"""A broker on a disk that answers when the test says so.

    disk = SlowDisk(t)          starts the case's broker
    disk.hold()                 no sync returns from here on; all before is durable
    publisher.send_publish(...)
    disk.wait_for_sync()        the broker asks the disk for it
    publisher.expect_nothing()  and promises nothing meanwhile
    disk.release()
    publisher.expect(PUBACK)
"""

import fcntl
import os

from fifo import Fifo
from preload import NEEDS, preloaded  # noqa: F401


class SlowDisk:
    def __init__(self, t, starting=None, **config):
        """Starts the broker, as `starting` does if given. What nobody waits for starts no flush of its own."""
        t.holdfast_only("what waits for its disk")
        self.t, held = t, os.path.join(t.directory, "held")
        self.lock = open(held, "wb")
        self.waiting = Fifo(held + ".waiting")
        config["sqlite"] = {"flush_interval": 3600000, **config.get("sqlite", {})}
        with preloaded(t.directory, "slow_disk.c", HOLDFAST_TEST_DISK=held):
            starting(t, **config) if starting else t.start(**config)
        self.probes = 0

    def hold(self):
        """First a stored session is made: its CONNACK waits for the disk, and so for all before."""
        self.probes += 1
        self.t.client(f"probe-{self.probes}", stored=True)
        fcntl.lockf(self.lock, fcntl.LOCK_EX)

    def wait_for_sync(self):
        """Until the broker waits for the disk."""
        self.waiting.await_bytes("the broker has not asked the disk for anything")

    def release(self):
        self.waiting.read()
        fcntl.lockf(self.lock, fcntl.LOCK_UN)
