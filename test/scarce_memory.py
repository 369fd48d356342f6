"""A broker whose allocations fail when the test says so.

    memory = ScarceMemory(t)      starts the case's broker
    memory.fail_at(7)             the seventh allocation from here on fails, and no other
    ...
    memory.enough()               True when one has failed; none does from here on
"""

import mmap
import os
import struct

from preload import NEEDS, preloaded  # noqa: F401

FIELDS = struct.Struct("=5q")
ARMED, CALLS, WANTED, FAILED, LIVE = range(5)


class ScarceMemory:
    def __init__(self, t, **config):
        t.holdfast_only("how it goes on without memory")
        if t.sanitized:
            t.skip("a sanitizer has an allocator of its own")
        path = os.path.join(t.directory, "memory")
        with open(path, "wb") as file:
            file.write(bytes(FIELDS.size))
        with open(path, "r+b") as file:
            self.control = mmap.mmap(file.fileno(), FIELDS.size)
        with preloaded(t.directory, "scarce_memory.c", HOLDFAST_TEST_MEMORY=path):
            t.start(**config)

    def _put(self, index, value):
        struct.pack_into("=q", self.control, 8 * index, value)

    def _get(self, index):
        return struct.unpack_from("=q", self.control, 8 * index)[0]

    def fail_at(self, number):
        for index, value in ((CALLS, 0), (WANTED, number), (FAILED, 0), (ARMED, 1)):
            self._put(index, value)

    def enough(self):
        self._put(ARMED, 0)
        return self._get(FAILED) > 0

    def calls(self):
        """Allocations since fail_at()."""
        return self._get(CALLS)

    def live(self):
        """Allocations that have not been freed."""
        return self._get(LIVE)
