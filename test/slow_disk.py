"""A broker on a disk that answers when the test says so.

    disk = SlowDisk(t)          starts the case's broker
    disk.hold()                 no sync returns from here on; all before is durable
    publisher.send_publish(...)
    disk.wait_for_sync()        the broker asks the disk for it
    publisher.expect_nothing()  and promises nothing meanwhile
    disk.release()
    publisher.expect(PUBACK)
"""

import os
import time

from mqtt_wire import DEADLINE_S
from preload import NEEDS, preloaded  # noqa: F401

POLL_S = 0.001


class SlowDisk:
    def __init__(self, t, **config):
        """Starts the broker. What nobody waits for starts no flush of its own."""
        t.holdfast_only("what waits for its disk")
        self.t, self.held = t, os.path.join(t.directory, "held")
        config["sqlite"] = {"flush_interval": 3600000, **config.get("sqlite", {})}
        with preloaded(t.directory, "slow_disk.c", HOLDFAST_TEST_DISK=self.held):
            t.start(**config)
        self.probes = 0

    def hold(self):
        """First a stored session is made: its CONNACK waits for the disk, and so for all before."""
        self.probes += 1
        self.t.client(f"probe-{self.probes}", stored=True)
        with open(self.held, "wb"):
            pass

    def wait_for_sync(self):
        """Until the broker waits for the disk."""
        deadline = time.monotonic() + DEADLINE_S
        while not os.path.exists(self.held + ".waiting"):
            if time.monotonic() > deadline:
                raise AssertionError("the broker has not asked the disk for anything")
            time.sleep(POLL_S)

    def release(self):
        if os.path.exists(self.held + ".waiting"):
            os.unlink(self.held + ".waiting")
        os.unlink(self.held)
