"""What something preloaded into a broker tells a case: bytes in a FIFO, which can be awaited."""

import os
import select

from mqtt_wire import DEADLINE_S


class Fifo:
    """The case has both of its ends: who writes need not wait for a reader."""

    def __init__(self, path):
        os.mkfifo(path, 0o600)
        self.path, self.fd = path, os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def await_bytes(self, sentence):
        """Until there are bytes, which stay; else the case fails with the sentence."""
        if not select.select([self.fd], [], [], DEADLINE_S)[0]:
            raise AssertionError(sentence)

    def read(self):
        """What is there."""
        try:
            return os.read(self.fd, 1 << 16)
        except BlockingIOError:
            return b""

    def read_to(self, ending, sentence):
        """All up to bytes that are the last ones, which it waits for."""
        data = b""
        while not data.endswith(ending):
            self.await_bytes(sentence)
            data += self.read()
        return data
